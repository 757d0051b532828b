/*
 * Heads of the ledger that are kept outside of the relay, at a pace: appended to a file, and given
 * to a command that a process outside of the relay's sandbox runs (relay/cli/anchor.c). A way that
 * fails is told once, and tried again; it holds up neither the other nor the ledger.
 *
 * Loop thread only.
 */
#ifndef HAWSER_CORE_ANCHORS_H
#define HAWSER_CORE_ANCHORS_H

#include "proto/base/log.h"
#include "proto/base/loop.h"
#include "proto/trust/log_head.h"

struct anchors;
struct workers;

#define ANCHOR_WHY_MAX 200

/* What comes back over the socket for each head that was sent there. */
struct anchor_said {
	int32_t failed;		  /* 0: the command has taken it */
	char why[ANCHOR_WHY_MAX]; /* one line of ASCII */
};

struct anchors_config {
	struct loop *loop;
	struct workers *workers; /* where the file is written */
	const struct log_ctx *log;
	const char *file; /* "": none */
	int command;	  /* a socket of packets, the caller's; -1: no command */
	int64_t every;	  /* at the most, and only when the head has moved */
	int64_t patience; /* after which an answer of the command's process is missed */
	const char *origin;
	bool (*latest)(void *arg, struct log_head *ret);
	/* A way fails, or works again: a sentence for the ledger. Returns the number of its entry,
	 * below 0 when there is none. */
	int64_t (*on_change)(void *arg, const char *what);
	void *arg;
};

/* Texts are copied. */
int anchors_new(struct anchors **ret, const struct anchors_config *config, struct hw_err *err);
/* Once the workers are drained; NULL is fine. */
void anchors_free(struct anchors *a);
/* The first head goes out at once. */
void anchors_start(struct anchors *a);
void anchors_stop(struct anchors *a);
/* The newest head, into the file alone and at once, unless it is there: for the relay's end. */
void anchors_last(struct anchors *a);

struct anchors_stats {
	const char *name; /* "file", "command" */
	uint64_t done;	  /* heads, since the relay started */
	uint64_t size;	  /* entries of the last */
	bool failing;
};
/* False: there are not so many ways. */
bool anchors_stats(const struct anchors *a, size_t i, struct anchors_stats *ret);

/* Appends a head's text to the file, made when missing, and syncs both. What a crash left of the
 * last text gets its line's end first: who reads the file passes over it. */
int anchor_append(const char *path, const char *text, size_t n, struct hw_err *err);

#endif
