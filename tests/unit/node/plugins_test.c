/* What a step's inputs make of its program. */
#include "node/plugins/plugins.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

static const struct plugin_context context = {
	.node_id = "mi-0123456789abcdef0",
	.command_id = "01234567-89ab-cdef-0123-456789abcdef",
	.platform_name = "Debian GNU/Linux",
	.platform_version = "12",
};

static struct arena *arena;

static void
up(void)
{
	arena = arena_new(1 << 20);
}

static void
down(void)
{
	arena_free(arena);
}

TestSuite(plugins, .init = up, .fini = down);

static int
prepare(struct plugin_program *p, const char *inputs, const char *env, struct hw_err *err)
{
	json_t *in = json_loads(inputs, JSON_DECODE_ANY, NULL);
	json_t *vars = env != NULL ? json_loads(env, 0, NULL) : NULL;

	cr_assert_not_null(in, "%s", inputs);
	*p = (struct plugin_program){.script = NULL};
	int r = plugin_shell_script(p, arena, &context, in, vars, err);
	json_decref(in);
	json_decref(vars);
	return r;
}

static const char *
variable(const struct plugin_program *p, const char *name)
{
	const char *found = NULL;

	for (const char *s = p->environment; s < p->environment + p->environment_len;
		s += strlen(s) + 1)
		if (strncmp(s, name, strlen(name)) == 0 && s[strlen(name)] == '=')
			found = s + strlen(name) + 1;
	return found;
}

Test(plugins, lines_are_joined)
{
	struct plugin_program p;

	cr_assert_eq(prepare(&p, "{\"runCommand\":[\"a\",\"\",\"b c\"]}", NULL, NULL), 0);
	cr_assert_str_eq(p.script, "a\n\nb c\n");
	cr_assert_null(p.directory);
	cr_assert_eq(p.seconds, 3600);
	cr_assert_eq(prepare(&p, "{\"runCommand\":\"one\"}", NULL, NULL), 0);
	cr_assert_str_eq(p.script, "one\n");
	cr_assert_eq(prepare(&p, "{\"runCommand\":[]}", NULL, NULL), 0);
	cr_assert_str_eq(p.script, "\n");
}

Test(plugins, what_is_no_list_of_texts_is_refused)
{
	static const char *const bad[] = {
		"{}",
		"{\"runCommand\":null}",
		"{\"runCommand\":7}",
		"{\"runCommand\":[\"a\",7]}",
		"{\"runCommand\":[[\"a\"]]}",
		"{\"runCommand\":[\"a\"],\"workingDirectory\":7}",
		"{\"runCommand\":[\"a\"],\"environment\":[]}",
		"{\"runCommand\":[\"a\"],\"environment\":{\"A\":1}}",
		"{\"runCommand\":[\"a\"],\"environment\":{\"A B\":\"1\"}}",
		"{\"runCommand\":[\"a\"],\"environment\":{\"1A\":\"1\"}}",
		"{\"runCommand\":[\"a\"],\"environment\":{\"\":\"1\"}}",
		"{\"runCommand\":[\"a\"],\"environment\":{\"A=B\":\"1\"}}",
	};
	struct plugin_program p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hw_err err = HW_ERR_INIT;
		cr_assert_eq(prepare(&p, bad[i], NULL, &err), HW_EVALIDATION, "%s", bad[i]);
		cr_assert_neq(err.text[0], '\0');
	}
}

Test(plugins, a_script_that_is_too_long_is_refused)
{
	struct plugin_program p;
	char *inputs = malloc(140000);

	strcpy(inputs, "{\"runCommand\":\"");
	memset(inputs + 15, 'x', 131071);
	strcpy(inputs + 15 + 131071, "\"}");
	cr_assert_eq(prepare(&p, inputs, NULL, NULL), 0, "128 KiB with its line's end");
	strcpy(inputs + 15 + 131071, "x\"}");
	cr_assert_eq(prepare(&p, inputs, NULL, NULL), HW_ELIMIT);
	free(inputs);
}

Test(plugins, directories)
{
	struct plugin_program p;

	cr_assert_eq(prepare(&p, "{\"runCommand\":\"a\",\"workingDirectory\":\"/tmp\"}", NULL,
			     NULL),
		0);
	cr_assert_str_eq(p.directory, "/tmp");
	cr_assert_eq(prepare(&p, "{\"runCommand\":\"a\",\"workingDirectory\":\"\"}", NULL, NULL),
		0);
	cr_assert_null(p.directory);
	cr_assert_eq(prepare(&p, "{\"runCommand\":\"a\",\"workingDirectory\":\"x/y\"}", NULL, NULL),
		0);
	cr_assert_null(p.directory);
}

