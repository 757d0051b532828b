/* `hawser-node check`: what an agent needs of its machine, and each hop to its relay; a line for
 * each. It asks no agent: one that has no link cannot be asked from elsewhere, nor at all when it
 * does not run. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/command.h"
#include "node/config.h"
#include "node/credentials.h"
#include "node/status.h"
#include "proto/base/display.h"
#include "proto/base/file.h"
#include "proto/trust/build_time.h"
#include "proto/wire/codec.h"
#include "proto/wire/tcp_dial.h"

#define DIAL_WITHIN  (10 * USEC_PER_SEC)
#define DISK_LEAST   (64 * UINT64_C(1048576))
#define DISK_GOOD    (512 * UINT64_C(1048576))
#define FSYNC_ROUNDS 10
#define FSYNC_SLOW   (200 * USEC_PER_MSEC)
#define FILES_LEAST  1024
#define CLOCK_POOR   (10 * USEC_PER_SEC)
#define CLOCK_BAD    (300 * USEC_PER_SEC)

enum verdict { GOOD, POOR, BAD };

struct check {
	int dir;
	const char *path;
	struct node_config config;
	struct proxy proxy;
	bool json, failed, first;
	struct buf out;
};

static const char *const words[] = {"ok", "warn", "FAIL"};

static void
append_member(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\": ", name);
	json_append_string(out, text, strlen(text));
}

/* `next` is what to do about it, unless it is good; may be NULL. */
static void HW_PRINTF(5, 6) report(struct check *c, enum verdict verdict, const char *what,
	const char *next, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->failed = c->failed || verdict == BAD;
	if (verdict == GOOD)
		next = NULL;
	if (c->json) {
		buf_append_str(&c->out, c->first ? "{" : ", {");
		append_member(&c->out, "Check", what);
		buf_append_str(&c->out, ", ");
		append_member(&c->out, "Result", words[verdict]);
		buf_append_str(&c->out, ", ");
		append_member(&c->out, "Message", text);
		if (next != NULL) {
			buf_append_str(&c->out, ", ");
			append_member(&c->out, "Next", next);
		}
		buf_append_byte(&c->out, '}');
	} else {
		buf_printf(&c->out, "%-4s  %-12s  ", words[verdict], what);
		display_append(&c->out, text, strlen(text));
		buf_printf(&c->out, next != NULL ? "\n%20s-> %s\n" : "%s%s\n", "",
			next != NULL ? next : "");
	}
	c->first = false;
}

/* --- the way to the relay -------------------------------------------------------------------- */

static void
check_certificate(struct check *c)
{
	struct hw_err err = HW_ERR_INIT;
	char until[RFC3339_LEN + 1];
	struct cert_identity who;
	int64_t now = build_time_or_later(&hw_clock_system);

	if (credentials_identity(&who, c->dir, &err) < 0) {
		report(c, BAD, "certificate", "hawser-node join URL ID:CODE --dir DIR", "%s",
			hw_err_text(&err));
		return;
	}
	rfc3339_format(until, who.not_after);
	report(c,
		now > who.not_after + CERT_NODE_GRACE ? BAD
			: now > who.not_after	      ? POOR
						      : GOOD,
		"certificate",
		now > who.not_after + CERT_NODE_GRACE ? "it is too old to be renewed: join again"
						      : "the agent renews it with its next link",
		"%s, good until %s", who.id, until);
}

static bool
check_name(struct check *c)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	bool proxied = c->proxy.host[0] != '\0';
	const char *host = proxied ? c->proxy.host : c->config.relay.host;
	struct addrinfo *found = NULL;
	int64_t start = clock_mono(&hw_clock_system);
	int e = getaddrinfo(host, NULL, &hints, &found);
	double took = (double)(clock_mono(&hw_clock_system) - start) / 1000;

	if (e != 0) {
		report(c, BAD, "name",
			e == EAI_AGAIN
				? "see whether the name servers in /etc/resolv.conf answer"
				: "see whether the name is spelt right, and known to this network",
			"%s has no address: %s", host, gai_strerror(e));
		return false;
	}
	freeaddrinfo(found);
	report(c, took > 2000 ? POOR : GOOD, "name",
		"a name server does not answer: see /etc/resolv.conf",
		"%s has an address (%.0f ms)", host, took);
	return true;
}

