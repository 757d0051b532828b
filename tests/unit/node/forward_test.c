/* What the node connects to for a forward: names that lie, and what each may reach; and connections
 * that outlive their link. */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/forward.h"
#include "node/reach.h"
#include "proto/base/buf.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "proto/wire/resolve.h"
#include "tests/world/pair.h"

/* --- a name server of the test's own ---------------------------------------------------------- */

static const struct {
	const char *name, *addresses[3];
} zone[] = {
	{"metadata.example",  {"169.254.169.254"}		},
	{"mapped.example",	   {"::ffff:169.254.169.254"}	     },
	{"nat64.example",	  {"64:ff9b::a9fe:a9fe"}		},
	{"6to4.example",	 {"2002:a9fe:a9fe::1"}	      },
	{"ula.example",	{"fd00:ec2::254"}		 },
	{"linklocal.example", {"fe80::1"}			 },
	{"zero.example",	 {"0.0.0.0"}			    },
	{"own.example",	{"127.0.0.1"}		     },
	{"own6.example",	 {"::1"}				},
	{"mixed.example",	  {"169.254.169.254", "127.0.0.1"}},
};

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret);

static sem_t slow; /* posted for each answer about slow.example */

/* Addresses are read by the C library, as ever. */
int
__wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret)
{
	struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo **next = ret;

	*ret = NULL;
	if ((hints->ai_flags & AI_NUMERICHOST) != 0)
		return __real_getaddrinfo(host, service, hints, ret);
	if (strcmp(host, "slow.example") == 0) {
		sem_wait(&slow);
		return EAI_AGAIN;
	}
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (strcmp(zone[i].name, host) != 0)
			continue;
		for (const char *const *a = zone[i].addresses; *a != NULL; a++) {
			__real_getaddrinfo(*a, NULL, &numeric, next);
			next = &(*next)->ai_next;
		}
		return 0;
	}
	return EAI_NONAME;
}

/* --- a relay and a node on one loop ----------------------------------------------------------- */

#define FAR_BUFFER 8192 /* what the far end takes ahead */

struct stage {
	struct loop *loop;
	struct pair *pair;
	struct link *relay, *node;
	struct log_ctx log;
	struct forwards *forwards;
	int listener, port;
	bool up, answered;
	int code; /* of the rejection */
	char message[512], reached[128];
	bool local;

	/* Of the one connection that stays open. */
	struct channel *ch;
	int far; /* its other end */
	bool stays, resumed, ended, closed, hold;
	struct buf in, out; /* what was sent so far, and what came */
	size_t eaten;	    /* of out */
	uint64_t acked;	    /* of in */
	struct channel_stand stand[STREAMS];
};

static void
on_up(void *arg, struct link *l, const struct msg_hello *hello)
{
	struct stage *s = arg;

	(void)l, (void)hello;
	s->up = link_is_up(s->relay) && link_is_up(s->node);
	if (s->up)
		loop_stop(s->loop);
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct stage *s = arg;

	(void)l;
	forwards_connect(s->forwards, ch, open);
}

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *a)
{
	struct stage *s = arg;

	s->answered = true;
	s->local = a->node_local;
	snprintf(s->reached, sizeof(s->reached), "%s", a->remote_address);
	if (!s->stays)
		channel_abort(ch, HW_ECLOSED, "");
	loop_stop(s->loop);
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct stage *s = arg;

	if (s->ch == ch)
		s->ch = NULL;
	s->answered = true;
	s->code = code;
	snprintf(s->message, sizeof(s->message), "%s", message);
	loop_stop(s->loop);
}

static void
on_link_resume(void *arg, struct link *l, struct channel *ch, const struct msg_resume *resume)
{
	struct stage *s = arg;

	(void)l;
	forwards_resume(s->forwards, ch, resume);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct stage *s = arg;

	cr_assert(eq(int, stream, STREAM_OUT));
	cr_assert(eq(u64, offset, s->out.len));
	cr_assert(eq(int, buf_append(&s->out, p, n), 0));
	if (s->hold)
		return;
	channel_consume(ch, stream, n, ECHO_UNKNOWN);
	s->eaten += n;
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct stage *s = arg;

	(void)ch, (void)stream;
	cr_assert(eq(u64, offset, s->out.len));
	s->ended = true;
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct stage *s = arg;

	(void)ch, (void)stream, (void)limit, (void)echo;
	s->acked = consumed;
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct stage *s = arg;

	if (s->ch != ch)
		return;
	s->ch = NULL;
	s->closed = true;
	s->code = code;
	snprintf(s->message, sizeof(s->message), "%s", close->message);
}

