/*
 * How far the sessions that a relay left open are recorded, when it starts again: from what their
 * recordings hold, and from the journal beyond that. It is where each stream goes on, and whose
 * turn it was to type.
 */
#ifndef HAWSER_AUDIT_REACHED_H
#define HAWSER_AUDIT_REACHED_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/schema/schema.h"

struct reached;
struct secret_key;

struct reached_streams {
	uint64_t offset[STREAMS]; /* after the last byte; a rewind sets it back */
	uint64_t echoed;	  /* input below it has its echo mark */
	bool known;		  /* the session's start is recorded */
	/* Who typed last, from which offset on, and where the owner's own input stood there. Of one
	 * that only its owner typed into, all are 0. */
	uint32_t author, authors; /* the highest that was given */
	uint64_t author_from, author_base;
	int cols, rows; /* 0: not known */
};

/* How a session ended, of which only the store does not know: it is the last to be told. */
struct reached_end {
	bool recorded; /* its recording has the end */
	bool noted;    /* and the ledger */
	bool well;     /* by the ledger, or else by the recording */
	bool exited;
	int exit_status;
	char why[1025]; /* by the ledger; "" when it does not tell */
};

/* Reads the whole journal, which must not be written, or tidied by an archiver, meanwhile.
 * HW_ECORRUPT, HW_ENOMEM. */
int reached_new(struct reached **ret, const char *journal_dir, const struct secret_key *master,
	struct hw_err *err);
void reached_free(struct reached *r); /* NULL is fine */

/* False when it had not ended. */
bool reached_ended(struct reached_end *ret, const struct reached *r, uint64_t session,
	const char *session_id);

/* Of one session; `session` is its number in the journal. Its recording may grow meanwhile. */
int reached_find(struct reached_streams *ret, const struct reached *r, uint64_t session,
	const char *recordings_dir, const char *session_id, const struct secret_key *master,
	struct hw_err *err);

#endif
