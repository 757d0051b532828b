/*
 * What the verifier finds. The last test changes a relay's directory at random and demands that
 * each change is found, and located; HAWSER_MUTATIONS says how many (1000), HAWSER_SEED from where.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/head_file.h"
#include "audit/ledger_file.h"
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
	cr_assert(eq(u64, result.findings[0].from, f->n));
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

static enum verify_verdict
verdict_of(struct image *im, const struct secret_key *master, bool is_running)
{
	const struct verify_options o = {
		.ca = ca_cert(v.ca), .master = master, .is_running = is_running};
	struct verify_source source = image_source(im);

	cr_assert(eq(int, verify_run(&result, &source, &o, NULL), 0));
	return result.verdict;
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

/* --- anything --------------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t
below(uint64_t n)
{
	seed += 0x9e3779b97f4a7c15;
	uint64_t z = seed;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return n == 0 ? 0 : (z ^ (z >> 31)) % n;
}

static void
give(struct image_file *f, const uint8_t *p, size_t n)
{
	uint8_t *fresh = malloc(n + 1);

	memcpy(fresh, p, n);
	f->p = fresh;
	f->n = n;
}

static void
flip(struct image_file *f)
{
	f->p[below(f->n)] ^= (uint8_t)(1 << below(8));
}

static void delete (struct image_file *f)
{
	size_t at = below(f->n), n = 1 + below(f->n - at < 300 ? f->n - at : 300);

	memmove(f->p + at, f->p + at + n, f->n - at - n);
	f->n -= n;
}

static void
insert(struct image_file *f)
{
	size_t at = below(f->n + 1), n = 1 + below(200);
	uint8_t *fresh = malloc(f->n + n + 1);

	memcpy(fresh, f->p, at);
	for (size_t i = 0; i < n; i++)
		fresh[at + i] = (uint8_t)below(256);
	memcpy(fresh + at + n, f->p + at, f->n - at);
	free(f->p);
	f->p = fresh;
	f->n += n;
}

/* Two runs of the same length change places; whole records where the file has them. */
static void
reorder(struct image_file *f)
{
	size_t unit = strcmp(f->path, HEADS) == 0 ? HEAD_RECORD_LEN : 32;
	size_t from = strcmp(f->path, HEADS) == 0 ? 8 : 0, n = (f->n - from) / unit;
	uint8_t hold[HEAD_RECORD_LEN];

	if (n < 2)
		return;
	uint8_t *a = f->p + from + below(n) * unit, *b = f->p + from + below(n) * unit;
	memcpy(hold, a, unit);
	memmove(a, b, unit);
	memcpy(b, hold, unit);
}

static void
cut(struct image_file *f)
{
	f->n = below(f->n);
}

static void
splice(struct image_file *f)
{
	const struct image_file *from = &good.files[below(good.n)];
	size_t n = 1 + below(f->n < 128 ? f->n : 128);

	if (from->n < n)
		return;
	memmove(f->p + below(f->n - n + 1), from->p + below(from->n - n + 1), n);
}

static void
replace(struct image_file *f)
{
	const struct image_file *was = image_find(&old, f->path);

	if (was == NULL)
		was = &old.files[below(old.n)];
	free(f->p);
	give(f, was->p, was->n);
}

/* The frame's checksum is made to fit again. */
static void
forge(struct image_file *f)
{
	struct image_file *l = ledger_file(&good);
	unsigned n = (unsigned)result.head.filed;

	if (f != l || n == 0)
		return;
	uint8_t *frame = f->p + frame_of(f, (unsigned)below(n));
	frame[8 + below(get_le32(frame))] ^= (uint8_t)(1 << below(8));
	fix_crc(frame);
}

static void
resign(struct image_file *f)
{
	struct log_head h;

	if (strcmp(f->path, HEADS) != 0)
		return;
	uint8_t *rec = f->p + 8 + below((f->n - 8) / HEAD_RECORD_LEN) * HEAD_RECORD_LEN;
	if (head_record_get(&h, rec) < 0)
		return;
	h.size += 1 + below(5);
	h.root[below(32)] ^= 1;
	h.epoch = 1 + (uint32_t)below(2);
	(void)log_head_sign(&h, VAULT_ORIGIN, v.retired, NULL);
	head_record_put(rec, &h);
}

