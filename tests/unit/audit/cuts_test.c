/*
 * Power cuts at any point of any history. A relay's audit side does what it does, at random:
 * entries, sessions, recordings, heads, erasures, deletions, other keys, restarts. The disk is cut,
 * the next life takes up what was left, and whatever somebody was told is on disk must be there;
 * all of it must verify; and it goes on, to the next cut, which may come while it is still taking
 * up. HAWSER_CUTS says how many (60), HAWSER_SEED from where; `./dev cuts` does ten thousand.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/journal_segment.h"
#include "audit/ledger_file.h"
#include "audit/rewrap.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"
#include "tests/unit/audit/disk.h"
#include "tests/unit/audit/vault.h"

TestSuite(cuts, .timeout = 86400);

#define ENTRIES	     4096
#define SESSIONS     512
#define TOLD	     8192
#define CUTS_OF_LIFE 24	     /* then a new directory begins */
#define ONE_LIFE     1000000 /* a seed from here on is that of a life, as a failure names it */

struct session {
	char id[24];
	uint64_t number, out; /* bytes of output that were appended */
	uint64_t told_out;    /* and of which it is known that they are on disk */
	bool told, ended, told_end, sealed, deleting, told_deleted;
};

/* Something that is on disk for certain, once the journal is synced up to `end`. */
struct promise {
	jpos end;
	enum { ENTRY, START, OUTPUT, END } what;
	uint64_t which, value;
};

/* What somebody was told, and after how many operations of the disk. */
struct told {
	size_t op;
	enum { TOLD_PROMISE, TOLD_HEAD, TOLD_ERASED, TOLD_DELETED, TOLD_EPOCH } what;
	struct promise promise;
	struct log_head head;
	uint64_t which;
};

struct life {
	struct vault v;
	uint64_t seed, number;
	bool is_open;
	/* what holds for certain */
	uint64_t entries, epoch;
	struct log_head head;
	bool erased[ENTRIES];
	struct session sessions[SESSIONS];
	size_t n_sessions;
	/* what was said in each entry, 0: another kind */
	uint64_t said[ENTRIES], next_said;
	/* of the part that is under way */
	struct promise promises[TOLD];
	size_t n_promises;
	struct told told[TOLD];
	size_t n_told;
	struct secret_key old_master; /* while another one is put in place */
	size_t master_from, master_to;
	bool has_old, had_old; /* since before this part */
};

static uint64_t
below(struct life *l, uint64_t n)
{
	return disk_random(&l->seed, n);
}

/* --- telling ---------------------------------------------------------------------------------- */

static struct told *
tell(struct life *l)
{
	hw_assert(l->n_told < TOLD);
	struct told *t = &l->told[l->n_told++];
	t->op = disk_ops();
	return t;
}

static void
promise(struct life *l, jpos end, int what, uint64_t which, uint64_t value)
{
	hw_assert(l->n_promises < TOLD);
	l->promises[l->n_promises++] = (struct promise){
		.end = end, .what = (unsigned)what, .which = which, .value = value};
}

/* What the journal says to be on disk, and the newest head. */
static void
look(struct life *l)
{
	size_t kept = 0;

	if (!l->is_open)
		return;
	jpos synced = journal_synced(l->v.journal);
	for (size_t i = 0; i < l->n_promises; i++)
		if (l->promises[i].end <= synced) {
			struct told *t = tell(l);
			t->what = TOLD_PROMISE;
			t->promise = l->promises[i];
		} else {
			l->promises[kept++] = l->promises[i];
		}
	l->n_promises = kept;
	struct log_head head = vault_head(&l->v);
	struct told *t = tell(l);
	t->what = TOLD_HEAD;
	t->head = head;
}

