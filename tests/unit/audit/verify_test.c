/* What the verifier finds, case by case; mutation_test.c changes anything. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/head_file.h"
#include "audit/ledger_file.h"
#include "proto/wire/codec.h"
#include "tests/unit/audit/vault.h"

#define HEADS "ledger/heads"
#define TREE  "ledger/tree"

static struct vault v;
static struct image old, good;
static struct verify_result result;
static uint64_t erased;

/* Three sessions, one of which lives, two epochs, an erased entry; and how it was in between. */
static void
setup(void)
{
	const struct msg_ledger_entry erase = {.reason = "test", .size = 3};

	vault_init(&v);
	vault_open(&v);
	vault_entries(&v, 9);
	vault_session(&v, 11, "ann-1", 20000, true);
	vault_work(&v);
	vault_entries(&v, 4);
	vault_work(&v);
	vault_close(&v);
	image_load(&old, v.s.dir);
	vault_rotate(&v);
	vault_open(&v);
	vault_session(&v, 12, "bob-1", 3000, true);
	vault_session(&v, 13, "eve-1", 5000, false);
	vault_entries(&v, 6);
	vault_work(&v);
	erased = 3;
	cr_assert(eq(int, ledger_commit(v.ledger, ENTRY_ENTRY_ERASED, &erase), 0));
	vault_entries(&v, 3);
	vault_work(&v);
	vault_close(&v);
	cr_assert(eq(int, ledger_files_erase(v.s.ledger, erased, &v.s.master, NULL), 0));
	image_load(&good, v.s.dir);
}

static void
teardown(void)
{
	image_fini(&old);
	image_fini(&good);
	vault_fini(&v);
}

TestSuite(verify, .init = setup, .fini = teardown, .timeout = 300);

static int
check_with(struct image *im, const struct secret_key *master, const struct log_head *known)
{
	const struct verify_options o = {
		.ca = ca_cert(v.ca),
		.master = master,
		.known = known,
		.known_origin = VAULT_ORIGIN,
	};
	struct verify_source source = image_source(im);
	struct hw_err err = HW_ERR_INIT;

	return verify_run(&result, &source, &o, &err);
}

static void
check_intact(struct image *im, const struct secret_key *master)
{
	cr_assert(eq(int, check_with(im, master, NULL), 0));
	if (result.verdict != VERIFY_INTACT) {
		const struct verify_finding *f =
			result.n_findings > 0 ? result.findings : result.doubts;
		cr_assert(false, "%s %" PRIu64 " entry %" PRIu64 ": %s", f->file, f->from, f->entry,
			f->what);
	}
}

/* Broken, and this is the first that is said. */
static void
check_broken(struct image *im, const struct secret_key *master, const char *file, uint64_t entry)
{
	cr_assert(eq(int, check_with(im, master, NULL), 0));
	cr_assert(eq(int, (int)result.verdict, VERIFY_BROKEN));
	const struct verify_finding *f = &result.findings[0];
	cr_assert(eq(int, strncmp(f->file, file, strlen(file)), 0), "%s: %s", f->file, f->what);
	if (entry != VERIFY_NONE)
		cr_assert(f->entry <= entry && entry < f->entry_to, "%" PRIu64 " to %" PRIu64,
			f->entry, f->entry_to);
}

static enum verify_verdict
verdict_at(struct image *im, const struct secret_key *master, bool is_running, int64_t now)
{
	const struct verify_options o = {
		.ca = ca_cert(v.ca), .master = master, .is_running = is_running, .now = now};
	struct verify_source source = image_source(im);

	cr_assert(eq(int, verify_run(&result, &source, &o, NULL), 0));
	return result.verdict;
}

static enum verify_verdict
verdict_of(struct image *im, const struct secret_key *master, bool is_running)
{
	return verdict_at(im, master, is_running, 0);
}

static struct image_file *
ledger_file(struct image *im)
{
	return image_find(im, "ledger/ledger-0000000000000000.log");
}

/* Where entry i's frame begins. */
static size_t
frame_of(const struct image_file *f, unsigned i)
{
	size_t at = 128;

	while (i-- > 0)
		at += 8 + get_le32(f->p + at);
	return at;
}

