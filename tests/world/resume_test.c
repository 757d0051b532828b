/* Sessions and connections that lose a link, and go on: each byte once at both ends, all that ran
 * in the recording, and nobody else's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/recording.h"
#include "proto/wire/window.h"
#include "relay/core/broker_private.h"
#include "relay/core/peer.h"
#include "relay/core/relay_private.h"
#include "tests/world/world.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define ALLOW_ALL	   "{\"Effect\":\"Allow\",\"Action\":\"ssm:*\",\"Resource\":\"*\"}"
#define DENY_ALL	   "{\"Effect\":\"Deny\",\"Action\":\"ssm:*\",\"Resource\":\"*\"}"
#define SHORT		   "resume_seconds = 20\ndetached_seconds = 40\ngrace_seconds = 5\n"

struct stage {
	struct world *w;
	struct world_peer *admin, *ann, *node;
};

static struct stage
stage_new(const char *conf)
{
	struct stage s = {.w = world_new(conf)};

	s.admin = world_admin(s.w);
	s.node = world_node(s.w, s.admin, "web-01");
	s.node->keeps = true;
	world_dial(s.node);
	world_put_policy(s.admin, "rules", POLICY(ALLOW_ALL));
	s.ann = world_new_user(s.admin, "ann", "rules");
	s.ann->keeps = true;
	return s;
}

static void
stage_free(struct stage *s)
{
	world_peer_free(s->ann);
	world_peer_free(s->node);
	world_peer_free(s->admin);
	world_free(s->w);
}

/* All that is counted is given back. */
static void
expect_nothing_left(struct stage *s)
{
	struct peer *p;

	world_settle(s->w);
	cr_assert(eq(dbl, world_metric(s->w, "sessions"), 0));
	cr_assert(eq(sz, s->w->relay->broker->forward_held, 0));
	TAILQ_FOREACH(p, &s->w->relay->broker->peers, entry)
	{
		cr_assert(eq(int, p->sessions, 0), "%s", p->who.id);
		cr_assert(eq(ptr, LIST_FIRST(&p->list), NULL), "%s", p->who.id);
	}
	cr_assert(eq(sz, world_entries(s->w, "session.end", NULL, 0),
		world_entries(s->w, "session.start", NULL, 0)));
}

/* --- a way: one session, or one connection, with what goes through it ---------------------------
 */

struct way {
	struct stage *s;
	int type;
	struct world_channel *f;     /* a connection's forward */
	struct world_channel *c, *n; /* the two ends */
	struct world_channel *nf;    /* and the node's of the forward */
	size_t in, out;		     /* bytes that were written */
};

static uint8_t
byte_at(size_t offset, int stream)
{
	return (uint8_t)('a' + (offset * 7 + offset / 19 + (size_t)stream * 3) % 26);
}

static size_t
write_on(struct channel *ch, int stream, size_t done, size_t n)
{
	uint8_t bytes[4096];

	cr_assert(le(sz, n, sizeof(bytes)));
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_at(done + i, stream);
	return ch != NULL ? channel_write(ch, stream, bytes, n) : 0;
}

static void
say(struct way *w, size_t n)
{
	w->in += write_on(w->c->ch, STREAM_IN, w->in, n);
	w->out += write_on(w->n->ch, STREAM_OUT, w->out, n);
}

static void
expect_bytes(const struct buf *got, int stream, size_t n, const char *what)
{
	cr_assert(eq(sz, got->len, n), "%s", what);
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(u8, buf_data(got)[i], byte_at(i, stream)), "%s: byte %zu", what, i);
}

static void
expect_all(struct way *w, const char *script)
{
	world_settle(w->s->w);
	expect_bytes(&w->n->got[STREAM_IN], STREAM_IN, w->in, script);
	expect_bytes(&w->c->got[STREAM_OUT], STREAM_OUT, w->out, script);
}

static struct way
open_way(struct stage *s, int type)
{
	struct way w = {.s = s, .type = type};

	if (type == CHANNEL_TYPE_PTY) {
		w.c = world_shell(s->ann, s->node);
	} else if (type == CHANNEL_TYPE_EXEC) {
		w.c = world_exec(s->ann, s->node, "cat");
	} else {
		w.f = world_forward(s->ann, s->node);
		w.nf = s->node->opened;
		w.c = world_connection(w.f, 1);
	}
	w.n = s->node->opened;
	cr_assert(w.c->accepted, "%s", w.c->message);
	return w;
}

/* --- what was recorded ------------------------------------------------------------------------ */

/* The streams of a recording, once its rewinds are applied. */
struct record {
	struct buf streams[STREAMS], notes;
	size_t rewinds;
	bool complete;
};

static void
cut_back(struct buf *b, uint64_t offset)
{
	cr_assert(le(u64, offset, b->len));
	b->len = offset;
}

static void
take_event(struct record *r, const struct event *ev)
{
	struct buf *b = &r->streams[ev->stream];

	if (ev->type == EVENT_REWIND) {
		cut_back(b, ev->offset);
		r->rewinds++;
	}
	if (ev->type == EVENT_DATA || ev->type == EVENT_HIDDEN)
		cr_assert(eq(u64, ev->offset, b->len), "a gap in the recording");
	if (ev->type == EVENT_DATA)
		buf_append(b, ev->bytes, ev->len);
	if (ev->type == EVENT_NOTE)
		buf_printf(&r->notes, "%.*s; ", (int)ev->len, (const char *)ev->bytes);
	for (uint32_t i = 0; ev->type == EVENT_HIDDEN && i < ev->hidden; i++)
		buf_append_byte(b, '?');
}

static void
take_events(struct record *r, const struct msg_bin *events)
{
	struct event ev;
	size_t used;

	for (size_t at = 0; at < events->n; at += used) {
		cr_assert(eq(int,
			event_decode(&ev, (const uint8_t *)events->p + at, events->n - at, &used),
			0));
		take_event(r, &ev);
	}
}

static struct record
read_record(struct stage *s, const char *session)
{
	struct msg_get_recording_request req = {.session_id = session};
	struct msg_get_recording_reply *rep;
	struct record r = {.rewinds = 0};

	for (int i = 0; i < STREAMS; i++)
		buf_init(&r.streams[i], 64 << 20);
	buf_init(&r.notes, 1 << 20);
	do {
		cr_assert(eq(int, world_call(s->admin, OP_get_recording, &req, &rep, NULL), 0));
		take_events(&r, &rep->events);
		req.next_token = rep->next_token;
	} while (rep->next_token != NULL);
	r.complete = rep->complete;
	return r;
}

static void
record_fini(struct record *r)
{
	for (int i = 0; i < STREAMS; i++)
		buf_fini(&r->streams[i]);
	buf_fini(&r->notes);
}

/* What the journal has of the last session's input by now, rewinds applied. When a relay starts it
 * drops what recordings have. */
struct journalled {
	uint64_t session, from; /* bytes begin there */
	bool begun;
	struct buf bytes;
};

/* Where the bytes begin is known, or the first record says so. */
static void
begin_at(struct journalled *j, const struct journal_record *rec)
{
	buf_reset(&j->bytes);
	j->from = rec->offset;
	j->begun = true;
}

static void
take_input(struct journalled *j, const struct journal_record *rec)
{
	if (rec->session != j->session || rec->type == JOURNAL_SESSION_START) {
		j->session = rec->session;
		begin_at(j, &(struct journal_record){.offset = 0});
		j->begun = rec->type == JOURNAL_SESSION_START;
	}
	if (rec->type != JOURNAL_DATA && rec->type != JOURNAL_REWIND)
		return;
	if (!j->begun || (rec->type == JOURNAL_REWIND && rec->offset < j->from))
		begin_at(j, rec);
	if (rec->type == JOURNAL_REWIND) {
		cut_back(&j->bytes, rec->offset - j->from);
		return;
	}
	cr_assert(eq(u64, rec->offset, j->from + j->bytes.len));
	buf_append(&j->bytes, rec->bytes, rec->len);
}

static struct journalled
journalled(struct world *w)
{
	struct journal_reader *r = NULL;
	struct journal_record rec;
	struct secret_key master;
	struct hw_err err = HW_ERR_INIT;
	char dir[128], key[128];
	struct journalled j = {.session = 0};
	jpos end;

	buf_init(&j.bytes, 64 << 20);
	snprintf(dir, sizeof(dir), "%s/journal", w->dir);
	snprintf(key, sizeof(key), "%s/master.key", w->dir);
	cr_assert(eq(int, secret_key_load(&master, key, &err), 0));
	cr_assert(eq(int, journal_reader_open(&r, dir, &master, 0, &err), 0), "%s", err.text);
	while (journal_reader_next(r, &rec, &end, &err) > 0)
		if (rec.stream == STREAM_IN && rec.type != JOURNAL_LEDGER)
			take_input(&j, &rec);
	journal_reader_close(r);
	return j;
}

/* On each message from the relay to the node: what runs there is, as it is, the last copy that was
 * recorded. */
static bool
watch_input(void *arg, uint8_t *p, size_t n)
{
	struct journalled j = journalled(arg);
	struct hw_err err = HW_ERR_INIT;
	struct frame f;
	size_t used;

	for (; n > 0; p += used, n -= used) {
		cr_assert(eq(int, frame_parse(&f, p, n, &used, &err), 0));
		if (f.kind != FRAME_DATA)
			continue;
		cr_assert(ge(u64, f.offset, j.from), "it was not recorded once more");
		cr_assert(le(u64, f.offset + f.body_len, j.from + j.bytes.len),
			"it left before it was recorded");
		cr_assert(eq(int,
				  memcmp(buf_data(&j.bytes) + (f.offset - j.from), f.body,
					  f.body_len),
				  0),
			"something else was recorded");
	}
	buf_fini(&j.bytes);
	return true;
}

/* --- links that come and go ------------------------------------------------------------------- */

