#include "node/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/credentials.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"

#define CONF_MAX 16384

struct key_row {
	const char *name;
	size_t offset, size;
	const char *doc;
	bool path;	      /* absolute */
	const char *words[3]; /* the only ones that it may be, two or three; NULL: any */
};

#define TEXT(key, path, doc)                                                                     \
	{                                                                                        \
#key, offsetof(struct node_config, key), sizeof(((struct node_config *)0)->key), \
			doc, path,                                                               \
		{                                                                                \
			NULL, NULL                                                               \
		}                                                                                \
	}

/* `relay` is parsed, the others are copied. */
static const struct key_row keys[] = {
	TEXT(name, false, "what the node is called where it joins; the relay knows it by its id"),
	TEXT(run_as, false, "the user of sessions for which no policy names one (hawser)"),
	TEXT(command_run_as, false, "the user of commands for which nobody names one (root)"),
	TEXT(pam, false,
		"the service of PAM, a file in /etc/pam.d, that these two go through first: hawser is the package's; off is none (off)"),
	TEXT(reboot_command, false,
		"restarts the machine for a step that asks for it (shutdown -r now)"),
	TEXT(agent_user, false, "the user of the agent's network process (hawser-node)"),
	TEXT(commands_work, true, "where commands that download have a directory each (/var/tmp)"),
	TEXT(download_ca, true,
		"a file of the authorities that servers of downloads are verified by (the system's)"),
	TEXT(download_proxy, false, "a proxy's URL for downloads (none)"),
	TEXT(download_s3_host, false,
		"HOST or HOST:PORT of an S3 that is not Amazon's, and all below it, for which downloads may be signed (none)"),
	{"witness",    offsetof(struct node_config, witness),
		sizeof(((struct node_config *)0)->witness),
		"what to do when the relay's ledger was cut or rewritten: report it, or refuse what is new as well (report)",
		false,													       {"report", "refuse"}},
	{"log_format", offsetof(struct node_config, log_format),
		sizeof(((struct node_config *)0)->log_format),
		"how lines of the network process's log look: text, logfmt or json (text)",				    false,
		{"text", "logfmt", "json"}													       },
};

struct number_row {
	const char *name;
	size_t offset;
	int64_t min, max;
	const char *doc;
};

static const struct number_row numbers[] = {
	{"commands_running", offsetof(struct node_config, commands_running), 1, 1000,
		"commands at once (64)"					    },
	{"commands_held",	  offsetof(struct node_config, commands_held),    1, 1000,
		"commands that wait, run, or are not taken by the relay yet (1000)"},
	{"command_output",   offsetof(struct node_config, command_output),	 1, INT64_C(1) << 40,
		"bytes kept of the output of one command (67108864)"		    },
	{"commands_spool",   offsetof(struct node_config, commands_spool),	 1, INT64_C(1) << 50,
		"bytes of all output that the relay has not taken (1073741824)"    },
	{"download_max",	 offsetof(struct node_config, download_max),     1, INT64_C(1) << 40,
		"bytes that one download may have (1073741824)"		       },
};

static char *
trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	for (n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--)
		;
	s[n] = '\0';
	return s;
}

static int
set_number(struct node_config *c, const struct number_row *row, const char *value,
	struct hw_err *err)
{
	char *end;

	errno = 0;
	long long n = strtoll(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || n < row->min || n > row->max)
		return hw_err_set(err, HW_EVALIDATION, "%s is a number from %lld to %lld, not %s",
			row->name, (long long)row->min, (long long)row->max, value);
	memcpy((char *)c + row->offset, &(int64_t){n}, sizeof(int64_t));
	return 0;
}

static bool
is_one_of(const char *value, const char *const words[3])
{
	for (size_t i = 0; i < 3 && words[i] != NULL; i++)
		if (strcmp(value, words[i]) == 0)
			return true;
	return false;
}

int
node_config_set_proxy(struct node_config *c, const char *value, struct hw_err *err)
{
	struct proxy parsed;
	int r;

	if (strcmp(value, "none") == 0)
		value = "";
	if (value[0] != '\0' && (r = proxy_parse(&parsed, value, err)) < 0)
		return r;
	explicit_bzero(&parsed, sizeof(parsed));
	snprintf(c->proxy, sizeof(c->proxy), "%s", value);
	return 0;
}

