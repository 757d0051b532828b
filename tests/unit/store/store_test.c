#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/store/db_conn.h"
#include "relay/store/migrations.h"
#include "relay/store/users.h"
#include "tests/unit/store/scratch_store.h"

static int
add_user(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row = {.created = NOON};

	snprintf(row.name, sizeof(row.name), "%s", (const char *)arg);
	int r = user_insert(db, &row, err);
	if (r == 0)
		store_changed(db, STORE_USER, row.name);
	return r;
}

static int
add_user_and_fail(void *arg, struct db *db, struct hw_err *err)
{
	int r = add_user(arg, db, err);

	return r < 0 ? r : hw_err_set(err, HW_EDENIED, "changed its mind");
}

static int
has_user(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row;

	return user_get(db, arg, &row, err);
}

static int
count_users(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row;
	struct query q;
	int n = 0;

	int r = user_list(&q, db, "", err);
	while (r == 0 && (r = user_next(&q, &row, err)) > 0) {
		n++;
		r = 0;
	}
	query_end(&q);
	*(int *)arg = n;
	return r;
}

/* --- a disk that takes no more ---------------------------------------------------------------- */

/* Of this process, as SQLite's table of system calls is. */
static struct {
	int code;  /* 0: all is well */
	int after; /* that many writes */
	bool did;
} trouble;

static bool
has_trouble(void)
{
	if (trouble.code == 0 || trouble.after-- > 0)
		return false;
	trouble.did = true;
	errno = trouble.code;
	return true;
}

static ssize_t
poor_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return has_trouble() ? -1 : pwrite(fd, p, n, at);
}

static ssize_t
poor_write(int fd, const void *p, size_t n)
{
	return has_trouble() ? -1 : write(fd, p, n);
}

static struct scratch *
scratch_with_trouble(void)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr fn;
	} calls[] = {
		{"pwrite",   (sqlite3_syscall_ptr)poor_pwrite},
		{"pwrite64", (sqlite3_syscall_ptr)poor_pwrite},
		{"write",	  (sqlite3_syscall_ptr)poor_write },
	};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		cr_assert(vfs->xSetSystemCall(vfs, calls[i].name, calls[i].fn) == SQLITE_OK);
	trouble.code = 0;
	return scratch_new(false);
}

static void
begin_trouble(int code, int after)
{
	trouble.code = code;
	trouble.after = after;
	trouble.did = false;
}

/* Whichever write it is that finds no room, of the commit or of what is behind it. */
Test(store, a_full_disk_is_over_when_there_is_room_again)
{
	struct scratch *s = scratch_with_trouble();
	char lost[32], kept[32];
	int failed = 0;

	for (int after = 0; after == 0 || trouble.did; after++) {
		struct hw_err err = HW_ERR_INIT;
		snprintf(lost, sizeof(lost), "lost-%d", after);
		snprintf(kept, sizeof(kept), "kept-%d", after);
		begin_trouble(ENOSPC, after);
		int r = scratch_write(s, add_user, lost, &err);
		trouble.code = 0;
		cr_assert(r == 0 || r == HW_EFULL, "%s", err.text);
		failed += r < 0;
		cr_assert(eq(int, scratch_read(s, has_user, lost, NULL), r < 0 ? HW_ENOTFOUND : 0));
		cr_assert(eq(int, scratch_write(s, add_user, kept, &err), 0), "%s", err.text);
		scratch_reopen(s, false);
		cr_assert(eq(int, scratch_read(s, has_user, kept, NULL), 0));
		cr_assert(eq(int, scratch_read(s, has_user, lost, NULL), r < 0 ? HW_ENOTFOUND : 0));
	}
	cr_assert(ge(int, failed, 2));
	scratch_free(s);
}

Test(store, a_disk_that_fails_ends_the_writes_until_it_is_opened_again)
{
	struct scratch *s = scratch_with_trouble();
	struct hw_err err = HW_ERR_INIT;

	begin_trouble(EIO, 0);
	cr_assert(not(store_failed(s->store)));
	cr_assert(eq(int, scratch_write(s, add_user, "alice", &err), HW_EIO));
	cr_assert(store_failed(s->store));
	trouble.code = 0;
	cr_assert(eq(int, scratch_write(s, add_user, "bob", &err), HW_EIO));
	cr_assert(strstr(err.text, "until the relay starts again") != NULL, "%s", err.text);
	scratch_reopen(s, false);
	cr_assert(eq(int, scratch_write(s, add_user, "bob", &err), 0));
	cr_assert(eq(int, scratch_read(s, has_user, "alice", NULL), HW_ENOTFOUND));
	scratch_free(s);
}

/* --- one write -------------------------------------------------------------------------------- */

