/* ws_client against a server that the test scripts, over real TLS on the real loop. */
#include <sys/resource.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/trust/cert.h"
#include "proto/wire/channel.h"
#include "proto/wire/proxy.h"
#include "proto/wire/ws_client.h"
#include "tests/unit/wire/ws_server.h"

#define NODE		"mi-0123456789abcdef0"
#define has(text, part) cr_assert(strstr(text, part) != NULL, "no %s in: %s", part, text)

struct bench {
	char dir[64];
	int fd;
	struct ca *ca;
	struct loop *loop;
	struct log_ctx log;
	struct ws_script script;
	struct ws_server *server;
	int port;
	struct ws_client *client;
	struct ws_dial *dial;
	struct link *link;
	struct channel *ch;
	struct loop_timer give_up, later;
	void (*act)(struct bench *b);
	bool up, stop_on_up, refuse_link;
	int64_t clock_off; /* of the time by which the client judges */
	int failed, down;
	char why[512];
	size_t received;
};

static struct bench b;

/* --- certificates ---------------------------------------------------------------------------- */

static const char *
path(const char *name)
{
	static char texts[8][128];
	static int next;
	char *text = texts[next++ % 8];

	snprintf(text, sizeof(texts[0]), "%s/%s", b.dir, name);
	return text;
}

static int64_t
now(void)
{
	return clock_wall(&hw_clock_system);
}

static int64_t
told_now(void *arg)
{
	(void)arg;
	return now() + b.clock_off;
}

static void
issue(const struct ca *ca, const char *name, int role, const char *id, int64_t until)
{
	char serial[CERT_SERIAL_LEN + 1], file[64];
	struct hw_err err = HW_ERR_INIT;
	struct buf csr, der;
	EVP_PKEY *key;

	buf_init(&csr, CERT_DER_MAX);
	buf_init(&der, CERT_DER_MAX);
	cr_assert(key_generate(&key, &err) == 0);
	snprintf(file, sizeof(file), "%s.key", name);
	cr_assert(key_save(key, b.fd, file, &err) == 0);
	cr_assert(csr_make(&csr, key, &err) == 0);
	cr_assert(ca_issue(&der, serial, ca, buf_data(&csr), csr.len, role, id, until - CERT_DAY,
			  until, &err) == 0,
		"%s", err.text);
	snprintf(file, sizeof(file), "%s.crt", name);
	cr_assert(cert_save(b.fd, file, buf_data(&der), der.len, &err) == 0);
	key_free(key);
	buf_fini(&csr);
	buf_fini(&der);
}

static void
make_fleet(void)
{
	struct hw_err err = HW_ERR_INIT;

	strcpy(b.dir, "/tmp/ws_client.XXXXXX");
	cr_assert(mkdtemp(b.dir) != NULL);
	b.fd = open(b.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ca_create(&b.ca, b.fd, now(), &err) == 0, "%s", err.text);
	cr_assert(ca_issue_relay(b.ca, b.fd, "relay-1", NULL, 0, now(), &err) == 0);
	issue(b.ca, "node", ROLE_NODE, NODE, now() + CERT_DAY / 2);
	b.script.cert = path("relay.crt");
	b.script.key = path("relay.key");
	b.script.client_ca = path("ca.crt");
}

/* --- the program ----------------------------------------------------------------------------- */

static void
on_give_up(void *arg)
{
	(void)arg;
	cr_assert(false, "nothing happened for 20 seconds");
}

static void
on_later(void *arg)
{
	(void)arg;
	b.act(&b);
}

static void
setup(void)
{
	b = (struct bench){.fd = -1, .stop_on_up = true};
	cr_assert(loop_new(&b.loop, NULL) == 0);
	log_ctx_init(&b.log, NULL);
	make_fleet();
	b.give_up = (struct loop_timer){.fn = on_give_up};
	b.later = (struct loop_timer){.fn = on_later};
}

