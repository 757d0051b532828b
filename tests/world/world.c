#include "tests/world/world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <openssl/x509.h>

#include "audit/ledger.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "relay/services/sessions/cursors.h"
#include "relay/services/table.h"
#include "tests/unit/ground.h"

/* --- the relay -------------------------------------------------------------------------------- */

static ssize_t
fail_write(void *arg, int fd, const void *p, size_t n)
{
	struct world *w = arg;

	bool full = w->disk_full && !w->reserve_given;
	if (w->fail_writes == 0 && !full)
		return write(fd, p, n);
	errno = full ? ENOSPC : w->fail_writes;
	return -1;
}

static int
fail_reserve(void *arg, int fd, size_t size)
{
	struct world *w = arg;

	(void)fd;
	if (size > 0 && w->disk_full)
		return ENOSPC;
	w->reserve_given = size == 0;
	return 0;
}

/* No world loses its power, so that nothing need be on a disk. */
static int
fail_sync(void *arg, int fd)
{
	struct world *w = arg;

	(void)fd;
	if (w->fail_syncs == 0)
		return 0;
	errno = w->fail_syncs;
	return -1;
}

static int
open_relay(struct world *w, struct hw_err *err)
{
	struct relay_options o = {
		.dir = w->dir,
		.loop = w->loop,
		.log = &w->log,
		.threaded = false,
		.handlers = services_handlers,
		.cursors = w->cursors,
		.journal_io = &w->io,
	};

	return relay_open(&w->relay, &o, err);
}

static void
append_conf(struct world *w, const char *lines)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/relay.conf", w->dir);
	FILE *f = fopen(path, "a");
	cr_assert(f != NULL);
	fputs(lines, f);
	fclose(f);
}

