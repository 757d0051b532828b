/* Operations through HTTP doors: JSON in, an HTTP status and JSON out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "relay/core/call.h"
#include "relay/core/relay_private.h"
#include "relay/core/workers.h"

struct http_call {
	struct call call;
	relay_http_fn *done; /* NULL: forgotten */
	void *arg;
	struct relay *relay;
	struct http_call *next;
};

static void
run_http(void *arg)
{
	struct http_call *h = arg;

	call_execute(&h->call);
}

static void
answer_http(struct http_call *h)
{
	struct call *c = &h->call;
	struct buf body;

	if (c->code == 0) {
		h->done(h->arg, 200, (const char *)buf_data(&c->reply), c->reply.len,
			c->request_id);
		return;
	}
	buf_init(&body, 4096);
	buf_printf(&body, "{\"__type\":\"%s\",\"message\":", hw_code_name(c->code));
	json_append_string(&body, c->message, strlen(c->message));
	buf_append_str(&body, "}");
	h->done(h->arg, hw_code_http(c->code), (const char *)buf_data(&body), body.len,
		c->request_id);
	buf_fini(&body);
}

static void
on_http_done(void *arg)
{
	struct http_call *h = arg;

	for (struct http_call **at = &h->relay->http; *at != NULL; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	if (h->done != NULL)
		answer_http(h);
	call_fini(&h->call);
	free(h);
}

bool
relay_http(struct relay *r, const char *op, const char *source, const void *body, size_t n,
	relay_http_fn *done, void *arg)
{
	struct http_call *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return false;
	*h = (struct http_call){.done = done, .arg = arg, .relay = r};
	int rc = call_init(&h->call, &r->env, CALL_JSON, op, body, n);
	h->call.anon = true;
	snprintf(h->call.source, sizeof(h->call.source), "%s", source);
	if (rc < 0 || !workers_submit(r->workers, run_http, on_http_done, h)) {
		call_fini(&h->call);
		free(h);
		return false;
	}
	h->next = r->http;
	r->http = h;
	return true;
}

void
relay_http_forget(struct relay *r, const void *arg)
{
	for (struct http_call *h = r->http; h != NULL; h = h->next)
		if (h->arg == arg)
			h->done = NULL;
}
