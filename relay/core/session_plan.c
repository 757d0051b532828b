#include "relay/core/session_plan.h"

#include <stdio.h>
#include <string.h>

#include "proto/document/document.h"
#include "relay/core/document_load.h"
#include "relay/core/op.h"

#define COMMAND_MAX 131072 /* bytes, as in Open */

struct reading {
	struct session_plan *plan;
	struct op *op;
	const struct msg_smap *parameters;
	struct document *document;
	struct document_values *values;
	json_t *properties;
};

/* --- commands --------------------------------------------------------------------------------- */

static int
plan_command(struct reading *w)
{
	const char *command =
		json_string_value(json_object_get(json_object_get(w->properties, "linux"),
			"commands"));

	if (command == NULL || command[0] == '\0')
		return op_fail(w->op, HW_EPARAMETERS, "%s: there is no command to run",
			w->plan->document);
	if (strlen(command) > COMMAND_MAX)
		return op_fail(w->op, HW_EPARAMETERS, "%s: a command has at most %d bytes",
			w->plan->document, COMMAND_MAX);
	w->plan->command = arena_strdup(w->op->arena, command);
	return w->plan->command != NULL ? 0 : op_fail(w->op, HW_ENOMEM, "no memory for a command");
}

static int
plan_shell(struct reading *w)
{
	w->plan->type = CHANNEL_TYPE_PTY;
	return 0;
}

static int
plan_interactive(struct reading *w)
{
	w->plan->type = CHANNEL_TYPE_PTY;
	return plan_command(w);
}

static int
plan_exec(struct reading *w)
{
	w->plan->type = CHANNEL_TYPE_EXEC;
	return plan_command(w);
}

/* --- forwards --------------------------------------------------------------------------------- */

/* A parameter may be a number in the document, and text once it is given. */
static const char *
text_of(const json_t *value, char room[24])
{
	if (!json_is_integer(value))
		return json_string_value(value);
	snprintf(room, 24, "%lld", (long long)json_integer_value(value));
	return room;
}

/* Of a document that somebody wrote. The node itself is what one without a host reaches: by a host,
 * a document that is meant for others would be a way to it. */
static int
plan_own_port(struct reading *w)
{
	const json_t *named = json_object_get(w->properties, "host");
	const char *type = json_string_value(json_object_get(w->properties, "type"));
	char port_room[24], host_room[24];
	const char *host = named != NULL ? text_of(named, host_room) : "localhost";
	const char *port = text_of(json_object_get(w->properties, "portNumber"), port_room);
	struct hw_err why = HW_ERR_INIT;
	int64_t number = 0;
	int r;

	if (type != NULL && strcmp(type, "Socks") == 0)
		return op_fail(w->op, HW_EDOCUMENT,
			"%s: only Hawser-StartSocksSession is of type Socks", w->plan->document);
	if (host == NULL || port == NULL)
		return op_fail(w->op, HW_EPARAMETERS, "%s: host and portNumber are texts",
			w->plan->document);
	if ((r = destination_port(&number, "portNumber", port, &w->op->err)) < 0)
		return r;
	if ((r = destination_set(&w->plan->to, host, number, &why)) < 0)
		return op_fail(w->op, HW_EPARAMETERS, "%s", why.text);
	if (named != NULL && (w->plan->to.host.traits & HOST_LOCAL) != 0)
		return op_fail(w->op, HW_EPARAMETERS,
			"host: the node itself is reached by a document that has no host");
	return 0;
}

static int
plan_port(struct reading *w)
{
	w->plan->type = CHANNEL_TYPE_FORWARD;
	return forward_document(w->plan->document) != NULL ? 0 : plan_own_port(w);
}

/* --- documents -------------------------------------------------------------------------------- */

static const struct {
	const char *session_type;
	int (*plan)(struct reading *w);
} types[] = {
	{"Standard_Stream",	    plan_shell      },
	{"InteractiveCommands",	plan_interactive},
	{"NonInteractiveCommands", plan_exec	    },
	{"Port",		   plan_port	  },
};

static int
plan_type(struct reading *w)
{
	const char *name = document_session_type(w->document);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].session_type, name) == 0)
			return types[i].plan(w);
	}
	return op_fail(w->op, HW_EDOCUMENT, "%s is of session type %s, which nothing runs",
		w->plan->document, name);
}

/* Where a built-in document forwards to is told by more than its pattern. */
static int
plan_destination(struct reading *w)
{
	const struct forward_document *doc = forward_document(w->plan->document);

	return doc == NULL ? 0 : destination_read(&w->plan->to, doc, w->parameters, &w->op->err);
}

static int
check_single(struct reading *w)
{
	for (size_t i = 0; i < document_parameters(w->document); i++) {
		const struct document_parameter *p = document_parameter(w->document, i);
		for (size_t k = 0; p->kind == DOCUMENT_STRING && k < w->parameters->n; k++) {
			if (strcmp(w->parameters->v[k].key, p->name) == 0 &&
				w->parameters->v[k].values.n != 1)
				return op_fail(w->op, HW_EPARAMETERS, "%s: one value is wanted",
					p->name);
		}
	}
	return 0;
}

static int
load(struct reading *w, const char *name)
{
	const char *content, *version;
	size_t n;
	int type, r = document_load(&content, &n, &version, &type, w->op, name, NULL);

	if (r < 0)
		return r;
	if (type != DOCUMENT_TYPE_SESSION)
		return op_fail(w->op, HW_EDOCUMENT, "%s is no session document, but of type %s",
			w->plan->document, enum_text(&enum_DOCUMENT_TYPE, type));
	return document_parse(&w->document, content, n, 0, DOCUMENT_SESSION, &w->op->err);
}

static int
plan(struct reading *w, const char *name)
{
	int r;

	if ((r = load(w, name)) < 0 || (r = plan_destination(w)) < 0 || (r = check_single(w)) < 0 ||
		(r = document_bind(&w->values, w->document, w->parameters, &w->op->err)) < 0 ||
		(r = document_properties(&w->properties, w->document, w->values, &w->op->err)) < 0)
		return r;
	return plan_type(w);
}

void
session_plan_read(struct session_plan *ret, struct op *op, const char *document,
	const struct msg_smap *parameters)
{
	const char *name = document != NULL && document[0] != '\0' ? document : SESSION_DOCUMENT;
	struct reading w = {.plan = ret, .op = op, .parameters = parameters};

	*ret = (struct session_plan){.document = document_name(op, name)};
	ret->code = plan(&w, name);
	if (ret->code < 0) {
		snprintf(ret->why, sizeof(ret->why), "%s", hw_err_text(&op->err));
		op->err = (struct hw_err)HW_ERR_INIT;
		ret->to = (struct destination){.port = 0};
	}
	json_decref(w.properties);
	document_values_free(w.values);
	document_free(w.document);
}
