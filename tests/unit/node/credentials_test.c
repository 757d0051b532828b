/* Renewal over a link to a relay that issues with a real authority. */
#include "node/credentials.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/wire/codec.h"
#include "proto/wire/enrol.h"
#include "proto/wire/frame.h"
#include "proto/wire/link.h"
#include "tests/world/pair.h"

#define NODE_ID "mi-0123456789abcdef0"
#define OTHER	"mi-00000000000000000"

struct office {
	struct fake_clock clock;
	struct loop *loop;
	struct log_sink sink;
	struct log_ctx log;
	char path[64];
	int dir;
	struct ca *ca;
	struct pair *pair;
	struct link *relay, *node;
	struct credentials *credentials;
	int64_t relay_ahead; /* of the node's clock */
	const char *issues_to;
	int requests, renewed, expired;
};

static void
quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static int64_t
relay_time(const struct office *o)
{
	return clock_wall(&o->clock.clock) + o->relay_ahead;
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct office *o = arg;
	struct arena *a = arena_new(65536);
	struct msg_renew_certificate_reply reply = {.expires = relay_time(o) + CERT_NODE_LIFE};
	struct msg_renew_certificate_request *request;
	char serial[CERT_SERIAL_LEN + 1];
	struct buf cert, ca;
	void *msg;

	cr_assert_str_eq(op, "RenewCertificate");
	o->requests++;
	cr_assert_eq(msg_decode(&msg, a, MSG_ROW(renew_certificate_request), body, n, NULL), 0);
	request = msg;
	buf_init(&cert, CERT_DER_MAX);
	buf_init(&ca, CERT_DER_MAX);
	cr_assert_eq(ca_issue(&cert, serial, o->ca, request->csr.p, request->csr.n, ROLE_NODE,
			     o->issues_to, relay_time(o), relay_time(o) + CERT_NODE_LIFE, NULL),
		0);
	cr_assert_eq(ca_cert_der(&ca, o->ca), 0);
	reply.certificate = (struct msg_bin){buf_data(&cert), cert.len};
	reply.ca = (struct msg_bin){buf_data(&ca), ca.len};
	link_respond(l, id, 0, NULL, MSG_ROW(renew_certificate_reply), &reply);
	buf_fini(&cert);
	buf_fini(&ca);
	arena_free(a);
}

static void
on_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	(void)arg;
	(void)l;
	(void)peer;
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	(void)arg;
	(void)l;
	(void)code;
	(void)why;
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	(void)arg;
	(void)l;
	(void)ch;
	(void)open;
}

static const struct link_events events = {.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_open = on_open};

static struct link *
make_link(struct office *o, int side)
{
	struct link_config c = {
		.loop = o->loop,
		.log = &o->log,
		.events = &events,
		.arg = o,
		.transport = pair_transport(o->pair, side),
		.hello = {.version_min = 1,
			  .version_max = 1,
			  .role = side == PAIR_A ? ROLE_RELAY : ROLE_NODE,
			  .id = side == PAIR_A ? "relay" : NODE_ID,
			  .software = "test",
			  .frame_max = FRAME_MESSAGE_MAX},
		.peer_role = side == PAIR_A ? ROLE_NODE : ROLE_RELAY,
		.opens = side == PAIR_A,
	};
	struct link *l = link_new(&c);

	pair_attach(o->pair, side, l);
	return l;
}

static void
on_renewed(void *arg, bool expired)
{
	struct office *o = arg;

	o->renewed++;
	o->expired += expired;
}

static void
issue_first(struct office *o, int64_t from)
{
	char serial[CERT_SERIAL_LEN + 1];
	struct buf csr, cert, ca;
	EVP_PKEY *key;

	buf_init(&csr, CERT_DER_MAX);
	buf_init(&cert, CERT_DER_MAX);
	buf_init(&ca, CERT_DER_MAX);
	cr_assert_eq(key_generate(&key, NULL), 0);
	cr_assert_eq(key_save(key, o->dir, ENROL_NODE_KEY, NULL), 0);
	cr_assert_eq(csr_make(&csr, key, NULL), 0);
	cr_assert_eq(ca_issue(&cert, serial, o->ca, buf_data(&csr), csr.len, ROLE_NODE, NODE_ID,
			     from, from + CERT_NODE_LIFE, NULL),
		0);
	cr_assert_eq(cert_save(o->dir, ENROL_NODE_CERT, buf_data(&cert), cert.len, NULL), 0);
	key_free(key);
	buf_fini(&csr);
	buf_fini(&cert);
	buf_fini(&ca);
}

