/*
 * How far the sessions that a relay left open are recorded, when it starts again: from what their
 * recordings hold, and from the journal beyond that. It is where each stream goes on.
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
};

/* Reads the whole journal, which must not be written, or tidied by an archiver, meanwhile.
 * HW_ECORRUPT, HW_ENOMEM. */
int reached_new(struct reached **ret, const char *journal_dir, const struct secret_key *master,
	struct hw_err *err);
void reached_free(struct reached *r); /* NULL is fine */

/* Of one session; `session` is its number in the journal. Its recording may grow meanwhile. */
int reached_find(struct reached_streams *ret, const struct reached *r, uint64_t session,
	const char *recordings_dir, const char *session_id, const struct secret_key *master,
	struct hw_err *err);

#endif
