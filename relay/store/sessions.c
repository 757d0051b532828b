#include "relay/store/sessions.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS                                                                                 \
	"id, type, principal, owner_arn, node_id, node_name, run_as, document, reason, status," \
	" started, ended, details, bytes_in, bytes_out, exited, exit_status, document_named,"   \
	" remote_host, remote_port, away"
#define N_COLUMNS 21

#define TAIL 6

static int
no_such_session(const char *id, struct hw_err *err)
{
	return hw_err_set(err, HW_ENOSESSION, "no session %s", id);
}

static const char *
tail_of(const char *id)
{
	size_t n = strlen(id);

	return n > TAIL ? id + n - TAIL : id;
}

static bool
is_end(int status)
{
	return status == SESSION_STATUS_TERMINATED || status == SESSION_STATUS_FAILED;
}

int
session_insert(struct db *db, const struct session_row *row, const char *token_hash,
	int64_t token_expires, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO session (" COLUMNS ", command, tail, live, token_hash, token_expires,"
		" token_used) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
		" $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, 0)",
		"ssssssssssiisiiiiisiissisi", row->id, enum_text(&enum_CHANNEL_TYPE, row->type),
		row->principal, row->owner_arn, row->node_id, row->node_name, row->run_as,
		row->document, row->reason, enum_text(&enum_SESSION_STATUS, row->status),
		row->start, row->end, row->details, row->bytes_in, row->bytes_out,
		(int64_t)row->exited, (int64_t)row->exit_status, (int64_t)row->document_named,
		row->remote_host, (int64_t)row->remote_port, row->away, row->command,
		tail_of(row->id), (int64_t)!is_end(row->status), token_hash, token_expires);
}

int
session_next(struct query *q, struct session_row *ret, struct hw_err *err)
{
	char word[32];

	int r = query_step(q, err);
	if (r <= 0)
		return r;
	*ret = (struct session_row){.command = NULL};
	query_copy(q, 0, ret->id, sizeof(ret->id));
	query_copy(q, 1, word, sizeof(word));
	ret->type = enum_value(&enum_CHANNEL_TYPE, word);
	query_copy(q, 2, ret->principal, sizeof(ret->principal));
	query_copy(q, 3, ret->owner_arn, sizeof(ret->owner_arn));
	query_copy(q, 4, ret->node_id, sizeof(ret->node_id));
	query_copy(q, 5, ret->node_name, sizeof(ret->node_name));
	query_copy(q, 6, ret->run_as, sizeof(ret->run_as));
	query_copy(q, 7, ret->document, sizeof(ret->document));
	query_copy(q, 8, ret->reason, sizeof(ret->reason));
	query_copy(q, 9, word, sizeof(word));
	ret->status = enum_value(&enum_SESSION_STATUS, word);
	ret->start = query_int(q, 10);
	ret->end = query_int(q, 11);
	query_copy(q, 12, ret->details, sizeof(ret->details));
	ret->bytes_in = query_int(q, 13);
	ret->bytes_out = query_int(q, 14);
	ret->exited = query_int(q, 15) != 0;
	ret->exit_status = (int)query_int(q, 16);
	ret->document_named = query_int(q, 17) != 0;
	query_copy(q, 18, ret->remote_host, sizeof(ret->remote_host));
	ret->remote_port = (int)query_int(q, 19);
	ret->away = query_int(q, 20);
	return 1;
}

/* A row with its command, which is the column after COLUMNS: 1, 0 without a row. */
static int
next_whole(struct query *q, struct arena *arena, struct session_row **ret, struct hw_err *err)
{
	struct session_row row;

	int r = session_next(q, &row, err);
	if (r <= 0)
		return r;
	bool shell = query_is_null(q, N_COLUMNS);
	if (!shell)
		row.command = query_text(q, N_COLUMNS, arena);
	struct session_row *copy = arena_dup(arena, &row, sizeof(row));
	if (copy == NULL || (!shell && row.command == NULL))
		return hw_err_set(err, HW_ELIMIT, "no memory for a session");
	*ret = copy;
	return 1;
}

