/* The policies that every fleet has: they can be attached, not changed. */
#ifndef HAWSER_POLICY_MANAGED_H
#define HAWSER_POLICY_MANAGED_H

#include <stddef.h>

struct managed_policy {
	const char *name, *description, *document;
};

extern const struct managed_policy managed_policies[];
extern const size_t managed_policy_count;

#define POLICY_ADMINISTRATOR "administrator"

const struct managed_policy *managed_policy_find(const char *name); /* NULL */

#endif
