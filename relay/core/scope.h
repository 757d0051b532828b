/*
 * What a request is about, for the decision on it: the things that it touches, each with its name
 * and tags, and the condition keys that it brings. The same shape serves an operation, the opening
 * of a session and the session while it lives.
 */
#ifndef HAWSER_CORE_SCOPE_H
#define HAWSER_CORE_SCOPE_H

#include "proto/base/arena.h"
#include "proto/schema/schema.h"
#include "relay/policy/policy.h"

struct destination;
struct op_env;
struct registry;
struct tagset;

#define SCOPE_KEYS 13

/* One thing that a request touches. Texts belong to whoever filled it in. */
struct scope_target {
	const char *action;   /* NULL: the operation's own */
	const char *resource; /* ARN, or "*" */
	const char *alias;    /* another ARN of it; NULL: none */
	const struct policy_tags *tags;
	const char *owner;   /* hawser:SessionOwner, of a session; NULL: none */
	bool as_user;	     /* whom and where a session names matters here */
	struct tagset *held; /* that the tags are in; NULL: they are somebody else's */
};

/* What a request is about. */
struct scope {
	struct arena *arena;
	struct scope_target *targets;
	size_t n, room;
	struct policy_key keys[SCOPE_KEYS]; /* of the request as a whole */
	size_t n_keys;
	struct policy_tags request_tags;
	struct tagset *held;   /* that these are in */
	const char *named_key; /* a policy must name this key's value; NULL: it need not */
	bool literal;	       /* and as it is, without wildcards */
};

void scope_init(struct scope *s, struct arena *arena);
void scope_fini(struct scope *s);

/* A target to be filled in, good until the next one. NULL without memory, or without a name (the
 * name's own want of memory). */
struct scope_target *scope_add(struct scope *s, const char *resource);
/* A key with one value. */
void scope_key(struct scope *s, const char *key, const char *const *value);
/* Tags that the request brings: aws:RequestTag/K, aws:TagKeys. HW_ENOMEM. */
int scope_request_tags(struct scope *s, const struct msg_tag *tags, size_t n);
/* aws:TagKeys alone. */
void scope_tag_keys(struct scope *s, const char *const *keys, size_t n);
/* The target's tags are the node's; a node that there is not has none. */
void scope_node_tags(struct scope_target *t, struct registry *r, const char *node);

/* --- sessions: the same for StartSession, for OPEN, and while one lives -------------------------
 */

#define RUN_AS_DEFAULT "hawser" /* the user that a session runs as when nobody is named */

struct session_scope {
	const char *node, *document;  /* document: NULL when none was named */
	const char *run_as;	      /* "" or NULL: the default */
	const struct destination *to; /* of a forward; NULL or empty: there is none, or not yet */
	const char *values[4];	      /* of keys; filled in by scope_session() */
	char port[8];
};
/* A destination that is the node itself needs the document for that too. HW_ENOMEM. `what` lives as
 * long as the scope. */
int scope_session(struct scope *s, struct session_scope *what, const struct op_env *env);

/* Another terminal of a live one: as an operation on the session has it. Who types there is the
 * user that it runs as, and must be allowed to become it. */
struct terminal_scope {
	const char *session, *owner, *node;
	const char *run_as; /* NULL: this one does not type */
	const char *value;  /* of a key; filled in */
};
/* HW_ENOMEM. `what` lives as long as the scope. */
int scope_terminal(struct scope *s, struct terminal_scope *what, const struct op_env *env);

#endif