static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct stage *s = arg;

	memcpy(s->stand, channel_stand(ch), sizeof(s->stand));
	s->resumed = s->answered = true;
	s->local = answer->node_local;
	cr_assert(eq(int, (int)answer->remote_port, s->port));
	cr_assert_str_eq(answer->remote_host, "127.0.0.1");
	snprintf(s->reached, sizeof(s->reached), "%s", answer->remote_address);
	loop_stop(s->loop);
}

static const struct link_events link_events = {.on_up = on_up,
	.on_open = on_open,
	.on_resume = on_link_resume};
static const struct channel_events channel_events = {
	.on_accept = on_accept,
	.on_reject = on_reject,
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_close = on_close,
	.on_resume = on_resume,
};

static struct link *
make_link(struct stage *s, int side)
{
	struct link_config config = {
		.loop = s->loop,
		.log = &s->log,
		.events = &link_events,
		.arg = s,
		.transport = pair_transport(s->pair, side),
		.hello = {.version_min = 1,
			  .version_max = 1,
			  .role = side == PAIR_A ? ROLE_RELAY : ROLE_NODE,
			  .id = "mi-0123456789abcdef0",
			  .software = "test/1",
			  .frame_max = 65536},
		.peer_role = side == PAIR_A ? ROLE_NODE : ROLE_RELAY,
		.opens = side == PAIR_A,
	};
	struct link *l = link_new(&config);

	cr_assert(l != NULL);
	pair_attach(s->pair, side, l);
	return l;
}

static void
listen_somewhere(struct stage *s)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(in);

	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s->listener, SOL_SOCKET, SO_RCVBUF, &(int){FAR_BUFFER}, sizeof(int));
	cr_assert(eq(int, bind(s->listener, (const struct sockaddr *)&in, n), 0));
	cr_assert(eq(int, listen(s->listener, 8), 0));
	cr_assert(eq(int, getsockname(s->listener, (struct sockaddr *)&in, &n), 0));
	s->port = ntohs(in.sin_port);
}

static void
connect_both(struct stage *s)
{
	s->up = false;
	s->pair = pair_new(s->loop);
	s->relay = make_link(s, PAIR_A);
	s->node = make_link(s, PAIR_B);
	while (!s->up)
		cr_assert(eq(int, loop_run(s->loop, NULL), 0));
}

static struct stage *
stage_new(void)
{
	struct stage *s = calloc(1, sizeof(*s));

	cr_assert(eq(int, loop_new(&s->loop, NULL), 0));
	log_ctx_init(&s->log, NULL);
	s->forwards = forwards_new(s->loop, &s->log, "/tmp");
	buf_init(&s->in, 16 << 20);
	buf_init(&s->out, 16 << 20);
	s->far = -1;
	listen_somewhere(s);
	connect_both(s);
	return s;
}

static void
stage_free(struct stage *s)
{
	loop_settle(s->loop);
	pair_free(s->pair);
	loop_settle(s->loop);
	cr_assert(eq(int, forwards_count(s->forwards), 0));
	forwards_free(s->forwards);
	loop_free(s->loop);
	close(s->listener);
	if (s->far >= 0)
		close(s->far);
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

enum { LOCAL = 1, BEYOND = 2, NAMED = 4 };

static void
connect_to(struct stage *s, const char *host, int may)
{
	struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION,
		.session_id = "s",
		.remote_host = host,
		.remote_port = strncmp(host, "unix:", 5) == 0 ? 0 : s->port,
		.node_local = (may & LOCAL) != 0,
		.beyond = (may & BEYOND) != 0,
		.named = (may & NAMED) != 0};
	struct channel *ch;

	s->answered = false;
	s->code = 0;
	cr_assert(eq(int, channel_open(&ch, s->relay, &open, &channel_events, s, NULL), 0));
	while (!s->answered)
		cr_assert(eq(int, loop_run(s->loop, NULL), 0));
	loop_settle(s->loop);
}

