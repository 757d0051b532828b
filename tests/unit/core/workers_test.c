#include "relay/core/workers.h"

#include <stdatomic.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

struct job {
	atomic_int ran;
	int done;
	struct loop *loop;
	int expected;
};

static void
run(void *arg)
{
	struct job *j = arg;

	atomic_fetch_add(&j->ran, 1);
}

static void
done(void *arg)
{
	struct job *j = arg;

	if (++j->done == j->expected)
		loop_stop(j->loop);
}

Test(workers, each_piece_of_work_runs_once_and_is_done_on_the_loop)
{
	struct job j = {.expected = 500};
	struct workers *w;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, loop_new(&j.loop, &err), 0));
	cr_assert(eq(int, workers_new(&w, j.loop, 4, &err), 0));
	for (int i = 0; i < 500; i++)
		cr_assert(workers_submit(w, run, done, &j));
	loop_run(j.loop, &err);
	cr_assert(eq(int, j.ran, 500));
	workers_free(w);
	loop_free(j.loop);
}

Test(workers, freeing_finishes_what_was_queued)
{
	struct job j = {.expected = 1000};
	struct workers *w;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, loop_new(&j.loop, &err), 0));
	cr_assert(eq(int, workers_new(&w, j.loop, 2, &err), 0));
	for (int i = 0; i < 100; i++)
		cr_assert(workers_submit(w, run, done, &j));
	workers_free(w);
	loop_settle(j.loop);
	cr_assert(eq(int, j.ran, 100));
	cr_assert(eq(int, j.done, 100));
	loop_free(j.loop);
}

struct asked {
	struct loop *loop;
	atomic_bool answered;
};

static void
answer(void *arg)
{
	struct asked *a = arg;

	atomic_store(&a->answered, true);
}

static void
ask_the_loop(void *arg)
{
	struct asked *a = arg;

	loop_post(a->loop, answer, a);
	while (!atomic_load(&a->answered))
		;
}

static void
forget(void *arg)
{
	(void)arg;
}

Test(workers, freeing_answers_who_waits_for_the_loop, .timeout = 60)
{
	struct asked a = {.answered = false};
	struct hw_err err = HW_ERR_INIT;
	struct workers *w;

	cr_assert(eq(int, loop_new(&a.loop, &err), 0));
	cr_assert(eq(int, workers_new(&w, a.loop, 1, &err), 0));
	cr_assert(workers_submit(w, ask_the_loop, forget, &a));
	workers_free(w);
	cr_assert(a.answered);
	loop_free(a.loop);
}

static void
wait_for_it(void *arg)
{
	atomic_int *go = arg;

	while (!atomic_load(go))
		;
}

static void
nothing(void *arg)
{
	(void)arg;
}

Test(workers, a_full_queue_says_so)
{
	struct loop *l;
	struct workers *w;
	struct hw_err err = HW_ERR_INIT;
	atomic_int go = 0;
	int n = 0;

	cr_assert(eq(int, loop_new(&l, &err), 0));
	cr_assert(eq(int, workers_new(&w, l, 1, &err), 0));
	while (workers_submit(w, wait_for_it, nothing, &go))
		cr_assert(le(int, ++n, WORKERS_QUEUE_MAX + 1));
	cr_assert(ge(int, n, WORKERS_QUEUE_MAX));
	atomic_store(&go, 1);
	workers_free(w);
	loop_free(l);
}

struct turns {
	char order[16];
	atomic_size_t n;
};

static void
of_the_crowd(void *arg)
{
	struct turns *t = arg;

	t->order[t->n++] = 'c';
}

static void
of_another(void *arg)
{
	struct turns *t = arg;

	t->order[t->n++] = 'o';
}

Test(workers, a_crowd_takes_turns_with_others_who_came_later)
{
	struct loop *l;
	struct workers *w;
	struct turns t = {.n = 0};
	struct hw_err err = HW_ERR_INIT;
	atomic_int go = 0;

	cr_assert(eq(int, loop_new(&l, &err), 0));
	cr_assert(eq(int, workers_new(&w, l, 1, &err), 0));
	cr_assert(workers_submit_crowd(w, wait_for_it, nothing, &go));
	for (int i = 0; i < 6; i++)
		cr_assert(workers_submit_crowd(w, of_the_crowd, nothing, &t));
	for (int i = 0; i < 3; i++)
		cr_assert(workers_submit(w, of_another, nothing, &t));
	atomic_store(&go, 1);
	workers_free(w);
	/* Whose turn is first depends on when the worker began. */
	cr_assert(eq(sz, strlen(t.order), 9));
	cr_assert(lt(sz, (size_t)(strrchr(t.order, 'o') - t.order), 6), "%s", t.order);
	loop_free(l);
}

Test(workers, a_crowd_that_fills_its_queue_leaves_room_for_others)
{
	struct loop *l;
	struct workers *w;
	struct hw_err err = HW_ERR_INIT;
	atomic_int go = 0;
	int n = 0;

	cr_assert(eq(int, loop_new(&l, &err), 0));
	cr_assert(eq(int, workers_new(&w, l, 1, &err), 0));
	while (workers_submit_crowd(w, wait_for_it, nothing, &go))
		cr_assert(le(int, ++n, WORKERS_QUEUE_MAX + 1));
	cr_assert(workers_submit(w, wait_for_it, nothing, &go));
	atomic_store(&go, 1);
	workers_free(w);
	loop_free(l);
}
