/* What an entry can be found by, and the walk over those that fit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/search.h"
#include "proto/base/arena.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"

/* --- what an entry is about ------------------------------------------------------------------- */

/* What is behind the last slash of an ARN; all of it when there is none. */
static const char *
last_part(const char *arn)
{
	const char *slash = strrchr(arn, '/');

	return slash != NULL ? slash + 1 : arn;
}

static const char *
bare_action(const char *action)
{
	const char *colon = strrchr(action, ':');

	return colon != NULL ? colon + 1 : action;
}

/* The id in an ARN of that type. */
static const char *
id_in(const char *arn, const char *type)
{
	const char *at = arn != NULL ? strstr(arn, type) : NULL;

	return at != NULL && at > arn && at[-1] == ':' ? at + strlen(type) : NULL;
}

/* Whoever asks about a command names it in the request. */
static const char *
command_in(const char *detail, struct arena *a)
{
	static const char name[] = "\"CommandId\":";
	char id[ID_UUID_LEN + 1];

	const char *at = detail != NULL ? strstr(detail, name) : NULL;
	if (at == NULL)
		return NULL;
	at += strlen(name);
	at += strspn(at, " \"");
	if (strlen(at) < ID_UUID_LEN)
		return NULL;
	memcpy(id, at, ID_UUID_LEN);
	id[ID_UUID_LEN] = '\0';
	return id_is_uuid(id) ? arena_strdup(a, id) : NULL;
}

void
search_about_of(struct search_about *ret, const struct msg_ledger_entry *e, struct arena *a)
{
	const char *node = id_in(e->resource, "managed-instance/");

	ret->node = node != NULL ? node : id_in(e->principal, "managed-instance/");
	ret->session = e->session_id != NULL ? e->session_id : id_in(e->resource, "session/");
	ret->command = e->command_id != NULL ? e->command_id : command_in(e->detail, a);
}

/* --- records ---------------------------------------------------------------------------------- */

/* FNV-1a; 0 is kept for what is absent. Whatever has the same hash is told apart by its bytes. */
static uint32_t
hash(const char *text)
{
	uint32_t h = 2166136261u;

	if (text == NULL || text[0] == '\0')
		return 0;
	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return h != 0 ? h : 1;
}

/* How a term's text is compared: what may be left out of it. */
static const char *(*const bare[TERMS])(const char *) = {
	[TERM_PRINCIPAL] = last_part,
	[TERM_RESOURCE] = last_part,
	[TERM_ACTION] = bare_action,
};

static uint32_t
term_hash(enum search_term term, const char *text)
{
	return hash(text != NULL && bare[term] != NULL ? bare[term](text) : text);
}

static void
texts_of(const char *texts[TERMS], const struct msg_ledger_entry *e, const struct search_about *of)
{
	texts[TERM_PRINCIPAL] = e->principal;
	texts[TERM_NODE] = of->node;
	texts[TERM_ACTION] = e->action;
	texts[TERM_RESOURCE] = e->resource;
	texts[TERM_SOURCE] = e->source;
	texts[TERM_SESSION] = of->session;
	texts[TERM_COMMAND] = of->command;
	texts[TERM_REQUEST] = e->request_id;
}

static uint8_t
kind_of(const char *name)
{
	for (int i = 0; i < ENTRY_KINDS; i++)
		if (strcmp(entry_kind_name((enum entry_kind)i), name) == 0)
			return (uint8_t)(i + 1);
	return 0;
}

void
search_record_of(struct search_record *ret, const struct msg_ledger_entry *e,
	const struct search_about *about)
{
	const char *texts[TERMS];

	*ret = (struct search_record){
		.time = e->time,
		.kind = kind_of(e->kind),
		.outcome = (uint8_t)e->outcome,
	};
	texts_of(texts, e, about);
	for (int t = 0; t < TERMS; t++)
		ret->terms[t] = term_hash((enum search_term)t, texts[t]);
}

/* --- a query ---------------------------------------------------------------------------------- */

