/* Sessions through a relay: opened by ticket, recorded before they are forwarded, ended with a
 * reason. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/journal.h"
#include "proto/wire/channel.h"
#include "relay/core/relay_private.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"
#include "tests/world/world.h"

struct stage {
	struct world *w;
	struct world_peer *admin, *node;
};

static struct stage
stage_new(const char *conf)
{
	struct hw_err err = HW_ERR_INIT;
	struct stage s = {.w = world_new(conf)};

	s.admin = world_admin(s.w);
	s.node = world_node(s.w, s.admin, "web-01");
	cr_assert(eq(int, world_connect(s.node, &err), 0), "%s", err.text);
	return s;
}

static void
stage_free(struct stage *s)
{
	world_peer_free(s->node);
	world_peer_free(s->admin);
	world_free(s->w);
}

static void
type(struct world_channel *c, const char *text)
{
	cr_assert(eq(sz, channel_write(c->ch, STREAM_IN, text, strlen(text)), strlen(text)));
}

Test(session, what_is_typed_arrives_and_what_is_shown_comes_back)
{
	struct stage s = stage_new(NULL);

	s.node->echoes = true;
	struct world_channel *c = world_shell(s.admin, s.node);
	cr_assert(c->accepted);
	cr_assert_str_eq(s.node->opened->open.principal, "admin");
	cr_assert_str_eq(s.node->opened->open.term, "xterm-256color");
	cr_assert(eq(i64, s.node->opened->open.cols, 80));
	type(c, "uname\r");
	world_settle(s.w);
	cr_assert(world_got(s.node->opened, STREAM_IN, "uname\r"));
	cr_assert(world_got(c, STREAM_OUT, "uname\r"));
	cr_assert(eq(sz, world_entries(s.w, "session.start", NULL, 0), 1));
	stage_free(&s);
}

/* Sessions that live and those that ended are one list, whatever becomes of one meanwhile. */
Test(session, a_search_finds_each_session_once_also_one_that_ends_between_two_pages)
{
	struct stage s = stage_new(NULL);
	struct msg_search_recordings_request req = {
		.pattern = "needle", .typed = true, .max_results = 1};
	struct msg_search_recordings_reply *rep = NULL;
	size_t hits = 0;

	for (int i = 0; i < 2; i++) {
		type(world_shell(s.admin, s.node), "needle\r");
		world_advance(s.w, USEC_PER_SEC);
	}
	do {
		cr_assert(eq(int, world_call(s.admin, OP_search_recordings, &req, &rep, NULL), 0));
		if (req.next_token == NULL) { /* the newer one was found */
			const struct msg_terminate_session_request end = {
				.session_id = rep->hits.v[0].session_id};
			world_do(s.admin, OP_terminate_session, &end);
			world_advance(s.w, USEC_PER_SEC);
		}
		hits += rep->hits.n;
		req.next_token = rep->next_token;
	} while (rep->next_token != NULL);
	cr_assert(eq(sz, hits, 2));
	stage_free(&s);
}

static size_t
hits_of(struct stage *s, struct msg_search_recordings_reply **rep)
{
	const struct msg_search_recordings_request req = {.pattern = "needle", .typed = true};

	cr_assert(eq(int, world_call(s->admin, OP_search_recordings, &req, rep, NULL), 0));
	cr_assert_null((*rep)->next_token);
	return (*rep)->hits.n;
}

Test(session, a_search_finds_what_ended_the_moment_before)
{
	struct stage s = stage_new(NULL);
	struct msg_search_recordings_reply *rep;

	s.node->echoes = true;
	struct world_channel *c = world_shell(s.admin, s.node);
	type(c, "needle\r");
	world_settle(s.w);
	const struct msg_terminate_session_request end = {.session_id = c->session};
	world_do(s.admin, OP_terminate_session, &end);
	cr_assert(eq(sz, hits_of(&s, &rep), 1));
	cr_assert(eq(i64, rep->searched, 1));
	cr_assert(eq(sz, rep->gaps.n, 0));
	stage_free(&s);
}

