#include "client/outage.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "client/escape.h"
#include "client/screen.h"
#include "proto/base/loop.h"

#define SHORT  (OUTAGE_SHOWN_AFTER - 1)
#define LONGER (OUTAGE_SHOWN_AFTER + 1)
#define ROOM    \
	"\x1b"  \
	"D\x1b" \
	"M"

struct desk {
	struct fake_clock clock;
	struct loop *loop;
	struct screen screen;
	struct outage *outage;
	struct buf drawn, said;
	bool full; /* the terminal takes nothing */
};

static void
say(void *arg, const char *text)
{
	struct desk *d = arg;

	buf_printf(&d->said, "%s\n", text);
}

static bool
draw(void *arg, const void *p, size_t n)
{
	struct desk *d = arg;

	return !d->full && buf_append(&d->drawn, p, n) == 0;
}

static struct desk *
desk_new(int style, const char *shown)
{
	static struct desk d;
	struct outage_config config = {.style = style,
		.node = "web-01",
		.escape = '~',
		.screen = &d.screen,
		.say = say,
		.draw = draw,
		.arg = &d};

	memset(&d, 0, sizeof(d));
	fake_clock_init(&d.clock, 0);
	config.loop = d.loop = loop_new_fake(&d.clock);
	buf_init(&d.drawn, 1 << 16);
	buf_init(&d.said, 1 << 16);
	screen_feed(&d.screen, shown, strlen(shown));
	cr_assert(eq(int, outage_new(&d.outage, &config, NULL), 0));
	return &d;
}

static void
desk_free(struct desk *d)
{
	outage_free(d->outage);
	loop_free(d->loop);
	buf_fini(&d->drawn);
	buf_fini(&d->said);
}

static void
has(struct desk *d, const char *part)
{
	cr_assert(strstr(buf_str(&d->drawn), part) != NULL, "'%s' is not in '%s'", part,
		buf_str(&d->drawn));
}

static void
lacks(struct desk *d, const char *part)
{
	cr_assert(strstr(buf_str(&d->drawn), part) == NULL, "'%s' is in '%s'", part,
		buf_str(&d->drawn));
}

Test(outage, what_is_over_soon_is_not_worth_a_word)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "$ ");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, SHORT);
	cr_assert(not(outage_end(d->outage)));
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert(eq(sz, d->drawn.len, 0));
	desk_free(d);
	d = desk_new(OUTAGE_LINES, "");
	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, OUTAGE_SAID_AFTER - 1);
	outage_end(d->outage);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert(eq(sz, d->said.len, 0));
	desk_free(d);
}

Test(outage, below_a_prompt_is_a_line_that_goes_again)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "$ ");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, LONGER);
	cr_assert(eq(int, strncmp(buf_str(&d->drawn), ROOM, strlen(ROOM)), 0));
	has(d, "[hawser: the link to the relay was lost, waiting 0 s; ~. ends]");
	lacks(d, "\x1b[1;1H");
	lacks(d, "typed");
	buf_reset(&d->drawn);
	loop_advance(d->loop, 2 * USEC_PER_SEC);
	has(d, "waiting 2 s");
	lacks(d, ROOM);
	buf_reset(&d->drawn);
	cr_assert(not(outage_end(d->outage)));
	cr_assert_str_eq(buf_str(&d->drawn),
		"\x1b"
		"7\r\n\x1b[0m\x1b[2K\x1b"
		"8");
	buf_reset(&d->drawn);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert(eq(sz, d->drawn.len, 0), "nothing comes after");
	desk_free(d);
}

Test(outage, a_full_screen_has_it_at_the_top_and_is_shown_anew)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "\x1b[?1049h~\r\n~\r\n");

	outage_begin(d->outage, HW_EINTERRUPTED);
	loop_advance(d->loop, LONGER);
	has(d, "\x1b[1;1H");
	has(d, "the link to node web-01 was lost");
	lacks(d, ROOM);
	lacks(d, "\n");
	cr_assert(outage_end(d->outage), "it stood on a line of the program's");
	outage_begin(d->outage, HW_EINTERRUPTED);
	cr_assert(not(outage_end(d->outage)), "not this time");
	desk_free(d);
}

Test(outage, how_many_keys_wait_is_underlined_and_what_they_are_is_not_shown)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "Password: ");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	outage_keys(d->outage, 1, 0);
	loop_advance(d->loop, LONGER);
	has(d, "\x1b[4m1 typed\x1b[24m]");
	outage_keys(d->outage, 4096, 17);
	has(d, "\x1b[4m4096 typed, 17 more dropped\x1b[24m]");
	outage_end(d->outage);
	buf_reset(&d->drawn);
	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, LONGER);
	lacks(d, "typed");
	desk_free(d);
}

Test(outage, a_sequence_that_was_cut_is_cancelled_and_sent_again)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "text\x1b[3");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, LONGER);
	cr_assert(eq(int, buf_data(&d->drawn)[0], 0x18));
	buf_reset(&d->drawn);
	outage_end(d->outage);
	cr_assert(d->drawn.len > 3);
	cr_assert_str_eq(buf_str(&d->drawn) + d->drawn.len - 3, "\x1b[3");
	desk_free(d);
	d = desk_new(OUTAGE_SCREEN, "caf\xc3");
	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert(eq(sz, d->drawn.len, 0), "a character cannot be cut");
	outage_end(d->outage);
	desk_free(d);
}

Test(outage, a_terminal_that_is_stopped_is_asked_again)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "$ ");

	d->full = true;
	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, LONGER);
	d->full = false;
	loop_advance(d->loop, USEC_PER_SEC);
	has(d, "waiting 1 s");
	has(d, ROOM);
	desk_free(d);
}

Test(outage, what_is_hidden_comes_again_while_it_lasts)
{
	struct desk *d = desk_new(OUTAGE_SCREEN, "$ ");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, LONGER);
	outage_hide(d->outage);
	buf_reset(&d->drawn);
	outage_hide(d->outage);
	cr_assert(eq(sz, d->drawn.len, 0));
	loop_advance(d->loop, USEC_PER_SEC);
	has(d, ROOM);
	has(d, "waiting 1 s");
	outage_stop(d->outage);
	buf_reset(&d->drawn);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert(eq(sz, d->drawn.len, 0));
	desk_free(d);
}

Test(outage, elsewhere_it_is_a_line_and_another_when_it_is_over)
{
	struct desk *d = desk_new(OUTAGE_LINES, "");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert_str_eq(buf_str(&d->said), "the link to the relay was lost; waiting for it\n");
	outage_begin(d->outage, HW_EINTERRUPTED);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	cr_assert(not(outage_end(d->outage)));
	cr_assert_str_eq(buf_str(&d->said),
		"the link to the relay was lost; waiting for it\n"
		"the link to node web-01 was lost; waiting for it\n"
		"connected again\n");
	outage_begin(d->outage, HW_EUNAVAILABLE);
	loop_advance(d->loop, 10 * USEC_PER_SEC);
	outage_stop(d->outage);
	cr_assert(strstr(buf_str(&d->said), "connected again\nthe link") != NULL);
	cr_assert(eq(sz, d->drawn.len, 0));
	desk_free(d);
}

Test(outage, the_silent_say_nothing)
{
	struct desk *d = desk_new(OUTAGE_SILENT, "");

	outage_begin(d->outage, HW_EUNAVAILABLE);
	outage_keys(d->outage, 1, 1);
	loop_advance(d->loop, 100 * USEC_PER_SEC);
	cr_assert(not(outage_end(d->outage)));
	cr_assert(eq(sz, d->said.len + d->drawn.len, 0));
	desk_free(d);
}
