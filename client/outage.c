#include "client/outage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/screen.h"
#include "client/terminal.h"
#include "proto/base/display.h"
#include "proto/base/loop.h"

#define TICK	 USEC_PER_SEC
#define LINE_MAX 1024

#define SAVE   \
	"\x1b" \
	"7"
#define RESTORE \
	"\x1b"  \
	"8"
#define WIPE "\x1b[0m\x1b[2K"
#define TOP  "\x1b[1;1H"
/* Makes a line below the cursor, which stays where it is: down, and up again. */
#define MAKE_ROOM \
	"\x1b"    \
	"D\x1b"   \
	"M"
#define CANCEL "\x18"

struct outage {
	struct outage_config config;
	struct loop_timer timer;
	int code; /* 0: there is none */
	int64_t since;
	bool said;
	bool shown, on_top;
	bool spoiled; /* what stood at the top */
	size_t kept, dropped;
};

static int64_t
now(const struct outage *o)
{
	return clock_mono(loop_clock(o->config.loop));
}

/* "the relay", "the node web-01" */
static void
write_whom(char out[128], const struct outage *o)
{
	if (o->code == HW_EINTERRUPTED && o->config.node != NULL)
		snprintf(out, 128, "node %.100s", o->config.node);
	else
		snprintf(out, 128, "%s", o->code == HW_EINTERRUPTED ? "the node" : "the relay");
}

/* --- on a screen ------------------------------------------------------------------------------ */

/* The longest wording that fits is taken: a line that wraps could not be taken back. */
enum wording { WORDS_ALL, WORDS_FEW, WORDS_FEWEST };

static void
append_escape(struct buf *text, int escape)
{
	if (escape == ESCAPE_OFF)
		return;
	if (escape < ' ')
		buf_printf(text, "; ^%c. ends", escape + '@');
	else
		buf_printf(text, "; %c. ends", escape);
}

static void
word(struct buf *text, struct buf *keys, const struct outage *o, enum wording w)
{
	int seconds = (int)((now(o) - o->since) / USEC_PER_SEC);
	char whom[128];

	write_whom(whom, o);
	buf_append_str(text, "[hawser: ");
	if (w == WORDS_ALL)
		buf_printf(text, "the link to %s was lost, ", whom);
	buf_append_str(text, "waiting");
	if (w != WORDS_FEWEST) {
		buf_printf(text, " %d s", seconds);
		append_escape(text, o->config.escape);
	}
	if (o->kept > 0)
		buf_printf(keys, "%zu typed", o->kept);
	if (o->dropped > 0)
		buf_printf(keys, ", %zu more dropped", o->dropped);
}

static size_t
columns_of(const struct buf *text)
{
	return display_append(NULL, (const char *)buf_data(text), text->len);
}

/* The keys are underlined: they are here so far, and nowhere else. How many they are is all that is
 * shown of them: they may be a password. */
static void
append_notice(struct buf *out, const struct outage *o)
{
	struct buf text, keys;
	int cols, rows;

	terminal_size(&cols, &rows);
	buf_init(&text, LINE_MAX);
	buf_init(&keys, LINE_MAX);
	for (int w = WORDS_ALL; w <= WORDS_FEWEST; w++) {
		buf_reset(&text);
		buf_reset(&keys);
		word(&text, &keys, o, w);
		if (columns_of(&text) + keys.len + strlen("; ]") < (size_t)cols)
			break;
	}
	buf_append_str(out, "\x1b[7m");
	display_append(out, (const char *)buf_data(&text), text.len);
	if (keys.len > 0)
		buf_printf(out, "; \x1b[4m%s\x1b[24m", buf_str(&keys));
	buf_append_str(out, "]\x1b[0m");
	buf_fini(&text);
	buf_fini(&keys);
}

static void
append_frame(struct buf *out, struct outage *o, bool notice)
{
	buf_append_str(out, o->on_top ? SAVE TOP WIPE : SAVE "\r\n" WIPE);
	if (notice)
		append_notice(out, o);
	buf_append_str(out, RESTORE);
}

static void
show(struct outage *o)
{
	struct buf out;

	if (!screen_may_break(o->config.screen))
		return;
	buf_init(&out, 4 * LINE_MAX);
	if (!o->shown) {
		o->on_top = screen_is_alternate(o->config.screen);
		if (o->config.screen->n_torn > 0)
			buf_append_str(&out, CANCEL);
		if (!o->on_top)
			buf_append_str(&out, MAKE_ROOM);
	}
	append_frame(&out, o, true);
	if (!out.failed && o->config.draw(o->config.arg, buf_data(&out), out.len)) {
		o->shown = true;
		o->spoiled = o->spoiled || o->on_top;
	}
	buf_fini(&out);
}

void
outage_hide(struct outage *o)
{
	struct buf out;

	if (!o->shown)
		return;
	buf_init(&out, LINE_MAX);
	append_frame(&out, o, false);
	screen_torn(o->config.screen, &out);
	o->config.draw(o->config.arg, buf_data(&out), out.len);
	o->shown = false;
	buf_fini(&out);
}

/* --- in lines --------------------------------------------------------------------------------- */

static void
say(struct outage *o)
{
	char text[200], whom[128];

	write_whom(whom, o);
	snprintf(text, sizeof(text), "the link to %s was lost; waiting for it", whom);
	o->said = true;
	o->config.say(o->config.arg, text);
}

/* --- time ------------------------------------------------------------------------------------- */

static void
on_timer(void *arg)
{
	struct outage *o = arg;

	if (o->config.style == OUTAGE_LINES) {
		say(o);
		return;
	}
	show(o);
	loop_timer_start(o->config.loop, &o->timer, TICK);
}

void
outage_begin(struct outage *o, int code)
{
	bool lines = o->config.style == OUTAGE_LINES;

	if (o->code == 0)
		o->since = now(o);
	o->code = code;
	if (o->config.style == OUTAGE_SILENT)
		return;
	/* A line that is there says it at its next tick: by then it may be over. */
	if (!o->shown)
		loop_timer_start(o->config.loop, &o->timer,
			lines ? OUTAGE_SAID_AFTER : OUTAGE_SHOWN_AFTER);
}

void
outage_keys(struct outage *o, size_t kept, size_t dropped)
{
	o->kept = kept;
	o->dropped = dropped;
	if (o->shown)
		show(o);
}

void
outage_stop(struct outage *o)
{
	outage_hide(o);
	loop_timer_stop(o->config.loop, &o->timer);
	o->code = 0;
	o->kept = o->dropped = 0;
	o->said = o->spoiled = false;
}

bool
outage_end(struct outage *o)
{
	bool said = o->said, spoiled = o->spoiled;

	outage_stop(o);
	if (said)
		o->config.say(o->config.arg, "connected again");
	return spoiled;
}

/* --- life ------------------------------------------------------------------------------------- */

int
outage_new(struct outage **ret, const struct outage_config *config, struct hw_err *err)
{
	struct outage *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	o->config = *config;
	o->timer = (struct loop_timer){.fn = on_timer, .arg = o};
	*ret = o;
	return 0;
}

void
outage_free(struct outage *o)
{
	if (o == NULL)
		return;
	loop_timer_stop(o->config.loop, &o->timer);
	free(o);
}
