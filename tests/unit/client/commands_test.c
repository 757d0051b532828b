#include "client/commands.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row *
options_of(const struct command *command)
{
	static const struct option_row none[] = {{0}};

	return command->options != NULL ? command->options : none;
}

/* --- the table ------------------------------------------------------------------------------- */

static void
check_screen(struct buf *text, const char *name)
{
	char *copy = strdup(buf_str(text)), *rest = copy, *line;
	int lines = 0;

	while ((line = strsep(&rest, "\n")) != NULL) {
		cr_expect(le(sz, strlen(line), USAGE_WIDTH), "%s: too wide: %s", name, line);
		cr_expect(line[0] == '\0' || line[strlen(line) - 1] != ' ', "%s: '%s'", name, line);
		lines++;
	}
	cr_expect(le(int, lines - 1, USAGE_LINES), "%s has %d lines", name, lines - 1);
	free(copy);
}

Test(commands, every_help_fits_a_screen)
{
	struct buf text;

	buf_init(&text, 65536);
	for (size_t i = 0; command_table[i] != NULL; i++) {
		buf_reset(&text);
		command_help(&text, command_table[i]);
		check_screen(&text, command_table[i]->name);
	}
	buf_reset(&text);
	commands_help(&text);
	check_screen(&text, "hawser");
	static const char *const groups[] = {"node", "selector", "activation", "user", "group",
		"key", "policy", "runs", "sessions", "forwards", "audit"};
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		buf_reset(&text);
		commands_help_group(&text, groups[i]);
		check_screen(&text, groups[i]);
	}
	buf_fini(&text);
}

Test(commands, every_row_is_whole)
{
	for (size_t i = 0; command_table[i] != NULL; i++) {
		const struct command *command = command_table[i];

		cr_expect(command->run != NULL, "%s", command->name);
		cr_expect(command->summary != NULL && command->operands != NULL, "%s",
			command->name);
		cr_expect(command->max < 0 || command->min <= command->max, "%s", command->name);
		for (size_t k = 0; k < 2; k++)
			cr_expect(command->examples[k] != NULL &&
					strstr(command->examples[k], "hawser ") != NULL,
				"%s wants two examples", command->name);
	}
}

Test(commands, no_option_is_there_twice)
{
	for (size_t i = 0; command_table[i] != NULL; i++) {
		const struct option_row *rows = options_of(command_table[i]);

		for (const struct option_row *a = rows; a->name != NULL; a++) {
			cr_expect(strcmp(a->name, "output") != 0);
			cr_expect(a->letter != 'o' && a->letter != 'h', "%s", a->name);
			for (const struct option_row *c = option_rows_common; c->name != NULL; c++)
				cr_expect(ne(str, (char *)a->name, (char *)c->name));
			for (const struct option_row *b = rows; b < a; b++) {
				cr_expect(ne(str, (char *)a->name, (char *)b->name));
				cr_expect(a->letter == 0 || a->letter != b->letter, "%s: -%c",
					command_table[i]->name, a->letter);
			}
		}
	}
}

/* --- finding one ----------------------------------------------------------------------------- */

static const struct command *
find(int *used, const char *a, const char *b)
{
	char *argv[] = {(char *)a, (char *)b, NULL};

	return command_find(used, b != NULL ? 2 : 1, argv);
}

Test(commands, are_found_by_one_word_or_two)
{
	int used;

	cr_assert(find(&used, "ls", "web-01") == &cmd_ls);
	cr_assert(eq(int, used, 1));
	cr_assert(find(&used, "node", "tag") == &cmd_node_tag);
	cr_assert(eq(int, used, 2));
	cr_assert(find(&used, "node", NULL) == NULL);
	cr_assert(find(&used, "nod", "tag") == NULL);
	cr_assert(find(&used, "sessions", NULL) == &cmd_sessions_ls);
	cr_assert(find(&used, "sessions", "-o") == &cmd_sessions_ls);
	cr_assert(eq(int, used, 1));
	cr_assert(find(&used, "sessions", "lss") == NULL);
	cr_assert(find(&used, "", NULL) == NULL);
	cr_assert(command_is_group("user"));
	cr_assert(not(command_is_group("shell")));
	cr_assert(not(command_is_group("us")));
}

/* --- reading a command line ------------------------------------------------------------------ */

#define ARGS_MAX 12