static const struct {
	const char *name;
	void (*fn)(struct image_file *f);
	/* Something must be said of this very file; of the tree's, that or where the entry lies
	 * that it speaks of. */
	bool exact;
} kinds[] = {
	{"flip",	 flip,    true },
	{"delete",  delete,  false},
	{"insert",  insert,  true },
	{"reorder", reorder, true },
	{"cut",	cut,     false},
	{"splice",  splice,  true },
	{"replace", replace, false},
	{"forge",	  forge,	 true },
	{"resign",  resign,  true },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static bool
names(const struct verify_finding *list, size_t n, const char *path, uint64_t at)
{
	for (size_t i = 0; i < n && i < VERIFY_FINDINGS_MAX; i++) {
		const struct verify_finding *f = &list[i];
		if (strcmp(f->file, path) != 0)
			continue;
		if (f->from == VERIFY_NONE || at == VERIFY_NONE ||
			(f->from <= at && (f->to == VERIFY_NONE || at < f->to)))
			return true;
	}
	return false;
}

static bool
says_where(const struct verify_finding *list, size_t n)
{
	for (size_t i = 0; i < n && i < VERIFY_FINDINGS_MAX; i++)
		if (list[i].from != VERIFY_NONE || list[i].entry != VERIFY_NONE)
			return true;
	return false;
}

static uint64_t
first_difference(const struct image_file *f, const uint8_t *before, size_t n)
{
	for (size_t i = 0; i < f->n && i < n; i++)
		if (f->p[i] != before[i])
			return i;
	return f->n == n ? VERIFY_NONE : (f->n < n ? f->n : n);
}

static void
mutate_once(uint64_t number)
{
	size_t kind = below(KINDS);
	struct image_file *f = &good.files[below(good.n)];
	bool journal = strncmp(f->path, "journal/", 8) == 0;
	const struct secret_key *master = journal || below(2) == 0 ? &v.s.master : NULL;
	uint8_t *before = f->p;
	size_t n = f->n;

	if (n == 0)
		return;
	give(f, before, n);
	kinds[kind].fn(f);
	uint64_t at = first_difference(f, before, n);
	if (at != VERIFY_NONE) {
		int r = check_with(&good, master, NULL);
		bool found = r < 0 || result.verdict != VERIFY_INTACT;
		cr_assert(found, "number %" PRIu64 ": %s of %s at %" PRIu64 " was not found%s",
			number, kinds[kind].name, f->path, at,
			master != NULL ? " with the key" : "");
		bool located = r < 0 ||
			(kinds[kind].exact && strcmp(f->path, TREE) != 0
					? names(result.findings, result.n_findings, f->path,
						  kind == 0 ? at : VERIFY_NONE) ||
						names(result.doubts, result.n_doubts, f->path,
							kind == 0 ? at : VERIFY_NONE)
					: says_where(result.findings, result.n_findings) ||
						says_where(result.doubts, result.n_doubts));
		const struct verify_finding *said =
			result.n_findings > 0 ? result.findings : result.doubts;
		cr_assert(located,
			"number %" PRIu64 ": %s of %s at %" PRIu64 ": %s %" PRIu64 ": %s", number,
			kinds[kind].name, f->path, at, said->file, said->from, said->what);
	}
	free(f->p);
	f->p = before;
	f->n = n;
}

Test(verify, every_change_is_found_and_located, .timeout = 86400)
{
	const char *count = getenv("HAWSER_MUTATIONS"), *from = getenv("HAWSER_SEED");
	uint64_t n = count != NULL ? strtoull(count, NULL, 10) : 1000;
	uint64_t base = from != NULL ? strtoull(from, NULL, 10) : 7;

	check_intact(&good, NULL);
	for (uint64_t i = 0; i < n; i++) {
		seed = (base << 32) + i;
		mutate_once(i);
	}
	check_intact(&good, NULL);
}
