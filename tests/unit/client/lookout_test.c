/* What a client finds out about relays that lie about their ledger, by what they answer and by what
 * they do not. */
#include "client/lookout.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client.h"
#include "client/kept.h"
#include "client/verify_online.h"
#include "proto/trust/cert.h"
#include "proto/trust/secret.h"
#include "proto/wire/codec.h"
#include "tests/unit/client/stage.h"

#define FLEET  "0123456789ab"
#define ORIGIN "hawser/" FLEET "/relay"
#define NOW    (INT64_C(1700000000) * USEC_PER_SEC)
#define HEADS  4

/* --- a relay that lies ------------------------------------------------------------------------ */

static struct {
	struct ca *ca;
	EVP_PKEY *key;
	struct buf statement;
	char heads[HEADS][LOG_HEAD_MAX]; /* one for each question for the newest; the last stays */
	size_t n_heads, asked;
	int refuses;	   /* code of the answer to questions beyond those */
	bool hides_epochs; /* questions for statements are never answered */
	bool hangs_up;	   /* in place of such an answer */
	char node_head[LOG_HEAD_MAX];
	size_t nodes, pages; /* of nodes that hold it, on each page; 0: one */
	int node_state;	     /* 0: they agree */
	const char *message;
	size_t pages_given, proofs; /* that were asked for */
	uint8_t proof[2 * MERKLE_LEN];
	size_t proof_len; /* 0: of no use */
} relay;

static struct rig *rig;
static struct client client;
static char home[] = "/tmp/lookout-XXXXXX";
static int dir;
static struct buf said;

static void
write_root(char out[LOG_HEAD_MAX], uint64_t size, const uint8_t root[MERKLE_LEN], int64_t time)
{
	struct log_head h = {.epoch = 1, .size = size, .time = time};

	memcpy(h.root, root, MERKLE_LEN);
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, relay.key, NULL), 0));
	log_head_format(out, &h, ORIGIN);
}

/* A head over entries of which only this text is known. */
static void
write_head(char out[LOG_HEAD_MAX], uint64_t size, const char *entries, int64_t time)
{
	uint8_t root[MERKLE_LEN];

	merkle_leaf(root, entries, strlen(entries));
	write_root(out, size, root, time);
}

/* The newest head, of entries "a" and "b"; nodes hold that of "a", and it can be proven. */
static void
shows_two(void)
{
	uint8_t both[1 + 2 * MERKLE_LEN] = {1}, root[MERKLE_LEN];

	write_head(relay.node_head, 1, "a", NOW);
	merkle_leaf(both + 1, "a", 1);
	merkle_leaf(both + 1 + MERKLE_LEN, "b", 1);
	sha256(root, both, sizeof(both));
	write_root(relay.heads[relay.n_heads++], 2, root, NOW);
	memcpy(relay.proof, both + 1 + MERKLE_LEN, MERKLE_LEN);
	relay.proof_len = MERKLE_LEN;
}
static void
shows(uint64_t size, const char *entries, int64_t time)
{
	write_head(relay.heads[relay.n_heads++], size, entries, time);
}

static void
forget_heads(void)
{
	relay.n_heads = relay.asked = 0;
}

static void
answer_head(struct link *l, uint64_t id, const struct msg_get_ledger_head_request *req)
{
	struct msg_get_ledger_head_reply rep = {.last_epoch = 1};
	size_t nth = relay.asked < relay.n_heads ? relay.asked : relay.n_heads - 1;

	if (req->since != UINT32_MAX && relay.hides_epochs)
		return;
	bool refuses = relay.asked++ >= relay.n_heads;
	if (refuses && relay.hangs_up) {
		link_close(l, HW_EUNAVAILABLE, "gone");
		rig->relay = NULL;
		return;
	}
	if (refuses && relay.refuses != 0) {
		link_respond(l, id, relay.refuses, "not now", NULL, NULL);
		return;
	}
	rep.head = relay.heads[nth];
	if (req->since == 0)
		rep.epochs = buf_str(&relay.statement);
	link_respond(l, id, 0, NULL, MSG_ROW(get_ledger_head_reply), &rep);
}

