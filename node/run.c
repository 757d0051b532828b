#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/command.h"
#include "node/config.h"
#include "node/ground.h"
#include "node/launch.h"
#include "node/monitor/monitor.h"
#include "node/upgrade/slots.h"
#include "node/upgrade/terms.h"
#include "node/uplink.h"
#include "proto/base/file.h"
#include "proto/wire/enrol.h"

#define MONITOR	     "hawser-node-monitor"
#define ASKS_PAM     "hawser-node-pam"
#define ARGS_MAX     64 /* of this program */
#define PROGRAM_PATH (PATH_MAX + 32)

struct run {
	const char *dir, *agent_user, *level, *grace, *policy;
	const char *slots, *terms;
	const char *launcher; /* who has launched this, or NULL; see launch.h */
	char **argv;	      /* as it was called */
	bool rootless;
	char path[PATH_MAX]; /* of the directory, absolute */
	char own_slots[PATH_MAX], own_terms[PATH_MAX];
	struct node_config config;
};

struct programs_found {
	char self[PATH_MAX], monitor[PROGRAM_PATH], pam[PROGRAM_PATH];
	bool asks_pam;
};

static const char *const levels[] = {"error", "warn", "info", "debug"};

static int
level_by_name(const char *name)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(levels[i], name) == 0)
			return i;
	return -1;
}

static bool
is_grace(const char *text)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	return end != text && *end == '\0' && seconds >= 0 && seconds <= 3600;
}

static int
take_options(struct run *run, const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",		required_argument, NULL, 'd'},
		{"rootless",	     no_argument,	  NULL, 'r'},
		{"agent-user",    required_argument, NULL, 'a'},
		{"grace",	  required_argument, NULL, 'g'},
		{"policy",	   required_argument, NULL, 'p'},
		{"log-level",     required_argument, NULL, 'l'},
		{"slots",	  required_argument, NULL, 's'},
		{"release-terms", required_argument, NULL, 't'},
		{"launcher",	     required_argument, NULL, 'L'},
		{NULL,	       0,		  NULL, 0	 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd')
			run->dir = optarg;
		else if (o == 's')
			run->slots = optarg;
		else if (o == 't')
			run->terms = optarg;
		else if (o == 'L')
			run->launcher = optarg;
		else if (o == 'g')
			run->grace = optarg;
		else if (o == 'p')
			run->policy = optarg;
		else if (o == 'r')
			run->rootless = true;
		else if (o == 'a')
			run->agent_user = optarg;
		else if (o == 'l')
			run->level = optarg;
		else
			return EXIT_USAGE;
	}
	if (argc != optind || run->dir == NULL)
		return command_usage(self, "run takes --dir DIR");
	if (level_by_name(run->level) < 0)
		return command_usage(self, "--log-level %s: error, warn, info or debug",
			run->level);
	if ((run->slots != NULL && run->slots[0] != '/') ||
		(run->terms != NULL && run->terms[0] != '/'))
		return command_usage(self, "--slots and --release-terms take paths from the root");
	if (run->grace != NULL && !is_grace(run->grace))
		return command_usage(self, "--grace %s: seconds, 0 to 3600", run->grace);
	return EXIT_OK;
}

