#include "relay/services/taglist.h"

#include <stdlib.h>
#include <string.h>

#include "relay/core/op.h"
#include "relay/services/text.h"

/* Of ASCII alone, whatever the locale: as policies compare. */
static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
same_key(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

bool
taglist_has(const struct msg_tag *tags, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (same_key(tags[i].key, key))
			return true;
	return false;
}

int
taglist_check(struct op *op, const struct msg_tag *tags, size_t n)
{
	int r = text_check_tags(op, tags, n);

	for (size_t i = 1; r == 0 && i < n; i++)
		if (taglist_has(tags, i, tags[i].key))
			r = op_fail(op, HW_EVALIDATION,
				"Tags[%zu]: the key %.128s is there twice (upper and lower case are the same to policies)",
				i, tags[i].key);
	return r;
}

/* --- adding ----------------------------------------------------------------------------------- */

static int
check_all(struct op *op, struct db *db, enum tag_owner kind, const char *owner, struct hw_err *err)
{
	struct msg_tag *all;
	size_t n;
	int r = tag_list(db, op->arena, kind, owner, &all, &n, err);

	for (size_t i = 1; r == 0 && i < n; i++)
		if (taglist_has(all, i, all[i].key))
			r = hw_err_set(err, HW_EVALIDATION,
				"%s would have two tags with the key %.128s (upper and lower case are the same to policies): remove one first",
				owner, all[i].key);
	return r;
}

int
taglist_add(struct op *op, struct db *db, enum tag_owner kind, const char *owner,
	const struct msg_tag *tags, size_t n, struct hw_err *err)
{
	int64_t count = 0;
	int r;

	for (size_t i = 0; i < n; i++)
		if ((r = tag_set(db, kind, owner, tags[i].key, tags[i].value, err)) < 0)
			return r;
	if ((r = tag_count(db, kind, owner, &count, err)) < 0)
		return r;
	if (count > TAGS_MAX)
		return hw_err_set(err, HW_ETOOMANYTAGS, "%s would have %lld tags; %d are allowed",
			owner, (long long)count, TAGS_MAX);
	return check_all(op, db, kind, owner, err);
}
