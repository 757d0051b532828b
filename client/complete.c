#include "client/complete.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "client/commands.h"

static const char *const output_values[] = {"table", "wide", "json", "jsonl", "yaml", "name", NULL};
static const char *const export_values[] = {"cast", "text", "raw", "json", NULL};
static const char *const shell_values[] = {"bash", "zsh", "fish", NULL};

/* What a word is called in a command's usage says what may stand there. The first row that fits
 * counts; one with a command, or a group, is for that alone. */
static const struct {
	const char *command, *called;
	enum complete_what what;
	enum names_kind names;
	const char *const *values;
	char last; /* what is completed is what follows the last one of these in the word */
} meanings[] = {
	{NULL,	       "NODE",	       COMPLETE_NAMES,   NAMES_NODES,	    NULL,	  0  },
	{NULL,	       "USER@NODE",    COMPLETE_NAMES,   NAMES_NODES,	 NULL,	       '@'},
	{NULL,	       "SELECTOR",	   COMPLETE_NAMES,   NAMES_NODES,		NULL,	      ','},
	{"sessions kill",  "SESSION",	     COMPLETE_NAMES,   NAMES_LIVE_SESSIONS, NULL,		0	 },
	{"sessions watch", "SESSION",      COMPLETE_NAMES,   NAMES_LIVE_SESSIONS, NULL,		 0  },
	{"attach",	   "SESSION",      COMPLETE_NAMES,   NAMES_LIVE_SESSIONS, NULL,		 0  },
	{NULL,	       "SESSION",	  COMPLETE_NAMES,	  NAMES_SESSIONS,	  NULL,		0	 },
	{NULL,	       "ENTRY",	COMPLETE_NAMES,	NAMES_SESSIONS,	NULL,	      0  },
	{NULL,	       "COMMAND-ID",   COMPLETE_NAMES,   NAMES_COMMANDS,	     NULL,	   0  },
	{NULL,	       "KEY-ID",	 COMPLETE_NAMES,	 NAMES_KEYS,	     NULL,	   0  },
	{NULL,	       "HOLD-ID",	  COMPLETE_NAMES,	  NAMES_HOLDS,	       NULL,	     0  },
	{"activation",     "ID",	     COMPLETE_NAMES,   NAMES_ACTIVATIONS,	NULL,	      0  },
	{NULL,	       "USER",	       COMPLETE_NAMES,   NAMES_USERS,	    NULL,	  0  },
	{NULL,	       "GROUP",	COMPLETE_NAMES,	NAMES_GROUPS,	      NULL,	    0  },
	{NULL,	       "POLICY",	 COMPLETE_NAMES,	 NAMES_POLICIES,	 NULL,	       0	},
	{"policy",	   "PRINCIPAL",	COMPLETE_NAMES,	NAMES_USERS,	     NULL,	   0  },
	{"policy",	   "RESOURCE",     COMPLETE_NAMES,   NAMES_NODES,	    NULL,	  0  },
	{"user",		 "NAME",	 COMPLETE_NAMES,	 NAMES_USERS,	      NULL,	    0  },
	{"group",	  "NAME",	  COMPLETE_NAMES,	  NAMES_GROUPS,	NULL,	      0  },
	{"policy",	   "NAME",	   COMPLETE_NAMES,   NAMES_POLICIES,	   NULL,		 0  },
	{"selector",	     "NAME",	     COMPLETE_NAMES,   NAMES_SELECTORS,     NULL,	    0  },
	{"document",	     "NAME",	     COMPLETE_NAMES,   NAMES_DOCUMENTS,     NULL,	    0  },
	{"document",	     "NAME:VERSION", COMPLETE_NAMES,   NAMES_DOCUMENTS,     NULL,	    0  },
	{"document",	     "PREFIX",       COMPLETE_NAMES,   NAMES_DOCUMENTS,	NULL,	      0  },
	{NULL,	       "FILE",	       COMPLETE_FILES,   NAMES_KINDS,	    NULL,	  0  },
	{NULL,	       "DIR",	      COMPLETE_FOLDERS, NAMES_KINDS,	     NULL,	   0  },
	{"audit export",	 "FORMAT",	   COMPLETE_VALUES,  NAMES_KINDS,	 export_values, 0	 },
	{NULL,	       "FORMAT",	 COMPLETE_VALUES,  NAMES_KINDS,	       output_values, 0  },
	{"completion",     "SHELL",	COMPLETE_VALUES,	 NAMES_KINDS,	      shell_values,  0  },
};

/* Options whose value's name does not say it. */
static const struct {
	const char *option, *called;
	const char *command; /* as a row of `meanings` has it */
} named_options[] = {
	{"document", "NAME", "document"},
	{"user",	 "USER", NULL	     },
	{"node",	 "NODE", NULL	     },
};

