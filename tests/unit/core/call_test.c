/* Dispatch: what each step's failure leaves in the ledger, and that nothing is done when it is not
 * there. */
#include "relay/core/call.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/ledger.h"
#include "proto/wire/codec.h"
#include "relay/core/config.h"
#include "relay/core/guard.h"
#include "relay/core/local.h"
#include "relay/core/principals.h"
#include "relay/core/registry.h"
#include "relay/policy/managed.h"
#include "relay/store/policies.h"
#include "relay/store/store.h"
#include "relay/store/users.h"
#include "tests/unit/ground.h"

static struct {
	int calls, result;
	const char *why;
} handler;

static int
fake_handler(struct op *op, const void *request, void *reply)
{
	(void)request, (void)reply;
	handler.calls++;
	return handler.result < 0 ? op_fail(op, handler.result, "%s", handler.why) : 0;
}

struct desk {
	char dir[64];
	struct fake_clock clock;
	struct relay_config config;
	struct secret_key master;
	struct journal_io io;
	bool fails; /* the disk */
	struct journal *journal;
	struct ledger *ledger;
	struct registry *registry;
	struct store *store;
	struct authority *authority;
	op_handler *handlers[OP_COUNT];
	struct op_env env;
	struct call call;
	struct arena *arena;
};

static ssize_t
write_or_fail(void *arg, int fd, const void *p, size_t n)
{
	struct desk *d = arg;

	errno = ENOSPC;
	return d->fails ? -1 : write(fd, p, n);
}

static int
sync_it(void *arg, int fd)
{
	(void)arg;
	return fdatasync(fd);
}

/* root is an administrator, bob may nothing. */
static int
write_users(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row root = {.name = "root", .type = USER_TYPE_USER}, bob = {.name = "bob"};
	int r;

	(void)arg;
	bob.type = USER_TYPE_USER;
	if ((r = user_insert(db, &root, err)) < 0 || (r = user_insert(db, &bob, err)) < 0)
		return r;
	return attachment_add(db, POLICY_ADMINISTRATOR, HOLDER_USER, "root", err);
}

static int
write_removal(void *arg, struct db *db, struct hw_err *err)
{
	return user_delete(db, arg, 1, err);
}

static void
write_principals(struct desk *d, store_fn *fn, void *arg)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, store_write(d->store, fn, arg, &err), 0), "%s", err.text);
	cr_assert(eq(int, authority_load(d->authority, d->store, &err), 0), "%s", err.text);
}

static void
open_authority(struct desk *d)
{
	struct hw_err err = HW_ERR_INIT;
	struct log_ctx silent;
	char path[96];

	log_ctx_init(&silent, NULL);
	snprintf(path, sizeof(path), "%s/relay.db", d->dir);
	const struct store_config sc = {
		.path = path, .log = &silent, .clock = &d->clock.clock, .readers = 1};
	cr_assert(eq(int, store_open(&d->store, &sc, &err), 0), "%s", err.text);
	d->authority = authority_new(&silent);
	write_principals(d, write_users, NULL);
}

