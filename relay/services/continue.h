/*
 * Reading that goes on page by page, and is one entry of the ledger: the first page's. A NextToken
 * is good for the very request that it was given for, so that nobody reads more than the entry
 * says; and whoever reads on for hours has one each hour.
 */
#ifndef HAWSER_SERVICES_CONTINUE_H
#define HAWSER_SERVICES_CONTINUE_H

#include <stdbool.h>
#include <stdint.h>

struct op;

#define CONTINUE_PLACE 104

struct going_on {
	char digest[13];
	int64_t audited; /* seconds since 1970 */
	int64_t number;	 /* where it goes on: the caller's */
	char place[CONTINUE_PLACE];
	bool begun; /* it goes on */
};

/* `plain` is the request without its NextToken. HW_ENEXTTOKEN. */
int continue_read(struct going_on *ret, struct op *op, const void *plain, const char *token);
int continue_token(const char **ret, struct op *op, const struct going_on *g);

#endif
