#include "proto/trust/https.h"
#include "proto/wire/tcp_dial.h"

#include <openssl/err.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "tests/unit/trust/server.h"

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CAP    1024

static struct fleet *f;
static struct relay_url url;
static struct server *server;
static struct hw_err err;
static struct buf out;
static int status;
static int64_t clock_off; /* of the time by which the relay is judged */

static void
setup(void)
{
	f = fleet_new();
	buf_init(&out, CAP);
	status = -1;
	clock_off = 0;
	err = (struct hw_err)HW_ERR_INIT;
}

static void
teardown(void)
{
	if (server != NULL)
		server_free(server);
	fleet_free(f);
	buf_fini(&out);
}

TestSuite(https_post, .init = setup, .fini = teardown, .timeout = 30);

static char known_by[PIN_LEN + 1];

/* To the server of the test. */
static int
connected(void)
{
	int fd = -1;

	cr_assert(tcp_dial_wait(&fd, url.host, url.port, NULL, 5 * USEC_PER_SEC, &err) == 0, "%s",
		err.text);
	return fd;
}

static int
post_within(int timeout_ms)
{
	int fd = connected();
	int r = https_post(&out, &status, fd, &url, "/register", "{\"a\":1}", 7, f->now + clock_off,
		timeout_ms, known_by, &err);

	close(fd);

	cr_expect(eq(int, r, err.code));
	cr_expect(eq(int, r == 0, status != -1));
	cr_expect(eq(int, r == 0 || out.len == 0, 1));
	return r;
}

static int
post(void)
{
	return post_within(10000);
}

/* Refused in the handshake: and the server never saw a byte of the request. */
static void
expect_refused(int code, const char *why)
{
	cr_expect(eq(int, post(), code), "%s", err.text);
	cr_expect(ne(ptr, strstr(err.text, why), NULL), "'%s' lacks '%s'", err.text, why);
	cr_expect(eq(int, server_stop(server)[0], '\0'));
}

Test(https_post, reaches_the_relay_whose_ca_is_pinned)
{
	char want[64];

	server = SERVER(f, &url, .answer = ANSWER);
	cr_assert(eq(int, post(), 0), "%s", err.text);
	cr_assert(eq(int, status, 200));
	cr_assert(eq(str, (char *)buf_str(&out), (char *)"ok"));
	const char *request = server_stop(server);
	cr_assert(eq(int, strncmp(request, "POST /register HTTP/1.1\r\n", 25), 0));
	snprintf(want, sizeof(want), "\r\nHost: 127.0.0.1:%d\r\n", url.port);
	cr_assert(ne(ptr, strstr(request, want), NULL), "%s", request);
	cr_assert(ne(ptr, strstr(request, "\r\n\r\n{\"a\":1}"), NULL), "%s", request);
}

Test(https_post, appends_the_answer_and_gives_any_status)
{
	server = SERVER(f, &url, .answer = "HTTP/1.1 400 Bad\r\n\r\n{}");
	buf_append_str(&out, "x");
	int fd = connected();
	cr_assert(eq(int,
		https_post(&out, &status, fd, &url, "/", "", 0, f->now, 10000, known_by, &err), 0));
	close(fd);
	cr_assert(eq(int, status, 400));
	cr_assert(eq(str, (char *)buf_str(&out), (char *)"x{}"));
}

Test(https_post, takes_a_long_request)
{
	static char body[300000];

	memset(body, 'x', sizeof(body));
	server = SERVER(f, &url, .answer = ANSWER);
	int fd = connected();
	cr_assert(eq(int,
			  https_post(&out, &status, fd, &url, "/", body, sizeof(body), f->now,
				  10000, known_by, &err),
			  0),
		"%s", err.text);
	close(fd);
}

/* --- whom we talk to -------------------------------------------------------------------------- */

Test(https_post, to_another_fleets_relay_says_both_pins)
{
	char theirs[CERT_PIN_LEN + 1];

	server = SERVER(f, &url, .answer = ANSWER);
	strcpy(theirs, url.pin);
	memset(url.pin, 'a', PIN_LEN);
	expect_refused(HW_EPIN, theirs);
	cr_assert(ne(ptr, strstr(err.text, url.pin), NULL), "%s", err.text);
	cr_assert(ne(ptr, strstr(err.text, "somebody is between"), NULL), "%s", err.text);
}

Test(https_post, to_a_relay_that_shows_no_ca_is_refused)
{
	server = SERVER(f, &url, .answer = ANSWER, .without_ca = true);
	expect_refused(HW_EPIN, "sha256:");
}

Test(https_post, to_a_node_that_plays_the_relay_is_refused)
{
	X509 *cert = fleet_issue(f, ROLE_NODE, NODE, f->now - HOUR, f->now + HOUR);

	server = SERVER(f, &url, .answer = ANSWER, .cert = cert);
	expect_refused(HW_ECERT, "not a relay");
	X509_free(cert);
}

Test(https_post, to_a_user_that_plays_the_relay_is_refused)
{
	X509 *cert = fleet_issue(f, ROLE_USER, "alice", f->now - HOUR, f->now + HOUR);

	server = SERVER(f, &url, .answer = ANSWER, .cert = cert);
	expect_refused(HW_ECERT, "not a relay");
	X509_free(cert);
}

