/* Attaching to shells that run: what remote.c makes of it. */
#include "client/remote.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/client/rig.h"

#define SESSION "alice-00000000000000001"
#define GRACE	60

struct seen {
	struct rig *rig;
	struct remote *remote;
	struct buf shown; /* output as it is, a screen in brackets */
	char words[256];
	int cols, rows;
	bool hold; /* it consumes nothing */
	bool over;
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
	cr_assert_str_eq(session_id, SESSION);
	word(arg, "started");
}

static void
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct seen *s = arg;

	cr_assert(eq(int, stream, STREAM_OUT));
	buf_append(&s->shown, p, n);
	if (!s->hold)
		remote_consumed(s->remote, stream, n);
}

static void
on_screen(void *arg, const uint8_t *p, size_t n, bool last)
{
	struct seen *s = arg;

	buf_append_str(&s->shown, "[");
	buf_append(&s->shown, p, n);
	buf_append_str(&s->shown, last ? "]" : "+");
}

static void
on_size(void *arg, int cols, int rows)
{
	struct seen *s = arg;

	s->cols = cols;
	s->rows = rows;
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
	(void)why;
	word(arg, code == HW_EINTERRUPTED ? "node?" : "relay?");
}

static void
on_back(void *arg)
{
	word(arg, "back");
}

static const struct remote_events events = {.on_started = on_started,
	.on_output = on_output,
	.on_screen = on_screen,
	.on_size = on_size,
	.on_room = on_room,
	.on_notice = on_notice,
	.on_exit = on_exit_event,
	.on_waiting = on_waiting,
	.on_back = on_back};

static int
begin(struct seen *s, struct rig *r, enum remote_way way, struct hw_err *err)
{
	const struct remote_request req = {.way = way,
		.session = SESSION,
		.type = CHANNEL_TYPE_PTY,
		.target = "mi-0123456789abcdef0",
		.cols = 100,
		.rows = 30};

	*s = (struct seen){.rig = r};
	buf_init(&s->shown, 1 << 20);
	r->resume_seconds = GRACE;
	if (way != REMOTE_START)
		r->next_token = "next";
	r->input_from = way == REMOTE_START ? 0 : 500;
	r->output_from = way == REMOTE_START ? 0 : 9000;
	return remote_start(&s->remote, r->conn, &req, r->arena, &events, s, err);
}

static void
begin_well(struct seen *s, struct rig *r, enum remote_way way)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, begin(s, r, way, &err), 0), "%s", err.text);
}

static void
end(struct seen *s)
{
	remote_free(s->remote);
	buf_fini(&s->shown);
	rig_free(s->rig);
}

static void
run(struct seen *s)
{
	rig_run(s->rig, 100 * USEC_PER_MSEC);
}

static void
show(struct rig *r, const char *text)
{
	cr_assert(eq(sz, channel_write(r->channel, STREAM_OUT, text, strlen(text)), strlen(text)));
}

static void
draw(struct rig *r, const char *text, bool more)
{
	const struct msg_control c = {
		.type = CONTROL_SCREEN,
		.bytes = {(const uint8_t *)text, strlen(text)},
		.more = more
	    };

	channel_control(r->channel, &c);
}

/* --- beginning -------------------------------------------------------------------------------- */

Test(attach, each_way_asks_for_its_own_ticket)
{
	static const struct {
		enum remote_way way;
		const char *op;
	} rows[] = {
		{REMOTE_ATTACH, "ResumeSession"},
		{REMOTE_JOIN,   "JoinSession"  },
		{REMOTE_WATCH,  "WatchSession" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		struct seen s;
		begin_well(&s, r, rows[i].way);
		cr_assert_str_eq(r->tickets, rows[i].op);
		cr_assert(eq(i64, r->cols, 100));
		cr_assert_str_eq(s.words, "started");
		end(&s);
	}
}

Test(attach, both_directions_go_on_where_the_session_stands)
{
	enum { MUCH = 128 << 10 };
	static const uint8_t much[MUCH];
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_ATTACH);
	cr_assert(eq(sz, remote_send(s.remote, "ls\r", 3), 3));
	run(&s);
	cr_assert_str_eq(buf_str(&r->input), "ls\r");
	draw(r, "one ", true);
	draw(r, "two", false);
	show(r, "three");
	run(&s);
	cr_assert_str_eq(buf_str(&s.shown), "[one +[two]three");
	cr_assert(eq(sz, channel_write(r->channel, STREAM_OUT, much, MUCH), MUCH));
	run(&s);
	cr_assert(ge(u64, channel_acked(r->channel, STREAM_OUT), 9005 + MUCH / 2));
	cr_assert(le(u64, channel_acked(r->channel, STREAM_OUT), 9005 + MUCH));
	end(&s);
}

