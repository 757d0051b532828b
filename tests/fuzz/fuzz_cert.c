/*
 * Certificates from a peer: cert_parse(), and all that is then asked of one. The fleet's id is
 * fixed, so that the corpus's certificates are somebody's.
 */
#include <openssl/err.h>
#include <openssl/x509.h>

#include <stdint.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/succession.h"

#define FLEET "0123456789ab"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char fleet[CERT_FLEET_LEN + 1];
	struct cert_identity id;
	struct hw_err err = HW_ERR_INIT;
	X509 *cert;

	if (cert_parse(&cert, data, size, &err) < 0) {
		hw_assert(ERR_peek_error() == 0);
		return 0;
	}
	if (cert_identity(&id, cert, FLEET, &err) == 0) {
		hw_assert(strcmp(id.fleet, FLEET) == 0);
		hw_assert(id.role == ROLE_NODE ? id_is_node(id.id) : id_is_user(id.id));
	}
	cert_fleet(fleet, cert, &err);
	STACK_OF(X509) *shown = sk_X509_new_null();
	sk_X509_push(shown, cert);
	hw_assert(succession_next(cert, shown, 0) == NULL);
	sk_X509_free(shown);
	/* nothing but a certificate that an authority signed is good, and there is none here */
	hw_assert(cert_verify(cert, cert, 0, true, &err) < 0);
	hw_assert(ERR_peek_error() == 0);
	X509_free(cert);
	return 0;
}
