/* Appending and writing: what the loop's thread and the workers do. */
#include "audit/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/journal_private.h"

#define RESERVE	  "reserve"
#define LOW_WHY	  "the relay's disk is full"
#define KEEP_ROOM (4 * 1024 * 1024) /* a buffer that grew past this is given back once empty */

/* --- failure ---------------------------------------------------------------------------------- */

int
journal_fail(struct journal *j, const char *why)
{
	pthread_mutex_lock(&j->lock);
	atomic_store(&j->failed, true);
	bool first = !atomic_exchange(&j->reported, true);
	if (first)
		snprintf(j->why, sizeof(j->why), "the journal: %s", why);
	pthread_cond_broadcast(&j->done);
	pthread_cond_broadcast(&j->wake);
	pthread_mutex_unlock(&j->lock);
	if (first) {
		log_error(j, "journal.failed", "why=%s", log_value(why));
		if (j->config.on_failed != NULL)
			j->config.on_failed(j->config.arg, j->why); /* it changes no more */
	}
	return HW_ERECORD;
}

bool
journal_failed(const struct journal *j)
{
	return atomic_load(&j->failed);
}

void
journal_why(struct journal *j, char out[JOURNAL_WHY_MAX])
{
	pthread_mutex_lock(&j->lock);
	strcpy(out,
		j->why[0] != '\0'	 ? j->why
			: journal_low(j) ? LOW_WHY
					 : "the journal cannot be written");
	pthread_mutex_unlock(&j->lock);
}

/* --- appending -------------------------------------------------------------------------------- */

/* Under `lock`. */
static int
append_locked(struct journal *j, const struct journal_record *r, jpos *end)
{
	size_t n = FRAME_LEN(r->len);

	if (journal_failed(j))
		return HW_ERECORD;
	if (n > JOURNAL_BUFFER_MAX - j->active.len - j->writing)
		return HW_EFULL;
	uint8_t *to = buf_reserve(&j->active, n);
	if (to == NULL) {
		j->active.failed = false;
		return HW_ENOMEM;
	}
	int code = segment_frame_make(to, j->out.key, j->next, r);
	if (code < 0)
		return code;
	buf_commit(&j->active, n);
	j->next += n;
	j->stats.records++;
	j->stats.bytes += n;
	if (end != NULL)
		*end = j->next;
	if (j->thread_idle)
		pthread_cond_signal(&j->wake); /* it syncs within its delay from now on */
	return 0;
}

int
journal_append(struct journal *j, const struct journal_record *r, jpos *end)
{
	hw_assert(r->len <= JOURNAL_RECORD_MAX);
	hw_assert(r->type > JOURNAL_LEDGER && r->type <= JOURNAL_SCREEN);
	pthread_mutex_lock(&j->lock);
	int code = append_locked(j, r, end);
	pthread_mutex_unlock(&j->lock);
	return code;
}

int
journal_append_ledger(struct journal *j, uint8_t flags,
	int (*encode)(void *arg, uint64_t sequence, struct buf *out), void *arg, jpos *end)
{
	pthread_mutex_lock(&j->lock);
	buf_reset(&j->scratch);
	int code = journal_failed(j) ? HW_ERECORD : encode(arg, j->ledger_next, &j->scratch);
	if (code == 0) {
		const struct journal_record r = {
			.type = JOURNAL_LEDGER,
			.flags = flags,
			.offset = j->ledger_next,
			.time = clock_wall(j->config.clock),
			.bytes = buf_data(&j->scratch),
			.len = j->scratch.len,
		};
		code = append_locked(j, &r, end);
	}
	if (code == 0)
		j->ledger_next++;
	pthread_mutex_unlock(&j->lock);
	return code;
}

/* --- writing ---------------------------------------------------------------------------------- */

const int64_t journal_bounds[JOURNAL_BOUNDS] = {
	100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000};

void
journal_count_time(uint64_t within[JOURNAL_BOUNDS], int64_t usec)
{
	for (size_t i = 0; i < JOURNAL_BOUNDS; i++)
		if (usec <= journal_bounds[i]) {
			within[i]++;
			return;
		}
}

static void
count_write(struct journal *j, size_t n, int64_t usec)
{
	j->writing = 0;
	j->stats.writes++;
	j->stats.write_usec += usec;
	journal_count_time(j->stats.write_within, usec);
	if (usec > j->stats.write_max_usec)
		j->stats.write_max_usec = usec;
	atomic_fetch_add(&j->written, n);
}

int
journal_reserve_give(struct journal *j, struct hw_err *err)
{
	int r = 0;

	if (j->reserve_fd < 0)
		return HW_EFULL;
	pthread_mutex_lock(&j->reserve_lock);
	if (!journal_low(j)) {
		atomic_store(&j->low, true);
		atomic_store(&j->low_new, true);
		r = journal_io_reserve(j->config.io, j->reserve_fd, 0, err);
	}
	pthread_mutex_unlock(&j->reserve_lock);
	return r;
}

/* What a full disk has cut short goes on in the room that the reserve gives back. It is tried again
 * also when that was given already: who sets it aside anew may have held that room for a moment. */
static int
write_out(struct journal *j, const uint8_t *p, size_t n, struct hw_err *err)
{
	size_t done;
	int r = journal_io_write_some(j->config.io, j->out.fd, p, n, &done, err);

	if (r != HW_EFULL || journal_reserve_give(j, err) < 0)
		return r;
	return journal_io_write(j->config.io, j->out.fd, p + done, n - done, err);
}

