#include "relay/edge/server.h"

#include <libwebsockets.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/wire/frame.h"
#include "relay/edge/private.h"

#define LWS_TIMEOUT  600	 /* seconds: our own deadlines come long before */
#define RX_SIZE	     (16 * 1024) /* of a message, handed on at once: what a TLS record holds */
#define HEAD_SIZE    8192	 /* all headers of one request */
#define SCRAPERS_MAX 32		 /* connections for /metrics at once */

/* --- libwebsockets' callback --------------------------------------------------------------- */

/* What concerns no single connection. */
static int
on_context(struct lws *wsi, enum lws_callback_reasons reason, void *user)
{
	struct hw_err err = HW_ERR_INIT;

	if (reason != LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
		return 0;
	struct server *s = lws_context_user(lws_get_context(wsi));
	if (tls_setup(user, &s->tls, &err) == 0)
		return 0;
	log_error(s, "edge.tls", "why=%s", log_value(hw_err_text(&err)));
	return -1;
}

static int
on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
	/* libwebsockets lets a bad certificate in unless this refuses it. Our SSL_CTX never asks
	 * here. */
	if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION)
		return n == 0;
	struct conn *c = lws_get_opaque_user_data(wsi);
	if (c == NULL)
		return on_context(wsi, reason, user);

	loop_enter(c->server->loop);
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return door_request(c, wsi);
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return door_upgrade(c, wsi, in);
	case LWS_CALLBACK_HTTP_BODY:
		return door_body(c, in, n);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return door_writable(c, wsi);
	case LWS_CALLBACK_ESTABLISHED:
		return wire_up(c, wsi);
	case LWS_CALLBACK_RECEIVE:
		return wire_receive(c, wsi, in, n);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return wire_writable(c, wsi);
	case LWS_CALLBACK_CLOSED:
		wire_down(c);
		return 0;
	case LWS_CALLBACK_RAW_ADOPT: /* what CONNECT asks for */
		return -1;
	case LWS_CALLBACK_WSI_DESTROY:
		conn_free(c);
		return 0;
	default:
		return 0;
	}
}

/* One protocol for HTTP and links alike: which it is, the connection's state says. */
static const struct lws_protocols protocols[] = {
	{.name = PROTO_SUBPROTOCOL,
		.callback = on_lws,
		.rx_buffer_size = RX_SIZE,
		.tx_packet_size = FRAME_MESSAGE_MAX},
	LWS_PROTOCOL_LIST_TERM,
};

/* No pings of libwebsockets' own: the link has better ones. */
static const lws_retry_bo_t no_pings = {0};

/* --- opening ------------------------------------------------------------------------------- */

static bool
is_balancer(const struct server *s, const struct sockaddr *from)
{
	for (size_t i = 0; i < s->n_balancers; i++)
		if (network_has(&s->balancers[i], from))
			return true;
	return false;
}

static void
on_accept_main(void *arg, int fd, const struct sockaddr *from)
{
	struct server *s = arg;
	uint64_t source = admission_source(from);

	s->stats->accepted++;
	if (!admission_enter(s->admission, source)) {
		s->stats->refused_budget++;
		fd_close(fd);
		return;
	}
	struct conn *c = conn_new(s, HTTP_DOOR_MAIN, fd, from);
	if (c == NULL) {
		admission_leave(s->admission, source);
		return;
	}
	c->source = source;
	c->greeting->headed = is_balancer(s, from);
	s->stats->unauthenticated = admission_count(s->admission);
	lobby_enter(c);
}

static void
on_accept_metrics(void *arg, int fd, const struct sockaddr *from)
{
	struct server *s = arg;
	struct conn *c;

	if (s->scrapers >= SCRAPERS_MAX) {
		fd_close(fd);
		return;
	}
	if ((c = conn_new(s, HTTP_DOOR_METRICS, fd, from)) == NULL)
		return;
	s->scrapers++;
	lobby_hand_over(c);
}

