/* A listening TCP socket on the program's loop. */
#ifndef HAWSER_EDGE_LISTENER_H
#define HAWSER_EDGE_LISTENER_H

#include "proto/base/log.h"
#include "proto/base/loop.h"

struct sockaddr;
struct listener;

/* Owns fd from then on. The listener may be freed in it. */
typedef void listener_fn(void *arg, int fd, const struct sockaddr *from);

/* Binds and listens: host is a name or an address, "" every address, as "::" is. HW_EEXISTS when
 * the port is taken, HW_EDENIED when it is not for us. The sentence says which address. */
int listener_bind(int *fd, const char *host, int port, struct hw_err *err);

/* Out of descriptors it pauses for a moment, rather than spin. `log` outlives it. */
int listener_open(struct listener **ret, struct loop *loop, const struct log_ctx *log,
	const char *host, int port, listener_fn *on_accept, void *arg, struct hw_err *err);
void listener_free(struct listener *l); /* NULL is fine */

#endif
