#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "relay/store/sessions.h"
#include "tests/unit/store/scratch_store.h"

struct body {
	struct scratch *s;
	void (*fn)(struct scratch *s, struct db *db, struct hw_err *err);
};

static int
run_body(void *arg, struct db *db, struct hw_err *err)
{
	struct body *b = arg;

	b->fn(b->s, db, err);
	return 0;
}

static void
in_a_write(void (*fn)(struct scratch *s, struct db *db, struct hw_err *err))
{
	struct body b = {scratch_new(false), fn};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, store_write(b.s->store, run_body, &b, &err), 0));
	scratch_free(b.s);
}

#define SESSION_TEST(name)                                                             \
	static void name##_body(struct scratch *s, struct db *db, struct hw_err *err); \
	Test(sessions, name)                                                           \
	{                                                                              \
		in_a_write(name##_body);                                               \
	}                                                                              \
	static void name##_body(struct scratch *s, struct db *db, struct hw_err *err)

static struct session_row
session(const char *id, int64_t start)
{
	struct session_row row = {
		.type = CHANNEL_TYPE_PTY,
		.principal = "alice",
		.owner_arn = "arn:aws:iam::1:user/alice",
		.node_id = "mi-00000000000000001",
		.node_name = "web-01",
		.document = "SSM-SessionManagerRunShell",
		.status = SESSION_STATUS_CONNECTING,
		.start = start,
	};

	snprintf(row.id, sizeof(row.id), "%s", id);
	return row;
}

static void
insert(struct db *db, const char *id, int64_t start, const char *hash)
{
	struct session_row row = session(id, start);

	cr_assert(eq(int, session_insert(db, &row, hash, start + 60, NULL), 0));
}

SESSION_TEST(what_is_put_in_comes_out)
{
	struct session_row in = session("alice-00000000000000001", NOON), *out;

	in.command = "uname -a";
	snprintf(in.reason, sizeof(in.reason), "ticket 12");
	snprintf(in.remote_host, sizeof(in.remote_host), "db.internal");
	in.remote_port = 5432;
	cr_assert(eq(int, session_insert(db, &in, "h", NOON + 60, err), 0));
	cr_assert(eq(int, session_insert(db, &in, NULL, 0, err), HW_EEXISTS));
	cr_assert(eq(int, session_get(db, s->arena, in.id, &out, err), 0));
	cr_assert(eq(int, out->type, CHANNEL_TYPE_PTY));
	cr_assert(eq(int, out->status, SESSION_STATUS_CONNECTING));
	cr_assert_str_eq(out->command, "uname -a");
	cr_assert_str_eq(out->reason, "ticket 12");
	cr_assert_str_eq(out->remote_host, "db.internal");
	cr_assert(eq(int, out->remote_port, 5432));
	cr_assert(out->start == NOON);
	insert(db, "alice-00000000000000002", NOON, NULL);
	cr_assert(eq(int, session_get(db, s->arena, "alice-00000000000000002", &out, err), 0));
	cr_assert(eq(ptr, (void *)(uintptr_t)out->command, NULL));
	cr_assert(eq(int, session_get(db, s->arena, "alice-0", &out, err), HW_ENOSESSION));
}

/* --- tickets ---------------------------------------------------------------------------------- */

static int
redeem(struct scratch *s, struct db *db, const char *hash, const char *who, int64_t now,
	const char *why)
{
	struct hw_err err = HW_ERR_INIT;
	struct session_row *row;

	int r = session_redeem(db, s->arena, hash,
		&(struct session_opener){.name = who, .source = "", .resume_hash = ""}, now, &row,
		&err);
	if (r < 0)
		cr_assert(ne(ptr, strstr(err.text, why), NULL), "%s", err.text);
	else
		cr_assert(eq(int, row->status, SESSION_STATUS_CONNECTING));
	return r;
}

SESSION_TEST(a_ticket_opens_once)
{
	(void)err;
	insert(db, "alice-00000000000000001", NOON, "h1");
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON, ""), 0));
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON, "was used"), HW_ETICKET));
	cr_assert(eq(int, redeem(s, db, "h2", "alice", NOON, "not known"), HW_ETICKET));
}

SESSION_TEST(a_stolen_ticket_opens_nothing_and_is_not_used_up)
{
	(void)err;
	insert(db, "alice-00000000000000001", NOON, "h1");
	cr_assert(eq(int, redeem(s, db, "h1", "mallory", NOON, "is alice's"), HW_ETICKET));
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON, ""), 0));
}

SESSION_TEST(a_late_ticket_opens_nothing)
{
	(void)err;
	insert(db, "alice-00000000000000001", NOON, "h1");
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON + 60, "came late"), HW_ETICKET));
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON + 59, ""), 0));
}

SESSION_TEST(the_ticket_of_an_ended_session_opens_nothing)
{
	struct session_row row = session("alice-00000000000000001", NOON);

	insert(db, row.id, NOON, "h1");
	row.status = SESSION_STATUS_TERMINATED;
	cr_assert(eq(int, session_finish(db, &row, err), 0));
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON, "has ended"), HW_ETICKET));
}

