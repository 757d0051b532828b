#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/store/sessions.h"
#include "tests/unit/services/desk.h"

static const char *
online_node(struct desk *d)
{
	const char *id = desk_join(d, "web-01");

	snprintf(d->broker.online[0], sizeof(d->broker.online[0]), "%s", id);
	return id;
}

static int
start(struct desk *d, const char *node, struct msg_start_session_reply *rep)
{
	struct msg_start_session_request req = {.target = node};

	return CALL(d, start_session, &req, rep);
}

struct redeeming {
	struct desk *d;
	const char *token, *who;
	struct session_row *row;
};

static int
redeem(void *arg, struct db *db, struct hw_err *err)
{
	struct redeeming *w = arg;
	char hash[2 * SHA256_LEN + 1];

	token_hash(hash, w->token);
	return session_redeem(db, w->d->arena, hash,
		&(struct session_opener){.name = w->who, .source = "", .resume_hash = ""},
		clock_wall(&w->d->clock.clock), &w->row, err);
}

/* --- starting --------------------------------------------------------------------------------- */

Test(start, gives_a_ticket_for_who_asked)
{
	struct desk *d = desk_new(false);
	struct msg_start_session_reply rep;
	const char *node = online_node(d);

	CHECK_OK(d, start(d, node, &rep));
	cr_assert(eq(int, strncmp(rep.session_id, "alice-", 6), 0));
	cr_assert_str_eq(rep.stream_url, "wss://relay.example:8443/link");
	struct redeeming w = {d, rep.token_value, "bob", NULL};
	CHECK_FAILS(d, store_write(d->env.store, redeem, &w, &d->err), HW_ETICKET, "alice's");
	w.who = "alice";
	CHECK_OK(d, store_write(d->env.store, redeem, &w, &d->err));
	cr_assert(eq(int, w.row->type, CHANNEL_TYPE_PTY));
	cr_assert_str_eq(w.row->node_id, node);
	cr_assert_str_eq(w.row->node_name, "web-01");
	cr_assert_str_eq(w.row->document, "SSM-SessionManagerRunShell");
	cr_assert(eq(ptr, (void *)(uintptr_t)w.row->command, NULL));
	cr_assert(ne(ptr, strstr(w.row->owner_arn, ":user/alice"), NULL));
	CHECK_FAILS(d, store_write(d->env.store, redeem, &w, &d->err), HW_ETICKET, "used");
	desk_free(d);
}

Test(start, needs_a_node_that_is_connected)
{
	struct desk *d = desk_new(false);
	struct msg_start_session_reply rep;
	const char *node = online_node(d);

	CHECK_FAILS(d, start(d, "mi-00000000000000009", &rep), HW_EOFFLINE,
		"mi-00000000000000009 is not connected.");
	CHECK_FAILS(d, start(d, "web-01", &rep), HW_EOFFLINE, "web-01 is not connected.");
	/* A link of a node that was removed meanwhile. */
	snprintf(d->broker.online[1], sizeof(d->broker.online[1]), "mi-00000000000000009");
	CHECK_FAILS(d, start(d, "mi-00000000000000009", &rep), HW_EOFFLINE, "is not connected.");
	d->broker.online[0][0] = '\0';
	CHECK_FAILS(d, start(d, node, &rep), HW_EOFFLINE, "is not connected.");
	desk_free(d);
}

static int
start_with(struct desk *d, const char *document, const char *key, const char *value, size_t n)
{
	const char *values[] = {value, value};
	struct msg_pair pair = {
		key, {values, n}
	};
	struct msg_start_session_request req = {
		.target = d->broker.online[0],
		.document_name = document,
		.parameters = {&pair, key != NULL ? 1 : 0},
	};
	struct msg_start_session_reply rep;
	struct redeeming w = {.d = d, .who = "alice"};

	int r = CALL(d, start_session, &req, &rep);
	if (r < 0)
		return r;
	w.token = rep.token_value;
	CHECK_OK(d, store_write(d->env.store, redeem, &w, &d->err));
	if (value != NULL)
		cr_assert_str_eq(w.row->command, value);
	return w.row->type;
}

