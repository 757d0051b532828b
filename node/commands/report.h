/*
 * What goes to the relay of one invocation at a time: how it stands, and as much of its output as
 * may go. One that is small goes whole in a single message, its end included.
 */
#ifndef HAWSER_NODE_REPORT_H
#define HAWSER_NODE_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/schema/schema.h"

struct arena;
struct invocation;

#define REPORT_PIECE	   (64 * 1024) /* bytes of output in one InvocationOutput */
#define REPORT_PIECE_SMALL (16 * 1024) /* while somebody types on the link */
#define REPORT_STEPS_MANY  100	       /* such a list leaves no room for much output */
#define REPORT_OUTPUTS	   16

/* Bytes of output that the relay was not sent. */
uint64_t report_waiting(struct invocation *i);

/* Makes the next message in the arena, of up to `room` bytes of output, which are put at `to`;
 * *bytes is how many it has. The end is in it only when all output is sent with it. False without
 * memory. */
bool report_make(struct msg_update_invocation_request *ret, size_t *bytes, struct arena *a,
	struct invocation *i, uint8_t *to, size_t room);

/* It was sent; or what was sent may not have come, and goes again from where the relay has it. */
void report_sent(struct invocation *i, const struct msg_update_invocation_request *m);
void report_rewind(struct invocation *i);

/* The relay says how far it has it. */
void report_acked(struct invocation *i, const struct msg_update_invocation_reply *reply);

#endif
