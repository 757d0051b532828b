#include <jansson.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/wire/codec_io.h"

/* --- source: jansson's tree ----------------------------------------------------------------------
 */

struct json_source {
	struct source source;
	const json_t *value; /* the current one */
};

static const json_t *
current(const struct source *s)
{
	return ((const struct json_source *)s)->value;
}

static void
set_current(struct source *s, const json_t *value)
{
	((struct json_source *)s)->value = value;
}

static bool
take_nil(struct source *s)
{
	return json_is_null(current(s));
}

static bool
take_text(struct source *s, const char **p, size_t *n)
{
	if (!json_is_string(current(s)))
		return false;
	*p = json_string_value(current(s));
	*n = json_string_length(current(s));
	return true;
}

static bool
take_integer(struct source *s, int64_t *v)
{
	if (!json_is_integer(current(s)))
		return false;
	*v = json_integer_value(current(s));
	return true;
}

static bool
take_boolean(struct source *s, bool *v)
{
	if (!json_is_boolean(current(s)))
		return false;
	*v = json_is_true(current(s));
	return true;
}

/* Seconds since 1970, whole or not, or RFC 3339. */
static bool
take_time(struct source *s, int64_t *usec)
{
	const json_t *v = current(s);

	if (json_is_string(v))
		return strlen(json_string_value(v)) == json_string_length(v) &&
			rfc3339_parse(usec, json_string_value(v)) == 0;
	if (json_is_integer(v))
		return !__builtin_mul_overflow(json_integer_value(v), USEC_PER_SEC, usec);
	double sec = json_is_real(v) ? json_real_value(v) : 1e300;
	if (sec > 1e12 || sec < -1e12)
		return false;
	*usec = (int64_t)(sec * (double)USEC_PER_SEC + (sec < 0 ? -0.5 : 0.5));
	return true;
}

static int
take_bin(struct source *s, struct arena *a, const uint8_t **p, size_t *n)
{
	const char *text;
	size_t len;

	if (!take_text(s, &text, &len))
		return HW_EVALIDATION;
	uint8_t *bytes = arena_alloc(a, len / 4 * 3 + 1);
	if (bytes == NULL)
		return HW_ELIMIT;
	*p = bytes;
	return base64_decode(bytes, n, text, len) == 0 ? 0 : HW_EVALIDATION;
}

static bool
take_list(struct source *s, struct span *items)
{
	const json_t *v = current(s);

	if (!json_is_array(v))
		return false;
	*items = (struct span){.left = json_array_size(v), .list = v};
	return true;
}

static void
take_item(struct source *s, struct span *items)
{
	set_current(s, json_array_get(items->list, json_array_size(items->list) - items->left));
	items->left--;
}

static bool
take_map(struct source *s, struct span *entries)
{
	json_t *v = (json_t *)current(s); /* jansson's iterators take no const */

	if (!json_is_object(v))
		return false;
	*entries =
		(struct span){.left = json_object_size(v), .list = v, .iter = json_object_iter(v)};
	return true;
}

static bool
take_entry(struct source *s, struct span *entries, const char **key, size_t *n)
{
	*key = json_object_iter_key(entries->iter);
	*n = json_object_iter_key_len(entries->iter);
	set_current(s, json_object_iter_value(entries->iter));
	entries->iter = json_object_iter_next((json_t *)entries->list, entries->iter);
	entries->left--;
	return true;
}

static void
take_any(struct source *s)
{
	(void)s;
}

static const struct source_ops json_source_ops = {
	.bin_form = "base64",
	.nil = take_nil,
	.text = take_text,
	.integer = take_integer,
	.boolean = take_boolean,
	.time = take_time,
	.bin = take_bin,
	.list = take_list,
	.map = take_map,
	.item = take_item,
	.entry = take_entry,
	.skip = take_any,
};

/* jansson's sentence without its "near '...'": that part would show the input's bytes, secrets too.
 */
static int
not_json(const json_error_t *e, struct hw_err *err)
{
	const char *near = strstr(e->text, " near ");
	int n = near != NULL ? (int)(near - e->text) : (int)strlen(e->text);

	if (json_error_code(e) == json_error_duplicate_key)
		return hw_err_set(err, HW_ESERIAL, "line %d column %d: a name is there twice",
			e->line, e->column);
	if (json_error_code(e) == json_error_invalid_utf8)
		return hw_err_set(err, HW_ESERIAL, "not valid UTF-8");
	return hw_err_set(err, HW_ESERIAL, "line %d column %d: %.*s", e->line, e->column, n,
		e->text);
}

int
msg_from_json(void **ret, struct arena *a, const struct msg_row *row, const char *text, size_t n,
	struct hw_err *err)
{
	json_error_t e;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);

	if (root == NULL)
		return not_json(&e, err);
	struct json_source s = {.source.ops = &json_source_ops, .value = root};
	int r = codec_read(ret, &s.source, a, row, err);
	json_decref(root);
	return r;
}

/* --- sink
 * ------------------------------------------------------------------------------------------ */

struct json_sink {
	struct sink sink;
	bool pretty, dates;
	bool first;   /* nothing yet in the innermost list or map */
	bool has_key; /* its value is next */
	int depth;
};

static struct json_sink *
json(struct sink *s)
{
	return (struct json_sink *)s;
}

static void
new_line(struct json_sink *j)
{
	if (!j->pretty)
		return;
	buf_append_byte(j->sink.out, '\n');
	for (int i = 0; i < j->depth; i++)
		buf_append(j->sink.out, "  ", 2);
}

