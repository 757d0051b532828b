/*
 * A signed head of a relay's ledger: how many entries it has, their tree's root, and when that was.
 * Its text is a C2SP checkpoint in a signed note:
 *
 *   hawser/0123456789ab/relay          the origin: fleet and relay
 *   4711                               entries
 *   <root, base64>
 *   epoch 1                            whose key signs: proto/trust/log_epoch.h
 *   time 1764000000000000              microseconds since 1970
 *   filed 4690 <chain, base64>         how far the ledger's own files were on disk
 *   <empty>
 *   U+2014 hawser/0123456789ab/epoch-1 <base64 of the key's id and the Ed25519 signature>
 *
 * Pure, and safe on hostile input.
 */
#ifndef HAWSER_TRUST_LOG_HEAD_H
#define HAWSER_TRUST_LOG_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/trust/merkle.h"

typedef struct evp_pkey_st EVP_PKEY;

#define LOG_ORIGIN_MAX	  96 /* with its NUL */
#define LOG_HEAD_MAX	  768
#define LOG_KEY_LEN	  32
#define LOG_KEY_ID_LEN	  4
#define LOG_SIGNATURE_LEN 64

struct log_head {
	uint32_t epoch;
	uint64_t size;
	uint8_t root[MERKLE_LEN];
	int64_t time;
	uint64_t filed; /* entries in the ledger's files, and the chain's value after them */
	uint8_t chain[MERKLE_LEN];
	uint8_t key_id[LOG_KEY_ID_LEN];
	uint8_t signature[LOG_SIGNATURE_LEN];
};

/* hawser/FLEET/NAME. */
void log_origin(char out[LOG_ORIGIN_MAX], const char *fleet, const char *relay);
/* Whether it is one: what is no origin is in no text of ours. */
bool log_origin_valid(const char *origin);

/* Sets key_id and signature. */
int log_head_sign(struct log_head *head, const char *origin, EVP_PKEY *key, struct hw_err *err);
/* Sets the key's id alone: of a head that was kept without. */
void log_head_name_key(struct log_head *head, const char *origin, const uint8_t key[LOG_KEY_LEN]);
/* Whether that key signed it for that origin. Which key may sign it is log_epochs_allow()'s. */
bool log_head_signed(const struct log_head *head, const char *origin,
	const uint8_t key[LOG_KEY_LEN]);

/* Its text with a NUL; returns the length. */
size_t log_head_format(char out[LOG_HEAD_MAX], const struct log_head *head, const char *origin);
/* HW_EVALIDATION unless it is byte for byte what log_head_format() writes, of a size and time that
 * are not negative as signed numbers. */
int log_head_parse(struct log_head *head, char origin[LOG_ORIGIN_MAX], const char *text, size_t n,
	struct hw_err *err);

/* The public half of an Ed25519 key. */
int log_key_public(uint8_t out[LOG_KEY_LEN], EVP_PKEY *key, struct hw_err *err);

#endif
