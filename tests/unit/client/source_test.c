#include "client/source.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void
points(const char *text, size_t line, size_t column, const char *expected)
{
	struct buf out;

	buf_init(&out, 65536);
	source_point(&out, text, strlen(text), line, column);
	cr_expect_str_eq(buf_str(&out), expected);
	buf_fini(&out);
}

Test(source, the_caret_stands_under_the_column)
{
	points("one\ntwo three\n", 2, 5, "    two three\n        ^\n");
	points("one", 1, 1, "    one\n    ^\n");
}

Test(source, the_end_of_a_line_is_a_place)
{
	points("one\r\ntwo", 1, 4, "    one\n       ^\n");
	points("one\n", 2, 1, "    \n    ^\n");
	points("", 1, 1, "    \n    ^\n");
}

Test(source, a_place_outside_of_the_text_shows_nothing)
{
	points("one\n", 1, 5, "");
	points("one\n", 3, 1, "");
	points("one\n", 0, 1, "");
	points("one\n", 1, 0, "");
	points("one\n", SIZE_MAX, SIZE_MAX, "");
}

Test(source, wide_and_hidden_characters_do_not_move_the_caret)
{
	points("\xe6\xbc\xa2\xe5\xad\x97 x", 1, 4, "    \xe6\xbc\xa2\xe5\xad\x97 x\n         ^\n");
	points("\x80\x80x", 1, 2, "    \\x80\\x80x\n            ^\n");
	points("\x1b[1mx", 1, 5, "    \\x1b[1mx\n           ^\n");
	points("\t\tx\ty", 1, 3, "            x    y\n            ^\n");
}

Test(source, a_long_line_that_is_no_text_is_cut_anywhere)
{
	char text[201];
	struct buf out;

	memset(text, 0x80, 200);
	text[0] = 'x';
	text[200] = '\0';
	buf_init(&out, 65536);
	source_point(&out, text, 200, 1, 1);
	cr_assert(strncmp(buf_str(&out), "    x\\x80", 9) == 0, "%s", buf_str(&out));
	source_point(&out, text, 200, 1, 2);
	source_point(&out, text + 1, 199, 1, 1);
	cr_assert(not(out.failed));
	buf_fini(&out);
}

Test(source, of_a_long_line_what_is_around_the_column)
{
	char text[1001], expected[256];

	memset(text, 'x', 1000);
	text[500] = '!';
	text[1000] = '\0';
	snprintf(expected, sizeof(expected), "    ...%.48s!%.23s...\n%55s^\n", text, text, "");
	points(text, 1, 501, expected);
}
