/*
 * The logs of orders, as bytes: each lies in the slot, when that was free, or in a file of its own,
 * and whoever writes and reads them need not know which. What was written last is kept in memory,
 * because it is read soon.
 */
#ifndef HAWSER_NODE_LOGS_H
#define HAWSER_NODE_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGS_DIR    "commands" /* what errors call the directory */
#define LOGS_SUFFIX ".log"     /* of files of their own, behind the id */

struct buf;
struct hw_err;
struct logs;

/* In a directory that stays the caller's. What the slot has is nobody's until logs_settle_slot().
 */
int logs_open(struct logs **ret, int dir, struct hw_err *err);
void logs_close(struct logs *l); /* NULL is fine */

/* Makes the slot where there is none, if there is room for it. */
void logs_make_slot(struct logs *l);

/* What may belong to a log in the slot, and the seed of its records; 0: there is none. */
int logs_read_slot(struct buf *text, uint64_t *seed, const struct logs *l, struct hw_err *err);
/* So many bytes of that are whole, and are the log of this id. NULL, or that there is a file of its
 * own: they are nobody's, and go. */
void logs_settle_slot(struct logs *l, size_t whole, const char *id);

/* Whose log is in the slot; "": nobody's. */
const char *logs_slot_id(const struct logs *l);
bool logs_in_slot(const struct logs *l, const char *id);
/* That there is none, for sure. */
bool logs_lack(const struct logs *l, const char *id);

/* The seed for the records of one that is to begin with n bytes, by which it is decided where it
 * comes to lie. */
uint64_t logs_new_seed(const struct logs *l, const char *id, size_t n);
/* Writes the beginning, so that it lasts. Takes the records. HW_EEXISTS. On failure nothing of it
 * is left. */
int logs_begin(struct logs *l, const char *id, uint64_t seed, struct buf *records,
	struct hw_err *err);

/* Has it open for more, whose records have this seed. */
int logs_ready(uint64_t *seed, struct logs *l, const char *id, struct hw_err *err);
/* More of the one that was made ready last, up to so many bytes in all, or HW_ELIMIT. What failed
 * is not there, and errno says why. */
int logs_append(struct logs *l, const char *id, const struct buf *record, size_t most, bool lasting,
	struct hw_err *err);
int logs_sync(struct logs *l, const char *id, struct hw_err *err);

/* All of it: what is remembered, which is lent until the next call, or else what is read into
 * `room`. HW_ENOTFOUND. */
int logs_read(const struct buf **ret, uint64_t *seed, struct buf *room, const struct logs *l,
	const char *id, struct hw_err *err);

void logs_remove(struct logs *l, const char *id);

#endif
