#include "node/commands/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/commands/invocation.h"
#include "node/commands/orders.h"
#include "node/commands/report.h"
#include "node/plugins/plugins.h"
#include "proto/base/arena.h"
#include "proto/base/list.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "proto/wire/link.h"

#define UNANSWERED_MAX	 (256 * 1024) /* bytes of output on their way */
#define MESSAGE_ROOM	 (2 * REPORT_PIECE)
#define FIRST_WORD_IN	 (100 * USEC_PER_MSEC) /* what is over by then goes as one message */
#define MORE_IN		 (200 * USEC_PER_MSEC)
#define AGAIN_MIN	 USEC_PER_SEC
#define AGAIN_MAX	 (60 * USEC_PER_SEC)
#define SYNC_AFTER	 USEC_PER_SEC
#define REPORTS_MAX	 16 /* on their way; the relay takes so many more of one link */
#define ASK_AGAIN	 (2 * USEC_PER_SEC)		 /* after a question that had no answer */
#define ASK_LATER	 (30 * USEC_PER_SEC)		 /* after an order that could not be kept */
#define DELIVERED_WITHIN (31 * 24 * 3600 * USEC_PER_SEC) /* whatever a relay says: SSM's is 30 */
#define BURIED_FOR	 (3 * 24 * 3600 * USEC_PER_SEC)	 /* after nobody may start it any more */
#define FORGET_EVERY	 (6 * 3600 * USEC_PER_SEC)
#define ARENA_MAX	 (1024 * 1024)

struct report;

struct held {
	TAILQ_ENTRY(held) link;
	struct commands *owner;
	struct invocation *invocation;
	bool changed;	       /* since the relay was told */
	int64_t changed_at;    /* monotonic; when it was first */
	bool told;	       /* the relay knows that this node has it */
	bool unwanted;	       /* nobody wants to know how it ends */
	uint64_t turn;	       /* of its last report: who had the last one waits for the others */
	struct report *report; /* on its way */
	struct question *question;
	int64_t not_before; /* monotonic: the relay did not want it */
	int64_t again;	    /* how long it waits the next time */
};

/* One UpdateInvocation that has no answer yet. */
struct report {
	LIST_ENTRY(report) link;
	struct commands *owner;
	struct held *held; /* NULL: of none that is kept */
	size_t bytes;
	bool ends; /* it says how it ended */
};

/* One question for a document that has no answer yet. */
struct question {
	LIST_ENTRY(question) link;
	struct commands *owner;
	struct held *held; /* NULL: nobody wants it any more */
};

struct commands {
	struct commands_config config;
	struct log_ctx log;
	struct orders *journal;
	struct invocation_host host;
	TAILQ_HEAD(held_list, held) held; /* in the order that they came */
	LIST_HEAD(, report) reports;
	LIST_HEAD(, question) questions;
	size_t n_held;
	uint64_t spool_left; /* bytes of output that may still be kept */
	uint64_t turns;
	bool stopped;
	struct link *link;
	bool asking, ask_again; /* once more after this answer */
	bool refused;	   /* an order, as there were too many, or it is not known whether it may
			    * begin: ask when that has changed */
	size_t unanswered; /* bytes of output */
	size_t n_reports;
	uint8_t *output; /* of the report that is being made; kept while there is some */
	struct spool_reader reader;
	struct loop_task pump, starts, drops, wishes;
	struct loop_timer due, sync, later, forget, wish_again;
};

static struct commands *
commands_from(void *arg)
{
	struct commands *cs = arg;

	hw_assert(cs->config.loop != NULL && cs->journal != NULL);
	return cs;
}

static int64_t
mono(const struct commands *cs)
{
	return clock_mono(loop_clock(cs->config.loop));
}

static int64_t
now(void *arg)
{
	struct commands *cs = arg;

	return cs->config.now != NULL ? cs->config.now(cs->config.arg)
				      : clock_wall(loop_clock(cs->config.loop));
}

