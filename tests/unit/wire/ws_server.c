#include "tests/unit/wire/ws_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/err.h"

struct ws_server {
	struct ws_script script;
	SSL_CTX *tls;
	int listener;
	volatile int current; /* descriptor of the connection that is served */
	pthread_t thread;
};

struct ws_conn {
	SSL *ssl;
	char request[4096];
};

static bool
read_all(SSL *ssl, void *p, size_t n)
{
	for (size_t got; n > 0; p = (char *)p + got, n -= got)
		if (SSL_read_ex(ssl, p, n, &got) != 1)
			return false;
	return true;
}

/* HTTP's head, byte by byte: nothing after it is taken. */
static bool
read_head(SSL *ssl, int fd, char *out, size_t room)
{
	size_t n = 0;

	out[0] = '\0';
	while (n + 1 < room && strstr(out, "\r\n\r\n") == NULL) {
		if (ssl != NULL ? !read_all(ssl, out + n, 1) : read(fd, out + n, 1) != 1)
			return false;
		out[++n] = '\0';
	}
	return true;
}

static void
accept_key(char out[64], const char *request)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strcasestr(request, "Sec-WebSocket-Key: ");
	char text[128];
	uint8_t hash[SHA_DIGEST_LENGTH];

	hw_assert(key != NULL);
	key += strlen("Sec-WebSocket-Key: ");
	snprintf(text, sizeof(text), "%.*s%s", (int)strcspn(key, "\r"), key, guid);
	SHA1((const uint8_t *)text, strlen(text), hash);
	EVP_EncodeBlock((uint8_t *)out, hash, sizeof(hash));
}

static void
upgrade(struct ws_server *s, struct ws_conn *c)
{
	char answer[512], key[64];

	if (!read_head(c->ssl, -1, c->request, sizeof(c->request)))
		return;
	if (s->script.refusal != NULL) {
		SSL_write(c->ssl, s->script.refusal, (int)strlen(s->script.refusal));
		return;
	}
	accept_key(key, c->request);
	int n = snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
		"Sec-WebSocket-Protocol: hawser.1\r\n\r\n",
		key);
	SSL_write(c->ssl, answer, n);
	if (s->script.serve != NULL)
		s->script.serve(c, s->script.arg);
}

/* The way is open only when nothing else was to be said. */
static bool
answer_connect(int fd, const char *says)
{
	static const char ok[] = "HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n";
	const char *text = says != NULL ? says : ok;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (; *text != '\0'; text++) {
		if (write(fd, text, 1) != 1)
			return false;
		if (says == NULL)
			usleep(500); /* so that it is read in pieces; nothing depends on it */
	}
	return says == NULL;
}

static void
serve(struct ws_server *s, int fd)
{
	struct ws_conn c = {0};
	char connect[1024];

	if (s->script.silent) {
		while (read(fd, connect, sizeof(connect)) > 0)
			;
		return;
	}
	if (s->script.plain && write(fd, "220 mail.example ESMTP\r\n", 24) == 24)
		return;
	if (s->script.proxy) {
		if (!read_head(NULL, fd, connect, sizeof(connect)) ||
			strncmp(connect, "CONNECT relay.example:8443 HTTP/1.", 34) != 0)
			return;
		if (s->script.proxy_asked != NULL)
			strcpy(s->script.proxy_asked, connect);
		if (!answer_connect(fd, s->script.proxy_says))
			return;
	}
	c.ssl = SSL_new(s->tls);
	SSL_set_fd(c.ssl, fd);
	if (SSL_accept(c.ssl) == 1)
		upgrade(s, &c);
	SSL_shutdown(c.ssl);
	SSL_free(c.ssl);
	/* Bytes that nobody read would turn the end into a reset, which may overtake an alert. */
	shutdown(fd, SHUT_WR);
	while (read(fd, connect, sizeof(connect)) > 0)
		;
}

