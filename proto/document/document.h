/*
 * Documents: typed, versioned scripts with parameters, as SSM has them. Text in, a checked tree
 * out; then parameters are bound, and put into a step's inputs.
 *
 * Pure: no input or output, no globals, no clock; what it returns depends on what it is given
 * alone. Every text may be hostile: size, depth, nodes, aliases, what parameters make of an input
 * and what a pattern may cost are bounded, before memory is taken. Positions in errors are a line
 * and a column where the text is not well formed, and a path, as mainSteps[0].inputs, where its
 * content is not valid. All of a document's pointers are good until document_free(). A document is
 * only read after document_parse(), but its json_t are counted without locks: one thread at a time.
 */
#ifndef HAWSER_DOCUMENT_DOCUMENT_H
#define HAWSER_DOCUMENT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct document;
struct document_values;
struct hw_err;
struct msg_smap;

#define DOCUMENT_SIZE_MAX	65536 /* bytes of text */
#define DOCUMENT_STEPS_MAX	1000
#define DOCUMENT_PARAMETERS_MAX 200
#define DOCUMENT_NAME_MAX	128	/* bytes of a step's name */
#define DOCUMENT_ACTION_MAX	64	/* bytes */
#define DOCUMENT_INPUTS_MAX	4194304 /* bytes of texts in one step's inputs, parameters put in */

enum document_kind {
	DOCUMENT_COMMAND,    /* schema 1.2, 2.0, 2.0.1, 2.0.2, 2.0.3, 2.2 */
	DOCUMENT_SESSION,    /* schema 1.0 */
	DOCUMENT_AUTOMATION, /* schema 0.3: only looked at for being well formed; no parameters, no
				steps */
	DOCUMENT_OTHER	     /* any object; likewise */
};

/* --- the text --------------------------------------------------------------------------------- */

/* Parses n bytes and validates. format: DOCUMENT_FORMAT_JSON or _YAML, or 0 (and _TEXT) to look:
 * JSON when its first character is a brace, else YAML. HW_EDOCUMENTSIZE for more than
 * DOCUMENT_SIZE_MAX, HW_EDOCUMENTSCHEMA for a schema version that `kind` does not have,
 * HW_EDOCUMENTCONTENT, HW_ENOMEM. */
int document_parse(struct document **ret, const char *content, size_t n, int format,
	enum document_kind kind, struct hw_err *err);
void document_free(struct document *d); /* NULL is fine */

int document_format(const struct document *d); /* DOCUMENT_FORMAT_*: what it was read as */
const char *document_schema_version(const struct document *d);
const char *document_description(const struct document *d); /* or NULL */
/* The whole, types as validated: what stands for a text is one, also where YAML's plain scalars
 * would be booleans or numbers. */
const json_t *document_tree(const struct document *d);

/* The tree as text, members in their order; malloc'd and NUL-ended, *n without the NUL.
 * DOCUMENT_FORMAT_JSON or _YAML. Read back, it is the same tree; but a number or boolean
 * that JSON has where texts belong is a text in YAML. HW_EDOCUMENTSIZE, HW_ENOMEM. */
int document_write(char **ret, size_t *n, const struct document *d, int format, struct hw_err *err);

/* Whether some step of it may do something on Linux: false when all are of plugins that only
 * Windows has. One without steps is for any system. */
bool document_is_for_linux(const struct document *d);

/* --- parameters ------------------------------------------------------------------------------- */

enum document_type {
	DOCUMENT_STRING,
	DOCUMENT_STRING_LIST,
	DOCUMENT_STRING_MAP,
	DOCUMENT_INTEGER, /* this and those below take no value but their default */
	DOCUMENT_BOOLEAN,
	DOCUMENT_MAP_LIST
};

struct document_parameter {
	const char *name;	 /* [a-zA-Z0-9]+ */
	const char *type;	 /* as declared: String, StringList, ... */
	const char *description; /* or NULL */
	const json_t
		*value; /* the default, of the JSON type that belongs to it; NULL: must be given */
	bool env;	/* interpolationType ENV_VAR: the environment carries it, not the text */
	enum document_type kind;
};

