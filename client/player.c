#include "client/player.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/export.h"
#include "client/client.h"
#include "client/meter.h"
#include "client/tape.h"
#include "client/terminal.h"
#include "proto/base/file.h"

#define OUT_MAX (1u << 20)

struct player {
	struct client *client;
	struct player_clock clock;
	struct escape_filter filters[2]; /* of stdout and stderr */
	struct terminal *terminal;	 /* NULL: no keys */
	struct loop_fd *keys;
	struct loop_signal *signals[2];
	int64_t due;	    /* of the event before, monotonic */
	struct meter meter; /* where what is shown goes into a file */
	uint64_t bytes;
	bool quit, paused;
	bool woken; /* a key or signal: look at quit and paused again */
};

int64_t
player_clock_step(struct player_clock *clock, int64_t event_time)
{
	int64_t from = clock->last > clock->config.at ? clock->last : clock->config.at;
	int64_t wait = event_time - from;

	if (event_time > clock->last)
		clock->last = event_time;
	if (wait <= 0 || clock->config.speed <= 0)
		return 0;
	if (clock->config.skip_idle > 0 && wait > clock->config.skip_idle)
		wait = clock->config.skip_idle;
	return (int64_t)((double)wait / clock->config.speed);
}

/* --- keys ------------------------------------------------------------------------------------ */

static void
player_wake(struct player *p)
{
	p->woken = true;
	conn_wake(p->client->conn);
}

static void
on_key(void *arg, int what)
{
	struct player *p = arg;
	char key;

	(void)what;
	if (read(STDIN_FILENO, &key, 1) <= 0)
		loop_fd_want(p->keys, 0);
	else if (key == 'q')
		p->quit = true;
	else if (key == ' ')
		p->paused = !p->paused;
	else
		return;
	player_wake(p);
}

static void
on_signal(void *arg)
{
	struct player *p = arg;

	p->quit = true;
	player_wake(p);
}

static int
player_listen(struct player *p, struct hw_err *err)
{
	struct loop *l = p->client->loop;
	static const int signals[] = {SIGINT, SIGTERM};

	for (size_t i = 0; i < 2; i++) {
		if (loop_signal_new(&p->signals[i], l, signals[i], on_signal, p) < 0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	if (!isatty(STDIN_FILENO) ||
		terminal_open(&p->terminal, STDIN_FILENO, TERMINAL_KEYS, NULL) < 0)
		return 0;
	terminal_enter(p->terminal);
	if (loop_fd_new(&p->keys, l, STDIN_FILENO, on_key, p) < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	loop_fd_want(p->keys, LOOP_READ);
	return 0;
}

/* --- playing --------------------------------------------------------------------------------- */

static int64_t
now(void)
{
	return clock_mono(&hw_clock_system);
}

/* Until the event is due; a pause moves what follows it. */
static void
player_wait(struct player *p, int64_t usec)
{
	p->due += usec;
	while (!p->quit && (p->paused || now() < p->due)) {
		int64_t began = now();

		p->woken = false;
		if (p->paused) {
			conn_wait(p->client->conn, &p->woken, -1);
			p->due += now() - began;
		} else {
			conn_wait(p->client->conn, &p->woken, p->due - began);
		}
	}
}

static int
show(struct player *p, const struct event *ev, struct hw_err *err)
{
	bool is_err = ev->stream == STREAM_ERR;
	struct buf out;
	int r;

	buf_init(&out, OUT_MAX);
	if (is_err)
		meter_hide(&p->meter);
	r = escape_filter_feed(&p->filters[is_err], ev->bytes, ev->len, &out);
	if (r < 0)
		r = hw_err_set(err, r, "an event is too large to be shown");
	else if (is_err)
		r = fd_write_all(STDERR_FILENO, buf_data(&out), out.len, err);
	else
		r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

static int
play(struct player *p, struct tape *tape, struct hw_err *err)
{
	struct event ev;
	int r;

	p->due = now();
	while (!p->quit && (r = tape_next(&ev, tape, err)) > 0) {
		if (ev.type != EVENT_DATA || ev.stream == STREAM_IN)
			continue;
		player_wait(p, player_clock_step(&p->clock, ev.time));
		if (!p->quit && (r = show(p, &ev, err)) < 0)
			return r;
		p->bytes += ev.len;
		meter_show(&p->meter, p->bytes, "up to %" PRId64 " s of the session",
			ev.time / USEC_PER_SEC);
	}
	return p->quit ? 0 : r;
}

int
player_play(struct client *c, struct tape *tape, const struct player_config *config,
	struct hw_err *err)
{
	struct player p = {.client = c, .clock.config = *config};
	bool on_screen = isatty(STDOUT_FILENO);
	int r = 0;

	meter_init(&p.meter, true);
	escape_filter_init(&p.filters[0]);
	escape_filter_init(&p.filters[1]);
	if (on_screen)
		r = player_listen(&p, err);
	if (r == 0)
		r = play(&p, tape, err);
	meter_hide(&p.meter);
	if (on_screen)
		output_bytes(escape_filter_reset, strlen(escape_filter_reset), NULL);
	loop_fd_free(p.keys);
	terminal_close(p.terminal);
	loop_signal_free(p.signals[0]);
	loop_signal_free(p.signals[1]);
	return r;
}
