#include "relay/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "relay/store/db_conn.h"
#include "relay/store/migrations.h"

#define QUEUE_MAX   4096 /* writes that wait */
#define BATCH_MAX   256	 /* writes of one transaction */
#define READERS_MAX 64

/* One store_write(): on its caller's stack until it is answered. */
struct write {
	TAILQ_ENTRY(write) link;
	store_fn *fn;
	void *arg;
	struct hw_err *err;
	int result;
	bool answered;
	pthread_cond_t answer;
};
TAILQ_HEAD(write_list, write);

struct change {
	enum store_kind kind;
	char id[129];
};

/* What the writer's transaction changed; a write that fails takes its own part back. */
struct changes {
	struct change *v;
	size_t n, room;
	bool failed; /* one could not be kept for want of memory */
};

struct store {
	struct log_ctx log;
	const struct hw_clock *clock;
	void (*on_changed)(void *arg, enum store_kind kind, const char *id, struct db *db);
	void (*on_committed)(void *arg, struct db *db);
	void *arg;

	pthread_mutex_t write_lock;
	pthread_cond_t work;
	struct write_list queue;
	size_t queued;
	bool threaded, stopping;
	pthread_t thread;
	struct db *writer; /* the thread's; under write_lock when there is none */
	struct changes changes;
	atomic_bool broken; /* a commit failed on disk: what is there is unknown until the next
			       start */

	pthread_mutex_t read_lock;
	pthread_cond_t reader_free;
	struct db *readers[READERS_MAX]; /* the idle ones are the first `idle` */
	int idle, n_readers;
	char *path;
};

/* --- changes ---------------------------------------------------------------------------------- */

void
store_changed(struct db *db, enum store_kind kind, const char *id)
{
	struct changes *c = db_owner(db);

	hw_assert(c != NULL); /* a reader changes nothing */
	if (c->n == c->room) {
		size_t room = c->room > 0 ? 2 * c->room : 16;
		struct change *v = realloc(c->v, room * sizeof(*v));
		if (v == NULL) {
			c->failed = true;
			return;
		}
		c->v = v;
		c->room = room;
	}
	c->v[c->n].kind = kind;
	snprintf(c->v[c->n].id, sizeof(c->v[c->n].id), "%s", id);
	c->n++;
}

static bool
change_seen(const struct changes *c, size_t before, const struct change *what)
{
	for (size_t i = 0; i < before; i++) {
		if (c->v[i].kind == what->kind && strcmp(c->v[i].id, what->id) == 0)
			return true;
	}
	return false;
}

static void
changes_tell(struct store *s)
{
	struct changes *c = &s->changes;

	for (size_t i = 0; s->on_changed != NULL && i < c->n; i++) {
		if (!change_seen(c, i, &c->v[i]))
			s->on_changed(s->arg, c->v[i].kind, c->v[i].id, s->writer);
	}
	if (s->on_committed != NULL && c->n > 0)
		s->on_committed(s->arg, s->writer);
	c->n = 0;
}

/* --- the transaction of a batch --------------------------------------------------------------- */

/* Runs one write in a savepoint. What is returned is the transaction's fate: the write's own is
 * w->result. */
static int
run_one(struct store *s, struct write *w, struct hw_err *err)
{
	size_t changed = s->changes.n;
	int r;

	if ((r = db_exec_again(s->writer, "SAVEPOINT one", err)) < 0)
		return r;
	s->changes.failed = false;
	w->result = w->fn(w->arg, s->writer, w->err);
	if (w->result >= 0 && s->changes.failed)
		w->result = hw_err_set(w->err, HW_ENOMEM, "no memory to note what changed");
	if (!db_in_transaction(s->writer))
		return hw_err_set(err, HW_EIO, "the store: the transaction was rolled back");
	if (w->result >= 0)
		return db_exec_again(s->writer, "RELEASE one", err);
	s->changes.n = changed;
	if ((r = db_exec_again(s->writer, "ROLLBACK TO one", err)) < 0)
		return r;
	return db_exec_again(s->writer, "RELEASE one", err);
}

static int
run_all(struct store *s, struct write_list *batch, struct hw_err *err)
{
	struct write *w;
	int r;

	if ((r = db_begin_write(s->writer, err)) < 0)
		return r;
	TAILQ_FOREACH(w, batch, link)
	{
		if ((r = run_one(s, w, err)) < 0)
			return r;
	}
	r = db_exec_again(s->writer, "COMMIT", err);
	/* A failed fsync is never tried again: the pages that it dropped would look written. */
	if (r == HW_EIO)
		s->broken = true;
	return r;
}

