/* Forwards through a relay: a session that carries nothing, and connections that are spliced,
 * decided and written down. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/core/broker_private.h"
#include "relay/core/forward.h"
#include "relay/core/relay_private.h"
#include "tests/world/world.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define ALLOW_ALL	   "{\"Effect\":\"Allow\",\"Action\":\"ssm:*\",\"Resource\":\"*\"}"
#define SOCKS		   "Hawser-StartSocksSession"
#define REMOTE		   "AWS-StartPortForwardingSessionToRemoteHost"
#define OPENS		   4095 /* as many as a link carries beside a forward */

struct stage {
	struct world *w;
	struct world_peer *admin, *ann, *node;
};

static struct stage
stage_new(const char *policy)
{
	struct stage s = {.w = world_new(NULL)};

	s.admin = world_admin(s.w);
	s.node = world_node(s.w, s.admin, "web-01");
	world_dial(s.node);
	world_put_policy(s.admin, "rules", policy);
	s.ann = world_new_user(s.admin, "ann", "rules");
	return s;
}

static void
stage_free(struct stage *s)
{
	world_peer_free(s->ann);
	world_peer_free(s->node);
	world_peer_free(s->admin);
	world_free(s->w);
}

/* StartSession's code; the reply is in the arena. */
static int
start(struct stage *s, const char *document, const char *host, const char *port,
	struct msg_start_session_reply **rep, char why[384])
{
	struct msg_pair parameters[] = {
		{"host",	 {&host, 1}},
		{"portNumber", {&port, 1}},
	};
	struct msg_start_session_request req = {
		.target = s->node->who.id,
		.document_name = document,
		.parameters = {.v = host != NULL ? parameters : parameters + 1,
			       .n = (host != NULL) + (size_t)(port != NULL)}
	     };

	if (port == NULL && host == NULL)
		req.parameters.n = 0;
	return world_call(s->ann, OP_start_session, &req, rep, why);
}

static struct world_channel *
forward(struct stage *s, const char *document, const char *host, const char *port)
{
	struct msg_start_session_reply *rep;
	char why[384];

	cr_assert(eq(int, start(s, document, host, port, &rep, why), 0), "%s", why);
	struct world_channel *c =
		world_open(s->ann, CHANNEL_TYPE_FORWARD, rep->session_id, rep->token_value);
	cr_assert(c->accepted, "%s", c->message);
	return c;
}

static struct world_channel *
begin_connection(struct world_peer *by, const char *session, const char *host, int port)
{
	struct hw_err err = HW_ERR_INIT;
	struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION,
		.session_id = session,
		.remote_host = host,
		.remote_port = port,
		.window = 256 * 1024};

	return world_open_raw(by, &open, &err);
}

static struct world_channel *
connect_to(struct stage *s, struct world_channel *f, const char *host, int port)
{
	struct world_channel *c = begin_connection(s->ann, f->session, host, port);

	world_settle(s->w);
	return c;
}

static void
send(struct world_channel *c, int stream, const char *text)
{
	cr_assert(eq(sz, channel_write(c->ch, stream, text, strlen(text)), strlen(text)));
}

static size_t
ends(struct stage *s, int outcome)
{
	return world_entries(s->w, "connection.end", "ssm:StartSession", outcome);
}

/* --- the session and its connections ---------------------------------------------------------- */

