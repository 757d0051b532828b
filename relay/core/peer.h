/*
 * A connected node or user, as its certificate names it: the owner of one link's events. The
 * broker's own; loop thread only.
 */
#ifndef HAWSER_CORE_PEER_H
#define HAWSER_CORE_PEER_H

#include <sys/queue.h>

#include <uthash.h>

#include "proto/base/log.h"
#include "proto/trust/cert.h"
#include "proto/wire/link.h"
#include "relay/core/pacer.h"

struct broker;
struct peer_call;
struct session;

struct peer {
	struct log_ctx log;
	struct broker *broker;
	struct link *link; /* NULL once it is over; the peer then only waits for its calls */
	struct cert_identity who;
	bool cert_expired;
	bool up; /* HELLO has come */
	char source[64];
	int holds; /* operations and tickets that workers have: the struct stays until they are back
		    */
	size_t call_bytes; /* of the requests that workers have */
	/* A node's requests are worked on one after the other, in the order in which they came. */
	bool calling;
	TAILQ_HEAD(, peer_call) calls; /* that wait for that */
	int64_t used;		       /* a user's last request that was noted; wall clock */
	struct pacer pacer;	       /* of bulk through a node that is up */
	int refused;  /* its RESUMEs that were denied: each is an entry of the ledger */
	int sessions; /* on this node, or of this user's link; the broker's lock guards it */
	LIST_HEAD(, session) list; /* and these they are */
	TAILQ_ENTRY(peer) entry;   /* all that have a link */
	struct peer *older;	   /* an older link of the same user, or of a node before HELLO */
	UT_hash_handle hh;	   /* nodes that are up, others' newest links, by who.id */
};

/* While a worker looks at the peer. Releasing may free it. */
void peer_hold(struct peer *p);
void peer_release(struct peer *p);

/* More at once are answered with HW_EFULL: of one link, and the requests' bytes of one and of all.
 */
#define PEER_CALLS_MAX 64
#define PEER_BYTES_MAX (2 << 20)
#define ALL_BYTES_MAX  (64 << 20)

#define PEER_REFUSED_MAX 1000

/* Makes the link. NULL without memory. */
struct peer *peer_new(struct broker *b, const struct cert_identity *who, bool cert_expired,
	const char *source, struct link_transport *transport);

/* Ends its sessions, told why, and then the link. The pointer is dead. */
void peer_close(struct peer *p, int code, const char *why);
/* The same, but its sessions wait for another link of it. */
void peer_replace(struct peer *p, const char *why);

/* Whether a peer that was admitted would be admitted now. */
bool peer_is_welcome(const struct peer *p);

#endif
