/*
 * Tags of one owner, as they are written. Policies compare keys without regard to case: two keys of
 * one owner that differ in case alone would be one key with two values, and who may set one could
 * hide the other. So no owner gets them.
 */
#ifndef HAWSER_SERVICES_TAGLIST_H
#define HAWSER_SERVICES_TAGLIST_H

#include <stdbool.h>

#include "relay/store/tags.h"

struct op;

/* A request's Tags: HW_EVALIDATION for control characters, and for two that have the same key. */
int taglist_check(struct op *op, const struct msg_tag *tags, size_t n);

bool taglist_has(const struct msg_tag *tags, size_t n, const char *key);

/* Adds to what the owner has, in a write: HW_ETOOMANYTAGS past TAGS_MAX, HW_EVALIDATION for a key
 * that differs in case alone from one that is there, HW_ENOTFOUND without the owner. */
int taglist_add(struct op *op, struct db *db, enum tag_owner kind, const char *owner,
	const struct msg_tag *tags, size_t n, struct hw_err *err);

#endif
