#include "node/bridge.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/programs.h"
#include "node/screens.h"
#include "proto/base/log.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"

/* What the relay may send ahead; a holder keeps four times as much. */
#define INPUT_WINDOW (256 * 1024)

/* How long it waits for a link. A shell is somebody's work; of the rest the relay has given up by
 * then, a little earlier. */
#define SHELL_GRACE  (24 * 3600 * USEC_PER_SEC)
#define OTHER_GRACE  (75 * USEC_PER_SEC)
#define EXITED_GRACE (600 * USEC_PER_SEC) /* from the program's end on */

_Static_assert(STREAM_IN == 0 && STREAM_OUT == 1 && STREAM_ERR == 2, "as enum holder_stream");
_Static_assert(ECHO_SHOWN == 1 && ECHO_HIDDEN == 2, "as enum holder_echo");

struct bridge {
	struct log_ctx log;
	struct bridge_config config;
	struct channel *ch; /* NULL while it is being adopted */
	struct job *job;
	char id[97], run_as[65];
	uint64_t window; /* first limit of its output */
	/* What the program was told of its output. A relay that lost what it knew may take less. */
	uint64_t consumed[STREAMS], limit[STREAMS];
	uint64_t taken[STREAMS]; /* of its output */
	uint64_t from[STREAMS];	 /* what is before that the relay has, from an earlier agent */
	int type;
	bool accepted;
	bool exited;
	struct program_exit exit;
	int lost; /* nobody knows how it ended: a code, and what the relay is to be told */
	char why[256];
	struct screens screens;
	bool parked;
	int64_t waits_since; /* for a link, or, exited, for the relay to close it; monotonic */
};

static const struct channel_events channel_events;

static struct bridge *
bridge_from(void *arg)
{
	struct bridge *s = arg;

	hw_assert(s->config.programs != NULL && s->config.loop != NULL);
	return s;
}

static const struct programs_ops *
ops(const struct bridge *s)
{
	return s->config.programs->ops;
}

/* The channel is answered, closed or gone already. */
static void
over(struct bridge *s)
{
	if (s->job != NULL)
		ops(s)->close(s->job);
	s->config.on_over(s->config.arg, s);
	free(s);
}

static int64_t
mono(const struct bridge *s)
{
	return clock_mono(loop_clock(s->config.loop));
}

void
bridge_end(struct bridge *s, int code, const char *why)
{
	log_info(s, "session.ended", "code=%s why=%s", hw_code_name(code), log_value(why));
	if (s->ch != NULL)
		channel_abort(s->ch, code, why);
	over(s);
}

void
bridge_leave(struct bridge *s)
{
	hw_assert(bridge_can_stay(s) && (s->ch == NULL || channel_is_parked(s->ch)));
	if (s->ch != NULL)
		channel_abort(s->ch, HW_ECLOSED, "");
	ops(s)->leave(s->job);
	s->job = NULL;
	over(s);
}

/* --- from the program ----------------------------------------------------------------------- */

static void
on_started(void *arg, const char *run_as, int64_t pid)
{
	struct bridge *s = bridge_from(arg);
	struct msg_accept accept = {.window = s->type == CHANNEL_TYPE_FORWARD ? 0 : INPUT_WINDOW,
		.session_id = s->id,
		.run_as = run_as,
		.pid = pid};

	s->accepted = true;
	snprintf(s->run_as, sizeof(s->run_as), "%s", run_as);
	log_info(s, "session.started", "run_as=%s pid=%lld", run_as, (long long)pid);
	channel_accept(s->ch, &accept);
	for (int stream = STREAM_OUT; stream < STREAMS; stream++) {
		s->limit[stream] = s->window;
		ops(s)->credit(s->job, stream, 0, s->window);
	}
	s->config.on_open(s->config.arg, s);
}

