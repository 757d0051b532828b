/* Shared by the files of audit/verify*.c. */
#ifndef HAWSER_AUDIT_VERIFY_PRIVATE_H
#define HAWSER_AUDIT_VERIFY_PRIVATE_H

#include "audit/verify.h"
#include "audit/verify_crew.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/trust/log_epoch.h"

/* What the ledger says of a recording at a size. */
struct verify_fact {
	char id[97];
	bool is_final;
	bool is_gone; /* the recording was deleted; without a hash it was damaged */
	uint64_t entry, size;
	uint8_t hash[MERKLE_LEN];
};

/* A root that the tree must have at a size, and who says so. */
struct verify_mark {
	uint64_t size;
	uint8_t root[MERKLE_LEN];
	const char *file;
	uint64_t from, to; /* bytes there */
	uint32_t epoch;
	bool is_head; /* signed by the key of its epoch; a statement by the one before */
};

/* The chain's value that a head signed. */
struct verify_link {
	uint64_t filed;
	uint8_t chain[MERKLE_LEN];
};

struct verify {
	const struct verify_source *source;
	const struct verify_options *options;
	struct verify_result *result;
	struct log_epochs epochs;
	uint64_t epochs_len; /* bytes of their file */
	bool epochs_short;   /* a head is of an epoch that it doesn't have */

	struct verify_mark *marks;
	size_t n_marks, marks_room;
	struct verify_link *links;
	size_t n_links, links_room;
	struct verify_fact *facts;
	size_t n_facts, facts_room;
	uint64_t *erased, *named; /* entries that are, and that an entry says are */
	size_t n_erased, erased_room, n_named, named_room;

	uint8_t *leaves; /* of the entries from `filed_end` on, which only the journal may have */
	uint64_t filed_end, n_leaves;
	uint64_t files_end;    /* the files go on to here, with what no head speaks of */
	bool unsigned_entries; /* the journal has entries that no head speaks of */
	bool unsigned_names;   /* one that no head speaks of says that another was erased */
	bool sealed_records;   /* it has records, and nothing to open them with */
	struct arena *arena;
	struct verify_crew *crew;
	struct hasher *hashers[VERIFY_HANDS_MAX]; /* one for each hand of the crew */
};

/* What an entry says that other parts have to know. */
struct verify_said {
	char fault[80]; /* why it cannot be one; "" when it can */
	bool has_fact, names;
	struct verify_fact fact; /* about a recording */
	uint64_t named;		 /* an entry that was erased */
};

/* Where something was found, in bytes of a file and entries of the ledger (the ends excluded);
 * VERIFY_NONE where there is none to tell. */
struct verify_finding verify_at(uint64_t from, uint64_t to, uint64_t entry, uint64_t entry_to);
void verify_find(struct verify *v, struct verify_finding at, const char *file, const char *fmt, ...)
	HW_PRINTF(4, 5);
void verify_doubt(struct verify *v, struct verify_finding at, const char *file, const char *fmt,
	...) HW_PRINTF(4, 5);

/* Whether entries may exist that this run has not read: what is not to be found may be in those. */
bool verify_may_miss(const struct verify *v);

/* Room for one more in a growing array; NULL without memory. */
void *verify_grow(void *list, size_t n, size_t *room, size_t size);
/* A whole small file, at most `max` bytes. */
int verify_slurp(struct verify *v, struct buf *out, const char *path, size_t max,
	struct hw_err *err);

/* Each reads its part, and reports what it finds; an error is one of reading. */
int verify_heads(struct verify *v, struct hw_err *err);	     /* verify_heads.c: epochs and heads */
int verify_ledger(struct verify *v, struct hw_err *err);     /* verify_ledger.c: tree and files */
int verify_journal(struct verify *v, struct hw_err *err);    /* verify_journal.c */
int verify_recordings(struct verify *v, struct hw_err *err); /* verify_recordings.c */

/* Reads an entry. Pure but for the arena, which is left as it was. */
void verify_read_entry(struct verify_said *ret, struct arena *arena, uint64_t sequence,
	const uint8_t *p, size_t n);
/* Keeps what it says, and reports what is wrong with it. */
int verify_take_said(struct verify *v, const struct verify_said *said, uint64_t sequence,
	const char *file, uint64_t at, struct hw_err *err);
/* Both. */
int verify_entry(struct verify *v, uint64_t sequence, const uint8_t *p, size_t n, const char *file,
	uint64_t at, struct hw_err *err);

#endif