static void
teardown(void)
{
	char command[128];

	ws_client_free(b.client);
	loop_free(b.loop);
	if (b.server != NULL)
		ws_server_stop(b.server);
	ca_free(b.ca);
	close(b.fd);
	snprintf(command, sizeof(command), "rm -r %s", b.dir);
	cr_assert(system(command) == 0);
}

TestSuite(ws_client, .init = setup, .fini = teardown);

static void
on_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	(void)arg;
	(void)l;
	(void)peer;
	b.up = true;
	if (b.stop_on_up)
		loop_stop(b.loop);
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	(void)arg;
	(void)l;
	b.link = NULL;
	b.down = code;
	snprintf(b.why, sizeof(b.why), "%s", why);
	loop_stop(b.loop);
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	(void)arg;
	(void)body;
	(void)op;
	b.received += n;
	link_respond_raw(l, id, "\x80", 1);
}

static const struct link_events link_events = {.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request};

static struct link *
on_connected(void *arg, struct link_transport *transport)
{
	struct link_config config = {
		.loop = b.loop,
		.log = &b.log,
		.events = &link_events,
		.transport = transport,
		.hello = {.role = ROLE_NODE, .id = NODE, .software = "test"},
		.peer_role = ROLE_RELAY,
		.opens = true
	     };

	(void)arg;
	if (b.refuse_link) {
		loop_stop(b.loop);
		return NULL;
	}
	return b.link = link_new(&config);
}

static void
on_failed(void *arg, int code, const char *why)
{
	(void)arg;
	b.failed = code;
	snprintf(b.why, sizeof(b.why), "%s", why);
	loop_stop(b.loop);
}

static const struct ws_dial_events dial_events = {.on_connected = on_connected,
	.on_failed = on_failed};

static int
new_client(const char *by, struct hw_err *err)
{
	struct proxy proxy = {.port = 0};

	cr_assert(by == NULL || proxy_parse(&proxy, by, err) == 0, "%s", err->text);
	struct ws_client_config config = {.loop = b.loop,
		.log = &b.log,
		.ca_file = path("ca.crt"),
		.cert_file = path("node.crt"),
		.key_file = path("node.key"),
		.proxy = &proxy,
		.now = told_now};

	return ws_client_new(&b.client, &config, err);
}

static void
run(void)
{
	loop_timer_start(b.loop, &b.give_up, 20 * USEC_PER_SEC);
	loop_run(b.loop, NULL);
	loop_timer_stop(b.loop, &b.give_up);
}

static void
dial_host(const char *host, int port)
{
	struct hw_err err = HW_ERR_INIT;

	if (b.client == NULL)
		cr_assert(new_client(NULL, &err) == 0, "%s", err.text);
	cr_assert(ws_dial(&b.dial, b.client, host, port, &dial_events, NULL, &err) == 0);
}

static void
dial(void)
{
	if (b.server == NULL)
		b.server = ws_server_start(&b.script, &b.port);
	dial_host("127.0.0.1", b.port);
	run();
}

static void
do_later(void (*act)(struct bench *), int64_t usec)
{
	b.act = act;
	loop_timer_start(b.loop, &b.later, usec);
	run();
}

static void
stop(struct bench *bench)
{
	loop_stop(bench->loop);
}

/* --- relays that the tests play -------------------------------------------------------------- */

static void
send_frame(struct ws_conn *c, const struct frame *f)
{
	struct buf out;

	buf_init(&out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode(&out, f) == 0);
	ws_conn_write(c, WS_BINARY, true, buf_data(&out), out.len);
	buf_fini(&out);
}

static void
encode_hello(struct buf *out)
{
	struct msg_hello hello = {.version_min = 1,
		.version_max = 1,
		.role = ROLE_RELAY,
		.id = "relay-1",
		.software = "test",
		.frame_max = FRAME_MESSAGE_MAX};

	buf_init(out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode_msg(out, FRAME_HELLO, 0, MSG_ROW(hello), &hello) == 0);
}

