#include "node/upgrade/unpack.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"

#define CHUNK 131072

/* --- bytes ------------------------------------------------------------------------------------ */

/* Exactly n bytes; `what` is where they belong. */
static int
read_exactly(const struct unpack_source *from, uint64_t offset, void *p, size_t n, const char *what,
	struct hw_err *err)
{
	size_t got = 0, more;
	int r;

	while (got < n) {
		if ((r = from->read(from->arg, offset + got, (uint8_t *)p + got, n - got, &more,
			     err)) < 0)
			return r;
		if (more == 0)
			return hw_err_set(err, HW_EVALIDATION, "the release is cut off within %s",
				what);
		got += more;
	}
	return 0;
}

int
unpack_head(struct release *ret, const struct unpack_source *from, struct hw_err *err)
{
	uint8_t head[RELEASE_HEAD_MAX];
	size_t n;
	int r;

	if ((r = read_exactly(from, 0, head, RELEASE_FIXED_LEN, "its head", err)) < 0 ||
		(r = release_head_len(&n, head, err)) < 0 ||
		(r = read_exactly(from, RELEASE_FIXED_LEN, head + RELEASE_FIXED_LEN,
			 n - RELEASE_FIXED_LEN, "its manifest", err)) < 0)
		return r;
	return release_read(ret, head, n, err);
}

/* --- a file ----------------------------------------------------------------------------------- */

static int
copy(int to, EVP_MD_CTX *hash, const struct release_file *f, uint64_t offset,
	const struct unpack_source *from, struct hw_err *err)
{
	uint8_t *chunk = malloc(CHUNK);
	uint64_t left = f->size;
	int r = chunk != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");

	while (r == 0 && left > 0) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		if ((r = read_exactly(from, offset, chunk, n, f->name, err)) == 0 &&
			EVP_DigestUpdate(hash, chunk, n) <= 0)
			r = hw_err_set(err, HW_EINTERNAL, "cannot hash %s", f->name);
		if (r == 0)
			r = fd_write_all(to, chunk, n, err);
		offset += n;
		left -= n;
	}
	free(chunk);
	return r;
}

static int
check(EVP_MD_CTX *hash, const struct release_file *f, struct hw_err *err)
{
	uint8_t digest[RELEASE_HASH_LEN];

	return EVP_DigestFinal_ex(hash, digest, NULL) > 0 &&
			memcmp(digest, f->hash, sizeof(digest)) == 0
		? 0
		: hw_err_set(err, HW_EVALIDATION,
			  "%s in the release is not what was signed: it was changed afterwards",
			  f->name);
}

/* It may be run once it is found to be what was signed, and not before. */
static int
unpack_file(int dir, const struct release_file *f, uint64_t offset,
	const struct unpack_source *from, struct hw_err *err)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	int fd = openat(dir, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = 0;

	if (fd < 0)
		r = hw_err_sys(err, "cannot make %s", f->name);
	else if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) <= 0)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	else if ((r = copy(fd, hash, f, offset, from, err)) == 0)
		r = check(hash, f, err);
	if (r == 0 && (fchmod(fd, 0755) < 0 || fsync(fd) < 0))
		r = hw_err_sys(err, "cannot keep %s", f->name);
	EVP_MD_CTX_free(hash);
	fd_close(fd);
	return r;
}

/* --- the folder ------------------------------------------------------------------------------- */

/* Nothing in it is a folder. */
static int
remove_folder(int dir, const char *name, struct hw_err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (d == NULL) {
		int r = errno == ENOENT ? 0 : hw_err_sys(err, "cannot open the slot %s", name);
		fd_close(fd);
		return r;
	}
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return unlinkat(dir, name, AT_REMOVEDIR) == 0
		? 0
		: hw_err_sys(err, "cannot remove what was in the slot %s", name);
}

static void
names(char slot[2], char fresh[8], char name)
{
	snprintf(slot, 2, "%c", name);
	snprintf(fresh, 8, "%c.new", name);
}

int
unpack_clear(int dir, char name, struct hw_err *err)
{
	char slot[2], fresh[8];
	int r;

	names(slot, fresh, name);
	if ((r = remove_folder(dir, fresh, err)) < 0)
		return r;
	return remove_folder(dir, slot, err);
}

/* So that a disk is not filled first and found to be full then. */
static int
check_room(int dir, const struct release *r, struct hw_err *err)
{
	struct statvfs v;

	if (fstatvfs(dir, &v) < 0)
		return hw_err_sys(err, "cannot ask how much room there is for the release");
	uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
	return room > r->size
		? 0
		: hw_err_set(err, HW_ELIMIT,
			  "the release has %" PRIu64 " bytes, and the disk has room for %" PRIu64,
			  r->size, room);
}

static int
fill(int folder, const struct release *r, const struct unpack_source *from, struct hw_err *err)
{
	uint64_t offset = r->head;
	int e = 0;

	for (size_t i = 0; e == 0 && i < r->n_files; i++) {
		e = unpack_file(folder, &r->files[i], offset, from, err);
		offset += r->files[i].size;
	}
	if (e == 0 && (fchmod(folder, 0755) < 0 || fsync(folder) < 0))
		e = hw_err_sys(err, "cannot keep the release's folder");
	return e;
}

int
unpack_files(int dir, char name, const struct release *r, const struct unpack_source *from,
	struct hw_err *err)
{
	char slot[2], fresh[8];
	int folder = -1, e;

	names(slot, fresh, name);
	if ((e = unpack_clear(dir, name, err)) < 0 || (e = check_room(dir, r, err)) < 0)
		return e;
	if (mkdirat(dir, fresh, 0700) < 0 ||
		(folder = openat(dir, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		e = hw_err_sys(err, "cannot make a folder for the release");
	if (e == 0)
		e = fill(folder, r, from, err);
	fd_close(folder);
	if (e == 0 && (renameat(dir, fresh, dir, slot) < 0 || fsync(dir) < 0))
		e = hw_err_sys(err, "cannot keep the release's folder");
	if (e < 0)
		unpack_clear(dir, name, NULL);
	return e;
}
