/* The ids of commands that are over, each until a time; in memory and in a file of lines. */
#ifndef HAWSER_NODE_GRAVES_H
#define HAWSER_NODE_GRAVES_H

#include <stdbool.h>
#include <stdint.h>

#define GRAVES_MAX 65536

struct graves;

/* Reads DIR/ended, what of it can be read; NULL without memory. */
struct graves *graves_open(int dir);
void graves_close(struct graves *g); /* NULL is fine */

void graves_add(struct graves *g, const char *id, int64_t until, int64_t now);
bool graves_has(const struct graves *g, const char *id, int64_t now);
/* Drops what is past, and writes the file anew when that is worth it. */
void graves_forget(struct graves *g, int64_t now);

#endif