static void
user_resumes(struct way *w)
{
	if (w->f != NULL && w->f->parked)
		world_resume(w->f, w->s->ann);
	if (w->c->parked)
		world_resume(w->c, w->s->ann);
}

static void
node_dials(struct way *w)
{
	world_dial(w->s->node);
	if (w->type != CHANNEL_TYPE_CONNECTION)
		pair_tap(w->s->node->pair, PAIR_A, watch_input, w->s->w);
}

/* It comes back, says nothing to RESUME, and goes again. */
static void
node_dials_in_vain(struct way *w)
{
	w->s->node->silent = true;
	world_dial(w->s->node);
	pair_cut(w->s->node->pair, "cut");
	world_settle(w->s->w);
	w->s->node->silent = false;
}

static void
let_all_through(struct stage *s)
{
	for (int side = 0; side < 2; side++) {
		pair_pause(s->ann->pair, side, false);
		pair_pause(s->node->pair, side, false);
	}
}

/* As it is at this moment; another one starts over what it had written. */
static void
kill_relay(struct stage *s)
{
	struct pair *const lines[] = {s->ann->pair, s->node->pair, s->admin->pair};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_kill(s->w, lines, 3, &err), 0), "%s", err.text);
	world_dial(s->admin);
}

/* k: the relay is killed, and started again; all links are gone. u, n: that link is cut. U: the
 * user dials and resumes; R: it resumes. N: the node dials; X: in vain. s: both ends write; w: and
 * nothing of it arrives before what comes next. 1-4: from here on a line is full, in one direction.
 */
static void
step(struct way *w, char what)
{
	struct stage *s = w->s;

	switch (what) {
	case '1':
	case '2':
		pair_pause(s->node->pair, what == '1' ? PAIR_A : PAIR_B, true);
		break;
	case '3':
	case '4':
		pair_pause(s->ann->pair, what == '3' ? PAIR_A : PAIR_B, true);
		break;
	case 'w':
		say(w, 100);
		break;
	case 's':
		say(w, 1000);
		world_settle(s->w);
		break;
	case 'k':
		kill_relay(s);
		break;
	case 'u':
		pair_cut(s->ann->pair, "cut");
		break;
	case 'n':
		pair_cut(s->node->pair, "cut");
		break;
	case 'U':
		world_dial(s->ann);
		/* fall through */
	case 'R':
		let_all_through(s);
		world_settle(s->w);
		user_resumes(w);
		break;
	case 'N':
		node_dials(w);
		break;
	case 'X':
		node_dials_in_vain(w);
		break;
	default:
		cr_fatal("no such step");
	}
	if (what != 'w')
		world_settle(s->w);
}

static void
hang_up(struct world_channel *c)
{
	channel_close(c->ch, &(struct msg_close){.code = ""});
	c->ch = NULL;
	world_settle(c->peer->world);
}

static void
finish(struct way *w)
{
	if (w->f != NULL) {
		hang_up(w->c);
		hang_up(w->f);
	} else {
		world_exit(w->n, 7, NULL);
		cr_assert(w->c->exit_seen);
		cr_assert(eq(i64, w->c->control.exit_status, 7));
		cr_assert(w->c->ended[STREAM_OUT] && w->c->ended[STREAM_ERR]);
		hang_up(w->c);
	}
	cr_assert(w->n->closed, "the node was told of the end");
	cr_assert(eq(ptr, w->n->ch, NULL));
}

static void
expect_recorded(struct way *w, const char *script)
{
	struct record r = read_record(w->s, w->c->session);

	cr_assert(r.complete);
	expect_bytes(&r.streams[STREAM_IN], STREAM_IN, w->in, script);
	expect_bytes(&r.streams[STREAM_OUT], STREAM_OUT, w->out, script);
	record_fini(&r);
}

static void
play(struct stage *s, int type, const char *script)
{
	struct way w = open_way(s, type);

	cr_log_info("%d: %s", type, script);
	if (type != CHANNEL_TYPE_CONNECTION)
		pair_tap(s->node->pair, PAIR_A, watch_input, s->w);
	for (const char *at = script; *at != '\0'; at++)
		step(&w, *at);
	cr_assert(ne(ptr, w.c->ch, NULL), "%s: %s", script, w.c->message);
	expect_all(&w, script);
	say(&w, 500);
	expect_all(&w, script);
	finish(&w);
	if (type != CHANNEL_TYPE_CONNECTION)
		expect_recorded(&w, script);
	pair_tap(s->node->pair, PAIR_A, NULL, NULL);
	expect_nothing_left(s);
}

static const char *const scripts[] = {
	"uU",	/* the user's link */
	"nNR",	/* the node's, which is back first */
	"nRN",	/* or whose user is */
	"unUN", /* both, in either order */
	"unNU",
	"nuUN",
	"nuNU",
	"uUsuU", /* twice */
	"nNRsnRN",
	"uUsnNR",
	"nRuUN", /* while RESUME waits */
	"nRXN",	 /* and the node does not answer before it goes again */
	"nRXuUN",
	"nXNR",
};

static void
play_all(int type)
{
	static const char *const before[] = {"sw", "s1sw", "s2sw", "s3sw", "s4sw"};
	char script[64];

	for (size_t b = 0; b < sizeof(before) / sizeof(before[0]); b++) {
		struct stage s = stage_new(NULL);
		for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
			snprintf(script, sizeof(script), "%s%s", before[b], scripts[i]);
			play(&s, type, script);
		}
		stage_free(&s);
	}
}

Test(resume, a_shell_loses_no_byte)
{
	play_all(CHANNEL_TYPE_PTY);
}

Test(resume, a_command_loses_no_byte)
{
	play_all(CHANNEL_TYPE_EXEC);
}

Test(resume, a_connection_loses_no_byte)
{
	play_all(CHANNEL_TYPE_CONNECTION);
}

/* --- who stays away --------------------------------------------------------------------------- */

static void
cut(struct world_peer *p)
{
	pair_cut(p->pair, "cut");
	world_settle(p->world);
}

static size_t
count_ends(struct stage *s, int outcome, const char *reason)
{
	cr_assert(ge(sz, world_entries_with(s->w, reason), 1), "%s", reason);
	return world_entries(s->w, "session.end", NULL, outcome);
}

static bool
was_ended(const struct world_peer *node, const char *session)
{
	for (size_t i = 0; i < node->n_ends; i++)
		if (strcmp(node->ends[i], session) == 0)
			return true;
	return false;
}

static void
stay_away(int type, int64_t seconds)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, type);
	struct world_channel *kept = w.nf != NULL ? w.nf : w.n;
	char why[128];

	cr_assert(eq(i64, w.c->resume_seconds, w.f != NULL ? 0 : seconds));
	cut(s.ann);
	cr_assert(w.c->parked);
	cr_assert(eq(int, w.n->parked, type != CHANNEL_TYPE_PTY));
	world_advance(s.w, (seconds - 2) * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 0));
	world_advance(s.w, 4 * USEC_PER_SEC);
	snprintf(why, sizeof(why),
		"the user's link was lost, and did not come back within %d seconds", (int)seconds);
	cr_assert(eq(sz, count_ends(&s, OUTCOME_FAILED, why), 1));
	if (type == CHANNEL_TYPE_PTY)
		cr_assert(kept->closed);
	else
		cr_assert(was_ended(s.node, kept->session),
			"one that was interrupted is ended too");
	world_dial(s.ann);
	world_resume(w.f != NULL ? w.f : w.c, s.ann);
	cr_assert(eq(int, (w.f != NULL ? w.f : w.c)->code, HW_EUNAVAILABLE));
	cr_assert_str_eq((w.f != NULL ? w.f : w.c)->message, why);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, OUTCOME_FAILED),
		type == CHANNEL_TYPE_CONNECTION));
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_shells_user_is_waited_for)
{
	stay_away(CHANNEL_TYPE_PTY, 40);
}

Test(resume, a_commands_user_is_waited_for)
{
	stay_away(CHANNEL_TYPE_EXEC, 20);
}

Test(resume, a_forwards_user_is_waited_for)
{
	stay_away(CHANNEL_TYPE_CONNECTION, 20);
}

Test(resume, a_node_is_waited_for_and_told_when_it_comes_late)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC);

	cut(s.node);
	cr_assert(w.c->parked);
	cr_assert(eq(int, w.c->park_code, HW_EINTERRUPTED));
	cr_assert_str_eq(w.c->park_why, "the node's link was lost");
	world_resume(w.c, s.ann);
	cr_assert(not(w.c->resumed), "it waits");
	cr_assert(not(w.c->rejected));
	world_advance(s.w, 18 * USEC_PER_SEC);
	cr_assert(not(w.c->rejected));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(eq(int, w.c->code, HW_EUNAVAILABLE));
	cr_assert_str_eq(w.c->message,
		"the node's link was lost, and did not come back within 20 seconds");
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	world_dial(s.node);
	cr_assert(was_ended(s.node, w.c->session));
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_node_that_does_not_answer_is_not_waited_for_without_end)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	cut(s.node);
	world_resume(w.c, s.ann);
	s.node->silent = true;
	world_dial(s.node);
	world_advance(s.w, 28 * USEC_PER_SEC);
	cr_assert(not(w.c->rejected));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(eq(int, w.c->code, HW_ETIMEOUT), "%s", w.c->message);
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_connection_that_is_not_resumed_ends_and_its_forward_goes_on)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);

	cut(s.ann);
	world_dial(s.ann);
	world_resume(w.f, s.ann);
	cr_assert(w.f->resumed);
	world_advance(s.w, 22 * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, OUTCOME_FAILED), 1));
	world_resume(w.c, s.ann);
	cr_assert(eq(int, w.c->code, HW_ENOSESSION));
	w.c = world_connection(w.f, 2);
	cr_assert(w.c->accepted);
	w.n = s.node->opened;
	w.in = w.out = 0;
	step(&w, 's');
	expect_all(&w, "the next one");
	finish(&w);
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_connection_that_was_resumed_does_not_end_later)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);

	step(&w, 'n');
	step(&w, 'R');
	step(&w, 'X');
	step(&w, 'N');
	cr_assert(w.c->resumed);
	world_advance(s.w, 60 * USEC_PER_SEC);
	step(&w, 's');
	expect_all(&w, "after a minute");
	finish(&w);
	stage_free(&s);
}

