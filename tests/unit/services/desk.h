/* Where handlers are called without a relay around them: a real store, CA and registry, and a
 * broker, ledger and recordings that the test makes up. The caller is the administrator alice until
 * the test says otherwise. */
#ifndef HAWSER_TESTS_DESK_H
#define HAWSER_TESTS_DESK_H

#include "audit/recording.h"
#include "proto/trust/secret.h"
#include "relay/core/broker.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/store/store.h"

#define NOON (INT64_C(1800000000) * USEC_PER_SEC)
#define DAY  (86400 * USEC_PER_SEC)

struct broker {
	char online[4][65]; /* nodes with a link */
	int64_t heard;
	int sessions;  /* on each node */
	char live[97]; /* the one session that is live */
	int opening;   /* so often is it asked for before it is there */
	char ended[97], why[256];
	int given; /* the last ticket: for what, whom, and its hash */
	char given_to[65], given_hash[65];
};

/* What recording_open() finds: blocks of encoded events. */
struct fake_recording {
	struct msg_recording_meta meta;
	struct buf blocks[12];
	size_t n;
	bool complete;
	int opened, open_now;
};

struct desk {
	char dir[64], path[96];
	struct fake_clock clock;
	struct relay_config config;
	struct secret_key master;
	struct op_env env;
	struct broker broker;
	struct cert_identity who;
	char arn[256];
	struct arena *arena;
	struct hw_err err;   /* of the last call */
	const char *hidden;  /* what has this in its ARN, or as the value of a tag, the caller may
				not  see; NULL: nothing */
	char changed[8][65]; /* what store_changed() was called with, the last ones */
	enum store_kind kinds[8];
	size_t n_changed;
};

extern struct fake_recording fake_recording;
extern enum entry_kind fake_ledger_kind; /* of the last one */
extern const char *fake_ledger_reason;
extern int fake_ledger_entries, fake_ledger_result;

struct desk *desk_new(bool threaded);
void desk_free(struct desk *d);
void desk_as_user(struct desk *d, const char *name);
void desk_as_node(struct desk *d, const char *id);

/* Calls a handler; the reply is zeroed first and lives in the desk's arena. Safe from several
 * threads but for `err`. */
int desk_call(struct desk *d, struct hw_err *err, enum op_id id, const void *req, void *rep,
	size_t size);
#define CALL(d, op, req, rep) desk_call(d, &(d)->err, OP_##op, req, rep, sizeof(*(rep)))

/* A PKCS#10 request of a new key. */
struct msg_bin desk_csr(struct desk *d);

/* Makes an activation and joins one node with it; its id, in the desk's arena. */
const char *desk_join(struct desk *d, const char *name);
const char *desk_user(struct desk *d, const char *name, bool admin); /* its invite */

#define CHECK_FAILS(d, call, code, part)                                                \
	do {                                                                            \
		int got_ = (call);                                                      \
		cr_assert(got_ == (code), "%s: %s", hw_code_name(got_), (d)->err.text); \
		cr_assert(strstr((d)->err.text, part) != NULL, "%s", (d)->err.text);    \
	} while (0)
#define CHECK_OK(d, call)                                                          \
	do {                                                                       \
		int got_ = (call);                                                 \
		cr_assert(got_ == 0, "%s: %s", hw_code_name(got_), (d)->err.text); \
	} while (0)

#endif
