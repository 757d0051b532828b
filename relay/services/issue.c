#include "relay/services/issue.h"

#include "proto/base/clock.h"
#include "relay/core/config.h"
#include "relay/core/op.h"

static int
to_arena(struct msg_bin *ret, struct op *op, const struct buf *b)
{
	const uint8_t *p = arena_dup(op->arena, buf_data(b), b->len);

	if (p == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a certificate");
	*ret = (struct msg_bin){p, b->len};
	return 0;
}

static int
issue(struct issued *ret, struct op *op, const struct msg_bin *csr, int role, const char *id,
	int64_t from, int64_t life)
{
	const struct ca *ca = op->env->ca;
	struct buf cert, authority;
	int r;

	buf_init(&cert, CERT_DER_MAX);
	buf_init(&authority, CERT_DER_MAX);
	ret->expires = op->now + life;
	if ((r = ca_issue(&cert, ret->serial, ca, csr->p, csr->n, role, id, from, ret->expires,
		     &op->err)) == 0 &&
		(r = to_arena(&ret->certificate, op, &cert)) == 0) {
		r = ca_cert_der(&authority, ca);
		if (r < 0)
			op_fail(op, r, "cannot encode the authority's certificate");
		else
			r = to_arena(&ret->ca, op, &authority);
	}
	buf_fini(&cert);
	buf_fini(&authority);
	return r;
}

int
issue_node(struct issued *ret, struct op *op, const struct msg_bin *csr, const char *id)
{
	return issue(ret, op, csr, ROLE_NODE, id, op->now - CERT_BACKDATE, CERT_NODE_LIFE);
}

int
issue_user(struct issued *ret, struct op *op, const struct msg_bin *csr, const char *name,
	int64_t valid_from)
{
	int64_t life = op->env->config->user_certificate_hours * 3600 * USEC_PER_SEC;
	int64_t from = op->now - CERT_BACKDATE;

	if (from < valid_from)
		from = valid_from;
	return issue(ret, op, csr, ROLE_USER, name, from, life);
}

int
issue_note(struct op *op, enum entry_kind kind, const char *arn, const char *about)
{
	const struct msg_ledger_entry e = {
		.principal = arn,
		.action = op->row->action,
		.resource = arn,
		.request_id = op->request_id,
		.source = op->source,
		.detail = about,
	};

	if (ledger_commit(op->env->ledger, kind, &e) < 0)
		return op_fail(op, HW_ERECORD, "the ledger cannot be written, so nobody is let in");
	return 0;
}
