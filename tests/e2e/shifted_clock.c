/*
 * A machine whose clock is wrong, for one process: loaded ahead of the C library, it moves the time
 * of day by as many seconds as the file that SHIFTED_CLOCK names holds, which a test may change
 * while the process runs. What never steps, and the times of files, stay as they are.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const int64_t *shift;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("SHIFTED_CLOCK");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *p = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		shift = p;
}

/* By the system call: the C library's own would have to be looked up, which takes memory, and an
 * allocator may ask for the time. */
EXPORT int
clock_gettime(clockid_t clock, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, clock, t);

	if (r == 0 && shift != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += (time_t)__atomic_load_n(shift, __ATOMIC_RELAXED);
	return r;
}

EXPORT time_t
time(time_t *ret)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_REALTIME, &t);
	if (ret != NULL)
		*ret = t.tv_sec;
	return t.tv_sec;
}

EXPORT int
gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec t = {0};

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	*tv = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
	return 0;
}
