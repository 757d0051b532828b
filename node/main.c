/*
 * hawser-node, the agent of a machine.
 *
 *   main.c               this: the commands
 *   join.c               enrols the machine
 *   run.c                checks the ground, then becomes the monitor
 *   command_status.c     asks the running agent
 *   launch.c             before that: whether a slot's programs are to run instead
 *   command_check.c      looks at the machine, and at each hop to the relay
 *   uplink.c             the process that speaks to the relay: puts the following together
 *     agent.c              keeps a link, reports facts; knows no TLS, no processes
 *     sessions.c           what the relay opened, over all links
 *     bridge.c             one of them: a channel of the relay and the program behind it
 *     roster.c             what of it outlives the agent
 *     commands/            what the relay has ordered to be run:
 *       commands.c           all of them: asks, begins, tells the relay
 *       invocation.c         one: its steps, one after the other
 *       flow.c               what the end of a step means; pure
 *       orders.c, graves.c   what is on disk of them; the ids of those that are over
 *       logs.c, slot.c       where that lies: over the last one's, or in a file of its own
 *       spool.c, report.c    what they wrote; what of it goes to the relay next
 *     plugins/             what a step can do
 *     forward.c            a connection of a forward: a channel and a socket
 *     reach.c              from what a connection names to that socket
 *     programs.h           where programs come from:
 *     programs_monitor.c     the monitor's holders
 *     courier.c            does what an upgrade needs of the agent that runs
 *     credentials.c        the certificate and its renewal
 *     facts.c              what the node says of itself
 *     status.c             what it tells hawser-node status
 *     watch.c              keeps the head of the relay's ledger, and judges the next one by it
 *     config.c             the directory's files, node.conf
 *     ground.c             who owns them
 *     memory.c             keeps an idle agent small
 *     uplink_sandbox.c     what this process may do
 *   upgrade/             hawser-node-upgrade: from a release to the next agent
 *   monitor/             hawser-node-monitor: root's half, parent of all that runs
 *   holder/              what the monitor becomes for each shell or command
 *   pam/                 hawser-node-pam: what a holder starts where PAM is asked first
 *
 * A shell's way: relay -> link -> agent on_open -> sessions_open -> bridge_open -> programs start
 * -> monitor, which forks the holder, whose socket comes back; from then on bytes go relay - bridge
 * - holder - pty.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node/command.h"

static const struct command commands[] = {
	{"join",	 command_join,
		"usage: hawser-node join URL ID:CODE --dir DIR [--name NAME] [--tag KEY=VALUE]...\n"
		"           [--proxy URL]\n"
		"\n"
		"Makes this machine a node of the relay's fleet. URL carries the fingerprint of the\n"
		"relay's CA, as hawser-relay init prints it; ID:CODE comes from hawser activation create.\n"
		"With - in place of ID:CODE it is read from stdin, which keeps it out of process lists.\n"
		"\n"
		"  --dir DIR         where key, certificate and settings go\n"
		"  --name NAME       the node's name; else the activation's, or the host's\n"
		"  --tag KEY=VALUE   a tag; may be repeated\n"
		"  --proxy URL       the HTTP proxy to the relay, http://[USER:PASSWORD@]HOST:PORT, or none;\n"
		"                    else HTTPS_PROXY and NO_PROXY count. node.conf keeps it for the agent\n"
		"\n"
		"examples:\n"
		"  hawser-node join https://relay.example:8443#sha256:4f0c... 7d1e...:Zm9v... --dir /var/lib/hawser-node\n"
		"  echo \"$ACTIVATION\" | hawser-node join \"$URL\" - --dir /var/lib/hawser-node --tag Env=prod\n"},
	{"run",	command_run,
		"usage: hawser-node run --dir DIR [--rootless] [--agent-user USER] [--grace SECONDS]\n"
		"           [--policy FILE] [--slots DIR] [--release-terms FILE] [--log-level LEVEL]\n"
		"\n"
		"Runs the agent in the foreground: the monitor, and under it the process that dials the\n"
		"relay. As root, shells may run as any user that policies allow; otherwise, or with\n"
		"--rootless, all runs as the one user.\n"
		"\n"
		"  --dir DIR           what hawser-node join made\n"
		"  --rootless          changes no users\n"
		"  --agent-user USER   whom the network process runs as (hawser-node)\n"
		"  --grace SECONDS     how long shells outlive the network process (60)\n"
		"  --policy FILE       users and documents that this machine never allows, whatever the\n"
		"                      relay says (/etc/hawser/node.policy, which need not be there)\n"
		"  --slots DIR         where upgrades put their programs (/var/lib/hawser-node-slots;\n"
		"                      rootless, slots in the agent's directory)\n"
		"  --release-terms FILE  whose releases this machine takes (/etc/hawser/node.release;\n"
		"                      rootless, node.release in the agent's directory)\n"
		"  --log-level LEVEL   error, warn, info or debug (info)\n"
		"\n"
		"DIR/node.conf has settings, a line each; with witness = refuse nothing new begins here while\n"
		"the relay's ledger is not what it was. The default, report, says so in log and status.\n"
		"\n"
		"examples:\n"
		"  hawser-node run --dir /var/lib/hawser-node\n"
		"  hawser-node run --dir ~/.local/share/hawser-node --rootless\n"				 },
	{"status", command_status,
		"usage: hawser-node status --dir DIR [-o text|json]\n"
		"\n"
		"Shows who this node is, which relay and CA it trusts, whether it is connected, and whether\n"
		"the relay's ledger is still what this node has seen of it.\n"
		"Exits with 0 when it is, with 1 otherwise.\n"
		"\n"
		"  --dir DIR   the agent's directory\n"
		"  -o json     one JSON object\n"
		"\n"
		"examples:\n"
		"  hawser-node status --dir /var/lib/hawser-node\n"
		"  hawser-node status --dir /var/lib/hawser-node -o json\n"					   },
	{"check",  command_check,
		"usage: hawser-node check --dir DIR [-o text|json]\n"
		"\n"
		"Looks at what the agent needs: certificate, proxy, name and port of the relay, the agent\n"
		"itself, clock, disk, time of a sync, descriptors, terminals, users, control groups. A line\n"
		"for each, with what to do; exits with 1 when something fails.\n"
		"\n"
		"  --dir DIR   the agent's directory\n"
		"  -o json     as JSON: Findings, each with Check, Result (ok, warn, FAIL), Message, Next\n"
		"\n"
		"examples:\n"
		"  hawser-node check --dir /var/lib/hawser-node\n"
		"  hawser-node check --dir /var/lib/hawser-node -o json\n"					  },
	{"uplink", command_uplink, NULL									   },
};

static const char overview[] =
	"usage: hawser-node COMMAND ... | --help | --version\n"
	"\n"
	"  join URL ID:CODE --dir DIR   make this machine a node\n"
	"  run --dir DIR                run the agent\n"
	"  status --dir DIR             show whether it is connected\n"
	"  check --dir DIR              look at the machine, and at the way to the relay\n"
	"\n"
	"hawser-node COMMAND --help says more.\n"
	"\n"
	"examples:\n"
	"  hawser-node run --dir /var/lib/hawser-node\n"
	"  hawser-node status --dir /var/lib/hawser-node\n";

int
command_fail(const struct hw_err *err)
{
	fprintf(stderr, "hawser-node: %s\n", hw_err_text(err));
	return EXIT_FAILED;
}

int
command_usage(const struct command *self, const char *fmt, ...)
{
	va_list ap;

	fputs("hawser-node: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (self != NULL)
		fprintf(stderr, "; see hawser-node %s --help\n", self->name);
	else
		fputs("; see hawser-node --help\n", stderr);
	return EXIT_USAGE;
}

static int
wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return 1;
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return command_usage(NULL, "which command");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		fputs(overview, stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
		puts("hawser-node " HAWSER_VERSION);
		return EXIT_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];
		if (strcmp(argv[1], c->name) != 0)
			continue;
		if (c->help != NULL && wants_help(argc - 1, argv + 1)) {
			fputs(c->help, stdout);
			return EXIT_OK;
		}
		return c->run(c, argc - 1, argv + 1);
	}
	return command_usage(NULL, "no command %s", argv[1]);
}
