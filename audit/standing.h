/* Where a session's streams stand, and whose turn it is to type, by the events of its recording. */
#ifndef HAWSER_AUDIT_STANDING_H
#define HAWSER_AUDIT_STANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/schema/schema.h"

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

/* Encoded events that come next, whole ones. HW_ECORRUPT. */
int standing_take(struct reached_streams *at, const void *events, size_t n, struct hw_err *err);

/* From `offset` on this author types; p: an encoded recording_author. What cannot be read is
 * nobody's, whose turn begins there too: the owner's own offset is then not known, and its input
 * goes on at the node's. */
void standing_turn(struct reached_streams *at, uint32_t author, uint64_t offset, const void *p,
	size_t n);
void standing_size(struct reached_streams *at, uint64_t cols, uint64_t rows);

#endif
