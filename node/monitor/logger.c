#include "node/monitor/logger.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 512 /* which a pipe takes whole or not at all */

void
logger_init_plain(struct logger *l)
{
	struct stat st = {.st_mode = 0};

	fstat(STDERR_FILENO, &st);
	*l = (struct logger){
		.fd = STDERR_FILENO,
		.socket = S_ISSOCK(st.st_mode),
		.waits = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode),
	};
}

/* O_NONBLOCK is a matter of the open file, which others have too: so this is another one. */
void
logger_init(struct logger *l)
{
	logger_init_plain(l);
	if (!l->waits)
		return;
	int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return;
	l->fd = own;
	l->waits = false;
}

static bool
put(const struct logger *l, const char *line, size_t n)
{
	struct pollfd p = {l->fd, POLLOUT, 0};

	if (l->socket)
		return send(l->fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
	if (l->waits && poll(&p, 1, 0) != 1)
		return false;
	return write(l->fd, line, n) >= 0;
}

static size_t
begin(char line[LINE_BYTES], const char *level)
{
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	size_t n = strftime(line, LINE_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	return n +
		(size_t)snprintf(line + n, LINE_BYTES - n, ".%03ldZ %s ", t.tv_nsec / 1000000,
			level);
}

/* With no room left for it a line is cut. */
static size_t
end(char line[LINE_BYTES], size_t n, int more)
{
	if (more > 0)
		n = n + (size_t)more < LINE_BYTES - 1 ? n + (size_t)more : LINE_BYTES - 2;
	line[n++] = '\n';
	return n;
}

static bool
tell_of_lost(struct logger *l)
{
	char line[LINE_BYTES];
	size_t n = begin(line, "warn");

	n = end(line, n,
		snprintf(line + n, LINE_BYTES - n - 1, "monitor.log_lost lines=%u", l->lost));
	if (!put(l, line, n))
		return false;
	l->lost = 0;
	return true;
}

void
logger_say(struct logger *l, const char *level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	size_t n = begin(line, level);
	va_list ap;

	va_start(ap, fmt);
	n = end(line, n, vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap));
	va_end(ap);
	if ((l->lost > 0 && !tell_of_lost(l)) || !put(l, line, n))
		l->lost++;
}

const char *
logger_quote(char out[LOGGER_QUOTED_MAX], const char *text)
{
	size_t n = 0;

	for (out[n++] = '"'; *text != '\0' && n < LOGGER_QUOTED_MAX - 3; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
	}
	memcpy(out + n, "\"", 2);
	return out;
}
