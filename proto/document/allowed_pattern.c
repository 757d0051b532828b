#define PCRE2_CODE_UNIT_WIDTH 8
#include "proto/document/allowed_pattern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "proto/base/err.h"

#define NEST_MAX  50
#define HEAP_MAX  16384u   /* KiB */
#define DEPTH_MAX 20000u   /* of backtracking */
#define STEPS_ALL 2000000u /* for all values of a parameter */
#define STEPS_MAX 200000u  /* for one of them */
#define STEPS_MIN 2000u

struct allowed_pattern {
	pcre2_code *code;
};

static int
no_memory(struct hw_err *err)
{
	return hw_err_set(err, HW_ENOMEM, "no memory for a pattern");
}

static int
say_wrong(struct hw_err *err, int number, size_t offset)
{
	PCRE2_UCHAR text[128];

	if (pcre2_get_error_message(number, text, sizeof(text)) < 0)
		memcpy(text, "it cannot be read", sizeof("it cannot be read"));
	return hw_err_set(err, HW_EDOCUMENTCONTENT, "the pattern is not valid at byte %zu: %s",
		offset, (const char *)text);
}

int
allowed_pattern_new(struct allowed_pattern **ret, const char *pattern, struct hw_err *err)
{
	const uint32_t options =
		PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
	struct allowed_pattern *p = calloc(1, sizeof(*p));
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	PCRE2_SIZE offset = 0;
	int number = 0;
	int r;

	if (p == NULL || context == NULL) {
		r = no_memory(err);
		goto out;
	}
	pcre2_set_parens_nest_limit(context, NEST_MAX);
	pcre2_set_max_pattern_length(context, ALLOWED_PATTERN_MAX);
	p->code = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern), options, &number, &offset,
		context);
	r = p->code != NULL ? 0 : say_wrong(err, number, offset);
	if (r == 0) {
		*ret = p;
		p = NULL;
	}
out:
	pcre2_compile_context_free(context);
	allowed_pattern_free(p);
	return r;
}

void
allowed_pattern_free(struct allowed_pattern *p)
{
	if (p == NULL)
		return;
	pcre2_code_free(p->code);
	free(p);
}

static uint32_t
steps_for(size_t of)
{
	size_t each = STEPS_ALL / (of > 0 ? of : 1);

	return each > STEPS_MAX ? STEPS_MAX : each < STEPS_MIN ? STEPS_MIN : (uint32_t)each;
}

int
allowed_pattern_find(const struct allowed_pattern *p, const char *value, size_t n, size_t of)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	int r = PCRE2_ERROR_NOMEMORY;

	if (data != NULL && context != NULL) {
		pcre2_set_match_limit(context, steps_for(of));
		pcre2_set_depth_limit(context, DEPTH_MAX);
		pcre2_set_heap_limit(context, HEAP_MAX);
		r = pcre2_match(p->code, (PCRE2_SPTR)value, n, 0, 0, data, context);
	}
	pcre2_match_context_free(context);
	pcre2_match_data_free(data);
	return r >= 0			    ? 1
		: r == PCRE2_ERROR_NOMATCH  ? 0
		: r == PCRE2_ERROR_NOMEMORY ? HW_ENOMEM
					    : HW_ELIMIT;
}
