#include <sys/socket.h>
#include <sys/time.h>

#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "client/doctor.h"
#include "proto/base/file.h"
#include "proto/trust/build_time.h"
#include "proto/trust/cert.h"
#include "proto/trust/https.h"
#include "proto/wire/host.h"
#include "proto/wire/proxy.h"
#include "proto/wire/tcp_dial.h"
#include "proto/wire/ws_tls.h"

#define DIAL_WITHIN (10 * USEC_PER_SEC)
#define NAME_SLOW   (2 * USEC_PER_SEC)
#define LOGIN_SOON  (30 * 60 * USEC_PER_SEC)
#define CERT_SOON   (7 * CERT_DAY)
#define CLOCK_POOR  (10 * USEC_PER_SEC)
#define CLOCK_BAD   (300 * USEC_PER_SEC) /* signed requests are refused from there on */
#define TRIP_SLOW   (500 * USEC_PER_MSEC)

struct way {
	struct doctor *doctor;
	struct client *client;
	struct relay_url url;
	struct proxy proxy;
	char shown[PROXY_SHOWN_MAX]; /* of what is dialled: the proxy, or the relay */
};

static int64_t
now(void)
{
	return clock_mono(&hw_clock_system);
}

static double
ms_since(int64_t start)
{
	return (double)(now() - start) / 1000;
}

/* --- who asks -------------------------------------------------------------------------------- */

static bool
check_login(struct way *w)
{
	struct client *c = w->client;
	struct hw_err err = HW_ERR_INIT;
	int64_t at = clock_wall(&hw_clock_system);

	if (client_home(c, &err) < 0 || relay_url_parse(&w->url, c->home.relay, &err) < 0) {
		doctor_note(w->doctor, DOCTOR_FAIL, "login",
			"have an administrator run `hawser user invite NAME`, then hawser login URL INVITE",
			"%s", hw_err_text(&err));
		return false;
	}
	int64_t left = c->home.expires - at;
	if (left <= -CERT_DAY) {
		doctor_note(w->doctor, DOCTOR_FAIL, "login",
			"have an administrator run `hawser user invite NAME`, then hawser login URL INVITE; "
			"or set this machine's clock",
			"the login of %s expired at %s", c->home.user,
			output_time(c, c->home.expires));
		return false;
	}
	doctor_note(w->doctor, left < LOGIN_SOON ? DOCTOR_WARN : DOCTOR_OK, "login",
		left <= 0 ? "the relay says whether it is over, by its own clock"
			  : "any hawser command renews it while the relay is reached",
		"%s until %s", c->home.user, output_time(c, c->home.expires));
	return true;
}

/* --- the way --------------------------------------------------------------------------------- */

static bool
check_proxy(struct way *w)
{
	struct hw_err err = HW_ERR_INIT;
	struct proxy to;

	if (client_proxy(&w->proxy, w->client, w->url.host, w->url.port, &err) < 0) {
		doctor_note(w->doctor, DOCTOR_FAIL, "proxy",
			"http://HOST:PORT, or none, is for --proxy and HTTPS_PROXY", "%s",
			hw_err_text(&err));
		return false;
	}
	to = w->proxy;
	if (w->proxy.host[0] == '\0') {
		snprintf(to.host, sizeof(to.host), "%s", w->url.host);
		to.port = w->url.port;
		doctor_note(w->doctor, DOCTOR_OK, "proxy", NULL, "none");
	}
	proxy_write(w->shown, &to);
	if (w->proxy.host[0] != '\0')
		doctor_note(w->doctor, DOCTOR_OK, "proxy", NULL, "%s, %s", w->shown,
			w->proxy.login ? "with a user and a password" : "without a password");
	return true;
}

