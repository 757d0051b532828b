/* Texts that come from elsewhere, made to fit where well-formed text of a bounded length must
 * stand: a field of the ledger, a CLOSE, a column. */
#ifndef HAWSER_CORE_FIT_H
#define HAWSER_CORE_FIT_H

#include <stddef.h>

/* Copies what fits into `room` bytes, NUL included, as well-formed UTF-8: no character is halved,
 * and a byte that belongs to none becomes
 * "?". NULL reads as "". Returns the length. The two must not overlap. */
size_t fit_text(char *out, size_t room, const char *text);

/* The longest prefix of n bytes of well-formed UTF-8, at most `max`, that halves no character. */
size_t fit_prefix(const char *text, size_t n, size_t max);

#endif
