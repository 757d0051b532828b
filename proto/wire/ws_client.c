#include "proto/wire/ws_client.h"

#include <inttypes.h>
#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/list.h"
#include "proto/wire/frame.h"
#include "proto/wire/proxy.h"
#include "proto/wire/send_soon.h"
#include "proto/wire/resolve.h"
#include "proto/wire/tcp_dial.h"
#include "proto/wire/ws_tls.h"

_Static_assert(LINK_HEADROOM >= LWS_PRE,
	"libwebsockets writes its frame's head before the message");

#define DIAL_WITHIN    (10 * USEC_PER_SEC)
#define ADDRESS_WITHIN (3 * USEC_PER_SEC) /* while there are others to try */
#define CLOSE_WITHIN   (2 * USEC_PER_SEC)
#define CONNECTIONS    16
#define PIECE_MAX      (16 * 1024 + 512) /* a TLS record, and a little */
#define PIECES_MAX     4096		 /* of one message */

#define LOOKUPS_MAX 16 /* also of those that were given up */

struct ws_client {
	struct loop *loop;
	const struct log_ctx *log;
	SSL_CTX *tls;
	char *ca_file, *cert_file, *key_file;
	X509 *successor; /* to be told of */
	struct loop_task tell;
	struct proxy proxy;
	struct resolve_limit *lookups;
	int64_t (*now)(void *arg);
	void (*on_successor)(void *arg, X509 *root);
	void *arg;
	struct lws_context *lws;
	struct lws_vhost *vhost;
	struct lws_protocols protocols[2];
	struct lws_log_cx log_cx;
	struct lws_sorted_usec_list alarm;
	LIST_HEAD(, ws_dial) dials;
};

enum dial_state {
	DIAL_REACHING, /* TCP, and a proxy where there is one */
	DIAL_CONNECTING,
	DIAL_UP,
	DIAL_CLOSING, /* the link has let go */
	DIAL_OVER,    /* freed, after on_failed where it is due, at the end of the turn */
};

struct ws_dial {
	struct link_transport transport;
	struct ws_client *client;
	LIST_ENTRY(ws_dial) entry;
	enum dial_state state;
	const struct ws_dial_events *events;
	void *arg;
	char *host;
	int port;
	int64_t deadline;
	struct tcp_dial *tcp;
	int fd;		 /* from there to libwebsockets */
	struct lws *wsi; /* NULL: none, or no longer ours */
	struct link *link;
	struct send_soon soon;
	struct buf message; /* of which pieces have come */
	unsigned pieces;
	enum lws_close_status closing; /* what the peer is told, and why */
	const char *closing_why;
	int verify_error, alert; /* of TLS, as they are noticed */
	int64_t off;		 /* minutes, of a certificate that is not of this time */
	bool shook_hands;
	bool by_another; /* our certificate is by another authority than the relay's */
	int failure;
	char *why;
	struct loop_timer timer;
	struct loop_task task;
};

/* --- the end of a dial ----------------------------------------------------------------------- */

static void
dial_free(struct ws_dial *d)
{
	loop_timer_stop(d->client->loop, &d->timer);
	loop_undefer(d->client->loop, &d->task);
	tcp_dial_cancel(d->tcp);
	fd_close(d->fd);
	LIST_REMOVE(d, entry);
	buf_fini(&d->message);
	free(d->host);
	free(d->why);
	free(d);
}

/* From here on libwebsockets calls back for nobody. */
static struct lws *
let_go(struct ws_dial *d)
{
	struct lws *wsi = d->wsi;

	d->wsi = NULL;
	send_soon_fini(&d->soon);
	if (wsi != NULL)
		lws_set_wsi_user(wsi, NULL);
	return wsi;
}

