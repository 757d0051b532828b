#include "audit/ledger_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/journal_io.h"
#include "audit/key_wrap.h"
#include "proto/base/file.h"

#define MAGIC	   "hwledg1\n"
#define HEAD_LEN   128
#define NAME_LEN   27 /* ledger-<16 hex digits>.log */
#define ENTRY_HEAD 8
#define SEAL_MORE  (SECRET_NONCE_LEN + SECRET_TAG_LEN)
#define SEALED_MAX (JOURNAL_RECORD_MAX + SEAL_MORE)
#define FILE_MAX   (64 * 1024 * 1024) /* then a new one begins */
#define BUFFER_MAX (4 * 1024 * 1024)

static void
file_name(char out[NAME_LEN + 1], uint64_t first)
{
	snprintf(out, NAME_LEN + 1, "ledger-%016" PRIx64 ".log", first);
}

static void
entry_aad(char out[64], uint64_t sequence)
{
	snprintf(out, 64, "hawser ledger entry %016" PRIx64, sequence);
}

static void
head_aad(char out[64], uint64_t first)
{
	snprintf(out, 64, "hawser ledger file %016" PRIx64, first);
}

static uint32_t
entry_crc(const uint8_t *head, const uint8_t *sealed, uint32_t len)
{
	return crc32c(crc32c(0, head, 4), sealed, len);
}

/* The file with the highest first sequence that is at most `most`. False when there is none. */
static bool
find_file(uint64_t *first, int dir, uint64_t least, uint64_t most, bool want_lowest)
{
	struct dirent *entry;
	bool found = false;

	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		fd_close(fd);
		return false;
	}
	while ((entry = readdir(d)) != NULL) {
		char made[NAME_LEN + 1];
		uint64_t got;
		if (sscanf(entry->d_name, "ledger-%16" SCNx64 ".log", &got) != 1)
			continue;
		file_name(made, got);
		if (strcmp(made, entry->d_name) != 0 || got < least || got > most)
			continue;
		if (!found || (want_lowest ? got < *first : got > *first))
			*first = got;
		found = true;
	}
	closedir(d);
	return found;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct ledger_files {
	int dir;
	struct secret_key wrap, key;
	FILE *file;
	uint64_t next;
	off_t at; /* of the next entry */
	struct buf opened;
	uint8_t *sealed;
};

static int
open_file(struct ledger_files *f, uint64_t first, struct hw_err *err)
{
	char name[NAME_LEN + 1], aad[64];
	uint8_t head[HEAD_LEN];

	file_name(name, first);
	int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
	if (file == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot open %s", name);
	}
	head_aad(aad, first);
	if (fread(head, sizeof(head), 1, file) != 1 || memcmp(head, MAGIC, 8) != 0 ||
		get_le64(head + 8) != first || key_unwrap(&f->key, head + 16, aad, &f->wrap) < 0) {
		fclose(file);
		return hw_err_set(err, HW_ECORRUPT, "%s: the head does not verify", name);
	}
	if (f->file != NULL)
		fclose(f->file);
	f->file = file;
	f->next = first;
	f->at = HEAD_LEN;
	return 0;
}

static int
files_new(struct ledger_files **ret, const char *dir, const struct secret_key *master, bool make,
	struct hw_err *err)
{
	struct ledger_files *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to read the ledger");
	f->dir = -1;
	buf_init(&f->opened, JOURNAL_RECORD_MAX);
	secret_key_derive(&f->wrap, master, "hawser ledger");
	f->sealed = malloc(SEALED_MAX);
	int r = f->sealed == NULL ? hw_err_set(err, HW_ENOMEM, "no memory to read the ledger")
				  : dir_open(&f->dir, dir, make, err);
	if (r < 0)
		ledger_files_close(f);
	else
		*ret = f;
	return r;
}

int
ledger_files_open(struct ledger_files **ret, const char *dir, const struct secret_key *master,
	struct hw_err *err)
{
	struct ledger_files *f;
	uint64_t first = 0;

	int r = files_new(&f, dir, master, false, err);
	if (r < 0)
		return r;
	if (!find_file(&first, f->dir, 0, UINT64_MAX, true))
		r = hw_err_set(err, HW_ENOTFOUND, "no ledger in %s", dir);
	else
		r = open_file(f, first, err);
	if (r < 0)
		ledger_files_close(f);
	else
		*ret = f;
	return r;
}

