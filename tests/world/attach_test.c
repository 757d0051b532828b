/* Terminals that come to a shell which runs already: its owner's next one, those who watch it, and
 * those who type into it too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/recording.h"
#include "proto/wire/codec.h"
#include "relay/core/broker_private.h"
#include "relay/core/relay_private.h"
#include "tests/world/world.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define ALLOW(action)	   "{\"Effect\":\"Allow\",\"Action\":\"" action "\",\"Resource\":\"*\"}"
#define ALL		   ALLOW("ssm:*") "," ALLOW("hawser:*")
#define SHORT		   "resume_seconds = 20\ndetached_seconds = 40\ngrace_seconds = 5\n"
#define NO_SCREEN	   (3 * USEC_PER_SEC)

struct stage {
	struct world *w;
	struct world_peer *admin, *ann, *bob, *node;
	struct world_channel *c, *n; /* ann's shell, at both ends */
};

static struct stage
stage_new(const char *conf)
{
	struct stage s = {.w = world_new(conf)};

	s.admin = world_admin(s.w);
	s.node = world_node(s.w, s.admin, "web-01");
	s.node->keeps = s.node->paints = true;
	s.node->echo = ECHO_SHOWN;
	world_dial(s.node);
	world_put_policy(s.admin, "rules", POLICY(ALL));
	s.ann = world_new_user(s.admin, "ann", "rules");
	s.bob = world_new_user(s.admin, "bob", "rules");
	s.ann->keeps = s.bob->keeps = true;
	s.c = world_shell(s.ann, s.node);
	s.n = s.node->opened;
	cr_assert(s.c->accepted, "%s", s.c->message);
	return s;
}

static void
stage_free(struct stage *s)
{
	world_peer_free(s->ann);
	world_peer_free(s->bob);
	world_peer_free(s->node);
	world_peer_free(s->admin);
	world_free(s->w);
}

/* --- tickets ---------------------------------------------------------------------------------- */

static int
ask(struct world_peer *by, enum op_id op, const char *session, const char **ticket, char why[384])
{
	struct msg_resume_session_request req = {.session_id = session};
	struct msg_resume_session_reply *rep;
	int r = world_call(by, op, &req, &rep, why);

	if (r == 0)
		*ticket = rep->token_value;
	return r;
}

static const char *
ticket(struct world_peer *by, enum op_id op, const struct stage *s)
{
	const char *got = NULL;
	char why[384];

	cr_assert(eq(int, ask(by, op, s->c->session, &got, why), 0), "%s", why);
	cr_assert_not_null(got);
	return got;
}

/* The node is not asked for its screen more than four times a second. */
#define SOON (USEC_PER_SEC / 4)

static struct world_channel *
come(struct world_peer *who, enum op_id op, const struct stage *s)
{
	struct world_channel *c = world_attach(who, s->c->session, ticket(who, op, s), 100, 40);

	if (!c->resumed && s->node->paints)
		world_advance(s->w, SOON);
	return c;
}

static struct world_channel *
attach(struct world_peer *who, const struct stage *s)
{
	struct world_channel *c = come(who, OP_resume_session, s);

	cr_assert(c->resumed, "%s", c->message);
	return c;
}

static void
out(struct stage *s, const char *text)
{
	cr_assert(eq(sz, channel_write(s->n->ch, STREAM_OUT, text, strlen(text)), strlen(text)));
	world_settle(s->w);
}

static void
type(struct world_channel *c, const char *text)
{
	cr_assert(eq(sz, channel_write(c->ch, STREAM_IN, text, strlen(text)), strlen(text)));
	world_settle(c->peer->world);
}

static void
expect_text(struct buf *got, const char *text)
{
	cr_assert_str_eq(buf_str(got), text);
}

#define EXPECT_SHOWN(c, text) expect_text(&(c)->got[STREAM_OUT], text)
#define EXPECT_TYPED(s, text) expect_text(&(s)->n->got[STREAM_IN], text)

/* --- what was recorded ------------------------------------------------------------------------ */

/* Its events, in words; bytes that were typed with their author. */
static void
describe(struct buf *to, const struct event *ev, struct arena *arena)
{
	void *msg;

	if (ev->type == EVENT_DATA && ev->stream == STREAM_IN)
		buf_printf(to, "%u:%.*s ", ev->author, (int)ev->len, (const char *)ev->bytes);
	else if (ev->type == EVENT_DATA)
		buf_printf(to, "out:%.*s ", (int)ev->len, (const char *)ev->bytes);
	else if (ev->type == EVENT_HIDDEN)
		buf_printf(to, "%u:*%u ", ev->author, ev->hidden);
	else if (ev->type == EVENT_REWIND)
		buf_printf(to, "rewind@%llu ", (unsigned long long)ev->offset);
	else if (ev->type == EVENT_NOTE)
		buf_printf(to, "(%.*s) ", (int)ev->len, (const char *)ev->bytes);
	else if (ev->type == EVENT_SCREEN)
		buf_printf(to, "screen@%llu:%.*s ", (unsigned long long)ev->offset, (int)ev->len,
			(const char *)ev->bytes);
	if (ev->type != EVENT_AUTHOR)
		return;
	cr_assert(eq(int,
		msg_decode(&msg, arena, MSG_ROW(recording_author), ev->bytes, ev->len, NULL), 0));
	const struct msg_recording_author *a = msg;
	buf_printf(to, "author%u@%llu=%s/%lld ", ev->author, (unsigned long long)ev->offset,
		strrchr(a->principal, '/') + 1, (long long)a->base);
}

static const char *
recorded(struct stage *s)
{
	struct msg_get_recording_request req = {.session_id = s->c->session};
	struct msg_get_recording_reply *rep;
	struct event ev;
	struct buf text;
	size_t used;

	buf_init(&text, 64 << 20);
	do {
		cr_assert(eq(int, world_call(s->admin, OP_get_recording, &req, &rep, NULL), 0));
		for (size_t at = 0; at < rep->events.n; at += used) {
			cr_assert(eq(int,
				event_decode(&ev, (const uint8_t *)rep->events.p + at,
					rep->events.n - at, &used),
				0));
			describe(&text, &ev, s->w->arena);
		}
		req.next_token = rep->next_token;
	} while (rep->next_token != NULL);
	const char *kept = arena_strdup(s->w->arena, buf_str(&text));
	buf_fini(&text);
	return kept;
}

static void
expect_recorded(struct stage *s, const char *part)
{
	const char *all = recorded(s);

	cr_assert_not_null(strstr(all, part), "%s: not in %s", part, all);
}

/* --- the owner, from anywhere ----------------------------------------------------------------- */

