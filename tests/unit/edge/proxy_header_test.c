#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "relay/edge/proxy_header.h"

static struct proxy_header h;

static enum proxy_header_state
look(const char *p, size_t n)
{
	/* The bytes alone, so that a read beyond them is seen. */
	uint8_t *copy = malloc(n > 0 ? n : 1);

	memcpy(copy, p, n);
	enum proxy_header_state state = proxy_header_read(&h, copy, n);
	free(copy);
	return state;
}

static const char *
from(void)
{
	static char text[INET6_ADDRSTRLEN];

	if (!h.told)
		return "-";
	const void *at = h.from.ss_family == AF_INET
		? (const void *)&((struct sockaddr_in *)&h.from)->sin_addr
		: (const void *)&((struct sockaddr_in6 *)&h.from)->sin6_addr;
	return inet_ntop(h.from.ss_family, at, text, sizeof(text));
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4	  SIGNATURE "\x21\x11\0\x0c\xc6\x33\x64\x07\x0a\0\0\x01\xd4\x31\x01\xbb"
#define V6                                                                   \
	SIGNATURE "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" \
		  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xd4\x31\x01\xbb"
#define LOOK(text) look(text, sizeof(text) - 1)

Test(proxy_header, version_2_says_whose_it_is)
{
	cr_assert(eq(int, LOOK(V4 "\x16\x03\x01"), PROXY_HEADER_WHOLE));
	cr_assert(eq(sz, h.n, 28));
	cr_assert(eq(str, (char *)from(), (char *)"198.51.100.7"));
	cr_assert(eq(int, LOOK(V6 "\x16"), PROXY_HEADER_WHOLE));
	cr_assert(eq(sz, h.n, 52));
	cr_assert(eq(str, (char *)from(), (char *)"2001:db8::7"));
}

Test(proxy_header, version_2_passes_over_what_follows_the_addresses)
{
	cr_assert(eq(int,
		LOOK(SIGNATURE
			"\x21\x11\0\x10\xc6\x33\x64\x07\x0a\0\0\x01\xd4\x31\x01\xbb\x04\0\x01x"),
		PROXY_HEADER_WHOLE));
	cr_assert(eq(sz, h.n, 32));
	cr_assert(eq(str, (char *)from(), (char *)"198.51.100.7"));
}

Test(proxy_header, a_balancers_own_connection_is_its_own)
{
	cr_assert(eq(int, LOOK(SIGNATURE "\x20\0\0\0"), PROXY_HEADER_WHOLE));
	cr_assert(eq(sz, h.n, 16));
	cr_assert(not(h.told));
	/* LOCAL with addresses, which do not count */
	cr_assert(eq(int,
		LOOK(SIGNATURE "\x20\x11\0\x0c\xc6\x33\x64\x07\x0a\0\0\x01\xd4\x31\x01\xbb"),
		PROXY_HEADER_WHOLE));
	cr_assert(not(h.told));
	cr_assert(eq(int, LOOK(SIGNATURE "\x21\0\0\0"), PROXY_HEADER_WHOLE));
	cr_assert(not(h.told));
	cr_assert(eq(int, LOOK("PROXY UNKNOWN\r\n"), PROXY_HEADER_WHOLE));
	cr_assert(not(h.told));
	cr_assert(eq(int, LOOK("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n\x16"), PROXY_HEADER_WHOLE));
	cr_assert(not(h.told));
	cr_assert(eq(sz, h.n, 35));
}

Test(proxy_header, version_1_says_whose_it_is)
{
	cr_assert(eq(int, LOOK("PROXY TCP4 198.51.100.7 10.0.0.1 54321 443\r\n\x16"),
		PROXY_HEADER_WHOLE));
	cr_assert(eq(str, (char *)from(), (char *)"198.51.100.7"));
	cr_assert(eq(sz, h.n, 44));
	cr_assert(eq(int, LOOK("PROXY TCP6 2001:db8::7 2001:db8::1 54321 443\r\n"),
		PROXY_HEADER_WHOLE));
	cr_assert(eq(str, (char *)from(), (char *)"2001:db8::7"));
}

/* Each look asks for more than there is, and never for more than comes. */
static void
comes_byte_by_byte(const char *text, size_t n)
{
	size_t wanted = 0;

	for (size_t i = 0; i < n; i++) {
		enum proxy_header_state state = look(text, i);
		cr_assert(eq(int, state, PROXY_HEADER_PART), "after %zu bytes", i);
		cr_assert(gt(sz, h.n, i));
		cr_assert(le(sz, h.n, n));
		cr_assert(ge(sz, h.n, wanted > i ? wanted : 0));
		wanted = h.n;
	}
	cr_assert(eq(int, look(text, n), PROXY_HEADER_WHOLE));
}

Test(proxy_header, may_come_in_pieces)
{
	comes_byte_by_byte(V4, sizeof(V4) - 1);
	comes_byte_by_byte(V6, sizeof(V6) - 1);
	comes_byte_by_byte("PROXY TCP4 198.51.100.7 10.0.0.1 54321 443\r\n", 44);
	comes_byte_by_byte("PROXY UNKNOWN\r\n", 15);
}

Test(proxy_header, what_is_none_is_refused)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
#define BAD(text) {text, sizeof(text) - 1}
		BAD("\x16\x03\x01\0\x10"),
		BAD("GET / HTTP/1.1\r\n"),
		BAD("PROXX"),
		BAD("\r\n\r\nQ"),
		BAD(SIGNATURE "\x11\x11\0\x0c"),			 /* version 1, in binary */
		BAD(SIGNATURE "\x22\x11\0\x0c"),			 /* no such command */
		BAD(SIGNATURE "\x21\x12\0\x0c\1\2\3\4\1\2\3\4\1\2\1\2"), /* UDP */
		BAD(SIGNATURE "\x21\x31\0\x02\1\2"),			 /* a Unix socket */
		BAD(SIGNATURE "\x21\x11\0\x0b\1\2\3\4\1\2\3\4\1\2\1"),	 /* too short for it */
		BAD(SIGNATURE "\x21\x21\0\x0c\1\2\3\4\1\2\3\4\1\2\1\2"),
		BAD(SIGNATURE "\x21\x11\xff\xff"), /* longer than any */
		BAD("PROXY TCP4 198.51.100.7 10.0.0.1 54321\r\n"),
		BAD("PROXY TCP4 198.51.100.7 10.0.0.1 54321 443 x\r\n"),
		BAD("PROXY TCP4 198.51.100.7 10.0.0.1 54321 65536\r\n"),
		BAD("PROXY TCP4 198.51.100.7 10.0.0.1 -1 443\r\n"),
		BAD("PROXY TCP4 198.51.100.7  10.0.0.1 1 443\r\n"),
		BAD("PROXY TCP4 2001:db8::7 10.0.0.1 54321 443\r\n"),
		BAD("PROXY TCP6 198.51.100.7 10.0.0.1 54321 443\r\n"),
		BAD("PROXY TCP5 198.51.100.7 10.0.0.1 54321 443\r\n"),
		BAD("PROXY TCP4 198.51.100.7 10.0.0.1 54321 443\n"),
		BAD("PROXY TCP4 198.51.100.7 10.0.0.1 54\0001 443\r\n"),
		BAD("PROXY UNKNOWN                                                         "
		    "                                                            "),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect(eq(int, look(bad[i].p, bad[i].n), PROXY_HEADER_BAD), "row %zu", i);
}
