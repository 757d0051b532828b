#include "relay/policy/context.h"

#include <string.h>

#include "proto/base/arena.h"
#include "relay/policy/policy.h"

static bool
is_prefix_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-';
}

bool
context_key_valid(const char *text, size_t n)
{
	size_t prefix = 0;

	while (prefix < n && is_prefix_char(text[prefix]))
		prefix++;
	if (prefix == 0 || prefix + 1 >= n || n > CONTEXT_KEY_MAX || text[prefix] != ':' ||
		text[n - 1] == ' ')
		return false;
	for (size_t i = prefix + 1; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < ' ' || c == 0x7f || strchr("{}$,'\"*?\\", c) != NULL)
			return false;
	}
	return true;
}

struct prefix_row {
	const char *prefix;
	enum context_source source;
};

static const struct prefix_row prefixes[] = {
	{"ssm:resourcetag/",  CONTEXT_RESOURCE_TAGS },
	{"aws:resourcetag/",  CONTEXT_RESOURCE_TAGS },
	{"aws:principaltag/", CONTEXT_PRINCIPAL_TAGS},
	{"aws:requesttag/",   CONTEXT_REQUEST_TAGS	},
};

/* Whose session it is, is known only with the session. */
static const char owner[] = "hawser:sessionowner";

bool
context_key_init(struct context_key *key, struct arena *a, const char *text, size_t n)
{
	char *name = arena_strndup(a, text, n);

	if (name == NULL)
		return false;
	for (char *c = name; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	*key = (struct context_key){.name = name, .tag = name, .source = CONTEXT_KEYS};
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i].prefix);
		if (strncmp(name, prefixes[i].prefix, len) != 0)
			continue;
		key->tag = name + len;
		key->source = prefixes[i].source;
	}
	key->of_resource = key->source == CONTEXT_RESOURCE_TAGS || strcmp(name, owner) == 0;
	return true;
}

static bool
find_tag(struct context_values *ret, const struct policy_tags *tags, const char *name)
{
	size_t from = 0, to = tags == NULL ? 0 : tags->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(tags->v[middle].key, name);
		if (order == 0) {
			*ret = (struct context_values){&tags->v[middle].value, 1};
			return true;
		}
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

static bool
find_key(struct context_values *ret, const struct policy_request *what, const char *name)
{
	for (size_t i = 0; i < what->n_keys; i++) {
		if (strcmp(what->keys[i].key, name) == 0) {
			*ret = (struct context_values){what->keys[i].values, what->keys[i].n};
			return true;
		}
	}
	return false;
}

bool
context_find(struct context_values *ret, const struct context_key *key,
	const struct policy_request *what)
{
	switch (key->source) {
	case CONTEXT_KEYS:
		return find_key(ret, what, key->tag);
	case CONTEXT_RESOURCE_TAGS:
		return find_tag(ret, what->resource_tags, key->tag);
	case CONTEXT_PRINCIPAL_TAGS:
		return find_tag(ret, what->principal_tags, key->tag);
	case CONTEXT_REQUEST_TAGS:
		return find_tag(ret, what->request_tags, key->tag);
	}
	return false;
}