struct world *
world_new(const char *conf)
{
	struct world *w = calloc(1, sizeof(*w));
	struct hw_err err = HW_ERR_INIT;

	cr_assert(w != NULL);
	ground_new(w->dir, sizeof(w->dir), "world");
	fake_clock_init(&w->clock, clock_wall(&hw_clock_system));
	w->loop = loop_new_fake(&w->clock);
	w->cursors = recording_cursors_new(&w->clock.clock);
	w->io = (struct journal_io){
		.write = fail_write, .sync = fail_sync, .arg = w, .reserve = fail_reserve};
	w->arena = arena_new(64 << 20);
	w->sink = (struct log_sink){.level = LOG_LEVEL_ERROR, .clock = &w->clock.clock};
	log_ctx_init(&w->log, getenv("WORLD_LOG") != NULL ? &w->sink : NULL);
	if (getenv("WORLD_LOG") != NULL)
		w->sink.level = LOG_LEVEL_DEBUG;
	struct relay_init_options io = {.dir = w->dir, .listen = "127.0.0.1:8443"};
	cr_assert(eq(int, relay_init(&io, w->invite, w->url, &err), 0), "%s", err.text);
	if (conf != NULL)
		append_conf(w, conf);
	cr_assert(eq(int, open_relay(w, &err), 0), "%s", err.text);
	world_settle(w);
	return w;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void
world_free(struct world *w)
{
	relay_close(w->relay);
	recording_cursors_free(w->cursors);
	loop_free(w->loop);
	arena_free(w->arena);
	nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
}

void
world_settle(struct world *w)
{
	loop_settle(w->loop);
}

void
world_advance(struct world *w, int64_t usec)
{
	loop_advance(w->loop, usec);
}

void
world_sleep(struct world *w, int64_t usec)
{
	const int64_t nap = 10 * 60 * USEC_PER_SEC;

	for (; usec > 0; usec -= nap) {
		fake_clock_advance(&w->clock, usec < nap ? usec : nap);
		world_settle(w);
	}
}

void
world_stop(struct world *w)
{
	relay_close(w->relay);
	w->relay = NULL;
	world_settle(w);
}

int
world_start(struct world *w, struct hw_err *err)
{
	int r = open_relay(w, err);

	world_settle(w);
	return r;
}

int
world_restart(struct world *w, struct hw_err *err)
{
	relay_close(w->relay);
	w->relay = NULL;
	return world_start(w, err);
}

void
world_on_dir(const struct world *w, const char *command)
{
	char text[256];

	snprintf(text, sizeof(text), "d=%s && %s", w->dir, command);
	cr_assert(eq(int, system(text), 0), "%s", text);
}

int
world_kill(struct world *w, struct pair *const *lines, size_t n, struct hw_err *err)
{
	world_on_dir(w, "cp -a $d $d.killed");
	for (size_t i = 0; i < n; i++)
		pair_cut(lines[i], "the connection was reset");
	relay_close(w->relay);
	w->relay = NULL;
	world_on_dir(w, "rm -r $d && mv $d.killed $d");
	int r = open_relay(w, err);
	world_settle(w);
	return r;
}

/* --- doors ------------------------------------------------------------------------------------ */

struct http_answer {
	struct world *world;
	int status;
	const char *body;
};

static void
on_http(void *arg, const struct relay_answer *answer)
{
	struct http_answer *a = arg;

	a->status = answer->status;
	a->body = arena_strndup(a->world->arena, answer->body, answer->n);
}

static int
ask_http(struct world *w, const char *source, const char *op, const char *body, size_t n,
	const char **reply)
{
	struct http_answer a = {.world = w};

	cr_assert(relay_http(w->relay, op, source, body, n, on_http, &a));
	world_settle(w);
	cr_assert(a.status != 0);
	if (reply != NULL)
		*reply = a.body;
	return a.status;
}

int
world_http(struct world *w, const char *op, const char *body, const char **reply)
{
	return ask_http(w, "192.0.2.1", op, body, strlen(body), reply);
}

int
world_http_as(struct world *w, const char *source, enum op_id op, const void *request,
	const char **reply)
{
	struct buf body;

	buf_init(&body, 1 << 20);
	cr_assert(eq(int, msg_to_json(&body, op_rows[op].request(), request, JSON_SECRETS), 0));
	int status = ask_http(w, source, op_rows[op].name, (const char *)buf_data(&body), body.len,
		reply);
	buf_fini(&body);
	return status;
}

struct msg_bin
world_csr(struct world *w)
{
	struct hw_err err = HW_ERR_INIT;
	EVP_PKEY *key = NULL;
	struct buf der;

	buf_init(&der, 8192);
	cr_assert(eq(int, key_generate(&key, &err), 0));
	cr_assert(eq(int, csr_make(&der, key, &err), 0));
	struct msg_bin csr = {arena_dup(w->arena, buf_data(&der), der.len), der.len};
	key_free(key);
	buf_fini(&der);
	return csr;
}

static char *
make_csr(struct world *w)
{
	struct msg_bin der = world_csr(w);
	char *text = arena_alloc(w->arena, BASE64_LEN(der.n) + 1);

	base64_encode(text, der.p, der.n);
	return text;
}

static struct world_peer *
peer_from(struct world *w, const struct msg_bin *der)
{
	struct world_peer *p = calloc(1, sizeof(*p));
	struct hw_err err = HW_ERR_INIT;
	X509 *cert = NULL;

	cr_assert(p != NULL);
	p->world = w;
	p->source = "192.0.2.1";
	p->echo = ECHO_SHOWN;
	cr_assert(eq(int, cert_parse(&cert, der->p, der->n, &err), 0), "%s", err.text);
	cr_assert(eq(int, cert_identity(&p->who, cert, ca_fleet(relay_ca(w->relay)), &err), 0),
		"%s", err.text);
	X509_free(cert);
	return p;
}

struct world_peer *
world_node(struct world *w, struct world_peer *admin, const char *name)
{
	struct msg_create_activation_request req = {.registration_limit = 1, .iam_role = "none"};
	struct msg_create_activation_reply *act;
	struct msg_register_managed_instance_reply *joined;
	struct hw_err err = HW_ERR_INIT;
	const char *reply;
	char why[384];

	cr_assert(eq(int, world_call(admin, OP_create_activation, &req, &act, why), 0), "%s", why);
	char *body = arena_printf(w->arena,
		"{\"ActivationId\":\"%s\",\"ActivationCode\":\"%s\",\"CertificateSigningRequest\":\"%s\",\"Name\":\"%s\"}",
		act->activation_id, act->activation_code, make_csr(w), name);
	cr_assert(eq(int, world_http(w, "RegisterManagedInstance", body, &reply), 200), "%s",
		reply);
	cr_assert(eq(int,
		msg_from_json((void **)&joined, w->arena, MSG_ROW(register_managed_instance_reply),
			reply, strlen(reply), &err),
		0));
	return peer_from(w, &joined->certificate);
}

struct world_peer *
world_user(struct world *w, const char *invite)
{
	struct msg_login_reply *login;
	struct hw_err err = HW_ERR_INIT;
	const char *reply;
	char *body = arena_printf(w->arena,
		"{\"Invite\":\"%s\",\"CertificateSigningRequest\":\"%s\"}", invite, make_csr(w));

	cr_assert(eq(int, world_http(w, "Login", body, &reply), 200), "%s", reply);
	cr_assert(eq(int,
		msg_from_json((void **)&login, w->arena, MSG_ROW(login_reply), reply, strlen(reply),
			&err),
		0));
	return peer_from(w, &login->certificate);
}

struct world_peer *
world_admin(struct world *w)
{
	struct world_peer *p = world_user(w, w->invite);

	world_dial(p);
	return p;
}

struct world_peer *
world_new_user(struct world_peer *admin, const char *name, const char *policy)
{
	struct msg_create_user_request req = {.user_name = name};
	struct msg_create_user_reply *made;
	char why[384];

	cr_assert(eq(int, world_call(admin, OP_create_user, &req, &made, why), 0), "%s", why);
	struct world_peer *p = world_user(admin->world, made->invite);
	world_dial(p);
	world_do(admin, OP_attach_policy,
		&(struct msg_attach_policy_request){.policy_name = policy, .user_name = name});
	return p;
}

/* --- channels, from either end ---------------------------------------------------------------- */

static void
slot_free(struct world_channel *c)
{
	for (int i = 0; i < STREAMS; i++)
		buf_fini(&c->got[i]);
	buf_fini(&c->notices);
	buf_fini(&c->screen);
	buf_fini(&c->controls);
	free(c);
}

void
world_forget(struct world_channel *c)
{
	struct world_peer *p = c->peer;
	size_t i = 0;

	cr_assert(eq(ptr, c->ch, NULL), "it is not over");
	while (p->channels[i] != c)
		i++;
	memmove(p->channels + i, p->channels + i + 1,
		(--p->n_channels - i) * sizeof(p->channels[0]));
	slot_free(c);
}

static const char *
keep(struct world *w, const char *text)
{
	return text != NULL ? arena_strdup(w->arena, text) : NULL;
}

static void
note_end(struct world_channel *c, int code, const char *message)
{
	c->ch = NULL;
	c->code = code;
	snprintf(c->message, sizeof(c->message), "%s", message != NULL ? message : "");
}

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	struct world_channel *c = arg;

	(void)ch;
	c->accepted = true;
	c->resume_seconds = accept->resume_seconds;
	snprintf(c->token, sizeof(c->token), "%s", accept->token != NULL ? accept->token : "");
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct world_channel *c = arg;

	(void)ch;
	c->rejected = true;
	note_end(c, code, message);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct world_channel *c = arg;

	cr_assert(eq(u64, offset, c->from[stream] + c->got[stream].len));
	buf_append(&c->got[stream], p, n);
	if (c->peer->echoes)
		cr_assert(eq(sz, channel_write(ch, STREAM_OUT, p, n), n));
	if (!c->hold && !c->peer->stopped)
		channel_consume(ch, stream, n,
			c->peer->who.role == ROLE_NODE ? c->peer->echo : ECHO_UNKNOWN);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct world_channel *c = arg;

	(void)ch, (void)offset;
	c->ended[stream] = true;
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	(void)arg, (void)ch, (void)stream, (void)consumed, (void)limit, (void)echo;
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	(void)arg, (void)ch, (void)stream;
}

