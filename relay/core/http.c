/* Operations through the doors of HTTP and the local one: JSON in, an HTTP status and JSON out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/trust/sigv4.h"
#include "proto/wire/codec.h"
#include "relay/core/call.h"
#include "relay/core/local.h"
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
	struct relay_answer a = {
		.request_id = c->request_id, .retry_after = c->retry_after, .known = c->known};

	if (c->code == 0) {
		a.status = 200;
		a.body = (const char *)buf_data(&c->reply);
		a.n = c->reply.len;
		h->done(h->arg, &a);
		return;
	}
	buf_init(&body, 4096);
	buf_printf(&body, "{\"__type\":\"%s\",\"message\":", hw_code_name(c->code));
	json_append_string(&body, c->message, strlen(c->message));
	buf_append_str(&body, "}");
	a.status = hw_code_http(c->code);
	a.body = (const char *)buf_data(&body);
	a.n = body.len;
	h->done(h->arg, &a);
	buf_fini(&body);
}

static void
drop(struct http_call *h)
{
	call_fini(&h->call);
	free(h);
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
	drop(h);
}

/* NULL without memory, or for a body that is too large. */
static struct http_call *
http_call_new(struct relay *r, const char *op, const char *source, const void *body, size_t n)
{
	struct http_call *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->relay = r;
	if (call_init(&h->call, &r->env, CALL_JSON, op, body, n) < 0) {
		drop(h);
		return NULL;
	}
	snprintf(h->call.source, sizeof(h->call.source), "%s", source);
	return h;
}

static bool
submit(struct http_call *h, relay_http_fn *done, void *arg)
{
	struct relay *r = h->relay;

	h->done = done;
	h->arg = arg;
	if (!workers_submit(r->workers, run_http, on_http_done, h)) {
		drop(h);
		return false;
	}
	h->next = r->http;
	r->http = h;
	return true;
}

bool
relay_http(struct relay *r, const char *op, const char *source, const void *body, size_t n,
	relay_http_fn *done, void *arg)
{
	struct http_call *h = http_call_new(r, op, source, body, n);

	if (h == NULL)
		return false;
	h->call.anon = true;
	return submit(h, done, arg);
}

/* Whoever may sign as often as it likes would otherwise have all workers for itself. By the key
 * that it names and where it comes from, as who it is is not known yet: nobody else can use up its
 * share. */
static int
under_way(const struct relay *r, const char *key_id, const char *source)
{
	int n = 0;

	for (const struct http_call *h = r->http; h != NULL; h = h->next)
		n += h->call.signature != NULL &&
			strcmp(sigv4_key_id(h->call.signature), key_id) == 0 &&
			strcmp(h->call.source, source) == 0;
	return n;
}

/* An answer that needs no worker. */
static void
refuse_signed(struct http_call *h, relay_http_fn *done, void *arg)
{
	struct relay *r = h->relay;

	h->call.code = HW_EFULL;
	snprintf(h->call.message, sizeof(h->call.message),
		"%d requests with this key are under way already: wait for one of them",
		r->config.max_signed_per_key);
	h->done = done;
	h->arg = arg;
	h->next = r->http;
	r->http = h;
	loop_post(r->loop, on_http_done, h);
}

bool
relay_signed(struct relay *r, const char *op, struct sigv4 *signature, const char *source,
	const void *body, size_t n, relay_http_fn *done, void *arg)
{
	struct http_call *h = http_call_new(r, op, source, body, n);

	if (h == NULL) {
		sigv4_free(signature);
		return false;
	}
	bool full = under_way(r, sigv4_key_id(signature), source) >= r->config.max_signed_per_key;
	h->call.signature = signature;
	if (full) {
		refuse_signed(h, done, arg);
		return true;
	}
	return submit(h, done, arg);
}

bool
relay_local(struct relay *r, const char *op, const char *name, const void *body, size_t n,
	relay_http_fn *done, void *arg)
{
	struct http_call *h = http_call_new(r, op, LOCAL_SOURCE, body, n);

	if (h == NULL)
		return false;
	h->call.local = true;
	snprintf(h->call.local_name, sizeof(h->call.local_name), "%s", name);
	return submit(h, done, arg);
}

void
relay_http_forget(struct relay *r, const void *arg)
{
	for (struct http_call *h = r->http; h != NULL; h = h->next)
		if (h->arg == arg)
			h->done = NULL;
}
