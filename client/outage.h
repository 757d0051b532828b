/*
 * What a person is told while a lost link is waited for. On a terminal that shows a remote program
 * it is one line, taken away again afterwards: below the cursor, or at the top of a full screen.
 * Elsewhere it is a line of text, and another one when it is over. What is over soon is not worth a
 * word.
 */
#ifndef HAWSER_CLIENT_OUTAGE_H
#define HAWSER_CLIENT_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

struct loop;
struct outage;
struct screen;

#define OUTAGE_SHOWN_AFTER (400 * USEC_PER_MSEC) /* on a screen */
#define OUTAGE_SAID_AFTER  USEC_PER_SEC

struct outage_config {
	struct loop *loop;
	enum { OUTAGE_SILENT, OUTAGE_LINES, OUTAGE_SCREEN } style;
	const char *node; /* whose link it may be, as people call it; NULL: none that has a name */
	int escape;	  /* on a screen: the character that ends it, or ESCAPE_OFF */
	const struct screen *screen;
	/* Lines: a sentence, without "hawser: " and newline. */
	void (*say)(void *arg, const char *text);
	/* A screen: bytes for the terminal, or false while it takes none. */
	bool (*draw)(void *arg, const void *p, size_t n);
	void *arg;
};

/* Everything that the config points to outlives it. HW_ENOMEM. */
int outage_new(struct outage **ret, const struct outage_config *config, struct hw_err *err);
void outage_free(struct outage *o); /* NULL is fine; nothing is drawn */

/* HW_EUNAVAILABLE: the relay is waited for, HW_EINTERRUPTED: the node. Again when that changes. */
void outage_begin(struct outage *o, int code);
/* How many keys were typed since, and how many more were thrown away. */
void outage_keys(struct outage *o, size_t kept, size_t dropped);
/* It is over, and everything goes on. True when the line stood on what a full-screen program had
 * shown, which should show it again. */
bool outage_end(struct outage *o);
/* Takes the line off the screen, for something else to be written; while it lasts it comes again.
 */
void outage_hide(struct outage *o);
/* It is over, and nothing goes on. */
void outage_stop(struct outage *o);

#endif