/* --- life ------------------------------------------------------------------------------------- */

SESSION_TEST(the_first_end_counts)
{
	struct session_row row = session("alice-00000000000000001", NOON), *out;

	insert(db, row.id, NOON, NULL);
	cr_assert(eq(int, session_set_status(db, row.id, SESSION_STATUS_CONNECTED, err), 0));
	row.status = SESSION_STATUS_TERMINATED;
	row.end = NOON + 5;
	row.bytes_out = 77;
	row.exited = true;
	row.exit_status = 3;
	snprintf(row.details, sizeof(row.details), "exit 3");
	cr_assert(eq(int, session_finish(db, &row, err), 0));
	row.status = SESSION_STATUS_FAILED;
	cr_assert(eq(int, session_finish(db, &row, err), 0));
	cr_assert(eq(int, session_get(db, s->arena, row.id, &out, err), 0));
	cr_assert(eq(int, out->status, SESSION_STATUS_TERMINATED));
	cr_assert_str_eq(out->details, "exit 3");
	cr_assert(out->end == NOON + 5 && out->bytes_out == 77 && out->exited);
	cr_assert(eq(int, out->exit_status, 3));
	cr_assert(eq(int, session_set_status(db, row.id, SESSION_STATUS_CONNECTED, err),
		HW_ETERMINATED));
	snprintf(row.id, sizeof(row.id), "alice-9");
	cr_assert(eq(int, session_finish(db, &row, err), HW_ENOSESSION));
	cr_assert(eq(int, session_set_status(db, row.id, SESSION_STATUS_CONNECTED, err),
		HW_ENOSESSION));
}

static void
check_presence(struct scratch *s, struct db *db, const char *id, int status, int64_t away)
{
	struct session_row *out;

	cr_assert(eq(int, session_get(db, s->arena, id, &out, NULL), 0));
	cr_assert(eq(int, out->status, status), "%s", id);
	cr_assert(eq(i64, out->away, away), "%s", id);
}

SESSION_TEST(whether_its_user_is_there_is_told_of_one_that_is_open)
{
	static const char *const ids[] = {"a-1", "b-2", "c-3", "d-4"};
	struct session_row ended = session("d-4", NOON);

	for (size_t i = 0; i < 4; i++)
		insert(db, ids[i], NOON, NULL);
	cr_assert(eq(int, session_set_status(db, "a-1", SESSION_STATUS_CONNECTED, err), 0));
	cr_assert(eq(int, session_set_status(db, "b-2", SESSION_STATUS_TERMINATING, err), 0));
	ended.status = SESSION_STATUS_TERMINATED;
	cr_assert(eq(int, session_finish(db, &ended, err), 0));
	for (size_t i = 0; i < 4; i++)
		cr_assert(eq(int, session_set_away(db, ids[i], NOON + 5, err), 0));
	check_presence(s, db, "a-1", SESSION_STATUS_DISCONNECTED, NOON + 5);
	check_presence(s, db, "b-2", SESSION_STATUS_TERMINATING, 0);
	check_presence(s, db, "c-3", SESSION_STATUS_CONNECTING, 0);
	check_presence(s, db, "d-4", SESSION_STATUS_TERMINATED, 0);
	cr_assert(eq(int, session_set_all_away(db, NOON + 9, err), 0));
	check_presence(s, db, "a-1", SESSION_STATUS_DISCONNECTED, NOON + 5);
	cr_assert(eq(int, session_set_away(db, "a-1", 0, err), 0));
	check_presence(s, db, "a-1", SESSION_STATUS_CONNECTED, 0);
	cr_assert(eq(int, session_set_all_away(db, NOON + 9, err), 0));
	check_presence(s, db, "a-1", SESSION_STATUS_DISCONNECTED, NOON + 9);
	check_presence(s, db, "c-3", SESSION_STATUS_CONNECTING, 0);
	cr_assert(eq(int, session_set_away(db, "e-5", 0, err), 0), "no such session");
	cr_assert(eq(int, session_set_away(db, "a-1", NOON + 11, err), 0));
	ended = session("a-1", NOON);
	ended.status = SESSION_STATUS_TERMINATED;
	cr_assert(eq(int, session_finish(db, &ended, err), 0));
	check_presence(s, db, "a-1", SESSION_STATUS_TERMINATED, 0);
}

