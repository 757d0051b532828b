#include "proto/document/substitute.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/document/parameters.h"

#define NODE_COST 16 /* bytes that a value counts beside its text */
#define BLANKS	  " \t\n\r\f"
#define REFERENCE "${SSM_%s}"

void
substitute_begin(struct substitution *s, const struct document *d, const struct document_values *v,
	struct hw_err *err)
{
	*s = (struct substitution){.d = d, .v = v, .left = DOCUMENT_INPUTS_MAX, .err = err};
}

static int
no_memory(struct substitution *s)
{
	return hw_err_set(s->err, HW_ENOMEM, "no memory for a step's inputs");
}

static int
spend(struct substitution *s, size_t bytes)
{
	if (bytes + NODE_COST > s->left)
		return hw_err_set(s->err, HW_EPARAMETERS,
			"with its parameters a step's inputs are larger than %d bytes",
			DOCUMENT_INPUTS_MAX);
	s->left -= bytes + NODE_COST;
	return 0;
}

/* What a value costs that is put in as it is. */
static int
spend_tree(struct substitution *s, const json_t *value)
{
	const char *key;
	json_t *child;
	size_t i;
	int r = spend(s, json_string_length(value));

	json_array_foreach(value, i, child) {
		if (r == 0)
			r = spend_tree(s, child);
	}
	json_object_foreach((json_t *)value, key, child) {
		if (r == 0 && (r = spend(s, strlen(key))) == 0)
			r = spend_tree(s, child);
	}
	return r;
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* The declared parameter of the token at the front of the text, and the token's length; NULL when
 * there is none: what stands there is a text like any other. */
static const struct parameter *
token(size_t *length, const struct document *d, const char *text)
{
	const char *p = text + 2;

	if (text[0] != '{' || text[1] != '{')
		return NULL;
	p += strspn(p, BLANKS);
	const char *name = p;
	while (isalnum((unsigned char)*p) && (unsigned char)*p < 0x80)
		p++;
	size_t n = (size_t)(p - name);
	p += strspn(p, BLANKS);
	if (n == 0 || p[0] != '}' || p[1] != '}')
		return NULL;
	*length = (size_t)(p + 2 - text);
	return parameters_find(d, name, n);
}

static json_t *
value_of(const struct substitution *s, const struct parameter *p)
{
	return json_object_get(s->v->by_name, p->shown.name);
}

/* $$ stands for $ in what is put between other text. */
static void
append_unescaped(struct buf *out, const char *text)
{
	const char *dollars;

	while ((dollars = strstr(text, "$$")) != NULL) {
		buf_append(out, text, (size_t)(dollars - text) + 1);
		text = dollars + 2;
	}
	buf_append_str(out, text);
}

static void
append_value(struct buf *out, const struct substitution *s, const struct parameter *p)
{
	const json_t *value = value_of(s, p);

	if (s->references && p->shown.env) {
		buf_printf(out, REFERENCE, p->shown.name);
		return;
	}
	if (json_is_string(value)) {
		append_unescaped(out, json_string_value(value));
		return;
	}
	char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (json != NULL)
		append_unescaped(out, json);
	else
		out->failed = true;
	free(json);
}

static void
append_all(struct buf *out, const struct substitution *s, const char *text)
{
	const struct parameter *p;
	size_t n = 0;

	while (*text != '\0' && !out->failed) {
		size_t plain = strcspn(text, "{");
		buf_append(out, text, plain);
		text += plain;
		if (*text == '\0')
			return;
		if ((p = token(&n, s->d, text)) != NULL) {
			append_value(out, s, p);
			text += n;
		} else {
			buf_append_byte(out, (uint8_t)*text++);
		}
	}
}

static int
embedded(json_t **ret, struct substitution *s, const char *text)
{
	struct buf out;
	int r;

	buf_init(&out, s->left);
	append_all(&out, s, text);
	if (out.failed)
		r = spend(s, s->left);
	else if ((r = spend(s, out.len)) == 0 &&
		(*ret = json_stringn((const char *)buf_data(&out), out.len)) == NULL)
		r = no_memory(s);
	buf_fini(&out);
	return r;
}

/* --- texts ------------------------------------------------------------------------------------ */

static const struct parameter *
whole(const struct document *d, const char *text)
{
	size_t n = 0;
	const struct parameter *p = token(&n, d, text);

	return p != NULL && text[n] == '\0' ? p : NULL;
}

static int
typed(json_t **ret, struct substitution *s, const struct parameter *p)
{
	json_t *value = value_of(s, p);
	bool reference = s->references && p->shown.env;
	int r = reference ? spend(s, strlen(p->shown.name) + sizeof(REFERENCE))
			  : spend_tree(s, value);

	if (r < 0)
		return r;
	*ret = reference ? json_sprintf(REFERENCE, p->shown.name) : json_incref(value);
	return *ret != NULL ? 0 : no_memory(s);
}

static int
fill_text(json_t **ret, struct substitution *s, const char *text)
{
	const struct parameter *p = whole(s->d, text);

	return p != NULL ? typed(ret, s, p) : embedded(ret, s, text);
}

int
substitute_text(json_t **ret, struct substitution *s, const char *text)
{
	const struct parameter *p = whole(s->d, text);

	return p != NULL && p->shown.kind == DOCUMENT_STRING ? typed(ret, s, p)
							     : embedded(ret, s, text);
}

/* --- lists and maps --------------------------------------------------------------------------- */

static int
fill_list(json_t **ret, struct substitution *s, const json_t *list)
{
	json_t *filled = json_array(), *one, *element;
	size_t i;
	int r = filled != NULL ? spend(s, 0) : no_memory(s);

	json_array_foreach(list, i, element) {
		if (r == 0 && (r = substitute_value(&one, s, element)) == 0 &&
			json_array_append_new(filled, one) < 0)
			r = no_memory(s);
	}
	if (r < 0)
		json_decref(filled);
	else
		*ret = filled;
	return r;
}

static int
fill_map(json_t **ret, struct substitution *s, const json_t *map)
{
	json_t *filled = json_object(), *one, *member;
	const char *key;
	int r = filled != NULL ? spend(s, 0) : no_memory(s);

	json_object_foreach((json_t *)map, key, member) {
		if (r == 0 && (r = spend(s, strlen(key))) == 0 &&
			(r = substitute_value(&one, s, member)) == 0 &&
			json_object_set_new(filled, key, one) < 0)
			r = no_memory(s);
	}
	if (r < 0)
		json_decref(filled);
	else
		*ret = filled;
	return r;
}

int
substitute_value(json_t **ret, struct substitution *s, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return fill_map(ret, s, value);
	case JSON_ARRAY:
		return fill_list(ret, s, value);
	case JSON_STRING:
		return fill_text(ret, s, json_string_value(value));
	default:
		*ret = json_incref((json_t *)
				value); /* true, false, null, a number: its cost is its list's */
		return 0;
	}
}
