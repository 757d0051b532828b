/* Steps that need documents: those that run them, and those that download them; on a node, with
 * real programs. */
#include <sys/mount.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/sweep.h"
#include "node/programs.h"
#include "proto/base/err.h"
#include "proto/base/loop.h"
#include "tests/unit/node/desk.h"

TestSuite(commands_inner, .timeout = 120);

#define STEPS(...) "{\"schemaVersion\":\"2.2\",\"mainSteps\":[" __VA_ARGS__ "]}"
#define STEP(name, action, inputs) \
	"{\"name\":\"do_" name "\",\"action\":\"" action "\",\"inputs\":{" inputs "}}"
#define SCRIPT(name, lines) STEP(name, "aws:runShellScript", "\"runCommand\":[" lines "]")
#define SCRIPT_WITH(name, lines, more) \
	STEP(name, "aws:runShellScript", "\"runCommand\":[" lines "]," more)
#define RUN(name, document, more)     \
	STEP(name, "aws:runDocument", \
		"\"documentType\":\"SSMDocument\",\"documentPath\":\"" document "\"" more)
#define RUN_FILE(name, path)          \
	STEP(name, "aws:runDocument", \
		"\"documentType\":\"LocalPath\",\"documentPath\":\"" path "\"")
#define DOWNLOAD(name, type, info, to)                                                            \
	STEP(name, "aws:downloadContent",                                                         \
		"\"sourceType\":\"" type "\",\"sourceInfo\":{" info "},\"destinationPath\":\"" to \
		"\"")

static const char *
work_of(const struct desk *d, const struct desk_record *r)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/hawser-mi-0123456789abcdef0-%s", d->work, r->id);
	return path;
}

/* --- documents that are run
 * ------------------------------------------------------------------------ */

Test(commands_inner, a_documents_steps_run_in_the_place_of_one)
{
	struct desk *d = desk_new();

	desk_document(d, "Inner",
		STEPS(SCRIPT("a", "\"echo inner a; echo err a >&2\"") "," SCRIPT("b",
			"\"echo inner b $SSM_COMMAND_ID\"")));
	struct desk_record *r = desk_order(d,
		STEPS(SCRIPT("first", "\"echo first\"") "," RUN("middle", "Inner",
			"") "," SCRIPT("last", "\"echo last\"")));
	char expected[128];

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(r->n, 3);
	snprintf(expected, sizeof(expected), "inner a\ninner b %s\n", r->id);
	cr_assert_str_eq(desk_out(r, 1, 0), expected);
	cr_assert_str_eq(desk_out(r, 1, 1), "err a\n");
	cr_assert_str_eq(desk_out(r, 2, 0), "last\n");
	desk_free(d);
}

#define WITH_PARAMETERS                                                                             \
	"{\"schemaVersion\":\"2.2\",\"parameters\":{\"Word\":{\"type\":\"String\",\"default\":"     \
	"\"none\"},\"List\":{\"type\":\"StringList\",\"default\":[\"x\"]}},\"mainSteps\":[" SCRIPT( \
		"s", "\"echo {{ Word }}\",\"echo '{{ List }}'\"") "]}"

Test(commands_inner, parameters_are_a_map_or_text_and_null_is_the_default)
{
	static const struct {
		const char *more, *out;
	} rows[] = {
		{"",								  "none\n[\"x\"]\n"},
		{",\"documentParameters\":{\"Word\":\"w\",\"List\":[\"a\",\"b\"]}",
			"w\n[\"a\",\"b\"]\n"								  },
		{",\"documentParameters\":{\"Word\":null,\"List\":[\"a\"]}",	     "none\n[\"a\"]\n"},
		{",\"documentParameters\":\"{\\\"Word\\\":\\\"json\\\"}\"",	    "json\n[\"x\"]\n"},
		{",\"documentParameters\":\"Word: yaml\\nList:\\n  - a\\n  - b\\n\"",
			"yaml\n[\"a\",\"b\"]\n"							       },
	};
	struct desk *d = desk_new();
	struct desk_record *r[5];

	desk_document(d, "Inner", WITH_PARAMETERS);
	for (size_t i = 0; i < 5; i++) {
		char content[1024];
		snprintf(content, sizeof(content), "%s%s%s",
			"{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"name\":\"run\",\"action\":"
			"\"aws:runDocument\",\"inputs\":{\"documentType\":\"SSMDocument\","
			"\"documentPath\":\"Inner\"",
			rows[i].more, "}}]}");
		r[i] = desk_order(d, content);
	}
	desk_tell(d);
	for (size_t i = 0; i < 5; i++) {
		desk_until_taken(d, r[i]);
		desk_expect(r[i], "Success", "Success", 0);
		cr_assert_str_eq(desk_out(r[i], 0, 0), rows[i].out);
	}
	desk_free(d);
}

