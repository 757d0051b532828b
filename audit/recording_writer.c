#include "audit/recording_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "audit/journal_io.h"
#include "audit/lost_sector.h"
#include "audit/recording_mark.h"
#include "proto/base/file.h"
#include "proto/base/id.h"

#define MARK_EVERY                                                                    \
	(8 << 20) /* bytes of a file: what is read again when it is taken up, at most \
		   */

#define RECORDING_LOST_MAX (2 * RECORDING_BLOCK_MAX)
#define ZSTD_LEVEL	   1 /* half the time of 3, a tenth more bytes */

int
recording_store_init(struct recording_store *s, const char *dir, const struct secret_key *master,
	const struct journal_io *io, struct hw_err *err)
{
	*s = (struct recording_store){.dir = -1, .io = io};
	buf_init(&s->packed, 2 * RECORDING_BLOCK_MAX);
	buf_init(&s->bytes, 4 * RECORDING_BLOCK_MAX);
	secret_key_derive(&s->wrap, master, "hawser recordings");
	s->zstd = ZSTD_createCCtx();
	if (s->zstd == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for recordings");
	return dir_open(&s->dir, dir, true, err);
}

void
recording_store_fini(struct recording_store *s)
{
	ZSTD_freeCCtx(s->zstd);
	fd_close(s->dir);
	secret_key_wipe(&s->wrap);
	buf_fini(&s->packed);
	buf_fini(&s->bytes);
}

struct recording_writer {
	struct recording_store *store;
	char id[RECORDING_ID_MAX + 1];
	struct recording_head head;
	struct recording_chain chain;
	struct buf begin; /* the head, until the first block is written */
	jpos covered, synced;
	bool complete, is_new;
	struct reached_streams streams; /* at the last block's end */
	uint64_t marked;		/* where in the file the last mark stands */
};

static int
allocate(struct recording_writer **ret, struct recording_store *store, const char *id,
	struct hw_err *err)
{
	hw_assert(recording_id_valid(id));
	struct recording_writer *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	w->store = store;
	strcpy(w->id, id);
	buf_init(&w->begin, RECORDING_HEAD_LEN + RECORDING_SEALED(RECORDING_META_MAX));
	*ret = w;
	return 0;
}

int
recording_writer_new(struct recording_writer **ret, struct recording_store *store, const char *id,
	const struct recording_head *head, const void *meta, size_t n, struct hw_err *err)
{
	struct recording_writer *w;

	int r = allocate(&w, store, id, err);
	if (r < 0)
		return r;
	w->head = *head;
	w->is_new = true;
	if ((r = recording_head_make(&w->begin, &w->chain, head, meta, n, &store->wrap)) < 0) {
		hw_err_set(err, r, "cannot seal the recording of %s", id);
		recording_writer_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

void
recording_writer_close(struct recording_writer *w)
{
	if (w == NULL)
		return;
	secret_key_wipe(&w->chain.key);
	buf_fini(&w->begin);
	free(w);
}

/* --- taking up -------------------------------------------------------------------------------- */

/* A file whose head is not wholly there, or damaged. Its session begins anew, if the journal has
 * it. */
static int
set_aside(struct recording_store *store, const char *name, bool damaged, struct hw_err *err)
{
	char aside[RECORDING_NAME_MAX + 32];

	if (damaged) {
		snprintf(aside, sizeof(aside), "%s.damaged-%016" PRIx64, name, random_u64());
		if (renameat(store->dir, name, store->dir, aside) < 0)
			return hw_err_sys(err, "cannot set %s aside", name);
		return hw_err_set(err, HW_ENOTFOUND, "%s: the head does not verify", name);
	}
	if (unlinkat(store->dir, name, 0) < 0)
		return hw_err_sys(err, "cannot remove %s", name);
	return hw_err_set(err, HW_ENOTFOUND, "%s: the head was not wholly written", name);
}

static void
skip_marked(struct recording_writer *w, uint64_t size)
{
	struct recording_mark mark;

	if (!recording_mark_read(&mark, w->store->dir, w->id, &w->chain.key, size))
		return;
	recording_chain_go_to(&w->chain, &mark);
	w->covered = mark.covered;
	w->streams = mark.streams;
	w->marked = mark.at;
}

/* A block verifies, and yet has no events: no more marks are made, and a reader will say so. */
static void
follow(struct recording_writer *w, const void *events, size_t n)
{
	if (standing_take(&w->streams, events, n, NULL) < 0)
		w->marked = UINT64_MAX;
}

static void
follow_packed(struct recording_writer *w, const struct buf *packed, uint8_t *events)
{
	size_t n = ZSTD_decompress(events, RECORDING_BLOCK_MAX, buf_data(packed), packed->len);

	if (ZSTD_isError(n))
		w->marked = UINT64_MAX;
	else
		follow(w, events, n);
}

/* Whether the block that should be next was never wholly on disk. */
static bool
is_lost(const struct recording_writer *w, int fd, uint64_t size)
{
	uint64_t left = size - w->chain.at;
	size_t n = left < RECORDING_LOST_MAX ? (size_t)left : RECORDING_LOST_MAX;
	uint8_t *p = malloc(n + 1);
	bool lost = false;

	if (p != NULL && pread(fd, p, n, (off_t)w->chain.at) == (ssize_t)n)
		lost = lost_sector(p, n, w->chain.at, recording_block_len(p, n));
	free(p);
	return lost;
}

/* *torn: the file ends within a block, or has not all of one. */
static int
read_blocks(struct recording_writer *w, int fd, uint64_t size, bool *torn)
{
	uint8_t *events = malloc(RECORDING_BLOCK_MAX);
	struct recording_block block;
	struct buf packed;
	int r = 0;

	if (events == NULL)
		return HW_ENOMEM;
	buf_init(&packed, 2 * RECORDING_BLOCK_MAX);
	w->covered = w->head.start;
	skip_marked(w, size);
	while (!w->complete && (r = recording_block_read(&block, &w->chain, &packed, fd)) == 1) {
		w->covered = block.to;
		w->complete = (block.flags & BLOCK_LAST) != 0;
		follow_packed(w, &packed, events);
		buf_reset(&packed);
	}
	buf_fini(&packed);
	free(events);
	*torn = (r == 0 && !w->complete && size > w->chain.at) ||
		(r == HW_ECORRUPT && is_lost(w, fd, size));
	return r == HW_ENOMEM ? r : 0;
}

/* A block that is not wholly there was never synced, so the journal has what was in it, wherever
 * the block before it ends: its session may have said nothing for many segments. One that is there
 * and does not verify may have been synced. */
static int
cut_tail(struct recording_writer *w, int fd, const char *name, uint64_t size, jpos kept_from,
	struct hw_err *err)
{
	bool torn;
	int r;

	if ((r = read_blocks(w, fd, size, &torn)) < 0)
		return r;
	if (size > w->chain.at && !torn && w->covered < kept_from)
		return hw_err_set(err, HW_ECORRUPT,
			"%s: block %" PRIu64
			" does not verify, and the journal does not have it any more",
			name, w->chain.blocks);
	if (size > w->chain.at && ftruncate(fd, (off_t)w->chain.at) < 0)
		return hw_err_sys(err, "cannot cut %s", name);
	w->synced = w->covered;
	return journal_io_sync(w->store->io, fd, err);
}

int
recording_writer_resume(struct recording_writer **ret, struct recording_store *store,
	const char *id, jpos kept_from, struct buf *meta, struct hw_err *err)
{
	char name[RECORDING_NAME_MAX + 1];
	struct recording_writer *w = NULL;
	struct stat st;
	int r;

	recording_file_name(name, id, false);
	int fd = openat(store->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = hw_err_sys(err, "cannot open %s", name);
		goto out;
	}
	if ((r = allocate(&w, store, id, err)) < 0)
		goto out;
	r = recording_head_read(&w->head, &w->chain, meta, fd, &store->wrap);
	if (r == HW_ECORRUPT || r == HW_ENOTFOUND)
		r = set_aside(store, name, r == HW_ECORRUPT, err);
	else if (r == 0)
		r = cut_tail(w, fd, name, (uint64_t)st.st_size, kept_from, err);
	if (r == HW_ENOMEM)
		hw_err_set(err, r, "no memory to read %s", name);
out:
	fd_close(fd);
	if (r < 0)
		recording_writer_close(w);
	else
		*ret = w;
	return r;
}

/* --- appending -------------------------------------------------------------------------------- */

static int
open_live(struct recording_writer *w, int flags, int *fd, struct hw_err *err)
{
	char name[RECORDING_NAME_MAX + 1];

	recording_file_name(name, w->id, false);
	*fd = openat(w->store->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool full = *fd < 0 && (errno == ENOSPC || errno == EDQUOT);
	int r = *fd < 0 ? hw_err_sys(err, "cannot open %s", name) : 0;
	return full ? HW_EFULL : r;
}

static int
pack(struct recording_store *s, const void *events, size_t n, struct hw_err *err)
{
	size_t bound = ZSTD_compressBound(n);

	buf_reset(&s->packed);
	uint8_t *to = buf_reserve(&s->packed, bound);
	size_t did = to == NULL ? 0 : ZSTD_compressCCtx(s->zstd, to, bound, events, n, ZSTD_LEVEL);
	if (to == NULL || ZSTD_isError(did))
		return hw_err_set(err, HW_ENOMEM, "cannot compress a recording's block");
	buf_commit(&s->packed, did);
	return 0;
}

int
recording_writer_append(struct recording_writer *w, const void *events, size_t n, jpos to,
	bool last, struct hw_err *err)
{
	const struct recording_block block = {to, (uint32_t)n, last ? BLOCK_LAST : 0};
	struct recording_store *s = w->store;
	int fd, r;

	hw_assert(n <= RECORDING_BLOCK_MAX && !w->complete);
	if ((r = pack(s, events, n, err)) < 0)
		return r;
	buf_reset(&s->bytes);
	if ((r = buf_append(&s->bytes, buf_data(&w->begin), w->begin.len)) < 0 ||
		(r = recording_block_make(&s->bytes, &w->chain, &block, buf_data(&s->packed),
			 s->packed.len)) < 0)
		return hw_err_set(err, r, "cannot seal a block of %s", w->id);
	/* Whatever had the name was no recording of this session: see recording_writer_resume(). */
	int flags = w->is_new ? O_CREAT | O_TRUNC : O_APPEND;
	if ((r = open_live(w, O_WRONLY | flags, &fd, err)) < 0)
		return r;
	r = journal_io_write(s->io, fd, buf_data(&s->bytes), s->bytes.len, err);
	fd_close(fd);
	if (r < 0)
		return r;
	buf_fini(&w->begin);
	if (w->is_new && (r = journal_io_sync_dir(s->io, s->dir, err)) < 0)
		return r;
	w->is_new = false;
	w->covered = to;
	w->complete = last;
	follow(w, events, n);
	return 0;
}

/* One that cannot be written is done without. */
static void
leave_mark(struct recording_writer *w)
{
	struct recording_mark mark = {.blocks = w->chain.blocks,
		.at = w->chain.at,
		.covered = w->covered,
		.streams = w->streams};

	if (w->marked == UINT64_MAX || w->chain.at - w->marked < MARK_EVERY || w->complete)
		return;
	memcpy(mark.hash, w->chain.hash, SHA256_LEN);
	mark.streams.known = true;
	if (recording_mark_write(w->store->dir, w->id, &w->chain.key, &mark, NULL) == 0)
		w->marked = mark.at;
}

int
recording_writer_sync(struct recording_writer *w, struct hw_err *err)
{
	int fd, r;

	if (w->is_new || w->synced == w->covered)
		return 0;
	/* An error of writing back shows at whichever descriptor syncs, also a new one. */
	if ((r = open_live(w, O_WRONLY, &fd, err)) < 0)
		return r;
	if ((r = journal_io_sync(w->store->io, fd, err)) == 0) {
		w->synced = w->covered;
		leave_mark(w);
	}
	fd_close(fd);
	return r;
}

int
recording_set_aside(struct recording_store *store, const char *id, struct hw_err *err)
{
	char name[RECORDING_NAME_MAX + 1], aside[RECORDING_NAME_MAX + 32];
	int r;

	recording_file_name(name, id, true);
	snprintf(aside, sizeof(aside), "%s.aside-%016" PRIx64, name, random_u64());
	if (renameat(store->dir, name, store->dir, aside) < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot set %s aside", name);
	r = journal_io_sync_dir(store->io, store->dir, err);
	return r < 0 ? r : 1;
}

int
recording_writer_finish(struct recording_writer *w, struct hw_err *err)
{
	char live[RECORDING_NAME_MAX + 1], name[RECORDING_NAME_MAX + 1];

	hw_assert(w->complete && w->synced == w->covered);
	recording_file_name(live, w->id, false);
	recording_file_name(name, w->id, true);
	if (renameat(w->store->dir, live, w->store->dir, name) < 0)
		return hw_err_sys(err, "cannot name %s", name);
	recording_mark_remove(w->store->dir, w->id);
	return journal_io_sync_dir(w->store->io, w->store->dir, err);
}

int
recording_writer_discard(struct recording_writer *w, struct hw_err *err)
{
	char live[RECORDING_NAME_MAX + 1];

	recording_file_name(live, w->id, false);
	if (unlinkat(w->store->dir, live, 0) < 0 && errno != ENOENT)
		return hw_err_sys(err, "cannot remove %s", live);
	recording_mark_remove(w->store->dir, w->id);
	return journal_io_sync_dir(w->store->io, w->store->dir, err);
}

/* --- asking ----------------------------------------------------------------------------------- */

const char *
recording_writer_id(const struct recording_writer *w)
{
	return w->id;
}

uint64_t
recording_writer_session(const struct recording_writer *w)
{
	return w->head.session;
}

jpos
recording_writer_covered(const struct recording_writer *w)
{
	return w->covered;
}

jpos
recording_writer_synced(const struct recording_writer *w)
{
	return w->synced;
}

bool
recording_writer_complete(const struct recording_writer *w)
{
	return w->complete;
}

bool
recording_writer_on_disk(const struct recording_writer *w)
{
	return !w->is_new && w->synced == w->covered;
}

const uint8_t *
recording_writer_hash(const struct recording_writer *w)
{
	return w->chain.hash;
}

uint64_t
recording_writer_size(const struct recording_writer *w)
{
	return w->chain.at;
}