Test(session, a_search_names_what_it_cannot_read_and_goes_on)
{
	struct stage s = stage_new(NULL);
	struct msg_search_recordings_reply *rep;
	char damaged[128], command[300];

	s.node->echoes = true;
	for (int i = 0; i < 2; i++) {
		struct world_channel *c = world_shell(s.admin, s.node);
		type(c, "needle\r");
		world_settle(s.w);
		const struct msg_terminate_session_request end = {.session_id = c->session};
		world_do(s.admin, OP_terminate_session, &end);
		if (i == 0)
			snprintf(damaged, sizeof(damaged), "%s", c->session);
		world_advance(s.w, USEC_PER_SEC);
	}
	cr_assert(eq(sz, hits_of(&s, &rep), 2));
	/* One loses its last block, then all. */
	for (int i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "truncate -s %s $d/recordings/%s.rec",
			i == 0 ? "-9" : "0", damaged);
		world_on_dir(s.w, command);
		cr_assert(eq(sz, hits_of(&s, &rep), 1), "%s", command);
		cr_assert(eq(i64, rep->unreadable, 1));
		cr_assert(eq(sz, rep->gaps.n, 1));
		cr_assert_str_eq(rep->gaps.v[0].session_id, damaged);
		cr_assert_not(rep->gaps.v[0].pending);
		cr_assert(strlen(rep->gaps.v[0].reason) > 10);
	}
	stage_free(&s);
}

/* Counts the bytes of input that the journal's files hold. */
static size_t
journalled(struct world *w)
{
	struct journal_reader *r = NULL;
	struct journal_record rec;
	struct secret_key master;
	struct hw_err err = HW_ERR_INIT;
	char dir[128], key[128];
	size_t n = 0;
	jpos end;

	snprintf(dir, sizeof(dir), "%s/journal", w->dir);
	snprintf(key, sizeof(key), "%s/master.key", w->dir);
	cr_assert(eq(int, secret_key_load(&master, key, &err), 0));
	cr_assert(eq(int, journal_reader_open(&r, dir, &master, 0, &err), 0), "%s", err.text);
	while (journal_reader_next(r, &rec, &end, &err) > 0)
		if (rec.type == JOURNAL_DATA && rec.stream == STREAM_IN)
			n += rec.len;
	journal_reader_close(r);
	return n;
}

struct watch {
	struct world *w;
	size_t forwarded;
};

/* On each message from the relay to the node: its input must be in the journal by now. */
static bool
watch_input(void *arg, uint8_t *p, size_t n)
{
	struct watch *watch = arg;
	struct hw_err err = HW_ERR_INIT;
	struct frame f;
	size_t used;

	for (; n > 0; p += used, n -= used) {
		cr_assert(eq(int, frame_parse(&f, p, n, &used, &err), 0));
		if (f.kind == FRAME_DATA)
			watch->forwarded += f.body_len;
	}
	cr_assert(ge(sz, journalled(watch->w), watch->forwarded),
		"a key left before it was recorded");
	return true;
}

Test(session, no_key_leaves_before_it_is_in_the_journal)
{
	struct stage s = stage_new(NULL);
	struct watch watch = {.w = s.w};
	struct world_channel *c = world_shell(s.admin, s.node);

	pair_tap(s.node->pair, PAIR_A, watch_input, &watch);
	for (int i = 0; i < 50; i++) {
		type(c, "ls -l\r");
		if (i % 3 == 0)
			world_settle(s.w);
	}
	world_settle(s.w);
	cr_assert(eq(sz, watch.forwarded, 300));
	stage_free(&s);
}

