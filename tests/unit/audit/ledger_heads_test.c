#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/head_file.h"
#include "audit/ledger.h"
#include "audit/ledger_epochs.h"
#include "audit/ledger_file.h"
#include "audit/ledger_heads.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

#include "tests/unit/audit/scratch.h"

#define ORIGIN "hawser/0123456789ab/relay"

static struct scratch s;
static struct ca *ca;
static int dir;

static void
setup(void)
{
	EVP_PKEY *key;

	scratch_init(&s);
	cr_assert(eq(int, dir_open(&dir, s.dir, false, NULL), 0));
	cr_assert(eq(int, ca_create(&ca, dir, 1700000000 * USEC_PER_SEC, NULL), 0));
	cr_assert(eq(int, key_generate_signing(&key, NULL), 0));
	cr_assert(eq(int, key_save(key, dir, "ledger.key", NULL), 0));
	cr_assert(eq(int, ledger_epochs_begin(s.ledger, ORIGIN, key, NULL, ca, 1, NULL), 0));
	key_free(key);
}

static void
teardown(void)
{
	ca_free(ca);
	fd_close(dir);
	scratch_fini(&s);
}

TestSuite(ledger_heads, .init = setup, .fini = teardown, .timeout = 60);

struct side {
	struct journal *journal;
	struct ledger *ledger;
	struct ledger_heads *heads;
};

static const struct journal_io *heads_io; /* NULL: the system's */

static int
try_open(struct side *side, struct hw_err *err)
{
	struct journal_config jc = scratch_journal(&s);
	struct log_epochs epochs = {.n = 0};
	EVP_PKEY *key = NULL;

	*side = (struct side){.journal = NULL};
	cr_assert(eq(int, journal_open(&side->journal, &jc, NULL, err), 0));
	cr_assert(eq(int, ledger_epochs_load(&epochs, s.ledger, ca_cert(ca), err), 0));
	cr_assert(eq(int, key_load(&key, dir, "ledger.key", err), 0));
	const struct ledger_heads_config hc = {
		.ledger_dir = s.ledger,
		.journal_dir = s.journal,
		.journal = side->journal,
		.master = &s.master,
		.clock = &s.clock.clock,
		.epochs = &epochs,
		.key = key,
		.io = heads_io,
	};
	int r = ledger_heads_open(&side->heads, &hc, err);
	if (r < 0) {
		key_free(key);
		log_epochs_fini(&epochs);
		journal_close(side->journal);
		return r;
	}
	side->ledger = ledger_new(side->journal, "relay", &s.clock.clock);
	ledger_set_heads(side->ledger, side->heads);
	return 0;
}

static void
side_open(struct side *side)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, try_open(side, &err), 0), "%s", hw_err_text(&err));
}

static void
side_close(struct side *side)
{
	ledger_free(side->ledger);
	ledger_heads_close(side->heads);
	journal_close(side->journal);
}

static void
append(struct side *side, unsigned n)
{
	const struct msg_ledger_entry e = {.detail = "x"};

	for (unsigned i = 0; i < n; i++)
		cr_assert(eq(int, ledger_append(side->ledger, ENTRY_ALARM, &e, NULL), 0));
}

static struct log_head
make(struct side *side)
{
	struct hw_err err = HW_ERR_INIT;
	struct log_head head;

	cr_assert(eq(int, ledger_heads_make(side->heads, &err), 0), "%s", hw_err_text(&err));
	cr_assert(ledger_heads_latest(side->heads, &head));
	cr_assert(eq(int, log_epochs_allow(ledger_heads_epochs(side->heads), &head, &err), 0), "%s",
		hw_err_text(&err));
	return head;
}

Test(ledger_heads, each_head_extends_the_one_before_and_proves_its_entries)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], leaf[MERKLE_LEN];
	struct side side;
	size_t n;

	side_open(&side);
	append(&side, 5);
	struct log_head a = make(&side);
	append(&side, 8);
	struct log_head b = make(&side);
	cr_assert(eq(u64, a.size, 5));
	cr_assert(eq(u64, b.size, 13));
	cr_assert(eq(int, ledger_heads_consistency(side.heads, 5, 13, proof, &n, NULL), 0));
	cr_assert(merkle_extends(5, a.root, 13, b.root, proof, n));
	for (uint64_t i = 0; i < 13; i++) {
		cr_assert(eq(int, ledger_heads_inclusion(side.heads, i, 13, leaf, proof, &n, NULL),
			0));
		cr_assert(merkle_includes(b.root, 13, i, leaf, proof, n));
	}
	side_close(&side);
}

