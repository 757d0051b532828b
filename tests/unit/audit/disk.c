#include "tests/unit/audit/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"

#define SECTOR	 512
#define NAME_LEN 160
#define FILES	 4096
#define ENTRIES	 1024

static const char *const folder_names[DISK_FOLDERS] = {".", "journal", "recordings", "ledger"};

enum op_type { OP_WRITE, OP_CUT, OP_SYNC, OP_LINK, OP_UNLINK, OP_RENAME, OP_SYNC_FOLDER };

struct op {
	enum op_type type;
	int file, folder;
	off_t at;
	size_t n;
	uint8_t *p;
	char name[NAME_LEN], to[NAME_LEN];
};

struct content {
	uint8_t *p;
	size_t n, room;
};

struct folder {
	struct {
		char name[NAME_LEN];
		int file;
	} entries[ENTRIES];
	size_t n;
};

/* The one disk of this process: the calls below have no argument for it. */
static struct {
	bool is_on;
	char dir[PATH_MAX];
	dev_t dev;
	ino_t folder_inodes[DISK_FOLDERS];
	struct op *ops;
	size_t n_ops, room;
	/* files, by the order in which they were made; what was there at the beginning first */
	ino_t inodes[FILES];
	struct content begin[FILES];
	int n_files, n_begin;
	struct folder folders[DISK_FOLDERS]; /* at the beginning */

	enum disk_fault fault;
	size_t fail_at, calls;
	bool stays, has_failed;
} disk;

uint64_t
disk_random(uint64_t *seed, uint64_t n)
{
	*seed += 0x9e3779b97f4a7c15;
	uint64_t z = *seed;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return n == 0 ? 0 : (z ^ (z >> 31)) % n;
}

/* --- contents --------------------------------------------------------------------------------- */

static void
content_size(struct content *c, size_t n)
{
	if (n > c->room) {
		c->room = 2 * n;
		c->p = realloc(c->p, c->room);
		hw_assert(c->p != NULL);
	}
	if (n > c->n)
		memset(c->p + c->n, 0, n - c->n);
	c->n = n;
}

static void
content_put(struct content *c, size_t at, const uint8_t *p, size_t n)
{
	if (at + n > c->n)
		content_size(c, at + n);
	if (n > 0)
		memcpy(c->p + at, p, n);
}

static void
content_apply(struct content *c, const struct op *op)
{
	if (op->type == OP_CUT)
		content_size(c, (size_t)op->at);
	else
		content_put(c, (size_t)op->at, op->p, op->n);
}

/* --- folders ---------------------------------------------------------------------------------- */

static size_t
entry_of(const struct folder *f, const char *name)
{
	size_t i = 0;

	while (i < f->n && strcmp(f->entries[i].name, name) != 0)
		i++;
	return i;
}

static void
folder_link(struct folder *f, const char *name, int file)
{
	size_t i = entry_of(f, name);

	hw_assert(i < ENTRIES);
	snprintf(f->entries[i].name, NAME_LEN, "%s", name);
	f->entries[i].file = file;
	if (i == f->n)
		f->n++;
}

static int
folder_unlink(struct folder *f, const char *name)
{
	size_t i = entry_of(f, name);

	if (i == f->n)
		return -1;
	int file = f->entries[i].file;
	f->entries[i] = f->entries[--f->n];
	return file;
}

static void
folder_apply(struct folder *f, const struct op *op)
{
	if (op->type == OP_LINK) {
		folder_link(f, op->name, op->file);
	} else {
		int file = folder_unlink(f, op->name);
		if (op->type == OP_RENAME && file >= 0)
			folder_link(f, op->to, file);
	}
}

/* --- noting ----------------------------------------------------------------------------------- */

static struct op *
note(enum op_type type, int file, int folder)
{
	if (disk.n_ops == disk.room) {
		disk.room = 2 * disk.room + 256;
		disk.ops = realloc(disk.ops, disk.room * sizeof(*disk.ops));
		hw_assert(disk.ops != NULL);
	}
	struct op *op = &disk.ops[disk.n_ops++];
	*op = (struct op){.type = type, .file = file, .folder = folder};
	return op;
}

static int
file_of(int fd)
{
	struct stat st;

	if (!disk.is_on || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_dev != disk.dev)
		return -1;
	for (int i = disk.n_files - 1; i >= 0; i--)
		if (disk.inodes[i] == st.st_ino)
			return i;
	return -1;
}

static int
folder_of(int fd)
{
	struct stat st;

	if (!disk.is_on || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_dev != disk.dev)
		return -1;
	for (int i = 0; i < DISK_FOLDERS; i++)
		if (disk.folder_inodes[i] == st.st_ino)
			return i;
	return -1;
}

