/*
 * The archiver: follows the journal up to what is synced, hands each session's records to its
 * builder and ledger entries to the ledger's files, and drops journal segments whose content is on
 * disk elsewhere.
 *
 * What it has in memory is in the journal too: after a crash it reads the journal again from the
 * oldest segment, and each file says how far it has got.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "audit/archiver_private.h"

#define SLICE	     (4 * 1024 * 1024)	/* of the journal, between two looks at who waits */
#define MEMORY_MAX   (64 * 1024 * 1024) /* of all builders */
#define LEDGER_MAX   (1024 * 1024)	/* entries not yet on disk in the ledger's own files */
#define POLL_MSEC    100
#define TRY_FIRST    (2 * USEC_PER_SEC) /* when the disk was full; then twice that, and so on */
#define TRY_LAST     (16 * USEC_PER_SEC)
#define NICE	     10
#define SETTLE_TRIES 3
#define FILE_EVERY   USEC_PER_SEC	 /* the ledger's files are synced, when something waits */
#define MARK_BYTES   (8 * 1024 * 1024)	 /* of a live recording, between two checkpoints */
#define MARK_EVERY   (60 * USEC_PER_SEC) /* the same in time */
#define LOOK_EVERY   USEC_PER_SEC	 /* for recordings whose time has come */

/* --- failure ---------------------------------------------------------------------------------- */

/* What could not be written is still in the journal; but what a failed write or sync left on the
 * disk is not known before the files are read again. */
static int
fail(struct archiver *a, const struct hw_err *err)
{
	if (a->failed)
		return HW_ERECORD;
	a->failed = true;
	log_error(a, "archiver.failed", "why=%s", log_value(hw_err_text(err)));
	if (a->config.on_failed != NULL)
		a->config.on_failed(a->config.arg, hw_err_text(err));
	return HW_ERECORD;
}

/* There may be room again by itself, when others make some, or an operator does. */
static int
stall(struct archiver *a, const struct hw_err *err)
{
	a->try_after = a->try_after == 0 ? TRY_FIRST : 2 * a->try_after;
	if (a->try_after > TRY_LAST)
		a->try_after = TRY_LAST;
	a->next_try = clock_mono(a->config.clock) + a->try_after;
	a->stalled = true;
	if (a->told_stalled)
		return HW_ERECORD;
	a->told_stalled = true;
	log_error(a, "archiver.stalled", "why=%s", log_value(hw_err_text(err)));
	if (a->config.on_stalled != NULL)
		a->config.on_stalled(a->config.arg, hw_err_text(err));
	return HW_ERECORD;
}

/* What a cut write left is found as after a crash. */
static int
go_on(struct archiver *a, struct hw_err *err)
{
	if (clock_mono(a->config.clock) < a->next_try)
		return hw_err_set(err, HW_ERECORD, "recordings wait for room on the relay's disk");
	int r = archiver_take_up(a, err);
	if (r == HW_EFULL)
		return stall(a, err);
	if (r < 0)
		return fail(a, err);
	a->stalled = false;
	return 0;
}

/* --- sessions --------------------------------------------------------------------------------- */

static struct live_head *
bucket(struct archiver *a, uint64_t session)
{
	return &a->sessions[session % ARCHIVER_BUCKETS];
}

static struct live *
find(struct archiver *a, uint64_t session)
{
	struct live *l;

	LIST_FOREACH(l, bucket(a, session), next)
		if (builder_session(l->builder) == session)
			return l;
	return NULL;
}

static struct live *
find_id(struct archiver *a, const char *id)
{
	struct live *l;

	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		LIST_FOREACH(l, &a->sessions[i], next)
			if (strcmp(builder_id(l->builder), id) == 0)
				return l;
	return NULL;
}

/* Recordings that began together have their first checkpoint up to half a time apart, and keep that
 * distance: else each minute all of them were compressed, written and synced at once, while keys
 * wait for the same disk. */
