/*
 * SearchCommandOutputs: lines of what commands wrote, and of what they were told to run. What was
 * masked in recordings is masked here: output is kept as it came.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/core/op.h"
#include "relay/services/continue.h"
#include "relay/services/find.h"
#include "relay/services/commands/output.h"
#include "relay/store/store.h"

#define CHUNK	   ((size_t)256 * 1024)
#define BATCH	   64
#define NODE_ABOVE 32

/* Where a page stops within an invocation: at which byte of which stream. */
struct place {
	unsigned step, stream;
	uint64_t offset;
};

struct output_job {
	struct op *op;
	const struct msg_search_command_outputs_request *req;
	struct msg_search_command_outputs_reply *rep;
	struct find find;
	struct invocation_filter filter;
	struct invocation_row *rows;
	struct command_row *commands;
	size_t n_rows;
	struct place place;
	bool unfinished;
};

static const struct {
	int stream;
	enum line_of of;
} streams[] = {
	{OUTPUT_STREAM_STDOUT, LINE_SHOWN},
	{OUTPUT_STREAM_STDERR, LINE_ERROR},
};

/* --- one stream ------------------------------------------------------------------------------- */

/* As much of it as is whole lines; all when there is none, or nothing more comes. */
static size_t
whole_lines(const struct buf *b)
{
	const uint8_t *nl = memrchr(buf_data(b), '\n', b->len);

	return nl == NULL || b->len < CHUNK ? b->len : (size_t)(nl - buf_data(b)) + 1;
}

/* Line by line, so that a page may end between two. 1: it ends, at j->place. */
static int
search_chunk(struct output_job *j, enum line_of of, uint64_t at, const uint8_t *p, size_t n)
{
	struct find *f = &j->find;
	int r = 0;

	for (size_t len; n > 0; p += len, n -= len) {
		len = n < LINE_FEED_MAX ? n : LINE_FEED_MAX;
		const uint8_t *nl = memchr(p, '\n', len);
		len = nl != NULL ? (size_t)(nl - p) + 1 : len;
		at += len;
		if ((r = line_search_bytes(&f->lines, of, 0, p, len)) != 0)
			return r;
		if (nl == NULL && !line_search_idle(&f->lines) && at - j->place.offset < CHUNK &&
			!line_search_late(&f->lines))
			continue;
		j->place.offset = at;
		f->since_place = f->skip = 0;
		if (find_is_enough(f))
			return 1;
	}
	return 0;
}

/* 1: the page ends in it. */
static int
search_stream(struct output_job *j, const struct output_of *of, size_t step, size_t s)
{
	uint64_t at = j->place.offset;
	struct buf chunk;
	int r = 0;

	buf_init(&chunk, CHUNK);
	do {
		buf_reset(&chunk);
		r = output_read(&chunk, j->op, of, step, streams[s].stream, (int64_t)at, CHUNK);
		if (r < 0 || chunk.len == 0)
			break;
		size_t n = whole_lines(&chunk);
		j->find.bytes += (int64_t)n;
		masks_apply(j->find.masks, chunk.mem + chunk.head, n);
		r = search_chunk(j, streams[s].of, at, buf_data(&chunk), n);
		at += n;
	} while (r == 0);
	buf_fini(&chunk);
	return r != 0 ? r : line_search_end(&j->find.lines);
}

static int
search_steps(struct output_job *j, const struct output_of *of)
{
	int r = 0;

	for (size_t i = j->place.step; r == 0 && i < of->steps->steps.n; i++) {
		j->find.of.step = of->steps->steps.v[i].name;
		for (size_t s = j->place.stream; r == 0 && s < 2; s++) {
			j->place.step = (unsigned)i;
			j->place.stream = (unsigned)s;
			if ((r = search_stream(j, of, i, s)) == 0)
				j->place.offset = 0;
		}
		if (r == 0)
			j->place.stream = 0;
	}
	return r;
}

/* --- invocations ------------------------------------------------------------------------------ */

struct loading {
	struct output_job *j;
	const struct invocation_row *row;
	struct output_of of;
};

static int
load(void *arg, struct db *db, struct hw_err *err)
{
	struct loading *w = arg;
	struct command_row command;
	int r = command_get(db, w->row->command_id, &command, err);

	return r < 0 ? r : output_load(&w->of, w->j->op, db, &command, w->row);
}

