#include "audit/ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger_file.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"

/* How often files and journal are looked through for an entry that moves from one to the other. */
#define TRIES 3

#define REASON_MAX 500

struct ledger_reader {
	char *ledger_dir, *journal_dir;
	struct secret_key master;
	struct ledger_files *files;
	struct journal_reader *journal;
	bool begun;    /* `next` is known */
	uint64_t next; /* the sequence number that is due */
	uint8_t leaf[MERKLE_LEN];
};

/* HW_ENOTFOUND is an end, not a failure. */
static int
unless_missing(int r)
{
	return r == HW_ENOTFOUND ? 0 : r;
}

static int
begin_at(struct ledger_reader *r, uint64_t next)
{
	if (!r->begun)
		r->next = next;
	r->begun = true;
	return 0;
}

/* 1 and entry r->next out of the files; 0 when they don't have it. */
static int
from_files(struct ledger_reader *r, struct ledger_stored *ret, struct hw_err *err)
{
	int code;

	if (r->ledger_dir == NULL)
		return 0;
	if (r->files == NULL) {
		code = ledger_files_open(&r->files, r->ledger_dir, &r->master,
			r->begun ? r->next : 0, err);
		if (code < 0)
			return unless_missing(code);
		begin_at(r, ledger_files_next(r->files));
	}
	while (ledger_files_next(r->files) <= r->next) {
		bool due = ledger_files_next(r->files) == r->next;
		if ((code = ledger_files_read(r->files, ret, err)) <= 0)
			return code;
		if (due)
			return 1;
	}
	return 0;
}

/* The same out of the journal. *gap: it has later ones, but not that. */
static int
from_journal(struct ledger_reader *r, bool *gap, struct ledger_stored *ret, struct hw_err *err)
{
	struct journal_record rec;
	jpos end;
	int code;

	*gap = false;
	if (r->journal_dir == NULL)
		return 0;
	if (r->journal == NULL) {
		code = journal_reader_open_ledger(&r->journal, r->journal_dir, &r->master,
			r->begun ? r->next : 0, err);
		if (code < 0)
			return unless_missing(code);
		begin_at(r, journal_reader_ledger_first(r->journal));
	}
	while ((code = journal_reader_next(r->journal, &rec, &end, err)) == 1) {
		if (rec.type != JOURNAL_LEDGER || rec.offset < r->next)
			continue;
		if (rec.offset > r->next)
			break;
		*ret = (struct ledger_stored){.bytes = rec.bytes, .n = rec.len};
		merkle_leaf(ret->leaf, rec.bytes, rec.len);
		return 1;
	}
	*gap = code == 1 || code == HW_ENOTFOUND;
	if (code != 0) {
		journal_reader_close(r->journal);
		r->journal = NULL;
	}
	return *gap ? 0 : code;
}

static int
find_next(struct ledger_reader *r, struct ledger_stored *ret, struct hw_err *err)
{
	bool gap;

	for (int i = 0; i < TRIES; i++) {
		/* Once the journal has it in order, the files are not needed. */
		int code = r->journal == NULL ? from_files(r, ret, err) : 0;
		if (code == 0)
			code = from_journal(r, &gap, ret, err);
		if (code != 0 || !gap)
			return code;
	}
	return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " is missing", r->next);
}

int
ledger_erased(struct msg_ledger_entry **ret, struct arena *a, uint64_t sequence, struct hw_err *err)
{
	static const uint8_t no_salt[16];
	struct msg_ledger_entry *e = arena_alloc(a, sizeof(*e));

	if (e == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a ledger entry");
	*e = (struct msg_ledger_entry){
		.relay = "-",
		.sequence = (int64_t)sequence,
		.salt = {no_salt, sizeof(no_salt)},
		.kind = LEDGER_KIND_ERASED,
	};
	*ret = e;
	return 0;
}

int
ledger_damaged(struct msg_ledger_entry **ret, struct arena *a, uint64_t sequence, int64_t time,
	const char *why, struct hw_err *err)
{
	int r = ledger_erased(ret, a, sequence, err);

	if (r < 0)
		return r;
	(*ret)->kind = LEDGER_KIND_DAMAGED;
	(*ret)->time = time;
	(*ret)->reason = arena_strndup(a, why, strnlen(why, REASON_MAX));
	return (*ret)->reason != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "no memory for a reason");
}

