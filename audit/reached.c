#include "audit/reached.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "audit/ledger.h"
#include "audit/recording.h"
#include "audit/recording_file.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"

#define ARENA_MAX (4 * JOURNAL_RECORD_MAX)

/* Of one session, as the journal has it. */
struct place {
	uint64_t session;
	struct reached_streams at;
	bool moved[STREAMS]; /* by the journal: the recording's place is an older one */
	bool authored, sized;
	struct reached_end end;
	UT_hash_handle hh;
};

/* Of one session, as the ledger's entries in the journal have it. */
struct noted {
	char id[RECORDING_ID_MAX + 1];
	bool well;
	char *why;
	UT_hash_handle hh;
};

struct reached {
	struct place *places;
	struct noted *noted;
};

static struct place *
place_of(struct reached *r, uint64_t session)
{
	struct place *p;

	HASH_FIND(hh, r->places, &session, sizeof(session), p);
	if (p != NULL)
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->session = session;
	HASH_ADD(hh, r->places, session, sizeof(p->session), p);
	return p;
}

static void
move_to(struct place *p, uint8_t stream, uint64_t offset)
{
	if (stream >= STREAMS)
		return;
	p->at.offset[stream] = offset;
	p->moved[stream] = true;
}

/* A recording's meta has its size, too; this one may not have its file yet. */
static void
begin_size(struct reached_streams *at, const struct journal_record *rec)
{
	struct arena *arena = arena_new(2 * JOURNAL_RECORD_MAX);
	void *msg;

	if (arena != NULL &&
		msg_decode(&msg, arena, MSG_ROW(recording_meta), rec->bytes, rec->len, NULL) == 0)
		standing_size(at, (uint64_t)((struct msg_recording_meta *)msg)->cols,
			(uint64_t)((struct msg_recording_meta *)msg)->rows);
	arena_free(arena);
}

static int
note(struct reached *r, const struct msg_ledger_entry *e)
{
	struct noted *n;

	HASH_FIND_STR(r->noted, e->session_id, n);
	if (n != NULL)
		return 0; /* the first one says how it was */
	n = calloc(1, sizeof(*n));
	if (n == NULL || (n->why = strdup(e->reason != NULL ? e->reason : "")) == NULL) {
		free(n);
		return HW_ENOMEM;
	}
	snprintf(n->id, sizeof(n->id), "%s", e->session_id);
	n->well = e->outcome == OUTCOME_OK;
	HASH_ADD_STR(r->noted, id, n);
	return 0;
}

static int
take_entry(struct reached *r, const struct journal_record *rec)
{
	struct arena *arena = arena_new(ARENA_MAX);
	int rc = arena != NULL ? 0 : HW_ENOMEM;
	void *msg;

	if (rc == 0 &&
		msg_decode(&msg, arena, MSG_ROW(ledger_entry), rec->bytes, rec->len, NULL) == 0) {
		const struct msg_ledger_entry *e = msg;
		if (strcmp(e->kind, entry_kind_name(ENTRY_SESSION_END)) == 0 &&
			e->session_id != NULL && recording_id_valid(e->session_id))
			rc = note(r, e);
	}
	arena_free(arena);
	return rc;
}

static int
take_end(struct place *p, const struct journal_record *rec)
{
	struct arena *arena = arena_new(ARENA_MAX);
	void *msg;

	if (arena == NULL)
		return HW_ENOMEM;
	p->end.recorded = true;
	if (msg_decode(&msg, arena, MSG_ROW(close), rec->bytes, rec->len, NULL) == 0) {
		const struct msg_close *close = msg;
		p->end.well = close->code == NULL || close->code[0] == '\0';
		p->end.exited = close->exited;
		p->end.exit_status = (int)close->exit_status;
	}
	arena_free(arena);
	return 0;
}

static int
take(struct reached *r, const struct journal_record *rec)
{
	if (rec->type == JOURNAL_LEDGER)
		return take_entry(r, rec);
	struct place *p = place_of(r, rec->session);
	if (p == NULL)
		return HW_ENOMEM;
	switch (rec->type) {
	case JOURNAL_SESSION_START:
		p->at.known = true;
		begin_size(&p->at, rec);
		break;
	case JOURNAL_DATA:
		move_to(p, rec->stream, rec->offset + rec->len);
		break;
	case JOURNAL_REWIND:
		move_to(p, rec->stream, rec->offset);
		break;
	case JOURNAL_ECHO:
		p->at.echoed = rec->offset;
		break;
	case JOURNAL_SESSION_END:
		return take_end(p, rec);
	case JOURNAL_AUTHOR:
		standing_turn(&p->at, rec->author, rec->offset, rec->bytes, rec->len);
		p->authored = true;
		break;
	case JOURNAL_RESIZE:
		standing_size(&p->at, rec->offset >> 32, rec->offset);
		p->sized = true;
		break;
	default:
		break;
	}
	return 0;
}

