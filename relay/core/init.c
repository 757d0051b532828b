/*
 * Makes a fleet. What says that it is there, relay.conf, is written last: an init that was cut off
 * can be run again in an emptied directory, and never leaves half a relay that starts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger_epochs.h"
#include "audit/ledger_keys.h"
#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/trust/https.h"
#include "proto/trust/secret.h"
#include "relay/core/relay_private.h"
#include "relay/policy/managed.h"
#include "relay/store/policies.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

#define INVITE_LIFE	  (7 * INT64_C(86400000000))
#define ADMIN_USER	  "admin"

struct init {
	const struct relay_init_options *options;
	struct relay_config config;
	int dir;
	struct ca *ca;
	int64_t now;
	char *invite; /* of the caller */
};

/* ADDR:PORT, [V6]:PORT. */
static int
split_address(char *host, size_t room, int *port, const char *text, struct hw_err *err)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : 0;
	char *end = NULL;
	long p = colon != NULL ? strtol(colon + 1, &end, 10) : 0;

	if (colon == NULL || end == colon + 1 || *end != '\0' || p < 1 || p > 65535)
		return hw_err_set(err, HW_EVALIDATION, "\"%s\" is not ADDRESS:PORT", text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= room)
		return hw_err_set(err, HW_EVALIDATION, "\"%s\": the address is too long", text);
	memcpy(host, text, n);
	host[n] = '\0';
	*port = (int)p;
	return 0;
}