static void
send_hello(struct ws_conn *c)
{
	struct buf out;

	encode_hello(&out);
	ws_conn_write(c, WS_BINARY, true, buf_data(&out), out.len);
	buf_fini(&out);
}

/* Accepts each channel, sends back on stream 1 what comes on stream 0, and credits it. */
static void
echo_frame(struct ws_conn *c, const struct frame *f)
{
	struct msg_accept accept = {.window = 16 << 20};
	struct frame back = *f,
		     credit = {.kind = FRAME_CREDIT,
			     .channel = f->channel,
			     .offset = f->offset + f->body_len,
			     .limit = 16 << 20};
	struct buf out;

	if (f->kind == FRAME_OPEN) {
		buf_init(&out, 4096);
		frame_encode_msg(&out, FRAME_ACCEPT, f->channel, MSG_ROW(accept), &accept);
		ws_conn_write(c, WS_BINARY, true, buf_data(&out), out.len);
		buf_fini(&out);
	} else if (f->kind == FRAME_DATA) {
		back.stream = STREAM_OUT;
		send_frame(c, &back);
		send_frame(c, &credit);
	} else if (f->kind == FRAME_REQUEST) {
		send_frame(c, &(struct frame){.kind = FRAME_RESPONSE, .id = f->id});
	}
}

static void
serve_echo(struct ws_conn *c, void *arg)
{
	static uint8_t message[FRAME_MESSAGE_MAX];
	int n, opcode;

	(void)arg;
	send_hello(c);
	while ((n = ws_conn_read(c, message, sizeof(message), &opcode)) >= 0) {
		struct frame f;
		struct hw_err err = HW_ERR_INIT;
		for (size_t used, at = 0; at < (size_t)n; at += used) {
			cr_assert(frame_parse(&f, message + at, (size_t)n - at, &used, &err) == 0,
				"%s", err.text);
			echo_frame(c, &f);
		}
	}
}

static void
drain(struct ws_conn *c)
{
	static uint8_t message[FRAME_MESSAGE_MAX];
	int opcode;

	while (ws_conn_read(c, message, sizeof(message), &opcode) >= 0)
		;
}

/* --- links come up --------------------------------------------------------------------------- */

static void
serve_hello(struct ws_conn *c, void *arg)
{
	char *request = arg;

	if (request != NULL)
		snprintf(request, 4096, "%s", ws_conn_request(c));
	send_hello(c);
	drain(c);
}

Test(ws_client, a_link_comes_up)
{
	static char request[4096];

	b.script.serve = serve_hello;
	b.script.arg = request;
	dial();
	cr_assert(b.up, "%s", b.why);
	has(request, "GET /link HTTP/1.1\r\n");
	has(request, "Sec-WebSocket-Protocol: hawser.1");
	cr_assert(strcasestr(request, "origin:") == NULL);
	cr_assert(eq(sz, ws_client_open(b.client), 1));
}

Test(ws_client, a_name_is_looked_up_and_each_address_tried)
{
	b.script.serve = serve_hello;
	b.server = ws_server_start(&b.script, &b.port);
	dial_host("localhost", b.port); /* nobody listens on ::1 */
	run();
	cr_assert(b.up, "%s", b.why);
}

static void
dial_by_proxy(const char *login)
{
	struct hw_err err = HW_ERR_INIT;
	char proxy[96];

	b.script.proxy = true;
	b.server = ws_server_start(&b.script, &b.port);
	snprintf(proxy, sizeof(proxy), "http://%slocalhost:%d/", login, b.port);
	cr_assert(new_client(proxy, &err) == 0, "%s", err.text);
	dial_host("relay.example", 8443); /* a name that only the proxy knows */
	run();
}

Test(ws_client, goes_through_a_proxy)
{
	static char asked[1024];

	b.script.serve = serve_hello;
	b.script.proxy_asked = asked;
	dial_by_proxy("user:sec%3Aret@");
	cr_assert(b.up, "%s", b.why);
	has(asked, "\r\nProxy-Authorization: Basic dXNlcjpzZWM6cmV0\r\n");
}

