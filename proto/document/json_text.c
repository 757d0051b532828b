#include "proto/document/json_text.h"

#include "proto/document/document_private.h"

/* --- bounds, before the parser takes memory --------------------------------------------------- */

struct scan {
	size_t line, column; /* from 1, in bytes */
	size_t depth, nodes;
	bool in_string, escaped;
};

static void
step_string(struct scan *s, char c)
{
	if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_string = false;
}

/* Every value but the outermost follows an opening brace or bracket, a comma or a colon. */
static void
step_outside(struct scan *s, char c)
{
	switch (c) {
	case '"':
		s->in_string = true;
		break;
	case '{':
	case '[':
		s->depth++;
		s->nodes++;
		break;
	case '}':
	case ']':
		s->depth -= s->depth > 0;
		break;
	case ',':
	case ':':
		s->nodes++;
		break;
	}
}

static int
check_bounds(const char *text, size_t n, int code, struct hw_err *err)
{
	struct scan s = {.line = 1};

	for (size_t i = 0; i < n; i++) {
		s.column++;
		if (s.in_string)
			step_string(&s, text[i]);
		else
			step_outside(&s, text[i]);
		if (s.depth > TREE_DEPTH_MAX)
			return hw_err_set(err, code,
				"line %zu, column %zu: more than %d lists and maps in each other",
				s.line, s.column, TREE_DEPTH_MAX);
		if (s.nodes > TREE_NODES_MAX)
			return hw_err_set(err, code, "line %zu, column %zu: more than %d values",
				s.line, s.column, TREE_NODES_MAX);
		if (text[i] == '\n') {
			s.line++;
			s.column = 0;
		}
	}
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char *
reason(enum json_error_code code)
{
	switch (code) {
	case json_error_duplicate_key:
		return "this member is there twice";
	case json_error_premature_end_of_input:
		return "the text ends before its value does";
	case json_error_end_of_input_expected:
		return "there is more after the value";
	case json_error_invalid_utf8:
		return "this is no UTF-8";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "a text holds a NUL";
	case json_error_numeric_overflow:
		return "this number is too large";
	default:
		return "this is not well-formed JSON";
	}
}

int
json_text_read(json_t **ret, const char *text, size_t n, int code, struct hw_err *err)
{
	json_error_t e;
	int r = check_bounds(text, n, code, err);

	if (r < 0)
		return r;
	json_t *tree = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (tree == NULL && json_error_code(&e) == json_error_out_of_memory)
		return hw_err_set(err, HW_ENOMEM, "no memory for a document");
	if (tree == NULL)
		return hw_err_set(err, code, "line %d, column %d: %s", e.line > 0 ? e.line : 1,
			e.column > 0 ? e.column : 1, reason(json_error_code(&e)));
	*ret = tree;
	return 0;
}
