#include "client/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "client/duration.h"
#include "client/yaml.h"
#include "proto/base/display.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

#define OUTPUT_MAX (1u << 30)

int
output_format(enum output_format *ret, const char *name)
{
	static const char *const names[] = {
		[OUTPUT_TABLE] = "table",
		[OUTPUT_WIDE] = "wide",
		[OUTPUT_JSON] = "json",
		[OUTPUT_JSONL] = "jsonl",
		[OUTPUT_YAML] = "yaml",
		[OUTPUT_NAME] = "name",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum output_format)i;
			return 0;
		}
	}
	return HW_EUSAGE;
}

int
output_bytes(const void *p, size_t n, struct hw_err *err)
{
	int r = fd_write_all(STDOUT_FILENO, p, n, err);

	return r < 0 && errno == EPIPE ? 0 : r;
}

int
output_line(struct hw_err *err, const char *fmt, ...)
{
	struct buf shown;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap), r;
	va_end(ap);
	if (n < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_init(&shown, OUTPUT_MAX);
	display_append(&shown, text, (size_t)n);
	buf_append_byte(&shown, '\n');
	r = shown.failed ? hw_err_set(err, HW_ENOMEM, "out of memory")
			 : output_bytes(buf_data(&shown), shown.len, err);
	explicit_bzero(text, (size_t)n); /* it may be an activation's code */
	buf_wipe(&shown);
	buf_fini(&shown);
	free(text);
	return r;
}

static int
output_flush(struct buf *out, int r, struct hw_err *err)
{
	if (r < 0 || out->failed)
		r = hw_err_set(err, HW_ELIMIT,
			"the answer is larger than 1 GiB: narrow it down, with --limit or a filter");
	else
		r = output_bytes(buf_data(out), out->len, err);
	buf_fini(out);
	return r;
}

/* --- lists ----------------------------------------------------------------------------------- */

static bool
shows_column(const struct client *c, const struct column *column)
{
	return !column->wide || c->format == OUTPUT_WIDE;
}

static int
append_table(struct buf *out, struct client *c, const struct listing *l, const char *items,
	size_t n)
{
	struct table *t;
	size_t columns = 0, size = l->item()->size;
	int r = 0;

	for (const struct column *col = l->columns; col->title != NULL; col++)
		columns += shows_column(c, col);
	if ((t = table_new(columns)) == NULL)
		return HW_ENOMEM;
	for (const struct column *col = l->columns; col->title != NULL; col++) {
		if (shows_column(c, col))
			r |= table_add(t, col->title, STYLE_PLAIN);
	}
	for (size_t i = 0; i < n; i++, items += size) {
		for (const struct column *col = l->columns; col->title != NULL; col++) {
			if (shows_column(c, col))
				r |= table_add(t, col->cell(c, items),
					col->style != NULL ? col->style(items) : STYLE_PLAIN);
		}
	}
	if (r == 0)
		r = table_print(out, t, c->color);
	table_free(t);
	return r < 0 ? HW_ENOMEM : 0;
}

static void
append_name(struct buf *out, const char *name)
{
	if (name == NULL || name[0] == '\0')
		return;
	/* A line of its own, whatever is in it, and nothing that a terminal obeys. */
	for (const uint8_t *at = (const uint8_t *)name; *at != '\0'; at++) {
		bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
		at += c1;
		buf_append_byte(out, *at < ' ' || *at == 0x7f || c1 ? '?' : *at);
	}
	buf_append_byte(out, '\n');
}

int
output_list(struct client *c, const struct listing *l, const void *reply, const void *items,
	size_t n, struct hw_err *err)
{
	size_t size = l->item()->size;
	struct buf out;
	int r = 0;

	buf_init(&out, OUTPUT_MAX);
	switch (c->format) {
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		r = append_table(&out, c, l, items, n);
		break;
	case OUTPUT_JSON:
		r = msg_to_json(&out, l->reply(), reply, JSON_PRETTY | JSON_DATES);
		buf_append_byte(&out, '\n');
		break;
	case OUTPUT_YAML:
		r = yaml_append(&out, l->reply(), reply, 0);
		break;
	case OUTPUT_JSONL:
		for (size_t i = 0; i < n && r == 0; i++) {
			r = msg_to_json(&out, l->item(), (const char *)items + i * size,
				JSON_DATES);
			buf_append_byte(&out, '\n');
		}
		break;
	case OUTPUT_NAME:
		for (size_t i = 0; i < n; i++)
			append_name(&out, l->name((const char *)items + i * size));
		break;
	}
	return output_flush(&out, r, err);
}

int
output_one(struct client *c, const struct msg_row *row, const void *msg, const char *name,
	struct hw_err *err)
{
	struct buf out;
	int r = 0;

