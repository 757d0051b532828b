/* Documents: made, read, changed, listed, removed, tagged. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/document/document.h"
#include "relay/core/document_load.h"
#include "relay/documents/built_in.h"
#include "relay/store/store.h"
#include "tests/unit/services/desk.h"

#define WINDOWS                                                                                    \
	"{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":\"aws:psModule\",\"name\":\"one\"," \
	"\"inputs\":{\"runCommand\":[\"x\"]}}]}"
#define DOC(what)                                                                         \
	"{\"schemaVersion\":\"2.2\",\"description\":\"" what                              \
	"\",\"parameters\":{\"x\":{\"type\":\"String\",\"description\":\"d\"},"           \
	"\"l\":{\"type\":\"StringList\",\"default\":[\"a\"]}},\"mainSteps\":["            \
	"{\"action\":\"aws:runShellScript\",\"name\":\"run\",\"inputs\":{\"runCommand\":" \
	"[\"echo " what "\"]}}]}"

static int
create(struct desk *d, const char *name, const char *content, struct msg_document_description **ret)
{
	struct msg_create_document_request req = {.name = name, .content = content};
	struct msg_create_document_reply rep;
	int r = CALL(d, create_document, &req, &rep);

	if (ret != NULL)
		*ret = rep.document_description;
	return r;
}

static int
update(struct desk *d, const char *name, const char *content, const char *base,
	struct msg_document_description **ret)
{
	struct msg_update_document_request req = {
		.name = name, .content = content, .document_version = base};
	struct msg_update_document_reply rep;
	int r = CALL(d, update_document, &req, &rep);

	if (ret != NULL)
		*ret = rep.document_description;
	return r;
}

static int
get(struct desk *d, const char *name, const char *version, int format,
	struct msg_get_document_reply *rep)
{
	struct msg_get_document_request req = {
		.name = name, .document_version = version, .document_format = format};

	return CALL(d, get_document, &req, rep);
}

static int
set_default(struct desk *d, const char *name, const char *version)
{
	struct msg_update_document_default_version_request req = {
		.name = name, .document_version = version};
	struct msg_update_document_default_version_reply rep;

	return CALL(d, update_document_default_version, &req, &rep);
}

static int delete (struct desk *d, const char *name, const char *version, const char *version_name)
{
	struct msg_delete_document_request req = {
		.name = name, .document_version = version, .version_name = version_name};
	struct msg_empty rep;

	return CALL(d, delete_document, &req, &rep);
}

/* The names of a list, each after a blank. */
static const char *
listed(struct desk *d, const char *key, const char *value)
{
	static char all[4096];
	struct msg_document_key_values_filter filter = {
		.key = key, .values = {&value, 1}
	 };
	struct msg_list_documents_request req = {.max_results = 3};
	struct msg_list_documents_reply rep;

	if (key != NULL) {
		req.filters.v = &filter;
		req.filters.n = 1;
	}
	all[0] = '\0';
	do {
		CHECK_OK(d, CALL(d, list_documents, &req, &rep));
		for (size_t i = 0; i < rep.document_identifiers.n; i++) {
			strcat(all, " ");
			strcat(all, rep.document_identifiers.v[i].name);
		}
		req.next_token = rep.next_token;
	} while (rep.next_token != NULL);
	return all;
}

