#include "node/launch.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/config.h"
#include "node/monitor/monitor.h"
#include "node/upgrade/slots.h"
#include "proto/base/file.h"

#define ARGS_MAX      64
#define LOOK_EVERY_MS 100
#define AGAIN_MS      500   /* before a monitor of a trial that ended is started again */
#define LOCK_MS	      15000 /* for what is left of it to let go of the agent's directory */
#define LEAVE_MS      15000 /* for it to leave its sessions to the next */

/* A slot under trial, and the monitor there. */
struct watch {
	const struct launch *launch;
	const char *self; /* the launcher's path */
	int slots;
	struct slot slot;
	sigset_t signals;
	pid_t child;
	bool decided;	 /* it was taken: the parent does nothing more than to stay */
	int64_t leaving; /* since when the child is to leave; 0: it is not */
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- starting what was chosen ----------------------------------------------------------------- */

/* The arguments as they were, and who has launched it. */
static void
exec_slot(const struct launch *l, const struct slot *s, const char *launcher)
{
	char path[PATH_MAX];
	char *args[ARGS_MAX + 3];
	int n = 0;

	snprintf(path, sizeof(path), "%s/%c/hawser-node", l->slots, s->name);
	while (n < ARGS_MAX && l->argv[n] != NULL) {
		args[n] = l->argv[n];
		n++;
	}
	args[n++] = (char *)"--launcher";
	args[n++] = (char *)launcher;
	args[n] = NULL;
	execv(path, args);
	fprintf(stderr, "hawser-node: cannot run %s: %s\n", path, strerror(errno));
}

/* The network process may outlive its monitor for a moment, and one of a version that does not work
 * may hold what it should not. */
static void
wait_for_directory(const struct launch *l)
{
	int64_t until = now_ms() + LOCK_MS;
	int dir = -1, lock = -1;

	if (dir_open(&dir, l->dir, false, NULL) < 0)
		return;
	while (file_lock(&lock, dir, NODE_LOCK, NULL) == HW_EEXISTS && now_ms() < until)
		poll(NULL, 0, LOOK_EVERY_MS);
	fd_close(lock);
	fd_close(dir);
}

static void
exec_self(const struct watch *w)
{
	wait_for_directory(w->launch);
	sigprocmask(SIG_UNBLOCK, &w->signals, NULL);
	execv(w->self, w->launch->argv);
	fprintf(stderr, "hawser-node: cannot run %s: %s\n", w->self, strerror(errno));
	exit(1);
}

/* --- a trial ---------------------------------------------------------------------------------- */

/* Without its parent it would go on untried. */
static void
start(struct watch *w)
{
	pid_t parent = getpid();

	w->child = fork();
	if (w->child != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	if (getppid() != parent)
		_exit(1);
	sigprocmask(SIG_UNBLOCK, &w->signals, NULL);
	exec_slot(w->launch, &w->slot, LAUNCH_BY_PARENT);
	_exit(127);
}

/* One that does not start was asked for by nobody but the trial, which ends for it. */
static void
on_end(struct watch *w, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	w->child = 0;
	if (code == UPLINK_EXIT_AGAIN || w->leaving != 0)
		exec_self(w);
	if (w->decided)
		exit(code);
	fprintf(stderr, "hawser-node: the version that is tried ended with %d\n", code);
}

static void
reap(struct watch *w)
{
	int status;
	pid_t pid;

	/* Holders that were started before the launch are children of this process too. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == w->child)
			on_end(w, status);
}

static void
decide(struct watch *w)
{
	struct slots_seen now = slots_look(w->slots);
	enum slots_fate fate = slots_fate(&w->slot, &now.current, &now.trial, now.watched);

	w->decided = fate == SLOTS_TAKEN;
	if (fate != SLOTS_ENDED)
		return;
	fprintf(stderr, "hawser-node: the trial of %s is over, what ran before comes back\n",
		w->slot.version);
	if (now.trial.name != 0)
		slots_drop(w->slots, SLOTS_TRIAL, NULL);
	if (w->child <= 0)
		exec_self(w);
	w->leaving = now_ms();
	kill(w->child, SIGUSR1);
}

static void
on_time(struct watch *w)
{
	if (w->leaving != 0 && now_ms() - w->leaving > LEAVE_MS && w->child > 0)
		kill(w->child, SIGKILL);
	if (!w->decided && w->leaving == 0)
		decide(w);
}

/* What is said to the launcher is meant for the agent, which is the child, or is about to be. */
static void
stay(struct watch *w)
{
	const struct timespec look = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
	int64_t again = 0;
	bool stopping = false;

	for (;;) {
		int signo = w->decided ? sigwaitinfo(&w->signals, NULL)
				       : sigtimedwait(&w->signals, NULL, &look);
		if (signo > 0 && signo != SIGCHLD) {
			stopping = w->decided = true;
			if (w->child <= 0)
				exit(0);
			kill(w->child, signo);
		}
		bool had = w->child > 0;
		reap(w);
		if (had && w->child <= 0)
			again = now_ms() + AGAIN_MS;
		if (!stopping)
			on_time(w);
		if (w->child <= 0 && now_ms() >= again)
			start(w);
	}
}

static void
try(const struct launch *l, const char *self, int slots, const struct slot *s)
{
	struct watch w = {.launch = l, .self = self, .slots = slots, .slot = *s};

	sigemptyset(&w.signals);
	sigaddset(&w.signals, SIGCHLD);
	sigaddset(&w.signals, SIGTERM);
	sigaddset(&w.signals, SIGINT);
	sigaddset(&w.signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &w.signals, NULL);
	signal(SIGCHLD, SIG_DFL);
	fprintf(stderr, "hawser-node: trying %s from slot %c\n", s->version, s->name);
	start(&w);
	stay(&w);
}

/* --- what is to be started ---------------------------------------------------------------------
 */

void
launch(const struct launch *l)
{
	char self[PATH_MAX] = "";
	struct hw_err err = HW_ERR_INIT;
	struct slot s = {.name = 0};
	int slots = -1, r = slots_open(&slots, l->slots, false, &err);

	if (r < 0) {
		if (r != HW_ENOTFOUND)
			fprintf(stderr, "hawser-node: no upgrade counts: %s\n", hw_err_text(&err));
		return;
	}
	struct slots_seen now = slots_look(slots);
	enum slots_verdict v =
		slots_choose(&s, &now.current, &now.trial, now.watched, HAWSER_VERSION);

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		v = SLOTS_PACKAGE;
	if (now.trial.name != 0 && !now.watched) {
		fprintf(stderr, "hawser-node: the trial of %s was cut short, and is over\n",
			now.trial.version);
		slots_drop(slots, SLOTS_TRIAL, NULL);
	}
	if (v == SLOTS_TRY)
		try(l, self, slots, &s);
	fd_close(slots);
	if (v == SLOTS_SLOT && (r = slots_starts(l->slots, &s, &err)) < 0)
		fprintf(stderr,
			"hawser-node: the package's programs run instead of slot %c's: %s\n",
			s.name, hw_err_text(&err));
	else if (v == SLOTS_SLOT)
		exec_slot(l, &s, self);
}
