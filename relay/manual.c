/* Writes what man(5) says of relay.conf, as Markdown: hawser-relay-settings. */
#include <stdio.h>

#include "relay/core/config.h"

static const char head[] =
	"A relay reads `DIR/relay.conf` when it starts, and on `hawser-relay reload`, which names what wants a restart. Each line is `key = value`; what begins with `#` is a comment. `hawser-relay init` "
	"writes the file with every setting there is, each with a comment. A key that nobody knows, and a value out of its bounds, "
	"are refused with the line's number, and the relay does not start, or goes on with what it had; `hawser-relay check` says so before.\n\n"
	"Names of files are looked for in DIR unless they begin with `/`. Below, what is in brackets is the bounds of a number, and the default.\n\n"
	"## SETTINGS\n\n| | |\n|---|---|\n";

static const char tail[] = "\n## EXAMPLE\n\n"
			   "```\n"
			   "advertise = relay.example:8443\n"
			   "durability = sync\n"
			   "recording_days = 365\n"
			   "idle_seconds = 3600\n"
			   "```\n";

int
main(void)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	buf_append_str(&out, head);
	relay_config_document(&out);
	buf_append_str(&out, tail);
	int r = out.failed || fwrite(buf_data(&out), 1, out.len, stdout) != out.len ||
		fflush(stdout) != 0;
	buf_fini(&out);
	return r;
}
