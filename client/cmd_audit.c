/* hawser audit export: a recording as a file, or entries of the ledger as lines. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/export.h"
#include "client/audit_filter.h"
#include "client/client.h"
#include "client/commands.h"
#include "client/meter.h"
#include "client/session_name.h"
#include "client/tape.h"
#include "proto/wire/codec.h"

#define OUT_MAX (8u << 20)

static int
flush_out(struct buf *out, int r, struct hw_err *err)
{
	if (r < 0 || out->failed)
		return hw_err_set(err, r < 0 ? r : HW_ELIMIT,
			"an event is too large to be written");
	r = output_bytes(buf_data(out), out->len, err);
	buf_consume(out, out->len);
	return r;
}

static int
write_all(struct tape *tape, enum export_format format, bool typed, struct hw_err *err)
{
	struct export *e;
	struct event ev;
	struct meter meter;
	uint64_t bytes = 0;
	struct buf out;
	int r;

	buf_init(&out, OUT_MAX);
	if ((e = export_new(format, tape_meta(tape), typed, &out)) == NULL) {
		buf_fini(&out);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	meter_init(&meter, true);
	while ((r = tape_next(&ev, tape, err)) > 0) {
		bytes += ev.len;
		meter_show(&meter, bytes, "up to %" PRId64 " s of the session",
			ev.time / USEC_PER_SEC);
		if ((r = flush_out(&out, export_event(e, &ev, &out), err)) < 0)
			break;
	}
	meter_hide(&meter);
	if (r == 0)
		r = flush_out(&out, export_end(e, &out), err);
	export_free(e);
	buf_fini(&out);
	return r;
}

/* --- entries ---------------------------------------------------------------------------------- */

#define PAGE_ENTRIES 500
#define PAGE_MAX     (8u << 20)

static int
write_entries(const struct msg_lookup_events_reply *page, struct hw_err *err)
{
	struct buf out;
	int r = 0;

	buf_init(&out, 2 * PAGE_MAX);
	for (size_t i = 0; r == 0 && i < page->events.n; i++) {
		r = msg_to_json(&out, MSG_ROW(ledger_entry), &page->events.v[i], JSON_DATES);
		buf_append_byte(&out, '\n');
	}
	r = flush_out(&out, r, err);
	buf_fini(&out);
	return r;
}

/* Page by page, with no more of it in memory. */
static int
export_entries(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_lookup_events_reply *page;
	struct audit_filter f;
	struct meter meter;
	char token[1025];
	size_t entries = 0, damaged = 0;
	bool more = true;
	int r = audit_filter_read(&f, c, in, err);

	meter_init(&meter, true);
	f.req.oldest_first = true;
	f.req.max_results = PAGE_ENTRIES;
	while (r == 0 && more) {
		struct arena *a = arena_new(PAGE_MAX);
		if (a == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		if ((r = client_connect(c, err)) == 0 &&
			(r = conn_call(&page, c->conn, OP_lookup_events, &f.req, a, err)) == 0) {
			r = write_entries(page, err);
			entries += page->events.n;
			damaged += audit_say_damaged(c, page->events.v, page->events.n);
			meter_show(&meter, 0, "%zu entries", entries);
			more = page->next_token != NULL && page->next_token[0] != '\0';
			snprintf(token, sizeof(token), "%s", more ? page->next_token : "");
			f.req.next_token = token;
		}
		arena_free(a);
	}
	meter_hide(&meter);
	client_hint_call(c, r);
	return r == 0 && damaged > 0 ? AUDIT_DAMAGED : r;
}

/* --- the command ------------------------------------------------------------------------------ */

static int
run_export(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *name = input_text(in, "format"), *id;
	int format = export_format(name != NULL ? name : "cast");
	bool typed = input_has(in, "typed");
	struct tape *tape;
	int r;

	if (input_has(in, "entries") != (in->n == 0))
		return hw_err_set(err, HW_EUSAGE,
			"a SESSION, or --entries for the ledger: one of the two");
	if (in->n == 0)
		return export_entries(c, in, err);
	if (format < 0)
		return hw_err_set(err, HW_EUSAGE, "no format '%s': cast, text, raw or json", name);
	if (typed && format != EXPORT_TEXT && format != EXPORT_RAW)
		return hw_err_set(err, HW_EUSAGE,
			"--typed is for text and raw; the others hold it anyway");
	if (format == EXPORT_RAW && isatty(STDOUT_FILENO) && !input_has(in, "force"))
		return hw_err_set(err, HW_EUSAGE,
			"raw bytes could drive this terminal: send them to a file, or --force");
	if ((r = client_connect(c, err)) < 0 ||
		(r = session_find_id(&id, c, in->operands[0], err)) < 0 ||
		(r = tape_open(&tape, c, id, err)) < 0)
		return r;
	r = write_all(tape, (enum export_format)format, typed, err);
	if (r == 0 && !tape_is_complete(tape))
		client_say(c, "the session has not ended: this is what is recorded so far");
	tape_close(tape);
	return r;
}

static const struct option_row options[] = {
	{"format",						'f', "FORMAT", "cast (asciicast v2, the default), text, raw or json"},
	{"typed",					       't', NULL, "what was typed instead of what was shown (text, raw)"},
	{"force",						       0, NULL, "raw bytes even to a terminal"},
	{"entries",	    0, NULL, "the ledger instead, as JSON lines, the oldest first"},
	AUDIT_QUIET_OPTIONS,
	{0},
};

const struct command cmd_audit_export = {
	.name = "audit export",
	.wary = true,
	.operands = "SESSION|--entries",
	.summary = "Write a recording, or the ledger, to stdout. Reading is audited.",
	.about = "  cast plays in asciinema; text is without escape sequences; raw is every byte\n"
		 "  that was shown; json is one event a line. --entries takes the filters of\n"
		 "  `hawser audit ls`.",
	.examples = {"hawser audit export alice-0f1e2d > session.cast",
		     "hawser audit export --entries --since 24h > day.jsonl"},
	.options = options,
	.min = 0,
	.max = 1,
	.run = run_export,
};