/* A query with the hashes of its texts. */
struct asked {
	const struct search_query *q;
	uint32_t terms[TERMS];
	uint32_t *nodes; /* sorted */
};

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int
ask(struct asked *ret, const struct search_query *q, struct hw_err *err)
{
	*ret = (struct asked){.q = q};
	for (int t = 0; t < TERMS; t++)
		if (q->terms[t] != NULL)
			ret->terms[t] = term_hash((enum search_term)t, q->terms[t]);
	if (!q->by_nodes)
		return 0;
	ret->nodes = calloc(q->n_nodes + 1, sizeof(uint32_t));
	if (ret->nodes == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the nodes to look for");
	for (size_t i = 0; i < q->n_nodes; i++)
		ret->nodes[i] = hash(q->nodes[i]);
	qsort(ret->nodes, q->n_nodes, sizeof(uint32_t), by_value);
	return 0;
}

static bool
in_time(const struct search_query *q, int64_t time)
{
	return (q->since == 0 || time >= q->since) && (q->until == 0 || time < q->until);
}

static bool
may_fit(const struct asked *x, const struct search_record *r)
{
	const struct search_query *q = x->q;

	/* It may be anything. */
	if (r->kind == SEARCH_KIND_DAMAGED)
		return in_time(q, r->time);
	for (int t = 0; t < TERMS; t++)
		if (q->terms[t] != NULL && r->terms[t] != x->terms[t])
			return false;
	if (!in_time(q, r->time) || (q->outcome != 0 && r->outcome != q->outcome) ||
		(q->kinds != 0 && (r->kind == 0 || (q->kinds >> (r->kind - 1) & 1) == 0)))
		return false;
	return !q->by_nodes ||
		bsearch(&r->terms[TERM_NODE], x->nodes, q->n_nodes, sizeof(uint32_t), by_value) !=
		NULL;
}

static bool
text_fits(enum search_term term, const char *want, const char *is)
{
	if (is == NULL)
		return false;
	return strcmp(want, is) == 0 || (bare[term] != NULL && strcmp(want, bare[term](is)) == 0);
}

/* Hashes may be the same by chance, or by somebody's work. */
static bool
fits(const struct search_query *q, const struct search_found *f)
{
	const char *texts[TERMS];
	bool node = !q->by_nodes;

	if (strcmp(f->entry->kind, LEDGER_KIND_DAMAGED) == 0)
		return true;
	texts_of(texts, f->entry, &f->about);
	for (int t = 0; t < TERMS; t++)
		if (q->terms[t] != NULL && !text_fits((enum search_term)t, q->terms[t], texts[t]))
			return false;
	for (size_t i = 0; !node && i < q->n_nodes && f->about.node != NULL; i++)
		node = strcmp(q->nodes[i], f->about.node) == 0;
	return node;
}

/* --- the walk --------------------------------------------------------------------------------- */

struct walk {
	struct search *s;
	struct asked asked;
	struct arena *arena;
	search_fn *fn;
	void *arg;
	struct search_page page;
	uint64_t resets; /* of the index that it is over */
	size_t looked, read;
};

/* Another who walks may have found damage, and then the index is made anew under this one. */
static int
check_same(struct walk *w, struct hw_err *err)
{
	return search_index_resets(search_index_of(w->s)) == w->resets
		? 0
		: hw_err_set(err, HW_EUNAVAILABLE, SEARCH_ANEW);
}

/* What the index has of an erased entry is that there was one, and of one that is damaged why. */
static int
decode(struct msg_ledger_entry **ret, struct walk *w, uint64_t sequence, const uint8_t *p, size_t n,
	struct hw_err *err)
{
	const struct search_record *record = &w->page.records[sequence - w->page.first];
	char why[sizeof(err->text)];
	void *msg;

	if (record->kind == SEARCH_KIND_DAMAGED) {
		snprintf(why, sizeof(why), "%.*s", (int)n, (const char *)p);
		return ledger_damaged(ret, w->arena, sequence, record->time, why, err);
	}
	if (n == 0)
		return ledger_erased(ret, w->arena, sequence, err);
	int r = msg_decode(&msg, w->arena, MSG_ROW(ledger_entry), p, n, err);
	if (r == 0)
		*ret = msg;
	return r;
}

static int
read_entry(struct search_found *ret, struct walk *w, uint64_t sequence, struct hw_err *err)
{
	char node[SEARCH_NODE_MAX];
	const uint8_t *p = NULL;
	struct msg_ledger_entry *e = NULL;
	size_t n = 0;

	int r = search_index_bytes(search_index_of(w->s), &w->page, sequence, &p, &n, err);
	if (r == HW_ECORRUPT)
		search_distrust(w->s);
	if (r < 0 || (r = check_same(w, err)) < 0)
		return r;
	if ((r = decode(&e, w, sequence, p, n, err)) < 0)
		return r;
	*ret = (struct search_found){
		.entry = e, .bytes = {arena_dup(w->arena, n > 0 ? p : (const uint8_t *)"", n), n}
	 };
	if (ret->bytes.p == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a ledger entry");
	search_about_of(&ret->about, ret->entry, w->arena);
	if (ret->about.node == NULL && ret->about.session != NULL &&
		search_node_of(w->s, ret->about.session, node))
		ret->about.node = arena_strdup(w->arena, node);
	return 0;
}

/* 1: on to the next; 0: stop before this one. */
static int
look_at(struct walk *w, uint64_t sequence, struct hw_err *err)
{
	struct search_found f;

	if (!may_fit(&w->asked, &w->page.records[sequence - w->page.first]))
		return 1;
	struct arena_mark mark = arena_mark(w->arena);
	int r = read_entry(&f, w, sequence, err);
	if (r < 0)
		return r;
	w->read++;
	r = fits(w->asked.q, &f) ? w->fn(w->arg, &f) : SEARCH_PASS;
	if (r == SEARCH_STOP || r == SEARCH_PASS)
		arena_release(w->arena, &mark);
	return r < 0 ? r : r != SEARCH_STOP;
}

static bool
may_hold(const struct search_query *q, const struct search_span *s)
{
	return (q->since == 0 || s->newest >= q->since) && (q->until == 0 || s->oldest < q->until);
}

/* One block, in the query's order. 1: on to the next; 0: stop. */
static int
walk_block(struct walk *w, const struct search_span *s, uint64_t *at, struct hw_err *err)
{
	bool up = w->asked.q->oldest_first;
	int r = search_index_read(search_index_of(w->s), s->first, &w->page, err);

	if (r == HW_ECORRUPT)
		search_distrust(w->s);
	if (r < 0 || (r = check_same(w, err)) < 0)
		return r;
	/* The tail may have grown since it was measured. */
	while (up ? *at < w->page.first + w->page.n : *at > w->page.first) {
		if (w->read >= SEARCH_READ_MAX)
			return 0;
		if ((r = look_at(w, up ? *at : *at - 1, err)) <= 0)
			return r;
		*at = up ? *at + 1 : *at - 1;
		w->looked++;
	}
	return 1;
}

static int
walk_all(struct walk *w, uint64_t *at, struct hw_err *err)
{
	const struct search_query *q = w->asked.q;
	struct search_span s;
	int r = 1;

	while (r == 1) {
		if (!q->oldest_first && *at == 0)
			return 0;
		if (!search_index_span(search_index_of(w->s), q->oldest_first ? *at : *at - 1, &s))
			return check_same(w, err);
		if (w->looked >= SEARCH_LOOK_MAX)
			return 1;
		if (may_hold(q, &s))
			r = walk_block(w, &s, at, err);
		else
			*at = q->oldest_first ? s.first + s.n : s.first;
	}
	return r < 0 ? r : 1;
}

uint64_t
search_begin(struct search *s, const struct search_query *q)
{
	struct search_index *x = search_index_of(s);

	return q->oldest_first ? search_index_first(x) : search_index_next(x);
}

int
search_walk(struct search *s, uint64_t as_of, const struct search_query *q, uint64_t *at,
	struct arena *a, search_fn *fn, void *arg, struct hw_err *err)
{
	struct walk w = {.s = s, .resets = as_of, .arena = a, .fn = fn, .arg = arg};

	int r = ask(&w.asked, q, err);
	if (r < 0)
		return r;
	search_page_init(&w.page);
	r = walk_all(&w, at, err);
	search_page_fini(&w.page);
	free(w.asked.nodes);
	return r;
}
