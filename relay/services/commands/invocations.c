/* ListCommandInvocations and GetCommandInvocation: what became of commands on their nodes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relay/core/fit.h"
#include "relay/core/op.h"
#include "relay/services/commands/cut.h"
#include "relay/services/commands/filters.h"
#include "relay/services/commands/output.h"
#include "relay/services/commands/pack.h"
#include "relay/services/commands/urls.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/store.h"

#define LIST_LIMIT  50
#define STEPS_MAX   200		/* of one invocation in a list */
#define OUTPUT_ROOM (96 * 1024) /* of all that a page shows; further steps come without theirs */
#define TEXT_MAX    (3 * CUT_STDOUT + 16) /* of bytes that are all replaced */

/* The beginning of a stream, as text; a little more than `max` bytes where there are more. */
static int
read_text(struct buf *out, struct op *op, const struct output_of *of, size_t step, int stream,
	size_t max)
{
	struct buf bytes;

	buf_init(&bytes, max + 1);
	int r = output_read(&bytes, op, of, step, stream, 0, max + 1);
	if (r == 0 && (r = cut_text(out, buf_data(&bytes), bytes.len)) < 0)
		op_fail(op, r, "no memory for output");
	buf_fini(&bytes);
	return r;
}

/* Such a step has made a success of itself: the short forms leave out what it complained of, as SSM
 * does. */
#define EXIT_SUCCESS_AND_STOP 168

static bool
is_left_out(const struct msg_invocation_step *s, int stream)
{
	return stream == OUTPUT_STREAM_STDERR && s->response_code == EXIT_SUCCESS_AND_STOP &&
		s->status == INVOCATION_STATUS_SUCCESS;
}

static int
keep(const char **ret, struct op *op, struct buf *text)
{
	*ret = arena_strndup(op->arena, (const char *)buf_data(text), text->len);
	return *ret != NULL ? 0 : op_fail(op, HW_ELIMIT, "the reply is too large");
}

/* --- the list ----------------------------------------------------------------------------------
 */

struct listing {
	struct op *op;
	struct msg_list_command_invocations_reply *rep;
	struct invocation_filter filter;
	bool details;
	struct page page;
	struct page_key from;
	size_t shown; /* bytes of output */
};

static int
show_output(struct msg_command_plugin *ret, struct listing *w, const struct output_of *of, size_t i)
{
	const struct msg_invocation_step *s = &of->steps->steps.v[i];
	struct buf out, err, both;
	int r;

	if (of->command.output_gone && s->stdout_bytes + s->stderr_bytes > 0) {
		ret->output = OUTPUT_GONE;
		return 0;
	}
	buf_init(&out, TEXT_MAX);
	buf_init(&err, TEXT_MAX);
	buf_init(&both, CUT_PLUGIN);
	if ((r = read_text(&out, w->op, of, i, OUTPUT_STREAM_STDOUT, CUT_PLUGIN)) == 0 &&
		(is_left_out(s, OUTPUT_STREAM_STDERR) ||
			(r = read_text(&err, w->op, of, i, OUTPUT_STREAM_STDERR, CUT_PLUGIN)) ==
				0) &&
		(r = cut_plugin(&both, &out, &err)) == 0)
		r = keep(&ret->output, w->op, &both);
	w->shown += both.len;
	buf_fini(&out);
	buf_fini(&err);
	buf_fini(&both);
	return r;
}

static int
describe_plugin(struct msg_command_plugin *ret, struct listing *w, const struct output_of *of,
	size_t i)
{
	const struct msg_invocation_step *s = &of->steps->steps.v[i];

	*ret = (struct msg_command_plugin){
		.name = s->name,
		.status = s->status,
		.status_details = s->status_details,
		.response_code = s->response_code,
		.started = s->started,
		.ended = s->ended,
	};
	if (w->shown >= OUTPUT_ROOM)
		return 0;
	int r = urls_describe(ret, w->op, of, i, &w->shown);
	return r == 0 ? show_output(ret, w, of, i) : r;
}

