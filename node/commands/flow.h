/*
 * The course of a document's steps on a node: which comes next, what the end of one means, what the
 * whole has come to. Pure: no processes, no files, no clock. SSM's rules: a failed step stops
 * nothing by itself; exit codes 168 and 169, onFailure and onSuccess end the document early, and
 * then only a last step with finallyStep still runs.
 */
#ifndef HAWSER_NODE_FLOW_H
#define HAWSER_NODE_FLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct program_exit;

#define FLOW_EXIT_SUCCESS 168 /* the step has succeeded, and the document ends */
#define FLOW_EXIT_FAILURE 169 /* the step has failed, and the document ends */
#define FLOW_EXIT_REBOOT  194 /* the machine is restarted, and then the step runs again */
#define FLOW_EXIT_KILLED  137
#define FLOW_CODE_LOST	  -1 /* of a step that failed, for nobody knows how it ended */

/* In the order that an outcome made of several goes by: the last of them that occurs. */
enum flow_status {
	FLOW_WAITING, /* not begun, or under way */
	FLOW_SKIPPED,
	FLOW_SUCCESS,
	FLOW_REBOOT, /* success, and the machine is to be restarted */
	FLOW_FAILED,
	FLOW_CANCELLED,
	FLOW_TIMED_OUT,
	FLOW_STATUSES
};

/* Who ended a program, if it was not itself. */
enum flow_killer { FLOW_NOBODY, FLOW_CANCEL, FLOW_TIMEOUT, FLOW_SHUTDOWN };

struct flow_end {
	enum flow_status status;
	int code;
};

static inline bool
flow_is_lost(struct flow_end end)
{
	return end.status == FLOW_FAILED && end.code == FLOW_CODE_LOST;
}

/* How a program ended. */
struct flow_end flow_program_end(const struct program_exit *exit, enum flow_killer killer);

enum flow_then { FLOW_GO_ON, FLOW_EXIT, FLOW_SUCCESS_AND_EXIT };

/* What a step's inputs say of what comes after it. */
struct flow_rules {
	enum flow_then on_failure;
	enum flow_then on_success; /* GO_ON or EXIT */
	bool finally;		   /* counts for the last step alone */
};

/* Inputs with parameters put in; what is not understood there says nothing. NULL is fine. */
struct flow_rules flow_rules_read(const json_t *inputs);

/* What is made of a step's end. */
struct flow_verdict {
	struct flow_end end;
	const char *out, *err; /* appended to what it wrote; "" for nothing */
};
struct flow_verdict flow_judge(const struct flow_rules *rules, struct flow_end end);

/* Whether no step runs after one of such an end, as flow_judge() gave it, but a last one with
 * finallyStep. */
bool flow_stops(const struct flow_rules *rules, struct flow_end end);

enum flow_next { FLOW_RUN, FLOW_SKIP, FLOW_OVER };

/* The next step of n, of which `done` are done; `stopped` says whether one of them stops, and
 * `cancelled` whether the whole is to end. *finally is read for the last step. */
enum flow_next flow_next(size_t n, size_t done, bool stopped, bool cancelled, bool last_is_finally);

/* A step that is not run because an earlier one ended the document: the sentence for its output. */
void flow_skipped_text(char *out, size_t room, const char *action, const char *name);

/* What the whole has come to: FLOW_WAITING while a step is. No step at all is a success. */
enum flow_status flow_whole(const enum flow_status *steps, size_t n);

#endif