static void
log_trouble(const struct commands *cs, const char *event, const char *id, const char *text)
{
	log_warn(cs, event, "command=%s why=%s", id, log_value(text));
}

static struct held *
find(const struct commands *cs, const char *id)
{
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	if (strcmp(invocation_id(h->invocation), id) == 0)
		return h;
	return NULL;
}

static bool
has_ended(const struct held *h)
{
	return invocation_state(h->invocation) == INVOCATION_ENDED;
}

/* --- those that are held ------------------------------------------------------------------------
 */

static void
on_change(void *arg, struct invocation *i)
{
	struct commands *cs = commands_from(arg);
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	if (h->invocation == i)
		break;
	if (h == NULL)
		return; /* it is only being made */
	if (!h->changed)
		h->changed_at = mono(cs);
	h->changed = true;
	if (has_ended(h)) {
		if (h->unwanted)
			loop_defer(cs->config.loop, &cs->drops);
		loop_defer(cs->config.loop, &cs->starts);
		if (cs->sync.slot == 0)
			loop_timer_start(cs->config.loop, &cs->sync, SYNC_AFTER);
	}
	loop_defer(cs->config.loop, &cs->pump);
}

static struct held *
held_new(struct commands *cs, const struct msg_invocation_order *order,
	const struct orders_entry *entry)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h == NULL || (h->invocation = invocation_new(&cs->host, order, entry)) == NULL) {
		free(h);
		return NULL;
	}
	h->owner = cs;
	h->again = AGAIN_MIN;
	TAILQ_INSERT_TAIL(&cs->held, h, link);
	cs->n_held++;
	return h;
}

static void
held_free(struct held *h)
{
	struct commands *cs = h->owner;

	if (h->report != NULL)
		h->report->held = NULL;
	if (h->question != NULL)
		h->question->held = NULL;
	TAILQ_REMOVE(&cs->held, h, link);
	cs->n_held--;
	invocation_free(h->invocation);
	free(h);
}

/* The relay has all of it, or wants none of it. */
static void
forget(struct held *h)
{
	struct commands *cs = h->owner;
	const char *id = invocation_id(h->invocation);
	int64_t until = now(cs) + DELIVERED_WITHIN;

	if (invocation_deliver_before(h->invocation) < until)
		until = invocation_deliver_before(h->invocation);
	spool_reader_close(&cs->reader); /* it may be one of those that go now */
	orders_bury(cs->journal, id, until + BURIED_FOR, now(cs));
	orders_remove(cs->journal, id, invocation_step_count(h->invocation));
	held_free(h);
	if (cs->refused)
		commands_ask(cs);
}

/* Nobody was waiting for their ends. */
static void
on_drops(void *arg)
{
	struct commands *cs = commands_from(arg);
	struct held *h, *next;

	TAILQ_FOREACH_SAFE(h, &cs->held, link, next)
	if (h->unwanted && has_ended(h))
		forget(h);
}

static size_t
running_max(const struct commands *cs)
{
	return cs->config.running_max > 0 ? cs->config.running_max : COMMANDS_RUNNING_MAX;
}

static size_t
count_state(const struct commands *cs, enum invocation_state state)
{
	const struct held *h;
	size_t n = 0;

	TAILQ_FOREACH(h, &cs->held, link)
	n += invocation_state(h->invocation) == state;
	return n;
}

/* In the order that they came. */
static void
on_starts(void *arg)
{
	struct commands *cs = commands_from(arg);
	size_t running = count_state(cs, INVOCATION_RUNNING);
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	{
		if (cs->stopped || running >= running_max(cs))
			break;
		if (invocation_state(h->invocation) != INVOCATION_HELD)
			continue;
		invocation_start(h->invocation, false);
		running += invocation_state(h->invocation) == INVOCATION_RUNNING;
	}
}

/* --- telling the relay --------------------------------------------------------------------------
 */

static void
put_off(struct held *h)
{
	h->not_before = mono(h->owner) + h->again;
	h->again = h->again * 2 < AGAIN_MAX ? h->again * 2 : AGAIN_MAX;
}

