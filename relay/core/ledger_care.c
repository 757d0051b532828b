#include "relay/core/ledger_care.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/head_file.h"
#include "audit/journal.h"
#include "audit/ledger.h"
#include "audit/ledger_epochs.h"
#include "audit/ledger_file.h"
#include "audit/ledger_heads.h"
#include "audit/ledger_keys.h"
#include "audit/search_index.h"
#include "audit/tree.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"
#include "relay/core/held.h"

#define ARENA_MAX  (8 * JOURNAL_RECORD_MAX)
#define SYNC_EVERY 65536

static int
load_master(struct held *h, const struct ledger_care *c, struct hw_err *err)
{
	const char *name = c->master_key != NULL ? c->master_key : h->config.master_key;
	char path[2200];

	if (name[0] == '/' || c->master_key != NULL)
		return secret_key_load(&h->master, name, err);
	snprintf(path, sizeof(path), "%s/%s", c->dir, name);
	return secret_key_load(&h->master, path, err);
}

/* --- another key ------------------------------------------------------------------------------ */

/* The new key is on disk before the statement that names it, and takes its place after: at every
 * point in between a start finds the key of the last epoch. */
static int
begin_epoch(struct held *h, struct log_epoch *next, EVP_PKEY *signer, struct hw_err *err)
{
	EVP_PKEY *fresh = NULL;
	int r;

	next->time = clock_wall(&hw_clock_system);
	if (next->time < log_epochs_last(&h->epochs)->time)
		next->time = log_epochs_last(&h->epochs)->time;
	if ((r = key_generate_signing(&fresh, err)) == 0 &&
		(r = log_key_public(next->key, fresh, err)) == 0 &&
		(r = key_save(fresh, h->dir, LEDGER_KEY_NEXT_FILE, err)) == 0 &&
		(r = ledger_epochs_add(h->ledger, &h->epochs, next, signer, err)) == 0 &&
		(renameat(h->dir, LEDGER_KEY_NEXT_FILE, h->dir, LEDGER_KEY_FILE) < 0 ||
			fsync(h->dir) < 0))
		r = hw_err_sys(err, "cannot put %s in place", LEDGER_KEY_FILE);
	key_free(fresh);
	return r;
}

/* Where the last head stands: the rest is the new key's to sign. Of an epoch that has signed
 * nothing yet, as after a recovery, that is where it begins. */
static int
from_last_head(struct log_epoch *next, struct held *h, struct hw_err *err)
{
	const struct log_epoch *epoch = log_epochs_last(&h->epochs);
	struct head_file *heads;
	int r = head_file_open(&heads, h->ledger, NULL, err);

	if (r < 0)
		return r;
	const struct log_head *last = head_file_last(heads);
	bool is_ahead = last != NULL && last->size > epoch->size;
	next->size = is_ahead ? last->size : epoch->size;
	memcpy(next->root, is_ahead ? last->root : epoch->root, MERKLE_LEN);
	head_file_close(heads);
	return 0;
}

static int
name_recovery(struct log_epoch *next, const struct log_epoch *last, const char *path,
	struct hw_err *err)
{
	next->has_recovery = last->has_recovery;
	memcpy(next->recovery, last->recovery, LOG_KEY_LEN);
	if (path == NULL)
		return 0;
	if (last->has_recovery)
		return hw_err_set(err, HW_EEXISTS,
			"the ledger has a recovery key, which only itself can replace");
	next->has_recovery = true;
	return ledger_recovery_create(next->recovery, path, err);
}

static int
rotate(struct held *h, const char *recovery_key, struct hw_err *err)
{
	const struct log_epoch *last = log_epochs_last(&h->epochs);
	struct log_epoch next = {.by = LOG_BY_LEDGER};
	EVP_PKEY *old = NULL;
	int r;

	if ((r = ledger_key_load(&old, h->dir, err)) == 0 &&
		(r = ledger_key_settle(&old, h->dir, last, err)) == 0 &&
		(r = from_last_head(&next, h, err)) == 0 &&
		(r = name_recovery(&next, last, recovery_key, err)) == 0)
		r = begin_epoch(h, &next, old, err);
	key_free(old);
	return r;
}

int
ledger_care_rotate(uint32_t *epoch, const struct ledger_care *c, const char *recovery_key,
	struct hw_err *err)
{
	struct held h;

	int r = held_open(&h, c->dir, err);
	if (r == 0 && (r = rotate(&h, recovery_key, err)) == 0)
		*epoch = log_epochs_last(&h.epochs)->epoch + 1;
	held_close(&h);
	return r;
}

/* --- recovering ------------------------------------------------------------------------------- */

static int
add_leaf(struct tree *tree, const uint8_t leaf[MERKLE_LEN], struct hw_err *err)
{
	int r = tree_append(tree, leaf);

	if (r < 0)
		return hw_err_set(err, r, "no memory for the ledger's tree");
	return tree_size(tree) % SYNC_EVERY == 0 ? tree_sync(tree, err) : 0;
}