static int
add_plugins(struct msg_command_invocation *to, struct listing *w, struct db *db,
	const struct command_row *command, const struct invocation_row *row)
{
	struct op *op = w->op;
	struct output_of of;
	int r = output_load(&of, op, db, command, row);

	if (r < 0)
		return r;
	size_t n = of.steps->steps.n < STEPS_MAX ? of.steps->steps.n : STEPS_MAX;
	to->command_plugins.v = arena_array(op->arena, n, sizeof(*to->command_plugins.v));
	if (to->command_plugins.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for steps");
	to->command_plugins.n = n;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = describe_plugin(&to->command_plugins.v[i], w, &of, i);
	return r;
}

static int
describe(struct msg_command_invocation *ret, struct op *op, const struct command_row *command,
	const struct invocation_row *row)
{
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{&ret->command_id,	   row->command_id	  },
		{&ret->instance_id,	    row->node_id		},
		{&ret->instance_name,    row->node_name	    },
		{&ret->comment,		command->comment	},
		{&ret->document_name,    command->document     },
		{&ret->document_version, command->version_asked},
		{&ret->status_details,   row->details	   },
		{&ret->trace_output,     row->reason		},
	};
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if ((r = text_keep(texts[i].to, op, texts[i].from)) < 0)
			return r;
	ret->requested = command->requested;
	ret->status = row->status;
	return 0;
}

/* Where the next page begins: behind this one. */
static void
mark(struct listing *w, const struct command_row *command, const struct invocation_row *row)
{
	w->from.number = command->requested;
	snprintf(w->from.text, sizeof(w->from.text), "%s/%s", row->command_id, row->node_id);
}

static int
add(struct listing *w, struct db *db, const struct command_row *command,
	const struct invocation_row *row)
{
	struct msg_command_invocation *to = &w->rep->command_invocations.v[w->page.items++];
	int r = describe(to, w->op, command, row);

	mark(w, command, row);
	if (r == 0)
		r = upload_describe(&to->upload_status, &to->upload_details, w->op, db, command,
			row);
	return r == 0 && w->details ? add_plugins(to, w, db, command, row) : r;
}

static int
read_invocations(void *arg, struct db *db, struct hw_err *err)
{
	struct command_row command = {.id = ""};
	struct listing *w = arg;
	struct invocation_row row;
	struct query q;

	int r = invocation_search(&q, db, &w->filter, err);
	while (r == 0 && (r = invocation_next(&q, &row, err)) > 0) {
		r = 0;
		if (!op_may_see_node(w->op, row.node_id))
			continue;
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		if (strcmp(command.id, row.command_id) != 0)
			r = command_get(db, row.command_id, &command, err);
		if (r == 0)
			r = add(w, db, &command, &row);
	}
	query_end(&q);
	w->rep->command_invocations.n = w->page.items;
	return r;
}

/* A token's text is "COMMAND/NODE". */
static int
read_place(struct listing *w, const char *token)
{
	int r = page_read(&w->from, w->op, token);
	char *text, *slash;

	if (r < 0 || w->from.text[0] == '\0')
		return r;
	text = arena_strdup(w->op->arena, w->from.text);
	slash = text != NULL ? strchr(text, '/') : NULL;
	if (slash == NULL)
		return op_fail(w->op, HW_ENEXTTOKEN, "NextToken is not one of this list");
	*slash = '\0';
	w->filter.requested_below = w->from.number;
	w->filter.command_below = text;
	w->filter.node_above = slash + 1;
	return 0;
}

static int
list(struct listing *w, const struct msg_list_command_invocations_request *req)
{
	struct list_filter f;
	int r = filters_read(&f, w->op, req->filters.v, req->filters.n);

	if (r < 0 || (r = filters_check_ids(w->op, req->command_id, req->instance_id)) < 0 ||
		(r = read_place(w, req->next_token)) < 0)
		return r;
	w->filter.command = req->command_id;
	w->filter.node = req->instance_id;
	w->filter.document = f.document;
	w->filter.after = f.after;
	w->filter.before = f.before;
	w->filter.status = f.status;
	w->filter.stage = f.stage;
	return store_read(w->op->env->store, read_invocations, w, &w->op->err);
}

int
op_list_command_invocations(struct op *op, const struct msg_list_command_invocations_request *req,
	struct msg_list_command_invocations_reply *rep)
{
	struct listing w = {.op = op, .rep = rep, .details = req->details};

