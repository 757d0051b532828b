#include "client/duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

#define DURATION_MAX_SECONDS 1e9 /* thirty years; its microseconds fit many times over */

static int
unit_seconds(const char *unit)
{
	static const struct {
		const char *name;
		int seconds;
	} units[] = {
		{"",  1    },
		 {"s", 1	},
		   {"m", 60   },
		      {"h", 3600 },
		   {"d", 86400}
	       };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) == 0)
			return units[i].seconds;
	}
	return 0;
}

int
duration_parse(int64_t *usec, const char *text)
{
	char *end;

	/* strtod takes more than people mean: inf, nan, hex. */
	if (text[0] < '0' || text[0] > '9' || strspn(text, "0123456789.smhd") != strlen(text))
		return HW_EVALIDATION;
	double v = strtod(text, &end);
	int unit = unit_seconds(end);
	if (unit == 0 || !(v * unit <= DURATION_MAX_SECONDS))
		return HW_EVALIDATION;
	*usec = (int64_t)(v * unit * 1e6);
	return 0;
}

int
duration_parse_clock(int64_t *usec, const char *text)
{
	unsigned part[3] = {0};
	size_t parts = 0, digits = 0;

	if (strchr(text, ':') == NULL)
		return duration_parse(usec, text);
	for (const char *at = text;; at++) {
		if (*at >= '0' && *at <= '9' && digits < 6) {
			part[parts] = part[parts] * 10 + (unsigned)(*at - '0');
			digits++;
			continue;
		}
		if (digits == 0 || (*at != ':' && *at != '\0'))
			return HW_EVALIDATION;
		parts++;
		digits = 0;
		if (*at == '\0')
			break;
		if (parts == 3)
			return HW_EVALIDATION;
	}
	int64_t seconds = 0;
	for (size_t i = 0; i < parts; i++)
		seconds = seconds * 60 + part[i];
	*usec = seconds * USEC_PER_SEC;
	return 0;
}

void
duration_format(char out[DURATION_TEXT], int64_t usec)
{
	int64_t s = usec / USEC_PER_SEC;

	if (s < 2)
		snprintf(out, DURATION_TEXT, "now");
	else if (s < 120)
		snprintf(out, DURATION_TEXT, "%" PRId64 "s", s);
	else if (s < 7200)
		snprintf(out, DURATION_TEXT, "%" PRId64 "m", s / 60);
	else if (s < 2 * 86400)
		snprintf(out, DURATION_TEXT, "%" PRId64 "h", s / 3600);
	else
		snprintf(out, DURATION_TEXT, "%" PRId64 "d", s / 86400);
}

void
duration_format_clock(char out[DURATION_TEXT], int64_t usec)
{
	int64_t s = usec > 0 ? usec / USEC_PER_SEC : 0;

	snprintf(out, DURATION_TEXT, "%02" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
		(int)(s % 60));
}
