/* A SOCKS5 conversation, in one piece and byte by byte. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "client/socks.h"
#include "proto/base/err.h"

struct talk {
	struct socks s;
	uint8_t said[64];
	size_t n_said;
	size_t used;
};

/* Feeds all in pieces of `piece` bytes. */
static struct talk
talk(const char *bytes, size_t n, size_t piece)
{
	struct talk t = {.n_said = 0};

	socks_init(&t.s);
	while (t.used < n && t.s.state < SOCKS_CONNECT) {
		size_t some = n - t.used < piece ? n - t.used : piece;
		t.used += socks_take(&t.s, (const uint8_t *)bytes + t.used, some);
		memcpy(t.said + t.n_said, t.s.reply, t.s.n_reply);
		t.n_said += t.s.n_reply;
		t.s.n_reply = 0;
	}
	return t;
}

#define TALK(text, piece) talk(text, sizeof(text) - 1, piece)

static void
check_connect(const struct talk *t, const char *host, int port, size_t used)
{
	cr_assert(eq(int, t->s.state, SOCKS_CONNECT));
	cr_assert_str_eq(t->s.host, host);
	cr_assert(eq(int, t->s.port, port));
	cr_assert(eq(sz, t->used, used));
	cr_assert(eq(sz, t->n_said, 2));
	cr_assert(memcmp(t->said, "\x05\x00", 2) == 0);
}

Test(socks, connect_by_name_and_by_address_whatever_the_pieces)
{
	for (size_t piece = 1; piece < 64; piece++) {
		struct talk t = TALK("\x05\x02\x01\x00\x05\x01\x00\x03\x02"
				     "db\x15\x38more",
			piece);
		check_connect(&t, "db", 5432, 13);
		t = TALK("\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x09\x00\x50", piece);
		check_connect(&t, "10.0.0.9", 80, 13);
		t = TALK("\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00"
			 "\x00\x00\x00\x00\x01\x01\xbb",
			piece);
		check_connect(&t, "2001:db8::1", 443, 25);
	}
}

Test(socks, the_longest_name_fits)
{
	char bytes[300] = "\x05\x01\x00\x05\x01\x00\x03\xff";

	memset(bytes + 8, 'a', 255);
	bytes[263] = 0;
	bytes[264] = 80;
	memcpy(bytes, "\x05\x01\x00\x05\x01\x00\x03\xff", 8);
	struct talk t = talk(bytes, 265, 1000);
	cr_assert(eq(int, t.s.state, SOCKS_CONNECT));
	cr_assert(eq(sz, strlen(t.s.host), 255));
}

/* Refused, and its last word is this, after the greeting's if there was one. */
static void
check_refused(const struct talk *t, const char *said, size_t n)
{
	cr_assert(eq(int, t->s.state, SOCKS_REFUSED));
	cr_assert_not_null(t->s.why);
	cr_assert(eq(sz, t->n_said, n));
	cr_assert(memcmp(t->said, said, n) == 0);
}

#define REFUSED(text, said)                                 \
	do {                                                \
		struct talk t_ = TALK(text, 1000);          \
		check_refused(&t_, said, sizeof(said) - 1); \
	} while (0)
#define ANSWER(code) "\x05\x00\x05" code "\x00\x01\x00\x00\x00\x00\x00\x00"

Test(socks, what_is_not_served_is_refused_in_the_protocols_words)
{
	REFUSED("\x05\x00", "\x05\xff");
	REFUSED("\x05\x02\x01\x02", "\x05\xff");
	REFUSED("\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", ANSWER("\x07"));
	REFUSED("\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", ANSWER("\x07"));
	REFUSED("\x05\x01\x00\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50", ANSWER("\x08"));
	REFUSED("\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", ANSWER("\x01"));
	REFUSED("\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", ANSWER("\x04"));
	REFUSED("\x05\x01\x00\x05\x01\x00\x03\x03"
		"a\0b\x00\x50",
		ANSWER("\x04"));
	REFUSED("\x05\x01\x00\x04\x01\x00\x01", ANSWER("\x01"));
}

Test(socks, another_protocol_gets_no_word)
{
	REFUSED("GET / HTTP/1.1\r\n", "");
	REFUSED("\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "");
}

Test(socks, an_answer_is_ten_bytes)
{
	struct talk t = TALK("\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x09\x00\x50", 1000);

	socks_answer(&t.s, SOCKS_OK);
	cr_assert(eq(sz, t.s.n_reply, 10));
	cr_assert(eq(int, t.s.state, SOCKS_CONNECT));
	socks_answer(&t.s, socks_reply_of(HW_EREFUSED));
	cr_assert(eq(int, t.s.reply[1], 5));
	cr_assert(eq(int, t.s.state, SOCKS_REFUSED));
	cr_assert(eq(int, socks_reply_of(HW_EDENIED), SOCKS_NOT_ALLOWED));
	cr_assert(eq(int, socks_reply_of(HW_EINTERNAL), SOCKS_FAILURE));
}
