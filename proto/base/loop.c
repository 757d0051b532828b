#include "proto/base/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/timers.h"

/* Libevent's, of which 0 goes first. What is not said to be urgent is created in the middle, which
 * is the last of two. */
enum { PRIORITY_URGENT, PRIORITY_USUAL, PRIORITIES };

#define SLICE_USEC  2000  /* of what is usual, until what is urgent is looked for again */
#define URGENT_MOST 20000 /* of what is urgent, microseconds, while what is usual waits */

struct post {
	struct post *next;
	void (*fn)(void *);
	void *arg;
};

struct loop {
	const struct hw_clock *clock;
	struct fake_clock *fake; /* NULL on libevent */

	/* What other threads reach. */
	pthread_mutex_t lock;
	struct post *posts, **posts_end;
	int wake; /* an eventfd, written when posts stops being empty; -1 on a fake loop */

	struct loop_task *tasks, **tasks_end;
	struct timers timers;
	LIST_HEAD(, loop_fd) fds; /* of a fake loop */
	struct loop_fd *next_fd;  /* that is looked at */
	int64_t armed;		  /* when on_alarm will come; INT64_MAX when it will not */

	bool dispatching;     /* all that runs now is some event's callback */
	bool in_turn, urgent; /* urgent: its end has priority as well */
	int64_t turn_start, lag;

	struct event_base *base;
	struct event *on_wake, *on_alarm, *on_turn_end, *on_urgent_end;
	int64_t urgent_start, urgent_took; /* took: since what is usual had a turn */
	bool stopping;
};

/* --- turns ----------------------------------------------------------------------------------- */

/* libevent may be asked for it only while one runs. */
static struct event *
running_event(const struct loop *l)
{
	return l->dispatching ? event_base_get_running_event(l->base) : NULL;
}

static bool
runs_urgent(const struct loop *l)
{
	struct event *e = running_event(l);

	return e != NULL && event_get_priority(e) == PRIORITY_URGENT;
}

/* libevent says neither when it wakes nor when it is about to sleep. So the first callback of a
 * turn activates on_turn_end, which libevent then runs after all that was active already. A turn of
 * what is urgent has an end of its own, which is not behind everything else that was active. */
void
loop_enter(struct loop *l)
{
	bool urgent = (!l->in_turn || !l->urgent) && runs_urgent(l);

	if (l->in_turn && !urgent)
		return;
	int64_t now = clock_mono(l->clock);
	if (!l->in_turn)
		l->turn_start = now;
	if (urgent)
		l->urgent_start = now;
	else
		l->urgent_took = 0;
	l->in_turn = true;
	l->urgent = urgent;
	struct event *end = urgent ? l->on_urgent_end : l->on_turn_end;
	if (end != NULL)
		event_active(end, EV_TIMEOUT, 0);
}

static void
set_priority(struct loop *l, struct event *e, bool urgent)
{
	int priority = urgent && l->urgent_took < URGENT_MOST ? PRIORITY_URGENT : PRIORITY_USUAL;

	if (event_get_priority(e) != priority)
		event_priority_set(e, priority); /* fails, and is tried again, when it is active */
}

void
loop_urge(struct loop *l, int fd, bool urgent)
{
	struct event *e = running_event(l);

	if (e != NULL && event_get_fd(e) == fd)
		set_priority(l, e, urgent);
}

static bool
run_tasks(struct loop *l)
{
	struct loop_task *task;
	bool ran = false;

	while ((task = l->tasks) != NULL) {
		l->tasks = task->next;
		if (l->tasks == NULL)
			l->tasks_end = &l->tasks;
		task->queued = false;
		ran = true;
		task->fn(task->arg); /* may free the task */
	}
	return ran;
}

static bool
end_turn(struct loop *l)
{
	bool ran = run_tasks(l);

	if (l->in_turn) {
		int64_t now = clock_mono(l->clock), took = now - l->turn_start;
		if (l->urgent)
			l->urgent_took += now - l->urgent_start;
		l->in_turn = l->urgent = false;
		if (took > l->lag)
			l->lag = took;
	}
	return ran;
}

static void
on_turn_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_turn(arg);
}

int64_t
loop_lag(struct loop *l)
{
	int64_t lag = l->lag;

	l->lag = 0;
	return lag;
}

void
loop_defer(struct loop *l, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*l->tasks_end = task;
	l->tasks_end = &task->next;
	loop_enter(l); /* outside of a turn, this asks for one */
}

