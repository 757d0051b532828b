/*
 * A relay's ledger as it shows it now, with its signature and the statements of its epochs checked;
 * and whether other heads are how it began, which the relay has to prove for each.
 */
#ifndef HAWSER_CLIENT_LEDGER_VIEW_H
#define HAWSER_CLIENT_LEDGER_VIEW_H

#include "audit/verify.h"
#include "proto/trust/log_epoch.h"

struct client;

enum ledger_fits {
	LEDGER_FITS,	  /* the ledger grew out of it */
	LEDGER_GIVEN_UP,  /* of entries that a recovery gave up */
	LEDGER_UNCHECKED, /* the relay did not say */
	LEDGER_BROKEN,
};

#define LEDGER_WHAT_MAX 480 /* of a sentence, with its NUL */

struct ledger_view {
	struct client *client;
	struct log_head head;
	struct log_epochs epochs;
	/* A view that took another's place: whether it grew out of that; the worst that was. */
	enum ledger_fits turned;
	char turned_what[LEDGER_WHAT_MAX];
	bool refreshing;
	char not_newer[160]; /* why there is no newer view */
	/* Roots that the relay has proven to be how its ledger began, each once. */
	struct proven_root *proven;
};

/* Asks the relay. The authority is the home's. HW_ECORRUPT: what it shows does not hold. */
int ledger_view_open(struct ledger_view *v, struct client *c, struct hw_err *err);
void ledger_view_close(struct ledger_view *v);

struct ledger_question {
	const struct log_head *head;
	const char *origin;
	enum ledger_fits fits;
	char what[LEDGER_WHAT_MAX]; /* why not */
};

#define LEDGER_QUESTIONS_MAX 64

/* Answers n questions, LEDGER_QUESTIONS_MAX at the most, asking the relay for all at once, and for
 * each size and root only once in the view's life. A head that is newer than the view is asked
 * after with a newer view. */
void ledger_view_ask(struct ledger_view *v, struct ledger_question *q, size_t n);

#endif
