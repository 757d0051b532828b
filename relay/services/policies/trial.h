/* A trial decision: who, with which condition keys, on what. It is put together from a request's
 * texts and asks what dispatch would ask. */
#ifndef HAWSER_SERVICES_POLICIES_TRIAL_H
#define HAWSER_SERVICES_POLICIES_TRIAL_H

#include "relay/core/authorise.h"
#include "relay/core/op.h"

/* The keys that a trial brings; what the relay would say itself gives way to them. */
struct trial_keys {
	struct policy_key *keys; /* all but tags */
	size_t n;
	struct msg_tag *resource, *principal, *request;
	size_t n_resource, n_principal, n_request;
	const char *run_as; /* hawser:RunAs, when it is among them */
	const char *remote_host; /* likewise hawser:RemoteHost */
};
int trial_keys_read(struct trial_keys *ret, struct op *op, const struct msg_context_entry *v,
	size_t n);

struct trial {
	struct op *op;
	const struct trial_keys *with;
	struct asker asker;
	struct principal who; /* the asker's, with the trial's tags */
	struct scope scope;
	struct tagset *tags[2];
	size_t n_tags;
	const char *defaults[2];
};

/* `user` or `group` is one of the snapshot; the other is NULL. Ends with trial_fini(), also when it
 * fails. */
int trial_init(struct trial *t, struct op *op, const struct trial_keys *with, const char *user,
	const struct principal *group);
void trial_fini(struct trial *t);

/* What a decision is on: a resource as a person names it, for an action. Once a trial. */
int trial_on(struct trial *t, const char *action, const char *resource);

void trial_decide(struct verdict *ret, const struct trial *t, const char *action);
/* The request as the policies see it; `keys` as authorise_request() has it. */
void trial_request(struct policy_request *ret, struct policy_key keys[REQUEST_KEYS],
	const struct trial *t, const char *action);

#endif
