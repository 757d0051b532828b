#include "proto/sandbox/calls.h"

#include <linux/netlink.h>
#include <linux/prctl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/sandbox/sandbox.h"

/* By name, as a library that is older or newer than the kernel knows them: an unknown one is none
 * that the C library could call. Nothing in it reaches beyond the process's own memory, descriptors
 * and threads, and the files that Landlock bounds. */
/* clang-format off */
static const char *const common[] = {
	/* memory; mapping and protecting are rows of their own below */
	"brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mremap", "msync",
	"munlock", "munmap",
	/* itself and its threads */
	"arch_prctl", "exit", "exit_group", "futex", "futex_waitv", "get_robust_list", "getcpu",
	"getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid",
	"getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage",
	"getsid", "gettid", "getuid", "restart_syscall", "rseq", "rt_sigaction",
	"rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
	"sched_getparam", "sched_getscheduler", "sched_yield", "set_robust_list",
	"set_tid_address", "sigaltstack", "sigreturn", "sysinfo", "times", "umask", "uname",
	/* time */
	"clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time",
	"timerfd_create", "timerfd_gettime", "timerfd_settime",
	/* files */
	"access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2",
	"fadvise64", "fallocate", "fchmod", "fdatasync", "flock", "fstat", "fstatfs", "fsync",
	"ftruncate", "getcwd", "getdents", "getdents64", "linkat", "lseek", "lstat", "mkdir", "mkdirat",
	"newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64",
	"pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "rename",
	"renameat", "renameat2", "rmdir", "stat", "statfs", "statx", "sync_file_range",
	"unlink", "unlinkat", "write", "writev",
	/* waiting, and descriptors of one's own */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
	"epoll_wait", "eventfd", "eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6",
	"select", "signalfd", "signalfd4",
	/* sockets that there are */
	"accept", "accept4", "bind", "getpeername", "getsockname", "getsockopt", "listen",
	"recvfrom", "recvmmsg", "recvmsg", "setsockopt", "shutdown",
};
/* clang-format on */

static const char *const dialling[] = {"connect"};

#ifdef __SANITIZE_ADDRESS__
/* The search for leaks stops all threads from a process of its own, which shares the memory. */
static const char *const sanitizer[] = {
	"kill", "prctl", "process_vm_readv", "ptrace", "tgkill", "tkill", "wait4"};
#endif

struct list {
	const char *const *names;
	size_t n;
};
#define LIST(names)                                   \
	{                                             \
		names, sizeof(names) / sizeof(*names) \
	}

/* A call that is allowed with these arguments only; rows of one call add up. */
struct row {
	const char *name;
	unsigned n;
	struct scmp_arg_cmp args[3];
	bool dials; /* only for who dials */
};

/* clang-format off */
#define EQUALS(nr, value) {.arg = nr, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(value)}
#define HAS(nr, mask, value) {.arg = nr, .op = SCMP_CMP_MASKED_EQ, \
	.datum_a = (scmp_datum_t)(mask), .datum_b = (scmp_datum_t)(value)}
#define WITHOUT(nr, mask) HAS(nr, mask, 0)

#define ONE(call, ...) .name = call, .n = 1, .args = {__VA_ARGS__}
/* A socket's kind is the last four bits of its type; the others are flags. */
#define SOCKET(family, kind, protocol) .name = "socket", .n = 3, \
	.args = {EQUALS(0, family), HAS(1, 0xf, kind), EQUALS(2, protocol)}
#define FCNTL(command) ONE("fcntl", EQUALS(1, command))
/* Its number has 32 bits for the kernel, and 64 for the C library. */
#define IOCTL(number) ONE("ioctl", HAS(1, UINT32_MAX, (uint32_t)(number)))