Test(commands_inner, what_cannot_be_run_fails_the_step_alone)
{
	static const struct {
		const char *inputs, *says;
	} rows[] = {
		{"\"documentType\":\"SSMDocument\",\"documentPath\":\"NoSuch\"",
			"cannot get the document NoSuch: there is no such document\n"						     },
		{"\"documentType\":\"SSMDocument\",\"documentPath\":\"Inner\",\"documentParameters\":"
		 "{\"Other\":\"x\"}",						   "Other"		       },
		{"\"documentType\":\"SSMDocument\"",						     "there is no documentPath"},
		{"\"documentType\":\"Elsewhere\",\"documentPath\":\"Inner\"",
			"documentType is SSMDocument or LocalPath, not Elsewhere"							 },
		{"\"documentType\":\"SSMDocument\",\"documentPath\":\"Broken\"",			 "Schema"			 },
		{"\"documentType\":\"LocalPath\",\"documentPath\":\"/no/such/document.json\"",
			"the document /no/such/document.json cannot be read\n"							      },
		{"\"documentType\":\"LocalPath\",\"documentPath\":\"/dev/null\"",
			"is not a text\n"												 },
		{"\"documentType\":\"LocalPath\",\"documentPath\":\"/dev/zero\"",
			"is longer than 65536 bytes\n"										    },
		{"\"documentType\":\"SSMDocument\",\"documentPath\":\"Inner\",\"documentParameters\":7",
			"documentParameters is neither a map nor a text of one"							       },
	};
	struct desk *d = desk_new();
	struct desk_record *r[sizeof(rows) / sizeof(rows[0])];

	desk_document(d, "Inner", WITH_PARAMETERS);
	desk_document(d, "Broken", "{\"schemaVersion\":\"9.9\",\"mainSteps\":[]}");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char content[1024];
		snprintf(content, sizeof(content),
			"{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"name\":\"run\",\"action\":"
			"\"aws:runDocument\",\"inputs\":{%s}}," SCRIPT("after",
				"\"echo after\"") "]}",
			rows[i].inputs);
		r[i] = desk_order(d, content);
	}
	desk_tell(d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		desk_until_taken(d, r[i]);
		desk_expect(r[i], "Failed", "Failed", 1);
		cr_assert(strstr(desk_out(r[i], 0, 1), rows[i].says) ||
				strcasestr(desk_out(r[i], 0, 1), rows[i].says),
			"%zu: %s", i, desk_out(r[i], 0, 1));
		cr_assert_str_eq(desk_out(r[i], 1, 0), "after\n");
	}
	desk_free(d);
}

Test(commands_inner, nothing_is_a_success_of_its_own)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d, STEPS(RUN("noop", "AWS-Noop", "")));

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(d->documents_asked, 0);
	desk_free(d);
}

