/*
 * hawser-node-pam, what becomes a program of a user's by way of PAM; a holder starts it as root
 * (node/holder/entry.h).
 *
 *   main.c    what the holder gives it, and the order of things
 *   stages.c  what it asks PAM
 */
#include <sys/prctl.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/holder/entry.h"
#include "node/holder/program.h"
#include "node/monitor/request.h"
#include "node/pam/stages.h"
#include "proto/base/err.h"

#define ABOVE 16 /* where the program's descriptors are while modules are at work */

struct start {
	struct entry_start head;
	struct monitor_request request;
	const char *command; /* with a NUL; before it, as request.h says, the rest */
	uint8_t *bytes;
};

static bool
read_whole(uint8_t *to, int fd, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, to, n);
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

/* From a holder of the same package: another one's is not understood. */
static bool
take_start(struct start *ret, int fd)
{
	const char *why;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(ret->head) ||
		st.st_size > (off_t)(sizeof(ret->head) + REQUEST_MAX) ||
		(ret->bytes = calloc(1, (size_t)st.st_size + 1)) == NULL ||
		!read_whole(ret->bytes, fd, (size_t)st.st_size))
		return false;
	close(fd);
	memcpy(&ret->head, ret->bytes, sizeof(ret->head));
	return ret->head.magic == ENTRY_MAGIC && ret->head.version == ENTRY_VERSION &&
		request_parse(&ret->request, &ret->command, ret->bytes + sizeof(ret->head),
			(size_t)st.st_size - sizeof(ret->head), &why) == 0;
}

/* Modules find nothing to read or write that is the program's. */
static bool
set_aside(struct program *p)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < HOLDER_STREAMS; fd++)
		if ((p->theirs[fd] = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE)) < 0 || dup2(null, fd) < 0)
			return false;
	return true;
}

/* A holder that is gone is answered by nobody, and neither is its program. */
static bool
tie_to_holder(void)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT};
	pid_t holder = getppid();

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_DFL);
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == holder && holder > 1;
}

static int
enter(char ***env, const struct start *st, const struct program *p, const char *service, char *why,
	size_t room)
{
	const char *tty = p->pty ? ttyname(p->theirs[HOLDER_IN]) : NULL;
	const struct stages stages = {
		.service = service,
		.user = st->head.user.name,
		.tty = tty != NULL ? tty : "hawser",
	};
	int r = stages_pass(env, &stages, why, room);

	/* The last line that root runs. */
	return r < 0 ? r : account_become(&st->head.user, why, room);
}

int
main(int argc, char **argv)
{
	struct entry_answer answer = {.code = HW_ESPAWN};
	struct program p = PROGRAM_INIT;
	struct start st = {.bytes = NULL};
	char **env = NULL;

	if (argc != 2 || !take_start(&st, PROGRAM_KEPT_FD)) {
		fputs("hawser-node-pam is started by the node's agent\n", stderr);
		return 2;
	}
	p.pty = st.request.kind == REQUEST_PTY;
	if (fcntl(PROGRAM_REPORT_FD, F_SETFD, FD_CLOEXEC) < 0 || !tie_to_holder() || !set_aside(&p))
		return 1;
	answer.code = enter(&env, &st, &p, argv[1], answer.text, sizeof(answer.text));
	if (prctl(PR_SET_PDEATHSIG, 0) < 0 ||
		write(PROGRAM_REPORT_FD, &answer, sizeof(answer)) != sizeof(answer) ||
		answer.code < 0)
		return 1;
	program_become(&p, &st.request, st.command, &st.head.user, env);
}
