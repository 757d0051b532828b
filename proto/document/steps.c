#include "proto/document/steps.h"

#include <stdlib.h>
#include <string.h>

#define NAME_CHARS                   \
	"abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789_-."
#define NAME_MIN 3

static int
no_memory(struct hw_err *err)
{
	return hw_err_set(err, HW_ENOMEM, "no memory for a document");
}

static bool
is_made_of(const char *text, const char *chars, size_t min, size_t max)
{
	size_t n = strlen(text);

	return n >= min && n <= max && strspn(text, chars) == n;
}

/* A hash of names tells a second one at once, also among a thousand. */
static int
add_step(struct document *d, json_t *names, const struct document_step *step, const struct spot *at,
	struct hw_err *err)
{
	if (json_object_get(names, step->name) != NULL)
		return spot_invalid(err, at, "another step is named %.60s", step->name);
	if (d->n_steps == DOCUMENT_STEPS_MAX)
		return spot_invalid(err, at, "there are more than %d steps", DOCUMENT_STEPS_MAX);
	if (json_object_set_new(names, step->name, json_true()) < 0)
		return no_memory(err);
	d->steps[d->n_steps++] = *step;
	return 0;
}

static int
check_action(const char *action, const struct spot *at, struct hw_err *err)
{
	if (is_made_of(action, NAME_CHARS ":", 1, DOCUMENT_ACTION_MAX))
		return 0;
	return spot_invalid(err, at,
		"an action has 1 to %d letters, digits and : _ - . as aws:runShellScript",
		DOCUMENT_ACTION_MAX);
}

/* --- schema 2.x ------------------------------------------------------------------------------- */

/* What operators it has, and how many arguments, is for the node to say; their types are for us. */
static int
check_precondition(const json_t *precondition, const struct spot *up, struct hw_err *err)
{
	const struct spot at = {up, "precondition", 0};
	const char *name;
	json_t *arguments, *argument;
	size_t i;

	json_object_foreach((json_t *)precondition, name, arguments) {
		const struct spot here = {&at, name, 0};
		if (!json_is_array(arguments))
			return spot_invalid(err, &here, "it must be a list");
		json_array_foreach(arguments, i, argument) {
			const struct spot element = {&here, NULL, i};
			if (!json_is_string(argument))
				return spot_invalid(err, &element, "it must be a text");
		}
	}
	return 0;
}

static int
read_members(struct document_step *step, const json_t *object, const struct spot *at,
	struct hw_err *err)
{
	const char *unused;
	const json_t *settings;
	int r;

	if ((r = spot_text(&step->name, object, "name", at, err)) < 0 ||
		(r = spot_text(&step->action, object, "action", at, err)) < 0 ||
		(r = spot_text(&unused, object, "description", at, err)) < 0 ||
		(r = spot_member(&settings, object, "settings", JSON_OBJECT, at, err)) < 0 ||
		(r = spot_member(&step->inputs, object, "inputs", JSON_OBJECT, at, err)) < 0)
		return r;
	return spot_member(&step->precondition, object, "precondition", JSON_OBJECT, at, err);
}

static int
read_step(struct document *d, json_t *names, const json_t *object, const struct spot *at,
	struct hw_err *err)
{
	static const char *const known[] = {"action", "name", "inputs", "precondition",
		"maxAttempts", "onFailure", "timeoutSeconds", "settings", "description", "isEnd",
		"nextStep", "isCritical", NULL};
	struct document_step step = {.name = NULL};
	int r;

	if (!json_is_object(object))
		return spot_invalid(err, at, "it must be a map");
	if ((r = spot_known(object, known, at, err)) < 0 ||
		(r = read_members(&step, object, at, err)) < 0)
		return r;
	if (step.action == NULL)
		return spot_invalid(err, at, "it needs an action");
	if (step.name == NULL)
		return spot_invalid(err, at, "it needs a name");
	if (step.inputs == NULL)
		return spot_invalid(err, at, "it needs inputs");
	if (!is_made_of(step.name, NAME_CHARS, NAME_MIN, DOCUMENT_NAME_MAX))
		return spot_invalid(err, at, "a step's name has %d to %d letters, digits and _ - .",
			NAME_MIN, DOCUMENT_NAME_MAX);
	if ((r = check_action(step.action, at, err)) < 0 ||
		(r = check_precondition(step.precondition, at, err)) < 0)
		return r;
	return add_step(d, names, &step, at, err);
}

