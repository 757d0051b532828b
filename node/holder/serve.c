#include "node/holder/serve.h"

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/holder/outgoing.h"
#include "node/holder/screen.h"
#include "node/holder/sweep.h"

#define HANGUP_GRACE_MS	 2000 /* from SIGHUP to SIGKILL */
#define KILL_GRACE_MS	 500 /* from SIGKILL until what is not ours to kill is left to the monitor */
#define LOOK_EVERY_MS	 30
#define CREDIT_WITHIN_MS 5
#define SCRIPT_KEEP	 (256 * 1024) /* of the memory for a script's output, while it runs */
#define TYPED_MAX	 64   /* bytes that may be keys, which are answered by what they do */
#define PACE_MS		 10   /* what a line editor takes for a line at least */
#define DOUBT_MS	 500  /* what it may take until nobody waits for it */
#define PACED_MAX	 1024 /* input that comes line by line; more is a paste */
#define END_EVERY_MS	 500
#define SETTLE_AFTER_MS \
	200 /* of silence; a flood is looked at where it stops, or fills what waits */
#define NEVER INT64_MAX

int64_t
holder_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- what is left of the session ------------------------------------------------------------ */

static void
sweep_begin(struct holder *h)
{
	if (h->sweeping)
		return;
	h->sweeping = true;
	int left = sweep_session(h->program.pid, SIGHUP, UINT64_MAX);
	h->kill_at = holder_now() + HANGUP_GRACE_MS;
	h->look_at = holder_now() + (h->script ? 0 : LOOK_EVERY_MS);
	h->swept = left == 0 && h->exited && !h->script;
}

/* All that a script started, but for its shell, whose session is looked for by itself. What has
 * ended counts once. */
static int
sweep_others(struct holder *h, int signo)
{
	int left = sweep_descendants(getpid(), h->program.pid, signo);

	sweep_reap(h->program.pid);
	return left;
}

/* The program itself may have become another user's, as by an exec of sudo: then it is not over,
 * and the rest is the monitor's. */
static void
sweep_step(struct holder *h)
{
	int64_t now = holder_now();

	if (!h->sweeping || h->swept || now < h->look_at)
		return;
	h->look_at = now + LOOK_EVERY_MS;
	int signo = now >= h->kill_at ? SIGKILL : 0;
	int left = sweep_session(h->program.pid, signo, UINT64_MAX);
	if (h->script)
		left += sweep_others(h, signo);
	h->swept = (left == 0 && h->exited) || now >= h->kill_at + KILL_GRACE_MS;
}

bool
holder_output_over(const struct holder *h)
{
	return h->out[HOLDER_OUT].eof && h->out[HOLDER_ERR].eof;
}

/* From here on nobody listens: what is read only keeps the program from waiting. */
static void
discard_output(struct holder *h)
{
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++) {
		h->out[s].sent = h->out[s].ring.end;
		ring_consume(&h->out[s].ring, h->out[s].ring.end);
	}
}

void
holder_end(struct holder *h)
{
	bool by_itself = h->script && !h->killed && h->exited && holder_output_over(h);

	h->ending = true;
	discard_output(h);
	if (by_itself)
		h->left = h->swept = true;
	else
		sweep_begin(h);
}

/* Whoever leaves its session and its parents is still found by where it came from. */
static void
adopt_orphans(struct holder *h)
{
	sigset_t child;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	h->children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
on_children(struct holder *h)
{
	struct signalfd_siginfo si;
	bool orphans = false;

	while (read(h->children, &si, sizeof(si)) == (ssize_t)sizeof(si))
		orphans = orphans || (pid_t)si.ssi_pid != h->program.pid;
	if (orphans)
		sweep_reap(h->program.pid);
}

void
holder_is_script(struct holder *h, uint32_t seconds)
{
	h->script = true;
	h->out[HOLDER_OUT].ring.keep = SCRIPT_KEEP;
	h->input_gone = true; /* it has none */
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++)
		h->out[s].limit = HOLDER_RING_MAX; /* which no uplink has to grant first */
	h->seconds_end = holder_now() + (int64_t)seconds * 1000;
	adopt_orphans(h);
}

