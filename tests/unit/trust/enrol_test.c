#include "proto/wire/enrol.h"

#include <openssl/evp.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "tests/unit/trust/server.h"

/* A relay that can be made to lie in one way. */
enum lie {
	HONEST,
	OTHER_ID,
	OTHER_ROLE,
	OTHER_KEY,
	OTHER_CA,
	OTHER_FLEET,
	EXPIRED,
	UNSIGNED,
	JUNK_CERT,
	NO_CERT,
};

static struct fleet *f, *stranger;
static struct server *server;
static struct relay_url url;
static struct hw_err err;
static struct enrol_result result;
static enum lie lie;
static char path[64];
static int dir = -1;

static void
setup(void)
{
	f = fleet_new();
	stranger = fleet_new();
	lie = HONEST;
	err = (struct hw_err)HW_ERR_INIT;
	snprintf(path, sizeof(path), "/tmp/hawser-enrol-XXXXXX");
	cr_assert(ne(ptr, mkdtemp(path), NULL));
	cr_assert(eq(int, dir_open(&dir, path, false, &err), 0));
}

static void
teardown(void)
{
	static const char *const names[] = {
		ENROL_CA, ENROL_NODE_KEY, ENROL_NODE_CERT, ENROL_USER_KEY, ENROL_USER_CERT};

	if (server != NULL)
		server_free(server);
	fleet_free(f);
	fleet_free(stranger);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unlinkat(dir, names[i], 0);
		unlinkat(dir, names[i], AT_REMOVEDIR);
	}
	close(dir);
	rmdir(path);
}

TestSuite(enrol, .init = setup, .fini = teardown, .timeout = 30);

/* --- the relay -------------------------------------------------------------------------------- */

static void
grant(struct buf *cert, struct buf *ca, const struct msg_bin *csr, int role, const char *id)
{
	const struct fleet *by = lie == UNSIGNED ? stranger : f;
	int64_t from = lie == EXPIRED ? f->now - 2 * CERT_DAY : f->now - HOUR;
	int64_t to = lie == EXPIRED ? f->now - CERT_DAY - MINUTE : f->now + HOUR;
	char serial[CERT_SERIAL_LEN + 1];
	struct msg_bin request = *csr;
	struct buf forged;

	buf_init(&forged, CERT_DER_MAX);
	if (lie == OTHER_KEY) {
		csr_make(&forged, f->key, NULL);
		request = (struct msg_bin){buf_data(&forged), forged.len};
	}
	cr_assert(eq(int,
		ca_issue(cert, serial, by->ca, request.p, request.n,
			lie == OTHER_ROLE ? ROLE_RELAY : role, id, from, to, NULL),
		0));
	if (lie == JUNK_CERT)
		cert->len -= 10;
	ca_cert_der(ca, lie == OTHER_CA ? stranger->ca : f->ca);
	buf_fini(&forged);
}

static int
reply_node(void *arg, const char *where, const char *body, size_t n, struct buf *out)
{
	struct arena *arena = arena_new(1 << 20);
	struct buf cert, ca;
	void *msg;

	(void)arg;
	buf_init(&cert, CERT_DER_MAX);
	buf_init(&ca, CERT_DER_MAX);
	cr_assert(eq(str, (char *)where, (char *)"/register"));
	cr_assert(eq(int,
		msg_from_json(&msg, arena, MSG_ROW(register_managed_instance_request), body, n,
			NULL),
		0));
	const struct msg_register_managed_instance_request *req = msg;
	cr_assert(eq(str, (char *)req->activation_code, (char *)"code-code-code-code-code"));
	grant(&cert, &ca, &req->csr, ROLE_NODE, NODE);
	const struct msg_register_managed_instance_reply reply = {
		.instance_id = lie == OTHER_ID ? "mi-ffffffffffffffff0" : NODE,
		.name = "web-01",
		.certificate = {buf_data(&cert), lie == NO_CERT ? 0 : cert.len},
		.ca = {buf_data(&ca),   ca.len			    },
		.fleet = lie == OTHER_FLEET ? ca_fleet(stranger->ca) : ca_fleet(f->ca),
	};
	msg_to_json(out, MSG_ROW(register_managed_instance_reply), &reply, JSON_SECRETS);
	buf_fini(&cert);
	buf_fini(&ca);
	arena_free(arena);
	return 200;
}

