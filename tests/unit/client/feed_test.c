#include "client/feed.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/remote.h"
#include "tests/unit/client/rig.h"

/* A person's terminal, whose program is reached over a link that comes and goes. */
struct person {
	struct rig *rig;
	struct remote *remote;
	struct feed *feed;
	int keys; /* a pipe's end; -1: it has hung up */
	int in;
	bool waiting, ended;
	bool leaves; /* at the first escape */
	enum escape_action action;
	size_t kept, dropped;
	size_t want;
	struct buf unsent;
};

static void
on_started(void *arg, const char *session_id)
{
	(void)arg, (void)session_id;
}

static void
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	(void)arg, (void)stream, (void)p, (void)n;
}

static void
on_room(void *arg)
{
	struct person *p = arg;

	if (p->feed != NULL)
		feed_go(p->feed);
}

static void
on_notice(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void
on_exit_of_remote(void *arg, const struct remote_exit *e)
{
	(void)arg, (void)e;
}

static void
on_waiting(void *arg, int code, const char *why)
{
	struct person *p = arg;

	(void)code, (void)why;
	p->waiting = true;
	feed_hold(p->feed);
}

static void
on_back(void *arg)
{
	struct person *p = arg;

	p->waiting = false;
	feed_release(p->feed);
}

static const struct remote_events remote_events = {.on_started = on_started,
	.on_output = on_output,
	.on_room = on_room,
	.on_notice = on_notice,
	.on_exit = on_exit_of_remote,
	.on_waiting = on_waiting,
	.on_back = on_back};

static void
on_action(void *arg, enum escape_action action)
{
	struct person *p = arg;

	p->action = action;
	if (p->leaves)
		remote_leave(p->remote);
}

static void
on_end(void *arg)
{
	((struct person *)arg)->ended = true;
}

static void
on_held(void *arg, size_t kept, size_t dropped)
{
	struct person *p = arg;

	p->kept = kept;
	p->dropped = dropped;
}

static const struct feed_events feed_events = {.on_action = on_action,
	.on_end = on_end,
	.on_held = on_held};

static void
on_typed(void *arg, const uint8_t *bytes, size_t n)
{
	struct person *p = arg;

	buf_append(&p->unsent, bytes, n);
}

static const struct feed_events mute_events = {.on_action = on_action,
	.on_end = on_end,
	.on_held = on_held,
	.on_typed = on_typed};

static struct person *
sit_down(const struct feed_events *events)
{
	const struct remote_request req = {
		.type = CHANNEL_TYPE_PTY, .target = "mi-0123456789abcdef0", .command = "x"};
	struct person *p = calloc(1, sizeof(*p));
	struct hw_err err = HW_ERR_INIT;
	int ends[2];

	p->rig = rig_new_real();
	p->rig->resume_seconds = 60;
	cr_assert(eq(int,
			  remote_start(&p->remote, p->rig->conn, &req, p->rig->arena,
				  &remote_events, p, &err),
			  0),
		"%s", err.text);
	cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
	p->in = ends[0];
	p->keys = ends[1];
	cr_assert(eq(int, feed_new(&p->feed, p->rig->loop, p->in, p->remote, '~', events, p, &err),
		0));
	buf_init(&p->unsent, 1024);
	return p;
}

static struct person *
person_new(void)
{
	return sit_down(&feed_events);
}

static void
person_free(struct person *p)
{
	feed_free(p->feed);
	buf_fini(&p->unsent);
	remote_free(p->remote);
	rig_free(p->rig);
	close(p->in);
	if (p->keys >= 0)
		close(p->keys);
	free(p);
}

static void
type(struct person *p, const char *text, size_t n)
{
	cr_assert(eq(sz, (size_t)write(p->keys, text, n), n));
}

static bool
waits(void *arg)
{
	return ((struct person *)arg)->waiting;
}

static bool
is_back(void *arg)
{
	return !((struct person *)arg)->waiting;
}

static bool
has_typed(void *arg)
{
	const struct person *p = arg;

	return p->kept + p->dropped >= p->want;
}

static bool
has_arrived(void *arg)
{
	const struct person *p = arg;

	return p->rig->input.len >= p->want;
}

static bool
has_acted(void *arg)
{
	return ((struct person *)arg)->action != ESCAPE_NONE;
}

static bool
has_ended(void *arg)
{
	return ((struct person *)arg)->ended;
}

static void
lose_link(struct person *p)
{
	p->rig->refuses = HW_EUNAVAILABLE;
	pair_drop(p->rig->pair, "the cable");
	rig_until(p->rig, waits, p);
}

static void
bring_back(struct person *p)
{
	p->rig->refuses = 0;
	rig_until(p->rig, is_back, p);
}

Test(feed, keys_typed_while_the_link_is_lost_are_sent_afterwards)
{
	struct person *p = person_new();

	type(p, "cat", 3);
	p->want = 3;
	rig_until(p->rig, has_arrived, p);
	lose_link(p);
	type(p, " caf\xc3\xa9\r", 7);
	p->want = 6;
	rig_until(p->rig, has_typed, p);
	cr_assert(eq(sz, p->kept, 6), "characters, not bytes");
	cr_assert(eq(sz, p->dropped, 0));
	cr_assert(eq(sz, p->rig->input.len, 3));
	bring_back(p);
	type(p, "ls\r", 3);
	p->want = 13;
	rig_until(p->rig, has_arrived, p);
	cr_assert_str_eq(buf_str(&p->rig->input), "cat caf\xc3\xa9\rls\r");
	person_free(p);
}

Test(feed, no_more_than_its_bound_is_kept_and_nothing_after_a_hole)
{
	static char much[FEED_HELD_MAX + 1];
	struct person *p = person_new();

	memset(much, 'x', sizeof(much));
	lose_link(p);
	type(p, much, FEED_HELD_MAX - 10);
	p->want = FEED_HELD_MAX - 10;
	rig_until(p->rig, has_typed, p);
	cr_assert(eq(sz, p->kept, FEED_HELD_MAX - 10));
	type(p, "12345678901", 11);
	p->want += 11;
	rig_until(p->rig, has_typed, p);
	cr_assert(eq(sz, p->kept, FEED_HELD_MAX - 10));
	cr_assert(eq(sz, p->dropped, 11));
	type(p, "y", 1);
	p->want += 1;
	rig_until(p->rig, has_typed, p);
	cr_assert(eq(sz, p->dropped, 12), "it would fit, and would follow a hole");
	bring_back(p);
	type(p, "z", 1);
	p->want = FEED_HELD_MAX - 10 + 1;
	rig_until(p->rig, has_arrived, p);
	cr_assert(eq(sz, p->rig->input.len, p->want));
	cr_assert(eq(int, buf_data(&p->rig->input)[p->want - 1], 'z'));
	lose_link(p);
	type(p, "a", 1);
	p->kept = p->dropped = 0;
	p->want = 1;
	rig_until(p->rig, has_typed, p);
	cr_assert(eq(sz, p->kept, 1), "each time counts for itself");
	person_free(p);
}

Test(feed, the_escape_works_while_the_link_is_lost_in_the_middle_of_a_line_too)
{
	struct person *p = person_new();

	type(p, "cat", 3);
	p->want = 3;
	rig_until(p->rig, has_arrived, p);
	lose_link(p);
	type(p, "~.", 2);
	rig_until(p->rig, has_acted, p);
	cr_assert(eq(int, p->action, ESCAPE_END));
	person_free(p);
}

Test(feed, a_terminal_that_hangs_up_meanwhile_is_told_at_once)
{
	struct person *p = person_new();

	lose_link(p);
	type(p, "x", 1);
	p->want = 1;
	rig_until(p->rig, has_typed, p);
	close(p->keys);
	p->keys = -1;
	rig_until(p->rig, has_ended, p);
	person_free(p);
}

static bool
has_said(void *arg)
{
	const struct person *p = arg;

	return p->unsent.len >= p->want;
}

Test(feed, who_watches_sends_nothing_and_has_escapes_everywhere)
{
	struct person *p = sit_down(&mute_events);

	type(p, "rm -rf", 6);
	p->want = 6;
	rig_until(p->rig, has_said, p);
	cr_assert_str_eq(buf_str(&p->unsent), "rm -rf");
	type(p, "~d", 2);
	rig_until(p->rig, has_acted, p);
	cr_assert(eq(int, (int)p->action, ESCAPE_DETACH));
	lose_link(p);
	p->action = ESCAPE_NONE;
	type(p, "x", 1);
	p->want = 7;
	rig_until(p->rig, has_said, p);
	type(p, "~.", 2);
	rig_until(p->rig, has_acted, p);
	cr_assert(eq(int, (int)p->action, ESCAPE_END));
	bring_back(p);
	cr_assert(eq(sz, p->rig->input.len, 0));
	cr_assert(eq(sz, p->kept + p->dropped, 0));
	person_free(p);
}

Test(feed, what_was_typed_before_an_escape_is_sent_before_it_counts)
{
	struct person *p = person_new();

	type(p, "make\r~d", 7);
	p->want = 5;
	p->leaves = true;
	rig_until(p->rig, has_arrived, p);
	cr_assert_str_eq(buf_str(&p->rig->input), "make\r");
	person_free(p);
}
