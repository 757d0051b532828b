/* Hands that verify together, and that what they find does not depend on how many they are. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "audit/verify_crew.h"
#include "tests/unit/audit/vault.h"

/* --- the crew --------------------------------------------------------------------------------- */

#define JOBS 1000

struct tally {
	atomic_uint done[JOBS];
	atomic_uint busy[VERIFY_HANDS_MAX]; /* jobs of that hand at this moment */
	atomic_uint twice;
	unsigned hands;
};

static void
count_job(void *arg, unsigned hand, size_t i)
{
	struct tally *t = arg;

	if (hand >= t->hands || atomic_fetch_add(&t->busy[hand], 1) != 0)
		atomic_fetch_add(&t->twice, 1);
	atomic_fetch_add(&t->done[i], 1);
	atomic_fetch_sub(&t->busy[hand], 1);
}

Test(verify_crew, does_each_job_once_run_after_run)
{
	static const size_t shares[] = {1, 7, JOBS, 2 * JOBS};

	for (unsigned hands = 0; hands <= VERIFY_HANDS_MAX + 1; hands += 3) {
		static struct tally t;
		struct verify_crew *c;
		memset(&t, 0, sizeof(t));
		cr_assert(eq(int, verify_crew_new(&c, hands, NULL), 0));
		t.hands = verify_crew_hands(c);
		cr_assert(t.hands >= 1 && t.hands <= VERIFY_HANDS_MAX);
		for (size_t i = 0; i < 4; i++)
			verify_crew_run(c, JOBS, shares[i], count_job, &t);
		verify_crew_run(c, 0, 1, count_job, &t);
		for (size_t i = 0; i < JOBS; i++)
			cr_assert(eq(uint, atomic_load(&t.done[i]), 4));
		cr_assert(eq(uint, atomic_load(&t.twice), 0));
		verify_crew_free(c);
	}
	verify_crew_free(NULL);
}

/* --- what is found ---------------------------------------------------------------------------- */

#define TAPES	12
#define ENTRIES 300
#define HEADS	64 /* more than one hand takes in a row */

static struct vault v;
static struct image im;
static struct verify_result alone, together;

static void
setup(void)
{
	char id[16];

	vault_init(&v);
	vault_open(&v);
	for (unsigned i = 0; i < TAPES; i++) {
		snprintf(id, sizeof(id), "ann-%u", i + 10);
		vault_session(&v, i + 1, id, 4000, true);
		vault_entries(&v, ENTRIES / TAPES);
		vault_work(&v);
	}
	for (unsigned i = TAPES; i < HEADS; i++) {
		vault_entries(&v, 1);
		vault_work(&v);
	}
	vault_close(&v);
	image_load(&im, v.s.dir);
}

static void
teardown(void)
{
	image_fini(&im);
	vault_fini(&v);
}

TestSuite(verify_hands, .init = setup, .fini = teardown, .timeout = 120);

static void
check(struct verify_result *ret, const struct secret_key *master, unsigned threads)
{
	const struct verify_options o = {.ca = ca_cert(v.ca), .master = master, .threads = threads};
	struct verify_source source = image_source(&im);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, verify_run(ret, &source, &o, &err), 0), "%s", hw_err_text(&err));
}

static void
same_list(const struct verify_finding *a, size_t n, const struct verify_finding *b, size_t m)
{
	cr_assert(eq(sz, n, m));
	for (size_t i = 0; i < n && i < VERIFY_FINDINGS_MAX; i++) {
		cr_assert(eq(str, (char *)a[i].file, (char *)b[i].file));
		cr_assert(eq(str, (char *)a[i].what, (char *)b[i].what));
		cr_assert(a[i].from == b[i].from && a[i].to == b[i].to);
		cr_assert(a[i].entry == b[i].entry && a[i].entry_to == b[i].entry_to);
	}
}

/* With and without the master key; *ret is that of one hand with it. */
static void
check_same(void)
{
	const struct secret_key *const keys[] = {NULL, &v.s.master};

	for (size_t i = 0; i < 2; i++) {
		check(&alone, keys[i], 1);
		check(&together, keys[i], 4);
		cr_assert(eq(int, (int)alone.verdict, (int)together.verdict));
		same_list(alone.findings, alone.n_findings, together.findings, together.n_findings);
		same_list(alone.doubts, alone.n_doubts, together.doubts, together.n_doubts);
		cr_assert(alone.bytes == together.bytes && alone.sessions == together.sessions);
		cr_assert(alone.entries == together.entries && alone.heads == together.heads);
	}
}

static void
flip(const char *path, size_t back)
{
	struct image_file *f = image_find(&im, path);

	cr_assert_not_null(f);
	f->p[f->n - back] ^= 1;
}

Test(verify_hands, many_find_a_good_directory_intact_as_one_does)
{
	check_same();
	cr_assert(eq(int, (int)alone.verdict, VERIFY_INTACT));
	cr_assert(eq(u64, alone.sessions, TAPES));
	cr_assert(ge(u64, alone.heads, HEADS));
}

Test(verify_hands, many_find_the_same_damage_in_the_same_order)
{
	flip("recordings/ann-20.rec", 100);
	flip("recordings/ann-13.rec", 2000);
	flip("recordings/ann-11.rec", 3000);
	struct image_file *gone = image_find(&im, "recordings/ann-17.rec");
	cr_assert_not_null(gone);
	strcpy(gone->path, "recordings/eve-1.rec");
	flip("ledger/ledger-0000000000000000.log", 20);
	flip("ledger/ledger-0000000000000000.log", 9000);
	flip("ledger/heads", 1000);
	check_same();
	cr_assert(eq(int, (int)alone.verdict, VERIFY_BROKEN));
	cr_assert(ge(sz, alone.n_findings, 7));
}

/* --- what cannot be read ---------------------------------------------------------------------- */

static int (*image_read)(void *, const struct verify_file *, uint64_t, void *, size_t,
	struct hw_err *);

/* Two recordings lie on bad sectors. */
static int
read_badly(void *arg, const struct verify_file *f, uint64_t at, void *p, size_t n,
	struct hw_err *err)
{
	if (f->mem == image_find(&im, "recordings/ann-19.rec")->p)
		return hw_err_set(err, HW_EIO, "a bad sector under ann-19");
	if (f->mem == image_find(&im, "recordings/ann-12.rec")->p)
		return hw_err_set(err, HW_EIO, "a bad sector under ann-12");
	return image_read(arg, f, at, p, n, err);
}

Test(verify_hands, the_first_that_cannot_be_read_is_the_error_whoever_read_it)
{
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		const struct verify_options o = {.ca = ca_cert(v.ca), .threads = threads};
		struct verify_source source = image_source(&im);
		struct hw_err err = HW_ERR_INIT;
		image_read = source.read;
		source.read = read_badly;
		cr_assert(eq(int, verify_run(&alone, &source, &o, &err), HW_EIO));
		cr_assert(eq(int, strcmp(hw_err_text(&err), "a bad sector under ann-12"), 0), "%s",
			hw_err_text(&err));
	}
}
