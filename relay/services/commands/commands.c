/* ListCommands. */
#include <stdio.h>
#include <string.h>

#include "relay/core/dispatcher.h"
#include "relay/core/op.h"
#include "relay/services/commands/describe.h"
#include "relay/services/commands/filters.h"
#include "relay/services/commands/pack.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/store.h"

#define LIST_LIMIT 50

/* --- one command -------------------------------------------------------------------------------
 */

void
command_look(struct command_row *row, struct op *op)
{
	struct dispatch_view view;

	if (!row->live || !dispatcher_view(op->env->dispatcher, row->id, &view))
		return;
	row->status = view.words.status;
	snprintf(row->details, sizeof(row->details), "%s", view.words.details);
	row->completed = view.counts.ended;
	row->errors = view.counts.errors;
	row->not_delivered = view.counts.not_delivered;
}

static int
keep_texts(struct msg_command *ret, struct op *op, const struct command_row *row)
{
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{&ret->command_id,		   row->id		  },
		{&ret->document_name,	      row->document	   },
		{&ret->document_version,	 row->version_asked  },
		{&ret->comment,		row->comment	    },
		{&ret->status_details,	       row->details	   },
		{&ret->max_concurrency,	row->max_concurrency},
		{&ret->max_errors,		   row->max_errors	  },
		{&ret->principal,		  row->owner_arn	},
		{&ret->output_s3_region,	 row->s3_region      },
		{&ret->output_s3_bucket_name, row->s3_bucket	    },
		{&ret->output_s3_key_prefix,  row->s3_prefix	   },
	};
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if ((r = text_keep(texts[i].to, op, texts[i].from)) < 0)
			return r;
	return 0;
}

/* What was sent, beside its targets, is sealed. */
static int
keep_body(struct msg_command *ret, struct op *op, const struct command_row *row,
	const struct command_body *body)
{
	const struct msg_command *part;
	void *msg;
	int r;

	if ((r = unpack(&msg, op, MSG_ROW(command), body->parameters, row->id)) < 0)
		return r;
	part = msg;
	ret->parameters = part->parameters;
	if ((r = unpack(&msg, op, MSG_ROW(command), body->given, NULL)) < 0)
		return r;
	part = msg;
	ret->instance_ids = part->instance_ids;
	ret->targets.v = part->targets.v;
	ret->targets.n = part->targets.n;
	return 0;
}

int
command_describe(struct msg_command *ret, struct op *op, const struct command_row *row,
	const struct command_body *body)
{
	int r = keep_texts(ret, op, row);

	if (r < 0)
		return r;
	ret->expires_after = row->expires;
	ret->requested = row->requested;
	ret->status = row->status;
	ret->target_count = row->targets;
	ret->completed_count = row->completed;
	ret->error_count = row->errors;
	ret->delivery_timed_out_count = row->not_delivered;
	ret->timeout_seconds = row->timeout_seconds;
	return keep_body(ret, op, row, body);
}

/* --- the list ----------------------------------------------------------------------------------
 */

struct listing {
	struct op *op;
	struct msg_list_commands_reply *rep;
	struct command_filter filter;
	struct page page;
	struct page_key from;
};

static int
add(struct listing *w, struct db *db, struct command_row *row)
{
	struct command_body body;
	int r = command_get_body(db, w->op->arena, row->id, &body, &w->op->err);

	if (r < 0)
		return r;
	command_look(row, w->op);
	return command_describe(&w->rep->commands.v[w->page.items++], w->op, row, &body);
}

static int
read_commands(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct command_row row;
	struct query q;

	int r = command_list(&q, db, &w->filter, err);
	while (r == 0 && (r = command_next(&q, &row, err)) > 0) {
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		r = add(w, db, &row);
		w->from.number = row.requested;
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.id);
	}
	query_end(&q);
	w->rep->commands.n = w->page.items;
	return r;
}

int
op_list_commands(struct op *op, const struct msg_list_commands_request *req,
	struct msg_list_commands_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	struct list_filter f;
	int r;

	if ((r = filters_read(&f, op, req->filters.v, req->filters.n)) < 0 ||
		(r = filters_check_ids(op, req->command_id, req->instance_id)) < 0 ||
		(r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	w.filter = (struct command_filter){
		.id = req->command_id,
		.node = req->instance_id,
		.after = f.after,
		.before = f.before,
		.status = f.status,
		.stage = f.stage,
		.document = f.document,
		.requested_below = w.from.number,
		.id_below = w.from.text,
	};
	rep->commands.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->commands.v));
	if (rep->commands.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for commands");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_commands, &w, &op->err);
}
