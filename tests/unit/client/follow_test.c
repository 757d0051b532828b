/* Following a command, with a relay whose part a test plays, and a link that it cuts. */
#include "client/follow.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/client/commander.h"

#define SHORTLY (2 * USEC_PER_SEC)

struct seen {
	struct rig *rig;
	struct commander *c;
	struct follow *follow;
	struct buf words; /* "web-1 out 0+5 hello" */
	size_t bytes;	  /* of output */
	int ends, overs, code, failures, waits, lost, back, cancelled, cancel_code;
	bool no_room;
};

static void
on_change(void *arg, const struct fates *all)
{
	size_t n = 0;

	(void)arg;
	for (int i = 0; i < FATES; i++)
		n += all->of[i];
	cr_assert(le(sz, n, all->total));
}

static void
on_output(void *arg, struct follow_node *node, int stream, size_t step, uint64_t offset,
	const uint8_t *p, size_t n)
{
	struct seen *s = arg;

	s->bytes += n;
	if (n < 64)
		buf_printf(&s->words, "%s %s %zu@%d %.*s\n", node->name,
			stream == FOLLOW_OUT ? "out" : "err", step, (int)offset, (int)n,
			(const char *)p);
}

static void
on_node_end(void *arg, struct follow_node *node)
{
	struct seen *s = arg;

	s->ends++;
	buf_printf(&s->words, "%s ends\n", node->name);
}

static void
on_output_failed(void *arg, struct follow_node *node, int code, const char *why)
{
	struct seen *s = arg;

	(void)node;
	(void)why;
	s->failures++;
	s->code = code;
}

static void
on_output_waits(void *arg, const char *why)
{
	(void)why;
	((struct seen *)arg)->waits++;
}

static void
on_cancelled(void *arg, int code, const char *why)
{
	struct seen *s = arg;

	(void)why;
	s->cancelled++;
	s->cancel_code = code;
}

static void
on_lost(void *arg, const char *why)
{
	(void)why;
	((struct seen *)arg)->lost++;
}

static void
on_back(void *arg)
{
	((struct seen *)arg)->back++;
}

static void
on_over(void *arg, int code, const char *why)
{
	struct seen *s = arg;

	(void)why;
	s->overs++;
	if (code != 0)
		s->code = code;
}

static const struct follow_events events = {
	.on_change = on_change,
	.on_output = on_output,
	.on_node_end = on_node_end,
	.on_output_failed = on_output_failed,
	.on_output_waits = on_output_waits,
	.on_cancelled = on_cancelled,
	.on_lost = on_lost,
	.on_back = on_back,
	.on_over = on_over,
};

static bool
has_room(void *arg)
{
	return !((struct seen *)arg)->no_room;
}

static struct seen *
seen_new(void)
{
	struct seen *s = calloc(1, sizeof(*s));

	s->rig = rig_new();
	s->c = commander_new(s->rig);
	buf_init(&s->words, 4 << 20);
	return s;
}

static void
begin(struct seen *s, struct follow_config config)
{
	config.conn = s->rig->conn;
	config.command_id = COMMANDER_ID;
	config.events = &events;
	config.arg = s;
	config.has_room = has_room;
	cr_assert(eq(int, follow_new(&s->follow, &config, NULL), 0));
}

static void
seen_free(struct seen *s)
{
	follow_free(s->follow);
	rig_free(s->rig);
	commander_free(s->c);
	buf_fini(&s->words);
	free(s);
}

static void
cut(struct seen *s)
{
	pair_drop(s->rig->pair, "cut");
}

static void
run_a_little(struct seen *s)
{
	rig_run(s->rig, SHORTLY);
}

/* --- what is seen ------------------------------------------------------------------------------
 */

Test(follow, a_node_s_output_comes_once_it_has_ended_there)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	begin(s, (struct follow_config){0});
	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, "hello\n");
	run_a_little(s);
	cr_assert_str_eq(buf_str(&s->words), "");
	cr_assert(eq(sz, follow_fates(s->follow)->of[FATE_RUNNING], 1));
	commander_writes(s->c, web, 0, 1, "oh\n");
	commander_end(s->c, web, 0);
	run_a_little(s);
	cr_assert_str_eq(buf_str(&s->words),
		"web-1 out 0@0 hello\n\nweb-1 err 0@0 oh\n\nweb-1 ends\n");
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, s->code, 0));
	cr_assert(eq(int, fates_exit(follow_fates(s->follow)), 0));
	seen_free(s);
}

