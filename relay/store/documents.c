#include "relay/store/documents.h"

#include <stdio.h>
#include <string.h>

#include "proto/schema/schema.h"

#define DOCUMENT_COLUMNS "name, type, created, default_version, latest, target_type"
#define VERSION_COLUMNS \
	"number, version_name, display_name, format, schema_version, hash, created, author"

static int
no_such_document(const char *name, struct hw_err *err)
{
	return hw_err_set(err, HW_EDOCUMENT, "no document %s", name);
}

/* --- documents -------------------------------------------------------------------------------- */

static void
read_document(struct document_row *ret, struct query *q)
{
	char type[32];

	query_copy(q, 0, ret->name, sizeof(ret->name));
	query_copy(q, 1, type, sizeof(type));
	ret->type = enum_value(&enum_DOCUMENT_TYPE, type);
	ret->created = query_int(q, 2);
	ret->default_version = query_int(q, 3);
	ret->latest = query_int(q, 4);
	query_copy(q, 5, ret->target_type, sizeof(ret->target_type));
}

int
document_get(struct db *db, const char *name, struct document_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " DOCUMENT_COLUMNS " FROM document WHERE name = $1", err);
	query_bind_text(&q, 1, name);
	if (r == 0 && (r = query_step(&q, err)) > 0)
		read_document(ret, &q);
	query_end(&q);
	return r > 0 ? 0 : r < 0 ? r : no_such_document(name, err);
}

int
document_list(struct query *q, struct db *db, const char *after, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " DOCUMENT_COLUMNS " FROM document WHERE name > $1 ORDER BY name", err);

	query_bind_text(q, 1, after);
	return r;
}

int
document_next(struct query *q, struct document_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r > 0)
		read_document(ret, q);
	return r;
}

static int
insert_version(struct db *db, const char *name, const struct document_version_row *row,
	struct hw_err *err)
{
	const char *version_name = row->version_name[0] != '\0' ? row->version_name : NULL;

	return db_run(db, NULL, err,
		"INSERT INTO document_version (document, " VERSION_COLUMNS ", content)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		"sisssssiss", name, row->number, version_name, row->display_name,
		enum_text(&enum_DOCUMENT_FORMAT, row->format), row->schema, row->hash, row->created,
		row->author, row->content);
}

int
document_insert(struct db *db, const struct document_row *row,
	const struct document_version_row *first, struct hw_err *err)
{
	int64_t n = 0;
	int r;

	hw_assert(first->number == 1);
	r = db_run(db, NULL, err,
		"INSERT INTO document (name, type, created, default_version, latest, given,"
		" target_type) VALUES ($1, $2, $3, 1, 1, 1, $4)",
		"ssis", row->name, enum_text(&enum_DOCUMENT_TYPE, row->type), row->created,
		row->target_type);
	if (r == HW_EEXISTS)
		return hw_err_set(err, HW_EDOCUMENTEXISTS, "there is a document %s already",
			row->name);
	if (r < 0 || (r = insert_version(db, row->name, first, err)) < 0 ||
		(r = db_count(db, &n, err, "SELECT COUNT(*) FROM document", "")) < 0)
		return r;
	if (n > DOCUMENTS_MAX)
		return hw_err_set(err, HW_EDOCUMENTCOUNT,
			"there are %d documents already, and no more are allowed: delete one",
			DOCUMENTS_MAX);
	return 0;
}

static int
changed_one(int r, int64_t n, const char *name, struct hw_err *err)
{
	return r < 0 || n > 0 ? r : no_such_document(name, err);
}

int
document_delete(struct db *db, const char *name, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err, "DELETE FROM document WHERE name = $1", "s", name);

	return changed_one(r, n, name, err);
}

int
document_set_default(struct db *db, const char *name, int64_t number, struct hw_err *err)
{
	struct document_row document;
	struct document_version_row version;
	int r;

	if ((r = document_get(db, name, &document, err)) < 0 ||
		(r = document_version_get(db, NULL, name, number, "", &version, err)) < 0)
		return r;
	return db_run(db, NULL, err, "UPDATE document SET default_version = $2 WHERE name = $1",
		"si", name, number);
}

int
document_set_target_type(struct db *db, const char *name, const char *target_type,
	struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err,
		"UPDATE document SET target_type = CASE $2 WHEN '' THEN target_type ELSE $2 END"
		" WHERE name = $1",
		"ss", name, target_type);

	return changed_one(r, n, name, err);
}

/* --- versions --------------------------------------------------------------------------------- */

static int
check_unlike(struct db *db, const char *name, const struct document_version_row *row,
	struct hw_err *err)
{
	int64_t n = 0;
	int r = db_count(db, &n, err,
		"SELECT COUNT(*) FROM document_version WHERE document = $1 AND hash = $2", "ss",
		name, row->hash);

