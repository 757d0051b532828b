#include "audit/reached.h"

#include <stdlib.h>

#include <uthash.h>

#include "audit/recording.h"

/* Of one session, as the journal has it. */
struct place {
	uint64_t session;
	struct reached_streams at;
	bool moved[STREAMS]; /* by the journal: the recording's place is an older one */
	UT_hash_handle hh;
};

struct reached {
	struct place *places;
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

static int
take(struct reached *r, const struct journal_record *rec)
{
	if (rec->type == JOURNAL_LEDGER)
		return 0;
	struct place *p = place_of(r, rec->session);
	if (p == NULL)
		return HW_ENOMEM;
	switch (rec->type) {
	case JOURNAL_SESSION_START:
		p->at.known = true;
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
	struct place *p, *next;

	if (r == NULL)
		return;
	HASH_ITER(hh, r->places, p, next) {
		HASH_DEL(r->places, p);
		free(p);
	}
	free(r);
}

/* --- the recording ---------------------------------------------------------------------------- */

static void
take_event(struct reached_streams *at, const struct event *ev)
{
	if (ev->stream >= STREAMS)
		return;
	if (ev->type == EVENT_DATA)
		at->offset[ev->stream] = ev->offset + ev->len;
	else if (ev->type == EVENT_HIDDEN)
		at->offset[ev->stream] = ev->offset + ev->hidden;
	else if (ev->type == EVENT_REWIND)
		at->offset[ev->stream] = ev->offset;
}

static int
take_block(struct reached_streams *at, const uint8_t *p, size_t n, struct hw_err *err)
{
	struct event ev;
	size_t used;
	int r;

	for (; n > 0; p += used, n -= used) {
		if ((r = event_decode(&ev, p, n, &used)) < 0)
			return hw_err_set(err, r, "a recording has an event that is none");
		take_event(at, &ev);
	}
	return 0;
}

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
	at->known = true;
	while ((r = recording_next(file, &p, &n, err)) > 0)
		if ((r = take_block(at, p, n, err)) < 0)
			break;
	recording_close(file);
	return r;
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
	for (int i = 0; p != NULL && i < STREAMS; i++)
		if (p->moved[i])
			at.offset[i] = p->at.offset[i];
	if (p != NULL && p->at.echoed > 0)
		at.echoed = p->at.echoed;
	at.known = at.known || (p != NULL && p->at.known);
	*ret = at;
	return 0;
}
