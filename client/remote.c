#include "client/remote.h"

#include <stdlib.h>
#include <string.h>

#include "client/conn.h"
#include "proto/base/id.h"
#include "proto/wire/backoff.h"
#include "proto/wire/channel.h"

/* Of each stream that we receive. A terminal's is small: what is on its way is what Ctrl-C waits
 * for. */
#define WINDOW_PTY  (256 << 10)
#define WINDOW_EXEC (1 << 20)

#define EXIT_OURS 255

#define LEAVE_WITHIN (2 * USEC_PER_SEC) /* for what was typed to arrive */

/* Where it is interrupted again and again, which one that lasted for a while was not. */
#define RESUME_EVERY (5 * USEC_PER_SEC)
#define STEADY	     (5 * USEC_PER_SEC)

struct remote {
	struct conn *conn;
	struct channel *channel; /* NULL once it is over */
	const struct remote_events *events;
	void *arg;
	const char *session_id;
	bool answered, accepted;
	struct hw_err refusal;

	enum remote_way way;
	int type, cols, rows;
	int told_cols, told_rows;
	struct {
		uint64_t held; /* not consumed yet */
		bool ended;
	} out[STREAMS];
	bool exited; /* the program; `exit` says how */
	struct remote_exit exit;
	bool closed; /* by us, in order */
	bool leaving;
	bool outlives; /* us, when we are freed */
	struct loop_timer leave;

	char *token;		 /* for RESUME; NULL: the session ends with its link */
	struct conn_watch watch; /* kept from ACCEPT to the end */
	bool parked;
	bool stalled;	   /* and not resumed before what came is consumed */
	int waiting;	   /* 0, or the code of on_waiting */
	int64_t steady_at; /* when a next interruption is a first one */
	struct backoff backoff;
	struct loop_timer again; /* resumes */
};

/* --- its end --------------------------------------------------------------------------------- */

static void
remote_finish(struct remote *r, const struct remote_exit *e)
{
	r->channel = NULL;
	loop_timer_stop(conn_loop(r->conn), &r->again);
	loop_timer_stop(conn_loop(r->conn), &r->leave);
	conn_release(r->conn, &r->watch);
	conn_wake(r->conn);
	r->events->on_exit(r->arg, e);
}

static void
remote_fail(struct remote *r, int code, const char *why)
{
	const struct remote_exit e = {.status = EXIT_OURS, .code = code, .message = why};

	remote_finish(r, &e);
}

/* A terminal has no second output. */
static bool
output_is_over(const struct remote *r)
{
	return r->out[STREAM_OUT].ended && r->out[STREAM_OUT].held == 0 &&
		(r->type == CHANNEL_TYPE_PTY || r->out[STREAM_ERR].ended) &&
		r->out[STREAM_ERR].held == 0;
}

/* The node keeps the session until it is closed; so the opener closes it, and only when nothing can
 * be missing any more. */
static void
check_over(struct remote *r)
{
	static const struct msg_close well = {.code = NULL};
	struct remote_exit e = r->exit;

	if (r->channel == NULL || !r->exited || !output_is_over(r))
		return;
	r->closed = true;
	channel_close(r->channel, &well);
	remote_finish(r, &e);
}

static void
forget_token(struct remote *r)
{
	if (r->token != NULL)
		explicit_bzero(r->token, strlen(r->token));
	free(r->token);
	r->token = NULL;
}

/* --- leaving ---------------------------------------------------------------------------------- */

static bool
is_viewer(const struct remote *r)
{
	return r->way == REMOTE_JOIN || r->way == REMOTE_WATCH;
}

/* A relay that is not there sees the link lost, which lets go of it just as well. A program that
 * has ended is left by nobody. */
static void
leave_now(struct remote *r)
{
	static const struct msg_close well = {.code = NULL};
	static const struct remote_exit left = {.status = 0};
	const struct remote_exit e = r->exited ? r->exit : left;

	if (!r->parked && !is_viewer(r) && !r->exited)
		channel_interrupt(r->channel, "detached by its user");
	channel_close(r->channel, &well);
	r->closed = true;
	remote_finish(r, &e);
}

/* The word that it is let go of would overtake what was typed. One that has ended meanwhile is over
 * with its last output. */
static void
check_left(struct remote *r)
{
	if (r->channel != NULL && r->leaving && !r->exited &&
		(r->waiting != 0 ||
			channel_acked(r->channel, STREAM_IN) ==
				channel_sent(r->channel, STREAM_IN)))
		leave_now(r);
}

static void
on_leave(void *arg)
{
	leave_now(arg);
}

void
remote_leave(struct remote *r)
{
	if (r->channel == NULL || r->leaving)
		return;
	r->leaving = true;
	loop_timer_start(conn_loop(r->conn), &r->leave, LEAVE_WITHIN);
	check_left(r);
}

