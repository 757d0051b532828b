#include "client/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/terminal.h"
#include "proto/base/loop.h"

#define BAR	     22
#define LINE_MAX     512
#define REDRAW_AFTER (100 * USEC_PER_MSEC)
#define TICK	     USEC_PER_SEC
#define WIPE	     "\r\x1b[K"

/* --- words ------------------------------------------------------------------------------------ */

static size_t
count_ended(const struct fates *all)
{
	size_t n = 0;

	for (int o = 0; o < FATES; o++)
		n += fate_is_end((enum fate)o) ? all->of[o] : 0;
	return n;
}

static void
append_bar(struct buf *out, const struct fates *all)
{
	size_t full = all->total > 0 ? count_ended(all) * BAR / all->total : BAR;

	buf_append_byte(out, '[');
	for (size_t i = 0; i < BAR; i++)
		buf_append_byte(out, i < full ? '#' : '-');
	buf_append_str(out, "]  ");
}

static void
append_counts(struct buf *out, const struct fates *all)
{
	static const struct {
		enum fate fate;
		const char *word;
	} words[] = {
		{FATE_FAILED,      "failed"	      },
		{FATE_TIMED_OUT,	 "timed out"    },
		{FATE_UNDELIVERED, "not delivered"},
		{FATE_CANCELLED,	 "cancelled"    },
		{FATE_STOPPED,     "not started"  },
		{FATE_RUNNING,     "running"	},
	};

	buf_printf(out, "%zu/%zu ok", all->of[FATE_OK], all->total);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (all->of[words[i].fate] > 0)
			buf_printf(out, ", %zu %s", all->of[words[i].fate], words[i].word);
}

static void
append_clock(struct buf *out, int64_t elapsed)
{
	int64_t s = elapsed / USEC_PER_SEC;

	if (s >= 3600)
		buf_printf(out, "  %" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
			(int)(s % 60));
	else
		buf_printf(out, "  %d:%02d", (int)(s / 60), (int)(s % 60));
}

void
progress_append(struct buf *out, const struct fates *all, int64_t elapsed, int cols)
{
	struct buf counts, clock;
	size_t room = cols > 0 ? (size_t)cols - 1 : SIZE_MAX; /* the last column would wrap */

	buf_init(&counts, LINE_MAX);
	buf_init(&clock, LINE_MAX);
	append_counts(&counts, all);
	append_clock(&clock, elapsed);
	if (cols > 0 && BAR + strlen("[]  ") + counts.len + clock.len <= room)
		append_bar(out, all);
	if (counts.len + clock.len > room) {
		clock.len = 0;
		counts.len = counts.len < room ? counts.len : room;
	}
	buf_append(out, buf_data(&counts), counts.len);
	buf_append(out, buf_data(&clock), clock.len);
	buf_fini(&counts);
	buf_fini(&clock);
}

void
progress_append_plan(struct buf *out, size_t nodes, size_t at_a_time, size_t failures)
{
	buf_printf(out, "%zu node%s", nodes, nodes == 1 ? "" : "s");
	if (nodes > 1 && at_a_time < nodes)
		buf_printf(out, ", %zu at a time", at_a_time);
	if (nodes > 1 && failures == 0)
		buf_append_str(out, ", stops when one fails");
	else if (nodes > 1 && failures < nodes)
		buf_printf(out, ", stops when more than %zu fail", failures);
}

/* --- showing ---------------------------------------------------------------------------------- */

struct progress {
	struct progress_config config;
	const struct fates *all; /* NULL: nothing to be shown yet */
	struct loop_timer timer;
	int64_t began, drawn;
	bool shown, paused, changed;
};

static int64_t
now(const struct progress *p)
{
	return clock_mono(loop_clock(p->config.loop));
}

static void
put(const struct buf *text)
{
	fwrite(buf_data(text), 1, text->len, stderr);
	fflush(stderr);
}

static void
draw(struct progress *p)
{
	struct buf line;
	int cols, rows;

	terminal_size(&cols, &rows);
	buf_init(&line, 2 * LINE_MAX);
	buf_append_str(&line, WIPE);
	progress_append(&line, p->all, now(p) - p->began, cols);
	put(&line);
	buf_fini(&line);
	p->shown = true;
	p->drawn = now(p);
}

static void
say(struct progress *p)
{
	struct buf line;

	buf_init(&line, 2 * LINE_MAX);
	progress_append(&line, p->all, now(p) - p->began, 0);
	buf_append_byte(&line, '\n');
	put(&line);
	buf_fini(&line);
	p->changed = false;
}

static void
on_timer(void *arg)
{
	struct progress *p = arg;
	bool live = p->config.style == PROGRESS_LIVE;

	if (live && !p->paused)
		draw(p);
	else if (!live && p->changed)
		say(p);
	loop_timer_start(p->config.loop, &p->timer, live ? TICK : PROGRESS_LINE_EVERY);
}

void
progress_show(struct progress *p, const struct fates *all)
{
	bool first = p->all == NULL;

	if (p->config.style == PROGRESS_SILENT)
		return;
	p->all = all;
	p->changed = true;
	if (p->config.style == PROGRESS_LIVE && !p->paused)
		loop_timer_start(p->config.loop, &p->timer,
			now(p) - p->drawn >= REDRAW_AFTER ? 0 : REDRAW_AFTER);
	else if (first)
		loop_timer_start(p->config.loop, &p->timer, PROGRESS_LINE_EVERY);
}

void
progress_hide(struct progress *p)
{
	if (!p->shown)
		return;
	fputs(WIPE, stderr);
	fflush(stderr);
	p->shown = false;
	if (!p->paused)
		loop_timer_start(p->config.loop, &p->timer, REDRAW_AFTER);
}

void
progress_pause(struct progress *p)
{
	p->paused = true;
	progress_hide(p);
}

void
progress_resume(struct progress *p)
{
	p->paused = false;
	if (p->all != NULL)
		progress_show(p, p->all);
}

void
progress_end(struct progress *p, const struct fates *all)
{
	if (p->config.style == PROGRESS_SILENT)
		return;
	p->all = all;
	p->paused = true;
	progress_hide(p);
	loop_timer_stop(p->config.loop, &p->timer);
	say(p);
}

/* --- life ------------------------------------------------------------------------------------- */

int
progress_new(struct progress **ret, const struct progress_config *config, struct hw_err *err)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	p->config = *config;
	p->timer = (struct loop_timer){.fn = on_timer, .arg = p};
	p->began = now(p);
	p->drawn = p->began - REDRAW_AFTER;
	*ret = p;
	return 0;
}

void
progress_free(struct progress *p)
{
	if (p == NULL)
		return;
	p->paused = true;
	progress_hide(p);
	loop_timer_stop(p->config.loop, &p->timer);
	free(p);
}
