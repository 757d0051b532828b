/*
 * A program whose user goes through PAM first. Modules run as root, change the process that they
 * are in for good, and are anybody's code: so they are in a process of their own between the holder
 * and the program, which hawser-node-pam is (node/pam/). It asks PAM, becomes the user, says so,
 * and then becomes the program: what modules made of it stays, and what they left in its memory
 * goes.
 */
#ifndef HAWSER_HOLDER_ENTRY_H
#define HAWSER_HOLDER_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "node/holder/account.h"

#define ENTRY_MAGIC   UINT32_C(0x48575041)
#define ENTRY_VERSION 1

struct monitor_request;
struct program;

/* What is asked of PAM. */
struct entry {
	const char *program; /* the path of hawser-node-pam */
	const char *service;
	int within_ms; /* PAM has so long; 0: ENTRY_WITHIN_MS */
};

#define ENTRY_WITHIN_MS 15000 /* less than the monitor gives a holder */

/* What hawser-node-pam finds in the file PROGRAM_KEPT_FD; behind it comes the request, as the
 * monitor got it. */
struct entry_start {
	uint32_t magic, version;
	struct account user;
};

/* What it writes to PROGRAM_REPORT_FD, once; with code 0 what follows is as a program's child has
 * it. */
struct entry_answer {
	int32_t code; /* HW_E*, with its sentence in text */
	char text[188];
};

/* As root, in place of program_start(): returns when PAM has nothing against it and its process is
 * the user. The caller becomes the user then, too, and calls program_await() with *report.
 * HW_ELOCAL when PAM lets the user not in, HW_ESPAWN when it cannot be asked. */
int entry_begin(int *report, struct program *p, const struct entry *e,
	const struct monitor_request *r, const char *command, const struct account *a, char *why,
	size_t room);

#endif
