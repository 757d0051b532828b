#include "proto/base/loop.h"

#include <sys/socket.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What happened, a letter each, in order. */
struct bench {
	struct fake_clock clock;
	struct loop *loop;
	char seen[200];
};

struct step {
	struct bench *bench;
	char letter;
	struct loop_timer timer;
	struct loop_task task;
	struct step *then; /* deferred, posted or started from within this one */
	enum { THEN_NOTHING, THEN_DEFER, THEN_POST, THEN_START, THEN_STOP_TIMER, THEN_UNDEFER } how;
	int64_t usec;
};

static void
saw(struct bench *b, char letter)
{
	size_t n = strlen(b->seen);

	cr_assert(lt(sz, n, sizeof(b->seen) - 1));
	b->seen[n] = letter;
}

static void
on_step(void *arg)
{
	struct step *s = arg;
	struct loop *l = s->bench->loop;

	saw(s->bench, s->letter);
	switch (s->how) {
	case THEN_NOTHING:
		break;
	case THEN_DEFER:
		loop_defer(l, &s->then->task);
		break;
	case THEN_POST:
		loop_post(l, on_step, s->then);
		break;
	case THEN_START:
		loop_timer_start(l, &s->then->timer, s->usec);
		break;
	case THEN_STOP_TIMER:
		loop_timer_stop(l, &s->then->timer);
		break;
	case THEN_UNDEFER:
		loop_undefer(l, &s->then->task);
		break;
	}
}

static void
step_init(struct step *s, struct bench *b, char letter)
{
	*s = (struct step){.bench = b, .letter = letter};
	s->timer = (struct loop_timer){.fn = on_step, .arg = s};
	s->task = (struct loop_task){.fn = on_step, .arg = s};
}

static void
steps_init(struct step *s, size_t n, struct bench *b)
{
	for (size_t i = 0; i < n; i++)
		step_init(&s[i], b, (char)('a' + i));
}

static void
bench_fake(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	fake_clock_init(&b->clock, 0);
	b->loop = loop_new_fake(&b->clock);
}

static void
bench_real(struct bench *b)
{
	struct hw_err err = HW_ERR_INIT;

	memset(b, 0, sizeof(*b));
	cr_assert(eq(int, loop_new(&b->loop, &err), 0), "%s", err.text);
}

struct run {
	struct loop_timer timer;
	struct loop *loop;
	int64_t step;
	int left;
};

static void
on_run_step(void *arg)
{
	struct run *run = arg;

	if (--run->left == 0)
		loop_stop(run->loop);
	else
		loop_timer_start(run->loop, &run->timer, run->step);
}

/* Runs a real loop for that time at least, and for ten turns however slow the machine is. */
static void
run_for(struct bench *b, int64_t usec)
{
	struct run run = {.loop = b->loop, .step = usec / 10, .left = 10};

	run.timer = (struct loop_timer){.fn = on_run_step, .arg = &run};
	loop_timer_start(b->loop, &run.timer, run.step);
	cr_assert(eq(int, loop_run(b->loop, NULL), 0));
}

/* --- the same on both loops ------------------------------------------------------------------ */

static void
check_posts(struct bench *b, void (*turn)(struct bench *))
{
	struct step s[3];

	steps_init(s, 3, b);
	s[0].how = THEN_POST;
	s[0].then = &s[2];
	loop_post(b->loop, on_step, &s[0]);
	loop_post(b->loop, on_step, &s[1]);
	cr_assert_str_eq(b->seen, "");
	turn(b);
	cr_assert_str_eq(b->seen, "abc");
	loop_free(b->loop);
}

static void
check_defers(struct bench *b, void (*turn)(struct bench *))
{
	struct step s[4];

	steps_init(s, 4, b);
	/* a and b are due at once; a defers c, which comes after b, and itself defers d */
	s[0].how = s[2].how = THEN_DEFER;
	s[0].then = &s[2];
	s[2].then = &s[3];
	loop_timer_start(b->loop, &s[0].timer, 0);
	loop_timer_start(b->loop, &s[1].timer, 0);
	turn(b);
	cr_assert_str_eq(b->seen, "abcd");
	loop_free(b->loop);
}

