/* Any source into a struct: walks what came, and looks each name up in the row. */
#include <stdio.h>
#include <string.h>

#include "proto/wire/codec_io.h"

struct reading {
	struct source *in;
	const struct source_ops *ops;
	struct arena *arena;
	struct hw_err *err;
};

static int read_msg(struct reading *r, const struct at *at, const struct msg_row *row, void *msg);

static int
no_room(struct reading *r)
{
	return hw_err_set(r->err, HW_ELIMIT, "the message needs more memory than one may take");
}

static int
wrong_type(struct reading *r, const struct at *at, const char *wanted)
{
	return at_fail(r->err, at, "must be %s", wanted);
}

/* Pointers and lists are stored through memcpy: their members' types differ from message to
 * message. */
static void
store_list(void *to, void *v, size_t n)
{
	struct msg_list list = {.v = v, .n = n};

	memcpy(to, &list, sizeof(list));
}

/* --- texts ---------------------------------------------------------------------------------------
 */

static int
copy_text(struct reading *r, const char **to, const struct at *at, const char *p, size_t n)
{
	int rc = check_text(r->err, at, p, n);

	if (rc < 0)
		return rc;
	*to = arena_strndup(r->arena, p, n);
	return *to != NULL ? 0 : no_room(r);
}

static int
read_str(struct reading *r, const struct at *at, const struct field_row *f, const char **to)
{
	const char *p;
	size_t n;
	int rc;

	if (!r->ops->text(r->in, &p, &n))
		return wrong_type(r, at, "a text");
	if ((rc = check_bytes(r->err, at, f, n)) < 0)
		return rc;
	return copy_text(r, to, at, p, n);
}

static int
read_texts(struct reading *r, const struct at *at, struct span *items, struct msg_strs *to)
{
	const char **v = arena_array(r->arena, items->left, sizeof(*v));
	size_t count = items->left;
	int rc;

	if (v == NULL)
		return no_room(r);
	for (size_t i = 0; i < count; i++) {
		struct at here = {.up = at, .index = i};
		const char *p;
		size_t n;

		r->ops->item(r->in, items);
		if (!r->ops->text(r->in, &p, &n))
			return wrong_type(r, &here, "a text");
		if ((rc = copy_text(r, &v[i], &here, p, n)) < 0)
			return rc;
	}
	*to = (struct msg_strs){.v = v, .n = count};
	return 0;
}

static int
read_strs(struct reading *r, const struct at *at, const struct field_row *f, struct msg_strs *to)
{
	struct span items;
	int rc;

	if (!r->ops->list(r->in, &items))
		return wrong_type(r, at, "a list of texts");
	if ((rc = check_items(r->err, at, f, items.left)) < 0)
		return rc;
	return read_texts(r, at, &items, to);
}

/* --- maps
 * ------------------------------------------------------------------------------------------ */

static int
check_key(struct reading *r, const struct at *at, const struct msg_smap *before, const char *key,
	size_t n)
{
	char shown[QUOTED_MAX];
	int rc;

	if (n < 1 || n > MAP_KEY_MAX)
		return at_fail(r->err, at, "a key of %zu bytes; 1 to %d", n, MAP_KEY_MAX);
	if ((rc = check_text(r->err, at, key, n)) < 0)
		return rc;
	for (size_t i = 0; i < before->n; i++)
		if (strlen(before->v[i].key) == n && memcmp(before->v[i].key, key, n) == 0)
			return at_fail(r->err, at, "the key %s is there twice",
				quoted(shown, key, n));
	return 0;
}

static int
read_pair(struct reading *r, const struct at *at, struct msg_smap *map, struct span *entries)
{
	char shown[QUOTED_MAX];
	struct msg_pair *pair = &map->v[map->n];
	struct at here = {.up = at};
	struct span items;
	const char *key;
	size_t n;
	int rc;

	if (!r->ops->entry(r->in, entries, &key, &n))
		return at_fail(r->err, at, "a key that is no text");
	if ((rc = check_key(r, at, map, key, n)) < 0 ||
		(rc = copy_text(r, &pair->key, at, key, n)) < 0)
		return rc;
	here.name = quoted(shown, key, n);
	here.name_len = strlen(shown);
	if (!r->ops->list(r->in, &items))
		return wrong_type(r, &here, "a list of texts");
	if (items.left > MAP_VALUES_MAX)
		return at_fail(r->err, &here, "%zu items, at most %d", items.left, MAP_VALUES_MAX);
	if ((rc = read_texts(r, &here, &items, &pair->values)) < 0)
		return rc;
	map->n++;
	return 0;
}

