/* A struct to any sink, in the order of its row. */
#include <string.h>

#include "proto/wire/codec_io.h"

struct writing {
	struct sink *to;
	const struct sink_ops *ops;
	struct hw_err *err;
};

static int write_msg(struct writing *w, const struct at *at, const struct msg_row *row,
	const void *msg);

/* Typed members are read through memcpy: see codec_read.c. */
static struct msg_list
list_at(const void *p)
{
	struct msg_list list;

	memcpy(&list, p, sizeof(list));
	return list;
}

static const void *
pointer_at(const void *p)
{
	const void *to;

	memcpy(&to, p, sizeof(to));
	return to;
}

static bool
is_present(const struct field_row *f, const void *p)
{
	bool wanted = (f->flags & FIELD_REQ) != 0;

	switch (f->kind) {
	case FIELD_STR:
	case FIELD_MSG:
		return pointer_at(p) != NULL;
	case FIELD_BIN:
		return ((const struct msg_bin *)p)->n > 0 || (wanted && f->min == 0);
	case FIELD_INT:
		return *(const int64_t *)p != 0 || !(f->flags & FIELD_OPT0);
	case FIELD_BOOL:
		return *(const bool *)p || !(f->flags & FIELD_OPT0);
	case FIELD_TIME:
		return *(const int64_t *)p != 0 || wanted;
	case FIELD_ENUM:
		return *(const int *)p != 0;
	case FIELD_STRS:
	case FIELD_MSGS:
	case FIELD_SMAP:
		return list_at(p).n > 0 || (wanted && f->min == 0);
	}
	hw_assert(!"a kind of field");
}

/* --- texts ---------------------------------------------------------------------------------------
 */

static int
write_text(struct writing *w, const struct at *at, const char *text, size_t n)
{
	int rc = w->to->checks ? check_text(w->err, at, text, n) : 0;

	if (rc == 0)
		w->ops->text(w->to, text, n);
	return rc;
}

static int
write_texts(struct writing *w, const struct at *at, const struct msg_strs *texts)
{
	int rc = 0;

	w->ops->list(w->to, texts->n);
	for (size_t i = 0; i < texts->n && rc == 0; i++) {
		struct at here = {.up = at, .index = i};

		rc = write_text(w, &here, texts->v[i], strlen(texts->v[i]));
	}
	w->ops->list_end(w->to);
	return rc;
}

static int
write_smap(struct writing *w, const struct at *at, const struct msg_smap *map)
{
	int rc = 0;

	w->ops->map(w->to, map->n);
	for (size_t i = 0; i < map->n && rc == 0; i++) {
		const struct msg_pair *pair = &map->v[i];
		struct at here = {.up = at, .name = pair->key, .name_len = strlen(pair->key)};

		if (w->to->checks && (rc = check_text(w->err, at, pair->key, here.name_len)) < 0)
			break;
		w->ops->key(w->to, pair->key, here.name_len);
		rc = write_texts(w, &here, &pair->values);
	}
	w->ops->map_end(w->to);
	return rc;
}

/* --- values
 * ---------------------------------------------------------------------------------------- */

static int
write_msgs(struct writing *w, const struct at *at, const struct field_row *f, const void *p)
{
	const struct msg_row *row = f->msg();
	struct msg_list list = list_at(p);
	int rc = 0;

	w->ops->list(w->to, list.n);
	for (size_t i = 0; i < list.n && rc == 0; i++) {
		struct at here = {.up = at, .index = i};

		rc = write_msg(w, &here, row, (const char *)list.v + i * row->size);
	}
	w->ops->list_end(w->to);
	return rc;
}

static int
write_enum(struct writing *w, const struct at *at, const struct field_row *f, int v)
{
	const char *text = enum_text(f->values, v);

	if (w->to->checks && *text == '\0')
		return at_fail(w->err, at, "%d is no value of %s", v, f->values->name);
	w->ops->text(w->to, text, strlen(text));
	return 0;
}