static void
check_undefer(struct bench *b, void (*turn)(struct bench *))
{
	struct step s[4];

	steps_init(s, 4, b);
	for (int i = 0; i < 3; i++)
		loop_defer(b->loop, &s[i].task);
	loop_defer(b->loop, &s[0].task); /* twice is once */
	loop_undefer(b->loop, &s[2].task);
	loop_undefer(b->loop, &s[2].task);
	loop_undefer(b->loop, &s[0].task);
	loop_defer(b->loop, &s[3].task);
	s[1].how = THEN_UNDEFER;
	s[1].then = &s[3];
	turn(b);
	cr_assert_str_eq(b->seen, "b");
	loop_defer(b->loop, &s[0].task);
	turn(b);
	cr_assert_str_eq(b->seen, "ba");
	loop_free(b->loop);
}

static void
check_timers(struct bench *b, void (*turn)(struct bench *))
{
	struct step s[4];

	steps_init(s, 4, b);
	loop_timer_start(b->loop, &s[0].timer, 1000);
	loop_timer_start(b->loop, &s[1].timer, 3000);
	loop_timer_start(b->loop, &s[0].timer, 5000); /* re-armed */
	loop_timer_start(b->loop, &s[3].timer, 1000);
	loop_timer_stop(b->loop, &s[3].timer);
	loop_timer_stop(b->loop, &s[3].timer);
	loop_timer_start(b->loop, &s[2].timer, 7000);
	cr_assert(ne(sz, s[0].timer.slot, 0));
	turn(b);
	cr_assert_str_eq(b->seen, "bac");
	cr_assert(eq(sz, s[0].timer.slot, 0));
	loop_free(b->loop);
}

static void
turn_fake(struct bench *b)
{
	loop_advance(b->loop, 10000);
}

static void
turn_real(struct bench *b)
{
	run_for(b, 50000);
}

#define BOTH(name, check)             \
	Test(loop_fake, name)         \
	{                             \
		struct bench b;       \
		bench_fake(&b);       \
		check(&b, turn_fake); \
	}                             \
	Test(loop, name)              \
	{                             \
		struct bench b;       \
		bench_real(&b);       \
		check(&b, turn_real); \
	}

BOTH(posted_work_runs_in_order_and_never_at_once, check_posts)
BOTH(deferred_work_comes_after_what_is_due, check_defers)
BOTH(deferring_twice_is_once_and_can_be_undone, check_undefer)
BOTH(timers_come_in_order_of_their_time, check_timers)

/* --- the fake loop --------------------------------------------------------------------------- */

Test(loop_fake, time_stops_at_each_timer_on_its_way)
{
	struct step s[2];
	struct bench b;

	bench_fake(&b);
	steps_init(s, 2, &b);
	int64_t start = clock_mono(loop_clock(b.loop));
	s[0].how = THEN_START;
	s[0].then = &s[1];
	s[0].usec = 10;
	loop_timer_start(b.loop, &s[0].timer, 5);
	loop_advance(b.loop, 14);
	cr_assert_str_eq(b.seen, "a");
	cr_assert(eq(i64, s[1].timer.due, start + 15));
	cr_assert(eq(i64, clock_mono(loop_clock(b.loop)), start + 14));
	loop_advance(b.loop, 1);
	cr_assert_str_eq(b.seen, "ab");
	loop_free(b.loop);
}

Test(loop_fake, settling_moves_no_time)
{
	struct step s[2];
	struct bench b;

	bench_fake(&b);
	steps_init(s, 2, &b);
	loop_timer_start(b.loop, &s[0].timer, 0);
	loop_timer_start(b.loop, &s[1].timer, 1);
	int64_t start = b.clock.now_mono;
	loop_settle(b.loop);
	cr_assert_str_eq(b.seen, "a");
	cr_assert(eq(i64, b.clock.now_mono, start));
	loop_free(b.loop);
}