	if (r == 0 && n > 0)
		return hw_err_set(err, HW_EDUPLICATECONTENT,
			"a version of %s has this content already", name);
	if (r < 0 || row->version_name[0] == '\0')
		return r;
	r = db_count(db, &n, err,
		"SELECT COUNT(*) FROM document_version WHERE document = $1 AND version_name = $2",
		"ss", name, row->version_name);
	return r < 0 || n == 0
		? r
		: hw_err_set(err, HW_EDUPLICATEVERSION, "a version of %s is named %s already", name,
			  row->version_name);
}

static int
check_room(struct db *db, const char *name, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_count(db, &n, err, "SELECT COUNT(*) FROM document_version WHERE document = $1",
		"s", name);

	if (r < 0 || n < DOCUMENT_VERSIONS_MAX)
		return r;
	return hw_err_set(err, HW_EDOCUMENTLIMIT,
		"%s has %d versions already, and no more are allowed: delete one", name,
		DOCUMENT_VERSIONS_MAX);
}

static int
next_number(struct db *db, const char *name, int64_t *ret, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err,
		"UPDATE document SET given = given + 1, latest = given + 1 WHERE name = $1", "s",
		name);

	if ((r = changed_one(r, n, name, err)) < 0)
		return r;
	return db_count(db, ret, err, "SELECT given FROM document WHERE name = $1", "s", name);
}

int
document_version_add(struct db *db, const char *name, struct document_version_row *row,
	struct hw_err *err)
{
	int r;

	if ((r = next_number(db, name, &row->number, err)) < 0 ||
		(r = check_unlike(db, name, row, err)) < 0 || (r = check_room(db, name, err)) < 0)
		return r;
	return insert_version(db, name, row, err);
}

static void
read_version(struct document_version_row *ret, struct query *q)
{
	char format[8];

	ret->number = query_int(q, 0);
	query_copy(q, 1, ret->version_name, sizeof(ret->version_name));
	query_copy(q, 2, ret->display_name, sizeof(ret->display_name));
	query_copy(q, 3, format, sizeof(format));
	ret->format = enum_value(&enum_DOCUMENT_FORMAT, format);
	query_copy(q, 4, ret->schema, sizeof(ret->schema));
	query_copy(q, 5, ret->hash, sizeof(ret->hash));
	ret->created = query_int(q, 6);
	query_copy(q, 7, ret->author, sizeof(ret->author));
	ret->content = NULL;
}

static int
no_such_version(const char *name, int64_t number, const char *version_name, struct hw_err *err)
{
	if (number == 0)
		return hw_err_set(err, HW_EDOCUMENTVERSION, "%s has no version named %s", name,
			version_name);
	return hw_err_set(err, HW_EDOCUMENTVERSION, "%s has no version %lld", name,
		(long long)number);
}

int
document_version_get(struct db *db, struct arena *arena, const char *name, int64_t number,
	const char *version_name, struct document_version_row *ret, struct hw_err *err)
{
	struct query q;
	int r = db_query(&q, db,
		number != 0 ? "SELECT " VERSION_COLUMNS ", content FROM document_version"
			      " WHERE document = $1 AND number = $2"
			    : "SELECT " VERSION_COLUMNS ", content FROM document_version"
			      " WHERE document = $1 AND version_name = $2",
		err);

	query_bind_text(&q, 1, name);
	if (number != 0)
		query_bind_int(&q, 2, number);
	else
		query_bind_text(&q, 2, version_name);
	if (r == 0 && (r = query_step(&q, err)) > 0) {
		read_version(ret, &q);
		if (arena != NULL && (ret->content = query_text(&q, 8, arena)) == NULL)
			r = hw_err_set(err, HW_ELIMIT, "no memory for a document");
	}
	query_end(&q);
	return r > 0 ? 0 : r < 0 ? r : no_such_version(name, number, version_name, err);
}

int
document_version_delete(struct db *db, const char *name, int64_t number, struct hw_err *err)
{
	struct document_row document;
	int64_t n = 0;
	int r = document_get(db, name, &document, err);

	if (r < 0)
		return r;
	if (document.default_version == number)
		return hw_err_set(err, HW_EDOCUMENTOP,
			"version %lld is the default of %s: make another one that first",
			(long long)number, name);
	r = db_run(db, &n, err, "DELETE FROM document_version WHERE document = $1 AND number = $2",
		"si", name, number);
	if (r == 0 && n == 0)
		return no_such_version(name, number, "", err);
	if (r < 0)
		return r;
	return db_run(db, NULL, err,
		"UPDATE document SET latest = (SELECT MAX(number) FROM document_version"
		" WHERE document = $1) WHERE name = $1",
		"s", name);
}

int
document_version_list(struct query *q, struct db *db, const char *name, int64_t before,
	struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " VERSION_COLUMNS " FROM document_version"
		" WHERE document = $1 AND (CAST($2 AS BIGINT) = 0 OR number < $2)"
		" ORDER BY number DESC",
		err);

	query_bind_text(q, 1, name);
	query_bind_int(q, 2, before);
	return r;
}

int
document_version_next(struct query *q, struct document_version_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r > 0)
		read_version(ret, q);
	return r;
}
