#include "relay/store/uploads.h"

#include <string.h>

#include "proto/schema/schema.h"

#define INSERTED "command_id, node_id, status, since, attempts, next, reason"
#define STATE	 "status, since, attempts, next, reason, parts_of, parts_id"
#define OUTPUT	 "SELECT 0 AS kind, command_id, node_id, " STATE " FROM upload"
#define TAPE	 "SELECT 1 AS kind, session_id, '' AS node_id, " STATE " FROM recording_upload"
#define FETCH	 "Fetch" /* a recording's status, beside those of UPLOAD_STATUS */
#define CHANGED                                                                   \
	" SET status = $3, attempts = $4, next = $5, reason = $6, parts_of = $7," \
	" parts_id = $8"

static const char *const sets[UPLOAD_KINDS] = {
	[UPLOAD_OUTPUT] = "UPDATE upload" CHANGED " WHERE command_id = $1 AND node_id = $2",
	[UPLOAD_RECORDING] = "UPDATE recording_upload" CHANGED " WHERE session_id = $1 AND $2 = ''",
};

int
upload_insert(struct db *db, const char *command_id, const char *node_id, int64_t since,
	struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO upload (" INSERTED ") VALUES ($1, $2, $3, $4, 0, $4, '')"
		" ON CONFLICT (command_id, node_id) DO NOTHING",
		"sssi", command_id, node_id, enum_text(&enum_UPLOAD_STATUS, UPLOAD_STATUS_PENDING),
		since);
}

int
upload_set(struct db *db, const struct upload_row *row, struct hw_err *err)
{
	bool output = row->kind == UPLOAD_OUTPUT;

	return db_run(db, NULL, err, sets[row->kind], "sssiisss",
		output ? row->command_id : row->session_id, output ? row->node_id : "",
		row->fetch ? FETCH : enum_text(&enum_UPLOAD_STATUS, row->status), row->attempts,
		row->next, row->reason, row->parts_of, row->parts_id);
}

int
upload_next(struct query *q, struct upload_row *ret, struct hw_err *err)
{
	char word[32];
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	ret->kind = query_int(q, 0) == UPLOAD_OUTPUT ? UPLOAD_OUTPUT : UPLOAD_RECORDING;
	ret->command_id[0] = ret->session_id[0] = '\0';
	if (ret->kind == UPLOAD_OUTPUT)
		query_copy(q, 1, ret->command_id, sizeof(ret->command_id));
	else
		query_copy(q, 1, ret->session_id, sizeof(ret->session_id));
	query_copy(q, 2, ret->node_id, sizeof(ret->node_id));
	query_copy(q, 3, word, sizeof(word));
	ret->fetch = strcmp(word, FETCH) == 0;
	ret->status = ret->fetch ? UPLOAD_STATUS_PENDING : enum_value(&enum_UPLOAD_STATUS, word);
	ret->since = query_int(q, 4);
	ret->attempts = query_int(q, 5);
	ret->next = query_int(q, 6);
	query_copy(q, 7, ret->reason, sizeof(ret->reason));
	query_copy(q, 8, ret->parts_of, sizeof(ret->parts_of));
	query_copy(q, 9, ret->parts_id, sizeof(ret->parts_id));
	return 1;
}

int
upload_get(struct db *db, const char *command_id, const char *node_id, struct upload_row *ret,
	struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, OUTPUT " WHERE command_id = $1 AND node_id = $2", err);
	query_bind_text(&q, 1, command_id);
	query_bind_text(&q, 2, node_id);
	if (r == 0 && (r = upload_next(&q, ret, err)) == 0)
		r = hw_err_set(err, HW_EINVOCATION, "nothing of it is uploaded");
	query_end(&q);
	return r < 0 ? r : 0;
}

#define OUTPUTS		 OUTPUT " WHERE status = 'Pending' AND next "
#define TAPES		 TAPE " WHERE status IN ('Pending', 'Fetch') AND next "
#define SOME(what, name) "SELECT * FROM (" what " ORDER BY next LIMIT $3) AS " name

int
upload_list_due(struct query *q, struct db *db, int64_t now, int64_t latest, size_t max,
	struct hw_err *err)
{
	int r = db_query(q, db,
		SOME(OUTPUTS "<= $1", "outputs") " UNION ALL " SOME(TAPES "<= $1",
			"recordings") " UNION ALL " SOME(OUTPUTS "> $2",
			"outputs_ahead") " UNION ALL " SOME(TAPES "> $2",
			"recordings_ahead") " ORDER BY next",
		err);

	query_bind_int(q, 1, now);
	query_bind_int(q, 2, latest);
	query_bind_int(q, 3, (int64_t)max);
	return r;
}

int
upload_count(struct db *db, int status, int64_t *ret, struct hw_err *err)
{
	return db_count(db, ret, err, "SELECT COUNT(*) FROM upload WHERE status = $1", "s",
		enum_text(&enum_UPLOAD_STATUS, status));
}
