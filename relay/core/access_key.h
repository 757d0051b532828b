/* Access keys: their secrets, kept under the relay's master key because Signature V4 needs them
 * whole, and whose signature a request bears. */
#ifndef HAWSER_CORE_ACCESS_KEY_H
#define HAWSER_CORE_ACCESS_KEY_H

#include "relay/store/keys.h"

struct op_env;
struct sigv4;

#define ACCESS_KEY_SECRET_LEN 40 /* base64 of 30 random bytes */

/* Sets row->sealed; the row has its id and user already. */
int access_key_seal(struct key_row *row, const struct op_env *env, const char *secret,
	struct hw_err *err);

/* Opens the secret of a row that was read; whoever asked wipes it. Whether the key and its user may
 * be used is not asked. HW_ECORRUPT when it was sealed for another key or user, or not by this
 * relay. */
int access_key_secret(char out[ACCESS_KEY_SECRET_LEN + 1], const struct op_env *env,
	const struct key_row *row, struct hw_err *err);

/*
 * The key that made the signature, for this body. HW_EUNAUTH when there is none of that id, it is
 * not active, or its user is disabled: one sentence for all, and about the same time. HW_ESIGNATURE
 * when another secret, or for another request. `why` is what the ledger may know of both. Blocks on
 * the store.
 */
#define ACCESS_KEY_WHY_MAX 320
int access_key_prove(struct key_row *ret, char why[ACCESS_KEY_WHY_MAX], const struct op_env *env,
	const struct sigv4 *signature, const void *body, size_t n, int64_t now, struct hw_err *err);

/* It was used now: noted once a minute, for the key and for its user. */
void access_key_note_used(const struct key_row *key, const struct op_env *env, int64_t now);

#endif
