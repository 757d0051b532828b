/* One request to the storage, for s3.c and multipart.c. */
#ifndef HAWSER_OBJECTS_PRIVATE_H
#define HAWSER_OBJECTS_PRIVATE_H

#include "relay/objects/s3.h"

#define ETAG_MAX  256
#define REPLY_MAX 65536

struct request {
	const char *method;
	const struct s3_object *object;
	const char *query; /* sorted and encoded; NULL: none */
	const struct s3_source *from;
	int64_t offset, n;	  /* of the source */
	const struct s3_sink *to; /* what a good answer's body goes to; NULL: to the reply */
};

/* *reply is what it said; etag (may be NULL) the object's or part's. As s3_put(). */
int s3_request(struct s3 *s, const struct request *req, struct buf *reply, char etag[ETAG_MAX],
	struct hw_err *err);

/* The same without a body. */
int s3_ask(struct s3 *s, const struct request *req, struct buf *reply, struct hw_err *err);

int64_t s3_part_bytes(const struct s3 *s);

/* A source that is memory. */
struct s3_memory {
	struct s3_source source;
	const struct buf *bytes;
};
void s3_memory_init(struct s3_memory *m, const struct buf *bytes);

/* multipart.c */
int s3_put_parts(struct s3 *s, const struct s3_object *o, const struct s3_source *from,
	struct hw_err *err);

#endif
