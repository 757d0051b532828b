#include "audit/journal_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/key_wrap.h"
#include "audit/lost_sector.h"
#include "proto/base/file.h"

#define MAGIC	   "hwjrnl1\n"
#define AAD_LEN	   12
#define WRAPPED_AT 32		 /* in the head */
#define WINDOW	   (1024 * 1024) /* of the file, in memory; more than a frame */

_Static_assert(WINDOW > FRAME_MAX, "a frame must fit");
_Static_assert(WRAPPED_AT + KEY_WRAP_LEN <= SEGMENT_HEAD_LEN, "the head must fit");

/* --- names ------------------------------------------------------------------------------------ */

void
segment_name(char out[SEGMENT_NAME_LEN + 1], jpos first)
{
	snprintf(out, SEGMENT_NAME_LEN + 1, "journal-%016" PRIx64 ".seg", first);
}

static bool
parse_name(jpos *first, const char *name)
{
	char made[SEGMENT_NAME_LEN + 1];
	jpos pos;

	if (sscanf(name, "journal-%16" SCNx64 ".seg", &pos) != 1)
		return false;
	segment_name(made, pos);
	*first = pos;
	return strcmp(made, name) == 0;
}

static int
by_position(const void *a, const void *b)
{
	const jpos *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
segment_list(jpos **ret, size_t *n, int dir, struct hw_err *err)
{
	jpos *list = NULL;
	size_t count = 0, room = 0;
	struct dirent *entry;
	int r = 0;

	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot list the journal");
	}
	while (errno = 0, (entry = readdir(d)) != NULL) {
		jpos first;
		if (!parse_name(&first, entry->d_name))
			continue;
		if (count == room) {
			jpos *more = realloc(list, (room = 2 * room + 8) * sizeof(*list));
			if (more == NULL)
				break;
			list = more;
		}
		list[count++] = first;
	}
	if (errno != 0)
		r = hw_err_sys(err, "cannot list the journal");
	closedir(d);
	if (r < 0) {
		free(list);
		return r;
	}
	if (count > 0)
		qsort(list, count, sizeof(*list), by_position);
	*ret = list;
	*n = count;
	return 0;
}

/* --- heads ------------------------------------------------------------------------------------ */

static void
head_aad(char out[128], const struct segment_head *h)
{
	snprintf(out, 128, "hawser journal segment %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
		h->first, h->ledger_first, (uint64_t)h->created);
}

int
segment_head_make(uint8_t out[SEGMENT_HEAD_LEN], const struct segment_head *h,
	const struct secret_key *key, const struct secret_key *wrap)
{
	char aad[128];

	memset(out, 0, SEGMENT_HEAD_LEN);
	memcpy(out, MAGIC, 8);
	put_le64(out + 8, h->first);
	put_le64(out + 16, h->ledger_first);
	put_le64(out + 24, (uint64_t)h->created);
	head_aad(aad, h);
	return key_wrap(out + WRAPPED_AT, key, aad, wrap);
}

static void
head_parse(struct segment_head *h, const uint8_t in[SEGMENT_HEAD_LEN])
{
	*h = (struct segment_head){
		.first = get_le64(in + 8),
		.ledger_first = get_le64(in + 16),
		.created = (int64_t)get_le64(in + 24),
	};
}

static int
head_read(struct segment_head *h, struct secret_key *key, const uint8_t in[SEGMENT_HEAD_LEN],
	const struct secret_key *wrap)
{
	char aad[128];

	if (memcmp(in, MAGIC, 8) != 0)
		return HW_ECORRUPT;
	head_parse(h, in);
	head_aad(aad, h);
	return key_unwrap(key, in + WRAPPED_AT, aad, wrap);
}

/* --- frames ----------------------------------------------------------------------------------- */

static void
frame_aad(uint8_t out[AAD_LEN], jpos pos, uint32_t len)
{
	put_le64(out, pos);
	put_le32(out + 8, len);
}

static uint32_t
frame_crc(const uint8_t *frame, uint32_t len)
{
	return crc32c(crc32c(0, frame, 4), frame + FRAME_HEAD_LEN, len);
}