Test(loop_fake, a_due_timer_can_be_stopped_by_another)
{
	struct step s[2];
	struct bench b;

	bench_fake(&b);
	steps_init(s, 2, &b);
	s[0].how = THEN_STOP_TIMER;
	s[0].then = &s[1];
	loop_timer_start(b.loop, &s[0].timer, 1);
	loop_timer_start(b.loop, &s[1].timer, 1);
	loop_advance(b.loop, 5);
	cr_assert_str_eq(b.seen, "a");
	loop_free(b.loop);
}

Test(loop_fake, freeing_runs_what_still_waits)
{
	struct step s[3];
	struct bench b;

	bench_fake(&b);
	steps_init(s, 3, &b);
	s[0].how = THEN_DEFER;
	s[0].then = &s[1];
	loop_post(b.loop, on_step, &s[0]);
	loop_timer_start(b.loop, &s[2].timer, 0);
	loop_free(b.loop);
	cr_assert_str_eq(b.seen, "ab");
	loop_free(NULL);
}

struct many {
	struct loop_timer timer;
	struct fake_clock *clock;
	int64_t *last;
	size_t *fired;
};

static void
on_many(void *arg)
{
	struct many *m = arg;

	cr_assert(eq(i64, m->timer.due, m->clock->now_mono));
	cr_assert(le(i64, *m->last, m->timer.due));
	*m->last = m->timer.due;
	++*m->fired;
}

Test(loop_fake, thousands_of_timers_keep_their_order_while_some_are_stopped)
{
	enum { N = 5000 };
	struct many *all = calloc(N, sizeof(*all));
	struct bench b;
	int64_t last = 0;
	size_t fired = 0, armed = 0;
	unsigned seed = 1;

	bench_fake(&b);
	for (size_t i = 0; i < N; i++) {
		all[i] = (struct many){.clock = &b.clock, .last = &last, .fired = &fired};
		all[i].timer = (struct loop_timer){.fn = on_many, .arg = &all[i]};
		loop_timer_start(b.loop, &all[i].timer, rand_r(&seed) % 1000);
	}
	for (size_t i = 0; i < N; i++) {
		if (i % 3 == 0)
			loop_timer_stop(b.loop, &all[i].timer);
		if (i % 7 == 0)
			loop_timer_start(b.loop, &all[i].timer, rand_r(&seed) % 1000);
		armed += all[i].timer.slot != 0;
	}
	loop_advance(b.loop, 1000);
	cr_assert(eq(sz, fired, armed));
	loop_free(b.loop);
	free(all);
}

/* --- the real loop --------------------------------------------------------------------------- */

Test(loop, a_timer_is_never_early)
{
	struct bench b;

	bench_real(&b);
	int64_t start = clock_mono(&hw_clock_system);
	run_for(&b, 20000);
	cr_assert(ge(i64, clock_mono(&hw_clock_system) - start, 20000));
	loop_free(b.loop);
}

Test(loop, stopping_before_it_runs_returns_at_once_and_it_runs_again, .timeout = 5)
{
	struct step s;
	struct bench b;

	bench_real(&b);
	step_init(&s, &b, 'a');
	loop_stop(b.loop);
	loop_defer(b.loop, &s.task);
	cr_assert(eq(int, loop_run(b.loop, NULL), 0));
	cr_assert_str_eq(b.seen, "a");
	run_for(&b, 1000);
	loop_free(b.loop);
}

struct poster {
	struct loop *loop;
	pthread_t thread;
	size_t *count;
};

static void
count_up(void *arg)
{
	struct poster *p = arg;

	if (++*p->count == 4 * 10000)
		loop_stop(p->loop);
}

static void *
post_many(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < 10000; i++)
		loop_post(p->loop, count_up, p);
	return NULL;
}

