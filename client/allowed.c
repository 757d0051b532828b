#include "client/allowed.h"

#include <string.h>
#include <strings.h>

#include "proto/base/display.h"

#define TEXT_MAX (1u << 20)

/* An operation is of the first family that has a word of its name: TagUser is one of users. */
static const struct family {
	const char *name;
	const char *words[4]; /* up to a NULL */
} families[] = {
	{"sessions",    {"Session", "Recording"}		     },
	{"activations", {"Activation"}			      },
	{"keys",	 {"AccessKey"}			      },
	{"policies",    {"Polic", "Principal"}		   },
	{"groups",	   {"Group"}			      },
	{"users",	  {"User", "Invite"}			    },
	{"nodes",	  {"Instance", "Tag", "ConnectionStatus"}},
};

#define FAMILIES (sizeof(families) / sizeof(families[0]))

/* FAMILIES, which stands for others, when it has no word of any. */
static size_t
family_of(const char *operation)
{
	for (size_t i = 0; i < FAMILIES; i++) {
		for (const char *const *word = families[i].words; *word != NULL; word++) {
			if (strstr(operation, *word) != NULL)
				return i;
		}
	}
	return FAMILIES;
}

static bool
is_named(const struct op_row *op, const struct msg_strs *actions)
{
	for (size_t i = 0; i < actions->n; i++) {
		if (strcmp(actions->v[i], op->name) == 0 ||
			strcasecmp(actions->v[i], op->action) == 0)
			return true;
	}
	return false;
}

static bool
is_known(const char *action)
{
	for (size_t i = 0; i < OP_COUNT; i++) {
		if (op_rows[i].door == DOOR_USER &&
			(strcmp(action, op_rows[i].name) == 0 ||
				strcasecmp(action, op_rows[i].action) == 0))
			return true;
	}
	return false;
}

static void
add_name(struct buf *names, const char *name)
{
	buf_printf(names, "%s%s", names->len > 0 ? ", " : "", name);
}

/* The allowed ones of a family: false when there are others, which are not. */
static bool
collect(struct buf *names, const struct msg_strs *actions, size_t family)
{
	bool all = true;

	for (size_t i = 0; i < OP_COUNT; i++) {
		const struct op_row *op = &op_rows[i];

		if (op->door != DOOR_USER || family_of(op->name) != family)
			continue;
		if (is_named(op, actions))
			add_name(names, op->name);
		else
			all = false;
	}
	for (size_t i = 0; family == FAMILIES && i < actions->n; i++) {
		if (!is_known(actions->v[i]))
			add_name(names, actions->v[i]);
	}
	return all && family < FAMILIES;
}

static bool
is_everything(const struct msg_strs *actions)
{
	for (size_t i = 0; i < OP_COUNT; i++) {
		if (op_rows[i].door == DOOR_USER && !is_named(&op_rows[i], actions))
			return false;
	}
	return true;
}

/* A paragraph each, the first without its indent. */
static void
append_families(struct buf *out, const struct msg_strs *actions, size_t indent, size_t width)
{
	struct buf names;
	bool first = true;

	buf_init(&names, TEXT_MAX);
	for (size_t i = 0; i <= FAMILIES; i++) {
		bool all = collect(&names, actions, i);
		const char *name = i < FAMILIES ? families[i].name : "others", *text;

		if (names.len > 0 && (text = buf_str(&names)) != NULL) {
			size_t at = indent + strlen(name) + 2;
			buf_printf(out, "%*s%s: ", first ? 0 : (int)indent, "", name);
			display_wrap(out, all ? "all" : text, at, width);
			first = false;
		}
		buf_reset(&names);
	}
	buf_fini(&names);
}

/* The first lines of a text, and whether there are more. */
static void
append_lines(struct buf *out, const struct buf *text, size_t indent, size_t most)
{
	const uint8_t *at = buf_data(text), *end = at + text->len;
	size_t lines = 0, n = 0;

	for (const uint8_t *p = at; p < end; p++)
		lines += *p == '\n';
	if (lines <= most) {
		buf_append(out, at, text->len);
		return;
	}
	while (n + 1 < most) {
		const uint8_t *next = (const uint8_t *)memchr(at, '\n', (size_t)(end - at)) + 1;
		buf_append(out, at, (size_t)(next - at));
		at = next;
		n++;
	}
	buf_printf(out, "%*sand more: hawser status -o json\n", n > 0 ? (int)indent : 0, "");
}

void
allowed_append(struct buf *out, const struct msg_strs *actions, size_t indent, size_t width,
	size_t most)
{
	struct buf text;

	if (actions->n == 0 || is_everything(actions)) {
		buf_append_str(out,
			actions->n == 0 ? "nothing, until a policy allows it\n" : "everything\n");
		return;
	}
	buf_init(&text, TEXT_MAX);
	append_families(&text, actions, indent, width);
	append_lines(out, &text, indent, most);
	buf_fini(&text);
}