int
session_get(struct db *db, struct arena *arena, const char *id, struct session_row **ret,
	struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS ", command FROM session WHERE id = $1", err);
	query_bind_text(&q, 1, id);
	if (r == 0)
		r = next_whole(&q, arena, ret, err);
	query_end(&q);
	if (r == 0)
		return no_such_session(id, err);
	return r < 0 ? r : 0;
}

/* Above every id that begins with `prefix`: ids have no byte like the one appended. */
static void
prefix_end(char out[98], const char *prefix)
{
	snprintf(out, 98, "%.96s\x7f", prefix);
}

int
session_resolve(struct db *db, struct arena *arena, const char *text, struct session_row **ret,
	struct hw_err *err)
{
	struct session_row *row = NULL, *other;
	char end[98];
	struct query q;
	int r;

	r = session_get(db, arena, text, ret, err);
	if (r != HW_ENOSESSION)
		return r;
	prefix_end(end, text);
	r = db_query(&q, db,
		"SELECT " COLUMNS ", command FROM session"
		" WHERE (id > $1 AND id < $2) OR tail = $1 ORDER BY id LIMIT 2",
		err);
	query_bind_text(&q, 1, text);
	query_bind_text(&q, 2, end);
	if (r == 0 && (r = next_whole(&q, arena, &row, err)) > 0)
		r = next_whole(&q, arena, &other, err);
	query_end(&q);
	if (r < 0)
		return r;
	if (r > 0)
		return hw_err_set(err, HW_EVALIDATION, "%s fits several sessions; say more of it",
			text);
	if (row == NULL)
		return no_such_session(text, err);
	*ret = row;
	return 0;
}

/* --- tickets ---------------------------------------------------------------------------------- */

static int
ticket_refusal(struct db *db, const char *token_hash, const char *principal, int64_t now,
	struct hw_err *err)
{
	char owner[129], id[97];
	struct query q;

	int r = db_query(&q, db,
		"SELECT id, principal, token_used, token_expires FROM session WHERE token_hash = $1",
		err);
	query_bind_text(&q, 1, token_hash);
	if (r == 0 && (r = query_step(&q, err)) > 0) {
		query_copy(&q, 0, id, sizeof(id));
		query_copy(&q, 1, owner, sizeof(owner));
		r = strcmp(owner, principal) != 0
			? hw_err_set(err, HW_ETICKET, "the ticket of session %s is %s's", id, owner)
			: query_int(&q, 2) != 0
			? hw_err_set(err, HW_ETICKET, "the ticket of session %s was used", id)
			: query_int(&q, 3) <= now
			? hw_err_set(err, HW_ETICKET, "the ticket of session %s came late", id)
			: hw_err_set(err, HW_ETICKET, "session %s has ended", id);
	} else if (r == 0) {
		r = hw_err_set(err, HW_ETICKET, "the ticket is not known");
	}
	query_end(&q);
	return r;
}

int
session_redeem(struct db *db, struct arena *arena, const char *token_hash,
	const struct session_opener *who, int64_t now, struct session_row **ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"UPDATE session SET token_used = $3, resume_hash = $4, source = $5, not_before = $6"
		" WHERE token_hash = $1 AND principal = $2"
		" AND token_used = 0 AND token_expires > $3 AND live = 1"
		" RETURNING " COLUMNS ", command",
		err);
	query_bind_text(&q, 1, token_hash);
	query_bind_text(&q, 2, who->name);
	query_bind_int(&q, 3, now);
	query_bind_text(&q, 4, who->resume_hash);
	query_bind_text(&q, 5, who->source);
	query_bind_int(&q, 6, who->not_before);
	if (r == 0)
		r = next_whole(&q, arena, ret, err);
	query_end(&q);
	if (r == 0)
		return ticket_refusal(db, token_hash, who->name, now, err);
	return r < 0 ? r : 0;
}

/* --- its life --------------------------------------------------------------------------------- */

