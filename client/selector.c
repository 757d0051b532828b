#include "client/selector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/id.h"

#define TERMS_MAX  64
#define VALUES_MAX 100

/* --- patterns -------------------------------------------------------------------------------- */

enum { GLOB_FOLD = 1, GLOB_RANGES = 2 };

static bool glob(const char *pattern, const char *name, int flags);

/* One item of a range list, "01-20" or "7", against the digits p[0..n). */
static bool
item_has(const char *item, size_t len, const char *digits, size_t n)
{
	const char *dash = memchr(item, '-', len);
	size_t low_len = dash != NULL ? (size_t)(dash - item) : len;
	unsigned long long low = strtoull(item, NULL, 10);
	unsigned long long high = dash != NULL ? strtoull(dash + 1, NULL, 10) : low;
	unsigned long long v;
	char text[20];

	if (n >= sizeof(text))
		return false;
	memcpy(text, digits, n); /* more digits may follow them */
	text[n] = '\0';
	v = strtoull(text, NULL, 10);
	if (v < low || v > high)
		return false;
	if (low_len > 1 && item[0] == '0')
		return n == low_len; /* padded: web-[01-20] has no web-1 */
	return n == 1 || digits[0] != '0';
}

static bool
range_has(const char *list, const char *end, const char *digits, size_t n)
{
	while (list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list));
		const char *stop = comma != NULL ? comma : end;
		if (item_has(list, (size_t)(stop - list), digits, n))
			return true;
		list = stop + 1;
	}
	return false;
}

static bool
glob_range(const char *pattern, const char *name, int flags)
{
	const char *end = strchr(pattern, ']');

	hw_assert(end != NULL); /* check_pattern saw it */
	for (size_t n = 1; isdigit((unsigned char)name[n - 1]); n++) {
		if (range_has(pattern + 1, end, name, n) && glob(end + 1, name + n, flags))
			return true;
	}
	return false;
}

static bool
same(char a, char b, int flags)
{
	return (flags & GLOB_FOLD) ? tolower((unsigned char)a) == tolower((unsigned char)b)
				   : a == b;
}

static bool
begins_range(char c, int flags)
{
	return c == '[' && (flags & GLOB_RANGES);
}

/* A '*' needs to be tried again from the last one only, so this takes no exponential time. */
static bool
glob(const char *pattern, const char *name, int flags)
{
	const char *star = NULL, *retry = NULL;

	while (true) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
		} else if (begins_range(*pattern, flags) && glob_range(pattern, name, flags)) {
			return true;
		} else if (*name != '\0' && *pattern != '\0' && !begins_range(*pattern, flags) &&
			(*pattern == '?' || same(*pattern, *name, flags))) {
			pattern++;
			name++;
		} else if (*pattern == '\0' && *name == '\0') {
			return true;
		} else if (star != NULL && *retry != '\0') {
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
}

bool
selector_glob(const char *pattern, const char *name)
{
	return glob(pattern, name, GLOB_RANGES);
}

static bool
is_pattern(const char *text)
{
	return strpbrk(text, "*?[") != NULL;
}

/* Brackets hold numbers and ranges of them, or the glob above would read nonsense. */
static int
check_pattern(const char *text, struct hw_err *err)
{
	const char *at = text;
	size_t ranges = 0;

	while ((at = strpbrk(at, "[]")) != NULL) {
		size_t n = strspn(at + 1, "0123456789-,");
		if (*at == ']' || at[n + 1] != ']' || n == 0 || n > 200)
			return hw_err_set(err, HW_EUSAGE,
				"'%s': brackets hold numbers, as in web-[01-20,24]", text);
		for (size_t i = 1; i <= n; i++) {
			bool digit = isdigit((unsigned char)at[i]);
			if (!digit &&
				!(isdigit((unsigned char)at[i - 1]) &&
					isdigit((unsigned char)at[i + 1])))
				return hw_err_set(err, HW_EUSAGE, "'%s': a range is FROM-TO", text);
		}
		if (++ranges > 4)
			return hw_err_set(err, HW_EUSAGE, "'%s': at most four ranges in a name",
				text);
		at += n + 2;
	}
	return 0;
}

/* --- parsing --------------------------------------------------------------------------------- */

struct parsing {
	struct arena *a;
	struct hw_err *err;
	const char *text; /* the whole selector */
};

