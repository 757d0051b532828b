/*
 * An HTTP/1.1 answer, fed as its bytes come: status, then a body by length, by chunks, or up to the
 * end. For hostile bytes: heads are bounded, the body by its buffer's cap. Private to proto/trust.
 */
#ifndef HAWSER_TRUST_HTTP_ANSWER_H
#define HAWSER_TRUST_HTTP_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

#define HTTP_HEAD_MAX 16384 /* bytes of status line, headers and trailers together */
#define HTTP_LINE_MAX 8192

enum http_state {
	HTTP_STATUS,
	HTTP_HEADERS,
	HTTP_BODY,	/* `left` bytes, then it's complete */
	HTTP_BODY_OPEN, /* up to the end */
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK, /* `left` bytes, then the end of its line */
	HTTP_CHUNK_END,
	HTTP_TRAILERS,
	HTTP_COMPLETE,
};

struct http_answer {
	enum http_state state;
	int status;
	struct buf *body; /* lent */
	uint64_t left;
	size_t head;
	bool has_length, chunked;
	size_t line_len;
	char line[HTTP_LINE_MAX];
};

void http_answer_init(struct http_answer *a, struct buf *body);

/* HW_EPROTO when it is no HTTP, HW_ELIMIT when a bound is passed. Bytes after the answer are
 * ignored: the connection closes. */
int http_answer_feed(struct http_answer *a, const void *p, size_t n, struct hw_err *err);
bool http_answer_complete(const struct http_answer *a);

/* No more bytes come; `clean` when the peer said so, and nobody cut the connection. */
int http_answer_end(struct http_answer *a, bool clean, struct hw_err *err);

#endif
