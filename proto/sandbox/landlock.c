#include "proto/sandbox/landlock.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/sandbox/sandbox.h"

/* The kernel's interface, by its numbers: the headers of older systems lack most of it. */
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
};
enum { NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1 };
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 };
enum { CREATE_VERSION = 1 << 0 };
enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

struct port_attr {
	uint64_t allowed, port;
};

/* What each version of the interface adds. */
static const struct ruleset_attr added[] = {
	{.fs = FS_MAKE_SYM * 2 - 1},
	{.fs = FS_REFER},
	{.fs = FS_TRUNCATE},
	{.net = NET_BIND_TCP | NET_CONNECT_TCP},
	{.fs = FS_IOCTL_DEV},
	{.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL},
};

/* Of a folder; a file knows only those of its own. */
static const uint64_t rights[] = {
	[SANDBOX_READ] = FS_READ_FILE | FS_READ_DIR,
	[SANDBOX_WRITE] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE |
		FS_REMOVE_FILE | FS_REMOVE_DIR | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK |
		FS_REFER,
};
#define FILE_RIGHTS (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE)

static struct ruleset_attr
handled_by(long abi)
{
	struct ruleset_attr all = {0};

	for (long i = 0; i < abi && i < (long)(sizeof(added) / sizeof(added[0])); i++) {
		all.fs |= added[i].fs;
		all.net |= added[i].net;
		all.scoped |= added[i].scoped;
	}
	return all;
}

static int
allow_path(int rules, const struct ruleset_attr *handled, const struct sandbox_path *p,
	struct hw_err *err)
{
	struct stat st;
	int r = 0;

	int fd = open(p->path, O_PATH | O_CLOEXEC);
	if (fd < 0 && p->access == SANDBOX_READ && (errno == ENOENT || errno == EACCES))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = hw_err_sys(err, "cannot allow %s in the sandbox", p->path);
	} else {
		struct path_attr a = {.allowed = rights[p->access] & handled->fs, .fd = fd};
		if (!S_ISDIR(st.st_mode))
			a.allowed &= FILE_RIGHTS;
		if (syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &a, 0) < 0)
			r = hw_err_sys(err, "cannot allow %s in the sandbox", p->path);
	}
	fd_close(fd);
	return r;
}

static int
allow_port(int rules, uint16_t port, struct hw_err *err)
{
	struct port_attr a = {.allowed = NET_BIND_TCP, .port = port};

	if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &a, 0) < 0)
		return hw_err_sys(err, "cannot allow port %u in the sandbox", (unsigned)port);
	return 0;
}

/* Under AddressSanitizer a process reads itself at its end, and its program when it reports. */
static int
allow_sanitizer(int rules, const struct ruleset_attr *handled, struct hw_err *err)
{
	int r = 0;
#ifdef __SANITIZE_ADDRESS__
	static const struct sandbox_path paths[] = {
		{"/proc",	  SANDBOX_READ},
		 {"/proc/self/exe", SANDBOX_READ},
		{"/usr/lib",	     SANDBOX_READ}
	  };

	for (size_t i = 0; r == 0 && i < sizeof(paths) / sizeof(paths[0]); i++)
		r = allow_path(rules, handled, &paths[i], err);
#else
	(void)rules;
	(void)handled;
	(void)err;
#endif
	return r;
}

static int
add_rules(int rules, const struct ruleset_attr *handled, const struct sandbox *s,
	struct hw_err *err)
{
	int r = allow_sanitizer(rules, handled, err);

	for (size_t i = 0; r == 0 && i < s->n_paths; i++)
		if (s->paths[i].path != NULL)
			r = allow_path(rules, handled, &s->paths[i], err);
	for (size_t i = 0; r == 0 && handled->net != 0 && i < s->n_ports; i++)
		if (s->ports[i] != 0)
			r = allow_port(rules, s->ports[i], err);
	return r;
}

static int
enforce(int rules, struct hw_err *err)
{
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return hw_err_sys(err, "cannot enter the sandbox of files");
	return 0;
}

int
landlock_restrict(char said[LANDLOCK_SAID_MAX], const struct sandbox *s, struct hw_err *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
	int r;

	/* Not built in, not turned on, or a container's filter that does not know it. */
	if (abi < 1) {
		snprintf(said, LANDLOCK_SAID_MAX, "off(%s)", strerrorname_np(errno));
		return 0;
	}
	struct ruleset_attr handled = handled_by(abi);
	if (s->dials)
		handled.net &= ~(uint64_t)NET_CONNECT_TCP;
	int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	if (rules < 0)
		return hw_err_sys(err, "cannot make the sandbox of files");
	r = add_rules(rules, &handled, s, err);
	if (r == 0)
		r = enforce(rules, err);
	fd_close(rules);
	snprintf(said, LANDLOCK_SAID_MAX, "abi%ld", abi);
	return r;
}
