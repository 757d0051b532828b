#include "tests/unit/trust/server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct server {
	struct server_rules rules;
	X509 *own;
	SSL_CTX *ctx;
	int listener, stop[2];
	pthread_t thread;
	struct buf request;
};

static void
set_chain(struct server *s, struct fleet *f)
{
	struct server_rules *rules = &s->rules;

	if (rules->cert == NULL) {
		s->own = fleet_issue(f, ROLE_RELAY, "relay-1", f->now - HOUR, f->now + HOUR);
		rules->cert = s->own;
	}
	s->ctx = SSL_CTX_new(TLS_server_method());
	cr_assert(eq(int, SSL_CTX_use_certificate(s->ctx, rules->cert), 1));
	cr_assert(eq(int, SSL_CTX_use_PrivateKey(s->ctx, f->key), 1));
	if (!rules->without_ca)
		SSL_CTX_add1_chain_cert(s->ctx, rules->ca != NULL ? rules->ca : ca_cert(f->ca));
	if (rules->without_ca)
		SSL_CTX_set_mode(s->ctx, SSL_MODE_NO_AUTO_CHAIN);
	if (rules->tls12)
		SSL_CTX_set_max_proto_version(s->ctx, TLS1_2_VERSION);
}

/* Whether there is something to read before the test ends. */
static bool
wait_for(struct server *s, int fd, int timeout_ms)
{
	struct pollfd p[] = {
		{.fd = fd,	   .events = POLLIN},
		      {.fd = s->stop[0], .events = POLLIN}
	  };

	return poll(p, 2, timeout_ms) >= 0 && p[1].revents == 0;
}

/* The body, once all of it is there. */
static const char *
body_of(struct buf *request, size_t *n)
{
	const char *text = buf_str(request), *end, *length;

	if (text == NULL || (end = strstr(text, "\r\n\r\n")) == NULL)
		return NULL;
	length = strstr(text, "Content-Length: ");
	*n = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
	end += 4;
	return request->len - (size_t)(end - text) >= *n ? end : NULL;
}

static bool
read_request(struct server *s, SSL *ssl)
{
	char chunk[4096];
	size_t n;
	int got;

	while (body_of(&s->request, &n) == NULL) {
		if ((got = SSL_read(ssl, chunk, sizeof(chunk))) <= 0)
			return false;
		buf_append(&s->request, chunk, (size_t)got);
	}
	return true;
}

static void
make_answer(struct server *s, struct buf *out)
{
	char path[64] = "";
	struct buf body;
	size_t n;

	if (s->rules.reply == NULL) {
		buf_append_str(out, s->rules.answer);
		return;
	}
	buf_init(&body, 1 << 20);
	const char *text = body_of(&s->request, &n);
	sscanf(buf_str(&s->request), "POST %63s", path);
	int status = s->rules.reply(s->rules.arg, path, text, n, &body);
	buf_printf(out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, body.len);
	buf_append(out, buf_data(&body), body.len);
	buf_fini(&body);
}

static void
send_slowly(struct server *s, SSL *ssl, const struct buf *out)
{
	for (size_t i = 0; i + 1 < out->len; i++) {
		if (SSL_write(ssl, buf_data(out) + i, 1) <= 0 || !wait_for(s, -1, 20))
			return;
	}
	wait_for(s, -1, 60000);
}

static void
serve(struct server *s, int fd)
{
	SSL *ssl = SSL_new(s->ctx);
	struct buf out;

	buf_init(&out, 1 << 22);
	SSL_set_fd(ssl, fd);
	if (s->rules.mute)
		wait_for(s, -1, 60000);
	else if (SSL_accept(ssl) > 0 && read_request(s, ssl)) {
		make_answer(s, &out);
		if (s->rules.dribble)
			send_slowly(s, ssl, &out);
		else if (out.len > 0)
			SSL_write(ssl, buf_data(&out), (int)out.len);
		if (!s->rules.cut && !s->rules.dribble)
			SSL_shutdown(ssl);
		shutdown(fd, SHUT_WR);
		wait_for(s, fd, 1000); /* closing now could reset what the client still reads */
	}
	ERR_clear_error();
	buf_fini(&out);
	SSL_free(ssl);
}

static void *
server_run(void *arg)
{
	struct server *s = arg;

	while (wait_for(s, s->listener, -1)) {
		int fd = accept(s->listener, NULL, NULL);
		if (fd < 0)
			break;
		serve(s, fd);
		close(fd);
	}
	OPENSSL_thread_stop();
	return NULL;
}

struct server *
server_start(struct fleet *f, const struct server_rules *rules, struct relay_url *url)
{
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	s->rules = *rules;
	buf_init(&s->request, 1 << 20);
	set_chain(s, f);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(eq(int, bind(s->listener, (struct sockaddr *)&at, sizeof(at)), 0));
	cr_assert(eq(int, listen(s->listener, 8), 0));
	getsockname(s->listener, (struct sockaddr *)&at, &len);
	cr_assert(eq(int, pipe(s->stop), 0));
	*url = (struct relay_url){.host = "127.0.0.1", .port = ntohs(at.sin_port)};
	ca_pin(url->pin, f->ca);
	cr_assert(eq(int, pthread_create(&s->thread, NULL, server_run, s), 0));
	return s;
}

const char *
server_stop(struct server *s)
{
	if (s->listener >= 0) {
		close(s->stop[1]);
		pthread_join(s->thread, NULL);
		close(s->stop[0]);
		close(s->listener);
		s->listener = -1;
	}
	const char *text = buf_str(&s->request);
	return text != NULL ? text : "";
}

void
server_free(struct server *s)
{
	server_stop(s);
	SSL_CTX_free(s->ctx);
	X509_free(s->own);
	buf_fini(&s->request);
	free(s);
}