static int
reply_user(void *arg, const char *where, const char *body, size_t n, struct buf *out)
{
	struct arena *arena = arena_new(1 << 20);
	struct buf cert, ca;
	void *msg;

	(void)arg;
	buf_init(&cert, CERT_DER_MAX);
	buf_init(&ca, CERT_DER_MAX);
	cr_assert(eq(str, (char *)where, (char *)"/login"));
	cr_assert(eq(int, msg_from_json(&msg, arena, MSG_ROW(login_request), body, n, NULL), 0));
	const struct msg_login_request *req = msg;
	grant(&cert, &ca, &req->csr, ROLE_USER, "alice@example");
	const struct msg_login_reply reply = {
		.user_name = "alice@example",
		.certificate = {buf_data(&cert), cert.len},
		.ca = {buf_data(&ca),   ca.len  },
		.fleet = ca_fleet(f->ca),
		.expires = f->now + HOUR,
	};
	msg_to_json(out, MSG_ROW(login_reply), &reply, JSON_SECRETS);
	buf_fini(&cert);
	buf_fini(&ca);
	arena_free(arena);
	return 200;
}

static int
join(void)
{
	const struct msg_register_managed_instance_request req = {
		.activation_id = "8f2c1d7e-0000-4000-8000-000000000000",
		.activation_code = "code-code-code-code-code",
		.name = "web-01",
	};
	int r = enrol_node(&result, &url, NULL, dir, &req, &err);

	cr_expect(eq(int, r, err.code));
	return r;
}

static int
login(void)
{
	return enrol_user(&result, &url, NULL, dir, "invite-invite-invite-invite", &err);
}

static void
slurp(struct buf *out, const char *name)
{
	buf_init(out, 1 << 16);
	cr_assert(eq(int, file_read(out, dir, name, NULL), 0));
}

/* --- what works ------------------------------------------------------------------------------- */

Test(enrol, of_a_node_leaves_its_key_certificate_and_ca)
{
	struct cert_identity id;
	struct stat st;
	EVP_PKEY *key;
	X509 *cert;

	server = SERVER(f, &url, .reply = reply_node);
	cr_assert(eq(int, join(), 0), "%s", err.text);
	cr_assert(eq(str, result.who.id, (char *)NODE));
	cr_assert(eq(str, result.name, (char *)"web-01"));
	cr_assert(eq(str, (char *)directory_names(path), (char *)"ca.crt node.crt node.key"));
	cr_assert(eq(int, key_load(&key, dir, ENROL_NODE_KEY, NULL), 0));
	cr_assert(eq(int, cert_load(&cert, dir, ENROL_NODE_CERT, NULL), 0));
	cr_assert(eq(int, X509_check_private_key(cert, key), 1));
	cr_assert(eq(int, cert_identity(&id, cert, result.who.fleet, NULL), 0));
	fstatat(dir, ENROL_NODE_KEY, &st, 0);
	cr_assert(eq(uint, st.st_mode & 07777, 0600));
	X509_free(cert);
	EVP_PKEY_free(key);
}

Test(enrol, of_a_user_leaves_the_same)
{
	server = SERVER(f, &url, .reply = reply_user);
	cr_assert(eq(int, login(), 0), "%s", err.text);
	cr_assert(eq(str, result.who.id, (char *)"alice@example"));
	cr_assert(eq(int, result.who.role, ROLE_USER));
	cr_assert(eq(str, (char *)directory_names(path), (char *)"ca.crt user.crt user.key"));
}

Test(enrol, anew_keeps_the_key)
{
	struct buf first, second;

	server = SERVER(f, &url, .reply = reply_user);
	cr_assert(eq(int, login(), 0), "%s", err.text);
	slurp(&first, ENROL_USER_KEY);
	server_stop(server);
	server_free(server);
	server = SERVER(f, &url, .reply = reply_user);
	cr_assert(eq(int, login(), 0), "%s", err.text);
	slurp(&second, ENROL_USER_KEY);
	cr_assert(eq(str, (char *)buf_str(&first), (char *)buf_str(&second)));
	buf_fini(&first);
	buf_fini(&second);
}

/* --- what does not ---------------------------------------------------------------------------- */

static void
expect_nothing_kept(int code, const char *why)
{
	cr_expect(eq(int, join(), code), "%s", err.text);
	cr_expect(ne(ptr, strstr(err.text, why), NULL), "'%s' lacks '%s'", err.text, why);
	cr_expect(eq(str, (char *)directory_names(path), (char *)""));
}

Test(enrol, believes_no_certificate_that_does_not_fit)
{
	static const struct {
		enum lie lie;
		int code;
		const char *why;
	} lies[] = {
		{OTHER_ID,	   HW_ECERT,	     "not for node mi-ffffffffffffffff0"},
		{OTHER_KEY,   HW_ECERT,	      "another key"			   },
		{OTHER_CA,	   HW_EPIN,	    "another CA"			},
		{OTHER_FLEET, HW_ECERT,	"not for node"		      },
		{EXPIRED,	  HW_EEXPIRED,    "expired"				},
		{UNSIGNED,	   HW_ECERT,	     "another fleet"		    },
		{JUNK_CERT,   HW_ECERT,	      "no X.509"				},
		{NO_CERT,	  HW_EVALIDATION, "makes no sense"			  },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		lie = lies[i].lie;
		server = SERVER(f, &url, .reply = reply_node);
		expect_nothing_kept(lies[i].code, lies[i].why);
		server_free(server);
	}
	server = NULL;
}