static void *
on_thread(void *arg)
{
	struct ws_server *s = arg;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		s->current = fd;
		serve(s, fd);
		s->current = -1;
		close(fd);
	}
	return NULL;
}

static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
	unsigned in_n, void *arg)
{
	static const unsigned char http[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	return SSL_select_next_proto((unsigned char **)out, n, http, 9, in, in_n) ==
			OPENSSL_NPN_NEGOTIATED
		? SSL_TLSEXT_ERR_OK
		: SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *
tls_new(const struct ws_script *script)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	hw_assert(tls != NULL);
	hw_assert(SSL_CTX_use_certificate_chain_file(tls, script->cert) == 1);
	hw_assert(SSL_CTX_use_PrivateKey_file(tls, script->key, SSL_FILETYPE_PEM) == 1);
	SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
	if (script->old_tls)
		SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION);
	if (script->client_ca != NULL) {
		hw_assert(SSL_CTX_load_verify_file(tls, script->client_ca) == 1);
		SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	return tls;
}

struct ws_server *
ws_server_start(const struct ws_script *script, int *port)
{
	struct ws_server *s = calloc(1, sizeof(*s));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	hw_assert(s != NULL);
	s->script = *script;
	s->current = -1;
	s->tls = tls_new(script);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	hw_assert(bind(s->listener, (struct sockaddr *)&at, sizeof(at)) == 0);
	hw_assert(listen(s->listener, 8) == 0);
	hw_assert(getsockname(s->listener, (struct sockaddr *)&at, &n) == 0);
	*port = ntohs(at.sin_port);
	hw_assert(pthread_create(&s->thread, NULL, on_thread, s) == 0);
	return s;
}

void
ws_server_stop(struct ws_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	int fd = s->current;
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	SSL_CTX_free(s->tls);
	free(s);
}

static size_t
number(const uint8_t *p, int width)
{
	size_t v = 0;

	while (width-- > 0)
		v = v << 8 | *p++;
	return v;
}

int
ws_conn_read(struct ws_conn *c, uint8_t *out, size_t room, int *opcode)
{
	uint8_t head[2], more[8], mask[4];

	if (!read_all(c->ssl, head, 2))
		return -1;
	size_t n = head[1] & 0x7f;
	int width = n == 126 ? 2 : n == 127 ? 8 : 0;
	hw_assert((head[1] & 0x80) != 0 && (head[0] & 0x80) != 0);
	if (!read_all(c->ssl, more, (size_t)width) || !read_all(c->ssl, mask, 4))
		return -1;
	if (width > 0)
		n = number(more, width);
	hw_assert(n <= room);
	if (!read_all(c->ssl, out, n))
		return -1;
	for (size_t i = 0; i < n; i++)
		out[i] ^= mask[i % 4];
	*opcode = head[0] & 0x0f;
	return *opcode == WS_CLOSE ? -1 : (int)n;
}

static void
write_head(struct ws_conn *c, uint8_t first, uint64_t n)
{
	uint8_t head[10] = {first, 127};

	for (int i = 0; i < 8; i++)
		head[2 + i] = (uint8_t)(n >> (56 - 8 * i));
	SSL_write(c->ssl, head, sizeof(head));
}

void
ws_conn_write_head(struct ws_conn *c, int opcode, uint64_t n)
{
	write_head(c, (uint8_t)(0x80 | opcode), n);
}

void
ws_conn_write(struct ws_conn *c, int opcode, bool fin, const void *p, size_t n)
{
	uint8_t first = (uint8_t)((fin ? 0x80 : 0) | opcode);
	uint8_t small[4] = {first, (uint8_t)(n < 126 ? n : 126), (uint8_t)(n >> 8), (uint8_t)n};

	if (n > 65535)
		write_head(c, first, n);
	else
		SSL_write(c->ssl, small, n < 126 ? 2 : 4);
	if (n > 0)
		SSL_write(c->ssl, p, (int)n);
}

const char *
ws_conn_request(const struct ws_conn *c)
{
	return c->request;
}
