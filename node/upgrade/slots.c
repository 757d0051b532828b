#include "node/upgrade/slots.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"

#define LINE_MAX_BYTES 128

/* --- the folder ------------------------------------------------------------------------------- */

static bool
is_ours(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/* Whoever may write the folder above may put another in its place. */
static int
check_folder(int fd, const char *path, struct hw_err *err)
{
	struct stat st, above;

	if (fstat(fd, &st) < 0 || fstatat(fd, "..", &above, 0) < 0)
		return hw_err_sys(err, "cannot look at %s", path);
	if (!is_ours(&st) || (st.st_mode & 022) != 0)
		return hw_err_set(err, HW_EDENIED,
			"others than its owner may write %s, and programs of root's would lie there: "
			"chown root:root and chmod 755 it",
			path);
	if (!is_ours(&above) || ((above.st_mode & 022) != 0 && (above.st_mode & S_ISVTX) == 0))
		return hw_err_set(err, HW_EDENIED,
			"others may write the folder above %s, and put another in its place", path);
	return 0;
}

int
slots_open(int *ret, const char *path, bool make, struct hw_err *err)
{
	int fd, r;

	if (make && mkdir(path, 0755) < 0 && errno != EEXIST)
		return hw_err_sys(err, "cannot make %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", path);
	/* A umask is not to keep the agent's own process from its program. */
	if (make && geteuid() == 0 && fchmod(fd, 0755) < 0) {
		r = hw_err_sys(err, "cannot open %s to everybody", path);
		fd_close(fd);
		return r;
	}
	if ((r = check_folder(fd, path, err)) < 0) {
		fd_close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

/* --- its files -------------------------------------------------------------------------------- */

static bool
parse(struct slot *ret, const char *line)
{
	char version[LINE_MAX_BYTES], over[LINE_MAX_BYTES], name, end;

	if (sscanf(line, "%c %127s over %127s%c", &name, version, over, &end) != 4 || end != '\n' ||
		(name != 'a' && name != 'b') || !release_version_valid(version) ||
		!release_version_valid(over))
		return false;
	ret->name = name;
	strcpy(ret->version, version);
	strcpy(ret->over, over);
	return true;
}

struct slot
slots_read(int dir, const char *file)
{
	struct slot s = {.name = 0};
	struct buf text;
	const char *line;

	buf_init(&text, LINE_MAX_BYTES - 1);
	if (file_read(&text, dir, file, NULL) == 0 && (line = buf_str(&text)) != NULL &&
		!parse(&s, line))
		s = (struct slot){.name = 0};
	buf_fini(&text);
	return s;
}

int
slots_write(int dir, const char *file, const struct slot *s, struct hw_err *err)
{
	char line[LINE_MAX_BYTES];
	int n = snprintf(line, sizeof(line), "%c %s over %s\n", s->name, s->version, s->over);

	return file_write(dir, file, line, (size_t)n, 0644, err);
}

static int
sync_folder(int dir, struct hw_err *err)
{
	return fsync(dir) == 0 ? 0 : hw_err_sys(err, "cannot sync the folder of the slots");
}

int
slots_drop(int dir, const char *file, struct hw_err *err)
{
	if (unlinkat(dir, file, 0) < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot remove the file %s", file);
	return sync_folder(dir, err);
}

int
slots_take(int dir, struct hw_err *err)
{
	if (renameat(dir, SLOTS_TRIAL, dir, SLOTS_CURRENT) < 0)
		return hw_err_sys(err, "cannot make the slot the current one");
	return sync_folder(dir, err);
}

bool
slots_watched(int dir)
{
	int fd = -1, r = file_lock(&fd, dir, SLOTS_LOCK, NULL);

	fd_close(fd);
	return r == HW_EEXISTS;
}

/* --- what follows ----------------------------------------------------------------------------- */

static bool
package_wins(const struct slot *s, const char *package)
{
	return strcmp(s->over, package) != 0 && release_version_compare(package, s->version) > 0;
}

enum slots_verdict
slots_choose(struct slot *ret, const struct slot *current, const struct slot *trial, bool watched,
	const char *package)
{
	if (trial->name != 0 && watched) {
		*ret = *trial;
		return SLOTS_TRY;
	}
	if (current->name == 0 || package_wins(current, package))
		return SLOTS_PACKAGE;
	*ret = *current;
	return SLOTS_SLOT;
}

static bool
is_same(const struct slot *a, const struct slot *b)
{
	return a->name == b->name && strcmp(a->version, b->version) == 0;
}

enum slots_fate
slots_fate(const struct slot *tried, const struct slot *current, const struct slot *trial,
	bool watched)
{
	if (trial->name != 0 && is_same(tried, trial))
		return watched ? SLOTS_UNDECIDED : SLOTS_ENDED;
	return is_same(tried, current) ? SLOTS_TAKEN : SLOTS_ENDED;
}