static void
hang_up(struct ws_dial *d)
{
	struct lws *wsi = let_go(d);

	if (wsi != NULL)
		lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

/* Once a proxy has opened the way, what goes wrong may still be its doing. */
static char *
say_way(const struct ws_dial *d, const char *why)
{
	char proxy[PROXY_SHOWN_MAX], *text;
	int n;

	if (d->state != DIAL_CONNECTING || d->client->proxy.host[0] == '\0')
		return strdup(why);
	proxy_write(proxy, &d->client->proxy);
	n = asprintf(&text, "%s (by way of the proxy %s%s)", why, proxy,
		d->verify_error != 0 ? ", and one that opens TLS is not supported" : "");
	return n < 0 ? NULL : text;
}

static void HW_PRINTF(3, 4) fail(struct ws_dial *d, int code, const char *fmt, ...)
{
	char why[384];
	va_list ap;

	free(d->why);
	d->failure = code;
	loop_timer_stop(d->client->loop, &d->timer);
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	d->why = say_way(d, why);
	loop_defer(d->client->loop, &d->task);
}

/* What is wrong, from the most telling sign to the least. `clue` is libwebsockets' own, may be "".
 */
static void
fail_by_clue(struct ws_dial *d, int status, const char *clue)
{
	int code;
	const char *refusal = d->alert != 0 ? ws_tls_alert_text(&code, d->alert) : NULL;

	if (d->verify_error == X509_V_ERR_CERT_NOT_YET_VALID ||
		d->verify_error == X509_V_ERR_CERT_HAS_EXPIRED)
		fail(d, HW_ECERT,
			"%s:%d is not trusted: its certificate %s (%" PRId64
			" minutes): is this machine's clock right?",
			d->host, d->port, ws_tls_verify_text(d->verify_error), d->off);
	else if (d->verify_error != 0)
		fail(d, HW_ECERT, "%s:%d is not trusted: its certificate %s", d->host, d->port,
			ws_tls_verify_text(d->verify_error));
	else if (refusal != NULL)
		fail(d, code, "%s:%d refused this machine's certificate: %s", d->host, d->port,
			refusal);
	else if (status == 403 && d->by_another)
		fail(d, HW_ECERT,
			"%s:%d refused the link (HTTP %d): this machine's certificate is by an earlier "
			"authority of this fleet, which may have been retired since",
			d->host, d->port, status);
	else if (status == 401 || status == 403)
		fail(d, HW_EDENIED, "%s:%d refused the link (HTTP %d)", d->host, d->port, status);
	else if (status == 429 || status >= 500)
		fail(d, HW_EUNAVAILABLE, "%s:%d cannot take the link now (HTTP %d)", d->host,
			d->port, status);
	else if (status != 0 && status != 101)
		fail(d, HW_EPROTO, "%s:%d is no relay: it answered with HTTP %d", d->host, d->port,
			status);
	else if (strncmp(clue, "HS: ", 4) == 0)
		fail(d, HW_EPROTO, "%s:%d is no relay: its answer is not a WebSocket's", d->host,
			d->port);
	else if (strncmp(clue, "tls: ", 5) == 0)
		fail(d, HW_EPROTO, "%s:%d does not speak TLS 1.3 as a relay does (%s)", d->host,
			d->port, clue + 5);
	else
		fail(d, HW_EUNAVAILABLE, "%s:%d hung up before the link was up%s", d->host, d->port,
			d->shook_hands ? ": it may not accept this machine's certificate" : "");
}

/* --- connecting ------------------------------------------------------------------------------ */

static void
start_timer(struct ws_dial *d)
{
	int64_t left = d->deadline - clock_mono(loop_clock(d->client->loop));

	if (tcp_dial_more(d->tcp) && left > ADDRESS_WITHIN)
		left = ADDRESS_WITHIN;
	loop_timer_start(d->client->loop, &d->timer, left);
}

/* The name for TLS and for HTTP's Host; an IPv6 address would be cut at its first colon. */
static const char *
name_of(const struct ws_dial *d)
{
	return strchr(d->host, ':') != NULL ? "relay" : d->host;
}

static int64_t
judging_time(const struct ws_client *c)
{
	return c->now != NULL ? c->now(c->arg) : clock_wall(loop_clock(c->loop));
}

static void
judge_time(struct ws_client *c)
{
	ws_tls_set_time(c->tls, judging_time(c));
}

/* The socket is connected: libwebsockets looks at no address. */
static struct lws *
hand_over(struct ws_dial *d)
{
	static const lws_retry_bo_t no_pings; /* the link has its own */
	struct ws_client *c = d->client;
	struct lws_client_connect_info info = {
		.context = c->lws,
		.vhost = c->vhost,
		.address = "127.0.0.1",
		.port = d->port,
		.path = "/link",
		.host = name_of(d),
		.protocol = PROTO_SUBPROTOCOL,
		.alpn = "http/1.1",
		.ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK |
			LCCSCF_HTTP_NO_FOLLOW_REDIRECT | LCCSCF_OWN_SOCKET,
		.retry_and_idle_policy = &no_pings,
		.userdata = d,
		.opaque_user_data = &d->fd,
	};

	judge_time(c);
	return lws_client_connect_via_info(&info);
}

static void
on_open(void *arg, int fd)
{
	struct ws_dial *d = arg;
	struct ws_client *c = d->client;

	d->verify_error = d->alert = d->failure = 0;
	d->by_another = false;
	d->shook_hands = false;
	d->state = DIAL_CONNECTING;
	d->fd = fd;
	start_timer(d);
	d->wsi = hand_over(d);
	lws_cancel_service(c->lws); /* it set timers, and nothing else would make it look at them */
	if (d->wsi == NULL && d->failure == 0)
		fail(d, HW_EUNAVAILABLE, "cannot begin a connection to %s:%d", d->host, d->port);
}

static void
on_no_way(void *arg, int code, const char *why)
{
	fail(arg, code, "%s", why);
}

static const struct tcp_dial_events tcp_events = {.on_open = on_open, .on_failed = on_no_way};

/* What answered was of no use, and another address may be. */
static bool
go_on(struct ws_dial *d)
{
	if (d->state != DIAL_CONNECTING || !tcp_dial_next(d->tcp))
		return false;
	d->state = DIAL_REACHING;
	loop_timer_stop(d->client->loop, &d->timer);
	return true;
}

/* The attempt failed, and libwebsockets is done with it: try another address, or tell. */
static void
on_task(void *arg)
{
	struct ws_dial *d = arg;
	const struct ws_dial_events *events = d->events;
	struct ws_dial gone;

	fd_close(d->fd);
	d->fd = -1;
	if (d->failure == HW_EUNAVAILABLE && go_on(d))
		return;
	gone = *d;
	d->why = NULL;
	dial_free(d);
	if (gone.state < DIAL_UP)
		events->on_failed(gone.arg, gone.failure,
			gone.why != NULL ? gone.why : hw_code_meaning(gone.failure));
	free(gone.why);
}

static void
on_timer(void *arg)
{
	struct ws_dial *d = arg;

	hang_up(d);
	if (d->state == DIAL_CLOSING) {
		d->state = DIAL_OVER;
		loop_defer(d->client->loop, &d->task);
	} else if (!go_on(d)) {
		fail(d, HW_ETIMEOUT, "%s:%d did not answer within 10 seconds", d->host, d->port);
	}
}

/* --- the transport --------------------------------------------------------------------------- */

static struct ws_dial *
dial_from(struct link_transport *t)
{
	return container_of(t, struct ws_dial, transport);
}

/* On libevent this takes effect at once, from outside of libwebsockets' callbacks too. */
static void
ask_to_write(struct ws_dial *d)
{
	if (d->wsi != NULL)
		lws_callback_on_writable(d->wsi);
}

static void
want_write(struct link_transport *t)
{
	struct ws_dial *d = dial_from(t);

	if (d->state != DIAL_UP || !send_soon(&d->soon))
		ask_to_write(d);
}

/* The next chance to write, which comes when all before it is written, ends the connection. */
static void
close_transport(struct link_transport *t)
{
	struct ws_dial *d = dial_from(t);

	d->link = NULL;
	d->state = DIAL_CLOSING;
	d->closing = LWS_CLOSE_STATUS_NORMAL;
	send_soon_fini(&d->soon);
	loop_timer_start(d->client->loop, &d->timer, CLOSE_WITHIN);
	ask_to_write(d);
}

static void write_unasked(void *arg);

static int
on_established(struct ws_dial *d, struct lws *wsi)
{
	d->wsi = wsi;
	d->state = DIAL_UP;
	loop_timer_stop(d->client->loop, &d->timer);
	tcp_dial_cancel(d->tcp);
	d->tcp = NULL;
	send_soon_init(&d->soon, d->client->loop, lws_get_socket_fd(wsi), write_unasked, d);
	SSL_set_read_ahead(lws_get_ssl(wsi), 1);
	d->link = d->events->on_connected(d->arg, &d->transport);
	return d->link != NULL ? 0 : -1;
}

/* The link is lost at once, the peer told with the next write. A RECEIVE callback must not say so
 * by its return value: libwebsockets' client would go on collecting what comes, in a buffer that it
 * empties no more, past its end (4.3.5; the byte-wise loop compares with != and the early return
 * leaves the count as it is). */
static void
refuse(struct ws_dial *d, enum lws_close_status status, const char *why)
{
	struct link *link = d->link;

	close_transport(&d->transport);
	d->closing = status;
	d->closing_why = why;
	link_lost(link, why);
}

/* A message that is whole in one piece is handed on where it lies. */
static void
take_piece(struct ws_dial *d, const void *p, size_t n, size_t rest, bool whole)
{
	if (whole && d->pieces == 0) {
		link_input(d->link, p, n);
		return;
	}
	if (++d->pieces > PIECES_MAX) {
		refuse(d, LWS_CLOSE_STATUS_POLICY_VIOLATION, "the relay sent too many pieces");
		return;
	}
	if (buf_reserve(&d->message, n + rest) == NULL || buf_append(&d->message, p, n) < 0) {
		refuse(d, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "the relay sent a message too large");
		return;
	}
	link_heard(d->link);
	if (!whole)
		return;
	struct buf message = d->message; /* the link may end, and d with it, while it reads */
	buf_init(&d->message, FRAME_MESSAGE_MAX);
	d->pieces = 0;
	link_input(d->link, buf_data(&message), message.len);
	buf_fini(&message);
}

static void
on_receive(struct ws_dial *d, struct lws *wsi, const void *p, size_t n)
{
	if (d->link == NULL)
		return; /* it has let go: nobody listens */
	if (lws_frame_is_binary(wsi))
		take_piece(d, p, n, lws_remaining_packet_payload(wsi),
			lws_is_final_fragment(wsi) != 0);
	else
		refuse(d, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "the relay sent text");
}

static int
say_goodbye(const struct ws_dial *d, struct lws *wsi)
{
	unsigned char text[64];
	size_t n = d->closing_why != NULL ? strlen(d->closing_why) : 0;

	hw_assert(n < sizeof(text));
	if (n > 0)
		memcpy(text, d->closing_why, n);
	lws_close_reason(wsi, d->closing, text, n);
	return -1;
}

/* -1: the connection cannot be written to any more. */
static int
write_one(struct ws_dial *d, bool *more)
{
	size_t n = 0;

	uint8_t *p = link_writable(d->link, &n, more);
	if (p != NULL && lws_write(d->wsi, p, n, LWS_WRITE_BINARY) < (int)n)
		return -1;
	if (p == NULL && *more) /* it has no memory to say it now */
		ask_to_write(d);
	*more = *more && p != NULL && d->link != NULL;
	send_soon_wrote(&d->soon, n, *more);
	return 0;
}

/* Message by message, until the socket is full or it is others' turn. */
static int
write_some(struct ws_dial *d)
{
	bool more = true;
	int r = 0;

	send_soon_begin(&d->soon, link_is_interactive(d->link));
	while (r == 0 && more && send_soon_may(&d->soon) && !lws_partial_buffered(d->wsi))
		r = write_one(d, &more);
	send_soon_end(&d->soon);
	if (r == 0 && more)
		ask_to_write(d);
	return r;
}

static void
write_unasked(void *arg)
{
	struct ws_dial *d = arg;

	if (lws_partial_buffered(d->wsi))
		ask_to_write(d);
	else if (write_some(d) < 0)
		lws_set_timeout(d->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static int
on_writable(struct ws_dial *d, struct lws *wsi)
{
	if (d->link == NULL)
		return say_goodbye(d, wsi);
	send_soon_asked(&d->soon);
	return write_some(d);
}

static void
on_closed(struct ws_dial *d)
{
	struct link *link = d->link;

	let_go(d);
	d->link = NULL;
	d->state = DIAL_OVER;
	loop_defer(d->client->loop, &d->task);
	if (link != NULL)
		link_lost(link, "the connection to the relay was lost");
}

static void
on_error(struct ws_dial *d, struct lws *wsi, const char *clue, size_t n)
{
	char text[256];

	snprintf(text, sizeof(text), "%.*s", (int)n, clue != NULL ? clue : "");
	int status = (int)lws_http_client_http_response(wsi);
	let_go(d);
	fail_by_clue(d, status, text);
}

/* --- libwebsockets' callbacks ---------------------------------------------------------------- */

/* Our own notes of what it decides itself: it fails by the same error. */
static int
on_verify(struct ws_dial *d, X509_STORE_CTX *store, bool good)
{
	if (d == NULL || good)
		return 0;
	d->verify_error = X509_STORE_CTX_get_error(store);
	d->off = ws_tls_off(store);
	return 0;
}

static int
on_dial(struct ws_dial *d, struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t n)
{
	switch (reason) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		on_error(d, wsi, in, in != NULL ? n : 0);
		return 0;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		return on_established(d, wsi);
	case LWS_CALLBACK_CLIENT_RECEIVE:
		on_receive(d, wsi, in, n);
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return on_writable(d, wsi);
	case LWS_CALLBACK_CLIENT_CLOSED:
		on_closed(d);
		return 0;
	default:
		return 0;
	}
}

/* `user` is the dial for some reasons only, and something else for others. */
static int
on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
	switch (reason) {
	case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
		return on_verify(lws_wsi_user(wsi), user, n != 0);
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_CLIENT_CLOSED:
		if (user == NULL)
			return -1; /* given up */
		loop_enter(((struct ws_dial *)user)->client->loop);
		return on_dial(user, wsi, reason, in, n);
	default:
		return 0;
	}
}

static struct ws_dial *
dial_of_fd(struct ws_client *c, int fd)
{
	struct ws_dial *d;

	LIST_FOREACH(d, &c->dials, entry)
		if (d->wsi != NULL && lws_get_socket_fd(d->wsi) == fd)
			return d;
	return NULL;
}

static void
tell_successor(void *arg)
{
	struct ws_client *c = arg;
	X509 *root = c->successor;

	c->successor = NULL;
	if (c->on_successor != NULL)
		c->on_successor(c->arg, root);
	X509_free(root);
}

/* Told when the turn is over: within a handshake nothing of it can be replaced. */
static void
note_successor(struct ws_client *c, const SSL *ssl)
{
	X509 *root = ws_tls_successor(ssl, judging_time(c));

	if (root == NULL || c->successor != NULL)
		return;
	X509_up_ref(root);
	c->successor = root;
	loop_defer(c->loop, &c->tell);
}

/* The relay judges our certificate only when our side of the handshake is done: its verdict is an
 * alert, if it gets through before the connection is reset. */
static void
on_tls_info(const SSL *ssl, int where, int ret)
{
	bool alert = (where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT;
	struct ws_dial *d;

	if (!alert && (where & SSL_CB_HANDSHAKE_DONE) == 0)
		return;
	d = dial_of_fd(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)), SSL_get_fd(ssl));
	if (d != NULL && alert)
		d->alert = ret & 0xff;
	else if (d != NULL) {
		d->shook_hands = true;
		d->by_another = ws_tls_is_by_another(ssl);
		note_successor(d->client, ssl);
	}
}

