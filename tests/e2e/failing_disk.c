/*
 * A disk that fails, loaded into a relay ahead of the C library: what a test writes into the file
 * that FAILING_DISK names says which calls, on files below which folder, fail from when on. The
 * file is mapped at the start, so that the relay's sandbox is none of its business.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { WRITES = 1, SYNCS = 2 };

/* As test_failing_disk.py packs it. */
struct orders {
	uint32_t calls; /* WRITES, SYNCS; 0: all is well */
	uint32_t code;	/* an errno */
	uint32_t after; /* that many calls, all others fail */
	uint32_t failed;
	char where[112]; /* a part of the path */
};

static struct orders *orders;

__attribute__((constructor)) static void
take_orders(void)
{
	const char *path = getenv("FAILING_DISK");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *p = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		orders = p;
}

/* Whether the call has to fail: errno is set then. */
static bool
fails(uint32_t call, int fd)
{
	char link[32], path[512];
	int was = errno;

	if (orders == NULL || (__atomic_load_n(&orders->calls, __ATOMIC_ACQUIRE) & call) == 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	errno = was;
	if (n <= 0)
		return false;
	path[n] = '\0';
	if (strstr(path, orders->where) == NULL)
		return false;
	uint32_t left = __atomic_load_n(&orders->after, __ATOMIC_RELAXED);
	while (left > 0)
		if (__atomic_compare_exchange_n(&orders->after, &left, left - 1, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return false;
	__atomic_fetch_add(&orders->failed, 1, __ATOMIC_RELAXED);
	errno = (int)orders->code;
	return true;
}

EXPORT ssize_t
write(int fd, const void *p, size_t n)
{
	return fails(WRITES, fd) ? -1 : syscall(SYS_write, fd, p, n);
}

EXPORT ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails(WRITES, fd) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

EXPORT ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return fails(WRITES, fd) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

EXPORT ssize_t
writev(int fd, const struct iovec *v, int n)
{
	return fails(WRITES, fd) ? -1 : syscall(SYS_writev, fd, v, n);
}

EXPORT int
fsync(int fd)
{
	return fails(SYNCS, fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

EXPORT int
fdatasync(int fd)
{
	return fails(SYNCS, fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