Test(resume, a_node_without_the_session_ends_it)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC), p = open_way(&s, CHANNEL_TYPE_PTY);

	cut(s.node);
	world_resume(w.c, s.ann);
	s.node->forgets = true;
	world_dial(s.node);
	cr_assert(eq(int, w.c->code, HW_EUNAVAILABLE));
	cr_assert_not_null(strstr(w.c->message, "agent was started anew"), "%s", w.c->message);
	world_resume(p.c, s.ann);
	cr_assert(eq(int, p.c->code, HW_EUNAVAILABLE));
	cr_assert_not_null(strstr(p.c->message, "agent was started anew"), "%s", p.c->message);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 2));
	expect_nothing_left(&s);
	stage_free(&s);
}

/* Its list has it, and its answer is that there is none. */
Test(resume, a_node_that_rejects_what_it_listed_ends_it)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	cut(s.node);
	world_resume(w.c, s.ann);
	s.node->forgets = true;
	s.node->lists = w.c->session;
	world_dial(s.node);
	cr_assert(eq(int, w.c->code, HW_ENOSESSION));
	cr_assert_str_eq(w.c->message, "there is no such session here");
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_node_learns_nothing_of_sessions_that_are_not_its_own)
{
	struct stage s = stage_new(NULL);
	struct world_peer *other = world_node(s.w, s.admin, "web-02");
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	other->lists = w.c->session;
	world_dial(other);
	cr_assert(eq(sz, other->n_ends, 1));
	cr_assert_str_eq(other->ends[0], w.c->session);
	cut(s.node);
	cut(other);
	world_dial(other);
	cr_assert(eq(sz, other->n_ends, 2));
	cut(other);
	other->lists = "nobody-0123456789abcdef0";
	world_dial(other);
	cr_assert_str_eq(other->ends[2], "nobody-0123456789abcdef0");
	cr_assert(eq(ptr, other->opened, NULL), "it was not asked to resume");
	step(&w, 'N');
	step(&w, 'R');
	step(&w, 's');
	expect_all(&w, "untouched");
	world_peer_free(other);
	stage_free(&s);
}

/* --- a link that is given up for a newer one -------------------------------------------------- */

Test(resume, a_node_that_dials_anew_keeps_its_sessions)
{
	struct stage s = stage_new(NULL);
	struct way p = open_way(&s, CHANNEL_TYPE_PTY), e = open_way(&s, CHANNEL_TYPE_EXEC),
		   t = open_way(&s, CHANNEL_TYPE_CONNECTION);
	struct way *ways[] = {&p, &e, &t};
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < 3; i++)
		step(ways[i], 's');
	cr_assert(eq(int, world_dial_anew(s.node, &err), 0), "%s", err.text);
	for (size_t i = 0; i < 3; i++) {
		user_resumes(ways[i]);
		step(ways[i], 's');
		expect_all(ways[i], "on the new link");
	}
	for (size_t i = 0; i < 3; i++)
		finish(ways[i]);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* Where it stands by its own account. */
static void
stand_of(struct channel_stand ret[STREAMS], const struct way *w)
{
	memset(ret, 0, STREAMS * sizeof(*ret));
	ret[STREAM_IN].sent = w->in;
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		ret[i].received = ret[i].consumed = w->c->got[i].len;
		ret[i].limit = ret[i].consumed + 65536;
	}
}

static struct msg_resume
resume_of(const struct world_channel *c)
{
	return (struct msg_resume){.type = c->type,
		.session_id = c->session,
		.token = c->token,
		.connection = c->connection};
}

static void
move_over(int type)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, type);
	struct world_peer *twin = world_twin(s.ann);
	struct msg_resume who = resume_of(w.c);
	struct channel_stand ours[STREAMS];

	world_dial(twin);
	step(&w, 's');
	stand_of(ours, &w);
	struct world_channel *old = w.c;
	w.c = world_resume_as(twin, &who, ours);
	cr_assert(w.c->resumed, "%s", w.c->message);
	cr_assert(old->parked);
	cr_assert(eq(int, old->park_code, HW_EINTERRUPTED));
	write_on(w.c->ch, STREAM_IN, w.in, 10);
	write_on(w.n->ch, STREAM_OUT, w.out, 10);
	world_settle(s.w);
	expect_bytes(&w.n->got[STREAM_IN], STREAM_IN, w.in + 10, "input");
	cr_assert(eq(sz, w.c->got[STREAM_OUT].len, 10));
	cr_assert(eq(sz, old->got[STREAM_OUT].len, w.out));
	cut(s.ann); /* it has nothing of the session any more */
	write_on(w.n->ch, STREAM_OUT, w.out + 10, 10);
	world_settle(s.w);
	cr_assert(eq(sz, w.c->got[STREAM_OUT].len, 20));
	world_exit(w.n, 0, NULL);
	hang_up(w.c);
	expect_nothing_left(&s);
	world_peer_free(twin);
	stage_free(&s);
}

Test(resume, a_user_moves_to_another_link_while_the_first_is_up)
{
	move_over(CHANNEL_TYPE_PTY);
	move_over(CHANNEL_TYPE_EXEC);
}

/* The connection's RESUME waits for the node, on a link that its forward then leaves. */
Test(resume, connections_do_not_stay_on_a_link_that_their_forward_left)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);
	struct world_peer *twin = world_twin(s.ann);
	struct channel_stand none[STREAMS] = {{.received = 0}};
	struct msg_resume who = resume_of(w.f);

	world_dial(twin);
	step(&w, 's');
	cut(s.ann);
	world_dial(s.ann);
	world_resume(w.f, s.ann);
	s.node->silent = true;
	world_resume(w.c, s.ann);
	cr_assert(w.f->resumed);
	cr_assert(not(w.c->resumed));
	s.node->silent = false;
	struct world_channel *f = world_resume_as(twin, &who, none);
	cr_assert(f->resumed, "%s", f->message);
	cr_assert(w.f->parked);
	cr_assert(w.c->rejected);
	hang_up(f);
	cut(s.ann);
	expect_nothing_left(&s);
	world_peer_free(twin);
	stage_free(&s);
}

Test(resume, the_last_of_several_resumes_counts)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC};

	for (size_t i = 0; i < 2; i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, types[i]);
		struct msg_resume who = resume_of(w.c);
		struct channel_stand ours[STREAMS];

		step(&w, 's');
		step(&w, 'n');
		stand_of(ours, &w);
		struct world_channel *first = world_resume_as(s.ann, &who, ours);
		cr_assert(not(first->rejected));
		step(&w, 'R');
		cr_assert(eq(int, first->code, HW_ECLOSED));
		cr_assert_str_eq(first->message, "the session was resumed once more");
		step(&w, 'N');
		step(&w, 's');
		expect_all(&w, "the second one");
		finish(&w);
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

/* --- who may resume ----------------------------------------------------------------------------
 */

static const struct channel_stand nothing[STREAMS];

static size_t
denials(struct stage *s)
{
	return world_entries(s->w, "decision", "ssm:ResumeSession", OUTCOME_DENIED);
}

/* All are told the same, and each is in the ledger. */
static void
expect_refused(struct stage *s, struct world_peer *by, const struct msg_resume *who)
{
	size_t before = denials(s);
	char sentence[256];

	snprintf(sentence, sizeof(sentence),
		"no live session of %s can be resumed by that id and token", by->who.id);
	struct world_channel *c = world_resume_as(by, who, nothing);
	cr_assert(eq(int, c->code, HW_ENOSESSION));
	cr_assert_str_eq(c->message, sentence);
	cr_assert(eq(sz, denials(s), before + 1));
}

Test(resume, nobody_else_and_nothing_else_is_resumed_and_nothing_is_told_apart)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY), over = open_way(&s, CHANNEL_TYPE_EXEC);
	struct world_peer *mallory = world_new_user(s.admin, "mallory", "rules");
	struct msg_resume good = resume_of(w.c), bad;

	step(&w, 'u');
	world_dial(s.ann);
	expect_refused(&s, mallory, &good);
	bad = good;
	bad.token = "";
	expect_refused(&s, mallory, &bad);
	expect_refused(&s, s.ann, &bad);
	bad.token = NULL;
	expect_refused(&s, s.ann, &bad);
	bad.token = over.c->token;
	expect_refused(&s, s.ann, &bad);
	bad = good;
	bad.type = CHANNEL_TYPE_EXEC;
	expect_refused(&s, s.ann, &bad);
	bad = good;
	bad.session_id = "ann-0123456789abcdef0";
	expect_refused(&s, s.ann, &bad);
	world_do(s.admin, OP_terminate_session,
		&(struct msg_terminate_session_request){.session_id = over.c->session});
	bad = resume_of(over.c);
	expect_refused(&s, mallory, &bad);
	bad.token = good.token;
	expect_refused(&s, s.ann, &bad);
	bad.token = NULL;
	expect_refused(&s, s.ann, &bad);
	cr_assert(eq(sz, world_entries_with(s.w, "the session is another user's"), 2));
	cr_assert(eq(sz, world_entries_with(s.w, "the token is not the session's"), 3));
	cr_assert(eq(sz, world_entries_with(s.w, "there is no such session"), 4));
	size_t before = denials(&s);
	bad = resume_of(over.c);
	struct world_channel *told = world_resume_as(s.ann, &bad, nothing);
	cr_assert(eq(int, told->code, HW_ETERMINATED), "its owner hears how it ended");
	cr_assert(eq(sz, denials(&s), before));
	step(&w, 'R');
	cr_assert(w.c->resumed, "and it is none the worse for it");
	step(&w, 's');
	expect_all(&w, "still hers");
	world_peer_free(mallory);
	stage_free(&s);
}

