/* HTTP on the relay's port: between libwebsockets' headers and http.c's decisions. */
#include <libwebsockets.h>

#include <sys/socket.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/id.h"
#include "proto/trust/sigv4.h"
#include "relay/edge/private.h"

#define ANSWER_WITHIN (60 * USEC_PER_SEC) /* the relay's own work */
#define LINGER	      (2 * USEC_PER_SEC)
#define DROP_MAX \
	(4 * 1024 * 1024) /* bytes that an answered peer may still send, who only then reads */

/* --- the head ------------------------------------------------------------------------------ */

#define VALUE_MAX 256

struct values {
	char path[VALUE_MAX], length[VALUE_MAX], type[VALUE_MAX], coding[VALUE_MAX];
	char upgrade[VALUE_MAX], version[VALUE_MAX], key[VALUE_MAX], protocols[VALUE_MAX];
	char connection[VALUE_MAX], origin[VALUE_MAX], expect[VALUE_MAX];
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
		.query = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) > 0,
		.expect = value(wsi, v->expect, WSI_TOKEN_HTTP_EXPECT),
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

/* --- headers that are signed --------------------------------------------------------------- */

static int
copy_known(struct lws *wsi, enum lws_token_indexes token, char *value, size_t room)
{
	if (lws_hdr_total_length(wsi, token) == 0)
		return HW_ENOTFOUND;
	if (lws_hdr_fragment_length(wsi, token, 1) != 0)
		return HW_EEXISTS;
	return lws_hdr_copy(wsi, value, (int)room, token) < 0 ? HW_ELIMIT : 0;
}

struct custom {
	char name[72]; /* with its colon, as libwebsockets has it */
	int n, times;
};

static void
count_custom(const char *name, int n, void *arg)
{
	struct custom *c = arg;

	c->times += n == c->n && memcmp(name, c->name, (size_t)n) == 0;
}

/* libwebsockets finds the first of a name alone. */
static int
copy_custom(struct lws *wsi, const struct custom *named, char *value, size_t room)
{
	struct custom c = *named;

	lws_hdr_custom_name_foreach(wsi, count_custom, &c);
	if (c.times != 1)
		return c.times == 0 ? HW_ENOTFOUND : HW_EEXISTS;
	int n = lws_hdr_custom_copy(wsi, value, (int)room, c.name, c.n);
	if (n < 0)
		return HW_ELIMIT;
	return strlen(value) == (size_t)n ? 0 : HW_EVALIDATION; /* a NUL within */
}

/* A sigv4_header_fn: those that libwebsockets has a token for, and all others. */
static int
find_header(void *arg, const char *name, char *value, size_t room)
{
	struct lws *wsi = arg;
	struct custom c = {.times = 0};

	c.n = snprintf(c.name, sizeof(c.name), "%s:", name);
	if (c.n >= (int)sizeof(c.name))
		return HW_ENOTFOUND;
	for (int token = 0; token < WSI_TOKEN_COUNT; token++) {
		const unsigned char *known = lws_token_to_string((enum lws_token_indexes)token);
		if (known != NULL && strcmp((const char *)known, c.name) == 0)
			return copy_known(wsi, (enum lws_token_indexes)token, value, room);
	}
	return copy_custom(wsi, &c, value, room);
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
	conn_expect(c, c->seated ? c->server->signed_idle : c->server->head_within);
	return 0;
}

static int
say_error(struct conn *c, struct lws *wsi, const struct http_answer *how, const char *code,
	const char *message)
{
	char request_id[37];
	struct buf body, answer;
	struct http_answer a = *how;

	id_uuid(request_id);
	a.request_id = request_id;
	a.type = c->greeting->type;
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
ask_for_body(struct lws *wsi)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	uint8_t room[LWS_PRE + sizeof(line)];

	memcpy(room + LWS_PRE, line, sizeof(line));
	return lws_write(wsi, room + LWS_PRE, sizeof(line) - 1, LWS_WRITE_HTTP_HEADERS) < 0 ? -1
											    : 0;
}

static int
await_body(struct conn *c, const struct http_plan *plan)
{
	struct greeting *g = c->greeting;

	g->length = plan->length;
	buf_fini(&g->body);
	buf_init(&g->body, plan->length);
	c->state = CONN_BODY;
	conn_expect(c, c->server->head_within);
	return plan->go_on ? ask_for_body(c->wsi) : 0;
}