Test(session, with_durability_sync_a_key_waits_for_the_disk)
{
	struct stage s = stage_new("durability = sync\n");
	struct watch watch = {.w = s.w};
	struct world_channel *c = world_shell(s.admin, s.node);

	pair_tap(s.node->pair, PAIR_A, watch_input, &watch);
	type(c, "whoami\r");
	world_settle(s.w);
	cr_assert(world_got(s.node->opened, STREAM_IN, "whoami\r"));
	s.w->fail_syncs = EIO;
	type(c, "reboot\r");
	world_settle(s.w);
	cr_assert(world_got(s.node->opened, STREAM_IN, "whoami\r"),
		"what could not be synced went out");
	cr_assert(ne(ptr, strstr(c->notice, "cannot be recorded"), NULL));
	stage_free(&s);
}

Test(session, a_full_disk_freezes_it_says_why_and_ends_it_after_the_grace_time)
{
	struct stage s = stage_new("grace_seconds = 30\n");
	struct hw_err err = HW_ERR_INIT;
	struct msg_start_session_request req = {.target = s.node->who.id};
	const char *why;

	s.node->echoes = true;
	struct world_channel *c = world_shell(s.admin, s.node);
	type(c, "a");
	world_settle(s.w);
	s.w->fail_writes = ENOSPC;
	type(c, "rm -rf /\r");
	world_settle(s.w);
	cr_assert(world_got(s.node->opened, STREAM_IN, "a"), "an unrecorded key went out");
	cr_assert(ne(ptr, strstr(c->notice, "frozen"), NULL));
	cr_assert(not(relay_healthy(s.w->relay, &why)));

	world_advance(s.w, 29 * USEC_PER_SEC);
	cr_assert(not(c->closed));
	world_advance(s.w, 3 * USEC_PER_SEC);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_ERECORD));
	cr_assert(s.node->opened->closed);

	char message[384];
	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, NULL, message), HW_ERECORD),
		"%s", message);
	(void)err;
	stage_free(&s);
}

Test(session, a_full_disk_with_a_reserve_lets_it_end_in_order_and_others_start_when_there_is_room)
{
	struct stage s = stage_new("grace_seconds = 30\n");
	struct msg_start_session_request req = {.target = s.node->who.id};
	struct msg_empty none = {0};
	const void *rep;
	const char *why;
	char message[384];

	s.node->echoes = true;
	struct world_channel *c = world_shell(s.admin, s.node);
	type(c, "a");
	world_settle(s.w);
	s.w->disk_full = true;
	type(c, "b");
	world_settle(s.w);
	cr_assert(ne(ptr, strstr(c->notice, "disk is full"), NULL), "%s", c->notice);
	cr_assert(not(relay_healthy(s.w->relay, &why)));
	type(c, "rm -rf /\r");
	world_settle(s.w);
	cr_assert(world_got(s.node->opened, STREAM_IN, "ab"), "a key went out while it was frozen");
	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, NULL, message), HW_ERECORD),
		"%s", message);
	cr_assert(eq(int, world_call(s.admin, OP_get_caller_identity, &none, &rep, message), 0));
	const char *alarm = ((const struct msg_get_caller_identity_reply *)rep)->alarm;
	cr_assert(alarm != NULL && strstr(alarm, "disk is full") != NULL);

	world_advance(s.w, 32 * USEC_PER_SEC);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_ERECORD));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 1));
	world_advance(s.w, 60 * USEC_PER_SEC);
	cr_assert(not(relay_healthy(s.w->relay, &why)));

	s.w->disk_full = false;
	world_advance(s.w, 5 * USEC_PER_SEC);
	cr_assert(relay_healthy(s.w->relay, &why), "%s", why);
	c = world_shell(s.admin, s.node);
	type(c, "well again");
	world_settle(s.w);
	cr_assert(world_got(s.node->opened, STREAM_IN, "well again"));
	cr_assert(eq(sz, world_entries(s.w, "alarm", NULL, 0), 2));
	stage_free(&s);
}

