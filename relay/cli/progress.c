#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "relay/cli/backup.h"

#define SAY_EVERY (200 * USEC_PER_MSEC)

static void
fill(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void
progress_catch_signals(void)
{
	sigset_t set;

	fill(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

bool
progress_stopped(const struct progress *p)
{
	sigset_t set;

	(void)p;
	return sigpending(&set) == 0 &&
		(sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1 ||
			sigismember(&set, SIGHUP) == 1);
}

pid_t
progress_fork(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return fork();
}

int
progress_wait(pid_t child)
{
	int status, signal;
	sigset_t set;

	fill(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(child, &status, WNOHANG) == 0)
		if (sigwait(&set, &signal) == 0 && signal != SIGCHLD)
			(void)kill(child, SIGTERM);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
progress_size(char *out, size_t room, uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	size_t unit = 0;

	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(out, room, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

void
progress_begin(struct progress *p, uint64_t total)
{
	*p = (struct progress){
		.shown = isatty(STDERR_FILENO) == 1,
		.total = total,
		.begun = clock_mono(&hw_clock_system),
	};
	p->said = p->begun;
}

void
progress_step(void *progress, uint64_t bytes)
{
	struct progress *p = progress;
	char done[32], total[32], rate[32];

	p->done += bytes;
	if (!p->shown)
		return;
	int64_t now = clock_mono(&hw_clock_system), took = now - p->begun;
	if (now - p->said < SAY_EVERY || took <= 0)
		return;
	p->said = now;
	progress_size(done, sizeof(done), p->done);
	progress_size(rate, sizeof(rate), (uint64_t)((double)p->done * 1e6 / (double)took));
	if (p->total == 0) {
		fprintf(stderr, "\r%s, %s/s\033[K", done, rate);
		return;
	}
	progress_size(total, sizeof(total), p->total);
	fprintf(stderr, "\r%s of %s, %s/s\033[K", done, total, rate);
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
}
