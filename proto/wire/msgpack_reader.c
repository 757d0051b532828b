#include "proto/wire/msgpack_reader.h"

#include <string.h>

#define DEPTH_MAX 32

enum type { NONE, NIL, BOOL, UINT, INT, FLOAT, STR, BIN, EXT, ARRAY, MAP };

/* The first bytes 0xc0 to 0xdf: the type, and the width of the big-endian argument that follows. */
/* clang-format off */
static const struct {
	uint8_t type, width;
} forms[32] = {
	{NIL, 0}, {NONE, 0}, {BOOL, 0}, {BOOL, 0},            /* c0 .. c3 */
	{BIN, 1}, {BIN, 2}, {BIN, 4},                         /* c4 .. c6 */
	{EXT, 1}, {EXT, 2}, {EXT, 4},                         /* c7 .. c9 */
	{FLOAT, 4}, {FLOAT, 8},                               /* ca, cb */
	{UINT, 1}, {UINT, 2}, {UINT, 4}, {UINT, 8},           /* cc .. cf */
	{INT, 1}, {INT, 2}, {INT, 4}, {INT, 8},               /* d0 .. d3 */
	{EXT, 0}, {EXT, 0}, {EXT, 0}, {EXT, 0}, {EXT, 0},     /* d4 .. d8: of 1, 2, 4, 8, 16 bytes */
	{STR, 1}, {STR, 2}, {STR, 4},                         /* d9 .. db */
	{ARRAY, 2}, {ARRAY, 4}, {MAP, 2}, {MAP, 4},           /* dc .. df */
};
/* clang-format on */

/* A value's head: `arg` is the number, the bytes of a body, or the count of elements. */
struct head {
	enum type type;
	uint64_t arg;
	const uint8_t *body; /* what follows the head */
};

static uint64_t
big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* Whether what the head announces can be there at all. */
static bool
fits(const struct head *h, const uint8_t *end)
{
	size_t left = (size_t)(end - h->body);

	switch (h->type) {
	case NONE:
		return false;
	case STR:
	case BIN:
	case EXT:
	case ARRAY:
		return h->arg <= left;
	case MAP:
		return h->arg <= left / 2;
	default:
		return true;
	}
}

/* First bytes that hold type and argument both. */
static void
short_form(struct head *h, uint8_t first)
{
	if (first < 0x80) {
		h->type = UINT;
		h->arg = first;
	} else if (first >= 0xe0) {
		h->type = INT;
		h->arg = (uint64_t)(int64_t)(int8_t)first;
	} else if (first < 0x90) {
		h->type = MAP;
		h->arg = first & 15;
	} else if (first < 0xa0) {
		h->type = ARRAY;
		h->arg = first & 15;
	} else {
		h->type = STR;
		h->arg = first & 31;
	}
}

static bool
long_form(struct head *h, uint8_t first, const uint8_t *end)
{
	size_t width = forms[first - 0xc0].width;

	h->type = forms[first - 0xc0].type;
	if ((size_t)(end - h->body) < width)
		return false;
	h->arg = width > 0 ? big_endian(h->body, width) : first & 1;
	h->body += width;
	if (h->type == INT && width < 8 && (h->arg >> (8 * width - 1)) != 0)
		h->arg |= ~UINT64_C(0) << (8 * width);
	if (h->type == EXT)
		h->arg =
			1 + (width > 0 ? h->arg : UINT64_C(1) << (first - 0xd4)); /* the ext type */
	return true;
}

/* Most values are short texts and small numbers: how many bytes such a one takes, or 0. */
static size_t
short_size(const uint8_t *p, const uint8_t *end)
{
	if (p == end)
		return 0;
	if (*p < 0x80 || *p >= 0xe0)
		return 1;
	size_t size = (*p & 0xe0) == 0xa0 ? 1 + (size_t)(*p & 31) : 0;
	return size <= (size_t)(end - p) ? size : 0;
}

static bool
read_head(struct head *h, const struct mp_reader *r)
{
	if (r->p == r->end)
		return false;
	uint8_t first = *r->p;
	h->body = r->p + 1;
	if (first < 0xc0 || first >= 0xe0)
		short_form(h, first);
	else if (!long_form(h, first, r->end))
		return false;
	return fits(h, r->end);
}

bool
mp_uint(struct mp_reader *r, uint64_t *v)
{
	struct head h;

	if (!read_head(&h, r) || (h.type != UINT && h.type != INT) ||
		(h.type == INT && h.arg > INT64_MAX))
		return false;
	*v = h.arg;
	r->p = h.body;
	return true;
}

bool
mp_int(struct mp_reader *r, int64_t *v)
{
	struct head h;

	if (!read_head(&h, r) || (h.type != UINT && h.type != INT) ||
		(h.type == UINT && h.arg > INT64_MAX))
		return false;
	*v = (int64_t)h.arg;
	r->p = h.body;
	return true;
}

bool
mp_bool(struct mp_reader *r, bool *v)
{
	struct head h;

	if (!read_head(&h, r) || h.type != BOOL)
		return false;
	*v = h.arg != 0;
	r->p = h.body;
	return true;
}

bool
mp_nil(struct mp_reader *r)
{
	if (r->p == r->end || *r->p != 0xc0)
		return false;
	r->p++;
	return true;
}

static bool
read_bytes(struct mp_reader *r, enum type type, const uint8_t **p, size_t *n)
{
	struct head h;

	if (!read_head(&h, r) || h.type != type)
		return false;
	*p = h.body;
	*n = (size_t)h.arg;
	r->p = h.body + h.arg;
	return true;
}

bool
mp_str(struct mp_reader *r, const char **p, size_t *n)
{
	size_t size = short_size(r->p, r->end);
	const uint8_t *bytes;

	if (size > 0 && (*r->p & 0xe0) == 0xa0) {
		*p = (const char *)r->p + 1;
		*n = size - 1;
		r->p += size;
		return true;
	}
	if (!read_bytes(r, STR, &bytes, n))
		return false;
	*p = (const char *)bytes;
	return true;
}

bool
mp_bin(struct mp_reader *r, const uint8_t **p, size_t *n)
{
	return read_bytes(r, BIN, p, n);
}

static bool
read_count(struct mp_reader *r, enum type type, size_t *count)
{
	struct head h;

	if (!read_head(&h, r) || h.type != type)
		return false;
	*count = (size_t)h.arg;
	r->p = h.body;
	return true;
}

bool
mp_array(struct mp_reader *r, size_t *count)
{
	return read_count(r, ARRAY, count);
}

bool
mp_map(struct mp_reader *r, size_t *count)
{
	return read_count(r, MAP, count);
}

bool
mp_skip(struct mp_reader *r)
{
	struct mp_reader at = *r;
	uint64_t left[DEPTH_MAX + 1] = {1}; /* values still to come, by depth */
	int depth = 0;

	while (depth >= 0) {
		struct head h;
		size_t size;

		while (left[depth] > 0 && (size = short_size(at.p, at.end)) > 0) {
			at.p += size;
			left[depth]--;
		}
		if (left[depth] == 0) {
			depth--;
			continue;
		}
		if (!read_head(&h, &at))
			return false;
		left[depth]--;
		at.p = h.body;
		if (h.type == STR || h.type == BIN || h.type == EXT)
			at.p += h.arg;
		if (h.type != ARRAY && h.type != MAP)
			continue;
		if (depth == DEPTH_MAX)
			return false;
		left[++depth] = h.type == MAP ? 2 * h.arg : h.arg;
	}
	*r = at;
	return true;
}
