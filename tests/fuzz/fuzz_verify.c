/*
 * A relay's directory of hostile files. Input: for each of the files below u16 length and bytes,
 * the last takes the rest; the epochs are good ones, so that the rest is looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "audit/bytes.h"
#include "audit/verify.h"
#include "proto/base/file.h"
#include "proto/trust/log_epoch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES 6

static const char *const paths[FILES] = {
	"ledger/epochs",
	"ledger/heads",
	"ledger/tree",
	"ledger/ledger-0000000000000000.log",
	"recordings/a.rec",
	"journal/journal-0000000000000000.seg",
};

struct files {
	const uint8_t *p[FILES];
	size_t n[FILES];
};

static int
open_one(void *arg, struct verify_file *ret, const char *path, struct hw_err *err)
{
	const struct files *f = arg;

	for (size_t i = 0; i < FILES; i++)
		if (strcmp(paths[i], path) == 0) {
			*ret = (struct verify_file){.size = f->n[i], .mem = f->p[i]};
			return 0;
		}
	return hw_err_set(err, HW_ENOTFOUND, "none");
}

static int
read_one(void *arg, const struct verify_file *f, uint64_t at, void *p, size_t n, struct hw_err *err)
{
	(void)arg, (void)err;
	if (at > f->size || n > f->size - at)
		abort();
	if (n > 0)
		memcpy(p, f->mem + at, n);
	return 0;
}

static void
close_one(void *arg, struct verify_file *f)
{
	(void)arg, (void)f;
}

static int
list_all(void *arg, const char *folder,
	int (*each)(void *ctx, const char *name, struct hw_err *err), void *ctx, struct hw_err *err)
{
	size_t n = strlen(folder);
	int r = 0;

	(void)arg;
	for (size_t i = 0; r == 0 && i < FILES; i++)
		if (strncmp(paths[i], folder, n) == 0 && paths[i][n] == '/')
			r = each(ctx, paths[i] + n + 1, err);
	return r;
}

/* An authority, and a first epoch of it. */
static X509 *
make_epochs(struct buf *text)
{
	struct log_epoch e = {.epoch = 1, .time = 1, .by = LOG_BY_AUTHORITY};
	char dir[] = "/tmp/hawser-fuzz-XXXXXX";
	struct ca *ca;
	EVP_PKEY *key;
	int fd;

	if (mkdtemp(dir) == NULL || dir_open(&fd, dir, false, NULL) < 0 ||
		ca_create(&ca, fd, 1764000000000000, NULL) < 0 ||
		key_generate_signing(&key, NULL) < 0 || log_key_public(e.key, key, NULL) < 0)
		abort();
	merkle_empty(e.root);
	buf_init(text, 4096);
	if (log_epoch_sign(&e, "hawser/0/relay", NULL, ca, NULL) < 0 ||
		log_epoch_format(text, &e, "hawser/0/relay") < 0)
		abort();
	unlinkat(fd, "ca.key", 0);
	unlinkat(fd, "ca.crt", 0);
	fd_close(fd);
	rmdir(dir);
	X509 *cert = ca_cert(ca);
	X509_up_ref(cert);
	key_free(key);
	ca_free(ca);
	return cert;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct buf epochs;
	static X509 *ca;
	struct verify_result result;
	struct files f = {.n = {0}};
	struct secret_key master = {.bytes = {1}};

	if (ca == NULL)
		ca = make_epochs(&epochs);
	f.p[0] = buf_data(&epochs);
	f.n[0] = epochs.len;
	for (size_t i = 1; i < FILES; i++) {
		size_t n = i + 1 < FILES && size >= 2 ? (size_t)(data[0] | data[1] << 8) : size;
		if (i + 1 < FILES && size >= 2) {
			data += 2;
			size -= 2;
		}
		n = n < size ? n : size;
		f.p[i] = data;
		f.n[i] = n;
		data += n;
		size -= n;
	}
	struct verify_source source = {&f, open_one, read_one, close_one, list_all};
	struct verify_options o = {.ca = ca};
	for (int with = 0; with < 2; with++) {
		o.master = with ? &master : NULL;
		if (verify_run(&result, &source, &o, NULL) < 0 && result.verdict == VERIFY_INTACT)
			abort();
	}
	return 0;
}