/* --- the tests -------------------------------------------------------------------------------- */

Test(forward, a_name_that_resolves_to_a_guarded_address_is_refused_named_or_not)
{
	static const char *const names[] = {"metadata.example", "mapped.example", "nat64.example",
		"6to4.example", "ula.example", "linklocal.example", "zero.example"};
	struct stage *s = stage_new();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		connect_to(s, names[i], LOCAL | BEYOND | NAMED);
		cr_assert(eq(int, s->code, HW_EDENIED), "%s: %s", names[i], s->message);
		cr_assert_not_null(strstr(s->message, "a policy must name"), "%s", s->message);
	}
	stage_free(s);
}

Test(forward, a_name_that_resolves_to_the_node_needs_that_permission)
{
	static const char *const names[] = {"own.example", "own6.example", "127.0.0.1", "::1"};
	struct stage *s = stage_new();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		connect_to(s, names[i], BEYOND);
		cr_assert(eq(int, s->code, HW_EDENIED), "%s: %s", names[i], s->message);
		cr_assert_not_null(strstr(s->message, "the node itself"), "%s", s->message);
	}
	connect_to(s, "own.example", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, 0), "%s", s->message);
	cr_assert(s->local);
	cr_assert_not_null(strstr(s->reached, "127.0.0.1:"), "%s", s->reached);
	stage_free(s);
}

Test(forward, of_several_addresses_only_those_that_may_be_are_tried)
{
	struct stage *s = stage_new();

	connect_to(s, "mixed.example", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, 0), "%s", s->message);
	cr_assert_not_null(strstr(s->reached, "127.0.0.1:"), "%s", s->reached);
	stage_free(s);
}

Test(forward, the_node_alone_is_not_what_is_behind_it)
{
	struct stage *s = stage_new();

	connect_to(s, "192.0.2.1", LOCAL);
	cr_assert(eq(int, s->code, HW_EDENIED));
	connect_to(s, "localhost", LOCAL);
	cr_assert(eq(int, s->code, 0), "%s", s->message);
	connect_to(s, "localhost", BEYOND);
	cr_assert(eq(int, s->code, HW_EDENIED));
	connect_to(s, "unix:/run/x", BEYOND);
	cr_assert(eq(int, s->code, HW_EDENIED));
	stage_free(s);
}

static void
on_reached(void *arg, int fd, const char *at, bool local)
{
	(void)arg, (void)fd, (void)at, (void)local;
	cr_assert(false, "slow.example was reached");
}

static void
on_not_reached(void *arg, int code, const char *why)
{
	(void)why;
	*(int *)arg = code;
}

/* The name server's answers are what threads wait for, whether anybody still wants them or not. */
Test(forward, look_ups_that_were_given_up_count_until_they_end)
{
	static const struct reach_events events = {
		.on_reached = on_reached, .on_failed = on_not_reached};
	struct reach_place place = {.port = 1, .local = true, .beyond = true};
	struct reach_ground ground = {.dir = "/tmp", .lookups = resolve_limit_new(3)};
	int code[4] = {0}, n = 0;
	struct reach *r;

	cr_assert(eq(int, sem_init(&slow, 0, 0), 0));
	cr_assert(eq(int, loop_new(&ground.loop, NULL), 0));
	cr_assert(eq(int, host_parse(&place.host, "slow.example", NULL), 0));
	for (size_t i = 0; i < 4; i++) {
		cr_assert(eq(int, reach_start(&r, &ground, &place, &events, &code[i]), 0));
		reach_free(r);
		loop_settle(ground.loop);
		cr_assert(eq(int, code[i], i < 3 ? 0 : HW_EFULL));
	}
	for (size_t i = 0; i < 3; i++)
		sem_post(&slow);
	do { /* until the threads are done */
		code[0] = 0;
		cr_assert(eq(int, reach_start(&r, &ground, &place, &events, &code[0]), 0));
		reach_free(r);
		loop_settle(ground.loop);
		n += code[0] == 0;
		sched_yield();
	} while (n == 0);
	sem_post(&slow);
	resolve_limit_free(ground.lookups);
	loop_free(ground.loop);
}

