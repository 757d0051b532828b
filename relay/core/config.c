#include "relay/core/config.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/wire/network.h"

#define CONFIG_FILE "relay.conf"

enum kind { TEXT, NUMBER, DURABILITY, LOG_FORMAT };

struct key_row {
	const char *key, *doc;
	enum kind kind;
	size_t offset, size; /* size: of a text, its NUL included */
	long min, max;
	bool live; /* it may change while threads read it */
};

#define TEXT_ROW(name, member, doc)                                             \
	{                                                                       \
		name, doc, TEXT, offsetof(struct relay_config, member),         \
			sizeof(((struct relay_config *)0)->member), 0, 0, false \
	}
#define IS_LIVE(member) \
	_Generic(&((struct relay_config *)0)->member, _Atomic int * : true, default : false)

#define NUMBER_ROW(name, member, lo, hi, doc)                                        \
	{                                                                            \
		name, doc, NUMBER, offsetof(struct relay_config, member), 0, lo, hi, \
			IS_LIVE(member)                                              \
	}

static const struct key_row keys[] = {
	TEXT_ROW("name", name, "this relay's id, in its certificate and in every ledger entry"),
	TEXT_ROW("listen_host", listen_host, "address to listen on; empty is every address"),
	NUMBER_ROW("listen_port", listen_port, 1, 65535, "port for nodes, users and the API"),
	TEXT_ROW("advertise", advertise, "host:port that nodes and users dial"),
	TEXT_ROW("metrics_host", metrics_host, "address of /metrics (plain HTTP)"),
	NUMBER_ROW("metrics_port", metrics_port, 0, 65535, "its port; 0 turns it off"),
	TEXT_ROW("region", region, "region in ARNs"),
	TEXT_ROW("account", account, "account in ARNs"),
	{"durability",
						 "of typed input: write (survives a crash of the relay) or sync (on disk first)",
						 DURABILITY,										  offsetof(struct relay_config, durability), 0, 0, 0, false},
	TEXT_ROW("master_key", master_key, "file with the master key"),
	NUMBER_ROW("workers", workers, 1, 64, "threads for operations"),
	NUMBER_ROW("user_certificate_hours", user_certificate_hours, 1, 168,
		"life of a user's certificate; it is renewed while the user is good"),
	NUMBER_ROW("ticket_seconds", ticket_seconds, 5, 3600, "life of a session's ticket"),
	NUMBER_ROW("reserve_mib", reserve_mib, 0, 4096,
		"MiB of the disk that are set aside, so that sessions end in order when it is full"),
	NUMBER_ROW("grace_seconds", grace_seconds, 1, 3600,
		"time until a session that cannot be recorded any more is ended"),
	NUMBER_ROW("resume_seconds", resume_seconds, 1, 3600,
		"time until a forward or command whose user or node lost its link is ended"),
	NUMBER_ROW("detached_seconds", detached_seconds, 1, 86400, "the same of a shell"),
	NUMBER_ROW("idle_seconds", idle_seconds, 0, 31536000,
		"time without a byte after which a shell is detached and a forward closed; 0: none"),
	NUMBER_ROW("max_session_seconds", max_session_seconds, 0, 31536000,
		"age at which a session is ended; 0: none"),
	NUMBER_ROW("max_unauthenticated", max_unauthenticated, 1, 1000000,
		"connections that have not shown a certificate yet; more are refused"),
	NUMBER_ROW("max_handshakes", max_handshakes, 1, 10000,
		"TLS handshakes begun in one turn of the loop"),
	NUMBER_ROW("header_timeout_seconds", header_timeout_seconds, 1, 300,
		"for the TLS handshake, and for the request's head"),
	TEXT_ROW("proxy_protocol_from", proxy_protocol_from,
		"networks of load balancers, whose connections must begin with a PROXY header; empty: none"),
	NUMBER_ROW("login_failures", login_failures, 1, 30000,
		"failed logins, joins and signatures of one address before it must wait"),
	NUMBER_ROW("signature_seconds", signature_seconds, 1, 3600,
		"how far the clock of a signed request may be off"),
	NUMBER_ROW("max_signed", max_signed, 0, 1000000,
		"connections kept open for further signed requests; others end with their answer"),
	NUMBER_ROW("max_signed_per_key", max_signed_per_key, 1, 1000000,
		"signed requests with one key, from one address, that are worked on at once"),
	NUMBER_ROW("signed_idle_seconds", signed_idle_seconds, 1, 3600,
		"until the next signed request on one"),
	NUMBER_ROW("max_links", max_links, 1, 1000000, "nodes and users connected at once"),
	NUMBER_ROW("max_links_per_user", max_links_per_user, 1, 1000000,
		"links of one user at once"),
	NUMBER_ROW("max_sessions", max_sessions, 1, 1000000, "sessions open at once"),
	NUMBER_ROW("max_sessions_per_user", max_sessions_per_user, 1, 1000000, "of one user"),
	NUMBER_ROW("max_sessions_per_node", max_sessions_per_node, 1, 1000, "on one node"),
	NUMBER_ROW("max_commands", max_commands, 1, 100000, "commands that have not ended"),
	NUMBER_ROW("command_output_mib", command_output_mib, 1, 65536,
		"MiB that are kept of what a command writes on one node; the rest is counted"),
	NUMBER_ROW("command_days", command_days, 1, 36500,
		"days until a command that has ended is forgotten"),
	NUMBER_ROW("recording_days", recording_days, 0, 36500,
		"days until the recording of a session that has ended is deleted; 0: never"),
	NUMBER_ROW("recording_mib", recording_mib, 0, 1000000000,
		"MiB that are kept of recordings; the oldest that has ended goes first; 0: all"),
	NUMBER_ROW("command_outputs_mib", command_outputs_mib, 1, 1000000000,
		"MiB that are kept of the output of all commands; of those that have ended the oldest goes first"),
	TEXT_ROW("s3_endpoint", s3_endpoint,
		"S3-compatible storage for OutputS3BucketName, https://HOST[:PORT]; empty: none"),
	TEXT_ROW("s3_region", s3_region, "region that requests to it are signed for"),
	NUMBER_ROW("s3_path_style", s3_path_style, 0, 1,
		"1: https://HOST/BUCKET/KEY; 0: https://BUCKET.HOST/KEY"),
	TEXT_ROW("s3_access_key_id", s3_access_key_id, "the relay's key there"),
	TEXT_ROW("s3_secret_file", s3_secret_file,
		"file with its secret, which nobody but the relay's user may read"),
	TEXT_ROW("s3_ca_file", s3_ca_file,
		"certificates of the authorities that may vouch for it; empty: the system's"),
	NUMBER_ROW("s3_part_mib", s3_part_mib, 5, 5120,
		"MiB beyond which an object is sent in parts of that size"),
	NUMBER_ROW("s3_timeout_seconds", s3_timeout_seconds, 1, 3600,
		"to reach it, and without progress"),
	NUMBER_ROW("s3_retry_seconds", s3_retry_seconds, 1, 31536000,
		"until an upload that does not work is given up"),
	TEXT_ROW("recording_s3_bucket", recording_s3_bucket,
		"bucket there that complete recordings are put into, sealed; empty: none"),
	TEXT_ROW("recording_s3_prefix", recording_s3_prefix,
		"what their keys begin with, before /recordings/SESSION.rec"),
	NUMBER_ROW("recording_s3_first", recording_s3_first, 0, 1,
		"1: recording_days and recording_mib delete none that is not in the bucket yet; 0: they do"),
	TEXT_ROW("stream_file", stream_file,
		"file that every entry of the ledger is appended to, as a line of JSON; empty: none"),
	TEXT_ROW("stream_syslog", stream_syslog,
		"host:port of a syslog server (TLS) that every entry is sent to; empty: none"),
	TEXT_ROW("stream_syslog_ca", stream_syslog_ca,
		"file with the authority that its certificate must be of; empty: the system's"),
	TEXT_ROW("stream_syslog_cert", stream_syslog_cert,
		"file with the certificate that is shown to it; empty: none"),
	TEXT_ROW("stream_syslog_key", stream_syslog_key, "file with the key of that"),
	TEXT_ROW("anchor_file", anchor_file,
		"file that signed heads of the ledger are appended to; empty: none"),
	TEXT_ROW("anchor_command", anchor_command,
		"command, for /bin/sh, that is given each of them on its stdin; empty: none"),
	NUMBER_ROW("anchor_seconds", anchor_seconds, 1, 31536000,
		"between two heads that are kept so, at the least"),
	{"log_format", "of the relay's log: text, logfmt or json",			   LOG_FORMAT,
						 offsetof(struct relay_config,											      log_format), 0, 0, 0, false},
	NUMBER_ROW("anchor_command_seconds", anchor_command_seconds, 1, 600,
		"after which the command is killed"),
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

void
relay_config_default(struct relay_config *c)
{
	*c = (struct relay_config){
		.name = "relay",
		.listen_port = 8443,
		.metrics_host = "127.0.0.1",
		.metrics_port = 9464,
		.region = "local",
		.account = "000000000000",
		.durability = DURABILITY_WRITE,
		.master_key = "master.key",
		.workers = 4,
		.ticket_seconds = 60,
		.user_certificate_hours = 12,
		.reserve_mib = 16,
		.grace_seconds = 30,
		.resume_seconds = 60,
		.detached_seconds = 3600,
		.max_unauthenticated = 512,
		.max_handshakes = 16,
		.header_timeout_seconds = 10,
		.login_failures = 5,
		.signature_seconds = 300,
		.max_signed = 2000,
		.signed_idle_seconds = 60,
		.max_links = 100000,
		.max_links_per_user = 1000,
		.max_sessions = 20000,
		.max_sessions_per_user = 1000,
		.max_sessions_per_node = 500,
		.max_commands = 1000,
		.command_output_mib = 64,
		.command_days = 30,
		.command_outputs_mib = 10240,
		.max_signed_per_key = 64,
		.s3_region = "us-east-1",
		.s3_path_style = 1,
		.s3_secret_file = "s3.secret",
		.s3_part_mib = 64,
		.s3_timeout_seconds = 30,
		.s3_retry_seconds = 86400,
		.anchor_seconds = 600,
		.anchor_command_seconds = 30,
		.recording_s3_first = 1,
	};
}

static int
set_text(struct relay_config *c, const struct key_row *row, const char *value, struct hw_err *err)
{
	if (strlen(value) >= row->size)
		return hw_err_set(err, HW_EVALIDATION, "%s: %zu bytes, at most %zu", row->key,
			strlen(value), row->size - 1);
	snprintf((char *)c + row->offset, row->size, "%s", value);
	return 0;
}

static int
set_number(struct relay_config *c, const struct key_row *row, const char *value, struct hw_err *err)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*value == '\0' || *end != '\0' || n < row->min || n > row->max)
		return hw_err_set(err, HW_EVALIDATION, "%s: \"%s\" is not a number from %ld to %ld",
			row->key, value, row->min, row->max);
	*(int *)(void *)((char *)c + row->offset) = (int)n;
	return 0;
}