static void
fix_crc(uint8_t *frame)
{
	uint8_t meta[68];

	memcpy(meta, frame + 8, 68);
	put_le32(meta, get_le32(meta) & ~2u);
	put_le32(frame + 4, crc32c(crc32c(0, frame, 4), meta, 68));
}

/* --- single cases ----------------------------------------------------------------------------- */

Test(verify, what_nobody_touched_is_intact_with_and_without_the_master_key)
{
	check_intact(&good, NULL);
	cr_assert(eq(u64, result.sessions, 3));
	cr_assert(eq(u64, result.epochs, 2));
	cr_assert(eq(u64, result.erased, 1));
	cr_assert(eq(u64, result.entries, result.head.size));
	check_intact(&good, &v.s.master);
	check_intact(&old, NULL);
}

Test(verify, a_live_directory_is_read_as_it_is)
{
	struct hw_err err = HW_ERR_INIT;
	struct verify_source source = verify_directory(&v.dir);
	const struct verify_options o = {.ca = ca_cert(v.ca), .is_running = true};

	vault_open(&v);
	vault_entries(&v, 5);
	vault_work(&v);
	vault_entries(&v, 5);
	cr_assert(eq(int, verify_run(&result, &source, &o, &err), 0), "%s", hw_err_text(&err));
	cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT), "%s", result.findings[0].what);
	vault_drop(&v);
}

Test(verify, sealed_bytes_whose_checksums_were_made_anew_are_found_without_the_key)
{
	struct image_file *f = ledger_file(&good);
	uint8_t *frame = f->p + frame_of(f, 5);
	uint32_t len = get_le32(frame);

	frame[8 + 68 + 20] ^= 1;
	sha256(frame + 8 + 36, frame + 8 + 68, len - 68);
	fix_crc(frame);
	check_broken(&good, NULL, f->path, 5);
}

Test(verify, a_leaf_that_was_changed_in_tree_and_file_alike_is_found)
{
	struct image_file *f = ledger_file(&good), *tree = image_find(&good, TREE);
	uint8_t *frame = f->p + frame_of(f, 0);

	frame[12] ^= 1;
	fix_crc(frame);
	tree->p[32] ^= 1;
	check_broken(&good, NULL, TREE, 0);
}

Test(verify, an_erasure_that_no_entry_speaks_of_is_found)
{
	struct image_file *f = ledger_file(&good);
	uint8_t *frame = f->p + frame_of(f, 6);

	put_le32(frame + 8, get_le32(frame + 8) | 2);
	memset(frame + 8 + 68, 0, get_le32(frame) - 68);
	check_broken(&good, NULL, "ledger", 6);
}

Test(verify, bytes_in_an_erased_entry_are_found)
{
	struct image_file *f = ledger_file(&good);

	f->p[frame_of(f, (unsigned)erased) + 8 + 68 + 3] = 7;
	check_broken(&good, NULL, f->path, erased);
}

Test(verify, a_recording_that_was_changed_cut_or_taken_away_is_named)
{
	struct image_file *f = image_find(&good, "recordings/ann-1.rec");

	f->p[f->n / 2] ^= 1;
	check_broken(&good, NULL, f->path, VERIFY_NONE);
	cr_assert(result.findings[0].from <= f->n / 2 && f->n / 2 < result.findings[0].to);
	check_broken(&good, &v.s.master, f->path, VERIFY_NONE);
	cr_assert(result.findings[0].from > 0);
	f->p[f->n / 2] ^= 1;
	f->n -= 5;
	check_broken(&good, NULL, f->path, VERIFY_NONE);
	cr_assert(result.findings[0].from <= f->n && f->n < result.findings[0].to);
	strcpy(f->path, "recordings/moved.rec");
	check_broken(&good, NULL, "recordings/ann-1.rec", VERIFY_NONE);
}

