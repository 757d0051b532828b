#include "proto/wire/enrol.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/trust/build_time.h"
#include "proto/trust/https.h"
#include "proto/wire/codec.h"
#include "proto/wire/tcp_dial.h"

#define DIAL_WITHIN  (10 * USEC_PER_SEC)
#define TIMEOUT_MS   20000
#define BODY_MAX     65536
#define ARENA_MAX    262144
#define OLD_FILE_MAX 65536

/* What differs between a node's enrolment and a user's. */
struct kind {
	int role;
	const char *path, *key_file, *cert_file;
	const struct msg_row *(*request)(void), *(*reply)(void);
};

static const struct kind node_kind = {
	.role = ROLE_NODE,
	.path = "/register",
	.key_file = ENROL_NODE_KEY,
	.cert_file = ENROL_NODE_CERT,
	.request = msg_row_register_managed_instance_request,
	.reply = msg_row_register_managed_instance_reply,
};

static const struct kind user_kind = {
	.role = ROLE_USER,
	.path = "/login",
	.key_file = ENROL_USER_KEY,
	.cert_file = ENROL_USER_CERT,
	.request = msg_row_login_request,
	.reply = msg_row_login_reply,
};

struct enrol {
	const struct kind *kind;
	const struct relay_url *url;
	const struct proxy *proxy;
	int dir;
	EVP_PKEY *key;
	bool key_is_new;
	char pin[PIN_LEN + 1]; /* of the relay's CA by now */
	struct arena *arena;   /* of the reply */
	struct buf csr;
};

/* The reply's fields, whichever kind it is of. */
struct grant {
	const char *id, *fleet;
	struct msg_bin certificate, ca;
};

/* --- beginning -------------------------------------------------------------------------------- */

