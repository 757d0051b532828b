#include "relay/store/sealed.h"

static const struct {
	const char *next, *set;
} rows[SEALED_KINDS] = {
	[SEALED_ACCESS_KEY] = {"SELECT id, user_name, sealed FROM access_key"
			       " WHERE (id, user_name) > ($1, $2) AND sealed <> ''"
			       " ORDER BY id, user_name LIMIT 1",	"UPDATE access_key SET sealed = $1 WHERE id = $2 AND user_name = $3"	    },
	[SEALED_PARAMETERS] = {"SELECT id, '', parameters FROM command"
			       " WHERE (id, '') > ($1, $2) AND parameters <> ''"
			       " ORDER BY id LIMIT 1",		"UPDATE command SET parameters = $1 WHERE id = $2 AND $3 = ''"	      },
	[SEALED_OUTPUT] = {"SELECT command_id, node_id, output FROM invocation"
			   " WHERE (command_id, node_id) > ($1, $2) AND output <> ''"
			   " ORDER BY command_id, node_id LIMIT 1", "UPDATE invocation SET output = $1 WHERE command_id = $2 AND node_id = $3" },
	[SEALED_RECORDING] = {"SELECT number, start, wrapped FROM recording_upload"
			      " WHERE (number, start) > ($1, $2) AND wrapped <> ''"
			      " ORDER BY number, start LIMIT 1",	"UPDATE recording_upload SET wrapped = $1 WHERE number = $2 AND start = $3"},
};

int
sealed_next(struct sealed_text *ret, struct db *db, struct arena *arena,
	const struct sealed_text *last, struct hw_err *err)
{
	struct sealed_text got = {.kind = last->kind};
	struct query q;

	int r = db_query(&q, db, rows[last->kind].next, err);
	query_bind_text(&q, 1, last->id);
	query_bind_text(&q, 2, last->of);
	if (r == 0 && (r = query_step(&q, err)) == 1) {
		got.id = query_text(&q, 0, arena);
		got.of = query_text(&q, 1, arena);
		got.text = query_text(&q, 2, arena);
		if (got.id == NULL || got.of == NULL || got.text == NULL)
			r = hw_err_set(err, HW_ENOMEM, "no memory for what is sealed");
	}
	query_end(&q);
	if (r == 1)
		*ret = got;
	return r;
}

int
sealed_set(struct db *db, const struct sealed_text *what, const char *text, struct hw_err *err)
{
	return db_run(db, NULL, err, rows[what->kind].set, "sss", text, what->id, what->of);
}