Test(resume, a_session_that_is_not_live_yet_is_not_resumed)
{
	struct stage s = stage_new(NULL);
	struct msg_start_session_request req = {.target = s.node->who.id};
	struct msg_start_session_reply *rep;
	struct msg_resume who = {.type = CHANNEL_TYPE_PTY};

	cr_assert(eq(int, world_call(s.ann, OP_start_session, &req, &rep, NULL), 0));
	who.session_id = rep->session_id;
	who.token = rep->token_value;
	expect_refused(&s, s.ann, &who); /* its ticket is no token to resume by */
	s.node->silent = true;
	struct world_channel *c =
		world_open(s.ann, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value);
	cr_assert(not(c->accepted));
	expect_refused(&s, s.ann, &who);
	stage_free(&s);
}

Test(resume, who_goes_on_asking_for_what_is_not_there_loses_the_link)
{
	struct stage s = stage_new(NULL);
	struct msg_resume who = {.type = CHANNEL_TYPE_PTY, .session_id = "x", .token = "y"};
	struct world_channel *c = NULL;

	for (int i = 0; i < PEER_REFUSED_MAX && s.ann->up; i++) {
		if (c != NULL)
			world_forget(c);
		c = world_resume_as(s.ann, &who, nothing);
	}
	cr_assert(ne(int, c->code, 0));
	cr_assert(not(s.ann->up));
	cr_assert(eq(int, s.ann->down_code, HW_ELIMIT));
	cr_assert(eq(sz, denials(&s), PEER_REFUSED_MAX));
	stage_free(&s);
}

/* It ends with the reason, told to both sides, and the denial is in the ledger once. */
static void
expect_denied(struct stage *s, const struct way *w)
{
	cr_assert(eq(int, w->c->code, HW_EREVOKED), "%s", w->c->message);
	cr_assert_not_null(strstr(w->c->message, "ann may not ssm:StartSession on"), "%s",
		w->c->message);
	cr_assert(w->n->closed || was_ended(s->node, w->n->session));
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:StartSession", OUTCOME_DENIED), 1));
	cr_assert(eq(sz, world_entries(s->w, "session.end", NULL, OUTCOME_FAILED), 1));
	expect_nothing_left(s);
}

static void
resume_elsewhere(int type)
{
	struct stage s = stage_new(NULL);

	world_put_policy(s.admin, "rules",
		POLICY("{\"Effect\":\"Allow\",\"Action\":\"ssm:*\",\"Resource\":\"*\",\"Condition\":"
		       "{\"IpAddress\":{\"aws:SourceIp\":\"192.0.2.0/24\"}}}"));
	struct way w = open_way(&s, type);
	step(&w, 'u');
	s.ann->source = "198.51.100.9";
	step(&w, 'U');
	expect_denied(&s, &w);
	stage_free(&s);
}

Test(resume, it_is_decided_anew_where_it_comes_from)
{
	resume_elsewhere(CHANNEL_TYPE_PTY);
	resume_elsewhere(CHANNEL_TYPE_EXEC);
}

Test(resume, it_is_recorded_from_where)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 'u');
	s.ann->source = "198.51.100.9";
	step(&w, 'U');
	cr_assert(w.c->resumed);
	finish(&w);
	struct record r = read_record(&s, w.c->session);
	cr_assert_not_null(strstr(buf_str(&r.notes), "resumed from 198.51.100.9;"), "%s",
		buf_str(&r.notes));
	record_fini(&r);
	cr_assert(eq(sz, world_entries_with(s.w, "198.51.100.9"), 2), "link.up and session.end");
	stage_free(&s);
}

Test(resume, a_policy_that_changed_meanwhile_ends_it)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC);

	step(&w, 'u');
	world_put_policy(s.admin, "rules", POLICY(DENY_ALL));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(was_ended(s.node, w.n->session), "nobody waits for the user to ask");
	cr_assert(eq(sz, world_entries(s.w, "decision", "ssm:StartSession", OUTCOME_DENIED), 1));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	expect_nothing_left(&s);
	stage_free(&s);
}

/* In the same turn in which its policies change. */
Test(resume, a_policy_that_has_just_changed_is_the_one_that_counts)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);
	struct msg_resume who = resume_of(w.c);
	struct hw_err err = HW_ERR_INIT;

	step(&w, 'u');
	world_dial(s.ann);
	w.c->parked = w.c->resumed = false;
	cr_assert(eq(int, channel_resume(w.c->ch, s.ann->link, &who, &err), 0));
	world_put_policy(s.admin, "rules", POLICY(DENY_ALL));
	cr_assert(not(w.c->resumed && w.c->ch != NULL));
	world_advance(s.w, 2 * USEC_PER_SEC);
	expect_denied(&s, &w);
	stage_free(&s);
}

Test(resume, a_user_that_is_disabled_while_away_has_nothing_to_come_back_to)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 'u');
	world_do(s.admin, OP_update_user,
		&(struct msg_update_user_request){
			.user_name = "ann", .status = USER_STATUS_DISABLED});
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(w.n->closed);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_node_that_is_removed_while_away_ends_its_sessions)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 'n');
	world_do(s.admin, OP_deregister_managed_instance,
		&(struct msg_deregister_managed_instance_request){.instance_id = s.node->who.id});
	world_advance(s.w, 2 * USEC_PER_SEC);
	step(&w, 'R');
	cr_assert(eq(int, w.c->code, HW_EREVOKED));
	expect_nothing_left(&s);
	stage_free(&s);
}

/* A connection's destination may be denied while the forward may stay. */
Test(resume, a_connection_is_decided_anew_too)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);

	step(&w, 'u');
	world_put_policy(s.admin, "rules",
		POLICY(ALLOW_ALL
			",{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\","
			"\"Condition\":{\"StringEquals\":{\"hawser:RemoteHost\":\"db\"}}}"));
	world_advance(s.w, 2 * USEC_PER_SEC);
	step(&w, 'U');
	cr_assert(eq(int, w.f->code, HW_EREVOKED));
	cr_assert(eq(int, w.c->code, HW_ENOSESSION));
	expect_nothing_left(&s);
	stage_free(&s);
}

/* --- numbers that do not fit -------------------------------------------------------------------
 */

#define HUGE_OFFSET (UINT64_C(1) << 62)

static struct world_channel *
claim_out(struct way *w, uint64_t received, uint64_t consumed, uint64_t limit)
{
	struct msg_resume who = resume_of(w->c);
	struct channel_stand ours[STREAMS];

	stand_of(ours, w);
	ours[STREAM_OUT].received = received;
	ours[STREAM_OUT].consumed = consumed;
	ours[STREAM_OUT].limit = limit;
	return world_resume_as(w->s->ann, &who, ours);
}

static void
claim_what_was_never_sent(int type)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, type);

	step(&w, 's');
	step(&w, 'u');
	world_dial(s.ann);
	struct world_channel *c = claim_out(&w, w.out + 1, 0, HUGE_OFFSET);
	cr_assert(eq(int, c->code, HW_EVALIDATION), "%s", c->message);
	c = claim_out(&w, HUGE_OFFSET, HUGE_OFFSET, HUGE_OFFSET);
	cr_assert(eq(int, c->code, HW_EVALIDATION), "%s", c->message);
	step(&w, 'R');
	cr_assert(w.c->resumed, "who knows better goes on: %s", w.c->message);
	step(&w, 's');
	expect_all(&w, "after a claim");
	finish(&w);
	expect_recorded(&w, "after a claim");
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_user_cannot_have_output_that_was_never_sent)
{
	claim_what_was_never_sent(CHANNEL_TYPE_PTY);
	claim_what_was_never_sent(CHANNEL_TYPE_EXEC);
}

/* What it has consumed by its own word is kept by nobody. */
Test(resume, a_user_that_forgot_what_it_had_does_not_go_on)
{
	struct stage s = stage_new(NULL);
	struct way p = open_way(&s, CHANNEL_TYPE_PTY), e = open_way(&s, CHANNEL_TYPE_EXEC);

	for (int i = 0; i < 200; i++) {
		step(&p, 's');
		step(&e, 's');
	}
	step(&p, 'u');
	world_dial(s.ann);
	struct world_channel *c = claim_out(&p, 0, 0, 65536);
	cr_assert(eq(int, c->code, HW_EVALIDATION), "%s", c->message);
	c = claim_out(&e, 0, 0, 65536);
	cr_assert(eq(int, c->code, HW_EVALIDATION), "%s", c->message);
	cr_assert(eq(sz, world_entries_with(s.w, "stream 1 cannot go on at 0"), 1),
		"the node's word ended the command");
	step(&p, 'R');
	cr_assert(p.c->resumed);
	stage_free(&s);
}

Test(resume, no_limit_is_beyond_the_relays)
{
	struct stage s = stage_new(NULL);
	struct way e = open_way(&s, CHANNEL_TYPE_EXEC), t = open_way(&s, CHANNEL_TYPE_CONNECTION);

	step(&e, 's');
	step(&t, 's');
	step(&e, 'u');
	world_dial(s.ann);
	cr_assert(claim_out(&e, e.out, e.out, HUGE_OFFSET)->resumed);
	world_resume(t.f, s.ann);
	cr_assert(claim_out(&t, t.out, t.out, HUGE_OFFSET)->resumed);
	cr_assert(eq(u64, channel_limit(e.n->ch, STREAM_OUT), e.out + (1 << 20)));
	cr_assert(eq(u64, channel_limit(t.n->ch, STREAM_OUT), t.out + WINDOW_FIRST));
	stage_free(&s);
}

