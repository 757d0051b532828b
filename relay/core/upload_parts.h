/* Uploads in parts of which a kill leaves nothing behind: the id of what is under way is in the
 * queue's row before the first part is sent, and the next attempt takes back what it finds there.
 * Blocks. */
#ifndef HAWSER_CORE_UPLOAD_PARTS_H
#define HAWSER_CORE_UPLOAD_PARTS_H

#include "proto/base/err.h"

struct s3;
struct s3_object;
struct s3_source;
struct store;
struct upload_row;

/* As s3_put(), of whose object `begun` is not set. What it leaves is said in the row. */
int upload_parts_put(struct s3 *s3, struct store *store, struct upload_row *row,
	const struct s3_object *o, const struct s3_source *from, struct hw_err *err);

/* Takes back what an attempt has left; none is fine. The region is the object's, or NULL. As
 * s3_take_back(). */
int upload_parts_clear(struct s3 *s3, struct upload_row *row, const char *region,
	struct hw_err *err);

#endif
