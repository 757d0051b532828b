#include "proto/trust/http_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
http_answer_init(struct http_answer *a, struct buf *body)
{
	memset(a, 0, sizeof(*a));
	a->body = body;
}

bool
http_answer_complete(const struct http_answer *a)
{
	return a->state == HTTP_COMPLETE;
}

/* --- lines ----------------------------------------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" */
static int
on_status(struct http_answer *a, struct hw_err *err)
{
	const char *s = a->line;

	if (strncmp(s, "HTTP/1.", 7) != 0 || !is_digit(s[7]) || s[8] != ' ' || s[9] < '1' ||
		s[9] > '5' || !is_digit(s[10]) || !is_digit(s[11]) ||
		(s[12] != '\0' && s[12] != ' '))
		return hw_err_set(err, HW_EPROTO, "what answers there does not speak HTTP");
	a->status = atoi(s + 9);
	a->state = HTTP_HEADERS;
	a->has_length = a->chunked = false;
	return 0;
}

static int
on_length(struct http_answer *a, const char *value, struct hw_err *err)
{
	size_t digits = strspn(value, "0123456789");

	if (digits < 1 || digits > 18 || value[digits] != '\0')
		return hw_err_set(err, HW_EPROTO, "the answer's Content-Length is not a number");
	uint64_t n = strtoull(value, NULL, 10);
	if (a->has_length && n != a->left)
		return hw_err_set(err, HW_EPROTO, "the answer has two Content-Lengths");
	a->has_length = true;
	a->left = n;
	return 0;
}

static int
on_header(struct http_answer *a, struct hw_err *err)
{
	char *colon = strchr(a->line, ':'), *value;

	if (colon == NULL || colon == a->line ||
		strcspn(a->line, " \t") < (size_t)(colon - a->line))
		return hw_err_set(err, HW_EPROTO, "the answer has a malformed header");
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t n = strlen(value); n > 0 && strchr(" \t", value[n - 1]) != NULL; n--)
		value[n - 1] = '\0';
	if (strcasecmp(a->line, "Content-Length") == 0)
		return on_length(a, value, err);
	if (strcasecmp(a->line, "Transfer-Encoding") == 0) {
		if (a->chunked || strcasecmp(value, "chunked") != 0)
			return hw_err_set(err, HW_EPROTO,
				"the answer has an unknown Transfer-Encoding");
		a->chunked = true;
	}
	return 0;
}

/* The headers are over: what comes now is told by them. */
static int
on_head(struct http_answer *a, struct hw_err *err)
{
	if (a->chunked && a->has_length)
		return hw_err_set(err, HW_EPROTO,
			"the answer has both a Content-Length and a Transfer-Encoding");
	if (a->has_length && a->left > a->body->max - a->body->len)
		return hw_err_set(err, HW_ELIMIT, "the answer has more than %zu bytes",
			a->body->max);
	if (a->status < 200) /* an interim one; the answer follows */
		a->state = HTTP_STATUS;
	else if (a->status == 204 || a->status == 304 || (a->has_length && a->left == 0))
		a->state = HTTP_COMPLETE;
	else if (a->chunked)
		a->state = HTTP_CHUNK_SIZE;
	else
		a->state = a->has_length ? HTTP_BODY : HTTP_BODY_OPEN;
	return 0;
}

/* "1f", perhaps ";extension" */
static int
on_chunk_size(struct http_answer *a, struct hw_err *err)
{
	size_t digits = strspn(a->line, "0123456789abcdefABCDEF");

	if (digits < 1 || digits > 15 || (a->line[digits] != '\0' && a->line[digits] != ';'))
		return hw_err_set(err, HW_EPROTO, "the answer has a malformed chunk");
	a->left = strtoull(a->line, NULL, 16);
	if (a->left > a->body->max - a->body->len)
		return hw_err_set(err, HW_ELIMIT, "the answer has more than %zu bytes",
			a->body->max);
	a->state = a->left > 0 ? HTTP_CHUNK : HTTP_TRAILERS;
	return 0;
}

static int
on_line(struct http_answer *a, struct hw_err *err)
{
	bool empty = a->line[0] == '\0';

	switch (a->state) {
	case HTTP_STATUS:
		return on_status(a, err);
	case HTTP_HEADERS:
		return empty ? on_head(a, err) : on_header(a, err);
	case HTTP_CHUNK_SIZE:
		return on_chunk_size(a, err);
	case HTTP_CHUNK_END:
		a->state = HTTP_CHUNK_SIZE;
		return empty ? 0 : hw_err_set(err, HW_EPROTO, "the answer has a malformed chunk");
	default: /* trailers say nothing to us */
		if (empty)
			a->state = HTTP_COMPLETE;
		return 0;
	}
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* A line ends in CR LF. Those between chunks don't count as head: each brings a byte of body. */
static int
feed_line(struct http_answer *a, char c, struct hw_err *err)
{
	bool is_head = a->state != HTTP_CHUNK_SIZE && a->state != HTTP_CHUNK_END;

	if (a->line_len + 1 >= sizeof(a->line) || (is_head && ++a->head > HTTP_HEAD_MAX))
		return hw_err_set(err, HW_ELIMIT, "the answer's head is too long");
	if (c == '\0')
		return hw_err_set(err, HW_EPROTO, "the answer's head has a zero byte");
	if (c != '\n') {
		a->line[a->line_len++] = c;
		return 0;
	}
	if (a->line_len == 0 || a->line[a->line_len - 1] != '\r')
		return hw_err_set(err, HW_EPROTO, "a line of the answer does not end in CR LF");
	a->line[a->line_len - 1] = '\0';
	a->line_len = 0;
	return on_line(a, err);
}

static int
feed_body(struct http_answer *a, const char *p, size_t n, struct hw_err *err)
{
	int r = buf_append(a->body, p, n);

	if (r < 0)
		return hw_err_set(err, r, "the answer has more than %zu bytes", a->body->max);
	if (a->state == HTTP_BODY_OPEN)
		return 0;
	a->left -= n;
	if (a->left == 0)
		a->state = a->state == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_COMPLETE;
	return 0;
}

int
http_answer_feed(struct http_answer *a, const void *p, size_t n, struct hw_err *err)
{
	const char *at = p;
	int r = 0;

	while (r == 0 && n > 0 && a->state != HTTP_COMPLETE) {
		size_t step = 1;
		if (a->state == HTTP_BODY_OPEN)
			step = n;
		else if (a->state == HTTP_BODY || a->state == HTTP_CHUNK)
			step = n < a->left ? n : (size_t)a->left;
		r = a->state == HTTP_BODY || a->state == HTTP_BODY_OPEN || a->state == HTTP_CHUNK
			? feed_body(a, at, step, err)
			: feed_line(a, *at, err);
		at += step;
		n -= step;
	}
	return r;
}

int
http_answer_end(struct http_answer *a, bool clean, struct hw_err *err)
{
	if (a->state == HTTP_BODY_OPEN && clean)
		a->state = HTTP_COMPLETE;
	if (a->state == HTTP_COMPLETE)
		return 0;
	return hw_err_set(err, HW_EUNAVAILABLE, "the relay closed the connection %s",
		a->status == 0 ? "before it answered" : "in the middle of its answer");
}