Test(verify, a_retired_key_signs_nothing_new)
{
	struct image_file *heads = image_find(&good, HEADS);
	struct log_head h;
	struct hw_err err = HW_ERR_INIT;

	uint8_t *last = heads->p + heads->n - HEAD_RECORD_LEN;
	cr_assert(eq(int, head_record_get(&h, last), 0));
	for (uint32_t epoch = 1; epoch <= 2; epoch++) {
		h.epoch = epoch;
		cr_assert(eq(int, log_head_sign(&h, VAULT_ORIGIN, v.retired, &err), 0));
		head_record_put(last, &h);
		check_broken(&good, NULL, HEADS, VERIFY_NONE);
		cr_assert(eq(u64, result.findings[0].from, heads->n - HEAD_RECORD_LEN));
	}
}

Test(verify, an_older_copy_of_all_is_caught_by_a_head_that_somebody_kept)
{
	struct log_head known;

	check_intact(&good, NULL);
	known = result.head;
	check_intact(&old, NULL);
	cr_assert(eq(int, check_with(&old, NULL, &known), 0));
	cr_assert(eq(int, (int)result.verdict, VERIFY_BROKEN));
	cr_assert(eq(int, check_with(&good, NULL, &known), 0));
	cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT));
	/* and an older head is one that the ledger has grown out of */
	check_intact(&old, NULL);
	known = result.head;
	cr_assert(eq(int, check_with(&good, NULL, &known), 0));
	cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT));
}

/* The bytes of that file are another image's; both have both. */
static void
swap_file(struct image *im, struct image *from, const char *path)
{
	struct image_file *a = image_find(im, path), *b = image_find(from, path), was = *a;

	*a = *b;
	*b = was;
}

/* The statements are of later, and say how many entries there were. */
Test(verify, an_older_copy_of_all_but_the_statements_is_a_ledger_that_was_cut)
{
	struct image now;

	vault_rotate(&v);
	image_load(&now, v.s.dir);
	check_intact(&now, NULL);
	const uint64_t size = result.head.size;
	swap_file(&old, &now, "ledger/epochs");
	for (int running = 0; running < 2; running++) {
		cr_assert(eq(int, (int)verdict_of(&old, NULL, running), VERIFY_BROKEN));
		cr_assert_str_eq(result.findings[0].file, HEADS);
		cr_assert(eq(u64, result.findings[0].entry, result.head.size));
		cr_assert(eq(u64, result.findings[0].entry_to, size));
	}
	image_fini(&now);
}

/* What a recovery gave up, with the statements and heads that are about it, is no damage. */
Test(verify, a_ledger_that_was_recovered_below_a_statement_goes_on)
{
	struct log_head known;
	struct image im;

	check_intact(&good, NULL);
	known = result.head;
	vault_rotate(&v);
	image_load(&im, v.s.dir);
	swap_file(&old, &im, "ledger/epochs");
	image_fini(&im);
	image_save(&old, v.s.dir);
	vault_recover(&v);
	image_load(&im, v.s.dir);
	cr_assert(eq(int, (int)verdict_of(&im, NULL, false),
		VERIFY_UNCHECKED)); /* until it signs */
	image_fini(&im);

	vault_open(&v);
	vault_entries(&v, 60);
	vault_work(&v);
	vault_close(&v);
	image_load(&im, v.s.dir);
	check_intact(&im, NULL);
	cr_assert(gt(u64, result.head.size, known.size));
	cr_assert(eq(int, check_with(&im, &v.s.master, &known), 0));
	cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT), "%s", result.findings[0].what);
	cr_assert(eq(u64, result.given_up, 1));
	image_fini(&im);
}

Test(verify, what_nobody_has_signed_is_said_and_is_no_damage)
{
	struct image im;

	vault_open(&v);
	vault_entries(&v, 5);
	vault_work(&v);
	vault_entries(&v, 5);
	journal_sync(v.journal);
	vault_drop(&v); /* as a crash does */
	image_load(&im, v.s.dir);
	cr_assert(eq(int, check_with(&im, &v.s.master, NULL), 0));
	cr_assert(ne(int, (int)result.verdict, VERIFY_BROKEN), "%s: %s", result.findings[0].file,
		result.findings[0].what);
	image_fini(&im);
}

