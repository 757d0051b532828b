#include "client/yaml.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/yaml_pipe.h"
#include "proto/base/clock.h"
#include "proto/base/display.h"
#include "proto/base/enc.h"
#include "proto/wire/codec.h"

struct yaml {
	struct buf *out;
};

static void append_message(struct yaml *y, const struct msg_row *row, const void *msg, int depth,
	bool after_dash);

/* --- texts ----------------------------------------------------------------------------------- */

static void
append_text(struct yaml *y, const char *text)
{
	display_append(y->out, text, strlen(text));
}

static void
append_time(struct yaml *y, int64_t usec)
{
	char text[64];
	time_t seconds = (time_t)(usec / USEC_PER_SEC);
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm);
	buf_append_str(y->out, text);
}

static void
append_bin(struct yaml *y, const struct msg_bin *bin)
{
	char *text = malloc(BASE64_LEN(bin->n) + 1);

	if (text == NULL) {
		y->out->failed = true;
		return;
	}
	base64_encode(text, bin->p, bin->n);
	buf_printf(y->out, "\"%s\"", text);
	free(text);
}

/* Every list member has this layout; typed members are read through memcpy, as their own types
 * differ. */
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

/* --- fields ---------------------------------------------------------------------------------- */

static void
append_line(struct yaml *y, int depth, const char *lead)
{
	buf_printf(y->out, "%*s%s", 2 * depth, "", lead);
}

static void
append_texts(struct yaml *y, const struct msg_strs *texts, int depth)
{
	for (size_t i = 0; i < texts->n; i++) {
		append_line(y, depth, "- ");
		append_text(y, texts->v[i]);
		buf_append_byte(y->out, '\n');
	}
}

static void
append_messages(struct yaml *y, const struct msg_row *row, struct msg_list list, int depth)
{
	for (size_t i = 0; i < list.n; i++) {
		append_line(y, depth, "- ");
		append_message(y, row, (const char *)list.v + i * row->size, depth + 1, true);
	}
}

static void
append_smap(struct yaml *y, const struct msg_smap *map, int depth)
{
	for (size_t i = 0; i < map->n; i++) {
		append_line(y, depth, "");
		append_text(y, map->v[i].key);
		buf_append_str(y->out, ":\n");
		append_texts(y, &map->v[i].values, depth);
	}
}

/* As the codec leaves fields out. */
static bool
is_absent(const struct field_row *f, const void *p)
{
	bool optional = (f->flags & FIELD_REQ) == 0;

	switch (f->kind) {
	case FIELD_STR:
		return pointer_at(p) == NULL || ((const char *)pointer_at(p))[0] == '\0';
	case FIELD_MSG:
		return pointer_at(p) == NULL;
	case FIELD_BIN:
	case FIELD_STRS:
	case FIELD_MSGS:
	case FIELD_SMAP:
		return optional && list_at(p).n == 0;
	case FIELD_TIME:
		return optional && *(const int64_t *)p == 0;
	case FIELD_INT:
		return (f->flags & FIELD_OPT0) && *(const int64_t *)p == 0;
	case FIELD_BOOL:
		return (f->flags & FIELD_OPT0) && !*(const bool *)p;
	case FIELD_ENUM:
		return *(const int *)p == 0;
	}
	return true;
}

/* A value that stands on its key's line. False: it begins a line of its own. */
static bool
append_scalar(struct yaml *y, const struct field_row *f, const void *p)
{
	if (f->flags & FIELD_SECRET) {
		buf_append_str(y->out, " \"***\"\n");
		return true;
	}
	switch (f->kind) {
	case FIELD_STR:
		buf_append_byte(y->out, ' ');
		append_text(y, pointer_at(p));
		break;
	case FIELD_INT:
		buf_printf(y->out, " %" PRId64, *(const int64_t *)p);
		break;
	case FIELD_BOOL:
		buf_append_str(y->out, *(const bool *)p ? " true" : " false");
		break;
	case FIELD_TIME:
		buf_append_byte(y->out, ' ');
		append_time(y, *(const int64_t *)p);
		break;
	case FIELD_ENUM:
		buf_printf(y->out, " %s", enum_text(f->values, *(const int *)p));
		break;
	case FIELD_BIN:
		buf_append_byte(y->out, ' ');
		append_bin(y, p);
		break;
	default:
		return false;
	}
	buf_append_byte(y->out, '\n');
	return true;
}

static void
append_field(struct yaml *y, const struct field_row *f, const void *p, int depth)
{
	if (append_scalar(y, f, p))
		return;
	if (f->kind != FIELD_MSG && list_at(p).n == 0) {
		buf_append_str(y->out, f->kind == FIELD_SMAP ? " {}\n" : " []\n");
		return;
	}
	buf_append_byte(y->out, '\n');
	if (f->kind == FIELD_STRS) {
		append_texts(y, p, depth);
	} else if (f->kind == FIELD_MSGS) {
		append_messages(y, f->msg(), list_at(p), depth);
	} else if (f->kind == FIELD_SMAP) {
		append_smap(y, p, depth + 1);
	} else {
		append_message(y, f->msg(), pointer_at(p), depth + 1, false);
	}
}

static void
append_message(struct yaml *y, const struct msg_row *row, const void *msg, int depth,
	bool after_dash)
{
	bool any = false;

	for (size_t i = 0; i < row->count; i++) {
		const struct field_row *f = &row->fields[i];
		const void *p = (const char *)msg + f->offset;

		if (is_absent(f, p))
			continue;
		if (any || !after_dash)
			append_line(y, depth, "");
		buf_printf(y->out, "%s:", f->wire);
		append_field(y, f, p, depth);
		any = true;
	}
	if (!any && (after_dash || depth == 0))
		buf_append_str(y->out, "{}\n");
}

static int
append_for_programs(struct buf *out, const struct msg_row *row, const void *msg)
{
	struct yaml_pipe pipe;
	struct buf json;
	int r;

	buf_init(&json, out->max);
	yaml_pipe_init(&pipe, out);
	if ((r = msg_to_json(&json, row, msg, JSON_DATES)) == 0)
		yaml_pipe_append(&pipe, buf_data(&json), json.len);
	buf_fini(&json);
	return r;
}

int
yaml_append(struct buf *out, const struct msg_row *row, const void *msg, int flags)
{
	struct yaml y = {.out = out};

	if (!(flags & YAML_FOR_PEOPLE)) {
		int r = append_for_programs(out, row, msg);
		return r < 0 ? r : out->failed ? HW_ENOMEM : 0;
	}
	append_message(&y, row, msg, 0, false);
	return out->failed ? HW_ENOMEM : 0;
}
