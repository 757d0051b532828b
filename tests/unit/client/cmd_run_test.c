/* run and runs whole, against a relay whose part is played. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/past.h"
#include "client/run_request.h"
#include "client/selector.h"
#include "tests/unit/client/commander.h"
#include "tests/unit/client/stage.h"

struct scene {
	struct stage *stage;
	struct commander *c;
	char dir[64]; /* the client's home */
};

static struct scene
scene_new(void)
{
	struct scene s = {.stage = stage_new_real(), .dir = "/tmp/hawser-test-XXXXXX"};

	cr_assert(mkdtemp(s.dir) != NULL);
	snprintf(s.stage->client.home.path, sizeof(s.stage->client.home.path), "%s", s.dir);
	s.c = commander_new(s.stage->rig);
	s.c->arg = &s;
	return s;
}

static void
remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char inner[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
		if (unlink(inner) < 0)
			remove_all(inner);
	}
	if (d != NULL)
		closedir(d);
	rmdir(path);
}

static void
scene_free(struct scene *s)
{
	commander_free(s->c);
	stage_free(s->stage);
	remove_all(s->dir);
}

/* One that has ended, and wrote this. */
static struct commander_node *
ended(struct scene *s, const char *name, const char *out, const char *err, int64_t code)
{
	struct commander_node *node = commander_add(s->c, name);

	commander_writes(s->c, node, 0, 0, out);
	commander_writes(s->c, node, 0, 1, err);
	commander_end(s->c, node, code);
	return node;
}

static void
plays(struct scene *s, const char *line, int status)
{
	stage_run(s->stage, line, NULL);
	cr_assert(eq(int, s->stage->status, status), "%s: %d %s\n%s", line, s->stage->status,
		s->stage->err.text, s->stage->said);
}

/* --- what is sent -------------------------------------------------------------------------------
 */

Test(run, a_command_is_sent_by_ids_with_its_words_joined)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	ended(&s, "web-2", "", "", 0);
	plays(&s,
		"run -t web-* -c 20% -e 5 --timeout-seconds 60 --execution-timeout 9 "
		"--comment why -p workingDirectory=/srv -- uname -r",
		0);
	cr_assert_str_eq(buf_str(&s.c->sent),
		"SendCommand {\"InstanceIds\":[\"mi-00000000000000000\",\"mi-00000000000000001\"],"
		"\"DocumentName\":\"AWS-RunShellScript\",\"TimeoutSeconds\":60,\"Comment\":\"why\","
		"\"Parameters\":{\"workingDirectory\":[\"/srv\"],\"executionTimeout\":[\"9\"],"
		"\"commands\":[\"uname -r\"]},\"MaxConcurrency\":\"20%\",\"MaxErrors\":\"5\"}\n");
	stage_has(s.stage->said, COMMANDER_ID "  2 nodes, 1 at a time\n");
	scene_free(&s);
}

Test(run, many_nodes_go_as_a_target)
{
	struct scene s = scene_new();
	char name[16];

	for (int i = 0; i < 51; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ended(&s, name, "", "", 0);
	}
	plays(&s, "run -q -t n* -- true", 0);
	stage_has(buf_str(&s.c->sent),
		"\"Targets\":[{\"Key\":\"InstanceIds\",\"Values\":[\"mi-00000000000000000\",");
	stage_lacks(buf_str(&s.c->sent), "{\"InstanceIds\"");
	cr_assert_str_eq(s.stage->out, "-- n[0-50] (51)  exit 0\n");
	scene_free(&s);
}

Test(run, documents_have_versions_and_parameters)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	plays(&s, "run -t web-1 --document Patch:3 -p What=all -p What=more -p Reboot=no", 0);
	stage_has(buf_str(&s.c->sent),
		"\"DocumentName\":\"Patch\",\"DocumentVersion\":\"3\",\"Parameters\":"
		"{\"What\":[\"all\",\"more\"],\"Reboot\":[\"no\"]}");
	scene_free(&s);
}

