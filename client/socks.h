/*
 * A SOCKS5 server's side of a conversation (RFC 1928), up to where the connection is asked for:
 * CONNECT alone, without authentication. Pure: bytes in, bytes out.
 */
#ifndef HAWSER_CLIENT_SOCKS_H
#define HAWSER_CLIENT_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCKS_WANT_MAX	262 /* bytes of the longest request */
#define SOCKS_REPLY_MAX 10
#define SOCKS_HOST_MAX	255

enum socks_state {
	SOCKS_GREETING,
	SOCKS_REQUEST,
	SOCKS_CONNECT, /* host and port are known: socks_answer() is next */
	SOCKS_REFUSED, /* what is in the reply is the last word */
};

/* RFC 1928's replies. */
enum socks_reply {
	SOCKS_OK = 0,
	SOCKS_FAILURE = 1,
	SOCKS_NOT_ALLOWED = 2,
	SOCKS_HOST_UNREACHABLE = 4,
	SOCKS_CONNECTION_REFUSED = 5,
	SOCKS_TIMED_OUT = 6, /* "TTL expired" there */
	SOCKS_NO_SUCH_COMMAND = 7,
	SOCKS_NO_SUCH_ADDRESS = 8,
};

struct socks {
	enum socks_state state;
	uint8_t got[SOCKS_WANT_MAX];
	size_t n_got;
	uint8_t reply[SOCKS_REPLY_MAX]; /* to be sent, and then n_reply set to 0 */
	size_t n_reply;
	char host[SOCKS_HOST_MAX + 1]; /* an address, or a name: whatever was sent, without NUL */
	int port;
	const char *why; /* it was refused, in words; NULL before */
};

void socks_init(struct socks *s);
/* Takes what belongs to the conversation, and returns how much that was: what follows CONNECT is
 * the connection's. */
size_t socks_take(struct socks *s, const uint8_t *p, size_t n);
/* The answer to CONNECT is in the reply then. */
void socks_answer(struct socks *s, enum socks_reply reply);
/* For an HW_E* that a connection failed with. */
enum socks_reply socks_reply_of(int code);

#endif
