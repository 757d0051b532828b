/* hawser audit show: one entry, or all that is known of a session or a command. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/export.h"
#include "client/audit_filter.h"
#include "client/commands.h"
#include "client/duration.h"
#include "client/pages.h"
#include "client/session_name.h"
#include "client/tape.h"
#include "client/typed.h"
#include "proto/base/display.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"

#define OUT_MAX (64u << 20)
#define PAGE	500

static int
fetch(struct pages *all, struct client *c, int key, const char *value, struct hw_err *err)
{
	struct msg_lookup_attribute attribute = {.attribute_key = key, .attribute_value = value};
	struct msg_lookup_events_request req = {.oldest_first = true, .max_results = PAGE};

	req.lookup_attributes.v = &attribute;
	req.lookup_attributes.n = 1;
	return pages_fetch(all, c, OP_lookup_events, &req, &req.next_token,
		offsetof(struct msg_lookup_events_reply, next_token), 0, err);
}

/* --- an entry --------------------------------------------------------------------------------- */

static int
show_entry(struct client *c, const char *number, struct hw_err *err)
{
	struct pages all = {0};
	int r = fetch(&all, c, LOOKUP_KEY_EVENT_ID, number, err);

	if (r < 0)
		return r;
	if (all.n == 0) {
		client_hint(c, "hawser audit ls");
		return hw_err_set(err, HW_ENOTFOUND, "no entry that you may see is number %s",
			number);
	}
	r = output_one(c, MSG_ROW(ledger_entry), all.v, number, err);
	return r == 0 && audit_say_damaged(c, all.v, all.n) > 0 ? AUDIT_DAMAGED : r;
}

/* --- what happened in a session --------------------------------------------------------------- */

static void
begin(struct buf *out, const struct event *ev, const char *what)
{
	char at[DURATION_TEXT];

	duration_format_clock(at, ev->time);
	buf_printf(out, "%s  -- %s", at, what);
}

static void
append_close(struct buf *out, const struct event *ev, struct arena *a)
{
	void *msg;

	begin(out, ev, "it ended");
	if (msg_decode(&msg, a, MSG_ROW(close), ev->bytes, ev->len, NULL) == 0) {
		buf_append_str(out, ": ");
		struct buf json;
		buf_init(&json, EVENT_BYTES_MAX);
		if (msg_to_json(&json, MSG_ROW(close), msg, 0) == 0)
			display_append(out, (const char *)buf_data(&json), json.len);
		buf_fini(&json);
	}
	buf_append_byte(out, '\n');
}

static void
append_author(struct buf *out, const struct event *ev)
{
	struct buf name;

	buf_init(&name, 4096);
	export_author(ev, &name);
	begin(out, ev, "");
	display_append(out, (const char *)buf_data(&name), name.len);
	buf_append_str(out, " types\n");
	buf_fini(&name);
}

static void
append_note(struct buf *out, const struct event *ev)
{
	begin(out, ev, "");
	display_append(out, (const char *)ev->bytes, ev->len);
	buf_append_byte(out, '\n');
}

static void
append_event(struct buf *out, const struct event *ev, struct arena *a)
{
	switch (ev->type) {
	case EVENT_RESIZE:
		begin(out, ev, "");
		buf_printf(out, "the terminal has %ux%u\n", ev->cols, ev->rows);
		return;
	case EVENT_REWIND:
		begin(out, ev, "");
		buf_printf(out, "%s from byte %" PRIu64 " on was not delivered, and came again\n",
			ev->stream == STREAM_IN ? "input" : "output", ev->offset);
		return;
	case EVENT_NOTE:
		append_note(out, ev);
		return;
	case EVENT_AUTHOR:
		append_author(out, ev);
		return;
	case EVENT_CLOSE:
		append_close(out, ev, a);
		return;
	default:
		return;
	}
}