Test(commands_inner, three_documents_deep_and_no_deeper)
{
	struct desk *d = desk_new();

	desk_document(d, "One", STEPS(SCRIPT("s", "\"echo 1\"") "," RUN("r", "Two", "")));
	desk_document(d, "Two", STEPS(SCRIPT("s", "\"echo 2\"") "," RUN("r", "Three", "")));
	desk_document(d, "Three", STEPS(SCRIPT("s", "\"echo 3\"")));
	desk_document(d, "Zero", STEPS(SCRIPT("s", "\"echo 0\"") "," RUN("r", "One", "")));
	desk_document(d, "Itself", STEPS(SCRIPT("s", "\"echo x\"") "," RUN("r", "Itself", "")));
	struct desk_record *three = desk_order(d, STEPS(RUN("r", "One", "")));
	struct desk_record *four = desk_order(d, STEPS(RUN("r", "Zero", "")));
	struct desk_record *endless = desk_order(d, STEPS(RUN("r", "Itself", "")));

	desk_run(d, three);
	desk_until_taken(d, four);
	desk_until_taken(d, endless);
	desk_expect(three, "Success", "Success", 0);
	cr_assert_str_eq(desk_out(three, 0, 0), "1\n2\n3\n");
	desk_expect(four, "Failed", "Failed", 1);
	cr_assert_str_eq(desk_out(four, 0, 0), "0\n1\n2\n");
	cr_assert_str_eq(desk_out(four, 0, 1), "Maximum depth for document execution exceeded\n");
	desk_expect(endless, "Failed", "Failed", 1);
	cr_assert_str_eq(desk_out(endless, 0, 0), "x\nx\nx\n");
	desk_free(d);
}

/* The last of Skipped, Success, Failed, Cancelled, TimedOut that occurs; and codes that end a
 * document end that one. */
Test(commands_inner, ends_are_merged)
{
	static const struct {
		const char *inner, *details;
		int code;
		const char *out;
	} rows[] = {
		{STEPS(SCRIPT("a",	   "\"exit 3\"") "," SCRIPT("b",		 "\"echo b\"")),			 "Failed",		   3,
			"b\n"																					   },
		{STEPS(SCRIPT_WITH("a", "\"sleep 60\"",				"\"timeoutSeconds\":5") "," SCRIPT("b",
		 "\"exit 4\"")),
			"ExecutionTimedOut",																			 137, ""},
		{STEPS(SCRIPT("a",			   "\"exit 168\"") "," SCRIPT("b",						   "\"echo b\"")),				   "Success", 0,
			"\nStep exited with code 168. Therefore, marking step as succeeded. Further "
			"document steps will be skipped.Plugin with name aws:runShellScript and id do_b "
			"skipped due to prior step with an exit condition"  },
		{STEPS(SCRIPT("a",			   "\"exit 169\"")),					     "Failed",					       1,
			"\nStep exited with code 169. Therefore, marking step as Failed. Further "
			"document steps will be skipped."		 },
		{STEPS(SCRIPT("a",	   "\"echo x; exit 194\"") "," SCRIPT("b", "\"echo b\"")),			   "Failed",
			1,																					   "x\nb\n"																	},
	};
	struct desk *d = desk_new();
	struct desk_record *r[5];
	char names[5][8], content[5][512];

	for (size_t i = 0; i < 5; i++) {
		snprintf(names[i], sizeof(names[i]), "Inner%zu", i);
		desk_document(d, names[i], rows[i].inner);
		snprintf(content[i], sizeof(content[i]),
			"{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"name\":\"run\",\"action\":"
			"\"aws:runDocument\",\"inputs\":{\"documentType\":\"SSMDocument\","
			"\"documentPath\":\"%s\"}}," SCRIPT("after", "\"echo after\"") "]}",
			names[i]);
		r[i] = desk_order(d, content[i]);
	}
	desk_tell(d);
	for (size_t i = 0; i < 5; i++) {
		desk_until_taken(d, r[i]);
		desk_expect_step(r[i], 0, rows[i].details, rows[i].code);
		cr_assert_str_eq(desk_out(r[i], 0, 0), rows[i].out, "%zu: %s", i,
			desk_out(r[i], 0, 0));
		cr_assert_str_eq(desk_out(r[i], 1, 0), "after\n");
	}
	cr_assert_str_eq(desk_out(r[4], 0, 1),
		"a restart of the machine is not supported within aws:runDocument\n");
	desk_free(d);
}

