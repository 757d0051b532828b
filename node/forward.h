/*
 * Connections of forwards, made by the uplink itself: no holder, no other user. One is a channel, a
 * socket (reach.h) and what moves bytes between them; it outlives a lost link for a while, with its
 * socket open.
 *
 * Loop thread only, on a loop with descriptors.
 */
#ifndef HAWSER_NODE_FORWARD_H
#define HAWSER_NODE_FORWARD_H

#include <stdint.h>

#include "proto/base/log.h"

struct channel;
struct forwards;
struct loop;
struct msg_open;
struct msg_resume;

/* `dir` is the node's own: no socket in it is reached. NULL without memory. It lends the texts. */
struct forwards *forwards_new(struct loop *loop, const struct log_ctx *log, const char *dir);
/* Its connections have ended before. NULL is fine. */
void forwards_free(struct forwards *fs);

/* Answers the OPEN of a connection, later. */
void forwards_connect(struct forwards *fs, struct channel *ch, const struct msg_open *open);
/* Answers the RESUME of one, at once. */
void forwards_resume(struct forwards *fs, struct channel *ch, const struct msg_resume *resume);

/* The forward of this id has ended here: so do its connections. */
void forwards_end(struct forwards *fs, const char *session_id, const char *why);
/* Ends those that lost their link at `since` (monotonic) or before, and got no other. */
void forwards_expire(struct forwards *fs, int64_t since);

int forwards_count(const struct forwards *fs);

#endif
