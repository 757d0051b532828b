/* What the broker's files share. Loop thread, but for what `lock` guards. */
#ifndef HAWSER_CORE_BROKER_PRIVATE_H
#define HAWSER_CORE_BROKER_PRIVATE_H

#include <pthread.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "proto/trust/log_head.h"
#include "relay/core/broker.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/core/peer.h"
#include "relay/core/workers.h"

struct past;
struct presence;
struct seen;
struct session;

struct broker {
	struct log_ctx log;
	struct loop *loop;
	const struct relay_config *config;
	const struct op_env *env;
	struct workers *workers;
	struct journal *journal;
	struct ledger *ledger;
	struct seen *seen;
	struct past *past;
	struct presence *presence;
	struct link_limits limits;
	struct loop_timer sweep;
	struct loop_task flush; /* writes the journal at the end of the turn */
	bool sync_soon;		/* and something of this turn waits for the disk */
	bool frozen;		/* the journal has failed, or its disk is full */
	char frozen_why[160];
	bool stopping;

	/* Written by the loop alone and under the lock; workers read under it. */
	pthread_mutex_t lock;
	struct peer *nodes;		 /* that are up, by id */
	struct session *sessions;	 /* by id */
	TAILQ_HEAD(, session) redeeming; /* not among them yet: their ids are not proven */
	int nodes_online, sessions_live;

	TAILQ_HEAD(, peer)
	peers;		       /* nodes and users that have a link; who was looked at last, last */
	size_t n_peers, swept; /* how many; parts of the sweep that are done */
	struct peer *users;    /* the newest link of each, by id */
	struct peer *arriving; /* likewise, of nodes whose HELLO has not come */
	TAILQ_HEAD(, session) waiting; /* for the disk */
	TAILQ_HEAD(, session) due;     /* to be decided anew */
	struct loop_timer decide;
	uint64_t sessions_started;
	size_t forward_held;	 /* bytes of connections that no link has taken yet */
	size_t call_bytes;	 /* of all peers' requests that workers have */
	char head[LOG_HEAD_MAX]; /* of the ledger, which links are shown; "": none yet */
	uint64_t head_number;	 /* goes up with each */
};

/* --- peers ------------------------------------------------------------------------------------ */

void broker_list_peer(struct broker *b, struct peer *p);
void broker_peer_up(struct broker *b, struct peer *p);
void broker_unlist_peer(struct broker *b, struct peer *p);
/* The node that sessions can be opened on; NULL when it has no link, or one for RenewCertificate
 * alone. */
struct peer *broker_online_node(struct broker *b, const char *id);
/* The user's sessions, those among them that wait for a link. */
int broker_user_sessions(struct broker *b, const struct peer *user);

/* --- sessions --------------------------------------------------------------------------------- */

/* Its ticket is with a worker. */
void broker_expect_session(struct broker *b, struct session *s);
/* It is what it said it was: it can be found, also on its node (which may be NULL). */
void broker_list_session(struct broker *b, struct session *s, struct peer *node);
/* It is of this node, or its user's link, from now on; and it is not any more. */
void broker_join_node(struct broker *b, struct session *s, struct peer *node);
void broker_leave_node(struct broker *b, struct session *s);
void broker_join_user(struct broker *b, struct session *s, struct peer *user);
void broker_leave_user(struct broker *b, struct session *s);
void broker_unlist_session(struct broker *b, struct session *s);
/* It was left by an earlier process: it can be found, and neither side is there. */
void broker_relist_session(struct broker *b, struct session *s);
/* Whether it may be is decided anew, soon: session_decide(). */
void broker_decide_soon(struct broker *b, struct session *s);
/* Input of it waits for the disk: session_synced() is called. */
void broker_wait_session(struct broker *b, struct session *s);

/* --- the journal and the ledger --------------------------------------------------------------- */

/* Something was appended to the journal: it is written at the end of this turn at the latest. */
void broker_flush_soon(struct broker *b);

/* An entry that nothing waits for; principal and source are the peer's. `end` may be NULL. Its
 * number, or a negative code. */
int64_t broker_note(struct broker *b, enum entry_kind kind, const struct peer *p,
	const struct msg_ledger_entry *entry, jpos *end);
/* The same of a user at an address, whose link may be gone. */
int64_t broker_note_user(struct broker *b, enum entry_kind kind, const char *name,
	const char *source, const struct msg_ledger_entry *entry, jpos *end);

#endif
