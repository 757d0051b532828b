#include "node/forward.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/reach.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "proto/wire/resolve.h"
#include "proto/wire/tube.h"

#define CONNECTIONS_MAX 4000
#define LOOKUPS_MAX	64 /* names at once, also of connections that were given up */
#define WHY_MAX		400

struct forwards {
	struct log_ctx log;
	struct reach_ground ground;
	LIST_HEAD(, connection) connections;
	int count;
	struct tube_scratch scratch;
};

struct connection {
	struct forwards *owner;
	struct channel *ch;
	struct reach *reach; /* until it is open */
	struct tube *tube;   /* until both directions have ended, or it has failed */
	char session[97];
	int64_t number; /* in its forward; 0: it has none, and cannot be resumed */
	char host[HOST_MAX + 1];
	int port;		 /* and host, as they were asked for */
	char at[HOST_SHOWN_MAX]; /* what it reached */
	bool local;		 /* which is the node itself */
	bool open;		 /* the channel was accepted */
	bool parked;
	int64_t parked_at; /* monotonic */
	int code;	   /* it failed while nobody could be told, and why */
	char why[WHY_MAX];
	bool over;
	struct loop_task reap;
	LIST_ENTRY(connection) entry;
};

static struct connection *
connection_from(void *arg)
{
	struct connection *c = arg;

	hw_assert(c->owner != NULL && c->ch != NULL);
	return c;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void
release(void *arg)
{
	free(arg);
}

static void
drop_tube(struct connection *c, bool reset)
{
	tube_free(c->tube, reset);
	c->tube = NULL;
}

/* The channel is answered, closed or gone already. */
static void
over(struct connection *c, bool reset)
{
	struct forwards *fs = c->owner;

	if (c->over)
		return;
	c->over = true;
	reach_free(c->reach);
	c->reach = NULL;
	drop_tube(c, reset);
	LIST_REMOVE(c, entry);
	fs->count--;
	c->reap = (struct loop_task){.fn = release, .arg = c};
	loop_defer(fs->ground.loop, &c->reap);
}

static void
end(struct connection *c, int code, const char *why)
{
	channel_abort(c->ch, code, why);
	over(c, true);
}

/* --- an open connection ----------------------------------------------------------------------- */

static void
explain(struct connection *c, int code, int error)
{
	c->code = code;
	snprintf(c->why, sizeof(c->why),
		code == HW_ERESET	 ? "the connection was reset by %s"
			: code == HW_EIO ? "the connection to %s failed: %s"
					 : "more was sent to %s than was allowed",
		c->at, strerror(error));
}

/* What ended in order stays until the relay closes its channel: until then bytes may be asked for
 * again. What failed is told as soon as there is somebody to tell. */
static void
on_tube_over(void *arg, int code, int error)
{
	struct connection *c = connection_from(arg);

	drop_tube(c, code != 0);
	if (code == 0)
		return;
	explain(c, code, error);
	if (!c->parked)
		end(c, c->code, c->why);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct connection *c = connection_from(arg);

	(void)ch, (void)offset;
	if (stream == STREAM_IN && c->tube != NULL)
		tube_data(c->tube, p, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = connection_from(arg);

	(void)ch, (void)offset;
	if (stream == STREAM_IN && c->tube != NULL)
		tube_end(c->tube);
}

static void
look_for_room(struct connection *c)
{
	if (c->tube != NULL)
		tube_room(c->tube);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	(void)ch, (void)consumed, (void)limit, (void)echo;
	if (stream == STREAM_OUT)
		look_for_room(connection_from(arg));
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	(void)ch;
	if (stream == STREAM_OUT)
		look_for_room(connection_from(arg));
}

/* Whatever the reason: the far end sees an abort, and never takes a part for the whole. */
static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	(void)ch, (void)code, (void)close;
	over(connection_from(arg), true);
}

/* The socket stays: it is read no more, and written as long as there is something. */
static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct connection *c = connection_from(arg);

	(void)ch, (void)code, (void)why;
	c->parked = true;
	c->parked_at = clock_mono(loop_clock(c->owner->ground.loop));
	look_for_room(c);
}

static const struct channel_events channel_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_close = on_close,
	.on_park = on_park,
};

/* --- OPEN ------------------------------------------------------------------------------------- */