Test(start, documents_say_what_is_run)
{
	struct desk *d = desk_new(false);
	char *long_one = malloc(131074);

	online_node(d);
	memset(long_one, 'x', 131073);
	long_one[131073] = '\0';
	cr_assert(eq(int, start_with(d, "", NULL, NULL, 0), CHANNEL_TYPE_PTY));
	cr_assert(eq(int, start_with(d, "SSM-SessionManagerRunShell", NULL, NULL, 0),
		CHANNEL_TYPE_PTY));
	cr_assert(eq(int, start_with(d, "AWS-StartInteractiveCommand", "command", "top", 1),
		CHANNEL_TYPE_PTY));
	cr_assert(eq(int, start_with(d, "AWS-StartNonInteractiveCommand", "command", "id", 1),
		CHANNEL_TYPE_EXEC));
	cr_assert(eq(int, start_with(d, "AWS-StartSSHSession", NULL, NULL, 0),
		CHANNEL_TYPE_FORWARD));
	cr_assert(eq(int, start_with(d, "Hawser-StartSocksSession", NULL, NULL, 0),
		CHANNEL_TYPE_FORWARD));
	CHECK_FAILS(d, start_with(d, "AWS-StartSSHSession", "portNumber", "x", 1), HW_EPARAMETERS,
		"no port");
	CHECK_FAILS(d, start_with(d, "AWS-StartSSHSession", "portNumber", "22", 2), HW_EPARAMETERS,
		"one value");
	CHECK_FAILS(d, start_with(d, "AWS-StartNothingSession", NULL, NULL, 0), HW_EDOCUMENT,
		"AWS-StartNothingSession");
	CHECK_FAILS(d, start_with(d, NULL, "command", "id", 1), HW_EPARAMETERS, "command");
	CHECK_FAILS(d, start_with(d, "AWS-StartInteractiveCommand", NULL, NULL, 0), HW_EPARAMETERS,
		"command: it must be given");
	CHECK_FAILS(d, start_with(d, "AWS-StartInteractiveCommand", "x", "id", 1), HW_EPARAMETERS,
		"\"x\"");
	CHECK_FAILS(d, start_with(d, "AWS-StartInteractiveCommand", "command", "id", 2),
		HW_EPARAMETERS, "one value");
	CHECK_FAILS(d, start_with(d, "AWS-StartInteractiveCommand", "command", "id", 0),
		HW_EPARAMETERS, "one value");
	CHECK_FAILS(d, start_with(d, "AWS-StartInteractiveCommand", "command", "", 1),
		HW_EPARAMETERS, "minChars, 1");
	CHECK_FAILS(d, start_with(d, "AWS-StartInteractiveCommand", "command", long_one, 1),
		HW_EPARAMETERS, "131072");
	free(long_one);
	CHECK_FAILS(d, start_with(d, "AWS-RunShellScript", NULL, NULL, 0), HW_EDOCUMENT,
		"no session document");
	CHECK_FAILS(d,
		start_with(d, "AWS-StartPortForwardingSessionToRemoteHost", "host", "a b", 1),
		HW_EPARAMETERS, "a b");
	desk_free(d);
}

/* --- documents that people wrote -------------------------------------------------------------- */

static void
write_document(struct desk *d, const char *name, const char *content)
{
	struct msg_create_document_request req = {
		.name = name, .content = content, .document_type = DOCUMENT_TYPE_SESSION};
	struct msg_create_document_reply rep;

	CHECK_OK(d, CALL(d, create_document, &req, &rep));
}

/* The row of the session that starts. */
static const struct session_row *
started(struct desk *d, const char *document, const char *key, const char *value)
{
	struct msg_pair pair = {
		key, {&value, 1}
	};
	struct msg_start_session_request req = {
		.target = d->broker.online[0],
		.document_name = document,
		.parameters = {&pair, key != NULL}
	  };
	struct msg_start_session_reply rep;
	struct redeeming w = {.d = d, .who = "alice"};

	CHECK_OK(d, CALL(d, start_session, &req, &rep));
	w.token = rep.token_value;
	CHECK_OK(d, store_write(d->env.store, redeem, &w, &d->err));
	return w.row;
}

#define TAIL                                                                    \
	"schemaVersion: '1.0'\nsessionType: InteractiveCommands\nparameters:\n" \
	"  path: {type: String, allowedPattern: '^/var/log/[a-z.]+$'}\n"        \
	"properties: {linux: {commands: 'tail -f {{ path }}'}}\n"
#define DATABASE "schemaVersion: '1.0'\nsessionType: Port\nproperties: {portNumber: 5432}\n"
#define BEYOND                                                              \
	"schemaVersion: '1.0'\nsessionType: Port\nparameters:\n"            \
	"  host: {type: String}\n  port: {type: String, default: '5432'}\n" \
	"properties: {host: '{{ host }}', portNumber: '{{ port }}'}\n"
#define SOCKS "schemaVersion: '1.0'\nsessionType: Port\nproperties: {type: Socks}\n"
#define SHELL "schemaVersion: '1.0'\nsessionType: Standard_Stream\n"

Test(start, documents_of_one_s_own_say_what_is_run)
{
	struct desk *d = desk_new(false);
	const struct session_row *row;

	online_node(d);
	write_document(d, "tail-log", TAIL);
	row = started(d, "tail-log", "path", "/var/log/syslog");
	cr_assert_str_eq(row->command, "tail -f /var/log/syslog");
	cr_assert_str_eq(row->document, "tail-log");
	cr_assert(eq(int, row->type, CHANNEL_TYPE_PTY));
	CHECK_FAILS(d, start_with(d, "tail-log", "path", "/etc/shadow", 1), HW_EPARAMETERS,
		"allowedPattern");
	CHECK_FAILS(d, start_with(d, "tail-log", "path", "/var/log/a\n; reboot", 1), HW_EPARAMETERS,
		"allowedPattern");
	CHECK_FAILS(d, start_with(d, "tail-log", NULL, NULL, 0), HW_EPARAMETERS, "must be given");
	write_document(d, "plain", SHELL);
	row = started(d, "plain", NULL, NULL);
	cr_assert_null(row->command);
	cr_assert(eq(int, row->type, CHANNEL_TYPE_PTY));
	desk_free(d);
}

