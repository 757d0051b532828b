/* The broker's side for the relay that owns it. Loop thread only. */
#ifndef HAWSER_CORE_BROKER_LOOP_H
#define HAWSER_CORE_BROKER_LOOP_H

#include <stdbool.h>

#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/store/store.h"

struct journal;
struct link;
struct link_limits;
struct link_transport;
struct loop;
struct workers;

struct broker_options {
	struct loop *loop;
	const struct log_ctx *log;
	const struct op_env *env; /* its `broker` is set by the caller afterwards */
	struct workers *workers;
	struct journal *journal;
};

struct broker *broker_new(const struct broker_options *options);

/* Ends every link in order, and lets go of the sessions, which go on when the relay is started
 * again. What workers still run for them must be finished before broker_free(). */
void broker_stop(struct broker *b, const char *why);
void broker_free(struct broker *b);

struct link *broker_link(struct broker *b, const struct cert_identity *who, bool cert_expired,
	const char *source, struct link_transport *transport);
int broker_user_links(struct broker *b, const char *name);
/* A node's that have not spoken yet. One that has is closed by the next that does. */
int broker_arriving_links(struct broker *b, const char *node);

/* A word to a node on its link's own channel, of this CONTROL_* type; nothing when it has no link.
 */
void broker_tell_node(struct broker *b, const char *id, int type);

/* The newest signed head of the ledger, as text: new links are shown it in HELLO, others with a
 * ping.
 */
void broker_show_head(struct broker *b, const char *head);

/* A node was changed: its link is closed when it may have none any more, and the sessions on it are
 * decided anew. */
void broker_node_changed(struct broker *b, const char *id);
void broker_document_changed(struct broker *b, const char *name);
/* Users, groups or policies were changed: links of users who may have none any more are closed, and
 * all sessions are decided anew, a few in each turn of the loop. */
void broker_principals_changed(struct broker *b);

/* See relay_before_write(). */
bool broker_before_write(struct broker *b);

/* Everything below pos is on disk: input that waited for it goes on. */
void broker_synced(struct broker *b, uint64_t pos);

/* The journal has failed: nothing unrecorded leaves, sessions are frozen, and end after the grace
 * time. The first call counts; a later one may know better why. No session ends before it returns.
 */
void broker_freeze(struct broker *b, const char *why);
bool broker_frozen(const struct broker *b, const char **why);

const struct link_limits *broker_limits(const struct broker *b);
size_t broker_links(const struct broker *b); /* those that have not said HELLO too */
uint64_t broker_sessions_started(const struct broker *b);

#endif
