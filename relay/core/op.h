/*
 * An operation: one request from any door, from its bytes to its reply.
 *
 * op_execute(): find the row, decode and bound, authorise, record the intent, call the handler,
 * record the outcome, reply. Handlers are straight-line code on a worker thread, one file a family
 * in relay/services/; each row of operations.def has its op_NAME() below. A handler fills in the
 * reply (memory from op->arena) and returns 0, or op_fail().
 */
#ifndef HAWSER_CORE_OP_H
#define HAWSER_CORE_OP_H

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/schema/schema.h"
#include "proto/trust/cert.h"
#include "relay/policy/policy.h"

struct journal;
struct relay;
struct broker;
struct store;
struct ledger;
struct ledger_heads;
struct archiver;
struct throttle;
struct guard;
struct asker;
struct authority;
struct dispatcher;
struct outputs;
struct readers;
struct uploads;
struct witnesses;
struct session_plan;
struct search;

struct op;

/* What dispatch calls: each row's unpacks its structs for op_NAME(). The table is services_handlers
 * (services/table.h). */
typedef int op_handler(struct op *op, const void *request, void *reply);

/* What handlers work with; one a relay, constant after start. */
struct op_env {
	op_handler *const *handlers; /* OP_COUNT */
	const struct relay_config *config;
	const char *dir; /* the relay's */
	const struct hw_clock *clock;
	struct store *store;
	struct ca *ca;
	struct registry *registry;
	struct authority *authority;
	struct broker *broker;
	struct ledger *ledger;
	struct ledger_heads *heads; /* NULL in tests without them */
	struct archiver *archiver;
	const struct secret_key *master;
	const struct log_ctx *log;
	struct throttle *strangers; /* entries of those without a good token; NULL: no bound */
	struct throttle *guesses;   /* likewise, alarms about who guesses */
	struct throttle *alarms;    /* likewise, those about nodes that say what cannot be */
	struct guard *guard;	    /* against guesses at tokens; NULL: none */
	struct recording_cursors *cursors; /* of GetRecording; services/sessions owns it */
	struct journal *journal;	   /* asked whether it records; NULL in tests without */
	struct dispatcher *dispatcher;	   /* of commands; NULL in tests without them */
	struct outputs *outputs;
	struct uploads *uploads;     /* NULL: nothing goes elsewhere */
	struct readers *readers;     /* NULL: each piece that is read is an entry */
	struct witnesses *witnesses; /* what nodes say of the ledger; NULL in tests without */
	struct search *search;	     /* of the ledger; NULL in tests without it */
	struct relay *tended;	     /* what tend.h is about; NULL in tests without it */
};

struct op {
	const struct op_env *env;
	const struct op_row *row;
	struct arena *arena;
	struct cert_identity who; /* role 0 at the ANON door */
	char arn[256];		  /* the caller's; "" at the ANON door */
	char source[64];	  /* address that the request came from */
	char request_id[37];
	bool cert_expired; /* a node within its grace: RenewCertificate alone */
	int64_t now;	   /* wall clock */
	struct hw_err err;
	int (*intent)(struct op *op); /* op_begin() */
	const struct asker *asker;    /* a user's, to put further questions for; else NULL */
	int64_t shown, hidden;	      /* items of a list: op_may_see() */
	bool goes_on;		      /* a list's next page, which was told of with the first one */
	const char *about;	      /* for op_begin(), 120 bytes at most; NULL: nothing */
	/* Of StartSession: what was decided about; NULL when nothing was, at the local door. */
	const struct session_plan *plan;
};

/* What the handlers of ANON rows call when the caller's token has proved good, and before they
 * change anything: it records the intent, which dispatch does itself for all others. Whoever has no
 * token is a stranger, and must not be able to fill the ledger. The handlers of BEGUN rows call it
 * when they know what the request is about, which op->about then says beside what decided. */
int op_begin(struct op *op);

/* For handlers of LISTED rows: whether the caller may see the item of that name, which is counted
 * either way. What may not be seen is left out, and the ledger has the counts. `arn` NULL (no
 * memory) is not seen. */
bool op_may_see(struct op *op, const char *arn, const struct policy_tags *tags);
/* The same for a node, with its tags. */
bool op_may_see_node(struct op *op, const char *id);
/* The same for a session, which has its node's tags and an owner. */
bool op_may_see_session(struct op *op, const char *id, const char *node);
/* The same for a document, with these tags. */
bool op_may_see_document(struct op *op, const char *name, const struct msg_tag *tags, size_t n);
/* Whether the caller may do this to a node, which is no item of a list. */
bool op_may_on_node(struct op *op, const char *action, const char *id);

/* Sets the error and returns its code. */
int op_fail(struct op *op, int code, const char *fmt, ...) HW_PRINTF(3, 4);

#define HW_OP(id, name, req, rep, door, action, res, field, audit, doc) \
	int op_##id(struct op *op, const struct msg_##req *req, struct msg_##rep *rep);
#include "proto/schema/operations.def"
#undef HW_OP

/* ARNs, as SSM shapes them: arn:aws:ssm:REGION:ACCOUNT:managed-instance/mi-... From the arena; NULL
 * without memory. */
const char *arn_node(struct op *op, const char *id);
const char *arn_user(struct op *op, const char *name);
const char *arn_group(struct op *op, const char *name);
/* arn:aws:resource-groups:REGION:ACCOUNT:group/NAME: a group of IAM is another thing. */
const char *arn_resource_group(struct op *op, const char *name);
/* Of what is in a bucket under a prefix (NULL and "" are none; slashes around it do not count):
 * arn:aws:s3:::BUCKET/PREFIX/. */
const char *arn_bucket(struct op *op, const char *bucket, const char *prefix);
/* A built-in policy's is arn:aws:iam::aws:policy/NAME. */
const char *arn_policy(struct op *op, const char *name);
const char *arn_session(struct op *op, const char *id);
const char *arn_document(struct op *op, const char *name);
const char *arn_activation(struct op *op, const char *id);
/* The user's name in an ARN of a user, or the ARN itself. Points into it. */
const char *arn_short(const char *arn);

#endif