Test(ws_client, a_proxy_that_refuses_is_named_with_what_it_said)
{
	b.script.proxy_says = "HTTP/1.1 407 Authentication Required\r\n\r\n";
	dial_by_proxy("");
	cr_assert(eq(int, b.failed, HW_EUNAVAILABLE));
	has(b.why, "the proxy localhost:");
	has(b.why, "refused a connection to relay.example:8443 with 407 Authentication Required");
}

Test(ws_client, a_proxy_that_is_none_is_noticed)
{
	b.script.proxy_says = "220 mail.example ESMTP\r\n";
	dial_by_proxy("");
	cr_assert(eq(int, b.failed, HW_EPROTO));
	has(b.why, "is no HTTP proxy");
}

Test(ws_client, a_proxy_that_hangs_up_is_noticed)
{
	b.script.proxy_says = "";
	dial_by_proxy("u:secret@");
	cr_assert(eq(int, b.failed, HW_EUNAVAILABLE));
	has(b.why, "hung up instead of opening a way to relay.example:8443");
	cr_assert(strstr(b.why, "secret") == NULL);
}

Test(ws_client, a_proxy_that_nobody_knows_is_named)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(new_client("http://no-such-proxy.invalid:3128", &err) == 0);
	dial_host("127.0.0.1", 1);
	run();
	has(b.why, "cannot find the proxy no-such-proxy.invalid");
}

Test(ws_client, what_is_no_relay_behind_a_proxy_is_told_of_with_the_proxy)
{
	b.script.cert = path("node.crt");
	b.script.key = path("node.key");
	dial_by_proxy("");
	cr_assert(eq(int, b.failed, HW_ECERT), "%s", b.why);
	has(b.why, "relay.example:8443 is not trusted");
	has(b.why, "by way of the proxy localhost:");
}

Test(ws_client, the_environments_proxy_does_not_count)
{
	setenv("http_proxy", "127.0.0.1:1", 1);
	b.script.serve = serve_hello;
	dial();
	cr_assert(b.up, "%s", b.why);
}

static void
count_bytes(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		cr_assert(p[i] == (uint8_t)((offset + i) * 7 >> 2));
	b.received += n;
	channel_consume(ch, stream, n, ECHO_UNKNOWN);
	if (b.received == 3000000)
		loop_stop(b.loop);
}

static void
send_much(void *arg, struct channel *ch, int stream)
{
	static uint8_t bytes[3000000];
	size_t sent = (size_t)channel_sent(ch, STREAM_IN);

	(void)arg;
	(void)stream;
	for (size_t i = sent; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 >> 2);
	channel_write(ch, STREAM_IN, bytes + sent, sizeof(bytes) - sent);
}

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	(void)accept;
	send_much(arg, ch, 0);
}

static const struct channel_events echo_events = {.on_accept = on_accept,
	.on_data = count_bytes,
	.on_drained = send_much};

static void
open_channel(int type)
{
	struct msg_open open = {.type = type, .session_id = "s", .window = 1 << 20};

	cr_assert(channel_open(&b.ch, b.link, &open, &echo_events, NULL, NULL) == 0);
}

Test(ws_client, megabytes_come_back_as_they_went)
{
	b.script.serve = serve_echo;
	dial();
	cr_assert(b.up, "%s", b.why);
	open_channel(CHANNEL_TYPE_PTY); /* in pieces of 16 KiB, cut from larger chunks */
	run();
	cr_assert(eq(sz, b.received, 3000000));
	cr_assert(b.link != NULL);
}

