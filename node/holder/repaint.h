/* What makes any terminal of its size look and behave as another one does. */
#ifndef HAWSER_HOLDER_REPAINT_H
#define HAWSER_HOLDER_REPAINT_H

#include <stddef.h>
#include <stdint.h>

#include "node/holder/pen.h"

struct terminal;

/* Writes it to out. Returns its length; 0 when it does not fit in `room`. It begins by undoing
 * what a terminal may be in the midst of, and ends with what the program is in the midst of, so
 * that what it writes next goes on from there. Nothing before that makes a terminal answer. */
size_t repaint_write(const struct terminal *t, enum pen_detail detail, uint8_t *out, size_t room);

#endif
