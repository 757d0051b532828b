/* Output as SSM's fields have it: the beginning, as well-formed text. Pure. */
#ifndef HAWSER_SERVICES_COMMANDS_CUT_H
#define HAWSER_SERVICES_COMMANDS_CUT_H

#include "proto/base/buf.h"

#define CUT_STDOUT 24000 /* of GetCommandInvocation */
#define CUT_STDERR 8000
#define CUT_PLUGIN 2500 /* of both together, in lists */

/* Appends the bytes as text: what is no UTF-8, and a NUL, becomes U+FFFD. */
int cut_text(struct buf *out, const void *p, size_t n);

/* Cuts a text that has `max` bytes or more: at the last character that leaves room for the words
 * that say so. At most `max` bytes are left. */
int cut_stream(struct buf *text, size_t max);

/* Both streams of a step in at most CUT_PLUGIN bytes. */
int cut_plugin(struct buf *out, const struct buf *stdout_text, const struct buf *stderr_text);

#endif
