#include "node/commands/spool.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"

void
spool_name(char out[64], const char *id, size_t step, int stream)
{
	snprintf(out, 64, "%.36s.%03zu.%s", id, step, stream == SPOOL_OUT ? "out" : "err");
}

static bool
open_it(struct spool *s, int dir, const char *name)
{
	if (s->fd < 0)
		s->fd = openat(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return s->fd >= 0;
}

/* Writes at the end; returns how many bytes the disk took. */
static size_t
put(struct spool *s, int dir, const char *name, const uint8_t *p, size_t n)
{
	size_t done = 0;

	if (n == 0 || !open_it(s, dir, name))
		return 0;
	while (done < n) {
		ssize_t w = pwrite(s->fd, p + done, n - done, (off_t)(s->kept + done));
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			break;
		done += (size_t)w;
	}
	s->kept += done;
	return done;
}

void
spool_take(struct spool *s, int dir, const char *name, const void *p, size_t n, uint64_t *left)
{
	/* After an adoption what is there comes again. */
	size_t again = s->total < s->kept ? (size_t)(s->kept - s->total) : 0;
	const uint8_t *bytes = p;

	again = again < n ? again : n;
	s->total += again;
	bytes += again;
	n -= again;
	if (n == 0)
		return;
	size_t want = s->cut ? 0 : n < *left ? n : (size_t)*left;
	size_t done = put(s, dir, name, bytes, want);
	*left -= done;
	s->total += n;
	s->cut = s->cut || done < n;
}

void
spool_mark(struct spool *s, int dir, const char *name, const char *text)
{
	s->marks += put(s, dir, name, (const uint8_t *)text, strlen(text));
}

void
spool_find(struct spool *s, int dir, const char *name)
{
	struct stat st;

	*s = (struct spool)SPOOL_INIT;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		s->kept = s->total = (uint64_t)st.st_size;
}

void
spool_resume(struct spool *s, int dir, const char *name, uint64_t start, uint64_t end)
{
	if (s->kept > end && open_it(s, dir, name) && ftruncate(s->fd, (off_t)end) == 0)
		s->kept = end;
	s->cut = start > s->kept;
	s->total = start;
}

static void
find_to_read(struct spool_reader *r, int dir, const char *name)
{
	if (r->fd >= 0 && strcmp(r->name, name) == 0)
		return;
	spool_reader_close(r);
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

size_t
spool_read(struct spool_reader *r, int dir, const char *name, uint64_t offset, void *p, size_t n)
{
	size_t done = 0;
	ssize_t got = 1;

	find_to_read(r, dir, name);
	while (r->fd >= 0 && done < n && got > 0) {
		got = pread(r->fd, (uint8_t *)p + done, n - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			done += (size_t)got;
	}
	return done;
}

void
spool_reader_close(struct spool_reader *r)
{
	fd_close(r->fd);
	r->fd = -1;
}

void
spool_close(struct spool *s)
{
	fd_close(s->fd);
	s->fd = -1;
}
