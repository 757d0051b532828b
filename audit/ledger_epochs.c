#include "audit/ledger_epochs.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/file.h"

#define FILE_MAX (LOG_EPOCHS_MAX * LOG_EPOCH_MAX)

static int
write_all(const char *ledger_dir, const struct buf *text, struct hw_err *err)
{
	int dir, r;

	if (text->failed)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's epochs");
	if ((r = dir_open(&dir, ledger_dir, true, err)) < 0)
		return r;
	r = file_write(dir, LEDGER_EPOCHS_FILE, buf_data(text), text->len, 0600, err);
	fd_close(dir);
	return r;
}

int
ledger_epochs_load(struct log_epochs *ret, const char *ledger_dir, X509 *ca, struct hw_err *err)
{
	struct buf text;
	int dir, r;

	if ((r = dir_open(&dir, ledger_dir, false, err)) < 0)
		return r;
	buf_init(&text, FILE_MAX);
	r = file_read(&text, dir, LEDGER_EPOCHS_FILE, err);
	fd_close(dir);
	if (r == 0)
		r = log_epochs_read(ret, buf_data(&text), text.len, ca, err);
	buf_fini(&text);
	return r;
}

int
ledger_epochs_begin(const char *ledger_dir, const char *origin, EVP_PKEY *key,
	const uint8_t *recovery, const struct ca *ca, int64_t now, struct hw_err *err)
{
	struct log_epoch e = {.epoch = 1, .time = now, .by = LOG_BY_AUTHORITY};
	struct buf text;
	int r;

	merkle_empty(e.root);
	e.has_recovery = recovery != NULL;
	if (recovery != NULL)
		memcpy(e.recovery, recovery, LOG_KEY_LEN);
	if ((r = log_key_public(e.key, key, err)) < 0 ||
		(r = log_epoch_sign(&e, origin, NULL, ca, err)) < 0)
		return r;
	buf_init(&text, FILE_MAX);
	(void)log_epoch_format(&text, &e, origin);
	r = write_all(ledger_dir, &text, err);
	buf_fini(&text);
	return r;
}

int
ledger_epochs_add(const char *ledger_dir, const struct log_epochs *epochs, struct log_epoch *next,
	EVP_PKEY *signer, struct hw_err *err)
{
	const struct log_epoch *last = log_epochs_last(epochs);
	struct buf text;
	int r;

	if (epochs->n == LOG_EPOCHS_MAX)
		return hw_err_set(err, HW_ELIMIT, "the ledger has %d epochs: there can be no more",
			LOG_EPOCHS_MAX);
	next->epoch = last->epoch + 1;
	next->has_previous = true;
	log_epoch_hash(next->previous, last, epochs->origin);
	if ((r = log_epoch_sign(next, epochs->origin, signer, NULL, err)) < 0)
		return r;
	buf_init(&text, FILE_MAX);
	for (size_t i = 0; i < epochs->n; i++)
		(void)log_epoch_format(&text, &epochs->all[i], epochs->origin);
	(void)log_epoch_format(&text, next, epochs->origin);
	r = write_all(ledger_dir, &text, err);
	buf_fini(&text);
	return r;
}
