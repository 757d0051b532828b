#include "node/uplink.h"

#include <inttypes.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/agent.h"
#include "node/commands/commands.h"
#include "node/config.h"
#include "node/courier.h"
#include "node/credentials.h"
#include "node/facts.h"
#include "node/memory.h"
#include "node/plugins/plugins.h"
#include "node/monitor/monitor.h"
#include "node/programs_monitor.h"
#include "node/roster.h"
#include "node/status.h"
#include "node/uplink_sandbox.h"
#include "node/watch.h"
#include "proto/base/descriptors.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/wire/enrol.h"
#include "proto/wire/ws_client.h"

#define GOODBYE_WITHIN (250 * USEC_PER_MSEC) /* for what the relay is still to be told */
#define TRIM_AFTER     (5 * USEC_PER_SEC)
#define LISTEN_AGAIN   (5 * USEC_PER_SEC) /* where a disk had no room for a socket */
#define FETCH	       "hawser-node-fetch"
#define UPGRADE	       "hawser-node-upgrade"

struct uplink {
	struct log_sink sink;
	struct log_ctx log;
	struct loop *loop;
	int dir;
	int smaps;
	struct node_config config;
	char boot_id[64], platform_name[129], platform_version[129];
	char fetch[PATH_MAX];		   /* the program that downloads; "": there is none */
	char upgrade[PATH_MAX];		   /* likewise, the one that upgrades */
	char *upgrade_call;		   /* a shell's words that call that */
	char ca[512], cert[512], key[512]; /* paths */
	struct ws_client *ws;
	struct ws_dial *dial; /* an attempt under way */
	struct programs *programs;
	struct roster *roster;
	struct commands *commands;
	struct watch *watch;
	struct credentials *credentials;
	struct agent *agent;
	struct courier *courier;
	struct status_server *status;
	struct link *link; /* NULL: there is none */
	struct loop_signal *term, *intr, *leave;
	struct loop_timer goodbye, trim, listen;
	char proxy[PROXY_SHOWN_MAX];	   /* without its secrets; "": there is none */
	char witness_text[WATCH_TEXT_MAX]; /* of the last status */
	bool clock_off;			   /* said */
	int exit_code;
};

static struct uplink *
uplink_from(void *arg)
{
	struct uplink *u = arg;

	hw_assert(u->loop != NULL);
	return u;
}

static void
log_why(const struct uplink *u, const char *event, const struct hw_err *err)
{
	log_error(u, event, "why=%s", log_value(hw_err_text(err)));
}

/* --- the dialer ----------------------------------------------------------------------------- */

static struct link *
on_connected(void *arg, struct link_transport *t)
{
	struct uplink *u = uplink_from(arg);

	u->dial = NULL;
	return agent_connected(u->agent, t);
}

static void
on_dial_failed(void *arg, int code, const char *why)
{
	struct uplink *u = uplink_from(arg);

	u->dial = NULL;
	agent_dial_failed(u->agent, code, why);
}

static const struct ws_dial_events dial_events = {.on_connected = on_connected,
	.on_failed = on_dial_failed};

static void
dial(void *arg)
{
	struct uplink *u = uplink_from(arg);
	const struct relay_url *relay = &u->config.relay;
	struct hw_err err = HW_ERR_INIT;

	int r = ws_dial(&u->dial, u->ws, relay->host, relay->port, &dial_events, u, &err);
	if (r < 0)
		agent_dial_failed(u->agent, r, hw_err_text(&err));
}

static void
cancel(void *arg)
{
	struct uplink *u = uplink_from(arg);

	if (u->dial != NULL)
		ws_dial_cancel(u->dial);
	u->dial = NULL;
}

/* --- what the agent and the certificate tell ------------------------------------------------ */

static void
on_up(void *arg, struct link *l)
{
	struct uplink *u = uplink_from(arg);

	u->link = l;
	credentials_link_up(u->credentials, l);
	if (u->courier != NULL)
		courier_link_up(u->courier, l);
	loop_timer_start(u->loop, &u->trim, TRIM_AFTER);
}

static void
on_down(void *arg)
{
	struct uplink *u = uplink_from(arg);

	u->link = NULL;
	credentials_link_down(u->credentials);
	if (u->courier != NULL)
		courier_link_down(u->courier);
}

