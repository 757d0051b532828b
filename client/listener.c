#include "client/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"

#define BACKLOG 1024

static bool
is_socket_file(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int
say_bound(struct hw_err *err, const struct forward_spec *s)
{
	char near[FORWARD_SHOWN_MAX];
	int error = errno;

	forward_spec_near(near, s);
	if (error == EADDRINUSE && s->bind_is_path && !is_socket_file(s->bind))
		return hw_err_set(err, HW_EEXISTS, "%s is there already, and is no socket", near);
	if (error == EADDRINUSE)
		return hw_err_set(err, HW_EEXISTS, "%s is in use: another program listens there",
			near);
	if (error == EACCES && !s->bind_is_path)
		return hw_err_set(err, HW_ESYS, "%s: only root listens on ports below 1024", near);
	errno = error;
	return hw_err_sys(err, "cannot listen on %s", near);
}

/* A socket whose listener has gone stands in nobody's way. Other files refuse connections too. */
static bool
is_stale(const struct sockaddr_un *un)
{
	if (!is_socket_file(un->sun_path))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 &&
		errno == ECONNREFUSED;

	fd_close(fd);
	return stale;
}

static int
bind_path(int fd, const struct forward_spec *s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	mode_t mask = umask(0177);

	strncpy(un.sun_path, s->bind, sizeof(un.sun_path) - 1);
	int r = bind(fd, (const struct sockaddr *)&un, sizeof(un));
	if (r < 0 && errno == EADDRINUSE) {
		if (is_stale(&un) && unlink(s->bind) == 0)
			r = bind(fd, (const struct sockaddr *)&un, sizeof(un));
		else
			errno = EADDRINUSE;
	}
	umask(mask);
	return r;
}

static int
bind_address(int fd, struct forward_spec *s, const struct host *h)
{
	struct sockaddr_storage sa = h->address;
	socklen_t n = h->address_len;
	const int yes = 1, no = 0;

	((struct sockaddr_in *)&sa)->sin_port = htons((uint16_t)s->bind_port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, (const struct sockaddr *)&sa, n) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -1;
	s->bind_port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
	return 0;
}

static int
bind_spec(int fd, struct forward_spec *s, const struct host *h)
{
	return s->bind_is_path ? bind_path(fd, s) : bind_address(fd, s, h);
}

int
listener_open(int *ret, struct forward_spec *spec, struct hw_err *err)
{
	struct host h = {.address.ss_family = AF_UNIX};
	int fd, r;

	if (!spec->bind_is_path)
		host_parse(&h, spec->bind, NULL);
	fd = socket(h.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind_spec(fd, spec, &h) < 0) {
		r = say_bound(err, spec);
	} else if (listen(fd, BACKLOG) < 0) {
		r = say_bound(err, spec);
		if (spec->bind_is_path)
			unlink(spec->bind);
	} else {
		*ret = fd;
		return 0;
	}
	fd_close(fd);
	return r;
}
