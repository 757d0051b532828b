/*
 * Many nodes in one process: what a relay sees of a fleet, without the agents.
 *
 *   sim_nodes join URL ID:CODE --dir DIR --count N [--first K]    enrols nodes, each with its own
 *       key, into DIR/K, DIR/K+1, ...
 *   sim_nodes hold URL --dir DIR --count N [--first K]            dials all and keeps their links:
 *       HELLO, facts, pings and pongs as a real agent sends them. Prints "up N SECONDS" once all
 *       stand; ends with its stdin, and then prints what happened as JSON. Told of a command, a
 *       node asks for it, and says that its script exited with 0.
 *
 * The links are epoll and OpenSSL alone, so that ten thousand fit on a machine beside their relay.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/base/id.h"
#include "proto/trust/https.h"
#include "proto/wire/codec.h"
#include "proto/wire/enrol.h"
#include "proto/wire/frame.h"

#define JOINERS	   4
#define PING_EVERY 20 /* seconds, as a link has it */
#define COMPLAINTS 5  /* the rest would say the same */
#define IN_MAX	   FRAME_MESSAGE_MAX
#define KEY	   "dGhlIHNhbXBsZSBub25jZQ==" /* any 16 bytes do */

enum wait { WAIT_NOTHING, WAIT_TCP, WAIT_TLS, WAIT_UPGRADE, WAIT_HELLO, WAIT_END };

struct node {
	int fd;
	enum wait state;
	SSL *ssl;
	X509 *cert;
	EVP_PKEY *key;
	char id[CERT_ID_MAX];
	struct buf in, out;
	time_t pinged;
	uint64_t requests;
	uint64_t question;	    /* the request that asked for orders; 0: it has its answer */
	bool ask_again;		    /* once more after that */
	char held[ID_UUID_LEN + 1]; /* a command whose end the relay has not taken yet */
	uint64_t report;	    /* the request that said its end */
	bool behind;		    /* there were others than the one that is held */
};

struct sim {
	struct relay_url url;
	int dir;
	int first, count;
	int inflight; /* how many may be on their way up at once */
	const char *activation_id, *activation_code;

	SSL_CTX *tls;
	struct sockaddr_storage address;
	socklen_t address_len;
	int epoll;
	struct node *nodes;
	int begun, up, lost;
	bool told;
	long pings, pongs, answers, bytes, ran;
	struct timespec start;
	atomic_int next; /* of the joiners */
};

static void
die(const char *what, const struct hw_err *err)
{
	fprintf(stderr, "sim_nodes: %s: %s\n", what,
		err != NULL ? hw_err_text(err) : strerror(errno));
	exit(1);
}

static int
open_node_dir(const struct sim *s, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "%d", s->first + i);
	if (mkdirat(s->dir, name, 0700) < 0 && errno != EEXIST)
		die(name, NULL);
	int dir = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		die(name, NULL);
	return dir;
}

/* --- join --------------------------------------------------------------------------------------
 */

static void
join_one(const struct sim *s, int i)
{
	struct hw_err err = HW_ERR_INIT;
	struct enrol_result got;
	char name[32];

	snprintf(name, sizeof(name), "sim-%05d", s->first + i);
	const struct msg_register_managed_instance_request req = {
		.activation_id = s->activation_id,
		.activation_code = s->activation_code,
		.name = name,
		.computer_name = name,
	};
	int dir = open_node_dir(s, i);
	if (enrol_node(&got, &s->url, dir, &req, &err) < 0)
		die(name, &err);
	close(dir);
}

static void *
join_some(void *arg)
{
	struct sim *s = arg;
	int i;

	while ((i = atomic_fetch_add(&s->next, 1)) < s->count)
		join_one(s, i);
	return NULL;
}

static int
join_all(struct sim *s)
{
	pthread_t threads[JOINERS];

	for (int i = 0; i < JOINERS; i++)
		pthread_create(&threads[i], NULL, join_some, s);
	for (int i = 0; i < JOINERS; i++)
		pthread_join(threads[i], NULL);
	printf("joined %d\n", s->count);
	return 0;
}

/* --- what a node says --------------------------------------------------------------------------
 */

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

static void
add_frame(struct buf *out, const struct buf *frame)
{
	add_ws(out, 2, buf_data(frame), frame->len);
}

static void
say(struct node *n, enum frame_kind kind, const struct msg_row *row, const void *msg)
{
	struct buf frame;

	buf_init(&frame, 4096);
	if (frame_encode_msg(&frame, kind, 0, row, msg) < 0)
		die("a message does not encode", NULL);
	add_frame(&n->out, &frame);
	buf_fini(&frame);
}

