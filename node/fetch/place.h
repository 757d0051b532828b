/*
 * Where fetched files go: a directory, and the name there unless whoever is asked says it. A file
 * is written under another name and takes its own when it is whole; all are 0700.
 */
#ifndef HAWSER_FETCH_PLACE_H
#define HAWSER_FETCH_PLACE_H

#include <limits.h>
#include <stdint.h>

#include "node/fetch/name.h"

struct fetch_spec;
struct hw_err;

struct place {
	char path[PATH_MAX];	       /* of the directory */
	int dir;		       /* it */
	int work;		       /* the command's own directory */
	char name[FETCH_NAME_MAX + 1]; /* "": a directory was named */
	int fd;			       /* of the file under way */
	char temporary[32];
	int64_t left; /* bytes that may still be written */
};

/* Makes the command's directory and that of the destination, with all above it. */
int place_open(struct place *ret, const struct fetch_spec *s, struct hw_err *err);
void place_close(struct place *p); /* a file that is not whole is removed */

int place_begin(struct place *p, struct hw_err *err);
/* HW_ELIMIT past the bound. */
int place_write(struct place *p, const void *bytes, size_t n, struct hw_err *err);
/* It takes the name that the destination says, or else this one, and that is told. */
int place_commit(struct place *p, const char *name, struct hw_err *err);

/* All of one file. */
int place_copy(struct place *p, int fd, const char *name, struct hw_err *err);
/* All below a directory, without .git; links stay links. */
int place_copy_tree(struct place *p, int dir, struct hw_err *err);

#endif
