#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/doctor.h"
#include "client/fleet.h"
#include "proto/base/file.h"

#define SAID_MAX      65536
#define DISK_LEAST    (64 * 1024)	    /* KiB */
#define DISK_GOOD     (512 * INT64_C(1024)) /* likewise */
#define SYNC_SLOW_MS  200
#define CLOCK_POOR_MS 10000
#define CLOCK_BAD_MS  300000
#define FILES_LEAST   256
#define GRACE_MS      2000

/* Runs with any sh: what is missing on a node leaves its line out. A word, and what follows it. */
static const char script[] =
	"say() { printf 'hawser-doctor %s\\n' \"$*\"; }\n"
	"say user \"$(id -un 2>/dev/null)\" \"${SHELL:-?}\"\n"
	"[ -x \"${SHELL:-/}\" ] && [ ! -d \"${SHELL:-/}\" ] && say shell yes || say shell no\n"
	"say clock \"$(date +%s%3N)\"\n"
	"for d in /tmp /var/lib/hawser-node \"$HOME\"; do\n"
	"[ -d \"$d\" ] && say disk \"$(df -Pk \"$d\" 2>/dev/null | awk 'NR == 2 { print $4 }')\" \"$d\"\n"
	"done\n"
	"f=$(mktemp 2>/dev/null) && { a=$(date +%s%3N)\n"
	"dd if=/dev/zero of=\"$f\" bs=4k count=1 conv=fsync 2>/dev/null && "
	"say sync $(($(date +%s%3N) - a)) \"$f\"; rm -f \"$f\"; }\n"
	"say files \"$(ulimit -n)\"\n"
	"say cgroup \"$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)\"\n"
	"[ -c /dev/ptmx ] && [ -w /dev/ptmx ] && [ -d /dev/pts ] && say pty yes || say pty no\n"
	"say agent $(pgrep -xc hawser-node-mon 2>/dev/null || echo '?') "
	"$(pgrep -xc hawser-node 2>/dev/null || echo '?')\n"
	"say end\n";

/* --- what it has written --------------------------------------------------------------------- */

/* A row's function gets what follows the word. */
struct answer {
	const char *word;
	void (*note)(struct doctor *d, const char *rest);
};

static void
note_user(struct doctor *d, const char *rest)
{
	doctor_note(d, DOCTOR_OK, "user", NULL, "sessions run as %.*s, with %.100s",
		(int)strcspn(rest, " "), rest,
		strchr(rest, ' ') != NULL ? strchr(rest, ' ') + 1 : "?");
}

static void
note_shell(struct doctor *d, const char *rest)
{
	if (strcmp(rest, "yes") != 0)
		doctor_note(d, DOCTOR_FAIL, "shell", "on the node: chsh -s /bin/sh USER",
			"the user's shell is not there, or cannot be run");
}

static void
note_clock(struct doctor *d, const char *rest)
{
	char *end;
	long long there = strtoll(rest, &end, 10);
	int64_t relay = clock_wall(&hw_clock_system) + d->ahead;
	int64_t off = there - relay / USEC_PER_MSEC, size = off < 0 ? -off : off;

	if (end == rest || *end != '\0' || there < 0)
		return;
	doctor_note(d,
		size >= CLOCK_BAD_MS		? DOCTOR_FAIL
			: size >= CLOCK_POOR_MS ? DOCTOR_WARN
						: DOCTOR_OK,
		"node clock", "on the node: timedatectl set-ntp true",
		size < 2000 ? "as the relay's" : "%.1f s %s the relay's", (double)size / 1000,
		off < 0 ? "behind" : "ahead of");
}

static void
note_disk(struct doctor *d, const char *rest)
{
	char *end;
	long long kib = strtoll(rest, &end, 10);

	if (end == rest || *end != ' ')
		return;
	doctor_note(d,
		kib < DISK_LEAST	  ? DOCTOR_FAIL
			: kib < DISK_GOOD ? DOCTOR_WARN
					  : DOCTOR_OK,
		"disk",
		"make room there: commands keep their output on the node until the relay has it",
		"%lld MiB are free for %.200s", kib / 1024, end + 1);
}

static void
note_sync(struct doctor *d, const char *rest)
{
	long ms = strtol(rest, NULL, 10);

	doctor_note(d, ms > SYNC_SLOW_MS ? DOCTOR_WARN : DOCTOR_OK, "sync",
		"its disk is slow or busy: commands begin as late, as each is written down first",
		"%ld ms for a file in /tmp", ms);
}

static void
note_files(struct doctor *d, const char *rest)
{
	long n = strcmp(rest, "unlimited") == 0 ? 1 << 20 : strtol(rest, NULL, 10);

	doctor_note(d, n < FILES_LEAST ? DOCTOR_WARN : DOCTOR_OK, "descriptors",
		"LimitNOFILE= of hawser-node.service, or /etc/security/limits.conf",
		"%.20s may be open in a session", rest);
}

static void
note_cgroup(struct doctor *d, const char *rest)
{
	doctor_note(d, DOCTOR_OK, "cgroup", NULL, "%.200s",
		rest[0] != '\0' ? rest : "version 1, or none");
}

static void
note_pty(struct doctor *d, const char *rest)
{
	bool yes = strcmp(rest, "yes") == 0;

	doctor_note(d, yes ? DOCTOR_OK : DOCTOR_FAIL, "pty",
		"on the node: mount -t devpts devpts /dev/pts, and see that /dev/ptmx has mode 666",
		yes ? "terminals can be made" : "no terminal can be made");
}