static void
say_hello(struct node *n)
{
	const struct msg_hello hello = {
		.version_min = PROTO_VERSION,
		.version_max = PROTO_VERSION,
		.role = ROLE_NODE,
		.id = n->id,
		.software = "hawser-node/" HAWSER_VERSION,
		.time = clock_wall(&hw_clock_system),
		.frame_max = FRAME_MESSAGE_MAX,
		.boot_id = "00000000-0000-0000-0000-000000000000",
	};

	say(n, FRAME_HELLO, MSG_ROW(hello), &hello);
}

/* Returns its number. */
static uint64_t
say_request(struct node *n, const struct op_row *row, const struct msg_row *msg_row,
	const void *msg)
{
	struct buf body, frame;

	buf_init(&body, 4096);
	buf_init(&frame, 4096);
	msg_encode(&body, msg_row, msg, NULL);
	const struct frame f = {.kind = FRAME_REQUEST,
		.id = ++n->requests,
		.name = row->name,
		.name_len = strlen(row->name),
		.body = buf_data(&body),
		.body_len = body.len};
	if (frame_encode(&frame, &f) < 0)
		die("a request does not encode", NULL);
	add_frame(&n->out, &frame);
	buf_fini(&frame);
	buf_fini(&body);
	return n->requests;
}

static void
say_facts(struct node *n)
{
	const struct msg_update_instance_information_request facts = {
		.agent_version = HAWSER_VERSION,
		.computer_name = "sim",
		.ip_address = "127.0.0.1",
		.platform_name = "debian",
		.platform_version = "12",
		.kernel = "6.1.0-amd64",
		.architecture = "x86_64",
	};

	say_request(n, &op_rows[OP_update_instance_information],
		MSG_ROW(update_instance_information_request), &facts);
}

static void
say_control(struct node *n, int type, int64_t nonce)
{
	const struct msg_control control = {
		.type = type, .nonce = nonce, .time = clock_wall(&hw_clock_system)};

	say(n, FRAME_CONTROL, MSG_ROW(control), &control);
}

/* --- commands ----------------------------------------------------------------------------------
 */

/* As an agent does: one question at a time, and what is held is said along with it. */
static void
ask(struct node *n)
{
	const char *held = n->held;
	const struct msg_get_pending_invocations_request m = {
		.held = {.v = &held, .n = n->held[0] != '\0'}
	     };

	n->ask_again = n->question != 0;
	if (!n->ask_again)
		n->question = say_request(n, &op_rows[OP_get_pending_invocations],
			MSG_ROW(get_pending_invocations_request), &m);
}

/* What an agent's only word is on a script that was over at once. */
static void
say_end(struct node *n)
{
	int64_t now = clock_wall(&hw_clock_system);
	struct msg_invocation_step step = {
		.name = "aws:runShellScript",
		.action = "aws:runShellScript",
		.status = INVOCATION_STATUS_SUCCESS,
		.status_details = "Success",
		.started = now,
		.ended = now,
	};
	const struct msg_update_invocation_request m = {
		.command_id = n->held,
		.status = INVOCATION_STATUS_SUCCESS,
		.status_details = "Success",
		.started = now,
		.ended = now,
		.steps = {.v = &step, .n = 1},
	};

	n->report = say_request(n, &op_rows[OP_update_invocation],
		MSG_ROW(update_invocation_request), &m);
}

/* One at a time; the others are given again when they are asked for. */
static void
take_orders(struct node *n, const struct msg_get_pending_invocations_reply *reply)
{
	for (size_t i = 0; i < reply->invocations.n; i++) {
		const char *id = reply->invocations.v[i].command_id;
		if (n->held[0] != '\0') {
			n->behind |= strcmp(n->held, id) != 0;
			continue;
		}
		snprintf(n->held, sizeof(n->held), "%s", id);
		say_end(n);
	}
	n->behind |= reply->more;
}

static void
take_taken(struct sim *s, struct node *n, const struct msg_update_invocation_reply *reply)
{
	if (!reply->taken)
		die("the relay did not take an end", NULL);
	s->ran++;
	n->report = 0;
	n->held[0] = '\0';
	if (n->behind)
		ask(n);
	n->behind = false;
}

