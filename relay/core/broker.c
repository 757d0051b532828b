/*
 * Who is connected and which sessions live: the lists, the sweep over them, and the questions that services ask from
 * their threads.
 */
#include "relay/core/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "relay/core/broker_loop.h"
#include "relay/core/broker_private.h"
#include "relay/core/registry.h"
#include "relay/core/session.h"
#include "relay/core/session_private.h"

#define SWEEP_EVERY USEC_PER_SEC

/* --- lists ------------------------------------------------------------------------------------------ */

struct peer *
broker_find_node(struct broker *b, const char *id)
{
	struct peer *p;

	HASH_FIND_STR(b->nodes, id, p);
	return p;
}

/* A node dials again before its old link is known to be dead: the newer one counts. */
void
broker_list_peer(struct broker *b, struct peer *p)
{
	struct peer *old = p->who.role == ROLE_NODE ? broker_find_node(b, p->who.id) : NULL;

	if (old != NULL)
		peer_close(old, HW_ECLOSED, "replaced by a newer link of the same node");
	p->listed = true;
	TAILQ_INSERT_TAIL(&b->peers, p, entry);
	b->links++;
	if (p->who.role != ROLE_NODE || p->cert_expired)
		return; /* a node that may only renew is not online */
	pthread_mutex_lock(&b->lock);
	HASH_ADD_STR(b->nodes, who.id, p);
	b->nodes_online++;
	pthread_mutex_unlock(&b->lock);
}

void
broker_unlist_peer(struct broker *b, struct peer *p)
{
	p->listed = false;
	TAILQ_REMOVE(&b->peers, p, entry);
	b->links--;
	if (p->who.role != ROLE_NODE || broker_find_node(b, p->who.id) != p)
		return;
	pthread_mutex_lock(&b->lock);
	HASH_DEL(b->nodes, p);
	b->nodes_online--;
	pthread_mutex_unlock(&b->lock);
}

void
broker_list_session(struct broker *b, struct session *s)
{
	pthread_mutex_lock(&b->lock);
	HASH_ADD_STR(b->sessions, id, s);
	b->sessions_live++;
	if (s->node != NULL)
		s->node->sessions++;
	pthread_mutex_unlock(&b->lock);
	b->sessions_started++;
}

void
broker_unlist_session(struct broker *b, struct session *s)
{
	pthread_mutex_lock(&b->lock);
	HASH_DEL(b->sessions, s);
	b->sessions_live--;
	pthread_mutex_unlock(&b->lock);
	broker_leave_node(b, s);
}

void
broker_leave_node(struct broker *b, struct session *s)
{
	if (s->node == NULL)
		return;
	pthread_mutex_lock(&b->lock);
	s->node->sessions--;
	pthread_mutex_unlock(&b->lock);
	s->node = NULL;
}

/* --- questions from other threads -------------------------------------------------------------------- */

bool
broker_node_online(struct broker *b, const char *node_id, int64_t *last_seen)
{
	pthread_mutex_lock(&b->lock);
	bool online = broker_find_node(b, node_id) != NULL;
	pthread_mutex_unlock(&b->lock);
	if (last_seen != NULL)
		*last_seen = online ? clock_wall(loop_clock(b->loop)) : 0;
	return online;
}

int
broker_node_sessions(struct broker *b, const char *node_id)
{
	pthread_mutex_lock(&b->lock);
	struct peer *p = broker_find_node(b, node_id);
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

	HASH_FIND_STR(job->broker->sessions, job->session, s);
	if (s != NULL)
		session_end(s, job->code, job->why);
	free(job);
}

bool
broker_end_session(struct broker *b, const char *session_id, int code, const char *why)
{
	struct session *s;

	pthread_mutex_lock(&b->lock);
	HASH_FIND_STR(b->sessions, session_id, s);
	pthread_mutex_unlock(&b->lock);
	struct end_job *job = s != NULL ? calloc(1, sizeof(*job)) : NULL;
	if (job == NULL)
		return false;
	*job = (struct end_job){.broker = b, .code = code};
	snprintf(job->session, sizeof(job->session), "%s", session_id);
	snprintf(job->why, sizeof(job->why), "%s", why);
	loop_post(b->loop, on_end_job, job);
	return true;
}

/* --- the journal -------------------------------------------------------------------------------------- */

bool
broker_before_write(struct broker *b)
{
	if (!b->frozen && journal_write(b->journal) < 0)
		broker_freeze(b, "the journal cannot be written");
	return !b->frozen;
}

static void
on_flush(void *arg)
{
	struct broker *b = arg;

	if (broker_before_write(b) && b->sync_soon)
		journal_sync(b->journal);
	b->sync_soon = false;
}

