#include "node/upgrade/agent.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/file.h"

/* By way of the folder's descriptor: its path may be too long for an address. Without waiting: one
 * that hangs takes nobody from its queue, and whoever had asked it a few times would hang next, and
 * with it the trial that it watches over. */
static int
dial(const char *dir, struct hw_err *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	if (folder < 0)
		return hw_err_sys(err, "cannot open %s", dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/" COURIER_SOCKET, folder);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int r = hw_err_set(err, HW_EUNAVAILABLE, "no agent answers in %s: %s", dir,
			strerror(errno));
		fd_close(fd);
		fd_close(folder);
		return r;
	}
	fd_close(folder);
	return fd;
}

void
agent_hang_up(struct agent_talk *t)
{
	fd_close(t->fd);
	t->fd = -1;
}

static int
receive(struct courier_answer *ret, const uint8_t **piece, struct agent_talk *t, int within_ms,
	struct hw_err *err)
{
	struct pollfd p = {t->fd, POLLIN, 0};
	int n;

	do
		n = poll(&p, 1, within_ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return hw_err_set(err, HW_ETIMEOUT, "the agent does not answer");
	ssize_t got = recv(t->fd, t->message, sizeof(t->message), MSG_TRUNC);
	if (got <= 0)
		return hw_err_set(err, HW_EUNAVAILABLE, "the agent ended while it was asked");
	if ((size_t)got > sizeof(t->message) ||
		courier_answer_parse(ret, piece, t->message, (size_t)got) < 0)
		return hw_err_set(err, HW_EPROTO, "the agent's answer is malformed");
	return 0;
}

int
agent_ask(struct courier_answer *ret, const uint8_t **piece, struct agent_talk *t,
	struct courier_ask *ask, int within_ms, struct hw_err *err)
{
	int r = 0;

	ask->magic = COURIER_MAGIC;
	ask->version = COURIER_VERSION;
	if (t->fd < 0)
		t->fd = r = dial(t->dir, err);
	if (r < 0)
		return r;
	if (send(t->fd, ask, sizeof(*ask), MSG_NOSIGNAL) != (ssize_t)sizeof(*ask))
		r = hw_err_set(err, HW_EUNAVAILABLE, "the agent ended while it was asked");
	else
		r = receive(ret, piece, t, within_ms, err);
	if (r == 0 && ret->kind != ask->kind)
		r = hw_err_set(err, HW_EPROTO, "the agent answers another question");
	if (r < 0)
		agent_hang_up(t);
	else if (ret->code < 0)
		r = hw_err_set(err, ret->code, "%s", ret->text);
	return r;
}
