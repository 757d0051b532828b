#include "relay/store/invocations.h"

#include <stdio.h>
#include <string.h>

#include "relay/store/uploads.h"

#define COLUMNS                                                                           \
	"i.command_id, i.node_id, i.node_name, i.live, i.sent, i.status, i.details,"      \
	" i.reason, i.response_code, i.started, i.ended, i.stdout_bytes, i.stderr_bytes," \
	" i.change, i.steps"
#define COLUMN_STEPS 14

#define NEXT_CHANGE                                                         \
	"change = (SELECT COALESCE(MAX(o.change), 0) + 1 FROM invocation o" \
	" WHERE o.command_id = $1)"

int
invocation_insert(struct db *db, const struct invocation_row *row, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO invocation (command_id, node_id, node_name, live, sent, status, details,"
		" reason, response_code, started, ended, stdout_bytes, stderr_bytes, change, steps,"
		" output) VALUES ($1, $2, (SELECT COALESCE(MAX(name), '') FROM node WHERE id = $2),"
		" $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', '')",
		"ssiisssiiiiii", row->command_id, row->node_id, (int64_t)row->live,
		(int64_t)row->sent, enum_text(&enum_INVOCATION_STATUS, row->status), row->details,
		row->reason, row->response_code, row->started, row->ended, row->stdout_bytes,
		row->stderr_bytes, row->change);
}

int
invocation_set(struct db *db, const struct invocation_note *note, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE invocation SET sent = $3, status = $4, details = $5,"
		" stdout_bytes = CASE WHEN $6 < 0 THEN stdout_bytes ELSE $6 END,"
		" stderr_bytes = CASE WHEN $7 < 0 THEN stderr_bytes ELSE $7 END, " NEXT_CHANGE
		" WHERE command_id = $1 AND node_id = $2 AND live = 1",
		"ssissii", note->command_id, note->node_id, (int64_t)note->sent,
		enum_text(&enum_INVOCATION_STATUS, note->status), note->details, note->stdout_bytes,
		note->stderr_bytes);
}

int
invocation_set_steps(struct db *db, const char *command_id, const char *node_id, const char *steps,
	int64_t started, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE invocation SET steps = $3, started = $4, " NEXT_CHANGE
		" WHERE command_id = $1 AND node_id = $2 AND live = 1",
		"sssi", command_id, node_id, steps, started);
}

int
invocation_finish(struct db *db, const struct invocation_row *row, const char *steps,
	const char *output, bool *ended, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err,
		"UPDATE invocation SET live = 0, sent = $3, status = $4, details = $5, reason = $6,"
		" response_code = $7, started = CASE WHEN $8 = 0 THEN started ELSE $8 END, ended = $9, stdout_bytes = $10,"
		" stderr_bytes = $11, steps = COALESCE($12, steps), output = $13, " NEXT_CHANGE
		" WHERE command_id = $1 AND node_id = $2 AND live = 1",
		"ssisssiiiiiss", row->command_id, row->node_id, (int64_t)row->sent,
		enum_text(&enum_INVOCATION_STATUS, row->status), row->details, row->reason,
		row->response_code, row->started, row->ended, row->stdout_bytes, row->stderr_bytes,
		steps, output);
	if (r == 0 && ended != NULL)
		*ended = n > 0;
	if (r == 0 && n > 0 && row->upload_at != 0)
		r = upload_insert(db, row->command_id, row->node_id, row->upload_at, err);
	return r;
}

/* --- reading -----------------------------------------------------------------------------------
 */

int
invocation_next(struct query *q, struct invocation_row *ret, struct hw_err *err)
{
	char word[32];

	int r = query_step(q, err);
	if (r <= 0)
		return r;
	*ret = (struct invocation_row){.live = false};
	query_copy(q, 0, ret->command_id, sizeof(ret->command_id));
	query_copy(q, 1, ret->node_id, sizeof(ret->node_id));
	query_copy(q, 2, ret->node_name, sizeof(ret->node_name));
	ret->live = query_int(q, 3) != 0;
	ret->sent = (int)query_int(q, 4);
	query_copy(q, 5, word, sizeof(word));
	ret->status = enum_value(&enum_INVOCATION_STATUS, word);
	query_copy(q, 6, ret->details, sizeof(ret->details));
	query_copy(q, 7, ret->reason, sizeof(ret->reason));
	ret->response_code = query_int(q, 8);
	ret->started = query_int(q, 9);
	ret->ended = query_int(q, 10);
	ret->stdout_bytes = query_int(q, 11);
	ret->stderr_bytes = query_int(q, 12);
	ret->change = query_int(q, 13);
	return 1;
}

