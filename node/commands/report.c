#include "node/commands/report.h"

#include "node/commands/invocation.h"
#include "proto/base/arena.h"

static const int wire_stream[SPOOL_STREAMS] = {
	[SPOOL_OUT] = OUTPUT_STREAM_STDOUT,
	[SPOOL_ERR] = OUTPUT_STREAM_STDERR,
};

uint64_t
report_waiting(struct invocation *i)
{
	uint64_t n = 0;

	for (size_t k = 0; k < invocation_step_count(i); k++)
		for (int s = 0; s < SPOOL_STREAMS; s++)
			n += invocation_kept(i, k, s) - invocation_step_at(i, k)->sent[s];
	return n;
}

/* --- making ----------------------------------------------------------------------------------- */

struct making {
	struct msg_update_invocation_request *m;
	struct arena *a;
	struct invocation *i;
	uint8_t *to;
	size_t room;
};

/* False when there is no room for all of it. */
static bool
add_stream(struct making *mk, size_t step, int s)
{
	uint64_t at = invocation_step_at(mk->i, step)->sent[s],
		 end = invocation_kept(mk->i, step, s);

	while (at < end) {
		size_t n = end - at < REPORT_PIECE ? (size_t)(end - at) : REPORT_PIECE;
		n = n < mk->room ? n : mk->room;
		if (n == 0 || mk->m->outputs.n == REPORT_OUTPUTS)
			return false;
		size_t got = invocation_read(mk->i, step, s, at, mk->to, n);
		if (got == 0) { /* a power cut took it, or somebody did */
			invocation_lose(mk->i, step, s, at);
			return false;
		}
		mk->m->outputs.v[mk->m->outputs.n++] = (struct msg_invocation_output){
			.step = (int64_t)step,
			.stream = wire_stream[s],
			.offset = (int64_t)at,
			.data = {.p = mk->to, .n = got},
		};
		mk->to += got;
		mk->room -= got;
		at += got;
	}
	return true;
}

static bool
add_outputs(struct making *mk)
{
	for (size_t k = 0; k < invocation_step_count(mk->i); k++)
		for (int s = 0; s < SPOOL_STREAMS; s++)
			if (!add_stream(mk, k, s))
				return false;
	return true;
}

bool
report_make(struct msg_update_invocation_request *ret, size_t *bytes, struct arena *a,
	struct invocation *i, uint8_t *to, size_t room)
{
	struct making mk = {.m = ret, .a = a, .i = i, .to = to, .room = room};

	if (!invocation_say(ret, a, i, true))
		return false;
	if (ret->steps.n > REPORT_STEPS_MANY && mk.room > REPORT_PIECE_SMALL)
		mk.room = REPORT_PIECE_SMALL;
	room = mk.room;
	ret->outputs.v = arena_array(a, REPORT_OUTPUTS, sizeof(*ret->outputs.v));
	if (ret->outputs.v == NULL)
		return false;
	if (!add_outputs(&mk) && invocation_state(i) == INVOCATION_ENDED) {
		ret->status = INVOCATION_STATUS_IN_PROGRESS;
		ret->status_details = "InProgress";
		ret->response_code = -1;
		ret->reason = NULL;
		ret->ended = 0;
	}
	*bytes = room - mk.room;
	return true;
}

/* --- how far it is ------------------------------------------------------------------------------
 */

static int
stream_of(int wire)
{
	return wire == OUTPUT_STREAM_STDOUT ? SPOOL_OUT : SPOOL_ERR;
}

void
report_sent(struct invocation *i, const struct msg_update_invocation_request *m)
{
	for (size_t k = 0; k < m->outputs.n; k++) {
		const struct msg_invocation_output *o = &m->outputs.v[k];
		invocation_step_at(i, (size_t)o->step)->sent[stream_of(o->stream)] =
			(uint64_t)o->offset + o->data.n;
	}
}

void
report_rewind(struct invocation *i)
{
	for (size_t k = 0; k < invocation_step_count(i); k++) {
		struct invocation_step *s = invocation_step_at(i, k);
		for (int n = 0; n < SPOOL_STREAMS; n++)
			s->sent[n] = s->acked[n];
	}
}

/* Also back: a relay that lost some of it wants that again. */
void
report_acked(struct invocation *i, const struct msg_update_invocation_reply *reply)
{
	for (size_t k = 0; k < reply->offsets.n; k++) {
		const struct msg_invocation_offset *o = &reply->offsets.v[k];
		int s = stream_of(o->stream);
		if ((size_t)o->step >= invocation_step_count(i))
			continue;
		uint64_t kept = invocation_kept(i, (size_t)o->step, s), at = (uint64_t)o->offset;
		invocation_step_at(i, (size_t)o->step)->acked[s] = at < kept ? at : kept;
	}
	report_rewind(i);
}