Test(run, an_array_of_texts_is_a_parameters_values)
{
	static const struct {
		const char *line, *sent;
	} forms[] = {
		{"-p commands=[\"date\",\"id\\u0020-u\"]", "\"commands\":[\"date\",\"id -u\"]"  },
		{"-p commands=[]",			   "\"commands\":[\"[]\"]"		  },
		{"-p commands=[\"date\",1]",		     "\"commands\":[\"[\\\"date\\\",1]\"]"},
		{"-p commands=[\"date\"",		  "\"commands\":[\"[\\\"date\\\"\"]"   },
	};
	char line[128];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct scene s = scene_new();

		ended(&s, "web-1", "", "", 0);
		snprintf(line, sizeof(line), "run -t web-1 --document Patch %s", forms[i].line);
		plays(&s, line, 0);
		stage_has(buf_str(&s.c->sent), forms[i].sent);
		scene_free(&s);
	}
}

Test(run, a_script_comes_from_stdin)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	s.stage->input = "#!/bin/sh\necho a\n\n";
	plays(&s, "run -t web-1 -", 0);
	stage_has(buf_str(&s.c->sent), "\"commands\":[\"#!/bin/sh\\necho a\"]");
	scene_free(&s);
}

Test(run, an_empty_script_is_no_script)
{
	struct scene s = scene_new();

	s.stage->input = "\n\n";
	plays(&s, "run -t web-1 -", HW_EUSAGE);
	stage_has(s.stage->err.text, "standard input is empty");
	scene_free(&s);
}

Test(run, a_wrong_command_line_asks_nothing)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{"run -- true",				"wants --target"			},
		{"run -t web-1",				 "one of -- CMD"			},
		{"run -t web-1 true",			      "does not know what to do with 'true'"},
		{"run -t web-1 - more -- true",		"does not know what to do with 'more'"},
		{"run -t web-1 - -- true",			   "one of -- CMD"			  },
		{"run -t web-1 --document D -- true",	      "one of -- CMD"			     },
		{"run -t web-1 --script /no/such/file",	"/no/such/file"		       },
		{"run -t web-1 --document :3",		       "a document is NAME"		   },
		{"run -t web-1 --document D:",		       "a document is NAME"		   },
		{"run -t web-1 -p x -- true",		      "a parameter is KEY=VALUE"		},
		{"run -t web-1 -p =x -- true",		       "a parameter is KEY=VALUE"		 },
		{"run -t web-1 -p commands=a -- true",	       "two that want to be run"		},
		{"run -t web-1 -c 0 -- true",		      "--max-concurrency wants"	       },
		{"run -t web-1 -e 101% -- true",		 "--max-errors wants"		     },
		{"run -t web-1 --timeout-seconds 29 -- true",  "--timeout-seconds wants"	       },
		{"run -t web-1 --execution-timeout 4 -- true", "--execution-timeout wants"		  },
		{"run -t web-1 --stream --diff -- true",	 "two ways to show it"		      },
		{"run -t web-1 --stream -o json -- true",	  "two ways to show it"		       },
		{"run -t web-1 --stream -o yaml -- true",	  "two ways to show it"		       },
		{"run -t - -",				 "both come from standard input"	      },
		{"run -t last:ok -- true",			   "last:failed"				},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene s = scene_new();

		stage_run(s.stage, rows[i].line, NULL);
		cr_expect(lt(int, s.stage->status, 0), "%s", rows[i].line);
		cr_expect(strstr(s.stage->err.text, rows[i].why) != NULL, "%s: %s", rows[i].line,
			s.stage->err.text);
		cr_expect(eq(int, s.c->asked_send, 0));
		scene_free(&s);
	}
}

Test(run, without_a_node_nothing_is_sent)
{
	struct scene s = scene_new();

	plays(&s, "run -t web-* -- true", HW_ENODE);
	cr_assert(eq(int, s.stage->client.exit_status, 4));
	cr_assert(eq(int, s.c->asked_send, 0));
	scene_free(&s);
}

Test(run, a_selector_without_a_node_is_not_made_up_for_by_another)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	plays(&s, "run -t web-1 -t db-1 -- true", HW_ENODE);
	stage_has(s.stage->err.text, "'db-1'");
	cr_assert(eq(int, s.stage->client.exit_status, 4));
	cr_assert(eq(int, s.c->asked_send, 0));
	scene_free(&s);
}