uint64_t
ledger_files_next(const struct ledger_files *f)
{
	return f->next;
}

/* 1: an entry is in f->opened; 0: there is no whole one; HW_ECORRUPT: it is whole and does not
 * open. */
static int
read_entry(struct ledger_files *f, struct hw_err *err)
{
	uint8_t head[ENTRY_HEAD];
	char aad[64];

	clearerr(f->file);
	if (fseeko(f->file, f->at, SEEK_SET) < 0)
		return hw_err_sys(err, "cannot read the ledger");
	if (fread(head, sizeof(head), 1, f->file) != 1)
		return 0;
	uint32_t len = get_le32(head);
	if (len < SEAL_MORE || len > SEALED_MAX || fread(f->sealed, len, 1, f->file) != 1 ||
		get_le32(head + 4) != entry_crc(head, f->sealed, len))
		return 0;
	buf_reset(&f->opened);
	entry_aad(aad, f->next);
	if (secret_open(&f->opened, &f->key, aad, f->sealed, len) < 0)
		return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " does not verify",
			f->next);
	f->next++;
	f->at += ENTRY_HEAD + (off_t)len;
	return 1;
}

int
ledger_files_read(struct ledger_files *f, const uint8_t **p, size_t *n, struct hw_err *err)
{
	uint64_t first;

	int r = read_entry(f, err);
	if (r == 0 && f->at > HEAD_LEN && find_file(&first, f->dir, f->next, UINT64_MAX, true)) {
		if (first != f->next)
			return hw_err_set(err, HW_ECORRUPT,
				"ledger entry %" PRIu64
				" is missing: the next file begins at %" PRIu64,
				f->next, first);
		if ((r = open_file(f, first, err)) == 0)
			r = read_entry(f, err);
	}
	if (r == 1) {
		*p = buf_data(&f->opened);
		*n = f->opened.len;
	}
	return r;
}

void
ledger_files_close(struct ledger_files *f)
{
	if (f == NULL)
		return;
	if (f->file != NULL)
		fclose(f->file);
	fd_close(f->dir);
	secret_key_wipe(&f->wrap);
	secret_key_wipe(&f->key);
	buf_fini(&f->opened);
	free(f->sealed);
	free(f);
}

/* --- writing ---------------------------------------------------------------------------------- */

struct ledger_writer {
	const struct journal_io *io;
	int dir, fd;
	struct secret_key wrap, key;
	struct buf waiting;
	uint64_t next;
	off_t size; /* of the file, with what waits */
};

