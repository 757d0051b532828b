#include "tests/unit/services/desk.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "proto/base/file.h"
#include "relay/core/registry.h"
#include "relay/policy/managed.h"
#include "relay/services/sessions/cursors.h"
#include "relay/services/table.h"
#include "relay/store/policies.h"
#include "relay/store/users.h"
#include "tests/unit/ground.h"

/* --- the made-up parts ------------------------------------------------------------------------ */

bool
broker_node_online(struct broker *b, const char *node_id, int64_t *last_seen)
{
	*last_seen = b->heard;
	for (int i = 0; i < 4; i++)
		if (strcmp(b->online[i], node_id) == 0)
			return true;
	return false;
}

int
broker_node_sessions(struct broker *b, const char *node_id)
{
	(void)node_id;
	return b->sessions;
}

int
broker_nodes_online(struct broker *b)
{
	int n = 0;

	for (int i = 0; i < 4; i++)
		n += b->online[i][0] != '\0';
	return n;
}

int
broker_sessions(struct broker *b)
{
	return b->sessions;
}

bool
broker_end_session(struct broker *b, const char *session_id, int code, const char *why)
{
	cr_assert(code == HW_ETERMINATED);
	if (strcmp(b->live, session_id) != 0)
		return false;
	if (b->opening > 0) {
		b->opening--;
		return false;
	}
	snprintf(b->ended, sizeof(b->ended), "%s", session_id);
	snprintf(b->why, sizeof(b->why), "%s", why);
	return true;
}

bool
broker_give_ticket(struct broker *b, const char *session_id, enum session_access access,
	const char *user, const char *hash, int64_t usec)
{
	if (strcmp(b->live, session_id) != 0)
		return false;
	b->given = access;
	snprintf(b->given_to, sizeof(b->given_to), "%s", user);
	snprintf(b->given_hash, sizeof(b->given_hash), "%s", hash);
	cr_assert(usec > 0);
	return true;
}

int fake_ledger_entries, fake_ledger_result;
enum entry_kind fake_ledger_kind;
const char *fake_ledger_reason;

int __wrap_ledger_commit(struct ledger *l, enum entry_kind kind,
	const struct msg_ledger_entry *entry);

int
__wrap_ledger_commit(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry)
{
	(void)l;
	cr_assert(kind == ENTRY_RECORDING_READ || kind == ENTRY_SEALED_READ ||
		kind == ENTRY_USER_LOGIN || kind == ENTRY_NODE_JOIN);
	cr_assert(entry->principal != NULL);
	fake_ledger_kind = kind;
	fake_ledger_reason = entry->reason;
	fake_ledger_entries += kind == ENTRY_RECORDING_READ || kind == ENTRY_SEALED_READ;
	return fake_ledger_result;
}

struct fake_recording fake_recording;

struct recording {
	size_t next;
};

int __wrap_archiver_flush(struct archiver *a, const char *session_id, struct hw_err *err);

int
__wrap_archiver_flush(struct archiver *a, const char *session_id, struct hw_err *err)
{
	(void)a;
	(void)session_id;
	(void)err;
	return 0;
}

int
recording_open(struct recording **ret, const char *recordings_dir, const char *session_id,
	const struct secret_key *master, struct hw_err *err)
{
	const char *name = strrchr(recordings_dir, '/');

	(void)master;
	cr_assert(name != NULL && strcmp(name, "/recordings") == 0);
	if (fake_recording.meta.session_id == NULL ||
		strcmp(fake_recording.meta.session_id, session_id) != 0)
		return hw_err_set(err, HW_ENOTFOUND, "no recording");
	*ret = calloc(1, sizeof(**ret));
	fake_recording.opened++;
	fake_recording.open_now++;
	return 0;
}

void
recording_close(struct recording *r)
{
	if (r != NULL)
		fake_recording.open_now--;
	free(r);
}

const struct msg_recording_meta *
recording_meta(const struct recording *r)
{
	(void)r;
	return &fake_recording.meta;
}

int
recording_next(struct recording *r, const uint8_t **p, size_t *n, struct hw_err *err)
{
	(void)err;
	if (r->next >= fake_recording.n)
		return 0;
	*p = buf_data(&fake_recording.blocks[r->next]);
	*n = fake_recording.blocks[r->next++].len;
	return 1;
}

bool
recording_is_live(const struct recording *r)
{
	(void)r;
	return !fake_recording.complete;
}

bool
recording_complete(const struct recording *r)
{
	return r->next == fake_recording.n && fake_recording.complete;
}

/* Of policies, which decide elsewhere: the linker puts this in the place of dispatch's. */
bool __wrap_op_may_see(struct op *op, const char *arn, const struct policy_tags *tags);

bool
__wrap_op_may_see(struct op *op, const char *arn, const struct policy_tags *tags)
{
	const struct desk *d =
		(const struct desk *)((const char *)op->env - offsetof(struct desk, env));
	bool hidden = arn == NULL || (d->hidden != NULL && strstr(arn, d->hidden) != NULL);

	for (size_t i = 0; d->hidden != NULL && tags != NULL && i < tags->n; i++)
		hidden |= strcmp(tags->v[i].value, d->hidden) == 0;
	return !hidden;
}

bool __wrap_op_may_see_document(struct op *op, const char *name, const struct msg_tag *tags,
	size_t n);

bool
__wrap_op_may_see_document(struct op *op, const char *name, const struct msg_tag *tags, size_t n)
{
	(void)tags;
	(void)n;
	return __wrap_op_may_see(op, name, NULL);
}

