/*
 * Finding entries of the ledger. A thread of its own reads the ledger as it grows, up to what is on
 * disk, and keeps an index of it (search_index.h); who looks for something waits until that has
 * come as far as the ledger was when he asked.
 *
 * What is found is a copy of what the ledger holds; the proof of it is the ledger's. Any thread but
 * the loop's.
 */
#ifndef HAWSER_AUDIT_SEARCH_H
#define HAWSER_AUDIT_SEARCH_H

#include "audit/journal.h"
#include "audit/search_index.h"
#include "proto/schema/schema.h"

struct arena;
struct search;

#define SEARCH_NODE_MAX 64

struct search_config {
	const char *dir; /* of the index; made when missing */
	const char *ledger_dir, *journal_dir;
	struct journal *journal; /* NULL in tests without one: what is there is what there is */
	const struct secret_key *master;
	const struct log_ctx *log;
	bool threaded; /* false: search_catch_up() does the work (tests) */
	/* The node of a session, which not every entry about one names. From the thread that
	 * indexes. NULL: nobody knows. */
	bool (*node_of)(void *arg, const char *session, char node[SEARCH_NODE_MAX]);
	void *arg;
};

int search_new(struct search **ret, const struct search_config *config, struct hw_err *err);
void search_free(struct search *s); /* before what it reads is closed; NULL is fine */

/* Returns when all is found that was in the ledger before the call, in the index that *as_of names:
 * what is begun anew after that is another. HW_EUNAVAILABLE says how far it
 * is: an index that is made anew takes its time; or why it cannot be written just now, which is
 * tried again twice a second. HW_ECORRUPT: the ledger could not be read. */
int search_catch_up(struct search *s, uint64_t *as_of, struct hw_err *err);
/* A part of the index did not verify: it is made anew, before the next call of the above returns.
 */
void search_distrust(struct search *s);
/* The entry after the last that is found, and how far it lags behind. */
uint64_t search_next(struct search *s);
uint64_t search_lag(struct search *s);

/* Searches through recordings are heavy, and only so many go on at once: false when there are
 * `most` already. */
bool search_enter(struct search *s, int most);
void search_leave(struct search *s);

/* --- looking for something -------------------------------------------------------------------- */

/* What an entry must be; all that is given must fit. */
struct search_query {
	/* As they stand in the entry; of a principal's and resource's ARN what is behind the last
	 * slash will do, of an action what is behind the colon. NULL: any. */
	const char *terms[TERMS];
	/* One of these nodes, beside TERM_NODE. */
	const char *const *nodes;
	size_t n_nodes;
	bool by_nodes;	      /* false: any */
	uint64_t kinds;	      /* 1 << enum entry_kind, each; 0: any */
	int outcome;	      /* 0: any */
	int64_t since, until; /* since included, until not; 0: no bound */
	bool oldest_first;
};

/* What an entry is about, for who decides on it. Texts of the arena; NULL: nothing. */
struct search_about {
	const char *node, *session, *command;
};
/* Asked about each entry that fits, in order: keeps it, passes it, or stops before it; an error
 * ends the search. What is kept stays in the arena, but for the bytes, which are good until it
 * returns.
 */
struct search_found {
	const struct msg_ledger_entry *entry;
	struct msg_bin bytes; /* exactly as they are hashed */
	struct search_about about;
};
enum search_verdict { SEARCH_STOP, SEARCH_KEEP, SEARCH_PASS };
typedef int search_fn(void *arg, const struct search_found *found);

/* The work of one call: entries that were looked at, and of these read. */
#define SEARCH_LOOK_MAX 4000000
#define SEARCH_READ_MAX 5000

/* Goes on from *at: oldest first, the next entry to look at; newest first, the one after it. 1:
 * there may be more, and *at says where; 0: there is none. HW_EUNAVAILABLE: the index was begun
 * anew after search_catch_up() gave `as_of`. */
int search_walk(struct search *s, uint64_t as_of, const struct search_query *q, uint64_t *at,
	struct arena *a, search_fn *fn, void *arg, struct hw_err *err);
/* Where a walk begins. */
uint64_t search_begin(struct search *s, const struct search_query *q);

/* --- for search.c and its query ---------------------------------------------------------------
 */

/* The record of an entry; `about` has node, session and command. */
void search_record_of(struct search_record *ret, const struct msg_ledger_entry *e,
	const struct search_about *about);
/* What the entry alone says; texts of the arena. */
void search_about_of(struct search_about *ret, const struct msg_ledger_entry *e, struct arena *a);
struct search_index *search_index_of(struct search *s);
bool search_node_of(struct search *s, const char *session, char node[SEARCH_NODE_MAX]);

#endif
