/*
 * Many people at many shells in one process: a link for each node and for each person, a session
 * between them, and keys.
 *
 *   sim_shells URL --nodes DIR --home HOME --count N [--rate K] [--seconds S] [--hidden PERCENT]
 *
 * Node i is DIR/i, as `sim_nodes join` left it; everybody who types is the user of HOME. Each types
 * K keys a second, a time that is drawn apart; the node's program sends each key back, with the
 * credit for it, as an agent does, and the person acknowledges each KiB, as a client does. Of
 * PERCENT of the shells the echo is off. Says "live N SECONDS" when all shells are open, "typing"
 * when what is typed counts from now on, and at the end, as JSON, how long keys took; then it waits
 * for the end of its stdin.
 *
 * A key's time begins when it was due, not when this program got round to it.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/wire/codec.h"
#include "tests/bench/sim_link.h"

#define INFLIGHT   12	   /* links and sessions that are on their way up at once */
#define WARM	   2000000 /* microseconds of typing that don't count */
#define SLOTS	   1024	   /* of the wheel, a millisecond each */
#define UNDER_WAY  64	   /* keys of a shell that have not come back */
#define PING_TICKS 500	   /* milliseconds in which each link is looked at once */
#define WINDOW	   65536
#define UNTOLD_MAX 1024 /* bytes that came back, as a client has it that looks each second */
#define SEED	   UINT64_C(0x2545f4914f6cdd1d)

struct shell {
	struct sim_link node, person;
	int number;
	bool is_live;
	char session[97];
	uint32_t channel;     /* of the node's link */
	uint64_t echoed;      /* bytes that the node sent back */
	uint64_t typed, back; /* bytes that the person typed, and has again */
	uint64_t told;	      /* and has acknowledged */
	int64_t due;	      /* the next key */
	int64_t at[UNDER_WAY];
	struct shell *next; /* in its slot */
};

struct shells {
	struct sim_net net;
	struct shell *all;
	int count, begun, live, hidden;
	double rate, seconds;
	int64_t start, counts_from, end;
	bool typing, told_typing, over;
	struct shell *slots[SLOTS];
	int64_t tick; /* the last millisecond that was looked at */
	int ping_from;
	uint32_t *took, *late;
	size_t n_took, n_late, room;
	uint64_t random;
};

static int64_t
now(void)
{
	return clock_mono(&hw_clock_system);
}

/* --- typing ----------------------------------------------------------------------------------- */