int
reached_new(struct reached **ret, const char *journal_dir, const struct secret_key *master,
	struct hw_err *err)
{
	struct reached *r = calloc(1, sizeof(*r));
	struct journal_reader *reader = NULL;
	struct journal_record rec;
	jpos end;
	int rc;

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what is recorded");
	rc = journal_reader_open(&reader, journal_dir, master, 0, err);
	while (rc >= 0 && (rc = journal_reader_next(reader, &rec, &end, err)) > 0)
		if (take(r, &rec) < 0)
			rc = hw_err_set(err, HW_ENOMEM, "no memory for what is recorded");
	journal_reader_close(reader);
	if (rc < 0)
		reached_free(r);
	else
		*ret = r;
	return rc < 0 ? rc : 0;
}

void
reached_free(struct reached *r)
{
	struct noted *n, *after;
	struct place *p, *next;

	if (r == NULL)
		return;
	HASH_ITER(hh, r->noted, n, after) {
		HASH_DEL(r->noted, n);
		free(n->why);
		free(n);
	}
	HASH_ITER(hh, r->places, p, next) {
		HASH_DEL(r->places, p);
		free(p);
	}
	free(r);
}

bool
reached_ended(struct reached_end *ret, const struct reached *r, uint64_t session,
	const char *session_id)
{
	const struct noted *n;
	const struct place *p;

	HASH_FIND(hh, r->places, &session, sizeof(session), p);
	HASH_FIND_STR(r->noted, session_id, n);
	*ret = p != NULL ? p->end : (struct reached_end){.recorded = false};
	if (n != NULL) {
		ret->noted = true;
		ret->well = n->well;
		snprintf(ret->why, sizeof(ret->why), "%s", n->why);
	}
	return ret->recorded || ret->noted;
}

/* --- the recording ---------------------------------------------------------------------------- */

static int
read_recording(struct reached_streams *at, const char *dir, const char *id,
	const struct secret_key *master, struct hw_err *err)
{
	struct recording *file;
	const uint8_t *p;
	size_t n;
	int r;

	if ((r = recording_open(&file, dir, id, master, err)) < 0)
		return r == HW_ENOTFOUND ? 0 : r;
	recording_skip(file, at);
	at->known = true;
	if (at->cols == 0)
		standing_size(at, (uint64_t)recording_meta(file)->cols,
			(uint64_t)recording_meta(file)->rows);
	while ((r = recording_next(file, &p, &n, err)) > 0)
		if ((r = standing_take(at, p, n, err)) < 0)
			break;
	recording_close(file);
	return r;
}

static void
take_newer(struct reached_streams *at, const struct place *p)
{
	for (int i = 0; i < STREAMS; i++)
		if (p->moved[i])
			at->offset[i] = p->at.offset[i];
	if (p->at.echoed > 0)
		at->echoed = p->at.echoed;
	if (p->authored) {
		at->author = p->at.author;
		at->author_from = p->at.author_from;
		at->author_base = p->at.author_base;
	}
	if (p->at.authors > at->authors)
		at->authors = p->at.authors;
	if (p->sized || at->cols == 0)
		standing_size(at, (uint64_t)p->at.cols, (uint64_t)p->at.rows);
	at->known = at->known || p->at.known;
}

/* What is in the recording has an echo mark, or will have none; what the journal has is newer. */
int
reached_find(struct reached_streams *ret, const struct reached *r, uint64_t session,
	const char *recordings_dir, const char *session_id, const struct secret_key *master,
	struct hw_err *err)
{
	struct reached_streams at = {.known = false};
	const struct place *p;
	int rc;

	HASH_FIND(hh, r->places, &session, sizeof(session), p);
	if ((rc = read_recording(&at, recordings_dir, session_id, master, err)) < 0)
		return rc;
	at.echoed = at.offset[STREAM_IN];
	if (p != NULL)
		take_newer(&at, p);
	*ret = at;
	return 0;
}
