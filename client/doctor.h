/* What `hawser doctor` looks at, one finding after the other. */
#ifndef HAWSER_CLIENT_DOCTOR_H
#define HAWSER_CLIENT_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct client;

#define DOCTOR_FINDINGS_MAX 40

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

/* Texts live in the client's arena, or for ever. */
struct doctor_finding {
	const char *check;  /* "tcp" */
	const char *result; /* ok, warn, FAIL */
	const char *message;
	const char *next; /* what to do; NULL: nothing */
};

struct doctor {
	struct client *client;
	struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
	size_t n;
	int64_t ahead; /* of the relay's clock, once there is a link */
	bool failed;
};

/* `next` may be NULL. */
void doctor_note(struct doctor *d, enum doctor_verdict verdict, const char *check, const char *next,
	const char *fmt, ...) HW_PRINTF(5, 6);

/* This machine's way to the relay; false when it ends before the relay, after which there is
 * nothing more to ask. */
bool doctor_way(struct doctor *d);
/* A node, by the relay's word and by a session on it, which is recorded as any other. */
void doctor_node(struct doctor *d, const char *name);

/* What the script on a node has written, a line for each thing, as findings; pure. */
void doctor_read_node(struct doctor *d, const char *text);

#endif
