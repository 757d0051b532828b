/*
 * A session: a channel of the relay and the program behind it, a shell on a terminal or a command
 * on pipes. It only moves what one says to the other; both count the same streams. It outlives the
 * channel's link, and the program's end, until the relay closes the channel or its grace is over.
 */
#ifndef HAWSER_NODE_BRIDGE_H
#define HAWSER_NODE_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

struct bridge;
struct channel;
struct log_ctx;
struct loop;
struct msg_open;
struct msg_resume;
struct programs;

struct bridge_config {
	struct loop *loop;
	struct programs *programs;
	const struct log_ctx *log;
	void (*on_open)(void *arg, struct bridge *s); /* the program runs */
	/* Its memory is about to go: once, whether it was open or not, and not from inside of what
	 * made it. */
	void (*on_over)(void *arg, struct bridge *s);
	void *arg;
};

/* Answers the OPEN, now or later. */
void bridge_open(struct bridge **ret, const struct bridge_config *config, struct channel *ch,
	const struct msg_open *open);
/* Takes over the program that an earlier agent started, to be resumed by the relay. NULL when there
 * is none. */
void bridge_adopt(struct bridge **ret, const struct bridge_config *config, const char *id, int type,
	const char *run_as);

/* Answers the RESUME of this session, at once. on_over may be called from inside. */
void bridge_resume(struct bridge *s, struct channel *offered, const struct msg_resume *resume);

/* Ends session and program, and tells the relay why where it listens. on_over is called from
 * inside. */
void bridge_end(struct bridge *s, int code, const char *why);

/* Whether the program can be left to run by itself, for the next agent to adopt. */
bool bridge_can_stay(const struct bridge *s);
/* Leaves it, without a word to the relay: its link has gone before. on_over is called from inside.
 */
void bridge_leave(struct bridge *s);

int bridge_type(const struct bridge *s);
const char *bridge_run_as(const struct bridge *s);
const char *bridge_id(const struct bridge *s);
/* Its program runs, or has run: the relay may resume it. */
bool bridge_is_open(const struct bridge *s);
/* It is a forward, and may have connections. */
bool bridge_forwards(const struct bridge *s);
/* It has had no link for longer than what it is may wait for one. */
bool bridge_is_due(const struct bridge *s, int64_t now);

#endif
