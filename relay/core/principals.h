/*
 * Who there is, and what is attached to whom: a snapshot of users, groups and policies that nobody
 * changes, replaced after each commit that changes one of them. Any thread; who looks at a snapshot
 * holds a reference, and sees one consistent state for as long as it does.
 */
#ifndef HAWSER_CORE_PRINCIPALS_H
#define HAWSER_CORE_PRINCIPALS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "relay/policy/policy.h"

struct arena;
struct db;
struct store;
struct log_ctx;

struct principal {
	const char *name;
	int type; /* USER_TYPE_*; 0 for a group */
	bool disabled;
	int64_t valid_from; /* certificates issued before (microseconds since 1970) are not good:
			       the user was made anew */
	struct policy_tags tags;
	/* Of its own and of its groups; none when one of them cannot be read: a Deny that is not
	 * understood may not be left out. */
	const struct policy_attachment *policies;
	size_t n_policies;
	const char *const *groups;
	size_t n_groups;
};

struct principals;

/* The user, or the group, of that name; NULL. They live as long as the snapshot. */
const struct principal *principals_user(const struct principals *p, const char *name);
const struct principal *principals_group(const struct principals *p, const char *name);
/* All users by name, from the i'th on; NULL past the last. */
const struct principal *principals_nth_user(const struct principals *p, size_t i);

/* --- where the snapshot of the moment is ------------------------------------------------------ */

struct authority;

struct authority *authority_new(const struct log_ctx *log); /* NULL without memory */
void authority_free(struct authority *a);		    /* NULL is fine */

int authority_load(struct authority *a, struct store *s, struct hw_err *err);
/* After a commit, with a connection for reading. What cannot be read leaves nobody in. */
void authority_refresh(struct authority *a, struct db *db);
/* It could not be read the last time: nobody is in until it is read again. Any thread. */
bool authority_lost(struct authority *a);

/* The caller's reference; never NULL. */
struct principals *authority_take(struct authority *a);
void principals_unref(struct principals *p);

/* Whether a certificate of this user, good from `not_before` on, is let in. HW_EREVOKED. */
int authority_welcomes(struct authority *a, const char *name, int64_t not_before,
	struct hw_err *err);
/* Why what this user sent at that time is not to go on: a constant. NULL when it is, and while it
 * cannot be read who there is. */
const char *authority_refuses_sender(struct authority *a, const char *name, int64_t sent);

#endif