Test(forward, bytes_go_through_and_each_direction_ends_by_itself)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "DB.internal.", "5432");
	struct world_channel *c = connect_to(&s, f, NULL, 0), *far = s.node->opened;
	static const struct msg_close well = {.code = NULL};

	cr_assert(c->accepted, "%s", c->message);
	cr_assert(eq(int, far->open.type, CHANNEL_TYPE_CONNECTION));
	cr_assert_str_eq(far->open.remote_host, "db.internal");
	cr_assert(eq(i64, far->open.remote_port, 5432));
	cr_assert(far->open.beyond && far->open.node_local && !far->open.named);
	send(c, STREAM_IN, "select 1");
	channel_end(c->ch, STREAM_IN);
	world_settle(s.w);
	cr_assert(world_got(far, STREAM_IN, "select 1"));
	cr_assert(far->ended[STREAM_IN]);
	send(far, STREAM_OUT, "1 row");
	channel_end(far->ch, STREAM_OUT);
	channel_close(far->ch, &well);
	world_settle(s.w);
	cr_assert(world_got(c, STREAM_OUT, "1 row"));
	cr_assert(c->ended[STREAM_OUT] && c->closed);
	cr_assert(eq(int, c->code, 0));
	cr_assert(eq(sz, ends(&s, OUTCOME_OK), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "\"BytesIn\":8,\"BytesOut\":5"), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "\"RemoteAddress\":\"10.0.0.9:5432\""), 1));
	cr_assert(not(f->closed), "the forward lives on");
	stage_free(&s);
}

Test(forward, first_bytes_reach_the_node_before_it_answers)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432"), *c;

	s.node->silent = true;
	c = begin_connection(s.ann, f->session, NULL, 0);
	send(c, STREAM_IN, "hello");
	world_settle(s.w);
	cr_assert(not(c->accepted));
	cr_assert(world_got(s.node->opened, STREAM_IN, "hello"));
	channel_accept(s.node->opened->ch, &(struct msg_accept){.window = 1000});
	world_settle(s.w);
	cr_assert(c->accepted);
	stage_free(&s);
}

Test(forward, credit_is_the_receivers_and_nobody_raises_it)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *c = connect_to(&s, forward(&s, REMOTE, "db", "1"), NULL, 0);
	struct world_channel *far = s.node->opened;

	cr_assert(eq(u64, channel_limit(far->ch, STREAM_OUT), 256 * 1024));
	channel_credit(c->ch, STREAM_OUT, 0, UINT64_C(1) << 62, ECHO_UNKNOWN);
	world_settle(s.w);
	cr_assert(eq(u64, channel_limit(far->ch, STREAM_OUT), WINDOW_FIRST), "the relay's window");
	stage_free(&s);
}

/* Writes what is allowed, until nothing more is. */
static size_t
write_all(struct stage *s, struct channel *ch, size_t most)
{
	static const uint8_t bytes[64 * 1024];
	size_t done = 0, n;

	do {
		n = channel_write(ch, STREAM_OUT, bytes,
			most - done < sizeof(bytes) ? most - done : sizeof(bytes));
		done += n;
		world_settle(s->w);
	} while (n > 0 && done < most);
	return done;
}

Test(forward, who_grants_all_and_reads_nothing_costs_a_window)
{
	enum { N = 20 };
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "1"), *far[N];

	for (int i = 0; i < N; i++) {
		struct world_channel *c = connect_to(&s, f, NULL, 0);
		c->hold = true;
		far[i] = s.node->opened;
		channel_credit(c->ch, STREAM_OUT, 0, UINT64_C(1) << 62, ECHO_UNKNOWN);
	}
	world_settle(s.w);
	pair_pause(s.ann->pair, PAIR_A, true);
	for (int i = 0; i < N; i++)
		cr_assert(eq(sz, write_all(&s, far[i]->ch, 8 << 20), WINDOW_FIRST));
	cr_assert(eq(sz, (size_t)world_metric(s.w, "queued_bytes"), N * WINDOW_FIRST));
	pair_pause(s.ann->pair, PAIR_A, false);
	world_settle(s.w);
	cr_assert(eq(sz, (size_t)world_metric(s.w, "queued_bytes"), 0));
	/* What the link has taken is not the relay's any more, whoever has consumed it; and nobody
	 * has said a word since. */
	for (int i = 0; i < N; i++)
		cr_assert(gt(sz, write_all(&s, far[i]->ch, 1 << 20), 0));
	stage_free(&s);
}

