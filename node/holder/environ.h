/* The environment that a login gives a program. */
#ifndef HAWSER_HOLDER_ENVIRON_H
#define HAWSER_HOLDER_ENVIRON_H

#include <stddef.h>

#define ENVIRON_MAX 256

struct account;
struct monitor_request;

struct environ {
	char *vars[ENVIRON_MAX + 1]; /* NULL-ended, for execve */
	size_t n;
};

/* Sets, or replaces. What doesn't fit is left out. */
void environ_set(struct environ *e, const char *name, const char *value);
const char *environ_get(const struct environ *e, const char *name); /* NULL when it isn't set */
void environ_fini(struct environ *e);

/* From the files under `root` ("" outside of tests): PATH of etc/login.defs, then
 * etc/default/locale and etc/environment; then what PAM gave, NAME=VALUE up to a NULL, or NULL;
 * then what the account and the client's terminal say. */
void environ_login(struct environ *e, const char *root, const struct account *a, char *const *given,
	const struct monitor_request *r);

/* The same for a script, which nobody logs in for: without the session and the terminal. Then what
 * the request says, each with a NUL. */
void environ_script(struct environ *e, const char *root, const struct account *a,
	char *const *given, const char *vars, size_t n);

/* A line of etc/environment: [export ]NAME=VALUE, the value in quotes or not. Cuts it in place;
 * -1 when it sets nothing. */
int environ_line(char *line, char **name, char **value);

#endif
