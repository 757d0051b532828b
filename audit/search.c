#include "audit/search.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"

#define SLICE	    1024 /* entries between two looks at who waits */
#define PAUSE_MSEC  500
#define DAMAGE_MSEC 30000 /* between two tries to read a ledger that is damaged */
#define WAIT_MSEC   5000
#define NICE	    10
#define ENTRY_MAX   ((size_t)8 * JOURNAL_RECORD_MAX)

/* That an entry cannot be read. */
struct doubt {
	bool is_there, is_last;
	uint64_t at;
};

struct search {
	struct log_ctx log;
	struct search_config config; /* its texts are our own */
	char *ledger_dir, *journal_dir;
	struct search_index *index;
	struct ledger_reader *reader; /* of whoever indexes; NULL: not open */
	struct arena *arena;
	struct doubt doubt;
	int64_t last_time; /* of the last entry that was read */

	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t wake, moved;
	uint64_t next; /* what search_index_next() was */
	bool stopping, distrusted;
	int failed; /* what the last slice returned, if it failed: it is tried again */
	char why[256];
	int heavy; /* searches through recordings */
	pthread_t thread;
	bool thread_runs;
};

/* --- reading the ledger ----------------------------------------------------------------------- */

/* Entries below it are on disk. 0 when nobody knows: the journal has failed. */
static uint64_t
durable_until(struct search *s)
{
	struct journal *j = s->config.journal;

	if (j == NULL)
		return UINT64_MAX;
	uint64_t next = journal_ledger_next(j);
	if (next == search_index_next(s->index))
		return next;
	return journal_settle(j) < 0 ? 0 : next;
}

static int
open_reader(struct search *s, uint64_t at, struct hw_err *err)
{
	int r = ledger_reader_open(&s->reader, s->ledger_dir, s->journal_dir, s->config.master,
		err);

	if (r == 0 && at > 0)
		ledger_reader_seek(s->reader, at);
	return r;
}

static int
take(struct search *s, const struct msg_ledger_entry *e, const struct msg_bin *bytes,
	struct hw_err *err)
{
	struct search_record record;
	struct search_about about;
	char node[SEARCH_NODE_MAX];

	search_about_of(&about, e, s->arena);
	if (about.node == NULL && about.session != NULL && search_node_of(s, about.session, node))
		about.node = node;
	search_record_of(&record, e, &about);
	return search_index_append(s->index, &record, bytes->p, bytes->n, err);
}

/* Found so in this life: what the file had of it was not believed. */
static bool
is_damaged(struct search *s, uint64_t sequence)
{
	struct search_page *page = malloc(sizeof(*page));
	bool damaged = false;

	if (page == NULL)
		return false;
	search_page_init(page);
	if (search_index_read(s->index, sequence, page, NULL) == 0)
		damaged = page->records[sequence - page->first].kind == SEARCH_KIND_DAMAGED;
	search_page_fini(page);
	free(page);
	return damaged;
}

/* Who waits learns first that the index has nothing: what it had is not what it will have. */
static int
forget(struct search *s, uint64_t next, struct hw_err *err)
{
	pthread_mutex_lock(&s->lock);
	s->next = 0;
	pthread_mutex_unlock(&s->lock);
	return search_index_reset(s->index, next, err);
}

/* The ledger may begin later than we do, or than an index that was deleted. */
static int
begin_with(struct search *s, uint64_t sequence, struct hw_err *err)
{
	return sequence == search_index_next(s->index) ? 0 : forget(s, sequence, err);
}

/* Up to `n` entries below `until`: how many. */
static int
index_some(struct search *s, uint64_t until, int n, struct hw_err *err)
{
	struct msg_ledger_entry *e;
	struct msg_bin bytes;
	int i, r = 0;

	for (i = 0; i < n && search_index_next(s->index) < until; i++) {
		struct arena_mark mark = arena_mark(s->arena);
		if ((r = ledger_reader_next(s->reader, s->arena, &e, &bytes, err)) != 1)
			break;
		if (e->time > 0)
			s->last_time = e->time;
		r = begin_with(s, (uint64_t)e->sequence, err);
		if (r == 0)
			r = take(s, e, &bytes, err);
		arena_release(s->arena, &mark);
		if (r < 0)
			break;
	}
	return r < 0 ? r : i;
}

