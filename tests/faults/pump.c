/*
 * One end of what the faults strike: numbered bytes and lines, checked as they come.
 *
 *   pump stream REPORT SEND EXPECT RATE STOP     stdin and stdout: sends the bytes that the number
 *       SEND stands for, checks that those of EXPECT come, until the file STOP exists; then ends
 * its output, and takes what still comes pump connect REPORT HOST PORT ID RATE STOP   the same on a
 * connection, of number ID pump serve PORTFILE REPORTS RATE STOP        a server for those;
 * REPORTS.ID is each one's report pump lines REPORT PER_LINE                   answers lines on a
 * terminal, each with so many tokens
 *
 * A report is a struct report in a file, for who looks on. The exit status is 0 when all was right,
 * 1 for a wrong byte, 3 when what it talks to broke.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	  (64 * 1024)
#define BURST_MAX (768 * 1024) /* what it sends at once after a while of silence */
#define TICK_MSEC 20
#define LETTERS	  8 /* of a line */
#define BROKE	  3

struct report {
	uint64_t pid;
	uint64_t sent, received;
	uint64_t wrong; /* 1 + the offset of the first wrong byte */
	uint64_t broke; /* errno of what it talked to */
	uint64_t done;	/* both directions have ended, in order */
};

struct stream {
	struct report *report;
	int in, out; /* -1 once it has ended */
	bool is_socket;
	uint64_t send, expect; /* what the bytes are made of */
	uint64_t rate;	       /* a second */
	const char *stop;
	int64_t since;
};

static void
die(const char *what)
{
	fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct report *
report_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(struct report)) < 0)
		die(path);
	struct report *r =
		mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r == MAP_FAILED)
		die(path);
	close(fd);
	r->pid = (uint64_t)getpid();
	return r;
}

static int64_t
now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- numbered bytes --------------------------------------------------------------------------- */

static uint64_t
word_at(uint64_t seed, uint64_t i)
{
	uint64_t x = (seed << 40) + i * 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void
fill(uint8_t *p, size_t n, uint64_t seed, uint64_t at)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(word_at(seed, (at + i) / 8) >> 8 * ((at + i) % 8));
}

static void
check(struct stream *s, const uint8_t *p, size_t n)
{
	uint8_t want[CHUNK];

	fill(want, n, s->expect, s->report->received);
	for (size_t i = 0; i < n; i++)
		if (p[i] != want[i]) {
			s->report->wrong = s->report->received + i + 1;
			exit(1);
		}
	s->report->received += n;
}

static int
broken(struct stream *s)
{
	s->report->broke = (uint64_t)errno;
	return BROKE;
}

static void
end_output(struct stream *s)
{
	if (s->is_socket)
		shutdown(s->out, SHUT_WR);
	else
		close(s->out);
	s->out = -1;
}

/* What may be sent now: in bursts, so that windows are full at times and empty at others. */
static size_t
allowance(const struct stream *s)
{
	uint64_t due = (uint64_t)(now_usec() - s->since) * s->rate / 1000000;
	uint64_t owed = due > s->report->sent ? due - s->report->sent : 0;
	uint64_t round = s->report->sent / BURST_MAX % 2;

	if (round == 0 && owed < s->rate / 2) /* every other stretch comes in leaps */
		return 0;
	return owed < CHUNK ? (size_t)owed : CHUNK;
}

