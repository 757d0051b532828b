/* What plugins read of a step's inputs. */
#include <string.h>

#include "node/plugins/plugins.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

int
plugin_text(const char **ret, const json_t *inputs, const char *key, struct hw_err *err)
{
	const json_t *v = json_object_get(inputs, key);
	const char *s = json_string_value(v);

	*ret = NULL;
	if (v == NULL || json_is_null(v))
		return 0;
	if (s == NULL || strlen(s) != json_string_length(v))
		return hw_err_set(err, HW_EVALIDATION,
			"Invalid format in plugin properties: %s is not a text", key);
	*ret = *s != '\0' ? s : NULL;
	return 0;
}

/* The text is as hostile as a document is, and is read as one. */
static int
read_map(json_t **ret, const char *text, const char *key, struct hw_err *err)
{
	struct document *d = NULL;
	struct hw_err why = HW_ERR_INIT;
	int r = document_parse(&d, text, strlen(text), 0, DOCUMENT_OTHER, &why);

	if (r < 0)
		return hw_err_set(err, r == HW_ENOMEM ? r : HW_EVALIDATION,
			"Invalid format in plugin properties: %s: %s", key, hw_err_text(&why));
	*ret = json_deep_copy(document_tree(d));
	document_free(d);
	return *ret != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

int
plugin_map(json_t **ret, const json_t *inputs, const char *key, struct hw_err *err)
{
	json_t *v = json_object_get(inputs, key);

	if (json_is_object(v)) {
		*ret = json_incref(v);
		return 0;
	}
	if (v == NULL || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0)) {
		*ret = json_object();
		return *ret != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	if (json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v))
		return read_map(ret, json_string_value(v), key, err);
	return hw_err_set(err, HW_EVALIDATION,
		"Invalid format in plugin properties: %s is neither a map nor a text of one", key);
}

/* An ARN has colons of its own, before the slash. */
int
plugin_document_name(struct plugin_wish *ret, struct arena *a, const char *text, struct hw_err *err)
{
	const char *slash = strncmp(text, "arn:", 4) == 0 ? strrchr(text, '/') : NULL;
	const char *colon = strchr(slash != NULL ? slash : text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);

	if (n == 0 || n > 256 || (colon != NULL && (colon[1] == '\0' || strlen(colon) > 20)))
		return hw_err_set(err, HW_EVALIDATION, "%.128s is no document's name", text);
	ret->name = arena_strndup(a, text, n);
	ret->version = colon != NULL ? arena_strdup(a, colon + 1) : NULL;
	return ret->name != NULL && (colon == NULL || ret->version != NULL)
		? 0
		: hw_err_set(err, HW_ENOMEM, "out of memory");
}

const char *
plugin_quote(struct arena *a, const char *text)
{
	char *out = arena_alloc(a, 4 * strlen(text) + 3), *to = out;

	if (out == NULL)
		return NULL;
	*to++ = '\'';
	for (; *text != '\0'; text++)
		if (*text == '\'') {
			memcpy(to, "'\\''", 4);
			to += 4;
		} else {
			*to++ = *text;
		}
	*to++ = '\'';
	*to = '\0';
	return out;
}
