/*
 * Who is connected and which sessions live: the lists, the sweep over them, and the questions that
 * services ask from their threads.
 */
#include "relay/core/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "relay/core/arn.h"
#include "relay/core/broker_loop.h"
#include "relay/core/broker_private.h"
#include "relay/core/dispatcher.h"
#include "relay/core/fit.h"
#include "relay/core/principals.h"
#include "relay/core/registry.h"
#include "relay/core/past.h"
#include "relay/core/presence.h"
#include "relay/core/seen.h"
#include "relay/core/session.h"
#include "relay/core/session_private.h"

#define SWEEP_EVERY USEC_PER_SEC
#define SWEEP_PART  40 /* links that are looked at in one turn, */
#define SWEEP_PARTS 50 /* unless a second has too few turns for that */
#define DECIDE_MAX  64 /* sessions that are decided anew in one turn: a millisecond or two */

/* --- peers ------------------------------------------------------------------------------------ */

static struct peer *
find_node(struct broker *b, const char *id)
{
	struct peer *p;

	HASH_FIND_STR(b->nodes, id, p);
	return p;
}

/* A node that may only renew its certificate is not online. */
static bool
is_online(const struct peer *p)
{
	return p != NULL && !p->cert_expired;
}

struct peer *
broker_online_node(struct broker *b, const char *id)
{
	struct peer *p = find_node(b, id);

	return is_online(p) ? p : NULL;
}

static struct peer *
newest(struct peer *list, const char *id)
{
	struct peer *p;

	HASH_FIND_STR(list, id, p);
	return p;
}

/* Puts it before the older links of the same peer. */
static void
list_link(struct peer **list, struct peer *p)
{
	struct peer *older = newest(*list, p->who.id);

	if (older != NULL)
		HASH_DEL(*list, older);
	p->older = older;
	HASH_ADD_STR(*list, who.id, p);
}

static void
unlist_link(struct peer **list, struct peer *p)
{
	struct peer *newer = newest(*list, p->who.id), *older = p->older;

	p->older = NULL;
	if (newer == p) {
		HASH_DEL(*list, p);
		if (older != NULL)
			HASH_ADD_STR(*list, who.id, older);
		return;
	}
	while (newer->older != p)
		newer = newer->older;
	newer->older = older;
}

static int
count_links(const struct peer *p)
{
	int n = 0;

	for (; p != NULL; p = p->older)
		n++;
	return n;
}

static struct peer *
find_user(struct broker *b, const char *name)
{
	return newest(b->users, name);
}

void
broker_list_peer(struct broker *b, struct peer *p)
{
	TAILQ_INSERT_TAIL(&b->peers, p, entry);
	b->n_peers++;
	list_link(p->who.role == ROLE_USER ? &b->users : &b->arriving, p);
}

/* A node dials again before its old link is known to be dead: the newer one counts, once it has
 * spoken. */
void
broker_peer_up(struct broker *b, struct peer *p)
{
	struct peer *old = p->who.role == ROLE_NODE ? find_node(b, p->who.id) : NULL;

	if (old != NULL)
		peer_replace(old, "the node dialled anew, and its old link was closed");
	if (p->who.role != ROLE_NODE)
		return;
	unlist_link(&b->arriving, p);
	pthread_mutex_lock(&b->lock);
	HASH_ADD_STR(b->nodes, who.id, p);
	b->nodes_online += is_online(p);
	pthread_mutex_unlock(&b->lock);
}

void
broker_unlist_peer(struct broker *b, struct peer *p)
{
	TAILQ_REMOVE(&b->peers, p, entry);
	b->n_peers--;
	if (p->who.role == ROLE_USER || !p->up) {
		unlist_link(p->who.role == ROLE_USER ? &b->users : &b->arriving, p);
		return;
	}
	pthread_mutex_lock(&b->lock);
	HASH_DEL(b->nodes, p);
	b->nodes_online -= is_online(p);
	pthread_mutex_unlock(&b->lock);
}

int
broker_user_links(struct broker *b, const char *name)
{
	return count_links(find_user(b, name));
}

int
broker_arriving_links(struct broker *b, const char *node)
{
	return count_links(newest(b->arriving, node));
}

int
broker_user_sessions(struct broker *b, const struct peer *user)
{
	struct session *s, *next;
	int n = 0;

	for (const struct peer *p = find_user(b, user->who.id); p != NULL; p = p->older)
		n += p->sessions;
	HASH_ITER(hh, b->sessions, s, next)
		n += s->user == NULL && strcmp(s->owner.name, user->who.id) == 0;
	return n;
}