static struct desk *
desk_new(void)
{
	struct desk *d = calloc(1, sizeof(*d));
	struct hw_err err = HW_ERR_INIT;

	ground_new(d->dir, sizeof(d->dir), "call");
	fake_clock_init(&d->clock, clock_wall(&hw_clock_system));
	relay_config_default(&d->config);
	secret_key_random(&d->master);
	d->io = (struct journal_io){
		.write = write_or_fail, .sync = sync_it, .reserve = NULL, .arg = d};
	struct journal_config jc = {
		.dir = d->dir, .clock = &d->clock.clock, .master = &d->master, .io = &d->io};
	cr_assert(eq(int, journal_open(&d->journal, &jc, NULL, &err), 0), "%s", err.text);
	d->ledger = ledger_new(d->journal, "relay", &d->clock.clock);
	d->registry = registry_new();
	open_authority(d);
	for (int i = 0; i < OP_COUNT; i++)
		d->handlers[i] = fake_handler;
	d->env = (struct op_env){
		.handlers = d->handlers,
		.config = &d->config,
		.clock = &d->clock.clock,
		.registry = d->registry,
		.store = d->store,
		.authority = d->authority,
		.ledger = d->ledger,
	};
	d->arena = arena_new(1 << 20);
	memset(&handler, 0, sizeof(handler));
	return d;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void
desk_free(struct desk *d)
{
	call_fini(&d->call);
	registry_free(d->registry);
	authority_free(d->authority);
	store_close(d->store);
	ledger_free(d->ledger);
	journal_close(d->journal);
	arena_free(d->arena);
	nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(d);
}

/* A call of a user, as JSON; its code. */
static int
ask_at(struct desk *d, const char *user, int64_t not_after, const char *op, const char *json)
{
	call_fini(&d->call);
	cr_assert(eq(int, call_init(&d->call, &d->env, CALL_JSON, op, json, strlen(json)), 0));
	d->call.who.role = ROLE_USER;
	snprintf(d->call.who.id, sizeof(d->call.who.id), "%s", user);
	d->call.who.not_before = INT64_MAX;
	d->call.who.not_after = not_after;
	snprintf(d->call.source, sizeof(d->call.source), "192.0.2.1");
	call_execute(&d->call);
	return d->call.code;
}

static int
ask(struct desk *d, const char *user, const char *op, const char *json)
{
	return ask_at(d, user, INT64_MAX, op, json);
}

/* The ledger as "kind/outcome kind/outcome"; *last is its last entry. */
static const char *
entries(struct desk *d, struct msg_ledger_entry **last)
{
	struct ledger_reader *r = NULL;
	struct msg_ledger_entry *e;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;
	char *all = arena_strdup(d->arena, "");
	int rc;

	cr_assert(eq(int, ledger_reader_open(&r, "/nonexistent", d->dir, &d->master, &err), 0));
	while ((rc = ledger_reader_next(r, d->arena, &e, &bytes, &err)) > 0) {
		all = arena_printf(d->arena, "%s%s%s/%s", all, all[0] != '\0' ? " " : "", e->kind,
			enum_text(&enum_OUTCOME, e->outcome));
		if (last != NULL)
			*last = e;
	}
	cr_assert(eq(int, rc, 0), "%s", err.text);
	ledger_reader_close(r);
	return all;
}

Test(call, an_unknown_operation_is_named_and_leaves_nothing)
{
	struct desk *d = desk_new();

	cr_assert(eq(int, ask(d, "root", "MakeCoffee", "{}"), HW_EUNKNOWNOP));
	cr_assert(ne(ptr, strstr(d->call.message, "MakeCoffee"), NULL));
	cr_assert_str_eq(entries(d, NULL), "");
	desk_free(d);
}

Test(call, an_operation_of_another_door_says_which_door_is_its)
{
	struct desk *d = desk_new();

	cr_assert(eq(int, ask(d, "root", "Login", "{}"), HW_EUNKNOWNOP));
	cr_assert(ne(ptr, strstr(d->call.message, "not reached over a link"), NULL), "%s",
		d->call.message);
	cr_assert(eq(int, handler.calls, 0));
	desk_free(d);
}

Test(call, a_body_that_is_wrong_names_its_field_and_is_no_attempt)
{
	struct desk *d = desk_new();

	cr_assert(eq(int, ask(d, "root", "DeleteUser", "{\"UserName\":7}"), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(d->call.message, "UserName"), NULL), "%s", d->call.message);
	cr_assert(eq(int, handler.calls, 0));
	cr_assert_str_eq(entries(d, NULL), "");
	desk_free(d);
}

Test(call, a_denial_is_one_entry_with_its_reason)
{
	struct desk *d = desk_new();
	struct msg_ledger_entry *e = NULL;

	cr_assert(eq(int, ask(d, "bob", "DeleteUser", "{\"UserName\":\"root\"}"), HW_EDENIED));
	cr_assert(eq(int, handler.calls, 0));
	cr_assert_str_eq(entries(d, &e), "decision/denied");
	cr_assert_str_eq(e->principal, "arn:aws:iam::000000000000:user/bob");
	cr_assert_str_eq(e->action, "iam:DeleteUser");
	cr_assert_str_eq(e->resource, "arn:aws:iam::000000000000:user/root");
	cr_assert_str_eq(e->source, "192.0.2.1");
	cr_assert(ne(ptr, strstr(e->reason, "no policy"), NULL));
	desk_free(d);
}

Test(call, whoever_was_removed_is_denied_until_its_link_is_cut)
{
	struct desk *d = desk_new();

	char root[] = "root";

	write_principals(d, write_removal, root);
	cr_assert(eq(int, ask(d, "root", "GetCallerIdentity", "{}"), HW_EDENIED));
	cr_assert_str_eq(entries(d, NULL), "decision/denied");
	desk_free(d);
}

Test(call, an_expired_certificate_is_a_denial)
{
	struct desk *d = desk_new();

	cr_assert(eq(int, ask_at(d, "root", 1, "ListUsers", "{}"), HW_EEXPIRED));
	cr_assert(ne(ptr, strstr(d->call.message, "log in again"), NULL), "%s", d->call.message);
	cr_assert(eq(int, handler.calls, 0));
	cr_assert_str_eq(entries(d, NULL), "decision/denied");
	desk_free(d);
}

Test(call, what_is_allowed_has_intent_and_outcome)
{
	struct desk *d = desk_new();

	cr_assert(eq(int, ask(d, "root", "DeleteUser", "{\"UserName\":\"bob\"}"), 0), "%s",
		d->call.message);
	cr_assert(eq(int, handler.calls, 1));
	cr_assert_str_eq(entries(d, NULL), "decision/allowed outcome/ok");
	desk_free(d);
}

Test(call, an_operation_that_only_reads_has_one_entry_and_one_about_oneself_none)
{
	struct desk *d = desk_new();

	handler.result = HW_EINTERNAL; /* there is nothing in the reply that could be encoded */
	handler.why = "no";
	ask(d, "root", "ListUsers", "{}");
	cr_assert_str_eq(entries(d, NULL), "decision/allowed");
	ask(d, "root", "GetCallerIdentity", "{}");
	cr_assert(eq(int, handler.calls, 2));
	cr_assert_str_eq(entries(d, NULL), "decision/allowed");
	desk_free(d);
}

Test(call, a_failure_is_an_outcome_whatever_its_sentence_holds)
{
	struct desk *d = desk_new();
	struct msg_ledger_entry *e = NULL;

	handler.result = HW_EVALIDATION;
	handler.why = "half a character: \xe2\x82";
	cr_assert(eq(int, ask(d, "root", "DeleteUser", "{\"UserName\":\"bob\"}"), HW_EVALIDATION));
	cr_assert_str_eq(entries(d, &e), "decision/allowed outcome/failed");
	cr_assert_str_eq(e->reason, "half a character: \?\?");
	desk_free(d);
}

Test(call, without_a_ledger_nothing_is_done)
{
	struct desk *d = desk_new();

	d->fails = true;
	cr_assert(eq(int, ask(d, "root", "DeleteUser", "{\"UserName\":\"bob\"}"), HW_ERECORD));
	cr_assert(eq(int, handler.calls, 0));
	cr_assert(ne(ptr, strstr(d->call.message, "nothing is done"), NULL));
	desk_free(d);
}

Test(call, a_long_request_of_any_script_is_cut_between_characters)
{
	struct desk *d = desk_new();
	struct msg_ledger_entry *e = NULL;
	struct buf json;

	for (int shift = 0; shift < 3; shift++) {
		buf_init(&json, 1 << 20);
		buf_printf(&json,
			"{\"Target\":\"mi-0123456789abcdef0\",\"Reason\":\"%.*s\",\"Parameters\":{\"command\":[\"",
			shift, "xx");
		for (int i = 0; i < 10000; i++)
			buf_append_str(&json, "\xe2\x82\xac");
		buf_append_str(&json, "\"]}}");
		handler.result = HW_EOFFLINE;
		handler.why = "not there";
		cr_assert(eq(int, ask(d, "root", "StartSession", buf_str(&json)), HW_EOFFLINE),
			"%s", d->call.message);
		buf_fini(&json);
	}
	entries(d, &e);
	desk_free(d);
}

Test(call, no_id_reads_as_a_pattern_or_as_more_than_one_name)
{
	struct desk *d = desk_new();
	struct msg_ledger_entry *e = NULL;

	handler.result = HW_EOFFLINE;
	handler.why = "not there";
	ask(d, "bob", "StartSession", "{\"Target\":\"*/a b?%\"}");
	entries(d, &e);
	cr_assert_str_eq(e->resource,
		"arn:aws:ssm:local:000000000000:managed-instance/%2A%2Fa%20b%3F%25");

	char json[512], target[401];
	memset(target, '/', 400);
	target[400] = '\0';
	snprintf(json, sizeof(json), "{\"Target\":\"%s\"}", target);
	cr_assert(eq(int, ask(d, "bob", "StartSession", json), HW_EDENIED), "%s", d->call.message);
	desk_free(d);
}

Test(call, a_secret_is_never_in_the_ledger)
{
	struct desk *d = desk_new();
	struct msg_ledger_entry *e = NULL;
	const char json[] =
		"{\"Invite\":\"sesame-open-sesame-open\",\"CertificateSigningRequest\":\"AAAA\"}";

	handler.result = HW_EINVITE;
	handler.why = "no";
	cr_assert(eq(int, call_init(&d->call, &d->env, CALL_JSON, "Login", json, strlen(json)), 0));
	d->call.anon = true;
	call_execute(&d->call);
	cr_assert(eq(int, d->call.code, HW_EINVITE), "%s", d->call.message);
	cr_assert_str_eq(entries(d, NULL), "decision/denied");
	struct ledger_reader *r = NULL;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;
	cr_assert(eq(int, ledger_reader_open(&r, "/nonexistent", d->dir, &d->master, &err), 0));
	while (ledger_reader_next(r, d->arena, &e, &bytes, &err) > 0)
		cr_assert(eq(ptr, memmem(bytes.p, bytes.n, "sesame", 6), NULL));
	ledger_reader_close(r);
	desk_free(d);
}

/* --- the local door --------------------------------------------------------------------------- */

static int
ask_locally(struct desk *d, const char *op, const char *json)
{
	call_fini(&d->call);
	cr_assert(eq(int, call_init(&d->call, &d->env, CALL_JSON, op, json, strlen(json)), 0));
	d->call.local = true;
	strcpy(d->call.local_name, "root");
	strcpy(d->call.source, "local");
	call_execute(&d->call);
	return d->call.code;
}

/* Refused before its body is looked at; what is open says what its body lacks, or is done. */
Test(call, the_local_door_refuses_each_other_operation_with_one_entry)
{
	for (int i = 0; i < OP_COUNT; i++) {
		struct desk *d = desk_new();
		struct msg_ledger_entry *e = NULL;
		const char *name = op_rows[i].name;
		bool opens = local_opens((enum op_id)i);
		int r = ask_locally(d, name, opens ? "{}" : "{");

		if (opens) {
			cr_assert(r == 0 || r == HW_EVALIDATION, "%s: %s", name, d->call.message);
		} else {
			cr_assert(eq(int, r, HW_EDENIED), "%s: %s", name, d->call.message);
			cr_assert(eq(int, handler.calls, 0), "%s", name);
			cr_assert_str_eq(entries(d, &e), "decision/denied", "%s", name);
			cr_assert_str_eq(e->principal, "arn:aws:iam::000000000000:local/root");
			cr_assert_str_eq(e->source, "local");
		}
		desk_free(d);
	}
}

Test(call, the_local_door_needs_no_user_and_is_recorded_like_any_other)
{
	struct desk *d = desk_new();
	char root[] = "root", bob[] = "bob";
	struct msg_ledger_entry *e = NULL;

	write_principals(d, write_removal, root);
	write_principals(d, write_removal, bob);
	cr_assert(eq(int, ask_locally(d, "DeleteUser", "{\"UserName\":\"eve\"}"), 0), "%s",
		d->call.message);
	cr_assert(eq(int, handler.calls, 1));
	cr_assert_str_eq(entries(d, &e), "decision/allowed outcome/ok");
	cr_assert_str_eq(e->principal, "arn:aws:iam::000000000000:local/root");
	cr_assert_str_eq(e->resource, "arn:aws:iam::000000000000:user/eve");
	cr_assert_str_eq(e->source, "local");
	desk_free(d);
}

Test(call, what_the_local_door_cannot_record_it_does_not_do)
{
	struct desk *d = desk_new();

	d->fails = true;
	cr_assert(eq(int, ask_locally(d, "DeleteUser", "{\"UserName\":\"eve\"}"), HW_ERECORD), "%s",
		d->call.message);
	cr_assert(eq(int, handler.calls, 0));
	desk_free(d);
}

/* --- guesses ---------------------------------------------------------------------------------- */

#define LOGIN "{\"Invite\":\"sesame-open-sesame-open\",\"CertificateSigningRequest\":\"AAAA\"}"

static int
guess(struct desk *d, const char *source)
{
	call_fini(&d->call);
	cr_assert(eq(int, call_init(&d->call, &d->env, CALL_JSON, "Login", LOGIN, strlen(LOGIN)),
		0));
	d->call.anon = true;
	snprintf(d->call.source, sizeof(d->call.source), "%s", source);
	call_execute(&d->call);
	return d->call.code;
}

Test(call, who_guessed_too_often_waits_unseen_and_the_first_time_is_an_alarm)
{
	struct desk *d = desk_new();
	struct msg_ledger_entry *e = NULL;

	d->env.guard = guard_new(2);
	handler.result = HW_EINVITE;
	handler.why = "no";
	cr_assert(eq(int, guess(d, "192.0.2.7"), HW_EINVITE));
	cr_assert(eq(int, guess(d, "192.0.2.7"), HW_EINVITE));
	cr_assert(eq(int, guess(d, "192.0.2.7"), HW_EFULL));
	cr_assert(eq(int, handler.calls, 2), "its token is not looked at");
	cr_assert_str_eq(d->call.message,
		"too many failed attempts from 192.0.2.7: try again in 1 second");
	cr_assert(eq(int, d->call.retry_after, 1));
	cr_assert_str_eq(entries(d, &e), "decision/denied decision/denied alarm/denied");
	cr_assert_str_eq(e->source, "192.0.2.7");

	cr_assert(eq(int, guess(d, "192.0.2.8"), HW_EINVITE), "others are not concerned");
	fake_clock_advance(&d->clock, USEC_PER_SEC);
	handler.result = 0;
	cr_assert(eq(int, guess(d, "192.0.2.7"), 0), "%s", d->call.message);
	cr_assert(eq(int, d->call.retry_after, 0));
	guard_free(d->env.guard);
	desk_free(d);
}

Test(call, what_fails_for_another_reason_than_its_token_is_no_guess)
{
	struct desk *d = desk_new();

	d->env.guard = guard_new(1);
	handler.result = HW_EVALIDATION;
	handler.why = "the name is not one";
	for (int i = 0; i < 5; i++)
		cr_assert(eq(int, guess(d, "192.0.2.7"), HW_EVALIDATION));
	guard_free(d->env.guard);
	desk_free(d);
}

#define SHOWN 40 /* invocations, each with as much output as a list shows of one */

static int
show_invocations(struct op *op, const void *request, void *reply)
{
	struct msg_list_command_invocations_reply *rep = reply;
	struct msg_command_plugin *plugin = arena_alloc(op->arena, sizeof(*plugin));
	char *output = arena_alloc(op->arena, 2501);

	(void)request;
	memset(output, '\x1b', 2500);
	plugin->output = output;
	rep->command_invocations.v =
		arena_array(op->arena, SHOWN, sizeof(*rep->command_invocations.v));
	rep->command_invocations.n = SHOWN;
	for (size_t i = 0; i < SHOWN; i++) {
		rep->command_invocations.v[i].command_plugins.v = plugin;
		rep->command_invocations.v[i].command_plugins.n = 1;
	}
	return 0;
}

/* A byte of output may be six of JSON, and no frame has to hold those. */
Test(call, what_a_frame_holds_is_not_too_much_for_json)
{
	struct desk *d = desk_new();

	d->handlers[OP_list_command_invocations] = show_invocations;
	cr_assert(eq(int, ask(d, "root", "ListCommandInvocations", "{\"Details\":true}"), 0), "%s",
		d->call.message);
	cr_assert(gt(sz, d->call.reply.len, SHOWN * 2500 * 6));
	desk_free(d);
}