Test(follow, live_output_comes_as_it_is_written_each_byte_once)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	begin(s, (struct follow_config){.live = true});
	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, "one");
	run_a_little(s);
	cr_assert_str_eq(buf_str(&s->words), "web-1 out 0@0 one\n");
	commander_writes(s->c, web, 0, 0, "two");
	run_a_little(s);
	commander_end(s->c, web, 3);
	run_a_little(s);
	cr_assert_str_eq(buf_str(&s->words), "web-1 out 0@0 one\nweb-1 out 0@3 two\nweb-1 ends\n");
	cr_assert(eq(int, fates_exit(follow_fates(s->follow)), 1));
	seen_free(s);
}

static void
end_at_first_output(struct commander *c, const char *op)
{
	if (strcmp(op, "GetCommandOutput") == 0 && c->asked_output == 0)
		commander_end(c, &c->nodes[0], 0);
}

/* The answer to a question for output knows of the end before the one of what has changed does. */
Test(follow, output_that_is_complete_before_its_end_is_told_comes_once)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");
	char much[20001];

	memset(much, 'x', sizeof(much));
	much[20000] = '\0';
	s->c->before = end_at_first_output;
	begin(s, (struct follow_config){.live = true});
	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, much);
	commander_writes(s->c, web, 0, 1, much);
	run_a_little(s);
	cr_assert(eq(sz, s->bytes, 40000));
	cr_assert(eq(int, s->ends, 1));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, steps_follow_each_other_in_each_stream)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	web->steps[web->n_steps++] = "check";
	web->steps[web->n_steps++] = "clean";
	commander_writes(s->c, web, 0, 0, "a");
	commander_writes(s->c, web, 2, 0, "c");
	commander_writes(s->c, web, 1, 1, "e");
	commander_end(s->c, web, 0);
	begin(s, (struct follow_config){0});
	run_a_little(s);
	cr_assert(strstr(buf_str(&s->words), "web-1 out 0@0 a\n") != NULL);
	cr_assert(strstr(buf_str(&s->words), "web-1 out 2@0 c\n") != NULL);
	cr_assert(strstr(buf_str(&s->words), "web-1 err 1@0 e\n") != NULL);
	cr_assert(eq(sz, s->bytes, 3));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, a_node_without_output_costs_no_question)
{
	struct seen *s = seen_new();

	commander_end(s->c, commander_add(s->c, "web-1"), 0);
	begin(s, (struct follow_config){0});
	run_a_little(s);
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, s->c->asked_output, 0));
	seen_free(s);
}

Test(follow, a_thousand_nodes_come_in_pages_and_end_once_each)
{
	struct seen *s = seen_new();
	char name[16];

	s->c->page = 97;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		struct commander_node *node = commander_add(s->c, name);
		commander_writes(s->c, node, 0, 0, "x");
		commander_end(s->c, node, i % 100 == 0);
	}
	begin(s, (struct follow_config){0});
	rig_run(s->rig, 60 * USEC_PER_SEC);
	cr_assert(eq(int, s->ends, 1000));
	cr_assert(eq(sz, s->bytes, 1000));
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(sz, follow_fates(s->follow)->of[FATE_FAILED], 10));
	cr_assert(eq(sz, follow_count(s->follow), 1000));
	seen_free(s);
}

Test(follow, large_output_is_whole_and_waits_for_room)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");
	char *much = malloc(3000001);
	size_t before;

	memset(much, 'x', 3000000);
	much[3000000] = '\0';
	commander_writes(s->c, web, 0, 0, much);
	commander_end(s->c, web, 0);
	s->no_room = true;
	begin(s, (struct follow_config){0});
	run_a_little(s);
	before = s->bytes;
	cr_assert(eq(sz, before, 0));
	s->no_room = false;
	follow_go(s->follow);
	run_a_little(s);
	cr_assert(eq(sz, s->bytes, 3000000));
	cr_assert(eq(int, s->overs, 1));
	free(much);
	seen_free(s);
}

Test(follow, without_waiting_it_is_over_with_what_there_is)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, "so far");
	commander_add(s->c, "web-2");
	begin(s, (struct follow_config){.no_wait = true});
	run_a_little(s);
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, s->ends, 2));
	cr_assert(eq(sz, s->bytes, 6));
	seen_free(s);
}

Test(follow, silence_asks_for_no_output)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	commander_writes(s->c, web, 0, 0, "much");
	commander_end(s->c, web, 0);
	begin(s, (struct follow_config){.silent = true});
	run_a_little(s);
	cr_assert(eq(int, s->c->asked_output, 0));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, what_was_dropped_is_told)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	commander_writes(s->c, web, 0, 0, "kept");
	web->dropped = 77;
	commander_end(s->c, web, 0);
	begin(s, (struct follow_config){.live = true});
	run_a_little(s);
	cr_assert(eq(i64, follow_node(s->follow, 0)->dropped[FOLLOW_OUT], 77));
	seen_free(s);
}