Test(forward, the_window_of_who_reads_grows)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *c = connect_to(&s, forward(&s, REMOTE, "db", "1"), NULL, 0);
	struct channel *far = s.node->opened->ch;
	uint64_t ahead;

	cr_assert(eq(sz, write_all(&s, far, 12 << 20), 12 << 20));
	cr_assert(eq(sz, c->got[STREAM_OUT].len, 12 << 20));
	ahead = channel_limit(far, STREAM_OUT) - channel_sent(far, STREAM_OUT);
	cr_assert(gt(u64, ahead, 1 << 20));
	cr_assert(le(u64, ahead, WINDOW_MAX));
	stage_free(&s);
}

Test(forward, the_far_ends_sentence_is_the_near_ends)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432"), *c;

	s.node->refuses = true;
	c = connect_to(&s, f, NULL, 0);
	cr_assert(c->rejected);
	cr_assert(eq(int, c->code, HW_ERUNAS));
	cr_assert_str_eq(c->message, "no user \"ghost\" on this node");
	s.node->refuses = false;
	c = connect_to(&s, f, NULL, 0);
	channel_abort(s.node->opened->ch, HW_ERESET, "the connection was reset by 10.0.0.9:5432");
	world_settle(s.w);
	cr_assert(eq(int, c->code, HW_ERESET));
	cr_assert_str_eq(c->message, "the connection was reset by 10.0.0.9:5432");
	cr_assert(eq(sz, ends(&s, OUTCOME_FAILED), 2));
	stage_free(&s);
}

Test(forward, its_end_ends_its_connections)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432");
	struct world_channel *a = connect_to(&s, f, NULL, 0), *far = s.node->opened;
	struct world_channel *b = connect_to(&s, f, NULL, 0);

	channel_abort(f->ch, HW_ETERMINATED, "its user ended it");
	f->ch = NULL;
	world_settle(s.w);
	cr_assert(a->closed && b->closed && far->closed);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, 0), 2));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 1));
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0.0));
	stage_free(&s);
}

/* A connection without a number cannot be resumed. */
Test(forward, a_lost_node_ends_its_connections_and_later_itself)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432");
	struct world_channel *c = connect_to(&s, f, NULL, 0);

	world_drop(s.node);
	world_settle(s.w);
	cr_assert(c->closed && f->closed);
	cr_assert_str_eq(c->message, "the node's link was lost");
	cr_assert(eq(int, f->code, HW_EINTERRUPTED));
	cr_assert(eq(sz, ends(&s, OUTCOME_FAILED), 1));
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	world_advance(s.w, 58 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	stage_free(&s);
}

Test(forward, so_does_a_lost_user)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432"), *far;

	connect_to(&s, f, NULL, 0);
	far = s.node->opened;
	world_drop(s.ann);
	world_settle(s.w);
	cr_assert(far->closed);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, 0), 1));
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	world_advance(s.w, 62 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	stage_free(&s);
}

Test(forward, it_has_neither_bytes_of_its_own_nor_a_recording)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432");

	cr_assert(eq(sz, channel_room(f->ch, STREAM_IN), 0));
	cr_assert(eq(u64, channel_limit(s.node->opened->ch, STREAM_OUT), 0));
	channel_end(f->ch, STREAM_IN);
	channel_control(f->ch, &(struct msg_control){.type = CONTROL_RESIZE, .cols = 1, .rows = 1});
	world_settle(s.w);
	cr_assert(not(f->closed));
	channel_abort(f->ch, HW_ETERMINATED, "");
	f->ch = NULL;
	world_settle(s.w);
	struct msg_get_recording_request req = {.session_id = f->session};
	cr_assert(eq(int, world_call(s.admin, OP_get_recording, &req, NULL, NULL), HW_ENOTFOUND));
	stage_free(&s);
}

/* --- who may open a connection ---------------------------------------------------------------- */

