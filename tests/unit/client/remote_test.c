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
	char words[1024]; /* events, in their order */
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

static void
on_waiting(void *arg, int code, const char *why)
{
	cr_assert(gt(sz, strlen(why), 0));
	word(arg, code == HW_EINTERRUPTED ? "node?" : "relay?");
}

static void
on_back(void *arg)
{
	word(arg, "back");
}

static const struct remote_events events = {.on_started = on_started,
	.on_output = on_output,
	.on_room = on_room,
	.on_notice = on_notice,
	.on_exit = on_exit_event,
	.on_waiting = on_waiting,
	.on_back = on_back};

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

/* --- links that are lost ---------------------------------------------------------------------- */

#define GRACE 60

/* Numbered lines, as much as a stream's worth of them. */
static size_t
fill(uint8_t *p, size_t max, uint64_t from)
{
	for (size_t i = 0; i < max; i++)
		p[i] = (uint8_t)((from + i) * 31 + ((from + i) >> 8));
	return max;
}

static bool
is_whole(const struct buf *b, uint64_t n)
{
	const uint8_t *p = buf_data(b);

	if (b->len != n)
		return false;
	for (uint64_t i = 0; i < n; i++)
		if (p[i] != (uint8_t)(i * 31 + (i >> 8)))
			return false;
	return true;
}

static void
start_kept(struct seen *s, struct rig *r, int type)
{
	struct hw_err err = HW_ERR_INIT;

	r->resume_seconds = GRACE;
	cr_assert(eq(int, start(s, r, type, &err), 0), "%s", err.text);
}

/* Both ways at once, a piece a turn, where there is room. */
static void
pump(struct seen *s, uint64_t *in, uint64_t *out, uint64_t all)
{
	uint8_t piece[700];
	struct rig *r = s->rig;

	fill(piece, sizeof(piece), *in);
	*in += remote_send(s->remote, piece,
		all - *in < sizeof(piece) ? (size_t)(all - *in) : sizeof(piece));
	fill(piece, sizeof(piece), *out);
	if (r->channel != NULL)
		*out += channel_write(r->channel, STREAM_OUT, piece,
			all - *out < sizeof(piece) ? (size_t)(all - *out) : sizeof(piece));
	rig_run(r, 10 * USEC_PER_MSEC);
}

/* Cut after each of so many bytes, each byte comes once. */
static void
transfer(int type, uint64_t every)
{
	enum { ALL = 60000 };
	struct rig *r = rig_new();
	uint64_t in = 0, out = 0, next = every;
	struct seen s;
	int drops = 0;

	start_kept(&s, r, type);
	for (int turn = 0;
		in < ALL || out < ALL || r->input.len < ALL || s.out[STREAM_OUT].len < ALL;
		turn++) {
		cr_assert(lt(int, turn, 20000), "%zu of the input and %zu of the output came",
			r->input.len, s.out[STREAM_OUT].len);
		pump(&s, &in, &out, ALL);
		if (in >= next && drops < 7) {
			pair_cut(r->pair, "the cable");
			drops++;
			next += every;
		}
	}
	rig_run(r, USEC_PER_SEC);
	cr_assert(gt(int, drops, 1));
	cr_assert(is_whole(&r->input, ALL) && is_whole(&s.out[STREAM_OUT], ALL));
	cr_assert(not(s.over));
	end(&s);
}

Test(remote, each_byte_comes_once_however_often_the_link_is_lost)
{
	for (uint64_t every = 1; every < 9000; every = every * 3 + 1000) {
		transfer(CHANNEL_TYPE_EXEC, every);
		transfer(CHANNEL_TYPE_PTY, every);
	}
}

Test(remote, a_lost_link_is_said_and_waited_for)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, 10 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay?");
	cr_assert(remote_is_waiting(s.remote));
	cr_assert(eq(sz, remote_room(s.remote), 0));
	cr_assert(eq(sz, remote_send(s.remote, "x", 1), 0));
	r->refuses = 0;
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? node? back");
	cr_assert(not(remote_is_waiting(s.remote)));
	cr_assert(eq(sz, remote_send(s.remote, "x", 1), 1));
	rig_run(r, USEC_PER_SEC);
	cr_assert(eq(sz, r->input.len, 1));
	end(&s);
}

