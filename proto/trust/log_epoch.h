/*
 * Epochs of a relay's ledger: which key signs its heads from which size on. A ledger's epochs are a
 * list of statements, each of which names the one before by its hash and has one signature: the
 * first by the fleet's first authority, a rotation by the key that retires, a recovery by the
 * recovery key that is kept off the relay. A later authority names the first statement by its hash
 * (succession.h). A statement is text:
 *
 *   hawser ledger epoch v1
 *   origin hawser/0123456789ab/relay
 *   epoch 2
 *   size 4711                          the ledger's, when the epoch began
 *   root <base64>
 *   key <base64>                       signs heads of this epoch
 *   recovery <base64, or ->            may recover the ledger from now on
 *   time 1764000000000000
 *   previous <SHA-256 of the statement before, base64, or ->
 *   by ledger                          authority, ledger or recovery
 *   signature <base64, over all lines above>
 *   <empty>
 *
 * Pure, and safe on hostile input.
 */
#ifndef HAWSER_TRUST_LOG_EPOCH_H
#define HAWSER_TRUST_LOG_EPOCH_H

#include "proto/base/buf.h"
#include "proto/trust/log_head.h"

typedef struct x509_st X509;
struct ca;

#define LOG_EPOCH_MAX  1024 /* bytes of a statement */
#define LOG_EPOCHS_MAX 512  /* statements of a ledger: a key a month for forty years */

enum log_by { LOG_BY_AUTHORITY = 1, LOG_BY_LEDGER, LOG_BY_RECOVERY };

struct log_epoch {
	uint32_t epoch; /* from 1 */
	uint64_t size;
	uint8_t root[MERKLE_LEN];
	uint8_t key[LOG_KEY_LEN];
	bool has_recovery, has_previous;
	uint8_t recovery[LOG_KEY_LEN];
	int64_t time;
	uint8_t previous[MERKLE_LEN];
	enum log_by by;
	uint8_t signature[96];
	size_t signature_len;
};

/* Appends its text. */
int log_epoch_format(struct buf *out, const struct log_epoch *e, const char *origin);
/* Its hash, for the next one's `previous`. */
void log_epoch_hash(uint8_t out[MERKLE_LEN], const struct log_epoch *e, const char *origin);
/* Signs it: with a key of the kind that `by` says, or, for LOG_BY_AUTHORITY, with the authority. */
int log_epoch_sign(struct log_epoch *e, const char *origin, EVP_PKEY *key, const struct ca *ca,
	struct hw_err *err);

struct log_epochs {
	char origin[LOG_ORIGIN_MAX];
	struct log_epoch *all; /* epoch i + 1 is all[i] */
	size_t n;
};

/* Reads all statements of a ledger and checks each against the one before, and the first against
 * the certificate of the fleet's first authority, or of any later one. HW_ECORRUPT names the first
 * that does not hold. On success n >= 1; log_epochs_fini(). */
int log_epochs_read(struct log_epochs *ret, const void *text, size_t n, X509 *ca,
	struct hw_err *err);
void log_epochs_fini(struct log_epochs *e);
const struct log_epoch *log_epochs_last(const struct log_epochs *e);
/* NULL: there is none of that number. */
const struct log_epoch *log_epochs_find(const struct log_epochs *e, uint32_t number);
/* Whether the head was signed in its time, over more entries than those with which a recovery went
 * on later: whoever has the recovery key said that the rest was lost. */
bool log_epochs_gave_up(const struct log_epochs *e, const struct log_head *head);

/* Whether the head is of this ledger: signed by the key of its epoch, and not past that epoch: a
 * retired key signs nothing above the size at which the next epoch began, or any later one, as a
 * recovery may begin below those before it. HW_ECORRUPT says why not. */
int log_epochs_allow(const struct log_epochs *e, const struct log_head *head, struct hw_err *err);

/* Whether `next` goes on from `known`: it has all its statements, or leaves them at one that the
 * recovery key then in force has signed (a ledger that was restored from a copy). *recovered is the
 * first statement by a recovery key that `known` did not have, else NULL. */
bool log_epochs_follow(const struct log_epochs *known, const struct log_epochs *next,
	const struct log_epoch **recovered);

#endif
