/*
 * Puts a relay together: opens what it stands on, from the bottom up, connects the parts, and
 * closes them in the opposite order.
 */
#include "relay/core/relay.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "audit/ledger_heads.h"
#include "audit/reached.h"
#include "audit/recording.h"
#include "audit/search.h"
#include "proto/base/file.h"
#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "relay/core/broker_loop.h"
#include "relay/core/dispatcher.h"
#include "relay/core/fit.h"
#include "relay/core/guard.h"
#include "relay/core/new_ca.h"
#include "relay/core/outputs.h"
#include "relay/core/principals.h"
#include "relay/core/readers.h"
#include "relay/core/registry.h"
#include "relay/core/rekey.h"
#include "relay/core/restore.h"
#include "relay/core/relay_private.h"
#include "relay/core/roster.h"
#include "relay/core/uploads.h"
#include "relay/core/anchors.h"
#include "relay/core/streams.h"
#include "relay/core/tend.h"
#include "relay/core/witnesses.h"
#include "relay/core/workers.h"
#include "relay/store/sessions.h"

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

int
relay_url(const struct relay *r, char url[512], struct hw_err *err)
{
	return relay_url_write(url, &r->config, r->ca, err);
}

struct edge_stats *
relay_edge_stats(struct relay *r)
{
	return &r->edge;
}

bool
relay_healthy(const struct relay *r, const char **why)
{
	if (broker_frozen(r->broker, why))
		return false;
	if (tend_draining(r)) {
		*why = "draining";
		return false;
	}
	if (store_failed(r->store)) {
		*why = STORE_FAILED;
		return false;
	}
	*why = r->archive_why[0] != '\0' ? r->archive_why : r->heads_why;
	return (*why)[0] == '\0';
}

/* --- news from other threads ---------------------------------------------------------------------
 */