Test(documents, are_made_and_described)
{
	struct desk *d = desk_new(false);
	struct msg_document_description *shown;
	struct msg_tag tag = {"Team", "red"};
	struct msg_create_document_request req = {
		.name = "my-doc",
		.content = DOC("one"),
		.display_name = "Mine",
		.version_name = "v1",
		.target_type = "/AWS::EC2::Instance",
		.document_format = DOCUMENT_FORMAT_JSON,
		.tags = {&tag, 1}
	 };
	struct msg_create_document_reply rep;

	CHECK_OK(d, CALL(d, create_document, &req, &rep));
	shown = rep.document_description;
	cr_assert_str_eq(shown->name, "my-doc");
	cr_assert_str_eq(shown->display_name, "Mine");
	cr_assert_str_eq(shown->version_name, "v1");
	cr_assert_str_eq(shown->document_version, "1");
	cr_assert_str_eq(shown->latest_version, "1");
	cr_assert_str_eq(shown->default_version, "1");
	cr_assert_str_eq(shown->owner, d->config.account);
	cr_assert_str_eq(shown->author, d->arn);
	cr_assert_str_eq(shown->description, "one");
	cr_assert_str_eq(shown->schema_version, "2.2");
	cr_assert_str_eq(shown->target_type, "/AWS::EC2::Instance");
	cr_assert(eq(sz, strlen(shown->hash), 64));
	cr_assert(eq(int, shown->hash_type, DOCUMENT_HASH_TYPE_SHA256));
	cr_assert(eq(int, shown->status, DOCUMENT_STATUS_ACTIVE));
	cr_assert(eq(int, shown->document_type, DOCUMENT_TYPE_COMMAND));
	cr_assert(eq(int, shown->document_format, DOCUMENT_FORMAT_JSON));
	cr_assert(eq(sz, shown->platform_types.n, 1));
	cr_assert_str_eq(shown->platform_types.v[0], "Linux");
	cr_assert(eq(sz, shown->tags.n, 1));
	cr_assert(eq(sz, shown->parameters.n, 2));
	cr_assert_str_eq(shown->parameters.v[0].name, "x");
	cr_assert_str_eq(shown->parameters.v[0].description, "d");
	cr_assert_null(shown->parameters.v[0].default_value);
	cr_assert_str_eq(shown->parameters.v[1].type, "StringList");
	cr_assert_str_eq(shown->parameters.v[1].default_value, "[\"a\"]");
	desk_free(d);
}

Test(documents, bad_ones_are_refused)
{
	struct desk *d = desk_new(false);
	char big[70000];
	struct msg_attachments_source file = {.key = "SourceUrl"};
	struct msg_document_requires need = {.name = "other"};
	struct msg_create_document_request req = {.name = "doc", .content = DOC("a")};
	struct msg_create_document_reply rep;

	CHECK_FAILS(d, create(d, "a b", DOC("a"), NULL), HW_EVALIDATION, "letters, digits");
	CHECK_FAILS(d, create(d, "a/b", DOC("a"), NULL), HW_EVALIDATION, "letters, digits");
	CHECK_FAILS(d, create(d, "AwS-x", DOC("a"), NULL), HW_EVALIDATION, "choose another");
	CHECK_FAILS(d, create(d, "amazonX", DOC("a"), NULL), HW_EVALIDATION, "choose another");
	CHECK_FAILS(d, create(d, "AMZN.x", DOC("a"), NULL), HW_EVALIDATION, "choose another");
	CHECK_FAILS(d, create(d, "hawser-x", DOC("a"), NULL), HW_EVALIDATION, "choose another");
	CHECK_FAILS(d, create(d, "SSM-SessionManagerRunShell", DOC("a"), NULL), HW_EVALIDATION,
		"choose another");
	CHECK_FAILS(d, create(d, "doc", "{", NULL), HW_EDOCUMENTCONTENT, "line 1, column 1");
	CHECK_FAILS(d, create(d, "doc", "{\"schemaVersion\":\"3\"}", NULL), HW_EDOCUMENTSCHEMA,
		"schemaVersion");
	memset(big, ' ', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CHECK_FAILS(d, create(d, "doc", big, NULL), HW_EDOCUMENTSIZE, "65536");
	req.document_type = DOCUMENT_TYPE_SESSION;
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EDOCUMENTSCHEMA, "Session: 1.0");
	req.document_type = DOCUMENT_TYPE_COMMAND;
	req.document_format = DOCUMENT_FORMAT_TEXT;
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EVALIDATION, "JSON or YAML");
	req.document_format = DOCUMENT_FORMAT_JSON;
	req.content = "a: b";
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EDOCUMENTCONTENT, "JSON");
	req.content = DOC("a");
	req.version_name = "a b";
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EVALIDATION, "VersionName");
	req.version_name = NULL;
	req.display_name = "\033[2J";
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EVALIDATION, "DisplayName");
	req.display_name = NULL;
	req.attachments.v = &file;
	req.attachments.n = 1;
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EVALIDATION, "Attachments");
	req.attachments.n = 0;
	req.requires.v = &need;
	req.requires.n = 1;
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EVALIDATION, "Requires");
	req.requires.n = 0;
	CHECK_OK(d, CALL(d, create_document, &req, &rep));
	CHECK_FAILS(d, CALL(d, create_document, &req, &rep), HW_EDOCUMENTEXISTS, "already");
	desk_free(d);
}

