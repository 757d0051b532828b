#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/trust/cert.h"
#include "relay/cli/anchor.h"
#include "relay/cli/cli.h"
#include "relay/cli/confine.h"
#include "relay/core/config.h"
#include "relay/core/own_key.h"
#include "relay/core/relay.h"
#include "relay/core/snapshot.h"
#include "relay/core/tend.h"
#include "relay/edge/local.h"
#include "relay/edge/server.h"
#include "relay/services/sessions/cursors.h"
#include "relay/services/table.h"

#define LAST_WORDS   (3 * USEC_PER_SEC) /* what the connections' ends may take */
#define RENEW_BEFORE (60 * CERT_DAY)
#define RENEW_EVERY  (6 * 3600 * USEC_PER_SEC)
#define LOOK_EVERY   (20 * USEC_PER_MSEC)

struct run {
	struct recording_cursors *cursors;
	struct log_sink sink;
	struct log_ctx log;
	struct loop *loop;
	struct relay *relay;
	struct server *server;
	struct local *local; /* NULL: it could not be had */
	struct loop_signal *signals[3];
	struct loop_timer look, renew;
	const char *dir;
	int64_t give_up;
	int notify;
	int anchor; /* the process that runs anchor_command; 0: none */
};

/* --- signals ------------------------------------------------------------------------------- */

static void
on_stop(void *arg)
{
	struct run *run = arg;

	loop_stop(run->loop);
}

static void
on_hangup(void *arg)
{
	struct run *run = arg;

	struct hw_err err = HW_ERR_INIT;
	struct reload done;

	if (run->relay == NULL)
		return;
	relay_reopen(run->relay);
	(void)tend_reload(run->relay, &done, &err); /* its log says how it went */
}

static int
watch_signals(struct run *run, struct hw_err *err)
{
	int r;

	if ((r = loop_signal_new(&run->signals[0], run->loop, SIGTERM, on_stop, run)) < 0 ||
		(r = loop_signal_new(&run->signals[1], run->loop, SIGINT, on_stop, run)) < 0 ||
		(r = loop_signal_new(&run->signals[2], run->loop, SIGHUP, on_hangup, run)) < 0)
		return hw_err_set(err, r, "cannot watch signals");
	return 0;
}

/* --- life ---------------------------------------------------------------------------------- */

/* The relay does not run as root: what parses strangers' bytes has no business with the machine. */
static int
leave_root(const struct cli_options *o, struct hw_err *err)
{
	bool root;
	int r = process_become_owner(o->dir, &root, err);

	if (r < 0 || !root)
		return r;
	if (!o->allow_root)
		return hw_err_set(err, HW_EDENIED,
			"the relay does not run as root, and %s is root's: make it another user's "
			"(chown -R hawser-relay %s), or say --allow-root",
			o->dir, o->dir);
	fprintf(stderr, "hawser-relay: runs as root, because --allow-root says so\n");
	return 0;
}

static bool
is_for_all(X509 *cert, const char *const *hosts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!cert_is_for_host(cert, hosts[i]))
			return false;
	return true;
}

/* They part when one was copied before a key was taken and the other after it, as by a backup. What
 * is wrong with a key that cannot be read is told by who loads it. */
static bool
is_for_key(X509 *cert, int dir)
{
	EVP_PKEY *key = NULL;
	bool is = key_load(&key, dir, "relay.key", NULL) < 0 ||
		X509_check_private_key(cert, key) == 1;

	ERR_clear_error();
	key_free(key);
	return is;
}

/* The relay's own certificate is renewed by the relay, which has the authority's key: nobody is to
 * remember it once a year, or when the relay is advertised by another name. A name that no
 * certificate can have is not worth standing still for: ours are dialled by their pin. */
