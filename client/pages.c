#include "client/pages.h"

#include <string.h>

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

int
pages_fetch(struct pages *all, struct client *c, enum op_id op, const void *request,
	const char **next, size_t reply_next, size_t limit, struct hw_err *err)
{
	const struct msg_row *row = op_rows[op].reply();
	size_t size = row->fields[0].msg()->size;
	int r;

	hw_assert(row->fields[0].kind == FIELD_MSGS && row->fields[0].offset == 0);
	do {
		const char *reply;
		struct msg_list page;

		if ((r = client_call(&reply, c, op, request, err)) < 0)
			return r;
		memcpy(&page, reply, sizeof(page));
		memcpy(next, reply + reply_next, sizeof(*next));
		if ((r = pages_append(all, c, &page, size, err)) < 0)
			return r;
	} while (*next != NULL && (*next)[0] != '\0' && (limit == 0 || all->n < limit));
	if (limit > 0 && all->n > limit)
		all->n = limit;
	return 0;
}
