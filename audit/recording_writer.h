/* Appends blocks to the file of one session's recording. For the archiver, under its lock. */
#ifndef HAWSER_AUDIT_RECORDING_WRITER_H
#define HAWSER_AUDIT_RECORDING_WRITER_H

#include "audit/recording_file.h"

/* Where recordings are written, and what that takes; one for all. */
struct recording_store {
	int dir;
	struct secret_key wrap;
	const struct journal_io *io;
	void *zstd;	   /* ZSTD_CCtx */
	struct buf packed; /* reused */
	struct buf bytes;
};
int recording_store_init(struct recording_store *s, const char *dir,
	const struct secret_key *master, const struct journal_io *io, struct hw_err *err);
void recording_store_fini(struct recording_store *s);

struct recording_writer;

/* A new one; nothing is written before the first block. `meta` is an encoded recording_meta. */
int recording_writer_new(struct recording_writer **ret, struct recording_store *store,
	const char *id, const struct recording_head *head, const void *meta, size_t n,
	struct hw_err *err);

/* A live one that is there. What a crash left after the last whole block is cut if the journal,
 * which begins at kept_from, still has it; else HW_ECORRUPT. HW_ENOTFOUND when the head was not
 * wholly written, so that nothing is in it: the file is removed, or, should it be damaged, set
 * aside. The meta is appended. */
int recording_writer_resume(struct recording_writer **ret, struct recording_store *store,
	const char *id, jpos kept_from, struct buf *meta, struct hw_err *err);

/* Adds a block of encoded events; what it covers is said by `to`. Not yet on disk. */
int recording_writer_append(struct recording_writer *w, const void *events, size_t n, jpos to,
	bool last, struct hw_err *err);
int recording_writer_sync(struct recording_writer *w, struct hw_err *err);
/* A complete one of that id may be there, of another past, as a restore can leave it: it keeps what
 * it holds under a name that nothing looks for, DIR/<session id>.rec.aside-<16 hex digits>. 1:
 * there was one; 0: there is none. */
int recording_set_aside(struct recording_store *store, const char *id, struct hw_err *err);
/* Gives a complete one its final name. */
int recording_writer_finish(struct recording_writer *w, struct hw_err *err);
/* Removes its file, which has not got that name. */
int recording_writer_discard(struct recording_writer *w, struct hw_err *err);
void recording_writer_close(struct recording_writer *w);

const char *recording_writer_id(const struct recording_writer *w);
uint64_t recording_writer_session(const struct recording_writer *w);
/* The journal's records of this session below it are in the file; on disk for `synced`. */
jpos recording_writer_covered(const struct recording_writer *w);
jpos recording_writer_synced(const struct recording_writer *w);
bool recording_writer_complete(const struct recording_writer *w); /* the last block is there */
bool recording_writer_on_disk(const struct recording_writer *w);  /* all of it */
const uint8_t *recording_writer_hash(const struct recording_writer *w);
uint64_t recording_writer_size(const struct recording_writer *w);

#endif
