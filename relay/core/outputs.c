#include "relay/core/outputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/schema/schema.h"

#define BLOCK	 16384 /* bytes of output in a full one */
#define OVERHEAD (SECRET_NONCE_LEN + SECRET_TAG_LEN)
#define STORED	 (BLOCK + OVERHEAD)
#define NAME_LEN 192
#define TRIES	 3 /* at a last block that is being written */
#define RUN	 9 /* blocks that are read or written at once; a piece may begin within one */
#define CIPHERS	 8 /* that are kept */

/* What stays free of the file system, which the ledger and the store are on too: a 20th of it, or
 * this if that is less. */
#define FREE_MIN (INT64_C(256) << 20)

/* Where a file stands, as its length says. */
struct extent {
	int64_t blocks; /* full ones */
	size_t rest;	/* bytes of output in the last one */
};

/* A command whose files are not counted yet. */
struct uncounted {
	char command[ID_UUID_LEN + 1];
	bool done;
};

struct outputs {
	int dir;
	struct secret_key key;
	_Atomic int64_t bytes; /* of all files that are counted */
	atomic_bool refused;   /* there was no room, since somebody looked */
	/* What was there at the start, sorted: a relay that keeps a million files does not look at
	 * each of them before it serves. */
	pthread_mutex_t counting;
	struct uncounted *old;
	size_t n_old, room;
	_Atomic size_t left; /* not done */
	/* Contexts that nobody uses now: to make one takes as long as to seal some KiB. */
	pthread_mutex_t lending;
	struct secret_stream *ciphers[CIPHERS];
	size_t n_ciphers;
};

struct output_file {
	struct outputs *of;
	struct output_name name;
	int fd; /* -1: there is none */
	struct extent at;
	struct secret_stream *cipher;
	uint8_t stored[RUN * STORED]; /* blocks as they are on disk */
};

static struct extent
extent_of(off_t length)
{
	size_t rest = (size_t)(length % STORED);

	return (struct extent){
		.blocks = length / STORED,
		.rest = rest > OVERHEAD ? rest - OVERHEAD : 0,
	};
}

static int64_t
extent_size(const struct extent *e)
{
	return e->blocks * BLOCK + (int64_t)e->rest;
}

/* --- all of them -------------------------------------------------------------------------------
 */

/* Of an entry of a directory; 0 when it is gone, or is no file. */
static int64_t
entry_size(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	struct extent e = extent_of(st.st_size);
	return extent_size(&e);
}

static DIR *
open_below(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL)
		fd_close(fd);
	return d;
}

static int64_t
count_command(int dir, const char *command)
{
	const struct dirent *entry;
	int64_t bytes = 0;
	DIR *d = open_below(dir, command);

	while (d != NULL && (entry = readdir(d)) != NULL)
		bytes += entry_size(dirfd(d), entry->d_name);
	if (d != NULL)
		closedir(d);
	return bytes;
}

static int
note_old(struct outputs *o, const char *name)
{
	if (!id_is_uuid(name))
		return 0;
	if (o->n_old == o->room) {
		size_t room = o->room > 0 ? 2 * o->room : 256;
		struct uncounted *old = realloc(o->old, room * sizeof(*old));
		if (old == NULL)
			return HW_ENOMEM;
		o->old = old;
		o->room = room;
	}
	struct uncounted *u = &o->old[o->n_old++];
	*u = (struct uncounted){.done = false};
	memcpy(u->command, name, ID_UUID_LEN);
	return 0;
}

static int
by_command(const void *a, const void *b)
{
	return strcmp(((const struct uncounted *)a)->command,
		((const struct uncounted *)b)->command);
}

static int
list_old(struct outputs *o, struct hw_err *err)
{
	const struct dirent *entry;
	DIR *d = open_below(o->dir, ".");
	int r = 0;

	if (d == NULL)
		return hw_err_sys(err, "cannot list the output of commands");
	while (r == 0 && (entry = readdir(d)) != NULL)
		r = note_old(o, entry->d_name);
	closedir(d);
	if (r < 0)
		return hw_err_set(err, r, "no memory for the names of commands");
	if (o->n_old > 0)
		qsort(o->old, o->n_old, sizeof(o->old[0]), by_command);
	o->left = o->n_old;
	return 0;
}

static void
count_old(struct outputs *o, struct uncounted *u)
{
	if (u->done)
		return;
	o->bytes += count_command(o->dir, u->command);
	u->done = true;
	o->left--;
}