Test(forward, what_is_not_there_is_said_in_words)
{
	struct stage *s = stage_new();

	connect_to(s, "nobody.example", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, HW_ERESOLVE));
	cr_assert_not_null(strstr(s->message, "nobody.example does not resolve on this node"));
	close(s->listener);
	s->listener = -1;
	connect_to(s, "127.0.0.1", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, HW_EREFUSED));
	cr_assert_not_null(strstr(s->message, "connection refused by 127.0.0.1:"));
	connect_to(s, "unix:/proc/none", LOCAL);
	cr_assert(eq(int, s->code, HW_EUNREACHABLE), "%s", s->message);
	connect_to(s, "unix:/etc/hostname", LOCAL);
	cr_assert(eq(int, s->code, HW_EUNREACHABLE), "%s", s->message);
	stage_free(s);
}

Test(forward, what_the_relay_should_not_ask_is_refused)
{
	struct stage *s = stage_new();

	s->port = 0;
	connect_to(s, "127.0.0.1", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, HW_EVALIDATION));
	s->port = 80;
	connect_to(s, "a b", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, HW_EVALIDATION));
	connect_to(s, "", LOCAL | BEYOND);
	cr_assert(eq(int, s->code, HW_EVALIDATION));
	stage_free(s);
}

/* --- a connection and its links --------------------------------------------------------------- */

#define SESSION	 "alice-0123456789abcdef0"
#define NUMBER	 7
#define WINDOW	 100000
#define PATIENCE 20000

static uint8_t
byte_at(size_t i)
{
	return (uint8_t)(i % 251);
}

static void
on_tick(void *arg)
{
	loop_stop(((struct stage *)arg)->loop);
}

static void
turn(struct stage *s)
{
	struct loop_timer tick = {.fn = on_tick, .arg = s};

	loop_timer_start(s->loop, &tick, USEC_PER_MSEC);
	cr_assert(eq(int, loop_run(s->loop, NULL), 0));
	loop_timer_stop(s->loop, &tick);
}

#define UNTIL(s, condition)                                                    \
	for (int turns_ = 0; !(condition); turns_++) {                         \
		cr_assert(lt(int, turns_, PATIENCE), "never: %s", #condition); \
		turn(s);                                                       \
	}

static struct stage *
open_one(int64_t number)
{
	struct stage *s = stage_new();
	const struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION,
		.session_id = SESSION,
		.connection = number,
		.remote_host = "127.0.0.1",
		.remote_port = s->port,
		.node_local = true,
		.window = WINDOW};

	s->stays = true;
	cr_assert(eq(int, channel_open(&s->ch, s->relay, &open, &channel_events, s, NULL), 0));
	UNTIL(s, s->answered);
	cr_assert(eq(int, s->code, 0), "%s", s->message);
	s->far = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	cr_assert(ge(int, s->far, 0));
	return s;
}

static void
cut(struct stage *s)
{
	pair_drop(s->pair, "gone");
	loop_settle(s->loop);
	pair_free(s->pair);
	s->pair = NULL;
	s->closed = false;
	s->code = 0;
}

static void
stand_now(const struct stage *s, struct channel_stand ours[STREAMS])
{
	memset(ours, 0, STREAMS * sizeof(*ours));
	ours[STREAM_IN].sent = s->in.len;
	ours[STREAM_OUT].received = s->out.len;
	ours[STREAM_OUT].consumed = s->eaten;
	ours[STREAM_OUT].limit = s->eaten + WINDOW;
	ours[STREAM_OUT].end_received = s->ended;
}

static void
ask(struct stage *s, const char *session, int64_t number, const struct channel_stand ours[STREAMS])
{
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_CONNECTION, .session_id = session, .connection = number};

	s->answered = s->resumed = false;
	s->code = 0;
	cr_assert(eq(int,
		channel_open_resumed(&s->ch, s->relay, &who, ours, &channel_events, s, NULL), 0));
	UNTIL(s, s->answered);
}

