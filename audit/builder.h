/*
 * One live session on its way from the journal to its recording: the records that wait for an echo
 * mark, and the block that is being filled. For the archiver, under its lock.
 */
#ifndef HAWSER_AUDIT_BUILDER_H
#define HAWSER_AUDIT_BUILDER_H

#include <sys/queue.h>

#include "audit/mask.h"
#include "audit/recording_writer.h"

/* What all builders use. */
struct builder_env {
	struct recording_store store;
	struct masks *masks;	     /* NULL: none */
	struct box_readers auditors; /* none: hidden input is dropped */
	char relay[65];		     /* hidden input is bound to it */
};

struct builder;

/* From a SESSION_START record that ends at `end`; HW_EVALIDATION when its id or its bytes are not
 * valid. */
int builder_new(struct builder **ret, struct builder_env *env, const struct journal_record *rec,
	jpos begin, jpos end, struct hw_err *err);
/* From a live file. HW_ENOTFOUND as recording_writer_resume(). */
int builder_resume(struct builder **ret, struct builder_env *env, const char *id, jpos kept_from,
	struct hw_err *err);
void builder_free(struct builder *b);

/* Takes the next record of the session, which lies at [begin, end). What the file has is passed
 * over. */
int builder_take(struct builder *b, const struct journal_record *rec, jpos begin, jpos end,
	struct hw_err *err);

/* Puts on disk what it has, up to the first input of which it is not known whether it was shown;
 * `force` counts that as hidden. Nothing, where there are masks, while a line goes on by the wall's
 * clock `now`: a mask sees what lies in one block. 0 waits for no line. */
int builder_flush(struct builder *b, bool force, int64_t now, struct hw_err *err);

const char *builder_id(const struct builder *b);
uint64_t builder_session(const struct builder *b);
size_t builder_held(const struct builder *b); /* bytes in memory */
/* The position of the first record that is not on disk in the file; UINT64_MAX when none. */
jpos builder_waiting(const struct builder *b);
struct recording_writer *builder_file(struct builder *b); /* complete: nothing more will come */

#endif