static void
take_response(struct sim *s, struct node *n, const struct frame *f)
{
	bool orders = f->id == n->question, taken = f->id == n->report;
	struct hw_err err = HW_ERR_INIT;
	struct arena *a = arena_new(1 << 20);
	void *msg;

	s->answers++;
	if ((orders || taken) && f->name_len > 0)
		die("the relay refused a node's word", NULL);
	if ((orders || taken) &&
		msg_decode(&msg, a,
			orders ? MSG_ROW(get_pending_invocations_reply)
			       : MSG_ROW(update_invocation_reply),
			f->body, f->body_len, &err) < 0)
		die("an answer", &err);
	if (orders) {
		n->question = 0;
		take_orders(n, msg);
		if (n->ask_again)
			ask(n);
	} else if (taken) {
		take_taken(s, n, msg);
	}
	arena_free(a);
}

/* --- a link ------------------------------------------------------------------------------------
 */

static void
lose(struct sim *s, struct node *n, const char *why)
{
	if (s->lost++ < COMPLAINTS)
		fprintf(stderr, "sim_nodes: %s: %.*s\n", n->id, (int)strcspn(why, "\r\n"), why);
	s->up -= n->state == WAIT_END;
	n->state = WAIT_NOTHING;
	SSL_free(n->ssl);
	n->ssl = NULL;
	close(n->fd);
	n->fd = -1;
}

static void
watch(const struct sim *s, struct node *n, uint32_t events, int how)
{
	struct epoll_event e = {.events = events, .data.ptr = n};

	if (epoll_ctl(s->epoll, how, n->fd, &e) < 0)
		die("epoll_ctl", NULL);
}

