/*
 * hawser audit unseal: what was typed hidden in a session, opened with an auditor's key. The pieces
 * come from the relay; the key never leaves this machine.
 */
#include <openssl/crypto.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/export.h"
#include "audit/sealed.h"
#include "client/client.h"
#include "client/cmd_audit.h"
#include "client/commands.h"
#include "client/duration.h"
#include "client/meter.h"
#include "client/passphrase.h"
#include "client/session_name.h"
#include "client/typed.h"
#include "proto/base/display.h"
#include "proto/base/enc.h"
#include "proto/trust/auditor_key.h"

#define KEYS_MAX 8
#define PAGE_MAX (4u << 20)
#define OUT_MAX	 (2u << 20) /* one piece as a line */

struct unsealing {
	struct client *client;
	struct auditor_key keys[KEYS_MAX];
	size_t n_keys;
	const char *session_id, *reason, *relay;
	bool json, complete;
	struct buf who, plain, out; /* whose turn it is; one piece; its line */
	struct output_series series;
	struct meter meter;
	uint64_t opened, dropped, foreign; /* pieces */
};

/* --- keys ------------------------------------------------------------------------------------- */

static int
load_key(struct unsealing *u, const char *path, struct hw_err *err)
{
	struct auditor_key *key = &u->keys[u->n_keys];
	char passphrase[PASSPHRASE_MAX] = "";
	int r = auditor_key_load(key, path, err);

	if (r == HW_ENOTFOUND)
		client_hint(u->client, "hawser audit keygen makes one; --key says where it is");
	if (r == 0 && key->locked) {
		if ((r = passphrase_of(passphrase, path, err)) == 0)
			r = auditor_key_unlock(key, passphrase, err);
		OPENSSL_cleanse(passphrase, sizeof(passphrase));
	}
	if (r == 0)
		u->n_keys++;
	return r;
}

static int
load_keys(struct unsealing *u, const struct input *in, struct hw_err *err)
{
	const char *path;
	int r = 0;

	for (size_t i = 0; r == 0; i++) {
		if ((path = audit_key_path(u->client, in, i, err)) == NULL)
			return i > 0 ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
		if (u->n_keys == KEYS_MAX)
			return hw_err_set(err, HW_EUSAGE, "%d keys at most", KEYS_MAX);
		r = load_key(u, path, err);
	}
	return r;
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* With whichever key it is for. */
static int
open_piece(struct unsealing *u, const struct event *ev)
{
	int r = HW_EDENIED;

	buf_wipe(&u->plain);
	for (size_t i = 0; i < u->n_keys && r == HW_EDENIED; i++)
		r = sealed_open(&u->plain, u->keys[i].priv, u->relay, u->session_id, ev);
	return r;
}

static const char *
said(int code)
{
	switch (code) {
	case HW_ENOTFOUND:
		return "dropped: there was no auditors' key then";
	case HW_EDENIED:
		return "sealed to another key";
	default:
		return "";
	}
}

static void
append_line(struct unsealing *u, const struct event *ev, int code)
{
	char time[DURATION_TEXT];

	duration_format_clock(time, ev->time);
	buf_printf(&u->out, "%s  ", time);
	if (u->who.len > 0) {
		buf_append_byte(&u->out, '[');
		display_append(&u->out, (const char *)buf_data(&u->who), u->who.len);
		buf_append_str(&u->out, "] ");
	}
	if (code == 0)
		typed_append_keys(&u->out, buf_data(&u->plain), u->plain.len);
	else
		buf_printf(&u->out, "(%" PRIu32 " bytes, %s)", ev->hidden, said(code));
	buf_append_byte(&u->out, '\n');
}

/* Base64, as the bytes may be anything. */
static void
append_json(struct unsealing *u, const struct event *ev, int code)
{
	size_t room = BASE64_LEN(u->plain.len) + 1;

	buf_printf(&u->out,
		"{\"Time\":%.6f,\"Offset\":%" PRIu64 ",\"Author\":%" PRIu32 ",\"Count\":%" PRIu32,
		(double)ev->time / 1e6, ev->offset, ev->author, ev->hidden);
	if (code == 0) {
		buf_append_str(&u->out, ",\"Bytes\":\"");
		char *to = (char *)buf_reserve(&u->out, room);
		if (to != NULL) {
			base64_encode(to, buf_data(&u->plain), u->plain.len);
			buf_commit(&u->out, room - 1);
		}
		buf_append_str(&u->out, "\"}");
	} else {
		buf_printf(&u->out, ",\"Missing\":\"%s\"}", said(code));
	}
}

static int
show_piece(struct unsealing *u, const struct event *ev, struct hw_err *err)
{
	int code = open_piece(u, ev);

	if (code < 0 && code != HW_ENOTFOUND && code != HW_EDENIED)
		return hw_err_set(err, code,
			"the piece at byte %" PRIu64 " of what was typed does not open: it was "
			"changed, or is not of this session",
			ev->offset);
	u->opened += code == 0;
	u->dropped += code == HW_ENOTFOUND;
	u->foreign += code == HW_EDENIED;
	if (u->json)
		append_json(u, ev, code);
	else
		append_line(u, ev, code);
	int r = u->out.failed ? hw_err_set(err, HW_ENOMEM, "out of memory")
		: u->json     ? output_series_add(&u->series, &u->out, err)
			      : output_bytes(buf_data(&u->out), u->out.len, err);
	buf_wipe(&u->out);
	return r;
}

static int
take_events(struct unsealing *u, const struct msg_bin *events, struct hw_err *err)
{
	struct event ev;
	size_t used;
	int r = 0;

	for (size_t at = 0; r == 0 && at < events->n; at += used) {
		if (event_decode(&ev, events->p + at, events->n - at, &used) < 0)
			return hw_err_set(err, HW_ECORRUPT,
				"the relay sent something that is no event of %s", u->session_id);
		if (ev.type == EVENT_AUTHOR) {
			buf_reset(&u->who);
			if (ev.author != 0)
				export_author(&ev, &u->who);
		} else if (ev.type == EVENT_HIDDEN) {
			r = show_piece(u, &ev, err);
		}
	}
	return r;
}

/* --- the command ------------------------------------------------------------------------------ */

static int
take_page(struct unsealing *u, char token[1025], struct hw_err *err)
{
	const struct msg_get_sealed_input_request req = {.session_id = u->session_id,
		.reason = u->reason,
		.next_token = token[0] != '\0' ? token : NULL};
	const struct msg_get_sealed_input_reply *page;
	struct arena *a = arena_new(PAGE_MAX);
	int r;

	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = client_connect(u->client, err)) == 0 &&
		(r = conn_call(&page, u->client->conn, OP_get_sealed_input, &req, a, err)) < 0)
		client_hint_call(u->client, r);
	if (r == 0) {
		u->relay = page->relay;
		r = take_events(u, &page->events, err);
		u->complete = page->complete;
		meter_show(&u->meter, 0, "%" PRIu64 " pieces", u->opened + u->dropped + u->foreign);
		snprintf(token, 1025, "%s", page->next_token != NULL ? page->next_token : "");
	}
	arena_free(a);
	return r;
}

