/* aws:runDocument: another document's steps in the place of one. */
#include <stdlib.h>
#include <string.h>

#include "node/plugins/plugins.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

#define NOTHING	       "AWS-Noop"
#define PARAMETERS_MAX 98304 /* bytes of values, as SendCommand has it */
#define PATH_BYTES_MAX 4000

/* --- parameters ------------------------------------------------------------------------------- */

/* As SendCommand would have it: texts as they are, other things as JSON. */
static const char *
as_text(struct arena *a, const json_t *v)
{
	const char *s = json_string_value(v);
	char *dumped = s == NULL ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	const char *kept =
		s != NULL || dumped != NULL ? arena_strdup(a, s != NULL ? s : dumped) : NULL;

	free(dumped);
	return kept;
}

static int
take_values(struct msg_pair *ret, size_t *bytes, struct arena *a, const json_t *v,
	struct hw_err *err)
{
	size_t n = json_is_array(v) ? json_array_size(v) : 1;

	if ((ret->values.v = arena_array(a, n + 1, sizeof(*ret->values.v))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t k = 0; k < n; k++) {
		const char *s = as_text(a, json_is_array(v) ? json_array_get(v, k) : v);
		if (s == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		if ((*bytes += strlen(s) + 8) > PARAMETERS_MAX)
			return hw_err_set(err, HW_ELIMIT,
				"documentParameters hold more than %d bytes", PARAMETERS_MAX);
		ret->values.v[ret->values.n++] = s;
	}
	return 0;
}

/* What is null was not given: so the document's default counts. */
static int
take_parameters(struct plugin_wish *w, struct arena *a, const json_t *map, struct hw_err *err)
{
	size_t bytes = 0;
	const char *key;
	json_t *value;
	int r = 0;

	if (json_object_size(map) > DOCUMENT_PARAMETERS_MAX)
		return hw_err_set(err, HW_ELIMIT, "documentParameters: at most %d",
			DOCUMENT_PARAMETERS_MAX);
	w->parameters.v = arena_array(a, json_object_size(map) + 1, sizeof(*w->parameters.v));
	if (w->parameters.v == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	json_object_foreach((json_t *)map, key, value) {
		struct msg_pair *to = &w->parameters.v[w->parameters.n];
		if (json_is_null(value))
			continue;
		if ((to->key = arena_strdup(a, key)) == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		if ((r = take_values(to, &bytes, a, value, err)) < 0)
			return r;
		w->parameters.n++;
	}
	return 0;
}

/* --- where it is ------------------------------------------------------------------------------ */

/* A relative one lies below what the command has downloaded. */
static int
take_path(struct plugin_wish *w, struct arena *a, const struct plugin_context *c, const char *path,
	struct hw_err *err)
{
	if (strlen(path) > PATH_BYTES_MAX)
		return hw_err_set(err, HW_EVALIDATION, "documentPath is longer than %d bytes",
			PATH_BYTES_MAX);
	w->path = path[0] == '/' ? arena_strdup(a, path)
				 : arena_printf(a, "%s/downloads/%s", c->work, path);
	if (w->path == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	w->below = path[0] == '/' ? NULL : w->path + strlen(w->path) - strlen(path);
	return 0;
}

static int
take_origin(struct plugin_wish *w, struct arena *a, const struct plugin_context *c,
	const json_t *inputs, struct hw_err *err)
{
	const char *type, *path;
	int r;

	if ((r = plugin_text(&type, inputs, "documentType", err)) < 0 ||
		(r = plugin_text(&path, inputs, "documentPath", err)) < 0)
		return r;
	if (path == NULL)
		return hw_err_set(err, HW_EVALIDATION,
			"Invalid format in plugin properties: there is no documentPath");
	if (type != NULL && strcmp(type, "LocalPath") == 0)
		return take_path(w, a, c, path, err);
	if (type == NULL || strcmp(type, "SSMDocument") != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"Invalid format in plugin properties: documentType is SSMDocument or LocalPath, "
			"not %.64s",
			type != NULL ? type : "nothing");
	if (strcmp(path, NOTHING) == 0) {
		w->nothing = true;
		return 0;
	}
	return plugin_document_name(w, a, path, err);
}

int
plugin_document_wish(struct plugin_wish *ret, struct arena *a, const struct plugin_context *context,
	const json_t *inputs, struct hw_err *err)
{
	struct plugin_wish w = {.runs = true, .seconds = (int)document_step_seconds(inputs)};
	json_t *map = NULL;
	int r = take_origin(&w, a, context, inputs, err);

	if (r == 0 && (r = plugin_map(&map, inputs, "documentParameters", err)) == 0)
		r = take_parameters(&w, a, map, err);
	json_decref(map);
	if (r == 0)
		*ret = w;
	return r;
}
