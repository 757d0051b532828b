#include "node/facts.h"

#include <sys/socket.h>
#include <sys/utsname.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/schema/schema.h"

#define ADDRESSES_MAX 64

/* --- os-release ----------------------------------------------------------------------------- */

/* As a shell would read it: quotes of either kind, and in double ones a backslash before what it
 * escapes. */
static char *
unquote(struct arena *a, const char *p, size_t n)
{
	char *out = arena_alloc(a, n + 1), quote = '\0';
	size_t len = 0;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (quote == '\0' && (p[i] == '"' || p[i] == '\''))
			quote = p[i];
		else if (quote != '\0' && p[i] == quote)
			quote = '\0';
		else if (p[i] == '\\' && quote != '\'' && i + 1 < n)
			out[len++] = p[++i];
		else
			out[len++] = p[i];
	}
	out[len] = '\0';
	return out;
}

char *
facts_os_release(struct arena *a, const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; *line != '\0';) {
		size_t n = strcspn(line, "\n");
		if (n > len && strncmp(line, key, len) == 0 && line[len] == '=') {
			while (n > len + 1 && (line[n - 1] == ' ' || line[n - 1] == '\r'))
				n--;
			return unquote(a, line + len + 1, n - len - 1);
		}
		line += n;
		line += *line == '\n';
	}
	return NULL;
}

/* What is too long, or no text, is left out rather than refused by the relay as a whole. */
static const char *
fit(const char *text, size_t max)
{
	return text != NULL && strlen(text) <= max && utf8_valid(text, strlen(text)) ? text : NULL;
}

/* By whole paths: the sandbox shows the two files, and not the folders above them. */
static void
collect_os(struct arena *a, struct msg_update_instance_information_request *f)
{
	struct hw_err err = HW_ERR_INIT;
	struct buf b;

	buf_init(&b, 65536);
	if (file_read(&b, AT_FDCWD, "/etc/os-release", &err) == 0 ||
		file_read(&b, AT_FDCWD, "/usr/lib/os-release", &err) == 0) {
		f->platform_name = fit(facts_os_release(a, buf_str(&b), "ID"), 64);
		f->platform_version = fit(facts_os_release(a, buf_str(&b), "VERSION_ID"), 64);
	}
	buf_fini(&b);
}

/* --- addresses ------------------------------------------------------------------------------ */

static bool
is_global(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		uint32_t ip =
			ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr);
		return (ip >> 24) != 127 && (ip >> 16) != 0xa9fe;
	}
	if (sa->sa_family == AF_INET6) {
		const struct in6_addr *ip =
			&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		return !IN6_IS_ADDR_LOOPBACK(ip) && !IN6_IS_ADDR_LINKLOCAL(ip);
	}
	return false;
}

static char *
address_text(struct arena *a, const struct sockaddr *sa)
{
	char text[INET6_ADDRSTRLEN];
	const void *ip = sa->sa_family == AF_INET
		? (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr
		: &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

	return inet_ntop(sa->sa_family, ip, text, sizeof(text)) ? arena_strdup(a, text) : NULL;
}

/* The address that the way out starts from; no packet is sent. 192.0.2.1 is nobody's. */
static char *
way_out(struct arena *a)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(443)}, from;
	socklen_t len = sizeof(from);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char *text = NULL;

	to.sin_addr.s_addr = htonl(0xc0000201);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
		is_global((struct sockaddr *)&from))
		text = address_text(a, (struct sockaddr *)&from);
	fd_close(fd);
	return text;
}

static void
collect_addresses(struct arena *a, struct msg_update_instance_information_request *f)
{
	const char **v = arena_array(a, ADDRESSES_MAX, sizeof(*v));
	struct ifaddrs *all = NULL;
	size_t n = 0;

	if (v == NULL || getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *i = all; i != NULL && n < ADDRESSES_MAX; i = i->ifa_next)
		if (i->ifa_addr != NULL && is_global(i->ifa_addr) &&
			(v[n] = address_text(a, i->ifa_addr)) != NULL)
			n++;
	freeifaddrs(all);
	f->ip_addresses.v = v;
	f->ip_addresses.n = n;
	f->ip_address = way_out(a);
	if (f->ip_address == NULL && n > 0)
		f->ip_address = v[0];
}

/* --- all of it ------------------------------------------------------------------------------ */

void
facts_collect(struct arena *a, struct msg_update_instance_information_request *f)
{
	struct utsname u;

	f->agent_version = HAWSER_VERSION;
	if (uname(&u) == 0) {
		f->computer_name = fit(arena_strdup(a, u.nodename), 255);
		f->kernel = fit(arena_strdup(a, u.release), 128);
		f->architecture = fit(arena_strdup(a, u.machine), 32);
	}
	collect_os(a, f);
	collect_addresses(a, f);
}

char *
facts_boot_id(struct arena *a)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	fd_close(fd);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	return arena_strndup(a, text, strcspn(text, "\n"));
}
