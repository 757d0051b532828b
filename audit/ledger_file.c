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

#define MAGIC	   "hwledg2\n"
#define HEAD_LEN   128
#define NAME_LEN   27 /* ledger-<16 hex digits>.log */
#define CRC_AT	   (HEAD_LEN - 4)
#define CHAIN_AT   (16 + KEY_WRAP_LEN) /* in the head */
#define ENTRY_HEAD 8
#define ENTRY_META (4 + 2 * MERKLE_LEN) /* flags, leaf, hash of what is stored */
#define SEAL_MORE  (SECRET_NONCE_LEN + SECRET_TAG_LEN)
#define REST_MAX   (ENTRY_META + JOURNAL_RECORD_MAX + SEAL_MORE)
#define FILE_MAX   (64 * 1024 * 1024)
#define BUFFER_MAX (4 * 1024 * 1024)
#define ERASING	   "erasing" /* a file with the number of the entry that is being erased */

_Static_assert(CHAIN_AT + MERKLE_LEN <= CRC_AT, "the head must fit");

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

/* What an entry had before its stored bytes when it was whole: flags, leaf, hash of what is stored.
 */
static void
meta_whole(uint8_t out[ENTRY_META], const uint8_t *meta)
{
	memcpy(out, meta, ENTRY_META);
	put_le32(out, get_le32(meta) & ~(uint32_t)LEDGER_ERASED);
}

static uint32_t
entry_crc(const uint8_t *head, const uint8_t *meta)
{
	uint8_t whole[ENTRY_META];

	meta_whole(whole, meta);
	return crc32c(crc32c(0, head, 4), whole, sizeof(whole));
}

static void
chain_on(uint8_t chain[MERKLE_LEN], const uint8_t *meta)
{
	uint8_t whole[ENTRY_META];

	meta_whole(whole, meta);
	sha256_joined(chain, chain, MERKLE_LEN, whole, sizeof(whole));
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
	uint8_t chain[MERKLE_LEN];
	struct buf opened;
	uint8_t *rest; /* of the entry that is read */
};

/* A file that was just made, or by a power cut has no more than its name and length: p has its
 * first n bytes, of up to HEAD_LEN + 1. Entries come after a head alone. */
static bool
is_blank(const uint8_t *p, size_t n)
{
	for (size_t i = 0; n >= HEAD_LEN && i < n; i++)
		if (p[i] != 0)
			return false;
	return n <= HEAD_LEN;
}

