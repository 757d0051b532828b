/*
 * A bounded cursor over msgpack: it reads what is there, allocates nothing, and never trusts a
 * count. msgpack-c's own unpacker takes gigabytes for five hostile bytes, so it is not used on
 * input.
 */
#ifndef HAWSER_WIRE_MSGPACK_READER_H
#define HAWSER_WIRE_MSGPACK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mp_reader {
	const uint8_t *p, *end;
};

/* Each reads one value and moves on, or returns false and leaves the cursor where it was: the value
 * is of another type, or cut off. Counts of arrays and maps are never above the bytes left (two a
 * pair). */
bool mp_uint(struct mp_reader *r, uint64_t *v);
bool mp_int(struct mp_reader *r, int64_t *v); /* also unsigned values up to INT64_MAX */
bool mp_bool(struct mp_reader *r, bool *v);
bool mp_nil(struct mp_reader *r);
bool mp_str(struct mp_reader *r, const char **p, size_t *n);
bool mp_bin(struct mp_reader *r, const uint8_t **p, size_t *n);
bool mp_array(struct mp_reader *r, size_t *count);
bool mp_map(struct mp_reader *r, size_t *count);

/* Skips one whole value of any type, nested at most 32 deep. */
bool mp_skip(struct mp_reader *r);

#endif
