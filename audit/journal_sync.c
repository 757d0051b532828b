/*
 * Syncing, and changing the segment: what the writer thread does.
 *
 * A segment is left in this order, so that neither a crash of the relay nor a power cut at any
 * point loses what was synced, or makes a whole journal look damaged:
 *   1. the next file is made under its temporary name, and synced with the directory;
 *   2. the old segment is synced, while appending goes on;
 *   3. under the locks, what came meanwhile is written to the old file, and the new one gets its
 * head: from here on records go there;
 *   4. the old segment is synced again, for good, and the new one, whose head must be there when
 * its name is; only then
 *   5. the new one gets its name, and the directory is synced; only then is anything in it reported
 *      as synced.
 * A file that still has its temporary name at the next start holds records that nobody was told are
 * on disk: they count when they fit to the old segment's end, and are cut when a power cut took
 * that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/journal_private.h"
#include "proto/base/file.h"

#define SYNC_DELAY_MSEC 50    /* for what nobody waits for */
#define IDLE_MSEC	30000 /* how often an idle thread looks at the segment's age */

/* --- segments --------------------------------------------------------------------------------- */

int
journal_segment_prepare(int *fd, struct secret_key *key, struct journal *j, struct hw_err *err)
{
	if (unlinkat(j->dir, SEGMENT_NEXT, 0) < 0 && errno != ENOENT)
		return hw_err_sys(err, "cannot remove %s", SEGMENT_NEXT);
	int got,
		r = journal_io_make(&got, j->config.io, j->dir, SEGMENT_NEXT, O_WRONLY | O_EXCL,
			err);
	if (r < 0)
		return r;
	if ((r = journal_io_sync(j->config.io, got, err)) == 0)
		r = journal_io_sync_dir(j->config.io, j->dir, err);
	if (r < 0) {
		fd_close(got);
		return r;
	}
	secret_key_random(key);
	*fd = got;
	return 0;
}

int
journal_segment_begin(struct journal *j, int fd, const struct secret_key *key, jpos first,
	uint64_t ledger_first, struct hw_err *err)
{
	const struct segment_head head = {first, ledger_first, clock_wall(j->config.clock)};
	uint8_t bytes[SEGMENT_HEAD_LEN];

	if (segment_head_make(bytes, &head, key, &j->wrap) < 0)
		return hw_err_set(err, HW_EINTERNAL, "cannot seal a segment's key");
	return journal_io_write(j->config.io, fd, bytes, sizeof(bytes), err);
}

int
journal_segment_publish(struct journal *j, jpos first, struct hw_err *err)
{
	char name[SEGMENT_NAME_LEN + 1];
	int r;

	segment_name(name, first);
	if ((r = journal_io_rename(j->config.io, j->dir, SEGMENT_NEXT, name, err)) < 0)
		return r;
	return journal_io_sync_dir(j->config.io, j->dir, err);
}

/* Step 3. *old is set once records go to the new segment. */
static int
switch_over(struct segment_out *old, struct journal *j, struct segment_out *fresh,
	const struct secret_key *key, struct hw_err *err)
{
	pthread_mutex_lock(&j->write_lock);
	pthread_mutex_lock(&j->lock);
	int r = journal_failed(j) ? HW_ERECORD : journal_write_buffered(j, true, err);
	if (r == 0)
		r = journal_segment_begin(j, fresh->fd, key, j->next, j->ledger_next, err);
	if (r == 0) {
		*old = j->out;
		fresh->first = j->next;
		j->out = *fresh;
	}
	pthread_mutex_unlock(&j->lock);
	pthread_mutex_unlock(&j->write_lock);
	return r;
}

static int
give_reserve(struct journal *j, struct hw_err *err)
{
	return journal_failed(j) ? HW_ERECORD : journal_reserve_give(j, err);
}

/* Steps 4 and 5. Even a name may need room on the disk, and here the new segment must get its own.
 */
static int
leave(struct journal *j, const struct segment_out *old, jpos end, struct hw_err *err)
{
	int r;

	if ((r = journal_io_sync(j->config.io, old->fd, err)) < 0 ||
		(r = journal_io_sync(j->config.io, j->out.fd, err)) < 0)
		return r;
	r = journal_segment_publish(j, end, err);
	if (r == HW_EFULL && !journal_low(j) && give_reserve(j, err) == 0)
		r = journal_segment_publish(j, end, err);
	return r;
}

/* The disk has no room for another segment, and nothing was switched: the journal is low, and goes
 * on in the one that it has. */
static int
put_off(struct journal *j, struct hw_err *err)
{
	(void)unlinkat(j->dir, SEGMENT_NEXT, 0);
	return give_reserve(j, err);
}

