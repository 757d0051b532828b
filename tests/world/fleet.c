#include "tests/world/fleet.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <openssl/x509.h>

#include "audit/recording.h"
#include "node/facts.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "proto/wire/enrol.h"
#include "proto/wire/frame.h"
#include "proto/wire/link_private.h"
#include "tests/unit/ground.h"

#define SOURCE	"192.0.2.1"
#define TIMEOUT (15 * USEC_PER_SEC)

/* --- lines ------------------------------------------------------------------------------------ */

struct pair *
fleet_line(const struct fleet_lines *lines)
{
	cr_assert(gt(sz, lines->n, 0));
	return lines->v[lines->n - 1];
}

static struct pair *
new_line(struct fleet_lines *lines, struct world *w)
{
	if (lines->n == FLEET_LINES) {
		pair_free(lines->v[0]);
		memmove(&lines->v[0], &lines->v[1], --lines->n * sizeof(lines->v[0]));
	}
	return lines->v[lines->n++] = pair_new(w->loop);
}

static void
free_lines(struct fleet_lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		pair_free(lines->v[i]);
	lines->n = 0;
}

/* The relay's end of a new line. */
static void
relay_answers(struct world *w, const struct cert_identity *who, bool expired, struct pair *line)
{
	struct link *l = relay_link(w->relay, who, expired, SOURCE, pair_transport(line, PAIR_A));

	cr_assert(ne(ptr, l, NULL));
	pair_attach(line, PAIR_A, l);
}

/* --- a node dials ----------------------------------------------------------------------------- */

static bool
judge_relay(const struct fleet_node *n, struct hw_err *err)
{
	X509 *relay = NULL, *ca = NULL;
	int fd = -1;

	cr_assert(eq(int, dir_open(&fd, n->world->dir, false, err), 0));
	cr_assert(eq(int, cert_load(&relay, fd, "relay.crt", err), 0), "%s", err->text);
	cr_assert(eq(int, cert_load(&ca, n->fd, ENROL_CA, err), 0), "%s", err->text);
	int r = cert_verify(relay, ca, credentials_now(n->credentials), false, err);
	X509_free(relay);
	X509_free(ca);
	fd_close(fd);
	return r == 0;
}

static bool
judge_node(struct fleet_node *n, struct hw_err *err)
{
	const struct cert_identity *who = credentials_who(n->credentials);
	int64_t now = clock_wall(relay_clock(n->world->relay));

	n->expired = now >= who->not_after;
	if (now - who->not_after > CERT_NODE_GRACE)
		return hw_err_set(err, HW_EEXPIRED, "it has expired too long ago") == 0;
	return relay_admit(n->world->relay, who, n->expired, SOURCE, err) == 0;
}

static void
connect_node(void *arg)
{
	struct fleet_node *n = arg;
	struct hw_err err = HW_ERR_INIT;

	if (n->agent == NULL)
		return;
	if (n->unreachable || n->world->relay == NULL) {
		agent_dial_failed(n->agent, HW_EUNAVAILABLE, "nobody listens");
		return;
	}
	if (!judge_relay(n, &err)) {
		agent_dial_failed(n->agent, HW_ECERT, hw_err_text(&err));
		return;
	}
	if (!judge_node(n, &err)) {
		agent_dial_failed(n->agent, HW_EDENIED, hw_err_text(&err));
		return;
	}
	struct pair *line = new_line(&n->lines, n->world);
	relay_answers(n->world, credentials_who(n->credentials), n->expired, line);
	n->link = agent_connected(n->agent, pair_transport(line, PAIR_B));
	cr_assert(ne(ptr, n->link, NULL));
	pair_attach(line, PAIR_B, n->link);
}

static void
dial(void *arg)
{
	struct fleet_node *n = arg;

	n->dials++;
	loop_post(n->world->loop, connect_node, n);
}

static void
cancel(void *arg)
{
	(void)arg;
}

/* --- what the uplink does about it ------------------------------------------------------------ */

static void
facts(void *arg, struct arena *a, struct msg_update_instance_information_request *f)
{
	const struct fleet_node *n = arg;

	facts_collect(a, f);
	f->kernel = arena_strdup(a, n->kernel);
}

static void
on_up(void *arg, struct link *l)
{
	struct fleet_node *n = arg;

	n->ups++;
	credentials_link_up(n->credentials, l);
}