static void
serve_pieces(struct ws_conn *c, void *arg)
{
	struct buf hello;
	static uint8_t body[180000];
	struct frame request = {.kind = FRAME_REQUEST,
		.id = 1,
		.name = "X",
		.name_len = 1,
		.body = body,
		.body_len = sizeof(body)};

	(void)arg;
	encode_hello(&hello);
	ws_conn_write(c, WS_BINARY, false, buf_data(&hello), 3);
	ws_conn_write(c, WS_CONTINUED, false, buf_data(&hello) + 3, 0);
	ws_conn_write(c, WS_CONTINUED, true, buf_data(&hello) + 3, hello.len - 3);
	buf_fini(&hello);
	/* one map with one text of 179,000 bytes */
	memcpy(body, "\x81\xa1\x61\xdb", 4);
	uint32_t n = sizeof(body) - 8;
	for (int i = 0; i < 4; i++)
		body[4 + i] = (uint8_t)(n >> (24 - 8 * i));
	send_frame(c, &request);
	drain(c);
}

Test(ws_client, messages_in_pieces_are_put_together)
{
	b.script.serve = serve_pieces;
	dial();
	cr_assert(b.up, "%s", b.why);
	do_later(stop, 200 * USEC_PER_MSEC);
	cr_assert(eq(sz, b.received, 180000));
}

/* --- and go down ----------------------------------------------------------------------------- */

/* Goes on although the client has closed: libwebsockets once wrote such bytes past its buffer's
 * end. */
static void
serve_giant(struct ws_conn *c, void *arg)
{
	static uint8_t bytes[3000000];

	(void)arg;
	send_hello(c);
	ws_conn_write(c, WS_BINARY, true, bytes, sizeof(bytes));
	drain(c);
}

Test(ws_client, a_message_too_large_ends_the_connection)
{
	b.stop_on_up = false;
	b.script.serve = serve_giant;
	dial();
	cr_assert(eq(int, b.down, HW_EUNAVAILABLE));
	has(b.why, "a message too large");
	do_later(stop, 300 * USEC_PER_MSEC);
	cr_assert(eq(sz, ws_client_open(b.client), 0));
}

static void
serve_text(struct ws_conn *c, void *arg)
{
	(void)arg;
	send_hello(c);
	ws_conn_write(c, WS_TEXT, true, "hello", 5);
	drain(c);
}

Test(ws_client, text_ends_the_connection)
{
	b.stop_on_up = false;
	b.script.serve = serve_text;
	dial();
	has(b.why, "text");
}

static void
serve_and_leave(struct ws_conn *c, void *arg)
{
	(void)arg;
	send_hello(c);
}

Test(ws_client, a_relay_that_leaves_is_noticed)
{
	b.stop_on_up = false;
	b.script.serve = serve_and_leave;
	dial();
	cr_assert(eq(int, b.down, HW_EUNAVAILABLE));
	do_later(stop, 100 * USEC_PER_MSEC);
	cr_assert(eq(sz, ws_client_open(b.client), 0));
}

/* What is behind CLOSE is read ahead along with it, and never handed on. */
static void
serve_more_behind_close(struct ws_conn *c, void *arg)
{
	(void)arg;
	send_hello(c);
	ws_conn_write(c, WS_CLOSE, true, "\x03\xe8", 2);
	for (int i = 0; i < 3; i++)
		ws_conn_write(c, WS_BINARY, true, "more", 4);
}

Test(ws_client, what_comes_behind_a_close_keeps_nobody_busy)
{
	b.stop_on_up = false;
	b.script.serve = serve_more_behind_close;
	for (int i = 0; i < 20; i++) {
		b.down = 0;
		dial();
		cr_assert(eq(int, b.down, HW_EUNAVAILABLE));
		do_later(stop, 20 * USEC_PER_MSEC);
		cr_assert(eq(sz, ws_client_open(b.client), 0));
	}
}

static void
serve_last_words(struct ws_conn *c, void *arg)
{
	static uint8_t message[FRAME_MESSAGE_MAX];
	bool *heard = arg;
	int n, opcode;

	send_hello(c);
	while ((n = ws_conn_read(c, message, sizeof(message), &opcode)) >= 0)
		*heard |= n > 2 && message[1] == FRAME_CLOSE && message[2] == 0;
}

