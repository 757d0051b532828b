#include "node/credentials.h"

#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/config.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/trust/build_time.h"
#include "proto/trust/succession.h"
#include "proto/wire/codec.h"
#include "proto/wire/enrol.h"
#include "proto/wire/link.h"

#define LOOK_EVERY  (3600 * USEC_PER_SEC)
#define AGAIN_AFTER (60 * USEC_PER_SEC)	  /* a renewal that failed */
#define KEEP_EVERY  (3000 * USEC_PER_SEC) /* less, so that each look keeps it */
#define REPLY_MAX   (64 * 1024)

struct credentials {
	struct log_ctx log;
	struct credentials_config config;
	struct cert_identity who;
	struct link *link; /* NULL while there is none */
	bool asked;
	char pin[CERT_PIN_LEN + 1]; /* of the authority */
	bool by_before;		    /* our certificate is not by the authority that we know */
	struct loop_timer look;
	int64_t relay_wall, relay_mono; /* its clock, and ours when it told */
	int64_t kept;			/* its clock as the file has it; 0: not there */
	int64_t start_wall, start_mono; /* when we began it was at least that late */
};

int
credentials_identity(struct cert_identity *ret, int dir, struct hw_err *err)
{
	X509 *ca = NULL, *cert = NULL;
	char fleet[CERT_FLEET_LEN + 1];
	int r;

	if ((r = cert_load(&ca, dir, ENROL_CA, err)) < 0 ||
		(r = cert_load(&cert, dir, ENROL_NODE_CERT, err)) < 0 ||
		(r = cert_fleet(fleet, ca, err)) < 0 ||
		(r = cert_identity(ret, cert, fleet, err)) < 0)
		goto out;
	if (ret->role != ROLE_NODE)
		r = hw_err_set(err, HW_ECERT, ENROL_NODE_CERT " is not a node's certificate");
out:
	X509_free(ca);
	X509_free(cert);
	return r;
}

void
credentials_drop(int dir)
{
	unlinkat(dir, ENROL_NODE_KEY, 0);
	unlinkat(dir, ENROL_NODE_CERT, 0);
}

/* What is not by it is by the one before: it is to be renewed, while that still counts. */
static void
look_at_authority(struct credentials *c)
{
	X509 *ca = NULL, *cert = NULL;

	if (cert_load(&ca, c->config.dir, ENROL_CA, NULL) == 0 &&
		cert_load(&cert, c->config.dir, ENROL_NODE_CERT, NULL) == 0) {
		cert_pin(c->pin, ca);
		c->by_before = !succession_signed(cert, ca);
	}
	X509_free(ca);
	X509_free(cert);
}

static struct credentials *
credentials_from(void *arg)
{
	struct credentials *c = arg;

	hw_assert(c->config.loop != NULL);
	return c;
}

/* --- time ----------------------------------------------------------------------------------- */

/* The relay's clock by now; 0 while it has not told. */
static int64_t
relay_now(const struct credentials *c)
{
	if (c->relay_wall == 0)
		return 0;
	return c->relay_wall + (clock_mono(loop_clock(c->config.loop)) - c->relay_mono);
}

/* As the relay told in this run, or else before. */
static int64_t
fleet_now(const struct credentials *c)
{
	int64_t now = relay_now(c);

	if (now == 0)
		now = c->start_wall + (clock_mono(loop_clock(c->config.loop)) - c->start_mono);
	return now < c->who.not_after ? now : c->who.not_after;
}

int64_t
credentials_now(const struct credentials *c)
{
	int64_t now = build_time_or_later(loop_clock(c->config.loop)), fleet = fleet_now(c);

	return now < fleet ? fleet : now;
}

/* When to renew goes by the clock of who issues, where it is known: by one of our own that is
 * ahead, each new certificate would look old at once. */
int64_t
credentials_relay_now(const struct credentials *c)
{
	return c->relay_wall != 0 ? relay_now(c) : credentials_now(c);
}

