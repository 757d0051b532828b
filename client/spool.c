#include "client/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/file.h"

#define PIECE 65536

struct spooled_piece {
	int64_t at;
	uint32_t n;
};

struct spool {
	int fd;
	int64_t end, keep;
	uint8_t piece[PIECE];
};

/* Not every file system makes files without names; one that is removed at once is the same. */
static int
open_nameless(int *fd, struct hw_err *err)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];

	if (dir == NULL || dir[0] != '/' ||
		snprintf(path, sizeof(path), "%s/hawser-XXXXXX", dir) >= (int)sizeof(path)) {
		dir = "/tmp";
		snprintf(path, sizeof(path), "%s/hawser-XXXXXX", dir);
	}
	*fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (*fd >= 0)
		return 0;
	if ((*fd = mkostemp(path, O_CLOEXEC)) < 0)
		return hw_err_sys(err, "cannot make a temporary file in %s", dir);
	unlink(path);
	return 0;
}

int
spool_new(struct spool **ret, int64_t keep, struct hw_err *err)
{
	struct spool *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	s->keep = keep;
	if ((r = open_nameless(&s->fd, err)) < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	fd_close(s->fd);
	free(s);
}

/* What follows the last piece in the file belongs to it. */
static int
note_piece(struct spooled *to, int64_t at, size_t n)
{
	struct spooled_piece *last = to->n > 0 ? &to->pieces[to->n - 1] : NULL;
	struct spooled_piece *pieces;

	if (last != NULL && last->at + last->n == at && last->n + n < UINT32_MAX) {
		last->n += (uint32_t)n;
		return 0;
	}
	if (to->n == to->room) {
		size_t room = to->room > 0 ? 2 * to->room : 1;

		if ((pieces = reallocarray(to->pieces, room, sizeof(*pieces))) == NULL)
			return HW_ENOMEM;
		to->pieces = pieces;
		to->room = room;
	}
	to->pieces[to->n++] = (struct spooled_piece){.at = at, .n = (uint32_t)n};
	return 0;
}

static int
write_at(int fd, const uint8_t *p, size_t n, int64_t at, struct hw_err *err)
{
	while (n > 0) {
		ssize_t some = pwrite(fd, p, n, at);

		if (some < 0 && errno == EINTR)
			continue;
		if (some < 0)
			return hw_err_sys(err, "cannot write a temporary file (TMPDIR says where)");
		p += some;
		n -= (size_t)some;
		at += some;
	}
	return 0;
}

int
spool_append(struct spool *s, struct spooled *to, const void *p, size_t n, struct hw_err *err)
{
	size_t room = to->bytes < s->keep ? (size_t)(s->keep - to->bytes) : 0;
	size_t kept = n < room ? n : room;
	int r;

	to->beyond += (int64_t)(n - kept);
	if (kept == 0)
		return 0;
	if ((r = write_at(s->fd, p, kept, s->end, err)) < 0)
		return r;
	if (note_piece(to, s->end, kept) < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	s->end += (int64_t)kept;
	to->bytes += (int64_t)kept;
	return 0;
}

/* What lies at the end of the file is written over; elsewhere it becomes a hole, or, where there
 * can be none, the file is larger than it needs to be. */
static void
give_back(struct spool *s, const struct spooled_piece *piece)
{
	if (piece->at + piece->n == s->end)
		s->end = piece->at;
	else
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, piece->at,
			piece->n);
}

void
spool_drop(struct spool *s, struct spooled *of)
{
	for (size_t i = of->n; i-- > 0;)
		give_back(s, &of->pieces[i]);
	free(of->pieces);
	*of = (struct spooled){0};
}

static int
read_piece(struct spool *s, const struct spooled_piece *piece,
	int (*each)(void *arg, const uint8_t *p, size_t n, struct hw_err *err), void *arg,
	struct hw_err *err)
{
	int64_t at = piece->at, end = at + piece->n;
	int r = 0;

	while (at < end && r == 0) {
		size_t want = end - at < PIECE ? (size_t)(end - at) : PIECE;
		ssize_t n = pread(s->fd, s->piece, want, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hw_err_sys(err, "cannot read a temporary file");
		if (n == 0)
			return hw_err_set(err, HW_EIO, "a temporary file has become shorter");
		r = each(arg, s->piece, (size_t)n, err);
		at += n;
	}
	return r;
}

int
spool_read(struct spool *s, const struct spooled *of,
	int (*each)(void *arg, const uint8_t *p, size_t n, struct hw_err *err), void *arg,
	struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < of->n && r == 0; i++)
		r = read_piece(s, &of->pieces[i], each, arg, err);
	return r;
}
