/* Somebody else than the network process sits at its end of the pair: whatever is sent, the root
 * process does what its table of requests says, and no more. */
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/sweep.h"
#include "node/monitor/request.h"
#include "proto/base/err.h"
#include "tests/unit/node/rig.h"

TestSuite(takeover, .timeout = 120);

#define PATIENCE_MS 20000
#define FLOOD	    10000
#define HOLDERS	    12
#define COMMAND	    "sleep 1000"

struct message {
	struct monitor_request request;
	char command[16];
};

static struct message
good(uint32_t id)
{
	struct message m = {
		.request = {.magic = REQUEST_MAGIC,
			    .version = REQUEST_VERSION,
			    .kind = REQUEST_EXEC,
			    .id = id,
			    .command_len = sizeof(COMMAND) - 1},
		.command = COMMAND,
	};

	snprintf(m.request.session_id, sizeof(m.request.session_id), "mallory-%017u", id);
	return m;
}

static size_t
length(const struct message *m)
{
	return sizeof(m->request) + m->request.command_len;
}

static void
put(const struct rig *r, const void *p, size_t n)
{
	cr_assert_eq(send(r->monitor_fd, p, n, MSG_NOSIGNAL), (ssize_t)n, "%s", strerror(errno));
}

/* The next answer; a descriptor that comes along is closed unless *passed takes it. */
static struct monitor_reply
answer(const struct rig *r, int *passed)
{
	struct pollfd p = {r->monitor_fd, POLLIN, 0};
	struct monitor_reply reply;
	int fd;

	cr_assert_gt(poll(&p, 1, PATIENCE_MS), 0, "no answer");
	cr_assert_eq(reply_receive(&reply, &fd, r->monitor_fd), 0);
	if (passed != NULL)
		*passed = fd;
	else if (fd >= 0)
		close(fd);
	return reply;
}

static void
refused(const struct rig *r, const void *p, size_t n, int code)
{
	put(r, p, n);
	struct monitor_reply reply = answer(r, NULL);
	cr_assert_eq(reply.code, code, "%d", reply.code);
}

static int
count(const char *path, bool (*counts)(const struct rig *r, const char *name), const struct rig *r)
{
	struct dirent *e;
	int n = 0;

	DIR *d = opendir(path);
	cr_assert_not_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.' && counts(r, e->d_name);
	closedir(d);
	return n;
}

static bool
is_child(const struct rig *r, const char *name)
{
	return atoi(name) > 0 && sweep_parent((pid_t)atoi(name)) == r->monitor;
}

static bool
is_any(const struct rig *r, const char *name)
{
	(void)r;
	(void)name;
	return true;
}

static int
children(const struct rig *r)
{
	return count("/proc", is_child, r);
}

static int
descriptors(const struct rig *r)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)r->monitor);
	return count(path, is_any, r);
}

static long
resident_kb(const struct rig *r)
{
	char path[64];
	long pages = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)r->monitor);
	FILE *f = fopen(path, "re");
	cr_assert(f != NULL && fscanf(f, "%*d %ld", &pages) == 1);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
still_serves(struct rig *r)
{
	cr_assert_eq(rig_start(r, REQUEST_EXEC, "exit 9"), 0, "%s", r->reply.text);
	cr_assert_eq(rig_until_exit(r), 9);
	rig_close(r);
}

/* Nothing runs, and the monitor has done all that an end makes it do: it answers one thing after
 * the other. */
static void
until_at_rest(const struct rig *r)
{
	struct message m = good(1);

	for (int i = 0; children(r) > 0; i++) {
		cr_assert_lt(i, PATIENCE_MS / 10, "a holder stays");
		poll(NULL, 0, 10);
	}
	m.request.kind = 7;
	refused(r, &m, length(&m), HW_EVALIDATION);
}

/* --- every field ----------------------------------------------------------------------------- */

/* All bytes but those of the id, the terminal's size and the command mean something exact. */
static bool
is_free(size_t i)
{
	return i >= offsetof(struct monitor_request, id) &&
		i < offsetof(struct monitor_request, run_as);
}