static void
start_agent(struct office *o)
{
	struct credentials_config c = {
		.loop = o->loop, .log = &o->log, .dir = o->dir, .on_renewed = on_renewed, .arg = o};
	struct hw_err err = HW_ERR_INIT;

	cr_assert_eq(credentials_new(&o->credentials, &c, &err), 0, "%s", hw_err_text(&err));
}

/* A node whose certificate is `age` old by the relay's clock. */
static struct office *
office_new(int64_t age, int64_t relay_ahead)
{
	struct office *o = calloc(1, sizeof(*o));
	struct hw_err err = HW_ERR_INIT;

	/* Later than any build. */
	fake_clock_init(&o->clock, INT64_C(2500000000) * USEC_PER_SEC);
	o->loop = loop_new_fake(&o->clock);
	o->sink = (struct log_sink){
		.level = LOG_LEVEL_ERROR, .clock = &o->clock.clock, .write = quiet};
	log_ctx_init(&o->log, &o->sink);
	o->relay_ahead = relay_ahead;
	o->issues_to = NODE_ID;
	strcpy(o->path, "/tmp/hawser-office-XXXXXX");
	cr_assert_not_null(mkdtemp(o->path));
	cr_assert_eq(dir_open(&o->dir, o->path, false, &err), 0);
	cr_assert_eq(ca_create(&o->ca, o->dir, relay_time(o) - age, &err), 0, "%s",
		hw_err_text(&err));
	issue_first(o, relay_time(o) - age);
	o->pair = pair_new(o->loop);
	o->relay = make_link(o, PAIR_A);
	o->node = make_link(o, PAIR_B);
	loop_settle(o->loop);
	cr_assert(link_is_up(o->node));
	start_agent(o);
	cr_assert_str_eq(credentials_who(o->credentials)->id, NODE_ID);
	credentials_peer_time(o->credentials, relay_time(o));
	credentials_link_up(o->credentials, o->node);
	loop_settle(o->loop);
	return o;
}

static void
office_free(struct office *o)
{
	char command[96];

	credentials_link_down(o->credentials);
	credentials_free(o->credentials);
	link_close(o->node, HW_ECLOSED, "test");
	link_close(o->relay, HW_ECLOSED, "test");
	loop_settle(o->loop);
	loop_advance(o->loop, 3 * USEC_PER_SEC);
	pair_free(o->pair);
	loop_free(o->loop);
	ca_free(o->ca);
	fd_close(o->dir);
	snprintf(command, sizeof(command), "rm -r %s", o->path);
	cr_assert_eq(system(command), 0);
	free(o);
}

Test(credentials, a_young_certificate_is_left_alone)
{
	struct office *o = office_new(14 * CERT_DAY, 0);

	cr_assert_eq(o->requests, 0);
	office_free(o);
}

Test(credentials, it_is_renewed_once_when_half_of_its_life_is_over)
{
	struct office *o = office_new(16 * CERT_DAY, 0);
	struct cert_identity who;

	cr_assert_eq(o->requests, 1);
	cr_assert_eq(o->renewed, 1);
	cr_assert_eq(o->expired, 0);
	cr_assert_eq(credentials_identity(&who, o->dir, NULL), 0);
	cr_assert_gt(who.not_after, relay_time(o) + 29 * CERT_DAY);
	cr_assert_eq(credentials_who(o->credentials)->not_after, who.not_after);
	loop_advance(o->loop, CERT_DAY);
	cr_assert_eq(o->requests, 1);
	office_free(o);
}

Test(credentials, an_expired_one_is_renewed_and_said_to_be)
{
	struct office *o = office_new(31 * CERT_DAY, 0);

	cr_assert_eq(o->requests, 1);
	cr_assert_eq(o->expired, 1);
	office_free(o);
}

/* By the node's clock each new certificate would be over at once. */
Test(credentials, a_clock_that_is_ahead_does_not_renew_for_ever)
{
	struct office *o = office_new(CERT_DAY, -40 * CERT_DAY);

	cr_assert_eq(o->requests, 0);
	loop_advance(o->loop, CERT_DAY);
	cr_assert_eq(o->requests, 0);
	office_free(o);
}