/* --- a link that is lost ---------------------------------------------------------------------- */

static int64_t
remote_now(const struct remote *r)
{
	return clock_mono(loop_clock(conn_loop(r->conn)));
}

static void
remote_waits(struct remote *r, int code, const char *why)
{
	if (r->waiting == code)
		return;
	r->waiting = code;
	if (r->events->on_waiting != NULL)
		r->events->on_waiting(r->arg, code, why);
	check_left(r);
}

static int
take_up(struct remote *r, struct hw_err *err)
{
	const struct msg_resume who = {
		.type = r->type,
		.session_id = r->session_id,
		.token = r->token,
		.cols = r->cols,
		.rows = r->rows,
	};
	int rc;

	r->stalled = false;
	if (!r->parked || conn_link(r->conn) == NULL)
		return 0;
	if ((rc = channel_resume(r->channel, conn_link(r->conn), &who, err)) < 0)
		return rc;
	r->parked = false;
	r->told_cols = r->cols;
	r->told_rows = r->rows;
	return 0;
}

static void
remote_resume(struct remote *r)
{
	struct hw_err err = HW_ERR_INIT;
	int rc = take_up(r, &err);

	if (rc == 0 || rc == HW_EUNAVAILABLE) /* that link has gone: the next one will do */
		return;
	channel_abort(r->channel, rc, hw_err_text(&err));
	remote_fail(r, rc, hw_err_text(&err));
}

static void
on_again(void *arg)
{
	remote_resume(arg);
}

/* Who looks on and takes nothing is passed by. One that came back before it has seen what is here
 * would only be passed by again, and each time a whole screen would be kept for it. */
static void
stall(struct remote *r)
{
	r->stalled = true;
	if (r->way == REMOTE_JOIN) /* or its escapes would wait for room */
		remote_waits(r, HW_EINTERRUPTED, "what came last is not shown yet");
}

static void
check_stalled(struct remote *r)
{
	if (r->channel == NULL || !r->stalled || r->out[STREAM_OUT].held > 0)
		return;
	remote_resume(r);
	if (r->channel != NULL)
		remote_waits(r, HW_EINTERRUPTED, "the node has not taken the session up yet");
}

static void
on_lost(void *arg, const char *why)
{
	struct remote *r = arg;

	loop_timer_stop(conn_loop(r->conn), &r->again);
	remote_waits(r, HW_EUNAVAILABLE, why);
}

/* From now on it is the relay that waits, for the node. */
static void
on_back(void *arg)
{
	struct remote *r = arg;

	remote_resume(r);
	if (r->channel != NULL && !r->parked)
		remote_waits(r, HW_EINTERRUPTED, "the node has not taken the session up yet");
}

static void
on_gone(void *arg, int code, const char *why)
{
	struct remote *r = arg;

	if (r->channel == NULL)
		return;
	channel_abort(r->channel, code, why);
	remote_fail(r, code, why);
}

static const struct conn_watch_events remote_watch_events = {
	.on_lost = on_lost,
	.on_back = on_back,
	.on_gone = on_gone,
};

static void
refuse(struct remote *r, int code, const char *why)
{
	r->channel = NULL;
	r->answered = true;
	hw_err_set(&r->refusal, code, "%s", why);
	conn_wake(r->conn);
}

static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct remote *r = arg;
	int64_t delay = 0;

	r->parked = true;
	if (!r->accepted) { /* its ticket is used up, perhaps */
		channel_abort(ch, HW_EUNAVAILABLE, why);
		refuse(r, HW_EUNAVAILABLE, why);
		return;
	}
	if (r->token == NULL) {
		struct hw_err err = HW_ERR_INIT;
		hw_err_set(&err, HW_EUNAVAILABLE, "the link was lost: %s", why);
		channel_abort(ch, err.code, err.text);
		remote_fail(r, err.code, err.text);
		return;
	}
	if (code != HW_EINTERRUPTED)
		return; /* on_lost says so, or on_gone */
	if (is_viewer(r) && r->out[STREAM_OUT].held > 0) {
		stall(r);
		return;
	}
	if (remote_now(r) < r->steady_at)
		delay = backoff_below(&r->backoff, RESUME_EVERY, random_u64());
	else
		backoff_reset(&r->backoff);
	r->steady_at = remote_now(r) + STEADY;
	loop_timer_start(conn_loop(r->conn), &r->again, delay);
	remote_waits(r, code, why);
}

/* --- the channel's events -------------------------------------------------------------------- */

/* In the place of the one before, which is worth nothing from now on. Without one it ends with its
 * link. */
static bool
keep_token(struct remote *r, const char *token)
{
	char *kept = token != NULL && token[0] != '\0' ? strdup(token) : NULL;

	if (kept == NULL)
		return false;
	forget_token(r);
	r->token = kept;
	return true;
}