/* --- sessions --------------------------------------------------------------------------------- */

void
broker_expect_session(struct broker *b, struct session *s)
{
	broker_join_user(b, s, s->user);
	pthread_mutex_lock(&b->lock);
	TAILQ_INSERT_TAIL(&b->redeeming, s, redeeming);
	pthread_mutex_unlock(&b->lock);
}

void
broker_list_session(struct broker *b, struct session *s, struct peer *node)
{
	if (node != NULL)
		broker_join_node(b, s, node);
	pthread_mutex_lock(&b->lock);
	TAILQ_REMOVE(&b->redeeming, s, redeeming);
	HASH_ADD_STR(b->sessions, id, s);
	b->sessions_live++;
	pthread_mutex_unlock(&b->lock);
	s->listed = true;
	b->sessions_started++;
}

void
broker_join_node(struct broker *b, struct session *s, struct peer *node)
{
	s->node = node;
	LIST_INSERT_HEAD(&node->list, s, of_node);
	pthread_mutex_lock(&b->lock);
	node->sessions++;
	pthread_mutex_unlock(&b->lock);
}

void
broker_join_user(struct broker *b, struct session *s, struct peer *user)
{
	s->user = user;
	LIST_INSERT_HEAD(&user->list, s, of_user);
	pthread_mutex_lock(&b->lock);
	user->sessions++;
	pthread_mutex_unlock(&b->lock);
}

void
broker_leave_user(struct broker *b, struct session *s)
{
	if (s->user == NULL)
		return;
	LIST_REMOVE(s, of_user);
	pthread_mutex_lock(&b->lock);
	s->user->sessions--;
	pthread_mutex_unlock(&b->lock);
	s->user = NULL;
}

void
broker_leave_node(struct broker *b, struct session *s)
{
	if (s->node == NULL)
		return;
	LIST_REMOVE(s, of_node);
	pthread_mutex_lock(&b->lock);
	s->node->sessions--;
	pthread_mutex_unlock(&b->lock);
	s->node = NULL;
}

void
broker_relist_session(struct broker *b, struct session *s)
{
	pthread_mutex_lock(&b->lock);
	HASH_ADD_STR(b->sessions, id, s);
	b->sessions_live++;
	pthread_mutex_unlock(&b->lock);
	s->listed = true;
}

void
broker_unlist_session(struct broker *b, struct session *s)
{
	broker_leave_node(b, s);
	broker_leave_user(b, s);
	presence_forget(b->presence, s);
	if (s->waits)
		TAILQ_REMOVE(&b->waiting, s, waiting);
	if (s->due)
		TAILQ_REMOVE(&b->due, s, deciding);
	s->waits = s->due = false;
	pthread_mutex_lock(&b->lock);
	if (s->listed)
		HASH_DEL(b->sessions, s);
	else
		TAILQ_REMOVE(&b->redeeming, s, redeeming);
	b->sessions_live -= s->listed;
	pthread_mutex_unlock(&b->lock);
}

void
broker_wait_session(struct broker *b, struct session *s)
{
	b->sync_soon = true;
	if (s->waits)
		return;
	s->waits = true;
	TAILQ_INSERT_TAIL(&b->waiting, s, waiting);
}

/* --- questions from other threads ------------------------------------------------------------- */

bool
broker_node_online(struct broker *b, const char *node_id, int64_t *last_seen)
{
	pthread_mutex_lock(&b->lock);
	bool online = broker_online_node(b, node_id) != NULL;
	pthread_mutex_unlock(&b->lock);
	if (last_seen != NULL)
		*last_seen = online ? clock_wall(loop_clock(b->loop)) : 0;
	return online;
}

int
broker_node_sessions(struct broker *b, const char *node_id)
{
	pthread_mutex_lock(&b->lock);
	struct peer *p = find_node(b, node_id);
	int n = p != NULL ? p->sessions : 0;
	pthread_mutex_unlock(&b->lock);
	return n;
}

int
broker_nodes_online(struct broker *b)
{
	pthread_mutex_lock(&b->lock);
	int n = b->nodes_online;
	pthread_mutex_unlock(&b->lock);
	return n;
}

int
broker_sessions(struct broker *b)
{
	pthread_mutex_lock(&b->lock);
	int n = b->sessions_live;
	pthread_mutex_unlock(&b->lock);
	return n;
}

struct end_job {
	struct broker *broker;
	char session[ID_SESSION_MAX + 1];
	int code;
	char why[256];
};

