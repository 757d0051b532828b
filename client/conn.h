/*
 * The client's connection: a link to the relay, and requests on it that look like function calls.
 * A call runs the loop until its answer is there.
 *
 * A link that is lost is the end of it, until something asks to keep it: then it is dialled again,
 * for as long as the relay waits for us.
 */
#ifndef HAWSER_CLIENT_CONN_H
#define HAWSER_CLIENT_CONN_H

#include <sys/queue.h>

#include "proto/base/arena.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/link.h"

struct conn;

struct conn_config {
	struct loop *loop;
	const struct log_ctx *log;
	const char *user; /* who we say we are: the certificate's name */
	int64_t timeout;  /* of connecting and of each answer */

	/* Begins to connect; conn_connected() or conn_failed() is called later, or from inside,
	 * unless this fails. Called again for a link that was lost and is kept. */
	int (*dial)(void *arg, struct conn *c, struct hw_err *err);
	/* Runs the loop for a while, at least until loop_stop(); NULL is loop_run(). A test with a
	 * fake clock moves it here. */
	void (*turn)(void *arg);
	void *arg;
};

/* Connects and greets. HW_EUNAVAILABLE, HW_ECERT, HW_EEXPIRED, HW_ETIMEOUT, ... */
int conn_open(struct conn **ret, const struct conn_config *config, struct hw_err *err);
void conn_free(struct conn *c); /* NULL is fine */

/* For dial: the connection stands; makes the link, NULL when nobody waits for it any more. And: it
 * does not. */
struct link *conn_connected(struct conn *c, struct link_transport *transport);
void conn_failed(struct conn *c, int code, const char *why);

/* --- keeping it
 * ----------------------------------------------------------------------------------------------
 *
 * What a watch hears, in this order: on_lost, then on_back or on_gone. Each may call anything here
 * but conn_call() and conn_free().
 */

struct conn_watch_events {
	/* The link is gone, and is dialled again; channels of it were parked before. */
	void (*on_lost)(void *arg, const char *why);
	/* There is a link again: conn_link(). */
	void (*on_back)(void *arg);
	/* There will be none: the time is over, or the relay wants none of us. `why` is a sentence.
	 */
	void (*on_gone)(void *arg, int code, const char *why);
};

/* Embedded in whom it tells. Several may be kept at a time. */
struct conn_watch {
	const struct conn_watch_events *events;
	void *arg;
	int64_t within; /* how long a lost link is dialled again; the longest of all watches counts
			 */
	bool kept;	/* conn's */
	LIST_ENTRY(conn_watch) entry;
};

/* While the link is up. */
void conn_keep(struct conn *c, struct conn_watch *w);
/* One that is not kept is fine. */
void conn_release(struct conn *c, struct conn_watch *w);

/* --- calls
 * --------------------------------------------------------------------------------------------- */

/* Calls an operation. `ret` is the address of a pointer to the reply's struct, which is decoded
 * into the arena. Without a link it waits for the one that is dialled, as long as for an answer. */
int conn_call(void *ret, struct conn *c, enum op_id op, const void *request, struct arena *a,
	struct hw_err *err);

/* The same in parts: what is between them is done while the relay works. An answer is kept as bytes
 * until it is decoded, which may be more than once, and as another row of which it has fields. */
struct conn_asked;
/* On its way to the relay when it returns. */
int conn_ask(struct conn_asked **ret, struct conn *c, enum op_id op, const void *request,
	struct hw_err *err);
int conn_await(struct conn_asked *asked, struct hw_err *err);
int conn_decode(void *ret, const struct conn_asked *asked, const struct msg_row *row,
	struct arena *a, struct hw_err *err);
void conn_asked_free(struct conn_asked *asked); /* its answer is not waited for; NULL is fine */

/* Returns when the relay has read everything that was sent so far, or after a second; at once
 * without a link. */
void conn_flush(struct conn *c);

/* Runs the loop until *done, or for `usec` (negative: for ever). True when *done. What sets *done
 * calls conn_wake(). A signal or timer that sets it does so too. */
bool conn_wait(struct conn *c, const bool *done, int64_t usec);
void conn_wake(struct conn *c);

/* --- what the relay says by itself
 * --------------------------------------------------------------------------------------------- */

/* The newest signed head of its ledger that the relay has shown on this connection; "" while there
 * is none. */
const char *conn_head(const struct conn *c);
/* Called when it shows another; NULL: no more. It may call anything here but conn_call() and
 * conn_free(). */
void conn_watch_head(struct conn *c, void (*fn)(void *arg), void *arg);
/* By how much the relay's clock was ahead of ours when the link came up, the way there not counted.
 */
int64_t conn_ahead(const struct conn *c);
/* The way there and back, of a frame of its own. HW_ETIMEOUT, HW_EUNAVAILABLE. */
int conn_round_trip(int64_t *usec, struct conn *c, struct hw_err *err);

struct link *conn_link(const struct conn *c); /* NULL while there is none that is up */
bool conn_is_waiting(const struct conn *c);   /* for a link that is dialled again */
struct loop *conn_loop(const struct conn *c);
int64_t conn_timeout(const struct conn *c);

#endif
