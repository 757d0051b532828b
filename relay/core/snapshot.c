#include "relay/core/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/head_file.h"
#include "audit/journal.h"
#include "audit/journal_segment.h"
#include "audit/ledger_heads.h"
#include "audit/recording.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "relay/store/store.h"

#define PATH_ROOM  2048
#define LIST_MAX   (256 << 20)
#define COPY_MAX   (16 << 20) /* of a file that is replaced now and then: heads, statements */
#define HEADS_HEAD 8

struct taking {
	const struct snapshot_source *source;
	struct snapshot *ret;
	int dir, to; /* the relay's, and DIR/backup.tmp */
	jpos end;    /* of the journal */
	struct buf list;
};

/* --- files ------------------------------------------------------------------------------------ */

static int
add(struct taking *t, uint64_t size, const char *name, struct hw_err *err)
{
	if (buf_printf(&t->list, "%" PRIu64 " %s\n", size, name) < 0)
		return hw_err_set(err, HW_ENOMEM, "no memory for a backup's list of files");
	return 0;
}

/* Where a file may not have two names it is copied, as far as it is there. */
static int
copy_file(struct taking *t, const char *from, const char *to, struct hw_err *err)
{
	char chunk[64 * 1024];
	ssize_t n = 0;
	int r = 0;

	int in = openat(t->dir, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = openat(t->to, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		r = hw_err_sys(err, "cannot copy %s", from);
	while (r == 0 && (n = read(in, chunk, sizeof(chunk))) > 0)
		r = fd_write_all(out, chunk, (size_t)n, err);
	if (r == 0 && n < 0)
		r = hw_err_sys(err, "cannot read %s", from);
	fd_close(in);
	fd_close(out);
	return r;
}

/* HW_ENOTFOUND: it has gone, or has another name by now. */
static int
link_file(struct taking *t, const char *name, uint64_t most, struct hw_err *err)
{
	struct stat st;
	int r = 0;

	if (linkat(t->dir, name, t->to, name, 0) < 0) {
		if (errno == ENOENT)
			return HW_ENOTFOUND;
		if (errno != EXDEV && errno != EPERM && errno != EMLINK)
			return hw_err_sys(err, "cannot give %s a second name", name);
		r = copy_file(t, name, name, err);
	}
	if (r == 0 && fstatat(t->to, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = hw_err_sys(err, "cannot look at %s", name);
	if (r < 0)
		return r;
	uint64_t size = (uint64_t)st.st_size < most ? (uint64_t)st.st_size : most;
	return add(t, size, name, err);
}

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

/* Of all files of a folder that `wanted` names. */
static int
link_folder(struct taking *t, const char *folder, bool (*wanted)(const char *name),
	struct hw_err *err)
{
	char name[PATH_ROOM];
	const struct dirent *e;
	int r = 0;

	int fd = openat(t->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		r = errno == ENOENT ? 0 : hw_err_sys(err, "cannot list %s", folder);
		fd_close(fd);
		return r;
	}
	while (r >= 0 && (e = readdir(d)) != NULL) {
		if (!wanted(e->d_name))
			continue;
		snprintf(name, sizeof(name), "%s/%s", folder, e->d_name);
		if ((r = link_file(t, name, UINT64_MAX, err)) == HW_ENOTFOUND)
			r = 0;
	}
	closedir(d);
	return r;
}

/* --- the ledger and recordings: while the archiver is held
 * ---------------------------------------- */

static bool
is_ledger_file(const char *name)
{
	return strncmp(name, "ledger-", 7) == 0 && ends_with(name, ".log");
}

static bool
is_ledger_tree(const char *name)
{
	return strcmp(name, "tree") == 0;
}

static bool
is_recording(const char *name)
{
	return ends_with(name, ".rec") || ends_with(name, ".part") ||
		strstr(name, ".rec.aside-") != NULL || strstr(name, ".part.damaged-") != NULL;
}

/* Whole records alone: the next head may be half written. */
static int
copy_heads(struct taking *t, struct hw_err *err)
{
	struct buf heads;
	int r;

	buf_init(&heads, COPY_MAX);
	if ((r = file_read(&heads, t->dir, "ledger/heads", err)) == 0) {
		size_t n = heads.len < HEADS_HEAD
			? 0
			: heads.len - (heads.len - HEADS_HEAD) % HEAD_RECORD_LEN;
		r = file_write(t->to, "ledger/heads", buf_data(&heads), n, 0600, err);
		if (r == 0)
			r = add(t, n, "ledger/heads", err);
	}
	buf_fini(&heads);
	return r == HW_ENOTFOUND ? 0 : r;
}

static int
copy_whole(struct taking *t, const char *name, struct hw_err *err)
{
	struct stat st;
	int r;

	if (fstatat(t->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if ((r = copy_file(t, name, name, err)) < 0 || fstatat(t->to, name, &st, 0) < 0)
		return r < 0 ? r : hw_err_sys(err, "cannot look at %s", name);
	return add(t, (uint64_t)st.st_size, name, err);
}

/* Heads come before what they speak of: the tree and the files, which are there by then. */
static int
take_derived(struct taking *t, struct hw_err *err)
{
	int r;

	if ((r = copy_heads(t, err)) < 0 || (r = copy_whole(t, "ledger/epochs", err)) < 0 ||
		(r = copy_whole(t, "ledger/erasing", err)) < 0 ||
		(r = link_folder(t, "ledger", is_ledger_tree, err)) < 0 ||
		(r = link_folder(t, "ledger", is_ledger_file, err)) < 0)
		return r;
	return link_folder(t, "recordings", is_recording, err);
}

/* --- the journal ------------------------------------------------------------------------------ */

/* As far as it was when the store was looked at: that is a record's end. */
static int
take_segment(struct taking *t, jpos first, struct hw_err *err)
{
	char name[SEGMENT_NAME_LEN + 1], path[SEGMENT_NAME_LEN + 16];

	if (t->source->journal != NULL && first >= t->end)
		return 0;
	segment_name(name, first);
	snprintf(path, sizeof(path), "journal/%s", name);
	uint64_t most =
		t->source->journal != NULL ? SEGMENT_HEAD_LEN + (t->end - first) : UINT64_MAX;
	int r = link_file(t, path, most, err);
	return r == HW_ENOTFOUND ? hw_err_set(err, HW_EUNAVAILABLE,
					   "the journal went on without %s; try again", name)
				 : r;
}

static int
take_journal(struct taking *t, struct hw_err *err)
{
	jpos *firsts = NULL;
	size_t n = 0;
	int r;

	int fd = openat(t->dir, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot list journal");
	r = segment_list(&firsts, &n, fd, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = take_segment(t, firsts[i], err);
	free(firsts);
	fd_close(fd);
	return r;
}

/* Within the store's moment: outcomes are written after the commit that they tell of. */
static int
mark_moment(void *arg, struct db *db, struct hw_err *err)
{
	struct taking *t = arg;

	(void)db;
	t->ret->time = clock_wall(t->source->clock);
	if (t->source->journal == NULL)
		return 0;
	t->ret->entries = journal_ledger_mark(t->source->journal, &t->end);
	if (journal_wait(t->source->journal, t->end) < 0)
		return hw_err_set(err, HW_ERECORD,
			"the journal cannot be written: see the relay's log");
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int
make_folders(struct taking *t, struct hw_err *err)
{
	static const char *const names[] = {"journal", "recordings", "ledger"};

	folder_drop(t->dir, SNAPSHOT_DIR);
	if (mkdirat(t->dir, SNAPSHOT_DIR, 0700) < 0)
		return hw_err_sys(err, "cannot make %s/" SNAPSHOT_DIR, t->source->dir);
	t->to = openat(t->dir, SNAPSHOT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->to < 0)
		return hw_err_sys(err, "cannot open %s/" SNAPSHOT_DIR, t->source->dir);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mkdirat(t->to, names[i], 0700) < 0)
			return hw_err_sys(err, "cannot make " SNAPSHOT_DIR "/%s", names[i]);
	return 0;
}

static int
copy_store(struct taking *t, const struct store_moment *moment, struct hw_err *err)
{
	char path[PATH_ROOM];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/" SNAPSHOT_DIR "/relay.db", t->source->dir);
	if ((r = store_moment_copy(moment, path, err)) < 0)
		return r;
	if (fstatat(t->to, "relay.db", &st, 0) < 0)
		return hw_err_sys(err, "cannot look at %s", path);
	return add(t, (uint64_t)st.st_size, "relay.db", err);
}

/* What the archiver has not moved yet is moved first: less of what was done then has its proof in
 * the journal alone. Whatever comes meanwhile is in the journal. */
static int
take(struct taking *t, struct hw_err *err)
{
	const struct snapshot_source *s = t->source;
	struct store_moment *moment = NULL;
	int r;

	if (s->archiver != NULL) {
		(void)archiver_settle(s->archiver, NULL);
		if (s->heads != NULL)
			(void)ledger_heads_make(s->heads, NULL);
		archiver_hold(s->archiver);
	}
	if ((r = take_derived(t, err)) == 0 &&
		(r = store_moment_open(&moment, s->store, mark_moment, t, err)) == 0)
		r = take_journal(t, err);
	if (s->archiver != NULL)
		archiver_release(s->archiver);
	if (r == 0)
		r = copy_store(t, moment, err);
	store_moment_close(moment);
	return r;
}

static int
count_entries(struct taking *t, struct hw_err *err)
{
	char ledger[PATH_ROOM];
	struct head_file *heads;
	int r;

	if (t->source->journal != NULL)
		return 0;
	snprintf(ledger, sizeof(ledger), "%s/" SNAPSHOT_DIR "/ledger", t->source->dir);
	if ((r = head_file_open(&heads, ledger, NULL, err)) < 0)
		return r;
	if (head_file_last(heads) != NULL)
		t->ret->entries = head_file_last(heads)->size;
	head_file_close(heads);
	return 0;
}

int
snapshot_make(struct snapshot *ret, const struct snapshot_source *source, struct hw_err *err)
{
	struct taking t = {.source = source, .ret = ret, .dir = -1, .to = -1};
	int r;

	*ret = (struct snapshot){.entries = 0};
	buf_init(&t.list, LIST_MAX);
	if ((r = dir_open(&t.dir, source->dir, false, err)) == 0 &&
		(r = make_folders(&t, err)) == 0 && (r = take(&t, err)) == 0 &&
		(r = count_entries(&t, err)) == 0)
		r = file_write(t.to, SNAPSHOT_LIST, buf_data(&t.list), t.list.len, 0600, err);
	if (r < 0 && t.to >= 0)
		folder_drop(t.dir, SNAPSHOT_DIR);
	buf_fini(&t.list);
	fd_close(t.to);
	fd_close(t.dir);
	return r;
}

void
snapshot_drop(const char *dir)
{
	int fd;

	if (dir_open(&fd, dir, false, NULL) < 0)
		return;
	folder_drop(fd, SNAPSHOT_DIR);
	fd_close(fd);
}
