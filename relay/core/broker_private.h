/* What the broker's files share. Loop thread, but for what `lock` guards. */
#ifndef HAWSER_CORE_BROKER_PRIVATE_H
#define HAWSER_CORE_BROKER_PRIVATE_H

#include <pthread.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "relay/core/broker.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/core/peer.h"
#include "relay/core/workers.h"

struct session;

struct broker {
	struct log_ctx log;
	struct loop *loop;
	const struct relay_config *config;
	const struct op_env *env;
	struct workers *workers;
	struct journal *journal;
	struct ledger *ledger;
	struct link_limits limits;
	struct loop_timer sweep;
	struct loop_task flush;	   /* writes the journal at the end of the turn */
	bool sync_soon;		   /* and something of this turn waits for the disk */
	bool frozen;		   /* the journal has failed */
	char frozen_why[160];
	bool stopping;

	/* Written by the loop alone and under the lock; workers read under it. */
	pthread_mutex_t lock;
	struct peer *nodes;	  /* by id */
	struct session *sessions; /* by id */
	int nodes_online, sessions_live;

	TAILQ_HEAD(, peer) peers; /* nodes and users */
	size_t links;
	uint64_t sessions_started, sessions_failed;
};

struct peer *broker_find_node(struct broker *b, const char *id);
void broker_list_peer(struct broker *b, struct peer *p);
void broker_unlist_peer(struct broker *b, struct peer *p);
void broker_list_session(struct broker *b, struct session *s);
void broker_unlist_session(struct broker *b, struct session *s);
/* The session has nothing to do with its node any more. */
void broker_leave_node(struct broker *b, struct session *s);

/* Something was appended to the journal: it is written at the end of this turn at the latest. */
void broker_flush_soon(struct broker *b);

/* An entry that nothing waits for. */
void broker_note(struct broker *b, enum entry_kind kind, const struct peer *p, const struct msg_ledger_entry *entry);

#endif
