#include "tests/sandbox/acts.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/err.h"

#define NOWHERE "/nonexistent-hawser"

#define ACT(name) static long name(const struct ground *g)
/* One system call whose arguments are no matter of the ground. */
#define CALL(name, ...)                          \
	static long name(const struct ground *g) \
	{                                        \
		(void)g;                         \
		return syscall(__VA_ARGS__);     \
	}

/* --- files ----------------------------------------------------------------------------------- */

ACT(read_shadow)
{
	(void)g;
	return open("/etc/shadow", O_RDONLY | O_CLOEXEC);
}

ACT(read_outside)
{
	return open(g->secret, O_RDONLY | O_CLOEXEC);
}

ACT(list_outside)
{
	return open(g->outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

ACT(write_outside)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/new", g->outside);
	return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

ACT(follow_link_outside)
{
	return open(g->link, O_RDWR | O_CLOEXEC);
}

ACT(climb_outside)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/../outside/secret", g->dir);
	return open(path, O_RDONLY | O_CLOEXEC);
}

ACT(make_link)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/link-new", g->dir);
	return symlink(g->secret, path);
}

ACT(hard_link_inside)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/hard", g->dir);
	return link(g->secret, path);
}

ACT(truncate_outside)
{
	return truncate(g->secret, 0);
}

ACT(unlink_outside)
{
	return unlink(g->secret);
}

ACT(mkdir_outside)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/folder", g->outside);
	return mkdir(path, 0700);
}

ACT(rename_outside)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/moved", g->outside);
	return rename(g->own, path);
}

ACT(chmod_outside)
{
	return chmod(g->secret, 04755);
}

ACT(chmod_inside)
{
	return fchmodat(AT_FDCWD, g->own, 06755, 0);
}

ACT(chown_outside)
{
	return chown(g->secret, geteuid(), getegid());
}

ACT(chown_inside)
{
	return lchown(g->own, geteuid(), getegid());
}

ACT(make_device)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/device", g->dir);
	return mknod(path, S_IFCHR | 0600, 0x0103); /* as /dev/null */
}

ACT(make_fifo)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/fifo", g->dir);
	return mkfifo(path, 0600);
}

ACT(write_core_pattern)
{
	(void)g;
	return open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC);
}

ACT(read_kernel_log)
{
	(void)g;
	return open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

ACT(set_attribute)
{
	return syscall(SYS_setxattr, g->own, "user.hawser", "x", 1, 0);
}

ACT(set_times)
{
	return utimensat(AT_FDCWD, g->secret, NULL, 0);
}

/* --- programs and code ------------------------------------------------------------------------ */

static char *const no_words[] = {(char *)"true", NULL};

ACT(run_a_program)
{
	(void)g;
	return execve("/bin/true", no_words, no_words + 1);
}

ACT(run_by_descriptor)
{
	(void)g;
	return syscall(SYS_execveat, AT_FDCWD, "/bin/true", no_words, no_words + 1, 0);
}

ACT(fork_and_run)
{
	(void)g;
	/* As fork(), of which the C library has its own opinion. */
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		execve("/bin/true", no_words, no_words + 1);
		_exit(1);
	}
	return pid;
}

ACT(new_namespaces)
{
	(void)g;
	long pid =
		syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return pid;
}

ACT(map_code)
{
	(void)g;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	return p == MAP_FAILED ? -1 : 0;
}

ACT(map_a_file_as_code)
{
	int fd = open(g->own, O_RDONLY | O_CLOEXEC);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? -1 : 0;
}

ACT(turn_data_into_code)
{
	(void)g;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

CALL(turn_data_into_code_by_key, SYS_pkey_mprotect, NULL, 0L, PROT_EXEC, -1L)
CALL(make_a_file_of_memory, SYS_memfd_create, "x", 0)
CALL(secret_memory, SYS_memfd_secret, 0)
CALL(shared_memory, SYS_shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0700)

ACT(run_memory)
{
	(void)g;
	int fd = (int)syscall(SYS_memfd_create, "x", 0);
	return fd < 0 ? -1 : fexecve(fd, no_words, no_words + 1);
}

/* --- other processes -------------------------------------------------------------------------- */

ACT(trace)
{
	return ptrace(PTRACE_SEIZE, g->victim, NULL, NULL);
}

ACT(read_memory)
{
	static char there[8];
	char here[8];
	struct iovec to = {here, sizeof(here)}, from = {there, sizeof(there)};

	return process_vm_readv(g->victim, &to, 1, &from, 1, 0);
}

ACT(write_memory)
{
	static char there[8];
	char here[8] = "";
	struct iovec from = {here, sizeof(here)}, to = {there, sizeof(there)};

	return process_vm_writev(g->victim, &from, 1, &to, 1, 0);
}

ACT(open_memory)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)g->victim);
	return open(path, O_RDWR | O_CLOEXEC);
}

