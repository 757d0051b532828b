#include "proto/base/file.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[] = "/tmp/hawser-file-XXXXXX";
static int dir = -1;

static void
setup(void)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(ne(ptr, mkdtemp(root), NULL));
	cr_assert(eq(int, dir_open(&dir, root, false, &err), 0), "%s", err.text);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void
teardown(void)
{
	fd_close(dir);
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(file, .init = setup, .fini = teardown);

static size_t
entries(void)
{
	DIR *d = opendir(root);
	size_t n = 0;

	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void
check_holds(const char *name, const char *want)
{
	struct hw_err err = HW_ERR_INIT;
	struct buf b;

	buf_init(&b, 1 << 20);
	cr_assert(eq(int, file_read(&b, dir, name, &err), 0), "%s", err.text);
	cr_assert_str_eq(buf_str(&b), want);
	buf_fini(&b);
}

Test(file, what_was_written_is_read)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, file_write(dir, "a", "one", 3, 0600, &err), 0), "%s", err.text);
	check_holds("a", "one");
	cr_assert(eq(int, file_write(dir, "a", "", 0, 0600, &err), 0));
	check_holds("a", "");
	cr_assert(eq(sz, entries(), 1));
}

Test(file, the_mode_is_as_asked_whatever_the_umask)
{
	struct stat st;

	umask(077);
	cr_assert(eq(int, file_write(dir, "a", "x", 1, 0644, NULL), 0));
	cr_assert(zero(int, fstatat(dir, "a", &st, 0)));
	cr_assert(eq(int, (int)(st.st_mode & 07777), 0644));
}

Test(file, replacing_leaves_readers_of_the_old_one_alone)
{
	char old[4] = "";

	file_write(dir, "a", "old", 3, 0600, NULL);
	int fd = openat(dir, "a", O_RDONLY);
	file_write(dir, "a", "new", 3, 0600, NULL);
	cr_assert(eq(int, fd_read_all(fd, old, 3, NULL), 0));
	cr_assert_str_eq(old, "old");
	check_holds("a", "new");
	close(fd);
}

Test(file, names_may_have_directories_and_paths_may_be_absolute)
{
	char path[100];

	mkdirat(dir, "sub", 0700);
	cr_assert(eq(int, file_write(dir, "sub/a", "x", 1, 0600, NULL), 0));
	check_holds("sub/a", "x");
	snprintf(path, sizeof(path), "%s/b", root);
	cr_assert(eq(int, file_write(AT_FDCWD, path, "y", 1, 0600, NULL), 0));
	check_holds("b", "y");
}

Test(file, a_write_that_fails_leaves_no_trace)
{
	struct hw_err err = HW_ERR_INIT;

	mkdirat(dir, "taken", 0700);
	cr_assert(lt(int, file_write(dir, "taken", "x", 1, 0600, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "taken"), NULL));
	cr_assert(eq(sz, entries(), 1));
	cr_assert(eq(int, file_write(dir, "none/a", "x", 1, 0600, &err), HW_ENOTFOUND));
	cr_assert(eq(int, file_write(dir, "none/a", "x", 1, 0600, NULL), HW_ENOTFOUND));
}

Test(file, one_that_is_too_long_is_refused_and_an_exact_one_is_not)
{
	struct hw_err err = HW_ERR_INIT;
	struct buf b;

	file_write(dir, "a", "12345", 5, 0600, NULL);
	buf_init(&b, 5);
	cr_assert(eq(int, file_read(&b, dir, "a", &err), 0), "%s", err.text);
	cr_assert(eq(int, file_read(&b, dir, "a", &err), HW_ELIMIT));
	cr_assert_str_eq(buf_str(&b), "12345");
	buf_fini(&b);
}

Test(file, one_without_a_size_is_read_to_its_end_and_held_to_the_cap)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	cr_assert(eq(int, file_read(&b, dir, "/proc/self/status", NULL), 0));
	cr_assert(gt(sz, b.len, 100));
	buf_fini(&b);
	buf_init(&b, 100);
	cr_assert(eq(int, file_read(&b, dir, "/proc/self/status", NULL), HW_ELIMIT));
	cr_assert(eq(sz, b.len, 0));
	buf_fini(&b);
}

