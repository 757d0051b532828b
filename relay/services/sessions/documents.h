/* The built-in session documents: what kind of channel each opens, and which parameters it takes.
 */
#ifndef HAWSER_SERVICES_SESSIONS_DOCUMENTS_H
#define HAWSER_SERVICES_SESSIONS_DOCUMENTS_H

#include "proto/schema/schema.h"

struct destination;
struct op;

struct session_document {
	const char *name;
	int type; /* CHANNEL_TYPE_* */
	bool takes_command;
	bool forwards; /* core/destination.h knows its parameters */
};

/* An absent or empty name is the shell's. HW_EDOCUMENT. */
int document_find(const struct session_document **ret, struct op *op, const char *name);

/* The command that the parameters give, NULL for a document that takes none. HW_EPARAMETERS. Points
 * into them. */
int document_command(const char **ret, struct op *op, const struct session_document *doc,
	const struct msg_smap *parameters);

/* Where a document that forwards goes; empty for others, and where each connection says. */
int document_destination(struct destination *ret, struct op *op, const struct session_document *doc,
	const struct msg_smap *parameters);

#endif