Test(credentials, a_clock_that_is_behind_renews_in_time)
{
	struct office *o = office_new(16 * CERT_DAY, 40 * CERT_DAY);

	cr_assert_eq(o->renewed, 1);
	cr_assert_eq(credentials_now(o->credentials), relay_time(o));
	office_free(o);
}

Test(credentials, a_certificate_for_another_is_not_taken)
{
	struct office *o = office_new(CERT_DAY, 0);
	int64_t before = credentials_who(o->credentials)->not_after;

	o->issues_to = OTHER;
	credentials_renew(o->credentials);
	loop_settle(o->loop);
	cr_assert_eq(o->requests, 1);
	cr_assert_eq(o->renewed, 0);
	cr_assert_eq(credentials_who(o->credentials)->not_after, before);
	o->issues_to = NODE_ID;
	credentials_renew(o->credentials);
	loop_settle(o->loop);
	cr_assert_eq(o->renewed, 1);
	office_free(o);
}

/* --- the time ------------------------------------------------------------------------------- */

/* The machine starts anew, and its clock says 1970. */
static void
reboot(struct office *o)
{
	credentials_link_down(o->credentials);
	credentials_free(o->credentials);
	o->clock.now_wall = 0;
	start_agent(o);
}

static void
hear(struct office *o, int64_t relay_wall)
{
	credentials_peer_time(o->credentials, relay_wall);
	credentials_link_up(o->credentials, o->node);
	loop_settle(o->loop);
}

static int64_t
seconds(int64_t usec)
{
	return usec / USEC_PER_SEC;
}

Test(credentials, the_relays_time_outlives_a_dead_clock)
{
	struct office *o = office_new(10 * CERT_DAY, 0);
	int64_t told = relay_time(o);

	reboot(o);
	cr_assert_eq(seconds(credentials_now(o->credentials)), seconds(told));
	loop_advance(o->loop, 60 * USEC_PER_SEC);
	cr_assert_eq(seconds(credentials_now(o->credentials)), seconds(told) + 60);
	office_free(o);
}

Test(credentials, the_relays_time_is_kept_each_hour_of_a_link)
{
	struct office *o = office_new(CERT_DAY, 0);
	int64_t told = relay_time(o);

	loop_advance(o->loop, 5 * 3600 * USEC_PER_SEC);
	reboot(o);
	cr_assert_eq(seconds(credentials_now(o->credentials)), seconds(told) + 5 * 3600);
	office_free(o);
}

Test(credentials, a_node_that_never_heard_the_time_goes_by_its_certificate)
{
	struct office *o = office_new(CERT_DAY, 0);

	cr_assert_eq(unlinkat(o->dir, "relay.time", 0), 0);
	reboot(o);
	cr_assert_eq(credentials_now(o->credentials), credentials_who(o->credentials)->not_before);
	cr_assert_eq(file_write(o->dir, "relay.time", "soon\n", 5, 0644, NULL), 0);
	reboot(o);
	cr_assert_eq(credentials_now(o->credentials), credentials_who(o->credentials)->not_before);
	office_free(o);
}

Test(credentials, a_relay_that_was_wrong_by_years_is_believed_to_the_certificates_end)
{
	struct office *o = office_new(CERT_DAY, 0);
	int64_t right = relay_time(o);

	hear(o, right + 20000 * CERT_DAY);
	int64_t end = credentials_who(o->credentials)->not_after;
	cr_assert_lt(end, right + 31 * CERT_DAY);
	cr_assert_eq(credentials_now(o->credentials), end);
	reboot(o);
	cr_assert_eq(credentials_now(o->credentials), end);
	hear(o, right);
	reboot(o);
	cr_assert_eq(seconds(credentials_now(o->credentials)), seconds(right));
	office_free(o);
}

Test(credentials, a_machine_with_a_dead_clock_still_renews_what_has_expired)
{
	struct office *o = office_new(CERT_DAY, 0);
	int64_t later = relay_time(o) + 60 * CERT_DAY;

	reboot(o);
	o->relay_ahead = later;
	hear(o, later);
	cr_assert_eq(o->renewed, 1);
	cr_assert_eq(o->expired, 1);
	cr_assert_eq(credentials_now(o->credentials), later);
	office_free(o);
}
