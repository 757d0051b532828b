#include "node/fetch/name.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool
fetch_name_is_good(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > FETCH_NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return true;
}

/* --- a URL ------------------------------------------------------------------------------------ */

static int
hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* False when a NUL hides in it, or it is too long. */
static bool
decode(char out[FETCH_NAME_MAX + 1], const char *p, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char c = p[i];
		if (c == '%' && i + 2 < n && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
			c = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
			i += 2;
		}
		if (c == '\0' || len == FETCH_NAME_MAX)
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return true;
}

bool
fetch_name_from_url(char out[FETCH_NAME_MAX + 1], const char *url)
{
	const char *path = strstr(url, "://");

	path = path != NULL ? path + 3 : url;
	size_t n = strcspn(path, "?#");
	const char *slash = memchr(path, '/', n);
	if (slash == NULL) /* a host alone */
		return false;
	const char *last = slash;
	for (const char *at = slash; at < path + n; at++)
		if (*at == '/')
			last = at;
	return decode(out, last + 1, (size_t)(path + n - last - 1)) && fetch_name_is_good(out);
}

/* --- a header --------------------------------------------------------------------------------- */

struct cursor {
	const char *p, *end;
};

static void
skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

/* A quoted string, or what goes up to the next semicolon; false when it is too long or unfinished.
 */
static bool
take_value(char out[FETCH_NAME_MAX + 1], struct cursor *c)
{
	bool quoted = c->p < c->end && *c->p == '"';
	size_t n = 0;

	c->p += quoted;
	while (c->p < c->end && *c->p != (quoted ? '"' : ';')) {
		c->p += quoted && *c->p == '\\' && c->p + 1 < c->end;
		if (n == FETCH_NAME_MAX || *c->p == '\0')
			return false;
		out[n++] = *c->p++;
	}
	if (quoted && c->p == c->end)
		return false;
	c->p += quoted;
	while (!quoted && n > 0 &&
		(out[n - 1] == ' ' || out[n - 1] == '\t' || out[n - 1] == '\r' ||
			out[n - 1] == '\n'))
		n--;
	out[n] = '\0';
	return true;
}

/* After the disposition itself come parameters, each behind a semicolon. */
bool
fetch_name_from_disposition(char out[FETCH_NAME_MAX + 1], const char *value, size_t n)
{
	static const char key[] = "filename";
	struct cursor c = {value, value + n};
	char text[FETCH_NAME_MAX + 1];

	while (c.p < c.end && *c.p != ';')
		c.p++;
	while (c.p < c.end) {
		c.p++; /* the semicolon */
		skip_blanks(&c);
		const char *name = c.p;
		while (c.p < c.end && *c.p != '=' && *c.p != ';')
			c.p++;
		size_t len = (size_t)(c.p - name);
		while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
			len--;
		if (c.p == c.end || *c.p == ';')
			continue;
		c.p++;
		skip_blanks(&c);
		if (!take_value(text, &c))
			return false;
		if (len == sizeof(key) - 1 && strncasecmp(name, key, len) == 0) {
			if (!fetch_name_is_good(text))
				return false;
			memcpy(out, text, sizeof(text));
			return true;
		}
		while (c.p < c.end && *c.p != ';')
			c.p++;
	}
	return false;
}