Test(attach, an_owner_takes_its_shell_over_from_elsewhere)
{
	struct stage s = stage_new(NULL);
	struct world_peer *home = world_twin(s.ann);

	home->keeps = true;
	home->source = "198.51.100.7";
	world_dial(home);
	type(s.c, "ab");
	out(&s, "one ");
	struct world_channel *c = attach(home, &s);
	cr_assert(s.c->closed);
	cr_assert(eq(int, s.c->code, HW_EDETACHED));
	cr_assert_str_eq(s.c->message, "attached from 198.51.100.7");
	expect_text(&c->screen, "screen@4");
	cr_assert(eq(int, (int)s.n->control.cols, 100));
	cr_assert(eq(i64, c->resume_seconds, 3600));
	out(&s, "two ");
	type(c, "cd");
	EXPECT_SHOWN(c, "two ");
	EXPECT_TYPED(&s, "abcd");
	expect_recorded(&s, "screen@4:screen@4 (attached from 198.51.100.7) ");
	expect_recorded(&s, "out:two  0:cd ");
	cr_assert(eq(sz, world_entries(s.w, "session.attach", "ssm:ResumeSession", OUTCOME_OK), 1));
	world_peer_free(home);
	stage_free(&s);
}

Test(attach, what_takes_a_session_up_again_is_the_last_terminals_alone)
{
	struct stage s = stage_new(NULL);

	pair_cut(s.ann->pair, "cut");
	world_settle(s.w);
	cr_assert(s.c->parked);
	world_dial(s.ann);
	struct world_channel *c = attach(s.ann, &s);
	world_resume(s.c, s.ann);
	cr_assert(s.c->rejected);
	cr_assert(eq(int, s.c->code, HW_EDETACHED), "%s", s.c->message);
	type(c, "x");
	pair_cut(s.ann->pair, "cut");
	world_settle(s.w);
	out(&s, "meanwhile");
	world_dial(s.ann);
	world_resume(c, s.ann);
	cr_assert(c->resumed, "%s", c->message);
	cr_assert(eq(int, s.n->repaints, 1), "nothing was lost");
	type(c, "y");
	EXPECT_SHOWN(c, "meanwhile");
	EXPECT_TYPED(&s, "xy");
	stage_free(&s);
}

Test(attach, two_terminals_fight_over_one_session)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c[6] = {s.c};

	for (int i = 1; i < 6; i++) {
		world_advance(s.w, USEC_PER_SEC);
		c[i] = attach(s.ann, &s);
		cr_assert(eq(int, c[i - 1]->code, HW_EDETACHED));
		type(c[i], "k");
	}
	EXPECT_TYPED(&s, "kkkkk");
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	stage_free(&s);
}

/* A node of an older version, or one that is busy. */
Test(attach, a_node_that_never_answers_is_not_waited_for)
{
	struct stage s = stage_new(NULL);

	s.node->paints = false;
	out(&s, "before");
	struct world_channel *c = come(s.ann, OP_resume_session, &s);
	cr_assert(not(c->resumed));
	out(&s, "while");
	world_advance(s.w, NO_SCREEN);
	cr_assert(c->resumed, "%s", c->message);
	cr_assert(eq(int, c->screens, 0));
	cr_assert_not_null(strstr(c->notice, "11 bytes of output were not shown"), "%s", c->notice);
	out(&s, "after");
	EXPECT_SHOWN(c, "after");
	stage_free(&s);
}

static void
expect_refused(struct world_channel *c, int code, const char *said)
{
	cr_assert(c->rejected);
	cr_assert(eq(int, c->code, code), "%s: %s", hw_code_name(c->code), c->message);
	cr_assert_not_null(strstr(c->message, said), "%s", c->message);
}

#define NOT_RESUMED "can be resumed by that id and token"

Test(attach, a_ticket_is_good_once_for_its_user_and_its_session_and_not_for_long)
{
	struct stage s = stage_new(NULL);
	struct world_channel *other = world_shell(s.bob, s.node);

	const char *t = ticket(s.ann, OP_resume_session, &s);
	expect_refused(world_attach(s.bob, s.c->session, t, 80, 24), HW_ENOSESSION, NOT_RESUMED);
	expect_refused(world_attach(s.bob, other->session, t, 80, 24), HW_ENOSESSION, NOT_RESUMED);
	expect_refused(world_attach(s.ann, s.c->session, "nonsense", 80, 24), HW_ENOSESSION,
		NOT_RESUMED);
	cr_assert(world_attach(s.ann, s.c->session, t, 80, 24)->resumed, "it was not used up");
	expect_refused(world_attach(s.ann, s.c->session, t, 80, 24), HW_ENOSESSION, NOT_RESUMED);
	t = ticket(s.ann, OP_resume_session, &s);
	world_advance(s.w, 61 * USEC_PER_SEC);
	expect_refused(world_attach(s.ann, s.c->session, t, 80, 24), HW_ENOSESSION, NOT_RESUMED);
	cr_assert(eq(sz, world_entries_with(s.w, "the ticket is another user's"), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "the ticket was used"), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "the ticket came late"), 1));
	cr_assert(eq(sz, world_entries(s.w, "session.attach", NULL, 0), 1));
	stage_free(&s);
}

Test(attach, a_ticket_is_not_for_who_stands_somewhere)
{
	const struct channel_stand stands[STREAMS] = {
		[STREAM_OUT] = {.received = 3, .limit = 100}
	    };
	struct stage s = stage_new(NULL);
	struct msg_resume who = {.type = CHANNEL_TYPE_PTY, .session_id = s.c->session};

	who.token = ticket(s.ann, OP_resume_session, &s);
	expect_refused(world_resume_as(s.ann, &who, stands), HW_EVALIDATION, "Streams");
	who.token = ticket(s.ann, OP_resume_session, &s);
	who.type = CHANNEL_TYPE_EXEC;
	expect_refused(world_resume_as(s.ann, &who, (const struct channel_stand[STREAMS]){{0}}),
		HW_ENOSESSION, NOT_RESUMED);
	stage_free(&s);
}

/* Whoever asks for many does not take away the owner's. */
Test(attach, tickets_of_others_do_not_push_out_the_owners)
{
	struct stage s = stage_new(NULL);
	const char *mine = ticket(s.ann, OP_resume_session, &s), *last = NULL;

	for (int i = 0; i < 20; i++)
		last = ticket(s.bob, OP_watch_session, &s);
	cr_assert(world_attach(s.bob, s.c->session, last, 80, 24)->resumed);
	world_advance(s.w, SOON);
	cr_assert(world_attach(s.ann, s.c->session, mine, 80, 24)->resumed);
	stage_free(&s);
}

Test(attach, what_cannot_be_attached_says_so)
{
	struct stage s = stage_new(NULL);
	struct world_channel *exec = world_exec(s.ann, s.node, "cat");
	const char *got = NULL;
	char why[384];

	cr_assert(eq(int, ask(s.bob, OP_resume_session, s.c->session, &got, why), HW_EDENIED));
	cr_assert_not_null(strstr(why, "only its owner attaches"), "%s", why);
	cr_assert(eq(int, ask(s.ann, OP_resume_session, exec->session, &got, why), HW_EVALIDATION));
	cr_assert(eq(int, ask(s.bob, OP_watch_session, exec->session, &got, why), HW_EVALIDATION));
	cr_assert(eq(int, ask(s.ann, OP_resume_session, "ann-00000000000000000", &got, why),
		HW_ENOSESSION));
	world_do(s.ann, OP_terminate_session,
		&(struct msg_terminate_session_request){.session_id = s.c->session});
	cr_assert(eq(int, ask(s.ann, OP_resume_session, s.c->session, &got, why), 0), "%s", why);
	cr_assert(got == NULL || got[0] == '\0', "as SSM has it of one that has ended");
	stage_free(&s);
}

