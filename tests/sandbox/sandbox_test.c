/* The relay's sandbox and the network process's: what each must not, and what each must be able to.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/uplink_sandbox.h"
#include "proto/base/err.h"
#include "relay/cli/confine.h"
#include "tests/sandbox/acts.h"

TestSuite(sandbox, .timeout = 120);

#define NOBODY 65534

enum { REFUSED, NOT_REFUSED, NO_SANDBOX };

struct subject {
	const char *name;
	enum act_of which;
	int (*enter)(char said[SANDBOX_SAID_MAX], const struct ground *g, struct hw_err *err);
};

static int
enter_relay(char said[SANDBOX_SAID_MAX], const struct ground *g, struct hw_err *err)
{
	const struct confine c = {.dir = g->dir, .listen_port = g->port};

	return confine_relay(said, &c, err);
}

static int
enter_uplink(char said[SANDBOX_SAID_MAX], const struct ground *g, struct hw_err *err)
{
	return uplink_sandbox_enter(said, g->dir, err);
}

static const struct subject relay = {"relay", ACT_OF_RELAY, enter_relay};
static const struct subject uplink = {"uplink", ACT_OF_UPLINK, enter_uplink};

/* --- processes -------------------------------------------------------------------------------- */

struct trial {
	const struct subject *subject; /* NULL: nobody's sandbox */
	const struct ground *ground;
	const struct act *act;
	bool as_nobody;
};

static void
become_nobody(void)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(NO_SANDBOX);
}

/* The victim is its child's parent's child, as other processes of the user are. */
static pid_t
start_victim(bool as_nobody)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (as_nobody)
			become_nobody();
		for (;;)
			pause();
	}
	return pid;
}

static void
attempt(const struct trial *t)
{
	char said[SANDBOX_SAID_MAX];
	struct hw_err err = HW_ERR_INIT;

	if (t->as_nobody)
		become_nobody();
	if (t->subject != NULL && t->subject->enter(said, t->ground, &err) < 0)
		_exit(NO_SANDBOX);
	long r = t->act->attempt(t->ground);
	_exit(r < 0 && (errno == EPERM || errno == EACCES) ? REFUSED : NOT_REFUSED);
}

/* An act may move or remove what the next one wants. */
static int
outcome(struct trial t)
{
	struct ground g;
	int status;

	ground_make(&g);
	t.ground = &g;
	if (t.as_nobody)
		cr_assert_eq(chown(g.dir, NOBODY, NOBODY), 0);
	g.victim = start_victim(t.as_nobody);
	pid_t pid = fork();
	if (pid == 0)
		attempt(&t);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	kill(g.victim, SIGKILL);
	waitpid(g.victim, NULL, 0);
	ground_remove(&g);
	return WIFEXITED(status) ? WEXITSTATUS(status) : NOT_REFUSED;
}

static bool
applies(const struct act *a, const struct subject *s)
{
	return (a->whose == ACT_OF_BOTH || a->whose == s->which) && landlock_abi() >= a->abi;
}

static void
refuses_all(const struct subject *s, bool as_nobody)
{
	int tried = 0;

	for (size_t i = 0; i < n_acts; i++) {
		if (!applies(&acts[i], s))
			continue;
		tried++;
		int r = outcome((struct trial){
			.subject = s, .act = &acts[i], .as_nobody = as_nobody});
		cr_expect_eq(r, REFUSED, "%s: %s: %s", s->name, acts[i].name,
			r == NO_SANDBOX ? "no sandbox" : "was not refused");
	}
	cr_assert_geq(tried, 30);
}

Test(sandbox, the_relay_can_do_none_of_what_it_must_not)
{
	refuses_all(&relay, false);
}

Test(sandbox, the_network_process_can_do_none_of_what_it_must_not)
{
	refuses_all(&uplink, false);
}

Test(sandbox, nor_can_either_as_an_unprivileged_user)
{
	if (geteuid() != 0)
		return;
	refuses_all(&relay, true);
	refuses_all(&uplink, true);
}

/* Otherwise the tests above would say nothing. */
Test(sandbox, without_it_root_could_do_nearly_all)
{
	size_t could = 0;

	if (geteuid() != 0)
		return;
	for (size_t i = 0; i < n_acts; i++)
		could += outcome((struct trial){.act = &acts[i]}) == NOT_REFUSED;
	cr_assert_geq(could, n_acts * 3 / 4, "only %zu of %zu", could, n_acts);
}

/* --- what it is for --------------------------------------------------------------------------- */

