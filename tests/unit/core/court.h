/*
 * Dispatch with a real store, journal, registry and snapshot of principals around it, and handlers
 * that only note that they were reached: where decisions are tried without their effects.
 *
 * There are the users ann, bob and ann-x; the nodes COURT_IN (tags Team=blue, Owner=ann) and
 * COURT_OUT (Team=red, Owner=bob); and sessions of each user on them. Ann's tag Team is blue.
 */
#ifndef HAWSER_TESTS_COURT_H
#define HAWSER_TESTS_COURT_H

#include "relay/core/call.h"
#include "relay/store/policies.h"
#include "relay/store/store.h"

#define COURT_IN      "mi-00000000000000001"
#define COURT_OUT     "mi-00000000000000002"
#define COURT_NO_NODE "mi-00000000000000003"
#define COURT_HEX     "-0123456789abcdef0"

struct court;

struct court *court_new(void);
void court_free(struct court *c);

/* What is attached to ann from now on: the only policy that she has, a built-in one; NULL: none. */
void court_role(struct court *c, const char *policy);
/* Puts a policy and attaches it to ann, beside what she has. */
void court_policy(struct court *c, const char *name, const char *document);
/* A change of principals, in one write; the snapshot follows. */
void court_write(struct court *c, store_fn *fn, void *arg);
void court_tag_node(struct court *c, const char *node, const char *key, const char *value);

/* Ann asks, from this address; the answer's code. */
int court_ask(struct court *c, enum op_id op, const void *request);
int court_ask_from(struct court *c, const char *user, const char *source, enum op_id op,
	const void *request);

const char *court_message(const struct court *c); /* of the last answer */
int court_reached(const struct court *c);	  /* how often a handler was, in all */
/* What the last list showed: ids of nodes, sessions, users..., each after a blank. */
const char *court_shown(const struct court *c);

/* Entries since the last call of this; *last is the newest of them (NULL: not wanted), good until
 * the next. */
size_t court_entries(struct court *c, const struct msg_ledger_entry **last);

struct op_env *court_env(struct court *c);

#endif