static void
on_down(void *arg)
{
	struct fleet_node *n = arg;

	n->downs++;
	n->link = NULL;
	if (n->agent != NULL)
		snprintf(n->down_why, sizeof(n->down_why), "%s", fleet_node_error(n));
	credentials_link_down(n->credentials);
}

static void
on_peer_time(void *arg, int64_t wall)
{
	struct fleet_node *n = arg;

	credentials_peer_time(n->credentials, wall);
}

static void
on_renew(void *arg, struct link *l)
{
	struct fleet_node *n = arg;

	(void)l;
	credentials_renew(n->credentials);
}

static void
on_renewed(void *arg, bool expired)
{
	struct fleet_node *n = arg;

	n->renewals++;
	if (expired)
		agent_redial(n->agent, "the certificate was renewed");
}

static void
on_revoked(void *arg)
{
	struct fleet_node *n = arg;

	n->revoked = true;
	credentials_drop(n->fd);
}

/* --- a node's life ---------------------------------------------------------------------------- */

static void
join(struct fleet_node *n, struct fleet_user *admin, const char *name)
{
	struct world *w = n->world;
	struct msg_create_activation_request ask = {.registration_limit = 1, .iam_role = "none"};
	struct msg_create_activation_reply *act;
	struct msg_register_managed_instance_request req = {.name = name};
	struct msg_register_managed_instance_reply *joined;
	struct hw_err err = HW_ERR_INIT;
	struct buf csr, body;
	EVP_PKEY *key = NULL;
	const char *reply;

	buf_init(&csr, CERT_DER_MAX);
	buf_init(&body, 65536);
	fleet_call(admin, OP_create_activation, &act, &ask);
	cr_assert(eq(int, key_generate(&key, &err), 0));
	cr_assert(eq(int, csr_make(&csr, key, &err), 0));
	req.activation_id = act->activation_id;
	req.activation_code = act->activation_code;
	req.csr = (struct msg_bin){buf_data(&csr), csr.len};
	cr_assert(eq(int,
		msg_to_json(&body, MSG_ROW(register_managed_instance_request), &req, JSON_SECRETS),
		0));
	cr_assert(eq(int, world_http(w, "RegisterManagedInstance", buf_str(&body), &reply), 200),
		"%s", reply);
	cr_assert(eq(int,
		msg_from_json((void **)&joined, w->arena, MSG_ROW(register_managed_instance_reply),
			reply, strlen(reply), &err),
		0));
	cr_assert(eq(int, key_save(key, n->fd, ENROL_NODE_KEY, &err), 0));
	cr_assert(eq(int, cert_save(n->fd, ENROL_CA, joined->ca.p, joined->ca.n, &err), 0));
	cr_assert(eq(int,
		cert_save(n->fd, ENROL_NODE_CERT, joined->certificate.p, joined->certificate.n,
			&err),
		0));
	snprintf(n->id, sizeof(n->id), "%s", joined->instance_id);
	key_free(key);
	buf_fini(&csr);
	buf_fini(&body);
}

struct fleet_node *
fleet_node_new(struct fleet_user *admin, const char *name)
{
	struct fleet_node *n = calloc(1, sizeof(*n));
	struct hw_err err = HW_ERR_INIT;

	cr_assert(ne(ptr, n, NULL));
	n->world = admin->world;
	n->kernel = "6.1.0";
	ground_new(n->dir, sizeof(n->dir), "node");
	cr_assert(eq(int, dir_open(&n->fd, n->dir, false, &err), 0));
	n->programs = fake_programs_new(n->world->loop);
	join(n, admin, name);
	cr_assert(eq(int, roster_open(&n->roster, n->fd, &err), 0), "%s", err.text);
	return n;
}

static enum watch_answer
may_begin(void *arg, const char **why)
{
	const struct fleet_node *n = arg;

	return watch_answer(n->watch, why);
}

static void
on_answer(void *arg)
{
	struct fleet_node *n = arg;

	if (n->commands != NULL)
		commands_ask_again(n->commands);
}