/* The tree as the entries are, whatever it was before; NULL: only reads them. */
static int
rebuild(struct tree *tree, struct held *h, struct hw_err *err)
{
	struct arena *arena = arena_new(ARENA_MAX);
	struct ledger_reader *reader = NULL;
	struct msg_ledger_entry *entry;
	struct msg_bin bytes;
	int r;

	if (arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to read the ledger");
	r = ledger_reader_open(&reader, h->ledger, h->journal, &h->master, err);
	while (r >= 0) {
		struct arena_mark mark = arena_mark(arena);
		r = ledger_reader_next(reader, arena, &entry, &bytes, err);
		arena_release(arena, &mark);
		if (r <= 0)
			break;
		if (tree != NULL)
			r = add_leaf(tree, ledger_reader_leaf(reader), err);
	}
	ledger_reader_close(reader);
	arena_free(arena);
	return r < 0 || tree == NULL ? r : tree_sync(tree, err);
}

/* Heads over more than there is, or over something else, are set aside. */
static int
fit_heads(const struct tree *tree, struct held *h, struct hw_err *err)
{
	uint8_t root[MERKLE_LEN];
	struct head_file *heads;
	char from[1200], aside[1200];
	bool fits = false;

	int r = head_file_open(&heads, h->ledger, NULL, err);
	if (r == 0) {
		if ((r = head_file_cut(heads, tree_size(tree), err)) == 0) {
			const struct log_head *last = head_file_last(heads);
			fits = last == NULL ||
				(tree_root_at(tree, last->size, root, NULL) == 0 &&
					memcmp(root, last->root, MERKLE_LEN) == 0);
		}
		head_file_close(heads);
	}
	if (fits || (r < 0 && r != HW_ECORRUPT))
		return r;
	snprintf(from, sizeof(from), "%s/heads", h->ledger);
	snprintf(aside, sizeof(aside), "%s/heads.before-epoch-%" PRIu32, h->ledger,
		log_epochs_last(&h->epochs)->epoch + 1);
	return rename(from, aside) < 0 ? hw_err_sys(err, "cannot set %s aside", from) : 0;
}

static int
recover(uint64_t *size, struct held *h, EVP_PKEY *recovery, struct hw_err *err)
{
	const struct log_epoch *last = log_epochs_last(&h->epochs);
	struct log_epoch next = {.by = LOG_BY_RECOVERY};
	uint8_t public[LOG_KEY_LEN];
	struct tree *tree = NULL;
	int r;

	if (!last->has_recovery)
		return hw_err_set(err, HW_EVALIDATION,
			"this ledger has no recovery key: hawser-relay rotate-ledger-key --recovery-key FILE makes one");
	if ((r = log_key_public(public, recovery, err)) < 0)
		return r;
	if (memcmp(public, last->recovery, LOG_KEY_LEN) != 0)
		return hw_err_set(err, HW_EDENIED, "that is not the ledger's recovery key");
	next.has_recovery = true;
	memcpy(next.recovery, public, LOG_KEY_LEN);
	/* What there is of the tree goes only when all that another is made of can be read. */
	if ((r = rebuild(NULL, h, err)) == 0 &&
		(r = tree_open(&tree, h->ledger, 0, NULL, err)) == 0 &&
		(r = rebuild(tree, h, err)) == 0 && (r = fit_heads(tree, h, err)) == 0) {
		next.size = *size = tree_size(tree);
		tree_root(tree, next.root);
		r = begin_epoch(h, &next, recovery, err);
	}
	tree_close(tree);
	return r;
}

int
ledger_care_recover(uint32_t *epoch, uint64_t *size, const struct ledger_care *c,
	const char *recovery_key, struct hw_err *err)
{
	EVP_PKEY *recovery = NULL;
	struct held h;

	int r = held_open(&h, c->dir, err);
	if (r == 0 && (r = load_master(&h, c, err)) == 0 &&
		(r = ledger_recovery_load(&recovery, recovery_key, err)) == 0 &&
		(r = recover(size, &h, recovery, err)) == 0)
		*epoch = log_epochs_last(&h.epochs)->epoch + 1;
	key_free(recovery);
	held_close(&h);
	return r;
}

/* --- erasing ---------------------------------------------------------------------------------- */

/* What the journal has would stay readable there. */
static int
check_journal(const struct held *h, uint64_t entry, struct hw_err *err)
{
	struct journal_reader *reader;

	int r = journal_reader_open(&reader, h->journal, &h->master, 0, err);
	if (r < 0)
		return r;
	uint64_t first = journal_reader_ledger_first(reader);
	journal_reader_close(reader);
	if (entry < first)
		return 0;
	return hw_err_set(err, HW_EVALIDATION,
		"entry %" PRIu64 " is still in the journal, which begins with %" PRIu64
		": start and stop the relay twice, or ask again in two hours",
		entry, first);
}

static int
check_entry(const struct held *h, uint64_t entry, struct hw_err *err)
{
	struct arena *arena = arena_new(ARENA_MAX);
	struct ledger_reader *reader = NULL;
	struct msg_ledger_entry *e;
	struct msg_bin bytes;
	int r;

	if (arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to read the ledger");
	if ((r = ledger_reader_open(&reader, h->ledger, h->journal, &h->master, err)) == 0) {
		ledger_reader_seek(reader, entry);
		r = ledger_reader_next(reader, arena, &e, &bytes, err);
	}
	if (r == 0)
		r = hw_err_set(err, HW_ENOTFOUND, "the ledger has no entry %" PRIu64, entry);
	for (int k = 0; r == 1 && k < ENTRY_KINDS; k++)
		if (ledger_kind_open((enum entry_kind)k) &&
			strcmp(e->kind, entry_kind_name((enum entry_kind)k)) == 0)
			r = hw_err_set(err, HW_EVALIDATION,
				"entry %" PRIu64
				" is a %s: it holds hashes and names alone, and proves others",
				entry, e->kind);
	ledger_reader_close(reader);
	arena_free(arena);
	return r < 0 ? r : 0;
}

/* Entries of the journal that the files don't have yet. */
static int
file_rest(struct ledger_writer *files, struct journal_reader *reader, struct hw_err *err)
{
	struct journal_record rec;
	jpos end;
	int r;

	while ((r = journal_reader_next(reader, &rec, &end, err)) == 1) {
		if (rec.type != JOURNAL_LEDGER || rec.offset < ledger_writer_next(files))
			continue;
		if (rec.offset > ledger_writer_next(files))
			return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " is missing",
				ledger_writer_next(files));
		if ((r = ledger_writer_append(files, rec.bytes, rec.len, rec.flags, err)) < 0)
			return r;
	}
	return r < 0 ? r : ledger_writer_sync(files, err);
}

/* Puts all entries into the ledger's files, where who has no master key reads those that lie open.
 */
static int
file_entries(const struct held *h, struct ledger_heads *heads, struct hw_err *err)
{
	struct ledger_writer *files = NULL;
	struct journal_reader *reader;
	uint8_t chain[MERKLE_LEN];

	int r = journal_reader_open(&reader, h->journal, &h->master, 0, err);
	if (r < 0)
		return r;
	r = ledger_writer_open(&files, h->ledger, &h->master, journal_reader_ledger_first(reader),
		NULL, err);
	if (r == 0 && (r = file_rest(files, reader, err)) == 0) {
		uint64_t filed = ledger_writer_filed(files, chain);
		ledger_heads_filed(heads, filed, chain);
	}
	journal_reader_close(reader);
	if (files != NULL)
		ledger_writer_close(files);
	return r;
}

static int
open_heads(struct ledger_heads **ret, struct held *h, struct journal *journal, struct hw_err *err)
{
	struct ledger_heads_config c = {.ledger_dir = h->ledger,
		.journal_dir = h->journal,
		.journal = journal,
		.master = &h->master,
		.clock = &hw_clock_system,
		.epochs = &h->epochs};
	int r;

	if ((r = ledger_key_load(&c.key, h->dir, err)) == 0 &&
		(r = ledger_key_settle(&c.key, h->dir, log_epochs_last(&h->epochs), err)) == 0)
		r = ledger_heads_open(ret, &c, err);
	if (r < 0)
		key_free(c.key);
	return r;
}

/* The entry that says so is in the files, and under a head, before anything is erased: whoever
 * verifies the directory after that finds it. */
static int
note_in(struct held *h, struct journal *journal, const struct msg_ledger_entry *e,
	struct hw_err *err)
{
	struct ledger *ledger = ledger_new(journal, h->config.name, &hw_clock_system);
	struct ledger_heads *heads = NULL;
	int r;

	if (ledger == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger");
	if ((r = open_heads(&heads, h, journal, err)) == 0) {
		ledger_set_heads(ledger, heads);
		r = ledger_commit(ledger, ENTRY_ENTRY_ERASED, e);
		if (r < 0)
			hw_err_set(err, r, "the ledger cannot be written, so nothing is erased");
		else if ((r = file_entries(h, heads, err)) == 0)
			r = ledger_heads_make(heads, err);
	}
	ledger_free(ledger);
	ledger_heads_close(heads);
	return r;
}

static int
note_erasing(struct held *h, uint64_t entry, const char *who, const char *reason,
	struct hw_err *err)
{
	const struct journal_config jc = {
		.dir = h->journal, .clock = &hw_clock_system, .master = &h->master};
	const struct msg_ledger_entry e = {
		.principal = who, .reason = reason, .source = "local", .size = (int64_t)entry};
	struct journal *journal;

	int r = journal_open(&journal, &jc, NULL, err);
	if (r == 0) {
		r = note_in(h, journal, &e, err);
		journal_close(journal);
	}
	return r;
}

int
ledger_care_erase(const struct ledger_care *c, uint64_t entry, const char *who, const char *reason,
	struct hw_err *err)
{
	struct held h;

	int r = held_open(&h, c->dir, err);
	if (r == 0 && (r = load_master(&h, c, err)) == 0 &&
		(r = check_entry(&h, entry, err)) == 0 &&
		(r = check_journal(&h, entry, err)) == 0 &&
		(r = note_erasing(&h, entry, who, reason, err)) == 0 &&
		(r = search_index_discard(h.dir, err)) == 0)
		r = ledger_files_erase(h.ledger, entry, &h.master, err);
	held_close(&h);
	return r;
}