Test(documents, an_update_makes_a_version_that_is_not_the_default_one)
{
	struct desk *d = desk_new(false);
	struct msg_document_description *shown;
	struct msg_get_document_reply rep;

	CHECK_OK(d, create(d, "doc", DOC("one"), NULL));
	CHECK_OK(d, update(d, "doc", DOC("two"), NULL, &shown));
	cr_assert_str_eq(shown->document_version, "2");
	cr_assert_str_eq(shown->latest_version, "2");
	cr_assert_str_eq(shown->default_version, "1");
	CHECK_OK(d, get(d, "doc", NULL, 0, &rep));
	cr_assert_str_eq(rep.content, DOC("one"));
	cr_assert_str_eq(rep.document_version, "1");
	CHECK_OK(d, get(d, "doc", "$LATEST", 0, &rep));
	cr_assert_str_eq(rep.content, DOC("two"));
	CHECK_FAILS(d, update(d, "doc", DOC("two"), NULL, NULL), HW_EDUPLICATECONTENT, "already");
	CHECK_FAILS(d, update(d, "doc", DOC("three"), "1", NULL), HW_EDOCUMENTVERSION,
		"\"1\" is not the latest version of doc, which is 2");
	CHECK_FAILS(d, update(d, "doc", DOC("three"), "$DEFAULT", NULL), HW_EDOCUMENTVERSION,
		"latest");
	CHECK_OK(d, update(d, "doc", DOC("three"), "2", NULL));
	CHECK_OK(d, update(d, "doc", DOC("four"), "$LATEST", NULL));
	CHECK_FAILS(d, update(d, "doc", "{}", NULL, NULL), HW_EDOCUMENTSCHEMA, "schemaVersion");
	CHECK_FAILS(d, update(d, "none", DOC("x"), NULL, NULL), HW_EDOCUMENT, "no document none");
	CHECK_OK(d, set_default(d, "doc", "4"));
	CHECK_OK(d, get(d, "doc", "$DEFAULT", 0, &rep));
	cr_assert_str_eq(rep.content, DOC("four"));
	CHECK_FAILS(d, set_default(d, "doc", "5"), HW_EDOCUMENTVERSION, "no version 5");
	CHECK_FAILS(d, set_default(d, "doc", "v1"), HW_EDOCUMENTVERSION, "v1");
	desk_free(d);
}

Test(documents, versions_that_there_are_not)
{
	static const char *const wrong[] = {
		"0", "01", "-1", "2", "x", "$latest", "1.0", "9999999999"};
	struct desk *d = desk_new(false);
	struct msg_get_document_reply rep;
	struct msg_get_document_request named = {.name = "doc", .version_name = "v1"};

	CHECK_OK(d, create(d, "doc", DOC("one"), NULL));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_FAILS(d, get(d, "doc", wrong[i], 0, &rep), HW_EDOCUMENTVERSION, "version");
		CHECK_FAILS(d, get(d, "AWS-RunShellScript", wrong[i], 0, &rep), HW_EDOCUMENTVERSION,
			"version");
	}
	CHECK_FAILS(d, get(d, "none", NULL, 0, &rep), HW_EDOCUMENT, "no document none");
	CHECK_FAILS(d, CALL(d, get_document, &named, &rep), HW_EDOCUMENTVERSION, "named v1");
	named.name = "AWS-RunShellScript";
	CHECK_FAILS(d, CALL(d, get_document, &named, &rep), HW_EDOCUMENTVERSION, "v1");
	desk_free(d);
}