/* Of a relay that runs the entry of a deletion may have come after the ledger was read. */
Test(verify, a_recording_that_went_meanwhile_is_a_doubt)
{
	image_find(&good, "recordings/ann-1.rec")->path[0] = 'x';
	cr_assert(eq(int, (int)verdict_of(&good, NULL, false), VERIFY_BROKEN));
	cr_assert(eq(int, (int)verdict_of(&good, NULL, true), VERIFY_UNCHECKED));
	cr_assert(eq(int, (int)verdict_of(&good, &v.s.master, true), VERIFY_UNCHECKED));
}

/* After a power cut the entries that say what became of them may be there, but not signed. */
Test(verify, a_recording_that_only_unsigned_entries_may_explain_is_a_doubt)
{
	struct image im;

	vault_open(&v);
	vault_entries(&v, 5);
	vault_work(&v);
	vault_entries(&v, 5);
	journal_sync(v.journal);
	vault_drop(&v);
	image_load(&im, v.s.dir);
	strcpy(image_find(&im, "recordings/ann-1.rec")->path, "recordings/new-1.rec");
	cr_assert(eq(int, (int)verdict_of(&im, &v.s.master, false), VERIFY_UNCHECKED), "%s: %s",
		result.findings[0].file, result.findings[0].what);
	/* Deletions are signed before anything is gone. */
	check_broken(&im, NULL, "recordings/ann-1.rec", VERIFY_NONE);
	cr_assert(eq(sz, result.n_findings, 1), "%s", result.findings[1].what);
	image_fini(&im);
}

Test(verify, entries_that_were_filed_while_it_was_read_are_a_doubt)
{
	struct image im;
	char name[128] = "";

	vault_open(&v);
	vault_entries(&v, 5);
	journal_sync(v.journal);
	cr_assert(eq(int, ledger_heads_make(v.heads, NULL), 0));
	vault_drop(&v);
	image_load(&im, v.s.dir);
	for (size_t i = 0; i < im.n; i++)
		if (strncmp(im.files[i].path, "journal/journal-", 16) == 0 &&
			strcmp(im.files[i].path, name) > 0)
			snprintf(name, sizeof(name), "%s", im.files[i].path);
	image_find(&im, name)->path[0] = 'x';
	cr_assert(eq(int, (int)verdict_of(&im, &v.s.master, false), VERIFY_BROKEN));
	cr_assert(eq(int, (int)verdict_of(&im, &v.s.master, true), VERIFY_UNCHECKED), "%s: %s",
		result.findings[0].file, result.findings[0].what);
	image_fini(&im);
}

Test(verify, a_last_head_that_a_power_cut_left_is_a_doubt)
{
	struct image_file *heads = image_find(&good, HEADS);

	heads->p[heads->n - 1] ^= 1;
	cr_assert(eq(int, (int)verdict_of(&good, NULL, false), VERIFY_UNCHECKED), "%s: %s",
		result.findings[0].file, result.findings[0].what);
	heads->p[heads->n - 1] ^= 1;
	heads->p[heads->n - 1 - HEAD_RECORD_LEN] ^= 1;
	check_broken(&good, NULL, HEADS, VERIFY_NONE);
}

Test(verify, without_heads_or_epochs_nothing_can_be_said)
{
	strcpy(image_find(&good, HEADS)->path, "ledger/x");
	cr_assert(eq(int, check_with(&good, NULL, NULL), HW_ENOTFOUND));
	cr_assert(eq(int, (int)result.verdict, VERIFY_UNCHECKED));
	strcpy(image_find(&good, "ledger/epochs")->path, "ledger/y");
	cr_assert(eq(int, check_with(&good, NULL, NULL), HW_ENOTFOUND));
}

/* A power cut may leave the name and length of a file of the ledger, and not yet its head. */
Test(verify, a_last_file_of_the_ledger_without_its_head_is_no_break)
{
	check_intact(&good, NULL);
	struct image_file *f = &good.files[good.n++];
	snprintf(f->path, sizeof(f->path), "ledger/ledger-%016" PRIx64 ".log", result.head.size);
	f->p = calloc(1, 128);
	for (f->n = 0; f->n <= 128; f->n += 64)
		for (int with = 0; with < 2; with++) {
			cr_assert(eq(int, check_with(&good, with ? &v.s.master : NULL, NULL), 0));
			cr_assert(eq(int, (int)result.verdict, VERIFY_UNCHECKED));
			cr_assert(eq(str, result.doubts[0].file, f->path));
		}
	f->n = 128;
	f->p[127] = 1;
	check_broken(&good, NULL, f->path, VERIFY_NONE);
}

