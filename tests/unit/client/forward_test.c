/* Forwards over a link that comes and goes: real sockets on the near side, and on the far side a
 * relay and a node that keep what they have. */
#include "client/forward.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/client/rig.h"

#define GRACE	 60
#define CONNS	 8
#define FAR_ROOM (256 << 10)

/* One connection at the node. */
struct far_conn {
	struct far *far;
	struct channel *ch;
	int64_t number;
	char to[300];
	struct buf got;
	bool ended, closed, hold;
	int code;
};

struct far {
	struct rig *rig;
	struct forwarder *forwarder;
	struct forward_spec spec;
	struct channel *forward;
	int forward_code; /* of its end; 1: it is live */
	struct far_conn conns[CONNS];
	size_t n;
	bool mute;
	int reject;
	char resumed[128]; /* "F C1 C2 " */

	char words[256], why[400];
	int code;
	bool over;
};

static void
word(struct far *f, const char *text)
{
	size_t n = strlen(f->words);

	snprintf(f->words + n, sizeof(f->words) - n, "%s ", text);
}

/* --- the far side ----------------------------------------------------------------------------- */

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct far_conn *c = arg;

	cr_assert(eq(u64, offset, c->got.len));
	buf_append(&c->got, p, n);
	if (!c->hold)
		channel_consume(ch, stream, n, ECHO_UNKNOWN);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	(void)ch, (void)stream, (void)offset;
	((struct far_conn *)arg)->ended = true;
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	(void)arg, (void)ch, (void)stream, (void)consumed, (void)limit, (void)echo;
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	(void)arg, (void)ch, (void)stream;
}

static void
on_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	(void)arg, (void)ch, (void)control;
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct far_conn *c = arg;

	(void)ch, (void)close;
	c->ch = NULL;
	c->closed = true;
	c->code = code;
}

static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	(void)arg, (void)ch, (void)code, (void)why;
}

static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	(void)arg, (void)ch, (void)answer;
}

static const struct channel_events conn_events = {.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_close,
	.on_park = on_park,
	.on_resume = on_resume};

static void
on_forward_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct far *f = arg;

	(void)ch, (void)close;
	f->forward = NULL;
	f->forward_code = code;
}

static const struct channel_events forward_events = {.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_forward_close,
	.on_park = on_park,
	.on_resume = on_resume};

static void
opens(struct rig *r, struct channel *ch, const struct msg_open *open)
{
	struct far *f = r->far;
	struct msg_accept accept = {.window = FAR_ROOM,
		.token = r->resume_seconds > 0 ? "again" : NULL,
		.resume_seconds = r->resume_seconds};

	if (open->type == CHANNEL_TYPE_FORWARD) {
		f->forward = ch;
		f->forward_code = 1;
		channel_attach(ch, &forward_events, f);
		channel_keep(ch);
		channel_accept(ch, &accept);
		return;
	}
	cr_assert(lt(sz, f->n, CONNS));
	struct far_conn *c = &f->conns[f->n++];
	*c = (struct far_conn){.far = f, .ch = ch, .number = open->connection};
	cr_assert(eq(i64, c->number, (int64_t)f->n), "numbers count from 1");
	snprintf(c->to, sizeof(c->to), "%s:%d", open->remote_host != NULL ? open->remote_host : "",
		(int)open->remote_port);
	buf_init(&c->got, 32 << 20);
	channel_attach(ch, &conn_events, c);
	channel_keep(ch);
	if (!f->mute)
		channel_accept(ch, &accept);
}

static void
resumes(struct rig *r, struct channel *ch, const struct msg_resume *resume)
{
	struct far *f = r->far;
	struct far_conn *c = resume->connection > 0 ? &f->conns[resume->connection - 1] : NULL;
	struct msg_resume who = {.type = resume->type, .session_id = resume->session_id};
	struct hw_err err = HW_ERR_INIT;
	char text[24] = "F ";

	if (c != NULL)
		snprintf(text, sizeof(text), "C%d ", (int)resume->connection);
	strncat(f->resumed, text, sizeof(f->resumed) - strlen(f->resumed) - 1);
	if (f->reject != 0)
		channel_reject(ch, f->reject, "the session is over");
	else
		cr_assert(eq(int, channel_rejoin(c != NULL ? c->ch : f->forward, ch, &who, &err),
				  0),
			"%s", err.text);
}

/* --- the near side ---------------------------------------------------------------------------- */

static void
on_failed(void *arg, const struct forward_spec *spec, const char *peer, int code, const char *why)
{
	struct far *f = arg;

	(void)spec, (void)peer;
	f->code = code;
	snprintf(f->why, sizeof(f->why), "%s", why);
	word(f, "failed");
}