/* In place of what cannot be read, below `behind`, is why. */
static int
note_damage(struct search *s, uint64_t behind, const char *why, struct hw_err *err)
{
	const struct search_record record = {.kind = SEARCH_KIND_DAMAGED, .time = s->last_time};
	int r = 0;

	log_error(s, "search.damaged", "from=%" PRIu64 " until=%" PRIu64 " why=%s",
		search_index_next(s->index), behind, log_value(why));
	while (r == 0 && search_index_next(s->index) < behind)
		r = search_index_append(s->index, &record, why, strlen(why), err);
	return r;
}

static int
read_again(struct search *s, struct hw_err *err)
{
	ledger_reader_close(s->reader);
	s->reader = NULL;
	int r = open_reader(s, search_index_next(s->index), err);
	return r < 0 ? r : 1;
}

/* 1: it goes on behind the damage. 0: what is due may be about to come. */
static int
pass_damaged(struct search *s, uint64_t until, int code, struct hw_err *err)
{
	char why[sizeof(err->text)];
	uint64_t behind = until;

	snprintf(why, sizeof(why), "%s", hw_err_text(err));
	int r = ledger_reader_pass(s->reader, &behind, err);
	if (r == HW_ENOTFOUND && code == 0)
		return 0;
	if (r < 0 && (r != HW_ENOTFOUND || until == UINT64_MAX))
		return hw_err_set(err, HW_ECORRUPT, "%s", why);
	/* What came meanwhile, between two of its kind. */
	if (!s->doubt.is_last) {
		s->doubt.is_last = true;
		return read_again(s, err);
	}
	if ((r = note_damage(s, behind, why, err)) < 0)
		return r;
	return behind == until ? read_again(s, err) : 1;
}

/* What is due cannot be read (code < 0), or is not there (0), though it must be. That is believed
 * only when it is so again, with nothing kept from before, and once more when what is behind it can
 * be read. */
static int
doubt(struct search *s, uint64_t until, int code, struct hw_err *err)
{
	uint64_t at = search_index_next(s->index);

	if (code == 0)
		hw_err_set(err, HW_ECORRUPT, "ledger entry %" PRIu64 " does not verify", at);
	if (s->doubt.is_there && s->doubt.at == at)
		return pass_damaged(s, until, code, err);
	s->doubt = (struct doubt){.is_there = true, .at = at};
	return read_again(s, err);
}

/* 1: there is more; 0: nothing for now. */
static int
follow(struct search *s, uint64_t until, struct hw_err *err)
{
	int r = index_some(s, until, SLICE, err);

	if (r == SLICE || (r < 0 && r != HW_ECORRUPT))
		return r < 0 ? r : 1;
	if (r >= 0 && search_index_next(s->index) >= until)
		return 0;
	return doubt(s, until, r < 0 ? r : 0, err);
}

/* What a ledger of the same length, but not the same, would show: the index's last entry. */
static bool
same_ledger(struct search *s, uint64_t last)
{
	struct search_page *page = malloc(sizeof(*page));
	struct msg_ledger_entry *e;
	struct msg_bin bytes;
	const uint8_t *p;
	size_t n;
	bool same = false;

	if (page == NULL)
		return false;
	search_page_init(page);
	struct arena_mark mark = arena_mark(s->arena);
	if (search_index_read(s->index, last, page, NULL) == 0 &&
		search_index_bytes(s->index, page, last, &p, &n, NULL) == 0 &&
		ledger_reader_next(s->reader, s->arena, &e, &bytes, NULL) == 1)
		same = bytes.n == n && memcmp(bytes.p, p, n) == 0;
	arena_release(s->arena, &mark);
	search_page_fini(page);
	free(page);
	return same;
}