/* The one thing that is not tried again, whatever the disk says later. */
Test(session, after_a_failed_sync_only_a_restart_makes_it_well)
{
	struct stage s = stage_new("grace_seconds = 5\n");
	struct world_channel *c = world_shell(s.admin, s.node);
	const char *why;

	s.w->fail_syncs = EIO;
	type(c, "a");
	world_settle(s.w);
	world_advance(s.w, 10 * USEC_PER_SEC);
	s.w->fail_syncs = 0;
	world_advance(s.w, 100 * USEC_PER_SEC);
	cr_assert(not(relay_healthy(s.w->relay, &why)));
	cr_assert(ne(ptr, strstr(why, "cannot sync"), NULL), "%s", why);
	stage_free(&s);
}

Test(session, the_program_s_exit_status_reaches_its_user_after_its_output)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_exec(s.admin, s.node, "make");

	cr_assert_str_eq(s.node->opened->open.command, "make");
	struct channel *ch = s.node->opened->ch;
	channel_write(ch, STREAM_OUT, "built\n", 6);
	channel_write(ch, STREAM_ERR, "warning\n", 8);
	channel_end(ch, STREAM_OUT);
	channel_end(ch, STREAM_ERR);
	struct msg_close close = {.exited = true, .exit_status = 3};
	channel_close(ch, &close);
	s.node->opened->ch = NULL;
	world_settle(s.w);
	cr_assert(c->closed);
	cr_assert(c->exited);
	cr_assert(eq(int, c->exit_status, 3));
	cr_assert(world_got(c, STREAM_OUT, "built\n"));
	cr_assert(world_got(c, STREAM_ERR, "warning\n"));
	cr_assert(c->ended[STREAM_OUT] && c->ended[STREAM_ERR]);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_OK), 1));
	stage_free(&s);
}

Test(session, an_exec_s_reader_sets_the_pace_of_its_program)
{
	static uint8_t block[64 * 1024];
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_exec(s.admin, s.node, "cat big");
	struct channel *ch = s.node->opened->ch;
	size_t sent = 0, n;

	c->hold = true;
	while ((n = channel_write(ch, STREAM_OUT, block, sizeof(block))) > 0) {
		sent += n;
		world_settle(s.w);
	}
	cr_assert(eq(sz, sent, 256 * 1024), "the user's window is the node's");
	c->hold = false;
	channel_consume(c->ch, STREAM_OUT, c->got[STREAM_OUT].len, ECHO_UNKNOWN);
	world_settle(s.w);
	cr_assert(gt(sz, channel_room(ch, STREAM_OUT), 0));
	stage_free(&s);
}

static void
shell_writes(struct world *w, struct channel *ch, int blocks, size_t *sent)
{
	static uint8_t block[64 * 1024];

	for (int i = 0; i < blocks; i++) {
		*sent += channel_write(ch, STREAM_OUT, block, sizeof(block));
		world_settle(w);
	}
}

Test(session, a_stalled_terminal_does_not_stop_its_shell)
{
	struct stage s = stage_new(NULL);
	size_t sent = 0;
	char said[64];

	s.admin->keeps = true;
	struct world_channel *c = world_shell(s.admin, s.node);
	struct channel *ch = s.node->opened->ch;
	c->hold = true;
	shell_writes(s.w, ch, 40, &sent);
	cr_assert(lt(sz, sent, 40 * 65536), "a slow terminal slows its shell");
	world_advance(s.w, 8 * USEC_PER_SEC);
	size_t before = sent;
	shell_writes(s.w, ch, 40, &sent);
	cr_assert(eq(sz, sent - before, 40 * 65536), "one that takes nothing does not");
	size_t shown = c->got[STREAM_OUT].len;
	cr_assert(eq(sz, shown, 256 * 1024));
	c->hold = false;
	channel_consume(c->ch, STREAM_OUT, shown, ECHO_UNKNOWN);
	world_settle(s.w);
	cr_assert(eq(int, c->park_code, HW_EINTERRUPTED));
	world_resume(c, s.admin);
	world_advance(s.w, 3 * USEC_PER_SEC); /* the node tells no screen */
	cr_assert(c->resumed, "%s", c->message);
	cr_assert(eq(u64, c->jumped, sent - shown));
	snprintf(said, sizeof(said), "%zu bytes of output were not shown", sent - shown);
	cr_assert(ne(ptr, strstr(c->notice, said), NULL), "%s", c->notice);
	cr_assert(eq(sz, channel_write(ch, STREAM_OUT, "\r\n$ ", 4), 4));
	world_settle(s.w);
	cr_assert(eq(sz, c->got[STREAM_OUT].len, shown + 4), "what comes now is shown");
	stage_free(&s);
}

