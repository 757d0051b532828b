#include "node/bridge.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "node/programs.h"
#include "proto/base/log.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"

/* What the relay may send ahead; a holder keeps four times as much. */
#define INPUT_WINDOW (256 * 1024)

_Static_assert(STREAM_IN == 0 && STREAM_OUT == 1 && STREAM_ERR == 2, "as enum holder_stream");
_Static_assert(ECHO_SHOWN == 1 && ECHO_HIDDEN == 2, "as enum holder_echo");

struct bridge {
	struct log_ctx log;
	struct channel *ch;
	struct programs *programs;
	struct job *job;
	char id[97];
	uint64_t window; /* first limit of its output */
	int type;
	bool accepted;
	void (*on_over)(void *arg, struct bridge *s);
	void *arg;
};

static struct bridge *
bridge_from(void *arg)
{
	struct bridge *s = arg;

	hw_assert(s->ch != NULL && s->programs != NULL);
	return s;
}

/* The channel is answered, closed or gone already. */
static void
over(struct bridge *s)
{
	if (s->job != NULL)
		s->programs->ops->close(s->job);
	s->on_over(s->arg, s);
	free(s);
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
	log_info(s, "session.started", "run_as=%s pid=%lld", run_as, (long long)pid);
	channel_accept(s->ch, &accept);
	for (int stream = STREAM_OUT; stream < STREAMS; stream++)
		s->programs->ops->credit(s->job, stream, 0, s->window);
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct bridge *s = bridge_from(arg);
	char text[512];

	log_escape(text, sizeof(text), why, strlen(why));
	log_warn(s, "session.failed", "code=%s why=%s", hw_code_name(code), text);
	channel_reject(s->ch, code, why);
	over(s);
}

static size_t
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	return channel_write(bridge_from(arg)->ch, stream, p, n);
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

static void
on_exit_of_program(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct bridge *s = bridge_from(arg);
	struct msg_close close = {.exited = exit != NULL};

	if (exit == NULL) {
		log_warn(s, "session.lost", "%s", "");
		channel_abort(s->ch, code, why);
	} else {
		close.exit_status = exit->status;
		close.signal = exit->signal ? sigabbrev_np(exit->signal) : NULL;
		log_info(s, "session.exited", "status=%d", exit->status);
		channel_close(s->ch, &close);
	}
	over(s);
}

static const struct program_events program_events = {
	.on_started = on_started,
	.on_failed = on_failed,
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_exit = on_exit_of_program,
};

/* --- from the relay ------------------------------------------------------------------------- */

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct bridge *s = bridge_from(arg);

	(void)offset;
	if (stream == STREAM_IN)
		s->programs->ops->write(s->job, p, n);
	else
		channel_consume(ch, stream, n, ECHO_UNKNOWN); /* nobody reads it */
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)offset;
	if (stream == STREAM_IN)
		s->programs->ops->end_input(s->job);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)echo;
	if (stream != STREAM_OUT && stream != STREAM_ERR)
		return;
	s->programs->ops->credit(s->job, stream, consumed, limit);
	s->programs->ops->more(s->job);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	struct bridge *s = bridge_from(arg);

	(void)ch;
	(void)stream;
	s->programs->ops->more(s->job);
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
	if (control->type == CONTROL_RESIZE)
		s->programs->ops->resize(s->job, (int)control->cols, (int)control->rows);
	if (control->type == CONTROL_SIGNAL && (signo = signal_by_name(control->signal)) != 0)
		s->programs->ops->signal(s->job, signo);
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

static const struct channel_events channel_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_close,
};

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
	return s->programs->ops->start(&s->job, s->programs, &spec, &program_events, s, err);
}

void
bridge_open(struct bridge **ret, struct programs *ps, const struct log_ctx *log, struct channel *ch,
	const struct msg_open *open, void (*on_over)(void *arg, struct bridge *s), void *arg)
{
	struct bridge *s = calloc(1, sizeof(*s));
	struct hw_err err = HW_ERR_INIT;
	int r;

	*ret = NULL;
	if (s == NULL) {
		channel_reject(ch, HW_ENOMEM, "the node is out of memory");
		return;
	}
	*s = (struct bridge){.ch = ch,
		.type = open->type,
		.programs = ps,
		.window = (uint64_t)open->window,
		.on_over = on_over,
		.arg = arg};
	strncpy(s->id, open->session_id, sizeof(s->id) - 1);
	log_ctx_child(&s->log, log, "session", s->id);
	if ((r = start(s, open, &err)) < 0) {
		log_warn(s, "session.refused", "code=%s", hw_code_name(r));
		channel_reject(ch, r, hw_err_text(&err));
		free(s);
		return;
	}
	channel_attach(ch, &channel_events, s);
	*ret = s;
}

const char *
bridge_id(const struct bridge *s)
{
	return s->id;
}

bool
bridge_forwards(const struct bridge *s)
{
	return s->type == CHANNEL_TYPE_FORWARD && s->accepted;
}
