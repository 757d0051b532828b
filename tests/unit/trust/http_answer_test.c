#include "proto/trust/http_answer.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP 64

/* Feeds the bytes in pieces of `step`, then the end. What the answer is, or the error. */
static int
feed(const char *text, size_t n, size_t step, bool clean, struct buf *body)
{
	struct http_answer *a = malloc(sizeof(*a));
	struct hw_err err = HW_ERR_INIT;
	int r = 0;

	buf_init(body, CAP);
	http_answer_init(a, body);
	for (size_t at = 0; r == 0 && at < n; at += step)
		r = http_answer_feed(a, text + at, n - at < step ? n - at : step, &err);
	if (r == 0)
		r = http_answer_end(a, clean, &err);
	cr_expect(eq(int, r, err.code));
	r = r == 0 ? a->status : r;
	free(a);
	return r;
}

static void
expect(const char *text, int status, const char *body)
{
	for (size_t step = 1; step < 40; step++) {
		struct buf got;
		cr_expect(eq(int, feed(text, strlen(text), step, true, &got), status), "%s", text);
		cr_expect(eq(int, status > 0 ? strcmp(buf_str(&got), body) : 0, 0), "%s", text);
		buf_fini(&got);
	}
}

Test(http_answer, has_a_length_or_chunks_or_goes_to_the_end)
{
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
	expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "");
	expect("HTTP/1.1 204\r\n\r\n", 204, "");
	expect("HTTP/1.0 400 Bad\r\n\r\nhello", 400, "hello");
	expect("HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding:  Chunked \r\n\r\n"
	       "3\r\nhel\r\n02;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
		200, "hello");
	expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200,
		"ok");
	expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nokmore", 200,
		"ok");
}

Test(http_answer, that_is_cut_is_not_taken_for_whole)
{
	static const char length[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	static const char chunks[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	static const char open[] = "HTTP/1.1 200 OK\r\n\r\nhello";
	struct buf body;

	for (size_t n = 0; n < strlen(length); n++) {
		cr_expect(eq(int, feed(length, n, n + 1, true, &body), HW_EUNAVAILABLE));
		buf_fini(&body);
	}
	for (size_t n = 0; n < strlen(chunks); n++) {
		cr_expect(eq(int, feed(chunks, n, n + 1, true, &body), HW_EUNAVAILABLE));
		buf_fini(&body);
	}
	cr_expect(eq(int, feed(open, strlen(open), 100, false, &body), HW_EUNAVAILABLE));
	buf_fini(&body);
}

Test(http_answer, past_its_cap_is_a_limit)
{
	char text[256], many[CAP + 2];

	memset(many, 'x', sizeof(many));
	many[CAP + 1] = '\0';
	snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", CAP + 1,
		many);
	expect(text, HW_ELIMIT, "");
	snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n\r\n%s", many);
	expect(text, HW_ELIMIT, "");
	snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n%x\r\n%s", CAP,
		many);
	expect(text, HW_ELIMIT, "");
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
		HW_ELIMIT, "");
}

Test(http_answer, with_an_endless_head_is_a_limit)
{
	struct buf text, body;

	buf_init(&text, 1 << 20);
	buf_append_str(&text, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 2000; i++)
		buf_append_str(&text, "X-More: yes\r\n");
	cr_assert(eq(int, feed((char *)buf_data(&text), text.len, 1000, true, &body), HW_ELIMIT));
	buf_fini(&body);
	buf_reset(&text);
	for (int i = 0; i < 2000; i++)
		buf_append_str(&text, "HTTP/1.1 100 Continue\r\n\r\n");
	cr_assert(eq(int, feed((char *)buf_data(&text), text.len, 1000, true, &body), HW_ELIMIT));
	buf_fini(&body);
	buf_reset(&text);
	for (int i = 0; i < 10000; i++)
		buf_append_byte(&text, 'x');
	cr_assert(eq(int, feed((char *)buf_data(&text), text.len, 1000, true, &body), HW_ELIMIT));
	buf_fini(&body);
	buf_fini(&text);
}

Test(http_answer, that_is_no_http_is_refused)
{
	static const char *const bad[] = {
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1 999 X\r\n\r\n",
		"HTTP/1.1  200 X\r\n\r\n",
		"HTTP/1.1 200 OK\n\n",
		"\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded: yes\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
	};
	struct buf body;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(bad[i], HW_EPROTO, "");
	cr_assert(eq(int, feed("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 25, 100, true, &body),
		HW_EPROTO));
	buf_fini(&body);
}