static void
on_end_job(void *arg)
{
	struct end_job *job = arg;
	struct session *s;

	TAILQ_FOREACH(s, &job->broker->redeeming, redeeming)
	if (strcmp(s->id, job->session) == 0)
		session_end(s, job->code, job->why);
	HASH_FIND_STR(job->broker->sessions, job->session, s);
	if (s != NULL)
		session_end(s, job->code, job->why);
	free(job);
}

/* A session between its ticket and the list may be anybody's that says it is this one: so it is
 * ended, but does not count. */
bool
broker_end_session(struct broker *b, const char *session_id, int code, const char *why)
{
	struct session *live, *s;

	pthread_mutex_lock(&b->lock);
	HASH_FIND_STR(b->sessions, session_id, live);
	TAILQ_FOREACH(s, &b->redeeming, redeeming)
	if (strcmp(s->id, session_id) == 0)
		break;
	pthread_mutex_unlock(&b->lock);
	struct end_job *job = live != NULL || s != NULL ? calloc(1, sizeof(*job)) : NULL;
	if (job == NULL)
		return false;
	*job = (struct end_job){.broker = b, .code = code};
	snprintf(job->session, sizeof(job->session), "%s", session_id);
	fit_text(job->why, sizeof(job->why), why);
	loop_post(b->loop, on_end_job, job);
	return live != NULL;
}

struct ticket_job {
	struct broker *broker;
	char session[ID_SESSION_MAX + 1];
	struct session_ticket ticket;
};

static void
on_ticket_job(void *arg)
{
	struct ticket_job *job = arg;
	struct session *s;

	HASH_FIND_STR(job->broker->sessions, job->session, s);
	if (s != NULL)
		session_give_ticket(s, &job->ticket);
	free(job);
}

/* Posted before the reply that tells it is. */
bool
broker_give_ticket(struct broker *b, const char *session_id, enum session_access access,
	const char *user, const char *hash, int64_t usec)
{
	struct session *live;

	pthread_mutex_lock(&b->lock);
	HASH_FIND_STR(b->sessions, session_id, live);
	pthread_mutex_unlock(&b->lock);
	struct ticket_job *job = live != NULL ? calloc(1, sizeof(*job)) : NULL;
	if (job == NULL)
		return false;
	*job = (struct ticket_job){
		.broker = b,
		.ticket = {.access = access, .expires = clock_mono(loop_clock(b->loop)) + usec}
	       };
	fit_text(job->session, sizeof(job->session), session_id);
	fit_text(job->ticket.principal, sizeof(job->ticket.principal), user);
	fit_text(job->ticket.hash, sizeof(job->ticket.hash), hash);
	loop_post(b->loop, on_ticket_job, job);
	return true;
}

/* --- the journal ------------------------------------------------------------------------------ */

bool
broker_before_write(struct broker *b)
{
	char why[JOURNAL_WHY_MAX];

	if (!journal_failed(b->journal) && journal_write(b->journal) < 0) {
		journal_why(b->journal, why);
		broker_freeze(b, why);
	}
	return !b->frozen;
}

static void
on_flush(void *arg)
{
	struct broker *b = arg;

	(void)broker_before_write(b);
	if (b->sync_soon && !journal_failed(b->journal))
		journal_sync(b->journal);
	b->sync_soon = false;
}

void
broker_flush_soon(struct broker *b)
{
	loop_defer(b->loop, &b->flush);
}

static int64_t
note(struct broker *b, enum entry_kind kind, const char *arn, const char *source,
	const struct msg_ledger_entry *entry, jpos *end)
{
	struct msg_ledger_entry e = *entry;

	e.principal = arn;
	e.source = source;
	int64_t r = ledger_append_numbered(b->ledger, kind, &e, end);
	if (r >= 0)
		broker_flush_soon(b);
	else
		log_error(b, "ledger.unwritten", "kind=%s code=%s", entry_kind_name(kind),
			hw_code_name((int)r));
	return r;
}

int64_t
broker_note(struct broker *b, enum entry_kind kind, const struct peer *p,
	const struct msg_ledger_entry *entry, jpos *end)
{
	char arn[ARN_MAX];

	if (p->who.role == ROLE_USER)
		return broker_note_user(b, kind, p->who.id, p->source, entry, end);
	arn_write_node(arn, b->config, p->who.id);
	return note(b, kind, arn, p->source, entry, end);
}

int64_t
broker_note_user(struct broker *b, enum entry_kind kind, const char *name, const char *source,
	const struct msg_ledger_entry *entry, jpos *end)
{
	char arn[ARN_MAX];

	arn_write_user(arn, b->config, name);
	return note(b, kind, arn, source, entry, end);
}

