#include "relay/policy/document.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "relay/policy/locate.h"
#include "relay/policy/policy.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

struct reader {
	struct policy *policy;
	struct arena *arena;
	const char *text;
	size_t n;
	size_t values;	/* counted against DOCUMENT_VALUES_MAX */
	bool variables; /* the Version says that ${...} is more than text */
	struct hw_err *err;
};

/* --- sentences -------------------------------------------------------------------------------- */

#define SHOWN_MAX 48

/* A value of the document for a sentence of ours: short, and without anything that a terminal or a
 * log might take for more than text. */
struct shown {
	char text[SHOWN_MAX + sizeof("...")];
};

static struct shown
shown(const char *text)
{
	struct shown s;
	size_t n = 0;

	for (; text[n] != '\0' && n < SHOWN_MAX; n++)
		s.text[n] = (char)(text[n] >= ' ' && text[n] <= '~' ? text[n] : '?');
	strcpy(s.text + n, text[n] != '\0' ? "..." : "");
	return s;
}

static int HW_PRINTF(3, 0)
	vbad_at(const struct reader *rd, size_t offset, const char *fmt, va_list ap)
{
	struct place at;

	locate_place(&at, rd->text, rd->n, offset);
	hw_err_vset(rd->err, HW_EMALFORMED, fmt, ap);
	hw_err_prefix(rd->err, "line %zu, column %zu", at.line, at.column);
	return HW_EMALFORMED;
}

static int HW_PRINTF(3, 4) bad_at(const struct reader *rd, size_t offset, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = vbad_at(rd, offset, fmt, ap);
	va_end(ap);
	return r;
}

static int HW_PRINTF(3, 4) bad(const struct reader *rd, const struct where *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = vbad_at(rd, locate_value(rd->text, rd->n, w, false), fmt, ap);
	va_end(ap);
	return r;
}

static int HW_PRINTF(3, 4)
	bad_key(const struct reader *rd, const struct where *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = vbad_at(rd, locate_value(rd->text, rd->n, w, true), fmt, ap);
	va_end(ap);
	return r;
}

static int
no_memory(const struct reader *rd)
{
	return hw_err_set(rd->err, HW_ENOMEM, "no memory to read the policy");
}

/* --- texts ------------------------------------------------------------------------------------ */

static int
read_string(const char **ret, const struct reader *rd, json_t *v, const struct where *w,
	const char *name)
{
	if (!json_is_string(v))
		return bad(rd, w, "%s must be a string", name);
	*ret = json_string_value(v);
	return 0;
}

/* What reads one text of a list; `made` is where to. */
typedef int read_text_fn(struct reader *rd, void *made, const char *text, const struct where *w);

static int
count_value(struct reader *rd, const struct where *w)
{
	if (++rd->values > DOCUMENT_VALUES_MAX)
		return bad(rd, w, "a policy has at most %d actions, resources and values in all",
			DOCUMENT_VALUES_MAX);
	return 0;
}

/* A number with a fraction, as the document writes it: what a double makes of it may differ. */
static const char *
real_text(char *room, size_t size, const struct reader *rd, const struct where *w)
{
	size_t at = locate_value(rd->text, rd->n, w, false), n = 0;

	while (at + n < rd->n && n < size - 1 &&
		strchr("+-.eE0123456789", rd->text[at + n]) != NULL)
		n++;
	memcpy(room, rd->text + at, n);
	room[n] = '\0';
	return room;
}

/* A condition's value may be written without quotes, when it is a number or a truth. */
static const char *
plain_text(char *room, size_t size, const struct reader *rd, json_t *v, const struct where *w)
{
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "true" : "false";
	if (json_is_real(v))
		return real_text(room, size, rd, w);
	if (!json_is_integer(v))
		return NULL;
	snprintf(room, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return room;
}

static size_t
list_length(json_t *v)
{
	return json_is_array(v) ? json_array_size(v) : 1;
}

static int
read_element(struct reader *rd, json_t *v, const struct where *w, const char *name, bool quoted,
	read_text_fn *read, void *made)
{
	char room[64];
	const char *text = plain_text(room, sizeof(room), rd, v, w);
	int r;

	if (text == NULL || (quoted && !json_is_string(v)))
		return bad(rd, w, "%s must be a string or a list of strings", name);
	if ((r = count_value(rd, w)) < 0)
		return r;
	return read(rd, made, text, w);
}

/* A text or a list of texts, which is not empty. */
static int
read_texts(struct reader *rd, json_t *v, const struct where *w, const char *name, bool quoted,
	read_text_fn *read, void *made)
{
	struct where at = {w, 0};
	json_t *element;
	int r;

	if (!json_is_array(v))
		return read_element(rd, v, w, name, quoted, read, made);
	if (json_array_size(v) == 0)
		return bad(rd, w, "%s is an empty list: leave it out, or name something", name);
	json_array_foreach(v, at.index, element) {
		if ((r = read_element(rd, element, &at, name, quoted, read, made)) < 0)
			return r;
	}
	return 0;
}

/* --- actions and resources -------------------------------------------------------------------- */

static bool
is_action_char(char c, bool service)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '*' || c == '?' || (service && c == '-');
}