/* What was told before the cut holds. */
static void
hold(struct life *l, size_t cut)
{
	for (size_t i = 0; i < l->n_told && l->told[i].op <= cut; i++) {
		const struct told *t = &l->told[i];
		const struct promise *p = &t->promise;
		struct session *s = &l->sessions[p->which % SESSIONS];
		if (t->what == TOLD_HEAD && t->head.size > 0)
			l->head = t->head;
		else if (t->what == TOLD_ERASED)
			l->erased[t->which] = true;
		else if (t->what == TOLD_DELETED)
			l->sessions[t->which].told_deleted = true;
		else if (t->what == TOLD_EPOCH)
			l->epoch = t->which;
		else if (t->what == TOLD_PROMISE && p->what == ENTRY && p->which >= l->entries)
			l->entries = p->which + 1;
		else if (t->what == TOLD_PROMISE && p->what == START)
			s->told = true;
		else if (t->what == TOLD_PROMISE && p->what == OUTPUT && p->value > s->told_out)
			s->told_out = p->value;
		else if (t->what == TOLD_PROMISE && p->what == END)
			s->told_end = true;
	}
	l->n_told = l->n_promises = 0;
}

/* --- acting ----------------------------------------------------------------------------------- */

static void
entry(struct life *l, bool commit)
{
	char text[32];
	const struct msg_ledger_entry e = {.principal = "somebody", .detail = text};
	uint64_t number = journal_ledger_next(l->v.journal);
	jpos end = 0;

	hw_assert(number < ENTRIES);
	snprintf(text, sizeof(text), "%" PRIu64, ++l->next_said);
	l->said[number] = l->next_said;
	cr_assert(eq(int, ledger_append(l->v.ledger, ENTRY_ALARM, &e, &end), 0));
	promise(l, end, ENTRY, number, 0);
	if (commit)
		cr_assert(eq(int, journal_wait(l->v.journal, end), 0));
}

static jpos
append(struct life *l, uint64_t session, enum journal_type type, uint64_t offset, const void *p,
	size_t n)
{
	const struct journal_record r = {.type = type,
		.session = session,
		.stream = type == JOURNAL_DATA ? 1 : 0,
		.offset = offset,
		.time = clock_wall(&l->v.s.clock.clock),
		.bytes = p,
		.len = n};
	jpos end;

	cr_assert(eq(int, journal_append(l->v.journal, &r, &end), 0));
	return end;
}

static uint8_t
output_byte(const struct session *s, uint64_t at)
{
	uint64_t x = (s->number * 0x9e3779b97f4a7c15) ^ (at * 0xbf58476d1ce4e5b9);

	return (uint8_t)((x ^ x >> 29) * 0x94d049bb133111eb >> 40);
}

static void
output(struct life *l, struct session *s)
{
	uint8_t bytes[3000];
	size_t n = 1 + below(l, below(l, 4) == 0 ? sizeof(bytes) : 200);

	for (size_t i = 0; i < n; i++)
		bytes[i] = output_byte(s, s->out + i);
	jpos end = append(l, s->number, JOURNAL_DATA, s->out, bytes, n);
	s->out += n;
	promise(l, end, OUTPUT, (uint64_t)(s - l->sessions), s->out);
}

static void
start(struct life *l)
{
	if (l->n_sessions == SESSIONS)
		return;
	struct session *s = &l->sessions[l->n_sessions];
	const struct msg_recording_meta meta = {.session_id = s->id,
		.type = CHANNEL_TYPE_PTY,
		.target = "mi-1",
		.start = clock_wall(&l->v.s.clock.clock),
		.cols = 80,
		.rows = 24};
	struct buf b;

	*s = (struct session){.number = 1000 + l->n_sessions};
	snprintf(s->id, sizeof(s->id), "ann-%zu", l->n_sessions);
	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(recording_meta), &meta, NULL), 0));
	jpos end = append(l, s->number, JOURNAL_SESSION_START, 0, buf_data(&b), b.len);
	promise(l, end, START, l->n_sessions++, 0);
	buf_fini(&b);
	output(l, s);
}

