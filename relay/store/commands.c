#include "relay/store/commands.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS                                                                           \
	"id, principal, owner_arn, document, version, version_asked, comment,"            \
	" max_concurrency, max_errors, concurrency, error_limit, targets, requested,"     \
	" deliver_before, expires, timeout_seconds, output_max, live, cancelled, status," \
	" details, completed, errors, not_delivered, ended, output_bytes, output_gone,"   \
	" s3_bucket, s3_prefix, s3_region, source, by_key"

static int
no_such_command(const char *id, struct hw_err *err)
{
	return hw_err_set(err, HW_ECOMMAND, "no command has the id %.60s", id);
}

int
command_insert(struct db *db, const struct command_row *row, const struct command_body *body,
	struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO command (" COLUMNS ", content, parameters, given) VALUES ($1, $2, $3,"
		" $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,"
		" $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35)",
		"sssssssssiiiiiiiiiissiiiiiissssisss", row->id, row->principal, row->owner_arn,
		row->document, row->version, row->version_asked, row->comment, row->max_concurrency,
		row->max_errors, (int64_t)row->concurrency, (int64_t)row->error_limit,
		(int64_t)row->targets, row->requested, row->deliver_before, row->expires,
		row->timeout_seconds, row->output_max, (int64_t)row->live, (int64_t)row->cancelled,
		enum_text(&enum_INVOCATION_STATUS, row->status), row->details,
		(int64_t)row->completed, (int64_t)row->errors, (int64_t)row->not_delivered,
		row->ended, row->output_bytes, (int64_t)row->output_gone, row->s3_bucket,
		row->s3_prefix, row->s3_region, row->source, (int64_t)row->by_key, body->content,
		body->parameters, body->given);
}

static void
read_texts(struct command_row *ret, struct query *q)
{
	char word[32];

	query_copy(q, 0, ret->id, sizeof(ret->id));
	query_copy(q, 1, ret->principal, sizeof(ret->principal));
	query_copy(q, 2, ret->owner_arn, sizeof(ret->owner_arn));
	query_copy(q, 3, ret->document, sizeof(ret->document));
	query_copy(q, 4, ret->version, sizeof(ret->version));
	query_copy(q, 5, ret->version_asked, sizeof(ret->version_asked));
	query_copy(q, 6, ret->comment, sizeof(ret->comment));
	query_copy(q, 7, ret->max_concurrency, sizeof(ret->max_concurrency));
	query_copy(q, 8, ret->max_errors, sizeof(ret->max_errors));
	query_copy(q, 19, word, sizeof(word));
	ret->status = enum_value(&enum_INVOCATION_STATUS, word);
	query_copy(q, 20, ret->details, sizeof(ret->details));
	query_copy(q, 27, ret->s3_bucket, sizeof(ret->s3_bucket));
	query_copy(q, 28, ret->s3_prefix, sizeof(ret->s3_prefix));
	query_copy(q, 29, ret->s3_region, sizeof(ret->s3_region));
	query_copy(q, 30, ret->source, sizeof(ret->source));
}

static void
read_numbers(struct command_row *ret, struct query *q)
{
	ret->concurrency = (uint32_t)query_int(q, 9);
	ret->error_limit = (uint32_t)query_int(q, 10);
	ret->targets = (uint32_t)query_int(q, 11);
	ret->requested = query_int(q, 12);
	ret->deliver_before = query_int(q, 13);
	ret->expires = query_int(q, 14);
	ret->timeout_seconds = query_int(q, 15);
	ret->output_max = query_int(q, 16);
	ret->live = query_int(q, 17) != 0;
	ret->cancelled = query_int(q, 18) != 0;
	ret->completed = (uint32_t)query_int(q, 21);
	ret->errors = (uint32_t)query_int(q, 22);
	ret->not_delivered = (uint32_t)query_int(q, 23);
	ret->ended = query_int(q, 24);
	ret->output_bytes = query_int(q, 25);
	ret->output_gone = query_int(q, 26) != 0;
	ret->by_key = query_int(q, 31) != 0;
}

int
command_next(struct query *q, struct command_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	*ret = (struct command_row){.live = false};
	read_texts(ret, q);
	read_numbers(ret, q);
	return 1;
}

int
command_get(struct db *db, const char *id, struct command_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS " FROM command WHERE id = $1", err);
	query_bind_text(&q, 1, id);
	if (r == 0 && (r = command_next(&q, ret, err)) == 0)
		r = no_such_command(id, err);
	query_end(&q);
	return r < 0 ? r : 0;
}

int
command_get_body(struct db *db, struct arena *arena, const char *id, struct command_body *ret,
	struct hw_err *err)
{
	struct command_body body = {NULL, NULL, NULL};
	struct query q;

	int r = db_query(&q, db, "SELECT content, parameters, given FROM command WHERE id = $1",
		err);
	query_bind_text(&q, 1, id);
	if (r == 0 && (r = query_step(&q, err)) == 0)
		r = no_such_command(id, err);
	if (r > 0) {
		body.content = query_text(&q, 0, arena);
		body.parameters = query_text(&q, 1, arena);
		body.given = query_text(&q, 2, arena);
		r = body.content != NULL && body.parameters != NULL && body.given != NULL
			? 0
			: hw_err_set(err, HW_ELIMIT, "no memory for a command");
	}
	query_end(&q);
	if (r == 0)
		*ret = body;
	return r;
}

/* --- its life --------------------------------------------------------------------------------- */

int
command_set_status(struct db *db, const char *id, int status, const char *details,
	struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE command SET status = $2, details = $3 WHERE id = $1 AND live = 1", "sss",
		id, enum_text(&enum_INVOCATION_STATUS, status), details);
}