static void
on_log(struct lws_log_cx *cx, int level, const char *line, size_t n)
{
	const struct ws_client *c = cx->opaque;
	char text[400];

	(void)level;
	while (n > 0 && line[n - 1] == '\n')
		n--;
	snprintf(text, sizeof(text), "%.*s", (int)(n < sizeof(text) ? n : sizeof(text) - 1), line);
	log_event(c->log, LOG_LEVEL_DEBUG, "ws.library", "text=%s", log_value(text));
}

/* Without any timer of its own, libwebsockets' backend would wake up each millisecond. */
static void
on_alarm(struct lws_sorted_usec_list *sul)
{
	struct ws_client *c = container_of(sul, struct ws_client, alarm);

	lws_sul_schedule(c->lws, 0, &c->alarm, on_alarm, 3600 * LWS_US_PER_SEC);
}

/* --- dials ----------------------------------------------------------------------------------- */

int
ws_dial(struct ws_dial **ret, struct ws_client *c, const char *host, int port,
	const struct ws_dial_events *events, void *arg, struct hw_err *err)
{
	struct ws_dial *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL || (d->host = strdup(host)) == NULL) {
		free(d);
		return hw_err_set(err, HW_ENOMEM, "no memory to dial");
	}
	d->transport = (struct link_transport){.want_write = want_write, .close = close_transport};
	d->client = c;
	d->events = events;
	d->arg = arg;
	d->port = port;
	d->fd = -1;
	d->deadline = clock_mono(loop_clock(c->loop)) + DIAL_WITHIN;
	d->timer = (struct loop_timer){.fn = on_timer, .arg = d};
	d->task = (struct loop_task){.fn = on_task, .arg = d};
	buf_init(&d->message, FRAME_MESSAGE_MAX);
	LIST_INSERT_HEAD(&c->dials, d, entry);
	r = tcp_dial_start(&d->tcp, c->loop, c->lookups, host, port, &c->proxy, DIAL_WITHIN,
		&tcp_events, d, err);
	if (r < 0) {
		dial_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void
ws_dial_cancel(struct ws_dial *d)
{
	hw_assert(d->state < DIAL_UP);
	hang_up(d);
	dial_free(d);
}

/* --- the client ------------------------------------------------------------------------------ */

static int
open_context(struct ws_client *c, unsigned connections, struct hw_err *err)
{
	void *loops[] = {loop_base(c->loop)};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = c->protocols,
		.options = LWS_SERVER_OPTION_LIBEVENT | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.foreign_loops = loops,
		.provided_client_ssl_ctx = c->tls,
		.pt_serv_buf_size = PIECE_MAX,
		.timeout_secs = 30, /* ours come first */
		.connect_timeout_secs = 30,
		/* Few descriptors are found faster in a list than in a table for all that are
		   allowed. */
		.fd_limit_per_thread = (connections != 0 ? connections : CONNECTIONS) + 4,
		.http_proxy_address = "", /* nor does the environment's http_proxy count */
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.log_cx = &c->log_cx,
		.user = c,
	};

	lws_set_log_level(0, NULL); /* what does not belong to our context */
	c->lws = lws_create_context(&info);
	if (c->lws == NULL)
		return hw_err_set(err, HW_EINTERNAL, "cannot set up libwebsockets");
	c->vhost = lws_get_vhost_by_name(c->lws, "default");
	on_alarm(&c->alarm);
	return 0;
}