static int
add_file(int fd)
{
	struct stat st;

	hw_assert(disk.n_files < FILES && fstat(fd, &st) == 0);
	disk.inodes[disk.n_files] = st.st_ino;
	return disk.n_files++;
}

/* --- failing ---------------------------------------------------------------------------------- */

/* Whether this call fails; errno is set. `grows`: it needs room. */
static bool
fails(bool grows, bool syncs)
{
	static const int codes[] = {[DISK_FULL] = ENOSPC,
		[DISK_ERROR] = EIO,
		[DISK_READ_ONLY] = EROFS,
		[DISK_NO_SYNC] = EIO,
		[DISK_SHORT] = 0};

	if (disk.fault == DISK_WORKS || (disk.fault == DISK_FULL && !grows) ||
		(disk.fault == DISK_NO_SYNC && !syncs) || (disk.fault == DISK_SHORT && !grows))
		return false;
	size_t call = disk.calls++;
	if (call < disk.fail_at || (call > disk.fail_at && !disk.stays))
		return false;
	disk.has_failed = true;
	errno = codes[disk.fault];
	return true;
}

void
disk_fail(enum disk_fault fault, size_t at, bool stays)
{
	disk.fault = fault;
	disk.fail_at = at;
	disk.stays = stays;
	disk.calls = 0;
	disk.has_failed = false;
}

size_t
disk_calls(void)
{
	return disk.calls;
}

bool
disk_has_failed(void)
{
	return disk.has_failed;
}

/* --- the calls -------------------------------------------------------------------------------- */

int __real_openat(int dir, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
int __real_ftruncate(int fd, off_t size);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *name, int flags);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_openat(int dir, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	struct stat st;
	va_list ap;

	va_start(ap, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	int folder = folder_of(dir);
	bool is_new = folder >= 0 && (flags & O_CREAT) != 0 &&
		fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0;
	if (is_new && fails(true, false))
		return -1;
	int fd = __real_openat(dir, path, flags, mode);
	if (fd < 0 || folder < 0)
		return fd;
	if (is_new) {
		int file = add_file(fd); /* first: an inode may have been another's */
		snprintf(note(OP_LINK, file, folder)->name, NAME_LEN, "%s", path);
	} else if ((flags & O_TRUNC) != 0 && file_of(fd) >= 0) {
		note(OP_CUT, file_of(fd), -1)->at = 0;
	}
	return fd;
}

static void
note_write(int file, off_t at, const void *p, size_t n)
{
	struct op *op = note(OP_WRITE, file, -1);

	op->at = at;
	op->n = n;
	op->p = malloc(n + 1);
	hw_assert(op->p != NULL);
	memcpy(op->p, p, n);
}

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	int file = file_of(fd);
	bool failed = file >= 0 && n > 0 && fails(true, false);
	int code = errno;

	if (failed && (disk.fault == DISK_READ_ONLY || n == 1))
		return errno = code == 0 ? ENOSPC : code, -1;
	ssize_t did = __real_write(fd, p, failed ? n / 2 : n);
	if (did > 0 && file >= 0)
		note_write(file, lseek(fd, 0, SEEK_CUR) - did, p, (size_t)did);
	if (failed && disk.fault == DISK_ERROR)
		return errno = EIO, -1;
	return did;
}

ssize_t
__wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	int file = file_of(fd);

	if (file >= 0 && fails(false, false))
		return -1;
	ssize_t did = __real_pwrite(fd, p, n, at);
	if (did > 0 && file >= 0)
		note_write(file, at, p, (size_t)did);
	return did;
}

int
__wrap_ftruncate(int fd, off_t size)
{
	int file = file_of(fd);

	if (file >= 0 && fails(false, false))
		return -1;
	int r = __real_ftruncate(fd, size);
	if (r == 0 && file >= 0)
		note(OP_CUT, file, -1)->at = size;
	return r;
}

int
__wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int folder = folder_of(from_dir);

	if (folder >= 0 && fails(true, false))
		return -1;
	int r = __real_renameat(from_dir, from, to_dir, to);
	if (r == 0 && folder >= 0) {
		hw_assert(folder_of(to_dir) == folder);
		struct op *op = note(OP_RENAME, -1, folder);
		snprintf(op->name, NAME_LEN, "%s", from);
		snprintf(op->to, NAME_LEN, "%s", to);
	}
	return r;
}