static void
on_forward_end(void *arg, const struct forward_spec *spec, int code, const char *why)
{
	struct far *f = arg;

	(void)spec;
	f->code = code;
	f->over = true;
	snprintf(f->why, sizeof(f->why), "%s", why);
	word(f, "end");
}

static void
on_stdio_over(void *arg)
{
	(void)arg;
}

static void
on_waiting(void *arg, int code, const char *why)
{
	cr_assert(gt(sz, strlen(why), 0));
	word(arg, code == HW_EINTERRUPTED ? "node?" : "relay?");
}

static void
on_back(void *arg)
{
	word(arg, "back");
}

static void
on_notice(void *arg, const struct forward_spec *spec, const char *text)
{
	cr_assert(eq(int, spec->port, 5432));
	word(arg, text);
}

static const struct forwarder_events forwarder_events = {
	on_failed, on_forward_end, on_stdio_over, on_waiting, on_back, on_notice};

static void
far_new(struct far *f, bool socks, int64_t grace)
{
	struct hw_err err = HW_ERR_INIT;

	*f = (struct far){.rig = rig_new_real()};
	f->rig->far = f;
	f->rig->opens = opens;
	f->rig->resumes_one = resumes;
	f->rig->resume_seconds = grace;
	cr_assert(eq(int,
		socks ? forward_spec_socks(&f->spec, "127.0.0.1:0", &err)
		      : forward_spec_local(&f->spec, "127.0.0.1:0:db.internal:5432", &err),
		0));
	cr_assert(eq(int, forwarder_new(&f->forwarder, f->rig->conn, &forwarder_events, f, &err),
		0));
	cr_assert(eq(int, forwarder_listen(f->forwarder, &f->spec, &err), 0), "%s", err.text);
	cr_assert(eq(int, forwarder_start(f->forwarder, "mi-1", NULL, f->rig->arena, &err), 0),
		"%s", err.text);
}

static void
far_free(struct far *f)
{
	forwarder_free(f->forwarder);
	for (size_t i = 0; i < f->n; i++) {
		if (f->conns[i].ch != NULL)
			channel_abort(f->conns[i].ch, HW_ECLOSED, "the test is over");
		buf_fini(&f->conns[i].got);
	}
	if (f->forward != NULL)
		channel_abort(f->forward, HW_ECLOSED, "the test is over");
	rig_free(f->rig);
}

static int
dial(struct far *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)f->spec.bind_port),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, connect(fd, (struct sockaddr *)&to, sizeof(to)), 0));
	return fd;
}

static void
put(int fd, const char *text)
{
	cr_assert(eq(sz, (size_t)send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)));
}

/* --- waiting for something -------------------------------------------------------------------- */

static bool
has_one(void *arg)
{
	return ((struct far *)arg)->n == 1;
}

static bool
has_two(void *arg)
{
	return ((struct far *)arg)->n == 2;
}

static bool
first_got_four(void *arg)
{
	return ((struct far *)arg)->conns[0].got.len >= 4;
}

static bool
first_closed(void *arg)
{
	return ((struct far *)arg)->conns[0].closed;
}

static bool
first_ended(void *arg)
{
	return ((struct far *)arg)->conns[0].ended;
}

static bool
is_lost(void *arg)
{
	return strstr(((struct far *)arg)->words, "relay?") != NULL;
}

static bool
is_back(void *arg)
{
	return strstr(((struct far *)arg)->words, "back") != NULL;
}

static bool
is_over(void *arg)
{
	return ((struct far *)arg)->over;
}

struct reader {
	int fd;
	char got[64];
	size_t n, want;
	bool ended;
	int error;
};

static bool
has_read(void *arg)
{
	struct reader *r = arg;
	ssize_t n = recv(r->fd, r->got + r->n, sizeof(r->got) - 1 - r->n, MSG_DONTWAIT);

	if (n > 0)
		r->n += (size_t)n;
	r->ended = r->ended || n == 0;
	if (n < 0 && errno != EAGAIN)
		r->error = errno;
	return r->ended || r->error != 0 || (r->want > 0 && r->n >= r->want);
}

static void
reads(struct far *f, int fd, const char *text)
{
	struct reader r = {.fd = fd, .want = strlen(text)};

	rig_until(f->rig, has_read, &r);
	cr_assert_str_eq(r.got, text);
}

static void
is_reset(struct far *f, int fd)
{
	struct reader r = {.fd = fd};

	rig_until(f->rig, has_read, &r);
	cr_assert(eq(int, r.error, ECONNRESET));
	close(fd);
}