static int
one_value(struct parsing *p, struct term *t, const char *value)
{
	const char **values = arena_array(p->a, 1, sizeof(*values));

	if (values == NULL)
		return hw_err_set(p->err, HW_ENOMEM, "out of memory");
	values[0] = value;
	t->values = values;
	t->n_values = 1;
	return 0;
}

static int
parse_tag(struct parsing *p, struct term *t, char *text)
{
	char *equals = strchr(text, '=');

	t->kind = TERM_TAG;
	t->key = text;
	if (equals != NULL && equals > text && equals[-1] == '!') {
		t->negated = true;
		equals[-1] = '\0';
	}
	if (text[0] == '\0' || equals == text)
		return hw_err_set(p->err, HW_EUSAGE, "'%s': a tag is tag:KEY=VALUE", p->text);
	if (equals == NULL)
		return 0;
	*equals = '\0';
	return one_value(p, t, equals + 1);
}

static const struct {
	const char *name;
	int status; /* 0: any but online */
} status_names[] = {
	{"online",	   PING_STATUS_ONLINE	     },
	{"away",		 PING_STATUS_CONNECTION_LOST},
	{"connectionlost", PING_STATUS_CONNECTION_LOST},
	{"inactive",	     PING_STATUS_INACTIVE	 },
	{"offline",	    0			  },
};
#define STATUS_NAMES (sizeof(status_names) / sizeof(status_names[0]))

static int
check_status(struct parsing *p, const char *text)
{
	for (size_t i = 0; i < STATUS_NAMES; i++) {
		if (strcasecmp(text, status_names[i].name) == 0)
			return 0;
	}
	return hw_err_set(p->err, HW_EUSAGE, "'%s': a status is online, offline, away or inactive",
		p->text);
}

static int
parse_term(struct parsing *p, struct term *t, char *text)
{
	int r;

	if (text[0] == '\0')
		return hw_err_set(p->err, HW_EUSAGE, "'%s' has an empty part", p->text);
	if (strncmp(text, "tag:", 4) == 0)
		return parse_tag(p, t, text + 4);
	if (strncmp(text, "os:", 3) == 0) {
		t->kind = TERM_OS;
		return one_value(p, t, text + 3);
	}
	if (strncmp(text, "status:", 7) == 0) {
		t->kind = TERM_STATUS;
		return (r = check_status(p, text + 7)) < 0 ? r : one_value(p, t, text + 7);
	}
	if (strcmp(text, "last:failed") == 0) {
		t->kind = TERM_LAST;
		return one_value(p, t, text + 5);
	}
	if (strncmp(text, "last:", 5) == 0)
		return hw_err_set(p->err, HW_EUSAGE, "'%s': of last: only last:failed", p->text);
	if (text[0] == '@') {
		t->kind = TERM_GROUP;
		if (text[1] == '\0')
			return hw_err_set(p->err, HW_EUSAGE,
				"'%s': a name follows the @, one of hawser selector ls", p->text);
		return one_value(p, t, text + 1);
	}
	if ((r = check_pattern(text, p->err)) < 0)
		return r;
	t->kind = id_is_node(text) ? TERM_ID : TERM_NAME;
	return one_value(p, t, text);
}

/* "Key=tag:Env,Values=prod,test" */
static int
parse_aws(struct parsing *p, struct term *t, char *text)
{
	static const struct {
		const char *name;
		enum term_kind kind;
	} keys[] = {
		{"InstanceIds",	TERM_ID    },
		{"Name",	 TERM_NAME  },
		{"PlatformName", TERM_OS	},
		{"PingStatus",   TERM_STATUS},
	};
	char *key = text + strlen("Key="), *list = strstr(key, ",Values=");
	const char **values = arena_array(p->a, VALUES_MAX, sizeof(*values));
	char *value;
	int r;

	if (values == NULL)
		return hw_err_set(p->err, HW_ENOMEM, "out of memory");
	if (list == NULL)
		return hw_err_set(p->err, HW_EUSAGE, "'%s': Key= wants Values= after it", p->text);
	*list = '\0';
	list += strlen(",Values=");
	t->kind = TERM_TAG;
	if (strncmp(key, "tag:", 4) == 0 && key[4] != '\0') {
		t->key = key + 4;
	} else {
		size_t i = 0, n = sizeof(keys) / sizeof(keys[0]);
		while (i < n && strcmp(key, keys[i].name) != 0)
			i++;
		if (i == n)
			return hw_err_set(p->err, HW_EUSAGE,
				"'%s': the key is tag:KEY, InstanceIds, Name, PlatformName or PingStatus",
				p->text);
		t->kind = keys[i].kind;
	}
	while ((value = strsep(&list, ",")) != NULL) {
		if (t->n_values == VALUES_MAX)
			return hw_err_set(p->err, HW_EUSAGE, "'%s': at most %d values", p->text,
				VALUES_MAX);
		if (t->kind == TERM_STATUS && (r = check_status(p, value)) < 0)
			return r;
		if (t->kind == TERM_NAME && (r = check_pattern(value, p->err)) < 0)
			return r;
		values[t->n_values++] = value;
	}
	t->values = values;
	return 0;
}

