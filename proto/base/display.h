/* Text for a terminal: nothing in it can steer one, and its width is known. */
#ifndef HAWSER_BASE_DISPLAY_H
#define HAWSER_BASE_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

/* Whether a character shows nothing, and so hides: in the middle of a word from whoever looks for
 * the word, or a text of its own from everybody. Joiners, and what chooses an emoji's form, stay:
 * scripts and emoji are written with them. */
bool display_hides(uint32_t c);

/* Appends any bytes so that they are safe to look at: what does not print (control bytes, invalid
 * UTF-8, marks that turn the writing direction) becomes \xNN or \u{N}. Returns the columns it
 * takes. A NULL buffer only measures. */
size_t display_append(struct buf *out, const char *text, size_t n);

/* The same, broken at blanks into lines of at most `width` columns, where a word fits. The cursor
 * stands in column `indent`, as it will in each further line; a newline ends it. Returns how many
 * lines it takes. */
size_t display_wrap(struct buf *out, const char *text, size_t indent, size_t width);

#endif