static bool
check_name(struct way *w)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *host = w->proxy.host[0] != '\0' ? w->proxy.host : w->url.host;
	char shown[HOST_SHOWN_MAX], all[400] = "";
	struct addrinfo *found = NULL;
	int64_t start = now();
	int e = getaddrinfo(host, NULL, &hints, &found);
	double took = ms_since(start);
	size_t n = 0;

	if (e != 0) {
		doctor_note(w->doctor, DOCTOR_FAIL, "name",
			e == EAI_AGAIN
				? "see whether the name servers in /etc/resolv.conf answer"
				: "see whether the name is spelt right, and known to this network",
			"%s has no address: %s", host, gai_strerror(e));
		return false;
	}
	for (const struct addrinfo *ai = found; ai != NULL && n + sizeof(shown) < sizeof(all);
		ai = ai->ai_next) {
		host_write(shown, ai->ai_addr, 0);
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", n > 0 ? ", " : "", shown);
	}
	freeaddrinfo(found);
	doctor_note(w->doctor, took * 1000 > NAME_SLOW ? DOCTOR_WARN : DOCTOR_OK, "name",
		"a name server does not answer: see /etc/resolv.conf", "%s is %s (%.0f ms)", host,
		all, took);
	return true;
}

static bool
check_tcp(struct way *w, int *fd)
{
	struct hw_err err = HW_ERR_INIT;
	int64_t start = now();
	bool proxied = w->proxy.host[0] != '\0';

	if (tcp_dial_wait(fd, w->url.host, w->url.port, &w->proxy, DIAL_WITHIN, &err) < 0) {
		doctor_note(w->doctor, DOCTOR_FAIL, "tcp",
			proxied ? "see whether the proxy runs and lets this machine through to the relay's port"
				: "see whether the relay runs (systemctl status hawser-relay there), and "
				  "whether a firewall or a missing proxy is between",
			"%s", hw_err_text(&err));
		return false;
	}
	doctor_note(w->doctor, DOCTOR_OK, "tcp", NULL, "%s is reached%s (%.0f ms)", w->shown,
		proxied ? ", and opens a way to the relay" : "", ms_since(start));
	return true;
}

/* --- TLS ------------------------------------------------------------------------------------- */

static void
limit_waiting(int fd)
{
	const struct timeval within = {.tv_sec = DIAL_WITHIN / USEC_PER_SEC};

	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof(within));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof(within));
}

static void
note_certificate(struct way *w, const SSL *ssl, double took)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	struct tm tm = {0};
	int64_t end = 0;

	if (cert != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		end = (int64_t)timegm(&tm) * USEC_PER_SEC;
	bool soon = end - clock_wall(&hw_clock_system) < CERT_SOON;
	doctor_note(w->doctor, soon ? DOCTOR_WARN : DOCTOR_OK, "tls",
		"the relay renews it when it starts: restart it in a quiet hour",
		"%s, %s; a relay of this fleet, its certificate is good until %s (%.0f ms)",
		SSL_get_version(ssl), SSL_get_cipher_name(ssl), output_time(w->client, end), took);
}

static bool
shake_hands(struct way *w, SSL *ssl, int fd)
{
	int64_t start = now();
	long verdict;

	if (SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1) {
		note_certificate(w, ssl, ms_since(start));
		return true;
	}
	verdict = SSL_get_verify_result(ssl);
	if (verdict != X509_V_OK)
		doctor_note(w->doctor, DOCTOR_FAIL, "tls",
			"see whether the address is the relay's, whether a proxy opens TLS, which is not "
			"supported, and whether this machine's clock is right",
			"what answers shows a certificate that %s",
			ws_tls_verify_text((int)verdict));
	else
		doctor_note(w->doctor, DOCTOR_FAIL, "tls",
			"see whether what listens there is a relay, and what is between",
			"no TLS 1.3 with %s:%d", w->url.host, w->url.port);
	return false;
}