static bool
is_of(const char *command, const char *row)
{
	size_t n = row != NULL ? strlen(row) : 0;

	return row == NULL ||
		(strncmp(command, row, n) == 0 && (command[n] == '\0' || command[n] == ' '));
}

/* `called` has `n` bytes. */
static void
find_meaning(struct completion *c, const char *command, const char *called, size_t n)
{
	const char *at;

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (strlen(meanings[i].called) != n ||
			strncmp(meanings[i].called, called, n) != 0 ||
			!is_of(command, meanings[i].command))
			continue;
		c->what = meanings[i].what;
		c->names = meanings[i].names;
		c->values = meanings[i].values;
		if (meanings[i].last != 0 && (at = strrchr(c->word, meanings[i].last)) != NULL)
			c->word = at + 1;
		if (meanings[i].last == ',' && c->word[0] == '@')
			c->names = NAMES_SELECTORS;
		return;
	}
}

/* The i'th operand of a usage as "[USER@]NODE [-- CMD]" without what is round it: what is said of
 * the last one is said of all that follow when it ends with dots. */
static void
find_operand(struct completion *c, size_t i)
{
	const struct command *command = c->command;
	const char *at = command->operands;
	char called[32];
	size_t n = 0;

	if (command->max >= 0 && i >= (size_t)command->max)
		return;
	for (size_t k = 0; *at != '\0' && *at != '-'; k++) {
		for (n = 0; *at != '\0' && *at != ' '; at++)
			if (strchr("[].", *at) == NULL && n < sizeof(called) - 1)
				called[n++] = *at;
		if (k == i)
			break;
		at += strspn(at, " ");
	}
	called[n] = '\0';
	find_meaning(c, command->name, called, strcspn(called, "|"));
}

static const struct option_row *
find_row(const struct option_row *rows, const char *name, size_t n, char letter)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		if (letter != 0 ? rows->letter == letter
				: strlen(rows->name) == n && strncmp(rows->name, name, n) == 0)
			return rows;
	}
	return NULL;
}

static const struct option_row *
find_option(const struct command *command, const char *name, size_t n, char letter)
{
	const struct option_row output[] = {option_row_output, {0}};
	const struct option_row *row = find_row(command->options, name, n, letter);

	if (row == NULL && command->shows && find_row(output, name, n, letter) != NULL)
		row = &option_row_output;
	return row != NULL ? row : find_row(option_rows_common, name, n, letter);
}

static void
find_value(struct completion *c, const struct option_row *row)
{
	for (size_t i = 0; i < sizeof(named_options) / sizeof(named_options[0]); i++) {
		if (strcmp(row->name, named_options[i].option) != 0)
			continue;
		find_meaning(c,
			named_options[i].command != NULL ? named_options[i].command
							 : c->command->name,
			named_options[i].called, strlen(named_options[i].called));
		return;
	}
	find_meaning(c, c->command->name, row->arg, strlen(row->arg));
}

/* The option that this word is, and whether its value is in it too: -oFORMAT, --output=FORMAT.
 * Letters may be many: -qo. */
static const struct option_row *
read_option(const char **value, const struct command *command, const char *word)
{
	const struct option_row *row = NULL;

	*value = NULL;
	if (word[1] == '-') {
		size_t n = strcspn(word + 2, "=");
		row = find_option(command, word + 2, n, 0);
		if (word[2 + n] == '=')
			*value = word + 3 + n;
		return row;
	}
	for (word++; *word != '\0'; word++) {
		row = find_option(command, NULL, 0, *word);
		if (row != NULL && row->arg != NULL) {
			*value = word[1] != '\0' ? word + 1 : NULL;
			return row;
		}
	}
	return row;
}

/* Within a command, whose words these are. */
static void
find_within(struct completion *c, size_t n, char *const *words)
{
	const struct option_row *row = NULL;
	const char *value;
	size_t operands = 0;

	for (size_t i = 0; i + 1 < n; i++) {
		if (row != NULL) { /* its value */
			row = NULL;
			continue;
		}
		if (strcmp(words[i], "--") == 0)
			return;
		if (words[i][0] != '-' || words[i][1] == '\0') {
			if (c->command->words && operands++ == (size_t)c->command->max)
				return; /* a word of what is run there */
			operands += !c->command->words;
			continue;
		}
		row = read_option(&value, c->command, words[i]);
		if (row != NULL && (row->arg == NULL || value != NULL))
			row = NULL;
	}
	if (row != NULL) {
		find_value(c, row);
	} else if (c->word[0] != '-') {
		find_operand(c, operands);
	} else if ((row = read_option(&value, c->command, c->word)) != NULL && value != NULL &&
		row->arg != NULL) {
		c->word = value;
		find_value(c, row);
	} else {
		c->what = COMPLETE_OPTIONS;
	}
}