static int
renew_certificate(struct run *run, int dir, struct hw_err *err)
{
	const struct relay_config *config = relay_config(run->relay);
	const struct ca *ca = relay_ca(run->relay);
	int64_t now = clock_wall(relay_clock(run->relay));
	const char *hosts[RELAY_HOSTS_MAX];
	struct cert_identity self;
	X509 *cert = NULL;
	char room[256];
	int r;

	if ((r = cert_load(&cert, dir, "relay.crt", err)) < 0)
		return r;
	size_t n = relay_hosts(hosts, room, config);
	bool named = is_for_all(cert, hosts, n);
	bool ours = is_for_key(cert, dir) && ca_shows(ca, cert, dir);
	r = cert_identity(&self, cert, ca_fleet(ca), err);
	X509_free(cert);
	bool good = ours && self.not_after - now > RENEW_BEFORE;
	if (r < 0 || (named && good))
		return r;
	r = ca_issue_relay(ca, dir, config->name, hosts, n, now, err);
	if (r == 0)
		log_info(run, "relay.renewed", "%s", "certificate=relay.crt");
	if (r != HW_EVALIDATION)
		return r;
	log_warn(run, "relay.unnamed", "why=%s", log_value(hw_err_text(err)));
	return good ? 0 : ca_issue_relay(ca, dir, config->name, NULL, 0, now, err);
}

/* A key that lies ready comes first: the certificate that there is may not be for the one that is
 * there, when this was cut off. */
static int
take_key(struct run *run, int dir, struct hw_err *err)
{
	const struct relay_config *config = relay_config(run->relay);
	const struct ca *ca = relay_ca(run->relay);
	int64_t now = clock_wall(relay_clock(run->relay));
	const char *hosts[RELAY_HOSTS_MAX];
	char room[256];
	bool taken;

	size_t n = relay_hosts(hosts, room, config);
	int r = own_key_take(&taken, dir, ca, config->name, hosts, n, now, err);
	if (r == HW_EVALIDATION)
		r = own_key_take(&taken, dir, ca, config->name, NULL, 0, now, err);
	if (r == 0 && taken)
		tend_tell_key(run->relay);
	return r < 0 ? hw_err_prefix(err, "the key in %s", OWN_KEY_NEXT) : 0;
}

static int
look_after_certificate(struct run *run, const char *path, struct hw_err *err)
{
	int dir, r = dir_open(&dir, path, false, err);

	if (r < 0)
		return r;
	if ((r = take_key(run, dir, err)) == 0)
		r = renew_certificate(run, dir, err);
	fd_close(dir);
	return r;
}

/* What somebody has put there is taken as it is, without a renewal. */
static int
take_certificate(void *arg, bool *changed, int64_t *expires, struct hw_err *err)
{
	struct run *run = arg;
	int dir, r = dir_open(&dir, run->dir, false, err);

	if (r < 0)
		return r;
	r = take_key(run, dir, err);
	fd_close(dir);
	return r < 0 ? r : server_reload(run->server, changed, expires, err);
}

