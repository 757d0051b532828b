#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/journal_segment.h"
#include "proto/base/file.h"

struct journal_reader {
	int dir;
	struct secret_key wrap;
	struct segment *segment;
	jpos from; /* records before it are passed over */
};

/* Opens the segment that begins at `first`. */
static int
enter(struct journal_reader *r, jpos first, struct hw_err *err)
{
	char name[SEGMENT_NAME_LEN + 1];
	struct segment *s;

	segment_name(name, first);
	int code = segment_open(&s, r->dir, name, &r->wrap, err);
	if (code < 0)
		return code;
	if (segment_head(s)->first != first) {
		segment_close(s);
		return hw_err_set(err, HW_ECORRUPT, "%s: another segment's head", name);
	}
	segment_close(r->segment);
	r->segment = s;
	return 0;
}

/* The first position of the segment that holds pos, else of the oldest. */
static int
find(jpos *first, const struct journal_reader *r, jpos pos, struct hw_err *err)
{
	jpos *list;
	size_t n;

	int code = segment_list(&list, &n, r->dir, err);
	if (code < 0)
		return code;
	if (n == 0)
		code = hw_err_set(err, HW_ENOTFOUND, "there is no journal");
	else
		*first = list[0];
	for (size_t i = 1; i < n && list[i] <= pos; i++)
		*first = list[i];
	free(list);
	return code;
}

int
journal_reader_open_ledger(struct journal_reader **ret, const char *dir,
	const struct secret_key *master, uint64_t sequence, struct hw_err *err)
{
	struct journal_reader *r;
	jpos *list, last;
	size_t n;

	int code = journal_reader_open(&r, dir, master, 0, err);
	if (code < 0)
		return code;
	if ((code = segment_list(&list, &n, r->dir, err)) < 0) {
		journal_reader_close(r);
		return code;
	}
	last = segment_head(r->segment)->first;
	/* Ascending: the first that begins after it is one too far. */
	for (size_t i = 0; i < n && code == 0; i++) {
		if (list[i] <= last)
			continue;
		if ((code = enter(r, list[i], err)) == 0 &&
			segment_head(r->segment)->ledger_first > sequence)
			break;
		if (code == 0)
			last = list[i];
	}
	if (code == 0)
		code = enter(r, last, err);
	free(list);
	if (code < 0)
		journal_reader_close(r);
	else
		*ret = r;
	return code;
}

int
journal_reader_open(struct journal_reader **ret, const char *dir, const struct secret_key *master,
	jpos pos, struct hw_err *err)
{
	jpos first = 0;
	int code;

	struct journal_reader *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to read the journal");
	r->dir = -1;
	r->from = pos;
	secret_key_derive(&r->wrap, master, "hawser journal");
	/* Again when the oldest segment was dropped between finding and opening it. */
	if ((code = dir_open(&r->dir, dir, false, err)) == 0) {
		for (int tries = 0; tries < 3; tries++)
			if ((code = find(&first, r, pos, err)) < 0 ||
				(code = enter(r, first, err)) != HW_ENOTFOUND)
				break;
	}
	if (code < 0)
		journal_reader_close(r);
	else
		*ret = r;
	return code;
}

/* Whether segments exist that begin after pos. */
static int
has_later(const struct journal_reader *r, jpos pos, struct hw_err *err)
{
	jpos *list;
	size_t n;

	int code = segment_list(&list, &n, r->dir, err);
	if (code < 0)
		return code;
	code = n > 0 && list[n - 1] > pos;
	free(list);
	return code;
}

static bool
is_unlinked(const struct journal_reader *r)
{
	struct stat st;

	return fstat(segment_fd(r->segment), &st) == 0 && st.st_nlink == 0;
}

/* At the end of what the segment's file has: 1 when there is more to read in another or, by now, in
 * the same one. */
static int
go_on(struct journal_reader *r, bool torn, bool again, struct hw_err *err)
{
	jpos at = segment_at(r->segment);
	int code;

	/* An empty segment is replaced by one of the same name when the journal is opened again. */
	if (!torn && (at > segment_head(r->segment)->first || is_unlinked(r))) {
		if ((code = enter(r, at, err)) == 0)
			return 1;
		if (code != HW_ENOTFOUND)
			return code;
	}
	if ((code = has_later(r, at, err)) <= 0)
		return code;
	if (is_unlinked(r))
		return hw_err_set(err, HW_ENOTFOUND, "the journal from %" PRIu64 " on was dropped",
			at);
	/* The rest may have come between reading and looking. */
	if (!again)
		return 1;
	return hw_err_set(err, HW_ECORRUPT,
		"the journal has no record at %" PRIu64 ", but later segments", at);
}

int
journal_reader_next(struct journal_reader *r, struct journal_record *ret, jpos *end,
	struct hw_err *err)
{
	jpos stuck = 0;
	bool again = false;

	for (;;) {
		int code = segment_next(r->segment, ret, err);
		if (code < 0)
			return code;
		if (code == SEGMENT_RECORD) {
			jpos at = segment_at(r->segment);
			if (at - FRAME_LEN(ret->len) < r->from)
				continue;
			*end = at;
			return 1;
		}
		again = again && segment_at(r->segment) == stuck;
		stuck = segment_at(r->segment);
		if ((code = go_on(r, code == SEGMENT_TORN, again, err)) <= 0)
			return code;
		again = true;
	}
}

jpos
journal_reader_segment(const struct journal_reader *r)
{
	return segment_head(r->segment)->first;
}

uint64_t
journal_reader_ledger_first(const struct journal_reader *r)
{
	return segment_head(r->segment)->ledger_first;
}

void
journal_reader_close(struct journal_reader *r)
{
	if (r == NULL)
		return;
	segment_close(r->segment);
	fd_close(r->dir);
	secret_key_wipe(&r->wrap);
	free(r);
}
