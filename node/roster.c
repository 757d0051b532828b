#include "node/roster.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/schema/schema.h"

#define ROSTER	 "sessions"
#define ID_MAX	 96
#define LINE_MAX 128

struct roster {
	int dir;
};

/* It is a file's name. */
static bool
is_id(const char *id)
{
	size_t n = strlen(id);

	return n > 0 && n <= ID_MAX && id[0] != '.' && strchr(id, '/') == NULL;
}

int
roster_open(struct roster **ret, int dir, struct hw_err *err)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	r->dir = -1;
	if (mkdirat(dir, ROSTER, 0700) == 0 || errno == EEXIST)
		r->dir = openat(dir, ROSTER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r->dir < 0) {
		free(r);
		return hw_err_sys(err, "cannot open the directory " ROSTER);
	}
	*ret = r;
	return 0;
}

void
roster_close(struct roster *r)
{
	if (r == NULL)
		return;
	close(r->dir);
	free(r);
}

int
roster_add(struct roster *r, const char *session_id, const struct roster_line *line,
	struct hw_err *err)
{
	char text[LINE_MAX];
	int n = snprintf(text, sizeof(text), "%s %s\n", enum_text(&enum_CHANNEL_TYPE, line->type),
		line->run_as);

	if (!is_id(session_id))
		return hw_err_set(err, HW_EVALIDATION, "SessionId: it is no name for a file");
	int fd = openat(r->dir, session_id, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot write " ROSTER "/%s", session_id);
	int e = fd_write_all(fd, text, (size_t)n, err);
	close(fd);
	if (e < 0)
		roster_remove(r, session_id);
	return e;
}

void
roster_remove(struct roster *r, const char *session_id)
{
	if (is_id(session_id))
		unlinkat(r->dir, session_id, 0);
}

/* "pty alice": all of it, or none of it. */
static bool
parse(struct roster_line *ret, const char *text)
{
	char type[16];
	int end = -1;

	if (sscanf(text, "%15s %64[^ \n]%n", type, ret->run_as, &end) != 2 || end < 0 ||
		strcmp(text + end, "\n") != 0)
		return false;
	ret->type = enum_value(&enum_CHANNEL_TYPE, type);
	return ret->type == CHANNEL_TYPE_PTY || ret->type == CHANNEL_TYPE_EXEC;
}

static bool
read_line(struct roster_line *ret, const struct roster *r, const char *id)
{
	struct buf text;

	buf_init(&text, LINE_MAX);
	bool ok = file_read(&text, r->dir, id, NULL) == 0 && parse(ret, buf_str(&text));
	buf_fini(&text);
	return ok;
}

void
roster_each(struct roster *r,
	void (*fn)(void *arg, const char *session_id, const struct roster_line *line), void *arg)
{
	int again = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct roster_line line;
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (is_id(e->d_name) && read_line(&line, r, e->d_name))
			fn(arg, e->d_name, &line);
		else
			unlinkat(r->dir, e->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
	else
		fd_close(again);
}