static void
node_claims(struct way *w, const struct world_claim *claim)
{
	step(w, 'n');
	w->s->node->claim = claim;
	w->s->node->lists = (w->f != NULL ? w->f : w->c)->session;
	step(w, 'R');
	step(w, 'N');
}

static void
expect_node_refused(int type, const struct world_claim *claim, const char *why)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, type);

	step(&w, 's');
	node_claims(&w, claim);
	cr_assert(eq(int, w.c->code, HW_EPROTO), "%s", w.c->message);
	cr_assert_str_eq(w.c->message, why);
	cr_assert(s.node->opened->closed, "it was told");
	cr_assert(ge(sz, world_entries_with(s.w, why), 1));
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_node_cannot_have_input_that_was_never_sent)
{
	static const struct world_claim one =
						{
							.stands[STREAM_IN] = {.received = 1001,
									      .limit = 1 << 20}
	 },
					huge = {.stands[STREAM_IN] = {.received = HUGE_OFFSET,
							.limit = HUGE_OFFSET}};
	const char *why = "the node says that it has input which was never sent to it";

	expect_node_refused(CHANNEL_TYPE_PTY, &one, why);
	expect_node_refused(CHANNEL_TYPE_EXEC, &one, why);
	expect_node_refused(CHANNEL_TYPE_PTY, &huge, why);
	expect_node_refused(CHANNEL_TYPE_EXEC, &huge, why);
}

/* Its recording would tell that it never ran. */
Test(resume, a_node_cannot_give_back_input_that_it_took)
{
	static const struct world_claim less = {
		.stands[STREAM_IN] = {.received = 999, .limit = 1 << 20}
	};
	const char *why = "the node says that it has not got input which it has taken before";

	expect_node_refused(CHANNEL_TYPE_PTY, &less, why);
	expect_node_refused(CHANNEL_TYPE_EXEC, &less, why);
}

/* What it had and had not consumed it may have lost. */
Test(resume, a_node_that_has_less_gets_it_again)
{
	static const struct world_claim less = {
		.stands[STREAM_IN] = {.received = 400, .limit = 1 << 20}
	};
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC);

	s.node->stopped = true;
	w.in += write_on(w.c->ch, STREAM_IN, 0, 1000);
	world_settle(s.w);
	node_claims(&w, &less);
	cr_assert(w.c->resumed, "%s", w.c->message);
	cr_assert(eq(sz, s.node->opened->got[STREAM_IN].len, 600));
	world_exit(s.node->opened, 0, NULL);
	hang_up(w.c);
	struct record r = read_record(&s, w.c->session);
	cr_assert(eq(sz, r.rewinds, 1));
	cr_assert(eq(sz, r.streams[STREAM_IN].len, 1000));
	record_fini(&r);
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_node_cannot_answer_for_another_session)
{
	static const struct world_claim other = {
		.stands[STREAM_IN] = {.received = 1000, .limit = 1 << 20},
		.session = "ann-0123456789abcdef0"
	  };

	expect_node_refused(CHANNEL_TYPE_PTY, &other, "the node resumed another session");
	expect_node_refused(CHANNEL_TYPE_EXEC, &other, "the node resumed another session");
}

/* Its entries would have negative sizes, which cannot be written. */
Test(resume, no_end_of_a_connection_can_claim_what_never_came)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);

	step(&w, 's');
	step(&w, 'u');
	world_dial(s.ann);
	world_resume(w.f, s.ann);
	s.node->claim = &(struct world_claim){
		.stands[STREAM_IN] = {.received = HUGE_OFFSET, .limit = HUGE_OFFSET}
	    };
	struct world_channel *c = claim_out(&w, HUGE_OFFSET, 0, HUGE_OFFSET);
	cr_assert(eq(int, c->code, HW_EPROTO), "%s", c->message);
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, OUTCOME_FAILED), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "\"BytesIn\":1000,\"BytesOut\":1000"), 1));
	hang_up(w.f);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* By its number it finds one that an earlier relay had opened to somewhere else. */
Test(resume, a_node_cannot_go_on_with_a_connection_to_elsewhere)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);

	step(&w, 's');
	step(&w, 'u');
	s.node->claim = &(struct world_claim){
		.stands[STREAM_IN] = {.received = 1000, .limit = 1 << 20},
		   .host = "elsewhere"
	      };
	step(&w, 'U');
	cr_assert(eq(int, w.c->code, HW_EPROTO), "%s", w.c->message);
	hang_up(w.f);
	expect_nothing_left(&s);
	stage_free(&s);
}

static const struct msg_session *
in_store(struct stage *s, const char *id)
{
	struct msg_describe_sessions_request req = {.state = SESSION_STATE_HISTORY};
	struct msg_describe_sessions_reply *rep;

	cr_assert(eq(int, world_call(s->admin, OP_describe_sessions, &req, &rep, NULL), 0));
	for (size_t i = 0; i < rep->sessions.n; i++)
		if (strcmp(rep->sessions.v[i].session_id, id) == 0)
			return &rep->sessions.v[i];
	cr_fatal("%s is not in the store", id);
}

Test(resume, bytes_that_are_sent_again_count_once)
{
	struct stage s = stage_new(NULL);
	struct way t = open_way(&s, CHANNEL_TYPE_CONNECTION), e = open_way(&s, CHANNEL_TYPE_EXEC);

	for (const char *at = "s13wuUs"; *at != '\0'; at++) {
		step(&t, *at);
		if (*at == 'w')
			step(&e, 's');
	}
	step(&e, 'R');
	expect_all(&t, "sent again");
	expect_all(&e, "sent again");
	finish(&e);
	finish(&t);
	cr_assert(eq(sz, world_entries_with(s.w, "\"BytesIn\":2100,\"BytesOut\":2100"), 1));
	cr_assert(eq(sz, in_store(&s, e.c->session)->bytes_in, e.in));
	cr_assert(eq(sz, in_store(&s, e.c->session)->bytes_out, e.out));
	stage_free(&s);
}

Test(resume, a_forward_has_no_bytes_of_its_own_afterwards_either)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);
	struct msg_resume who = resume_of(w.f);
	struct channel_stand ours[STREAMS] = {
		{.received = 5, .limit = 1 << 20, .sent = 9},
		{.received = 7, .limit = 1 << 20, .sent = 9}
	    };

	step(&w, 'n');
	s.node->claim = &(struct world_claim){
		.stands = {{.received = 3, .limit = 1 << 20}, {.received = 4, .limit = 1 << 20}}
	};
	struct world_channel *f = world_resume_as(s.ann, &who, ours);
	step(&w, 'N');
	cr_assert(f->resumed, "%s", f->message);
	for (int i = 0; i < STREAMS; i++) {
		cr_assert(eq(sz, channel_room(f->ch, i), 0), "%d", i);
		cr_assert(eq(sz, channel_room(s.node->opened->ch, i), 0), "%d", i);
	}
	stage_free(&s);
}

Test(resume, a_connections_number_is_never_used_again)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_CONNECTION);

	struct world_channel *same = world_connection(w.f, 1);
	cr_assert(eq(int, same->code, HW_EVALIDATION));
	cr_assert_str_eq(same->message, "Connection: 1 comes after 1");
	cr_assert(world_connection(w.f, 7)->accepted);
	cr_assert(eq(int, world_connection(w.f, 6)->code, HW_EVALIDATION));
	hang_up(w.c);
	cr_assert(eq(int, world_connection(w.f, 1)->code, HW_EVALIDATION), "nor when it is over");
	hang_up(w.f);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* --- what looks like a lost link ----------------------------------------------------------------
 */

/* A peer may put any code into a CLOSE. */
Test(resume, a_close_is_an_end_whatever_its_code_says)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC, CHANNEL_TYPE_CONNECTION};

	for (size_t i = 0; i < 3; i++) {
		for (int by_node = 0; by_node < 2; by_node++) {
			struct stage s = stage_new(NULL);
			struct way w = open_way(&s, types[i]);
			struct world_channel *end = by_node ? w.n : w.c,
					     *other = by_node ? w.c : w.n;
			channel_abort(end->ch, HW_EUNAVAILABLE, "gone, so to speak");
			end->ch = NULL;
			write_on(other->ch, by_node ? STREAM_IN : STREAM_OUT, 0, 100);
			world_settle(s.w);
			cr_assert(other->closed);
			cr_assert(not(other->parked));
			if (w.f != NULL)
				hang_up(w.f);
			expect_nothing_left(&s);
			stage_free(&s);
		}
	}
}

Test(resume, a_resume_can_be_taken_back)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC, CHANNEL_TYPE_CONNECTION};

	for (size_t i = 0; i < 3; i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, types[i]);
		step(&w, 'n');
		step(&w, 'R');
		channel_abort(w.c->ch, HW_EUNAVAILABLE, "never mind");
		w.c->ch = NULL;
		step(&w, 'N');
		if (w.f != NULL)
			hang_up(w.f);
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

/* One that interrupts a shell leaves it, as on a link that is lost. */
Test(resume, a_user_may_let_go_of_a_shell_and_take_it_up_on_the_same_link)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	channel_interrupt(w.c->ch, "for a while");
	w.c->parked = true;
	step(&w, 's');
	cr_assert(not(w.n->parked));
	step(&w, 'R');
	cr_assert(w.c->resumed);
	step(&w, 's');
	expect_all(&w, "again");
	finish(&w);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* Each costs a decision, and lines of the journal. */
Test(resume, resumes_without_end_end_it)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);
	struct msg_resume who = resume_of(w.c);

	struct world_channel *c = NULL, *before;
	for (int i = 0; i < 1001 && w.n->ch != NULL; i++) {
		before = c;
		c = world_resume_as(s.ann, &who, nothing);
		if (before != NULL) /* which the later one has taken the place of */
			world_forget(before);
	}
	cr_assert(w.n->closed);
	cr_assert(eq(int, w.n->code, HW_ELIMIT), "%s", w.n->message);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* --- a shell without its user -------------------------------------------------------------------
 */

