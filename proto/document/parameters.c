#include "proto/document/parameters.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/document/allowed_pattern.h"
#include "proto/document/plain.h"
#include "proto/schema/schema.h"

/* --- types ------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	json_type json;
	bool counted, sized; /* minItems and maxItems, minChars and maxChars bind it */
} types[] = {
	[DOCUMENT_STRING] = {"String",     JSON_STRING,  false, true },
	[DOCUMENT_STRING_LIST] = {"StringList", JSON_ARRAY,   true,  true },
	[DOCUMENT_STRING_MAP] = {"StringMap",  JSON_OBJECT,  true,	 true },
	[DOCUMENT_INTEGER] = {"Integer",	 JSON_INTEGER, false, false},
	[DOCUMENT_BOOLEAN] = {"Boolean",	 JSON_TRUE,    false, false},
	[DOCUMENT_MAP_LIST] = {"MapList",	  JSON_ARRAY,   true,  true },
};

static bool
has_type(const json_t *value, enum document_type kind)
{
	if (kind == DOCUMENT_BOOLEAN)
		return json_is_boolean(value);
	return json_typeof(value) == types[kind].json;
}

static bool
elements_are(const json_t *list, json_type type)
{
	size_t i;
	json_t *value;

	json_array_foreach(list, i, value) {
		if (json_typeof(value) != type)
			return false;
	}
	return true;
}

static bool
fits_type(const json_t *value, enum document_type kind)
{
	if (!has_type(value, kind))
		return false;
	if (kind == DOCUMENT_STRING_LIST)
		return elements_are(value, JSON_STRING);
	return kind != DOCUMENT_MAP_LIST || elements_are(value, JSON_OBJECT);
}

static int
read_type(struct parameter *p, const json_t *object, const struct spot *at, struct hw_err *err)
{
	const char *type;
	int r = spot_text(&type, object, "type", at, err);

	if (r < 0)
		return r;
	for (size_t i = 0; type != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, type) == 0) {
			p->shown.kind = (enum document_type)i;
			p->shown.type = types[i].name;
			return 0;
		}
	}
	return spot_invalid(err, at,
		"type must be String, StringList, StringMap, Integer, Boolean or MapList");
}

/* --- rules ------------------------------------------------------------------------------------ */

static int
read_bound(int64_t *ret, const json_t *object, const char *key, const struct spot *at,
	struct hw_err *err)
{
	const struct spot here = {at, key, 0};
	const json_t *value;
	int r = spot_member(&value, object, key, JSON_INTEGER, at, err);

	if (r < 0)
		return r;
	*ret = value != NULL ? json_integer_value(value) : -1;
	return value == NULL || *ret >= 0 ? 0 : spot_invalid(err, &here, "it cannot be below zero");
}

static int
read_bounds(struct rules *rules, const json_t *object, const struct spot *at, struct hw_err *err)
{
	int r;

	if ((r = read_bound(&rules->min_chars, object, "minChars", at, err)) < 0 ||
		(r = read_bound(&rules->max_chars, object, "maxChars", at, err)) < 0 ||
		(r = read_bound(&rules->min_items, object, "minItems", at, err)) < 0 ||
		(r = read_bound(&rules->max_items, object, "maxItems", at, err)) < 0)
		return r;
	if (rules->max_chars >= 0 && rules->min_chars > rules->max_chars)
		return spot_invalid(err, at, "minChars is above maxChars");
	if (rules->max_items >= 0 && rules->min_items > rules->max_items)
		return spot_invalid(err, at, "minItems is above maxItems");
	return 0;
}

static int
read_allowed(struct parameter *p, const json_t *object, const struct spot *at, struct hw_err *err)
{
	const struct spot here = {at, "allowedValues", 0};
	bool scalar = p->shown.kind == DOCUMENT_INTEGER || p->shown.kind == DOCUMENT_BOOLEAN;
	size_t i;
	json_t *value;
	int r = spot_member(&p->rules.allowed, object, "allowedValues", JSON_ARRAY, at, err);

	if (r < 0 || p->rules.allowed == NULL)
		return r;
	json_array_foreach(p->rules.allowed, i, value) {
		const struct spot element = {&here, NULL, i};
		if (json_is_string(value) ||
			(scalar && (json_is_integer(value) || json_is_boolean(value))))
			continue;
		return spot_invalid(err, &element, "it must be a text");
	}
	return i > 0 ? 0 : spot_invalid(err, &here, "nothing would be allowed");
}

static int
read_pattern(struct parameter *p, const json_t *object, const struct spot *at, struct hw_err *err)
{
	const struct spot here = {at, "allowedPattern", 0};
	struct hw_err why = HW_ERR_INIT;
	const char *pattern;
	int r = spot_text(&pattern, object, "allowedPattern", at, err);

	if (r < 0 || pattern == NULL)
		return r;
	if ((r = allowed_pattern_new(&p->rules.pattern, pattern, &why)) == HW_ENOMEM)
		return hw_err_set(err, r, "%s", why.text);
	return r == 0 ? 0 : spot_invalid(err, &here, "%s", why.text);
}

