#include "proto/document/document.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/document/document_private.h"
#include "proto/document/json_text.h"
#include "proto/document/parameters.h"
#include "proto/document/session_document.h"
#include "proto/document/steps.h"
#include "proto/document/yaml_text.h"
#include "proto/document/yaml_write.h"
#include "proto/schema/schema.h"

#define WRITE_MAX \
	120000 /* bytes of a document that is written anew: escaped, it fits into a reply */

/* --- the text --------------------------------------------------------------------------------- */

/* JSON's object begins with a brace; a byte order mark may stand before it. */
static int
look(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strchr(" \t\r\n\xef\xbb\xbf", text[i]) == NULL || text[i] == '\0')
			return text[i] == '{' ? DOCUMENT_FORMAT_JSON : DOCUMENT_FORMAT_YAML;
	}
	return DOCUMENT_FORMAT_YAML;
}

static int
read_text(struct document *d, const char *text, size_t n, struct hw_err *err)
{
	if (d->format == DOCUMENT_FORMAT_YAML)
		return yaml_text_read(&d->tree, text, n, err);
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		n -= 3;
	}
	return json_text_read(&d->tree, text, n, HW_EDOCUMENTCONTENT, err);
}

/* YAML may begin with a brace too. What is neither is judged as the JSON that it looks like. */
static int
look_and_read(struct document *d, const char *text, size_t n, struct hw_err *err)
{
	d->format = look(text, n);
	int r = read_text(d, text, n, err);
	if (r != HW_EDOCUMENTCONTENT || d->format != DOCUMENT_FORMAT_JSON ||
		yaml_text_read(&d->tree, text, n, NULL) < 0)
		return r;
	d->format = DOCUMENT_FORMAT_YAML;
	return 0;
}

/* --- the schema ------------------------------------------------------------------------------- */

static const char *const command_keys[] = {
	"schemaVersion", "description", "parameters", "mainSteps", "runtimeConfig", NULL};
static const char *const session_keys[] = {
	"schemaVersion", "description", "parameters", "sessionType", "inputs", "properties", NULL};
static const char *const command_schemas[] = {"1.2", "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2", NULL};
static const char *const session_schemas[] = {"1.0", NULL};
static const char *const automation_schemas[] = {"0.3", NULL};

static const struct {
	const char *what;
	const char *const *schemas, *const *keys; /* NULL: not looked at */
} kinds[] = {
	[DOCUMENT_COMMAND] = {"Command: 1.2, 2.0 or 2.2", command_schemas,	   command_keys},
	[DOCUMENT_SESSION] = {"Session: 1.0",	      session_schemas,    session_keys},
	[DOCUMENT_AUTOMATION] = {"Automation: 0.3",	    automation_schemas, NULL	    },
	[DOCUMENT_OTHER] = {"this type",		 NULL,	       NULL	   },
};

static int
check_schema(struct document *d, struct hw_err *err)
{
	const char *const *one = kinds[d->kind].schemas;
	const json_t *value = json_object_get(d->tree, "schemaVersion");

	d->schema = json_is_string(value) ? json_string_value(value) : "";
	if (one == NULL)
		return 0;
	if (!json_is_string(value))
		return hw_err_set(err, HW_EDOCUMENTSCHEMA,
			"schemaVersion must be a text; one of type %s", kinds[d->kind].what);
	while (*one != NULL && strcmp(*one, d->schema) != 0)
		one++;
	return *one != NULL ? 0
			    : hw_err_set(err, HW_EDOCUMENTSCHEMA,
				      "schemaVersion is not one of type %s", kinds[d->kind].what);
}

static int
validate(struct document *d, struct hw_err *err)
{
	const char *unused;
	int r;

	if (!json_is_object(d->tree))
		return hw_err_set(err, HW_EDOCUMENTCONTENT, "the document must be a map");
	if ((r = check_schema(d, err)) < 0 ||
		(r = spot_text(&unused, d->tree, "description", NULL, err)) < 0)
		return r;
	if (kinds[d->kind].keys == NULL)
		return 0;
	if ((r = spot_known(d->tree, kinds[d->kind].keys, NULL, err)) < 0 ||
		(r = parameters_read(d, err)) < 0)
		return r;
	return d->kind == DOCUMENT_COMMAND ? steps_read(d, err) : session_document_check(d, err);
}

int
document_parse(struct document **ret, const char *content, size_t n, int format,
	enum document_kind kind, struct hw_err *err)
{
	struct document *d;
	int r;

	if (n > DOCUMENT_SIZE_MAX)
		return hw_err_set(err, HW_EDOCUMENTSIZE,
			"a document has at most %d bytes, and this one has %zu", DOCUMENT_SIZE_MAX,
			n);
	d = calloc(1, sizeof(*d));
	if (d == NULL || (d->made = json_array()) == NULL) {
		document_free(d);
		return hw_err_set(err, HW_ENOMEM, "no memory for a document");
	}
	d->kind = kind;
	d->format = format;
	if (format == DOCUMENT_FORMAT_JSON || format == DOCUMENT_FORMAT_YAML)
		r = read_text(d, content, n, err);
	else
		r = look_and_read(d, content, n, err);
	if (r < 0 || (r = validate(d, err)) < 0) {
		document_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void
document_free(struct document *d)
{
	if (d == NULL)
		return;
	parameters_free(d);
	free(d->steps);
	json_decref(d->made);
	json_decref(d->tree);
	free(d);
}

/* --- what it is ------------------------------------------------------------------------------- */

int
document_format(const struct document *d)
{
	return d->format;
}

const char *
document_schema_version(const struct document *d)
{
	return d->schema;
}

const char *
document_description(const struct document *d)
{
	return json_string_value(json_object_get(d->tree, "description"));
}

const json_t *
document_tree(const struct document *d)
{
	return d->tree;
}

size_t
document_parameters(const struct document *d)
{
	return d->n_parameters;
}

const struct document_parameter *
document_parameter(const struct document *d, size_t i)
{
	hw_assert(i < d->n_parameters);
	return &d->parameters[i].shown;
}

size_t
document_steps(const struct document *d)
{
	return d->n_steps;
}

const struct document_step *
document_step(const struct document *d, size_t i)
{
	hw_assert(i < d->n_steps);
	return &d->steps[i];
}

const char *
document_session_type(const struct document *d)
{
	return d->kind == DOCUMENT_SESSION
		? json_string_value(json_object_get(d->tree, "sessionType"))
		: NULL;
}

/* --- written anew ----------------------------------------------------------------------------- */

static int
on_bytes(const char *p, size_t n, void *arg)
{
	return buf_append(arg, p, n);
}

static int
write_json(struct buf *out, const json_t *tree, struct hw_err *err)
{
	if (json_dump_callback(tree, on_bytes, out, JSON_INDENT(2)) == 0 &&
		buf_append_byte(out, '\n') == 0)
		return 0;
	return out->failed ? hw_err_set(err, HW_EDOCUMENTSIZE,
				     "as JSON the document has more than %d bytes", WRITE_MAX)
			   : hw_err_set(err, HW_ENOMEM, "no memory for a document");
}

int
document_write(char **ret, size_t *n, const struct document *d, int format, struct hw_err *err)
{
	struct buf out;

	buf_init(&out, WRITE_MAX);
	int r = format == DOCUMENT_FORMAT_YAML ? yaml_write(&out, d->tree, err)
					       : write_json(&out, d->tree, err);
	if (r == 0 && (*ret = buf_take(&out, n)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for a document");
	buf_fini(&out);
	return r;
}
