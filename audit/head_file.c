#include "audit/head_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/journal_io.h"
#include "proto/base/file.h"

#define FILE_NAME "heads"
#define MAGIC	  "hwheads1"
#define MAGIC_LEN 8
#define THIN_AT	  (4 * 1024 * 1024)
#define FILE_MAX  (2 * THIN_AT)

struct head_file {
	const struct journal_io *io;
	int dir, fd;
	size_t n;
	struct log_head last;
};

/* --- records ---------------------------------------------------------------------------------- */

void
head_record_put(uint8_t out[HEAD_RECORD_LEN], const struct log_head *head)
{
	put_le32(out + 4, head->epoch);
	put_le64(out + 8, head->size);
	put_le64(out + 16, (uint64_t)head->time);
	put_le64(out + 24, head->filed);
	memcpy(out + 32, head->root, MERKLE_LEN);
	memcpy(out + 64, head->chain, MERKLE_LEN);
	memcpy(out + 96, head->signature, LOG_SIGNATURE_LEN);
	put_le32(out, crc32c(0, out + 4, HEAD_RECORD_LEN - 4));
}

int
head_record_get(struct log_head *ret, const uint8_t in[HEAD_RECORD_LEN])
{
	if (get_le32(in) != crc32c(0, in + 4, HEAD_RECORD_LEN - 4))
		return HW_ECORRUPT;
	*ret = (struct log_head){
		.epoch = get_le32(in + 4),
		.size = get_le64(in + 8),
		.time = (int64_t)get_le64(in + 16),
		.filed = get_le64(in + 24),
	};
	memcpy(ret->root, in + 32, MERKLE_LEN);
	memcpy(ret->chain, in + 64, MERKLE_LEN);
	memcpy(ret->signature, in + 96, LOG_SIGNATURE_LEN);
	return 0;
}

/* --- the whole file --------------------------------------------------------------------------- */

