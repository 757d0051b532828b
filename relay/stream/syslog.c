/*
 * RFC 5424 over TLS. Syslog has no answers: bytes that a receiver did not read before it died are
 * lost, and nothing says so. So each connection carries a limited number of messages and is then
 * closed in order: when the receiver, who has read up to our end, closes in turn, it has them all.
 * A receiver that dies instead resets the connection, or ends it without TLS's own farewell. Some
 * never say that farewell; who did not a few times running is taken to be one of them.
 */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "proto/base/file.h"
#include "relay/stream/stream.h"

#define MESSAGE_MAX  ((size_t)512 * 1024)
#define WAIT_SECONDS 10
#define RUDE_MAX     3

struct stream_syslog {
	char *host, *port, *relay;
	SSL_CTX *tls;
	SSL *ssl;
	int rude; /* connections running that ended without a farewell */
	struct buf message;
	pthread_mutex_t lock; /* of fd and stopped: interrupt() comes from elsewhere */
	int fd;
	bool stopped;
};

/* --- making ----------------------------------------------------------------------------------- */

static int
tls_failed(struct hw_err *err, const char *what, const char *name)
{
	char why[160];

	ERR_error_string_n(ERR_peek_last_error(), why, sizeof(why));
	ERR_clear_error();
	return hw_err_set(err, HW_ECERT, "%s %s: %s", what, name, why);
}

static int
load_files(struct stream_syslog *s, const struct stream_syslog_config *c, struct hw_err *err)
{
	if (c->ca[0] == '\0' ? SSL_CTX_set_default_verify_paths(s->tls) != 1
			     : SSL_CTX_load_verify_file(s->tls, c->ca) != 1)
		return tls_failed(err, "cannot load the syslog server's authority", c->ca);
	if (c->certificate[0] == '\0')
		return 0;
	if (SSL_CTX_use_certificate_chain_file(s->tls, c->certificate) != 1)
		return tls_failed(err, "cannot load the certificate", c->certificate);
	if (SSL_CTX_use_PrivateKey_file(s->tls, c->key, SSL_FILETYPE_PEM) != 1)
		return tls_failed(err, "cannot load the key", c->key);
	return 0;
}

/* "host:port", "[2001:db8::1]:6514". */
static int
split_address(struct stream_syslog *s, const char *address, struct hw_err *err)
{
	const char *colon = strrchr(address, ':');
	bool bracket = address[0] == '[' && colon != NULL && colon[-1] == ']';

	if (colon == NULL || colon == address || colon[1] == '\0')
		return hw_err_set(err, HW_EVALIDATION, "stream_syslog: \"%.100s\" is not HOST:PORT",
			address);
	s->host = bracket ? strndup(address + 1, (size_t)(colon - address) - 2)
			  : strndup(address, (size_t)(colon - address));
	s->port = strdup(colon + 1);
	return s->host != NULL && s->port != NULL
		? 0
		: hw_err_set(err, HW_ENOMEM, "no memory for a stream");
}

static void syslog_free(void *arg);

