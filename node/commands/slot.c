#include "node/commands/slot.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/id.h"

#define MARK UINT64_C(0x31746f6c73737768) /* of a log's beginning; zero where there is none */

struct head {
	uint64_t mark, seed;
};
_Static_assert(sizeof(struct head) == 16, "fixed layout");

static int
write_at(int fd, const void *p, size_t n, off_t at)
{
	const uint8_t *from = p;

	while (n > 0) {
		ssize_t w = pwrite(fd, from, n, at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		from += w;
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

static bool
write_zeros(int fd, size_t n, off_t at)
{
	static const uint8_t zeros[SLOT_SIZE];

	return write_at(fd, zeros, n, at) == 0;
}

/* A file that nobody finds by its name any more keeps nothing. */
static void
give_up(struct slot *s)
{
	fd_close(s->fd);
	unlinkat(s->dir, SLOT, 0);
	*s = (struct slot){.dir = s->dir, .fd = -1};
}

/* What is no file of ours, or was cut before anything was in it, is none. */
static int
read_head(struct slot *s, struct hw_err *err)
{
	struct head h;
	struct stat st;

	ssize_t n = fstat(s->fd, &st) < 0 ? -1 : 0;
	if (n == 0 && S_ISREG(st.st_mode))
		n = pread(s->fd, &h, sizeof(h), 0);
	if (n < 0)
		return hw_err_sys(err, "cannot read commands/" SLOT);
	if (n != sizeof(h)) {
		give_up(s);
		return 0;
	}
	if (h.mark == MARK && h.seed != 0)
		s->seed = h.seed;
	s->end = s->seed != 0 ? st.st_size : 0;
	return 0;
}

int
slot_open(struct slot *s, int dir, struct hw_err *err)
{
	*s = (struct slot){
		.dir = dir, .fd = openat(dir, SLOT, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
	if (s->fd < 0 && errno == EROFS) /* what is in it counts, and nothing comes to it */
		s->fd = openat(dir, SLOT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (s->fd >= 0)
		return read_head(s, err);
	/* Nor is a link or a folder of that name one that we made. */
	return errno == ENOENT || errno == ELOOP || errno == EISDIR || errno == ENXIO
		? 0
		: hw_err_sys(err, "cannot open commands/" SLOT);
}

void
slot_close(struct slot *s)
{
	fd_close(s->fd);
	s->fd = -1;
}

void
slot_make(struct slot *s)
{
	if (s->fd >= 0)
		return;
	s->fd = openat(s->dir, SLOT, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->fd >= 0 && !write_zeros(s->fd, SLOT_SIZE, 0))
		give_up(s);
}

bool
slot_is_free(const struct slot *s, size_t n)
{
	struct stat st;

	return s->fd >= 0 && s->seed == 0 && n + sizeof(struct head) <= SLOT_SIZE &&
		fstat(s->fd, &st) == 0 && st.st_nlink > 0;
}

uint64_t
slot_new_seed(void)
{
	return random_u64() | 1;
}

/* Its name once: who made it may have been killed before. */
static int
sync_all(struct slot *s)
{
	if (fdatasync(s->fd) < 0 || (!s->named && fsync(s->dir) < 0))
		return -1;
	s->named = true;
	return 0;
}

/* What lies behind the end and was written for the same log would be read after what is appended
 * next, if it happens to begin where that ends. */
static bool
clear_behind(struct slot *s)
{
	size_t left = s->end < SLOT_SIZE ? (size_t)(SLOT_SIZE - s->end) : 0;

	return ftruncate(s->fd, s->end < SLOT_SIZE ? SLOT_SIZE : s->end) == 0 &&
		write_zeros(s->fd, left, s->end);
}

int
slot_begin(struct slot *s, uint64_t seed, const struct buf *records, struct hw_err *err)
{
	const struct head h = {.mark = MARK, .seed = seed};
	struct buf all;
	int r;

	buf_init(&all, SLOT_SIZE);
	s->seed = seed;
	if ((r = buf_append(&all, &h, sizeof(h))) < 0 ||
		(r = buf_append(&all, buf_data(records), records->len)) < 0)
		hw_err_set(err, r, "what begins a command's log is longer than %d bytes",
			SLOT_SIZE);
	else if (write_at(s->fd, buf_data(&all), all.len, 0) < 0 || sync_all(s) < 0)
		r = hw_err_sys(err, "cannot write commands/" SLOT);
	s->end = (off_t)all.len;
	buf_fini(&all);
	if (r < 0)
		give_up(s);
	return r;
}

int
slot_append(struct slot *s, const struct buf *record, bool lasting, struct hw_err *err)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0 || st.st_nlink == 0)
		return hw_err_set(err, HW_EIO, "commands/" SLOT " was removed");
	if (write_at(s->fd, buf_data(record), record->len, s->end) < 0 ||
		(lasting && sync_all(s) < 0)) {
		int e = errno, r = hw_err_sys(err, "cannot write commands/" SLOT);
		(void)clear_behind(s);
		errno = e;
		return r;
	}
	s->end += (off_t)record->len;
	return 0;
}

int
slot_sync(struct slot *s, struct hw_err *err)
{
	return sync_all(s) < 0 ? hw_err_sys(err, "cannot sync commands/" SLOT) : 0;
}

int
slot_read(struct buf *out, const struct slot *s, struct hw_err *err)
{
	off_t at = sizeof(struct head);
	uint8_t piece[SLOT_SIZE];
	int r = 0;

	while (r == 0 && at < s->end && out->len < out->max) {
		size_t room = out->max - out->len, left = (size_t)(s->end - at);
		size_t want = left < sizeof(piece) ? left : sizeof(piece);
		ssize_t n = pread(s->fd, piece, want < room ? want : room, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hw_err_sys(err, "cannot read commands/" SLOT);
		if (n == 0)
			break;
		if ((r = buf_append(out, piece, (size_t)n)) < 0)
			hw_err_set(err, r, "out of memory");
		at += n;
	}
	return r;
}

void
slot_cut(struct slot *s, size_t whole)
{
	s->end = (off_t)(sizeof(struct head) + whole);
	if (clear_behind(s))
		(void)fdatasync(s->fd); /* as that would be read if only this were lost */
}

/* The head goes first, and for good: what lost its later records alone would be gone on with. */
void
slot_clear(struct slot *s)
{
	size_t used = s->end < SLOT_SIZE ? (size_t)s->end : SLOT_SIZE;

	if (!write_zeros(s->fd, sizeof(struct head), 0) || fdatasync(s->fd) < 0 ||
		(s->end > SLOT_SIZE && ftruncate(s->fd, SLOT_SIZE) < 0) ||
		!write_zeros(s->fd, used, 0)) {
		give_up(s);
		return;
	}
	s->seed = 0;
	s->end = 0;
}