/* The next part, as strsep does it; commas in brackets belong to their range. */
static char *
next_part(char **rest)
{
	char *part = *rest, *at = part;
	bool inside = false;

	if (part == NULL)
		return NULL;
	for (; *at != '\0' && (inside || *at != ','); at++)
		inside = *at == '[' || (inside && *at != ']');
	*rest = *at == ',' ? at + 1 : NULL;
	*at = '\0';
	return part;
}

int
selector_parse(struct selector *ret, struct arena *a, const char *text, struct hw_err *err)
{
	struct parsing p = {.a = a, .err = err, .text = text};
	struct selector s = {.text = text};
	char *copy = arena_strdup(a, text), *part;
	int r;

	s.terms = arena_array(a, TERMS_MAX, sizeof(*s.terms));
	if (copy == NULL || s.terms == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (strncmp(copy, "Key=", 4) == 0) {
		r = parse_aws(&p, &s.terms[s.n++], copy);
		*ret = s;
		return r;
	}
	while ((part = next_part(&copy)) != NULL) {
		if (s.n == TERMS_MAX)
			return hw_err_set(err, HW_EUSAGE, "'%s': at most %d parts", text,
				TERMS_MAX);
		if ((r = parse_term(&p, &s.terms[s.n++], part)) < 0)
			return r;
	}
	*ret = s;
	return 0;
}

/* --- matching -------------------------------------------------------------------------------- */

const char *
node_name(const struct msg_instance_information *node)
{
	if (node->name != NULL && node->name[0] != '\0')
		return node->name;
	return node->instance_id != NULL ? node->instance_id : "";
}

const char *
node_status(const struct msg_instance_information *node)
{
	for (size_t i = 0; i < STATUS_NAMES; i++) {
		if (status_names[i].status != 0 && status_names[i].status == node->ping_status)
			return status_names[i].name;
	}
	return "unknown";
}

static bool
status_matches(const char *wanted, const struct msg_instance_information *node)
{
	for (size_t i = 0; i < STATUS_NAMES; i++) {
		if (strcasecmp(wanted, status_names[i].name) == 0)
			return status_names[i].status != 0
				? status_names[i].status == node->ping_status
				: node->ping_status != PING_STATUS_ONLINE;
	}
	return false;
}

/* "debian", or with the version behind it: "debian 12", "debian-12". */
static bool
os_matches(const char *wanted, const struct msg_instance_information *node)
{
	const char *name = node->platform_name, *version = node->platform_version;
	size_t n;

	if (name == NULL)
		return false;
	if (glob(wanted, name, GLOB_FOLD))
		return true;
	n = strlen(name);
	if (version == NULL || strncasecmp(wanted, name, n) != 0)
		return false;
	return (wanted[n] == ' ' || wanted[n] == '-') && glob(wanted + n + 1, version, GLOB_FOLD);
}

static bool
tag_matches(const struct term *t, const struct msg_instance_information *node)
{
	for (size_t i = 0; i < node->tags.n; i++) {
		const struct msg_tag *tag = &node->tags.v[i];
		if (strcmp(tag->key, t->key) != 0)
			continue;
		for (size_t k = 0; k < t->n_values; k++) {
			if (glob(t->values[k], tag->value != NULL ? tag->value : "", 0))
				return true;
		}
		return t->n_values == 0;
	}
	return false;
}

static bool
value_matches(enum term_kind kind, const char *value, const struct msg_instance_information *node)
{
	switch (kind) {
	case TERM_NAME:
		return glob(value, node_name(node), GLOB_RANGES);
	case TERM_ID:
		return node->instance_id != NULL && strcmp(value, node->instance_id) == 0;
	case TERM_OS:
		return os_matches(value, node);
	case TERM_STATUS:
		return status_matches(value, node);
	case TERM_TAG:
	case TERM_LAST:
	case TERM_GROUP:
		break;
	}
	return false;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of ten thousand ids not each is looked at for each of ten thousand nodes. */
static bool
has_id(const struct term *t, const struct msg_instance_information *node)
{
	return node->instance_id != NULL &&
		bsearch(&node->instance_id, t->values, t->n_values, sizeof(t->values[0]),
			compare_texts) != NULL;
}

static bool
term_matches(const struct term *t, const struct msg_instance_information *node)
{
	bool found = false;

	if (t->kind == TERM_TAG)
		return tag_matches(t, node) != t->negated;
	if (t->kind == TERM_ID && t->sorted && t->n_values > 0)
		return has_id(t, node) != t->negated;
	for (size_t i = 0; i < t->n_values && !found; i++)
		found = value_matches(t->kind, t->values[i], node);
	return found != t->negated;
}

bool
selector_match(const struct selector *s, const struct msg_instance_information *node)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!term_matches(&s->terms[i], node))
			return false;
	}
	return true;
}

