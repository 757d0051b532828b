/* What a backup takes of a relay that works meanwhile: one moment, and nothing is left behind. */
#include "relay/core/snapshot.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/schema/schema.h"
#include "proto/trust/secret.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"
#include "tests/unit/ground.h"

#define ROUNDS 8

struct place {
	char dir[64], db[96], journal_dir[96];
	struct secret_key master;
	struct store *store;
	struct journal *journal;
	struct ledger *ledger;
	pthread_t thread;
	atomic_bool stop;
	atomic_int made;
	struct node_row row;
	struct hw_err err;
};

static int
write_node(void *arg, struct db *db, struct hw_err *err)
{
	struct place *p = arg;

	return node_insert(db, &p->row, err);
}

/* Commit, then the entry that tells of it; as operations do. */
static void *
work(void *arg)
{
	const struct msg_ledger_entry e = {.reason = "it is done"};
	struct place *p = arg;
	struct hw_err err = HW_ERR_INIT;

	for (int i = 0; !atomic_load(&p->stop); i++) {
		snprintf(p->row.id, sizeof(p->row.id), "mi-%017x", (unsigned)i);
		hw_assert(store_write(p->store, write_node, p, &err) == 0);
		hw_assert(ledger_append(p->ledger, ENTRY_OUTCOME, &e, NULL) == 0);
		atomic_fetch_add(&p->made, 1);
	}
	return NULL;
}

static int
open_journal(struct journal **ret, struct place *p, const char *dir, uint64_t *cut)
{
	const struct journal_config jc = {.dir = dir,
		.clock = &hw_clock_system,
		.master = &p->master,
		.segment_size = 64 * 1024,
		.threaded = true};

	return journal_open(ret, &jc, cut, &p->err);
}

static struct place *
place_new(void)
{
	struct place *p = calloc(1, sizeof(*p));
	uint64_t cut;

	ground_new(p->dir, sizeof(p->dir), "snap");
	snprintf(p->db, sizeof(p->db), "%s/relay.db", p->dir);
	snprintf(p->journal_dir, sizeof(p->journal_dir), "%s/journal", p->dir);
	secret_key_random(&p->master);
	const struct store_config sc = {
		.path = p->db, .clock = &hw_clock_system, .threaded = true, .readers = 1};
	cr_assert(eq(int, store_open(&p->store, &sc, &p->err), 0), "%s", p->err.text);
	cr_assert(eq(int, open_journal(&p->journal, p, p->journal_dir, &cut), 0), "%s",
		p->err.text);
	p->ledger = ledger_new(p->journal, "relay", &hw_clock_system);
	cr_assert(p->ledger != NULL);
	cr_assert(eq(int, pthread_create(&p->thread, NULL, work, p), 0));
	return p;
}

static void
place_free(struct place *p)
{
	char command[128];

	atomic_store(&p->stop, true);
	pthread_join(p->thread, NULL);
	ledger_free(p->ledger);
	journal_close(p->journal);
	store_close(p->store);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	cr_assert(eq(int, system(command), 0));
	free(p);
}

/* As `backup` reads it, and `restore` puts it back. */
static void
take_away(const struct place *p, const char *to)
{
	char path[256], command[1024], name[128];
	unsigned long long size;

	snprintf(path, sizeof(path), "%s/" SNAPSHOT_DIR "/" SNAPSHOT_LIST, p->dir);
	FILE *list = fopen(path, "re");
	cr_assert(list != NULL);
	while (fscanf(list, "%llu %127s", &size, name) == 2) {
		snprintf(command, sizeof(command),
			"mkdir -p %s/journal && head -c %llu %s/" SNAPSHOT_DIR "/%s > %s/%s", to,
			size, p->dir, name, to, name);
		cr_assert(eq(int, system(command), 0));
	}
	fclose(list);
}

static int
count_nodes(void *arg, struct db *db, struct hw_err *err)
{
	return db_count(db, arg, err, "SELECT COUNT(*) FROM node", "");
}

/* The copy's journal ends with a whole record, and has as many entries as was said; the store knows
 * what each tells of, and at most the one that was not told yet. */
