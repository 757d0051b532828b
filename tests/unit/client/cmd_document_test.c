#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/client/stage.h"

#define DESCRIBED(member, version, is_default)                             \
	"{\"" member "\":{\"Name\":\"doc\",\"DocumentVersion\":\"" version \
	"\",\"DefaultVersion\":\"" is_default "\",\"DocumentFormat\":\"YAML\"}}"
#define MADE(version, is_default) DESCRIBED("DocumentDescription", version, is_default)

static struct stage *
put(const char *line, const struct rig_answer *answers)
{
	struct stage *s = stage_new();

	s->input = "a: b\n";
	stage_run(s, line, answers);
	return s;
}

Test(document, put_makes_one_that_there_is_not)
{
	static const struct rig_answer answers[] = {
		{"UpdateDocument",   HW_EDOCUMENT, "no document doc"},
		{"CreateDocument", 0, MADE("1", "1")},
		       {0	 }
	  };
	struct stage *s = put("document put doc - --type SESSION --version-name v1", answers);

	cr_assert(eq(int, s->status, 0), "%s", s->err.text);
	cr_assert_str_eq(s->asked,
		"UpdateDocument {\"Content\":\"a: b\\n\",\"Name\":\"doc\",\"VersionName\":\"v1\"}\n"
		"CreateDocument {\"Content\":\"a: b\\n\",\"Name\":\"doc\",\"VersionName\":\"v1\","
		"\"DocumentType\":\"Session\"}\n");
	cr_assert_str_eq(s->said, "hawser: document doc, version 1, the default one\n");
	stage_free(s);
}

Test(document, put_makes_a_version_and_says_that_it_is_not_the_default_one)
{
	static const struct rig_answer answers[] = {
		{"UpdateDocument", 0, MADE("3", "1")},
		       {0	 }
	  };
	struct stage *s = put("document put doc - --format yaml", answers);

	cr_assert(eq(int, s->status, 0), "%s", s->err.text);
	stage_has(s->asked, "\"DocumentFormat\":\"YAML\"");
	cr_assert_str_eq(s->said,
		"hawser: document doc, version 3; the default one is 1: --default\n");
	stage_free(s);
}

Test(document, put_makes_it_the_default_one_when_asked)
{
	static const struct rig_answer answers[] = {
		{"UpdateDocument", 0, MADE("3", "1")},
		{"UpdateDocumentDefaultVersion",	 0, "{\"Description\":{\"Name\":\"doc\"}}"},
		     {0	       }
	};
	struct stage *s = put("document put doc - --default", answers);

	cr_assert(eq(int, s->status, 0), "%s", s->err.text);
	stage_has(s->asked,
		"UpdateDocumentDefaultVersion {\"Name\":\"doc\",\"DocumentVersion\":\"3\"}\n");
	cr_assert_str_eq(s->said, "hawser: document doc, version 3, the default one\n");
	stage_free(s);
}

Test(document, put_names_the_file_of_a_mistake)
{
	static const struct rig_answer answers[] = {
		{"UpdateDocument",				   HW_EDOCUMENTCONTENT,
			"line 2, column 1: this member is there twice"},
		{0}
	   };
	struct stage *s = put("document put doc -", answers);

	cr_assert(eq(int, s->status, HW_EDOCUMENTCONTENT));
	cr_assert_str_eq(s->err.text,
		"standard input: line 2, column 1: this member is there twice");
	stage_free(s);
}

Test(document, put_asks_nothing_with_what_is_no_document)
{
	static const struct rig_answer none[] = {{0}};
	struct stage *s = stage_new();

	s->input = "";
	stage_run(s, "document put doc -", none);
	cr_assert(eq(int, s->status, HW_EUSAGE));
	stage_has(s->err.text, "standard input is empty");
	stage_free(s);
	s = put("document put doc - --format text/plain", none);
	cr_assert(eq(int, s->status, HW_EUSAGE));
	stage_has(s->err.text, "--format");
	stage_free(s);
}

Test(document, get_writes_the_content_as_it_is)
{
	static const struct rig_answer answers[] = {
		{"GetDocument",				   0, "{\"Name\":\"doc\",\"Content\":\"a:\\tb\\n\"}"},
		    {0}
	       };
	struct stage *s = stage_ok("document get doc:$LATEST -f json", answers,
		"GetDocument {\"Name\":\"doc\",\"DocumentVersion\":\"$LATEST\",\"DocumentFormat\":\"JSON\"}\n");

	cr_assert_str_eq(s->out, "a:\tb\n");
	stage_free(s);
}

Test(document, get_takes_an_arn)
{
	static const struct rig_answer answers[] = {
		{"GetDocument",				0, "{\"Name\":\"doc\",\"Content\":\"a\"}"},
		    {0}
	       };
	struct stage *s = stage_ok("document get arn:aws:ssm:eu:1:document/doc", answers,
		"GetDocument {\"Name\":\"arn:aws:ssm:eu:1:document/doc\"}\n");

	cr_assert_str_eq(s->out, "a\n");
	stage_free(s);
}

Test(document, ls_filters_and_lists)
{
	static const struct rig_answer answers[] = {
		{"ListDocuments",								     0,
			"{\"DocumentIdentifiers\":[{\"Name\":\"doc\",\"Owner\":\"1\",\"DocumentVersion\":\"2\","
			"\"DocumentType\":\"Command\",\"Tags\":[{\"Key\":\"K\",\"Value\":\"v\"}]}]}"},
		{0}
	   };
	struct stage *s = stage_ok("document ls d --own --type command", answers,
		"ListDocuments {\"Filters\":[{\"Key\":\"Owner\",\"Values\":[\"Self\"]},"
		"{\"Key\":\"DocumentType\",\"Values\":[\"Command\"]},{\"Key\":\"Name\",\"Values\":[\"d\"]}],"
		"\"MaxResults\":50}\n");

	stage_has(s->out, "NAME  TYPE     OWNER  VERSION  TAGS\n");
	stage_has(s->out, "doc   Command  1      2        K=v\n");
	stage_free(s);
}

Test(document, versions_are_listed)
{
	static const struct rig_answer answers[] = {
		{"ListDocumentVersions",							    0,
			"{\"DocumentVersions\":[{\"Name\":\"doc\",\"DocumentVersion\":\"2\"},"
			"{\"Name\":\"doc\",\"DocumentVersion\":\"1\",\"IsDefaultVersion\":true}]}"},
		{0}
	   };
	struct stage *s = stage_ok("document versions doc -o name", answers,
		"ListDocumentVersions {\"Name\":\"doc\",\"MaxResults\":50}\n");

	cr_assert_str_eq(s->out, "2\n1\n");
	stage_free(s);
}

Test(document, rm_removes_documents_and_versions)
{
	static const struct rig_answer answers[] = {
		{"DeleteDocument", 0, "{}"},
		     {"DeleteDocument",		0, "{}"},
		  {0}
	     };
	struct stage *s = stage_ok("document rm a b:2", answers,
		"DeleteDocument {\"Name\":\"a\"}\n"
		"DeleteDocument {\"Name\":\"b\",\"DocumentVersion\":\"2\"}\n");

	stage_free(s);
}