static int
reply_relay_cert(void *arg, const char *where, const char *body, size_t n, struct buf *out)
{
	struct arena *arena = arena_new(1 << 20);
	struct buf cert, ca;
	void *msg;

	(void)arg, (void)where;
	buf_init(&cert, CERT_DER_MAX);
	buf_init(&ca, CERT_DER_MAX);
	msg_from_json(&msg, arena, MSG_ROW(register_managed_instance_request), body, n, NULL);
	const struct msg_register_managed_instance_request *req = msg;
	lie = OTHER_ROLE;
	grant(&cert, &ca, &req->csr, ROLE_NODE, "relay-1");
	const struct msg_register_managed_instance_reply reply = {
		.instance_id = "relay-1",
		.name = "web-01",
		.certificate = {buf_data(&cert), cert.len},
		.ca = {buf_data(&ca),   ca.len  },
		.fleet = ca_fleet(f->ca),
	};
	msg_to_json(out, MSG_ROW(register_managed_instance_reply), &reply, JSON_SECRETS);
	buf_fini(&cert);
	buf_fini(&ca);
	arena_free(arena);
	return 200;
}

Test(enrol, takes_no_certificate_of_another_role)
{
	server = SERVER(f, &url, .reply = reply_relay_cert);
	expect_nothing_kept(HW_ECERT, "for relay relay-1");
}

Test(enrol, gives_the_relays_refusal_as_it_is)
{
	server = SERVER(f, &url,
		.answer =
			"HTTP/1.1 400 Bad Request\r\n\r\n"
			"{\"__type\":\"InvalidActivation\",\"message\":\"it is used up\\u001b[2J\"}");
	expect_nothing_kept(HW_EACTIVATION, "it is used up?[2J");
	server_free(server);
	server = SERVER(f, &url,
		.answer = "HTTP/1.1 400 Bad Request\r\n\r\n{\"__type\":\"com.x#InvalidInvite\"}");
	expect_nothing_kept(HW_EINVITE, "InvalidInvite");
}

Test(enrol, says_when_the_answer_makes_no_sense)
{
	server = SERVER(f, &url, .answer = "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>");
	expect_nothing_kept(HW_EUNAVAILABLE, "HTTP status 502");
	server_free(server);
	server = SERVER(f, &url, .answer = "HTTP/1.1 404 Not Found\r\n\r\n");
	expect_nothing_kept(HW_EPROTO, "HTTP status 404");
	server_free(server);
	server = SERVER(f, &url, .answer = "HTTP/1.1 200 OK\r\n\r\n{");
	expect_nothing_kept(HW_ESERIAL, "makes no sense");
}

Test(enrol, with_the_wrong_pin_sends_no_secret_and_keeps_nothing)
{
	server = SERVER(f, &url, .reply = reply_node);
	memset(url.pin, '0', PIN_LEN);
	expect_nothing_kept(HW_EPIN, "URL");
	cr_assert(eq(str, (char *)server_stop(server), (char *)""));
}

/* The limit lets the CA's certificate pass and stops the node's, which is longer and comes last. */
Test(enrol, that_cannot_be_written_leaves_what_was_there)
{
	struct stat st;
	struct buf after;

	cr_assert(eq(int, file_write(dir, ENROL_CA, "an older CA\n", 12, 0644, NULL), 0));
	server = SERVER(f, &url, .reply = reply_node);
	cr_assert(eq(int, fstatat(f->dir, "ca.crt", &st, 0), 0));
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){(rlim_t)st.st_size, RLIM_INFINITY});
	cr_assert(lt(int, join(), 0));
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	cr_assert(ne(ptr, strstr(err.text, ENROL_NODE_CERT), NULL), "%s", err.text);
	cr_assert(eq(str, (char *)directory_names(path), (char *)"ca.crt"));
	slurp(&after, ENROL_CA);
	cr_assert(eq(str, (char *)buf_str(&after), (char *)"an older CA\n"));
	buf_fini(&after);
}

Test(enrol, does_not_use_a_key_that_others_may_read)
{
	server = SERVER(f, &url, .reply = reply_node);
	cr_assert(eq(int, key_save(f->key, dir, ENROL_NODE_KEY, NULL), 0));
	cr_assert(eq(int, fchmodat(dir, ENROL_NODE_KEY, 0644, 0), 0));
	cr_assert(eq(int, join(), HW_EDENIED), "%s", err.text);
	cr_assert(eq(str, (char *)server_stop(server), (char *)""));
}