void
world_paint(struct world_channel *c, uint64_t offset, const void *p, size_t n, bool more)
{
	channel_control(c->ch,
		&(struct msg_control){
			.type = CONTROL_SCREEN,
			.nonce = c->nonce,
			.offset = (int64_t)offset,
			.bytes = {p, n},
			.more = more
	    });
}

static void
paint(struct world_channel *c)
{
	uint64_t offset = channel_sent(c->ch, STREAM_OUT);
	char text[64];

	snprintf(text, sizeof(text), "screen@%llu", (unsigned long long)offset);
	world_paint(c, offset, text, strlen(text), false);
}

/* Nothing is on the terminal behind what it shows: data come after it. */
static void
take_screen(struct world_channel *c, const struct msg_control *control)
{
	if (!c->screen_open) {
		buf_reset(&c->screen);
		c->screens++;
	}
	c->screen_open = control->more;
	c->screen_offset = (uint64_t)control->offset;
	buf_append(&c->screen, control->bytes.p, control->bytes.n);
	if (!c->odd)
		cr_assert(eq(u64, c->from[STREAM_OUT] + c->got[STREAM_OUT].len, c->screen_offset));
}

static void
on_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	struct world_channel *c = arg;

	(void)ch;
	if (control->type == CONTROL_NOTICE) {
		snprintf(c->notice, sizeof(c->notice), "%s", control->text);
		buf_printf(&c->notices, "%s\n", control->text);
		return;
	}
	if (control->type == CONTROL_SCREEN) {
		take_screen(c, control);
		return;
	}
	if (control->type == CONTROL_REPAINT) {
		c->repaints++;
		c->nonce = control->nonce;
		if (c->peer->paints)
			paint(c);
		return;
	}
	buf_printf(&c->controls, "%s ", enum_text(&enum_CONTROL, (int)control->type));
	if (control->type == CONTROL_RESIZE) {
		c->cols = (int)control->cols;
		c->rows = (int)control->rows;
	}
	c->control = *control;
	c->control.signal = keep(c->peer->world, control->signal);
	c->exit_seen = c->exit_seen || control->type == CONTROL_EXIT;
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct world_channel *c = arg;

	(void)ch;
	c->closed = true;
	c->exited = close != NULL && close->exited;
	c->exit_status = close != NULL ? (int)close->exit_status : 0;
	note_end(c, code, close != NULL ? close->message : NULL);
}