static void
is_ended(struct far *f, int fd)
{
	struct reader r = {.fd = fd};

	rig_until(f->rig, has_read, &r);
	cr_assert(r.ended);
	close(fd);
}

static void
lose_link(struct far *f)
{
	f->words[0] = '\0';
	f->rig->refuses = HW_EUNAVAILABLE;
	pair_drop(f->rig->pair, "the cable");
	rig_until(f->rig, is_lost, f);
}

static void
bring_back(struct far *f)
{
	f->rig->refuses = 0;
	rig_until(f->rig, is_back, f);
}

/* A connection over which both sides have heard of each other. */
static int
begin(struct far *f)
{
	int fd = dial(f);

	put(fd, "ping");
	rig_until(f->rig, first_got_four, f);
	channel_write(f->conns[0].ch, STREAM_OUT, "pong", 4);
	reads(f, fd, "pong");
	return fd;
}

/* --- bytes ------------------------------------------------------------------------------------ */

enum { MUCH = 3 << 20 };

static uint8_t
byte_at(uint64_t i)
{
	return (uint8_t)(i * 131 + (i >> 9));
}

/* Both directions of one connection, each as much as MUCH. */
struct traffic {
	struct far *far;
	int fd;
	uint64_t put, got, far_put; /* by the local program, and by the far one */
	int cuts;
	uint8_t piece[8192];
};

static size_t
fill(struct traffic *t, uint64_t from)
{
	size_t n = MUCH - from < sizeof(t->piece) ? (size_t)(MUCH - from) : sizeof(t->piece);

	for (size_t i = 0; i < n; i++)
		t->piece[i] = byte_at(from + i);
	return n;
}

static bool
moves(void *arg)
{
	struct traffic *t = arg;
	struct far_conn *c = &t->far->conns[0];

	ssize_t n = send(t->fd, t->piece, fill(t, t->put), MSG_DONTWAIT | MSG_NOSIGNAL);
	t->put += n > 0 ? (uint64_t)n : 0;
	if (c->ch != NULL)
		t->far_put += channel_write(c->ch, STREAM_OUT, t->piece, fill(t, t->far_put));
	n = recv(t->fd, t->piece, sizeof(t->piece), MSG_DONTWAIT);
	cr_assert(n > 0 || (n < 0 && errno == EAGAIN), "the connection is open all the time");
	for (ssize_t i = 0; i < n; i++)
		cr_assert(eq(int, t->piece[i], byte_at(t->got + (uint64_t)i)));
	t->got += n > 0 ? (uint64_t)n : 0;
	if (t->cuts < 5 && c->got.len > (size_t)(t->cuts + 1) * (MUCH / 8)) {
		t->cuts++;
		pair_drop(t->far->rig->pair, "the cable");
	}
	return t->got == MUCH && c->got.len == MUCH;
}

Test(forward_link, each_byte_comes_once_however_often_the_link_is_lost)
{
	struct far f;

	far_new(&f, false, GRACE);
	struct traffic t = {.far = &f, .fd = dial(&f)};
	rig_until(f.rig, has_one, &f);
	rig_until(f.rig, moves, &t);
	cr_assert(eq(int, t.cuts, 5));
	for (size_t i = 0; i < MUCH; i++)
		cr_assert(buf_data(&f.conns[0].got)[i] == byte_at(i), "at %zu", i);
	close(t.fd);
	far_free(&f);
}

Test(forward_link, the_forward_is_resumed_before_its_connections)
{
	struct far f;
	int a, b;

	far_new(&f, false, GRACE);
	a = begin(&f);
	b = dial(&f);
	rig_until(f.rig, has_two, &f);
	lose_link(&f);
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 2));
	bring_back(&f);
	cr_assert_str_eq(f.words, "relay? node? back ");
	cr_assert(eq(int, strncmp(f.resumed, "F C", 3), 0), "%s", f.resumed);
	cr_assert(eq(sz, strlen(f.resumed), strlen("F C1 C2 ")));
	put(a, "more");
	struct reader r = {.fd = b, .want = 3};
	channel_write(f.conns[1].ch, STREAM_OUT, "two", 3);
	rig_until(f.rig, has_read, &r);
	cr_assert_str_eq(r.got, "two");
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 2));
	close(a);
	close(b);
	far_free(&f);
}

static bool
is_told(void *arg)
{
	return strstr(((const struct far *)arg)->words, "idle") != NULL;
}

