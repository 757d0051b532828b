#include "relay/policy/locate.h"

static size_t
skip_blanks(const char *text, size_t n, size_t at)
{
	while (at < n &&
		(text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r'))
		at++;
	return at;
}

static size_t
skip_string(const char *text, size_t n, size_t at)
{
	for (at++; at < n && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at < n ? at + 1 : n;
}

/* To the comma or bracket behind a value. */
static size_t
skip_value(const char *text, size_t n, size_t at)
{
	size_t depth = 0;

	while (at < n) {
		char c = text[at];
		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return at;
		if (c == '"') {
			at = skip_string(text, n, at);
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		at++;
	}
	return at;
}

/* From a container's bracket to its index'th value, or to that one's name. */
static size_t
enter(const char *text, size_t n, size_t at, size_t index, bool key)
{
	bool object = at < n && text[at] == '{';

	for (size_t i = 0;; i++) {
		at = skip_blanks(text, n, at + 1);
		if (object && i == index && key)
			return at;
		if (object) {
			at = skip_blanks(text, n, skip_string(text, n, at));
			at = skip_blanks(text, n, at + 1); /* the colon */
		}
		if (i == index || at >= n)
			return at;
		at = skip_value(text, n, at);
	}
}

size_t
locate_value(const char *text, size_t n, const struct where *where, bool key)
{
	if (where == NULL)
		return skip_blanks(text, n, 0);
	size_t at = enter(text, n, locate_value(text, n, where->up, false), where->index, key);
	return at < n ? at : n;
}

void
locate_place(struct place *ret, const char *text, size_t n, size_t offset)
{
	*ret = (struct place){1, 1};
	for (size_t i = 0; i < offset && i < n; i++) {
		if (text[i] == '\n') {
			ret->line++;
			ret->column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			ret->column++;
		}
	}
}

size_t
locate_too_deep(const char *text, size_t n, size_t most)
{
	size_t depth = 0;

	for (size_t at = 0; at < n; at++) {
		if (text[at] == '"') {
			at = skip_string(text, n, at) - 1;
			continue;
		}
		if (text[at] == '{' || text[at] == '[') {
			if (++depth > most)
				return at;
		} else if ((text[at] == '}' || text[at] == ']') && depth > 0) {
			depth--;
		}
	}
	return n;
}
