/* Dials the relay of a home over TLS and WebSocket: what conn_config.dial is outside of tests. */
#ifndef HAWSER_CLIENT_DIAL_H
#define HAWSER_CLIENT_DIAL_H

#include "client/conn.h"
#include "client/home.h"

struct dialer;

int dialer_new(struct dialer **ret, struct loop *loop, const struct log_ctx *log,
	const struct home *home, struct hw_err *err);
void dialer_free(struct dialer *d); /* NULL is fine; ends the connection */

/* A conn_config.dial whose arg is the dialer. */
int dialer_dial(void *arg, struct conn *c, struct hw_err *err);

#endif
