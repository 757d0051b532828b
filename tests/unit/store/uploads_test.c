/* Uploads and resource groups in the store. */
#include <stdio.h>
#include <string.h>

#include "proto/schema/schema.h"
#include "relay/store/commands.h"
#include "relay/store/invocations.h"
#include "relay/store/recording_uploads.h"
#include "relay/store/resource_groups.h"
#include "relay/store/uploads.h"
#include "tests/unit/store/rows.h"

#define DELAY_MAX 1000

static void
add_command(struct db *db, const char *id, const char *node, int64_t upload_at)
{
	const struct command_body body = {"{}", "", ""};
	struct command_row row = {.live = true, .targets = 1, .status = INVOCATION_STATUS_PENDING};
	struct invocation_row i = {.live = true, .status = INVOCATION_STATUS_PENDING, .change = 1};

	snprintf(row.id, sizeof(row.id), "%s", id);
	snprintf(row.s3_bucket, sizeof(row.s3_bucket), "logs");
	snprintf(row.s3_prefix, sizeof(row.s3_prefix), "a/b");
	snprintf(row.s3_region, sizeof(row.s3_region), "eu-1");
	snprintf(i.command_id, sizeof(i.command_id), "%s", id);
	snprintf(i.node_id, sizeof(i.node_id), "%s", node);
	cr_assert(eq(int, command_insert(db, &row, &body, NULL), 0));
	cr_assert(eq(int, invocation_insert(db, &i, NULL), 0));
	i.status = INVOCATION_STATUS_SUCCESS;
	i.upload_at = upload_at;
	i.stdout_bytes = 7;
	cr_assert(eq(int, invocation_finish(db, &i, NULL, "", NULL, NULL), 0));
	cr_assert(eq(int, invocation_finish(db, &i, NULL, "", NULL, NULL), 0)); /* once is enough */
}

static int64_t
latest_after(int64_t now)
{
	return now < INT64_MAX - DELAY_MAX ? now + DELAY_MAX : INT64_MAX;
}

static size_t
due(struct db *db, int64_t now)
{
	struct upload_row row;
	struct query q;
	size_t n = 0;

	int r = upload_list_due(&q, db, now, latest_after(now), 10, NULL);
	while (r == 0 && (r = upload_next(&q, &row, NULL)) > 0) {
		n++;
		r = 0;
	}
	query_end(&q);
	return n;
}

ROWS_TEST(uploads, what_has_ended_waits_until_it_is_done)
{
	struct upload_row row;
	struct command_row command;
	int64_t n;

	(void)s;
	add_command(db, "a", "n1", NOON);
	add_command(db, "b", "n1", 0);
	cr_assert(eq(int, command_get(db, "a", &command, err), 0));
	cr_assert_str_eq(command.s3_bucket, "logs");
	cr_assert_str_eq(command.s3_prefix, "a/b");
	cr_assert_str_eq(command.s3_region, "eu-1");
	cr_assert(eq(sz, due(db, NOON - 1), 0));
	cr_assert(eq(sz, due(db, NOON), 1));
	cr_assert(eq(int, upload_get(db, "b", "n1", &row, err), HW_EINVOCATION));
	cr_assert(eq(int, upload_get(db, "a", "n1", &row, err), 0));
	cr_assert(row.since == NOON && row.attempts == 0 && row.status == UPLOAD_STATUS_PENDING);
	row.attempts = 3;
	row.next = NOON + 5;
	snprintf(row.reason, sizeof(row.reason), "no way");
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	cr_assert(eq(sz, due(db, NOON), 0));
	cr_assert(eq(sz, due(db, NOON + 5), 1));
	row.status = UPLOAD_STATUS_FAILED;
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	cr_assert(eq(sz, due(db, INT64_MAX), 0));
	cr_assert(eq(int, upload_get(db, "a", "n1", &row, err), 0));
	cr_assert_str_eq(row.reason, "no way");
	cr_assert(eq(int, upload_count(db, UPLOAD_STATUS_FAILED, &n, err), 0));
	cr_assert(eq(i64, n, 1));
}

