/*
 * Connections of forwards, made by the uplink itself: no holder, no other user. A name is looked up
 * here, each address that it has is judged, and the one that was judged is connected to.
 *
 * Loop thread only, on a loop with descriptors.
 */
#ifndef HAWSER_NODE_FORWARD_H
#define HAWSER_NODE_FORWARD_H

#include "proto/base/log.h"

struct channel;
struct forwards;
struct loop;
struct msg_open;

/* `dir` is the node's own: no socket in it is reached. NULL without memory. It lends the texts. */
struct forwards *forwards_new(struct loop *loop, const struct log_ctx *log, const char *dir);
/* Its connections are gone with their link before. NULL is fine. */
void forwards_free(struct forwards *fs);

/* Answers the OPEN of a connection, later. */
void forwards_connect(struct forwards *fs, struct channel *ch, const struct msg_open *open);

/* The forward of this id has ended here: so do its connections. */
void forwards_end(struct forwards *fs, const char *session_id, const char *why);

int forwards_count(const struct forwards *fs);

#endif