void
loop_undefer(struct loop *l, struct loop_task *task)
{
	struct loop_task **at = &l->tasks;

	if (!task->queued)
		return;
	while (*at != task) {
		hw_assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = task->next;
	if (l->tasks_end == &task->next)
		l->tasks_end = at;
	task->queued = false;
}

/* --- work from other threads ----------------------------------------------------------------- */

void
loop_post(struct loop *l, void (*fn)(void *), void *arg)
{
	struct post *p = malloc(sizeof(*p));

	if (p == NULL) {
		fputs("hawser: out of memory for posted work\n", stderr);
		abort();
	}
	*p = (struct post){.fn = fn, .arg = arg};
	pthread_mutex_lock(&l->lock);
	bool first = l->posts == NULL;
	*l->posts_end = p;
	l->posts_end = &p->next;
	/* Inside the lock: once it is released the loop may run this and be freed. */
	if (first && l->wake >= 0)
		eventfd_write(l->wake, 1);
	pthread_mutex_unlock(&l->lock);
}

static struct post *
posts_take(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct post *all = l->posts;
	l->posts = NULL;
	l->posts_end = &l->posts;
	pthread_mutex_unlock(&l->lock);
	return all;
}

/* Runs what is posted now; what these post waits for the next turn. */
static bool
run_posts(struct loop *l)
{
	struct post *p = posts_take(l), *next;
	bool ran = p != NULL;

	for (; p != NULL; p = next) {
		next = p->next;
		p->fn(p->arg);
		free(p);
	}
	return ran;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	eventfd_t count;

	(void)what;
	loop_enter(l);
	eventfd_read(fd, &count); /* before the queue is taken, or a wake-up could be lost */
	run_posts(l);
	set_priority(l, l->on_wake, true);
}

/* --- timers ---------------------------------------------------------------------------------- */

/* The alarm is moved only when it would come too late: one that comes early finds nothing due and
 * is set again, which is cheaper than following every timer that is pushed back. */
static void
set_alarm(struct loop *l)
{
	struct loop_timer *first = timers_first(&l->timers);

	if (l->on_alarm == NULL || first == NULL || first->due >= l->armed)
		return;
	int64_t wait = first->due - clock_mono(l->clock);
	if (wait < 0)
		wait = 0;
	struct timeval tv = {.tv_sec = wait / USEC_PER_SEC, .tv_usec = wait % USEC_PER_SEC};
	event_add(l->on_alarm, &tv);
	l->armed = first->due;
}

static bool
run_timers(struct loop *l)
{
	int64_t now = clock_mono(l->clock);
	struct loop_timer *t;
	bool ran = false;

	while ((t = timers_first(&l->timers)) != NULL && t->due <= now) {
		timers_remove(&l->timers, t);
		ran = true;
		t->fn(t->arg); /* may free the timer */
	}
	return ran;
}

static void
on_alarm(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	loop_enter(l);
	l->armed = INT64_MIN; /* the callbacks' own timers are looked at once, below */
	run_timers(l);
	l->armed = INT64_MAX;
	set_alarm(l);
}

/* Far ahead of anything real, and short enough for the kernel's and libevent's sums. */
#define LONGEST_WAIT (INT64_C(100) * 365 * 24 * 3600 * USEC_PER_SEC)

void
loop_timer_start(struct loop *l, struct loop_timer *t, int64_t usec)
{
	if (usec < 0)
		usec = 0;
	if (usec > LONGEST_WAIT)
		usec = LONGEST_WAIT;
	timers_remove(&l->timers, t);
	t->due = clock_mono(l->clock) + usec;
	timers_add(&l->timers, t);
	set_alarm(l);
}

void
loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	timers_remove(&l->timers, t);
}

/* --- descriptors ----------------------------------------------------------------------------- */

struct loop_fd {
	struct loop *loop;
	void (*fn)(void *arg, int what);
	void *arg;
	struct event *event; /* NULL on a fake loop */
	LIST_ENTRY(loop_fd) entry;
	int fd, want;
	bool always; /* epoll refuses regular files and /dev/null; they are always ready */
};