Test(follow, what_was_dropped_is_told_of_output_that_was_seen_before_its_end)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");
	char much[20001];

	memset(much, 'x', sizeof(much));
	much[20000] = '\0';
	begin(s, (struct follow_config){.live = true});
	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, much);
	run_a_little(s);
	cr_assert(eq(sz, s->bytes, 20000));
	web->dropped = 77;
	commander_end(s->c, web, 0);
	run_a_little(s);
	cr_assert(eq(i64, follow_node(s->follow, 0)->dropped[FOLLOW_OUT], 77));
	cr_assert(eq(sz, s->bytes, 20000));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, what_was_dropped_of_little_output_is_told_too)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	begin(s, (struct follow_config){.live = true});
	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, "kept");
	run_a_little(s);
	web->dropped = 4;
	commander_end(s->c, web, 0);
	run_a_little(s);
	cr_assert(eq(i64, follow_node(s->follow, 0)->dropped[FOLLOW_OUT], 4));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

/* --- links that are lost -----------------------------------------------------------------------
 */

static void
cut_at_third_piece(struct commander *c, const char *op)
{
	struct seen *s = c->arg;

	if (strcmp(op, "GetCommandOutput") == 0 && c->asked_output == 2 && s->lost == 0)
		cut(s);
}

Test(follow, a_link_that_is_lost_in_the_middle_of_output_loses_and_doubles_nothing)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");
	char want[201] = "";

	for (int i = 0; i < 20; i++)
		strcat(want, "0123456789");
	commander_writes(s->c, web, 0, 0, want);
	commander_end(s->c, web, 0);
	s->c->piece = 50;
	s->c->arg = s;
	s->c->before = cut_at_third_piece;
	begin(s, (struct follow_config){0});
	rig_run(s->rig, 30 * USEC_PER_SEC);
	cr_assert(eq(int, s->lost, 1));
	cr_assert(eq(int, s->back, 1));
	cr_assert(eq(sz, s->bytes, 200));
	cr_assert(eq(int, s->ends, 1));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, a_relay_that_comes_back_is_asked_from_where_it_was)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	begin(s, (struct follow_config){.live = true});
	run_a_little(s);
	s->rig->refuses = HW_EUNAVAILABLE;
	cut(s);
	rig_run(s->rig, 20 * USEC_PER_SEC);
	cr_assert(eq(int, s->overs, 0));
	commander_writes(s->c, web, 0, 0, "meanwhile");
	commander_end(s->c, web, 0);
	s->rig->refuses = 0;
	rig_run(s->rig, 30 * USEC_PER_SEC);
	cr_assert_str_eq(buf_str(&s->words), "web-1 out 0@0 meanwhile\nweb-1 ends\n");
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, a_relay_that_does_not_come_back_ends_it)
{
	struct seen *s = seen_new();

	commander_add(s->c, "web-1");
	begin(s, (struct follow_config){0});
	run_a_little(s);
	s->rig->refuses = HW_EUNAVAILABLE;
	cut(s);
	rig_run(s->rig, 3700 * USEC_PER_SEC);
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, s->code, HW_EUNAVAILABLE));
	seen_free(s);
}

Test(follow, a_relay_that_is_busy_is_asked_again)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	commander_writes(s->c, web, 0, 0, "x");
	commander_end(s->c, web, 0);
	s->c->unavailable = 3;
	begin(s, (struct follow_config){0});
	rig_run(s->rig, 10 * USEC_PER_SEC);
	cr_assert(eq(sz, s->bytes, 1));
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, s->lost, 0));
	seen_free(s);
}

Test(follow, output_that_is_not_to_be_had_just_now_is_waited_for)
{
	static const int codes[] = {HW_ERECORD, HW_EFULL, HW_ETIMEOUT};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct seen *s = seen_new();
		struct commander_node *web = commander_add(s->c, "web-1");

		begin(s, (struct follow_config){.live = true});
		commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
		commander_writes(s->c, web, 0, 0, "x");
		s->c->refuse_output = codes[i];
		run_a_little(s);
		commander_end(s->c, web, 3);
		run_a_little(s);
		cr_assert(eq(int, s->overs + s->ends + s->failures, 0));
		cr_assert(eq(int, s->waits, 1));
		s->c->refuse_output = 0;
		run_a_little(s);
		cr_assert(eq(sz, s->bytes, 1));
		cr_assert(eq(int, s->overs, 1));
		cr_assert(eq(int, fates_exit(follow_fates(s->follow)), 1));
		seen_free(s);
	}
}

