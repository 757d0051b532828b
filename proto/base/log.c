#include "proto/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/enc.h"

#define LINE_MAX_BYTES	  4096
#define MESSAGE_MAX_BYTES 2048
#define HEAD_MAX	  256 /* time, level and event, in each format */

/* Text under construction in a fixed array; `cut` once something did not fit. */
struct out {
	char *mem;
	size_t len, room; /* room counts the NUL */
	bool cut;
};

/* All of it or nothing, so that no escape or character is ever halved. */
static void
put(struct out *o, const char *s, size_t n)
{
	if (o->cut || n >= o->room - o->len) {
		o->cut = true;
		return;
	}
	memcpy(o->mem + o->len, s, n);
	o->len += n;
	o->mem[o->len] = '\0';
}

static void
put_str(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

/* How many bytes at p can be shown as they are: 0 for control characters (C1 too, which terminals
 * obey) and for what is not UTF-8. */
static size_t
printable(const uint8_t *p, size_t n)
{
	int length = utf8_next(p, n);

	if (length <= 0 || p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return (size_t)length;
}

/* Writes text with what isn't printable as \xNN, and what is in `special` behind a backslash. */
static void
put_escaped(struct out *o, const char *text, size_t n, const char *special)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0, step; i < n && !o->cut; i += step) {
		char esc[5] = {'\\', (char)p[i]};
		step = printable(p + i, n - i);
		if (step == 0) {
			step = 1;
			snprintf(esc, sizeof(esc), "\\x%02x", p[i]);
			put(o, esc, 4);
		} else if (step == 1 && strchr(special, p[i]) != NULL) {
			put(o, esc, 2);
		} else {
			put(o, text + i, step);
		}
	}
}

static bool
needs_quotes(const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0, step; i < n; i += step) {
		step = printable(p + i, n - i);
		if (step == 0 || (step == 1 && strchr(" \"=\\", p[i]) != NULL))
			return true;
	}
	return n == 0;
}

static void
put_value(struct out *o, const char *text, size_t n)
{
	if (!needs_quotes(text, n)) {
		put_escaped(o, text, n, "");
		return;
	}
	if (o->room - o->len < 3) {
		o->cut = true;
		return;
	}
	put(o, "\"", 1);
	o->room--; /* kept for the quote at the end */
	put_escaped(o, text, n, "\"\\");
	o->room++;
	bool cut = o->cut;
	o->cut = false;
	put(o, "\"", 1);
	o->cut = cut;
}

size_t
log_escape(char *out, size_t room, const char *text, size_t n)
{
	struct out o = {.mem = out, .room = room};

	if (room == 0)
		return 0;
	out[0] = '\0';
	put_value(&o, text, n);
	return o.len;
}

const char *
log_value_in(struct log_value *mem, const char *text)
{
	if (text == NULL)
		text = "";
	log_escape(mem->text, sizeof(mem->text), text, strlen(text));
	return mem->text;
}

/* --- contexts -------------------------------------------------------------------------------- */

void
log_ctx_init(struct log_ctx *ctx, struct log_sink *sink)
{
	*ctx = (struct log_ctx){.sink = sink};
}

void
log_ctx_child(struct log_ctx *ctx, const struct log_ctx *parent, const char *key, const char *value)
{
	if (parent == NULL)
		log_ctx_init(ctx, NULL);
	else if (ctx != parent)
		*ctx = *parent;
	log_ctx_tag(ctx, key, value);
}

void
log_ctx_tag(struct log_ctx *ctx, const char *key, const char *value)
{
	size_t before = strlen(ctx->tags);
	struct out o = {.mem = ctx->tags, .len = before, .room = sizeof(ctx->tags)};

	if (before > 0)
		put(&o, " ", 1);
	put_str(&o, key);
	put(&o, "=", 1);
	put_value(&o, value, strlen(value));
	if (o.cut)
		ctx->tags[before] = '\0';
}