Test(start, documents_of_one_s_own_say_where_a_forward_goes)
{
	struct desk *d = desk_new(false);
	const struct session_row *row;

	online_node(d);
	write_document(d, "database", DATABASE);
	write_document(d, "beyond", BEYOND);
	write_document(d, "socks", SOCKS);
	row = started(d, "database", NULL, NULL);
	cr_assert_str_eq(row->remote_host, "localhost");
	cr_assert(eq(int, (int)row->remote_port, 5432));
	cr_assert(eq(int, row->type, CHANNEL_TYPE_FORWARD));
	row = started(d, "beyond", "host", "10.0.0.9");
	cr_assert_str_eq(row->remote_host, "10.0.0.9");
	static const char *const local[] = {"localhost", "127.0.0.1", "::1", "0.0.0.0"};
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		CHECK_FAILS(d, start_with(d, "beyond", "host", local[i], 1), HW_EPARAMETERS,
			"host");
	CHECK_FAILS(d, start_with(d, "beyond", "host", "unix:/run/x", 1), HW_EPARAMETERS,
		"no port");
	CHECK_FAILS(d, start_with(d, "beyond", "port", "0", 1), HW_EPARAMETERS, "must be given");
	CHECK_FAILS(d, start_with(d, "beyond", "host", "a b", 1), HW_EPARAMETERS, "a b");
	CHECK_FAILS(d, start_with(d, "socks", NULL, NULL, 0), HW_EDOCUMENT,
		"Hawser-StartSocksSession");
	desk_free(d);
}

Test(start, the_user_to_run_as_is_a_user_s_name)
{
	struct desk *d = desk_new(false);
	static const char *const good[] = {"root", "_apt", "a.b-c_1", "machine$", ""};
	static const char *const bad[] = {"Root", "0", "-x", "a b", "$", "a$b", "root\n", "../x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct msg_start_session_request req = {.target = online_node(d)};
	struct msg_start_session_reply rep;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		req.run_as = good[i];
		CHECK_OK(d, CALL(d, start_session, &req, &rep));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		req.run_as = bad[i];
		CHECK_FAILS(d, CALL(d, start_session, &req, &rep), HW_EVALIDATION, "RunAs");
	}
	req.run_as = NULL;
	req.reason = "a\nb";
	CHECK_FAILS(d, CALL(d, start_session, &req, &rep), HW_EVALIDATION, "Reason");
	desk_free(d);
}

/* --- listing ---------------------------------------------------------------------------------- */

static size_t
listed(struct desk *d, int state, int key, const char *value)
{
	struct msg_session_filter filter = {key, value};
	struct msg_describe_sessions_request req = {
		.state = state, .filters = {&filter, key != 0}
	      };
	struct msg_describe_sessions_reply rep;

	CHECK_OK(d, CALL(d, describe_sessions, &req, &rep));
	return rep.sessions.n;
}

Test(describe_sessions, filters)
{
	struct desk *d = desk_new(false);
	struct msg_start_session_reply a, b;
	const char *node = online_node(d);
	const int active = SESSION_STATE_ACTIVE;

	CHECK_OK(d, start(d, node, &a));
	fake_clock_advance(&d->clock, 10 * USEC_PER_SEC);
	CHECK_OK(d, start(d, node, &b));
	cr_assert(eq(sz, listed(d, active, 0, NULL), 2));
	cr_assert(eq(sz, listed(d, SESSION_STATE_HISTORY, 0, NULL), 0));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_SESSION_ID, a.session_id), 1));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_SESSION_ID, "alice-"), 2));
	cr_assert(eq(sz,
		listed(d, active, SESSION_FILTER_SESSION_ID,
			a.session_id + strlen(a.session_id) - 6),
		1));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_TARGET, node), 2));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_TARGET, "x"), 0));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_OWNER, "alice"), 2));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_OWNER, d->arn), 2));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_STATUS, "Connecting"), 2));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_STATUS, "Connected"), 0));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_INVOKED_AFTER, "2027-01-15T08:00:05Z"),
		1));
	cr_assert(eq(sz, listed(d, active, SESSION_FILTER_INVOKED_BEFORE, "2027-01-15T08:00:05Z"),
		1));
	desk_free(d);
}

