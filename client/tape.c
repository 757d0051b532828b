#include "client/tape.h"

#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define PAGE_MAX (4u << 20)

struct tape {
	struct client *client;
	const char *session_id;
	struct arena *page_arena; /* of the page that is read */
	const struct msg_get_recording_reply *page;
	const struct msg_recording_meta *meta; /* in the client's arena, as is its page */
	size_t at;			       /* in the page's events */
};

/* A replay may pause for longer than a link lasts; the token still says where to go on. */
static int
fetch_page(const struct msg_get_recording_reply **ret, struct tape *t, const char *token,
	struct arena *a, struct hw_err *err)
{
	struct msg_get_recording_request req = {.session_id = t->session_id, .next_token = token};
	int r;

	if ((r = client_connect(t->client, err)) < 0)
		return r;
	return conn_call(ret, t->client->conn, OP_get_recording, &req, a, err);
}

int
tape_open(struct tape **ret, struct client *c, const char *session_id, struct hw_err *err)
{
	struct tape *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	t->client = c;
	t->session_id = session_id;
	if ((r = fetch_page(&t->page, t, NULL, c->arena, err)) < 0)
		goto fail;
	t->meta = t->page->meta;
	if (t->meta == NULL) {
		r = hw_err_set(err, HW_EPROTO, "the relay sent a recording without a head");
		goto fail;
	}
	*ret = t;
	return 0;
fail:
	tape_close(t);
	return r;
}

void
tape_close(struct tape *t)
{
	if (t == NULL)
		return;
	arena_free(t->page_arena);
	free(t);
}

const struct msg_recording_meta *
tape_meta(const struct tape *t)
{
	return t->meta;
}

bool
tape_is_complete(const struct tape *t)
{
	return t->page->complete;
}

/* 1: there is one more page; 0: there is none. */
static int
turn_page(struct tape *t, struct hw_err *err)
{
	const char *token = t->page->next_token;
	const struct msg_get_recording_reply *page;
	struct arena *a;
	int r;

	if (token == NULL || token[0] == '\0')
		return 0;
	if ((a = arena_new(PAGE_MAX)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = fetch_page(&page, t, token, a, err)) < 0) {
		arena_free(a);
		return r;
	}
	arena_free(t->page_arena);
	t->page_arena = a;
	t->page = page;
	t->at = 0;
	return 1;
}

int
tape_next(struct event *ev, struct tape *t, struct hw_err *err)
{
	size_t used;
	int r;

	while (t->at == t->page->events.n) {
		if ((r = turn_page(t, err)) <= 0)
			return r;
	}
	if ((r = event_decode(ev, t->page->events.p + t->at, t->page->events.n - t->at, &used)) < 0)
		return hw_err_set(err, r, "the recording of %s holds something that is no event",
			t->session_id);
	t->at += used;
	return 1;
}
