/*
 * Networks as people write them: 10.0.0.0/8, 2001:db8::/32, or one address. An IPv4 address inside
 * an IPv6 one (::ffff:a.b.c.d) is the IPv4 one, on either side. Pure.
 */
#ifndef HAWSER_WIRE_NETWORK_H
#define HAWSER_WIRE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct sockaddr;

struct network {
	uint8_t address[16];
	int family; /* AF_INET or AF_INET6 */
	int bits;
};

/* `n` bytes of text, not more; an IPv6 address may stand in brackets. False when it is none. */
bool network_parse(struct network *ret, const char *text, size_t n);
/* Several, with commas or blanks between them. HW_EVALIDATION names the one that is none; HW_ELIMIT
 * when there are more than `max`. */
int network_list_parse(struct network *out, size_t *n, size_t max, const char *text,
	struct hw_err *err);

bool network_has(const struct network *net, const struct sockaddr *address);

#endif
