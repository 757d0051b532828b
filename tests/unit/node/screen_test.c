/* The screen that a holder keeps: output waits, is passed over where it cannot be seen, and shows.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "node/holder/screen.h"
#include "node/holder/terminal.h"
#include "tests/unit/node/terminals.h"

#define FLOOD (300 * 1024)

Test(screen, what_is_passed_over_cannot_be_seen)
{
	uint8_t *bytes = malloc(FLOOD);
	uint32_t seed = 1;
	char why[256];

	for (int i = 0; i < 150; i++) {
		int rows = 1 + (int)chance(&seed, 40), cols = 1 + (int)chance(&seed, 120);
		struct screen *s = screen_new(cols, rows);
		struct terminal t;
		cr_assert(terminal_init(&t, rows, cols));
		size_t n = chance_output(&seed, bytes, 2000);
		terminal_write(&t, bytes, n);
		screen_feed(s, bytes, n);
		screen_settle(s);
		n = chance_flood(&seed, bytes, 1 + chance(&seed, FLOOD));
		terminal_write(&t, bytes, n);
		for (size_t at = 0, piece; at < n; at += piece) {
			piece = 1 + chance(&seed, 100000);
			piece = piece < n - at ? piece : n - at;
			screen_feed(s, bytes + at, piece);
			if (chance(&seed, 3) == 0)
				screen_settle(s);
		}
		screen_settle(s);
		cr_assert(terminals_alike(&t, screen_terminal(s), why), "round %d: %s", i, why);
		cr_assert_eq(t.last, screen_terminal(s)->last);
		screen_free(s);
		terminal_fini(&t);
	}
	free(bytes);
}

Test(screen, output_waits_until_somebody_looks)
{
	struct screen *s = screen_new(80, 24);
	char row[1024];

	cr_assert_not(screen_waits(s));
	screen_feed(s, "hello", 5);
	cr_assert(screen_waits(s));
	cr_assert_null(screen_terminal(s));
	screen_settle(s);
	cr_assert_not(screen_waits(s));
	cr_assert_str_eq(terminal_text(screen_terminal(s), 0, row), "hello");
	screen_free(s);
}

Test(screen, follows_its_size)
{
	struct screen *s = screen_new(0, 0);
	char row[1024];

	screen_feed(s, "0123456789", 10);
	screen_resize(s, 5, 2);
	screen_feed(s, "\r\nabcde", 7);
	screen_settle(s);
	cr_assert_eq(screen_terminal(s)->cols, 5);
	cr_assert_str_eq(terminal_text(screen_terminal(s), 0, row), "01234");
	cr_assert_str_eq(terminal_text(screen_terminal(s), 1, row), "abcde");
	screen_resize(s, 0, 0);
	cr_assert_eq(screen_terminal(s)->cols, 80);
	screen_free(s);
}

Test(screen, none_is_kept_of_one_that_is_too_large)
{
	struct screen *s = screen_new(65535, 65535);
	size_t n = 0;

	screen_feed(s, "lost", 4);
	cr_assert_not(screen_waits(s));
	cr_assert_null(screen_paint(s, &n));
	screen_resize(s, 500, 250);
	screen_feed(s, "kept", 4);
	uint8_t *out = screen_paint(s, &n);
	cr_assert_not_null(memmem(out, n, "kept", 4));
	cr_assert_null(memmem(out, n, "lost", 4));
	free(out);
	screen_resize(s, 501, 250);
	cr_assert_null(screen_paint(s, &n));
	cr_assert_null(screen_terminal(s));
	screen_free(s);
}

Test(screen, none_is_kept_of_one_that_is_too_long_or_wide)
{
	static const struct {
		int cols, rows;
		bool kept;
	} sizes[] = {
		{2000,  1,	  true },
		{1,	    2000,  true },
		{2001,  1,	  false},
		{1,	    2001,  false},
		{65535, 1,	   false},
		{1,	    65535, false},
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct screen *s = screen_new(sizes[i].cols, sizes[i].rows);
		size_t n = 0;
		screen_feed(s, "x", 1);
		cr_assert_eq(screen_waits(s), sizes[i].kept, "%zu", i);
		uint8_t *out = screen_paint(s, &n);
		cr_assert_eq(out != NULL, sizes[i].kept, "%zu", i);
		free(out);
		screen_free(s);
	}
}

Test(screen, a_blank_one_is_painted_too)
{
	struct screen *s = screen_new(80, 24);
	size_t n = 0;
	uint8_t *out = screen_paint(s, &n);

	cr_assert(out != NULL && n > 0);
	free(out);
	screen_free(s);
}
