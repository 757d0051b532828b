#include "proto/trust/https.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <arpa/inet.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/trust/cert.h"
#include "proto/trust/http_answer.h"
#include "proto/trust/ossl.h"
#include "proto/trust/succession.h"

#define READ_CHUNK 16384

/* One request's connection. */
struct post {
	const struct relay_url *url;
	char *known_by;	  /* the pin of its CA */
	int64_t wall;	  /* certificates are judged as of this time */
	int64_t deadline; /* of the monotonic clock */
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	bool trusted;	     /* the relay's chain was verified */
	struct hw_err doubt; /* why it was not */
};

/* --- time ------------------------------------------------------------------------------------ */

static int64_t
now(void)
{
	return clock_mono(&hw_clock_system);
}

/* 1 when the descriptor is ready, 0 when the time is over. */
static int
wait_ready(int fd, short events, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = until - now();
		if (left <= 0)
			return 0;
		int n = poll(&p, 1, (int)(left / USEC_PER_MSEC) + 1);
		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return 0;
	}
}

static int
too_late(const struct post *post, const char *doing, struct hw_err *err)
{
	return hw_err_set(err, HW_ETIMEOUT, "%s port %d did not %s in time", post->url->host,
		post->url->port, doing);
}

/* --- whom we talk to -------------------------------------------------------------------------- */

/* The presented certificate that has the pin, lent. `seen` is the pin of the last one otherwise:
 * a chain ends in its CA. */
static X509 *
find_pinned(STACK_OF(X509) * chain, const char *pin, char seen[CERT_PIN_LEN + 1])
{
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *cert = sk_X509_value(chain, i);
		cert_pin(seen, cert);
		if (strcmp(seen, pin) == 0)
			return cert;
	}
	return NULL;
}

static int
wrong_pin(const char *wanted, const char *seen, struct hw_err *err)
{
	return hw_err_set(err, HW_EPIN,
		"this is not the relay that the URL names: its CA is sha256:%s, the URL says "
		"sha256:%s; ask the relay's administrator for its URL anew, and if that says the "
		"same, somebody is between you and the relay",
		seen, wanted);
}

static int
check_chain(X509 *leaf, STACK_OF(X509) * chain, const struct post *post, struct hw_err *err)
{
	char seen[CERT_PIN_LEN + 1] = "", fleet[CERT_FLEET_LEN + 1];
	struct cert_identity id;
	int r;

	X509 *ca = find_pinned(chain, post->url->pin, seen);
	if (ca == NULL)
		return wrong_pin(post->url->pin, seen, err);
	X509 *next = succession_next(ca, chain, post->wall);
	if (next != NULL)
		ca = next;
	cert_pin(post->known_by, ca);
	if ((r = cert_verify(leaf, ca, post->wall, false, err)) < 0 ||
		(r = cert_fleet(fleet, ca, err)) < 0 ||
		(r = cert_identity(&id, leaf, fleet, err)) < 0)
		return r;
	if (id.role != ROLE_RELAY)
		return hw_err_set(err, HW_ECERT, "what answers there is %s %s, not a relay",
			enum_text(&enum_ROLE, id.role), id.id);
	return 0;
}

/* Takes the place of OpenSSL's own verification. */
static int
on_verify(X509_STORE_CTX *ctx, void *arg)
{
	struct post *post = arg;
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);

	post->trusted = leaf != NULL &&
		check_chain(leaf, X509_STORE_CTX_get0_untrusted(ctx), post, &post->doubt) == 0;
	X509_STORE_CTX_set_error(ctx,
		post->trusted ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
	return post->trusted;
}

/* --- TLS ------------------------------------------------------------------------------------- */

/* After a call that returned `ret`: 0 when it may be tried again, else why not. */
static int
tls_retry(struct post *post, int ret, const char *doing, struct hw_err *err)
{
	int why = SSL_get_error(post->ssl, ret);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		short events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return wait_ready(post->fd, events, post->deadline) ? 0
								    : too_late(post, doing, err);
	}
	if (why == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)
		return hw_err_set(err, HW_EUNAVAILABLE, "%s port %d did not %s: %s",
			post->url->host, post->url->port, doing,
			errno != 0 ? strerror(errno) : "it closed the connection");
	return ossl_err(err, HW_EUNAVAILABLE, "%s port %d did not %s", post->url->host,
		post->url->port, doing);
}