Test(takeover, no_byte_of_a_request_can_be_other)
{
	static const uint8_t wrong[] = {0x01, '\n', '/', '*', 0x80, 0xff};
	struct rig *r = rig_new();

	for (size_t i = 0; i < sizeof(struct monitor_request); i++) {
		for (size_t w = 0; w < sizeof(wrong); w++) {
			struct message m = good(1);
			uint8_t *byte = (uint8_t *)&m.request + i;
			if (is_free(i) || *byte == wrong[w])
				continue;
			*byte = wrong[w];
			/* Two that are right again: the other kind, and a document of that name. */
			if (m.request.kind == REQUEST_PTY || m.request.document[0] == '/')
				continue;
			refused(r, &m, sizeof(m.request) + sizeof(COMMAND) - 1, HW_EVALIDATION);
		}
	}
	cr_assert_eq(children(r), 0);
	still_serves(r);
	rig_free(r);
}

Test(takeover, no_other_kind_or_version_is_known)
{
	struct rig *r = rig_new();

	for (uint32_t n = 0; n <= UINT16_MAX; n = n < 300 ? n + 1 : n + 251) {
		struct message kind = good(1), version = good(1);
		kind.request.kind = (uint16_t)n;
		version.request.version = (uint16_t)n;
		if (n != REQUEST_PTY && n != REQUEST_EXEC)
			refused(r, &kind, length(&kind), HW_EVALIDATION);
		if (n != REQUEST_VERSION)
			refused(r, &version, length(&version), HW_EVALIDATION);
	}
	cr_assert_eq(children(r), 0);
	rig_free(r);
}

Test(takeover, lengths_are_exact)
{
	struct rig *r = rig_new();
	struct message m = good(1);
	size_t most = sizeof(m.request) + REQUEST_COMMAND_MAX + 1;
	uint8_t *big = calloc(1, REQUEST_MAX + 65536);

	for (size_t n = 1; n < length(&m); n++)
		refused(r, &m, n, HW_EVALIDATION);
	refused(r, &m, length(&m) + 1, HW_EVALIDATION);
	static const uint32_t lens[] = {0, 1, 9, 11, REQUEST_COMMAND_MAX, REQUEST_COMMAND_MAX + 1,
		INT32_MAX, (uint32_t)INT32_MAX + 1, UINT32_MAX};
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		m = good(1);
		m.request.command_len = lens[i];
		refused(r, &m, sizeof(m.request) + sizeof(COMMAND) - 1, HW_EVALIDATION);
	}
	static const size_t beyond[] = {0, 1, REQUEST_MAX - sizeof(m.request) - REQUEST_COMMAND_MAX,
		REQUEST_MAX - sizeof(m.request) - REQUEST_COMMAND_MAX + 1, 65536 + 16384};
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		size_t n = most - 1 + beyond[i];
		m = good(1);
		m.request.command_len = (uint32_t)(n - sizeof(m.request));
		memset(big, 'x', n);
		memcpy(big, &m.request, sizeof(m.request));
		/* The largest there may be is one; its program's argument is too long. */
		refused(r, big, n, n < most ? HW_ESPAWN : HW_EVALIDATION);
	}
	free(big);
	still_serves(r);
	rig_free(r);
}

Test(takeover, ids_of_sessions_lead_nowhere)
{
	static const char *const ids[] = {"", ".", "..", "../x", "../../../../etc/cron.d/x",
		"/etc/x", "a/b", "a/../b", ".hidden", "a b", "a\nb", "a%2fb/", "a\\b", "\303\244",
		"~", "$HOME", "*"};
	struct rig *r = rig_new();

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct message m = good(1);
		memset(m.request.session_id, 0, sizeof(m.request.session_id));
		strcpy(m.request.session_id, ids[i]);
		refused(r, &m, length(&m), HW_EVALIDATION);
	}
	struct message whole = good(1);
	memset(whole.request.session_id, 'a', sizeof(whole.request.session_id)); /* without a NUL */
	refused(r, &whole, length(&whole), HW_EVALIDATION);
	cr_assert_eq(children(r), 0);
	rig_free(r);
}

/* --- order ----------------------------------------------------------------------------------- */

