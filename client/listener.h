/* The local end of a forward: a socket that listens where its spec says. */
#ifndef HAWSER_CLIENT_LISTENER_H
#define HAWSER_CLIENT_LISTENER_H

#include "client/forward_spec.h"

/* Non-blocking. Fills in a port that was left open. A path's file is the caller's to unlink. What
 * is wrong with the place is HW_EUSAGE, HW_EEXISTS or HW_ESYS. */
int listener_open(int *ret, struct forward_spec *spec, struct hw_err *err);

#endif
