/*
 * Where a node has programs beside those of its package: two folders, `a` and `b`, in a folder that
 * nobody but their owner may write, and two files of one line each, "a 0.2.0 over 0.1.0":
 *
 *   current   the slot that is in use; no such file: the package's programs are
 *   trial     one that is being tried, for as long as somebody holds `lock`
 *
 * A trial succeeds by being renamed to current, which nothing can cut in half.
 */
#ifndef HAWSER_NODE_SLOTS_H
#define HAWSER_NODE_SLOTS_H

#include <stdbool.h>

#include "proto/trust/release.h"

#define SLOTS_DEFAULT "/var/lib/hawser-node-slots"
#define SLOTS_CURRENT "current"
#define SLOTS_TRIAL   "trial"
#define SLOTS_LOCK    "lock"

struct slot {
	char name; /* 'a' or 'b'; 0: the package */
	char version[RELEASE_VERSION_MAX];
	char over[RELEASE_VERSION_MAX]; /* the package's version when it was put there */
};

struct hw_err;

/* HW_ENOTFOUND: there is none; with `make` it is made. HW_EDENIED: somebody else owns it, or may
 * write to it or to the folder that it is in. */
int slots_open(int *ret, const char *path, bool make, struct hw_err *err);

/* What the file of that name says; its name is 0 when there is none, or it is not such a line. */
struct slot slots_read(int dir, const char *file);
int slots_write(int dir, const char *file, const struct slot *s, struct hw_err *err);
/* Gone, and durably; fine when it was not there. */
int slots_drop(int dir, const char *file, struct hw_err *err);
/* The trial is current from now on. */
int slots_take(int dir, struct hw_err *err);
/* What is there, and whether somebody watches over a trial, read so that no step of an upgrade in
 * between passes for another. */
struct slots_seen {
	struct slot current, trial;
	bool watched;
};

struct slots_seen slots_look(int dir);

/* Whether the hawser-node in that slot runs on this machine as it is now, and says the slot's
 * version: HW_ESPAWN, HW_EVALIDATION, HW_ETIMEOUT. Blocks for ten seconds at most. */
int slots_starts(const char *path, const struct slot *s, struct hw_err *err);

/* --- what follows from that; pure ---------------------------------------------------------------
 */

enum slots_verdict { SLOTS_PACKAGE = 1, SLOTS_SLOT, SLOTS_TRY };

/* What is to be started, in *ret for the last two. A trial that nobody watches over is none. A
 * package that is not the one which the slot was put over, and newer than the slot, wins. */
enum slots_verdict slots_choose(struct slot *ret, const struct slot *current,
	const struct slot *trial, bool watched, const char *package);

enum slots_fate { SLOTS_UNDECIDED = 1, SLOTS_TAKEN, SLOTS_ENDED };

/* What has become of a trial, from what the files say now. */
enum slots_fate slots_fate(const struct slot *tried, const struct slot *current,
	const struct slot *trial, bool watched);

#endif
