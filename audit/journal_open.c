/* Opening: what the last life left is checked and repaired, then a new segment begins. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/journal_private.h"
#include "proto/base/file.h"

#define SEGMENT_SIZE (64 * 1024 * 1024)
#define SEGMENT_AGE  (3600 * USEC_PER_SEC)

/* What was found so far: where the next record goes, and what had to be cut. */
struct found {
	jpos end;
	uint64_t ledger_next, cut;
};

/* --- checking --------------------------------------------------------------------------------- */

/* Reads all records; *next says how the segment ends. */
static int
scan(struct found *f, struct segment *s, enum segment_next *next, struct hw_err *err)
{
	struct journal_record rec;
	int r;

	while ((r = segment_next(s, &rec, err)) == SEGMENT_RECORD)
		if (rec.type == JOURNAL_LEDGER && rec.offset != f->ledger_next++)
			return hw_err_set(err, HW_ECORRUPT,
				"journal position %" PRIu64 ": ledger entry %" PRIu64
				" where %" PRIu64 " is due",
				segment_at(s), rec.offset, f->ledger_next - 1);
	if (r < 0)
		return r;
	f->end = segment_at(s);
	*next = r;
	return 0;
}

static int
cut_tail(struct found *f, struct journal *j, const char *name, jpos first, struct hw_err *err)
{
	off_t keep = (off_t)(SEGMENT_HEAD_LEN + (f->end - first));
	struct stat st;
	int r = 0;

	int fd = openat(j->dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = hw_err_sys(err, "cannot repair %s", name);
	} else if (st.st_size > keep) {
		f->cut += (uint64_t)(st.st_size - keep);
		log_warn(j, "journal.cut", "segment=%s offset=%lld bytes=%lld", name,
			(long long)keep, (long long)(st.st_size - keep));
		if (ftruncate(fd, keep) < 0)
			r = hw_err_sys(err, "cannot cut %s", name);
	}
	/* Records that only the page cache had are about to be built upon. */
	if (r == 0)
		r = journal_io_sync(j->config.io, fd, err);
	fd_close(fd);
	return r;
}

/* A segment that has its name. */
static int
check_segment(struct found *f, struct journal *j, jpos first, bool is_oldest, bool is_last,
	struct hw_err *err)
{
	char name[SEGMENT_NAME_LEN + 1];
	struct segment *s;
	enum segment_next next = SEGMENT_END;
	int r;

	segment_name(name, first);
	if ((r = segment_open(&s, j->dir, name, &j->wrap, err)) < 0)
		return r;
	const struct segment_head *head = segment_head(s);
	if (is_oldest)
		*f = (struct found){first, head->ledger_first, 0};
	if (head->first != first || head->first != f->end || head->ledger_first != f->ledger_next)
		r = hw_err_set(err, HW_ECORRUPT,
			"%s does not follow on the segment before it, which ends at %" PRIu64
			" with ledger entry %" PRIu64,
			name, f->end, f->ledger_next);
	else
		r = scan(f, s, &next, err);
	if (r == 0 && next == SEGMENT_TORN && !is_last)
		r = hw_err_set(err, HW_ECORRUPT,
			"%s: no record at byte %" PRIu64 ", but other segments follow", name,
			SEGMENT_HEAD_LEN + (f->end - first));
	segment_close(s);
	return r == 0 && is_last ? cut_tail(f, j, name, first, err) : r;
}