void
fleet_node_on(struct fleet_node *n)
{
	struct credentials_config cc = {.loop = n->world->loop,
		.log = &n->world->log,
		.dir = n->fd,
		.on_renewed = on_renewed,
		.arg = n};
	struct agent_config ac = {
		.loop = n->world->loop,
		.log = &n->world->log,
		.node_id = n->id,
		.dir = n->dir,
		.programs = fake_programs_base(n->programs),
		.roster = n->roster,
		.dial = dial,
		.cancel = cancel,
		.facts = facts,
		.on_up = on_up,
		.on_down = on_down,
		.on_peer_time = on_peer_time,
		.on_renew = on_renew,
		.on_revoked = on_revoked,
		.arg = n,
	};
	const struct commands_config orders = {
		.loop = n->world->loop,
		.log = &n->world->log,
		.programs = fake_programs_base(n->programs),
		.dir = n->fd,
		.node_id = n->id,
		.boot_id = "one",
		.may_begin = may_begin,
		.arg = n,
	};
	const struct watch_config watch = {
		.loop = n->world->loop, .log = &n->world->log, .dir = n->fd, .refuse = n->refuses};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, credentials_new(&n->credentials, &cc, &err), 0), "%s", err.text);
	cr_assert(eq(int, watch_new(&n->watch, &watch, &err), 0), "%s", err.text);
	watch_on_change(n->watch, on_answer, n);
	cr_assert(eq(int, commands_new(&n->commands, &orders, &err), 0), "%s", err.text);
	ac.commands = n->commands;
	ac.watch = n->watch;
	n->agent = agent_new(&ac);
	agent_start(n->agent);
	world_advance(n->world, 0);
	world_settle(n->world);
}

static void
stop_programs(struct fleet_node *n)
{
	agent_free(n->agent);
	n->agent = NULL;
	commands_free(n->commands);
	n->commands = NULL;
	watch_free(n->watch);
	n->watch = NULL;
	world_settle(n->world);
	credentials_free(n->credentials);
	n->credentials = NULL;
}

void
fleet_node_off(struct fleet_node *n)
{
	pair_detach(fleet_line(&n->lines), PAIR_B);
	stop_programs(n);
}

void
fleet_node_restart(struct fleet_node *n)
{
	agent_leave(n->agent, "the agent was restarted");
	world_settle(n->world);
	stop_programs(n);
	fleet_node_on(n);
}

void
fleet_node_free(struct fleet_node *n)
{
	char command[96];

	if (n->agent != NULL)
		stop_programs(n);
	world_settle(n->world);
	free_lines(&n->lines);
	world_settle(n->world);
	fake_programs_free(n->programs);
	roster_close(n->roster);
	fd_close(n->fd);
	snprintf(command, sizeof(command), "rm -r %s", n->dir);
	cr_assert(eq(int, system(command), 0));
	free(n);
}

enum agent_state
fleet_node_state(const struct fleet_node *n)
{
	struct agent_status st;

	agent_status(n->agent, &st);
	return st.state;
}

const char *
fleet_node_error(const struct fleet_node *n)
{
	struct agent_status st;

	agent_status(n->agent, &st);
	return st.error;
}

/* --- a user ----------------------------------------------------------------------------------- */

static int
dial_user(void *arg, struct conn *c, struct hw_err *err)
{
	struct fleet_user *u = arg;
	struct world *w = u->world;
	int r;

	if (u->unreachable || w->relay == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "nobody listens");
	bool expired = clock_wall(relay_clock(w->relay)) >= u->login->who.not_after;
	if ((r = relay_admit(w->relay, &u->login->who, expired, SOURCE, err)) < 0)
		return r;
	struct pair *line = new_line(&u->lines, w);
	relay_answers(w, &u->login->who, expired, line);
	pair_attach(line, PAIR_B, conn_connected(c, pair_transport(line, PAIR_B)));
	return 0;
}

static void
turn(void *arg)
{
	struct fleet_user *u = arg;

	world_settle(u->world);
	world_advance(u->world, 10 * USEC_PER_MSEC);
}

int
fleet_user_connect(struct fleet_user *u, struct hw_err *err)
{
	struct conn_config config = {
		.loop = u->world->loop,
		.log = &u->world->log,
		.user = u->login->who.id,
		.timeout = TIMEOUT,
		.dial = dial_user,
		.turn = turn,
		.arg = u,
	};

	cr_assert(eq(int, u->programs, 0), "a program of the old connection would lose it");
	conn_free(u->conn);
	u->conn = NULL;
	return conn_open(&u->conn, &config, err);
}

