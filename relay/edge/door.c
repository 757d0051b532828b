/* HTTP on the relay's port: between libwebsockets' headers and http.c's decisions. */
#include <libwebsockets.h>

#include <sys/socket.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "relay/edge/private.h"

#define ANSWER_WITHIN (60 * USEC_PER_SEC) /* the relay's own work */
#define LINGER	      (2 * USEC_PER_SEC)
#define DROP_MAX      (256 * 1024) /* bytes that an answered peer may still send */

/* --- the head ------------------------------------------------------------------------------ */

#define VALUE_MAX 256

struct values {
	char path[VALUE_MAX], length[VALUE_MAX], type[VALUE_MAX], coding[VALUE_MAX];
	char upgrade[VALUE_MAX], version[VALUE_MAX], key[VALUE_MAX], protocols[VALUE_MAX];
	char connection[VALUE_MAX], origin[VALUE_MAX];
};

/* The header's value; "" when it is too long, which is never a good one; NULL when there is none.
 */
static const char *
value(struct lws *wsi, char room[VALUE_MAX], enum lws_token_indexes token)
{
	if (lws_hdr_total_length(wsi, token) == 0)
		return NULL;
	if (lws_hdr_copy(wsi, room, VALUE_MAX, token) < 0)
		room[0] = '\0';
	return room;
}

static enum http_method
method_and_path(struct lws *wsi, char path[VALUE_MAX])
{
	static const struct {
		enum lws_token_indexes token;
		enum http_method method;
	} rows[] = {
		{WSI_TOKEN_GET_URI,  HTTP_GET },
		{WSI_TOKEN_HEAD_URI, HTTP_HEAD},
		{WSI_TOKEN_POST_URI, HTTP_POST},
	};
	char *uri = NULL;
	int n = 0;

	path[0] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (value(wsi, path, rows[i].token) != NULL)
			return rows[i].method;
	if (lws_http_get_uri_and_method(wsi, &uri, &n) >= 0 && n > 0 && n < VALUE_MAX) {
		memcpy(path, uri, (size_t)n);
		path[n] = '\0';
	}
	return HTTP_OTHER;
}

static void
read_head(struct http_head *head, struct values *v, const struct conn *c, struct lws *wsi)
{
	*head = (struct http_head){
		.door = c->door,
		.method = method_and_path(wsi, v->path),
		.path = v->path,
		.content_length = value(wsi, v->length, WSI_TOKEN_HTTP_CONTENT_LENGTH),
		.content_type = value(wsi, v->type, WSI_TOKEN_HTTP_CONTENT_TYPE),
		.transfer_encoding = value(wsi, v->coding, WSI_TOKEN_HTTP_TRANSFER_ENCODING),
		.upgrade = value(wsi, v->upgrade, WSI_TOKEN_UPGRADE),
		.ws_version = value(wsi, v->version, WSI_TOKEN_VERSION),
		.ws_key = value(wsi, v->key, WSI_TOKEN_KEY),
		.ws_protocols = value(wsi, v->protocols, WSI_TOKEN_PROTOCOL),
		.connection = value(wsi, v->connection, WSI_TOKEN_CONNECTION),
		.origin = value(wsi, v->origin, WSI_TOKEN_ORIGIN),
	};
}

/* --- answers ------------------------------------------------------------------------------- */

static int
write_answer(struct lws *wsi, const struct buf *answer)
{
	uint8_t *copy = malloc(LWS_PRE + answer->len);

	if (copy == NULL)
		return -1;
	memcpy(copy + LWS_PRE, buf_data(answer), answer->len);
	int n = lws_write(wsi, copy + LWS_PRE, answer->len, LWS_WRITE_HTTP_FINAL);
	OPENSSL_cleanse(copy,
		LWS_PRE + answer->len); /* a login's has a certificate, an activation's code */
	free(copy);
	return n < 0 ? -1 : 0;
}

/* The answer is out. Were the socket closed now, what the peer still sends would reset the
 * connection, and the answer with it: so only our half is, and the peer gets a moment for its own.
 */
static void
half_close(struct conn *c, struct lws *wsi)
{
	SSL *ssl = lws_get_ssl(wsi);

	if (ssl != NULL)
		SSL_shutdown(ssl);
	shutdown(lws_get_socket_fd(wsi), SHUT_WR);
	conn_expect(c, LINGER);
}

