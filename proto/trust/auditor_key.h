/*
 * The auditors' keys. The private half is a file on an auditor's machine, 0600, and is locked with
 * a passphrase when there is one (scrypt, AES-256-GCM):
 *
 *   hawser auditor key 1
 *   public <64 hex digits>
 *   private <64 hex digits>         or
 *   locked <log2 of scrypt's N> <32 hex digits of salt> <120 hex digits: nonce, key, tag>
 *
 * The public halves are lines of DIR/auditors.pub on a relay: 64 hex digits, then whatever people
 * want to say about it. Empty lines and those that begin with '#' are skipped.
 */
#ifndef HAWSER_TRUST_AUDITOR_KEY_H
#define HAWSER_TRUST_AUDITOR_KEY_H

#include "proto/trust/secret.h"

#define AUDITOR_SALT_LEN   16
#define AUDITOR_LOCKED_LEN (SECRET_NONCE_LEN + BOX_KEY_LEN + SECRET_TAG_LEN)

struct auditor_key {
	uint8_t pub[BOX_KEY_LEN];
	uint8_t priv[BOX_KEY_LEN]; /* once it is unlocked */
	bool locked;
	int cost; /* of a locked one: log2 of scrypt's N */
	uint8_t salt[AUDITOR_SALT_LEN], sealed[AUDITOR_LOCKED_LEN];
};

int auditor_key_make(struct auditor_key *key, struct hw_err *err);
void auditor_key_wipe(struct auditor_key *key);

/* Never replaces a file (HW_EEXISTS). An empty passphrase, or NULL, locks nothing. */
int auditor_key_save(const struct auditor_key *key, const char *path, const char *passphrase,
	struct hw_err *err);
/* The same text, appended. */
int auditor_key_format(struct buf *out, const struct auditor_key *key, const char *passphrase,
	struct hw_err *err);
/* HW_EDENIED when others may read it, HW_ECORRUPT when it is no such key. */
int auditor_key_load(struct auditor_key *key, const char *path, struct hw_err *err);
/* Reads the text of a file; safe on hostile bytes. */
int auditor_key_parse(struct auditor_key *key, const char *text, struct hw_err *err);
/* HW_EDENIED: the passphrase is another one. */
int auditor_key_unlock(struct auditor_key *key, const char *passphrase, struct hw_err *err);

/* Reads the lines of an auditors.pub. HW_EVALIDATION names the line; so does a key that nothing can
 * be sealed to, the same one twice, and one too many. */
int auditor_list_parse(struct box_readers *ret, const char *text, struct hw_err *err);

#endif
