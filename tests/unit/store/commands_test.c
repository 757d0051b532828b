/* Commands and invocations in the store. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/store/commands.h"
#include "relay/store/invocations.h"
#include "tests/unit/store/scratch_store.h"

#define SEC USEC_PER_SEC

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

#define COMMANDS_TEST(name)                                                            \
	static void name##_body(struct scratch *s, struct db *db, struct hw_err *err); \
	Test(commands, name)                                                           \
	{                                                                              \
		struct body b = {scratch_new(false), name##_body};                     \
		struct hw_err err = HW_ERR_INIT;                                       \
		cr_assert(eq(int, store_write(b.s->store, run_body, &b, &err), 0));    \
		scratch_free(b.s);                                                     \
	}                                                                              \
	static void name##_body(struct scratch *s, struct db *db, struct hw_err *err)

static struct command_row
command(const char *id, int64_t requested)
{
	struct command_row row = {
		.principal = "alice",
		.owner_arn = "arn:aws:iam::1:user/alice",
		.document = "AWS-RunShellScript",
		.version = "3",
		.version_asked = "$DEFAULT",
		.comment = "why",
		.max_concurrency = "10%",
		.max_errors = "0",
		.concurrency = 5,
		.error_limit = 7,
		.targets = 2,
		.requested = requested,
		.deliver_before = requested + 1,
		.expires = requested + 2,
		.timeout_seconds = 3600,
		.output_max = 99,
		.live = true,
		.status = INVOCATION_STATUS_PENDING,
		.details = "Pending",
		.source = "192.0.2.7",
		.by_key = true,
	};

	snprintf(row.id, sizeof(row.id), "%s", id);
	return row;
}

static void
put_command(struct db *db, const char *id, int64_t requested)
{
	const struct command_body body = {"content", "sealed", "given"};
	struct command_row row = command(id, requested);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, command_insert(db, &row, &body, &err), 0), "%s", err.text);
}

static void
put(struct db *db, const char *id, const char *node, int64_t change)
{
	struct invocation_row row = {.live = true,
		.status = INVOCATION_STATUS_PENDING,
		.details = "Pending",
		.response_code = -1,
		.change = change};
	struct hw_err err = HW_ERR_INIT;

	snprintf(row.command_id, sizeof(row.command_id), "%s", id);
	snprintf(row.node_id, sizeof(row.node_id), "%s", node);
	cr_assert(eq(int, invocation_insert(db, &row, &err), 0), "%s", err.text);
}

COMMANDS_TEST(a_command_is_read_as_it_was_written)
{
	struct command_row row;
	struct command_body body;

	put_command(db, "a", 10 * SEC);
	cr_assert(eq(int, command_get(db, "a", &row, err), 0));
	struct command_row expected = command("a", 10 * SEC);
	cr_assert(eq(int, memcmp(&row.targets, &expected.targets, sizeof(row.targets)), 0));
	cr_assert_str_eq(row.owner_arn, expected.owner_arn);
	cr_assert_str_eq(row.version, "3");
	cr_assert_str_eq(row.version_asked, "$DEFAULT");
	cr_assert_str_eq(row.max_concurrency, "10%");
	cr_assert_str_eq(row.details, "Pending");
	cr_assert_str_eq(row.source, "192.0.2.7");
	cr_assert(row.by_key);
	cr_assert(eq(u32, row.concurrency, 5));
	cr_assert(eq(u32, row.error_limit, 7));
	cr_assert(eq(i64, row.deliver_before, 10 * SEC + 1));
	cr_assert(eq(i64, row.expires, 10 * SEC + 2));
	cr_assert(eq(i64, row.output_max, 99));
	cr_assert(row.live);
	cr_assert(eq(int, command_get_body(db, s->arena, "a", &body, err), 0));
	cr_assert_str_eq(body.content, "content");
	cr_assert_str_eq(body.parameters, "sealed");
	cr_assert_str_eq(body.given, "given");
	cr_assert(eq(int, command_get(db, "b", &row, err), HW_ECOMMAND));
	cr_assert(eq(int, command_get_body(db, s->arena, "b", &body, err), HW_ECOMMAND));
}

COMMANDS_TEST(an_end_stays_whatever_is_noted_later)
{
	struct invocation_note note = {.command_id = "a",
		.node_id = "n1",
		.sent = INVOCATION_SENT,
		.status = INVOCATION_STATUS_PENDING,
		.details = "Pending",
		.stdout_bytes = -1,
		.stderr_bytes = -1};
	struct invocation_row row;
	const char *steps, *output;
	bool ended = false;

	put_command(db, "a", SEC);
	put(db, "a", "n1", 1);
	put(db, "a", "n2", 2);
	cr_assert(eq(int, invocation_set(db, &note, err), 0));
	cr_assert(eq(int, invocation_set_steps(db, "a", "n1", "steps", 5, err), 0));
	cr_assert(eq(int, invocation_get(db, "a", "n1", &row, err), 0));
	cr_assert(eq(int, row.sent, INVOCATION_SENT));
	cr_assert(eq(i64, row.change, 4));
	row.status = INVOCATION_STATUS_SUCCESS;
	row.sent = INVOCATION_TAKEN;
	row.started = 0; /* what is known of that stays */
	row.stdout_bytes = 12;
	cr_assert(eq(int, invocation_finish(db, &row, NULL, "kept", &ended, err), 0));
	cr_assert(ended);
	note.stdout_bytes = 1;
	cr_assert(eq(int, invocation_set(db, &note, err), 0));
	row.status = INVOCATION_STATUS_FAILED;
	cr_assert(eq(int, invocation_finish(db, &row, NULL, "", &ended, err), 0));
	cr_assert_not(ended);
	cr_assert(eq(int, invocation_get(db, "a", "n1", &row, err), 0));
	cr_assert(eq(int, row.status, INVOCATION_STATUS_SUCCESS));
	cr_assert(eq(i64, row.stdout_bytes, 12));
	cr_assert(eq(i64, row.started, 5));
	cr_assert(eq(i64, row.change, 5));
	cr_assert(eq(int, invocation_get_body(db, s->arena, "a", "n1", &steps, &output, err), 0));
	cr_assert_str_eq(steps, "steps");
	cr_assert_str_eq(output, "kept");
	cr_assert(eq(int, invocation_get(db, "a", "n3", &row, err), HW_EINVOCATION));
	cr_assert(eq(int, invocation_get_body(db, s->arena, "b", "n1", &steps, NULL, err),
		HW_EINVOCATION));
}