Test(describe_sessions, bad_filters_are_refused)
{
	struct desk *d = desk_new(false);
	struct msg_session_filter filters[] = {
		{SESSION_FILTER_STATUS, "Connecting"},
		       {SESSION_FILTER_STATUS, "x"	  }
	   };
	struct msg_describe_sessions_request req = {
		.state = SESSION_STATE_ACTIVE, .filters = {filters, 2}
	      };
	struct msg_describe_sessions_reply rep;

	CHECK_FAILS(d, CALL(d, describe_sessions, &req, &rep), HW_EVALIDATION, "twice");
	req.filters.v = &filters[1];
	req.filters.n = 1;
	CHECK_FAILS(d, CALL(d, describe_sessions, &req, &rep), HW_EVALIDATION, "Status");
	filters[1].key = SESSION_FILTER_INVOKED_AFTER;
	CHECK_FAILS(d, CALL(d, describe_sessions, &req, &rep), HW_EVALIDATION, "InvokedAfter");
	req.filters.n = 0;
	req.next_token = "x";
	CHECK_FAILS(d, CALL(d, describe_sessions, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_free(d);
}

Test(describe_sessions, pages_are_stable_among_equal_times)
{
	struct desk *d = desk_new(false);
	struct msg_describe_sessions_request req = {
		.state = SESSION_STATE_ACTIVE, .max_results = 3};
	struct msg_describe_sessions_reply rep;
	struct msg_start_session_reply s;
	const char *node = online_node(d);
	size_t seen = 0;
	char last[97] = "~";

	for (int i = 0; i < 8; i++)
		CHECK_OK(d, start(d, node, &s));
	do {
		CHECK_OK(d, CALL(d, describe_sessions, &req, &rep));
		for (size_t i = 0; i < rep.sessions.n; i++, seen++) {
			cr_assert(lt(int, strcmp(rep.sessions.v[i].session_id, last), 0));
			snprintf(last, sizeof(last), "%s", rep.sessions.v[i].session_id);
		}
		CHECK_OK(d, start(d, node, &s));
		fake_clock_advance(&d->clock, 1); /* newer ones do not shift the older */
		req.next_token = rep.next_token;
	} while (rep.next_token != NULL && seen < 50);
	cr_assert(ge(sz, seen, 8));
	desk_free(d);
}

Test(describe_sessions, one_that_was_never_opened_fails_when_its_ticket_runs_out)
{
	struct desk *d = desk_new(false);
	struct msg_start_session_reply s;

	CHECK_OK(d, start(d, online_node(d), &s));
	fake_clock_advance(&d->clock, (d->config.ticket_seconds + 1) * USEC_PER_SEC);
	cr_assert(eq(sz, listed(d, SESSION_STATE_ACTIVE, 0, NULL), 0));
	cr_assert(eq(sz, listed(d, SESSION_STATE_HISTORY, SESSION_FILTER_STATUS, "Failed"), 1));
	desk_free(d);
}

/* --- ending ----------------------------------------------------------------------------------- */

Test(terminate, a_live_one_is_ended_by_the_broker)
{
	struct desk *d = desk_new(false);
	struct msg_terminate_session_request req;
	struct msg_terminate_session_reply rep;
	struct msg_start_session_reply s;

	CHECK_OK(d, start(d, online_node(d), &s));
	snprintf(d->broker.live, sizeof(d->broker.live), "%s", s.session_id);
	req.session_id = s.session_id;
	CHECK_OK(d, CALL(d, terminate_session, &req, &rep));
	cr_assert_str_eq(rep.session_id, s.session_id);
	cr_assert_str_eq(d->broker.ended, s.session_id);
	cr_assert_str_eq(d->broker.why, "ended by alice");
	cr_assert(eq(sz, listed(d, SESSION_STATE_ACTIVE, 0, NULL),
		1)); /* its end is the broker's to write */
	desk_free(d);
}

/* --- tickets of one that is live -------------------------------------------------------------- */

Test(resume, a_live_shell_has_tickets)
{
	struct desk *d = desk_new(false);
	struct msg_resume_session_request req;
	struct msg_resume_session_reply rep;
	struct msg_start_session_reply s;
	char hash[2 * SHA256_LEN + 1];

	CHECK_OK(d, start(d, online_node(d), &s));
	req.session_id = s.session_id;
	cr_assert(eq(int, CALL(d, resume_session, &req, &rep), HW_EUNAVAILABLE));
	snprintf(d->broker.live, sizeof(d->broker.live), "%s", s.session_id);
	CHECK_OK(d, CALL(d, resume_session, &req, &rep));
	cr_assert_str_eq(rep.session_id, s.session_id);
	cr_assert(strncmp(rep.stream_url, "wss://", 6) == 0);
	token_hash(hash, rep.token_value);
	cr_assert_str_eq(d->broker.given_hash, hash);
	cr_assert_str_eq(d->broker.given_to, "alice");
	cr_assert(eq(int, d->broker.given, ACCESS_OWNER));
	CHECK_OK(d, CALL(d, watch_session, &req, &rep));
	cr_assert(eq(int, d->broker.given, ACCESS_WATCH));
	desk_free(d);
}

Test(resume, one_that_there_is_not_has_none)
{
	struct desk *d = desk_new(false);
	struct msg_resume_session_request req = {.session_id = "alice-00000000000000000"};
	struct msg_resume_session_reply rep;

	cr_assert(eq(int, CALL(d, resume_session, &req, &rep), HW_ENOSESSION));
	cr_assert(eq(int, CALL(d, watch_session, &req, &rep), HW_ENOSESSION));
	cr_assert(eq(int, CALL(d, join_session, &req, &rep), HW_ENOSESSION));
	desk_free(d);
}

Test(terminate, one_that_was_not_opened_cannot_be_any_more)
{
	struct desk *d = desk_new(false);
	struct msg_terminate_session_request req;
	struct msg_terminate_session_reply rep;
	struct msg_start_session_reply s;

	CHECK_OK(d, start(d, online_node(d), &s));
	req.session_id = s.session_id;
	CHECK_OK(d, CALL(d, terminate_session, &req, &rep));
	CHECK_OK(d, CALL(d, terminate_session, &req, &rep));
	cr_assert(eq(sz, listed(d, SESSION_STATE_HISTORY, SESSION_FILTER_STATUS, "Terminated"), 1));
	struct redeeming w = {d, s.token_value, "alice", NULL};
	CHECK_FAILS(d, store_write(d->env.store, redeem, &w, &d->err), HW_ETICKET, "ended");
	req.session_id = "nobody-1";
	CHECK_OK(d, CALL(d, terminate_session, &req, &rep));
	cr_assert_str_eq(rep.session_id, "nobody-1");
	desk_free(d);
}

static int
connect(void *arg, struct db *db, struct hw_err *err)
{
	return session_set_status(db, arg, SESSION_STATUS_CONNECTED, err);
}

Test(terminate, one_that_is_just_being_opened_does_not_slip_through)
{
	struct desk *d = desk_new(true);
	struct msg_terminate_session_request req;
	struct msg_terminate_session_reply rep;
	struct msg_start_session_reply s;
	char id[97];

	CHECK_OK(d, start(d, online_node(d), &s));
	snprintf(id, sizeof(id), "%s", s.session_id);
	CHECK_OK(d, store_write(d->env.store, connect, id, &d->err));
	snprintf(d->broker.live, sizeof(d->broker.live), "%s", id);
	d->broker.opening = 3;
	req.session_id = id;
	CHECK_OK(d, CALL(d, terminate_session, &req, &rep));
	cr_assert(eq(int, d->broker.opening, 0));
	cr_assert_str_eq(d->broker.ended, id);
	d->broker.live[0] = '\0';
	CHECK_FAILS(d, CALL(d, terminate_session, &req, &rep), HW_EUNAVAILABLE, "try again");
	desk_free(d);
}

/* --- recordings ------------------------------------------------------------------------------- */

static void
add_event(struct buf *block, enum event_type type, uint64_t offset, const void *p, size_t n)
{
	struct event ev = {
		.type = type, .stream = STREAM_OUT, .offset = offset, .bytes = p, .len = n};

	cr_assert(eq(int, event_encode(block, &ev), 0));
}

/* n_blocks blocks, each of `each` output events of `size` bytes. */
static const char *
make_recording(struct desk *d, size_t n_blocks, size_t each, size_t size)
{
	struct msg_start_session_reply s;
	uint64_t offset = 0;
	uint8_t *bytes = malloc(size);

	CHECK_OK(d, start(d, online_node(d), &s));
	for (size_t b = 0; b < n_blocks; b++) {
		buf_init(&fake_recording.blocks[b], 4 << 20);
		for (size_t i = 0; i < each; i++) {
			for (size_t k = 0; k < size; k++)
				bytes[k] = (uint8_t)((offset + k) * 31 >> 3);
			add_event(&fake_recording.blocks[b], EVENT_DATA, offset, bytes, size);
			offset += size;
		}
	}
	free(bytes);
	fake_recording.meta = (struct msg_recording_meta){.session_id = s.session_id,
		.type = CHANNEL_TYPE_PTY,
		.start = NOON,
		.command = "top"};
	fake_recording.n = n_blocks;
	fake_recording.complete = true;
	return s.session_id;
}

/* The events of a page continue the stream at *offset. */
static void
check_page(const struct msg_bin *events, uint64_t *offset)
{
	size_t at = 0, used;
	struct event ev;

	cr_assert(le(sz, events->n, 180 * 1024));
	while (at < events->n) {
		cr_assert(eq(int, event_decode(&ev, events->p + at, events->n - at, &used), 0));
		cr_assert(ev.offset == *offset);
		for (size_t k = 0; k < ev.len; k++)
			cr_assert(ev.bytes[k] == (uint8_t)((ev.offset + k) * 31 >> 3));
		*offset += ev.len;
		at += used;
	}
}

/* Pages that it took. */
static int
read_all(struct desk *d, const char *id, uint64_t total, bool forget)
{
	struct msg_get_recording_request req = {.session_id = id};
	struct msg_get_recording_reply rep;
	uint64_t offset = 0;
	int pages = 0;

	do {
		CHECK_OK(d, CALL(d, get_recording, &req, &rep));
		cr_assert(pages == 0 ? rep.meta != NULL : rep.meta == NULL);
		check_page(&rep.events, &offset);
		cr_assert(rep.complete == (rep.next_token == NULL));
		req.next_token = rep.next_token;
		if (forget)
			fake_clock_advance(&d->clock, 301 * USEC_PER_SEC);
		pages++;
	} while (rep.next_token != NULL);
	cr_assert(offset == total);
	return pages;
}

Test(recording, a_short_one_is_one_page)
{
	struct desk *d = desk_new(false);
	const char *id = make_recording(d, 2, 10, 100);

	cr_assert(eq(int, read_all(d, id, 2000, false), 1));
	cr_assert(eq(int, fake_ledger_entries, 1));
	desk_free(d);
}

Test(recording, a_long_one_comes_in_pages_of_whole_events)
{
	struct desk *d = desk_new(false);
	const char *id = make_recording(d, 4, 20, 10000);

	cr_assert(eq(int, read_all(d, id, 800000, false), 5));
	cr_assert(eq(int, fake_recording.opened, 1)); /* it waited between the pages */
	cr_assert(eq(int, fake_ledger_entries, 1));
	desk_free(d);
}

Test(recording, one_that_waited_too_long_is_opened_again_at_its_place)
{
	struct desk *d = desk_new(false);
	const char *id = make_recording(d, 4, 20, 10000);

	cr_assert(eq(int, read_all(d, id, 800000, true), 5));
	cr_assert(eq(int, fake_recording.opened, 5));
	desk_free(d);
}

Test(recording, the_head_may_take_most_of_the_first_page)
{
	struct desk *d = desk_new(false);
	const char *id = make_recording(d, 2, 4, 65536);
	char *command = malloc(131073);

	memset(command, 'x', 131072);
	command[131072] = '\0';
	fake_recording.meta.command = command;
	cr_assert(eq(int, read_all(d, id, 8 * 65536, false), 5));
	free(command);
	desk_free(d);
}

Test(recording, a_lost_reply_can_be_asked_for_again)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = make_recording(d, 4, 20, 10000)};
	struct msg_get_recording_reply first, one, two;

	CHECK_OK(d, CALL(d, get_recording, &req, &first));
	req.next_token = first.next_token;
	CHECK_OK(d, CALL(d, get_recording, &req, &one));
	CHECK_OK(d, CALL(d, get_recording, &req, &two));
	cr_assert(eq(sz, one.events.n, two.events.n));
	cr_assert(eq(int, memcmp(one.events.p, two.events.p, one.events.n), 0));
	desk_free(d);
}