static int
write_whole(struct head_file *f, const struct buf *whole, struct hw_err *err)
{
	int r;

	if (whole->failed)
		return hw_err_set(err, HW_ENOMEM, "no memory for the heads of the ledger");
	if ((r = file_write(f->dir, FILE_NAME, buf_data(whole), whole->len, 0600, err)) < 0)
		return r;
	int fd = openat(f->dir, FILE_NAME, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return hw_err_sys(err, "cannot open the heads of the ledger");
	fd_close(f->fd);
	f->fd = fd;
	f->n = (whole->len - MAGIC_LEN) / HEAD_RECORD_LEN;
	f->last = (struct log_head){.epoch = 0};
	if (f->n > 0)
		(void)head_record_get(&f->last, buf_data(whole) + whole->len - HEAD_RECORD_LEN);
	return 0;
}

static bool
ends_epoch(const struct buf *all, size_t i, size_t n)
{
	const uint8_t *rec = buf_data(all) + MAGIC_LEN + i * HEAD_RECORD_LEN;

	return i + 1 < n && get_le32(rec + 4) != get_le32(rec + HEAD_RECORD_LEN + 4);
}

/* Keeps of n records those that `keeps` wants. */
static int
rewrite(struct head_file *f, bool (*keeps)(const struct buf *all, size_t i, size_t n, uint64_t arg),
	uint64_t arg, struct hw_err *err)
{
	struct buf all, kept;

	buf_init(&all, FILE_MAX);
	buf_init(&kept, FILE_MAX);
	int r = file_read(&all, f->dir, FILE_NAME, err);
	if (r == 0) {
		buf_append(&kept, MAGIC, MAGIC_LEN);
		for (size_t i = 0; i < f->n; i++)
			if (keeps(&all, i, f->n, arg))
				buf_append(&kept, buf_data(&all) + MAGIC_LEN + i * HEAD_RECORD_LEN,
					HEAD_RECORD_LEN);
		r = write_whole(f, &kept, err);
	}
	buf_fini(&all);
	buf_fini(&kept);
	return r;
}

static bool
is_kept_when_thinned(const struct buf *all, size_t i, size_t n, uint64_t arg)
{
	(void)arg;
	return i >= n / 2 || i % 2 == 0 || ends_epoch(all, i, n);
}

static bool
is_within(const struct buf *all, size_t i, size_t n, uint64_t size)
{
	(void)n;
	return get_le64(buf_data(all) + MAGIC_LEN + i * HEAD_RECORD_LEN + 8) <= size;
}

int
head_file_cut(struct head_file *f, uint64_t size, struct hw_err *err)
{
	return rewrite(f, is_within, size, err);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Of all records but one that was not wholly written. */
static int
check_records(struct head_file *f, const struct buf *all, size_t *whole, struct hw_err *err)
{
	size_t n = (all->len - MAGIC_LEN) / HEAD_RECORD_LEN;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *rec = buf_data(all) + MAGIC_LEN + i * HEAD_RECORD_LEN;
		if (head_record_get(&f->last, rec) == 0)
			continue;
		if (i + 1 < n)
			return hw_err_set(err, HW_ECORRUPT,
				"the ledger's head %zu, at byte %zu of %s, does not verify", i,
				MAGIC_LEN + i * HEAD_RECORD_LEN, FILE_NAME);
		n--;
	}
	*whole = MAGIC_LEN + n * HEAD_RECORD_LEN;
	return 0;
}

static int
take_up(struct head_file *f, struct buf *all, struct hw_err *err)
{
	size_t whole = 0;
	int r;

	if (faccessat(f->dir, FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		buf_append(all, MAGIC, MAGIC_LEN);
		return write_whole(f, all, err);
	}
	if ((r = file_read(all, f->dir, FILE_NAME, err)) < 0)
		return r;
	if (all->len < MAGIC_LEN || memcmp(buf_data(all), MAGIC, MAGIC_LEN) != 0)
		return hw_err_set(err, HW_ECORRUPT, "%s holds no heads of a ledger", FILE_NAME);
	if ((r = check_records(f, all, &whole, err)) < 0)
		return r;
	f->n = (whole - MAGIC_LEN) / HEAD_RECORD_LEN;
	f->fd = openat(f->dir, FILE_NAME, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0 || (all->len > whole && ftruncate(f->fd, (off_t)whole) < 0))
		return hw_err_sys(err, "cannot open the heads of the ledger");
	return 0;
}

int
head_file_open(struct head_file **ret, const char *dir, const struct journal_io *io,
	struct hw_err *err)
{
	struct head_file *f = calloc(1, sizeof(*f));
	struct buf all;

	if (f == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the heads of the ledger");
	f->io = io;
	f->dir = f->fd = -1;
	buf_init(&all, FILE_MAX);
	int r = dir_open(&f->dir, dir, true, err);
	if (r == 0)
		r = take_up(f, &all, err);
	buf_fini(&all);
	if (r < 0)
		head_file_close(f);
	else
		*ret = f;
	return r;
}

void
head_file_close(struct head_file *f)
{
	if (f == NULL)
		return;
	fd_close(f->fd);
	fd_close(f->dir);
	free(f);
}

const struct log_head *
head_file_last(const struct head_file *f)
{
	return f->n > 0 ? &f->last : NULL;
}

/* Whether the file that is appended to is still the one of its name. */
static bool
is_in_place(const struct head_file *f)
{
	struct stat own, named;

	return fstat(f->fd, &own) == 0 &&
		fstatat(f->dir, FILE_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		own.st_ino == named.st_ino && own.st_dev == named.st_dev;
}

/* A smaller one is written beside it, for which there may be no room: then it is as before. */
static int
thin(struct head_file *f, struct hw_err *err)
{
	int r = rewrite(f, is_kept_when_thinned, 0, err);

	return r < 0 && is_in_place(f) ? HW_EFULL : r;
}

/* What a full disk took of a record goes again. */
static int
write_record(struct head_file *f, const uint8_t rec[HEAD_RECORD_LEN], struct hw_err *err)
{
	int r = journal_io_write(f->io, f->fd, rec, HEAD_RECORD_LEN, err);

	if (r == HW_EFULL && ftruncate(f->fd, (off_t)(MAGIC_LEN + f->n * HEAD_RECORD_LEN)) < 0)
		return hw_err_sys(err, "cannot cut the heads of the ledger");
	return r;
}

int
head_file_append(struct head_file *f, const struct log_head *head, struct hw_err *err)
{
	uint8_t rec[HEAD_RECORD_LEN];
	int r;

	if (f->n * HEAD_RECORD_LEN >= THIN_AT && (r = thin(f, err)) < 0)
		return r;
	head_record_put(rec, head);
	if ((r = write_record(f, rec, err)) < 0 || (r = journal_io_sync(f->io, f->fd, err)) < 0)
		return r;
	f->last = *head;
	f->n++;
	return 0;
}