static int
enrol_init(struct enrol *e, const struct kind *kind, const struct relay_url *url,
	const struct proxy *proxy, int dir, struct hw_err *err)
{
	int r;

	*e = (struct enrol){.kind = kind, .url = url, .proxy = proxy, .dir = dir};
	buf_init(&e->csr, CERT_DER_MAX);
	if ((e->arena = arena_new(ARENA_MAX)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to enrol");
	e->key_is_new = faccessat(dir, kind->key_file, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	r = e->key_is_new ? key_generate(&e->key, err)
			  : key_load(&e->key, dir, kind->key_file, err);
	return r < 0 ? r : csr_make(&e->csr, e->key, err);
}

static void
enrol_fini(struct enrol *e)
{
	EVP_PKEY_free(e->key);
	arena_free(e->arena);
	buf_fini(&e->csr);
}

/* --- asking ------------------------------------------------------------------------------------
 */

/* An error as SSM's JSON has it. */
struct refusal {
	const char *type, *message;
};

static const struct msg_row *
refusal_row(void)
{
	static const struct field_row fields[] = {
		{.member = "type",
			FIELD_WIRE("__type"),
			.doc = "",
			.kind = FIELD_STR,
			.offset = offsetof(struct refusal, type),
			.min = 1,
			.max = 256,
			.flags = FIELD_REQ},
		{.member = "message",
			FIELD_WIRE("message"),
			.doc = "",
			.kind = FIELD_STR,
			.offset = offsetof(struct refusal,			   message),
			.max = 4096},
	};
	static const struct msg_row row = {.name = "refusal",
		.wire = "Refusal",
		.doc = "",
		.size = sizeof(struct refusal),
		.fields = fields,
		.count = sizeof(fields) / sizeof(fields[0])};

	return &row;
}

/* The sentence goes to a terminal, and was written elsewhere. UTF-8's C1 controls are c2 80..9f. */
static void
make_printable(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
		if (*at < 0x20 || *at == 0x7f)
			*at = '?';
		else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
			at[0] = at[1] = '?';
	}
}

static int
on_refusal(struct enrol *e, int status, struct buf *answer, struct hw_err *err)
{
	const struct refusal *refusal;
	struct hw_err unread = HW_ERR_INIT;
	void *msg;

	if (msg_from_json(&msg, e->arena, refusal_row(), (const char *)buf_data(answer),
		    answer->len, &unread) < 0)
		return hw_err_set(err, status >= 500 ? HW_EUNAVAILABLE : HW_EPROTO,
			"%s port %d answered with HTTP status %d", e->url->host, e->url->port,
			status);
	refusal = msg;
	const char *code = strrchr(refusal->type, '#'); /* "com.amazonaws.ssm#Code" is the same */
	code = code != NULL ? code + 1 : refusal->type;
	const char *text = refusal->message != NULL ? refusal->message : "";
	hw_err_set(&unread, hw_code_from_name(code), "%s", text[0] != '\0' ? text : code);
	make_printable(unread.text);
	return hw_err_set(err, unread.code, "%s", unread.text);
}

/* *reply is of the kind's reply row, in the arena. */
static int
ask(void **reply, struct enrol *e, const void *req, struct hw_err *err)
{
	struct buf body, answer;
	int status, fd = -1, r;

	buf_init(&body, BODY_MAX);
	buf_init(&answer, BODY_MAX);
	if ((r = msg_to_json(&body, e->kind->request(), req, JSON_SECRETS)) < 0) {
		r = hw_err_set(err, r, "the request is too long");
		goto out;
	}
	if ((r = tcp_dial_wait(&fd, e->url->host, e->url->port, e->proxy, DIAL_WITHIN, err)) < 0 ||
		(r = https_post(&answer, &status, fd, e->url, e->kind->path,
			 (const char *)buf_data(&body), body.len,
			 build_time_or_later(&hw_clock_system), TIMEOUT_MS, e->pin, err)) < 0)
		goto out;
	if (status != 200)
		r = on_refusal(e, status, &answer, err);
	else if ((r = msg_from_json(reply, e->arena, e->kind->reply(),
			  (const char *)buf_data(&answer), answer.len, err)) < 0 &&
		err != NULL)
		hw_err_prefix(err, "the relay's answer makes no sense");
out:
	fd_close(fd);
	buf_wipe(&body); /* it holds the activation's code, or the invite */
	buf_fini(&body);
	buf_fini(&answer);
	return r;
}

/* --- believing ----------------------------------------------------------------------------------
 */

/* What makes a certificate ours: signed by this CA, for this role and id, and for our key. A clock
 * that is behind, or ahead by a day, does not hinder it: the relay issued it this moment, by its
 * own. */
static int
check_cert(struct cert_identity *who, const struct enrol *e, const struct grant *grant, X509 *cert,
	X509 *ca, struct hw_err *err)
{
	char fleet[CERT_FLEET_LEN + 1];
	int64_t now = clock_wall(&hw_clock_system);
	int r;

	if ((r = cert_fleet(fleet, ca, err)) < 0 || (r = cert_identity(who, cert, fleet, err)) < 0)
		return r;
	if (now < who->not_before || (now >= who->not_after && now - who->not_after < CERT_DAY))
		now = who->not_before;
	if ((r = cert_verify(cert, ca, now, false, err)) < 0)
		return r;
	if (strcmp(fleet, grant->fleet) != 0 || who->role != e->kind->role ||
		strcmp(who->id, grant->id) != 0)
		return hw_err_set(err, HW_ECERT,
			"the relay answered with a certificate for %s %s, not for %s %s of this "
			"fleet",
			enum_text(&enum_ROLE, who->role), who->id,
			enum_text(&enum_ROLE, e->kind->role), grant->id);
	if (EVP_PKEY_eq(X509_get0_pubkey(cert), e->key) != 1)
		return hw_err_set(err, HW_ECERT,
			"the relay answered with a certificate for another key than ours");
	return 0;
}

static int
check_grant(struct cert_identity *who, const struct enrol *e, const struct grant *grant,
	struct hw_err *err)
{
	char pin[CERT_PIN_LEN + 1];
	X509 *cert = NULL, *ca = NULL;
	int r;

	if ((r = cert_parse(&ca, grant->ca.p, grant->ca.n, err)) < 0 ||
		(r = cert_parse(&cert, grant->certificate.p, grant->certificate.n, err)) < 0)
		goto out;
	cert_pin(pin, ca);
	r = strcmp(pin, e->pin) == 0
		? check_cert(who, e, grant, cert, ca, err)
		: hw_err_set(err, HW_EPIN,
			  "the relay answered with another CA than it is known by: sha256:%s", pin);
out:
	X509_free(cert);
	X509_free(ca);
	return r;
}

/* --- keeping ------------------------------------------------------------------------------------
 */

/* A file as it was before. */
struct old_file {
	const char *name;
	bool there;
	struct buf bytes;
};

static int
old_file_read(struct old_file *old, int dir, const char *name, struct hw_err *err)
{
	old->name = name;
	old->there = faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return old->there ? file_read(&old->bytes, dir, name, err) : 0;
}

static void
old_file_restore(const struct old_file *old, int dir)
{
	if (old->there)
		file_write(dir, old->name, buf_data(&old->bytes), old->bytes.len, 0644, NULL);
	else
		unlinkat(dir, old->name, 0);
}

/* The certificate comes last: with it there, the rest is there. */
static int
write_all(struct enrol *e, const struct grant *grant, struct hw_err *err)
{
	int r;

	if (e->key_is_new && (r = key_save(e->key, e->dir, e->kind->key_file, err)) < 0)
		return r;
	if ((r = cert_save(e->dir, ENROL_CA, grant->ca.p, grant->ca.n, err)) < 0)
		return r;
	return cert_save(e->dir, e->kind->cert_file, grant->certificate.p, grant->certificate.n,
		err);
}

static int
keep(struct enrol *e, const struct grant *grant, struct hw_err *err)
{
	struct old_file ca = {0}, cert = {0};
	int r;

	buf_init(&ca.bytes, OLD_FILE_MAX);
	buf_init(&cert.bytes, OLD_FILE_MAX);
	if ((r = old_file_read(&ca, e->dir, ENROL_CA, err)) < 0 ||
		(r = old_file_read(&cert, e->dir, e->kind->cert_file, err)) < 0)
		goto out;
	if ((r = write_all(e, grant, err)) < 0) {
		old_file_restore(&cert, e->dir);
		old_file_restore(&ca, e->dir);
		if (e->key_is_new)
			unlinkat(e->dir, e->kind->key_file, 0);
	}
out:
	buf_fini(&ca.bytes);
	buf_fini(&cert.bytes);
	return r;
}

/* --- the two kinds ------------------------------------------------------------------------------
 */

static int
accept_grant(struct enrol_result *ret, struct enrol *e, const struct grant *grant, const char *name,
	struct hw_err *err)
{
	struct enrol_result made = {0};
	int r;

	if ((r = check_grant(&made.who, e, grant, err)) < 0 || (r = keep(e, grant, err)) < 0)
		return r;
	snprintf(made.name, sizeof(made.name), "%s", name);
	memcpy(made.pin, e->pin, sizeof(made.pin));
	*ret = made;
	return 0;
}

int
enrol_node(struct enrol_result *ret, const struct relay_url *url, const struct proxy *proxy,
	int dir, const struct msg_register_managed_instance_request *req, struct hw_err *err)
{
	struct msg_register_managed_instance_request full = *req;
	struct enrol e;
	void *msg;
	int r;

	if ((r = enrol_init(&e, &node_kind, url, proxy, dir, err)) < 0)
		goto out;
	full.csr = (struct msg_bin){buf_data(&e.csr), e.csr.len};
	if ((r = ask(&msg, &e, &full, err)) < 0)
		goto out;
	const struct msg_register_managed_instance_reply *reply = msg;
	const struct grant grant = {.id = reply->instance_id,
		.fleet = reply->fleet,
		.certificate = reply->certificate,
		.ca = reply->ca};
	r = accept_grant(ret, &e, &grant, reply->name, err);
out:
	enrol_fini(&e);
	return r;
}

int
enrol_user(struct enrol_result *ret, const struct relay_url *url, const struct proxy *proxy,
	int dir, const char *invite, struct hw_err *err)
{
	struct msg_login_request req = {.invite = invite};
	struct enrol e;
	void *msg;
	int r;

	if ((r = enrol_init(&e, &user_kind, url, proxy, dir, err)) < 0)
		goto out;
	req.csr = (struct msg_bin){buf_data(&e.csr), e.csr.len};
	if ((r = ask(&msg, &e, &req, err)) < 0)
		goto out;
	const struct msg_login_reply *reply = msg;
	const struct grant grant = {.id = reply->user_name,
		.fleet = reply->fleet,
		.certificate = reply->certificate,
		.ca = reply->ca};
	r = accept_grant(ret, &e, &grant, reply->user_name, err);
out:
	enrol_fini(&e);
	return r;
}