const char *
invocation_row_steps(struct query *q, struct arena *arena)
{
	return query_text(q, COLUMN_STEPS, arena);
}

static int
no_such_invocation(const char *command_id, const char *node_id, struct hw_err *err)
{
	return hw_err_set(err, HW_EINVOCATION, "command %.60s has no invocation on %.64s",
		command_id, node_id);
}

int
invocation_get(struct db *db, const char *command_id, const char *node_id,
	struct invocation_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT " COLUMNS " FROM invocation i WHERE i.command_id = $1 AND i.node_id = $2",
		err);
	query_bind_text(&q, 1, command_id);
	query_bind_text(&q, 2, node_id);
	if (r == 0 && (r = invocation_next(&q, ret, err)) == 0)
		r = no_such_invocation(command_id, node_id, err);
	query_end(&q);
	return r < 0 ? r : 0;
}

static int
read_body(struct query *q, struct arena *arena, const char **steps, const char **output,
	struct hw_err *err)
{
	if ((steps != NULL && (*steps = query_text(q, 0, arena)) == NULL) ||
		(output != NULL && (*output = query_text(q, 1, arena)) == NULL))
		return hw_err_set(err, HW_ELIMIT, "no memory for an invocation");
	return 0;
}

int
invocation_get_body(struct db *db, struct arena *arena, const char *command_id, const char *node_id,
	const char **steps, const char **output, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT steps, output FROM invocation WHERE command_id = $1 AND node_id = $2", err);
	query_bind_text(&q, 1, command_id);
	query_bind_text(&q, 2, node_id);
	if (r == 0 && (r = query_step(&q, err)) == 0)
		r = no_such_invocation(command_id, node_id, err);
	if (r > 0)
		r = read_body(&q, arena, steps, output, err);
	query_end(&q);
	return r;
}

int
invocation_list(struct query *q, struct db *db, const char *command_id, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM invocation i WHERE i.command_id = $1 ORDER BY i.node_id",
		err);

	query_bind_text(q, 1, command_id);
	return r;
}

int
invocation_list_changes(struct query *q, struct db *db, const char *command_id, int64_t after,
	struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM invocation i WHERE i.command_id = $1 AND i.change > $2"
		" ORDER BY i.change",
		err);

	query_bind_text(q, 1, command_id);
	query_bind_int(q, 2, after);
	return r;
}

static const char *
text_or_empty(const char *s)
{
	return s != NULL ? s : "";
}

int
invocation_search(struct query *q, struct db *db, const struct invocation_filter *f,
	struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM command c JOIN invocation i ON i.command_id = c.id"
		" WHERE c.requested > $1 AND c.requested < $2"
		" AND ($3 = '' OR c.id = $3)"
		" AND ($4 = '' OR i.node_id = $4)"
		" AND ($5 = '' OR i.status = $5)"
		" AND ($6 = 0 OR i.live = 2 - $6)"
		" AND ($7 = '' OR c.document = $7)"
		" AND ((c.requested, c.id) < ($8, $9) OR (c.id = $9 AND i.node_id > $10))"
		" ORDER BY c.requested DESC, c.id DESC, i.node_id",
		err);

	query_bind_int(q, 1, f->after != 0 ? f->after : INT64_MIN);
	query_bind_int(q, 2, f->before != 0 ? f->before : INT64_MAX);
	query_bind_text(q, 3, text_or_empty(f->command));
	query_bind_text(q, 4, text_or_empty(f->node));
	query_bind_text(q, 5, enum_text(&enum_INVOCATION_STATUS, f->status));
	query_bind_int(q, 6, f->stage);
	query_bind_text(q, 7, text_or_empty(f->document));
	query_bind_int(q, 8, f->requested_below != 0 ? f->requested_below : INT64_MAX);
	query_bind_text(q, 9, text_or_empty(f->command_below));
	query_bind_text(q, 10, text_or_empty(f->node_above));
	return r;
}