int
__wrap_unlinkat(int dir, const char *name, int flags)
{
	int folder = folder_of(dir);

	int r = __real_unlinkat(dir, name, flags);
	if (r == 0 && folder >= 0)
		snprintf(note(OP_UNLINK, -1, folder)->name, NAME_LEN, "%s", name);
	return r;
}

static int
sync_with(int fd, int (*real)(int))
{
	int file = file_of(fd), folder = folder_of(fd);

	if ((file >= 0 || folder >= 0) && fails(false, true))
		return -1;
	if (file >= 0)
		note(OP_SYNC, file, -1);
	else if (folder >= 0)
		note(OP_SYNC_FOLDER, -1, folder);
	else
		return real(fd);
	return 0; /* nothing of it has to survive this machine */
}

int
__wrap_fsync(int fd)
{
	return sync_with(fd, __real_fsync);
}

int
__wrap_fdatasync(int fd)
{
	return sync_with(fd, __real_fdatasync);
}

/* --- beginning and cutting -------------------------------------------------------------------- */

static void
folder_path(char out[PATH_MAX], int folder)
{
	hw_assert(snprintf(out, PATH_MAX, "%.1000s/%s", disk.dir, folder_names[folder]) > 0);
}

static void
load_file(int dir, int folder, const char *name)
{
	struct stat st;

	int fd = __real_openat(dir, name, O_RDONLY | O_CLOEXEC);
	hw_assert(fd >= 0 && fstat(fd, &st) == 0);
	if (S_ISREG(st.st_mode)) {
		int file = add_file(fd);
		content_size(&disk.begin[file], (size_t)st.st_size);
		hw_assert(st.st_size == 0 ||
			read(fd, disk.begin[file].p, disk.begin[file].n) == st.st_size);
		folder_link(&disk.folders[folder], name, file);
	}
	close(fd);
}

