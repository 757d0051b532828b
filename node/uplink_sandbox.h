/* The network process's sandbox: its directory, the name service, the network to dial out to. */
#ifndef HAWSER_NODE_UPLINK_SANDBOX_H
#define HAWSER_NODE_UPLINK_SANDBOX_H

#include "proto/sandbox/sandbox.h"

/* Enters it; before any thread is started. As sandbox_enter(). What the name service loads is
 * loaded before. */
int uplink_sandbox_enter(char said[SANDBOX_SAID_MAX], const char *dir, struct hw_err *err);

#endif