SESSION_TEST(a_prefix_or_the_last_digits_find_one)
{
	struct session_row *out;

	insert(db, "alice-0000000000aabbcc1", NOON, NULL);
	insert(db, "alice-0000000000aabbcc2", NOON, NULL);
	insert(db, "bob-00000000000000000dd", NOON, NULL);
	cr_assert(eq(int, session_resolve(db, s->arena, "bob", &out, err), 0));
	cr_assert_str_eq(out->id, "bob-00000000000000000dd");
	cr_assert(eq(int, session_resolve(db, s->arena, "abbcc2", &out, err), 0));
	cr_assert_str_eq(out->id, "alice-0000000000aabbcc2");
	cr_assert(eq(int, session_resolve(db, s->arena, "alice-0000000000aabbcc1", &out, err), 0));
	cr_assert(eq(int, session_resolve(db, s->arena, "alice", &out, err), HW_EVALIDATION));
	cr_assert(eq(int, session_resolve(db, s->arena, "carol", &out, err), HW_ENOSESSION));
}

/* --- lists ------------------------------------------------------------------------------------ */

static size_t
list(struct db *db, const struct session_filter *f, char first[97])
{
	struct session_row row;
	struct query q;
	size_t n = 0;

	int r = session_list(&q, db, f, NULL);
	while (r == 0 && (r = session_next(&q, &row, NULL)) > 0) {
		if (n++ == 0)
			snprintf(first, 97, "%s", row.id);
		r = 0;
	}
	query_end(&q);
	cr_assert(eq(int, r, 0));
	return n;
}

SESSION_TEST(lists_are_newest_first_and_filtered)
{
	char first[97] = "", id[97];
	struct session_row row;

	(void)s;
	for (int i = 0; i < 9; i++) {
		snprintf(id, sizeof(id), "alice-%017d", i);
		insert(db, id, NOON + i / 3, NULL); /* three of each time */
	}
	row = session(id, 0);
	row.status = SESSION_STATUS_TERMINATED;
	cr_assert(eq(int, session_finish(db, &row, err), 0));
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = true}, first), 8));
	cr_assert_str_eq(first, "alice-00000000000000007");
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = false}, first), 1));
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = true, .after = NOON}, first),
		5));
	cr_assert(eq(sz,
		list(db, &(struct session_filter){.live = true, .before = NOON + 1}, first), 3));
	cr_assert(eq(sz,
		list(db, &(struct session_filter){.live = true, .target = "web-01"}, first), 8));
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = true, .target = "x"}, first),
		0));
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = true, .owner = "alice"}, first),
		8));
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = true, .owner = "bob"}, first),
		0));
	cr_assert(eq(sz, list(db, &(struct session_filter){.live = true, .id = "000002"}, first),
		1));
	cr_assert(eq(sz,
		list(db, &(struct session_filter){.live = true, .status = SESSION_STATUS_CONNECTED},
			first),
		0));
	/* Paging in the middle of equal times. */
	cr_assert(eq(sz,
		list(db,
			&(struct session_filter){.live = true,
				.start_below = NOON + 1,
				.id_below = "alice-00000000000000004"},
			first),
		4));
	cr_assert_str_eq(first, "alice-00000000000000003");
}

/* --- sweeping --------------------------------------------------------------------------------- */

SESSION_TEST(what_was_open_at_the_start_is_ended_and_fresh_tickets_stay)
{
	struct session_row *out;
	struct msg_strs ids = {NULL, 0};

	insert(db, "alice-00000000000000001", NOON, "h1");
	insert(db, "alice-00000000000000002", NOON, "h2");
	cr_assert(eq(int, redeem(s, db, "h1", "alice", NOON, ""), 0));
	cr_assert(eq(int,
		session_sweep_open(db, s->arena, NOON + 9, "the relay stopped", &ids, err), 0));
	cr_assert(eq(sz, ids.n, 1));
	cr_assert_str_eq(ids.v[0], "alice-00000000000000001");
	cr_assert(eq(int, session_get(db, s->arena, ids.v[0], &out, err), 0));
	cr_assert(eq(int, out->status, SESSION_STATUS_TERMINATED));
	cr_assert_str_eq(out->details, "the relay stopped");
	cr_assert(eq(int, redeem(s, db, "h2", "alice", NOON, ""), 0));
	cr_assert(eq(int, session_sweep_open(db, s->arena, NOON + 9, "again", &ids, err), 0));
	cr_assert(eq(sz, ids.n, 1));
	cr_assert(eq(int, session_sweep_open(db, s->arena, NOON + 9, "again", &ids, err), 0));
	cr_assert(eq(sz, ids.n, 0));
}

SESSION_TEST(a_ticket_that_ran_out_fails_its_session)
{
	struct session_row *out;
	bool any = true;

	insert(db, "alice-00000000000000001", NOON, "h1");
	cr_assert(eq(int, session_any_late(db, NOON + 59, &any, err), 0));
	cr_assert(not(any));
	cr_assert(eq(int, session_any_late(db, NOON + 60, &any, err), 0));
	cr_assert(any);
	cr_assert(eq(int, session_sweep_late(db, NOON + 60, err), 0));
	cr_assert(eq(int, session_get(db, s->arena, "alice-00000000000000001", &out, err), 0));
	cr_assert(eq(int, out->status, SESSION_STATUS_FAILED));
	cr_assert(out->end == NOON + 60);
}