Test(documents, are_written_in_the_other_format)
{
	struct desk *d = desk_new(false);
	struct msg_get_document_reply rep;
	struct document *one, *other;

	CHECK_OK(d, create(d, "doc", DOC("one"), NULL));
	CHECK_OK(d, get(d, "doc", NULL, DOCUMENT_FORMAT_YAML, &rep));
	cr_assert(eq(int, rep.document_format, DOCUMENT_FORMAT_YAML));
	cr_assert_not_null(strstr(rep.content, "schemaVersion: \"2.2\"\n"));
	cr_assert(eq(int,
		document_parse(&one, DOC("one"), strlen(DOC("one")), 0, DOCUMENT_COMMAND, NULL),
		0));
	cr_assert(eq(int,
		document_parse(&other, rep.content, strlen(rep.content), DOCUMENT_FORMAT_YAML,
			DOCUMENT_COMMAND, NULL),
		0));
	cr_assert(eq(int, json_equal(document_tree(one), document_tree(other)), 1));
	document_free(one);
	document_free(other);
	CHECK_OK(d, get(d, "doc", NULL, DOCUMENT_FORMAT_JSON, &rep));
	cr_assert_str_eq(rep.content, DOC("one"));
	CHECK_FAILS(d, get(d, "doc", NULL, DOCUMENT_FORMAT_TEXT, &rep), HW_EVALIDATION,
		"JSON or YAML");
	CHECK_OK(d, get(d, "AWS-RunShellScript", NULL, DOCUMENT_FORMAT_JSON, &rep));
	cr_assert(eq(int, rep.content[0], '{'));
	desk_free(d);
}

Test(documents, built_in_ones_are_good_and_cannot_be_changed)
{
	struct desk *d = desk_new(false);
	struct msg_describe_document_request req = {.name = NULL};
	struct msg_describe_document_reply rep;

	cr_assert(gt(sz, built_in_count, 7));
	for (size_t i = 0; i < built_in_count; i++) {
		req.name = built_ins[i].name;
		CHECK_OK(d, CALL(d, describe_document, &req, &rep));
		cr_expect_str_eq(rep.document->owner, "Hawser");
		cr_expect_str_eq(rep.document->schema_version,
			built_ins[i].type == DOCUMENT_TYPE_SESSION ? "1.0" : "2.2");
		cr_expect(eq(int, built_in_reserves(built_ins[i].name), 1));
		cr_expect(i == 0 || strcmp(built_ins[i - 1].name, built_ins[i].name) < 0);
	}
	CHECK_FAILS(d, update(d, "AWS-RunShellScript", DOC("x"), NULL, NULL), HW_EDOCUMENTOP,
		"built in");
	CHECK_FAILS(d, set_default(d, "AWS-RunShellScript", "1"), HW_EDOCUMENTOP, "built in");
	CHECK_FAILS(d, delete (d, "AWS-RunShellScript", NULL, NULL), HW_EDOCUMENTOP, "built in");
	req.name = "AWS-RunShellScript";
	CHECK_OK(d, CALL(d, describe_document, &req, &rep));
	cr_assert(eq(sz, rep.document->parameters.n, 3));
	cr_assert_str_eq(rep.document->parameters.v[0].name, "commands");
	cr_assert_str_eq(rep.document->parameters.v[0].type, "StringList");
	cr_assert_null(rep.document->parameters.v[0].default_value);
	cr_assert_str_eq(rep.document->parameters.v[1].name, "workingDirectory");
	cr_assert_str_eq(rep.document->parameters.v[1].default_value, "");
	cr_assert_str_eq(rep.document->parameters.v[2].name, "executionTimeout");
	cr_assert_str_eq(rep.document->parameters.v[2].default_value, "3600");
	desk_free(d);
}

Test(documents, are_named_by_their_arn_too)
{
	struct desk *d = desk_new(false);
	struct msg_get_document_reply rep;
	char arn[256];

	CHECK_OK(d, create(d, "doc", DOC("one"), NULL));
	snprintf(arn, sizeof(arn), "arn:aws:ssm:%s:%s:document/doc", d->config.region,
		d->config.account);
	CHECK_OK(d, get(d, arn, NULL, 0, &rep));
	cr_assert_str_eq(rep.name, "doc");
	snprintf(arn, sizeof(arn), "arn:aws:ssm:%s::document/AWS-RunShellScript", d->config.region);
	CHECK_OK(d, get(d, arn, NULL, 0, &rep));
	cr_assert_str_eq(rep.name, "AWS-RunShellScript");
	CHECK_FAILS(d, get(d, "arn:aws:ssm:elsewhere:1:document/doc", NULL, 0, &rep), HW_EDOCUMENT,
		"no document arn:");
	desk_free(d);
}