int
stream_syslog_new(struct stream_syslog **ret, const struct stream_syslog_config *c,
	struct hw_err *err)
{
	struct stream_syslog *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a stream");
	s->fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	buf_init(&s->message, MESSAGE_MAX);
	s->relay = strdup(c->relay);
	s->tls = SSL_CTX_new(TLS_client_method());
	if (s->relay == NULL || s->tls == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for a stream");
	else if ((r = split_address(s, c->address, err)) == 0)
		r = load_files(s, c, err);
	if (r < 0) {
		syslog_free(s);
		return r;
	}
	/* Receivers are others' programs, and not all of them know 1.3. */
	SSL_CTX_set_min_proto_version(s->tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(s->tls, SSL_MODE_AUTO_RETRY);
	*ret = s;
	return 0;
}

/* --- connecting ------------------------------------------------------------------------------- */

/* False: the stream is stopping. */
static bool
keep_fd(struct stream_syslog *s, int fd)
{
	pthread_mutex_lock(&s->lock);
	bool go_on = !s->stopped;
	if (go_on)
		s->fd = fd;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

static void
syslog_close(void *arg)
{
	struct stream_syslog *s = arg;

	SSL_free(s->ssl);
	s->ssl = NULL;
	pthread_mutex_lock(&s->lock);
	fd_close(s->fd);
	s->fd = -1;
	pthread_mutex_unlock(&s->lock);
}

static void
syslog_interrupt(void *arg)
{
	struct stream_syslog *s = arg;

	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	if (s->fd >= 0)
		shutdown(s->fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
}

static void
syslog_free(void *arg)
{
	struct stream_syslog *s = arg;

	syslog_close(s);
	SSL_CTX_free(s->tls);
	buf_fini(&s->message);
	pthread_mutex_destroy(&s->lock);
	free(s->host);
	free(s->port);
	free(s->relay);
	free(s);
}

static int
dial_one(struct stream_syslog *s, const struct addrinfo *a)
{
	const struct timeval wait = {.tv_sec = WAIT_SECONDS};
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);

	if (fd < 0)
		return -1;
	/* The first bounds connect(), too. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (!keep_fd(s, fd)) {
		fd_close(fd);
		errno = EINTR;
		return -1;
	}
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	int e = errno;
	syslog_close(s);
	errno = e;
	return -1;
}

static int
dial(struct stream_syslog *s, struct hw_err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *all = NULL, *a;
	int r = -1;

	int e = getaddrinfo(s->host, s->port, &hints, &all);
	if (e != 0)
		return hw_err_set(err, HW_ERESOLVE, "syslog server %s: %s", s->host,
			gai_strerror(e));
	for (a = all; a != NULL && r < 0; a = a->ai_next)
		r = dial_one(s, a);
	if (r < 0)
		r = hw_err_sys(err, "cannot connect to the syslog server %s:%s", s->host, s->port);
	freeaddrinfo(all);
	return r;
}

static int
greet(struct stream_syslog *s, struct hw_err *err)
{
	ERR_clear_error();
	s->ssl = SSL_new(s->tls);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 || SSL_set1_host(s->ssl, s->host) != 1)
		return hw_err_set(err, HW_ENOMEM, "no memory for a connection to syslog");
	(void)SSL_set_tlsext_host_name(s->ssl, s->host);
	if (SSL_connect(s->ssl) == 1)
		return 0;
	long bad = SSL_get_verify_result(s->ssl);
	if (bad != X509_V_OK)
		return hw_err_set(err, HW_ECERT,
			"the certificate of the syslog server %s does not verify: %s", s->host,
			X509_verify_cert_error_string(bad));
	return tls_failed(err, "no TLS with the syslog server", s->host);
}

static int
syslog_open(void *arg, struct hw_err *err)
{
	struct stream_syslog *s = arg;
	int r;

	if (s->ssl != NULL)
		return 0;
	if ((r = dial(s, err)) == 0)
		r = greet(s, err);
	if (r < 0)
		syslog_close(s);
	return r;
}

/* --- messages --------------------------------------------------------------------------------- */

static int
syslog_put(void *arg, const struct msg_ledger_entry *e, struct buf *out, struct hw_err *err)
{
	struct stream_syslog *s = arg;

	buf_reset(&s->message);
	if (syslog_format(&s->message, s->relay, e) < 0 ||
		buf_printf(out, "%zu ", s->message.len) < 0 ||
		buf_append(out, buf_data(&s->message), s->message.len) < 0)
		return hw_err_set(err, HW_ELIMIT, "an entry is too large for the stream");
	return 0;
}

static int
syslog_send(void *arg, const struct buf *out, struct hw_err *err)
{
	struct stream_syslog *s = arg;
	size_t at = 0, n = 0;

	ERR_clear_error();
	while (at < out->len && SSL_write_ex(s->ssl, buf_data(out) + at, out->len - at, &n) == 1)
		at += n;
	if (at == out->len)
		return 0;
	return hw_err_set(err, HW_ECLOSED, "the syslog server %s takes nothing more", s->host);
}

/* What it may say: tickets of TLS, and its farewell. True: that came; false: it only ended. */
static int
await_farewell(struct stream_syslog *s, bool *farewell)
{
	uint8_t unread[4096];
	size_t n;

	ERR_clear_error();
	errno = 0;
	while (SSL_read_ex(s->ssl, unread, sizeof(unread), &n) == 1)
		;
	int why = SSL_get_error(s->ssl, 0);
	*farewell = why == SSL_ERROR_ZERO_RETURN;
	if (*farewell)
		return 0;
	/* A plain end of file, and no reset and no time-out. */
	if (why == SSL_ERROR_SSL &&
		ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return 0;
	return why == SSL_ERROR_SYSCALL && errno == 0 ? 0 : -1;
}

static int
syslog_settle(void *arg, struct hw_err *err)
{
	struct stream_syslog *s = arg;
	bool farewell = false;

	if (s->ssl == NULL)
		return 0;
	int r = SSL_shutdown(s->ssl) < 0 || shutdown(s->fd, SHUT_WR) < 0
		? -1
		: await_farewell(s, &farewell);
	ERR_clear_error();
	syslog_close(s);
	if (r == 0)
		s->rude = farewell ? 0 : s->rude + 1;
	if (r == 0 && (farewell || s->rude > RUDE_MAX))
		return 0;
	return hw_err_set(err, HW_ECLOSED,
		"the syslog server %s did not say that it has all that was sent", s->host);
}

const struct stream_sink stream_syslog_sink = {
	.name = "syslog",
	.open = syslog_open,
	.put = syslog_put,
	.send = syslog_send,
	.settle = syslog_settle,
	.close = syslog_close,
	.interrupt = syslog_interrupt,
	.free = syslog_free,
	.settle_entries = 5000,
	.settle_usec = 5 * USEC_PER_SEC,
};