static int
say_last(struct conn *c, struct lws *wsi, const struct buf *answer)
{
	c->state = CONN_ANSWERED;
	if (write_answer(wsi, answer) < 0)
		return -1;
	if (lws_partial_buffered(wsi))
		lws_callback_on_writable(wsi);
	else
		half_close(c, wsi);
	return 0;
}

static int
say_and_go_on(struct conn *c, struct lws *wsi, const struct buf *answer)
{
	if (write_answer(wsi, answer) < 0 || lws_http_transaction_completed(wsi) != 0)
		return -1;
	c->state = CONN_GREETING;
	conn_expect(c, c->server->head_within);
	return 0;
}

static int
say_error(struct conn *c, struct lws *wsi, const struct http_answer *how, const char *code,
	const char *message)
{
	struct buf body, answer;
	struct http_answer a = *how;

	a.type = "application/json";
	a.close = true;
	buf_init(&body, 16 * 1024);
	buf_init(&answer, 32 * 1024);
	int r = http_error_body(&body, code, message);
	if (r == 0)
		r = http_answer(&answer, &a, buf_data(&body), body.len);
	if (r == 0)
		r = say_last(c, wsi, &answer);
	buf_fini(&body);
	buf_fini(&answer);
	return r < 0 ? -1 : 0;
}

static int
say_plan(struct conn *c, struct lws *wsi, const struct http_plan *plan, bool head)
{
	struct http_answer how = {.status = plan->status, .extra = plan->extra, .head = head};

	return say_error(c, wsi, &how, plan->code, plan->message);
}

static int
say_code(struct conn *c, struct lws *wsi, int code, const char *message)
{
	struct http_answer how = {.status = hw_code_http(code)};

	return say_error(c, wsi, &how, hw_code_name(code), message);
}

/* --- doors --------------------------------------------------------------------------------- */

/* Whoever asks again and again keeps a place that others may need: not for ever. */
static bool
is_last(const struct conn *c)
{
	const struct server *s = c->server;

	return c->door == HTTP_DOOR_MAIN &&
		clock_mono(loop_clock(s->loop)) + s->head_within >= c->greeting->until;
}

static int
say_text(struct conn *c, struct lws *wsi, int status, const char *type, const struct buf *text,
	bool head)
{
	struct http_answer a = {.status = status, .type = type, .head = head, .close = is_last(c)};
	struct buf answer;

	buf_init(&answer, SIZE_MAX / 2);
	int r = http_answer(&answer, &a, buf_data(text), text->len);
	if (r == 0)
		r = a.close ? say_last(c, wsi, &answer) : say_and_go_on(c, wsi, &answer);
	buf_fini(&answer);
	return r < 0 ? -1 : 0;
}

static int
say_health(struct conn *c, struct lws *wsi, bool head)
{
	const char *why = "the relay is stopping";
	bool well = c->server->relay != NULL && relay_healthy(c->server->relay, &why);
	struct buf text;

	buf_init(&text, 4096);
	buf_printf(&text, "%s\n", well ? "ok" : why);
	int r = say_text(c, wsi, well ? 200 : 503, "text/plain; charset=utf-8", &text, head);
	buf_fini(&text);
	return r;
}

static int
say_metrics(struct conn *c, struct lws *wsi, bool head)
{
	struct buf text;

	buf_init(&text, 16 << 20);
	if (c->server->relay != NULL)
		relay_metrics(c->server->relay, &text);
	int r = say_text(c, wsi, 200, "text/plain; version=0.0.4; charset=utf-8", &text, head);
	buf_fini(&text);
	return r;
}

static int
await_body(struct conn *c, const struct http_plan *plan)
{
	c->greeting->op = plan->op;
	c->greeting->length = plan->length;
	c->state = CONN_BODY;
	conn_expect(c, c->server->head_within);
	return 0;
}

int
door_request(struct conn *c, struct lws *wsi)
{
	struct values v;
	struct http_head head;

	if (c->greeting == NULL || c->state != CONN_GREETING)
		return -1;
	c->wsi = wsi;
	c->server->stats->http_requests++;
	read_head(&head, &v, c, wsi);
	struct http_plan plan = http_plan(&head);
	switch (plan.action) {
	case HTTP_HEALTH:
		return say_health(c, wsi, head.method == HTTP_HEAD);
	case HTTP_METRICS:
		return say_metrics(c, wsi, head.method == HTTP_HEAD);
	case HTTP_OPERATION:
		return await_body(c, &plan);
	case HTTP_LINK: /* door_upgrade() is asked for those */
	case HTTP_REFUSE:
		break;
	}
	return say_plan(c, wsi, &plan, head.method == HTTP_HEAD);
}