static void
set_up(struct ws_client *c, const struct ws_client_config *config)
{
	c->loop = config->loop;
	c->log = config->log;
	c->now = config->now;
	c->on_successor = config->on_successor;
	c->arg = config->arg;
	c->tell = (struct loop_task){.fn = tell_successor, .arg = c};
	c->ca_file = strdup(config->ca_file);
	c->cert_file = strdup(config->cert_file);
	c->key_file = strdup(config->key_file);
	c->protocols[0] = (struct lws_protocols){.name = PROTO_SUBPROTOCOL,
		.callback = on_lws,
		.rx_buffer_size = PIECE_MAX,
		.tx_packet_size = FRAME_MESSAGE_MAX};
	c->log_cx = (struct lws_log_cx){.u.emit_cx = on_log,
		.opaque = c,
		.lll_flags = LLLF_LOG_CONTEXT_AWARE | LLL_ERR | LLL_WARN};
	LIST_INIT(&c->dials);
}

int
ws_client_new(struct ws_client **ret, const struct ws_client_config *config, struct hw_err *err)
{
	struct ws_client *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the connection");
	set_up(c, config);
	c->lookups = resolve_limit_new(LOOKUPS_MAX);
	if (c->ca_file == NULL || c->cert_file == NULL || c->key_file == NULL ||
		c->lookups == NULL) {
		r = hw_err_set(err, HW_ENOMEM, "no memory for the connection");
		goto out;
	}
	if (config->proxy != NULL)
		c->proxy = *config->proxy;
	if ((r = ws_tls_new(&c->tls, c->ca_file, c->cert_file, c->key_file, err)) < 0)
		goto out;
	SSL_CTX_set_app_data(c->tls, c);
	SSL_CTX_set_info_callback(c->tls, on_tls_info);
	if ((r = open_context(c, config->connections, err)) < 0)
		goto out;
	*ret = c;
	return 0;
out:
	ws_client_free(c);
	return r;
}