ROWS_TEST(uploads, go_with_their_command)
{
	struct upload_row row;
	bool more = false;

	(void)s;
	add_command(db, "a", "n1", NOON);
	cr_assert(eq(int, command_delete(db, "a", 10, &more, err), 0));
	cr_assert(more);
	cr_assert(eq(int, upload_get(db, "a", "n1", &row, err), HW_EINVOCATION));
	cr_assert(eq(int, command_delete(db, "a", 10, &more, err), 0));
	cr_assert_not(more);
	cr_assert(eq(int, command_delete(db, "a", 10, &more, err), 0));
}

/* What is to go elsewhere yet is the last that makes room. */
ROWS_TEST(uploads, output_that_waits_is_dropped_last)
{
	struct command_row row = {.status = INVOCATION_STATUS_SUCCESS};
	struct command_row oldest;
	struct upload_row upload;

	(void)s;
	add_command(db, "a", "n1", NOON);
	add_command(db, "b", "n1", 0);
	snprintf(row.id, sizeof(row.id), "a");
	row.ended = 1;
	cr_assert(eq(int, command_finish(db, &row, err), 0));
	snprintf(row.id, sizeof(row.id), "b");
	row.ended = 2;
	cr_assert(eq(int, command_finish(db, &row, err), 0));
	cr_assert(eq(int, command_oldest_output(db, INT64_MAX, &oldest, err), 0));
	cr_assert_str_eq(oldest.id, "b");
	cr_assert(eq(int, upload_get(db, "a", "n1", &upload, err), 0));
	upload.status = UPLOAD_STATUS_SUCCESS;
	cr_assert(eq(int, upload_set(db, &upload, err), 0));
	cr_assert(eq(int, command_oldest_output(db, INT64_MAX, &oldest, err), 0));
	cr_assert_str_eq(oldest.id, "a");
}

/* What was put off while the clock was ahead does not wait until it is there again. */
ROWS_TEST(uploads, no_time_beyond_the_longest_delay_is_waited_for)
{
	struct upload_row row;

	(void)s;
	add_command(db, "a", "n1", NOON);
	add_command(db, "b", "n1", NOON);
	cr_assert(eq(int, upload_get(db, "a", "n1", &row, err), 0));
	row.next = NOON + DELAY_MAX;
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	cr_assert(eq(sz, due(db, NOON), 1));
	row.next++;
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	cr_assert(eq(sz, due(db, NOON), 2));
}

/* --- recordings ------------------------------------------------------------------------------- */

static void
first_due(struct upload_row *ret, struct db *db, int64_t now)
{
	struct query q;

	cr_assert(eq(int, upload_list_due(&q, db, now, latest_after(now), 10, NULL), 0));
	cr_assert(eq(int, upload_next(&q, ret, NULL), 1));
	query_end(&q);
}

ROWS_TEST(uploads, recordings_wait_in_the_same_queue)
{
	struct upload_row row;

	(void)s;
	add_command(db, "a", "n1", NOON + 1);
	cr_assert(eq(int, recording_upload_insert(db, "alice-1", NOON, err), 0));
	cr_assert(eq(int, recording_upload_insert(db, "alice-1", NOON + 7, err), 0));
	cr_assert(eq(sz, due(db, NOON - 1), 0));
	cr_assert(eq(sz, due(db, NOON + 1), 2));
	first_due(&row, db, NOON + 1);
	cr_assert(eq(int, row.kind, UPLOAD_RECORDING));
	cr_assert_str_eq(row.session_id, "alice-1");
	cr_assert(row.since == NOON && row.attempts == 0 && !row.fetch);
	row.next = NOON + 2;
	row.attempts = 1;
	snprintf(row.parts_of, sizeof(row.parts_of), "logs/recordings/alice-1.rec");
	snprintf(row.parts_id, sizeof(row.parts_id), "up-1");
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	first_due(&row, db, NOON + 2);
	cr_assert(eq(int, row.kind, UPLOAD_OUTPUT));
	cr_assert_str_eq(row.parts_id, "");
	snprintf(row.parts_id, sizeof(row.parts_id), "up-2");
	row.next = NOON + 3;
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	first_due(&row, db, NOON + 2);
	cr_assert(row.kind == UPLOAD_RECORDING && row.attempts == 1);
	cr_assert_str_eq(row.parts_of, "logs/recordings/alice-1.rec");
	cr_assert_str_eq(row.parts_id, "up-1");
}

