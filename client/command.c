#include "client/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/duration.h"

const struct option_row option_rows_common[] = {
	{"home",				  0, "DIR", "keys and config (HAWSER_HOME, ~/.config/hawser)"},
	{"timeout",				  0, "TIME", "how long to wait for an answer (30s)"},
	{"proxy",				       0, "URL", "HTTP proxy, or none (HTTPS_PROXY, NO_PROXY)"},
	{"no-color",     0, NULL, "no colours (NO_COLOR)"},
	{"help", 'h', NULL, "this text"},
	{0				},
};

const struct option_row option_row_output = {
	"output", 'o', "FORMAT", "table, wide, json, jsonl, yaml or name"};

/* --- the options of a command, as one list --------------------------------------------------- */

#define OPTIONS_MAX 32

struct option_list {
	const struct option_row *rows[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 1];
	char letters[2 * OPTIONS_MAX + 3];
	size_t n;
};

static void
list_add(struct option_list *list, const struct option_row *row)
{
	char *end = list->letters + strlen(list->letters);

	hw_assert(list->n < OPTIONS_MAX);
	list->rows[list->n] = row;
	list->longs[list->n] = (struct option){
		.name = row->name,
		.has_arg = row->arg != NULL ? required_argument : no_argument,
		.val = 256 + (int)list->n,
	};
	list->n++;
	if (row->letter != 0) {
		*end++ = row->letter;
		if (row->arg != NULL)
			*end++ = ':';
		*end = '\0';
	}
}

static void
list_make(struct option_list *list, const struct command *command)
{
	*list = (struct option_list){.letters = "+:"};
	for (const struct option_row *row = command->options; row != NULL && row->name != NULL;
		row++)
		list_add(list, row);
	if (command->shows)
		list_add(list, &option_row_output);
	for (const struct option_row *row = option_rows_common; row->name != NULL; row++)
		list_add(list, row);
}

static const struct option_row *
list_find(const struct option_list *list, int found)
{
	if (found >= 256)
		return list->rows[found - 256];
	for (size_t i = 0; i < list->n; i++) {
		if (list->rows[i]->letter == found)
			return list->rows[i];
	}
	return NULL;
}

/* --- reading --------------------------------------------------------------------------------- */

static int
unknown_option(const struct command *command, char **argv, int before, int letter,
	struct hw_err *err)
{
	const char *word = argv[before];

	if (word[0] == '-' && word[1] != '-')
		return hw_err_set(err, HW_EUSAGE, "%s has no option -%c", command->name, letter);
	return hw_err_set(err, HW_EUSAGE, "%s has no option %s", command->name, word);
}

static int
read_option(struct input *in, const struct option_list *list, char **argv, int before, int found,
	struct hw_err *err)
{
	const struct option_row *row;

	if (found == '?')
		return unknown_option(in->command, argv, before, optopt, err);
	if (found == ':')
		return hw_err_set(err, HW_EUSAGE, "%s wants a value after it", argv[before]);
	row = list_find(list, found);
	hw_assert(row != NULL);
	in->given[in->n_given].row = row;
	in->given[in->n_given].value = row->arg != NULL ? optarg : "";
	in->n_given++;
	return 0;
}

static int
check_count(const struct input *in, struct hw_err *err)
{
	const struct command *command = in->command;

	if (input_has(in, "help"))
		return 0;
	if (in->n < (size_t)command->min)
		return hw_err_set(err, HW_EUSAGE, "%s wants %s", command->name, command->operands);
	if (command->max >= 0 && in->n > (size_t)command->max)
		return hw_err_set(err, HW_EUSAGE, "%s does not know what to do with '%s'",
			command->name, in->operands[command->max]);
	return 0;
}

/* getopt stops at the first operand ('+'), so that it is we who see `--` and where words begin. */
static int
read_words(struct input *in, const struct option_list *list, int argc, char **argv,
	struct hw_err *err)
{
	const struct command *command = in->command;
	bool only_operands = false;
	int r;

	optind = 0; /* glibc: start afresh; argv[0] is skipped */
	opterr = 0;
	while (true) {
		int before = optind > 0 ? optind : 1;
		int found = only_operands
			? -1
			: getopt_long(argc, argv, list->letters, list->longs, NULL);

		if (found != -1) {
			if ((r = read_option(in, list, argv, before, found, err)) < 0)
				return r;
			continue;
		}
		if (!only_operands && optind > before)
			only_operands = true; /* that was `--` */
		if (optind >= argc)
			return 0;
		if (command->words && (only_operands || in->n == (size_t)command->max)) {
			in->words = (const char **)(void *)(argv + optind);
			in->n_words = (size_t)(argc - optind);
			return 0;
		}
		in->operands[in->n++] = argv[optind++];
	}
}