static int
session_exists(struct db *db, const char *id, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT live FROM session WHERE id = $1", err);
	query_bind_text(&q, 1, id);
	if (r == 0 && (r = query_step(&q, err)) == 0)
		r = no_such_session(id, err);
	query_end(&q);
	return r < 0 ? r : 0;
}

/* After an update of a live one that met n. */
static int
check_live(struct db *db, const char *id, int64_t n, struct hw_err *err)
{
	int r;

	if (n > 0)
		return 0;
	if ((r = session_exists(db, id, err)) < 0)
		return r;
	return hw_err_set(err, HW_ETERMINATED, "session %s has ended", id);
}

int
session_set_status(struct db *db, const char *id, int status, struct hw_err *err)
{
	int64_t n = 0;

	hw_assert(status != SESSION_STATUS_NONE && !is_end(status));
	int r = db_run(db, &n, err, "UPDATE session SET status = $2 WHERE id = $1 AND live = 1",
		"ss", id, enum_text(&enum_SESSION_STATUS, status));
	return r == 0 ? check_live(db, id, n, err) : r;
}

int
session_set_opener(struct db *db, const char *id, const struct session_opener *who,
	struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err,
		"UPDATE session SET resume_hash = $2, source = $3, not_before = $4"
		" WHERE id = $1 AND live = 1",
		"sssi", id, who->resume_hash, who->source, who->not_before);
	return r == 0 ? check_live(db, id, n, err) : r;
}

int
session_set_away(struct db *db, const char *id, int64_t since, struct hw_err *err)
{
	int status = since != 0 ? SESSION_STATUS_DISCONNECTED : SESSION_STATUS_CONNECTED;

	return db_run(db, NULL, err,
		"UPDATE session SET status = $2, away = $3 WHERE id = $1 AND live = 1"
		" AND status IN ('Connected', 'Disconnected')",
		"ssi", id, enum_text(&enum_SESSION_STATUS, status), since);
}

int
session_set_all_away(struct db *db, int64_t since, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE session SET status = 'Disconnected', away = $1"
		" WHERE live = 1 AND status = 'Connected'",
		"i", since);
}

int
session_finish(struct db *db, const struct session_row *row, struct hw_err *err)
{
	int64_t n = 0;

	hw_assert(is_end(row->status));
	int r = db_run(db, &n, err,
		"UPDATE session SET status = $2, live = 0, ended = $3, details = $4, bytes_in = $5,"
		" bytes_out = $6, exited = $7, exit_status = $8, run_as = $9, away = 0"
		" WHERE id = $1 AND live = 1",
		"ssisiiiis", row->id, enum_text(&enum_SESSION_STATUS, row->status), row->end,
		row->details, row->bytes_in, row->bytes_out, (int64_t)row->exited,
		(int64_t)row->exit_status, row->run_as);
	if (r == 0 && n == 0)
		r = session_exists(db, row->id, err);
	return r;
}

/* --- lists ------------------------------------------------------------------------------------ */

static const char *
text_or_empty(const char *s)
{
	return s != NULL ? s : "";
}

/* Two texts: those that live have an index of their own. */
#define LIST(which)                                                                    \
	"SELECT " COLUMNS " FROM session WHERE " which "started > $2 AND started < $3" \
	" AND ($4 = '' OR node_id = $4 OR node_name = $4)"                             \
	" AND ($5 = '' OR owner_arn = $5 OR principal = $5)"                           \
	" AND ($6 = '' OR status = $6)"                                                \
	" AND ($7 = '' OR (id >= $7 AND id < $8) OR tail = $7)"                        \
	" AND (started, id) < ($9, $10)"                                               \
	" ORDER BY started DESC, id DESC"

