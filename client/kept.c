#include "client/kept.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/trust/witness.h"

#define NOTE_BEGINS "hawser/"
#define NOTE_ENDS   "\n\xe2\x80\x94 " /* the line of the signature */

void
kept_init(struct kept *k, struct arena *arena)
{
	*k = (struct kept){.arena = arena};
}

void
kept_fini(struct kept *k)
{
	free(k->heads);
	free(k->remarks);
}

static int
add_head(struct kept *k, const struct verify_kept *head, struct hw_err *err)
{
	if (k->n == KEPT_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"there are more than %d kept heads: check the files one after the other",
			KEPT_MAX);
	if (k->n == k->room) {
		size_t room = k->room > 0 ? 2 * k->room : 64;
		struct verify_kept *more = realloc(k->heads, room * sizeof(*more));
		if (more == NULL)
			return hw_err_set(err, HW_ENOMEM, "no memory for heads that were kept");
		k->heads = more;
		k->room = room;
	}
	k->heads[k->n++] = *head;
	return 0;
}

static int
remark(struct kept *k, struct kept_remark what, struct hw_err *err)
{
	if (k->remarks == NULL)
		k->remarks = calloc(KEPT_REMARKS_MAX, sizeof(*k->remarks));
	if (k->remarks == NULL || what.file == NULL || what.what == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	/* A file that is rubbish throughout says nothing more by more remarks. */
	if (k->n_remarks < KEPT_REMARKS_MAX)
		k->remarks[k->n_remarks++] = what;
	return 0;
}

/* --- notes ------------------------------------------------------------------------------------ */

/* The next note from `from` on: its length, 0 when none begins there. */
static size_t
note_length(const char *text, size_t n)
{
	size_t most = n < LOG_HEAD_MAX ? n : LOG_HEAD_MAX;
	const char *sign = memmem(text, most, NOTE_ENDS, sizeof(NOTE_ENDS) - 1);

	if (sign == NULL)
		return 0;
	const char *end = memchr(sign + 1, '\n', most - (size_t)(sign + 1 - text));
	return end != NULL ? (size_t)(end - text) + 1 : 0;
}

/* Where the next one may begin, behind `from`; n: nowhere. */
static size_t
next_begin(const char *text, size_t from, size_t n)
{
	const char *at = memmem(text + from, n - from, "\n" NOTE_BEGINS, sizeof(NOTE_BEGINS));

	return at != NULL ? (size_t)(at - text) + 1 : n;
}

static bool
is_blank(const char *text, size_t n)
{
	return n == 0 || (text[0] == '\n' && memcmp(text, text + 1, n - 1) == 0);
}

int
kept_take_notes(struct kept *k, const char *file, const char *text, size_t n, struct hw_err *err)
{
	const char *name = arena_strdup(k->arena, file);
	char origin[LOG_ORIGIN_MAX], last[LOG_ORIGIN_MAX] = "";
	const char *shared = NULL;
	size_t at = 0, before = k->n, rubbish = 0;
	int r = 0;

	while (r == 0 && at < n) {
		struct verify_kept head = {.file = name};
		size_t len = note_length(text + at, n - at);
		if (len == 0 || log_head_parse(&head.head, origin, text + at, len, NULL) < 0) {
			at = next_begin(text, at, n);
			continue;
		}
		if (!is_blank(text + rubbish, at - rubbish))
			r = remark(k,
				(struct kept_remark){name, rubbish, at, false,
					"what lies here is no signed head"},
				err);
		if (shared == NULL || strcmp(last, origin) != 0) {
			memcpy(last, origin, sizeof(last));
			shared = arena_strdup(k->arena, origin);
		}
		head.origin = shared;
		head.from = at;
		head.to = rubbish = at += len;
		if (r == 0)
			r = shared == NULL ? hw_err_set(err, HW_ENOMEM, "out of memory")
					   : add_head(k, &head, err);
	}
	if (r == 0 && k->n == before)
		return hw_err_set(err, HW_EVALIDATION, "%s holds no head of a ledger", file);
	if (r == 0 && !is_blank(text + rubbish, n - rubbish))
		r = remark(k,
			(struct kept_remark){
				name, rubbish, n, false, "what lies here is no signed head"},
			err);
	return r;
}

int
kept_read_notes(struct kept *k, const char *path, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, KEPT_FILE_MAX);
	int r = file_read(&text, AT_FDCWD, path, err);
	if (r == 0)
		r = kept_take_notes(k, path, (const char *)buf_data(&text), text.len, err);
	buf_fini(&text);
	return r;
}

/* --- witnesses -------------------------------------------------------------------------------- */

static int
take_witness(struct kept *k, const char *file, const struct witness *w, struct hw_err *err)
{
	struct verify_kept head = {.file = file, .from = VERIFY_NONE, .to = VERIFY_NONE};
	struct witness_status st;
	int r = 0;

	witness_status(w, &st);
	if (st.state != WITNESS_STATE_AGREES)
		r = remark(k,
			(struct kept_remark){file, VERIFY_NONE, VERIFY_NONE,
				st.state != WITNESS_STATE_DAMAGED && st.lasts,
				arena_strdup(k->arena, st.text)},
			err);
	if (r < 0 || st.saved == NULL)
		return r;
	head.head = *st.saved;
	head.origin = arena_strdup(k->arena, st.origin);
	if (head.origin == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	return add_head(k, &head, err);
}

static int
read_witness(struct kept *k, int dir, const char *name, const char *called, X509 *ca,
	struct hw_err *err)
{
	const char *file = arena_strdup(k->arena, called);
	struct witness *w = witness_new(ca);
	int r = HW_ENOMEM;

	if (w == NULL || file == NULL)
		hw_err_set(err, r, "out of memory");
	else if ((r = witness_load(w, dir, name, err)) == 0 || r == HW_ECORRUPT)
		r = take_witness(k, file, w, err);
	witness_free(w);
	return r;
}

static bool
is_witness(int dir, const char *name)
{
	const char *end = strrchr(name, '.');
	bool beside = end != NULL && (strcmp(end, ".evidence") == 0 || strcmp(end, ".lock") == 0);
	struct stat st;

	return !beside && name[0] != '.' && fstatat(dir, name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

static int
read_folder(struct kept *k, int dir, X509 *ca, struct hw_err *err)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	const struct dirent *e;

	if (d == NULL) {
		r = hw_err_sys(err, "cannot list it");
		fd_close(again);
		return r;
	}
	while (r == 0 && (e = readdir(d)) != NULL)
		if (is_witness(dir, e->d_name))
			r = read_witness(k, dir, e->d_name, e->d_name, ca, err);
	closedir(d);
	return r;
}

int
kept_read_witnesses(struct kept *k, const char *path, X509 *ca, struct hw_err *err)
{
	size_t before = k->n + k->n_remarks;
	struct stat st;
	int dir = -1, r;

	if (stat(path, &st) < 0)
		return hw_err_sys(err, "cannot look at %s", path);
	if (!S_ISDIR(st.st_mode))
		return read_witness(k, AT_FDCWD, path, path, ca, err);
	if ((r = dir_open(&dir, path, false, err)) == 0 && (r = read_folder(k, dir, ca, err)) < 0)
		hw_err_prefix(err, "%s", path);
	fd_close(dir);
	if (r == 0 && k->n + k->n_remarks == before)
		r = hw_err_set(err, HW_EVALIDATION, "%s holds no file of a witness", path);
	return r;
}
