#include "node/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/commands/commands.h"
#include "node/sessions.h"
#include "node/watch.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/backoff.h"
#include "proto/wire/channel.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "proto/wire/link.h"

/* Nobody waits for a node without sessions; a command whose node is away for a minute ends. */
#define DIAL_SELDOM  (60 * USEC_PER_SEC)
#define DIAL_WITHIN  (5 * USEC_PER_SEC)
#define SWEEP_EVERY  USEC_PER_SEC
#define FACTS_EVERY  (3600 * USEC_PER_SEC)
#define FACTS_AGAIN  (60 * USEC_PER_SEC) /* after the relay refused them */
#define STEADY_AFTER (60 * USEC_PER_SEC)
#define FACTS_MAX    (64 * 1024)

struct agent {
	struct log_ctx log;
	struct agent_config config;
	enum agent_state state;
	int64_t since, next_dial;
	char error[384];
	struct backoff backoff;
	unsigned attempts;
	struct loop_timer dial, sweep, report;
	struct link *link; /* from connected to down, up or not */
	int64_t up_at;	   /* monotonic; 0 while the link is not up */
	struct buf said;   /* the facts that the relay has, encoded */
	struct sessions *sessions;
};

static struct agent *
agent_from(void *arg)
{
	struct agent *a = arg;

	hw_assert(a->config.dial != NULL);
	return a;
}

static int64_t
mono(const struct agent *a)
{
	return clock_mono(loop_clock(a->config.loop));
}

static void
set_state(struct agent *a, enum agent_state state)
{
	a->state = state;
	a->since = clock_wall(loop_clock(a->config.loop));
}

/* --- dialling ------------------------------------------------------------------------------- */

static void
on_dial(void *arg)
{
	struct agent *a = agent_from(arg);

	a->attempts++;
	set_state(a, AGENT_DIALLING);
	a->config.dial(a->config.arg);
}

static bool
has_commands(const struct agent *a)
{
	if (a->config.commands == NULL)
		return false;
	const struct commands_count n = commands_count(a->config.commands);
	return n.running + n.waiting + n.ended > 0;
}

static void
dial_later(struct agent *a)
{
	bool waited_for = sessions_count(a->sessions) > 0 || has_commands(a);
	int64_t cap = waited_for ? DIAL_WITHIN : DIAL_SELDOM;
	int64_t delay = backoff_below(&a->backoff, cap, random_u64());

	set_state(a, AGENT_WAITING);
	a->next_dial = a->since + delay;
	loop_timer_start(a->config.loop, &a->dial, delay);
}

static void
remember_error(struct agent *a, int code, const char *why)
{
	snprintf(a->error, sizeof(a->error), "%s", why && *why ? why : hw_code_meaning(code));
}

static void
log_failure(const struct agent *a, const char *event, int code)
{
	log_warn(a, event, "code=%s why=%s", hw_code_name(code), log_value(a->error));
}

void
agent_dial_failed(struct agent *a, int code, const char *why)
{
	remember_error(a, code, why);
	log_failure(a, "link.dial_failed", code);
	if (a->state == AGENT_DIALLING)
		dial_later(a);
}

/* HELLO says what is held, so it is known before. */
static void
on_adopted(void *arg)
{
	struct agent *a = agent_from(arg);

	if (a->state != AGENT_WAITING)
		return;
	loop_timer_start(a->config.loop, &a->dial, 0);
	loop_timer_start(a->config.loop, &a->sweep, SWEEP_EVERY);
}

void
agent_start(struct agent *a)
{
	hw_assert(a->state == AGENT_STOPPED);
	set_state(a, AGENT_WAITING);
	if (a->config.commands != NULL)
		commands_resume(a->config.commands);
	sessions_adopt(a->sessions, on_adopted, a);
}

/* --- facts ---------------------------------------------------------------------------------- */

static void
on_facts_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct agent *a = agent_from(arg);

	(void)body;
	(void)n;
	if (code == HW_OK)
		return;
	remember_error(a, code, message);
	log_failure(a, "facts.refused", code);
	buf_reset(&a->said);
	if (a->up_at != 0)
		loop_timer_start(a->config.loop, &a->report, FACTS_AGAIN);
}

static bool
same_as_said(const struct agent *a, const struct buf *now)
{
	return a->said.len == now->len && memcmp(buf_data(&a->said), buf_data(now), now->len) == 0;
}

