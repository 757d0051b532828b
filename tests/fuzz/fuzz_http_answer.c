/* Answers to https_post(), fed whole and byte by byte: both ways they are the same. */
#include "proto/trust/http_answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CAP 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
feed(struct buf *body, const uint8_t *data, size_t size, size_t step)
{
	struct http_answer *a = malloc(sizeof(*a));
	int r = 0;

	if (a == NULL)
		abort();
	buf_init(body, CAP);
	http_answer_init(a, body);
	for (size_t at = 0; r == 0 && at < size; at += step)
		r = http_answer_feed(a, data + at, size - at < step ? size - at : step, NULL);
	if (r == 0)
		r = http_answer_end(a, true, NULL);
	if (r == 0)
		r = a->status;
	free(a);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, bytes;

	int r = feed(&whole, data, size, size + 1);
	hw_assert(feed(&bytes, data, size, 1) == r);
	if (r > 0)
		hw_assert(whole.len == bytes.len &&
			memcmp(buf_data(&whole), buf_data(&bytes), whole.len) == 0);
	buf_fini(&whole);
	buf_fini(&bytes);
	return 0;
}