Test(documents, are_listed_with_filters_and_pages)
{
	struct desk *d = desk_new(false);
	struct msg_document_filter older = {.key = DOCUMENT_FILTER_OWNER, .value = "Self"};
	struct msg_document_key_values_filter newer = {.key = "Nme"};
	struct msg_list_documents_request req = {.max_results = 50};
	struct msg_list_documents_reply rep;
	struct msg_create_document_request tagged = {.name = "tagged", .content = DOC("t")};
	struct msg_create_document_reply made;
	struct msg_tag tag = {"Team", "red"};
	size_t n = 0;

	tagged.tags.v = &tag;
	tagged.tags.n = 1;
	CHECK_OK(d, create(d, "doc-a", DOC("a"), NULL));
	CHECK_OK(d, create(d, "doc-b", DOC("b"), NULL));
	CHECK_OK(d, CALL(d, create_document, &tagged, &made));
	const char *all = listed(d, NULL, NULL);
	for (size_t i = 0; i < built_in_count; i++)
		n += strstr(all, built_ins[i].name) != NULL;
	cr_assert(eq(sz, n, built_in_count));
	cr_assert_not_null(strstr(all, " doc-a doc-b tagged"));
	cr_assert_str_eq(listed(d, "Owner", "Self"), " doc-a doc-b tagged");
	cr_assert_str_eq(listed(d, "Owner", d->config.account), " doc-a doc-b tagged");
	cr_assert_str_eq(listed(d, "Owner", "ThirdParty"), "");
	cr_assert_null(strstr(listed(d, "Owner", "Amazon"), "doc-a"));
	cr_assert_not_null(strstr(listed(d, "Owner", "Hawser"), "AWS-RunShellScript"));
	cr_assert_not_null(strstr(listed(d, "Owner", "All"), "AWS-RunShellScript"));
	cr_assert_str_eq(listed(d, "Name", "doc-"), " doc-a doc-b");
	cr_assert_str_eq(listed(d, "Name", "AWS-Run"), " AWS-RunShellScript");
	cr_assert_str_eq(listed(d, "SearchKeyword", "OC-A"), " doc-a");
	cr_assert_str_eq(listed(d, "DocumentType", "Command"),
		" AWS-RunShellScript AWS-UpdateSSMAgent doc-a doc-b tagged");
	cr_assert_str_eq(listed(d, "PlatformTypes", "Windows"), "");
	CHECK_OK(d, create(d, "doc-w", WINDOWS, NULL));
	cr_assert_str_eq(listed(d, "PlatformTypes", "Windows"), " doc-w");
	cr_assert_null(strstr(listed(d, "PlatformTypes", "Linux"), "doc-w"));
	cr_assert_not_null(strstr(listed(d, "PlatformTypes", "Linux"), " AWS-RunShellScript "));
	cr_assert_not_null(strstr(listed(d, "PlatformTypes", "Linux"), " doc-a doc-b tagged"));
	CHECK_OK(d, delete (d, "doc-w", NULL, NULL));
	cr_assert_str_eq(listed(d, "tag:Team", "red"), " tagged");
	cr_assert_str_eq(listed(d, "tag:Team", "blue"), "");
	cr_assert_str_eq(listed(d, "tag-key", "Team"), " tagged");
	cr_assert_str_eq(listed(d, "TargetType", "/x"), "");

	req.document_filter_list.v = &older;
	req.document_filter_list.n = 1;
	CHECK_OK(d, CALL(d, list_documents, &req, &rep));
	cr_assert(eq(sz, rep.document_identifiers.n, 3));
	cr_assert_str_eq(rep.document_identifiers.v[0].document_version, "1");
	cr_assert_str_eq(rep.document_identifiers.v[2].tags.v[0].value, "red");
	req.filters.v = &newer;
	req.filters.n = 1;
	CHECK_FAILS(d, CALL(d, list_documents, &req, &rep), HW_EVALIDATION, "exclude each other");
	req.document_filter_list.n = 0;
	CHECK_FAILS(d, CALL(d, list_documents, &req, &rep), HW_EFILTERKEY, "needs values");
	newer.values.v = (const char *[]){"x"};
	newer.values.n = 1;
	CHECK_FAILS(d, CALL(d, list_documents, &req, &rep), HW_EFILTERKEY, "\"Nme\"");
	req.filters.n = 0;
	req.next_token = "x";
	CHECK_FAILS(d, CALL(d, list_documents, &req, &rep), HW_ENEXTTOKEN, "ListDocuments");
	desk_free(d);
}

