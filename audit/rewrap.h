/* Another master key: the keys of journal segments, recordings and the ledger's files are wrapped
 * anew; nothing else in them changes. */
#ifndef HAWSER_AUDIT_REWRAP_H
#define HAWSER_AUDIT_REWRAP_H

#include "proto/trust/secret.h"

struct rewrap_dirs {
	const char *journal, *recordings, *ledger; /* those that are missing hold nothing */
	/* Told of each recording that neither key opens; NULL: nobody. */
	void (*skipped)(void *arg, const char *name);
	void *arg;
};

/* Nobody else may write them meanwhile. May be called again after it failed or was killed: what
 * `to` opens already is left alone. So is a recording whose head is damaged, which no key opens any
 * more, and which must not keep all others from theirs. HW_ECORRUPT names the file. */
int rewrap_all(const struct rewrap_dirs *dirs, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err);

#endif
