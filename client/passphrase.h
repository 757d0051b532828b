/* A passphrase, typed at a terminal that does not show it. */
#ifndef HAWSER_CLIENT_PASSPHRASE_H
#define HAWSER_CLIENT_PASSPHRASE_H

#include <stddef.h>

#include "proto/base/err.h"

#define PASSPHRASE_MAX 1024

/* Asks on stderr and reads a line from stdin, which must be a terminal: HW_EUSAGE when it is not,
 * when it ends instead, or when the line is too long. Whoever asked wipes it. */
int passphrase_ask(char out[PASSPHRASE_MAX], const char *prompt, struct hw_err *err);
/* Of the key in that file. */
int passphrase_of(char out[PASSPHRASE_MAX], const char *path, struct hw_err *err);
/* Twice, until both are the same; empty is none. */
int passphrase_choose(char out[PASSPHRASE_MAX], struct hw_err *err);

#endif
