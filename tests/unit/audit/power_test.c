/*
 * A power cut at every write and sync that a relay's audit side makes. What was not synced may be
 * on the disk in part. What was signed and shown before must be there afterwards, and all of it
 * verify.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/audit/vault.h"

TestSuite(power, .timeout = 300);

#define INODES 64

/* A disk that dies at an operation, and what of each file it had by then. */
struct disk {
	struct journal_io io;
	unsigned left, done;
	bool dead;
	struct {
		ino_t inode;
		off_t synced;
	} files[INODES];
	size_t n;
};

static bool
dies(struct disk *d)
{
	if (d->dead || d->left == 0)
		d->dead = true;
	else
		d->left--;
	d->done++;
	return d->dead;
}

static ssize_t
disk_write(void *arg, int fd, const void *p, size_t n)
{
	struct disk *d = arg;
	bool was_dead = d->dead;

	if (!dies(d))
		return write(fd, p, n);
	if (!was_dead && n > 1)
		(void)!write(fd, p, n / 2);
	errno = EIO;
	return -1;
}

static int
disk_sync(void *arg, int fd)
{
	struct disk *d = arg;
	struct stat st;
	size_t i;

	if (dies(d)) {
		errno = EIO;
		return -1;
	}
	cr_assert(eq(int, fstat(fd, &st), 0));
	for (i = 0; i < d->n && d->files[i].inode != st.st_ino; i++)
		;
	cr_assert(lt(sz, i, INODES));
	d->n = i == d->n ? i + 1 : d->n;
	d->files[i].inode = st.st_ino;
	d->files[i].synced = st.st_size;
	return 0;
}

/* Of what was not synced some is there and some is not. */
static void
lose(const struct disk *d, const char *folder, unsigned salt)
{
	struct dirent *entry;
	struct stat st;

	DIR *dir = opendir(folder);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
			continue;
		for (size_t i = 0; i < d->n; i++) {
			off_t more = st.st_size - d->files[i].synced;
			if (d->files[i].inode != st.st_ino || more <= 0)
				continue;
			int fd = openat(dirfd(dir), entry->d_name, O_WRONLY);
			cr_assert(eq(int,
				ftruncate(fd, d->files[i].synced + more * (off_t)(salt % 5) / 4),
				0));
			close(fd);
		}
	}
	closedir(dir);
}

/* Some of a relay's life; the last head that somebody could see. */
static struct log_head
live(struct vault *v)
{
	struct log_head seen = {.size = 0};
	struct hw_err err = HW_ERR_INIT;

	if (vault_try_open(v, &err) < 0)
		return seen;
	for (unsigned i = 0; i < 3; i++) {
		char id[16];
		snprintf(id, sizeof(id), "ann-%u", i);
		vault_entries(v, 3 + i);
		vault_session(v, 100 + i, id, 3000, i != 1);
		vault_work(v);
		seen = vault_head(v);
	}
	(void)archiver_settle(v->archiver, &err);
	(void)ledger_heads_make(v->heads, &err);
	seen = vault_head(v);
	vault_drop(v);
	return seen;
}

static void
check_verifies(struct vault *v, const struct log_head *seen, unsigned cut)
{
	struct verify_source source = verify_directory(&v->dir);
	struct verify_result result;
	struct verify_options o = {
		.ca = ca_cert(v->ca),
		.known = seen->size > 0 ? seen : NULL,
		.known_origin = VAULT_ORIGIN,
	};
	struct hw_err err = HW_ERR_INIT;

	for (int with = 0; with < 2; with++) {
		o.master = with ? &v->s.master : NULL;
		cr_assert(eq(int, verify_run(&result, &source, &o, &err), 0), "cut %u: %s", cut,
			hw_err_text(&err));
		const struct verify_finding *f =
			result.n_findings > 0 ? result.findings : result.doubts;
		cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT),
			"cut %u: %s, byte %" PRIu64 ", entry %" PRIu64 ": %s", cut, f->file,
			f->from, f->entry, f->what);
	}
}

static bool
cut_at(unsigned cut, unsigned salt)
{
	struct disk disk = {.left = cut};
	struct vault v;

	disk.io = (struct journal_io){
		.write = disk_write, .sync = disk_sync, .reserve = NULL, .arg = &disk};
	vault_init(&v);
	v.io = &disk.io;
	struct log_head seen = live(&v);
	bool was_cut = disk.dead;
	if (was_cut) {
		lose(&disk, v.s.ledger, salt);
		lose(&disk, v.s.recordings, salt + 1);
		lose(&disk, v.s.journal, salt + 2);
	}
	v.io = NULL;
	vault_open(&v);
	vault_entries(&v, 2);
	vault_work(&v);
	vault_close(&v);
	check_verifies(&v, &seen, cut);
	vault_fini(&v);
	return was_cut;
}

Test(power, a_cut_at_any_moment_loses_nothing_that_was_signed)
{
	unsigned cut = 0;

	while (cut_at(cut, cut))
		cut++;
	cr_assert(gt(int, (int)cut, 40));
}
