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
 * RAW). */
struct export *export_new(enum export_format format, const struct msg_recording_meta *meta,
	bool typed, struct buf *out);
/* One event. CAST: UTF-8 that is cut at a chunk's end waits for the next; invalid bytes become
 * U+FFFD. TEXT: escape sequences removed, CR LF as LF, backspaces applied within a line. RAW:
 * exactly the output bytes. JSON: one object a line, bytes as base64. */
int export_event(struct export *e, const struct event *ev, struct buf *out);
int export_end(struct export *e, struct buf *out);
void export_free(struct export *e);

/*
 * The escape filter. Of what a program wrote to its terminal it passes printable UTF-8, CR LF BS HT
 * BEL, SGR, cursor movement, erasing, scrolling regions, insert and delete, the alternate screen,
 * cursor visibility, charset G0/G1 line drawing; all else is dropped: titles and every other OSC,
 * DCS, APC, PM, SOS, all queries (DSR, DA, DECRQ..., XTVERSION, ENQ), key and mouse modes,
 * bracketed paste, media copy, resizing, resets that reprogram, C1 bytes. Sequences may be split
 * over calls anywhere. Its output through it again is itself.
 */
struct escape_filter {
	int state;
	uint8_t pending[64];
	size_t n;
	int utf8_left;
};
void escape_filter_init(struct escape_filter *f);
int escape_filter_feed(struct escape_filter *f, const void *p, size_t n, struct buf *out);
/* What brings a terminal back to order after a replay: SGR reset, cursor shown, main screen, scroll
 * region and charset reset. */
extern const char escape_filter_reset[];

#endif