static const struct row rows[] = {
	/* Nothing that was written is ever run. */
	{ONE("mmap", WITHOUT(2, PROT_EXEC))},
	{ONE("mmap2", WITHOUT(2, PROT_EXEC))},
	{ONE("mprotect", WITHOUT(2, PROT_EXEC))},
	/* Threads, and no other processes. */
	{ONE("clone", HAS(0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM))},
#ifdef __SANITIZE_ADDRESS__
	{ONE("clone", HAS(0, CLONE_VM | CLONE_VFORK, CLONE_VM))},
#endif
	/* Limits are read, and not set. */
	{ONE("prlimit64", EQUALS(2, 0))},
	{ONE("prctl", EQUALS(0, PR_SET_NAME))},
	{ONE("prctl", EQUALS(0, PR_GET_NAME))},
	{ONE("prctl", EQUALS(0, PR_GET_DUMPABLE))},
	{ONE("prctl", EQUALS(0, PR_SET_VMA))},
	{ONE("setpriority", EQUALS(0, PRIO_PROCESS))},
	/* Without those by which the kernel signals whom one names. */
	{FCNTL(F_DUPFD)},
	{FCNTL(F_DUPFD_CLOEXEC)},
	{FCNTL(F_GETFD)},
	{FCNTL(F_SETFD)},
	{FCNTL(F_GETFL)},
	{FCNTL(F_SETFL)},
	{FCNTL(F_GETLK)},
	{FCNTL(F_SETLK)},
	{FCNTL(F_SETLKW)},
	{FCNTL(F_OFD_GETLK)},
	{FCNTL(F_OFD_SETLK)},
	{FCNTL(F_OFD_SETLKW)},
	{IOCTL(FIONREAD)},
	{IOCTL(FIONBIO)},
	{IOCTL(TCGETS)},
	{IOCTL(TIOCGWINSZ)},
	/* TCP by its own protocol: by another one Landlock would not see it. */
	{SOCKET(AF_INET, SOCK_STREAM, 0)},
	{SOCKET(AF_INET6, SOCK_STREAM, 0)},
	{SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP)},
	{SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP)},
	{ONE("socket", EQUALS(0, AF_UNIX))},
	{ONE("socketpair", EQUALS(0, AF_UNIX))},
	/* One that connects by sending is not seen there either. */
	{ONE("sendto", WITHOUT(3, MSG_FASTOPEN))},
	{ONE("sendmsg", WITHOUT(2, MSG_FASTOPEN))},
	{ONE("sendmmsg", WITHOUT(3, MSG_FASTOPEN))},
	/* The name service, and the machine's own addresses and routes. */
	{SOCKET(AF_INET, SOCK_DGRAM, 0), .dials = true},
	{SOCKET(AF_INET6, SOCK_DGRAM, 0), .dials = true},
	{SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP), .dials = true},
	{SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP), .dials = true},
	{SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), .dials = true},
	{SOCKET(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE), .dials = true},
	{IOCTL(SIOCGIFINDEX), .dials = true},
	{IOCTL(SIOCGIFNAME), .dials = true},
};
/* clang-format on */

/* --- the filter ------------------------------------------------------------------------------ */

struct filter {
	scmp_filter_ctx ctx;
	int error; /* the first, negative; all is let be after it */
};

static void
add(struct filter *f, uint32_t action, const char *name, unsigned n,
	const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (f->error != 0 || nr == __NR_SCMP_ERROR)
		return;
	/* One that this machine's architecture lacks has a negative number, and is none to be
	 * called. */
	int r = seccomp_rule_add_array(f->ctx, action, nr, n, args);
	f->error = r == -EDOM || r == -EEXIST ? 0 : r;
}

static void
allow_list(struct filter *f, struct list list)
{
	for (size_t i = 0; i < list.n; i++)
		add(f, SCMP_ACT_ALLOW, list.names[i], 0, NULL);
}

/* A failed assertion signals its own process, and nobody else's. */
static void
allow_abort(struct filter *f)
{
	static const char *const calls[] = {"kill", "tgkill"};
	const struct scmp_arg_cmp self = {
		.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		add(f, SCMP_ACT_ALLOW, calls[i], 1, &self);
}

static void
fill(struct filter *f, const struct sandbox *s)
{
	allow_list(f, (struct list)LIST(common));
	if (s->dials)
		allow_list(f, (struct list)LIST(dialling));
#ifdef __SANITIZE_ADDRESS__
	allow_list(f, (struct list)LIST(sanitizer));
#endif
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (s->dials || !rows[i].dials)
			add(f, SCMP_ACT_ALLOW, rows[i].name, rows[i].n, rows[i].args);
	allow_abort(f);
	/* Its arguments lie in memory, where no filter sees them; the C library then uses clone. */
	add(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

static int
load(struct filter *f)
{
	int r = f->error;

	/* The process gave up new privileges itself, and says so when that fails. */
	if (r == 0)
		r = seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (r == 0)
		r = seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = seccomp_load(f->ctx);
	return r;
}

int
calls_restrict(char said[CALLS_SAID_MAX], const struct sandbox *s, struct hw_err *err)
{
	struct filter f = {.ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM))};

	if (f.ctx == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the sandbox of system calls");
	fill(&f, s);
	int r = load(&f);
	seccomp_release(f.ctx);
	/* A kernel without it says one of these. */
	if (r == -ENOSYS || r == -EINVAL || r == -EOPNOTSUPP) {
		snprintf(said, CALLS_SAID_MAX, "off(%s)", strerrorname_np(-r));
		return 0;
	}
	if (r < 0) {
		errno = -r;
		return hw_err_sys(err, "cannot enter the sandbox of system calls");
	}
	snprintf(said, CALLS_SAID_MAX, "on");
	return 0;
}
