/* hawser status, version. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/allowed.h"
#include "client/client.h"
#include "client/commands.h"
#include "client/lookout.h"
#include "client/verify_online.h"
#include "proto/base/display.h"
#include "client/duration.h"
#include "proto/trust/https.h"

#define KEY_WIDTH  10
#define MORE_WIDTH 16 /* ", and 1000 more" */
#define MAY_LINES  8  /* with the other lines it is a screen */
#define OBJECTIONS 4  /* that are told in words */

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

/* --- what the client adds of its own ---------------------------------------------------------- */

/* Half a second is what a person may set a watch by; an answer's way is in it. */
#define CLOCK_OFF (USEC_PER_SEC / 2)

static const char *
say_round_trip(struct client *c, int64_t usec)
{
	return usec < 10 * USEC_PER_MSEC
		? arena_printf(c->arena, "%.1f ms", (double)usec / 1000)
		: arena_printf(c->arena, "%" PRId64 " ms", usec / USEC_PER_MSEC);
}

static const char *
say_clock(struct client *c, int64_t ahead_ms)
{
	int64_t off = ahead_ms < 0 ? -ahead_ms : ahead_ms;

	if (off < CLOCK_OFF / USEC_PER_MSEC)
		return "as the relay's";
	return arena_printf(c->arena, "%" PRId64 ".%01d s %s the relay's", off / 1000,
		(int)(off % 1000 / 100), ahead_ms > 0 ? "behind" : "ahead of");
}

static const char *
say_ledger(struct client *c, const struct msg_ledger_view *v)
{
	const char *age = output_age(c, v->signed_at);

	if (v->state == 0)
		return "nothing of it was seen yet";
	if (v->state == WITNESS_STATE_AGREES && v->message != NULL)
		return arena_printf(c->arena, "%" PRId64 " entries were seen; not checked now: %s",
			v->entries, v->message);
	if (v->state == WITNESS_STATE_AGREES)
		return arena_printf(c->arena,
			"%" PRId64 " entries, signed %s; agrees with what was seen", v->entries,
			age != NULL ? age : "-");
	return arena_printf(c->arena, "%" PRId64 " entries were seen, signed %s; NOW: %s",
		v->entries, age != NULL ? age : "-", witness_state_word(v->state));
}

static const char *
say_nodes(struct client *c, const struct msg_ledger_view *v)
{
	if (v->witnesses == 0)
		return NULL;
	return v->silent > 0
		? arena_printf(c->arena,
			  "%" PRId64 " of %" PRId64 " agree, %" PRId64 " have said nothing",
			  v->agree, v->witnesses, v->silent)
		: arena_printf(c->arena, "%" PRId64 " of %" PRId64 " agree", v->agree,
			  v->witnesses);
}

static void
append_objections(struct buf *out, struct client *c, const struct msg_client_view *v)
{
	for (size_t i = 0; i < v->findings.n && i < OBJECTIONS; i++)
		line(out, "OBJECTS",
			arena_printf(c->arena, "%s: %s", v->findings.v[i].file,
				v->findings.v[i].what));
	if (v->n_findings > OBJECTIONS)
		line(out, "OBJECTS",
			arena_printf(c->arena, "and %" PRId64 " more: hawser audit verify",
				v->n_findings - OBJECTIONS));
}

static void
append_view(struct buf *out, struct client *c, const struct msg_client_view *v)
{
	line(out, "link", say_round_trip(c, v->round_trip));
	line(out, "clock", say_clock(c, v->ahead));
	if (v->ledger == NULL)
		return;
	line(out, "ledger", say_ledger(c, v->ledger));
	line(out, "witnesses", say_nodes(c, v->ledger));
	append_objections(out, c, v);
}

struct look {
	struct msg_client_view view;
	struct msg_ledger_view ledger;
	struct verify_result found;
	struct msg_verify_place places[VERIFY_FINDINGS_MAX];
};

/* Asking the nodes may connect anew, and then the lookout that a text is lent by is gone. */
static bool
keep_text(const char **text, struct client *c)
{
	if (*text == NULL)
		return true;
	*text = arena_strdup(c->arena, *text);
	return *text != NULL;
}

/* Best effort: who may not see the nodes, or has lost the link meanwhile, is still told the rest.
 */
static bool
look_at_ledger(struct look *l, struct client *c)
{
	struct online_result nodes = {.nodes = 0};

	(void)lookout_wait(c->lookout);
	lookout_describe(&l->ledger, c->lookout);
	if (!keep_text(&l->ledger.message, c) || !keep_text(&l->ledger.evidence, c))
		return false;
	(void)verify_nodes(&nodes, &l->found, c, NULL);
	c->hint[0] = '\0';
	l->ledger.witnesses = (int64_t)nodes.nodes;
	l->ledger.agree = (int64_t)nodes.agree;
	l->ledger.silent = (int64_t)nodes.silent;
	l->view.ledger = &l->ledger;
	l->view.findings.v = l->places;
	l->view.findings.n = verify_list(l->places, l->found.findings, l->found.n_findings);
	l->view.n_findings = (int64_t)l->found.n_findings;
	return true;
}

/* Lives in the client's arena; NULL: no memory. */
static struct msg_client_view *
look_around(struct client *c)
{
	struct look *l = arena_alloc(c->arena, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->view.home = c->home.path;
	l->view.ahead = conn_ahead(c->conn) / USEC_PER_MSEC;
	(void)conn_round_trip(&l->view.round_trip, c->conn, NULL);
	return c->lookout == NULL || look_at_ledger(l, c) ? &l->view : NULL;
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
	append_view(&out, c, me->client);
	r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

static int
run_status(struct client *c, const struct input *in, struct hw_err *err)
{
	static const struct msg_empty nothing;
	struct msg_get_caller_identity_reply *me;
	int r;

	(void)in;
	if ((r = client_call(&me, c, OP_get_caller_identity, &nothing, err)) < 0)
		return r;
	me->client = look_around(c); /* whatever the relay put there */
	if (me->client == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what was seen of the ledger");
	if (c->format <= OUTPUT_WIDE)
		return show_status(c, me, err);
	return output_one(c, MSG_ROW(get_caller_identity_reply), me, me->user_name, err);
}

const struct command cmd_status = {
	.name = "status",
	.wary = true,
	.operands = "",
	.summary = "Show who you are to the relay, what you may do, and how its ledger is.",
	.examples = {"hawser status", "hawser status -o json"},
	.shows = true,
	.run = run_status,
};

static int
run_version(struct client *c, const struct input *in, struct hw_err *err)
{
	static const char text[] = "hawser " HAWSER_VERSION "\n";
	static const char name[] = HAWSER_VERSION "\n";
	struct buf json;

	(void)in;
	if (c->format <= OUTPUT_WIDE)
		return output_bytes(text, sizeof(text) - 1, err);
	if (c->format == OUTPUT_NAME)
		return output_bytes(name, sizeof(name) - 1, err);
	buf_init(&json, 1024);
	buf_append_str(&json, "{\"Version\": \"" HAWSER_VERSION "\"}\n");
	int r = output_json(c, &json, err);
	buf_fini(&json);
	return r;
}

const struct command cmd_version = {
	.name = "version",
	.operands = "",
	.summary = "Show which hawser this is; status shows the relay's version.",
	.examples = {"hawser version", "hawser version -o json"},
	.shows = true,
	.run = run_version,
};
