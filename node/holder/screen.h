/*
 * The screen of a program on a terminal, kept while its output goes on elsewhere: what it wrote
 * waits here, and is made a screen of when somebody has time, or asks. Of a flood of text only what
 * can still be seen is looked at.
 */
#ifndef HAWSER_HOLDER_SCREEN_H
#define HAWSER_HOLDER_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCREEN_CELLS_MAX   125000	/* of a larger terminal no screen is kept */
#define SCREEN_SIDE_MAX	   2000		/* nor of more columns or rows: a byte's work is one */
#define SCREEN_WAITING_MAX (256 * 1024) /* output that was not looked at yet */
#define SCREEN_PAINT_MAX   (256 * 1024)

struct screen;
struct terminal;

/* NULL without memory. 0 is as a terminal has it that nobody sized. */
struct screen *screen_new(int cols, int rows);
void screen_free(struct screen *s);

/* Takes all of it. Without memory the screen is lost, and begins again as a blank one. */
void screen_feed(struct screen *s, const void *p, size_t n);
void screen_resize(struct screen *s, int cols, int rows);

/* Whether output waits, and looking at it. */
bool screen_waits(const struct screen *s);
void screen_settle(struct screen *s);

/* What draws it anywhere: at most SCREEN_PAINT_MAX bytes, with fewer colours, or none, where that
 * is too little. The caller frees it; NULL when no screen is kept. */
uint8_t *screen_paint(struct screen *s, size_t *len);

/* After settling; NULL when none is kept. */
const struct terminal *screen_terminal(const struct screen *s);

#endif
