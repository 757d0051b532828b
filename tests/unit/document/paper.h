/* Documents for tests: parsed, bound and filled in with one call each, or failing the test. */
#ifndef HAWSER_TESTS_DOCUMENT_PAPER_H
#define HAWSER_TESTS_DOCUMENT_PAPER_H

#include "proto/base/err.h"
#include "proto/document/document.h"
#include "proto/schema/schema.h"

struct document *paper(const char *text); /* a Command document, JSON or YAML */
struct document *paper_of(const char *text, enum document_kind kind);
/* What refuses it: the code, and the sentence in *err. 0 when nothing does. */
int paper_refused(const char *text, enum document_kind kind, struct hw_err *err);

/* "name=value" texts up to NULL; several of the same name are a list's. */
struct document_values *paper_bind(const struct document *d, const char *const *given);
int paper_bind_refused(const struct document *d, const char *const *given, struct hw_err *err);

/* A step's inputs with these parameters, as compact JSON, to be freed; *env likewise when asked. */
char *paper_inputs(const char *text, const char *const *given, char **env);

#define GIVEN(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING	   ((const char *const[]){NULL})

/* A 2.2 document with these parameters and one step's inputs, as JSON. */
#define PAPER(parameters, inputs)                                                    \
	"{\"schemaVersion\":\"2.2\",\"parameters\":{" parameters "},\"mainSteps\":[" \
	"{\"action\":\"aws:runShellScript\",\"name\":\"run\",\"inputs\":{" inputs "}}]}"

#endif