static void
answer_witnesses(struct link *l, uint64_t id)
{
	struct msg_witness w[16];
	struct msg_list_witnesses_reply rep = {
		.witnesses = {.v = w, .n = relay.nodes > 0 ? relay.nodes : 1}
	     };

	for (size_t i = 0; i < 16; i++)
		w[i] = (struct msg_witness){.instance_id = "mi-00000000000000001",
			.name = "web-01",
			.connected = true,
			.state = relay.node_state != 0 ? relay.node_state : WITNESS_STATE_AGREES,
			.message = relay.message,
			.head = relay.node_head};
	if (++relay.pages_given < relay.pages)
		rep.next_token = "more";

	if (relay.node_head[0] == '\0')
		rep.witnesses.n = 0;
	link_respond(l, id, 0, NULL, MSG_ROW(list_witnesses_reply), &rep);
}

static void
answer_identity(struct link *l, uint64_t id)
{
	struct msg_get_caller_identity_reply rep = {.arn = "arn:aws:iam::000000000000:user/alice",
		.user_name = "alice",
		.fleet = FLEET,
		.relay = "main",
		.relay_version = "1"};

	link_respond(l, id, 0, NULL, MSG_ROW(get_caller_identity_reply), &rep);
}

/* No proof that it gives is one, unless a test has one. */
static void
on_request(struct rig *r, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	const size_t len = relay.proof_len > 0 ? relay.proof_len : sizeof(relay.proof);
	const struct msg_get_consistency_proof_reply proof = {
		.hashes = {.p = relay.proof, .n = len}
	      };
	void *req;

	cr_assert(eq(int, msg_decode(&req, r->arena, op_find(op)->request(), body, n, NULL), 0));
	if (strcmp(op, "GetLedgerHead") == 0)
		answer_head(l, id, req);
	else if (strcmp(op, "ListWitnesses") == 0)
		answer_witnesses(l, id);
	else if (strcmp(op, "GetCallerIdentity") == 0)
		answer_identity(l, id);
	else if (++relay.proofs > 0)
		link_respond(l, id, 0, NULL, MSG_ROW(get_consistency_proof_reply), &proof);
}

static void
begin_epoch(void)
{
	struct log_epoch e = {.epoch = 1, .time = NOW, .by = LOG_BY_AUTHORITY};

	merkle_empty(e.root);
	cr_assert(eq(int, log_key_public(e.key, relay.key, NULL), 0));
	cr_assert(eq(int, log_epoch_sign(&e, ORIGIN, NULL, relay.ca, NULL), 0));
	buf_init(&relay.statement, LOG_EPOCH_MAX);
	cr_assert(eq(int, log_epoch_format(&relay.statement, &e, ORIGIN), 0));
}

static void
setup(void)
{
	cr_assert(ne(ptr, mkdtemp(home), NULL));
	cr_assert(eq(int, dir_open(&dir, home, false, NULL), 0));
	cr_assert(eq(int, ca_create(&relay.ca, dir, NOW, NULL), 0));
	cr_assert(eq(int, key_generate_signing(&relay.key, NULL), 0));
	begin_epoch();
	rig = rig_new();
	rig->requested = on_request;
	client = (struct client){.loop = rig->loop,
		.arena = rig->arena,
		.conn = rig->conn,
		.home_dir = home, /* where nobody is logged in, to connect anew */
		.timeout = CLIENT_TIMEOUT};
	snprintf(client.home.path, sizeof(client.home.path), "%s", home);
	snprintf(client.home.fleet, sizeof(client.home.fleet), FLEET);
	buf_init(&said, 1 << 16);
}

static void
remove_home(void)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;

	while ((e = readdir(d)) != NULL)
		unlinkat(dir, e->d_name, 0);
	closedir(d);
	cr_assert(eq(int, rmdir(home), 0));
}

