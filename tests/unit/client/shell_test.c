/* Shells as people see them: what is said of their ends. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/loop.h"
#include "tests/unit/client/stage.h"

#define SESSION "alice-00000000000000001"
#define LIVE                                                                                 \
	"{\"Sessions\":[{\"SessionId\":\"" SESSION "\",\"Target\":\"mi-0123456789abcdef0\"," \
	"\"DocumentName\":\"SSM-SessionManagerRunShell\"}]}"
#define TICKET "{\"SessionId\":\"" SESSION "\",\"TokenValue\":\"ticket\"}"

/* A shell that has read all that was typed, and ends; its last output comes later. */
struct ending {
	struct rig *rig;
	struct loop_timer timer;
	bool exited;
};

static void
on_timer(void *arg)
{
	const struct msg_control exit = {.type = CONTROL_EXIT, .exit_status = 3};
	struct ending *e = arg;
	struct channel *ch = e->rig->channel;

	if (ch != NULL && e->exited) {
		channel_end(ch, STREAM_OUT);
		return;
	}
	if (ch != NULL && e->rig->input.len > 0) {
		channel_control(ch, &exit);
		channel_consume(ch, STREAM_IN, e->rig->input.len, ECHO_UNKNOWN);
		e->exited = true;
	}
	loop_timer_start(e->rig->loop, &e->timer, (e->exited ? 100 : 1) * USEC_PER_MSEC);
}

Test(shell, one_that_ended_while_it_was_left_is_not_said_to_go_on)
{
	static const struct rig_answer answers[] = {
		{"DescribeSessions",   0, LIVE},
		       {"DescribeSessions",		    0, "{\"Sessions\":[]}"},
		{"ResumeSession",	  0, TICKET},
		{"GetCallerIdentity", HW_EDENIED, "only what is said before it matters"},
		  {0	    }
	     };
	struct stage *s = stage_new_real();
	struct ending e = {
		.rig = s->rig, .timer = {.fn = on_timer, .arg = &e}
	   };

	s->rig->resume_seconds = 60;
	s->rig->next_token = "next";
	s->rig->hold = true;
	on_timer(&e);
	s->input = "exit 3\n";
	stage_run(s, "attach " SESSION, answers);
	cr_assert(eq(int, s->status, 3), "%d: %s%s", s->status, s->err.text, s->said);
	stage_lacks(s->said, "takes it up again");
	stage_free(s);
}