static bool
epoll_refuses(int fd)
{
	struct stat st;
	struct epoll_event ev = {.events = EPOLLIN};

	if (fstat(fd, &st) < 0 || S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))
		return false;
	int probe = epoll_create1(EPOLL_CLOEXEC);
	if (probe < 0)
		return false;
	bool refused = epoll_ctl(probe, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EPERM;
	fd_close(probe);
	return refused;
}

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;
	int ready = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);

	(void)fd;
	loop_enter(f->loop);
	if (f->always) {
		ready = f->want;
		event_add(f->event, &(struct timeval){0}); /* again in the next turn */
	}
	f->fn(f->arg, ready); /* may free f */
}

int
loop_fd_new(struct loop_fd **ret, struct loop *l, int fd, void (*fn)(void *arg, int what),
	void *arg)
{
	struct loop_fd *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return HW_ENOMEM;
	*f = (struct loop_fd){.loop = l, .fn = fn, .arg = arg, .fd = fd};
	if (l->fake != NULL) {
		LIST_INSERT_HEAD(&l->fds, f, entry);
		*ret = f;
		return 0;
	}
	f->always = epoll_refuses(fd);
	f->event = event_new(l->base, f->always ? -1 : fd, 0, on_fd, f);
	if (f->event == NULL) {
		free(f);
		return HW_ENOMEM;
	}
	*ret = f;
	return 0;
}

static bool
watch(struct loop_fd *f)
{
	short flags = EV_PERSIST;

	if (f->want & LOOP_READ)
		flags |= EV_READ;
	if (f->want & LOOP_WRITE)
		flags |= EV_WRITE;
	event_assign(f->event, f->loop->base, f->fd, flags, on_fd, f);
	return event_add(f->event, NULL) == 0;
}

void
loop_fd_want(struct loop_fd *f, int what)
{
	if (what == f->want)
		return;
	if (f->event == NULL) {
		f->want = what;
		return;
	}
	event_del(f->event);
	f->want = what;
	if (what == 0 || (!f->always && watch(f)))
		return;
	if (!f->always) { /* say it is ready: the owner's read or write will tell what is wrong */
		f->always = true;
		event_assign(f->event, f->loop->base, -1, 0, on_fd, f);
	}
	event_add(f->event, &(struct timeval){0});
}

void
loop_fd_free(struct loop_fd *f)
{
	if (f == NULL)
		return;
	if (f->event == NULL) {
		if (f->loop->next_fd == f)
			f->loop->next_fd = LIST_NEXT(f, entry);
		LIST_REMOVE(f, entry);
	} else {
		event_free(f->event);
	}
	free(f);
}

static bool
look_at(struct loop_fd *f)
{
	short events = (f->want & LOOP_READ ? POLLIN : 0) | (f->want & LOOP_WRITE ? POLLOUT : 0);
	struct pollfd p = {.fd = f->fd, .events = events};
	int ready = f->want;

	if (f->want == 0 || poll(&p, 1, 0) <= 0)
		return false;
	if ((p.revents & (POLLIN | POLLHUP | POLLERR)) == 0)
		ready &= ~LOOP_READ;
	if ((p.revents & (POLLOUT | POLLERR)) == 0)
		ready &= ~LOOP_WRITE;
	if (ready == 0)
		return false;
	f->fn(f->arg, ready); /* may free f */
	return true;
}

/* A fake loop's turn: whether any was ready. */
static bool
run_fds(struct loop *l)
{
	struct loop_fd *f;
	bool ran = false;

	for (l->next_fd = LIST_FIRST(&l->fds); (f = l->next_fd) != NULL;) {
		l->next_fd = LIST_NEXT(f, entry);
		ran |= look_at(f);
	}
	return ran;
}

/* --- signals --------------------------------------------------------------------------------- */

struct loop_signal {
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	struct event *event;
};

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)signo;
	(void)what;
	loop_enter(s->loop);
	s->fn(s->arg); /* may free s */
}

int
loop_signal_new(struct loop_signal **ret, struct loop *l, int signo, void (*fn)(void *arg),
	void *arg)
{
	hw_assert(l->base != NULL);
	struct loop_signal *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return HW_ENOMEM;
	*s = (struct loop_signal){.loop = l, .fn = fn, .arg = arg};
	s->event = event_new(l->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, s);
	if (s->event == NULL || event_add(s->event, NULL) < 0) {
		loop_signal_free(s);
		return HW_ESYS;
	}
	*ret = s;
	return 0;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	if (s->event != NULL)
		event_free(s->event);
	free(s);
}

/* --- life ------------------------------------------------------------------------------------ */

