#include "audit/search_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "audit/crc32c.h"
#include "proto/base/file.h"

/* The last byte tells who reads it on another kind of machine, or with other records. */
#define MAGIC      \
	("hwidx-1" \
	 "\x38")
#define SEAL_MORE  (SECRET_NONCE_LEN + SECRET_TAG_LEN)
#define BYTES_FULL ((size_t)512 * 1024)	     /* then a block is full, too */
#define BYTES_MAX  ((size_t)2 * 1024 * 1024) /* with the entry that filled it */
#define PACK_LEVEL 1

_Static_assert(sizeof(struct search_record) == 0x38, "the magic tells the record's size");

/* As it lies on disk. */
struct head {
	char magic[8];
	uint64_t first;
	int64_t oldest, newest;
	uint32_t n, records_len, packed_len, raw_len, damaged, crc;
};

struct block {
	struct search_span span;
	uint32_t records_len, packed_len, raw_len;
	off_t at; /* of its head */
};

struct search_index {
	int fd;
	struct secret_key key;
	pthread_rwlock_t lock; /* of all that follows */
	struct block *blocks;
	size_t n, room;
	off_t end;
	uint64_t begin; /* the first entry of all */
	uint64_t resets;
	struct search_record tail[SEARCH_BLOCK];
	size_t tail_n;
	struct buf tail_bytes;
};

/* --- under the lock --------------------------------------------------------------------------- */

static uint64_t
tail_first(const struct search_index *x)
{
	if (x->n == 0)
		return x->begin;
	const struct search_span *last = &x->blocks[x->n - 1].span;
	return last->first + last->n;
}

static int
add_block(struct search_index *x, const struct block *b)
{
	if (x->n == x->room) {
		size_t room = x->room > 0 ? 2 * x->room : 64;
		struct block *more = realloc(x->blocks, room * sizeof(*more));
		if (more == NULL)
			return HW_ENOMEM;
		x->blocks = more;
		x->room = room;
	}
	x->blocks[x->n++] = *b;
	return 0;
}

static const struct block *
find_block(const struct search_index *x, uint64_t sequence)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct search_span *s = &x->blocks[mid].span;
		if (sequence < s->first)
			high = mid;
		else if (sequence >= s->first + s->n)
			low = mid + 1;
		else
			return &x->blocks[mid];
	}
	return NULL;
}

static bool
is_in_tail(const struct search_index *x, uint64_t sequence)
{
	uint64_t first = tail_first(x);

	return sequence >= first && sequence < first + x->tail_n;
}

static struct search_span
span_of(uint64_t first, const struct search_record *r, size_t n)
{
	struct search_span s = {.first = first, .n = n, .oldest = INT64_MAX, .newest = INT64_MIN};

	for (size_t i = 0; i < n; i++) {
		if (r[i].time < s.oldest)
			s.oldest = r[i].time;
		if (r[i].time > s.newest)
			s.newest = r[i].time;
	}
	return s;
}

/* --- a block on disk -------------------------------------------------------------------------- */

static void
block_aad(char out[160], const struct block *b, const char *part)
{
	snprintf(out, 160,
		"hawser ledger index %s %016" PRIx64 " %zu %" PRId64 " %" PRId64 " raw %" PRIu32,
		part, b->span.first, b->span.n, b->span.oldest, b->span.newest, b->raw_len);
}

static uint32_t
head_crc(const struct head *h)
{
	return crc32c(0, h, offsetof(struct head, crc));
}

static int
pack(struct buf *out, const struct buf *raw)
{
	size_t room = ZSTD_compressBound(raw->len);
	uint8_t *to = buf_reserve(out, room);
	size_t n = to == NULL ? 0 : ZSTD_compress(to, room, buf_data(raw), raw->len, PACK_LEVEL);

	if (to == NULL || ZSTD_isError(n))
		return HW_ENOMEM;
	buf_commit(out, n);
	return 0;
}

static uint32_t
count_damaged(const struct search_record *r, size_t n)
{
	uint32_t damaged = 0;

	for (size_t i = 0; i < n; i++)
		damaged += r[i].kind == SEARCH_KIND_DAMAGED;
	return damaged;
}

