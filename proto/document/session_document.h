/* What a Session document says, schema 1.0. */
#ifndef HAWSER_DOCUMENT_SESSION_DOCUMENT_H
#define HAWSER_DOCUMENT_SESSION_DOCUMENT_H

#include "proto/document/document_private.h"

/* Checks sessionType, inputs and properties. HW_EDOCUMENTCONTENT. */
int session_document_check(const struct document *d, struct hw_err *err);
/* The member that document_properties() is about. */
const char *session_document_member(const struct document *d);

#endif
