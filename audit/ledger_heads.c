#include "audit/ledger_heads.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/head_file.h"
#include "audit/ledger.h"
#include "audit/tree.h"
#include "proto/base/arena.h"
#include "proto/trust/cert.h"

#define REFRESH	   (600 * USEC_PER_SEC) /* the age at which a head is signed again */
#define ARENA_MAX  (8 * JOURNAL_RECORD_MAX)
#define TRY_EVERY  (2 * USEC_PER_SEC) /* when the disk was full */
#define SYNC_EVERY 65536	      /* entries, when many are added at the start */
#define QUEUE_MAX  (256 * 1024 * 1024)

/*
 * `making` is held by who makes a head, over writes and syncs; `lock` for moments, also under the
 * journal's own lock.
 */
struct ledger_heads {
	struct journal *journal;
	const struct hw_clock *clock;
	struct log_epochs epochs;
	EVP_PKEY *key;

	pthread_mutex_t making;
	struct tree *tree;
	struct head_file *file;
	bool failed;
	int64_t next_try; /* on the monotonic clock, when the disk was full */

	pthread_mutex_t lock;
	struct buf queue; /* leaves, from entry `queued_from` on */
	uint64_t queued_from;
	struct log_head latest;
	bool has_latest;
	uint64_t filed;
	uint8_t chain[MERKLE_LEN];
	char why[LEDGER_HEADS_WHY_MAX]; /* "" while heads can be signed */
};

/* --- what comes in ---------------------------------------------------------------------------- */

static void
enqueue(struct ledger_heads *h, uint64_t sequence, const uint8_t leaf[MERKLE_LEN])
{
	uint64_t next = h->queued_from + h->queue.len / MERKLE_LEN;

	hw_assert(sequence == next || (h->queue.len > 0 && sequence + 1 == next));
	if (sequence != next)
		h->queue.len -= MERKLE_LEN;
	(void)buf_append(&h->queue, leaf, MERKLE_LEN); /* who takes from it sees the failure */
}

void
ledger_heads_take(struct ledger_heads *h, uint64_t sequence, const void *bytes, size_t n)
{
	uint8_t leaf[MERKLE_LEN];

	merkle_leaf(leaf, bytes, n);
	pthread_mutex_lock(&h->lock);
	if (!h->queue.failed)
		enqueue(h, sequence, leaf);
	pthread_mutex_unlock(&h->lock);
}

void
ledger_heads_filed(struct ledger_heads *h, uint64_t filed, const uint8_t chain[MERKLE_LEN])
{
	pthread_mutex_lock(&h->lock);
	h->filed = filed;
	memcpy(h->chain, chain, MERKLE_LEN);
	pthread_mutex_unlock(&h->lock);
}

/* --- making a head ---------------------------------------------------------------------------- */