static void
describe(struct output_job *j, const struct invocation_row *row)
{
	struct arena *a = j->op->arena;

	j->find.of = (struct msg_search_hit){
		.command_id = arena_strdup(a, row->command_id),
		.target = arena_strdup(a, row->node_id),
		.target_name = arena_strdup(a, row->node_name),
	};
}

static void
describe_command(struct output_job *j, const struct command_row *command)
{
	j->find.of.owner = arena_strdup(j->op->arena, command->owner_arn);
	j->find.of.time = command->requested;
}

static bool
is_owners(const struct command_row *c, const char *owner)
{
	return owner == NULL || owner[0] == '\0' || strcmp(c->principal, owner) == 0 ||
		strcmp(c->owner_arn, owner) == 0;
}

static bool
is_nodes(const struct invocation_row *row, const char *target)
{
	return target == NULL || target[0] == '\0' || strcmp(row->node_id, target) == 0 ||
		strcmp(row->node_name, target) == 0;
}

/* One that is forgotten meanwhile, or damaged, keeps nobody from the others. */
static int
count_unreadable(struct output_job *j, int r)
{
	bool unreadable = r == HW_ECORRUPT || r == HW_ELIMIT;

	if (!unreadable && r != HW_ECOMMAND && r != HW_EINVOCATION)
		return r;
	j->rep->unreadable += unreadable;
	r = unreadable ? find_gap(&j->find, false, hw_err_text(&j->op->err)) : 0;
	j->op->err = (struct hw_err)HW_ERR_INIT;
	return r;
}

/* 1: the page ends in it. What was read of one of which nothing is told is let go: there may be
 * thousands. */
static int
search_invocation(struct output_job *j, const struct invocation_row *row)
{
	struct arena_mark mark = arena_mark(j->op->arena);
	struct loading w = {.j = j, .row = row};
	size_t told = j->find.n + j->find.n_gaps;
	int r = 0;

	if (is_nodes(row, j->req->target) && op_may_see_node(j->op, row->node_id)) {
		describe(j, row);
		r = store_read(j->op->env->store, load, &w, &j->op->err);
		if (r == 0 && is_owners(&w.of.command, j->req->owner) &&
			!w.of.command.output_gone) {
			describe_command(j, &w.of.command);
			r = search_steps(j, &w.of);
			j->rep->searched += r == 0;
		}
	}
	if (r == 1) {
		j->unfinished = true;
		return 1;
	}
	j->place = (struct place){0};
	j->find.skip = j->find.since_place = 0;
	if (r < 0)
		r = count_unreadable(j, r);
	if (j->find.n + j->find.n_gaps == told)
		arena_release(j->op->arena, &mark);
	return r;
}

static int
read_batch(void *arg, struct db *db, struct hw_err *err)
{
	struct output_job *j = arg;
	struct query q;

	j->n_rows = 0;
	int r = invocation_search(&q, db, &j->filter, err);
	while (r == 0 && j->n_rows < BATCH &&
		(r = invocation_next(&q, &j->rows[j->n_rows], err)) > 0) {
		j->n_rows++;
		r = 0;
	}
	query_end(&q);
	for (size_t i = 0; r == 0 && i < j->n_rows; i++)
		r = command_get(db, j->rows[i].command_id, &j->commands[i], err);
	return r;
}

static void
pass(struct output_job *j, size_t i)
{
	j->filter.requested_below = j->commands[i].requested;
	j->filter.command_below = arena_strdup(j->op->arena, j->rows[i].command_id);
	j->filter.node_above = arena_strdup(j->op->arena, j->rows[i].node_id);
}

/* The invocation that the page before stopped in. It may be gone. */
struct again {
	struct output_job *j;
	struct invocation_row *row;
};

static int
read_again(void *arg, struct db *db, struct hw_err *err)
{
	struct again *w = arg;
	const struct invocation_filter *f = &w->j->filter;

	return invocation_get(db, f->command_below, f->node_above, w->row, err);
}