static void
begin(struct remote *r, const char *token, int64_t resume_seconds)
{
	if (resume_seconds > 0 && keep_token(r, token)) {
		r->watch = (struct conn_watch){.events = &remote_watch_events,
			.arg = r,
			.within = resume_seconds * USEC_PER_SEC};
		conn_keep(r->conn, &r->watch);
	}
	r->answered = r->accepted = true;
	conn_wake(r->conn);
	r->events->on_started(r->arg, r->session_id);
}

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	(void)ch;
	begin(arg, accept->token, accept->resume_seconds);
}

static void
go_on(struct remote *r, const struct msg_resume *answer)
{
	if (answer->resume_seconds > 0)
		r->watch.within = answer->resume_seconds * USEC_PER_SEC;
	keep_token(r, answer->token);
	r->waiting = 0;
	if (r->cols != r->told_cols || r->rows != r->told_rows)
		remote_resize(r, r->cols, r->rows);
	if (r->events->on_back != NULL)
		r->events->on_back(r->arg);
}

/* Of a RESUME that presented a ticket, or of a later one. */
static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct remote *r = arg;

	(void)ch;
	r->steady_at = remote_now(r) + STEADY;
	if (r->accepted)
		go_on(r, answer);
	else
		begin(r, answer->token, answer->resume_seconds);
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct remote *r = arg;
	const char *why = message != NULL && message[0] != '\0' ? message : hw_code_meaning(code);

	(void)ch;
	if (r->accepted) { /* RESUME was refused */
		struct hw_err err = HW_ERR_INIT;
		hw_err_set(&err, code, "the session could not be taken up again: %s", why);
		remote_fail(r, code, err.text);
		return;
	}
	refuse(r, code, why);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct remote *r = arg;

	(void)ch;
	(void)offset;
	r->out[stream].held += n;
	r->events->on_output(r->arg, stream, p, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct remote *r = arg;

	(void)ch;
	(void)offset;
	r->out[stream].ended = true;
	check_over(r);
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
	check_left(r);
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
	if (control->type == CONTROL_NOTICE && control->text != NULL) {
		r->events->on_notice(r->arg, control->text);
	} else if (control->type == CONTROL_SCREEN && r->events->on_screen != NULL) {
		r->events->on_screen(r->arg, control->bytes.p, control->bytes.n, !control->more);
	} else if (control->type == CONTROL_RESIZE && r->events->on_size != NULL) {
		r->events->on_size(r->arg, (int)control->cols, (int)control->rows);
	} else if (control->type == CONTROL_EXIT) {
		r->exit = (struct remote_exit){.status = (int)control->exit_status, .exited = true};
		r->exited = true;
		check_over(r);
	}
}

static struct remote_exit
exit_of(const struct remote *r, int code, const struct msg_close *close)
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
	else if (e.code == 0 && r->exited)
		e = r->exit;
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
	struct remote_exit e = exit_of(r, code, close);

	(void)ch;
	if (!r->accepted) /* the link went before it was answered */
		on_reject(r, NULL, e.code != 0 ? e.code : HW_EUNAVAILABLE, e.message);
	else
		remote_finish(r, &e);
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
	.on_park = on_park,
	.on_resume = on_resume,
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
	channel_keep(r->channel);
	return 0;
}

static int
start_new(struct remote *r, const struct remote_request *req, struct arena *a, struct hw_err *err)
{
	const struct msg_start_session_reply *ticket;
	int rc = start_session(&ticket, r->conn, req, a, err);

	return rc < 0 ? rc : open_channel(r, req, ticket, err);
}

/* --- attaching ------------------------------------------------------------------------------- */

static int
ask_ticket(const struct msg_resume_session_reply **ret, struct conn *c,
	const struct remote_request *want, struct arena *a, struct hw_err *err)
{
	static const enum op_id ops[] = {
		[REMOTE_ATTACH] = OP_resume_session,
		[REMOTE_JOIN] = OP_join_session,
		[REMOTE_WATCH] = OP_watch_session,
	};
	const struct msg_resume_session_request req = {.session_id = want->session};
	int r = conn_call(ret, c, ops[want->way], &req, a, err);

	if (r == 0 && ((*ret)->token_value == NULL || (*ret)->token_value[0] == '\0'))
		return hw_err_set(err, HW_ENOSESSION, "%s has ended", want->session);
	return r;
}

