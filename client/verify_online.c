#include "client/verify_online.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/ledger_view.h"
#include "client/lookout.h"

#define PAGES_MAX 100000 /* of nodes: a relay does not keep us for ever */
#define CLIENT	  "this client"

/* --- what was found --------------------------------------------------------------------------- */

static void
add(struct verify_finding *list, size_t *n, const char *file, const char *fmt, va_list ap)
{
	if ((*n)++ >= VERIFY_FINDINGS_MAX)
		return;
	struct verify_finding *f = &list[*n - 1];
	*f = (struct verify_finding){.from = VERIFY_NONE,
		.to = VERIFY_NONE,
		.entry = VERIFY_NONE,
		.entry_to = VERIFY_NONE};
	snprintf(f->file, sizeof(f->file), "%s", file);
	verify_sentence(f->what, sizeof(f->what), fmt, ap);
}

void
verify_add_finding(struct verify_result *found, const char *file, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(found->findings, &found->n_findings, file, fmt, ap);
	va_end(ap);
}

void
verify_add_doubt(struct verify_result *found, const char *file, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(found->doubts, &found->n_doubts, file, fmt, ap);
	va_end(ap);
}

static int64_t
number(uint64_t v)
{
	return v == VERIFY_NONE ? 0 : (int64_t)v;
}

size_t
verify_list(struct msg_verify_place *to, const struct verify_finding *from, size_t n)
{
	size_t shown = n < VERIFY_FINDINGS_MAX ? n : VERIFY_FINDINGS_MAX;

	for (size_t i = 0; i < shown; i++)
		to[i] = (struct msg_verify_place){.file = from[i].file,
			.what = from[i].what,
			.from = number(from[i].from),
			.to = number(from[i].to),
			.entry = number(from[i].entry),
			.entry_to = number(from[i].entry_to)};
	return shown;
}

static void
take_answer(struct verify_result *found, const struct ledger_question *q, const char *file)
{
	if (q->fits == LEDGER_BROKEN)
		verify_add_finding(found, file, "%s", q->what);
	else if (q->fits == LEDGER_UNCHECKED)
		verify_add_doubt(found, file, "%s", q->what);
}

/* --- this client, and the files --------------------------------------------------------------- */

static void
ask_one(struct verify_result *found, struct ledger_view *v, const struct log_head *head,
	const char *origin, const char *file)
{
	struct ledger_question q = {.head = head, .origin = origin};

	ledger_view_ask(v, &q, 1);
	take_answer(found, &q, file);
}

static void
check_client(struct verify_result *found, struct ledger_view *v)
{
	if (v->client->lookout == NULL)
		return;
	/* A copy: asking may connect anew, and then there is another lookout. */
	const struct lookout_view copy = *lookout_wait(v->client->lookout), *seen = &copy;
	if (seen->lasts && seen->state != WITNESS_STATE_DAMAGED)
		verify_add_finding(found, CLIENT, "%s", seen->text);
	else if (seen->state != WITNESS_STATE_AGREES)
		verify_add_doubt(found, CLIENT, "%s", seen->text);
	else if (!seen->checked)
		verify_add_doubt(found, CLIENT, "the head that it keeps was not checked: %s",
			seen->why_not);
	else if (seen->has_kept)
		ask_one(found, v, &seen->kept, seen->origin, CLIENT);
}

/* A part of the heads from files; all of a part are asked for at once. */
static void
check_part(struct online_result *ret, struct verify_result *found, struct ledger_view *v,
	const struct verify_kept *heads, size_t n)
{
	struct ledger_question q[LEDGER_QUESTIONS_MAX];

	for (size_t i = 0; i < n; i++)
		q[i] = (struct ledger_question){.head = &heads[i].head, .origin = heads[i].origin};
	ledger_view_ask(v, q, n);
	for (size_t i = 0; i < n; i++) {
		size_t findings = found->n_findings, doubts = found->n_doubts;
		ret->kept++;
		ret->given_up += q[i].fits == LEDGER_GIVEN_UP;
		take_answer(found, &q[i], heads[i].file);
		if (found->n_findings > findings && findings < VERIFY_FINDINGS_MAX) {
			found->findings[findings].from = heads[i].from;
			found->findings[findings].to = heads[i].to;
		}
		if (found->n_doubts > doubts && doubts < VERIFY_FINDINGS_MAX) {
			found->doubts[doubts].from = heads[i].from;
			found->doubts[doubts].to = heads[i].to;
		}
	}
}