static int
finish_invocation(struct output_job *j)
{
	struct again w = {.j = j, .row = &j->rows[0]};
	int r = store_read(j->op->env->store, read_again, &w, &j->op->err);

	if (r == 0)
		return search_invocation(j, w.row);
	j->place = (struct place){0};
	j->find.skip = 0;
	return r == HW_EINVOCATION || r == HW_ECOMMAND ? 0 : r;
}

/* 1: the page ends. */
static int
search_all(struct output_job *j)
{
	int r;

	for (;;) {
		if ((r = store_read(j->op->env->store, read_batch, j, &j->op->err)) < 0 ||
			j->n_rows == 0)
			return r;
		for (size_t i = 0; i < j->n_rows; i++) {
			pass(j, i);
			if ((r = search_invocation(j, &j->rows[i])) != 0)
				return r;
			if (find_is_enough(&j->find))
				return 1;
		}
	}
}

/* --- the page --------------------------------------------------------------------------------- */

/* "COMMAND NODE STEP STREAM OFFSET SKIP" within an invocation, "COMMAND NODE" behind one. */
static int
read_place(struct output_job *j, const struct going_on *g, bool *within)
{
	char command[ID_UUID_LEN + 1], node[NODE_ABOVE];
	unsigned long long offset = 0, skip = 0;

	*within = false;
	if (!g->begun)
		return 0;
	int n = sscanf(g->place, "%36s %31s %x %x %llx %llx", command, node, &j->place.step,
		&j->place.stream, &offset, &skip);
	if (n != 2 && n != 6)
		return op_fail(j->op, HW_ENEXTTOKEN, "NextToken is not one of this operation's");
	*within = n == 6;
	j->place.offset = offset;
	j->find.skip = (int64_t)skip;
	j->filter.requested_below = g->number;
	j->filter.command_below = arena_strdup(j->op->arena, command);
	j->filter.node_above = arena_strdup(j->op->arena, node);
	return 0;
}

static int
write_place(struct output_job *j, struct going_on *g)
{
	int n = snprintf(g->place, sizeof(g->place), "%.36s %.31s", j->filter.command_below,
		j->filter.node_above);

	g->number = j->filter.requested_below;
	if (j->unfinished)
		snprintf(g->place + n, sizeof(g->place) - (size_t)n, " %x %x %" PRIx64 " %" PRIx64,
			j->place.step, j->place.stream, j->place.offset,
			(uint64_t)j->find.since_place);
	return continue_token(&j->rep->next_token, j->op, g);
}

static int
run(struct output_job *j, struct going_on *g)
{
	bool within;
	int r = read_place(j, g, &within);

	if (r == 0 && within)
		r = finish_invocation(j);
	if (r == 0)
		r = search_all(j);
	if (r < 0)
		return r;
	j->rep->hits.v = j->find.hits;
	j->rep->hits.n = j->find.n;
	j->rep->bytes = j->find.bytes;
	j->rep->too_hard = j->find.lines.too_hard;
	j->rep->gaps.v = j->find.gaps;
	j->rep->gaps.n = j->find.n_gaps;
	return r == 1 ? write_place(j, g) : 0;
}

int
op_search_command_outputs(struct op *op, const struct msg_search_command_outputs_request *req,
	struct msg_search_command_outputs_reply *rep)
{
	struct msg_search_command_outputs_request plain = *req;
	/* The store's bounds are exclusive. */
	struct output_job j = {
		.op = op,
		.req = req,
		.rep = rep,
		.filter = {.command = req->command_id,
			   .after = req->start_time != 0 ? req->start_time - 1 : 0,
			   .before = req->end_time},
	};
	const struct find_asked asked = {.pattern = req->pattern,
		.ignore_case = req->ignore_case,
		.shown = true,
		.max_results = req->max_results};
	struct going_on g;
	int r;

	plain.next_token = NULL;
	if ((r = continue_read(&g, op, &plain, req->next_token)) < 0)
		return r;
	r = find_begin(&j.find, op, &asked);
	j.rows = calloc(BATCH, sizeof(*j.rows));
	j.commands = calloc(BATCH, sizeof(*j.commands));
	if (r == 0)
		r = j.rows != NULL && j.commands != NULL
			? run(&j, &g)
			: op_fail(op, HW_ENOMEM, "no memory for commands");
	free(j.rows);
	free(j.commands);
	find_end(&j.find);
	return r;
}