/* --- events ---------------------------------------------------------------------------------- */

static void
write_stderr(char *line, size_t n)
{
	line[n] = '\n'; /* where the NUL was: one write keeps the lines of threads apart */
	while (write(STDERR_FILENO, line, n + 1) < 0 && errno == EINTR)
		;
}

static void
put_message(struct out *o, const char *fmt, va_list ap)
{
	char message[MESSAGE_MAX_BYTES];
	static const char more[] = "...";

	int n = vsnprintf(message, sizeof(message), fmt, ap);
	if (n <= 0)
		return;
	bool cut = (size_t)n >= sizeof(message);
	o->room -= sizeof(more) - 1;
	put_escaped(o, message, cut ? sizeof(message) - 1 : (size_t)n, "");
	o->room += sizeof(more) - 1;
	if (cut || o->cut) {
		o->cut = false;
		put_str(o, more);
	}
}

/* --- formats --------------------------------------------------------------------------------- */

static const char *const format_names[] = {"text", "logfmt", "json"};

bool
log_format_parse(enum log_format *ret, const char *name)
{
	for (size_t i = 0; i < sizeof(format_names) / sizeof(format_names[0]); i++)
		if (strcmp(format_names[i], name) == 0) {
			*ret = (enum log_format)i;
			return true;
		}
	return false;
}

const char *
log_format_name(enum log_format format)
{
	return format_names[format];
}

/* One pair of a text of pairs, as it is written there. */
struct pair {
	const char *key, *value; /* value NULL: a word alone */
	size_t key_len, value_len;
	bool quoted;
};

static bool
is_key(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '.';
}

/* In quotes a backslash hides what follows it. Quotes that do not end, end with the text. */
static const char *
end_of_quotes(const char *at)
{
	while (*at != '\0' && *at != '"')
		at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
	return at;
}

static bool
next_pair(struct pair *ret, const char **text)
{
	const char *at = *text + strspn(*text, " "), *key = at;

	if (*at == '\0')
		return false;
	while (is_key(*at))
		at++;
	*ret = (struct pair){.key = key, .key_len = (size_t)(at - key)};
	if (*at != '=' || at == key) {
		ret->key_len = strcspn(key, " ");
		*text = key + ret->key_len;
		return true;
	}
	ret->quoted = at[1] == '"';
	ret->value = at + 1 + ret->quoted;
	const char *end =
		ret->quoted ? end_of_quotes(ret->value) : ret->value + strcspn(ret->value, " ");
	ret->value_len = (size_t)(end - ret->value);
	*text = end + (ret->quoted && *end == '"');
	return true;
}

/* Text of a line of ours, which has nothing but printable UTF-8, as it stands in JSON. The quotes
 * and backslashes of a quoted value lose the backslash before them; one that writes a byte (\xNN)
 * stays. */
static void
put_json_text(struct out *o, const char *text, size_t n, bool quoted)
{
	for (size_t i = 0; i < n && !o->cut; i++) {
		if (quoted && text[i] == '\\' && i + 1 < n &&
			(text[i + 1] == '"' || text[i + 1] == '\\'))
			i++;
		char escaped[2] = {'\\', text[i]};
		if (text[i] == '"' || text[i] == '\\')
			put(o, escaped, 2);
		else
			put(o, text + i, 1);
	}
}

/* All of a member or nothing of it. */
static void
put_member(struct out *o, const struct pair *p)
{
	size_t before = o->len;

	put_str(o, before > 1 ? ",\"" : "\"");
	put(o, p->key, p->key_len);
	put_str(o, "\":\"");
	put_json_text(o, p->value, p->value_len, p->quoted);
	put_str(o, "\"");
	if (!o->cut)
		return;
	o->len = before;
	o->mem[before] = '\0';
	o->cut = false;
}

static void
put_json_pair(struct out *o, const char *key, const char *value)
{
	const struct pair p = {
		.key = key, .value = value, .key_len = strlen(key), .value_len = strlen(value)};

	put_member(o, &p);
}

