#include "relay/edge/local.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "proto/base/file.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/loop.h"
#include "proto/wire/codec.h"
#include "relay/core/relay.h"

#define ANSWER_MAX (1024 * 1024)
#define CHUNK	   (16 * 1024)
#define BACKLOG	   128
#define USER_MAX   65
#define PAUSE	   (200 * USEC_PER_MSEC)

enum local_state {
	LOCAL_READING,
	LOCAL_ASKED,   /* the relay works on its request */
	LOCAL_WRITING, /* the answer is on its way */
};

struct local_conn {
	TAILQ_ENTRY(local_conn) entry;
	struct local *local; /* NULL once it is closed */
	int fd;
	struct loop_fd *watch;
	struct loop_timer idle;
	struct loop_task release;
	enum local_state state;
	bool ended;	  /* nothing more comes in, or nothing more is read */
	const char *name; /* whose requests these are */
	struct buf in, out;
};

TAILQ_HEAD(local_conns, local_conn);

struct local {
	struct relay *relay;
	struct loop *loop;
	struct log_ctx log;
	int dir, fd;
	struct loop_fd *watch;
	struct loop_timer pause;
	struct local_conns conns;
	size_t count;
	uid_t self;
	char self_name[USER_MAX];
};

/* --- a connection's life ---------------------------------------------------------------------- */

static void
release(void *arg)
{
	struct local_conn *c = arg;

	buf_wipe(&c->in);
	buf_fini(&c->in);
	buf_wipe(&c->out); /* an invite may have been in it */
	buf_fini(&c->out);
	free(c);
}

static void
conn_end(struct local_conn *c)
{
	struct local *l = c->local;

	TAILQ_REMOVE(&l->conns, c, entry);
	l->count--;
	relay_http_forget(l->relay, c);
	loop_timer_stop(l->loop, &c->idle);
	loop_fd_free(c->watch);
	fd_close(c->fd);
	c->local = NULL;
	loop_defer(l->loop, &c->release);
}

static void
on_idle(void *arg)
{
	conn_end(arg);
}