static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct world_channel *c = arg;

	(void)ch;
	c->parked = true;
	c->park_code = code;
	snprintf(c->park_why, sizeof(c->park_why), "%s", why);
}

static void
on_channel_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct world_channel *c = arg;

	c->resumed = true;
	c->parked = false;
	c->resume_seconds = answer->resume_seconds;
	if (answer->token != NULL && answer->token[0] != '\0')
		snprintf(c->token, sizeof(c->token), "%s", answer->token);
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		uint64_t jumped = channel_received(ch, i) - c->from[i] - c->got[i].len;
		c->jumped += jumped;
		c->from[i] += jumped;
	}
}

static const struct channel_events channel_events = {
	.on_accept = on_accept,
	.on_reject = on_reject,
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_close,
	.on_park = on_park,
	.on_resume = on_channel_resume,
};

static struct world_channel *
channel_slot(struct world_peer *p)
{
	cr_assert(p->n_channels < sizeof(p->channels) / sizeof(p->channels[0]));
	struct world_channel *c = p->channels[p->n_channels++] = calloc(1, sizeof(*c));
	cr_assert(c != NULL);
	c->peer = p;
	for (int i = 0; i < STREAMS; i++)
		buf_init(&c->got[i], WORLD_STREAM_MAX);
	buf_init(&c->notices, 1 << 20);
	buf_init(&c->screen, 1 << 20);
	buf_init(&c->controls, 1 << 20);
	return c;
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct world_peer *p = arg;
	struct world_channel *c = channel_slot(p);
	struct msg_accept accept = {.window = 1 << 20, .run_as = "hawser", .pid = 4242};

	(void)l;
	c->ch = ch;
	c->type = open->type;
	c->connection = open->connection;
	c->open = *open;
	c->open.run_as = keep(p->world, open->run_as);
	c->open.command = keep(p->world, open->command);
	c->open.term = keep(p->world, open->term);
	c->open.principal = keep(p->world, open->principal);
	c->open.remote_host = keep(p->world, open->remote_host);
	snprintf(c->session, sizeof(c->session), "%s", open->session_id);
	p->opened = c;
	channel_attach(ch, &channel_events, c);
	if (p->keeps)
		channel_keep(ch);
	if (p->silent)
		return;
	if (p->refuses) {
		c->ch = NULL;
		channel_reject(ch, HW_ERUNAS, "no user \"ghost\" on this node");
	} else {
		if (open->type == CHANNEL_TYPE_CONNECTION)
			accept.remote_address = "10.0.0.9:5432";
		accept.node_local = p->local;
		channel_accept(ch, &accept);
	}
}

