/* Text forms of bytes: hex, base64 (RFC 4648), and UTF-8 checks. Pure functions. */
#ifndef HAWSER_BASE_ENC_H
#define HAWSER_BASE_ENC_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

/* Writes 2n lower-case digits and a NUL. */
void hex_encode(char *out, const void *p, size_t n);
/* HW_EVALIDATION unless `text` is exactly 2n hex digits of either case. */
int hex_decode(void *out, size_t n, const char *text);

#define BASE64_LEN(n) ((((n) + 2) / 3) * 4)
/* Standard alphabet, padded; out has BASE64_LEN(n) + 1 bytes. */
void base64_encode(char *out, const void *p, size_t n);
/* Strict: padding required, no blanks, no stray bits in the last digit. *n is set to the bytes
 * written, at most len/4*3. HW_EVALIDATION otherwise; `out` may have been written to. */
int base64_decode(void *out, size_t *n, const char *text, size_t len);

/* URL-safe alphabet without padding: for tokens and invites. The same sizes do; decoding writes at
 * most len*3/4. */
void base64url_encode(char *out, const void *p, size_t n);
int base64url_decode(void *out, size_t *n, const char *text, size_t len);

/* Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms, up to U+10FFFF). */
bool utf8_valid(const void *p, size_t n);
/* Length of the well-formed sequence at p (1..4), 0 if malformed, -1 if it is cut off by n. */
int utf8_next(const uint8_t *p, size_t n);

#endif
