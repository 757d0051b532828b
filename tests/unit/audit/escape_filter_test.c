#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "audit/export.h"

static void
check_bytes(const char *in, size_t n, const char *expected, size_t expected_n)
{
	struct escape_filter f;
	struct buf out;

	for (size_t piece = 1; piece <= n; piece++) { /* however it is cut */
		buf_init(&out, 65536);
		escape_filter_init(&f);
		for (size_t at = 0; at < n; at += piece)
			cr_assert(eq(int,
				escape_filter_feed(&f, in + at, piece < n - at ? piece : n - at,
					&out),
				0));
		cr_assert(out.len == expected_n && memcmp(buf_data(&out), expected, out.len) == 0,
			"%zu at a time: %.*s", piece, (int)out.len, (const char *)buf_data(&out));
		buf_fini(&out);
	}
}

static void
check(const char *in, const char *expected)
{
	check_bytes(in, strlen(in), expected, strlen(expected));
}

static void
passes(const char *in)
{
	check(in, in);
}

/* Whatever stands wherever, and whatever stands behind it. */
Test(escape_filter, a_plain_run_ends_at_the_first_byte_that_is_none)
{
	uint8_t text[24];

	for (int c = 0; c < 256; c++) {
		for (size_t at = 0; at < sizeof(text); at++) {
			bool plain = c >= 0x20 && c < 0x7f;

			memset(text, at % 2 ? ' ' : '~', sizeof(text));
			text[at] = (uint8_t)c;
			for (size_t n = 0; n <= sizeof(text); n++)
				cr_assert(eq(sz, escape_plain_run(text, n),
						  plain || n < at ? n : at),
					"%02x at %zu of %zu", (unsigned)c, at, n);
		}
	}
}

Test(escape_filter, passes_what_a_screen_is_made_of)
{
	passes("plain text\r\n\ttab\bback\a");
	passes("\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80");
	passes("\033[m\033[1;31m\033[38;5;8m\033[48;2;8;8;8m\033[4:3m\033[38:2::8:8:8m");
	passes("\033[H\033[2;3H\033[A\033[10B\033[C\033[D\033[E\033[F\033[G\033[5d\033[f");
	passes("\033[J\033[1J\033[2J\033[K\033[2K\033[X\033[3L\033[M\033[P\033[@\033[S\033[T");
	passes("\033[1;20r\033[r\033[s\033[u\0337\0338\033D\033E\033M\033[4h\033[4l");
	passes("\033[?25l\033[?25h\033[?1049h\033[?1049l\033[?47h\033[?7l");
	passes("\033(0qqq\033(B\033)0\016x\017");
}

Test(escape_filter, drops_strings_with_all_that_is_in_them)
{
	check("a\033]0;title\ab", "ab");
	check("a\033]52;c;aGk=\033\\b", "ab");
	check("a\033P1$r\033\\b\033_G\033\\c\033^x\033\\d\033Xx\033\\e\033kx\033\\f", "abcdef");
	check("\033]0;x\033[31mred", "\033[31mred"); /* ESC ends it */
	check("\033]0;x\030y", "y");
}

Test(escape_filter, a_string_without_an_end_hides_one_line_at_most)
{
	char in[6000], expected[6000];

	check("\033]0;never ends\r\nvisible", "\r\nvisible");
	strcpy(in, "\033P");
	memset(in + 2, 'x', 5000);
	in[5002] = '\0';
	memset(expected, 'x', 904);
	expected[904] = '\0';
	struct escape_filter f;
	struct buf out;
	buf_init(&out, 65536);
	escape_filter_init(&f);
	cr_assert(eq(int, escape_filter_feed(&f, in, 5002, &out), 0));
	cr_assert(strcmp(buf_str(&out), expected) == 0, "%zu", out.len);
	buf_fini(&out);
}

Test(escape_filter, drops_whatever_makes_a_terminal_answer)
{
	check("\033[c\033[>c\033[=c\033[5n\033[6n\033[?6n\033[x\033[>q\033[18t\033[?25$p\033Z\005\033[?u",
		"");
}

Test(escape_filter, drops_modes_of_keys_mouse_and_paste)
{
	check("\033[?1h\033[?1000h\033[?1006h\033[?2004h\033[20h\033[2h\033=\033>\033[>4;1m\033[>1u",
		"");
	check("\033[?1000;25;2004h", "\033[?25h");
	check("\033[?1000;2004h", "");
}

Test(escape_filter, drops_resets_resizing_and_printing)
{
	check("\033c\033[!p\033#8\033[8;50;100t\033[5i\033[?5i\033[1\"p\033[2 q\033 F\033%G\033[3J",
		"");
}

Test(escape_filter, drops_what_conceals)
{
	check("\033[8m\033[1;8;3mx", "\033[1;3mx");
	check("\033[38;8;5;38;5;8mx\033[58;5;8my\033[38;5my", "xyy");
	check("\xe2\x80\xae"
	      "abc\xe2\x81\xa6",
		"abc");
}

Test(escape_filter, drops_c1_in_both_spellings)
{
	check("\xc2\x9b"
	      "6n\xc2\x9d"
	      "0;x\xc2\x9c\xc2\xa0",
		"6n0;x\xc2\xa0");
	check("\x9b"
	      "6n",
		"\xef\xbf\xbd"
		"6n");
}

Test(escape_filter, replaces_what_is_no_utf8)
{
	check("\xff"
	      "a\xc3"
	      "b\xe6\xbc"
	      "c\xed\xa0\x80\xc0\xaf\xc3\033[mx",
		"\xef\xbf\xbd"
		"a\xef\xbf\xbd"
		"b\xef\xbf\xbd"
		"c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\033[mx");
}

Test(escape_filter, controls_within_a_sequence_act_as_on_a_terminal)
{
	check("\033[1\r2C", "\r\033[12C");
	check("\033[1\030x\033[1\032y", "xy");
	check("\033[1\033[2K", "\033[2K");
	check_bytes("a\0b\177c\013\014", 7, "abc", 3);
}

Test(escape_filter, drops_sequences_beyond_measure)
{
	check("\033[100000C\033[99999C\033[10000b\033[9999b\033[1;2;3H\033[3;4J",
		"\033[99999C\033[9999b");
	check("\033[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1mx", "x");
}

Test(escape_filter, its_own_reset_passes)
{
	passes(escape_filter_reset);
}
