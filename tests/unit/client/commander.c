#include "tests/unit/client/commander.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/fate.h"
#include "proto/wire/codec.h"

#define OUTPUT_MAX (64u << 20)

/* --- its state -------------------------------------------------------------------------------- */

static void
touch(struct commander *c, struct commander_node *node)
{
	node->change = ++c->change;
}

struct commander_node *
commander_add(struct commander *c, const char *name)
{
	struct commander_node *node = &c->nodes[c->n];

	cr_assert(lt(sz, c->n, COMMANDER_PLENTY));
	snprintf(node->id, sizeof(node->id), "mi-%017zx", c->n++);
	snprintf(node->name, sizeof(node->name), "%s", name);
	node->status = INVOCATION_STATUS_PENDING;
	node->code = -1;
	node->steps[node->n_steps++] = "run";
	for (size_t i = 0; i < COMMANDER_STEPS; i++)
		for (int stream = 0; stream < 2; stream++)
			buf_init(&node->wrote[i][stream], OUTPUT_MAX);
	touch(c, node);
	return node;
}

void
commander_writes(struct commander *c, struct commander_node *node, size_t step, int stream,
	const char *text)
{
	cr_assert(eq(int, buf_append_str(&node->wrote[step][stream], text), 0));
	touch(c, node);
}

static void
end_command(struct commander *c)
{
	bool failed = false;

	for (size_t i = 0; i < c->n; i++) {
		if (!fate_is_end(fate_of(c->nodes[i].status, c->nodes[i].details)))
			return;
		failed = failed || c->nodes[i].status != INVOCATION_STATUS_SUCCESS;
	}
	c->status = failed ? INVOCATION_STATUS_FAILED : INVOCATION_STATUS_SUCCESS;
}

void
commander_set(struct commander *c, struct commander_node *node, int status, const char *details,
	int64_t code)
{
	node->status = status;
	node->details = details;
	node->code = code;
	touch(c, node);
	end_command(c);
}

void
commander_end(struct commander *c, struct commander_node *node, int64_t code)
{
	if (code == 0)
		commander_set(c, node, INVOCATION_STATUS_SUCCESS, "Success", 0);
	else
		commander_set(c, node, INVOCATION_STATUS_FAILED, "Failed", code);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct question {
	struct commander *c;
	struct link *link;
	uint64_t id;
	const struct op_row *op;
	const void *req;
};

static void
reply(const struct question *q, const void *msg)
{
	link_respond(q->link, q->id, 0, NULL, q->op->reply(), msg);
}

static void
note_sent(const struct question *q)
{
	buf_printf(&q->c->sent, "%s ", q->op->name);
	cr_assert(eq(int, msg_to_json(&q->c->sent, q->op->request(), q->req, 0), 0));
	buf_append_byte(&q->c->sent, '\n');
}

static void
answer_send(const struct question *q)
{
	struct commander *c = q->c;
	const struct msg_send_command_request *req = q->req;
	struct msg_command command = {
		.command_id = COMMANDER_ID,
		.document_name = req->document_name,
		.status = INVOCATION_STATUS_PENDING,
		.target_count = (int64_t)(c->n + c->hidden),
	};
	struct msg_send_command_reply rep = {.command = &command};

	c->asked_send++;
	note_sent(q);
	if (c->refuse_send != 0)
		link_respond(q->link, q->id, c->refuse_send, "not this one", NULL, NULL);
	else
		reply(q, &rep);
}

static int64_t
count_bytes(const struct commander_node *node, int stream)
{
	size_t n = 0;

	for (size_t i = 0; i < COMMANDER_STEPS; i++)
		n += node->wrote[i][stream].len;
	return (int64_t)n;
}

static void
summarise(struct msg_invocation_summary *s, const struct commander_node *node)
{
	*s = (struct msg_invocation_summary){
		.instance_id = node->id,
		.instance_name = node->name,
		.status = node->status,
		.status_details = node->details,
		.response_code = node->code,
		.stdout_bytes = count_bytes(node, 0),
		.stderr_bytes = count_bytes(node, 1),
		.stdout_dropped = node->dropped,
		.reason = node->reason,
	};
	if (node->status != INVOCATION_STATUS_PENDING) {
		s->steps.v = (const char **)(void *)node->steps;
		s->steps.n = node->n_steps;
	}
}

static const struct commander_node *
next_change(const struct commander *c, int64_t after)
{
	const struct commander_node *next = NULL;

	for (size_t i = 0; i < c->n; i++)
		if (c->nodes[i].change > after &&
			(next == NULL || c->nodes[i].change < next->change))
			next = &c->nodes[i];
	return next;
}

static void
answer_changes(const struct question *q)
{
	struct commander *c = q->c;
	const struct msg_list_command_changes_request *req = q->req;
	size_t max = c->page > 0 ? c->page : (size_t)req->max_results;
	struct msg_invocation_summary *all = calloc(max, sizeof(*all));
	struct msg_list_command_changes_reply rep = {
		.status = c->status,
		.target_count = (int64_t)(c->n + c->hidden),
		.concurrency = 50,
		.next = req->after,
	};
	const struct commander_node *node;

	c->asked_changes++;
	rep.invocations.v = all;
	while ((node = next_change(c, rep.next)) != NULL && rep.invocations.n < max) {
		summarise(&all[rep.invocations.n++], node);
		rep.next = node->change;
	}
	rep.more = node != NULL;
	if (c->refuse_changes != 0)
		link_respond(q->link, q->id, c->refuse_changes, "not yours", NULL, NULL);
	else
		reply(q, &rep);
	free(all);
}

static struct commander_node *
find_node(struct commander *c, const char *id)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->nodes[i].id, id) == 0)
			return &c->nodes[i];
	cr_assert(false, "no node %s", id);
	return NULL;
}

