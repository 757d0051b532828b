#include "client/remote.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/client/rig.h"

struct seen {
	struct rig *rig;
	struct remote *remote;
	struct buf out[STREAMS];
	char words[256]; /* events, in their order */
	bool over, hold;
	struct remote_exit exit;
	char message[128];
};

static void
word(struct seen *s, const char *text)
{
	size_t n = strlen(s->words);

	snprintf(s->words + n, sizeof(s->words) - n, "%s%s", n > 0 ? " " : "", text);
}

static void
on_started(void *arg, const char *session_id)
{
	cr_assert_str_eq(session_id, "alice-00000000000000001");
	word(arg, "started");
}

static void
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct seen *s = arg;

	buf_append(&s->out[stream], p, n);
	if (!s->hold)
		remote_consumed(s->remote, stream, n);
}

static void
on_room(void *arg)
{
	(void)arg;
}

static void
on_notice(void *arg, const char *text)
{
	word(arg, text);
}

static void
on_exit_event(void *arg, const struct remote_exit *e)
{
	struct seen *s = arg;

	s->exit = *e;
	snprintf(s->message, sizeof(s->message), "%s", e->message != NULL ? e->message : "");
	s->over = true;
	word(s, "exit");
}

static const struct remote_events events = {
	on_started, on_output, on_room, on_notice, on_exit_event};

static int
start(struct seen *s, struct rig *r, int type, struct hw_err *err)
{
	struct remote_request req = {
		.type = type, .target = "mi-0123456789abcdef0", .command = "x"};

	*s = (struct seen){.rig = r};
	for (size_t i = 0; i < STREAMS; i++)
		buf_init(&s->out[i], 4u << 20);
	return remote_start(&s->remote, r->conn, &req, r->arena, &events, s, err);
}

static void
end(struct seen *s)
{
	remote_free(s->remote);
	for (size_t i = 0; i < STREAMS; i++)
		buf_fini(&s->out[i]);
	rig_free(s->rig);
}

static void
run(struct seen *s)
{
	bool never = false;

	conn_wait(s->rig->conn, &never, 100 * USEC_PER_MSEC);
}

Test(remote, streams_and_the_exit_status_come_apart)
{
	struct rig *r = rig_new();
	struct msg_close close = {.exited = true, .exit_status = 7};
	struct seen s;

	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_EXEC, NULL), 0));
	channel_write(r->channel, STREAM_OUT, "out", 3);
	channel_write(r->channel, STREAM_ERR, "err", 3);
	channel_close(r->channel, &close);
	r->channel = NULL;
	run(&s);
	cr_assert_str_eq(s.words, "started exit");
	cr_assert_str_eq(buf_str(&s.out[STREAM_OUT]), "out");
	cr_assert_str_eq(buf_str(&s.out[STREAM_ERR]), "err");
	cr_assert(s.exit.exited);
	cr_assert(eq(int, s.exit.status, 7));
	cr_assert(eq(int, s.exit.code, 0));
	end(&s);
}

Test(remote, input_waits_for_room_and_then_ends)
{
	static char text[10000];
	struct rig *r = rig_new();
	struct seen s;
	size_t sent;

	memset(text, 'x', sizeof(text));
	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, NULL), 0));
	r->hold = true;
	cr_assert(eq(sz, remote_room(s.remote), 4096));
	sent = remote_send(s.remote, text, sizeof(text));
	cr_assert(eq(sz, sent, 4096));
	cr_assert(eq(sz, remote_room(s.remote), 0));
	run(&s);
	channel_consume(r->channel, STREAM_IN, 4096, ECHO_SHOWN);
	run(&s);
	cr_assert(eq(sz, remote_send(s.remote, text, 100), 100));
	remote_end_input(s.remote);
	run(&s);
	cr_assert(eq(sz, r->input.len, 4196));
	cr_assert(r->input_ended);
	end(&s);
}

Test(remote, output_that_is_not_consumed_stops_its_sender)
{
	static char text[1 << 20];
	struct rig *r = rig_new();
	struct seen s;

	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, NULL), 0));
	s.hold = true;
	while (channel_write(r->channel, STREAM_OUT, text, sizeof(text)) > 0)
		run(&s);
	cr_assert(eq(sz, s.out[STREAM_OUT].len, 262144));
	remote_consumed(s.remote, STREAM_OUT, 262144);
	run(&s);
	cr_assert(gt(sz, channel_write(r->channel, STREAM_OUT, text, sizeof(text)), 0));
	end(&s);
}