static int
read_smap(struct reading *r, const struct at *at, const struct field_row *f, struct msg_smap *to)
{
	struct span entries;
	int rc;

	if (!r->ops->map(r->in, &entries))
		return wrong_type(r, at, "a map of lists of texts");
	if ((rc = check_items(r->err, at, f, entries.left)) < 0)
		return rc;
	struct msg_smap map = {.v = arena_array(r->arena, entries.left, sizeof(*map.v))};
	if (map.v == NULL)
		return no_room(r);
	for (size_t left = entries.left; left > 0; left--)
		if ((rc = read_pair(r, at, &map, &entries)) < 0)
			return rc;
	*to = map;
	return 0;
}

/* --- messages within messages
 * ---------------------------------------------------------------------- */

static int
read_nested(struct reading *r, const struct at *at, const struct field_row *f, void *to)
{
	const struct msg_row *row = f->msg();
	void *msg = arena_alloc(r->arena, row->size);
	int rc;

	if (msg == NULL)
		return no_room(r);
	if ((rc = read_msg(r, at, row, msg)) < 0)
		return rc;
	memcpy(to, &msg, sizeof(msg));
	return 0;
}

static int
read_msgs(struct reading *r, const struct at *at, const struct field_row *f, void *to)
{
	const struct msg_row *row = f->msg();
	struct span items;
	int rc;

	if (!r->ops->list(r->in, &items))
		return wrong_type(r, at, "a list");
	if ((rc = check_items(r->err, at, f, items.left)) < 0)
		return rc;
	size_t count = items.left;
	char *v = arena_array(r->arena, count, row->size);
	if (v == NULL)
		return no_room(r);
	for (size_t i = 0; i < count; i++) {
		struct at here = {.up = at, .index = i};

		r->ops->item(r->in, &items);
		if ((rc = read_msg(r, &here, row, v + i * row->size)) < 0)
			return rc;
	}
	store_list(to, v, count);
	return 0;
}

/* --- plain values
 * ----------------------------------------------------------------------------------- */

static int
read_bin(struct reading *r, const struct at *at, const struct field_row *f, struct msg_bin *to)
{
	const uint8_t *p;
	size_t n;
	int rc = r->ops->bin(r->in, r->arena, &p, &n);

	if (rc == HW_ELIMIT)
		return no_room(r);
	if (rc < 0)
		return wrong_type(r, at, r->ops->bin_form);
	if ((rc = check_bytes(r->err, at, f, n)) < 0)
		return rc;
	*to = (struct msg_bin){.p = p, .n = n};
	return 0;
}

static int
read_int(struct reading *r, const struct at *at, const struct field_row *f, int64_t *to)
{
	int64_t v;
	int rc;

	if (!r->ops->integer(r->in, &v))
		return wrong_type(r, at, "an integer of 64 bits");
	if ((rc = check_int(r->err, at, f, v)) < 0)
		return rc;
	*to = v;
	return 0;
}

static int
read_time(struct reading *r, const struct at *at, int64_t *to)
{
	int64_t v;
	int rc;

	if (!r->ops->time(r->in, &v))
		return wrong_type(r, at, "a time");
	if ((rc = check_time(r->err, at, v)) < 0)
		return rc;
	*to = v;
	return 0;
}

static int
unknown_value(struct reading *r, const struct at *at, const struct field_row *f, const char *p,
	size_t n)
{
	char shown[QUOTED_MAX], values[256];
	size_t used = 0;

	for (int i = 1; i < f->values->count && used < sizeof(values); i++)
		used += (size_t)snprintf(values + used, sizeof(values) - used, "%s%s",
			i > 1 ? ", " : "", f->values->wire[i]);
	if (f->flags & FIELD_SECRET)
		return at_fail(r->err, at, "is none of %s", values);
	return at_fail(r->err, at, "%s is none of %s", quoted(shown, p, n), values);
}

