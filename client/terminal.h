/*
 * Our own terminal in raw mode, and back. A small process of ours waits beside us and puts the
 * terminal right when we die without doing it: killed, crashed, out of memory.
 */
#ifndef HAWSER_CLIENT_TERMINAL_H
#define HAWSER_CLIENT_TERMINAL_H

#include <stdbool.h>

#include "proto/base/err.h"

struct terminal;

enum terminal_mode {
	TERMINAL_RAW,  /* every key is data */
	TERMINAL_KEYS, /* keys come one by one and are not shown; Ctrl-C and output work as ever */
	TERMINAL_SECRET, /* a line that is not shown */
};

/* For the terminal at fd, which stays as it is until terminal_enter(). */
int terminal_open(struct terminal **ret, int fd, enum terminal_mode mode, struct hw_err *err);
/* As it was before. NULL is fine. */
void terminal_close(struct terminal *t);

/* The mode; and as it was before. */
void terminal_enter(struct terminal *t);
void terminal_leave(struct terminal *t);

/* Of the first of stdin, stdout and stderr that is one. False and 80x24 when none is. */
bool terminal_size(int *cols, int *rows);

#endif