int
command_set_cancelled(struct db *db, const char *id, struct hw_err *err)
{
	return db_run(db, NULL, err, "UPDATE command SET cancelled = 1 WHERE id = $1 AND live = 1",
		"s", id);
}

int
command_finish(struct db *db, const struct command_row *row, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE command SET live = 0, status = $2, details = $3, completed = $4, errors = $5,"
		" not_delivered = $6, ended = $7, output_bytes = (SELECT COALESCE(SUM(stdout_bytes +"
		" stderr_bytes), 0) FROM invocation WHERE command_id = $1) WHERE id = $1 AND live = 1",
		"sssiiii", row->id, enum_text(&enum_INVOCATION_STATUS, row->status), row->details,
		(int64_t)row->completed, (int64_t)row->errors, (int64_t)row->not_delivered,
		row->ended);
}

/* --- lists ------------------------------------------------------------------------------------ */

static const char *
text_or_empty(const char *s)
{
	return s != NULL ? s : "";
}

int
command_list(struct query *q, struct db *db, const struct command_filter *f, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM command WHERE requested > $1 AND requested < $2"
		" AND ($3 = '' OR id = $3)"
		" AND ($4 = '' OR EXISTS (SELECT 1 FROM invocation WHERE command_id = command.id"
		" AND node_id = $4))"
		" AND ($5 = '' OR status = $5)"
		" AND ($6 = 0 OR live = 2 - $6)"
		" AND ($7 = '' OR document = $7)"
		" AND (requested, id) < ($8, $9)"
		" ORDER BY requested DESC, id DESC",
		err);

	query_bind_int(q, 1, f->after != 0 ? f->after : INT64_MIN);
	query_bind_int(q, 2, f->before != 0 ? f->before : INT64_MAX);
	query_bind_text(q, 3, text_or_empty(f->id));
	query_bind_text(q, 4, text_or_empty(f->node));
	query_bind_text(q, 5, enum_text(&enum_INVOCATION_STATUS, f->status));
	query_bind_int(q, 6, f->stage);
	query_bind_text(q, 7, text_or_empty(f->document));
	query_bind_int(q, 8, f->requested_below != 0 ? f->requested_below : INT64_MAX);
	query_bind_text(q, 9, text_or_empty(f->id_below));
	return r;
}

int
command_list_live(struct query *q, struct db *db, struct hw_err *err)
{
	return db_query(q, db, "SELECT " COLUMNS " FROM command WHERE live = 1 ORDER BY requested",
		err);
}

int
command_count_live(struct db *db, int64_t *ret, struct hw_err *err)
{
	return db_count(db, ret, err, "SELECT COUNT(*) FROM command WHERE live = 1", "");
}

/* --- what is kept ------------------------------------------------------------------------------
 */

int
command_list_old(struct db *db, struct arena *arena, int64_t before, size_t max,
	struct msg_strs *ids, struct hw_err *err)
{
	struct msg_strs found = {arena_array(arena, max, sizeof(*found.v)), 0};
	struct query q;

	if (found.v == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ids of commands");
	int r = db_query(&q, db,
		"SELECT id FROM command WHERE live = 0 AND ended < $1 ORDER BY ended LIMIT $2",
		err);
	query_bind_int(&q, 1, before);
	query_bind_int(&q, 2, (int64_t)max);
	while (r == 0 && (r = query_step(&q, err)) > 0) {
		hw_assert(found.n < max);
		found.v[found.n] = query_text(&q, 0, arena);
		r = found.v[found.n++] != NULL
			? 0
			: hw_err_set(err, HW_ENOMEM, "no memory for the ids of commands");
	}
	query_end(&q);
	if (r == 0)
		*ids = found;
	return r;
}

int
command_output_total(struct db *db, int64_t *ret, struct hw_err *err)
{
	return db_count(db, ret, err,
		"SELECT COALESCE(SUM(output_bytes), 0) FROM command WHERE live = 0 AND output_gone = 0",
		"");
}

int
command_oldest_output(struct db *db, int64_t before, struct command_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT " COLUMNS " FROM command WHERE live = 0 AND output_gone = 0"
		" AND output_bytes > 0 AND ended < $1"
		" ORDER BY EXISTS (SELECT 1 FROM upload WHERE command_id = command.id"
		" AND status = 'Pending'), ended LIMIT 1",
		err);
	query_bind_int(&q, 1, before);
	if (r == 0 && (r = command_next(&q, ret, err)) == 0)
		r = hw_err_set(err, HW_ECOMMAND, "no command has output");
	query_end(&q);
	return r < 0 ? r : 0;
}

int
command_set_output_gone(struct db *db, const char *id, struct hw_err *err)
{
	return db_run(db, NULL, err, "UPDATE command SET output_gone = 1 WHERE id = $1", "s", id);
}

int
command_forget_output(struct db *db, const char *id, size_t most, bool *more, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err,
		"UPDATE invocation SET output = '' WHERE command_id = $1 AND node_id IN (SELECT"
		" node_id FROM invocation WHERE command_id = $1 AND output <> '' LIMIT $2)",
		"si", id, (int64_t)most);

	*more = r == 0 && n > 0;
	return r;
}

int
command_delete(struct db *db, const char *id, size_t most, bool *more, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err,
		"DELETE FROM invocation WHERE command_id = $1 AND node_id IN (SELECT node_id FROM"
		" invocation WHERE command_id = $1 LIMIT $2)",
		"si", id, (int64_t)most);

	*more = r == 0 && n > 0;
	if (r < 0 || n > 0)
		return r;
	return db_run(db, NULL, err, "DELETE FROM command WHERE id = $1", "s", id);
}