static void
check_kept(struct online_result *ret, struct verify_result *found, struct ledger_view *v,
	const struct kept *kept)
{
	for (size_t i = 0; i < kept->n; i += LEDGER_QUESTIONS_MAX) {
		size_t left = kept->n - i;
		check_part(ret, found, v, kept->heads + i,
			left < LEDGER_QUESTIONS_MAX ? left : LEDGER_QUESTIONS_MAX);
	}
}

/* --- nodes ------------------------------------------------------------------------------------ */

struct node {
	const struct msg_witness *said;
	struct log_head head;
	char origin[LOG_ORIGIN_MAX];
	char name[160];
	bool has_head;
};

static void
read_node(struct node *n, const struct msg_witness *w)
{
	const char *head = w->head != NULL ? w->head : "";

	*n = (struct node){.said = w};
	n->has_head = log_head_parse(&n->head, n->origin, head, strlen(head), NULL) == 0;
	if (w->name != NULL && w->name[0] != '\0' && strcmp(w->name, w->instance_id) != 0)
		snprintf(n->name, sizeof(n->name), "%.100s (%.40s)", w->name, w->instance_id);
	else
		snprintf(n->name, sizeof(n->name), "%.100s", w->instance_id);
}

static bool
is_contradiction(int state)
{
	return state == WITNESS_STATE_FORK || state == WITNESS_STATE_ROLLBACK ||
		state == WITNESS_STATE_REWRITTEN || state == WITNESS_STATE_EPOCHS;
}

/* "holds 4711 entries, signed 2026-11-26T09:12:04.000Z: " */
static const char *
say_held(char out[80], const struct node *n)
{
	char when[RFC3339_LEN + 1];

	out[0] = '\0';
	if (n->has_head) {
		rfc3339_format(when, n->head.time);
		snprintf(out, 80, "holds %" PRIu64 " entries, signed %s: ", n->head.size, when);
	}
	return out;
}

static void
judge_node(struct online_result *ret, struct verify_result *found, const struct node *n,
	const struct ledger_question *q)
{
	const char *message = n->said->message != NULL ? n->said->message : "";
	int state = n->said->state;
	char held[80];

	if (state == 0 || (state == WITNESS_STATE_AGREES && !n->has_head))
		ret->silent++;
	else if (is_contradiction(state))
		verify_add_finding(found, n->name, "%s%s", say_held(held, n), message);
	else if (state != WITNESS_STATE_AGREES)
		verify_add_doubt(found, n->name, "%s%s", say_held(held, n), message);
	else if (q->fits == LEDGER_BROKEN)
		verify_add_finding(found, n->name, "%s%s", say_held(held, n), q->what);
	else if (q->fits == LEDGER_UNCHECKED)
		verify_add_doubt(found, n->name, "%s%s", say_held(held, n), q->what);
	else if (q->fits == LEDGER_GIVEN_UP)
		verify_add_doubt(found, n->name, "%shas not seen the recovery yet",
			say_held(held, n));
	else
		ret->agree++;
}

static void
check_page(struct online_result *ret, struct verify_result *found, struct ledger_view *v,
	const struct msg_witness *all, size_t n)
{
	struct ledger_question q[LEDGER_QUESTIONS_MAX];
	struct node nodes[LEDGER_QUESTIONS_MAX];
	size_t of[LEDGER_QUESTIONS_MAX], asked = 0;

	q[0] = (struct ledger_question){.fits = LEDGER_UNCHECKED};

	for (size_t i = 0; i < n; i++) {
		read_node(&nodes[i], &all[i]);
		of[i] = asked;
		if (nodes[i].has_head)
			q[asked++] = (struct ledger_question){
				.head = &nodes[i].head, .origin = nodes[i].origin};
	}
	ledger_view_ask(v, q, asked);
	for (size_t i = 0; i < n; i++)
		judge_node(ret, found, &nodes[i], &q[of[i] < asked ? of[i] : 0]);
	ret->nodes += n;
}