/* --- refusals ----------------------------------------------------------------------------------
 */

Test(follow, output_that_may_not_be_read_is_said_once_and_every_end_comes)
{
	struct seen *s = seen_new();

	for (int i = 0; i < 40; i++) {
		struct commander_node *node = commander_add(s->c, "n");
		commander_writes(s->c, node, 0, 0, "secret");
		commander_end(s->c, node, 0);
	}
	s->c->refuse_output = HW_EDENIED;
	begin(s, (struct follow_config){0});
	run_a_little(s);
	cr_assert(eq(int, s->failures, 1));
	cr_assert(eq(int, s->code, HW_EDENIED));
	cr_assert(eq(int, s->ends, 40));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, a_node_that_runs_has_not_ended_because_its_output_may_not_be_read)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	begin(s, (struct follow_config){.live = true});
	commander_set(s->c, web, INVOCATION_STATUS_IN_PROGRESS, NULL, -1);
	commander_writes(s->c, web, 0, 0, "secret");
	commander_writes(s->c, web, 0, 1, "secret");
	s->c->refuse_output = HW_EDENIED;
	run_a_little(s);
	cr_assert(eq(int, s->failures, 1));
	cr_assert(eq(int, s->ends + s->overs, 0));
	commander_end(s->c, web, 3);
	run_a_little(s);
	cr_assert(eq(int, s->ends, 1));
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, fates_exit(follow_fates(s->follow)), 1));
	seen_free(s);
}

Test(follow, a_command_that_may_not_be_looked_at_is_over_with_that)
{
	struct seen *s = seen_new();

	commander_add(s->c, "web-1");
	s->c->refuse_changes = HW_EDENIED;
	begin(s, (struct follow_config){0});
	run_a_little(s);
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, s->code, HW_EDENIED));
	seen_free(s);
}

/* --- cancelling --------------------------------------------------------------------------------
 */

Test(follow, cancelling_is_asked_once_and_the_ends_come_as_ever)
{
	struct seen *s = seen_new();

	commander_add(s->c, "web-1");
	s->c->ends_when_cancelled = true;
	begin(s, (struct follow_config){0});
	run_a_little(s);
	follow_cancel(s->follow);
	run_a_little(s);
	cr_assert(eq(int, s->cancelled, 1));
	cr_assert(eq(int, s->c->asked_cancel, 1));
	cr_assert(follow_is_cancelled(s->follow));
	cr_assert(eq(int, s->overs, 1));
	cr_assert(eq(int, fates_exit(follow_fates(s->follow)), 2));
	seen_free(s);
}

Test(follow, cancelling_waits_for_a_link)
{
	struct seen *s = seen_new();

	commander_add(s->c, "web-1");
	s->c->ends_when_cancelled = true;
	begin(s, (struct follow_config){0});
	run_a_little(s);
	s->rig->refuses = HW_EUNAVAILABLE;
	cut(s);
	run_a_little(s);
	follow_cancel(s->follow);
	run_a_little(s);
	cr_assert(eq(int, s->c->asked_cancel, 0));
	s->rig->refuses = 0;
	rig_run(s->rig, 10 * USEC_PER_SEC);
	cr_assert(eq(int, s->c->asked_cancel, 1));
	cr_assert(eq(int, s->overs, 1));
	seen_free(s);
}

Test(follow, a_cancel_that_is_refused_is_told_and_it_goes_on)
{
	struct seen *s = seen_new();

	commander_add(s->c, "web-1");
	s->c->refuse_cancel = HW_EDENIED;
	begin(s, (struct follow_config){0});
	follow_cancel(s->follow);
	run_a_little(s);
	cr_assert(eq(int, s->cancel_code, HW_EDENIED));
	cr_assert(not(follow_is_cancelled(s->follow)));
	cr_assert(eq(int, s->overs, 0));
	seen_free(s);
}

Test(follow, one_that_is_freed_with_questions_open_hears_no_more)
{
	struct seen *s = seen_new();
	struct commander_node *web = commander_add(s->c, "web-1");

	commander_writes(s->c, web, 0, 0, "x");
	commander_end(s->c, web, 0);
	s->rig->mute = true;
	begin(s, (struct follow_config){0});
	run_a_little(s);
	follow_free(s->follow);
	s->follow = NULL;
	run_a_little(s);
	cr_assert(eq(int, s->ends, 0));
	seen_free(s);
}
