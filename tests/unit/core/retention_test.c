/* What is kept of commands that have ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/schema/schema.h"
#include "relay/core/config.h"
#include "relay/core/outputs.h"
#include "relay/core/retention.h"
#include "relay/store/commands.h"
#include "relay/store/invocations.h"
#include "relay/store/store.h"

/* As commands are named: files below other names are not theirs. */
#define OLD  "11111111-2222-4333-8444-55555555555a"
#define NEW  "11111111-2222-4333-8444-55555555555b"
#define NODE "mi-00000000000000001"
#define DAY  (86400 * USEC_PER_SEC)
#define NOON (INT64_C(1800000000) * USEC_PER_SEC)

struct place {
	char dir[64], path[96];
	struct fake_clock clock;
	struct secret_key master;
	struct relay_config config;
	struct store *store;
	struct outputs *outputs;
	struct hw_err err;
	/* of the write under way */
	struct command_row row;
	int64_t bytes;
};

static struct place *
place_new(void)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/hawser-keep-XXXXXX");
	cr_assert(mkdtemp(p->dir) != NULL);
	snprintf(p->path, sizeof(p->path), "%s/relay.db", p->dir);
	fake_clock_init(&p->clock, NOON);
	secret_key_random(&p->master);
	relay_config_default(&p->config);
	const struct store_config sc = {.path = p->path, .clock = &p->clock.clock, .readers = 1};
	cr_assert(eq(int, store_open(&p->store, &sc, &p->err), 0), "%s", p->err.text);
	cr_assert(eq(int, outputs_new(&p->outputs, p->dir, &p->master, &p->err), 0));
	return p;
}

static void
place_free(struct place *p)
{
	char command[128];

	store_close(p->store);
	outputs_free(p->outputs);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	cr_assert(eq(int, system(command), 0));
	free(p);
}

static int
write_ended(void *arg, struct db *db, struct hw_err *err)
{
	const struct command_body body = {"{}", "", ""};
	struct place *p = arg;
	struct invocation_row row = {
		.live = true, .status = INVOCATION_STATUS_PENDING, .change = 1};
	int r;

	memcpy(row.command_id, p->row.id, sizeof(row.command_id));
	snprintf(row.node_id, sizeof(row.node_id), NODE);
	if ((r = command_insert(db, &p->row, &body, err)) < 0 ||
		(r = invocation_insert(db, &row, err)) < 0)
		return r;
	row.status = INVOCATION_STATUS_SUCCESS;
	row.stdout_bytes = p->bytes;
	if (p->row.ended == 0)
		return 0;
	if ((r = invocation_finish(db, &row, NULL, "", NULL, err)) < 0)
		return r;
	return command_finish(db, &p->row, err);
}

/* `ended` 0: it is live. */
static void
put(struct place *p, const char *id, int64_t ended, int64_t bytes)
{
	const struct output_name name = {id, NODE, 0, OUTPUT_STREAM_STDOUT};
	int64_t size;

	p->row = (struct command_row){
		.live = true, .targets = 1, .status = INVOCATION_STATUS_SUCCESS, .ended = ended};
	snprintf(p->row.id, sizeof(p->row.id), "%s", id);
	p->bytes = bytes;
	cr_assert(eq(int, store_write(p->store, write_ended, p, &p->err), 0), "%s", p->err.text);
	cr_assert(eq(int, outputs_append(p->outputs, &name, 0, "x", 1, &size, &p->err), 0));
}

static int
read_command(void *arg, struct db *db, struct hw_err *err)
{
	struct place *p = arg;

	return command_get(db, p->row.id, &p->row, err);
}

static bool
is_there(struct place *p, const char *id)
{
	snprintf(p->row.id, sizeof(p->row.id), "%s", id);
	return store_read(p->store, read_command, p, &p->err) == 0;
}

static bool
has_files(struct place *p, const char *id)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/commands/%s", p->dir, id);
	return access(path, F_OK) == 0;
}

static int
run(struct place *p, bool refused)
{
	const struct retention_env env = {
		.store = p->store,
		.outputs = p->outputs,
		.config = &p->config,
		.now = NOON,
		.refused = refused,
	};

	return retention_run(&env, &p->err);
}

static void
keep_as(struct place *p, bool refused)
{
	cr_assert(eq(int, run(p, refused), 0), "%s", p->err.text);
}

static void
keep(struct place *p)
{
	keep_as(p, false);
}

