/* A file's own key, sealed by the key that wraps it: how journal, ledger and recordings keep
 * theirs. */
#ifndef HAWSER_AUDIT_KEY_WRAP_H
#define HAWSER_AUDIT_KEY_WRAP_H

#include "proto/trust/secret.h"

#define KEY_WRAP_LEN (SECRET_NONCE_LEN + SECRET_KEY_LEN + SECRET_TAG_LEN)

/* `aad` says which file's key it is. */
int key_wrap(uint8_t out[KEY_WRAP_LEN], const struct secret_key *key, const char *aad,
	const struct secret_key *wrap);
int key_unwrap(struct secret_key *key, const uint8_t in[KEY_WRAP_LEN], const char *aad,
	const struct secret_key *wrap); /* HW_ECORRUPT */

#endif
