/*
 * The keys that sign the ledger's heads and epochs, as files: DIR/ledger.key, and while it is
 * replaced DIR/ledger.key.next; the recovery key, wherever its owner has it.
 */
#ifndef HAWSER_AUDIT_LEDGER_KEYS_H
#define HAWSER_AUDIT_LEDGER_KEYS_H

#include "proto/trust/cert.h"
#include "proto/trust/log_epoch.h"

#define LEDGER_KEY_FILE	     "ledger.key"
#define LEDGER_KEY_NEXT_FILE "ledger.key.next"
#define LEDGER_RECOVERY_FILE \
	"recovery.key" /* where a relay's directory has it, until it is moved */

/* The key of a relay's directory. */
int ledger_key_load(EVP_PKEY **ret, int dir, struct hw_err *err);

/* After the epochs were read: a key that was made for the last epoch takes its place, when a crash
 * came between the statement and that. *key is replaced. HW_ECORRUPT: there is no key of that
 * epoch. */
int ledger_key_settle(EVP_PKEY **key, int dir, const struct log_epoch *last, struct hw_err *err);

/* Makes a recovery key in a file that must not be there (HW_EEXISTS), and gives its public half. */
int ledger_recovery_create(uint8_t public[LOG_KEY_LEN], const char *path, struct hw_err *err);
int ledger_recovery_load(EVP_PKEY **ret, const char *path, struct hw_err *err);

#endif
