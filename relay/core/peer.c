#include "relay/core/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/link.h"
#include "relay/core/broker_private.h"
#include "relay/core/call.h"
#include "relay/core/dispatcher.h"
#include "relay/core/fit.h"
#include "relay/core/forward.h"
#include "relay/core/principals.h"
#include "relay/core/registry.h"
#include "relay/core/seen.h"
#include "relay/core/session.h"

/* --- operations over the link -------------------------------------------------------------------
 */

struct peer_call {
	TAILQ_ENTRY(peer_call) waiting;
	struct call call;
	struct peer *peer;
	uint64_t id;
	size_t bytes;
};

static void
free_if_done(struct peer *p)
{
	if (p->link == NULL && p->holds == 0)
		free(p);
}

void
peer_hold(struct peer *p)
{
	p->holds++;
}

void
peer_release(struct peer *p)
{
	p->holds--;
	free_if_done(p);
}

static void
run_call(void *arg)
{
	struct peer_call *pc = arg;

	call_execute(&pc->call);
}

/* A node that has renewed over this very link goes on with it: its link is as new as its
 * certificate. */
static void
take_renewal(struct peer *p)
{
	struct reg_node node;

	if (p->who.role == ROLE_NODE && registry_node(p->broker->env->registry, p->who.id, &node))
		memcpy(p->who.serial, node.serial, sizeof(p->who.serial));
}

static void
count_bytes(struct peer_call *pc, int sign)
{
	size_t delta = sign < 0 ? (size_t)0 - pc->bytes : pc->bytes;

	pc->peer->call_bytes += delta;
	pc->peer->broker->call_bytes += delta;
}

static void
respond_failure(struct peer *p, uint64_t id, int code)
{
	if (p->link != NULL)
		link_respond(p->link, id, code,
			code == HW_EFULL ? "too many operations are under way: try again"
					 : hw_code_meaning(code),
			NULL, NULL);
}

static void
drop_call(struct peer_call *pc)
{
	count_bytes(pc, -1);
	call_fini(&pc->call);
	free(pc);
}

static void on_call_done(void *arg);

static bool
run_on_worker(struct peer *p, struct peer_call *pc)
{
	struct workers *w = p->broker->workers;

	return (p->who.role == ROLE_NODE ? workers_submit_crowd : workers_submit)(w, run_call,
		on_call_done, pc);
}

/* What waits of a link that is over has nobody to hear its answer: its node says it again. */
static void
call_next(struct peer *p)
{
	struct peer_call *pc;

	p->calling = false;
	while (!p->calling && (pc = TAILQ_FIRST(&p->calls)) != NULL) {
		TAILQ_REMOVE(&p->calls, pc, waiting);
		p->calling = p->link != NULL && run_on_worker(p, pc);
		if (p->calling)
			return;
		respond_failure(p, pc->id, HW_EFULL);
		drop_call(pc);
		p->holds--;
	}
}

static void
on_call_done(void *arg)
{
	struct peer_call *pc = arg;
	struct peer *p = pc->peer;

	if (pc->call.code == 0 && op_find(pc->call.op) == &op_rows[OP_renew_certificate])
		take_renewal(p);
	if (p->link != NULL && pc->call.code == 0)
		link_respond_raw(p->link, pc->id, buf_data(&pc->call.reply), pc->call.reply.len);
	else if (p->link != NULL)
		link_respond(p->link, pc->id, pc->call.code, pc->call.message, NULL, NULL);
	drop_call(pc);
	call_next(p);
	peer_release(p);
}

static bool
begin_call(struct peer *p, struct peer_call *pc)
{
	if (p->calling) {
		TAILQ_INSERT_TAIL(&p->calls, pc, waiting);
		return true;
	}
	if (!run_on_worker(p, pc))
		return false;
	p->calling = p->who.role == ROLE_NODE;
	return true;
}

