/*
 * The fan-out of one command over its targets: who may begin, when to stop, how it ended. Pure: an
 * event changes the state and says which targets it changed; there is no clock, no store and no
 * link in it. An event costs O(log n), the few that concern all targets O(n), once.
 *
 * Targets are numbered from 0, in the order in which they have their turns. One whose node has no
 * link is passed over, and takes its place when the node is back. Never more than `concurrency` are
 * under way; it begins with one, and each time that all of a step have answered, twice as many
 * follow. When more than `errors` have failed nothing more begins, and what is under way ends by
 * itself.
 */
#ifndef HAWSER_FANOUT_FANOUT_H
#define HAWSER_FANOUT_FANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

#define FANOUT_TARGETS_MAX 100000

enum fanout_state {
	FANOUT_WAITING,
	FANOUT_RELEASED, /* it is its turn: the node may have it */
	FANOUT_SENT,	 /* the node was given it, and has not said that it has it */
	FANOUT_RUNNING,
	FANOUT_CANCELLING, /* of those that were sent: the node is told to end it */
	/* From here on it has ended, and nothing changes it any more. */
	FANOUT_SUCCESS,
	FANOUT_FAILED,
	FANOUT_TIMED_OUT,     /* while it ran */
	FANOUT_NOT_DELIVERED, /* in time, or nothing was heard of it in time */
	FANOUT_UNDELIVERABLE,
	FANOUT_INVALID_PLATFORM,
	FANOUT_ACCESS_DENIED,
	FANOUT_CANCELLED,
	FANOUT_TERMINATED, /* it never began, because too many others failed */
	FANOUT_STATES
};

static inline bool
fanout_is_end(enum fanout_state s)
{
	return s >= FANOUT_SUCCESS;
}

/* SSM's words for it: a status (INVOCATION_STATUS_*) and its details. */
struct fanout_words {
	int status;
	const char *details;
};

/* MaxConcurrency and MaxErrors: a count, or a share of the targets rounded down; of concurrency at
 * least 1. HW_EVALIDATION with the field. */
int fanout_concurrency(uint32_t *ret, const char *text, uint32_t targets, struct hw_err *err);
int fanout_errors(uint32_t *ret, const char *text, uint32_t targets, struct hw_err *err);

struct fanout;

/* Called for each target whose state or words an event has changed, once or more often, from inside
 * that event. It may ask, and must not bring about another event. */
typedef void fanout_changed_fn(void *arg, uint32_t target);

/* At least one target, and a concurrency of at least 1. NULL without memory. */
struct fanout *fanout_new(uint32_t targets, uint32_t concurrency, uint32_t errors,
	fanout_changed_fn *changed, void *arg);
void fanout_free(struct fanout *f); /* NULL is fine */

/* Before fanout_start(): where a target stands (WAITING unless it is said), whether it was delayed
 * before, and whether its node has a link. One that was RELEASED is put as SENT: nobody knows any
 * more whether the node was given it. */
void fanout_put(struct fanout *f, uint32_t i, enum fanout_state state, bool delayed, bool online);
/* Before it too: the node has said that it has it; and all of it was to be cancelled. */
void fanout_put_acknowledged(struct fanout *f, uint32_t i);
void fanout_put_cancelled(struct fanout *f);
void fanout_start(struct fanout *f);

/* --- events; what does not fit the target's state changes nothing ------------------------------
 */

/* Its node has a link, or has none any more. One that has its turn, but was not given to the node,
 * lets others have it. */
void fanout_node(struct fanout *f, uint32_t i, bool online);
/* The node was given it. False when it is not RELEASED. */
bool fanout_sent(struct fanout *f, uint32_t i);
/* The node has it. */
void fanout_acknowledged(struct fanout *f, uint32_t i);
/* The node does not answer: the others' step does not wait for it, though its place is taken. */
void fanout_slow(struct fanout *f, uint32_t i);
/* The node never got it, and will not: it was not delivered, or is cancelled if that was wanted. */
void fanout_unreceived(struct fanout *f, uint32_t i);
/* The node's word, or its node's removal: how it ended. False when it has ended already. */
bool fanout_ended(struct fanout *f, uint32_t i, enum fanout_state end);
/* By a person. */
void fanout_cancel(struct fanout *f, uint32_t i);
void fanout_cancel_all(struct fanout *f);
/* Nothing may begin any more: what was not given to a node is not delivered. */
void fanout_delivery_over(struct fanout *f);
/* This one is not waited for any more, and nothing begins. */
void fanout_expire(struct fanout *f, uint32_t i);

/* --- questions -------------------------------------------------------------------------------- */

enum fanout_state fanout_state(const struct fanout *f, uint32_t i);
/* As it was said last. */
bool fanout_has_link(const struct fanout *f, uint32_t i);
bool fanout_was_delayed(const struct fanout *f, uint32_t i);
/* Whether the node has said that it has it, now or before. */
bool fanout_was_acknowledged(const struct fanout *f, uint32_t i);
struct fanout_words fanout_target_words(const struct fanout *f, uint32_t i);
struct fanout_words fanout_state_words(enum fanout_state s);
/* The end that a node's words mean: those that the table does not have are its status's plain one.
 * FANOUT_STATES when it is no end, or none that a node may report. */
enum fanout_state fanout_end_of(int status, const char *details);

struct fanout_counts {
	uint32_t targets, ended, errors, not_delivered, under_way;
	uint32_t of[FANOUT_STATES];
};
void fanout_count(struct fanout_counts *ret, const struct fanout *f);
bool fanout_is_over(const struct fanout *f); /* all targets have ended */
bool fanout_is_cancelled(const struct fanout *f);
struct fanout_words fanout_words(const struct fanout *f); /* of the command */

#endif
