/* hawser status, version. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/display.h"
#include "client/duration.h"
#include "proto/trust/https.h"

static void
line(struct buf *out, const char *key, const char *value)
{
	if (value == NULL)
		value = "-";
	buf_printf(out, "%-10s", key);
	display_append(out, value, strlen(value));
	buf_append_byte(out, '\n');
}

/* For people; the other formats show the reply as it is. */
static int
show_status(struct client *c, const struct msg_get_caller_identity_reply *me, struct hw_err *err)
{
	struct relay_url url;
	struct arena *a = c->arena;
	struct buf out;
	int r;

	buf_init(&out, 16384);
	line(&out, "user", me->user_name);
	line(&out, "expires",
		arena_printf(a, "%s (%s)", output_time(c, me->expires),
			output_until(c, me->expires)));
	if (relay_url_parse(&url, c->home.relay, NULL) == 0)
		line(&out, "relay",
			arena_printf(a, "%s at %s:%d, version %s", me->relay, url.host, url.port,
				me->relay_version));
	line(&out, "fleet", me->fleet);
	line(&out, "nodes",
		arena_printf(a, "%" PRId64 ", %" PRId64 " online", me->nodes, me->nodes_online));
	line(&out, "sessions", arena_printf(a, "%" PRId64 " live", me->sessions));
	line(&out, "home", c->home.path);
	r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

static int
run_status(struct client *c, const struct input *in, struct hw_err *err)
{
	static const struct msg_empty nothing;
	const struct msg_get_caller_identity_reply *me;
	int r;

	(void)in;
	if ((r = client_call(&me, c, OP_get_caller_identity, &nothing, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		return show_status(c, me, err);
	return output_one(c, MSG_ROW(get_caller_identity_reply), me, me->user_name, err);
}

const struct command cmd_status = {
	.name = "status",
	.operands = "",
	.summary = "Show who you are to the relay, until when, and how the fleet is.",
	.examples = {"hawser status", "hawser status -o json"},
	.shows = true,
	.run = run_status,
};

static int
run_version(struct client *c, const struct input *in, struct hw_err *err)
{
	static const char text[] = "hawser " HAWSER_VERSION "\n";

	(void)c;
	(void)in;
	return output_bytes(text, sizeof(text) - 1, err);
}

const struct command cmd_version = {
	.name = "version",
	.operands = "",
	.summary = "Show which hawser this is; status shows the relay's version.",
	.examples = {"hawser version", "hawser --version"},
	.run = run_version,
};