static size_t
find_step(const struct commander_node *node, const char *name)
{
	size_t i = 0;

	while (name != NULL && name[0] != '\0' && i < node->n_steps &&
		strcmp(node->steps[i], name) != 0)
		i++;
	cr_assert(lt(sz, i, node->n_steps), "no step %s", name);
	return i;
}

static void
answer_output(const struct question *q)
{
	struct commander *c = q->c;
	const struct msg_get_command_output_request *req = q->req;
	const struct commander_node *node = find_node(c, req->instance_id);
	const struct buf *all = &node->wrote[find_step(node, req->plugin_name)]
					    [req->stream == OUTPUT_STREAM_STDERR];
	size_t max = c->piece > 0 ? c->piece : (size_t)req->max_bytes;
	size_t left = all->len - (size_t)req->offset;
	struct msg_get_command_output_reply rep = {
		.size = (int64_t)all->len,
		.complete = fate_is_end(fate_of(node->status, node->details)),
		.dropped = req->stream == OUTPUT_STREAM_STDOUT ? node->dropped : 0,
	};

	c->asked_output++;
	cr_assert(le(sz, (size_t)req->offset, all->len));
	rep.data.p = buf_data(all) + req->offset;
	rep.data.n = left < max ? left : max;
	if (c->refuse_output != 0)
		link_respond(q->link, q->id, c->refuse_output, "not for you", NULL, NULL);
	else
		reply(q, &rep);
}

static void
answer_cancel(const struct question *q)
{
	static const struct msg_empty nothing;
	struct commander *c = q->c;

	c->asked_cancel++;
	note_sent(q);
	if (c->refuse_cancel != 0) {
		link_respond(q->link, q->id, c->refuse_cancel, "not yours", NULL, NULL);
		return;
	}
	reply(q, &nothing);
	for (size_t i = 0; i < c->n && c->ends_when_cancelled; i++)
		if (!fate_is_end(fate_of(c->nodes[i].status, c->nodes[i].details)))
			commander_set(c, &c->nodes[i], INVOCATION_STATUS_CANCELLED, "Cancelled",
				-1);
}

static void
answer_list(const struct question *q)
{
	const char *text = "uname -r";
	struct msg_pair parameter = {
		.key = "commands", .values = {.v = &text, .n = 1}
	 };
	struct msg_command command = {
		.command_id = COMMANDER_ID,
		.document_name = "AWS-RunShellScript",
		.parameters = {.v = &parameter, .n = 1},
		.status = q->c->status,
		.max_concurrency = "10%",
		.max_errors = "3",
		.comment = "why not",
		.target_count = (int64_t)q->c->n,
		.principal = "arn:aws:iam::000000000000:user/alice",
	};
	struct msg_list_commands_reply rep = {0};

	rep.commands.v = &command;
	rep.commands.n = 1;
	reply(q, &rep);
}

#define NODES_PAGE 50

static void
answer_nodes(const struct question *q)
{
	const struct msg_describe_instance_information_request *req = q->req;
	struct commander *c = q->c;
	size_t from = req->next_token != NULL ? strtoul(req->next_token, NULL, 10) : 0;
	struct msg_instance_information all[NODES_PAGE] = {0};
	struct msg_describe_instance_information_reply rep = {0};
	char next[24];

	rep.instance_information_list.v = all;
	for (size_t i = from; i < c->n && i < from + NODES_PAGE; i++)
		all[rep.instance_information_list.n++] = (struct msg_instance_information){
			.instance_id = c->nodes[i].id,
			.name = c->nodes[i].name,
			.ping_status = PING_STATUS_ONLINE,
		};
	snprintf(next, sizeof(next), "%zu", from + NODES_PAGE);
	if (from + NODES_PAGE < c->n)
		rep.next_token = next;
	reply(q, &rep);
}

static void
requested(struct rig *r, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	static const struct {
		enum op_id op;
		void (*answer)(const struct question *q);
	} rows[] = {
		{OP_send_command,		  answer_send   },
		{OP_list_command_changes,	  answer_changes},
		{OP_get_command_output,		answer_output },
		{OP_cancel_command,		    answer_cancel },
		{OP_list_commands,		   answer_list   },
		{OP_describe_instance_information, answer_nodes  },
	};
	struct commander *c = r->far;
	struct question q = {.c = c, .link = l, .id = id, .op = op_find(op)};
	struct hw_err err = HW_ERR_INIT;
	size_t i = 0;
	void *req;

	if (c->before != NULL)
		c->before(c, op);
	if (c->unavailable > 0) {
		c->unavailable--;
		link_respond(l, id, HW_EUNAVAILABLE, "busy", NULL, NULL);
		return;
	}
	while (i < sizeof(rows) / sizeof(rows[0]) && rows[i].op != q.op->id)
		i++;
	cr_assert(lt(sz, i, sizeof(rows) / sizeof(rows[0])), "%s", op);
	cr_assert(eq(int, msg_decode(&req, r->arena, q.op->request(), body, n, &err), 0), "%s",
		err.text);
	q.req = req;
	rows[i].answer(&q);
}

struct commander *
commander_new(struct rig *rig)
{
	struct commander *c = calloc(1, sizeof(*c));

	c->rig = rig;
	c->status = INVOCATION_STATUS_IN_PROGRESS;
	buf_init(&c->sent, 1 << 20);
	rig->requested = requested;
	rig->far = c;
	return c;
}

void
commander_free(struct commander *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t step = 0; step < COMMANDER_STEPS; step++)
			for (int stream = 0; stream < 2; stream++)
				buf_fini(&c->nodes[i].wrote[step][stream]);
	buf_fini(&c->sent);
	free(c);
}
