#include "audit/ledger_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"

int
ledger_key_load(EVP_PKEY **ret, int dir, struct hw_err *err)
{
	return key_load(ret, dir, LEDGER_KEY_FILE, err);
}

static bool
is_key_of(EVP_PKEY *key, const struct log_epoch *e)
{
	uint8_t public[LOG_KEY_LEN];

	return log_key_public(public, key, NULL) == 0 && memcmp(public, e->key, LOG_KEY_LEN) == 0;
}

int
ledger_key_settle(EVP_PKEY **key, int dir, const struct log_epoch *last, struct hw_err *err)
{
	EVP_PKEY *next = NULL;

	if (is_key_of(*key, last))
		return 0;
	int r = key_load(&next, dir, LEDGER_KEY_NEXT_FILE, NULL);
	if (r < 0 || !is_key_of(next, last)) {
		key_free(next);
		return hw_err_set(err, HW_ECORRUPT,
			"%s is not the key of the ledger's epoch %" PRIu32
			": put that key back, or see hawser-relay recover --help",
			LEDGER_KEY_FILE, last->epoch);
	}
	if (renameat(dir, LEDGER_KEY_NEXT_FILE, dir, LEDGER_KEY_FILE) < 0 || fsync(dir) < 0) {
		key_free(next);
		return hw_err_sys(err, "cannot put %s in place", LEDGER_KEY_FILE);
	}
	key_free(*key);
	*key = next;
	return 0;
}

/* --- the recovery key ------------------------------------------------------------------------- */

/* The directory and the name of a path. */
static int
open_parent(int *dir, char name[256], const char *path, struct hw_err *err)
{
	char copy[4096];

	if (strlen(path) >= sizeof(copy))
		return hw_err_set(err, HW_EVALIDATION, "the path of the recovery key is too long");
	strcpy(copy, path);
	const char *base = basename(copy);
	if (strlen(base) >= 256)
		return hw_err_set(err, HW_EVALIDATION, "the name of the recovery key is too long");
	strcpy(name, base);
	strcpy(copy, path);
	return dir_open(dir, dirname(copy), false, err);
}

int
ledger_recovery_create(uint8_t public[LOG_KEY_LEN], const char *path, struct hw_err *err)
{
	EVP_PKEY *key = NULL;
	char name[256];
	int dir, r;

	if ((r = open_parent(&dir, name, path, err)) < 0)
		return r;
	if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = hw_err_set(err, HW_EEXISTS, "%s is there already: name another file", path);
	if (r == 0 && (r = key_generate_signing(&key, err)) == 0 &&
		(r = log_key_public(public, key, err)) == 0)
		r = key_save(key, dir, name, err);
	key_free(key);
	fd_close(dir);
	return r;
}

int
ledger_recovery_load(EVP_PKEY **ret, const char *path, struct hw_err *err)
{
	char name[256];
	int dir, r;

	if ((r = open_parent(&dir, name, path, err)) < 0)
		return r;
	r = key_load(ret, dir, name, err);
	fd_close(dir);
	return r;
}
