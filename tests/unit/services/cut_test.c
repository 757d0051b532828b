/* Output as SSM's fields have it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/enc.h"
#include "relay/services/commands/cut.h"

#define STREAM_CUT "--output truncated--"

static void
make(struct buf *b, char c, size_t n)
{
	buf_init(b, 1 << 20);
	for (size_t i = 0; i < n; i++)
		buf_append_byte(b, (uint8_t)c);
}

Test(cut, bytes_that_are_no_text_are_replaced_one_by_one)
{
	static const char bytes[] = "a\0b\xff\xe2\x82z\xf0\x9f\x98";
	struct buf out;

	buf_init(&out, 1000);
	cr_assert(eq(int, cut_text(&out, bytes, sizeof(bytes) - 1), 0));
#define R "\xef\xbf\xbd"
	cr_assert_str_eq(buf_str(&out), "a" R "b" R R R "z" R R R);
#undef R
	buf_fini(&out);
}

Test(cut, a_stream_is_cut_from_its_bound_on_and_not_before)
{
	struct buf b;

	make(&b, 'x', CUT_STDOUT - 1);
	cr_assert(eq(int, cut_stream(&b, CUT_STDOUT), 0));
	cr_assert(eq(sz, b.len, CUT_STDOUT - 1));
	buf_fini(&b);
	for (size_t more = 0; more < 3; more++) {
		make(&b, 'x', CUT_STDOUT + more);
		cr_assert(eq(int, cut_stream(&b, CUT_STDOUT), 0));
		cr_assert(eq(sz, b.len, CUT_STDOUT));
		cr_assert_str_eq(buf_str(&b) + CUT_STDOUT - 20, STREAM_CUT);
		buf_fini(&b);
	}
}

/* At every place that the end can fall to. */
Test(cut, no_character_is_halved)
{
	for (size_t shift = 0; shift < 4; shift++) {
		struct buf b;
		make(&b, 'x', shift);
		while (b.len < CUT_STDERR + 8)
			buf_append_str(&b, "\xf0\x9f\x98\x80");
		cr_assert(eq(int, cut_stream(&b, CUT_STDERR), 0));
		cr_assert(utf8_valid(buf_data(&b), b.len));
		cr_assert(le(sz, b.len, CUT_STDERR));
		cr_assert(gt(sz, b.len, CUT_STDERR - 4));
		cr_assert(ne(ptr, strstr(buf_str(&b), STREAM_CUT), NULL));
		buf_fini(&b);
	}
}

static char *
plugin(size_t out, size_t err)
{
	struct buf o, e, both;

	make(&o, 'o', out);
	make(&e, 'e', err);
	buf_init(&both, CUT_PLUGIN);
	cr_assert(eq(int, cut_plugin(&both, &o, &e), 0), "%zu and %zu", out, err);
	char *text = strdup(buf_str(&both));
	buf_fini(&o);
	buf_fini(&e);
	buf_fini(&both);
	return text;
}

Test(cut, both_streams_share_what_there_is)
{
	static const struct {
		size_t out, err;
		bool out_cut, err_cut;
	} rows[] = {
		{0,    0,    false, false},
		{2500, 0,	  false, false},
		{2501, 0,	  true,	false},
		{10,   10,	 false, false},
		{2400, 76,   false, false},
		{2400, 77,   true,	 false},
		{100,  5000, false, true },
		{5000, 100,  true,  false},
		{5000, 5000, true,  true },
		{0,    5000, false, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = plugin(rows[i].out, rows[i].err);
		cr_assert(le(sz, strlen(text), CUT_PLUGIN), "row %zu", i);
		cr_assert(eq(int, strstr(text, "---Output truncated---") != NULL, rows[i].out_cut),
			"row %zu", i);
		cr_assert(eq(int, strstr(text, "---Error truncated----") != NULL, rows[i].err_cut),
			"row %zu", i);
		cr_assert(eq(int, strstr(text, "\n----------ERROR-------\n") != NULL,
				  rows[i].err > 0),
			"row %zu", i);
		free(text);
	}
}
