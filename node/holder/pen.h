/* How a cell of a terminal is drawn: colours and attributes, as SGR sets them. */
#ifndef HAWSER_HOLDER_PEN_H
#define HAWSER_HOLDER_PEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sequence;

/* A colour is its kind and a value: an index of 256, or 0xRRGGBB. */
#define COLOUR_DEFAULT 0u
#define COLOUR_INDEXED (1u << 24)
#define COLOUR_RGB     (2u << 24)
#define COLOUR_KIND    (3u << 24)

enum underline {
	UNDERLINE_NONE,
	UNDERLINE_SINGLE,
	UNDERLINE_DOUBLE,
	UNDERLINE_CURLY,
	UNDERLINE_DOTTED,
	UNDERLINE_DASHED
};

/* All zero: as a terminal starts. */
struct pen {
	uint32_t fg : 26, bold : 1, dim : 1, italic : 1, blink : 1, reverse : 1, conceal : 1;
	uint32_t bg : 26, underline : 3, strike : 1, overline : 1, unused : 1;
};

_Static_assert(sizeof(struct pen) == 8, "two words, compared as bytes");

bool pen_equal(struct pen a, struct pen b);

/* What is erased with it looks like: the colour of its background alone. */
struct pen pen_of_blank(struct pen p);

/* By the parameters of an SGR; what it does not know it leaves as it is. */
void pen_apply(struct pen *p, const struct sequence *sgr);

/* How much of a pen is written where there is little room. */
enum pen_detail { PEN_WHOLE, PEN_FEW_COLOURS, PEN_NONE };
#define PEN_SGR_MAX 96

/* Writes the SGR that makes `to` of `from`. Returns its length: 0 when they are the same. */
size_t pen_write(char out[PEN_SGR_MAX], struct pen from, struct pen to, enum pen_detail detail);

#endif
