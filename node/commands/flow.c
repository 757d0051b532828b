#include "node/commands/flow.h"

#include <stdio.h>
#include <string.h>

#include "node/programs.h"

/* --- one program ---------------------------------------------------------------------------- */

static const struct flow_end killed[] = {
	[FLOW_CANCEL] = {FLOW_CANCELLED, FLOW_EXIT_KILLED},
	[FLOW_TIMEOUT] = {FLOW_TIMED_OUT, FLOW_EXIT_KILLED},
	[FLOW_SHUTDOWN] = {FLOW_FAILED,	FLOW_EXIT_KILLED},
};

static const struct {
	int exit;
	enum flow_status status;
} exits[] = {
	{0,		FLOW_SUCCESS	},
	{FLOW_EXIT_REBOOT, FLOW_REBOOT   },
 /* A shell says so of a child that was killed, and SSM takes it for its own doing. */
	{FLOW_EXIT_KILLED, FLOW_TIMED_OUT},
};

struct flow_end
flow_program_end(const struct program_exit *exit, enum flow_killer killer)
{
	if (killer != FLOW_NOBODY)
		return killed[killer];
	if (exit->signal != 0)
		return (struct flow_end){FLOW_FAILED, -1};
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		if (exits[i].exit == exit->status)
			return (struct flow_end){exits[i].status, exit->status};
	return (struct flow_end){FLOW_FAILED, exit->status};
}

/* --- one step ------------------------------------------------------------------------------- */

static bool
says(const json_t *inputs, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(inputs, key));

	return text != NULL && strcmp(text, value) == 0;
}

struct flow_rules
flow_rules_read(const json_t *inputs)
{
	struct flow_rules r = {FLOW_GO_ON, FLOW_GO_ON, false};

	if (says(inputs, "onFailure", "exit"))
		r.on_failure = FLOW_EXIT;
	else if (says(inputs, "onFailure", "successAndExit"))
		r.on_failure = FLOW_SUCCESS_AND_EXIT;
	if (says(inputs, "onSuccess", "exit"))
		r.on_success = FLOW_EXIT;
	r.finally = json_is_true(json_object_get(inputs, "finallyStep")) ||
		says(inputs, "finallyStep", "true");
	return r;
}

static const char ended_well[] =
	"\nStep exited with code 168. Therefore, marking step as succeeded. Further document steps "
	"will be skipped.";
static const char ended_badly[] =
	"\nStep exited with code 169. Therefore, marking step as Failed. Further document steps will "
	"be skipped.";
static const char on_failure[] =
	"\nStep was found to have onFailure property. Further document steps will be skipped.";
static const char on_success[] =
	"\nStep was found to have onSuccess property. Further document steps will be skipped.";

bool
flow_stops(const struct flow_rules *rules, struct flow_end end)
{
	if (end.status == FLOW_FAILED)
		return end.code == FLOW_EXIT_FAILURE || rules->on_failure != FLOW_GO_ON;
	if (end.status == FLOW_SUCCESS)
		return end.code == FLOW_EXIT_SUCCESS || rules->on_success == FLOW_EXIT;
	return false;
}

struct flow_verdict
flow_judge(const struct flow_rules *rules, struct flow_end end)
{
	struct flow_verdict v = {.end = end, .out = "", .err = ""};

	if (end.status == FLOW_FAILED && end.code == FLOW_EXIT_SUCCESS) {
		v.end.status = FLOW_SUCCESS;
		v.out = ended_well;
	} else if (end.status == FLOW_FAILED && end.code == FLOW_EXIT_FAILURE) {
		v.out = v.err = ended_badly;
	} else if (end.status == FLOW_FAILED && rules->on_failure != FLOW_GO_ON) {
		v.out = on_failure;
		if (rules->on_failure == FLOW_SUCCESS_AND_EXIT)
			v.end = (struct flow_end){FLOW_SUCCESS, FLOW_EXIT_SUCCESS};
	} else if (end.status == FLOW_SUCCESS && rules->on_success == FLOW_EXIT) {
		v.out = on_success;
	}
	/* A step that failed has a code that says so. */
	if (v.end.status == FLOW_FAILED && v.end.code == 0)
		v.end.code = 1;
	return v;
}

/* --- all steps ------------------------------------------------------------------------------ */

enum flow_next
flow_next(size_t n, size_t done, bool stopped, bool cancelled, bool last_is_finally)
{
	if (done >= n || cancelled)
		return FLOW_OVER;
	if (!stopped || (done == n - 1 && last_is_finally))
		return FLOW_RUN;
	return FLOW_SKIP;
}

void
flow_skipped_text(char *out, size_t room, const char *action, const char *name)
{
	snprintf(out, room,
		"Plugin with name %s and id %s skipped due to prior step with an exit condition",
		action, name);
}

enum flow_status
flow_whole(const enum flow_status *steps, size_t n)
{
	static const enum flow_status order[] = {
		FLOW_REBOOT, FLOW_FAILED, FLOW_TIMED_OUT, FLOW_CANCELLED};
	size_t count[FLOW_STATUSES] = {0};

	for (size_t i = 0; i < n; i++)
		count[steps[i]]++;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (count[order[i]] > 0)
			return order[i];
	return count[FLOW_WAITING] > 0 ? FLOW_WAITING : FLOW_SUCCESS;
}