/* What goes before an element: nothing after its key. */
static void
separate(struct json_sink *j)
{
	if (!j->has_key && j->depth > 0) {
		if (!j->first)
			buf_append_byte(j->sink.out, ',');
		new_line(j);
	}
	j->first = j->has_key = false;
}

static void
put_text(struct sink *s, const char *p, size_t n)
{
	separate(json(s));
	json_append_string(s->out, p, n);
}

static void
put_bin(struct sink *s, const uint8_t *p, size_t n)
{
	char *to;

	separate(json(s));
	buf_append_byte(s->out, '"');
	if (n > s->out->max || (to = (char *)buf_reserve(s->out, BASE64_LEN(n) + 1)) == NULL) {
		s->out->failed = true;
		return;
	}
	base64_encode(to, p, n);
	buf_commit(s->out, BASE64_LEN(n));
	buf_append_byte(s->out, '"');
}

static void
put_integer(struct sink *s, int64_t v)
{
	separate(json(s));
	buf_printf(s->out, "%lld", (long long)v);
}

static void
put_boolean(struct sink *s, bool v)
{
	separate(json(s));
	buf_append_str(s->out, v ? "true" : "false");
}

/* Rounded, so that a time that was read from such a number is written as the same number. */
static void
put_time(struct sink *s, int64_t usec)
{
	uint64_t size = usec < 0 ? 0 - (uint64_t)usec : (uint64_t)usec;
	uint64_t msec = (size + 500) / 1000;

	separate(json(s));
	if (json(s)->dates) {
		char text[RFC3339_LEN + 1];
		rfc3339_format(text, usec);
		buf_printf(s->out, "\"%s\"", text);
		return;
	}
	buf_printf(s->out, "%s%llu.%03u", usec < 0 && msec > 0 ? "-" : "",
		(unsigned long long)(msec / 1000), (unsigned)(msec % 1000));
}

static void
begin(struct sink *s, char bracket)
{
	separate(json(s));
	buf_append_byte(s->out, (uint8_t)bracket);
	json(s)->depth++;
	json(s)->first = true;
}

static void
end(struct sink *s, char bracket)
{
	json(s)->depth--;
	if (!json(s)->first)
		new_line(json(s));
	json(s)->first = false;
	buf_append_byte(s->out, (uint8_t)bracket);
}

static void
put_list(struct sink *s, size_t n)
{
	(void)n;
	begin(s, '[');
}

static void
put_list_end(struct sink *s)
{
	end(s, ']');
}

static void
put_map(struct sink *s, size_t n)
{
	(void)n;
	begin(s, '{');
}

static void
put_map_end(struct sink *s)
{
	end(s, '}');
}

static void
put_key(struct sink *s, const char *p, size_t n)
{
	put_text(s, p, n);
	buf_append_str(s->out, json(s)->pretty ? ": " : ":");
	json(s)->has_key = true;
}

static const struct sink_ops json_sink_ops = {
	.text = put_text,
	.bin = put_bin,
	.integer = put_integer,
	.boolean = put_boolean,
	.time = put_time,
	.list = put_list,
	.list_end = put_list_end,
	.map = put_map,
	.key = put_key,
	.map_end = put_map_end,
};

int
msg_to_json(struct buf *out, const struct msg_row *row, const void *msg, int flags)
{
	struct json_sink j = {
		.sink = {.ops = &json_sink_ops,
			 .out = out,
			 .hide_secrets = !(flags & JSON_SECRETS)},
		.pretty = flags & JSON_PRETTY,
		.dates = flags & JSON_DATES,
	};

	return codec_write(&j.sink, row, msg, NULL);
}

/* --- strings
 * --------------------------------------------------------------------------------------- */

static void
append_escaped(struct buf *out, unsigned char c)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
		if ((unsigned char)letters[i] != c)
			continue;
		buf_append_byte(out, '\\');
		buf_append_byte(out, (uint8_t)letters[i + 1]);
		return;
	}
	buf_printf(out, "\\u%04x", c);
}

static bool
is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Appends a run of plain bytes, or one other character; returns how many bytes that was. */
static size_t
append_some(struct buf *out, const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;
	size_t run = 0;

	while (run < n && is_plain((unsigned char)p[run]))
		run++;
	/* C1 controls are allowed in JSON, but it is also shown on terminals, which obey them. */
	if (run == 0 && c == 0xc2 && n > 1 && (unsigned char)p[1] >= 0x80 &&
		(unsigned char)p[1] < 0xa0) {
		append_escaped(out, (unsigned char)p[1]);
		return 2;
	}
	if (run == 0 && c >= 0x80) {
		int len = utf8_next((const uint8_t *)p, n);

		if (len > 0)
			run = (size_t)len;
	}
	if (run > 0) {
		buf_append(out, p, run);
		return run;
	}
	if (c >= 0x80)
		buf_append_str(out, "\xef\xbf\xbd");
	else
		append_escaped(out, c);
	return 1;
}

int
json_append_string(struct buf *out, const char *text, size_t n)
{
	bool failed_before = out->failed;
	size_t start = out->len;

	out->failed = false;
	buf_append_byte(out, '"');
	for (size_t i = 0; i < n;)
		i += append_some(out, text + i, n - i);
	buf_append_byte(out, '"');
	int r = out->failed ? HW_ELIMIT : 0;
	if (r < 0)
		out->len = start;
	out->failed |= failed_before;
	return r;
}
