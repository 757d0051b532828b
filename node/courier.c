#include "node/courier.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/programs.h"
#include "node/upgrade/courier.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/codec.h"
#include "proto/wire/link.h"

#define VISITS_MAX 4
#define TEST_FILE  "upgrade.test"
#define ARENA_MAX  (512 * 1024)

/* Who is connected: one question at a time. */
struct visit {
	LIST_ENTRY(visit) link;
	struct courier *courier;
	int fd;
	struct loop_fd *watch;
	struct courier_ask ask; /* under way; kind 0: none is */
	struct job *job;	/* of a test */
};

struct courier {
	struct courier_config config;
	struct log_ctx log;
	struct link *link; /* NULL: none */
	int fd;
	struct loop_fd *watch;
	LIST_HEAD(, visit) visits;
	int n;
};

static struct visit *
visit_from(void *arg)
{
	struct visit *v = arg;

	hw_assert(v->courier != NULL);
	return v;
}

static void
visit_free(struct visit *v)
{
	struct courier *c = v->courier;

	if (v->job != NULL)
		c->config.programs->ops->close(v->job);
	if (c->link != NULL)
		link_forget(c->link, v);
	loop_fd_free(v->watch);
	fd_close(v->fd);
	LIST_REMOVE(v, link);
	c->n--;
	free(v);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The message is as long as the piece; whoever asked waits for it, so that it finds room or nobody.
 */
static void
send_answer(struct visit *v, struct courier_answer *a, const uint8_t *piece)
{
	struct iovec parts[2] = {
		{a,		    sizeof(*a)},
		 {(void *)piece, a->len    }
	};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = a->len > 0 ? 2 : 1};

	a->magic = COURIER_MAGIC;
	a->version = COURIER_VERSION;
	a->kind = v->ask.kind;
	snprintf(a->agent, sizeof(a->agent), HAWSER_VERSION);
	v->ask.kind = 0;
	if (sendmsg(v->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		visit_free(v);
	else
		loop_fd_want(v->watch, LOOP_READ);
}

static void
answer(struct visit *v, int code, const char *why)
{
	struct courier_answer a = {.code = code};

	snprintf(a.text, sizeof(a.text), "%s", why != NULL ? why : "");
	send_answer(v, &a, NULL);
}

static void
say_state(struct visit *v)
{
	const struct courier_config *c = &v->courier->config;
	const char *trouble = c->trouble(c->arg);
	struct courier_answer a = {.connected = trouble == NULL};

	snprintf(a.text, sizeof(a.text), "%s", trouble != NULL ? trouble : "");
	send_answer(v, &a, NULL);
}

/* --- a piece of a release --------------------------------------------------------------------- */

static void
on_piece(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct visit *v = visit_from(arg);
	const struct msg_get_agent_release_reply *rep = NULL;
	struct arena *a = arena_new(ARENA_MAX);
	struct courier_answer said = {.code = 0};
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	if (code == 0 &&
		(a == NULL ||
			msg_decode(&reply, a, MSG_ROW(get_agent_release_reply), body, n, &err) <
				0)) {
		answer(v, HW_EPROTO, hw_err_text(&err));
	} else if (code < 0) {
		answer(v, code, message);
	} else {
		rep = reply;
		snprintf(said.release, sizeof(said.release), "%s", rep->release);
		said.size = (uint64_t)rep->size;
		said.len = (uint32_t)rep->data.n;
		send_answer(v, &said, rep->data.p);
	}
	arena_free(a);
}

static void
fetch(struct visit *v)
{
	const struct msg_get_agent_release_request m = {
		.release = v->ask.release,
		.version = v->ask.wanted,
		.architecture = v->ask.architecture,
		.offset = (int64_t)v->ask.offset,
	};
	struct hw_err err = HW_ERR_INIT;

	if (v->courier->link == NULL)
		answer(v, HW_EUNAVAILABLE, "the agent has no link to the relay now");
	else if (link_request(v->courier->link, &op_rows[OP_get_agent_release], &m, on_piece, v,
			 &err) < 0)
		answer(v, err.code, hw_err_text(&err));
}

/* --- a test ----------------------------------------------------------------------------------- */

static void
close_job(struct visit *v)
{
	v->courier->config.programs->ops->close(v->job);
	v->job = NULL;
}

static void
on_started(void *arg, const char *run_as, int64_t pid)
{
	(void)arg;
	(void)run_as;
	(void)pid;
}

/* What this machine's own policy forbids, and a user that it has not, were found by a holder that
 * did start. */
static void
on_failed(void *arg, int code, const char *why)
{
	struct visit *v = visit_from(arg);
	bool good = code == HW_ELOCAL || code == HW_ERUNAS;
	char text[COURIER_TEXT_MAX];

	snprintf(text, sizeof(text), "no program was started: %s", why);
	close_job(v);
	answer(v, good ? 0 : code, good ? "" : text);
}

static size_t
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)stream;
	(void)p;
	return n;
}

static void
on_output_end(void *arg, int stream)
{
	(void)arg;
	(void)stream;
}

static void
on_consumed(void *arg, size_t n, int echo)
{
	(void)arg;
	(void)n;
	(void)echo;
}

static void
on_screen(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more)
{
	(void)arg;
	(void)offset;
	(void)p;
	(void)n;
	(void)more;
}

