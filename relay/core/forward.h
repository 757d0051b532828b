/*
 * The connections of a live forward: each a channel of its user's link and one of its node's,
 * spliced. The relay holds no byte that matters and records none: credit passes through, and what
 * is written down of a connection is who, where to, when, how much and why it ended.
 *
 * A session of type FORWARD has one struct forward from when it is live until it ends. Loop thread
 * only; the broker's own.
 */
#ifndef HAWSER_CORE_FORWARD_H
#define HAWSER_CORE_FORWARD_H

#include "proto/wire/channel.h"

struct broker;
struct forward;
struct peer;
struct session;

#define FORWARD_CONNECTIONS_MAX 1000 /* of one forward at a time */
#define FORWARD_CHANNELS_MAX	3072 /* of a node's link: there is still room for shells then */
#define FORWARD_ENTRIES_MAX	100  /* a second; more connections share one entry */

/* NULL without memory. */
struct forward *forward_new(struct session *s);
/* Ends its connections, told why; what is to be written of them is written. Frees it; NULL is fine.
 */
void forward_end(struct forward *f, int code, const char *why);

/* A user's OPEN of a connection: only the very link that its forward lives on may, and it presents
 * no ticket. Takes over the channel. */
void forward_connect(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_open *open);

/* A user's RESUME of a connection, on the link that its forward was resumed on. Takes over the
 * channel. */
void forward_resume(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_resume *resume);
/* A side of all its connections is lost. NULL is fine for these. */
void forward_lose_user(struct forward *f);
void forward_lose_node(struct forward *f);
/* The node is back: connections whose user has resumed go on. */
void forward_join(struct forward *f);

/* Lets go of its connections, as of its session: neither ended nor written down. Frees it. */
void forward_abandon(struct forward *f);

/* What its user may has changed, or time has passed: connections that would be denied now end. */
void forward_decide(struct forward *f);
void forward_sweep(struct forward *f); /* about once a second */

#endif