static void
await(struct local_conn *c, enum local_state state)
{
	static const int wants[] = {
		[LOCAL_READING] = LOOP_READ, [LOCAL_ASKED] = 0, [LOCAL_WRITING] = LOOP_WRITE};

	c->state = state;
	loop_fd_want(c->watch, wants[state]);
	if (state == LOCAL_ASKED)
		loop_timer_stop(c->local->loop, &c->idle);
	else
		loop_timer_start(c->local->loop, &c->idle, LOCAL_IDLE);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
say(struct local_conn *c)
{
	buf_append_byte(&c->out, '\n');
	await(c, LOCAL_WRITING);
}

static void
say_error(struct local_conn *c, int code, const char *message)
{
	buf_printf(&c->out, "{\"Status\":%d,\"__type\":\"%s\",\"message\":", hw_code_http(code),
		hw_code_name(code));
	json_append_string(&c->out, message, strlen(message));
	buf_append_byte(&c->out, '}');
	say(c);
}

static void
on_answer(void *arg, const struct relay_answer *a)
{
	struct local_conn *c = arg;
	char url[512] = "";

	hw_assert(c->state == LOCAL_ASKED);
	buf_printf(&c->out, "{\"Status\":%d,\"RequestId\":\"%s\",", a->status, a->request_id);
	if (a->status == 200) {
		(void)relay_url(c->local->relay, url, NULL); /* without one there is none to show */
		buf_append_str(&c->out, "\"Url\":");
		json_append_string(&c->out, url, strlen(url));
		buf_append_str(&c->out, ",\"Reply\":");
		buf_append(&c->out, a->body, a->n);
		buf_append_byte(&c->out, '}');
	} else {
		hw_assert(a->n > 0 && a->body[0] == '{');
		buf_append(&c->out, a->body + 1, a->n - 1); /* its members are ours */
	}
	say(c);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
ask(struct local_conn *c, const json_t *line)
{
	const char *op = json_string_value(json_object_get(line, "Operation"));
	const json_t *request = json_object_get(line, "Request");

	if (op == NULL || (request != NULL && !json_is_object(request))) {
		say_error(c, HW_EVALIDATION,
			"a request is one line, {\"Operation\":\"...\",\"Request\":{...}}");
		return;
	}
	char *body = request != NULL ? json_dumps(request, JSON_COMPACT) : strdup("{}");
	if (body == NULL) {
		say_error(c, HW_ENOMEM, "no memory for the request");
		return;
	}
	await(c, LOCAL_ASKED);
	if (!relay_local(c->local->relay, op, c->name, body, strlen(body), on_answer, c))
		say_error(c, HW_EFULL, "the relay has too much to do; try again");
	free(body);
}

static void
take_line(struct local_conn *c, const char *text, size_t n)
{
	json_error_t why;
	char message[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);

	if (line != NULL) {
		ask(c, line);
	} else {
		snprintf(message, sizeof(message), "the line is not JSON, at its byte %d: %s",
			why.position, why.text);
		say_error(c, HW_ESERIAL, message);
	}
	json_decref(line);
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* The rest of the line would have to be read to find the next: the connection ends instead. */
static void
refuse_line(struct local_conn *c, const char *why)
{
	buf_wipe(&c->in);
	c->ended = true;
	say_error(c, HW_ELIMIT, why);
}

/* The next request, if it is there. */
static void
serve(struct local_conn *c)
{
	const char *text = (const char *)buf_data(&c->in);
	const char *end = memchr(text, '\n', c->in.len);

	if (end != NULL) {
		size_t n = (size_t)(end - text);
		take_line(c, text, n);
		buf_consume(&c->in, n + 1);
	} else if (c->in.len >= LOCAL_REQUEST_MAX) {
		refuse_line(c, "a request has at most 131072 bytes");
	} else if (c->ended && c->in.len > 0) {
		refuse_line(c, "the last request has no newline at its end");
	} else if (c->ended) {
		conn_end(c);
	} else {
		await(c, LOCAL_READING);
	}
}

static void
receive(struct local_conn *c)
{
	size_t room = LOCAL_REQUEST_MAX - c->in.len;
	uint8_t chunk[CHUNK];
	ssize_t n = recv(c->fd, chunk, room < sizeof(chunk) ? room : sizeof(chunk), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || buf_append(&c->in, chunk, (size_t)n) < 0) {
		conn_end(c);
		return;
	}
	c->ended = n == 0;
	serve(c);
}

static void
transmit(struct local_conn *c)
{
	if (c->out.failed) {
		conn_end(c);
		return;
	}
	ssize_t n = send(c->fd, buf_data(&c->out), c->out.len, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_end(c);
		return;
	}
	buf_consume(&c->out, (size_t)n);
	if (c->out.len > 0) {
		await(c, LOCAL_WRITING);
		return;
	}
	buf_wipe(&c->out);
	serve(c);
}

static void
on_ready(void *arg, int what)
{
	struct local_conn *c = arg;

	(void)what;
	if (c->state == LOCAL_WRITING)
		transmit(c);
	else if (c->state == LOCAL_READING)
		receive(c);
}

/* --- who comes in ----------------------------------------------------------------------------- */

/* One line, as far as the socket takes it at once, and the end. */
static void
turn_away(int fd, int code, const char *message)
{
	char line[256];
	int n = snprintf(line, sizeof(line),
		"{\"Status\":%d,\"__type\":\"%s\",\"message\":\"%s\"}\n", hw_code_http(code),
		hw_code_name(code), message);

	(void)!send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	fd_close(fd);
}

/* The name of root or of the relay's own user; NULL for anybody else, who is told so. */
static const char *
identify(struct local *l, int fd)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t n = sizeof(who);
	char name[USER_MAX] = "unknown";

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && n == sizeof(who)) {
		if (who.uid == 0)
			return "root";
		if (who.uid == l->self)
			return l->self_name;
		snprintf(name, sizeof(name), "%u", (unsigned)who.uid);
	}
	relay_local_refused(l->relay, name);
	turn_away(fd, HW_EDENIED, "only root and the relay's own user may ask here");
	return NULL;
}

static void
let_in(struct local *l, int fd, const char *name)
{
	struct local_conn *c = calloc(1, sizeof(*c));

	if (c == NULL || loop_fd_new(&c->watch, l->loop, fd, on_ready, c) < 0) {
		free(c);
		fd_close(fd);
		return;
	}
	c->local = l;
	c->fd = fd;
	c->name = name;
	c->idle = (struct loop_timer){.fn = on_idle, .arg = c};
	c->release = (struct loop_task){.fn = release, .arg = c};
	buf_init(&c->in, LOCAL_REQUEST_MAX);
	buf_init(&c->out, ANSWER_MAX);
	TAILQ_INSERT_TAIL(&l->conns, c, entry);
	l->count++;
	await(c, LOCAL_READING);
}

static void
on_resume(void *arg)
{
	struct local *l = arg;

	loop_fd_want(l->watch, LOOP_READ);
}

/* Without a descriptor the connection stays in the queue, which would stay readable. */
static void
on_none(struct local *l)
{
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	log_warn(l, "local.no_descriptors", "error=%s", strerrorname_np(errno));
	loop_fd_want(l->watch, 0);
	loop_timer_start(l->loop, &l->pause, PAUSE);
}

/* One a turn: the others stay in the queue. */
static void
on_knock(void *arg, int what)
{
	struct local *l = arg;
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	const char *name;

	(void)what;
	if (fd < 0) {
		on_none(l);
		return;
	}
	if ((name = identify(l, fd)) == NULL)
		return;
	if (l->count >= LOCAL_CONNS_MAX)
		turn_away(fd, HW_EFULL, "8 others are connected here, and no more are let in");
	else
		let_in(l, fd, name);
}

/* --- the socket ------------------------------------------------------------------------------- */

/* The name is looked up now: later there may be no way to the system's files. */
static void
know_self(struct local *l)
{
	l->self = geteuid();
	const struct passwd *pw = getpwuid(l->self);
	if (pw != NULL && strlen(pw->pw_name) < sizeof(l->self_name))
		snprintf(l->self_name, sizeof(l->self_name), "%s", pw->pw_name);
	else
		snprintf(l->self_name, sizeof(l->self_name), "%u", (unsigned)l->self);
}

/* By the directory's descriptor: a path of any length will do, and nobody can swap a part of it.
 * The socket is born with its mode. bind() follows no link and takes no name that is in use. */
static int
bind_socket(struct local *l, const char *dir, struct hw_err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (unlinkat(l->dir, LOCAL_SOCKET, 0) < 0 && errno != ENOENT)
		return hw_err_sys(err, "cannot remove what is in the way at %s/" LOCAL_SOCKET, dir);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" LOCAL_SOCKET, l->dir);
	if (l->fd < 0 || fchmod(l->fd, 0600) < 0 ||
		bind(l->fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
		listen(l->fd, BACKLOG) < 0)
		return hw_err_sys(err, "cannot listen at %s/" LOCAL_SOCKET, dir);
	return 0;
}

int
local_open(struct local **ret, struct relay *relay, struct loop *loop, const struct log_ctx *log,
	const char *dir, struct hw_err *err)
{
	struct local *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the local door");
	*l = (struct local){.relay = relay, .loop = loop, .log = *log, .dir = -1, .fd = -1};
	l->pause = (struct loop_timer){.fn = on_resume, .arg = l};
	TAILQ_INIT(&l->conns);
	know_self(l);
	if ((r = dir_open(&l->dir, dir, false, err)) < 0 || (r = bind_socket(l, dir, err)) < 0)
		goto fail;
	if ((r = loop_fd_new(&l->watch, loop, l->fd, on_knock, l)) < 0) {
		hw_err_set(err, r, "no memory for the local door");
		goto fail;
	}
	loop_fd_want(l->watch, LOOP_READ);
	log_info(l, "local.listening", "path=" LOCAL_SOCKET);
	*ret = l;
	return 0;
fail:
	local_free(l);
	return r;
}

void
local_free(struct local *l)
{
	struct local_conn *c, *next;

	if (l == NULL)
		return;
	TAILQ_FOREACH_SAFE(c, &l->conns, entry, next)
	conn_end(c);
	loop_timer_stop(l->loop, &l->pause);
	loop_fd_free(l->watch);
	if (l->fd >= 0)
		(void)unlinkat(l->dir, LOCAL_SOCKET, 0); /* a stale one is removed at the start */
	fd_close(l->fd);
	fd_close(l->dir);
	free(l);
}