Test(file, one_is_opened_if_it_is_a_regular_file, .timeout = 5)
{
	struct hw_err err = HW_ERR_INIT;
	int fd = -1;

	cr_assert(eq(int, file_open(&fd, "/proc/self/status", &err), 0), "%s", err.text);
	cr_assert(ge(int, fd, 0));
	fd_close(fd);
	fd = -1;
	cr_assert(eq(int, file_open(&fd, "/dev/null", &err), HW_EVALIDATION));
	cr_assert_str_eq(err.text, "/dev/null is not a regular file");
	cr_assert(eq(int, mkfifoat(dir, "pipe", 0600), 0));
	cr_assert(eq(int, fchdir(dir), 0));
	cr_assert(eq(int, file_open(&fd, "pipe", NULL), HW_EVALIDATION));
	cr_assert(eq(int, file_open(&fd, "missing", NULL), HW_ENOTFOUND));
	cr_assert(eq(int, fd, -1));
}

Test(file, only_regular_files_are_read, .timeout = 5)
{
	struct buf b;

	buf_init(&b, 100);
	cr_assert(zero(int, mkfifoat(dir, "fifo", 0600)));
	cr_assert(eq(int, file_read(&b, dir, "fifo", NULL), HW_EVALIDATION));
	cr_assert(eq(int, file_read(&b, dir, ".", NULL), HW_EVALIDATION));
	cr_assert(eq(int, file_read(&b, dir, "none", NULL), HW_ENOTFOUND));
	buf_fini(&b);
}

Test(file, a_directory_is_made_with_all_above_it_when_asked)
{
	struct hw_err err = HW_ERR_INIT;
	char path[100];
	struct stat st;
	int fd = -1;

	snprintf(path, sizeof(path), "%s/x/y/z", root);
	cr_assert(eq(int, dir_open(&fd, path, false, &err), HW_ENOTFOUND));
	cr_assert(eq(int, fd, -1));
	cr_assert(eq(int, dir_open(&fd, path, true, &err), 0), "%s", err.text);
	cr_assert(zero(int, fstat(fd, &st)));
	cr_assert(eq(int, (int)(st.st_mode & 0777), 0700));
	cr_assert(ne(int, fcntl(fd, F_GETFD) & FD_CLOEXEC, 0));
	close(fd);
}

Test(file, a_file_is_no_directory)
{
	char path[100];
	int fd = -1;

	file_write(dir, "a", "x", 1, 0600, NULL);
	snprintf(path, sizeof(path), "%s/a", root);
	cr_assert(lt(int, dir_open(&fd, path, true, NULL), 0));
	cr_assert(eq(int, fd, -1));
}

Test(file, a_lock_is_held_by_one_and_ends_with_its_descriptor)
{
	struct hw_err err = HW_ERR_INIT;
	int a = -1, b = -1;

	cr_assert(eq(int, file_lock(&a, dir, "lock", &err), 0), "%s", err.text);
	cr_assert(eq(int, file_lock(&b, dir, "lock", &err), HW_EEXISTS));
	cr_assert(eq(int, b, -1));
	close(a);
	cr_assert(eq(int, file_lock(&b, dir, "lock", &err), 0));
	close(b);
}

static void *
write_slowly(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 5; i++) {
		cr_assert(eq(int, fd_write_all(fd, "ab", 2, NULL), 0));
		usleep(2000);
	}
	close(fd);
	return NULL;
}

Test(file, reading_all_waits_for_all_and_notices_an_early_end)
{
	struct hw_err err = HW_ERR_INIT;
	char got[9] = "";
	pthread_t thread;
	int fds[2];

	cr_assert(zero(int, pipe(fds)));
	pthread_create(&thread, NULL, write_slowly, &fds[1]);
	cr_assert(eq(int, fd_read_all(fds[0], got, 8, &err), 0));
	cr_assert_str_eq(got, "abababab");
	cr_assert(eq(int, fd_read_all(fds[0], got, 3, &err), HW_ECORRUPT));
	pthread_join(thread, NULL);
	close(fds[0]);
}

Test(file, closing_keeps_errno_and_takes_no_descriptor)
{
	errno = ENOENT;
	fd_close(-1);
	fd_close(9999);
	cr_assert(eq(int, errno, ENOENT));
}

Test(file, a_descriptor_is_made_not_to_block)
{
	int fds[2];
	char c;

	cr_assert(zero(int, pipe(fds)));
	cr_assert(eq(int, fd_nonblock(fds[0]), 0));
	cr_assert(eq(int, (int)read(fds[0], &c, 1), -1));
	cr_assert(eq(int, errno, EAGAIN));
	cr_assert(eq(int, fd_nonblock(-1), HW_ESYS));
	close(fds[0]);
	close(fds[1]);
}