static size_t
write_until_full(struct way *w)
{
	size_t before = w->out, n;

	do {
		n = w->out;
		w->out += write_on(w->n->ch, STREAM_OUT, w->out, 4096);
		world_settle(w->s->w);
	} while (w->out > n && w->out - before < (8 << 20));
	return w->out - before;
}

/* A node of an older version has no screen to show: it is asked, and passed by after a while. */
#define NO_SCREEN (3 * USEC_PER_SEC)

/* The terminal missed so much, and is told. */
static void
expect_jump(const struct world_channel *c, size_t missed)
{
	char said[64];

	snprintf(said, sizeof(said), "%zu bytes of output were not shown", missed);
	cr_assert_not_null(strstr(c->notice, said), "%s", c->notice);
	cr_assert(eq(u64, c->jumped, missed));
}

Test(resume, a_shell_writes_on_without_its_user)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, 'u');
	cr_assert(ge(sz, write_until_full(&w), 700 * 1024),
		"a user that comes back misses nothing");
	world_advance(s.w, 7 * USEC_PER_SEC);
	cr_assert(ge(sz, write_until_full(&w), 8 << 20), "and nothing stops it");
	step(&w, 'U');
	cr_assert(not(w.c->resumed));
	world_advance(s.w, NO_SCREEN);
	cr_assert(w.c->resumed);
	size_t missed = w.out - 1000;
	expect_jump(w.c, missed);
	say(&w, 100);
	world_settle(s.w);
	const struct buf *shown = &w.c->got[STREAM_OUT];
	cr_assert(eq(sz, shown->len, 1100), "what comes now is shown");
	for (size_t i = 0; i < shown->len; i++)
		cr_assert(eq(u8, buf_data(shown)[i],
				  byte_at(i < 1000 ? i : i + missed, STREAM_OUT)),
			"byte %zu", i);
	finish(&w);
	struct record r = read_record(&s, w.c->session);
	expect_bytes(&r.streams[STREAM_OUT], STREAM_OUT, w.out, "the recording has all");
	record_fini(&r);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* What was on its way is not shown either, and the user hears of all of it. */
Test(resume, what_was_on_its_way_before_a_jump_is_counted)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	pair_pause(s.ann->pair, PAIR_A, true);
	step(&w, 's');
	step(&w, 'u');
	write_until_full(&w);
	world_advance(s.w, 7 * USEC_PER_SEC);
	write_until_full(&w);
	step(&w, 'U');
	world_advance(s.w, NO_SCREEN);
	expect_jump(w.c, w.out - 1000);
	finish(&w);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* The link goes again before the answer that tells of the jump has arrived. */
Test(resume, a_jump_whose_answer_is_lost_is_made_once_more)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);
	struct hw_err err = HW_ERR_INIT;

	step(&w, 's');
	step(&w, 'u');
	write_until_full(&w);
	world_advance(s.w, 7 * USEC_PER_SEC);
	write_until_full(&w);
	world_dial(s.ann);
	pair_pause(s.ann->pair, PAIR_A, true);
	const struct msg_resume who = resume_of(w.c);
	w.c->resumed = w.c->parked = false;
	cr_assert(eq(int, channel_resume(w.c->ch, s.ann->link, &who, &err), 0));
	world_settle(s.w);
	cr_assert(not(w.c->resumed));
	world_advance(s.w, NO_SCREEN);
	step(&w, 'u');
	step(&w, 'U');
	world_advance(s.w, NO_SCREEN);
	cr_assert(w.c->resumed, "%s", w.c->message);
	cr_assert(eq(u64, w.c->jumped, w.out - 1000));
	say(&w, 100);
	world_settle(s.w);
	cr_assert(eq(sz, w.c->got[STREAM_OUT].len, 1100));
	finish(&w);
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, what_a_shell_wrote_meanwhile_is_shown)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, 'u');
	for (int i = 0; i < 400; i++)
		step(&w, 's');
	world_advance(s.w, 60 * USEC_PER_SEC);
	step(&w, 'U');
	expect_all(&w, "all of it");
	finish(&w);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* Whoever allows any number, and takes all without a word, makes the relay keep all of it. */
Test(resume, what_is_kept_of_a_shells_output_is_bounded)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	w.c->hold = true;
	channel_credit(w.c->ch, STREAM_OUT, 0, HUGE_OFFSET, ECHO_UNKNOWN);
	world_settle(s.w);
	write_until_full(&w);
	cr_assert(le(sz, w.c->got[STREAM_OUT].len, 1 << 20));
	for (int i = 0; i < 4; i++) {
		channel_credit(w.c->ch, STREAM_OUT, w.c->got[STREAM_OUT].len, HUGE_OFFSET,
			ECHO_UNKNOWN);
		world_settle(s.w);
	}
	expect_all(&w, "it goes on when that is consumed");
	stage_free(&s);
}

Test(resume, a_shell_has_the_size_of_the_terminal_it_is_taken_up_on)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 'u');
	step(&w, 'U');
	cr_assert(eq(int, w.n->control.type, CONTROL_RESIZE));
	cr_assert(eq(i64, w.n->control.cols, 100));
	cr_assert(eq(i64, w.n->control.rows, 40));
	channel_control(w.c->ch,
		&(struct msg_control){.type = CONTROL_RESIZE, .cols = 132, .rows = 43});
	world_settle(s.w);
	step(&w, 'n');
	w.n->control.cols = 0;
	step(&w, 'N');
	cr_assert(eq(i64, w.n->control.cols, 0), "an old size is not told again");
	step(&w, 'R');
	cr_assert(eq(i64, w.n->control.cols, 100));
	stage_free(&s);
}

/* --- recording ----------------------------------------------------------------------------------
 */

/* The user sends again what had not run, and sends something else. */
static void
send_other_bytes(int type)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, type);
	struct msg_resume who = resume_of(w.c);
	struct channel_stand ours[STREAMS];

	pair_tap(s.node->pair, PAIR_A, watch_input, s.w);
	cr_assert(eq(sz, channel_write(w.c->ch, STREAM_IN, "ls ", 3), 3));
	world_settle(s.w);
	pair_pause(s.node->pair, PAIR_A, true);
	cr_assert(eq(sz, channel_write(w.c->ch, STREAM_IN, "-l\r", 3), 3));
	world_settle(s.w);
	step(&w, 'n');
	step(&w, 'u');
	world_dial(s.ann);
	w.in = 6;
	stand_of(ours, &w);
	node_dials(&w);
	w.c = world_resume_as(s.ann, &who, ours);
	cr_assert(w.c->resumed, "%s", w.c->message);
	cr_assert(eq(u64, channel_sent(w.c->ch, STREAM_IN), 3));
	cr_assert(eq(sz, channel_write(w.c->ch, STREAM_IN, "/;id\r", 5), 5));
	world_settle(s.w);
	cr_assert_str_eq(buf_str(&w.n->got[STREAM_IN]), "ls /;id\r");
	finish(&w);
	struct record r = read_record(&s, w.c->session);
	cr_assert_str_eq(buf_str(&r.streams[STREAM_IN]), "ls /;id\r");
	cr_assert(eq(sz, r.rewinds, 1));
	record_fini(&r);
	stage_free(&s);
}

Test(resume, who_sends_other_bytes_again_is_recorded_with_what_ran)
{
	send_other_bytes(CHANNEL_TYPE_PTY);
	send_other_bytes(CHANNEL_TYPE_EXEC);
}

Test(resume, with_durability_sync_too_all_that_runs_is_on_disk_first)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC};
	struct stage s = stage_new("durability = sync\n");

	for (size_t i = 0; i < 2; i++) {
		play(&s, types[i], "sws1swnNRs");
		play(&s, types[i], "sw4swunUNs");
		play(&s, types[i], "swnRuUXNs");
	}
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);
	step(&w, 's');
	step(&w, 'u');
	s.w->fail_syncs = EIO;
	step(&w, 'U');
	size_t before = w.n->got[STREAM_IN].len;
	say(&w, 100);
	world_settle(s.w);
	cr_assert(eq(sz, w.n->got[STREAM_IN].len, before));
	stage_free(&s);
}

Test(resume, nothing_is_resumed_that_cannot_be_recorded)
{
	struct stage s = stage_new(SHORT);
	struct way p = open_way(&s, CHANNEL_TYPE_PTY), e = open_way(&s, CHANNEL_TYPE_EXEC),
		   t = open_way(&s, CHANNEL_TYPE_CONNECTION);
	struct hw_err err = HW_ERR_INIT;

	step(&p, 's');
	pair_pause(s.node->pair, PAIR_A, true);
	step(&p, 's');
	step(&e, 's');
	step(&p, 'n');
	step(&e, 'R'); /* waits for the node */
	s.w->fail_writes = ENOSPC;
	relay_before_write(s.w->relay);
	world_dial(s.node);
	cr_assert(not(e.c->resumed));
	size_t had = e.n->got[STREAM_IN].len;
	user_resumes(&p);
	user_resumes(&t);
	cr_assert(not(p.c->resumed));
	cr_assert(ne(ptr, p.c->ch, NULL), "it ended before its grace: %s", p.c->message);
	cr_assert(ne(ptr, t.f->ch, NULL), "it ended before its grace: %s", t.f->message);
	world_advance(s.w, 7 * USEC_PER_SEC);
	cr_assert(eq(int, p.c->code, HW_ERECORD), "%s", p.c->message);
	cr_assert(eq(int, e.c->code, HW_ERECORD), "%s", e.c->message);
	cr_assert(eq(sz, e.n->got[STREAM_IN].len, had));
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	s.w->fail_writes = 0;
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	world_dial(s.admin);
	expect_nothing_left(&s);
	stage_free(&s);
}

/* Who comes back to a relay that cannot record is not sent away: the next process of the relay goes
 * on with it. */
