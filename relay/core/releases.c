#include "relay/core/releases.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/enc.h"
#include "proto/base/file.h"

#define PART	  ".part"
#define PART_NAME (RELEASES_ID_LEN + sizeof(PART))

int
releases_open(int *ret, const char *relay_dir, struct hw_err *err)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/releases", relay_dir) >= (int)sizeof(path))
		return hw_err_set(err, HW_EVALIDATION, "the relay's directory has too long a name");
	return dir_open(ret, path, true, err);
}

static bool
is_id(const char *id)
{
	return strlen(id) == RELEASES_ID_LEN && strspn(id, "0123456789abcdef") == RELEASES_ID_LEN;
}

static int
check_id(const char *id, struct hw_err *err)
{
	return is_id(id) ? 0
			 : hw_err_set(err, HW_EVALIDATION,
				   "a release is named by the 64 hex digits of its SHA-256");
}

static void
part_name(char out[PART_NAME], const char *id)
{
	snprintf(out, PART_NAME, "%.64s" PART, id);
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool
is_named(int dir, int fd, const char *name)
{
	struct stat is, named;

	return fstat(fd, &is) == 0 && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		is.st_ino == named.st_ino && is.st_dev == named.st_dev;
}

static int
lock_file(int fd)
{
	int r;

	while ((r = flock(fd, LOCK_EX)) < 0 && errno == EINTR)
		;
	return r;
}

/* Who sends or removes the same release waits for the turn, so that nothing is written into what
 * was found to be whole, and nothing else has its name when that is put in its place. False: the
 * part is no longer there, or is another. */
static bool
take_turn(int dir, int fd, const char *part)
{
	return lock_file(fd) == 0 && is_named(dir, fd, part);
}

/* Takes the turn of whatever has come in part. -1 and ENOENT: nothing has. */
static int
hold_part(int dir, const char *part)
{
	int fd;

	while ((fd = openat(dir, part, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) >= 0) {
		int r = lock_file(fd);
		if (r == 0 && is_named(dir, fd, part))
			return fd;
		fd_close(fd);
		if (r < 0)
			return -1;
	}
	return -1;
}

/* --- what is there ---------------------------------------------------------------------------- */

/* The size of a file, or -1. */
static int64_t
size_of(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
		? (int64_t)st.st_size
		: -1;
}

static DIR *
open_list(int dir, struct hw_err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL) {
		hw_err_sys(err, "cannot list the releases");
		fd_close(fd);
	}
	return d;
}

static int
count(int dir, struct hw_err *err)
{
	DIR *d = open_list(dir, err);
	const struct dirent *e;
	int n = 0;

	if (d == NULL)
		return HW_ESYS;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int
read_head(struct release *r, int fd, struct hw_err *err)
{
	uint8_t head[RELEASE_HEAD_MAX];
	struct stat st;
	size_t n;
	int e;

	if (pread(fd, head, RELEASE_FIXED_LEN, 0) != RELEASE_FIXED_LEN)
		return hw_err_set(err, HW_EVALIDATION, "the release is cut off within its head");
	if ((e = release_head_len(&n, head, err)) < 0)
		return e;
	if (pread(fd, head, n, 0) != (ssize_t)n)
		return hw_err_set(err, HW_EVALIDATION,
			"the release is cut off within its manifest");
	if ((e = release_read(r, head, n, err)) < 0)
		return e;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != r->size)
		return hw_err_set(err, HW_EVALIDATION,
			"the release has another size than its manifest says, %" PRIu64 " bytes",
			r->size);
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct release_kept *x = a, *y = b;
	int c = release_version_compare(y->release.version, x->release.version);

	return c != 0 ? c
		      : (y->release.made > x->release.made) - (y->release.made < x->release.made);
}

int
releases_list(struct release_kept ret[RELEASES_MAX], int dir, struct hw_err *err)
{
	DIR *d = open_list(dir, err);
	const struct dirent *e;
	int n = 0;

	if (d == NULL)
		return HW_ESYS;
	while (n < RELEASES_MAX && (e = readdir(d)) != NULL) {
		int fd = is_id(e->d_name) ? openat(dir, e->d_name, O_RDONLY | O_CLOEXEC) : -1;
		if (fd >= 0 && read_head(&ret[n].release, fd, NULL) == 0) {
			memcpy(ret[n].id, e->d_name, sizeof(ret[n].id));
			n++;
		}
		fd_close(fd);
	}
	closedir(d);
	qsort(ret, (size_t)n, sizeof(*ret), compare);
	return n;
}

int
releases_find(struct release_kept *ret, int dir, const char *version, const char *architecture,
	struct hw_err *err)
{
	struct release_kept *all = calloc(RELEASES_MAX, sizeof(*all));
	int n = all != NULL ? releases_list(all, dir, err)
			    : hw_err_set(err, HW_ENOMEM, "out of memory");
	int r = n < 0 ? n
		      : hw_err_set(err, HW_ENOTFOUND,
				"the relay has no release%s%s for %s: hawser release put FILE",
				version[0] != '\0' ? " " : "", version, architecture);

	for (int i = 0; i < n && r == HW_ENOTFOUND; i++) {
		const struct release *each = &all[i].release;
		if (strcmp(each->architecture, architecture) != 0 ||
			(version[0] != '\0' && strcmp(each->version, version) != 0))
			continue;
		*ret = all[i];
		r = 0;
	}
	free(all);
	return r;
}

int
releases_read(int dir, const char *id, uint64_t offset, void *p, size_t *n, uint64_t *size,
	struct hw_err *err)
{
	struct stat st;
	int r = check_id(id, err), fd;
	ssize_t got;

	if (r < 0)
		return r;
	if ((fd = openat(dir, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return hw_err_set(err, HW_ENOTFOUND, "the relay has no release %.64s", id);
	if (fstat(fd, &st) < 0 || (got = pread(fd, p, *n, (off_t)offset)) < 0) {
		r = hw_err_sys(err, "cannot read the release %.64s", id);
	} else {
		*n = (size_t)got;
		*size = (uint64_t)st.st_size;
	}
	fd_close(fd);
	return r;
}

int
releases_remove(int dir, const char *id, struct hw_err *err)
{
	char part[PART_NAME];
	int r = check_id(id, err);

	if (r < 0)
		return r;
	part_name(part, id);
	int fd = hold_part(dir, part);
	if (fd < 0 && errno != ENOENT)
		return hw_err_sys(err, "cannot remove the release %s", id);
	bool had_part = fd >= 0 && unlinkat(dir, part, 0) == 0;
	if (unlinkat(dir, id, 0) == 0 || (errno == ENOENT && had_part))
		r = fsync(dir) == 0 ? 0 : hw_err_sys(err, "cannot remove the release %s", id);
	else if (errno == ENOENT)
		r = hw_err_set(err, HW_ENOTFOUND, "the relay has no release %.64s", id);
	else
		r = hw_err_sys(err, "cannot remove the release %s", id);
	fd_close(fd);
	return r;
}

/* --- what comes ------------------------------------------------------------------------------- */

static int
check_id_and_size(const char *id, uint64_t size, struct hw_err *err)
{
	int r = check_id(id, err);

	if (r == 0 && (size > RELEASE_BYTES_MAX || size <= RELEASE_FIXED_LEN))
		r = hw_err_set(err, HW_EVALIDATION, "a release has up to %" PRIu64 " bytes",
			RELEASE_BYTES_MAX);
	return r;
}

/* False: nothing of it is there. The part is looked for first, because it turns into the whole, and
 * never back. */
static bool
look(int dir, const char *id, uint64_t *have, bool *whole)
{
	char part[PART_NAME];
	int64_t some, all;

	part_name(part, id);
	some = size_of(dir, part);
	all = size_of(dir, id);
	*whole = all >= 0;
	*have = (uint64_t)(all >= 0 ? all : some >= 0 ? some : 0);
	return all >= 0 || some >= 0;
}

static int
make_part(int dir, const char *id, struct hw_err *err)
{
	char part[PART_NAME];
	int n = count(dir, err);

	if (n < 0)
		return n;
	if (n >= RELEASES_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"the relay keeps %d releases, whole or in part, and no more: hawser release "
			"ls, hawser release rm",
			RELEASES_MAX);
	part_name(part, id);
	int fd = openat(dir, part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot make a release's file");
	fd_close(fd);
	return 0;
}

/* Beside the whole it is of no use, and nobody would remove it. */
static void
drop_part(int dir, const char *id)
{
	char part[PART_NAME];

	part_name(part, id);
	int fd = hold_part(dir, part);
	if (fd >= 0 && size_of(dir, id) >= 0)
		unlinkat(dir, part, 0);
	fd_close(fd);
}

int
releases_begin(int dir, const char *id, uint64_t size, uint64_t *have, bool *whole,
	struct hw_err *err)
{
	int r = check_id_and_size(id, size, err);

	if (r < 0)
		return r;
	if (!look(dir, id, have, whole)) {
		if ((r = make_part(dir, id, err)) < 0)
			return r;
		look(dir, id, have, whole); /* another may have sent all of it meanwhile */
	}
	if (*whole)
		drop_part(dir, id);
	return 0;
}

/* HW_ENOTFOUND: nobody has begun it. */
static int
look_begun(int dir, const char *id, uint64_t size, uint64_t *have, bool *whole, struct hw_err *err)
{
	int r = check_id_and_size(id, size, err);

	if (r == 0 && !look(dir, id, have, whole))
		r = hw_err_set(err, HW_ENOTFOUND,
			"nobody has begun to give the relay the release %.64s: PutAgentRelease",
			id);
	return r;
}

static int
check_hash(int fd, const char *id, struct hw_err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t chunk[4096], digest[RELEASE_HASH_LEN];
	char hex[RELEASES_ID_LEN + 1] = "";
	ssize_t n = 0;
	off_t at = 0;

	if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) > 0) {
		for (; (n = pread(fd, chunk, sizeof(chunk), at)) > 0; at += n)
			EVP_DigestUpdate(ctx, chunk, (size_t)n);
		if (n == 0 && EVP_DigestFinal_ex(ctx, digest, NULL) > 0)
			hex_encode(hex, digest, sizeof(digest));
	}
	EVP_MD_CTX_free(ctx);
	if (n < 0)
		return hw_err_sys(err, "cannot read the release again");
	return strcmp(hex, id) == 0
		? 0
		: hw_err_set(err, HW_ECORRUPT,
			  "what came is not the file whose SHA-256 is %s: send it again", id);
}

/* Another who sent the last bytes at the same time may have been faster. */
static int
publish(int dir, const char *part, const char *id, struct hw_err *err)
{
	if (renameat(dir, part, dir, id) < 0 && (errno != ENOENT || size_of(dir, id) < 0))
		return hw_err_sys(err, "cannot keep the release %s", id);
	return fsync(dir) == 0 ? 0 : hw_err_sys(err, "cannot keep the release %s", id);
}

static int
complete(int dir, int fd, const char *part, const char *id, struct hw_err *err)
{
	struct release r;
	int e;

	if ((e = check_hash(fd, id, err)) == 0)
		e = read_head(&r, fd, err);
	if (e < 0) {
		unlinkat(dir, part, 0);
		return e;
	}
	if (fsync(fd) < 0)
		return hw_err_sys(err, "cannot keep the release %s", id);
	return publish(dir, part, id, err);
}

static int
write_at(int fd, uint64_t offset, const void *p, size_t n, struct hw_err *err)
{
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return hw_err_sys(err, "cannot write a release");
	return fd_write_all(fd, p, n, err);
}

static int
append_in_turn(int dir, int fd, const char *id, uint64_t size, uint64_t offset, const void *p,
	size_t n, uint64_t *have, bool *whole, struct hw_err *err)
{
	char part[PART_NAME];
	int r = look_begun(dir, id, size, have, whole, err);

	if (r < 0 || *whole || offset != *have)
		return r;
	part_name(part, id);
	if ((r = write_at(fd, offset, p, n, err)) == 0) {
		*have = offset + n;
		*whole = *have == size;
	}
	return r == 0 && *whole ? complete(dir, fd, part, id, err) : r;
}

int
releases_append(int dir, const char *id, uint64_t size, uint64_t offset, const void *p, size_t n,
	uint64_t *have, bool *whole, struct hw_err *err)
{
	char part[PART_NAME];
	int r = look_begun(dir, id, size, have, whole, err), fd;

	if (r < 0 || *whole || offset != *have)
		return r;
	/* It may have begun with another size. */
	if (offset > size || n > size - offset)
		return hw_err_set(err, HW_EVALIDATION,
			"these bytes go beyond the %" PRIu64 " that the release was to have", size);
	part_name(part, id);
	fd = openat(dir, part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) /* somebody else's bytes have made it whole since */
		return look_begun(dir, id, size, have, whole, err);
	if (fd < 0)
		return hw_err_sys(err, "cannot go on with the release %s", id);
	r = take_turn(dir, fd, part)
		? append_in_turn(dir, fd, id, size, offset, p, n, have, whole, err)
		: look_begun(dir, id, size, have, whole, err);
	fd_close(fd);
	return r;
}