Test(commands_inner, a_cancel_ends_all_of_it)
{
	struct desk *d = desk_new();

	desk_document(d, "Inner",
		STEPS(SCRIPT("a", "\"echo begun; sleep 300\"") "," SCRIPT("b", "\"echo b\"")));
	struct desk_record *r =
		desk_order(d, STEPS(RUN("run", "Inner", "") "," SCRIPT("after", "\"echo after\"")));

	desk_tell(d);
	desk_until_out(d, r, "begun");
	r->cancel = true;
	desk_run(d, r);
	desk_expect(r, "Cancelled", "Cancelled", 137);
	desk_expect_step(r, 0, "Cancelled", 137);
	cr_assert_str_eq(desk_out(r, 0, 0), "begun\n");
	cr_assert_str_eq(desk_out(r, 1, 0), "");
	desk_free(d);
}

static bool
has_asked(struct desk *d, struct desk_record *r)
{
	(void)r;
	return d->documents_asked > 0;
}

Test(commands_inner, a_relay_that_is_busy_or_gone_is_asked_again)
{
	struct desk *d = desk_new();

	desk_document(d, "Inner", STEPS(SCRIPT("a", "\"echo a\"")));
	d->documents_to_fail = 1;
	struct desk_record *r = desk_order(d, STEPS(RUN("run", "Inner", "")));

	desk_tell(d);
	desk_until(d, has_asked, r);
	desk_cut_link(d);
	desk_new_link(d);
	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_geq(d->documents_asked, 2);
	desk_free(d);
}

/* Also of what lies within it, and whatever document runs it. */
Test(commands_inner, the_machine_s_own_policy_is_asked_about_each_document)
{
	struct desk *d = desk_new(.policy = "deny document Denied\n");

	desk_document(d, "Fine", STEPS(SCRIPT("f", "\"echo fine\"")));
	desk_document(d, "Denied",
		STEPS(SCRIPT("d", "\"echo denied\"") "," RUN("r", "Fine", "") "," RUN_FILE("file",
			"/etc/hostname")));
	desk_document(d, "Middle",
		STEPS(SCRIPT("m", "\"echo middle\"") "," RUN("r", "Denied", "")));
	struct desk_record *r = desk_order(d,
		STEPS(RUN("a", "Denied", "") "," RUN("b", "Middle", "") "," RUN("c", "Fine", "")));

	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 1);
	desk_expect_step(r, 0, "Failed", 1);
	cr_assert_str_eq(desk_out(r, 0, 0), "");
	cr_assert_not_null(strstr(desk_out(r, 0, 1), "Denied"), "%s", desk_out(r, 0, 1));
	desk_expect_step(r, 1, "Failed", 1);
	cr_assert_str_eq(desk_out(r, 1, 0), "middle\n");
	desk_expect_step(r, 2, "Success", 0);
	cr_assert_str_eq(desk_out(r, 2, 0), "fine\n");
	desk_free(d);
}

/* --- an agent that is killed
 * ----------------------------------------------------------------------- */

