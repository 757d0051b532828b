/* The values of conditions that are not text: numbers, dates, networks, truth. Pure functions. */
#ifndef HAWSER_POLICY_VALUE_H
#define HAWSER_POLICY_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* An exact number: whole + nano / 10^9, with 0 <= nano < 10^9. */
struct value_decimal {
	int64_t whole;
	int32_t nano;
};

/* All of the text, or false: an optional sign, 1 to 18 digits, and with a point 1 to 9 more. */
bool value_decimal(struct value_decimal *ret, const char *text);

/* Seconds since 1970, as a number or in ISO 8601: 2026-01-31, 2026-01-31T08:15Z,
 * 2026-01-31T08:15:30.5+01:00. A date alone begins at midnight UTC; a time must say its zone. */
bool value_date(struct value_decimal *ret, const char *text);

/* -1, 0 or 1. */
int value_compare(const struct value_decimal *a, const struct value_decimal *b);

bool value_bool(bool *ret, const char *text); /* true or false, in any case */

/* Addresses of one family whose first `bits` bits are these. */
struct value_net {
	uint8_t bytes[16];
	uint8_t family; /* 4 or 6; what is IPv4-mapped is of 4 */
	uint8_t bits;
};

/* An address, or with a slash a network; bits beyond the prefix are ignored. */
bool value_net(struct value_net *ret, const char *text);
bool value_address(struct value_net *ret, const char *text); /* without a slash */
bool value_net_has(const struct value_net *net, const struct value_net *address);

#endif