/* What was allowed when the ticket was given may not be any more; the session is not touched. */
Test(attach, a_ticket_is_decided_again_where_it_is_presented)
{
	struct stage s = stage_new(NULL);
	const char *mine = ticket(s.ann, OP_resume_session, &s);
	const char *his = ticket(s.bob, OP_watch_session, &s);

	world_put_policy(s.admin, "rules", POLICY(ALLOW("ssm:StartSession")));
	expect_refused(world_attach(s.ann, s.c->session, mine, 80, 24), HW_EDENIED,
		"ssm:ResumeSession");
	expect_refused(world_attach(s.bob, s.c->session, his, 80, 24), HW_EDENIED,
		"hawser:WatchSession");
	cr_assert(not(s.c->closed));
	type(s.c, "on");
	EXPECT_TYPED(&s, "on");
	stage_free(&s);
}

/* --- the screen ------------------------------------------------------------------------------- */

/* The owner comes, and the node is the test's to answer for. */
static struct world_channel *
come_unpainted(struct stage *s)
{
	s->node->paints = false;
	out(s, "0123456789");
	struct world_channel *c = come(s->ann, OP_resume_session, s);
	cr_assert(eq(int, s->n->repaints, 1));
	cr_assert(not(c->resumed));
	return c;
}

static void
expect_unpainted(struct stage *s, struct world_channel *c)
{
	cr_assert(c->resumed, "%s", c->message);
	cr_assert(eq(int, c->screens, 0));
	size_t before = c->got[STREAM_OUT].len;
	out(s, "after");
	cr_assert_str_eq(buf_str(&c->got[STREAM_OUT]) + before, "after");
	type(c, "k");
	EXPECT_TYPED(s, "k");
	stage_free(s);
}

Test(attach, a_screen_of_another_question_is_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	s.n->nonce += 7;
	world_paint(s.n, 10, "false", 5, false);
	world_settle(s.w);
	cr_assert(not(c->resumed));
	world_advance(s.w, NO_SCREEN);
	expect_unpainted(&s, c);
}

Test(attach, a_screen_that_is_too_large_is_none)
{
	static uint8_t part[32 * 1024];
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	for (int i = 0; i < 10; i++)
		world_paint(s.n, 10, part, sizeof(part), true);
	world_settle(s.w);
	expect_unpainted(&s, c);
}

Test(attach, a_screen_of_what_never_comes_is_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	world_paint(s.n, (uint64_t)1 << 40, "far", 3, false);
	out(&s, "shown when it is given up ");
	world_advance(s.w, 9 * USEC_PER_SEC);
	cr_assert(not(c->resumed));
	world_advance(s.w, 2 * USEC_PER_SEC);
	expect_unpainted(&s, c);
}

Test(attach, a_screen_of_before_is_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	world_paint(s.n, 9, "old", 3, false);
	world_settle(s.w);
	expect_unpainted(&s, c);
}

/* So says a node whose holder is of an older version, or has no room for one that is so large. */
Test(attach, an_empty_screen_is_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	world_paint(s.n, 10, "", 0, false);
	world_settle(s.w);
	expect_unpainted(&s, c);
}

Test(attach, a_screen_whose_parts_do_not_end_is_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	for (int i = 0; i < 4; i++) {
		world_paint(s.n, 10, "", 0, true);
		world_advance(s.w, USEC_PER_SEC);
	}
	expect_unpainted(&s, c);
}

Test(attach, parts_of_different_screens_are_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	world_paint(s.n, 10, "a", 1, true);
	world_paint(s.n, 11, "b", 1, false);
	world_settle(s.w);
	expect_unpainted(&s, c);
}

/* It was asked for a watcher; then the owner comes with a terminal of another size. */
Test(attach, a_screen_of_another_size_is_none)
{
	struct stage s = stage_new(NULL);

	s.node->paints = false;
	struct world_channel *b = come(s.bob, OP_watch_session, &s);
	int64_t first = s.n->nonce;
	struct world_channel *c = come(s.ann, OP_resume_session, &s);
	world_advance(s.w, SOON);
	cr_assert(eq(int, s.n->repaints, 2));
	s.n->nonce = first;
	world_paint(s.n, 0, "small", 5, false);
	world_settle(s.w);
	cr_assert(not(c->resumed));
	s.n->nonce = first + 1;
	world_paint(s.n, 0, "large", 5, false);
	world_settle(s.w);
	expect_text(&c->screen, "large");
	expect_text(&b->screen, "large");
	cr_assert(eq(int, b->cols, 100));
	stage_free(&s);
}

/* CONTROL overtakes bytes: what the screen shows may come after it, and what comes after it before
 * its last part. */
Test(attach, output_goes_on_exactly_behind_the_screen)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	world_paint(s.n, 15, "scr", 3, true);
	world_settle(s.w);
	out(&s, "abcdeXY");
	cr_assert(not(c->resumed));
	world_paint(s.n, 15, "een", 3, false);
	world_settle(s.w);
	cr_assert(c->resumed);
	expect_text(&c->screen, "screen");
	cr_assert(eq(u64, c->screen_offset, 15));
	EXPECT_SHOWN(c, "XY");
	out(&s, "Z");
	EXPECT_SHOWN(c, "XYZ");
	expect_recorded(&s, "out:abcdeXY screen@15:screen ");
	stage_free(&s);
}

Test(attach, a_screen_waits_for_the_output_that_it_shows)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	world_paint(s.n, 15, "screen", 6, false);
	world_settle(s.w);
	out(&s, "abc");
	cr_assert(not(c->resumed));
	out(&s, "deXY");
	cr_assert(c->resumed);
	EXPECT_SHOWN(c, "XY");
	stage_free(&s);
}

/* A terminal that takes nothing is passed by, as before, and then shown what is there. */
Test(attach, a_terminal_that_was_passed_by_is_shown_the_screen)
{
	static char block[4096];
	struct stage s = stage_new(NULL);

	memset(block, 'x', sizeof(block));
	s.c->hold = true;
	for (int i = 0; i < 2000; i++) {
		channel_write(s.n->ch, STREAM_OUT, block, sizeof(block));
		world_settle(s.w);
		if (i % 200 == 0)
			world_advance(s.w, 2 * USEC_PER_SEC);
	}
	s.c->hold = false;
	channel_consume(s.c->ch, STREAM_OUT, s.c->got[STREAM_OUT].len, ECHO_UNKNOWN);
	world_settle(s.w);
	cr_assert(s.c->parked);
	world_resume(s.c, s.ann);
	cr_assert(s.c->resumed);
	cr_assert(eq(int, s.c->screens, 1));
	cr_assert(eq(u64, s.c->screen_offset, channel_sent(s.n->ch, STREAM_OUT)));
	expect_text(&s.c->notices, "");
	size_t before = s.c->got[STREAM_OUT].len;
	out(&s, "after");
	cr_assert(eq(sz, s.c->got[STREAM_OUT].len, before + 5));
	stage_free(&s);
}

