#include "node/programs_monitor.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/holder.h"
#include "node/holder/protocol.h"
#include "node/monitor/request.h"
#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/list.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/frame.h"

#define ANSWER_WITHIN (30 * USEC_PER_SEC) /* NSS may ask a slow directory */
#define ADOPT_WITHIN  (5 * USEC_PER_SEC)
#define MESSAGE_MAX   (sizeof(struct holder_head) + HOLDER_DATA_MAX)
#define QUEUE_MAX     (2 * HOLDER_INPUT_MAX) /* to a holder: its input, and some words beside; */
#define LAST_WORD     sizeof(struct holder_head) /* and CLOSE, for which there is always room */

struct monitor_programs {
	struct programs base;
	struct loop *loop;
	struct log_ctx log;
	int dir; /* the agent's */
	int fd;
	struct loop_fd *watch;
	void (*on_gone)(void *arg);
	void *arg;
	uint32_t last_id;
	TAILQ_HEAD(job_list, job) waiting; /* for the monitor's answer */
	struct job_list closing; /* with last words that their holders have not taken yet */
};

enum job_state { WAITING, ADOPTING, RUNNING, OVER, CLOSED };

struct job {
	struct monitor_programs *owner;
	enum job_state state;
	const struct program_events *events;
	void *arg;

	TAILQ_ENTRY(job) link; /* while WAITING, or closing */
	uint32_t id;
	bool permission; /* of a forward: nothing runs, and no holder is reached */
	struct loop_timer deadline;

	int fd;
	struct loop_fd *watch;
	uint64_t written; /* input */
	uint64_t consumed;
	struct buf out;
	uint8_t *in;
	size_t in_len;
	size_t taken; /* of the body of the message at in */
	bool paused;
	bool behind;	       /* something was left out, as its holder takes nothing */
	bool paints;	       /* its holder can be asked for its screen */
	struct loop_task work; /* goes on after a pause, or frees */
};

static struct job *
job_from(void *arg)
{
	struct job *j = arg;

	hw_assert(j->state <= CLOSED && j->owner != NULL);
	return j;
}

/* --- the life of a job ---------------------------------------------------------------------- */

static void
free_job(void *arg)
{
	struct job *j = job_from(arg);

	buf_fini(&j->out);
	free(j->in);
	free(j);
}

static void
disconnect(struct job *j)
{
	loop_fd_free(j->watch);
	j->watch = NULL;
	fd_close(j->fd);
	j->fd = -1;
}

static void
lose(struct job *j, const char *why)
{
	enum job_state state = j->state;

	disconnect(j);
	loop_timer_stop(j->owner->loop, &j->deadline);
	j->state = OVER;
	if (state == RUNNING)
		j->events->on_exit(j->arg, HW_ESPAWN, why, NULL);
	else if (state == ADOPTING)
		j->events->on_failed(j->arg, HW_ENOSESSION, why);
}

static void
want(struct job *j)
{
	if (j->watch == NULL)
		return;
	loop_fd_want(j->watch, (j->paused ? 0 : LOOP_READ) | (j->out.len > 0 ? LOOP_WRITE : 0));
}

/* --- to the holder -------------------------------------------------------------------------- */

/* Returns false when the holder has gone. */
static bool
flush(struct job *j)
{
	bool there = true;

	while (j->out.len > 0) {
		ssize_t n = send(j->fd, buf_data(&j->out), j->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			there = errno == EAGAIN;
			break;
		}
		buf_consume(&j->out, (size_t)n);
	}
	if (j->out.len == 0) {
		buf_reset(&j->out);
		j->behind = false;
	}
	want(j);
	return there; /* reading tells why not */
}

/* Whole or not at all: what followed half a word would be taken for the rest of it. */
static bool
queue(struct job *j, const struct holder_head *head, const void *body)
{
	size_t n = sizeof(*head) + head->len, max = QUEUE_MAX;

	if (head->type == HOLDER_CLOSE)
		max += LAST_WORD;
	uint8_t *to = n <= max - j->out.len ? buf_reserve(&j->out, n) : NULL;
	if (to == NULL)
		return false;
	memcpy(to, head, sizeof(*head));
	if (head->len > 0)
		memcpy(to + sizeof(*head), body, head->len);
	buf_commit(&j->out, n);
	return true;
}

