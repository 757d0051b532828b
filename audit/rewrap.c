#include "audit/rewrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "audit/journal_segment.h"
#include "audit/ledger_file.h"
#include "audit/recording_file.h"
#include "proto/base/file.h"

typedef int rewrap_fn(int dir, const char *name, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err);

/* A kind of file: which names it has, and what wraps its key. */
struct kind {
	const char *label;
	bool (*is_one)(const char *name);
	rewrap_fn *rewrap;
};

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

static bool
is_segment(const char *name)
{
	return strncmp(name, "journal-", 8) == 0 || strcmp(name, SEGMENT_NEXT) == 0;
}

static bool
is_aside(const char *name)
{
	return strstr(name, ".part.damaged-") != NULL || strstr(name, ".rec.aside-") != NULL;
}

static bool
is_recording(const char *name)
{
	return ends_with(name, ".rec") || ends_with(name, ".part") || is_aside(name);
}

static const struct kind segments = {"hawser journal", is_segment, segment_rewrap};
static const struct kind recordings = {"hawser recordings", is_recording, recording_file_rewrap};

/* Its file stays as it is, so that nothing of it is lost. */
static int
skip(const struct rewrap_dirs *dirs, const char *name, struct hw_err *err)
{
	if (dirs->skipped != NULL)
		dirs->skipped(dirs->arg, name);
	if (err != NULL)
		*err = (struct hw_err)HW_ERR_INIT;
	return 0;
}

static int
rewrap_each(DIR *d, const struct rewrap_dirs *dirs, const struct kind *kind,
	const struct secret_key *from, const struct secret_key *to, struct hw_err *err)
{
	const struct dirent *entry;
	int r = 0;

	while (r == 0 && (errno = 0, entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.' || !kind->is_one(entry->d_name))
			continue;
		r = kind->rewrap(dirfd(d), entry->d_name, from, to, err);
		if (r == HW_ENOTFOUND) /* without a head it holds nothing */
			r = 0;
		if (r == HW_ECORRUPT && kind == &recordings)
			r = skip(dirs, entry->d_name, err);
	}
	return r == 0 && errno != 0 ? hw_err_sys(err, "cannot list a directory") : r;
}

static int
rewrap_dir(const char *path, const struct rewrap_dirs *dirs, const struct kind *kind,
	const struct secret_key *from, const struct secret_key *to, struct hw_err *err)
{
	struct secret_key old, fresh;
	int fd, r = dir_open(&fd, path, false, err);

	if (r < 0)
		return r == HW_ENOTFOUND ? 0 : r;
	/* A file that was removed must not come back with a key that nobody has any more. */
	if (fsync(fd) < 0) {
		r = hw_err_sys(err, "cannot sync %s", path);
		fd_close(fd);
		return r;
	}
	DIR *d = fdopendir(fd);
	if (d == NULL) {
		r = hw_err_sys(err, "cannot list %s", path);
		fd_close(fd);
		return r;
	}
	secret_key_derive(&old, from, kind->label);
	secret_key_derive(&fresh, to, kind->label);
	r = rewrap_each(d, dirs, kind, &old, &fresh, err);
	secret_key_wipe(&old);
	secret_key_wipe(&fresh);
	closedir(d);
	return r;
}

int
rewrap_all(const struct rewrap_dirs *dirs, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err)
{
	int r;

	if ((r = rewrap_dir(dirs->journal, dirs, &segments, from, to, err)) < 0 ||
		(r = rewrap_dir(dirs->recordings, dirs, &recordings, from, to, err)) < 0)
		return r;
	return ledger_files_rewrap(dirs->ledger, from, to, err);
}