static int
set_durability(struct relay_config *c, const char *value, struct hw_err *err)
{
	if (strcmp(value, "write") == 0)
		c->durability = DURABILITY_WRITE;
	else if (strcmp(value, "sync") == 0)
		c->durability = DURABILITY_SYNC;
	else
		return hw_err_set(err, HW_EVALIDATION,
			"durability: \"%s\" is neither write nor sync", value);
	return 0;
}

static int
set_log_format(struct relay_config *c, const char *value, struct hw_err *err)
{
	if (log_format_parse(&c->log_format, value))
		return 0;
	return hw_err_set(err, HW_EVALIDATION,
		"log_format: \"%s\" is neither text, logfmt nor json", value);
}

static int
set_key(struct relay_config *c, const char *key, const char *value, struct hw_err *err)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (keys[i].kind == TEXT)
			return set_text(c, &keys[i], value, err);
		if (keys[i].kind == NUMBER)
			return set_number(c, &keys[i], value, err);
		if (keys[i].kind == LOG_FORMAT)
			return set_log_format(c, value, err);
		return set_durability(c, value, err);
	}
	return hw_err_set(err, HW_EVALIDATION, "no setting is named \"%s\"", key);
}

static char *
trim(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	for (size_t n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--)
		s[n - 1] = '\0';
	return s;
}