static int
read_enum(struct reading *r, const struct at *at, const struct field_row *f, int *to)
{
	const char *p;
	size_t n;

	if (!r->ops->text(r->in, &p, &n))
		return wrong_type(r, at, "a text");
	for (int i = 1; i < f->values->count; i++) {
		if (strlen(f->values->wire[i]) != n || memcmp(f->values->wire[i], p, n) != 0)
			continue;
		*to = i;
		return 0;
	}
	return unknown_value(r, at, f, p, n);
}

/* --- a message
 * --------------------------------------------------------------------------------------- */

static int
read_field(struct reading *r, const struct at *at, const struct field_row *f, void *to)
{
	switch (f->kind) {
	case FIELD_STR:
		return read_str(r, at, f, to);
	case FIELD_BIN:
		return read_bin(r, at, f, to);
	case FIELD_INT:
		return read_int(r, at, f, to);
	case FIELD_BOOL:
		return r->ops->boolean(r->in, to) ? 0 : wrong_type(r, at, "true or false");
	case FIELD_TIME:
		return read_time(r, at, to);
	case FIELD_ENUM:
		return read_enum(r, at, f, to);
	case FIELD_MSG:
		return read_nested(r, at, f, to);
	case FIELD_STRS:
		return read_strs(r, at, f, to);
	case FIELD_MSGS:
		return read_msgs(r, at, f, to);
	case FIELD_SMAP:
		return read_smap(r, at, f, to);
	}
	hw_assert(!"a kind of field");
}

/* Most peers write fields in the row's order: it is found where `from` points, or a few behind. */
static const struct field_row *
find_field(const struct msg_row *row, size_t from, const char *name, size_t n)
{
	for (size_t tried = 0, i = from; tried < row->count; tried++, i++) {
		const struct field_row *f = &row->fields[i < row->count ? i : i - row->count];

		if (f->wire_len == n && memcmp(f->wire, name, n) == 0)
			return f;
	}
	return NULL;
}

/* The place of a field of the message at `up`. */
static struct at
field_at(const struct at *up, const struct field_row *f)
{
	return (struct at){.up = up, .name = f->wire, .name_len = f->wire_len};
}

static int
check_required(struct reading *r, const struct at *at, const struct msg_row *row, uint64_t present)
{
	for (size_t i = 0; i < row->count; i++) {
		if (!(row->fields[i].flags & FIELD_REQ) || (present >> i & 1))
			continue;
		struct at here = field_at(at, &row->fields[i]);
		return at_fail(r->err, &here, "required");
	}
	return 0;
}

static int
not_a_map(struct reading *r, const struct at *at)
{
	if (at != NULL)
		return wrong_type(r, at, "a map");
	return hw_err_set(r->err, HW_ESERIAL, "the message is no map");
}

static int
read_msg(struct reading *r, const struct at *at, const struct msg_row *row, void *msg)
{
	uint64_t seen = 0, present = 0; /* bits by the fields' places */
	struct span entries;
	size_t next = 0; /* the place after the last field's */
	int rc;

	hw_assert(row->count <= 64);
	if (!r->ops->map(r->in, &entries))
		return not_a_map(r, at);
	for (size_t left = entries.left; left > 0; left--) {
		const char *name;
		size_t n;

		if (!r->ops->entry(r->in, &entries, &name, &n))
			return hw_err_set(r->err, HW_ESERIAL, "a field's name is no text");
		const struct field_row *f = find_field(row, next, name, n);
		if (f == NULL) {
			r->ops->skip(r->in);
			continue;
		}
		struct at here = field_at(at, f);
		uint64_t bit = UINT64_C(1) << (f - row->fields);
		next = (size_t)(f - row->fields) + 1;
		if (seen & bit)
			return at_fail(r->err, &here, "is there twice");
		seen |= bit;
		if (r->ops->nil(r->in))
			continue;
		if ((rc = read_field(r, &here, f, (char *)msg + f->offset)) < 0)
			return rc;
		present |= bit;
	}
	return check_required(r, at, row, present);
}

int
codec_read(void **ret, struct source *in, struct arena *a, const struct msg_row *row,
	struct hw_err *err)
{
	struct reading r = {.in = in, .ops = in->ops, .arena = a, .err = err};
	void *msg = arena_alloc(a, row->size);
	int rc;

	if (msg == NULL)
		return no_room(&r);
	if ((rc = read_msg(&r, NULL, row, msg)) < 0)
		return rc;
	*ret = msg;
	return 0;
}