int
session_list(struct query *q, struct db *db, const struct session_filter *f, struct hw_err *err)
{
	const char *id = text_or_empty(f->id);
	char end[98];

	int r = db_query(q, db, f->any ? LIST("") : LIST("live = $1 AND "), err);
	prefix_end(end, id);
	if (!f->any)
		query_bind_int(q, 1, f->live);
	query_bind_int(q, 2, f->after != 0 ? f->after : INT64_MIN);
	query_bind_int(q, 3, f->before != 0 ? f->before : INT64_MAX);
	query_bind_text(q, 4, text_or_empty(f->target));
	query_bind_text(q, 5, text_or_empty(f->owner));
	query_bind_text(q, 6, enum_text(&enum_SESSION_STATUS, f->status));
	query_bind_text(q, 7, id);
	query_bind_text(q, 8, end);
	query_bind_int(q, 9, f->start_below != 0 ? f->start_below : INT64_MAX);
	query_bind_text(q, 10, text_or_empty(f->id_below));
	return r;
}

/* --- sweeping --------------------------------------------------------------------------------- */

#define WAS_OPEN "live = 1 AND token_used > 0 AND (resume_hash = '' OR status = 'Terminating')"
#define GOES_ON	 "live = 1 AND token_used > 0 AND resume_hash <> '' AND status <> 'Terminating'"
#define IS_LATE	 "live = 1 AND token_used = 0 AND token_expires <= $1"

static int
count(struct db *db, const char *sql, size_t *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, sql, err);
	if (r == 0 && (r = query_step(&q, err)) > 0) {
		*ret = (size_t)query_int(&q, 0);
		r = 0;
	}
	query_end(&q);
	return r;
}

int
session_sweep_open(struct db *db, struct arena *arena, int64_t now, const char *details,
	struct msg_strs *ids, struct hw_err *err)
{
	struct msg_strs found = {NULL, 0};
	struct query q;
	size_t n;
	int r;

	if ((r = count(db, "SELECT COUNT(*) FROM session WHERE " WAS_OPEN, &n, err)) < 0)
		return r;
	found.v = arena_array(arena, n, sizeof(*found.v));
	if (found.v == NULL)
		return hw_err_set(err, HW_ELIMIT, "no memory for the ids of %zu sessions", n);
	r = db_query(&q, db,
		"UPDATE session SET status = 'Terminated', live = 0, ended = $1, details = $2"
		" WHERE " WAS_OPEN " RETURNING id",
		err);
	query_bind_int(&q, 1, now);
	query_bind_text(&q, 2, details);
	while (r == 0 && (r = query_step(&q, err)) > 0) {
		hw_assert(found.n < n);
		found.v[found.n] = query_text(&q, 0, arena);
		r = found.v[found.n++] != NULL
			? 0
			: hw_err_set(err, HW_ELIMIT, "no memory for the ids of %zu sessions", n);
	}
	query_end(&q);
	if (r == 0)
		*ids = found;
	return r;
}

int
session_list_open(struct query *q, struct db *db, struct hw_err *err)
{
	return db_query(q, db,
		"SELECT " COLUMNS
		", command, resume_hash, source, not_before FROM session WHERE " GOES_ON,
		err);
}

int
session_next_open(struct query *q, struct arena *arena, struct session_open *ret,
	struct hw_err *err)
{
	int r = next_whole(q, arena, &ret->row, err);

	if (r <= 0)
		return r;
	ret->who = (struct session_opener){
		.name = ret->row->principal,
		.resume_hash = query_text(q, N_COLUMNS + 1, arena),
		.source = query_text(q, N_COLUMNS + 2, arena),
		.not_before = query_int(q, N_COLUMNS + 3),
	};
	if (ret->who.resume_hash == NULL || ret->who.source == NULL)
		return hw_err_set(err, HW_ELIMIT, "no memory for a session");
	return 1;
}

int
session_sweep_late(struct db *db, int64_t now, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE session SET status = 'Failed', live = 0, ended = token_expires,"
		" details = 'never opened: its ticket ran out' WHERE " IS_LATE,
		"i", now);
}

int
session_any_late(struct db *db, int64_t now, bool *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT id FROM session WHERE " IS_LATE " LIMIT 1", err);
	query_bind_int(&q, 1, now);
	if (r == 0 && (r = query_step(&q, err)) >= 0) {
		*ret = r > 0;
		r = 0;
	}
	query_end(&q);
	return r;
}