/* A client that cannot resume sees its channel closed; the session waits all the same. */
Test(session, a_node_that_goes_for_good_ends_it_with_that_reason)
{
	struct stage s = stage_new("detached_seconds = 20\n");
	struct world_channel *c = world_shell(s.admin, s.node);

	world_drop(s.node);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_EINTERRUPTED));
	cr_assert(ne(ptr, strstr(c->message, "node's link"), NULL));
	world_advance(s.w, 18 * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 0));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "the node's link was lost"), 1));
	stage_free(&s);
}

Test(session, a_user_that_goes_for_good_hangs_up_its_program)
{
	struct stage s = stage_new("detached_seconds = 20\n");

	world_shell(s.admin, s.node);
	world_drop(s.admin);
	world_advance(s.w, 18 * USEC_PER_SEC);
	cr_assert(not(s.node->opened->closed));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(s.node->opened->closed);
	cr_assert(eq(int, s.node->opened->code, HW_EUNAVAILABLE));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "the user's link was lost, and"), 1));
	stage_free(&s);
}

Test(session, a_node_that_is_not_there_is_not_connected)
{
	struct stage s = stage_new(NULL);
	struct msg_start_session_request req = {.target = s.node->who.id};
	char why[384];

	world_drop(s.node);
	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, NULL, why), HW_EOFFLINE));
	cr_assert(ne(ptr, strstr(why, s.node->who.id), NULL));
	req.target = "mi-00000000000000000";
	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, NULL, why), HW_EOFFLINE));
	stage_free(&s);
}

Test(session, the_node_s_refusal_reaches_the_user)
{
	struct stage s = stage_new(NULL);

	s.node->refuses = true;
	struct world_channel *c = world_shell(s.admin, s.node);
	cr_assert(c->rejected);
	cr_assert(eq(int, c->code, HW_ERUNAS));
	cr_assert(ne(ptr, strstr(c->message, "ghost"), NULL));
	stage_free(&s);
}

Test(session, a_ticket_opens_once_for_its_principal_in_time_for_its_session)
{
	struct stage s = stage_new(NULL);
	struct msg_start_session_request req = {.target = s.node->who.id};
	struct msg_start_session_reply *a, *b, *late;
	struct msg_create_user_request cu = {.user_name = "mallory", .admin = true};
	struct msg_create_user_reply *made;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, &a, NULL), 0));
	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, &b, NULL), 0));
	cr_assert(eq(int, world_call(s.admin, OP_create_user, &cu, &made, NULL), 0));
	struct world_peer *mallory = world_user(s.w, made->invite);
	cr_assert(eq(int, world_connect(mallory, &err), 0));

	cr_assert(eq(int,
		world_open(mallory, CHANNEL_TYPE_PTY, a->session_id, a->token_value)->code,
		HW_ETICKET));
	cr_assert(eq(int,
		world_open(s.admin, CHANNEL_TYPE_PTY, b->session_id, a->token_value)->code,
		HW_ETICKET));
	cr_assert(eq(int,
		world_open(s.admin, CHANNEL_TYPE_EXEC, a->session_id, a->token_value)->code,
		HW_ETICKET));
	cr_assert(eq(int, world_open(s.admin, CHANNEL_TYPE_PTY, a->session_id, "guess")->code,
		HW_ETICKET));
	cr_assert(world_open(s.admin, CHANNEL_TYPE_PTY, a->session_id, a->token_value)->accepted);
	cr_assert(eq(int,
		world_open(s.admin, CHANNEL_TYPE_PTY, a->session_id, a->token_value)->code,
		HW_ETICKET));

	cr_assert(eq(int, world_call(s.admin, OP_start_session, &req, &late, NULL), 0));
	world_advance(s.w, 61 * USEC_PER_SEC);
	cr_assert(eq(int,
		world_open(s.admin, CHANNEL_TYPE_PTY, late->session_id, late->token_value)->code,
		HW_ETICKET));
	world_peer_free(mallory);
	stage_free(&s);
}