Test(commands_inner, the_next_agent_takes_over_what_runs_within)
{
	struct desk *d = desk_new();
	char gate[128], inner[1024];

	snprintf(gate, sizeof(gate), "%s.gate", d->rig->dir);
	snprintf(inner, sizeof(inner),
		"{\"schemaVersion\":\"2.2\",\"mainSteps\":[" SCRIPT("a",
			"\"echo a; echo once >>%s\"") ","
						      "{\"name\":\"do_b\",\"action\":\"aws:runShellScript\",\"inputs\":{\"runCommand\":"
						      "[\"echo b\",\"until [ -e %s.go ]; do sleep 0.05; done\",\"echo over\"]}}," SCRIPT(
							      "c", "\"echo c; exit 5\"") "]}",
		gate, gate);
	desk_document(d, "Inner", inner);
	struct desk_record *r =
		desk_order(d, STEPS(RUN("run", "Inner", "") "," SCRIPT("after", "\"echo after\"")));
	struct desk_record *deep;

	desk_document(d, "Deep", STEPS(RUN("r", "Inner", "") "," SCRIPT("z", "\"echo z\"")));
	deep = desk_order(d, STEPS(RUN("run", "Deep", "")));
	desk_tell(d);
	desk_until_out(d, r, "b\n");
	desk_until_out(d, deep, "b\n");
	desk_kill_agent(d);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_heard(d, r);
	desk_kill_agent(d); /* and once more */
	char go[160];
	snprintf(go, sizeof(go), "%s.go", gate);
	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	desk_new_agent(d);
	desk_new_link(d);
	desk_run(d, r);
	desk_until_taken(d, deep);
	desk_expect_step(r, 0, "Failed", 5);
	cr_assert_str_eq(desk_out(r, 0, 0), "a\nb\nover\nc\n");
	cr_assert_str_eq(desk_out(r, 1, 0), "after\n");
	desk_expect_step(deep, 0, "Failed", 5);
	cr_assert_str_eq(desk_out(deep, 0, 0), "a\nb\nover\nc\nz\n");
	struct stat st;
	cr_assert_eq(stat(gate, &st), 0);
	cr_assert_eq(st.st_size, 2 * 5, "each ran its first step once");
	unlink(gate);
	unlink(go);
	desk_free(d);
}

static bool
second_waits(struct desk *d, struct desk_record *r)
{
	(void)d;
	return r->n > 1 && strstr(desk_out(r, 1, 0), "here") != NULL;
}

#define TEN(a)                                                                                     \
	a("1") "," a("2") "," a("3") "," a("4") "," a("5") "," a("6") "," a("7") "," a("8") "," a( \
		"9") "," a("10")
#define LARGE(n) RUN(n, "Large", "")

/* Of all of its steps together, whichever agent ran them. */
Test(commands_inner, the_documents_of_one_command_are_bounded)
{
	struct desk *d = desk_new();
	char *large = calloc(1, 65536), second[4096], go[160];

	snprintf(go, sizeof(go), "%s.go", d->rig->dir);
	snprintf(large, 65536,
		"{\"schemaVersion\":\"2.2\",\"description\":\"%0*d\",\"mainSteps\":[%s]}", 60000, 0,
		SCRIPT("a", "\"echo a\""));
	snprintf(second, sizeof(second),
		STEPS(SCRIPT("w",
			"\"echo here; until [ -e %s ]; do sleep 0.05; done\"") "," TEN(LARGE)),
		go);
	desk_document(d, "Large", large);
	desk_document(d, "First", STEPS(TEN(LARGE)));
	desk_document(d, "Second", second);
	struct desk_record *r =
		desk_order(d, STEPS(RUN("first", "First", "") "," RUN("second", "Second", "")));

	desk_tell(d);
	desk_until(d, second_waits, r);
	desk_kill_agent(d);
	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	desk_new_agent(d);
	desk_new_link(d);
	desk_run(d, r);
	unlink(go);
	desk_expect_step(r, 0, "Success", 0);
	desk_expect_step(r, 1, "Failed", 1);
	cr_assert_not_null(strstr(desk_out(r, 1, 1), "that the command runs are longer than"), "%s",
		desk_out(r, 1, 1));
	free(large);
	desk_free(d);
}