Test(forward, only_its_own_link_opens_connections)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432"), *shell, *c;

	c = begin_connection(s.admin, f->session, NULL, 0);
	world_settle(s.w);
	cr_assert(c->rejected);
	cr_assert(eq(int, c->code, HW_ENOSESSION));
	shell = world_shell(s.ann, s.node);
	c = connect_to(&s, shell, NULL, 0);
	cr_assert(eq(int, c->code, HW_ENOSESSION), "a shell has no connections");
	c = begin_connection(s.ann, "ann-0123456789abcdef0", NULL, 0);
	world_settle(s.w);
	cr_assert(eq(int, c->code, HW_ENOSESSION));
	c = connect_to(&s, f, "elsewhere", 80);
	cr_assert(eq(int, c->code, HW_EVALIDATION), "the session says where to");
	stage_free(&s);
}

Test(forward, parameters_are_checked)
{
	static const struct {
		const char *document, *host, *port;
	} bad[] = {
		{REMOTE,			   NULL,	       "80"   },
		{REMOTE,			   "a b",		"80"   },
		{REMOTE,			   "db",	       "0"	  },
		{REMOTE,			   "db",	       "65536"},
		{REMOTE,			   "db",	       "x"	  },
		{REMOTE,			   "db",	       ""	 },
		{REMOTE,			   "256.1.1.1",     "80"	  },
		{REMOTE,			   "unix:relative", NULL   },
		{REMOTE,			   "unix:/run/x",	"80"   },
		{SOCKS,			    NULL,	      "80"	  },
		{"AWS-StartPortForwardingSession", "db",		 "80"   },
		{"AWS-StartSSHSession",		"db",	      NULL	  },
	};
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct msg_start_session_reply *rep;
	char why[384];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, start(&s, bad[i].document, bad[i].host, bad[i].port, &rep, why),
				  HW_EPARAMETERS),
			"%zu: %s", i, why);
	stage_free(&s);
}

Test(forward, defaults_of_ports_are_ssms)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));

	connect_to(&s, forward(&s, "AWS-StartSSHSession", NULL, NULL), NULL, 0);
	cr_assert_str_eq(s.node->opened->open.remote_host, "localhost");
	cr_assert(eq(i64, s.node->opened->open.remote_port, 22));
	cr_assert(s.node->opened->open.node_local && !s.node->opened->open.beyond);
	connect_to(&s, forward(&s, "AWS-StartPortForwardingSession", NULL, NULL), NULL, 0);
	cr_assert(eq(i64, s.node->opened->open.remote_port, 80));
	connect_to(&s, forward(&s, REMOTE, "unix:/run/x.sock", NULL), NULL, 0);
	cr_assert_str_eq(s.node->opened->open.remote_host, "unix:/run/x.sock");
	cr_assert(eq(i64, s.node->opened->open.remote_port, 0));
	stage_free(&s);
}

/* --- policies --------------------------------------------------------------------------------- */

Test(forward, hosts_and_ports_are_named_in_their_one_spelling)
{
	static const struct {
		const char *host, *port;
		int code;
	} rows[] = {
		{"10.0.0.9",	     "5432", 0	      },
		{"10.0.9",		   "5432", 0	    },
		{"0xa000009",	      "5432", 0	       },
		{"[::ffff:10.0.0.9]",   "5432", 0	       },
		{"64:ff9b::a00:9",	   "5432", 0	    },
		{"10.0.0.9",	     "5433", HW_EDENIED},
		{"10.0.0.8",	     "5432", HW_EDENIED},
		{"DB.Internal.",	 "5432", 0	  },
		{"db.internal.example", "5432", HW_EDENIED},
	};
	struct stage s = stage_new(POLICY(
		"{\"Effect\":\"Allow\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\","
		"\"Condition\":{\"StringEquals\":{\"hawser:RemoteHost\":[\"10.0.0.9\",\"db.internal\"]},"
		"\"NumericEquals\":{\"hawser:RemotePort\":5432}}}"));
	struct msg_start_session_reply *rep;
	char why[384];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert(eq(int, start(&s, REMOTE, rows[i].host, rows[i].port, &rep, why),
				  rows[i].code),
			"%s:%s: %s", rows[i].host, rows[i].port, why);
	stage_free(&s);
}