static void
teardown(void)
{
	rig->conn = client.conn; /* NULL once it was lost */
	rig_free(rig);
	ca_free(relay.ca);
	key_free(relay.key);
	buf_fini(&relay.statement);
	buf_fini(&said);
	remove_home();
}

TestSuite(lookout, .init = setup, .fini = teardown, .timeout = 60);

/* --- the client's own memory ------------------------------------------------------------------ */

static void
say(void *arg, const char *line)
{
	(void)arg;
	buf_append_str(&said, line);
	buf_append_byte(&said, '\n');
}

static struct lookout *
look_out(bool wary)
{
	const struct lookout_config config = {
		.conn = rig->conn, .home = &client.home, .wary = wary, .say = say};

	return lookout_new(&config);
}

static struct lookout_view
look(void)
{
	struct lookout *l = look_out(true);
	struct lookout_view v = *lookout_wait(l);

	lookout_finish(l);
	return v;
}

Test(lookout, two_heads_that_contradict_need_no_answer)
{
	shows(10, "a", NOW);
	cr_assert(eq(int, look().state, WITNESS_STATE_AGREES));

	forget_heads();
	shows(5, "b", NOW + USEC_PER_SEC);
	relay.hides_epochs = true;
	struct lookout_view v = look();
	cr_assert(eq(int, v.state, WITNESS_STATE_ROLLBACK));
	cr_assert(v.lasts);
	cr_assert(ne(chr, v.evidence[0], '\0'));
	cr_assert(ne(ptr, strstr(buf_str(&said), "WARNING"), NULL));

	/* It is kept, whatever the relay tells then. */
	forget_heads();
	relay.hides_epochs = false;
	shows(10, "a", NOW);
	cr_assert(eq(int, look().state, WITNESS_STATE_ROLLBACK));
}

Test(lookout, two_histories_are_a_fork)
{
	shows(10, "a", NOW);
	cr_assert(eq(int, look().state, WITNESS_STATE_AGREES));
	forget_heads();
	shows(10, "b", NOW);
	cr_assert(eq(int, look().state, WITNESS_STATE_FORK));
}

Test(lookout, what_is_not_proven_is_no_agreement)
{
	shows(10, "a", NOW);
	cr_assert(eq(int, look().state, WITNESS_STATE_AGREES));
	forget_heads();
	shows(20, "b", NOW + USEC_PER_SEC);
	cr_assert(eq(int, look().state, WITNESS_STATE_REWRITTEN));
}

/* A look of a command that is over soon, with a relay that has not answered for long. */
static void
look_in_vain(int64_t since_last)
{
	const struct timespec at = {.tv_sec = (NOW - since_last) / USEC_PER_SEC};
	const struct timespec both[2] = {at, at};
	char text[64];

	snprintf(text, sizeof(text), "9 %lld\n", (long long)(NOW - 3600 * USEC_PER_SEC));
	int fd = openat(dir, "witness-" FLEET ".lock", O_RDWR | O_CREAT | O_TRUNC, 0600);
	cr_assert(eq(sz, (size_t)write(fd, text, strlen(text)), strlen(text)));
	cr_assert(eq(int, futimens(fd, both), 0));
	close(fd);
	lookout_finish(look_out(false));
}

Test(lookout, a_relay_that_never_answers_is_told_of_once_a_minute)
{
	rig->mute = true;
	look_in_vain(10 * USEC_PER_SEC);
	cr_assert_str_eq(buf_str(&said), "");
	look_in_vain(300 * USEC_PER_SEC);
	cr_assert(ne(ptr, strstr(buf_str(&said), "has not proven"), NULL));
}

/* --- audit verify ----------------------------------------------------------------------------- */

static struct kept kept;
static struct verify_result found;
static struct online_result online;

static void
verify(void)
{
	struct hw_err err = HW_ERR_INIT;
	int r = verify_online(&online, &found, &client, &kept, NULL, NULL, &err);

	cr_assert(eq(int, r, 0), "%s", err.text);
	kept_fini(&kept);
}

