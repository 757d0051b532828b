/*
 * A long line, for benches on machines whose kernel cannot delay: what comes in on a connection
 * goes out on another one later, at most so fast. Both directions are lines of their own, which all
 * connections share.
 *
 *   forward_line PORT MBIT DELAY_MS    dials PORT of loopback for each connection to the port that
 * it prints; the delay is one way's, the round trip twice as long
 *
 * A line whose queue is longer than QUEUE is not read from, so that nothing is ever dropped. Runs
 * until stdin ends.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define CHUNK	  (32 * 1024)
#define QUEUE	  (10 * 1000000) /* ns that a byte waits for the line at most */
#define SECOND	  INT64_C(1000000000)

static void
die(const char *what)
{
	fprintf(stderr, "forward_line: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* One direction. */
struct line {
	double ns_per_byte;
	int64_t delay;
	int64_t free_at; /* when what it was given has left */
};

struct chunk {
	STAILQ_ENTRY(chunk) entry;
	int64_t due;
	size_t at, size;
	uint8_t bytes[];
};

/* One direction of one connection. */
struct way {
	struct line *line;
	int from, to;
	STAILQ_HEAD(, chunk) under_way;
	size_t held;
	bool ended; /* `from` has said all */
	bool shut;  /* and `to` knows */
	bool full;  /* `to` takes no more at the moment */
};

struct pair {
	struct way ways[2];
	bool broken;
};

struct lines {
	struct line both[2];
	uint16_t port;
	int listener;
	struct pair *pairs[PAIRS_MAX];
	size_t n;
};

/* What a line holds when it is full, and as much again for a receiver that is slow. */
static size_t
capacity(const struct line *l)
{
	return (size_t)(2.0 * (double)(l->delay + QUEUE) / l->ns_per_byte) + 2 * CHUNK;
}

static bool
readable(const struct way *w, int64_t at)
{
	return !w->ended && w->held < capacity(w->line) && w->line->free_at - at < QUEUE;
}

/* --- moving ------------------------------------------------------------------------------------
 */

/* False when the connection is broken. */
static bool
way_take(struct way *w, int64_t at)
{
	uint8_t bytes[CHUNK];
	ssize_t n = recv(w->from, bytes, sizeof(bytes), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		w->ended = true;
		return true;
	}
	struct chunk *c = malloc(sizeof(*c) + (size_t)n);
	if (c == NULL)
		die("no memory");
	struct line *l = w->line;
	l->free_at = (l->free_at > at ? l->free_at : at) + (int64_t)((double)n * l->ns_per_byte);
	*c = (struct chunk){.due = l->free_at + l->delay, .size = (size_t)n};
	memcpy(c->bytes, bytes, (size_t)n);
	STAILQ_INSERT_TAIL(&w->under_way, c, entry);
	w->held += (size_t)n;
	return true;
}

/* Hands out what has arrived by now. False when the connection is broken. */
static bool
way_give(struct way *w, int64_t at)
{
	struct chunk *c;

	w->full = false;
	while ((c = STAILQ_FIRST(&w->under_way)) != NULL && c->due <= at) {
		ssize_t n = send(w->to, c->bytes + c->at, c->size - c->at, MSG_NOSIGNAL);
		if (n < 0) {
			w->full = errno == EAGAIN || errno == EINTR;
			return w->full;
		}
		c->at += (size_t)n;
		w->held -= (size_t)n;
		if (c->at < c->size) {
			w->full = true;
			return true;
		}
		STAILQ_REMOVE_HEAD(&w->under_way, entry);
		free(c);
	}
	if (c == NULL && w->ended && !w->shut) {
		w->shut = true;
		shutdown(w->to, SHUT_WR);
	}
	return true;
}

/* --- connections --------------------------------------------------------------------------------
 */

static void
way_init(struct way *w, struct line *l, int from, int to)
{
	int yes = 1;

	*w = (struct way){.line = l, .from = from, .to = to};
	STAILQ_INIT(&w->under_way);
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static void
lines_accept(struct lines *ls)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(ls->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int near = accept4(ls->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (near < 0)
		return;
	int far = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (far < 0)
		die("socket");
	if (ls->n == PAIRS_MAX ||
		(connect(far, (const struct sockaddr *)&to, sizeof(to)) < 0 &&
			errno != EINPROGRESS)) {
		close(near);
		close(far);
		return;
	}
	struct pair *p = calloc(1, sizeof(*p));
	if (p == NULL)
		die("no memory");
	way_init(&p->ways[0], &ls->both[0], near, far);
	way_init(&p->ways[1], &ls->both[1], far, near);
	ls->pairs[ls->n++] = p;
}

static void
pair_free(struct pair *p)
{
	struct chunk *c;

	for (int i = 0; i < 2; i++) {
		while ((c = STAILQ_FIRST(&p->ways[i].under_way)) != NULL) {
			STAILQ_REMOVE_HEAD(&p->ways[i].under_way, entry);
			free(c);
		}
		close(p->ways[i].from);
	}
	free(p);
}

static void
lines_reap(struct lines *ls)
{
	for (size_t i = ls->n; i-- > 0;) {
		struct pair *p = ls->pairs[i];
		if (!p->broken && !(p->ways[0].shut && p->ways[1].shut))
			continue;
		pair_free(p);
		ls->pairs[i] = ls->pairs[--ls->n];
	}
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static void
sooner(int64_t *wake, int64_t at)
{
	if (at < *wake)
		*wake = at;
}

/* What the descriptor of this direction's source is asked for; when it has to be looked at again.
 */
static short
way_wants(const struct way *w, int64_t at, int64_t *wake)
{
	const struct chunk *c = STAILQ_FIRST(&w->under_way);

	if (c != NULL && !w->full)
		sooner(wake, c->due);
	if (readable(w, at))
		return POLLIN;
	if (!w->ended && w->held < capacity(w->line))
		sooner(wake, w->line->free_at - QUEUE + 1);
	return 0;
}

static void
pair_wants(struct pollfd fds[2], const struct pair *p, int64_t at, int64_t *wake)
{
	for (int i = 0; i < 2; i++) {
		short events = way_wants(&p->ways[i], at, wake);
		if (p->ways[1 - i].full)
			events |= POLLOUT;
		/* One that nothing is asked of would say that it has hung up, again and again. */
		fds[i] =
			(struct pollfd){.fd = events != 0 ? p->ways[i].from : -1, .events = events};
	}
}

static void
pair_move(struct pair *p, const struct pollfd fds[2])
{
	int64_t at = now();

	for (int i = 0; i < 2 && !p->broken; i++) {
		struct way *w = &p->ways[i];
		bool came = (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
		if (came && readable(w, at) && !way_take(w, at))
			p->broken = true;
		else if (!way_give(w, at))
			p->broken = true;
	}
}

static void
lines_turn(struct lines *ls)
{
	struct pollfd fds[2 + 2 * PAIRS_MAX] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = ls->listener, .events = POLLIN},
	};
	int64_t at = now(), wake = at + SECOND;
	size_t n = ls->n;

	for (size_t i = 0; i < n; i++)
		pair_wants(fds + 2 + 2 * i, ls->pairs[i], at, &wake);
	int64_t left = wake > at ? wake - at : 0;
	const struct timespec until = {.tv_sec = left / SECOND, .tv_nsec = left % SECOND};
	if (ppoll(fds, 2 + 2 * n, &until, NULL) < 0 && errno != EINTR)
		die("poll");
	if (fds[0].revents != 0)
		exit(0);
	for (size_t i = 0; i < n; i++)
		pair_move(ls->pairs[i], fds + 2 + 2 * i);
	lines_reap(ls);
	if (fds[1].revents != 0)
		lines_accept(ls);
}

static void
lines_listen(struct lines *ls)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);

	ls->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ls->listener < 0 || bind(ls->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		listen(ls->listener, 64) < 0 ||
		getsockname(ls->listener, (struct sockaddr *)&at, &size) < 0)
		die("listen");
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct lines ls = {0};
	double mbit, delay;

	if (argc != 4 || (mbit = strtod(argv[2], NULL)) <= 0 ||
		(delay = strtod(argv[3], NULL)) < 0) {
		fprintf(stderr, "usage: forward_line PORT MBIT DELAY_MS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	ls.port = (uint16_t)strtoul(argv[1], NULL, 10);
	for (int i = 0; i < 2; i++)
		ls.both[i] =
			(struct line){.ns_per_byte = 8000 / mbit, .delay = (int64_t)(delay * 1e6)};
	lines_listen(&ls);
	for (;;)
		lines_turn(&ls);
}