/* --- resuming --------------------------------------------------------------------------------- */

static struct world_channel *
find_kept(struct world_peer *p, const struct msg_resume *resume)
{
	for (size_t i = 0; i < p->n_channels; i++) {
		struct world_channel *c = p->channels[i];
		if (c->ch != NULL && c->type == (int)resume->type &&
			c->connection == resume->connection &&
			strcmp(c->session, resume->session_id) == 0)
			return c;
	}
	return NULL;
}

/* As a node that lies does it: on a channel of its own. */
static void
claim(struct world_peer *p, struct channel *offered, const struct msg_resume *resume)
{
	const struct world_channel *old = find_kept(p, resume);
	struct world_channel *c = channel_slot(p);
	const struct msg_resume who = {.type = resume->type,
		.session_id = p->claim->session != NULL ? p->claim->session : resume->session_id,
		.connection = resume->connection,
		.remote_host = p->claim->host != NULL ? p->claim->host
			: old != NULL		      ? old->open.remote_host
						      : NULL,
		.remote_port = old != NULL ? old->open.remote_port : 0};

	c->ch = offered;
	snprintf(c->session, sizeof(c->session), "%s", resume->session_id);
	for (int i = 0; i < STREAMS; i++)
		c->from[i] = p->claim->stands[i].received;
	p->opened = c;
	channel_attach(offered, &channel_events, c);
	channel_accept_resumed(offered, &who, p->claim->stands);
}

static void
on_resume(void *arg, struct link *l, struct channel *offered, const struct msg_resume *resume)
{
	struct world_peer *p = arg;
	struct world_channel *c = p->forgets ? NULL : find_kept(p, resume);
	struct hw_err err = HW_ERR_INIT;

	(void)l;
	if (p->silent) {
		channel_attach(offered, &channel_events, channel_slot(p));
		return;
	}
	if (p->claim != NULL) {
		claim(p, offered, resume);
		return;
	}
	struct msg_resume who = {.type = resume->type,
		.session_id = resume->session_id,
		.connection = resume->connection,
		.run_as = "hawser"};
	if (c != NULL && resume->type == CHANNEL_TYPE_CONNECTION) {
		who.remote_host = c->open.remote_host;
		who.remote_port = c->open.remote_port;
		who.remote_address = "10.0.0.9:5432";
		who.node_local = p->local;
	}
	int r = c != NULL ? channel_rejoin(c->ch, offered, &who, &err)
			  : hw_err_set(&err, HW_ENOSESSION, "there is no such session here");
	if (r < 0)
		channel_reject(offered, r, hw_err_text(&err));
	else
		c->parked = false, c->resumed = true;
}

/* Sessions, not their connections. */
static struct msg_strs
held_sessions(struct world_peer *p)
{
	const char **ids = arena_alloc(p->world->arena, (p->n_channels + 1) * sizeof(*ids));
	size_t n = 0;

	for (size_t i = 0; i < p->n_channels && !p->forgets; i++)
		if (p->channels[i]->parked && p->channels[i]->ch != NULL &&
			p->channels[i]->type != CHANNEL_TYPE_CONNECTION)
			ids[n++] = p->channels[i]->session;
	if (p->lists != NULL)
		ids[n++] = p->lists;
	return (struct msg_strs){ids, n};
}

void
world_resume(struct world_channel *c, struct world_peer *on)
{
	struct hw_err err = HW_ERR_INIT;
	const struct msg_resume who = {.type = c->type,
		.session_id = c->session,
		.token = c->token,
		.connection = c->connection,
		.cols = 100,
		.rows = 40};

	c->resumed = c->parked = false;
	cr_assert(eq(int, channel_resume(c->ch, on->link, &who, &err), 0), "%s", err.text);
	world_settle(on->world);
}

struct world_channel *
world_resume_as(struct world_peer *user, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS])
{
	struct world_channel *c = channel_slot(user);
	struct hw_err err = HW_ERR_INIT;

	snprintf(c->session, sizeof(c->session), "%s", who->session_id);
	c->odd = true;
	for (int i = 0; i < STREAMS; i++)
		c->from[i] = ours[i].received;
	cr_assert(eq(int,
			  channel_open_resumed(&c->ch, user->link, who, ours, &channel_events, c,
				  &err),
			  0),
		"%s", err.text);
	world_settle(user->world);
	return c;
}