static void
say_result(const struct unsealing *u)
{
	if (u->opened + u->dropped + u->foreign == 0)
		client_say(u->client, "nothing was typed hidden in %s", u->session_id);
	if (u->foreign > 0)
		client_say(u->client,
			"%" PRIu64 " of %" PRIu64
			" pieces are sealed to other keys: --key may be given several times",
			u->foreign, u->opened + u->dropped + u->foreign);
	if (!u->complete)
		client_say(u->client, "the session has not ended: this is what is recorded so far");
}

static int
unseal(struct unsealing *u, const struct input *in, struct hw_err *err)
{
	char token[1025] = "";
	int r;

	if ((r = load_keys(u, in, err)) < 0 || (r = client_connect(u->client, err)) < 0 ||
		(r = session_find_id(&u->session_id, u->client, in->operands[0], err)) < 0)
		return r;
	do
		r = take_page(u, token, err);
	while (r == 0 && token[0] != '\0');
	meter_hide(&u->meter);
	if (r == 0 && u->json)
		r = output_series_end(&u->series, err);
	if (r == 0)
		say_result(u);
	return r == 0 && u->opened == 0 && u->foreign > 0
		? hw_err_set(err, HW_EDENIED, "the key opens nothing of this session")
		: r;
}

static int
run_unseal(struct client *c, const struct input *in, struct hw_err *err)
{
	struct unsealing u = {.client = c,
		.reason = input_text(in, "reason"),
		.json = c->format > OUTPUT_WIDE && c->format != OUTPUT_NAME};

	buf_init(&u.who, 1024);
	buf_init(&u.plain, EVENT_BYTES_MAX);
	buf_init(&u.out, OUT_MAX);
	output_series_init(&u.series, c, false);
	meter_init(&u.meter, true);
	int r = unseal(&u, in, err);
	for (size_t i = 0; i < KEYS_MAX; i++)
		auditor_key_wipe(&u.keys[i]);
	buf_wipe(&u.plain);
	buf_wipe(&u.out);
	buf_fini(&u.who);
	buf_fini(&u.plain);
	buf_fini(&u.out);
	output_series_fini(&u.series);
	return r;
}

static const struct option_row options[] = {
	{"key",	'k', "FILE", "the private key (HOME/auditor.key); may repeat"},
	{"reason", 0, "TEXT", "why, for the ledger"},
	{0	  },
};

const struct command cmd_audit_unseal = {
	.name = "audit unseal",
	.wary = true,
	.operands = "SESSION",
	.summary = "Show what was typed hidden in a session: passwords, for the most part.",
	.about = "  The relay gives what is sealed, and writes into the ledger who asked and why;\n"
		 "  it is opened here. A line for each piece: time since the start, and the keys.\n"
		 "  -o json, jsonl and yaml have the bytes as base64.",
	.examples = {"hawser audit unseal a69788 --reason 'case 4711'",
		     "hawser audit unseal a69788 --key 2026.key --key 2027.key"},
	.options = options,
	.shows = true,
	.min = 1,
	.max = 1,
	.run = run_unseal,
};