/* The first sector that begins within what is stored of an entry, from entry `from` on. */
static size_t
sector_of_entries(const struct image_file *f, unsigned from)
{
	for (size_t at = frame_of(f, from), end; at < f->n; at = end) {
		end = at + 8 + get_le32(f->p + at);
		size_t sector = end - end % 512;
		if (sector > at + 8 + 68 && sector < end)
			return sector;
	}
	cr_assert(false, "no entry goes over the beginning of a sector");
	return 0;
}

/* Its checksum is not over what is stored, so it may be whole where that is not. */
Test(verify, an_entry_whose_sector_a_power_cut_took_is_a_doubt_and_a_changed_one_is_not)
{
	struct image im;

	vault_open(&v);
	vault_work(&v);
	struct log_head head = vault_head(&v);
	vault_entries(&v, 12);
	fake_clock_advance(&v.s.clock, 2 * USEC_PER_SEC);
	journal_sync(v.journal);
	cr_assert(eq(int, archiver_run(v.archiver, NULL), 0));
	vault_drop(&v);
	image_load(&im, v.s.dir);
	struct image_file *f = ledger_file(&im);
	size_t at = sector_of_entries(f, (unsigned)head.filed),
	       n = f->n - at < 512 ? f->n - at : 512;
	for (int with = 0; with < 2; with++) {
		const struct secret_key *master = with ? &v.s.master : NULL;
		f->p[at] ^= 1;
		check_broken(&im, master, f->path, VERIFY_NONE);
		f->p[at] ^= 1;
	}
	memset(f->p + at, 0, n);
	for (int with = 0; with < 2; with++)
		cr_assert(eq(int, (int)verdict_of(&im, with ? &v.s.master : NULL, false),
				  VERIFY_UNCHECKED),
			"%s: %s", result.findings[0].file, result.findings[0].what);
	/* A relay that runs has mended what it found. */
	cr_assert(eq(int, (int)verdict_of(&im, NULL, true), VERIFY_UNCHECKED));
	/* What a head says to be on disk was synced, whatever is missing of it. */
	at = sector_of_entries(f, 0);
	cr_assert(lt(sz, at, frame_of(f, (unsigned)head.filed)));
	memset(f->p + at, 0, 512);
	check_broken(&im, NULL, f->path, VERIFY_NONE);
	image_fini(&im);
}

/* The journal still has it, until the start that a power cut ended comes to its deletion. */
Test(verify, a_deleted_recording_that_a_start_began_to_make_again_is_a_doubt)
{
	struct image im;

	vault_open(&v);
	vault_delete(&v, "bob-1");
	vault_work(&v);
	vault_close(&v);
	image_load(&im, v.s.dir);
	check_intact(&im, NULL);
	const struct image_file *other = image_find(&im, "recordings/ann-1.rec");
	struct image_file *f = &im.files[im.n++];
	*f = (struct image_file){.n = other->n, .room = other->n, .p = malloc(other->n)};
	memcpy(f->p, other->p, f->n);
	for (int with = 0; with < 2; with++) {
		const struct secret_key *master = with ? &v.s.master : NULL;
		strcpy(f->path, "recordings/bob-1.part");
		cr_assert(eq(int, (int)verdict_of(&im, master, false), VERIFY_UNCHECKED), "%s: %s",
			result.findings[0].file, result.findings[0].what);
		strcpy(f->path, "recordings/bob-1.rec");
		check_broken(&im, master, f->path, VERIFY_NONE);
	}
	strcpy(f->path, "recordings/bob-1.part");
	f->n = 0;
	cr_assert(eq(int, (int)verdict_of(&im, NULL, false), VERIFY_UNCHECKED));
	image_fini(&im);
}

/* --- a lock is anybody's ---------------------------------------------------------------------- */