/* --- operations ---------------------------------------------------------------------------- */

static void
on_reply(void *arg, const struct relay_answer *said)
{
	struct conn *c = arg;
	char later[48];
	struct http_answer a = {.status = said->status,
		.type = "application/json",
		.request_id = said->request_id,
		.close = true};

	if (said->retry_after > 0) {
		snprintf(later, sizeof(later), "Retry-After: %d\r\n", said->retry_after);
		a.extra = later;
	}
	hw_assert(c->state == CONN_ASKED);
	/* Without memory the answer is none: what is written then is nothing, and the end. */
	(void)http_answer(&c->greeting->reply, &a, said->body, said->n);
	c->state = CONN_REPLYING;
	conn_expect(c, c->server->head_within);
	lws_callback_on_writable(c->wsi);
}

static int
ask(struct conn *c)
{
	struct server *s = c->server;
	struct greeting *g = c->greeting;

	if (s->relay == NULL)
		return -1;
	c->state = CONN_ASKED;
	conn_expect(c, ANSWER_WITHIN);
	if (relay_http(s->relay, g->op, g->address, buf_data(&g->body), g->body.len, on_reply, c)) {
		buf_wipe(&g->body);
		return 0;
	}
	c->state = CONN_BODY;
	return say_code(c, c->wsi, HW_EFULL, "the relay has too much to do; try again");
}

int
door_body(struct conn *c, const void *p, size_t n)
{
	struct greeting *g = c->greeting;

	if (c->state == CONN_ANSWERED) {
		g->dropped += n;
		return g->dropped > DROP_MAX ? -1 : 0;
	}
	if (n == 0)
		return 0;
	if (c->state != CONN_BODY || n > g->length - g->body.len || buf_append(&g->body, p, n) < 0)
		return -1; /* more than it said, or more than there is memory for */
	return g->body.len == g->length ? ask(c) : 0;
}

int
door_writable(struct conn *c, struct lws *wsi)
{
	if (c->state == CONN_REPLYING)
		return c->greeting->reply.failed ? -1 : say_last(c, wsi, &c->greeting->reply);
	if (c->state == CONN_ANSWERED)
		half_close(c, wsi);
	return 0;
}

/* --- links --------------------------------------------------------------------------------- */

/* Whether the peer may have a link; else err is the answer. */
static int
admit(struct conn *c, struct lws *wsi, struct hw_err *err)
{
	struct server *s = c->server;
	struct greeting *g = c->greeting;
	SSL *ssl = lws_get_ssl(wsi);
	int r;

	if (s->relay == NULL || ssl == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the relay is stopping");
	r = tls_identify(&g->who, &g->expired, ssl, &s->tls, clock_wall(relay_clock(s->relay)),
		err);
	if (r < 0) {
		s->stats->refused_certificate++;
		return r;
	}
	if (s->links >= s->max_links)
		return hw_err_set(err, HW_EUNAVAILABLE,
			"the relay has as many links as it may have");
	return relay_admit(s->relay, &g->who, g->expired, g->address, err);
}

int
door_upgrade(struct conn *c, struct lws *wsi, const char *to)
{
	struct hw_err err = HW_ERR_INIT;
	struct http_head head;
	struct values v;

	if (strcasecmp(to, "websocket") != 0)
		return 0; /* others are not taken up: door_request() answers */
	if (c->greeting == NULL || c->state != CONN_GREETING)
		return -1;
	c->wsi = wsi;
	c->server->stats->http_requests++;
	read_head(&head, &v, c, wsi);
	struct http_plan plan = http_plan(&head);
	if (plan.action == HTTP_REFUSE) {
		say_plan(c, wsi, &plan, false);
		return -1;
	}
	if (plan.action != HTTP_LINK) {
		say_code(c, wsi, HW_EVALIDATION, "links are at /link");
		return -1;
	}
	if (admit(c, wsi, &err) < 0) {
		say_code(c, wsi, err.code, hw_err_text(&err));
		return -1;
	}
	c->state = CONN_UPGRADING;
	return 0;
}
