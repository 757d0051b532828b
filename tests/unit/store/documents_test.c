/* Documents and their versions. */
#include <stdio.h>
#include <string.h>

#include "proto/schema/schema.h"
#include "relay/store/documents.h"
#include "relay/store/tags.h"
#include "tests/unit/store/rows.h"

static struct document_version_row
version(const char *content, const char *name)
{
	struct document_version_row row = {.number = 1,
		.format = DOCUMENT_FORMAT_JSON,
		.schema = "2.2",
		.created = NOON,
		.author = "arn:aws:iam::1:user/ann",
		.content = content};

	snprintf(row.version_name, sizeof(row.version_name), "%s", name);
	snprintf(row.hash, sizeof(row.hash), "hash of %s", content);
	return row;
}

static int
insert(struct db *db, const char *name, struct hw_err *err)
{
	struct document_row row = {
		.type = DOCUMENT_TYPE_SESSION, .created = NOON, .target_type = "/t"};
	struct document_version_row first = version("one", "first");

	snprintf(row.name, sizeof(row.name), "%s", name);
	return document_insert(db, &row, &first, err);
}

static int
add(struct db *db, const char *name, const char *content, const char *version_name, int64_t *number,
	struct hw_err *err)
{
	struct document_version_row row = version(content, version_name);
	int r = document_version_add(db, name, &row, err);

	if (number != NULL)
		*number = row.number;
	return r;
}

ROWS_TEST(documents, are_what_was_written)
{
	struct document_row row;
	struct document_version_row v;

	cr_assert(eq(int, insert(db, "doc", err), 0));
	cr_assert(eq(int, document_get(db, "doc", &row, err), 0));
	cr_assert_str_eq(row.name, "doc");
	cr_assert_str_eq(row.target_type, "/t");
	cr_assert(eq(int, row.type, DOCUMENT_TYPE_SESSION));
	cr_assert(row.created == NOON && row.default_version == 1 && row.latest == 1);
	cr_assert(eq(int, document_version_get(db, s->arena, "doc", 1, "", &v, err), 0));
	cr_assert_str_eq(v.content, "one");
	cr_assert_str_eq(v.version_name, "first");
	cr_assert_str_eq(v.hash, "hash of one");
	cr_assert_str_eq(v.schema, "2.2");
	cr_assert_str_eq(v.author, "arn:aws:iam::1:user/ann");
	cr_assert(eq(int, v.format, DOCUMENT_FORMAT_JSON));
	cr_assert(eq(int, document_version_get(db, NULL, "doc", 0, "first", &v, err), 0));
	cr_assert_null(v.content);
	cr_assert(eq(int, insert(db, "doc", err), HW_EDOCUMENTEXISTS));
	cr_assert_str_eq(err->text, "there is a document doc already");
	cr_assert(eq(int, document_get(db, "Doc", &row, err), HW_EDOCUMENT));
	cr_assert_str_eq(err->text, "no document Doc");
}

ROWS_TEST(documents, get_versions_whose_numbers_are_never_given_twice)
{
	struct document_row row;
	struct document_version_row v;
	int64_t n = 0;

	(void)s;
	cr_assert(eq(int, insert(db, "doc", err), 0));
	cr_assert(eq(int, add(db, "doc", "two", "", &n, err), 0));
	cr_assert(eq(i64, n, 2));
	cr_assert(eq(int, add(db, "doc", "three", "", &n, err), 0));
	cr_assert(eq(i64, n, 3));
	cr_assert(eq(int, document_version_delete(db, "doc", 3, err), 0));
	cr_assert(eq(int, document_get(db, "doc", &row, err), 0));
	cr_assert(eq(i64, row.latest, 2));
	cr_assert(eq(i64, row.default_version, 1));
	cr_assert(eq(int, add(db, "doc", "four", "", &n, err), 0));
	cr_assert(eq(i64, n, 4));
	cr_assert(eq(int, document_version_get(db, NULL, "doc", 3, "", &v, err),
		HW_EDOCUMENTVERSION));
	cr_assert_str_eq(err->text, "doc has no version 3");
	cr_assert(eq(int, document_version_get(db, NULL, "doc", 0, "x", &v, err),
		HW_EDOCUMENTVERSION));
	cr_assert_str_eq(err->text, "doc has no version named x");
	cr_assert(eq(int, add(db, "none", "x", "", &n, err), HW_EDOCUMENT));
}

ROWS_TEST(documents, have_no_two_versions_alike)
{
	(void)s;
	cr_assert(eq(int, insert(db, "doc", err), 0));
	cr_assert(eq(int, insert(db, "other", err), 0));
	cr_assert(eq(int, add(db, "doc", "one", "", NULL, err), HW_EDUPLICATECONTENT));
	cr_assert_str_eq(err->text, "a version of doc has this content already");
	cr_assert(eq(int, add(db, "doc", "two", "first", NULL, err), HW_EDUPLICATEVERSION));
	cr_assert_str_eq(err->text, "a version of doc is named first already");
	cr_assert(eq(int, add(db, "doc", "two", "", NULL, err), 0));
	cr_assert(eq(int, add(db, "doc", "three", "", NULL, err), 0));
}

