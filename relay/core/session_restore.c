/* Sessions outlive the relay's process: what the next one needs to go on with one, and how this one
 * lets go of it. */
#include <stdlib.h>

#include "audit/reached.h"
#include "relay/core/fit.h"
#include "relay/core/session_private.h"

#define ARENA_MAX (512 * 1024)

static const struct msg_open nothing_asked;

static struct session_row *
keep_row(struct arena *arena, const struct session_row *row)
{
	struct session_row *kept = arena_dup(arena, row, sizeof(*row));

	if (kept == NULL || row->command == NULL)
		return kept;
	kept->command = arena_strdup(arena, row->command);
	return kept->command != NULL ? kept : NULL;
}

static void
keep_owner(struct session *s, const struct session_opener *who)
{
	fit_text(s->owner.name, sizeof(s->owner.name), who->name);
	fit_text(s->owner.source, sizeof(s->owner.source), who->source);
	s->owner.not_before = who->not_before;
	fit_text(s->resume_hash, sizeof(s->resume_hash), who->resume_hash);
}

/* Both sides are lost from now on. */
static void
take_up(struct session *s, const struct reached_streams *at)
{
	session_viewers_init(s);
	session_typists_init(s);
	session_screen_init(s);
	for (int i = 0; i < STREAMS; i++) {
		lane_init(&s->lanes[i], i);
		s->reached[i] = at->offset[i];
		s->lanes[i].consumed = at->offset[i];
		if (i != STREAM_IN)
			s->bytes_out += at->offset[i];
	}
	s->bytes_in = at->offset[STREAM_IN];
	s->echoed = at->echoed;
	s->cols = at->cols;
	s->rows = at->rows;
	session_typists_restore(s, at);
	s->recorded = s->kind->recorded && at->known;
	s->started = true;
	s->state = SESSION_LIVE;
	s->decided = s->restored = s->user_lost = s->node_lost = session_now(s);
}

static struct session *
make(struct broker *b, const struct session_open *open)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->arena = arena_new(ARENA_MAX)) == NULL ||
		(s->row = keep_row(s->arena, open->row)) == NULL) {
		if (s != NULL)
			arena_free(s->arena);
		free(s);
		return NULL;
	}
	s->broker = b;
	s->kind = channel_row(s->row->type);
	s->asked = &nothing_asked;
	fit_text(s->id, sizeof(s->id), s->row->id);
	s->number = session_number(s->id);
	fit_text(s->run_as, sizeof(s->run_as), s->row->run_as);
	keep_owner(s, &open->who);
	session_destination(&s->to, s->row);
	log_ctx_child(&s->log, &b->log, "session", s->id);
	return s;
}

/* What began to be opened, and was not, goes no further. */
int
session_restore(struct broker *b, const struct session_open *open, const struct reached_streams *at,
	struct hw_err *err)
{
	struct session *s = make(b, open);

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the sessions that were left open");
	take_up(s, at);
	broker_relist_session(b, s);
	if (s->kind->type == CHANNEL_TYPE_FORWARD)
		s->forward = forward_new(s);
	if (s->kind->recorded ? !at->known : s->forward == NULL)
		session_conclude(s, HW_EUNAVAILABLE, "the relay stopped while it was being opened");
	else
		session_notice(s, "the relay was started anew");
	return 0;
}

/* Nothing is written twice, and who asks for it once more hears how it ended. */
int
session_restore_ended(struct broker *b, const struct session_open *open,
	const struct reached_streams *at, const struct reached_end *end, struct hw_err *err)
{
	struct session *s = make(b, open);
	const char *why = end->why[0] != '\0' ? end->why : "it ended as the relay stopped";

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the sessions that were left open");
	take_up(s, at);
	broker_relist_session(b, s);
	s->recorded = s->recorded && !end->recorded;
	s->started = !end->noted;
	s->ending.exited = end->exited;
	s->ending.exit_status = end->exit_status;
	session_conclude(s, end->well ? 0 : HW_EUNAVAILABLE, why);
	return 0;
}

/* --- letting go ------------------------------------------------------------------------------- */

static void
let_go(struct channel **ch)
{
	if (*ch == NULL)
		return;
	if (!channel_is_parked(*ch))
		channel_interrupt(*ch, "the relay is stopping");
	*ch = NULL;
}

static void
reap(void *arg)
{
	session_free(arg);
}

void
session_abandon(struct session *s)
{
	const struct msg_close gone = {
		.code = hw_code_name(HW_EUNAVAILABLE), .message = "the relay is stopping"};
	bool keeps = session_has_recorder(s);
	struct channel *terminal = keeps ? s->to_user : NULL;

	if (s->state != SESSION_LIVE) {
		session_end(s, HW_EUNAVAILABLE, "the relay is stopping");
		return;
	}
	session_notice(s, "the relay is stopping");
	forward_abandon(s->forward);
	let_go(&s->to_node);
	let_go(&s->to_user);
	if (terminal != NULL)
		channel_abort(terminal, HW_ECLOSED, NULL); /* it is parked */
	if (s->offer != NULL)
		channel_reject(s->offer, HW_EUNAVAILABLE, "the relay is stopping");
	s->offer = NULL;
	session_screen_forget(s);
	session_to(s, SESSION_OVER);
	session_viewers_close(s, &gone, false);
	broker_unlist_session(s->broker, s);
	s->reap = (struct loop_task){.fn = reap, .arg = s};
	loop_defer(s->broker->loop, &s->reap);
}
