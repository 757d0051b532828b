/* A file's own key, sealed by the key that wraps it: how journal, ledger and recordings keep
 * theirs. */
#ifndef HAWSER_AUDIT_KEY_WRAP_H
#define HAWSER_AUDIT_KEY_WRAP_H

#include <sys/types.h>

#include "proto/trust/secret.h"

#define KEY_WRAP_LEN (SECRET_NONCE_LEN + SECRET_KEY_LEN + SECRET_TAG_LEN)

/* `aad` says which file's key it is. */
int key_wrap(uint8_t out[KEY_WRAP_LEN], const struct secret_key *key, const char *aad,
	const struct secret_key *wrap);
int key_unwrap(struct secret_key *key, const uint8_t in[KEY_WRAP_LEN], const char *aad,
	const struct secret_key *wrap); /* HW_ECORRUPT */

/* Wraps a file's key anew, where it stands in the file, and syncs it; one that `to` opens already
 * is left alone. 60 bytes within a file's first 512 are written by one write(2), so that neither a
 * kill nor a power cut leaves half of them. HW_ECORRUPT when neither key opens it. */
int key_rewrap(int fd, off_t at, const char *aad, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err);

#endif
