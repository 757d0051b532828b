/* YAML's plain scalars: what they stand for, by JSON's rules for numbers. */
#ifndef HAWSER_DOCUMENT_PLAIN_H
#define HAWSER_DOCUMENT_PLAIN_H

#include <stdbool.h>

#include <jansson.h>

/* null for nothing, ~ and null; true, false; numbers as JSON writes them, unless they are too large
 * to be kept; else the text. NULL without memory. */
json_t *plain_value(const char *text);
/* The integer that a text is, as JSON writes one. */
bool plain_integer(json_int_t *ret, const char *text);
/* 1 or 0 for true and false, in the three ways to write them; -1 for others. */
int plain_boolean(const char *text);
/* Whether it would be read back as anything but a text. */
bool plain_is_special(const char *text);

#endif
