#include "tests/unit/document/paper.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#define GIVEN_MAX 16

struct document *
paper_of(const char *text, enum document_kind kind)
{
	struct hw_err err = HW_ERR_INIT;
	struct document *d = NULL;

	cr_assert(eq(int, document_parse(&d, text, strlen(text), 0, kind, &err), 0), "%s",
		err.text);
	return d;
}

struct document *
paper(const char *text)
{
	return paper_of(text, DOCUMENT_COMMAND);
}

int
paper_refused(const char *text, enum document_kind kind, struct hw_err *err)
{
	struct document *d = NULL;
	int r;

	*err = (struct hw_err)HW_ERR_INIT;
	r = document_parse(&d, text, strlen(text), 0, kind, err);
	document_free(d);
	return r;
}

/* What was given as texts, as the wire has it. */
struct given {
	struct msg_smap map;
	struct msg_pair pairs[GIVEN_MAX];
	const char *values[GIVEN_MAX];
	char *names[GIVEN_MAX];
	size_t n;
};

static void
given_add(struct given *g, const char *text)
{
	const char *equals = strchr(text, '=');

	cr_assert_not_null(equals);
	cr_assert(lt(sz, g->n, GIVEN_MAX));
	char *name = g->names[g->n] = strndup(text, (size_t)(equals - text));
	g->values[g->n] = equals + 1;
	if (g->map.n > 0 && strcmp(g->pairs[g->map.n - 1].key, name) == 0) {
		g->pairs[g->map.n - 1].values.n++;
	} else {
		g->pairs[g->map.n++] = (struct msg_pair){
			name, {.v = &g->values[g->n], .n = equals[1] != '\1'}
		     };
	}
	g->n++;
}

static int
bind(struct document_values **ret, const struct document *d, const char *const *texts,
	struct hw_err *err)
{
	struct given g = {.n = 0};
	int r;

	for (; *texts != NULL; texts++)
		given_add(&g, *texts);
	g.map.v = g.pairs;
	r = document_bind(ret, d, &g.map, err);
	for (size_t i = 0; i < g.n; i++)
		free(g.names[i]);
	return r;
}

struct document_values *
paper_bind(const struct document *d, const char *const *given)
{
	struct hw_err err = HW_ERR_INIT;
	struct document_values *v = NULL;

	cr_assert(eq(int, bind(&v, d, given, &err), 0), "%s", err.text);
	return v;
}

int
paper_bind_refused(const struct document *d, const char *const *given, struct hw_err *err)
{
	struct document_values *v = NULL;
	int r;

	*err = (struct hw_err)HW_ERR_INIT;
	r = bind(&v, d, given, err);
	document_values_free(v);
	return r;
}

char *
paper_inputs(const char *text, const char *const *given, char **env)
{
	struct hw_err err = HW_ERR_INIT;
	struct document *d = paper(text);
	struct document_values *v = paper_bind(d, given);
	json_t *inputs = NULL, *environment = NULL;

	cr_assert(eq(int, document_inputs(&inputs, &environment, d, v, 0, &err), 0), "%s",
		err.text);
	char *shown = json_dumps(inputs, JSON_COMPACT);
	if (env != NULL)
		*env = json_dumps(environment, JSON_COMPACT);
	json_decref(inputs);
	json_decref(environment);
	document_values_free(v);
	document_free(d);
	return shown;
}