void
broker_synced(struct broker *b, uint64_t pos)
{
	struct session *s, *next;

	TAILQ_FOREACH_SAFE(s, &b->waiting, waiting, next)
	{
		if (b->frozen || !session_synced(s, pos))
			continue;
		TAILQ_REMOVE(&b->waiting, s, waiting);
		s->waits = false;
	}
}

void
broker_freeze(struct broker *b, const char *why)
{
	struct session *s, *next;

	fit_text(b->frozen_why, sizeof(b->frozen_why), why);
	if (b->frozen)
		return;
	b->frozen = true;
	log_error(b, "recording.failed", "sessions=%d why=%s", b->sessions_live,
		log_value(b->frozen_why));
	HASH_ITER(hh, b->sessions, s, next)
		session_freeze(s, b->frozen_why);
}

/* There is room again, or what waited was written. A journal that has failed stays so: what is on
 * the disk must be looked at by a start. Sessions that were told that they end do end. */
static void
thaw(struct broker *b)
{
	const struct msg_ledger_entry e = {.reason = "sessions can be recorded again"};
	struct session *s, *next;

	if (!b->frozen || journal_failed(b->journal))
		return;
	HASH_ITER(hh, b->sessions, s, next)
		if (session_is_frozen(s))
			return;
	if (journal_write(b->journal) < 0 || !journal_recover(b->journal))
		return;
	b->frozen = false;
	int64_t entry = ledger_append_numbered(b->ledger, ENTRY_ALARM, &e, NULL);
	log_info(b, "recording.resumed", "why=%s%s", log_value(b->frozen_why), ledger_pair(entry));
	broker_flush_soon(b);
}

bool
broker_frozen(const struct broker *b, const char **why)
{
	if (why != NULL)
		*why = b->frozen_why;
	return b->frozen;
}

/* --- the sweep, and changes of who may be here ------------------------------------------------ */

/* Links that came together are pinged together from then on, a thousand of them in one turn: who
 * types would wait for that. */
static size_t
sweep_parts(const struct broker *b)
{
	size_t parts = b->n_peers / SWEEP_PART;

	return parts < 1 ? 1 : parts > SWEEP_PARTS ? SWEEP_PARTS : parts;
}

static void
sweep_links(struct broker *b, size_t n)
{
	struct peer *p;

	for (; n > 0 && (p = TAILQ_FIRST(&b->peers)) != NULL; n--) {
		TAILQ_REMOVE(&b->peers, p, entry);
		TAILQ_INSERT_TAIL(&b->peers, p, entry);
		link_sweep_with(p->link, b->head, b->head_number);
	}
}

static void
sweep_sessions(struct broker *b)
{
	struct session *s, *next;
	int64_t now = clock_mono(loop_clock(b->loop));

	HASH_ITER(hh, b->sessions, s, next)
		session_sweep(s, now);
}

static void
on_sweep(void *arg)
{
	struct broker *b = arg;
	size_t parts = sweep_parts(b);

	sweep_links(b, (b->n_peers + parts - 1) / parts);
	if (++b->swept >= parts) {
		b->swept = 0;
		sweep_sessions(b);
		thaw(b);
	}
	loop_timer_start(b->loop, &b->sweep, SWEEP_EVERY / (int64_t)parts);
}

static void
recheck(struct peer *p, const char *what)
{
	const struct op_env *env = p->broker->env;
	struct hw_err err = HW_ERR_INIT;
	struct reg_node node;
	char why[160];

	if (peer_is_welcome(p))
		return;
	snprintf(why, sizeof(why), "%s was removed", what);
	if (p->who.role == ROLE_USER &&
		authority_welcomes(env->authority, p->who.id, p->who.not_before, &err) < 0)
		snprintf(why, sizeof(why), "%.150s", hw_err_text(&err));
	else if (p->who.role == ROLE_NODE && registry_node(env->registry, p->who.id, &node))
		snprintf(why, sizeof(why),
			"%s renewed its certificate elsewhere: this link is a copy's", what);
	peer_close(p, HW_EREVOKED, why);
}

static void
on_decide(void *arg)
{
	struct broker *b = arg;
	struct session *s;

	for (int i = 0; i < DECIDE_MAX && (s = TAILQ_FIRST(&b->due)) != NULL; i++) {
		TAILQ_REMOVE(&b->due, s, deciding);
		s->due = false;
		session_decide(s);
	}
	if (!TAILQ_EMPTY(&b->due))
		loop_timer_start(b->loop, &b->decide, 0);
}

void
broker_decide_soon(struct broker *b, struct session *s)
{
	if (s->due || b->stopping || s->state == SESSION_OVER)
		return;
	if (TAILQ_EMPTY(&b->due))
		loop_timer_start(b->loop, &b->decide, 0);
	s->due = true;
	TAILQ_INSERT_TAIL(&b->due, s, deciding);
}

