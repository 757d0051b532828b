/*
 * One call of an operation, from a door to its answer: what op_execute() works on, on a worker
 * thread.
 */
#ifndef HAWSER_CORE_CALL_H
#define HAWSER_CORE_CALL_H

#include "proto/base/buf.h"
#include "relay/core/op.h"

struct sigv4;

enum call_encoding { CALL_MSGPACK, CALL_JSON };

#define CALL_BODY_MAX  (192 * 1024)
#define CALL_REPLY_MAX (256 * 1024)
#define CALL_JSON_MAX  (960 * 1024) /* of a reply: no frame must hold it, and texts grow in it */
#define CALL_ARENA_MAX (4 * 1024 * 1024)

struct call {
	const struct op_env *env;
	char op[64]; /* name, from the peer */
	enum call_encoding encoding;
	struct buf body;
	bool anon;  /* through a door without a certificate */
	bool local; /* through the local door, by local_name */
	char local_name[65];
	struct sigv4 *signature; /* through the door of signed requests; owned */
	struct cert_identity who;
	bool cert_expired;
	char source[64];

	/* The answer. code 0: reply holds the encoded reply; else message holds the sentence. */
	int code;
	bool known; /* the signature is of a user who may sign, for this request */
	char message[384];
	char request_id[37];
	int retry_after; /* seconds that the caller must wait; 0: it need not */
	struct buf reply;
};

/* HW_ELIMIT when the body is too large. The body is copied. */
int call_init(struct call *c, const struct op_env *env, enum call_encoding encoding, const char *op,
	const void *body, size_t n);
void call_fini(struct call *c);

/* Decode and bound, authorise, record, handle, record, encode. Blocks on store and journal: never
 * on the loop's thread unless both run inline. */
void call_execute(struct call *c);

#endif