Test(recording, a_token_is_of_one_reader_and_one_session)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = make_recording(d, 4, 20, 10000)};
	struct msg_get_recording_reply rep;
	char token[512];

	CHECK_OK(d, CALL(d, get_recording, &req, &rep));
	snprintf(token, sizeof(token), "%s", rep.next_token);
	req.next_token = token;
	desk_as_user(d, "bob");
	CHECK_FAILS(d, CALL(d, get_recording, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_as_user(d, "alice");
	req.session_id = "alice-00000000000000001";
	CHECK_FAILS(d, CALL(d, get_recording, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_free(d);
}

Test(recording, readers_without_end_cost_a_bounded_number_of_files)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = make_recording(d, 4, 20, 10000)};
	struct msg_get_recording_reply rep;
	char name[32];

	for (int i = 0; i < 30; i++)
		CHECK_OK(d, CALL(d, get_recording, &req, &rep));
	cr_assert(eq(int, fake_recording.open_now, 8));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "user-%d", i);
		desk_as_user(d, name);
		CHECK_OK(d, CALL(d, get_recording, &req, &rep));
	}
	cr_assert(eq(int, fake_recording.open_now, 64));
	desk_free(d);
}

Test(recording, what_is_not_there_is_said)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = "alice-00000000000000001"};
	struct msg_get_recording_reply rep;
	struct msg_start_session_reply s;

	CHECK_FAILS(d, CALL(d, get_recording, &req, &rep), HW_ENOSESSION, "alice-");
	CHECK_OK(d, start(d, online_node(d), &s));
	req.session_id = s.session_id;
	CHECK_FAILS(d, CALL(d, get_recording, &req, &rep), HW_ENOTFOUND, "never opened");
	desk_free(d);
}