static bool
check_tls(struct way *w, int fd)
{
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	const struct home *home = &w->client->home;
	struct hw_err err = HW_ERR_INIT;
	SSL_CTX *ctx = NULL;
	SSL *ssl = NULL;

	home_file(ca, home, HOME_CA);
	home_file(cert, home, HOME_CERT);
	home_file(key, home, HOME_KEY);
	if (ws_tls_new(&ctx, ca, cert, key, &err) < 0) {
		doctor_note(w->doctor, DOCTOR_FAIL, "tls", "log in again", "%s", hw_err_text(&err));
		return false;
	}
	ws_tls_set_time(ctx, build_time_or_later(&hw_clock_system));
	limit_waiting(fd);
	bool good = (ssl = SSL_new(ctx)) != NULL && shake_hands(w, ssl, fd);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return good;
}

/* --- the relay ------------------------------------------------------------------------------- */

static bool
check_link(struct way *w)
{
	struct hw_err err = HW_ERR_INIT;

	if (client_connect(w->client, &err) == 0)
		return true;
	doctor_note(w->doctor, DOCTOR_FAIL, "link",
		"have an administrator look at `hawser user show NAME`, and at the relay's log",
		"%s", hw_err_text(&err));
	return false;
}

static void
check_clock(struct way *w)
{
	int64_t ahead = conn_ahead(w->client->conn), off = ahead < 0 ? -ahead : ahead;

	w->doctor->ahead = ahead;
	doctor_note(w->doctor,
		off >= CLOCK_BAD	    ? DOCTOR_FAIL
			: off >= CLOCK_POOR ? DOCTOR_WARN
					    : DOCTOR_OK,
		"clock", "set it, and keep it by NTP (timedatectl set-ntp true); or the relay's",
		off < USEC_PER_SEC ? "as the relay's" : "%.1f s %s the relay's",
		(double)off / USEC_PER_SEC, ahead > 0 ? "behind" : "ahead of");
}

static void
check_trip(struct way *w)
{
	struct hw_err err = HW_ERR_INIT;
	int64_t usec = 0;

	if (conn_round_trip(&usec, w->client->conn, &err) < 0)
		doctor_note(w->doctor, DOCTOR_FAIL, "round trip", "try again, from another network",
			"%s", hw_err_text(&err));
	else
		doctor_note(w->doctor, usec > TRIP_SLOW ? DOCTOR_WARN : DOCTOR_OK, "round trip",
			"the network is slow, or the relay busy: its /metrics say which", "%.1f ms",
			(double)usec / 1000);
}

static void
check_relay(struct way *w)
{
	static const struct msg_empty nothing;
	struct msg_get_caller_identity_reply *me;
	struct hw_err err = HW_ERR_INIT;

	if (client_call(&me, w->client, OP_get_caller_identity, &nothing, &err) < 0) {
		doctor_note(w->doctor, DOCTOR_FAIL, "relay", "see the relay's log", "%s",
			hw_err_text(&err));
		return;
	}
	const char *version = me->relay_version != NULL ? me->relay_version : "";
	doctor_note(w->doctor, strcmp(version, HAWSER_VERSION) == 0 ? DOCTOR_OK : DOCTOR_WARN,
		"relay", "relays are upgraded first, and serve the two minor versions before",
		"%s, version %s; this is " HAWSER_VERSION, me->relay, version);
	if (me->alarm != NULL && me->alarm[0] != '\0')
		doctor_note(w->doctor, DOCTOR_WARN, "alarm",
			"hawser audit verify --online, and docs of witnesses", "%s", me->alarm);
}

bool
doctor_way(struct doctor *d)
{
	struct way w = {.doctor = d, .client = d->client};
	int fd = -1;
	bool good = check_login(&w) && check_proxy(&w) && check_name(&w) && check_tcp(&w, &fd) &&
		check_tls(&w, fd) && check_link(&w);

	fd_close(fd);
	explicit_bzero(&w.proxy, sizeof(w.proxy));
	if (!good)
		return false;
	check_clock(&w);
	check_trip(&w);
	check_relay(&w);
	return true;
}
