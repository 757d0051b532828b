/* UpdateInvocation: a node's word on an invocation, and what it wrote. */
#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "relay/core/config.h"
#include "relay/core/dispatcher.h"
#include "relay/core/fit.h"
#include "relay/core/op.h"
#include "relay/core/outputs.h"
#include "relay/core/throttle.h"
#include "relay/core/uploads.h"
#include "relay/services/commands/output.h"
#include "relay/services/commands/pack.h"
#include "relay/services/text.h"
#include "relay/store/store.h"

/* The node's own sentences about how its steps ended come on top of the cap, which it has used up
 * for what they wrote. */
#define OUTPUT_MARKS (INT64_C(1) << 20)

struct reporting {
	struct op *op;
	const struct msg_update_invocation_request *req;
	struct msg_update_invocation_reply *rep;
	struct dispatch_claim claim;
	enum fanout_state end;			  /* FANOUT_STATES: it goes on */
	const struct msg_invocation_steps *steps; /* as the node has them now */
	const char *packed;			  /* its steps; NULL: as they were */
	size_t room;				  /* of rep->offsets */
	struct output_file *file;		  /* of the last piece that was taken */
	int64_t file_step;
	int file_stream;
};

static int
no_memory(struct op *op)
{
	return op_fail(op, HW_ENOMEM, "no memory for what a node says");
}

/* --- what cannot be -----------------------------------------------------------------------------
 */

/* A node that speaks of what is not its own is told so, and so is an operator, not too often. */
static int
refuse(struct op *op, int code, const char *command, const char *why)
{
	uint64_t missed = 0;
	char reason[256];
	struct msg_ledger_entry e = {
		.principal = op->arn,
		.action = op->row->name,
		.outcome = OUTCOME_DENIED,
		.reason = reason,
		.request_id = op->request_id,
		.source = op->source,
		.command_id = command,
	};

	snprintf(reason, sizeof(reason), "the node reports on a command that %s", why);
	if (op->env->alarms == NULL ||
		throttle_take(op->env->alarms, clock_mono(op->env->clock), &missed))
		ledger_commit(op->env->ledger, ENTRY_ALARM, &e);
	return op_fail(op, code, "command %s %s", command, why);
}

struct looking {
	const char *command, *node;
	struct invocation_row row;
};

static int
read_row(void *arg, struct db *db, struct hw_err *err)
{
	struct looking *w = arg;

	return invocation_get(db, w->command, w->node, &w->row, err);
}

/* One that has ended is of no interest any more: the node may forget it, and ends it if it runs. */
static int
report_ended(struct reporting *w)
{
	struct looking look = {.command = w->req->command_id, .node = w->op->who.id};
	int r = store_read(w->op->env->store, read_row, &look, &w->op->err);

	if (r == HW_EINVOCATION)
		return refuse(w->op, r, w->req->command_id, "was never sent to it");
	if (r < 0)
		return r;
	if (look.row.live)
		return op_fail(w->op, HW_EUNAVAILABLE,
			"command %s is just being saved: say it again", w->req->command_id);
	w->rep->taken = w->end != FANOUT_STATES;
	w->rep->cancel = !w->rep->taken;
	return 0;
}

/* --- texts -------------------------------------------------------------------------------------
 */

/* A node's text is shown on terminals: control characters are not. */
static int
clean(const char **text, struct op *op)
{
	if (*text == NULL || text_is_plain(*text))
		return 0;
	char *copy = arena_strdup(op->arena, *text);
	if (copy == NULL)
		return no_memory(op);
	for (char *c = copy; *c != '\0'; c++) {
		bool c1 = (unsigned char)c[0] == 0xc2 && (unsigned char)c[1] < 0xa0;
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
		else if (c1)
			c[0] = c[1] = ' ';
	}
	*text = copy;
	return 0;
}

static int
take_steps(struct reporting *w)
{
	struct msg_invocation_steps *steps = arena_alloc(w->op->arena, sizeof(*steps));
	size_t n = w->req->steps.n;
	int r = 0;

	if (steps == NULL)
		return no_memory(w->op);
	steps->steps.n = n;
	steps->steps.v = arena_dup(w->op->arena, w->req->steps.v, n * sizeof(*steps->steps.v));
	if (steps->steps.v == NULL)
		return no_memory(w->op);
	for (size_t i = 0; r == 0 && i < n; i++)
		if ((r = clean(&steps->steps.v[i].name, w->op)) == 0 &&
			(r = clean(&steps->steps.v[i].action, w->op)) == 0)
			r = clean(&steps->steps.v[i].status_details, w->op);
	w->steps = steps;
	return r;
}