/* --- values ----------------------------------------------------------------------------------- */

static int
breach(struct hw_err *err, int code, const char *what, const char *sentence)
{
	return hw_err_set(err, code, "%s: %s", what, sentence);
}

static int
out_of_bounds(struct hw_err *err, int code, const char *what, const char *how, int64_t bound)
{
	return hw_err_set(err, code, "%s: it %s, %lld", what, how, (long long)bound);
}

/* What a value is to allowedValues and allowedPattern; `room` holds what is not a text already. */
static const char *
as_text(const json_t *value, char **room)
{
	*room = NULL;
	if (json_is_string(value))
		return json_string_value(value);
	*room = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	return *room;
}

static bool
is_allowed(const json_t *allowed, const char *text)
{
	size_t i;
	json_t *value;
	char *room;
	bool found = false;

	json_array_foreach(allowed, i, value) {
		const char *one = as_text(value, &room);
		found = one != NULL && strcmp(one, text) == 0;
		free(room);
		if (found)
			break;
	}
	return found;
}

static int
check_pattern(const struct rules *rules, const char *text, size_t n, size_t of, int code,
	const char *what, struct hw_err *err)
{
	int r = allowed_pattern_find(rules->pattern, text, n, of);

	if (r == HW_ENOMEM)
		return hw_err_set(err, r, "no memory for a pattern");
	if (r < 0)
		return breach(err, code, what, "looking for allowedPattern in it takes too long");
	return r > 0 ? 0 : breach(err, code, what, "it does not match allowedPattern");
}

/* One text of the value, which has `of` of them. */
static int
check_text(const struct parameter *p, const char *text, size_t of, int code, const char *what,
	struct hw_err *err)
{
	const struct rules *rules = &p->rules;
	size_t n = strlen(text);

	if (types[p->shown.kind].sized && rules->min_chars >= 0 && n < (size_t)rules->min_chars)
		return out_of_bounds(err, code, what, "is shorter than minChars", rules->min_chars);
	if (types[p->shown.kind].sized && rules->max_chars >= 0 && n > (size_t)rules->max_chars)
		return out_of_bounds(err, code, what, "is longer than maxChars", rules->max_chars);
	if (rules->allowed != NULL && !is_allowed(rules->allowed, text))
		return breach(err, code, what, "it is not one of allowedValues");
	return rules->pattern == NULL ? 0 : check_pattern(rules, text, n, of, code, what, err);
}

static int
check_value(const struct parameter *p, const json_t *value, size_t of, int code, const char *what,
	struct hw_err *err)
{
	char *room;
	const char *text = as_text(value, &room);
	int r = text != NULL ? check_text(p, text, of, code, what, err)
			     : hw_err_set(err, HW_ENOMEM, "no memory for a parameter");

	free(room);
	return r;
}

static int
check_items(const struct rules *rules, size_t n, int code, const char *what, struct hw_err *err)
{
	if (rules->min_items >= 0 && n < (size_t)rules->min_items)
		return out_of_bounds(err, code, what, "has fewer items than minItems",
			rules->min_items);
	if (rules->max_items >= 0 && n > (size_t)rules->max_items)
		return out_of_bounds(err, code, what, "has more items than maxItems",
			rules->max_items);
	return 0;
}

int
parameters_check(const struct parameter *p, const json_t *value, int code, const char *what,
	struct hw_err *err)
{
	size_t n = json_is_array(value) ? json_array_size(value) : json_object_size(value);
	size_t i;
	json_t *element;
	int r;

	if (types[p->shown.kind].counted && (r = check_items(&p->rules, n, code, what, err)) < 0)
		return r;
	if (!json_is_array(value))
		return check_value(p, value, 1, code, what, err);
	json_array_foreach(value, i, element) {
		if ((r = check_value(p, element, n, code, what, err)) < 0)
			return r;
	}
	return 0;
}

/* --- defaults --------------------------------------------------------------------------------- */

/* YAML's scalars below `default` are texts; a number and a boolean are what their type says. */
static int
retype(json_t *object, enum document_type kind)
{
	const char *text = json_string_value(json_object_get(object, "default"));
	json_int_t number;
	int boolean = text != NULL ? plain_boolean(text) : -1;

	if (text != NULL && kind == DOCUMENT_INTEGER && plain_integer(&number, text))
		return json_object_set_new(object, "default", json_integer(number));
	if (kind == DOCUMENT_BOOLEAN && boolean >= 0)
		return json_object_set_new(object, "default", json_boolean(boolean));
	return 0;
}

