#include "relay/core/held.h"

#include <stdio.h>

#include "audit/ledger_epochs.h"
#include "proto/base/file.h"
#include "relay/core/new_ca.h"
#include "relay/core/snapshot.h"

int
held_from_backups(int *lock, int dir, const char *path, struct hw_err *err)
{
	int r = file_lock(lock, dir, "backup.lock", err);

	if (r == HW_EEXISTS)
		return hw_err_set(err, r, "a backup of %s is being made: wait until it has ended",
			path);
	if (r == 0)
		snapshot_drop(path);
	return r;
}

int
held_open(struct held *h, const char *dir, struct hw_err *err)
{
	int r;

	*h = (struct held){.dir = -1, .lock = -1, .backup = -1};
	snprintf(h->ledger, sizeof(h->ledger), "%s/ledger", dir);
	snprintf(h->journal, sizeof(h->journal), "%s/journal", dir);
	if ((r = dir_open(&h->dir, dir, false, err)) < 0)
		return r;
	if ((r = file_lock(&h->lock, h->dir, "lock", err)) < 0) {
		if (r == HW_EEXISTS)
			hw_err_set(err, r, "the relay is running on %s: stop it first", dir);
		return r;
	}
	if ((r = held_from_backups(&h->backup, h->dir, dir, err)) < 0 ||
		(r = relay_config_load(&h->config, h->dir, err)) < 0 ||
		(r = new_ca_settle(&h->took_ca, h->dir, err)) < 0 ||
		(r = ca_open(&h->ca, h->dir, err)) < 0)
		return r;
	return ledger_epochs_load(&h->epochs, h->ledger, ca_cert(h->ca), err);
}

void
held_close(struct held *h)
{
	log_epochs_fini(&h->epochs);
	ca_free(h->ca);
	secret_key_wipe(&h->master);
	fd_close(h->backup);
	fd_close(h->lock);
	fd_close(h->dir);
}
