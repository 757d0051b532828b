#include "relay/core/presence.h"

#include <stdlib.h>

#include "relay/core/fit.h"
#include "relay/core/session_private.h"
#include "relay/store/store.h"

#define SAVE_MAX 4096 /* in one transaction */

struct note {
	char id[ID_SESSION_MAX + 1];
	int64_t since;
};

struct presence {
	struct log_ctx log;
	struct loop *loop;
	struct workers *workers;
	struct store *store;
	TAILQ_HEAD(, session) noted;
	struct loop_task turn_end;
	struct buf saving; /* a worker's */
	bool busy;
};

static int
write_notes(void *arg, struct db *db, struct hw_err *err)
{
	const struct presence *p = arg;
	const uint8_t *at = buf_data(&p->saving);
	struct note note;
	int r = 0;

	for (size_t i = 0; i < p->saving.len && r == 0; i += sizeof(note)) {
		memcpy(&note, at + i, sizeof(note));
		r = session_set_away(db, note.id, note.since, err);
	}
	return r;
}

static void
run_save(void *arg)
{
	struct presence *p = arg;
	struct hw_err err = HW_ERR_INIT;

	if (store_write(p->store, write_notes, p, &err) < 0)
		log_warn(p, "sessions.presence.unsaved", "n=%zu why=%s",
			p->saving.len / sizeof(struct note), log_value(hw_err_text(&err)));
}

static void
unlist(struct presence *p, struct session *s)
{
	TAILQ_REMOVE(&p->noted, s, noted);
	s->is_noted = false;
}

/* Without memory those that are left stay noted, and go with the next one. */
static void
take_notes(struct presence *p)
{
	struct session *s;

	for (int i = 0; i < SAVE_MAX && (s = TAILQ_FIRST(&p->noted)) != NULL; i++) {
		struct note note = {.since = s->user == NULL ? s->away : 0};
		fit_text(note.id, sizeof(note.id), s->id);
		if (buf_append(&p->saving, &note, sizeof(note)) < 0)
			return;
		unlist(p, s);
	}
}

static void on_saved(void *arg);

/* At the end of a turn: who leaves one link for another was never away. */
static void
save(void *arg)
{
	struct presence *p = arg;

	if (p->busy)
		return;
	take_notes(p);
	if (p->saving.len == 0)
		return;
	p->busy = true;
	workers_owe(p->workers, run_save, on_saved, p);
}

static void
on_saved(void *arg)
{
	struct presence *p = arg;

	buf_fini(&p->saving);
	p->busy = false;
	save(p);
}

void
presence_note(struct presence *p, struct session *s)
{
	if (!s->is_noted)
		TAILQ_INSERT_TAIL(&p->noted, s, noted);
	s->is_noted = true;
	loop_defer(p->loop, &p->turn_end);
}

void
presence_forget(struct presence *p, struct session *s)
{
	if (s->is_noted)
		unlist(p, s);
}

struct presence *
presence_new(struct loop *loop, struct workers *workers, struct store *store,
	const struct log_ctx *log)
{
	struct presence *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->log = *log;
	p->loop = loop;
	p->workers = workers;
	p->store = store;
	p->turn_end = (struct loop_task){.fn = save, .arg = p};
	TAILQ_INIT(&p->noted);
	buf_init(&p->saving, SAVE_MAX * sizeof(struct note));
	return p;
}

void
presence_free(struct presence *p)
{
	if (p == NULL)
		return;
	hw_assert(!p->busy);
	loop_undefer(p->loop, &p->turn_end);
	buf_fini(&p->saving);
	free(p);
}
