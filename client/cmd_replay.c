/* hawser replay: a recording on the terminal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/duration.h"
#include "client/meter.h"
#include "client/player.h"
#include "client/session_name.h"
#include "client/tape.h"
#include "client/terminal.h"
#include "client/typed.h"

static int
read_speed(double *speed, const struct input *in, struct hw_err *err)
{
	const char *text = input_text(in, "speed");
	char *end;

	/* Nobody watches a pipe. */
	*speed = isatty(STDOUT_FILENO) ? 1 : 0;
	if (text == NULL)
		return 0;
	double v = strtod(text, &end);
	if (end == text || (*end != '\0' && strcmp(end, "x") != 0) || !(v >= 0 && v <= 1e6))
		return hw_err_set(err, HW_EUSAGE,
			"--speed wants a number: 2 is twice as fast, 0 at once");
	*speed = v;
	return 0;
}

static int
read_config(struct player_config *config, const struct input *in, struct hw_err *err)
{
	const char *at = input_text(in, "at");
	int r;

	if ((r = read_speed(&config->speed, in, err)) < 0 ||
		(r = input_duration(&config->skip_idle, in, "skip-idle", err)) < 0)
		return r;
	if (at != NULL && duration_parse_clock(&config->at, at) < 0)
		return hw_err_set(err, HW_EUSAGE, "--at wants seconds or HH:MM:SS, not '%s'", at);
	return 0;
}

static void
say_head(struct client *c, const struct msg_recording_meta *meta)
{
	int cols, rows;

	client_say(c, "%s on %s, %s; space pauses, q ends", meta->session_id,
		meta->target_name != NULL ? meta->target_name : meta->target,
		output_time(c, meta->start));
	if (terminal_size(&cols, &rows) && meta->type == CHANNEL_TYPE_PTY && meta->cols > 0 &&
		(meta->cols > cols || meta->rows > rows))
		client_say(c, "it was recorded at %dx%d; this terminal has %dx%d", (int)meta->cols,
			(int)meta->rows, cols, rows);
}

/* --- typed ----------------------------------------------------------------------------------- */

static int
flush_out(struct buf *out, struct hw_err *err)
{
	int r = output_bytes(buf_data(out), out->len, err);

	buf_consume(out, out->len);
	return r;
}

static int
show_typed(struct tape *tape, struct hw_err *err)
{
	struct typed typed;
	struct meter meter;
	struct event ev;
	struct buf out;
	uint64_t bytes = 0;
	int r;

	typed_init(&typed);
	buf_init(&out, 4u << 20);
	meter_init(&meter, true);
	while ((r = tape_next(&ev, tape, err)) > 0) {
		bytes += ev.len;
		meter_show(&meter, bytes, "up to %" PRId64 " s of the session",
			ev.time / USEC_PER_SEC);
		typed_event(&typed, &ev, &out);
		if ((r = flush_out(&out, err)) < 0)
			break;
	}
	meter_hide(&meter);
	if (r == 0) {
		typed_end(&typed, &out);
		r = flush_out(&out, err);
	}
	buf_fini(&out);
	typed_fini(&typed);
	return r;
}

/* --- the command ----------------------------------------------------------------------------- */

static int
run_replay(struct client *c, const struct input *in, struct hw_err *err)
{
	struct player_config config = {0};
	struct tape *tape = NULL;
	const char *id;
	int r;

	if ((r = read_config(&config, in, err)) < 0 || (r = client_connect(c, err)) < 0 ||
		(r = session_find_id(&id, c, in->operands[0], err)) < 0 ||
		(r = tape_open(&tape, c, id, err)) < 0)
		return r;
	if (isatty(STDOUT_FILENO))
		say_head(c, tape_meta(tape));
	r = input_has(in, "typed") ? show_typed(tape, err) : player_play(c, tape, &config, err);
	if (r == 0 && !tape_is_complete(tape) && isatty(STDERR_FILENO))
		client_say(c, "this is what is recorded so far");
	tape_close(tape);
	return r;
}

static const struct option_row options[] = {
	{"speed",			 's', "X", "2 is twice as fast; 0, and a pipe: at once"},
	{"skip-idle",			    'i', "TIME", "no pause is longer than this"},
	{"at",			       'a', "T", "begin there: seconds, or HH:MM:SS"},
	{"typed", 't', NULL, "what was typed, with times, not what was shown"},
	{0},
};

const struct command cmd_replay = {
	.name = "replay",
	.wary = true,
	.operands = "SESSION",
	.summary = "Play a recording. Space pauses, q and Ctrl-C end.",
	.about = "  SESSION is an id, any unique prefix of one, or its last six digits.\n"
		 "  What could steer your terminal beyond its own screen is left out.\n"
		 "  Reading is audited.",
	.examples = {"hawser replay alice-0f1e2d --speed 4 --skip-idle 2",
		     "hawser replay a69788 --typed"},
	.options = options,
	.min = 1,
	.max = 1,
	.run = run_replay,
};