Test(run, a_dry_run_sends_nothing)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	ended(&s, "web-2", "", "", 0);
	plays(&s, "run -n -t web-* -- rm -rf x", 0);
	cr_assert_str_eq(s.stage->out,
		"would run on 2 nodes, stops when one fails\n"
		"nodes: web-[1-2]\n"
		"document: AWS-RunShellScript\n"
		"commands: rm -rf x\n");
	cr_assert(eq(int, s.c->asked_send, 0));
	scene_free(&s);
	s = scene_new();
	ended(&s, "web-1", "", "", 0);
	plays(&s, "run -n -o json -t web-* -- true", 0);
	stage_has(s.stage->out, "\"InstanceIds\": [");
	scene_free(&s);
	s = scene_new();
	ended(&s, "web-1", "", "", 0);
	plays(&s, "run -n -o name -t web-* -- true", 0);
	cr_assert_str_eq(s.stage->out, "web-1\n");
	scene_free(&s);
}

Test(run, a_denial_is_told_with_what_to_try)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	s.c->refuse_send = HW_EDENIED;
	plays(&s, "run -t web-1 -- true", HW_EDENIED);
	stage_has(s.stage->err.text, "not this one");
	stage_has(s.stage->client.hint, "hawser status");
	scene_free(&s);
}

static void
cut_at_send(struct commander *c, const char *op)
{
	if (strcmp(op, "SendCommand") == 0)
		pair_cut(c->rig->pair, "cut");
}

Test(run, whether_it_was_sent_may_be_unknown_and_it_is_not_sent_again)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	s.c->before = cut_at_send;
	plays(&s, "run -t web-1 -- true", HW_EUNAVAILABLE);
	stage_has(s.stage->err.text, "it is not known whether the command was sent");
	cr_assert_str_eq(s.stage->client.hint, "hawser runs ls");
	scene_free(&s);
}

/* --- more nodes than a message has room for ------------------------------------------------------
 */

static int
targets(struct run_request *run, const char *const *selectors, size_t n)
{
	enum { MANY = 12000 };
	static char ids[MANY][24];
	struct msg_instance_information *nodes = calloc(MANY, sizeof(*nodes));
	struct client c = {.arena = arena_new(64 << 20)};
	struct hw_err err = HW_ERR_INIT;
	struct buf text;
	int r;

	for (int i = 0; i < MANY; i++) {
		snprintf(ids[i], sizeof(ids[i]), "mi-%017x", (unsigned)i);
		nodes[i].instance_id = ids[i];
	}
	*run = (struct run_request){.req = {.document_name = RUN_DOCUMENT}};
	r = run_request_target(run, &c, nodes, MANY, selectors, n, &err);
	cr_assert(r == 0 || err.code == HW_ELIMIT);
	buf_init(&text, 1000);
	for (size_t i = 0; r == 0 && i < run->req.targets.n; i++)
		buf_printf(&text, "%s=%s;", run->req.targets.v[i].key,
			run->req.targets.v[i].values.n > 0 ? run->req.targets.v[i].values.v[0]
							   : "*");
	if (r == 0)
		cr_assert_str_eq(buf_str(&text), "tag:Env=prod;Name=web-*;");
	buf_fini(&text);
	free(nodes);
	arena_free(c.arena);
	return r;
}

Test(run_request, what_the_relay_reads_alike_goes_instead_of_ids)
{
	static const char *const good[] = {"tag:Env=prod,web-*"};
	static const char *const bad[] = {"os:debian", "status:online", "tag:Env!=prod", "web-?",
		"web-[01-20]", "tag:Env=p*"};
	static const char *const two[] = {"tag:Env=prod", "tag:Env=test"};
	struct run_request run;

	cr_assert(eq(int, targets(&run, good, 1), 0));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect(eq(int, targets(&run, &bad[i], 1), HW_ELIMIT), "%s", bad[i]);
	cr_assert(eq(int, targets(&run, two, 2), HW_ELIMIT));
	cr_assert(eq(int, targets(&run, NULL, 0), HW_ELIMIT));
}

/* --- what is shown ------------------------------------------------------------------------------
 */