static uint64_t
draw(struct shells *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

/* Between half and one and a half of the mean, in whole milliseconds, as the wheel has it. */
static void
plan(struct shells *s, struct shell *sh)
{
	int64_t mean = (int64_t)(1e6 / s->rate);

	sh->due += (mean / 2 + (int64_t)(draw(s) % (uint64_t)mean)) / 1000 * 1000;
	struct shell **slot = &s->slots[sh->due / 1000 % SLOTS];
	sh->next = *slot;
	*slot = sh;
}

static void
keep(uint32_t *list, size_t *n, size_t room, int64_t usec)
{
	if (*n < room)
		list[(*n)++] = (uint32_t)usec;
}

static void
type_key(struct shells *s, struct shell *sh, int64_t t)
{
	uint8_t key = (uint8_t)('a' + sh->typed % 26);
	const struct frame f = {.kind = FRAME_DATA,
		.channel = 1,
		.stream = STREAM_IN,
		.offset = sh->typed,
		.body = &key,
		.body_len = 1};

	if (sh->typed - sh->back == UNDER_WAY)
		sim_die("a shell stands still", NULL);
	sh->at[sh->typed++ % UNDER_WAY] = sh->due;
	if (sh->due >= s->counts_from)
		keep(s->late, &s->n_late, s->room, t - sh->due);
	sim_say_frame(&sh->person, &f);
	sim_flush(&s->net, &sh->person);
}

static void
type_slot(struct shells *s, int64_t tick)
{
	struct shell *sh = s->slots[tick % SLOTS], *next;

	s->slots[tick % SLOTS] = NULL;
	for (; sh != NULL; sh = next) {
		next = sh->next;
		if (sh->due / 1000 == tick && sh->due < s->end) {
			type_key(s, sh, now());
			plan(s, sh);
		} else if (sh->due < s->end) { /* a turn of the wheel later */
			sh->next = s->slots[tick % SLOTS];
			s->slots[tick % SLOTS] = sh;
		}
	}
}

static void
type_due(struct shells *s)
{
	int64_t t = now();

	if (!s->typing)
		return;
	while (s->tick < t / 1000)
		type_slot(s, ++s->tick);
	if (!s->told_typing && t >= s->counts_from) {
		s->told_typing = true;
		printf("typing\n");
		fflush(stdout);
	}
}

static void
begin_typing(struct shells *s)
{
	int64_t t = now();

	printf("live %d %.3f\n", s->live, (double)(t - s->start) / 1e6);
	fflush(stdout);
	s->typing = true;
	s->counts_from = t + WARM;
	s->end = s->counts_from + (int64_t)(s->seconds * 1e6);
	s->tick = t / 1000;
	for (int i = 0; i < s->count; i++) {
		s->all[i].due = t / 1000 * 1000;
		plan(s, &s->all[i]);
	}
}

/* --- a person --------------------------------------------------------------------------------- */

static struct shell *
of_person(struct sim_link *l)
{
	return (struct shell *)((char *)l - offsetof(struct shell, person));
}

static struct shell *
of_node(struct sim_link *l)
{
	return (struct shell *)((char *)l - offsetof(struct shell, node));
}

static void
start_session(struct shell *sh)
{
	const struct msg_start_session_request m = {.target = sh->node.id};

	sim_request(&sh->person, &op_rows[OP_start_session], MSG_ROW(start_session_request), &m);
}

static void
open_session(struct shell *sh, const struct frame *f)
{
	struct hw_err err = HW_ERR_INIT;
	struct arena *a = arena_new(1 << 20);
	void *msg;

	if (f->name_len > 0) {
		fprintf(stderr, "sim_shells: StartSession: %.*s\n", (int)f->name_len, f->name);
		exit(1);
	}
	if (msg_decode(&msg, a, MSG_ROW(start_session_reply), f->body, f->body_len, &err) < 0)
		sim_die("StartSession", &err);
	const struct msg_start_session_reply *reply = msg;
	const struct msg_open open = {.type = CHANNEL_TYPE_PTY,
		.session_id = reply->session_id,
		.token = reply->token_value,
		.term = "xterm",
		.cols = 80,
		.rows = 24,
		.window = WINDOW};
	sim_say(&sh->person, FRAME_OPEN, 1, MSG_ROW(open), &open);
	arena_free(a);
}

static void
acknowledge(struct shell *sh)
{
	const struct frame credit = {.kind = FRAME_CREDIT,
		.channel = 1,
		.stream = STREAM_OUT,
		.offset = sh->back,
		.limit = sh->back + WINDOW};
	struct buf bytes;

	if (sh->back - sh->told < UNTOLD_MAX)
		return;
	buf_init(&bytes, 64);
	if (frame_encode(&bytes, &credit) < 0)
		sim_die("a credit does not encode", NULL);
	sim_say_encoded(&sh->person, &bytes);
	buf_fini(&bytes);
	sh->told = sh->back;
}

static void
take_echo(struct shells *s, struct shell *sh, const struct frame *f)
{
	int64_t t = now();

	if (f->stream != STREAM_OUT || f->offset != sh->back || sh->back + f->body_len > sh->typed)
		sim_die("other bytes came back than were typed", NULL);
	for (size_t i = 0; i < f->body_len; i++, sh->back++) {
		int64_t at = sh->at[sh->back % UNDER_WAY];
		if (f->body[i] != 'a' + sh->back % 26)
			sim_die("another byte came back than was typed", NULL);
		if (at >= s->counts_from)
			keep(s->took, &s->n_took, s->room, t - at);
	}
	acknowledge(sh);
}

static void
on_person_frame(struct shells *s, struct shell *sh, const struct frame *f)
{
	if (f->kind == FRAME_RESPONSE) {
		open_session(sh, f);
	} else if (f->kind == FRAME_ACCEPT) {
		sh->is_live = true;
		if (++s->live == s->count)
			begin_typing(s);
	} else if (f->kind == FRAME_DATA) {
		take_echo(s, sh, f);
	} else if (f->kind == FRAME_REJECT || f->kind == FRAME_CLOSE) {
		sim_die("a session ended", NULL);
	}
}

/* --- its node --------------------------------------------------------------------------------- */

static void
accept_session(struct shell *sh, const struct frame *f)
{
	const struct msg_accept accept = {.window = WINDOW, .run_as = "hawser", .pid = 4711};

	sh->channel = f->channel;
	sim_say(&sh->node, FRAME_ACCEPT, f->channel, MSG_ROW(accept), &accept);
}

/* The credit and what it shows are one message. */
static void
send_back(struct shells *s, struct shell *sh, const struct frame *f)
{
	bool hidden = sh->number % 100 < s->hidden;
	uint64_t consumed = f->offset + f->body_len;
	const struct frame credit = {.kind = FRAME_CREDIT,
		.channel = sh->channel,
		.stream = STREAM_IN,
		.offset = consumed,
		.limit = consumed + WINDOW,
		.echo = hidden ? ECHO_HIDDEN : ECHO_SHOWN};
	const struct frame data = {.kind = FRAME_DATA,
		.channel = sh->channel,
		.stream = STREAM_OUT,
		.offset = sh->echoed,
		.body = f->body,
		.body_len = f->body_len};
	struct buf both;

	buf_init(&both, 8192);
	frame_encode(&both, &credit);
	if (frame_encode(&both, &data) < 0)
		sim_die("an echo does not encode", NULL);
	sim_say_encoded(&sh->node, &both);
	buf_fini(&both);
	sh->echoed += f->body_len;
}

static void
on_node_frame(struct shells *s, struct shell *sh, const struct frame *f)
{
	if (f->kind == FRAME_OPEN)
		accept_session(sh, f);
	else if (f->kind == FRAME_DATA)
		send_back(s, sh, f);
}

/* --- all of them ------------------------------------------------------------------------------ */

static void
on_up(void *arg, struct sim_link *l)
{
	(void)arg;
	if (l->role == ROLE_NODE)
		return;
	start_session(of_person(l));
}

static void
on_frame(void *arg, struct sim_link *l, const struct frame *f)
{
	struct shells *s = arg;

	if (l->role == ROLE_NODE)
		on_node_frame(s, of_node(l), f);
	else
		on_person_frame(s, of_person(l), f);
}

/* Nodes first, then people. */
static void
dial_more(struct shells *s)
{
	while (s->begun < s->count && s->begun - s->net.up < INFLIGHT)
		sim_link_dial(&s->net, &s->all[s->begun++].node);
	if (s->net.up < s->count)
		return;
	while (s->begun < 2 * s->count && s->begun - s->count - s->live < INFLIGHT)
		sim_link_dial(&s->net, &s->all[s->begun++ - s->count].person);
}

static void
load(struct shells *s, const char *nodes, const char *home)
{
	char path[4096];

	s->all = calloc((size_t)s->count, sizeof(*s->all));
	int mine = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mine < 0)
		sim_die(home, NULL);
	for (int i = 0; i < s->count; i++) {
		struct shell *sh = &s->all[i];
		snprintf(path, sizeof(path), "%s/%d", nodes, i);
		int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			sim_die(path, NULL);
		sh->number = i;
		sim_link_load(&sh->node, dir, ENROL_NODE_CERT, ENROL_NODE_KEY, ROLE_NODE);
		sim_link_load(&sh->person, mine, ENROL_USER_CERT, ENROL_USER_KEY, ROLE_USER);
		close(dir);
	}
	close(mine);
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t
at_share(const uint32_t *list, size_t n, double share)
{
	return n == 0 ? 0 : list[(size_t)((double)(n - 1) * share)];
}

static void
print_result(struct shells *s)
{
	qsort(s->took, s->n_took, sizeof(*s->took), by_value);
	qsort(s->late, s->n_late, sizeof(*s->late), by_value);
	printf("{\"sessions\": %d, \"typed\": %zu, \"came_back\": %zu, \"p50\": %u, \"p90\": %u, "
	       "\"p99\": %u, \"p999\": %u, \"worst\": %u, \"late_p50\": %u, \"late_p99\": %u, "
	       "\"lost\": %d}\n",
		s->live, s->n_late, s->n_took, at_share(s->took, s->n_took, 0.5),
		at_share(s->took, s->n_took, 0.9), at_share(s->took, s->n_took, 0.99),
		at_share(s->took, s->n_took, 0.999), at_share(s->took, s->n_took, 1),
		at_share(s->late, s->n_late, 0.5), at_share(s->late, s->n_late, 0.99), s->net.lost);
	fflush(stdout);
}

/* Each link once in PING_TICKS, so that they are pinged one after the other, as by peers of which
 * each has a clock of its own. */
static void
ping_some(struct shells *s)
{
	time_t t = time(NULL);

	s->ping_from = (s->ping_from + 1) % PING_TICKS;
	for (int i = s->ping_from; i < s->count; i += PING_TICKS) {
		sim_link_ping(&s->net, &s->all[i].node, t);
		sim_link_ping(&s->net, &s->all[i].person, t);
	}
}

static void
on_tick(struct shells *s, int fd)
{
	uint64_t ticks;

	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	type_due(s);
	ping_some(s);
	/* A second for what is still under way. */
	if (s->typing && !s->over && now() > s->end + USEC_PER_SEC) {
		s->over = true;
		print_result(s);
	}
}

static void
watch_plain(const struct shells *s, int fd, void *name)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = name};

	if (epoll_ctl(s->net.epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		sim_die("epoll_ctl", NULL);
}

static int
run(struct shells *s)
{
	static char at_stdin, at_tick;
	const struct itimerspec every = {
		{0, 1000000},
		      {0, 1000000}
	  };
	struct epoll_event events[64];

	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(tick, 0, &every, NULL);
	watch_plain(s, tick, &at_tick);
	watch_plain(s, STDIN_FILENO, &at_stdin);
	s->start = now();
	for (;;) {
		dial_more(s);
		int n = epoll_wait(s->net.epoll, events, 64, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &at_stdin)
				return s->over && s->net.lost == 0 ? 0 : 1;
			if (events[i].data.ptr == &at_tick)
				on_tick(s, tick);
			else
				sim_link_ready(&s->net, events[i].data.ptr, events[i].events);
		}
	}
}