/* What a backup that was cut off has left: it would keep deleted recordings on the disk. */
static void
drop_snapshot(const char *path)
{
	int dir = -1, lock = -1;

	if (dir_open(&dir, path, false, NULL) == 0 &&
		faccessat(dir, SNAPSHOT_DIR, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
		file_lock(&lock, dir, "backup.lock", NULL) == 0)
		snapshot_drop(path);
	fd_close(lock);
	fd_close(dir);
}

/* A relay that is never started again would outlive its certificate. */
static void
on_renew(void *arg)
{
	struct run *run = arg;
	struct hw_err err = HW_ERR_INIT;
	int64_t expires;
	bool changed;

	if (look_after_certificate(run, run->dir, &err) < 0 ||
		server_reload(run->server, &changed, &expires, &err) < 0)
		log_error(run, "relay.unrenewed", "why=%s", log_value(hw_err_text(&err)));
	drop_snapshot(run->dir);
	loop_timer_start(run->loop, &run->renew, RENEW_EVERY);
}

/* Who has no socket left on the disk still has a relay to run. */
static void
open_local_door(struct run *run, const char *dir)
{
	struct hw_err err = HW_ERR_INIT;

	if (local_open(&run->local, run->relay, run->loop, &run->log, dir, &err) < 0)
		log_error(run, "local.closed", "why=%s", log_value(hw_err_text(&err)));
}

static int
read_settings(struct relay_config *ret, const char *path, struct hw_err *err)
{
	int dir, r = dir_open(&dir, path, false, err);

	if (r < 0)
		return r;
	if ((r = relay_config_load(ret, dir, err)) == HW_ENOTFOUND)
		hw_err_set(err, r, "%s holds no relay: make one with hawser-relay init --dir %s",
			path, path);
	fd_close(dir);
	return r;
}

/* What is in the relay's own directory needs no word of its own. */
static const char *
outside(const char *path)
{
	return path[0] == '/' ? path : NULL;
}

/* The folder of a file that is appended to, unless it is the relay's own; `dir` holds its text. */
static int
allow_file(const char **ret, char dir[1024], const char *setting, const char *path,
	struct hw_err *err)
{
	if (path[0] != '/')
		return 0;
	snprintf(dir, 1024, "%s", path);
	char *slash = strrchr(dir, '/');
	*(slash > dir ? slash : slash + 1) = '\0';
	if (access(dir, W_OK | X_OK) < 0)
		return hw_err_sys(err, "%s: cannot write in %s", setting, dir);
	*ret = dir;
	return 0;
}

/* What streams of entries need beyond the relay's directory. */
static void
allow_streams(struct confine *c, const struct relay_config *config)
{
	c->dials |= config->stream_syslog[0] != '\0';
	c->stream_files[0] = outside(config->stream_syslog_ca);
	c->stream_files[1] = outside(config->stream_syslog_cert);
	c->stream_files[2] = outside(config->stream_syslog_key);
}

/* Before any thread is started. What is connected once, or loaded, comes first: OpenSSL's settings
 * may name libraries. */
static int
enter_sandbox(struct run *run, const struct cli_options *o, struct hw_err *err)
{
	char host[256], said[SANDBOX_SAID_MAX], stream[1024], anchor[1024];
	struct relay_config config;
	int r = read_settings(&config, o->dir, err);

	if (r < 0)
		return r;
	const char *key = o->master_key != NULL ? o->master_key : config.master_key;
	struct confine c = {
		.dir = o->dir,
		.master_key = outside(key),
		.listen_port = config.listen_port,
		.metrics_port = config.metrics_port,
		.dials = config.s3_endpoint[0] != '\0',
		.s3_secret = outside(config.s3_secret_file),
		.s3_ca = outside(config.s3_ca_file),
	};
	if (o->listen != NULL &&
		(r = cli_address(host, sizeof(host), &c.listen_port, o->listen, err)) < 0)
		return r;
	allow_streams(&c, &config);
	if ((r = allow_file(&c.stream_dir, stream, "stream_file", config.stream_file, err)) < 0 ||
		(r = allow_file(&c.anchor_dir, anchor, "anchor_file", config.anchor_file, err)) < 0)
		return r;
	if (config.anchor_command[0] != '\0' &&
		(r = anchor_start(&run->anchor, config.anchor_command,
			 config.anchor_command_seconds, err)) < 0)
		return r;
	run->notify = process_notify_open();
	OPENSSL_init_ssl(0, NULL);
	if ((r = confine_relay(said, &c, err)) == 0)
		log_info(run, "relay.sandbox", "%s", said);
	return r;
}

static int
start(struct run *run, const struct cli_options *o, struct hw_err *err)
{
	struct server_options so = {.log = &run->log, .dir = o->dir};
	char host[256];
	int r;

	if (o->listen != NULL) {
		if ((r = cli_address(host, sizeof(host), &so.listen_port, o->listen, err)) < 0)
			return r;
		so.listen_host = host;
	}
	if ((r = loop_new(&run->loop, err)) < 0)
		return r;
	run->cursors = recording_cursors_new(loop_clock(run->loop));
	const struct relay_options ro = {
		.dir = o->dir,
		.loop = run->loop,
		.log = &run->log,
		.threaded = true,
		.handlers = services_handlers,
		.cursors = run->cursors,
		.master_key = o->master_key,
		.anchor_command = run->anchor,
	};
	if ((r = relay_open(&run->relay, &ro, err)) < 0 ||
		(r = look_after_certificate(run, o->dir, err)) < 0)
		return r;
	drop_snapshot(o->dir);
	open_local_door(run, o->dir);
	so.relay = run->relay;
	so.loop = run->loop;
	if ((r = server_open(&run->server, &so, err)) < 0)
		return r;
	relay_on_reload(run->relay, take_certificate, run);
	run->dir = o->dir;
	run->renew = (struct loop_timer){.fn = on_renew, .arg = run};
	loop_timer_start(run->loop, &run->renew, RENEW_EVERY);
	return watch_signals(run, err);
}

static void
on_look(void *arg)
{
	struct run *run = arg;

	if (server_connections(run->server) == 0 ||
		clock_mono(loop_clock(run->loop)) >= run->give_up)
		loop_stop(run->loop);
	else
		loop_timer_start(run->loop, &run->look, LOOK_EVERY);
}

static void
forget_certificate(struct run *run)
{
	if (run->loop != NULL)
		loop_timer_stop(run->loop, &run->renew);
	if (run->relay != NULL)
		relay_on_reload(run->relay, NULL, NULL);
}

/* The relay ends before its connections do: their last words need the loop once more. */
static void
stop(struct run *run)
{
	struct hw_err err = HW_ERR_INIT;

	forget_certificate(run);
	if (run->server != NULL)
		server_quiesce(run->server);
	local_free(run->local);
	relay_close(run->relay);
	if (run->server != NULL) {
		run->look = (struct loop_timer){.fn = on_look, .arg = run};
		run->give_up = clock_mono(loop_clock(run->loop)) + LAST_WORDS;
		loop_timer_start(run->loop, &run->look, 0);
		if (loop_run(run->loop, &err) < 0)
			cli_fail(&err);
	}
	for (size_t i = 0; i < 3; i++)
		loop_signal_free(run->signals[i]);
	server_free(run->server);
	recording_cursors_free(run->cursors);
	loop_free(run->loop);
	fd_close(run->notify);
	if (run->anchor > 0)
		fd_close(run->anchor);
}

/* Before the first line of the log. */
static int
choose_log_format(struct run *run, const struct cli_options *o, struct hw_err *err)
{
	struct relay_config config;
	int r;

	if (o->log_format != NULL)
		return log_format_parse(&run->sink.format, o->log_format)
			? 0
			: hw_err_set(err, HW_EUSAGE,
				  "--log-format: \"%s\" is neither text, logfmt nor json",
				  o->log_format);
	if ((r = read_settings(&config, o->dir, err)) == 0)
		run->sink.format = config.log_format;
	return r;
}

int
cli_run(const struct cli_options *o)
{
	struct run run = {
		.sink = {.level = o->log_level, .clock = &hw_clock_system},
		.notify = -1,
	};
	struct hw_err err = HW_ERR_INIT;

	process_harden();
	log_ctx_init(&run.log, &run.sink);
	int r = choose_log_format(&run, o, &err);
	if (r == 0)
		r = leave_root(o, &err);
	if (r == 0)
		r = enter_sandbox(&run, o, &err);
	if (r == 0)
		r = start(&run, o, &err);
	if (r == 0) {
		log_info(&run, "relay.ready", "version=%s", HAWSER_VERSION);
		process_notify(run.notify, "READY=1\n");
		r = loop_run(run.loop, &err);
		process_notify(run.notify, "STOPPING=1\n");
	}
	if (r < 0)
		cli_fail(&err);
	stop(&run);
	if (r == 0)
		log_info(&run, "relay.stopped", "%s", "");
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
