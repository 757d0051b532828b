/* hawser status, version. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/allowed.h"
#include "client/client.h"
#include "client/commands.h"
#include "proto/base/display.h"
#include "client/duration.h"
#include "proto/trust/https.h"

#define KEY_WIDTH  10
#define MORE_WIDTH 16 /* ", and 1000 more" */
#define MAY_LINES  12 /* with the other lines it is a screen */

static void
line(struct buf *out, const char *key, const char *value)
{
	if (value == NULL)
		value = "-";
	buf_printf(out, "%-*s", KEY_WIDTH, key);
	display_append(out, value, strlen(value));
	buf_append_byte(out, '\n');
}

/* As many of the texts as fit into the line. */
static void
texts_line(struct buf *out, const char *key, const struct msg_strs *texts)
{
	size_t column = KEY_WIDTH;

	if (texts->n == 0) {
		line(out, key, NULL);
		return;
	}
	buf_printf(out, "%-*s", KEY_WIDTH, key);
	for (size_t i = 0; i < texts->n; i++) {
		size_t n = strlen(texts->v[i]), columns = display_append(NULL, texts->v[i], n);

		if (i > 0 && column + columns > USAGE_WIDTH - MORE_WIDTH) {
			buf_printf(out, ", and %zu more", texts->n - i);
			break;
		}
		buf_append_str(out, i > 0 ? ", " : "");
		display_append(out, texts->v[i], n);
		column += columns + 2;
	}
	buf_append_byte(out, '\n');
}

/* What concerns the caller. */
static void
append_caller(struct buf *out, struct client *c, const struct msg_get_caller_identity_reply *me)
{
	line(out, "user", me->user_name);
	line(out, "expires",
		arena_printf(c->arena, "%s (%s)", output_time(c, me->expires),
			output_until(c, me->expires)));
	if (me->source != NULL)
		line(out, "from", me->source);
	texts_line(out, "groups", &me->groups);
	texts_line(out, "policies", &me->policies);
	buf_printf(out, "%-*s", KEY_WIDTH, "may");
	allowed_append(out, &me->actions, KEY_WIDTH, USAGE_WIDTH, MAY_LINES);
}

/* Whoever may not see all of it is not told how large it is. */
static void
append_size(struct buf *out, struct client *c, const struct msg_get_caller_identity_reply *me)
{
	const char *nodes = NULL, *sessions = NULL;

	if (me->nodes > 0)
		nodes = arena_printf(c->arena, "%" PRId64 ", %" PRId64 " online", me->nodes,
			me->nodes_online);
	if (me->sessions > 0 || me->nodes > 0)
		sessions = arena_printf(c->arena, "%" PRId64 " live", me->sessions);
	line(out, "nodes", nodes);
	line(out, "sessions", sessions);
}

static void
append_fleet(struct buf *out, struct client *c, const struct msg_get_caller_identity_reply *me)
{
	struct relay_url url;

	if (relay_url_parse(&url, c->home.relay, NULL) == 0)
		line(out, "relay",
			arena_printf(c->arena, "%s at %s:%d, version %s", me->relay, url.host,
				url.port, me->relay_version));
	line(out, "fleet", me->fleet);
	append_size(out, c, me);
	line(out, "home", c->home.path);
}

/* For people; the other formats show the reply as it is. */
static int
show_status(struct client *c, const struct msg_get_caller_identity_reply *me, struct hw_err *err)
{
	struct buf out;
	int r;

	buf_init(&out, 1 << 20);
	if (me->alarm != NULL && me->alarm[0] != '\0')
		line(&out, "ALARM", me->alarm);
	append_caller(&out, c, me);
	append_fleet(&out, c, me);
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
	.summary = "Show who you are to the relay, until when, and what you may do.",
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
