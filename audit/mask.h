/*
 * Masks: patterns (PCRE2, over bytes) whose matches are replaced by as many '*' before text is
 * recorded readably. A file has one a line; empty lines and lines that begin with '#' are skipped.
 * `secret=\K\S+` keeps the name and masks the value.
 *
 * Limits, for who writes masks: a pattern sees one line at a time, and of that only what lies
 * within one block of a recording, one stream, and 64 KiB; escape sequences are bytes like others.
 * A block ends within no line that has grown in the last ten seconds, unless it is full, or has
 * waited for two minutes. A line that exhausts the limits of matching is masked whole. What is
 * sealed to the auditors is not masked.
 */
#ifndef HAWSER_AUDIT_MASK_H
#define HAWSER_AUDIT_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct masks;

/* *ret is NULL when there is no such file. HW_EVALIDATION names the line. */
int masks_load(struct masks **ret, const char *path, struct hw_err *err);
void masks_free(struct masks *m);

/* Masks n bytes of text in place. NULL masks nothing. */
void masks_apply(const struct masks *m, uint8_t *p, size_t n);

#endif