/* An entry that lies open, behind all that is signed: whoever may write there needs no key for it.
 */
static void
append_forged(struct image_file *f, enum entry_kind kind, const char *session, uint64_t size)
{
	static const uint8_t salt[16];
	const struct msg_ledger_entry e = {
		.relay = "relay",
		.sequence = (int64_t)result.head.size,
		.time = result.head.time,
		.salt = {salt, sizeof(salt)},
		.kind = entry_kind_name(kind),
		.session_id = session,
		.size = (int64_t)size,
	};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(ledger_entry), &e, NULL), 0));
	f->p = realloc(f->p, f->room = f->n + 8 + 68 + b.len);
	uint8_t *frame = f->p + f->n;
	put_le32(frame, (uint32_t)(68 + b.len));
	put_le32(frame + 8, 1);
	merkle_leaf(frame + 12, buf_data(&b), b.len);
	sha256(frame + 12 + MERKLE_LEN, buf_data(&b), b.len);
	memcpy(frame + 8 + 68, buf_data(&b), b.len);
	fix_crc(frame);
	f->n = f->room;
	buf_fini(&b);
}

Test(verify, an_entry_that_nobody_signed_explains_no_missing_recording_of_a_relay_that_runs)
{
	check_intact(&good, NULL);
	append_forged(ledger_file(&good), ENTRY_RECORDING_DELETED, "ann-1", 0);
	cr_assert(eq(int, (int)verdict_of(&good, NULL, true),
		VERIFY_INTACT)); /* it may be about to */
	image_find(&good, "recordings/ann-1.rec")->path[0] = 'x';
	cr_assert(eq(int, (int)verdict_of(&good, NULL, true), VERIFY_UNCHECKED));
	cr_assert_str_eq(result.doubts[0].file, "recordings/ann-1.rec");
}

Test(verify, an_entry_that_nobody_signed_explains_no_erasure_of_a_relay_that_runs)
{
	struct image_file *f = ledger_file(&good);
	uint8_t *frame = f->p + frame_of(f, 6);

	check_intact(&good, NULL);
	put_le32(frame + 8, get_le32(frame + 8) | 2);
	memset(frame + 8 + 68, 0, get_le32(frame) - 68);
	append_forged(f, ENTRY_ENTRY_ERASED, NULL, 6);
	cr_assert(eq(int, (int)verdict_of(&good, NULL, true), VERIFY_UNCHECKED));
	cr_assert(eq(u64, result.doubts[0].entry, 6));
}

/* A relay signs each ten minutes, and first of all when it starts. */
Test(verify, a_relay_that_is_said_to_run_and_signs_nothing_is_a_doubt)
{
	const int64_t minute = 60 * USEC_PER_SEC;
	struct image_file *heads = image_find(&good, HEADS);

	check_intact(&good, NULL);
	const int64_t last = result.head.time;
	cr_assert(eq(int, (int)verdict_at(&good, NULL, true, last + 25 * minute), VERIFY_INTACT));
	cr_assert(eq(int, (int)verdict_at(&good, NULL, true, last + 35 * minute),
		VERIFY_UNCHECKED));
	cr_assert_str_eq(result.doubts[0].file, HEADS);
	cr_assert(eq(int, (int)verdict_at(&good, NULL, false, last + 35 * minute), VERIFY_INTACT));
	heads->n = 8;
	cr_assert(ne(int, (int)verdict_of(&good, NULL, true), VERIFY_INTACT));
}

static void HW_PRINTF(3, 4) say(char *out, size_t room, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	verify_sentence(out, room, fmt, ap);
	va_end(ap);
}

Test(verify, a_sentence_that_is_too_long_is_cut_between_words)
{
	char out[24];

	say(out, sizeof(out), "the %s was rewritten", "ledger");
	cr_assert_str_eq(out, "the ledger was ...");
	say(out, sizeof(out), "%s", "the ledger is as it was");
	cr_assert_str_eq(out, "the ledger is as it was");
	say(out, sizeof(out), "%s", "abcdefghijklmnopqr\u00e9\u00e9\u00e9\u00e9\u00e9");
	cr_assert_str_eq(out, "abcdefghijklmnopqr ...");
}