/* Sends what is queued, as far as it goes. */
static void
flush(struct sim *s, struct node *n)
{
	while (n->out.len > 0) {
		int sent = SSL_write(n->ssl, buf_data(&n->out), (int)n->out.len);
		if (sent <= 0) {
			watch(s, n, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		buf_consume(&n->out, (size_t)sent);
	}
	buf_reset(&n->out);
}

static void
take_frame(struct sim *s, struct node *n, const struct frame *f)
{
	if (f->kind == FRAME_HELLO && n->state == WAIT_HELLO) {
		n->state = WAIT_END;
		n->pinged = time(NULL);
		s->up++;
		say_facts(n);
	} else if (f->kind == FRAME_RESPONSE) {
		take_response(s, n, f);
	} else if (f->kind == FRAME_CONTROL && f->channel == 0) {
		struct arena *a = arena_new(65536);
		void *msg;
		if (msg_decode(&msg, a, MSG_ROW(control), f->body, f->body_len, NULL) == 0) {
			const struct msg_control *control = msg;
			if (control->type == CONTROL_PING)
				say_control(n, CONTROL_PONG, control->nonce);
			s->pings += control->type == CONTROL_PING;
			s->pongs += control->type == CONTROL_PONG;
			if (control->type == CONTROL_COMMANDS)
				ask(n);
		}
		arena_free(a);
	} else if (f->kind == FRAME_CLOSE) {
		lose(s, n, "the relay closed the link");
	}
}

static void
take_message(struct sim *s, struct node *n, const uint8_t *p, size_t len)
{
	struct hw_err err = HW_ERR_INIT;
	struct frame f;
	size_t used;

	for (; len > 0 && n->fd >= 0; p += used, len -= used) {
		if (frame_parse(&f, p, len, &used, &err) < 0) {
			lose(s, n, hw_err_text(&err));
			return;
		}
		take_frame(s, n, &f);
	}
}

/* Takes one whole WebSocket frame off the input; false when there is none yet. */
static bool
take_ws(struct sim *s, struct node *n)
{
	const uint8_t *p = buf_data(&n->in);
	size_t have = n->in.len, head = 2, len;

	if (have < 2)
		return false;
	if ((len = p[1] & 0x7f) == 126) {
		head = 4;
		if (have < head)
			return false;
		len = (size_t)p[2] << 8 | p[3];
	} else if (len == 127) {
		lose(s, n, "a message larger than any that is due here");
		return false;
	}
	if (have < head + len)
		return false;
	int opcode = p[0] & 0x0f;
	if (opcode == 2)
		take_message(s, n, p + head, len);
	else if (opcode == 9)
		add_ws(&n->out, 10, p + head, len);
	else if (opcode == 8)
		lose(s, n, "the relay closed the WebSocket");
	buf_consume(&n->in, head + len);
	return n->fd >= 0;
}

static void
take_upgrade(struct sim *s, struct node *n)
{
	const char *text = buf_str(&n->in);
	const char *end = strstr(text, "\r\n\r\n");

	if (end == NULL)
		return;
	if (strncmp(text, "HTTP/1.1 101", 12) != 0) {
		lose(s, n, text);
		return;
	}
	buf_consume(&n->in, (size_t)(end + 4 - text));
	n->state = WAIT_HELLO;
	say_hello(n);
}

static void
take_input(struct sim *s, struct node *n)
{
	uint8_t chunk[16384];
	int got;

	while (n->fd >= 0 && (got = SSL_read(n->ssl, chunk, sizeof(chunk))) > 0) {
		s->bytes += got;
		buf_append(&n->in, chunk, (size_t)got);
		if (n->state == WAIT_UPGRADE)
			take_upgrade(s, n);
		while (n->state >= WAIT_HELLO && take_ws(s, n))
			;
	}
	if (n->fd >= 0 && SSL_get_error(n->ssl, got) != SSL_ERROR_WANT_READ)
		lose(s, n, "the connection broke");
	if (n->in.len == 0)
		buf_reset(&n->in);
}

static void
ask_upgrade(const struct sim *s, struct node *n)
{
	n->state = WAIT_UPGRADE;
	buf_printf(&n->out,
		"GET /link HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n"
		"Sec-WebSocket-Protocol: " PROTO_SUBPROTOCOL "\r\n\r\n",
		s->url.host, s->url.port);
}

static void
begin_tls(const struct sim *s, struct node *n)
{
	n->ssl = SSL_new(s->tls);
	if (n->ssl == NULL || SSL_use_certificate(n->ssl, n->cert) != 1 ||
		SSL_use_PrivateKey(n->ssl, n->key) != 1 || SSL_set_fd(n->ssl, n->fd) != 1)
		die("no TLS", NULL);
	SSL_set_connect_state(n->ssl);
	n->state = WAIT_TLS;
}

static void
continue_tls(struct sim *s, struct node *n)
{
	char why[256];
	int r = SSL_do_handshake(n->ssl);

	if (r == 1) {
		watch(s, n, EPOLLIN, EPOLL_CTL_MOD);
		ask_upgrade(s, n);
		return;
	}
	r = SSL_get_error(n->ssl, r);
	if (r == SSL_ERROR_WANT_READ) {
		watch(s, n, EPOLLIN, EPOLL_CTL_MOD);
	} else if (r != SSL_ERROR_WANT_WRITE) {
		ERR_error_string_n(ERR_get_error(), why, sizeof(why));
		lose(s, n, why);
	}
}

static void
on_ready(struct sim *s, struct node *n, uint32_t events)
{
	if (n->fd < 0)
		return;
	ERR_clear_error();
	if (n->state == WAIT_TCP) {
		if (events & EPOLLERR) {
			lose(s, n, "no connection");
			return;
		}
		begin_tls(s, n);
	}
	if (n->state == WAIT_TLS)
		continue_tls(s, n);
	if (n->fd >= 0 && n->state > WAIT_TLS)
		take_input(s, n);
	if (n->fd >= 0 && n->state > WAIT_TLS) {
		if (events & EPOLLOUT)
			watch(s, n, EPOLLIN, EPOLL_CTL_MOD);
		flush(s, n);
	}
}

/* --- all of them --------------------------------------------------------------------------------
 */

static void
dial(struct sim *s, struct node *n)
{
	n->fd = socket(s->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		die("socket", NULL);
	setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	n->state = WAIT_TCP;
	if (connect(n->fd, (struct sockaddr *)&s->address, s->address_len) < 0 &&
		errno != EINPROGRESS)
		die("connect", NULL);
	watch(s, n, EPOLLOUT, EPOLL_CTL_ADD);
}

static void
load(const struct sim *s, struct node *n, int i)
{
	struct hw_err err = HW_ERR_INIT;
	struct cert_identity who;
	char fleet[CERT_FLEET_LEN + 1];
	X509 *ca = NULL;

	int dir = open_node_dir(s, i);
	if (cert_load(&ca, dir, ENROL_CA, &err) < 0 || cert_fleet(fleet, ca, &err) < 0 ||
		cert_load(&n->cert, dir, ENROL_NODE_CERT, &err) < 0 ||
		cert_identity(&who, n->cert, fleet, &err) < 0 ||
		key_load(&n->key, dir, ENROL_NODE_KEY, &err) < 0)
		die("a node's files", &err);
	snprintf(n->id, sizeof(n->id), "%s", who.id);
	n->fd = -1;
	buf_init(&n->in, IN_MAX);
	buf_init(&n->out, IN_MAX);
	X509_free(ca);
	close(dir);
}

/* The relay's certificate is not looked at: who is measured here is not doubted. */
static void
prepare(struct sim *s)
{
	struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
	char port[16];

	snprintf(port, sizeof(port), "%d", s->url.port);
	if (getaddrinfo(s->url.host, port, &hints, &found) != 0)
		die(s->url.host, NULL);
	memcpy(&s->address, found->ai_addr, found->ai_addrlen);
	s->address_len = found->ai_addrlen;
	freeaddrinfo(found);
	s->tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(s->tls, TLS1_3_VERSION);
	SSL_CTX_set_mode(s->tls,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_ENABLE_PARTIAL_WRITE);
	s->nodes = calloc((size_t)s->count, sizeof(*s->nodes));
	for (int i = 0; i < s->count; i++)
		load(s, &s->nodes[i], i);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
}

static double
elapsed(const struct sim *s)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)(t.tv_sec - s->start.tv_sec) + (double)(t.tv_nsec - s->start.tv_nsec) / 1e9;
}

static void
dial_more(struct sim *s)
{
	while (s->begun < s->count && s->begun - s->up - s->lost < s->inflight)
		dial(s, &s->nodes[s->begun++]);
	if (!s->told && s->up + s->lost == s->count) {
		s->told = true;
		printf("up %d %.3f\n", s->up, elapsed(s));
		fflush(stdout);
	}
}

static void
ping_due(struct sim *s)
{
	time_t now = time(NULL);

	for (int i = 0; i < s->count; i++) {
		struct node *n = &s->nodes[i];
		if (n->state != WAIT_END || now - n->pinged < PING_EVERY)
			continue;
		n->pinged = now;
		say_control(n, CONTROL_PING, 1);
		flush(s, n);
	}
}

static int
watch_plain(const struct sim *s, int fd, void *name)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = name};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e);
}