static void
send_rest(struct stage *s)
{
	uint64_t sent = channel_sent(s->ch, STREAM_IN);

	channel_write(s->ch, STREAM_IN, buf_data(&s->in) + sent, s->in.len - sent);
}

static void
resume(struct stage *s)
{
	struct channel_stand ours[STREAMS];

	stand_now(s, ours);
	ask(s, SESSION, NUMBER, ours);
	cr_assert(s->resumed, "%s", s->message);
	send_rest(s);
}

static void
refused(struct stage *s, const char *session, int64_t number,
	const struct channel_stand ours[STREAMS], int code)
{
	ask(s, session, number, ours);
	cr_assert(not(s->resumed));
	cr_assert(eq(int, s->code, code), "%s", s->message);
	cr_assert(link_is_up(s->relay));
}

/* As much as the far end's socket takes. */
static size_t
far_sends(struct stage *s, size_t at, size_t most)
{
	size_t done = 0;

	for (ssize_t n = 1; n > 0 && done < most;) {
		uint8_t bytes[4096];
		size_t piece = most - done < sizeof(bytes) ? most - done : sizeof(bytes);
		for (size_t i = 0; i < piece; i++)
			bytes[i] = byte_at(at + done + i);
		n = send(s->far, bytes, piece, MSG_NOSIGNAL);
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

static void
far_receives(struct stage *s, struct buf *all)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = recv(s->far, bytes, sizeof(bytes), 0)) > 0)
		cr_assert(eq(int, buf_append(all, bytes, (size_t)n), 0));
}

static void
close_well(struct stage *s)
{
	static const struct msg_close well = {.code = NULL};

	channel_close(s->ch, &well);
	s->ch = NULL;
	UNTIL(s, forwards_count(s->forwards) == 0);
}

static void
until_received(struct stage *s, struct buf *all, size_t n)
{
	UNTIL(s, (far_receives(s, all), all->len >= n));
	cr_assert(eq(sz, all->len, n));
}

/* What was held is consumed. */
static void
catch_up(struct stage *s)
{
	channel_consume(s->ch, STREAM_OUT, s->out.len - s->eaten, ECHO_UNKNOWN);
	s->eaten = s->out.len;
}

Test(connection, bytes_both_ways_come_once_over_many_links)
{
	struct stage *s = open_one(NUMBER);
	size_t sent = 0, round = 0;
	struct buf got;

	buf_init(&got, 16 << 20);
	while (round < 20 || s->out.len < sent || got.len < s->in.len) {
		if (round++ < 20) {
			char text[64];
			int n = snprintf(text, sizeof(text), "round %zu, and what else\n", round);
			cr_assert(eq(int, buf_append(&s->in, text, (size_t)n), 0));
			send_rest(s);
			sent += far_sends(s, sent, 150000);
		}
		s->hold = round % 3 == 0;
		if (!s->hold)
			catch_up(s);
		for (size_t i = 0; i < round % 4; i++)
			turn(s);
		far_receives(s, &got);
		cut(s);
		sent += round < 20 ? far_sends(s, sent, 20000) : 0;
		turn(s);
		connect_both(s);
		resume(s);
		cr_assert(s->local);
		for (size_t i = 0; i < 5; i++)
			turn(s);
		far_receives(s, &got);
		cr_assert(lt(sz, round, 500));
	}
	cr_assert(eq(sz, s->out.len, sent));
	for (size_t i = 0; i < sent; i++)
		cr_assert(eq(u8, buf_data(&s->out)[i], byte_at(i)));
	cr_assert(eq(sz, got.len, s->in.len));
	cr_assert(eq(int, memcmp(buf_data(&got), buf_data(&s->in), got.len), 0));
	buf_fini(&got);
	close_well(s);
	stage_free(s);
}

