#include "relay/stream/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/ledger.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/wire/backoff.h"

#define BATCH	      256
#define BATCH_BYTES   ((size_t)1024 * 1024)
#define OUT_MAX	      ((size_t)4 * 1024 * 1024)
#define LOOK_MSEC     200
#define IDLE_USEC     USEC_PER_SEC /* nothing more came: what was sent is settled */
#define TROUBLE_AFTER (60 * USEC_PER_SEC)
#define CURSOR_MAX    64

struct stream {
	struct log_ctx log;
	struct stream_config config; /* its texts are our own */
	char *ledger_dir, *journal_dir;
	char cursor[64]; /* the file's name */
	const struct stream_sink *sink;
	void *sink_arg;
	int dir;
	struct ledger_reader *reader; /* NULL: not open */
	struct arena *arena;
	struct buf out;

	bool known;	     /* where it is; else from the ledger's begin on */
	uint64_t next;	     /* to be sent */
	int64_t since, last; /* of what is sent and not settled: when the first and the last went */
	int64_t good;	     /* when it last got on */
	struct backoff backoff;
	bool told;

	_Atomic uint64_t done, sent; /* settled; and a count */
	_Atomic bool failing;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	pthread_t thread;
	bool thread_runs;
};

/* --- the cursor ------------------------------------------------------------------------------- */

static int
load_cursor(struct stream *s, struct hw_err *err)
{
	struct buf text;
	uint64_t at;
	char end;

	buf_init(&text, CURSOR_MAX);
	int r = file_read(&text, s->dir, s->cursor, err);
	if (r == HW_ENOTFOUND) {
		buf_fini(&text);
		return 0;
	}
	if (r == 0 && sscanf(buf_str(&text), "%" SCNu64 "%c", &at, &end) != 2)
		r = hw_err_set(err, HW_ECORRUPT, "%s holds no number: delete it to send all again",
			s->cursor);
	buf_fini(&text);
	if (r < 0)
		return r;
	s->known = true;
	s->next = at;
	atomic_store(&s->done, at);
	return 0;
}

static int
save_cursor(struct stream *s, struct hw_err *err)
{
	char text[CURSOR_MAX];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", s->next);
	int r = file_write(s->dir, s->cursor, text, (size_t)n, 0600, err);

	if (r == 0)
		atomic_store(&s->done, s->next);
	return r;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Entries below it are on disk. A ledger that is shorter than what was sent of it is not the one
 * that it was: all of it is sent. */
static uint64_t
durable_until(struct stream *s)
{
	struct journal *j = s->config.journal;
	uint64_t until = journal_ledger_next(j);

	if (s->known && until < s->next) {
		log_warn(s, "stream.again", "stream=%s sent=%" PRIu64 " ledger=%" PRIu64,
			s->sink->name, s->next, until);
		s->known = false;
		s->next = 0;
	}
	if (until == s->next)
		return until;
	return journal_settle(j) < 0 ? s->next : until;
}

static int
open_reader(struct stream *s, struct hw_err *err)
{
	if (s->reader != NULL)
		return 0;
	int r = ledger_reader_open(&s->reader, s->ledger_dir, s->journal_dir, s->config.master,
		err);
	if (r == 0 && s->known)
		ledger_reader_seek(s->reader, s->next);
	return r;
}

/* A batch of what is below `until` into `out`: how many. */
static int
take_batch(struct stream *s, uint64_t until, struct hw_err *err)
{
	struct msg_ledger_entry *e;
	struct msg_bin bytes;
	int n = 0, r = 1;

	buf_reset(&s->out);
	while (n < BATCH && s->next < until && s->out.len < BATCH_BYTES) {
		struct arena_mark mark = arena_mark(s->arena);
		r = ledger_reader_next(s->reader, s->arena, &e, &bytes, err);
		if (r == 1 && (r = s->sink->put(s->sink_arg, e, &s->out, err)) == 0) {
			s->next = (uint64_t)e->sequence + 1;
			s->known = true;
			n++;
			r = 1;
		}
		arena_release(s->arena, &mark);
		if (r <= 0)
			break;
	}
	return r < 0 ? r : n;
}

static int
send_batch(struct stream *s, int n, struct hw_err *err)
{
	int64_t now = clock_mono(s->config.clock);
	int r = s->sink->send(s->sink_arg, &s->out, err);

	if (r < 0)
		return r;
	if (s->since == 0)
		s->since = now;
	s->last = now;
	atomic_fetch_add(&s->sent, (uint64_t)n);
	return 0;
}

static int
settle(struct stream *s, struct hw_err *err)
{
	int r = s->sink->settle(s->sink_arg, err);

	if (r < 0 || (r = save_cursor(s, err)) < 0)
		return r;
	s->since = 0;
	s->good = clock_mono(s->config.clock);
	backoff_reset(&s->backoff);
	if (s->told)
		log_info(s, "stream.back", "stream=%s", s->sink->name);
	s->told = false;
	atomic_store(&s->failing, false);
	return 0;
}

static bool
is_due(const struct stream *s, bool idle)
{
	int64_t now = clock_mono(s->config.clock);

	if (s->since == 0)
		return false;
	return s->next - atomic_load(&s->done) >= (uint64_t)s->sink->settle_entries ||
		now - s->since >= s->sink->settle_usec || (idle && now - s->last >= IDLE_USEC);
}

/* 1: there may be more; 0: nothing for now. */
static int
step(struct stream *s, struct hw_err *err)
{
	uint64_t until = durable_until(s);
	int n = 0, r;

	if (s->next < until) {
		if ((r = open_reader(s, err)) < 0 || (r = s->sink->open(s->sink_arg, err)) < 0 ||
			(n = r = take_batch(s, until, err)) < 0 ||
			(n > 0 && (r = send_batch(s, n, err)) < 0))
			return r;
	}
	if (is_due(s, n == 0) && (r = settle(s, err)) < 0)
		return r;
	return n > 0;
}

/* What is not settled is sent again. */
static void
go_back(struct stream *s, const struct hw_err *err)
{
	s->sink->close(s->sink_arg);
	ledger_reader_close(s->reader);
	s->reader = NULL;
	s->next = atomic_load(&s->done);
	s->known = s->next > 0;
	s->since = 0;
	if (!atomic_exchange(&s->failing, true))
		log_warn(s, "stream.failed", "stream=%s why=%s", s->sink->name,
			log_value(hw_err_text(err)));
	if (s->told || clock_mono(s->config.clock) - s->good < TROUBLE_AFTER)
		return;
	s->told = true;
	int64_t entry = s->config.on_trouble == NULL
		? -1
		: s->config.on_trouble(s->config.arg, s->sink->name, hw_err_text(err));
	log_error(s, "stream.trouble", "stream=%s why=%s%s", s->sink->name,
		log_value(hw_err_text(err)), ledger_pair(entry));
}

int
stream_run(struct stream *s, struct hw_err *err)
{
	struct hw_err own = HW_ERR_INIT;
	int r;

	if (err == NULL)
		err = &own;
	do {
		r = step(s, err);
	} while (r == 1);
	if (r == 0 && s->since != 0)
		r = settle(s, err);
	if (r < 0)
		go_back(s, err);
	return r;
}

/* --- the thread ------------------------------------------------------------------------------- */

/* False: it is to stop. */
static bool
pause_for(struct stream *s, int64_t msec)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += msec / 1000;
	t.tv_nsec += msec % 1000 * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_mutex_lock(&s->lock);
	while (!s->stopping && msec > 0 &&
		pthread_cond_timedwait(&s->wake, &s->lock, &t) != ETIMEDOUT)
		;
	bool go_on = !s->stopping;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

static void *
thread_main(void *arg)
{
	struct stream *s = arg;
	int64_t wait = 0;

	pthread_setname_np(pthread_self(), "stream");
	while (pause_for(s, wait)) {
		struct hw_err err = HW_ERR_INIT;
		int r = step(s, &err);
		if (r < 0)
			go_back(s, &err);
		wait = r == 1	 ? 0
			: r == 0 ? LOOK_MSEC
				 : 1 + backoff_next(&s->backoff, random_u64()) / USEC_PER_MSEC;
	}
	return NULL;
}

static int
start(struct stream *s, struct hw_err *err)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->thread_runs = e == 0;
	return e == 0 ? 0
		      : hw_err_set(err, HW_ESYS, "cannot start a stream's thread: %s", strerror(e));
}