static int
open_context(struct server *s, struct hw_err *err)
{
	void *loops[1] = {loop_base(s->loop)};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_LIBEVENT |
			LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.foreign_loops = loops,
		.user = s,
		.timeout_secs = LWS_TIMEOUT,
		.pt_serv_buf_size = RX_SIZE + 2 * LWS_PRE,
		.max_http_header_data = HEAD_SIZE,
		.retry_and_idle_policy = &no_pings,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
	};

	lws_set_log_level(0, NULL); /* what strangers do wrong is counted, not logged */
	s->lws = lws_create_context(&info);
	return s->lws != NULL ? 0 : hw_err_set(err, HW_EINTERNAL, "cannot set up libwebsockets");
}

static int
open_vhost(struct server *s, enum http_door door, const char *cert, const char *key,
	struct hw_err *err)
{
	static const char *const names[] = {"relay", "metrics"};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER, /* sockets come from our own listeners */
		.vhost_name = names[door],
		.protocols = protocols,
		.retry_and_idle_policy = &no_pings,
		.timeout_secs = LWS_TIMEOUT,
		.keepalive_timeout = LWS_TIMEOUT,
		.alpn = "http/1.1",
		.ssl_cert_filepath = cert,
		.ssl_private_key_filepath = key,
		.options = cert != NULL ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
	};

	s->vhosts[door] = lws_create_vhost(s->lws, &info);
	if (s->vhosts[door] != NULL)
		return 0;
	if (cert == NULL)
		return hw_err_set(err, HW_EINTERNAL, "cannot set up the metrics' door");
	return hw_err_set(err, HW_ECERT, "cannot use %s with %s", cert, key);
}

static int
open_vhosts(struct server *s, const char *dir, struct hw_err *err)
{
	char cert[4096], key[4096];
	int r;

	if (snprintf(cert, sizeof(cert), "%s/relay.crt", dir) >= (int)sizeof(cert) ||
		snprintf(key, sizeof(key), "%s/relay.key", dir) >= (int)sizeof(key))
		return hw_err_set(err, HW_EVALIDATION, "the path %.60s... is too long", dir);
	if ((r = open_vhost(s, HTTP_DOOR_MAIN, cert, key, err)) < 0)
		return r;
	return open_vhost(s, HTTP_DOOR_METRICS, NULL, NULL, err);
}

/* The certificate that lies in the directory: whose it is, and whether anybody could trust it. */
static int
look_at_certificate(struct cert_identity *ret, const struct server *s, struct hw_err *err)
{
	struct ca *ca = relay_ca(s->relay);
	X509 *cert = NULL;
	int dir, r;

	if ((r = dir_open(&dir, s->dir, false, err)) < 0)
		return r;
	r = cert_load(&cert, dir, "relay.crt", err);
	fd_close(dir);
	if (r == 0 && (r = cert_identity(ret, cert, ca_fleet(ca), err)) == 0 &&
		ret->role != ROLE_RELAY)
		r = hw_err_set(err, HW_ECERT, "it is not a relay's");
	if (r == 0)
		r = cert_verify(cert, ca_cert(ca), clock_wall(relay_clock(s->relay)), false, err);
	X509_free(cert);
	return r < 0 ? hw_err_prefix(err, "%s/relay.crt", s->dir) : 0;
}

int
server_reload(struct server *s, bool *changed, int64_t *expires, struct hw_err *err)
{
	char cert[4096], key[4096];
	struct cert_identity who;
	int r = look_at_certificate(&who, s, err);

	if (r < 0)
		return r;
	bool other = memcmp(s->shown, who.fingerprint, sizeof(s->shown)) != 0;
	snprintf(cert, sizeof(cert), "%s/relay.crt", s->dir);
	snprintf(key, sizeof(key), "%s/relay.key", s->dir);
	if (other && (r = tls_show(&s->tls, cert, key, err)) < 0)
		return r;
	memcpy(s->shown, who.fingerprint, sizeof(s->shown));
	s->stats->certificate_expires = who.not_after;
	*changed = other;
	*expires = who.not_after;
	return 0;
}

/* What is merely watched through must not keep the relay from its work. */
static void
open_metrics(struct server *s, const struct relay_config *config)
{
	struct hw_err err = HW_ERR_INIT;

	if (config->metrics_port == 0)
		return;
	if (listener_open(&s->listeners[HTTP_DOOR_METRICS], s->loop, &s->log, config->metrics_host,
		    config->metrics_port, on_accept_metrics, s, &err) < 0)
		log_warn(s, "edge.no_metrics", "why=%s", log_value(hw_err_text(&err)));
}