	buf_init(&out, OUTPUT_MAX);
	switch (c->format) {
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		r = yaml_append(&out, row, msg, YAML_FOR_PEOPLE);
		break;
	case OUTPUT_JSON:
	case OUTPUT_JSONL:
		r = msg_to_json(&out, row, msg,
			JSON_DATES | (c->format == OUTPUT_JSON ? JSON_PRETTY : 0));
		buf_append_byte(&out, '\n');
		break;
	case OUTPUT_YAML:
		r = yaml_append(&out, row, msg, 0);
		break;
	case OUTPUT_NAME:
		append_name(&out, name);
		break;
	}
	return output_flush(&out, r, err);
}

/* --- what is JSON already ----------------------------------------------------------------------
 */

int
output_json(struct client *c, const struct buf *json, struct hw_err *err)
{
	struct yaml_pipe pipe;
	struct buf out;

	if (c->format != OUTPUT_YAML)
		return output_bytes(buf_data(json), json->len, err);
	buf_init(&out, OUTPUT_MAX);
	yaml_pipe_init(&pipe, &out);
	yaml_pipe_append(&pipe, buf_data(json), json->len);
	return output_flush(&out, 0, err);
}

void
output_series_init(struct output_series *s, struct client *c, bool lines)
{
	*s = (struct output_series){.client = c, .lines = lines};
	buf_init(&s->out, OUTPUT_MAX);
	yaml_pipe_init(&s->yaml, &s->out);
}

void
output_series_fini(struct output_series *s)
{
	buf_wipe(&s->out);
	buf_fini(&s->out);
	explicit_bzero(&s->yaml, sizeof(s->yaml));
}

static int
series_flush(struct output_series *s, struct hw_err *err)
{
	int r = s->out.failed
		? hw_err_set(err, HW_ELIMIT,
			  "the answer is larger than 1 GiB: narrow it down, with --limit or a filter")
		: output_bytes(buf_data(&s->out), s->out.len, err);

	buf_wipe(&s->out);
	return r;
}

int
output_series_add(struct output_series *s, const struct buf *json, struct hw_err *err)
{
	bool array = s->client->format == OUTPUT_JSON && !s->lines;

	if (s->client->format == OUTPUT_YAML) {
		yaml_pipe_append(&s->yaml, s->n > 0 ? "," : "[", 1);
		yaml_pipe_append(&s->yaml, buf_data(json), json->len);
	} else {
		if (array)
			buf_append_str(&s->out, s->n > 0 ? ",\n" : "[");
		buf_append(&s->out, buf_data(json), json->len);
		if (!array)
			buf_append_byte(&s->out, '\n');
	}
	s->n++;
	return series_flush(s, err);
}

int
output_series_end(struct output_series *s, struct hw_err *err)
{
	if (s->client->format == OUTPUT_YAML && s->n == 0)
		buf_append_str(&s->out, "[]\n");
	else if (s->client->format == OUTPUT_JSON && !s->lines)
		buf_append_str(&s->out, s->n > 0 ? "]\n" : "[]\n");
	return series_flush(s, err);
}

/* --- cells ----------------------------------------------------------------------------------- */

const char *
output_age(struct client *c, int64_t when)
{
	char text[DURATION_TEXT];
	int64_t age = client_now(c) - when;

	if (when == 0)
		return NULL;
	duration_format(text, age);
	return strcmp(text, "now") == 0 ? "now" : arena_printf(c->arena, "%s ago", text);
}

const char *
output_until(struct client *c, int64_t when)
{
	char text[DURATION_TEXT];
	int64_t left = when - client_now(c);

	if (when == 0)
		return NULL;
	if (left <= 0)
		return "over";
	duration_format(text, left);
	return arena_printf(c->arena, "in %s", text);
}

const char *
output_time(struct client *c, int64_t when)
{
	char text[64];
	time_t seconds = (time_t)(when / USEC_PER_SEC);
	struct tm tm;

	if (when == 0 || localtime_r(&seconds, &tm) == NULL)
		return NULL;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	return arena_strdup(c->arena, text);
}

const char *
output_tags(struct client *c, const struct msg_tag *tags, size_t n)
{
	struct buf text;
	const char *ret = NULL;

	buf_init(&text, 1 << 16);
	for (size_t i = 0; i < n; i++) {
		buf_append_str(&text, i > 0 ? "," : "");
		buf_append_str(&text, tags[i].key);
		buf_append_str(&text, "=");
		buf_append_str(&text, tags[i].value != NULL ? tags[i].value : "");
	}
	if (text.len > 0)
		ret = arena_strndup(c->arena, (const char *)buf_data(&text), text.len);
	buf_fini(&text);
	return ret;
}

const char *
output_texts(struct client *c, const struct msg_strs *texts)
{
	struct buf all;
	const char *ret = NULL;

	buf_init(&all, OUTPUT_MAX);
	for (size_t i = 0; i < texts->n; i++)
		buf_printf(&all, "%s%s", i > 0 ? "," : "", texts->v[i]);
	if (all.len > 0)
		ret = arena_strndup(c->arena, (const char *)buf_data(&all), all.len);
	buf_fini(&all);
	return ret;
}

const char *
output_int(struct client *c, int64_t v)
{
	return arena_printf(c->arena, "%" PRId64, v);
}