static void
look_at(struct place *p, const char *to, uint64_t entries)
{
	struct journal *journal;
	struct store *store;
	char path[96];
	uint64_t cut = 1;
	int64_t nodes;

	snprintf(path, sizeof(path), "%s/journal", to);
	cr_assert(eq(int, open_journal(&journal, p, path, &cut), 0), "%s", p->err.text);
	cr_assert(eq(u64, cut, 0));
	cr_assert(eq(u64, journal_ledger_next(journal), entries));
	journal_close(journal);
	snprintf(path, sizeof(path), "%s/relay.db", to);
	const struct store_config sc = {.path = path, .clock = &hw_clock_system, .readers = 1};
	cr_assert(eq(int, store_open(&store, &sc, &p->err), 0), "%s", p->err.text);
	cr_assert(eq(int, store_read(store, count_nodes, &nodes, &p->err), 0), "%s", p->err.text);
	store_close(store);
	bool fits = (uint64_t)nodes >= entries && (uint64_t)nodes <= entries + 1;
	cr_assert(fits, "%lld nodes, %llu entries", (long long)nodes, (unsigned long long)entries);
}

static void
await_more(struct place *p, int more)
{
	for (int from = atomic_load(&p->made); atomic_load(&p->made) < from + more;)
		sched_yield();
}

Test(snapshot, is_of_one_moment_whatever_goes_on, .timeout = 120)
{
	struct place *p = place_new();
	const struct snapshot_source source = {
		.dir = p->dir, .clock = &hw_clock_system, .store = p->store, .journal = p->journal};
	char to[96], command[128];
	struct snapshot made;

	for (int i = 0; i < ROUNDS; i++) {
		await_more(p, 10);
		/* Each replaces the one that nobody took away. */
		cr_assert(eq(int, snapshot_make(&made, &source, &p->err), 0), "%s", p->err.text);
		await_more(p, 10); /* the files grow on */
		snprintf(to, sizeof(to), "%s.copy", p->dir);
		take_away(p, to);
		look_at(p, to, made.entries);
		snprintf(command, sizeof(command), "rm -r %s", to);
		cr_assert(eq(int, system(command), 0));
	}
	place_free(p);
}

Test(snapshot, what_is_dropped_leaves_no_second_names)
{
	struct place *p = place_new();
	const struct snapshot_source source = {
		.dir = p->dir, .clock = &hw_clock_system, .store = p->store, .journal = p->journal};
	struct snapshot made;
	struct stat st;
	char path[96];

	snprintf(path, sizeof(path), "%s/recordings", p->dir);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	snprintf(path, sizeof(path), "%s/recordings/a.rec", p->dir);
	fd_close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_assert(eq(int, snapshot_make(&made, &source, &p->err), 0), "%s", p->err.text);
	cr_assert(eq(int, stat(path, &st), 0));
	cr_assert(eq(int, (int)st.st_nlink, 2));
	snapshot_drop(p->dir);
	cr_assert(eq(int, stat(path, &st), 0));
	cr_assert(eq(int, (int)st.st_nlink, 1));
	snprintf(path, sizeof(path), "%s/" SNAPSHOT_DIR, p->dir);
	cr_assert(lt(int, access(path, F_OK), 0));
	place_free(p);
}

/* What a start would finish, and recordings that were set aside, which nothing else has. */
Test(snapshot, what_is_being_erased_and_what_was_set_aside_is_taken)
{
	static const char *const names[] = {"ledger/erasing",
		"recordings/a.rec.aside-0000000000000001",
		"recordings/b.part.damaged-0000000000000002"};
	struct place *p = place_new();
	const struct snapshot_source source = {
		.dir = p->dir, .clock = &hw_clock_system, .store = p->store, .journal = p->journal};
	struct snapshot made;
	char path[160];

	snprintf(path, sizeof(path), "%s/recordings", p->dir);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	snprintf(path, sizeof(path), "%s/ledger", p->dir);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
		fd_close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	cr_assert(eq(int, snapshot_make(&made, &source, &p->err), 0), "%s", p->err.text);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/" SNAPSHOT_DIR "/%s", p->dir, names[i]);
		cr_assert(eq(int, access(path, F_OK), 0), "%s", names[i]);
	}
	place_free(p);
}
