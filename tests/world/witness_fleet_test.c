/* Nodes as witnesses of their relay's ledger, while its directory is replaced behind its back. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <openssl/x509.h>

#include "proto/trust/witness.h"
#include "relay/core/ledger_care.h"
#include "tests/world/fleet.h"

#define MINUTE (60 * USEC_PER_SEC)
#define NODES  4
#define OTHERS 96 /* that keep heads and are no nodes */

struct story {
	struct world *w;
	struct fleet_user *admin;
	struct fleet_node *nodes[NODES];
	size_t n;
};

static struct story
story_new(size_t n)
{
	struct story s = {.w = world_new(NULL), .n = n};
	char name[32];

	s.admin = fleet_user_new(s.w, s.w->invite);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "web-%03zu", i);
		s.nodes[i] = fleet_node_new(s.admin, name);
	}
	world_advance(s.w, USEC_PER_SEC); /* the first head is signed */
	return s;
}

static void
all_on(struct story *s)
{
	for (size_t i = 0; i < s->n; i++)
		fleet_node_on(s->nodes[i]);
	world_advance(s->w, 2 * USEC_PER_SEC);
}

static void
story_end(struct story *s)
{
	for (size_t i = 0; i < s->n; i++)
		fleet_node_free(s->nodes[i]);
	fleet_user_free(s->admin);
	world_on_dir(s->w, "rm -rf $d.copy");
	world_free(s->w);
}

static struct witness_status
status_of(const struct fleet_node *n)
{
	struct witness_status st;

	watch_status(n->watch, &st);
	return st;
}

static void
expect(const struct fleet_node *n, int state)
{
	struct witness_status st = status_of(n);

	cr_assert(eq(int, st.state, state), "%s: %s", enum_text(&enum_WITNESS_STATE, st.state),
		st.text);
}

/* A copy of the relay's directory, as a backup makes it. */
static void
back_up(struct story *s)
{
	struct hw_err err = HW_ERR_INIT;

	world_stop(s->w);
	world_on_dir(s->w, "cp -a $d $d.copy");
	cr_assert(eq(int, world_start(s->w, &err), 0), "%s", err.text);
	cr_assert(eq(int, fleet_user_connect(s->admin, &err), 0), "%s", err.text);
	world_advance(s->w, 2 * MINUTE);
}

static void
go_on(struct story *s)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_start(s->w, &err), 0), "%s", err.text);
	cr_assert(eq(int, fleet_user_connect(s->admin, &err), 0), "%s", err.text);
	world_advance(s->w, 2 * MINUTE);
}

static void
restore(struct story *s)
{
	world_stop(s->w);
	world_on_dir(s->w, "rm -r $d && cp -a $d.copy $d");
	go_on(s);
}

/* And the owner of the recovery key says that it was. */
static void
recover(struct story *s)
{
	const struct ledger_care care = {.dir = s->w->dir};
	struct hw_err err = HW_ERR_INIT;
	uint32_t epoch;
	uint64_t size;
	char key[128];

	snprintf(key, sizeof(key), "%s/recovery.key", s->w->dir);
	world_stop(s->w);
	cr_assert(eq(int, ledger_care_recover(&epoch, &size, &care, key, &err), 0), "%s", err.text);
	go_on(s);
}

/* A crash leaves entries that no head is over; then the ledger is recovered, and its key replaced,
 * before any head is signed. */
