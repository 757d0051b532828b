/*
 * Who may do what: one question, put to the policies of a principal. What a request is about is
 * gathered into a scope (scope.h); every target of it needs an Allow, and a scope without targets
 * is denied. Any thread: it reads a snapshot.
 */
#ifndef HAWSER_CORE_AUTHORISE_H
#define HAWSER_CORE_AUTHORISE_H

#include "relay/core/arn.h"
#include "relay/core/principals.h"
#include "relay/core/scope.h"

struct op_env;

/* --- the decision ------------------------------------------------------------------------------
 */

#define ASKER_KEYS 10

/* The principal, where it asks from, and when: enough to put questions for. */
struct asker {
	const struct op_env *env;
	struct principals *principals; /* a snapshot, kept until asker_fini() */
	const struct principal *who;   /* NULL: there is no such user */
	const char *refusal;	       /* why it may nothing at all; NULL: it is there and good */
	bool by_key;		       /* it signed with an access key */
	char arn[ARN_MAX], source[64], now[32], epoch[24];
	const char *values[ASKER_KEYS];
	struct policy_key keys[ASKER_KEYS];
	size_t n_keys;
};

/* `source` is an address, "" when there is none. A user that is gone, disabled, or was made anew
 * since `not_before` may nothing. */
void asker_init(struct asker *a, const struct op_env *env, const char *user, int64_t not_before,
	const char *source, int64_t now);
/* The same for whoever signed with an access key: as IAM has it for credentials that are for long,
 * nothing says whether there was a second factor. */
void asker_init_signed(struct asker *a, const struct op_env *env, const char *user,
	int64_t not_before, const char *source, int64_t now);
void asker_fini(struct asker *a);

struct verdict {
	bool allow;
	const struct scope_target *target; /* the first that is denied, or the first of all */
	struct policy_decision decision;   /* of that one */
	char why[512];			   /* for the ledger: the statement that decided */
};

/* Every target of the scope. */
void authorise(struct verdict *ret, const struct asker *a, const char *action,
	const struct scope *what);
/* The same for an item of a list, of which nobody hears why. */
bool authorise_item(const struct asker *a, const char *action, const struct scope *what);
/* Whether anything may be listed at all; the items are asked about one by one. */
void authorise_list(struct verdict *ret, const struct asker *a, const char *action);

/* The request that is put to the policies for one target; `keys` has room for all of both. Its
 * texts live as long as scope and asker. */
#define REQUEST_KEYS (SCOPE_KEYS + ASKER_KEYS + 1)
void authorise_request(struct policy_request *ret, struct policy_key keys[REQUEST_KEYS],
	const struct asker *a, const char *action, const struct scope *what,
	const struct scope_target *target);

#endif