Test(forward, the_node_itself_needs_its_own_permission)
{
	static const char *const own[] = {
		"localhost", "127.0.0.1", "127.1", "[::1]", "::ffff:127.0.0.1", "unix:/run/x.sock"};
	struct stage s = stage_new(POLICY(ALLOW_ALL
		",{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\","
		"\"Resource\":\"arn:aws:ssm:*:*:document/AWS-StartPortForwardingSession\"}"));
	struct msg_start_session_reply *rep;
	char why[384];

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		const char *port = own[i][0] == 'u' ? NULL : "22";
		cr_assert(eq(int, start(&s, REMOTE, own[i], port, &rep, why), HW_EDENIED), "%s",
			own[i]);
	}
	connect_to(&s, forward(&s, REMOTE, "db", "22"), NULL, 0);
	cr_assert(s.node->opened->open.beyond && !s.node->opened->open.node_local,
		"should db be the node, the node refuses it");
	stage_free(&s);
}

Test(forward, a_guarded_address_must_be_named_as_it_is)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL
		",{\"Effect\":\"Allow\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\",\"Condition\":"
		"{\"StringLike\":{\"hawser:RemoteHost\":[\"169.254.169.254\",\"169.254.*\"]}}}"));
	struct msg_start_session_reply *rep;

	cr_assert(eq(int, start(&s, REMOTE, "169.254.169.253", "80", &rep, NULL), HW_EDENIED));
	cr_assert(eq(int, start(&s, REMOTE, "224.0.0.1", "80", &rep, NULL), HW_EDENIED));
	connect_to(&s, forward(&s, REMOTE, "0xa9.0376.43518", "80"), NULL, 0);
	cr_assert_str_eq(s.node->opened->open.remote_host, "169.254.169.254");
	cr_assert(s.node->opened->open.named);
	stage_free(&s);
}

Test(forward, each_connection_of_socks_is_decided)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL
		",{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\",\"Condition\":"
		"{\"StringLike\":{\"hawser:RemoteHost\":\"*.secret\"}}}"));
	struct world_channel *f = forward(&s, SOCKS, NULL, NULL), *c;

	cr_assert(connect_to(&s, f, "db.internal", 5432)->accepted);
	c = connect_to(&s, f, "vault.SECRET.", 80);
	cr_assert(eq(int, c->code, HW_EDENIED));
	cr_assert_str_eq(c->message, "ann may not reach vault.secret:80 by way of web-01");
	cr_assert(eq(sz, ends(&s, OUTCOME_DENIED), 1));
	cr_assert(eq(int, connect_to(&s, f, NULL, 80)->code, HW_EVALIDATION));
	cr_assert(eq(int, connect_to(&s, f, "db", 0)->code, HW_EVALIDATION));
	cr_assert(eq(int, connect_to(&s, f, "a/b", 80)->code, HW_EVALIDATION));
	stage_free(&s);
}

Test(forward, what_is_denied_later_ends)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, SOCKS, NULL, NULL);
	struct world_channel *db = connect_to(&s, f, "db.internal", 5432);
	struct world_channel *web = connect_to(&s, f, "web.internal", 80);

	s.node->local = true;
	struct world_channel *own = connect_to(&s, f, "web-01.internal", 22);
	world_put_policy(s.admin, "rules",
		POLICY(ALLOW_ALL
			",{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\",\"Condition\":"
			"{\"StringEquals\":{\"hawser:RemoteHost\":\"web.internal\"}}},"
			"{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\","
			"\"Resource\":\"arn:aws:ssm:*:*:document/AWS-StartPortForwardingSession\"}"));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(not(f->closed));
	cr_assert(not(db->closed));
	cr_assert(web->closed);
	cr_assert(eq(int, web->code, HW_EREVOKED));
	cr_assert(own->closed, "it was the node itself");
	world_put_policy(s.admin, "rules",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}"));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(f->closed && db->closed);
	stage_free(&s);
}