/* Nobody cancelled it: it has failed, and so has whatever ran it. */
Test(commands_inner, a_step_that_is_lost_within_a_document_has_failed)
{
	struct desk *d = desk_new();

	desk_document(d, "Inner",
		STEPS(SCRIPT("a", "\"echo $$; sleep 300\"") "," SCRIPT("b", "\"echo b\"")));
	desk_document(d, "Deep", STEPS(RUN("r", "Inner", "") "," SCRIPT("z", "\"echo z\"")));
	struct desk_record *r[] = {
		desk_order(d, STEPS(RUN("run", "Inner", "") "," SCRIPT("after", "\"echo after\""))),
		desk_order(d, STEPS(RUN("run", "Deep", "") "," SCRIPT("after", "\"echo after\""))),
	};

	desk_tell(d);
	for (size_t k = 0; k < 2; k++)
		desk_until_out(d, r[k], "\n");
	desk_kill_agent(d);
	for (size_t k = 0; k < 2; k++) {
		pid_t script = (pid_t)atol(desk_out(r[k], 0, 0));
		cr_assert_eq(kill(sweep_parent(getsid(script)), SIGKILL), 0);
	}
	rig_until_no_socket(d->rig);
	desk_new_agent(d);
	desk_new_link(d);
	for (size_t k = 0; k < 2; k++) {
		desk_until_taken(d, r[k]);
		desk_expect(r[k], "Failed", "Failed", -1);
		desk_expect_step(r[k], 0, "Failed", -1);
		desk_expect_step(r[k], 1, "Cancelled", 0);
		cr_assert_not_null(strstr(r[k]->reason, "nobody knows how the step do_run ended"));
		cr_assert_null(strchr(desk_out(r[k], 0, 0), 'b'));
		cr_assert_str_eq(desk_out(r[k], 1, 0), "");
	}
	desk_free(d);
}

Test(commands_inner, a_document_that_was_not_had_yet_is_asked_for_by_the_next_agent)
{
	struct desk *d = desk_new();

	desk_document(d, "Inner", STEPS(SCRIPT("a", "\"echo a\"")));
	struct desk_record *r = desk_order(d, STEPS(RUN("run", "Inner", "")));

	d->documents_to_fail = 1000;
	desk_tell(d);
	desk_until(d, has_asked, r);
	desk_kill_agent(d);
	d->documents_to_fail = 0;
	desk_new_agent(d);
	desk_new_link(d);
	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_str_eq(desk_out(r, 0, 0), "a\n");
	desk_free(d);
}

/* --- downloads
 * ------------------------------------------------------------------------------------ */

Test(commands_inner, what_is_downloaded_is_there_for_the_next_steps_and_gone_after)
{
	struct desk *d = desk_new();

	desk_document(d, "Inner",
		STEPS(SCRIPT("a", "\"echo ran $PWD\"") "," SCRIPT("b", "\"./script.sh\"")));
	struct desk_record *r = desk_order(d,
		STEPS(DOWNLOAD("get", "SSMDocument", "\"name\":\"Inner:1\"",
			"docs/") "," DOWNLOAD("again", "SSMDocument", "\"name\":\"Inner\"",
			"docs/other.json") "," SCRIPT("look",
			"\"stat -c '%a %n' docs/*\",\"pwd\","
			"\"printf '#!/bin/sh\\\\necho of its own\\\\n' >script.sh\","
			"\"chmod +x script.sh\"") "," SCRIPT_WITH("inside", "\"pwd\"",
			"\"workingDirectory\":\"docs\"") "," SCRIPT_WITH("nowhere", "\"pwd\"",
			"\"workingDirectory\":\"other\"") "," RUN_FILE("run", "docs/Inner.json")));
	char expected[512];
	const char *work;
	struct stat st;

	desk_run(d, r);
	work = work_of(d, r);
	desk_expect(r, "Success", "Success", 0);
	snprintf(expected, sizeof(expected), "Content downloaded to %s/downloads/docs/Inner.json\n",
		work);
	cr_assert_str_eq(desk_out(r, 0, 0), expected);
	snprintf(expected, sizeof(expected),
		"700 docs/Inner.json\n700 docs/other.json\n%s/downloads\n", work);
	cr_assert_str_eq(desk_out(r, 2, 0), expected);
	snprintf(expected, sizeof(expected), "%s/downloads/docs\n", work);
	cr_assert_str_eq(desk_out(r, 3, 0), expected);
	cr_assert_str_eq(desk_out(r, 4, 0), "/\n");
	snprintf(expected, sizeof(expected), "ran %s/downloads\nof its own\n", work);
	cr_assert_str_eq(desk_out(r, 5, 0), expected);
	cr_assert_lt(stat(work, &st), 0, "its directory is removed");
	desk_free(d);
}

