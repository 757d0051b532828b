#include "node/holder/entry.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/program.h"
#include "node/holder/sweep.h"
#include "node/monitor/request.h"
#include "proto/base/err.h"

static bool
put(int fd, const void *p, size_t n)
{
	return write(fd, p, n) == (ssize_t)n;
}

/* Read from its begin. -1 and errno. */
static int
hold_start(const struct monitor_request *r, const char *command, const struct account *a)
{
	const struct entry_start head = {
		.magic = ENTRY_MAGIC, .version = ENTRY_VERSION, .user = *a};
	size_t before = r->directory_len + r->environment_len;
	int fd = memfd_create("hawser-start", MFD_CLOEXEC);

	if (fd >= 0 && put(fd, &head, sizeof(head)) && put(fd, r, sizeof(*r)) &&
		put(fd, command - before, before + r->command_len) && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* In the child, whose memory is the holder's until it is executed. */
static void __attribute__((noreturn))
become_entry(const struct program *p, const struct entry *e, int start, int report)
{
	char *const args[] = {(char *)"hawser-node-pam", (char *)e->service, NULL};
	char *const env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	struct entry_answer failed = {.code = HW_ESPAWN};

	if (program_lead() && program_descriptors(p, report, start) &&
		fcntl(PROGRAM_REPORT_FD, F_SETFD, 0) == 0)
		execve(e->program, args, env);
	snprintf(failed.text, sizeof(failed.text), "cannot run %.120s, which asks PAM: %s",
		e->program, strerror(errno));
	if (write(PROGRAM_REPORT_FD, &failed, sizeof(failed)) < 0)
		_exit(126);
	_exit(127);
}

static pid_t __attribute__((noinline))
fork_entry(const struct program *p, const struct entry *e, int start, int report)
{
	pid_t pid = vfork();

	if (pid == 0)
		become_entry(p, e, start, report);
	return pid;
}

static int
within_ms(const struct entry *e)
{
	return e->within_ms > 0 ? e->within_ms : ENTRY_WITHIN_MS;
}

static int
take_answer(int report, const struct entry *e, char *why, size_t room)
{
	struct pollfd p = {report, POLLIN, 0};
	struct entry_answer got;
	int ready;

	while ((ready = poll(&p, 1, within_ms(e))) < 0 && errno == EINTR)
		;
	if (ready == 0) {
		snprintf(why, room,
			"PAM has not answered within %d ms: a module of the service %s hangs",
			within_ms(e), e->service);
		return HW_ESPAWN;
	}
	if (read(report, &got, sizeof(got)) != (ssize_t)sizeof(got)) {
		snprintf(why, room,
			"the process that asked PAM ended before it had an answer: a module of the "
			"service %s ended it",
			e->service);
		return HW_ESPAWN;
	}
	if (got.code != 0)
		snprintf(why, room, "%.*s", (int)sizeof(got.text), got.text);
	return got.code;
}

int
entry_begin(int *report, struct program *p, const struct entry *e, const struct monitor_request *r,
	const char *command, const struct account *a, char *why, size_t room)
{
	int fds[2], start = hold_start(r, command, a), code;

	if (start < 0 || pipe2(fds, O_CLOEXEC) < 0) {
		snprintf(why, room, "cannot ask PAM: %s", strerror(errno));
		return HW_ESPAWN;
	}
	p->pid = fork_entry(p, e, start, fds[1]);
	int error = errno;
	close(start);
	close(fds[1]);
	program_close_theirs(p);
	if (p->pid < 0) {
		snprintf(why, room, "cannot start a process: %s", strerror(error));
		code = HW_ESPAWN;
	} else if ((code = take_answer(fds[0], e, why, room)) < 0) {
		/* With what modules have started. It is init's to reap: one that hangs may not even
		 * die. */
		kill(p->pid, SIGKILL);
		sweep_session(p->pid, SIGKILL, UINT64_MAX);
	}
	if (code < 0)
		close(fds[0]);
	else
		*report = fds[0];
	return code;
}