static int
decode_entry(struct msg_ledger_entry **ret, struct arena *a, const struct ledger_stored *stored,
	uint64_t sequence, struct hw_err *err)
{
	void *msg;

	if (msg_decode(&msg, a, MSG_ROW(ledger_entry), stored->bytes, stored->n, err) < 0) {
		hw_err_prefix(err, "ledger entry %" PRIu64, sequence);
		return HW_ECORRUPT;
	}
	struct msg_ledger_entry *got = msg;
	if (got->sequence != (int64_t)sequence)
		return hw_err_set(err, HW_ECORRUPT,
			"ledger entry %" PRIu64 " says that it is %" PRId64, sequence,
			got->sequence);
	*ret = got;
	return 0;
}

int
ledger_reader_next(struct ledger_reader *r, struct arena *a, struct msg_ledger_entry **entry,
	struct msg_bin *bytes, struct hw_err *err)
{
	struct ledger_stored stored = {.n = 0};

	int code = find_next(r, &stored, err);
	if (code <= 0)
		return code;
	code = stored.erased ? ledger_erased(entry, a, r->next, err)
			     : decode_entry(entry, a, &stored, r->next, err);
	if (code < 0)
		return code;
	const uint8_t *copy =
		arena_dup(a, stored.n > 0 ? stored.bytes : (const uint8_t *)"", stored.n);
	if (copy == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a ledger entry");
	*bytes = (struct msg_bin){copy, stored.n};
	memcpy(r->leaf, stored.leaf, MERKLE_LEN);
	r->next++;
	return 1;
}

/* The first that the journal has behind entry r->next. */
static int
next_in_journal(struct ledger_reader *r, uint64_t *behind, struct hw_err *err)
{
	struct journal_record rec;
	jpos end;

	if (r->journal_dir == NULL)
		return HW_ENOTFOUND;
	journal_reader_close(r->journal);
	r->journal = NULL;
	int code = journal_reader_open_ledger(&r->journal, r->journal_dir, &r->master, r->next + 1,
		err);
	while (code >= 0 && (code = journal_reader_next(r->journal, &rec, &end, err)) == 1)
		if (rec.type == JOURNAL_LEDGER && rec.offset > r->next)
			break;
	if (code == 1)
		*behind = rec.offset;
	journal_reader_close(r->journal);
	r->journal = NULL;
	return code == 0 ? HW_ENOTFOUND : code;
}

/* The same of the files, which stand at the damage. */
static int
next_in_files(struct ledger_reader *r, uint64_t *behind, struct hw_err *err)
{
	if (r->ledger_dir == NULL)
		return HW_ENOTFOUND;
	int code = r->files != NULL
		? 0
		: ledger_files_open(&r->files, r->ledger_dir, &r->master, r->next, err);

	if (code < 0)
		return code;
	while (ledger_files_next(r->files) <= r->next)
		if ((code = ledger_files_pass(r->files, err)) < 0)
			return code;
	*behind = ledger_files_next(r->files);
	return 0;
}

int
ledger_reader_pass(struct ledger_reader *r, uint64_t *behind, struct hw_err *err)
{
	uint64_t filed = 0, kept = 0;
	int in_files = next_in_files(r, &filed, err);
	int in_journal = next_in_journal(r, &kept, err);

	if (in_files < 0 && in_journal < 0)
		return hw_err_set(err, HW_ENOTFOUND,
			"nothing can be read behind ledger entry %" PRIu64, r->next);
	*behind = in_journal < 0 || (in_files >= 0 && filed < kept) ? filed : kept;
	r->next = *behind;
	return 0;
}

const uint8_t *
ledger_reader_leaf(const struct ledger_reader *r)
{
	return r->leaf;
}

void
ledger_reader_seek(struct ledger_reader *r, uint64_t sequence)
{
	begin_at(r, sequence);
}

int
ledger_reader_open(struct ledger_reader **ret, const char *ledger_dir, const char *journal_dir,
	const struct secret_key *master, struct hw_err *err)
{
	struct ledger_reader *r = calloc(1, sizeof(*r));

	if (r == NULL || (ledger_dir != NULL && (r->ledger_dir = strdup(ledger_dir)) == NULL) ||
		(journal_dir != NULL && (r->journal_dir = strdup(journal_dir)) == NULL)) {
		ledger_reader_close(r);
		return hw_err_set(err, HW_ENOMEM, "no memory to read the ledger");
	}
	r->master = *master;
	*ret = r;
	return 0;
}

void
ledger_reader_close(struct ledger_reader *r)
{
	if (r == NULL)
		return;
	ledger_files_close(r->files);
	journal_reader_close(r->journal);
	secret_key_wipe(&r->master);
	free(r->ledger_dir);
	free(r->journal_dir);
	free(r);
}