int64_t
credentials_ahead(const struct credentials *c)
{
	return c->relay_wall != 0 ? clock_wall(loop_clock(c->config.loop)) - relay_now(c) : 0;
}

void
credentials_peer_time(struct credentials *c, int64_t wall)
{
	c->relay_wall = wall;
	c->relay_mono = clock_mono(loop_clock(c->config.loop));
}

static int64_t
load_time(const struct credentials *c)
{
	char line[RFC3339_LEN + 1] = "";
	struct buf text;
	int64_t wall;

	buf_init(&text, 64);
	if (file_read(&text, c->config.dir, NODE_RELAY_TIME, NULL) == 0 && buf_str(&text) != NULL)
		snprintf(line, sizeof(line), "%s", buf_str(&text));
	buf_fini(&text);
	return rfc3339_parse(&wall, line) == 0 ? wall : 0;
}

/* For the next start, should the machine forget the time. Also when it went back: the relay may
 * have been wrong before. */
static void
keep_time(struct credentials *c)
{
	int64_t now = relay_now(c);
	struct hw_err err = HW_ERR_INIT;
	char text[RFC3339_LEN + 2];

	if (now == 0 || llabs(now - c->kept) < KEEP_EVERY)
		return;
	rfc3339_format(text, now);
	strcat(text, "\n");
	if (file_write(c->config.dir, NODE_RELAY_TIME, text, strlen(text), 0644, &err) < 0)
		log_warn(c, "time.not_kept", "why=%s", log_value(hw_err_text(&err)));
	c->kept = now; /* written or not: no more often than that */
}

/* Our certificate was issued after its beginning, by the relay's clock. */
static void
begin_time(struct credentials *c)
{
	c->kept = load_time(c);
	c->start_mono = clock_mono(loop_clock(c->config.loop));
	c->start_wall = c->kept < c->who.not_before ? c->who.not_before : c->kept;
}

/* --- renewal -------------------------------------------------------------------------------- */

/* It must be this node's, of this fleet, and for the key that is here. */
static int
check_new(const struct credentials *c, struct cert_identity *who, X509 *cert, struct hw_err *err)
{
	EVP_PKEY *key = NULL;
	X509 *ca = NULL;
	int r;

	if ((r = cert_load(&ca, c->config.dir, ENROL_CA, err)) < 0 ||
		(r = key_load(&key, c->config.dir, ENROL_NODE_KEY, err)) < 0 ||
		(r = cert_verify(cert, ca, credentials_relay_now(c), true, err)) < 0 ||
		(r = cert_identity(who, cert, c->who.fleet, err)) < 0)
		goto out;
	if (who->role != ROLE_NODE || strcmp(who->id, c->who.id) != 0 ||
		X509_check_private_key(cert, key) != 1)
		r = hw_err_set(err, HW_ECERT, "the new certificate is not this node's");
out:
	key_free(key);
	X509_free(ca);
	return r;
}

static int
take_reply(struct credentials *c, const void *body, size_t n, struct hw_err *err)
{
	struct arena *a = arena_new(REPLY_MAX);
	struct msg_renew_certificate_reply *reply;
	struct cert_identity who;
	X509 *cert = NULL;
	void *msg;
	int r = HW_ENOMEM;

	if (a == NULL ||
		(r = msg_decode(&msg, a, MSG_ROW(renew_certificate_reply), body, n, err)) < 0)
		goto out;
	reply = msg;
	if ((r = cert_parse(&cert, reply->certificate.p, reply->certificate.n, err)) < 0 ||
		(r = check_new(c, &who, cert, err)) < 0 ||
		(r = cert_save(c->config.dir, ENROL_NODE_CERT, reply->certificate.p,
			 reply->certificate.n, err)) < 0)
		goto out;
	c->who = who;
	c->by_before = false;
out:
	X509_free(cert);
	arena_free(a);
	return r;
}

