/* All texts of the store that a key of the relay's master key seals, for when that is another one.
 */
#ifndef HAWSER_STORE_SEALED_H
#define HAWSER_STORE_SEALED_H

#include "relay/store/db.h"

enum sealed_kind {
	SEALED_ACCESS_KEY, /* id: the key's, of: its user; base64url */
	SEALED_PARAMETERS, /* id: the command's; base64 */
	SEALED_OUTPUT,	   /* id: the command's, of: the node's; base64 */
	SEALED_RECORDING,  /* id, of: number and start of the head of one in a bucket; base64 */
	SEALED_KINDS,
};

struct sealed_text {
	enum sealed_kind kind;
	const char *id, *of, *text; /* in the arena */
};

/* The one that follows in the order of ids, of a kind; all of `last` may be "". 1; 0 after the
 * last. Empty texts are passed over. */
int sealed_next(struct sealed_text *ret, struct db *db, struct arena *arena,
	const struct sealed_text *last, struct hw_err *err);
int sealed_set(struct db *db, const struct sealed_text *what, const char *text, struct hw_err *err);

#endif