/* Where the earlier agent's channel stood: what it had sent is with the program still. */
static int
make_channel(struct bridge *s, const struct program_state *state, struct hw_err *err)
{
	struct channel_stand stand[STREAMS] = {
		[STREAM_IN] = {.received = state->received,
			       .consumed = state->consumed,
			       .limit = state->consumed + INPUT_WINDOW,
			       .echo = state->echo,
			       .echo_from = state->echo_from},
	};

	for (int stream = STREAM_OUT; stream < STREAMS; stream++) {
		stand[stream].limit = INPUT_WINDOW; /* as ACCEPT grants each; nothing comes on it */
		stand[stream].kept_from = state->start[stream];
		stand[stream].sent = state->end[stream];
	}
	return channel_new_parked(&s->ch, s->config.loop, s->type, INPUT_WINDOW, stand,
		&channel_events, s, err);
}

static void
on_adopted(void *arg, const struct program_state *state)
{
	struct bridge *s = bridge_from(arg);
	struct hw_err err = HW_ERR_INIT;

	if (make_channel(s, state, &err) < 0) {
		bridge_end(s, err.code, hw_err_text(&err));
		return;
	}
	for (int stream = STREAM_OUT; stream < STREAMS; stream++)
		s->consumed[stream] = s->limit[stream] = s->taken[stream] = state->start[stream];
	s->accepted = true;
	s->parked = true;
	s->waits_since = mono(s);
	log_info(s, "session.adopted", "run_as=%s", s->run_as);
	s->config.on_open(s->config.arg, s);
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct bridge *s = bridge_from(arg);

	log_warn(s, "session.failed", "code=%s why=%s", hw_code_name(code), log_value(why));
	if (s->ch != NULL)
		channel_reject(s->ch, code, why);
	over(s);
}

static size_t
smaller(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void
pass_credit(struct bridge *s, int stream)
{
	uint64_t consumed = smaller(channel_acked(s->ch, stream), s->taken[stream]);

	s->consumed[stream] = larger(s->consumed[stream], consumed);
	s->limit[stream] = larger(s->limit[stream], channel_limit(s->ch, stream));
	ops(s)->credit(s->job, stream, s->consumed[stream], s->limit[stream]);
}

static size_t
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct bridge *s = bridge_from(arg);
	size_t known = smaller(n, larger(s->from[stream], s->taken[stream]) - s->taken[stream]);
	size_t done = known;

	if (known < n)
		done += channel_write(s->ch, stream, p + known, n - known);
	s->taken[stream] += done;
	if (known > 0)
		pass_credit(s, stream);
	return done;
}

static void
on_output_end(void *arg, int stream)
{
	channel_end(bridge_from(arg)->ch, stream);
}

static void
on_consumed(void *arg, size_t n, int echo)
{
	channel_consume(bridge_from(arg)->ch, STREAM_IN, n, echo);
}

/* A word beside the streams, which a lost link loses: so each resume says it again. */
static void
say_exit(struct bridge *s)
{
	struct msg_control control = {
		.type = CONTROL_EXIT,
		.exit_status = s->exit.status,
		.signal = s->exit.signal ? sigabbrev_np(s->exit.signal) : NULL,
	};

	channel_control(s->ch, &control);
}

