/* GetLedgerHead, GetInclusionProof, GetConsistencyProof: what auditors ask for.
 * Whoever has a certificate may: there is nothing in it but hashes. */
#include "audit/ledger_heads.h"
#include "proto/base/clock.h"
#include "proto/trust/log_head.h"
#include "relay/core/op.h"

#define FRESH	   USEC_PER_SEC
#define EPOCHS_MAX 65536 /* bytes of statements in a reply */

static int
no_heads(struct op *op)
{
	return op_fail(op, HW_EUNAVAILABLE, "this relay signs no heads of its ledger now");
}

/* A head that is not fresh is made anew, if there is anything new. */
static int
find_head(struct log_head *ret, struct op *op)
{
	struct ledger_heads *heads = op->env->heads;
	struct hw_err err = HW_ERR_INIT;

	if (heads == NULL)
		return no_heads(op);
	if (ledger_heads_latest(heads, ret) && clock_wall(op->env->clock) - ret->time < FRESH)
		return 0;
	(void)ledger_heads_make(heads, &err); /* who calls it in time tells why, if it can't */
	return ledger_heads_latest(heads, ret) ? 0 : no_heads(op);
}

static const char *
statements(struct op *op, int64_t since)
{
	const struct log_epochs *epochs = ledger_heads_epochs(op->env->heads);
	struct buf text;

	buf_init(&text, EPOCHS_MAX - LOG_EPOCH_MAX);
	for (size_t i = 0; i < epochs->n; i++)
		if (epochs->all[i].epoch > since &&
			log_epoch_format(&text, &epochs->all[i], epochs->origin) < 0)
			break;
	const char *ret = arena_strndup(op->arena, (const char *)buf_data(&text), text.len);
	buf_fini(&text);
	return ret;
}

int
op_get_ledger_head(struct op *op, const struct msg_get_ledger_head_request *req,
	struct msg_get_ledger_head_reply *rep)
{
	char text[LOG_HEAD_MAX];
	struct log_head head;
	int r;

	if ((r = find_head(&head, op)) < 0)
		return r;
	const struct log_epochs *epochs = ledger_heads_epochs(op->env->heads);
	log_head_format(text, &head, epochs->origin);
	rep->head = arena_strdup(op->arena, text);
	rep->epochs = statements(op, req->since);
	rep->last_epoch = log_epochs_last(epochs)->epoch;
	return rep->head != NULL && rep->epochs != NULL
		? 0
		: op_fail(op, HW_ENOMEM, "no memory for the reply");
}

static int
give_hashes(struct op *op, struct msg_bin *ret, const uint8_t *proof, size_t n)
{
	ret->n = n * MERKLE_LEN;
	ret->p = arena_dup(op->arena, proof, ret->n);
	return ret->p != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for the reply");
}

int
op_get_inclusion_proof(struct op *op, const struct msg_get_inclusion_proof_request *req,
	struct msg_get_inclusion_proof_reply *rep)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], leaf[MERKLE_LEN];
	struct log_head head;
	size_t n;
	int r;

	if ((r = find_head(&head, op)) < 0)
		return r;
	rep->sequence = req->sequence;
	rep->size = req->size != 0 ? req->size : (int64_t)head.size;
	if ((r = ledger_heads_inclusion(op->env->heads, (uint64_t)rep->sequence,
		     (uint64_t)rep->size, leaf, proof, &n, &op->err)) < 0)
		return r;
	rep->leaf = (struct msg_bin){arena_dup(op->arena, leaf, MERKLE_LEN), MERKLE_LEN};
	if (rep->leaf.p == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	return give_hashes(op, &rep->hashes, proof, n);
}

int
op_get_consistency_proof(struct op *op, const struct msg_get_consistency_proof_request *req,
	struct msg_get_consistency_proof_reply *rep)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN];
	struct log_head head;
	size_t n;
	int r;

	if ((r = find_head(&head, op)) < 0)
		return r;
	rep->old_size = req->old_size;
	rep->size = req->size != 0 ? req->size : (int64_t)head.size;
	if ((r = ledger_heads_consistency(op->env->heads, (uint64_t)rep->old_size,
		     (uint64_t)rep->size, proof, &n, &op->err)) < 0)
		return r;
	return give_hashes(op, &rep->hashes, proof, n);
}