Test(attach, a_session_that_has_ended_or_is_refused_is_said)
{
	struct rig *r = rig_new();
	struct hw_err err = HW_ERR_INIT;
	struct seen s;

	r->has_ended = true;
	cr_assert(eq(int, begin(&s, r, REMOTE_ATTACH, &err), HW_ENOSESSION));
	cr_assert_str_eq(err.text, SESSION " has ended");
	r->has_ended = false;
	r->reject_resume = HW_ETICKET;
	cr_assert(eq(int, begin(&s, r, REMOTE_WATCH, &err), HW_ETICKET));
	cr_assert_str_eq(err.text, "its time is over");
	r->refusal = HW_EDENIED;
	cr_assert(eq(int, begin(&s, r, REMOTE_JOIN, &err), HW_EDENIED));
	rig_free(r);
}

/* The other terminal of it is closed by now, perhaps; the shell must not be. */
Test(attach, who_is_not_answered_in_time_ends_nothing)
{
	struct rig *r = rig_new();
	struct hw_err err = HW_ERR_INIT;
	struct seen s;

	r->mute_resume = true;
	cr_assert(eq(int, begin(&s, r, REMOTE_ATTACH, &err), HW_ETIMEOUT));
	rig_run(r, USEC_PER_SEC);
	cr_assert(r->closed);
	cr_assert(eq(int, r->close_code, HW_EINTERRUPTED));
	rig_free(r);
}

static void
cut_once(struct rig *r)
{
	if (r->resumes != 1)
		return;
	r->resumes++;
	pair_cut(r->pair, "the cable");
}

Test(attach, a_link_that_is_lost_before_the_answer_is_the_end_of_it)
{
	struct rig *r = rig_new();
	struct hw_err err = HW_ERR_INIT;
	struct seen s;

	r->mute_resume = true;
	r->script = cut_once;
	cr_assert(eq(int, begin(&s, r, REMOTE_ATTACH, &err), HW_EUNAVAILABLE), "%s", err.text);
	rig_free(r);
}

/* --- a link that is lost ---------------------------------------------------------------------- */

Test(attach, the_new_token_is_what_a_later_resume_presents)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_ATTACH);
	pair_drop(r->pair, "the cable");
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? node? back");
	cr_assert(eq(int, r->resumes, 2));
	cr_assert(eq(sz, remote_send(s.remote, "x", 1), 1));
	run(&s);
	cr_assert_str_eq(buf_str(&r->input), "x");
	end(&s);
}

Test(attach, a_viewers_size_is_its_own_affair_and_it_hears_the_sessions)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_WATCH);
	remote_resize(s.remote, 40, 10);
	channel_control(r->channel,
		&(struct msg_control){.type = CONTROL_RESIZE, .cols = 132, .rows = 43});
	run(&s);
	cr_assert_str_eq(r->controls, "");
	cr_assert(eq(int, s.cols, 132));
	cr_assert(eq(int, s.rows, 43));
	end(&s);
}

/* --- who looks on and takes nothing ----------------------------------------------------------- */

/* A pager that nobody pages; the relay passes it by. */
static void
begin_stalled(struct seen *s, struct rig *r, enum remote_way way)
{
	begin_well(s, r, way);
	s->hold = true;
	show(r, "one two");
	run(s);
	remote_consumed(s->remote, STREAM_OUT, 3);
	rig_interrupt(r);
	rig_run(r, 30 * USEC_PER_SEC);
	cr_assert(eq(int, r->resumes, 1), "it does not come back for more");
}

