/* What a step, or a session, gets once parameters are put in. */
#include <math.h>
#include <string.h>

#include "proto/document/document_private.h"
#include "proto/document/plain.h"
#include "proto/document/session_document.h"
#include "proto/document/substitute.h"

#define SECONDS_MIN 5
#define SECONDS_MAX 172800
#define SCRIPT_KEY  "runCommand"

/* --- inputs ----------------------------------------------------------------------------------- */

/* "{{ commands }}" in a list made a list of it; what is meant is its elements. */
static json_t *
flattened(const json_t *list)
{
	json_t *flat = json_array(), *element, *inner;
	size_t i, k;

	if (flat == NULL)
		return NULL;
	json_array_foreach(list, i, element) {
		if (!json_is_array(element) && json_array_append(flat, element) < 0)
			goto fail;
		json_array_foreach(element, k, inner) {
			if (json_array_append(flat, inner) < 0)
				goto fail;
		}
	}
	return flat;
fail:
	json_decref(flat);
	return NULL;
}

static bool
is_flattened(const char *key)
{
	return strcmp(key, SCRIPT_KEY) == 0 || strcmp(key, "associationIds") == 0;
}

static int
fill_input(json_t *filled, struct substitution *s, const char *key, const json_t *value)
{
	json_t *one, *flat;
	int r;

	s->references = strcmp(key, SCRIPT_KEY) == 0;
	if ((r = substitute_value(&one, s, value)) < 0)
		return r;
	if (json_is_array(one) && is_flattened(key)) {
		flat = flattened(one);
		json_decref(one);
		one = flat;
	}
	return json_object_set_new(filled, key, one) == 0
		? 0
		: hw_err_set(s->err, HW_ENOMEM, "no memory for a step's inputs");
}

static int
fill_inputs(json_t **ret, struct substitution *s, const json_t *inputs)
{
	json_t *filled = json_object(), *value;
	const char *key;
	int r = filled != NULL ? 0 : hw_err_set(s->err, HW_ENOMEM, "no memory for inputs");

	json_object_foreach((json_t *)inputs, key, value) {
		if (r == 0)
			r = fill_input(filled, s, key, value);
	}
	if (r < 0)
		json_decref(filled);
	else
		*ret = filled;
	return r;
}

static int
fill_environment(json_t **ret, const struct document *d, const struct document_values *v,
	struct hw_err *err)
{
	json_t *env = json_object();
	int r = env != NULL ? 0 : HW_ENOMEM;

	for (size_t i = 0; r == 0 && i < d->n_parameters; i++) {
		const struct document_parameter *p = &d->parameters[i].shown;
		json_t *name = p->env ? json_sprintf("SSM_%s", p->name) : NULL;
		if (p->env &&
			(name == NULL ||
				json_object_set(env, json_string_value(name),
					json_object_get(v->by_name, p->name)) < 0))
			r = HW_ENOMEM;
		json_decref(name);
	}
	if (r < 0) {
		json_decref(env);
		return hw_err_set(err, r, "no memory for a step's environment");
	}
	*ret = env;
	return 0;
}

int
document_inputs(json_t **inputs, json_t **env, const struct document *d,
	const struct document_values *v, size_t step, struct hw_err *err)
{
	struct substitution s;
	json_t *filled = NULL;
	int r = 0;

	hw_assert(step < d->n_steps);
	substitute_begin(&s, d, v, err);
	if (inputs != NULL && (r = fill_inputs(&filled, &s, d->steps[step].inputs)) < 0)
		return r;
	if (env != NULL && (r = fill_environment(env, d, v, err)) < 0) {
		json_decref(filled);
		return r;
	}
	if (inputs != NULL)
		*inputs = filled;
	return 0;
}

int
document_properties(json_t **ret, const struct document *d, const struct document_values *v,
	struct hw_err *err)
{
	const json_t *map = json_object_get(d->tree, session_document_member(d));
	struct substitution s;

	substitute_begin(&s, d, v, err);
	if (map != NULL)
		return substitute_value(ret, &s, map);
	*ret = json_object();
	return *ret != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "no memory for a session's document");
}

/* --- references to stored parameters ---------------------------------------------------------- */

static bool
text_refers(const char *text)
{
	for (text = strstr(text, "{{"); text != NULL; text = strstr(text + 1, "{{")) {
		const char *p = text + 2;
		p += strspn(p, " ");
		if (strncmp(p, "ssm:", 4) == 0 || strncmp(p, "ssm-secure:", 11) == 0)
			return true;
	}
	return false;
}

bool
document_refers_to_stored(const json_t *value)
{
	const char *key;
	json_t *child;
	size_t i;

	if (json_is_string(value))
		return text_refers(json_string_value(value));
	json_array_foreach(value, i, child) {
		if (document_refers_to_stored(child))
			return true;
	}
	json_object_foreach((json_t *)value, key, child) {
		if (document_refers_to_stored(child))
			return true;
	}
	return false;
}

/* --- time ------------------------------------------------------------------------------------- */

static int64_t
seconds_of(const json_t *value)
{
	json_int_t n = 0;

	if (json_is_integer(value))
		n = json_integer_value(value);
	else if (json_is_real(value) && fabs(json_real_value(value)) < 1e9)
		n = (json_int_t)json_real_value(value);
	else if (!json_is_string(value) || !plain_integer(&n, json_string_value(value)))
		n = 0;
	return n >= SECONDS_MIN && n <= SECONDS_MAX ? n : DOCUMENT_STEP_SECONDS;
}

int64_t
document_step_seconds(const json_t *inputs)
{
	return seconds_of(json_object_get(inputs, "timeoutSeconds"));
}

static int64_t
step_seconds(const struct document *d, const struct document_values *v, size_t step)
{
	const json_t *given = json_object_get(d->steps[step].inputs, "timeoutSeconds");
	struct substitution s;
	json_t *filled = NULL;

	substitute_begin(&s, d, v, NULL);
	if (given == NULL || substitute_value(&filled, &s, given) < 0)
		return DOCUMENT_STEP_SECONDS;
	int64_t seconds = seconds_of(filled);
	json_decref(filled);
	return seconds;
}

int64_t
document_timeout_seconds(const struct document *d, const struct document_values *v)
{
	int64_t sum = 0;

	for (size_t i = 0; i < d->n_steps; i++)
		sum += step_seconds(d, v, i);
	return sum;
}
