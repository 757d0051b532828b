/*
 * hawser-node-monitor, root's half of the node agent; hawser-node run starts it.
 *
 *   main.c     options
 *   monitor.c  keeps the uplink running, starts holders
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
 *   account.c   the user, and becoming it
 *   environ.c   the program's environment
 *   protocol.c  what holder and uplink say to each other
 *   ring.c      a stream's bytes that are not yet consumed
 *   sweep.c     what a session leaves behind
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/monitor/monitor.h"

static int
usage(void)
{
	fputs("hawser-node-monitor is started by hawser-node run\n", stderr);
	return 2;
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
		{"rootless",	     no_argument,	  NULL, 'l'},
		{NULL,	       0,		  NULL, 0	 },
	};
	struct monitor_config c = {
		.grace_seconds = 60, .serve_fd = -1, .policy = {.path = LOCAL_POLICY_PATH}};
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
		case 'l':
			c.rootless = true;
			break;
		default:
			return usage();
		}
	}
	c.uplink_args = argv + optind;
	c.n_uplink_args = argc - optind;
	if (c.dir == NULL || c.uplink == NULL || c.n_uplink_args == 0)
		return usage();
	/* Without root there is nobody else to become. */
	c.rootless = c.rootless || geteuid() != 0;
	if (!c.rootless && (c.agent_user == NULL || c.run_as == NULL || c.command_run_as == NULL))
		return usage();
	return monitor_run(&c);
}
