/* document_bind(): what was given, and defaults for the rest, checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/document/document_private.h"
#include "proto/document/json_text.h"
#include "proto/document/parameters.h"
#include "proto/schema/schema.h"

#define WHAT_MAX 80

static int
no_memory(struct hw_err *err)
{
	return hw_err_set(err, HW_ENOMEM, "no memory for parameters");
}

static int
refuse(struct hw_err *err, const struct parameter *p, const char *sentence)
{
	return hw_err_set(err, HW_EPARAMETERS, "parameter %.60s: %s", p->shown.name, sentence);
}

/* --- from texts to values --------------------------------------------------------------------- */

typedef int read_fn(json_t **ret, const struct parameter *p, const struct msg_strs *given,
	struct hw_err *err);

static int
text_of(json_t **ret, const struct parameter *p, const char *text, struct hw_err *err)
{
	*ret = json_string(text);
	return *ret != NULL ? 0 : refuse(err, p, "it is no UTF-8");
}

static int
read_string(json_t **ret, const struct parameter *p, const struct msg_strs *given,
	struct hw_err *err)
{
	return given->n > 0 ? text_of(ret, p, given->v[0], err)
			    : refuse(err, p, "a String needs a value");
}

static int
read_list(json_t **ret, const struct parameter *p, const struct msg_strs *given, struct hw_err *err)
{
	json_t *list = json_array(), *text;
	int r = list != NULL ? 0 : no_memory(err);

	for (size_t i = 0; r == 0 && i < given->n; i++) {
		if ((r = text_of(&text, p, given->v[i], err)) == 0 &&
			json_array_append_new(list, text) < 0)
			r = no_memory(err);
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	*ret = list;
	return 0;
}

static int
read_json(json_t **ret, const struct parameter *p, const char *text, struct hw_err *err)
{
	int r = json_text_read(ret, text, strlen(text), HW_EPARAMETERS, err);

	if (r < 0)
		hw_err_prefix(err, "parameter %.60s", p->shown.name);
	return r;
}

static int
read_map(json_t **ret, const struct parameter *p, const struct msg_strs *given, struct hw_err *err)
{
	json_t *map;
	int r = given->n > 0 ? read_json(&map, p, given->v[0], err)
			     : refuse(err, p, "a StringMap needs a value");

	if (r == 0 && !json_is_object(map)) {
		json_decref(map);
		r = refuse(err, p, "a StringMap is given as a JSON object");
	}
	if (r == 0)
		*ret = map;
	return r;
}

/* A list of maps may come as one text, or as one a map. */
static int
read_given_json(json_t **ret, const struct parameter *p, const struct msg_strs *given,
	struct hw_err *err)
{
	json_t *list, *one;
	int r = given->n > 0 ? read_json(&one, p, given->v[0], err)
			     : refuse(err, p, "it needs a value");

	if (r < 0 || p->shown.kind != DOCUMENT_MAP_LIST || json_is_array(one)) {
		if (r == 0)
			*ret = one;
		return r;
	}
	if ((list = json_array()) == NULL || json_array_append_new(list, one) < 0)
		r = no_memory(err);
	for (size_t i = 1; r == 0 && i < given->n; i++) {
		if ((r = read_json(&one, p, given->v[i], err)) == 0 &&
			json_array_append_new(list, one) < 0)
			r = no_memory(err);
	}
	if (r == 0)
		*ret = list;
	else
		json_decref(list);
	return r;
}

static int
read_fixed(json_t **ret, const struct parameter *p, const struct msg_strs *given,
	struct hw_err *err)
{
	json_t *value;
	int r = read_given_json(&value, p, given, err);

	if (r < 0)
		return r;
	bool same = json_equal(value, p->shown.value);
	json_decref(value);
	if (!same)
		return refuse(err, p,
			"it is not equal to default, and its type takes nothing else");
	*ret = json_incref((json_t *)p->shown.value);
	return 0;
}

static read_fn *const readers[] = {
	[DOCUMENT_STRING] = read_string,
	[DOCUMENT_STRING_LIST] = read_list,
	[DOCUMENT_STRING_MAP] = read_map,
	[DOCUMENT_INTEGER] = read_fixed,
	[DOCUMENT_BOOLEAN] = read_fixed,
	[DOCUMENT_MAP_LIST] = read_fixed,
};

/* --- one and all ------------------------------------------------------------------------------ */

static const struct msg_strs *
find_given(const struct msg_smap *given, const char *name)
{
	for (size_t i = 0; given != NULL && i < given->n; i++) {
		if (strcmp(given->v[i].key, name) == 0)
			return &given->v[i].values;
	}
	return NULL;
}

static int
check_known(const struct document *d, const struct msg_smap *given, struct hw_err *err)
{
	for (size_t i = 0; given != NULL && i < given->n; i++) {
		const char *name = given->v[i].key;
		if (parameters_find(d, name, strlen(name)) == NULL)
			return hw_err_set(err, HW_EPARAMETERS,
				"the document has no parameter \"%.60s\"", name);
		if (find_given(given, name) != &given->v[i].values)
			return hw_err_set(err, HW_EPARAMETERS,
				"the parameter \"%.60s\" is given twice", name);
	}
	return 0;
}

static int
bind_one(json_t *by_name, const struct parameter *p, const struct msg_smap *given,
	struct hw_err *err)
{
	const struct msg_strs *texts = find_given(given, p->shown.name);
	char what[WHAT_MAX];
	json_t *value = NULL;
	int r = 0;

	if (texts == NULL && p->shown.value == NULL)
		return refuse(err, p, "it must be given, as it has no default");
	if (texts != NULL)
		r = readers[p->shown.kind](&value, p, texts, err);
	else
		value = json_incref((json_t *)p->shown.value);
	if (r < 0)
		return r;
	snprintf(what, sizeof(what), "parameter %.60s", p->shown.name);
	r = parameters_check(p, value, HW_EPARAMETERS, what, err);
	if (r < 0)
		json_decref(value);
	else if (json_object_set_new(by_name, p->shown.name, value) < 0)
		r = no_memory(err);
	return r;
}

int
document_bind(struct document_values **ret, const struct document *d, const struct msg_smap *given,
	struct hw_err *err)
{
	struct document_values *v = calloc(1, sizeof(*v));
	int r;

	if (v == NULL || (v->by_name = json_object()) == NULL) {
		r = no_memory(err);
		goto out;
	}
	r = check_known(d, given, err);
	for (size_t i = 0; r == 0 && i < d->n_parameters; i++)
		r = bind_one(v->by_name, &d->parameters[i], given, err);
	if (r == 0) {
		*ret = v;
		v = NULL;
	}
out:
	document_values_free(v);
	return r;
}

void
document_values_free(struct document_values *v)
{
	if (v == NULL)
		return;
	json_decref(v->by_name);
	free(v);
}

const json_t *
document_value(const struct document_values *v, const char *name)
{
	return json_object_get(v->by_name, name);
}