Test(remote, after_the_grace_it_is_over_with_the_reason)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, (GRACE - 1) * USEC_PER_SEC);
	cr_assert(not(s.over));
	rig_run(r, 2 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? exit");
	cr_assert(eq(int, s.exit.status, 255));
	cr_assert(eq(int, s.exit.code, HW_EUNAVAILABLE));
	cr_assert(strstr(s.message, "the cable") != NULL, "%s", s.message);
	cr_assert(eq(sz, remote_room(s.remote), 0));
	end(&s);
}

Test(remote, a_relay_that_is_there_is_waited_for_without_end)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	r->mute_resume = true;
	pair_drop(r->pair, "the cable");
	rig_run(r, 3 * GRACE * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? node?");
	cr_assert(eq(int, r->resumes, 1));
	end(&s);
}

Test(remote, what_the_relay_does_not_resume_is_over)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	r->reject_resume = HW_ENOSESSION;
	pair_drop(r->pair, "the cable");
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? node? exit");
	cr_assert(eq(int, s.exit.code, HW_ENOSESSION));
	cr_assert(strstr(s.message, "its time is over") != NULL, "%s", s.message);
	end(&s);
}

Test(remote, whom_the_relay_puts_out_hears_why_and_waits_for_nothing)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	link_close(r->relay, HW_EREVOKED, "alice was disabled");
	r->relay = NULL;
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started exit");
	cr_assert(eq(int, s.exit.code, HW_EREVOKED));
	cr_assert(strstr(s.message, "alice was disabled") != NULL, "%s", s.message);
	end(&s);
}

Test(remote, an_interrupted_one_is_resumed_on_the_same_link_at_once)
{
	struct rig *r = rig_new();
	uint64_t in = 0, out = 0;
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	for (int i = 0; i < 20; i++)
		pump(&s, &in, &out, 60000);
	rig_interrupt(r);
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started node? back");
	cr_assert(eq(int, r->dials, 1));
	cr_assert(eq(int, r->resumes, 1));
	for (int i = 0; i < 400; i++)
		pump(&s, &in, &out, 60000);
	rig_run(r, USEC_PER_SEC);
	cr_assert(is_whole(&r->input, 60000) && is_whole(&s.out[STREAM_OUT], 60000));
	end(&s);
}

Test(remote, a_relay_that_interrupts_for_ever_is_not_asked_without_a_pause)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	r->interrupts_resume = true;
	rig_interrupt(r);
	rig_run(r, 20 * USEC_PER_SEC);
	cr_assert(gt(int, r->resumes, 4), "%d", r->resumes);
	cr_assert(lt(int, r->resumes, 50), "%d", r->resumes);
	s.words[0] = '\0';
	r->interrupts_resume = false;
	rig_run(r, 6 * USEC_PER_SEC);
	cr_assert(not(remote_is_waiting(s.remote)));
	end(&s);
}

Test(remote, its_size_is_that_of_the_terminal_by_now)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_PTY);
	remote_resize(s.remote, 80, 24);
	rig_run(r, USEC_PER_SEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, USEC_PER_SEC);
	remote_resize(s.remote, 132, 50);
	r->refuses = 0;
	r->controls[0] = '\0';
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert(eq(i64, r->cols, 132));
	cr_assert(eq(i64, r->rows, 50));
	cr_assert_str_eq(r->controls, "", "RESUME has said it");
	remote_resize(s.remote, 100, 40);
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(r->controls, "Resize");
	end(&s);
}

Test(remote, an_end_of_input_while_the_link_is_lost_is_not_forgotten)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	cr_assert(eq(sz, remote_send(s.remote, "last", 4), 4));
	pair_cut(r->pair, "the cable");
	remote_end_input(s.remote);
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert_str_eq(buf_str(&r->input), "last");
	cr_assert(r->input_ended);
	end(&s);
}