Test(recording, reading_that_cannot_be_recorded_is_refused)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = make_recording(d, 1, 1, 10)};
	struct msg_get_recording_reply rep;

	fake_ledger_result = HW_ERECORD;
	CHECK_FAILS(d, CALL(d, get_recording, &req, &rep), HW_ERECORD, "ledger");
	desk_free(d);
}

Test(recording, damage_inside_a_block_is_an_error)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = make_recording(d, 1, 3, 10)};
	struct msg_get_recording_reply rep;

	fake_recording.blocks[0].len -= 1;
	CHECK_FAILS(d, CALL(d, get_recording, &req, &rep), HW_ECORRUPT, "damaged");
	desk_free(d);
}

/* --- sealed input ----------------------------------------------------------------------------- */

/* Hidden input in every block, among what was shown, and who typed. */
static const char *
make_sealed(struct desk *d, size_t n_blocks, size_t each)
{
	const char *id = make_recording(d, n_blocks, each, 1000);
	struct event hidden = {.type = EVENT_HIDDEN,
		.stream = STREAM_IN,
		.hidden = 6,
		.bytes = (const uint8_t *)"a sealed piece",
		.len = 14};
	struct event author = {.type = EVENT_AUTHOR, .stream = STREAM_IN, .author = 1};

	for (size_t b = 0; b < n_blocks; b++) {
		hidden.offset = 10 * b;
		cr_assert(eq(int, event_encode(&fake_recording.blocks[b], &author), 0));
		cr_assert(eq(int, event_encode(&fake_recording.blocks[b], &hidden), 0));
	}
	return id;
}