static int
hold_all(struct sim *s)
{
	static char at_stdin, at_tick;
	const struct itimerspec second = {
		{1, 0},
		{1, 0}
	      };
	struct epoll_event events[256];
	uint64_t ticks;

	prepare(s);
	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(tick, 0, &second, NULL);
	watch_plain(s, tick, &at_tick);
	watch_plain(s, STDIN_FILENO, &at_stdin);
	clock_gettime(CLOCK_MONOTONIC, &s->start);
	for (bool ended = false; !ended;) {
		dial_more(s);
		int n = epoll_wait(s->epoll, events, 256, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &at_stdin)
				ended = true;
			else if (events[i].data.ptr != &at_tick)
				on_ready(s, events[i].data.ptr, events[i].events);
			else if (read(tick, &ticks, sizeof(ticks)) > 0)
				ping_due(s);
		}
	}
	printf("{\"links\": %d, \"lost\": %d, \"answers\": %ld, \"pings\": %ld, \"pongs\": %ld, "
	       "\"bytes\": %ld, \"ran\": %ld}\n",
		s->up, s->lost, s->answers, s->pings, s->pongs, s->bytes, s->ran);
	return s->lost > 0;
}

/* -----------------------------------------------------------------------------------------------
 */

static int
usage(void)
{
	fprintf(stderr,
		"usage: sim_nodes join URL ID:CODE --dir DIR --count N [--first K]\n"
		"       sim_nodes hold URL --dir DIR --count N [--first K] [--inflight N]\n");
	return 2;
}

static int
parse_options(struct sim *s, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",	required_argument, NULL, 'd'},
		       {"count",	 required_argument, NULL, 'c'},
		{"first",	  required_argument, NULL, 'f'},
		 {"inflight", required_argument, NULL, 'i'},
		{NULL,       0,		  NULL, 0	 }
	  };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			s->dir = open(optarg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		else if (c == 'c')
			s->count = atoi(optarg);
		else if (c == 'f')
			s->first = atoi(optarg);
		else if (c == 'i')
			s->inflight = atoi(optarg);
		else
			return -1;
	}
	return s->dir >= 0 && s->count > 0 && s->inflight > 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct sim s = {.dir = -1, .inflight = 12};
	struct hw_err err = HW_ERR_INIT;

	signal(SIGPIPE, SIG_IGN);
	if (parse_options(&s, argc, argv) < 0 || argc - optind < 2)
		return usage();
	char **words = argv + optind;
	if (relay_url_parse(&s.url, words[1], &err) < 0)
		die(words[1], &err);
	if (strcmp(words[0], "hold") == 0 && argc - optind == 2)
		return hold_all(&s);
	if (strcmp(words[0], "join") != 0 || argc - optind != 3)
		return usage();
	s.activation_id = strtok(words[2], ":");
	s.activation_code = strtok(NULL, ":");
	return s.activation_code == NULL ? usage() : join_all(&s);
}