/* --- the ledger ------------------------------------------------------------------------------- */

Test(forward, more_than_a_hundred_ends_a_second_share_entries)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432");

	s.node->refuses = true;
	for (int i = 0; i < 130; i++)
		connect_to(&s, f, NULL, 0);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, 0), 100));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, 0), 101));
	cr_assert(eq(sz, world_entries_with(s.w, "\"Connections\":30"), 1));
	connect_to(&s, f, NULL, 0);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, 0), 102));
	stage_free(&s);
}

/* --- floods ----------------------------------------------------------------------------------- */

static struct world_channel *
crowd(struct stage *s, struct world_channel *f, int n)
{
	struct world_channel *last = NULL;

	for (int i = 0; i < n; i++)
		last = begin_connection(s->ann, f->session, NULL, 0);
	world_settle(s->w);
	cr_assert(last->accepted, "%s", last->message);
	return last;
}

Test(forward, one_carries_a_thousand_connections_and_no_more)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432"), *last, *more;

	last = crowd(&s, f, FORWARD_CONNECTIONS_MAX);
	more = connect_to(&s, f, NULL, 0);
	cr_assert(eq(int, more->code, HW_ELIMIT));
	cr_assert_str_eq(more->message,
		"the forward has 1000 connections, and no more are allowed");
	channel_abort(last->ch, HW_ECLOSED, "");
	last->ch = NULL;
	world_settle(s.w);
	cr_assert(connect_to(&s, f, NULL, 0)->accepted, "one that ends makes room");
	stage_free(&s);
}

/* Who reads nothing loses, and not who comes next. */
Test(forward, what_one_does_not_read_costs_others_no_connection)
{
	static const uint8_t bytes[60 * 1024];
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct broker *b = s.w->relay->broker;
	struct world_peer *bob = world_new_user(s.admin, "bob", "rules");
	struct world_channel *a = world_connection(world_forward(s.ann, s.node), 1);
	struct world_channel *far_a = s.node->opened;
	struct world_channel *c = world_connection(world_forward(bob, s.node), 1);
	struct world_channel *far = s.node->opened;

	b->limits.all = 64 * 1024;
	b->limits.each = 1024;
	pair_pause(s.ann->pair, PAIR_A, true);
	for (int i = 0; i < 2; i++) {
		cr_assert(eq(sz, channel_write(far_a->ch, STREAM_OUT, bytes, sizeof(bytes)),
			sizeof(bytes)));
		world_settle(s.w);
	}
	cr_assert(gt(sz, b->forward_held, 55 * 1024));
	cr_assert(eq(sz, channel_write(far->ch, STREAM_OUT, bytes, 12000), 12000));
	world_settle(s.w);
	cr_assert(not(c->closed), "%s", c->message);
	cr_assert(eq(sz, c->got[STREAM_OUT].len, 12000));
	cr_assert(eq(sz, b->forward_held, 0));
	pair_pause(s.ann->pair, PAIR_A, false);
	world_settle(s.w);
	cr_assert(eq(int, a->code, HW_ELIMIT), "%s", a->message);
	cr_assert(eq(sz, ends(&s, OUTCOME_FAILED), 1));
	world_peer_free(bob);
	stage_free(&s);
}

Test(forward, crowds_on_a_nodes_link_leave_room_for_shells)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f[4], *more;
	int left = FORWARD_CHANNELS_MAX - 4;

	for (size_t i = 0; i < 4; i++)
		f[i] = forward(&s, REMOTE, "db", "5432");
	for (size_t i = 0; left > 0; i++) {
		int n = left < FORWARD_CONNECTIONS_MAX ? left : FORWARD_CONNECTIONS_MAX;
		crowd(&s, f[i], n);
		left -= n;
	}
	more = connect_to(&s, f[3], NULL, 0);
	cr_assert(eq(int, more->code, HW_ELIMIT));
	cr_assert_str_eq(more->message,
		"the node's link carries 3072 channels: no more connections are allowed");
	cr_assert(world_shell(s.admin, s.node)->accepted);
	stage_free(&s);
}

