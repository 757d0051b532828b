/*
 * One node's part of a command: an order on the node's disk, the steps of its document one after
 * the other, and what came of them until the relay has taken it.
 *
 * Loop thread only. Nothing here calls on_change from inside of a function, but for the end of one
 * that never ran.
 */
#ifndef HAWSER_NODE_INVOCATION_H
#define HAWSER_NODE_INVOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "node/commands/flow.h"
#include "node/commands/spool.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/schema/schema.h"

struct arena;
struct invocation;
struct orders;
struct orders_entry;
struct plugin_wish;
struct loop;
struct programs;

/* What all invocations of a node share; outlives them. */
struct invocation_host {
	struct loop *loop;
	struct log_ctx log;
	struct orders *journal;
	struct programs *programs;
	const char *node_id, *boot_id;		      /* boot_id may be NULL */
	const char *platform_name, *platform_version; /* or NULL */
	const char *reboot;			      /* a script that restarts the machine */
	uint64_t output_max;			      /* bytes kept of an invocation's output */
	uint64_t *spool_left;			      /* and of all of them together */
	struct spool_reader *reader;
	const char *fetch;   /* the program that downloads; NULL: there is none */
	const char *upgrade; /* how the one that upgrades is called; NULL: there is none */
	const char *work;    /* where each that downloads has its own directory */
	const char *download_ca, *download_proxy, *download_s3_host; /* or NULL */
	int64_t download_max;
	int64_t (*now)(void *arg); /* wall time to judge deadlines by */
	/* Its state, a step or its output has changed. */
	void (*on_change)(void *arg, struct invocation *i);
	/* It waits for a document of the relay: invocation_wish() has the name. */
	void (*on_wish)(void *arg, struct invocation *i);
	void *arg;
};

enum invocation_state { INVOCATION_HELD, INVOCATION_RUNNING, INVOCATION_ENDED };

struct invocation_step {
	const char *name, *action;
	enum flow_status status;
	int code;
	int64_t started, ended; /* wall; 0: not yet */
	struct spool spool[SPOOL_STREAMS];
	uint64_t dropped[SPOOL_STREAMS];
	/* What of it the relay has, and what it was sent. */
	uint64_t acked[SPOOL_STREAMS], sent[SPOOL_STREAMS];
};

/* The order is in the journal. With `entry` it is one that an earlier agent had. NULL without
 * memory. */
struct invocation *invocation_new(const struct invocation_host *host,
	const struct msg_invocation_order *order, const struct orders_entry *entry);
/* Nothing of it runs; its files stay. */
void invocation_free(struct invocation *i);

const char *invocation_id(const struct invocation *i);
enum invocation_state invocation_state(const struct invocation *i);
int64_t invocation_deliver_before(const struct invocation *i);

/* Begins one that is HELD, or goes on with one that was under way. That it is started is in the
 * journal already when `written` says so. One that can't be is ENDED. */
void invocation_start(struct invocation *i, bool written);
/* Whether an earlier agent began it. */
bool invocation_was_started(const struct invocation *i);

/* Ends it: at once when it has not begun; otherwise what runs is killed, and nothing more is
 * started. One that has ended stays as it is. */
void invocation_cancel(struct invocation *i);
/* The agent ends for good: what runs is ended, and has failed. */
void invocation_stop(struct invocation *i);
/* What runs is left to the next agent. */
void invocation_leave(struct invocation *i);

/* --- documents of the relay -------------------------------------------------------------------
 */

/* What it waits for; NULL: nothing. */
const struct plugin_wish *invocation_wish(const struct invocation *i);
/* The answer: HW_EVALIDATION and the like say why there is none. Kept by nobody. */
void invocation_take_document(struct invocation *i,
	const struct msg_get_invocation_document_reply *reply);
void invocation_take_no_document(struct invocation *i, const char *why);

/* Makes its end outlive a power cut, if it does not yet. */
void invocation_sync(struct invocation *i);

/* --- what is reported ------------------------------------------------------------------------- */

size_t invocation_step_count(const struct invocation *i);
struct invocation_step *invocation_step_at(struct invocation *i, size_t n);

/* How it stands: without output, and without steps unless asked for. In the arena; false without
 * memory. */
bool invocation_say(struct msg_update_invocation_request *ret, struct arena *a,
	const struct invocation *i, bool steps);

/* What there is of a stream so far. */
uint64_t invocation_kept(const struct invocation *i, size_t step, int stream);
size_t invocation_read(const struct invocation *i, size_t step, int stream, uint64_t offset,
	void *p, size_t n);
/* What lies from `offset` on cannot be read any more: it counts as dropped. */
void invocation_lose(struct invocation *i, size_t step, int stream, uint64_t offset);

#endif
