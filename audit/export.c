#include "audit/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/export_text.h"
#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "proto/wire/codec.h"

#define CUT_MAX 3 /* bytes of a character that a chunk's end may cut off */

/* UTF-8 of one stream that waits for its rest. */
struct cut {
	uint8_t bytes[CUT_MAX];
	size_t n;
};

struct export
{
	enum export_format format;
	bool typed;
	int64_t time;		  /* of the last event */
	struct cut cuts[STREAMS]; /* CAST */
	struct text_line line;	  /* TEXT */
};

int
export_format(const char *name)
{
	static const char *const names[] = {"cast", "text", "raw", "json"};

	for (int i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

static int
result(const struct buf *out)
{
	return out->failed ? HW_ELIMIT : 0;
}

static const char *
text_or(const char *s, const char *other)
{
	return s != NULL && s[0] != '\0' ? s : other;
}

static void
put_json(struct buf *out, const char *text)
{
	json_append_string(out, text, strlen(text));
}

/* --- asciicast v2 ---------------------------------------------------------------------------- */

static void
cast_head(const struct msg_recording_meta *meta, struct buf *out)
{
	struct buf title;

	buf_init(&title, 1024);
	buf_printf(&title, "%s on %s", text_or(meta->session_id, "session"),
		text_or(meta->target_name, text_or(meta->target, "a node")));
	buf_printf(out,
		"{\"version\": 2, \"width\": %" PRId64 ", \"height\": %" PRId64
		", \"timestamp\": %" PRId64 ", \"title\": ",
		meta->cols > 0 ? meta->cols : 80, meta->rows > 0 ? meta->rows : 24,
		meta->start / USEC_PER_SEC);
	json_append_string(out, (const char *)buf_data(&title), title.len);
	buf_fini(&title);
	if (text_or(meta->command, NULL) != NULL) {
		buf_append_str(out, ", \"command\": ");
		put_json(out, meta->command);
	}
	buf_append_str(out, ", \"env\": {\"TERM\": ");
	put_json(out, text_or(meta->term, "xterm-256color"));
	buf_append_str(out, "}}\n");
}

static void
cast_line(const struct export *e, char type, const char *p, size_t n, struct buf *out)
{
	buf_printf(out, "[%" PRId64 ".%06" PRId64 ", \"%c\", ", e->time / USEC_PER_SEC,
		e->time % USEC_PER_SEC, type);
	json_append_string(out, p, n);
	buf_append_str(out, "]\n");
}

/* How many bytes at the end are the beginning of a character. */
static size_t
cut_length(const uint8_t *p, size_t n)
{
	for (size_t back = 1; back <= CUT_MAX && back <= n; back++)
		if (utf8_next(p + n - back, back) == -1)
			return back;
	return 0;
}

static int
cast_data(struct export *e, const struct event *ev, struct buf *out)
{
	struct cut *cut = &e->cuts[ev->stream < STREAMS ? ev->stream : STREAM_OUT];
	struct buf whole;

	if (ev->len == 0)
		return 0;
	buf_init(&whole, CUT_MAX + ev->len);
	buf_append(&whole, cut->bytes, cut->n);
	int r = buf_append(&whole, ev->bytes, ev->len);
	if (r == 0) {
		cut->n = cut_length(buf_data(&whole), whole.len);
		size_t n = whole.len - cut->n;
		memcpy(cut->bytes, buf_data(&whole) + n, cut->n);
		if (n > 0)
			cast_line(e, ev->stream == STREAM_IN ? 'i' : 'o',
				(const char *)buf_data(&whole), n, out);
	}
	buf_fini(&whole);
	return r;
}

/* The close message as JSON; as base64 should it not decode. */
static void
put_close(const struct event *ev, struct buf *out)
{
	struct arena *a = arena_new(65536);
	void *msg;

	if (a == NULL || msg_decode(&msg, a, MSG_ROW(close), ev->bytes, ev->len, NULL) < 0 ||
		msg_to_json(out, MSG_ROW(close), msg, 0) < 0)
		buf_append_str(out, "{}");
	arena_free(a);
}

/* What is last in an ARN. */
void
export_author(const struct event *ev, struct buf *out)
{
	struct arena *a = arena_new(65536);
	const char *name = "?";
	void *msg;

	if (a != NULL &&
		msg_decode(&msg, a, MSG_ROW(recording_author), ev->bytes, ev->len, NULL) == 0) {
		const char *arn = ((const struct msg_recording_author *)msg)->principal;
		const char *slash = strrchr(arn, '/');
		name = slash != NULL ? slash + 1 : arn;
	}
	buf_append_str(out, name);
	arena_free(a);
}

static void
cast_marker(const struct export *e, const struct event *ev, struct buf *out)
{
	struct buf text;

	buf_init(&text, 2 * EVENT_BYTES_MAX);
	if (ev->type == EVENT_HIDDEN) {
		buf_printf(&text, "%" PRIu32 " bytes typed, not shown", ev->hidden);
	} else if (ev->type == EVENT_REWIND) {
		buf_printf(&text, "%s from byte %" PRIu64 " on was not delivered",
			ev->stream == STREAM_IN ? "input" : "output", ev->offset);
	} else if (ev->type == EVENT_NOTE) {
		buf_append(&text, ev->bytes, ev->len);
	} else if (ev->type == EVENT_AUTHOR) {
		export_author(ev, &text);
		buf_append_str(&text, " types");
	} else if (ev->type == EVENT_SCREEN) {
		buf_append_str(&text, "the screen was shown to who came");
	} else {
		buf_append_str(&text, "end ");
		put_close(ev, &text);
	}
	cast_line(e, 'm', (const char *)buf_data(&text), text.len, out);
	buf_fini(&text);
}

static int
cast_event(struct export *e, const struct event *ev, struct buf *out)
{
	char size[16];

	switch (ev->type) {
	case EVENT_DATA:
		return cast_data(e, ev, out);
	case EVENT_RESIZE:
		snprintf(size, sizeof(size), "%ux%u", ev->cols, ev->rows);
		cast_line(e, 'r', size, strlen(size), out);
		break;
	case EVENT_END_STREAM:
		break;
	case EVENT_SCREEN:
		if (ev->hidden == 0)
			cast_marker(e, ev, out);
		break;
	case EVENT_AUTHOR:
	case EVENT_HIDDEN:
	case EVENT_REWIND:
	case EVENT_NOTE:
	case EVENT_CLOSE:
		cast_marker(e, ev, out);
		break;
	}
	return result(out);
}

/* What was cut off for good. */
static int
cast_end(struct export *e, struct buf *out)
{
	for (int i = 0; i < STREAMS; i++) {
		if (e->cuts[i].n > 0)
			cast_line(e, i == STREAM_IN ? 'i' : 'o', "\xef\xbf\xbd", 3, out);
		e->cuts[i].n = 0;
	}
	return result(out);
}

/* --- JSON lines ------------------------------------------------------------------------------ */

static int
put_base64(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	buf_printf(out, ", \"%s\": \"", name);
	char *to = (char *)buf_reserve(out, BASE64_LEN(n) + 1);
	if (to == NULL)
		return HW_ELIMIT;
	base64_encode(to, p, n);
	buf_commit(out, BASE64_LEN(n));
	return buf_append_byte(out, '"');
}

static void
json_author(const struct event *ev, struct buf *out)
{
	struct arena *a = arena_new(65536);
	void *msg;

	buf_append_str(out, ", \"who\": ");
	if (a == NULL ||
		msg_decode(&msg, a, MSG_ROW(recording_author), ev->bytes, ev->len, NULL) < 0 ||
		msg_to_json(out, MSG_ROW(recording_author), msg, 0) < 0)
		buf_append_str(out, "{}");
	arena_free(a);
}

static void
json_screen(const struct event *ev, struct buf *out)
{
	put_base64(out, "bytes", ev->bytes, ev->len);
	buf_printf(out, ", \"more\": %" PRIu32, ev->hidden);
}

static int
json_event(const struct event *ev, struct buf *out)
{
	static const char *const types[] = {"", "data", "hidden", "resize", "end", "rewind", "note",
		"close", "author", "screen"};
	static const char *const streams[STREAMS] = {"in", "out", "err"};

	buf_printf(out, "{\"time\": %" PRId64 ".%06" PRId64 ", \"type\": \"%s\"",
		ev->time / USEC_PER_SEC, ev->time % USEC_PER_SEC, types[ev->type]);
	if (ev->type <= EVENT_HIDDEN || ev->type == EVENT_END_STREAM || ev->type == EVENT_REWIND)
		buf_printf(out, ", \"stream\": \"%s\"",
			ev->stream < STREAMS ? streams[ev->stream] : "other");
	if (ev->type <= EVENT_HIDDEN || ev->type == EVENT_AUTHOR)
		buf_printf(out, ", \"author\": %" PRIu32, ev->author);
	if (ev->type != EVENT_RESIZE && ev->type != EVENT_NOTE && ev->type != EVENT_CLOSE)
		buf_printf(out, ", \"offset\": %" PRIu64, ev->offset);
	if (ev->type == EVENT_DATA)
		put_base64(out, "bytes", ev->bytes, ev->len);
	if (ev->type == EVENT_HIDDEN)
		buf_printf(out, ", \"hidden\": %" PRIu32, ev->hidden);
	if (ev->type == EVENT_HIDDEN && ev->len > 0)
		put_base64(out, "sealed", ev->bytes, ev->len);
	if (ev->type == EVENT_RESIZE)
		buf_printf(out, ", \"cols\": %u, \"rows\": %u", ev->cols, ev->rows);
	if (ev->type == EVENT_NOTE) {
		buf_append_str(out, ", \"text\": ");
		json_append_string(out, (const char *)ev->bytes, ev->len);
	}
	if (ev->type == EVENT_CLOSE) {
		buf_append_str(out, ", \"close\": ");
		put_close(ev, out);
	}
	if (ev->type == EVENT_AUTHOR)
		json_author(ev, out);
	if (ev->type == EVENT_SCREEN)
		json_screen(ev, out);
	buf_append_str(out, "}\n");
	return result(out);
}

static void
json_head(const struct msg_recording_meta *meta, struct buf *out)
{
	buf_append_str(out, "{\"type\": \"meta\", \"meta\": ");
	if (msg_to_json(out, MSG_ROW(recording_meta), meta, 0) < 0)
		out->failed = true;
	buf_append_str(out, "}\n");
}

/* --- text and raw bytes ---------------------------------------------------------------------- */

/* Whose the line is from here on. */
static int
text_author(struct export *e, const struct event *ev, struct buf *out)
{
	struct buf name;

	buf_init(&name, 1024);
	buf_append_byte(&name, '[');
	export_author(ev, &name);
	buf_append_str(&name, "] ");
	int r = text_line_feed(&e->line, buf_data(&name), name.len, out);
	buf_fini(&name);
	return r;
}

static int
text_event(struct export *e, const struct event *ev, struct buf *out)
{
	char note[40];

	if (e->typed && ev->type == EVENT_AUTHOR)
		return text_author(e, ev, out);

	if (e->typed && ev->type == EVENT_HIDDEN) {
		snprintf(note, sizeof(note), "[%" PRIu32 " not shown]", ev->hidden);
		return text_line_feed(&e->line, note, strlen(note), out);
	}
	if (ev->type == EVENT_DATA && (ev->stream == STREAM_IN) == e->typed)
		return text_line_feed(&e->line, ev->bytes, ev->len, out);
	return 0;
}

static int
raw_event(const struct export *e, const struct event *ev, struct buf *out)
{
	if (ev->type != EVENT_DATA || (ev->stream == STREAM_IN) != e->typed)
		return 0;
	return buf_append(out, ev->bytes, ev->len);
}

/* --- all ------------------------------------------------------------------------------------- */

struct export *
export_new(enum export_format format, const struct msg_recording_meta *meta, bool typed,
	struct buf *out)
{
	struct export *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->format = format;
	e->typed = typed;
	text_line_init(&e->line, typed);
	if (format == EXPORT_CAST)
		cast_head(meta, out);
	else if (format == EXPORT_JSON)
		json_head(meta, out);
	if (!out->failed)
		return e;
	export_free(e);
	return NULL;
}

int
export_event(struct export *e, const struct event *ev, struct buf *out)
{
	if (ev->time > e->time)
		e->time = ev->time;
	switch (e->format) {
	case EXPORT_CAST:
		return cast_event(e, ev, out);
	case EXPORT_TEXT:
		return text_event(e, ev, out);
	case EXPORT_RAW:
		return raw_event(e, ev, out);
	case EXPORT_JSON:
		return json_event(ev, out);
	}
	return HW_EINTERNAL;
}

int
export_end(struct export *e, struct buf *out)
{
	switch (e->format) {
	case EXPORT_CAST:
		return cast_end(e, out);
	case EXPORT_TEXT:
		return text_line_end(&e->line, out);
	case EXPORT_RAW:
	case EXPORT_JSON:
		return 0;
	}
	return HW_EINTERNAL;
}

void
export_free(struct export *e)
{
	if (e == NULL)
		return;
	text_line_fini(&e->line);
	free(e);
}
