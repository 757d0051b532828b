#include "client/background.h"

#include <sys/pidfd.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/wire/codec.h"

#define FOLDER	 "forwards"
#define FILE_MAX 65536
#define STAT_MAX 1024
#define END_MSEC 5000
#define TICKS_AT 20 /* fields between the name's end and when it began */
#define LIST_MAX 1000

/* --- one process ------------------------------------------------------------------------------ */

/* When it began, -1 when there is no such process. The name before may hold anything. */
static int64_t
ticks_of(int64_t pid)
{
	char path[40], text[STAT_MAX + 1], *s;
	long long ticks = -1;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, STAT_MAX) : -1;
	fd_close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	s = strrchr(text, ')');
	for (int i = 0; s != NULL && i < TICKS_AT; i++)
		s = strchr(s + 1, ' ');
	return s != NULL && sscanf(s, " %lld", &ticks) == 1 ? (int64_t)ticks : -1;
}

static bool
is_there(const struct msg_background_forward *what)
{
	return ticks_of(what->pid) == what->ticks;
}

/* --- its file --------------------------------------------------------------------------------- */

static int
open_folder(int *ret, const struct home *h, bool make, struct hw_err *err)
{
	char path[PATH_MAX];

	home_file(path, h, FOLDER);
	return dir_open(ret, path, make, err);
}

static int
write_file(char name[BACKGROUND_NAME_MAX], const struct home *h,
	const struct msg_background_forward *what, struct hw_err *err)
{
	struct buf text;
	int dir = -1, r;

	buf_init(&text, FILE_MAX);
	if ((r = msg_to_json(&text, MSG_ROW(background_forward), what, 0)) < 0)
		r = hw_err_set(err, r, "the forward cannot be written down");
	else if ((r = open_folder(&dir, h, true, err)) == 0) {
		snprintf(name, BACKGROUND_NAME_MAX, "%" PRId64 ".json", what->pid);
		r = file_write(dir, name, buf_data(&text), text.len, 0600, err);
	}
	fd_close(dir);
	buf_fini(&text);
	return r;
}

void
background_update(const char *name, const struct home *h, const struct msg_background_forward *what)
{
	char same[BACKGROUND_NAME_MAX];

	if (name[0] != '\0')
		write_file(same, h, what, NULL);
}

void
background_leave(const char *name, const struct home *h)
{
	int dir;

	if (name[0] == '\0' || open_folder(&dir, h, false, NULL) < 0)
		return;
	unlinkat(dir, name, 0);
	fd_close(dir);
}

/* NULL for what is none of ours, or whose process has gone. */
static struct msg_background_forward *
read_one(int dir, const char *name, struct arena *a)
{
	struct buf text;
	void *what = NULL;

	buf_init(&text, FILE_MAX);
	if (file_read(&text, dir, name, NULL) < 0 ||
		msg_from_json(&what, a, MSG_ROW(background_forward), (const char *)buf_data(&text),
			text.len, NULL) < 0)
		what = NULL;
	buf_fini(&text);
	return what != NULL && is_there(what) ? what : NULL;
}

static bool
is_file_of_ours(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return digits > 0 && strcmp(name + digits, ".json") == 0;
}

static void
read_all(struct msg_background_forwards *ret, DIR *folder, struct arena *a)
{
	const struct dirent *e;

	while ((e = readdir(folder)) != NULL && ret->forwards.n < LIST_MAX) {
		if (!is_file_of_ours(e->d_name))
			continue;
		const struct msg_background_forward *one = read_one(dirfd(folder), e->d_name, a);
		if (one != NULL)
			ret->forwards.v[ret->forwards.n++] = *one;
		else
			unlinkat(dirfd(folder), e->d_name, 0);
	}
}

int
background_list(struct msg_background_forwards *ret, const struct home *h, struct arena *a,
	struct hw_err *err)
{
	int fd = -1;

	*ret = (struct msg_background_forwards){
		.forwards = {.v = arena_array(a, LIST_MAX, sizeof(*ret->forwards.v))}};
	if (ret->forwards.v == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (open_folder(&fd, h, false, NULL) < 0)
		return 0; /* nobody has made it yet */
	DIR *folder = fdopendir(fd);
	if (folder == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot read the folder of forwards");
	}
	read_all(ret, folder, a);
	closedir(folder);
	return 0;
}

/* --- going there ------------------------------------------------------------------------------ */

static void
detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

/* The old process goes when the new one has said what it is. */
static int
wait_for_word(int fd, pid_t pid, struct hw_err *err)
{
	char word = '\0';

	if (read(fd, &word, 1) == 1)
		_exit(0);
	return hw_err_set(err, HW_ESYS,
		"the background process %d could not write its file in the home's folder " FOLDER,
		(int)pid);
}

int
background_enter(char name[BACKGROUND_NAME_MAX], const struct home *h,
	struct msg_background_forward *what, struct hw_err *err)
{
	int word[2];

	fflush(NULL);
	if (pipe2(word, O_CLOEXEC) < 0)
		return hw_err_sys(err, "cannot go to the background");
	pid_t pid = fork();
	if (pid != 0) {
		close(word[1]);
		int r = pid < 0 ? hw_err_sys(err, "cannot go to the background")
				: wait_for_word(word[0], pid, err);
		close(word[0]);
		return r;
	}
	close(word[0]);
	what->pid = getpid();
	what->ticks = ticks_of(what->pid);
	if (write_file(name, h, what, err) < 0 || write(word[1], "+", 1) != 1)
		_exit(1);
	close(word[1]);
	detach();
	return 0;
}

int
background_kill(const struct msg_background_forward *what, struct hw_err *err)
{
	int fd = pidfd_open((pid_t)what->pid, 0), r = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	/* Looked at after it is held: its number cannot become another's any more. */
	if (fd < 0 || !is_there(what))
		r = hw_err_set(err, HW_ENOTFOUND, "forward %lld is gone", (long long)what->pid);
	else if (pidfd_send_signal(fd, SIGTERM, NULL, 0) < 0)
		r = hw_err_sys(err, "cannot end forward %lld", (long long)what->pid);
	else if (poll(&p, 1, END_MSEC) != 1)
		r = hw_err_set(err, HW_ETIMEOUT, "forward %lld has not ended within %d seconds",
			(long long)what->pid, END_MSEC / 1000);
	fd_close(fd);
	return r;
}