Test(ws_client, the_last_words_are_heard)
{
	static bool heard;

	b.script.serve = serve_last_words;
	b.script.arg = &heard;
	dial();
	link_close(b.link, HW_ECLOSED, "bye");
	b.link = NULL;
	cr_assert(eq(sz, ws_client_open(b.client), 1));
	do_later(stop, 200 * USEC_PER_MSEC);
	cr_assert(eq(sz, ws_client_open(b.client), 0));
	cr_assert(heard);
}

/* Or the relay would take each program that ends for one that was cut off. */
Test(ws_client, the_last_words_are_heard_of_a_program_that_ends_at_once)
{
	static bool heard;

	b.script.serve = serve_last_words;
	b.script.arg = &heard;
	dial();
	link_close(b.link, HW_OK, "");
	b.link = NULL;
	ws_client_free(b.client);
	b.client = NULL;
	ws_server_stop(b.server);
	b.server = NULL;
	cr_assert(heard);
}

Test(ws_client, freeing_it_ends_its_links)
{
	b.script.serve = serve_hello;
	dial();
	ws_client_free(b.client);
	b.client = NULL;
	cr_assert(eq(int, b.down, HW_EUNAVAILABLE));
}

Test(ws_client, a_refused_connection_is_closed)
{
	b.refuse_link = true;
	b.script.serve = serve_hello;
	dial();
	do_later(stop, 100 * USEC_PER_MSEC);
	cr_assert(eq(sz, ws_client_open(b.client), 0));
	cr_assert(eq(int, b.failed, 0));
}

/* --- an idle loop ---------------------------------------------------------------------------- */

static long
switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw;
}

Test(ws_client, an_idle_link_wakes_nobody)
{
	b.script.serve = serve_hello;
	dial();
	do_later(stop, 200 * USEC_PER_MSEC);
	long before = switches();
	do_later(stop, 1000 * USEC_PER_MSEC);
	cr_assert(lt(long, switches() - before, 20));
}

static struct timespec asked;

static void
on_pong(void *arg, int code, const char *message, const void *body, size_t n)
{
	(void)arg;
	(void)code;
	(void)message;
	(void)body;
	(void)n;
	loop_stop(b.loop);
}

static void
ask(void *arg)
{
	struct msg_renew_certificate_request request = {
		.csr = {(const uint8_t *)"csr", 3}
	  };

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &asked);
	cr_assert(link_request(b.link, op_find("RenewCertificate"), &request, on_pong, NULL,
			  NULL) == 0);
}

static void *
post_from_elsewhere(void *arg)
{
	usleep(300000); /* the loop sleeps by now */
	loop_post(b.loop, ask, arg);
	return NULL;
}

Test(ws_client, what_a_posted_call_sends_goes_at_once)
{
	struct timespec answered;
	pthread_t thread;

	b.script.serve = serve_echo;
	dial();
	pthread_create(&thread, NULL, post_from_elsewhere, NULL);
	run();
	clock_gettime(CLOCK_MONOTONIC, &answered);
	pthread_join(thread, NULL);
	double ms = (double)(answered.tv_sec - asked.tv_sec) * 1e3 +
		(double)(answered.tv_nsec - asked.tv_nsec) / 1e6;
	cr_assert(ms < 500, "it took %.1f ms", ms);
}

/* --- TLS ------------------------------------------------------------------------------------- */

static void
expect_failure(int code, const char *text)
{
	dial();
	cr_assert(not(b.up));
	cr_assert(eq(int, b.failed, code), "%s", b.why);
	has(b.why, text);
}

Test(ws_client, a_nodes_certificate_is_no_relays)
{
	b.script.cert = path("node.crt");
	b.script.key = path("node.key");
	expect_failure(HW_ECERT, "its certificate is not one for relays");
}

