/* Output for terminals that is made of chance, and whether two of them are alike. */
#ifndef HAWSER_TESTS_UNIT_NODE_TERMINALS_H
#define HAWSER_TESTS_UNIT_NODE_TERMINALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terminal;

uint32_t chance(uint32_t *seed, uint32_t below);

/* Up to `room` bytes of text and of every sequence that a terminal knows, some of them cut. */
size_t chance_output(uint32_t *seed, uint8_t *out, size_t room);
/* Mostly long stretches of lines, with sequences between them now and then. */
size_t chance_flood(uint32_t *seed, uint8_t *out, size_t room);

/* In all that is seen, and that what a program writes next is subject to: the cells, cursor, pen,
 * modes, margins, tabs, character sets, saved cursors. `why` says where they differ. */
bool terminals_alike(const struct terminal *a, const struct terminal *b, char why[256]);

/* The text of a row without the blanks at its end. */
const char *terminal_text(const struct terminal *t, int row, char out[1024]);

#endif