static int
count_events(const struct msg_bin *events, enum event_type type, size_t *bytes)
{
	struct event ev;
	size_t used;
	int n = 0;

	*bytes = 0;
	for (size_t at = 0; at < events->n; at += used) {
		cr_assert(eq(int, event_decode(&ev, events->p + at, events->n - at, &used), 0));
		n += ev.type == type;
		*bytes += ev.type == type ? ev.len : 0;
	}
	return n;
}

Test(sealed, it_comes_alone_with_who_typed_it_and_is_an_entry_with_its_reason)
{
	struct desk *d = desk_new(false);
	struct msg_get_sealed_input_request req = {
		.session_id = make_sealed(d, 3, 10), .reason = "case 4711"};
	struct msg_get_sealed_input_reply rep;
	size_t bytes;

	CHECK_OK(d, CALL(d, get_sealed_input, &req, &rep));
	cr_assert(eq(int, count_events(&rep.events, EVENT_HIDDEN, &bytes), 3));
	cr_assert(eq(sz, bytes, 3 * 14));
	cr_assert(eq(int, count_events(&rep.events, EVENT_AUTHOR, &bytes), 3));
	cr_assert(eq(int, count_events(&rep.events, EVENT_DATA, &bytes), 0));
	cr_assert(rep.complete && rep.meta != NULL && rep.next_token == NULL);
	cr_assert_str_eq(rep.relay, d->env.config->name);
	cr_assert(eq(int, fake_ledger_entries, 1));
	cr_assert(eq(int, (int)fake_ledger_kind, ENTRY_SEALED_READ));
	cr_assert_str_eq(fake_ledger_reason, "case 4711");
	desk_free(d);
}

Test(sealed, who_reads_a_recording_gets_its_count_alone)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request req = {.session_id = make_sealed(d, 2, 1)};
	struct msg_get_recording_reply rep;
	size_t bytes;

	CHECK_OK(d, CALL(d, get_recording, &req, &rep));
	cr_assert(eq(int, count_events(&rep.events, EVENT_HIDDEN, &bytes), 2));
	cr_assert(eq(sz, bytes, 0));
	cr_assert(eq(int, (int)fake_ledger_kind, ENTRY_RECORDING_READ));
	desk_free(d);
}

/* Before a page is full of what there is little of, it is sent as it is: a worker does not read for
 * minutes. */
Test(sealed, a_long_recording_is_looked_through_in_several_calls)
{
	struct desk *d = desk_new(false);
	struct msg_get_sealed_input_request req = {.session_id = make_sealed(d, 12, 4000)};
	struct msg_get_sealed_input_reply rep;
	int pages = 0, pieces = 0;
	size_t bytes;

	do {
		CHECK_OK(d, CALL(d, get_sealed_input, &req, &rep));
		pieces += count_events(&rep.events, EVENT_HIDDEN, &bytes);
		req.next_token = rep.next_token;
		pages++;
	} while (rep.next_token != NULL);
	cr_assert(eq(int, pages, 2));
	cr_assert(eq(int, pieces, 12));
	cr_assert(eq(int, fake_ledger_entries, 1));
	desk_free(d);
}

/* A token is good for as long as its master key, and what it is for grows while the session lives.
 */
