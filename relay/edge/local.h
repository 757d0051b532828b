/*
 * The local door: DIR/local.sock, for root and the relay's own user on the relay's machine, told
 * apart by the kernel (SO_PEERCRED). What is open there is core/local.h's; no TLS, certificate or
 * user is needed. A request is a line, and so is its answer:
 *
 *   {"Operation":"ListUsers","Request":{"MaxResults":10}}
 *   {"Status":200,"RequestId":"...","Url":"https://...","Reply":{"Users":[...]}}
 *   {"Status":403,"RequestId":"...","__type":"AccessDeniedException","message":"..."}
 *
 * A connection's requests are answered one after the other, in their order; what is no request is
 * answered with an error too, and only a line that is too long ends the connection. Loop thread
 * only.
 */
#ifndef HAWSER_EDGE_LOCAL_H
#define HAWSER_EDGE_LOCAL_H

#include "proto/base/clock.h"
#include "proto/base/err.h"

struct log_ctx;
struct loop;
struct relay;
struct local;

#define LOCAL_SOCKET	  "local.sock"
#define LOCAL_REQUEST_MAX (128 * 1024) /* bytes of a line */
#define LOCAL_CONNS_MAX	  8
#define LOCAL_IDLE	  (60 * USEC_PER_SEC)

/* Makes the socket anew, whatever lies in its place but a directory; the caller holds the relay's
 * lock on `dir`. */
int local_open(struct local **ret, struct relay *relay, struct loop *loop,
	const struct log_ctx *log, const char *dir, struct hw_err *err);

/* Removes the socket and ends its connections; before the relay closes. NULL is fine. */
void local_free(struct local *l);

#endif
