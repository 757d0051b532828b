#include "client/remote.h"

#include <stdlib.h>

#include "client/conn.h"
#include "proto/wire/channel.h"

/* Of each stream that we receive. A terminal's is small: what is on its way is what Ctrl-C waits
 * for. */
#define WINDOW_PTY  (256 << 10)
#define WINDOW_EXEC (1 << 20)

#define EXIT_OURS 255

struct remote {
	struct conn *conn;
	struct channel *channel; /* NULL once it is over */
	const struct remote_events *events;
	void *arg;
	const char *session_id;
	bool answered, accepted;
	struct hw_err refusal;
};

/* --- the channel's events -------------------------------------------------------------------- */

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	struct remote *r = arg;

	(void)ch;
	(void)accept;
	r->answered = r->accepted = true;
	conn_wake(r->conn);
	r->events->on_started(r->arg, r->session_id);
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct remote *r = arg;

	(void)ch;
	r->channel = NULL;
	r->answered = true;
	hw_err_set(&r->refusal, code, "%s",
		message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	conn_wake(r->conn);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct remote *r = arg;

	(void)ch;
	(void)offset;
	r->events->on_output(r->arg, stream, p, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	(void)arg;
	(void)ch;
	(void)stream;
	(void)offset;
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct remote *r = arg;

	(void)ch;
	(void)stream;
	(void)consumed;
	(void)limit;
	(void)echo;
	r->events->on_room(r->arg);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	struct remote *r = arg;

	(void)ch;
	(void)stream;
	r->events->on_room(r->arg);
}

static void
on_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	struct remote *r = arg;

	(void)ch;
	if (control->type == CONTROL_NOTICE && control->text != NULL)
		r->events->on_notice(r->arg, control->text);
}

static struct remote_exit
exit_of(int code, const struct msg_close *close)
{
	struct remote_exit e = {.status = EXIT_OURS, .code = code};

	if (close != NULL) {
		e.exited = close->exited;
		e.message = close->message;
		if (close->code != NULL && close->code[0] != '\0')
			e.code = hw_code_from_name(close->code);
	}
	if (e.exited)
		e.status = (int)close->exit_status;
	else if (e.code == 0) {
		e.code = HW_ECLOSED;
		e.message = "the session ended, and its exit status is not known";
	}
	if (e.code != 0 && (e.message == NULL || e.message[0] == '\0'))
		e.message = hw_code_meaning(e.code);
	return e;
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct remote *r = arg;
	struct remote_exit e = exit_of(code, close);

	(void)ch;
	r->channel = NULL;
	if (!r->accepted) { /* the link went before it was answered */
		on_reject(r, NULL, e.code != 0 ? e.code : HW_EUNAVAILABLE, e.message);
		return;
	}
	conn_wake(r->conn);
	r->events->on_exit(r->arg, &e);
}

static const struct channel_events remote_channel_events = {
	.on_accept = on_accept,
	.on_reject = on_reject,
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_close,
};

/* --- starting -------------------------------------------------------------------------------- */

static int
start_session(const struct msg_start_session_reply **ret, struct conn *c,
	const struct remote_request *want, struct arena *a, struct hw_err *err)
{
	const char *command = want->command;
	struct msg_pair parameter = {
		.key = "command", .values = {.v = &command, .n = 1}
	   };
	struct msg_start_session_request req = {
		.target = want->target, .reason = want->reason, .run_as = want->run_as};

	req.document_name = want->document;
	if (command != NULL)
		req.parameters = (struct msg_smap){.v = &parameter, .n = 1};
	if (command != NULL && want->document == NULL)
		req.document_name = want->type == CHANNEL_TYPE_EXEC
			? "AWS-StartNonInteractiveCommand"
			: "AWS-StartInteractiveCommand";
	return conn_call(ret, c, OP_start_session, &req, a, err);
}

static int
open_channel(struct remote *r, const struct remote_request *want,
	const struct msg_start_session_reply *ticket, struct hw_err *err)
{
	struct msg_open open = {
		.type = want->type,
		.session_id = ticket->session_id,
		.token = ticket->token_value,
		.term = want->term,
		.lang = want->lang,
		.colorterm = want->colorterm,
		.cols = want->cols,
		.rows = want->rows,
		.window = want->type == CHANNEL_TYPE_EXEC ? WINDOW_EXEC : WINDOW_PTY,
	};
	int rc;

	r->session_id = ticket->session_id;
	if (conn_link(r->conn) == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost");
	if ((rc = channel_open(&r->channel, conn_link(r->conn), &open, &remote_channel_events, r,
		     err)) < 0)
		return rc;
	if (!conn_wait(r->conn, &r->answered, conn_timeout(r->conn)))
		return hw_err_set(err, HW_ETIMEOUT, "the node did not start %s in time",
			r->session_id);
	if (!r->accepted)
		return hw_err_set(err, r->refusal.code, "%s", r->refusal.text);
	return 0;
}

int
remote_start(struct remote **ret, struct conn *c, const struct remote_request *req, struct arena *a,
	const struct remote_events *events, void *arg, struct hw_err *err)
{
	const struct msg_start_session_reply *ticket;
	struct remote *r;
	int rc;

	if ((rc = start_session(&ticket, c, req, a, err)) < 0)
		return rc;
	if ((r = calloc(1, sizeof(*r))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*r = (struct remote){.conn = c, .events = events, .arg = arg};
	*ret = r; /* events may come before we return, and need it */
	if ((rc = open_channel(r, req, ticket, err)) < 0) {
		*ret = NULL;
		remote_free(r);
	}
	return rc;
}

void
remote_free(struct remote *r)
{
	static const struct msg_close quit = {
		.code = "SessionTerminated", .message = "its user ended it"};

	if (r == NULL)
		return;
	if (r->channel != NULL) {
		channel_close(r->channel, &quit);
		conn_flush(r->conn); /* or the relay would see but a lost link */
	}
	free(r);
}

/* --- while it runs --------------------------------------------------------------------------- */

size_t
remote_room(const struct remote *r)
{
	return r->channel != NULL && r->accepted ? channel_room(r->channel, STREAM_IN) : 0;
}

size_t
remote_send(struct remote *r, const void *p, size_t n)
{
	return r->channel != NULL ? channel_write(r->channel, STREAM_IN, p, n) : 0;
}

void
remote_end_input(struct remote *r)
{
	if (r->channel != NULL)
		channel_end(r->channel, STREAM_IN);
}

void
remote_consumed(struct remote *r, int stream, size_t n)
{
	if (r->channel != NULL)
		channel_consume(r->channel, stream, n, ECHO_UNKNOWN);
}

void
remote_resize(struct remote *r, int cols, int rows)
{
	struct msg_control control = {.type = CONTROL_RESIZE, .cols = cols, .rows = rows};

	if (r->channel != NULL && r->accepted)
		channel_control(r->channel, &control);
}

void
remote_signal(struct remote *r, const char *name)
{
	struct msg_control control = {.type = CONTROL_SIGNAL, .signal = name};

	if (r->channel != NULL && r->accepted)
		channel_control(r->channel, &control);
}