static int
attach(struct remote *r, const struct remote_request *req, struct arena *a, struct hw_err *err)
{
	const struct msg_resume_session_reply *ticket;
	int rc = ask_ticket(&ticket, r->conn, req, a, err);

	if (rc < 0)
		return rc;
	r->session_id = ticket->session_id;
	r->type = CHANNEL_TYPE_PTY;
	const struct msg_resume who = {
		.type = r->type,
		.session_id = r->session_id,
		.token = ticket->token_value,
		.cols = req->cols,
		.rows = req->rows,
	};
	if (conn_link(r->conn) == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost");
	r->told_cols = r->cols;
	r->told_rows = r->rows;
	return channel_open_taking_over(&r->channel, conn_link(r->conn), &who, WINDOW_PTY,
		&remote_channel_events, r, err);
}

static int
await(struct remote *r, struct hw_err *err)
{
	if (!conn_wait(r->conn, &r->answered, conn_timeout(r->conn)))
		return hw_err_set(err, HW_ETIMEOUT,
			r->way == REMOTE_START ? "the node did not start %s in time"
					       : "%s could not be attached in time",
			r->session_id);
	if (!r->accepted)
		return hw_err_set(err, r->refusal.code, "%s", r->refusal.text);
	return 0;
}

int
remote_start(struct remote **ret, struct conn *c, const struct remote_request *req, struct arena *a,
	const struct remote_events *events, void *arg, struct hw_err *err)
{
	struct remote *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*r = (struct remote){
		.conn = c,
		.events = events,
		.arg = arg,
		.way = req->way,
		.type = req->type,
		.cols = req->cols,
		.rows = req->rows,
		.again = {.fn = on_again, .arg = r},
		.leave = {.fn = on_leave, .arg = r},
	};
	*ret = r; /* events may come before we return, and need it */
	rc = req->way == REMOTE_START ? start_new(r, req, a, err) : attach(r, req, a, err);
	if (rc == 0)
		rc = await(r, err);
	if (rc < 0) {
		*ret = NULL;
		remote_free(r);
	}
	return rc;
}

/* What was begun here ends here; a shell that ran before goes on where it could not be attached. */
static void
give_up(struct remote *r)
{
	static const struct msg_close well = {.code = NULL};

	bool attaches = r->way == REMOTE_ATTACH && !r->accepted;

	if (!is_viewer(r) && !attaches && !r->outlives) {
		channel_abort(r->channel, HW_ETERMINATED, "its user ended it");
		return;
	}
	if (!is_viewer(r) && !r->parked)
		channel_interrupt(r->channel, "its user has gone");
	channel_close(r->channel, &well);
}

void
remote_free(struct remote *r)
{
	if (r == NULL)
		return;
	if (r->channel != NULL) {
		if (!r->outlives)
			take_up(r, NULL); /* or a relay that is there would wait for us */
		give_up(r);
		r->closed = true;
	}
	loop_timer_stop(conn_loop(r->conn), &r->again);
	loop_timer_stop(conn_loop(r->conn), &r->leave);
	conn_release(r->conn, &r->watch);
	if (r->closed)
		conn_flush(r->conn); /* or the relay would see but a lost link */
	forget_token(r);
	free(r);
}

/* --- while it runs --------------------------------------------------------------------------- */

void
remote_outlive(struct remote *r, bool outlives)
{
	r->outlives = outlives;
}

const char *
remote_session(const struct remote *r)
{
	return r->session_id;
}

bool
remote_is_waiting(const struct remote *r)
{
	return r->waiting != 0;
}

size_t
remote_room(const struct remote *r)
{
	bool takes = r->channel != NULL && r->accepted && !r->leaving;

	return takes ? channel_room(r->channel, STREAM_IN) : 0;
}

size_t
remote_send(struct remote *r, const void *p, size_t n)
{
	bool takes = r->channel != NULL && !r->leaving;

	return takes ? channel_write(r->channel, STREAM_IN, p, n) : 0;
}

void
remote_end_input(struct remote *r)
{
	if (r->channel != NULL && !r->leaving)
		channel_end(r->channel, STREAM_IN);
}

void
remote_consumed(struct remote *r, int stream, size_t n)
{
	if (r->channel == NULL)
		return;
	r->out[stream].held -= n;
	channel_consume(r->channel, stream, n, ECHO_UNKNOWN);
	check_over(r);
	check_stalled(r);
}

void
remote_resize(struct remote *r, int cols, int rows)
{
	struct msg_control control = {.type = CONTROL_RESIZE, .cols = cols, .rows = rows};

	r->cols = cols;
	r->rows = rows;
	if (r->channel == NULL || !r->accepted || r->waiting != 0 || is_viewer(r))
		return; /* RESUME has it; a viewer's is its own affair */
	r->told_cols = cols;
	r->told_rows = rows;
	channel_control(r->channel, &control);
}

void
remote_signal(struct remote *r, const char *name)
{
	struct msg_control control = {.type = CONTROL_SIGNAL, .signal = name};

	if (r->channel != NULL && r->accepted)
		channel_control(r->channel, &control);
}