Test(ledger_heads, no_proof_goes_beyond_what_is_signed)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], leaf[MERKLE_LEN];
	struct hw_err err = HW_ERR_INIT;
	struct side side;
	size_t n;

	side_open(&side);
	append(&side, 3);
	make(&side);
	append(&side, 3);
	cr_assert(eq(int, ledger_heads_inclusion(side.heads, 4, 6, leaf, proof, &n, &err),
		HW_EVALIDATION));
	cr_assert(eq(int, ledger_heads_inclusion(side.heads, 3, 3, leaf, proof, &n, &err),
		HW_EVALIDATION));
	cr_assert(eq(int, ledger_heads_consistency(side.heads, 3, 6, proof, &n, &err),
		HW_EVALIDATION));
	cr_assert(eq(int, ledger_heads_consistency(side.heads, 3, 2, proof, &n, &err),
		HW_EVALIDATION));
	side_close(&side);
}

Test(ledger_heads, a_head_is_made_for_news_and_once_in_ten_minutes)
{
	struct side side;

	side_open(&side);
	append(&side, 1);
	cr_assert(ledger_heads_due(side.heads));
	struct log_head a = make(&side);
	fake_clock_advance(&s.clock, 300 * USEC_PER_SEC);
	cr_assert(not(ledger_heads_due(side.heads)));
	struct log_head b = make(&side);
	cr_assert(eq(i64, a.time, b.time));
	fake_clock_advance(&s.clock, 301 * USEC_PER_SEC);
	cr_assert(ledger_heads_due(side.heads));
	b = make(&side);
	cr_assert(gt(i64, b.time, a.time));
	cr_assert(eq(u64, b.size, 1));
	side_close(&side);
}

Test(ledger_heads, entries_without_a_head_join_at_the_next_start)
{
	struct side side;

	side_open(&side);
	append(&side, 6);
	struct log_head a = make(&side);
	append(&side, 7); /* a crash comes before they are signed */
	side_close(&side);

	side_open(&side);
	struct log_head b = make(&side);
	cr_assert(eq(u64, b.size, 13));
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN];
	size_t n;
	cr_assert(eq(int, ledger_heads_consistency(side.heads, 6, 13, proof, &n, NULL), 0));
	cr_assert(merkle_extends(6, a.root, 13, b.root, proof, n));
	side_close(&side);
}

Test(ledger_heads, an_entry_that_the_journal_refused_leaves_no_leaf)
{
	const struct msg_ledger_entry bad = {.outcome = 99}, good = {.detail = "x"};
	struct side side;

	side_open(&side);
	append(&side, 2);
	cr_assert(lt(int, ledger_append(side.ledger, ENTRY_ALARM, &bad, NULL), 0));
	cr_assert(eq(int, ledger_append(side.ledger, ENTRY_ALARM, &good, NULL), 0));
	struct log_head a = make(&side);
	side_close(&side);
	/* made again from the journal alone, it is the same tree */
	char heads[96];
	snprintf(heads, sizeof(heads), "%s/heads", s.ledger);
	unlink(heads);
	side_open(&side);
	struct log_head b = make(&side);
	cr_assert(eq(u64, a.size, b.size));
	cr_assert(eq(int, memcmp(a.root, b.root, MERKLE_LEN), 0));
	side_close(&side);
}

/* One call fails, with half of its bytes written, and all after it until there is room. */
struct full_disk {
	int at, calls, error;
	bool full;
};

static ssize_t
full_write(void *arg, int fd, const void *p, size_t n)
{
	struct full_disk *d = arg;

	if (++d->calls == d->at) {
		d->full = true;
		return write(fd, p, n / 2);
	}
	if (!d->full)
		return write(fd, p, n);
	errno = d->error;
	return -1;
}