static int
break_rows(void *arg, struct db *db, struct hw_err *err)
{
	const char *const *sql = arg;

	return db_run(db, NULL, err, *sql, "");
}

Test(documents, one_that_cannot_be_read_keeps_nobody_from_the_others)
{
	const char *damages[] = {
		"UPDATE document_version SET content = '{' WHERE document = 'Broken'",
		"UPDATE document_version SET format = 'TOML' WHERE document = 'Broken'",
		"UPDATE document SET type = 'Novel' WHERE name = 'Broken'",
		"DELETE FROM document_version WHERE document = 'Broken'",
	};
	struct msg_describe_document_request req = {.name = "Broken"};
	struct msg_describe_document_reply rep;
	struct desk *d = desk_new(false);

	CHECK_OK(d, create(d, "Broken", DOC("a"), NULL));
	CHECK_OK(d, create(d, "Whole", DOC("b"), NULL));
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		cr_assert(eq(int, store_write(d->env.store, break_rows, &damages[i], &d->err), 0),
			"%s", d->err.text);
		cr_assert_str_eq(listed(d, "Owner", "Self"), " Broken Whole", "after %s",
			damages[i]);
		cr_assert_str_eq(listed(d, "PlatformTypes", "Windows"), "", "after %s", damages[i]);
		cr_assert(lt(int, CALL(d, describe_document, &req, &rep), 0));
		cr_assert(ne(ptr, strstr(d->err.text, "Broken"), NULL), "%s", d->err.text);
	}
	desk_free(d);
}

/* A default of a list, in which a text of 1000 bytes is named so many times. */
static const char *
with_aliases(int n)
{
	static char text[8192];
	size_t at = 0;

	at += (size_t)snprintf(text, sizeof(text),
		"schemaVersion: '2.2'\ndescription: &a '%01000d'\nparameters:\n  p:\n"
		"    type: StringList\n    default: [",
		0);
	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s*a", i > 0 ? ", " : "");
	snprintf(text + at, sizeof(text) - at,
		"]\nmainSteps:\n- {action: 'aws:runShellScript', name: run, inputs: {runCommand: [ls]}}\n");
	return text;
}

Test(documents, what_could_not_be_shown_later_is_refused)
{
	struct msg_create_document_request req = {
		.name = "Aliases", .document_format = DOCUMENT_FORMAT_YAML};
	struct msg_create_document_reply rep;
	struct desk *d = desk_new(false);

	req.content = with_aliases(70);
	cr_assert(eq(int, CALL(d, create_document, &req, &rep), HW_EDOCUMENTSIZE), "%s",
		d->err.text);
	cr_assert(ne(ptr, strstr(d->err.text, "the default of the parameter p"), NULL), "%s",
		d->err.text);
	req.content = with_aliases(60);
	CHECK_OK(d, CALL(d, create_document, &req, &rep));
	struct msg_update_document_request more = {.name = "Aliases",
		.content = with_aliases(70),
		.document_format = DOCUMENT_FORMAT_YAML,
		.document_version = "$LATEST"};
	struct msg_update_document_reply updated;
	cr_assert(eq(int, CALL(d, update_document, &more, &updated), HW_EDOCUMENTSIZE));
	desk_free(d);
}

Test(documents, who_may_not_see_one_does_not)
{
	struct desk *d = desk_new(false);

	CHECK_OK(d, create(d, "doc-a", DOC("a"), NULL));
	CHECK_OK(d, create(d, "doc-b", DOC("b"), NULL));
	d->hidden = "doc-a";
	cr_assert_str_eq(listed(d, "Owner", "Self"), " doc-b");
	desk_free(d);
}

