#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include <unistd.h>

#include "audit/rewrap.h"
#include "tests/unit/audit/vault.h"

struct told {
	char names[256];
	int n;
};

static void
skipped(void *arg, const char *name)
{
	struct told *t = arg;

	t->n++;
	snprintf(t->names, sizeof(t->names), "%s", name);
}

static int
opens(const struct vault *v, const char *id, const struct secret_key *key)
{
	struct recording *rec;
	int r = recording_open(&rec, v->s.recordings, id, key, NULL);

	if (r == 0)
		recording_close(rec);
	return r;
}

Test(rewrap, a_recording_whose_head_is_damaged_keeps_no_other_from_the_new_key)
{
	const struct secret_key to = {
		.bytes = {1, 2, 3}
	  };
	struct hw_err err = HW_ERR_INIT;
	struct told told = {.n = 0};
	struct vault v;
	char path[200];

	vault_init(&v);
	vault_open(&v);
	vault_session(&v, 11, "ann-1", 2000, true);
	vault_session(&v, 12, "bob-1", 2000, true);
	vault_session(&v, 13, "eve-1", 2000, true);
	vault_work(&v);
	vault_close(&v);
	snprintf(path, sizeof(path), "%s/bob-1.rec", v.s.recordings);
	file_flip(path, 40);
	const struct rewrap_dirs dirs = {.journal = v.s.journal,
		.recordings = v.s.recordings,
		.ledger = "/nonexistent",
		.skipped = skipped,
		.arg = &told};
	for (int again = 0; again < 2; again++)
		cr_assert(rewrap_all(&dirs, &v.s.master, &to, &err) == 0, "%s", err.text);
	cr_assert(eq(int, told.n, 2));
	cr_assert_str_eq(told.names, "bob-1.rec");
	cr_assert(eq(int, opens(&v, "ann-1", &to), 0));
	cr_assert(eq(int, opens(&v, "eve-1", &to), 0));
	cr_assert(eq(int, opens(&v, "bob-1", &to), HW_ECORRUPT));
	cr_assert(ne(int, opens(&v, "ann-1", &v.s.master), 0));
	vault_fini(&v);
}

/* A power cut leaves a file of the ledger with its name, and zeros for a head. */
Test(rewrap, a_file_of_the_ledger_that_has_no_head_yet_is_passed_over)
{
	struct hw_err err = HW_ERR_INIT;
	struct vault v;
	char path[200];

	vault_init(&v);
	vault_open(&v);
	vault_entries(&v, 5);
	vault_work(&v);
	vault_close(&v);
	const struct rewrap_dirs dirs = {
		.journal = v.s.journal, .recordings = v.s.recordings, .ledger = v.s.ledger};
	struct secret_key from = v.s.master;
	secret_key_random(&v.s.master);
	for (unsigned n = 0; n < 2; n++) {
		snprintf(path, sizeof(path), "%s/ledger-%016x.log", v.s.ledger, 1000 + n);
		FILE *f = fopen(path, "w");
		cr_assert(f != NULL && fclose(f) == 0 && truncate(path, n * 128) == 0);
	}
	cr_assert(rewrap_all(&dirs, &from, &v.s.master, &err) == 0, "%s", err.text);
	cr_assert(vault_try_open(&v, &err) == 0, "%s", err.text);
	vault_close(&v);
	cr_assert(ne(int, access(path, F_OK), 0));
	vault_fini(&v);
}