Test(forward_link, what_the_relay_says_of_a_forward_is_said)
{
	struct far f;

	far_new(&f, false, GRACE);
	channel_control(f.forward,
		&(struct msg_control){.type = CONTROL_NOTICE, .text = "idle: it is closed soon"});
	rig_until(f.rig, is_told, &f);
	cr_assert_str_eq(f.words, "idle: it is closed soon ");
	far_free(&f);
}

Test(forward_link, an_interrupted_forward_is_resumed_on_the_same_link)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	f.words[0] = '\0';
	channel_interrupt(f.conns[0].ch, "the node's link was lost");
	channel_interrupt(f.forward, "the node's link was lost");
	put(fd, "meanwhile");
	rig_until(f.rig, is_back, &f);
	cr_assert_str_eq(f.words, "node? back ");
	cr_assert(eq(int, f.rig->dials, 1));
	channel_write(f.conns[0].ch, STREAM_OUT, "again", 5);
	reads(&f, fd, "again");
	close(fd);
	rig_until(f.rig, first_ended, &f);
	cr_assert_str_eq(buf_str(&f.conns[0].got), "pingmeanwhile");
	far_free(&f);
}

/* --- what begins meanwhile -------------------------------------------------------------------- */

Test(forward_link, who_connects_while_it_is_lost_waits)
{
	struct far f;
	int a, b;

	far_new(&f, false, GRACE);
	a = begin(&f);
	lose_link(&f);
	b = dial(&f);
	put(b, "patience");
	rig_run(f.rig, 50 * USEC_PER_MSEC);
	cr_assert(eq(sz, f.n, 1));
	bring_back(&f);
	rig_until(f.rig, has_two, &f);
	close(a);
	close(b);
	far_free(&f);
}

Test(forward_link, a_request_of_socks_waits_too)
{
	static const uint8_t hello[] = {5, 1, 0};
	static const uint8_t ask[] = {5, 1, 0, 3, 2, 'd', 'b', 0x15, 0x38};
	struct far f;
	int fd;

	far_new(&f, true, GRACE);
	fd = dial(&f);
	cr_assert(eq(sz, (size_t)send(fd, hello, sizeof(hello), 0), sizeof(hello)));
	struct reader r = {.fd = fd, .want = 2};
	rig_until(f.rig, has_read, &r);
	lose_link(&f);
	cr_assert(eq(sz, (size_t)send(fd, ask, sizeof(ask), 0), sizeof(ask)));
	rig_run(f.rig, 50 * USEC_PER_MSEC);
	cr_assert(eq(sz, f.n, 0));
	bring_back(&f);
	rig_until(f.rig, has_one, &f);
	cr_assert_str_eq(f.conns[0].to, "db:5432");
	r = (struct reader){.fd = fd, .want = 10};
	rig_until(f.rig, has_read, &r);
	cr_assert(eq(int, r.got[1], 0));
	close(fd);
	far_free(&f);
}

Test(forward_link, a_request_of_socks_that_was_not_answered_is_asked_again)
{
	static const uint8_t hello[] = {5, 1, 0, 5, 1, 0, 3, 2, 'd', 'b', 0x15, 0x38};
	struct far f;
	int fd;

	far_new(&f, true, GRACE);
	f.mute = true;
	fd = dial(&f);
	cr_assert(eq(sz, (size_t)send(fd, hello, sizeof(hello), 0), sizeof(hello)));
	rig_until(f.rig, has_one, &f);
	lose_link(&f);
	f.mute = false;
	bring_back(&f);
	rig_until(f.rig, has_two, &f);
	struct reader r = {.fd = fd, .want = 12};
	rig_until(f.rig, has_read, &r);
	cr_assert(eq(int, r.got[3], 0));
	cr_assert(strstr(f.words, "failed") == NULL, "%s", f.words);
	close(fd);
	far_free(&f);
}

/* --- ends ------------------------------------------------------------------------------------- */

Test(forward_link, a_connection_is_closed_when_both_have_ended_and_all_is_consumed)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	f.conns[0].hold = true;
	put(fd, "last");
	channel_end(f.conns[0].ch, STREAM_OUT);
	is_ended(&f, fd);
	rig_until(f.rig, first_ended, &f);
	rig_run(f.rig, 50 * USEC_PER_MSEC);
	cr_assert(not(f.conns[0].closed), "four bytes are not consumed");
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 1));
	channel_consume(f.conns[0].ch, STREAM_IN, 4, ECHO_UNKNOWN);
	rig_until(f.rig, first_closed, &f);
	cr_assert(eq(int, f.conns[0].code, 0));
	cr_assert_str_eq(buf_str(&f.conns[0].got), "pinglast");
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 0));
	far_free(&f);
}