Test(ledger_heads, on_a_full_disk_they_wait_and_go_on)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN];
	char why[LEDGER_HEADS_WHY_MAX];
	struct side side;
	size_t n;

	for (int at = 1; at <= 4; at++) { /* tree and heads, of either head below */
		struct full_disk disk = {.error = ENOSPC};
		const struct journal_io io = {.write = full_write, .arg = &disk};
		struct hw_err err = HW_ERR_INIT;

		heads_io = &io;
		side_open(&side);
		append(&side, 5);
		struct log_head a = make(&side);
		cr_assert(ledger_heads_well(side.heads, why));
		disk.at = disk.calls + at;
		int stalls = 0;
		for (int i = 0; i < 2; i++) {
			append(&side, 4);
			if (ledger_heads_make(side.heads, &err) == 0)
				continue;
			stalls++;
			cr_assert(eq(int, err.code, HW_EFULL));
			cr_assert(not(ledger_heads_well(side.heads, why)));
			cr_assert(ne(ptr, strstr(why, "No space left"), NULL), "%s", why);
			append(&side, 4);
			fake_clock_advance(&s.clock, 3 * USEC_PER_SEC);
			cr_assert(eq(int, ledger_heads_make(side.heads, NULL), HW_EFULL));
			disk.full = false;
			cr_assert(eq(int, ledger_heads_make(side.heads, NULL),
				HW_EFULL)); /* too early */
			fake_clock_advance(&s.clock, 3 * USEC_PER_SEC);
			cr_assert(eq(u64, make(&side).size, journal_ledger_next(side.journal)));
			cr_assert(ledger_heads_well(side.heads, why));
		}
		cr_assert(eq(int, stalls, 1), "at %d", at);
		struct log_head b = make(&side);
		cr_assert(eq(int,
			ledger_heads_consistency(side.heads, a.size, b.size, proof, &n, NULL), 0));
		cr_assert(merkle_extends(a.size, a.root, b.size, b.root, proof, n));
		side_close(&side);
		side_open(&side); /* file and heads fit */
		side_close(&side);
	}
	heads_io = NULL;
}

Test(ledger_heads, a_disk_that_fails_ends_them_and_the_reason_stays)
{
	struct full_disk disk = {.error = EIO};
	const struct journal_io io = {.write = full_write, .arg = &disk};
	struct hw_err err = HW_ERR_INIT;
	char why[LEDGER_HEADS_WHY_MAX];
	struct side side;

	heads_io = &io;
	side_open(&side);
	append(&side, 5);
	make(&side);
	append(&side, 1);
	disk.at = disk.calls + 1;
	cr_assert(eq(int, ledger_heads_make(side.heads, NULL),
		HW_ERECORD)); /* who asked dropped it */
	disk.full = false;
	fake_clock_advance(&s.clock, 3 * USEC_PER_SEC);
	cr_assert(eq(int, ledger_heads_make(side.heads, &err), HW_ERECORD));
	cr_assert(not(ledger_heads_well(side.heads, why)));
	cr_assert(ne(ptr, strstr(why, "Input/output"), NULL), "%s", why);
	cr_assert(ne(ptr, strstr(hw_err_text(&err), why), NULL), "%s", hw_err_text(&err));
	side_close(&side);
	side_open(&side);
	cr_assert(eq(u64, make(&side).size, 6));
	side_close(&side);
	heads_io = NULL;
}