ACT(send_signal)
{
	return kill(g->victim, 0);
}

ACT(send_signal_to_thread)
{
	return syscall(SYS_tgkill, g->victim, g->victim, 0);
}

ACT(queue_signal)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	return syscall(SYS_rt_sigqueueinfo, g->victim, 0, &info);
}

ACT(hold_process)
{
	return syscall(SYS_pidfd_open, g->victim, 0);
}

ACT(own_descriptor_by_another)
{
	return fcntl(g->listening, F_SETOWN, g->victim);
}

ACT(raise_limit)
{
	const struct rlimit limit = {0, 0};

	(void)g;
	return setrlimit(RLIMIT_FSIZE, &limit);
}

ACT(limit_another)
{
	const struct rlimit limit = {1 << 20, 1 << 20};

	return prlimit(g->victim, RLIMIT_NOFILE, &limit, NULL);
}

#ifndef __SANITIZE_ADDRESS__ /* which needs these itself */
ACT(read_environment)
{
	char path[64], byte;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)g->victim);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	errno = fd < 0 ? errno : EACCES; /* some kernels open it, and show nothing */
	return fd >= 0 && read(fd, &byte, 1) == 1 ? 0 : -1;
}

ACT(send_signal_to_all)
{
	(void)g;
	return kill(-1, 0);
}

CALL(be_dumped, SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0)
#endif

/* --- the machine ------------------------------------------------------------------------------ */

CALL(mount_something, SYS_mount, "none", NOWHERE, "tmpfs", 0, NULL)
CALL(unmount, SYS_umount2, NOWHERE, 0)
CALL(open_filesystem, SYS_fsopen, "none", ~0u)
CALL(open_mounts, SYS_open_tree, -1, "", ~0u)
CALL(change_root, SYS_chroot, NOWHERE)
CALL(pivot, SYS_pivot_root, NOWHERE, NOWHERE)
CALL(leave_namespace, SYS_unshare, CLONE_NEWUSER)
CALL(enter_namespace, SYS_setns, -1, 0)
CALL(open_by_handle, SYS_open_by_handle_at, -1, NULL, 0)
CALL(load_bpf, SYS_bpf, -1, NULL, 0)
CALL(watch_performance, SYS_perf_event_open, NULL, 0, -1, -1, 0)
CALL(use_keys, SYS_keyctl, -1, 0, 0, 0, 0)
CALL(make_key, SYS_add_key, NULL, NULL, NULL, 0, 0)
CALL(ask_for_key, SYS_request_key, NULL, NULL, NULL, 0)
CALL(ring, SYS_io_uring_setup, 0, NULL)
CALL(handle_faults, SYS_userfaultfd, ~0)
CALL(load_kernel, SYS_kexec_load, 0, 0, NULL, ~0ul)
CALL(load_module, SYS_init_module, NULL, 0, "")
CALL(load_module_file, SYS_finit_module, -1, "", 0)
CALL(unload_module, SYS_delete_module, "hawser_none", O_NONBLOCK)
CALL(restart_machine, SYS_reboot, 0, 0, 0, NULL)
CALL(name_machine, SYS_sethostname, NULL, -1)
CALL(name_domain, SYS_setdomainname, NULL, -1)
CALL(swap, SYS_swapon, NOWHERE, 0)
CALL(stop_swap, SYS_swapoff, NOWHERE)
CALL(account, SYS_acct, NOWHERE)
CALL(quota, SYS_quotactl, -1, NULL, 0, NULL)
CALL(kernel_log, SYS_syslog, 10, NULL, 0)
CALL(persona, SYS_personality, 0xffffffff)
CALL(watch_files, SYS_fanotify_init, ~0u, 0)
CALL(lock_all, SYS_mlockall, 0)
CALL(seek_sandbox, SYS_seccomp, 0xff, 0, NULL)
#ifdef SYS_iopl
CALL(reach_ports, SYS_iopl, 99)
#endif

ACT(set_clock)
{
	const struct timespec never = {0, -1};

	(void)g;
	return syscall(SYS_clock_settime, CLOCK_REALTIME, &never);
}

