/*
 * Looks out for a ledger that was changed: the client keeps the last head of it that it saw, and
 * holds the relay's newest against that, on a connection that is there anyway and beside what the
 * command does on it. With each connection it looks whether the new head can follow at all; once a
 * minute it has that proven, and keeps the new one. What contradicts is told on stderr, and kept as
 * evidence.
 *
 * In the client's directory, for each fleet: witness-FLEET, which is the head (proto/trust/
 * witness.h), witness-FLEET.evidence, and witness-FLEET.lock, whose time says when it was last
 * looked. They stay when somebody logs out: nobody is to forget by that.
 */
#ifndef HAWSER_CLIENT_LOOKOUT_H
#define HAWSER_CLIENT_LOOKOUT_H

#include <limits.h>

#include "proto/trust/witness.h"

struct conn;
struct home;
struct lookout;

#define LOOKOUT_EVERY (60 * USEC_PER_SEC)

struct lookout_config {
	struct conn *conn;
	const struct home *home;
	bool wary;  /* has it proven now, with a head that is asked for */
	bool quiet; /* not a word unless the ledger was changed */
	/* A line for stderr, without its end. */
	void (*say)(void *arg, const char *line);
	void *arg;
};

/* Begins, once the command has sent its own requests. NULL without memory, or without a fleet. */
struct lookout *lookout_new(const struct lookout_config *config);
/* Gives a look that is under way a moment more. NULL is fine. */
void lookout_finish(struct lookout *l);

/* What it has found. Texts are "" where there is nothing to tell. */
struct lookout_view {
	bool checked; /* a head of the relay's was judged */
	char why_not[200];
	int state; /* WITNESS_STATE_... */
	bool lasts;
	char text[WITNESS_SENTENCE_MAX];
	bool has_kept;
	struct log_head kept;
	char origin[LOG_ORIGIN_MAX];
	int64_t agreed, recovered;
	char evidence[PATH_MAX]; /* the file, when it is there */
};

struct msg_ledger_view;

/* The same as it is shown; texts are the lookout's, which may be NULL. Of nodes it says nothing. */
void lookout_describe(struct msg_ledger_view *ret, const struct lookout *l);
/* Waits until a look is over, and has one made when there was none. */
const struct lookout_view *lookout_wait(struct lookout *l);

#endif
