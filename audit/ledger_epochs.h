/*
 * The file of epoch statements, LEDGER-DIR/epochs: proto/trust/log_epoch.h one after another. A
 * statement is added by writing the whole file anew.
 */
#ifndef HAWSER_AUDIT_LEDGER_EPOCHS_H
#define HAWSER_AUDIT_LEDGER_EPOCHS_H

#include "proto/trust/cert.h"
#include "proto/trust/log_epoch.h"

#define LEDGER_EPOCHS_FILE "epochs"

/* Reads and checks them. HW_ENOTFOUND when there is no file; HW_ECORRUPT. */
int ledger_epochs_load(struct log_epochs *ret, const char *ledger_dir, X509 *ca,
	struct hw_err *err);

/* Makes the first, signed by the authority; `recovery` may be NULL. The directory is made when
 * missing. */
int ledger_epochs_begin(const char *ledger_dir, const char *origin, EVP_PKEY *key,
	const uint8_t *recovery, const struct ca *ca, int64_t now, struct hw_err *err);

/* Adds one: size, root, key, recovery and time are the caller's; number, hash and signature are
 * filled in. `signer` is the last epoch's key, or for LOG_BY_RECOVERY its recovery key. */
int ledger_epochs_add(const char *ledger_dir, const struct log_epochs *epochs,
	struct log_epoch *next, EVP_PKEY *signer, struct hw_err *err);

#endif