/* Goes on where the index ends, or begins anew. */
static int
take_up(struct search *s, struct hw_err *err)
{
	uint64_t next = search_index_next(s->index);
	int r;

	if (s->reader != NULL)
		return 0;
	if (next > search_index_first(s->index)) {
		if (is_damaged(s, next - 1))
			return open_reader(s, next, err);
		if ((r = open_reader(s, next - 1, err)) < 0)
			return r;
		if (same_ledger(s, next - 1))
			return 0;
		log_warn(s, "search.anew", "why=%s", log_value("the index is not of this ledger"));
		ledger_reader_close(s->reader);
		s->reader = NULL;
	}
	if ((r = forget(s, 0, err)) < 0)
		return r;
	return open_reader(s, 0, err);
}

/* What was found to be damaged goes, and all of it is read from the ledger again. */
static int
begin_anew(struct search *s, struct hw_err *err)
{
	pthread_mutex_lock(&s->lock);
	bool is_due = s->distrusted;
	pthread_mutex_unlock(&s->lock);
	if (!is_due)
		return 0;
	log_warn(s, "search.anew", "why=%s", log_value("the index is damaged"));
	ledger_reader_close(s->reader);
	s->reader = NULL;
	int r = forget(s, 0, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	s->distrusted = false;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void
note_progress(struct search *s, int r, const struct hw_err *err)
{
	pthread_mutex_lock(&s->lock);
	s->next = search_index_next(s->index);
	bool is_news = (r < 0) != (s->failed < 0);
	s->failed = r < 0 ? r : 0;
	if (r < 0)
		snprintf(s->why, sizeof(s->why), "%.255s", hw_err_text(err));
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	if (is_news && r < 0)
		log_error(s, "search.failed", "why=%s", log_value(hw_err_text(err)));
	else if (is_news)
		log_info(s, "search.resumed", "at=%" PRIu64, search_index_next(s->index));
}

/* 1: there is more; 0: nothing for now. */
static int
slice(struct search *s, struct hw_err *err)
{
	uint64_t until = durable_until(s);
	int r = begin_anew(s, err);

	if (r == 0)
		r = take_up(s, err);
	if (r == 0)
		r = follow(s, until, err);
	note_progress(s, r, err);
	if (r >= 0)
		return r;
	/* An entry that was read and not taken is read again. */
	ledger_reader_close(s->reader);
	s->reader = NULL;
	return r;
}

/* --- the thread ------------------------------------------------------------------------------- */

static struct timespec
from_now(long msec)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += msec * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *
thread_main(void *arg)
{
	struct search *s = arg;
	bool stop = false;

	pthread_setname_np(pthread_self(), "search");
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	while (!stop) {
		struct hw_err err = HW_ERR_INIT;
		int r = slice(s, &err);
		struct timespec until = from_now(r == HW_ECORRUPT ? DAMAGE_MSEC : PAUSE_MSEC);
		pthread_mutex_lock(&s->lock);
		if (r <= 0 && !s->stopping)
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
		stop = s->stopping;
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

static int
start(struct search *s, struct hw_err *err)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->thread_runs = e == 0;
	return e == 0
		? 0
		: hw_err_set(err, HW_ESYS, "cannot start the search's thread: %s", strerror(e));
}

/* --- life ------------------------------------------------------------------------------------- */

static void
init_locks(struct search *s)
{
	pthread_condattr_t mono;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &mono);
	pthread_cond_init(&s->moved, &mono);
	pthread_condattr_destroy(&mono);
}

int
search_new(struct search **ret, const struct search_config *config, struct hw_err *err)
{
	struct search *s = calloc(1, sizeof(*s));
	int dir = -1, r;

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's index");
	init_locks(s);
	s->config = *config;
	if (config->log != NULL)
		s->log = *config->log;
	s->ledger_dir = strdup(config->ledger_dir);
	s->journal_dir = strdup(config->journal_dir);
	s->arena = arena_new(ENTRY_MAX);
	if (s->ledger_dir == NULL || s->journal_dir == NULL || s->arena == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for the ledger's index");
	else if ((r = dir_open(&dir, config->dir, true, err)) == 0 &&
		(r = search_index_open(&s->index, dir, SEARCH_INDEX_FILE, config->master, err)) ==
			0 &&
		config->threaded)
		r = start(s, err);
	fd_close(dir);
	if (r < 0)
		search_free(s);
	else
		*ret = s;
	return r;
}

void
search_free(struct search *s)
{
	if (s == NULL)
		return;
	if (s->thread_runs) {
		pthread_mutex_lock(&s->lock);
		s->stopping = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	ledger_reader_close(s->reader);
	search_index_close(s->index);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
	arena_free(s->arena);
	free(s->ledger_dir);
	free(s->journal_dir);
	free(s);
}

struct search_index *
search_index_of(struct search *s)
{
	return s->index;
}

bool
search_node_of(struct search *s, const char *session, char node[SEARCH_NODE_MAX])
{
	return s->config.node_of != NULL && s->config.node_of(s->config.arg, session, node);
}

uint64_t
search_next(struct search *s)
{
	return search_index_next(s->index);
}

uint64_t
search_lag(struct search *s)
{
	uint64_t known = s->config.journal != NULL ? journal_ledger_next(s->config.journal) : 0;
	uint64_t next = search_index_next(s->index);

	return known > next ? known - next : 0;
}

/* --- who waits -------------------------------------------------------------------------------- */

static int
catch_up_inline(struct search *s, struct hw_err *err)
{
	struct hw_err own = HW_ERR_INIT;
	int r;

	if (err == NULL)
		err = &own;
	do {
		r = slice(s, err);
	} while (r == 1);
	return r;
}

static int
tell_late(struct search *s, uint64_t until, struct hw_err *err)
{
	if (s->failed < 0)
		return hw_err_set(err, s->failed == HW_ECORRUPT ? HW_ECORRUPT : HW_EUNAVAILABLE,
			"the ledger cannot be searched now: %s", s->why);
	return hw_err_set(err, HW_EUNAVAILABLE,
		"the ledger's index is being made: it has %" PRIu64 " of %" PRIu64
		" entries; ask again",
		s->next, until);
}

int
search_catch_up(struct search *s, uint64_t *as_of, struct hw_err *err)
{
	struct journal *j = s->config.journal;
	struct timespec until = from_now(WAIT_MSEC);
	int waited = 0, r = 0;

	if (!s->thread_runs) {
		r = catch_up_inline(s, err);
		*as_of = search_index_resets(s->index);
		return r;
	}
	uint64_t next = j != NULL ? journal_ledger_next(j) : 0;
	pthread_mutex_lock(&s->lock);
	while ((s->next < next || s->distrusted) && s->failed == 0 && waited != ETIMEDOUT) {
		pthread_cond_signal(&s->wake);
		waited = pthread_cond_timedwait(&s->moved, &s->lock, &until);
	}
	if (s->next < next || s->distrusted)
		r = tell_late(s, next, err);
	/* Under the lock: who begins it anew takes it first. */
	*as_of = search_index_resets(s->index);
	pthread_mutex_unlock(&s->lock);
	return r;
}

void
search_distrust(struct search *s)
{
	pthread_mutex_lock(&s->lock);
	s->distrusted = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

bool
search_enter(struct search *s, int most)
{
	pthread_mutex_lock(&s->lock);
	bool room = s->heavy < most;
	s->heavy += room;
	pthread_mutex_unlock(&s->lock);
	return room;
}

void
search_leave(struct search *s)
{
	pthread_mutex_lock(&s->lock);
	s->heavy--;
	pthread_mutex_unlock(&s->lock);
}