Test(ledger_heads, a_ledger_that_was_cut_is_refused)
{
	struct hw_err err = HW_ERR_INIT;
	char copy[96];
	struct side side;

	side_open(&side);
	append(&side, 4);
	make(&side);
	side_close(&side);
	snprintf(copy, sizeof(copy), "%s/copy", s.dir);
	dir_copy(copy, s.journal);
	side_open(&side);
	append(&side, 4);
	make(&side);
	side_close(&side);
	dir_remove(s.journal);
	dir_copy(s.journal, copy);
	cr_assert(eq(int, try_open(&side, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(hw_err_text(&err), "8 were signed"), NULL), "%s",
		hw_err_text(&err));
}

Test(ledger_heads, a_tree_that_is_not_the_signed_one_is_refused)
{
	struct hw_err err = HW_ERR_INIT;
	char tree[96];
	struct side side;

	side_open(&side);
	append(&side, 4);
	make(&side);
	side_close(&side);
	snprintf(tree, sizeof(tree), "%s/tree", s.ledger);
	file_flip(tree, -1);
	cr_assert(eq(int, try_open(&side, &err), HW_ECORRUPT));
}

Test(ledger_heads, a_head_that_was_cut_off_goes_and_a_damaged_one_is_named)
{
	struct hw_err err = HW_ERR_INIT;
	char heads[96];
	struct side side;

	side_open(&side);
	append(&side, 4);
	make(&side);
	append(&side, 4);
	make(&side);
	side_close(&side);
	snprintf(heads, sizeof(heads), "%s/heads", s.ledger);
	file_cut(heads, 10);
	side_open(&side);
	cr_assert(eq(u64, make(&side).size, 8));
	side_close(&side);
	file_flip(heads, 20);
	cr_assert(eq(int, try_open(&side, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(hw_err_text(&err), "head 0"), NULL), "%s", hw_err_text(&err));
}

Test(ledger_heads, old_heads_are_thinned_and_ends_of_epochs_stay)
{
	struct hw_err err = HW_ERR_INIT;
	struct head_file *f;
	char heads[96];

	snprintf(heads, sizeof(heads), "%s/heads", s.ledger);
	cr_assert(eq(int, head_file_open(&f, s.ledger, NULL, &err), 0));
	head_file_close(f);
	/* as if there had been many */
	FILE *out = fopen(heads, "ab");
	uint8_t rec[HEAD_RECORD_LEN];
	for (uint64_t i = 0; i < 26215; i++) {
		const struct log_head h = {.epoch = i < 1001 ? 1 : 2, .size = i};
		head_record_put(rec, &h);
		fwrite(rec, sizeof(rec), 1, out);
	}
	fclose(out);
	cr_assert(eq(int, head_file_open(&f, s.ledger, NULL, &err), 0));
	const struct log_head h = {.epoch = 2, .size = 26215};
	cr_assert(eq(int, head_file_append(f, &h, &err), 0));
	cr_assert(eq(u64, head_file_last(f)->size, 26215));
	head_file_close(f);
	cr_assert(lt(int, (int)file_length(heads), 160 * 20000));
	cr_assert(eq(int, head_file_open(&f, s.ledger, NULL, &err), 0));
	cr_assert(eq(u64, head_file_last(f)->size, 26215));
	/* 1000 is even; its place is kept whatever it is */
	cr_assert(eq(int, head_file_cut(f, 1000, &err), 0));
	cr_assert(eq(u64, head_file_last(f)->size, 1000));
	head_file_close(f);
}

/* --- what lies in the files and not under a head ---------------------------------------------- */

/* Files what the journal has up to entry `n`, and that is another, which lies open. */
static void
file_and_forge(uint64_t n)
{
	struct ledger_reader *r = NULL;
	struct ledger_writer *w = NULL;
	struct msg_ledger_entry *e, forged;
	struct hw_err err = HW_ERR_INIT;
	struct arena *a = arena_new(64 << 20);
	struct msg_bin bytes;
	struct buf out;

	buf_init(&out, 1 << 20);
	cr_assert(eq(int, ledger_reader_open(&r, s.ledger, s.journal, &s.master, &err), 0));
	cr_assert(eq(int, ledger_writer_open(&w, s.ledger, &s.master, 0, NULL, &err), 0));
	while (ledger_writer_next(w) < n && ledger_reader_next(r, a, &e, &bytes, &err) == 1)
		cr_assert(eq(int, ledger_writer_append(w, bytes.p, bytes.n, 0, &err), 0));
	cr_assert(eq(u64, ledger_writer_next(w), n));
	forged = *e;
	forged.sequence = (int64_t)n;
	forged.kind = "recording.sealed";
	forged.session_id = "alice-00000000000000001";
	cr_assert(eq(int, msg_encode(&out, MSG_ROW(ledger_entry), &forged, &err), 0));
	cr_assert(eq(int, ledger_writer_append(w, buf_data(&out), out.len, LEDGER_OPEN, &err), 0));
	cr_assert(eq(int, ledger_writer_sync(w, &err), 0));
	ledger_writer_close(w);
	ledger_reader_close(r);
	buf_fini(&out);
	arena_free(a);
}

Test(ledger_heads, what_the_journal_never_had_is_not_signed)
{
	struct hw_err err = HW_ERR_INIT;
	struct side side;

	side_open(&side);
	append(&side, 4);
	(void)make(&side);
	append(&side, 3);
	side_close(&side);
	file_and_forge(5);
	cr_assert(eq(int, try_open(&side, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(err.text, "ledger entry 5 in the ledger's files"), NULL), "%s",
		err.text);
}

Test(ledger_heads, what_the_journal_is_yet_to_have_is_in_no_file)
{
	struct hw_err err = HW_ERR_INIT;
	struct side side;

	side_open(&side);
	append(&side, 4);
	(void)make(&side);
	append(&side, 3);
	side_close(&side);
	file_and_forge(7);
	cr_assert(eq(int, try_open(&side, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(err.text, "have an entry 7"), NULL), "%s", err.text);
}
