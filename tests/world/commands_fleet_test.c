/* Commands on real agents: each runs once, and all that it wrote arrives, whatever breaks on the
 * way. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/world/fleet.h"

#define WRITTEN 150000 /* bytes: some pieces */

struct story {
	struct world *w;
	struct fleet_user *admin;
	struct fleet_node *node;
	char id[37];
};

static struct story
story_new(void)
{
	struct story s = {.w = world_new(NULL)};

	s.admin = fleet_user_new(s.w, s.w->invite);
	s.node = fleet_node_new(s.admin, "web-01");
	fleet_node_on(s.node);
	return s;
}

static void
story_end(struct story *s)
{
	fleet_node_free(s->node);
	fleet_user_free(s->admin);
	world_free(s->w);
}

static void
order(struct story *s, const char *script)
{
	const char *ids[] = {s->node->id};
	struct msg_pair commands = {
		"commands", {&script, 1}
	};
	struct msg_send_command_request req = {
		.document_name = "AWS-RunShellScript",
		.instance_ids = {ids,	      1},
		.parameters = {&commands, 1},
	};
	struct msg_send_command_reply *rep;

	fleet_call(s->admin, OP_send_command, &rep, &req);
	snprintf(s->id, sizeof(s->id), "%s", rep->command->command_id);
}

static const struct msg_get_command_invocation_reply *
look(struct story *s)
{
	struct msg_get_command_invocation_request req = {
		.command_id = s->id, .instance_id = s->node->id};
	struct msg_get_command_invocation_reply *rep;

	fleet_call(s->admin, OP_get_command_invocation, &rep, &req);
	return rep;
}

static bool
has_ended(struct story *s)
{
	switch (look(s)->status) {
	case INVOCATION_STATUS_SUCCESS:
	case INVOCATION_STATUS_FAILED:
	case INVOCATION_STATUS_CANCELLED:
	case INVOCATION_STATUS_TIMED_OUT:
		return true;
	default:
		return false;
	}
}

static void
check_words(struct story *s, const char *words)
{
	const struct msg_get_command_invocation_reply *got = look(s);
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", enum_text(&enum_INVOCATION_STATUS, got->status),
		got->status_details);
	cr_assert_str_eq(text, words);
}

static void
check_output(struct story *s, size_t expected)
{
	struct msg_get_command_output_request req = {
		.command_id = s->id, .instance_id = s->node->id, .stream = OUTPUT_STREAM_STDOUT};
	struct msg_get_command_output_reply *rep;
	size_t n = 0;

	do {
		req.offset = (int64_t)n;
		fleet_call(s->admin, OP_get_command_output, &rep, &req);
		for (size_t i = 0; i < rep->data.n; i++)
			cr_assert(eq(int, rep->data.p[i], fake_program_byte(n + i)), "byte %zu",
				n + i);
		n += rep->data.n;
	} while (rep->data.n > 0);
	cr_assert(eq(sz, n, expected));
	cr_assert(rep->complete);
}

/* --- nothing breaks -----------------------------------------------------------------------------
 */

Test(commands_fleet, a_script_runs_and_what_it_wrote_and_said_is_there)
{
	struct story s = story_new();

	order(&s, "print 1000");
	world_advance(s.w, USEC_PER_SEC);
	check_words(&s, "Success/Success");
	check_output(&s, 1000);
	order(&s, "exit 3");
	world_advance(s.w, USEC_PER_SEC);
	check_words(&s, "Failed/Failed");
	cr_assert(eq(i64, look(&s)->response_code, 3));
	cr_assert(eq(int, fake_programs_count(s.node->programs)->started, 2));
	story_end(&s);
}

Test(commands_fleet, a_cancelled_script_is_killed)
{
	struct story s = story_new();

	order(&s, "sleep");
	world_advance(s.w, USEC_PER_SEC);
	check_words(&s, "InProgress/InProgress");
	struct msg_cancel_command_request req = {.command_id = s.id};
	struct msg_empty *none;
	fleet_call(s.admin, OP_cancel_command, &none, &req);
	world_advance(s.w, 10 * USEC_PER_SEC);
	check_words(&s, "Cancelled/Cancelled");
	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 0));
	story_end(&s);
}

/* --- everything breaks ---------------------------------------------------------------------------
 */

/* The k'th message of one end, and all after it, are lost. */
struct cut {
	struct pair *line;
	int left;
	bool done;
};

static bool
on_message(void *arg, uint8_t *p, size_t n)
{
	struct cut *c = arg;

	(void)p, (void)n;
	c->done |= c->left-- <= 0;
	return !c->done;
}

static void
lose_link(struct story *s, struct cut *c)
{
	(void)s;
	pair_drop(c->line, "cut");
}

static void
kill_relay(struct story *s, struct cut *c)
{
	const struct fleet_lines *of[] = {&s->node->lines, &s->admin->lines};
	struct pair *lines[2 * FLEET_LINES];
	struct hw_err err = HW_ERR_INIT;
	size_t n = 0;

	(void)c;
	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < of[i]->n; k++)
			lines[n++] = of[i]->v[k];
	cr_assert(eq(int, world_kill(s->w, lines, n, &err), 0), "%s", err.text);
	cr_assert(eq(int, fleet_user_connect(s->admin, &err), 0), "%s", err.text);
}