int
input_read(struct input **ret, const struct command *command, int argc, char **argv,
	struct hw_err *err)
{
	struct option_list list;
	struct input *in = calloc(1, sizeof(*in));
	int r = HW_ENOMEM;

	if (in == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	in->command = command;
	in->operands = calloc((size_t)argc + 1, sizeof(*in->operands));
	/* A word may hold several flags: -abc. */
	size_t room = 1;
	for (int i = 1; i < argc; i++)
		room += strlen(argv[i]) + 1;
	in->given = calloc(room, sizeof(*in->given));
	if (in->operands == NULL || in->given == NULL)
		goto out;

	list_make(&list, command);
	if ((r = read_words(in, &list, argc, argv, err)) < 0 || (r = check_count(in, err)) < 0)
		goto out;
	*ret = in;
	in = NULL;
out:
	input_free(in);
	return r;
}

void
input_free(struct input *in)
{
	if (in == NULL)
		return;
	free(in->operands);
	free(in->given);
	free(in);
}

/* --- asking ---------------------------------------------------------------------------------- */

const char *
input_nth(const struct input *in, const char *option, size_t i)
{
	for (size_t k = 0; k < in->n_given; k++) {
		if (strcmp(in->given[k].row->name, option) == 0 && i-- == 0)
			return in->given[k].value;
	}
	return NULL;
}

int
input_all(const char ***values, size_t *n, struct arena *a, const struct input *in,
	const char *option, size_t max, struct hw_err *err)
{
	const char **all = arena_array(a, in->n_given + 1, sizeof(*all));
	size_t count = 0;

	if (all == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	while ((all[count] = input_nth(in, option, count)) != NULL)
		count++;
	if (count > max)
		return hw_err_set(err, HW_EUSAGE, "--%s is given %zu times, at most %zu", option,
			count, max);
	*values = all;
	*n = count;
	return 0;
}

const char *
input_text(const struct input *in, const char *option)
{
	const char *last = NULL;

	for (size_t k = 0; k < in->n_given; k++) {
		if (strcmp(in->given[k].row->name, option) == 0)
			last = in->given[k].value;
	}
	return last;
}

bool
input_has(const struct input *in, const char *option)
{
	return input_text(in, option) != NULL;
}

int
input_int(int64_t *ret, const struct input *in, const char *option, int64_t min, int64_t max,
	struct hw_err *err)
{
	const char *text = input_text(in, option);
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || v < min || v > max)
		return hw_err_set(err, HW_EUSAGE, "--%s wants a number from %lld to %lld, not '%s'",
			option, (long long)min, (long long)max, text);
	*ret = v;
	return 0;
}

int
input_duration(int64_t *usec, const struct input *in, const char *option, struct hw_err *err)
{
	const char *text = input_text(in, option);

	if (text == NULL || duration_parse(usec, text) == 0)
		return 0;
	return hw_err_set(err, HW_EUSAGE, "--%s wants a time as 90s, 15m, 24h or 7d, not '%s'",
		option, text);
}

char *
input_join(const struct input *in)
{
	size_t n = 0;
	char *all, *at;

	if (in->n_words == 0)
		return NULL;
	for (size_t i = 0; i < in->n_words; i++)
		n += strlen(in->words[i]) + 1;
	all = at = malloc(n);
	for (size_t i = 0; all != NULL && i < in->n_words; i++) {
		at = stpcpy(at, in->words[i]);
		*at++ = i + 1 < in->n_words ? ' ' : '\0';
	}
	return all;
}

/* --- help ------------------------------------------------------------------------------------ */

static void
help_option(struct buf *out, const struct option_row *row)
{
	char left[48];

	if (row->doc == NULL)
		return;
	snprintf(left, sizeof(left), "%c%c%c --%s%s%s", row->letter ? '-' : ' ',
		row->letter ? row->letter : ' ', row->letter ? ',' : ' ', row->name,
		row->arg != NULL ? " " : "", row->arg != NULL ? row->arg : "");
	buf_printf(out, "  %-24s %s\n", left, row->doc);
}

void
command_help(struct buf *out, const struct command *command)
{
	buf_printf(out, "usage: hawser %s [OPTION...]%s%s\n\n", command->name,
		command->operands[0] != '\0' ? " " : "", command->operands);
	buf_printf(out, "  %s\n", command->summary);
	if (command->about != NULL)
		buf_printf(out, "%s\n", command->about);
	buf_append_str(out,
		"\noptions (and --home, --timeout, --proxy, --no-color: see hawser --help):\n");
	for (const struct option_row *row = command->options; row != NULL && row->name != NULL;
		row++)
		help_option(out, row);
	if (command->shows)
		help_option(out, &option_row_output);
	help_option(out, &option_rows_common[4]);
	buf_append_str(out, "\nexamples:\n");
	for (size_t i = 0; i < 2; i++)
		buf_printf(out, "  %s\n", command->examples[i]);
}
