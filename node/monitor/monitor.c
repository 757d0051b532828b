#include "node/monitor/monitor.h"

#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/holder/holder.h"
#include "node/holder/sweep.h"
#include "node/monitor/cgroup.h"
#include "node/monitor/logger.h"
#include "node/monitor/request.h"
#include "node/monitor/rundir.h"
#include "proto/base/err.h"

#define HOLDERS_MAX    1000
#define STARTING_MAX   32    /* requests are not read while so many are starting */
#define STARTS_IN_MS   1000  /* one that takes longer waits for something, and is none of these */
#define ANSWERS_IN_MS  30000 /* by then nobody waits for its answer any more */
#define STOP_WITHIN_MS 10000
#define END_WITHIN_MS  5000 /* for holders, once the uplink has told them to */
#define SAY_EVERY_MS   1000
#define STEADY_MS      60000 /* an uplink that lived so long is started again at once */
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 30000
#define TIDY_MIN_MS    50 /* after which a control group may be empty */
#define TIDY_MAX_MS    60000
#define NEVER	       INT64_MAX

struct held {
	LIST_ENTRY(held) link;
	pid_t pid;     /* of the holder */
	int pidfd;     /* of one that an earlier monitor started; else -1 */
	pid_t session; /* of its program; 0 before it answered */
	int answer_fd; /* until it answered */
	int64_t since; /* when it was started */
	int64_t by;    /* when it is given up; NEVER: it does what it is there for */
	bool stopped;  /* when it was looked at last; of an earlier monitor's */
	bool grouped;  /* it is in a control group of its own */
	uint32_t request_id;
	char session_id[97];
};

/* What an uplink gone wild can cause without end is said once a second. */
struct seldom {
	int64_t said;
	unsigned times;
};

