#include "audit/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/journal_io.h"
#include "proto/base/buf.h"
#include "proto/base/file.h"

#define FILE_NAME "tree"
#define MAGIC	  "hwtree1\n"
#define LEVELS	  64
#define WAIT_MAX  (64 * 1024 * 1024) /* of hashes not yet written */

struct tree {
	const struct journal_io *io;
	int fd;
	uint64_t size;
	off_t synced;			   /* the file's length on disk */
	uint8_t peaks[LEVELS][MERKLE_LEN]; /* peaks[l] stands when bit l of size does */
	struct buf waiting;
};

/* --- arithmetic ------------------------------------------------------------------------------- */

/* Hashes of a tree of n entries. */
static uint64_t
hashes_of(uint64_t n)
{
	return 2 * n - (uint64_t)__builtin_popcountll(n);
}

static off_t
offset_of(uint64_t hash)
{
	return (off_t)((hash + 1) * MERKLE_LEN); /* the head is as long as a hash */
}

/* Where node (level, k) lies: with the last entry below it came all that it completed, itself
 * `level` places after the leaf. */
static off_t
node_offset(unsigned level, uint64_t k)
{
	uint64_t last = ((k + 1) << level) - 1;

	return offset_of(hashes_of(last) + level);
}

/* The largest power of two below n, which is at least 2. */
static uint64_t
split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* --- reading ---------------------------------------------------------------------------------- */

static int
read_node(const struct tree *t, unsigned level, uint64_t k, uint8_t out[MERKLE_LEN],
	struct hw_err *err)
{
	ssize_t n;

	do
		n = pread(t->fd, out, MERKLE_LEN, node_offset(level, k));
	while (n < 0 && errno == EINTR);
	if (n == MERKLE_LEN)
		return 0;
	if (n < 0)
		return hw_err_sys(err, "cannot read the ledger's tree");
	return hw_err_set(err, HW_ECORRUPT,
		"the ledger's tree ends before entry %" PRIu64 ", which it should have",
		((k + 1) << level) - 1);
}

/* The hash over the n entries from `from` on, which is a multiple of the power of two at or above
 * n. */
static int
range_hash(const struct tree *t, uint64_t from, uint64_t n, uint8_t out[MERKLE_LEN],
	struct hw_err *err)
{
	uint8_t left[MERKLE_LEN], right[MERKLE_LEN];
	int r;

	if ((n & (n - 1)) == 0) {
		unsigned level = (unsigned)__builtin_ctzll(n);
		return read_node(t, level, from >> level, out, err);
	}
	uint64_t k = split(n);
	if ((r = range_hash(t, from, k, left, err)) < 0 ||
		(r = range_hash(t, from + k, n - k, right, err)) < 0)
		return r;
	merkle_node(out, left, right);
	return 0;
}

int
tree_leaf(const struct tree *t, uint64_t index, uint8_t out[MERKLE_LEN], struct hw_err *err)
{
	return read_node(t, 0, index, out, err);
}

int
tree_root_at(const struct tree *t, uint64_t size, uint8_t out[MERKLE_LEN], struct hw_err *err)
{
	if (size == 0) {
		merkle_empty(out);
		return 0;
	}
	return range_hash(t, 0, size, out, err);
}