/* Told when it begins, and when it is over; how far off it is may change in between. */
static void
on_peer_time(void *arg, int64_t wall)
{
	struct uplink *u = uplink_from(arg);

	credentials_peer_time(u->credentials, wall);
	int64_t ahead = credentials_ahead(u->credentials);
	bool off = ahead >= NODE_CLOCK_OFF || ahead <= -NODE_CLOCK_OFF;
	if (off && !u->clock_off)
		log_warn(u, "clock.off", "ahead_seconds=%" PRId64, ahead / USEC_PER_SEC);
	else if (!off && u->clock_off)
		log_info(u, "clock.right", "%s", "");
	u->clock_off = off;
}

static void
on_renew(void *arg, struct link *l)
{
	(void)l;
	credentials_renew(uplink_from(arg)->credentials);
}

static void
facts(void *arg, struct arena *a, struct msg_update_instance_information_request *f)
{
	(void)arg;
	facts_collect(a, f);
}

/* The link goes on with the certificate that it was made with; only one that is of no use is made
 * anew. */
static void
on_renewed(void *arg, bool of_no_use)
{
	struct uplink *u = uplink_from(arg);
	struct hw_err err = HW_ERR_INIT;

	if (ws_client_reload(u->ws, &err) < 0)
		log_why(u, "certificate.not_reloaded", &err);
	else if (of_no_use)
		agent_redial(u->agent, "the certificate was renewed");
}

static void
on_successor(void *arg, X509 *root)
{
	struct uplink *u = uplink_from(arg);
	struct hw_err err = HW_ERR_INIT;

	if (credentials_succeed(u->credentials, root, &err) < 0 ||
		ws_client_reload(u->ws, &err) < 0)
		log_why(u, "authority.not_taken", &err);
}

/* The key is worth nothing any more. The process stays, so that nothing starts it again to dial,
 * and so that its status says why. */
static void
on_revoked(void *arg)
{
	struct uplink *u = uplink_from(arg);
	char when[RFC3339_LEN + 2];

	rfc3339_format(when, clock_wall(loop_clock(u->loop)));
	strcat(when, "\n");
	credentials_drop(u->dir);
	u->exit_code = UPLINK_EXIT_GONE;
	if (file_write(u->dir, NODE_DEREGISTERED, when, strlen(when), 0644, NULL) < 0)
		log_error(u, "agent.deregistered_not_noted", "%s", "");
}

static void
fill_status(void *arg, struct node_status *s)
{
	static const char *const words[] = {
		[AGENT_STOPPED] = "stopped",
		[AGENT_DIALLING] = "connecting",
		[AGENT_WAITING] = "waiting",
		[AGENT_CONNECTED] = "connected",
		[AGENT_REVOKED] = "deregistered",
	};
	struct uplink *u = uplink_from(arg);
	struct witness_status w;
	struct agent_status a;

	agent_status(u->agent, &a);
	watch_status(u->watch, &w);
	*s = (struct node_status){
		.witness_state = w.kept != NULL || w.state != WITNESS_STATE_AGREES
			? enum_text(&enum_WITNESS_STATE, w.state)
			: "",
		.witness = watch_describe(u->watch, u->witness_text),
		.state = words[a.state],
		.error = a.error,
		.proxy = u->proxy,
		.since = a.since,
		.next_dial = a.state == AGENT_WAITING ? a.next_dial : 0,
		.pin = credentials_pin(u->credentials),
		.expires = credentials_who(u->credentials)->not_after,
		.ahead = credentials_ahead(u->credentials),
		.sessions = a.sessions,
		.commands = commands_count(u->commands),
	};
}

/* --- the end -------------------------------------------------------------------------------- */

static void
on_goodbye(void *arg)
{
	loop_stop(uplink_from(arg)->loop);
}

static void
stop(void *arg)
{
	struct uplink *u = uplink_from(arg);

	agent_stop(u->agent, "the agent was stopped");
	loop_timer_start(u->loop, &u->goodbye, GOODBYE_WITHIN);
}

/* Another agent comes after this one. */
static void
leave(void *arg)
{
	struct uplink *u = uplink_from(arg);

	agent_leave(u->agent, "the agent was restarted");
	loop_timer_start(u->loop, &u->goodbye, GOODBYE_WITHIN);
}

static void
on_monitor_gone(void *arg)
{
	struct uplink *u = uplink_from(arg);

	log_error(u, "agent.monitor_gone", "%s", "");
	u->exit_code = 1;
	leave(u);
}

/* The monitor starts the launcher then, which knows what is to run. */
static void
again(void *arg)
{
	struct uplink *u = uplink_from(arg);

	u->exit_code = UPLINK_EXIT_AGAIN;
	leave(u);
}

