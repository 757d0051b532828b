/*
 * What a session will be, as its document and parameters say: built-in documents and those that
 * people wrote alike. It is read once a request, before the decision, so that what is started is
 * what was decided about, whatever becomes of the document meanwhile.
 */
#ifndef HAWSER_CORE_SESSION_PLAN_H
#define HAWSER_CORE_SESSION_PLAN_H

#include "relay/core/destination.h"

struct op;

#define SESSION_DOCUMENT "SSM-SessionManagerRunShell" /* when none is named */

struct session_plan {
	int code; /* of what is wrong, with the sentence; HW_OK */
	char why[384];
	const char *document;  /* its name */
	int type;	       /* CHANNEL_TYPE_* */
	const char *command;   /* NULL: the login shell, or a forward */
	struct destination to; /* of a forward; empty: each connection says, or there is none */
};

/* Texts are the request's, or of the op's arena. What failed is in the plan alone: HW_EDOCUMENT,
 * HW_EPARAMETERS, and others of the store. */
void session_plan_read(struct session_plan *ret, struct op *op, const char *document_name,
	const struct msg_smap *parameters);

#endif
