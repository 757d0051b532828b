#include "tests/unit/core/court.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/ledger.h"
#include "proto/wire/codec.h"
#include "relay/core/authorise.h"
#include "relay/core/config.h"
#include "relay/core/registry.h"
#include "relay/core/tagset.h"
#include "relay/policy/managed.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"
#include "relay/store/users.h"
#include "tests/unit/ground.h"

struct court {
	char dir[64];
	struct fake_clock clock;
	struct relay_config config;
	struct secret_key master;
	struct journal *journal;
	struct ledger_reader *reader;
	struct store *store;
	struct op_env env;
	op_handler *handlers[OP_COUNT];
	struct call call;
	struct arena *arena;
	const struct msg_ledger_entry *last;
	char role[129];
};

/* Handlers have nothing to hang on to; each test is a process of its own. */
static struct {
	int reached;
	char shown[2048];
} seen;

/* --- handlers --------------------------------------------------------------------------------- */

static void
show(const char *what, bool seen_it)
{
	size_t n = strlen(seen.shown);

	if (seen_it)
		snprintf(seen.shown + n, sizeof(seen.shown) - n, " %s", what);
}

static const struct {
	const char *id, *node;
} sessions[] = {
	{"ann" COURT_HEX,	  COURT_IN },
	{"bob" COURT_HEX,	  COURT_IN },
	{"bob-fedcba98765432100", COURT_OUT},
	{"ann-x" COURT_HEX,	    COURT_OUT},
};
#define SESSIONS (sizeof(sessions) / sizeof(sessions[0]))

static void
list_nodes(struct op *op)
{
	show(COURT_IN, op_may_see_node(op, COURT_IN));
	show(COURT_OUT, op_may_see_node(op, COURT_OUT));
}

static void
list_sessions(struct op *op)
{
	for (size_t i = 0; i < SESSIONS; i++)
		show(sessions[i].id, op_may_see_session(op, sessions[i].id, sessions[i].node));
}

static void
list_users(struct op *op)
{
	show("ann", op_may_see(op, arn_user(op, "ann"), NULL));
	show("bob", op_may_see(op, arn_user(op, "bob"), NULL));
}

static void
list_one(struct op *op)
{
	const char *arn = op->row->id == OP_list_groups ? arn_group(op, "dba")
		: op->row->id == OP_list_policies	? arn_policy(op, "p")
							: arn_activation(op, "a");

	show("one",
		op->row->id == OP_list_documents ? op_may_see_document(op, "one", NULL, 0)
						 : op_may_see(op, arn, NULL));
}

static int
note_call(struct op *op, const void *request, void *reply)
{
	(void)request, (void)reply;
	seen.reached++;
	seen.shown[0] = '\0';
	if (op->row->id == OP_describe_instance_information ||
		op->row->id == OP_list_command_invocations ||
		op->row->id == OP_search_command_outputs)
		list_nodes(op);
	else if (op->row->id == OP_describe_sessions || op->row->id == OP_search_recordings)
		list_sessions(op);
	else if (op->row->id == OP_list_users)
		list_users(op);
	else if (op->row->resource == RESOURCE_LISTED)
		list_one(op);
	return op_fail(op, HW_EINTERNAL, "reached");
}

/* --- who and what there is -------------------------------------------------------------------- */

static int
write_user(struct db *db, const char *name, struct hw_err *err)
{
	struct user_row row = {.type = USER_TYPE_USER};

	snprintf(row.name, sizeof(row.name), "%s", name);
	return user_insert(db, &row, err);
}

static int
write_session(struct db *db, size_t i, struct hw_err *err)
{
	struct session_row row = {.type = CHANNEL_TYPE_PTY, .status = SESSION_STATUS_CONNECTED};

	snprintf(row.id, sizeof(row.id), "%s", sessions[i].id);
	snprintf(row.node_id, sizeof(row.node_id), "%s", sessions[i].node);
	return session_insert(db, &row, NULL, 0, err);
}

static int
write_first(void *arg, struct db *db, struct hw_err *err)
{
	int r;

	(void)arg;
	if ((r = write_user(db, "ann", err)) < 0 || (r = write_user(db, "bob", err)) < 0 ||
		(r = write_user(db, "ann-x", err)) < 0 ||
		(r = tag_set(db, TAGS_USER, "ann", "Team", "blue", err)) < 0)
		return r;
	for (size_t i = 0; i < SESSIONS; i++)
		if ((r = write_session(db, i, err)) < 0)
			return r;
	return 0;
}

static void
put_node(struct court *c, const char *id, const struct msg_tag *tags, size_t n)
{
	struct reg_node node = {.name = "node"};

	snprintf(node.id, sizeof(node.id), "%s", id);
	registry_put_node(c->env.registry, &node, tagset_new(tags, n));
}

void
court_tag_node(struct court *c, const char *node, const char *key, const char *value)
{
	put_node(c, node, &(struct msg_tag){key, value}, 1);
}

void
court_write(struct court *c, store_fn *fn, void *arg)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, store_write(c->store, fn, arg, &err), 0), "%s", err.text);
	cr_assert(eq(int, authority_load(c->env.authority, c->store, &err), 0), "%s", err.text);
}

/* --- what ann may ----------------------------------------------------------------------------- */

struct attach {
	const char *drop, *policy, *document;
};