/* Under sync_lock, after a sync (step 2). */
static int
change_segment(struct journal *j, struct hw_err *err)
{
	struct segment_out old = {.fd = -1}, fresh = {.fd = -1};
	struct secret_key key;
	int r;

	if ((r = journal_segment_prepare(&fresh.fd, &key, j, err)) < 0)
		return r == HW_EFULL ? put_off(j, err) : r;
	fresh.opened = clock_mono(j->config.clock);
	if ((fresh.key = secret_stream_new(&key)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for a segment");
	else if ((r = switch_over(&old, j, &fresh, &key, err)) == 0)
		r = leave(j, &old, fresh.first, err);
	secret_key_wipe(&key);
	if (old.fd < 0 && r == HW_EFULL)
		r = put_off(j, err);
	if (old.fd < 0)
		old = fresh; /* nothing was switched: that one goes */
	fd_close(old.fd);
	secret_stream_free(old.key);
	return r;
}

static bool
is_time_to_change(struct journal *j)
{
	int64_t age = clock_mono(j->config.clock) - j->out.opened;

	pthread_mutex_lock(&j->lock);
	jpos held = j->next - j->out.first;
	pthread_mutex_unlock(&j->lock);
	if (journal_low(j))
		return false; /* a new one is room that last words may need */
	return held >= j->config.segment_size || (held > 0 && age >= j->config.segment_age);
}

/* --- syncing ---------------------------------------------------------------------------------- */

static int
sync_written(struct journal *j, struct hw_err *err)
{
	jpos pos = journal_written(j);

	if (pos == journal_synced(j))
		return 0;
	int64_t begin = clock_mono(j->config.clock);
	int r = journal_io_sync(j->config.io, j->out.fd, err);
	int64_t usec = clock_mono(j->config.clock) - begin;
	if (r < 0)
		return r;
	pthread_mutex_lock(&j->lock);
	j->stats.syncs++;
	j->stats.sync_usec += usec;
	journal_count_time(j->stats.sync_within, usec);
	if (usec > j->stats.sync_max_usec)
		j->stats.sync_max_usec = usec;
	atomic_store(&j->synced, pos);
	pthread_cond_broadcast(&j->done);
	pthread_mutex_unlock(&j->lock);
	return 0;
}

static int
round_locked(struct journal *j, struct hw_err *err)
{
	pthread_mutex_lock(&j->write_lock);
	int r = journal_failed(j) ? HW_ERECORD : journal_write_buffered(j, false, err);
	pthread_mutex_unlock(&j->write_lock);
	if (r == 0)
		r = sync_written(j, err);
	if (r == 0 && is_time_to_change(j))
		r = change_segment(j, err);
	if (r < 0)
		atomic_store(&j->failed, true); /* before anyone else can sync */
	return r;
}

int
journal_sync_round(struct journal *j)
{
	struct hw_err err = HW_ERR_INIT;

	pthread_mutex_lock(&j->sync_lock);
	jpos before = journal_synced(j);
	int r = round_locked(j, &err);
	jpos after = journal_synced(j);
	pthread_mutex_unlock(&j->sync_lock);
	if (after != before && j->config.on_synced != NULL)
		j->config.on_synced(j->config.arg, after);
	if (r == 0)
		journal_tell_low(j);
	if (r < 0 && err.code != HW_OK)
		journal_fail(j, hw_err_text(&err));
	return r;
}

void
journal_sync(struct journal *j)
{
	if (!j->thread_runs) {
		(void)journal_sync_round(j);
		return;
	}
	pthread_mutex_lock(&j->lock);
	j->sync_wanted = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

int
journal_wait(struct journal *j, jpos pos)
{
	if (journal_synced(j) >= pos)
		return 0;
	if (!j->thread_runs) {
		(void)journal_sync_round(j);
		return journal_synced(j) >= pos ? 0 : HW_ERECORD;
	}
	pthread_mutex_lock(&j->lock);
	hw_assert(pos <= j->next);
	j->sync_wanted = true;
	pthread_cond_signal(&j->wake);
	while (journal_synced(j) < pos && !journal_failed(j))
		pthread_cond_wait(&j->done, &j->lock);
	pthread_mutex_unlock(&j->lock);
	return journal_synced(j) >= pos ? 0 : HW_ERECORD;
}

int
journal_settle(struct journal *j)
{
	int r = journal_write(j);

	return r < 0 ? r : journal_wait(j, journal_written(j));
}

/* --- the thread ------------------------------------------------------------------------------- */

static void
add_msec(struct timespec *t, long msec)
{
	t->tv_sec += msec / 1000;
	t->tv_nsec += msec % 1000 * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

/* Until somebody wants a sync, or what nobody waits for has waited long enough. Under `lock`. */
static void
sleep_locked(struct journal *j)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	j->thread_idle = j->next == journal_synced(j);
	add_msec(&until, j->thread_idle ? IDLE_MSEC : SYNC_DELAY_MSEC);
	while (!j->sync_wanted && !j->stopping && !journal_failed(j)) {
		if (pthread_cond_timedwait(&j->wake, &j->lock, &until) == ETIMEDOUT)
			break;
		if (j->thread_idle && j->next != journal_synced(j)) {
			j->thread_idle = false;
			clock_gettime(CLOCK_MONOTONIC, &until);
			add_msec(&until, SYNC_DELAY_MSEC);
		}
	}
	j->thread_idle = false;
	j->sync_wanted = false;
}

void *
journal_thread(void *arg)
{
	struct journal *j = arg;

	pthread_setname_np(pthread_self(), "journal");
	pthread_mutex_lock(&j->lock);
	while (!j->stopping && !journal_failed(j)) {
		sleep_locked(j);
		bool recover = j->recover_wanted;
		j->recover_wanted = false;
		pthread_mutex_unlock(&j->lock);
		(void)journal_sync_round(j);
		if (recover)
			journal_reserve_again(j);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}
