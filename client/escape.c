#include "client/escape.h"

#include <string.h>

static const struct {
	char key;
	enum escape_action action;
	const char *shown, *doc;
	const char *others; /* the same of another's session; NULL: there it is not */
} escape_rows[] = {
	{'.',	      ESCAPE_END,	  ".",  "end the session",		  "leave; the session goes on"},
	{'d',	      ESCAPE_DETACH,  "d",  "detach; the session goes on", "leave; the session goes on"},
	{'C',	      ESCAPE_FORWARD, "C",  "say how to forward a port",	NULL			    },
	{'Z' - '@', ESCAPE_SUSPEND, "^Z", "suspend hawser",		    "suspend hawser"	    },
	{'?',	      ESCAPE_HELP,	   "?",	"this help",		     "this help"			},
};
#define ESCAPE_ROWS (sizeof(escape_rows) / sizeof(escape_rows[0]))

void
escape_init(struct escape *e, int character)
{
	*e = (struct escape){.character = character, .line_start = true};
}

static bool
ends_line(uint8_t c)
{
	return c == '\r' || c == '\n';
}

/* The byte after the escape character. */
static enum escape_action
escape_second(struct escape *e, struct buf *out, uint8_t c)
{
	e->pending = false;
	for (size_t i = 0; i < ESCAPE_ROWS; i++) {
		if (escape_rows[i].key == (char)c && c != e->character) {
			e->line_start = true;
			return escape_rows[i].action;
		}
	}
	buf_append_byte(out, (uint8_t)e->character);
	if (c != e->character)
		buf_append_byte(out, c);
	e->line_start = ends_line(c);
	return ESCAPE_NONE;
}

/* Bytes up to the next one that could be an escape: everything that is not at a line's start. */
static size_t
plain_run(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && !ends_line(p[i]))
		i++;
	return i;
}

enum escape_action
escape_feed(struct escape *e, struct buf *out, const void *bytes, size_t n, size_t *used)
{
	const uint8_t *p = bytes;
	size_t i = 0;

	if (e->character == ESCAPE_OFF) {
		buf_append(out, p, n);
		*used = n;
		return ESCAPE_NONE;
	}
	while (i < n) {
		if (e->pending) {
			enum escape_action action = escape_second(e, out, p[i++]);
			if (action != ESCAPE_NONE) {
				*used = i;
				return action;
			}
		} else if (e->line_start && p[i] == e->character) {
			e->pending = true;
			i++;
		} else {
			size_t run = plain_run(p + i, n - i);
			if (i + run < n)
				run++; /* the line's end goes along */
			buf_append(out, p + i, run);
			i += run;
			e->line_start = ends_line(p[i - 1]);
		}
	}
	*used = n;
	return ESCAPE_NONE;
}

int
escape_parse(int *character, const char *text)
{
	if (strcmp(text, "none") == 0)
		*character = ESCAPE_OFF;
	else if (text[0] == '^' && text[1] >= '@' && text[1] <= '_' && text[2] == '\0')
		*character = text[1] - '@';
	else if (text[0] != '\0' && text[1] == '\0' && (text[0] & 0x80) == 0)
		*character = text[0];
	else
		return HW_EVALIDATION;
	return 0;
}

static void
append_character(struct buf *out, int character)
{
	if (character < ' ')
		buf_printf(out, "^%c", character + '@');
	else
		buf_printf(out, "%c", character);
}

void
escape_help(struct buf *out, int character, bool own)
{
	buf_append_str(out, "\r\nAt the start of a line:\r\n");
	for (size_t i = 0; i < ESCAPE_ROWS; i++) {
		const char *doc = own ? escape_rows[i].doc : escape_rows[i].others;
		if (doc == NULL)
			continue;
		buf_append_str(out, "  ");
		append_character(out, character);
		buf_printf(out, "%-3s %s\r\n", escape_rows[i].shown, doc);
	}
	buf_append_str(out, "  ");
	append_character(out, character);
	append_character(out, character);
	buf_append_str(out, "  the character itself\r\n");
}