Test(stalled, who_looks_on_comes_back_when_all_is_seen)
{
	static const struct {
		enum remote_way way;
		const char *words;
	} rows[] = {
		{REMOTE_WATCH, "started"	},
		{REMOTE_JOIN,  "started node?"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		struct seen s;
		begin_stalled(&s, r, rows[i].way);
		cr_assert_str_eq(s.words, rows[i].words);
		remote_consumed(s.remote, STREAM_OUT, 3);
		run(&s);
		cr_assert(eq(int, r->resumes, 1), "a byte is left");
		remote_consumed(s.remote, STREAM_OUT, 1);
		run(&s);
		cr_assert(eq(int, r->resumes, 2));
		cr_assert_str_eq(s.words, "started node? back");
		show(r, " three");
		run(&s);
		cr_assert_str_eq(buf_str(&s.shown), "one two three");
		end(&s);
	}
}

Test(stalled, it_is_left_at_once)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_stalled(&s, r, REMOTE_WATCH);
	remote_leave(s.remote);
	cr_assert(s.over);
	cr_assert(eq(int, s.exit.code, 0));
	remote_consumed(s.remote, STREAM_OUT, 4);
	run(&s);
	cr_assert(eq(int, r->resumes, 1));
	end(&s);
}

/* The relay may have passed it by for a while, and gone after that. */
Test(stalled, a_link_that_is_lost_meanwhile_is_dialled_as_ever)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_stalled(&s, r, REMOTE_WATCH);
	pair_drop(r->pair, "the cable");
	rig_run(r, 5 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? node? back");
	remote_consumed(s.remote, STREAM_OUT, 4);
	show(r, " three");
	run(&s);
	cr_assert_str_eq(buf_str(&s.shown), "one two three");
	cr_assert(eq(int, r->resumes, 2));
	end(&s);
}

Test(stalled, an_owner_is_not)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_ATTACH);
	s.hold = true;
	show(r, "one");
	run(&s);
	rig_interrupt(r);
	rig_run(r, 10 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started node? back");
	end(&s);
}

/* --- leaving ---------------------------------------------------------------------------------- */

Test(leave, what_was_typed_arrives_before_it_is_let_go_of)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_START);
	remote_send(s.remote, "make\r", 5);
	remote_leave(s.remote);
	cr_assert(not(s.over));
	cr_assert(eq(sz, remote_room(s.remote), 0), "nothing more is typed");
	run(&s);
	cr_assert_str_eq(buf_str(&r->input), "make\r");
	cr_assert(eq(int, r->park_code, HW_EINTERRUPTED));
	cr_assert_str_eq(s.words, "started exit");
	cr_assert(eq(int, s.exit.status, 0));
	cr_assert(eq(int, s.exit.code, 0));
	cr_assert(not(s.exit.exited));
	end(&s);
}

Test(leave, what_is_typed_afterwards_is_sent_to_nobody)
{
	struct rig *r = rig_new();
	struct seen s;

	r->hold = true;
	begin_well(&s, r, REMOTE_START);
	remote_send(s.remote, "make\r", 5);
	remote_leave(s.remote);
	cr_assert(eq(sz, remote_send(s.remote, "exit\r", 5), 0));
	remote_end_input(s.remote);
	rig_run(r, 3 * USEC_PER_SEC);
	cr_assert(s.over);
	cr_assert_str_eq(buf_str(&r->input), "make\r");
	cr_assert(not(r->input_ended));
	end(&s);
}

static void
say_exit(struct rig *r, int status)
{
	channel_control(r->channel,
		&(struct msg_control){.type = CONTROL_EXIT, .exit_status = status});
}

