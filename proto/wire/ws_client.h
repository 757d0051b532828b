/*
 * The dialling side of a link's transport: TLS 1.3 and WebSocket through libwebsockets, on the
 * program's loop. The relay is trusted when its certificate chains to the pinned CA and is one for
 * relays; names are not looked at (trust/cert.h says why that is enough).
 */
#ifndef HAWSER_WIRE_WS_CLIENT_H
#define HAWSER_WIRE_WS_CLIENT_H

#include "proto/wire/link.h"

typedef struct x509_st X509;

struct proxy;
struct ws_client; /* one a program: the libwebsockets context */
struct ws_dial;	  /* one connection attempt, and the connection that it becomes */

struct ws_client_config {
	struct loop *loop;
	const struct log_ctx *log;
	const char *ca_file, *cert_file, *key_file; /* PEM */
	const struct proxy *proxy;		    /* copied; NULL, or one without a host: none */
	unsigned connections;			    /* at most so many at a time; 0: 16 */
	/* When it is (microseconds since 1970), for judging the relay's certificate; asked at each
	 * attempt. NULL: the loop's clock. */
	int64_t (*now)(void *arg);
	/* The relay's CA is another one by now, for which the one in ca_file has vouched
	 * (trust/succession.h): to be kept there, and ws_client_reload() called. From the loop, at
	 * each connection until then, also one that comes to nothing. The certificate is lent for
	 * the call. NULL: nobody wants to know. */
	void (*on_successor)(void *arg, X509 *root);
	void *arg;
};

int ws_client_new(struct ws_client **ret, const struct ws_client_config *config,
	struct hw_err *err);
/* Ends what is open (links see link_lost) and forgets attempts that are under way. From outside of
 * all callbacks of a dial, as the loop's other callbacks are. NULL is fine. */
void ws_client_free(struct ws_client *c);
/* Connections that are up, or still saying their last words after link_close(). */
size_t ws_client_open(const struct ws_client *c);

/* Re-reads CA, certificate and key for the dials that follow. */
int ws_client_reload(struct ws_client *c, struct hw_err *err);

struct ws_dial_events {
	/* Connected: make the link over `transport` and return it; NULL refuses, and no link uses
	 * it. */
	struct link *(*on_connected)(void *arg, struct link_transport *transport);
	/* The attempt failed; nothing more is called, and the dial is gone. The sentence says what
	 * to look at. Within some 10 seconds; HW_EUNAVAILABLE, HW_ENOTFOUND (no such host),
	 * HW_ETIMEOUT: the way to the relay; HW_ECERT: its certificate, or ours; HW_EEXPIRED: ours
	 * has expired; HW_EDENIED: it refused by HTTP; HW_EPROTO: it is no relay. */
	void (*on_failed)(void *arg, int code, const char *why);
};

/* Dials https://host:port; names are looked up off the loop. No event before it returns. After
 * on_connected the connection belongs to the link: link_lost or the link's own close end it. */
int ws_dial(struct ws_dial **ret, struct ws_client *c, const char *host, int port,
	const struct ws_dial_events *events, void *arg, struct hw_err *err);
/* Gives up an attempt that is under way; no event is called. Not after on_connected. */
void ws_dial_cancel(struct ws_dial *d);

#endif
