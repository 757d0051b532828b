/*
 * Connections that have said nothing yet. They cost a descriptor and some bytes: no TLS, no
 * libwebsockets. Once a ClientHello is there whole its handshake can be done at one go, and only so
 * many are done in one turn of the loop, so that a crowd at the door slows nobody inside.
 */
#include <libwebsockets.h>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <ctype.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "relay/edge/private.h"
#include "relay/edge/proxy_header.h"

#define RECORD_HEAD	 5
#define RECORD_HANDSHAKE 22
#define RECORD_MAX	 (16 * 1024)
#define TURN_MOST	 (4 * USEC_PER_MSEC) /* until others have theirs */

/* Whoever types http:// for https:// is told so. */
static void
answer_plain(int fd)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
				     "Content-Length: 38\r\nConnection: close\r\n\r\n"
				     "This port speaks HTTPS: use https://.\n";

	(void)!send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#define WARN_EVERY (60 * USEC_PER_SEC)

/* Somebody has set up a balancer, and waits. */
static void
note_bad_header(struct conn *c)
{
	struct server *s = c->server;
	int64_t now = clock_mono(loop_clock(s->loop));

	s->stats->refused_header++;
	if (s->header_warned != 0 && now - s->header_warned < WARN_EVERY)
		return;
	s->header_warned = now;
	log_warn(s, "edge.no_proxy_header",
		"from=%s why=\"what is in proxy_protocol_from must begin with a PROXY header\"",
		c->greeting->address);
}

/* Takes the PROXY header off a balancer's connection once it is there whole. */
static enum proxy_header_state
take_header(struct conn *c)
{
	struct greeting *g = c->greeting;
	uint8_t head[PROXY_HEADER_MAX];
	struct proxy_header h;

	ssize_t n = recv(g->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	enum proxy_header_state state =
		n > 0 ? proxy_header_read(&h, head, (size_t)n) : PROXY_HEADER_BAD;
	if (state == PROXY_HEADER_PART && (int)h.n != g->wanted) {
		g->wanted = (int)h.n;
		return state;
	}
	if (state != PROXY_HEADER_WHOLE || recv(g->fd, head, h.n, MSG_DONTWAIT) != (ssize_t)h.n) {
		if (n > 0) /* a balancer looks whether the port is open */
			note_bad_header(c);
		return PROXY_HEADER_BAD;
	}
	g->headed = false;
	g->wanted = 0;
	if (h.told && !conn_is_of(c, (const struct sockaddr *)&h.from))
		return PROXY_HEADER_BAD;
	return state;
}

enum hello { HELLO_BAD, HELLO_PART, HELLO_WHOLE };

/* Looks at what has come without taking it; sets how many bytes are worth waking up for. */
static enum hello
look(struct greeting *g)
{
	uint8_t head[RECORD_HEAD];
	int there = 0;

	ssize_t n = recv(g->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0 || ioctl(g->fd, FIONREAD, &there) < 0)
		return HELLO_BAD;
	if (head[0] != RECORD_HANDSHAKE) {
		if (isalpha(head[0]))
			answer_plain(g->fd);
		return HELLO_BAD;
	}
	int wanted = RECORD_HEAD;
	if (n == RECORD_HEAD) {
		int length = head[3] << 8 | head[4];
		if (length == 0 || length > RECORD_MAX)
			return HELLO_BAD;
		wanted += length;
	}
	if (n == RECORD_HEAD && there >= wanted)
		return HELLO_WHOLE;
	/* Woken with fewer than it waits for: no more will come. */
	if (wanted == g->wanted)
		return HELLO_BAD;
	g->wanted = wanted;
	return HELLO_PART;
}

static void
wake_at(int fd, int bytes)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void
queue_up(struct conn *c)
{
	struct server *s = c->server;

	wake_at(c->greeting->fd, 1);
	loop_fd_want(c->greeting->watch, 0);
	c->state = CONN_READY;
	if (TAILQ_EMPTY(&s->waiting))
		loop_timer_start(s->loop, &s->handshakes, 0);
	TAILQ_INSERT_TAIL(&s->waiting, c, turn);
}

/* Whether there may be a ClientHello behind it; c may be gone otherwise. */
static bool
on_header(struct conn *c)
{
	int there = 0;

	switch (take_header(c)) {
	case PROXY_HEADER_BAD:
		conn_close(c);
		return false;
	case PROXY_HEADER_PART:
		wake_at(c->greeting->fd, c->greeting->wanted);
		return false;
	default:
		wake_at(c->greeting->fd, 1);
		return ioctl(c->greeting->fd, FIONREAD, &there) == 0 && there > 0;
	}
}

static void
on_readable(void *arg, int what)
{
	struct conn *c = arg;

	(void)what;
	if (c->greeting->headed && !on_header(c))
		return;
	switch (look(c->greeting)) {
	case HELLO_BAD:
		conn_close(c);
		break;
	case HELLO_PART:
		wake_at(c->greeting->fd, c->greeting->wanted);
		break;
	case HELLO_WHOLE:
		queue_up(c);
		break;
	}
}

void
lobby_enter(struct conn *c)
{
	struct greeting *g = c->greeting;

	if (loop_fd_new(&g->watch, c->server->loop, g->fd, on_readable, c) < 0) {
		conn_close(c);
		return;
	}
	loop_fd_want(g->watch, LOOP_READ);
}

void
lobby_leave(struct conn *c)
{
	if (c->state == CONN_READY)
		TAILQ_REMOVE(&c->server->waiting, c, turn);
}

/* --- turns --------------------------------------------------------------------------------- */

void
lobby_hand_over(struct conn *c)
{
	struct greeting *g = c->greeting;
	lws_adopt_desc_t how = {
		.vh = c->server->vhosts[c->door],
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP |
			(c->door == HTTP_DOOR_MAIN ? LWS_ADOPT_ALLOW_SSL : 0),
		.fd.sockfd = g->fd,
		.opaque = c,
	};
	bool gone = false;

	loop_fd_free(g->watch);
	g->watch = NULL;
	g->fd = -1;
	c->state = CONN_GREETING;
	c->gone = &gone;
	struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&how);
	if (gone)
		return;
	c->gone = NULL;
	c->wsi = wsi;
	if (wsi == NULL) /* it failed before there was anything that says so */
		conn_free(c);
}

/* After a start thousands dial at once, and who had to wait for too long dials again. What they
 * have left behind is worth no handshake. */
static bool
has_left(const struct conn *c)
{
	struct pollfd p = {.fd = c->greeting->fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void
lobby_on_turn(void *arg)
{
	struct server *s = arg;
	struct conn *c;
	const struct hw_clock *clock = loop_clock(s->loop);
	int64_t until = clock_mono(clock) + TURN_MOST;
	int left = s->max_handshakes;

	while (left > 0 && (c = TAILQ_FIRST(&s->waiting)) != NULL && clock_mono(clock) < until) {
		if (has_left(c)) {
			s->stats->handshakes_spared++;
			conn_close(c);
			continue;
		}
		left--;
		lobby_leave(c);
		lobby_hand_over(c);
	}
	if (!TAILQ_EMPTY(&s->waiting))
		loop_timer_start(s->loop, &s->handshakes, 0);
}
