/*
 * Structured logs: one line an event, logfmt, to stderr or a callback:
 *   2026-11-23T17:20:56.123Z warn session.stalled node=mi-0f.. session=alice-1c.. queued=65536
 *
 * Any struct that embeds `struct log_ctx log` can be the subject; the context carries its tags.
 * Values are escaped: no control byte of a peer reaches the log raw. Thread-safe.
 */
#ifndef HAWSER_BASE_LOG_H
#define HAWSER_BASE_LOG_H

#include <stdbool.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* How lines look: as above; the same as key=value alone; or an object of JSON. In the latter two
 * the first members are time, level, component (what stands before the event's first dot) and
 * event, and the rest are the tags and the event's own pairs, all as text; what is no pair is
 * message. */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };
bool log_format_parse(enum log_format *ret, const char *name);
const char *log_format_name(enum log_format format);

/* One a program, owned by it. `write` gets whole lines without the newline, from any thread that
 * logs; NULL means stderr, one write(2) a line. A line has at most 4095 bytes, and ends in ... when
 * it was longer. */
struct log_sink {
	enum log_level level;
	enum log_format format;
	const struct hw_clock *clock;
	void (*write)(void *arg, enum log_level level, const char *line);
	void *arg;
};

struct log_ctx {
	struct log_sink *sink; /* NULL: silent */
	char tags[160];	       /* "node=mi-.. session=.." */
};

/* A context that writes to the parent's sink with the parent's tags and one more. The value is
 * escaped; a tag that does not fit is dropped whole. parent may be NULL: silent. */
void log_ctx_init(struct log_ctx *ctx, struct log_sink *sink);
void log_ctx_child(struct log_ctx *ctx, const struct log_ctx *parent, const char *key,
	const char *value);
void log_ctx_tag(struct log_ctx *ctx, const char *key, const char *value);

/* fmt is the event's own pairs, "queued=%zu": a value that comes from elsewhere goes through
 * log_value first, lest it looks like two: a test keeps it so for what is said in sentences.
 * Control bytes are escaped here again. Keeps errno. */
void log_event(const struct log_ctx *ctx, enum log_level level, const char *event, const char *fmt,
	...) HW_PRINTF(4, 5);

/* The format may be "" for none: log_info(link, "link.up", "%s", ""). */
#define log_error(obj, ...) log_event(&(obj)->log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(obj, ...)  log_event(&(obj)->log, LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(obj, ...)  log_event(&(obj)->log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(obj, ...) log_event(&(obj)->log, LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Writes `n` bytes of text as a logfmt value and a NUL: in quotes where it needs them, what is not
 * printable UTF-8 as \xNN. What does not fit in `room` is cut, never inside of an escape. Returns
 * the length without the NUL. */
size_t log_escape(char *out, size_t room, const char *text, size_t n);

/* Text as the value of a pair: log_warn(s, "store.failed", "why=%s", log_value(text)). What it
 * points to is the caller's until its block ends. A text too long for it is cut; NULL is an empty
 * value. */
#define log_value(text) log_value_in(&(struct log_value){""}, text)
struct log_value {
	char text[1024];
};
const char *log_value_in(struct log_value *mem, const char *text);

#endif