static void
keeps(uint64_t size, const char *entries)
{
	char text[LOG_HEAD_MAX];

	write_head(text, size, entries, NOW);
	kept_init(&kept, rig->arena);
	cr_assert(eq(int, kept_take_notes(&kept, "anchors", text, strlen(text), NULL), 0));
}

static void
expect(size_t findings, size_t doubts, const char *file, const char *what)
{
	const struct verify_finding *f = findings > 0 ? found.findings : found.doubts;

	cr_assert(eq(sz, found.n_findings, findings), "%s", found.findings[0].what);
	cr_assert(eq(sz, found.n_doubts, doubts), "%s", found.doubts[0].what);
	if (findings + doubts == 0)
		return;
	cr_assert(ne(ptr, strstr(f->file, file), NULL), "%s", f->file);
	cr_assert(ne(ptr, strstr(f->what, what), NULL), "%s", f->what);
}

Test(lookout, verify_takes_what_is_so)
{
	shows(10, "a", NOW);
	keeps(10, "a");
	strcpy(relay.node_head, relay.heads[0]);
	verify();
	expect(0, 0, "", "");
	cr_assert(eq(u64, online.agree, 1));
}

Test(lookout, verify_does_not_believe_that_a_node_agrees)
{
	shows(10, "a", NOW);
	write_head(relay.node_head, 10, "b", NOW);
	verify();
	expect(1, 0, "web-01", "has signed two roots for 10 entries");
	cr_assert(eq(u64, online.agree, 0));
}

/* However many nodes hold a head, on however many pages: the relay proves it once. */
Test(lookout, verify_asks_once_for_what_many_nodes_hold)
{
	shows_two();
	relay.nodes = 16;
	relay.pages = 3;
	verify();
	expect(0, 0, "", "");
	cr_assert(eq(u64, online.nodes, 48));
	cr_assert(eq(u64, online.agree, 48));
	cr_assert(eq(sz, relay.proofs, 1));
}

Test(lookout, verify_tells_of_each_node_what_was_asked_for_once)
{
	shows_two();
	relay.nodes = 5;
	relay.proof[0] ^= 1;
	verify();
	expect(5, 0, "web-01", "it was rewritten");
	cr_assert(eq(sz, relay.proofs, 1));
	cr_assert(eq(u64, online.agree, 0));
}

/* A node at odds with the relay, in these words. */
static const char *
told_of(const char *message)
{
	shows_two();
	relay.node_state = WITNESS_STATE_ROLLBACK;
	relay.message = message;
	verify();
	expect(1, 0, "web-01", "holds 1 entries");
	return found.findings[0].what;
}

Test(lookout, verify_tells_whole_sentences)
{
	char message[400];

	memset(message, 'x', 370);
	strcpy(message + 370, " before");
	cr_assert_str_eq(strrchr(told_of(message), ' '), " before");
}

Test(lookout, verify_does_not_believe_a_proof_of_nothing)
{
	shows(10, "a", NOW);
	keeps(5, "b");
	verify();
	expect(1, 0, "anchors", "it was rewritten");
}

Test(lookout, verify_names_a_ledger_that_is_shorter_than_it_was)
{
	shows(10, "a", NOW);
	keeps(20, "b");
	verify();
	expect(1, 0, "anchors", "the ledger was cut");
}

Test(lookout, verify_finds_no_fault_in_an_answer_that_did_not_come)
{
	shows(10, "a", NOW);
	relay.refuses = HW_EUNAVAILABLE;
	keeps(20, "b");
	verify();
	expect(0, 1, "anchors", "does not show what it has by now");
}

Test(lookout, verify_outlives_a_relay_that_hangs_up)
{
	shows(10, "a", NOW);
	relay.hangs_up = true;
	keeps(20, "b");
	verify();
	cr_assert(eq(sz, found.n_findings, 0));
	cr_assert(ge(sz, found.n_doubts, 1));
}

Test(lookout, verify_finds_a_relay_that_shows_one_ledger_after_another)
{
	shows(10, "a", NOW);
	shows(20, "b", NOW + USEC_PER_SEC);
	keeps(20, "b");
	verify();
	expect(1, 0, "the relay", "showed two ledgers");
}