static void
take_reply(struct held *h, const struct msg_update_invocation_reply *reply, bool ends)
{
	uint64_t before = report_waiting(h->invocation);

	h->told = true;
	report_acked(h->invocation, reply);
	if (reply->cancel)
		invocation_cancel(h->invocation);
	if (reply->taken && has_ended(h)) {
		log_debug(h->owner, "command.taken", "command=%s", invocation_id(h->invocation));
		forget(h);
		return;
	}
	/* An end that was not taken although all output had gone is said again later; with output
	 * that the relay lacks it goes at once. */
	if (ends) {
		h->changed = true;
		h->changed_at = mono(h->owner);
	}
	if (ends && report_waiting(h->invocation) <= before)
		put_off(h);
	else
		h->again = AGAIN_MIN;
}

/* What the relay has no room for it never takes: of this invocation it is dropped, and counted, so
 * that its end can be told. False when nothing was left to be dropped. */
static bool
give_up_output(struct invocation *i)
{
	bool some = false;

	for (size_t k = 0; k < invocation_step_count(i); k++)
		for (int s = 0; s < SPOOL_STREAMS; s++) {
			uint64_t acked = invocation_step_at(i, k)->acked[s];
			if (invocation_kept(i, k, s) <= acked)
				continue;
			invocation_lose(i, k, s, acked);
			some = true;
		}
	return some;
}

static void
on_report_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct report *r = arg;
	struct commands *cs = commands_from(r->owner);
	struct held *h = r->held;
	struct arena *a = arena_new(ARENA_MAX);
	struct hw_err err = HW_ERR_INIT;
	bool ends = r->ends;
	void *reply;

	cs->unanswered -= r->bytes;
	cs->n_reports--;
	LIST_REMOVE(r, link);
	free(r);
	if (h != NULL) {
		h->report = NULL;
		if (code == 0 &&
			(a == NULL ||
				msg_decode(&reply, a, MSG_ROW(update_invocation_reply), body, n,
					&err) < 0)) {
			code = HW_EPROTO;
			message = hw_err_text(&err);
		}
		if (code == 0) {
			take_reply(h, reply, ends);
		} else {
			report_rewind(h->invocation);
			h->changed = true;
			if (code != HW_ELIMIT || !give_up_output(h->invocation))
				put_off(h); /* a new link says it at once */
			if (code != HW_EUNAVAILABLE)
				log_trouble(cs, "command.report_refused",
					invocation_id(h->invocation), message);
		}
	}
	arena_free(a);
	loop_defer(cs->config.loop, &cs->pump);
}

static int
send_report(struct commands *cs, struct held *h, const struct msg_update_invocation_request *m,
	size_t bytes, struct hw_err *err)
{
	struct report *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*r = (struct report){
		.owner = cs,
		.held = h,
		.bytes = bytes,
		.ends = m->status != INVOCATION_STATUS_IN_PROGRESS &&
			m->status != INVOCATION_STATUS_PENDING,
	};
	int e = link_request(cs->link, &op_rows[OP_update_invocation], m, on_report_reply, r, err);
	if (e < 0) {
		free(r);
		return e;
	}
	cs->unanswered += bytes;
	cs->n_reports++;
	LIST_INSERT_HEAD(&cs->reports, r, link);
	if (h != NULL) {
		h->report = r;
		h->turn = ++cs->turns;
	}
	return 0;
}

static size_t
room_for_output(const struct commands *cs)
{
	size_t left = UNANSWERED_MAX > cs->unanswered ? UNANSWERED_MAX - cs->unanswered : 0;
	size_t most = link_is_interactive(cs->link) ? REPORT_PIECE_SMALL : MESSAGE_ROOM;

	return left < most ? left : most;
}

/* Whether there is where to put the output of a report, if it has any. */
static bool
has_place(struct commands *cs, const struct held *h)
{
	if (cs->output == NULL && report_waiting(h->invocation) > 0)
		cs->output = malloc(MESSAGE_ROOM);
	return cs->output != NULL || report_waiting(h->invocation) == 0;
}