Test(connection, its_ends_are_remembered_and_its_close_is_the_openers)
{
	struct stage *s = open_one(NUMBER);
	struct buf got;
	char byte;

	buf_init(&got, 4096);
	cr_assert(eq(int, buf_append(&s->in, "in", 2), 0));
	send_rest(s);
	until_received(s, &got, 2);
	cr_assert(eq(u64, s->acked, 0), "so few are not worth a word");
	cut(s);
	cr_assert(eq(sz, far_sends(s, 0, 1000), 1000));
	cr_assert(eq(int, shutdown(s->far, SHUT_WR), 0));
	turn(s);
	connect_both(s);
	resume(s);
	cr_assert(eq(u64, s->stand[STREAM_IN].consumed, 2));
	UNTIL(s, s->ended);
	cr_assert(eq(sz, s->out.len, 1000));
	channel_end(s->ch, STREAM_IN);
	UNTIL(s, recv(s->far, &byte, 1, 0) == 0);
	cr_assert(eq(sz, got.len, 2));
	/* Both directions have ended; what the relay lost is still to be had. */
	for (int i = 0; i < 3; i++) {
		cut(s);
		connect_both(s);
		s->out.len = i == 0 ? 1000 : s->out.len;
		resume(s);
		cr_assert(s->stand[STREAM_IN].end_received);
		cr_assert(not(s->closed));
		cr_assert(eq(int, forwards_count(s->forwards), 1));
	}
	close_well(s);
	cr_assert(not(s->closed));
	buf_fini(&got);
	stage_free(s);
}

/* Its opener closes when both directions have ended and all that it sent was taken, and hears of
 * that however little it was. */
Test(connection, what_came_long_before_its_end_is_acknowledged_along_with_the_far_end)
{
	for (int lost = 0; lost < 3;
		lost++) { /* before the bytes are taken, before the end, never */
		struct stage *s = open_one(NUMBER);
		struct buf got;
		buf_init(&got, 4096);
		cr_assert(eq(int, buf_append(&s->in, "in", 2), 0));
		send_rest(s);
		if (lost > 0)
			until_received(s, &got, 2);
		if (lost < 2) {
			cut(s);
			connect_both(s);
			resume(s);
			send_rest(s);
			until_received(s, &got, 2);
		}
		channel_end(s->ch, STREAM_IN);
		close(s->far);
		s->far = -1;
		UNTIL(s, channel_acked(s->ch, STREAM_IN) == 2);
		close_well(s);
		buf_fini(&got);
		stage_free(s);
	}
}

Test(connection, what_was_not_consumed_is_sent_again_after_both_ends)
{
	struct stage *s = open_one(NUMBER);

	s->hold = true;
	cr_assert(eq(sz, far_sends(s, 0, 5000), 5000));
	close(s->far);
	s->far = -1;
	channel_end(s->ch, STREAM_IN);
	UNTIL(s, s->ended);
	for (int i = 0; i < 2; i++) {
		cut(s);
		connect_both(s);
		buf_reset(&s->out); /* the relay forgot them */
		s->ended = false;
		resume(s);
		UNTIL(s, s->ended);
		cr_assert(eq(sz, s->out.len, 5000));
	}
	close_well(s);
	stage_free(s);
}

static void
reset_far(struct stage *s)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(s->far, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(s->far);
	s->far = -1;
}

Test(connection, a_reset_is_told_at_once_or_by_the_resume)
{
	struct channel_stand ours[STREAMS];
	struct stage *s = open_one(NUMBER);

	reset_far(s);
	UNTIL(s, s->closed);
	cr_assert(eq(int, s->code, HW_ERESET));
	stage_free(s);

	s = open_one(NUMBER);
	cr_assert(eq(int, buf_append(&s->in, "in", 2), 0));
	cut(s);
	reset_far(s);
	connect_both(s);
	stand_now(s, ours);
	ask(s, SESSION, NUMBER, ours);
	if (s->resumed) /* the node reads nothing while it is parked, and learns it now */
		send_rest(s);
	UNTIL(s, s->closed || s->code != 0);
	cr_assert(eq(int, s->code, HW_ERESET), "%s", s->message);
	UNTIL(s, forwards_count(s->forwards) == 0);
	stage_free(s);
}