/* Before anything of a command is changed: what follows adds to what was counted. */
static void
count_first(struct outputs *o, const char *command)
{
	struct uncounted key = {.done = false};

	if (o->left == 0)
		return;
	snprintf(key.command, sizeof(key.command), "%s", command);
	pthread_mutex_lock(&o->counting);
	struct uncounted *u = bsearch(&key, o->old, o->n_old, sizeof(key), by_command);
	if (u != NULL)
		count_old(o, u);
	pthread_mutex_unlock(&o->counting);
}

void
outputs_count(struct outputs *o)
{
	for (size_t i = 0; o->left > 0 && i < o->n_old; i++) {
		pthread_mutex_lock(&o->counting);
		count_old(o, &o->old[i]);
		pthread_mutex_unlock(&o->counting);
	}
}

int64_t
outputs_total(struct outputs *o)
{
	return o->bytes;
}

bool
outputs_take_refused(struct outputs *o)
{
	return atomic_exchange(&o->refused, false);
}

int
outputs_have_room(struct outputs *o, int64_t more, int64_t most, struct hw_err *err)
{
	struct statvfs fs;

	if (o->bytes + more > most) {
		o->refused = true;
		return hw_err_set(err, HW_EUNAVAILABLE,
			"all commands together have %lld MiB of output, the most that is kept: say it "
			"again later, or raise command_outputs_mib",
			(long long)(o->bytes >> 20));
	}
	if (fstatvfs(o->dir, &fs) < 0)
		return hw_err_sys(err, "cannot see how much room there is for output");
	int64_t least = (int64_t)(fs.f_blocks * fs.f_frsize / 20);
	int64_t left = (int64_t)(fs.f_bavail * fs.f_frsize);
	if (left - more >= (least < FREE_MIN ? least : FREE_MIN))
		return 0;
	o->refused = true;
	return hw_err_set(err, HW_EUNAVAILABLE,
		"the relay's disk has %lld MiB left, too little for output: make room on it, and say "
		"it again later",
		(long long)(left >> 20));
}

int
outputs_new(struct outputs **ret, const char *dir, const struct secret_key *master,
	struct hw_err *err)
{
	struct outputs *o = calloc(1, sizeof(*o));
	char path[2048];

