/* The first byte picks the message, the rest is its JSON: what decodes is written, and that must
 * read the same; so must its msgpack. */
#include <string.h>

#include "proto/wire/codec.h"

#define ROOM (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(struct arena *a, const struct msg_row *row, const void *msg)
{
	struct buf first, second;
	void *again;

	buf_init(&first, ROOM);
	buf_init(&second, ROOM);
	hw_assert(msg_to_json(&first, row, msg, JSON_SECRETS | JSON_PRETTY) == 0);
	hw_assert(msg_from_json(&again, a, row, buf_str(&first), first.len, NULL) == 0);
	hw_assert(msg_to_json(&second, row, again, JSON_SECRETS | JSON_PRETTY) == 0);
	hw_assert(strcmp(buf_str(&first), buf_str(&second)) == 0);

	buf_reset(&first);
	hw_assert(msg_encode(&first, row, msg, NULL) == 0);
	hw_assert(msg_decode(&again, a, row, buf_data(&first), first.len, NULL) == 0);
	buf_fini(&first);
	buf_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_err err = HW_ERR_INIT;
	void *msg;

	if (size == 0)
		return 0;
	const struct msg_row *row = msg_row_at(data[0] % msg_row_count());
	struct arena *a = arena_new(ROOM);
	int r = msg_from_json(&msg, a, row, (const char *)data + 1, size - 1, &err);
	if (r == 0)
		check_again(a, row, msg);
	else
		hw_assert((r == HW_EVALIDATION || r == HW_ESERIAL || r == HW_ELIMIT) &&
			err.code == r && err.text[0] != '\0');
	arena_free(a);
	return 0;
}