static struct ca *
foreign_ca(void)
{
	struct ca *ca;

	cr_assert(mkdirat(b.fd, "foreign", 0700) == 0);
	int fd = openat(b.fd, "foreign", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ca_create(&ca, fd, now(), NULL) == 0);
	cr_assert(ca_issue_relay(ca, fd, "relay-1", NULL, 0, now(), NULL) == 0);
	close(fd);
	return ca;
}

Test(ws_client, another_fleets_relay_is_not_ours)
{
	ca_free(foreign_ca());
	b.script.cert = path("foreign/relay.crt");
	b.script.key = path("foreign/relay.key");
	expect_failure(HW_ECERT, "is not signed by this fleet's CA");
}

Test(ws_client, an_expired_relay_is_refused)
{
	int64_t then = now() - 2 * CERT_RELAY_LIFE;

	cr_assert(ca_issue_relay(b.ca, b.fd, "relay-1", NULL, 0, then, NULL) == 0);
	expect_failure(HW_ECERT, "its certificate");
}

/* The relay's certificate as of `from`, judged by a clock that is off by so much. */
static void
dial_when(int64_t from, int64_t clock_off)
{
	if (b.server == NULL)
		cr_assert(ca_issue_relay(b.ca, b.fd, "relay-1", NULL, 0, from, NULL) == 0);
	b.script.serve = serve_hello;
	b.clock_off = clock_off;
	b.failed = 0;
	dial();
}

Test(ws_client, a_clock_that_lags_is_not_asked)
{
	dial_when(now() + 10 * CERT_DAY, 0);
	cr_assert(eq(int, b.failed, HW_ECERT));
	has(b.why, "is not valid yet");
	dial_when(0, 11 * CERT_DAY);
	cr_assert(b.up, "%s", b.why);
}

Test(ws_client, a_clock_that_is_ahead_is_not_asked)
{
	dial_when(now() - CERT_RELAY_LIFE - CERT_DAY / 24, 0);
	cr_assert(eq(int, b.failed, HW_ECERT));
	has(b.why, "has expired");
	dial_when(0, -CERT_DAY / 2); /* not before the CA itself */
	cr_assert(b.up, "%s", b.why);
}

Test(ws_client, what_the_clock_finds_good_is_refused_by_the_time_that_is_told)
{
	dial_when(now(), -CERT_DAY * 3 / 2);
	cr_assert(eq(int, b.failed, HW_ECERT));
	has(b.why, "is not valid yet, by this machine's clock (7");
	dial_when(0, CERT_RELAY_LIFE + CERT_DAY);
	cr_assert(eq(int, b.failed, HW_ECERT));
	has(b.why, "has expired");
	dial_when(0, -CERT_DAY / 2); /* a clock that is behind by less than a day is borne */
	cr_assert(b.up, "%s", b.why);
}

Test(ws_client, tls_1_2_is_refused)
{
	b.script.old_tls = true;
	expect_failure(HW_EPROTO, "does not speak TLS 1.3");
}

Test(ws_client, a_mail_server_is_no_relay)
{
	b.script.plain = true;
	expect_failure(HW_EPROTO, "does not speak TLS 1.3");
}

Test(ws_client, a_relay_that_does_not_know_us_says_so)
{
	ca_free(foreign_ca());
	b.script.client_ca = path("foreign/ca.crt");
	expect_failure(HW_ECERT, "refused this machine's certificate: it is not signed");
}

Test(ws_client, an_expired_certificate_of_ours_is_named)
{
	issue(b.ca, "node", ROLE_NODE, NODE, now() - 60 * USEC_PER_SEC);
	expect_failure(HW_EEXPIRED, "refused this machine's certificate: it has expired");
}

Test(ws_client, a_renewed_certificate_is_used_from_then_on)
{
	struct hw_err err = HW_ERR_INIT;

	b.script.serve = serve_hello;
	issue(b.ca, "node", ROLE_NODE, NODE, now() - 60 * USEC_PER_SEC);
	dial();
	cr_assert(eq(int, b.failed, HW_EEXPIRED));
	issue(b.ca, "node", ROLE_NODE, NODE, now() + CERT_DAY / 2);
	cr_assert(ws_client_reload(b.client, &err) == 0, "%s", err.text);
	dial();
	cr_assert(b.up, "%s", b.why);
}

