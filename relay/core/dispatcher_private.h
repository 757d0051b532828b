/* What the dispatcher's files share. `lock` guards all of it but what is the loop's. */
#ifndef HAWSER_CORE_DISPATCHER_PRIVATE_H
#define HAWSER_CORE_DISPATCHER_PRIVATE_H

#include <pthread.h>
#include <sys/queue.h>

#include <uthash.h>

#include "proto/base/loop.h"
#include "relay/core/dispatcher.h"
#include "relay/store/commands.h"

/* How long a node may take to come back, or to ask. */
#define DISPATCHER_PATIENCE (30 * USEC_PER_SEC)

/* A node with live invocations. */
struct dispatch_node {
	char id[ID_NODE_LEN + 1];
	bool told; /* to ask, and has not yet */
	int64_t told_at;
	bool to_tell;			      /* is in the queue */
	bool removed;			      /* is no node any more */
	TAILQ_HEAD(, invocation) invocations; /* the oldest command's first */
	TAILQ_ENTRY(dispatch_node) tell;
	UT_hash_handle hh;
};

struct invocation {
	struct dispatch *of;
	struct dispatch_node *node; /* NULL once it has ended */
	TAILQ_ENTRY(invocation) of_node;
	TAILQ_ENTRY(invocation) turn;  /* released or sent, and not answered */
	TAILQ_ENTRY(invocation) dirty; /* to be saved */
	int64_t since;		       /* monotonic, of its turn */
	int64_t bytes[2];
	uint64_t steps; /* a claim's */
	uint64_t held;	/* the last question in which its node said that it holds it */
	bool in_released, in_sent, is_dirty;
	bool sent_saved; /* as released, in the store */
	bool claimed, checked;
	bool heard; /* while a worker has it: its node's first word, which is not in the store */
	uint16_t documents; /* that its node has asked for */
};
TAILQ_HEAD(invocations, invocation);

/* A live command. */
struct dispatch {
	struct dispatcher *dispatcher;
	struct command_row row;
	struct fanout *fanout;
	char (*ids)[ID_NODE_LEN + 1]; /* of the targets */
	struct fanout_words saved;    /* of the command, in the store */
	size_t dirty, claimed;	      /* of its invocations */
	bool listed, is_changed, delivery_over;
	int64_t deliver_until, expires; /* monotonic: a clock that is set moves neither */
	const char *refusal;		/* of its sender, for which it was cancelled; else NULL */
	bool refusal_told;		/* and the ledger and the store have that */
	TAILQ_ENTRY(dispatch) changed;
	UT_hash_handle hh; /* by row.id */
	struct invocation v[];
};

struct dispatcher {
	struct log_ctx log;
	struct loop *loop;
	struct workers *workers;
	struct store *store;
	struct ledger *ledger;
	const struct relay_config *config;
	bool (*is_online)(void *arg, const char *node);
	void (*tell)(void *arg, const char *node);
	const char *(*refusal)(void *arg, const char *user, int64_t since);
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t unclaimed, begun;
	struct dispatch *commands;
	struct dispatch *beginning; /* on their way into the store */
	struct dispatch_node *nodes;
	TAILQ_HEAD(, dispatch_node) tell_queue;
	struct invocations released, sent, dirty;
	TAILQ_HEAD(, dispatch) changed; /* their words, or all of them have ended */
	int reserved;			/* commands that are on their way into the store */
	size_t invocations;
	uint64_t n_begun, ended, questions;
	bool kicked, stopped, ticking;
	bool urgent;	 /* what is to be saved is waited for */
	bool removed;	 /* nodes were */
	bool refused;	 /* senders were, and not all of that is told */
	int64_t look_at; /* monotonic: when nodes that have not come back after a start are away; 0:
			    done */
	int64_t tell_at; /* monotonic: when all that are to ask are told again */

	pthread_mutex_t saving; /* held by who saves; taken before `lock` */

	/* The loop's. */
	struct loop_timer tick;
	bool busy;
	bool failed; /* the last save; a worker's while it is busy */
};

/* dispatcher.c */
void dispatcher_lock(struct dispatcher *d);
/* Lets go, and has the loop look after what has come up. */
void dispatcher_unlock(struct dispatcher *d);
struct invocation *dispatch_find(struct dispatcher *d, const char *command, const char *node);
uint32_t dispatch_index(const struct invocation *v);
/* It is to be saved: now, or with the next tick. */
void dispatch_mark(struct invocation *v, bool urgent);
void dispatch_queue_tell(struct dispatcher *d, struct dispatch_node *n);
/* A command with places for all its targets, which are in no list yet; NULL without memory. */
struct dispatch *dispatch_make(struct dispatcher *d, const struct command_row *row);
void dispatch_free(struct dispatch *x);
/* Target i is its node's. HW_ENOMEM. Undone for all of them by dispatch_unlist(). */
int dispatch_list_target(struct dispatch *x, uint32_t i);
void dispatch_unlist(struct dispatch *x);
/* In which of the two lists of those that are waited for it is, by its state. */
void dispatch_list_turn(struct invocation *v, enum fanout_state s);
/* It is live from now on; one whose sender is refused is cancelled. */
void dispatch_start(struct dispatch *x);
/* It is over and saved. */
void dispatch_forget(struct dispatch *x);

/* dispatcher_save.c */
int dispatcher_save(struct dispatcher *d, struct hw_err *err);
bool dispatcher_has_unsaved(const struct dispatcher *d);

/* dispatcher_tick.c */
void dispatcher_sweep(struct dispatcher *d, int64_t mono);

#endif