/* HW_ENOTFOUND: it has no head yet. */
static int
open_file(struct ledger_files *f, uint64_t first, struct hw_err *err)
{
	char name[NAME_LEN + 1], aad[64];
	uint8_t head[HEAD_LEN + 1];

	file_name(name, first);
	int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
	if (file == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot open %s", name);
	}
	size_t n = fread(head, 1, sizeof(head), file);
	if (ferror(file) != 0 || is_blank(head, n)) {
		int r = ferror(file) != 0 ? hw_err_sys(err, "cannot read %s", name)
					  : hw_err_set(err, HW_ENOTFOUND, "%s has no head", name);
		fclose(file);
		return r;
	}
	head_aad(aad, first);
	if (memcmp(head, MAGIC, 8) != 0 || get_le64(head + 8) != first ||
		get_le32(head + CRC_AT) != crc32c(0, head, CRC_AT) ||
		key_unwrap(&f->key, head + 16, aad, &f->wrap) < 0) {
		fclose(file);
		return hw_err_set(err, HW_ECORRUPT, "%s: the head does not verify", name);
	}
	if (f->file != NULL)
		fclose(f->file);
	f->file = file;
	memcpy(f->chain, head + CHAIN_AT, MERKLE_LEN);
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
	f->rest = malloc(REST_MAX);
	int r = f->rest == NULL ? hw_err_set(err, HW_ENOMEM, "no memory to read the ledger")
				: dir_open(&f->dir, dir, make, err);
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

/* Whether what is stored is all there. */
static bool
is_whole(const uint8_t *rest, uint32_t len)
{
	uint8_t hash[MERKLE_LEN];

	if ((get_le32(rest) & LEDGER_ERASED) != 0)
		return true;
	sha256(hash, rest + ENTRY_META, len - ENTRY_META);
	return memcmp(hash, rest + 4 + MERKLE_LEN, MERKLE_LEN) == 0;
}

/* 1: a whole entry of *len bytes after its head is in f->rest; 0: there is none. */
static int
read_frame(struct ledger_files *f, uint32_t *len, struct hw_err *err)
{
	uint8_t head[ENTRY_HEAD];

	clearerr(f->file);
	if (fseeko(f->file, f->at, SEEK_SET) < 0)
		return hw_err_sys(err, "cannot read the ledger");
	if (fread(head, sizeof(head), 1, f->file) != 1)
		return 0;
	*len = get_le32(head);
	return *len >= ENTRY_META && *len <= REST_MAX && fread(f->rest, *len, 1, f->file) == 1 &&
		get_le32(head + 4) == entry_crc(head, f->rest) && is_whole(f->rest, *len);
}

static int
open_entry(struct ledger_files *f, struct ledger_stored *ret, uint32_t len, struct hw_err *err)
{
	const uint8_t *stored = f->rest + ENTRY_META;
	uint32_t flags = get_le32(f->rest);
	size_t n = len - ENTRY_META;
	uint8_t leaf[MERKLE_LEN];
	char aad[64];
	int r = 0;

	*ret = (struct ledger_stored){.erased = (flags & LEDGER_ERASED) != 0};
	memcpy(ret->leaf, f->rest + 4, MERKLE_LEN);
	buf_reset(&f->opened);
	if (ret->erased)
		return 0;
	entry_aad(aad, f->next);
	if ((flags & LEDGER_OPEN) != 0)
		r = buf_append(&f->opened, stored, n);
	else
		r = secret_open(&f->opened, &f->key, aad, stored, n);
	ret->bytes = buf_data(&f->opened);
	ret->n = f->opened.len;
	merkle_leaf(leaf, ret->bytes, ret->n);
	if (r < 0 || memcmp(leaf, ret->leaf, MERKLE_LEN) != 0)
		return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " does not verify",
			f->next);
	return 0;
}

/* 1: an entry; 0: there is no whole one; HW_ECORRUPT: it is whole and does not open. */
static int
read_entry(struct ledger_files *f, struct ledger_stored *ret, struct hw_err *err)
{
	uint32_t len;
	int r;

	if ((r = read_frame(f, &len, err)) <= 0 || (r = open_entry(f, ret, len, err)) < 0)
		return r;
	chain_on(f->chain, f->rest);
	f->next++;
	f->at += ENTRY_HEAD + (off_t)len;
	return 1;
}

/* Which number the frame that was read has: that under which it opens. Those that were lost before
 * it took some room each. 0: none that is known. */
static uint64_t
number_of(struct ledger_files *f, uint32_t len, off_t lost)
{
	uint64_t due = f->next, last = due + 1 + (uint64_t)lost / (ENTRY_HEAD + ENTRY_META);
	uint64_t found = 0;
	struct ledger_stored entry;

	/* What lies open, or was erased, tells no number to who does not decode it. */
	if (get_le32(f->rest) != 0)
		return 0;
	for (f->next = due + 1; found == 0 && f->next <= last; f->next++)
		if (open_entry(f, &entry, len, NULL) == 0)
			found = f->next;
	f->next = due;
	return found;
}

/* Whether the damaged frame has its own length: another follows it, or the file's end. */
static bool
step_over(struct ledger_files *f, off_t size, struct hw_err *err)
{
	off_t damage = f->at;
	uint8_t head[ENTRY_HEAD];
	uint32_t len;

	clearerr(f->file);
	if (fseeko(f->file, damage, SEEK_SET) < 0 || fread(head, sizeof(head), 1, f->file) != 1)
		return false;
	f->at += ENTRY_HEAD + (off_t)get_le32(head);
	if (get_le32(head) >= ENTRY_META && (f->at == size || read_frame(f, &len, err) == 1)) {
		f->next++;
		return true;
	}
	f->at = damage;
	return false;
}