/* A key that was there already would hide the first one from some readers and the second from
 * others: a peer's text, where it looks like a pair, is then part of the message. */
static bool
is_member(const struct out *o, const struct pair *p)
{
	char name[80];

	int n = snprintf(name, sizeof(name), "\"%.*s\":\"",
		(int)(p->key_len < 64 ? p->key_len : 64), p->key);
	return p->key_len > 64 || memmem(o->mem, o->len, name, (size_t)n) != NULL ||
		(p->key_len == 7 && memcmp(p->key, "message", 7) == 0);
}

static void
put_json_rest(struct out *o, const char *text)
{
	char words[MESSAGE_MAX_BYTES];
	struct out message = {.mem = words, .room = sizeof(words)};
	struct pair p;

	words[0] = '\0';
	for (const char *at = text, *from = text; next_pair(&p, &at); from = at) {
		if (p.value != NULL && !is_member(o, &p)) {
			put_member(o, &p);
			continue;
		}
		from += strspn(from, " ");
		if (message.len > 0)
			put(&message, " ", 1);
		put(&message, from, (size_t)(at - from));
	}
	if (message.len > 0)
		put_json_pair(o, "message", words);
}

/* What the line says, in its format. The tags and the pairs are written once, in the first. */
struct said {
	const char *when, *level, *event, *tags, *pairs;
};

static void
put_text(struct out *o, const struct said *s)
{
	const char *const all[] = {s->when, " ", s->level, " ", s->event,
		*s->tags != '\0' ? " " : "", s->tags, *s->pairs != '\0' ? " " : "", s->pairs};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		put_str(o, all[i]);
}

static void
put_logfmt(struct out *o, const struct said *s)
{
	char component[64];

	snprintf(component, sizeof(component), "%.*s", (int)strcspn(s->event, "."), s->event);
	const char *const all[] = {"time=", s->when, " level=", s->level, " component=", component,
		" event=", s->event, *s->tags != '\0' ? " " : "", s->tags,
		*s->pairs != '\0' ? " " : "", s->pairs};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		put_str(o, all[i]);
}

static void
put_json(struct out *o, const struct said *s)
{
	char component[64];

	snprintf(component, sizeof(component), "%.*s", (int)strcspn(s->event, "."), s->event);
	put_str(o, "{");
	o->room--; /* kept for the brace at the end */
	put_json_pair(o, "time", s->when);
	put_json_pair(o, "level", s->level);
	put_json_pair(o, "component", component);
	put_json_pair(o, "event", s->event);
	put_json_rest(o, s->tags);
	put_json_rest(o, s->pairs);
	o->room++;
	o->cut = false;
	put_str(o, "}");
}

void
log_event(const struct log_ctx *ctx, enum log_level level, const char *event, const char *fmt, ...)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	static void (*const formats[])(struct out *, const struct said *) = {
		put_text, put_logfmt, put_json};
	const struct log_sink *sink = ctx->sink;
	char line[LINE_MAX_BYTES], pairs[LINE_MAX_BYTES - sizeof(ctx->tags) - HEAD_MAX];
	struct out o = {.mem = line, .room = sizeof(line)};
	struct out rest = {.mem = pairs, .room = sizeof(pairs)};
	char when[RFC3339_LEN + 1];
	int keep = errno;
	va_list ap;

	if (sink == NULL || level > sink->level)
		return;
	rfc3339_format(when, clock_wall(sink->clock));
	line[0] = pairs[0] = '\0';
	va_start(ap, fmt);
	put_message(&rest, fmt, ap);
	va_end(ap);
	const struct said said = {when, levels[level], event, ctx->tags, pairs};
	formats[sink->format](&o, &said);
	if (sink->write != NULL)
		sink->write(sink->arg, level, line);
	else
		write_stderr(line, o.len);
	errno = keep;
}