static int
read_main_steps(struct document *d, json_t *names, struct hw_err *err)
{
	const struct spot all = {NULL, "mainSteps", 0};
	const json_t *list;
	json_t *object;
	size_t i;
	int r = spot_member(&list, d->tree, "mainSteps", JSON_ARRAY, NULL, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, object) {
		const struct spot at = {&all, NULL, i};
		if ((r = read_step(d, names, object, &at, err)) < 0)
			return r;
	}
	return d->n_steps > 0
		? 0
		: hw_err_set(err, HW_EDOCUMENTCONTENT,
			  "a document of schema %s needs mainSteps, with one step at least",
			  d->schema);
}

/* --- schema 1.2 ------------------------------------------------------------------------------- */

static int
make_name(const char **ret, struct document *d, const char *action, size_t i, struct hw_err *err)
{
	json_t *name = json_sprintf("%zu.%s", i, action);

	if (json_array_append_new(d->made, name) < 0)
		return no_memory(err);
	*ret = json_string_value(name);
	return 0;
}

/* `several`: it is in a list. */
static int
read_element(struct document *d, json_t *names, const char *action, const json_t *object,
	const struct spot *at, bool several, struct hw_err *err)
{
	struct document_step step = {.action = action, .inputs = object};
	int r;

	if (!json_is_object(object))
		return spot_invalid(err, at, "it must be a map");
	if ((r = spot_text(&step.name, object, "id", at, err)) < 0)
		return r;
	if (step.name == NULL && !several)
		step.name = action;
	if (step.name == NULL &&
		(r = make_name(&step.name, d, action, several ? at->index : 0, err)) < 0)
		return r;
	if (!is_made_of(step.name, NAME_CHARS ":", 1, DOCUMENT_NAME_MAX) ||
		strcmp(step.name, ".") == 0 || strcmp(step.name, "..") == 0)
		return spot_invalid(err, at, "an id has 1 to %d letters, digits and : _ - .",
			DOCUMENT_NAME_MAX);
	return add_step(d, names, &step, at, err);
}

static int
read_plugin(struct document *d, json_t *names, const char *action, const json_t *object,
	const struct spot *up, struct hw_err *err)
{
	static const char *const known[] = {"settings", "properties", "description", NULL};
	const struct spot at = {up, action, 0}, all = {&at, "properties", 0};
	const json_t *properties;
	json_t *element;
	size_t i;
	int r;

	if ((r = check_action(action, &at, err)) < 0)
		return r;
	if (!json_is_object(object))
		return spot_invalid(err, &at, "it must be a map");
	if ((r = spot_known(object, known, &at, err)) < 0)
		return r;
	properties = json_object_get(object, "properties");
	if (!json_is_array(properties))
		return properties != NULL
			? read_element(d, names, action, properties, &all, false, err)
			: spot_invalid(err, &at, "it needs properties");
	json_array_foreach(properties, i, element) {
		const struct spot here = {&all, NULL, i};
		if ((r = read_element(d, names, action, element, &here, true, err)) < 0)
			return r;
	}
	return 0;
}

static int
read_runtime_config(struct document *d, json_t *names, struct hw_err *err)
{
	const struct spot all = {NULL, "runtimeConfig", 0};
	const json_t *map;
	const char *action;
	json_t *object;
	int r = spot_member(&map, d->tree, "runtimeConfig", JSON_OBJECT, NULL, err);

	if (r < 0)
		return r;
	json_object_foreach((json_t *)map, action, object) {
		if ((r = read_plugin(d, names, action, object, &all, err)) < 0)
			return r;
	}
	return d->n_steps > 0
		? 0
		: hw_err_set(err, HW_EDOCUMENTCONTENT,
			  "a document of schema 1.2 needs runtimeConfig, with one plugin at least");
}

int
steps_read(struct document *d, struct hw_err *err)
{
	bool old = strcmp(d->schema, "1.2") == 0;
	const struct spot foreign = {NULL, old ? "mainSteps" : "runtimeConfig", 0};
	json_t *names;
	int r;

	if (json_object_get(d->tree, foreign.key) != NULL)
		return spot_invalid(err, &foreign, "schema %s has none", d->schema);
	d->steps = calloc(DOCUMENT_STEPS_MAX, sizeof(*d->steps));
	names = json_object();
	if (d->steps == NULL || names == NULL)
		r = no_memory(err);
	else
		r = old ? read_runtime_config(d, names, err) : read_main_steps(d, names, err);
	json_decref(names);
	return r;
}