COMMANDS_TEST(changes_come_in_the_order_in_which_they_were_made)
{
	struct invocation_note note = {.command_id = "a",
		.status = INVOCATION_STATUS_IN_PROGRESS,
		.details = "InProgress",
		.stdout_bytes = -1,
		.stderr_bytes = -1};
	static const char *const order[] = {"n2", "n1", "n3"};
	struct invocation_row row;
	struct query q;
	size_t n = 0;
	int r;

	(void)s;
	put_command(db, "a", SEC);
	put_command(db, "b", SEC);
	put(db, "b", "n1", 1);
	for (size_t i = 0; i < 3; i++)
		put(db, "a", (const char *const[]){"n1", "n2", "n3"}[i], (int64_t)i + 1);
	for (size_t i = 0; i < 3; i++) {
		note.node_id = order[i];
		cr_assert(eq(int, invocation_set(db, &note, err), 0));
	}
	r = invocation_list_changes(&q, db, "a", 3, err);
	while (r == 0 && (r = invocation_next(&q, &row, err)) > 0) {
		cr_assert_str_eq(row.node_id, order[n]);
		cr_assert(eq(i64, row.change, 4 + (int64_t)n));
		n++;
		r = 0;
	}
	query_end(&q);
	cr_assert(eq(sz, n, 3));
}

