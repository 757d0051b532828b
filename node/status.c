#include "node/status.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/config.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/wire/codec.h"

#define TEXT_MAX	 4096
#define ANSWER_WITHIN_MS 3000

/* --- what is shown -------------------------------------------------------------------------- */

struct line {
	const char *json, *word, *value;
};

static void
render_json(struct buf *out, const struct line *lines, size_t n, const struct node_status *s)
{
	buf_append_byte(out, '{');
	for (size_t i = 0; i < n; i++) {
		if (lines[i].value[0] == '\0')
			continue;
		buf_printf(out, "\"%s\": ", lines[i].json);
		json_append_string(out, lines[i].value, strlen(lines[i].value));
		buf_append_str(out, ", ");
	}
	buf_printf(out,
		"\"Sessions\": %d, \"Commands\": {\"Running\": %zu, \"Waiting\": %zu, \"Ended\": "
		"%zu}}\n",
		s->sessions, s->commands.running, s->commands.waiting, s->commands.ended);
}

static void
render_text(struct buf *out, const struct line *lines, size_t n, const struct node_status *s)
{
	for (size_t i = 0; i < n; i++)
		if (lines[i].word != NULL && lines[i].value[0] != '\0')
			buf_printf(out, "%-12s %s\n", lines[i].word, lines[i].value);
	buf_printf(out, "%-12s %d\n", "sessions", s->sessions);
	buf_printf(out, "%-12s %zu running, %zu waiting, %zu ended and not taken\n", "commands",
		s->commands.running, s->commands.waiting, s->commands.ended);
}

static const char *
time_text(char out[RFC3339_LEN + 1], int64_t wall)
{
	if (wall != 0)
		rfc3339_format(out, wall);
	else
		out[0] = '\0';
	return out;
}

/* "3600.0 s behind the relay's"; "" when it is as good as the relay's. */
static const char *
clock_text(char *out, size_t n, int64_t ahead)
{
	int64_t off = ahead < 0 ? -ahead : ahead;

	out[0] = '\0';
	if (off >= NODE_CLOCK_OFF)
		snprintf(out, n, "%.1f s %s the relay's", (double)off / USEC_PER_SEC,
			ahead < 0 ? "behind" : "ahead of");
	return out;
}

void
status_render(struct buf *out, const struct node_config *c, const struct node_status *s, bool json)
{
	char since[RFC3339_LEN + 1], next[RFC3339_LEN + 1], expires[RFC3339_LEN + 1];
	char relay[RELAY_URL_MAX], pin[80], clock[64];
	struct relay_url plain = c->relay;

	plain.pin[0] = '\0';
	if (relay_url_format(relay, sizeof(relay), &plain) < 0)
		relay[0] = '\0';
	snprintf(pin, sizeof(pin), "sha256:%s", s->pin != NULL ? s->pin : c->relay.pin);
	const struct line lines[] = {
		{"InstanceId",			       "node",       c->id				    },
		{"Name",				    "name",	 c->name				},
		{"Relay",				   "relay",	   relay					},
		{"Proxy",				   "proxy",	   s->proxy ? s->proxy : ""		   },
		{"CertificateAuthority",			 "pinned CA",  pin					 },
		{"State",				   "state",	   s->state				   },
		{"Since",				   "since",	   time_text(since,			    s->since)},
		{"NextAttempt",					 "next try",					    time_text(next,				    s->next_dial)},
		{"Error",			    "error",					s->error ? s->error : ""					   },
		{"WitnessState",		 NULL,s->witness_state ? s->witness_state : ""},
		{"Witness", "witness",			       s->witness ? s->witness : ""										  },
		{"Clock",		  "clock",  clock_text(clock,sizeof(clock), s->ahead)},
		{"CertificateExpires",			       "expires",			  time_text(expires,												     s->expires)},
		{"AgentVersion",			 "agent", HAWSER_VERSION},
	};
	(json ? render_json : render_text)(out, lines, sizeof(lines) / sizeof(lines[0]), s);
}

/* --- the socket ----------------------------------------------------------------------------- */

/* By way of the descriptor: the directory's own path may be too long for an address. */
static void
socket_address(struct sockaddr_un *sun, int dir)
{
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(sun->sun_path, sizeof(sun->sun_path), "/proc/self/fd/%d/" NODE_STATUS, dir);
}

