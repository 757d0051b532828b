#include "proto/base/display.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static void
shows(const char *text, size_t n, const char *shown, size_t width)
{
	struct buf out;

	buf_init(&out, 4096);
	cr_assert(eq(sz, display_append(&out, text, n), width));
	cr_assert_str_eq(buf_str(&out), shown);
	cr_assert(eq(sz, display_append(NULL, text, n), width));
	buf_fini(&out);
}

Test(display, plain_text_is_itself)
{
	shows("web-01", 6, "web-01", 6);
	shows("", 0, "", 0);
}

Test(display, wide_and_combining_characters_have_their_width)
{
	shows("\xe7\xb6\xb2", 3, "\xe7\xb6\xb2", 2);
	shows("e\xcc\x81", 3, "e\xcc\x81", 1);
	shows("\xc3\xa9", 2, "\xc3\xa9", 1);
}

Test(display, nothing_steers_the_terminal)
{
	shows("\033[2J", 4, "\\x1b[2J", 7);
	shows("a\nb\r\t", 5, "a\\x0ab\\x0d\\x09", 14);
	shows("\x7f", 1, "\\x7f", 4);
	shows("\0", 1, "\\x00", 4);
	shows("\xc2\x9b", 2, "\\u{9b}", 6);	  /* CSI as one character */
	shows("\xe2\x80\xae", 3, "\\u{202e}", 8); /* turns the direction */
}

Test(display, invalid_bytes_show_as_such)
{
	shows("\xff", 1, "\\xff", 4);
	shows("\xe7\xb6", 2, "\\xe7\\xb6", 8);
	shows("\xc0\x80", 2, "\\xc0\\x80", 8);
}

Test(display, wraps_at_blanks_and_leaves_long_words_whole)
{
	struct buf out;

	buf_init(&out, 4096);
	cr_assert(eq(sz, display_wrap(&out, "one two three", 2, 9), 2));
	cr_assert_str_eq(buf_str(&out), "one two\n  three\n");
	buf_reset(&out);
	cr_assert(eq(sz, display_wrap(&out, "  a  muchtoolong\x1b b", 4, 10), 3));
	cr_assert_str_eq(buf_str(&out), "a\n    muchtoolong\\x1b\n    b\n");
	buf_reset(&out);
	cr_assert(eq(sz, display_wrap(&out, "", 4, 10), 1));
	cr_assert_str_eq(buf_str(&out), "\n");
	buf_fini(&out);
}
