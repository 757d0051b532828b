/*
 * What is done to the ledger of a relay that is stopped: another signing key, a new epoch after it
 * was restored, the erasing of an entry. Each takes the directory's lock: HW_EEXISTS while the
 * relay runs.
 */
#ifndef HAWSER_CORE_LEDGER_CARE_H
#define HAWSER_CORE_LEDGER_CARE_H

#include <stdint.h>

#include "proto/base/err.h"

struct ledger_care {
	const char *dir;
	const char *master_key; /* path; NULL: the configuration's */
};

/* The key signs over to a new one and is gone. `recovery_key`: a file to make a recovery key in,
 * where the ledger has none yet (HW_EEXISTS otherwise); or NULL. */
int ledger_care_rotate(uint32_t *epoch, const struct ledger_care *c, const char *recovery_key,
	struct hw_err *err);

/* Begins an epoch with what the ledger has now, by a statement of the recovery key in that file: of
 * a relay that was restored from a copy, or lost its signing key. */
int ledger_care_recover(uint32_t *epoch, uint64_t *size, const struct ledger_care *c,
	const char *recovery_key, struct hw_err *err);

/* Erases an entry's bytes; that is an entry first. HW_EVALIDATION: it cannot be erased, or not yet:
 * *err says why. */
int ledger_care_erase(const struct ledger_care *c, uint64_t entry, const char *who,
	const char *reason, struct hw_err *err);

#endif