Test(store, what_was_written_is_there_after_opening_again)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, scratch_write(s, add_user, "alice", &err), 0));
	scratch_reopen(s, true);
	cr_assert(eq(int, scratch_read(s, has_user, "alice", &err), 0));
	scratch_free(s);
}

Test(store, only_the_relay_may_read_the_file)
{
	struct scratch *s = scratch_new(false);
	char wal[128];
	struct stat st;

	cr_assert(eq(int, scratch_write(s, add_user, "alice", NULL), 0));
	cr_assert(eq(int, stat(s->path, &st), 0));
	cr_assert(eq(int, (int)(st.st_mode & 0777), 0600));
	snprintf(wal, sizeof(wal), "%s-wal", s->path);
	cr_assert(eq(int, stat(wal, &st), 0));
	cr_assert(eq(int, (int)(st.st_mode & 0777), 0600));
	scratch_free(s);
}

Test(store, a_write_that_fails_leaves_nothing_behind)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, scratch_write(s, add_user_and_fail, "alice", &err), HW_EDENIED));
	cr_assert_str_eq(err.text, "changed its mind");
	cr_assert(eq(int, scratch_read(s, has_user, "alice", &err), HW_ENOTFOUND));
	cr_assert(eq(sz, s->n_changes, 0));
	scratch_free(s);
}

Test(store, a_broken_unique_constraint_says_so)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, scratch_write(s, add_user, "alice", &err), 0));
	cr_assert(eq(int, scratch_write(s, add_user, "alice", &err), HW_EEXISTS));
	cr_assert_str_eq(err.text, "there is a user alice already");
	scratch_free(s);
}

static int
write_as_reader(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return db_run(db, NULL, err, "DELETE FROM user_account WHERE name = $1", "s", "alice");
}

Test(store, a_reader_cannot_write)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(lt(int, scratch_read(s, write_as_reader, NULL, &err), 0));
	scratch_free(s);
}

/* --- changes ---------------------------------------------------------------------------------- */

static int
change_much(void *arg, struct db *db, struct hw_err *err)
{
	(void)err;
	(void)arg;
	for (int i = 0; i < 40; i++) {
		store_changed(db, STORE_USER, "alice");
		store_changed(db, STORE_NODE, "alice");
	}
	store_changed(db, STORE_USER, "bob");
	return 0;
}

Test(store, each_change_is_told_once)
{
	struct scratch *s = scratch_new(false);

	cr_assert(eq(int, scratch_write(s, change_much, NULL, NULL), 0));
	cr_assert(eq(sz, s->n_changes, 3));
	cr_assert_str_eq(s->changes[2].id, "bob");
	scratch_free(s);
}

static int
alice_is_there(struct scratch *s, struct db *db)
{
	char alice[] = "alice";

	(void)s;
	return has_user(alice, db, NULL);
}

Test(store, changes_are_told_after_their_commit_and_before_the_answer)
{
	struct scratch *s = scratch_new(true);

	s->on_change = alice_is_there;
	cr_assert(eq(int, scratch_write(s, add_user, "alice", NULL), 0));
	cr_assert(eq(sz, s->n_changes, 1));
	scratch_free(s);
}

/* --- threads ---------------------------------------------------------------------------------- */

#define THREADS 16
#define EACH	40

struct writer {
	struct scratch *s;
	int number;
	int failures;
};

static void *
write_many(void *arg)
{
	struct writer *w = arg;
	char name[32];

	for (int i = 0; i < EACH; i++) {
		snprintf(name, sizeof(name), "u%d-%d", w->number, i);
		if (scratch_write(w->s, i % 4 == 3 ? add_user_and_fail : add_user, name, NULL) < 0)
			w->failures++;
		else if (scratch_read(w->s, has_user, name, NULL) < 0)
			w->failures += 1000; /* it was answered, so it must be there */
	}
	return NULL;
}

Test(store, writes_of_many_threads_are_kept_apart)
{
	struct scratch *s = scratch_new(true);
	struct writer writers[THREADS];
	pthread_t threads[THREADS];
	int n = 0;

	for (int i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){s, i, 0};
		pthread_create(&threads[i], NULL, write_many, &writers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert(eq(int, writers[i].failures, EACH / 4));
	}
	cr_assert(eq(int, scratch_read(s, count_users, &n, NULL), 0));
	cr_assert(eq(int, n, THREADS *EACH * 3 / 4));
	scratch_free(s);
}

/* Holds the writer until it is let go, so that what comes meanwhile is one batch. */
struct gate {
	struct scratch *s;
	sem_t inside, go;
};

static int
hold(void *arg, struct db *db, struct hw_err *err)
{
	struct gate *g = arg;

	(void)db;
	(void)err;
	sem_post(&g->inside);
	sem_wait(&g->go);
	return 0;
}