Test(ws_client, a_reload_of_nonsense_keeps_the_old)
{
	struct hw_err err = HW_ERR_INIT;

	b.script.serve = serve_hello;
	cr_assert(new_client(NULL, &err) == 0, "%s", err.text);
	cr_assert(rename(path("ca.key"), path("node.key")) == 0);
	cr_assert(eq(int, ws_client_reload(b.client, &err), HW_ECERT));
	has(err.text, "node.key");
	dial();
	cr_assert(b.up, "%s", b.why);
}

Test(ws_client, a_file_that_is_missing_is_named)
{
	struct hw_err err = HW_ERR_INIT;

	unlink(path("node.crt"));
	cr_assert(eq(int, new_client(NULL, &err), HW_ECERT));
	has(err.text, "node.crt: No such file");
	b.client = NULL;
}

/* --- HTTP ------------------------------------------------------------------------------------ */

Test(ws_client, a_403_is_a_denial)
{
	b.script.refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
	expect_failure(HW_EDENIED, "refused the link (HTTP 403)");
}

Test(ws_client, a_503_may_pass)
{
	b.script.refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
	expect_failure(HW_EUNAVAILABLE, "cannot take the link now (HTTP 503)");
}

Test(ws_client, a_web_server_is_no_relay)
{
	b.script.refusal = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
	expect_failure(HW_EPROTO, "is no relay");
}

Test(ws_client, a_redirect_is_not_followed)
{
	b.script.refusal = "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/link\r\n"
			   "Content-Length: 0\r\n\r\n";
	expect_failure(HW_EPROTO, "HTTP 302");
}

/* --- TCP and names --------------------------------------------------------------------------- */

Test(ws_client, a_closed_port_is_refused)
{
	dial_host("127.0.0.1", 1);
	run();
	cr_assert(eq(int, b.failed, HW_EUNAVAILABLE));
	has(b.why, "cannot connect to 127.0.0.1:1: Connection refused");
}

Test(ws_client, a_name_that_is_none_is_said)
{
	dial_host("no-such-host.invalid", 443);
	run();
	cr_assert(b.failed == HW_ENOTFOUND || b.failed == HW_EUNAVAILABLE);
	has(b.why, "cannot find the host no-such-host.invalid");
}

Test(ws_client, a_silent_host_is_given_up_after_ten_seconds, .timeout = 40)
{
	b.script.silent = true;
	int64_t start = clock_mono(&hw_clock_system);
	expect_failure(HW_ETIMEOUT, "did not answer within 10 seconds");
	int64_t took = clock_mono(&hw_clock_system) - start;
	cr_assert(took > 9 * USEC_PER_SEC && took < 12 * USEC_PER_SEC);
}

static void
cancel(struct bench *bench)
{
	ws_dial_cancel(bench->dial);
	loop_stop(bench->loop);
}

Test(ws_client, an_attempt_can_be_cancelled)
{
	b.script.silent = true;
	b.server = ws_server_start(&b.script, &b.port);
	dial_host("127.0.0.1", b.port);
	do_later(cancel, 100 * USEC_PER_MSEC);
	do_later(stop, 100 * USEC_PER_MSEC);
	cr_assert(eq(int, b.failed, 0));
}

Test(ws_client, it_can_go_while_it_dials)
{
	b.script.silent = true;
	b.server = ws_server_start(&b.script, &b.port);
	dial_host("127.0.0.1", b.port);
	dial_host("localhost", b.port);
	dial_host("no-such-host.invalid", 443);
	do_later(stop, 10 * USEC_PER_MSEC);
	dial_host("localhost", b.port); /* and this one has not even begun */
}
