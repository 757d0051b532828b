/* What texts of a request may hold, beyond the bounds of messages.def. */
#ifndef HAWSER_SERVICES_TEXT_H
#define HAWSER_SERVICES_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct op;
struct msg_tag;

/* "" for an absent text; NULL, which replies leave out, for an empty one. */
const char *text_or_empty(const char *s);
const char *text_or_absent(const char *s);

/* Well-formed UTF-8 without control characters: what may be shown on a terminal as it is. */
bool text_is_plain(const char *s);

/* An operating system user: [a-z_][a-z0-9_.-]{0,31}, and "$" after it. */
bool text_is_os_user(const char *s);

/* HW_EVALIDATION unless every text is absent or plain; the list ends with NULL. */
struct text_field {
	const char *name, *value;
};
int text_check(struct op *op, const struct text_field *fields);
int text_check_tags(struct op *op, const struct msg_tag *tags, size_t n);

/* Whether `s` is what `pattern` says, where * stands for any text. */
bool text_matches(const char *pattern, const char *s);

/* A copy that lives as long as the reply: NULL, with the op's error set, without memory. An empty
 * text stays absent: *ret is NULL. */
int text_keep(const char **ret, struct op *op, const char *s);

#endif
