#include "audit/ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger_file.h"
#include "proto/base/arena.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"

#define SALT_LEN 16

/* --- appending -------------------------------------------------------------------------------- */

struct ledger {
	struct journal *journal;
	const struct hw_clock *clock;
	char *relay;
};

struct ledger *
ledger_new(struct journal *j, const char *relay, const struct hw_clock *clock)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l == NULL || (l->relay = strdup(relay)) == NULL) {
		free(l);
		return NULL;
	}
	l->journal = j;
	l->clock = clock;
	return l;
}

void
ledger_free(struct ledger *l)
{
	if (l == NULL)
		return;
	free(l->relay);
	free(l);
}

struct pending {
	const struct ledger *ledger;
	struct msg_ledger_entry entry;
};

/* Under the journal's lock: sequence and time have one order. */
static int
encode_entry(void *arg, uint64_t sequence, struct buf *out)
{
	struct pending *p = arg;

	p->entry.sequence = (int64_t)sequence;
	p->entry.time = clock_wall(p->ledger->clock);
	return msg_encode(out, MSG_ROW(ledger_entry), &p->entry, NULL);
}

int
ledger_append(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry,
	jpos *end)
{
	struct pending p = {.ledger = l, .entry = *entry};
	uint8_t salt[SALT_LEN];

	random_bytes(salt, sizeof(salt));
	p.entry.relay = l->relay;
	p.entry.kind = entry_kind_name(kind);
	p.entry.salt = (struct msg_bin){salt, sizeof(salt)};
	return journal_append_ledger(l->journal, encode_entry, &p, end);
}

int
ledger_commit(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry)
{
	jpos end;

	int r = ledger_append(l, kind, entry, &end);
	return r < 0 ? r : journal_wait(l->journal, end);
}

void
ledger_leaf(uint8_t out[SHA256_LEN], const void *bytes, size_t n)
{
	struct buf b;

	buf_init(&b, n + 1);
	buf_append_byte(&b, 0);
	buf_append(&b, bytes, n);
	hw_assert(!b.failed);
	sha256(out, buf_data(&b), b.len);
	buf_fini(&b);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* How often files and journal are looked through for an entry that moves from one to the other. */
#define TRIES 3

struct ledger_reader {
	char *ledger_dir, *journal_dir;
	struct secret_key master;
	struct ledger_files *files;
	struct journal_reader *journal;
	bool begun;    /* `next` is known */
	uint64_t next; /* the sequence number that is due */
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

/* 1 and the bytes of entry r->next out of the files; 0 when they don't have it. */
static int
from_files(struct ledger_reader *r, const uint8_t **p, size_t *n, struct hw_err *err)
{
	int code;

	if (r->files == NULL) {
		code = ledger_files_open(&r->files, r->ledger_dir, &r->master, err);
		if (code < 0)
			return unless_missing(code);
		begin_at(r, ledger_files_next(r->files));
	}
	while (ledger_files_next(r->files) <= r->next) {
		bool due = ledger_files_next(r->files) == r->next;
		if ((code = ledger_files_read(r->files, p, n, err)) <= 0)
			return code;
		if (due)
			return 1;
	}
	return 0;
}

/* The same out of the journal. *gap: it has later ones, but not that. */
static int
from_journal(struct ledger_reader *r, bool *gap, const uint8_t **p, size_t *n, struct hw_err *err)
{
	struct journal_record rec;
	jpos end;
	int code;

	*gap = false;
	if (r->journal == NULL) {
		code = journal_reader_open(&r->journal, r->journal_dir, &r->master, 0, err);
		if (code < 0)
			return unless_missing(code);
		begin_at(r, journal_reader_ledger_first(r->journal));
	}
	while ((code = journal_reader_next(r->journal, &rec, &end, err)) == 1) {
		if (rec.type != JOURNAL_LEDGER || rec.offset < r->next)
			continue;
		if (rec.offset > r->next)
			break;
		*p = rec.bytes;
		*n = rec.len;
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
find_next(struct ledger_reader *r, const uint8_t **p, size_t *n, struct hw_err *err)
{
	bool gap;

	for (int i = 0; i < TRIES; i++) {
		/* Once the journal has it in order, the files are not needed. */
		int code = r->journal == NULL ? from_files(r, p, n, err) : 0;
		if (code == 0)
			code = from_journal(r, &gap, p, n, err);
		if (code != 0 || !gap)
			return code;
	}
	return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " is missing", r->next);
}

int
ledger_reader_next(struct ledger_reader *r, struct arena *a, struct msg_ledger_entry **entry,
	struct msg_bin *bytes, struct hw_err *err)
{
	const uint8_t *p = NULL;
	size_t n = 0;
	void *msg;

	int code = find_next(r, &p, &n, err);
	if (code <= 0)
		return code;
	if (msg_decode(&msg, a, MSG_ROW(ledger_entry), p, n, err) < 0) {
		hw_err_prefix(err, "ledger entry %" PRIu64, r->next);
		return HW_ECORRUPT;
	}
	struct msg_ledger_entry *got = msg;
	if (got->sequence != (int64_t)r->next)
		return hw_err_set(err, HW_ECORRUPT,
			"ledger entry %" PRIu64 " says that it is %" PRId64, r->next,
			got->sequence);
	const uint8_t *copy = arena_dup(a, p, n);
	if (copy == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a ledger entry");
	*bytes = (struct msg_bin){copy, n};
	*entry = got;
	r->next++;
	return 1;
}

int
ledger_reader_open(struct ledger_reader **ret, const char *ledger_dir, const char *journal_dir,
	const struct secret_key *master, struct hw_err *err)
{
	struct ledger_reader *r = calloc(1, sizeof(*r));

	if (r == NULL || (r->ledger_dir = strdup(ledger_dir)) == NULL ||
		(r->journal_dir = strdup(journal_dir)) == NULL) {
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
