/*
 * A shell or command of a user: its terminal or pipes, and its start as a login would do it.
 */
#ifndef HAWSER_HOLDER_PROGRAM_H
#define HAWSER_HOLDER_PROGRAM_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/holder/protocol.h"

struct account;
struct monitor_request;

/* Of the child: where it says what it could not do, and where a script finds itself, a number that
 * scripts do not use. */
#define PROGRAM_REPORT_FD 3
#define PROGRAM_KEPT_FD	  60

struct program {
	bool pty;
	/* Our ends: for a pty in[] and out[HOLDER_OUT] are both its master; not blocking. */
	int in, out[HOLDER_STREAMS];
	int theirs[HOLDER_STREAMS]; /* the program's ends, until it runs */
	int script;		    /* its text, until it runs */
	pid_t pid;		    /* also its session and first process group */
	int pidfd;
};

#define PROGRAM_INIT                                                                            \
	{                                                                                       \
		.in = -1, .out = {-1, -1, -1}, .theirs = {-1, -1, -1}, .script = -1, .pid = -1, \
		.pidfd = -1                                                                     \
	}

/* Makes the terminal, which becomes the user's own, or the pipes. Still as root. HW_ESPAWN. */
int program_prepare(struct program *p, const struct monitor_request *r, const struct account *a,
	char *why, size_t room);

/* Starts it, as who the process is by now. Returns when it was executed, or HW_ESPAWN. */
int program_start(struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, char *why, size_t room);

/* The parts of it, for who is the user only later (entry.h). In the child, first: it leads a
 * session of its own. */
bool program_lead(void);

/* In the child, as the user: never returns. What it cannot do goes to PROGRAM_REPORT_FD; `given` is
 * as environ.h has it. */
void __attribute__((noreturn)) program_become(struct program *p, const struct monitor_request *r,
	const char *command, const struct account *a, char *const *given);

/* In the child: 0 to 2, the report's, and `keep`, unless that is -1, as PROGRAM_KEPT_FD. All others
 * are closed. */
bool program_descriptors(const struct program *p, int report, int keep);

/* In the parent, which needs them no more. */
void program_close_theirs(struct program *p);

/* In the parent: waits until the child was executed, and closes `report`. */
int program_await(struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, int report, char *why, size_t room);

void program_resize(const struct program *p, uint16_t cols, uint16_t rows);

/* To the foreground process group of the terminal, or to the command's group. Only signals that a
 * person may send this way; false for others. */
bool program_signal(const struct program *p, int signo);

/* Whether the terminal shows what is typed: enum holder_echo. Pipes hide nothing. */
int program_echo(const struct program *p);

/* Whether its terminal gives it each key at once, as to a line editor. */
bool program_takes_keys(const struct program *p);

/* Waits until the terminal has taken all that was written to it: the kernel does that later, by a
 * process of its own. True when nothing of it is left that a program has not read yet. */
bool program_input_is_read(const struct program *p);

/* Whether the program in front has done what it does with the input so far, and waits: nothing of
 * what it shows keeps it, and all of its process group sleep. */
bool program_waits(const struct program *p);

/* What ends input that is typed on the terminal: ^D, as a rule. A line editor takes it too; a
 * program that has turned off the keys for signals as well reads bytes, and for it nothing is an
 * end: -1. */
int program_eof_byte(const struct program *p);

#endif