/* With which status is its user's shell's affair: root's may be one that lets nobody in. */
static void
on_end(void *arg, int code, const char *why, const struct program_exit *ended)
{
	struct visit *v = visit_from(arg);
	char text[COURIER_TEXT_MAX];

	(void)ended;
	snprintf(text, sizeof(text), "the program that was started is lost: %s",
		why != NULL ? why : "");
	close_job(v);
	answer(v, code, code < 0 ? text : "");
}

static const struct program_events test_events = {
	.on_started = on_started,
	.on_failed = on_failed,
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_screen = on_screen,
	.on_exit = on_end,
};

static int
start_test(struct visit *v, struct hw_err *err)
{
	char id[ID_SESSION_MAX + 1];
	const struct program_spec spec = {
		.type = CHANNEL_TYPE_PTY,
		.session_id = id,
		.command = "exit 0",
		.term = "dumb",
		.cols = 80,
		.rows = 24,
	};
	struct programs *ps = v->courier->config.programs;

	id_session(id, "upgrade");
	return ps->ops->start(&v->job, ps, &spec, &test_events, v, err);
}

static void
test(struct visit *v)
{
	int dir = v->courier->config.dir;
	struct hw_err err = HW_ERR_INIT;

	if (file_write(dir, TEST_FILE, "good\n", 5, 0600, &err) == 0) {
		unlinkat(dir, TEST_FILE, 0);
		start_test(v, &err);
	}
	if (err.code != 0)
		answer(v, err.code, hw_err_text(&err));
}

/* --- questions -------------------------------------------------------------------------------- */

static void
again(struct visit *v)
{
	struct courier *c = v->courier;

	log_info(c, "agent.again", "%s", "for an upgrade");
	answer(v, 0, "");
	c->config.again(c->config.arg);
}

static void (*const kinds[])(struct visit *v) = {
	[COURIER_STATE] = say_state,
	[COURIER_FETCH] = fetch,
	[COURIER_TEST] = test,
	[COURIER_AGAIN] = again,
};

static void
on_ask(void *arg, int what)
{
	struct visit *v = visit_from(arg);
	struct courier_ask ask;

	(void)what;
	ssize_t n = recv(v->fd, &ask, sizeof(ask), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || courier_ask_parse(&v->ask, &ask, (size_t)n) < 0) {
		visit_free(v);
		return;
	}
	loop_fd_want(v->watch, 0); /* until it is answered */
	kinds[v->ask.kind](v);
}

/* --- who comes -------------------------------------------------------------------------------- */

static bool
may_ask(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
		(who.uid == 0 || who.uid == geteuid());
}

static void
welcome(struct courier *c, int fd)
{
	struct visit *v = calloc(1, sizeof(*v));
	int room = (int)sizeof(struct courier_answer) + 2 * COURIER_PIECE_MAX;

	if (v == NULL || loop_fd_new(&v->watch, c->config.loop, fd, on_ask, v) < 0) {
		free(v);
		fd_close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	v->courier = c;
	v->fd = fd;
	LIST_INSERT_HEAD(&c->visits, v, link);
	c->n++;
	loop_fd_want(v->watch, LOOP_READ);
}

static void
on_connect(void *arg, int what)
{
	struct courier *c = arg;

	(void)what;
	hw_assert(c->config.trouble != NULL);
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0 && (c->n >= VISITS_MAX || !may_ask(fd)))
		fd_close(fd);
	else if (fd >= 0)
		welcome(c, fd);
}

/* By way of the descriptor: the directory's own path may be too long for an address. */
static int
listen_at(int dir, struct hw_err *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/" COURIER_SOCKET, dir);
	unlinkat(dir, COURIER_SOCKET, 0); /* the lock says that nobody else listens there */
	mode_t old = umask(0177);
	int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	if (bound < 0 || listen(fd, VISITS_MAX) < 0) {
		int r = hw_err_sys(err, "cannot listen on " COURIER_SOCKET);
		fd_close(fd);
		return r;
	}
	return fd;
}

int
courier_new(struct courier **ret, const struct courier_config *config, struct hw_err *err)
{
	struct courier *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	c->config = *config;
	c->log = *config->log;
	LIST_INIT(&c->visits);
	int r = c->fd = listen_at(config->dir, err);
	if (r >= 0 && loop_fd_new(&c->watch, config->loop, c->fd, on_connect, c) < 0)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	if (r < 0) {
		fd_close(c->fd < 0 ? -1 : c->fd);
		free(c);
		return r;
	}
	loop_fd_want(c->watch, LOOP_READ);
	*ret = c;
	return 0;
}

void
courier_free(struct courier *c)
{
	struct visit *v, *next;

	if (c == NULL)
		return;
	for (v = LIST_FIRST(&c->visits); v != NULL; v = next) {
		next = LIST_NEXT(v, link);
		visit_free(v);
	}
	loop_fd_free(c->watch);
	fd_close(c->fd);
	unlinkat(c->config.dir, COURIER_SOCKET, 0);
	free(c);
}

void
courier_link_up(struct courier *c, struct link *l)
{
	c->link = l;
}

/* A link that the agent closed itself, as for a new certificate, has dropped what was asked on it
 * without a word. */
void
courier_link_down(struct courier *c)
{
	struct visit *v, *next;

	c->link = NULL;
	for (v = LIST_FIRST(&c->visits); v != NULL; v = next) {
		next = LIST_NEXT(v, link);
		if (v->ask.kind == COURIER_FETCH)
			answer(v, HW_EUNAVAILABLE, "the agent's link to the relay was closed");
	}
}
