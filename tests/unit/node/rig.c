#include "tests/unit/node/rig.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/holder/sweep.h"
#include "node/monitor/monitor.h"
#include "proto/base/file.h"

#define PATIENCE_MS 20000
#define MESSAGE_MAX (sizeof(struct holder_head) + HOLDER_DATA_MAX)

static void
nap(void)
{
	poll(NULL, 0, 10);
}

static void
write_policy(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	cr_assert_not_null(f);
	cr_assert_geq(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0644), 0);
}

void
rig_new_monitor(struct rig *r)
{
	int fds[2], size = REQUEST_SNDBUF;
	char policy[96];

	snprintf(policy, sizeof(policy), "%s/policy", r->dir);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r->monitor = fork();
	if (r->monitor == 0) {
		close(fds[0]);
		struct monitor_config c = {
			.dir = r->dir,
			.rootless = r->options.run_as == NULL,
			.agent_user = "daemon",
			.run_as = r->options.run_as,
			.command_run_as = r->options.run_as,
			.grace_seconds = r->options.grace_seconds ? r->options.grace_seconds : 60,
			.holders_max = r->options.holders_max,
			.answers_in_ms = r->options.answers_in_ms,
			.policy = {.path = policy			 },
			.entry = { .service = r->options.pam,
				   .program = r->options.pam_program,
				   .within_ms = r->options.pam_within_ms},
			.serve_fd = fds[1],
		};
		_exit(monitor_run(&c));
	}
	close(fds[1]);
	r->monitor_fd = fds[0];
}

void
rig_kill_monitor(struct rig *r)
{
	cr_assert_eq(kill(r->monitor, SIGKILL), 0);
	cr_assert_eq(waitpid(r->monitor, NULL, 0), r->monitor);
	close(r->monitor_fd);
}

struct rig *
rig_new_with(struct rig_options options)
{
	struct rig *r = calloc(1, sizeof(*r));
	char policy[96];

	cr_assert_not_null(r);
	r->options = options;
	strcpy(r->dir, "/tmp/hawser-node-test-XXXXXX");
	cr_assert_not_null(mkdtemp(r->dir));
	snprintf(policy, sizeof(policy), "%s/policy", r->dir);
	if (options.policy != NULL)
		write_policy(policy, options.policy);
	rig_new_monitor(r);
	r->fd = -1;
	r->in = malloc(MESSAGE_MAX);
	for (int s = 0; s < HOLDER_STREAMS; s++)
		buf_init(&r->out[s], 64 << 20);
	buf_init(&r->screen, HOLDER_PAINT_MAX);
	return r;
}

static void
receive_reply(struct rig *r, int *fd)
{
	int n;

	while ((n = reply_receive(&r->reply, fd, r->monitor_fd)) > 0) {
		struct pollfd p = {r->monitor_fd, POLLIN, 0};
		cr_assert_gt(poll(&p, 1, PATIENCE_MS), 0, "the monitor does not answer");
	}
	cr_assert_eq(n, 0);
}

static void
ask(struct rig *r, struct monitor_request *q, const char *command, int *fd)
{
	static uint32_t ids;
	size_t len = command ? strlen(command) : 0;
	uint8_t *message = calloc(1, sizeof(*q) + len);

	q->magic = REQUEST_MAGIC;
	q->version = REQUEST_VERSION;
	q->id = ++ids;
	q->cols = 80;
	q->rows = 24;
	strcpy(q->term, "xterm");
	q->command_len = (uint32_t)len;
	if (q->session_id[0] == '\0')
		snprintf(q->session_id, sizeof(q->session_id), "alice-0000000000000%04u", ids);
	memcpy(message, q, sizeof(*q));
	if (len > 0)
		memcpy(message + sizeof(*q), command, len);
	cr_assert_eq(send(r->monitor_fd, message, sizeof(*q) + len, 0),
		(ssize_t)(sizeof(*q) + len));
	free(message);
	receive_reply(r, fd);
	cr_assert_eq(r->reply.id, q->id);
}

int
rig_try(struct rig *r, enum request_kind kind, const char *command, const char *session_id)
{
	struct monitor_request q = {.kind = (uint16_t)kind};
	int fd = -1;

	snprintf(q.session_id, sizeof(q.session_id), "%s", session_id);
	ask(r, &q, command, &fd);
	cr_assert_lt(fd, 0);
	return r->reply.code;
}

