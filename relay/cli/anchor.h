/*
 * The process that runs the command to which heads of the ledger are given (relay/core/anchors.h).
 * The relay itself runs nothing: it is started before the relay enters its sandbox, hears of it
 * nothing but heads, over a socket of packets, and ends with it.
 */
#ifndef HAWSER_RELAY_ANCHOR_H
#define HAWSER_RELAY_ANCHOR_H

#include "proto/base/err.h"

/* Starts it: before there is a thread, or anything secret in memory. The command is the shell's; it
 * and its process group are killed after `seconds`. */
int anchor_start(int *fd, const char *command, int seconds, struct hw_err *err);

#endif