Test(session, one_that_is_terminated_ends_on_both_sides)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	struct msg_terminate_session_request req = {.session_id = c->session};

	cr_assert(eq(int, world_call(s.admin, OP_terminate_session, &req, NULL, NULL), 0));
	world_settle(s.w);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_ETERMINATED));
	cr_assert(s.node->opened->closed);
	stage_free(&s);
}

Test(session, a_megabyte_that_is_pasted_arrives_whole_and_in_order)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	static uint8_t paste[1024 * 1024];
	size_t done = 0;

	for (size_t i = 0; i < sizeof(paste); i++)
		paste[i] = (uint8_t)(i * 7 + i / 251); /* invalid UTF-8 among it */
	while (done < sizeof(paste)) {
		size_t n = channel_write(c->ch, STREAM_IN, paste + done, sizeof(paste) - done);
		done += n;
		world_settle(s.w);
	}
	cr_assert(eq(sz, s.node->opened->got[STREAM_IN].len, sizeof(paste)));
	cr_assert(eq(int, memcmp(buf_data(&s.node->opened->got[STREAM_IN]), paste, sizeof(paste)),
		0));
	stage_free(&s);
}

Test(session, a_resize_reaches_the_node)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	struct msg_control size = {.type = CONTROL_RESIZE, .cols = 132, .rows = 43};

	channel_control(c->ch, &size);
	world_settle(s.w);
	cr_assert(eq(int, s.node->opened->control.type, CONTROL_RESIZE));
	cr_assert(eq(i64, s.node->opened->control.cols, 132));
	stage_free(&s);
}

static struct msg_session *
only_past(struct stage *s)
{
	struct msg_describe_sessions_request req = {.state = SESSION_STATE_HISTORY};
	struct msg_describe_sessions_reply *rep;

	cr_assert(eq(int, world_call(s->admin, OP_describe_sessions, &req, &rep, NULL), 0));
	cr_assert(le(sz, rep->sessions.n, 1));
	return rep->sessions.n > 0 ? &rep->sessions.v[0] : NULL;
}

static void
restart(struct stage *s)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_restart(s->w, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s->admin, &err), 0), "%s", err.text);
}

Test(session, one_that_a_stopped_relay_left_open_ends_when_nobody_comes_for_it)
{
	struct stage s = stage_new("detached_seconds = 20\n");

	world_shell(s.admin, s.node);
	restart(&s);
	cr_assert(eq(ptr, only_past(&s), NULL));
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	world_advance(s.w, 18 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 1));
	world_advance(s.w, 4 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	cr_assert(eq(int, only_past(&s)->status, SESSION_STATUS_FAILED));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	stage_free(&s);
}

