/*
 * A witness of a relay's ledger: keeps the last signed head that it was shown, and the statements
 * of the ledger's epochs, and holds each head that it is shown against them. A relay that rewrites,
 * cuts or forks its ledger cannot show such a witness a head that follows from the one it keeps.
 *
 * It knows no transport and no clock. Whoever has a link feeds it:
 *
 *   witness_head()      a head that the relay showed
 *   ask.what            says what to ask the relay next, in turn, and whose answer goes to
 *     WITNESS_EPOCHS    GetLedgerHead with SinceEpoch = ask.since: witness_epochs()
 *     WITNESS_PROOF     GetConsistencyProof with OldSize, Size: witness_proof()
 *     either            when the answer was an error, or none: witness_unanswered()
 *     WITNESS_NOTHING   it has judged: witness_status() says how
 *
 * A head that comes before the last was judged takes its place; an answer that comes then is
 * dropped by the caller. What is kept is written with witness_save() and read with witness_load();
 * a caller who tells somebody how far it keeps the ledger says the head that is saved.
 *
 * Who runs several programs over one file locks it from loading to saving, and asks for the head
 * after it has the lock.
 *
 * Safe on hostile input: heads of 767 bytes, 512 statements and proofs of 65 hashes at most; a head
 * is two verified signatures, a list of statements one each.
 */
#ifndef HAWSER_TRUST_WITNESS_H
#define HAWSER_TRUST_WITNESS_H

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/schema/schema.h"
#include "proto/trust/log_epoch.h"

#define WITNESS_FILE	 "witness"	    /* its name in a node's directory */
#define WITNESS_EVIDENCE "witness.evidence" /* and that of what contradicts */

#define WITNESS_FILE_MAX     (LOG_EPOCHS_MAX * LOG_EPOCH_MAX + 8192)
#define WITNESS_EVIDENCE_MAX (2 * LOG_EPOCHS_MAX * LOG_EPOCH_MAX + 8192)
#define WITNESS_SENTENCE_MAX 384 /* with its NUL */

/* A relay signs a head every ten minutes even when nothing is new. The rest is for clocks that are
 * not set well. */
#define WITNESS_STALE_AFTER (30 * 60 * USEC_PER_SEC)
/* How far ahead of this machine's clock a head may be dated. One from further on would hide for as
 * long that no newer ones come. */
#define WITNESS_AHEAD_MAX (30 * 60 * USEC_PER_SEC)
/* How long a relay may answer the question for a proof with excuses. */
#define WITNESS_UNPROVEN_AFTER (15 * 60 * USEC_PER_SEC)

struct witness;

/* One that keeps nothing: it takes the first head that the authority's statements allow. The
 * certificate is the caller's, and outlives it. NULL without memory. */
struct witness *witness_new(X509 *ca);
void witness_free(struct witness *w); /* NULL is fine */

/* --- judging ---------------------------------------------------------------------------------- */

enum witness_what { WITNESS_NOTHING, WITNESS_EPOCHS, WITNESS_PROOF };

struct witness_ask {
	enum witness_what what;
	int64_t since;		/* WITNESS_EPOCHS */
	int64_t old_size, size; /* WITNESS_PROOF */
};

/* `now` is this machine's own clock, in microseconds since 1970. Each sets *ask. */
void witness_head(struct witness *w, const char *text, size_t n, int64_t now,
	struct witness_ask *ask);
void witness_epochs(struct witness *w, const char *text, size_t n, int64_t last_epoch, int64_t now,
	struct witness_ask *ask);
void witness_proof(struct witness *w, const uint8_t *hashes, size_t n, int64_t now,
	struct witness_ask *ask);
/* HW_EVALIDATION says that the relay has not so many entries, or no such proof: that is an answer.
 * With any other code it is asked again with the next head; `why` may be NULL. */
void witness_unanswered(struct witness *w, int code, const char *why, int64_t now,
	struct witness_ask *ask);

/* To be called now and then on a link that has been up since `since`: that no new head came for
 * WITNESS_STALE_AFTER, from a relay that has shown one, is a finding too. */
void witness_look(struct witness *w, int64_t now, int64_t since);

/* --- what it has found ------------------------------------------------------------------------ */

/*
 * WITNESS_STATE_...
 *   FORK       a head of the same size has another root
 *   ROLLBACK   the ledger is shorter than it was, or its heads' times went back
 *   REWRITTEN  the relay could not prove that the new ledger begins with the kept one
 *   EPOCHS     the epochs are not those that were kept, and no recovery key says why
 *   DAMAGED    the file of what was kept is not what was written
 * stay until a statement by the recovery key (DAMAGED: until somebody has removed the file);
 *   UNSIGNED   a head or a statement without the signature that it must have
 *   UNPROVEN   no answer to the question for a proof, for WITNESS_UNPROVEN_AFTER
 *   STALE      the newest head is older than WITNESS_STALE_AFTER, or dated more than
 *              WITNESS_AHEAD_MAX ahead
 * until the next good head. Only the first of those that stay is kept, or the first that its two
 * heads alone prove.
 */
struct witness_status {
	int state;	  /* WITNESS_STATE_AGREES while it keeps none, too */
	bool lasts;	  /* until recovered */
	bool proven;	  /* the two heads alone are the proof */
	int64_t since;	  /* when it was found; 0 while it agrees */
	const char *text; /* one sentence; "" while it agrees. These pointers are good until the
			     next call that is not const */
	const struct log_head *kept;  /* NULL: none */
	const struct log_head *saved; /* what the file has of it; NULL: none */
	const struct log_head *shown; /* what contradicts the kept one; NULL: none */
	const char *origin;	      /* "" while it keeps none */
	int64_t agreed;		      /* when the last head was found good; 0: none yet */
	int64_t recovered;	      /* when a recovery was taken up last; 0: never */
	bool good;		      /* the head that was shown last was judged, and is */
	bool judging;		      /* a head waits for the answer to *ask */
	bool unsaved;		      /* there is something that the file has not */
	bool has_evidence;	      /* and something for witness_save_evidence() */
};
void witness_status(const struct witness *w, struct witness_status *ret);

/* --- files ------------------------------------------------------------------------------------ */

/* Into a new witness. HW_ENOTFOUND: there is none, and it keeps nothing. HW_ECORRUPT: it is not
 * what witness_save() wrote, or not signed for this authority. The witness says DAMAGED from then
 * on, goes by what it is shown, and saves nothing: whoever looks into it removes the file. */
int witness_load(struct witness *w, int dir, const char *name, struct hw_err *err);
/* In one step that survives a power cut, with mode 0600. HW_ECORRUPT after DAMAGED. */
int witness_save(struct witness *w, int dir, const char *name, struct hw_err *err);

/* The two heads that contradict, with the statements of their epochs. Does nothing when there are
 * none. */
int witness_save_evidence(struct witness *w, int dir, const char *name, struct hw_err *err);
/* What the text of such a file shows, by the authority's certificate alone: 1: the heads contradict
 * each other; 0: they are signed for the same ledger, and only its files can show that they do;
 * `said` is a sentence then. HW_ECORRUPT: it is no evidence of anything. */
int witness_check_evidence(char said[WITNESS_SENTENCE_MAX], const void *text, size_t n, X509 *ca,
	struct hw_err *err);

/* "Fork" as it is said in sentences: "a fork". */
const char *witness_state_word(int state);

#endif