/* What forks while it is looked for is found the next time. */
static void
hunt(struct holder *h)
{
	h->hunt_at = sweep_others(h, SIGKILL) > 0 ? holder_now() + LOOK_EVERY_MS : NEVER;
}

/* All that a script started, and at once: also what its shell has already left behind. */
static void
signal_program(struct holder *h, int signo)
{
	h->killed = h->killed || signo == SIGKILL;
	if (h->script && signo == SIGKILL) {
		sweep_session(h->program.pid, SIGKILL, UINT64_MAX);
		hunt(h);
	} else if (!h->exited) {
		program_signal(&h->program, signo);
	}
}

/* The status is read but the program stays a zombie until the holder ends: so its number, which is
 * its session's too, cannot be anybody else's while processes of the session are looked for. */
static void
on_program_exit(struct holder *h)
{
	siginfo_t si = {.si_pid = 0};

	if (waitid(P_PIDFD, (id_t)h->program.pidfd, &si, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		si.si_pid == 0)
		return;
	h->exited = true;
	h->look_at = holder_now();
	h->exit.signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
	h->exit.status = h->exit.signal ? 128 + h->exit.signal : si.si_status;
	/* A script whose shell was killed, by itself perhaps, is told of as a shell tells of it. */
	if (h->script && !h->killed)
		h->exit.signal = 0;
	close(h->program.pidfd);
	h->program.pidfd = -1;
	if (h->program.pty)
		sweep_begin(h);
}

/* --- the connection ------------------------------------------------------------------------- */

static void
drop_conn(struct holder *h)
{
	if (h->conn >= 0)
		close(h->conn);
	h->conn = -1;
	h->in_len = 0;
	outgoing_drop(h);
	h->orphan_until = holder_now() + h->grace_ms;
	/* Nobody is kept waiting by a script: it has its time, with an uplink and without. */
	if (h->script && h->orphan_until < h->seconds_end + h->grace_ms)
		h->orphan_until = h->seconds_end + h->grace_ms;
}

static void on_conn(struct holder *h);

/* The uplink has gone. What it said before is still to be read: its last word may have been CLOSE.
 * After the shutdown reading comes to an end. */
static void
hear_out(struct holder *h)
{
	shutdown(h->conn, SHUT_RDWR);
	while (h->conn >= 0)
		on_conn(h);
}

/* Returns true when the socket is full and more waits. */
static bool
send_all(struct holder *h)
{
	while (h->conn >= 0) {
		enum outgoing_end end = outgoing_send(h);
		if (end != OUTGOING_GONE)
			return end == OUTGOING_BLOCKED;
		hear_out(h);
	}
	return false;
}

/* --- input ---------------------------------------------------------------------------------- */

/* Also after an adoption, when bytes may come again. */
static bool
take_input(struct holder *h, const struct holder_msg *m)
{
	const uint8_t *p = m->body;
	size_t n = m->head.len, skip = 0;
	struct iovec iov[2];

	if (m->head.stream != HOLDER_IN || m->head.offset > h->input.end || h->input_end)
		return false;
	skip = (size_t)(h->input.end - m->head.offset);
	if (skip >= n)
		return true;
	p += skip;
	n -= skip;
	if (ring_space(&h->input, iov, n) < n)
		return false;
	memcpy(iov[0].iov_base, p, iov[0].iov_len);
	memcpy(iov[1].iov_base, p + iov[0].iov_len, iov[1].iov_len);
	ring_commit(&h->input, n);
	return true;
}

static void
consumed_input(struct holder *h, size_t n, int echo)
{
	if (h->echo.now != echo) {
		h->echo.now = echo;
		h->echo.from = h->input.start;
	}
	ring_consume(&h->input, h->input.start + n);
	if (n > TYPED_MAX)
		h->credit.by = 0;
	else if (!h->credit.due)
		h->credit.by = holder_now() + CREDIT_WITHIN_MS;
	h->credit.due = true;
	h->credit.echo = echo;
}

/* A terminal has no end of input that lasts: who reads it next must be told again. So ^D is typed
 * until the program is gone. */
static void
type_end(struct holder *h)
{
	int byte = program_eof_byte(&h->program);
	char eof = (char)byte;

	if (byte >= 0 && write(h->program.in, &eof, 1) < 0 && errno != EAGAIN)
		h->end_at = NEVER;
	else
		h->end_at = holder_now() + END_EVERY_MS;
}

static void
end_input(struct holder *h)
{
	if (h->program.pty)
		type_end(h);
	else
		close(h->program.in);
	h->input_gone = true;
}

/* A line editor takes in what is typed ahead without showing it; the line before may have been a
 * command that hides what it reads (read -s). So the next line waits until the program in front
 * waits for it, and goes out under the echo state that there is then. Where that does not come to
 * be seen, whether a line editor shows it is unknown. */
static bool
is_paced(const struct holder *h)
{
	return h->program.pty && ring_len(&h->input) <= PACED_MAX;
}

static void
begin_line(struct holder *h)
{
	int64_t now = holder_now();

	h->line.until = now + (h->line.open ? PACE_MS : DOUBT_MS);
	h->line.look_at = now + PACE_MS;
	h->line.open = true;
}

static void
look_at_line(struct holder *h)
{
	int64_t now = holder_now();

	if (!h->line.open || now < h->line.look_at || ring_len(&h->input) == 0)
		return;
	h->line.open = !program_waits(&h->program);
	h->line.look_at = now + PACE_MS;
}

static bool
input_waits(const struct holder *h)
{
	return h->line.open && !h->exited && !h->input_gone && holder_now() < h->line.until;
}

static char
byte_at(const struct iovec iov[2], size_t at)
{
	bool first = at < iov[0].iov_len;
	const char *p = iov[!first].iov_base;

	return first ? p[at] : p[at - iov[0].iov_len];
}

static bool
ends_line(const struct iovec iov[2], size_t at)
{
	return byte_at(iov, at) == '\r' || byte_at(iov, at) == '\n';
}

static size_t
cut(struct iovec iov[2], size_t n)
{
	if (iov[0].iov_len > n)
		iov[0].iov_len = n;
	iov[1].iov_len = n - iov[0].iov_len;
	return n;
}

/* A line editor is given one line; a terminal that shows what is typed the line, and then its end
 * alone. */
static size_t
cut_typed(struct iovec iov[2], size_t n, bool keys)
{
	size_t at = 0;

	while (at < n && !ends_line(iov, at))
		at++;
	if (at < n && (keys || at == 0))
		at++;
	return cut(iov, at);
}

static int
input_echo(const struct holder *h)
{
	int echo = h->input_gone ? HOLDER_ECHO_UNKNOWN : program_echo(&h->program);

	if (echo == HOLDER_ECHO_SHOWN && h->line.open && program_takes_keys(&h->program))
		return HOLDER_ECHO_UNKNOWN;
	return echo;
}

/* The kernel shows what was written when it comes to it, and the echo may have been turned off
 * until then. A line's end is not asked about: the program that it wakes may be why. */
static int
echo_since(const struct holder *h, int echo, const struct iovec iov[2], size_t n)
{
	if (echo != HOLDER_ECHO_SHOWN || ends_line(iov, n - 1))
		return echo;
	program_input_is_read(&h->program);
	return program_echo(&h->program);
}

/* Returns what write(2) does; of what nobody reads any more all is written. */
static ssize_t
write_piece(struct holder *h, const struct iovec iov[2], size_t n)
{
	ssize_t w = h->input_gone ? (ssize_t)n : writev(h->program.in, iov, 2);

	if (w >= 0 || errno == EAGAIN || errno == EINTR)
		return w;
	if (!h->program.pty)
		close(h->program.in);
	h->input_gone = true;
	return 0;
}

/* One credit speaks for bytes of one echo state: where it changes, it goes out first, and where it
 * may change, after a line. */
static void
write_input(struct holder *h)
{
	struct iovec iov[2];
	size_t n;

	look_at_line(h);
	while (!input_waits(h) && (n = ring_peek(&h->input, iov, h->input.start, 4096)) > 0) {
		int echo = input_echo(h);
		if (h->credit.due && h->credit.echo != echo) {
			h->credit.by = 0;
			return;
		}
		bool typed = is_paced(h) && !h->input_gone;
		bool keys = typed && program_takes_keys(&h->program);
		if (typed && (keys || echo == HOLDER_ECHO_SHOWN))
			n = cut_typed(iov, n, keys);
		ssize_t w = write_piece(h, iov, n);
		if (w < 0)
			return;
		if (typed && !keys && w > 0)
			echo = echo_since(h, echo, iov, (size_t)w);
		bool line = w > 0 && ends_line(iov, (size_t)w - 1);
		consumed_input(h, (size_t)w, echo);
		if (line && keys)
			begin_line(h);
		if (line && typed && !keys && ring_len(&h->input) > 0) {
			h->credit.by = 0;
			return;
		}
	}
	if (h->input_end && !h->input_gone && ring_len(&h->input) == 0)
		end_input(h);
}

/* --- output --------------------------------------------------------------------------------- */

static void
end_output(struct holder *h, int s)
{
	h->out[s].eof = true;
	if (!h->program.pty)
		close(h->program.out[s]);
}

/* A terminal gives no end of file: EIO while no process has it open, and after its session's end
 * nothing more comes than what is there already. */
static void
on_no_output(struct holder *h, int s, ssize_t n)
{
	bool empty = n < 0 && (errno == EAGAIN || errno == EINTR);

	if (h->program.pty && !h->exited) {
		if (!empty)
			h->retry_read = holder_now() + LOOK_EVERY_MS;
	} else if (!empty || (h->program.pty && errno == EAGAIN)) {
		end_output(h, s);
	}
}

static void
show_output(struct holder *h, const struct iovec iov[2], size_t n)
{
	size_t first = n < iov[0].iov_len ? n : iov[0].iov_len;

	if (h->screen == NULL)
		return;
	screen_feed(h->screen, iov[0].iov_base, first);
	screen_feed(h->screen, iov[1].iov_base, n - first);
	h->settle_at = holder_now() + SETTLE_AFTER_MS;
}

/* In big gulps: each read of a terminal gives 4 KiB at most. */
static void
read_output(struct holder *h, int s)
{
	struct output *o = &h->out[s];
	struct iovec iov[2];
	size_t total = 0;

	h->retry_read = 0;
	while (!o->eof && total < HOLDER_DATA_MAX &&
		ring_space(&o->ring, iov, total == 0 ? 4096 : HOLDER_DATA_MAX - total) > 0) {
		ssize_t n = readv(h->program.out[s], iov, 2);
		if (n <= 0) {
			on_no_output(h, s, n);
			return;
		}
		ring_commit(&o->ring, (size_t)n);
		total += (size_t)n;
		show_output(h, iov, (size_t)n);
		if (h->ending)
			discard_output(h);
	}
}

/* --- what the uplink says ------------------------------------------------------------------- */

static bool
take_credit(struct holder *h, const struct holder_msg *m)
{
	struct output *o = &h->out[m->head.stream];
	uint64_t limit;

	memcpy(&limit, m->body, sizeof(limit));
	if (m->head.stream == HOLDER_IN || m->head.offset < o->ring.start ||
		m->head.offset > o->sent || limit < o->limit)
		return false;
	/* A piece under way is read from where it began. */
	ring_consume(&o->ring, m->head.offset);
	o->limit = limit;
	return true;
}

static void
take_resize(struct holder *h, const struct holder_msg *m)
{
	struct holder_size size;

	memcpy(&size, m->body, sizeof(size));
	program_resize(&h->program, size.cols, size.rows);
	if (h->screen != NULL)
		screen_resize(h->screen, size.cols, size.rows);
}

static bool
take_msg(struct holder *h, const struct holder_msg *m)
{
	switch (m->head.type) {
	case HOLDER_DATA:
		return take_input(h, m);
	case HOLDER_CREDIT:
		return take_credit(h, m);
	case HOLDER_END:
		h->input_end = m->head.stream == HOLDER_IN && m->head.offset == h->input.end;
		return h->input_end;
	case HOLDER_RESIZE:
		take_resize(h, m);
		return true;
	case HOLDER_REPAINT:
		h->paint.due = true;
		return true;
	case HOLDER_SIGNAL:
		signal_program(h, m->head.flags);
		return true;
	case HOLDER_CLOSE:
		holder_end(h);
		return false;
	default:
		return false;
	}
}

static bool
take_all(struct holder *h)
{
	struct holder_msg m;
	size_t at = 0, used;
	int r;

	while ((r = holder_parse(&m, h->inbuf + at, h->in_len - at, &used)) == 0) {
		if (!take_msg(h, &m))
			return false;
		at += used;
	}
	memmove(h->inbuf, h->inbuf + at, h->in_len - at);
	h->in_len -= at;
	return r > 0;
}

static void
on_conn(struct holder *h)
{
	size_t room = sizeof(struct holder_head) + HOLDER_DATA_MAX;
	ssize_t n = recv(h->conn, h->inbuf + h->in_len, room - h->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	h->in_len += n > 0 ? (size_t)n : 0;
	if (n <= 0 || !take_all(h))
		drop_conn(h);
}

/* --- adoption ------------------------------------------------------------------------------- */

static void
on_listening(struct holder *h)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd = accept4(h->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != h->agent_uid) {
		close(fd);
		return;
	}
	if (h->asking >= 0)
		close(h->asking);
	h->asking = fd;
}

/* Only who says STATE adopts: others merely look whether somebody listens. */
static void
on_asking(struct holder *h)
{
	uint8_t bytes[sizeof(struct holder_head)];
	struct holder_msg m;
	size_t used;
	ssize_t n = recv(h->asking, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || holder_parse(&m, bytes, (size_t)n, &used) != 0 ||
		m.head.type != HOLDER_STATE) {
		close(h->asking);
		h->asking = -1;
		return;
	}
	drop_conn(h);
	h->conn = h->asking;
	h->asking = -1;
	h->state_due = true;
	h->credit.due = false;
	h->exit_sent = false;
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++) {
		h->out[s].sent = h->out[s].ring.start;
		h->out[s].limit = h->out[s].ring.start;
		h->out[s].end_sent = false;
	}
}

