#include "relay/core/keeping.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_heads.h"
#include "audit/recording.h"
#include "proto/base/file.h"
#include "relay/core/config.h"
#include "relay/store/holds.h"
#include "relay/store/store.h"

#define FETCHED DAY /* that a recording stays which was fetched back */
#define LOOK_AT 500 /* sessions */
#define YOUNG	(3600 * USEC_PER_SEC)
#define DAY	(86400 * USEC_PER_SEC)

struct keeping {
	const struct keeping_env *env;
	int dir; /* of recordings */
	char path[2048];
	struct kept_session at; /* the one that it is about */
	int64_t before;
	struct kept_rule rule;
	bool found, removed;
	char reason[128];
	int64_t size; /* of its file */
	uint8_t hash[SHA256_LEN];
	bool whole; /* the hash is known */
};

static int
read_next(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;
	const struct kept_session after = k->at;
	int r = kept_next(&k->at, db, &after, k->before, &k->rule, err);

	k->found = r == 1;
	return r < 0 ? r : 0;
}

/* --- one recording ---------------------------------------------------------------------------- */

static void
file_name(char out[128], const struct keeping *k)
{
	snprintf(out, 128, "%s.rec", k->at.id);
}

/* What of it can be proven later: the hash that its seal has, if it is whole. */
static int
hash_recording(uint8_t hash[SHA256_LEN], const struct keeping *k, struct hw_err *err)
{
	struct recording *rec;
	const uint8_t *p;
	size_t n;
	int r = recording_open(&rec, k->path, k->at.id, k->env->master, err);

	if (r < 0)
		return r;
	while ((r = recording_next(rec, &p, &n, err)) == 1)
		;
	if (r == 0 && !recording_complete(rec))
		r = HW_ECORRUPT;
	if (r == 0)
		recording_hash(rec, hash);
	recording_close(rec);
	return r;
}

static int
note(const struct keeping *k)
{
	char reason[192];
	const struct msg_ledger_entry e = {
		.session_id = k->at.id,
		.reason = reason,
		.hash = {k->whole ? k->hash : NULL, k->whole ? SHA256_LEN : 0},
		.size = k->size,
	};

	snprintf(reason, sizeof(reason), "%s%s", k->reason,
		k->whole ? "" : "; it was damaged, so there is no hash");
	return ledger_commit(k->env->ledger, ENTRY_RECORDING_DELETED, &e);
}

static int
remove_file(struct keeping *k, struct hw_err *err)
{
	char name[128];

	if (note(k) < 0)
		return hw_err_set(err, HW_ERECORD,
			"the ledger cannot be written, so no recording is deleted");
	if (k->env->heads != NULL && ledger_heads_make(k->env->heads, NULL) < 0)
		return hw_err_set(err, HW_ERECORD,
			"heads of the ledger cannot be signed, so no recording is deleted");
	file_name(name, k);
	if (unlinkat(k->dir, name, 0) < 0 || fsync(k->dir) < 0)
		return hw_err_sys(err, "cannot delete the recording %s", name);
	k->removed = true;
	return 0;
}

/* Also of a session that has just ended, or that waits in the journal for room on the disk, there
 * is no file yet. */
static bool
is_unrecorded(const struct keeping *k)
{
	char name[128];
	struct stat st;

	snprintf(name, sizeof(name), "%s.part", k->at.id);
	return k->at.ended < k->env->now - YOUNG &&
		fstatat(k->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0;
}

/* Whoever puts a hold meanwhile waits for this write, or this one sees the hold. One that was never
 * recorded is not looked at again. */
static int
write_deletion(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;
	char name[128];
	struct stat st;
	bool is_free = false, uploaded = false;
	int r = kept_is_free(&is_free, &uploaded, db, k->at.id, &k->rule, err);

	k->removed = false;
	if (r < 0 || !is_free)
		return r;
	file_name(name, k);
	if (fstatat(k->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (k->rule.uploaded && !uploaded)
			return 0;
		k->size = st.st_size;
		r = remove_file(k, err);
	} else if (errno != ENOENT) {
		r = hw_err_sys(err, "cannot look at the recording %s", name);
	} else if (!is_unrecorded(k)) {
		return 0;
	}
	return r == 0 ? kept_forget(db, k->at.id, k->removed ? k->env->now : -1, err) : r;
}

/* The file is read before the store is written, which others wait for; it changes no more. */
static int
drop_next(int *deleted, struct keeping *k, struct hw_err *err)
{
	int r = store_read(k->env->store, read_next, k, err);

	if (r < 0 || !k->found)
		return r;
	k->whole = hash_recording(k->hash, k, NULL) == 0;
	r = store_write(k->env->store, write_deletion, k, err);
	*deleted += r == 0 && k->removed;
	return r;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int
drop_old(int *deleted, struct keeping *k, struct hw_err *err)
{
	int days = k->env->config->recording_days, r = 0;

	k->at = (struct kept_session){.ended = 0};
	k->before = k->env->now - days * DAY;
	k->found = days > 0 && !k->env->is_doubtful;
	snprintf(k->reason, sizeof(k->reason), "it was older than %d days", days);
	for (int i = 0; r == 0 && k->found && i < LOOK_AT && *deleted < KEEPING_AT_ONCE; i++)
		r = drop_next(deleted, k, err);
	return r;
}

static int
count_all(int64_t *bytes, const struct keeping *k, struct hw_err *err)
{
	const struct dirent *entry;
	struct stat st;
	int fd = openat(k->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	*bytes = 0;
	if (d == NULL) {
		fd_close(fd);
		return hw_err_sys(err, "cannot list the recordings");
	}
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.' &&
			fstatat(k->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			*bytes += st.st_size;
	closedir(d);
	return 0;
}

/* The oldest first; of those that have ended alone. */
static int
drop_much(int *deleted, struct keeping *k, struct hw_err *err)
{
	int64_t most = (int64_t)k->env->config->recording_mib << 20, bytes = 0;
	int r = most > 0 ? count_all(&bytes, k, err) : 0;

	k->at = (struct kept_session){.ended = 0};
	k->before = INT64_MAX;
	k->found = true;
	snprintf(k->reason, sizeof(k->reason), "there were more than %d MiB of recordings",
		k->env->config->recording_mib);
	for (int i = 0;
		r == 0 && k->found && bytes > most && i < LOOK_AT && *deleted < KEEPING_AT_ONCE;
		i++) {
		k->removed = false;
		r = drop_next(deleted, k, err);
		bytes -= k->removed ? k->size : 0;
	}
	return r;
}

int
keeping_run(int *deleted, const struct keeping_env *env, struct hw_err *err)
{
	const struct relay_config *c = env->config;
	struct keeping k = {
		.env = env,
		.rule = {c->s3_endpoint[0] != '\0' && c->recording_s3_bucket[0] != '\0' &&
				c->recording_s3_first,
			 env->now - FETCHED},
	};
	int r;

	*deleted = 0;
	if (env->config->recording_days == 0 && env->config->recording_mib == 0)
		return 0;
	snprintf(k.path, sizeof(k.path), "%s/recordings", env->dir);
	if ((r = dir_open(&k.dir, k.path, false, err)) < 0)
		return r == HW_ENOTFOUND ? 0 : r;
	if ((r = drop_old(deleted, &k, err)) == 0)
		r = drop_much(deleted, &k, err);
	fd_close(k.dir);
	return r;
}