Test(commands_inner, files_of_the_machine_are_copied)
{
	struct desk *d = desk_new();
	char to[128], content[2048], made[160];

	snprintf(to, sizeof(to), "%s.to", d->rig->dir);
	snprintf(content, sizeof(content),
		STEPS(DOWNLOAD("file", "HTTP", "\"url\":\"file:///etc/hostname\"",
			"%s/a/b/name") "," DOWNLOAD("local", "Local", "\"path\":\"/etc/hostname\"",
			"%s/") "," DOWNLOAD("none", "Local", "\"path\":\"/no/such/file\"",
			"%s/") "," DOWNLOAD("relative", "Local", "\"path\":\"etc/hostname\"",
			"%s/")),
		to, to, to, to);
	struct desk_record *r = desk_order(d, content);
	struct stat st;

	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 1);
	snprintf(made, sizeof(made), "%s/a/b/name", to);
	cr_assert_eq(stat(made, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	unlink(made);
	snprintf(made, sizeof(made), "%s/hostname", to);
	cr_assert_eq(stat(made, &st), 0, "%s", desk_out(r, 1, 1));
	unlink(made);
	cr_assert_str_eq(desk_out(r, 2, 1),
		"cannot open /no/such/file: No such file or directory\n");
	cr_assert_str_eq(desk_out(r, 3, 1), "sourceInfo: path etc/hostname is not absolute\n");
	static const char *const parts[] = {"/a/b", "/a", ""};
	for (size_t i = 0; i < 3; i++) {
		snprintf(made, sizeof(made), "%s%s", to, parts[i]);
		cr_assert_eq(rmdir(made), 0, "nothing else is there: %s", made);
	}
	desk_free(d);
}

/* A monitor that has as much to do as it takes: each program is refused so many times. */
static const struct programs_ops *real_ops;
static struct programs_ops busy_ops;
static int busy, refused;

static int
start_when_free(struct job **ret, struct programs *ps, const struct program_spec *spec,
	const struct program_events *ev, void *arg, struct hw_err *err)
{
	if (refused++ < busy)
		return hw_err_set(err, HW_EFULL, "the node's monitor takes no request");
	refused = 0;
	return real_ops->start(ret, ps, spec, ev, arg, err);
}

static void
keep_busy(struct desk *d, int times)
{
	real_ops = d->programs->ops;
	busy_ops = *real_ops;
	busy_ops.start = start_when_free;
	d->programs->ops = &busy_ops;
	busy = times;
	refused = 0;
}

/* Also for a document in a file, and for what removes the downloads. */
Test(commands_inner, a_busy_monitor_is_asked_again)
{
	struct desk *d = desk_new();
	struct stat st;

	desk_document(d, "Inner", STEPS(SCRIPT("a", "\"echo a\"")));
	struct desk_record *r = desk_order(d,
		STEPS(DOWNLOAD("get", "SSMDocument", "\"name\":\"Inner\"",
			"x.json") "," RUN_FILE("run", "x.json")));

	keep_busy(d, 3);
	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_str_eq(desk_out(r, 1, 0), "a\n");
	cr_assert_lt(stat(work_of(d, r), &st), 0, "its directory is removed");
	desk_free(d);
}

Test(commands_inner, a_busy_monitor_is_not_asked_for_a_file_of_what_was_cancelled)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d, STEPS(RUN_FILE("run", "/etc/hostname")));

	keep_busy(d, 1 << 30);
	desk_tell(d);
	desk_until_heard(d, r);
	r->cancel = true;
	desk_run(d, r);
	desk_expect(r, "Cancelled", "Cancelled", 137);
	desk_free(d);
}

