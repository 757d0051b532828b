#include "proto/trust/cert.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "proto/base/file.h"
#include "proto/trust/ossl.h"
#include "proto/trust/private.h"

#define KEY_PEM_MAX 16384

int
key_generate(EVP_PKEY **ret, struct hw_err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (key == NULL)
		return ossl_err(err, HW_EINTERNAL, "cannot make a key");
	*ret = key;
	return 0;
}

int
key_generate_signing(EVP_PKEY **ret, struct hw_err *err)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (key == NULL)
		return ossl_err(err, HW_EINTERNAL, "cannot make a signing key");
	*ret = key;
	return 0;
}

void
key_free(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
}

/* Its PEM goes to `write`. */
static int
encode(EVP_PKEY *key, int dir, const char *name,
	int (*write)(int dir, const char *name, const void *p, size_t n, struct hw_err *err),
	struct hw_err *err)
{
	BIO *mem = BIO_new(BIO_s_mem()); /* wipes its memory when it grows and when it goes */
	char *pem = NULL;
	int r;

	if (mem == NULL || PEM_write_bio_PKCS8PrivateKey(mem, key, NULL, NULL, 0, NULL, NULL) <= 0)
		r = ossl_err(err, HW_EINTERNAL, "cannot encode the key for %s", name);
	else {
		long n = BIO_get_mem_data(mem, &pem);
		r = write(dir, name, pem, (size_t)n, err);
	}
	BIO_free(mem);
	return r;
}

static int
replace(int dir, const char *name, const void *p, size_t n, struct hw_err *err)
{
	return file_write(dir, name, p, n, 0600, err);
}

int
key_save(EVP_PKEY *key, int dir, const char *name, struct hw_err *err)
{
	return encode(key, dir, name, replace, err);
}

int
key_create(EVP_PKEY *key, const char *path, struct hw_err *err)
{
	return encode(key, AT_FDCWD, path, private_create, err);
}

/* OpenSSL would ask the terminal. */
static int
no_password(char *out, int room, int writing, void *arg)
{
	(void)out, (void)room, (void)writing, (void)arg;
	return -1;
}

int
key_load(EVP_PKEY **ret, int dir, const char *name, struct hw_err *err)
{
	EVP_PKEY *key = NULL;
	struct buf pem;
	int r;

	buf_init(&pem, KEY_PEM_MAX);
	if ((r = private_read(&pem, dir, name, err)) == 0) {
		BIO *mem = BIO_new_mem_buf(buf_data(&pem), (int)pem.len);
		if (mem != NULL)
			key = PEM_read_bio_PrivateKey(mem, NULL, no_password, NULL);
		if (key == NULL)
			r = ossl_err(err, HW_ECORRUPT, "%s does not hold a private key", name);
		else
			*ret = key;
		BIO_free(mem);
	}
	buf_wipe(&pem);
	buf_fini(&pem);
	ERR_clear_error();
	return r;
}

/* Ed25519 hashes by itself and takes no digest. */
static const EVP_MD *
digest_for(EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
}

int
csr_make(struct buf *out, EVP_PKEY *key, struct hw_err *err)
{
	X509_REQ *req = X509_REQ_new();
	uint8_t *der = NULL;
	int n = -1, r;

	if (req != NULL && X509_REQ_set_version(req, X509_REQ_VERSION_1) > 0 &&
		X509_REQ_set_pubkey(req, key) > 0 && X509_REQ_sign(req, key, digest_for(key)) > 0)
		n = i2d_X509_REQ(req, &der);
	if (n < 0)
		r = ossl_err(err, HW_EINTERNAL, "cannot make a certificate request");
	else if ((r = buf_append(out, der, (size_t)n)) < 0)
		r = hw_err_set(err, r, "no room for a certificate request of %d bytes", n);
	OPENSSL_free(der);
	X509_REQ_free(req);
	return r;
}