Test(attach, who_waits_for_a_screen_hears_that_the_session_ended)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);
	struct world_channel *b = come(s.bob, OP_watch_session, &s);

	world_do(s.ann, OP_terminate_session,
		&(struct msg_terminate_session_request){.session_id = s.c->session});
	expect_refused(c, HW_ETERMINATED, "ended by ann");
	expect_refused(b, HW_ETERMINATED, "ended by ann");
	stage_free(&s);
}

Test(attach, a_node_that_goes_while_it_is_asked_is_asked_again)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = come_unpainted(&s);

	pair_cut(s.node->pair, "cut");
	world_settle(s.w);
	world_advance(s.w, 5 * USEC_PER_SEC);
	cr_assert(not(c->resumed));
	s.node->paints = true;
	world_dial(s.node);
	cr_assert(c->resumed);
	expect_text(&c->screen, "screen@10");
	stage_free(&s);
}

/* --- watching --------------------------------------------------------------------------------- */

static struct world_channel *
watch(struct world_peer *who, const struct stage *s)
{
	struct world_channel *c = come(who, OP_watch_session, s);

	cr_assert(c->resumed, "%s", c->message);
	return c;
}

static void
leave(struct world_channel *c)
{
	channel_close(c->ch, &(struct msg_close){.code = ""});
	c->ch = NULL;
	world_settle(c->peer->world);
}

Test(attach, a_watcher_sees_what_its_owner_sees)
{
	const struct msg_control size = {.type = CONTROL_RESIZE, .cols = 132, .rows = 50};
	struct stage s = stage_new(NULL);

	out(&s, "before ");
	struct world_channel *b = watch(s.bob, &s);
	expect_text(&b->screen, "screen@7");
	cr_assert(eq(int, b->cols, 80));
	cr_assert(eq(int, b->rows, 24));
	expect_text(&s.c->notices, "bob watches this session\n");
	cr_assert(eq(i64, b->resume_seconds, 60));
	out(&s, "after");
	EXPECT_SHOWN(b, "after");
	EXPECT_SHOWN(s.c, "before after");
	channel_control(s.c->ch, &size);
	world_settle(s.w);
	cr_assert(eq(int, b->cols, 132));
	cr_assert(eq(int, b->rows, 50));
	leave(b);
	expect_text(&s.c->notices, "bob watches this session\nbob left\n");
	cr_assert(not(s.c->closed));
	cr_assert(not(s.n->closed));
	cr_assert(eq(sz, world_entries(s.w, "session.attach", "hawser:WatchSession", OUTCOME_OK),
		1));
	cr_assert(eq(sz, world_entries(s.w, "session.detach", "hawser:WatchSession", OUTCOME_OK),
		1));
	expect_recorded(&s, "(bob watches this session) ");
	stage_free(&s);
}

Test(attach, what_a_watcher_types_goes_nowhere)
{
	const struct msg_control size = {.type = CONTROL_RESIZE, .cols = 10, .rows = 5};
	const struct msg_control kill = {.type = CONTROL_SIGNAL, .signal = "KILL"};
	static char many[60 * 1024];
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);

	memset(many, 'k', sizeof(many));
	for (int i = 0; i < 4; i++) {
		cr_assert(eq(sz, channel_write(b->ch, STREAM_IN, many, sizeof(many)),
			sizeof(many)));
		channel_control(b->ch, &size);
		channel_control(b->ch, &kill);
		world_settle(s.w);
	}
	channel_end(b->ch, STREAM_IN);
	world_settle(s.w);
	EXPECT_TYPED(&s, "");
	expect_text(&s.n->controls, "");
	type(s.c, "mine");
	EXPECT_TYPED(&s, "mine");
	const char *all = recorded(&s);
	cr_assert_null(strchr(all, 'k'), "%s", all);
	cr_assert_null(strstr(all, "KILL"), "%s", all);
	cr_assert(not(b->closed));
	stage_free(&s);
}

Test(attach, a_policy_that_is_taken_away_ends_the_watching_alone)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);

	world_put_policy(s.admin, "rules", POLICY(ALLOW("ssm:*")));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(b->closed);
	cr_assert(eq(int, b->code, HW_EREVOKED), "%s", b->message);
	cr_assert_not_null(strstr(b->message, "bob may not hawser:WatchSession"), "%s", b->message);
	cr_assert(not(s.c->closed));
	cr_assert(eq(sz, world_entries(s.w, "decision", "hawser:WatchSession", OUTCOME_DENIED), 1));
	out(&s, "on");
	EXPECT_SHOWN(s.c, "on");
	EXPECT_SHOWN(b, "");
	stage_free(&s);
}

Test(attach, a_watcher_who_is_removed_is_gone)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);

	world_do(s.admin, OP_delete_user, &(struct msg_delete_user_request){.user_name = "bob"});
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(b->parked || b->closed);
	cr_assert_not_null(strstr(buf_str(&s.c->notices), "bob left"));
	cr_assert(eq(sz, world_entries(s.w, "session.detach", "hawser:WatchSession", 0), 1));
	cr_assert(not(s.c->closed));
	stage_free(&s);
}

/* Neither the shell nor its owner waits for it. */
Test(attach, a_watcher_that_stalls_is_passed_by_and_repainted)
{
	static char block[4096];
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);
	size_t sent = 0;

	memset(block, 'x', sizeof(block));
	b->hold = true;
	for (int i = 0; i < 400; i++) {
		sent += channel_write(s.n->ch, STREAM_OUT, block, sizeof(block));
		world_settle(s.w);
	}
	cr_assert(eq(sz, sent, 400 * sizeof(block)));
	cr_assert(eq(sz, s.c->got[STREAM_OUT].len, sent));
	cr_assert(b->parked);
	cr_assert(eq(int, b->park_code, HW_EINTERRUPTED));
	cr_assert(le(sz, b->got[STREAM_OUT].len, 600 * 1024));
	b->hold = false;
	channel_consume(b->ch, STREAM_OUT, b->got[STREAM_OUT].len, ECHO_UNKNOWN);
	world_advance(s.w, USEC_PER_SEC);
	world_resume(b, s.bob);
	cr_assert(b->resumed, "%s", b->message);
	cr_assert(eq(u64, b->screen_offset, sent));
	size_t before = b->got[STREAM_OUT].len;
	out(&s, "after");
	cr_assert(eq(sz, b->got[STREAM_OUT].len, before + 5));
	expect_text(&s.c->notices, "bob watches this session\n");
	stage_free(&s);
}