Test(retention, what_ended_long_ago_is_forgotten_and_what_lives_is_not)
{
	struct place *p = place_new();

	put(p, "old", NOON - 31 * DAY, 1);
	put(p, "new", NOON - 29 * DAY, 1);
	put(p, "live", 0, 1);
	keep(p);
	cr_assert_not(is_there(p, "old"));
	cr_assert_not(has_files(p, "old"));
	cr_assert(is_there(p, "new"));
	cr_assert(has_files(p, "new"));
	cr_assert(is_there(p, "live"));
	cr_assert(has_files(p, "live"));
	place_free(p);
}

Test(retention, of_too_much_output_the_oldest_goes_and_its_command_stays)
{
	struct place *p = place_new();

	p->config.command_outputs_mib = 3;
	put(p, "c", NOON - 1 * DAY, 2 << 20);
	put(p, "a", NOON - 3 * DAY, 2 << 20);
	put(p, "b", NOON - 2 * DAY, 1 << 20);
	put(p, "live", 0, 0);
	keep(p);
	cr_assert_not(has_files(p, "a"));
	cr_assert(is_there(p, "a"));
	cr_assert(p->row.output_gone);
	cr_assert(has_files(p, "b"));
	cr_assert(has_files(p, "c"));
	cr_assert(has_files(p, "live"));
	cr_assert(is_there(p, "b"));
	cr_assert_not(p->row.output_gone);
	keep(p);
	cr_assert(has_files(p, "b"));
	place_free(p);
}

Test(retention, what_has_just_ended_keeps_its_output_though_it_is_too_much)
{
	struct place *p = place_new();

	p->config.command_outputs_mib = 3;
	put(p, "fresh", NOON - 1800 * USEC_PER_SEC, 4 << 20);
	keep(p);
	cr_assert(has_files(p, "fresh"));
	put(p, "older", NOON - 3700 * USEC_PER_SEC, 1 << 20);
	keep(p);
	cr_assert(has_files(p, "fresh"));
	cr_assert_not(has_files(p, "older"));
	place_free(p);
}

Test(retention, where_output_was_refused_the_oldest_makes_room)
{
	struct place *p = place_new();

	p->config.command_outputs_mib = 3;
	put(p, OLD, NOON - 3 * DAY, 1 << 20);
	put(p, NEW, NOON - 2 * DAY, 1 << 20);
	keep(p);
	cr_assert(has_files(p, OLD));
	cr_assert(eq(i64, outputs_total(p->outputs), 2));
	cr_assert(eq(int, outputs_have_room(p->outputs, 1, 3, &p->err), 0), "%s", p->err.text);
	cr_assert_not(outputs_take_refused(p->outputs));
	cr_assert(eq(int, outputs_have_room(p->outputs, 2, 3, &p->err), HW_EUNAVAILABLE));
	cr_assert(outputs_take_refused(p->outputs));
	cr_assert_not(outputs_take_refused(p->outputs));
	cr_assert(eq(int, outputs_have_room(p->outputs, INT64_C(1) << 60, INT64_MAX, &p->err),
		HW_EUNAVAILABLE)); /* no disk has that */
	keep_as(p, true);
	cr_assert_not(has_files(p, OLD));
	cr_assert(has_files(p, NEW));
	cr_assert(eq(i64, outputs_total(p->outputs), 1));
	outputs_free(p->outputs);
	cr_assert(eq(int, outputs_new(&p->outputs, p->dir, &p->master, &p->err), 0));
	cr_assert(eq(i64, outputs_total(p->outputs), 0));
	outputs_count(p->outputs);
	cr_assert(eq(i64, outputs_total(p->outputs), 1));
	outputs_count(p->outputs);
	cr_assert(eq(i64, outputs_total(p->outputs), 1));
	place_free(p);
}

/* From now on what invocations have in the store stays there. */
static int
write_stuck(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	int r = db_run(db, NULL, err, "UPDATE invocation SET output = 'x'", "");

	if (r < 0)
		return r;
	return db_run(db, NULL, err,
		"CREATE TRIGGER stuck BEFORE UPDATE ON invocation"
		" BEGIN SELECT RAISE(ABORT, 'stuck'); END",
		"");
}

Test(retention, files_are_gone_with_the_first_word_of_it)
{
	struct place *p = place_new();

	p->config.command_outputs_mib = 1;
	put(p, "a", NOON - 3 * DAY, 2 << 20);
	cr_assert(eq(int, store_write(p->store, write_stuck, p, &p->err), 0), "%s", p->err.text);
	cr_assert(lt(int, run(p, false), 0));
	cr_assert(ne(ptr, strstr(p->err.text, "stuck"), NULL), "%s", p->err.text);
	cr_assert(is_there(p, "a"));
	cr_assert(p->row.output_gone);
	cr_assert_not(has_files(p, "a"));
	place_free(p);
}