static int64_t
head_start(const struct builder *b)
{
	return (int64_t)(builder_session(b) % (MARK_EVERY / 2));
}

int
archiver_add(struct archiver *a, struct builder *b, struct hw_err *err)
{
	struct live *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		builder_free(b);
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	}
	l->builder = b;
	/* `marked` is 0: what a crash left without a checkpoint gets one. */
	l->marked_time = clock_mono(a->config.clock) - head_start(b);
	l->is_late = recording_writer_complete(builder_file(b));
	a->late += l->is_late;
	LIST_INSERT_HEAD(bucket(a, builder_session(b)), l, next);
	return 0;
}

static void
remove_live(struct archiver *a, struct live *l)
{
	LIST_REMOVE(l, next);
	a->late -= l->is_late;
	a->held -= l->held;
	builder_free(l->builder);
	free(l);
}

void
archiver_remove_all(struct archiver *a)
{
	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		while (!LIST_EMPTY(&a->sessions[i]))
			remove_live(a, LIST_FIRST(&a->sessions[i]));
}

static void
count_held(struct archiver *a, struct live *l)
{
	a->held -= l->held;
	l->held = builder_held(l->builder);
	a->held += l->held;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

/* While the last life is read again it tells of none: what the journal has of a recording that was
 * deleted gets another key, and goes once the entry of its deletion comes. */
static void
tell_checkpoint(struct archiver *a, struct live *l)
{
	struct recording_writer *file = builder_file(l->builder);
	uint64_t size = recording_writer_size(file);

	if (a->config.on_checkpoint == NULL || a->at < a->replay_until || size == l->marked ||
		recording_writer_complete(file) || !recording_writer_on_disk(file))
		return;
	l->marked = size;
	l->marked_time = clock_mono(a->config.clock);
	a->config.on_checkpoint(a->config.arg, recording_writer_id(file),
		recording_writer_hash(file), size);
}

static void
checkpoint_by_size(struct archiver *a, struct live *l)
{
	if (recording_writer_size(builder_file(l->builder)) - l->marked >= MARK_BYTES)
		tell_checkpoint(a, l);
}

static int
checkpoint_by_time(struct archiver *a, struct live *l, int64_t now, struct hw_err *err)
{
	int r = 0;

	if (now - l->marked_time < MARK_EVERY)
		return 0;
	if (builder_waiting(l->builder) != UINT64_MAX) {
		r = builder_flush(l->builder, false, clock_wall(a->config.clock), err);
		count_held(a, l);
	}
	if (r == 0)
		tell_checkpoint(a, l);
	return r;
}

static int
look_for_checkpoints(struct archiver *a, struct hw_err *err)
{
	int64_t now = clock_mono(a->config.clock);
	struct live *l;
	int r = 0;

	if (a->config.on_checkpoint == NULL || now - a->looked_time < LOOK_EVERY)
		return 0;
	a->looked_time = now;
	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		LIST_FOREACH(l, &a->sessions[i], next)
			if ((r = checkpoint_by_time(a, l, now, err)) < 0)
				return r;
	return 0;
}

/* --- the end of a recording ------------------------------------------------------------------- */

/* One that the ledger does not know stays as it is: it is reported again, by the next start if the
 * journal has failed. */
static int
report(struct archiver *a, struct live *l, struct hw_err *err)
{
	struct recording_writer *file = builder_file(l->builder);

	if (l->is_reported || a->config.on_sealed == NULL)
		return 0;
	int r = a->config.on_sealed(a->config.arg, recording_writer_id(file),
		recording_writer_hash(file), recording_writer_size(file));
	if (journal_failed(a->config.journal))
		return hw_err_set(err, HW_ERECORD,
			"the journal failed before the end of %s was in the ledger",
			recording_writer_id(file));
	if (r < 0)
		return hw_err_set(err, HW_EFULL, "the ledger did not take the end of %s yet: %s",
			recording_writer_id(file), hw_code_name(r));
	l->is_reported = true;
	return 0;
}

int
archiver_set_aside(struct archiver *a, const char *id, struct hw_err *err)
{
	int r = recording_set_aside(&a->env.store, id, err);

	if (r == 1)
		log_warn(a, "archiver.aside", "session=%s why=%s", id,
			log_value("a recording of it was there, which is not this ledger's"));
	return r < 0 ? r : 0;
}

/* A complete recording is reported, and only then gets its final name: what has it is done with. */
static int
seal(struct archiver *a, struct live *l, struct hw_err *err)
{
	int r = report(a, l, err);

	if (r == 0 && (r = archiver_set_aside(a, builder_id(l->builder), err)) == 0)
		r = recording_writer_finish(builder_file(l->builder), err);
	if (r == 0)
		remove_live(a, l);
	return r;
}

static bool
is_finished(const struct archiver *a, const char *id)
{
	char name[RECORDING_NAME_MAX + 1];

	recording_file_name(name, id, true);
	return faccessat(a->env.store.dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
take_start(struct archiver *a, const struct journal_record *rec, jpos begin, jpos end,
	struct hw_err *err)
{
	struct builder *b;

	int r = builder_new(&b, &a->env, rec, begin, end, err);
	if (r == HW_EVALIDATION) {
		log_error(a, "archiver.refused", "session=%016" PRIx64 " why=%s", rec->session,
			log_value(hw_err_text(err)));
		return 0;
	}
	if (r < 0)
		return r;
	if (find_id(a, builder_id(b)) != NULL) {
		log_error(a, "archiver.refused", "session=%016" PRIx64 " why=%s", rec->session,
			log_value("another session has the same id"));
		builder_free(b);
		return 0;
	}
	if (is_finished(a, builder_id(b))) { /* before a crash */
		builder_free(b);
		return 0;
	}
	return archiver_add(a, b, err);
}

static int
take_session(struct archiver *a, const struct journal_record *rec, jpos begin, jpos end,
	struct hw_err *err)
{
	struct live *l = find(a, rec->session);
	int r;

	if (l == NULL) /* of a finished session, or a refused one */
		return rec->type == JOURNAL_SESSION_START ? take_start(a, rec, begin, end, err) : 0;
	if ((r = builder_take(l->builder, rec, begin, end, err)) < 0)
		return r;
	count_held(a, l);
	if (recording_writer_complete(builder_file(l->builder)) && !l->is_late) {
		if (a->at >= a->replay_until)
			return seal(a, l, err);
		/* An entry that was written before the start may say that it was sealed, or
		 * deleted. */
		l->is_late = true;
		a->late++;
	}
	checkpoint_by_size(a, l);
	return 0;
}

/* --- the ledger ------------------------------------------------------------------------------- */

/* What the entries of before a crash say of a recording that is complete: that it was reported, or
 * that it was deleted, and must not come back out of the journal. */
static int
heed_entry(struct archiver *a, const struct msg_ledger_entry *entry, struct hw_err *err)
{
	struct live *l = entry->session_id != NULL ? find_id(a, entry->session_id) : NULL;

	if (l == NULL || !l->is_late)
		return 0;
	if (strcmp(entry->kind, entry_kind_name(ENTRY_RECORDING_SEALED)) == 0)
		l->is_reported = true;
	if (strcmp(entry->kind, entry_kind_name(ENTRY_RECORDING_DELETED)) != 0)
		return 0;
	int r = recording_writer_discard(builder_file(l->builder), err);
	if (r == 0)
		remove_live(a, l);
	return r;
}

static int
look_for_report(struct archiver *a, const struct journal_record *rec, struct hw_err *err)
{
	struct arena *arena = arena_new(4 * JOURNAL_RECORD_MAX);
	void *msg;
	int r = 0;

	if (arena != NULL &&
		msg_decode(&msg, arena, MSG_ROW(ledger_entry), rec->bytes, rec->len, NULL) == 0)
		r = heed_entry(a, msg, err);
	arena_free(arena);
	return r;
}

void
archiver_tell_filed(struct archiver *a)
{
	uint8_t chain[MERKLE_LEN];
	uint64_t filed = ledger_writer_filed(a->ledger, chain);

	if (a->config.on_filed != NULL)
		a->config.on_filed(a->config.arg, filed, chain);
}

static int
sync_ledger(struct archiver *a, struct hw_err *err)
{
	int r = ledger_writer_sync(a->ledger, err);

	if (r < 0)
		return r;
	a->ledger_waiting = UINT64_MAX;
	a->filed_time = clock_mono(a->config.clock);
	archiver_tell_filed(a);
	return 0;
}

/* Heads say how far the files are, and without the master key no more than that can be checked. */
static int
file_entries(struct archiver *a, struct hw_err *err)
{
	bool due = a->ledger_waiting != UINT64_MAX &&
		clock_mono(a->config.clock) - a->filed_time >= FILE_EVERY;

	return due ? sync_ledger(a, err) : 0;
}

static int
take_ledger(struct archiver *a, const struct journal_record *rec, jpos begin, struct hw_err *err)
{
	uint64_t due = ledger_writer_next(a->ledger);
	int r;

	if (a->late > 0 && (r = look_for_report(a, rec, err)) < 0)
		return r;
	if (rec->offset < due)
		return 0;
	if (rec->offset > due)
		return hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " is missing", due);
	if ((r = ledger_writer_append(a->ledger, rec->bytes, rec->len, rec->flags, err)) < 0)
		return r;
	if (a->ledger_waiting == UINT64_MAX)
		a->ledger_waiting = begin;
	return ledger_writer_buffered(a->ledger) > LEDGER_MAX ? sync_ledger(a, err) : 0;
}

/* --- rounds ----------------------------------------------------------------------------------- */

static int
take(struct archiver *a, const struct journal_record *rec, jpos end, struct hw_err *err)
{
	jpos begin = end - FRAME_LEN(rec->len);
	jpos segment = journal_reader_segment(a->reader);

	a->segment = segment;
	return rec->type == JOURNAL_LEDGER ? take_ledger(a, rec, begin, err)
					   : take_session(a, rec, begin, end, err);
}

/* Some of what is synced: 1 when there is more. */
static int
read_slice(struct archiver *a, struct hw_err *err)
{
	jpos synced = journal_synced(a->config.journal), stop = a->at + SLICE;
	struct journal_record rec;
	jpos end;
	int r;

	while (a->at < synced && a->at < stop) {
		if ((r = journal_reader_next(a->reader, &rec, &end, err)) <= 0)
			return r; /* 0: in a segment that is being named this moment */
		if ((r = take(a, &rec, end, err)) < 0)
			return r;
		a->at = end;
	}
	return a->at < synced;
}

/* What was complete before the last crash, and of which no report was found. */
static int
seal_late(struct archiver *a, struct hw_err *err)
{
	struct live *l, *next;
	int r = 0;

	if (a->late == 0 || a->at < a->replay_until)
		return 0;
	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		for (l = LIST_FIRST(&a->sessions[i]); l != NULL && r == 0; l = next) {
			next = LIST_NEXT(l, next);
			if (l->is_late)
				r = seal(a, l, err);
		}
	return r;
}

/* Old segments shall go: puts on disk what keeps them. Input that is still unknown when so much has
 * come after it will stay so; how many segments that is says nothing, as each start makes one. */
static int
release_segments(struct archiver *a, struct hw_err *err)
{
	jpos long_ago = 2 * journal_segment_size(a->config.journal);
	struct live *l;
	int r = 0;

	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		LIST_FOREACH(l, &a->sessions[i], next) {
			jpos waiting = builder_waiting(l->builder);
			if (waiting >= a->segment)
				continue;
			if ((r = builder_flush(l->builder, a->at - waiting > long_ago,
				     clock_wall(a->config.clock), err)) < 0)
				return r;
			count_held(a, l);
		}
	return a->ledger_waiting < a->segment ? sync_ledger(a, err) : 0;
}

static int
drop_segments(struct archiver *a, struct hw_err *err)
{
	jpos keep = a->segment < a->ledger_waiting ? a->segment : a->ledger_waiting;
	struct live *l;

	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		LIST_FOREACH(l, &a->sessions[i], next)
			if (builder_waiting(l->builder) < keep)
				keep = builder_waiting(l->builder);
	if (a->late > 0 || keep <= a->dropped)
		return 0;
	int r = journal_drop_below(a->config.journal, keep, err);
	if (r == 0)
		a->dropped = keep;
	return r;
}

/* Sessions that hold most are written first. */
static int
release_memory(struct archiver *a, struct hw_err *err)
{
	int r = 0;

	while (r == 0 && a->held > MEMORY_MAX) {
		struct live *l, *most = NULL;
		for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
			LIST_FOREACH(l, &a->sessions[i], next)
				if (most == NULL || l->held > most->held)
					most = l;
		hw_assert(most != NULL);
		r = builder_flush(most->builder, true, 0, err);
		count_held(a, most);
	}
	return r;
}

/* That it goes on is not said before it has written all that it had when it took up again: reading
 * works on a full disk, too. */
static int
tell_resumed(struct archiver *a, struct hw_err *err)
{
	int r;

	if (!a->told_stalled || a->at < a->replay_until)
		return 0;
	if ((r = sync_ledger(a, err)) < 0)
		return r;
	a->told_stalled = false;
	a->try_after = 0;
	log_info(a, "archiver.resumed", "at=%" PRIu64, a->at);
	if (a->config.on_stalled != NULL)
		a->config.on_stalled(a->config.arg, NULL);
	return 0;
}

static int
slice_locked(struct archiver *a, struct hw_err *err)
{
	int more, r;

	if (a->failed)
		return HW_ERECORD;
	if (a->stalled && (r = go_on(a, err)) < 0)
		return r;
	if (journal_low(a->config.journal))
		return 0; /* what is left of the disk is the journal's */
	if ((more = r = read_slice(a, err)) >= 0)
		r = seal_late(a, err);
	if (r == 0)
		r = release_memory(a, err);
	if (r == 0 && a->dropped < a->segment) {
		r = release_segments(a, err);
		if (r == 0)
			r = drop_segments(a, err);
	}
	if (r == 0)
		r = file_entries(a, err);
	if (r == 0)
		r = look_for_checkpoints(a, err);
	if (r == 0)
		r = tell_resumed(a, err);
	if (r == HW_EFULL)
		return stall(a, err);
	return r < 0 ? fail(a, err) : more;
}

static int
run_locked(struct archiver *a, struct hw_err *err)
{
	jpos target = journal_synced(a->config.journal);
	int r;

	do {
		r = slice_locked(a, err);
	} while (r > 0 && a->at < target);
	return r < 0 ? r : 0;
}

int
archiver_run(struct archiver *a, struct hw_err *err)
{
	struct hw_err own = HW_ERR_INIT;

	pthread_mutex_lock(&a->lock);
	int r = run_locked(a, err != NULL ? err : &own);
	pthread_mutex_unlock(&a->lock);
	return r;
}

static int
settle_recordings(struct archiver *a, struct hw_err *err)
{
	struct live *l;
	int r;

	for (size_t i = 0; i < ARCHIVER_BUCKETS; i++)
		LIST_FOREACH(l, &a->sessions[i], next) {
			if (builder_waiting(l->builder) != UINT64_MAX &&
				(r = builder_flush(l->builder, false, 0, err)) < 0)
				return r;
			count_held(a, l);
			tell_checkpoint(a, l);
		}
	return 0;
}

/* A recording that completes, or has its checkpoint, is one more entry. */
int
archiver_settle(struct archiver *a, struct hw_err *err)
{
	struct hw_err own = HW_ERR_INIT;
	jpos end;
	int r = 0;

	if (err == NULL)
		err = &own;
	pthread_mutex_lock(&a->lock);
	for (int i = 0; i < SETTLE_TRIES && r == 0; i++) {
		(void)journal_ledger_mark(a->config.journal, &end);
		if ((r = journal_wait(a->config.journal, end)) == 0 &&
			(r = run_locked(a, err)) == 0 &&
			((r = settle_recordings(a, err)) < 0 || (r = sync_ledger(a, err)) < 0))
			r = fail(a, err);
		if (r < 0)
			break; /* it may have no files open */
		if (ledger_writer_next(a->ledger) == journal_ledger_next(a->config.journal))
			break;
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}

void
archiver_hold(struct archiver *a)
{
	atomic_fetch_add(&a->waiting, 1);
	pthread_mutex_lock(&a->lock);
}

void
archiver_release(struct archiver *a)
{
	pthread_mutex_unlock(&a->lock);
	atomic_fetch_sub(&a->waiting, 1);
}

static void
pause_locked(struct archiver *a, long msec)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += msec * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (!a->stopping)
		pthread_cond_timedwait(&a->wake, &a->lock, &until);
}

/* All that is synced now is taken, unless that takes too long. */
static int
catch_up_locked(struct archiver *a, struct hw_err *err)
{
	int64_t until = clock_mono(a->config.clock) + ARCHIVER_PATIENCE;
	jpos target = journal_synced(a->config.journal);
	int r;

	while ((r = slice_locked(a, err)) >= 0 && a->at < target) {
		bool stands = journal_low(a->config.journal) || (r == 0 && !a->thread_runs);
		if (stands || clock_mono(a->config.clock) >= until)
			return hw_err_set(err, HW_EUNAVAILABLE,
				"the relay has not written all of it yet: %s",
				journal_low(a->config.journal) ? "its disk is full"
							       : "it has much to write");
		if (r == 0 || atomic_load(&a->waiting) > 1)
			pause_locked(a, 1); /* in a segment that is being named; others' turn */
	}
	return r < 0 ? r : 0;
}

int
archiver_flush(struct archiver *a, const char *session_id, struct hw_err *err)
{
	struct hw_err own = HW_ERR_INIT;
	struct live *l;

	if (err == NULL)
		err = &own;
	atomic_fetch_add(&a->waiting, 1);
	pthread_mutex_lock(&a->lock);
	int r = catch_up_locked(a, err);
	if (r == 0 && (l = find_id(a, session_id)) != NULL) {
		if ((r = builder_flush(l->builder, false, clock_wall(a->config.clock), err)) < 0)
			r = r == HW_EFULL ? stall(a, err) : fail(a, err);
		count_held(a, l);
	}
	pthread_mutex_unlock(&a->lock);
	atomic_fetch_sub(&a->waiting, 1);
	return r;
}

const struct box_readers *
archiver_auditors(const struct archiver *a)
{
	return &a->env.auditors;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void *
thread_main(void *arg)
{
	struct archiver *a = arg;
	struct hw_err err = HW_ERR_INIT;

	pthread_setname_np(pthread_self(), "archiver");
	/* Of this thread alone, on Linux. It is no matter if it can't. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	pthread_mutex_lock(&a->lock);
	while (!a->stopping && !a->failed) {
		int r = slice_locked(a, &err);
		if (r == 0 || (r < 0 && a->stalled))
			pause_locked(a, POLL_MSEC);
		else if (atomic_load(&a->waiting) > 0)
			pause_locked(a, 1); /* the lock goes to who waits for it */
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int
archiver_start(struct archiver *a, struct hw_err *err)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&a->thread, NULL, thread_main, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	a->thread_runs = e == 0;
	return e == 0
		? 0
		: hw_err_set(err, HW_ESYS, "cannot start the archiver's thread: %s", strerror(e));
}

void
archiver_free(struct archiver *a)
{
	if (a == NULL)
		return;
	if (a->thread_runs) {
		pthread_mutex_lock(&a->lock);
		a->stopping = true;
		pthread_cond_signal(&a->wake);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
	}
	archiver_destroy(a);
}
