/*
 * What could stand where the cursor is, of a command line that is being typed: from the table of
 * commands, and for names of things from lists that names.h keeps. Pure.
 */
#ifndef HAWSER_CLIENT_COMPLETE_H
#define HAWSER_CLIENT_COMPLETE_H

#include <stddef.h>

#include "client/names.h"
#include "proto/base/buf.h"

enum complete_what {
	COMPLETE_NOTHING,
	COMPLETE_COMMANDS, /* the first word, or of `group` the second */
	COMPLETE_OPTIONS,  /* of `command` */
	COMPLETE_VALUES,   /* of the list `values` */
	COMPLETE_NAMES,	   /* of `names` */
	COMPLETE_FILES,	   /* the shell knows better */
	COMPLETE_FOLDERS,
};

struct completion {
	enum complete_what what;
	const char *word;  /* what is typed of it already */
	const char *kept;  /* and what stands before that in the same word: "root@", */
	size_t kept_len;   /* "--node=", "tag:A=b," */
	const char *group; /* of COMPLETE_COMMANDS; or NULL */
	const struct command *command;
	const char *const *values; /* up to a NULL */
	enum names_kind names;
};

/* words[n - 1] is the one with the cursor at its end, and may be empty; words[0] follows the
 * program's name. The texts are those of `words`. */
void complete_find(struct completion *ret, size_t n, char *const *words);

#define COMPLETE_MAX 2000

/* How a shell is to treat what follows ("words", "files", "folders"), then a line for each word
 * that could stand there, at most COMPLETE_MAX: the word, and after a tab what it is. `names` is
 * the list of COMPLETE_NAMES, a line for each; a line is left out that begins with a dash or has
 * other than ASCII letters, digits and _.@+=:/,- in it, which no shell takes for its own. */
void complete_print(struct buf *out, const struct completion *c, const char *names);

#endif
