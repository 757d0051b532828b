/* System calls: a list of those that are allowed, by seccomp; every other is refused with EPERM. */
#ifndef HAWSER_SANDBOX_CALLS_H
#define HAWSER_SANDBOX_CALLS_H

struct hw_err;
struct sandbox;

#define CALLS_SAID_MAX 80

/* All threads, for good. *said: "on", or why it is off. */
int calls_restrict(char said[CALLS_SAID_MAX], const struct sandbox *s, struct hw_err *err);

#endif
