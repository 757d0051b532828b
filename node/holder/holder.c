#include "node/holder/holder.h"

#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/holder/entry.h"
#include "node/holder/screen.h"
#include "node/holder/serve.h"
#include "node/monitor/local_policy.h"
#include "node/monitor/request.h"
#include "proto/base/err.h"

/* What is needed until the program runs. */
struct start {
	struct holder_start given;
	struct holder holder;
	struct account user, agent;
	char socket[128];
	bool bound; /* the socket's file is ours */
	int theirs; /* the uplink's end of the connection */
	struct monitor_reply reply;
};

static int __attribute__((format(printf, 3, 4)))
failed(struct start *st, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(st->reply.text, sizeof(st->reply.text), fmt, ap);
	va_end(ap);
	return code;
}

void
holder_socket_name(char out[128], const char *session_id)
{
	snprintf(out, 128, "%.100s.sock", session_id);
}

/* A socket of the same name that nobody listens on is left from a holder that was killed. */
static bool
is_dead(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 &&
		errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return dead;
}

static bool
bind_socket(struct start *st)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = st->holder.listening;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.107s", st->socket);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return true;
	return errno == EADDRINUSE && is_dead(&sun) &&
		unlinkat(st->given.run_dir, st->socket, 0) == 0 &&
		bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
}

/* Of a disk. */
static bool
has_no_room(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EROFS || error == EIO;
}

/* Somebody may come to see to that disk. No other agent takes the session over then. */
static int
go_unadopted(struct start *st)
{
	close(st->holder.listening);
	st->holder.listening = -1;
	return chdir("/") == 0 ? 0 : failed(st, HW_ESPAWN, "cannot enter /: %s", strerror(errno));
}

/* Bound by its name in the current directory, since the whole path may be too long for an address.
 */
static int
listen_for_adoption(struct start *st)
{
	int fd = st->holder.listening =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	umask(0177);
	st->bound = fd >= 0 && fchdir(st->given.run_dir) == 0 && bind_socket(st);
	if (!st->bound && fd >= 0 && has_no_room(errno))
		return go_unadopted(st);
	if (!st->bound || listen(fd, 4) < 0 || chdir("/") < 0)
		return failed(st, HW_ESPAWN, "cannot listen on %s: %s", st->socket,
			strerror(errno));
	if (geteuid() == 0 &&
		fchownat(st->given.run_dir, st->socket, st->agent.uid, st->agent.gid,
			AT_SYMLINK_NOFOLLOW) < 0)
		return failed(st, HW_ESPAWN, "cannot give %s away: %s", st->socket,
			strerror(errno));
	return 0;
}

static int
connect_uplink(struct start *st)
{
	int fds[2], size = 256 * 1024;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return failed(st, HW_ESPAWN, "no socket pair: %s", strerror(errno));
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	st->holder.conn = fds[0];
	st->theirs = fds[1];
	return 0;
}

static int
check_local_policy(struct start *st)
{
	const struct monitor_request *q = st->given.request;
	const struct local_policy_ask ask = {
		.asked = q->run_as[0] ? q->run_as : NULL,
		.user = st->user.name,
		.uid = st->user.uid,
		.request = q,
	};

	_Static_assert(sizeof(st->reply.text) == LOCAL_POLICY_WHY_MAX, "a sentence fits");
	int r = local_policy_check(st->given.policy, &ask, st->reply.text);

	for (size_t i = 0; r == 0 && i < REQUEST_WITHIN_MAX && q->within[i][0] != '\0'; i++) {
		struct monitor_request inner = *q;
		struct local_policy_ask again = ask;
		memcpy(inner.document, q->within[i], sizeof(inner.document));
		again.request = &inner;
		r = local_policy_check(st->given.policy, &again, st->reply.text);
	}
	return r;
}

/* Who it is to run as, and whether this machine has anything against it; and who may adopt it. */
static int
find_users(struct start *st)
{
	const struct holder_start *g = &st->given;
	const char *name = g->request->run_as[0] ? g->request->run_as : g->run_as;
	int r;

	if ((r = account_find(&st->agent, g->agent_user, st->reply.text, sizeof(st->reply.text))) <
		0)
		return r;
	st->user = st->agent;
	if ((name != NULL || g->agent_user != NULL) &&
		(r = account_find(&st->user, name, st->reply.text, sizeof(st->reply.text))) < 0)
		return r;
	st->holder.agent_uid = st->agent.uid;
	/* Who is that user has the agent's key, and may take over everybody's session. */
	if (g->agent_user != NULL && st->user.uid == st->agent.uid)
		return failed(st, HW_ERUNAS, "nothing runs as %s here but this node's agent",
			st->user.name);
	if (g->run_as == NULL && st->user.uid != geteuid())
		return failed(st, HW_ERUNAS, "this node is rootless: it can run as %s only",
			st->agent.name);
	return check_local_policy(st);
}