static void
recover_and_rotate(struct story *s)
{
	const struct ledger_care care = {.dir = s->w->dir};
	struct hw_err err = HW_ERR_INIT;
	uint32_t epoch;
	uint64_t size;
	char key[128];

	snprintf(key, sizeof(key), "%s/recovery.key", s->w->dir);
	world_stop(s->w);
	world_on_dir(s->w, "truncate -s 168 $d/ledger/heads"); /* one of them */
	cr_assert(eq(int, ledger_care_recover(&epoch, &size, &care, key, &err), 0), "%s", err.text);
	cr_assert(eq(int, ledger_care_rotate(&epoch, &care, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(u32, epoch, 3));
	go_on(s);
}

/* Something that the copy does not have. */
static void
make_history(struct story *s)
{
	struct msg_list_users_request req = {.max_results = 0};
	struct msg_list_users_reply *users;

	for (int i = 0; i < 5; i++)
		fleet_call(s->admin, OP_list_users, &users, &req);
	world_advance(s->w, 2 * MINUTE);
}

struct count {
	int agree, object, silent;
	char message[512];
};

static struct count
count_witnesses(struct story *s)
{
	struct msg_list_witnesses_request req = {.max_results = 0};
	struct msg_list_witnesses_reply *rep;
	struct count c = {.agree = 0};

	do {
		fleet_call(s->admin, OP_list_witnesses, &rep, &req);
		for (size_t i = 0; i < rep->witnesses.n; i++) {
			const struct msg_witness *w = &rep->witnesses.v[i];
			c.agree += w->state == WITNESS_STATE_AGREES && w->head != NULL;
			c.silent += w->state == 0;
			if (w->state != 0 && w->state != WITNESS_STATE_AGREES) {
				c.object++;
				snprintf(c.message, sizeof(c.message), "%s", w->message);
			}
		}
		req.next_token = rep->next_token;
	} while (rep->next_token != NULL);
	return c;
}

Test(witness_fleet, heads_are_followed_and_told_and_kept_on_disk, .timeout = 60)
{
	struct story s = story_new(1);
	struct witness_status before;
	char path[128];
	struct stat st;

	all_on(&s);
	before = status_of(s.nodes[0]);
	expect(s.nodes[0], WITNESS_STATE_AGREES);
	uint64_t size = before.kept->size;
	make_history(&s);
	before = status_of(s.nodes[0]);
	cr_assert(gt(u64, before.saved->size, size));
	cr_assert(eq(int, count_witnesses(&s).agree, 1));
	snprintf(path, sizeof(path), "%s/" WITNESS_FILE, s.nodes[0]->dir);
	cr_assert(eq(int, stat(path, &st), 0));
	cr_assert(eq(int, (int)(st.st_mode & 0777), 0600));

	struct msg_describe_instance_information_request req = {.max_results = 0};
	struct msg_describe_instance_information_reply *rep;
	fleet_call(s.admin, OP_describe_instance_information, &rep, &req);
	const char *brief = rep->instance_information_list.v[0].witness;
	cr_assert(ne(ptr, (void *)(uintptr_t)strstr(brief, "agrees at "), NULL), "%s", brief);
	cr_assert(eq(sz, world_entries(s.w, "witness.report", NULL, 0), 0));
	story_end(&s);
}

/* A ledger that grows with each second is asked about once a minute, and written as often. */
Test(witness_fleet, a_busy_relay_wears_neither_disk_nor_node, .timeout = 60)
{
	struct story s = story_new(1);
	struct msg_list_users_request req = {.max_results = 0};
	struct msg_list_users_reply *users;
	ino_t last = 0;
	char path[128];
	int writes = 0;
	struct stat st;

	all_on(&s);
	snprintf(path, sizeof(path), "%s/" WITNESS_FILE, s.nodes[0]->dir);
	for (int i = 0; i < 300; i++) {
		fleet_call(s.admin, OP_list_users, &users, &req);
		world_advance(s.w, USEC_PER_SEC);
		cr_assert(eq(int, stat(path, &st), 0));
		writes += st.st_ino != last;
		last = st.st_ino;
	}
	cr_assert(ge(int, writes, 4));
	cr_assert(le(int, writes, 7));
	expect(s.nodes[0], WITNESS_STATE_AGREES);
	story_end(&s);
}

/* One that asks over the admin's link, and keeps all in memory. */
static void
witness_asks(struct story *s, struct witness *w)
{
	struct msg_get_ledger_head_request req = {.since = 0};
	struct msg_get_ledger_head_reply *head;
	int64_t now = clock_wall(relay_clock(s->w->relay));
	struct witness_ask ask;

	fleet_call(s->admin, OP_get_ledger_head, &head, &req);
	witness_head(w, head->head, strlen(head->head), now, &ask);
	while (ask.what == WITNESS_EPOCHS)
		witness_epochs(w, head->epochs, strlen(head->epochs), head->last_epoch, now, &ask);
	if (ask.what != WITNESS_PROOF)
		return;
	const struct msg_get_consistency_proof_request want = {
		.old_size = ask.old_size, .size = ask.size};
	struct msg_get_consistency_proof_reply *proof;
	fleet_call(s->admin, OP_get_consistency_proof, &proof, &want);
	witness_proof(w, proof->hashes.p, proof->hashes.n, now, &ask);
}

static int
count_agreeing(struct story *s, struct witness *const *all)
{
	struct witness_status st;
	int n = 0;

	for (size_t i = 0; i < OTHERS; i++) {
		witness_asks(s, all[i]);
		witness_status(all[i], &st);
		n += st.good && st.state == WITNESS_STATE_AGREES;
	}
	return n;
}

/* Three nodes and 96 others were away while there was more; one node was not. */
Test(witness_fleet, one_of_a_hundred_catches_a_relay_that_was_rolled_back, .timeout = 120)
{
	struct story s = story_new(NODES);
	struct witness *others[OTHERS];
	struct hw_err err = HW_ERR_INIT;
	X509 *ca;

	cr_assert(eq(int, cert_load(&ca, s.nodes[0]->fd, "ca.crt", &err), 0));
	for (size_t i = 0; i < OTHERS; i++)
		others[i] = witness_new(ca);
	all_on(&s);
	cr_assert(eq(int, count_witnesses(&s).agree, NODES));
	cr_assert(eq(int, count_agreeing(&s, others), OTHERS));
	for (size_t i = 1; i < NODES; i++)
		fleet_node_off(s.nodes[i]);
	world_advance(s.w, USEC_PER_SEC);
	back_up(&s);
	make_history(&s);
	restore(&s);
	for (size_t i = 1; i < NODES; i++)
		fleet_node_on(s.nodes[i]);
	world_advance(s.w, 2 * USEC_PER_SEC);

	struct count c = count_witnesses(&s);
	cr_assert(eq(int, c.agree, NODES - 1));
	cr_assert(eq(int, count_agreeing(&s, others), OTHERS));
	cr_assert(eq(int, c.object, 1), "%s", c.message);
	cr_assert(ne(ptr, strstr(c.message, "entries (root "), NULL), "%s", c.message);
	cr_assert(ne(int, status_of(s.nodes[0]).state, WITNESS_STATE_AGREES));
	cr_assert(eq(sz, world_entries(s.w, "witness.report", NULL, 0), 1));
	cr_assert(eq(int, (int)world_metric(s.w, "witnesses_objecting"), 1));

	recover(&s);
	c = count_witnesses(&s);
	cr_assert(eq(int, c.agree, NODES), "%s", c.message);
	cr_assert(eq(int, count_agreeing(&s, others), OTHERS));
	for (size_t i = 0; i < OTHERS; i++)
		witness_free(others[i]);
	X509_free(ca);
	story_end(&s);
}

Test(witness_fleet, a_restored_relay_is_reported_by_an_agent_that_was_restarted_until_recovered,
	.timeout = 60)
{
	struct story s = story_new(1);
	struct fleet_node *n = s.nodes[0];
	char path[128], said[WITNESS_SENTENCE_MAX];
	struct hw_err err = HW_ERR_INIT;
	struct buf text;

	all_on(&s);
	back_up(&s);
	make_history(&s);
	fleet_node_restart(n);
	restore(&s);
	expect(n, WITNESS_STATE_ROLLBACK);
	fleet_node_restart(n);
	expect(n, WITNESS_STATE_ROLLBACK);
	cr_assert(eq(int, fleet_node_state(n), AGENT_CONNECTED)); /* it goes on serving */
	struct fleet_program *p = fleet_shell(s.admin, n);
	fleet_program_free(p);

	/* Two heads that anybody can check. */
	snprintf(path, sizeof(path), "%s/" WITNESS_EVIDENCE, n->dir);
	buf_init(&text, WITNESS_EVIDENCE_MAX);
	cr_assert(eq(int, file_read(&text, n->fd, WITNESS_EVIDENCE, &err), 0), "%s", err.text);
	X509 *ca;
	cr_assert(eq(int, cert_load(&ca, n->fd, "ca.crt", &err), 0));
	cr_assert(ge(int, witness_check_evidence(said, buf_data(&text), text.len, ca, &err), 0),
		"%s", err.text);
	X509_free(ca);
	buf_fini(&text);

	make_history(&s);
	cr_assert(ne(int, status_of(n).state, WITNESS_STATE_AGREES));
	recover(&s);
	expect(n, WITNESS_STATE_AGREES);
	make_history(&s);
	expect(n, WITNESS_STATE_AGREES);
	cr_assert(eq(int, count_witnesses(&s).agree, 1));
	story_end(&s);
}

Test(witness_fleet, a_ledger_that_is_recovered_and_given_another_key_at_once_goes_on, .timeout = 60)
{
	struct story s = story_new(1);

	all_on(&s);
	make_history(&s);
	recover_and_rotate(&s);
	expect(s.nodes[0], WITNESS_STATE_AGREES);
	make_history(&s);
	expect(s.nodes[0], WITNESS_STATE_AGREES);
	story_end(&s);
}

static struct fleet_user *
another_user(struct story *s)
{
	struct msg_create_user_request req = {.user_name = "ann"};
	struct msg_attach_policy_request attach = {
		.policy_name = "fleet-administrator", .user_name = "ann"};
	struct msg_create_user_reply *rep;
	struct msg_empty *none;

	fleet_call(s->admin, OP_create_user, &rep, &req);
	fleet_call(s->admin, OP_attach_policy, &none, &attach);
	return fleet_user_new(s->w, rep->invite);
}

/* --- refusing --------------------------------------------------------------------------------- */

static const struct msg_get_command_invocation_reply *
run_command(struct story *s, const struct fleet_node *n)
{
	const char *ids[] = {n->id}, *script = "print 10";
	struct msg_pair commands = {
		"commands", {&script, 1}
	};
	struct msg_send_command_request req = {
		.document_name = "AWS-RunShellScript",
		.instance_ids = {ids,	      1},
		.parameters = {&commands, 1},
	};
	struct msg_get_command_invocation_request ask = {.instance_id = n->id};
	struct msg_get_command_invocation_reply *rep;
	struct msg_send_command_reply *sent;

	fleet_call(s->admin, OP_send_command, &sent, &req);
	ask.command_id = sent->command->command_id;
	world_advance(s->w, 20 * USEC_PER_SEC);
	fleet_call(s->admin, OP_get_command_invocation, &rep, &ask);
	return rep;
}

Test(witness_fleet, a_node_that_refuses_lets_go_on_what_runs_and_begins_nothing_until_recovered,
	.timeout = 60)
{
	struct story s = story_new(1);
	struct fleet_node *n = s.nodes[0];
	struct hw_err err = HW_ERR_INIT;
	struct fleet_program *more;

	n->refuses = true;
	all_on(&s);
	/* Of somebody whose connection is not made anew with each start of the relay. */
	struct fleet_user *ann = another_user(&s);
	struct fleet_program *shell = fleet_shell(ann, n);
	fleet_type(shell, "hello");
	cr_assert(eq(int, run_command(&s, n)->status, INVOCATION_STATUS_SUCCESS));

	back_up(&s);
	make_history(&s);
	restore(&s);
	expect(n, WITNESS_STATE_ROLLBACK);
	cr_assert(eq(int, fleet_start(&more, s.admin, n, CHANNEL_TYPE_PTY, NULL, &err), HW_ELOCAL));
	cr_assert(ne(ptr, strstr(err.text, "the ledger went back"), NULL), "%s", err.text);
	cr_assert(not(shell->over), "%s", shell->why);
	fleet_type(shell, " there");
	world_advance(s.w, USEC_PER_SEC);
	cr_assert(ne(ptr, strstr(fleet_shown(shell, STREAM_OUT), "there"), NULL));
	fleet_program_free(shell);
	cr_assert(eq(int, run_command(&s, n)->status, INVOCATION_STATUS_FAILED));

	recover(&s);
	expect(n, WITNESS_STATE_AGREES);
	struct fleet_program *again = fleet_shell(s.admin, n);
	fleet_program_free(again);
	cr_assert(eq(int, run_command(&s, n)->status, INVOCATION_STATUS_SUCCESS));
	fleet_user_free(ann);
	story_end(&s);
}
