/* How documents look in replies. */
#ifndef HAWSER_SERVICES_DOCUMENTS_DESCRIBE_H
#define HAWSER_SERVICES_DOCUMENTS_DESCRIBE_H

#include "relay/core/document_load.h"

struct document;
struct msg_tag;
struct msg_document_description;
struct msg_document_identifier;

/* A version and its document's tags, as a read or write found them. */
struct described {
	struct document_found found;
	struct msg_tag *tags;
	size_t n_tags;
};

/* Inside of a read or write; as document_look(). */
int describe_look(struct described *ret, struct op *op, struct db *db, const char *name,
	const char *version, const char *version_name);
/* Outside, because it parses the document. All fail with the op's error. The texts are the op's
 * arena's. */
int describe_document(struct msg_document_description *ret, struct op *op,
	const struct described *what);
/* Without tags. The platform is describe_platform()'s, or 0: none is known. */
int describe_identifier(struct msg_document_identifier *ret, struct op *op,
	const struct document_found *found, int platform);

/* PLATFORM_TYPE_*: what the found version can run on. It parses it, as describe_parse(). */
int describe_platform(struct op *op, const struct document_found *found);

/* Whether what describe_document() shows of it has room in a reply: HW_EDOCUMENTSIZE. */
int describe_check(struct op *op, const struct document *d);

int describe_number(const char **ret, struct op *op, int64_t number);
const char *describe_owner(const struct op *op, const struct document_found *found);

/* The found version, parsed; free it. What was stored was valid: HW_ECORRUPT when it is not. */
int describe_parse(struct document **ret, struct op *op, const struct document_found *found);

#endif
