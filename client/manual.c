/*
 * Writes manual pages from the table of commands, one for each command and each group: what its
 * --help says, as man(1) shows it. A page that somebody wrote by hand, which says more, goes first:
 *
 *   hawser-manual DIR HAND-WRITTEN...     writes DIR/hawser-NAME.1 for every other NAME, and
 * hawser.1
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"

static FILE *
open_page(const char *dir, const char *name, const char *mode)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s.1", dir, name);
	FILE *f = fopen(path, mode);
	if (f == NULL && (mode[0] != 'r' || errno != ENOENT)) {
		fprintf(stderr, "hawser-manual: cannot open %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return f;
}

/* A summary's first sentence, as names of pages are explained: without its dot. */
static FILE *
begin_page(const char *dir, const char *name, const char *summary)
{
	FILE *f = open_page(dir, name, "w");
	const char *dot = strstr(summary, ". ");
	size_t n = dot != NULL ? (size_t)(dot - summary) : strlen(summary);

	fputs(".TH ", f);
	for (size_t i = 0; name[i] != '\0'; i++)
		fputc(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i], f);
	n -= n > 0 && summary[n - 1] == '.';
	fprintf(f, " 1 \"\" \"Hawser\" \"User commands\"\n.SH NAME\n%s \\- %.*s\n", name, (int)n,
		summary);
	return f;
}

/* What could mean something to troff does not: a dot at a line's start, a backslash, a hyphen. */
static void
put_text(FILE *f, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((i == 0 || text[i - 1] == '\n') && (text[i] == '.' || text[i] == '\''))
			fputs("\\&", f);
		if (text[i] == '\\')
			fputs("\\e", f);
		else if (text[i] == '-')
			fputs("\\-", f);
		else
			fputc(text[i], f);
	}
}

static void
put(FILE *f, const char *text)
{
	put_text(f, text, strlen(text));
}

/* Lines of help are indented by two; one that is indented further is an example or a table. */
static void
put_about(FILE *f, const char *about)
{
	bool table = false;

	while (*about != '\0') {
		size_t n = strcspn(about, "\n");
		bool further = n > 4 && strncmp(about, "    ", 4) == 0;
		if (further != table)
			fputs(further ? ".nf\n" : ".fi\n", f);
		table = further;
		const char *line = n >= 2 && !further ? about + 2 : about;
		put_text(f, line, n - (size_t)(line - about));
		fputc('\n', f);
		about += n + (about[n] == '\n');
	}
	if (table)
		fputs(".fi\n", f);
}

static void
put_option(FILE *f, const struct option_row *row)
{
	if (row->doc == NULL)
		return;
	fputs(".TP\n", f);
	if (row->letter != 0)
		fprintf(f, "\\fB\\-%c\\fP, ", row->letter);
	fputs("\\fB\\-\\-", f);
	put(f, row->name);
	fputs("\\fP", f);
	if (row->arg != NULL) {
		fputs(" \\fI", f);
		put(f, row->arg);
		fputs("\\fP", f);
	}
	fputc('\n', f);
	put(f, row->doc);
	fputc('\n', f);
}

static void
put_usage(FILE *f, const struct command *c)
{
	fprintf(f, "\\fBhawser %s\\fP [\\fIOPTION\\fP...]", c->name);
	if (c->operands[0] != '\0')
		fputc(' ', f);
	put(f, c->operands);
	fputc('\n', f);
}

static void
put_command(FILE *f, const struct command *c)
{
	put(f, c->summary);
	fputc('\n', f);
	if (c->about != NULL) {
		fputs(".PP\n", f);
		put_about(f, c->about);
	}
	for (const struct option_row *row = c->options; row != NULL && row->name != NULL; row++)
		put_option(f, row);
	if (c->shows)
		put_option(f, &option_row_output);
	fputs(".PP\nExamples:\n.PP\n.nf\n", f);
	for (size_t i = 0; i < 2; i++) {
		fputs("    ", f);
		put(f, c->examples[i]);
		fputc('\n', f);
	}
	fputs(".fi\n", f);
}

static size_t
group_length(const struct command *c)
{
	return strcspn(c->name, " ");
}