static void
check_way(struct check *c)
{
	const struct relay_url *relay = &c->config.relay;
	char proxy[PROXY_SHOWN_MAX] = "none";
	struct hw_err err = HW_ERR_INIT;
	int64_t start;
	int fd = -1;

	if (c->config.proxy[0] != '\0' && proxy_parse(&c->proxy, c->config.proxy, &err) == 0)
		proxy_write(proxy, &c->proxy);
	report(c, GOOD, "proxy", NULL, "%s", proxy);
	if (!check_name(c))
		return;
	start = clock_mono(&hw_clock_system);
	if (tcp_dial_wait(&fd, relay->host, relay->port, &c->proxy, DIAL_WITHIN, &err) < 0)
		report(c, BAD, "tcp",
			"see whether the relay runs, and whether a firewall is between or a proxy missing "
			"(proxy = http://HOST:PORT in node.conf)",
			"%s", hw_err_text(&err));
	else
		report(c, GOOD, "tcp", NULL, "%s:%d is reached (%.0f ms)", relay->host, relay->port,
			(double)(clock_mono(&hw_clock_system) - start) / 1000);
	fd_close(fd);
}

/* TLS and all behind it are the agent's own to tell. */
static void
check_agent(struct check *c)
{
	struct hw_err err = HW_ERR_INIT;
	bool connected = false;
	struct buf text;

	buf_init(&text, 65536);
	int r = status_ask(&text, &connected, c->dir, false, &err);
	buf_fini(&text);
	if (r < 0)
		report(c, BAD, "agent", "systemctl start hawser-node, or hawser-node run --dir DIR",
			"%s", hw_err_text(&err));
	else
		report(c, connected ? GOOD : BAD, "agent",
			"hawser-node status --dir DIR says why not",
			connected ? "it runs, and has a link to the relay"
				  : "it runs, without a link");
}

/* --- the machine ----------------------------------------------------------------------------- */

static void
check_clock(struct check *c)
{
	int64_t now = clock_wall(&hw_clock_system), told = 0;
	char text[RFC3339_LEN + 1], told_text[RFC3339_LEN + 1];
	struct stat st;
	struct buf kept;

	rfc3339_format(text, now);
	buf_init(&kept, 256);
	/* What the relay's clock was when the file was written, by this machine's own. */
	if (fstatat(c->dir, NODE_RELAY_TIME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		file_read(&kept, c->dir, NODE_RELAY_TIME, NULL) == 0 && buf_str(&kept) != NULL &&
		snprintf(told_text, sizeof(told_text), "%.*s", (int)strcspn(buf_str(&kept), "\n"),
			buf_str(&kept)) > 0 &&
		rfc3339_parse(&told, told_text) == 0)
		told -= (int64_t)st.st_mtim.tv_sec * USEC_PER_SEC;
	else
		told = 0;
	buf_fini(&kept);
	int64_t off = told < 0 ? -told : told;
	if (now < build_time())
		report(c, BAD, "clock", "set it, and keep it by NTP (timedatectl set-ntp true)",
			"%s is before this program was built", text);
	else
		report(c,
			off >= CLOCK_BAD	    ? BAD
				: off >= CLOCK_POOR ? POOR
						    : GOOD,
			"clock", "set it, and keep it by NTP (timedatectl set-ntp true)",
			off < CLOCK_POOR ? "%s"
					 : "%s: it was %.0f s from the relay's when last told",
			text, (double)off / USEC_PER_SEC);
}

static void
check_disk(struct check *c, const char *path)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0) {
		report(c, BAD, "disk", "see whether it is mounted", "cannot tell of %s: %s", path,
			strerror(errno));
		return;
	}
	uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
	report(c,
		left < DISK_LEAST	   ? BAD
			: left < DISK_GOOD ? POOR
					   : GOOD,
		"disk", "make room: output of commands is kept until the relay has it",
		"%llu MiB are free for %s", (unsigned long long)(left >> 20), path);
}