/* A file's name, and no path. */
static int
set_pam(struct node_config *c, const char *value, struct hw_err *err)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	if (strcmp(value, "off") == 0)
		value = "";
	if (value[0] == '.' || value[strspn(value, letters)] != '\0' ||
		strlen(value) >= sizeof(c->pam))
		return hw_err_set(err, HW_EVALIDATION,
			"pam is the name of a file in /etc/pam.d, or off, not %s", value);
	strcpy(c->pam, value);
	return 0;
}

void
node_config_pam(struct node_config *c)
{
	strcpy(c->pam, access("/etc/pam.d/" NODE_PAM, R_OK) == 0 ? NODE_PAM : "");
}

static int
set(struct node_config *c, const char *key, const char *value, struct hw_err *err)
{
	if (strcmp(key, "relay") == 0)
		return relay_url_parse(&c->relay, value, err);
	if (strcmp(key, "pam") == 0)
		return set_pam(c, value, err);
	if (strcmp(key, "proxy") == 0)
		return node_config_set_proxy(c, value, err);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i].name) != 0)
			continue;
		if (strlen(value) >= keys[i].size)
			return hw_err_set(err, HW_EVALIDATION,
				"%s is too long: %zu bytes, at most %zu", key, strlen(value),
				keys[i].size - 1);
		if (keys[i].path && value[0] != '/')
			return hw_err_set(err, HW_EVALIDATION, "%s is a path from the root, not %s",
				key, value);
		bool three = keys[i].words[2] != NULL;
		if (keys[i].words[0] != NULL && !is_one_of(value, keys[i].words))
			return hw_err_set(err, HW_EVALIDATION, "%s is %s%s%s or %s, not %s", key,
				keys[i].words[0], three ? ", " : "", three ? keys[i].words[1] : "",
				keys[i].words[three ? 2 : 1], value);
		strcpy((char *)c + keys[i].offset, value);
		return 0;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].name) == 0)
			return set_number(c, &numbers[i], value, err);
	return hw_err_set(err, HW_EVALIDATION,
		"no setting is called %.*s: relay, proxy, name, run_as, command_run_as, pam, "
		"agent_user, reboot_command, commands_running, commands_held, command_output, commands_spool, "
		"commands_work, download_max, download_ca, download_proxy, download_s3_host, "
		"witness, log_format",
		(int)strcspn(key, ": \t"), key);
}

static int
parse_line(struct node_config *c, char *line, struct hw_err *err)
{
	char *s = trim(line), *equals = strchr(s, '=');

	if (*s == '\0' || *s == '#')
		return 0;
	if (equals == NULL)
		/* Its first word alone: the rest may be a proxy's password. */
		return hw_err_set(err, HW_EVALIDATION, "not KEY = VALUE: %.*s",
			(int)strcspn(s, ": \t"), s);
	*equals = '\0';
	return set(c, trim(s), trim(equals + 1), err);
}

int
node_config_parse(struct node_config *ret, const char *text, struct hw_err *err)
{
	struct node_config c = {.run_as = "hawser",
		.command_run_as = "root",
		.agent_user = "hawser-node",
		.witness = "report",
		.log_format = "text"};
	char line[1024];

	for (int number = 1; *text != '\0'; number++) {
		size_t n = strcspn(text, "\n");
		int r = snprintf(line, sizeof(line), "%.*s", (int)n, text) < (int)sizeof(line)
			? parse_line(&c, line, err)
			: hw_err_set(err, HW_EVALIDATION, "the line is longer than %zu bytes",
				  sizeof(line) - 1);
		if (r < 0) {
			hw_err_prefix(err, NODE_CONF ":%d", number);
			return r;
		}
		text += n;
		text += *text == '\n';
	}
	if (c.relay.host[0] == '\0' || c.relay.pin[0] == '\0')
		return hw_err_set(err, HW_EVALIDATION,
			NODE_CONF " has no relay = https://HOST:PORT#sha256:...");
	*ret = c;
	return 0;
}

int
node_config_load(struct node_config *ret, int dir, struct hw_err *err)
{
	struct cert_identity who;
	struct buf text;
	int r;

	buf_init(&text, CONF_MAX);
	r = file_read(&text, dir, NODE_CONF, err);
	if (r == 0 && buf_str(&text) == NULL)
		r = HW_ENOMEM;
	if (r == 0)
		r = node_config_parse(ret, buf_str(&text), err);
	buf_fini(&text);
	if (r < 0 || (r = credentials_identity(&who, dir, err)) < 0)
		return r;
	snprintf(ret->id, sizeof(ret->id), "%.23s", who.id);
	return 0;
}