static int
usage(void)
{
	fprintf(stderr,
		"usage: sim_shells URL --nodes DIR --home HOME --count N [--rate K] "
		"[--seconds S] [--hidden PERCENT]\n");
	return 2;
}

static void
allow_files(void)
{
	struct rlimit most;

	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"nodes",		  required_argument, NULL, 'n'},
		 {"home",		  required_argument, NULL, 'h'},
		{"count",		  required_argument, NULL, 'c'},
		 {"rate",required_argument, NULL, 'r'},
		{"seconds",		    required_argument, NULL, 's'},
		   {"hidden",	      required_argument, NULL, 'o'},
		{0		  }
	   };
	struct shells *s = calloc(1, sizeof(*s));
	const char *nodes = NULL, *home = NULL;
	struct hw_err err = HW_ERR_INIT;
	int c;

	s->rate = 5;
	s->seconds = 30;
	s->random = SEED;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n')
			nodes = optarg;
		else if (c == 'h')
			home = optarg;
		else if (c == 'c')
			s->count = atoi(optarg);
		else if (c == 'r')
			s->rate = atof(optarg);
		else if (c == 's')
			s->seconds = atof(optarg);
		else if (c == 'o')
			s->hidden = atoi(optarg);
		else
			return usage();
	}
	if (nodes == NULL || home == NULL || optind + 1 != argc || s->count < 1 || s->rate < 1.5 ||
		s->seconds < 1)
		return usage();
	if (relay_url_parse(&s->net.url, argv[optind], &err) < 0)
		sim_die(argv[optind], &err);
	signal(SIGPIPE, SIG_IGN);
	allow_files();
	s->room = (size_t)(s->count * s->rate * (s->seconds + 3) * 2);
	s->took = malloc(s->room * sizeof(*s->took));
	s->late = malloc(s->room * sizeof(*s->late));
	sim_net_init(&s->net);
	s->net.on_up = on_up;
	s->net.on_frame = on_frame;
	s->net.arg = s;
	load(s, nodes, home);
	return run(s);
}