/* In the document's order. */
size_t document_parameters(const struct document *d);
const struct document_parameter *document_parameter(const struct document *d, size_t i);

/* What was given, as SendCommand and StartSession have it, with defaults for what was not, checked
 * by every rule that the document states. A String and a StringMap (JSON) take the first text
 * given, a StringList all of them. HW_EPARAMETERS names the parameter and the rule; HW_ENOMEM.
 * `given` NULL is none. The values keep nothing of `given`, and are for `d` alone. */
int document_bind(struct document_values **ret, const struct document *d,
	const struct msg_smap *given, struct hw_err *err);
void document_values_free(struct document_values *v); /* NULL is fine */

/* A parameter's value by name: NULL when the document has none of that name. Lent. */
const json_t *document_value(const struct document_values *v, const char *name);

/* --- steps ------------------------------------------------------------------------------------ */

struct document_step {
	/* 2.x: the step's own. 1.2: the element's `id`, or the plugin's, with the element's number
	 * before it where there are several: 0.aws:runShellScript. Unique in its document, of
	 * [a-zA-Z0-9_.:-], never . or .. */
	const char *name;
	const char *action; /* aws:runShellScript; any text of 1..64 bytes without control bytes */
	const json_t *precondition; /* an object, or NULL */
	const json_t *inputs;	    /* an object, as written */
};

/* mainSteps of 2.x; of 1.2 each element of each plugin's properties, in the document's order. */
size_t document_steps(const struct document *d);
const struct document_step *document_step(const struct document *d, size_t i);

/*
 * A step's inputs with parameters put in, and the environment that ENV_VAR parameters need (an
 * object of texts, SSM_<name>; all those that the document declares). New references, each may be
 * NULL when nobody asks. HW_EPARAMETERS when they come out larger than DOCUMENT_INPUTS_MAX or hold
 * a NUL; HW_ENOMEM.
 *
 * A text that is {{ name }} alone becomes the typed value, other texts get it as text, lists and
 * maps as compact JSON, with $$ in it written $. Keys stay as they are, names that the document
 * does not declare too; what a value holds is not looked at again. Below runCommand an ENV_VAR
 * parameter becomes ${SSM_name}; elsewhere, where no shell reads it, its text. Lists in runCommand
 * and associationIds that a whole StringList made are flattened by one level.
 */
int document_inputs(json_t **inputs, json_t **env, const struct document *d,
	const struct document_values *v, size_t step, struct hw_err *err);

/* Likewise for what a Session document has: its properties (Port, InteractiveCommands,
 * NonInteractiveCommands) or inputs (Standard_Stream); an empty object when it has none. An ENV_VAR
 * parameter is put in as text, because no environment goes along. */
int document_properties(json_t **ret, const struct document *d, const struct document_values *v,
	struct hw_err *err);
const char *document_session_type(const struct document *d); /* NULL of other kinds */

/* Whether some text in it still refers to a stored parameter: {{ssm:NAME}} or {{ssm-secure:NAME}}.
 */
bool document_refers_to_stored(const json_t *value);

/* --- what decides over a step ----------------------------------------------------------------- */

enum document_verdict { DOCUMENT_RUN, DOCUMENT_SKIP, DOCUMENT_FAIL };

/* platform: "linux". Without DOCUMENT_RUN, why[n] has one sentence for the step's output. */
enum document_verdict document_precondition(const struct document *d,
	const struct document_values *v, size_t step, const char *platform, char *why, size_t n);

#define DOCUMENT_STEP_SECONDS 3600 /* of a step that says nothing, or nothing that counts */

/* What `timeoutSeconds` of inputs with parameters put in says, as text, integer or real: 5..172800,
 * else DOCUMENT_STEP_SECONDS. */
int64_t document_step_seconds(const json_t *inputs);

/* The sum over all steps, for ExpiresAfter. */
int64_t document_timeout_seconds(const struct document *d, const struct document_values *v);

#endif
