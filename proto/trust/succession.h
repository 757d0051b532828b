/*
 * The authorities of one fleet, one after another. The first one's key gives the fleet its id. Each
 * that follows has the same name, and keeps that id; the one before vouches for its key by a
 * certificate, "new with old" as RFC 4210, 4.4 has it, which the relay shows beside its own. Who
 * trusts the one before alone therefore verifies the relay still, and learns whom to trust instead.
 *
 * A successor's own certificate says in its subjectAltName which one it is, and what the fleet's
 * ledger begins with:
 *     hawser://FLEET/authority/2
 *     hawser://FLEET/ledger/<SHA-256 of the first statement (log_epoch.h), in hex>
 * so that nobody who trusts it has to believe a signature of the ones before.
 *
 * Pure, and safe on hostile input.
 */
#ifndef HAWSER_TRUST_SUCCESSION_H
#define HAWSER_TRUST_SUCCESSION_H

#include "proto/trust/cert.h"
#include "proto/trust/merkle.h"

#define SUCCESSION_MAX 9999 /* the last authority that a fleet can have */

struct stack_st_X509;

/* What an authority's certificate says. */
struct succession {
	char fleet[CERT_FLEET_LEN + 1];
	unsigned number;	    /* from 1 */
	uint8_t ledger[MERKLE_LEN]; /* of a successor: the hash of the ledger's first statement */
};

/* HW_ECERT when it is no authority of a Hawser fleet. Checks no signature: who trusts a certificate
 * has compared its pin, or had it vouched for. */
int succession_read(struct succession *ret, X509 *root, struct hw_err *err);

/* The certificate among those that a relay shows to whose key `known` has signed over; lent. NULL
 * when there is none that is of the same fleet, later, and vouched for at `now`. Looks at the first
 * SUCCESSION_SHOWN only. */
#define SUCCESSION_SHOWN 8
X509 *succession_next(X509 *known, const struct stack_st_X509 *shown, int64_t now);

/* Whether that very key signed the certificate: who has two authorities asks which. */
bool succession_signed(X509 *cert, X509 *root);

#endif