struct world_channel *
world_attach(struct world_peer *user, const char *session, const char *ticket, int cols, int rows)
{
	struct world_channel *c = channel_slot(user);
	struct hw_err err = HW_ERR_INIT;
	const struct msg_resume who = {.type = CHANNEL_TYPE_PTY,
		.session_id = session,
		.token = ticket,
		.cols = cols,
		.rows = rows};

	snprintf(c->session, sizeof(c->session), "%s", session);
	c->type = CHANNEL_TYPE_PTY;
	cr_assert(eq(int,
			  channel_open_taking_over(&c->ch, user->link, &who, 256 * 1024,
				  &channel_events, c, &err),
			  0),
		"%s", err.text);
	world_settle(user->world);
	return c;
}

void
world_exit(struct world_channel *c, int status, const char *signal)
{
	const struct msg_control exit = {
		.type = CONTROL_EXIT, .exit_status = status, .signal = signal};

	channel_control(c->ch, &exit);
	channel_end(c->ch, STREAM_OUT);
	channel_end(c->ch, STREAM_ERR);
	world_settle(c->peer->world);
}

/* --- links ------------------------------------------------------------------------------------ */

static void
on_up(void *arg, struct link *l, const struct msg_hello *hello)
{
	struct world_peer *p = arg;

	(void)l, (void)hello;
	p->up = true;
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	struct world_peer *p = arg;

	if (l != p->link)
		return; /* there is a newer one */
	p->link = NULL;
	p->up = false;
	p->down_code = code;
	snprintf(p->down_why, sizeof(p->down_why), "%s", why);
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	(void)arg, (void)l, (void)id, (void)op, (void)body, (void)n;
	cr_fatal("a relay asks nothing");
}

static void
on_word(void *arg, struct link *l, const struct msg_control *control)
{
	struct world_peer *p = arg;

	(void)l;
	if (control->type == CONTROL_COMMANDS) {
		p->told++;
		return;
	}
	cr_assert(eq(int, control->type, CONTROL_END));
	cr_assert(lt(sz, p->n_ends, sizeof(p->ends) / sizeof(p->ends[0])));
	snprintf(p->ends[p->n_ends++], sizeof(p->ends[0]), "%s", control->session_id);
}

static const struct link_events node_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_open = on_open,
	.on_resume = on_resume,
	.on_control = on_word,
};
static const struct link_events user_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
};

int
world_connect(struct world_peer *p, struct hw_err *err)
{
	struct world *w = p->world;
	bool node = p->who.role == ROLE_NODE;
	int r = relay_admit(w->relay, &p->who, false, p->source, err);

	if (r < 0)
		return r;
	if (p->pair != NULL)
		pair_free(p->pair);
	p->up = false;
	p->pair = pair_new(w->loop);
	struct link *theirs =
		relay_link(w->relay, &p->who, false, p->source, pair_transport(p->pair, PAIR_A));
	cr_assert(theirs != NULL);
	pair_attach(p->pair, PAIR_A, theirs);
	struct link_config config = {
		.loop = w->loop,
		.log = &w->log,
		.events = node ? &node_events : &user_events,
		.arg = p,
		.transport = pair_transport(p->pair, PAIR_B),
		.hello = {.version_min = 1,
			  .version_max = PROTO_VERSION,
			  .role = p->who.role,
			  .id = p->who.id,
			  .software = "world/0",
			  .sessions = held_sessions(p),
			  .frame_max = FRAME_MESSAGE_MAX},
		.peer_role = ROLE_RELAY,
		.opens = !node,
	};
	p->link = link_new(&config);
	cr_assert(p->link != NULL);
	pair_attach(p->pair, PAIR_B, p->link);
	world_settle(w);
	return p->up ? 0 : hw_err_set(err, HW_EUNAVAILABLE, "%s", p->down_why);
}

void
world_dial(struct world_peer *p)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(p, &err), 0), "%s", err.text);
}

int
world_dial_anew(struct world_peer *p, struct hw_err *err)
{
	cr_assert(eq(ptr, p->before, NULL));
	p->before = p->pair;
	p->pair = NULL;
	for (size_t i = 0; i < p->n_channels; i++) /* as its agent knows before the relay does */
		p->channels[i]->parked = p->keeps && p->channels[i]->ch != NULL;
	return world_connect(p, err);
}