static void
tell(struct job *j, struct holder_head head, const void *body)
{
	if (j->fd < 0)
		return;
	if (!queue(j, &head, body)) {
		if (!j->behind)
			log_error(j->owner, "job.queue_full", "bytes=%zu", j->out.len);
		j->behind = true;
	}
	flush(j);
}

static void
monitor_write(struct job *j, const void *p, size_t n)
{
	const uint8_t *bytes = p;

	for (size_t piece; n > 0; bytes += piece, n -= piece) {
		piece = n < HOLDER_DATA_MAX ? n : HOLDER_DATA_MAX;
		tell(j,
			(struct holder_head){.type = HOLDER_DATA,
				.stream = HOLDER_IN,
				.len = (uint32_t)piece,
				.offset = j->written},
			bytes);
		j->written += piece;
	}
}

static void
monitor_end_input(struct job *j)
{
	tell(j, (struct holder_head){.type = HOLDER_END, .stream = HOLDER_IN, .offset = j->written},
		NULL);
}

static void
monitor_credit(struct job *j, int stream, uint64_t consumed, uint64_t limit)
{
	tell(j,
		(struct holder_head){.type = HOLDER_CREDIT,
			.stream = (uint8_t)stream,
			.len = sizeof(limit),
			.offset = consumed},
		&limit);
}

static void
monitor_resize(struct job *j, int cols, int rows)
{
	struct holder_size size = {.cols = (uint16_t)cols, .rows = (uint16_t)rows};

	tell(j, (struct holder_head){.type = HOLDER_RESIZE, .len = sizeof(size)}, &size);
}

static void
monitor_signal(struct job *j, int signo)
{
	tell(j, (struct holder_head){.type = HOLDER_SIGNAL, .flags = (uint16_t)signo}, NULL);
}

static bool
monitor_repaint(struct job *j)
{
	if (!j->paints || j->fd < 0)
		return false;
	tell(j, (struct holder_head){.type = HOLDER_REPAINT}, NULL);
	return true;
}

/* --- from the holder ------------------------------------------------------------------------ */

/* Returns false when not all of it was taken. */
static bool
take_output(struct job *j, const struct holder_msg *m)
{
	if (j->taken < m->head.len)
		j->taken += j->events->on_output(j->arg, m->head.stream, m->body + j->taken,
			m->head.len - j->taken);
	if (j->taken < m->head.len) {
		j->paused = true;
		return false;
	}
	j->taken = 0;
	return true;
}

static void
take_credit(struct job *j, const struct holder_msg *m)
{
	uint64_t before = j->consumed;

	if (m->head.offset < before || m->head.offset > j->written)
		return;
	j->consumed = m->head.offset;
	if (j->consumed > before)
		j->events->on_consumed(j->arg, (size_t)(j->consumed - before), m->head.flags);
}

static void
take_exit(struct job *j, const struct holder_msg *m)
{
	struct holder_exit e;

	memcpy(&e, m->body, sizeof(e));
	struct program_exit exit = {.status = e.status, .signal = e.signal};
	j->state = OVER;
	j->events->on_exit(j->arg, HW_OK, NULL, &exit);
}

static void
take_abilities(struct job *j, const struct holder_msg *m)
{
	j->paints = (m->head.flags & HOLDER_CAN_REPAINT) != 0;
}

/* It is the word of a process of the user's. */
static bool
state_ok(const struct holder_state *st)
{
	bool ok = st->consumed <= st->received && st->received <= (uint64_t)OFFSET_MAX &&
		st->received - st->consumed <= HOLDER_INPUT_MAX && st->echo_from <= st->consumed &&
		st->echo <= HOLDER_ECHO_HIDDEN;

	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++)
		ok = ok && st->start[s] <= st->end[s] && st->end[s] <= (uint64_t)OFFSET_MAX &&
			st->end[s] - st->start[s] <= HOLDER_RING_MAX;
	return ok;
}

