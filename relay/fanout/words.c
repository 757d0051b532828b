/* SSM's words for states: of one target, and of a command as a whole. */
#include <string.h>

#include "proto/schema/schema.h"
#include "relay/fanout/private.h"

static const struct fanout_words words[FANOUT_STATES] = {
	[FANOUT_WAITING] = {INVOCATION_STATUS_PENDING,     "Pending"		},
	[FANOUT_RELEASED] = {INVOCATION_STATUS_PENDING,	"Pending"		 },
	[FANOUT_SENT] = {INVOCATION_STATUS_PENDING,	    "Pending"	     },
	[FANOUT_RUNNING] = {INVOCATION_STATUS_IN_PROGRESS, "InProgress"       },
	[FANOUT_CANCELLING] = {INVOCATION_STATUS_CANCELLING,  "Cancelling"	 },
	[FANOUT_SUCCESS] = {INVOCATION_STATUS_SUCCESS,     "Success"		},
	[FANOUT_FAILED] = {INVOCATION_STATUS_FAILED,	     "Failed"	     },
	[FANOUT_TIMED_OUT] = {INVOCATION_STATUS_TIMED_OUT,   "ExecutionTimedOut"},
	[FANOUT_NOT_DELIVERED] = {INVOCATION_STATUS_TIMED_OUT,   "DeliveryTimedOut" },
	[FANOUT_UNDELIVERABLE] = {INVOCATION_STATUS_FAILED,	    "Undeliverable"	   },
	[FANOUT_INVALID_PLATFORM] = {INVOCATION_STATUS_FAILED,      "InvalidPlatform"	},
	[FANOUT_ACCESS_DENIED] = {INVOCATION_STATUS_FAILED,	    "AccessDenied"	  },
	[FANOUT_CANCELLED] = {INVOCATION_STATUS_CANCELLED,   "Cancelled"	      },
	[FANOUT_TERMINATED] = {INVOCATION_STATUS_CANCELLED,   "Terminated"	},
};

struct fanout_words
fanout_state_words(enum fanout_state s)
{
	return words[s];
}

struct fanout_words
fanout_target_words(const struct fanout *f, uint32_t i)
{
	enum fanout_state s = fanout_state(f, i);

	if (s < FANOUT_RUNNING && fanout_was_delayed(f, i))
		return (struct fanout_words){INVOCATION_STATUS_DELAYED, "Delayed"};
	return words[s];
}

/* Terminated is the relay's own decision. */
enum fanout_state
fanout_end_of(int status, const char *details)
{
	enum fanout_state plain = FANOUT_STATES;

	for (enum fanout_state s = FANOUT_SUCCESS; s < FANOUT_TERMINATED; s++) {
		if (words[s].status != status)
			continue;
		if (strcmp(words[s].details, details) == 0)
			return s;
		if (plain == FANOUT_STATES)
			plain = s;
	}
	return plain;
}

/* --- of the command ----------------------------------------------------------------------------
 */

static uint32_t
never_reached(const struct fanout_counts *c)
{
	return c->of[FANOUT_UNDELIVERABLE] + c->of[FANOUT_INVALID_PLATFORM] +
		c->of[FANOUT_ACCESS_DENIED];
}

/* Not one of them could run it. */
static struct fanout_words
of_unreached(const struct fanout_counts *c)
{
	return words[c->of[FANOUT_ACCESS_DENIED] == c->targets ? FANOUT_ACCESS_DENIED
							       : FANOUT_FAILED];
}

/* The first that fits counts. */
static struct fanout_words
of_ended(const struct fanout *f, const struct fanout_counts *c)
{
	uint32_t few = f->errors > 0 ? f->errors : 1, success = c->of[FANOUT_SUCCESS];

	if (f->cancelled && c->of[FANOUT_CANCELLED] > 0)
		return words[FANOUT_CANCELLED];
	if (c->errors > f->errors && c->of[FANOUT_FAILED] == 0)
		return (struct fanout_words){INVOCATION_STATUS_FAILED, "ExecutionTimedOut"};
	if (c->errors > f->errors)
		return words[FANOUT_FAILED];
	if (c->not_delivered >= few && success == 0)
		return words[FANOUT_NOT_DELIVERED];
	if (success > 0 && success + never_reached(c) == c->targets)
		return words[FANOUT_SUCCESS];
	if (never_reached(c) == c->targets)
		return of_unreached(c);
	return (struct fanout_words){INVOCATION_STATUS_FAILED, "Incomplete"};
}

struct fanout_words
fanout_words(const struct fanout *f)
{
	struct fanout_counts c;

	fanout_count(&c, f);
	if (c.ended == c.targets)
		return of_ended(f, &c);
	if (f->cancelled)
		return words[FANOUT_CANCELLING];
	return words[c.of[FANOUT_WAITING] == c.targets ? FANOUT_WAITING : FANOUT_RUNNING];
}