static int
submit_call(struct peer *p, uint64_t id, const char *op, const void *body, size_t n)
{
	if (p->holds >= PEER_CALLS_MAX || p->call_bytes + n > PEER_BYTES_MAX ||
		p->broker->call_bytes + n > ALL_BYTES_MAX)
		return HW_EFULL;
	struct peer_call *pc = calloc(1, sizeof(*pc));
	if (pc == NULL)
		return HW_ENOMEM;
	*pc = (struct peer_call){.peer = p, .id = id, .bytes = n};
	int r = call_init(&pc->call, p->broker->env, CALL_MSGPACK, op, body, n);
	pc->call.who = p->who;
	pc->call.cert_expired = p->cert_expired;
	memcpy(pc->call.source, p->source, sizeof(pc->call.source));
	if (r == 0 && !begin_call(p, pc))
		r = HW_EFULL;
	if (r < 0) {
		call_fini(&pc->call);
		free(pc);
		return r;
	}
	count_bytes(pc, 1);
	peer_hold(p);
	return 0;
}

/* To the minute: a user that works does not keep the store busy with it. */
static void
note_used(struct peer *p)
{
	int64_t now = clock_wall(loop_clock(p->broker->loop));

	if (p->who.role != ROLE_USER || now - p->used < 60 * USEC_PER_SEC)
		return;
	p->used = now;
	seen_note_user(p->broker->seen, p->who.id, now);
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct peer *p = arg;
	int r = submit_call(p, id, op, body, n);

	note_used(p);
	(void)l;
	if (r < 0)
		respond_failure(p, id, r);
}

/* --- life ------------------------------------------------------------------------------------- */

bool
peer_is_welcome(const struct peer *p)
{
	struct registry *registry = p->broker->env->registry;
	struct reg_node node;

	if (p->who.role == ROLE_NODE)
		return registry_node(registry, p->who.id, &node) &&
			(strcmp(p->who.serial, node.serial) == 0 ||
				strcmp(p->who.serial, node.serial_before) == 0);
	return authority_welcomes(p->broker->env->authority, p->who.id, p->who.not_before, NULL) ==
		0;
}

static int64_t
note_link(struct peer *p, enum entry_kind kind, const char *reason)
{
	char text[512];
	struct msg_ledger_entry e = {.reason = text};

	fit_text(text, sizeof(text), reason);
	return broker_note(p->broker, kind, p, &e, NULL);
}

static void
note_seen(struct peer *p, const char *newest)
{
	if (p->who.role == ROLE_NODE)
		seen_note(p->broker->seen, p->who.id, newest,
			clock_wall(loop_clock(p->broker->loop)));
}

/* The serial of a node that dialled with its newest certificate while the one before was still
 * good, as it is until the node is known to have the newer one. */
static const char *
first_shown(const struct peer *p)
{
	struct reg_node node;

	if (p->who.role != ROLE_NODE ||
		!registry_node(p->broker->env->registry, p->who.id, &node) ||
		node.serial_before[0] == '\0' || strcmp(p->who.serial, node.serial) != 0)
		return NULL;
	return p->who.serial;
}

static void
log_link(const struct peer *p, const char *event, int code, const char *why, int64_t entry)
{
	log_info(p, event, "code=%s why=%s%s", code == HW_ECLOSED ? "" : hw_code_name(code),
		log_value(why), ledger_pair(entry));
}

static void
on_up(void *arg, struct link *l, const struct msg_hello *hello)
{
	struct peer *p = arg;

	if (!peer_is_welcome(p)) { /* it was removed since it was let in */
		peer_close(p, HW_EREVOKED, "the node or user was removed");
		return;
	}
	int64_t entry = note_link(p, ENTRY_LINK_UP, hello->software);
	log_info(p, "link.up", "source=%s software=%s version=%d%s", p->source,
		log_value(hello->software), link_version(l), ledger_pair(entry));
	note_seen(p, first_shown(p));
	p->up = true;
	broker_peer_up(p->broker, p);
	if (p->who.role != ROLE_NODE)
		return;
	pacer_init(&p->pacer, p->broker->loop, l);
	if (p->cert_expired)
		return;
	session_reconcile(p->broker, p, hello);
	if (p->broker->env->dispatcher != NULL)
		dispatcher_node_up(p->broker->env->dispatcher, p->who.id);
}