/* What the service has in its keyring is its own, and what one session puts there no other's. Root
 * makes it, since a user may have but few; who is in the session may use it. Where the kernel has
 * none, or nobody may have one, there is nothing to share. */
static int
join_keyring(struct start *st)
{
	if (st->given.run_as == NULL ||
		syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS ||
		errno == EPERM || errno == EACCES)
		return 0;
	return failed(st, HW_ESPAWN, "no keyring for the session: %s", strerror(errno));
}

/* The same by way of PAM, whose process has become the user before this one does. */
static int
enter(struct start *st)
{
	const struct holder_start *g = &st->given;
	struct program *p = &st->holder.program;
	char *why = st->reply.text;
	size_t room = sizeof(st->reply.text);
	int report, r;

	if ((r = entry_begin(&report, p, g->entry, g->request, g->command, &st->user, why, room)) <
		0)
		return r;
	if ((r = account_become(&st->user, why, room)) < 0) {
		kill(p->pid, SIGKILL);
		close(report);
		return r;
	}
	return program_await(p, g->request, g->command, &st->user, report, why, room);
}

static int
start_program(struct start *st)
{
	const struct holder_start *g = &st->given;
	struct program *p = &st->holder.program;
	char *why = st->reply.text;
	size_t room = sizeof(st->reply.text);
	int r;

	if ((r = find_users(st)) < 0 || (r = listen_for_adoption(st)) < 0 ||
		(r = connect_uplink(st)) < 0 ||
		(r = program_prepare(p, g->request, &st->user, why, room)) < 0 ||
		(r = join_keyring(st)) < 0)
		return r;
	if (g->entry != NULL)
		return enter(st);
	/* The last line that root runs. A rootless agent's programs stay what it was started as. */
	if ((r = (g->run_as == NULL ? account_stay : account_become)(&st->user, why, room)) < 0)
		return r;
	return program_start(p, g->request, g->command, &st->user, why, room);
}

/* Only 0 to 2, on /dev/null, and the two that are needed stay open. */
static bool
keep_descriptors(struct holder_start *g)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int answer = fcntl(g->answer_fd, F_DUPFD_CLOEXEC, 16);
	int dir = fcntl(g->run_dir, F_DUPFD_CLOEXEC, 16);

	if (null < 0 || answer < 0 || dir < 0)
		return false;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return false;
	if (dup3(answer, 3, O_CLOEXEC) < 0 || dup3(dir, 4, O_CLOEXEC) < 0)
		return false;
	g->answer_fd = 3;
	g->run_dir = 4;
	return close_range(5, ~0u, 0) == 0;
}

/* All others are as the monitor has them, which is as they are by default. */
static void
own_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int
holder_run(const struct holder_start *given)
{
	struct start st = {
		.given = *given,
		.theirs = -1,
		.reply = {.magic = REQUEST_MAGIC,
			  .version = REQUEST_VERSION,
			  .id = given->request->id},
	};

	own_signals();
	prctl(PR_SET_NAME, "hawser-holder");
	holder_socket_name(st.socket, given->request->session_id);
	if (setsid() < 0 || !keep_descriptors(&st.given) ||
		!holder_init(&st.holder, given->grace_seconds))
		return 1;
	if (given->request->kind == REQUEST_SCRIPT)
		holder_is_script(&st.holder, given->request->seconds);
	st.reply.code = start_program(&st);
	if (st.reply.code == 0)
		st.reply.pid = (uint32_t)st.holder.program.pid;
	memcpy(st.reply.run_as, st.user.name, sizeof(st.reply.run_as));

	bool answered = reply_send(st.given.answer_fd, &st.reply, st.theirs) == 0;
	close(st.given.answer_fd);
	if (st.reply.code == 0) {
		close(st.theirs);
		if (st.holder.program.pty)
			st.holder.screen = screen_new(given->request->cols, given->request->rows);
		/* It says what it understands, of which a script needs nothing. */
		st.holder.state_due = given->request->kind != REQUEST_SCRIPT;
		if (!answered)
			holder_end(&st.holder);
		holder_serve(&st.holder);
	}
	/* In a directory of root's this fails, and the monitor does it. */
	if (st.bound && unlinkat(st.given.run_dir, st.socket, 0) < 0 && errno != EACCES)
		return 1;
	return st.holder.left ? HOLDER_EXIT_LEFT : 0;
}
