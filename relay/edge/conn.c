#include <libwebsockets.h>

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/trust/sigv4.h"
#include "relay/edge/private.h"

/* The source as text; an IPv4 address inside an IPv6 one is written as what it is. */
static void
write_address(char out[46], const struct sockaddr *from)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	strcpy(out, "unknown");
	if (from->sa_family == AF_INET) {
		memcpy(&four, from, sizeof(four));
		inet_ntop(AF_INET, &four.sin_addr, out, 46);
	} else if (from->sa_family == AF_INET6) {
		memcpy(&six, from, sizeof(six));
		if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
			inet_ntop(AF_INET, six.sin6_addr.s6_addr + 12, out, 46);
		else
			inet_ntop(AF_INET6, &six.sin6_addr, out, 46);
	}
}

/* --- deadlines ----------------------------------------------------------------------------- */

static void
count_late(struct conn *c)
{
	struct edge_stats *stats = c->server->stats;

	if (c->state == CONN_QUIET || c->state == CONN_READY)
		stats->handshake_timeouts++;
	else if (c->state == CONN_GREETING && lws_get_ssl(c->wsi) != NULL &&
		!SSL_is_init_finished(lws_get_ssl(c->wsi)))
		stats->handshake_timeouts++;
	else if ((c->state == CONN_GREETING && !c->seated) || c->state == CONN_BODY)
		stats->header_timeouts++;
}

static void
on_late(void *arg)
{
	struct conn *c = arg;

	count_late(c);
	conn_close(c);
}

void
conn_expect(struct conn *c, int64_t usec)
{
	loop_timer_start(c->server->loop, &c->deadline, usec);
}

/* A stranger may ask for so many times a head's deadline, on one connection. */
#define STAYS 6

/* --- life ---------------------------------------------------------------------------------- */

static struct greeting *
greeting_new(int fd, const struct sockaddr *from)
{
	struct greeting *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->fd = fd;
	write_address(g->address, from);
	buf_init(&g->body, HTTP_BODY_MAX);
	buf_init(&g->reply, SIZE_MAX / 2);
	return g;
}

static void
greeting_free(struct greeting *g)
{
	if (g == NULL)
		return;
	loop_fd_free(g->watch);
	fd_close(g->fd);
	buf_wipe(&g->body); /* an invite, or a join's code */
	buf_fini(&g->body);
	buf_wipe(&g->reply);
	buf_fini(&g->reply);
	sigv4_free(g->signature);
	free(g);
}

struct conn *
conn_new(struct server *s, enum http_door door, int fd, const struct sockaddr *from)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct greeting *g = greeting_new(fd, from);

	if (c == NULL || g == NULL) {
		free(c);
		if (g == NULL)
			fd_close(fd);
		greeting_free(g);
		return NULL;
	}
	c->server = s;
	c->door = door;
	c->greeting = g;
	c->deadline = (struct loop_timer){.fn = on_late, .arg = c};
	TAILQ_INSERT_TAIL(&s->conns, c, entry);
	s->count++;
	conn_expect(c, s->head_within);
	g->until = clock_mono(loop_clock(s->loop)) + STAYS * s->head_within;
	return c;
}

static void
leave_admission(struct conn *c)
{
	struct server *s = c->server;

	if (c->source == 0)
		return;
	admission_leave(s->admission, c->source);
	c->source = 0;
	s->stats->unauthenticated = admission_count(s->admission);
}

bool
conn_is_of(struct conn *c, const struct sockaddr *from)
{
	struct server *s = c->server;
	uint64_t source = admission_source(from);

	leave_admission(c);
	if (!admission_enter(s->admission, source)) {
		s->stats->refused_budget++;
		return false;
	}
	c->source = source;
	s->stats->unauthenticated = admission_count(s->admission);
	write_address(c->greeting->address, from);
	return true;
}

bool
conn_seat(struct conn *c)
{
	struct server *s = c->server;

	if (c->seated)
		return true;
	if (s->seated >= s->max_seated)
		return false;
	c->seated = true;
	s->seated++;
	s->stats->seated = s->seated;
	c->greeting->until = INT64_MAX;
	leave_admission(c);
	return true;
}

static void
leave_seat(struct conn *c)
{
	struct server *s = c->server;

	if (!c->seated)
		return;
	c->seated = false;
	s->seated--;
	s->stats->seated = s->seated;
}

void
conn_settle(struct conn *c, struct link *link)
{
	leave_admission(c);
	leave_seat(c);
	loop_timer_stop(c->server->loop, &c->deadline);
	greeting_free(c->greeting);
	c->greeting = NULL;
	c->link = link;
	c->state = CONN_LINK;
	c->server->links++;
}

void
conn_close(struct conn *c)
{
	struct server *s = c->server;

	if (c->state == CONN_QUIET || c->state == CONN_READY) {
		conn_free(c);
		return;
	}
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
	lws_cancel_service(s->lws); /* its timers sleep unless they were set from its callbacks */
}

void
conn_free(struct conn *c)
{
	struct server *s = c->server;

	if (c->gone != NULL)
		*c->gone = true;
	wire_down(c);
	lobby_leave(c);
	if (c->state == CONN_ASKED && s->relay != NULL)
		relay_http_forget(s->relay, c);
	if (c->door == HTTP_DOOR_METRICS)
		s->scrapers--;
	leave_admission(c);
	leave_seat(c);
	loop_timer_stop(s->loop, &c->deadline);
	greeting_free(c->greeting);
	buf_fini(&c->message);
	TAILQ_REMOVE(&s->conns, c, entry);
	s->count--;
	free(c);
}
