/* aws:downloadContent: a program of its own gets it, as the user that the command runs as. */
#include <stdlib.h>
#include <string.h>

#include "node/plugins/plugins.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"

#define SCRIPT_MAX (128 * 1024)
#define DOCUMENT   "SSMDocument"

static int
source_type(const char **ret, const json_t *inputs, struct hw_err *err)
{
	int r = plugin_text(ret, inputs, "sourceType", err);

	return r == 0 && *ret == NULL
		? hw_err_set(err, HW_EVALIDATION,
			  "Invalid format in plugin properties: there is no sourceType")
		: r;
}

int
plugin_download_wish(struct plugin_wish *ret, struct arena *a, const struct plugin_context *context,
	const json_t *inputs, struct hw_err *err)
{
	struct plugin_wish w = {.seconds = (int)document_step_seconds(inputs)};
	const char *type, *name;
	json_t *info = NULL;
	int r;

	(void)context;
	if ((r = source_type(&type, inputs, err)) < 0)
		return r;
	if (strcmp(type, DOCUMENT) == 0 &&
		(r = plugin_map(&info, inputs, "sourceInfo", err)) == 0 &&
		(r = plugin_text(&name, info, "name", err)) == 0)
		r = name != NULL ? plugin_document_name(&w, a, name, err)
				 : hw_err_set(err, HW_EVALIDATION, "sourceInfo has no name");
	json_decref(info);
	if (r == 0)
		*ret = w;
	return r;
}

/* What the program reads (node/fetch/spec.h): the same words, with what the author does not say. */
static json_t *
describe(const struct plugin_context *c, const char *type, const char *destination, json_t *info)
{
	bool text = strcmp(type, DOCUMENT) == 0;
	json_t *spec = json_pack("{s:s, s:s, s:s, s:I, s:O}", "source", text ? "Text" : type,
		"destination", destination != NULL ? destination : "", "work", c->work, "max",
		(json_int_t)c->download_max, "info", info);

	if (spec == NULL)
		return NULL;
	if ((c->ca != NULL && json_object_set_new(spec, "ca", json_string(c->ca)) < 0) ||
		(c->proxy != NULL &&
			json_object_set_new(spec, "proxy", json_string(c->proxy)) < 0) ||
		(c->s3_host != NULL &&
			json_object_set_new(spec, "s3_host", json_string(c->s3_host)) < 0) ||
		(text && json_object_set_new(spec, "name", json_string(c->file_name)) < 0)) {
		json_decref(spec);
		return NULL;
	}
	return spec;
}

/* The shell that would run the text becomes the program, and that reads on from the second line.
 * What is secret in it is in no list of processes. */
static int
write_script(struct plugin_program *p, struct arena *a, const struct plugin_context *c,
	const json_t *spec, struct hw_err *err)
{
	const char *program = plugin_quote(a, c->fetch);
	char *json = json_dumps(spec, JSON_COMPACT);
	struct buf text;
	int r = 0;

	buf_init(&text, SCRIPT_MAX);
	if (program == NULL || json == NULL)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	else if (buf_printf(&text, "exec %s \"$0\"\n%s\n%s", program, json,
			 c->content != NULL ? c->content : "") < 0)
		r = hw_err_set(err, HW_ELIMIT,
			"what is to be downloaded is described in more than "
			"%d bytes",
			SCRIPT_MAX);
	else if ((p->script = arena_strndup(a, buf_str(&text), text.len)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_wipe(&text);
	buf_fini(&text);
	free(json);
	return r;
}

int
plugin_download(struct plugin_program *ret, struct arena *a, const struct plugin_context *context,
	const json_t *inputs, const json_t *env, struct hw_err *err)
{
	struct plugin_program p = {.seconds = (int)document_step_seconds(inputs)};
	const char *type, *destination;
	json_t *info = NULL, *spec = NULL;
	int r;

	(void)env; /* what parameters would put there, no shell reads */
	if (context->fetch == NULL)
		return hw_err_set(err, HW_ENOTFOUND,
			"hawser-node-fetch, which downloads content, is not installed on this node");
	if ((r = source_type(&type, inputs, err)) == 0 &&
		(r = plugin_text(&destination, inputs, "destinationPath", err)) == 0 &&
		(r = plugin_map(&info, inputs, "sourceInfo", err)) == 0) {
		spec = describe(context, type, destination, info);
		r = spec != NULL
			? write_script(&p, a, context, spec, err)
			: hw_err_set(err, HW_EVALIDATION, "sourceInfo holds what is no text");
	}
	json_decref(spec);
	json_decref(info);
	if (r == 0)
		*ret = p;
	return r;
}