static void
take_state(struct job *j, const struct holder_msg *m)
{
	struct program_state state = {0};
	bool is_state = m->head.type == HOLDER_STATE && m->head.len > 0;
	struct holder_state st = {0}; /* what an older holder does not say is unknown */

	if (is_state)
		memcpy(&st, m->body, m->head.len);
	if (!is_state || !state_ok(&st)) {
		lose(j, "the process that held this session on the node does not answer");
		return;
	}
	loop_timer_stop(j->owner->loop, &j->deadline);
	j->state = RUNNING;
	take_abilities(j, m);
	j->written = state.received = st.received;
	j->consumed = state.consumed = st.consumed;
	state.echo = (int)st.echo;
	state.echo_from = st.echo_from;
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++) {
		state.start[s] = st.start[s];
		state.end[s] = st.end[s];
	}
	j->events->on_adopted(j->arg, &state);
}

static void
take_screen(struct job *j, const struct holder_msg *m)
{
	j->events->on_screen(j->arg, m->head.offset, m->body, m->head.len,
		(m->head.flags & HOLDER_MORE) != 0);
}

/* Returns false when the message stays where it is for now. */
static bool
take_msg(struct job *j, const struct holder_msg *m)
{
	if (j->state == ADOPTING)
		return take_state(j, m), true;
	if (m->head.type == HOLDER_SCREEN)
		return take_screen(j, m), true;
	if (j->state == OVER)
		return true; /* the holder stays until it is closed, and may still have a word */
	switch (m->head.type) {
	case HOLDER_DATA:
		return take_output(j, m);
	case HOLDER_CREDIT:
		take_credit(j, m);
		return true;
	case HOLDER_END:
		j->events->on_output_end(j->arg, m->head.stream);
		return true;
	case HOLDER_EXIT:
		take_exit(j, m);
		return true;
	case HOLDER_STATE:
		take_abilities(j, m);
		return true;
	default:
		return true;
	}
}

/* An event may close the job: its memory stays until the end of the turn. */
static void
take_all(struct job *j)
{
	struct holder_msg m;
	size_t at = 0, used;
	int r = 0;

	while (j->state != CLOSED && j->fd >= 0 &&
		(r = holder_parse(&m, j->in + at, j->in_len - at, &used)) == 0) {
		if (!take_msg(j, &m))
			break;
		at += used;
	}
	memmove(j->in, j->in + at, j->in_len - at);
	j->in_len -= at;
	if (r < 0)
		lose(j, "the holder broke its protocol");
}

static void
free_soon(struct job *j)
{
	j->work = (struct loop_task){.fn = free_job, .arg = j};
	loop_defer(j->owner->loop, &j->work);
}

static void
end_closing(struct job *j)
{
	TAILQ_REMOVE(&j->owner->closing, j, link);
	disconnect(j);
	free_soon(j);
}

static void
on_holder(void *arg, int what)
{
	struct job *j = job_from(arg);
	bool there = !(what & LOOP_WRITE) || flush(j);

	if (j->state == CLOSED) {
		if (!there || j->out.len == 0)
			end_closing(j);
		return;
	}
	if (!(what & LOOP_READ) || j->paused)
		return;
	ssize_t n = recv(j->fd, j->in + j->in_len, MESSAGE_MAX - j->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(j, "the process that held this session on the node was killed");
		return;
	}
	j->in_len += (size_t)n;
	take_all(j);
	want(j);
}

static void
go_on(void *arg)
{
	struct job *j = job_from(arg);

	j->paused = false;
	take_all(j);
	want(j);
}

static void
monitor_more(struct job *j)
{
	if (j->paused && j->state == RUNNING)
		loop_defer(j->owner->loop, &j->work);
}

/* Its answer, if one is under way, finds nobody waiting. */
static void
stop_job(struct job *j)
{
	struct loop *loop = j->owner->loop;

	if (j->state == WAITING)
		TAILQ_REMOVE(&j->owner->waiting, j, link);
	loop_timer_stop(loop, &j->deadline);
	loop_undefer(loop, &j->work);
	j->state = CLOSED;
}

