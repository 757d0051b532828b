#include "relay/core/upload_parts.h"

#include <stdio.h>
#include <string.h>

#include "relay/objects/s3.h"
#include "relay/store/store.h"
#include "relay/store/uploads.h"

_Static_assert(sizeof(((struct upload_row *)0)->parts_id) == S3_UPLOAD_MAX, "an id fits its row");
_Static_assert(sizeof(((struct upload_row *)0)->parts_of) > S3_BUCKET_MAX + 1 + S3_KEY_MAX,
	"so does its object");

struct parts {
	struct store *store;
	struct upload_row *row;
	const struct s3_object *object;
};

static int
write_row(void *arg, struct db *db, struct hw_err *err)
{
	return upload_set(db, arg, err);
}

static void
forget(struct upload_row *row)
{
	row->parts_of[0] = row->parts_id[0] = '\0';
}

static int
on_begun(void *arg, const char *id, struct hw_err *err)
{
	struct parts *p = arg;
	struct upload_row *row = p->row;

	if (id == NULL) {
		forget(row);
		return 0;
	}
	snprintf(row->parts_of, sizeof(row->parts_of), "%s/%s", p->object->bucket, p->object->key);
	snprintf(row->parts_id, sizeof(row->parts_id), "%s", id);
	return store_write(p->store, write_row, row, err);
}

int
upload_parts_put(struct s3 *s3, struct store *store, struct upload_row *row,
	const struct s3_object *o, const struct s3_source *from, struct hw_err *err)
{
	struct s3_object object = *o;
	struct parts p = {.store = store, .row = row, .object = &object};

	object.begun = on_begun;
	object.arg = &p;
	int r = s3_put(s3, &object, from, err);
	if (r == 0)
		forget(row);
	return r;
}

int
upload_parts_clear(struct s3 *s3, struct upload_row *row, const char *region, struct hw_err *err)
{
	char bucket[S3_BUCKET_MAX + 1];
	const char *slash = strchr(row->parts_of, '/');

	if (row->parts_id[0] == '\0' || slash == NULL)
		return 0;
	snprintf(bucket, sizeof(bucket), "%.*s", (int)(slash - row->parts_of), row->parts_of);
	const struct s3_object o = {.bucket = bucket, .key = slash + 1, .region = region};
	int r = s3_take_back(s3, &o, row->parts_id, err);
	if (r == 0)
		forget(row);
	return r;
}