ACT(set_time_of_day)
{
	const struct timeval never = {0, -1};

	(void)g;
	return syscall(SYS_settimeofday, &never, NULL);
}

ACT(tune_clock)
{
	struct timex nothing = {.modes = 0};

	(void)g;
	return adjtimex(&nothing);
}

ACT(type_for_others)
{
	return ioctl(g->tty, TIOCSTI, "x");
}

ACT(paste_for_others)
{
	char selection = 2;

	return ioctl(g->tty, 0x541c /* TIOCLINUX */, &selection);
}

/* --- who it is -------------------------------------------------------------------------------- */

CALL(become_root, SYS_setresuid, 0, 0, 0)
CALL(become_roots_group, SYS_setresgid, 0, 0, 0)
CALL(join_groups, SYS_setgroups, 0, NULL)
CALL(open_files_as_root, SYS_capset, NULL, NULL)
CALL(lead_a_session, SYS_setsid)

ACT(dance_back_to_root)
{
	(void)g;
	if (setreuid((uid_t)-1, geteuid()) < 0)
		return -1;
	return setuid(0);
}

/* --- the network ------------------------------------------------------------------------------ */

static long
make_socket(int family, int type, int protocol)
{
	return socket(family, type | SOCK_CLOEXEC, protocol);
}

#define SOCKET(name, ...)                        \
	ACT(name)                                \
	{                                        \
		(void)g;                         \
		return make_socket(__VA_ARGS__); \
	}

SOCKET(packet_socket, AF_PACKET, SOCK_RAW, 0)
SOCKET(raw_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP)
SOCKET(raw_socket_six, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)
SOCKET(audit_socket, AF_NETLINK, SOCK_RAW, 9 /* NETLINK_AUDIT */)
SOCKET(event_socket, AF_NETLINK, SOCK_DGRAM, 15 /* NETLINK_KOBJECT_UEVENT */)
SOCKET(machine_socket, AF_VSOCK, SOCK_STREAM, 0)
SOCKET(crypto_socket, AF_ALG, SOCK_SEQPACKET, 0)
SOCKET(many_paths_socket, AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */)
SOCKET(datagram_socket, AF_INET, SOCK_DGRAM, 0)
SOCKET(route_socket, AF_NETLINK, SOCK_RAW, 0)

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

ACT(listen_elsewhere)
{
	struct sockaddr_in sin = loopback(g->free);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return bind(fd, (struct sockaddr *)&sin, sizeof(sin));
}

ACT(dial)
{
	struct sockaddr_in sin = loopback(g->port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&sin, sizeof(sin));
}

ACT(dial_by_sending)
{
	struct sockaddr_in sin = loopback(g->port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&sin, sizeof(sin));
}

ACT(reach_abstract_socket)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path + 1, g->abstract);
	return connect(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(g->abstract)));
}

/* --- all of them ------------------------------------------------------------------------------ */

/* clang-format off */
#define BOTH(act) {#act, act, 0, ACT_OF_BOTH}
#define FILES(act) {#act, act, 1, ACT_OF_BOTH}

