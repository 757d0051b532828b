/*
 * The file of a recording, for who writes and who reads it.
 *
 *   head   "hwrec-2\n", u32 length of the sealed meta, u32 0, u64 session, u64 position of the
 *          session's start in the journal, wrapped key, 32 bytes that commit to that key, sealed
 *          meta (an encoded recording_meta)
 *   block  u32 "HWBK", u32 length of what is sealed, u64 position up to which the journal's records
 *          of this session are in the file with this block, u32 length of the events, u32 flags,
 *          sealed zstd frame of events
 *
 * Numbers are little-endian. The hash of a recording is a chain: SHA-256 of the head with zeros for
 * the wrapped key, then for each block SHA-256 of the hash so far and the block's bytes. So the
 * hash that the ledger has stays right when the key is wrapped by another master key, and still
 * says which key it is: the commitment is HKDF-SHA256 of it.
 */
#ifndef HAWSER_AUDIT_RECORDING_FILE_H
#define HAWSER_AUDIT_RECORDING_FILE_H

#include "audit/recording.h"

#define RECORDING_ID_MAX     96
#define RECORDING_NAME_MAX   (RECORDING_ID_MAX + 5)
#define RECORDING_WRAPPED_AT 32 /* in the head */
#define RECORDING_COMMIT_AT  (RECORDING_WRAPPED_AT + RECORDING_SEALED(SECRET_KEY_LEN))
#define RECORDING_HEAD_LEN   (RECORDING_COMMIT_AT + SECRET_KEY_LEN) /* without the meta */
#define RECORDING_BLOCK_HEAD 24
#define RECORDING_META_MAX   (256 * 1024)
#define RECORDING_SEALED(n)  ((n) + SECRET_NONCE_LEN + SECRET_TAG_LEN)

enum { BLOCK_LAST = 1 };

/* Whether it can be a session's id, and with a suffix a file's name: [A-Za-z0-9_.@+=-]{1,96}, and
 * no dot first. */
bool recording_id_valid(const char *id);
/* The name of a live (.part) or complete (.rec) one. */
void recording_file_name(char out[RECORDING_NAME_MAX + 1], const char *id, bool complete);

struct recording_head {
	uint64_t session;
	jpos start;
};
struct recording_block {
	jpos to;
	uint32_t raw_len, flags;
};

/* Where a file stands: what is needed to check or to make the next block. */
struct recording_chain {
	struct secret_key key;
	uint8_t hash[SHA256_LEN];
	uint64_t blocks;
	uint64_t at; /* in the file */
};

/* Appends a head with a new key; the chain begins there. */
int recording_head_make(struct buf *out, struct recording_chain *chain,
	const struct recording_head *head, const void *meta, size_t n,
	const struct secret_key *wrap);
/* How long the block at p says to be, of which n bytes are there; its head's length if it can't be
 * so long. */
size_t recording_block_len(const uint8_t *p, size_t n);
/* Appends a block of compressed events; the chain goes on. */
int recording_block_make(struct buf *out, struct recording_chain *chain,
	const struct recording_block *block, const void *packed, size_t n);

/* Reads the head; the meta is appended. HW_ENOTFOUND when it is not wholly there; HW_ECORRUPT. */
int recording_head_read(struct recording_head *head, struct recording_chain *chain,
	struct buf *meta, int fd, const struct secret_key *wrap);
/* Reads the block that is next: 1 and its events, compressed, appended to `packed`; 0 at the end or
 * where a block is not whole; HW_ECORRUPT for one that is whole and does not verify. */
int recording_block_read(struct recording_block *block, struct recording_chain *chain,
	struct buf *packed, int fd);

/* What a complete recording's file is. */
struct recording_facts {
	struct recording_head head;
	uint8_t hash[SHA256_LEN]; /* that the ledger has */
	uint8_t wrapped[RECORDING_SEALED(SECRET_KEY_LEN)];
	uint64_t size;
};
/* Reads all of it. HW_ECORRUPT: it is damaged, or not complete. */
int recording_file_check(struct recording_facts *ret, int fd, const struct secret_key *master,
	struct hw_err *err);
/* Puts the key in its head's place, wrapped by another master key than when it was copied. */
int recording_file_put_key(int fd, const uint8_t wrapped[RECORDING_SEALED(SECRET_KEY_LEN)],
	struct hw_err *err);

/* Wraps the key of a recording's file anew. HW_ENOTFOUND: its head was not wholly written. */
int recording_file_rewrap(int dir, const char *name, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err);

#endif