/* --- an orderly end --------------------------------------------------------------------------- */

static void
tell_exit(struct rig *r, int status)
{
	struct msg_control control = {.type = CONTROL_EXIT, .exit_status = status};

	channel_control(r->channel, &control);
}

static void
check_exit(struct seen *s, int status)
{
	rig_run(s->rig, USEC_PER_SEC);
	cr_assert(s->over);
	cr_assert(s->exit.exited);
	cr_assert(eq(int, s->exit.status, status));
	cr_assert(eq(int, s->exit.code, 0));
	cr_assert(s->rig->closed, "we close it");
	cr_assert(eq(int, s->rig->close_code, 0), "in order");
}

Test(remote, it_ends_when_it_was_told_so_and_has_all)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	s.hold = true;
	tell_exit(r, 7); /* ahead of the data */
	channel_write(r->channel, STREAM_OUT, "out", 3);
	channel_end(r->channel, STREAM_OUT);
	rig_run(r, USEC_PER_SEC);
	cr_assert(not(s.over), "stderr has not ended");
	channel_write(r->channel, STREAM_ERR, "err", 3);
	channel_end(r->channel, STREAM_ERR);
	rig_run(r, USEC_PER_SEC);
	cr_assert(not(s.over), "nothing is written yet");
	remote_consumed(s.remote, STREAM_OUT, 3);
	remote_consumed(s.remote, STREAM_ERR, 2);
	rig_run(r, USEC_PER_SEC);
	cr_assert(not(s.over), "one byte is not");
	remote_consumed(s.remote, STREAM_ERR, 1);
	check_exit(&s, 7);
	end(&s);
}

Test(remote, an_exit_after_the_last_data_ends_it_too)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_PTY);
	channel_write(r->channel, STREAM_OUT, "bye", 3);
	channel_end(r->channel, STREAM_OUT);
	channel_end(r->channel, STREAM_ERR);
	rig_run(r, USEC_PER_SEC);
	cr_assert(not(s.over), "how it ended is not known");
	tell_exit(r, 0);
	check_exit(&s, 0);
	cr_assert_str_eq(buf_str(&s.out[STREAM_OUT]), "bye");
	end(&s);
}

Test(remote, an_exit_that_the_link_lost_is_said_again)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	channel_write(r->channel, STREAM_OUT, "bye", 3);
	channel_end(r->channel, STREAM_OUT);
	channel_end(r->channel, STREAM_ERR);
	tell_exit(r, 3);
	pair_cut(r->pair, "the cable");
	rig_run(r, 2 * USEC_PER_SEC);
	cr_assert(not(s.over));
	tell_exit(r, 3);
	check_exit(&s, 3);
	cr_assert_str_eq(s.words, "started relay? node? back exit");
	cr_assert_str_eq(buf_str(&s.out[STREAM_OUT]), "bye");
	end(&s);
}

Test(remote, who_leaves_while_it_waits_does_not_hang)
{
	struct rig *r = rig_new();
	struct seen s;
	int64_t began;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, USEC_PER_SEC);
	began = r->clock.now_mono;
	remote_free(s.remote);
	s.remote = NULL;
	cr_assert(eq(i64, r->clock.now_mono, began));
	r->refuses = 0;
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert(eq(int, r->resumes, 0), "nobody wants it any more");
	end(&s);
}

Test(remote, who_leaves_one_that_is_interrupted_tells_the_relay)
{
	struct rig *r = rig_new();
	struct seen s;

	start_kept(&s, r, CHANNEL_TYPE_EXEC);
	rig_interrupt(r);
	r->script = NULL;
	loop_settle(r->loop);
	remote_free(s.remote);
	s.remote = NULL;
	rig_run(r, USEC_PER_SEC);
	cr_assert(eq(int, r->resumes, 1));
	cr_assert(r->closed);
	cr_assert(eq(int, r->close_code, HW_ETERMINATED));
	end(&s);
}
