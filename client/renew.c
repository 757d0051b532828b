#include "client/renew.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <string.h>

#include "client/conn.h"
#include "client/home.h"
#include "proto/base/file.h"
#include "proto/trust/succession.h"
#include "proto/wire/codec.h"

#define RENEW_FINISH  (2 * USEC_PER_SEC)
#define RENEW_AGAIN   (600 * USEC_PER_SEC) /* after a failure, in a shell that stays open */
#define RENEW_REPLY   65536
#define RENEW_AT_ONCE (50 * USEC_PER_MSEC) /* the command's own requests go first */

struct renewal {
	struct conn *conn;
	struct home *home;
	struct loop_timer timer;
	bool asked, idle; /* idle: no answer is awaited */
	bool by_before;	  /* the certificate is not by the authority that we know */
};

static int64_t
renewal_due(const struct home *home)
{
	return home->issued + (home->expires - home->issued) / 2;
}

/* The key stays: then there is but one file to replace, and no moment at which the two differ. */
static int
make_request(struct buf *csr, const struct home *home)
{
	EVP_PKEY *key = NULL;
	int dir = -1, r;

	if ((r = home_open(&dir, home, false, NULL)) == 0 &&
		(r = key_load(&key, dir, HOME_KEY, NULL)) == 0)
		r = csr_make(csr, key, NULL);
	EVP_PKEY_free(key);
	fd_close(dir);
	return r;
}

static int
keep_certificate(struct home *home, const struct msg_renew_certificate_reply *reply)
{
	struct cert_identity who;
	X509 *cert = NULL;
	int dir = -1, r;

	if ((r = cert_parse(&cert, reply->certificate.p, reply->certificate.n, NULL)) == 0 &&
		(r = cert_identity(&who, cert, home->fleet, NULL)) == 0 &&
		(r = home_open(&dir, home, false, NULL)) == 0 &&
		(r = cert_save(dir, HOME_CERT, reply->certificate.p, reply->certificate.n, NULL)) ==
			0) {
		home->issued = who.not_before;
		home->expires = who.not_after;
		r = home_save(home, NULL);
	}
	X509_free(cert);
	fd_close(dir);
	return r;
}

static void
on_renewed(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct renewal *r = arg;
	struct arena *a = arena_new(RENEW_REPLY);
	void *reply;

	(void)message;
	r->idle = true;
	loop_timer_start(conn_loop(r->conn), &r->timer, RENEW_AGAIN);
	if (a != NULL && code == 0 &&
		msg_decode(&reply, a, MSG_ROW(renew_certificate_reply), body, n, NULL) == 0)
		keep_certificate(r->home, reply);
	arena_free(a);
	conn_wake(r->conn);
}

static void
renewal_ask(struct renewal *r)
{
	struct msg_renew_certificate_request req = {0};
	struct buf csr;

	r->asked = true;
	buf_init(&csr, CERT_DER_MAX);
	if (conn_link(r->conn) != NULL && make_request(&csr, r->home) == 0) {
		req.csr = (struct msg_bin){buf_data(&csr), csr.len};
		if (link_request(conn_link(r->conn), &op_rows[OP_renew_certificate], &req,
			    on_renewed, r, NULL) == 0)
			r->idle = false;
	}
	buf_fini(&csr);
}

/* By the authority before this one: good only until that is retired. */
static bool
is_by_before(const struct home *home)
{
	X509 *ca = NULL, *cert = NULL;
	int dir = -1;
	bool is = home_open(&dir, home, false, NULL) == 0 &&
		cert_load(&ca, dir, HOME_CA, NULL) == 0 &&
		cert_load(&cert, dir, HOME_CERT, NULL) == 0 && !succession_signed(cert, ca);

	X509_free(ca);
	X509_free(cert);
	fd_close(dir);
	return is;
}

/* By the clock of who issues: by one of our own that is behind it would be too late, and by one
 * that is ahead each new certificate would look old at once. */
static bool
renewal_is_due(const struct renewal *r)
{
	return r->by_before ||
		clock_wall(&hw_clock_system) + conn_ahead(r->conn) >= renewal_due(r->home);
}

static void
on_timer(void *arg)
{
	struct renewal *r = arg;

	r->by_before = is_by_before(r->home);
	if (r->idle && renewal_is_due(r))
		renewal_ask(r);
	if (r->idle)
		loop_timer_start(conn_loop(r->conn), &r->timer, RENEW_AGAIN);
}

struct renewal *
renewal_new(struct conn *c, struct home *home)
{
	struct renewal *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	*r = (struct renewal){
		.conn = c, .home = home, .idle = true, .by_before = is_by_before(home)};
	r->timer = (struct loop_timer){.fn = on_timer, .arg = r};
	loop_timer_start(conn_loop(c), &r->timer, renewal_is_due(r) ? RENEW_AT_ONCE : RENEW_AGAIN);
	return r;
}

void
renewal_finish(struct renewal *r)
{
	if (r == NULL)
		return;
	if (!r->asked && renewal_is_due(r))
		renewal_ask(r);
	if (!r->idle && !conn_wait(r->conn, &r->idle, RENEW_FINISH) && conn_link(r->conn) != NULL)
		link_forget(conn_link(r->conn), r);
	loop_timer_stop(conn_loop(r->conn), &r->timer);
	free(r);
}