static void
load_folder(int folder)
{
	char path[PATH_MAX];
	struct dirent *entry;
	struct stat st;

	folder_path(path, folder);
	mkdir(path, 0700);
	DIR *d = opendir(path);
	hw_assert(d != NULL && fstat(dirfd(d), &st) == 0);
	disk.folder_inodes[folder] = st.st_ino;
	disk.dev = st.st_dev;
	disk.folders[folder].n = 0;
	while ((entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			load_file(dirfd(d), folder, entry->d_name);
	closedir(d);
}

void
disk_begin(const char *dir)
{
	disk_forget();
	snprintf(disk.dir, sizeof(disk.dir), "%s", dir);
	for (int i = 0; i < DISK_FOLDERS; i++)
		load_folder(i);
	disk.n_begin = disk.n_files;
	disk.is_on = true;
}

void
disk_end(void)
{
	disk.is_on = false;
	disk.fault = DISK_WORKS;
}

size_t
disk_ops(void)
{
	return disk.n_ops;
}

void
disk_forget(void)
{
	for (size_t i = 0; i < disk.n_ops; i++)
		free(disk.ops[i].p);
	for (int i = 0; i < disk.n_begin; i++)
		free(disk.begin[i].p);
	free(disk.ops);
	memset(&disk, 0, sizeof(disk));
}

/* What a write of sectors leaves of each: `held` are those that stay as they are, because an
 * earlier write of them did not make it. The disk has of a sector what the cache had at some
 * moment. */
static void
apply_sectors(struct content *c, const struct op *op, bool *held, size_t odds, uint64_t *seed)
{
	size_t end = (size_t)op->at + op->n, to;

	for (size_t at = (size_t)op->at; at < end; at = to) {
		to = at - at % SECTOR + SECTOR < end ? at - at % SECTOR + SECTOR : end;
		held[at / SECTOR] = held[at / SECTOR] || disk_random(seed, 10) >= odds;
		if (!held[at / SECTOR])
			content_put(c, at, op->p + (at - (size_t)op->at), to - at);
	}
}

/* The first of its bytes, in whole sectors. */
static void
apply_torn(struct content *c, const struct op *op, uint64_t *seed)
{
	size_t begin = (size_t)op->at, torn = begin + disk_random(seed, op->n + 1);

	if (torn < begin + op->n)
		torn -= torn % SECTOR;
	if (torn > begin)
		content_put(c, begin, op->p, torn - begin);
}

static size_t
end_of(const struct op *op)
{
	return (size_t)op->at + (op->type == OP_CUT ? 0 : op->n);
}

/* Of operations that were not synced: what of this file made it. */
static void
apply_some(struct content *c, const size_t *pending, size_t n, uint64_t *seed)
{
	size_t whole = c->n, mode = disk_random(seed, 4), odds = 1 + disk_random(seed, 9),
	       some = disk_random(seed, n + 1), most = c->n;

	for (size_t i = 0; i < n; i++)
		most = end_of(&disk.ops[pending[i]]) > most ? end_of(&disk.ops[pending[i]]) : most;
	bool *held = calloc(most / SECTOR + 1, sizeof(*held));
	hw_assert(held != NULL);
	for (size_t i = 0; mode != 0 && i < n && !(mode == 2 && i > some); i++) {
		const struct op *op = &disk.ops[pending[i]];
		if (op->type == OP_CUT || mode == 1 || (mode == 2 && i < some)) {
			content_apply(c, op);
			whole = c->n;
		} else if (mode == 2) {
			apply_torn(c, op, seed);
		} else {
			apply_sectors(c, op, held, odds, seed);
		}
		whole = end_of(op) > whole ? end_of(op) : whole;
	}
	free(held);
	/* The length may be on disk without what fills it. */
	if (whole > c->n && disk_random(seed, 3) == 0)
		content_size(c, whole);
}

struct image {
	struct content files[FILES];
	size_t *pending[FILES], n_pending[FILES];
	struct folder folders[DISK_FOLDERS];
	size_t *names[DISK_FOLDERS], n_names[DISK_FOLDERS];
};

static void
sync_file(struct image *im, int file)
{
	for (size_t i = 0; i < im->n_pending[file]; i++)
		content_apply(&im->files[file], &disk.ops[im->pending[file][i]]);
	im->n_pending[file] = 0;
}

static void
sync_names(struct image *im, int folder, size_t n)
{
	for (size_t i = 0; i < n; i++)
		folder_apply(&im->folders[folder], &disk.ops[im->names[folder][i]]);
	im->n_names[folder] = 0;
}

static void
put_off(size_t **list, size_t *n, size_t op)
{
	if ((*n & (*n - 1)) == 0) {
		*list = realloc(*list, (*n == 0 ? 1 : 2 * *n) * sizeof(**list));
		hw_assert(*list != NULL);
	}
	(*list)[(*n)++] = op;
}

static void
replay(struct image *im, size_t to)
{
	for (size_t i = 0; i < to; i++) {
		const struct op *op = &disk.ops[i];
		switch (op->type) {
		case OP_WRITE:
		case OP_CUT:
			put_off(&im->pending[op->file], &im->n_pending[op->file], i);
			break;
		case OP_SYNC:
			sync_file(im, op->file);
			break;
		case OP_SYNC_FOLDER:
			sync_names(im, op->folder, im->n_names[op->folder]);
			break;
		default:
			put_off(&im->names[op->folder], &im->n_names[op->folder], i);
		}
	}
}

static void
write_folder(const struct image *im, int folder)
{
	char path[PATH_MAX], name[PATH_MAX];
	struct dirent *entry;

	folder_path(path, folder);
	DIR *d = opendir(path);
	hw_assert(d != NULL);
	while ((entry = readdir(d)) != NULL)
		if (entry->d_type == DT_REG)
			__real_unlinkat(dirfd(d), entry->d_name, 0);
	for (size_t i = 0; i < im->folders[folder].n; i++) {
		const struct content *c = &im->files[im->folders[folder].entries[i].file];
		snprintf(name, sizeof(name), "%s", im->folders[folder].entries[i].name);
		int fd = __real_openat(dirfd(d), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
		hw_assert(fd >= 0 && (c->n == 0 || __real_write(fd, c->p, c->n) == (ssize_t)c->n));
		close(fd);
	}
	closedir(d);
}

void
disk_cut(size_t at, uint64_t seed)
{
	struct image *im = calloc(1, sizeof(*im));

	hw_assert(im != NULL && !disk.is_on && at <= disk.n_ops);
	memcpy(im->folders, disk.folders, sizeof(im->folders));
	for (int i = 0; i < disk.n_begin; i++)
		content_put(&im->files[i], 0, disk.begin[i].p, disk.begin[i].n);
	replay(im, at);
	for (int i = 0; i < disk.n_files; i++)
		apply_some(&im->files[i], im->pending[i], im->n_pending[i], &seed);
	for (int i = 0; i < DISK_FOLDERS; i++)
		sync_names(im, i, disk_random(&seed, im->n_names[i] + 1));
	for (int i = 0; i < DISK_FOLDERS; i++)
		write_folder(im, i);
	for (int i = 0; i < disk.n_files; i++) {
		free(im->files[i].p);
		free(im->pending[i]);
	}
	for (int i = 0; i < DISK_FOLDERS; i++)
		free(im->names[i]);
	free(im);
}