static void
drop_place(struct commands *cs)
{
	free(cs->output);
	cs->output = NULL;
	spool_reader_close(&cs->reader);
}

static void
tell(struct commands *cs, struct held *h)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct msg_update_invocation_request m;
	struct hw_err err = HW_ERR_INIT;
	size_t bytes;

	if (a == NULL || !has_place(cs, h) ||
		!report_make(&m, &bytes, a, h->invocation, cs->output, room_for_output(cs)))
		hw_err_set(&err, HW_ENOMEM, "out of memory");
	/* One that waits is as good as under way: the relay is to know that it is here. */
	else if (m.status == INVOCATION_STATUS_PENDING)
		m.status = INVOCATION_STATUS_IN_PROGRESS;
	if (err.code == 0 && send_report(cs, h, &m, bytes, &err) == 0) {
		report_sent(h->invocation, &m);
		h->changed = has_ended(h) && !h->report->ends;
	}
	if (err.code != 0) {
		log_trouble(cs, "command.report_not_sent", invocation_id(h->invocation),
			hw_err_text(&err));
		put_off(h);
	}
	arena_free(a);
}

/* When it is to be told, monotonic; INT64_MAX: not now. */
static int64_t
due_at(const struct commands *cs, const struct held *h)
{
	uint64_t waiting = report_waiting(h->invocation);
	int64_t at = h->changed_at;

	if (h->report != NULL || h->unwanted || (!h->changed && waiting == 0))
		return INT64_MAX;
	if (cs->n_reports >= REPORTS_MAX || (waiting > 0 && cs->unanswered >= UNANSWERED_MAX))
		return INT64_MAX; /* an answer wakes us */
	if (!has_ended(h) && waiting < REPORT_PIECE)
		at += h->told ? MORE_IN : FIRST_WORD_IN;
	return at > h->not_before ? at : h->not_before;
}

static int
by_turn(const void *a, const void *b)
{
	const struct held *x = *(struct held *const *)a, *y = *(struct held *const *)b;

	return x->turn < y->turn ? -1 : x->turn > y->turn;
}

/* Who was told of last comes last, so that none with much output keeps the others waiting. */
static void
tell_due(struct commands *cs, int64_t t)
{
	struct held **due = calloc(cs->n_held + 1, sizeof(*due)), *h;
	size_t n = 0;

	TAILQ_FOREACH(h, &cs->held, link)
	if (due != NULL && due_at(cs, h) <= t)
		due[n++] = h;
	if (n > 1)
		qsort(due, n, sizeof(*due), by_turn);
	for (size_t k = 0; k < n; k++)
		if (due_at(cs, due[k]) <= t) /* there is still room */
			tell(cs, due[k]);
	free(due);
}

static void
on_pump(void *arg)
{
	struct commands *cs = commands_from(arg);
	int64_t next = INT64_MAX, t = mono(cs);
	struct held *h;

	if (cs->link == NULL)
		return;
	tell_due(cs, t);
	TAILQ_FOREACH(h, &cs->held, link)
	{
		int64_t at = due_at(cs, h);
		next = at < next ? at : next;
	}
	loop_timer_stop(cs->config.loop, &cs->due);
	if (next != INT64_MAX)
		loop_timer_start(cs->config.loop, &cs->due, next > t ? next - t : 0);
	else if (cs->unanswered == 0)
		drop_place(cs);
}

/* --- asking
 * --------------------------------------------------------------------------------------- */

/* The relay has more to say than could be heard just now. */
static void
ask_later(struct commands *cs, int64_t usec)
{
	cs->refused = true;
	loop_timer_start(cs->config.loop, &cs->later, usec);
}

