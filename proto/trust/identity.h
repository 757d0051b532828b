/* Names in certificates: the fleet's, and the URI of the holder. Private to proto/trust; pure. */
#ifndef HAWSER_TRUST_IDENTITY_H
#define HAWSER_TRUST_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/trust/cert.h"

#define IDENTITY_URI_MAX 512

#define IDENTITY_CA_NAME "Hawser fleet %s"
#define IDENTITY_CA_URI	 "hawser://%s/%s/" /* FLEET, and what of it: succession.h */

/* The id of the fleet whose CA has this key. */
int identity_fleet(char out[CERT_FLEET_LEN + 1], EVP_PKEY *ca_key, struct hw_err *err);

/* Whether the role has such ids: mi-... for nodes, id_is_user() for users and relays. */
bool identity_fits(int role, const char *id);

/* hawser://FLEET/ROLE/ID; the id fits the role. */
void identity_uri(char out[IDENTITY_URI_MAX], const char *fleet, int role, const char *id);

/* The reverse; sets role, id and fleet. HW_ECERT unless `uri` is byte for byte what
 * identity_uri() writes for them: one holder has one spelling. */
int identity_parse(struct cert_identity *ret, const char *uri, size_t n, const char *fleet,
	struct hw_err *err);

#endif