/* --- life ------------------------------------------------------------------------------------- */

static void
init_locks(struct stream *s)
{
	pthread_condattr_t mono;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &mono);
	pthread_condattr_destroy(&mono);
}

int
stream_new(struct stream **ret, const struct stream_config *config, const struct stream_sink *sink,
	void *sink_arg, struct hw_err *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL) {
		sink->free(sink_arg);
		return hw_err_set(err, HW_ENOMEM, "no memory for a stream");
	}
	init_locks(s);
	s->config = *config;
	if (config->log != NULL)
		s->log = *config->log;
	s->sink = sink;
	s->sink_arg = sink_arg;
	s->dir = -1;
	s->good = clock_mono(config->clock);
	s->ledger_dir = strdup(config->ledger_dir);
	s->journal_dir = strdup(config->journal_dir);
	s->arena = arena_new((size_t)8 * JOURNAL_RECORD_MAX);
	buf_init(&s->out, OUT_MAX);
	snprintf(s->cursor, sizeof(s->cursor), "stream-%s.cursor", sink->name);
	if (s->ledger_dir == NULL || s->journal_dir == NULL || s->arena == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for a stream");
	else if ((r = dir_open(&s->dir, config->dir, false, err)) == 0 &&
		(r = load_cursor(s, err)) == 0 && config->threaded)
		r = start(s, err);
	if (r < 0)
		stream_free(s);
	else
		*ret = s;
	return r;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->thread_runs) {
		pthread_mutex_lock(&s->lock);
		s->stopping = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		s->sink->interrupt(s->sink_arg);
		pthread_join(s->thread, NULL);
	}
	s->sink->free(s->sink_arg);
	ledger_reader_close(s->reader);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	arena_free(s->arena);
	buf_fini(&s->out);
	fd_close(s->dir);
	free(s->ledger_dir);
	free(s->journal_dir);
	free(s);
}

void
stream_stats(struct stream *s, struct stream_stats *ret)
{
	uint64_t next = journal_ledger_next(s->config.journal), done = atomic_load(&s->done);

	*ret = (struct stream_stats){
		.name = s->sink->name,
		.lag = next > done ? next - done : 0,
		.sent = atomic_load(&s->sent),
		.failing = atomic_load(&s->failing),
	};
}