Test(attach, a_watcher_whose_link_is_lost_comes_back)
{
	struct stage s = stage_new(SHORT);
	struct world_channel *b = watch(s.bob, &s);

	pair_cut(s.bob->pair, "cut");
	out(&s, "meanwhile");
	world_dial(s.bob);
	world_resume(b, s.bob);
	world_advance(s.w, SOON);
	cr_assert(b->resumed, "%s", b->message);
	expect_text(&b->screen, "screen@9");
	EXPECT_SHOWN(b, "");
	pair_cut(s.bob->pair, "cut");
	world_advance(s.w, 22 * USEC_PER_SEC);
	cr_assert_not_null(strstr(buf_str(&s.c->notices), "bob left"));
	world_dial(s.bob);
	world_resume(b, s.bob);
	cr_assert(b->rejected);
	cr_assert_not_null(strstr(b->message, "did not come back within 20 seconds"), "%s",
		b->message);
	cr_assert(not(s.c->closed));
	stage_free(&s);
}

Test(attach, another_user_does_not_come_back_for_it)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);
	const struct channel_stand nowhere[STREAMS] = {0};
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_PTY, .session_id = s.c->session, .token = b->token};

	expect_refused(world_resume_as(s.ann, &who, nowhere), HW_ENOSESSION, NOT_RESUMED);
	cr_assert(not(b->closed));
	cr_assert(not(s.c->closed));
	cr_assert(eq(sz, world_entries_with(s.w, "the token is another user's"), 1));
	stage_free(&s);
}

Test(attach, a_watcher_that_claims_too_much_is_refused)
{
	const struct channel_stand far[STREAMS] = {
		[STREAM_OUT] = {.received = 1000, .limit = 5000}
	};
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_PTY, .session_id = s.c->session, .token = b->token};

	expect_refused(world_resume_as(s.bob, &who, far), HW_EVALIDATION, "Streams");
	out(&s, "on");
	EXPECT_SHOWN(b, "on");
	stage_free(&s);
}

/* Coming back again and again costs the one who does it. */
Test(attach, a_watcher_that_comes_back_without_end_ends_itself_alone)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s), *last = NULL;
	const struct channel_stand nowhere[STREAMS] = {0};
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_PTY, .session_id = s.c->session, .token = b->token};

	for (int i = 0; i < 120; i++)
		last = world_resume_as(s.bob, &who, nowhere);
	cr_assert(last->rejected);
	cr_assert(le(int, s.n->repaints, 3));
	cr_assert(not(s.c->closed));
	type(s.c, "on");
	EXPECT_TYPED(&s, "on");
	stage_free(&s);
}

Test(attach, sixteen_watch_and_no_more)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b[17];

	for (int i = 0; i < 16; i++) {
		world_advance(s.w, USEC_PER_SEC);
		b[i] = watch(s.bob, &s);
	}
	const char *t = ticket(s.bob, OP_watch_session, &s);
	expect_refused(world_attach(s.bob, s.c->session, t, 80, 24), HW_ELIMIT, "16 others");
	out(&s, "all");
	for (int i = 0; i < 16; i++)
		EXPECT_SHOWN(b[i], "all");
	leave(b[3]);
	world_advance(s.w, SOON);
	cr_assert(world_attach(s.bob, s.c->session, t, 80, 24)->resumed, "it was not used up");
	cr_assert(attach(s.ann, &s)->resumed, "its owner is none of them");
	stage_free(&s);
}

Test(attach, who_comes_at_once_shares_one_screen)
{
	struct stage s = stage_new(NULL);

	s.node->paints = false;
	struct world_channel *b1 = come(s.bob, OP_watch_session, &s);
	struct world_channel *b2 = come(s.bob, OP_watch_session, &s);
	struct world_channel *b3 = come(s.bob, OP_join_session, &s);
	cr_assert(eq(int, s.n->repaints, 1));
	world_paint(s.n, 0, "screen", 6, false);
	world_settle(s.w);
	expect_text(&b1->screen, "screen");
	expect_text(&b2->screen, "screen");
	expect_text(&b3->screen, "screen");
	stage_free(&s);
}

Test(attach, watchers_see_how_it_ends)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = watch(s.bob, &s);

	out(&s, "bye");
	world_exit(s.n, 7, NULL);
	cr_assert(b->exit_seen && b->ended[STREAM_OUT] && b->ended[STREAM_ERR]);
	struct world_channel *late = watch(s.bob, &s);
	cr_assert(late->exit_seen && late->ended[STREAM_OUT]);
	leave(s.c);
	cr_assert(b->closed && late->closed);
	cr_assert(eq(int, b->code, 0));
	cr_assert(b->exited);
	cr_assert(eq(int, b->exit_status, 7));
	EXPECT_SHOWN(b, "bye");
	cr_assert(eq(sz, world_entries(s.w, "session.detach", "hawser:WatchSession", 0), 2));
	stage_free(&s);
}

/* Nobody is shown what the recording does not have. */
Test(attach, watchers_of_what_cannot_be_recorded_see_nothing_more)
{
	struct stage s = stage_new(SHORT);
	struct world_channel *b = watch(s.bob, &s);

	s.w->fail_writes = 5;
	out(&s, "unseen");
	world_advance(s.w, USEC_PER_SEC);
	cr_assert(b->closed);
	cr_assert(eq(int, b->code, HW_ERECORD), "%s", b->message);
	EXPECT_SHOWN(b, "");
	s.w->fail_writes = 0;
	stage_free(&s);
}

Test(attach, who_watches_many_sessions_is_limited_as_who_has_many)
{
	struct stage s = stage_new("max_sessions_per_user = 2\n");

	watch(s.bob, &s);
	watch(s.bob, &s);
	expect_refused(come(s.bob, OP_watch_session, &s), HW_ELIMIT, "bob watches 2 sessions");
	stage_free(&s);
}

/* Each denial is an entry of the ledger: nobody writes them at will. */
Test(attach, who_goes_on_presenting_a_ticket_that_is_denied_loses_its_link)
{
	struct stage s = stage_new(NULL);
	const char *t = ticket(s.bob, OP_watch_session, &s);

	world_put_policy(s.admin, "rules", POLICY(ALLOW("ssm:*")));
	for (int i = 0; i < PEER_REFUSED_MAX && s.bob->link != NULL; i++)
		world_attach(s.bob, s.c->session, t, 80, 24);
	cr_assert(eq(ptr, s.bob->link, NULL));
	cr_assert(eq(int, s.bob->down_code, HW_ELIMIT));
	cr_assert(not(s.c->closed));
	stage_free(&s);
}

Test(attach, a_shell_without_its_user_is_watched_and_still_given_up)
{
	struct stage s = stage_new(SHORT);
	struct world_channel *b = watch(s.bob, &s);

	pair_cut(s.ann->pair, "cut");
	world_advance(s.w, 30 * USEC_PER_SEC);
	out(&s, "alone");
	EXPECT_SHOWN(b, "alone");
	world_advance(s.w, 12 * USEC_PER_SEC);
	cr_assert(b->closed);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	stage_free(&s);
}