/* A segment that was begun, but not yet named: see journal_sync.c. */
static int
check_next(struct found *f, struct journal *j, struct hw_err *err)
{
	struct segment *s = NULL;
	struct stat st;
	enum segment_next next;
	struct found with;
	jpos first = 0;

	if (fstatat(j->dir, SEGMENT_NEXT, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot look at %s", SEGMENT_NEXT);
	int r = segment_open(&s, j->dir, SEGMENT_NEXT, &j->wrap, NULL);
	bool follows = r == 0 && f->cut == 0 && segment_head(s)->first == f->end &&
		segment_head(s)->ledger_first == f->ledger_next;
	if (follows) {
		with = *f;
		first = f->end;
		r = scan(&with, s, &next, err);
	}
	segment_close(s);
	if (!follows) {
		if (st.st_size > SEGMENT_HEAD_LEN) {
			f->cut += (uint64_t)(st.st_size - SEGMENT_HEAD_LEN);
			log_warn(j, "journal.cut", "segment=%s bytes=%lld", SEGMENT_NEXT,
				(long long)(st.st_size - SEGMENT_HEAD_LEN));
		}
		return unlinkat(j->dir, SEGMENT_NEXT, 0) < 0
			? hw_err_sys(err, "cannot remove %s", SEGMENT_NEXT)
			: 0;
	}
	if (r < 0)
		return r;
	*f = with;
	if ((r = cut_tail(f, j, SEGMENT_NEXT, first, err)) < 0)
		return r;
	return journal_segment_publish(j, first, err);
}

static int
check(struct found *f, struct journal *j, struct hw_err *err)
{
	jpos *list = NULL;
	size_t n = 0;

	int r = segment_list(&list, &n, j->dir, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = check_segment(f, j, list[i], i == 0, i == n - 1, err);
	if (r == 0)
		r = check_next(f, j, err);
	free(list);
	return r;
}

/* --- beginning -------------------------------------------------------------------------------- */

/* Always a new segment: in the old one the positions that were cut off would be used a second time
 * as nonces of the same key. */
static int
begin(struct journal *j, const struct found *f, struct hw_err *err)
{
	struct secret_key key;
	int r;

	if ((r = journal_segment_prepare(&j->out.fd, &key, j, err)) < 0)
		return r;
	j->out.first = j->next = f->end;
	j->out.opened = clock_mono(j->config.clock);
	j->ledger_next = f->ledger_next;
	atomic_init(&j->written, f->end);
	atomic_init(&j->synced, f->end);
	j->out.key = secret_stream_new(&key);
	if (j->out.key == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for a segment");
	if (r == 0)
		r = journal_segment_begin(j, j->out.fd, &key, f->end, f->ledger_next, err);
	if (r == 0)
		r = journal_io_sync(j->config.io, j->out.fd, err);
	if (r == 0)
		r = journal_segment_publish(j, f->end, err);
	secret_key_wipe(&key);
	return r;
}

static struct journal *
allocate(const struct journal_config *config)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t monotonic;

	if (j == NULL)
		return NULL;
	j->config = *config;
	if (j->config.segment_size == 0)
		j->config.segment_size = SEGMENT_SIZE;
	if (j->config.segment_age == 0)
		j->config.segment_age = SEGMENT_AGE;
	if (config->log != NULL)
		j->log = *config->log;
	secret_key_derive(&j->wrap, config->master, "hawser journal");
	j->config.master = NULL; /* the caller's memory, and not needed any more */
	j->config.dir = NULL;
	j->dir = j->lock_fd = j->out.fd = j->reserve_fd = -1;
	buf_init(&j->active, JOURNAL_BUFFER_MAX);
	buf_init(&j->spare, JOURNAL_BUFFER_MAX);
	buf_init(&j->scratch, JOURNAL_RECORD_MAX);
	pthread_mutex_init(&j->sync_lock, NULL);
	pthread_mutex_init(&j->write_lock, NULL);
	pthread_mutex_init(&j->lock, NULL);
	pthread_mutex_init(&j->reserve_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &monotonic);
	pthread_cond_init(&j->done, NULL);
	pthread_condattr_destroy(&monotonic);
	return j;
}

static void
destroy(struct journal *j)
{
	fd_close(j->out.fd);
	fd_close(j->reserve_fd);
	fd_close(j->lock_fd);
	fd_close(j->dir);
	secret_stream_free(j->out.key);
	secret_key_wipe(&j->wrap);
	buf_fini(&j->active);
	buf_fini(&j->spare);
	buf_fini(&j->scratch);
	pthread_cond_destroy(&j->done);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->reserve_lock);
	pthread_mutex_destroy(&j->lock);
	pthread_mutex_destroy(&j->write_lock);
	pthread_mutex_destroy(&j->sync_lock);
	free(j);
}

/* No signal's handler shall run in it. */
static int
start_thread(struct journal *j, struct hw_err *err)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&j->thread, NULL, journal_thread, j);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	j->thread_runs = e == 0;
	return e == 0
		? 0
		: hw_err_set(err, HW_ESYS, "cannot start the journal's thread: %s", strerror(e));
}

int
journal_open(struct journal **ret, const struct journal_config *config, uint64_t *cut,
	struct hw_err *err)
{
	struct found found = {0};
	int r;

	struct journal *j = allocate(config);
	if (j == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the journal");
	if ((r = dir_open(&j->dir, config->dir, true, err)) < 0 ||
		(r = file_lock(&j->lock_fd, j->dir, "journal.lock", err)) < 0 ||
		(r = check(&found, j, err)) < 0 || (r = begin(j, &found, err)) < 0 ||
		(r = journal_reserve_make(j, err)) < 0 ||
		(config->threaded && (r = start_thread(j, err)) < 0)) {
		destroy(j);
		return r;
	}
	if (cut != NULL)
		*cut = found.cut;
	log_info(j, "journal.opened", "position=%" PRIu64 " ledger=%" PRIu64 " cut=%" PRIu64,
		found.end, found.ledger_next, found.cut);
	*ret = j;
	return 0;
}

void
journal_close(struct journal *j)
{
	if (j == NULL)
		return;
	if (j->thread_runs) {
		pthread_mutex_lock(&j->lock);
		j->stopping = true;
		pthread_cond_signal(&j->wake);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->thread, NULL);
		j->thread_runs = false;
	}
	(void)journal_sync_round(j);
	destroy(j);
}
