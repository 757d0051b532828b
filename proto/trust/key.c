#include "proto/trust/cert.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

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

/* --- its file --------------------------------------------------------------------------------- */

typedef int write_fn(int dir, const char *name, const void *p, size_t n, struct hw_err *err);

/* A quarter of a second, and 16 MiB: what OpenSSL's own reader allows of memory. */
#define SCRYPT_N (1 << 14)
#define SCRYPT_R 8
#define SCRYPT_P 5

static bool
put_locked(BIO *out, EVP_PKEY *key, const char *passphrase)
{
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
	X509_ALGOR *how = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N,
		SCRYPT_R, SCRYPT_P);
	X509_SIG *locked = NULL;

	if (plain != NULL && how != NULL)
		locked = PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), plain, how);
	if (locked == NULL)
		X509_ALGOR_free(how);
	bool put = locked != NULL && PEM_write_bio_PKCS8(out, locked) > 0;
	X509_SIG_free(locked);
	PKCS8_PRIV_KEY_INFO_free(plain);
	return put;
}

static bool
put_plain(BIO *out, EVP_PKEY *key)
{
	return PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) > 0;
}

/* Its PEM goes to `write`. */
static int
encode(EVP_PKEY *key, const char *passphrase, int dir, const char *name, write_fn *write,
	struct hw_err *err)
{
	BIO *mem = BIO_new(BIO_s_mem()); /* wipes its memory when it grows and when it goes */
	bool lock = passphrase != NULL && passphrase[0] != '\0';
	char *pem = NULL;
	int r;

	if (mem == NULL || !(lock ? put_locked(mem, key, passphrase) : put_plain(mem, key)))
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
	return encode(key, NULL, dir, name, replace, err);
}

int
key_create(EVP_PKEY *key, const char *path, const char *passphrase, struct hw_err *err)
{
	return encode(key, passphrase, AT_FDCWD, path, private_create, err);
}

/* What OpenSSL asks of a locked key, which would ask the terminal itself. */
struct question {
	key_ask_fn *ask; /* NULL: nobody is */
	void *arg;
	const char *name;
	bool answered; /* should the key not open then, that is why */
	int result;    /* of asking */
	struct hw_err *err;
};

static int
put_question(char *out, int room, int writing, void *arg)
{
	struct question *q = arg;

	(void)writing;
	if (q->ask == NULL)
		q->result = hw_err_set(q->err, HW_EDENIED,
			"the key in %s is locked by a passphrase, which nobody is asked for here",
			q->name);
	else
		q->result = q->ask(q->arg, out, (size_t)room, q->name, q->err);
	if (q->result < 0)
		return -1;
	q->answered = true;
	return (int)strlen(out);
}

int
key_unlock(EVP_PKEY **ret, int dir, const char *name, key_ask_fn *ask, void *arg,
	struct hw_err *err)
{
	struct question q = {.ask = ask, .arg = arg, .name = name, .err = err};
	EVP_PKEY *key = NULL;
	struct buf pem;
	int r;

	buf_init(&pem, KEY_PEM_MAX);
	if ((r = private_read(&pem, dir, name, err)) == 0) {
		BIO *mem = BIO_new_mem_buf(buf_data(&pem), (int)pem.len);
		if (mem != NULL)
			key = PEM_read_bio_PrivateKey(mem, NULL, put_question, &q);
		if (key != NULL)
			*ret = key;
		else if (q.result < 0)
			r = q.result;
		else if (q.answered)
			r = hw_err_set(err, HW_EDENIED, "that is not the passphrase of %s", name);
		else
			r = ossl_err(err, HW_ECORRUPT, "%s does not hold a private key", name);
		BIO_free(mem);
	}
	buf_wipe(&pem);
	buf_fini(&pem);
	ERR_clear_error();
	return r;
}

int
key_load(EVP_PKEY **ret, int dir, const char *name, struct hw_err *err)
{
	return key_unlock(ret, dir, name, NULL, NULL, err);
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