static void *
hold_writer(void *arg)
{
	struct gate *g = arg;

	store_write(g->s->store, hold, g, NULL);
	return NULL;
}

struct one {
	struct scratch *s;
	store_fn *fn;
	const char *name;
	int result;
	pthread_t thread;
};

static void *
write_one(void *arg)
{
	struct one *w = arg;

	w->result = store_write(w->s->store, w->fn, (void *)(uintptr_t)w->name, NULL);
	return NULL;
}

Test(store, a_failing_write_of_a_batch_takes_back_its_own_part_alone)
{
	struct scratch *s = scratch_new(true);
	struct gate g = {.s = s};
	struct one writes[] = {
		{s, add_user,	      "first",  1, 0},
		{s, add_user_and_fail, "second", 1, 0},
		{s, add_user,	      "third",  1, 0},
	};
	pthread_t holder;

	sem_init(&g.inside, 0, 0);
	sem_init(&g.go, 0, 0);
	pthread_create(&holder, NULL, hold_writer, &g);
	sem_wait(&g.inside);
	for (int i = 0; i < 3; i++) {
		pthread_create(&writes[i].thread, NULL, write_one, &writes[i]);
		usleep(20000);
	}
	sem_post(&g.go);
	pthread_join(holder, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(writes[i].thread, NULL);
	cr_assert(eq(int, writes[0].result, 0));
	cr_assert(eq(int, writes[1].result, HW_EDENIED));
	cr_assert(eq(int, writes[2].result, 0));
	cr_assert(eq(int, scratch_read(s, has_user, "first", NULL), 0));
	cr_assert(eq(int, scratch_read(s, has_user, "second", NULL), HW_ENOTFOUND));
	cr_assert(eq(int, scratch_read(s, has_user, "third", NULL), 0));
	cr_assert(eq(sz, s->n_changes, 2));
	scratch_free(s);
}

/* --- a crash ---------------------------------------------------------------------------------- */

static void
write_until_killed(struct scratch *s, int to)
{
	char name[32];

	scratch_reopen(s, true);
	for (int i = 0;; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		if (scratch_write(s, add_user, name, NULL) == 0 &&
			write(to, &i, sizeof(i)) != sizeof(i))
			_exit(1);
		s->n_changes = 0;
	}
}

Test(store, what_was_answered_survives_a_kill)
{
	struct scratch *s = scratch_new(false);
	int answered[2], last = -1, n = 0;

	store_close(s->store);
	s->store = NULL;
	cr_assert(eq(int, pipe(answered), 0));
	pid_t child = fork();
	if (child == 0)
		write_until_killed(s, answered[1]);
	close(answered[1]);
	while (last < 30)
		cr_assert(eq(int, (int)read(answered[0], &last, sizeof(last)), (int)sizeof(last)));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	while (read(answered[0], &last, sizeof(last)) > 0)
		;
	close(answered[0]);
	scratch_reopen(s, false);
	cr_assert(eq(int, scratch_read(s, count_users, &n, NULL), 0));
	cr_assert(ge(int, n, last + 1));
	scratch_free(s);
}

/* --- what is not a store ---------------------------------------------------------------------- */

static void
fill_file(const char *path, off_t at, const char *text, bool cut)
{
	int fd = open(path, O_WRONLY | O_CREAT | (cut ? O_TRUNC : 0), 0600);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(long, (long)pwrite(fd, text, strlen(text), at), (long)strlen(text)));
	close(fd);
}

Test(store, a_file_of_something_else_is_refused)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	store_close(s->store);
	s->store = NULL;
	fill_file(s->path, 0,
		"this is a text and no database, of more than a hundred bytes: "
		"SQLite looks at the first hundred of them, and says so.",
		true);
	cr_assert(eq(int, scratch_try(s, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(err.text, s->path), NULL), "%s", err.text);
	scratch_free(s);
}

Test(store, a_damaged_page_is_found_at_the_opening)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	store_close(s->store);
	s->store = NULL;
	fill_file(s->path, 4096 * 2, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false);
	cr_assert(eq(int, scratch_try(s, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(err.text, "restore it from a backup"), NULL), "%s", err.text);
	scratch_free(s);
}

Test(store, a_file_that_was_cut_is_refused)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	store_close(s->store);
	s->store = NULL;
	cr_assert(eq(int, truncate(s->path, 4096 * 3), 0));
	cr_assert(eq(int, scratch_try(s, &err), HW_ECORRUPT), "%s", err.text);
	scratch_free(s);
}

static void
sql(struct scratch *s, bool ours, const char *text)
{
	struct db *db;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, db_open(&db, s->path, ours, &err), 0), "%s", err.text);
	cr_assert(eq(int, db_exec(db, text, &err), 0), "%s", err.text);
	db_close(db);
}