static int
check_nodes(struct online_result *ret, struct verify_result *found, struct ledger_view *v,
	struct hw_err *err)
{
	struct msg_list_witnesses_request req = {.max_results = 50};
	struct client *c = v->client;
	char token[1025];

	for (int page = 0; page < PAGES_MAX; page++) {
		struct arena_mark mark = arena_mark(c->arena);
		const struct msg_list_witnesses_reply *rep;
		int r = client_call(&rep, c, OP_list_witnesses, &req, err);
		if (r < 0)
			return r;
		check_page(ret, found, v, rep->witnesses.v, rep->witnesses.n);
		bool more = rep->next_token != NULL && rep->next_token[0] != '\0';
		if (more)
			snprintf(token, sizeof(token), "%s", rep->next_token);
		req.next_token = token;
		arena_release(c->arena, &mark);
		if (!more)
			return 0;
	}
	return hw_err_set(err, HW_ELIMIT, "the relay lists nodes without an end");
}

static void
ask_nodes(struct online_result *ret, struct verify_result *found, struct ledger_view *v)
{
	struct hw_err err = HW_ERR_INIT;
	int r = check_nodes(ret, found, v, &err);

	ret->may_not_list = r == HW_EDENIED;
	v->client->hint[0] = '\0';
	if (r < 0 && r != HW_EDENIED)
		verify_add_doubt(found, "nodes", "could not be asked for: %s", hw_err_text(&err));
}

/* --- all of it -------------------------------------------------------------------------------- */

static int
open_view(struct ledger_view *v, struct verify_result *found, struct client *c, bool *shown,
	struct hw_err *err)
{
	int r = client_connect(c, err);

	*shown = false;
	if (r < 0) /* whatever is wrong, the relay has shown nothing yet */
		return r;
	r = ledger_view_open(v, c, err);
	*shown = r == 0;
	if (r != HW_ECORRUPT)
		return r;
	verify_add_finding(found, "the relay", "%s", hw_err_text(err));
	return 0;
}

static void
end_view(struct online_result *ret, struct verify_result *found, struct ledger_view *v)
{
	if (v->turned == LEDGER_BROKEN)
		verify_add_finding(found, "the relay", "showed two ledgers: %s", v->turned_what);
	else if (v->turned == LEDGER_UNCHECKED)
		verify_add_doubt(found, "the relay", "%s", v->turned_what);
	ret->head = v->head;
	memcpy(ret->origin, v->epochs.origin, sizeof(ret->origin));
	ledger_view_close(v);
}

int
verify_online(struct online_result *ret, struct verify_result *found, struct client *c,
	const struct kept *kept, const struct log_head *own, const char *own_origin,
	struct hw_err *err)
{
	struct ledger_view v;
	bool shown;
	int r;

	*ret = (struct online_result){.nodes = 0};
	if ((r = open_view(&v, found, c, &shown, err)) < 0 || !shown)
		return r;
	check_client(found, &v);
	if (own != NULL)
		ask_one(found, &v, own, own_origin, "ledger/heads");
	check_kept(ret, found, &v, kept);
	ask_nodes(ret, found, &v);
	end_view(ret, found, &v);
	return 0;
}

int
verify_nodes(struct online_result *ret, struct verify_result *found, struct client *c,
	struct hw_err *err)
{
	struct ledger_view v;
	bool shown;
	int r;

	*ret = (struct online_result){.nodes = 0};
	if ((r = open_view(&v, found, c, &shown, err)) < 0 || !shown)
		return r;
	ask_nodes(ret, found, &v);
	end_view(ret, found, &v);
	return 0;
}