/* --- joining ---------------------------------------------------------------------------------- */

static struct world_channel *
join(struct world_peer *who, const struct stage *s)
{
	struct world_channel *c = come(who, OP_join_session, s);

	cr_assert(c->resumed, "%s", c->message);
	return c;
}

/* The program reads so much more of its input. */
static void
reads(struct stage *s, size_t n)
{
	channel_consume(s->n->ch, STREAM_IN, n, ECHO_SHOWN);
	world_settle(s->w);
}

Test(attach, who_joins_types_too_and_the_recording_knows_who)
{
	struct stage s = stage_new(NULL);

	type(s.c, "ab");
	struct world_channel *b = join(s.bob, &s);
	expect_text(&s.c->notices, "bob types into this session\n");
	type(b, "XYZ");
	type(s.c, "cd");
	type(b, "W");
	EXPECT_TYPED(&s, "abXYZcdW");
	cr_assert(eq(u64, channel_acked(s.c->ch, STREAM_IN), 4));
	cr_assert(eq(u64, channel_acked(b->ch, STREAM_IN), 4));
	expect_recorded(&s, "author1@2=bob/2 1:XYZ author0@5=ann/2 0:cd author1@7=bob/4 1:W ");
	leave(b);
	expect_text(&s.c->notices, "bob types into this session\nbob left\n");
	type(s.c, "e");
	EXPECT_TYPED(&s, "abXYZcdWe");
	cr_assert(eq(sz, world_entries(s.w, "session.attach", "hawser:JoinSession", OUTCOME_OK),
		1));
	stage_free(&s);
}

Test(attach, who_joins_does_not_resize_or_signal)
{
	const struct msg_control size = {.type = CONTROL_RESIZE, .cols = 10, .rows = 5};
	const struct msg_control kill = {.type = CONTROL_SIGNAL, .signal = "KILL"};
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	channel_control(b->ch, &size);
	channel_control(b->ch, &kill);
	channel_end(b->ch, STREAM_IN);
	world_settle(s.w);
	expect_text(&s.n->controls, "");
	cr_assert(not(s.n->ended[STREAM_IN]));
	type(s.c, "on");
	EXPECT_TYPED(&s, "on");
	stage_free(&s);
}

/* A shell that runs as somebody: who types into it is that user. */
Test(attach, nobody_joins_as_a_user_that_policies_do_not_name)
{
	struct stage s = stage_new(NULL);
	struct msg_start_session_request req = {.target = s.node->who.id, .run_as = "root"};
	struct msg_start_session_reply *rep;
	const char *t = NULL;
	char why[384];

	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, &rep, why), 0), "%s", why);
	s.c = world_open(s.admin, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value);
	cr_assert(s.c->accepted, "%s", s.c->message);
	cr_assert(eq(int, ask(s.bob, OP_join_session, s.c->session, &t, why), HW_EDENIED));
	cr_assert_not_null(strstr(why, "runs as root"), "%s", why);
	cr_assert(eq(int, ask(s.bob, OP_watch_session, s.c->session, &t, why), 0), "%s", why);
	world_put_policy(s.admin, "rules",
		POLICY(ALL
			",{\"Effect\":\"Allow\",\"Action\":\"hawser:JoinSession\",\"Resource\":\"*\","
			"\"Condition\":{\"StringEquals\":{\"hawser:RunAs\":\"root\"}}}"));
	struct world_channel *b = join(s.bob, &s);
	world_put_policy(s.admin, "rules", POLICY(ALL));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(eq(int, b->code, HW_EREVOKED), "%s", b->message);
	stage_free(&s);
}

/* Only one has bytes under way, and those who wait have their turns. */
Test(attach, who_waits_has_its_turn_when_all_before_is_consumed)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	s.node->stopped = true;
	type(s.c, "aaaa");
	type(b, "BB");
	type(s.c, "cc");
	EXPECT_TYPED(&s, "aaaa");
	reads(&s, 3);
	EXPECT_TYPED(&s, "aaaa");
	reads(&s, 1);
	EXPECT_TYPED(&s, "aaaaBB");
	type(b, "DD");
	reads(&s, 2);
	EXPECT_TYPED(&s, "aaaaBBcc");
	reads(&s, 2);
	EXPECT_TYPED(&s, "aaaaBBccDD");
	reads(&s, 2);
	cr_assert(eq(u64, channel_acked(s.c->ch, STREAM_IN), 6));
	cr_assert(eq(u64, channel_acked(b->ch, STREAM_IN), 4));
	stage_free(&s);
}

/* A program that reads nothing keeps little of one who joined, and then its owner goes first. */
Test(attach, who_joins_and_floods_holds_up_nobody_for_long)
{
	static char many[60 * 1024];
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	memset(many, 'B', sizeof(many));
	s.node->stopped = true;
	cr_assert(eq(sz, channel_write(b->ch, STREAM_IN, many, sizeof(many)), sizeof(many)));
	world_settle(s.w);
	cr_assert(eq(sz, s.n->got[STREAM_IN].len, 4096));
	cr_assert(le(sz, channel_room(b->ch, STREAM_IN), 4096), "its window is what waits");
	type(s.c, "!");
	reads(&s, 4096);
	cr_assert_str_eq(buf_str(&s.n->got[STREAM_IN]) + 4096, "!");
	reads(&s, 1);
	cr_assert(eq(sz, s.n->got[STREAM_IN].len, 2 * 4096 + 1));
	cr_assert(not(s.c->closed));
	stage_free(&s);
}

/* Each writes its own sequence, in pieces of all sizes, while the program reads as it likes; links
 * break, too. */
struct hand {
	struct world_channel *c;
	uint8_t first, next;
	size_t sent;
};

static void
write_some(struct hand *h, size_t n)
{
	for (size_t i = 0; i < n && h->c->ch != NULL; i++) {
		uint8_t byte = (uint8_t)(h->first + h->next);
		if (channel_write(h->c->ch, STREAM_IN, &byte, 1) == 0)
			return;
		h->next = (uint8_t)((h->next + 1) % 26);
		h->sent++;
	}
}

static void
expect_sequence(const struct buf *got, const struct hand *h)
{
	size_t n = 0;

	for (size_t i = 0; i < got->len; i++) {
		uint8_t byte = buf_data(got)[i];
		if (byte < h->first || byte >= h->first + 26)
			continue;
		cr_assert(eq(u8, byte, (uint8_t)(h->first + n % 26)), "byte %zu", n);
		n++;
	}
	cr_assert(eq(sz, n, h->sent));
}

static unsigned
roll(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 0x7fff;
}

static void
read_all(struct stage *s)
{
	world_settle(s->w);
	for (int i = 0; i < 200; i++) {
		size_t left = s->n->got[STREAM_IN].len - (size_t)s->n->taken;
		s->n->taken += left;
		if (left > 0)
			reads(s, left);
	}
}