static void
finish(struct life *l, struct session *s)
{
	const struct msg_close close = {.code = "", .message = "done"};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(close), &close, NULL), 0));
	jpos end = append(l, s->number, JOURNAL_SESSION_END, 0, buf_data(&b), b.len);
	promise(l, end, END, (uint64_t)(s - l->sessions), 0);
	buf_fini(&b);
	s->ended = true;
}

static struct session *
any_live(struct life *l)
{
	for (size_t i = 0, at = below(l, l->n_sessions); i < l->n_sessions; i++) {
		struct session *s = &l->sessions[(at + i) % l->n_sessions];
		if (!s->ended)
			return s;
	}
	return NULL;
}

static void
close_vault(struct life *l)
{
	vault_drop(&l->v); /* syncs the journal */
	l->is_open = false;
	for (size_t i = 0; i < l->n_promises; i++) {
		struct told *t = tell(l);
		t->what = TOLD_PROMISE;
		t->promise = l->promises[i];
	}
	l->n_promises = 0;
}

static void
open_vault(struct life *l)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, vault_try_open(&l->v, &err), 0), "seed %" PRIu64 ": the next life: %s",
		l->number, hw_err_text(&err));
	l->is_open = true;
}

/* An entry says it, a head covers it, and then it is done, as relay/core/keeping.c has it. */
static bool
say_first(struct life *l, enum entry_kind kind, const struct msg_ledger_entry *e)
{
	uint64_t number = journal_ledger_next(l->v.journal);

	l->said[number] = 0;
	return ledger_commit(l->v.ledger, kind, e) == 0 && ledger_heads_make(l->v.heads, NULL) == 0;
}

static void
erase(struct life *l)
{
	const struct log_head head = vault_head(&l->v);
	uint64_t number = below(l, head.filed);
	const struct msg_ledger_entry e = {.reason = "test", .size = (int64_t)number};

	if (head.filed == 0 || l->said[number] == 0 || l->erased[number])
		return;
	if (!say_first(l, ENTRY_ENTRY_ERASED, &e))
		return;
	cr_assert(eq(int, ledger_files_erase(l->v.s.ledger, number, &l->v.s.master, NULL), 0));
	struct told *t = tell(l);
	t->what = TOLD_ERASED;
	t->which = number;
	l->said[number] = UINT64_MAX; /* there, or erased */
}