/* The end of the connection alone would not end the program: a holder waits for the next uplink
 * then. */
static void
monitor_close(struct job *j)
{
	tell(j, (struct holder_head){.type = HOLDER_CLOSE}, NULL);
	stop_job(j);
	if (j->fd >= 0 && j->out.len > 0) {
		j->paused = true; /* nobody listens to it any more */
		want(j);
		TAILQ_INSERT_TAIL(&j->owner->closing, j, link);
		return;
	}
	disconnect(j);
	free_soon(j);
}

static void
monitor_leave(struct job *j)
{
	stop_job(j);
	disconnect(j);
	free_soon(j);
}

/* --- starting ------------------------------------------------------------------------------- */

static void
fail_waiting(struct job *j, int code, const char *why)
{
	TAILQ_REMOVE(&j->owner->waiting, j, link);
	loop_timer_stop(j->owner->loop, &j->deadline);
	j->state = OVER;
	j->events->on_failed(j->arg, code, why);
}

static void
on_deadline(void *arg)
{
	fail_waiting(job_from(arg), HW_ENOSESSION,
		"the node's monitor did not answer in 30 seconds");
}

static void
run_job(struct job *j, int fd, const struct monitor_reply *reply)
{
	loop_timer_stop(j->owner->loop, &j->deadline);
	TAILQ_REMOVE(&j->owner->waiting, j, link);
	j->fd = fd;
	j->state = RUNNING;
	j->in = malloc(MESSAGE_MAX);
	if (j->in == NULL || loop_fd_new(&j->watch, j->owner->loop, fd, on_holder, j) < 0) {
		disconnect(j);
		j->state = OVER;
		j->events->on_failed(j->arg, HW_ENOMEM, "out of memory");
		return;
	}
	want(j);
	j->events->on_started(j->arg, reply->run_as, reply->pid);
}

static void
permit(struct job *j)
{
	loop_timer_stop(j->owner->loop, &j->deadline);
	TAILQ_REMOVE(&j->owner->waiting, j, link);
	j->state = RUNNING;
	j->events->on_started(j->arg, "", 0);
}

