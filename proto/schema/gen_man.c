/*
 * Writes a page of docs/ as man(1) shows it, so that what is said once is said in both places:
 *
 *   hawser-man FILE.md NAME SECTION SUMMARY > NAME.SECTION
 *
 * It reads the Markdown that our pages have: headings, paragraphs, lists, tables, fenced blocks,
 * and `code`, **strong**, *stressed* and [links](to) within a line.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { TEXT, LIST, BLOCK, TABLE };

struct page {
	FILE *out;
	enum state state;
	bool begun;	/* has a section */
	bool paragraph; /* the next text begins one */
	bool head;	/* the table's first line is still to come */
	bool strong, stressed;
};

/* What means something to troff does not. */
static void
put_char(struct page *p, char c, bool first)
{
	if (first && (c == '.' || c == '\''))
		fputs("\\&", p->out);
	if (c == '\\')
		fputs("\\e", p->out);
	else if (c == '-')
		fputs("\\-", p->out);
	else if (c == '~' || c == '^')
		fprintf(p->out, "\\(%s", c == '~' ? "ti" : "ha");
	else
		fputc(c, p->out);
}

static void
put_plain(struct page *p, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_char(p, text[i], i == 0);
}

static void put_inline(struct page *p, const char *text, size_t n);

/* "`code`": the end of it, or NULL. */
static const char *
put_code(struct page *p, const char *at, const char *end)
{
	const char *close = memchr(at + 1, '`', (size_t)(end - at - 1));

	if (close == NULL)
		return NULL;
	fputs("\\fB", p->out);
	for (const char *c = at + 1; c < close; c++) {
		if (*c != '\\' || c[1] != '|') /* a table's bar */
			put_char(p, *c, false);
	}
	fputs("\\fP", p->out);
	return close + 1;
}

/* "[text](to)": the text, and where it leads when that is elsewhere in the world. */
static const char *
put_link(struct page *p, const char *at, const char *end)
{
	const char *close = memchr(at, ']', (size_t)(end - at));
	const char *to = close != NULL && close + 1 < end && close[1] == '(' ? close + 2 : NULL;
	const char *last = to != NULL ? memchr(to, ')', (size_t)(end - to)) : NULL;

	if (last == NULL)
		return NULL;
	put_inline(p, at + 1, (size_t)(close - at - 1));
	if (strncmp(to, "http", 4) == 0) {
		fputs(" (", p->out);
		put_plain(p, to, (size_t)(last - to));
		fputc(')', p->out);
	}
	return last + 1;
}

/* A star that stands for itself has blanks on both sides, or is within code. */
static const char *
put_stress(struct page *p, const char *at, const char *end)
{
	bool strong = at + 1 < end && at[1] == '*', *on = strong ? &p->strong : &p->stressed;
	const char *next = at + 1 + strong;

	if (!*on && (next == end || isspace((unsigned char)*next)))
		return NULL;
	*on = !*on;
	fputs(!*on ? "\\fP" : strong ? "\\fB" : "\\fI", p->out);
	return next;
}

static void
put_inline(struct page *p, const char *text, size_t n)
{
	const char *end = text + n, *at = text, *next;

	while (at < end) {
		next = *at == '`'    ? put_code(p, at, end)
			: *at == '[' ? put_link(p, at, end)
			: *at == '*' ? put_stress(p, at, end)
				     : NULL;
		if (next == NULL && *at == '\\' && at + 1 < end && ispunct((unsigned char)at[1]))
			at++;
		if (next == NULL)
			put_char(p, *at, at == text);
		at = next != NULL ? next : at + 1;
	}
}

static void
end_list(struct page *p)
{
	if (p->state == LIST || p->state == TABLE)
		p->paragraph = true;
	p->state = TEXT;
}

static void
begin_section(struct page *p, const char *macro, const char *text)
{
	end_list(p);
	p->begun = true;
	p->paragraph = p->strong = p->stressed = false;
	fprintf(p->out, "%s ", macro);
	put_inline(p, text, strlen(text));
	fputc('\n', p->out);
}

/* Length of "- " or "1. " at a text's start, or 0. */
static size_t
bullet(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (text[0] == '-' && text[1] == ' ')
		return 2;
	return digits > 0 && text[digits] == '.' && text[digits + 1] == ' ' ? digits + 2 : 0;
}

