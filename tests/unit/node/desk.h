/*
 * A node's commands with real scripts in real holders, on a real loop, and a relay's end of its
 * link that keeps the rules of one: it gives an order until it has heard of it, takes output where
 * it goes on and compares what comes again, and takes an end only with all of its output.
 */
#ifndef HAWSER_TESTS_UNIT_NODE_DESK_H
#define HAWSER_TESTS_UNIT_NODE_DESK_H

#include <stdbool.h>
#include <stddef.h>

#include "node/commands/commands.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/schema/schema.h"
#include "tests/unit/node/rig.h"

#define DESK_RECORDS 256
#define DESK_STEPS   16

/* What the relay knows of a command. */
struct desk_record {
	char id[37];
	char *content;
	const char *document, *run_as;
	struct msg_smap parameters;
	int64_t deliver_before; /* 0: in an hour */
	int64_t output_max;
	bool cancel, heard, taken, unknown;
	int updates, orders;
	bool says_again; /* the order is given also when it was heard of, or even taken */
	int status, code;
	char details[101], reason[1025];
	size_t n;
	struct {
		char name[129], details[101];
		int status, code;
		int64_t dropped[2];
		struct buf out[2];
	} steps[DESK_STEPS];
};

struct desk {
	struct rig *rig;
	struct loop *loop;
	struct log_ctx log;
	struct programs *programs;
	struct commands *commands;
	struct commands_config config;
	struct pair *pair;
	struct link *relay, *node;
	int dir;
	char boot[64], work[96];
	struct {
		const char *name, *content;
	} documents[8]; /* that the relay has */
	size_t n_documents;
	int documents_asked, documents_to_fail;
	bool up;
	int refuse_code;  /* what reports are refused with */
	bool deaf;	  /* ends are not taken */
	int asks_to_fail; /* the next ones are refused */
	int asks;
	struct desk_record *records[DESK_RECORDS];
	size_t n;
	struct loop_timer *patience;
};

#define desk_new(...)                                                  \
	desk_new_with((struct commands_config){.output_max = 1 << 20}, \
		(struct rig_options){.grace_seconds = 60, __VA_ARGS__})
struct desk *desk_new_with(struct commands_config config, struct rig_options options);
/* Everything is over by then: nothing is held, no file of a command is left. */
void desk_free(struct desk *d);

/* A command of that document; nothing happens before the node asks. */
struct desk_record *desk_order(struct desk *d, const char *content);
/* Of one step that runs the script's lines, as JSON between brackets, with other inputs after it.
 */
struct desk_record *desk_script(struct desk *d, const char *lines, const char *inputs);

/* The relay has a document of that name; texts outlive the desk. */
void desk_document(struct desk *d, const char *name, const char *content);

/* The node is told to ask. */
void desk_tell(struct desk *d);
/* Until the condition holds; fails after 30 seconds. */
void desk_until(struct desk *d, bool (*holds)(struct desk *d, struct desk_record *r),
	struct desk_record *r);
void desk_until_taken(struct desk *d, struct desk_record *r);
void desk_until_heard(struct desk *d, struct desk_record *r);
void desk_until_out(struct desk *d, struct desk_record *r, const char *text);
/* Both, then its status as text, as in "Success/Success". */
void desk_run(struct desk *d, struct desk_record *r);

const char *desk_out(struct desk_record *r, size_t step, int stream);
void desk_expect(struct desk_record *r, const char *status, const char *details, int code);
void desk_expect_step(struct desk_record *r, size_t i, const char *details, int code);

void desk_cut_link(struct desk *d);
void desk_new_link(struct desk *d);
/* The agent is gone, as by kill -9: what it ran goes on, and another one comes; or none yet. */
void desk_kill_agent(struct desk *d);
void desk_new_agent(struct desk *d);

#endif
