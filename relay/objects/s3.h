/*
 * Objects in S3-compatible storage: written whole, streamed from a source, read back into a sink,
 * signed with Signature V4. Up to a part's size in one request, beyond it in several (multipart),
 * so that neither memory nor what a lost connection costs grows with the object.
 *
 * A client keeps its connection; one thread at a time. It blocks, and is never used on the loop's
 * thread. It needs no store, no ledger and no relay: whoever has bytes at offsets can use it.
 */
#ifndef HAWSER_OBJECTS_S3_H
#define HAWSER_OBJECTS_S3_H

#include <stdatomic.h>
#include <stdint.h>

#include "relay/objects/place.h"

#define S3_PART_MIN  ((int64_t)5 << 20) /* bytes: S3 takes no smaller one, but the last */
#define S3_PARTS_MAX 10000

struct s3;

struct s3_options {
	struct s3_place place;
	const char *region, *key_id, *secret;
	const char *ca_file; /* the only authorities that count; NULL: the system's */
	int64_t part_bytes;
	int timeout_seconds;	 /* to connect, and without progress */
	const atomic_bool *stop; /* once true, what is under way ends with HW_ECLOSED */
};

/* Texts are copied. The first one is made before other threads are. HW_ENOMEM. */
int s3_new(struct s3 **ret, const struct s3_options *o, struct hw_err *err);
void s3_free(struct s3 *s); /* NULL is fine */

struct s3_object {
	const char *bucket, *key;
	const char *region; /* NULL: the client's */
	/* An upload in parts has begun: who keeps its id until s3_put() is over can take it back
	 * with s3_take_back(), should it be killed meanwhile. Its errors are s3_put()'s. NULL for
	 * the id: it was taken back. NULL: nobody keeps it. */
	int (*begun)(void *arg, const char *id, struct hw_err *err);
	void *arg;
};

#define S3_UPLOAD_MAX 1024 /* of an upload's id, its NUL included */

/* What goes into it. The same bytes are read twice: their hash is sent before them. */
struct s3_source {
	int64_t size;
	/* Appends n bytes from `offset` on, or fewer when there are no more; its errors are
	 * s3_put()'s. */
	int (*read)(void *arg, int64_t offset, size_t n, struct buf *out, struct hw_err *err);
	void *arg;
};

/*
 * HW_EUNAVAILABLE: the endpoint says that it is in trouble: all else would fail there now, too.
 * HW_EUNREACHABLE: there is no way to it, or the way was lost. HW_ECERT: it is not who it should
 * be. Where buckets are names of hosts, both may be the bucket's alone. HW_EDENIED, HW_ENOTFOUND
 * (no such bucket), HW_EVALIDATION: it never takes this object. HW_EREFUSED: it does not take it
 * now. HW_ECLOSED: stopped. HW_ELIMIT: too large. The object is there whole, or as it was before.
 */
int s3_put(struct s3 *s, const struct s3_object *o, const struct s3_source *from,
	struct hw_err *err);

/* Drops the parts that an upload of that object has left. One that the storage does not know, or
 * not any more, is no error; else as s3_put(). */
int s3_take_back(struct s3 *s, const struct s3_object *o, const char *id, struct hw_err *err);

/* Where an object's bytes go, in their order; its errors are s3_get()'s. */
struct s3_sink {
	int64_t max; /* bytes */
	int (*write)(void *arg, const void *p, size_t n, struct hw_err *err);
	void *arg;
};

/* Reads an object. What the sink got of one that fails is worth nothing. HW_ENOTFOUND: no such
 * object, or bucket. HW_ELIMIT: it is larger than the sink's max. Else as s3_put(). */
int s3_get(struct s3 *s, const struct s3_object *o, const struct s3_sink *to, struct hw_err *err);

#endif
