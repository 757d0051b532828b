/*
 * The client's connection: one link to the relay, and requests on it that look like function calls.
 * A call runs the loop until its answer is there.
 */
#ifndef HAWSER_CLIENT_CONN_H
#define HAWSER_CLIENT_CONN_H

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

	/* Begins to connect; conn_connected() or conn_failed() is called later, unless this fails.
	 */
	int (*dial)(void *arg, struct conn *c, struct hw_err *err);
	/* Runs the loop for a while, at least until loop_stop(); NULL is loop_run(). A test with a
	 * fake clock moves it here. */
	void (*turn)(void *arg);
	void *arg;
};

/* Connects and greets. HW_EUNAVAILABLE, HW_ECERT, HW_EEXPIRED, HW_ETIMEOUT, ... */
int conn_open(struct conn **ret, const struct conn_config *config, struct hw_err *err);
void conn_free(struct conn *c); /* NULL is fine */

/* For dial: the connection stands; makes the link. And: it does not. */
struct link *conn_connected(struct conn *c, struct link_transport *transport);
void conn_failed(struct conn *c, int code, const char *why);

/* Calls an operation. `ret` is the address of a pointer to the reply's struct, which is decoded
 * into the arena. */
int conn_call(void *ret, struct conn *c, enum op_id op, const void *request, struct arena *a,
	struct hw_err *err);

/* Returns when the relay has read everything that was sent so far, or after a second. */
void conn_flush(struct conn *c);

/* Runs the loop until *done, or for `usec` (negative: for ever). True when *done. What sets *done
 * calls conn_wake(). A signal or timer that sets it does so too. */
bool conn_wait(struct conn *c, const bool *done, int64_t usec);
void conn_wake(struct conn *c);

struct link *conn_link(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
int64_t conn_timeout(const struct conn *c);

#endif