static void
delete_recording(struct life *l)
{
	struct session *s = &l->sessions[below(l, l->n_sessions)];
	const struct msg_ledger_entry e = {.session_id = s->id, .reason = "age"};
	char name[64];

	snprintf(name, sizeof(name), "recordings/%s.rec", s->id);
	if (l->n_sessions == 0 || s->deleting || faccessat(l->v.dir, name, F_OK, 0) < 0)
		return;
	s->deleting = true;
	if (!say_first(l, ENTRY_RECORDING_DELETED, &e))
		return;
	int dir = openat(l->v.dir, "recordings", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(name, sizeof(name), "%s.rec", s->id);
	cr_assert(unlinkat(dir, name, 0) == 0 && fsync(dir) == 0);
	close(dir);
	struct told *t = tell(l);
	t->what = TOLD_DELETED;
	t->which = (uint64_t)(s - l->sessions);
}

static void
rotate_ledger_key(struct life *l)
{
	(void)archiver_settle(l->v.archiver, NULL);
	(void)ledger_heads_make(l->v.heads, NULL);
	look(l);
	close_vault(l);
	vault_rotate(&l->v);
	open_vault(l);
	struct told *t = tell(l);
	t->what = TOLD_EPOCH;
	t->which = ledger_heads_epochs(l->v.heads)->n;
}

static int
rewrap(struct life *l)
{
	const struct rewrap_dirs dirs = {.journal = l->v.s.journal,
		.recordings = l->v.s.recordings,
		.ledger = l->v.s.ledger};

	return rewrap_all(&dirs, &l->old_master, &l->v.s.master, NULL);
}

/* Which of the two is the master key is in a file of its own; here it is known. */
static void
rotate_master(struct life *l)
{
	if (l->has_old)
		return;
	close_vault(l);
	l->old_master = l->v.s.master;
	l->has_old = true;
	l->master_from = disk_ops();
	secret_key_random(&l->v.s.master);
	cr_assert(eq(int, rewrap(l), 0));
	l->master_to = disk_ops();
	open_vault(l);
}

static void
act(struct life *l)
{
	struct session *s = any_live(l);
	struct hw_err err = HW_ERR_INIT;

	switch (below(l, 34)) {
	case 0 ... 4:
		entry(l, false);
		break;
	case 5 ... 7:
		entry(l, true);
		break;
	case 8 ... 9:
		start(l);
		break;
	case 10 ... 14:
		if (s != NULL)
			output(l, s);
		break;
	case 15 ... 16:
		if (s != NULL)
			finish(l, s);
		break;
	case 17 ... 18:
		cr_assert(eq(int, journal_write(l->v.journal), 0));
		break;
	case 19 ... 20:
		journal_sync(l->v.journal);
		break;
	case 21 ... 24:
		cr_assert(eq(int, archiver_run(l->v.archiver, &err), 0), "%s", hw_err_text(&err));
		break;
	case 25 ... 26:
		cr_assert(eq(int, ledger_heads_make(l->v.heads, &err), 0), "%s", hw_err_text(&err));
		break;
	case 27:
		fake_clock_advance(&l->v.s.clock, 61 * USEC_PER_SEC);
		break;
	case 28:
		fake_clock_advance(&l->v.s.clock, 2 * USEC_PER_SEC);
		break;
	case 29:
		erase(l);
		break;
	case 30:
		delete_recording(l);
		break;
	case 31:
		rotate_ledger_key(l);
		break;
	case 32:
		rotate_master(l);
		break;
	default:
		close_vault(l);
		open_vault(l);
	}
}

/* --- looking ---------------------------------------------------------------------------------- */

/* Every entry that is there is the one that was written; those that were told are there. */
static void
check_entries(struct life *l)
{
	struct arena *arena = arena_new(64 * 1024 * 1024);
	struct ledger_reader *reader;
	struct msg_ledger_entry *e;
	struct msg_bin bytes;
	uint64_t n = 0;
	int r;

	hw_assert(arena != NULL);
	cr_assert(eq(int,
		ledger_reader_open(&reader, l->v.s.ledger, l->v.s.journal, &l->v.s.master, NULL),
		0));
	while ((r = ledger_reader_next(reader, arena, &e, &bytes, NULL)) == 1) {
		bool gone = strcmp(e->kind, LEDGER_KIND_ERASED) == 0;
		cr_assert(e->sequence == (int64_t)n, "seed %" PRIu64 ": entry %" PRIu64, l->number,
			n);
		cr_assert(gone || l->erased[n] == false,
			"seed %" PRIu64 ": entry %" PRIu64 " is back", l->number, n);
		if (strcmp(e->kind, entry_kind_name(ENTRY_ALARM)) != 0 && !gone)
			cr_assert(l->said[n] == 0 || n >= l->entries,
				"seed %" PRIu64 ": entry %" PRIu64 " is another", l->number, n);
		else if (!gone && l->said[n] != UINT64_MAX)
			cr_assert(strtoull(e->detail, NULL, 10) == l->said[n],
				"seed %" PRIu64 ": entry %" PRIu64 " is another", l->number, n);
		n++;
	}
	cr_assert(r == 0 && n >= l->entries,
		"seed %" PRIu64 ": %" PRIu64 " entries of %" PRIu64 " that were on disk", l->number,
		n, l->entries);
	ledger_reader_close(reader);
	arena_free(arena);
	l->entries = n;
	memset(l->said + n, 0, (ENTRIES - n) * sizeof(*l->said)); /* those are others' now */
}

static uint64_t
check_output(struct life *l, const struct session *s, struct recording *rec)
{
	const uint8_t *p;
	uint64_t out = 0;
	size_t n, used;
	int r;

	while ((r = recording_next(rec, &p, &n, NULL)) == 1)
		for (; n > 0; p += used, n -= used) {
			struct event ev;
			cr_assert(eq(int, event_decode(&ev, p, n, &used), 0));
			if (ev.type != EVENT_DATA || ev.stream != 1)
				continue;
			cr_assert(ev.offset == out,
				"seed %" PRIu64 ": %s: output at %" PRIu64 " where %" PRIu64
				" is due",
				l->number, s->id, ev.offset, out);
			for (size_t i = 0; i < ev.len; i++)
				cr_assert(ev.bytes[i] == output_byte(s, out + i),
					"seed %" PRIu64 ": %s has other output", l->number, s->id);
			out += ev.len;
		}
	cr_assert(r == 0, "seed %" PRIu64 ": %s does not verify", l->number, s->id);
	return out;
}

static void
check_session(struct life *l, struct session *s)
{
	struct recording *rec;
	struct hw_err err = HW_ERR_INIT;

	int r = recording_open(&rec, l->v.s.recordings, s->id, &l->v.s.master, &err);
	if (r < 0) {
		cr_assert(r == HW_ENOTFOUND && (!s->told || s->deleting),
			"seed %" PRIu64 ": the recording of %s: %s", l->number, s->id,
			hw_err_text(&err));
		s->sealed = true;
		return;
	}
	cr_assert(s->told_deleted == false, "seed %" PRIu64 ": %s is back", l->number, s->id);
	uint64_t out = check_output(l, s, rec);
	cr_assert(out >= s->told_out,
		"seed %" PRIu64 ": %s: %" PRIu64 " bytes of %" PRIu64 " that were on disk",
		l->number, s->id, out, s->told_out);
	cr_assert(recording_complete(rec), "seed %" PRIu64 ": %s has no end", l->number, s->id);
	recording_close(rec);
	s->sealed = true;
}

static void
check_verifies(struct life *l)
{
	struct verify_source source = verify_directory(&l->v.dir);
	struct verify_result result;
	struct verify_options o = {.ca = ca_cert(l->v.ca),
		.known = l->head.size > 0 ? &l->head : NULL,
		.known_origin = VAULT_ORIGIN};
	struct hw_err err = HW_ERR_INIT;

	for (int with = 0; with < 2; with++) {
		o.master = with ? &l->v.s.master : NULL;
		int r = verify_run(&result, &source, &o, &err);
		cr_assert(r == 0, "seed %" PRIu64 ": %s", l->number, hw_err_text(&err));
		const struct verify_finding *f =
			result.n_findings > 0 ? result.findings : result.doubts;
		cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT),
			"seed %" PRIu64 ": %s, byte %" PRId64 ", entry %" PRId64 ": %s", l->number,
			f->file, (int64_t)f->from, (int64_t)f->entry, f->what);
	}
}