static int
write_attach(void *arg, struct db *db, struct hw_err *err)
{
	const struct attach *a = arg;
	struct policy_row row = {.document = a->document};
	int r = 0;

	if (a->drop != NULL && a->drop[0] != '\0')
		r = attachment_remove(db, a->drop, HOLDER_USER, "ann", err);
	if (r == 0 && a->document != NULL) {
		snprintf(row.name, sizeof(row.name), "%s", a->policy);
		r = policy_put(db, &row, err);
	}
	if (r == 0 && a->policy != NULL)
		r = attachment_add(db, a->policy, HOLDER_USER, "ann", err);
	return r;
}

void
court_role(struct court *c, const char *policy)
{
	struct attach a = {.drop = c->role, .policy = policy};

	court_write(c, write_attach, &a);
	snprintf(c->role, sizeof(c->role), "%s", policy != NULL ? policy : "");
}

void
court_policy(struct court *c, const char *name, const char *document)
{
	struct attach a = {.policy = name, .document = document};

	court_write(c, write_attach, &a);
}

/* --- life ------------------------------------------------------------------------------------- */

static void
open_journal(struct court *c)
{
	struct hw_err err = HW_ERR_INIT;
	struct journal_config jc = {.dir = c->dir, .clock = &c->clock.clock, .master = &c->master};

	cr_assert(eq(int, journal_open(&c->journal, &jc, NULL, &err), 0), "%s", err.text);
	c->env.ledger = ledger_new(c->journal, "relay", &c->clock.clock);
	cr_assert(eq(int, ledger_reader_open(&c->reader, "/nonexistent", c->dir, &c->master, &err),
		0));
}

static void
open_store(struct court *c)
{
	struct hw_err err = HW_ERR_INIT;
	struct log_ctx silent;
	char path[96];

	log_ctx_init(&silent, NULL);
	snprintf(path, sizeof(path), "%s/relay.db", c->dir);
	const struct store_config sc = {
		.path = path, .log = &silent, .clock = &c->clock.clock, .readers = 1};
	cr_assert(eq(int, store_open(&c->store, &sc, &err), 0), "%s", err.text);
	c->env.store = c->store;
	c->env.authority = authority_new(&silent);
	court_write(c, write_first, NULL);
}

struct court *
court_new(void)
{
	const struct msg_tag in[] = {
		{"Team",	 "blue"},
		  {"Owner", "ann" }
	  };
	const struct msg_tag out[] = {
		{"Team",	 "red"},
		 {"Owner", "bob"}
	 };
	struct court *c = calloc(1, sizeof(*c));

	ground_new(c->dir, sizeof(c->dir), "court");
	fake_clock_init(&c->clock, INT64_C(1800000000) * USEC_PER_SEC);
	relay_config_default(&c->config);
	secret_key_random(&c->master);
	for (int i = 0; i < OP_COUNT; i++)
		c->handlers[i] = note_call;
	c->arena = arena_new(64 << 20);
	c->env = (struct op_env){
		.handlers = c->handlers,
		.config = &c->config,
		.clock = &c->clock.clock,
		.registry = registry_new(),
	};
	open_journal(c);
	open_store(c);
	put_node(c, COURT_IN, in, 2);
	put_node(c, COURT_OUT, out, 2);
	return c;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void
court_free(struct court *c)
{
	call_fini(&c->call);
	registry_free(c->env.registry);
	authority_free(c->env.authority);
	store_close(c->store);
	ledger_reader_close(c->reader);
	ledger_free(c->env.ledger);
	journal_close(c->journal);
	arena_free(c->arena);
	nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(c);
}

/* --- asking ----------------------------------------------------------------------------------- */

int
court_ask_from(struct court *c, const char *user, const char *source, enum op_id id,
	const void *request)
{
	const struct op_row *row = &op_rows[id];
	struct hw_err err = HW_ERR_INIT;
	struct buf body;

	buf_init(&body, CALL_BODY_MAX);
	cr_assert(eq(int, msg_encode(&body, row->request(), request, &err), 0), "%s: %s", row->name,
		err.text);
	call_fini(&c->call);
	cr_assert(eq(int,
		call_init(&c->call, &c->env, CALL_MSGPACK, row->name, buf_data(&body), body.len),
		0));
	buf_fini(&body);
	c->call.who = (struct cert_identity){
		.role = ROLE_USER, .not_before = INT64_MAX, .not_after = INT64_MAX};
	snprintf(c->call.who.id, sizeof(c->call.who.id), "%s", user);
	snprintf(c->call.source, sizeof(c->call.source), "%s", source);
	call_execute(&c->call);
	return c->call.code;
}

int
court_ask(struct court *c, enum op_id op, const void *request)
{
	return court_ask_from(c, "ann", "192.0.2.1", op, request);
}

const char *
court_message(const struct court *c)
{
	return c->call.message;
}

int
court_reached(const struct court *c)
{
	(void)c;
	return seen.reached;
}

const char *
court_shown(const struct court *c)
{
	(void)c;
	return seen.shown;
}

size_t
court_entries(struct court *c, const struct msg_ledger_entry **last)
{
	struct msg_ledger_entry *e = NULL;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;
	size_t n = 0;
	int r;

	arena_free(c->arena);
	c->arena = arena_new(64 << 20);
	while ((r = ledger_reader_next(c->reader, c->arena, &e, &bytes, &err)) > 0)
		n++;
	cr_assert(eq(int, r, 0), "%s", err.text);
	if (last != NULL)
		*last = n > 0 ? e : NULL;
	return n;
}

struct op_env *
court_env(struct court *c)
{
	return &c->env;
}
