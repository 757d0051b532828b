/*
 * Puts a relay together: opens what it stands on, from the bottom up, connects the parts, and closes them in the opposite order.
 */
#include "relay/core/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "audit/recording.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "relay/core/broker_loop.h"
#include "relay/core/registry.h"
#include "relay/core/relay_private.h"
#include "relay/core/roster.h"
#include "relay/core/session.h"
#include "relay/core/workers.h"
#include "relay/store/sessions.h"

#define TIDY_EVERY (30 * USEC_PER_SEC)

const struct relay_config *
relay_config(const struct relay *r)
{
	return &r->config;
}

const struct hw_clock *
relay_clock(const struct relay *r)
{
	return r->clock;
}

struct ca *
relay_ca(const struct relay *r)
{
	return r->ca;
}

struct edge_stats *
relay_edge_stats(struct relay *r)
{
	return &r->edge;
}

bool
relay_healthy(const struct relay *r, const char **why)
{
	return !broker_frozen(r->broker, why);
}

/* --- news from other threads --------------------------------------------------------------------- */

struct news {
	struct relay *relay;
	enum store_kind kind;
	jpos pos;
	char text[256];
};

static void
post_news(struct relay *r, void (*fn)(void *), const struct news *n)
{
	struct news *copy = malloc(sizeof(*copy));

	hw_assert(copy != NULL);
	*copy = *n;
	copy->relay = r;
	loop_post(r->loop, fn, copy);
}

static void
take_changed(void *arg)
{
	struct news *n = arg;

	if (n->relay->broker != NULL)
		broker_recheck(n->relay->broker, n->kind, n->text);
	free(n);
}

static void
on_changed(void *arg, enum store_kind kind, const char *id, struct db *db)
{
	struct relay *r = arg;
	struct news n = {.kind = kind};

	roster_refresh(r->registry, kind, id, db);
	snprintf(n.text, sizeof(n.text), "%s", id);
	post_news(r, take_changed, &n);
}

static void
take_synced(void *arg)
{
	struct news *n = arg;

	if (n->relay->broker != NULL)
		broker_synced(n->relay->broker, n->pos);
	free(n);
}

static void
on_synced(void *arg, jpos pos)
{
	struct relay *r = arg;
	struct news n = {.pos = pos};

	if (r->config.durability == DURABILITY_SYNC)
		post_news(r, take_synced, &n);
}

static void
take_failed(void *arg)
{
	struct news *n = arg;

	if (n->relay->broker != NULL)
		broker_freeze(n->relay->broker, n->text);
	free(n);
}

static void
on_failed(void *arg, const char *why)
{
	struct news n = {.pos = 0};

	snprintf(n.text, sizeof(n.text), "%s", why);
	post_news(arg, take_failed, &n);
}

static void
on_sealed(void *arg, const char *session_id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	struct relay *r = arg;
	struct msg_ledger_entry e = {
		.session_id = session_id,
		.hash = {hash, SHA256_LEN},
		.size = (int64_t)size,
	};

	if (ledger_append(r->ledger, ENTRY_RECORDING_SEALED, &e, NULL) == 0)
		journal_sync(r->journal);
}

/* --- opening ----------------------------------------------------------------------------------------- */

static const char *
under(struct relay *r, char *out, size_t room, const char *name)
{
	if (name[0] == '/')
		snprintf(out, room, "%s", name);
	else
		snprintf(out, room, "%s/%s", r->path, name);
	return out;
}

static int
open_keys(struct relay *r, const struct relay_options *o, struct hw_err *err)
{
	char path[2048];
	int rc;

	if ((rc = dir_open(&r->dir, o->dir, false, err)) < 0 ||
		(rc = file_lock(&r->lock, r->dir, "lock", err)) < 0) {
		if (rc == HW_EEXISTS)
			hw_err_set(err, rc, "another relay is running on %s", o->dir);
		return rc;
	}
	if ((rc = relay_config_load(&r->config, r->dir, err)) < 0) {
		if (rc == HW_ENOTFOUND)
			hw_err_set(err, rc, "%s holds no relay: make one with hawser-relay init --dir %s", o->dir,
				o->dir);
		return rc;
	}
	under(r, path, sizeof(path), o->master_key != NULL ? o->master_key : r->config.master_key);
	if ((rc = secret_key_load(&r->master, path, err)) < 0)
		return rc;
	return ca_open(&r->ca, r->dir, err);
}