/* What may stand before the command. */
static size_t
skip_leading(size_t n, char *const *words)
{
	size_t i = 0;

	while (i + 1 < n && words[i][0] == '-')
		i += strcmp(words[i], "--home") == 0 && i + 2 < n ? 2 : 1;
	return i;
}

void
complete_find(struct completion *ret, size_t n, char *const *words)
{
	size_t i = n > 0 ? skip_leading(n, words) : 0;
	int used = 0;

	*ret = (struct completion){.word = n > 0 ? words[n - 1] : "", .names = NAMES_KINDS};
	words += i;
	n -= i;
	ret->kept = ret->word;
	if (n <= 1) {
		ret->what = COMPLETE_COMMANDS;
		return;
	}
	ret->command = command_find(&used, (int)n - 1, (char **)(void *)words);
	if (ret->command != NULL && (n > 2 || !command_is_group(words[0]))) {
		find_within(ret, n - (size_t)used, words + used);
	} else if (n == 2 && command_is_group(words[0])) {
		ret->what = COMPLETE_COMMANDS;
		ret->group = words[0];
	}
	ret->kept_len = (size_t)(ret->word - ret->kept);
}

/* --- the words ------------------------------------------------------------------------------- */

struct list {
	struct buf *out;
	const struct completion *c;
	size_t n;
};

/* bash puts a word into the line as it is, so nothing passes by which it would run or expand
 * something: who names nodes need not be who presses Return. */
static bool
is_plain(const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)word[i]) && strchr("_.@+=:/,-", word[i]) == NULL)
			return false;
	return n > 0;
}

static void
offer(struct list *l, const char *before, const char *word, size_t n, const char *about)
{
	const struct completion *c = l->c;
	size_t typed = strlen(c->word), room = strlen(before);
	char whole[300];

	if (room + n >= sizeof(whole) || l->n >= COMPLETE_MAX || !is_plain(word, n))
		return;
	memcpy(whole, before, room);
	memcpy(whole + room, word, n);
	if (room + n < typed || memcmp(whole, c->word, typed) != 0)
		return;
	l->n++;
	buf_printf(l->out, "%.*s%.*s", (int)c->kept_len, c->kept, (int)(room + n), whole);
	if (about != NULL)
		buf_printf(l->out, "\t%s", about);
	buf_append_str(l->out, "\n");
}

/* A group is offered once: its commands stand together. */
static void
offer_commands(struct list *l)
{
	const char *group = l->c->group, *last = "";

	for (size_t i = 0; command_table[i] != NULL; i++) {
		const char *name = command_table[i]->name, *space = strchr(name, ' ');
		size_t n = space != NULL ? (size_t)(space - name) : strlen(name);
		bool same = strlen(last) >= n && strncmp(last, name, n) == 0 &&
			(last[n] == ' ' || last[n] == '\0');

		last = name;
		if (group != NULL && space != NULL && strlen(group) == n &&
			strncmp(group, name, n) == 0)
			offer(l, "", space + 1, strlen(space + 1), command_table[i]->summary);
		else if (group == NULL && !same)
			offer(l, "", name, n, space != NULL ? NULL : command_table[i]->summary);
	}
}

static void
offer_options(struct list *l, const struct option_row *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++)
		offer(l, "--", rows->name, strlen(rows->name), rows->doc);
}

static void
offer_names(struct list *l, const char *names)
{
	const char *before = l->c->names == NAMES_SELECTORS && l->c->word[0] == '@' ? "@" : "";

	for (size_t n; *names != '\0'; names += n + (names[n] == '\n')) {
		n = strcspn(names, "\n");
		if (names[0] != '-') /* it would be taken for an option */
			offer(l, before, names, n, NULL);
	}
}

void
complete_print(struct buf *out, const struct completion *c, const char *names)
{
	const struct option_row output[] = {option_row_output, {0}};
	struct list l = {.out = out, .c = c};

	buf_append_str(out,
		c->what == COMPLETE_FILES	      ? "files\n"
			: c->what == COMPLETE_FOLDERS ? "folders\n"
						      : "words\n");
	if (c->what == COMPLETE_COMMANDS)
		offer_commands(&l);
	if (c->what == COMPLETE_OPTIONS) {
		offer_options(&l, c->command->options);
		offer_options(&l, c->command->shows ? output : NULL);
		offer_options(&l, option_rows_common);
	}
	for (size_t i = 0; c->what == COMPLETE_VALUES && c->values[i] != NULL; i++)
		offer(&l, "", c->values[i], strlen(c->values[i]), NULL);
	if (c->what == COMPLETE_NAMES)
		offer_names(&l, names);
}