struct news {
	struct relay *relay;
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
take_node(void *arg)
{
	struct news *n = arg;

	if (n->relay->broker != NULL)
		broker_node_changed(n->relay->broker, n->text);
	if (!registry_node(n->relay->registry, n->text, &(struct reg_node){0}))
		witnesses_drop(n->relay->witnesses, n->text);
	free(n);
}

static void
take_document(void *arg)
{
	struct news *n = arg;

	if (n->relay->broker != NULL)
		broker_document_changed(n->relay->broker, n->text);
	free(n);
}

static void
on_changed(void *arg, enum store_kind kind, const char *id, struct db *db)
{
	struct relay *r = arg;
	struct news n = {.relay = r};

	snprintf(n.text, sizeof(n.text), "%s", id);
	switch (kind) {
	case STORE_NODE:
		roster_refresh(r->registry, id, db);
		post_news(r, take_node, &n);
		return;
	case STORE_DOCUMENT:
		roster_refresh_document(r->registry, id, db);
		post_news(r, take_document, &n);
		return;
	case STORE_USER:
	case STORE_GRANTS:
		r->principals_changed = true;
		return;
	}
}

static void
take_principals(void *arg)
{
	struct relay *r = arg;

	if (r->broker != NULL)
		broker_principals_changed(r->broker);
	if (r->dispatcher != NULL)
		dispatcher_users_changed(r->dispatcher);
}

/* Once for a commit, however many it changed: the snapshot is read as a whole. */
static void
on_committed(void *arg, struct db *db)
{
	struct relay *r = arg;

	if (!r->principals_changed)
		return;
	r->principals_changed = false;
	authority_refresh(r->authority, db);
	loop_post(r->loop, take_principals, r);
}

static void
take_synced(void *arg)
{
	struct relay *r = arg;

	atomic_store(&r->sync_posted, false);
	if (r->broker != NULL)
		broker_synced(r->broker, journal_synced(r->journal));
}

/* What is synced before the loop has looked needs no second look. */
static void
on_synced(void *arg, jpos pos)
{
	struct relay *r = arg;

	(void)pos;
	if (r->config.durability == DURABILITY_SYNC && !atomic_exchange(&r->sync_posted, true))
		loop_post(r->loop, take_synced, r);
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
	struct news n = {.relay = NULL};

	snprintf(n.text, sizeof(n.text), "%s", why);
	post_news(arg, take_failed, &n);
}

static void
take_low(void *arg)
{
	struct news *n = arg;
	struct msg_ledger_entry e = {.reason = n->text};

	ledger_append(n->relay->ledger, ENTRY_ALARM, &e, NULL);
	if (n->relay->broker != NULL)
		broker_freeze(n->relay->broker, n->text);
	free(n);
}

static void
on_low(void *arg, const char *why)
{
	struct news n = {.relay = NULL};

	snprintf(n.text, sizeof(n.text), "%s", why);
	post_news(arg, take_low, &n);
}

/* The archiver is there before them, and after. */
static void
tell_uploads(struct relay *r, const char *session_id)
{
	pthread_mutex_lock(&r->uploads_lock);
	uploads_add_recording(r->uploads, session_id);
	pthread_mutex_unlock(&r->uploads_lock);
}

static int
on_sealed(void *arg, const char *session_id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	struct relay *r = arg;
	struct msg_ledger_entry e = {
		.session_id = session_id,
		.hash = {hash, SHA256_LEN},
		.size = (int64_t)size,
	};

	int rc = ledger_commit(r->ledger, ENTRY_RECORDING_SEALED, &e);
	if (rc < 0)
		log_error(r, "recording.unsealed", "session=%s", session_id);
	else
		tell_uploads(r, session_id);
	return rc;
}

static void
on_checkpoint(void *arg, const char *session_id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	struct relay *r = arg;
	struct msg_ledger_entry e = {
		.session_id = session_id,
		.hash = {hash, SHA256_LEN},
		.size = (int64_t)size,
	};

	if (ledger_append(r->ledger, ENTRY_RECORDING_CHECKPOINT, &e, NULL) < 0)
		log_error(r, "recording.unmarked", "session=%s", session_id);
}

static void
on_filed(void *arg, uint64_t filed, const uint8_t chain[SHA256_LEN])
{
	struct relay *r = arg;

	ledger_heads_filed(r->heads, filed, chain);
}

static void
take_archive_failed(void *arg)
{
	struct news *n = arg;
	struct msg_ledger_entry e = {.reason = n->text};

	fit_text(n->relay->archive_why, sizeof(n->relay->archive_why), n->text);
	ledger_append(n->relay->ledger, ENTRY_ALARM, &e, NULL);
	free(n);
}

static void
take_archive_stalled(void *arg)
{
	struct news *n = arg;
	struct msg_ledger_entry e = {
		.reason = n->text[0] != '\0' ? n->text : "recordings are written again"};

	fit_text(n->relay->archive_why, sizeof(n->relay->archive_why), n->text);
	ledger_append(n->relay->ledger, ENTRY_ALARM, &e, NULL);
	free(n);
}

/* The journal keeps what it needs to go on. */
static void
on_archive_stalled(void *arg, const char *why)
{
	struct news n = {.relay = NULL};

	if (why != NULL) {
		snprintf(n.text, sizeof(n.text), "recordings wait for room on the disk: ");
		fit_text(n.text + strlen(n.text), sizeof(n.text) - strlen(n.text), why);
	}
	post_news(arg, take_archive_stalled, &n);
}

/* Sessions are recorded all the same, in the journal, which grows until an operator acts. */
static void
on_archive_failed(void *arg, const char *why)
{
	struct news n = {.relay = NULL};

	snprintf(n.text, sizeof(n.text), "recordings cannot be written: ");
	fit_text(n.text + strlen(n.text), sizeof(n.text) - strlen(n.text), why);
	post_news(arg, take_archive_failed, &n);
}

/* --- opening ---------------------------------------------------------------------------------- */

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

	bool taken;