/* Bytes that the node gets rid of in so many milliseconds, as fast as it may: 16 KiB in each. */
static size_t
flood(struct stage *s, struct world_channel *from, int milliseconds)
{
	static const uint8_t bytes[16 * 1024];
	size_t sent = 0;

	for (int i = 0; i < milliseconds; i++) {
		sent += channel_write(from->ch, STREAM_OUT, bytes, sizeof(bytes));
		world_advance(s->w, 1000);
	}
	return sent;
}

/* While it is found that what a key waits for has become long. */
Test(forward, bulk_gives_way_to_who_types_there)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *shell = world_shell(s.ann, s.node);
	struct world_channel *f = forward(&s, SOCKS, NULL, NULL);
	struct world_channel *c = connect_to(&s, f, "10.0.0.9", 5432), *node = s.node->opened;

	size_t before = flood(&s, node, 500);
	pair_pause(s.node->pair, PAIR_B, true);
	world_advance(s.w, 500 * 1000);
	pair_pause(s.node->pair, PAIR_B, false);
	cr_expect_geq(flood(&s, node, 500), before / 2, "nobody types");
	send(shell, STREAM_IN, "a");
	for (int i = 0; i < 8; i++) {
		flood(&s, node, 30);
		pair_pause(s.node->pair, PAIR_B, true);
		world_advance(s.w, 80 * 1000);
		pair_pause(s.node->pair, PAIR_B, false);
	}
	flood(&s, node, 500); /* what it was allowed before */
	size_t while_typing = flood(&s, node, 100);
	cr_expect_gt(while_typing, 0);
	cr_expect_lt(while_typing, before / 5 * 9 / 10, "%zu of %zu", while_typing, before / 5);
	world_advance(s.w, 61 * USEC_PER_SEC);
	flood(&s, node, 100);
	cr_expect_geq(flood(&s, node, 500), before / 2, "somebody typed a minute ago");
	cr_expect(not(c->closed));
	stage_free(&s);
}

/* A node that is gone, or a forward that ends, leaves nobody in the queue. */
Test(forward, who_waits_for_its_part_can_go)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *shell = world_shell(s.ann, s.node);
	struct world_channel *f = forward(&s, SOCKS, NULL, NULL);

	for (int i = 0; i < 3; i++)
		connect_to(&s, f, "10.0.0.9", 5432);
	struct world_channel *node = s.node->opened;
	send(shell, STREAM_IN, "a");
	flood(&s, node, 300);
	pair_pause(s.node->pair, PAIR_B, true);
	world_advance(s.w, 900 * 1000);
	pair_pause(s.node->pair, PAIR_B, false);
	flood(&s, node, 20);
	channel_abort(node->ch, HW_ERESET, "reset");
	world_settle(s.w);
	world_drop(s.node);
	world_advance(s.w, USEC_PER_SEC);
	cr_expect(eq(sz, s.w->relay != NULL, 1));
	stage_free(&s);
}

Test(forward, a_flood_of_opens_is_refused_one_by_one_and_its_link_lives)
{
	struct stage s = stage_new(POLICY(ALLOW_ALL));
	struct world_channel *f = forward(&s, REMOTE, "db", "5432");
	size_t refused = 0;

	for (int i = 0; i < OPENS; i++)
		begin_connection(s.ann, f->session, NULL, 0);
	world_settle(s.w);
	for (size_t i = 0; i < s.ann->n_channels; i++)
		refused += s.ann->channels[i]->code == HW_ELIMIT;
	cr_assert(eq(sz, refused, OPENS - FORWARD_CONNECTIONS_MAX));
	cr_assert(s.ann->up);
	cr_assert(not(f->closed));
	stage_free(&s);
}
