/*
 * What the agent holds for the relay: sessions and the connections of those that forward. They
 * outlive their link for a grace of their own, and are taken up again on the next.
 *
 * Loop thread only.
 */
#ifndef HAWSER_NODE_SESSIONS_H
#define HAWSER_NODE_SESSIONS_H

#include "proto/schema/schema.h"

struct channel;
struct log_ctx;
struct loop;
struct programs;
struct roster;
struct sessions;

struct sessions_config {
	struct loop *loop;
	const struct log_ctx *log;
	struct programs *programs;
	struct roster *roster; /* what outlives the agent; NULL: nothing does */
	const char *dir;       /* the node's own, which no forward reaches into */
};

struct sessions *sessions_new(const struct sessions_config *config); /* NULL without memory */
void sessions_free(struct sessions *ss); /* all have ended; NULL is fine */

/* Takes over what an earlier agent left, as the roster has it. on_done is called once, when it is
 * known of each whether it still runs; perhaps from inside. */
void sessions_adopt(struct sessions *ss, void (*on_done)(void *arg), void *arg);

/* Answer an OPEN, or a RESUME, of the relay, now or later. */
void sessions_open(struct sessions *ss, struct channel *ch, const struct msg_open *open);
void sessions_resume(struct sessions *ss, struct channel *ch, const struct msg_resume *resume);

/* Ends the session of that id, if there is one, with its program and connections; its channel is
 * told why. NULL: all of them. */
void sessions_end(struct sessions *ss, const char *id, int code, const char *why);

/* Leaves those that run without an agent to the next one, and ends the others, which are told why
 * as long as there is a link: call it with one, then without. */
void sessions_part(struct sessions *ss, const char *why);
void sessions_leave(struct sessions *ss);

/* Ends what has waited for a link for longer than its grace. Call it every second or so while there
 * are any, with a link and without. */
void sessions_sweep(struct sessions *ss);

/* The ids of those that the relay may resume, good until the next call of anything here. */
struct msg_strs sessions_ids(struct sessions *ss);
int sessions_count(const struct sessions *ss);

#endif
