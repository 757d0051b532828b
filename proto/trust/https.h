/*
 * The one HTTPS request that a joining node or a user without a certificate makes: a blocking POST,
 * TLS 1.3, to a relay whose CA is known by its pin alone.
 */
#ifndef HAWSER_TRUST_HTTPS_H
#define HAWSER_TRUST_HTTPS_H

#include "proto/base/buf.h"

#define PIN_LEN 64

struct relay_url {
	char host[256]; /* a name in lower case or an address; IPv6 without brackets */
	int port;	/* 443 when the URL has none */
	char pin[PIN_LEN +
		1]; /* hex SHA-256 of the CA certificate; empty when there's no fragment */
};

/* https://HOST[:PORT][/]#sha256:HEX, IPv6 hosts in brackets. HW_EVALIDATION says which part is
 * wrong. */
int relay_url_parse(struct relay_url *ret, const char *text, struct hw_err *err);

/* The shortest text that parses to the same. HW_ELIMIT when it doesn't fit; RELAY_URL_MAX does. */
#define RELAY_URL_MAX 400
int relay_url_format(char *out, size_t room, const struct relay_url *url);

/* POSTs `body` as application/json over `fd`, which is connected to the server and non-blocking and
 * stays the caller's, and gives the answer's status and body, which is appended and bounded by
 * out's cap (HW_ELIMIT). The server must present a CA with url->pin's hash, and its own certificate
 * must be a relay's of that CA, or of the one for which that has vouched (succession.h): `known_by`
 * is that one's pin. HW_EPIN, HW_ECERT or HW_EEXPIRED otherwise, and nothing was sent.
 * HW_EUNAVAILABLE, HW_ETIMEOUT, HW_EPROTO with the sentence; after these the server may have acted
 * on the request. Blocks; the program ignores SIGPIPE. `wall` is the time as of which the relay's
 * certificate is judged. */
int https_post(struct buf *out, int *status, int fd, const struct relay_url *url, const char *path,
	const char *body, size_t n, int64_t wall, int timeout_ms, char known_by[PIN_LEN + 1],
	struct hw_err *err);

#endif
