/*
 * Heads of a ledger that somebody kept: read from files of signed notes, one after another
 * (anchors, or what GetLedgerHead gave), and from what witnesses keep. Safe on hostile bytes.
 */
#ifndef HAWSER_CLIENT_KEPT_H
#define HAWSER_CLIENT_KEPT_H

#include "audit/verify.h"

struct arena;

#define KEPT_FILE_MAX (64u << 20)
#define KEPT_MAX      500000 /* heads in all */

/* What of a file is no head, or what a witness says. */
struct kept_remark {
	const char *file;
	uint64_t from, to;
	bool broken; /* a witness found that the ledger was changed */
	const char *what;
};

#define KEPT_REMARKS_MAX 1000

struct kept {
	struct arena *arena; /* the caller's; texts live there */
	struct verify_kept *heads;
	size_t n, room;
	struct kept_remark *remarks;
	size_t n_remarks;
};

void kept_init(struct kept *k, struct arena *arena);
void kept_fini(struct kept *k);

/* All heads of a file of notes. What lies between them and is none is a remark. HW_EVALIDATION when
 * there is no head in it, HW_ELIMIT, HW_ENOTFOUND, ... */
int kept_read_notes(struct kept *k, const char *path, struct hw_err *err);
/* The same of a text; `file` is what it is called. */
int kept_take_notes(struct kept *k, const char *file, const char *text, size_t n,
	struct hw_err *err);
/* The head that a witness keeps in a file, or in each file of a folder. */
int kept_read_witnesses(struct kept *k, const char *path, X509 *ca, struct hw_err *err);

#endif
