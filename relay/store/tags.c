#include "relay/store/tags.h"

#include <string.h>

#define WALK_SKIPS 16

struct tag_sql {
	const char *list, *walk, *set, *unset, *count;
};

/* clang-format off: the same five statements for each table. */
#define TAG_SQL(table)                                                                         \
	{                                                                                      \
		"SELECT name, content FROM " table " WHERE owner = $1 ORDER BY name",          \
			"SELECT name, content, owner FROM " table " WHERE owner >= $1"         \
			" ORDER BY owner, name",                                               \
			"INSERT INTO " table " (owner, name, content) VALUES ($1, $2, $3)"     \
			" ON CONFLICT (owner, name) DO UPDATE SET content = excluded.content", \
			"DELETE FROM " table " WHERE owner = $1 AND name = $2",                \
			"SELECT COUNT(*) FROM " table " WHERE owner = $1"                      \
	}
/* clang-format on */

static const struct tag_sql sql_of[] = {
	[TAGS_NODE] = TAG_SQL("node_tag"),
	[TAGS_ACTIVATION] = TAG_SQL("activation_tag"),
	[TAGS_USER] = TAG_SQL("user_tag"),
	[TAGS_DOCUMENT] = TAG_SQL("document_tag"),
};

int
tag_count(struct db *db, enum tag_owner kind, const char *owner, int64_t *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, sql_of[kind].count, err);
	query_bind_text(&q, 1, owner);
	if (r == 0 && (r = query_step(&q, err)) > 0) {
		*ret = query_int(&q, 0);
		r = 0;
	}
	query_end(&q);
	return r;
}

static int
tag_read(struct msg_tag *tag, struct query *q, struct arena *arena, struct hw_err *err)
{
	tag->key = query_text(q, 0, arena);
	tag->value = query_text(q, 1, arena);
	if (tag->key == NULL || tag->value == NULL)
		return hw_err_set(err, HW_ELIMIT, "no memory for tags");
	return 0;
}

static int
tags_keep(struct msg_tag **ret, size_t *n, struct arena *arena, const struct msg_tag *tags,
	size_t count, struct hw_err *err)
{
	struct msg_tag *v = arena_dup(arena, tags, count * sizeof(*tags));

	if (v == NULL)
		return hw_err_set(err, HW_ELIMIT, "no memory for tags");
	*ret = v;
	*n = count;
	return 0;
}

int
tag_list(struct db *db, struct arena *arena, enum tag_owner kind, const char *owner,
	struct msg_tag **ret, size_t *n, struct hw_err *err)
{
	struct msg_tag tags[TAGS_MAX];
	struct query q;
	size_t count = 0;

	int r = db_query(&q, db, sql_of[kind].list, err);
	query_bind_text(&q, 1, owner);
	while (r == 0 && (r = query_step(&q, err)) > 0) {
		hw_assert(count < TAGS_MAX);
		r = tag_read(&tags[count++], &q, arena, err);
	}
	query_end(&q);
	return r < 0 ? r : tags_keep(ret, n, arena, tags, count, err);
}

/* --- of many owners --------------------------------------------------------------------------- */

void
tag_walk_begin(struct tag_walk *w, struct db *db, enum tag_owner kind)
{
	*w = (struct tag_walk){.q.db = db, .db = db, .kind = kind};
}

void
tag_walk_end(struct tag_walk *w)
{
	query_end(&w->q);
	w->begun = w->more = false;
}

static int
walk_step(struct tag_walk *w, struct hw_err *err)
{
	int r = query_step(&w->q, err);

	w->more = r > 0;
	if (w->more)
		query_copy(&w->q, 2, w->owner, sizeof(w->owner));
	return r < 0 ? r : 0;
}

static int
walk_seek(struct tag_walk *w, const char *owner, struct hw_err *err)
{
	int r;

	tag_walk_end(w);
	if ((r = db_query(&w->q, w->db, sql_of[w->kind].walk, err)) < 0)
		return r;
	w->begun = true;
	query_bind_text(&w->q, 1, owner);
	return walk_step(w, err);
}

/* Goes over a few that nobody asks for; farther away is somebody whom a query of its own finds
 * sooner. */
static int
walk_to(struct tag_walk *w, const char *owner, struct hw_err *err)
{
	int r = w->begun ? 0 : walk_seek(w, owner, err);

	for (int i = 0; r == 0 && w->more && strcmp(w->owner, owner) < 0; i++)
		r = i < WALK_SKIPS ? walk_step(w, err) : walk_seek(w, owner, err);
	return r;
}

int
tag_walk_list(struct tag_walk *w, struct arena *arena, const char *owner, struct msg_tag **ret,
	size_t *n, struct hw_err *err)
{
	struct msg_tag tags[TAGS_MAX];
	size_t count = 0;
	int r = walk_to(w, owner, err);

	while (r == 0 && w->more && strcmp(w->owner, owner) == 0) {
		hw_assert(count < TAGS_MAX);
		if ((r = tag_read(&tags[count++], &w->q, arena, err)) == 0)
			r = walk_step(w, err);
	}
	return r < 0 ? r : tags_keep(ret, n, arena, tags, count, err);
}

/* --- changes ---------------------------------------------------------------------------------- */

int
tag_set(struct db *db, enum tag_owner kind, const char *owner, const char *key, const char *value,
	struct hw_err *err)
{
	return db_run(db, NULL, err, sql_of[kind].set, "sss", owner, key, value);
}

int
tag_unset(struct db *db, enum tag_owner kind, const char *owner, const char *key,
	struct hw_err *err)
{
	return db_run(db, NULL, err, sql_of[kind].unset, "ss", owner, key);
}
