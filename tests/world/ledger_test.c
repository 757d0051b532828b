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

/* --- what nodes say of it --------------------------------------------------------------------- */

static void
connect_all(struct world_peer *const *all, size_t n)
{
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < n; i++)
		cr_assert(eq(int, world_connect(all[i], &err), 0), "%s", err.text);
}

static const char *
head_text(struct world_peer *p)
{
	const struct msg_get_ledger_head_request req = {.since = 0};
	struct msg_get_ledger_head_reply *rep = NULL;

	cr_assert(eq(int, world_call(p, OP_get_ledger_head, &req, &rep, NULL), 0));
	return rep->head;
}

static int
report(struct world_peer *node, int state, const char *head, const char *message)
{
	const struct msg_report_ledger_head_request req = {
		.state = state, .head = head, .shown = head, .since = 1, .message = message};
	struct msg_empty *none;

	return world_call(node, OP_report_ledger_head, &req, &none, NULL);
}

static const struct msg_witness *
only_witness(struct world_peer *admin)
{
	const struct msg_list_witnesses_request req = {.max_results = 0};
	struct msg_list_witnesses_reply *rep;

	cr_assert(eq(int, world_call(admin, OP_list_witnesses, &req, &rep, NULL), 0));
	cr_assert(eq(sz, rep->witnesses.n, 1));
	return &rep->witnesses.v[0];
}

Test(ledger, words_of_a_node_that_are_no_words_are_refused_and_change_nothing)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "n1");
	char head[LOG_HEAD_MAX], other[LOG_HEAD_MAX], longest[LOG_HEAD_MAX + 1];

	connect_all((struct world_peer *[]){admin, node}, 2);
	world_advance(w, USEC_PER_SEC);
	snprintf(head, sizeof(head), "%s", head_text(node));
	cr_assert(eq(int, only_witness(admin)->state, 0));
	cr_assert(eq(int, report(admin, WITNESS_STATE_FORK, head, "x"), HW_EDENIED));
	cr_assert(eq(int, report(node, WITNESS_STATE_AGREES, head, NULL), 0));

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	const char *const none[] = {"hello", "\n", "\xe2\x80\x94 x y\n", longest, head + 1};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		cr_assert(eq(int, report(node, WITNESS_STATE_FORK, none[i], "x"), HW_EVALIDATION));
	cr_assert(eq(int, report(node, WITNESS_STATE_FORK, head, "\x1b[2J"), HW_EVALIDATION));
	cr_assert(eq(int, only_witness(admin)->state, WITNESS_STATE_AGREES));
	cr_assert_str_eq(only_witness(admin)->head, head);
	cr_assert(eq(sz, world_entries(w, "witness.report", NULL, 0), 0));
	cr_assert(eq(int, (int)world_metric(w, "witnesses_objecting"), 0));

	/* Of another ledger: the words count, but not the head. */
	snprintf(other, sizeof(other), "%s", head);
	other[7] = other[7] == '0' ? '1' : '0'; /* of the fleet's name, in both places */
	char *at = strstr(other, "\xe2\x80\x94 hawser/");
	at[strlen("\xe2\x80\x94 hawser/")] = other[7];
	cr_assert(eq(int, report(node, WITNESS_STATE_DAMAGED, other, "so it is"), 0));
	const struct msg_witness *said = only_witness(admin);
	cr_assert(eq(int, said->state, WITNESS_STATE_DAMAGED));
	cr_assert(eq(int, said->head == NULL || said->head[0] == '\0', 1));
	cr_assert_str_eq(said->message, "so it is");
	cr_assert(eq(sz, world_entries(w, "witness.report", NULL, 0), 1));
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(ledger, a_node_that_changes_its_mind_all_the_time_drowns_no_other)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct world_peer *liar = world_node(w, admin, "n1"), *node = world_node(w, admin, "n2");

	connect_all((struct world_peer *[]){admin, liar, node}, 3);
	for (int i = 0; i < 200; i++)
		cr_assert(eq(int,
			report(liar, i % 2 == 0 ? WITNESS_STATE_FORK : WITNESS_STATE_AGREES, NULL,
				"ever anew"),
			0));
	cr_assert(eq(int, report(node, WITNESS_STATE_FORK, NULL, "this once"), 0));
	cr_assert(eq(sz, world_entries_with(w, "this once"), 1));
	cr_assert(le(sz, world_entries(w, "witness.report", NULL, 0), 3));
	cr_assert(eq(int, (int)world_metric(w, "witnesses_objecting"), 1));

	/* What was held back is said with its next report. */
	world_advance(w, 2 * 60 * USEC_PER_SEC);
	cr_assert(eq(int, report(liar, WITNESS_STATE_AGREES, NULL, NULL), 0));
	cr_assert(eq(sz, world_entries_with(w, "agrees again"), 1));
	cr_assert(eq(int, report(liar, WITNESS_STATE_AGREES, NULL, NULL), 0));
	cr_assert(eq(sz, world_entries_with(w, "agrees again"), 1));
	world_peer_free(liar);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}