/* --- the start ------------------------------------------------------------------------------ */

/* What connecting took is mostly free by now. */
static void
on_trim(void *arg)
{
	memory_trim(uplink_from(arg)->smaps);
}

static void
find_boot_id(struct uplink *u)
{
	struct arena *a = arena_new(1024);
	const char *id = a != NULL ? facts_boot_id(a) : NULL;

	snprintf(u->boot_id, sizeof(u->boot_id), "%s", id != NULL ? id : "");
	arena_free(a);
}

/* Beside this program, or where the installation puts what is not for people. Inside the sandbox
 * nothing can be looked for. */
static void
find_program(char path[PATH_MAX], const char *name)
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - strlen(name) - 2);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	if ((slash = strrchr(path, '/')) != NULL)
		strcpy(slash + 1, name);
	if (slash == NULL || access(path, X_OK) < 0)
		snprintf(path, PATH_MAX, HAWSER_LIBEXECDIR "/%s", name);
	if (access(path, X_OK) < 0)
		path[0] = '\0';
}

static const char *
or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* For the environment of commands. */
static void
find_platform(struct uplink *u)
{
	struct msg_update_instance_information_request f = {.agent_version = HAWSER_VERSION};
	struct arena *a = arena_new(65536);

	if (a != NULL)
		facts_collect(a, &f);
	snprintf(u->platform_name, sizeof(u->platform_name), "%s",
		f.platform_name != NULL ? f.platform_name : "");
	snprintf(u->platform_version, sizeof(u->platform_version), "%s",
		f.platform_version != NULL ? f.platform_version : "");
	arena_free(a);
}

/* This process alone: what it sets is inherited by nobody's shell. What is opened once, or loaded,
 * comes first: OpenSSL's settings may name libraries. */
static int
confine(struct uplink *u, const char *dir, struct hw_err *err)
{
	char said[SANDBOX_SAID_MAX];

	memory_init();
	descriptors_raise();
	find_boot_id(u);
	u->smaps = memory_open();
	OPENSSL_init_ssl(0, NULL);
	find_program(u->fetch, FETCH);
	find_program(u->upgrade, UPGRADE);
	int r = uplink_sandbox_enter(said, dir, err);
	if (r == 0)
		log_info(u, "agent.sandbox", "%s", said);
	return r;
}

static int64_t
judging_time(void *arg)
{
	return credentials_now(uplink_from(arg)->credentials);
}

/* What the relay dated is judged by its clock. */
static int64_t
relay_time(void *arg)
{
	return credentials_relay_now(uplink_from(arg)->credentials);
}

static int
make_ws(struct uplink *u, const char *dir, struct hw_err *err)
{
	struct proxy proxy = {.port = 0};
	struct ws_client_config c = {.loop = u->loop,
		.log = &u->log,
		.proxy = &proxy,
		.ca_file = u->ca,
		.cert_file = u->cert,
		.key_file = u->key,
		.now = judging_time,
		.on_successor = on_successor,
		.arg = u};

	int r;

	if (strlen(dir) > sizeof(u->ca) - 16)
		return hw_err_set(err, HW_EVALIDATION, "the path %s is too long", dir);
	if (u->config.proxy[0] != '\0' && (r = proxy_parse(&proxy, u->config.proxy, err)) < 0)
		return r;
	explicit_bzero(u->config.proxy, sizeof(u->config.proxy));
	if (proxy.host[0] != '\0')
		proxy_write(u->proxy, &proxy);
	snprintf(u->ca, sizeof(u->ca), "%s/" ENROL_CA, dir);
	snprintf(u->cert, sizeof(u->cert), "%s/" ENROL_NODE_CERT, dir);
	snprintf(u->key, sizeof(u->key), "%s/" ENROL_NODE_KEY, dir);
	r = ws_client_new(&u->ws, &c, err);
	explicit_bzero(&proxy, sizeof(proxy));
	return r;
}

static enum watch_answer
may_begin(void *arg, const char **why)
{
	return watch_answer(uplink_from(arg)->watch, why);
}

/* What had to wait for the answer is asked for now, to begin or to be refused. */
static void
on_answer(void *arg)
{
	struct uplink *u = uplink_from(arg);
	const char *why;

	if (u->commands != NULL && watch_answer(u->watch, &why) != WATCH_WAITS)
		commands_ask_again(u->commands);
}

