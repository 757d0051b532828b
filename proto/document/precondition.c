/* Whether a step runs: StringEquals of two texts, as SSM's agent decides it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/base/buf.h"
#include "proto/document/document_private.h"
#include "proto/document/substitute.h"

#define OPERATOR  "StringEquals"
#define PLATFORM  "platformType"
#define SHOWN_MAX 1024 /* bytes of what is shown of preconditions */

enum answer { EQUAL, DIFFERENT, UNRECOGNISED };

struct operand {
	const char *raw;
	json_t *filled; /* a text */
};

static const char *
filled(const struct operand *o)
{
	return json_string_value(o->filled);
}

static bool
changes(const struct operand *o)
{
	return strcmp(o->raw, filled(o)) != 0;
}

/* Of the two, the one that is not the word platformType. */
static enum answer
compare_platform(const struct operand *other, const char *platform)
{
	if (changes(other))
		return UNRECOGNISED;
	return strcasecmp(other->raw, platform) == 0 ? EQUAL : DIFFERENT;
}

static enum answer
compare(const struct operand *a, const struct operand *b, const char *platform)
{
	if (strcmp(a->raw, b->raw) == 0)
		return UNRECOGNISED;
	if (strcmp(a->raw, PLATFORM) == 0)
		return compare_platform(b, platform);
	if (strcmp(b->raw, PLATFORM) == 0)
		return compare_platform(a, platform);
	if (!changes(a) && !changes(b))
		return UNRECOGNISED;
	return strcmp(filled(a), filled(b)) == 0 ? EQUAL : DIFFERENT;
}

/* A reference to a stored parameter is not known before the step runs: nothing is decided by it. */
static enum answer
ask(struct substitution *s, const char *name, const json_t *arguments, const char *platform)
{
	struct operand a = {.raw = json_string_value(json_array_get(arguments, 0))};
	struct operand b = {.raw = json_string_value(json_array_get(arguments, 1))};
	enum answer answer = UNRECOGNISED;

	if (strcmp(name, OPERATOR) != 0 || json_array_size(arguments) != 2 ||
		document_refers_to_stored(arguments))
		return UNRECOGNISED;
	if (substitute_text(&a.filled, s, a.raw) == 0 && substitute_text(&b.filled, s, b.raw) == 0)
		answer = compare(&a, &b, platform);
	json_decref(a.filled);
	json_decref(b.filled);
	return answer;
}

static void
show(struct buf *out, const char *name, const json_t *arguments)
{
	size_t i;
	json_t *argument;

	buf_printf(out, "%s'\"%s\": [", out->len > 0 ? ", " : "", name);
	json_array_foreach(arguments, i, argument)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", json_string_value(argument));
	buf_append_str(out, "]'");
}

struct answers {
	struct buf different, unrecognised; /* as they are shown */
	bool any_different, any_unrecognised;
};

static void
ask_all(struct answers *ret, struct substitution *s, const json_t *precondition,
	const char *platform)
{
	const char *name;
	json_t *arguments;

	json_object_foreach((json_t *)precondition, name, arguments) {
		enum answer answer = ask(s, name, arguments, platform);
		if (answer == DIFFERENT) {
			ret->any_different = true;
			show(&ret->different, name, arguments);
		} else if (answer == UNRECOGNISED) {
			ret->any_unrecognised = true;
			show(&ret->unrecognised, name, arguments);
		}
	}
}

static const char *
shown(struct buf *b)
{
	const char *text = buf_str(b);

	return text != NULL ? text : "";
}

static enum document_verdict
decide(struct answers *all, const char *step, char *why, size_t n)
{
	if (all->any_different) {
		snprintf(why, n,
			"Step execution skipped due to unsatisfied preconditions: %s. Step name: %s",
			shown(&all->different), step);
		return DOCUMENT_SKIP;
	}
	if (all->any_unrecognised) {
		snprintf(why, n,
			"Unrecognized precondition(s): %s, please update agent to latest version",
			shown(&all->unrecognised));
		return DOCUMENT_FAIL;
	}
	return DOCUMENT_RUN;
}

enum document_verdict
document_precondition(const struct document *d, const struct document_values *v, size_t step,
	const char *platform, char *why, size_t n)
{
	struct answers all = {.any_different = false};
	struct substitution s;

	hw_assert(step < d->n_steps);
	const struct document_step *at = &d->steps[step];
	if (n > 0)
		why[0] = '\0';
	if (at->precondition == NULL)
		return DOCUMENT_RUN;
	if (strcmp(d->schema, "2.2") != 0) {
		snprintf(why, n, "A document of schema %s has no preconditions", d->schema);
		return DOCUMENT_FAIL;
	}
	substitute_begin(&s, d, v, NULL);
	buf_init(&all.different, SHOWN_MAX);
	buf_init(&all.unrecognised, SHOWN_MAX);
	ask_all(&all, &s, at->precondition, platform);
	enum document_verdict verdict = decide(&all, at->name, why, n);
	buf_fini(&all.different);
	buf_fini(&all.unrecognised);
	return verdict;
}