void
broker_flush_soon(struct broker *b)
{
	loop_defer(b->loop, &b->flush);
}

void
broker_note(struct broker *b, enum entry_kind kind, const struct peer *p, const struct msg_ledger_entry *entry)
{
	struct msg_ledger_entry e = *entry;
	char arn[256] = "";

	if (p != NULL) {
		snprintf(arn, sizeof(arn), p->who.role == ROLE_NODE ? "arn:aws:ssm:%s:%s:managed-instance/%s"
								     : "arn:aws:iam:%.0s:%s:user/%s",
			b->config->region, b->config->account, p->who.id);
		e.principal = arn;
		e.source = p->source;
	}
	if (ledger_append(b->ledger, kind, &e, NULL) == 0)
		broker_flush_soon(b);
}

void
broker_synced(struct broker *b, uint64_t pos)
{
	struct session *s, *next;

	HASH_ITER(hh, b->sessions, s, next)
	session_synced(s, pos);
}

void
broker_freeze(struct broker *b, const char *why)
{
	struct session *s, *next;

	if (b->frozen)
		return;
	b->frozen = true;
	snprintf(b->frozen_why, sizeof(b->frozen_why), "%s", why);
	log_error(b, "recording.failed", "why=%s sessions=%d", why, b->sessions_live);
	HASH_ITER(hh, b->sessions, s, next)
	session_freeze(s, why);
}

bool
broker_frozen(const struct broker *b, const char **why)
{
	if (why != NULL)
		*why = b->frozen_why;
	return b->frozen;
}

/* --- the sweep, and changes of who may be here ----------------------------------------------------------- */

static void
on_sweep(void *arg)
{
	struct broker *b = arg;
	struct peer *p, *next_p;
	struct session *s, *next_s;
	int64_t now = clock_mono(loop_clock(b->loop));

	TAILQ_FOREACH_SAFE(p, &b->peers, entry, next_p)
	link_sweep(p->link);
	HASH_ITER(hh, b->sessions, s, next_s)
	session_sweep(s, now);
	loop_timer_start(b->loop, &b->sweep, SWEEP_EVERY);
}

static bool
still_welcome(struct broker *b, const struct peer *p)
{
	struct reg_node node;
	struct reg_user user;

	if (p->who.role == ROLE_NODE)
		return registry_node(b->env->registry, p->who.id, &node) &&
		       (strcmp(p->who.serial, node.serial) == 0 ||
			       strcmp(p->who.serial, node.serial_before) == 0);
	return registry_user(b->env->registry, p->who.id, &user) && p->who.not_before >= user.valid_from;
}

void
broker_recheck(struct broker *b, enum store_kind kind, const char *id)
{
	int role = kind == STORE_NODE ? ROLE_NODE : ROLE_USER;
	const char *why = kind == STORE_NODE ? "the node was removed" : "the user was removed";
	struct peer *p, *next_p;
	struct session *s, *next_s;

	TAILQ_FOREACH_SAFE(p, &b->peers, entry, next_p)
	{
		if (p->who.role != role || strcmp(p->who.id, id) != 0 || still_welcome(b, p))
			continue;
		HASH_ITER(hh, b->sessions, s, next_s)
		if (session_node(s) == p || session_user(s) == p)
			session_end(s, HW_EREVOKED, why);
		peer_close(p, HW_EREVOKED, why);
	}
}

/* --- life -------------------------------------------------------------------------------------------------- */

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
		.sweep = {.fn = on_sweep, .arg = b},
		.flush = {.fn = on_flush, .arg = b},
	};
	b->log = *options->log;
	TAILQ_INIT(&b->peers);
	pthread_mutex_init(&b->lock, NULL);
	loop_timer_start(b->loop, &b->sweep, SWEEP_EVERY);
	return b;
}

void
broker_stop(struct broker *b, const char *why)
{
	struct session *s, *next_s;
	struct peer *p, *next_p;

	b->stopping = true;
	HASH_ITER(hh, b->sessions, s, next_s)
	session_end(s, HW_EUNAVAILABLE, why);
	TAILQ_FOREACH_SAFE(p, &b->peers, entry, next_p)
	peer_close(p, HW_ECLOSED, why);
	loop_timer_stop(b->loop, &b->sweep);
}

void
broker_free(struct broker *b)
{
	if (b == NULL)
		return;
	loop_timer_stop(b->loop, &b->sweep);
	loop_undefer(b->loop, &b->flush);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

struct link *
broker_link(struct broker *b, const struct cert_identity *who, bool cert_expired, const char *source,
	struct link_transport *transport)
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
	return b->links;
}

uint64_t
broker_sessions_started(const struct broker *b)
{
	return b->sessions_started;
}