Test(documents, versions_are_listed_newest_first)
{
	struct desk *d = desk_new(false);
	struct msg_list_document_versions_request req = {.name = "doc", .max_results = 2};
	struct msg_list_document_versions_reply rep;

	CHECK_OK(d, create(d, "doc", DOC("1"), NULL));
	CHECK_OK(d, update(d, "doc", DOC("2"), NULL, NULL));
	CHECK_OK(d, update(d, "doc", DOC("3"), NULL, NULL));
	CHECK_OK(d, CALL(d, list_document_versions, &req, &rep));
	cr_assert(eq(sz, rep.document_versions.n, 2));
	cr_assert_str_eq(rep.document_versions.v[0].document_version, "3");
	cr_assert(eq(int, rep.document_versions.v[0].is_default_version, 0));
	req.next_token = rep.next_token;
	cr_assert_not_null(req.next_token);
	CHECK_OK(d, CALL(d, list_document_versions, &req, &rep));
	cr_assert(eq(sz, rep.document_versions.n, 1));
	cr_assert_str_eq(rep.document_versions.v[0].document_version, "1");
	cr_assert(eq(int, rep.document_versions.v[0].is_default_version, 1));
	cr_assert_null(rep.next_token);
	req = (struct msg_list_document_versions_request){.name = "AWS-StartSSHSession"};
	CHECK_OK(d, CALL(d, list_document_versions, &req, &rep));
	cr_assert(eq(sz, rep.document_versions.n, 1));
	req.name = "none";
	CHECK_FAILS(d, CALL(d, list_document_versions, &req, &rep), HW_EDOCUMENT, "none");
	desk_free(d);
}

Test(documents, are_removed_whole_or_by_version)
{
	struct desk *d = desk_new(false);
	struct msg_get_document_reply rep;
	struct msg_update_document_request named = {
		.name = "doc", .content = DOC("2"), .version_name = "two"};
	struct msg_update_document_reply made;

	CHECK_OK(d, create(d, "doc", DOC("1"), NULL));
	CHECK_OK(d, CALL(d, update_document, &named, &made));
	CHECK_OK(d, update(d, "doc", DOC("3"), NULL, NULL));
	CHECK_FAILS(d, delete (d, "doc", "1", NULL), HW_EDOCUMENTOP, "default");
	CHECK_FAILS(d, delete (d, "doc", "$DEFAULT", NULL), HW_EDOCUMENTOP, "default");
	CHECK_FAILS(d, delete (d, "doc", "3", "two"), HW_EDOCUMENTVERSION, "not named two");
	CHECK_OK(d, delete (d, "doc", NULL, "two"));
	CHECK_FAILS(d, get(d, "doc", "2", 0, &rep), HW_EDOCUMENTVERSION, "no version 2");
	CHECK_OK(d, delete (d, "doc", NULL, NULL));
	CHECK_FAILS(d, delete (d, "doc", NULL, NULL), HW_EDOCUMENT, "no document doc");
	CHECK_FAILS(d, get(d, "doc", NULL, 0, &rep), HW_EDOCUMENT, "no document doc");
	desk_free(d);
}

Test(documents, bear_tags)
{
	struct desk *d = desk_new(false);
	struct msg_tag tag = {"Team", "red"};
	const char *key = "Team";
	struct msg_add_tags_to_resource_request add = {
		.resource_type = TAG_RESOURCE_DOCUMENT, .resource_id = "doc", .tags = {&tag, 1}
	       };
	struct msg_remove_tags_from_resource_request take = {
		.resource_type = TAG_RESOURCE_DOCUMENT,
		.resource_id = "doc",
		.tag_keys = {&key, 1}
	     };
	struct msg_list_tags_for_resource_request list = {
		.resource_type = TAG_RESOURCE_DOCUMENT, .resource_id = "doc"};
	struct msg_list_tags_for_resource_reply rep;
	struct msg_empty none;

	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &add, &none), HW_ERESOURCEID,
		"no document doc");
	CHECK_OK(d, create(d, "doc", DOC("1"), NULL));
	CHECK_OK(d, CALL(d, add_tags_to_resource, &add, &none));
	CHECK_OK(d, CALL(d, list_tags_for_resource, &list, &rep));
	cr_assert(eq(sz, rep.tag_list.n, 1));
	cr_assert_str_eq(rep.tag_list.v[0].value, "red");
	CHECK_OK(d, CALL(d, remove_tags_from_resource, &take, &none));
	CHECK_OK(d, CALL(d, list_tags_for_resource, &list, &rep));
	cr_assert(eq(sz, rep.tag_list.n, 0));
	add.resource_id = "AWS-RunShellScript";
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &add, &none), HW_ERESOURCEID, "built in");
	desk_free(d);
}
