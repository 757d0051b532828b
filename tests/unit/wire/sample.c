#include "tests/unit/wire/sample.h"

#include <string.h>

#define WALL INT64_C(1795454456789000) /* whole milliseconds: JSON carries no more */

static void fill(struct arena *a, const struct msg_row *row, void *msg, enum sample_size size);

static void *
room(struct arena *a, size_t count, size_t size)
{
	void *p = arena_array(a, count, size);

	hw_assert(p != NULL);
	return p;
}

/* n bytes with everything in them that an encoder must get right, as whole characters. */
static const char *
text(struct arena *a, size_t n)
{
	static const char *const characters[] = {"a", "\"", "\\", "\n", "\x01", "\x7f", " ", "/",
		"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "Z", "\xc2\x80"};
	char *to = room(a, n + 1, 1);

	for (size_t used = 0, i = 0; used < n; i++) {
		const char *c = characters[i % (sizeof(characters) / sizeof(characters[0]))];
		if (strlen(c) > n - used)
			c = "x";
		memcpy(to + used, c, strlen(c));
		used += strlen(c);
	}
	return to;
}

/* Between the bounds: at one of them, or a little above the lower one. */
static int64_t
pick(int64_t min, int64_t max, int64_t above, enum sample_size size)
{
	if (size == SAMPLE_LEAST)
		return min;
	if (size == SAMPLE_MOST)
		return max;
	return (uint64_t)max - (uint64_t)min > (uint64_t)above ? min + above : max;
}

static size_t
pick_count(const struct field_row *f, enum sample_size size)
{
	return (size_t)pick(f->min, f->max < 3 ? f->max : f->min < 3 ? 3 : f->min, 2, size);
}

static struct msg_strs
texts(struct arena *a, size_t n)
{
	const char **v = room(a, n, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = text(a, 3 * i); /* the first is empty */
	return (struct msg_strs){.v = v, .n = n};
}

static struct msg_smap
pairs(struct arena *a, size_t n)
{
	struct msg_pair *v = room(a, n, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (struct msg_pair){
			.key = arena_printf(a, "key %zu", i), .values = texts(a, i)};
	return (struct msg_smap){.v = v, .n = n};
}

static struct msg_bin
bytes(struct arena *a, size_t n)
{
	uint8_t *p = room(a, n, 1);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 37);
	return (struct msg_bin){.p = p, .n = n};
}

static void
fill_list(struct arena *a, const struct field_row *f, void *to, enum sample_size size)
{
	const struct msg_row *row = f->msg();
	struct msg_list list = {.n = pick_count(f, size)};

	list.v = room(a, list.n, row->size);
	for (size_t i = 0; i < list.n; i++)
		fill(a, row, (char *)list.v + i * row->size, i % 2 == 0 ? size : SAMPLE_LEAST);
	memcpy(to, &list, sizeof(list));
}

static void
fill_nested(struct arena *a, const struct field_row *f, void *to, enum sample_size size)
{
	void *msg = sample_message(a, f->msg(), size);

	memcpy(to, &msg, sizeof(msg));
}

static void
fill_field(struct arena *a, const struct field_row *f, void *to, enum sample_size size)
{
	switch (f->kind) {
	case FIELD_STR:
		*(const char **)to = text(a, (size_t)pick(f->min, f->max, 24, size));
		break;
	case FIELD_BIN:
		*(struct msg_bin *)to = bytes(a, (size_t)pick(f->min, f->max, 24, size));
		break;
	case FIELD_INT:
		*(int64_t *)to = pick(f->min, f->max, 300, size);
		break;
	case FIELD_BOOL:
		*(bool *)to = true;
		break;
	case FIELD_TIME:
		*(int64_t *)to = WALL;
		break;
	case FIELD_ENUM:
		*(int *)to = (int)pick(1, f->values->count - 1, 1, size);
		break;
	case FIELD_MSG:
		fill_nested(a, f, to, size);
		break;
	case FIELD_STRS:
		*(struct msg_strs *)to = texts(a, pick_count(f, size));
		break;
	case FIELD_MSGS:
		fill_list(a, f, to, size);
		break;
	case FIELD_SMAP:
		*(struct msg_smap *)to = pairs(a, pick_count(f, size));
		break;
	}
}

static void
fill(struct arena *a, const struct msg_row *row, void *msg, enum sample_size size)
{
	for (size_t i = 0; i < row->count; i++)
		if (size != SAMPLE_LEAST || (row->fields[i].flags & FIELD_REQ))
			fill_field(a, &row->fields[i], (char *)msg + row->fields[i].offset, size);
}

void *
sample_message(struct arena *a, const struct msg_row *row, enum sample_size size)
{
	void *msg = room(a, 1, row->size);

	fill(a, row, msg, size);
	return msg;
}