Test(loop, no_post_of_any_thread_is_lost, .timeout = 30)
{
	struct poster posters[4];
	struct bench b;
	size_t count = 0;

	bench_real(&b);
	for (int i = 0; i < 4; i++) {
		posters[i] = (struct poster){.loop = b.loop, .count = &count};
		pthread_create(&posters[i].thread, NULL, post_many, &posters[i]);
	}
	cr_assert(eq(int, loop_run(b.loop, NULL), 0));
	for (int i = 0; i < 4; i++)
		pthread_join(posters[i].thread, NULL);
	cr_assert(eq(sz, count, 4 * 10000));
	loop_free(b.loop);
}

struct watch {
	struct bench bench;
	struct loop_fd *fd;
	int pair[2];
	int what, calls;
	bool free_it, drain;
};

static void
on_watch(void *arg, int what)
{
	struct watch *w = arg;
	char c;

	w->what |= what;
	w->calls++;
	if (w->drain)
		cr_assert(eq(int, (int)read(w->pair[0], &c, 1), 1));
	if (w->free_it) {
		loop_fd_free(w->fd);
		w->fd = NULL;
	}
	if (w->calls == 3)
		loop_fd_want(w->fd, 0);
}

static void
watch_init(struct watch *w)
{
	*w = (struct watch){0};
	bench_real(&w->bench);
	cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, w->pair)));
	cr_assert(eq(int, loop_fd_new(&w->fd, w->bench.loop, w->pair[0], on_watch, w), 0));
}

static void
watch_fini(struct watch *w)
{
	loop_fd_free(w->fd);
	close(w->pair[0]);
	close(w->pair[1]);
	loop_free(w->bench.loop);
}

Test(loop, a_descriptor_is_quiet_until_something_is_wanted)
{
	struct watch w;

	watch_init(&w);
	cr_assert(eq(int, (int)write(w.pair[1], "x", 1), 1));
	run_for(&w.bench, 5000);
	cr_assert(eq(int, w.calls, 0));
	w.drain = true;
	loop_fd_want(w.fd, LOOP_READ);
	run_for(&w.bench, 5000);
	cr_assert(eq(int, w.calls, 1));
	cr_assert(eq(int, w.what, LOOP_READ));
	watch_fini(&w);
}

Test(loop, readiness_is_told_again_until_it_is_paused)
{
	struct watch w;

	watch_init(&w);
	cr_assert(eq(int, (int)write(w.pair[1], "x", 1), 1));
	loop_fd_want(w.fd, LOOP_READ | LOOP_WRITE);
	run_for(&w.bench, 10000);
	cr_assert(eq(int, w.calls, 3));
	cr_assert(eq(int, w.what, LOOP_READ | LOOP_WRITE));
	watch_fini(&w);
}

Test(loop, a_watch_may_be_freed_from_its_own_callback)
{
	struct watch w;

	watch_init(&w);
	w.free_it = true;
	loop_fd_want(w.fd, LOOP_WRITE);
	run_for(&w.bench, 5000);
	cr_assert(eq(int, w.calls, 1));
	watch_fini(&w);
}

Test(loop, a_peer_that_went_away_makes_it_readable)
{
	struct watch w;

	watch_init(&w);
	loop_fd_want(w.fd, LOOP_READ);
	shutdown(w.pair[1], SHUT_RDWR);
	run_for(&w.bench, 5000);
	cr_assert(eq(int, w.what, LOOP_READ));
	watch_fini(&w);
}

static void
check_always_ready(int fd)
{
	struct watch w = {0};

	bench_real(&w.bench);
	cr_assert(eq(int, loop_fd_new(&w.fd, w.bench.loop, fd, on_watch, &w), 0));
	loop_fd_want(w.fd, LOOP_READ);
	run_for(&w.bench, 10000);
	cr_assert(eq(int, w.calls, 3));
	cr_assert(eq(int, w.what, LOOP_READ));
	loop_fd_want(w.fd, LOOP_WRITE);
	w.free_it = true;
	run_for(&w.bench, 5000);
	cr_assert(eq(int, w.calls, 4));
	loop_free(w.bench.loop);
}