struct world_peer *
world_twin(const struct world_peer *p)
{
	struct world_peer *twin = calloc(1, sizeof(*twin));

	cr_assert(twin != NULL);
	twin->world = p->world;
	twin->who = p->who;
	twin->source = p->source;
	twin->echo = p->echo;
	return twin;
}

void
world_drop(struct world_peer *p)
{
	pair_drop(p->pair, "the cable was cut");
	world_settle(p->world);
}

void
world_peer_free(struct world_peer *p)
{
	if (p->link != NULL)
		link_close(p->link, HW_ECLOSED, "done");
	world_settle(p->world);
	if (p->pair != NULL)
		pair_free(p->pair);
	if (p->before != NULL)
		pair_free(p->before);
	world_settle(p->world);
	for (size_t i = 0; i < p->n_channels; i++)
		if (p->channels[i]->parked && p->channels[i]->ch != NULL &&
			channel_is_parked(p->channels[i]->ch))
			channel_abort(p->channels[i]->ch, HW_ECLOSED, "done");
	for (size_t i = 0; i < p->n_channels; i++)
		slot_free(p->channels[i]);
	free(p);
}

struct call_answer {
	struct world *world;
	const struct op_row *op;
	bool done;
	int code;
	char message[384];
	void *reply;
};

static void
on_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct call_answer *a = arg;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(not(a->done), "one answer for one request");
	a->done = true;
	a->code = code;
	snprintf(a->message, sizeof(a->message), "%s", message != NULL ? message : "");
	if (code == 0)
		cr_assert(eq(int,
				  msg_decode(&a->reply, a->world->arena, a->op->reply(), body, n,
					  &err),
				  0),
			"%s", err.text);
}

int
world_call(struct world_peer *p, enum op_id op, const void *request, void *reply_ptr, char *message)
{
	struct call_answer a = {.world = p->world, .op = &op_rows[op]};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, link_request(p->link, a.op, request, on_reply, &a, &err), 0), "%s",
		err.text);
	world_settle(p->world);
	cr_assert(a.done, "no answer");
	if (a.code == 0 && reply_ptr != NULL)
		memcpy(reply_ptr, &a.reply, sizeof(a.reply));
	if (message != NULL)
		snprintf(message, sizeof(a.message), "%s", a.message);
	return a.code;
}

void
world_do(struct world_peer *p, enum op_id op, const void *request)
{
	char why[384];

	cr_assert(eq(int, world_call(p, op, request, NULL, why), 0), "%s: %s", op_rows[op].name,
		why);
}

void
world_put_policy(struct world_peer *admin, const char *name, const char *document)
{
	world_do(admin, OP_put_policy,
		&(struct msg_put_policy_request){.policy_name = name, .document = document});
}

struct world_channel *
world_open_raw(struct world_peer *user, const struct msg_open *open, struct hw_err *err)
{
	struct world_channel *c = channel_slot(user);

	snprintf(c->session, sizeof(c->session), "%s", open->session_id);
	c->type = open->type;
	c->connection = open->connection;
	cr_assert(eq(int, channel_open(&c->ch, user->link, open, &channel_events, c, err), 0), "%s",
		err->text);
	if (user->keeps)
		channel_keep(c->ch);
	return c;
}

struct world_channel *
world_open(struct world_peer *user, int type, const char *session, const char *token)
{
	struct hw_err err = HW_ERR_INIT;
	struct msg_open open = {
		.type = type,
		.session_id = session,
		.token = token,
		.term = "xterm-256color",
		.cols = 80,
		.rows = 24,
		.window = 256 * 1024,
	};

	struct world_channel *c = world_open_raw(user, &open, &err);
	world_settle(user->world);
	return c;
}

static struct world_channel *
start(struct world_peer *user, struct world_peer *node, int type, const char *document,
	const char *command)
{
	struct msg_pair parameter = {
		"command", {&command, 1}
	};
	struct msg_start_session_request req = {.target = node->who.id, .document_name = document};
	struct msg_start_session_reply *rep;
	char why[384];

	if (command != NULL)
		req.parameters = (struct msg_smap){&parameter, 1};
	cr_assert(eq(int, world_call(user, OP_start_session, &req, &rep, why), 0), "%s", why);
	return world_open(user, type, rep->session_id, rep->token_value);
}