static int
pack_steps(struct reporting *w)
{
	if (w->req->steps.n == 0)
		return 0;
	return pack(&w->packed, w->op, MSG_ROW(invocation_steps), w->steps, NULL);
}

/* FNV-1a */
static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *at = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ at[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* What people look at while it runs: how much was written is told otherwise, and more often. */
static uint64_t
look_of_steps(const struct msg_invocation_steps *steps)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < steps->steps.n; i++) {
		const struct msg_invocation_step *s = &steps->steps.v[i];
		h = mix(h, s->name, strlen(s->name) + 1);
		h = mix(h, &s->status, sizeof(s->status));
		h = mix(h, &s->response_code, sizeof(s->response_code));
		h = mix(h, &s->started, sizeof(s->started));
		h = mix(h, &s->ended, sizeof(s->ended));
	}
	return h;
}

struct steps_look {
	struct reporting *w;
	const char *text;
};

static int
read_steps(void *arg, struct db *db, struct hw_err *err)
{
	struct steps_look *s = arg;

	return invocation_get_body(db, s->w->op->arena, s->w->req->command_id, s->w->op->who.id,
		&s->text, NULL, err);
}

/* Those of an earlier word count as long as it does not say other ones. */
static int
know_steps(struct reporting *w)
{
	struct steps_look s = {.w = w};
	void *msg;
	int r;

	if (w->req->steps.n > 0)
		return take_steps(w);
	if (w->end == FANOUT_STATES && w->claim.checked) {
		w->steps = arena_alloc(w->op->arena, sizeof(*w->steps));
		return w->steps != NULL ? 0 : no_memory(w->op);
	}
	if ((r = store_read(w->op->env->store, read_steps, &s, &w->op->err)) < 0 ||
		(r = unpack(&msg, w->op, MSG_ROW(invocation_steps), s.text, NULL)) < 0)
		return r;
	w->steps = msg;
	return 0;
}

/* --- output ------------------------------------------------------------------------------------
 */

static struct output_name
name_of(const struct reporting *w, int64_t step, int stream)
{
	return (struct output_name){
		.command = w->req->command_id,
		.node = w->op->who.id,
		.step = (int)step,
		.stream = stream,
	};
}

static int64_t
bytes_of(const struct msg_invocation_step *s, int stream)
{
	return stream == OUTPUT_STREAM_STDERR ? s->stderr_bytes : s->stdout_bytes;
}

/* What an earlier process left is looked at once, and counted. */
static int
check_files(struct reporting *w)
{
	int64_t n = (int64_t)w->steps->steps.n, size;
	int r = 0;

	if (w->claim.checked)
		return 0;
	for (size_t i = 0; i < w->req->outputs.n; i++)
		if (w->req->outputs.v[i].step >= n)
			n = w->req->outputs.v[i].step + 1;
	w->claim.bytes[0] = w->claim.bytes[1] = 0;
	for (int64_t i = 0; r == 0 && i < 2 * n; i++) {
		int stream = i % 2 == 0 ? OUTPUT_STREAM_STDOUT : OUTPUT_STREAM_STDERR;
		struct output_name name = name_of(w, i / 2, stream);
		r = outputs_repair(w->op->env->outputs, &name, &size, &w->op->err);
		if (r == 0)
			w->claim.bytes[i % 2] += size;
	}
	w->claim.checked = r == 0;
	return r;
}

/* The one that is there for the stream, or a new one. */
static int
tell_offset(struct reporting *w, int64_t step, int stream, int64_t offset)
{
	size_t i = 0;

	while (i < w->rep->offsets.n &&
		(w->rep->offsets.v[i].step != step || w->rep->offsets.v[i].stream != stream))
		i++;
	if (i == w->room)
		return no_memory(w->op);
	w->rep->offsets.v[i] = (struct msg_invocation_offset){step, stream, offset};
	if (i == w->rep->offsets.n)
		w->rep->offsets.n++;
	return 0;
}

/* Pieces of one stream come one behind the other. */
static int
open_file(struct reporting *w, const struct msg_invocation_output *piece)
{
	struct output_name name = name_of(w, piece->step, piece->stream);

	if (w->file != NULL && w->file_step == piece->step && w->file_stream == piece->stream)
		return 0;
	output_file_close(w->file);
	w->file = NULL;
	w->file_step = piece->step;
	w->file_stream = piece->stream;
	return output_file_open(&w->file, w->op->env->outputs, &name, &w->op->err);
}

