/* Commands that an earlier agent began: its log says how far they were, holders have the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/commands/invocation_private.h"

/* --- going on with what an earlier agent began
 * ---------------------------------------------------------- */

static void
find_output(struct invocation *i, size_t k, const struct msg_invocation_step *said)
{
	struct invocation_step *s = &i->steps[k];
	char name[64];

	for (int n = 0; n < SPOOL_STREAMS; n++) {
		spool_name(name, i->id, k, n);
		spool_find(&s->spool[n], orders_dir(i->host->journal), name);
		uint64_t kept = s->spool[n].kept;
		uint64_t *all = i->host->spool_left, some = kept < *all ? kept : *all;
		i->output_left -= kept < i->output_left ? kept : i->output_left;
		i->spooled += some;
		*all -= some;
	}
	if (said == NULL)
		return;
	s->dropped[SPOOL_OUT] = (uint64_t)said->stdout_dropped;
	s->dropped[SPOOL_ERR] = (uint64_t)said->stderr_dropped;
}

/* A mark may not have been written when the record of it was: what there is is what counts. */
static void
restore_step(struct invocation *i, size_t k, const struct msg_invocation_step *said)
{
	struct invocation_step *s = &i->steps[k];

	s->status = invocation_status_of(said);
	s->code = (int)said->response_code;
	s->started = said->started;
	s->ended = said->ended;
	find_output(i, k, said);
}

static void
restore_steps(struct invocation *i, const struct orders_entry *e)
{
	struct invocation_frame *f = &i->frames[0];

	for (size_t k = 0; k < e->n_steps && k < i->n; k++) {
		const struct msg_invocation_step *said = e->steps[k].said;
		json_t *inputs = NULL;
		if (said == NULL)
			break;
		restore_step(i, k, said);
		if (i->steps[k].status == FLOW_WAITING)
			break;
		struct flow_end end = {i->steps[k].status, i->steps[k].code};
		i->lost = i->lost || flow_is_lost(end);
		if (document_inputs(&inputs, NULL, f->document, f->values, k, NULL) == 0) {
			struct flow_rules rules = invocation_rules_of(f, inputs);
			f->stopped = f->stopped || flow_stops(&rules, end);
		}
		json_decref(inputs);
		i->done = k + 1;
	}
}

/* The end of a step may have been written down when its holder was not told yet. */
static void
dismiss(struct invocation *i, const struct orders_entry *e)
{
	struct job *j;
	char id[64];

	i->done--;
	i->inner = e->last_number;
	invocation_session_name(id, i);
	if (i->host->programs->ops->adopt(&j, i->host->programs, id, &invocation_adopted_events, i,
		    NULL) == 0)
		i->host->programs->ops->close(j);
	i->done++;
	i->inner = 0;
}

static void
adopt(struct invocation *i, const struct orders_entry *e)
{
	struct invocation_step *s = invocation_current(i);
	struct hw_err err = HW_ERR_INIT;
	bool written = i->done < e->n_steps && e->steps[i->done].said != NULL;
	char id[64];

	if (e->reboots > 0 && e->reboot.step == i->done) {
		i->reboots = e->reboots;
		i->base[SPOOL_OUT] = e->reboot.out[SPOOL_OUT];
		i->base[SPOOL_ERR] = e->reboot.out[SPOOL_ERR];
	}
	invocation_session_name(id, i);
	if (s->started == 0)
		s->started = invocation_wall(i);
	if (invocation_prepare(i, &err) < 0)
		invocation_lose_step(i, hw_err_text(&err));
	else if (i->wish.name == NULL && !i->wish.runs)
		invocation_adopt(i, id, s->started);
	else if (written)
		invocation_seek_again(i, e);
	else /* its first program would be written down, and it is not */
		loop_defer(i->host->loop, &i->next);
}

/* Whether its present step may have been started. */
static bool
is_under_way(const struct invocation *i, const struct orders_entry *e)
{
	if (i->done >= i->n)
		return false;
	if (i->done < e->n_steps && e->steps[i->done].said != NULL)
		return true;
	return i->done == 0;
}

void
invocation_go_on(struct invocation *i, const struct orders_entry *e)
{
	i->cancelled = e->cancelled;
	i->inner_bytes = e->entered;
	restore_steps(i, e);
	if (i->done > 0 && i->steps[i->done - 1].status != FLOW_SKIPPED)
		dismiss(i, e);
	for (size_t k = 0; k < i->n && k <= i->done; k++) {
		const struct plugin *p = plugin_find(i->steps[k].action);
		i->has_files = i->has_files || (p != NULL && p->downloads);
	}
	if (i->started == 0)
		i->started = i->n > 0 ? i->steps[0].started : invocation_wall(i);
	if (!is_under_way(i, e))
		loop_defer(i->host->loop, &i->next);
	else if (e->rebooting && e->reboot.step == i->done)
		invocation_after_reboot(i, e);
	else
		adopt(i, e);
}

bool
invocation_restore_end(struct invocation *i, const struct orders_entry *e)
{
	const struct msg_update_invocation_request *end = e->end;

	if (invocation_make_steps(i, e->n_steps, NULL) < 0)
		return false;
	for (size_t k = 0; k < i->n; k++) {
		const struct msg_invocation_step *said = e->steps[k].said;
		if (said == NULL) { /* a gap in what was written: the rest is not known */
			i->n = k;
			break;
		}
		if (invocation_name_step(i, k, said->name, said->action, NULL) < 0)
			return false;
		restore_step(i, k, said);
		if (i->steps[k].status == FLOW_WAITING)
			i->steps[k].status = FLOW_CANCELLED;
	}
	i->done = i->n;
	i->state = INVOCATION_ENDED;
	i->status = end->status;
	i->details = arena_strdup(i->names, end->status_details != NULL ? end->status_details : "");
	i->code = (int)end->response_code;
	i->started = end->started;
	i->ended = end->ended;
	snprintf(i->reason, sizeof(i->reason), "%s", end->reason != NULL ? end->reason : "");
	return i->details != NULL;
}