static void
failed(struct credentials *c, int code, const char *why)
{
	log_warn(c, "certificate.not_renewed", "code=%s why=%s", hw_code_name(code),
		log_value(why));
	loop_timer_start(c->config.loop, &c->look, AGAIN_AFTER);
}

static void
on_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct credentials *c = credentials_from(arg);
	bool of_no_use = c->by_before || credentials_relay_now(c) >= c->who.not_after;
	struct hw_err err = HW_ERR_INIT;
	char until[RFC3339_LEN + 1];

	c->asked = false;
	if (code != HW_OK) {
		if (c->link != NULL)
			failed(c, code, message != NULL ? message : "");
		return;
	}
	if ((code = take_reply(c, body, n, &err)) < 0) {
		failed(c, code, hw_err_text(&err));
		return;
	}
	rfc3339_format(until, c->who.not_after);
	log_info(c, "certificate.renewed", "until=%s", until);
	c->config.on_renewed(c->config.arg, of_no_use);
}

static int
ask(struct credentials *c, struct hw_err *err)
{
	struct msg_renew_certificate_request request = {.csr = {.n = 0}};
	EVP_PKEY *key = NULL;
	struct buf csr;
	int r;

	buf_init(&csr, CERT_DER_MAX);
	if ((r = key_load(&key, c->config.dir, ENROL_NODE_KEY, err)) < 0 ||
		(r = csr_make(&csr, key, err)) < 0)
		goto out;
	request.csr.p = buf_data(&csr);
	request.csr.n = csr.len;
	r = link_request(c->link, &op_rows[OP_renew_certificate], &request, on_reply, c, err);
out:
	key_free(key);
	buf_fini(&csr);
	return r;
}

void
credentials_renew(struct credentials *c)
{
	struct hw_err err = HW_ERR_INIT;

	if (c->link == NULL || c->asked)
		return;
	c->asked = ask(c, &err) == 0;
	if (!c->asked)
		failed(c, err.code, hw_err_text(&err));
}

static void
on_look(void *arg)
{
	struct credentials *c = credentials_from(arg);

	loop_timer_start(c->config.loop, &c->look, LOOK_EVERY);
	keep_time(c);
	if (c->by_before ||
		credentials_relay_now(c) >=
			c->who.not_before + (c->who.not_after - c->who.not_before) / 2)
		credentials_renew(c);
}

void
credentials_link_up(struct credentials *c, struct link *l)
{
	c->link = l;
	on_look(c);
}

void
credentials_link_down(struct credentials *c)
{
	c->link = NULL;
	c->asked = false;
	loop_timer_stop(c->config.loop, &c->look);
}

int
credentials_succeed(struct credentials *c, X509 *root, struct hw_err *err)
{
	int r = cert_keep(c->config.dir, ENROL_CA, root, err);

	if (r < 0)
		return r;
	look_at_authority(c);
	log_info(c, "authority.changed", "pin=sha256:%s", c->pin);
	if (c->link != NULL)
		on_look(c);
	return 0;
}

/* --- life ----------------------------------------------------------------------------------- */

int
credentials_new(struct credentials **ret, const struct credentials_config *config,
	struct hw_err *err)
{
	struct credentials *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	c->config = *config;
	c->log = *config->log;
	c->look = (struct loop_timer){.fn = on_look, .arg = c};
	if ((r = credentials_identity(&c->who, config->dir, err)) < 0) {
		free(c);
		return r;
	}
	look_at_authority(c);
	begin_time(c);
	*ret = c;
	return 0;
}

void
credentials_free(struct credentials *c)
{
	if (c == NULL)
		return;
	loop_timer_stop(c->config.loop, &c->look);
	free(c);
}

const struct cert_identity *
credentials_who(const struct credentials *c)
{
	return &c->who;
}

const char *
credentials_pin(const struct credentials *c)
{
	return c->pin;
}
