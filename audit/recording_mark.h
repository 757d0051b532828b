/*
 * A mark of how far a live recording was written: a small file beside it, DIR/<session id>.mark,
 * sealed with the recording's own key. Who takes the recording up reads only what comes after, and
 * so a relay starts again as fast with a long recording as with a short one. A mark may be missing
 * or old; one that is damaged, or says more than the file has, is as none.
 */
#ifndef HAWSER_AUDIT_RECORDING_MARK_H
#define HAWSER_AUDIT_RECORDING_MARK_H

#include "audit/recording_file.h"
#include "audit/standing.h"

struct recording_mark {
	uint8_t hash[SHA256_LEN]; /* the chain's, at a block's end */
	uint64_t blocks, at;
	jpos covered;
	struct reached_streams streams;
};

/* For a file that is on disk up to there. The mark itself need not be: it replaces the older one at
 * once, or does not. */
int recording_mark_write(int dir, const char *id, const struct secret_key *key,
	const struct recording_mark *mark, struct hw_err *err);
/* False when there is none of use for a file of this size. */
bool recording_mark_read(struct recording_mark *ret, int dir, const char *id,
	const struct secret_key *key, uint64_t size);
/* The chain of the same recording goes on there. */
void recording_chain_go_to(struct recording_chain *chain, const struct recording_mark *mark);
void recording_mark_remove(int dir, const char *id);

#endif