static void
check_sync(struct check *c)
{
	static const char name[] = ".check";
	static const char record[512];
	int64_t worst = 0;
	int fd, error = 0;

	unlinkat(c->dir, name, 0); /* of a check that was killed */
	fd = openat(c->dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	for (int i = 0; fd >= 0 && i < FSYNC_ROUNDS && error == 0; i++) {
		int64_t start = clock_mono(&hw_clock_system);
		if (fd_write_all(fd, record, sizeof(record), NULL) < 0 || fdatasync(fd) < 0)
			error = errno;
		int64_t took = clock_mono(&hw_clock_system) - start;
		worst = took > worst ? took : worst;
	}
	if (fd < 0)
		error = errno;
	else
		unlinkat(c->dir, name, 0);
	fd_close(fd);
	if (error != 0)
		report(c, BAD, "fsync", "run this as root, or as the agent's user",
			"cannot write in %s: %s", c->path, strerror(error));
	else
		report(c, worst > FSYNC_SLOW ? POOR : GOOD, "fsync",
			"the disk is slow or busy: each command is written down before it begins",
			"%.1f ms, the slowest of %d", (double)worst / 1000, FSYNC_ROUNDS);
}

static void
check_descriptors(struct check *c)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		report(c, limit.rlim_max < FILES_LEAST ? POOR : GOOD, "descriptors",
			"LimitNOFILE= of hawser-node.service", "%llu may be open",
			(unsigned long long)limit.rlim_max);
}

static void
check_pty(struct check *c)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0)
		report(c, GOOD, "pty", NULL, "terminals can be made");
	else
		report(c, BAD, "pty", "mount -t devpts devpts /dev/pts",
			"no terminal can be made: %s", strerror(errno));
	fd_close(fd);
}

static void
check_user(struct check *c, const char *setting, const char *name)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		report(c, BAD, "user", "make it (useradd), or name another in node.conf",
			"no user %s on this machine, which %s names", name, setting);
	else if (pw->pw_shell[0] != '\0' && access(pw->pw_shell, X_OK) < 0)
		report(c, BAD, "user", "chsh -s /bin/sh USER",
			"the shell of %s, %s, cannot be run: %s", name, pw->pw_shell,
			strerror(errno));
	else
		report(c, GOOD, "user", NULL, "%s (%s), with %s", name, setting,
			pw->pw_shell[0] != '\0' ? pw->pw_shell : "/bin/sh");
}

static void
check_cgroup(struct check *c)
{
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		report(c, GOOD, "cgroup", NULL, "version 2");
	else
		report(c, POOR, "cgroup", "start the machine with version 2 of control groups",
			"no version 2: what a command leaves running is found by its processes alone");
}

/* --- all of it ------------------------------------------------------------------------------- */

static void
check_all(struct check *c)
{
	check_certificate(c);
	check_way(c);
	check_agent(c);
	check_clock(c);
	check_disk(c, c->path);
	check_disk(c, "/tmp");
	check_sync(c);
	check_descriptors(c);
	check_pty(c);
	if (geteuid() == 0) {
		check_user(c, "run_as", c->config.run_as);
		check_user(c, "command_run_as", c->config.command_run_as);
		check_user(c, "agent_user", c->config.agent_user);
	}
	check_cgroup(c);
}

static int
check(struct check *c, struct hw_err *err)
{
	int r;

	if ((r = dir_open(&c->dir, c->path, false, err)) < 0)
		return r;
	if ((r = node_config_load(&c->config, c->dir, err)) == HW_ENOTFOUND)
		r = node_config_explain(c->dir, c->path, err);
	if (r < 0)
		return r;
	buf_append_str(&c->out, c->json ? "{\"Findings\": [" : "");
	check_all(c);
	buf_append_str(&c->out, c->json ? "]}\n" : "");
	fwrite(buf_data(&c->out), 1, c->out.len, stdout);
	return 0;
}

int
command_check(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",	required_argument, NULL, 'd'},
		{"output", required_argument, NULL, 'o'},
		{NULL,     0,		  NULL, 0	 },
	};
	struct check c = {.dir = -1, .first = true};
	struct hw_err err = HW_ERR_INIT;
	const char *form = "text";
	int o, r;

	while ((o = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (o == 'd')
			c.path = optarg;
		else if (o == 'o')
			form = optarg;
		else
			return EXIT_USAGE;
	}
	if (argc != optind || c.path == NULL)
		return command_usage(self, "check takes --dir DIR");
	c.json = strcmp(form, "json") == 0;
	if (!c.json && strcmp(form, "text") != 0)
		return command_usage(self, "-o %s: text or json", form);
	buf_init(&c.out, 65536);
	r = check(&c, &err);
	fd_close(c.dir);
	buf_fini(&c.out);
	explicit_bzero(&c.proxy, sizeof(c.proxy));
	explicit_bzero(c.config.proxy, sizeof(c.config.proxy));
	if (r < 0)
		return command_fail(&err);
	return c.failed ? EXIT_FAILED : EXIT_OK;
}
