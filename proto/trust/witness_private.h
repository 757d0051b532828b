/* A witness's struct, for witness.c and witness_file.c. */
#ifndef HAWSER_TRUST_WITNESS_PRIVATE_H
#define HAWSER_TRUST_WITNESS_PRIVATE_H

#include "proto/trust/witness.h"

struct finding {
	int state; /* WITNESS_STATE_...; 0: none */
	bool proven;
	int64_t since;
	char text[WITNESS_SENTENCE_MAX];
	bool has_shown;
	struct log_head shown;
};

/* What a new head is held against: the kept one, or where a recovery began. */
struct ground {
	uint64_t size;
	uint8_t root[MERKLE_LEN];
	bool recovered; /* the latter, which has no time that counts */
};

struct witness {
	X509 *ca;
	bool has;
	struct log_head kept;
	struct log_epochs epochs; /* when it has one */
	struct finding lasting, passing;
	struct buf evidence; /* the text of its file, until that was written */
	int64_t agreed, recovered;
	bool has_saved, unsaved, damaged, good;
	struct log_head saved;
	int64_t unanswered_since;
	int unanswered; /* in a row */

	/* The head that is judged. */
	enum witness_what waits;
	struct log_head next;
	char origin[LOG_ORIGIN_MAX];
	struct ground ground;
	struct log_epochs fresh;  /* the statements as the relay has them now, once it was asked */
	struct buf statements;	  /* their text, as far as it has come */
	int64_t asked_since;	  /* the number of the last statement there */
	struct finding suspicion; /* becomes a finding unless they explain it */
};

/* Sets state, since and text. */
void witness_find(struct finding *f, int state, int64_t since, const char *fmt, ...)
	HW_PRINTF(4, 5);

/* One of the states that stay. */
bool witness_lasts(int state);

/* Appends the text of all statements. */
int witness_put_epochs(struct buf *out, const struct log_epochs *e);

/* The text of a witness's file, into a new one; false when it is none. */
bool witness_take_text(struct witness *w, const struct buf *text);

/* Makes the evidence's text of what is kept and what is judged. */
void witness_note_evidence(struct witness *w);

#endif
