/*
 * The signed heads of the relay's ledger: opens their keys and files, and has a worker sign one
 * twice a second while there is anything new.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_epochs.h"
#include "audit/ledger_heads.h"
#include "audit/ledger_keys.h"
#include "audit/recording.h"
#include "relay/core/anchors.h"
#include "relay/core/broker_loop.h"
#include "relay/core/relay_private.h"
#include "relay/core/workers.h"

#define SIGN_EVERY (USEC_PER_SEC / 2)

/* --- opening ---------------------------------------------------------------------------------- */

/* A ledger from before there were epochs, or without one entry, begins its first here. */
static int
load_epochs(struct log_epochs *epochs, struct relay *r, const char *dir, EVP_PKEY *key,
	struct hw_err *err)
{
	char origin[LOG_ORIGIN_MAX], heads[1200];
	X509 *ca = ca_cert(r->ca);

	int rc = ledger_epochs_load(epochs, dir, ca, err);
	if (rc != HW_ENOTFOUND)
		return rc;
	snprintf(heads, sizeof(heads), "%s/heads", dir);
	if (access(heads, F_OK) == 0)
		return hw_err_set(err, HW_ECORRUPT,
			"%s/" LEDGER_EPOCHS_FILE " is gone, which said who signs the ledger", dir);
	log_origin(origin, ca_fleet(r->ca), r->config.name);
	if ((rc = ledger_epochs_begin(dir, origin, key, NULL, r->ca, clock_wall(r->clock), err)) <
		0)
		return rc;
	return ledger_epochs_load(epochs, dir, ca, err);
}

/* That another key signs from here on is an entry of its own. */
static int
note_epoch(struct relay *r, struct hw_err *err)
{
	const struct log_epoch *now = log_epochs_last(ledger_heads_epochs(r->heads));
	struct log_head last = {.epoch = 1};
	char detail[96];

	(void)ledger_heads_latest(r->heads, &last);
	if (last.epoch == now->epoch)
		return 0;
	snprintf(detail, sizeof(detail), "epoch %" PRIu32 " from entry %" PRIu64 " on, %s",
		now->epoch, now->size,
		now->by == LOG_BY_RECOVERY ? "recovered" : "signed over by the key before");
	struct msg_ledger_entry e = {.detail = detail};
	if (ledger_append(r->ledger, ENTRY_LEDGER_EPOCH, &e, NULL) < 0)
		return hw_err_set(err, HW_ERECORD, "the ledger cannot be written");
	return 0;
}

int
heads_open(struct relay *r, const struct relay_options *o, struct hw_err *err)
{
	char ledger[1100], journal[1100];
	struct log_epochs epochs = {.n = 0};
	EVP_PKEY *key = NULL;
	int rc;

	snprintf(ledger, sizeof(ledger), "%s/ledger", r->path);
	snprintf(journal, sizeof(journal), "%s/journal", r->path);
	if ((rc = ledger_key_load(&key, r->dir, err)) < 0 ||
		(rc = load_epochs(&epochs, r, ledger, key, err)) < 0 ||
		(rc = ledger_key_settle(&key, r->dir, log_epochs_last(&epochs), err)) < 0)
		goto out;
	struct ledger_heads_config hc = {
		.ledger_dir = ledger,
		.journal_dir = journal,
		.journal = r->journal,
		.master = &r->master,
		.clock = r->clock,
		.epochs = &epochs,
		.key = key,
		.io = o->journal_io,
	};
	if ((rc = ledger_heads_open(&r->heads, &hc, err)) == 0)
		key = NULL; /* theirs */
out:
	key_free(key);
	log_epochs_fini(&epochs);
	if (rc < 0)
		return rc;
	ledger_set_heads(r->ledger, r->heads);
	return note_epoch(r, err);
}

/* --- anchoring -------------------------------------------------------------------------------- */

#define ANSWER_WITHIN (10 * USEC_PER_SEC) /* beyond what the command may take */

static bool
latest(void *arg, struct log_head *ret)
{
	const struct relay *r = arg;

	return ledger_heads_latest(r->heads, ret);
}