static int
check_room(struct reporting *w, int64_t more)
{
	if (w->claim.bytes[0] + w->claim.bytes[1] + more > w->claim.output_max + OUTPUT_MARKS)
		return op_fail(w->op, HW_ELIMIT,
			"command %s: %lld bytes of output are kept: drop and count the rest",
			w->req->command_id, (long long)w->claim.output_max);
	return outputs_have_room(w->op->env->outputs, more,
		(int64_t)w->op->env->config->command_outputs_mib << 20, &w->op->err);
}

static int
take_piece(struct reporting *w, const struct msg_invocation_output *piece)
{
	int64_t *total = &w->claim.bytes[piece->stream == OUTPUT_STREAM_STDERR];
	int64_t end = piece->offset + (int64_t)piece->data.n;
	int r = open_file(w, piece);

	if (r < 0)
		return r;
	int64_t before = output_file_size(w->file);
	if (end > before && (r = check_room(w, end - before)) < 0)
		return r;
	if (piece->data.n > 0)
		r = output_file_append(w->file, piece->offset, piece->data.p, piece->data.n,
			&w->op->err);
	*total += output_file_size(w->file) - before;
	return r < 0 ? r : tell_offset(w, piece->step, piece->stream, output_file_size(w->file));
}

static int
take_pieces(struct reporting *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->req->outputs.n; i++)
		r = take_piece(w, &w->req->outputs.v[i]);
	output_file_close(w->file);
	w->file = NULL;
	return r;
}

/* --- output that comes along with the end, and is small ----------------------------------------
 */

/* Of a stream, in the first k pieces. */
static int64_t
bytes_before(const struct reporting *w, size_t k, int64_t step, int stream)
{
	int64_t n = 0;

	for (size_t i = 0; i < k; i++) {
		const struct msg_invocation_output *o = &w->req->outputs.v[i];
		if (o->step == step && o->stream == stream)
			n += (int64_t)o->data.n;
	}
	return n;
}

/* All that the steps wrote is here, and may go into the store with the end. */
static bool
is_small(const struct reporting *w)
{
	size_t total = 0, n = w->req->outputs.n;

	for (size_t i = 0; i < n; i++) {
		const struct msg_invocation_output *o = &w->req->outputs.v[i];
		total += o->data.n;
		if ((size_t)o->step >= w->steps->steps.n ||
			o->offset != bytes_before(w, i, o->step, o->stream))
			return false;
	}
	if (w->end == FANOUT_STATES || total > OUTPUT_INLINE_MAX ||
		(int64_t)total > w->claim.output_max)
		return false;
	for (size_t i = 0; i < w->steps->steps.n; i++) {
		const struct msg_invocation_step *s = &w->steps->steps.v[i];
		if (bytes_before(w, n, (int64_t)i, OUTPUT_STREAM_STDOUT) != s->stdout_bytes ||
			bytes_before(w, n, (int64_t)i, OUTPUT_STREAM_STDERR) != s->stderr_bytes)
			return false;
	}
	return true;
}

static int
pack_small(const char **ret, struct reporting *w)
{
	const char *purpose = output_purpose(w->op, w->req->command_id, w->op->who.id);
	struct msg_invocation_outputs msg;

	if (w->req->outputs.n == 0)
		return 0;
	msg.outputs.v = w->req->outputs.v;
	msg.outputs.n = w->req->outputs.n;
	return purpose != NULL ? pack(ret, w->op, MSG_ROW(invocation_outputs), &msg, purpose)
			       : no_memory(w->op);
}

/* --- the end -----------------------------------------------------------------------------------
 */

/* Whether all of it is there; of what is not the node is told where it stands. On disk, then. */
static int
check_stream(struct reporting *w, size_t step, int stream, bool *whole)
{
	struct output_name name = name_of(w, (int64_t)step, stream);
	int64_t wanted = bytes_of(&w->steps->steps.v[step], stream), have = 0;
	int r;

	if (wanted == 0)
		return 0;
	if ((r = outputs_size(w->op->env->outputs, &name, &have, &w->op->err)) < 0)
		return r;
	if (have >= wanted)
		return outputs_sync(w->op->env->outputs, &name, &w->op->err);
	*whole = false;
	return tell_offset(w, (int64_t)step, stream, have);
}

static int
check_whole(struct reporting *w, bool *whole)
{
	int r = 0;

	*whole = true;
	for (size_t i = 0; r == 0 && i < w->steps->steps.n; i++)
		if ((r = check_stream(w, i, OUTPUT_STREAM_STDOUT, whole)) == 0)
			r = check_stream(w, i, OUTPUT_STREAM_STDERR, whole);
	return r;
}

struct finishing {
	struct invocation_row row;
	const char *steps, *output;
};

static int
write_end(void *arg, struct db *db, struct hw_err *err)
{
	const struct finishing *f = arg;

	return invocation_finish(db, &f->row, f->steps, f->output, NULL, err);
}