static int
read_timeline(struct buf *out, struct client *c, struct tape *tape, struct hw_err *err)
{
	struct typed typed;
	struct event ev;
	int r;

	typed_init(&typed);
	while ((r = tape_next(&ev, tape, err)) > 0 && !out->failed) {
		typed_event(&typed, &ev, out);
		append_event(out, &ev, c->arena);
	}
	typed_end(&typed, out);
	typed_fini(&typed);
	return r < 0 ? r : 0;
}

/* A recording that was never begun, or is another's to read, leaves the entries. */
static int
append_timeline(struct buf *out, struct client *c, const char *id, struct hw_err *err)
{
	struct hw_err why = HW_ERR_INIT;
	struct tape *tape = NULL;
	int r = tape_open(&tape, c, id, &why);

	if (r == HW_ENOTFOUND || r == HW_EDENIED) {
		client_say(c, "no recording: %s", hw_err_text(&why));
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	r = read_timeline(out, c, tape, err);
	tape_close(tape);
	return r;
}

/* --- a session -------------------------------------------------------------------------------- */

static int
print(struct client *c, const char *head, struct hw_err *err)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "\n%s\n", head);

	(void)c;
	return output_bytes(line, (size_t)n, err);
}

static int
show_entries(struct client *c, const struct pages *entries, struct hw_err *err)
{
	return output_list(c, &audit_listing, NULL, entries->v, entries->n, err);
}

/* {"Session": ..., "Entries": [...], "Timeline": ["00:00:01  ls", ...]} */
static int
append_json(struct buf *out, const struct msg_row *row, const void *what, const char *name,
	const struct pages *entries, const struct buf *timeline)
{
	const char *p = (const char *)buf_data(timeline), *end = p + timeline->len;
	int r;

	buf_printf(out, "{\"%s\": ", name);
	if ((r = msg_to_json(out, row, what, JSON_DATES)) < 0)
		return r;
	buf_append_str(out, ", \"Entries\": [");
	for (size_t i = 0; r == 0 && i < entries->n; i++) {
		buf_append_str(out, i > 0 ? ", " : "");
		r = msg_to_json(out, MSG_ROW(ledger_entry),
			(const struct msg_ledger_entry *)entries->v + i, JSON_DATES);
	}
	buf_append_str(out, "], \"Timeline\": [");
	for (const char *from = p, *nl; from < end; from = nl + 1) {
		nl = memchr(from, '\n', (size_t)(end - from));
		nl = nl != NULL ? nl : end;
		buf_append_str(out, from > p ? ", " : "");
		json_append_string(out, from, (size_t)(nl - from));
	}
	buf_append_str(out, "]}\n");
	return out->failed ? HW_ELIMIT : r;
}

static int
show_json(struct client *c, const struct msg_row *row, const void *what, const char *name,
	const struct pages *entries, const struct buf *timeline, struct hw_err *err)
{
	struct buf out;

	buf_init(&out, 4 * OUT_MAX);
	int r = append_json(&out, row, what, name, entries, timeline);
	r = r < 0 ? hw_err_set(err, r, "it is too large to be shown") : output_json(c, &out, err);
	buf_fini(&out);
	return r;
}

static int
show_people(struct client *c, const struct msg_session *s, const struct pages *entries,
	const struct buf *timeline, struct hw_err *err)
{
	int r;

	if ((r = output_one(c, MSG_ROW(session), s, s->session_id, err)) < 0 ||
		(r = print(c, "In the ledger:", err)) < 0 ||
		(r = show_entries(c, entries, err)) < 0 || timeline->len == 0 ||
		(r = print(c, "Typed, and what else happened:", err)) < 0)
		return r;
	return output_bytes(buf_data(timeline), timeline->len, err);
}

