#include "relay/core/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "relay/core/config.h"
#include "relay/core/pack.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

#define PATH_ROOM  2048
#define CLOCK_SLIP (10 * 60 * USEC_PER_SEC) /* clocks are set back, too */
#define LAST	   "relay.conf"

/* --- what it says of itself ------------------------------------------------------------------- */

static int
take_about(struct backup_about *ret, const char *key, const char *value)
{
	char *end = NULL;

	if (strcmp(key, "fleet") == 0)
		snprintf(ret->fleet, sizeof(ret->fleet), "%s", value);
	else if (strcmp(key, "relay") == 0)
		snprintf(ret->relay, sizeof(ret->relay), "%s", value);
	else if (strcmp(key, "version") == 0)
		snprintf(ret->version, sizeof(ret->version), "%s", value);
	else if (strcmp(key, "time") == 0)
		ret->time = strtoll(value, &end, 10);
	else if (strcmp(key, "entries") == 0)
		ret->entries = strtoull(value, &end, 10);
	return end != NULL && (*end != '\0' || end == value) ? HW_ECORRUPT : 0;
}

int
backup_about_read(struct backup_about *ret, const char *text, struct hw_err *err)
{
	char *copy = strdup(text), *rest = copy, *line;
	int r = copy != NULL ? 0 : HW_ENOMEM;

	*ret = (struct backup_about){.time = 0};
	/* It is shown on a terminal. */
	for (const char *at = text; r == 0 && *at != '\0'; at++)
		if (*at != '\n' && ((unsigned char)*at < ' ' || (unsigned char)*at >= 0x7f))
			r = HW_ECORRUPT;
	while (r == 0 && (line = strsep(&rest, "\n")) != NULL) {
		char *value = strchr(line, ' ');
		if (value == NULL)
			continue;
		*value++ = '\0';
		r = take_about(ret, line, value);
	}
	free(copy);
	return r < 0 ? hw_err_set(err, r, "the backup is damaged: it does not say what it is") : 0;
}

/* --- files ------------------------------------------------------------------------------------ */

struct taking {
	struct restore *ret;
	struct pack_in *pack;
	int to; /* DIR/restore.tmp; -1: nothing is written */
	void (*step)(void *arg, uint64_t bytes);
	void *arg;
};

static int
make_folders(int to, const char *name, struct hw_err *err)
{
	char path[PACK_NAME_MAX + 1];

	for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(path, sizeof(path), "%.*s", (int)(slash - name), name);
		if (mkdirat(to, path, 0700) < 0 && errno != EEXIST)
			return hw_err_sys(err, "cannot make %s", path);
	}
	return 0;
}

