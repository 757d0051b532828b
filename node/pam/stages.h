/* The stages of PAM that a program of a user's goes through: its account, and the begin of a
 * session that is never ended. */
#ifndef HAWSER_PAM_STAGES_H
#define HAWSER_PAM_STAGES_H

#include <stddef.h>

struct stages {
	const char *service;
	const char *user;
	const char *tty; /* the terminal's path, or a word */
};

/* As root, in a process that becomes the program, since what modules change of it is to stay.
 * Nothing is asked of anybody: a module that wants to has refused. *env is the environment that
 * modules have given, NAME=VALUE up to a NULL, or NULL; it is the caller's. HW_ELOCAL when PAM lets
 * the user not in, HW_ESPAWN when it cannot be asked; `why` has the sentence. */
int stages_pass(char ***env, const struct stages *s, char *why, size_t room);

#endif
