/* Dials the relay of a home over TLS and WebSocket: what conn_config.dial is outside of tests. */
#ifndef HAWSER_CLIENT_DIAL_H
#define HAWSER_CLIENT_DIAL_H

#include "client/conn.h"

struct client;
struct dialer;

/* With the client's loop, home, and proxy if there is one. The home's CA, and the URL that names
 * it, are replaced when the relay has a later one for which the old one has vouched. */
int dialer_new(struct dialer **ret, struct client *c, struct hw_err *err);
void dialer_free(struct dialer *d); /* NULL is fine; ends the connection */

/* A conn_config.dial whose arg is the dialer. */
int dialer_dial(void *arg, struct conn *c, struct hw_err *err);

#endif