/* Its ticket was taken, and its node had not answered. */
Test(session, one_that_was_not_accepted_when_its_relay_stopped_does_not_go_on)
{
	struct stage s = stage_new(NULL);

	s.node->silent = true;
	world_shell(s.admin, s.node);
	restart(&s);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	struct msg_session *row = only_past(&s);
	cr_assert(ne(ptr, row, NULL));
	cr_assert(row->status == SESSION_STATUS_FAILED || row->status == SESSION_STATUS_TERMINATED);
	stage_free(&s);
}

#define LEFT_OPEN 8000

static int
write_open_ones(void *arg, struct db *db, struct hw_err *err)
{
	const struct session_opener who = {
		.name = "admin", .source = "192.0.2.1", .resume_hash = "r"};
	struct stage *s = arg;
	struct session_row row = {.type = CHANNEL_TYPE_FORWARD,
		.principal = "admin",
		.owner_arn = "admin",
		.document = "AWS-StartPortForwardingSession",
		.remote_host = "localhost",
		.remote_port = 80,
		.status = SESSION_STATUS_CONNECTING,
		.start = clock_wall(&s->w->clock.clock)};
	struct session_row *taken;
	char hash[32];
	const struct arena_mark mark = arena_mark(s->w->arena);
	int r = 0;

	memcpy(row.node_id, s->node->who.id, sizeof(row.node_id));
	for (int i = 0; r == 0 && i < LEFT_OPEN; i++) {
		snprintf(row.id, sizeof(row.id), "admin-%017d", i);
		snprintf(hash, sizeof(hash), "%d", i);
		if ((r = session_insert(db, &row, hash, row.start + USEC_PER_SEC, err)) == 0 &&
			(r = session_redeem(db, s->w->arena, hash, &who, row.start, &taken, err)) ==
				0)
			r = session_set_status(db, row.id, SESSION_STATUS_CONNECTED, err);
		arena_release(s->w->arena, &mark);
	}
	return r;
}

/* As many as a relay of this size has are no reason not to start again. */
Test(session, any_number_that_is_open_is_taken_up_by_the_next_start)
{
	struct stage s = stage_new(NULL);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, store_write(s.w->relay->store, write_open_ones, &s, &err), 0), "%s",
		err.text);
	restart(&s);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), LEFT_OPEN));
	stage_free(&s);
}

/* Its end could not be written, so the next start does it. */
Test(session, one_that_could_not_be_recorded_to_its_end_is_ended_at_the_next_start)
{
	struct stage s = stage_new("grace_seconds = 5\n");
	struct world_channel *c = world_shell(s.admin, s.node);

	s.w->fail_writes = ENOSPC;
	type(c, "x");
	world_settle(s.w);
	world_advance(s.w, 8 * USEC_PER_SEC);
	cr_assert(eq(int, c->code, HW_ERECORD));
	s.w->fail_writes = 0;
	restart(&s);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0));
	struct msg_session *row = only_past(&s);
	cr_assert(ne(ptr, row, NULL));
	cr_assert(eq(int, row->status, SESSION_STATUS_TERMINATED));
	cr_assert_str_eq(row->details, "the relay could not record any more while it was open");
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED), 1));
	stage_free(&s);
}

/* Who it ran as when nobody was named is known to the node alone. */
Test(session, it_is_kept_whom_a_session_ran_as)
{
	struct stage s = stage_new(NULL);
	struct msg_describe_sessions_request req = {.state = SESSION_STATE_HISTORY};
	struct msg_describe_sessions_reply *rep;
	struct world_channel *c = world_shell(s.admin, s.node);

	cr_assert_str_eq(s.node->opened->open.run_as, "");
	channel_close(c->ch, &(struct msg_close){.code = NULL});
	world_settle(s.w);
	cr_assert(eq(int, world_call(s.admin, OP_describe_sessions, &req, &rep, NULL), 0));
	cr_assert(eq(sz, rep->sessions.n, 1));
	cr_assert_str_eq(rep->sessions.v[0].run_as, "hawser");
	stage_free(&s);
}

/* --- beside many ------------------------------------------------------------------------------ */

