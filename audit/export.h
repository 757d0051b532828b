/*
 * Turning events into what people read: asciicast v2, plain text, raw bytes, JSON lines; and
 * playing them on a terminal that they must not be able to attack. Pure: bytes in, bytes out, no
 * clock, no terminal.
 */
#ifndef HAWSER_AUDIT_EXPORT_H
#define HAWSER_AUDIT_EXPORT_H

#include "audit/recording.h"

enum export_format { EXPORT_CAST, EXPORT_TEXT, EXPORT_RAW, EXPORT_JSON };
/* -1 when there is no such format. Names: cast text raw json. */
int export_format(const char *name);

struct export;
/* Begins: writes the format's head, if it has one. `typed` takes input instead of output (TEXT and
 * RAW). `meta` is not kept. NULL without memory, or when the head does not fit. */
struct export *export_new(enum export_format format, const struct msg_recording_meta *meta,
	bool typed, struct buf *out);
/*
 * One event. HW_ELIMIT when it does not fit; consume `out` between calls.
 * CAST: output and error as "o", shown input as "i", resizing as "r"; hidden input, notes, rewinds,
 *       who types from there on, screens and the end as markers "m". UTF-8 that is cut at a chunk's
 * end waits for the stream's next; invalid bytes become U+FFFD. Times never go back. TEXT: lines as
 * they looked when they were left: escape sequences removed, CR LF as LF, backspaces, CR and
 * erasing applied within a line; a program that moves about the screen leaves what it wrote in the
 * order in which it did. Hidden input shows as "[6 not shown]", and where another author goes on,
 * "[bob] " stands before what he typed. RAW:  exactly the output bytes, of both streams; those that
 * were sent again after a rewind, twice. JSON: one object a line, the meta first; bytes as base64.
 * `author` is a number; the object "author" before says whose it is, and 0 is the owner.
 */
int export_event(struct export *e, const struct event *ev, struct buf *out);
/* The name of who types from an EVENT_AUTHOR on, as it stands there; "?" when it cannot be read. */
void export_author(const struct event *ev, struct buf *out);
int export_end(struct export *e, struct buf *out); /* what still waits */
void export_free(struct export *e);		   /* NULL is fine */

/*
 * The escape filter. Of what a program wrote to its terminal it passes printable UTF-8, CR LF BS HT
 * BEL, SGR (not concealing), cursor movement, erasing (not of what has scrolled away), scrolling
 * and its region, insert and delete, the alternate screen, cursor visibility, automatic wrapping,
 * charset G0/G1 line drawing; all else is dropped: titles and every other OSC, DCS, APC, PM, SOS,
 * all queries (DSR, DA, DECRQ..., XTVERSION, ENQ), key and mouse modes, bracketed paste, media
 * copy, resizing, resets that reprogram, C1 characters, those that turn the direction of
 * writing, and those that show nothing. Malformed UTF-8 becomes U+FFFD. A string (OSC ...) that has
 * no end is dropped up to the end of its line, and no more than 4 KiB: nobody can hide the rest of
 * a session in one. Sequences may be split over calls anywhere; the output of a call holds whole
 * ones. Its output through it again is itself.
 */
struct escape_filter {
	int state;
	uint8_t pending[64];
	size_t n;
	int utf8_left;
};
void escape_filter_init(struct escape_filter *f);
/* Appends at most 3n + 64 bytes. HW_ELIMIT when they don't fit: some may be there, then. */
int escape_filter_feed(struct escape_filter *f, const void *p, size_t n, struct buf *out);
/* How many of n bytes are printable ASCII until one is not. */
size_t escape_plain_run(const uint8_t *p, size_t n);
/* What brings a terminal back to order after a replay: main screen, scroll region, SGR, cursor,
 * wrapping, charsets. */
extern const char escape_filter_reset[];

#endif