/* --- what the relay can do ------------------------------------------------------------------- */

/* Its key for a term whose values are all exact, or NULL. */
static const char *
filter_key(struct arena *a, const struct term *t)
{
	if (t->negated || t->n_values == 0 || t->n_values > VALUES_MAX)
		return NULL;
	for (size_t i = 0; i < t->n_values; i++) {
		if (t->values[i][0] == '\0' || (t->kind != TERM_STATUS && is_pattern(t->values[i])))
			return NULL;
	}
	switch (t->kind) {
	case TERM_NAME:
		return "Name";
	case TERM_ID:
		return "InstanceIds";
	case TERM_TAG:
		return arena_printf(a, "tag:%s", t->key);
	case TERM_STATUS:
		return t->n_values == 1 && strcasecmp(t->values[0], "online") == 0 ? "PingStatus"
										   : NULL;
	case TERM_OS:
	case TERM_LAST:
	case TERM_GROUP:
		return NULL;
	}
	return NULL;
}

int
selector_filters(struct msg_describe_instance_information_request *req, struct arena *a,
	const struct selector *s)
{
	static const char *const online[] = {"Online"};

	req->filters.v = arena_array(a, s->n, sizeof(*req->filters.v));
	if (req->filters.v == NULL)
		return HW_ENOMEM;
	req->filters.n = 0;
	for (size_t i = 0; i < s->n && req->filters.n < 5; i++) {
		const struct term *t = &s->terms[i];
		const char *key = filter_key(a, t);
		struct msg_instance_string_filter *f = &req->filters.v[req->filters.n];

		if (key == NULL || strlen(key) > 132)
			continue;
		f->key = key;
		f->values.v = t->kind == TERM_STATUS ? (const char **)(void *)online
						     : (const char **)(void *)t->values;
		f->values.n = t->n_values;
		req->filters.n++;
	}
	return 0;
}

/* --- as targets ------------------------------------------------------------------------------- */

static const char *
target_key(struct arena *a, const struct term *t)
{
	switch (t->kind) {
	case TERM_NAME:
		return "Name";
	case TERM_ID:
		return "InstanceIds";
	case TERM_TAG:
		return arena_printf(a, "tag:%s", t->key);
	case TERM_GROUP:
		return "resource-groups:Name";
	case TERM_OS:
	case TERM_STATUS:
	case TERM_LAST:
		return NULL;
	}
	return NULL;
}

/* What stands for other text here must do so there: a * in a name alone does. */
static bool
target_term(struct msg_command_target *target, struct arena *a, const struct term *t)
{
	const char *key = t->negated ? NULL : target_key(a, t);

	if (key == NULL || strlen(key) > 163)
		return false;
	for (size_t i = 0; i < t->n_values; i++)
		if (t->values[i][0] == '\0' ||
			strpbrk(t->values[i], t->kind == TERM_NAME ? "?[" : "*?") != NULL)
			return false;
	target->key = key;
	target->values = (struct msg_strs){.v = (const char **)(void *)t->values, .n = t->n_values};
	return true;
}

bool
selector_targets(struct msg_command_target targets[SELECTOR_TARGETS], size_t *n, struct arena *a,
	const struct selector *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (i == SELECTOR_TARGETS || !target_term(&targets[i], a, &s->terms[i]))
			return false;
	*n = s->n;
	return true;
}