Test(plugins, what_says_which_command_it_is_cannot_be_said_otherwise)
{
	struct plugin_program p;

	cr_assert_eq(
		prepare(&p,
			"{\"runCommand\":\"a\",\"environment\":{\"SSM_COMMAND_ID\":\"mine\",\"A\":"
			"\"b=c\"}}",
			"{\"SSM_name\":\"value\"}", NULL),
		0);
	cr_assert_str_eq(variable(&p, "SSM_COMMAND_ID"), context.command_id);
	cr_assert_str_eq(variable(&p, "AWS_SSM_INSTANCE_ID"), context.node_id);
	cr_assert_str_eq(variable(&p, "AWS_SSM_PLATFORM_NAME"), "Debian GNU/Linux");
	cr_assert_str_eq(variable(&p, "AWS_SSM_PLATFORM_VERSION"), "12");
	cr_assert_str_eq(variable(&p, "A"), "b=c");
	cr_assert_str_eq(variable(&p, "SSM_name"), "value");
}

Test(plugins, an_environment_has_bounds)
{
	struct plugin_program p;
	char *inputs = malloc(80000), *at = inputs;

	at += sprintf(at, "{\"runCommand\":\"a\",\"environment\":{\"V0\":\"\"");
	for (int i = 1; i < 130; i++)
		at += sprintf(at, ",\"V%d\":\"\"", i);
	strcpy(at, "}}");
	cr_assert_eq(prepare(&p, inputs, NULL, NULL), HW_ELIMIT);
	at = inputs + sprintf(inputs, "{\"runCommand\":\"a\",\"environment\":{\"V\":\"");
	memset(at, 'x', 65536);
	strcpy(at + 65536, "\"}}");
	cr_assert_eq(prepare(&p, inputs, NULL, NULL), HW_ELIMIT);
	free(inputs);
}

Test(plugins, whether_a_step_can_run_here)
{
	static const struct {
		const char *schema, *action;
		enum document_verdict verdict;
	} rows[] = {
		{"2.2", "aws:runShellScript",      DOCUMENT_RUN },
		{"1.2", "aws:runShellScript",      DOCUMENT_RUN },
		{"2.2", "aws:runPowerShellScript", DOCUMENT_SKIP},
		{"2.2", "aws:domainJoin",	  DOCUMENT_SKIP},
		{"2.0", "aws:runPowerShellScript", DOCUMENT_FAIL},
		{"1.2", "aws:psModule",		DOCUMENT_FAIL},
		{"2.2", "aws:noSuchThing",	   DOCUMENT_FAIL},
		{"1.2", "aws:noSuchThing",	   DOCUMENT_FAIL},
		{"2.2", "aws:runshellscript",      DOCUMENT_FAIL},
	};
	char why[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why[0] = '\0';
		cr_assert_eq(plugin_judge(rows[i].schema, rows[i].action, "step", why, sizeof(why)),
			rows[i].verdict, "%s %s", rows[i].schema, rows[i].action);
		cr_assert_eq(why[0] != '\0', rows[i].verdict != DOCUMENT_RUN);
	}
}

/* --- aws:updateSsmAgent --------------------------------------------------------------------------
 */

static int
update(struct plugin_program *p, const char *call, const char *inputs, struct hw_err *err)
{
	struct plugin_context with = context;
	json_t *in = json_loads(inputs, 0, NULL);

	with.upgrade = call;
	*p = (struct plugin_program){.script = NULL};
	int r = plugin_find("aws:updateSsmAgent")->prepare(p, arena, &with, in, NULL, err);
	json_decref(in);
	return r;
}

Test(plugins, update_of_the_agent_calls_the_program_with_what_was_asked)
{
	struct plugin_program p;

	cr_assert_eq(
		update(&p, "'/x y/up' --dir '/d'",
			"{\"targetVersion\": \"0.2.0\", \"release\": \"ab\", \"allowDowngrade\": "
			"\"true\"}",
			NULL),
		0);
	cr_assert_str_eq(p.script,
		"exec '/x y/up' --dir '/d' --version '0.2.0' --release 'ab' --downgrade\n");
	cr_assert_eq(p.seconds, 3600);
	cr_assert_eq(update(&p, "up", "{}", NULL), 0);
	cr_assert_str_eq(p.script, "exec up --version '' --release ''\n");
}

/* What somebody wrote is a word of the program's, whatever is in it. */
Test(plugins, update_of_the_agent_lets_nobody_write_its_script)
{
	struct plugin_program p;

	cr_assert_eq(update(&p, "up",
			     "{\"release\": \"'; rm -rf / #\", \"allowDowngrade\": \"false\"}",
			     NULL),
		0);
	cr_assert_str_eq(p.script, "exec up --version '' --release ''\\''; rm -rf / #'\n");
}

Test(plugins, update_of_the_agent_says_what_it_cannot_do)
{
	struct hw_err err = HW_ERR_INIT;
	struct plugin_program p;

	cr_assert_eq(update(&p, NULL, "{}", &err), 0);
	cr_assert_not_null(strstr(p.script, "not installed on this node' >&2\nexit 1\n"));
	cr_assert_eq(update(&p, "up", "{\"allowDowngrade\": \"maybe\"}", &err), HW_EVALIDATION);
	cr_assert_eq(update(&p, "up", "{\"release\": 7}", &err), HW_EVALIDATION);
}
