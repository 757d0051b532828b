/*
 * Many nodes in one process: what a relay sees of a fleet, without the agents.
 *
 *   sim_nodes join URL ID:CODE --dir DIR --count N [--first K]    enrols nodes, each with its own
 *       key, into DIR/K, DIR/K+1, ...
 *   sim_nodes hold URL --dir DIR --count N [--first K]            dials all and keeps their links:
 *       HELLO, facts, pings and pongs as a real agent sends them, and witnesses of the ledger's
 *       heads. Prints "up N SECONDS" once all stand; ends with its stdin, and then prints what
 *       happened as JSON. Told of a command, a node asks for it, and says that its script exited
 *       with 0. With --again a link that is lost is dialled again, when an agent would, and each
 *       time that all stand again that is said, with the seconds since the first was lost.
 */
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"
#include "proto/wire/backoff.h"
#include "tests/bench/sim_link.h"
#include "tests/bench/sim_watch.h"

#define JOINERS	     12			 /* they wait for disks most of the time */
#define STEADY_AFTER (60 * USEC_PER_SEC) /* as an agent has it: its back-off begins anew */
#define TICK_NS	     (20 * 1000 * 1000L) /* how late a link may be dialled again */

struct node {
	struct sim_link link;
	struct sim_watch watch;
	struct backoff backoff;
	int64_t up_at, dial_at;	    /* monotonic; 0: is not up, is not to be dialled */
	uint64_t question;	    /* the request that asked for orders; 0: it has its answer */
	bool ask_again;		    /* once more after that */
	char held[ID_UUID_LEN + 1]; /* a command whose end the relay has not taken yet */
	uint64_t report;	    /* the request that said its end */
	bool behind;		    /* there were others than the one that is held */
};

struct sim {
	struct sim_net net;
	int dir;
	int first, count;
	int inflight; /* how many may be on their way up at once */
	bool again;   /* who is lost dials again */
	const char *activation_id, *activation_code;

	struct node *nodes;
	int begun;
	bool told;
	X509 *ca;
	struct sim_watch_count heads;
	long answers, ran, redials;
	time_t second; /* the last in which links were looked at */
	struct timespec start;
	atomic_int next; /* of the joiners */
};

static int
open_node_dir(const struct sim *s, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "%d", s->first + i);
	if (mkdirat(s->dir, name, 0700) < 0 && errno != EEXIST)
		sim_die(name, NULL);
	int dir = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		sim_die(name, NULL);
	return dir;
}

/* --- join --------------------------------------------------------------------------------------
 */

static void
join_one(const struct sim *s, int i)
{
	struct hw_err err = HW_ERR_INIT;
	struct enrol_result got;
	char name[32];

	snprintf(name, sizeof(name), "sim-%05d", s->first + i);
	const struct msg_register_managed_instance_request req = {
		.activation_id = s->activation_id,
		.activation_code = s->activation_code,
		.name = name,
		.computer_name = name,
	};
	int dir = open_node_dir(s, i);
	if (enrol_node(&got, &s->net.url, NULL, dir, &req, &err) < 0)
		sim_die(name, &err);
	close(dir);
}

static void *
join_some(void *arg)
{
	struct sim *s = arg;
	int i;

	while ((i = atomic_fetch_add(&s->next, 1)) < s->count)
		join_one(s, i);
	return NULL;
}

static int
join_all(struct sim *s)
{
	pthread_t threads[JOINERS];

	for (int i = 0; i < JOINERS; i++)
		pthread_create(&threads[i], NULL, join_some, s);
	for (int i = 0; i < JOINERS; i++)
		pthread_join(threads[i], NULL);
	printf("joined %d\n", s->count);
	return 0;
}

/* --- commands ----------------------------------------------------------------------------------
 */

static void
say_facts(struct node *n)
{
	const struct msg_update_instance_information_request facts = {
		.agent_version = HAWSER_VERSION,
		.computer_name = "sim",
		.ip_address = "127.0.0.1",
		.platform_name = "debian",
		.platform_version = "12",
		.kernel = "6.1.0-amd64",
		.architecture = "x86_64",
	};

	sim_request(&n->link, &op_rows[OP_update_instance_information],
		MSG_ROW(update_instance_information_request), &facts);
}

/* As an agent does: one question at a time, and what is held is said along with it. */
static void
ask(struct node *n)
{
	const char *held = n->held;
	const struct msg_get_pending_invocations_request m = {
		.held = {.v = &held, .n = n->held[0] != '\0'}
	     };

	n->ask_again = n->question != 0;
	if (!n->ask_again)
		n->question = sim_request(&n->link, &op_rows[OP_get_pending_invocations],
			MSG_ROW(get_pending_invocations_request), &m);
}

/* What an agent's only word is on a script that was over at once. */
static void
say_end(struct node *n)
{
	int64_t now = clock_wall(&hw_clock_system);
	struct msg_invocation_step step = {
		.name = "aws:runShellScript",
		.action = "aws:runShellScript",
		.status = INVOCATION_STATUS_SUCCESS,
		.status_details = "Success",
		.started = now,
		.ended = now,
	};
	const struct msg_update_invocation_request m = {
		.command_id = n->held,
		.status = INVOCATION_STATUS_SUCCESS,
		.status_details = "Success",
		.started = now,
		.ended = now,
		.steps = {.v = &step, .n = 1},
	};

	n->report = sim_request(&n->link, &op_rows[OP_update_invocation],
		MSG_ROW(update_invocation_request), &m);
}