int
segment_frame_make(uint8_t *out, struct secret_stream *key, jpos pos,
	const struct journal_record *r)
{
	size_t plain = RECORD_HEAD_LEN + r->len;
	uint32_t len = (uint32_t)(plain + SECRET_TAG_LEN);
	uint8_t *p = out + FRAME_HEAD_LEN, aad[AAD_LEN];

	p[0] = (uint8_t)r->type;
	p[1] = r->stream;
	p[2] = r->flags;
	p[3] = 0;
	put_le32(p + 4, r->author);
	put_le64(p + 8, r->session);
	put_le64(p + 16, r->offset);
	put_le64(p + 24, (uint64_t)r->time);
	if (r->len > 0)
		memcpy(p + RECORD_HEAD_LEN, r->bytes, r->len);
	frame_aad(aad, pos, len);
	if (secret_stream_seal(key, pos, aad, sizeof(aad), p, p, plain) < 0)
		return HW_EINTERNAL;
	put_le32(out, len);
	put_le32(out + 4, frame_crc(out, len));
	return 0;
}

/* What a frame's length may be. */
static bool
length_fits(uint32_t len)
{
	return len >= RECORD_HEAD_LEN + SECRET_TAG_LEN &&
		len <= RECORD_HEAD_LEN + JOURNAL_RECORD_MAX + SECRET_TAG_LEN;
}

static bool
record_parse(struct journal_record *ret, const uint8_t *p, size_t n)
{
	if (p[0] < JOURNAL_LEDGER || p[0] > JOURNAL_SCREEN || p[3] != 0)
		return false;
	*ret = (struct journal_record){
		.type = p[0],
		.stream = p[1],
		.flags = p[2],
		.author = get_le32(p + 4),
		.session = get_le64(p + 8),
		.offset = get_le64(p + 16),
		.time = (int64_t)get_le64(p + 24),
		.bytes = p + RECORD_HEAD_LEN,
		.len = n - RECORD_HEAD_LEN,
	};
	return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct segment {
	int fd;
	char name[SEGMENT_NAME_LEN + 1];
	struct segment_head head;
	struct secret_stream *key;
	jpos at;
	uint8_t *window; /* bytes of the file from `at` on: [start, start + have) */
	size_t start, have;
	uint8_t *plain; /* the last record */
};

static off_t
file_offset(const struct segment *s, jpos pos)
{
	return (off_t)(SEGMENT_HEAD_LEN + (pos - s->head.first));
}

static int
read_at(const struct segment *s, uint8_t *p, size_t n, off_t at, size_t *got, struct hw_err *err)
{
	*got = 0;
	while (*got < n) {
		ssize_t did = pread(s->fd, p + *got, n - *got, at + (off_t)*got);
		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return hw_err_sys(err, "cannot read %s", s->name);
		if (did == 0)
			break;
		*got += (size_t)did;
	}
	return 0;
}

int
segment_open(struct segment **ret, int dir, const char *name, const struct secret_key *wrap,
	struct hw_err *err)
{
	uint8_t head[SEGMENT_HEAD_LEN];
	struct secret_key key = {{0}};
	size_t got;
	int r;

	struct segment *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a segment");
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0) {
		r = hw_err_sys(err, "cannot open %s", name);
		goto out;
	}
	if ((r = read_at(s, head, sizeof(head), 0, &got, err)) < 0)
		goto out;
	if (got < sizeof(head) || head_read(&s->head, &key, head, wrap) < 0) {
		r = hw_err_set(err, HW_ECORRUPT, "%s: the head does not verify", name);
		goto out;
	}
	s->at = s->head.first;
	s->key = secret_stream_new(&key);
	s->window = malloc(WINDOW);
	s->plain = malloc(FRAME_MAX);
	if (s->key == NULL || s->window == NULL || s->plain == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory to read %s", name);
out:
	secret_key_wipe(&key);
	if (r < 0)
		segment_close(s);
	else
		*ret = s;
	return r;
}

void
segment_close(struct segment *s)
{
	if (s == NULL)
		return;
	fd_close(s->fd);
	secret_stream_free(s->key);
	free(s->window);
	if (s->plain != NULL)
		explicit_bzero(s->plain, FRAME_MAX);
	free(s->plain);
	free(s);
}

/* Makes n bytes from `at` on lie in the window, as far as the file has them. */
static int
fill(struct segment *s, size_t n, struct hw_err *err)
{
	size_t got;
	int r;

	if (s->have >= n)
		return 0;
	memmove(s->window, s->window + s->start, s->have);
	s->start = 0;
	r = read_at(s, s->window + s->have, WINDOW - s->have,
		file_offset(s, s->at) + (off_t)s->have, &got, err);
	s->have += got;
	return r;
}

static int
frame_open(struct segment *s, uint8_t *out, jpos pos, const uint8_t *frame, uint32_t len)
{
	uint8_t aad[AAD_LEN];

	frame_aad(aad, pos, len);
	return secret_stream_open(s->key, pos, aad, sizeof(aad), out, frame + FRAME_HEAD_LEN, len);
}

/* Whether a valid frame begins anywhere in p, whose first byte has position `pos`. */
static bool
has_frame(struct segment *s, jpos pos, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + FRAME_LEN(0) <= n; i++) {
		uint32_t len = get_le32(p + i);
		if (length_fits(len) && len <= n - i - FRAME_HEAD_LEN &&
			get_le32(p + i + 4) == frame_crc(p + i, len) &&
			frame_open(s, s->plain, pos + i, p + i, len) == 0)
			return true;
	}
	return false;
}