static int
fill_end(struct finishing *f, struct reporting *w)
{
	struct fanout_words words = fanout_state_words(w->end);
	const char *reason = w->req->reason;
	int r = pack_steps(w);

	if (r < 0 || (r = clean(&reason, w->op)) < 0)
		return r;
	f->row = (struct invocation_row){
		.sent = INVOCATION_TAKEN,
		.status = words.status,
		.response_code = w->req->response_code,
		.started = w->req->started,
		.ended = w->req->ended,
		.upload_at = w->claim.uploads ? w->op->now : 0,
	};
	snprintf(f->row.command_id, sizeof(f->row.command_id), "%s", w->req->command_id);
	fit_text(f->row.node_id, sizeof(f->row.node_id), w->op->who.id);
	snprintf(f->row.details, sizeof(f->row.details), "%s", words.details);
	fit_text(f->row.reason, sizeof(f->row.reason), reason);
	for (size_t i = 0; i < w->steps->steps.n; i++) {
		f->row.stdout_bytes += w->steps->steps.v[i].stdout_bytes;
		f->row.stderr_bytes += w->steps->steps.v[i].stderr_bytes;
	}
	f->steps = w->packed;
	return 0;
}

/* 1: the end is in the store; 0: not yet. */
static int
take_end(struct reporting *w)
{
	struct finishing f = {.output = ""};
	bool whole = true;
	int r = fill_end(&f, w);

	if (r == 0 && is_small(w))
		r = pack_small(&f.output, w);
	else if (r == 0 && (r = take_pieces(w)) == 0)
		r = check_whole(w, &whole);
	if (r < 0 || !whole)
		return r;
	if ((r = store_write(w->op->env->store, write_end, &f, &w->op->err)) < 0)
		return r;
	if (w->claim.uploads)
		uploads_kick(w->op->env->uploads);
	return 1;
}

/* --- a word in between --------------------------------------------------------------------------
 */

static int
write_steps(void *arg, struct db *db, struct hw_err *err)
{
	const struct reporting *w = arg;

	return invocation_set_steps(db, w->req->command_id, w->op->who.id, w->packed,
		w->req->started, err);
}

static int
go_on(struct reporting *w)
{
	uint64_t look = look_of_steps(w->steps);
	int r = take_pieces(w);

	if (r < 0 || w->req->steps.n == 0 || look == w->claim.steps)
		return r;
	if ((r = pack_steps(w)) == 0)
		r = store_write(w->op->env->store, write_steps, w, &w->op->err);
	if (r == 0)
		w->claim.steps = look;
	return r;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static int
make_room(struct reporting *w)
{
	w->room = w->req->outputs.n + 2 * w->steps->steps.n;
	w->rep->offsets.v = arena_array(w->op->arena, w->room, sizeof(*w->rep->offsets.v));
	return w->rep->offsets.v != NULL ? 0 : no_memory(w->op);
}

static int
report_live(struct reporting *w)
{
	int r;

	if ((r = know_steps(w)) == 0 && (r = make_room(w)) == 0 && (r = check_files(w)) == 0)
		r = w->end == FANOUT_STATES ? go_on(w) : take_end(w);
	w->rep->taken = r == 1;
	w->rep->cancel = w->claim.cancelled && !w->rep->taken;
	if (r == 1)
		dispatch_end(w->op->env->dispatcher, &w->claim, w->end);
	else
		dispatch_release(w->op->env->dispatcher, &w->claim);
	return r < 0 ? r : 0;
}

int
op_update_invocation(struct op *op, const struct msg_update_invocation_request *req,
	struct msg_update_invocation_reply *rep)
{
	struct reporting w = {
		.op = op,
		.req = req,
		.rep = rep,
		.end = fanout_end_of(req->status, text_or_empty(req->status_details)),
	};

	if (w.end == FANOUT_STATES && req->status != INVOCATION_STATUS_IN_PROGRESS)
		return op_fail(op, HW_EVALIDATION,
			"Status: %s is neither InProgress nor an end that a node reports",
			enum_text(&enum_INVOCATION_STATUS, req->status));
	/* A failure may stop the others: it is one before it is an answer. */
	bool well = w.end == FANOUT_STATES || w.end == FANOUT_SUCCESS;
	switch (dispatcher_claim(op->env->dispatcher, req->command_id, op->who.id, well,
		&w.claim)) {
	case DISPATCH_LIVE:
		return report_live(&w);
	case DISPATCH_UNSENT:
		return refuse(op, HW_EINVOCATION, req->command_id, "it was not given yet");
	default:
		return report_ended(&w);
	}
}
