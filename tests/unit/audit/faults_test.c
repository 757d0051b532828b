/*
 * Each call that can fail does: the nth write, sync, new file or new name of a relay's audit side,
 * in each way that a disk has. Nothing that somebody was told is lost, somebody says what is wrong,
 * and the next life, on a disk that works, takes all of it up and verifies. HAWSER_FAULTS=1 tries
 * every n (`./dev cuts` does); else each eleventh.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger_file.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "tests/unit/audit/disk.h"
#include "tests/unit/audit/vault.h"

TestSuite(faults, .timeout = 86400);

enum heard { SAID, PERHAPS };

/* Of a write that a full disk cut short the rest may find room. */
static const struct way {
	const char *name;
	enum disk_fault fault;
	bool stays, has_reserve;
	enum heard heard;
} ways[] = {
	{"full for a moment",	      DISK_FULL,	 false, false, PERHAPS},
	{"full",		       DISK_FULL,	    true,  false, SAID   },
	{"full for a moment, reserve", DISK_FULL,	  false, true,  PERHAPS},
	{"full, reserve",		  DISK_FULL,	     true,  true,	 SAID   },
	{"error",		      DISK_ERROR,     false, false, SAID	},
	{"error that stays",	     DISK_ERROR,	 true,  true,  SAID	 },
	{"read-only",		      DISK_READ_ONLY, true,  true,  SAID   },
	{"sync fails",		       DISK_NO_SYNC,   false, true,  SAID   },
	{"no sync any more",	     DISK_NO_SYNC,   true,	 false, SAID   },
};

/* What somebody was told. */
struct said {
	uint64_t entries;
	struct log_head head;
};

static void
commit(struct vault *v, struct said *s)
{
	const struct msg_ledger_entry e = {.principal = "somebody", .detail = "committed"};

	if (ledger_commit(v->ledger, ENTRY_ALARM, &e) == 0)
		s->entries = journal_ledger_next(v->journal);
	else
		v->complaints++;
}

/* Some of a relay's life, with all that writes. */
static void
live(struct vault *v, struct said *s)
{
	struct hw_err err = HW_ERR_INIT;
	char id[16];

	if (vault_try_open(v, &err) < 0) {
		cr_assert(hw_err_text(&err)[0] != 0);
		v->complaints++;
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "ann-%u", i);
		vault_entries(v, 2);
		vault_session(v, 100 + i, id, 1500, i != 1);
		commit(v, s);
		if (i == 2)
			fake_clock_advance(&v->s.clock, 61 * USEC_PER_SEC);
		vault_work(v);
		(void)journal_recover(v->journal);
		s->head = vault_head(v);
	}
	commit(v, s);
	if (archiver_settle(v->archiver, &err) < 0 || ledger_heads_make(v->heads, &err) < 0)
		v->complaints++;
	s->head = vault_head(v);
	vault_drop(v);
}

static void
check(struct vault *v, const struct said *s, const char *name, size_t at)
{
	struct verify_source source = verify_directory(&v->dir);
	struct verify_result result;
	struct verify_options o = {.ca = ca_cert(v->ca),
		.known = s->head.size > 0 ? &s->head : NULL,
		.known_origin = VAULT_ORIGIN};
	struct hw_err err = HW_ERR_INIT;

	for (int with = 0; with < 2; with++) {
		o.master = with ? &v->s.master : NULL;
		cr_assert(eq(int, verify_run(&result, &source, &o, &err), 0), "%s, call %zu: %s",
			name, at, hw_err_text(&err));
		const struct verify_finding *f =
			result.n_findings > 0 ? result.findings : result.doubts;
		cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT), "%s, call %zu: %s: %s", name,
			at, f->file, f->what);
	}
	cr_assert(result.head.size >= s->entries, "%s, call %zu: %" PRIu64 " entries of %" PRIu64,
		name, at, result.head.size, s->entries);
}

