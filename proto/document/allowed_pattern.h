/* allowedPattern: a regular expression that is searched for in a value, with bounds on what that
 * costs. The dialect is PCRE2's, $ is the end of the value alone, and \d \w \s are ASCII's. */
#ifndef HAWSER_DOCUMENT_ALLOWED_PATTERN_H
#define HAWSER_DOCUMENT_ALLOWED_PATTERN_H

#include <stddef.h>

struct allowed_pattern;

#define ALLOWED_PATTERN_MAX 4096 /* bytes */

/* HW_EDOCUMENTCONTENT with the place in the pattern, not in the document; HW_ENOMEM. */
struct hw_err;
int allowed_pattern_new(struct allowed_pattern **ret, const char *pattern, struct hw_err *err);
void allowed_pattern_free(struct allowed_pattern *p); /* NULL is fine */

/* 1: it is found; 0: it is not; HW_ELIMIT: looking for it costs too much; HW_ENOMEM. `of` values
 * share what one may cost. */
int allowed_pattern_find(const struct allowed_pattern *p, const char *value, size_t n, size_t of);

#endif