static int
open_listeners(struct server *s, const struct server_options *o, struct hw_err *err)
{
	const struct relay_config *config = relay_config(o->relay);
	bool given = o->listen_host != NULL;
	const char *host = given ? o->listen_host : config->listen_host;
	int port = given ? o->listen_port : config->listen_port;
	int r = listener_open(&s->listeners[HTTP_DOOR_MAIN], s->loop, &s->log, host, port,
		on_accept_main, s, err);

	if (r < 0)
		return r;
	log_info(s, "edge.listening", "host=%s port=%d", *host != '\0' ? host : "any", port);
	open_metrics(s, config);
	return 0;
}

/* A relay whose certificate has a flaw starts all the same: it can be reached, and told so. */
static void
remember_certificate(struct server *s)
{
	struct hw_err err = HW_ERR_INIT;
	struct cert_identity who;

	if (look_at_certificate(&who, s, &err) < 0) {
		log_error(s, "edge.certificate", "why=%s", log_value(hw_err_text(&err)));
		return;
	}
	memcpy(s->shown, who.fingerprint, sizeof(s->shown));
	s->stats->certificate_expires = who.not_after;
}

static int
open_all(struct server *s, const struct server_options *o, struct hw_err *err)
{
	const struct relay_config *config = relay_config(o->relay);
	struct ca *ca = relay_ca(o->relay);
	int r;

	s->head_within = config->header_timeout_seconds * USEC_PER_SEC;
	s->signed_idle = config->signed_idle_seconds * USEC_PER_SEC;
	s->max_seated = (size_t)config->max_signed;
	s->max_links = (size_t)config->max_links;
	s->max_handshakes = config->max_handshakes;
	if ((r = network_list_parse(s->balancers, &s->n_balancers, PROXY_PROTOCOL_MAX,
		     config->proxy_protocol_from, err)) < 0)
		return r;
	tls_init(&s->tls, s->loop, ca, 2 * (unsigned)config->max_handshakes,
		&s->stats->refused_certificate);
	r = admission_new(&s->admission, (size_t)config->max_unauthenticated, random_u64(), err);
	if (r < 0 || (r = open_context(s, err)) < 0 || (r = open_vhosts(s, o->dir, err)) < 0)
		return r;
	remember_certificate(s);
	return open_listeners(s, o, err);
}

int
server_open(struct server **ret, const struct server_options *o, struct hw_err *err)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the server");
	hw_assert(loop_base(o->loop) != NULL);
	s->loop = o->loop;
	s->relay = o->relay;
	s->log = *o->log;
	snprintf(s->dir, sizeof(s->dir), "%s", o->dir);
	s->stats = relay_edge_stats(o->relay);
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->waiting);
	s->handshakes = (struct loop_timer){.fn = lobby_on_turn, .arg = s};
	int r = open_all(s, o, err);
	if (r < 0) {
		server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* --- closing ------------------------------------------------------------------------------- */

static void
close_listeners(struct server *s)
{
	for (size_t i = 0; i < 2; i++) {
		listener_free(s->listeners[i]);
		s->listeners[i] = NULL;
	}
}

void
server_quiesce(struct server *s)
{
	struct conn *c, *next;

	close_listeners(s);
	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state < CONN_LINK)
			conn_close(c);
	}
	relay_before_write(s->relay); /* what the links still have to say is in the journal */
	s->own_stats = *s->stats;
	s->stats = &s->own_stats;
	s->tls.refused = &s->own_stats.refused_certificate;
	s->relay = NULL;
}

size_t
server_connections(const struct server *s)
{
	return s->count;
}

void
server_free(struct server *s)
{
	struct conn *c, *next;

	if (s == NULL)
		return;
	close_listeners(s);
	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state == CONN_QUIET || c->state == CONN_READY)
			conn_close(c);
	}
	if (s->lws != NULL)
		lws_context_destroy(s->lws);
	hw_assert(TAILQ_EMPTY(&s->conns));
	loop_timer_stop(s->loop, &s->handshakes);
	tls_fini(&s->tls);
	admission_free(s->admission);
	free(s);
}