/* Every write has its result afterwards. A transaction that fails takes all of its writes with it.
 */
static void
run_batch(struct store *s, struct write_list *batch)
{
	struct hw_err err = HW_ERR_INIT;
	struct write *w;
	int r;

	s->changes.n = 0;
	if (s->broken)
		r = hw_err_set(&err, HW_EIO, STORE_FAILED);
	else
		r = run_all(s, batch, &err);
	if (r == 0) {
		changes_tell(s);
		return;
	}
	log_error(s, "store.failed", "code=%s why=%s", hw_code_name(r), log_value(err.text));
	if (db_in_transaction(s->writer))
		db_exec_again(s->writer, "ROLLBACK", NULL);
	TAILQ_FOREACH(w, batch, link)
	w->result = hw_err_set(w->err, r, "%s", err.text);
}

/* --- the writer ------------------------------------------------------------------------------- */

static void
take_batch(struct store *s, struct write_list *batch)
{
	struct write *w;

	TAILQ_INIT(batch);
	for (int i = 0; i < BATCH_MAX && (w = TAILQ_FIRST(&s->queue)) != NULL; i++) {
		TAILQ_REMOVE(&s->queue, w, link);
		TAILQ_INSERT_TAIL(batch, w, link);
		s->queued--;
	}
}

static void
answer(struct write_list *batch)
{
	struct write *w, *next;

	TAILQ_FOREACH_SAFE(w, batch, link, next)
	{
		w->answered = true; /* from here on it may be gone as soon as the lock is let go */
		pthread_cond_signal(&w->answer);
	}
}

bool
store_failed(const struct store *s)
{
	return s->broken;
}

static void *
writer_main(void *arg)
{
	struct store *s = arg;
	struct write_list batch;

	pthread_mutex_lock(&s->write_lock);
	for (;;) {
		while (TAILQ_EMPTY(&s->queue) && !s->stopping)
			pthread_cond_wait(&s->work, &s->write_lock);
		if (TAILQ_EMPTY(&s->queue))
			break;
		take_batch(s, &batch);
		pthread_mutex_unlock(&s->write_lock);
		run_batch(s, &batch);
		pthread_mutex_lock(&s->write_lock);
		answer(&batch);
	}
	pthread_mutex_unlock(&s->write_lock);
	return NULL;
}

static void
write_inline(struct store *s, struct write *w)
{
	struct write_list batch = TAILQ_HEAD_INITIALIZER(batch);

	TAILQ_INSERT_TAIL(&batch, w, link);
	run_batch(s, &batch);
}

static void
write_queued(struct store *s, struct write *w)
{
	if (s->queued >= QUEUE_MAX) {
		w->result = hw_err_set(w->err, HW_EFULL,
			"too many writes wait for the store; try again");
		return;
	}
	pthread_cond_init(&w->answer, NULL);
	TAILQ_INSERT_TAIL(&s->queue, w, link);
	s->queued++;
	pthread_cond_signal(&s->work);
	while (!w->answered)
		pthread_cond_wait(&w->answer, &s->write_lock);
	pthread_cond_destroy(&w->answer);
}

int
store_write(struct store *s, store_fn *fn, void *arg, struct hw_err *err)
{
	struct write w = {.fn = fn, .arg = arg, .err = err};

	pthread_mutex_lock(&s->write_lock);
	if (s->threaded)
		write_queued(s, &w);
	else
		write_inline(s, &w);
	pthread_mutex_unlock(&s->write_lock);
	return w.result;
}

/* --- readers ---------------------------------------------------------------------------------- */

static struct db *
reader_take(struct store *s)
{
	pthread_mutex_lock(&s->read_lock);
	while (s->idle == 0)
		pthread_cond_wait(&s->reader_free, &s->read_lock);
	struct db *db = s->readers[--s->idle];
	pthread_mutex_unlock(&s->read_lock);
	return db;
}

static void
reader_give(struct store *s, struct db *db)
{
	pthread_mutex_lock(&s->read_lock);
	s->readers[s->idle++] = db;
	pthread_cond_signal(&s->reader_free);
	pthread_mutex_unlock(&s->read_lock);
}