struct world_channel *
world_shell(struct world_peer *user, struct world_peer *node)
{
	return start(user, node, CHANNEL_TYPE_PTY, NULL, NULL);
}

struct world_channel *
world_exec(struct world_peer *user, struct world_peer *node, const char *command)
{
	return start(user, node, CHANNEL_TYPE_EXEC, "AWS-StartNonInteractiveCommand", command);
}

struct world_channel *
world_forward(struct world_peer *user, struct world_peer *node)
{
	struct msg_pair parameters[] = {
		{"host",	 {(const char *[]){"db"}, 1}  },
		{"portNumber", {(const char *[]){"5432"}, 1}},
	};
	struct msg_start_session_request req = {
		.target = node->who.id,
		.document_name = "AWS-StartPortForwardingSessionToRemoteHost",
		.parameters = {.v = parameters, .n = 2}
	       };
	struct msg_start_session_reply *rep;
	char why[384];

	cr_assert(eq(int, world_call(user, OP_start_session, &req, &rep, why), 0), "%s", why);
	return world_open(user, CHANNEL_TYPE_FORWARD, rep->session_id, rep->token_value);
}

struct world_channel *
world_connection(const struct world_channel *forward, int64_t number)
{
	struct hw_err err = HW_ERR_INIT;
	const struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION,
		.session_id = forward->session,
		.connection = number,
		.window = 256 * 1024};
	struct world_channel *c = world_open_raw(forward->peer, &open, &err);

	world_settle(forward->peer->world);
	return c;
}

bool
world_got(const struct world_channel *c, int stream, const char *text)
{
	return c->got[stream].len == strlen(text) &&
		memcmp(buf_data(&c->got[stream]), text, strlen(text)) == 0;
}

double
world_metric(struct world *w, const char *name)
{
	char wanted[128];
	struct buf text;

	buf_init(&text, 1 << 20);
	relay_metrics(w->relay, &text);
	snprintf(wanted, sizeof(wanted), "\nhawser_%s ", name);
	const char *at = strstr(buf_str(&text), wanted);
	cr_assert(at != NULL, "no metric %s", name);
	double value = strtod(at + strlen(wanted), NULL);
	buf_fini(&text);
	return value;
}

/* --- the ledger ------------------------------------------------------------------------------- */

static struct ledger_reader *
open_ledger(struct world *w)
{
	char ledger[128], journal[128], key[128];
	struct ledger_reader *r = NULL;
	struct secret_key master;
	struct hw_err err = HW_ERR_INIT;

	snprintf(ledger, sizeof(ledger), "%s/ledger", w->dir);
	snprintf(journal, sizeof(journal), "%s/journal", w->dir);
	snprintf(key, sizeof(key), "%s/master.key", w->dir);
	relay_before_write(w->relay);
	cr_assert(eq(int, secret_key_load(&master, key, &err), 0));
	cr_assert(eq(int, ledger_reader_open(&r, ledger, journal, &master, &err), 0), "%s",
		err.text);
	return r;
}

size_t
world_entries(struct world *w, const char *kind, const char *action, int outcome)
{
	struct ledger_reader *r = open_ledger(w);
	struct msg_ledger_entry *e;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;
	size_t n = 0;
	int rc;

	while ((rc = ledger_reader_next(r, w->arena, &e, &bytes, &err)) > 0)
		n += strcmp(e->kind, kind) == 0 &&
			(action == NULL || (e->action != NULL && strcmp(e->action, action) == 0)) &&
			(outcome == 0 || e->outcome == outcome);
	cr_assert(eq(int, rc, 0), "%s", err.text);
	ledger_reader_close(r);
	return n;
}

size_t
world_entries_with(struct world *w, const char *text)
{
	struct ledger_reader *r = open_ledger(w);
	struct msg_ledger_entry *e;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;
	size_t n = 0;
	int rc;

	while ((rc = ledger_reader_next(r, w->arena, &e, &bytes, &err)) > 0)
		n += memmem(bytes.p, bytes.n, text, strlen(text)) != NULL;
	cr_assert(eq(int, rc, 0), "%s", err.text);
	ledger_reader_close(r);
	return n;
}
