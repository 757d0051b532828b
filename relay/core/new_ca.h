/*
 * The fleet's authority: another one (trust/succession.h). It is made ready in ca.next/ of a
 * stopped relay's directory, and put in place from there by whoever opens the directory next: cut
 * off at any moment, that is done again until it is whole. From then on it issues all certificates;
 * those of the one before count until that is retired. What was done is noted in ca.untold, and
 * told to the ledger when the relay starts.
 */
#ifndef HAWSER_CORE_NEW_CA_H
#define HAWSER_CORE_NEW_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

struct ledger;

#define NEW_CA_NAMES 8

struct new_ca {
	unsigned number, before; /* of the two authorities */
	char url[512];		 /* of the relay by now */
	/* Nodes that have not shown a certificate by the newer one, and the names of the first. */
	uint64_t behind;
	char names[NEW_CA_NAMES][257];
};

/* Makes another authority, or goes on with one that was cut off, and has it in use. `who` asked for
 * it. HW_EEXISTS: the relay runs, or the one before is not retired yet. */
int new_ca_make(struct new_ca *ret, const char *dir, const char *who, struct hw_err *err);

/* Certificates by the one before are refused from now on. HW_ENOTFOUND: there is none.
 * HW_ECONFLICT: nodes are behind, and were not to be left, which would have to join again. */
int new_ca_retire(struct new_ca *ret, const char *dir, const char *who, bool leave_nodes,
	struct hw_err *err);

/* Puts one in place that lies ready; *taken is whether there was one. Before anybody opens the
 * authority, under the lock. */
int new_ca_settle(bool *taken, int dir, struct hw_err *err);

/* Tells the ledger what was done while the relay stood still; on disk when it returns 0. */
int new_ca_tell(int dir, struct ledger *ledger, struct hw_err *err);

#endif
