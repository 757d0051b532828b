/*
 * Certificate requests from whoever has an activation, through ca_issue(): what it issues is a
 * certificate for the id that the relay chose, whatever the request says. The CA lives in memory of
 * the first call's; its folder is gone again at once.
 */
#include <openssl/err.h>
#include <openssl/x509.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/trust/cert.h"

#define NOW (INT64_C(1800000000) * 1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ca *
make_ca(void)
{
	char path[] = "/tmp/hawser-fuzz-XXXXXX";
	struct ca *ca = NULL;
	int dir;

	hw_assert(mkdtemp(path) != NULL);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	hw_assert(dir >= 0 && ca_create(&ca, dir, NOW, NULL) == 0);
	unlinkat(dir, "ca.crt", 0);
	unlinkat(dir, "ca.key", 0);
	close(dir);
	rmdir(path);
	return ca;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ca *ca;
	char serial[CERT_SERIAL_LEN + 1];
	struct cert_identity id;
	struct hw_err err = HW_ERR_INIT;
	struct buf der;
	X509 *cert;

	if (ca == NULL)
		ca = make_ca();
	buf_init(&der, CERT_DER_MAX);
	if (ca_issue(&der, serial, ca, data, size, ROLE_USER, "alice", NOW, NOW + CERT_USER_LIFE,
		    &err) == 0) {
		hw_assert(cert_parse(&cert, buf_data(&der), der.len, &err) == 0);
		hw_assert(cert_identity(&id, cert, ca_fleet(ca), &err) == 0);
		hw_assert(id.role == ROLE_USER && strcmp(id.id, "alice") == 0);
		hw_assert(cert_verify(cert, ca_cert(ca), NOW + 1000000, false, &err) == 0);
		X509_free(cert);
	}
	hw_assert(ERR_peek_error() == 0);
	buf_fini(&der);
	return 0;
}