int
node_config_explain(int dir, const char *path, struct hw_err *err)
{
	char since[RFC3339_LEN + 1] = "";
	struct buf when;
	int64_t wall;
	int r;

	buf_init(&when, 256);
	if (file_read(&when, dir, NODE_DEREGISTERED, NULL) == 0 && buf_str(&when) != NULL) {
		/* The network process wrote it, and root is told: nothing but a time. */
		snprintf(since, sizeof(since), "%.*s", (int)strcspn(buf_str(&when), "\n"),
			buf_str(&when));
		r = hw_err_set(err, HW_EREVOKED,
			"the relay deregistered this node at %s; to make it a node again: hawser-node "
			"join URL ID:CODE --dir %s",
			rfc3339_parse(&wall, since) == 0 ? since : "an unknown time", path);
	} else {
		r = hw_err_set(err, HW_ENOTFOUND,
			"%s is not joined to a fleet: hawser-node join URL ID:CODE --dir %s", path,
			path);
	}
	buf_fini(&when);
	return r;
}

static bool
is_always_there(const char *key)
{
	static const char *const names[] = {
		"name", "run_as", "command_run_as", "pam", "agent_user", "witness", "log_format"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	return false;
}

/* What somebody has set stays set when the machine joins anew. */
static void
append_others(struct buf *out, const struct node_config *c)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = (const char *)c + keys[i].offset;
		if (value[0] != '\0' && !is_always_there(keys[i].name))
			buf_printf(out, "%s = %s\n", keys[i].name, value);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		int64_t n;
		memcpy(&n, (const char *)c + numbers[i].offset, sizeof(n));
		if (n != 0)
			buf_printf(out, "%s = %" PRId64 "\n", numbers[i].name, n);
	}
}

/* A proxy's URL may have one, and then the file is not for everybody. */
static bool
has_password(const struct node_config *c)
{
	return strchr(c->proxy, '@') != NULL || strchr(c->download_proxy, '@') != NULL;
}

int
node_config_save(int dir, const struct node_config *c, struct hw_err *err)
{
	char url[RELAY_URL_MAX];
	struct buf text;
	int r;

	if ((r = relay_url_format(url, sizeof(url), &c->relay)) < 0)
		return hw_err_set(err, r, "the relay's URL is too long");
	buf_init(&text, CONF_MAX);
	r = buf_printf(&text,
		"# Made by hawser-node join.\n"
		"relay = %s\n"
		"name = %s\n"
		"\n"
		"# The operating system user of sessions for which no policy names one.\n"
		"run_as = %s\n"
		"# That of commands for which nobody names one.\n"
		"command_run_as = %s\n"
		"# The service of PAM that they go through first, a file in /etc/pam.d, or off.\n"
		"pam = %s\n"
		"# The user of the agent's network process.\n"
		"agent_user = %s\n"
		"# When the relay's ledger was cut or rewritten: report, or also refuse what is new.\n"
		"witness = %s\n"
		"# How lines of the log look: text, logfmt or json.\n"
		"log_format = %s\n"
		"# The HTTP proxy on the way to the relay: http://[USER:PASSWORD@]HOST:PORT, or none. The\n"
		"# environment does not count.\n"
		"proxy = %s\n",
		url, c->name, c->run_as, c->command_run_as[0] ? c->command_run_as : "root",
		c->pam[0] ? c->pam : "off", c->agent_user, c->witness[0] ? c->witness : "report",
		c->log_format[0] ? c->log_format : "text", c->proxy[0] ? c->proxy : "none");
	append_others(&text, c);
	if (r == 0 && text.failed)
		r = hw_err_set(err, HW_ELIMIT, NODE_CONF " would be longer than %d bytes",
			CONF_MAX);
	if (r == 0)
		r = file_write(dir, NODE_CONF, buf_data(&text), text.len,
			has_password(c) ? 0640 : 0644, err);
	buf_wipe(&text);
	buf_fini(&text);
	return r;
}

void
node_config_document(struct buf *out)
{
	buf_append_str(out,
		"| `relay` | the relay's URL with the pin of its authority, https://HOST:PORT#sha256:...; it must be there |\n"
		"| `proxy` | the HTTP proxy on the way to the relay, http://[USER:PASSWORD@]HOST:PORT (none) |\n");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		buf_printf(out, "| `%s` | %s |\n", keys[i].name, keys[i].doc);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		buf_printf(out, "| `%s` | %s |\n", numbers[i].name, numbers[i].doc);
}
