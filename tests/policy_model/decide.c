/*
 * Decides what it reads, so that another program can compare: a JSON object on each line of stdin,
 * {"documents": [TEXT...], "requests": [{action, resource, alias, keys, resource_tags,
 * principal_tags, request_tags, named_key, literal}...]}, gives a line on stdout: a letter for each
 * document, o or x (malformed), then a word for each request: allow, deny or none, with document
 * and statement, + or - for what may ever be allowed, and a letter for each statement that says why
 * it did not apply.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "relay/policy/policy.h"

#define DOCUMENTS_MAX 16
#define LINE_MEMORY   (64u << 20)

struct documents {
	struct policy *parsed[DOCUMENTS_MAX]; /* NULL: malformed */
	struct policy_attachment set[DOCUMENTS_MAX];
	size_t position[DOCUMENTS_MAX]; /* of an attachment among the documents */
	size_t n, n_set;
};

static void
documents_read(struct documents *ret, json_t *texts)
{
	*ret = (struct documents){.n = json_array_size(texts)};
	hw_assert(ret->n <= DOCUMENTS_MAX);
	for (size_t i = 0; i < ret->n; i++) {
		struct hw_err err = HW_ERR_INIT;
		json_t *text = json_array_get(texts, i);
		int r = policy_parse(&ret->parsed[i], json_string_value(text),
			json_string_length(text), &err);
		putchar(r == 0 ? 'o' : 'x');
		hw_assert(r == 0 || (r == HW_EMALFORMED && strncmp(err.text, "line ", 5) == 0));
		if (r < 0)
			continue;
		ret->position[ret->n_set] = i;
		ret->set[ret->n_set++] = (struct policy_attachment){ret->parsed[i], "a policy"};
	}
}

static void
documents_fini(struct documents *d)
{
	for (size_t i = 0; i < d->n; i++)
		policy_free(d->parsed[i]);
}

static int
by_key(const void *a, const void *b)
{
	const struct policy_tag *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static const struct policy_tags *
tags_read(struct arena *a, json_t *object)
{
	struct policy_tags *tags = arena_alloc(a, sizeof(*tags));
	struct policy_tag *v = arena_array(a, json_object_size(object) + 1, sizeof(*v));
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return NULL;
	hw_assert(tags != NULL && v != NULL);
	json_object_foreach(object, key, value) {
		v[tags->n++] = (struct policy_tag){key, json_string_value(value)};
	}
	qsort(v, tags->n, sizeof(*v), by_key);
	tags->v = v;
	return tags;
}

static const char **
values_read(struct arena *a, json_t *list)
{
	const char **values = arena_array(a, json_array_size(list) + 1, sizeof(*values));

	hw_assert(values != NULL);
	for (size_t i = 0; i < json_array_size(list); i++)
		values[i] = json_string_value(json_array_get(list, i));
	return values;
}

static void
keys_read(struct policy_request *ret, struct arena *a, json_t *object)
{
	struct policy_key *keys = arena_array(a, json_object_size(object) + 1, sizeof(*keys));
	const char *key;
	json_t *list;

	hw_assert(keys != NULL);
	json_object_foreach(object, key, list) {
		keys[ret->n_keys++] =
			(struct policy_key){key, values_read(a, list), json_array_size(list)};
	}
	ret->keys = keys;
}

static void
request_read(struct policy_request *ret, struct arena *a, json_t *o)
{
	*ret = (struct policy_request){
		.action = json_string_value(json_object_get(o, "action")),
		.resource = json_string_value(json_object_get(o, "resource")),
		.alias = json_string_value(json_object_get(o, "alias")),
		.resource_tags = tags_read(a, json_object_get(o, "resource_tags")),
		.principal_tags = tags_read(a, json_object_get(o, "principal_tags")),
		.request_tags = tags_read(a, json_object_get(o, "request_tags")),
		.named_key = json_string_value(json_object_get(o, "named_key")),
		.literal = json_is_true(json_object_get(o, "literal")),
	};
	keys_read(ret, a, json_object_get(o, "keys"));
}

static void
print_misses(const struct documents *d, const struct policy_request *what)
{
	static const char letters[] = {
		[POLICY_APPLIES] = '=',
		[POLICY_MISS_ACTION] = 'a',
		[POLICY_MISS_RESOURCE] = 'r',
		[POLICY_MISS_CONDITION] = 'c',
		[POLICY_MISS_NAMED] = 'n',
	};
	const char *key, *wants;

	for (size_t i = 0; i < d->n_set; i++)
		for (size_t k = 0; k < policy_statements(d->set[i].policy); k++)
			putchar(letters[policy_explain(d->set[i].policy, k, what, &key, &wants)]);
}

static void
decide(const struct documents *d, const struct policy_request *what)
{
	static const char *const verdicts[] = {
		[POLICY_IMPLICIT_DENY] = "none",
		[POLICY_EXPLICIT_DENY] = "deny",
		[POLICY_ALLOW] = "allow",
	};
	struct policy_decision made;

	policy_decide(&made, d->set, d->n_set, what);
	size_t at = made.verdict == POLICY_IMPLICIT_DENY ? 0 : d->position[made.attachment];
	printf(" %s.%zu.%zu%c", verdicts[made.verdict], at,
		made.verdict == POLICY_IMPLICIT_DENY ? 0 : made.statement,
		policy_may_ever(d->set, d->n_set, what) ? '+' : '-');
	print_misses(d, what);
}

static void
run_line(const char *line, size_t n)
{
	json_error_t e;
	json_t *root = json_loadb(line, n, JSON_ALLOW_NUL, &e), *request;
	struct arena *a = arena_new(LINE_MEMORY);
	struct policy_request what;
	struct documents d;
	size_t i;

	hw_assert(root != NULL && a != NULL);
	documents_read(&d, json_object_get(root, "documents"));
	json_array_foreach(json_object_get(root, "requests"), i, request) {
		request_read(&what, a, request);
		decide(&d, &what);
	}
	putchar('\n');
	documents_fini(&d);
	arena_free(a);
	json_decref(root);
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0)
		run_line(line, (size_t)n);
	free(line);
	return 0;
}