Test(loop, what_cannot_be_watched_is_always_ready)
{
	FILE *f = tmpfile();
	int null = open("/dev/null", O_RDWR);

	check_always_ready(fileno(f));
	check_always_ready(null);
	fclose(f);
	close(null);
}

static void
on_usr1(void *arg)
{
	saw(arg, 's');
}

Test(loop, a_signal_is_a_callback)
{
	struct loop_signal *s;
	struct bench b;

	bench_real(&b);
	cr_assert(eq(int, loop_signal_new(&s, b.loop, SIGUSR1, on_usr1, &b), 0));
	raise(SIGUSR1);
	run_for(&b, 5000);
	cr_assert_str_eq(b.seen, "s");
	loop_signal_free(s);
	loop_signal_free(NULL);
	loop_free(b.loop);
}

Test(loop, a_broken_pipe_does_not_kill)
{
	struct bench b;
	int fds[2];

	bench_real(&b);
	cr_assert(zero(int, pipe(fds)));
	close(fds[0]);
	cr_assert(eq(int, (int)write(fds[1], "x", 1), -1));
	close(fds[1]);
	loop_free(b.loop);
}

static void
on_slow(void *arg)
{
	(void)arg;
	usleep(20000);
}

Test(loop, lag_is_the_longest_turn_with_its_deferred_work)
{
	struct loop_task task = {.fn = on_slow};
	struct bench b;

	bench_real(&b);
	loop_post(b.loop, on_slow, NULL);
	loop_defer(b.loop, &task);
	run_for(&b, 60000);
	int64_t lag = loop_lag(b.loop);
	cr_assert(ge(i64, lag, 20000));
	cr_assert(eq(i64, loop_lag(b.loop), 0));
	loop_free(b.loop);
}

static void
on_foreign(evutil_socket_t fd, short what, void *arg)
{
	struct step *s = arg;

	(void)fd;
	(void)what;
	loop_enter(s->bench->loop);
	usleep(20000);
	saw(s->bench, 'f');
	loop_defer(s->bench->loop, &s->task);
}

Test(loop, a_foreign_callback_that_enters_counts_and_may_defer)
{
	struct step s;
	struct bench b;

	bench_real(&b);
	step_init(&s, &b, 'd');
	struct event *ev = event_new(loop_base(b.loop), -1, 0, on_foreign, &s);
	event_active(ev, EV_TIMEOUT, 0);
	event_active(ev, EV_TIMEOUT, 0);
	run_for(&b, 40000);
	cr_assert_str_eq(b.seen, "fd");
	cr_assert(ge(i64, loop_lag(b.loop), 20000));
	event_free(ev);
	loop_free(b.loop);
}

/* --- who goes first --------------------------------------------------------------------------- */

#define CROWD 60

/* A crowd that is ready at once, each of which takes a millisecond, and one who types. */
struct crowd {
	struct bench bench;
	struct event *each[CROWD];
	struct watch typist;
	int left, served, left_at[4];
	bool urgent, again;
};

static void
on_crowd(evutil_socket_t fd, short what, void *arg)
{
	struct crowd *c = arg;

	(void)fd;
	(void)what;
	loop_enter(c->bench.loop);
	if (c->left == CROWD)
		cr_assert(eq(int, (int)write(c->typist.pair[1], "x", 1), 1));
	for (int64_t until = clock_mono(&hw_clock_system) + 1000;
		clock_mono(&hw_clock_system) < until;)
		;
	if (--c->left == 0)
		loop_stop(c->bench.loop);
}

static void
on_typist(void *arg, int what)
{
	struct crowd *c = arg;
	char byte;

	(void)what;
	loop_urge(c->bench.loop, c->typist.pair[0], c->urgent);
	if (!c->again)
		cr_assert(eq(int, (int)read(c->typist.pair[0], &byte, 1), 1));
	if (c->served < 4)
		c->left_at[c->served] = c->left;
	if (c->served++ == 0)
		loop_stop(c->bench.loop);
	for (int64_t until = clock_mono(&hw_clock_system) + (c->again ? 1000 : 0);
		clock_mono(&hw_clock_system) < until;)
		;
}