/* One that is not kept: it was here before, or it came too late. Of many, some come again. */
static void
refuse(struct commands *cs, const char *id, int status, const char *details, const char *reason)
{
	const struct msg_update_invocation_request m = {
		.command_id = id,
		.status = status,
		.status_details = details,
		.response_code = -1,
		.reason = reason,
		.ended = clock_wall(loop_clock(cs->config.loop)),
	};
	struct hw_err err = HW_ERR_INIT;

	if (cs->n_reports >= REPORTS_MAX)
		ask_later(cs, ASK_AGAIN);
	else if (send_report(cs, NULL, &m, 0, &err) < 0)
		log_trouble(cs, "command.report_not_sent", id, hw_err_text(&err));
}

static void
begin(struct commands *cs, const struct msg_invocation_order *o)
{
	bool start = count_state(cs, INVOCATION_RUNNING) < running_max(cs) &&
		count_state(cs, INVOCATION_HELD) == 0;
	struct hw_err err = HW_ERR_INIT;

	/* Not a word of it that could not be kept: the relay gives it again. */
	if (orders_begin(cs->journal, o, start, &err) < 0) {
		log_trouble(cs, "command.not_written", o->command_id, hw_err_text(&err));
		ask_later(cs, ASK_LATER);
		return;
	}
	struct held *h = held_new(cs, o, NULL);
	if (h == NULL) {
		orders_remove(cs->journal, o->command_id, 0);
		cs->refused = true;
		return;
	}
	h->changed = true;
	h->changed_at = mono(cs);
	if (start)
		invocation_start(h->invocation, true);
	loop_defer(cs->config.loop, &cs->pump);
}

/* What is not decided yet is asked for again once it is. */
static void
begin_if_allowed(struct commands *cs, const struct msg_invocation_order *o)
{
	enum watch_answer answer = WATCH_ALLOWS;
	const char *why = NULL;

	if (cs->config.may_begin != NULL)
		answer = cs->config.may_begin(cs->config.arg, &why);
	if (answer == WATCH_ALLOWS)
		begin(cs, o);
	else if (answer == WATCH_WAITS)
		cs->refused = true;
	else
		refuse(cs, o->command_id, INVOCATION_STATUS_FAILED, "Failed", why);
}

static void
take_order(struct commands *cs, const struct msg_invocation_order *o)
{
	struct held *h = find(cs, o->command_id);
	size_t most = cs->config.held_max > 0 ? cs->config.held_max : COMMANDS_HELD_MAX;

	if (h != NULL) /* what it was told of this one has not come, or is on its way */
		h->changed = h->changed || h->report == NULL;
	else if (!id_is_uuid(o->command_id))
		log_warn(cs, "command.no_id", "%s", "");
	else if (orders_is_buried(cs->journal, o->command_id, now(cs)))
		refuse(cs, o->command_id, INVOCATION_STATUS_FAILED, "Failed",
			"this node has had the command before, and it is over here");
	else if (now(cs) > o->deliver_before)
		refuse(cs, o->command_id, INVOCATION_STATUS_TIMED_OUT, "DeliveryTimedOut",
			"the command came to the node after its delivery timeout");
	else if (cs->n_held >= most)
		cs->refused = true;
	else
		begin_if_allowed(cs, o);
}

/* What runs is not ended because nobody waits for it any more; what has not begun does not begin.
 */
static void
forget_unwanted(struct held *h)
{
	if (invocation_state(h->invocation) == INVOCATION_HELD)
		invocation_cancel(h->invocation);
	h->unwanted = true;
	if (has_ended(h))
		forget(h);
}

static void
take_orders(struct commands *cs, const struct msg_get_pending_invocations_reply *reply)
{
	struct held *h;

	for (size_t i = 0; i < reply->forget.n; i++)
		if ((h = find(cs, reply->forget.v[i])) != NULL)
			forget_unwanted(h);
	for (size_t i = 0; i < reply->cancel.n; i++)
		if ((h = find(cs, reply->cancel.v[i])) != NULL)
			invocation_cancel(h->invocation);
	for (size_t i = 0; i < reply->invocations.n && !cs->stopped; i++)
		take_order(cs, &reply->invocations.v[i]);
}