ROWS_TEST(documents, keep_their_default_version)
{
	struct document_row row;

	(void)s;
	cr_assert(eq(int, insert(db, "doc", err), 0));
	cr_assert(eq(int, add(db, "doc", "two", "", NULL, err), 0));
	cr_assert(eq(int, document_set_default(db, "doc", 3, err), HW_EDOCUMENTVERSION));
	cr_assert(eq(int, document_set_default(db, "none", 1, err), HW_EDOCUMENT));
	cr_assert(eq(int, document_set_default(db, "doc", 2, err), 0));
	cr_assert(eq(int, document_get(db, "doc", &row, err), 0));
	cr_assert(eq(i64, row.default_version, 2));
	cr_assert(eq(int, document_version_delete(db, "doc", 2, err), HW_EDOCUMENTOP));
	cr_assert_str_eq(err->text, "version 2 is the default of doc: make another one that first");
	cr_assert(eq(int, document_version_delete(db, "doc", 1, err), 0));
	cr_assert(eq(int, document_version_delete(db, "doc", 1, err), HW_EDOCUMENTVERSION));
	cr_assert(eq(int, document_version_delete(db, "none", 1, err), HW_EDOCUMENT));
	cr_assert(eq(int, document_set_target_type(db, "doc", "", err), 0));
	cr_assert(eq(int, document_get(db, "doc", &row, err), 0));
	cr_assert_str_eq(row.target_type, "/t");
	cr_assert(eq(int, document_set_target_type(db, "doc", "/u", err), 0));
	cr_assert(eq(int, document_get(db, "doc", &row, err), 0));
	cr_assert_str_eq(row.target_type, "/u");
}

ROWS_TEST(documents, have_at_most_so_many_versions)
{
	char content[16];
	int64_t n;

	(void)s;
	cr_assert(eq(int, insert(db, "doc", err), 0));
	for (int i = 2; i <= DOCUMENT_VERSIONS_MAX; i++) {
		snprintf(content, sizeof(content), "%d", i);
		cr_assert(eq(int, add(db, "doc", content, "", &n, err), 0));
	}
	cr_assert(eq(i64, n, DOCUMENT_VERSIONS_MAX));
	cr_assert(eq(int, add(db, "doc", "more", "", &n, err), HW_EDOCUMENTLIMIT));
	cr_assert_str_eq(err->text,
		"doc has 1000 versions already, and no more are allowed: delete one");
	cr_assert(eq(int, document_version_delete(db, "doc", 7, err), 0));
	cr_assert(eq(int, add(db, "doc", "more", "", &n, err), 0));
}

ROWS_TEST(documents, are_listed_by_name_and_their_versions_backwards)
{
	struct document_row row;
	struct document_version_row v;
	struct query q;
	char all[64] = "";

	(void)s;
	cr_assert(eq(int, insert(db, "b", err), 0));
	cr_assert(eq(int, insert(db, "a", err), 0));
	cr_assert(eq(int, insert(db, "c", err), 0));
	cr_assert(eq(int, document_list(&q, db, "a", err), 0));
	while (document_next(&q, &row, err) > 0)
		strcat(all, row.name);
	query_end(&q);
	cr_assert_str_eq(all, "bc");
	cr_assert(eq(int, add(db, "b", "two", "", NULL, err), 0));
	cr_assert(eq(int, add(db, "b", "three", "", NULL, err), 0));
	all[0] = '\0';
	cr_assert(eq(int, document_version_list(&q, db, "b", 0, err), 0));
	while (document_version_next(&q, &v, err) > 0)
		strncat(all, &"0123"[v.number], 1);
	query_end(&q);
	cr_assert_str_eq(all, "321");
	all[0] = '\0';
	cr_assert(eq(int, document_version_list(&q, db, "b", 3, err), 0));
	while (document_version_next(&q, &v, err) > 0)
		strncat(all, &"0123"[v.number], 1);
	query_end(&q);
	cr_assert_str_eq(all, "21");
}

ROWS_TEST(documents, go_with_their_versions_and_tags)
{
	struct document_version_row v;
	struct msg_tag *tags;
	size_t n;

	cr_assert(eq(int, insert(db, "doc", err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_DOCUMENT, "doc", "K", "v", err), 0));
	cr_assert(eq(int, tag_list(db, s->arena, TAGS_DOCUMENT, "doc", &tags, &n, err), 0));
	cr_assert(eq(sz, n, 1));
	cr_assert(eq(int, document_delete(db, "doc", err), 0));
	cr_assert(eq(int, document_delete(db, "doc", err), HW_EDOCUMENT));
	cr_assert(eq(int, document_version_get(db, NULL, "doc", 1, "", &v, err),
		HW_EDOCUMENTVERSION));
	cr_assert(eq(int, tag_list(db, s->arena, TAGS_DOCUMENT, "doc", &tags, &n, err), 0));
	cr_assert(eq(sz, n, 0));
	cr_assert(eq(int, insert(db, "doc", err), 0));
}