Test(resume, who_comes_while_nothing_can_be_recorded_waits_for_the_next_relay)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC, CHANNEL_TYPE_CONNECTION};

	for (size_t i = 0; i < 3; i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, types[i]);
		step(&w, 's');
		s.w->fail_writes = ENOSPC;
		say(&w, 100);
		world_settle(s.w);
		relay_before_write(s.w->relay);
		step(&w, 'u');
		step(&w, 'U');
		cr_assert(ne(ptr, w.c->ch, NULL), "%s", w.c->message);
		s.w->fail_writes = 0;
		step(&w, 'k');
		step(&w, 'N');
		step(&w, 'U');
		step(&w, 's');
		expect_all(&w, "after a full disk");
		finish(&w);
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

/* The disk fails between the node's answer and the mark that it needs. */
Test(resume, a_rewind_that_cannot_be_recorded_lets_nothing_on)
{
	struct stage s = stage_new(SHORT);
	struct way e = open_way(&s, CHANNEL_TYPE_EXEC);

	step(&e, 's');
	pair_pause(s.node->pair, PAIR_A, true);
	step(&e, 's');
	step(&e, 'n');
	step(&e, 'N');
	s.w->fail_writes = ENOSPC;
	size_t had = e.n->got[STREAM_IN].len;
	step(&e, 'R');
	say(&e, 100);
	world_settle(s.w);
	cr_assert(eq(sz, e.n->got[STREAM_IN].len, had));
	world_advance(s.w, 7 * USEC_PER_SEC);
	cr_assert(eq(ptr, e.c->ch, NULL));
	cr_assert(eq(int, e.c->code, HW_ERECORD), "%s", e.c->message);
	stage_free(&s);
}

/* --- how a program ends -------------------------------------------------------------------------
 */

static void
expect_exit(struct stage *s, const struct way *w, int status, const char *details)
{
	const struct msg_session *row = in_store(s, w->c->session);

	cr_assert(row->exited);
	cr_assert(eq(i64, row->exit_status, status));
	cr_assert_str_eq(row->details, details);
	cr_assert(eq(int, row->status, SESSION_STATUS_TERMINATED));
	cr_assert(eq(sz, world_entries(s->w, "session.end", NULL, OUTCOME_OK), 1));
	cr_assert(eq(sz, world_entries_with(s->w, details), 1));
	expect_nothing_left(s);
}

Test(resume, an_exit_is_told_and_its_user_closes)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC};

	for (size_t i = 0; i < 2; i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, types[i]);
		step(&w, 's');
		finish(&w);
		expect_exit(&s, &w, 7, "exit status 7");
		stage_free(&s);
	}
}

Test(resume, a_signal_is_told_too)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC);

	world_exit(w.n, 137, "KILL");
	cr_assert_str_eq(w.c->control.signal, "KILL");
	world_exit(w.n, 0, NULL); /* the first word counts */
	hang_up(w.c);
	expect_exit(&s, &w, 137, "ended by signal KILL");
	stage_free(&s);
}

Test(resume, a_node_that_closes_after_all_does_not_undo_it)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC);

	world_exit(w.n, 2, NULL);
	channel_close(w.n->ch, &(struct msg_close){.code = ""});
	w.n->ch = NULL;
	world_settle(s.w);
	cr_assert(w.c->closed && w.c->exited);
	cr_assert(eq(int, w.c->exit_status, 2));
	expect_exit(&s, &w, 2, "exit status 2");
	stage_free(&s);
}

Test(resume, who_never_closes_is_closed)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_EXEC);

	step(&w, 's');
	world_exit(w.n, 3, NULL);
	world_advance(s.w, 8 * USEC_PER_SEC);
	cr_assert(not(w.c->closed));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(w.c->closed && w.c->exited);
	cr_assert(eq(int, w.c->exit_status, 3));
	cr_assert(eq(int, w.c->code, 0));
	expect_all(&w, "all of it");
	expect_exit(&s, &w, 3, "exit status 3");
	stage_free(&s);
}

static void
exit_while_away(int type)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, type);

	step(&w, 's');
	step(&w, 'u');
	world_exit(w.n, 4, NULL);
	world_advance(s.w, 15 * USEC_PER_SEC);
	step(&w, 'U');
	cr_assert(w.c->resumed, "%s", w.c->message);
	if (type == CHANNEL_TYPE_EXEC)
		world_exit(w.n, 4, NULL); /* its node had nobody to tell */
	cr_assert(w.c->exit_seen);
	cr_assert(eq(i64, w.c->control.exit_status, 4));
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(not(w.c->closed), "it has its time from now on");
	expect_all(&w, "all of it");
	cr_assert(w.c->ended[STREAM_OUT]);
	cr_assert(w.c->ended[STREAM_ERR]);
	hang_up(w.c);
	expect_exit(&s, &w, 4, "exit status 4");
	stage_free(&s);
}

Test(resume, an_exit_waits_for_its_user)
{
	exit_while_away(CHANNEL_TYPE_PTY);
	exit_while_away(CHANNEL_TYPE_EXEC);
}

/* For as long after the exit as others are waited for. */
Test(resume, a_shell_that_ended_alone_is_kept_for_a_while)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, 'u');
	world_advance(s.w, 30 * USEC_PER_SEC);
	world_exit(w.n, 5, NULL);
	world_advance(s.w, 18 * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 0));
	world_advance(s.w, 4 * USEC_PER_SEC);
	expect_exit(&s, &w, 5, "exit status 5");
	stage_free(&s);
}

Test(resume, what_a_shell_left_is_shown_without_its_node)
{
	struct stage s = stage_new(SHORT);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, 'u');
	write_until_full(&w);
	world_exit(w.n, 6, NULL);
	step(&w, 'n');
	s.node->forgets = true;
	step(&w, 'N');
	step(&w, 'U');
	cr_assert(w.c->resumed, "%s", w.c->message);
	expect_bytes(&w.c->got[STREAM_OUT], STREAM_OUT, w.out, "its last words");
	cr_assert(w.c->exit_seen && w.c->ended[STREAM_OUT]);
	channel_write(w.c->ch, STREAM_IN, "typed at nobody", 15);
	world_settle(s.w);
	hang_up(w.c);
	expect_exit(&s, &w, 6, "exit status 6");
	stage_free(&s);
}

/* As agents did before. */
Test(resume, a_node_that_closes_while_its_user_is_away_ends_it)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, 'u');
	say(&w, 100);
	channel_close(w.n->ch, &(struct msg_close){.exited = true, .exit_status = 9});
	w.n->ch = NULL;
	world_settle(s.w);
	expect_exit(&s, &w, 9, "exit status 9");
	stage_free(&s);
}

/* --- what is counted ----------------------------------------------------------------------------
 */

Test(resume, sessions_that_wait_count)
{
	struct stage s = stage_new("max_sessions_per_user = 2\n" SHORT);
	struct way a = open_way(&s, CHANNEL_TYPE_PTY), b = open_way(&s, CHANNEL_TYPE_EXEC);

	step(&a, 'u');
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 2));
	world_dial(s.ann);
	struct world_channel *c = world_shell(s.ann, s.node);
	cr_assert(eq(int, c->code, HW_ELIMIT));
	cr_assert_str_eq(c->message, "ann has 2 sessions open, and no more are allowed");
	user_resumes(&a);
	user_resumes(&b);
	c = world_shell(s.ann, s.node);
	cr_assert(eq(int, c->code, HW_ELIMIT));
	finish(&b);
	c = world_shell(s.ann, s.node);
	cr_assert(c->accepted);
	hang_up(c);
	step(&a, 'n');
	world_advance(s.w, 42 * USEC_PER_SEC);
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_relay_that_stops_keeps_those_that_wait)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);
	struct hw_err err = HW_ERR_INIT;

	step(&w, 's');
	step(&w, 'u');
	step(&w, 'n');
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	world_dial(s.admin);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	world_dial(s.node);
	cr_assert(not(was_ended(s.node, w.n->session)));
	step(&w, 'U');
	cr_assert(w.c->resumed, "%s", w.c->message);
	step(&w, 's');
	expect_all(&w, "after a stop");
	finish(&w);
	expect_recorded(&w, "after a stop");
	expect_nothing_left(&s);
	stage_free(&s);
}

/* --- a node that lies --------------------------------------------------------------------------
 */

/* The recording says who typed what: its node has no say in that. */
Test(resume, what_a_node_says_is_input_is_nobodys)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC};

	for (size_t i = 0; i < 2; i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, types[i]);
		step(&w, 's');
		cr_assert(gt(sz, channel_write(w.n->ch, STREAM_IN, "rm -rf", 6), 0));
		channel_end(w.n->ch, STREAM_IN);
		step(&w, 's');
		expect_all(&w, "what was typed");
		cr_assert(eq(sz, w.c->got[STREAM_IN].len, 0));
		cr_assert(not(w.c->ended[STREAM_IN]));
		step(&w, 'n');
		step(&w, 'N');
		step(&w, 'R');
		step(&w, 's');
		expect_all(&w, "and goes on");
		finish(&w);
		expect_recorded(&w, "what was typed");
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

/* --- a relay that is killed ---------------------------------------------------------------------
 */

/* What was under way in either direction, and recorded or not, is once at each end. */
static void
play_killed(int type)
{
	static const char *const lives[] = {
		"kUN",	   /* the user is back first */
		"kNU",	   /* or the node */
		"kUNskNU", /* twice */
		"kkUN",	   /* and before anybody was back */
		"kNkUN",
		"kUkNU", /* while RESUME waits */
		"nkNU",
		"ukNU",
		"kUNsuU",
		"kUNsnNR",
	};
	static const char *const before[] = {"sw", "s1sw", "s2sw", "s3sw", "s4sw"};
	char script[64];

	for (size_t b = 0; b < sizeof(before) / sizeof(before[0]); b++) {
		struct stage s = stage_new(NULL);
		for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
			snprintf(script, sizeof(script), "%s%s", before[b], lives[i]);
			play(&s, type, script);
		}
		stage_free(&s);
	}
}

