/*
 * Secrets at rest and in flight: the master key, sealing with it, sealing to the auditors, tokens.
 * Keys are wiped when freed; nothing here prints.
 */
#ifndef HAWSER_TRUST_SECRET_H
#define HAWSER_TRUST_SECRET_H

#include <stdbool.h>

#include "proto/base/buf.h"

#define SECRET_KEY_LEN	 32
#define SECRET_TAG_LEN	 16
#define SECRET_NONCE_LEN 12

struct secret_key {
	uint8_t bytes[SECRET_KEY_LEN];
};

/* The relay's master key: 32 random bytes in a 0600 file as hex. Creating one never replaces a file
 * (HW_EEXISTS). Loading fails with HW_EDENIED when others may read it, HW_ECORRUPT when it is not a
 * key. */
int secret_key_create(struct secret_key *key, const char *path, struct hw_err *err);
int secret_key_load(struct secret_key *key, const char *path, struct hw_err *err);
void secret_key_random(struct secret_key *key);
void secret_key_wipe(struct secret_key *key);

/* A secret that somebody else made: the first line of a file, as private as a key's. HW_EDENIED,
 * HW_ECORRUPT when there is none in it or it is longer than the room. */
int secret_text_load(char *out, size_t room, const char *path, struct hw_err *err);

/* A key for one purpose, by HKDF-SHA256 with `label`. */
void secret_key_derive(struct secret_key *out, const struct secret_key *from, const char *label);

/* AES-256-GCM with a random nonce: nonce, ciphertext, tag are appended to out. The associated data
 * must be the same when it is opened: say there what the bytes are for, so that they can't be
 * moved. Opening appends the plain bytes, or nothing: HW_ECORRUPT. Both: HW_ELIMIT past the
 * buffer's cap. */
int secret_seal(struct buf *out, const struct secret_key *key, const char *aad, const void *p,
	size_t n);
int secret_open(struct buf *out, const struct secret_key *key, const char *aad, const void *p,
	size_t n);

/* Many small seals under one key with a counter as nonce: a context that keeps the key schedule.
 * `out` has room for n + SECRET_TAG_LEN when sealing, for n - SECRET_TAG_LEN when opening (there n
 * includes the tag; HW_ECORRUPT, and out is zeroed). out == p is fine, any other overlap is not.
 * One counter value must never be sealed twice with a key. Not thread-safe. NULL only without
 * memory. */
struct secret_stream;
struct secret_stream *secret_stream_new(const struct secret_key *key);
void secret_stream_free(struct secret_stream *s);
int secret_stream_seal(struct secret_stream *s, uint64_t counter, const void *aad, size_t aad_len,
	uint8_t *out, const void *p, size_t n);
int secret_stream_open(struct secret_stream *s, uint64_t counter, const void *aad, size_t aad_len,
	uint8_t *out, const void *p, size_t n);
/* What secret_seal() and secret_open() make and take, for many with one key. `out` has room for the
 * n bytes and SECRET_NONCE_LEN + SECRET_TAG_LEN more; for as much less when opening. No overlap. */
int secret_stream_seal_alone(struct secret_stream *s, const char *aad, uint8_t *out, const void *p,
	size_t n);
int secret_stream_open_alone(struct secret_stream *s, const char *aad, uint8_t *out, const void *p,
	size_t n);

/*
 * Boxes: bytes sealed to the X25519 public keys of some readers, any of whom opens them alone. A
 * fresh key seals the bytes; a fresh X25519 key and HKDF-SHA256 wrap it for each reader
 * (AES-256-GCM throughout). `aad` says what the bytes are and where they belong: a box that was
 * moved does not open, nor one whose list of readers was changed.
 *
 *   u8 version (2), u8 number of readers, the fresh public key, for each reader the first 8 bytes
 *   of the SHA-256 of its public key and the wrapped key; then the sealed bytes
 *
 * Sealing fails with HW_EVALIDATION when a reader's key is none that one can seal to; opening with
 * HW_EDENIED when the box is sealed to others, HW_EVERSION for another version, else HW_ECORRUPT.
 */
#define BOX_KEY_LEN	32
#define BOX_ID_LEN	8
#define BOX_READERS_MAX 4
#define BOX_SLOT_LEN	(BOX_ID_LEN + SECRET_KEY_LEN + SECRET_TAG_LEN)
#define BOX_OVERHEAD(n) (2 + BOX_KEY_LEN + (n)*BOX_SLOT_LEN + SECRET_TAG_LEN)
#define BOX_AAD_MAX	512

struct box_readers {
	size_t n; /* at most BOX_READERS_MAX */
	uint8_t keys[BOX_READERS_MAX][BOX_KEY_LEN];
};

int box_keygen(uint8_t pub[BOX_KEY_LEN], uint8_t priv[BOX_KEY_LEN]);
/* The public half. */
int box_public(uint8_t pub[BOX_KEY_LEN], const uint8_t priv[BOX_KEY_LEN]);
/* How people tell keys apart: hex of the bytes that a box names it by. */
void box_key_id(char out[2 * BOX_ID_LEN + 1], const uint8_t pub[BOX_KEY_LEN]);
int box_seal(struct buf *out, const struct box_readers *to, const char *aad, const void *p,
	size_t n);
int box_open(struct buf *out, const uint8_t priv[BOX_KEY_LEN], const char *aad, const void *p,
	size_t n);

/* Tokens are random, so a plain SHA-256 keeps them: the store holds only the hash. */
#define SHA256_LEN 32
void sha256(uint8_t out[SHA256_LEN], const void *p, size_t n);
/* Of one run of bytes after another. */
void sha256_joined(uint8_t out[SHA256_LEN], const void *p, size_t n, const void *q, size_t m);

/* The same for who makes millions of them: with one context, which is four fifths of what a small
 * one costs. Not thread-safe. NULL only without memory; freeing NULL is fine. */
struct hasher;
struct hasher *hasher_new(void);
void hasher_free(struct hasher *h);
void hasher_joined(struct hasher *h, uint8_t out[SHA256_LEN], const void *p, size_t n,
	const void *q, size_t m);

#define TOKEN_LEN 43 /* 32 random bytes, base64url */
void token_make(char out[TOKEN_LEN + 1]);
void token_hash(char out[2 * SHA256_LEN + 1], const char *token); /* hex */
bool bytes_equal(const void *a, const void *b, size_t n);	  /* in constant time */

#endif