static void
end_unwanted(int fd)
{
	struct holder_head head = {.type = HOLDER_CLOSE};

	if (fd >= 0 && send(fd, &head, sizeof(head), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0; /* it is gone already */
	fd_close(fd);
}

static void
on_answer(struct monitor_programs *ps, const struct monitor_reply *reply, int fd)
{
	struct job *j;

	TAILQ_FOREACH(j, &ps->waiting, link)
	if (j->id == reply->id)
		break;
	bool runs = j != NULL && !j->permission && reply->code == 0 && fd >= 0 && reply->pid > 0;
	if (!runs)
		end_unwanted(fd);
	if (j == NULL)
		return;
	if (runs)
		run_job(j, fd, reply);
	else if (reply->code == 0 && j->permission)
		permit(j);
	else
		fail_waiting(j, reply->code ? reply->code : HW_ESPAWN, reply->text);
}

static void
on_monitor(void *arg, int what)
{
	struct monitor_programs *ps = arg;
	struct monitor_reply reply;
	int fd, r;

	(void)what;
	hw_assert(ps->base.ops != NULL);
	r = reply_receive(&reply, &fd, ps->fd);
	if (r == 0)
		on_answer(ps, &reply, fd);
	else if (r == HW_EVALIDATION)
		log_error(ps, "monitor.bad_answer", "%s", "");
	if (r != HW_EIO)
		return;
	loop_fd_want(ps->watch, 0);
	ps->on_gone(ps->arg);
}

static int
put_text(char *to, size_t room, const char *from, const char *what, struct hw_err *err)
{
	size_t n = from != NULL ? strlen(from) : 0;

	if (n >= room)
		return hw_err_set(err, HW_EVALIDATION, "%s is too long", what);
	memcpy(to, from != NULL ? from : "", n);
	return 0;
}

static int
put_within(struct monitor_request *r, const struct program_spec *s, struct hw_err *err)
{
	int e = 0;

	_Static_assert(REQUEST_WITHIN_MAX == sizeof(s->within) / sizeof(s->within[0]), "the same");
	for (size_t i = 0; e == 0 && i < REQUEST_WITHIN_MAX; i++)
		e = put_text(r->within[i], sizeof(r->within[i]), s->within[i], "DocumentName", err);
	return e;
}

static int
make_request(struct monitor_request *r, const struct program_spec *s, struct hw_err *err)
{
	int e;

	if ((e = put_text(r->run_as, sizeof(r->run_as), s->run_as, "RunAs", err)) < 0 ||
		(e = put_text(r->session_id, sizeof(r->session_id), s->session_id, "SessionId",
			 err)) < 0 ||
		(e = put_text(r->document, sizeof(r->document), s->document, "DocumentName", err)) <
			0 ||
		(e = put_within(r, s, err)) < 0 ||
		(e = put_text(r->term, sizeof(r->term), s->term, "Term", err)) < 0 ||
		(e = put_text(r->lang, sizeof(r->lang), s->lang, "Lang", err)) < 0 ||
		(e = put_text(r->colorterm, sizeof(r->colorterm), s->colorterm, "ColorTerm", err)) <
			0)
		return e;
	r->kind = s->script			  ? REQUEST_SCRIPT
		: s->type == CHANNEL_TYPE_PTY	  ? REQUEST_PTY
		: s->type == CHANNEL_TYPE_FORWARD ? REQUEST_FORWARD
						  : REQUEST_EXEC;
	r->cols = (uint16_t)s->cols;
	r->rows = (uint16_t)s->rows;
	return 0;
}

/* Checked here as the monitor will, so that the sentence names the field. */
static int
send_request(struct monitor_programs *ps, const struct monitor_request *r,
	const struct program_spec *s, struct hw_err *err)
{
	struct monitor_request parsed;
	const char *why, *bytes;
	struct buf message;
	int e = 0;

	buf_init(&message, REQUEST_MAX);
	if (buf_append(&message, r, sizeof(*r)) < 0 ||
		buf_append(&message, s->directory, r->directory_len) < 0 ||
		buf_append(&message, s->environment, r->environment_len) < 0 ||
		buf_append(&message, s->command, r->command_len) < 0)
		e = hw_err_set(err, HW_ELIMIT, "the command is too long");
	else if (request_parse(&parsed, &bytes, buf_data(&message), message.len, &why) < 0)
		e = hw_err_set(err, HW_EVALIDATION, "the request's %s is not valid", why);
	else if (send(ps->fd, buf_data(&message), message.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		e = hw_err_set(err, errno == EAGAIN ? HW_EFULL : HW_ESPAWN,
			"the node's monitor takes no request: %s", strerror(errno));
	buf_fini(&message);
	return e;
}

static struct job *
job_new(struct monitor_programs *ps, enum job_state state, const struct program_events *events,
	void *arg)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	*j = (struct job){
		.owner = ps,
		.state = state,
		.events = events,
		.arg = arg,
		.fd = -1,
		.deadline = {.arg = j },
		.work = { .fn = go_on, .arg = j},
	};
	buf_init(&j->out, QUEUE_MAX + LAST_WORD);
	return j;
}

static int
monitor_start(struct job **ret, struct programs *base, const struct program_spec *spec,
	const struct program_events *events, void *arg, struct hw_err *err)
{
	struct monitor_programs *ps = container_of(base, struct monitor_programs, base);
	const char *command = spec->command != NULL ? spec->command : "";
	struct monitor_request r = {
		.magic = REQUEST_MAGIC,
		.version = REQUEST_VERSION,
		.id = ++ps->last_id,
		.command_len = (uint32_t)strlen(command),
	};
	int e;

	if (spec->script) {
		bool named = spec->directory != NULL && spec->directory[0] != '\0';
		r.directory_len = named ? (uint32_t)strlen(spec->directory) + 1 : 0;
		r.environment_len = (uint32_t)spec->environment_len;
		r.seconds = (uint32_t)spec->seconds;
		r.directory_optional = named && spec->directory_optional;
		r.work_len = named ? (uint32_t)spec->work_len : 0;
	}
	if ((e = make_request(&r, spec, err)) < 0 || (e = send_request(ps, &r, spec, err)) < 0)
		return e;
	struct job *j = job_new(ps, WAITING, events, arg);
	if (j == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	j->id = r.id;
	j->permission = spec->type == CHANNEL_TYPE_FORWARD;
	j->deadline.fn = on_deadline;
	TAILQ_INSERT_TAIL(&ps->waiting, j, link);
	loop_timer_start(ps->loop, &j->deadline, ANSWER_WITHIN);
	*ret = j;
	return 0;
}

/* --- adopting ------------------------------------------------------------------------------- */

/* By a path through a descriptor: the directory's own may be too long for a socket's address. */
static int
connect_holder(const struct monitor_programs *ps, const char *session_id)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char name[128];
	int run = openat(ps->dir, "run", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	holder_socket_name(name, session_id);
	int n = snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/%s", run, name);
	bool there = run >= 0 && fd >= 0 && n > 0 && (size_t)n < sizeof(sun.sun_path) &&
		connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0;
	fd_close(run);
	if (there)
		return fd;
	fd_close(fd);
	return -1;
}

static void
on_adopt_deadline(void *arg)
{
	lose(job_from(arg), "the process that held this session on the node does not answer");
}

static int
monitor_adopt(struct job **ret, struct programs *base, const char *session_id,
	const struct program_events *events, void *arg, struct hw_err *err)
{
	struct monitor_programs *ps = container_of(base, struct monitor_programs, base);
	int fd = connect_holder(ps, session_id);

	if (fd < 0)
		return hw_err_set(err, HW_ENOSESSION, "no process holds the session %s",
			session_id);
	struct job *j = job_new(ps, ADOPTING, events, arg);
	if (j == NULL || (j->in = malloc(MESSAGE_MAX)) == NULL ||
		loop_fd_new(&j->watch, ps->loop, fd, on_holder, j) < 0) {
		if (j != NULL)
			free_job(j);
		close(fd);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	j->fd = fd;
	j->deadline.fn = on_adopt_deadline;
	loop_timer_start(ps->loop, &j->deadline, ADOPT_WITHIN);
	tell(j, (struct holder_head){.type = HOLDER_STATE}, NULL);
	*ret = j;
	return 0;
}

static const struct programs_ops monitor_ops = {
	.start = monitor_start,
	.adopt = monitor_adopt,
	.write = monitor_write,
	.end_input = monitor_end_input,
	.credit = monitor_credit,
	.more = monitor_more,
	.resize = monitor_resize,
	.signal = monitor_signal,
	.repaint = monitor_repaint,
	.close = monitor_close,
	.leave = monitor_leave,
};

int
programs_monitor_new(struct programs **ret, struct loop *loop, const struct log_ctx *log, int dir,
	int fd, void (*on_gone)(void *arg), void *arg, struct hw_err *err)
{
	struct monitor_programs *ps = calloc(1, sizeof(*ps));

	if (ps == NULL || loop_fd_new(&ps->watch, loop, fd, on_monitor, ps) < 0) {
		free(ps);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	ps->base.ops = &monitor_ops;
	ps->loop = loop;
	ps->log = *log;
	ps->dir = dir;
	ps->fd = fd;
	ps->on_gone = on_gone;
	ps->arg = arg;
	TAILQ_INIT(&ps->waiting);
	TAILQ_INIT(&ps->closing);
	loop_fd_want(ps->watch, LOOP_READ);
	*ret = &ps->base;
	return 0;
}

void
programs_monitor_free(struct programs *base)
{
	if (base == NULL)
		return;
	struct monitor_programs *ps = container_of(base, struct monitor_programs, base);
	struct job *j;

	hw_assert(TAILQ_EMPTY(&ps->waiting));
	while ((j = TAILQ_FIRST(&ps->closing)) != NULL) {
		TAILQ_REMOVE(&ps->closing, j, link);
		disconnect(j);
		free_job(j);
	}
	loop_fd_free(ps->watch);
	free(ps);
}
