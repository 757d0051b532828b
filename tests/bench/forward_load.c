/*
 * What the forwards' bench loads a tunnel with. Every byte that crosses it is one of a known
 * pattern and is compared; all results are JSON, a line each.
 *
 *   forward_load serve                      the far end, on a free port of loopback that it prints.
 *                                           Each line on stdin is answered with its counters; the
 *                                           end of stdin ends it.
 *   forward_load up PORT BYTES STREAMS      sends so many bytes on each stream; it is over when the
 *                                           far end says that it has them all, and right
 *   forward_load down PORT BYTES STREAMS    the same, received
 *   forward_load rtt PORT COUNT             one byte there and back on one connection
 *   forward_load connect PORT COUNT N       connections, N at a time: connect, a byte there and
 *                                           back, close
 *   forward_load saturate PORT UP DOWN      streams without end, until stdin ends
 *   forward_load stall PORT BYTES STREAMS   asks for bytes and reads none; says "stalled", and
 * after a line on stdin reads them all
 *
 * A connection says with its first byte what it is: 'e' and all that follows is echoed; 'u', 'd' or
 * 's' is followed by the count of bytes that go up or down (of 's' from a small buffer), 8 bytes,
 * big-endian.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD	      262139 /* a prime: frames that change places are found out */
#define CHUNK	      (128 * 1024)
#define STREAMS_MAX   1000
#define COUNT_MAX     1000000
#define PATIENCE      30 /* seconds without any progress */
#define HEAD	      9
#define ENDLESS	      (UINT64_C(1) << 62)
#define SMALL_BUFFER  (64 * 1024) /* the kernel's share before what a stalled reader is sent */
#define CHUNKS_A_TURN 4		  /* of one connection, before the next has its turn */

static void
die(const char *what)
{
	fprintf(stderr, "forward_load: %s: %s\n", what,
		errno == EAGAIN ? "no progress" : strerror(errno));
	exit(1);
}

static void
fail(const char *what)
{
	fprintf(stderr, "forward_load: %s\n", what);
	exit(1);
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double
seconds_since(int64_t begin)
{
	return (double)(now() - begin) / 1e9;
}

/* --- the pattern ------------------------------------------------------------------------------ */

struct pattern {
	uint8_t bytes[PERIOD +
		CHUNK]; /* so that a chunk from anywhere in the period is in one piece */
};

static struct pattern *
pattern_new(void)
{
	struct pattern *p = malloc(sizeof(*p));
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

	if (p == NULL)
		die("no memory");
	for (size_t i = 0; i < PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p->bytes[i] = (uint8_t)(x >> 32);
	}
	memcpy(p->bytes + PERIOD, p->bytes, CHUNK);
	return p;
}

static const uint8_t *
pattern_at(const struct pattern *p, uint64_t offset)
{
	return p->bytes + offset % PERIOD;
}

/* How many bytes of the pattern the next call may move. */
static size_t
chunk_of(uint64_t left)
{
	return left < CHUNK ? (size_t)left : CHUNK;
}

/* --- the far end ------------------------------------------------------------------------------ */

struct server;

/* One accepted connection. */
struct conn {
	int fd;
	uint8_t head[HEAD];
	size_t n_head;
	bool (*serve)(struct server *s, struct conn *c); /* false: it is over */
	uint64_t at, size;				 /* of the pattern */
	size_t unsent;					 /* of what is echoed */
	uint8_t echo[4096];
};

struct server {
	const struct pattern *pattern;
	int poll, listener;
	uint64_t accepted, open, sent, received, wrong;
	uint8_t chunk[CHUNK];
};

static void
watch(struct server *s, struct conn *c, uint32_t events, int op)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (epoll_ctl(s->poll, op, c->fd, &e) < 0)
		die("epoll_ctl");
}

