/*
 * The doors of the relay's port, as far as HTTP goes: what a request's head asks for, whether it
 * may, and how an answer is written. Pure functions over text.
 */
#ifndef HAWSER_EDGE_HTTP_H
#define HAWSER_EDGE_HTTP_H

#include <stdbool.h>

#include "proto/base/buf.h"

#define HTTP_BODY_MAX	     (64 * 1024)  /* of a request */
#define HTTP_SIGNED_BODY_MAX (192 * 1024) /* of a signed one */

#define HTTP_JSON     "application/json"
#define HTTP_JSON_SSM "application/x-amz-json-1.1"

enum http_door { HTTP_DOOR_MAIN, HTTP_DOOR_METRICS };
enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

/* A head's parts; a header that was not there is NULL. */
struct http_head {
	enum http_door door;
	enum http_method method;
	const char *path; /* without the query */
	bool query;	  /* there is one */
	const char *expect;
	const char *content_length, *content_type, *transfer_encoding;
	const char *upgrade; /* "websocket" */
	const char *ws_version, *ws_key, *ws_protocols, *connection,
		*origin; /* when upgrade is there */
};

enum http_action {
	HTTP_REFUSE, /* answer with status, code and message */
	HTTP_HEALTH,
	HTTP_METRICS,
	HTTP_OPERATION, /* read `length` bytes of body and call op */
	HTTP_SIGNED,	/* the same; who asks, and for what, is in headers */
	HTTP_LINK,	/* become a link, if the certificate is good for one */
};

struct http_plan {
	enum http_action action;
	const char *op; /* HTTP_OPERATION */
	size_t length;
	bool go_on;	  /* the body waits to be asked for: 100 Continue */
	const char *type; /* of the answer */
	int status;	  /* HTTP_REFUSE */
	const char *code, *message;
	const char *extra; /* a header line with its CRLF, or NULL */
};

struct http_plan http_plan(const struct http_head *head);

struct http_answer {
	int status;
	const char *type; /* of the body */
	const char *extra;
	const char *request_id; /* NULL: none */
	bool close, head;	/* head: the body's length only */
};

/* Appends the whole answer: HW_ENOMEM, HW_ELIMIT. */
int http_answer(struct buf *out, const struct http_answer *a, const void *body, size_t n);

/* Appends {"__type":code,"message":message}. */
int http_error_body(struct buf *out, const char *code, const char *message);

#endif
