#include "client/yaml_pipe.h"

#include <string.h>
#include <strings.h>

void
yaml_pipe_init(struct yaml_pipe *p, struct buf *out)
{
	*p = (struct yaml_pipe){.out = out};
}

/* --- texts ------------------------------------------------------------------------------------ */

/* What a reader of YAML takes for something else than a text. */
static bool
is_other_type(const char *text, size_t n)
{
	static const char *const words[] = {
		"null", "true", "false", "yes", "no", "on", "off", "y", "n"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i]) == n && strncasecmp(text, words[i], n) == 0)
			return true;
	}
	/* Numbers, times, dates, .inf: all begin so. */
	return memchr("0123456789.+-~=@", text[0], 16) != NULL;
}

static bool
is_safe(char c)
{
	return c != '\0' &&
		strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@+=-",
			c) != NULL;
}

static void
begin_quotes(struct yaml_pipe *p)
{
	if (p->quoted)
		return;
	p->quoted = true;
	buf_append_byte(p->out, '"');
	buf_append(p->out, p->held, p->n_held);
	p->n_held = 0;
}

static void
end_text(struct yaml_pipe *p)
{
	if (!p->quoted && p->n_held > 0 && !is_other_type(p->held, p->n_held)) {
		buf_append(p->out, p->held, p->n_held);
	} else {
		begin_quotes(p);
		buf_append_byte(p->out, '"');
	}
	buf_append_byte(p->out, p->is_key ? ':' : '\n');
	p->after_key = p->is_key;
	p->n_held = 0;
	p->state = PIPE_BETWEEN;
}

/* YAML has fewer characters than JSON, and more ends of lines. */
static const char *
escape_of(const uint8_t *c, size_t n)
{
	static const struct {
		const char *bytes, *escape;
	} rows[] = {
		{"\x7f",	 "\\x7f"	},
		{"\xe2\x80\xa8", "\\u2028"},
		{"\xe2\x80\xa9", "\\u2029"},
		{"\xef\xbb\xbf", "\\ufeff"},
		{"\xef\xbf\xbe", "\\ufffe"},
		{"\xef\xbf\xbf", "\\uffff"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strlen(rows[i].bytes) == n && memcmp(rows[i].bytes, c, n) == 0)
			return rows[i].escape;
	}
	return NULL;
}

static void
put_character(struct yaml_pipe *p)
{
	const char *escape = escape_of(p->torn, p->n_torn);

	begin_quotes(p);
	if (escape != NULL)
		buf_append_str(p->out, escape);
	else if (p->n_torn == 2 && p->torn[0] == 0xc2 && p->torn[1] < 0xa0)
		buf_printf(p->out, "\\x%02x", p->torn[1]);
	else
		buf_append(p->out, p->torn, p->n_torn);
	p->n_torn = 0;
}

static size_t
length_of(uint8_t first)
{
	return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static void
take_byte(struct yaml_pipe *p, uint8_t c)
{
	if (p->n_torn > 0 || c >= 0x7f) {
		p->torn[p->n_torn++] = c;
		if (p->n_torn == length_of(p->torn[0]))
			put_character(p);
		return;
	}
	if (p->state == PIPE_ESCAPE || c == '\\' || !is_safe((char)c) ||
		p->n_held == sizeof(p->held))
		begin_quotes(p);
	p->state = p->state == PIPE_TEXT && c == '\\' ? PIPE_ESCAPE : PIPE_TEXT;
	if (p->quoted)
		buf_append_byte(p->out, c);
	else
		p->held[p->n_held++] = (char)c;
}

/* --- places ----------------------------------------------------------------------------------- */

static bool
in_list(const struct yaml_pipe *p)
{
	return p->depth > 0 && p->in[p->depth - 1].list;
}

/* Of a member that is the first of its list or object: the line may have been begun. */
static void
begin_line(struct yaml_pipe *p)
{
	int indent = p->in[p->depth - 1].indent;

	if (!p->in[p->depth - 1].any && p->after_key)
		buf_append_byte(p->out, '\n');
	if (!p->inline_)
		buf_printf(p->out, "%*s", indent, "");
	p->in[p->depth - 1].any = true;
	p->inline_ = p->after_key = false;
}

static void
begin_value(struct yaml_pipe *p, bool scalar)
{
	if (in_list(p)) {
		begin_line(p);
		buf_append_str(p->out, "- ");
		p->inline_ = true;
	}
	if (!scalar)
		return;
	if (p->after_key)
		buf_append_byte(p->out, ' ');
	p->inline_ = p->after_key = false;
}

static void
open_container(struct yaml_pipe *p, bool list)
{
	int indent = 0;

	begin_value(p, false);
	if (p->depth == YAML_PIPE_DEPTH) {
		p->out->failed = true;
		return;
	}
	/* A list stands below its key's first letter, everything else further in. */
	if (p->depth > 0)
		indent = p->in[p->depth - 1].indent + (list && !in_list(p) ? 0 : 2);
	p->in[p->depth].list = list;
	p->in[p->depth].any = false;
	p->in[p->depth].indent = indent;
	p->depth++;
}

static void
close_container(struct yaml_pipe *p)
{
	if (p->depth == 0)
		return;
	p->depth--;
	if (p->in[p->depth].any)
		return;
	if (p->after_key)
		buf_append_byte(p->out, ' ');
	buf_append_str(p->out, p->in[p->depth].list ? "[]\n" : "{}\n");
	p->inline_ = p->after_key = false;
}

static void
begin_text(struct yaml_pipe *p)
{
	/* after_key is of the object around, while this one has no member. */
	p->is_key = p->depth > 0 && !in_list(p) && (!p->after_key || !p->in[p->depth - 1].any);
	if (p->is_key)
		begin_line(p);
	else
		begin_value(p, true);
	p->quoted = false;
	p->state = PIPE_TEXT;
}

/* A number, true, false or null ends where something else begins. */
static void
take_token(struct yaml_pipe *p, char c)
{
	bool ends = strchr("{}[],: \t\r\n\"", c) != NULL;

	if (p->state == PIPE_WORD && ends) {
		buf_append_byte(p->out, '\n');
		p->state = PIPE_BETWEEN;
	}
	if (!ends) {
		if (p->state != PIPE_WORD)
			begin_value(p, true);
		p->state = PIPE_WORD;
		buf_append_byte(p->out, (uint8_t)c);
	} else if (c == '{' || c == '[') {
		open_container(p, c == '[');
	} else if (c == '}' || c == ']') {
		close_container(p);
	} else if (c == '"') {
		begin_text(p);
	}
}

void
yaml_pipe_append(struct yaml_pipe *p, const void *json, size_t n)
{
	const uint8_t *c = json;

	for (size_t i = 0; i < n && !p->out->failed; i++) {
		if (p->state == PIPE_BETWEEN || p->state == PIPE_WORD)
			take_token(p, (char)c[i]);
		else if (c[i] == '"' && p->state == PIPE_TEXT && p->n_torn == 0)
			end_text(p);
		else
			take_byte(p, c[i]);
	}
}