static void
on_orders(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct commands *cs = commands_from(arg);
	struct arena *a = arena_new(4 * ARENA_MAX);
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	cs->asking = false;
	if (code == 0 &&
		(a == NULL ||
			msg_decode(&reply, a, MSG_ROW(get_pending_invocations_reply), body, n,
				&err) < 0)) {
		code = HW_EPROTO;
		message = hw_err_text(&err);
	}
	if (code == 0) {
		const struct msg_get_pending_invocations_reply *orders = reply;
		bool more = cs->ask_again || (orders->more && orders->invocations.n > 0);
		cs->refused = cs->ask_again = false;
		take_orders(cs, orders);
		if (more && !cs->refused)
			commands_ask(cs);
	} else {
		if (code != HW_EUNAVAILABLE)
			log_trouble(cs, "commands.not_told", "-", message);
		ask_later(cs, ASK_AGAIN); /* with a new link it asks anyway */
	}
	arena_free(a);
}

void
commands_ask_again(struct commands *cs)
{
	if (cs->refused)
		commands_ask(cs);
}

void
commands_ask(struct commands *cs)
{
	struct msg_get_pending_invocations_request m = {.held = {.n = 0}};
	struct hw_err err = HW_ERR_INIT;
	struct held *h;

	cs->ask_again = cs->asking;
	if (cs->link == NULL || cs->asking || cs->stopped)
		return;
	m.held.v = calloc(cs->n_held + 1, sizeof(*m.held.v));
	if (m.held.v == NULL) {
		ask_later(cs, ASK_AGAIN);
		return;
	}
	TAILQ_FOREACH(h, &cs->held, link)
	if (m.held.n < COMMANDS_HELD_MAX)
		m.held.v[m.held.n++] = invocation_id(h->invocation);
	if (link_request(cs->link, &op_rows[OP_get_pending_invocations], &m, on_orders, cs, &err) <
		0) {
		log_trouble(cs, "commands.not_asked", "-", hw_err_text(&err));
		ask_later(cs, ASK_AGAIN);
	} else {
		cs->asking = true;
	}
	free(m.held.v);
}

/* --- documents of the relay -------------------------------------------------------------------
 */

/* What is wrong with the link or the relay's load is over some time; what is wrong with the
 * document is not. */
static bool
is_passing(int code)
{
	return code == HW_EUNAVAILABLE || code == HW_EFULL || code == HW_EINTERRUPTED ||
		code == HW_ERECORD;
}

static void
wish_later(struct commands *cs)
{
	if (cs->wish_again.slot == 0)
		loop_timer_start(cs->config.loop, &cs->wish_again, ASK_AGAIN);
}

static void
on_document(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct question *q = arg;
	struct commands *cs = commands_from(q->owner);
	struct held *h = q->held;
	struct arena *a = arena_new(ARENA_MAX);
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	LIST_REMOVE(q, link);
	free(q);
	if (h != NULL) {
		h->question = NULL;
		if (code == 0 &&
			(a == NULL ||
				msg_decode(&reply, a, MSG_ROW(get_invocation_document_reply), body,
					n, &err) < 0)) {
			code = HW_EPROTO;
			message = hw_err_text(&err);
		}
		if (code == 0)
			invocation_take_document(h->invocation, reply);
		else if (is_passing(code))
			wish_later(cs);
		else
			invocation_take_no_document(h->invocation, message);
	}
	arena_free(a);
}

static void
ask_for_document(struct commands *cs, struct held *h, const struct plugin_wish *w)
{
	const struct msg_get_invocation_document_request m = {
		.command_id = invocation_id(h->invocation),
		.name = w->name,
		.document_version = w->version,
	};
	struct question *q = calloc(1, sizeof(*q));
	struct hw_err err = HW_ERR_INIT;

	if (q == NULL) {
		wish_later(cs);
		return;
	}
	*q = (struct question){.owner = cs, .held = h};
	if (link_request(cs->link, &op_rows[OP_get_invocation_document], &m, on_document, q, &err) <
		0) {
		log_trouble(cs, "command.document_not_asked", m.command_id, hw_err_text(&err));
		free(q);
		wish_later(cs);
		return;
	}
	LIST_INSERT_HEAD(&cs->questions, q, link);
	h->question = q;
}

