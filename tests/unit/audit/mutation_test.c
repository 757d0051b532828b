/*
 * Anything that is changed in a relay's directory is found, and the place is named. Directories of
 * several shapes, written by what writes a relay's, are changed at random, one change at a time,
 * and each is verified whole. HAWSER_MUTATIONS says how many (1000), HAWSER_SEED from where;
 * `./dev mutate` does a million.
 *
 *
 * Two kinds of change leave a directory that a relay itself may have left, and take nothing out of
 * it that is not proven elsewhere. Heads go, and the last one is over as many entries, and of the
 * same epoch: old ones are thinned out, and the newest is signed again when nothing happens. And
 * without the master key a wrapped key may be any: a rotation puts another one there. With the key
 * it is found.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger_file.h"
#include "tests/unit/audit/mutation.h"

TestSuite(mutation, .timeout = 86400);

/* --- directories ------------------------------------------------------------------------------ */

static void
erase(struct vault *v, uint64_t entry)
{
	const struct msg_ledger_entry e = {.reason = "test", .size = (int64_t)entry};

	cr_assert(eq(int, ledger_commit(v->ledger, ENTRY_ENTRY_ERASED, &e), 0));
}

static void
rotate(struct vault *v)
{
	vault_close(v);
	vault_rotate(v);
	vault_open(v);
}

/* Three sessions, one of which lives, two epochs, an erased entry; the older copy is of before. */
static void
plain(struct ground *g)
{
	struct vault *v = &g->v;

	vault_open(v);
	vault_entries(v, 9);
	vault_session(v, 11, "ann-1", 20000, true);
	vault_work(v);
	vault_entries(v, 4);
	vault_work(v);
	vault_close(v);
	image_load(&g->old, v->s.dir);
	vault_rotate(v);
	vault_open(v);
	vault_session(v, 12, "bob-1", 3000, true);
	vault_session(v, 13, "eve-1", 5000, false);
	vault_entries(v, 6);
	vault_work(v);
	erase(v, 3);
	vault_entries(v, 3);
	vault_work(v);
	vault_close(v);
	cr_assert(eq(int, ledger_files_erase(v->s.ledger, 3, &v->s.master, NULL), 0));
}

/* Many small files: segments of the journal, files of the ledger, recordings; one was deleted. */
static void
pieces(struct ground *g)
{
	struct vault *v = &g->v;
	char id[16];

	v->segment_size = 4096;
	v->ledger_file_size = 1500;
	vault_open(v);
	for (unsigned i = 0; i < 7; i++) {
		snprintf(id, sizeof(id), "kim-%u", i);
		vault_session(v, 20 + i, id, 700 + 150 * i, i != 5);
		vault_entries(v, 3);
		vault_work(v);
		if (i == 3) {
			image_load(&g->old, v->s.dir);
			rotate(v);
		}
	}
	vault_delete(v, "kim-2");
	vault_entries(v, 2);
	vault_work(v);
	vault_close(v);
}

/* Sessions that go on for minutes, with checkpoints, over three epochs and a crash; two entries are
 * erased. */
static void
ages(struct ground *g)
{
	struct vault *v = &g->v;

	v->segment_size = 64 * 1024;
	vault_open(v);
	vault_session(v, 31, "lea-1", 9000, false);
	vault_session(v, 32, "max-1", 2000, false);
	vault_entries(v, 5);
	for (unsigned i = 0; i < 3; i++) {
		fake_clock_advance(&v->s.clock, 61 * USEC_PER_SEC);
		vault_work(v);
		vault_output(v, 31, 9000 + 2000 * i, 2000);
		vault_entries(v, 1);
	}
	rotate(v);
	vault_entries(v, 4);
	vault_work(v);
	image_load(&g->old, v->s.dir);
	vault_end(v, 31);
	vault_entries(v, 2);
	vault_work(v);
	vault_drop(v);
	vault_open(v);
	rotate(v);
	erase(v, 2);
	erase(v, 6);
	vault_session(v, 33, "pia-1", 300, true);
	vault_entries(v, 5);
	vault_work(v);
	vault_end(v, 32);
	vault_entries(v, 1);
	vault_work(v);
	vault_close(v);
	cr_assert(eq(int, ledger_files_erase(v->s.ledger, 2, &v->s.master, NULL), 0));
	cr_assert(eq(int, ledger_files_erase(v->s.ledger, 6, &v->s.master, NULL), 0));
}

static void (*const shapes[])(struct ground *) = {plain, pieces, ages};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static struct verify_result result;

static int
check(struct ground *g, const struct secret_key *master, const struct log_head *known,
	struct hw_err *err)
{
	const struct verify_options o = {.ca = ca_cert(g->v.ca),
		.master = master,
		.known = known,
		.known_origin = VAULT_ORIGIN};
	struct verify_source source = image_source(&g->now);

	return verify_run(&result, &source, &o, err);
}

static void
check_intact(struct ground *g, const struct secret_key *master)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, check(g, master, NULL, &err), 0), "%s", hw_err_text(&err));
	const struct verify_finding *f = result.n_findings > 0 ? result.findings : result.doubts;
	cr_assert(eq(int, (int)result.verdict, VERIFY_INTACT), "%s: %s", f->file, f->what);
}

static void
ground_init(struct ground *g, void (*shape)(struct ground *))
{
	memset(g, 0, sizeof(*g));
	vault_init(&g->v);
	shape(g);
	image_load(&g->now, g->v.s.dir);
	check_intact(g, NULL);
	check_intact(g, &g->v.s.master);
	g->head = result.head;
	ground_survey(g);
}