/* --- the desk --------------------------------------------------------------------------------- */

static void
on_changed(void *arg, enum store_kind kind, const char *id, struct db *db)
{
	struct desk *d = arg;

	(void)db;
	d->kinds[d->n_changed % 8] = kind;
	snprintf(d->changed[d->n_changed++ % 8], sizeof(d->changed[0]), "%s", id);
}

static int
first_user(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row = {.name = "alice", .created = NOON - DAY};
	int r = user_insert(db, &row, err);

	(void)arg;
	return r < 0 ? r : attachment_add(db, POLICY_ADMINISTRATOR, HOLDER_USER, "alice", err);
}

struct desk *
desk_new(bool threaded)
{
	static const struct log_ctx silent = {.sink = NULL};
	struct hw_err err = HW_ERR_INIT;
	struct desk *d = calloc(1, sizeof(*d));
	int dir = -1;

	cr_assert(d != NULL);
	ground_new(d->dir, sizeof(d->dir), "desk");
	snprintf(d->path, sizeof(d->path), "%s/relay.db", d->dir);
	fake_clock_init(&d->clock, NOON);
	relay_config_default(&d->config);
	snprintf(d->config.advertise, sizeof(d->config.advertise), "relay.example:8443");
	secret_key_random(&d->master);
	d->arena = arena_new(256 << 20);
	const struct store_config sc = {
		.path = d->path,
		.clock = &d->clock.clock,
		.threaded = threaded,
		.readers = 2,
		.on_changed = on_changed,
		.arg = d,
	};
	d->env = (struct op_env){
		.handlers = services_handlers,
		.config = &d->config,
		.dir = d->dir,
		.clock = &d->clock.clock,
		.registry = registry_new(),
		.broker = &d->broker,
		.master = &d->master,
		.cursors = recording_cursors_new(&d->clock.clock),
		.log = &silent,
	};
	cr_assert(store_open(&d->env.store, &sc, &err) == 0, "%s", err.text);
	cr_assert(dir_open(&dir, d->dir, false, &err) == 0);
	cr_assert(ca_create(&d->env.ca, dir, NOON - DAY, &err) == 0, "%s", err.text);
	close(dir);
	cr_assert(store_write(d->env.store, first_user, NULL, &err) == 0, "%s", err.text);
	fake_recording = (struct fake_recording){.n = 0};
	fake_ledger_entries = fake_ledger_result = 0;
	desk_as_user(d, "alice");
	return d;
}

void
desk_free(struct desk *d)
{
	char command[128];

	recording_cursors_free(d->env.cursors);
	cr_assert(fake_recording.open_now == 0);
	for (size_t i = 0; i < 12; i++)
		if (fake_recording.blocks[i].mem != NULL)
			buf_fini(&fake_recording.blocks[i]);
	store_close(d->env.store);
	registry_free(d->env.registry);
	ca_free(d->env.ca);
	arena_free(d->arena);
	snprintf(command, sizeof(command), "rm -r %s", d->dir);
	cr_assert(system(command) == 0);
	free(d);
}

void
desk_as_user(struct desk *d, const char *name)
{
	d->who = (struct cert_identity){.role = ROLE_USER,
		.not_before = NOON - 600 * USEC_PER_SEC,
		.not_after = NOON + DAY};
	snprintf(d->who.id, sizeof(d->who.id), "%s", name);
	snprintf(d->arn, sizeof(d->arn), "arn:aws:iam::%s:user/%s", d->config.account, name);
}

void
desk_as_node(struct desk *d, const char *id)
{
	desk_as_user(d, id);
	d->who.role = ROLE_NODE;
	snprintf(d->arn, sizeof(d->arn), "arn:aws:ssm:x:1:managed-instance/%s", id);
}

int
desk_call(struct desk *d, struct hw_err *err, enum op_id id, const void *req, void *rep,
	size_t size)
{
	struct op op = {
		.env = &d->env,
		.row = &op_rows[id],
		.arena = d->arena,
		.who = d->who,
		.now = clock_wall(&d->clock.clock),
	};

	snprintf(op.arn, sizeof(op.arn), "%s", d->arn);
	memset(rep, 0, size);
	int r = services_handlers[id](&op, req, rep);
	*err = op.err;
	return r;
}

struct msg_bin
desk_csr(struct desk *d)
{
	EVP_PKEY *key;
	struct buf der;

	cr_assert(key_generate(&key, NULL) == 0);
	buf_init(&der, CERT_DER_MAX);
	cr_assert(csr_make(&der, key, NULL) == 0);
	struct msg_bin csr = {arena_dup(d->arena, buf_data(&der), der.len), der.len};
	buf_fini(&der);
	EVP_PKEY_free(key);
	return csr;
}

const char *
desk_join(struct desk *d, const char *name)
{
	struct msg_create_activation_request make = {.iam_role = "role"};
	struct msg_create_activation_reply made;
	struct msg_register_managed_instance_reply joined;

	CHECK_OK(d, CALL(d, create_activation, &make, &made));
	struct msg_register_managed_instance_request join = {
		.activation_id = made.activation_id,
		.activation_code = made.activation_code,
		.csr = desk_csr(d),
		.name = name,
	};
	CHECK_OK(d, CALL(d, register_managed_instance, &join, &joined));
	return joined.instance_id;
}

const char *
desk_user(struct desk *d, const char *name, bool admin)
{
	struct msg_create_user_request req = {.user_name = name, .admin = admin};
	struct msg_create_user_reply rep;

	CHECK_OK(d, CALL(d, create_user, &req, &rep));
	return rep.invite;
}