static void
lose(struct bridge *s, int code, const char *why)
{
	log_warn(s, "session.lost", "%s", "");
	if (!s->parked) {
		channel_abort(s->ch, code, why);
		over(s);
		return;
	}
	s->lost = code;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

/* The session goes on until the relay has all of its output, and closes the channel. */
static void
on_exit_of_program(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct bridge *s = bridge_from(arg);

	s->exited = true;
	s->waits_since = mono(s);
	if (exit == NULL) {
		lose(s, code, why);
		return;
	}
	s->exit = *exit;
	log_info(s, "session.exited", "status=%d", exit->status);
	for (int stream = STREAM_OUT; stream < STREAMS; stream++)
		channel_end(s->ch, stream); /* also that of errors, of a terminal */
	say_exit(s);
}

static void
ask_for_screen(struct bridge *s)
{
	if (!ops(s)->repaint(s->job))
		screens_refuse(&s->screens, s->ch, channel_sent(s->ch, STREAM_OUT));
}

static void
on_screen(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more)
{
	struct bridge *s = bridge_from(arg);

	if (screens_pass(&s->screens, s->ch, offset, p, n, more))
		ask_for_screen(s);
}

static const struct program_events program_events = {
	.on_started = on_started,
	.on_adopted = on_adopted,
	.on_failed = on_failed,
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_screen = on_screen,
	.on_exit = on_exit_of_program,
};

/* --- from the relay ------------------------------------------------------------------------- */

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct bridge *s = bridge_from(arg);

	(void)offset;
	if (stream != STREAM_IN)
		channel_consume(ch, stream, n, ECHO_UNKNOWN); /* nobody reads it */
	else if (!s->exited)
		ops(s)->write(s->job, p, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)offset;
	if (stream == STREAM_IN && !s->exited)
		ops(s)->end_input(s->job);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)consumed;
	(void)limit;
	(void)echo;
	if (stream != STREAM_OUT && stream != STREAM_ERR)
		return;
	pass_credit(s, stream);
	ops(s)->more(s->job);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)stream;
	ops(s)->more(s->job);
}

static int
signal_by_name(const char *name)
{
	for (int signo = 1; name != NULL && signo < NSIG; signo++) {
		const char *known = sigabbrev_np(signo);
		if (known != NULL && strcmp(known, name) == 0)
			return signo;
	}
	return 0;
}

static void
on_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	struct bridge *s = bridge_from(arg);
	int signo;

	(void)ch;
	if (control->type == CONTROL_REPAINT && screens_ask(&s->screens, control->nonce))
		ask_for_screen(s);
	if (s->exited)
		return;
	if (control->type == CONTROL_RESIZE)
		ops(s)->resize(s->job, (int)control->cols, (int)control->rows);
	if (control->type == CONTROL_SIGNAL && (signo = signal_by_name(control->signal)) != 0)
		ops(s)->signal(s->job, signo);
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)close;
	log_info(s, "session.closed", "code=%s", hw_code_name(code));
	over(s);
}

/* The program goes on, until there is no room for what it says. */
static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)why;
	log_info(s, "session.parked", "code=%s", hw_code_name(code));
	s->parked = true;
	s->waits_since = mono(s);
}

static const struct channel_events channel_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_close,
	.on_park = on_park,
};

/* --- RESUME --------------------------------------------------------------------------------- */

/* What came meanwhile goes on from where the relay stands. */
static void
go_on(struct bridge *s, const struct msg_resume *resume)
{
	s->parked = false;
	log_info(s, "session.resumed", "%s", "");
	for (int stream = STREAM_OUT; stream < STREAMS; stream++) {
		s->from[stream] = channel_sent(s->ch, stream);
		pass_credit(s, stream);
	}
	ops(s)->more(s->job);
	if (s->exited)
		say_exit(s);
	else if (resume->cols > 0 && resume->rows > 0)
		ops(s)->resize(s->job, (int)resume->cols, (int)resume->rows);
}

static void
rejoin(struct bridge *s, struct channel *offered, const struct msg_resume *resume)
{
	struct msg_resume who = {.type = s->type, .session_id = s->id, .run_as = s->run_as};
	struct hw_err err = HW_ERR_INIT;
	int r = channel_rejoin(s->ch, offered, &who, &err);

	if (r == 0) {
		go_on(s, resume);
		return;
	}
	log_warn(s, "session.not_resumed", "code=%s", hw_code_name(r));
	channel_reject(offered, r, hw_err_text(&err));
}

void
bridge_resume(struct bridge *s, struct channel *offered, const struct msg_resume *resume)
{
	if (!s->accepted) {
		channel_reject(offered, HW_ENOSESSION, "this session has not started");
	} else if (resume->type != s->type) {
		channel_reject(offered, HW_ENOSESSION, "the session of this id is of another type");
	} else if (s->lost != 0) {
		channel_reject(offered, s->lost, s->why);
		bridge_end(s, s->lost, s->why);
	} else {
		rejoin(s, offered, resume);
	}
}

