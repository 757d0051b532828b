#include "node/memory.h"

#include <sys/mman.h>

#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
memory_init(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024);
	mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

struct area {
	uintptr_t start, end;
	bool file; /* of a file, not writable, so far */
};

/* "55d0-55e0 r-xp 00001000 08:01 123   /usr/lib/..." */
static bool
parse_area(struct area *a, const char *line)
{
	unsigned long start, end;
	char perms[5];

	if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) != 3)
		return false;
	*a = (struct area){start, end, perms[1] != 'w' && strchr(line, '/') != NULL};
	return true;
}

int
memory_open(void)
{
	return open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
}

/* A page that was written to, as relocation does, is not the file's any more: such areas stay. */
void
memory_trim(int fd)
{
	struct area a = {0, 0, false};
	char line[512];
	unsigned long kb;

	malloc_trim(0);
	int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	FILE *f = again >= 0 && lseek(again, 0, SEEK_SET) == 0 ? fdopen(again, "r") : NULL;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct area next;
		if (parse_area(&next, line))
			a = next;
		else if (a.file && sscanf(line, "Anonymous: %lu", &kb) == 1 && kb == 0)
			madvise((void *)a.start, a.end - a.start, MADV_DONTNEED);
	}
	if (f != NULL)
		fclose(f);
	else if (again >= 0)
		close(again);
}