static int
open_audit(struct relay *r, const struct relay_options *o, struct hw_err *err)
{
	char journal[2048], recordings[2048], ledger[2048], auditors[2048], masks[2048];
	uint64_t cut = 0;
	int rc;

	struct journal_config jc = {
		.dir = under(r, journal, sizeof(journal), "journal"),
		.log = &r->log,
		.clock = r->clock,
		.master = &r->master,
		.threaded = r->threaded,
		.io = o->journal_io,
		.on_synced = on_synced,
		.on_failed = on_failed,
		.arg = r,
	};
	if ((rc = journal_open(&r->journal, &jc, &cut, err)) < 0)
		return rc;
	r->ledger = ledger_new(r->journal, r->config.name, r->clock);
	if (r->ledger == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger");
	struct archiver_config ac = {
		.journal_dir = journal,
		.recordings_dir = under(r, recordings, sizeof(recordings), "recordings"),
		.ledger_dir = under(r, ledger, sizeof(ledger), "ledger"),
		.journal = r->journal,
		.master = &r->master,
		.log = &r->log,
		.clock = r->clock,
		.auditors_file = under(r, auditors, sizeof(auditors), "auditors.pub"),
		.masks_file = under(r, masks, sizeof(masks), "masks"),
		.threaded = r->threaded,
		.on_sealed = on_sealed,
		.arg = r,
	};
	return archiver_new(&r->archiver, &ac, err);
}

static int
open_store(struct relay *r, struct hw_err *err)
{
	char path[2048];
	int rc;

	r->registry = registry_new();
	if (r->registry == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the registry");
	struct store_config sc = {
		.path = under(r, path, sizeof(path), "relay.db"),
		.log = &r->log,
		.clock = r->clock,
		.threaded = r->threaded,
		.readers = r->config.workers,
		.on_changed = on_changed,
		.arg = r,
	};
	if ((rc = store_open(&r->store, &sc, err)) < 0)
		return rc;
	return roster_load(r->registry, r->store, err);
}

static int
open_broker(struct relay *r, const struct relay_options *o, struct hw_err *err)
{
	int rc = workers_new(&r->workers, r->loop, r->threaded ? r->config.workers : 0, err);

	if (rc < 0)
		return rc;
	r->env = (struct op_env){
		.handlers = o->handlers,
		.config = &r->config,
		.clock = r->clock,
		.store = r->store,
		.ca = r->ca,
		.registry = r->registry,
		.ledger = r->ledger,
		.archiver = r->archiver,
		.master = &r->master,
		.log = &r->log,
		.dir = r->path,
	};
	struct broker_options bo = {
		.loop = r->loop,
		.log = &r->log,
		.env = &r->env,
		.workers = r->workers,
		.journal = r->journal,
	};
	r->broker = broker_new(&bo);
	if (r->broker == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the broker");
	r->env.broker = r->broker;
	return 0;
}

/* --- sessions that an earlier process left open -------------------------------------------------------- */

struct sweep {
	struct relay *relay;
	struct arena *arena;
	struct msg_strs ids;
};

#define SWEPT "the relay stopped while it was open"

static int
write_sweep(void *arg, struct db *db, struct hw_err *err)
{
	struct sweep *sw = arg;

	return session_sweep_open(db, sw->arena, clock_wall(sw->relay->clock), SWEPT, &sw->ids, err);
}

/* Their recordings are completed, so that they can be sealed. */
static int
close_recordings(struct relay *r, const struct msg_strs *ids)
{
	struct msg_close close = {.code = hw_code_name(HW_EUNAVAILABLE), .message = SWEPT};
	struct buf bytes;
	int rc;

	buf_init(&bytes, 1024);
	rc = msg_encode(&bytes, MSG_ROW(close), &close, NULL);
	for (size_t i = 0; i < ids->n && rc == 0; i++) {
		struct journal_record rec = {
			.type = JOURNAL_SESSION_END,
			.session = session_number(ids->v[i]),
			.time = clock_wall(r->clock),
			.bytes = buf_data(&bytes),
			.len = bytes.len,
		};
		struct msg_ledger_entry e = {.session_id = ids->v[i], .outcome = OUTCOME_FAILED, .reason = SWEPT};
		jpos end;
		if ((rc = journal_append(r->journal, &rec, &end)) == 0)
			rc = ledger_append(r->ledger, ENTRY_SESSION_END, &e, NULL);
	}
	buf_fini(&bytes);
	return rc;
}

static int
sweep_sessions(struct relay *r, struct hw_err *err)
{
	struct sweep sw = {.relay = r, .arena = arena_new(16 << 20)};
	int rc = sw.arena == NULL ? hw_err_set(err, HW_ENOMEM, "no memory") : 0;

	if (rc == 0 && (rc = store_write(r->store, write_sweep, &sw, err)) == 0) {
		if (sw.ids.n > 0)
			log_warn(r, "sessions.swept", "n=%zu", sw.ids.n);
		if ((rc = close_recordings(r, &sw.ids)) < 0)
			hw_err_set(err, rc, "the journal cannot be written");
	}
	arena_free(sw.arena);
	return rc;
}

/* --- tidying: tickets that nobody used -------------------------------------------------------------------- */

static int
read_late(void *arg, struct db *db, struct hw_err *err)
{
	struct sweep *sw = arg;
	bool any = false;

	int rc = session_any_late(db, clock_wall(sw->relay->clock), &any, err);
	return rc < 0 ? rc : any ? 0 : HW_ENOTFOUND;
}

static int
write_late(void *arg, struct db *db, struct hw_err *err)
{
	struct sweep *sw = arg;

	return session_sweep_late(db, clock_wall(sw->relay->clock), err);
}

static void
run_tidy(void *arg)
{
	struct relay *r = arg;
	struct sweep sw = {.relay = r};
	struct hw_err err = HW_ERR_INIT;

	int rc = store_read(r->store, read_late, &sw, &err);
	if (rc == 0)
		rc = store_write(r->store, write_late, &sw, &err);
	if (rc < 0 && rc != HW_ENOTFOUND)
		log_warn(r, "tidy.failed", "%s", hw_err_text(&err));
}

static void
on_tidied(void *arg)
{
	struct relay *r = arg;

	r->tidying = false;
}

static void
on_tidy(void *arg)
{
	struct relay *r = arg;

	if (!r->tidying)
		r->tidying = workers_submit(r->workers, run_tidy, on_tidied, r);
	loop_timer_start(r->loop, &r->tidy, TIDY_EVERY);
}

/* --- life ------------------------------------------------------------------------------------------------------ */

static int
note_start(struct relay *r, struct hw_err *err)
{
	struct msg_ledger_entry e = {.detail = "hawser-relay/" HAWSER_VERSION};

	if (ledger_commit(r->ledger, ENTRY_RELAY_START, &e) < 0)
		return hw_err_set(err, HW_ERECORD, "the ledger cannot be written");
	return 0;
}

int
relay_open(struct relay **ret, const struct relay_options *o, struct hw_err *err)
{
	struct relay *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the relay");
	r->log = *o->log;
	r->loop = o->loop;
	r->clock = loop_clock(o->loop);
	r->threaded = o->threaded;
	r->dir = r->lock = -1;
	r->tidy = (struct loop_timer){.fn = on_tidy, .arg = r};
	snprintf(r->path, sizeof(r->path), "%s", o->dir);
	if ((rc = open_keys(r, o, err)) < 0 || (rc = open_audit(r, o, err)) < 0 ||
		(rc = open_store(r, err)) < 0 || (rc = open_broker(r, o, err)) < 0 ||
		(rc = sweep_sessions(r, err)) < 0 || (rc = note_start(r, err)) < 0) {
		relay_close(r);
		return rc;
	}
	loop_timer_start(r->loop, &r->tidy, TIDY_EVERY);
	*ret = r;
	return 0;
}

static void
note_stop(struct relay *r)
{
	struct msg_ledger_entry e = {.sequence = 0};

	if (r->broker == NULL)
		return;
	broker_stop(r->broker, "the relay is stopping");
	ledger_append(r->ledger, ENTRY_RELAY_STOP, &e, NULL);
}

void
relay_close(struct relay *r)
{
	if (r == NULL)
		return;
	loop_timer_stop(r->loop, &r->tidy);
	note_stop(r);
	workers_free(r->workers);
	loop_settle(r->loop); /* what the workers posted at last */
	broker_free(r->broker);
	r->broker = NULL;
	store_close(r->store);
	archiver_free(r->archiver);
	ledger_free(r->ledger);
	journal_close(r->journal);
	loop_settle(r->loop);
	registry_free(r->registry);
	ca_free(r->ca);
	secret_key_wipe(&r->master);
	fd_close(r->lock);
	fd_close(r->dir);
	free(r);
}

/* --- links -------------------------------------------------------------------------------------------------------- */

static int
admit_node(struct relay *r, const struct cert_identity *who, struct hw_err *err)
{
	struct reg_node node;

	if (!registry_node(r->registry, who->id, &node))
		return hw_err_set(err, HW_EREVOKED, "node %s is not registered, or was removed", who->id);
	if (strcmp(who->serial, node.serial) == 0 || strcmp(who->serial, node.serial_before) == 0)
		return 0;
	log_error(r, "node.clone", "node=%s serial=%s newest=%s", who->id, who->serial, node.serial);
	return hw_err_set(err, HW_EREVOKED,
		"node %s showed an outdated certificate: it, or a copy of it, has renewed since", who->id);
}

static int
admit_user(struct relay *r, const struct cert_identity *who, bool expired, struct hw_err *err)
{
	struct reg_user user;

	if (expired)
		return hw_err_set(err, HW_EEXPIRED, "the certificate of %s has expired: log in again", who->id);
	if (!registry_user(r->registry, who->id, &user))
		return hw_err_set(err, HW_EREVOKED, "no user is named %s", who->id);
	if (who->not_before < user.valid_from)
		return hw_err_set(err, HW_EREVOKED, "this certificate is of an earlier user named %s", who->id);
	return 0;
}

static void
note_refused(struct relay *r, const struct cert_identity *who, const char *source, const char *why)
{
	struct msg_ledger_entry e = {
		.principal = who->id,
		.source = source,
		.outcome = OUTCOME_DENIED,
		.reason = why,
	};

	if (ledger_append(r->ledger, ENTRY_LINK_REFUSED, &e, NULL) == 0)
		journal_sync(r->journal);
}

int
relay_admit(struct relay *r, const struct cert_identity *who, bool expired, const char *source,
	struct hw_err *err)
{
	struct hw_err mine = HW_ERR_INIT;
	int rc;

	if (who->role == ROLE_NODE)
		rc = admit_node(r, who, &mine);
	else if (who->role == ROLE_USER)
		rc = admit_user(r, who, expired, &mine);
	else
		rc = hw_err_set(&mine, HW_ECERT, "a relay's certificate cannot open a link");
	if (rc == 0 && broker_links(r->broker) >= (size_t)r->config.max_links)
		rc = hw_err_set(&mine, HW_EFULL, "%d links are open, and no more are allowed", r->config.max_links);
	if (rc < 0) {
		note_refused(r, who, source, hw_err_text(&mine));
		if (err != NULL)
			*err = mine;
	}
	return rc;
}

struct link *
relay_link(struct relay *r, const struct cert_identity *who, bool expired, const char *source,
	struct link_transport *transport)
{
	return broker_link(r->broker, who, expired, source, transport);
}

bool
relay_before_write(struct relay *r)
{
	return broker_before_write(r->broker);
}
