/*
 * Another master key for a relay that does not run. All that the old one opens is wrapped or sealed
 * anew, then the new one takes its place, and the old one is overwritten and removed.
 *
 * FILE.next holds the new key until all is done, FILE.old the old one until it is gone; both lie
 * beside the key's own file. Killed at any moment, it goes on where it was when it is called again;
 * until then the relay does not start.
 */
#ifndef HAWSER_CORE_REKEY_H
#define HAWSER_CORE_REKEY_H

#include <stdbool.h>

#include "proto/base/err.h"

struct rekey_options {
	const char *dir;
	const char *master_key;			  /* path; NULL: the configuration's */
	const char *user;			  /* who asks for it, for the ledger */
	void (*say)(void *arg, const char *what); /* as it goes on; NULL: nobody listens */
	void *arg;
};

/* HW_EEXISTS: a relay runs there. HW_ECORRUPT names what neither key opens. */
int rekey_run(const struct rekey_options *o, struct hw_err *err);

/* Whether one was cut off, of the key whose file this is: HW_EUNAVAILABLE says what to do. */
int rekey_check(const char *key_path, const char *dir, struct hw_err *err);

#endif
