#include "tests/bench/sim_link.h"

#include <sys/epoll.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/wire/codec.h"

#define PING_EVERY 20 /* seconds, as a link has it */
#define UP_WITHIN  10 /* and that, as an agent has it */
#define COMPLAINTS 5  /* the rest would say the same */
#define IN_MAX	   FRAME_MESSAGE_MAX
#define KEY	   "dGhlIHNhbXBsZSBub25jZQ==" /* any 16 bytes do */

void
sim_die(const char *what, const struct hw_err *err)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
		err != NULL ? hw_err_text(err) : strerror(errno));
	exit(1);
}

/* --- saying ----------------------------------------------------------------------------------- */

/* One masked WebSocket frame; a mask of zeros leaves the bytes as they are. */
static void
add_ws(struct buf *out, int opcode, const void *p, size_t n)
{
	uint8_t head[8] = {(uint8_t)(0x80 | opcode)};
	size_t len = 2;

	if (n < 126) {
		head[1] = (uint8_t)(0x80 | n);
	} else {
		hw_assert(n < 65536);
		head[1] = 0x80 | 126;
		head[2] = (uint8_t)(n >> 8);
		head[3] = (uint8_t)n;
		len = 4;
	}
	memset(head + len, 0, 4);
	buf_append(out, head, len + 4);
	buf_append(out, p, n);
}

void
sim_say_encoded(struct sim_link *l, const struct buf *frames)
{
	add_ws(&l->out, 2, buf_data(frames), frames->len);
}

void
sim_say(struct sim_link *l, enum frame_kind kind, uint32_t channel, const struct msg_row *row,
	const void *msg)
{
	struct buf frame;

	buf_init(&frame, 4096);
	if (frame_encode_msg(&frame, kind, channel, row, msg) < 0)
		sim_die("a message does not encode", NULL);
	sim_say_encoded(l, &frame);
	buf_fini(&frame);
}

void
sim_say_frame(struct sim_link *l, const struct frame *f)
{
	struct buf frame;

	buf_init(&frame, 8192);
	if (frame_encode(&frame, f) < 0)
		sim_die("a frame does not encode", NULL);
	sim_say_encoded(l, &frame);
	buf_fini(&frame);
}

uint64_t
sim_request(struct sim_link *l, const struct op_row *row, const struct msg_row *msg_row,
	const void *msg)
{
	struct buf body;

	buf_init(&body, 4096);
	msg_encode(&body, msg_row, msg, NULL);
	const struct frame f = {.kind = FRAME_REQUEST,
		.id = ++l->requests,
		.name = row->name,
		.name_len = strlen(row->name),
		.body = buf_data(&body),
		.body_len = body.len};
	sim_say_frame(l, &f);
	buf_fini(&body);
	return l->requests;
}

static void
say_hello(struct sim_link *l)
{
	bool node = l->role == ROLE_NODE;
	const struct msg_hello hello = {
		.version_min = PROTO_VERSION,
		.version_max = PROTO_VERSION,
		.role = l->role,
		.id = l->id,
		.software = node ? "hawser-node/" HAWSER_VERSION : "hawser/" HAWSER_VERSION,
		.time = clock_wall(&hw_clock_system),
		.frame_max = FRAME_MESSAGE_MAX,
		.boot_id = node ? "00000000-0000-0000-0000-000000000000" : NULL,
	};

	sim_say(l, FRAME_HELLO, 0, MSG_ROW(hello), &hello);
}

static void
say_control(struct sim_link *l, int type, int64_t nonce)
{
	const struct msg_control control = {
		.type = type, .nonce = nonce, .time = clock_wall(&hw_clock_system)};

	sim_say(l, FRAME_CONTROL, 0, MSG_ROW(control), &control);
}

/* --- a link ----------------------------------------------------------------------------------- */

static void
lose(struct sim_net *net, struct sim_link *l, const char *why)
{
	bool was_up = l->state == WAIT_END, dropped = was_up || net->on_lost == NULL;

	net->up -= was_up;
	net->lost += dropped;
	if ((dropped || net->failed++ < COMPLAINTS) && net->lost <= COMPLAINTS)
		fprintf(stderr, "sim_nodes: %s: %.*s\n", l->id, (int)strcspn(why, "\r\n"), why);
	l->state = WAIT_NOTHING;
	SSL_free(l->ssl);
	l->ssl = NULL;
	close(l->fd);
	l->fd = -1;
	if (net->on_lost != NULL)
		net->on_lost(net->arg, l, was_up);
}

static void
watch(const struct sim_net *net, struct sim_link *l, uint32_t events, int how)
{
	struct epoll_event e = {.events = events, .data.ptr = l};

	if (epoll_ctl(net->epoll, how, l->fd, &e) < 0)
		sim_die("epoll_ctl", NULL);
}