struct monitor {
	const struct monitor_config *config;
	struct logger log;
	int signals, run_dir;
	int uplink_fd; /* requests come in, answers go out */
	pid_t uplink;  /* 0 while there is none */
	int64_t started, restart_at;
	int backoff_ms;
	int64_t stop_until; /* 0: not stopping */
	int exit_code;
	bool ending; /* the uplink tells all holders to */
	bool over;
	LIST_HEAD(, held) held;
	int n_held;
	struct sweep ended[HOLDERS_MAX]; /* sessions whose holders ended in this turn */
	size_t n_ended;
	int inherited; /* an epoll of their pidfds */
	int cgroups;   /* where scripts have theirs; -1: nowhere */
	int64_t tidy_at;
	int tidy_ms;
	bool full; /* of answers that the uplink does not take: no request is read then */
	struct seldom bad, denied, lost;
	uint8_t message[REQUEST_MAX + 1];
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How often it happened since it was last said; 0: not now. */
static unsigned
due(struct seldom *s)
{
	unsigned times = ++s->times;

	if (now_ms() - s->said < SAY_EVERY_MS)
		return 0;
	*s = (struct seldom){.said = now_ms()};
	return times;
}

/* --- the uplink ----------------------------------------------------------------------------- */

/* What ends the agent, all of it. */
static const int ends[] = {SIGTERM, SIGINT, SIGUSR1};

/* In the child: becomes the agent's user with nothing but the one descriptor, as 3. */
static void
exec_uplink(const struct monitor *m, int fd)
{
	const struct monitor_config *c = m->config;
	char why[192] = "", text[LOGGER_QUOTED_MAX];
	struct account agent;
	struct logger log;
	char **args = calloc((size_t)c->n_uplink_args + 4, sizeof(*args));
	sigset_t held;

	if (args == NULL)
		_exit(1);
	logger_init_plain(&log);
	args[0] = (char *)"hawser-node";
	memcpy(args + 1, c->uplink_args, (size_t)c->n_uplink_args * sizeof(*args));
	args[c->n_uplink_args + 1] = (char *)"--monitor-fd";
	args[c->n_uplink_args + 2] = (char *)"3";

	/* What ends it waits until it listens. */
	sigemptyset(&held);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaddset(&held, ends[i]);
	sigprocmask(SIG_SETMASK, &held, NULL);
	setpgid(0, 0); /* the monitor alone decides which of a terminal's signals it gets */
	if (!c->rootless &&
		(account_find(&agent, c->agent_user, why, sizeof(why)) < 0 ||
			account_become(&agent, why, sizeof(why)) < 0)) {
		logger_say(&log, "error", "monitor.uplink_user why=%s", logger_quote(text, why));
		_exit(UPLINK_EXIT_FATAL);
	}
	if (dup2(fd, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(1);
	execv(c->uplink, args);
	logger_say(&log, "error", "monitor.uplink_exec path=%s why=%s", c->uplink,
		logger_quote(text, strerror(errno)));
	_exit(UPLINK_EXIT_FATAL);
}

static void
start_uplink(struct monitor *m)
{
	int fds[2], size = REQUEST_SNDBUF;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		m->restart_at = now_ms() + BACKOFF_MAX_MS;
		return;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	m->started = now_ms();
	m->restart_at = 0;
	m->uplink = fork();
	if (m->uplink == 0)
		exec_uplink(m, fds[1]);
	close(fds[1]);
	m->uplink_fd = fds[0];
	m->full = false;
	if (m->uplink < 0) {
		m->uplink = 0;
		m->restart_at = now_ms() + BACKOFF_MAX_MS;
	}
}

static void
close_uplink(struct monitor *m)
{
	if (m->uplink_fd >= 0)
		close(m->uplink_fd);
	m->uplink_fd = -1;
}

static void
on_uplink_exit(struct monitor *m, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	m->uplink = 0;
	close_uplink(m);
	m->over = m->stop_until != 0 || code == UPLINK_EXIT_FATAL || code == UPLINK_EXIT_GONE ||
		code == UPLINK_EXIT_AGAIN;
	if (m->over) {
		m->exit_code = code;
		m->ending = m->ending || code == UPLINK_EXIT_GONE;
		m->stop_until = now_ms() + END_WITHIN_MS;
		return;
	}
	bool steady = now_ms() - m->started >= STEADY_MS;
	m->backoff_ms = steady || m->backoff_ms == 0 ? BACKOFF_MIN_MS : m->backoff_ms * 2;
	if (m->backoff_ms > BACKOFF_MAX_MS)
		m->backoff_ms = BACKOFF_MAX_MS;
	m->restart_at = now_ms() + m->backoff_ms;
	logger_say(&m->log, "warn", "monitor.uplink_died status=%d again_in_ms=%d sessions=%d",
		code, m->backoff_ms, m->n_held);
}

/* With SIGTERM the uplink ends all sessions; with SIGUSR1 it leaves them to the next. */
static void
stop(struct monitor *m, int signo)
{
	m->stop_until = now_ms() + STOP_WITHIN_MS;
	m->ending = m->uplink > 0 && signo == SIGTERM;
	if (m->uplink > 0)
		kill(m->uplink, signo);
	else
		m->over = true;
}

/* --- answers -------------------------------------------------------------------------------- */

static void
send_answer(struct monitor *m, const struct monitor_reply *reply, int passed)
{
	unsigned times;

	if (m->uplink_fd >= 0 && reply_send(m->uplink_fd, reply, passed) < 0 &&
		(times = due(&m->lost)) > 0)
		logger_say(&m->log, "warn", "monitor.answer_lost times=%u", times);
}

static void
refuse(struct monitor *m, uint32_t id, int code, const char *why)
{
	struct monitor_reply reply = {
		.magic = REQUEST_MAGIC, .version = REQUEST_VERSION, .id = id, .code = code};

	snprintf(reply.text, sizeof(reply.text), "%s", why);
	send_answer(m, &reply, -1);
}

/* The holder runs as a user by now, and root will sweep the session that it names: it has to be its
 * own child's. */
static void
on_answer(struct monitor *m, struct held *h)
{
	struct monitor_reply reply;
	unsigned times;
	int passed;

	if (reply_receive(&reply, &passed, h->answer_fd) != 0) /* also when there is none */
		reply = (struct monitor_reply){.code = HW_ENOSESSION};
	close(h->answer_fd);
	h->answer_fd = -1;
	h->by = NEVER;
	if (reply.code == 0 &&
		(passed < 0 || reply.id != h->request_id ||
			sweep_parent((pid_t)reply.pid) != h->pid))
		reply.code = HW_ENOSESSION;
	if (reply.code == 0)
		h->session = (pid_t)reply.pid;
	if (reply.code == 0 || reply.text[0] != '\0')
		send_answer(m, &reply, reply.code == 0 ? passed : -1);
	else
		refuse(m, h->request_id, HW_ENOSESSION,
			"the process that was to hold it on the node ended before it said whether "
			"the program runs");
	if (reply.code == HW_ELOCAL && (times = due(&m->denied)) > 0)
		logger_say(&m->log, "warn", "monitor.denied session=%s times=%u", h->session_id,
			times);
	if (passed >= 0)
		close(passed);
}

/* --- holders -------------------------------------------------------------------------------- */

static int64_t
answers_by(const struct monitor *m, const struct held *h)
{
	return h->since + (m->config->answers_in_ms ? m->config->answers_in_ms : ANSWERS_IN_MS);
}

static int
run_holder(const struct monitor *m, const struct monitor_request *r, const char *command, int fd)
{
	const struct monitor_config *c = m->config;
	struct holder_start start = {
		.request = r,
		.command = command,
		.run_as = c->rootless		    ? NULL
			: r->kind == REQUEST_SCRIPT ? c->command_run_as
						    : c->run_as,
		.agent_user = c->rootless ? NULL : c->agent_user,
		.policy = &c->policy,
		.entry = c->rootless || c->entry.service == NULL ? NULL : &c->entry,
		.run_dir = m->run_dir,
		.answer_fd = fd,
		.grace_seconds = c->grace_seconds,
	};

	return holder_run(&start);
}

static void
start_holder(struct monitor *m, const struct monitor_request *r, const char *command)
{
	struct held *h = calloc(1, sizeof(*h)), *other;
	int fds[2];

	LIST_FOREACH(other, &m->held, link)
		if (strcmp(other->session_id, r->session_id) == 0) {
			free(h);
			refuse(m, r->id, HW_EEXISTS, "a session of this id runs already");
			return;
		}
	if (h == NULL ||
		m->n_held >= (m->config->holders_max ? m->config->holders_max : HOLDERS_MAX) ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		free(h);
		refuse(m, r->id, HW_ELIMIT, "this node runs all the sessions that it can");
		return;
	}
	h->grouped = r->kind == REQUEST_SCRIPT && cgroup_make(m->cgroups, r->session_id);
	h->pid = fork();
	if (h->pid == 0) {
		char text[LOGGER_QUOTED_MAX];

		/* One that cannot enter it does without. */
		if (h->grouped && !cgroup_enter(m->cgroups, r->session_id))
			logger_say(&m->log, "warn", "monitor.cgroup why=%s",
				logger_quote(text, strerror(errno)));
		_exit(run_holder(m, r, command, fds[1]));
	}
	close(fds[1]);
	if (h->pid < 0) {
		close(fds[0]);
		free(h);
		refuse(m, r->id, HW_ESPAWN, "cannot start a process");
		return;
	}
	h->pidfd = -1;
	h->since = now_ms();
	h->by = answers_by(m, h);
	h->answer_fd = fds[0];
	h->request_id = r->id;
	memcpy(h->session_id, r->session_id, sizeof(h->session_id));
	LIST_INSERT_HEAD(&m->held, h, link);
	m->n_held++;
}

/* The uplink connects by itself, as nobody's user: this machine's policy is asked about the
 * document alone. */
static void
judge_forward(struct monitor *m, const struct monitor_request *r)
{
	const struct local_policy_ask ask = {.request = r};
	const struct monitor_reply yes = {
		.magic = REQUEST_MAGIC, .version = REQUEST_VERSION, .id = r->id};
	char why[LOCAL_POLICY_WHY_MAX] = "";
	unsigned times;
	int code = local_policy_check(&m->config->policy, &ask, why);

	if (code == 0) {
		send_answer(m, &yes, -1);
		return;
	}
	refuse(m, r->id, code, why);
	if ((times = due(&m->denied)) > 0)
		logger_say(&m->log, "warn", "monitor.denied session=%s times=%u", r->session_id,
			times);
}

/* --- holders that do not do what they are there for ------------------------------------------- */

static int64_t
grace_ms(const struct monitor *m)
{
	return m->config->grace_seconds > 0 ? (int64_t)m->config->grace_seconds * 1000 : 1000;
}

/* Whether one that nobody tells of is not stopped, or was not when it was looked at before. */
static bool
goes_on(const struct monitor *m, struct held *h, int64_t now)
{
	bool before = h->stopped;

	if (h->pidfd < 0)
		return false;
	h->stopped = sweep_is_stopped(h->pid);
	h->by = now + grace_ms(m);
	return !before || !h->stopped;
}

/* Its user's home may be one that keeps whoever enters it waiting, and its user may stop it. What
 * it has begun would go on then, once it is let. */
static void
give_up(struct monitor *m, int64_t now)
{
	struct held *h;

	LIST_FOREACH(h, &m->held, link)
		if (now >= h->by && !goes_on(m, h, now)) {
			h->by = NEVER;
			h->session = h->session > 0 ? h->session : sweep_child(h->pid);
			if (h->pidfd < 0)
				kill(h->pid, SIGKILL);
			else
				pidfd_send_signal(h->pidfd, SIGKILL, NULL, 0);
		}
}

static int64_t
next_look(const struct monitor *m, int64_t now)
{
	const struct held *h;
	int64_t first = NEVER;

	LIST_FOREACH(h, &m->held, link) {
		int64_t soon = h->since + STARTS_IN_MS;
		int64_t at = h->answer_fd >= 0 && now < soon && soon < h->by ? soon : h->by;
		first = at < first ? at : first;
	}
	return first;
}

/* --- control groups --------------------------------------------------------------------------- */

static bool
is_held(void *arg, const char *session_id)
{
	const struct monitor *m = arg;
	const struct held *h;

	LIST_FOREACH(h, &m->held, link)
		if (strcmp(h->session_id, session_id) == 0)
			return true;
	return false;
}

/* What was killed takes a while to be gone, and what was left on purpose may stay for years. */
static void
tidy(struct monitor *m)
{
	m->tidy_at = 0;
	if (cgroup_tidy(m->cgroups, is_held, m) == 0)
		return;
	m->tidy_ms = m->tidy_ms * 2 < TIDY_MAX_MS ? m->tidy_ms * 2 : TIDY_MAX_MS;
	m->tidy_at = now_ms() + m->tidy_ms;
}

static void
tidy_soon(struct monitor *m)
{
	int64_t at = now_ms() + TIDY_MIN_MS;

	m->tidy_ms = TIDY_MIN_MS;
	if (m->tidy_at == 0 || m->tidy_at > at)
		m->tidy_at = at;
}

/* One walk over the machine's processes is for all that ended by then: at the end of many each
 * would take as long as there are many. */
static void
sweep_ended(struct monitor *m)
{
	if (m->n_ended > 0)
		sweep_sessions(m->ended, m->n_ended, SIGKILL);
	m->n_ended = 0;
}

static void
sweep_soon(struct monitor *m, pid_t session)
{
	if (m->n_ended == HOLDERS_MAX)
		sweep_ended(m);
	m->ended[m->n_ended++] = (struct sweep){session, sweep_now()};
}

/* What a sudo left in the session was not the holder's to kill. What a script left is left alone
 * when its holder says that it ended by itself. */
static void
on_holder_exit(struct monitor *m, struct held *h, int status)
{
	bool left = WIFEXITED(status) && WEXITSTATUS(status) == HOLDER_EXIT_LEFT;

	if (h->answer_fd >= 0)
		on_answer(m, h);
	if (h->session > 0 && !left)
		sweep_soon(m, h->session);
	if (h->grouped && !left)
		cgroup_kill(m->cgroups, h->session_id);
	if (m->cgroups >= 0 && h->session_id[0] == REQUEST_SCRIPT_MARK &&
		!cgroup_remove(m->cgroups, h->session_id))
		tidy_soon(m);
	rundir_remove(m->run_dir, h->session_id);
	LIST_REMOVE(h, link);
	if (h->pidfd >= 0) {
		/* A holder that was forked just now may have it, too, and it would be told of
		 * again. */
		epoll_ctl(m->inherited, EPOLL_CTL_DEL, h->pidfd, NULL);
		close(h->pidfd);
	}
	free(h);
	m->n_held--;
}

/* It is a process of the user's, who may stop it: its session's end would not be heard then, and
 * its place be taken for good. So it has the time that it has without an uplink. */
static void
on_holder_stop(struct monitor *m, struct held *h, bool stopped)
{
	if (h == NULL)
		return; /* the uplink, which somebody looks into */
	if (stopped)
		h->by = now_ms() + grace_ms(m);
	else
		h->by = h->answer_fd >= 0 ? answers_by(m, h) : NEVER;
}

static void
on_child(struct monitor *m)
{
	struct held *h;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		LIST_FOREACH(h, &m->held, link)
			if (h->pid == pid)
				break;
		if (WIFSTOPPED(status) || WIFCONTINUED(status))
			on_holder_stop(m, h, WIFSTOPPED(status));
		else if (h != NULL && h->pidfd < 0)
			on_holder_exit(m, h, status);
		else if (h != NULL)
			h->by = NEVER; /* its pidfd tells */
		else if (pid == m->uplink)
			on_uplink_exit(m, status);
	}
}

/* --- holders of an earlier monitor ------------------------------------------------------------ */

static void
inherit(void *arg, const char *session_id, pid_t pid)
{
	struct monitor *m = arg;
	struct held *h = calloc(1, sizeof(*h));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = h};
	int pidfd = pidfd_open(pid, 0);

	if (h == NULL || pidfd < 0 || epoll_ctl(m->inherited, EPOLL_CTL_ADD, pidfd, &e) < 0) {
		if (pidfd >= 0)
			close(pidfd);
		free(h);
		return;
	}
	h->pid = pid;
	h->pidfd = pidfd;
	h->by = now_ms() + grace_ms(m);
	/* Nobody will say how a script's holder ended, and killing what it may have left is worse
	 * than leaving it. */
	h->session = session_id[0] == REQUEST_SCRIPT_MARK ? 0 : sweep_child(pid);
	h->answer_fd = -1;
	snprintf(h->session_id, sizeof(h->session_id), "%s", session_id);
	LIST_INSERT_HEAD(&m->held, h, link);
	m->n_held++;
}

/* They are nobody's children here: their pidfds tell when they end. */
static void
on_inherited(struct monitor *m)
{
	struct epoll_event e;

	while (epoll_wait(m->inherited, &e, 1, 0) == 1)
		on_holder_exit(m, e.data.ptr, 0);
}

/* --- the loop ------------------------------------------------------------------------------- */

/* The id comes back when there is one: a short message left an older one's, or zero, in its place.
 */
static void
refuse_malformed(struct monitor *m, size_t n)
{
	struct monitor_request r;
	unsigned times = due(&m->bad);

	if (times > 0)
		logger_say(&m->log, "error", "monitor.bad_request bytes=%zu times=%u", n, times);
	memcpy(&r, m->message, sizeof(r));
	refuse(m, n >= sizeof(r) ? r.id : 0, HW_EVALIDATION, "the request is malformed");
}

static bool
takes_answers(const struct monitor *m)
{
	struct pollfd p = {m->uplink_fd, POLLOUT, 0};

	return poll(&p, 1, 0) == 1;
}

/* A descriptor that comes along is none that anybody asked for: with no room for it the kernel
 * closes it. */
static void
on_request(struct monitor *m)
{
	struct monitor_request r;
	const char *command, *why;

	m->full = !takes_answers(m);
	if (m->full)
		return;
	ssize_t n =
		recv(m->uplink_fd, m->message, sizeof(m->message) - 1, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_uplink(m);
		m->over = m->config->serve_fd >= 0;
		return;
	}
	if ((size_t)n >= sizeof(m->message) ||
		request_parse(&r, &command, m->message, (size_t)n, &why) < 0) {
		refuse_malformed(m, (size_t)n);
		return;
	}
	m->message[n] = '\0';
	if (r.kind == REQUEST_FORWARD)
		judge_forward(m, &r);
	else
		start_holder(m, &r, command);
}

static void
on_signal(struct monitor *m)
{
	struct signalfd_siginfo si;

	while (read(m->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo != SIGCHLD)
			stop(m, si.ssi_signo == SIGUSR1 ? SIGUSR1 : SIGTERM);
	}
	on_child(m);
}

static int
poll_timeout(const struct monitor *m)
{
	int64_t until = m->stop_until ? m->stop_until : m->restart_at, now = now_ms();
	int64_t look = next_look(m, now);

	if (m->tidy_at != 0 && (until == 0 || m->tidy_at < until))
		until = m->tidy_at;
	if (look != NEVER && (until == 0 || look < until))
		until = look;
	return until == 0 ? -1 : until <= now ? 0 : (int)(until - now);
}

static void
on_time(struct monitor *m)
{
	int64_t now = now_ms();

	if (m->stop_until != 0 && now >= m->stop_until && m->uplink > 0)
		kill(m->uplink, SIGKILL);
	if (m->tidy_at != 0 && now >= m->tidy_at)
		tidy(m);
	give_up(m, now);
	if (m->stop_until == 0 && m->restart_at != 0 && now >= m->restart_at)
		start_uplink(m);
}

static void
turn(struct monitor *m)
{
	struct pollfd p[3 + HOLDERS_MAX];
	struct held *starting[HOLDERS_MAX], *h;
	int64_t soon = now_ms() - STARTS_IN_MS;
	int n = 0, busy = 0;

	LIST_FOREACH(h, &m->held, link)
		if (h->answer_fd >= 0 && n < HOLDERS_MAX) {
			p[3 + n] = (struct pollfd){h->answer_fd, POLLIN, 0};
			starting[n++] = h;
			busy += h->since > soon;
		}
	p[0] = (struct pollfd){m->signals, POLLIN, 0};
	p[1] = (struct pollfd){
		busy < STARTING_MAX ? m->uplink_fd : -1, m->full ? POLLOUT : POLLIN, 0};
	p[2] = (struct pollfd){m->inherited, POLLIN, 0};
	if (poll(p, 3 + (nfds_t)n, poll_timeout(m)) < 0)
		return;
	for (int i = 0; i < n; i++)
		if (p[3 + i].revents)
			on_answer(m, starting[i]);
	if (p[1].revents)
		on_request(m);
	if (p[2].revents)
		on_inherited(m);
	if (p[0].revents)
		on_signal(m);
	sweep_ended(m);
	on_time(m);
}

/* Whatever whoever started it had ignored: programs are to find them as they are by default, and
 * each holder would have to see to it, as it does to these two. Who reads the log may be gone. */
static int
take_signals(void)
{
	sigset_t set;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
open_run_dir(struct monitor *m)
{
	const struct monitor_config *c = m->config;
	struct account agent = {.gid = getegid()};
	char why[192] = "", text[LOGGER_QUOTED_MAX];

	/* Each holder looks users up, and finds loaded what that takes, and no more to copy. */
	account_load(!c->rootless);
	if (!c->rootless && account_find(&agent, c->agent_user, why, sizeof(why)) < 0) {
		logger_say(&m->log, "error", "monitor.agent_user why=%s", logger_quote(text, why));
		return -1;
	}
	int fd = rundir_open(c->dir, agent.gid);
	if (fd < 0)
		logger_say(&m->log, "error", "monitor.run_dir dir=%s/run why=%s", c->dir,
			logger_quote(text, strerror(errno)));
	return fd;
}

/* Said at the start too, so that nobody learns it from the first session that is refused. */
static void
look_at_policy(struct monitor *m)
{
	char why[LOCAL_POLICY_WHY_MAX] = "", text[LOGGER_QUOTED_MAX];

	if (local_policy_inspect(&m->config->policy, why) < 0)
		logger_say(&m->log, "error", "monitor.policy why=%s", logger_quote(text, why));
}

int
monitor_run(const struct monitor_config *config)
{
	static struct monitor m; /* its buffer is too large for a stack */

	m = (struct monitor){.config = config, .uplink_fd = config->serve_fd};
	logger_init(&m.log);
	LIST_INIT(&m.held);
	m.signals = take_signals();
	m.run_dir = open_run_dir(&m);
	m.inherited = epoll_create1(EPOLL_CLOEXEC);
	if (m.signals < 0 || m.run_dir < 0 || m.inherited < 0)
		return UPLINK_EXIT_FATAL;
	m.cgroups = config->rootless ? -1 : cgroup_open();
	rundir_each(m.run_dir, inherit, &m);
	if (m.cgroups >= 0)
		tidy(&m);
	look_at_policy(&m);
	if (m.uplink_fd < 0)
		start_uplink(&m);
	/* What is not a holder's to kill is this process's. */
	while (!m.over || (m.ending && m.n_held > 0 && now_ms() < m.stop_until))
		turn(&m);
	return m.exit_code;
}