/* Whoever verifies what a cut left, before a relay takes it up, sees that it is not whole; that it
 * was changed is not said. */
static void
check_left(struct life *l)
{
	struct verify_source source = verify_directory(&l->v.dir);
	struct verify_result result;
	struct verify_options o = {.ca = ca_cert(l->v.ca),
		.known = l->head.size > 0 ? &l->head : NULL,
		.known_origin = VAULT_ORIGIN};
	struct hw_err err = HW_ERR_INIT;

	for (int with = 0; with < 2; with++) {
		o.master = with ? &l->v.s.master : NULL;
		int r = verify_run(&result, &source, &o, &err);
		cr_assert(r == 0 || (r == HW_ENOTFOUND && l->head.size == 0),
			"seed %" PRIu64 ": %s", l->number, hw_err_text(&err));
		const struct verify_finding *f = result.findings;
		cr_assert(ne(int, (int)result.verdict, VERIFY_BROKEN),
			"seed %" PRIu64 ": %s, byte %" PRId64 ", entry %" PRId64 ": %s", l->number,
			f->file, (int64_t)f->from, (int64_t)f->entry, f->what);
	}
}

/* The life after a cut: all is there, what was under way is ended, and all of it verifies. */
static void
take_up(struct life *l)
{
	struct hw_err err = HW_ERR_INIT;

	l->had_old = l->has_old;
	if (l->has_old)
		cr_assert(eq(int, rewrap(l), 0));
	l->master_to = disk_ops();
	open_vault(l);
	cr_assert(ge(u64, ledger_heads_epochs(l->v.heads)->n, l->epoch));
	check_entries(l);
	for (size_t i = 0; i < l->n_sessions; i++)
		if (!l->sessions[i].sealed)
			finish(l, &l->sessions[i]);
	journal_sync(l->v.journal);
	cr_assert(eq(int, archiver_settle(l->v.archiver, &err), 0), "seed %" PRIu64 ": %s",
		l->number, hw_err_text(&err));
	cr_assert(eq(int, ledger_heads_make(l->v.heads, &err), 0), "%s", hw_err_text(&err));
	look(l);
	for (size_t i = 0; i < l->n_sessions; i++)
		if (!l->sessions[i].sealed || below(l, 8) == 0)
			check_session(l, &l->sessions[i]);
	check_verifies(l);
}