/* The way down to an entry: the hashes beside it, the topmost last in the proof. */
int
tree_inclusion(const struct tree *t, uint64_t index, uint64_t size,
	uint8_t out[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n, struct hw_err *err)
{
	uint8_t down[MERKLE_PROOF_MAX][MERKLE_LEN];
	uint64_t from = 0, left = size;
	size_t depth = 0;
	int r;

	hw_assert(index < size);
	while (left > 1) {
		uint64_t k = split(left);
		bool below = index - from < k;
		if ((r = below ? range_hash(t, from + k, left - k, down[depth], err)
			       : range_hash(t, from, k, down[depth], err)) < 0)
			return r;
		from += below ? 0 : k;
		left = below ? k : left - k;
		depth++;
	}
	for (size_t i = 0; i < depth; i++)
		memcpy(out + i * MERKLE_LEN, down[depth - 1 - i], MERKLE_LEN);
	*n = depth;
	return 0;
}

int
tree_consistency(const struct tree *t, uint64_t old_size, uint64_t size,
	uint8_t out[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n, struct hw_err *err)
{
	uint8_t down[MERKLE_PROOF_MAX][MERKLE_LEN];
	uint64_t from = 0, left = size, old = old_size;
	size_t depth = 0;
	int r;

	hw_assert(old_size <= size);
	*n = 0;
	if (old_size == 0 || old_size == size)
		return 0;
	/* Down to the subtree with which the old tree ends. */
	while (old != left) {
		uint64_t k = split(left);
		bool below = old <= k;
		if ((r = below ? range_hash(t, from + k, left - k, down[depth], err)
			       : range_hash(t, from, k, down[depth], err)) < 0)
			return r;
		from += below ? 0 : k;
		old -= below ? 0 : k;
		left = below ? k : left - k;
		depth++;
	}
	/* When that is all of the old tree, who asks has its hash. */
	if (from > 0 && (r = range_hash(t, from, left, down[depth++], err)) < 0)
		return r;
	for (size_t i = 0; i < depth; i++)
		memcpy(out + i * MERKLE_LEN, down[depth - 1 - i], MERKLE_LEN);
	*n = depth;
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

uint64_t
tree_size(const struct tree *t)
{
	return t->size;
}

void
tree_root(const struct tree *t, uint8_t out[MERKLE_LEN])
{
	bool any = false;

	merkle_empty(out);
	for (unsigned l = 0; l < LEVELS; l++) {
		if ((t->size >> l & 1) == 0)
			continue;
		if (any)
			merkle_node(out, t->peaks[l], out);
		else
			memcpy(out, t->peaks[l], MERKLE_LEN);
		any = true;
	}
}

int
tree_append(struct tree *t, const uint8_t leaf[MERKLE_LEN])
{
	uint8_t node[MERKLE_LEN];
	unsigned l = 0;
	int r;

	memcpy(node, leaf, MERKLE_LEN);
	if ((r = buf_append(&t->waiting, node, MERKLE_LEN)) < 0)
		return r;
	for (; (t->size >> l & 1) != 0; l++) {
		merkle_node(node, t->peaks[l], node);
		if ((r = buf_append(&t->waiting, node, MERKLE_LEN)) < 0)
			return r;
	}
	memcpy(t->peaks[l], node, MERKLE_LEN);
	t->size++;
	return 0;
}

/* What a full disk took of it goes again. */
static int
write_waiting(struct tree *t, struct hw_err *err)
{
	int r = journal_io_write(t->io, t->fd, buf_data(&t->waiting), t->waiting.len, err);

	if (r == HW_EFULL && ftruncate(t->fd, t->synced) < 0)
		return hw_err_sys(err, "cannot cut the ledger's tree");
	return r;
}

int
tree_sync(struct tree *t, struct hw_err *err)
{
	int r;

	if (t->waiting.failed)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's tree");
	if (t->waiting.len > 0 && (r = write_waiting(t, err)) < 0)
		return r;
	if ((r = journal_io_sync(t->io, t->fd, err)) < 0)
		return r;
	t->synced += (off_t)t->waiting.len;
	buf_reset(&t->waiting);
	return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int
begin(struct tree *t, int dir, struct hw_err *err)
{
	uint8_t head[MERKLE_LEN] = MAGIC;
	int r;

	if (ftruncate(t->fd, 0) < 0)
		return hw_err_sys(err, "cannot cut the ledger's tree");
	if ((r = journal_io_write(t->io, t->fd, head, sizeof(head), err)) < 0 ||
		(r = journal_io_sync(t->io, t->fd, err)) < 0)
		return r;
	return journal_io_sync_dir(t->io, dir, err);
}

static int
read_peaks(struct tree *t, uint64_t size, struct hw_err *err)
{
	uint64_t from = 0;
	int r;

	for (unsigned l = LEVELS; l-- > 0;) {
		if ((size >> l & 1) == 0)
			continue;
		if ((r = read_node(t, l, from >> l, t->peaks[l], err)) < 0)
			return r;
		from += UINT64_C(1) << l;
	}
	t->size = size;
	return 0;
}

static int
take_up(struct tree *t, int dir, uint64_t keep, struct hw_err *err)
{
	uint8_t head[MERKLE_LEN], magic[MERKLE_LEN] = MAGIC;
	int r;

	/* A file without entries may have been cut off in its head. */
	if (keep == 0)
		return begin(t, dir, err);
	if (keep > (UINT64_MAX >> 8) || pread(t->fd, head, sizeof(head), 0) != MERKLE_LEN ||
		memcmp(head, magic, MERKLE_LEN) != 0)
		return hw_err_set(err, HW_ECORRUPT, "%s is no tree of a ledger", FILE_NAME);
	if ((r = read_peaks(t, keep, err)) < 0)
		return r;
	if (ftruncate(t->fd, offset_of(hashes_of(keep))) < 0)
		return hw_err_sys(err, "cannot cut the ledger's tree");
	return 0;
}

int
tree_open(struct tree **ret, const char *path, uint64_t keep, const struct journal_io *io,
	struct hw_err *err)
{
	int dir, r = dir_open(&dir, path, false, err);

	if (r < 0)
		return r;
	struct tree *t = calloc(1, sizeof(*t));
	if (t == NULL) {
		fd_close(dir);
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's tree");
	}
	t->io = io;
	buf_init(&t->waiting, WAIT_MAX);
	t->fd = openat(dir, FILE_NAME, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = t->fd < 0 ? hw_err_sys(err, "cannot open the ledger's tree")
		      : take_up(t, dir, keep, err);
	fd_close(dir);
	t->synced = offset_of(hashes_of(keep));
	if (r < 0)
		tree_close(t);
	else
		*ret = t;
	return r;
}

void
tree_close(struct tree *t)
{
	if (t == NULL)
		return;
	fd_close(t->fd);
	buf_fini(&t->waiting);
	free(t);
}
