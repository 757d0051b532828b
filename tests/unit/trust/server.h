/* A small TLS server in a thread of the test: what a relay, or somebody else, answers to a POST. */
#ifndef HAWSER_TESTS_TRUST_SERVER_H
#define HAWSER_TESTS_TRUST_SERVER_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "proto/base/buf.h"
#include "proto/trust/https.h"
#include "tests/unit/trust/fleet.h"

struct server_rules {
	X509 *cert; /* NULL: a relay's of the fleet, for its key */
	X509 *ca;   /* what follows it; NULL: the fleet's */
	bool without_ca;
	bool tls12;	    /* nothing newer */
	bool mute;	    /* accepts and never says anything */
	bool cut;	    /* ends without TLS's goodbye */
	bool dribble;	    /* sends the answer's bytes one by one, slowly, and never the last */
	const char *answer; /* all bytes of it */
	/* Instead of `answer`: appends the body, and returns the status. */
	int (*reply)(void *arg, const char *path, const char *body, size_t n, struct buf *out);
	void *arg;
};

struct server;

/* On 127.0.0.1; `url` gets its port and the fleet's pin. The rules are copied. */
struct server *server_start(struct fleet *f, const struct server_rules *rules,
	struct relay_url *url);
#define SERVER(f, url, ...) server_start(f, &(struct server_rules){__VA_ARGS__}, url)

/* Joins the thread. The request's bytes are good until server_free(). */
const char *server_stop(struct server *s);
void server_free(struct server *s);

#endif