void
fleet_user_off(struct fleet_user *u)
{
	cr_assert(eq(int, u->programs, 0), "a program of the connection would lose it");
	conn_free(u->conn);
	u->conn = NULL;
	world_settle(u->world);
}

struct fleet_user *
fleet_user_new(struct world *w, const char *invite)
{
	struct fleet_user *u = calloc(1, sizeof(*u));
	struct hw_err err = HW_ERR_INIT;

	cr_assert(ne(ptr, u, NULL));
	u->world = w;
	u->login = world_user(w, invite);
	cr_assert(eq(int, fleet_user_connect(u, &err), 0), "%s", err.text);
	return u;
}

void
fleet_user_free(struct fleet_user *u)
{
	conn_free(u->conn);
	world_settle(u->world);
	free_lines(&u->lines);
	world_peer_free(u->login);
	free(u);
}

void
fleet_call(struct fleet_user *u, enum op_id op, void *ret, const void *request)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, conn_call(ret, u->conn, op, request, u->world->arena, &err), 0), "%s: %s",
		op_rows[op].name, err.text);
}

void
fleet_user_renew(struct fleet_user *u)
{
	struct world *w = u->world;
	struct msg_renew_certificate_request req = {.csr = world_csr(w)};
	struct msg_renew_certificate_reply *rep;
	struct hw_err err = HW_ERR_INIT;
	X509 *cert = NULL;

	fleet_call(u, OP_renew_certificate, &rep, &req);
	cr_assert(eq(int, cert_parse(&cert, rep->certificate.p, rep->certificate.n, &err), 0));
	cr_assert(eq(int, cert_identity(&u->login->who, cert, ca_fleet(relay_ca(w->relay)), &err),
		0));
	X509_free(cert);
	cr_assert(eq(int, fleet_user_connect(u, &err), 0), "%s", err.text);
}

/* --- a program, as its user sees it ----------------------------------------------------------- */

static void
on_started(void *arg, const char *session)
{
	struct fleet_program *p = arg;

	snprintf(p->session, sizeof(p->session), "%s", session);
}

static void
on_output(void *arg, int stream, const uint8_t *bytes, size_t n)
{
	struct fleet_program *p = arg;

	cr_assert(eq(int, buf_append(&p->out[stream], bytes, n), 0));
	remote_consumed(p->remote, stream, n);
}

static void
on_room(void *arg)
{
	(void)arg;
}