/* Head, records and bytes, as they are written. */
static int
seal_block(struct buf *out, struct search_index *x, struct block *b)
{
	struct head h = {.first = b->span.first,
		.oldest = b->span.oldest,
		.newest = b->span.newest,
		.n = (uint32_t)b->span.n,
		.raw_len = (uint32_t)x->tail_bytes.len,
		.damaged = count_damaged(x->tail, x->tail_n)};
	struct buf packed;
	char aad[160];
	int r;

	buf_init(&packed, 2 * BYTES_MAX);
	memcpy(h.magic, MAGIC, sizeof(h.magic));
	b->raw_len = h.raw_len;
	buf_append(out, &h, sizeof(h));
	block_aad(aad, b, "records");
	r = secret_seal(out, &x->key, aad, x->tail, b->span.n * sizeof(x->tail[0]));
	b->records_len = h.records_len = (uint32_t)(out->len - sizeof(h));
	block_aad(aad, b, "bytes");
	if (r == 0 && (r = pack(&packed, &x->tail_bytes)) == 0)
		r = secret_seal(out, &x->key, aad, buf_data(&packed), packed.len);
	buf_fini(&packed);
	if (r < 0 || out->failed)
		return HW_ENOMEM;
	b->packed_len = h.packed_len = (uint32_t)(out->len - sizeof(h) - h.records_len);
	h.crc = head_crc(&h);
	memcpy(out->mem + out->head, &h, sizeof(h));
	return 0;
}