static bool
again(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* The peer has nothing more to say: it closes when it has what it wanted. */
static bool
serve_end(struct server *s, struct conn *c)
{
	ssize_t n = recv(c->fd, s->chunk, sizeof(s->chunk), 0);

	if (n > 0)
		s->wrong++;
	return again(n);
}

static bool
serve_echo(struct server *s, struct conn *c)
{
	ssize_t n = 0;

	if (c->unsent == 0) {
		if ((n = recv(c->fd, c->echo, sizeof(c->echo), 0)) <= 0)
			return again(n);
		c->unsent = (size_t)n;
	}
	if ((n = send(c->fd, c->echo, c->unsent, MSG_NOSIGNAL)) < 0)
		return again(n);
	/* Nobody who waits for each answer has more under way than a socket takes. */
	if ((size_t)n < c->unsent)
		s->wrong++;
	c->unsent = 0;
	return true;
}

static bool
serve_sink(struct server *s, struct conn *c)
{
	for (int turn = 0; turn < CHUNKS_A_TURN && c->at < c->size; turn++) {
		ssize_t n = recv(c->fd, s->chunk, chunk_of(c->size - c->at), 0);
		if (n <= 0)
			return again(n);
		if (memcmp(s->chunk, pattern_at(s->pattern, c->at), (size_t)n) != 0) {
			s->wrong++;
			return false;
		}
		c->at += (uint64_t)n;
		s->received += (uint64_t)n;
	}
	if (c->at < c->size)
		return true;
	c->serve = serve_end;
	return send(c->fd, "k", 1, MSG_NOSIGNAL) == 1;
}

static bool
serve_source(struct server *s, struct conn *c)
{
	for (int turn = 0; turn < CHUNKS_A_TURN && c->at < c->size; turn++) {
		ssize_t n = send(c->fd, pattern_at(s->pattern, c->at), chunk_of(c->size - c->at),
			MSG_NOSIGNAL);
		if (n < 0)
			return again(n);
		c->at += (uint64_t)n;
		s->sent += (uint64_t)n;
	}
	if (c->at < c->size)
		return true;
	c->serve = serve_end;
	watch(s, c, EPOLLIN, EPOLL_CTL_MOD);
	return shutdown(c->fd, SHUT_WR) == 0;
}

/* What a connection's first byte asks for; a count follows that of all but echo. */
static const struct kind {
	char key;
	bool (*serve)(struct server *s, struct conn *c);
	uint32_t events;
	int buffer; /* the kernel's, to send from; 0: as it likes */
} kinds[] = {
	{'u', serve_sink,	  EPOLLIN,  0	    },
	{'d', serve_source, EPOLLOUT, 0	       },
	{'s', serve_source, EPOLLOUT, SMALL_BUFFER},
};

static bool
serve_kind(struct server *s, struct conn *c, const struct kind *k)
{
	uint64_t size;

	memcpy(&size, c->head + 1, sizeof(size));
	c->size = be64toh(size);
	c->serve = k->serve;
	if (k->buffer != 0)
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &k->buffer, sizeof(k->buffer));
	watch(s, c, k->events, EPOLL_CTL_MOD);
	return true;
}

static bool
serve_head(struct server *s, struct conn *c)
{
	size_t wanted = c->n_head == 0 ? 1 : HEAD - c->n_head;
	ssize_t n = recv(c->fd, c->head + c->n_head, wanted, 0);

	if (n <= 0)
		return again(n);
	c->n_head += (size_t)n;
	if (c->head[0] == 'e') {
		c->serve = serve_echo;
		return send(c->fd, "e", 1, MSG_NOSIGNAL) == 1;
	}
	if (c->n_head < HEAD)
		return true;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (c->head[0] == kinds[i].key)
			return serve_kind(s, c, &kinds[i]);
	s->wrong++;
	return false;
}

static void
server_accept(struct server *s)
{
	int fd, yes = 1;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		if (c == NULL)
			die("no memory");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		c->fd = fd;
		c->serve = serve_head;
		watch(s, c, EPOLLIN, EPOLL_CTL_ADD);
		s->accepted++;
		s->open++;
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept");
}

