/* Writes what man(5) says of node.conf, as Markdown: hawser-node-settings. */
#include <stdio.h>

#include "node/config.h"

static const char head[] =
	"An agent reads `DIR/node.conf` when it starts. Each line is `key = value`; what begins with `#` is a comment. `hawser-node join` "
	"writes the file. A key that nobody knows, or a value that is none, is refused with the line's number, and the agent does not start.\n\n"
	"An agent that runs as root goes by `run_as`, `command_run_as` and `agent_user` only when the file is root's and nobody else may write it; "
	"else commands run as the user of sessions, too. Below, what is in brackets is the default.\n\n"
	"## SETTINGS\n\n| | |\n|---|---|\n";

static const char tail[] = "\n## EXAMPLE\n\n"
			   "```\n"
			   "relay = https://relay.example:8443#sha256:4f0c...\n"
			   "name = web-01\n"
			   "command_run_as = hawser\n"
			   "```\n";

int
main(void)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	buf_append_str(&out, head);
	node_config_document(&out);
	buf_append_str(&out, tail);
	int r = out.failed || fwrite(buf_data(&out), 1, out.len, stdout) != out.len ||
		fflush(stdout) != 0;
	buf_fini(&out);
	return r;
}
