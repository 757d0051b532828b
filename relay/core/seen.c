#include "relay/core/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/loop.h"
#include "proto/trust/cert.h"
#include "relay/core/workers.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

#define SAVE_EVERY (250 * USEC_PER_MSEC)
#define NOTES_MAX  (100000 * sizeof(struct note)) /* what comes beyond that is not saved */

struct note {
	char id[65]; /* of a node, or a user's name */
	bool user;
	char newest[CERT_SERIAL_LEN + 1]; /* "": nothing new of it */
	int64_t when;
};

struct seen {
	struct log_ctx log;
	struct loop *loop;
	struct loop_timer rest; /* while it runs, what is noted is gathered */
	bool resting;
	bool hurried; /* it does not rest */
	struct workers *workers;
	struct store *store;
	struct buf notes;  /* not yet with a worker */
	struct buf saving; /* a worker's */
	bool busy;
	bool urgent; /* one of the notes waits for nothing */
};

static int
write_note(const struct note *note, struct db *db, struct hw_err *err)
{
	bool changed = false;

	if (note->user)
		return user_set_used(db, note->id, note->when, err);
	int r = node_set_seen(db, note->id, note->when, err);

	if (r == 0 && note->newest[0] != '\0')
		r = node_forget_serial(db, &changed, note->id, note->newest, err);
	if (changed)
		store_changed(db, STORE_NODE, note->id);
	return r;
}

static int
write_notes(void *arg, struct db *db, struct hw_err *err)
{
	const struct seen *s = arg;
	const uint8_t *at = buf_data(&s->saving);
	struct note note;
	int r = 0;

	for (size_t i = 0; i < s->saving.len && r == 0; i += sizeof(note)) {
		memcpy(&note, at + i, sizeof(note));
		r = write_note(&note, db, err);
	}
	return r;
}

static void
run_save(void *arg)
{
	struct seen *s = arg;
	struct hw_err err = HW_ERR_INIT;

	if (store_write(s->store, write_notes, s, &err) < 0)
		log_warn(s, "nodes.seen.unsaved", "n=%zu why=%s",
			s->saving.len / sizeof(struct note), log_value(hw_err_text(&err)));
}

static void save(struct seen *s);

static void
on_saved(void *arg)
{
	struct seen *s = arg;

	buf_fini(&s->saving);
	s->busy = false;
	save(s);
}

static void
on_rested(void *arg)
{
	struct seen *s = arg;

	s->resting = false;
	save(s);
}

/* When the workers' queue is full the notes stay, and go after the next rest. */
static void
save(struct seen *s)
{
	if (s->busy || s->notes.len == 0 || (s->resting && !s->urgent && !s->hurried))
		return;
	s->resting = true;
	loop_timer_start(s->loop, &s->rest, SAVE_EVERY);
	s->saving = s->notes;
	buf_init(&s->notes, NOTES_MAX);
	s->busy = workers_submit(s->workers, run_save, on_saved, s);
	if (s->busy) {
		s->urgent = false;
		return;
	}
	s->notes = s->saving;
	buf_init(&s->saving, NOTES_MAX);
}

static void
add(struct seen *s, const struct note *note)
{
	if (s->notes.len + sizeof(*note) <= NOTES_MAX)
		buf_append(&s->notes, note, sizeof(*note));
	save(s);
}

void
seen_note(struct seen *s, const char *node_id, const char *newest, int64_t when)
{
	struct note note = {.when = when};

	snprintf(note.id, sizeof(note.id), "%s", node_id);
	if (newest != NULL) {
		snprintf(note.newest, sizeof(note.newest), "%s", newest);
		s->urgent = true;
	}
	add(s, &note);
}

void
seen_note_user(struct seen *s, const char *name, int64_t when)
{
	struct note note = {.user = true, .when = when};

	snprintf(note.id, sizeof(note.id), "%s", name);
	add(s, &note);
}

void
seen_hurry(struct seen *s)
{
	s->hurried = true;
	save(s);
}

struct seen *
seen_new(struct loop *loop, struct workers *workers, struct store *store, const struct log_ctx *log)
{
	struct seen *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->log = *log;
	s->loop = loop;
	s->rest = (struct loop_timer){.fn = on_rested, .arg = s};
	s->workers = workers;
	s->store = store;
	buf_init(&s->notes, NOTES_MAX);
	buf_init(&s->saving, NOTES_MAX);
	return s;
}

void
seen_free(struct seen *s)
{
	if (s == NULL)
		return;
	hw_assert(!s->busy);
	loop_timer_stop(s->loop, &s->rest);
	buf_fini(&s->notes);
	buf_fini(&s->saving);
	free(s);
}
