#include "relay/services/sessions/documents.h"

#include <string.h>

#include "relay/core/destination.h"
#include "relay/core/op.h"

#define COMMAND_MAX 131072 /* bytes, as in Open */

static const struct session_document documents[] = {
	{"SSM-SessionManagerRunShell",		       CHANNEL_TYPE_PTY,	 false,
		false									   }, /* the first is the default */
	{"AWS-StartInteractiveCommand",		CHANNEL_TYPE_PTY,	  true,	false},
	{"AWS-StartNonInteractiveCommand",		   CHANNEL_TYPE_EXEC,    true,  false},
	{"AWS-StartPortForwardingSession",		   CHANNEL_TYPE_FORWARD, false, true },
	{"AWS-StartPortForwardingSessionToRemoteHost", CHANNEL_TYPE_FORWARD, false, true },
	{"AWS-StartSSHSession",			CHANNEL_TYPE_FORWARD, false, true },
	{"Hawser-StartSocksSession",		     CHANNEL_TYPE_FORWARD, false, true },
};

int
document_find(const struct session_document **ret, struct op *op, const char *name)
{
	if (name == NULL || name[0] == '\0')
		name = documents[0].name;
	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
		if (strcmp(documents[i].name, name) == 0) {
			*ret = &documents[i];
			return 0;
		}
	}
	return op_fail(op, HW_EDOCUMENT, "no session document is named \"%s\"", name);
}

static const struct msg_strs *
find(const struct msg_smap *parameters, const char *key)
{
	for (size_t i = 0; i < parameters->n; i++) {
		if (strcmp(parameters->v[i].key, key) == 0)
			return &parameters->v[i].values;
	}
	return NULL;
}

static int
check_known(struct op *op, const struct session_document *doc, const struct msg_smap *parameters)
{
	for (size_t i = 0; i < parameters->n; i++) {
		if (!doc->takes_command || strcmp(parameters->v[i].key, "command") != 0)
			return op_fail(op, HW_EPARAMETERS, "%s has no parameter \"%.100s\"",
				doc->name, parameters->v[i].key);
	}
	return 0;
}

int
document_command(const char **ret, struct op *op, const struct session_document *doc,
	const struct msg_smap *parameters)
{
	int r = doc->forwards ? 0 : check_known(op, doc, parameters);

	if (r < 0)
		return r;
	if (!doc->takes_command) {
		*ret = NULL;
		return 0;
	}
	const struct msg_strs *command = find(parameters, "command");
	if (parameters->n > 1 || command == NULL || command->n != 1 || command->v[0][0] == '\0')
		return op_fail(op, HW_EPARAMETERS,
			"%s needs the parameter \"command\" with one value", doc->name);
	if (strlen(command->v[0]) > COMMAND_MAX)
		return op_fail(op, HW_EPARAMETERS, "command: at most %d bytes", COMMAND_MAX);
	*ret = command->v[0];
	return 0;
}

int
document_destination(struct destination *ret, struct op *op, const struct session_document *doc,
	const struct msg_smap *parameters)
{
	*ret = (struct destination){.port = 0};
	return doc->forwards
		? destination_read(ret, forward_document(doc->name), parameters, &op->err)
		: 0;
}
