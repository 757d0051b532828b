#include "proto/wire/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 64

static bool
take_bytes(struct network *net, int family, const void *bytes)
{
	*net = (struct network){.family = family, .bits = family == AF_INET ? 32 : 128};
	memcpy(net->address, bytes, (size_t)net->bits / 8);
	return true;
}

/* As a network of its own; an IPv4 address of what holds it. */
static bool
take_address(struct network *net, const struct sockaddr *sa)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		return take_bytes(net, AF_INET, &v4.sin_addr);
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&v6, sa, sizeof(v6));
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return take_bytes(net, AF_INET, v6.sin6_addr.s6_addr + 12);
	return take_bytes(net, AF_INET6, &v6.sin6_addr);
}

static bool
parse_address(struct network *net, char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	size_t n = strlen(text);

	if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
		text[n - 1] = '\0';
		return inet_pton(AF_INET6, text + 1, &v6.sin6_addr) == 1 &&
			take_address(net, (const struct sockaddr *)&v6);
	}
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return take_address(net, (const struct sockaddr *)&v4);
	return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 &&
		take_address(net, (const struct sockaddr *)&v6);
}

bool
network_parse(struct network *ret, const char *text, size_t n)
{
	char copy[TEXT_MAX], *slash;
	struct network net;
	int bits = -1;

	if (n == 0 || n >= sizeof(copy) || memchr(text, '\0', n) != NULL)
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if ((slash = strchr(copy, '/')) != NULL) {
		size_t digits = strspn(slash + 1, "0123456789");
		if (digits == 0 || digits > 3 || slash[1 + digits] != '\0')
			return false;
		bits = atoi(slash + 1);
		*slash = '\0';
	}
	if (!parse_address(&net, copy))
		return false;
	if (bits >= 0 && net.family == AF_INET && strchr(copy, ':') != NULL)
		bits -= 96; /* of a mapped one */
	if (bits > net.bits || (slash != NULL && bits < 0))
		return false;
	if (bits >= 0)
		net.bits = bits;
	*ret = net;
	return true;
}

bool
network_has(const struct network *net, const struct sockaddr *address)
{
	struct network one;
	int whole = net->bits / 8, rest = net->bits % 8;

	if (!take_address(&one, address) || one.family != net->family ||
		memcmp(one.address, net->address, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((one.address[whole] ^ net->address[whole]) >> (8 - rest)) == 0;
}

int
network_list_parse(struct network *out, size_t *n, size_t max, const char *text, struct hw_err *err)
{
	size_t count = 0;

	for (const char *at = text; *at != '\0';) {
		size_t length = strcspn(at, ", \t");
		if (length > 0 && count == max)
			return hw_err_set(err, HW_ELIMIT, "at most %zu networks", max);
		if (length > 0 && !network_parse(&out[count++], at, length))
			return hw_err_set(err, HW_EVALIDATION,
				"\"%.*s\" is no network: 10.0.0.0/8, 2001:db8::/32, or an address",
				(int)(length < 60 ? length : 60), at);
		at += length;
		at += *at != '\0';
	}
	*n = count;
	return 0;
}