static void
report_in(struct agent *a, struct arena *arena, struct buf *now)
{
	struct msg_update_instance_information_request f = {.agent_version = HAWSER_VERSION};
	struct hw_err err = HW_ERR_INIT;

	a->config.facts(a->config.arg, arena, &f);
	if (msg_encode(now, MSG_ROW(update_instance_information_request), &f, &err) < 0 ||
		(!same_as_said(a, now) &&
			link_request(a->link, &op_rows[OP_update_instance_information], &f,
				on_facts_reply, a, &err) < 0)) {
		remember_error(a, err.code, hw_err_text(&err));
		log_failure(a, "facts.not_sent", err.code);
		return;
	}
	buf_reset(&a->said);
	if (buf_append(&a->said, buf_data(now), now->len) < 0)
		buf_reset(&a->said);
}

/* Only what changed since the link came up is said again. */
static void
on_report(void *arg)
{
	struct agent *a = agent_from(arg);
	struct arena *arena = arena_new(FACTS_MAX);
	struct buf now;

	loop_timer_start(a->config.loop, &a->report, FACTS_EVERY);
	buf_init(&now, FACTS_MAX);
	if (arena != NULL && a->config.facts != NULL)
		report_in(a, arena, &now);
	buf_fini(&now);
	arena_free(arena);
}

/* --- sessions ------------------------------------------------------------------------------- */

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct agent *a = agent_from(arg);
	enum watch_answer answer = WATCH_ALLOWS;
	const char *why = NULL;

	(void)l;
	/* What a live forward opens goes on. */
	if (a->config.watch != NULL && open->type != CHANNEL_TYPE_CONNECTION)
		answer = watch_answer(a->config.watch, &why);
	if (answer == WATCH_ALLOWS)
		sessions_open(a->sessions, ch, open);
	else
		channel_reject(ch, answer == WATCH_WAITS ? HW_EUNAVAILABLE : HW_ELOCAL, why);
}

static void
on_resume(void *arg, struct link *l, struct channel *ch, const struct msg_resume *resume)
{
	(void)l;
	sessions_resume(agent_from(arg)->sessions, ch, resume);
}

/* --- the link ------------------------------------------------------------------------------- */

static void
on_sweep(void *arg)
{
	struct agent *a = agent_from(arg);

	sessions_sweep(a->sessions);
	if (a->link != NULL)
		link_sweep(a->link);
	if (a->link != NULL || sessions_count(a->sessions) > 0)
		loop_timer_start(a->config.loop, &a->sweep, SWEEP_EVERY);
}

static void
on_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	struct agent *a = agent_from(arg);

	a->up_at = mono(a);
	a->attempts = 0;
	a->error[0] = '\0';
	set_state(a, AGENT_CONNECTED);
	log_info(a, "link.up", "relay=%s software=%s version=%d", log_value(peer->id),
		log_value(peer->software), link_version(l));
	buf_reset(&a->said);
	on_report(a);
	if (a->config.watch != NULL)
		watch_link_up(a->config.watch, l, peer->head);
	if (a->config.commands != NULL)
		commands_link_up(a->config.commands, l);
	if (a->config.on_up != NULL)
		a->config.on_up(a->config.arg, l);
}

/* The link is not there any more. */
static void
forget_link(struct agent *a)
{
	if (a->up_at != 0 && mono(a) - a->up_at >= STEADY_AFTER)
		backoff_reset(&a->backoff);
	a->link = NULL;
	a->up_at = 0;
	loop_timer_stop(a->config.loop, &a->report);
	if (a->config.watch != NULL)
		watch_link_down(a->config.watch);
	if (a->config.commands != NULL)
		commands_link_down(a->config.commands);
	if (a->config.on_down != NULL)
		a->config.on_down(a->config.arg);
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	struct agent *a = agent_from(arg);

	(void)l;
	remember_error(a, code, why);
	forget_link(a);
	if (code == HW_EREVOKED) {
		set_state(a, AGENT_REVOKED);
		sessions_end(a->sessions, NULL, code, a->error);
		log_error(a, "agent.deregistered", "%s", "");
		if (a->config.on_revoked != NULL)
			a->config.on_revoked(a->config.arg);
		return;
	}
	log_failure(a, "link.down", code);
	dial_later(a);
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	(void)arg;
	(void)op;
	(void)body;
	(void)n;
	link_respond(l, id, HW_EUNKNOWNOP, "a node answers no operations", NULL, NULL);
}

static void
on_peer_time(void *arg, int64_t wall)
{
	struct agent *a = agent_from(arg);

	if (a->config.on_peer_time != NULL)
		a->config.on_peer_time(a->config.arg, wall);
}