/* Without a link they wait for one. */
static void
on_wishes(void *arg)
{
	struct commands *cs = commands_from(arg);
	const struct plugin_wish *w;
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	if (cs->link != NULL && h->question == NULL && (w = invocation_wish(h->invocation)) != NULL)
		ask_for_document(cs, h, w);
}

/* The question of a step before has no answer that counts. */
static void
on_wish(void *arg, struct invocation *i)
{
	struct commands *cs = commands_from(arg);
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	if (h->invocation == i && h->question != NULL) {
		h->question->held = NULL;
		h->question = NULL;
	}
	loop_defer(cs->config.loop, &cs->wishes);
}

/* --- the link
 * --------------------------------------------------------------------------------------- */

void
commands_link_up(struct commands *cs, struct link *l)
{
	struct held *h;

	cs->link = l;
	cs->asking = cs->ask_again = false;
	TAILQ_FOREACH(h, &cs->held, link)
	{
		h->not_before = 0;
		h->again = AGAIN_MIN;
		h->changed_at = mono(cs);
		h->changed = true;
	}
	commands_ask(cs);
	loop_defer(cs->config.loop, &cs->pump);
	loop_defer(cs->config.loop, &cs->wishes);
}

/* Answers that were still to come do not come any more, and have not come when the link was closed
 * from this side. */