/* Whether what should be a record was never wholly on disk: p has n bytes of the file from it on.
 */
static bool
is_lost(const uint8_t *p, size_t n, off_t at)
{
	size_t len = n >= FRAME_HEAD_LEN && length_fits(get_le32(p)) ? FRAME_HEAD_LEN + get_le32(p)
								     : FRAME_HEAD_LEN;

	return lost_sector(p, n, (uint64_t)at, len);
}

/* What begins at `at` is no record: torn off there, or damaged in the middle? */
static int
judge(struct segment *s, const char *what, struct hw_err *err)
{
	off_t at = file_offset(s, s->at), end = lseek(s->fd, 0, SEEK_END);
	uint8_t *rest = NULL;
	size_t got;
	int r;

	s->start = s->have = 0; /* who asks again wants to see the file as it is then */
	if (end < 0)
		return hw_err_sys(err, "cannot read %s", s->name);
	size_t n = end > at ? (size_t)(end - at) : 0;
	if (n <= FRAME_LEN(0))
		return SEGMENT_TORN;
	if ((rest = malloc(n)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to read %s", s->name);
	if ((r = read_at(s, rest, n, at, &got, err)) == 0)
		r = got > 0 && !is_lost(rest, got, at) && has_frame(s, s->at + 1, rest + 1, got - 1)
			? hw_err_set(err, HW_ECORRUPT, "%s: the record at byte %lld %s", s->name,
				  (long long)at, what)
			: (int)SEGMENT_TORN;
	free(rest);
	return r;
}

int
segment_next(struct segment *s, struct journal_record *ret, struct hw_err *err)
{
	int r;

	if ((r = fill(s, FRAME_HEAD_LEN, err)) < 0)
		return r;
	if (s->have == 0)
		return SEGMENT_END;
	if (s->have < FRAME_HEAD_LEN)
		return judge(s, "is cut off", err);
	uint32_t len = get_le32(s->window + s->start);
	if (!length_fits(len))
		return judge(s, "has a bad length", err);
	if ((r = fill(s, FRAME_HEAD_LEN + len, err)) < 0)
		return r;
	if (s->have < FRAME_HEAD_LEN + len)
		return judge(s, "is longer than the file", err);
	const uint8_t *frame = s->window + s->start;
	if (get_le32(frame + 4) != frame_crc(frame, len))
		return judge(s, "fails its checksum", err);
	/* A tear would have failed the checksum: this was done on purpose, or with another key. */
	if (frame_open(s, s->plain, s->at, frame, len) < 0 ||
		!record_parse(ret, s->plain, len - SECRET_TAG_LEN))
		return hw_err_set(err, HW_ECORRUPT, "%s: the record at byte %lld does not verify",
			s->name, (long long)file_offset(s, s->at));
	s->at += FRAME_HEAD_LEN + len;
	s->start += FRAME_HEAD_LEN + len;
	s->have -= FRAME_HEAD_LEN + len;
	return SEGMENT_RECORD;
}

const struct segment_head *
segment_head(const struct segment *s)
{
	return &s->head;
}

jpos
segment_at(const struct segment *s)
{
	return s->at;
}

int
segment_fd(const struct segment *s)
{
	return s->fd;
}

/* --- another master key ----------------------------------------------------------------------- */

int
segment_rewrap(int dir, const char *name, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err)
{
	uint8_t bytes[SEGMENT_HEAD_LEN];
	struct segment_head h;
	char aad[128];
	int r;

	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", name);
	ssize_t got = pread(fd, bytes, sizeof(bytes), 0);
	if (got < 0) {
		r = hw_err_sys(err, "cannot read %s", name);
	} else if ((size_t)got < sizeof(bytes)) {
		r = hw_err_set(err, HW_ENOTFOUND, "%s has no whole head", name);
	} else {
		head_parse(&h, bytes);
		head_aad(aad, &h);
		if ((r = key_rewrap(fd, WRAPPED_AT, aad, from, to, err)) < 0)
			hw_err_prefix(err, "%s", name);
	}
	fd_close(fd);
	return r;
}
