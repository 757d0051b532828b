/*
 * Documents that people wrote, and their versions. Built-in ones have no row. A document has one
 * version at least, and its default version is one of them; numbers are never given twice. All
 * functions run inside store_read() or store_write().
 */
#ifndef HAWSER_STORE_DOCUMENTS_H
#define HAWSER_STORE_DOCUMENTS_H

#include "relay/store/db.h"

#define DOCUMENTS_MAX	      5000
#define DOCUMENT_VERSIONS_MAX 1000 /* of one document */

struct document_row {
	char name[129];
	int type; /* DOCUMENT_TYPE_* */
	int64_t created, default_version;
	int64_t latest; /* the highest number that is there */
	char target_type[201];
};

struct document_version_row {
	int64_t number;
	char version_name[129]; /* "" when it has none */
	char display_name[1025];
	int format; /* DOCUMENT_FORMAT_* */
	char schema[17];
	char hash[65]; /* SHA-256 of the content, hex */
	int64_t created;
	char author[257]; /* ARN */
	const char
		*content; /* of whoever filled the row in; what is read is in the arena, or NULL */
};

/* Makes it with its first version, whose number is 1. HW_EDOCUMENTEXISTS, HW_EDOCUMENTCOUNT. */
int document_insert(struct db *db, const struct document_row *row,
	const struct document_version_row *first, struct hw_err *err);
int document_get(struct db *db, const char *name, struct document_row *ret,
	struct hw_err *err);						  /* HW_EDOCUMENT */
int document_delete(struct db *db, const char *name, struct hw_err *err); /* likewise */
/* Documents by name, from the first after `after` ("" for all); as node_list(). */
int document_list(struct query *q, struct db *db, const char *after, struct hw_err *err);
int document_next(struct query *q, struct document_row *ret, struct hw_err *err);

/* HW_EDOCUMENT; HW_EDOCUMENTVERSION when it has no such version. */
int document_set_default(struct db *db, const char *name, int64_t number, struct hw_err *err);
/* "" leaves the one that is there. */
int document_set_target_type(struct db *db, const char *name, const char *target_type,
	struct hw_err *err);

/* --- versions --------------------------------------------------------------------------------- */

/* Adds the next version and puts its number into the row. HW_EDUPLICATECONTENT when one has the
 * same hash, HW_EDUPLICATEVERSION, HW_EDOCUMENTLIMIT, HW_EDOCUMENT. */
int document_version_add(struct db *db, const char *name, struct document_version_row *row,
	struct hw_err *err);
/* By number, or with 0 by version name; with a NULL arena the content is not read.
 * HW_EDOCUMENTVERSION, also when there is no such document. */
int document_version_get(struct db *db, struct arena *arena, const char *name, int64_t number,
	const char *version_name, struct document_version_row *ret, struct hw_err *err);
/* Not the default one, which HW_EDOCUMENTOP says; HW_EDOCUMENTVERSION. */
int document_version_delete(struct db *db, const char *name, int64_t number, struct hw_err *err);
/* From the first below `before` (0 for all) downwards, without contents; as node_list(). */
int document_version_list(struct query *q, struct db *db, const char *name, int64_t before,
	struct hw_err *err);
int document_version_next(struct query *q, struct document_version_row *ret, struct hw_err *err);

#endif