Test(lookout, verify_finds_a_head_that_nobody_signed)
{
	shows(10, "a", NOW);
	memcpy(strstr(relay.heads[0], "\n10\n"), "\n11\n", 4);
	verify();
	expect(1, 0, "the relay", "is not signed as its epochs say");
}

/* --- status ----------------------------------------------------------------------------------- */

/* What `line` shows, which the caller frees. */
static char *
show(const char *line)
{
	struct stage s = {.rig = rig, .client = client};

	s.client.lookout = look_out(true);
	stage_run(&s, line, NULL);
	cr_assert(eq(int, s.status, 0), "%s: %s", line, s.err.text);
	lookout_finish(s.client.lookout);
	s.client.lookout = NULL;
	client = s.client;
	free(s.asked);
	free(s.said);
	return s.out;
}

static void
shows_objections(size_t nodes, size_t pages)
{
	shows_two();
	relay.nodes = nodes;
	relay.pages = pages;
	relay.pages_given = 0;
	relay.node_state = WITNESS_STATE_ROLLBACK;
	relay.message = "it went back";
}

static size_t
times(const char *all, const char *part)
{
	size_t n = 0;

	for (; (all = strstr(all, part)) != NULL; all += strlen(part))
		n++;
	return n;
}

Test(lookout, status_lists_who_objects_in_every_format)
{
	static const char file[] = "web-01 (mi-00000000000000001)";
	static const char what[] = "holds 1 entries, signed 2023-11-14T22:13:20.000Z: it went back";
	char part[200];
	char *text, *json, *yaml;

	shows_objections(5, 1);
	text = show("status");
	json = show("status -o json");
	yaml = show("status -o yaml");
	snprintf(part, sizeof(part), "OBJECTS   %s: %s\n", file, what);
	cr_assert(eq(sz, times(text, part), 4));
	stage_has(text, "OBJECTS   and 1 more: hawser audit verify\n");
	snprintf(part, sizeof(part), "\"File\": \"%s\",\n        \"What\": \"%s\"\n", file, what);
	cr_assert(eq(sz, times(json, part), 5), "%s", json);
	stage_has(json, "\"FindingsInAll\": 5\n");
	cr_assert(eq(sz, times(yaml, what), 5), "%s", yaml);
	stage_has(yaml, "  FindingsInAll: 5\n");
	free(text);
	free(json);
	free(yaml);
}

Test(lookout, status_lists_as_many_that_object_as_there_is_room_for)
{
	char *json;

	shows_objections(16, 2);
	json = show("status -o json");
	cr_assert(eq(sz, times(json, "it went back"), VERIFY_FINDINGS_MAX), "%s", json);
	stage_has(json, "\"FindingsInAll\": 32\n");
	free(json);
}

Test(lookout, status_has_no_findings_where_nobody_objects)
{
	char *text, *json;

	shows_two();
	text = show("status");
	json = show("status -o json");
	stage_has(text, "witnesses 1 of 1 agree\n");
	stage_lacks(text, "OBJECTS");
	stage_has(json, "\"WitnessesAgree\": 1,\n");
	stage_lacks(json, "Findings");
	free(text);
	free(json);
}

/* Asking the nodes connects anew then, with which what was seen is another's. */
Test(lookout, status_tells_what_it_saw_of_a_relay_that_hangs_up)
{
	char *json;

	shows(10, "a", NOW);
	cr_assert(eq(int, look().state, WITNESS_STATE_AGREES));
	forget_heads();
	shows(5, "b", NOW + USEC_PER_SEC);
	cr_assert(eq(int, look().state, WITNESS_STATE_ROLLBACK));
	forget_heads();
	relay.hangs_up = true;
	json = show("status -o json");
	stage_has(json, "\"State\": \"Rollback\"");
	stage_has(json, "\"Message\": \"the ledger went back");
	stage_has(json, "\"Evidence\": \"");
	free(json);
}
