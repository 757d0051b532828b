#include <stdio.h>
#include <string.h>

#include "proto/document/document_private.h"

#define PATH_MAX_BYTES 160
#define SHOWN_MAX      40 /* bytes of a key in an error */

/* --- paths ------------------------------------------------------------------------------------ */

/* A key is whatever the document says: what could disturb a terminal is a question mark. */
static void
write_key(char *out, size_t room, const char *key)
{
	size_t n = 0;

	for (; key[n] != '\0' && n < SHOWN_MAX && n + 1 < room; n++) {
		unsigned char c = (unsigned char)key[n];
		out[n] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	out[n] = '\0';
}

static size_t
write_path(char *out, size_t room, const struct spot *at)
{
	char key[SHOWN_MAX + 1];
	size_t n = 0;
	int more;

	if (at == NULL)
		return 0;
	n = write_path(out, room, at->up);
	if (at->key != NULL) {
		write_key(key, sizeof(key), at->key);
		more = snprintf(out + n, room - n, "%s%s", n > 0 ? "." : "", key);
	} else {
		more = snprintf(out + n, room - n, "[%zu]", at->index);
	}
	n += more > 0 ? (size_t)more : 0;
	return n < room ? n : room - 1;
}

int
spot_invalid(struct hw_err *err, const struct spot *at, const char *fmt, ...)
{
	char path[PATH_MAX_BYTES] = "";
	va_list ap;

	va_start(ap, fmt);
	hw_err_vset(err, HW_EDOCUMENTCONTENT, fmt, ap);
	va_end(ap);
	if (at != NULL && write_path(path, sizeof(path), at) > 0)
		hw_err_prefix(err, "%s", path);
	return HW_EDOCUMENTCONTENT;
}

/* --- members ---------------------------------------------------------------------------------- */

static const char *
type_name(json_type type)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "a map",
		[JSON_ARRAY] = "a list",
		[JSON_STRING] = "a text",
		[JSON_INTEGER] = "a number",
	};

	return names[type];
}

int
spot_member(const json_t **ret, const json_t *object, const char *key, json_type type,
	const struct spot *at, struct hw_err *err)
{
	const struct spot here = {at, key, 0};
	const json_t *value = json_object_get(object, key);

	if (value != NULL && json_typeof(value) != type)
		return spot_invalid(err, &here, "it must be %s", type_name(type));
	*ret = value;
	return 0;
}

static bool
has_control(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if ((*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') || *p == 0x7f)
			return true;
	}
	return false;
}

int
spot_text(const char **ret, const json_t *object, const char *key, const struct spot *at,
	struct hw_err *err)
{
	const struct spot here = {at, key, 0};
	const json_t *value;
	int r = spot_member(&value, object, key, JSON_STRING, at, err);

	if (r < 0)
		return r;
	const char *text = value != NULL ? json_string_value(value) : NULL;
	if (text != NULL && has_control(text))
		return spot_invalid(err, &here, "it has a control character");
	*ret = text;
	return 0;
}

int
spot_known(const json_t *object, const char *const *names, const struct spot *at,
	struct hw_err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		const struct spot here = {at, key, 0};
		const char *const *name = names;
		while (*name != NULL && strcmp(*name, key) != 0)
			name++;
		if (*name == NULL)
			return spot_invalid(err, &here, "nothing of that name belongs here");
	}
	return 0;
}