Test(sealed, who_comes_back_to_a_page_after_an_hour_is_an_entry_again)
{
	struct desk *d = desk_new(false);
	struct msg_get_sealed_input_request req = {
		.session_id = make_sealed(d, 12, 4000), .reason = "case 4711"};
	struct msg_get_sealed_input_reply rep;
	char token[512];

	CHECK_OK(d, CALL(d, get_sealed_input, &req, &rep));
	snprintf(token, sizeof(token), "%s", rep.next_token);
	req.next_token = token;
	fake_clock_advance(&d->clock, 3599 * USEC_PER_SEC);
	CHECK_OK(d, CALL(d, get_sealed_input, &req, &rep));
	cr_assert(eq(int, fake_ledger_entries, 1));
	fake_clock_advance(&d->clock, 2 * USEC_PER_SEC);
	CHECK_OK(d, CALL(d, get_sealed_input, &req, &rep));
	cr_assert(eq(int, fake_ledger_entries, 2));
	cr_assert(eq(int, (int)fake_ledger_kind, ENTRY_SEALED_READ));
	fake_ledger_result = HW_ERECORD;
	CHECK_FAILS(d, CALL(d, get_sealed_input, &req, &rep), HW_ERECORD, "ledger");
	cr_assert(eq(sz, rep.events.n, 0));
	/* and is not what the entry says, with another reason */
	fake_ledger_result = 0;
	req.reason = "none";
	CHECK_FAILS(d, CALL(d, get_sealed_input, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_free(d);
}

Test(sealed, a_token_of_the_recording_is_none_of_it)
{
	struct desk *d = desk_new(false);
	struct msg_get_recording_request first = {.session_id = make_recording(d, 4, 20, 10000)};
	struct msg_get_recording_reply page;
	struct msg_get_sealed_input_reply rep;

	CHECK_OK(d, CALL(d, get_recording, &first, &page));
	const struct msg_get_sealed_input_request req = {
		.session_id = first.session_id, .next_token = page.next_token};
	CHECK_FAILS(d, CALL(d, get_sealed_input, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_free(d);
}

Test(sealed, what_cannot_be_recorded_is_not_given)
{
	struct desk *d = desk_new(false);
	struct msg_get_sealed_input_request req = {.session_id = make_sealed(d, 1, 1)};
	struct msg_get_sealed_input_reply rep;

	fake_ledger_result = HW_ERECORD;
	CHECK_FAILS(d, CALL(d, get_sealed_input, &req, &rep), HW_ERECORD, "ledger");
	cr_assert(eq(sz, rep.events.n, 0));
	desk_free(d);
}

/* --- holds ------------------------------------------------------------------------------------ */

Test(holds, are_put_listed_and_lifted)
{
	struct desk *d = desk_new(false);
	struct msg_put_hold_request put = {
		.user_name = "mallory", .after = 5, .reason = "case 4711"};
	struct msg_put_hold_reply made;
	struct msg_list_holds_request all = {0};
	struct msg_list_holds_reply list;
	struct msg_empty none;

	desk_user(d, "mallory", false);
	CHECK_OK(d, CALL(d, put_hold, &put, &made));
	CHECK_OK(d, CALL(d, list_holds, &all, &list));
	cr_assert(eq(sz, list.holds.n, 1));
	const struct msg_hold *h = &list.holds.v[0];
	cr_assert_str_eq(h->hold_id, made.hold_id);
	cr_assert_str_eq(h->user_name, "mallory");
	cr_assert_str_eq(h->reason, "case 4711");
	cr_assert(h->after == 5 && h->before == 0 && strstr(h->created_by, "alice") != NULL);
	const struct msg_lift_hold_request lift = {.hold_id = made.hold_id};
	CHECK_OK(d, CALL(d, lift_hold, &lift, &none));
	CHECK_FAILS(d, CALL(d, lift_hold, &lift, &none), HW_ENOTFOUND, "no hold");
	CHECK_OK(d, CALL(d, list_holds, &all, &list));
	cr_assert(eq(sz, list.holds.n, 0));
	desk_free(d);
}

/* A name that was mistyped would keep nothing. Who was removed has sessions still. */
Test(holds, of_what_never_was_are_refused)
{
	struct desk *d = desk_new(false);
	const struct msg_delete_user_request remove = {.user_name = "mallory"};
	struct msg_put_hold_request of_user = {.user_name = "mallory", .reason = "case 4711"};
	const struct msg_put_hold_request of_node = {
		.instance_id = "mi-0000000000000000f", .reason = "case 4711"};
	const struct msg_put_hold_request of_session = {
		.session_id = "ann-0123456789abcdef0", .reason = "case 4711"};
	struct msg_put_hold_reply made;
	struct msg_empty none;

	CHECK_FAILS(d, CALL(d, put_hold, &of_user, &made), HW_ENOTFOUND, "no user mallory");
	CHECK_FAILS(d, CALL(d, put_hold, &of_node, &made), HW_ENOTFOUND, "no node mi-");
	CHECK_FAILS(d, CALL(d, put_hold, &of_session, &made), HW_ENOTFOUND, "no session ann-");
	desk_user(d, "mallory", false);
	CHECK_OK(d, CALL(d, delete_user, &remove, &none));
	CHECK_OK(d, CALL(d, put_hold, &of_user, &made));
	desk_free(d);
}

Test(holds, of_nothing_or_of_no_time_are_refused)
{
	struct desk *d = desk_new(false);
	struct msg_put_hold_request put = {.reason = "all of it"};
	struct msg_put_hold_reply made;

	CHECK_FAILS(d, CALL(d, put_hold, &put, &made), HW_EVALIDATION, "names a session");
	put.after = 9;
	put.before = 9;
	CHECK_FAILS(d, CALL(d, put_hold, &put, &made), HW_EVALIDATION, "no session starts");
	desk_free(d);
}