static int
check_field(struct writing *w, const struct at *at, const struct field_row *f, const void *p)
{
	switch (f->kind) {
	case FIELD_STR:
		return check_bytes(w->err, at, f, strlen(pointer_at(p)));
	case FIELD_BIN:
		return check_bytes(w->err, at, f, ((const struct msg_bin *)p)->n);
	case FIELD_INT:
		return check_int(w->err, at, f, *(const int64_t *)p);
	case FIELD_TIME:
		return check_time(w->err, at, *(const int64_t *)p);
	case FIELD_STRS:
	case FIELD_MSGS:
	case FIELD_SMAP:
		return check_items(w->err, at, f, list_at(p).n);
	default:
		return 0;
	}
}

static int
write_value(struct writing *w, const struct at *at, const struct field_row *f, const void *p)
{
	const struct msg_bin *bin = p;

	switch (f->kind) {
	case FIELD_STR:
		return write_text(w, at, pointer_at(p), strlen(pointer_at(p)));
	case FIELD_BIN:
		w->ops->bin(w->to, bin->p, bin->n);
		return 0;
	case FIELD_INT:
		w->ops->integer(w->to, *(const int64_t *)p);
		return 0;
	case FIELD_BOOL:
		w->ops->boolean(w->to, *(const bool *)p);
		return 0;
	case FIELD_TIME:
		w->ops->time(w->to, *(const int64_t *)p);
		return 0;
	case FIELD_ENUM:
		return write_enum(w, at, f, *(const int *)p);
	case FIELD_MSG:
		return write_msg(w, at, f->msg(), pointer_at(p));
	case FIELD_STRS:
		return write_texts(w, at, p);
	case FIELD_MSGS:
		return write_msgs(w, at, f, p);
	case FIELD_SMAP:
		return write_smap(w, at, p);
	}
	hw_assert(!"a kind of field");
}

/* --- a message
 * --------------------------------------------------------------------------------------- */

static int
write_field(struct writing *w, const struct at *at, const struct field_row *f, const void *p)
{
	int rc;

	if (w->to->checks && (rc = check_field(w, at, f, p)) < 0)
		return rc;
	w->ops->key(w->to, f->wire, f->wire_len);
	if ((f->flags & FIELD_SECRET) && w->to->hide_secrets) {
		w->ops->text(w->to, "***", 3);
		return 0;
	}
	return write_value(w, at, f, p);
}

/* Bits by the fields' places. */
static uint64_t
find_present(const struct msg_row *row, const char *msg)
{
	uint64_t present = 0;

	hw_assert(row->count <= 64);
	for (size_t i = 0; i < row->count; i++) {
		bool there = is_present(&row->fields[i], msg + row->fields[i].offset);
		present |= (uint64_t)there << i;
	}
	return present;
}

static int
write_msg(struct writing *w, const struct at *up, const struct msg_row *row, const void *msg)
{
	uint64_t present = find_present(row, msg);
	int rc = 0;

	w->ops->map(w->to, (size_t)__builtin_popcountll(present));
	for (size_t i = 0; i < row->count && rc == 0; i++) {
		const struct field_row *f = &row->fields[i];
		const void *p = (const char *)msg + f->offset;
		struct at at = {.up = up, .name = f->wire, .name_len = f->wire_len};

		if (present >> i & 1)
			rc = write_field(w, &at, f, p);
		else if (w->to->checks && (f->flags & FIELD_REQ))
			rc = at_fail(w->err, &at, "required");
	}
	w->ops->map_end(w->to);
	return rc;
}

/* Appends inside are not checked one by one: the buffer remembers a failure. */
int
codec_write(struct sink *to, const struct msg_row *row, const void *msg, struct hw_err *err)
{
	struct writing w = {.to = to, .ops = to->ops, .err = err};
	bool failed_before = to->out->failed;
	size_t start = to->out->len;

	to->out->failed = false;
	int rc = write_msg(&w, NULL, row, msg);
	if (rc == 0 && to->out->failed)
		rc = hw_err_set(err, HW_ELIMIT, "%s does not fit in %zu bytes", row->wire,
			to->out->max - start);
	if (rc < 0)
		to->out->len = start;
	to->out->failed |= failed_before;
	return rc;
}
