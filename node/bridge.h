/*
 * A session: a channel of the relay and the program behind it, a shell on a terminal or a command
 * on pipes. It only moves what one says to the other; both count the same streams.
 */
#ifndef HAWSER_NODE_BRIDGE_H
#define HAWSER_NODE_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct log_ctx;
struct msg_open;
struct programs;
struct bridge;

/* Answers the OPEN, now or later. on_over is called at the end of a session that was started, when
 * its memory is about to go; once, and not from inside. */
void bridge_open(struct bridge **ret, struct programs *ps, const struct log_ctx *log,
	struct channel *ch, const struct msg_open *open,
	void (*on_over)(void *arg, struct bridge *s), void *arg);

const char *bridge_id(const struct bridge *s);
/* It is a forward, and may have connections. */
bool bridge_forwards(const struct bridge *s);

#endif
