/*
 * How far the sessions that a relay left open are recorded, when it starts again: from what their
 * recordings hold, and from the journal beyond that. It is where each stream goes on, and whose
 * turn it was to type.
 */
#ifndef HAWSER_AUDIT_REACHED_H
#define HAWSER_AUDIT_REACHED_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/standing.h"
#include "proto/base/err.h"

struct reached;
struct secret_key;

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