Test(forward_link, one_that_ends_while_the_link_is_lost_is_closed_in_order_afterwards)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	channel_end(f.conns[0].ch, STREAM_OUT);
	struct reader r = {.fd = fd};
	rig_until(f.rig, has_read, &r);
	cr_assert(r.ended);
	lose_link(&f);
	close(fd);
	rig_run(f.rig, 50 * USEC_PER_MSEC);
	bring_back(&f);
	rig_until(f.rig, first_closed, &f);
	cr_assert(eq(int, f.conns[0].code, 0));
	cr_assert(f.conns[0].ended);
	far_free(&f);
}

Test(forward_link, one_that_breaks_while_the_link_is_lost_is_aborted_afterwards)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	lose_link(&f);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	bring_back(&f);
	rig_until(f.rig, first_closed, &f);
	cr_assert(eq(int, f.conns[0].code, HW_ERESET));
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 0));
	cr_assert(not(f.over), "the forward lives on");
	far_free(&f);
}

Test(forward_link, one_that_breaks_with_bytes_to_write_is_aborted_afterwards)
{
	static uint8_t much[200 << 10];
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	const int small = 4096;
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 40; i++) { /* more than the local socket takes */
		channel_write(f.conns[0].ch, STREAM_OUT, much, sizeof(much));
		rig_run(f.rig, USEC_PER_MSEC);
	}
	lose_link(&f);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	rig_run(f.rig, 50 * USEC_PER_MSEC);
	cr_assert(not(f.conns[0].closed));
	bring_back(&f);
	rig_until(f.rig, first_closed, &f);
	cr_assert(eq(int, f.conns[0].code, HW_ERESET));
	far_free(&f);
}

Test(forward_link, an_abort_of_the_far_side_is_one_at_once)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	channel_abort(f.conns[0].ch, HW_ERESET, "reset by 10.0.0.9:5432");
	f.conns[0].ch = NULL;
	is_reset(&f, fd);
	cr_assert_str_eq(f.words, "failed ");
	cr_assert_str_eq(f.why, "reset by 10.0.0.9:5432");
	far_free(&f);
}

Test(forward_link, a_reset_after_the_near_end_had_ended_is_nothing_to_tell)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	shutdown(fd, SHUT_WR);
	rig_until(f.rig, first_ended, &f);
	channel_abort(f.conns[0].ch, HW_ERESET, "reset by 10.0.0.9:5432");
	f.conns[0].ch = NULL;
	is_reset(&f, fd);
	cr_assert_str_eq(f.words, "");
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 0));
	far_free(&f);
}

Test(forward_link, after_the_grace_all_ends_with_the_reason)
{
	struct far f;
	int fd;

	far_new(&f, false, 1);
	fd = begin(&f);
	lose_link(&f);
	rig_until(f.rig, is_over, &f);
	is_reset(&f, fd);
	cr_assert_str_eq(f.words, "relay? end ");
	cr_assert(eq(int, f.code, HW_EUNAVAILABLE));
	cr_assert(strstr(f.why, "the cable") != NULL, "%s", f.why);
	cr_assert(eq(int, forwarder_count(f.forwarder).open, 0));
	far_free(&f);
}

Test(forward_link, what_the_relay_does_not_resume_ends_with_its_reason)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	f.reject = HW_ENOSESSION;
	lose_link(&f);
	f.rig->refuses = 0;
	rig_until(f.rig, is_over, &f);
	is_reset(&f, fd);
	cr_assert(eq(int, f.code, HW_ENOSESSION));
	cr_assert_str_eq(f.why, "the session is over");
	far_free(&f);
}

Test(forward_link, without_a_grace_it_ends_with_its_link)
{
	struct far f;
	int fd;

	far_new(&f, false, 0);
	fd = begin(&f);
	pair_drop(f.rig->pair, "the cable");
	rig_until(f.rig, is_over, &f);
	is_reset(&f, fd);
	cr_assert(eq(int, f.code, HW_EUNAVAILABLE));
	cr_assert(eq(int, f.rig->dials, 1));
	far_free(&f);
}

Test(forward_link, who_ends_it_while_it_waits_does_not_hang)
{
	struct far f;
	int fd;

	far_new(&f, false, GRACE);
	fd = begin(&f);
	lose_link(&f);
	int64_t began = clock_mono(&hw_clock_system);
	forwarder_free(f.forwarder);
	f.forwarder = NULL;
	cr_assert(lt(i64, clock_mono(&hw_clock_system) - began, USEC_PER_SEC / 2));
	is_reset(&f, fd);
	far_free(&f);
}