static int
take_file(struct taking *t, const char *name, struct hw_err *err)
{
	int r, fd;

	if (t->to < 0)
		return pack_in_copy(t->pack, -1, t->step, t->arg, err);
	if ((r = make_folders(t->to, name, err)) < 0)
		return r;
	fd = openat(t->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot make %s", name);
	if ((r = pack_in_copy(t->pack, fd, t->step, t->arg, err)) < 0)
		hw_err_prefix(err, "%s", name);
	else if (strcmp(name, "ca.crt") == 0 || strcmp(name, "relay.crt") == 0)
		r = fchmod(fd, 0644) < 0 ? hw_err_sys(err, "cannot open %s to all", name) : 0;
	fd_close(fd);
	return r;
}

static int
take_all(struct taking *t, struct hw_err *err)
{
	const char *name;
	uint64_t size;
	bool conf = false;
	int r;

	while ((r = pack_in_next(t->pack, &name, &size, err)) > 0) {
		t->ret->files++;
		t->ret->bytes += size;
		t->ret->recovery_key |= strcmp(name, "recovery.key") == 0;
		conf |= strcmp(name, LAST) == 0;
		if ((r = take_file(t, name, err)) < 0)
			return r;
	}
	if (r == 0 && !conf)
		r = hw_err_set(err, HW_ECORRUPT, "the backup holds no " LAST ": it is of no relay");
	return r < 0 ? r : backup_about_read(&t->ret->about, pack_in_about(t->pack), err);
}

int
restore_check(struct restore *ret, struct pack_in *p, void (*step)(void *arg, uint64_t bytes),
	void *arg, struct hw_err *err)
{
	struct taking t = {.ret = ret, .pack = p, .to = -1, .step = step, .arg = arg};

	*ret = (struct restore){.files = 0};
	return take_all(&t, err);
}

/* --- an empty directory ----------------------------------------------------------------------- */

int
restore_empty(int dir, const char *path, struct hw_err *err)
{
	static const char *const fine[] = {".", "..", RESTORE_DIR, "lost+found"};
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int r = 0;

	if (d == NULL) {
		r = hw_err_sys(err, "cannot list %s", path);
		fd_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		bool known = false;
		for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
			known |= strcmp(e->d_name, fine[i]) == 0;
		if (!known)
			r = hw_err_set(err, HW_EEXISTS,
				"%s is not empty (%.100s is there): a backup is restored into an "
				"empty directory; move away what is in it",
				path, e->d_name);
	}
	closedir(d);
	return r;
}

/* --- into its place --------------------------------------------------------------------------- */

/* What nodes were given after the backup, it does not know; and a program that is older than it
 * cannot read the store, which is found before anything has its place. */
static int
write_lost(void *arg, struct db *db, struct hw_err *err)
{
	const struct backup_about *about = arg;

	return node_set_all_lost(db, about->time > CLOCK_SLIP ? about->time - CLOCK_SLIP : 1, err);
}

static int
mark_store(const struct taking *t, const char *dir, struct hw_err *err)
{
	struct store *store = NULL;
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%s/" RESTORE_DIR "/relay.db", dir);
	const struct store_config sc = {.path = path, .clock = &hw_clock_system, .readers = 1};
	int r = store_open(&store, &sc, err);
	if (r == 0)
		r = store_write(store, write_lost, &t->ret->about, err);
	store_close(store);
	return r;
}

static int
write_note(const struct taking *t, struct hw_err *err)
{
	char text[256];

	int n = snprintf(text, sizeof(text), "time %" PRId64 "\nentries %" PRIu64 "\n",
		t->ret->about.time, t->ret->about.entries);
	return file_write(t->to, RESTORE_NOTE, text, (size_t)n, 0600, err);
}

static int
look_for_master_key(const struct taking *t, struct hw_err *err)
{
	struct relay_config config;
	int r = relay_config_load(&config, t->to, err);

	if (r == 0 && config.master_key[0] == '/')
		snprintf(t->ret->master_key, sizeof(t->ret->master_key), "%s", config.master_key);
	return r;
}

static int
move(const struct taking *t, int dir, const char *name, struct hw_err *err)
{
	return renameat(t->to, name, dir, name) < 0
		? hw_err_sys(err, "cannot put %s in its place", name)
		: 0;
}

static int
move_all(const struct taking *t, int dir, struct hw_err *err)
{
	int fd = openat(t->to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int r = 0;

	if (d == NULL) {
		r = hw_err_sys(err, "cannot list " RESTORE_DIR);
		fd_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			strcmp(e->d_name, LAST) != 0)
			r = move(t, dir, e->d_name, err);
	closedir(d);
	if (r == 0 && (syncfs(dir) < 0))
		r = hw_err_sys(err, "cannot sync what was restored");
	if (r == 0 && (r = move(t, dir, LAST, err)) == 0 && fsync(dir) < 0)
		r = hw_err_sys(err, "cannot sync what was restored");
	return r;
}

int
restore_run(struct restore *ret, struct pack_in *p, const char *path,
	void (*step)(void *arg, uint64_t bytes), void *arg, struct hw_err *err)
{
	struct taking t = {.ret = ret, .pack = p, .to = -1, .step = step, .arg = arg};
	int r, dir = -1;

	*ret = (struct restore){.files = 0};
	if ((r = dir_open(&dir, path, true, err)) < 0 || (r = restore_empty(dir, path, err)) < 0)
		goto out;
	folder_drop(dir, RESTORE_DIR);
	if (mkdirat(dir, RESTORE_DIR, 0700) < 0 && errno != EEXIST)
		r = hw_err_sys(err, "cannot make %s/" RESTORE_DIR, path);
	else
		t.to = openat(dir, RESTORE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && t.to < 0)
		r = hw_err_sys(err, "cannot open %s/" RESTORE_DIR, path);
	if (r < 0 || (r = take_all(&t, err)) < 0 || (r = look_for_master_key(&t, err)) < 0 ||
		(r = mark_store(&t, path, err)) < 0 || (r = write_note(&t, err)) < 0)
		goto out;
	if (syncfs(t.to) < 0)
		r = hw_err_sys(err, "cannot sync what was read");
	else if ((r = move_all(&t, dir, err)) == 0)
		(void)unlinkat(dir, RESTORE_DIR, AT_REMOVEDIR);
out:
	if (r < 0 && t.to >= 0 && faccessat(dir, LAST, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		folder_drop(dir, RESTORE_DIR);
	fd_close(t.to);
	fd_close(dir);
	return r;
}

/* --- the first start -------------------------------------------------------------------------- */

bool
restore_note_read(struct backup_about *ret, int dir)
{
	struct buf text;

	buf_init(&text, 4096);
	bool found = file_read(&text, dir, RESTORE_NOTE, NULL) == 0 && buf_str(&text) != NULL &&
		backup_about_read(ret, buf_str(&text), NULL) == 0;
	buf_fini(&text);
	return found;
}

void
restore_note_drop(int dir)
{
	(void)unlinkat(dir, RESTORE_NOTE, 0);
}
