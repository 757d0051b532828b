/*
 * A WebSocket server on a thread, written against OpenSSL alone: what ws_client's peer does is up
 * to the test, well or badly.
 */
#ifndef HAWSER_TESTS_UNIT_WIRE_WS_SERVER_H
#define HAWSER_TESTS_UNIT_WIRE_WS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_server;
struct ws_conn;

enum { WS_CONTINUED = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8 };

struct ws_script {
	const char *cert, *key; /* PEM files */
	const char *client_ca;	/* demand a certificate that it signed; NULL: none */
	bool plain;		/* no TLS: garbage instead */
	bool old_tls;		/* at most TLS 1.2 */
	bool silent;		/* accept, and say nothing */
	bool proxy;		/* answer CONNECT first, a piece at a time */
	const char *proxy_says; /* with this; NULL: that the way is open */
	char *proxy_asked;	/* of 1024 bytes: what it was asked; NULL: nobody wants to know */
	const char *refusal;	/* the whole HTTP answer instead of an upgrade */
	/* After the upgrade, on the server's thread; returns to hang up. */
	void (*serve)(struct ws_conn *c, void *arg);
	void *arg;
};

/* Listens on 127.0.0.1 and serves one connection after another. */
struct ws_server *ws_server_start(const struct ws_script *script, int *port);
void ws_server_stop(struct ws_server *s);

/* The next frame, unmasked; its length, or -1 at the end. Fails the test when it was not masked. */
int ws_conn_read(struct ws_conn *c, uint8_t *out, size_t room, int *opcode);
void ws_conn_write(struct ws_conn *c, int opcode, bool fin, const void *p, size_t n);
/* The head of a frame of n bytes, and none of them. */
void ws_conn_write_head(struct ws_conn *c, int opcode, uint64_t n);
const char *ws_conn_request(const struct ws_conn *c); /* HTTP's head, as it came */

#endif