Test(resume, a_shell_outlives_a_killed_relay)
{
	play_killed(CHANNEL_TYPE_PTY);
}

Test(resume, a_command_outlives_a_killed_relay)
{
	play_killed(CHANNEL_TYPE_EXEC);
}

Test(resume, a_connection_outlives_a_killed_relay)
{
	play_killed(CHANNEL_TYPE_CONNECTION);
}

/* What it had recorded, and its user was not shown, is nobody's by then. */
Test(resume, a_shell_goes_on_alone_when_its_user_is_late_for_a_new_relay)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, '3');
	step(&w, 's');
	step(&w, 'k');
	step(&w, 'N');
	cr_assert(w.n->parked, "its user may still come");
	world_advance(s.w, 7 * USEC_PER_SEC);
	cr_assert(not(w.n->parked), "it goes on alone");
	w.out += write_on(w.n->ch, STREAM_OUT, w.out, 100);
	world_settle(s.w);
	step(&w, 'U');
	world_advance(s.w, NO_SCREEN);
	cr_assert(w.c->resumed, "%s", w.c->message);
	expect_jump(w.c, 1000);
	say(&w, 100);
	world_settle(s.w);
	const struct buf *shown = &w.c->got[STREAM_OUT];
	cr_assert(eq(sz, shown->len, 1200));
	for (size_t i = 1000; i < shown->len; i++)
		cr_assert(eq(u8, buf_data(shown)[i], byte_at(i + 1000, STREAM_OUT)));
	expect_bytes(&w.n->got[STREAM_IN], STREAM_IN, w.in, "input");
	finish(&w);
	expect_recorded(&w, "alone");
	expect_nothing_left(&s);
	stage_free(&s);
}

/* Nobody has that any more but the recording: the shell goes on with what comes. */
Test(resume, what_its_node_has_no_more_is_passed_by_after_a_restart)
{
	static const char *const lives[] = {"kUN", "kNU", "kkNU"};

	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, CHANNEL_TYPE_PTY);
		step(&w, 's');
		step(&w, 'u');
		write_until_full(&w);
		world_advance(s.w, 7 * USEC_PER_SEC);
		write_until_full(&w);
		for (const char *at = lives[i]; *at != '\0'; at++)
			step(&w, *at);
		world_advance(s.w, NO_SCREEN);
		cr_assert(w.c->resumed, "%s: %s", lives[i], w.c->message);
		expect_jump(w.c, w.out - 1000);
		say(&w, 100);
		world_settle(s.w);
		cr_assert(eq(sz, w.c->got[STREAM_OUT].len, 1100));
		finish(&w);
		expect_recorded(&w, lives[i]);
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

/* The node was asked, and the user who has less is gone before the answer. */
static void
ask_for_who_goes(struct way *w)
{
	struct stage *s = w->s;

	step(w, 'k');
	step(w, 'N');
	pair_pause(s->node->pair, PAIR_B, true);
	world_dial(s->ann);
	world_settle(s->w);
	user_resumes(w);
	cr_assert(not(w->c->resumed));
	step(w, 'u');
	pair_pause(s->node->pair, PAIR_B, false);
	world_settle(s->w);
}

Test(resume, output_is_recorded_once_though_who_it_is_sent_to_again_is_gone)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, '3');
	step(&w, 's');
	ask_for_who_goes(&w);
	cr_assert(not(w.n->parked));
	step(&w, 'U');
	cr_assert(w.c->resumed, "%s", w.c->message);
	step(&w, 's');
	expect_all(&w, "once");
	finish(&w);
	expect_recorded(&w, "once");
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, a_refusal_that_was_another_users_ends_nothing)
{
	struct stage s = stage_new(NULL);
	struct way w = open_way(&s, CHANNEL_TYPE_PTY);

	step(&w, 's');
	step(&w, 'u');
	write_until_full(&w);
	world_advance(s.w, 7 * USEC_PER_SEC);
	write_until_full(&w);
	ask_for_who_goes(&w);
	step(&w, 'U');
	world_advance(s.w, 7 * USEC_PER_SEC + NO_SCREEN);
	cr_assert(w.c->resumed, "%s", w.c->message);
	expect_jump(w.c, w.out - 1000);
	finish(&w);
	expect_recorded(&w, "after a refusal");
	expect_nothing_left(&s);
	stage_free(&s);
}

/* What was typed without an echo just before a link went is not shown by what is typed after it;
 * what was shown stays readable. */
Test(resume, the_echo_of_what_was_typed_before_is_not_that_of_what_comes)
{
	static const char *const lives[] = {"2sneNR", "2skeNU", "2skeUN", "2suneNU", "2sukeNU"};

	for (size_t i = 0; i < 2 * sizeof(lives) / sizeof(lives[0]); i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, CHANNEL_TYPE_PTY);
		bool hides = i % 2 == 0;
		step(&w, 's');
		s.node->echo = hides ? ECHO_HIDDEN : ECHO_SHOWN;
		for (const char *at = lives[i / 2]; *at != '\0'; at++)
			if (*at == 'e')
				s.node->echo = ECHO_SHOWN;
			else
				step(&w, *at);
		step(&w, 's');
		expect_all(&w, lives[i / 2]);
		finish(&w);
		struct record r = read_record(&s, w.c->session);
		const struct buf *in = &r.streams[STREAM_IN];
		cr_assert(eq(sz, in->len, w.in));
		for (size_t at = 0; at < in->len; at++)
			cr_assert(eq(int, buf_data(in)[at] == '?', hides && at / 1000 == 1),
				"%s: byte %zu", lives[i / 2], at);
		record_fini(&r);
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

/* A node that was started anew tells the end of what a terminal has none of. */
Test(resume, an_end_that_a_killed_relay_had_passed_on_is_known_to_the_next_ones)
{
	static const char *const lives[] = {
		"kUNuU", "kUNnNR", "kNUuU", "kUNkUNuU", "kNUkNUuUnNR", "kUNnuNUuU"};

	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, CHANNEL_TYPE_PTY);
		step(&w, 's');
		channel_end(w.n->ch, STREAM_ERR);
		step(&w, 's');
		cr_assert(w.c->ended[STREAM_ERR]);
		for (const char *at = lives[i]; *at != '\0'; at++)
			step(&w, *at);
		cr_assert(ne(ptr, w.c->ch, NULL), "%s: %s", lives[i], w.c->message);
		step(&w, 's');
		expect_all(&w, lives[i]);
		finish(&w);
		expect_nothing_left(&s);
		stage_free(&s);
	}
}

Test(resume, what_nobody_takes_up_from_a_killed_relay_ends_after_its_grace)
{
	struct stage s = stage_new(SHORT);
	struct way p = open_way(&s, CHANNEL_TYPE_PTY), e = open_way(&s, CHANNEL_TYPE_EXEC),
		   t = open_way(&s, CHANNEL_TYPE_CONNECTION);

	step(&p, 's');
	step(&e, 's');
	step(&p, 'k');
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 3));
	world_advance(s.w, 18 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 3));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1), "the shell has longer");
	world_advance(s.w, 20 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 3));
	world_dial(s.node);
	cr_assert(was_ended(s.node, p.c->session));
	cr_assert(was_ended(s.node, e.c->session));
	cr_assert(was_ended(s.node, t.f->session));
	step(&p, 'U');
	cr_assert(eq(int, p.c->code, HW_EUNAVAILABLE), "%s", p.c->message);
	user_resumes(&e);
	cr_assert(eq(int, e.c->code, HW_EUNAVAILABLE), "%s", e.c->message);
	struct record r = read_record(&s, p.c->session);
	cr_assert(r.complete);
	expect_bytes(&r.streams[STREAM_OUT], STREAM_OUT, 1000, "its recording");
	record_fini(&r);
	expect_nothing_left(&s);
	stage_free(&s);
}

Test(resume, nobody_else_takes_up_what_a_killed_relay_had)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC, CHANNEL_TYPE_CONNECTION};

	for (size_t i = 0; i < 3; i++) {
		struct stage s = stage_new(NULL);
		struct way w = open_way(&s, types[i]);
		struct msg_resume good = resume_of(w.f != NULL ? w.f : w.c), bad = good;
		step(&w, 's');
		step(&w, 'k');
		step(&w, 'N');
		struct world_peer *mallory = world_new_user(s.admin, "mallory", "rules");
		expect_refused(&s, mallory, &good);
		world_dial(s.ann);
		bad.token = "";
		expect_refused(&s, s.ann, &bad);
		bad.token = "0123456789abcdef0123456789abcdef";
		expect_refused(&s, s.ann, &bad);
		bad = good;
		bad.type = types[i] == CHANNEL_TYPE_PTY ? CHANNEL_TYPE_EXEC : CHANNEL_TYPE_PTY;
		expect_refused(&s, s.ann, &bad);
		step(&w, 'R');
		step(&w, 's');
		expect_all(&w, "still hers");
		finish(&w);
		expect_nothing_left(&s);
		world_peer_free(mallory);
		stage_free(&s);
	}
}

/* The rules of now count, not those that it was opened by. */
Test(resume, what_a_killed_relay_had_is_decided_anew)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC};

	for (size_t i = 0; i < 2; i++) {
		struct stage s = stage_new(NULL);
		world_put_policy(s.admin, "rules",
			POLICY("{\"Effect\":\"Allow\",\"Action\":\"ssm:*\",\"Resource\":\"*\",\"Condition\":"
			       "{\"IpAddress\":{\"aws:SourceIp\":\"192.0.2.0/24\"}}}"));
		struct way w = open_way(&s, types[i]);
		step(&w, 'k');
		step(&w, 'N');
		s.ann->source = "198.51.100.9";
		step(&w, 'U');
		expect_denied(&s, &w);
		stage_free(&s);
	}
}