Test(commands_inner, what_was_downloaded_is_removed_when_no_more_can_be_written_down)
{
	struct desk *d = desk_new();
	char content[2048], go[160];
	struct stat st;

	snprintf(go, sizeof(go), "%s.go", d->rig->dir);
	snprintf(content, sizeof(content),
		STEPS(DOWNLOAD("get", "Local", "\"path\":\"/etc/hostname\"", "x") "," SCRIPT("wait",
			"\"cat x >/dev/null && echo there\",\"until [ -e %s ]; do sleep 0.05; done\"") "," SCRIPT("never",
			"\"echo never\"")),
		go);
	struct desk_record *r = desk_order(d, content);

	desk_tell(d);
	desk_until_out(d, r, "downloaded to");
	cr_assert_eq(unlinkat(d->dir, "commands/slot", 0), 0);
	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	desk_run(d, r);
	unlink(go);
	desk_expect(r, "Failed", "Failed", -1);
	cr_assert_not_null(strstr(r->reason, "was not begun"), "%s", r->reason);
	cr_assert_lt(stat(work_of(d, r), &st), 0, "its directory is removed");
	desk_free(d);
}

static void
write_text(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	cr_assert_eq(chmod(path, 0755), 0);
}

/* Another was there first, with what the command's steps are to run. */
static void
put_traps(const char *dir)
{
	cr_assert_eq(mkdir(dir, 0755), 0);
	write_text(dir, "install.sh", "#!/bin/sh\necho trapped\n");
	write_text(dir, "inner.json", STEPS(SCRIPT("a", "\"echo trapped\"")));
}

static const char of_another[] =
	STEPS(DOWNLOAD("get", "Local", "\"path\":\"/etc/hostname\"", "x") "," SCRIPT("implied",
		"\"./install.sh; echo ran\"") "," SCRIPT_WITH("named", "\"./install.sh; echo ran\"",
		"\"workingDirectory\":\".\"") "," RUN_FILE("file", "inner.json"));

/* The first of its steps may know it by more than that. */
static void
expect_none_ran(struct desk_record *r, const char *first)
{
	desk_expect(r, "Failed", "Failed", 1);
	for (size_t k = 0; k < 4; k++) {
		desk_expect_step(r, k, "Failed", 1);
		cr_assert_str_eq(desk_out(r, k, 0), "", "%zu", k);
		cr_assert_not_null(strstr(desk_out(r, k, 1), k == 0 ? first : "is not its own"),
			"%zu: %s", k, desk_out(r, k, 1));
	}
}

Test(commands_inner, a_directory_of_another_is_not_used)
{
	struct desk *d = desk_new();
	struct desk_record *open = desk_order(d, of_another);
	struct desk_record *within = desk_order(d, of_another);
	struct desk_record *link = desk_order(d, of_another);
	char path[400], elsewhere[160];

	cr_assert_eq(mkdir(work_of(d, open), 0777), 0);
	cr_assert_eq(chmod(work_of(d, open), 0777), 0);
	snprintf(path, sizeof(path), "%s/downloads", work_of(d, open));
	put_traps(path);
	cr_assert_eq(mkdir(work_of(d, within), 0755), 0);
	snprintf(path, sizeof(path), "%s/downloads", work_of(d, within));
	put_traps(path);
	cr_assert_eq(chmod(path, 0777), 0);
	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", d->rig->dir);
	cr_assert_eq(mkdir(elsewhere, 0755), 0);
	snprintf(path, sizeof(path), "%s/downloads", elsewhere);
	put_traps(path);
	cr_assert_eq(symlink(elsewhere, work_of(d, link)), 0);
	desk_run(d, open);
	desk_until_taken(d, within);
	desk_until_taken(d, link);
	expect_none_ran(open, "is not its own");
	expect_none_ran(within, "is not its own");
	expect_none_ran(link, "cannot open the command's directory");
	snprintf(path, sizeof(path), "rm -r %s", elsewhere);
	cr_assert_eq(system(path), 0);
	desk_free(d);
}

/* Whose it is counts, however few may write there. */
Test(commands_inner, a_directory_of_another_user_is_not_used)
{
	if (geteuid() != 0)
		cr_skip_test("it takes root to make one");
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d, of_another);
	char path[320];

	cr_assert_eq(mkdir(work_of(d, r), 0755), 0);
	snprintf(path, sizeof(path), "%s/downloads", work_of(d, r));
	put_traps(path);
	cr_assert_eq(chown(work_of(d, r), 65534, 65534), 0);
	desk_run(d, r);
	expect_none_ran(r, "is not its own");
	desk_free(d);
}