/* --- the loop ------------------------------------------------------------------------------- */

enum { AT_LISTENING, AT_ASKING, AT_CONN, AT_PIDFD, AT_IN, AT_OUT, AT_ERR, AT_CHILDREN, ATS };

static bool
wants_output(const struct holder *h, int s)
{
	const struct output *o = &h->out[s];

	return !o->eof && h->retry_read == 0 && ring_len(&o->ring) < o->ring.max;
}

static void
set_polls(const struct holder *h, struct pollfd *p, bool send_blocked)
{
	/* A credit that waits says that the uplink is slow or gone: so does the input. */
	bool input = (ring_len(&h->input) > 0 || h->input_end) && !h->input_gone &&
		!h->credit.due && !input_waits(h);

	/* A descriptor of which nothing is wanted is left out: it would still tell of a hang-up. */
	p[AT_LISTENING] = (struct pollfd){h->listening, POLLIN, 0};
	p[AT_ASKING] = (struct pollfd){h->asking, POLLIN, 0};
	p[AT_CONN] = (struct pollfd){h->conn, (short)(POLLIN | (send_blocked ? POLLOUT : 0)), 0};
	p[AT_PIDFD] = (struct pollfd){h->program.pidfd, POLLIN, 0};
	p[AT_CHILDREN] = (struct pollfd){h->children, POLLIN, 0};
	p[AT_IN] = (struct pollfd){input ? h->program.in : -1, POLLOUT, 0};
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++)
		p[AT_OUT + s - HOLDER_OUT] =
			(struct pollfd){wants_output(h, s) ? h->program.out[s] : -1, POLLIN, 0};
}

