/*
 * The file beside the ledger in which entries are found: for each entry, in order, a record of what
 * it is about, and a copy of its bytes. It is made of the ledger, holds nothing that the ledger has
 * not, and may be deleted at any time: then it is made again.
 *
 * Entries lie in blocks of SEARCH_BLOCK: a head, the sealed records, the sealed and compressed
 * bytes, all in this machine's byte order. What does not fill a block yet is in memory alone. A
 * block that is not whole is cut off when the file is opened; nothing is ever synced.
 *
 * One thread appends; any may read meanwhile.
 */
#ifndef HAWSER_AUDIT_SEARCH_INDEX_H
#define HAWSER_AUDIT_SEARCH_INDEX_H

#include "proto/base/buf.h"
#include "proto/trust/secret.h"

#define SEARCH_BLOCK	  256
#define SEARCH_INDEX_FILE "entries.idx"
#define SEARCH_INDEX	  "index/" SEARCH_INDEX_FILE /* in the relay's directory */

/* What an entry can be found by, beside time, kind and outcome. */
enum search_term {
	TERM_PRINCIPAL,
	TERM_NODE,
	TERM_ACTION,
	TERM_RESOURCE,
	TERM_SOURCE,
	TERM_SESSION,
	TERM_COMMAND,
	TERM_REQUEST,
	TERMS,
};

struct search_record {
	int64_t time;
	uint32_t terms[TERMS]; /* hashes; 0: it has none */
	uint32_t at, len;      /* of its bytes, among those of its block */
	uint8_t kind, outcome; /* kind: enum entry_kind and 1; 0: none that we know; or damaged */
	uint8_t zero[6];
};

/* Of what could not be read. A block with such a one is not believed when the file is opened: what
 * is damaged may have been put right. */
#define SEARCH_KIND_DAMAGED 0xff

struct search_index;

#define SEARCH_ANEW "the ledger's index begins anew; ask again"

/* `name` in `dir`, made when missing; one that is none of ours, or does not verify, is begun anew.
 */
int search_index_open(struct search_index **ret, int dir, const char *name,
	const struct secret_key *master, struct hw_err *err);
void search_index_close(struct search_index *x); /* NULL is fine */
/* Overwrites and removes the file in the relay's directory, of which nobody has it open: it will be
 * made anew, without what was erased, and under the master key that is in force then. Fine when it
 * is missing. */
int search_index_discard(int relay_dir, struct hw_err *err);
/* Forgets everything; the next entry is `next`. */
int search_index_reset(struct search_index *x, uint64_t next, struct hw_err *err);
/* How often it has: what was found before and what is found after are not of one index. */
uint64_t search_index_resets(struct search_index *x);

/* The first entry that it has, and the one whose turn it is. */
uint64_t search_index_first(struct search_index *x);
uint64_t search_index_next(struct search_index *x);
/* Appends the entry search_index_next(); record->at and len are filled in. */
int search_index_append(struct search_index *x, const struct search_record *record,
	const void *bytes, size_t n, struct hw_err *err);

/* Where the block with an entry begins, how many it has, and between which times they lie. False:
 * there is no such entry. */
struct search_span {
	uint64_t first;
	size_t n;
	int64_t oldest, newest;
};
bool search_index_span(struct search_index *x, uint64_t sequence, struct search_span *ret);

/* A block's records in memory of one's own, and its bytes once they are asked for. */
struct search_page {
	uint64_t first;
	size_t n;
	struct search_record records[SEARCH_BLOCK];
	struct buf bytes;
	bool has_bytes;
};
void search_page_init(struct search_page *p);
void search_page_fini(struct search_page *p);
/* The block with that entry. HW_ECORRUPT; HW_EUNAVAILABLE: there is none any more, since it was
 * reset. */
int search_index_read(struct search_index *x, uint64_t sequence, struct search_page *ret,
	struct hw_err *err);
/* The bytes of an entry of the page, good until the next search_index_read(). HW_ECORRUPT. */
int search_index_bytes(struct search_index *x, struct search_page *p, uint64_t sequence,
	const uint8_t **bytes, size_t *n, struct hw_err *err);

#endif