/* In the file that is open: behind the damaged frame, or from anywhere behind its beginning. */
static bool
pass_within(struct ledger_files *f, struct hw_err *err)
{
	off_t damage = f->at;
	struct stat st;
	uint32_t len;
	uint64_t number;

	if (fstat(fileno(f->file), &st) < 0)
		return false;
	if (step_over(f, st.st_size, err))
		return true;
	for (f->at++; f->at + ENTRY_HEAD + ENTRY_META <= st.st_size; f->at++)
		if (read_frame(f, &len, err) == 1 &&
			(number = number_of(f, len, f->at - damage)) != 0) {
			f->next = number;
			return true;
		}
	f->at = damage;
	return false;
}

/* Passes over what is before entry `from`, damaged or not, in the file that is open. */
static int
skip_to(struct ledger_files *f, uint64_t from, struct hw_err *err)
{
	uint32_t len;
	int r = 1;

	while (f->next < from && (r = read_frame(f, &len, err)) >= 0) {
		if (r == 0 && !pass_within(f, err))
			break;
		if (r == 0)
			continue;
		chain_on(f->chain, f->rest);
		f->next++;
		f->at += ENTRY_HEAD + (off_t)len;
	}
	return r < 0 ? r : 0;
}

/* The last file that begins at or below `most`, and has a head. */
static int
open_below(struct ledger_files *f, uint64_t most, struct hw_err *err)
{
	uint64_t first;
	int r = HW_ENOTFOUND;

	while (r == HW_ENOTFOUND && find_file(&first, f->dir, 0, most, false)) {
		r = open_file(f, first, err);
		if (first == 0)
			break;
		most = first - 1;
	}
	return r;
}

int
ledger_files_open(struct ledger_files **ret, const char *dir, const struct secret_key *master,
	uint64_t from, struct hw_err *err)
{
	struct ledger_files *f;
	uint64_t first = 0;

	int r = files_new(&f, dir, master, false, err);
	if (r < 0)
		return r;
	r = open_below(f, from, err);
	if (r == HW_ENOTFOUND && find_file(&first, f->dir, 0, UINT64_MAX, true))
		r = open_file(f, first, err);
	if (r == HW_ENOTFOUND)
		hw_err_set(err, r, "no ledger in %s", dir);
	else if (r == 0)
		r = skip_to(f, from, err);
	if (r < 0)
		ledger_files_close(f);
	else
		*ret = f;
	return r;
}

int
ledger_files_read(struct ledger_files *f, struct ledger_stored *ret, struct hw_err *err)
{
	uint64_t first;

	int r = read_entry(f, ret, err);
	if (r == 0 && f->at > HEAD_LEN && find_file(&first, f->dir, f->next, UINT64_MAX, true)) {
		if (first != f->next)
			return hw_err_set(err, HW_ECORRUPT,
				"ledger entry %" PRIu64
				" is missing: the next file begins at %" PRIu64,
				f->next, first);
		if ((r = open_file(f, first, err)) == 0)
			r = read_entry(f, ret, err);
		else if (r == HW_ENOTFOUND)
			r = 0;
	}
	return r;
}

int
ledger_files_pass(struct ledger_files *f, struct hw_err *err)
{
	uint64_t first = f->next;

	if (pass_within(f, err))
		return 0;
	while (find_file(&first, f->dir, first + 1, UINT64_MAX, true))
		if (open_file(f, first, err) == 0)
			return 0;
	return hw_err_set(err, HW_ENOTFOUND, "no later entry can be read");
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
	free(f->rest);
	free(f);
}

/* --- erasing ---------------------------------------------------------------------------------- */

/* First the mark, then the zeros: the checksum is the same with it and without, so that a power cut
 * leaves an entry that is there, or one that is erased, if perhaps not wholly overwritten. */