Test(leave, a_program_that_ends_before_it_is_left_has_ended)
{
	struct rig *r = rig_new();
	struct seen s;

	r->hold = true;
	begin_well(&s, r, REMOTE_START);
	remote_send(s.remote, "exit 3\r", 7);
	remote_leave(s.remote);
	run(&s);
	say_exit(r, 3);
	channel_consume(r->channel, STREAM_IN, 7, ECHO_UNKNOWN);
	run(&s);
	cr_assert(not(s.over), "its output may be on its way");
	show(r, "bye");
	channel_end(r->channel, STREAM_OUT);
	run(&s);
	cr_assert_str_eq(buf_str(&s.shown), "bye");
	cr_assert_str_eq(s.words, "started exit");
	cr_assert(s.exit.exited);
	cr_assert(eq(int, s.exit.status, 3));
	cr_assert(eq(int, r->park_code, 0), "nobody lets go of it");
	end(&s);
}

Test(leave, the_output_of_one_that_has_ended_is_not_waited_for_for_ever)
{
	struct rig *r = rig_new();
	struct seen s;

	r->hold = true;
	begin_well(&s, r, REMOTE_START);
	remote_send(s.remote, "exit 3\r", 7);
	remote_leave(s.remote);
	say_exit(r, 3);
	rig_run(r, 3 * USEC_PER_SEC);
	cr_assert(s.over && s.exit.exited);
	cr_assert(eq(int, s.exit.status, 3));
	cr_assert(eq(int, r->park_code, 0));
	end(&s);
}

Test(leave, a_program_that_reads_nothing_is_left_all_the_same)
{
	struct rig *r = rig_new();
	struct seen s;

	r->hold = true;
	begin_well(&s, r, REMOTE_START);
	remote_send(s.remote, "make\r", 5);
	remote_leave(s.remote);
	rig_run(r, USEC_PER_SEC);
	cr_assert(not(s.over));
	rig_run(r, 2 * USEC_PER_SEC);
	cr_assert(s.over);
	cr_assert(eq(int, r->park_code, HW_EINTERRUPTED));
	end(&s);
}

Test(leave, one_whose_link_is_lost_is_left_at_once)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_START);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, USEC_PER_SEC);
	remote_leave(s.remote);
	cr_assert_str_eq(s.words, "started relay? exit");
	rig_run(r, 90 * USEC_PER_SEC);
	cr_assert_str_eq(s.words, "started relay? exit");
	end(&s);
}

Test(leave, a_viewer_closes_and_interrupts_nobody)
{
	static const enum remote_way ways[] = {REMOTE_WATCH, REMOTE_JOIN};

	for (size_t i = 0; i < 2; i++) {
		struct rig *r = rig_new();
		struct seen s;
		begin_well(&s, r, ways[i]);
		remote_leave(s.remote);
		run(&s);
		cr_assert(r->closed);
		cr_assert(eq(int, r->close_code, 0));
		cr_assert_str_eq(s.words, "started exit");
		end(&s);
	}
}

Test(leave, who_is_let_go_of_hears_why)
{
	struct rig *r = rig_new();
	struct seen s;

	begin_well(&s, r, REMOTE_START);
	channel_abort(r->channel, HW_EDETACHED, "attached from 192.0.2.7");
	r->channel = NULL;
	run(&s);
	cr_assert(s.over);
	cr_assert(eq(int, s.exit.code, HW_EDETACHED));
	cr_assert(eq(int, s.exit.status, 255));
	cr_assert_str_eq(s.message, "attached from 192.0.2.7");
	end(&s);
}

/* Freed without a word: by a signal, when the terminal is gone, after a mistake. */
static int
freed(bool outlives)
{
	struct rig *r = rig_new();
	struct seen s;
	int code;

	begin_well(&s, r, REMOTE_START);
	remote_outlive(s.remote, outlives);
	remote_free(s.remote);
	s.remote = NULL;
	run(&s);
	code = r->park_code != 0 ? r->park_code : r->close_code;
	end(&s);
	return code;
}

Test(leave, one_that_is_freed_ends_or_goes_on_as_was_said_before)
{
	cr_assert(eq(int, freed(false), HW_ETERMINATED));
	cr_assert(eq(int, freed(true), HW_EINTERRUPTED));
}