	if (o == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the output of commands");
	snprintf(path, sizeof(path), "%s/" OUTPUTS_DIR, dir);
	int r = dir_open(&o->dir, path, true, err);
	if (r < 0) {
		free(o);
		return r;
	}
	pthread_mutex_init(&o->counting, NULL);
	pthread_mutex_init(&o->lending, NULL);
	if ((r = list_old(o, err)) < 0) {
		outputs_free(o);
		return r;
	}
	secret_key_derive(&o->key, master, "commands");
	*ret = o;
	return 0;
}

void
outputs_free(struct outputs *o)
{
	if (o == NULL)
		return;
	secret_key_wipe(&o->key);
	fd_close(o->dir);
	while (o->n_ciphers > 0)
		secret_stream_free(o->ciphers[--o->n_ciphers]);
	pthread_mutex_destroy(&o->counting);
	pthread_mutex_destroy(&o->lending);
	free(o->old);
	free(o);
}

/* --- one file ----------------------------------------------------------------------------------
 */

static struct secret_stream *
borrow_cipher(struct outputs *o)
{
	struct secret_stream *s = NULL;

	pthread_mutex_lock(&o->lending);
	if (o->n_ciphers > 0)
		s = o->ciphers[--o->n_ciphers];
	pthread_mutex_unlock(&o->lending);
	return s != NULL ? s : secret_stream_new(&o->key);
}

static void
give_back(struct outputs *o, struct secret_stream *s)
{
	pthread_mutex_lock(&o->lending);
	if (s != NULL && o->n_ciphers < CIPHERS) {
		o->ciphers[o->n_ciphers++] = s;
		s = NULL;
	}
	pthread_mutex_unlock(&o->lending);
	secret_stream_free(s);
}

static void
file_name(char out[NAME_LEN], const struct output_name *n)
{
	snprintf(out, NAME_LEN, "%s/%s.%d.%s", n->command, n->node, n->step,
		n->stream == OUTPUT_STREAM_STDERR ? "err" : "out");
}

/* -1 in *fd when there is none and none is to be made. */
static int
find_file(int *fd, struct outputs *o, const struct output_name *n, int flags, struct hw_err *err)
{
	bool make = (flags & O_CREAT) != 0;
	char name[NAME_LEN];

	file_name(name, n);
	*fd = openat(o->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0 && errno == ENOENT && !make)
		return 0;
	if (*fd < 0 && errno == ENOENT && mkdirat(o->dir, n->command, 0700) == 0) {
		fsync(o->dir);
		*fd = openat(o->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	} else if (*fd < 0 && errno == EEXIST) { /* another one made the directory just now */
		*fd = openat(o->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	return *fd >= 0 ? 0 : hw_err_sys(err, "cannot open the output file %s", name);
}

static int
file_extent(struct extent *ret, int fd, struct hw_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return hw_err_sys(err, "cannot look at an output file");
	*ret = extent_of(st.st_size);
	return 0;
}

static int
file_new(struct output_file **ret, struct outputs *o, const struct output_name *name, int flags,
	struct hw_err *err)
{
	struct output_file *f = malloc(sizeof(*f));
	int r;

	if (f == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for an output file");
	f->of = o;
	f->name = *name;
	f->fd = -1;
	f->at = (struct extent){0, 0};
	f->cipher = borrow_cipher(o);
	if (f->cipher == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for an output file");
	else if ((r = find_file(&f->fd, o, name, flags, err)) == 0 && f->fd >= 0)
		r = file_extent(&f->at, f->fd, err);
	if (r < 0) {
		output_file_close(f);
		return r;
	}
	*ret = f;
	return 0;
}

int
output_file_open(struct output_file **ret, struct outputs *o, const struct output_name *name,
	struct hw_err *err)
{
	count_first(o, name->command);
	return file_new(ret, o, name, O_RDWR, err);
}

void
output_file_close(struct output_file *f)
{
	if (f == NULL)
		return;
	give_back(f->of, f->cipher);
	fd_close(f->fd);
	free(f);
}

int64_t
output_file_size(const struct output_file *f)
{
	return extent_size(&f->at);
}

static void
purpose(char out[NAME_LEN + 32], const struct output_name *n, int64_t block)
{
	char name[NAME_LEN];

	file_name(name, n);
	snprintf(out, NAME_LEN + 32, "%s#%lld", name, (long long)block);
}

static int
damaged(int64_t block, struct hw_err *err)
{
	return hw_err_set(err, HW_ECORRUPT, "the output is damaged from byte %lld on",
		(long long)(block * BLOCK));
}

/* What is on disk of up to RUN blocks from `block` on, of which `n` bytes are output. */
static int
load_blocks(struct output_file *f, int64_t block, size_t n, struct hw_err *err)
{
	size_t blocks = (n + BLOCK - 1) / BLOCK, len = n + blocks * OVERHEAD;
	ssize_t got = pread(f->fd, f->stored, len, block * STORED);

	if (got < 0)
		return hw_err_sys(err, "cannot read an output file");
	return (size_t)got == len ? 0 : damaged(block, err);
}

/* The bytes of the k-th of those, `len` of them; HW_ECORRUPT. */
static int
open_block(uint8_t *to, struct output_file *f, int64_t block, size_t k, size_t len,
	struct hw_err *err)
{
	char aad[NAME_LEN + 32];

	purpose(aad, &f->name, block + (int64_t)k);
	if (secret_stream_open_alone(f->cipher, aad, to, f->stored + k * STORED, len + OVERHEAD) <
		0)
		return damaged(block + (int64_t)k, err);
	return 0;
}

static int
read_block(uint8_t *to, struct output_file *f, int64_t block, size_t len, struct hw_err *err)
{
	int r = load_blocks(f, block, len, err);

	return r < 0 ? r : open_block(to, f, block, 0, len, err);
}

/* Up to RUN blocks, all but the last of them full. */
static int
write_blocks(struct output_file *f, int64_t block, const uint8_t *p, size_t n, struct hw_err *err)
{
	char aad[NAME_LEN + 32];
	uint8_t *to = f->stored;

	for (int64_t b = block; n > 0; b++) {
		size_t len = n < BLOCK ? n : BLOCK;
		purpose(aad, &f->name, b);
		int r = secret_stream_seal_alone(f->cipher, aad, to, p, len);
		if (r < 0)
			return hw_err_set(err, r, "an output cannot be sealed");
		to += len + OVERHEAD;
		p += len;
		n -= len;
	}
	ssize_t put = pwrite(f->fd, f->stored, (size_t)(to - f->stored), block * STORED);
	if (put == to - f->stored)
		return 0;
	if (put >= 0)
		errno = ENOSPC;
	return hw_err_sys(err, "the relay cannot keep more output");
}

/* --- sizes -------------------------------------------------------------------------------------
 */

int
outputs_size(struct outputs *o, const struct output_name *name, int64_t *ret, struct hw_err *err)
{
	struct extent e = {0, 0};
	int fd;

	int r = find_file(&fd, o, name, O_RDONLY, err);
	if (r == 0 && fd >= 0)
		r = file_extent(&e, fd, err);
	fd_close(fd);
	if (r == 0)
		*ret = extent_size(&e);
	return r;
}

/* Up to the first block that cannot be read. */
static int
cut_damage(struct output_file *f, struct hw_err *err)
{
	uint8_t block[BLOCK];
	int64_t i = 0;
	int r = 0;

	for (; i <= f->at.blocks; i++) {
		size_t len = i < f->at.blocks ? BLOCK : f->at.rest;
		if (len > 0 && (r = read_block(block, f, i, len, err)) < 0)
			break;
	}
	if (r != HW_ECORRUPT)
		return r;
	f->at = (struct extent){.blocks = i};
	return ftruncate(f->fd, i * STORED) < 0 ? hw_err_sys(err, "cannot cut an output file") : 0;
}

int
outputs_repair(struct outputs *o, const struct output_name *name, int64_t *ret, struct hw_err *err)
{
	struct output_file *f;
	int r = output_file_open(&f, o, name, err);

	if (r < 0)
		return r;
	int64_t before = output_file_size(f);
	if (f->fd >= 0) {
		r = cut_damage(f, err);
		o->bytes += output_file_size(f) - before;
	}
	if (r == 0)
		*ret = output_file_size(f);
	output_file_close(f);
	return r;
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* The last block, filled up; what of p it took is in *used. Nothing of it when a write was torn:
 * the block's bytes come again. */
static int
fill_last(struct output_file *f, const uint8_t *p, size_t n, size_t *used, struct hw_err *err)
{
	size_t more = n < BLOCK - f->at.rest ? n : BLOCK - f->at.rest;
	uint8_t block[BLOCK];

	*used = 0;
	int r = read_block(block, f, f->at.blocks, f->at.rest, err);
	if (r == HW_ECORRUPT) {
		f->at.rest = 0;
		if (ftruncate(f->fd, f->at.blocks * STORED) < 0)
			return hw_err_sys(err, "cannot cut an output file");
		return 1;
	}
	if (r < 0)
		return r;
	memcpy(block + f->at.rest, p, more);
	if ((r = write_blocks(f, f->at.blocks, block, f->at.rest + more, err)) < 0)
		return r;
	f->at.rest += more;
	*used = more;
	if (f->at.rest == BLOCK)
		f->at = (struct extent){.blocks = f->at.blocks + 1};
	return 0;
}

static int
append(struct output_file *f, const uint8_t *p, size_t n, struct hw_err *err)
{
	size_t used = 0;
	int r = f->at.rest > 0 ? fill_last(f, p, n, &used, err) : 0;

	for (size_t len; r == 0 && used < n; used += len) {
		len = n - used < RUN * BLOCK ? n - used : RUN * BLOCK;
		if ((r = write_blocks(f, f->at.blocks, p + used, len, err)) == 0)
			f->at = (struct extent){
				.blocks = f->at.blocks + (int64_t)(len / BLOCK),
				.rest = len % BLOCK,
			};
	}
	return r < 0 ? r : 0;
}

int
output_file_append(struct output_file *f, int64_t offset, const void *p, size_t n,
	struct hw_err *err)
{
	int64_t before = output_file_size(f);
	int r = f->fd >= 0 ? 0 : find_file(&f->fd, f->of, &f->name, O_RDWR | O_CREAT, err);

	if (r < 0 || offset > before || offset + (int64_t)n <= before)
		return r;
	size_t have = (size_t)(before - offset);
	r = append(f, (const uint8_t *)p + have, n - have, err);
	if (r < 0) /* what of it is there all the same takes room */
		(void)file_extent(&f->at, f->fd, NULL);
	f->of->bytes += output_file_size(f) - before;
	return r;
}

int
outputs_append(struct outputs *o, const struct output_name *name, int64_t offset, const void *p,
	size_t n, int64_t *size, struct hw_err *err)
{
	struct output_file *f;
	int r = output_file_open(&f, o, name, err);

	if (r < 0)
		return r;
	if ((r = output_file_append(f, offset, p, n, err)) == 0)
		*size = output_file_size(f);
	output_file_close(f);
	return r;
}

int
outputs_sync(struct outputs *o, const struct output_name *name, struct hw_err *err)
{
	int fd, dir;

	int r = find_file(&fd, o, name, O_RDONLY, err);
	if (r < 0 || fd < 0)
		return r;
	if (fsync(fd) < 0)
		r = hw_err_sys(err, "an output file cannot be written to disk");
	fd_close(fd);
	dir = openat(o->dir, name->command, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && (dir < 0 || fsync(dir) < 0))
		r = hw_err_sys(err, "the directory of an output cannot be written to disk");
	fd_close(dir);
	return r;
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* Of a block that is not wanted whole. */
static int
read_part(uint8_t *to, struct output_file *f, int64_t block, size_t k, size_t skip, size_t n,
	size_t len, struct hw_err *err)
{
	uint8_t all[BLOCK];
	int r = open_block(all, f, block, k, len, err);

	if (r == 0)
		memcpy(to, all + skip, n);
	return r;
}

/* Up to RUN blocks from the one of `offset` on; *got grows by what of them was wanted. */
static int
read_run(uint8_t *to, size_t *got, struct output_file *f, int64_t offset, size_t n,
	struct hw_err *err)
{
	int64_t block = offset / BLOCK, there = output_file_size(f) - block * BLOCK;
	size_t skip = (size_t)(offset % BLOCK);
	size_t end = skip + n < RUN * BLOCK ? skip + n : RUN * BLOCK; /* from the block on */

	if ((int64_t)end > there)
		end = (size_t)there;
	size_t whole = (end + BLOCK - 1) / BLOCK * BLOCK;
	size_t have = (int64_t)whole < there ? whole : (size_t)there;
	int r = load_blocks(f, block, have, err);
	for (size_t k = 0; r == 0 && k * BLOCK < end; k++) {
		size_t from = k == 0 ? skip : 0, len = have - k * BLOCK;
		len = len < BLOCK ? len : BLOCK;
		size_t until = end - k * BLOCK < len ? end - k * BLOCK : len;
		r = from == 0 && until == len
			? open_block(to + *got, f, block, k, len, err)
			: read_part(to + *got, f, block, k, from, until - from, len, err);
		if (r == 0)
			*got += until - from;
	}
	return r;
}

/* The last block may be written anew meanwhile: then it is whole a moment later. */
static int
read_file(uint8_t *to, size_t *got, struct output_file *f, int64_t offset, size_t n,
	struct hw_err *err)
{
	int tries = TRIES, r = 0;

	while (r == 0 && *got < n && offset + (int64_t)*got < output_file_size(f)) {
		r = read_run(to, got, f, offset + (int64_t)*got, n - *got, err);
		if (r == HW_ECORRUPT && --tries > 0)
			r = file_extent(&f->at, f->fd, err);
	}
	return r;
}

int
outputs_read_to(struct outputs *o, const struct output_name *name, int64_t offset, void *p,
	size_t n, size_t *got, int64_t *size, struct hw_err *err)
{
	struct output_file *f;
	int r = file_new(&f, o, name, O_RDONLY, err);

	*got = 0;
	if (r < 0)
		return r;
	*size = output_file_size(f);
	r = read_file(p, got, f, offset, n, err);
	output_file_close(f);
	return r;
}

int
outputs_read(struct outputs *o, const struct output_name *name, int64_t offset, size_t n,
	struct buf *out, struct hw_err *err)
{
	struct output_file *f;
	size_t got = 0;
	int r = file_new(&f, o, name, O_RDONLY, err);

	if (r < 0)
		return r;
	int64_t there = output_file_size(f) - offset;
	if (there > 0) {
		n = (int64_t)n < there ? n : (size_t)there;
		uint8_t *to = buf_reserve(out, n);
		r = to == NULL ? hw_err_set(err, HW_ENOMEM, "no memory for output")
			       : read_file(to, &got, f, offset, n, err);
		if (to != NULL)
			buf_commit(out, got);
	}
	output_file_close(f);
	return r;
}

/* --- dropping ----------------------------------------------------------------------------------
 */

int
outputs_drop(struct outputs *o, const char *command, struct hw_err *err)
{
	const struct dirent *entry;
	int r = 0;

	count_first(o, command);
	int fd = openat(o->dir, command, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0
				       : hw_err_sys(err, "cannot open the output of %s", command);
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		r = hw_err_sys(err, "cannot list the output of %s", command);
		fd_close(fd);
		return r;
	}
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		bool self = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
		int64_t size = entry_size(fd, entry->d_name);
		if (self)
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0)
			r = hw_err_sys(err, "cannot remove the output of %s", command);
		else
			o->bytes -= size;
	}
	closedir(dir);
	if (r == 0 && unlinkat(o->dir, command, AT_REMOVEDIR) < 0)
		r = hw_err_sys(err, "cannot remove the output of %s", command);
	return r;
}

/* --- another master key ------------------------------------------------------------------------
 */

struct rekey {
	int dir; /* of the command */
	const char *command, *file;
	struct secret_key from, to;
};

/* One block: 1; 0 at the end of the file. HW_EEXISTS: it is the new key's already. */
static int
rekey_block(const struct rekey *k, int in, int out, int64_t block, struct hw_err *err)
{
	uint8_t stored[STORED];
	char aad[NAME_LEN + 32];
	struct buf plain, sealed;

	ssize_t n = pread(in, stored, sizeof(stored), block * STORED);
	if (n <= 0)
		return n == 0 ? 0 : hw_err_sys(err, "cannot read an output file");
	snprintf(aad, sizeof(aad), "%s/%s#%lld", k->command, k->file, (long long)block);
	buf_init(&plain, BLOCK);
	buf_init(&sealed, STORED);
	int r = secret_open(&plain, &k->from, aad, stored, (size_t)n);
	if (r == 0)
		r = secret_seal(&sealed, &k->to, aad, buf_data(&plain), plain.len);
	else if (block == 0 && secret_open(&plain, &k->to, aad, stored, (size_t)n) == 0)
		r = HW_EEXISTS;
	else
		r = buf_append(&sealed, stored, (size_t)n);
	if (r == 0)
		r = fd_write_all(out, buf_data(&sealed), sealed.len, err);
	buf_wipe(&plain);
	buf_fini(&plain);
	buf_fini(&sealed);
	return r < 0 ? r : 1;
}

static int
rekey_blocks(const struct rekey *k, int in, int out, struct hw_err *err)
{
	int r = 1;

	for (int64_t block = 0; r == 1; block++)
		r = rekey_block(k, in, out, block, err);
	return r == 0 && fsync(out) < 0 ? hw_err_sys(err, "cannot sync an output file") : r;
}

/* Through a file of another name, which a kill may leave. */
static int
rekey_file(const struct rekey *k, struct hw_err *err)
{
	char made[NAME_LEN];
	int r;

	snprintf(made, sizeof(made), ".%s", k->file);
	int in = openat(k->dir, k->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = openat(k->dir, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (in < 0 || out < 0)
		r = hw_err_sys(err, "cannot open the output file %s/%s", k->command, k->file);
	else
		r = rekey_blocks(k, in, out, err);
	fd_close(in);
	fd_close(out);
	if (r == HW_EEXISTS)
		return unlinkat(k->dir, made, 0) < 0
			? hw_err_sys(err, "cannot remove %s/%s", k->command, made)
			: 0;
	if (r == 0 && renameat(k->dir, made, k->dir, k->file) < 0)
		r = hw_err_sys(err, "cannot replace %s/%s", k->command, k->file);
	return r;
}

static int
rekey_command(struct rekey *k, int all, const char *command, struct hw_err *err)
{
	const struct dirent *entry;
	DIR *d = open_below(all, command);
	int r = 0;

	if (d == NULL)
		return hw_err_sys(err, "cannot list the output of %s", command);
	k->dir = dirfd(d);
	k->command = command;
	while (r == 0 && (entry = readdir(d)) != NULL) {
		k->file = entry->d_name;
		if (entry->d_name[0] != '.')
			r = rekey_file(k, err);
	}
	if (r == 0 && fsync(k->dir) < 0)
		r = hw_err_sys(err, "cannot sync the output of %s", command);
	closedir(d);
	return r;
}

int
outputs_rekey(const char *dir, const struct secret_key *from, const struct secret_key *to,
	struct hw_err *err)
{
	const struct dirent *entry;
	struct rekey k = {.dir = -1};
	char path[2048];
	int r = 0;

	snprintf(path, sizeof(path), "%s/" OUTPUTS_DIR, dir);
	DIR *d = open_below(AT_FDCWD, path);
	if (d == NULL)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot list %s", path);
	secret_key_derive(&k.from, from, "commands");
	secret_key_derive(&k.to, to, "commands");
	while (r == 0 && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			r = rekey_command(&k, dirfd(d), entry->d_name, err);
	secret_key_wipe(&k.from);
	secret_key_wipe(&k.to);
	closedir(d);
	return r;
}