static int
read_line(struct input **in, const struct command *command, struct hw_err *err, const char *line)
{
	static char text[256];
	static char *argv[ARGS_MAX];
	char *rest = text;
	int argc = 0;

	snprintf(text, sizeof(text), "x %s", line);
	while ((argv[argc] = strsep(&rest, " ")) != NULL) {
		if (argv[argc][0] != '\0')
			cr_assert(lt(int, ++argc, ARGS_MAX));
	}
	return input_read(in, command, argc, argv, err);
}

static struct input *
must_read(const struct command *command, const char *line)
{
	struct hw_err err = HW_ERR_INIT;
	struct input *in;

	cr_assert(eq(int, read_line(&in, command, &err, line), 0), "%s", err.text);
	return in;
}

static void
refused(const struct command *command, const char *line, const char *why)
{
	struct hw_err err = HW_ERR_INIT;
	struct input *in;

	cr_assert(eq(int, read_line(&in, command, &err, line), HW_EUSAGE), "%s", line);
	cr_assert(strstr(err.text, why) != NULL, "%s", err.text);
}

Test(input, options_may_stand_anywhere_before_the_words)
{
	struct input *in = must_read(&cmd_exec, "--reason why web-01 -n -- ls -l --all");

	cr_assert(eq(sz, in->n, 1));
	cr_assert_str_eq(in->operands[0], "web-01");
	cr_assert_str_eq(input_text(in, "reason"), "why");
	cr_assert(input_has(in, "no-stdin"));
	char *command = input_join(in);
	cr_assert_str_eq(command, "ls -l --all");
	free(command);
	input_free(in);
}

Test(input, words_begin_at_the_second_operand_as_with_ssh)
{
	struct input *in = must_read(&cmd_exec, "web-01 ls -n --reason");

	cr_assert(not(input_has(in, "no-stdin")));
	cr_assert(eq(sz, in->n_words, 3));
	cr_assert_str_eq(in->words[0], "ls");
	input_free(in);
}

Test(input, a_second_pair_of_dashes_belongs_to_the_words)
{
	struct input *in = must_read(&cmd_exec, "web-01 -- git checkout -- file");
	char *command = input_join(in);

	cr_assert_str_eq(command, "git checkout -- file");
	free(command);
	input_free(in);
}

Test(input, dashes_end_options_of_a_command_without_words)
{
	struct input *in = must_read(&cmd_ls, "-o json -- -o name");

	cr_assert(eq(sz, in->n, 2));
	cr_assert_str_eq(in->operands[0], "-o");
	cr_assert_str_eq(input_text(in, "output"), "json");
	input_free(in);
}

Test(input, a_value_may_look_like_dashes)
{
	struct input *in = must_read(&cmd_shell, "-e -- web-01");

	cr_assert_str_eq(input_text(in, "escape"), "--");
	cr_assert_str_eq(in->operands[0], "web-01");
	input_free(in);
}

Test(input, repeated_options_are_all_there)
{
	struct input *in =
		must_read(&cmd_activation_create, "-t A=1 --tag=B=2 --limit 3 --limit 4");
	int64_t limit = 0;

	cr_assert_str_eq(input_nth(in, "tag", 0), "A=1");
	cr_assert_str_eq(input_nth(in, "tag", 1), "B=2");
	cr_assert(input_nth(in, "tag", 2) == NULL);
	cr_assert(eq(int, input_int(&limit, in, "limit", 1, 1000, NULL), 0));
	cr_assert(eq(i64, limit, 4));
	input_free(in);
}

Test(input, mistakes_are_named)
{
	refused(&cmd_ls, "--colour", "no option --colour");
	refused(&cmd_ls, "-z", "no option -z");
	refused(&cmd_ls, "-oz -z", "no option -z");
	refused(&cmd_shell, "web-01 --reason", "--reason wants a value");
	refused(&cmd_shell, "", "wants [USER@]NODE");
	refused(&cmd_status, "now", "'now'");
	refused(&cmd_node_tag, "web-01", "wants NODE KEY=VALUE");
}

Test(input, help_wants_no_operands)
{
	struct input *in = must_read(&cmd_node_tag, "--help");

	cr_assert(input_has(in, "help"));
	input_free(in);
}

Test(input, numbers_and_times_are_checked)
{
	struct hw_err err = HW_ERR_INIT;
	struct input *in = must_read(&cmd_activation_create, "--limit 1001 --expires soon");
	int64_t v = 7;

	cr_assert(eq(int, input_int(&v, in, "limit", 1, 1000, &err), HW_EUSAGE));
	cr_assert(eq(int, input_duration(&v, in, "expires", &err), HW_EUSAGE));
	cr_assert(eq(i64, v, 7));
	input_free(in);
}