/* Entries below `to` go from the queue into the tree. */
static int
grow_tree(struct ledger_heads *h, uint64_t to, struct hw_err *err)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (h->queue.failed)
		r = hw_err_set(err, HW_ENOMEM, "no memory for the ledger's tree");
	while (r == 0 && h->queued_from < to) {
		hw_assert(h->queue.len >= MERKLE_LEN);
		if (tree_append(h->tree, buf_data(&h->queue)) < 0)
			r = hw_err_set(err, HW_ENOMEM, "no memory for the ledger's tree");
		buf_consume(&h->queue, MERKLE_LEN);
		h->queued_from++;
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

static int
sign_head(struct ledger_heads *h, struct log_head *head, struct hw_err *err)
{
	int r;

	head->size = tree_size(h->tree);
	tree_root(h->tree, head->root);
	if ((r = tree_sync(h->tree, err)) < 0 ||
		(r = log_head_sign(head, h->epochs.origin, h->key, err)) < 0 ||
		(r = head_file_append(h->file, head, err)) < 0)
		return r;
	pthread_mutex_lock(&h->lock);
	h->latest = *head;
	h->has_latest = true;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static bool
is_new(const struct log_head *last, const struct log_head *head, uint64_t next)
{
	return last == NULL || next != last->size || head->filed != last->filed ||
		head->epoch != last->epoch || head->time - last->time >= REFRESH;
}

static int
make_head(struct ledger_heads *h, struct hw_err *err)
{
	struct log_head head = {
		.epoch = log_epochs_last(&h->epochs)->epoch, .time = clock_wall(h->clock)};
	const struct log_head *last = head_file_last(h->file);
	jpos end;
	int r;

	/* Before the mark: what is filed has a number below it. */
	pthread_mutex_lock(&h->lock);
	head.filed = h->filed;
	memcpy(head.chain, h->chain, MERKLE_LEN);
	pthread_mutex_unlock(&h->lock);
	uint64_t next = journal_ledger_mark(h->journal, &end);
	if (last != NULL && head.time < last->time)
		head.time = last->time;
	if (!is_new(last, &head, next))
		return 0;
	if (journal_wait(h->journal, end) < 0)
		return hw_err_set(err, HW_ERECORD, "the journal cannot be written");
	if ((r = grow_tree(h, next, err)) < 0)
		return r;
	return sign_head(h, &head, err);
}

/* What was not written is in the journal: the next start adds it. Nothing is queued until then. */
static void
stop(struct ledger_heads *h)
{
	h->failed = true;
	pthread_mutex_lock(&h->lock);
	buf_fini(&h->queue);
	h->queue.failed = true;
	pthread_mutex_unlock(&h->lock);
}

static void
set_why(struct ledger_heads *h, const char *why)
{
	pthread_mutex_lock(&h->lock);
	snprintf(h->why, sizeof(h->why), "%.*s", LEDGER_HEADS_WHY_MAX - 1, why);
	pthread_mutex_unlock(&h->lock);
}

/* A full disk is no end: what was not written is in memory, and goes when there is room. */
static int
try_head(struct ledger_heads *h)
{
	struct hw_err err = HW_ERR_INIT;
	int64_t now = clock_mono(h->clock);
	int r;

	if (h->failed)
		return HW_ERECORD;
	if (now < h->next_try)
		return HW_EFULL;
	if ((r = make_head(h, &err)) == HW_EFULL)
		h->next_try = now + TRY_EVERY;
	else if (r < 0)
		stop(h);
	set_why(h, r < 0 ? hw_err_text(&err) : "");
	return r == 0 || r == HW_EFULL ? r : HW_ERECORD;
}

int
ledger_heads_make(struct ledger_heads *h, struct hw_err *err)
{
	char why[LEDGER_HEADS_WHY_MAX];

	pthread_mutex_lock(&h->making);
	int r = try_head(h);
	pthread_mutex_unlock(&h->making);
	if (r < 0 && !ledger_heads_well(h, why))
		hw_err_set(err, r, "%s", why);
	return r;
}

bool
ledger_heads_well(struct ledger_heads *h, char why[LEDGER_HEADS_WHY_MAX])
{
	pthread_mutex_lock(&h->lock);
	memcpy(why, h->why, LEDGER_HEADS_WHY_MAX);
	pthread_mutex_unlock(&h->lock);
	return why[0] == '\0';
}

/* --- asking ----------------------------------------------------------------------------------- */

bool
ledger_heads_due(struct ledger_heads *h)
{
	jpos end;

	uint64_t next = journal_ledger_mark(h->journal, &end);
	int64_t now = clock_wall(h->clock);
	pthread_mutex_lock(&h->lock);
	bool due = !h->has_latest || next != h->latest.size || h->filed != h->latest.filed ||
		now - h->latest.time >= REFRESH;
	pthread_mutex_unlock(&h->lock);
	return due;
}

bool
ledger_heads_latest(struct ledger_heads *h, struct log_head *ret)
{
	pthread_mutex_lock(&h->lock);
	bool has = h->has_latest;
	if (has)
		*ret = h->latest;
	pthread_mutex_unlock(&h->lock);
	return has;
}

const struct log_epochs *
ledger_heads_epochs(const struct ledger_heads *h)
{
	return &h->epochs;
}

/* Whether a head was signed over so many; what it covers does not change any more. */
static int
check_size(struct ledger_heads *h, uint64_t size, struct hw_err *err)
{
	struct log_head latest = {.size = 0};

	(void)ledger_heads_latest(h, &latest);
	return size <= latest.size
		? 0
		: hw_err_set(err, HW_EVALIDATION,
			  "no head of %" PRIu64 " entries is signed: the newest has %" PRIu64, size,
			  latest.size);
}

int
ledger_heads_inclusion(struct ledger_heads *h, uint64_t index, uint64_t size,
	uint8_t leaf[MERKLE_LEN], uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n,
	struct hw_err *err)
{
	int r = check_size(h, size, err);

	if (r < 0)
		return r;
	if (index >= size)
		return hw_err_set(err, HW_EVALIDATION,
			"entry %" PRIu64 " is not among the first %" PRIu64, index, size);
	if ((r = tree_leaf(h->tree, index, leaf, err)) < 0)
		return r;
	return tree_inclusion(h->tree, index, size, proof, n, err);
}

int
ledger_heads_consistency(struct ledger_heads *h, uint64_t old_size, uint64_t size,
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n, struct hw_err *err)
{
	int r = check_size(h, size, err);

	if (r < 0)
		return r;
	if (old_size > size)
		return hw_err_set(err, HW_EVALIDATION,
			"a ledger of %" PRIu64 " entries does not begin with %" PRIu64, size,
			old_size);
	return tree_consistency(h->tree, old_size, size, proof, n, err);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* The tree as the last head has it. */
static int
open_tree(struct ledger_heads *h, const struct ledger_heads_config *c, struct hw_err *err)
{
	const struct log_head *last = head_file_last(h->file);
	uint64_t size = last != NULL ? last->size : 0, have = journal_ledger_next(c->journal);
	uint8_t root[MERKLE_LEN];
	int r;

	if (size > have)
		return hw_err_set(err, HW_ECORRUPT,
			"the ledger has %" PRIu64 " entries, but %" PRIu64
			" were signed: it was cut, or restored from an older copy; "
			"see hawser-relay recover --help",
			have, size);
	if ((r = tree_open(&h->tree, c->ledger_dir, size, c->io, err)) < 0)
		return r;
	tree_root(h->tree, root);
	if (last != NULL && memcmp(root, last->root, MERKLE_LEN) != 0)
		return hw_err_set(err, HW_ECORRUPT,
			"the ledger's tree of %" PRIu64 " entries is not the one that was signed: "
			"see hawser audit verify, and hawser-relay recover --help",
			size);
	return 0;
}

/* Entries that no head is over: each is signed from here on, so it must be the relay's own. Records
 * of the journal are all sealed; in the files some entries lie open, and anybody who may write
 * there could have added one. */
struct rest {
	struct arena *arena;
	struct ledger_reader *journal, *files;
	uint64_t kept; /* the first that the journal has */
};

/* 1 and the entry's leaf; 0: it is not there. */
static int
read_leaf(uint8_t leaf[MERKLE_LEN], struct ledger_reader *reader, struct arena *arena,
	struct hw_err *err)
{
	struct arena_mark mark = arena_mark(arena);
	struct msg_ledger_entry *entry;
	struct msg_bin bytes;

	int r = ledger_reader_next(reader, arena, &entry, &bytes, err);
	arena_release(arena, &mark);
	if (r == 1)
		memcpy(leaf, ledger_reader_leaf(reader), MERKLE_LEN);
	return r;
}

static int
add_next(struct ledger_heads *h, struct rest *rest, struct hw_err *err)
{
	uint8_t leaf[MERKLE_LEN], filed[MERKLE_LEN];
	uint64_t sequence = tree_size(h->tree);
	bool is_kept = sequence >= rest->kept;
	int in_journal = is_kept ? read_leaf(leaf, rest->journal, rest->arena, err) : 0;
	int in_files = in_journal < 0 ? 0 : read_leaf(filed, rest->files, rest->arena, err);

	if (in_journal < 0 || in_files < 0)
		return in_journal < 0 ? in_journal : in_files;
	if (in_journal == 0 && (is_kept || in_files == 0))
		return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " is missing",
			sequence);
	if (is_kept && in_files == 1 && memcmp(leaf, filed, MERKLE_LEN) != 0)
		return hw_err_set(err, HW_ECORRUPT,
			"ledger entry %" PRIu64 " in the ledger's files is not the journal's: "
			"it was never written by this relay",
			sequence);
	if (!is_kept)
		memcpy(leaf, filed, MERKLE_LEN);
	if (tree_append(h->tree, leaf) < 0)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's tree");
	return tree_size(h->tree) % SYNC_EVERY == 0 ? tree_sync(h->tree, err) : 0;
}

/* The archiver would take it for an entry that it has moved already, and pass over the true one.
 * What cannot be read there is the archiver's to cut, or to refuse. */
static int
check_end(struct rest *rest, uint64_t have, struct hw_err *err)
{
	uint8_t leaf[MERKLE_LEN];

	if (read_leaf(leaf, rest->files, rest->arena, NULL) != 1)
		return 0;
	return hw_err_set(err, HW_ECORRUPT,
		"the ledger's files have an entry %" PRIu64 ", which the journal never had", have);
}

static int
open_rest(struct rest *rest, const struct ledger_heads_config *c, uint64_t from, struct hw_err *err)
{
	struct journal_reader *journal;
	int r = journal_reader_open(&journal, c->journal_dir, c->master, 0, err);

	if (r < 0)
		return r;
	rest->kept = journal_reader_ledger_first(journal);
	journal_reader_close(journal);
	if ((rest->arena = arena_new(ARENA_MAX)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to read the ledger");
	if ((r = ledger_reader_open(&rest->files, c->ledger_dir, NULL, c->master, err)) < 0 ||
		(r = ledger_reader_open(&rest->journal, NULL, c->journal_dir, c->master, err)) < 0)
		return r;
	ledger_reader_seek(rest->files, from);
	ledger_reader_seek(rest->journal, from > rest->kept ? from : rest->kept);
	return 0;
}

static int
add_rest(struct ledger_heads *h, const struct ledger_heads_config *c, struct hw_err *err)
{
	uint64_t have = journal_ledger_next(c->journal);
	struct rest rest = {.arena = NULL};

	int r = open_rest(&rest, c, tree_size(h->tree), err);
	while (r == 0 && tree_size(h->tree) < have)
		r = add_next(h, &rest, err);
	if (r == 0)
		r = check_end(&rest, have, err);
	ledger_reader_close(rest.journal);
	ledger_reader_close(rest.files);
	arena_free(rest.arena);
	return r;
}

static int
take_up(struct ledger_heads *h, const struct ledger_heads_config *c, struct hw_err *err)
{
	const struct log_epoch *epoch = log_epochs_last(c->epochs);
	uint8_t public[LOG_KEY_LEN];
	int r;

	if ((r = log_key_public(public, c->key, err)) < 0)
		return r;
	if (memcmp(public, epoch->key, LOG_KEY_LEN) != 0)
		return hw_err_set(err, HW_ECORRUPT,
			"the ledger's key is not that of its epoch %" PRIu32, epoch->epoch);
	if ((r = head_file_open(&h->file, c->ledger_dir, c->io, err)) < 0 ||
		(r = open_tree(h, c, err)) < 0 || (r = add_rest(h, c, err)) < 0)
		return r;
	h->queued_from = tree_size(h->tree);
	return 0;
}

static void
show_last(struct ledger_heads *h)
{
	const struct log_head *last = head_file_last(h->file);
	const struct log_epoch *of;

	if (last == NULL || (of = log_epochs_find(&h->epochs, last->epoch)) == NULL)
		return;
	h->latest = *last;
	log_head_name_key(&h->latest, h->epochs.origin, of->key);
	h->has_latest = true;
	h->filed = last->filed;
	memcpy(h->chain, last->chain, MERKLE_LEN);
}

int
ledger_heads_open(struct ledger_heads **ret, const struct ledger_heads_config *config,
	struct hw_err *err)
{
	struct ledger_heads *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's heads");
	pthread_mutex_init(&h->making, NULL);
	pthread_mutex_init(&h->lock, NULL);
	buf_init(&h->queue, QUEUE_MAX);
	h->journal = config->journal;
	h->clock = config->clock;
	int r = take_up(h, config, err);
	if (r < 0) {
		ledger_heads_close(h);
		return r;
	}
	h->epochs = *config->epochs;
	*config->epochs = (struct log_epochs){.n = 0};
	h->key = config->key;
	show_last(h);
	*ret = h;
	return 0;
}

void
ledger_heads_close(struct ledger_heads *h)
{
	if (h == NULL)
		return;
	tree_close(h->tree);
	head_file_close(h->file);
	log_epochs_fini(&h->epochs);
	key_free(h->key);
	buf_fini(&h->queue);
	pthread_mutex_destroy(&h->making);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
