#include "client/waves.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_NODES 1000000

static size_t
share_of(size_t percent, size_t nodes)
{
	size_t n = (nodes * percent + 99) / 100;

	return n > 0 ? n : 1;
}

/* One of them; *p is behind it, and its comma, then. */
static int
read_one(size_t *value, bool *share, const char **p)
{
	char *end;
	unsigned long n;

	if (!isdigit((unsigned char)**p))
		return HW_EUSAGE;
	n = strtoul(*p, &end, 10);
	*share = *end == '%';
	end += *share;
	if (n == 0 || n > (*share ? 100 : SIZE_MAX_NODES) || (*end != ',' && *end != '\0') ||
		(*end == ',' && end[1] == '\0'))
		return HW_EUSAGE;
	*value = n;
	*p = end + (*end == ',');
	return 0;
}

static void
add(struct waves *w, size_t end, size_t nodes)
{
	end = end < nodes ? end : nodes;
	if (w->n == 0 || end > w->end[w->n - 1])
		w->end[w->n++] = end;
}

int
waves_parse(struct waves *ret, const char *text, size_t nodes, struct hw_err *err)
{
	struct waves w = {.n = 0};
	size_t value, before[2] = {0, 0};
	const char *p = text;
	bool share;

	while (*p != '\0') {
		if (read_one(&value, &share, &p) < 0 || value <= before[share])
			return hw_err_set(err, HW_EUSAGE,
				"--canary %s: shares or numbers of nodes that grow, as 1%%,10%%,100%%",
				text);
		if (w.n == WAVES_MAX - 1)
			return hw_err_set(err, HW_EUSAGE, "--canary %s: at most %d waves", text,
				WAVES_MAX);
		before[share] = value;
		add(&w, share ? share_of(value, nodes) : value, nodes);
	}
	add(&w, nodes, nodes);
	*ret = w;
	return 0;
}