COMMANDS_TEST(a_command_that_has_ended_has_its_counts_and_what_was_written)
{
	struct invocation_row part = {.command_id = "a",
		.node_id = "n1",
		.stdout_bytes = 5,
		.stderr_bytes = 7,
		.status = INVOCATION_STATUS_SUCCESS};
	struct command_row row;
	int64_t total = -1;

	(void)s;
	put_command(db, "a", SEC);
	put(db, "a", "n1", 1);
	cr_assert(eq(int, command_set_cancelled(db, "a", err), 0));
	cr_assert(eq(int,
		command_set_status(db, "a", INVOCATION_STATUS_CANCELLING, "Cancelling", err), 0));
	cr_assert(eq(int, invocation_finish(db, &part, NULL, "", NULL, err), 0));
	cr_assert(eq(int, command_get(db, "a", &row, err), 0));
	cr_assert(row.cancelled);
	cr_assert(eq(int, row.status, INVOCATION_STATUS_CANCELLING));
	row.status = INVOCATION_STATUS_SUCCESS;
	snprintf(row.details, sizeof(row.details), "Success");
	row.completed = 2;
	row.ended = 9 * SEC;
	cr_assert(eq(int, command_finish(db, &row, err), 0));
	cr_assert(eq(int, command_set_status(db, "a", INVOCATION_STATUS_FAILED, "Failed", err), 0));
	cr_assert(eq(int, command_get(db, "a", &row, err), 0));
	cr_assert_not(row.live);
	cr_assert(eq(int, row.status, INVOCATION_STATUS_SUCCESS));
	cr_assert(eq(i64, row.output_bytes, 12));
	cr_assert(eq(i64, row.ended, 9 * SEC));
	cr_assert(eq(int, command_output_total(db, &total, err), 0));
	cr_assert(eq(i64, total, 12));
	cr_assert(eq(int, command_oldest_output(db, 0, &row, err), HW_ECOMMAND));
	cr_assert(eq(int, command_oldest_output(db, INT64_MAX, &row, err), 0));
	cr_assert_str_eq(row.id, "a");
	bool more = true;
	cr_assert(eq(int, command_set_output_gone(db, "a", err), 0));
	cr_assert(eq(int, command_oldest_output(db, INT64_MAX, &row, err), HW_ECOMMAND));
	while (more)
		cr_assert(eq(int, command_forget_output(db, "a", 1, &more, err), 0));
	/* One at once: others write in between. */
	cr_assert(eq(int, command_delete(db, "a", 1, &more, err), 0));
	cr_assert(more);
	cr_assert(eq(int, command_get(db, "a", &row, err), 0));
	while (more)
		cr_assert(eq(int, command_delete(db, "a", 1, &more, err), 0));
	cr_assert(eq(int, command_get(db, "a", &row, err), HW_ECOMMAND));
	struct invocation_row gone;
	cr_assert(eq(int, invocation_get(db, "a", "n1", &gone, err), HW_EINVOCATION));
}

static size_t
count(struct db *db, const struct invocation_filter *f)
{
	struct hw_err err = HW_ERR_INIT;
	struct invocation_row row;
	struct query q;
	size_t n = 0;

	int r = invocation_search(&q, db, f, &err);
	while (r == 0 && (r = invocation_next(&q, &row, &err)) > 0) {
		r = 0;
		n++;
	}
	query_end(&q);
	cr_assert(eq(int, r, 0), "%s", err.text);
	return n;
}

COMMANDS_TEST(invocations_are_searched_by_everything_together)
{
	struct invocation_row part = {
		.command_id = "a", .node_id = "n1", .status = INVOCATION_STATUS_FAILED};

	(void)s;
	put_command(db, "a", 10 * SEC);
	put_command(db, "b", 20 * SEC);
	put(db, "a", "n1", 1);
	put(db, "a", "n2", 2);
	put(db, "b", "n1", 1);
	cr_assert(eq(int, invocation_finish(db, &part, NULL, "", NULL, err), 0));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.status = 0}), 3));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.command = "a"}), 2));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.node = "n1"}), 2));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.node = "n1", .command = "b"}), 1));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.after = 10 * SEC}), 1));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.before = 20 * SEC}), 2));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.status = INVOCATION_STATUS_FAILED}),
		1));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.stage = 1}), 2));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.stage = 2}), 1));
	cr_assert(eq(sz, count(db, &(struct invocation_filter){.document = "other"}), 0));
	cr_assert(eq(sz,
		count(db,
			&(struct invocation_filter){.requested_below = 20 * SEC,
				.command_below = "b",
				.node_above = "n1"}),
		2));
	cr_assert(eq(sz,
		count(db,
			&(struct invocation_filter){.requested_below = 10 * SEC,
				.command_below = "a",
				.node_above = "n1"}),
		1));
}
