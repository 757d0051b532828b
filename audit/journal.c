/* Appending and writing: what the loop's thread and the workers do. */
#include "audit/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/journal_private.h"

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
		log_error(j, "journal.failed", "why=%s", why);
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
	strcpy(out, j->why[0] != '\0' ? j->why : "the journal cannot be written");
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
journal_append_ledger(struct journal *j,
	int (*encode)(void *arg, uint64_t sequence, struct buf *out), void *arg, jpos *end)
{
	pthread_mutex_lock(&j->lock);
	buf_reset(&j->scratch);
	int code = journal_failed(j) ? HW_ERECORD : encode(arg, j->ledger_next, &j->scratch);
	if (code == 0) {
		const struct journal_record r = {
			.type = JOURNAL_LEDGER,
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

static void
count_write(struct journal *j, size_t n, int64_t usec)
{
	j->writing = 0;
	j->stats.writes++;
	j->stats.write_usec += usec;
	if (usec > j->stats.write_max_usec)
		j->stats.write_max_usec = usec;
	atomic_fetch_add(&j->written, n);
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
	int r = journal_io_write(j->config.io, j->out.fd, buf_data(&full), n, err);
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
	return r < 0 && r != HW_ERECORD ? journal_fail(j, hw_err_text(&err)) : r;
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