static void
crowd_run(struct crowd *c, bool urgent, bool again)
{
	*c = (struct crowd){.left = CROWD, .urgent = urgent, .again = again};
	bench_real(&c->bench);
	struct loop *l = c->bench.loop;
	cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, c->typist.pair)));
	cr_assert(zero(int, loop_fd_new(&c->typist.fd, l, c->typist.pair[0], on_typist, c)));
	loop_fd_want(c->typist.fd, LOOP_READ);
	cr_assert(eq(int, (int)write(c->typist.pair[1], "x", 1), 1));
	/* The first time it asks, before there is a crowd. */
	cr_assert(zero(int, loop_run(l, NULL)));
	for (int i = 0; i < CROWD; i++) {
		c->each[i] = event_new(loop_base(l), -1, 0, on_crowd, c);
		event_active(c->each[i], EV_TIMEOUT, 0);
	}
	cr_assert(zero(int, loop_run(l, NULL)));
	for (int i = 0; i < CROWD; i++)
		event_free(c->each[i]);
	loop_fd_free(c->typist.fd);
	close(c->typist.pair[0]);
	close(c->typist.pair[1]);
	loop_free(l);
}

Test(loop, who_is_urgent_goes_before_a_crowd)
{
	struct crowd c;

	crowd_run(&c, true, false);
	cr_assert(ge(int, c.served, 2));
	cr_assert(gt(int, c.left_at[1], CROWD / 2));
}

/* Always ready, and busy: the crowd is served all the same, or this never ends. */
Test(loop, who_is_urgent_for_ever_keeps_nobody_away, .timeout = 60)
{
	struct crowd c;

	crowd_run(&c, true, true);
	cr_assert(zero(int, c.left));
	cr_assert(gt(int, c.served, 1));
}

/* What is deferred while it runs comes at the end of its own turn. */
static void
on_deferring(void *arg, int what)
{
	struct step *s = arg;

	(void)what;
	loop_urge(s->bench->loop, (int)s->usec, true);
	if (s->bench->seen[0] != '\0')
		return;
	saw(s->bench, 'u');
	loop_defer(s->bench->loop, &s->task);
}

Test(loop, the_turn_of_who_is_urgent_has_an_end)
{
	struct loop_fd *fd;
	struct step s;
	struct bench b;
	int pair[2];

	bench_real(&b);
	step_init(&s, &b, 'd');
	cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, pair)));
	cr_assert(eq(int, (int)write(pair[1], "x", 1), 1));
	s.usec = pair[0];
	cr_assert(zero(int, loop_fd_new(&fd, b.loop, pair[0], on_deferring, &s)));
	loop_fd_want(fd, LOOP_READ);
	run_for(&b, 5000);
	cr_assert_str_eq(b.seen, "ud");
	loop_fd_free(fd);
	close(pair[0]);
	close(pair[1]);
	loop_free(b.loop);
}

/* It has no poller, and looks at them itself, in each turn. */
Test(loop_fake, polls_its_descriptors)
{
	struct watch w = {.drain = true};
	struct bench b;

	bench_fake(&b);
	cr_assert(zero(ptr, loop_base(b.loop)));
	cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, w.pair)));
	cr_assert(zero(int, loop_fd_new(&w.fd, b.loop, w.pair[0], on_watch, &w)));
	loop_fd_want(w.fd, LOOP_READ);
	loop_settle(b.loop);
	cr_assert(zero(int, w.calls));
	cr_assert(eq(int, (int)write(w.pair[1], "x", 1), 1));
	loop_settle(b.loop);
	cr_assert(eq(int, w.calls, 1));
	cr_assert(eq(int, w.what, LOOP_READ));
	loop_fd_want(w.fd, 0);
	cr_assert(eq(int, (int)write(w.pair[1], "x", 1), 1));
	loop_settle(b.loop);
	cr_assert(eq(int, w.calls, 1));
	watch_fini(&w);
	loop_free(b.loop);
}