int
store_read(struct store *s, store_fn *fn, void *arg, struct hw_err *err)
{
	struct db *db = reader_take(s);

	int r = db_exec_again(db, "BEGIN", err);
	if (r == 0) {
		r = fn(arg, db, err);
		if (db_in_transaction(db))
			db_exec_again(db, "ROLLBACK", NULL);
	}
	reader_give(s, db);
	return r;
}

/* --- one moment ------------------------------------------------------------------------------- */

struct store_moment {
	struct store *store;
	struct db *db;
	store_fn *meanwhile;
	void *arg;
};

/* On the writer's thread: what is committed stays so until this returns, and nothing is. */
static int
take_moment(void *arg, struct db *writer, struct hw_err *err)
{
	struct store_moment *m = arg;
	int64_t n;
	int r;

	(void)writer;
	if ((r = db_open(&m->db, m->store->path, false, err)) < 0 ||
		(r = db_exec(m->db, "BEGIN", err)) < 0 ||
		/* A transaction sees what there was when it first looked. */
		(r = db_count(m->db, &n, err, "SELECT COUNT(*) FROM schema_version", "")) < 0)
		return r;
	return m->meanwhile != NULL ? m->meanwhile(m->arg, m->db, err) : 0;
}

int
store_moment_open(struct store_moment **ret, struct store *s, store_fn *meanwhile, void *arg,
	struct hw_err *err)
{
	struct store_moment *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a look at the store");
	*m = (struct store_moment){.store = s, .meanwhile = meanwhile, .arg = arg};
	int r = store_write(s, take_moment, m, err);
	if (r < 0)
		store_moment_close(m);
	else
		*ret = m;
	return r;
}

int
store_moment_copy(const struct store_moment *m, const char *path, struct hw_err *err)
{
	return db_copy(m->db, path, err);
}

void
store_moment_close(struct store_moment *m)
{
	if (m == NULL)
		return;
	if (m->db != NULL && db_in_transaction(m->db))
		(void)db_exec(m->db, "ROLLBACK", NULL);
	db_close(m->db);
	free(m);
}

/* --- opening and closing ---------------------------------------------------------------------- */

static int
readers_open(struct store *s, const struct store_config *config, struct hw_err *err)
{
	int wanted = config->readers < 1 ? 1 : config->readers;
	int r;

	if (wanted > READERS_MAX)
		wanted = READERS_MAX;
	while (s->n_readers < wanted) {
		if ((r = db_open(&s->readers[s->n_readers], config->path, false, err)) < 0)
			return r;
		s->idle = ++s->n_readers;
	}
	return 0;
}

static int
open_all(struct store *s, const struct store_config *config, struct hw_err *err)
{
	int r;

	if ((r = db_open(&s->writer, config->path, true, err)) < 0 ||
		(r = db_check(s->writer, config->path, err)) < 0)
		return r;
	if ((r = migrations_run(s->writer, clock_wall(config->clock), err)) < 0) {
		hw_err_prefix(err, "cannot use the store %s", config->path);
		return r;
	}
	db_set_owner(s->writer, &s->changes);
	if ((r = readers_open(s, config, err)) < 0 || !config->threaded)
		return r;
	if (pthread_create(&s->thread, NULL, writer_main, s) != 0)
		return hw_err_set(err, HW_ESYS, "cannot start the store's writer");
	s->threaded = true;
	return 0;
}

int
store_open(struct store **ret, const struct store_config *config, struct hw_err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the store");
	if (config->log != NULL)
		s->log = *config->log;
	s->clock = config->clock;
	s->path = strdup(config->path);
	s->on_changed = config->on_changed;
	s->on_committed = config->on_committed;
	s->arg = config->arg;
	TAILQ_INIT(&s->queue);
	pthread_mutex_init(&s->write_lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_mutex_init(&s->read_lock, NULL);
	pthread_cond_init(&s->reader_free, NULL);
	r = s->path != NULL ? open_all(s, config, err)
			    : hw_err_set(err, HW_ENOMEM, "no memory for the store");
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->write_lock);
	s->stopping = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->write_lock);
	if (s->threaded)
		pthread_join(s->thread, NULL);
	hw_assert(s->idle == s->n_readers); /* nobody reads any more */
	for (int i = 0; i < s->n_readers; i++)
		db_close(s->readers[i]);
	db_close(s->writer); /* the last one: folds the write-ahead log into the file */
	free(s->changes.v);
	free(s->path);
	pthread_cond_destroy(&s->reader_free);
	pthread_mutex_destroy(&s->read_lock);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->write_lock);
	free(s);
}