Test(run, equal_results_are_gathered_the_largest_group_first)
{
	struct scene s = scene_new();

	ended(&s, "web-23", "", "sh: 1: uname: not found\n", 127);
	ended(&s, "web-01", "6.12\n", "", 0);
	ended(&s, "web-02", "6.12\n", "", 0);
	ended(&s, "web-03", "6.1", "warn", 0);
	plays(&s, "run -t web-* -e 5 -- uname -r", 1);
	cr_assert_str_eq(s.stage->out,
		"-- web-[01-02] (2)  exit 0\n6.12\n"
		"-- web-03  exit 0\n6.1\n-- stderr\nwarn\n"
		"-- web-23  exit 127\nsh: 1: uname: not found\n");
	stage_has(s.stage->said, "3/4 ok, 1 failed  0:00\n");
	scene_free(&s);
}

Test(run, the_same_bytes_in_another_stream_or_step_are_another_result)
{
	struct scene s = scene_new();
	struct commander_node *node;

	ended(&s, "a", "x\n", "", 0);
	ended(&s, "b", "", "x\n", 0);
	node = commander_add(s.c, "c");
	node->steps[node->n_steps++] = "second";
	commander_writes(s.c, node, 1, 0, "x\n");
	commander_end(s.c, node, 0);
	node = commander_add(s.c, "d");
	node->reason = "the disk is full";
	commander_writes(s.c, node, 0, 0, "x\n");
	commander_end(s.c, node, 0);
	plays(&s, "run -q -t * -- true", 0);
	cr_assert_str_eq(s.stage->out,
		"-- a  exit 0\nx\n-- b  exit 0\nx\n-- c  exit 0\nx\n"
		"-- d  exit 0\nthe disk is full\nx\n");
	cr_assert_str_eq(s.stage->said, "");
	scene_free(&s);
}

Test(run, what_was_not_started_is_exit_2_and_says_so)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 1);
	commander_set(s.c, commander_add(s.c, "web-2"), INVOCATION_STATUS_CANCELLED, "Terminated",
		-1);
	plays(&s, "run -t web-* -- false", 2);
	stage_has(s.stage->out, "-- web-2  not started: too many failed\n");
	scene_free(&s);
}

Test(run, output_past_what_is_kept_is_counted)
{
	struct scene s = scene_new();
	size_t n = (4 << 20) + 1000;
	char *much = malloc(n + 1);

	memset(much, 'x', n);
	much[n] = '\0';
	ended(&s, "web-1", much, "", 0);
	ended(&s, "web-2", much, "", 0)->dropped = 5;
	plays(&s, "run -q -t web-* -- cat", 0);
	stage_has(s.stage->out,
		"xx\n-- 1000 bytes more: hawser runs output --raw " COMMANDER_ID
		" web-1\n-- web-2  exit 0\n");
	stage_has(s.stage->out, "-- 5 bytes more were written, and dropped at the relay's limit\n");
	cr_assert(lt(sz, strlen(s.stage->out), 2 * n));
	free(much);
	scene_free(&s);
}

Test(run, differences_are_of_the_largest_group)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "a\nb\nc\n", "", 0);
	ended(&s, "web-2", "a\nx\nc\n", "", 0);
	ended(&s, "web-3", "a\nb\nc\n", "", 0);
	plays(&s, "run -q -t web-* --diff -- true", 0);
	cr_assert_str_eq(s.stage->out,
		"-- web-[1,3] (2)  exit 0\na\nb\nc\n"
		"-- web-2  exit 0\n--- web-1\n+++ web-2\n@@ -1,3 +1,3 @@\n"
		" a\n-b\n+x\n c\n");
	scene_free(&s);
}

Test(run, a_stream_has_the_node_before_each_line)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "one\ntwo", "oops\n", 3);
	plays(&s, "run -q -t web-* --stream -- true", 1);
	cr_assert_str_eq(s.stage->out, "web-1: one\nweb-1: two\n");
	cr_assert_str_eq(s.stage->said, "web-1: oops\nweb-1: -- exit 3\n");
	scene_free(&s);
}

Test(run, a_stream_s_endless_line_is_broken)
{
	struct scene s = scene_new();
	char *much = malloc(40001);

	memset(much, 'x', 40000);
	much[40000] = '\0';
	ended(&s, "n", much, "", 0);
	plays(&s, "run -q -t n --stream -- true", 0);
	cr_assert(eq(sz, strlen(s.stage->out), 40000 + 3 * strlen("n: \n")));
	free(much);
	scene_free(&s);
}