static int
write_erased(struct ledger_files *f, uint32_t len, struct hw_err *err)
{
	uint8_t flags[4];
	char path[64];
	int r;

	put_le32(flags, get_le32(f->rest) | LEDGER_ERASED);
	memset(f->rest, 0, len - ENTRY_META);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(f->file));
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return hw_err_sys(err, "cannot open the ledger for writing");
	if (pwrite(fd, flags, 1, f->at + ENTRY_HEAD) != 1)
		r = hw_err_sys(err, "cannot write to the ledger");
	else if ((r = journal_io_sync(NULL, fd, err)) == 0 &&
		pwrite(fd, f->rest, len - ENTRY_META, f->at + ENTRY_HEAD + ENTRY_META) !=
			(ssize_t)(len - ENTRY_META))
		r = hw_err_sys(err, "cannot write to the ledger");
	if (r == 0)
		r = journal_io_sync(NULL, fd, err);
	fd_close(fd);
	return r;
}

static int
erase_entry(const char *dir, uint64_t sequence, const struct secret_key *master, struct hw_err *err)
{
	struct ledger_files *f;
	uint32_t len;

	int r = ledger_files_open(&f, dir, master, sequence, err);
	if (r < 0)
		return r;
	if (f->next != sequence || (r = read_frame(f, &len, err)) == 0)
		r = hw_err_set(err, HW_ENOTFOUND, "entry %" PRIu64 " is not in the ledger's files",
			sequence);
	else if (r == 1)
		r = write_erased(f, len, err);
	ledger_files_close(f);
	return r;
}

/* The note goes when the zeros are on disk, or there is nothing to erase. */
static int
erase_noted(int dir, const char *path, uint64_t sequence, const struct secret_key *master,
	struct hw_err *err)
{
	int r = erase_entry(path, sequence, master, err);

	if (r == HW_ENOTFOUND)
		(void)unlinkat(dir, ERASING, 0);
	else if (r == 0 && (unlinkat(dir, ERASING, 0) < 0 || fsync(dir) < 0))
		r = hw_err_sys(err, "cannot remove %s", ERASING);
	return r;
}

/* Its number is noted beside the files while it is erased, so that what a power cut left half done
 * is done by the next start. */
int
ledger_files_erase(const char *dir, uint64_t sequence, const struct secret_key *master,
	struct hw_err *err)
{
	char text[24];
	int fd, r = dir_open(&fd, dir, false, err);

	if (r < 0)
		return r;
	int n = snprintf(text, sizeof(text), "%" PRIu64, sequence);
	if ((r = file_write(fd, ERASING, text, (size_t)n, 0600, err)) == 0)
		r = erase_noted(fd, dir, sequence, master, err);
	fd_close(fd);
	return r;
}