#define MANY 160

static size_t
said_to(struct world_peer *const *peers, size_t n)
{
	size_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += pair_messages(peers[i]->pair, PAIR_A);
	return all;
}

/* Who types waits for a turn of the relay, whatever it has to say to others. */
Test(session, links_that_came_together_are_not_all_pinged_in_one_turn)
{
	struct stage s = stage_new(NULL);
	struct world_peer *peers[MANY];
	size_t most = 0;

	for (size_t i = 0; i < MANY; i++)
		world_dial(peers[i] = world_twin(s.admin));
	size_t before = said_to(peers, MANY), last = before;
	for (int i = 0; i < 2200; i++) {
		world_advance(s.w, 10000);
		size_t now = said_to(peers, MANY);
		most = now - last > most ? now - last : most;
		last = now;
	}
	cr_assert(ge(sz, last - before, MANY));
	cr_assert(le(sz, most, 50));
	for (size_t i = 0; i < MANY; i++)
		world_peer_free(peers[i]);
	stage_free(&s);
}

/* Who runs a command each second has more of them in a day than any fixed number. */
Test(session, old_recordings_go_as_fast_as_new_ones_come)
{
	struct stage s = stage_new("recording_days = 1\nmax_sessions_per_node = 200\n");
	struct msg_get_recording_request req = {.session_id = NULL};

	for (int i = 0; i < 150; i++) {
		struct world_channel *c = world_exec(s.admin, s.node, "true");
		cr_assert(c->accepted, "%s", c->message);
		world_exit(s.node->opened, 0, NULL);
		channel_close(c->ch, &(struct msg_close){.code = ""});
		c->ch = NULL;
		world_settle(s.w);
		req.session_id = c->session;
	}
	world_do(s.admin, OP_get_recording, &req);
	world_advance(s.w, 31 * USEC_PER_SEC); /* it has looked at its clock */
	s.w->clock.now_wall += 3 * INT64_C(86400) * USEC_PER_SEC;
	s.w->clock.now_mono += 3 * INT64_C(86400) * USEC_PER_SEC;
	world_advance(s.w, 41 * USEC_PER_SEC);
	cr_assert(eq(sz, world_entries(s.w, "recording.deleted", NULL, 0), 150));
	stage_free(&s);
}

/* What it would have deleted comes never back. */
Test(session, a_clock_that_jumps_ahead_is_believed_after_an_hour_before_recordings_go)
{
	const int64_t minute = 60 * USEC_PER_SEC, year = 365 * INT64_C(86400) * USEC_PER_SEC;
	struct stage s = stage_new("recording_days = 1\n");
	struct msg_get_recording_request req = {.session_id = NULL};
	struct hw_err err = HW_ERR_INIT;

	struct world_channel *c = world_exec(s.admin, s.node, "true");
	world_exit(s.node->opened, 0, NULL);
	channel_close(c->ch, &(struct msg_close){.code = ""});
	c->ch = NULL;
	world_settle(s.w);
	req.session_id = c->session;
	world_do(s.admin, OP_get_recording, &req);
	world_advance(s.w, 62 * minute);
	s.w->clock.now_wall += year;
	world_advance(s.w, 10 * minute);
	cr_assert(eq(sz, world_entries(s.w, "recording.deleted", NULL, 0), 0));
	s.w->clock.now_wall -= year;
	world_advance(s.w, 10 * minute);
	world_stop(s.w); /* and while it stood still */
	s.w->clock.now_wall += year;
	cr_assert(eq(int, world_start(s.w, &err), 0), "%s", err.text);
	world_advance(s.w, 50 * minute);
	cr_assert(eq(sz, world_entries(s.w, "recording.deleted", NULL, 0), 0));
	world_advance(s.w, 12 * minute);
	cr_assert(eq(sz, world_entries(s.w, "recording.deleted", NULL, 0), 1));
	stage_free(&s);
}
