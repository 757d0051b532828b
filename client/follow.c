#include "client/follow.h"

#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "client/conn.h"
#include "proto/wire/codec.h"

#define POLL_FIRST  (20 * USEC_PER_MSEC)
#define POLL_LAST   (500 * USEC_PER_MSEC)
#define PAGE	    100 /* invocations; their names and reasons must fit a frame */
#define REPLY_MAX   (4u << 20)
#define KEEP_WITHIN (3600 * USEC_PER_SEC) /* the command goes on without us */

struct lane {
	struct part *part;
	int stream;
	enum { LANE_IDLE, LANE_READY, LANE_ASKED, LANE_DONE } state;
	size_t step;
	int64_t offset; /* in the step */
	int64_t taken;	/* of all steps */
	int64_t seen;	/* of the bytes that were there when there were no more to be had */
	TAILQ_ENTRY(lane) entry;
};

struct part {
	struct follow *follow;
	struct follow_node node;
	char *id, *name, *details, *reason, **steps; /* what the node points to */
	struct lane lanes[2];
	bool told;  /* on_node_end */
	bool drops; /* not all that was written there was kept */
	UT_hash_handle hh;
};

/* Of output that is asked for. */
static const struct pace {
	size_t piece;
	size_t pieces; /* on their way */
} paces[] = {
	{131072, 24},
	{32768,	8 },
};

struct cancel {
	struct follow *follow;
	bool wanted, asked;
};

struct follow {
	struct follow_config config;
	struct cancel cancel;
	bool cancelled;
	char *command_id;
	struct part *by_id;
	struct part **parts;
	size_t n, room;
	struct fates all;
	size_t concurrency, error_limit, told, wanted;
	int status;
	char details[101];
	int64_t next;
	bool over, asked, fresh; /* fresh: all that the relay had was seen once */
	bool called;		 /* on_over */
	bool denied;		 /* on_output_failed */
	bool waits;		 /* on_output_waits */
	int64_t delay;
	struct loop_timer poll;
	size_t asked_pieces;
	TAILQ_HEAD(, lane) ready;
	struct conn_watch watch;
};

static void pump(struct follow *f);

/* --- its end ---------------------------------------------------------------------------------- */

static void
finish(struct follow *f, int code, const char *why)
{
	struct link *l = conn_link(f->config.conn);

	if (f->called)
		return;
	f->called = true;
	loop_timer_stop(conn_loop(f->config.conn), &f->poll);
	conn_release(f->config.conn, &f->watch);
	if (l != NULL) {
		link_forget(l, f);
		link_forget(l, &f->cancel);
		for (size_t i = 0; i < f->n; i++)
			for (int s = 0; s < 2; s++)
				link_forget(l, &f->parts[i]->lanes[s]);
	}
	f->config.events->on_over(f->config.arg, code, why);
	conn_wake(f->config.conn);
}

static void
check_over(struct follow *f)
{
	if (f->fresh && (f->over || f->config.no_wait) && f->told == f->wanted)
		finish(f, 0, "");
}