/* What is still to be written goes on while there is no link, and so does its failure. */
Test(connection, that_fails_while_it_is_parked_says_why_when_it_is_resumed)
{
	struct stage *s = open_one(NUMBER);
	struct channel_stand ours[STREAMS];
	uint64_t before;

	for (uint8_t i = 0; s->in.len < 12 << 20;)
		cr_assert(eq(int, buf_append_byte(&s->in, i++), 0));
	do { /* until the sockets on the way are full */
		before = s->acked;
		send_rest(s);
		for (int i = 0; i < 20; i++)
			turn(s);
	} while (s->acked > before);
	cr_assert(lt(u64, s->acked, s->in.len));
	cut(s);
	reset_far(s);
	for (int i = 0; i < 20; i++)
		turn(s);
	connect_both(s);
	stand_now(s, ours);
	refused(s, SESSION, NUMBER, ours, HW_ERESET);
	cr_assert_not_null(strstr(s->message, "reset by 127.0.0.1:"), "%s", s->message);
	cr_assert(eq(int, forwards_count(s->forwards), 0));
	stage_free(s);
}

static int64_t
now(const struct stage *s)
{
	return clock_mono(loop_clock(s->loop));
}

Test(connection, that_nobody_takes_up_is_aborted)
{
	struct stage *s = open_one(NUMBER);
	struct pollfd p = {.fd = s->far, .events = POLLIN};
	char byte;

	forwards_expire(s->forwards, now(s));
	cr_assert(eq(int, forwards_count(s->forwards), 1));
	int64_t before = now(s) - 1;
	cut(s);
	forwards_expire(s->forwards, before);
	cr_assert(eq(int, forwards_count(s->forwards), 1));
	cr_assert(eq(int, poll(&p, 1, 0), 0));
	forwards_expire(s->forwards, now(s));
	cr_assert(eq(int, forwards_count(s->forwards), 0));
	turn(s);
	cr_assert(eq(int, (int)recv(s->far, &byte, 1, 0), -1));
	cr_assert(eq(int, errno, ECONNRESET));
	connect_both(s);
	struct channel_stand ours[STREAMS];
	stand_now(s, ours);
	refused(s, SESSION, NUMBER, ours, HW_ENOSESSION);
	stage_free(s);
}

Test(connection, ends_with_its_forward_also_without_a_link)
{
	struct stage *s = open_one(NUMBER);

	cut(s);
	forwards_end(s->forwards, "another", "test");
	cr_assert(eq(int, forwards_count(s->forwards), 1));
	forwards_end(s->forwards, SESSION, "test");
	cr_assert(eq(int, forwards_count(s->forwards), 0));
	connect_both(s);
	stage_free(s);
}

Test(connection, without_a_number_ends_with_its_link)
{
	struct stage *s = open_one(0);
	struct channel_stand ours[STREAMS];

	cut(s);
	cr_assert(eq(int, forwards_count(s->forwards), 0));
	connect_both(s);
	stand_now(s, ours);
	refused(s, SESSION, 0, ours, HW_ENOSESSION);
	stage_free(s);
}

Test(connection, a_resume_that_does_not_fit_is_refused_and_harms_nothing)
{
	static const uint64_t wrong[] = {101, 1 << 20, OFFSET_MAX};
	struct stage *s = open_one(NUMBER);
	struct channel_stand good[STREAMS], ours[STREAMS];

	cr_assert(eq(sz, far_sends(s, 0, 100), 100));
	UNTIL(s, s->out.len == 100);
	cut(s);
	connect_both(s);
	stand_now(s, good);
	refused(s, SESSION, NUMBER + 1, good, HW_ENOSESSION);
	refused(s, SESSION, 0, good, HW_ENOSESSION);
	refused(s, SESSION, UINT32_MAX, good, HW_ENOSESSION);
	refused(s, "bob-0123456789abcdef0", NUMBER, good, HW_ENOSESSION);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(ours, good, sizeof(ours));
		ours[STREAM_OUT].received = wrong[i];
		ours[STREAM_OUT].limit = OFFSET_MAX;
		refused(s, SESSION, NUMBER, ours, HW_EVALIDATION);
	}
	resume(s);
	/* Again, while it is not parked. */
	resume(s);
	cr_assert(eq(sz, far_sends(s, 100, 100), 100));
	UNTIL(s, s->out.len == 200);
	close_well(s);
	stand_now(s, ours);
	refused(s, SESSION, NUMBER, ours, HW_ENOSESSION);
	stage_free(s);
}