Test(run, a_flood_of_empty_lines_has_room)
{
	enum { LINES = 600000 };
	struct scene s = scene_new();
	char *much = malloc(LINES + 1);

	memset(much, '\n', LINES);
	much[LINES] = '\0';
	ended(&s, "a-name-that-is-longer-than-what-anybody-would-like-to-see", much, "", 0);
	plays(&s, "run -q -t a-* --stream -- yes", 0);
	stage_has(s.stage->out, "a-name-that-is-longer-than-what-anybody-...: \n");
	cr_assert(eq(sz, strlen(s.stage->out), LINES * (size_t)(40 + 6)));
	free(much);
	scene_free(&s);
}

static char *
slurp(const char *dir, const char *name)
{
	static char text[256];
	char path[512];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/logs/%s", dir, name);
	fd = open(path, O_RDONLY);
	cr_assert(ge(int, fd, 0), "%s", path);
	cr_assert(eq(int, fstat(fd, &st), 0));
	cr_assert(eq(int, (int)(st.st_mode & 0777), 0600));
	text[read(fd, text, sizeof(text) - 1)] = '\0';
	close(fd);
	return text;
}

Test(run, logs_lie_by_node_and_step_whatever_they_are_called)
{
	struct scene s = scene_new();
	struct commander_node *node;
	char line[200];

	ended(&s, "web-1", "out\n", "err\n", 0);
	ended(&s, "../up", "evil\n", "", 0);
	ended(&s, "web-1", "namesake\n", "", 0);
	node = commander_add(s.c, "steps");
	node->steps[node->n_steps++] = "a/b";
	commander_writes(s.c, node, 1, 1, "slash");
	commander_end(s.c, node, 0);
	snprintf(line, sizeof(line), "run -q -t * --log-dir %s/logs -- true", s.dir);
	plays(&s, line, 0);
	cr_assert_str_eq(slurp(s.dir, "web-1/run.stdout"), "out\n");
	cr_assert_str_eq(slurp(s.dir, "web-1/run.stderr"), "err\n");
	cr_assert_str_eq(slurp(s.dir, "_._up-mi-00000000000000001/run.stdout"), "evil\n");
	cr_assert_str_eq(slurp(s.dir, "web-1-mi-00000000000000002/run.stdout"), "namesake\n");
	cr_assert_str_eq(slurp(s.dir, "steps/a_b.2.stderr"), "slash");
	cr_assert_str_eq(slurp(s.dir, "steps/run.stdout"), "");
	stage_has(s.stage->out, "(4)  exit 0\n");
	/* What an earlier run left is not left among what this one wrote. */
	s.c->nodes[0].wrote[0][0].len = 1;
	stage_run(s.stage, line, NULL);
	cr_assert_str_eq(slurp(s.dir, "web-1/run.stdout"), "o");
	scene_free(&s);
}

Test(run, a_log_that_is_a_link_is_not_followed)
{
	struct scene s = scene_new();
	char line[200], path[300];

	ended(&s, "web-1", "out\n", "", 0);
	snprintf(path, sizeof(path), "%s/logs", s.dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/logs/web-1", s.dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/logs/web-1/run.stdout", s.dir);
	cr_assert(eq(int, symlink("/dev/null", path), 0));
	snprintf(line, sizeof(line), "run -q -t web-1 --log-dir %s/logs -- true", s.dir);
	stage_run(s.stage, line, NULL);
	cr_assert(lt(int, s.stage->status, 0));
	stage_has(s.stage->err.text, "run.stdout");
	stage_has(s.stage->client.hint, "hawser runs output " COMMANDER_ID);
	scene_free(&s);
}

Test(run, json_is_one_document_and_lines_are_one_a_node)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "a\xff\"\n", "e", 0);
	plays(&s, "run -q -t web-1 -o json -- true", 0);
	stage_has(s.stage->out, "{\"Command\":{\"CommandId\":\"" COMMANDER_ID "\"");
	stage_has(s.stage->out, "\"Status\":\"Success\"");
	stage_has(s.stage->out,
		"\"Outputs\":[{\"Name\":\"run\",\"StandardOutputContent\":\"a\xef\xbf\xbd\\\"\\n\","
		"\"StandardErrorContent\":\"e\"}]}]}\n");
	scene_free(&s);
	s = scene_new();
	ended(&s, "web-1", "1", "", 0);
	ended(&s, "web-2", "2", "", 0);
	plays(&s, "run -q -t web-* -o jsonl -- true", 0);
	stage_has(s.stage->out, "{\"InstanceId\":\"mi-00000000000000000\"");
	stage_has(s.stage->out, "]}\n{\"InstanceId\":\"mi-00000000000000001\"");
	scene_free(&s);
	s = scene_new();
	ended(&s, "web-1", "1", "", 0);
	plays(&s, "run -t web-* -o name -- true", 0);
	cr_assert_str_eq(s.stage->out, COMMANDER_ID "\n");
	cr_assert(eq(int, s.c->asked_output, 0));
	scene_free(&s);
}

