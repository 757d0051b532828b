/* Certificates for those who ask: the one place where the relay's services sign. */
#ifndef HAWSER_SERVICES_ISSUE_H
#define HAWSER_SERVICES_ISSUE_H

#include "audit/ledger.h"
#include "proto/schema/schema.h"
#include "proto/trust/cert.h"

struct op;

struct issued {
	struct msg_bin certificate, ca; /* DER, in the op's arena */
	char serial[CERT_SERIAL_LEN + 1];
	int64_t expires;
};

int issue_node(struct issued *ret, struct op *op, const struct msg_bin *csr, const char *id);
/* Never from before valid_from, which is what tells this user from an earlier one of that name. */
int issue_user(struct issued *ret, struct op *op, const struct msg_bin *csr, const char *name,
	int64_t valid_from);

/* The entry that says whom a token has let in, which the decision about it cannot know; durable.
 * `about` is what else there is to say, or NULL. HW_ERECORD: no certificate leaves. */
int issue_note(struct op *op, enum entry_kind kind, const char *arn, const char *about);

#endif