struct status_server {
	struct loop *loop;
	const struct node_config *config;
	void (*fill)(void *arg, struct node_status *s);
	void *arg;
	int dir, fd;
	struct loop_fd *watch;
};

/* The answer is small enough for the socket to take it whole: its first byte says whether the node
 * is connected; both forms follow, a NUL after each. */
static void
answer(struct status_server *s, int fd)
{
	struct node_status st = {.state = "stopped"};
	struct buf b;

	s->fill(s->arg, &st);
	buf_init(&b, 4 * TEXT_MAX);
	buf_append_byte(&b, strcmp(st.state, "connected") == 0 ? '1' : '0');
	status_render(&b, s->config, &st, false);
	buf_append_byte(&b, '\0');
	status_render(&b, s->config, &st, true);
	buf_append_byte(&b, '\0');
	if (send(fd, buf_data(&b), b.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0; /* who asked has gone */
	buf_fini(&b);
}

static void
on_connect(void *arg, int what)
{
	struct status_server *s = arg;

	(void)what;
	hw_assert(s->fill != NULL);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	answer(s, fd);
	close(fd);
}

static int
listen_at(int dir, struct hw_err *err)
{
	struct sockaddr_un sun;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	socket_address(&sun, dir);
	unlinkat(dir, NODE_STATUS, 0); /* the lock says that nobody else listens there */
	mode_t old = umask(0177);
	int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	if (bound < 0 || listen(fd, 8) < 0) {
		int r = hw_err_sys(err, "cannot listen on " NODE_STATUS);
		fd_close(fd);
		return r;
	}
	return fd;
}

int
status_server_new(struct status_server **ret, struct loop *loop, int dir,
	const struct node_config *c, void (*fill)(void *arg, struct node_status *s), void *arg,
	struct hw_err *err)
{
	struct status_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*s = (struct status_server){
		.loop = loop, .config = c, .fill = fill, .arg = arg, .dir = dir};
	if ((s->fd = listen_at(dir, err)) < 0) {
		int r = s->fd;
		free(s);
		return r;
	}
	if (loop_fd_new(&s->watch, loop, s->fd, on_connect, s) < 0) {
		fd_close(s->fd);
		free(s);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	loop_fd_want(s->watch, LOOP_READ);
	*ret = s;
	return 0;
}

void
status_server_free(struct status_server *s)
{
	if (s == NULL)
		return;
	loop_fd_free(s->watch);
	fd_close(s->fd);
	unlinkat(s->dir, NODE_STATUS, 0);
	free(s);
}

/* --- asking --------------------------------------------------------------------------------- */

static void
read_all(struct buf *b, int fd)
{
	struct pollfd p = {fd, POLLIN, 0};
	ssize_t n;

	while (poll(&p, 1, ANSWER_WITHIN_MS) > 0) {
		uint8_t *room = buf_reserve(b, TEXT_MAX);
		if (room == NULL || (n = recv(fd, room, TEXT_MAX, 0)) <= 0)
			return;
		buf_commit(b, (size_t)n);
	}
}

int
status_ask(struct buf *out, bool *connected, int dir, bool json, struct hw_err *err)
{
	struct sockaddr_un sun;
	struct buf b;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;

	socket_address(&sun, dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		r = errno == EACCES
			? hw_err_set(err, HW_EDENIED,
				  "the agent's status is for root and the agent's own user: call it with sudo")
			: hw_err_set(err, HW_EUNAVAILABLE,
				  "no agent runs on this directory: systemctl start hawser-node, or hawser-node run --dir DIR");
		fd_close(fd);
		return r;
	}
	buf_init(&b, 8 * TEXT_MAX);
	read_all(&b, fd);
	fd_close(fd);
	const char *text = buf_str(&b), *first = b.len > 1 ? text + 1 : NULL;
	const char *second = first != NULL ? memchr(first, '\0', b.len - 1) : NULL;
	if (second == NULL || second + 1 >= text + b.len)
		r = hw_err_set(err, HW_EUNAVAILABLE,
			"the agent runs and gave no answer: its log says what it does (journalctl -u hawser-node)");
	else
		r = buf_append_str(out, json ? second + 1 : first);
	if (r == 0)
		*connected = text[0] == '1';
	buf_fini(&b);
	return r;
}