/* There is no other turn of the loop: what was closed just now has its farewell to say still. */
static void
say_last_words(struct ws_dial *d)
{
	if (d->state == DIAL_UP && d->link != NULL && !lws_partial_buffered(d->wsi))
		(void)write_some(d);
}

void
ws_client_free(struct ws_client *c)
{
	struct ws_dial *d;

	if (c == NULL)
		return;
	while ((d = LIST_FIRST(&c->dials)) != NULL) {
		say_last_words(d);
		struct link *link = d->link;
		hang_up(d);
		dial_free(d);
		if (link != NULL)
			link_lost(link, "the program ends");
	}
	if (c->lws != NULL) {
		lws_sul_cancel(&c->alarm);
		lws_context_destroy(c->lws);
	}
	resolve_limit_free(c->lookups);
	SSL_CTX_free(c->tls);
	loop_undefer(c->loop, &c->tell);
	X509_free(c->successor);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	explicit_bzero(&c->proxy, sizeof(c->proxy));
	free(c);
}

size_t
ws_client_open(const struct ws_client *c)
{
	const struct ws_dial *d;
	size_t n = 0;

	LIST_FOREACH(d, &c->dials, entry)
		n += d->state == DIAL_UP || d->state == DIAL_CLOSING;
	return n;
}

int
ws_client_reload(struct ws_client *c, struct hw_err *err)
{
	return ws_tls_reload(c->tls, c->ca_file, c->cert_file, c->key_file, err);
}
