#include "tests/unit/ground.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <criterion/criterion.h>

#define MEMORY	 "/dev/shm"
#define ROOM_MIN (1ull << 30) /* a container's may hold 64 MiB */

static const char *
base(void)
{
	struct statvfs v;

	if (access(MEMORY, W_OK | X_OK) < 0 || statvfs(MEMORY, &v) < 0)
		return "/tmp";
	return (unsigned long long)v.f_bavail * v.f_frsize >= ROOM_MIN ? MEMORY : "/tmp";
}

void
ground_new(char *path, size_t size, const char *name)
{
	int n = snprintf(path, size, "%s/hawser-%s-XXXXXX", base(), name);

	cr_assert(n > 0 && (size_t)n < size);
	cr_assert(mkdtemp(path) != NULL, "%s", path);
}