/* What stands in ARNs, ledger entries and certificates. */
static int
check_name(const char *key, const char *value, struct hw_err *err)
{
	if (id_is_user(value))
		return 0;
	return hw_err_set(err, HW_EVALIDATION,
		"%s: \"%.64s\" is not a name: letters, digits and _.@+=- only, 64 at most", key,
		value);
}

static int
check(const struct relay_config *c, struct hw_err *err)
{
	struct network balancers[PROXY_PROTOCOL_MAX];
	size_t n;
	int r;

	if ((r = check_name("name", c->name, err)) < 0 ||
		(r = check_name("region", c->region, err)) < 0)
		return r;
	if ((r = network_list_parse(balancers, &n, PROXY_PROTOCOL_MAX, c->proxy_protocol_from,
		     err)) < 0) {
		hw_err_prefix(err, "proxy_protocol_from");
		return r;
	}
	return check_name("account", c->account, err);
}

static int
parse_line(struct relay_config *c, char *line, struct hw_err *err)
{
	line = trim(line);
	if (*line == '\0' || *line == '#')
		return 0;
	char *eq = strchr(line, '=');
	if (eq == NULL)
		return hw_err_set(err, HW_EVALIDATION, "\"%.40s\" has no \"=\"", line);
	*eq = '\0';
	return set_key(c, trim(line), trim(eq + 1), err);
}