Test(run, output_that_may_not_be_read_is_said_once)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "1", "", 0);
	ended(&s, "web-2", "1", "", 0);
	s.c->refuse_output = HW_EDENIED;
	plays(&s, "run -t web-* -- true", 0);
	stage_has(s.stage->said, "what it writes is not shown: not for you");
	cr_assert_str_eq(s.stage->out, "-- web-[1-2] (2)  exit 0\n");
	scene_free(&s);
}

Test(run, one_that_cannot_be_followed_is_our_fault_and_goes_on)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "1", "", 0);
	s.c->refuse_changes = HW_EDENIED;
	plays(&s, "run -t web-1 -- true", HW_EDENIED);
	stage_has(s.stage->client.hint, "hawser runs output " COMMANDER_ID);
	scene_free(&s);
}

/* --- what happens meanwhile ----------------------------------------------------------------------
 */

static void
cut_at_second_look(struct commander *c, const char *op)
{
	if (strcmp(op, "ListCommandChanges") == 0 && c->asked_changes == 1 && c->rig->dials == 1)
		pair_cut(c->rig->pair, "cut");
	else if (c->rig->dials > 1 && c->nodes[0].status == INVOCATION_STATUS_PENDING) {
		commander_writes(c, &c->nodes[0], 0, 0, "meanwhile\n");
		commander_end(c, &c->nodes[0], 0);
	}
}

Test(run, it_goes_on_over_the_next_link)
{
	struct scene s = scene_new();

	commander_add(s.c, "web-1");
	s.c->before = cut_at_second_look;
	plays(&s, "run -t web-1 -- true", 0);
	cr_assert(eq(int, s.stage->rig->dials, 2));
	cr_assert_str_eq(s.stage->out, "-- web-1  exit 0\nmeanwhile\n");
	scene_free(&s);
}

static void
interrupt_at_second_look(struct commander *c, const char *op)
{
	if (strcmp(op, "ListCommandChanges") == 0 && c->asked_changes == 1)
		raise(SIGINT);
}

Test(run, a_signal_without_a_terminal_cancels_it_and_waits_for_its_end)
{
	struct scene s = scene_new();

	commander_add(s.c, "web-1");
	s.c->before = interrupt_at_second_look;
	s.c->ends_when_cancelled = true;
	plays(&s, "run -t web-1 -- sleep 60", 130);
	cr_assert(eq(int, s.c->asked_cancel, 1));
	stage_has(s.stage->said, "cancelling it on all nodes");
	cr_assert_str_eq(s.stage->out, "-- web-1  cancelled\n");
	scene_free(&s);
}

static void
interrupt_twice(struct commander *c, const char *op)
{
	if (strcmp(op, "ListCommandChanges") == 0 &&
		(c->asked_changes == 1 || c->asked_changes == 4))
		raise(SIGINT);
}

Test(run, a_second_signal_leaves_at_once)
{
	struct scene s = scene_new();

	commander_add(s.c, "web-1");
	s.c->before = interrupt_twice; /* and it does not end by the cancel */
	plays(&s, "run -t web-1 -- sleep 60", 130);
	cr_assert(ge(int, s.c->asked_cancel, 1));
	scene_free(&s);
}

static void
hang_up(struct commander *c, const char *op)
{
	if (strcmp(op, "ListCommandChanges") == 0 && c->asked_changes == 1)
		raise(SIGHUP);
}

Test(run, one_whose_terminal_is_gone_goes_on)
{
	struct scene s = scene_new();

	commander_add(s.c, "web-1");
	s.c->before = hang_up;
	plays(&s, "run -t web-1 -- sleep 60", 128 + SIGHUP);
	cr_assert(eq(int, s.c->asked_cancel, 0));
	scene_free(&s);
}