Test(remote, sizes_signals_and_notices_pass)
{
	struct rig *r = rig_new();
	struct msg_control notice = {.type = CONTROL_NOTICE, .text = "going-down"};
	struct seen s;

	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, NULL), 0));
	remote_resize(s.remote, 100, 30);
	remote_signal(s.remote, "INT");
	channel_control(r->channel, &notice);
	run(&s);
	cr_assert_str_eq(r->controls, "Resize Signal:INT");
	cr_assert_str_eq(s.words, "started going-down");
	end(&s);
}

Test(remote, a_rejection_is_the_error_of_the_start)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	struct seen s;

	r->reject = HW_ERUNAS;
	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, &err), HW_ERUNAS));
	cr_assert_str_eq(err.text, "no such user");
	cr_assert_str_eq(s.words, "");
	end(&s);
}

Test(remote, a_denied_session_opens_no_channel)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	struct seen s;

	r->refusal = HW_EDENIED;
	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, &err), HW_EDENIED));
	cr_assert(r->channel == NULL);
	end(&s);
}

Test(remote, a_lost_link_is_255_and_says_why)
{
	struct rig *r = rig_new();
	struct seen s;

	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, NULL), 0));
	pair_drop(r->pair, "the cable");
	run(&s);
	cr_assert(s.over);
	cr_assert(eq(int, s.exit.status, 255));
	cr_assert(not(s.exit.exited));
	cr_assert(eq(int, s.exit.code, HW_EUNAVAILABLE));
	cr_assert(s.message[0] != '\0');
	/* What comes too late does no harm. */
	cr_assert(eq(sz, remote_room(s.remote), 0));
	remote_resize(s.remote, 80, 24);
	remote_end_input(s.remote);
	end(&s);
}

Test(remote, an_end_by_policy_says_so_and_is_255)
{
	struct msg_close close = {.code = "AccessRevoked", .message = "alice was removed"};
	struct rig *r = rig_new();
	struct seen s;

	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, NULL), 0));
	channel_close(r->channel, &close);
	r->channel = NULL;
	run(&s);
	cr_assert(eq(int, s.exit.status, 255));
	cr_assert(eq(int, s.exit.code, HW_EREVOKED));
	cr_assert_str_eq(s.message, "alice was removed");
	end(&s);
}

Test(remote, leaving_closes_the_channel)
{
	struct rig *r = rig_new();
	struct seen s;

	cr_assert(eq(int, start(&s, r, CHANNEL_TYPE_PTY, NULL), 0));
	cr_assert(r->channel != NULL);
	remote_free(s.remote);
	s.remote = NULL;
	cr_assert(r->channel == NULL); /* the relay has it before we go */
	end(&s);
}

/* What StartSession is asked, and that its refusal is the relay's sentence. */
static void
asks(int type, const char *document, const char *command, const char *asked)
{
	static const char denied[] = "alice may not ssm:StartSession on web-01";
	static const struct rig_answer answers[] = {
		{"StartSession", HW_EDENIED, denied},
		      {0	}
	 };
	struct remote_request req = {
		.type = type, .target = "mi-1", .document = document, .command = command};
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	struct remote *remote = NULL;

	r->answers = answers;
	cr_assert(eq(int, remote_start(&remote, r->conn, &req, r->arena, &events, NULL, &err),
		HW_EDENIED));
	cr_assert_str_eq(err.text, denied);
	cr_assert_str_eq(buf_str(&r->asked), asked);
	cr_assert(remote == NULL);
	rig_free(r);
}

Test(remote, a_document_is_named_by_the_command_or_by_the_user)
{
	asks(CHANNEL_TYPE_PTY, NULL, NULL, "StartSession {\"Target\":\"mi-1\"}\n");
	asks(CHANNEL_TYPE_PTY, "SSM-SessionManagerRunShell", NULL,
		"StartSession {\"Target\":\"mi-1\","
		"\"DocumentName\":\"SSM-SessionManagerRunShell\"}\n");
	asks(CHANNEL_TYPE_EXEC, NULL, "top",
		"StartSession {\"Target\":\"mi-1\","
		"\"DocumentName\":\"AWS-StartNonInteractiveCommand\","
		"\"Parameters\":{\"command\":[\"top\"]}}\n");
	asks(CHANNEL_TYPE_PTY, "Team-Top", "top",
		"StartSession {\"Target\":\"mi-1\",\"DocumentName\":\"Team-Top\","
		"\"Parameters\":{\"command\":[\"top\"]}}\n");
}