/* The pinned CA's certificate is public: to send it along proves nothing. */
Test(https_post, to_a_foreign_certificate_beside_our_ca_is_refused)
{
	struct fleet *other = fleet_new();
	X509 *cert = FORGE(other, .uri = "hawser://%s/relay/r1", .usage = "serverAuth");

	X509_set_pubkey(cert, f->key);
	X509_sign(cert, other->ca_key, EVP_sha256());
	server = SERVER(f, &url, .answer = ANSWER, .cert = cert);
	expect_refused(HW_ECERT, "does not verify");
	X509_free(cert);
	fleet_free(other);
}

Test(https_post, to_a_certificate_that_claims_our_cas_name_is_refused)
{
	X509 *cert = FORGE(f, .uri = "hawser://%s/relay/r1", .usage = "serverAuth",
		.issuer_key = f->key);

	server = SERVER(f, &url, .answer = ANSWER, .cert = cert);
	expect_refused(HW_ECERT, "does not verify");
	X509_free(cert);
}

Test(https_post, to_an_expired_or_early_relay_is_refused)
{
	X509 *cert = fleet_issue(f, ROLE_RELAY, "r", f->now - 2 * HOUR, f->now - HOUR);

	server = SERVER(f, &url, .answer = ANSWER, .cert = cert);
	expect_refused(HW_EEXPIRED, "minutes later");
	server_free(server);
	X509_free(cert);
	cert = fleet_issue(f, ROLE_RELAY, "r", f->now + HOUR, f->now + 2 * HOUR);
	server = SERVER(f, &url, .answer = ANSWER, .cert = cert);
	expect_refused(HW_ECERT, "minutes before that: one of the clocks is wrong");
	X509_free(cert);
}

Test(https_post, the_time_that_is_told_counts_not_the_clocks)
{
	X509 *early = fleet_issue(f, ROLE_RELAY, "r", f->now + HOUR, f->now + 2 * HOUR);
	X509 *late = fleet_issue(f, ROLE_RELAY, "r", f->now - 2 * HOUR, f->now - HOUR);

	server = SERVER(f, &url, .answer = ANSWER, .cert = early);
	clock_off = HOUR + MINUTE;
	cr_assert(eq(int, post(), 0), "%s", err.text);
	server_free(server);
	server = SERVER(f, &url, .answer = ANSWER, .cert = late);
	clock_off = -HOUR - MINUTE;
	buf_reset(&out);
	status = -1;
	cr_assert(eq(int, post(), 0), "%s", err.text);
	X509_free(early);
	X509_free(late);
}

Test(https_post, a_relay_that_the_clock_finds_good_is_refused_by_the_time_that_is_told)
{
	server = SERVER(f, &url, .answer = ANSWER);
	clock_off = -CERT_DAY;
	expect_refused(HW_ECERT, "minutes before that: one of the clocks is wrong");
}

Test(https_post, speaks_nothing_older_than_tls_13)
{
	server = SERVER(f, &url, .answer = ANSWER, .tls12 = true);
	expect_refused(HW_EUNAVAILABLE, "TLS 1.3");
}

Test(https_post, without_a_pin_sends_nothing)
{
	server = SERVER(f, &url, .answer = ANSWER);
	url.pin[0] = '\0';
	expect_refused(HW_EVALIDATION, "#sha256:");
}

/* --- what goes wrong ----------------------------------------------------------------------------
 */

Test(https_post, bounds_the_answer)
{
	char answer[4096] = "HTTP/1.1 200 OK\r\n\r\n";

	memset(answer + strlen(answer), 'x', 2 * CAP);
	server = SERVER(f, &url, .answer = answer);
	cr_assert(eq(int, post(), HW_ELIMIT));
}

Test(https_post, to_a_server_that_says_nothing_times_out)
{
	int64_t begun = clock_mono(&hw_clock_system);

	server = SERVER(f, &url, .mute = true);
	cr_assert(eq(int, post_within(300), HW_ETIMEOUT));
	int64_t took = clock_mono(&hw_clock_system) - begun;
	cr_assert(ge(i64, took, 250 * USEC_PER_MSEC));
	cr_assert(lt(i64, took, 5 * USEC_PER_SEC));
}

Test(https_post, to_a_server_that_dribbles_times_out)
{
	int64_t begun = clock_mono(&hw_clock_system);

	server = SERVER(f, &url, .answer = ANSWER, .dribble = true);
	cr_assert(eq(int, post_within(400), HW_ETIMEOUT), "%s", err.text);
	cr_assert(lt(i64, clock_mono(&hw_clock_system) - begun, 5 * USEC_PER_SEC));
}

Test(https_post, notices_an_answer_that_was_cut)
{
	server = SERVER(f, &url, .answer = "HTTP/1.1 200 OK\r\n\r\nhalf", .cut = true);
	cr_assert(eq(int, post(), HW_EUNAVAILABLE), "%s", err.text);
	server_free(server);
	server = SERVER(f, &url, .answer = "");
	cr_assert(eq(int, post(), HW_EUNAVAILABLE), "%s", err.text);
	cr_assert(ne(ptr, strstr(err.text, "before it answered"), NULL), "%s", err.text);
}

Test(https_post, leaves_nothing_in_openssls_queue)
{
	server = SERVER(f, &url, .answer = ANSWER, .tls12 = true);
	cr_assert(lt(int, post(), 0));
	cr_assert(eq(ulong, ERR_peek_error(), 0));
}