/* --- runs ---------------------------------------------------------------------------------------
 */

Test(runs, the_last_one_is_remembered_and_shown)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "hi\n", "", 1);
	plays(&s, "run -q -t web-1 -- true", 1);
	plays(&s, "runs show last", 0);
	stage_has(s.stage->out, "CommandId: " COMMANDER_ID);
	stage_has(s.stage->out, "-- web-1  exit 1\n");
	plays(&s, "runs output last", 1);
	stage_has(s.stage->out, "-- web-1  exit 1\nhi\n");
	plays(&s, "runs output --raw -q last web-[1-2]", 1);
	cr_assert_str_eq(s.stage->out, "hi\n");
	plays(&s, "runs output last web-2", 4);
	plays(&s, "runs cancel last", 0);
	stage_has(buf_str(&s.c->sent), "CancelCommand {\"CommandId\":\"" COMMANDER_ID "\"}\n");
	plays(&s, "runs cancel last web-1", 0);
	stage_has(buf_str(&s.c->sent), "\"InstanceIds\":[\"mi-00000000000000000\"]}\n");
	scene_free(&s);
}

Test(runs, without_a_last_one_it_says_so)
{
	struct scene s = scene_new();

	plays(&s, "runs show last", HW_EUSAGE);
	stage_has(s.stage->err.text, "no command was sent from here yet");
	plays(&s, "run -t last:failed -- true", HW_EUSAGE);
	scene_free(&s);
}

Test(runs, a_prefix_finds_it_and_nonsense_does_not)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	plays(&s, "runs show b4e2", 0);
	plays(&s, "runs show ffff", HW_ECOMMAND);
	plays(&s, "runs ls", 0);
	stage_has(s.stage->out, "b4e2f1c0");
	stage_has(s.stage->out, "why not");
	plays(&s, "runs output b4e2 tag:Env=prod", HW_EUSAGE);
	scene_free(&s);
}

Test(runs, what_failed_is_sent_again_as_it_was)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	ended(&s, "web-2", "", "", 1);
	plays(&s, "runs retry b4e2", 1);
	cr_assert_str_eq(buf_str(&s.c->sent),
		"SendCommand {\"InstanceIds\":[\"mi-00000000000000001\"],"
		"\"DocumentName\":\"AWS-RunShellScript\",\"Comment\":\"why not\","
		"\"Parameters\":{\"commands\":[\"uname -r\"]},\"MaxConcurrency\":\"10%\","
		"\"MaxErrors\":\"3\"}\n");
	buf_reset(&s.c->sent);
	plays(&s, "runs retry --all b4e2", 1);
	stage_has(buf_str(&s.c->sent), "[\"mi-00000000000000000\",\"mi-00000000000000001\"]");
	buf_reset(&s.c->sent);
	plays(&s, "run -q -t last:failed -- true", 1);
	stage_has(buf_str(&s.c->sent), "{\"InstanceIds\":[\"mi-00000000000000001\"],");
	scene_free(&s);
}

Test(runs, where_nothing_failed_nothing_is_sent)
{
	struct scene s = scene_new();

	ended(&s, "web-1", "", "", 0);
	plays(&s, "runs retry b4e2", HW_ENODE);
	cr_assert(eq(int, s.stage->client.exit_status, 4));
	plays(&s, "run -q -t web-1 -- true", 0);
	cr_assert(eq(int, s.c->asked_send, 1));
	plays(&s, "run -t last:failed -- true", HW_ENODE);
	cr_assert(eq(int, s.c->asked_send, 1));
	scene_free(&s);
}

Test(runs, several_of_a_prefix_are_listed)
{
	static const struct msg_command commands[] = {
		{.command_id = "b4e20000-0000-4000-8000-000000000000"},
		{.command_id = "b4e21111-0000-4000-8000-000000000000"},
	};
	struct hw_err err = HW_ERR_INIT;
	const struct msg_command *found;

	cr_assert(eq(int, past_pick(&found, commands, 2, "b4e2", &err), HW_EVALIDATION));
	stage_has(err.text, "b4e21111");
	cr_assert(eq(int, past_pick(&found, commands, 2, "b4e20", &err), 0));
	cr_assert(found == &commands[0]);
	cr_assert(eq(int, past_pick(&found, commands, 2, "", &err), HW_ECOMMAND));
}
