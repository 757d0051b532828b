/* ReportLedgerHead, ListWitnesses: what nodes say of the ledger, and who asks for it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/ledger_heads.h"
#include "proto/base/log.h"
#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/core/throttle.h"
#include "relay/core/witnesses.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

#define LIST_LIMIT 50

/* --- a node's report -------------------------------------------------------------------------- */

/* A head of another ledger says nothing here. HW_EVALIDATION: it is no head. */
static int
take_head(bool *has, struct log_head *head, struct op *op, const char *text)
{
	char origin[LOG_ORIGIN_MAX];
	int r;

	*has = false;
	if (text == NULL || text[0] == '\0')
		return 0;
	if ((r = log_head_parse(head, origin, text, strlen(text), &op->err)) < 0)
		return r;
	*has = op->env->heads != NULL &&
		strcmp(origin, ledger_heads_epochs(op->env->heads)->origin) == 0;
	return 0;
}

/* The heads go into the entry: both are what somebody else will want to see. */
static int
note(struct op *op, const struct msg_report_ledger_head_request *req,
	const struct witness_word *word)
{
	bool agrees = req->state == WITNESS_STATE_AGREES;
	char detail[2 * LOG_HEAD_MAX + 128];
	const char *message = text_or_empty(req->message);
	uint64_t missed = 0;

	if (op->env->alarms != NULL &&
		!throttle_take(op->env->alarms, clock_mono(op->env->clock), &missed))
		return 0;
	snprintf(detail, sizeof(detail), "holds:\n%s\nwas shown:\n%s", text_or_empty(req->head),
		text_or_empty(req->shown));
	if (missed > 0)
		snprintf(detail + strlen(detail), 64,
			"\n%" PRIu64 " alarms before it are not here\n", missed);
	const struct msg_ledger_entry e = {
		.principal = op->arn,
		.resource = op->arn,
		.source = op->source,
		.reason = agrees ? "the ledger agrees again with what the node keeps of it"
				 : text_or_absent(message),
		.detail = detail,
	};
	int64_t entry = ledger_commit_numbered(op->env->ledger, ENTRY_WITNESS_REPORT, &e);
	log_event(op->env->log, agrees ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
		agrees ? "ledger.witness_agrees" : "ledger.witness_objects",
		"node=%s state=%s why=%s%s", op->who.id, enum_text(&enum_WITNESS_STATE, req->state),
		log_value(message), ledger_pair(entry));
	if (entry < 0)
		return op_fail(op, HW_ERECORD, "the ledger cannot be written");
	witnesses_noted(op->env->witnesses, op->who.id, word);
	return 0;
}

int
op_report_ledger_head(struct op *op, const struct msg_report_ledger_head_request *req,
	struct msg_empty *rep)
{
	const struct text_field fields[] = {
		{"Message", req->message},
		   {NULL,	  NULL	      }
	       };
	struct witness_word word = {.state = req->state, .since = req->since, .reported = op->now};
	bool news;
	int r;

	(void)rep;
	if ((r = text_check(op, fields)) < 0 ||
		(r = take_head(&word.has_head, &word.head, op, req->head)) < 0 ||
		(r = take_head(&word.has_shown, &word.shown, op, req->shown)) < 0)
		return r;
	if (op->env->witnesses == NULL)
		return op_fail(op, HW_EUNAVAILABLE, "this relay has no place for what nodes say");
	snprintf(word.text, sizeof(word.text), "%s", text_or_empty(req->message));
	if (witnesses_put(op->env->witnesses, op->who.id, &word, &news) < 0)
		return op_fail(op, HW_ENOMEM, "no memory for what the node says");
	return news ? note(op, req, &word) : 0;
}

/* --- who asks --------------------------------------------------------------------------------- */

struct listing {
	struct op *op;
	struct msg_list_witnesses_reply *rep;
	struct page page;
	struct page_key from;
};

static int
keep_head(const char **ret, struct op *op, bool has, const struct log_head *head)
{
	char text[LOG_HEAD_MAX];

	if (!has)
		return 0;
	log_head_format(text, head, ledger_heads_epochs(op->env->heads)->origin);
	return text_keep(ret, op, text);
}

static int
describe(struct msg_witness *ret, struct op *op, const struct node_row *row)
{
	struct witness_word word;
	int64_t seen;
	int r;

	*ret = (struct msg_witness){
		.connected = broker_node_online(op->env->broker, row->id, &seen)};
	if ((r = text_keep(&ret->instance_id, op, row->id)) < 0 ||
		(r = text_keep(&ret->name, op, row->name)) < 0 || op->env->witnesses == NULL ||
		!witnesses_get(op->env->witnesses, row->id, &word))
		return r;
	ret->state = word.state;
	ret->reported = word.reported;
	ret->since = word.since;
	if ((r = keep_head(&ret->head, op, word.has_head, &word.head)) < 0 ||
		(r = keep_head(&ret->shown, op, word.has_shown, &word.shown)) < 0)
		return r;
	return text_keep(&ret->message, op, word.text);
}

static int
read_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct node_row row;
	struct query q;

	int r = node_list(&q, db, NULL, 0, w->from.text, err);
	while (r == 0 && (r = node_next(&q, &row, err)) > 0) {
		r = 0;
		if (!op_may_see_node(w->op, row.id))
			continue;
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		r = describe(&w->rep->witnesses.v[w->page.items++], w->op, &row);
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.id);
	}
	query_end(&q);
	w->rep->witnesses.n = w->page.items;
	return r;
}

int
op_list_witnesses(struct op *op, const struct msg_list_witnesses_request *req,
	struct msg_list_witnesses_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r = page_read(&w.from, op, req->next_token);

	if (r < 0)
		return r;
	rep->witnesses.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->witnesses.v));
	if (rep->witnesses.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for witnesses");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_nodes, &w, &op->err);
}
