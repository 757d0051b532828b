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
	put(o, " ", 1);
	o->room -= sizeof(more) - 1;
	put_escaped(o, message, cut ? sizeof(message) - 1 : (size_t)n, "");
	o->room += sizeof(more) - 1;
	if (cut || o->cut) {
		o->cut = false;
		put_str(o, more);
	}
}

void
log_event(const struct log_ctx *ctx, enum log_level level, const char *event, const char *fmt, ...)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	const struct log_sink *sink = ctx->sink;
	char line[LINE_MAX_BYTES];
	struct out o = {.mem = line, .room = sizeof(line)};
	char when[RFC3339_LEN + 1];
	int keep = errno;
	va_list ap;

	if (sink == NULL || level > sink->level)
		return;
	rfc3339_format(when, clock_wall(sink->clock));
	const char *const head[] = {
		when, " ", levels[level], " ", event, ctx->tags[0] != '\0' ? " " : "", ctx->tags};
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		put_str(&o, head[i]);
	va_start(ap, fmt);
	put_message(&o, fmt, ap);
	va_end(ap);
	if (sink->write != NULL)
		sink->write(sink->arg, level, line);
	else
		write_stderr(line, o.len);
	errno = keep;
}