bool
document_action_valid(const char *action)
{
	const char *p = action;

	if (strcmp(action, "*") == 0)
		return true;
	if (strlen(action) > DOCUMENT_ACTION_MAX)
		return false;
	while (is_action_char(*p, true))
		p++;
	if (p == action || *p != ':')
		return false;
	const char *name = ++p;
	while (is_action_char(*p, false))
		p++;
	return p > name && *p == '\0';
}

static void
list_add(struct pattern_list *list, const struct pattern *p)
{
	list->v[list->n++] = *p;
	list->any |= pattern_is_any(p);
	list->variables |= p->variables > 0;
	list->of_resource |= p->of_resource;
}

static int
read_action(struct reader *rd, void *made, const char *text, const struct where *w)
{
	struct pattern p;

	if (!document_action_valid(text))
		return bad(rd, w,
			"\"%s\" is no action: it must be like ssm:StartSession, ssm:* or *",
			shown(text).text);
	if (pattern_compile(&p, rd->arena, text, strlen(text), PATTERN_WILDCARDS | PATTERN_FOLD))
		return no_memory(rd);
	list_add(made, &p);
	return 0;
}

static int
read_resource(struct reader *rd, void *made, const char *text, const struct where *w)
{
	unsigned flags = PATTERN_WILDCARDS | (rd->variables ? PATTERN_VARIABLES : 0u);
	const char *wrong = condition_arn_wrong(text, strlen(text), rd->variables);
	struct pattern p;

	if (wrong == NULL)
		wrong = pattern_compile(&p, rd->arena, text, strlen(text), flags);
	if (wrong != NULL)
		return bad(rd, w, "\"%s\" names no resource: %s", shown(text).text, wrong);
	list_add(made, &p);
	return 0;
}

static int
read_list(struct reader *rd, struct pattern_list *list, json_t *v, const struct where *w,
	const char *name, read_text_fn *read)
{
	if (list->v != NULL)
		return bad_key(rd, w,
			"%s stands beside its opposite: a statement has one of the two", name);
	list->v = arena_array(rd->arena, list_length(v) + 1, sizeof(*list->v));
	list->negated = strncmp(name, "Not", 3) == 0;
	if (list->v == NULL)
		return no_memory(rd);
	return read_texts(rd, v, w, name, true, read, list);
}

/* --- conditions ------------------------------------------------------------------------------- */

static int
read_value(struct reader *rd, void *made, const char *text, const struct where *w)
{
	const char *wrong = condition_add(made, rd->arena, text, rd->variables);

	if (wrong != NULL)
		return bad(rd, w, "\"%s\" can't be compared: %s", shown(text).text, wrong);
	return 0;
}

/* `c` has its operator; the rest of it follows from the key and its values. */
static int
read_condition(struct reader *rd, struct condition *c, const char *key, json_t *v,
	const struct where *w)
{
	if (!context_key_valid(key, strlen(key)))
		return bad_key(rd, w, "\"%s\" is no condition key: it must be like aws:username",
			shown(key).text);
	c->key_text = arena_strdup(rd->arena, key);
	c->values = arena_array(rd->arena, list_length(v) + 1, sizeof(*c->values));
	if (c->key_text == NULL || c->values == NULL ||
		!context_key_init(&c->key, rd->arena, key, strlen(key)))
		return no_memory(rd);
	c->of_resource = c->key.of_resource;
	return read_texts(rd, v, w, "the value of a condition", false, read_value, c);
}

static int
read_operator(struct reader *rd, struct statement *s, const char *name, json_t *v,
	const struct where *w)
{
	struct where at = {w, 0};
	struct condition op = {0};
	const char *key;
	json_t *value;
	int r;

	if (!condition_operator(&op, name))
		return bad_key(rd, w, "\"%s\" is no condition operator", shown(name).text);
	if (!json_is_object(v) || json_object_size(v) == 0)
		return bad(rd, w, "%s must be an object of condition keys and their values",
			shown(name).text);
	json_object_foreach(v, key, value) {
		struct condition *c = &s->conditions[s->n_conditions++];
		*c = op;
		if ((r = read_condition(rd, c, key, value, &at)) < 0)
			return r;
		at.index++;
	}
	return 0;
}