/* As root, without reading what somebody else may have written. */
static int
load_settings(struct run *run, int dir, struct hw_err *err)
{
	struct stat st;
	char why[128];
	int r;

	if (run->rootless)
		return node_config_load(&run->config, dir, err);
	if (fstatat(dir, ENROL_NODE_CERT, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return hw_err_sys(err, "cannot look at " ENROL_NODE_CERT);
	if ((r = ground_settings(&run->config, dir, why, sizeof(why), err)) == 0 && why[0] != '\0')
		fprintf(stderr,
			"hawser-node: %s, so root does not go by the run_as and agent_user that it "
			"names, but by %s and %s, and runs commands as %s, with pam = %s. When what it says is right: chown root:root "
			"%s/" NODE_CONF " && chmod go-w %s/" NODE_CONF "\n",
			why, run->config.run_as, run->config.agent_user, run->config.command_run_as,
			run->config.pam[0] != '\0' ? run->config.pam : "off", run->dir, run->dir);
	return r;
}

/* *lock is what the monitor keeps for as long as it lives. HW_EREVOKED: the node is deregistered.
 */
static int
prepare(struct run *run, int *lock, struct hw_err *err)
{
	int dir, r;

	if (realpath(run->dir, run->path) == NULL)
		return hw_err_set(err, HW_ENOTFOUND, "%s: %s", run->dir, strerror(errno));
	if ((r = dir_open(&dir, run->path, false, err)) < 0)
		return r;
	if ((r = load_settings(run, dir, err)) == HW_ENOTFOUND)
		r = node_config_explain(dir, run->dir, err);
	if (run->agent_user == NULL)
		run->agent_user = run->config.agent_user;
	if (r == 0 && (r = file_lock(lock, dir, NODE_LOCK, err)) == HW_EEXISTS)
		hw_err_set(err, r, "an agent runs in %s already: see hawser-node status --dir %s",
			run->dir, run->dir);
	if (r == 0 && !run->rootless)
		r = ground_give(dir, run->agent_user, err);
	fd_close(dir);
	return r;
}

/* Programs lie side by side, or where the installation puts what is not for people. */
static int
find_program(char path[PROGRAM_PATH], const char *self, const char *name, struct hw_err *err)
{
	snprintf(path, PROGRAM_PATH, "%.*s/%s", (int)(strrchr(self, '/') - self), self, name);
	if (access(path, X_OK) == 0)
		return 0;
	snprintf(path, PROGRAM_PATH, HAWSER_LIBEXECDIR "/%s", name);
	if (access(path, X_OK) == 0)
		return 0;
	return hw_err_set(err, HW_ENOTFOUND, "no %s beside %s nor in " HAWSER_LIBEXECDIR, name,
		self);
}

/* Where there is PAM to be asked, also who asks it: nothing starts without. */
static int
find_programs(struct programs_found *ret, const struct run *run, struct hw_err *err)
{
	ssize_t n = readlink("/proc/self/exe", ret->self, sizeof(ret->self) - 1);
	int r;

	if (n < 0)
		return hw_err_sys(err, "cannot read /proc/self/exe");
	ret->self[n] = '\0';
	if ((r = find_program(ret->monitor, ret->self, MONITOR, err)) < 0)
		return r;
	ret->asks_pam = !run->rootless && run->config.pam[0] != '\0';
	if (ret->asks_pam && (r = find_program(ret->pam, ret->self, ASKS_PAM, err)) < 0)
		hw_err_prefix(err, "node.conf has pam = %s", run->config.pam);
	return r;
}

/* What the monitor starts in its own place when the agent is to start again; a launcher that is the
 * parent does that itself. */
static int
add_launcher(const char **args, const struct run *run, const char *self)
{
	const char *launcher = run->launcher != NULL ? run->launcher : self;
	int n = 0;

	if (strcmp(launcher, LAUNCH_BY_PARENT) == 0)
		return 0;
	args[n++] = "--";
	args[n++] = launcher;
	for (int i = 1; run->argv[i] != NULL && i < ARGS_MAX - 1; i++) {
		if (strcmp(run->argv[i], "--launcher") == 0)
			i++;
		else
			args[n++] = run->argv[i];
	}
	return n;
}

static int
become_monitor(const struct run *run, struct hw_err *err)
{
	struct programs_found found;
	const char *args[32 + ARGS_MAX];
	int n = 0, r;

	if ((r = find_programs(&found, run, err)) < 0)
		return r;
	args[n++] = MONITOR;
	args[n++] = "--dir";
	args[n++] = run->path;
	args[n++] = "--uplink";
	args[n++] = found.self;
	if (run->grace != NULL) {
		args[n++] = "--grace";
		args[n++] = run->grace;
	}
	if (run->policy != NULL) {
		args[n++] = "--policy";
		args[n++] = run->policy;
	}
	if (run->rootless) {
		args[n++] = "--rootless";
	} else {
		args[n++] = "--agent-user";
		args[n++] = run->agent_user;
		args[n++] = "--run-as";
		args[n++] = run->config.run_as;
		args[n++] = "--command-run-as";
		args[n++] = run->config.command_run_as;
	}
	if (found.asks_pam) {
		args[n++] = "--pam";
		args[n++] = run->config.pam;
		args[n++] = "--pam-program";
		args[n++] = found.pam;
	}
	args[n++] = "--";
	args[n++] = "uplink";
	args[n++] = "--dir";
	args[n++] = run->path;
	args[n++] = "--log-level";
	args[n++] = run->level;
	args[n++] = "--slots";
	args[n++] = run->slots;
	args[n++] = "--release-terms";
	args[n++] = run->terms;
	n += add_launcher(args + n, run, found.self);
	args[n] = NULL;
	execv(found.monitor, (char *const *)(void *)args);
	return hw_err_sys(err, "cannot run %s", found.monitor);
}

/* A rootless agent has its own, in its directory. One that is not there is spoken of later. */
static int
choose_places(struct run *run, struct hw_err *err)
{
	char dir[PATH_MAX];
	int n = 0, m = 0;

	if (realpath(run->dir, dir) == NULL)
		snprintf(dir, sizeof(dir), "%s", run->dir);
	if (run->slots == NULL && run->rootless)
		n = snprintf(run->own_slots, sizeof(run->own_slots), "%s/slots", dir);
	if (run->terms == NULL && run->rootless)
		m = snprintf(run->own_terms, sizeof(run->own_terms), "%s/node.release", dir);
	if (n >= PATH_MAX || m >= PATH_MAX)
		return hw_err_set(err, HW_EVALIDATION, "the path %s is too long", run->dir);
	if (run->slots == NULL)
		run->slots = run->rootless ? run->own_slots : SLOTS_DEFAULT;
	if (run->terms == NULL)
		run->terms = run->rootless ? run->own_terms : TERMS_DEFAULT;
	return 0;
}

int
command_run(const struct command *self, int argc, char **argv)
{
	struct run run = {.level = "info", .argv = argv - 1};
	struct hw_err err = HW_ERR_INIT;
	int lock = -1, r;

	if ((r = take_options(&run, self, argc, argv)) != EXIT_OK)
		return r;
	run.rootless = run.rootless || geteuid() != 0;
	if (choose_places(&run, &err) < 0)
		return command_fail(&err);
	if (run.launcher == NULL)
		launch(&(struct launch){.dir = run.dir, .slots = run.slots, .argv = run.argv});
	if ((r = prepare(&run, &lock, &err)) < 0) {
		command_fail(&err);
		return r == HW_EREVOKED ? UPLINK_EXIT_GONE : EXIT_FAILED;
	}
	if (!run.rootless && !ground_user_exists(run.config.run_as))
		fprintf(stderr,
			"hawser-node: no user %s on this machine: sessions for which no policy names a "
			"user will be refused (run_as in %s/" NODE_CONF ")\n",
			run.config.run_as, run.dir);
	if (fcntl(lock, F_SETFD, 0) < 0)
		return EXIT_FAILED;
	become_monitor(&run, &err);
	return command_fail(&err);
}

int
command_uplink(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",		required_argument, NULL, 'd'},
		{"monitor-fd",    required_argument, NULL, 'm'},
		{"log-level",     required_argument, NULL, 'l'},
		{"slots",	  required_argument, NULL, 's'},
		{"release-terms", required_argument, NULL, 't'},
		{NULL,	       0,		  NULL, 0	 },
	};
	struct uplink_options u = {.monitor_fd = -1, .level = LOG_LEVEL_INFO};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd')
			u.dir = optarg;
		else if (o == 'm')
			u.monitor_fd = atoi(optarg);
		else if (o == 'l' && level_by_name(optarg) >= 0)
			u.level = (enum log_level)level_by_name(optarg);
		else if (o == 's')
			u.slots = optarg;
		else if (o == 't')
			u.terms = optarg;
		else
			return EXIT_USAGE;
	}
	if (u.dir == NULL || u.monitor_fd < 3)
		return command_usage(self, "the monitor starts this");
	return uplink_run(&u);
}