static bool
is_same_group(const struct command *a, const struct command *b)
{
	return b != NULL && group_length(a) == group_length(b) &&
		strncmp(a->name, b->name, group_length(a)) == 0;
}

/* Ends with what belongs to every page. */
static void
end_page(FILE *f)
{
	fputs(".SH OPTIONS OF EVERY COMMAND\n", f);
	for (const struct option_row *row = option_rows_common; row->name != NULL; row++)
		put_option(f, row);
	fputs(".SH SEE ALSO\n.BR hawser (1)\n", f);
	if (fclose(f) != 0) {
		perror("hawser-manual");
		exit(1);
	}
}

static void
copy_page(FILE *to, FILE *from)
{
	char piece[4096];
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), from)) > 0)
		fwrite(piece, 1, n, to);
	fclose(from);
}

static void
put_synopsis(FILE *f, const struct command *const *first)
{
	fputs(".SH SYNOPSIS\n", f);
	for (const struct command *const *c = first; *c != NULL && is_same_group(*first, *c); c++) {
		fputs(c == first ? "" : ".br\n", f);
		put_usage(f, *c);
	}
}

static void
put_sections(FILE *f, const struct command *const *first)
{
	for (const struct command *const *c = first; *c != NULL && is_same_group(*first, *c); c++) {
		fprintf(f, ".SH hawser %s\n", (*c)->name);
		put_command(f, *c);
	}
}

/* The page of a command, or of all commands of its group, which stand together in the table. */
static void
write_page(const char *dir, const char *hand_written, const struct command *const *first)
{
	char name[64], about[128];
	bool group = strchr((*first)->name, ' ') != NULL;
	FILE *f;

	snprintf(name, sizeof(name), "hawser-%.*s", (int)group_length(*first), (*first)->name);
	snprintf(about, sizeof(about), "the commands of hawser %.*s", (int)group_length(*first),
		(*first)->name);
	FILE *hand = open_page(hand_written, name, "r");
	if (hand != NULL) {
		f = open_page(dir, name, "w");
		copy_page(f, hand);
		if (!group) {
			fclose(f);
			return;
		}
	} else {
		f = begin_page(dir, name, group ? about : (*first)->summary);
		put_synopsis(f, first);
		fputs(group ? "" : ".SH DESCRIPTION\n", f);
	}
	if (group)
		put_sections(f, first);
	else
		put_command(f, *first);
	end_page(f);
}

/* All of them, a line each. */
static void
write_overview(const char *dir)
{
	FILE *f = begin_page(dir, "hawser", "shells and commands on a fleet of machines");
	const struct command *last = NULL;

	fputs(".SH SYNOPSIS\n\\fBhawser\\fP [\\fB\\-\\-home\\fP \\fIDIR\\fP] \\fICOMMAND\\fP "
	      "[\\fIOPTION\\fP...]\n.SH COMMANDS\n",
		f);
	for (size_t i = 0; command_table[i] != NULL; i++) {
		const struct command *c = command_table[i];
		if (!is_same_group(c, last))
			fprintf(f, ".SS %.*s\nSee \\fBhawser\\-%.*s\\fP(1).\n",
				(int)group_length(c), c->name, (int)group_length(c), c->name);
		fprintf(f, ".TP\n\\fB%s\\fP ", c->name);
		put(f, c->operands);
		fputc('\n', f);
		put(f, c->summary);
		fputc('\n', f);
		last = c;
	}
	fputs(".SH ENVIRONMENT\n.TP\n.B HAWSER_HOME\nThe client's directory, as with "
	      "\\fB\\-\\-home\\fP.\n.TP\n.B NO_COLOR\nNo colours.\n",
		f);
	end_page(f);
}

int
main(int argc, char **argv)
{
	const struct command *last = NULL;

	if (argc != 3) {
		fprintf(stderr, "usage: hawser-manual DIR HAND-WRITTEN\n");
		return 2;
	}
	for (const struct command *const *c = command_table; *c != NULL; c++) {
		if (!is_same_group(*c, last))
			write_page(argv[1], argv[2], c);
		last = *c;
	}
	write_overview(argv[1]);
	return 0;
}
