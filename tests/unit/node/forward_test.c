/* What the node connects to for a forward: names that lie, and what each may reach. */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/forward.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
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
	channel_abort(ch, HW_ECLOSED, "");
	loop_stop(s->loop);
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct stage *s = arg;

	(void)ch;
	s->answered = true;
	s->code = code;
	snprintf(s->message, sizeof(s->message), "%s", message);
	loop_stop(s->loop);
}

static const struct link_events link_events = {.on_up = on_up, .on_open = on_open};
static const struct channel_events channel_events = {.on_accept = on_accept,
	.on_reject = on_reject};

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
	cr_assert(eq(int, bind(s->listener, (const struct sockaddr *)&in, n), 0));
	cr_assert(eq(int, listen(s->listener, 8), 0));
	cr_assert(eq(int, getsockname(s->listener, (struct sockaddr *)&in, &n), 0));
	s->port = ntohs(in.sin_port);
}

static struct stage *
stage_new(void)
{
	struct stage *s = calloc(1, sizeof(*s));

	cr_assert(eq(int, loop_new(&s->loop, NULL), 0));
	log_ctx_init(&s->log, NULL);
	s->forwards = forwards_new(s->loop, &s->log, "/tmp");
	s->pair = pair_new(s->loop);
	s->relay = make_link(s, PAIR_A);
	s->node = make_link(s, PAIR_B);
	listen_somewhere(s);
	while (!s->up)
		cr_assert(eq(int, loop_run(s->loop, NULL), 0));
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