/* "AmazonSSM.ListUsers"; of anything else no operation has the name. */
static int
read_target(struct greeting *g, struct lws *wsi)
{
	static const char prefix[] = "AmazonSSM.";
	char target[256];
	int r = find_header(wsi, "x-amz-target", target, sizeof(target));

	if (r < 0)
		return r;
	if (strncmp(target, prefix, sizeof(prefix) - 1) == 0)
		snprintf(g->target, sizeof(g->target), "%.60s", target + sizeof(prefix) - 1);
	else
		snprintf(g->target, sizeof(g->target), "%.40s, not AmazonSSM's", target);
	g->op = g->target;
	return 0;
}

static int ask(struct conn *c);

static int
begin_signed(struct conn *c, struct lws *wsi, const struct http_plan *plan)
{
	char authorization[SIGV4_AUTHORIZATION_MAX + 1];
	struct greeting *g = c->greeting;
	struct hw_err err = HW_ERR_INIT;

	int r = copy_known(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization, sizeof(authorization));
	if (r < 0 && r != HW_ENOTFOUND)
		return say_code(c, wsi, HW_EINCOMPLETESIGNATURE,
			"the Authorization header is there twice, or too long");
	r = sigv4_new(&g->signature, r == 0 ? authorization : NULL, find_header, wsi, &err);
	if (r < 0)
		return say_code(c, wsi, r, hw_err_text(&err));
	if (read_target(g, wsi) < 0)
		return say_code(c, wsi, HW_EUNKNOWNOP, "X-Amz-Target is too long");
	r = await_body(c, plan);
	return r == 0 && plan->length == 0 ? ask(c) : r;
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
	c->greeting->type = plan.type != NULL ? plan.type : HTTP_JSON;
	switch (plan.action) {
	case HTTP_HEALTH:
		return say_health(c, wsi, head.method == HTTP_HEAD);
	case HTTP_METRICS:
		return say_metrics(c, wsi, head.method == HTTP_HEAD);
	case HTTP_OPERATION:
		c->greeting->op = plan.op;
		return await_body(c, &plan);
	case HTTP_SIGNED:
		return begin_signed(c, wsi, &plan);
	case HTTP_LINK: /* door_upgrade() is asked for those */
	case HTTP_REFUSE:
		break;
	}
	return say_plan(c, wsi, &plan, head.method == HTTP_HEAD);
}

/* --- operations ---------------------------------------------------------------------------- */

/* Whoever has signed well stays, if there is a seat. Not after a request without a body, which
 * leaves libwebsockets expecting none ever after. */
static void
on_reply(void *arg, const struct relay_answer *said)
{
	struct conn *c = arg;
	char later[48];
	bool stays = said->known && c->greeting->length > 0 && conn_seat(c);
	struct http_answer a = {.status = said->status,
		.type = c->greeting->type,
		.request_id = said->request_id,
		.close = !stays};

	if (said->retry_after > 0) {
		snprintf(later, sizeof(later), "Retry-After: %d\r\n", said->retry_after);
		a.extra = later;
	}
	hw_assert(c->state == CONN_ASKED);
	c->greeting->stays = stays;
	/* Without memory the answer is none: what is written then is nothing, and the end. */
	(void)http_answer(&c->greeting->reply, &a, said->body, said->n);
	c->state = CONN_REPLYING;
	conn_expect(c, c->server->head_within);
	lws_callback_on_writable(c->wsi);
}

static bool
hand_on(struct conn *c)
{
	struct relay *relay = c->server->relay;
	struct greeting *g = c->greeting;
	struct sigv4 *signature = g->signature;

	g->signature = NULL;
	if (signature != NULL)
		return relay_signed(relay, g->op, signature, g->address, buf_data(&g->body),
			g->body.len, on_reply, c);
	return relay_http(relay, g->op, g->address, buf_data(&g->body), g->body.len, on_reply, c);
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
	if (hand_on(c)) {
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

static int
reply(struct conn *c, struct lws *wsi)
{
	struct greeting *g = c->greeting;
	int r;

	if (g->reply.failed)
		return -1;
	if (!g->stays)
		return say_last(c, wsi, &g->reply);
	r = say_and_go_on(c, wsi, &g->reply);
	buf_wipe(&g->reply);
	buf_fini(&g->reply);
	buf_fini(&g->body);
	return r;
}

int
door_writable(struct conn *c, struct lws *wsi)
{
	if (c->state == CONN_REPLYING)
		return reply(c, wsi);
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