ROWS_TEST(uploads, a_recording_that_is_there_can_be_fetched_and_no_other)
{
	struct recording_copy copy = {.session_id = "alice-1",
		.bucket = "logs",
		.object = "recordings/alice-1.rec",
		.hash = "00ff",
		.size = 77,
		.number = "1",
		.start = "2",
		.wrapped = "AAAA"};
	struct recording_copy got;
	struct upload_row row;
	int64_t n;

	(void)s;
	cr_assert(eq(int, recording_upload_get(db, "alice-1", &got, err), HW_ENOTFOUND));
	cr_assert(eq(int, recording_upload_insert(db, "alice-1", NOON, err), 0));
	cr_assert(eq(int, recording_upload_fetch(db, "alice-1", NOON, err), 0));
	first_due(&row, db, NOON);
	cr_assert_not(row.fetch);
	cr_assert(eq(int, recording_upload_count(db, &n, err), 0));
	cr_assert(eq(i64, n, 1));
	cr_assert(eq(int, recording_upload_copied(db, &copy, err), 0));
	row.status = UPLOAD_STATUS_SUCCESS;
	cr_assert(eq(int, upload_set(db, &row, err), 0));
	cr_assert(eq(sz, due(db, INT64_MAX), 0));
	cr_assert(eq(int, recording_upload_count(db, &n, err), 0));
	cr_assert(eq(i64, n, 0));
	cr_assert(eq(int, recording_upload_get(db, "alice-1", &got, err), 0));
	cr_assert(got.uploaded && !got.fetching && got.size == 77);
	cr_assert_str_eq(got.object, copy.object);
	cr_assert_str_eq(got.wrapped, copy.wrapped);
	cr_assert(eq(int, recording_upload_fetch(db, "alice-1", NOON + 5, err), 0));
	cr_assert(eq(sz, due(db, NOON + 4), 0));
	first_due(&row, db, NOON + 5);
	cr_assert(row.fetch && row.since == NOON + 5);
	cr_assert(eq(int, recording_upload_get(db, "alice-1", &got, err), 0));
	cr_assert(got.uploaded && got.fetching);
	cr_assert(eq(int, recording_upload_count(db, &n, err), 0));
	cr_assert(eq(i64, n, 0));
}

static struct resource_group_row
group(const char *name, const char *targets)
{
	struct resource_group_row row = {
		.created = NOON, .updated = NOON, .description = "d", .targets = targets};

	snprintf(row.name, sizeof(row.name), "%s", name);
	return row;
}

ROWS_TEST(resource_groups, are_kept_changed_listed_and_removed)
{
	struct resource_group_row a = group("a", "1"), b = group("b", "2"), got;
	struct query q;

	cr_assert(eq(int, resource_group_insert(db, &b, err), 0));
	cr_assert(eq(int, resource_group_insert(db, &a, err), 0));
	cr_assert(eq(int, resource_group_insert(db, &a, err), HW_EEXISTS));
	cr_assert_str_eq(err->text, "there is a resource group a already");
	a.targets = "3";
	a.updated = NOON + 1;
	cr_assert(eq(int, resource_group_set(db, &a, err), 0));
	cr_assert(eq(int, resource_group_get(db, s->arena, "a", &got, err), 0));
	cr_assert_str_eq(got.targets, "3");
	cr_assert(got.created == NOON && got.updated == NOON + 1);
	cr_assert(eq(int, resource_group_list(&q, db, "", err), 0));
	cr_assert(eq(int, resource_group_next(&q, s->arena, &got, err), 1));
	cr_assert_str_eq(got.name, "a");
	cr_assert(eq(int, resource_group_next(&q, s->arena, &got, err), 1));
	cr_assert_str_eq(got.name, "b");
	cr_assert(eq(int, resource_group_next(&q, s->arena, &got, err), 0));
	query_end(&q);
	cr_assert(eq(int, resource_group_delete(db, "a", err), 0));
	cr_assert(eq(int, resource_group_delete(db, "a", err), HW_ENOTFOUND));
	cr_assert(eq(int, resource_group_set(db, &a, err), HW_ENOTFOUND));
	cr_assert(eq(int, resource_group_get(db, s->arena, "a", &got, err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no resource group is named a");
}