static void
on_control(void *arg, struct link *l, const struct msg_control *control)
{
	struct agent *a = agent_from(arg);

	if (control->type == CONTROL_RENEW && a->config.on_renew != NULL)
		a->config.on_renew(a->config.arg, l);
	if (control->type == CONTROL_END && control->session_id != NULL)
		sessions_end(a->sessions, control->session_id, HW_ENOSESSION,
			"the relay does not know this session");
	if (control->type == CONTROL_COMMANDS && a->config.commands != NULL)
		commands_ask(a->config.commands);
}

static void
on_head(void *arg, struct link *l, const char *head)
{
	struct agent *a = agent_from(arg);

	(void)l;
	if (a->config.watch != NULL)
		watch_head(a->config.watch, head);
}

static const struct link_events link_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_open = on_open,
	.on_resume = on_resume,
	.on_peer_time = on_peer_time,
	.on_head = on_head,
	.on_control = on_control,
};

struct link *
agent_connected(struct agent *a, struct link_transport *t)
{
	struct link_config c = {
		.loop = a->config.loop,
		.log = &a->log,
		.events = &link_events,
		.arg = a,
		.transport = t,
		.hello =
			{
				.version_min = PROTO_VERSION,
				.version_max = PROTO_VERSION,
				.role = ROLE_NODE,
				.id = a->config.node_id,
				.software = "hawser-node/" HAWSER_VERSION,
				.frame_max = FRAME_MESSAGE_MAX,
				.boot_id = a->config.boot_id,
				.sessions = sessions_ids(a->sessions),
				},
		.peer_role = ROLE_RELAY,
		.opens = false,
		.limits = a->config.limits,
	};

	if (a->state != AGENT_DIALLING)
		return NULL;
	a->link = link_new(&c);
	if (a->link != NULL)
		loop_timer_start(a->config.loop, &a->sweep, SWEEP_EVERY);
	else
		agent_dial_failed(a, HW_ENOMEM, "out of memory");
	return a->link;
}

/* --- life ----------------------------------------------------------------------------------- */

struct agent *
agent_new(const struct agent_config *config)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->config = *config;
	log_ctx_child(&a->log, config->log, "node", config->node_id);
	const struct sessions_config sessions = {
		.loop = config->loop,
		.log = &a->log,
		.programs = config->programs,
		.roster = config->roster,
		.dir = config->dir,
	};
	a->sessions = sessions_new(&sessions);
	if (a->sessions == NULL) {
		free(a);
		return NULL;
	}
	a->dial = (struct loop_timer){.fn = on_dial, .arg = a};
	a->sweep = (struct loop_timer){.fn = on_sweep, .arg = a};
	a->report = (struct loop_timer){.fn = on_report, .arg = a};
	buf_init(&a->said, FACTS_MAX);
	set_state(a, AGENT_STOPPED);
	return a;
}

/* With HW_EUNAVAILABLE its sessions wait for the next one. */
static void
drop_link(struct agent *a, int code, const char *why)
{
	struct link *l = a->link;

	if (l == NULL)
		return;
	link_close(l, code, why);
	forget_link(a);
}

static void
dial_no_more(struct agent *a)
{
	if (a->state == AGENT_DIALLING && a->link == NULL)
		a->config.cancel(a->config.arg);
	loop_timer_stop(a->config.loop, &a->dial);
	loop_timer_stop(a->config.loop, &a->sweep);
	if (a->state != AGENT_REVOKED)
		set_state(a, AGENT_STOPPED);
}

void
agent_stop(struct agent *a, const char *why)
{
	dial_no_more(a);
	if (a->config.commands != NULL)
		commands_stop(a->config.commands);
	sessions_end(a->sessions, NULL, HW_ECLOSED, why);
	drop_link(a, HW_ECLOSED, why);
}

void
agent_leave(struct agent *a, const char *why)
{
	dial_no_more(a);
	if (a->config.commands != NULL)
		commands_leave(a->config.commands);
	sessions_part(a->sessions, why);
	drop_link(a, HW_EUNAVAILABLE, why);
	sessions_leave(a->sessions);
}

void
agent_redial(struct agent *a, const char *why)
{
	if (a->link == NULL)
		return;
	drop_link(a, HW_EUNAVAILABLE, why);
	dial_later(
		a); /* so that whatever makes us do this again and again does it slower each time */
}

void
agent_free(struct agent *a)
{
	if (a == NULL)
		return;
	agent_stop(a, "the agent ends");
	sessions_free(a->sessions);
	buf_fini(&a->said);
	free(a);
}

void
agent_status(const struct agent *a, struct agent_status *ret)
{
	*ret = (struct agent_status){
		.state = a->state,
		.since = a->since,
		.next_dial = a->next_dial,
		.sessions = sessions_count(a->sessions),
		.attempts = a->attempts,
		.error = a->error,
	};
}
