/* GetCommandOutput, and what else reads output. */
#include "relay/services/commands/output.h"

#include <stdio.h>
#include <string.h>

#include "relay/core/op.h"
#include "relay/core/outputs.h"
#include "relay/core/packed.h"
#include "relay/core/readers.h"
#include "relay/services/commands/filters.h"
#include "relay/services/commands/pack.h"
#include "relay/services/commands/urls.h"
#include "relay/services/text.h"
#include "relay/store/store.h"

#define READ_DEFAULT 65536

/* --- finding ------------------------------------------------------------------------------------
 */

const char *
output_purpose(struct op *op, const char *command, const char *node)
{
	return arena_printf(op->arena, PACKED_OUTPUT, command, node);
}

static int
unpack_all(struct output_of *of, struct op *op, const char *steps, const char *kept)
{
	const char *purpose = output_purpose(op, of->row.command_id, of->row.node_id);
	void *msg;
	int r;

	if (purpose == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for an invocation");
	if ((r = unpack(&msg, op, MSG_ROW(invocation_steps), steps, NULL)) < 0)
		return r;
	of->steps = msg;
	r = unpack(&msg, op, MSG_ROW(invocation_outputs), kept, purpose);
	if (r == 0)
		of->kept = msg;
	return r;
}

int
output_load(struct output_of *ret, struct op *op, struct db *db, const struct command_row *command,
	const struct invocation_row *row)
{
	struct output_of of = {.command = *command, .row = *row};
	const char *steps, *kept;
	int r;

	if ((r = invocation_get_body(db, op->arena, row->command_id, row->node_id, &steps, &kept,
		     &op->err)) < 0 ||
		(r = unpack_all(&of, op, steps, kept)) < 0)
		return r;
	*ret = of;
	return 0;
}

struct finding {
	struct output_of *ret;
	struct op *op;
	const char *command, *node;
};

static int
read_invocation(void *arg, struct db *db, struct hw_err *err)
{
	struct finding *w = arg;
	struct command_row command;
	struct invocation_row row;
	int r;

	r = command_get(db, w->command, &command, err);
	if (r == HW_ECOMMAND) /* what SSM says here, and its clients wait for */
		return hw_err_set(err, HW_EINVOCATION, "no command has the id %.60s", w->command);
	if (r < 0 || (r = invocation_get(db, w->command, w->node, &row, err)) < 0)
		return r;
	if ((r = output_load(w->ret, w->op, db, &command, &row)) < 0)
		return r;
	return upload_describe(&w->ret->upload_status, &w->ret->upload_details, w->op, db, &command,
		&row);
}

int
output_find(struct output_of *ret, struct op *op, const char *command, const char *node)
{
	struct finding w = {.ret = ret, .op = op, .command = command, .node = node};
	int r;

	if ((r = filters_check_ids(op, command, node)) < 0 ||
		(r = store_read(op->env->store, read_invocation, &w, &op->err)) < 0)
		return r;
	if (op_may_see_node(op, node))
		return 0;
	return op_fail(op, HW_EINVOCATION, "command %s has no invocation on %s", command, node);
}

int
output_step(size_t *ret, struct op *op, const struct output_of *of, const char *name)
{
	size_t n = of->steps->steps.n, found = n, fit = 0;

	if (name == NULL && n == 1) {
		*ret = 0;
		return 0;
	}
	if (name == NULL)
		return op_fail(op, HW_EPLUGIN,
			n == 0 ? "no step has begun on %s yet"
			       : "several steps ran on %s: say which by PluginName",
			of->row.node_id);
	for (size_t i = 0; i < n; i++)
		if (strcmp(of->steps->steps.v[i].name, name) == 0) {
			*ret = i;
			return 0;
		}
	for (size_t i = 0; i < n; i++)
		if (strcmp(text_or_empty(of->steps->steps.v[i].action), name) == 0) {
			found = i;
			fit++;
		}
	if (fit != 1)
		return op_fail(op, HW_EPLUGIN, "%s has no step \"%.100s\", or more than one",
			of->row.node_id, name);
	*ret = found;
	return 0;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static struct output_name
name_of(const struct output_of *of, size_t step, int stream)
{
	return (struct output_name){
		.command = of->row.command_id,
		.node = of->row.node_id,
		.step = (int)step,
		.stream = stream,
	};
}

int
output_size(int64_t *ret, struct op *op, const struct output_of *of, size_t step, int stream)
{
	struct output_name name = name_of(of, step, stream);
	int64_t size = 0;

	for (size_t i = 0; i < of->kept->outputs.n; i++) {
		const struct msg_invocation_output *piece = &of->kept->outputs.v[i];
		int64_t end = piece->offset + (int64_t)piece->data.n;
		if ((size_t)piece->step == step && piece->stream == stream && end > size)
			size = end;
	}
	*ret = size;
	if (of->kept->outputs.n > 0)
		return 0;
	return outputs_size(op->env->outputs, &name, ret, &op->err);
}

/* What of a piece is from `offset` on, and fits. */
static int
append_piece(struct buf *out, const struct msg_invocation_output *piece, int64_t offset, size_t n)
{
	int64_t end = piece->offset + (int64_t)piece->data.n;

	if (offset < piece->offset || offset >= end || n == 0)
		return 0;
	size_t skip = (size_t)(offset - piece->offset), more = piece->data.n - skip;
	return buf_append(out, piece->data.p + skip, more < n ? more : n);
}

static int
read_kept(struct buf *out, struct op *op, const struct output_of *of, size_t step, int stream,
	int64_t offset, size_t n)
{
	size_t before = out->len;
	int r = 0;

	for (size_t i = 0; r == 0 && i < of->kept->outputs.n; i++) {
		const struct msg_invocation_output *piece = &of->kept->outputs.v[i];
		size_t got = out->len - before;
		if ((size_t)piece->step == step && piece->stream == stream)
			r = append_piece(out, piece, offset + (int64_t)got, n - got);
	}
	return r == 0 ? 0 : op_fail(op, r, "no memory for output");
}

/* A write that was torn comes again. */
static int
judge_read(struct op *op, const struct output_of *of, int r, const struct hw_err *err)
{
	if (r == HW_ECORRUPT && of->row.live)
		return 0;
	return r == 0 ? 0 : op_fail(op, r, "%s", hw_err_text(err));
}

int
output_read(struct buf *out, struct op *op, const struct output_of *of, size_t step, int stream,
	int64_t offset, size_t n)
{
	struct output_name name = name_of(of, step, stream);
	struct hw_err err = HW_ERR_INIT;

	if (of->kept->outputs.n > 0)
		return read_kept(out, op, of, step, stream, offset, n);
	int r = outputs_read(op->env->outputs, &name, offset, n, out, &err);
	return judge_read(op, of, r, &err);
}

/* --- GetCommandOutput --------------------------------------------------------------------------
 */

static int
fill_kept(struct msg_get_command_output_reply *rep, struct op *op, const struct output_of *of,
	size_t step, const struct msg_get_command_output_request *req, size_t n)
{
	struct buf data;
	int r;

	if ((r = output_size(&rep->size, op, of, step, req->stream)) < 0)
		return r;
	buf_init(&data, n);
	r = read_kept(&data, op, of, step, req->stream, req->offset, n);
	if (r == 0) {
		rep->data.n = data.len;
		rep->data.p = arena_dup(op->arena, buf_data(&data), data.len);
		r = rep->data.p != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for output");
	}
	buf_fini(&data);
	return r;
}

/* Much of it comes from a file, to where it is encoded from. */
static int
fill_from_file(struct msg_get_command_output_reply *rep, struct op *op, const struct output_of *of,
	size_t step, const struct msg_get_command_output_request *req, size_t n)
{
	struct output_name name = name_of(of, step, req->stream);
	uint8_t *p = arena_bytes(op->arena, n);
	struct hw_err err = HW_ERR_INIT;

	if (p == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for output");
	rep->data.p = p;
	return judge_read(op, of,
		outputs_read_to(op->env->outputs, &name, req->offset, p, n, &rep->data.n,
			&rep->size, &err),
		&err);
}

static int
fill(struct msg_get_command_output_reply *rep, struct op *op, const struct output_of *of,
	size_t step, const struct msg_get_command_output_request *req)
{
	size_t n = req->max_bytes > 0 ? (size_t)req->max_bytes : READ_DEFAULT;

	return (of->kept->outputs.n > 0 ? fill_kept : fill_from_file)(rep, op, of, step, req, n);
}

/* Pieces that follow the first need no entry of their own. */
static int
record_reading(struct op *op, const char *command, const char *node)
{
	const struct op_env *env = op->env;
	int64_t now = clock_mono(env->clock);
	char what[128];

	snprintf(what, sizeof(what), "output of %.36s on %.64s", command, node);
	if (env->readers != NULL && readers_know(env->readers, op->arn, what, now))
		return 0;
	op->about = arena_strdup(op->arena, what);
	int r = op_begin(op);
	if (r == 0 && env->readers != NULL)
		readers_note(env->readers, op->arn, what, now);
	return r;
}

int
op_get_command_output(struct op *op, const struct msg_get_command_output_request *req,
	struct msg_get_command_output_reply *rep)
{
	struct output_of of;
	size_t step;
	int r;

	if ((r = record_reading(op, req->command_id, req->instance_id)) < 0 ||
		(r = output_find(&of, op, req->command_id, req->instance_id)) < 0)
		return r;
	if (of.command.output_gone)
		return op_fail(op, HW_ENOTFOUND, "the output of command %s is not kept any more",
			req->command_id);
	if ((r = output_step(&step, op, &of, text_or_absent(req->plugin_name))) < 0 ||
		(r = fill(rep, op, &of, step, req)) < 0)
		return r;
	const struct msg_invocation_step *s = &of.steps->steps.v[step];
	rep->dropped = req->stream == OUTPUT_STREAM_STDERR ? s->stderr_dropped : s->stdout_dropped;
	rep->complete = !of.row.live;
	return 0;
}
