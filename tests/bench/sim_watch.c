#include "tests/bench/sim_watch.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/wire/codec.h"

#define JUDGE_EVERY 60		 /* seconds, as node/watch.c has it */
#define REPLY_ARENA (256 * 1024) /* and that */

static void
report(struct sim_watch *w, struct sim_link *l)
{
	char head[LOG_HEAD_MAX];
	struct witness_status st;

	witness_status(w->witness, &st);
	if (st.state != WITNESS_STATE_AGREES)
		sim_die(st.text, &(struct hw_err)HW_ERR_INIT);
	if (w->report != 0 || st.kept == NULL || st.kept->size == w->told)
		return;
	log_head_format(head, st.kept, st.origin);
	const struct msg_report_ledger_head_request m = {.state = st.state, .head = head};
	w->report = sim_request(l, &op_rows[OP_report_ledger_head],
		MSG_ROW(report_ledger_head_request), &m);
	w->told = st.kept->size;
	w->count->reports++;
}

static void
ask(struct sim_watch *w, struct sim_link *l, const struct witness_ask *a)
{
	const struct msg_get_ledger_head_request head = {.since = a->since};
	const struct msg_get_consistency_proof_request proof = {
		.old_size = a->old_size, .size = a->size};

	w->what = a->what;
	w->question = 0;
	if (a->what == WITNESS_NOTHING) {
		report(w, l);
	} else if (a->what == WITNESS_EPOCHS) {
		w->question = sim_request(l, &op_rows[OP_get_ledger_head],
			MSG_ROW(get_ledger_head_request), &head);
	} else {
		w->question = sim_request(l, &op_rows[OP_get_consistency_proof],
			MSG_ROW(get_consistency_proof_request), &proof);
		w->count->proofs++;
	}
}

static void
judge(struct sim_watch *w, struct sim_link *l, const char *head)
{
	struct witness_ask next;

	w->count->judged++;
	witness_head(w->witness, head, strlen(head), clock_wall(&hw_clock_system), &next);
	ask(w, l, &next);
}

void
sim_watch_head(struct sim_watch *w, struct sim_link *l, const char *head)
{
	w->count->shown++;
	if (!w->shown) {
		w->shown = true;
		judge(w, l, head);
		return;
	}
	free(w->pending);
	w->pending = strdup(head);
}

static void
take_epochs(struct sim_watch *w, struct arena *a, const struct frame *f, struct witness_ask *next)
{
	struct hw_err err = HW_ERR_INIT;
	void *msg;

	if (msg_decode(&msg, a, MSG_ROW(get_ledger_head_reply), f->body, f->body_len, &err) < 0)
		sim_die("GetLedgerHead", &err);
	const struct msg_get_ledger_head_reply *reply = msg;
	const char *text = reply->epochs != NULL ? reply->epochs : "";
	witness_epochs(w->witness, text, strlen(text), reply->last_epoch,
		clock_wall(&hw_clock_system), next);
}

static void
take_proof(struct sim_watch *w, struct arena *a, const struct frame *f, struct witness_ask *next)
{
	struct hw_err err = HW_ERR_INIT;
	void *msg;

	if (msg_decode(&msg, a, MSG_ROW(get_consistency_proof_reply), f->body, f->body_len, &err) <
		0)
		sim_die("GetConsistencyProof", &err);
	const struct msg_get_consistency_proof_reply *reply = msg;
	witness_proof(w->witness, reply->hashes.p, reply->hashes.n, clock_wall(&hw_clock_system),
		next);
}

bool
sim_watch_response(struct sim_watch *w, struct sim_link *l, const struct frame *f)
{
	bool question = w->question != 0 && f->id == w->question;
	struct witness_ask next;

	if (!question && (w->report == 0 || f->id != w->report))
		return false;
	if (f->name_len > 0)
		sim_die("the relay refused a witness's word", &(struct hw_err)HW_ERR_INIT);
	if (!question) {
		w->report = 0;
		return true;
	}
	struct arena *a = arena_new(REPLY_ARENA);
	if (w->what == WITNESS_EPOCHS)
		take_epochs(w, a, f, &next);
	else
		take_proof(w, a, f, &next);
	arena_free(a);
	ask(w, l, &next);
	return true;
}

void
sim_watch_tick(struct sim_watch *w, struct sim_link *l, time_t now)
{
	if (now - w->since < JUDGE_EVERY)
		return;
	w->since = now;
	char *head = w->pending;
	if (head == NULL || w->question != 0)
		return;
	w->pending = NULL;
	judge(w, l, head);
	free(head);
}

void
sim_watch_link(struct sim_watch *w, time_t now)
{
	struct witness_ask next;

	if (w->question != 0)
		witness_unanswered(w->witness, HW_EUNAVAILABLE, NULL, clock_wall(&hw_clock_system),
			&next);
	free(w->pending);
	w->pending = NULL;
	w->question = w->report = w->told = 0;
	w->shown = false;
	w->since = now;
}

void
sim_watch_init(struct sim_watch *w, X509 *ca, struct sim_watch_count *count)
{
	*w = (struct sim_watch){.witness = witness_new(ca), .count = count};
	if (w->witness == NULL)
		sim_die("out of memory", &(struct hw_err)HW_ERR_INIT);
}
