/* aws:runShellScript */
#include <stdbool.h>
#include <string.h>

#include "node/plugins/plugins.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"

#define SCRIPT_MAX	(128 * 1024)
#define ENVIRONMENT_MAX (64 * 1024)
#define VARIABLES_MAX	128
#define DIRECTORY_MAX	4095

/* --- the script ------------------------------------------------------------------------------- */

static bool
add_line(struct buf *text, const json_t *line)
{
	const char *s = json_string_value(line);

	return s != NULL && strlen(s) == json_string_length(line) && buf_append_str(text, s) == 0 &&
		buf_append_byte(text, '\n') == 0;
}

static int
add_lines(struct buf *text, const json_t *run, struct hw_err *err)
{
	bool ok = json_is_string(run) ? add_line(text, run) : json_is_array(run);

	for (size_t i = 0; ok && i < json_array_size(run); i++)
		ok = add_line(text, json_array_get(run, i));
	if (ok && text->len == 0) /* an empty list is an empty script */
		ok = buf_append_byte(text, '\n') == 0;
	if (!ok && text->failed)
		return hw_err_set(err, HW_ELIMIT, "runCommand is longer than %d bytes", SCRIPT_MAX);
	return ok
		? 0
		: hw_err_set(err, HW_EVALIDATION,
			  "Invalid format in plugin properties: runCommand is not a list of texts");
}

static int
take_script(struct plugin_program *p, struct arena *a, const json_t *inputs, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, SCRIPT_MAX);
	int r = add_lines(&text, json_object_get(inputs, "runCommand"), err);
	if (r == 0 && (p->script = arena_strndup(a, buf_str(&text), text.len)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_fini(&text);
	return r;
}

/* --- where ------------------------------------------------------------------------------------ */

/* A relative one, and none, lie below what the command has downloaded, if it has. */
static const char *
find_directory(struct plugin_program *p, struct arena *a, const struct plugin_context *c,
	const char *path)
{
	if (path != NULL && path[0] == '/')
		return arena_strdup(a, path);
	p->directory_optional = true;
	p->work_len = strlen(c->work);
	return arena_printf(a, "%s/downloads/%s", c->work, path != NULL ? path : "");
}

static int
take_directory(struct plugin_program *p, struct arena *a, const struct plugin_context *c,
	const json_t *inputs, struct hw_err *err)
{
	const char *path;
	int r = plugin_text(&path, inputs, "workingDirectory", err);

	if (r < 0 || ((path == NULL || path[0] != '/') && c->work == NULL))
		return r;
	if ((p->directory = find_directory(p, a, c, path)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (strlen(p->directory) > DIRECTORY_MAX)
		return hw_err_set(err, HW_EVALIDATION, "workingDirectory is longer than %d bytes",
			DIRECTORY_MAX);
	return 0;
}

/* --- the environment -------------------------------------------------------------------------- */

struct environment {
	struct buf text;
	size_t n;
};

static bool
is_name(const char *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return *s != '\0' && strspn(s, letters) == strlen(s) && (*s < '0' || *s > '9');
}

static int
put(struct environment *e, const char *name, const char *value, struct hw_err *err)
{
	if (!is_name(name))
		return hw_err_set(err, HW_EVALIDATION, "environment: %.64s is no variable's name",
			name);
	if (value == NULL)
		return hw_err_set(err, HW_EVALIDATION,
			"environment: the value of %.64s is not a text", name);
	buf_append_str(&e->text, name);
	buf_append_byte(&e->text, '=');
	buf_append_str(&e->text, value);
	buf_append_byte(&e->text, '\0');
	if (++e->n > VARIABLES_MAX || e->text.failed)
		return hw_err_set(err, HW_ELIMIT,
			"environment: more than %d variables, or more than %d bytes in all",
			VARIABLES_MAX, ENVIRONMENT_MAX);
	return 0;
}

static int
put_all(struct environment *e, const json_t *object, struct hw_err *err)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach((json_t *)object, name, value)
		if (r == 0)
			r = put(e, name, json_string_value(value), err);
	return r;
}

/* The document's own come first: what says which command it is cannot be said otherwise. */
static int
take_environment(struct plugin_program *p, struct arena *a, const struct plugin_context *c,
	const json_t *inputs, const json_t *env, struct hw_err *err)
{
	const struct {
		const char *name, *value;
	} ours[] = {
		{"AWS_SSM_INSTANCE_ID",	c->node_id	  },
		{"AWS_SSM_PLATFORM_NAME",	  c->platform_name	  },
		{"AWS_SSM_PLATFORM_VERSION", c->platform_version},
		{"SSM_COMMAND_ID",	   c->command_id	},
	};
	const json_t *given = json_object_get(inputs, "environment");
	struct environment e = {.n = 0};
	int r = 0;

	buf_init(&e.text, ENVIRONMENT_MAX);
	if (given != NULL && !json_is_object(given))
		r = hw_err_set(err, HW_EVALIDATION,
			"Invalid format in plugin properties: environment is not a map");
	if (r == 0 && (r = put_all(&e, given, err)) == 0)
		r = put_all(&e, env, err);
	for (size_t i = 0; r == 0 && i < sizeof(ours) / sizeof(ours[0]); i++)
		if (ours[i].value != NULL)
			r = put(&e, ours[i].name, ours[i].value, err);
	p->environment_len = e.text.len;
	if (r == 0 && (p->environment = arena_dup(a, buf_data(&e.text), e.text.len)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_fini(&e.text);
	return r;
}

int
plugin_shell_script(struct plugin_program *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, const json_t *env,
	struct hw_err *err)
{
	struct plugin_program p = {.seconds = (int)document_step_seconds(inputs)};
	int r;

	if ((r = take_script(&p, a, inputs, err)) < 0 ||
		(r = take_directory(&p, a, context, inputs, err)) < 0 ||
		(r = take_environment(&p, a, context, inputs, env, err)) < 0)
		return r;
	*ret = p;
	return 0;
}
