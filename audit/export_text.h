/* One line of text as it is being written and edited, for export as TEXT. */
#ifndef HAWSER_AUDIT_EXPORT_TEXT_H
#define HAWSER_AUDIT_EXPORT_TEXT_H

#include "audit/export.h"

struct text_line {
	struct escape_filter filter;
	struct buf clean; /* filtered bytes */
	uint32_t *cells;  /* a character's bytes each, first byte lowest */
	size_t n, at, room;
	bool typed; /* what keys sent, not what a screen was sent */
};

void text_line_init(struct text_line *t, bool typed);
void text_line_fini(struct text_line *t);

/* Takes what a program wrote (or a person typed); lines that are left are appended. */
int text_line_feed(struct text_line *t, const void *p, size_t n, struct buf *out);
/* Appends what is in the line, if anything, and an end of line. */
int text_line_end(struct text_line *t, struct buf *out);

#endif
