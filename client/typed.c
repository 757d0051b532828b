#include "client/typed.h"

#include "audit/export.h"
#include "proto/base/display.h"
#include "client/duration.h"

#define LINE_MAX_BYTES 65536
#define NAME_MAX_BYTES 1024

void
typed_init(struct typed *t)
{
	*t = (struct typed){0};
	buf_init(&t->line, LINE_MAX_BYTES);
	buf_init(&t->who, NAME_MAX_BYTES);
}

void
typed_fini(struct typed *t)
{
	buf_fini(&t->line);
	buf_fini(&t->who);
}

static bool
is_control(uint8_t c)
{
	return c < ' ' || c == 0x7f;
}

void
typed_append_keys(struct buf *out, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t run = 0;

		while (i + run < n && !is_control(p[i + run]))
			run++;
		display_append(out, (const char *)p + i, run);
		i += run;
		if (i < n) {
			buf_printf(out, "^%c", p[i] ^ 0x40);
			i++;
		}
	}
}

static void
begin_line(const struct typed *t, int64_t time, struct buf *out)
{
	char text[DURATION_TEXT];

	duration_format_clock(text, time);
	buf_printf(out, "%s  ", text);
	if (t->who.len == 0)
		return;
	buf_append_byte(out, '[');
	display_append(out, (const char *)buf_data(&t->who), t->who.len);
	buf_append_str(out, "] ");
}

/* A hidden line's end is hidden with it, so what follows is a new line. */
static void
flush(struct typed *t, struct buf *out)
{
	if (t->hidden > 0) {
		begin_line(t, t->time, out);
		buf_printf(out, "[%llu hidden]\n", (unsigned long long)t->hidden);
		t->hidden = 0;
	}
	if (t->line.len > 0) {
		begin_line(t, t->time, out);
		typed_append_keys(out, buf_data(&t->line), t->line.len);
		buf_append_byte(out, '\n');
		buf_reset(&t->line);
	}
}

static void
take_byte(struct typed *t, uint8_t c, int64_t time, struct buf *out)
{
	if (t->line.len == 0)
		t->time = time;
	if (c != '\r' && c != '\n') {
		buf_append_byte(&t->line, c);
		if (t->line.len == LINE_MAX_BYTES)
			flush(t, out);
		return;
	}
	if (t->line.len > 0) {
		flush(t, out);
		return;
	}
	begin_line(t, time, out); /* Return alone is a key, too */
	buf_append_byte(out, '\n');
}

/* The owner is nobody by name: it is whose recording this is. */
static void
take_author(struct typed *t, const struct event *ev, struct buf *out)
{
	flush(t, out);
	buf_reset(&t->who);
	if (ev->author != 0)
		export_author(ev, &t->who);
}

void
typed_event(struct typed *t, const struct event *ev, struct buf *out)
{
	if (ev->type == EVENT_AUTHOR)
		take_author(t, ev, out);
	if (ev->stream != STREAM_IN)
		return;
	if (ev->type == EVENT_HIDDEN) {
		if (t->line.len > 0)
			flush(t, out);
		if (t->hidden == 0)
			t->time = ev->time;
		t->hidden += ev->hidden;
	} else if (ev->type == EVENT_DATA) {
		if (t->hidden > 0)
			flush(t, out);
		for (size_t i = 0; i < ev->len; i++)
			take_byte(t, ev->bytes[i], ev->time, out);
	}
}

void
typed_end(struct typed *t, struct buf *out)
{
	flush(t, out);
}