/* In the child, where an assertion of the test framework would speak for another process. */
#define MUST(cond)                                                                          \
	do {                                                                                \
		if (!(cond)) {                                                              \
			dprintf(STDERR_FILENO, "not so: %s: %s\n", #cond, strerror(errno)); \
			_exit(1);                                                           \
		}                                                                           \
	} while (0)

static int
in_a_child(void (*fn)(const struct subject *s, const struct ground *g), const struct subject *s,
	bool as_nobody)
{
	struct ground g;
	int status;

	ground_make(&g);
	if (as_nobody)
		cr_assert_eq(chown(g.dir, NOBODY, NOBODY), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (as_nobody)
			become_nobody();
		fn(s, &g);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	ground_remove(&g);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
enter(const struct subject *s, const struct ground *g)
{
	char said[SANDBOX_SAID_MAX], expected[64];
	struct hw_err err = HW_ERR_INIT;
	long abi = g->abi;

	if (s->enter(said, g, &err) < 0) {
		dprintf(STDERR_FILENO, "%s\n", hw_err_text(&err));
		_exit(1);
	}
	if (abi > 0)
		snprintf(expected, sizeof(expected), "seccomp=on landlock=abi%ld", abi);
	else
		snprintf(expected, sizeof(expected), "seccomp=on landlock=off(");
	MUST(strncmp(said, expected, strlen(expected)) == 0);
}

static void
use_files(const struct ground *g)
{
	char path[160], other[160];

	snprintf(path, sizeof(path), "%s/folder", g->dir);
	MUST(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/new", g->dir);
	snprintf(other, sizeof(other), "%s/folder/moved", g->dir);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, "text", 4) == 4 && ftruncate(fd, 2) == 0 && fsync(fd) == 0);
	MUST(fchmod(fd, 0640) == 0);
	close(fd);
	MUST(g->abi == 1 || rename(path, other) == 0);
	MUST(g->abi == 1 || unlink(other) == 0);
	fd = open(g->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0 && fsync(fd) == 0);
	close(fd);
}

static void
use_unix_socket(const struct ground *g, bool dials)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int pair[2], mine = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.90s/sock", g->dir);
	MUST(mine >= 0 && bind(mine, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	MUST(listen(mine, 4) == 0);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	if (!dials)
		return;
	int theirs = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(theirs >= 0 && connect(theirs, (struct sockaddr *)&sun, sizeof(sun)) == 0);
}

static void *
look_up(void *arg)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;

	*(int *)arg = getaddrinfo("localhost", "80", &hints, &found);
	if (*(int *)arg == 0)
		freeaddrinfo(found);
	return NULL;
}

static void
use_a_thread(void)
{
	pthread_t thread;
	int code = EAI_FAIL;

	MUST(pthread_create(&thread, NULL, look_up, &code) == 0);
	MUST(pthread_join(thread, NULL) == 0);
	MUST(code == 0);
}

static int
tcp(const struct ground *g, bool dials)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_port = htons(g->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (dials)
		return connect(fd, (struct sockaddr *)&sin, sizeof(sin));
	close(g->listening); /* its port is the relay's own */
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0
		? -1
		: bind(fd, (struct sockaddr *)&sin, sizeof(sin));
}

static void
works(const struct subject *s, const struct ground *g)
{
	bool dials = s->which == ACT_OF_UPLINK;

	enter(s, g);
	use_files(g);
	use_unix_socket(g, dials);
	use_a_thread();
	MUST(tcp(g, dials) == 0 || (!dials && errno == EADDRINUSE));
}

Test(sandbox, what_each_is_for_it_can)
{
	cr_assert_eq(in_a_child(works, &relay, false), 0);
	cr_assert_eq(in_a_child(works, &uplink, false), 0);
	if (geteuid() != 0)
		return;
	cr_assert_eq(in_a_child(works, &relay, true), 0);
	cr_assert_eq(in_a_child(works, &uplink, true), 0);
}

static void
aborts(const struct subject *s, const struct ground *g)
{
	enter(s, g);
	abort();
}

Test(sandbox, a_failed_assertion_ends_the_process_all_the_same)
{
	cr_assert_eq(in_a_child(aborts, &relay, false), 128 + SIGABRT);
	cr_assert_eq(in_a_child(aborts, &uplink, false), 128 + SIGABRT);
}

static void *
wait_for_ever(void *arg)
{
	pause();
	return arg;
}

static void
enters_late(const struct subject *s, const struct ground *g)
{
	char said[SANDBOX_SAID_MAX];
	struct hw_err err = HW_ERR_INIT;
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
	MUST(s->enter(said, g, &err) == HW_EINTERNAL);
	MUST(strstr(hw_err_text(&err), "before threads") != NULL);
	_exit(0);
}

Test(sandbox, it_is_not_entered_when_a_thread_would_stay_outside)
{
	cr_assert_eq(in_a_child(enters_late, &relay, false), 0);
}

static void
has_no_folder(const struct subject *s, const struct ground *g)
{
	struct ground other = *g;
	char said[SANDBOX_SAID_MAX];
	struct hw_err err = HW_ERR_INIT;

	strcat(other.dir, "-not-there");
	MUST(g->abi < 1 || s->enter(said, &other, &err) == HW_ENOTFOUND);
	MUST(g->abi < 1 || strstr(hw_err_text(&err), "-not-there") != NULL);
}

Test(sandbox, a_folder_that_is_not_there_is_an_error)
{
	cr_assert_eq(in_a_child(has_no_folder, &relay, false), 0);
	cr_assert_eq(in_a_child(has_no_folder, &uplink, false), 0);
}

static void
reads_master_key(const struct subject *s, const struct ground *g)
{
	const struct confine c = {.dir = g->dir, .master_key = g->secret, .listen_port = g->port};
	char said[SANDBOX_SAID_MAX];

	(void)s;
	MUST(confine_relay(said, &c, NULL) == 0);
	MUST(open(g->secret, O_RDONLY | O_CLOEXEC) >= 0);
	MUST(g->abi < 1 || open(g->secret, O_WRONLY | O_CLOEXEC) < 0);
}

Test(sandbox, a_master_key_elsewhere_is_read_and_not_written)
{
	cr_assert_eq(in_a_child(reads_master_key, &relay, false), 0);
}
