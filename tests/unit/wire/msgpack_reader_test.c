#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "proto/wire/msgpack_reader.h"

static struct mp_reader
reader(const uint8_t *p, size_t n)
{
	return (struct mp_reader){.p = p, .end = p + n};
}

struct number {
	uint8_t bytes[9];
	size_t n;
	int64_t value;
};

static const struct number numbers[] = {
	{{0x00},						 1, 0	     },
	{{0x7f},						 1, 127       },
	{{0xff},						 1, -1	      },
	{{0xe0},						 1, -32       },
	{{0xcc, 0xff},					   2, 255	     },
	{{0xcd, 0xff, 0xfe},				     3, 65534     },
	{{0xce, 0xff, 0xff, 0xff, 0xff},			 5, UINT32_MAX},
	{{0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 9, INT64_MAX },
	{{0xd0, 0x80},					   2, -128      },
	{{0xd0, 0x05},					   2, 5	   },
	{{0xd1, 0x80, 0x00},				     3, -32768    },
	{{0xd2, 0x80, 0x00, 0x00, 0x00},			 5, INT32_MIN },
	{{0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0},			    9, INT64_MIN },
	{{0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 9, INT64_MAX },
};

Test(msgpack_reader, reads_every_form_of_a_number_and_no_shorter_piece_of_it)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct number *x = &numbers[i];
		struct mp_reader r = reader(x->bytes, x->n);
		int64_t v;

		cr_assert(mp_int(&r, &v), "number %zu", i);
		cr_assert(eq(i64, v, x->value));
		cr_assert(r.p == r.end);
		for (size_t n = 0; n < x->n; n++) {
			r = reader(x->bytes, n);
			cr_assert(not(mp_int(&r, &v)));
			cr_assert(not(mp_skip(&r)));
			cr_assert(r.p == x->bytes);
		}
	}
}

Test(msgpack_reader, unsigned_takes_no_negative_and_signed_none_above_its_range)
{
	static const uint8_t top[] = {0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t half[] = {0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t minus[] = {0xff};
	struct mp_reader r = reader(top, sizeof(top));
	uint64_t u;
	int64_t v;

	cr_assert(not(mp_int(&r, &v)));
	cr_assert(mp_uint(&r, &u));
	cr_assert(eq(u64, u, UINT64_MAX));
	r = reader(half, sizeof(half));
	cr_assert(not(mp_int(&r, &v)));
	cr_assert(mp_uint(&r, &u));
	cr_assert(eq(u64, u, UINT64_C(1) << 63));
	r = reader(minus, sizeof(minus));
	cr_assert(not(mp_uint(&r, &u)));
	cr_assert(mp_int(&r, &v));
	cr_assert(eq(i64, v, -1));
}

Test(msgpack_reader, another_type_leaves_the_cursor_where_it_was)
{
	static const uint8_t text[] = {0xa2, 'h', 'i', 0xc4, 2, 1, 2, 0xc3, 0xc0};
	struct mp_reader r = reader(text, sizeof(text));
	const uint8_t *bytes;
	const char *p;
	uint64_t u;
	int64_t v;
	size_t n;
	bool b;

	cr_assert(not(mp_uint(&r, &u) || mp_int(&r, &v) || mp_bool(&r, &b) || mp_nil(&r) ||
		mp_bin(&r, &bytes, &n) || mp_array(&r, &n) || mp_map(&r, &n)));
	cr_assert(r.p == text);
	cr_assert(mp_str(&r, &p, &n));
	cr_assert(eq(sz, n, 2));
	cr_assert(eq(int, memcmp(p, "hi", 2), 0));
	cr_assert(not(mp_str(&r, &p, &n)));
	cr_assert(mp_bin(&r, &bytes, &n));
	cr_assert(eq(sz, n, 2));
	cr_assert(mp_bool(&r, &b) && b);
	cr_assert(mp_nil(&r));
	cr_assert(not(mp_nil(&r)), "nothing is left");
}

Test(msgpack_reader, counts_never_exceed_the_bytes_that_are_there)
{
	static const uint8_t bombs[][5] = {
		{0xdd, 0xff, 0xff, 0xff, 0xff}, /* an array of 2^32-1 */
		{0xdf, 0xff, 0xff, 0xff, 0xff}, /* a map */
		{0xdb, 0xff, 0xff, 0xff, 0xff}, /* a text */
		{0xc6, 0xff, 0xff, 0xff, 0xff}, /* bytes */
		{0xc9, 0xff, 0xff, 0xff, 0xff}, /* an ext */
		{0xdd, 0x00, 0x00, 0x00, 0x01},
		{0xdf, 0x7f, 0xff, 0xff, 0xff},
	};
	const uint8_t *bytes;
	const char *p;
	size_t n;

	for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
		struct mp_reader r = reader(bombs[i], 5);

		cr_assert(not(mp_array(&r, &n) || mp_map(&r, &n) || mp_str(&r, &p, &n) ||
			mp_bin(&r, &bytes, &n) || mp_skip(&r)));
		cr_assert(r.p == bombs[i]);
	}
	static const uint8_t pair[] = {0x81, 0xc0};
	struct mp_reader r = reader(pair, 2);
	cr_assert(not(mp_map(&r, &n)), "a pair takes two bytes");
}

Test(msgpack_reader, skips_any_one_value)
{
	static const uint8_t values[] = {
		0x93, 0x01, 0x81, 0xa1, 'k', 0x90, 0xc0, /* [1, {"k": []}, nil] */
		0xca, 0, 0, 0, 0,			 /* a float */
		0xcb, 0, 0, 0, 0, 0, 0, 0, 0,		 /* a double */
		0xd4, 1, 0xff,				 /* ext of one byte */
		0xd8, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, /* of 16 */
		0xc7, 2, 9, 0xff, 0xff,	      /* ext 8 of two bytes */
		0xdc, 0, 1, 0xc2, 0xde, 0, 0, /* [false], {} */
	};
	static const size_t sizes[] = {7, 5, 9, 3, 18, 5, 4, 3};
	struct mp_reader r = reader(values, sizeof(values));

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const uint8_t *was = r.p;

		for (size_t n = 0; n < sizes[i]; n++) {
			struct mp_reader cut = reader(was, n);

			cr_assert(not(mp_skip(&cut)), "value %zu cut to %zu", i, n);
		}
		cr_assert(mp_skip(&r), "value %zu", i);
		cr_assert(eq(sz, (size_t)(r.p - was), sizes[i]));
	}
	cr_assert(r.p == r.end);
	cr_assert(not(mp_skip(&r)));
}

Test(msgpack_reader, the_byte_that_is_no_type_is_refused)
{
	static const uint8_t never[] = {0xc1, 0xc0};
	struct mp_reader r = reader(never, sizeof(never));

	cr_assert(not(mp_skip(&r)));
}

Test(msgpack_reader, nesting_ends_at_32)
{
	uint8_t nest[64];
	struct mp_reader r;

	memset(nest, 0x91, sizeof(nest));
	nest[32] = 0x00;
	r = reader(nest, 33);
	cr_assert(mp_skip(&r));
	cr_assert(r.p == r.end);
	memset(nest, 0x91, sizeof(nest));
	nest[33] = 0x00;
	r = reader(nest, 34);
	cr_assert(not(mp_skip(&r)));
}
