/* What scripts start and lose sight of: killed with them when they are killed, and left alone when
 * they end by themselves. */
#include <sys/mount.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/monitor/cgroup.h"
#include "tests/unit/node/desk.h"

TestSuite(commands_escape, .timeout = 120);

/* Three that leave the session: one in a session of its own; one whose parents are gone; and one
 * that did both, and ignores what can be ignored. Each says its number. */
#define ESCAPE                                                                                  \
	"\"setsid sleep 300 >/dev/null 2>&1 & echo $!\","                                       \
	"\"(setsid sh -c 'echo $$; exec sleep 300 >/dev/null 2>&1' &)\","                       \
	"\"(setsid sh -c 'trap \\\"\\\" HUP TERM INT; (setsid sh -c \\\"echo \\\\$\\\\$; exec " \
	"sleep 300 >/dev/null 2>&1\\\" &)' &)\",\"sleep 1; echo all\""

static void
expect_dead(struct desk_record *r)
{
	const char *at = desk_out(r, 0, 0);
	int n = 0;

	for (char *end; strncmp(at, "all", 3) != 0; at = end + 1, n++) {
		pid_t pid = (pid_t)strtol(at, &end, 10);
		cr_assert(end != at && *end == '\n' && pid > 1, "%s", desk_out(r, 0, 0));
		rig_until_dead(pid);
	}
	cr_assert_eq(n, 3);
}

Test(commands_escape, a_cancel_kills_what_left_the_session)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, ESCAPE ",\"sleep 300\"", "");

	desk_tell(d);
	desk_until_out(d, r, "all");
	r->cancel = true;
	desk_run(d, r);
	desk_expect(r, "Cancelled", "Cancelled", 137);
	expect_dead(r);
	desk_free(d);
}

Test(commands_escape, a_timeout_kills_what_left_the_session)
{
	struct desk *d = desk_new();
	struct desk_record *r =
		desk_script(d, ESCAPE ",\"sleep 300\"", ",\"timeoutSeconds\":\"5\"");

	desk_run(d, r);
	desk_expect(r, "TimedOut", "ExecutionTimedOut", 137);
	expect_dead(r);
	desk_free(d);
}

Test(commands_escape, a_timeout_kills_what_the_shell_has_left_behind)
{
	struct desk *d = desk_new();
	/* The shell is over; what holds its output is not. */
	struct desk_record *r = desk_script(d,
		"\"(setsid sh -c 'echo $$; exec sleep 300' &)\",\"sleep 0.5; echo all\"",
		",\"timeoutSeconds\":\"5\"");

	desk_run(d, r);
	desk_expect(r, "TimedOut", "ExecutionTimedOut", 137);
	rig_until_dead((pid_t)atol(desk_out(r, 0, 0)));
	desk_free(d);
}

Test(commands_escape, a_success_leaves_its_services_alone)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, ESCAPE, "");
	char *at;

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	rig_until_no_socket(d->rig);
	at = (char *)desk_out(r, 0, 0);
	for (int i = 0; i < 3; i++, at++) {
		pid_t pid = (pid_t)strtol(at, &at, 10);
		cr_assert(rig_alive(pid), "%s", desk_out(r, 0, 0));
		kill(pid, SIGKILL);
		rig_until_dead(pid);
	}
	desk_free(d);
}

/* The nearest ancestor of that name. */
#define HOLDER                                                                          \
	"\"h=$$; until [ \\\"$(cat /proc/$h/comm)\\\" = hawser-holder ]; do h=$(ps -o " \
	"ppid= -p $h | tr -d ' '); done\""

Test(commands_escape, orphans_that_end_are_not_kept)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d,
		HOLDER
		",\"for i in 1 2 3 4 5 6 7 8 9; do (setsid true &); done\","
		"\"n=9; while [ $n -gt 0 ]; do n=$(ps --ppid $h -o stat= | grep -c Z); sleep "
		"0.05; done; echo none\"",
		"");

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_str_eq(desk_out(r, 0, 0), "none\n");
	desk_free(d);
}

/* --- control groups
 * ------------------------------------------------------------------------------- */

static int base = -1;

/* Where this machine has none that can be used, one is mounted, for this process and its children.
 */
static bool
have_cgroups(void)
{
	static char at[] = "/tmp/hawser-cgroup-XXXXXX";

	if ((base = cgroup_open()) < 0 && geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mkdtemp(at) != NULL) {
		if (mount("cgroup2", at, "cgroup2", 0, NULL) == 0)
			base = cgroup_open();
		else
			rmdir(at);
	}
	if (base >= 0 && cgroup_make(base, "~probe") &&
		unlinkat(base, "hawser~probe", AT_REMOVEDIR) == 0)
		return true;
	return false;
}

static struct desk *
roots_desk(void)
{
	return desk_new_with((struct commands_config){.output_max = 1 << 20},
		(struct rig_options){.grace_seconds = 60, .run_as = "root"});
}

static bool
group_is_gone(struct desk *d, struct desk_record *r)
{
	char name[128];
	struct stat st;

	(void)d;
	snprintf(name, sizeof(name), "hawser~%s.000", r->id);
	return fstatat(base, name, &st, 0) < 0;
}

Test(commands_escape, a_script_of_roots_node_has_a_group_of_its_own)
{
	if (!have_cgroups())
		cr_skip_test("no control groups");
	struct desk *d = roots_desk();
	struct desk_record *r = desk_script(d, "\"cat /proc/self/cgroup\"", "");
	char name[128];

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	snprintf(name, sizeof(name), "/hawser~%s.000\n", r->id);
	cr_assert_not_null(strstr(desk_out(r, 0, 0), name), "%s", desk_out(r, 0, 0));
	desk_until(d, group_is_gone, r);
	desk_free(d);
}

/* Nobody is left who knows what it has started, but the group. */
Test(commands_escape, what_has_killed_its_holder_is_killed)
{
	if (!have_cgroups())
		cr_skip_test("no control groups");
	struct desk *d = roots_desk();
	struct desk_record *r = desk_script(d,
		HOLDER ",\"setsid sleep 300 >/dev/null 2>&1 & echo $!\",\"sleep 0.5; kill -9 $h\"",
		"");

	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", -1);
	rig_until_dead((pid_t)atol(desk_out(r, 0, 0)));
	desk_until(d, group_is_gone, r);
	desk_free(d);
}

Test(commands_escape, the_group_of_a_service_goes_with_it)
{
	if (!have_cgroups())
		cr_skip_test("no control groups");
	struct desk *d = roots_desk();
	struct desk_record *r =
		desk_script(d, "\"setsid sleep 300 >/dev/null 2>&1 & echo $!\"", "");

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	rig_until_no_socket(d->rig);
	pid_t pid = (pid_t)atol(desk_out(r, 0, 0));
	cr_assert(rig_alive(pid));
	cr_assert_not(group_is_gone(d, r));
	kill(pid, SIGKILL);
	desk_until(d, group_is_gone, r);
	desk_free(d);
}
