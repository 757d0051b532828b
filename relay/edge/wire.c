/* A link's transport: WebSocket messages to and from a connection that was let in. */
#include <libwebsockets.h>

#include <openssl/ssl.h>
#include <string.h>

#include "proto/wire/frame.h"
#include "relay/edge/private.h"

_Static_assert(LINK_HEADROOM >= LWS_PRE,
	"libwebsockets writes its frame's head before the message");

#define LAST_WORDS (5 * USEC_PER_SEC)
#define PIECES_MAX 4096 /* of one message; 16 KiB pieces would do with 16 */

static struct conn *
conn_from(struct link_transport *t)
{
	return container_of(t, struct conn, transport);
}

static void
want_write(struct link_transport *t)
{
	struct conn *c = conn_from(t);

	/* With libevent underneath this takes effect at once: the loop need not be woken. */
	if (!send_soon(&c->soon))
		lws_callback_on_writable(c->wsi);
}

static void
detach(struct conn *c)
{
	c->link = NULL;
	c->server->links--;
	send_soon_fini(&c->soon);
	buf_fini(&c->message);
}

/* The next chance to write, which comes when all before it is written, ends the connection. */
static void
close_transport(struct link_transport *t)
{
	struct conn *c = conn_from(t);

	detach(c);
	c->state = CONN_ENDING;
	conn_expect(c, LAST_WORDS);
	lws_callback_on_writable(c->wsi);
}

static void write_unasked(void *arg);

int
wire_up(struct conn *c, struct lws *wsi)
{
	struct server *s = c->server;
	struct greeting *g = c->greeting;

	if (c->state != CONN_UPGRADING || s->relay == NULL)
		return -1;
	c->wsi = wsi;
	c->transport = (struct link_transport){.want_write = want_write, .close = close_transport};
	buf_init(&c->message, FRAME_MESSAGE_MAX);
	send_soon_init(&c->soon, s->loop, lws_get_socket_fd(wsi), write_unasked, c);
	if (lws_get_ssl(wsi) != NULL)
		SSL_set_read_ahead(lws_get_ssl(wsi), 1);
	struct link *link = relay_link(s->relay, &g->who, g->expired, g->address, &c->transport);
	if (link == NULL)
		return -1;
	conn_settle(c, link);
	s->stats->upgrades++;
	return 0;
}

void
wire_down(struct conn *c)
{
	struct link *link = c->link;

	if (link == NULL)
		return;
	detach(c);
	link_lost(link, "the connection was lost");
}

/* --- in ------------------------------------------------------------------------------------ */

static int
refuse(struct conn *c, struct lws *wsi, enum lws_close_status status, const char *why)
{
	char text[64];
	size_t n = strlen(why);

	hw_assert(n < sizeof(text));
	memcpy(text, why, n + 1);
	lws_close_reason(wsi, status, (unsigned char *)text, n);
	log_debug(c->server, "edge.websocket", "refused=%s", log_value(why));
	return -1;
}

/* A message that is whole in one piece is handed on where it lies. */
static int
take_piece(struct conn *c, struct lws *wsi, const void *p, size_t n, size_t rest, bool whole)
{
	if (whole && c->pieces == 0) {
		link_input(c->link, p, n);
		return 0;
	}
	if (++c->pieces > PIECES_MAX)
		return refuse(c, wsi, LWS_CLOSE_STATUS_POLICY_VIOLATION, "too many pieces");
	if (buf_reserve(&c->message, n + rest) == NULL || buf_append(&c->message, p, n) < 0)
		return refuse(c, wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too large");
	if (!whole)
		return 0;
	/* Moved out first: the link may end, and this with it, while it reads. */
	struct buf message = c->message;
	buf_init(&c->message, FRAME_MESSAGE_MAX);
	c->pieces = 0;
	link_input(c->link, buf_data(&message), message.len);
	buf_fini(&message);
	return 0;
}

int
wire_receive(struct conn *c, struct lws *wsi, const void *p, size_t n)
{
	if (c->link == NULL)
		return 0; /* it has let go: nobody listens */
	/* Who types waits neither for a crowd's handshakes nor for what it asks. */
	loop_urge(c->server->loop, lws_get_socket_fd(wsi), link_is_interactive(c->link));
	if (!lws_frame_is_binary(wsi))
		return refuse(c, wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "only binary messages");
	return take_piece(c, wsi, p, n, lws_remaining_packet_payload(wsi),
		lws_is_final_fragment(wsi) != 0);
}

/* --- out ----------------------------------------------------------------------------------- */

/* -1: the connection cannot be written to any more. */
static int
write_one(struct conn *c, bool *more)
{
	size_t n = 0;

	if (c->server->relay != NULL) /* otherwise server_quiesce() did */
		relay_before_write(c->server->relay);
	uint8_t *p = link_writable(c->link, &n, more);
	if (p != NULL && lws_write(c->wsi, p, n, LWS_WRITE_BINARY) < (int)n)
		return -1;
	if (p == NULL && *more) /* it has no memory to say it now */
		lws_callback_on_writable(c->wsi);
	*more = *more && p != NULL && c->link != NULL;
	send_soon_wrote(&c->soon, n, *more);
	return 0;
}

/* Message by message, until the socket is full or it is others' turn. */
static int
write_some(struct conn *c)
{
	bool more = true;
	int r = 0;

	send_soon_begin(&c->soon, link_is_interactive(c->link));
	while (r == 0 && more && send_soon_may(&c->soon) && !lws_partial_buffered(c->wsi))
		r = write_one(c, &more);
	send_soon_end(&c->soon);
	if (r == 0 && more)
		lws_callback_on_writable(c->wsi);
	return r;
}

static void
write_unasked(void *arg)
{
	struct conn *c = arg;

	if (lws_partial_buffered(c->wsi))
		lws_callback_on_writable(c->wsi);
	else if (write_some(c) < 0)
		conn_close(c);
}

int
wire_writable(struct conn *c, struct lws *wsi)
{
	if (c->link == NULL) {
		bool stopping = c->server->relay == NULL;
		lws_close_reason(wsi,
			stopping ? LWS_CLOSE_STATUS_GOINGAWAY : LWS_CLOSE_STATUS_NORMAL, NULL, 0);
		return -1;
	}
	send_soon_asked(&c->soon);
	return write_some(c);
}