static bool
screen_is_due(const struct holder *h)
{
	return h->screen != NULL && screen_waits(h->screen);
}

static int
poll_timeout(const struct holder *h)
{
	int64_t until = NEVER, now = holder_now();

	if (h->conn < 0 && h->orphan_until < until)
		until = h->orphan_until;
	if (h->retry_read != 0 && h->retry_read < until)
		until = h->retry_read;
	if (h->credit.due && h->conn >= 0 && h->credit.by > now && h->credit.by < until)
		until = h->credit.by;
	if (ring_len(&h->input) > 0 && input_waits(h) && h->line.look_at < until)
		until = h->line.look_at;
	if (h->hunt_at < until)
		until = h->hunt_at;
	if (h->sweeping && !h->swept && h->look_at < until)
		until = h->look_at;
	if (!h->exited && h->end_at < until)
		until = h->end_at;
	if (screen_is_due(h) && h->settle_at < until)
		until = h->settle_at;
	if (h->paint.due && h->paint.not_before > now && h->paint.not_before < until)
		until = h->paint.not_before;
	return until == NEVER ? -1 : until <= now ? 0 : (int)(until - now);
}

static void
on_time(struct holder *h)
{
	int64_t now = holder_now();

	if (h->conn < 0 && now >= h->orphan_until && !h->ending)
		holder_end(h);
	if (h->retry_read != 0 && now >= h->retry_read)
		h->retry_read = 0;
	if (!h->exited && now >= h->end_at)
		type_end(h);
	if (screen_is_due(h) && now >= h->settle_at)
		screen_settle(h->screen);
	if (now >= h->hunt_at)
		hunt(h);
	sweep_step(h);
}