/* False when there is no such call any more. */
static bool
fail_at(const struct way *w, size_t at)
{
	struct vault v;
	struct said s = {.entries = 0};
	struct hw_err err = HW_ERR_INIT;

	vault_init(&v);
	v.segment_size = 6000;
	v.ledger_file_size = 2000;
	v.reserve = w->has_reserve ? 65536 : 0;
	disk_begin(v.s.dir);
	disk_fail(w->fault, at, w->stays);
	live(&v, &s);
	bool failed = disk_has_failed();
	disk_end();
	if (failed && w->heard == SAID)
		cr_assert(v.complaints > 0, "%s, call %zu: nobody said it", w->name, at);
	v.complaints = 0;
	cr_assert(eq(int, vault_try_open(&v, &err), 0), "%s, call %zu: the next life: %s", w->name,
		at, hw_err_text(&err));
	vault_entries(&v, 2);
	vault_work(&v);
	vault_close(&v);
	check(&v, &s, w->name, at);
	vault_fini(&v);
	return failed;
}

Test(faults, nothing_is_lost_and_somebody_says_it)
{
	size_t step = getenv("HAWSER_FAULTS") != NULL ? 1 : 11, calls = 0;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		size_t at = step == 1 ? 0 : i % step;
		while (fail_at(&ways[i], at))
			at += step;
		calls += at / step;
	}
	disk_forget();
	cr_assert(gt(sz, calls, 20));
}

/* --- erasing ---------------------------------------------------------------------------------- */

#define MARK "ledger/erasing"

static void
five_entries(struct vault *v)
{
	vault_init(v);
	vault_open(v);
	vault_entries(v, 5);
	vault_work(v);
	vault_close(v);
}

/* Its note, as a power cut leaves it, and a start on a disk that has no room for another. */
Test(faults, an_erasing_that_was_cut_off_is_finished_on_a_full_disk)
{
	struct ledger_files *files;
	struct ledger_stored entry;
	struct ledger_writer *w;
	struct hw_err err = HW_ERR_INIT;
	struct vault v;

	five_entries(&v);
	cr_assert(eq(int, file_write(v.dir, MARK, "2", 1, 0600, NULL), 0));
	disk_begin(v.s.dir);
	disk_fail(DISK_FULL, 0, true);
	int r = ledger_writer_open(&w, v.s.ledger, &v.s.master, 0, NULL, &err);
	disk_end();
	disk_forget();
	cr_assert(eq(int, r, 0), "%s", hw_err_text(&err));
	ledger_writer_close(w);
	cr_assert(faccessat(v.dir, MARK, F_OK, 0) < 0 && errno == ENOENT);
	cr_assert(eq(int, ledger_files_open(&files, v.s.ledger, &v.s.master, 1, NULL), 0));
	for (uint64_t i = 1; i < 4; i++) {
		cr_assert(eq(int, ledger_files_read(files, &entry, NULL), 1));
		cr_assert(eq(int, entry.erased, i == 2));
	}
	ledger_files_close(files);
	vault_fini(&v);
}

/* Entries whose file lost its head are not gone: what shall be erased is still there. */
Test(faults, an_entry_in_a_file_without_its_head_is_not_taken_for_none)
{
	static const uint8_t zeros[128];
	struct hw_err err = HW_ERR_INIT;
	struct vault v;

	five_entries(&v);
	int fd = openat(v.dir, "ledger/ledger-0000000000000000.log", O_WRONLY);
	cr_assert(fd >= 0 && pwrite(fd, zeros, sizeof(zeros), 0) == sizeof(zeros));
	fd_close(fd);
	cr_assert(eq(int, ledger_files_erase(v.s.ledger, 2, &v.s.master, &err), HW_ECORRUPT));
	cr_assert(eq(int, faccessat(v.dir, MARK, F_OK, 0), 0));
	vault_fini(&v);
}

Test(faults, a_note_of_an_erasing_that_says_nothing_is_named)
{
	struct ledger_writer *w;
	struct hw_err err = HW_ERR_INIT;
	struct vault v;

	five_entries(&v);
	cr_assert(eq(int, file_write(v.dir, MARK, "", 0, 0600, NULL), 0));
	int r = ledger_writer_open(&w, v.s.ledger, &v.s.master, 0, NULL, &err);
	cr_assert(eq(int, r, HW_ECORRUPT));
	cr_assert(strstr(hw_err_text(&err), MARK) != NULL, "%s", hw_err_text(&err));
	vault_fini(&v);
}