/* --- the start ------------------------------------------------------------------------------ */

static int
start(struct bridge *s, const struct msg_open *open, struct hw_err *err)
{
	struct program_spec spec = {
		.type = open->type,
		.session_id = open->session_id,
		.document = open->document,
		.run_as = open->run_as,
		.command = open->command,
		.term = open->term,
		.lang = open->lang,
		.colorterm = open->colorterm,
		.cols = (int)open->cols,
		.rows = (int)open->rows,
	};

	if (open->type == CHANNEL_TYPE_EXEC && (open->command == NULL || open->command[0] == '\0'))
		return hw_err_set(err, HW_EVALIDATION, "exec without a command");
	return ops(s)->start(&s->job, s->config.programs, &spec, &program_events, s, err);
}

static struct bridge *
bridge_new(const struct bridge_config *config, const char *id, int type)
{
	struct bridge *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->config = *config;
	s->type = type;
	strncpy(s->id, id, sizeof(s->id) - 1);
	log_ctx_child(&s->log, config->log, "session", s->id);
	return s;
}

void
bridge_open(struct bridge **ret, const struct bridge_config *config, struct channel *ch,
	const struct msg_open *open)
{
	struct bridge *s = bridge_new(config, open->session_id, open->type);
	struct hw_err err = HW_ERR_INIT;
	int r;

	*ret = NULL;
	if (s == NULL) {
		channel_reject(ch, HW_ENOMEM, "the node is out of memory");
		return;
	}
	s->ch = ch;
	s->window = (uint64_t)open->window;
	if ((r = start(s, open, &err)) < 0) {
		log_warn(s, "session.refused", "code=%s", hw_code_name(r));
		channel_reject(ch, r, hw_err_text(&err));
		free(s);
		return;
	}
	channel_attach(ch, &channel_events, s);
	channel_keep(ch);
	*ret = s;
}

void
bridge_adopt(struct bridge **ret, const struct bridge_config *config, const char *id, int type,
	const char *run_as)
{
	struct bridge *s = bridge_new(config, id, type);
	struct hw_err err = HW_ERR_INIT;

	*ret = NULL;
	if (s == NULL)
		return;
	snprintf(s->run_as, sizeof(s->run_as), "%s", run_as);
	if (ops(s)->adopt(&s->job, config->programs, id, &program_events, s, &err) < 0) {
		log_info(s, "session.not_adopted", "why=%s", log_value(hw_err_text(&err)));
		free(s);
		return;
	}
	*ret = s;
}

int
bridge_type(const struct bridge *s)
{
	return s->type;
}

const char *
bridge_run_as(const struct bridge *s)
{
	return s->run_as;
}

bool
bridge_can_stay(const struct bridge *s)
{
	bool adopting = s->ch == NULL;

	return (s->accepted || adopting) && s->lost == 0 && s->type != CHANNEL_TYPE_FORWARD;
}

const char *
bridge_id(const struct bridge *s)
{
	return s->id;
}

bool
bridge_is_open(const struct bridge *s)
{
	return s->accepted;
}

bool
bridge_forwards(const struct bridge *s)
{
	return s->type == CHANNEL_TYPE_FORWARD && s->accepted;
}

static int64_t
grace(const struct bridge *s)
{
	static const int64_t by_type[] = {
		[CHANNEL_TYPE_PTY] = SHELL_GRACE,
		[CHANNEL_TYPE_EXEC] = OTHER_GRACE,
		[CHANNEL_TYPE_FORWARD] = OTHER_GRACE,
	};

	return s->exited ? EXITED_GRACE : by_type[s->type];
}

bool
bridge_is_due(const struct bridge *s, int64_t now)
{
	return s->parked && now - s->waits_since >= grace(s);
}
