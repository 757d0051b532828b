/* What a Command document does: mainSteps of schema 2.x, runtimeConfig of 1.2. */
#ifndef HAWSER_DOCUMENT_STEPS_H
#define HAWSER_DOCUMENT_STEPS_H

#include "proto/document/document_private.h"

/* Fills in d->steps. HW_EDOCUMENTCONTENT, HW_ENOMEM; what was filled in is document_free()'s. */
int steps_read(struct document *d, struct hw_err *err);

#endif