static void
server_tell(const struct server *s)
{
	char line[64];

	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(0);
	printf("{\"accepted\": %" PRIu64 ", \"open\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"wrong\": %" PRIu64 "}\n",
		s->accepted, s->open, s->sent, s->received, s->wrong);
	fflush(stdout);
}

static void
server_listen(struct server *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	struct epoll_event incoming = {.events = EPOLLIN, .data.ptr = s};
	struct epoll_event asked = {.events = EPOLLIN, .data.ptr = NULL};

	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		listen(s->listener, 4096) < 0 ||
		getsockname(s->listener, (struct sockaddr *)&at, &size) < 0)
		die("listen");
	if ((s->poll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
		epoll_ctl(s->poll, EPOLL_CTL_ADD, s->listener, &incoming) < 0 ||
		epoll_ctl(s->poll, EPOLL_CTL_ADD, STDIN_FILENO, &asked) < 0)
		die("epoll");
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
}

static void
conn_end(struct server *s, struct conn *c)
{
	close(c->fd);
	free(c);
	s->open--;
}

static int
serve_main(char **argv)
{
	struct server *s = calloc(1, sizeof(*s));
	struct epoll_event ready[64];
	int n;

	(void)argv;
	if (s == NULL)
		die("no memory");
	s->pattern = pattern_new();
	setvbuf(stdin, NULL, _IONBF, 0); /* else epoll does not see a second line */
	server_listen(s);
	while ((n = epoll_wait(s->poll, ready, 64, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++) {
			struct conn *c = ready[i].data.ptr;
			if (ready[i].data.ptr == s)
				server_accept(s);
			else if (c == NULL)
				server_tell(s);
			else if (!c->serve(s, c))
				conn_end(s, c);
		}
	die("epoll_wait");
	return 1;
}

/* --- the near end ----------------------------------------------------------------------------- */

/* What all streams of one run share. */
struct load {
	struct pattern *pattern;
	const char *to; /* a port of loopback, or a socket's path */
	uint64_t size;	/* of each stream */
	_Atomic bool stopped;
	_Atomic uint64_t left; /* connections to make */
};

struct stream {
	struct load *load;
	pthread_t thread;
	char kind; /* 'u' or 'd' */
	int fd;
	uint64_t at;
};

static uint64_t
number(const char *text, uint64_t most)
{
	char *end;

	errno = 0;
	uint64_t n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || n > most) {
		fprintf(stderr, "forward_load: %s is not a number up to %" PRIu64 "\n", text, most);
		exit(2);
	}
	return n;
}

static int
dial_port(uint16_t port)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return fd;
}

static int
dial_path(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(to.sun_path))
		fail("that path is too long for a socket");
	strcpy(to.sun_path, path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	return fd;
}