void
broker_show_head(struct broker *b, const char *head)
{
	snprintf(b->head, sizeof(b->head), "%s", head);
	b->head_number++;
}

void
broker_tell_node(struct broker *b, const char *id, int type)
{
	const struct msg_control control = {.type = type};
	struct peer *p = broker_online_node(b, id);

	if (p != NULL)
		link_send_control(p->link, 0, &control);
}

void
broker_node_changed(struct broker *b, const char *id)
{
	struct peer *p = find_node(b, id);
	struct session *s, *next;
	struct reg_node node;
	bool removed = !registry_node(b->env->registry, id, &node);

	HASH_ITER(hh, b->sessions, s, next) {
		if (strcmp(s->row->node_id, id) != 0)
			continue;
		if (removed) /* some may wait for it */
			session_end(s, HW_EREVOKED, "the node was removed");
		else
			broker_decide_soon(b, s);
	}
	if (removed && b->env->dispatcher != NULL)
		dispatcher_node_removed(b->env->dispatcher, id);
	if (p != NULL)
		recheck(p, "the node");
}

void
broker_document_changed(struct broker *b, const char *name)
{
	struct session *s, *next;

	HASH_ITER(hh, b->sessions, s, next) {
		if (strcmp(s->row->document, name) == 0)
			broker_decide_soon(b, s);
	}
}

void
broker_principals_changed(struct broker *b)
{
	struct peer *p, *next_p;
	struct session *s, *next_s;

	TAILQ_FOREACH_SAFE(p, &b->peers, entry, next_p)
	if (p->who.role == ROLE_USER)
		recheck(p, "the user");
	HASH_ITER(hh, b->sessions, s, next_s)
		broker_decide_soon(b, s);
}

/* --- life ------------------------------------------------------------------------------------- */

struct broker *
broker_new(const struct broker_options *options)
{
	struct broker *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	*b = (struct broker){
		.loop = options->loop,
		.env = options->env,
		.config = options->env->config,
		.workers = options->workers,
		.journal = options->journal,
		.ledger = options->env->ledger,
		.limits = LINK_LIMITS_DEFAULT,
		.sweep = {.fn = on_sweep,  .arg = b},
		.flush = {.fn = on_flush,  .arg = b},
		.decide = {.fn = on_decide, .arg = b},
	};
	b->log = *options->log;
	TAILQ_INIT(&b->peers);
	TAILQ_INIT(&b->redeeming);
	TAILQ_INIT(&b->waiting);
	TAILQ_INIT(&b->due);
	pthread_mutex_init(&b->lock, NULL);
	b->seen = seen_new(b->loop, b->workers, b->env->store, &b->log);
	b->past = past_new();
	b->presence = presence_new(b->loop, b->workers, b->env->store, &b->log);
	if (b->seen == NULL || b->past == NULL || b->presence == NULL) {
		broker_free(b);
		return NULL;
	}
	loop_timer_start(b->loop, &b->sweep, SWEEP_EVERY);
	return b;
}

void
broker_stop(struct broker *b, const char *why)
{
	struct session *s, *next_s;
	struct peer *p, *next_p;

	b->stopping = true;
	seen_hurry(b->seen);
	loop_timer_stop(b->loop, &b->sweep);
	loop_timer_stop(b->loop, &b->decide);
	HASH_ITER(hh, b->sessions, s, next_s)
		session_abandon(s);
	TAILQ_FOREACH_SAFE(p, &b->peers, entry, next_p)
	peer_close(p, HW_EUNAVAILABLE, why);
}

void
broker_free(struct broker *b)
{
	if (b == NULL)
		return;
	loop_timer_stop(b->loop, &b->sweep);
	loop_timer_stop(b->loop, &b->decide);
	loop_undefer(b->loop, &b->flush);
	seen_free(b->seen);
	past_free(b->past);
	presence_free(b->presence);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

struct link *
broker_link(struct broker *b, const struct cert_identity *who, bool cert_expired,
	const char *source, struct link_transport *transport)
{
	struct peer *p = b->stopping ? NULL : peer_new(b, who, cert_expired, source, transport);

	return p != NULL ? p->link : NULL;
}

const struct link_limits *
broker_limits(const struct broker *b)
{
	return &b->limits;
}

size_t
broker_links(const struct broker *b)
{
	return (size_t)b->limits.links;
}

uint64_t
broker_sessions_started(const struct broker *b)
{
	return b->sessions_started;
}