static int
read_default(struct parameter *p, json_t *object, int format, const struct spot *at,
	struct hw_err *err)
{
	const struct spot here = {at, "default", 0};
	struct hw_err why = HW_ERR_INIT;

	if (format == DOCUMENT_FORMAT_YAML && retype(object, p->shown.kind) < 0)
		return hw_err_set(err, HW_ENOMEM, "no memory for a document");
	const json_t *value = p->shown.value = json_object_get(object, "default");
	if (value == NULL && p->shown.kind > DOCUMENT_STRING_MAP)
		return spot_invalid(err, at, "a parameter of type %s needs a default",
			p->shown.type);
	if (value == NULL)
		return 0;
	if (!fits_type(value, p->shown.kind))
		return spot_invalid(err, &here, "it is not of type %s", p->shown.type);
	int r = parameters_check(p, value, HW_EDOCUMENTCONTENT, "its own rules refuse it", &why);
	if (r == HW_ENOMEM)
		return hw_err_set(err, r, "%s", why.text);
	return r == 0 ? 0 : spot_invalid(err, &here, "%s", why.text);
}

/* --- declarations ----------------------------------------------------------------------------- */

static bool
is_name(const char *name)
{
	size_t n = 0;

	while (isalnum((unsigned char)name[n]) && (unsigned char)name[n] < 0x80)
		n++;
	return n > 0 && name[n] == '\0';
}

static int
read_hints(struct parameter *p, const json_t *object, const struct spot *at, struct hw_err *err)
{
	const char *display, *way;
	int r;

	if ((r = spot_text(&p->shown.description, object, "description", at, err)) < 0 ||
		(r = spot_text(&display, object, "displayType", at, err)) < 0 ||
		(r = spot_text(&way, object, "interpolationType", at, err)) < 0)
		return r;
	if (display != NULL && strcmp(display, "textfield") != 0 &&
		strcmp(display, "textarea") != 0)
		return spot_invalid(err, at, "displayType must be textfield or textarea");
	p->shown.env = way != NULL && strcmp(way, "ENV_VAR") == 0;
	if (way != NULL && !p->shown.env && strcmp(way, "RAW") != 0)
		return spot_invalid(err, at, "interpolationType must be ENV_VAR or RAW");
	if (p->shown.env && p->shown.kind != DOCUMENT_STRING)
		return spot_invalid(err, at, "interpolationType ENV_VAR is for a String alone");
	return 0;
}

static int
read_one(struct parameter *p, const char *name, json_t *object, int format, const struct spot *at,
	struct hw_err *err)
{
	static const char *const known[] = {"type", "description", "default", "allowedValues",
		"allowedPattern", "displayType", "interpolationType", "minItems", "maxItems",
		"minChars", "maxChars", NULL};
	int r;

	p->shown.name = name;
	if (!is_name(name))
		return spot_invalid(err, at,
			"a parameter's name has letters and digits alone, as {{ name }} is replaced by no other");
	if (!json_is_object(object))
		return spot_invalid(err, at, "it must be a map");
	if ((r = spot_known(object, known, at, err)) < 0 ||
		(r = read_type(p, object, at, err)) < 0 ||
		(r = read_hints(p, object, at, err)) < 0 ||
		(r = read_bounds(&p->rules, object, at, err)) < 0 ||
		(r = read_allowed(p, object, at, err)) < 0 ||
		(r = read_pattern(p, object, at, err)) < 0)
		return r;
	return read_default(p, object, format, at, err);
}

int
parameters_read(struct document *d, struct hw_err *err)
{
	const struct spot all = {NULL, "parameters", 0};
	const json_t *map;
	const char *name;
	json_t *object;
	int r = spot_member(&map, d->tree, "parameters", JSON_OBJECT, NULL, err);

	if (r < 0 || map == NULL)
		return r;
	size_t n = json_object_size(map);
	if (n > DOCUMENT_PARAMETERS_MAX)
		return spot_invalid(err, &all, "there are more than %d", DOCUMENT_PARAMETERS_MAX);
	d->parameters = calloc(n + 1, sizeof(*d->parameters));
	if (d->parameters == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a document");
	json_object_foreach((json_t *)map, name, object) {
		const struct spot at = {&all, name, 0};
		r = read_one(&d->parameters[d->n_parameters++], name, object, d->format, &at, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void
parameters_free(struct document *d)
{
	for (size_t i = 0; i < d->n_parameters; i++)
		allowed_pattern_free(d->parameters[i].rules.pattern);
	free(d->parameters);
}

const struct parameter *
parameters_find(const struct document *d, const char *name, size_t n)
{
	for (size_t i = 0; i < d->n_parameters; i++) {
		const char *one = d->parameters[i].shown.name;
		if (strncmp(one, name, n) == 0 && one[n] == '\0')
			return &d->parameters[i];
	}
	return NULL;
}
