#include "proto/document/session_document.h"

#include <string.h>

typedef int check_fn(const struct document *d, const struct spot *at, const json_t *map,
	struct hw_err *err);

/* --- shells ----------------------------------------------------------------------------------- */

static bool
is_nothing(const json_t *value)
{
	if (json_is_string(value))
		return json_string_value(value)[0] == '\0';
	if (json_is_object(value))
		return json_object_size(value) == 0;
	return json_is_false(value) || json_is_null(value);
}

/* Where SSM's service sends what is shown, and how it encrypts and limits a session, is decided
 * elsewhere here: a document that asks for it must not seem to get it. */
static int
check_shell(const struct document *d, const struct spot *at, const json_t *map, struct hw_err *err)
{
	static const char *const known[] = {"s3BucketName", "s3KeyPrefix", "s3EncryptionEnabled",
		"cloudWatchLogGroupName", "cloudWatchEncryptionEnabled",
		"cloudWatchStreamingEnabled", "kmsKeyId", "runAsEnabled", "runAsDefaultUser",
		"idleSessionTimeout", "maxSessionDuration", "shellProfile", NULL};
	const char *key;
	json_t *value;
	int r = spot_known(map, known, at, err);

	(void)d;
	if (r < 0)
		return r;
	json_object_foreach((json_t *)map, key, value) {
		const struct spot here = {at, key, 0};
		bool harmless = strstr(key, "Enabled") != NULL && key[0] != 'r';
		if (!harmless && !is_nothing(value))
			return spot_invalid(err, &here,
				"the relay decides this, a document cannot: leave it empty");
	}
	return 0;
}

/* --- commands --------------------------------------------------------------------------------- */

static int
check_command(const struct document *d, const struct spot *at, const json_t *map,
	struct hw_err *err)
{
	static const char *const known[] = {"linux", "macos", "windows", NULL};
	static const char *const of_linux[] = {"commands", "runAsElevated", NULL};
	const struct spot here = {at, "linux", 0};
	const json_t *linux_part;
	const char *command;
	int r;

	(void)d;
	if ((r = spot_known(map, known, at, err)) < 0 ||
		(r = spot_member(&linux_part, map, "linux", JSON_OBJECT, at, err)) < 0)
		return r;
	if (linux_part == NULL)
		return spot_invalid(err, &here, "it is needed, with commands");
	if ((r = spot_known(linux_part, of_linux, &here, err)) < 0 ||
		(r = spot_text(&command, linux_part, "commands", &here, err)) < 0)
		return r;
	if (command == NULL || command[0] == '\0')
		return spot_invalid(err, &here, "commands is needed");
	const json_t *elevated = json_object_get(linux_part, "runAsElevated");
	if (elevated != NULL && !json_is_false(elevated))
		return spot_invalid(err, &here,
			"runAsElevated must be false: whoever starts the session names its user");
	return 0;
}

/* --- ports ------------------------------------------------------------------------------------ */

static int
check_port(const struct document *d, const struct spot *at, const json_t *map, struct hw_err *err)
{
	static const char *const known[] = {"portNumber", "localPortNumber", "host", "type", NULL};
	const char *text;
	json_t *value;
	const char *key;
	int r;

	(void)d;
	if ((r = spot_known(map, known, at, err)) < 0)
		return r;
	json_object_foreach((json_t *)map, key, value) {
		const struct spot here = {at, key, 0};
		if (!json_is_string(value) && !json_is_integer(value))
			return spot_invalid(err, &here, "it must be a text");
	}
	if ((r = spot_text(&text, map, "type", at, err)) < 0)
		return r;
	if (text != NULL && strcmp(text, "LocalPortForwarding") != 0 && strcmp(text, "Socks") != 0)
		return spot_invalid(err, at, "type must be LocalPortForwarding or Socks");
	bool socks = text != NULL && text[0] == 'S';
	if (!socks && json_object_get(map, "portNumber") == NULL)
		return spot_invalid(err, at, "portNumber is needed");
	return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct session_type {
	const char *name, *member;
	bool needed;
	check_fn *check;
} types[] = {
	{"Standard_Stream",	    "inputs",     false, check_shell	},
	{"InteractiveCommands",	"properties", true,  check_command},
	{"NonInteractiveCommands", "properties", true,  check_command},
	{"Port",		   "properties", true,  check_port   },
};

static const struct session_type *
find(const char *name)
{
	for (size_t i = 0; name != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	}
	return NULL;
}

int
session_document_check(const struct document *d, struct hw_err *err)
{
	const struct session_type *type;
	const json_t *map;
	const char *name;
	int r = spot_text(&name, d->tree, "sessionType", NULL, err);

	if (r < 0)
		return r;
	if ((type = find(name)) == NULL)
		return hw_err_set(err, HW_EDOCUMENTCONTENT,
			"sessionType must be Standard_Stream, InteractiveCommands, NonInteractiveCommands or Port");
	const struct spot at = {NULL, type->member, 0};
	if ((r = spot_member(&map, d->tree, type->member, JSON_OBJECT, NULL, err)) < 0)
		return r;
	if (map != NULL)
		return type->check(d, &at, map, err);
	return type->needed ? spot_invalid(err, &at, "%s needs it", name) : 0;
}

const char *
session_document_member(const struct document *d)
{
	const struct session_type *type = find(document_session_type(d));

	return type != NULL ? type->member : "properties";
}