static void
turn(struct holder *h)
{
	struct pollfd p[ATS];
	bool blocked = send_all(h);

	set_polls(h, p, blocked);
	if (poll(p, ATS, poll_timeout(h)) < 0 && errno != EINTR)
		_exit(1);
	if (p[AT_LISTENING].revents)
		on_listening(h);
	if (p[AT_ASKING].revents)
		on_asking(h);
	if (p[AT_CONN].revents & ~POLLOUT && p[AT_CONN].fd == h->conn)
		on_conn(h);
	if (p[AT_PIDFD].revents)
		on_program_exit(h);
	if (p[AT_CHILDREN].revents)
		on_children(h);
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++)
		if ((p[AT_OUT + s - HOLDER_OUT].revents & ~POLLOUT) ||
			(h->program.pty && h->exited))
			read_output(h, s);
	write_input(h);
	if (h->exited && holder_output_over(h) && !h->script)
		sweep_begin(h);
	on_time(h);
}

bool
holder_init(struct holder *h, int grace_seconds)
{
	*h = (struct holder){
		.program = PROGRAM_INIT,
		.listening = -1,
		.conn = -1,
		.asking = -1,
		.children = -1,
		.hunt_at = NEVER,
		.orphan_until = NEVER,
		.end_at = NEVER,
		.grace_ms = grace_seconds * 1000,
		.input = {.max = HOLDER_INPUT_MAX				 },
		.out = {[HOLDER_OUT] = {.ring = {.max = HOLDER_RING_MAX}},
			  [HOLDER_ERR] = {.ring = {.max = HOLDER_RING_MAX}}},
		.msg = {.stream = HOLDER_OUT						},
		.inbuf = malloc(sizeof(struct holder_head) + HOLDER_DATA_MAX),
	};
	return h->inbuf != NULL;
}

void
holder_serve(struct holder *h)
{
	/* A terminal's errors come out with its output. */
	if (h->program.pty)
		h->out[HOLDER_ERR].eof = h->out[HOLDER_ERR].end_sent = true;
	while (!(h->ending && h->swept))
		turn(h);
	waitpid(h->program.pid, NULL, WNOHANG);
}