static int
dial(const char *to)
{
	const struct timeval patience = {.tv_sec = PATIENCE};
	int fd = to[0] == '/' ? dial_path(to) : dial_port((uint16_t)number(to, UINT16_MAX));

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static void
say_head(int fd, char kind, uint64_t size)
{
	uint8_t head[HEAD] = {(uint8_t)kind};
	uint64_t count = htobe64(size);

	memcpy(head + 1, &count, sizeof(count));
	if (send(fd, head, HEAD, MSG_NOSIGNAL) != HEAD)
		die("sending");
}

static void
stream_send(struct stream *st)
{
	struct load *l = st->load;

	while (st->at < l->size) {
		ssize_t n = send(st->fd, pattern_at(l->pattern, st->at), chunk_of(l->size - st->at),
			MSG_NOSIGNAL);
		if (n < 0 && l->stopped)
			return;
		if (n < 0)
			die("sending");
		st->at += (uint64_t)n;
	}
	char verdict;
	if (recv(st->fd, &verdict, 1, 0) != 1 || verdict != 'k')
		fail("the far end did not get what was sent");
}

static void
stream_receive(struct stream *st)
{
	struct load *l = st->load;
	uint8_t *chunk = malloc(CHUNK);

	if (chunk == NULL)
		die("no memory");
	for (ssize_t n; st->at < l->size; st->at += (uint64_t)n) {
		n = recv(st->fd, chunk, chunk_of(l->size - st->at), 0);
		if (n <= 0 && l->stopped)
			break;
		if (n < 0)
			die("receiving");
		if (n == 0)
			fail("bytes were lost: the end came early");
		if (memcmp(chunk, pattern_at(l->pattern, st->at), (size_t)n) != 0)
			fail("other bytes were received than were sent");
	}
	if (!l->stopped && recv(st->fd, chunk, 1, 0) != 0)
		fail("there is more than was sent");
	free(chunk);
}

static void *
stream_run(void *arg)
{
	struct stream *st = arg;

	say_head(st->fd, st->kind, st->load->size);
	if (st->kind == 'u')
		stream_send(st);
	else
		stream_receive(st);
	return NULL;
}

static struct stream *
streams_new(struct load *l, size_t count)
{
	struct stream *streams = calloc(count + 1, sizeof(*streams));

	if (streams == NULL)
		die("no memory");
	for (size_t i = 0; i < count; i++) {
		streams[i].load = l;
		streams[i].fd = dial(l->to);
	}
	return streams;
}

static void
streams_start(struct stream *streams, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((errno = pthread_create(&streams[i].thread, NULL, stream_run, &streams[i])) !=
			0)
			die("no thread");
}

/* What is still under way is nobody's: it goes at once, and not before all that waits to be sent.
 */
static void
streams_abort(struct stream *streams, size_t count)
{
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	for (size_t i = 0; i < count; i++) {
		setsockopt(streams[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		shutdown(streams[i].fd, SHUT_RDWR);
	}
}

/* Waits for their ends and closes them; the bytes that they moved. */
static uint64_t
streams_end(struct stream *streams, size_t count)
{
	uint64_t moved = 0;

	for (size_t i = 0; i < count; i++) {
		pthread_join(streams[i].thread, NULL);
		close(streams[i].fd);
		moved += streams[i].at;
	}
	free(streams);
	return moved;
}

static int
bulk(char **argv, char kind)
{
	struct load l = {.pattern = pattern_new(), .to = argv[0], .size = number(argv[1], ENDLESS)};
	size_t count = number(argv[2], STREAMS_MAX);
	struct stream *streams = streams_new(&l, count);

	for (size_t i = 0; i < count; i++)
		streams[i].kind = kind;
	int64_t begin = now();
	streams_start(streams, count);
	uint64_t moved = streams_end(streams, count);
	printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f}\n", moved, seconds_since(begin));
	free(l.pattern);
	return 0;
}

static int
up_main(char **argv)
{
	return bulk(argv, 'u');
}

static int
down_main(char **argv)
{
	return bulk(argv, 'd');
}

static void
wait_for_line(const char *told)
{
	char line[64];

	printf("%s\n", told);
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		clearerr(stdin);
}

static int
saturate_main(char **argv)
{
	struct load l = {.pattern = pattern_new(), .to = argv[0], .size = ENDLESS};
	size_t up = number(argv[1], STREAMS_MAX), count = up + number(argv[2], STREAMS_MAX);
	struct stream *streams = streams_new(&l, count);
	uint64_t went_up = 0;

	for (size_t i = 0; i < count; i++)
		streams[i].kind = i < up ? 'u' : 'd';
	int64_t begin = now();
	streams_start(streams, count);
	wait_for_line("running");
	double took = seconds_since(begin);
	l.stopped = true;
	streams_abort(streams, count);
	for (size_t i = 0; i < up; i++)
		went_up += streams[i].at;
	uint64_t moved = streams_end(streams, count);
	printf("{\"up\": %" PRIu64 ", \"down\": %" PRIu64 ", \"seconds\": %.6f}\n", went_up,
		moved - went_up, took);
	free(l.pattern);
	return 0;
}

static int
stall_main(char **argv)
{
	struct load l = {.pattern = pattern_new(), .to = argv[0], .size = number(argv[1], ENDLESS)};
	size_t count = number(argv[2], STREAMS_MAX);
	struct stream *streams = streams_new(&l, count);
	uint64_t moved = 0;

	for (size_t i = 0; i < count; i++)
		say_head(streams[i].fd, 's', l.size);
	wait_for_line("stalled");
	int64_t begin = now();
	for (size_t i = 0; i < count; i++) {
		stream_receive(&streams[i]);
		close(streams[i].fd);
		moved += streams[i].at;
	}
	printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f}\n", moved, seconds_since(begin));
	free(streams);
	free(l.pattern);
	return 0;
}

/* --- round trips and connections ---------------------------------------------------------------
 */

static void
there_and_back(int fd, char key)
{
	char back;

	if (send(fd, &key, 1, MSG_NOSIGNAL) != 1)
		die("sending");
	ssize_t n = recv(fd, &back, 1, 0);
	if (n < 0)
		die("receiving");
	if (n == 0)
		fail("the end came instead of a byte");
	if (back != key)
		fail("another byte came back than was sent");
}

static int
by_size(const void *one, const void *two)
{
	const int64_t *a = one, *b = two;

	return (*a > *b) - (*a < *b);
}

static int
rtt_main(char **argv)
{
	size_t count = number(argv[1], COUNT_MAX);
	int64_t *took = calloc(count + 1, sizeof(*took));

	if (took == NULL || count == 0)
		fail("a count of round trips is needed");
	int fd = dial(argv[0]);
	for (int i = 0; i < 50; i++)
		there_and_back(fd, 'e');
	for (size_t i = 0; i < count; i++) {
		int64_t begin = now();
		there_and_back(fd, (char)('a' + i % 26));
		took[i] = now() - begin;
	}
	close(fd);
	qsort(took, count, sizeof(*took), by_size);
	printf("{\"count\": %zu, \"min\": %" PRId64 ", \"p50\": %" PRId64 ", \"p99\": %" PRId64
	       "}\n",
		count, took[0], took[count / 2], took[count * 99 / 100]);
	free(took);
	return 0;
}

static void *
connect_run(void *arg)
{
	struct stream *st = arg;
	uint64_t left;

	while ((left = atomic_load(&st->load->left)) > 0) {
		if (!atomic_compare_exchange_weak(&st->load->left, &left, left - 1))
			continue;
		int fd = dial(st->load->to);
		there_and_back(fd, 'e');
		close(fd);
		st->at++;
	}
	return NULL;
}

static int
connect_main(char **argv)
{
	struct load l = {.to = argv[0]};
	struct stream streams[64] = {0};
	size_t at_once = number(argv[2], 64);
	uint64_t made = 0;

	l.left = number(argv[1], COUNT_MAX);
	int64_t begin = now();
	for (size_t i = 0; i < at_once; i++) {
		streams[i].load = &l;
		if ((errno = pthread_create(&streams[i].thread, NULL, connect_run, &streams[i])) !=
			0)
			die("no thread");
	}
	for (size_t i = 0; i < at_once; i++) {
		pthread_join(streams[i].thread, NULL);
		made += streams[i].at;
	}
	printf("{\"connections\": %" PRIu64 ", \"seconds\": %.6f}\n", made, seconds_since(begin));
	return 0;
}

/* -----------------------------------------------------------------------------------------------
 */

static const struct mode {
	const char *name;
	int args;
	int (*run)(char **argv);
} modes[] = {
	{"serve",	  0, serve_main   },
	{"up",       3, up_main	 },
	{"down",	 3, down_main    },
	{"rtt",	2, rtt_main	   },
	{"connect",  3, connect_main },
	{"saturate", 3, saturate_main},
	{"stall",	  3, stall_main   },
};

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0 && argc - 2 == modes[i].args)
			return modes[i].run(argv + 2);
	fprintf(stderr,
		"usage: forward_load serve\n"
		"       forward_load up|down|stall PORT BYTES STREAMS\n"
		"       forward_load rtt PORT COUNT\n"
		"       forward_load connect PORT COUNT AT_ONCE\n"
		"       forward_load saturate PORT UP DOWN\n");
	return 2;
}