/* One that was cut off. It takes no room, which a full disk would not have. */
static int
finish_erasing(int dir, const char *path, const struct secret_key *master, struct hw_err *err)
{
	struct buf text;
	uint64_t sequence;
	int r = 0;

	if (faccessat(dir, ERASING, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	buf_init(&text, 24);
	if ((r = file_read(&text, dir, ERASING, err)) == 0) {
		const char *number = buf_str(&text);
		r = number != NULL && sscanf(number, "%" SCNu64, &sequence) == 1
			? erase_noted(dir, path, sequence, master, err)
			: hw_err_set(err, HW_ECORRUPT,
				  "%s/%s has no number of an entry: remove it, and erase again "
				  "what shall be erased",
				  path, ERASING);
	}
	buf_fini(&text);
	return r == HW_ENOTFOUND ? 0 : r;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct ledger_writer {
	const struct journal_io *io;
	int dir, fd;
	struct secret_key wrap, key;
	struct buf waiting;
	uint64_t next, filed; /* the next entry; what is on disk */
	uint8_t chain[MERKLE_LEN], filed_chain[MERKLE_LEN];
	off_t size;	/* of the file, with what waits */
	off_t file_max; /* then a new one begins */
};

static void
mark_filed(struct ledger_writer *w)
{
	w->filed = w->next;
	memcpy(w->filed_chain, w->chain, MERKLE_LEN);
}

static int
begin_file(struct ledger_writer *w, struct hw_err *err)
{
	char name[NAME_LEN + 1], aad[64];
	uint8_t head[HEAD_LEN] = MAGIC;
	int r;

	/* An empty file of that name may be left from a crash. */
	file_name(name, w->next);
	int fd;
	if ((r = journal_io_make(&fd, w->io, w->dir, name, O_WRONLY | O_TRUNC, err)) < 0)
		return r;
	secret_key_random(&w->key);
	put_le64(head + 8, w->next);
	memcpy(head + CHAIN_AT, w->chain, MERKLE_LEN);
	head_aad(aad, w->next);
	if ((r = key_wrap(head + 16, &w->key, aad, &w->wrap)) < 0)
		hw_err_set(err, r, "cannot seal the key of %s", name);
	put_le32(head + CRC_AT, crc32c(0, head, CRC_AT));
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
	struct ledger_stored entry;
	struct stat st;
	int r;

	if ((r = open_file(f, first, err)) < 0)
		return r;
	while ((r = read_entry(f, &entry, err)) == 1)
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
	memcpy(w->chain, f->chain, MERKLE_LEN);
	mark_filed(w);
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
	int r;

	while (find_file(&first, w->dir, 0, most, false)) {
		file_name(name, first);
		if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return hw_err_sys(err, "cannot look at %s", name);
		if (st.st_size > HEAD_LEN)
			return take_up(w, f, first, kept_from, err);
		if (unlinkat(w->dir, name, 0) < 0)
			return hw_err_sys(err, "cannot remove %s", name);
		/* It must not come back beside the entries that the one before it gets. */
		if ((r = journal_io_sync_dir(w->io, w->dir, err)) < 0)
			return r;
		if (first == 0)
			break;
		most = first - 1;
	}
	w->next = kept_from;
	mark_filed(w);
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
	if ((r = finish_erasing(f->dir, dir, master, err)) < 0) {
		ledger_files_close(f);
		return r;
	}
	struct ledger_writer *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		ledger_files_close(f);
		return hw_err_set(err, HW_ENOMEM, "no memory to write the ledger");
	}
	w->io = io;
	w->file_max = FILE_MAX;
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

void
ledger_writer_set_file_max(struct ledger_writer *w, size_t size)
{
	w->file_max = (off_t)size;
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

/* Appends an entry's frame but for its checksum. */
static int
put_entry(struct ledger_writer *w, const void *bytes, size_t n, uint32_t flags, uint32_t len)
{
	uint8_t head[ENTRY_HEAD + ENTRY_META] = {0}, stored[MERKLE_LEN];
	char aad[64];
	int r;

	put_le32(head, len);
	put_le32(head + ENTRY_HEAD, flags);
	merkle_leaf(head + ENTRY_HEAD + 4, bytes, n);
	size_t at = w->waiting.len;
	if ((r = buf_append(&w->waiting, head, sizeof(head))) < 0)
		return r;
	entry_aad(aad, w->next);
	r = (flags & LEDGER_OPEN) != 0 ? buf_append(&w->waiting, bytes, n)
				       : secret_seal(&w->waiting, &w->key, aad, bytes, n);
	if (r < 0)
		return r;
	uint8_t *frame = w->waiting.mem + w->waiting.head + at;
	sha256(stored, frame + sizeof(head), len - ENTRY_META);
	memcpy(frame + sizeof(head) - MERKLE_LEN, stored, MERKLE_LEN);
	put_le32(frame + 4, entry_crc(frame, frame + ENTRY_HEAD));
	chain_on(w->chain, frame + ENTRY_HEAD);
	return 0;
}

int
ledger_writer_append(struct ledger_writer *w, const void *bytes, size_t n, uint32_t flags,
	struct hw_err *err)
{
	uint32_t len = (uint32_t)(ENTRY_META + n + ((flags & LEDGER_OPEN) != 0 ? 0 : SEAL_MORE));
	int r;

	if (w->waiting.len + ENTRY_HEAD + len > BUFFER_MAX && (r = write_waiting(w, err)) < 0)
		return r;
	if (w->size > w->file_max &&
		((r = ledger_writer_sync(w, err)) < 0 || (r = begin_file(w, err)) < 0))
		return r;
	if ((r = put_entry(w, bytes, n, flags, len)) < 0)
		return hw_err_set(err, r, "cannot seal a ledger entry");
	w->size += ENTRY_HEAD + (off_t)len;
	w->next++;
	return 0;
}

int
ledger_writer_sync(struct ledger_writer *w, struct hw_err *err)
{
	int r = w->waiting.len > 0 ? write_waiting(w, err) : 0;

	if (r == 0)
		r = journal_io_sync(w->io, w->fd, err);
	if (r == 0)
		mark_filed(w);
	return r;
}

uint64_t
ledger_writer_filed(const struct ledger_writer *w, uint8_t chain[MERKLE_LEN])
{
	memcpy(chain, w->filed_chain, MERKLE_LEN);
	return w->filed;
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

/* --- another master key ----------------------------------------------------------------------- */

/* Puts the key into the head, wrapped by `to`, with the checksum over it. One that `to` opens
 * already is from a rotation that was cut off. */
static int
rewrap_head(uint8_t head[HEAD_LEN], uint64_t first, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err)
{
	struct secret_key key;
	char aad[64];
	int r = 0;

	if (memcmp(head, MAGIC, 8) != 0 || get_le64(head + 8) != first)
		return hw_err_set(err, HW_ECORRUPT, "its head is not that of a file of the ledger");
	head_aad(aad, first);
	if (key_unwrap(&key, head + 16, aad, to) < 0) {
		if (key_unwrap(&key, head + 16, aad, from) < 0)
			return hw_err_set(err, HW_ECORRUPT, "no key of ours opens it");
		if ((r = key_wrap(head + 16, &key, aad, to)) < 0)
			hw_err_set(err, r, "cannot wrap a file's key");
	}
	secret_key_wipe(&key);
	put_le32(head + CRC_AT, crc32c(0, head, CRC_AT));
	return r;
}

/* The head is written as a whole: it is within the first sector, so that neither a kill nor a
 * power cut leaves a key without its checksum. One that was not wholly written has no entries. */
static int
rewrap_open(int fd, uint64_t first, const struct secret_key *from, const struct secret_key *to,
	struct hw_err *err)
{
	uint8_t head[HEAD_LEN + 1], was[HEAD_LEN];
	int r;

	ssize_t n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return hw_err_sys(err, "cannot read it");
	if (is_blank(head, (size_t)n))
		return 0;
	memcpy(was, head, sizeof(was));
	if ((r = rewrap_head(head, first, from, to, err)) < 0)
		return r;
	if (memcmp(was, head, sizeof(was)) != 0 && pwrite(fd, head, HEAD_LEN, 0) != HEAD_LEN)
		return hw_err_sys(err, "cannot write its head");
	/* Also when it stands there already: whether it is on the disk is not known. */
	return journal_io_sync(NULL, fd, err);
}

static int
rewrap_file(int dir, uint64_t first, const struct secret_key *from, const struct secret_key *to,
	struct hw_err *err)
{
	char name[NAME_LEN + 1];

	file_name(name, first);
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", name);
	int r = rewrap_open(fd, first, from, to, err);
	if (r < 0)
		hw_err_prefix(err, "%s", name);
	fd_close(fd);
	return r;
}

int
ledger_files_rewrap(const char *dir, const struct secret_key *from, const struct secret_key *to,
	struct hw_err *err)
{
	struct secret_key old, fresh;
	uint64_t first = 0, least = 0;
	int fd, r = dir_open(&fd, dir, false, err);

	if (r < 0)
		return r == HW_ENOTFOUND ? 0 : r;
	if (fsync(fd) < 0) /* what was removed must not come back with the old key */
		r = hw_err_sys(err, "cannot sync %s", dir);
	secret_key_derive(&old, from, "hawser ledger");
	secret_key_derive(&fresh, to, "hawser ledger");
	while (r == 0 && find_file(&first, fd, least, UINT64_MAX, true)) {
		r = rewrap_file(fd, first, &old, &fresh, err);
		if (first == UINT64_MAX)
			break;
		least = first + 1;
	}
	secret_key_wipe(&old);
	secret_key_wipe(&fresh);
	fd_close(fd);
	return r;
}
