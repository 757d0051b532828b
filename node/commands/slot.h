/*
 * The file of one log, kept when that is over and written over by the next: that one needs no new
 * file, no new name and no room, and is on the disk with one sync that changes data alone. A node
 * mostly has one command at a time, for which it is.
 *
 * What is read counts up to the first record that does not have this log's seed in its checksum: so
 * nothing that is left of an earlier one, wherever a power cut took a part of it back, is ever
 * taken for a part of this.
 */
#ifndef HAWSER_NODE_SLOT_H
#define HAWSER_NODE_SLOT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOT "slot"
/* What is kept of the file. A log that outgrows it makes it larger. */
#define SLOT_SIZE (16 * 1024)

struct buf;
struct hw_err;

struct slot {
	int dir, fd;   /* fd: -1: there is none yet */
	bool named;    /* its name is on the disk */
	uint64_t seed; /* of the log in it; 0: it is free */
	off_t end;     /* of what was written; behind it nothing counts */
};

/* Opens what there is, if anything is; fails when that cannot be known or read. The directory stays
 * the caller's. */
int slot_open(struct slot *s, int dir, struct hw_err *err);
void slot_close(struct slot *s);

/* Makes one where there is none, if there is room for it. */
void slot_make(struct slot *s);

/* Whether it can take a log that begins with n bytes. */
bool slot_is_free(const struct slot *s, size_t n);

/* A seed for the next log. */
uint64_t slot_new_seed(void);

/* Writes the beginning of a log, so that it lasts. On failure there is no slot any more. */
int slot_begin(struct slot *s, uint64_t seed, const struct buf *records, struct hw_err *err);

/* Writes more of it. One that failed is not there. */
int slot_append(struct slot *s, const struct buf *record, bool lasting, struct hw_err *err);
int slot_sync(struct slot *s, struct hw_err *err);

/* Appends what may belong to the log, as far as there is room for it; of an open slot only. */
int slot_read(struct buf *out, const struct slot *s, struct hw_err *err);

/* Where the log was found to end, in bytes of what slot_read() gave. What is behind that goes. */
void slot_cut(struct slot *s, size_t whole);

/* Nothing is left of the log in it, which does not come back in parts after a power cut. */
void slot_clear(struct slot *s);

#endif
