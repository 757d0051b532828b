/* MaxConcurrency and MaxErrors, as people write them. */
#include <stdlib.h>
#include <string.h>

#include "relay/fanout/fanout.h"

struct limit {
	uint32_t value;
	bool percent;
};

/* [1-9][0-9]*, 0 where it may be, and the same up to 100 with a % behind: seven bytes at most. */
static bool
parse(struct limit *ret, const char *text, bool zero)
{
	size_t digits = strspn(text, "0123456789");
	const char *after = text + digits;

	if (digits == 0 || digits > 7 || strlen(text) > 7 ||
		(text[0] == '0' && (digits > 1 || !zero)))
		return false;
	*ret = (struct limit){
		.value = (uint32_t)strtoul(text, NULL, 10),
		.percent = strcmp(after, "%") == 0,
	};
	return ret->percent ? ret->value <= 100 : *after == '\0';
}

static uint32_t
share(const struct limit *l, uint32_t targets)
{
	return l->percent ? (uint32_t)((uint64_t)targets * l->value / 100) : l->value;
}

int
fanout_concurrency(uint32_t *ret, const char *text, uint32_t targets, struct hw_err *err)
{
	struct limit l;

	if (!parse(&l, text, false))
		return hw_err_set(err, HW_EVALIDATION,
			"MaxConcurrency: \"%.20s\" is neither a number from 1 on nor a share from 1%% "
			"to 100%%",
			text);
	uint32_t n = share(&l, targets);
	*ret = n > 0 ? n : 1;
	return 0;
}

int
fanout_errors(uint32_t *ret, const char *text, uint32_t targets, struct hw_err *err)
{
	struct limit l;

	if (!parse(&l, text, true))
		return hw_err_set(err, HW_EVALIDATION,
			"MaxErrors: \"%.20s\" is neither a number nor a share from 0%% to 100%%",
			text);
	*ret = share(&l, targets);
	return 0;
}