/* One at a time; the others are given again when they are asked for. */
static void
take_orders(struct node *n, const struct msg_get_pending_invocations_reply *reply)
{
	for (size_t i = 0; i < reply->invocations.n; i++) {
		const char *id = reply->invocations.v[i].command_id;
		if (n->held[0] != '\0') {
			n->behind |= strcmp(n->held, id) != 0;
			continue;
		}
		snprintf(n->held, sizeof(n->held), "%s", id);
		say_end(n);
	}
	n->behind |= reply->more;
}

static void
take_taken(struct sim *s, struct node *n, const struct msg_update_invocation_reply *reply)
{
	if (!reply->taken)
		sim_die("the relay did not take an end", NULL);
	s->ran++;
	n->report = 0;
	n->held[0] = '\0';
	if (n->behind)
		ask(n);
	n->behind = false;
}

static void
take_response(struct sim *s, struct node *n, const struct frame *f)
{
	bool orders = f->id == n->question, taken = f->id == n->report;
	struct hw_err err = HW_ERR_INIT;
	void *msg;

	s->answers++;
	if (sim_watch_response(&n->watch, &n->link, f))
		return;
	struct arena *a = arena_new(1 << 20);
	if ((orders || taken) && f->name_len > 0)
		sim_die("the relay refused a node's word", NULL);
	if ((orders || taken) &&
		msg_decode(&msg, a,
			orders ? MSG_ROW(get_pending_invocations_reply)
			       : MSG_ROW(update_invocation_reply),
			f->body, f->body_len, &err) < 0)
		sim_die("an answer", &err);
	if (orders) {
		n->question = 0;
		take_orders(n, msg);
		if (n->ask_again)
			ask(n);
	} else if (taken) {
		take_taken(s, n, msg);
	}
	arena_free(a);
}

/* --- a link ----------------------------------------------------------------------------------- */

static struct node *
node_of(struct sim_link *l)
{
	return (struct node *)((char *)l - offsetof(struct node, link));
}

/* What an agent says first: who it is, and what it may have missed. */
static void
on_up(void *arg, struct sim_link *l)
{
	struct node *n = node_of(l);

	(void)arg;
	n->up_at = clock_mono(&hw_clock_system);
	n->question = n->report = 0;
	n->ask_again = false;
	say_facts(n);
	sim_watch_link(&n->watch, time(NULL));
	ask(n);
	if (n->held[0] != '\0')
		say_end(n);
}

static void
on_head(void *arg, struct sim_link *l, const char *head)
{
	(void)arg;
	sim_watch_head(&node_of(l)->watch, l, head);
}

static void
on_lost(void *arg, struct sim_link *l, bool was_up)
{
	struct sim *s = arg;
	struct node *n = node_of(l);
	int64_t now = clock_mono(&hw_clock_system);

	if (s->told)
		clock_gettime(CLOCK_MONOTONIC, &s->start);
	if (n->up_at != 0 && now - n->up_at >= STEADY_AFTER)
		backoff_reset(&n->backoff);
	n->up_at = 0;
	if (was_up && !s->again)
		return;
	s->told = false;
	n->dial_at = now + backoff_next(&n->backoff, random_u64());
}

static void
on_frame(void *arg, struct sim_link *l, const struct frame *f)
{
	struct sim *s = arg;

	if (f->kind == FRAME_RESPONSE) {
		take_response(s, node_of(l), f);
	} else if (f->kind == FRAME_CONTROL && f->channel == 0) {
		struct arena *a = arena_new(65536);
		void *msg;
		if (msg_decode(&msg, a, MSG_ROW(control), f->body, f->body_len, NULL) == 0 &&
			((const struct msg_control *)msg)->type == CONTROL_COMMANDS)
			ask(node_of(l));
		arena_free(a);
	}
}

/* --- all of them --------------------------------------------------------------------------------
 */

static void
prepare(struct sim *s)
{
	struct hw_err err = HW_ERR_INIT;

	sim_net_init(&s->net);
	s->net.on_up = on_up;
	s->net.on_head = on_head;
	s->net.on_lost = on_lost;
	s->net.on_frame = on_frame;
	s->net.arg = s;
	s->nodes = calloc((size_t)s->count, sizeof(*s->nodes));
	for (int i = 0; i < s->count; i++) {
		int dir = open_node_dir(s, i);
		sim_link_load(&s->nodes[i].link, dir, ENROL_NODE_CERT, ENROL_NODE_KEY, ROLE_NODE);
		if (s->ca == NULL && cert_load(&s->ca, dir, ENROL_CA, &err) < 0)
			sim_die(ENROL_CA, &err);
		sim_watch_init(&s->nodes[i].watch, s->ca, &s->heads);
		close(dir);
	}
}