void
commands_link_down(struct commands *cs)
{
	struct question *q;
	struct report *r;
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	{
		h->report = NULL;
		h->question = NULL;
		report_rewind(h->invocation);
	}
	while ((q = LIST_FIRST(&cs->questions)) != NULL) {
		LIST_REMOVE(q, link);
		free(q);
	}
	while ((r = LIST_FIRST(&cs->reports)) != NULL) {
		LIST_REMOVE(r, link);
		free(r);
	}
	drop_place(cs);
	cs->unanswered = cs->n_reports = 0;
	cs->link = NULL;
	cs->asking = false;
	loop_timer_stop(cs->config.loop, &cs->due);
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

static void
on_due(void *arg)
{
	on_pump(arg);
}

/* What the relay has not taken in a second or so is to outlive a power cut. */
static void
on_sync(void *arg)
{
	struct commands *cs = commands_from(arg);
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	invocation_sync(h->invocation);
}

static void
on_later(void *arg)
{
	commands_ask(commands_from(arg));
}

static void
on_forget(void *arg)
{
	struct commands *cs = commands_from(arg);

	orders_forget(cs->journal, now(cs));
	loop_timer_start(cs->config.loop, &cs->forget, FORGET_EVERY);
}

static void
restore(void *arg, const char *id, const struct orders_entry *e)
{
	struct commands *cs = arg;
	struct held *h = held_new(cs, e->order, e);

	if (h == NULL) {
		log_warn(cs, "command.not_restored", "command=%s", id);
		return;
	}
	h->changed = true;
}

/* What was begun first: it may still run, and does not wait for its turn. */
void
commands_resume(struct commands *cs)
{
	struct held *h;

	TAILQ_FOREACH(h, &cs->held, link)
	if (invocation_state(h->invocation) == INVOCATION_HELD &&
		invocation_was_started(h->invocation))
		invocation_start(h->invocation, true);
	loop_defer(cs->config.loop, &cs->starts);
}

int
commands_new(struct commands **ret, const struct commands_config *config, struct hw_err *err)
{
	struct commands *cs = calloc(1, sizeof(*cs));
	int r;

	if (cs == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	cs->config = *config;
	cs->log = *config->log;
	TAILQ_INIT(&cs->held);
	LIST_INIT(&cs->reports);
	LIST_INIT(&cs->questions);
	cs->spool_left = config->spool_max > 0 ? config->spool_max : COMMANDS_SPOOL_MAX;
	if ((r = orders_open(&cs->journal, config->dir, err)) < 0) {
		free(cs);
		return r;
	}
	cs->host = (struct invocation_host){
		.loop = config->loop,
		.log = *config->log,
		.journal = cs->journal,
		.programs = config->programs,
		.node_id = config->node_id,
		.boot_id = config->boot_id,
		.platform_name = config->platform_name,
		.platform_version = config->platform_version,
		.reboot = config->reboot != NULL && config->reboot[0] != '\0' ? config->reboot
									      : "shutdown -r now",
		.output_max = config->output_max > 0 ? config->output_max : COMMANDS_OUTPUT_MAX,
		.spool_left = &cs->spool_left,
		.reader = &cs->reader,
		.fetch = config->fetch,
		.upgrade = config->upgrade,
		.work = config->work,
		.download_ca = config->download_ca,
		.download_proxy = config->download_proxy,
		.download_s3_host = config->download_s3_host,
		.download_max = config->download_max > 0 ? config->download_max : COMMANDS_DOWNLOAD,
		.now = now,
		.on_change = on_change,
		.on_wish = on_wish,
		.arg = cs,
	};
	cs->reader.fd = -1;
	cs->pump = (struct loop_task){.fn = on_pump, .arg = cs};
	cs->starts = (struct loop_task){.fn = on_starts, .arg = cs};
	cs->drops = (struct loop_task){.fn = on_drops, .arg = cs};
	cs->wishes = (struct loop_task){.fn = on_wishes, .arg = cs};
	cs->wish_again = (struct loop_timer){.fn = on_wishes, .arg = cs};
	cs->later = (struct loop_timer){.fn = on_later, .arg = cs};
	cs->due = (struct loop_timer){.fn = on_due, .arg = cs};
	cs->sync = (struct loop_timer){.fn = on_sync, .arg = cs};
	cs->forget = (struct loop_timer){.fn = on_forget, .arg = cs};
	orders_each(cs->journal, restore, cs);
	loop_timer_start(config->loop, &cs->forget, 60 * USEC_PER_SEC);
	*ret = cs;
	return 0;
}

static void
stop_timers(struct commands *cs)
{
	struct loop *l = cs->config.loop;

	loop_undefer(l, &cs->pump);
	loop_undefer(l, &cs->starts);
	loop_undefer(l, &cs->drops);
	loop_undefer(l, &cs->wishes);
	loop_timer_stop(l, &cs->wish_again);
	loop_timer_stop(l, &cs->later);
	loop_timer_stop(l, &cs->due);
	loop_timer_stop(l, &cs->sync);
	loop_timer_stop(l, &cs->forget);
}

void
commands_stop(struct commands *cs)
{
	struct held *h;

	if (cs->stopped) /* what was left to the next agent runs on */
		return;
	cs->stopped = true;
	TAILQ_FOREACH(h, &cs->held, link)
	invocation_stop(h->invocation);
	if (cs->link != NULL)
		on_pump(cs);
}

void
commands_leave(struct commands *cs)
{
	struct held *h;

	cs->stopped = true;
	TAILQ_FOREACH(h, &cs->held, link)
	if (invocation_state(h->invocation) == INVOCATION_RUNNING)
		invocation_leave(h->invocation);
	on_sync(cs);
	stop_timers(cs);
}

void
commands_free(struct commands *cs)
{
	struct held *h;

	if (cs == NULL)
		return;
	if (!cs->stopped)
		commands_leave(cs);
	on_sync(cs);
	stop_timers(cs);
	while ((h = TAILQ_FIRST(&cs->held)) != NULL)
		held_free(h);
	drop_place(cs);
	orders_close(cs->journal);
	free(cs);
}

struct commands_count
commands_count(const struct commands *cs)
{
	return (struct commands_count){
		.running = count_state(cs, INVOCATION_RUNNING),
		.waiting = count_state(cs, INVOCATION_HELD),
		.ended = count_state(cs, INVOCATION_ENDED),
	};
}