static void
note_agent(struct doctor *d, const char *rest)
{
	if (strchr(rest, '?') == NULL && rest[0] != '0')
		doctor_note(d, DOCTOR_OK, "agent", NULL, "its monitor runs, and starts holders");
	else
		doctor_note(d, DOCTOR_OK, "agent", NULL,
			"its monitor started a holder; other processes are not seen from a session");
}

static const struct answer answers[] = {
	{"user",	 note_user  },
	{"shell",  note_shell },
	{"clock",  note_clock },
	{"disk",	 note_disk  },
	{"sync",	 note_sync  },
	{"files",  note_files },
	{"cgroup", note_cgroup},
	{"pty",	note_pty	},
	{"agent",  note_agent },
};

static bool
read_line(struct doctor *d, char *line)
{
	static const char mark[] = "hawser-doctor ";
	char *rest = line + sizeof(mark) - 1;

	if (strncmp(line, mark, sizeof(mark) - 1) != 0)
		return false;
	char *word = strsep(&rest, " ");
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (strcmp(word, answers[i].word) == 0)
			answers[i].note(d, rest != NULL ? rest : "");
	return strcmp(word, "end") == 0;
}

void
doctor_read_node(struct doctor *d, const char *text)
{
	char *copy = arena_strdup(d->client->arena, text), *rest = copy, *line, *last = NULL;
	bool whole = false;

	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
		whole = read_line(d, line) || whole;
		if (strncmp(line, "hawser: ", 8) == 0)
			last = line + 8;
	}
	if (!whole)
		doctor_note(d, DOCTOR_FAIL, "session",
			"hawser policy test YOU StartSession NODE; on the node: hawser-node status, and its "
			"log (journalctl -u hawser-node)",
			"%.400s", last != NULL ? last : "it ended before all was looked at");
}

/* --- the session ----------------------------------------------------------------------------- */

/* The script is read from a file of no name: whatever the user's own shell is, it starts sh. */
static int
script_file(void)
{
	int fd = memfd_create("hawser-doctor", MFD_CLOEXEC);

	if (fd >= 0 &&
		(fd_write_all(fd, script, sizeof(script) - 1, NULL) < 0 ||
			lseek(fd, 0, SEEK_SET) < 0)) {
		fd_close(fd);
		fd = -1;
	}
	return fd;
}

/* A `hawser exec` of its own: what it does is what the user would do. */
static void __attribute__((noreturn)) become_exec(const struct client *c, const char *node, int out)
{
	const char *const args[] = {
		"hawser", "--home", c->home.path, "exec", node, "--", "exec /bin/sh", NULL};
	int in = script_file();

	if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(127);
	if (c->proxy != NULL) { /* in no list of processes, as its command line would be */
		setenv("https_proxy", strcmp(c->proxy, "none") == 0 ? "" : c->proxy, 1);
		setenv("no_proxy", "", 1);
	}
	execv("/proc/self/exe", (char *const *)(void *)args);
	_exit(127);
}

static void
read_until(struct buf *said, int fd, int64_t until)
{
	ssize_t n = 1;

	while (n > 0) {
		int64_t left = until - clock_mono(&hw_clock_system);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint8_t *room = buf_reserve(said, 4096);
		if (left <= 0 || room == NULL || poll(&p, 1, (int)(left / 1000) + 1) <= 0)
			return;
		n = read(fd, room, 4096);
		if (n > 0)
			buf_commit(said, (size_t)n);
	}
}

/* `hawser exec` passes a first signal on to a program that may never hear of it. */
static void
end_session(pid_t pid)
{
	static const int signals[] = {SIGTERM, SIGTERM, SIGKILL};
	struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]) && poll(&p, 1, GRACE_MS) <= 0;
		i++)
		kill(pid, signals[i]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(p.fd);
}

static void
run_session(struct doctor *d, const char *node)
{
	int64_t start = clock_mono(&hw_clock_system);
	struct buf said;
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return;
	if ((pid = fork()) == 0)
		become_exec(d->client, node, pipes[1]);
	close(pipes[1]);
	buf_init(&said, SAID_MAX);
	if (pid > 0)
		read_until(&said, pipes[0], start + d->client->timeout);
	double took = (double)(clock_mono(&hw_clock_system) - start) / 1000;
	close(pipes[0]);
	if (pid > 0)
		end_session(pid);
	const char *text = buf_str(&said);
	if (text != NULL && strstr(text, "hawser-doctor user ") != NULL)
		doctor_note(d, DOCTOR_OK, "session", NULL,
			"a holder started and ended a program (%.0f ms); it is recorded", took);
	doctor_read_node(d, text != NULL ? text : "");
	buf_fini(&said);
}

void
doctor_node(struct doctor *d, const char *name)
{
	const struct msg_instance_information *node;
	struct hw_err err = HW_ERR_INIT;

	if (fleet_node(&node, d->client, name, &err) < 0) {
		doctor_note(d, DOCTOR_FAIL, "node", "hawser ls", "%s", hw_err_text(&err));
		return;
	}
	const char *seen = output_age(d->client, node->last_ping);
	if (node->ping_status != PING_STATUS_ONLINE) {
		doctor_note(d, DOCTOR_FAIL, "node",
			"on the node: hawser-node check --dir /var/lib/hawser-node, and systemctl status "
			"hawser-node",
			"%s has no link; it was seen %s", name, seen != NULL ? seen : "never");
		return;
	}
	const char *version = node->agent_version != NULL ? node->agent_version : "?";
	doctor_note(d, strcmp(version, HAWSER_VERSION) == 0 ? DOCTOR_OK : DOCTOR_WARN, "node",
		"upgrade its package", "%s has a link from %s, version %s", name,
		node->ip_address != NULL ? node->ip_address : "an unknown address", version);
	run_session(d, node->instance_id);
}