static bool
is_any(const char *host)
{
	return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

size_t
relay_hosts(const char *hosts[RELAY_HOSTS_MAX], char room[256], const struct relay_config *c)
{
	size_t n = 0;
	int port;

	if (split_address(room, 256, &port, c->advertise, NULL) == 0 && !is_any(room))
		hosts[n++] = room;
	if (!is_any(c->listen_host) && (n == 0 || strcmp(room, c->listen_host) != 0))
		hosts[n++] = c->listen_host;
	return n;
}

/* What peers dial when nobody said: the listening address, or this machine's name when that is
 * every address. */
static void
default_advertise(struct relay_config *c)
{
	char name[256] = "localhost";

	bool any = is_any(c->listen_host);
	if (any)
		gethostname(name, sizeof(name) - 1);
	const char *host = any ? name : c->listen_host;
	snprintf(c->advertise, sizeof(c->advertise),
		strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host, c->listen_port);
}

static int
settle_config(struct init *in, struct hw_err *err)
{
	const struct relay_init_options *o = in->options;
	struct relay_config *c = &in->config;
	char host[256];
	int port, r;

	relay_config_default(c);
	if (o->name != NULL) {
		if (!id_is_user(o->name))
			return hw_err_set(err, HW_EVALIDATION,
				"\"%s\" cannot be a relay's name: letters, digits and _.@+=- only, 64 at most",
				o->name);
		snprintf(c->name, sizeof(c->name), "%s", o->name);
	}
	if (o->listen != NULL &&
		(r = split_address(c->listen_host, sizeof(c->listen_host), &c->listen_port,
			 o->listen, err)) < 0)
		return hw_err_prefix(err, "--listen");
	default_advertise(c);
	if (o->advertise != NULL) {
		if ((r = split_address(host, sizeof(host), &port, o->advertise, err)) < 0)
			return hw_err_prefix(err, "--advertise");
		if (host[0] == '\0')
			return hw_err_set(err, HW_EVALIDATION,
				"--advertise: \"%s\" names no host to dial", o->advertise);
		snprintf(c->advertise, sizeof(c->advertise),
			strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host, port);
	}
	if (o->master_key != NULL && strlen(o->master_key) >= sizeof(c->master_key))
		return hw_err_set(err, HW_EVALIDATION, "--master-key: the path is too long");
	if (o->master_key != NULL)
		snprintf(c->master_key, sizeof(c->master_key), "%s", o->master_key);
	return 0;
}

static int
check_empty(struct init *in, struct hw_err *err)
{
	static const char *const ours[] = {"relay.conf", "ca.key", "relay.db", "journal"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (faccessat(in->dir, ours[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return hw_err_set(err, HW_EEXISTS,
				"%s holds a relay already (%s is there): "
				"choose another directory, or remove this one",
				in->options->dir, ours[i]);
	return 0;
}

/* The relay may be started from another directory. */
static int
keep_master_path(struct init *in, const char *path, struct hw_err *err)
{
	char *whole = realpath(path, NULL);
	int r = 0;

	if (whole == NULL)
		return hw_err_sys(err, "cannot resolve %s", path);
	if (strlen(whole) >= sizeof(in->config.master_key))
		r = hw_err_set(err, HW_EVALIDATION, "--master-key: the path is too long");
	else
		snprintf(in->config.master_key, sizeof(in->config.master_key), "%s", whole);
	free(whole);
	return r;
}

/* A key file that is there already is used: it may come from a vault. */
static int
make_master_key(struct init *in, struct hw_err *err)
{
	struct secret_key key;
	char path[2048];
	int r;

	if (in->config.master_key[0] == '/')
		snprintf(path, sizeof(path), "%s", in->config.master_key);
	else if (in->options->master_key != NULL)
		snprintf(path, sizeof(path), "%s", in->options->master_key);
	else
		snprintf(path, sizeof(path), "%s/%s", in->options->dir, in->config.master_key);
	if (access(path, F_OK) == 0)
		r = secret_key_load(&key, path, err);
	else
		r = secret_key_create(&key, path, err);
	secret_key_wipe(&key);
	if (r < 0 || in->options->master_key == NULL)
		return r;
	return keep_master_path(in, path, err);
}

/* Who may sign the ledger, and who may recover it. */
static int
begin_ledger(struct init *in, EVP_PKEY *key, struct hw_err *err)
{
	char path[2048], origin[LOG_ORIGIN_MAX];
	uint8_t recovery[LOG_KEY_LEN];
	int r;

	snprintf(path, sizeof(path), "%s/" LEDGER_RECOVERY_FILE, in->options->dir);
	if (in->options->recovery_key != NULL)
		snprintf(path, sizeof(path), "%s", in->options->recovery_key);
	if ((r = ledger_recovery_create(recovery, path, err)) < 0)
		return r;
	log_origin(origin, ca_fleet(in->ca), in->config.name);
	snprintf(path, sizeof(path), "%s/ledger", in->options->dir);
	return ledger_epochs_begin(path, origin, key, recovery, in->ca, in->now, err);
}

static int
make_keys(struct init *in, struct hw_err *err)
{
	const char *hosts[RELAY_HOSTS_MAX];
	char room[256];
	size_t n = relay_hosts(hosts, room, &in->config);
	EVP_PKEY *ledger = NULL;
	int r;

	if ((r = make_master_key(in, err)) < 0 ||
		(r = ca_create(&in->ca, in->dir, in->now, err)) < 0)
		return r;
	if ((r = ca_issue_relay(in->ca, in->dir, in->config.name, hosts, n, in->now, err)) < 0)
		return r;
	if ((r = key_generate_signing(&ledger, err)) == 0 &&
		(r = key_save(ledger, in->dir, LEDGER_KEY_FILE, err)) == 0)
		r = begin_ledger(in, ledger, err);
	key_free(ledger);
	return r;
}

static int
write_admin(void *arg, struct db *db, struct hw_err *err)
{
	struct init *in = arg;
	struct user_row admin = {.name = ADMIN_USER, .type = USER_TYPE_USER, .created = in->now};
	char hash[2 * SHA256_LEN + 1];
	int r;

	if ((r = user_insert(db, &admin, err)) < 0 ||
		(r = attachment_add(db, POLICY_ADMINISTRATOR, HOLDER_USER, ADMIN_USER, err)) < 0)
		return r;
	token_make(in->invite);
	token_hash(hash, in->invite);
	return invite_put(db, ADMIN_USER, hash, in->now + INVITE_LIFE, err);
}

static int
make_store(struct init *in, struct hw_err *err)
{
	struct log_ctx silent;
	struct store *store = NULL;
	char path[2048];
	int r;

	log_ctx_init(&silent, NULL);
	snprintf(path, sizeof(path), "%s/relay.db", in->options->dir);
	struct store_config sc = {
		.path = path, .log = &silent, .clock = &hw_clock_system, .readers = 1};
	if ((r = store_open(&store, &sc, err)) < 0)
		return r;
	r = store_write(store, write_admin, in, err);
	store_close(store);
	return r;
}

int
relay_url_write(char url[512], const struct relay_config *c, const struct ca *ca,
	struct hw_err *err)
{
	struct relay_url u = {.port = 0};
	int r = split_address(u.host, sizeof(u.host), &u.port, c->advertise, err);

	if (r < 0)
		return r;
	ca_pin(u.pin, ca);
	return relay_url_format(url, 512, &u);
}

int
relay_init(const struct relay_init_options *options, char invite[RELAY_INVITE_LEN + 1],
	char url[512], struct hw_err *err)
{
	struct init in = {
		.options = options,
		.dir = -1,
		.now = clock_wall(&hw_clock_system),
		.invite = invite,
	};
	int r;

	if ((r = settle_config(&in, err)) < 0 ||
		(r = dir_open(&in.dir, options->dir, true, err)) < 0 ||
		(r = check_empty(&in, err)) < 0)
		goto out;
	if ((r = make_keys(&in, err)) < 0 || (r = make_store(&in, err)) < 0)
		goto out;
	if ((r = relay_url_write(url, &in.config, in.ca, err)) < 0)
		goto out;
	r = relay_config_save(&in.config, in.dir, err);
out:
	ca_free(in.ca);
	fd_close(in.dir);
	return r;
}