/* A relay that is busy, or that can't write its ledger just now, says something else later. */
static bool
is_passing(int code)
{
	static const int codes[] = {HW_EUNAVAILABLE, HW_ETIMEOUT, HW_EFULL, HW_ERECORD};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* It has no answer, or the link is lost: on_back is sooner, then, and on_gone ends it. */
static void
wait_for_relay(struct follow *f)
{
	loop_timer_start(conn_loop(f->config.conn), &f->poll, POLL_LAST);
}

/* --- cancelling ------------------------------------------------------------------------------- */

static void
on_cancel(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct cancel *cancel = arg;
	struct follow *f = cancel->follow;

	(void)body;
	(void)n;
	cancel->asked = false;
	if (is_passing(code)) {
		wait_for_relay(f);
		return;
	}
	cancel->wanted = false;
	f->cancelled = code == 0;
	f->config.events->on_cancelled(f->config.arg, code,
		message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
}

static void
send_cancel(struct follow *f)
{
	const struct msg_cancel_command_request req = {.command_id = f->command_id};
	struct link *l = conn_link(f->config.conn);
	struct hw_err err = HW_ERR_INIT;
	int r;

	if (!f->cancel.wanted || f->cancel.asked || l == NULL || f->called)
		return;
	f->cancel.asked = true;
	if ((r = link_request(l, &op_rows[OP_cancel_command], &req, on_cancel, &f->cancel, &err)) <
		0)
		on_cancel(&f->cancel, r, hw_err_text(&err), NULL, 0);
}

void
follow_cancel(struct follow *f)
{
	f->cancel.wanted = true;
	send_cancel(f);
}

bool
follow_is_cancelled(const struct follow *f)
{
	return f->cancelled;
}

/* --- what is to be asked for ------------------------------------------------------------------ */

static bool
is_final(const struct follow *f, const struct part *p)
{
	return fate_is_end(p->node.fate) || f->config.no_wait;
}

/* Some may have been dropped, of much output by an older relay that does not say so before: how
 * much is said with the last of a stream. */
#define MUCH (16 << 10)

static bool
has_nothing_more(const struct lane *lane)
{
	const struct follow_node *node = &lane->part->node;

	return lane->taken >= node->bytes[lane->stream] && !lane->part->drops &&
		node->bytes[FOLLOW_OUT] + node->bytes[FOLLOW_ERR] < MUCH;
}

/* There may be one before its name is known. A step that was read to its end is not the one that is
 * asked for without a name. */
static bool
has_step(const struct lane *lane)
{
	return lane->step == 0 || lane->step < lane->part->node.n_steps;
}

static void
make_ready(struct lane *lane)
{
	lane->state = LANE_READY;
	TAILQ_INSERT_TAIL(&lane->part->follow->ready, lane, entry);
}

static void
update_lane(struct lane *lane)
{
	struct part *p = lane->part;
	const struct follow *f = p->follow;
	int64_t bytes = p->node.bytes[lane->stream];

	if (lane->state != LANE_IDLE)
		return;
	if (is_final(f, p)) {
		if (f->config.silent || !has_step(lane) || has_nothing_more(lane))
			lane->state = LANE_DONE;
		else
			make_ready(lane);
	} else if (f->config.live && !f->config.silent && has_step(lane) && bytes > lane->taken &&
		bytes > lane->seen) {
		make_ready(lane);
	}
}

static void
update_part(struct part *p)
{
	struct follow *f = p->follow;

	if (!p->node.wanted || p->told)
		return;
	update_lane(&p->lanes[FOLLOW_OUT]);
	update_lane(&p->lanes[FOLLOW_ERR]);
	if (p->lanes[FOLLOW_OUT].state != LANE_DONE || p->lanes[FOLLOW_ERR].state != LANE_DONE)
		return;
	if (!is_final(f, p)) /* what it writes may not be read; how it ends is still to come */
		return;
	p->told = true;
	f->told++;
	f->config.events->on_node_end(f->config.arg, &p->node);
}

/* --- output ----------------------------------------------------------------------------------- */

static void
next_step(struct lane *lane)
{
	const struct part *p = lane->part;

	lane->step++;
	lane->offset = 0;
	lane->state = LANE_IDLE;
	if (is_final(p->follow, p) && lane->step >= p->node.n_steps)
		lane->state = LANE_DONE;
}

static void
take(struct lane *lane, const struct msg_get_command_output_reply *reply)
{
	struct follow *f = lane->part->follow;
	struct follow_node *node = &lane->part->node;
	bool whole = reply->complete && lane->offset + (int64_t)reply->data.n >= reply->size;

	if (reply->data.n > 0)
		f->config.events->on_output(f->config.arg, node, lane->stream, lane->step,
			(uint64_t)lane->offset, reply->data.p, reply->data.n);
	lane->offset += (int64_t)reply->data.n;
	lane->taken += (int64_t)reply->data.n;
	/* A part that is over without being whole never will be. */
	if (whole || (reply->data.n == 0 && is_final(f, lane->part))) {
		node->dropped[lane->stream] += reply->dropped;
		next_step(lane);
	} else {
		lane->state = LANE_IDLE;
		if (reply->data.n == 0)
			lane->seen = node->bytes[lane->stream];
	}
}

/* Every node would say the same. */
static void
refuse(struct lane *lane, int code, const char *why)
{
	struct follow *f = lane->part->follow;

	lane->state = LANE_DONE;
	if (!f->denied || code != HW_EDENIED)
		f->config.events->on_output_failed(f->config.arg, &lane->part->node, code, why);
	f->denied = f->denied || code == HW_EDENIED;
}

/* Once until there is output again; what a lost link has to say comes from elsewhere. */
static void
say_waiting(struct follow *f, int code, const char *message)
{
	if (!f->waits && code != HW_EUNAVAILABLE)
		f->config.events->on_output_waits(f->config.arg,
			message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	f->waits = f->waits || code != HW_EUNAVAILABLE;
}

static void
on_piece(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct lane *lane = arg;
	struct part *p = lane->part;
	struct follow *f = p->follow;
	struct arena *a = arena_new(REPLY_MAX);
	struct hw_err err = HW_ERR_INIT;
	void *reply = NULL;

	f->asked_pieces--;
	if (is_passing(code)) {
		make_ready(lane);
		say_waiting(f, code, message);
		wait_for_relay(f);
		arena_free(a);
		return;
	}
	f->waits = false;
	if (code != 0)
		refuse(lane, code,
			message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	else if (a == NULL ||
		msg_decode(&reply, a, MSG_ROW(get_command_output_reply), body, n, &err) < 0)
		refuse(lane, HW_EPROTO, hw_err_text(&err));
	else
		take(lane, reply);
	arena_free(a);
	update_part(p);
	pump(f);
	check_over(f);
}

static void
ask_piece(struct lane *lane)
{
	struct part *p = lane->part;
	struct follow *f = p->follow;
	struct hw_err err = HW_ERR_INIT;
	struct msg_get_command_output_request req = {
		.command_id = f->command_id,
		.instance_id = p->node.id,
		.stream = lane->stream == FOLLOW_OUT ? OUTPUT_STREAM_STDOUT : OUTPUT_STREAM_STDERR,
		.offset = lane->offset,
		.max_bytes = (int64_t)paces[f->config.gentle].piece,
	};
	int r;

	if (lane->step < p->node.n_steps)
		req.plugin_name = p->node.steps[lane->step];
	lane->state = LANE_ASKED;
	f->asked_pieces++;
	r = link_request(conn_link(f->config.conn), &op_rows[OP_get_command_output], &req, on_piece,
		lane, &err);
	if (r < 0)
		on_piece(lane, r, hw_err_text(&err), NULL, 0);
}

static void
pump(struct follow *f)
{
	struct lane *lane;

	while (!f->called && f->asked_pieces < paces[f->config.gentle].pieces &&
		(lane = TAILQ_FIRST(&f->ready)) != NULL && conn_link(f->config.conn) != NULL &&
		(f->config.has_room == NULL || f->config.has_room(f->config.arg))) {
		TAILQ_REMOVE(&f->ready, lane, entry);
		ask_piece(lane);
	}
}

void
follow_go(struct follow *f)
{
	pump(f);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static int
set_text(char **at, const char **shown, const char *text)
{
	char *copy;

	if (text == NULL)
		text = "";
	if (*at != NULL && strcmp(*at, text) == 0)
		return 0;
	if ((copy = strdup(text)) == NULL)
		return HW_ENOMEM;
	free(*at);
	*at = copy;
	*shown = copy;
	return 0;
}

static void
free_steps(struct part *p)
{
	for (size_t i = 0; i < p->node.n_steps; i++)
		free(p->steps[i]);
	free(p->steps);
	p->steps = NULL;
	p->node.n_steps = 0;
}

/* They do not change once they are known. */
static int
set_steps(struct part *p, const struct msg_strs *steps)
{
	if (steps->n <= p->node.n_steps)
		return 0;
	free_steps(p);
	if ((p->steps = calloc(steps->n, sizeof(*p->steps))) == NULL)
		return HW_ENOMEM;
	for (; p->node.n_steps < steps->n; p->node.n_steps++)
		if ((p->steps[p->node.n_steps] = strdup(steps->v[p->node.n_steps])) == NULL)
			return HW_ENOMEM;
	p->node.steps = (const char *const *)p->steps;
	return 0;
}

static void
free_part(struct part *p)
{
	free_steps(p);
	free(p->id);
	free(p->name);
	free(p->details);
	free(p->reason);
	free(p);
}

static int
grow(struct follow *f)
{
	size_t room = f->room > 0 ? 2 * f->room : 64;
	struct part **parts;

	if (f->n < f->room)
		return 0;
	if ((parts = reallocarray(f->parts, room, sizeof(*parts))) == NULL)
		return HW_ENOMEM;
	f->parts = parts;
	f->room = room;
	return 0;
}

static int
add_part(struct part **ret, struct follow *f, const struct msg_invocation_summary *s)
{
	const char *name = s->instance_name != NULL && s->instance_name[0] != '\0'
		? s->instance_name
		: s->instance_id;
	struct part *p = grow(f) == 0 ? calloc(1, sizeof(*p)) : NULL;

	if (p == NULL)
		return HW_ENOMEM;
	p->follow = f;
	for (int i = 0; i < 2; i++)
		p->lanes[i] = (struct lane){.part = p, .stream = i};
	if (set_text(&p->id, &p->node.id, s->instance_id) < 0 ||
		set_text(&p->name, &p->node.name, name) < 0) {
		free_part(p);
		return HW_ENOMEM;
	}
	p->node.wanted = f->config.wants == NULL || f->config.wants(f->config.arg, &p->node);
	f->wanted += p->node.wanted;
	f->parts[f->n++] = p;
	HASH_ADD_KEYPTR(hh, f->by_id, p->id, strlen(p->id), p);
	*ret = p;
	return 0;
}

static int
set_state(struct follow *f, struct part *p, const struct msg_invocation_summary *s)
{
	struct follow_node *node = &p->node;

	node->fate = fate_of(s->status, s->status_details);
	node->status = s->status;
	node->response_code = s->response_code;
	node->bytes[FOLLOW_OUT] = s->stdout_bytes;
	node->bytes[FOLLOW_ERR] = s->stderr_bytes;
	p->drops = s->stdout_dropped > 0 || s->stderr_dropped > 0;
	if (node->wanted)
		f->all.of[node->fate]++;
	if (set_text(&p->details, &node->details, s->status_details) < 0 ||
		set_text(&p->reason, &node->reason, s->reason) < 0)
		return HW_ENOMEM;
	return set_steps(p, &s->steps);
}

static int
take_summary(struct follow *f, const struct msg_invocation_summary *s)
{
	struct part *p;
	int r;

	HASH_FIND_STR(f->by_id, s->instance_id, p);
	if (p == NULL && (r = add_part(&p, f, s)) < 0)
		return r;
	if (p->told) /* it has ended: nothing moves back */
		return 0;
	if (p->node.wanted && p->node.status != 0)
		f->all.of[p->node.fate]--;
	if ((r = set_state(f, p, s)) == 0)
		update_part(p);
	return r;
}

/* --- asking what has changed ------------------------------------------------------------------ */

static void
poll_soon(struct follow *f, bool changed, bool more)
{
	f->delay = changed ? POLL_FIRST : f->delay * 3 / 2;
	if (f->delay > POLL_LAST)
		f->delay = POLL_LAST;
	loop_timer_start(conn_loop(f->config.conn), &f->poll, more ? 0 : f->delay);
}

static int
take_changes(struct follow *f, const struct msg_list_command_changes_reply *reply)
{
	bool moved = f->status != reply->status || reply->invocations.n > 0;
	int r = 0;

	f->status = reply->status;
	f->over = fate_command_is_over(reply->status);
	snprintf(f->details, sizeof(f->details), "%s",
		reply->status_details != NULL ? reply->status_details : "");
	f->concurrency = (size_t)reply->concurrency;
	f->error_limit = (size_t)reply->error_limit;
	f->next = reply->next;
	f->fresh = f->fresh || !reply->more;
	for (size_t i = 0; i < reply->invocations.n && r == 0; i++)
		r = take_summary(f, &reply->invocations.v[i]);
	f->all.total = f->config.wants == NULL ? (size_t)reply->target_count : f->wanted;
	if (moved)
		f->config.events->on_change(f->config.arg, &f->all);
	return r;
}

static bool
polls_on(const struct follow *f, const struct msg_list_command_changes_reply *reply)
{
	size_t open = f->all.of[FATE_WAITING] + f->all.of[FATE_RUNNING];

	return reply->more || (!f->config.no_wait && (!f->over || open > 0));
}

static void
on_changes(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct follow *f = arg;
	struct arena *a = arena_new(REPLY_MAX);
	struct hw_err err = HW_ERR_INIT;
	struct msg_list_command_changes_reply *reply = NULL;
	void *decoded;
	int r = code;

	f->asked = false;
	if (is_passing(code)) {
		wait_for_relay(f);
		arena_free(a);
		return;
	}
	if (code != 0)
		hw_err_set(&err, code, "%s",
			message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	else if (a == NULL)
		r = hw_err_set(&err, HW_ENOMEM, "out of memory");
	else if ((r = msg_decode(&decoded, a, MSG_ROW(list_command_changes_reply), body, n,
			  &err)) == 0) {
		reply = decoded;
		if ((r = take_changes(f, reply)) < 0)
			hw_err_set(&err, r, "out of memory");
	}
	if (r < 0)
		finish(f, r, hw_err_text(&err));
	else if (!f->called && polls_on(f, reply))
		poll_soon(f, reply->invocations.n > 0, reply->more);
	arena_free(a);
	if (f->called)
		return;
	pump(f);
	check_over(f);
}

static void
on_poll(void *arg)
{
	struct follow *f = arg;
	struct msg_list_command_changes_request req = {
		.command_id = f->command_id, .after = f->next, .max_results = PAGE};
	struct hw_err err = HW_ERR_INIT;
	struct link *l = conn_link(f->config.conn);
	int r;

	send_cancel(f);
	pump(f);
	if (f->asked || l == NULL || f->called)
		return;
	f->asked = true;
	if ((r = link_request(l, &op_rows[OP_list_command_changes], &req, on_changes, f, &err)) < 0)
		on_changes(f, r, hw_err_text(&err), NULL, 0);
}

/* --- links that are lost ---------------------------------------------------------------------- */

static void
on_lost(void *arg, const char *why)
{
	struct follow *f = arg;

	f->config.events->on_lost(f->config.arg, why);
}

static void
on_back(void *arg)
{
	struct follow *f = arg;

	f->config.events->on_back(f->config.arg);
	f->delay = POLL_FIRST;
	loop_timer_start(conn_loop(f->config.conn), &f->poll, 0);
	pump(f);
}

static void
on_gone(void *arg, int code, const char *why)
{
	finish(arg, code, why);
}

static const struct conn_watch_events watch_events = {
	.on_lost = on_lost,
	.on_back = on_back,
	.on_gone = on_gone,
};

/* --- life ------------------------------------------------------------------------------------- */

int
follow_new(struct follow **ret, const struct follow_config *config, struct hw_err *err)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (f == NULL || (f->command_id = strdup(config->command_id)) == NULL) {
		free(f);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	f->config = *config;
	f->cancel.follow = f;
	f->delay = POLL_FIRST;
	TAILQ_INIT(&f->ready);
	f->poll = (struct loop_timer){.fn = on_poll, .arg = f};
	f->watch = (struct conn_watch){.events = &watch_events, .arg = f, .within = KEEP_WITHIN};
	conn_keep(config->conn, &f->watch);
	loop_timer_start(conn_loop(config->conn), &f->poll, 0);
	*ret = f;
	return 0;
}

void
follow_free(struct follow *f)
{
	struct link *l;

	if (f == NULL)
		return;
	l = conn_link(f->config.conn);
	loop_timer_stop(conn_loop(f->config.conn), &f->poll);
	conn_release(f->config.conn, &f->watch);
	if (l != NULL) {
		link_forget(l, f);
		link_forget(l, &f->cancel);
	}
	HASH_CLEAR(hh, f->by_id);
	for (size_t i = 0; i < f->n; i++) {
		for (int s = 0; s < 2 && l != NULL; s++)
			link_forget(l, &f->parts[i]->lanes[s]);
		free_part(f->parts[i]);
	}
	free(f->parts);
	free(f->command_id);
	free(f);
}

size_t
follow_count(const struct follow *f)
{
	return f->n;
}

struct follow_node *
follow_node(const struct follow *f, size_t i)
{
	return &f->parts[i]->node;
}

const struct fates *
follow_fates(const struct follow *f)
{
	return &f->all;
}

size_t
follow_concurrency(const struct follow *f)
{
	return f->concurrency;
}

size_t
follow_error_limit(const struct follow *f)
{
	return f->error_limit;
}

int
follow_status(const struct follow *f)
{
	return f->status;
}

const char *
follow_details(const struct follow *f)
{
	return f->details;
}