/* Sends what is queued, as far as it goes. */
void
sim_flush(struct sim_net *net, struct sim_link *l)
{
	while (l->out.len > 0) {
		int sent = SSL_write(l->ssl, buf_data(&l->out), (int)l->out.len);
		if (sent <= 0) {
			watch(net, l, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		buf_consume(&l->out, (size_t)sent);
	}
	buf_reset(&l->out);
}

static void
take_hello(struct sim_net *net, struct sim_link *l, const struct frame *f)
{
	struct hw_err err = HW_ERR_INIT;
	struct arena *a = arena_new(65536);
	void *msg;

	if (msg_decode(&msg, a, MSG_ROW(hello), f->body, f->body_len, &err) < 0)
		sim_die("HELLO", &err);
	const char *head = ((const struct msg_hello *)msg)->head;
	l->state = WAIT_END;
	l->pinged = time(NULL);
	net->up++;
	net->on_up(net->arg, l);
	if (head != NULL && net->on_head != NULL)
		net->on_head(net->arg, l, head);
	arena_free(a);
}

/* A word of the link's own: true when nobody else needs to hear it. */
static bool
take_ping(struct sim_net *net, struct sim_link *l, const struct frame *f)
{
	struct arena *a = arena_new(65536);
	void *msg;
	bool taken = false;

	if (msg_decode(&msg, a, MSG_ROW(control), f->body, f->body_len, NULL) == 0) {
		const struct msg_control *control = msg;
		taken = control->type == CONTROL_PING || control->type == CONTROL_PONG;
		if (control->type == CONTROL_PING)
			say_control(l, CONTROL_PONG, control->nonce);
		if (control->head != NULL && net->on_head != NULL)
			net->on_head(net->arg, l, control->head);
		net->pings += control->type == CONTROL_PING;
		net->pongs += control->type == CONTROL_PONG;
	}
	arena_free(a);
	return taken;
}

static void
take_frame(struct sim_net *net, struct sim_link *l, const struct frame *f)
{
	if (f->kind == FRAME_HELLO && l->state == WAIT_HELLO) {
		take_hello(net, l, f);
	} else if (f->kind == FRAME_CLOSE && f->channel == 0) {
		lose(net, l, "the relay closed the link");
	} else if (f->kind != FRAME_CONTROL || f->channel != 0 || !take_ping(net, l, f)) {
		net->on_frame(net->arg, l, f);
	}
}

static void
take_message(struct sim_net *net, struct sim_link *l, const uint8_t *p, size_t len)
{
	struct hw_err err = HW_ERR_INIT;
	struct frame f;
	size_t used;

	for (; len > 0 && l->fd >= 0; p += used, len -= used) {
		if (frame_parse(&f, p, len, &used, &err) < 0) {
			lose(net, l, hw_err_text(&err));
			return;
		}
		take_frame(net, l, &f);
	}
}

/* Takes one whole WebSocket frame off the input; false when there is none yet. */
static bool
take_ws(struct sim_net *net, struct sim_link *l)
{
	const uint8_t *p = buf_data(&l->in);
	size_t have = l->in.len, head = 2, len;

	if (have < 2)
		return false;
	if ((len = p[1] & 0x7f) == 126) {
		head = 4;
		if (have < head)
			return false;
		len = (size_t)p[2] << 8 | p[3];
	} else if (len == 127) {
		lose(net, l, "a message larger than any that is due here");
		return false;
	}
	if (have < head + len)
		return false;
	int opcode = p[0] & 0x0f;
	if (opcode == 2)
		take_message(net, l, p + head, len);
	else if (opcode == 9)
		add_ws(&l->out, 10, p + head, len);
	else if (opcode == 8)
		lose(net, l, "the relay closed the WebSocket");
	buf_consume(&l->in, head + len);
	return l->fd >= 0;
}

static void
take_upgrade(struct sim_net *net, struct sim_link *l)
{
	const char *text = buf_str(&l->in);
	const char *end = strstr(text, "\r\n\r\n");

	if (end == NULL)
		return;
	if (strncmp(text, "HTTP/1.1 101", 12) != 0) {
		lose(net, l, text);
		return;
	}
	buf_consume(&l->in, (size_t)(end + 4 - text));
	l->state = WAIT_HELLO;
	say_hello(l);
}

static void
take_input(struct sim_net *net, struct sim_link *l)
{
	uint8_t chunk[16384];
	int got;

	while (l->fd >= 0 && (got = SSL_read(l->ssl, chunk, sizeof(chunk))) > 0) {
		net->bytes += got;
		buf_append(&l->in, chunk, (size_t)got);
		if (l->state == WAIT_UPGRADE)
			take_upgrade(net, l);
		while (l->state >= WAIT_HELLO && take_ws(net, l))
			;
	}
	if (l->fd >= 0 && SSL_get_error(l->ssl, got) != SSL_ERROR_WANT_READ)
		lose(net, l, "the connection broke");
	if (l->in.len == 0)
		buf_reset(&l->in);
}

static void
ask_upgrade(const struct sim_net *net, struct sim_link *l)
{
	l->state = WAIT_UPGRADE;
	buf_printf(&l->out,
		"GET /link HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n"
		"Sec-WebSocket-Protocol: " PROTO_SUBPROTOCOL "\r\n\r\n",
		net->url.host, net->url.port);
}

static void
begin_tls(const struct sim_net *net, struct sim_link *l)
{
	l->ssl = SSL_new(net->tls);
	if (l->ssl == NULL || SSL_use_certificate(l->ssl, l->cert) != 1 ||
		SSL_use_PrivateKey(l->ssl, l->key) != 1 || SSL_set_fd(l->ssl, l->fd) != 1)
		sim_die("no TLS", NULL);
	SSL_set_connect_state(l->ssl);
	l->state = WAIT_TLS;
}

static void
continue_tls(struct sim_net *net, struct sim_link *l)
{
	char why[256];
	int r = SSL_do_handshake(l->ssl);

	if (r == 1) {
		watch(net, l, EPOLLIN, EPOLL_CTL_MOD);
		ask_upgrade(net, l);
		return;
	}
	r = SSL_get_error(l->ssl, r);
	if (r == SSL_ERROR_WANT_READ) {
		watch(net, l, EPOLLIN, EPOLL_CTL_MOD);
	} else if (r != SSL_ERROR_WANT_WRITE) {
		ERR_error_string_n(ERR_get_error(), why, sizeof(why));
		lose(net, l, why);
	}
}

void
sim_link_ready(struct sim_net *net, struct sim_link *l, uint32_t events)
{
	if (l->fd < 0)
		return;
	ERR_clear_error();
	if (l->state == WAIT_TCP) {
		if (events & EPOLLERR) {
			lose(net, l, "no connection");
			return;
		}
		begin_tls(net, l);
	}
	if (l->state == WAIT_TLS)
		continue_tls(net, l);
	if (l->fd >= 0 && l->state > WAIT_TLS)
		take_input(net, l);
	if (l->fd >= 0 && l->state > WAIT_TLS) {
		if (events & EPOLLOUT)
			watch(net, l, EPOLLIN, EPOLL_CTL_MOD);
		sim_flush(net, l);
	}
}

void
sim_link_ping(struct sim_net *net, struct sim_link *l, time_t now)
{
	if (l->fd >= 0 && l->state != WAIT_END && now - l->dialled >= UP_WITHIN)
		lose(net, l, "not up within ten seconds");
	if (l->state != WAIT_END || now - l->pinged < PING_EVERY)
		return;
	l->pinged = now;
	say_control(l, CONTROL_PING, 1);
	sim_flush(net, l);
}

/* --- beginning -------------------------------------------------------------------------------- */

void
sim_link_dial(struct sim_net *net, struct sim_link *l)
{
	l->fd = socket(net->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		sim_die("socket", NULL);
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	l->state = WAIT_TCP;
	l->dialled = time(NULL);
	buf_reset(&l->in);
	buf_reset(&l->out);
	if (connect(l->fd, (struct sockaddr *)&net->address, net->address_len) < 0 &&
		errno != EINPROGRESS)
		sim_die("connect", NULL);
	watch(net, l, EPOLLOUT, EPOLL_CTL_ADD);
}

void
sim_link_load(struct sim_link *l, int dir, const char *cert, const char *key, int role)
{
	struct hw_err err = HW_ERR_INIT;
	struct cert_identity who;
	char fleet[CERT_FLEET_LEN + 1];
	X509 *ca = NULL;

	if (cert_load(&ca, dir, ENROL_CA, &err) < 0 || cert_fleet(fleet, ca, &err) < 0 ||
		cert_load(&l->cert, dir, cert, &err) < 0 ||
		cert_identity(&who, l->cert, fleet, &err) < 0 ||
		key_load(&l->key, dir, key, &err) < 0)
		sim_die("a peer's files", &err);
	snprintf(l->id, sizeof(l->id), "%s", who.id);
	l->role = role;
	l->fd = -1;
	buf_init(&l->in, IN_MAX);
	buf_init(&l->out, IN_MAX);
	X509_free(ca);
}

/* The relay's certificate is not looked at: who is measured here is not doubted. */
void
sim_net_init(struct sim_net *net)
{
	struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
	char port[16];

	snprintf(port, sizeof(port), "%d", net->url.port);
	if (getaddrinfo(net->url.host, port, &hints, &found) != 0)
		sim_die(net->url.host, NULL);
	memcpy(&net->address, found->ai_addr, found->ai_addrlen);
	net->address_len = found->ai_addrlen;
	freeaddrinfo(found);
	net->tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(net->tls, TLS1_3_VERSION);
	SSL_CTX_set_mode(net->tls,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_ENABLE_PARTIAL_WRITE);
	net->epoll = epoll_create1(EPOLL_CLOEXEC);
}
