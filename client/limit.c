#include "client/limit.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 7 /* of the API's field */

int
limit_parse(struct limit *ret, const char *option, const char *text, int64_t min,
	struct hw_err *err)
{
	size_t digits = strspn(text, "0123456789");
	struct limit l = {.percent = strcmp(text + digits, "%") == 0};

	if (digits > 0 && strlen(text) <= TEXT_MAX && (l.percent || text[digits] == '\0')) {
		l.n = strtoll(text, NULL, 10);
		if (l.n >= min && (!l.percent || l.n <= 100)) {
			*ret = l;
			return 0;
		}
	}
	return hw_err_set(err, HW_EUSAGE,
		"--%s wants a number from %d on, or a share of the nodes as %d%% to 100%%, not '%s'",
		option, (int)min, (int)min, text);
}

size_t
limit_of(const struct limit *l, size_t nodes, size_t min)
{
	size_t n = l->percent ? nodes * (size_t)l->n / 100 : (size_t)l->n;

	return n > min ? n : min;
}
