#include "client/pages.h"

#include <stddef.h>
#include <string.h>

#include "client/conn.h"

/* --- one after the other ---------------------------------------------------------------------- */

/* What all pages' replies have. */
struct onward {
	const char *next;
};

static const struct msg_row *
onward_row(void)
{
	static const struct field_row fields[] = {
		{.member = "next",
			FIELD_WIRE("NextToken"),
			.doc = "",
			.kind = FIELD_STR,
			.offset = offsetof(struct onward, next),
			.max = 4096},
	};
	static const struct msg_row row = {.name = "onward",
		.wire = "Page",
		.doc = "",
		.size = sizeof(struct onward),
		.fields = fields,
		.count = 1};

	return &row;
}

struct walk {
	struct client *c;
	enum op_id op;
	const void *request;
	const char **next;
	struct conn_asked *page, *following; /* NULL: there is none */
};

/* Waits for the page, and asks for the next. */
static int
walk_ask(struct walk *w, struct hw_err *err)
{
	const struct onward *onward;
	int r;

	if ((r = conn_await(w->page, err)) < 0 ||
		(r = conn_decode(&onward, w->page, onward_row(), w->c->arena, err)) < 0)
		return r;
	*w->next = onward->next;
	if (onward->next == NULL || onward->next[0] == '\0')
		return 0;
	return conn_ask(&w->following, w->c->conn, w->op, w->request, err);
}

static int
walk_take(struct walk *w, int (*take)(void *arg, const void *reply, struct hw_err *err), void *arg,
	struct hw_err *err)
{
	const void *reply;
	int r = walk_ask(w, err);

	if (r < 0)
		client_hint_call(w->c, r);
	else if ((r = conn_decode(&reply, w->page, op_rows[w->op].reply(), w->c->arena, err)) == 0)
		r = take(arg, reply, err);
	conn_asked_free(w->page);
	w->page = w->following;
	w->following = NULL;
	return r;
}

int
pages_walk(struct client *c, enum op_id op, const void *request, const char **next,
	int (*take)(void *arg, const void *reply, struct hw_err *err), void *arg,
	struct hw_err *err)
{
	struct walk w = {.c = c, .op = op, .request = request, .next = next};
	int r = client_connect(c, err);

	if (r == 0)
		r = conn_ask(&w.page, c->conn, op, request, err);
	while (r == 0 && w.page != NULL)
		r = walk_take(&w, take, arg, err);
	conn_asked_free(w.page);
	return r;
}

/* --- as one array ----------------------------------------------------------------------------- */

static int
pages_append(struct pages *all, struct client *c, const struct msg_list *page, size_t size,
	struct hw_err *err)
{
	char *v = arena_array(c->arena, all->n + page->n, size);

	if (page->n == 0)
		return 0;
	if (v == NULL)
		return hw_err_set(err, HW_ENOMEM, "too much for the memory there is");
	if (all->n > 0)
		memcpy(v, all->v, all->n * size);
	memcpy(v + all->n * size, page->v, page->n * size);
	all->v = v;
	all->n += page->n;
	return 0;
}

struct fetch {
	struct client *c;
	struct pages *all;
	size_t size;
};

static int
fetch_page(void *arg, const void *reply, struct hw_err *err)
{
	struct fetch *f = arg;
	struct msg_list page;

	memcpy(&page, reply, sizeof(page));
	return pages_append(f->all, f->c, &page, f->size, err);
}

/* No page is asked for beyond the one that has the last item. */
static int
fetch_some(struct fetch *f, enum op_id op, const void *request, const char **next,
	size_t reply_next, size_t limit, struct hw_err *err)
{
	int r;

	do {
		const char *reply;

		if ((r = client_call(&reply, f->c, op, request, err)) < 0)
			return r;
		memcpy(next, reply + reply_next, sizeof(*next));
		if ((r = fetch_page(f, reply, err)) < 0)
			return r;
	} while (*next != NULL && (*next)[0] != '\0' && f->all->n < limit);
	if (f->all->n > limit)
		f->all->n = limit;
	return 0;
}

int
pages_fetch(struct pages *all, struct client *c, enum op_id op, const void *request,
	const char **next, size_t reply_next, size_t limit, struct hw_err *err)
{
	const struct msg_row *row = op_rows[op].reply();
	struct fetch f = {.c = c, .all = all, .size = row->fields[0].msg()->size};

	hw_assert(row->fields[0].kind == FIELD_MSGS && row->fields[0].offset == 0);
	if (limit > 0)
		return fetch_some(&f, op, request, next, reply_next, limit, err);
	return pages_walk(c, op, request, next, fetch_page, &f, err);
}