static int
write_at(int fd, const uint8_t *p, size_t n, off_t at, struct hw_err *err)
{
	while (n > 0) {
		ssize_t got = pwrite(fd, p, n, at);
		if (got <= 0)
			return hw_err_sys(err, "cannot write the ledger's index");
		p += got;
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

/* The tail goes to disk as a block. */
static int
write_tail(struct search_index *x, struct hw_err *err)
{
	struct block b = {.span = span_of(tail_first(x), x->tail, x->tail_n), .at = x->end};
	struct buf out;

	buf_init(&out, 4 * BYTES_MAX);
	int r = seal_block(&out, x, &b);
	if (r < 0)
		hw_err_set(err, r, "no memory for the ledger's index");
	else
		r = write_at(x->fd, buf_data(&out), out.len, x->end, err);
	if (r == 0 && (r = add_block(x, &b)) < 0)
		hw_err_set(err, r, "no memory for the ledger's index");
	if (r == 0) {
		x->end += (off_t)out.len;
		x->tail_n = 0;
		buf_reset(&x->tail_bytes);
	}
	buf_fini(&out);
	return r;
}

static int
read_part(struct buf *out, const struct search_index *x, const struct block *b, const char *part,
	off_t at, size_t n)
{
	uint8_t *sealed = malloc(n);
	char aad[160];
	int r = HW_ECORRUPT;

	block_aad(aad, b, part);
	if (sealed == NULL)
		r = HW_ENOMEM;
	else if (pread(x->fd, sealed, n, at) == (ssize_t)n)
		r = secret_open(out, &x->key, aad, sealed, n);
	free(sealed);
	return r;
}

static int
damaged(struct hw_err *err, const struct block *b, int r)
{
	return hw_err_set(err, r, "the ledger's index does not verify at entry %" PRIu64,
		b->span.first);
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool
head_is_good(const struct head *h, uint64_t due, off_t left)
{
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 || h->crc != head_crc(h))
		return false;
	return h->damaged == 0 && h->n > 0 && h->n <= SEARCH_BLOCK &&
		(due == UINT64_MAX || h->first == due) && h->raw_len <= BYTES_MAX &&
		h->records_len == h->n * sizeof(struct search_record) + SEAL_MORE &&
		h->packed_len > SEAL_MORE && h->packed_len <= 2 * BYTES_MAX &&
		(off_t)sizeof(*h) + h->records_len + h->packed_len <= left;
}

/* Walks over the heads up to what is not whole, which is cut off. */
static int
read_heads(struct search_index *x, struct hw_err *err)
{
	uint64_t due = UINT64_MAX;
	struct head h;
	struct stat st;

	if (fstat(x->fd, &st) < 0)
		return hw_err_sys(err, "cannot read the ledger's index");
	while (pread(x->fd, &h, sizeof(h), x->end) == (ssize_t)sizeof(h) &&
		head_is_good(&h, due, st.st_size - x->end)) {
		const struct block b = {
			.span = {h.first, h.n, h.oldest, h.newest},
			.records_len = h.records_len,
			.packed_len = h.packed_len,
			.raw_len = h.raw_len,
			.at = x->end,
		};
		if (x->n == 0)
			x->begin = h.first;
		if (add_block(x, &b) < 0)
			return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's index");
		due = h.first + h.n;
		x->end += (off_t)(sizeof(h) + h.records_len + h.packed_len);
	}
	if (x->end < st.st_size && ftruncate(x->fd, x->end) < 0)
		return hw_err_sys(err, "cannot cut the ledger's index");
	return 0;
}

int
search_index_open(struct search_index **ret, int dir, const char *name,
	const struct secret_key *master, struct hw_err *err)
{
	struct search_index *x = calloc(1, sizeof(*x));
	int r;

	if (x == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's index");
	pthread_rwlock_init(&x->lock, NULL);
	buf_init(&x->tail_bytes, BYTES_MAX);
	secret_key_derive(&x->key, master, "hawser ledger index");
	x->fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = x->fd < 0 ? hw_err_sys(err, "cannot open %s", name) : read_heads(x, err);
	if (r < 0)
		search_index_close(x);
	else
		*ret = x;
	return r;
}

static int
overwrite(int fd, struct hw_err *err)
{
	static const char zeros[64 * 1024];
	struct stat st;
	off_t left;

	if (fstat(fd, &st) < 0)
		return hw_err_sys(err, "cannot look at the ledger's index");
	for (left = st.st_size; left > 0;) {
		size_t n = left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);
		ssize_t done = write(fd, zeros, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return hw_err_sys(err, "cannot overwrite the ledger's index");
		left -= done;
	}
	return fdatasync(fd) < 0 ? hw_err_sys(err, "cannot overwrite the ledger's index") : 0;
}

int
search_index_discard(int relay_dir, struct hw_err *err)
{
	int fd = openat(relay_dir, SEARCH_INDEX, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot open %s", SEARCH_INDEX);
	int r = overwrite(fd, err);
	fd_close(fd);
	if (r == 0 && unlinkat(relay_dir, SEARCH_INDEX, 0) < 0)
		r = hw_err_sys(err, "cannot remove %s", SEARCH_INDEX);
	return r;
}

void
search_index_close(struct search_index *x)
{
	if (x == NULL)
		return;
	fd_close(x->fd);
	buf_fini(&x->tail_bytes);
	secret_key_wipe(&x->key);
	pthread_rwlock_destroy(&x->lock);
	free(x->blocks);
	free(x);
}

int
search_index_reset(struct search_index *x, uint64_t next, struct hw_err *err)
{
	pthread_rwlock_wrlock(&x->lock);
	int r = ftruncate(x->fd, 0) < 0 ? hw_err_sys(err, "cannot empty the ledger's index") : 0;
	x->n = x->tail_n = 0;
	x->end = 0;
	x->begin = next;
	x->resets++;
	buf_reset(&x->tail_bytes);
	pthread_rwlock_unlock(&x->lock);
	return r;
}

uint64_t
search_index_resets(struct search_index *x)
{
	pthread_rwlock_rdlock(&x->lock);
	uint64_t n = x->resets;
	pthread_rwlock_unlock(&x->lock);
	return n;
}

/* --- appending -------------------------------------------------------------------------------- */

uint64_t
search_index_first(struct search_index *x)
{
	pthread_rwlock_rdlock(&x->lock);
	uint64_t first = x->n > 0 ? x->blocks[0].span.first : x->begin;
	pthread_rwlock_unlock(&x->lock);
	return first;
}

uint64_t
search_index_next(struct search_index *x)
{
	pthread_rwlock_rdlock(&x->lock);
	uint64_t next = tail_first(x) + x->tail_n;
	pthread_rwlock_unlock(&x->lock);
	return next;
}

int
search_index_append(struct search_index *x, const struct search_record *record, const void *bytes,
	size_t n, struct hw_err *err)
{
	int r = 0;

	pthread_rwlock_wrlock(&x->lock);
	if (x->tail_n == SEARCH_BLOCK || x->tail_bytes.len >= BYTES_FULL)
		r = write_tail(x, err);
	uint32_t at = (uint32_t)x->tail_bytes.len;
	if (r == 0 && (r = buf_append(&x->tail_bytes, bytes, n)) < 0)
		hw_err_set(err, r, "no room for an entry in the ledger's index");
	if (r == 0) {
		x->tail[x->tail_n] = *record;
		x->tail[x->tail_n].at = at;
		x->tail[x->tail_n].len = (uint32_t)n;
		x->tail_n++;
	}
	pthread_rwlock_unlock(&x->lock);
	return r;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool
search_index_span(struct search_index *x, uint64_t sequence, struct search_span *ret)
{
	pthread_rwlock_rdlock(&x->lock);
	const struct block *b = find_block(x, sequence);
	bool in_tail = b == NULL && is_in_tail(x, sequence);
	if (b != NULL)
		*ret = b->span;
	else if (in_tail)
		*ret = span_of(tail_first(x), x->tail, x->tail_n);
	pthread_rwlock_unlock(&x->lock);
	return b != NULL || in_tail;
}

void
search_page_init(struct search_page *p)
{
	p->first = p->n = 0;
	p->has_bytes = false;
	buf_init(&p->bytes, BYTES_MAX);
}

void
search_page_fini(struct search_page *p)
{
	buf_fini(&p->bytes);
}

/* The tail changes: its bytes are copied with its records. */
static int
copy_tail(const struct search_index *x, struct search_page *ret)
{
	ret->first = tail_first(x);
	ret->n = x->tail_n;
	memcpy(ret->records, x->tail, x->tail_n * sizeof(x->tail[0]));
	ret->has_bytes = true;
	return buf_append(&ret->bytes, buf_data(&x->tail_bytes), x->tail_bytes.len);
}

static int
read_records(const struct search_index *x, const struct block *b, struct search_page *ret)
{
	struct buf out;

	buf_init(&out, sizeof(ret->records));
	int r = read_part(&out, x, b, "records", b->at + (off_t)sizeof(struct head),
		b->records_len);
	if (r == 0) {
		memcpy(ret->records, buf_data(&out), out.len);
		ret->first = b->span.first;
		ret->n = b->span.n;
	}
	buf_fini(&out);
	return r;
}

int
search_index_read(struct search_index *x, uint64_t sequence, struct search_page *ret,
	struct hw_err *err)
{
	struct block copy;
	int r = 0;

	buf_reset(&ret->bytes);
	ret->has_bytes = false;
	ret->n = 0;
	pthread_rwlock_rdlock(&x->lock);
	const struct block *b = find_block(x, sequence);
	bool in_tail = b == NULL && is_in_tail(x, sequence);
	if (b != NULL)
		copy = *b;
	else if (in_tail)
		r = copy_tail(x, ret);
	pthread_rwlock_unlock(&x->lock);
	if (b == NULL && !in_tail)
		return hw_err_set(err, HW_EUNAVAILABLE, SEARCH_ANEW);
	if (b == NULL)
		return r == 0 ? 0 : hw_err_set(err, r, "no memory for a part of the index");
	r = read_records(x, &copy, ret);
	return r == 0 ? 0 : damaged(err, &copy, r);
}

static int
unpack_bytes(const struct search_index *x, const struct block *b, struct search_page *p)
{
	struct buf packed;
	uint8_t *to;

	buf_init(&packed, 2 * BYTES_MAX);
	int r = read_part(&packed, x, b, "bytes",
		b->at + (off_t)(sizeof(struct head) + b->records_len), b->packed_len);
	if (r == 0 && (to = buf_reserve(&p->bytes, b->raw_len)) == NULL)
		r = HW_ENOMEM;
	else if (r == 0 &&
		ZSTD_decompress(to, b->raw_len, buf_data(&packed), packed.len) != b->raw_len)
		r = HW_ECORRUPT;
	if (r == 0) {
		buf_commit(&p->bytes, b->raw_len);
		p->has_bytes = true;
	}
	buf_fini(&packed);
	return r;
}

int
search_index_bytes(struct search_index *x, struct search_page *p, uint64_t sequence,
	const uint8_t **bytes, size_t *n, struct hw_err *err)
{
	const struct search_record *rec = &p->records[sequence - p->first];
	struct block copy = {.span.first = p->first};
	int r = 0;

	if (!p->has_bytes) {
		pthread_rwlock_rdlock(&x->lock);
		const struct block *b = find_block(x, sequence);
		if (b != NULL)
			copy = *b;
		pthread_rwlock_unlock(&x->lock);
		r = b != NULL ? unpack_bytes(x, &copy, p) : HW_ECORRUPT;
	}
	if (r == 0 && ((size_t)rec->at > p->bytes.len || rec->len > p->bytes.len - rec->at))
		r = HW_ECORRUPT;
	if (r < 0)
		return damaged(err, &copy, r);
	*bytes = buf_data(&p->bytes) + rec->at;
	*n = rec->len;
	return 0;
}
