/* How many columns a character takes on a terminal. */
#ifndef HAWSER_HOLDER_GLYPHS_H
#define HAWSER_HOLDER_GLYPHS_H

#include <stdint.h>

/* 1 or 2; 0 when it is drawn onto the one before it; -1 when it is not drawn at all. */
int glyph_width(uint32_t ch);

/* What the line drawing set shows for a byte from 0x5f to 0x7e. */
uint32_t glyph_of_line(uint8_t c);

#endif