Test(store, a_newer_database_is_refused_and_left_alone)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	store_close(s->store);
	s->store = NULL;
	sql(s, true, "INSERT INTO schema_version (version, applied) VALUES (99, 0)");
	cr_assert(eq(int, scratch_try(s, &err), HW_EVERSION));
	cr_assert(ne(ptr, strstr(err.text, "version 99"), NULL), "%s", err.text);
	scratch_free(s);
}

Test(store, a_database_of_another_program_is_refused)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	store_close(s->store);
	s->store = NULL;
	sql(s, true, "PRAGMA application_id = 7");
	cr_assert(eq(int, scratch_try(s, &err), HW_ECORRUPT));
	cr_assert(ne(ptr, strstr(err.text, "another program"), NULL), "%s", err.text);
	scratch_free(s);
}

Test(store, migrating_twice_changes_nothing)
{
	struct scratch *s = scratch_new(false);
	struct db *db;

	cr_assert(eq(int, scratch_write(s, add_user, "alice", NULL), 0));
	store_close(s->store);
	s->store = NULL;
	cr_assert(eq(int, db_open(&db, s->path, true, NULL), 0));
	cr_assert(eq(int, migrations_run(db, NOON, NULL), 0));
	cr_assert(eq(int, migrations_run(db, NOON, NULL), 0));
	db_close(db);
	scratch_reopen(s, false);
	cr_assert(eq(int, scratch_read(s, has_user, "alice", NULL), 0));
	scratch_free(s);
}

Test(store, a_missing_folder_is_named)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;
	struct store *other = NULL;
	const struct store_config config = {
		.path = "/nonexistent/relay.db", .clock = &s->clock.clock, .readers = 1};

	cr_assert(lt(int, store_open(&other, &config, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "/nonexistent/relay.db"), NULL), "%s", err.text);
	cr_assert(eq(ptr, other, NULL));
	scratch_free(s);
}

/* --- the thin layer --------------------------------------------------------------------------- */

static int
out_of_order(void *arg, struct db *db, struct hw_err *err)
{
	struct query q;

	(void)arg;
	int r = db_query(&q, db, "SELECT CAST($2 AS BIGINT), $1", err);
	query_bind_text(&q, 1, "one");
	query_bind_int(&q, 2, 2);
	cr_assert(eq(int, r, 0));
	cr_assert(eq(int, query_step(&q, err), 1));
	cr_assert(eq(long, (long)query_int(&q, 0), 2));
	char text[2]; /* too small on purpose */
	query_copy(&q, 1, text, sizeof(text));
	cr_assert_str_eq(text, "o");
	query_end(&q);
	return 0;
}

Test(db, parameters_are_bound_by_number_not_by_place)
{
	struct scratch *s = scratch_new(false);

	cr_assert(eq(int, scratch_read(s, out_of_order, NULL, NULL), 0));
	scratch_free(s);
}

static int
nested(void *arg, struct db *db, struct hw_err *err)
{
	static const char text[] = "SELECT CAST($1 AS BIGINT)";
	struct query a, b;

	(void)arg;
	cr_assert(eq(int, db_query(&a, db, text, err), 0));
	cr_assert(eq(int, db_query(&b, db, text, err), 0));
	query_bind_int(&a, 1, 1);
	query_bind_int(&b, 1, 2);
	cr_assert(eq(int, query_step(&a, err), 1));
	cr_assert(eq(int, query_step(&b, err), 1));
	cr_assert(eq(long, (long)query_int(&a, 0), 1));
	cr_assert(eq(long, (long)query_int(&b, 0), 2));
	query_end(&b);
	query_end(&a);
	/* What was bound last time is gone. */
	cr_assert(eq(int, db_query(&a, db, text, err), 0));
	cr_assert(eq(int, query_step(&a, err), 1));
	cr_assert(query_is_null(&a, 0));
	query_end(&a);
	return 0;
}

Test(db, one_statement_can_run_inside_itself)
{
	struct scratch *s = scratch_new(false);

	cr_assert(eq(int, scratch_read(s, nested, NULL, NULL), 0));
	scratch_free(s);
}

static int
many_statements(void *arg, struct db *db, struct hw_err *err)
{
	char text[64];
	struct query q;

	(void)arg;
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "SELECT %d", i % 150);
		cr_assert(eq(int, db_query(&q, db, text, err), 0));
		cr_assert(eq(int, query_step(&q, err), 1));
		cr_assert(eq(int, (int)query_int(&q, 0), i % 150));
		query_end(&q);
	}
	return 0;
}

Test(db, the_cache_of_statements_lets_old_ones_go)
{
	struct scratch *s = scratch_new(false);

	cr_assert(eq(int, scratch_read(s, many_statements, NULL, NULL), 0));
	scratch_free(s);
}
