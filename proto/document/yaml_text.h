/*
 * YAML as text, into a tree.
 *
 * Plain scalars are null, true and false, and numbers as JSON writes them; all others are texts, so
 * that no, 0755 and 10:30 are what was written. Below the keys of a document that stand for texts
 * (allowedValues, default, runCommand, schemaVersion and others) every scalar is the text that was
 * written. Anchors and aliases are taken, and counted as what they stand for; merge keys, tags but
 * those of texts, lists and maps, and a second document are not.
 */
#ifndef HAWSER_DOCUMENT_YAML_TEXT_H
#define HAWSER_DOCUMENT_YAML_TEXT_H

#include <stddef.h>

#include <jansson.h>

struct hw_err;

/* HW_EDOCUMENTCONTENT with line and column, HW_ENOMEM. */
int yaml_text_read(json_t **ret, const char *text, size_t n, struct hw_err *err);

#endif
