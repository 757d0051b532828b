/*
 * The relay's port: TLS, HTTP and WebSocket through libwebsockets, on the relay's loop. Hands links
 * and requests to core/relay.h. Loop thread only; every function here is for outside of its
 * callbacks.
 */
#ifndef HAWSER_EDGE_SERVER_H
#define HAWSER_EDGE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct log_ctx;
struct loop;
struct relay;
struct server;

struct server_options {
	struct relay *relay;
	struct loop *loop; /* a real one */
	const struct log_ctx *log;
	const char *dir; /* where relay.crt and relay.key lie */
	const char
		*listen_host; /* NULL: as the relay's configuration says; else with listen_port */
	int listen_port;
};

/* Listens and serves. A port for metrics that cannot be had is logged, and done without. */
int server_open(struct server **ret, const struct server_options *options, struct hw_err *err);

/* Shows new connections the certificate that lies in the directory now: the relay's own, of its
 * fleet, good today, with its key. Anything else is HW_ECERT or HW_EEXPIRED, and the one before is
 * shown on. *changed: it is another one; *expires: its end. */
int server_reload(struct server *s, bool *changed, int64_t *expires, struct hw_err *err);

/* The relay is about to close: stops listening, ends what has no link, and forgets the relay. Its
 * links are to be closed next; their last words go while the loop runs once more. */
void server_quiesce(struct server *s);
size_t server_connections(const struct server *s);

/* Ends everything at once. After server_quiesce() and the relay's end, but before the loop's. */
void server_free(struct server *s);

#endif