static int64_t
on_anchors(void *arg, const char *what)
{
	struct relay *r = arg;
	struct msg_ledger_entry e = {.reason = what};

	return ledger_append_numbered(r->ledger, ENTRY_ALARM, &e, NULL);
}

int
heads_anchor(struct relay *r, const struct relay_options *o, struct hw_err *err)
{
	const char *file = r->config.anchor_file;
	char path[2100];

	if (file[0] == '/' || file[0] == '\0')
		snprintf(path, sizeof(path), "%s", file);
	else
		snprintf(path, sizeof(path), "%s/%s", r->path, file);
	const struct anchors_config c = {
		.loop = r->loop,
		.workers = r->workers,
		.log = &r->log,
		.file = path,
		.command = o->anchor_command > 0 ? o->anchor_command : -1,
		.every = r->config.anchor_seconds * USEC_PER_SEC,
		.patience = r->config.anchor_command_seconds * USEC_PER_SEC + ANSWER_WITHIN,
		.origin = ledger_heads_epochs(r->heads)->origin,
		.latest = latest,
		.on_change = on_anchors,
		.arg = r,
	};
	return anchors_new(&r->anchors, &c, err);
}

/* --- signing ---------------------------------------------------------------------------------- */

static void
run_sign(void *arg)
{
	struct relay *r = arg;

	(void)ledger_heads_make(r->heads, NULL); /* it keeps why it couldn't */
}

/* Once for all links, also of heads that somebody asked for. */
static void
show_latest(struct relay *r)
{
	char text[LOG_HEAD_MAX];
	struct log_head head;

	if (!ledger_heads_latest(r->heads, &head) ||
		(head.size == r->shown_size && head.time == r->shown_time))
		return;
	log_head_format(text, &head, ledger_heads_epochs(r->heads)->origin);
	broker_show_head(r->broker, text);
	r->shown_size = head.size;
	r->shown_time = head.time;
}

/* Entries are made all the same, and join the tree when there is room, or at the next start. */
static void
on_signed(void *arg)
{
	struct relay *r = arg;
	char why[LEDGER_HEADS_WHY_MAX];

	r->signing = false;
	show_latest(r);
	bool is_well = ledger_heads_well(r->heads, why);
	if (is_well == (r->heads_why[0] == '\0'))
		return;
	r->heads_why[0] = '\0';
	if (!is_well)
		snprintf(r->heads_why, sizeof(r->heads_why),
			"heads of the ledger cannot be signed: %s", why);
	struct msg_ledger_entry e = {
		.reason = is_well ? "heads of the ledger are signed again" : r->heads_why};
	int64_t entry = ledger_append_numbered(r->ledger, ENTRY_ALARM, &e, NULL);
	if (is_well)
		log_info(r, "heads.resumed", "why=%s%s", log_value(e.reason), ledger_pair(entry));
	else
		log_error(r, "heads.failed", "why=%s%s", log_value(why), ledger_pair(entry));
}

static void
on_sign(void *arg)
{
	struct relay *r = arg;

	show_latest(r);
	bool is_due = r->heads_why[0] != '\0' || ledger_heads_due(r->heads);
	if (is_due && !r->signing)
		r->signing = workers_submit(r->workers, run_sign, on_signed, r);
	loop_timer_start(r->loop, &r->sign, SIGN_EVERY);
}

void
heads_start(struct relay *r)
{
	show_latest(r);
	r->sign = (struct loop_timer){.fn = on_sign, .arg = r};
	loop_timer_start(r->loop, &r->sign, SIGN_EVERY);
	anchors_start(r->anchors);
}

void
heads_stop(struct relay *r)
{
	loop_timer_stop(r->loop, &r->sign);
	if (r->anchors != NULL)
		anchors_stop(r->anchors);
}

/* The ledger's files are closed with a head over all of it. */
void
heads_last(struct relay *r)
{
	struct hw_err err = HW_ERR_INIT;

	if (archiver_settle(r->archiver, &err) < 0 || ledger_heads_make(r->heads, &err) < 0)
		log_warn(r, "heads.unfinished", "why=%s", log_value(hw_err_text(&err)));
	anchors_last(r->anchors);
}