int
journal_write_buffered(struct journal *j, bool held, struct hw_err *err)
{
	if (!held)
		pthread_mutex_lock(&j->lock);
	struct buf full = j->active;
	j->active = j->spare;
	j->spare = full;
	size_t n = j->writing = full.len;
	if (!held)
		pthread_mutex_unlock(&j->lock);
	if (n == 0)
		return 0;
	int64_t begin = clock_mono(j->config.clock);
	int r = write_out(j, buf_data(&full), n, err);
	int64_t usec = clock_mono(j->config.clock) - begin;
	buf_consume(&j->spare, n);
	if (j->spare.room > KEEP_ROOM)
		buf_fini(&j->spare);
	if (r < 0) {
		atomic_store(&j->failed, true); /* nothing may follow a write that was cut short */
		return r;
	}
	if (!held)
		pthread_mutex_lock(&j->lock);
	count_write(j, n, usec);
	if (!held)
		pthread_mutex_unlock(&j->lock);
	return 0;
}

int
journal_write(struct journal *j)
{
	struct hw_err err = HW_ERR_INIT;

	pthread_mutex_lock(&j->write_lock);
	int r = journal_failed(j) ? HW_ERECORD : journal_write_buffered(j, false, &err);
	pthread_mutex_unlock(&j->write_lock);
	if (r == 0)
		journal_tell_low(j);
	return r < 0 && r != HW_ERECORD ? journal_fail(j, hw_err_text(&err)) : r;
}

/* --- the reserve ------------------------------------------------------------------------------ */

bool
journal_low(const struct journal *j)
{
	return atomic_load(&j->low);
}

int
journal_reserve_make(struct journal *j, struct hw_err *err)
{
	if (j->config.reserve == 0)
		return 0;
	if (j->reserve_fd < 0)
		j->reserve_fd =
			openat(j->dir, RESERVE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->reserve_fd < 0)
		return hw_err_sys(err, "cannot make the journal's reserve");
	int r = journal_io_reserve(j->config.io, j->reserve_fd, j->config.reserve, err);
	if (r < 0) /* no half of one: others may need it */
		(void)journal_io_reserve(j->config.io, j->reserve_fd, 0, NULL);
	return r;
}

void
journal_tell_low(struct journal *j)
{
	if (!atomic_exchange(&j->low_new, false))
		return;
	log_error(j, "journal.low", "reserve=%zu", j->config.reserve);
	if (j->config.on_low != NULL)
		j->config.on_low(j->config.arg, LOW_WHY);
}

void
journal_reserve_again(struct journal *j)
{
	struct hw_err err = HW_ERR_INIT;
	int r = 0;

	pthread_mutex_lock(&j->reserve_lock);
	bool is_due = !journal_failed(j) && journal_low(j);
	if (is_due && (r = journal_reserve_make(j, &err)) == 0)
		atomic_store(&j->low, false);
	pthread_mutex_unlock(&j->reserve_lock);
	if (is_due && r == 0)
		log_info(j, "journal.recovered", "reserve=%zu", j->config.reserve);
}

bool
journal_recover(struct journal *j)
{
	if (!journal_failed(j) && journal_low(j) && !j->thread_runs) {
		journal_reserve_again(j);
	} else if (!journal_failed(j) && journal_low(j)) {
		pthread_mutex_lock(&j->lock);
		j->recover_wanted = j->sync_wanted = true;
		pthread_cond_signal(&j->wake);
		pthread_mutex_unlock(&j->lock);
	}
	return !journal_failed(j) && !journal_low(j);
}

/* --- asking ----------------------------------------------------------------------------------- */

jpos
journal_written(const struct journal *j)
{
	return atomic_load(&j->written);
}

jpos
journal_synced(const struct journal *j)
{
	return atomic_load(&j->synced);
}

size_t
journal_segment_size(const struct journal *j)
{
	return j->config.segment_size;
}

uint64_t
journal_ledger_next(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	uint64_t next = j->ledger_next;
	pthread_mutex_unlock(&j->lock);
	return next;
}

uint64_t
journal_ledger_mark(struct journal *j, jpos *end)
{
	pthread_mutex_lock(&j->lock);
	uint64_t next = j->ledger_next;
	*end = j->next;
	pthread_mutex_unlock(&j->lock);
	return next;
}

void
journal_stats(struct journal *j, struct journal_stats *ret)
{
	pthread_mutex_lock(&j->lock);
	*ret = j->stats;
	ret->buffered = j->active.len + j->writing;
	pthread_mutex_unlock(&j->lock);
}

/* --- dropping --------------------------------------------------------------------------------- */

int
journal_drop_below(struct journal *j, jpos pos, struct hw_err *err)
{
	char name[SEGMENT_NAME_LEN + 1];
	jpos *list;
	size_t n;

	int r = segment_list(&list, &n, j->dir, err);
	if (r < 0)
		return r;
	/* The oldest first: what a crash leaves has no hole. */
	for (size_t i = 0; r == 0 && i + 1 < n && list[i + 1] <= pos; i++) {
		segment_name(name, list[i]);
		if (unlinkat(j->dir, name, 0) < 0)
			r = hw_err_sys(err, "cannot drop %s", name);
		else
			log_debug(j, "journal.dropped", "segment=%s", name);
	}
	free(list);
	return r;
}
