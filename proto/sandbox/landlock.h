/* Files, TCP ports, and other processes' sockets and signals: the kernel's Landlock, as far as it
 * has it. */
#ifndef HAWSER_SANDBOX_LANDLOCK_H
#define HAWSER_SANDBOX_LANDLOCK_H

struct hw_err;
struct sandbox;

#define LANDLOCK_SAID_MAX 80

/* The calling thread and what it starts. *said: "abi7", or why it is off. */
int landlock_restrict(char said[LANDLOCK_SAID_MAX], const struct sandbox *s, struct hw_err *err);

#endif