static void
read_some(struct stage *s, size_t most)
{
	size_t left = s->n->got[STREAM_IN].len - (size_t)s->n->taken, n = left < most ? left : most;

	s->n->taken += n;
	if (n > 0)
		reads(s, n);
}

static void
break_one(struct stage *s, struct hand hands[3], unsigned which)
{
	struct world_peer *p = which == 0 ? s->ann : which == 1 ? s->bob : s->node;

	pair_cut(p->pair, "cut");
	world_settle(s->w);
	world_dial(p);
	for (int i = 0; i < 3; i++)
		if (hands[i].c->parked)
			world_resume(hands[i].c, hands[i].c->peer);
	world_advance(s->w, SOON);
}

static void
play(unsigned seed, bool breaks)
{
	struct stage s = stage_new(NULL);
	struct hand hands[3] = {
		{s.c,  'a', 0, 0},
		{ join(s.bob, &s), 'A', 0, 0},
		{ join(s.bob, &s), 200, 0, 0},
	};

	s.node->stopped = true;
	for (int i = 0; i < 300; i++) {
		write_some(&hands[roll(&seed) % 3], roll(&seed) % 300);
		if (roll(&seed) % 3 == 0)
			world_settle(s.w);
		if (roll(&seed) % 3 == 0)
			read_some(&s, roll(&seed) % 2000);
		if (breaks && roll(&seed) % 20 == 0)
			break_one(&s, hands, roll(&seed) % 3);
	}
	world_advance(s.w, SOON);
	for (int i = 0; i < 3; i++) {
		if (hands[i].c->parked)
			world_resume(hands[i].c, hands[i].c->peer);
		world_advance(s.w, SOON);
		cr_assert(hands[i].c->resumed || i == 0, "%s", hands[i].c->message);
	}
	read_all(&s);
	for (int i = 0; i < 3; i++)
		expect_sequence(&s.n->got[STREAM_IN], &hands[i]);
	stage_free(&s);
}

/* Each seed is a play of its own; ./dev faults has many. */
static unsigned
plays(void)
{
	const char *text = getenv("HAWSER_PLAYS");
	int n = text != NULL ? atoi(text) : 0;

	return n > 0 ? (unsigned)n : 2;
}

Test(attach, whatever_is_typed_at_once_arrives_once_and_in_order)
{
	for (unsigned seed = 1; seed <= plays(); seed++)
		play(seed, false);
}

Test(attach, whatever_is_typed_at_once_survives_lost_links)
{
	for (unsigned seed = 1; seed <= plays(); seed++)
		play(seed, true);
}

Test(attach, who_joined_loses_its_link_with_bytes_under_way)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	s.node->stopped = true;
	type(b, "AB");
	type(s.c, "x");
	type(b, "CD");
	pair_pause(s.bob->pair, PAIR_B, true);
	type(b, "EF");
	pair_cut(s.bob->pair, "cut");
	world_settle(s.w);
	world_dial(s.bob);
	world_advance(s.w, SOON);
	world_resume(b, s.bob);
	cr_assert(b->resumed, "%s", b->message);
	reads(&s, 2);
	reads(&s, 1);
	EXPECT_TYPED(&s, "ABxCDEF");
	stage_free(&s);
}

Test(attach, the_node_loses_its_link_with_anothers_bytes_under_way)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	type(s.c, "ab");
	pair_pause(s.node->pair, PAIR_A, true);
	type(b, "LOST");
	type(s.c, "cd");
	pair_cut(s.node->pair, "cut");
	world_settle(s.w);
	cr_assert(s.c->parked);
	cr_assert(b->parked);
	world_dial(s.node);
	world_resume(b, s.bob);
	world_resume(s.c, s.ann);
	world_advance(s.w, SOON);
	cr_assert(b->resumed && s.c->resumed);
	const char *typed = buf_str(&s.n->got[STREAM_IN]);
	cr_assert(strcmp(typed, "abLOSTcd") == 0 || strcmp(typed, "abcdLOST") == 0, "%s", typed);
	expect_recorded(&s, "1:*4 ");
	expect_recorded(&s, "rewind@2 ");
	stage_free(&s);
}

/* What it had under way goes on to be its own; its owner's goes on behind it. */
Test(attach, who_joined_leaves_with_bytes_under_way)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	s.node->stopped = true;
	type(b, "AB");
	type(s.c, "x");
	leave(b);
	EXPECT_TYPED(&s, "AB");
	reads(&s, 2);
	EXPECT_TYPED(&s, "ABx");
	reads(&s, 1);
	expect_recorded(&s, "author1@0=bob/0 1:AB ");
	expect_recorded(&s, "author0@2=ann/0 0:x ");
	stage_free(&s);
}

Test(attach, a_policy_that_is_taken_away_ends_the_joining_with_what_waited)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	s.node->stopped = true;
	type(s.c, "a");
	type(b, "NEVER");
	world_put_policy(s.admin, "rules", POLICY(ALLOW("ssm:*") "," ALLOW("hawser:WatchSession")));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(b->closed);
	cr_assert(eq(int, b->code, HW_EREVOKED));
	reads(&s, 1);
	type(s.c, "b");
	EXPECT_TYPED(&s, "ab");
	cr_assert_null(strstr(recorded(&s), "NEVER"));
	stage_free(&s);
}

/* A joiner has typed; then the owner takes its shell over, and what waited of the terminal before
 * is typed all the same. */
Test(attach, an_owner_takes_over_while_its_own_bytes_wait)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	s.node->stopped = true;
	type(b, "AB");
	type(s.c, "xy");
	struct world_channel *c = attach(s.ann, &s);
	type(c, "z");
	reads(&s, 2);
	EXPECT_TYPED(&s, "ABxyz");
	stage_free(&s);
}

/* More than a record of the journal takes may wait, where the owner's window was opened wide. */
Test(attach, a_paste_that_waits_for_its_turn_goes_in_parts)
{
	static char paste[900 * 1024];
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	s.node->stopped = true;
	type(b, "A");
	struct world_channel *c = attach(s.ann, &s);
	memset(paste, 'p', sizeof(paste));
	size_t sent = channel_write(c->ch, STREAM_IN, paste, sizeof(paste));
	cr_assert(gt(sz, sent, JOURNAL_RECORD_MAX));
	world_settle(s.w);
	s.node->stopped = false;
	reads(&s, 1);
	world_advance(s.w, USEC_PER_SEC);
	cr_assert(eq(sz, s.n->got[STREAM_IN].len, sent + 1));
	type(b, "B");
	cr_assert(not(c->closed));
	stage_free(&s);
}

/* Its last word before it is taken over is one too many. */
Test(attach, a_session_that_says_too_much_as_it_is_taken_over_ends)
{
	const struct msg_control size = {.type = CONTROL_RESIZE, .cols = 90, .rows = 30};
	struct stage s = stage_new(NULL);
	const char *token = ticket(s.ann, OP_resume_session, &s);

	for (int i = 0; i < 1000; i++)
		channel_control(s.c->ch, &size);
	world_settle(s.w);
	cr_assert(not(s.c->closed));
	world_attach(s.ann, s.c->session, token, 100, 40);
	world_advance(s.w, 5 * USEC_PER_SEC);
	cr_assert(s.n->closed);
	stage_free(&s);
}

