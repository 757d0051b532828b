/*
 * hawser-node-monitor, root's half of the node agent; hawser-node run starts it.
 *
 *   main.c     options
 *   monitor.c  keeps the uplink running, starts holders
 *   logger.c   its log, which waits for nobody
 *   request.c  checks what the uplink asks
 *   local_policy.c  what this machine never allows
 *   rundir.c   the directory of the holders' sockets
 *   cgroup.c   the control groups of scripts
 *
 * and of node/holder/, which this program becomes once for each shell or command:
 *
 *   holder.c    its start, as root until it is the user
 *   serve.c     its loop, as the user
 *   program.c   the terminal or pipes, and starting the program in them as a login does
 *   entry.c     the same for a program by way of PAM, which another program asks
 *   account.c   the user, and becoming it
 *   environ.c   the program's environment
 *   protocol.c  what holder and uplink say to each other
 *   ring.c      a stream's bytes that are not yet consumed
 *   sweep.c     what a session leaves behind
 */
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/monitor/monitor.h"

#define AGAIN_AFTER_MS 250 /* an uplink gone wild is not to make it a loop */

static int
usage(void)
{
	fputs("hawser-node-monitor is started by hawser-node run\n", stderr);
	return 2;
}

/* Behind the uplink's arguments another "--" may follow, and the launcher with its own. */
static char **
cut_launcher(char **args)
{
	while (*args != NULL && strcmp(*args, "--") != 0)
		args++;
	if (*args == NULL)
		return NULL;
	*args = NULL;
	return args + 1;
}

/* With nothing of this process but its number, which whoever watches over the service knows it by.
 */
static int
start_again(char **launcher)
{
	poll(NULL, 0, AGAIN_AFTER_MS);
	close_range(3, ~0u, 0);
	execv(launcher[0], launcher);
	return 1;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",		required_argument, NULL, 'd'},
		{"uplink",	   required_argument, NULL, 'u'},
		{"agent-user",     required_argument, NULL, 'a'},
		{"run-as",	   required_argument, NULL, 'r'},
		{"command-run-as", required_argument, NULL, 'c'},
		{"grace",	  required_argument, NULL, 'g'},
		{"policy",	   required_argument, NULL, 'p'},
		{"pam",		required_argument, NULL, 's'},
		{"pam-program",	required_argument, NULL, 'm'},
		{"rootless",	     no_argument,	  NULL, 'l'},
		{NULL,	       0,		  NULL, 0	 },
	};
	struct monitor_config c = {
		.grace_seconds = 60, .serve_fd = -1, .policy = {.path = LOCAL_POLICY_PATH}};
	char **launcher;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'd':
			c.dir = optarg;
			break;
		case 'u':
			c.uplink = optarg;
			break;
		case 'a':
			c.agent_user = optarg;
			break;
		case 'r':
			c.run_as = optarg;
			break;
		case 'c':
			c.command_run_as = optarg;
			break;
		case 'g':
			c.grace_seconds = atoi(optarg);
			break;
		case 'p':
			c.policy = (struct local_policy){.path = optarg, .required = true};
			break;
		case 's':
			c.entry.service = optarg;
			break;
		case 'm':
			c.entry.program = optarg;
			break;
		case 'l':
			c.rootless = true;
			break;
		default:
			return usage();
		}
	}
	launcher = cut_launcher(argv + optind);
	c.uplink_args = argv + optind;
	while (c.uplink_args[c.n_uplink_args] != NULL)
		c.n_uplink_args++;
	if (c.dir == NULL || c.uplink == NULL || c.n_uplink_args == 0 ||
		(c.entry.service == NULL) != (c.entry.program == NULL))
		return usage();
	/* Without root there is nobody else to become. */
	c.rootless = c.rootless || geteuid() != 0;
	if (!c.rootless && (c.agent_user == NULL || c.run_as == NULL || c.command_run_as == NULL))
		return usage();
	int code = monitor_run(&c);
	return code == UPLINK_EXIT_AGAIN && launcher != NULL ? start_again(launcher) : code;
}