const struct act acts[] = {
	FILES(read_shadow), FILES(read_outside), FILES(list_outside), FILES(write_outside),
	FILES(follow_link_outside), FILES(climb_outside), BOTH(make_link), BOTH(hard_link_inside),
	BOTH(truncate_outside), FILES(unlink_outside), FILES(mkdir_outside), FILES(rename_outside),
	BOTH(chmod_outside), BOTH(chmod_inside), BOTH(chown_outside), BOTH(chown_inside),
	BOTH(make_device), BOTH(make_fifo), FILES(write_core_pattern), FILES(read_kernel_log),
	BOTH(set_attribute), BOTH(set_times),

	BOTH(run_a_program), BOTH(run_by_descriptor), BOTH(fork_and_run), BOTH(new_namespaces),
	BOTH(map_code), BOTH(map_a_file_as_code), BOTH(turn_data_into_code),
	BOTH(turn_data_into_code_by_key), BOTH(make_a_file_of_memory), BOTH(secret_memory),
	BOTH(shared_memory), BOTH(run_memory),

	FILES(trace), FILES(read_memory), BOTH(write_memory), FILES(open_memory),
	{"send_signal", send_signal, 6, ACT_OF_BOTH},
	{"send_signal_to_thread", send_signal_to_thread, 6, ACT_OF_BOTH}, BOTH(queue_signal),
	BOTH(hold_process), BOTH(own_descriptor_by_another), BOTH(raise_limit), BOTH(limit_another),
#ifndef __SANITIZE_ADDRESS__
	FILES(read_environment), BOTH(be_dumped), BOTH(send_signal_to_all),
#endif

	BOTH(mount_something), BOTH(unmount), BOTH(open_filesystem), BOTH(open_mounts),
	BOTH(change_root), BOTH(pivot), BOTH(leave_namespace), BOTH(enter_namespace),
	BOTH(open_by_handle), BOTH(load_bpf), BOTH(watch_performance), BOTH(use_keys),
	BOTH(make_key), BOTH(ask_for_key), BOTH(ring), BOTH(handle_faults), BOTH(load_kernel),
	BOTH(load_module), BOTH(load_module_file), BOTH(unload_module), BOTH(restart_machine),
	BOTH(name_machine), BOTH(name_domain), BOTH(swap), BOTH(stop_swap), BOTH(account),
	BOTH(quota), BOTH(kernel_log), BOTH(persona), BOTH(watch_files), BOTH(lock_all),
	BOTH(seek_sandbox), BOTH(set_clock), BOTH(set_time_of_day), BOTH(tune_clock),
	BOTH(type_for_others), BOTH(paste_for_others),
#ifdef SYS_iopl
	BOTH(reach_ports),
#endif

	BOTH(become_root), BOTH(become_roots_group), BOTH(join_groups), BOTH(open_files_as_root),
	BOTH(lead_a_session), BOTH(dance_back_to_root),

	BOTH(packet_socket), BOTH(raw_socket), BOTH(raw_socket_six), BOTH(audit_socket),
	BOTH(event_socket), BOTH(machine_socket), BOTH(crypto_socket), BOTH(many_paths_socket),
	{"listen_elsewhere", listen_elsewhere, 4, ACT_OF_BOTH},
	BOTH(dial_by_sending),
	{"reach_abstract_socket", reach_abstract_socket, 6, ACT_OF_BOTH},
	{"dial", dial, 0, ACT_OF_RELAY},
	{"datagram_socket", datagram_socket, 0, ACT_OF_RELAY},
	{"route_socket", route_socket, 0, ACT_OF_RELAY},
};
/* clang-format on */
const size_t n_acts = sizeof(acts) / sizeof(acts[0]);

/* --- the ground ------------------------------------------------------------------------------- */

static void
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	hw_assert(fd >= 0 && write(fd, "secret", 6) == 6 && fchmod(fd, 0666) == 0);
	close(fd);
}

static int
listen_at_loopback(uint16_t *port)
{
	struct sockaddr_in sin = loopback(0);
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	hw_assert(fd >= 0 && bind(fd, (struct sockaddr *)&sin, n) == 0 && listen(fd, 64) == 0 &&
		getsockname(fd, (struct sockaddr *)&sin, &n) == 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static int
listen_in_the_abstract(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path + 1, name);
	hw_assert(bind(fd, (struct sockaddr *)&sun,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) ==
			0 &&
		listen(fd, 64) == 0);
	return fd;
}

static int
open_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	hw_assert(master >= 0 && unlockpt(master) == 0);
	return master;
}

long
landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

void
ground_make(struct ground *g)
{
	g->abi = landlock_abi();
	umask(0);
	strcpy(g->base, "/tmp/hawser-sandbox-XXXXXX");
	hw_assert(mkdtemp(g->base) != NULL && chmod(g->base, 0755) == 0);
	snprintf(g->dir, sizeof(g->dir), "%s/own", g->base);
	snprintf(g->outside, sizeof(g->outside), "%s/outside", g->base);
	hw_assert(mkdir(g->dir, 0777) == 0 && mkdir(g->outside, 0777) == 0);
	snprintf(g->secret, sizeof(g->secret), "%s/secret", g->outside);
	snprintf(g->link, sizeof(g->link), "%s/link", g->dir);
	snprintf(g->own, sizeof(g->own), "%s/file", g->dir);
	make_file(g->secret);
	make_file(g->own);
	hw_assert(symlink(g->secret, g->link) == 0);
	snprintf(g->abstract, sizeof(g->abstract), "%s", strrchr(g->base, '/') + 1);
	g->listening = listen_at_loopback(&g->port);
	close(listen_at_loopback(&g->free));
	g->abstract_fd = listen_in_the_abstract(g->abstract);
	g->tty = open_terminal();
}

void
ground_remove(struct ground *g)
{
	char command[128];

	close(g->listening);
	close(g->abstract_fd);
	close(g->tty);
	snprintf(command, sizeof(command), "rm -rf %s", g->base);
	hw_assert(system(command) == 0);
}
