#include "relay/services/find.h"

#include <string.h>

#include "audit/search.h"
#include "relay/core/config.h"
#include "relay/core/op.h"

#define PAGE_USEC      (700 * USEC_PER_MSEC)
#define HARD_USEC      (2 * USEC_PER_SEC) /* from when on what is left of a line is too hard */
#define BYTES_ENOUGH   ((int64_t)256 * 1024 * 1024)
#define ARENA_ENOUGH   ((size_t)2 * 1024 * 1024) /* of the request's, half of which is left then */
#define GAP_REASON_MAX 500
#define BEFORE_MATCH   120
#define LINE_SHOWN_MAX 480

/* --- a hit ------------------------------------------------------------------------------------ */

static bool
continues(const char *p, size_t i)
{
	return ((uint8_t)p[i] & 0xc0) == 0x80;
}

/* What of the line is around the match, cut between characters. */
static int
cut(struct msg_search_hit *to, struct op *op, const struct line_hit *hit)
{
	size_t from = hit->from > BEFORE_MATCH ? hit->from - BEFORE_MATCH : 0;
	size_t n = hit->n - from < LINE_SHOWN_MAX ? hit->n - from : LINE_SHOWN_MAX;

	while (from > 0 && continues(hit->line, from)) {
		from--;
		n += n < LINE_SHOWN_MAX;
	}
	while (n > 0 && from + n < hit->n && continues(hit->line, from + n))
		n--;
	to->line = arena_strndup(op->arena, hit->line + from, n);
	to->match_start = (int64_t)(hit->from - from < n ? hit->from - from : n);
	to->match_end = (int64_t)(hit->to - from < n ? hit->to - from : n);
	return to->line != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for a line");
}

static const int sources[LINES] = {
	[LINE_TYPED] = SEARCH_SOURCE_TYPED,
	[LINE_SHOWN] = SEARCH_SOURCE_OUTPUT,
	[LINE_ERROR] = SEARCH_SOURCE_ERROR,
};

static int
add_hit(struct find *f, const struct line_hit *hit, int source)
{
	struct msg_search_hit *to = &f->hits[f->n];
	int64_t when = f->start + hit->time;

	if ((f->since != 0 && when < f->since) || (f->until != 0 && when >= f->until))
		return 0;
	if (f->since_place++ < f->skip)
		return 0;
	/* It comes again on the next page, whose place is before it. */
	if (f->n == f->most) {
		f->since_place--;
		return 1;
	}
	*to = f->of;
	to->source = source;
	to->offset = hit->time;
	int r = cut(to, f->op, hit);
	f->n += r == 0;
	return r;
}

static int
found(void *arg, const struct line_hit *hit)
{
	struct find *f = arg;

	return add_hit(f, hit, f->source != 0 ? f->source : sources[hit->of]);
}

/* --- the page --------------------------------------------------------------------------------- */

static int
load_masks(struct find *f)
{
	const char *path = arena_printf(f->op->arena, "%s/masks", f->op->env->dir);

	if (path == NULL)
		return op_fail(f->op, HW_ENOMEM, "no memory for masks");
	return masks_load(&f->masks, path, &f->op->err);
}

int
find_begin(struct find *f, struct op *op, const struct find_asked *asked)
{
	const struct op_env *env = op->env;
	int most = env->config->workers > 1 ? env->config->workers / 2 : 1, r;
	bool both = !asked->typed && !asked->shown;

	*f = (struct find){
		.op = op,
		.since = asked->since,
		.until = asked->until,
		.most = FIND_HITS_MAX,
		.arena_start = arena_used(op->arena),
		.deadline = clock_mono(env->clock) + PAGE_USEC,
		.lines = {.typed = both || asked->typed,
			  .shown = both || asked->shown,
			  .found = found,
			  .clock = env->clock},
	};
	line_search_init(&f->lines);
	f->lines.arg = f;
	f->lines.give_up = f->deadline + HARD_USEC;
	if (asked->max_results > 0)
		f->most = (size_t)asked->max_results;
	if (env->search != NULL && !(f->entered = search_enter(env->search, most)))
		return op_fail(op, HW_EFULL, "%d searches are under way: try again", most);
	if ((r = line_pattern_new(&f->lines.pattern, asked->pattern, asked->ignore_case,
		     &op->err)) < 0 ||
		(r = load_masks(f)) < 0)
		return r;
	f->hits = arena_array(op->arena, FIND_HITS_MAX + 1, sizeof(*f->hits));
	f->gaps = arena_array(op->arena, FIND_GAPS_MAX, sizeof(*f->gaps));
	return f->hits != NULL && f->gaps != NULL ? 0
						  : op_fail(op, HW_ENOMEM, "no memory for lines");
}

void
find_end(struct find *f)
{
	if (f->entered)
		search_leave(f->op->env->search);
	line_search_fini(&f->lines);
	line_pattern_free(f->lines.pattern);
	masks_free(f->masks);
}

bool
find_is_enough(const struct find *f)
{
	return f->n >= f->most || f->n_gaps + 2 > FIND_GAPS_MAX || f->bytes >= BYTES_ENOUGH ||
		arena_used(f->op->arena) - f->arena_start >= ARENA_ENOUGH ||
		clock_mono(f->op->env->clock) >= f->deadline;
}

int
find_gap(struct find *f, bool pending, const char *reason)
{
	struct msg_search_gap *gap = &f->gaps[f->n_gaps];

	hw_assert(f->n_gaps < FIND_GAPS_MAX);
	line_search_fini(&f->lines);
	line_search_init(&f->lines);
	*gap = (struct msg_search_gap){
		.session_id = f->of.session_id,
		.command_id = f->of.command_id,
		.target = f->of.target,
		.pending = pending,
		.reason = arena_strndup(f->op->arena, reason, strnlen(reason, GAP_REASON_MAX)),
	};
	if (gap->reason == NULL)
		return op_fail(f->op, HW_ENOMEM, "no memory for what was not searched");
	f->n_gaps++;
	return 0;
}

int
find_text(struct find *f, const char *text, int source)
{
	size_t n = strlen(text);
	char *copy = arena_strndup(f->op->arena, text, n);
	int r = 0;

	if (copy == NULL)
		return op_fail(f->op, HW_ENOMEM, "no memory for a text");
	masks_apply(f->masks, (uint8_t *)copy, n);
	f->source = source;
	r = line_search_bytes(&f->lines, LINE_SHOWN, 0, copy, n);
	if (r == 0)
		r = line_search_end(&f->lines);
	f->source = 0;
	return r;
}