static double
elapsed(const struct sim *s)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)(t.tv_sec - s->start.tv_sec) + (double)(t.tv_nsec - s->start.tv_nsec) / 1e9;
}

static void
dial_more(struct sim *s)
{
	int gone = s->again ? 0 : s->net.lost;

	while (s->begun < s->count && s->begun - s->net.up - gone < s->inflight)
		sim_link_dial(&s->net, &s->nodes[s->begun++].link);
	if (!s->told && s->net.up + gone == s->count) {
		s->told = true;
		printf("up %d %.3f\n", s->net.up, elapsed(s));
		fflush(stdout);
	}
}

static void
dial_again(struct sim *s)
{
	int64_t now = clock_mono(&hw_clock_system);

	for (int i = 0; i < s->count; i++) {
		struct node *n = &s->nodes[i];
		if (n->dial_at == 0 || n->dial_at > now)
			continue;
		n->dial_at = 0;
		s->redials++;
		sim_link_dial(&s->net, &n->link);
	}
}

static void
on_tick(struct sim *s)
{
	time_t now = time(NULL);

	dial_again(s);
	if (now == s->second)
		return;
	s->second = now;
	for (int i = 0; i < s->count; i++) {
		struct node *n = &s->nodes[i];
		if (n->up_at != 0) {
			sim_watch_tick(&n->watch, &n->link, now);
			sim_flush(&s->net, &n->link);
		}
		sim_link_ping(&s->net, &n->link, now);
	}
}

static int
watch_plain(const struct sim *s, int fd, void *name)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = name};

	return epoll_ctl(s->net.epoll, EPOLL_CTL_ADD, fd, &e);
}

static int
hold_all(struct sim *s)
{
	static char at_stdin, at_tick;
	const struct timespec every =
		s->again ? (struct timespec){.tv_nsec = TICK_NS} : (struct timespec){.tv_sec = 1};
	const struct itimerspec ticking = {every, every};
	struct epoll_event events[256];
	uint64_t ticks;

	prepare(s);
	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(tick, 0, &ticking, NULL);
	watch_plain(s, tick, &at_tick);
	watch_plain(s, STDIN_FILENO, &at_stdin);
	clock_gettime(CLOCK_MONOTONIC, &s->start);
	for (bool ended = false; !ended;) {
		dial_more(s);
		int n = epoll_wait(s->net.epoll, events, 256, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &at_stdin)
				ended = true;
			else if (events[i].data.ptr != &at_tick)
				sim_link_ready(&s->net, events[i].data.ptr, events[i].events);
			else if (read(tick, &ticks, sizeof(ticks)) > 0)
				on_tick(s);
		}
	}
	printf("{\"links\": %d, \"lost\": %d, \"failed\": %d, \"answers\": %ld, \"pings\": %ld, \"pongs\": %ld, "
	       "\"bytes\": %ld, \"ran\": %ld, \"redials\": %ld, \"heads\": %ld, \"judged\": %ld, "
	       "\"proofs\": %ld, \"reports\": %ld}\n",
		s->net.up, s->net.lost, s->net.failed, s->answers, s->net.pings, s->net.pongs,
		s->net.bytes, s->ran, s->redials, s->heads.shown, s->heads.judged, s->heads.proofs,
		s->heads.reports);
	return !s->again && s->net.lost > 0;
}

/* -----------------------------------------------------------------------------------------------
 */

static int
usage(void)
{
	fprintf(stderr,
		"usage: sim_nodes join URL ID:CODE --dir DIR --count N [--first K]\n"
		"       sim_nodes hold URL --dir DIR --count N [--first K] [--inflight N] "
		"[--again]\n");
	return 2;
}

static int
parse_options(struct sim *s, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",	required_argument, NULL, 'd'},
		       {"count",	 required_argument, NULL, 'c'},
		{"first",	  required_argument, NULL, 'f'},
		 {"inflight", required_argument, NULL, 'i'},
		{"again",	  no_argument,       NULL, 'a'},
		   {NULL,	  0,		     NULL, 0  }
	     };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			s->dir = open(optarg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		else if (c == 'c')
			s->count = atoi(optarg);
		else if (c == 'f')
			s->first = atoi(optarg);
		else if (c == 'i')
			s->inflight = atoi(optarg);
		else if (c == 'a')
			s->again = true;
		else
			return -1;
	}
	return s->dir >= 0 && s->count > 0 && s->inflight > 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct sim s = {.dir = -1, .inflight = 12};
	struct hw_err err = HW_ERR_INIT;

	signal(SIGPIPE, SIG_IGN);
	if (parse_options(&s, argc, argv) < 0 || argc - optind < 2)
		return usage();
	char **words = argv + optind;
	if (relay_url_parse(&s.net.url, words[1], &err) < 0)
		sim_die(words[1], &err);
	if (strcmp(words[0], "hold") == 0 && argc - optind == 2)
		return hold_all(&s);
	if (strcmp(words[0], "join") != 0 || argc - optind != 3)
		return usage();
	s.activation_id = strtok(words[2], ":");
	s.activation_code = strtok(NULL, ":");
	return s.activation_code == NULL ? usage() : join_all(&s);
}
