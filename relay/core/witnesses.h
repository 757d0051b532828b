/*
 * What nodes said last of the relay's own ledger, since its start: their words, and the heads that
 * they hold. Thread-safe.
 */
#ifndef HAWSER_CORE_WITNESSES_H
#define HAWSER_CORE_WITNESSES_H

#include <stdbool.h>

#include "proto/trust/log_head.h"

#define WITNESSES_TEXT_MAX  513
#define WITNESSES_BRIEF_MAX 96

struct witnesses;

struct witness_word {
	int state;	  /* WITNESS_STATE_... */
	int64_t reported; /* by the relay's clock */
	int64_t since;	  /* by the node's */
	bool has_head, has_shown;
	struct log_head head,
		shown; /* of this ledger, though nobody has checked their signatures */
	char text[WITNESSES_TEXT_MAX];
};

struct witnesses *witnesses_new(void);	  /* NULL without memory */
void witnesses_free(struct witnesses *w); /* NULL is fine */

/* HW_ENOMEM. *news: its state is another than the one that was noted last, or it is the first and
 * no agreement; within a minute of that nothing is, but comes up with the node's next word. */
int witnesses_put(struct witnesses *w, const char *node, const struct witness_word *word,
	bool *news);
/* The ledger has it now. */
void witnesses_noted(struct witnesses *w, const char *node, const struct witness_word *word);
bool witnesses_get(struct witnesses *w, const char *node, struct witness_word *ret);
void witnesses_drop(struct witnesses *w, const char *node);

/* "agrees at 4711", "rollback since 2026-11-26T09:12:04.000Z". False: it has said nothing. */
bool witnesses_brief(struct witnesses *w, const char *node, char out[WITNESSES_BRIEF_MAX]);

/* How many object, or agree. */
size_t witnesses_count(struct witnesses *w, bool objecting);

#endif