/* --- lives ------------------------------------------------------------------------------------ */

static void
begin(struct life *l, uint64_t seed)
{
	memset(l, 0, sizeof(*l));
	l->seed = seed * 0x9e3779b97f4a7c15;
	l->number = seed;
	vault_init(&l->v);
	l->v.segment_size = 2048 << below(l, 6);
	l->v.ledger_file_size = 1024 << below(l, 6);
	l->epoch = 1;
}

/* Which key holds after the cut. */
static void
settle_master(struct life *l, size_t at)
{
	if (l->has_old && !l->had_old && at <= l->master_from)
		l->v.s.master = l->old_master;
	else if (at < l->master_to)
		return; /* the next life goes on with it */
	l->has_old = false;
}

static void
cut(struct life *l)
{
	struct session *s;
	size_t n, at;

	disk_begin(l->v.s.dir);
	take_up(l);
	for (uint64_t i = below(l, 60); i > 0; i--) {
		act(l);
		look(l);
	}
	n = disk_ops();
	vault_drop(&l->v); /* what it still writes is beyond the cut */
	l->is_open = false;
	disk_end();
	at = below(l, n + 1);
	hold(l, at);
	disk_cut(at, below(l, UINT64_MAX));
	for (s = l->sessions; s < l->sessions + l->n_sessions; s++)
		s->sealed = s->sealed && s->told_end; /* what became of it is looked at again */
	settle_master(l, at);
	if (!l->has_old)
		check_left(l);
}

/* One life, so many cuts of it. */
static void
live(uint64_t seed, uint64_t cuts)
{
	struct life *l = calloc(1, sizeof(*l));

	hw_assert(l != NULL);
	begin(l, seed);
	for (uint64_t i = 0; i < cuts && l->next_said < ENTRIES / 3; i++)
		cut(l);
	take_up(l);
	vault_close(&l->v);
	vault_fini(&l->v);
	free(l);
}

Test(cuts, what_was_told_is_there_and_all_of_it_verifies)
{
	const char *count = getenv("HAWSER_CUTS"), *from = getenv("HAWSER_SEED");
	uint64_t n = count != NULL ? strtoull(count, NULL, 10) : 60;
	uint64_t seed = from != NULL ? strtoull(from, NULL, 10) : 7;

	for (uint64_t done = 0; done < n; done += CUTS_OF_LIFE)
		live((seed < ONE_LIFE ? seed * ONE_LIFE : seed) + done / CUTS_OF_LIFE,
			n - done < CUTS_OF_LIFE ? n - done : CUTS_OF_LIFE);
	disk_forget();
}