static size_t
count_keys(json_t *conditions)
{
	const char *name;
	size_t found = 0;
	json_t *v;

	json_object_foreach(conditions, name, v) {
		found += json_object_size(v);
	}
	return found;
}

static int
read_conditions(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	struct where at = {w, 0};
	const char *name;
	json_t *keys;
	int r;

	if (!json_is_object(v))
		return bad(rd, w, "Condition must be an object of operators");
	s->conditions = arena_array(rd->arena, count_keys(v) + 1, sizeof(*s->conditions));
	if (s->conditions == NULL)
		return no_memory(rd);
	json_object_foreach(v, name, keys) {
		if ((r = read_operator(rd, s, name, keys, &at)) < 0)
			return r;
		at.index++;
	}
	return 0;
}

/* --- statements ------------------------------------------------------------------------------- */

typedef int read_member_fn(struct reader *rd, struct statement *s, json_t *v,
	const struct where *w);

static bool
sid_valid(const char *sid)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _.-";

	return strlen(sid) <= DOCUMENT_SID_MAX && sid[strspn(sid, allowed)] == '\0';
}

static int
read_sid(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	const char *sid;
	int r;

	if ((r = read_string(&sid, rd, v, w, "Sid")) < 0)
		return r;
	if (!sid_valid(sid))
		return bad(rd, w,
			"Sid is \"%s\": it has letters, digits, blanks, _ . and -, %d at most",
			shown(sid).text, DOCUMENT_SID_MAX);
	for (size_t i = 0; i < rd->policy->n && *sid != '\0'; i++)
		if (strcmp(rd->policy->statements[i].sid, sid) == 0)
			return bad(rd, w, "Sid \"%s\" is that of another statement too", sid);
	s->sid = arena_strdup(rd->arena, sid);
	return s->sid == NULL ? no_memory(rd) : 0;
}

static int
read_effect(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	const char *effect;
	int r;

	if ((r = read_string(&effect, rd, v, w, "Effect")) < 0)
		return r;
	s->allow = strcmp(effect, "Allow") == 0;
	if (!s->allow && strcmp(effect, "Deny") != 0)
		return bad(rd, w, "Effect is \"%s\": it must be Allow or Deny", shown(effect).text);
	return 0;
}

static int
read_actions(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	return read_list(rd, &s->actions, v, w, "Action", read_action);
}

static int
read_not_actions(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	return read_list(rd, &s->actions, v, w, "NotAction", read_action);
}

static int
read_resources(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	return read_list(rd, &s->resources, v, w, "Resource", read_resource);
}

static int
read_not_resources(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	return read_list(rd, &s->resources, v, w, "NotResource", read_resource);
}

static int
read_principal(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	(void)s, (void)v;
	return bad_key(rd, w,
		"Principal and NotPrincipal have no place here: a policy speaks of whom it is "
		"attached to");
}

struct member_row {
	const char *name;
	read_member_fn *read;
};

static const struct member_row members[] = {
	{"Sid",		read_sid		},
	{"Effect",	   read_effect	      },
	{"Action",	   read_actions      },
	{"NotAction",    read_not_actions  },
	{"Resource",     read_resources	   },
	{"NotResource",	read_not_resources},
	{"Condition",    read_conditions   },
	{"Principal",    read_principal    },
	{"NotPrincipal", read_principal    },
};

static int
read_member(struct reader *rd, struct statement *s, const char *name, json_t *v,
	const struct where *w)
{
	for (size_t i = 0; i < COUNT(members); i++)
		if (strcmp(members[i].name, name) == 0)
			return members[i].read(rd, s, v, w);
	return bad_key(rd, w, "\"%s\" is no element of a statement", shown(name).text);
}

static int
read_statement(struct reader *rd, struct statement *s, json_t *v, const struct where *w)
{
	struct where at = {w, 0};
	const char *name;
	json_t *member;
	int r;

	s->sid = "";
	if (!json_is_object(v))
		return bad(rd, w, "a statement must be an object");
	json_object_foreach(v, name, member) {
		if ((r = read_member(rd, s, name, member, &at)) < 0)
			return r;
		at.index++;
	}
	if (json_object_get(v, "Effect") == NULL)
		return bad(rd, w, "the statement has no Effect: it must be Allow or Deny");
	if (s->actions.n == 0)
		return bad(rd, w, "the statement has neither Action nor NotAction");
	if (s->resources.n == 0)
		return bad(rd, w, "the statement has neither Resource nor NotResource");
	rd->policy->n++;
	return 0;
}

