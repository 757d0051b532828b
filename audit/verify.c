#include "audit/verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/verify_private.h"
#include "proto/base/file.h"

#define ARENA_MAX (4 * 1024 * 1024)

/* --- a directory as a source ------------------------------------------------------------------ */

static int
dir_open_file(void *arg, struct verify_file *ret, const char *path, struct hw_err *err)
{
	struct stat st;

	int fd = openat(*(const int *)arg, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = hw_err_sys(err, "cannot open %s", path);
		fd_close(fd);
		return r;
	}
	if (!S_ISREG(st.st_mode)) {
		fd_close(fd);
		return hw_err_set(err, HW_ECORRUPT, "%s is no file", path);
	}
	*ret = (struct verify_file){.size = (uint64_t)st.st_size, .fd = fd};
	return 0;
}

static int
dir_read(void *arg, const struct verify_file *f, uint64_t at, void *p, size_t n, struct hw_err *err)
{
	uint8_t *to = p;

	(void)arg;
	while (n > 0) {
		ssize_t got = pread(f->fd, to, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return hw_err_sys(err, "cannot read");
		if (got == 0)
			return hw_err_set(err, HW_EIO, "a file became shorter while it was read");
		to += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static void
dir_close_file(void *arg, struct verify_file *f)
{
	(void)arg;
	fd_close(f->fd);
}

static int
dir_list(void *arg, const char *folder,
	int (*each)(void *ctx, const char *name, struct hw_err *err), void *ctx, struct hw_err *err)
{
	struct dirent *entry;
	int r = 0;

	int fd = openat(*(const int *)arg, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot list %s", folder);
	DIR *d = fdopendir(fd);
	if (d == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot list %s", folder);
	}
	while (r == 0 && (errno = 0, entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			r = each(ctx, entry->d_name, err);
	if (r == 0 && errno != 0)
		r = hw_err_sys(err, "cannot list %s", folder);
	closedir(d);
	return r;
}

struct verify_source
verify_directory(int *dir)
{
	return (struct verify_source){
		.arg = dir,
		.open = dir_open_file,
		.read = dir_read,
		.close = dir_close_file,
		.list = dir_list,
	};
}

/* --- what the parts share --------------------------------------------------------------------- */

struct verify_finding
verify_at(uint64_t from, uint64_t to, uint64_t entry, uint64_t entry_to)
{
	return (struct verify_finding){
		.from = from, .to = to, .entry = entry, .entry_to = entry_to};
}

void
verify_sentence(char *out, size_t room, const char *fmt, va_list ap)
{
	static const char more[] = " ...";

	int n = vsnprintf(out, room, fmt, ap);
	if (n >= 0 && (size_t)n < room)
		return;
	hw_assert(room > sizeof(more));
	size_t end = room - sizeof(more);
	while (end > 0 && out[end] != ' ')
		end--;
	/* One that is a single word is cut in it, but not within a character. */
	for (end = end > 0 ? end : room - sizeof(more); end > 0 && (out[end] & 0xc0) == 0x80;)
		end--;
	memcpy(out + end, more, sizeof(more));
}

static void
note(struct verify_finding *list, size_t *n, struct verify_finding at, const char *file,
	const char *fmt, va_list ap)
{
	if (*n < VERIFY_FINDINGS_MAX) {
		snprintf(at.file, sizeof(at.file), "%s", file);
		verify_sentence(at.what, sizeof(at.what), fmt, ap);
		list[*n] = at;
	}
	++*n;
}

void
verify_find(struct verify *v, struct verify_finding at, const char *file, const char *fmt, ...)
{
	struct verify_result *ret = v->result;
	va_list ap;

	va_start(ap, fmt);
	note(ret->findings, &ret->n_findings, at, file, fmt, ap);
	va_end(ap);
	if (strncmp(file, "recordings/", 11) == 0)
		ret->recordings_broken = true;
	else
		ret->ledger_broken = true;
}

void
verify_doubt(struct verify *v, struct verify_finding at, const char *file, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(v->result->doubts, &v->result->n_doubts, at, file, fmt, ap);
	va_end(ap);
}

bool
verify_may_miss(const struct verify *v)
{
	return v->options->is_running || v->unsigned_entries ||
		(v->options->master == NULL && v->filed_end < v->result->head.size);
}

void *
verify_grow(void *list, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return list;
	size_t more = 2 * *room + 64;
	void *grown = reallocarray(list, more, size);
	if (grown != NULL)
		*room = more;
	return grown;
}

int
verify_slurp(struct verify *v, struct buf *out, const char *path, size_t max, struct hw_err *err)
{
	struct verify_file f;

	int r = v->source->open(v->source->arg, &f, path, err);
	if (r < 0)
		return r;
	size_t n = f.size < max ? (size_t)f.size : max;
	buf_init(out, n + 1);
	uint8_t *to = buf_reserve(out, n + 1);
	r = to == NULL ? hw_err_set(err, HW_ENOMEM, "no memory to read %s", path)
		       : v->source->read(v->source->arg, &f, 0, to, n, err);
	if (r == 0)
		buf_commit(out, n);
	else
		buf_fini(out);
	v->source->close(v->source->arg, &f);
	return r;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int
compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
say_erased(struct verify *v, uint64_t entry)
{
	const struct verify_finding where = verify_at(VERIFY_NONE, VERIFY_NONE, entry, entry + 1);

	/* The one that says so may be in the journal alone, unsigned or sealed; and one that nobody
	 * has signed anybody may have put there. */
	if (v->unsigned_entries || v->unsigned_names ||
		(v->options->master == NULL && v->filed_end < v->result->head.size))
		verify_doubt(v, where, "ledger",
			"is erased, and no entry that can be read says that it was");
	else
		verify_find(v, where, "ledger", "is erased, and no entry says that it was");
}

/* An entry is erased only where a later one says so. */
static void
check_erasures(struct verify *v)
{
	if (v->n_named > 1)
		qsort(v->named, v->n_named, sizeof(*v->named), compare_numbers);
	for (size_t i = 0; i < v->n_erased; i++)
		if (v->n_named == 0 ||
			bsearch(&v->erased[i], v->named, v->n_named, sizeof(*v->named),
				compare_numbers) == NULL)
			say_erased(v, v->erased[i]);
	v->result->erased = v->n_erased;
}

static int
run_parts(struct verify *v, struct hw_err *err)
{
	int r;

	if ((r = verify_heads(v, err)) < 0 || (r = verify_ledger(v, err)) < 0 ||
		(r = verify_journal(v, err)) < 0)
		return r;
	check_erasures(v);
	return verify_recordings(v, err);
}

static int
prepare(struct verify *v, struct hw_err *err)
{
	unsigned hands = v->options->threads > 0 ? v->options->threads : 1;
	int r = verify_crew_new(&v->crew, hands, err);

	if (r < 0)
		return r;
	v->arena = arena_new(ARENA_MAX);
	bool good = v->arena != NULL;
	for (unsigned i = 0; i < verify_crew_hands(v->crew); i++)
		good = (v->hashers[i] = hasher_new()) != NULL && good;
	return good ? 0 : hw_err_set(err, HW_ENOMEM, "no memory to verify");
}

static void
fini(struct verify *v)
{
	free(v->marks);
	free(v->links);
	free(v->facts);
	free(v->erased);
	free(v->named);
	free(v->leaves);
	log_epochs_fini(&v->epochs);
	for (unsigned i = 0; i < VERIFY_HANDS_MAX; i++)
		hasher_free(v->hashers[i]);
	verify_crew_free(v->crew);
	if (v->arena != NULL)
		arena_free(v->arena);
}

int
verify_run(struct verify_result *ret, const struct verify_source *source,
	const struct verify_options *options, struct hw_err *err)
{
	struct verify v = {.source = source, .options = options, .result = ret};

	*ret = (struct verify_result){.verdict = VERIFY_UNCHECKED};
	int r = prepare(&v, err);
	if (r == 0)
		r = run_parts(&v, err);
	if (ret->n_findings > 0)
		ret->verdict = VERIFY_BROKEN;
	else if (r == 0 && ret->n_doubts == 0)
		ret->verdict = VERIFY_INTACT;
	fini(&v);
	return r;
}