int
rig_start_document(struct rig *r, enum request_kind kind, const char *command, const char *run_as,
	const char *document)
{
	struct monitor_request q = {.kind = (uint16_t)kind};

	snprintf(q.run_as, sizeof(q.run_as), "%s", run_as);
	snprintf(q.document, sizeof(q.document), "%s", document);
	ask(r, &q, command, &r->fd);
	r->in_len = 0;
	r->typed = r->consumed = 0;
	r->exited = false;
	r->abilities = -1;
	r->screens = r->parts = 0;
	for (int s = 0; s < HOLDER_STREAMS; s++) {
		buf_reset(&r->out[s]);
		r->ended[s] = false;
	}
	if (r->reply.code == 0) {
		rig_credit(r, HOLDER_OUT, 0, HOLDER_RING_MAX);
		rig_credit(r, HOLDER_ERR, 0, HOLDER_RING_MAX);
	}
	return r->reply.code;
}

int
rig_start_as(struct rig *r, enum request_kind kind, const char *command, const char *run_as)
{
	return rig_start_document(r, kind, command, run_as, "");
}

int
rig_start(struct rig *r, enum request_kind kind, const char *command)
{
	return rig_start_as(r, kind, command, "");
}

/* --- what is said --------------------------------------------------------------------------- */

static void
take_screen(struct rig *r, const struct holder_msg *m)
{
	if (r->parts++ == 0) {
		buf_reset(&r->screen);
		r->screen_offset = m->head.offset;
	}
	cr_assert_eq(r->screen_offset, m->head.offset);
	cr_assert_eq(buf_append(&r->screen, m->body, m->head.len), 0);
	if ((m->head.flags & HOLDER_MORE) != 0)
		return;
	r->screens++;
	r->parts = 0;
}

static void
take(struct rig *r, const struct holder_msg *m)
{
	int s = m->head.stream;

	switch (m->head.type) {
	case HOLDER_DATA:
		cr_assert_eq(m->head.offset, r->out[s].len, "output out of order");
		cr_assert_eq(buf_append(&r->out[s], m->body, m->head.len), 0);
		rig_credit(r, s, r->out[s].len, r->out[s].len + HOLDER_RING_MAX);
		break;
	case HOLDER_END:
		cr_assert_eq(m->head.offset, r->out[s].len);
		r->ended[s] = true;
		break;
	case HOLDER_CREDIT:
		r->consumed = m->head.offset;
		r->echo = m->head.flags;
		break;
	case HOLDER_EXIT:
		memcpy(&r->exit, m->body, sizeof(r->exit));
		r->exited = true;
		break;
	case HOLDER_STATE:
		r->abilities = m->head.flags;
		break;
	case HOLDER_SCREEN:
		take_screen(r, m);
		break;
	default:
		cr_assert_fail("a holder said %d", m->head.type);
	}
}