static void
on_notice(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void
on_exit_of_program(void *arg, const struct remote_exit *e)
{
	struct fleet_program *p = arg;

	cr_assert(not(p->over), "it ends once");
	p->over = true;
	p->exit = *e;
	snprintf(p->why, sizeof(p->why), "%s", e->message != NULL ? e->message : "");
}

static const struct remote_events program_events = {.on_started = on_started,
	.on_output = on_output,
	.on_room = on_room,
	.on_notice = on_notice,
	.on_exit = on_exit_of_program};

int
fleet_start(struct fleet_program **ret, struct fleet_user *u, const struct fleet_node *n, int type,
	const char *command, struct hw_err *err)
{
	struct remote_request req = {.type = type,
		.target = n->id,
		.command = command,
		.term = "xterm",
		.cols = 80,
		.rows = 24};
	struct fleet_program *p = calloc(1, sizeof(*p));

	cr_assert(ne(ptr, p, NULL));
	p->user = u;
	u->programs++;
	p->held = true;
	for (int s = 0; s < STREAMS; s++)
		buf_init(&p->out[s], WORLD_STREAM_MAX);
	int r = remote_start(&p->remote, u->conn, &req, u->world->arena, &program_events, p, err);
	if (r < 0)
		fleet_program_free(p);
	else
		*ret = p;
	world_settle(u->world);
	return r;
}

static struct fleet_program *
start(struct fleet_user *u, const struct fleet_node *n, int type, const char *command)
{
	struct hw_err err = HW_ERR_INIT;
	struct fleet_program *p;

	cr_assert(eq(int, fleet_start(&p, u, n, type, command, &err), 0), "%s", err.text);
	return p;
}

struct fleet_program *
fleet_shell(struct fleet_user *u, const struct fleet_node *n)
{
	return start(u, n, CHANNEL_TYPE_PTY, NULL);
}

struct fleet_program *
fleet_exec(struct fleet_user *u, const struct fleet_node *n, const char *command)
{
	return start(u, n, CHANNEL_TYPE_EXEC, command);
}

void
fleet_program_end(struct fleet_program *p)
{
	if (!p->held)
		return;
	remote_free(p->remote);
	p->remote = NULL;
	p->held = false;
	p->user->programs--;
}

void
fleet_program_free(struct fleet_program *p)
{
	fleet_program_end(p);
	for (int s = 0; s < STREAMS; s++)
		buf_fini(&p->out[s]);
	free(p);
}

void
fleet_type(struct fleet_program *p, const char *text)
{
	cr_assert(eq(sz, remote_send(p->remote, text, strlen(text)), strlen(text)));
	world_settle(p->user->world);
}

const char *
fleet_shown(struct fleet_program *p, int stream)
{
	return buf_str(&p->out[stream]);
}

/* --- recordings ------------------------------------------------------------------------------- */

/* In order, but where a mark says that it was set back. */
static void
take_event(struct fleet_record *r, const struct event *ev)
{
	struct buf *b = &r->bytes[ev->stream];

	if (ev->type == EVENT_HIDDEN) {
		cr_assert(eq(u64, ev->offset, b->len), "hidden");
		r->hidden += ev->hidden;
		for (uint32_t i = 0; i < ev->hidden; i++)
			buf_append_byte(b, 0);
	}
	if (ev->type == EVENT_RESIZE) {
		r->cols = ev->cols;
		r->rows = ev->rows;
	}
	if (ev->type == EVENT_REWIND) {
		r->rewinds++;
		cr_assert(le(u64, ev->offset, b->len));
		b->len = (size_t)ev->offset;
	}
	if (ev->type != EVENT_DATA)
		return;
	cr_assert(eq(u64, ev->offset, b->len), "stream %d", ev->stream);
	cr_assert(eq(int, buf_append(b, ev->bytes, ev->len), 0));
}

static void
take_events(struct fleet_record *r, const struct msg_bin *events)
{
	struct event ev;
	size_t used;

	for (size_t at = 0; at < events->n; at += used) {
		cr_assert(eq(int,
			event_decode(&ev, (const uint8_t *)events->p + at, events->n - at, &used),
			0));
		take_event(r, &ev);
	}
}

struct fleet_record
fleet_record_read(struct fleet_user *u, const char *session)
{
	struct msg_get_recording_request req = {.session_id = session};
	struct msg_get_recording_reply *rep;
	struct fleet_record r = {.hidden = 0};

	for (int s = 0; s < STREAMS; s++)
		buf_init(&r.bytes[s], WORLD_STREAM_MAX);
	do {
		fleet_call(u, OP_get_recording, &rep, &req);
		take_events(&r, &rep->events);
		req.next_token = rep->next_token;
	} while (rep->next_token != NULL);
	r.complete = rep->complete;
	return r;
}

void
fleet_record_fini(struct fleet_record *r)
{
	for (int s = 0; s < STREAMS; s++)
		buf_fini(&r->bytes[s]);
}

/* --- forwards --------------------------------------------------------------------------------- */

static void
on_failed(void *arg, const struct forward_spec *spec, const char *peer, int code, const char *why)
{
	struct fleet_forward *f = arg;

	(void)spec, (void)peer, (void)code;
	f->failed++;
	snprintf(f->failure, sizeof(f->failure), "%s", why);
}

static void
on_end_of_forward(void *arg, const struct forward_spec *spec, int code, const char *why)
{
	struct fleet_forward *f = arg;

	(void)spec, (void)code;
	cr_assert(not(f->over), "it ends once");
	f->over = true;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

static void
on_stdio_over(void *arg)
{
	(void)arg;
}

static void
on_forward_waiting(void *arg, int code, const char *why)
{
	struct fleet_forward *f = arg;

	(void)why;
	f->waiting = code;
}

static void
on_forward_back(void *arg)
{
	struct fleet_forward *f = arg;

	f->waiting = 0;
}

static const struct forwarder_events forward_events = {
	.on_failed = on_failed,
	.on_end = on_end_of_forward,
	.on_stdio_over = on_stdio_over,
	.on_waiting = on_forward_waiting,
	.on_back = on_forward_back,
};

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	return sa;
}

static void
listen_far(struct fleet_forward *f, const char *path)
{
	const struct sockaddr_un sa = address_of(path);

	f->far = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert(eq(int, bind(f->far, (const struct sockaddr *)&sa, sizeof(sa)), 0));
	cr_assert(eq(int, listen(f->far, 64), 0));
}

struct fleet_forward *
fleet_forward_new(struct fleet_user *u, const struct fleet_node *n)
{
	struct fleet_forward *f = calloc(1, sizeof(*f));
	struct hw_err err = HW_ERR_INIT;
	struct forward_spec spec;
	char far[96], text[256];

	cr_assert(ne(ptr, f, NULL));
	f->user = u;
	u->programs++;
	ground_new(f->dir, sizeof(f->dir), "forward");
	snprintf(f->near, sizeof(f->near), "%s/near", f->dir);
	snprintf(far, sizeof(far), "%s/far", f->dir);
	listen_far(f, far);
	snprintf(text, sizeof(text), "%s:unix:%s", f->near, far);
	cr_assert(eq(int, forward_spec_local(&spec, text, &err), 0), "%s", err.text);
	cr_assert(eq(int, forwarder_new(&f->forwarder, u->conn, &forward_events, f, &err), 0));
	cr_assert(eq(int, forwarder_listen(f->forwarder, &spec, &err), 0), "%s", err.text);
	cr_assert(eq(int, forwarder_start(f->forwarder, n->id, NULL, u->world->arena, &err), 0),
		"%s", err.text);
	return f;
}

void
fleet_forward_free(struct fleet_forward *f)
{
	char command[96];

	forwarder_free(f->forwarder);
	f->user->programs--;
	world_settle(f->user->world);
	close(f->far);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	cr_assert(eq(int, system(command), 0));
	free(f);
}

void
fleet_forward_connect(int *near, int *far, struct fleet_forward *f)
{
	const struct sockaddr_un sa = address_of(f->near);

	*near = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert(eq(int, connect(*near, (const struct sockaddr *)&sa, sizeof(sa)), 0));
	for (int i = 0; i < 1000; i++) {
		world_advance(f->user->world, 100 * USEC_PER_MSEC);
		*far = accept4(f->far, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (*far >= 0)
			return;
	}
	cr_fatal("nothing connects: %s", f->failure);
}

/* --- what must hold --------------------------------------------------------------------------- */

int64_t
fleet_wait(struct world *w, bool (*done)(const void *of), const void *of, int64_t usec)
{
	int64_t begin = clock_mono(&w->clock.clock), took = 0;

	world_settle(w);
	while (!done(of)) {
		cr_assert(lt(i64, took, usec), "it did not happen in time");
		world_advance(w, 100 * USEC_PER_MSEC);
		took = clock_mono(&w->clock.clock) - begin;
	}
	return took;
}

static void
check_books(struct fleet_user *u)
{
	struct msg_describe_sessions_request active = {.state = SESSION_STATE_ACTIVE};
	struct msg_describe_sessions_reply *rep;
	struct world *w = u->world;

	fleet_call(u, OP_describe_sessions, &rep, &active);
	cr_assert(eq(sz, rep->sessions.n, 0), "%s is still in the books",
		rep->sessions.n > 0 ? rep->sessions.v[0].session_id : "");
	cr_assert(eq(sz, world_entries(w, "session.end", NULL, 0),
			  world_entries(w, "session.start", NULL, 0)),
		"each start has one end");
}

void
fleet_check_idle(struct fleet_user *u, const struct fleet_node *n)
{
	struct agent_status st;

	world_settle(u->world);
	cr_assert(eq(dbl, world_metric(u->world, "sessions"), 0));
	cr_assert(eq(dbl, world_metric(u->world, "channels"), 0), "the relay has a channel");
	if (conn_link(u->conn) != NULL) {
		cr_assert(eq(sz, conn_link(u->conn)->channels.count, 0), "the user has a channel");
		check_books(u);
	}
	if (n == NULL)
		return;
	cr_assert(eq(int, fake_programs_count(n->programs)->live, 0), "a program lives");
	if (n->agent == NULL)
		return;
	agent_status(n->agent, &st);
	cr_assert(eq(int, st.sessions, 0), "the agent has a session");
	if (n->link != NULL)
		cr_assert(eq(sz, n->link->channels.count, 0), "the agent has a channel");
}