	if ((rc = dir_open(&r->dir, o->dir, false, err)) < 0 ||
		(rc = file_lock(&r->lock, r->dir, "lock", err)) < 0) {
		if (rc == HW_EEXISTS)
			hw_err_set(err, rc, "another relay is running on %s", o->dir);
		return rc;
	}
	if ((rc = relay_config_load(&r->config, r->dir, err)) < 0) {
		if (rc == HW_ENOTFOUND)
			hw_err_set(err, rc,
				"%s holds no relay: make one with hawser-relay init --dir %s",
				o->dir, o->dir);
		return rc;
	}
	under(r, path, sizeof(path), o->master_key != NULL ? o->master_key : r->config.master_key);
	if ((rc = rekey_check(path, o->dir, err)) < 0 ||
		(rc = secret_key_load(&r->master, path, err)) < 0)
		return rc;
	if ((rc = new_ca_settle(&taken, r->dir, err)) < 0)
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
		.on_low = on_low,
		.reserve = (size_t)r->config.reserve_mib << 20,
		.arg = r,
	};
	if ((rc = journal_open(&r->journal, &jc, &cut, err)) < 0 ||
		(rc = reached_new(&r->reached, journal, &r->master, err)) < 0)
		return rc;
	r->ledger = ledger_new(r->journal, r->config.name, r->clock);
	if (r->ledger == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger");
	if ((rc = heads_open(r, o, err)) < 0 || (rc = new_ca_tell(r->dir, r->ledger, err)) < 0)
		return rc;
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
		.relay = r->config.name,
		.threaded = r->threaded,
		.on_sealed = on_sealed,
		.on_checkpoint = on_checkpoint,
		.on_filed = on_filed,
		.on_failed = on_archive_failed,
		.on_stalled = on_archive_stalled,
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
	r->authority = authority_new(&r->log);
	if (r->registry == NULL || r->authority == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for who there is");
	struct store_config sc = {
		.path = under(r, path, sizeof(path), "relay.db"),
		.log = &r->log,
		.clock = r->clock,
		.threaded = r->threaded,
		.readers = r->config.workers,
		.on_changed = on_changed,
		.on_committed = on_committed,
		.arg = r,
	};
	if ((rc = store_open(&r->store, &sc, err)) < 0)
		return rc;
	rc = roster_load(r->registry, r->store, err);
	return rc == 0 ? authority_load(r->authority, r->store, err) : rc;
}

static int
open_broker(struct relay *r, const struct relay_options *o, struct hw_err *err)
{
	int rc = workers_new(&r->workers, r->loop, r->threaded ? r->config.workers : 0, err);

	if (rc < 0)
		return rc;
	if ((r->guard = guard_new(r->config.login_failures)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the guard of the doors");
	if ((r->witnesses = witnesses_new()) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what nodes say");
	r->env = (struct op_env){
		.handlers = o->handlers,
		.cursors = o->cursors,
		.config = &r->config,
		.clock = r->clock,
		.store = r->store,
		.ca = r->ca,
		.registry = r->registry,
		.authority = r->authority,
		.ledger = r->ledger,
		.heads = r->heads,
		.archiver = r->archiver,
		.journal = r->journal,
		.master = &r->master,
		.log = &r->log,
		.strangers = &r->strangers,
		.guesses = &r->guesses,
		.alarms = &r->alarms,
		.guard = r->guard,
		.witnesses = r->witnesses,
		.dir = r->path,
		.tended = r,
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

static bool
is_online(void *arg, const char *node)
{
	struct relay *r = arg;

	return broker_node_online(r->broker, node, NULL);
}

static void
tell_node(void *arg, const char *node)
{
	struct relay *r = arg;

	broker_tell_node(r->broker, node, CONTROL_COMMANDS);
}

static const char *
refusal_of(void *arg, const char *user, int64_t since)
{
	struct relay *r = arg;

	return authority_refuses_sender(r->authority, user, since);
}

static void
set_uploads(struct relay *r, struct uploads *u)
{
	pthread_mutex_lock(&r->uploads_lock);
	r->uploads = u;
	pthread_mutex_unlock(&r->uploads_lock);
}

/* What waits for its upload goes on. */
static int
open_uploads(struct relay *r, struct hw_err *err)
{
	const struct uploads_options o = {
		.store = r->store,
		.outputs = r->outputs,
		.ledger = r->ledger,
		.config = &r->config,
		.dir = r->path,
		.master = &r->master,
		.clock = r->clock,
		.log = &r->log,
		.threaded = r->threaded,
	};
	int rc = 0;

	if (r->config.s3_endpoint[0] != '\0')
		rc = uploads_new(&r->env.uploads, &o, err);
	else if (r->config.recording_s3_bucket[0] != '\0')
		return hw_err_set(err, HW_EVALIDATION,
			"recording_s3_bucket is set, and s3_endpoint is not: say there where the "
			"bucket is");
	set_uploads(r, r->env.uploads);
	return rc;
}

static int
open_commands(struct relay *r, struct hw_err *err)
{
	int rc = outputs_new(&r->outputs, r->path, &r->master, err);

	if (rc < 0)
		return rc;
	struct dispatcher_options o = {
		.loop = r->loop,
		.log = &r->log,
		.workers = r->workers,
		.store = r->store,
		.ledger = r->ledger,
		.config = &r->config,
		.is_online = is_online,
		.tell = tell_node,
		.refusal = refusal_of,
		.arg = r,
	};
	r->dispatcher = dispatcher_new(&o);
	r->env.readers = r->readers = readers_new();
	if (r->dispatcher == NULL || r->readers == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for commands");
	r->env.dispatcher = r->dispatcher;
	r->env.outputs = r->outputs;
	rc = dispatcher_restore(r->dispatcher, err);
	return rc == 0 ? open_uploads(r, err) : rc;
}

struct node_look {
	struct arena *arena;
	const char *session;
	const char *node;
};

static int
look_for_node(void *arg, struct db *db, struct hw_err *err)
{
	struct node_look *look = arg;
	struct session_row *row;

	int r = session_get(db, look->arena, look->session, &row, err);
	look->node = r == 0 ? row->node_id : NULL;
	return r;
}

static bool
node_of_session(void *arg, const char *session, char node[SEARCH_NODE_MAX])
{
	struct relay *r = arg;
	struct node_look look = {.arena = arena_new(64 * 1024), .session = session};

	bool known = look.arena != NULL && id_is_session(session) &&
		store_read(r->store, look_for_node, &look, NULL) == 0;
	if (known)
		fit_text(node, SEARCH_NODE_MAX, look.node);
	arena_free(look.arena);
	return known;
}

static int
open_search(struct relay *r, struct hw_err *err)
{
	char dir[2048], journal[2048], ledger[2048];
	const struct search_config config = {
		.dir = under(r, dir, sizeof(dir), "index"),
		.journal_dir = under(r, journal, sizeof(journal), "journal"),
		.ledger_dir = under(r, ledger, sizeof(ledger), "ledger"),
		.journal = r->journal,
		.master = &r->master,
		.log = &r->log,
		.threaded = r->threaded,
		.node_of = node_of_session,
		.arg = r,
	};
	int rc = search_new(&r->search, &config, err);

	r->env.search = r->search;
	return rc;
}

static int
open_streams(struct relay *r, struct hw_err *err)
{
	const struct streams_options o = {
		.config = &r->config,
		.dir = r->path,
		.journal = r->journal,
		.ledger = r->ledger,
		.master = &r->master,
		.clock = r->clock,
		.log = &r->log,
		.threaded = r->threaded,
	};

	return streams_new(&r->streams, &o, err);
}

void
relay_reopen(struct relay *r)
{
	streams_reopen(r->streams);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Whom hidden input is sealed to from now on: nobody is put on that list unseen. */
static int
note_auditors(struct relay *r)
{
	const struct box_readers *readers = archiver_auditors(r->archiver);
	char text[BOX_READERS_MAX * (2 * BOX_ID_LEN + 1) + 1] = "";

	if (readers->n == 0)
		return 0;
	for (size_t i = 0; i < readers->n; i++) {
		char *to = text + strlen(text);
		if (i > 0)
			*to++ = ' ';
		box_key_id(to, readers->keys[i]);
	}
	return ledger_commit(r->ledger, ENTRY_AUDITOR_KEYS,
		&(struct msg_ledger_entry){.detail = text});
}

/* Said until it is in the ledger. */
static int
note_restored(struct relay *r)
{
	char when[RFC3339_LEN + 1], detail[128];
	const struct msg_ledger_entry e = {.detail = detail};
	struct backup_about about;

	if (!restore_note_read(&about, r->dir))
		return 0;
	rfc3339_format(when, about.time);
	snprintf(detail, sizeof(detail), "a backup of %s, when the ledger had %llu entries", when,
		(unsigned long long)about.entries);
	int64_t entry = ledger_commit_numbered(r->ledger, ENTRY_RELAY_RESTORED, &e);
	log_warn(r, "relay.restored", "time=%s entries=%llu%s", when,
		(unsigned long long)about.entries, ledger_pair(entry));
	if (entry < 0)
		return (int)entry;
	restore_note_drop(r->dir);
	return 0;
}

static int
note_start(struct relay *r, struct hw_err *err)
{
	struct msg_ledger_entry e = {.detail = "hawser-relay/" HAWSER_VERSION};

	if (ledger_commit(r->ledger, ENTRY_RELAY_START, &e) < 0 || note_restored(r) < 0 ||
		note_auditors(r) < 0)
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
	r->start_time = clock_wall(r->clock);
	r->dir = r->lock = -1;
	throttle_init(&r->strangers);
	throttle_init(&r->refusals);
	throttle_init(&r->alarms);
	throttle_init(&r->guesses);
	pthread_mutex_init(&r->uploads_lock, NULL);
	snprintf(r->path, sizeof(r->path), "%s", o->dir);
	if ((rc = open_keys(r, o, err)) < 0 || (rc = open_audit(r, o, err)) < 0 ||
		(rc = open_store(r, err)) < 0 || (rc = open_broker(r, o, err)) < 0 ||
		(rc = upkeep_take_up(r, err)) < 0 || (rc = open_commands(r, err)) < 0 ||
		(rc = note_start(r, err)) < 0 || (rc = open_search(r, err)) < 0 ||
		(rc = open_streams(r, err)) < 0 || (rc = heads_anchor(r, o, err)) < 0) {
		relay_close(r);
		return rc;
	}
	r->started = true;
	upkeep_start(r);
	heads_start(r);
	*ret = r;
	return 0;
}

/* The last entry is relay.stop: what ends by it is told before. */
static void
stop(struct relay *r)
{
	struct msg_ledger_entry e = {.sequence = 0};

	upkeep_stop(r);
	heads_stop(r);
	dispatcher_stop(r->dispatcher);
	if (r->broker != NULL)
		broker_stop(r->broker, "the relay is stopping");
	workers_drain(r->workers);
	if (r->started)
		ledger_append(r->ledger, ENTRY_RELAY_STOP, &e, NULL);
}

/* From the top down. What threads of the lower parts post meanwhile finds no broker any more. */
void
relay_close(struct relay *r)
{
	if (r == NULL)
		return;
	stop(r);
	workers_free(r->workers);
	loop_settle(r->loop);
	broker_free(r->broker);
	r->broker = NULL;
	dispatcher_free(r->dispatcher);
	set_uploads(r, NULL);
	uploads_free(r->env.uploads);
	outputs_free(r->outputs);
	readers_free(r->readers);
	streams_free(r->streams);
	search_free(r->search); /* it asks the store, and reads the journal */
	reached_free(r->reached);
	store_close(r->store);
	if (r->started)
		heads_last(r);
	anchors_free(r->anchors);
	archiver_free(r->archiver);
	loop_settle(r->loop); /* the archiver's last words are entries of the ledger */
	ledger_free(r->ledger);
	r->ledger = NULL;
	ledger_heads_close(r->heads);
	journal_close(r->journal);
	loop_settle(r->loop);
	registry_free(r->registry);
	authority_free(r->authority);
	ca_free(r->ca);
	secret_key_wipe(&r->master);
	guard_free(r->guard);
	witnesses_free(r->witnesses);
	throttle_fini(&r->strangers);
	throttle_fini(&r->refusals);
	throttle_fini(&r->alarms);
	throttle_fini(&r->guesses);
	pthread_mutex_destroy(&r->uploads_lock);
	fd_close(r->lock);
	fd_close(r->dir);
	free(r);
}