static int
show_session(struct client *c, const char *name, struct hw_err *err)
{
	const struct msg_session *s;
	struct pages entries = {0};
	struct buf timeline;
	int r;

	if ((r = session_find(&s, c, name, err)) < 0 ||
		(r = fetch(&entries, c, LOOKUP_KEY_SESSION_ID, s->session_id, err)) < 0)
		return r;
	if (c->format == OUTPUT_NAME)
		return output_one(c, MSG_ROW(session), s, s->session_id, err);
	buf_init(&timeline, OUT_MAX);
	r = append_timeline(&timeline, c, s->session_id, err);
	if (r == 0 && timeline.failed)
		client_say(c, "more was typed than is shown: hawser replay %s --typed",
			s->session_id);
	if (r == 0)
		r = c->format <= OUTPUT_WIDE
			? show_people(c, s, &entries, &timeline, err)
			: show_json(c, MSG_ROW(session), s, "Session", &entries, &timeline, err);
	buf_fini(&timeline);
	return r;
}

/* --- a command -------------------------------------------------------------------------------- */

static const char *
cell_node(struct client *c, const void *item)
{
	const struct msg_command_invocation *i = item;

	(void)c;
	return i->instance_name != NULL ? i->instance_name : i->instance_id;
}

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_command_invocation *)item)->instance_id;
}

static const char *
cell_status(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_command_invocation *)item)->status_details;
}

static const struct column node_columns[] = {
	{"NODE",	 false, cell_node, NULL},
	{"ID", false, cell_id, NULL},
	{"END",		false, cell_status, NULL},
	{0	  },
};

static const struct listing nodes_listing = {
	.reply = msg_row_list_command_invocations_reply,
	.item = msg_row_command_invocation,
	.columns = node_columns,
};

static int
show_command(struct client *c, const char *id, struct hw_err *err)
{
	struct msg_list_command_invocations_request req = {.command_id = id};
	struct msg_list_command_invocations_reply all = {0};
	struct pages entries = {0}, nodes = {0};
	struct buf none;
	int r;

	if ((r = fetch(&entries, c, LOOKUP_KEY_COMMAND_ID, id, err)) < 0 ||
		(r = pages_fetch(&nodes, c, OP_list_command_invocations, &req, &req.next_token,
			 offsetof(struct msg_list_command_invocations_reply, next_token), 0, err)) <
			0)
		return r;
	if (entries.n == 0 && nodes.n == 0)
		return hw_err_set(err, HW_ENOTFOUND, "no command that you may see has the id %s",
			id);
	all.command_invocations.v = nodes.v;
	all.command_invocations.n = nodes.n;
	if (c->format == OUTPUT_NAME)
		return output_one(c, MSG_ROW(list_command_invocations_reply), &all, id, err);
	if (c->format > OUTPUT_WIDE) {
		buf_init(&none, 1);
		return show_json(c, MSG_ROW(list_command_invocations_reply), &all, "Command",
			&entries, &none, err);
	}
	if ((r = output_list(c, &nodes_listing, &all, nodes.v, nodes.n, err)) < 0 ||
		(r = print(c, "In the ledger:", err)) < 0)
		return r;
	return show_entries(c, &entries, err);
}

/* --- the command ------------------------------------------------------------------------------ */

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *what = in->operands[0];
	int r = client_connect(c, err);

	if (r < 0)
		return r;
	/* Six digits may be a session's last ones: its entry is asked for with #. */
	if (what[0] == '#' || (strspn(what, "0123456789") == strlen(what) && strlen(what) != 6))
		return show_entry(c, what + (what[0] == '#'), err);
	return id_is_uuid(what) ? show_command(c, what, err) : show_session(c, what, err);
}

const struct command cmd_audit_show = {
	.name = "audit show",
	.wary = true,
	.operands = "ENTRY|SESSION|COMMAND-ID",
	.summary = "Show an entry whole, or all that happened in a session or command.",
	.about = "  ENTRY is a number (#123456 when it has six digits); SESSION is an id, any\n"
		 "  unique prefix of one, or its last six digits. Of a session: who, where, what\n"
		 "  was typed as far as it was shown, gaps, who else typed, and how it ended.",
	.examples = {"hawser audit show alice-0f1e2d", "hawser audit show 4711 -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};