/* From here on nobody finds it. Returns the number of the entry, below 0 when there is none. */
static int64_t
detach(struct peer *p, const char *why)
{
	int64_t entry = -1;

	if (p->up) {
		entry = note_link(p, ENTRY_LINK_DOWN, why);
		note_seen(p, NULL);
	}
	pacer_fini(&p->pacer);
	broker_unlist_peer(p->broker, p);
	p->link = NULL;
	if (p->up && p->who.role == ROLE_NODE && !p->cert_expired &&
		p->broker->env->dispatcher != NULL)
		dispatcher_node_down(p->broker->env->dispatcher, p->who.id);
	return entry;
}

/* Those of channels that the link took along have left already. */
static void
lose_sessions(struct peer *p)
{
	struct session *s, *next;

	for (s = LIST_FIRST(&p->list); s != NULL; s = next) {
		next = session_after(s, p);
		session_lose(s, p);
	}
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	struct peer *p = arg;

	(void)l;
	lose_sessions(p);
	log_link(p, "link.down", code, why, detach(p, why));
	free_if_done(p);
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct peer *p = arg;

	(void)l;
	if (open->type == CHANNEL_TYPE_CONNECTION)
		forward_connect(p->broker, p, ch, open);
	else
		session_open(p->broker, p, ch, open);
}

static void
on_resume(void *arg, struct link *l, struct channel *ch, const struct msg_resume *resume)
{
	struct peer *p = arg;

	(void)l;
	if (resume->type == CHANNEL_TYPE_CONNECTION)
		forward_resume(p->broker, p, ch, resume);
	else
		session_resume(p->broker, p, ch, resume);
}

/* A session never ends another one at once: the next one stays the next one. */
static void
end_sessions(struct peer *p, int code, const char *why)
{
	struct session *s, *next;

	for (s = LIST_FIRST(&p->list); s != NULL; s = next) {
		next = session_after(s, p);
		session_end(s, code == HW_ECLOSED ? HW_EUNAVAILABLE : code, why);
	}
}

void
peer_replace(struct peer *p, const char *why)
{
	struct link *l = p->link;

	lose_sessions(p);
	log_link(p, "link.replaced", HW_ECLOSED, why, detach(p, why));
	link_close(l, HW_ECLOSED, why);
	free_if_done(p);
}

void
peer_close(struct peer *p, int code, const char *why)
{
	struct link *l = p->link;

	hw_assert(l != NULL);
	end_sessions(p, code, why);
	log_link(p, "link.closed", code, why, detach(p, why));
	link_close(l, code, why);
	free_if_done(p);
}

static void
on_probed(void *arg, int64_t usec)
{
	struct peer *p = arg;

	pacer_measured(&p->pacer, usec);
}

/* Nodes never open channels, so on their links an OPEN is a protocol error. */
static const struct link_events user_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_open = on_open,
	.on_resume = on_resume,
};
static const struct link_events node_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_probed = on_probed,
};

struct peer *
peer_new(struct broker *b, const struct cert_identity *who, bool cert_expired, const char *source,
	struct link_transport *transport)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	*p = (struct peer){.broker = b, .who = *who, .cert_expired = cert_expired};
	TAILQ_INIT(&p->calls);
	log_ctx_child(&p->log, &b->log, who->role == ROLE_NODE ? "node" : "user", who->id);
	snprintf(p->source, sizeof(p->source), "%s", source);
	struct link_config config = {
		.loop = b->loop,
		.log = &p->log,
		.events = who->role == ROLE_NODE ? &node_events : &user_events,
		.arg = p,
		.transport = transport,
		.hello = {.version_min = 1,
			  .version_max = PROTO_VERSION,
			  .role = ROLE_RELAY,
			  .id = b->config->name,
			  .software = "hawser-relay/" HAWSER_VERSION,
			  .frame_max = FRAME_MESSAGE_MAX,
			  .head = b->head[0] != '\0' ? b->head : NULL},
		.head = b->head_number,
		.peer_role = who->role,
		.peer_id = p->who.id,
		.opens = who->role == ROLE_NODE,
		.limits = &b->limits,
	};
	p->link = link_new(&config);
	if (p->link == NULL) {
		free(p);
		return NULL;
	}
	broker_list_peer(b, p);
	return p;
}