static void
ground_fini(struct ground *g)
{
	image_fini(&g->old);
	image_fini(&g->now);
	vault_fini(&g->v);
}

/* --- what is said ----------------------------------------------------------------------------- */

static bool
covers(const struct verify_finding *f, const struct place *p)
{
	bool same = strcmp(f->file, p->file) == 0;

	if (same && p->is_whole)
		return true;
	if (same && f->from != VERIFY_NONE)
		return f->from <= p->to && (f->to == VERIFY_NONE || p->from <= f->to);
	return p->entry != VERIFY_NONE && f->entry != VERIFY_NONE && f->entry < p->entry_to &&
		(f->entry_to == VERIFY_NONE || p->entry < f->entry_to);
}

static bool
any_covers(const struct verify_finding *list, size_t n, const struct place *p)
{
	for (size_t i = 0; i < n && i < VERIFY_FINDINGS_MAX; i++)
		if (covers(&list[i], p))
			return true;
	return false;
}

/* --- the run ---------------------------------------------------------------------------------- */

#define COMPLAINTS_MAX 20

struct tally {
	uint64_t done, exempt, same, missed, by_kind[MUTATION_KINDS];
};

/* All that was said, as far as there is room. */
static void
quote(char *out, size_t room, int r, const struct hw_err *err)
{
	size_t n = (size_t)snprintf(out, room, "%s", r < 0 ? hw_err_text(err) : "");

	for (size_t i = 0; i < result.n_findings + result.n_doubts && i < 6 && n < room; i++) {
		const struct verify_finding *f = i < result.n_findings
			? &result.findings[i]
			: &result.doubts[i - result.n_findings];
		n += (size_t)snprintf(out + n, room - n,
			"\n  %s bytes %" PRId64 " to %" PRId64 " entries %" PRId64 " to %" PRId64
			": %s",
			f->file, (int64_t)f->from, (int64_t)f->to, (int64_t)f->entry,
			(int64_t)f->entry_to, f->what);
	}
}

static void
complain(struct tally *t, const struct mutation *m, uint64_t number, bool with_key, int r,
	const struct hw_err *err)
{
	char said[4096];

	if (t->missed++ >= COMPLAINTS_MAX)
		return;
	quote(said, sizeof(said), r, err);
	fprintf(stderr,
		"number %" PRIu64 ", %s of %s at %" PRIu64 " to %" PRIu64 ", entries %" PRId64
		" to %" PRId64 "%s, %s %s\n",
		number, mutation_name(m->kind), m->place.file, m->place.from, m->place.to,
		(int64_t)m->place.entry, (int64_t)m->place.entry_to,
		with_key ? ", with the key" : "",
		said[0] == '\0' ? "was not found" : "was not located:", said);
}

static bool
is_located(const struct mutation *m, int r, const struct hw_err *err)
{
	if (r < 0)
		return strstr(hw_err_text(err), m->place.file) != NULL;
	return m->is_wide || any_covers(result.findings, result.n_findings, &m->place) ||
		any_covers(result.doubts, result.n_doubts, &m->place);
}

static void
judge(struct ground *g, const struct mutation *m, uint64_t number, bool with_key, struct tally *t)
{
	struct hw_err err = HW_ERR_INIT;

	int r = check(g, with_key ? &g->v.s.master : NULL, m->needs_head ? &g->head : NULL, &err);
	if (r < 0 || result.verdict != VERIFY_INTACT) {
		if (!is_located(m, r, &err))
			complain(t, m, number, with_key, r, &err);
	} else if (m->in_wrapped_key && !with_key) {
		t->exempt++;
		judge(g, m, number, true, t);
	} else if (m->keeps_heads) {
		t->exempt++;
	} else {
		complain(t, m, number, with_key, r, &err);
	}
}

static uint64_t
setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* Each shape has its part of them, so that every number is the same change in every run. */
static void
run_shape(struct ground *g, size_t shape, uint64_t n, uint64_t base, struct tally *t)
{
	for (uint64_t i = shape; i < n; i += SHAPES) {
		struct mutation m;
		if (!mutation_make(&m, g, (base << 32) + i)) {
			t->same++;
			continue;
		}
		judge(g, &m, i, m.needs_key || i / SHAPES % 2 == 0, t);
		mutation_undo(&m, g);
		t->done++;
		t->by_kind[m.kind]++;
	}
}

Test(mutation, every_change_is_found_and_located)
{
	uint64_t n = setting("HAWSER_MUTATIONS", 1000), base = setting("HAWSER_SEED", 7);
	struct tally t = {.done = 0};

	for (size_t i = 0; i < SHAPES; i++) {
		struct ground g;
		ground_init(&g, shapes[i]);
		run_shape(&g, i, n, base, &t);
		check_intact(&g, NULL);
		check_intact(&g, &g.v.s.master);
		ground_fini(&g);
	}
	cr_assert(eq(u64, t.missed, 0));
	cr_assert(t.done * 10 > n * 9, "%" PRIu64 " changed nothing", t.same);
	if (getenv("HAWSER_MUTATIONS") == NULL)
		return;
	printf("%" PRIu64 " changes, all found and located but %" PRIu64
	       " that leave what a relay may leave; %" PRIu64 " more changed nothing\n",
		t.done, t.exempt, t.same);
	for (unsigned k = 0; k < MUTATION_KINDS; k++)
		printf("%10" PRIu64 " %s\n", t.by_kind[k], mutation_name(k));
}
