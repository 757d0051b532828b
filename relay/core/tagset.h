/* Tags of a node or user as policies compare them: keys in lower case, sorted. Immutable, and
 * shared between threads by reference. */
#ifndef HAWSER_CORE_TAGSET_H
#define HAWSER_CORE_TAGSET_H

#include "proto/schema/schema.h"
#include "relay/policy/policy.h"

struct tagset;

/* Of keys that differ in case alone the first counts; whoever writes tags refuses a second one.
 * NULL without memory. */
struct tagset *tagset_new(const struct msg_tag *tags, size_t n);
struct tagset *tagset_ref(struct tagset *t);
void tagset_unref(struct tagset *t); /* NULL is fine */

/* Good as long as the reference; NULL of NULL. */
const struct policy_tags *tagset_tags(const struct tagset *t);

#endif
