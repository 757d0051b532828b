/*
 * What the files of the edge share.
 *
 * A connection's way: listener -> lobby, until its ClientHello is there whole and its turn has come
 * -> libwebsockets, which shakes hands -> door (HTTP) -> wire (a link), or an answer and the end.
 */
#ifndef HAWSER_EDGE_PRIVATE_H
#define HAWSER_EDGE_PRIVATE_H

#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/wire/link.h"
#include "proto/wire/network.h"
#include "proto/wire/send_soon.h"
#include "relay/core/config.h"
#include "relay/core/relay.h"
#include "relay/edge/admission.h"
#include "relay/edge/http.h"
#include "relay/edge/listener.h"
#include "relay/edge/server.h"
#include "relay/edge/tls.h"

struct lws;
struct lws_context;
struct lws_vhost;
struct sigv4;

enum conn_state {
	CONN_QUIET,	/* its ClientHello has not come yet */
	CONN_READY,	/* it has; the handshake waits for its turn */
	CONN_GREETING,	/* from here on it is libwebsockets': TLS, then a request's head */
	CONN_BODY,	/* of the request */
	CONN_ASKED,	/* the relay works on it */
	CONN_REPLYING,	/* the answer waits to be written */
	CONN_ANSWERED,	/* it is on its way and was the last; what comes in is dropped */
	CONN_UPGRADING, /* let in, not yet a link */
	CONN_LINK,
	CONN_ENDING, /* the link has let go; its last words are on their way */
};

/* What is of no use once a connection is a link, as most are. */
struct greeting {
	char address[46];
	int fd, wanted; /* in the lobby; wanted: the bytes that it waits for */
	bool headed;	/* a PROXY header comes first, which says whose connection it is */
	struct loop_fd *watch;
	int64_t until;	 /* monotonic: how long it may go on asking */
	const char *op;	 /* at the door */
	char target[64]; /* of a signed request: the operation's name */
	struct sigv4 *signature;
	const char *type; /* of the answer */
	bool stays;	  /* the connection, after it */
	size_t length, dropped;
	struct buf body, reply; /* reply: a whole answer */
	struct cert_identity who;
	bool expired;
};

struct conn {
	TAILQ_ENTRY(conn) entry; /* of server.conns */
	TAILQ_ENTRY(conn) turn;	 /* of server.waiting, in CONN_READY */
	struct server *server;
	struct lws *wsi; /* from CONN_GREETING on */
	enum conn_state state;
	enum http_door door;
	uint64_t source; /* where it holds a place of the admission; 0: nowhere */
	bool seated;	 /* it has shown a good signature: one of server.seated */
	struct loop_timer deadline;
	struct greeting *greeting; /* until CONN_LINK */
	bool *gone;		   /* to be set when it is freed while the lobby hands it over */

	struct link *link; /* in CONN_LINK, and only there */
	struct link_transport transport;
	struct send_soon soon;
	struct buf message; /* one that comes in pieces */
	unsigned pieces;
};

TAILQ_HEAD(conn_list, conn);

struct server {
	struct loop *loop;
	struct relay *relay; /* NULL once quiesced */
	struct log_ctx log;
	struct edge_stats *stats, own_stats;
	int64_t head_within; /* microseconds */
	int64_t signed_idle; /* likewise */
	size_t max_links, links, count, scrapers;
	struct network balancers[PROXY_PROTOCOL_MAX];
	size_t n_balancers;
	int64_t header_warned; /* monotonic: when a wrong header was last logged; 0: never */
	size_t max_seated, seated; /* connections of signed requests that stay */
	int max_handshakes;

	struct lws_context *lws;
	struct lws_vhost *vhosts[2]; /* by enum http_door */
	struct listener *listeners[2];
	struct tls tls;
	char dir[4000];	   /* where relay.crt and relay.key lie */
	uint8_t shown[32]; /* the fingerprint of the certificate that is shown */
	struct admission *admission;
	struct conn_list conns, waiting;
	struct loop_timer handshakes; /* armed while some are waiting */
};

/* --- conn.c -------------------------------------------------------------------------------- */

/* Owns fd. NULL without memory; then fd is closed. */
struct conn *conn_new(struct server *s, enum http_door door, int fd, const struct sockaddr *from);
/* It is somebody else's, as a PROXY header has it: that one's address counts from now on. False
 * when there is no place left for that one. */
bool conn_is_of(struct conn *c, const struct sockaddr *from);
/* Ends it whatever its state. Not from libwebsockets' callbacks; c may be gone after it. */
void conn_close(struct conn *c);
/* libwebsockets has let go, or never had it. */
void conn_free(struct conn *c);
/* It shall have left its state within that time. */
void conn_expect(struct conn *c, int64_t usec);
/* It has shown a good signature, and stays for further ones: no place of the admission. False when
 * too many do already. */
bool conn_seat(struct conn *c);
/* It has become a link: no deadline, no place of the admission. */
void conn_settle(struct conn *c, struct link *link);

/* --- lobby.c ------------------------------------------------------------------------------- */

void lobby_enter(struct conn *c); /* c may be gone after it */
void lobby_leave(struct conn *c);
/* Hands the descriptor to libwebsockets; c may be gone after it. */
void lobby_hand_over(struct conn *c);
void lobby_on_turn(void *server);

/* --- door.c: each returns what libwebsockets' callback is to return ------------------------ */

int door_request(struct conn *c, struct lws *wsi);
int door_upgrade(struct conn *c, struct lws *wsi, const char *to);
int door_body(struct conn *c, const void *p, size_t n);
int door_writable(struct conn *c, struct lws *wsi);

/* --- wire.c: likewise ---------------------------------------------------------------------- */

int wire_up(struct conn *c, struct lws *wsi);
int wire_receive(struct conn *c, struct lws *wsi, const void *p, size_t n);
int wire_writable(struct conn *c, struct lws *wsi);
void wire_down(struct conn *c);

#endif
