#include "tests/unit/audit/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "tests/unit/ground.h"

void
scratch_init(struct scratch *s)
{
	ground_new(s->dir, sizeof(s->dir), "audit");
	snprintf(s->journal, sizeof(s->journal), "%s/journal", s->dir);
	snprintf(s->recordings, sizeof(s->recordings), "%s/recordings", s->dir);
	snprintf(s->ledger, sizeof(s->ledger), "%s/ledger", s->dir);
	memset(s->master.bytes, 7, sizeof(s->master.bytes));
	fake_clock_init(&s->clock, 1700000000 * USEC_PER_SEC);
}

void
scratch_fini(struct scratch *s)
{
	dir_remove(s->dir);
}

struct journal_config
scratch_journal(const struct scratch *s)
{
	return (struct journal_config){
		.dir = s->journal,
		.clock = &s->clock.clock,
		.master = &s->master,
	};
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
dir_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
copy_file(const char *to, const char *from)
{
	char chunk[65536];
	ssize_t n;

	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	hw_assert(in >= 0 && out >= 0);
	while ((n = read(in, chunk, sizeof(chunk))) > 0)
		hw_assert(fd_write_all(out, chunk, (size_t)n, NULL) == 0);
	fd_close(in);
	fd_close(out);
}

void
dir_copy(const char *to, const char *from)
{
	struct dirent *entry;

	mkdir(to, 0700);
	DIR *d = opendir(from);
	hw_assert(d != NULL);
	while ((entry = readdir(d)) != NULL) {
		char a[PATH_MAX], b[PATH_MAX];
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, entry->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, entry->d_name);
		if (entry->d_type == DT_DIR)
			dir_copy(b, a);
		else
			copy_file(b, a);
	}
	closedir(d);
}

static int
is_listed(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strstr(entry->d_name, ".lock") == NULL;
}

const char *
dir_names(char *out, size_t room, const char *dir)
{
	struct dirent **list;

	out[0] = '\0';
	int n = scandir(dir, &list, is_listed, alphasort);
	for (int i = 0; i < n; i++) {
		if (i > 0)
			strncat(out, " ", room - strlen(out) - 1);
		strncat(out, list[i]->d_name, room - strlen(out) - 1);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return out;
}

long long
file_length(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (long long)st.st_size : -1;
}

void
file_flip(const char *path, long long at)
{
	uint8_t byte;

	if (at < 0)
		at += file_length(path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	hw_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 0x10;
	hw_assert(pwrite(fd, &byte, 1, at) == 1);
	fd_close(fd);
}

void
file_cut(const char *path, long long bytes)
{
	hw_assert(truncate(path, file_length(path) - bytes) == 0);
}