static int
make_watch(struct uplink *u, struct hw_err *err)
{
	const struct watch_config c = {.loop = u->loop,
		.log = &u->log,
		.dir = u->dir,
		.refuse = strcmp(u->config.witness, "refuse") == 0};
	int r = watch_new(&u->watch, &c, err);

	if (r == 0)
		watch_on_change(u->watch, on_answer, u);
	return r;
}

/* What is missing of it, a step that needs it says. */
static int
describe_upgrade(struct uplink *u, const struct uplink_options *o, struct hw_err *err)
{
	const char *words[] = {
		u->upgrade, "--dir", o->dir, "--slots", o->slots, "--terms", o->terms};
	struct arena *a = arena_new(32 * PATH_MAX);
	struct buf text;
	int r = a != NULL ? 0 : HW_ENOMEM;

	if (u->upgrade[0] == '\0' || o->slots == NULL || o->terms == NULL) {
		arena_free(a);
		return 0;
	}
	buf_init(&text, 32 * PATH_MAX);
	for (size_t i = 0; r == 0 && i < sizeof(words) / sizeof(words[0]); i++) {
		const char *quoted = plugin_quote(a, words[i]);
		r = quoted == NULL ? HW_ENOMEM
				   : buf_printf(&text, "%s%s", i > 0 ? " " : "", quoted);
	}
	if (r == 0 && buf_append_byte(&text, '\0') == 0)
		u->upgrade_call = buf_take(&text, &(size_t){0});
	buf_fini(&text);
	arena_free(a);
	return r == 0 && u->upgrade_call != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

/* NULL: it is connected. */
static const char *
trouble(void *arg)
{
	struct agent_status a;

	agent_status(uplink_from(arg)->agent, &a);
	if (a.state == AGENT_CONNECTED)
		return NULL;
	return a.error != NULL && a.error[0] != '\0' ? a.error : "it has no link yet";
}

static int
make_courier(struct uplink *u, struct hw_err *err)
{
	const struct courier_config c = {.loop = u->loop,
		.log = &u->log,
		.programs = u->programs,
		.dir = u->dir,
		.trouble = trouble,
		.again = again,
		.arg = u};

	return courier_new(&u->courier, &c, err);
}

/* What others on this machine ask the agent. */
static int
open_doors(struct uplink *u, struct hw_err *err)
{
	int r = u->courier == NULL ? make_courier(u, err) : 0;

	if (r == 0 && u->status == NULL)
		r = status_server_new(&u->status, u->loop, u->dir, &u->config, fill_status, u, err);
	return r;
}

/* Each is a file, for which a full disk may have no room: that keeps nobody from the machine who
 * comes by the relay, to see to the disk perhaps. */
static void
on_listen(void *arg)
{
	struct uplink *u = uplink_from(arg);
	bool was_there = u->courier != NULL;

	if (open_doors(u, NULL) < 0)
		loop_timer_start(u->loop, &u->listen, LISTEN_AGAIN);
	if (!was_there && u->courier != NULL && u->link != NULL)
		courier_link_up(u->courier, u->link);
}

static void
listen_if_possible(struct uplink *u)
{
	struct hw_err err = HW_ERR_INIT;

	u->listen = (struct loop_timer){.fn = on_listen, .arg = u};
	if (open_doors(u, &err) == 0)
		return;
	log_why(u, "agent.not_listening", &err);
	loop_timer_start(u->loop, &u->listen, LISTEN_AGAIN);
}

static int
make_commands(struct uplink *u, struct hw_err *err)
{
	const struct commands_config c = {
		.loop = u->loop,
		.log = &u->log,
		.programs = u->programs,
		.dir = u->dir,
		.node_id = u->config.id,
		.boot_id = u->boot_id,
		.platform_name = u->platform_name,
		.platform_version = u->platform_version,
		.reboot = u->config.reboot_command,
		.running_max = (size_t)u->config.commands_running,
		.held_max = (size_t)u->config.commands_held,
		.output_max = (uint64_t)u->config.command_output,
		.spool_max = (uint64_t)u->config.commands_spool,
		.fetch = or_null(u->fetch),
		.upgrade = u->upgrade_call,
		.work = or_null(u->config.commands_work),
		.download_ca = or_null(u->config.download_ca),
		.download_proxy = or_null(u->config.download_proxy),
		.download_s3_host = or_null(u->config.download_s3_host),
		.download_max = u->config.download_max,
		.now = relay_time,
		.may_begin = may_begin,
		.arg = u,
	};

	find_platform(u);
	return commands_new(&u->commands, &c, err);
}

static int
make_agent(struct uplink *u, const struct uplink_options *o, struct hw_err *err)
{
	struct agent_config c = {
		.loop = u->loop,
		.log = &u->log,
		.node_id = u->config.id,
		.boot_id = u->boot_id,
		.programs = u->programs,
		.roster = u->roster,
		.commands = u->commands,
		.watch = u->watch,
		.dir = o->dir,
		.dial = dial,
		.cancel = cancel,
		.facts = facts,
		.on_up = on_up,
		.on_down = on_down,
		.on_peer_time = on_peer_time,
		.on_renew = on_renew,
		.on_revoked = on_revoked,
		.arg = u,
	};

	u->agent = agent_new(&c);
	return u->agent != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

/* The monitor starts it with those held back that end it. */
static void
hear_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static int
open_all(struct uplink *u, const struct uplink_options *o, struct hw_err *err)
{
	int r;

	if ((r = loop_new(&u->loop, err)) < 0 || (r = dir_open(&u->dir, o->dir, false, err)) < 0 ||
		(r = node_config_load(&u->config, u->dir, err)) < 0)
		return r;
	struct credentials_config c = {
		.loop = u->loop, .log = &u->log, .dir = u->dir, .on_renewed = on_renewed, .arg = u};
	if ((r = credentials_new(&u->credentials, &c, err)) < 0 ||
		(r = make_ws(u, o->dir, err)) < 0 ||
		(r = programs_monitor_new(&u->programs, u->loop, &u->log, u->dir, o->monitor_fd,
			 on_monitor_gone, u, err)) < 0 ||
		(r = roster_open(&u->roster, u->dir, err)) < 0 || (r = make_watch(u, err)) < 0 ||
		(r = describe_upgrade(u, o, err)) < 0 || (r = make_commands(u, err)) < 0 ||
		(r = make_agent(u, o, err)) < 0 ||
		(r = loop_signal_new(&u->term, u->loop, SIGTERM, stop, u)) < 0 ||
		(r = loop_signal_new(&u->intr, u->loop, SIGINT, stop, u)) < 0 ||
		(r = loop_signal_new(&u->leave, u->loop, SIGUSR1, leave, u)) < 0)
		return r;
	hear_signals();
	u->goodbye = (struct loop_timer){.fn = on_goodbye, .arg = u};
	u->trim = (struct loop_timer){.fn = on_trim, .arg = u};
	listen_if_possible(u);
	return 0;
}

static void
close_all(struct uplink *u)
{
	loop_signal_free(u->leave);
	loop_signal_free(u->intr);
	loop_signal_free(u->term);
	status_server_free(u->status);
	agent_free(u->agent);
	courier_free(u->courier);
	commands_free(u->commands);
	free(u->upgrade_call);
	watch_free(u->watch);
	programs_monitor_free(u->programs);
	roster_close(u->roster);
	ws_client_free(u->ws);
	credentials_free(u->credentials);
	loop_free(u->loop);
	fd_close(u->smaps);
	fd_close(u->dir);
}

/* Before the first line; what is wrong with the settings is told later. */
static void
choose_log_format(struct uplink *u, const char *path)
{
	struct node_config config;
	int dir = -1;

	if (dir_open(&dir, path, false, NULL) == 0 && node_config_load(&config, dir, NULL) == 0)
		(void)log_format_parse(&u->sink.format, config.log_format);
	fd_close(dir);
}

int
uplink_run(const struct uplink_options *o)
{
	struct uplink u = {
		.sink = {.level = o->level, .clock = &hw_clock_system},
		.dir = -1,
		.smaps = -1,
		.exit_code = UPLINK_EXIT_OK
	   };
	struct hw_err err = HW_ERR_INIT;
	int r;

	choose_log_format(&u, o->dir);
	log_ctx_init(&u.log, &u.sink);
	if ((r = confine(&u, o->dir, &err)) < 0 || (r = open_all(&u, o, &err)) < 0) {
		log_why(&u, "agent.cannot_start", &err);
		close_all(&u);
		return UPLINK_EXIT_FATAL;
	}
	log_info(&u, "agent.start", "node=%s relay=%s:%d version=" HAWSER_VERSION, u.config.id,
		u.config.relay.host, u.config.relay.port);
	agent_start(u.agent);
	if ((r = loop_run(u.loop, &err)) < 0) {
		log_why(&u, "agent.loop", &err);
		u.exit_code = 1;
	}
	close_all(&u);
	return u.exit_code;
}