static void
on_reached(void *arg, int fd, const char *at, bool local)
{
	struct connection *c = connection_from(arg);
	const int yes = 1;

	snprintf(c->at, sizeof(c->at), "%s", at);
	c->local = local;
	c->open = true;
	reach_free(c->reach);
	c->reach = NULL;
	struct msg_accept accept = {
		.window = WINDOW_FIRST,
		.session_id = c->session,
		.remote_address = c->at,
		.node_local = local,
	};
	if (c->port != 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	channel_accept(c->ch, &accept);
	if (tube_start(c->tube, fd, fd, NULL) == 0)
		return;
	close(fd);
	end(c, HW_ENOMEM, "the node is out of memory");
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct connection *c = connection_from(arg);

	channel_reject(c->ch, code, why);
	over(c, true);
}

static const struct reach_events reach_events = {on_reached, on_failed};

static int
check(struct reach_place *ret, const struct forwards *fs, const struct msg_open *open,
	struct hw_err *err)
{
	int r = host_parse(&ret->host, open->remote_host != NULL ? open->remote_host : "", err);

	if (r < 0)
		return r;
	if ((ret->host.kind == HOST_IS_SOCKET) != (open->remote_port == 0))
		return hw_err_set(err, HW_EVALIDATION, "RemotePort: it does not go with the host");
	if (fs->count >= CONNECTIONS_MAX)
		return hw_err_set(err, HW_ELIMIT, "the node has %d connections, and no more",
			CONNECTIONS_MAX);
	ret->port = (int)open->remote_port;
	ret->local = open->node_local;
	ret->beyond = open->beyond;
	ret->named = open->named;
	return 0;
}

static int
connection_new(struct connection **ret, struct forwards *fs, struct channel *ch,
	const struct msg_open *open, struct hw_err *err)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct tube_config config = {.loop = fs->ground.loop,
		.scratch = &fs->scratch,
		.stream = STREAM_OUT,
		.on_over = on_tube_over,
		.arg = c};

	if (c == NULL || tube_new(&c->tube, ch, &config, err) < 0) {
		free(c);
		return hw_err_set(err, HW_ENOMEM, "the node is out of memory");
	}
	c->owner = fs;
	c->ch = ch;
	c->number = open->connection;
	c->port = (int)open->remote_port;
	snprintf(c->session, sizeof(c->session), "%s", open->session_id);
	snprintf(c->host, sizeof(c->host), "%s", open->remote_host);
	LIST_INSERT_HEAD(&fs->connections, c, entry);
	fs->count++;
	*ret = c;
	return 0;
}

void
forwards_connect(struct forwards *fs, struct channel *ch, const struct msg_open *open)
{
	struct hw_err err = HW_ERR_INIT;
	struct reach_place place;
	struct connection *c = NULL;
	int r;

	if ((r = check(&place, fs, open, &err)) < 0 ||
		(r = connection_new(&c, fs, ch, open, &err)) < 0) {
		channel_reject(ch, r, hw_err_text(&err));
		return;
	}
	channel_attach(ch, &channel_events, c);
	if (c->number != 0)
		channel_keep(ch);
	if (reach_start(&c->reach, &fs->ground, &place, &reach_events, c) < 0)
		on_failed(c, HW_ENOMEM, "the node is out of memory");
}

/* --- RESUME ----------------------------------------------------------------------------------- */

static struct connection *
find(const struct forwards *fs, const char *session, int64_t number)
{
	struct connection *c;

	LIST_FOREACH(c, &fs->connections, entry)
		if (c->number == number && c->open && strcmp(c->session, session) == 0)
			return c;
	return NULL;
}

static void
rejoin(struct connection *c, struct channel *offered)
{
	struct msg_resume who = {
		.type = CHANNEL_TYPE_CONNECTION,
		.session_id = c->session,
		.connection = c->number,
		.remote_host = c->host,
		.remote_port = c->port,
		.remote_address = c->at,
		.node_local = c->local,
	};
	struct hw_err err = HW_ERR_INIT;
	int r;

	if ((r = channel_rejoin(c->ch, offered, &who, &err)) < 0) {
		channel_reject(offered, r, hw_err_text(&err));
		return;
	}
	c->parked = false;
	look_for_room(c);
}

void
forwards_resume(struct forwards *fs, struct channel *ch, const struct msg_resume *resume)
{
	struct connection *c =
		resume->connection != 0 ? find(fs, resume->session_id, resume->connection) : NULL;

	if (c == NULL) {
		channel_reject(ch, HW_ENOSESSION, "this node has no such connection");
	} else if (c->code != 0) {
		channel_reject(ch, c->code, c->why);
		end(c, c->code, c->why);
	} else {
		rejoin(c, ch);
	}
}

/* --- all of them ------------------------------------------------------------------------------ */

void
forwards_end(struct forwards *fs, const char *session_id, const char *why)
{
	struct connection *c, *next;

	for (c = LIST_FIRST(&fs->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (strcmp(c->session, session_id) == 0)
			end(c, HW_ECLOSED, why);
	}
}

void
forwards_expire(struct forwards *fs, int64_t since)
{
	struct connection *c, *next;

	for (c = LIST_FIRST(&fs->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (c->parked && c->parked_at <= since)
			end(c, HW_EUNAVAILABLE, "the relay did not come back for it");
	}
}

int
forwards_count(const struct forwards *fs)
{
	return fs->count;
}

struct forwards *
forwards_new(struct loop *loop, const struct log_ctx *log, const char *dir)
{
	struct forwards *fs = calloc(1, sizeof(*fs));

	if (fs == NULL)
		return NULL;
	fs->log = *log;
	fs->ground = (struct reach_ground){
		.loop = loop, .dir = dir, .lookups = resolve_limit_new(LOOKUPS_MAX)};
	if (fs->ground.lookups == NULL) {
		free(fs);
		return NULL;
	}
	LIST_INIT(&fs->connections);
	return fs;
}

void
forwards_free(struct forwards *fs)
{
	if (fs == NULL)
		return;
	hw_assert(LIST_EMPTY(&fs->connections));
	resolve_limit_free(fs->ground.lookups);
	free(fs);
}