static int
begin_file(struct ledger_writer *w, struct hw_err *err)
{
	char name[NAME_LEN + 1], aad[64];
	uint8_t head[HEAD_LEN] = MAGIC;
	int r;

	/* An empty file of that name may be left from a crash. */
	file_name(name, w->next);
	int fd = openat(w->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot make %s", name);
	secret_key_random(&w->key);
	put_le64(head + 8, w->next);
	head_aad(aad, w->next);
	if ((r = key_wrap(head + 16, &w->key, aad, &w->wrap)) < 0)
		hw_err_set(err, r, "cannot seal the key of %s", name);
	if (r < 0 || (r = journal_io_write(w->io, fd, head, sizeof(head), err)) < 0 ||
		(r = journal_io_sync(w->io, fd, err)) < 0 ||
		(r = journal_io_sync_dir(w->io, w->dir, err)) < 0) {
		fd_close(fd);
		return r;
	}
	fd_close(w->fd);
	w->fd = fd;
	w->size = HEAD_LEN;
	return 0;
}

/* Goes to the last file's end; what is no whole entry there is cut, if it can be made again. */
static int
take_up(struct ledger_writer *w, struct ledger_files *f, uint64_t first, uint64_t kept_from,
	struct hw_err *err)
{
	char name[NAME_LEN + 1];
	struct stat st;
	int r;

	if ((r = open_file(f, first, err)) < 0)
		return r;
	while ((r = read_entry(f, err)) == 1)
		;
	if (r < 0)
		return r;
	file_name(name, first);
	int fd = openat(w->dir, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = hw_err_sys(err, "cannot open %s", name);
	} else if (f->next < kept_from) {
		r = hw_err_set(err, HW_ECORRUPT,
			"%s ends before entry %" PRIu64 ", and the journal begins with %" PRIu64,
			name, f->next, kept_from);
	} else if (st.st_size > f->at && ftruncate(fd, f->at) < 0) {
		r = hw_err_sys(err, "cannot cut %s", name);
	} else {
		r = journal_io_sync(w->io, fd, err);
	}
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	w->fd = fd;
	w->key = f->key;
	w->next = f->next;
	w->size = f->at;
	return 0;
}

/* A file without entries may not even have its head: the one before it is the last. */
static int
find_end(struct ledger_writer *w, struct ledger_files *f, uint64_t kept_from, struct hw_err *err)
{
	uint64_t first = 0, most = UINT64_MAX;
	char name[NAME_LEN + 1];
	struct stat st;

	while (find_file(&first, w->dir, 0, most, false)) {
		file_name(name, first);
		if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return hw_err_sys(err, "cannot look at %s", name);
		if (st.st_size > HEAD_LEN)
			return take_up(w, f, first, kept_from, err);
		if (unlinkat(w->dir, name, 0) < 0)
			return hw_err_sys(err, "cannot remove %s", name);
		if (first == 0)
			break;
		most = first - 1;
	}
	w->next = kept_from;
	return begin_file(w, err);
}

int
ledger_writer_open(struct ledger_writer **ret, const char *dir, const struct secret_key *master,
	uint64_t kept_from, const struct journal_io *io, struct hw_err *err)
{
	struct ledger_files *f;
	int r;

	if ((r = files_new(&f, dir, master, true, err)) < 0)
		return r;
	struct ledger_writer *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		ledger_files_close(f);
		return hw_err_set(err, HW_ENOMEM, "no memory to write the ledger");
	}
	w->io = io;
	w->fd = -1;
	w->wrap = f->wrap;
	buf_init(&w->waiting, BUFFER_MAX);
	w->dir = fcntl(f->dir, F_DUPFD_CLOEXEC, 0);
	r = w->dir < 0 ? hw_err_sys(err, "cannot open %s", dir) : find_end(w, f, kept_from, err);
	ledger_files_close(f);
	if (r < 0)
		ledger_writer_close(w);
	else
		*ret = w;
	return r;
}

uint64_t
ledger_writer_next(const struct ledger_writer *w)
{
	return w->next;
}

size_t
ledger_writer_buffered(const struct ledger_writer *w)
{
	return w->waiting.len;
}

static int
write_waiting(struct ledger_writer *w, struct hw_err *err)
{
	int r = journal_io_write(w->io, w->fd, buf_data(&w->waiting), w->waiting.len, err);

	if (r == 0)
		buf_reset(&w->waiting);
	return r;
}

int
ledger_writer_append(struct ledger_writer *w, const void *bytes, size_t n, struct hw_err *err)
{
	uint8_t head[ENTRY_HEAD];
	char aad[64];
	int r;

	if (w->waiting.len + ENTRY_HEAD + n + SEAL_MORE > BUFFER_MAX &&
		(r = write_waiting(w, err)) < 0)
		return r;
	if (w->size > FILE_MAX &&
		((r = ledger_writer_sync(w, err)) < 0 || (r = begin_file(w, err)) < 0))
		return r;
	size_t at = w->waiting.len;
	uint32_t len = (uint32_t)(n + SEAL_MORE);
	put_le32(head, len);
	put_le32(head + 4, 0);
	entry_aad(aad, w->next);
	if ((r = buf_append(&w->waiting, head, sizeof(head))) < 0 ||
		(r = secret_seal(&w->waiting, &w->key, aad, bytes, n)) < 0)
		return hw_err_set(err, r, "cannot seal a ledger entry");
	uint8_t *frame = w->waiting.mem + w->waiting.head + at;
	put_le32(frame + 4, entry_crc(frame, frame + ENTRY_HEAD, len));
	w->size += ENTRY_HEAD + (off_t)len;
	w->next++;
	return 0;
}

int
ledger_writer_sync(struct ledger_writer *w, struct hw_err *err)
{
	int r = w->waiting.len > 0 ? write_waiting(w, err) : 0;

	return r == 0 ? journal_io_sync(w->io, w->fd, err) : r;
}

void
ledger_writer_close(struct ledger_writer *w)
{
	if (w == NULL)
		return;
	fd_close(w->fd);
	fd_close(w->dir);
	secret_key_wipe(&w->wrap);
	secret_key_wipe(&w->key);
	buf_fini(&w->waiting);
	free(w);
}