static int
send_some(struct stream *s)
{
	uint8_t chunk[CHUNK];
	size_t n = allowance(s);

	if (access(s->stop, F_OK) == 0) {
		end_output(s);
		return 0;
	}
	if (n == 0)
		return 0;
	fill(chunk, n, s->send, s->report->sent);
	ssize_t done = write(s->out, chunk, n);
	if (done < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : broken(s);
	s->report->sent += (uint64_t)done;
	return 0;
}

static int
take_some(struct stream *s)
{
	uint8_t chunk[CHUNK];
	ssize_t n = read(s->in, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : broken(s);
	if (n == 0)
		s->in = -1;
	check(s, chunk, (size_t)n);
	return 0;
}

static int
run_stream(struct stream *s)
{
	int r = 0;

	fcntl(s->out, F_SETFL, fcntl(s->out, F_GETFL) | O_NONBLOCK);
	s->since = now_usec();
	while (r == 0 && (s->in >= 0 || s->out >= 0)) {
		bool wants = s->out >= 0 && (allowance(s) > 0 || access(s->stop, F_OK) == 0);
		struct pollfd fds[] = {
			{.fd = s->in,		      .events = POLLIN },
			{.fd = wants ? s->out : -1, .events = POLLOUT},
		};
		if (poll(fds, 2, TICK_MSEC) < 0 && errno != EINTR)
			die("poll");
		if (fds[1].revents != 0)
			r = send_some(s);
		if (r == 0 && fds[0].revents != 0)
			r = take_some(s);
	}
	s->report->done = r == 0;
	return r;
}

/* --- connections ------------------------------------------------------------------------------ */

static struct sockaddr_in
address_of(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

/* Its number goes ahead of its bytes, and is answered: only then is it known to be there. */
static int
run_connect(char **argv)
{
	const struct sockaddr_in to = address_of(argv[1], atoi(argv[2]));
	uint64_t id = strtoull(argv[3], NULL, 10), back = 0;
	struct stream s = {.report = report_open(argv[0]),
		.is_socket = true,
		.send = 2 * id,
		.expect = 2 * id + 1,
		.rate = strtoull(argv[4], NULL, 10),
		.stop = argv[5]};

	s.in = s.out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(s.in, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
		write(s.out, &id, sizeof(id)) != sizeof(id))
		return broken(&s);
	ssize_t n = recv(s.in, &back, sizeof(back), MSG_WAITALL);
	if (n != sizeof(back) || back != id) {
		errno = n < 0 ? errno : ECONNRESET;
		return broken(&s);
	}
	return run_stream(&s);
}

static int
serve_one(int fd, const char *reports, const char *rate, const char *stop)
{
	char path[4096];
	uint64_t id;

	if (recv(fd, &id, sizeof(id), MSG_WAITALL) != sizeof(id))
		return BROKE;
	snprintf(path, sizeof(path), "%s.%llu", reports, (unsigned long long)id);
	struct stream s = {.report = report_open(path),
		.is_socket = true,
		.in = fd,
		.out = fd,
		.send = 2 * id + 1,
		.expect = 2 * id,
		.rate = strtoull(rate, NULL, 10),
		.stop = stop};
	if (write(fd, &id, sizeof(id)) != sizeof(id))
		return broken(&s);
	return run_stream(&s);
}

static int
run_serve(char **argv)
{
	struct sockaddr_in here = address_of("127.0.0.1", 0);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(here);
	FILE *f;

	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) < 0 ||
		listen(listener, 64) < 0 ||
		getsockname(listener, (struct sockaddr *)&here, &len) < 0 ||
		(f = fopen(argv[0], "w")) == NULL)
		die("listen");
	fprintf(f, "%d\n", ntohs(here.sin_port));
	fclose(f);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			die("accept");
		pid_t child = fork();
		if (child == 0)
			exit(serve_one(fd, argv[1], argv[2], argv[3]));
		close(fd);
	}
}

/* --- lines ------------------------------------------------------------------------------------ */

/* A line is its number in letters, and a token its number in digits: what a terminal echoes among
 * what the program prints is told apart. */
static void
write_line(char out[LETTERS + 2], uint64_t number)
{
	for (int i = LETTERS - 1; i >= 0; i--, number /= 16)
		out[i] = (char)('a' + number % 16);
	out[LETTERS] = '\n';
	out[LETTERS + 1] = '\0';
}

static void
print_tokens(struct report *r, int count)
{
	for (int i = 0; i < count; i++)
		printf("%08llu;", (unsigned long long)r->sent++);
	fflush(stdout);
}

static int
run_lines(char **argv)
{
	struct report *r = report_open(argv[0]);
	char line[256], want[LETTERS + 2];
	int per_line = atoi(argv[1]);

	printf("ready;");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "end\n") != 0) {
		write_line(want, r->received);
		if (strcmp(line, want) != 0) {
			r->wrong = r->received + 1;
			printf("wrong;");
			return 1;
		}
		r->received++;
		print_tokens(r, per_line);
	}
	r->done = 1;
	return 0;
}

/* --- what was recorded ------------------------------------------------------------------------ */

static int
run_verify(char **argv)
{
	uint8_t chunk[CHUNK], want[CHUNK];
	uint64_t seed = strtoull(argv[0], NULL, 10), at = 0;
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
		fill(want, n, seed, at);
		for (size_t i = 0; i < n; i++)
			if (chunk[i] != want[i]) {
				printf("wrong at %llu\n", (unsigned long long)(at + i));
				return 1;
			}
		at += n;
	}
	printf("%llu\n", (unsigned long long)at);
	return 0;
}

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 7 && strcmp(argv[1], "stream") == 0) {
		struct stream s = {.report = report_open(argv[2]),
			.in = STDIN_FILENO,
			.out = STDOUT_FILENO,
			.send = strtoull(argv[3], NULL, 10),
			.expect = strtoull(argv[4], NULL, 10),
			.rate = strtoull(argv[5], NULL, 10),
			.stop = argv[6]};
		return run_stream(&s);
	}
	if (argc == 8 && strcmp(argv[1], "connect") == 0)
		return run_connect(argv + 2);
	if (argc == 6 && strcmp(argv[1], "serve") == 0)
		return run_serve(argv + 2);
	if (argc == 4 && strcmp(argv[1], "lines") == 0)
		return run_lines(argv + 2);
	if (argc == 3 && strcmp(argv[1], "verify") == 0)
		return run_verify(argv + 2);
	fprintf(stderr, "usage: pump stream|connect|serve|lines|verify ...; its source says how\n");
	return 2;
}
