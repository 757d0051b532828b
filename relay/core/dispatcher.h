/*
 * Live commands: brings their fan-outs (relay/fanout) together with the store, the nodes' links and
 * the clock. A decision is made in memory, saved in batches by one worker at a time, and only then
 * has an effect: no node is given what is not in the store as sent, so that a relay which starts
 * again knows what may be under way.
 *
 * Any thread, but for what is said to be the loop's. Functions that save, or wait for who does, are
 * never called on the loop's thread.
 */
#ifndef HAWSER_CORE_DISPATCHER_H
#define HAWSER_CORE_DISPATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/id.h"
#include "proto/base/log.h"
#include "relay/fanout/fanout.h"

struct arena;
struct command_row;
struct dispatcher;
struct invocation;
struct ledger;
struct loop;
struct relay_config;
struct store;
struct workers;
struct msg_strs;

struct dispatcher_options {
	struct loop *loop;
	const struct log_ctx *log;
	struct workers *workers;
	struct store *store;
	struct ledger *ledger;
	const struct relay_config *config;
	/* Whether a node has a link; any thread. */
	bool (*is_online)(void *arg, const char *node);
	/* The node is to ask; on the loop. */
	void (*tell)(void *arg, const char *node);
	/* Why who sent something then may nothing any more: a constant, or NULL; any thread. */
	const char *(*refusal)(void *arg, const char *user, int64_t since);
	void *arg;
};

/* NULL without memory. */
struct dispatcher *dispatcher_new(const struct dispatcher_options *options);
/* Takes up what an earlier process left; before anything else is called. */
int dispatcher_restore(struct dispatcher *d, struct hw_err *err);
/* Loop: no timer runs any more. What is not saved is decided again after the next start. */
void dispatcher_stop(struct dispatcher *d);
void dispatcher_free(struct dispatcher *d); /* after workers_drain(); NULL is fine */

/* --- nodes; the loop's -------------------------------------------------------------------------
 */

void dispatcher_node_up(struct dispatcher *d, const char *node);
void dispatcher_node_down(struct dispatcher *d, const char *node);
/* It is no node any more: what it has not answered it never will. */
void dispatcher_node_removed(struct dispatcher *d, const char *node);
/* Users have changed: what those sent who are refused now is cancelled. */
void dispatcher_users_changed(struct dispatcher *d);

/* --- a new command -----------------------------------------------------------------------------
 */

struct dispatch_target {
	char node[ID_NODE_LEN + 1];
	bool denied;  /* its invocation has ended already: AccessDenied */
	bool unfit;   /* likewise, InvalidPlatform */
	bool delayed; /* was said to have no link */
};

struct dispatch;
/* Everything that it needs, before it is in the store: HW_EFULL when too many are live, HW_ENOMEM.
 * The targets are sorted by node, each once, at least one. */
int dispatch_new(struct dispatch **ret, struct dispatcher *d, const struct command_row *row,
	const struct dispatch_target *targets, size_t n, struct hw_err *err);
/* It is in the store, and begins; or it is not. Either is the end of `x`. */
void dispatch_begin(struct dispatch *x);
void dispatch_drop(struct dispatch *x);

/* --- people ------------------------------------------------------------------------------------
 */

/* How a live command stands; false when it is not live. */
struct dispatch_view {
	struct fanout_counts counts;
	struct fanout_words words;
};
bool dispatcher_view(struct dispatcher *d, const char *command, struct dispatch_view *ret);

/* Ends it on these nodes, all when there are none, and returns when that is in the store. What has
 * ended stays, and what is just beginning is waited for. HW_ENODE for a node that a live command
 * has no invocation on. */
int dispatcher_cancel(struct dispatcher *d, const char *command, const char *const *nodes, size_t n,
	struct hw_err *err);

/* --- nodes' questions and words ----------------------------------------------------------------
 */

/* What a node hears when it asks, and tells what it holds. Ids in the arena. */
struct dispatch_answer {
	const char **orders, **cancel, **forget;
	size_t n_orders, n_cancel, n_forget;
	bool more;
};
int dispatcher_ask(struct dispatcher *d, struct arena *arena, const char *node,
	const struct msg_strs *held, struct dispatch_answer *ret, struct hw_err *err);

/* An invocation that its node has a word on. Until dispatch_release() or dispatch_end() nobody else
 * has it, and nothing ends it. */
enum dispatch_found {
	DISPATCH_NONE,	 /* it is not live, or there is none */
	DISPATCH_UNSENT, /* it is live, and the node was never given it */
	DISPATCH_LIVE
};
struct dispatch_claim {
	struct invocation *invocation;
	int64_t output_max;
	bool checked;	  /* its output files were looked at by this process */
	bool cancelled;	  /* it is to be ended */
	bool uploads;	  /* what it wrote goes elsewhere, too */
	uint64_t steps;	  /* the caller's: a hash of what it has stored of its steps */
	int64_t bytes[2]; /* of stdout and stderr, of all its steps, as far as it was told */
};
/* With `well` what the node says is no failure: others may have their turn before it is stored. */
enum dispatch_found dispatcher_claim(struct dispatcher *d, const char *command, const char *node,
	bool well, struct dispatch_claim *ret);
/* The node has it, and so much was written (bytes of the claim). */
void dispatch_release(struct dispatcher *d, const struct dispatch_claim *c);
/* It has ended, and is in the store as such. */
void dispatch_end(struct dispatcher *d, const struct dispatch_claim *c, enum fanout_state end);

/* A node wants a document for a step of the command: whether it runs that, and has not asked too
 * often. HW_EINVOCATION, HW_ELIMIT. */
int dispatcher_document(struct dispatcher *d, const char *command, const char *node,
	struct hw_err *err);

/* --- metrics -----------------------------------------------------------------------------------
 */

struct dispatcher_stats {
	size_t commands, invocations; /* live */
	uint64_t begun, ended;	      /* commands */
};
void dispatcher_stats(struct dispatcher *d, struct dispatcher_stats *ret);

#endif
