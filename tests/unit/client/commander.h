/* A relay's part of one command, for tests of who sends and follows it: nodes whose state a test
 * moves by hand, and what they wrote. */
#ifndef HAWSER_TESTS_UNIT_CLIENT_COMMANDER_H
#define HAWSER_TESTS_UNIT_CLIENT_COMMANDER_H

#include "tests/unit/client/rig.h"

#define COMMANDER_ID	 "b4e2f1c0-1111-4222-8333-444455556666"
#define COMMANDER_STEPS	 3
#define COMMANDER_PLENTY 1200

struct commander_node {
	char id[24], name[64];
	int status;
	const char *details, *reason;
	int64_t code;
	const char *steps[COMMANDER_STEPS];
	size_t n_steps;
	struct buf wrote[COMMANDER_STEPS][2]; /* stdout and stderr */
	int64_t dropped;
	int64_t change;
};

struct commander {
	struct rig *rig;
	struct commander_node nodes[COMMANDER_PLENTY];
	size_t n, hidden; /* hidden: targets that are not shown */
	int64_t change;
	int status;
	size_t page;	 /* invocations in an answer; 0: as many as were asked for */
	size_t piece;	 /* bytes in an answer, likewise */
	int refuse_send; /* codes */
	int refuse_changes;
	int refuse_output;
	int refuse_cancel;
	int unavailable; /* so many requests are answered with HW_EUNAVAILABLE */
	bool ends_when_cancelled;
	/* Called before each answer. */
	void (*before)(struct commander *c, const char *op);
	void *arg;
	int asked_send, asked_changes, asked_output, asked_cancel;
	struct buf sent; /* of SendCommand and CancelCommand, as JSON */
};

struct commander *commander_new(struct rig *rig); /* from now on the rig answers with it */
void commander_free(struct commander *c);

/* One step named "run", pending. */
struct commander_node *commander_add(struct commander *c, const char *name);
void commander_writes(struct commander *c, struct commander_node *node, size_t step, int stream,
	const char *text);
void commander_set(struct commander *c, struct commander_node *node, int status,
	const char *details, int64_t code);
/* Success with code 0, Failed otherwise; and the command, when all have ended. */
void commander_end(struct commander *c, struct commander_node *node, int64_t code);

#endif