static int
read_statements(struct reader *rd, json_t *v, const struct where *w)
{
	struct where at = {w, 0};
	json_t *statement;
	int r;

	if (!json_is_array(v) && !json_is_object(v))
		return bad(rd, w, "Statement must be an object or a list of objects");
	size_t n = list_length(v);
	if (n == 0 || n > DOCUMENT_STATEMENTS_MAX)
		return bad(rd, w, "Statement has %zu of them: a policy has 1 to %d statements", n,
			DOCUMENT_STATEMENTS_MAX);
	rd->policy->statements = arena_array(rd->arena, n, sizeof(struct statement));
	if (rd->policy->statements == NULL)
		return no_memory(rd);
	if (json_is_object(v))
		return read_statement(rd, &rd->policy->statements[0], v, w);
	json_array_foreach(v, at.index, statement) {
		r = read_statement(rd, &rd->policy->statements[at.index], statement, &at);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the document ----------------------------------------------------------------------------- */

static int
read_version(struct reader *rd, json_t *v, const struct where *w)
{
	const char *version;
	int r;

	if ((r = read_string(&version, rd, v, w, "Version")) < 0)
		return r;
	rd->variables = strcmp(version, "2012-10-17") == 0;
	if (!rd->variables && strcmp(version, "2008-10-17") != 0)
		return bad(rd, w, "Version is \"%s\": it must be 2012-10-17 or 2008-10-17",
			shown(version).text);
	return 0;
}

/* The Version comes first, wherever it stands: it says what the rest means. */
static int
read_head(struct reader *rd, json_t *root, json_t **statements, size_t *at_statements)
{
	struct where at = {NULL, 0};
	const char *name, *id;
	json_t *v;
	int r = 0;

	json_object_foreach(root, name, v) {
		if (strcmp(name, "Version") == 0) {
			r = read_version(rd, v, &at);
		} else if (strcmp(name, "Id") == 0) {
			r = read_string(&id, rd, v, &at, "Id");
		} else if (strcmp(name, "Statement") == 0) {
			*statements = v;
			*at_statements = at.index;
		} else {
			r = bad_key(rd, &at, "\"%s\" is no element of a policy", shown(name).text);
		}
		if (r < 0)
			return r;
		at.index++;
	}
	return 0;
}

static int
read_root(struct reader *rd, json_t *root)
{
	struct where at = {NULL, 0};
	json_t *statements = NULL;
	int r;

	if (!json_is_object(root))
		return bad(rd, NULL, "a policy must be an object");
	if ((r = read_head(rd, root, &statements, &at.index)) < 0)
		return r;
	if (statements == NULL)
		return bad(rd, NULL, "the policy has no Statement");
	return read_statements(rd, statements, &at);
}

/* The parser's own words, without the piece of the document that it shows. */
static int
bad_syntax(const struct reader *rd, const json_error_t *e)
{
	if (strstr(e->text, "\\u0000") != NULL)
		return hw_err_set(rd->err, HW_EMALFORMED,
			"line %d, column %d: \\u0000 has no place in a policy", e->line, e->column);
	const char *near = strstr(e->text, " near ");
	int n = near != NULL ? (int)(near - e->text) : (int)strlen(e->text);

	return hw_err_set(rd->err, HW_EMALFORMED, "line %d, column %d: %.*s", e->line,
		e->column > 0 ? e->column : 1, n, e->text);
}

static size_t
first_bad_byte(const char *text, size_t n)
{
	size_t at = 0;

	while (at < n) {
		int len = utf8_next((const uint8_t *)text + at, n - at);
		if (len <= 0 || text[at] == '\0')
			break;
		at += (size_t)len;
	}
	return at;
}

/* What must be true of the text before it is given to the parser. */
static int
check_text(const struct reader *rd)
{
	size_t at;

	if (rd->n > POLICY_TEXT_MAX)
		return bad_at(rd, 0, "the policy has %zu bytes: %d are the most", rd->n,
			POLICY_TEXT_MAX);
	if ((at = first_bad_byte(rd->text, rd->n)) < rd->n)
		return bad_at(rd, at, "the byte 0x%02x does not belong to a text in UTF-8",
			(unsigned)(unsigned char)rd->text[at]);
	if ((at = locate_too_deep(rd->text, rd->n, DOCUMENT_DEPTH_MAX)) < rd->n)
		return bad_at(rd, at, "braces and brackets stand deeper than %d in each other",
			DOCUMENT_DEPTH_MAX);
	return 0;
}

int
document_read(struct policy *p, const char *text, size_t n, struct hw_err *err)
{
	struct reader rd = {.policy = p, .arena = p->arena, .text = text, .n = n, .err = err};
	json_error_t e;
	int r;

	if ((r = check_text(&rd)) < 0)
		return r;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
	if (root == NULL)
		return bad_syntax(&rd, &e);
	r = read_root(&rd, root);
	json_decref(root);
	return r;
}
