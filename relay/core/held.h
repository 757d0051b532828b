/* The directory of a relay that is stopped, held by its locks: for what is done to keys and ledger
 * meanwhile. A backup that was begun while the relay ran reads on, and keys and files of two
 * moments make none that can be restored. */
#ifndef HAWSER_CORE_HELD_H
#define HAWSER_CORE_HELD_H

#include "proto/trust/cert.h"
#include "proto/trust/log_epoch.h"
#include "proto/trust/secret.h"
#include "relay/core/config.h"

struct held {
	int dir, lock, backup;
	char ledger[1100], journal[1100]; /* paths */
	struct relay_config config;
	struct ca *ca;
	bool took_ca; /* put in place just now */
	struct log_epochs epochs;
	struct secret_key master; /* for whom it concerns to load */
};

/* HW_EEXISTS while the relay runs, or a backup is made. A new authority that was cut off is put in
 * place first (new_ca.h). held_close() in any case. */
int held_open(struct held *h, const char *dir, struct hw_err *err);
void held_close(struct held *h);
/* The second of the locks alone; what a backup that was cut off has left goes: what an old key
 * opens, and entries that were erased. */
int held_from_backups(int *lock, int dir, const char *path, struct hw_err *err);

#endif