Test(takeover, a_session_is_started_once_whatever_the_order)
{
	struct rig *r = rig_new(.grace_seconds = 1);
	struct message m = good(7), other = good(8);
	int fd;

	for (int i = 0; i < 3; i++)
		put(r, &m, length(&m));
	strcpy(other.request.session_id, m.request.session_id);
	put(r, &other, length(&other));
	int started = 0, exists = 0;
	for (int i = 0; i < 4; i++) {
		struct monitor_reply reply = answer(r, &fd);
		started += reply.code == 0;
		exists += reply.code == HW_EEXISTS;
		if (fd >= 0)
			close(fd);
	}
	cr_assert_eq(started, 1);
	cr_assert_eq(exists, 3);
	rig_until_no_socket(r);
	still_serves(r);
	rig_free(r);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static void
put_with(const struct rig *r, const void *p, size_t n, const int *fds, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)p, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(n_fds * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	cr_assert_eq(sendmsg(r->monitor_fd, &m, MSG_NOSIGNAL), (ssize_t)n);
}

/* Neither in the monitor nor in what it starts does anything of it stay open. */
Test(takeover, descriptors_that_come_along_are_closed)
{
	struct rig *r = rig_new(.grace_seconds = 1);
	int fds[2], given[8], fd;
	char byte;

	still_serves(r);
	until_at_rest(r);
	int before = descriptors(r);

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	for (int i = 0; i < 8; i++)
		given[i] = fds[1];
	for (uint32_t i = 0; i < 50; i++) {
		struct message m = good(100 + i);
		m.request.kind = 99;
		put_with(r, &m, length(&m), given, 1 + i % 8);
		cr_assert_eq(answer(r, NULL).code, HW_EVALIDATION);
	}
	struct message m = good(200);
	put_with(r, &m, length(&m), given, 8);
	cr_assert_eq(answer(r, &fd).code, 0);
	close(fds[1]);
	struct pollfd p = {fds[0], POLLIN, 0};
	cr_assert_gt(poll(&p, 1, PATIENCE_MS), 0, "somebody keeps it");
	cr_assert_eq(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	close(fd);
	until_at_rest(r);
	cr_assert_eq(descriptors(r), before);
	rig_free(r);
}

/* It is a process of the user's. One that is stopped would have its place for good, and hear no
 * end. */
Test(takeover, who_stops_the_own_holder_ends_the_own_session)
{
	struct rig *r = rig_new(.holders_max = 1, .grace_seconds = 1);

	cr_assert_eq(rig_start(r, REQUEST_EXEC, COMMAND), 0, "%s", r->reply.text);
	pid_t program = (pid_t)r->reply.pid, holder = sweep_parent(program);
	cr_assert_eq(sweep_parent(holder), r->monitor);
	cr_assert_eq(kill(holder, SIGSTOP), 0);
	rig_until_dead(program);
	rig_until_dead(holder);
	close(r->fd);
	r->fd = -1;
	still_serves(r);
	rig_free(r);
}

/* Of one that it did not start nobody tells the monitor that it is stopped. */
Test(takeover, who_stops_a_holder_that_the_last_monitor_started_ends_the_own_session)
{
	struct rig *r = rig_new(.holders_max = 1, .grace_seconds = 1);

	cr_assert_eq(rig_start(r, REQUEST_EXEC, COMMAND), 0, "%s", r->reply.text);
	pid_t program = (pid_t)r->reply.pid, holder = sweep_parent(program);
	rig_kill_monitor(r);
	rig_new_monitor(r);
	cr_assert_eq(rig_try(r, REQUEST_EXEC, COMMAND, "alice-1"), HW_ELIMIT);
	cr_assert_eq(kill(holder, SIGSTOP), 0);
	rig_until_dead(program);
	rig_until_dead(holder);
	close(r->fd);
	r->fd = -1;
	still_serves(r);
	rig_free(r);
}

/* --- too often -------------------------------------------------------------------------------- */

struct flood {
	struct rig *rig;
	int answers, started, limited, malformed, other;
	int most; /* processes at once */
	int fds[HOLDERS];
};

static void
take_answer(struct flood *f)
{
	int fd;
	struct monitor_reply reply = answer(f->rig, &fd);

	f->answers++;
	f->limited += reply.code == HW_ELIMIT;
	f->malformed += reply.code == HW_EVALIDATION;
	f->other += reply.code != 0 && reply.code != HW_ELIMIT && reply.code != HW_EVALIDATION;
	if (reply.code == 0) {
		cr_assert_lt(f->started, HOLDERS);
		f->fds[f->started++] = fd;
	} else {
		cr_assert_eq(fd, -1);
	}
}

static void
take_what_is_there(struct flood *f)
{
	struct pollfd p = {f->rig->monitor_fd, POLLIN, 0};

	while (poll(&p, 1, 0) > 0)
		take_answer(f);
}

static void
look(struct flood *f)
{
	int now = children(f->rig);

	f->most = now > f->most ? now : f->most;
}

/* Every third one is malformed. False: the monitor takes no more for now. */
static bool
put_one(const struct flood *f, uint32_t i)
{
	struct message m = good(1000 + i);

	m.request.kind = i % 3 == 0 ? 7 : REQUEST_EXEC;
	return send(f->rig->monitor_fd, &m, length(&m), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

Test(takeover, ten_thousand_requests_cost_what_a_few_cost)
{
	struct flood f = {.rig = rig_new(.holders_max = HOLDERS, .grace_seconds = 1)};

	still_serves(f.rig);
	until_at_rest(f.rig);
	int before = descriptors(f.rig);
	long memory = resident_kb(f.rig);

	for (uint32_t i = 0; i < FLOOD;) {
		if (put_one(&f, i))
			i++;
		take_what_is_there(&f);
		if (i % 500 == 0)
			look(&f);
	}
	while (f.answers < FLOOD)
		take_answer(&f);
	cr_assert_eq(f.started, HOLDERS);
	cr_assert_eq(f.malformed, (FLOOD + 2) / 3);
	cr_assert_eq(f.other, 0);
	cr_assert_eq(f.limited, FLOOD - f.started - f.malformed);
	cr_assert_leq(f.most, HOLDERS);
	cr_assert_eq(children(f.rig), HOLDERS);
	cr_assert_leq(descriptors(f.rig), before + 1);
	cr_assert_lt(resident_kb(f.rig) - memory, 16 * 1024, "%ld KiB more",
		resident_kb(f.rig) - memory);
	for (int i = 0; i < HOLDERS; i++)
		close(f.fds[i]);
	rig_until_no_socket(f.rig);
	still_serves(f.rig);
	rig_free(f.rig);
}

/* No more is read from somebody than is answered, and what was read is answered all the same. */
Test(takeover, who_does_not_listen_is_not_listened_to)
{
	struct flood f = {.rig = rig_new(.holders_max = HOLDERS, .grace_seconds = 1)};
	uint32_t sent = 0;

	for (int idle = 0; idle < 50; idle++) {
		while (put_one(&f, sent)) {
			sent++;
			idle = 0;
			cr_assert_lt(sent, FLOOD, "its answers are kept without end");
		}
		poll(NULL, 0, 10);
	}
	look(&f);
	cr_assert_eq(f.most, HOLDERS);
	while (f.answers < (int)sent)
		take_answer(&f);
	cr_assert_eq(f.started, HOLDERS);
	for (int i = 0; i < f.started; i++)
		close(f.fds[i]);
	until_at_rest(f.rig);
	still_serves(f.rig);
	rig_free(f.rig);
}

/* The monitor's descriptor of a holder that it did not start, as one that it forks has it for a
 * while.
 */
static int
share_pidfd(pid_t monitor)
{
	char path[64], what[64];
	int self = pidfd_open(monitor, 0), found = -1;

	for (int fd = 0; fd < 64 && found < 0; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)monitor, fd);
		ssize_t n = readlink(path, what, sizeof(what) - 1);
		what[n > 0 ? n : 0] = '\0';
		if (strstr(what, "pidfd") != NULL)
			found = pidfd_getfd(self, fd, 0);
	}
	close(self);
	return found;
}

Test(takeover, a_holder_of_the_last_monitor_ends_once_whoever_else_has_its_descriptor)
{
	struct rig *r = rig_new();
	char id[128];

	cr_assert_eq(rig_start(r, REQUEST_EXEC, COMMAND), 0, "%s", r->reply.text);
	pid_t holder = sweep_parent((pid_t)r->reply.pid);
	rig_kill_monitor(r);
	rig_new_monitor(r);
	rig_only_session(r, id);
	const struct monitor_reply reply = r->reply;
	cr_assert_eq(rig_try(r, REQUEST_EXEC, "x", id), HW_EEXISTS);
	r->reply = reply;
	int shared = share_pidfd(r->monitor);
	cr_assert_geq(shared, 0, "%s", strerror(errno));
	rig_close(r);
	rig_until_dead(holder);
	still_serves(r);
	close(shared);
	rig_free(r);
}