static bool
is_address(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool
tls_init(struct post *post)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	const char *host = post->url->host;

	if ((post->ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
		SSL_CTX_set_min_proto_version(post->ctx, TLS1_3_VERSION) <= 0 ||
		SSL_CTX_set_alpn_protos(post->ctx, alpn, sizeof(alpn) - 1) != 0)
		return false;
	SSL_CTX_set_verify(post->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(post->ctx, on_verify, post);
	return (post->ssl = SSL_new(post->ctx)) != NULL && SSL_set_fd(post->ssl, post->fd) > 0 &&
		(is_address(host) || SSL_set_tlsext_host_name(post->ssl, host) > 0);
}

static int
post_handshake(struct post *post, struct hw_err *err)
{
	int ret, r;

	if (!tls_init(post))
		return ossl_err(err, HW_EINTERNAL, "cannot set up TLS");
	while (ERR_clear_error(), errno = 0, (ret = SSL_connect(post->ssl)) <= 0) {
		r = tls_retry(post, ret, "complete a TLS 1.3 handshake", err);
		if (r < 0 && post->doubt.code != HW_OK)
			return hw_err_set(err, post->doubt.code, "%s", post->doubt.text);
		if (r < 0)
			return r;
	}
	if (!post->trusted)
		return hw_err_set(err, HW_ECERT, "the relay presented no certificate");
	return 0;
}

/* --- HTTP ------------------------------------------------------------------------------------ */

static int
post_write(struct post *post, const void *p, size_t n, struct hw_err *err)
{
	const char *at = p;
	int ret, r;

	while (n > 0) {
		ERR_clear_error();
		errno = 0;
		/* A retry passes the same bytes again, as OpenSSL demands. */
		ret = SSL_write(post->ssl, at, (int)(n < READ_CHUNK ? n : READ_CHUNK));
		if (ret > 0) {
			at += ret;
			n -= (size_t)ret;
		} else if ((r = tls_retry(post, ret, "take the request", err)) < 0)
			return r;
	}
	return 0;
}

static int
post_request(struct post *post, const char *path, const char *body, size_t n, struct hw_err *err)
{
	char authority[RELAY_URL_MAX];
	struct relay_url url = *post->url;
	struct buf head;
	int r;

	url.pin[0] = '\0'; /* the Host header is the URL without its scheme and pin */
	if (relay_url_format(authority, sizeof(authority), &url) < 0)
		return hw_err_set(err, HW_EVALIDATION, "the relay's URL is too long");
	buf_init(&head, 4096);
	r = buf_printf(&head,
		"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\nAccept: application/json\r\n"
		"User-Agent: hawser/" HAWSER_VERSION "\r\nConnection: close\r\n\r\n",
		path, authority + strlen("https://"), n);
	if (r < 0)
		r = hw_err_set(err, r, "the request's head is too long");
	else if ((r = post_write(post, buf_data(&head), head.len, err)) == 0)
		r = post_write(post, body, n, err);
	buf_fini(&head);
	return r;
}

/* Whether the peer ended the stream, and did so in the clear or by being cut off. */
static bool
is_end(struct post *post, int ret, bool *clean)
{
	int why = SSL_get_error(post->ssl, ret);
	unsigned long e = ERR_peek_error();

	*clean = why == SSL_ERROR_ZERO_RETURN;
	return *clean ||
		(why == SSL_ERROR_SSL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) ||
		(why == SSL_ERROR_SYSCALL && e == 0 && (errno == 0 || errno == ECONNRESET));
}

static int
post_answer(struct post *post, struct http_answer *answer, struct hw_err *err)
{
	char chunk[READ_CHUNK];
	bool clean;
	int ret, r;

	while (!http_answer_complete(answer)) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_read(post->ssl, chunk, sizeof(chunk));
		if (ret > 0)
			r = http_answer_feed(answer, chunk, (size_t)ret, err);
		else if (is_end(post, ret, &clean))
			r = http_answer_end(answer, clean, err);
		else
			r = tls_retry(post, ret, "answer", err);
		if (r < 0)
			return r;
		/* A peer that sends a little all the time must not hold us either. */
		if (now() >= post->deadline && !http_answer_complete(answer))
			return too_late(post, "answer", err);
	}
	SSL_shutdown(post->ssl);
	return 0;
}

static int
post_run(struct post *post, struct http_answer *answer, const char *path, const char *body,
	size_t n, struct hw_err *err)
{
	int r;

	if ((r = post_handshake(post, err)) < 0 || (r = post_request(post, path, body, n, err)) < 0)
		return r;
	return post_answer(post, answer, err);
}

int
https_post(struct buf *out, int *status, int fd, const struct relay_url *url, const char *path,
	const char *body, size_t n, int64_t wall, int timeout_ms, char known_by[PIN_LEN + 1],
	struct hw_err *err)
{
	struct post post = {
		.url = url, .known_by = known_by, .wall = wall, .fd = fd, .doubt = HW_ERR_INIT};
	size_t before = out->len;

	hw_assert(path[0] == '/' && strpbrk(path, " \r\n") == NULL);
	if (strlen(url->pin) != PIN_LEN)
		return hw_err_set(err, HW_EVALIDATION,
			"the relay's URL does not end in #sha256: and its CA's fingerprint");
	struct http_answer *answer = malloc(sizeof(*answer));
	if (answer == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a request");
	http_answer_init(answer, out);
	post.deadline = now() + timeout_ms * USEC_PER_MSEC;
	int r = post_run(&post, answer, path, body, n, err);
	if (r == 0)
		*status = answer->status;
	else
		out->len = before;
	SSL_free(post.ssl);
	SSL_CTX_free(post.ctx);
	free(answer);
	ERR_clear_error();
	return r;
}
