/* Signed heads and proofs, as nodes and users ask for them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <string.h>

#include <openssl/x509.h>

#include "proto/base/file.h"
#include "proto/trust/log_epoch.h"
#include "tests/world/world.h"

TestSuite(ledger, .timeout = 60);

static struct log_epochs
read_epochs(struct world *w, const struct msg_get_ledger_head_reply *rep)
{
	struct log_epochs epochs = {.n = 0};
	struct hw_err err = HW_ERR_INIT;
	X509 *cert;
	int dir;

	cr_assert(eq(int, dir_open(&dir, w->dir, false, &err), 0));
	cr_assert(eq(int, cert_load(&cert, dir, "ca.crt", &err), 0));
	cr_assert(eq(int, log_epochs_read(&epochs, rep->epochs, strlen(rep->epochs), cert, &err),
			  0),
		"%s", err.text);
	X509_free(cert);
	fd_close(dir);
	return epochs;
}

/* The head that the relay gives now, checked as a witness checks it. */
static struct log_head
get_head(struct world_peer *p)
{
	const struct msg_get_ledger_head_request req = {.since = 0};
	struct msg_get_ledger_head_reply *rep = NULL;
	struct hw_err err = HW_ERR_INIT;
	char origin[LOG_ORIGIN_MAX];
	struct log_head head;

	cr_assert(eq(int, world_call(p, OP_get_ledger_head, &req, &rep, NULL), 0));
	struct log_epochs epochs = read_epochs(p->world, rep);
	cr_assert(eq(int, log_head_parse(&head, origin, rep->head, strlen(rep->head), &err), 0),
		"%s", err.text);
	cr_assert(eq(int, strcmp(origin, epochs.origin), 0));
	cr_assert(eq(int, log_epochs_allow(&epochs, &head, &err), 0), "%s", err.text);
	log_epochs_fini(&epochs);
	return head;
}

static void
check_extends(struct world_peer *p, const struct log_head *a, const struct log_head *b)
{
	const struct msg_get_consistency_proof_request req = {
		.old_size = (int64_t)a->size, .size = (int64_t)b->size};
	struct msg_get_consistency_proof_reply *rep = NULL;

	cr_assert(eq(int, world_call(p, OP_get_consistency_proof, &req, &rep, NULL), 0));
	cr_assert(merkle_extends(a->size, a->root, b->size, b->root, rep->hashes.p,
		rep->hashes.n / MERKLE_LEN));
}

Test(ledger, nodes_and_users_see_heads_that_grow_out_of_each_other)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct world_peer *node = world_node(w, admin, "n1");
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(admin, &err), 0));
	struct log_head a = get_head(admin);
	cr_assert(eq(int, world_connect(node, &err), 0));
	world_advance(w, 2 * USEC_PER_SEC);
	struct log_head b = get_head(node);
	cr_assert(gt(u64, b.size, a.size));
	check_extends(node, &a, &b);

	cr_assert(eq(int, world_restart(w, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(node, &err), 0));
	struct log_head c = get_head(node);
	cr_assert(gt(u64, c.size, b.size));
	check_extends(node, &b, &c);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(ledger, an_entry_is_proven_and_what_is_not_there_is_not)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct hw_err err = HW_ERR_INIT;
	struct msg_get_inclusion_proof_reply *rep = NULL;

	cr_assert(eq(int, world_connect(admin, &err), 0));
	struct log_head head = get_head(admin);
	struct msg_get_inclusion_proof_request req = {.sequence = 0, .size = (int64_t)head.size};
	cr_assert(eq(int, world_call(admin, OP_get_inclusion_proof, &req, &rep, NULL), 0));
	cr_assert(merkle_includes(head.root, head.size, 0, rep->leaf.p, rep->hashes.p,
		rep->hashes.n / MERKLE_LEN));
	req.sequence = req.size;
	cr_assert(eq(int, world_call(admin, OP_get_inclusion_proof, &req, &rep, NULL),
		HW_EVALIDATION));
	req = (struct msg_get_inclusion_proof_request){.sequence = 0, .size = INT64_MAX};
	cr_assert(eq(int, world_call(admin, OP_get_inclusion_proof, &req, &rep, NULL),
		HW_EVALIDATION));
	const struct msg_get_consistency_proof_request back = {.old_size = 3, .size = 2};
	cr_assert(eq(int, world_call(admin, OP_get_consistency_proof, &back, &rep, NULL),
		HW_EVALIDATION));
	world_peer_free(admin);
	world_free(w);
}

/* The relay signs by itself, and what it signs is at most a second old. */
Test(ledger, a_new_entry_is_under_a_head_within_a_second)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct world_peer *node = world_node(w, admin, "n1");
	struct hw_err err = HW_ERR_INIT;
	char path[128];
	struct buf a, b;
	int dir;

	cr_assert(eq(int, world_connect(admin, &err), 0));
	world_advance(w, 2 * USEC_PER_SEC);
	snprintf(path, sizeof(path), "%s/ledger", w->dir);
	cr_assert(eq(int, dir_open(&dir, path, false, &err), 0));
	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	cr_assert(eq(int, file_read(&a, dir, "heads", &err), 0));
	cr_assert(eq(int, world_connect(node, &err), 0)); /* link.up */
	world_advance(w, USEC_PER_SEC);
	cr_assert(eq(int, file_read(&b, dir, "heads", &err), 0));
	cr_assert(gt(sz, b.len, a.len));
	buf_fini(&a);
	buf_fini(&b);
	fd_close(dir);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}