static struct loop *
loop_alloc(const struct hw_clock *clock)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->clock = clock;
	l->wake = -1;
	l->armed = INT64_MAX;
	l->posts_end = &l->posts;
	l->tasks_end = &l->tasks;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

struct loop *
loop_new_fake(struct fake_clock *clock)
{
	struct loop *l = loop_alloc(&clock->clock);

	if (l != NULL)
		l->fake = clock;
	return l;
}

static struct event_base *
make_base(void)
{
	static const struct timeval slice = {.tv_usec = SLICE_USEC};
	struct event_config *how = event_config_new();
	struct event_base *base = NULL;

	if (how != NULL &&
		event_config_set_max_dispatch_interval(how, &slice, -1, PRIORITY_USUAL) == 0)
		base = event_base_new_with_config(how);
	if (base != NULL && event_base_priority_init(base, PRIORITIES) < 0) {
		event_base_free(base);
		base = NULL;
	}
	if (how != NULL)
		event_config_free(how);
	return base;
}

static int
open_base(struct loop *l, struct hw_err *err)
{
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake < 0)
		return hw_err_sys(err, "cannot make the loop's eventfd");
	l->base = make_base();
	if (l->base == NULL)
		return hw_err_sys(err, "cannot make the event loop");
	l->on_wake = event_new(l->base, l->wake, EV_READ | EV_PERSIST, on_wake, l);
	l->on_alarm = event_new(l->base, -1, 0, on_alarm, l);
	l->on_turn_end = event_new(l->base, -1, 0, on_turn_end, l);
	l->on_urgent_end = event_new(l->base, -1, 0, on_turn_end, l);
	if (l->on_wake == NULL || l->on_alarm == NULL || l->on_turn_end == NULL ||
		l->on_urgent_end == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the event loop");
	event_priority_set(l->on_wake, PRIORITY_URGENT);
	event_priority_set(l->on_urgent_end, PRIORITY_URGENT);
	if (event_add(l->on_wake, NULL) < 0)
		return hw_err_sys(err, "cannot watch the loop's eventfd");
	return 0;
}

int
loop_new(struct loop **ret, struct hw_err *err)
{
	struct loop *l = loop_alloc(&hw_clock_system);
	int r;

	if (l == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the event loop");
	if ((r = open_base(l, err)) < 0) {
		loop_free(l);
		return r;
	}
	signal(SIGPIPE, SIG_IGN);
	*ret = l;
	return 0;
}

static void
event_free_if(struct event *ev)
{
	if (ev != NULL)
		event_free(ev);
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (run_posts(l) || run_tasks(l))
		;
	event_free_if(l->on_wake);
	event_free_if(l->on_alarm);
	event_free_if(l->on_turn_end);
	event_free_if(l->on_urgent_end);
	if (l->base != NULL)
		event_base_free(l->base);
	fd_close(l->wake);
	timers_fini(&l->timers);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

int
loop_run(struct loop *l, struct hw_err *err)
{
	hw_assert(l->base != NULL);
	while (!l->stopping) {
		l->dispatching = true;
		int r = event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
		l->dispatching = false;
		if (r < 0)
			return hw_err_set(err, HW_ESYS, "the event loop failed");
	}
	end_turn(l);
	l->stopping = false;
	return 0;
}

void
loop_stop(struct loop *l)
{
	l->stopping = true;
	if (l->base != NULL)
		event_base_loopbreak(l->base);
}

const struct hw_clock *
loop_clock(const struct loop *l)
{
	return l->clock;
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

/* --- for tests ------------------------------------------------------------------------------- */

void
loop_settle(struct loop *l)
{
	bool ran;

	do {
		loop_enter(l);
		ran = run_posts(l);
		if (l->fake != NULL)
			ran |= run_timers(l);
		if (l->fake != NULL)
			ran |= run_fds(l);
		ran |= end_turn(l);
	} while (ran);
}

void
loop_advance(struct loop *l, int64_t usec)
{
	hw_assert(l->fake != NULL);
	int64_t end = l->fake->now_mono + usec;
	struct loop_timer *t;

	loop_settle(l);
	while ((t = timers_first(&l->timers)) != NULL && t->due <= end) {
		fake_clock_advance(l->fake, t->due - l->fake->now_mono);
		loop_settle(l);
	}
	fake_clock_advance(l->fake, end - l->fake->now_mono);
}