static void
put_row(struct page *p, const char *line)
{
	int cell = 0;

	if (p->state != TABLE) {
		p->state = TABLE;
		p->head = true;
	}
	if (p->head || strspn(line, "|-: ") == strlen(line)) { /* its titles, and the line below */
		p->head = false;
		return;
	}
	for (const char *at = line + 1, *bar; *at != '\0'; at = bar + 1) {
		for (bar = at; *bar != '\0' && (*bar != '|' || bar[-1] == '\\');)
			bar++;
		size_t blanks = strspn(at, " "), n = (size_t)(bar - at);
		n -= blanks;
		at += blanks;
		while (n > 0 && at[n - 1] == ' ')
			n--;
		if (n > 0) {
			fputs(cell == 0 ? ".TP\n" : cell == 1 ? "" : "; ", p->out);
			put_inline(p, at, n);
			if (cell == 0)
				fputc('\n', p->out);
			cell++;
		}
		if (*bar == '\0')
			break;
	}
	fputs(cell == 1 ? "\\&\n" : "\n", p->out);
}

static void
put_item(struct page *p, const char *text, size_t indent)
{
	size_t n = bullet(text);

	p->state = LIST;
	p->paragraph = false;
	if (text[0] == '-')
		fprintf(p->out, ".IP \\(bu %zu\n", indent + 2);
	else
		fprintf(p->out, ".IP %.*s %zu\n", (int)n - 1, text, indent + 4);
	put_inline(p, text + n, strlen(text + n));
	fputc('\n', p->out);
}

static void
put_text(struct page *p, const char *text)
{
	if (!p->begun)
		begin_section(p, ".SH", "DESCRIPTION");
	if (p->paragraph)
		fputs(".PP\n", p->out);
	p->paragraph = false;
	put_inline(p, text, strlen(text));
	fputc('\n', p->out);
}

static void
put_fence(struct page *p)
{
	if (p->state == BLOCK) {
		fputs(".EE\n.in\n", p->out);
		p->state = TEXT;
		p->paragraph = true;
		return;
	}
	if (!p->begun)
		begin_section(p, ".SH", "DESCRIPTION");
	fputs(".PP\n.in +4n\n.EX\n", p->out);
	p->state = BLOCK;
}

static void
put_line(struct page *p, const char *line)
{
	size_t indent = strspn(line, " ");

	if (strncmp(line + indent, "```", 3) == 0) {
		put_fence(p);
	} else if (p->state == BLOCK) {
		put_plain(p, line, strlen(line));
		fputc('\n', p->out);
	} else if (line[indent] == '\0') {
		if (p->state != LIST)
			end_list(p);
		p->paragraph = p->begun; /* an item of the list may follow, though */
	} else if (strncmp(line, "# ", 2) == 0) {
		return; /* the page's own title is its name */
	} else if (strncmp(line, "## ", 3) == 0) {
		begin_section(p, ".SH", line + 3);
	} else if (strncmp(line, "### ", 4) == 0) {
		begin_section(p, ".SS", line + 4);
	} else if (line[0] == '|') {
		put_row(p, line);
	} else if (bullet(line + indent) > 0) {
		put_item(p, line + indent, indent);
	} else {
		if (indent == 0 && p->state != TEXT && p->paragraph)
			end_list(p);
		if (indent == 0 && p->state == TABLE)
			end_list(p);
		if (p->state == LIST && p->paragraph) { /* the item's second paragraph */
			fputs(".sp\n", p->out);
			p->paragraph = false;
		}
		put_text(p, line + indent);
	}
}

int
main(int argc, char **argv)
{
	struct page page = {.out = stdout};
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (argc != 5) {
		fprintf(stderr, "usage: hawser-man FILE.md NAME SECTION SUMMARY\n");
		return 2;
	}
	FILE *in = fopen(argv[1], "r");
	if (in == NULL) {
		perror(argv[1]);
		return 1;
	}
	printf(".TH %s %s \"\" \"Hawser\" \"%s\"\n.SH NAME\n%s \\- %s\n", argv[2], argv[3],
		argv[3][0] == '5' ? "File formats" : "Concepts", argv[2], argv[4]);
	while ((n = getline(&line, &room, in)) >= 0) {
		while (n > 0 && isspace((unsigned char)line[n - 1]))
			line[--n] = '\0';
		put_line(&page, line);
	}
	printf(".SH SEE ALSO\n.BR hawser (1),\n.BR hawser (7),\n.BR hawser\\-relay (8),\n.BR "
	       "hawser\\-node (8)\n");
	free(line);
	bool failed = ferror(in) != 0 || fflush(stdout) != 0;
	fclose(in);
	return failed;
}