/* Nobody keeps watchers waiting by resizing without end. */
Test(attach, a_screen_comes_however_often_the_terminal_is_resized)
{
	struct stage s = stage_new(NULL);

	s.node->paints = false;
	struct world_channel *c = come(s.bob, OP_watch_session, &s);
	for (int i = 0; i < 60 && !c->resumed; i++) {
		const struct msg_control size = {
			.type = CONTROL_RESIZE, .cols = 90 + i, .rows = 30};
		channel_control(s.c->ch, &size);
		world_advance(s.w, USEC_PER_SEC / 10);
	}
	cr_assert(c->resumed, "%s", c->message);
	stage_free(&s);
}

/* What the terminal before had sent, and the node has not got, nobody can send again. */
Test(attach, what_another_terminal_typed_is_lost_with_the_node_and_said_so)
{
	struct stage s = stage_new(NULL);

	type(s.c, "ab");
	pair_pause(s.node->pair, PAIR_A, true);
	type(s.c, "LOST");
	s.node->paints = false;
	struct world_channel *c = come(s.ann, OP_resume_session, &s);
	world_advance(s.w, NO_SCREEN);
	cr_assert(c->resumed, "%s", c->message);
	pair_cut(s.node->pair, "cut");
	world_settle(s.w);
	world_dial(s.node);
	world_resume(c, s.ann);
	cr_assert(c->resumed, "%s", c->message);
	type(c, "cd");
	EXPECT_TYPED(&s, "abcd");
	expect_recorded(&s,
		"(4 bytes that were typed on another terminal did not reach the program) ");
	pair_cut(s.ann->pair, "cut");
	world_dial(s.ann);
	world_resume(c, s.ann);
	cr_assert(c->resumed, "%s", c->message);
	type(c, "e");
	EXPECT_TYPED(&s, "abcde");
	stage_free(&s);
}

/* --- a relay that is started anew ------------------------------------------------------------- */

static void
restart(struct stage *s)
{
	struct pair *const lines[] = {s->ann->pair, s->bob->pair, s->node->pair, s->admin->pair};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_kill(s->w, lines, 4, &err), 0), "%s", err.text);
	world_dial(s->admin);
	world_dial(s->ann);
	world_dial(s->bob);
	world_dial(s->node);
}

Test(attach, a_relay_that_is_started_anew_knows_what_its_owner_typed)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	type(s.c, "ab");
	type(b, "WXYZ");
	type(s.c, "cd");
	type(b, "V");
	restart(&s);
	world_resume(s.c, s.ann);
	cr_assert(s.c->resumed, "%s", s.c->message);
	type(s.c, "ef");
	EXPECT_TYPED(&s, "abWXYZcdVef");
	world_resume(b, s.bob);
	cr_assert(b->rejected, "it has to be asked for once more");
	b = join(s.bob, &s);
	type(b, "!");
	EXPECT_TYPED(&s, "abWXYZcdVef!");
	expect_recorded(&s, "author2@11=bob/6 2:! ");
	stage_free(&s);
}

Test(attach, a_relay_that_is_killed_with_bytes_under_way_doubles_and_loses_none)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	type(s.c, "ab");
	type(b, "XY");
	pair_pause(s.node->pair, PAIR_A, true);
	type(s.c, "cdef");
	restart(&s);
	world_resume(s.c, s.ann);
	cr_assert(s.c->resumed, "%s", s.c->message);
	type(s.c, "g");
	EXPECT_TYPED(&s, "abXYcdefg");
	restart(&s);
	world_resume(s.c, s.ann);
	type(s.c, "h");
	EXPECT_TYPED(&s, "abXYcdefgh");
	stage_free(&s);
}

Test(attach, a_relay_that_is_killed_with_anothers_bytes_under_way_goes_on)
{
	struct stage s = stage_new(NULL);
	struct world_channel *b = join(s.bob, &s);

	type(s.c, "ab");
	pair_pause(s.node->pair, PAIR_A, true);
	type(b, "LOST");
	restart(&s);
	world_resume(s.c, s.ann);
	cr_assert(s.c->resumed, "%s", s.c->message);
	type(s.c, "cd");
	EXPECT_TYPED(&s, "abcd");
	stage_free(&s);
}

Test(attach, a_new_relay_knows_the_last_terminals_token)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = attach(s.ann, &s);

	type(c, "a");
	restart(&s);
	world_resume(s.c->parked ? s.c : c, s.ann);
	cr_assert(c->resumed, "%s", c->message);
	struct world_channel *b = watch(s.bob, &s);
	cr_assert(eq(int, b->cols, 100));
	cr_assert(eq(int, b->rows, 40));
	type(c, "b");
	EXPECT_TYPED(&s, "ab");
	stage_free(&s);
}

/* Whoever else types, and whenever the relay is killed. */
static void
play_killed(unsigned seed)
{
	struct stage s = stage_new(NULL);
	struct hand owner = {s.c, 'a', 0, 0}, other = {join(s.bob, &s), 'A', 0, 0};

	s.node->stopped = true;
	for (int i = 0; i < 200; i++) {
		write_some(roll(&seed) % 2 == 0 ? &owner : &other, roll(&seed) % 300);
		if (roll(&seed) % 3 == 0)
			world_settle(s.w);
		if (roll(&seed) % 3 == 0)
			read_some(&s, roll(&seed) % 2000);
		if (roll(&seed) % 30 != 0)
			continue;
		restart(&s);
		world_resume(s.c, s.ann);
		world_advance(s.w, SOON);
		cr_assert(s.c->resumed, "%s", s.c->message);
		other.c = join(s.bob, &s);
	}
	read_all(&s);
	expect_sequence(&s.n->got[STREAM_IN], &owner);
	stage_free(&s);
}

Test(attach, what_its_owner_types_survives_a_killed_relay_whoever_types_too)
{
	for (unsigned seed = 1; seed <= plays(); seed++)
		play_killed(seed);
}

/* --- idle ------------------------------------------------------------------------------------- */

Test(attach, an_idle_shell_lets_go_of_watchers_too_also_without_its_owner)
{
	struct stage s = stage_new("idle_seconds = 120\n");
	struct world_channel *b = watch(s.bob, &s);

	channel_interrupt(s.c->ch, "detached by its user");
	s.c->parked = true;
	world_advance(s.w, 62 * USEC_PER_SEC);
	cr_assert(ne(ptr, strstr(buf_str(&b->notices), "this session is detached in"), NULL));
	cr_assert(not(b->closed));
	world_advance(s.w, 60 * USEC_PER_SEC);
	cr_assert(b->closed);
	cr_assert(eq(int, b->code, HW_EDETACHED));
	cr_assert_str_eq(b->message, "idle for 2 minutes");
	cr_assert(not(s.n->closed), "the shell runs");
	stage_free(&s);
}