static void
replace_agent(struct story *s, struct cut *c)
{
	pair_drop(c->line, "cut");
	fleet_node_restart(s->node);
}

static void
break_at(struct story *s, int side, int k, void (*way)(struct story *s, struct cut *c))
{
	struct cut c = {.line = fleet_line(&s->node->lines), .left = k};
	int started = fake_programs_count(s->node->programs)->started;
	bool broken = false;
	char script[32];

	pair_tap(c.line, side, on_message, &c);
	snprintf(script, sizeof(script), "print %d", WRITTEN);
	order(s, script);
	for (int i = 0; i < 1200 && !has_ended(s); i++) {
		world_advance(s->w, 100 * USEC_PER_MSEC);
		if (!c.done || broken)
			continue;
		broken = true;
		way(s, &c);
	}
	if (c.done && !broken) /* what was lost was the last word of it */
		way(s, &c);
	else if (!broken)
		pair_tap(c.line, side, NULL, NULL);
	check_words(s, "Success/Success");
	check_output(s, WRITTEN);
	cr_assert(eq(int, fake_programs_count(s->node->programs)->started, started + 1),
		"side %d, message %d", side, k);
	world_advance(s->w, 90 * USEC_PER_SEC); /* the node is back, and has forgotten it */
	struct commands_count left = commands_count(s->node->commands);
	cr_assert(eq(sz, left.running + left.waiting + left.ended, 0), "side %d, message %d", side,
		k);
}

static void
break_everywhere(void (*way)(struct story *s, struct cut *c))
{
	struct story s = story_new();

	for (int side = PAIR_A; side <= PAIR_B; side++)
		for (int k = 0; k < 10; k++)
			break_at(&s, side, k, way);
	story_end(&s);
}

Test(commands_fleet, it_runs_once_though_the_link_is_lost_at_any_message, .timeout = 120)
{
	break_everywhere(lose_link);
}

Test(commands_fleet, it_runs_once_though_the_relay_is_killed_at_any_message, .timeout = 120)
{
	break_everywhere(kill_relay);
}

Test(commands_fleet, it_runs_once_though_the_agent_is_replaced_at_any_message, .timeout = 120)
{
	break_everywhere(replace_agent);
}

/* --- documents within documents -----------------------------------------------------------------
 */

static void
make_document(struct story *s, const char *name, const char *content)
{
	struct msg_create_document_request req = {
		.name = name,
		.document_type = DOCUMENT_TYPE_COMMAND,
		.document_format = DOCUMENT_FORMAT_YAML,
		.content = content,
	};
	struct msg_create_document_reply *rep;

	fleet_call(s->admin, OP_create_document, &rep, &req);
}

static void
order_document(struct story *s, const char *name)
{
	const char *ids[] = {s->node->id};
	struct msg_send_command_request req = {
		.document_name = name, .instance_ids = {ids, 1}
	       };
	struct msg_send_command_reply *rep;

	fleet_call(s->admin, OP_send_command, &rep, &req);
	snprintf(s->id, sizeof(s->id), "%s", rep->command->command_id);
}

static bool
is_running(struct story *s)
{
	return look(s)->status == INVOCATION_STATUS_IN_PROGRESS;
}

Test(commands_fleet, a_document_of_the_relay_runs_within_a_step)
{
	struct story s = story_new();

	make_document(&s, "Inner",
		"schemaVersion: '2.2'\n"
		"parameters: {Bytes: {type: String, default: '10'}}\n"
		"mainSteps:\n"
		"- {name: one, action: 'aws:runShellScript', inputs: {runCommand: 'print {{ Bytes }}'}}\n");
	make_document(&s, "Outer",
		"schemaVersion: '2.2'\n"
		"mainSteps:\n"
		"- name: run\n"
		"  action: aws:runDocument\n"
		"  inputs:\n"
		"    documentType: SSMDocument\n"
		"    documentPath: 'Inner:1'\n"
		"    documentParameters: {Bytes: '150000'}\n");
	order_document(&s, "Outer");
	for (int i = 0; i < 200 && !has_ended(&s); i++)
		world_advance(s.w, 100 * USEC_PER_MSEC);
	check_words(&s, "Success/Success");
	check_output(&s, WRITTEN);
	story_end(&s);
}

Test(commands_fleet, a_step_waits_for_a_link_to_ask_for_its_document)
{
	struct story s = story_new();

	make_document(&s, "Inner",
		"schemaVersion: '2.2'\n"
		"mainSteps:\n"
		"- {name: one, action: 'aws:runShellScript', inputs: {runCommand: 'print 1000'}}\n");
	make_document(&s, "Outer",
		"schemaVersion: '2.2'\n"
		"mainSteps:\n"
		"- name: run\n"
		"  action: aws:runDocument\n"
		"  inputs: {documentType: SSMDocument, documentPath: Inner}\n");
	order_document(&s, "Outer");
	for (int i = 0; i < 200 && !is_running(&s) && !has_ended(&s); i++)
		world_advance(s.w, 10 * USEC_PER_MSEC);
	fleet_node_off(s.node);
	fleet_node_on(s.node);
	for (int i = 0; i < 600 && !has_ended(&s); i++)
		world_advance(s.w, 100 * USEC_PER_MSEC);
	check_words(&s, "Success/Success");
	check_output(&s, 1000);
	story_end(&s);
}