int
relay_config_load(struct relay_config *c, int dir, struct hw_err *err)
{
	struct buf text;
	int r, n = 0;

	relay_config_default(c);
	buf_init(&text, 64 * 1024);
	if ((r = file_read(&text, dir, CONFIG_FILE, err)) < 0)
		goto out;
	char *all = (char *)(uintptr_t)buf_str(&text);
	if (all == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for %s", CONFIG_FILE);
	for (char *line; r == 0 && (line = strsep(&all, "\n")) != NULL;) {
		n++;
		if ((r = parse_line(c, line, err)) < 0)
			hw_err_prefix(err, "%s, line %d", CONFIG_FILE, n);
	}
	if (r == 0 && (r = check(c, err)) < 0)
		hw_err_prefix(err, CONFIG_FILE);
out:
	buf_fini(&text);
	return r;
}

int
relay_config_save(const struct relay_config *c, int dir, struct hw_err *err)
{
	struct buf out;

	buf_init(&out, 64 * 1024);
	buf_append_str(&out,
		"# Settings of this relay; it reads them when it starts, and some when it is told to (hawser-relay reload).\n");
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const char *at = (const char *)c + keys[i].offset;
		buf_printf(&out, "\n# %s\n%s = ", keys[i].doc, keys[i].key);
		if (keys[i].kind == TEXT)
			buf_printf(&out, "%s\n", at);
		else if (keys[i].kind == NUMBER)
			buf_printf(&out, "%d\n", *(const int *)(const void *)at);
		else if (keys[i].kind == LOG_FORMAT)
			buf_printf(&out, "%s\n", log_format_name(c->log_format));
		else
			buf_printf(&out, "%s\n",
				c->durability == DURABILITY_SYNC ? "sync" : "write");
	}
	int r = out.failed ? hw_err_set(err, HW_ENOMEM, "no memory for %s", CONFIG_FILE)
			   : file_write(dir, CONFIG_FILE, buf_data(&out), out.len, 0600, err);
	buf_fini(&out);
	return r;
}

void
relay_config_document(struct buf *out)
{
	struct relay_config c;

	relay_config_default(&c);
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key_row *row = &keys[i];
		const char *at = (const char *)&c + row->offset;
		buf_printf(out, "| `%s` | %s", row->key, row->doc);
		if (row->kind == NUMBER)
			buf_printf(out, " (%ld to %ld; %d) |\n", row->min, row->max,
				*(const int *)(const void *)at);
		else if (row->kind == DURABILITY)
			buf_append_str(out, " (write) |\n");
		else if (row->kind == LOG_FORMAT)
			buf_append_str(out, " (text) |\n");
		else if (at[0] != '\0')
			buf_printf(out, " (%s) |\n", at);
		else
			buf_append_str(out, " |\n");
	}
}

/* --- changes ---------------------------------------------------------------------------------- */

static bool
is_same(const struct key_row *row, const struct relay_config *a, const struct relay_config *b)
{
	const char *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

	return row->kind == TEXT ? strcmp(x, y) == 0
				 : *(const int *)(const void *)x == *(const int *)(const void *)y;
}

_Static_assert(KEY_COUNT <= RELAY_CONFIG_KEYS, "each may have changed");

void
relay_config_apply(struct config_changes *ret, struct relay_config *to,
	const struct relay_config *from)
{
	*ret = (struct config_changes){.n_changed = 0};
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key_row *row = &keys[i];
		if (is_same(row, to, from))
			continue;
		if (!row->live) {
			ret->restart[ret->n_restart++] = row->key;
			continue;
		}
		/* Workers read it meanwhile: the old or the new one. */
		atomic_store((_Atomic int *)(void *)((char *)to + row->offset),
			*(const int *)(const void *)((const char *)from + row->offset));
		ret->changed[ret->n_changed++] = row->key;
	}
}
