/* The output of many nodes until it is shown, by step and stream, and a digest by which equal ones
 * are found. */
#ifndef HAWSER_CLIENT_KEEP_H
#define HAWSER_CLIENT_KEEP_H

#include "client/follow.h"
#include "client/spool.h"

#define KEEP_DIGEST 32

struct keep;

/* Of a node: its steps' streams, two a step. */
struct kept {
	struct spooled *streams;
	size_t n;
	uint8_t digest[KEEP_DIGEST]; /* of all of it, kept or not; good after keep_end() */
	struct keep_digests *digests;
};

/* At most `each` bytes of each stream are kept. */
int keep_new(struct keep **ret, int64_t each, struct hw_err *err);
void keep_free(struct keep *k); /* NULL is fine; what is kept is freed by keep_drop() */

/* Nodes begin with NULL in of_view; here it becomes a struct kept. */
int keep_output(struct keep *k, struct follow_node *node, int stream, size_t step, const uint8_t *p,
	size_t n, struct hw_err *err);
/* All of the node's output is here. */
int keep_end(struct keep *k, struct follow_node *node, struct hw_err *err);
void keep_drop(struct keep *k, struct follow_node *node);
void keep_drop_all(struct keep *k, const struct follow *f); /* NULL is fine */

/* NULL: there was none. */
const struct spooled *keep_stream(const struct follow_node *node, size_t step, int stream);
struct spool *keep_spool(const struct keep *k);

#endif