	rep->command_invocations.v =
		arena_array(op->arena, LIST_LIMIT, sizeof(*rep->command_invocations.v));
	if (rep->command_invocations.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for invocations");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return list(&w, req);
}

/* --- one of them -------------------------------------------------------------------------------
 */

static int
write_time(const char **ret, struct op *op, int64_t when)
{
	char text[RFC3339_LEN + 1] = "";

	if (when != 0)
		rfc3339_format(text, when);
	*ret = arena_strdup(op->arena, text);
	return *ret != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for a time");
}

/* As SSM writes it: PT0.091S. */
static int
write_elapsed(const char **ret, struct op *op, int64_t from, int64_t to)
{
	int64_t ms = to > from ? (to - from) / USEC_PER_MSEC : 0;

	*ret = from == 0 || to == 0
		? ""
		: arena_printf(op->arena, "PT%" PRId64 ".%03dS", ms / 1000, (int)(ms % 1000));
	return *ret != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for a time");
}

static int
read_stream(const char **ret, struct op *op, const struct output_of *of, size_t step, int stream,
	size_t max)
{
	const struct msg_invocation_step *s = &of->steps->steps.v[step];
	struct buf text;
	int r;

	if (is_left_out(s, stream)) {
		*ret = "";
		return 0;
	}
	if (of->command.output_gone &&
		(stream == OUTPUT_STREAM_STDERR ? s->stderr_bytes : s->stdout_bytes) > 0) {
		*ret = OUTPUT_GONE;
		return 0;
	}
	buf_init(&text, TEXT_MAX);
	if ((r = read_text(&text, op, of, step, stream, max)) == 0 &&
		(r = cut_stream(&text, max)) == 0)
		r = keep(ret, op, &text);
	buf_fini(&text);
	return r;
}

static int
fill_step(struct msg_get_command_invocation_reply *rep, struct op *op, const struct output_of *of,
	size_t i)
{
	const struct msg_invocation_step *s = &of->steps->steps.v[i];
	int r;

	rep->plugin_name = s->name;
	rep->response_code = s->response_code;
	if ((r = write_time(&rep->started, op, s->started)) < 0 ||
		(r = write_time(&rep->ended, op, s->ended)) < 0 ||
		(r = write_elapsed(&rep->elapsed, op, s->started, s->ended)) < 0 ||
		(r = read_stream(&rep->stdout_content, op, of, i, OUTPUT_STREAM_STDOUT,
			 CUT_STDOUT)) < 0)
		return r;
	if ((r = url_of(&rep->stdout_url, op, of, i, OUTPUT_STREAM_STDOUT)) < 0 ||
		(r = url_of(&rep->stderr_url, op, of, i, OUTPUT_STREAM_STDERR)) < 0)
		return r;
	return read_stream(&rep->stderr_content, op, of, i, OUTPUT_STREAM_STDERR, CUT_STDERR);
}

/* Before a step has begun there is nothing to say of one; an end without any says why. */
static int
fill_none(struct msg_get_command_invocation_reply *rep, struct op *op, const struct output_of *of)
{
	rep->response_code = of->row.live ? -1 : of->row.response_code;
	rep->stdout_url = rep->stderr_url = "";
	rep->started = rep->ended = rep->elapsed = rep->stdout_content = "";
	rep->stderr_content = arena_strdup(op->arena, of->row.reason);
	return rep->stderr_content != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for a reason");
}

static int
fill_head(struct msg_get_command_invocation_reply *rep, struct op *op, const struct output_of *of)
{
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{&rep->command_id,	   of->row.command_id	     },
		{&rep->instance_id,	    of->row.node_id	   },
		{&rep->comment,		of->command.comment	   },
		{&rep->document_name,    of->command.document	  },
		{&rep->document_version, of->command.version_asked},
		{&rep->status_details,   of->row.details	      },
	};
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if ((r = text_keep(texts[i].to, op, texts[i].from)) < 0)
			return r;
	rep->status = of->row.status;
	rep->upload_status = of->upload_status;
	rep->upload_details = of->upload_details;
	return 0;
}

int
op_get_command_invocation(struct op *op, const struct msg_get_command_invocation_request *req,
	struct msg_get_command_invocation_reply *rep)
{
	const char *plugin = text_or_absent(req->plugin_name);
	struct output_of of;
	size_t step;
	int r;

	if ((r = output_find(&of, op, req->command_id, req->instance_id)) < 0 ||
		(r = fill_head(rep, op, &of)) < 0)
		return r;
	if (of.steps->steps.n == 0 && plugin == NULL)
		return fill_none(rep, op, &of);
	if ((r = output_step(&step, op, &of, plugin)) < 0)
		return r;
	return fill_step(rep, op, &of, step);
}