/* False at the end of the connection. */
static bool
receive(struct rig *r)
{
	struct pollfd p = {r->fd, POLLIN, 0};
	struct holder_msg m;
	size_t used;
	int parsed;

	cr_assert_gt(poll(&p, 1, PATIENCE_MS), 0, "the holder says nothing; so far: %s",
		rig_text(r, HOLDER_OUT));
	ssize_t n = recv(r->fd, r->in + r->in_len, MESSAGE_MAX - r->in_len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	r->in_len += (size_t)n;
	while ((parsed = holder_parse(&m, r->in, r->in_len, &used)) == 0) {
		take(r, &m);
		memmove(r->in, r->in + used, r->in_len - used);
		r->in_len -= used;
	}
	cr_assert_gt(parsed, 0);
	return true;
}

/* While the holder's socket is full, what it says is taken: it waits for that in turn. */
static void
send_all(struct rig *r, const uint8_t *p, size_t n)
{
	while (n > 0) {
		struct pollfd both = {r->fd, POLLIN | POLLOUT, 0};
		cr_assert_gt(poll(&both, 1, PATIENCE_MS), 0);
		ssize_t sent = send(r->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
		cr_assert(sent > 0 || errno == EAGAIN, "the holder went away: %s", strerror(errno));
	}
}

void
rig_send(struct rig *r, enum holder_type type, int stream, uint16_t flags, uint64_t offset,
	const void *body, size_t n)
{
	struct holder_head head = {.type = (uint8_t)type,
		.stream = (uint8_t)stream,
		.flags = flags,
		.len = (uint32_t)n,
		.offset = offset};

	send_all(r, (const uint8_t *)&head, sizeof(head));
	send_all(r, body, n);
}

void
rig_credit(struct rig *r, int stream, uint64_t consumed, uint64_t limit)
{
	rig_send(r, HOLDER_CREDIT, stream, 0, consumed, &limit, sizeof(limit));
}

/* As an uplink does: never more than the holder may keep. */
void
rig_type(struct rig *r, const char *text)
{
	for (size_t n = strlen(text), piece; n > 0; n -= piece, text += piece) {
		piece = n < 32768 ? n : 32768;
		while (r->typed + piece - r->consumed > HOLDER_INPUT_MAX)
			cr_assert(receive(r));
		rig_send(r, HOLDER_DATA, HOLDER_IN, 0, r->typed, text, piece);
		r->typed += piece;
	}
}

const char *
rig_text(struct rig *r, int stream)
{
	return buf_str(&r->out[stream]);
}

void
rig_until_shown(struct rig *r, const char *text)
{
	bool more = true;

	while (strstr(rig_text(r, HOLDER_OUT), text) == NULL) {
		cr_assert(more && !r->exited, "never shown: %s; but: %s", text,
			rig_text(r, HOLDER_OUT));
		more = receive(r);
	}
}

void
rig_until_consumed(struct rig *r, uint64_t n)
{
	while (r->consumed < n)
		cr_assert(receive(r));
}

void
rig_until_screens(struct rig *r, int n)
{
	while (r->screens < n)
		cr_assert(receive(r));
}

void
rig_repaint(struct rig *r)
{
	rig_send(r, HOLDER_REPAINT, 0, 0, 0, NULL, 0);
	rig_until_screens(r, r->screens + 1);
}

int
rig_until_exit(struct rig *r)
{
	while (!r->exited)
		cr_assert(receive(r), "the holder went without a word");
	cr_assert(r->ended[HOLDER_OUT]);
	return r->exit.status;
}

/* --- ends ----------------------------------------------------------------------------------- */

bool
rig_alive(pid_t pid)
{
	return kill(pid, 0) == 0 || errno == EPERM;
}

void
rig_until_dead(pid_t pid)
{
	for (int i = 0; rig_alive(pid); i++) {
		cr_assert_lt(i, PATIENCE_MS / 10, "process %d stays", (int)pid);
		nap();
	}
}

static int
count_sockets(const struct rig *r)
{
	char path[128];
	struct dirent *e;
	int n = 0;

	snprintf(path, sizeof(path), "%s/run", r->dir);
	DIR *d = opendir(path);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

void
rig_only_session(const struct rig *r, char id[128])
{
	char path[128];
	struct dirent *e;

	snprintf(path, sizeof(path), "%s/run", r->dir);
	DIR *d = opendir(path);
	cr_assert_not_null(d);
	cr_assert_eq(count_sockets(r), 1);
	while ((e = readdir(d)) != NULL && e->d_name[0] == '.')
		;
	snprintf(id, 128, "%.100s", e->d_name);
	closedir(d);
	*strrchr(id, '.') = '\0';
}

void
rig_until_no_socket(struct rig *r)
{
	for (int i = 0; count_sockets(r) > 0; i++) {
		cr_assert_lt(i, PATIENCE_MS / 10, "a socket's file stays");
		nap();
	}
}

void
rig_close(struct rig *r)
{
	if (r->fd < 0)
		return;
	rig_send(r, HOLDER_CLOSE, 0, 0, 0, NULL, 0);
	close(r->fd);
	r->fd = -1;
	rig_until_no_socket(r);
	cr_assert_eq(sweep_session((pid_t)r->reply.pid, 0, UINT64_MAX), 0);
	rig_until_dead((pid_t)r->reply.pid);
}

void
rig_free(struct rig *r)
{
	char path[128];
	int status;

	rig_close(r);
	rig_until_no_socket(r);
	close(r->monitor_fd);
	cr_assert_eq(waitpid(r->monitor, &status, 0), r->monitor);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	snprintf(path, sizeof(path), "%s/run", r->dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/policy", r->dir);
	unlink(path);
	rmdir(r->dir);
	for (int s = 0; s < HOLDER_STREAMS; s++)
		buf_fini(&r->out[s]);
	buf_fini(&r->screen);
	free(r->in);
	free(r);
}
