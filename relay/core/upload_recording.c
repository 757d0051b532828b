#include "relay/core/upload_recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/recording_file.h"
#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "relay/core/upload.h"
#include "relay/core/upload_parts.h"
#include "relay/objects/s3.h"
#include "relay/store/recording_uploads.h"
#include "relay/store/store.h"
#include "relay/store/uploads.h"

#define AT_ONCE	    256 /* rows of a transaction */
#define FETCH_END   ".fetch"
#define WRAPPED_LEN RECORDING_SEALED(SECRET_KEY_LEN)

/* --- the entry -------------------------------------------------------------------------------- */

static int
note(const struct upload_source *from, enum entry_kind kind, const struct recording_copy *copy,
	struct hw_err *err)
{
	char place[1200];
	uint8_t hash[SHA256_LEN];
	const struct msg_ledger_entry e = {
		.session_id = copy->session_id,
		.detail = place,
		.hash = {hash, sizeof(hash)},
		.size = copy->size,
	};

	snprintf(place, sizeof(place), "s3://%s/%s", copy->bucket, copy->object);
	if (hex_decode(hash, sizeof(hash), copy->hash) < 0)
		return hw_err_set(err, HW_ECORRUPT, "the store's hash of the recording is none");
	return ledger_commit(from->ledger, kind, &e) < 0
		? hw_err_set(err, HW_ERECORD, "the ledger cannot be written")
		: 0;
}

/* --- there ------------------------------------------------------------------------------------ */

struct tape {
	const struct upload_source *from;
	struct recording_copy copy;
	int dir, fd;
};

static bool
is_there(const struct tape *t, bool complete)
{
	char name[RECORDING_NAME_MAX + 1];

	recording_file_name(name, t->copy.session_id, complete);
	return faccessat(t->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
try_tape(struct tape *t)
{
	char name[RECORDING_NAME_MAX + 1];

	recording_file_name(name, t->copy.session_id, true);
	t->fd = openat(t->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return t->fd >= 0 || errno != ENOENT;
}

/* It gets its final name at any moment: who has seen neither name looks for that one again. */
static int
open_tape(struct tape *t, struct hw_err *err)
{
	if (!try_tape(t) && is_there(t, false))
		return hw_err_set(err, HW_EINTERRUPTED, "the recording is being completed");
	if (t->fd < 0 && !try_tape(t))
		return hw_err_set(err, HW_ENOSESSION,
			"the recording was deleted before it could be uploaded");
	return t->fd < 0 ? hw_err_sys(err, "cannot open the recording") : 0;
}

static int
read_tape(void *arg, int64_t offset, size_t n, struct buf *out, struct hw_err *err)
{
	const struct tape *t = arg;
	uint8_t *to = buf_reserve(out, n);

	if (to == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for an upload");
	ssize_t got = pread(t->fd, to, n, offset);
	if (got < 0)
		return hw_err_sys(err, "cannot read the recording");
	buf_commit(out, (size_t)got);
	return 0;
}

static void
fill_copy(struct recording_copy *copy, const struct upload_source *from,
	const struct recording_facts *facts)
{
	snprintf(copy->bucket, sizeof(copy->bucket), "%s", from->bucket);
	snprintf(copy->object, sizeof(copy->object), "%s%srecordings/%s.rec", from->prefix,
		from->prefix[0] != '\0' ? "/" : "", copy->session_id);
	hex_encode(copy->hash, facts->hash, sizeof(facts->hash));
	copy->size = (int64_t)facts->size;
	snprintf(copy->number, sizeof(copy->number), "%016" PRIx64, facts->head.session);
	snprintf(copy->start, sizeof(copy->start), "%016" PRIx64, facts->head.start);
	base64_encode(copy->wrapped, facts->wrapped, sizeof(facts->wrapped));
}

static int
write_copied(void *arg, struct db *db, struct hw_err *err)
{
	return recording_upload_copied(db, arg, err);
}

static int
put_tape(struct s3 *s3, struct tape *t, struct upload_row *row, struct hw_err *err)
{
	struct recording_facts facts;
	int r = recording_file_check(&facts, t->fd, t->from->master, err);

	if (r < 0)
		return r;
	fill_copy(&t->copy, t->from, &facts);
	const struct s3_object o = {.bucket = t->copy.bucket, .key = t->copy.object};
	const struct s3_source source = {.size = t->copy.size, .read = read_tape, .arg = t};
	if ((r = upload_parts_put(s3, t->from->store, row, &o, &source, err)) < 0 ||
		(r = note(t->from, ENTRY_RECORDING_UPLOADED, &t->copy, err)) < 0)
		return r;
	return store_write(t->from->store, write_copied, &t->copy, err);
}

static void
tape_init(struct tape *t, const struct upload_source *from, const struct upload_row *row)
{
	*t = (struct tape){.from = from, .dir = -1, .fd = -1};
	snprintf(t->copy.session_id, sizeof(t->copy.session_id), "%s", row->session_id);
}

static void
tape_fini(struct tape *t)
{
	fd_close(t->fd);
	fd_close(t->dir);
}

int
upload_recording_run(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err)
{
	struct tape t;
	int r;

	tape_init(&t, from, row);
	if ((r = upload_parts_clear(s3, row, NULL, err)) == 0 &&
		(r = dir_open(&t.dir, from->recordings, false, err)) == 0 &&
		(r = open_tape(&t, err)) == 0)
		r = put_tape(s3, &t, row, err);
	tape_fini(&t);
	return r;
}

/* --- and back --------------------------------------------------------------------------------- */

static int
read_copy(void *arg, struct db *db, struct hw_err *err)
{
	struct tape *t = arg;
	char id[sizeof(t->copy.session_id)];

	snprintf(id, sizeof(id), "%s", t->copy.session_id);
	return recording_upload_get(db, id, &t->copy, err);
}

static int
write_fetched(void *arg, struct db *db, struct hw_err *err)
{
	const struct tape *t = arg;

	return recording_upload_fetched(db, t->copy.session_id, clock_wall(t->from->clock), err);
}

static int
write_tape(void *arg, const void *p, size_t n, struct hw_err *err)
{
	const struct tape *t = arg;

	return fd_write_all(t->fd, p, n, err);
}

/* Its hash is the one that it had: who has the bucket cannot put another in its place. */
static int
check_fetched(struct tape *t, struct hw_err *err)
{
	uint8_t wrapped[BASE64_LEN(WRAPPED_LEN)];
	char hash[2 * SHA256_LEN + 1];
	struct recording_facts facts;
	size_t n;
	int r = 0;

	if (base64_decode(wrapped, &n, t->copy.wrapped, strlen(t->copy.wrapped)) < 0 ||
		n != WRAPPED_LEN)
		return hw_err_set(err, HW_ECORRUPT, "the store's key of the recording is none");
	if ((r = recording_file_put_key(t->fd, wrapped, err)) < 0)
		return r;
	r = recording_file_check(&facts, t->fd, t->from->master, err);
	if (r == 0)
		hex_encode(hash, facts.hash, sizeof(facts.hash));
	if (r == HW_ECORRUPT || (r == 0 && strcmp(hash, t->copy.hash) != 0))
		return hw_err_set(err, HW_ECORRUPT,
			"what s3://%s/%s holds is not the recording that was put there",
			t->copy.bucket, t->copy.object);
	return r;
}

static int
get_tape(struct s3 *s3, struct tape *t, const char *name, struct hw_err *err)
{
	const struct s3_object o = {.bucket = t->copy.bucket, .key = t->copy.object};
	const struct s3_sink to = {.max = t->copy.size, .write = write_tape, .arg = t};
	int r;

	t->fd = openat(t->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->fd < 0)
		return hw_err_sys(err, "cannot make a file for the recording");
	if ((r = s3_get(s3, &o, &to, err)) < 0 || (r = check_fetched(t, err)) < 0)
		return r;
	return fsync(t->fd) < 0 ? hw_err_sys(err, "cannot sync the recording") : 0;
}

static int
put_in_place(struct s3 *s3, struct tape *t, struct hw_err *err)
{
	char name[RECORDING_NAME_MAX + 1], part[RECORDING_NAME_MAX + 8];
	int r;

	recording_file_name(name, t->copy.session_id, true);
	snprintf(part, sizeof(part), ".%s" FETCH_END, t->copy.session_id);
	if ((r = get_tape(s3, t, part, err)) == 0 &&
		(r = note(t->from, ENTRY_RECORDING_FETCHED, &t->copy, err)) == 0 &&
		(renameat(t->dir, part, t->dir, name) < 0 || fsync(t->dir) < 0))
		r = hw_err_sys(err, "cannot put the recording in its place");
	if (r < 0)
		unlinkat(t->dir, part, 0);
	return r;
}

int
upload_recording_fetch(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err)
{
	struct tape t;
	int r;

	tape_init(&t, from, row);
	if ((r = dir_open(&t.dir, from->recordings, false, err)) == 0 &&
		(r = store_read(from->store, read_copy, &t, err)) == 0 && !is_there(&t, true))
		r = put_in_place(s3, &t, err);
	if (r == 0)
		r = store_write(from->store, write_fetched, &t, err);
	tape_fini(&t);
	return r;
}

/* --- the queue -------------------------------------------------------------------------------- */

struct some {
	char (*ids)[97];
	size_t n;
	int64_t now;
};

static int
write_some(void *arg, struct db *db, struct hw_err *err)
{
	const struct some *s = arg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i++)
		r = recording_upload_insert(db, s->ids[i], s->now, err);
	return r;
}

int
upload_recordings_insert(const struct upload_source *from, char (*ids)[97], size_t n,
	struct hw_err *err)
{
	struct some some = {.ids = ids, .n = n, .now = clock_wall(from->clock)};

	return n > 0 ? store_write(from->store, write_some, &some, err) : 0;
}

static bool
ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static bool
take_name(char id[97], int dir, const char *name)
{
	size_t n = strlen(name);

	if (name[0] == '.' && ends_in(name, FETCH_END))
		unlinkat(dir, name, 0);
	if (!ends_in(name, ".rec") || n - 4 > RECORDING_ID_MAX)
		return false;
	snprintf(id, 97, "%.*s", (int)(n - 4), name);
	return recording_id_valid(id);
}

static int
scan(const struct upload_source *from, DIR *d, struct hw_err *err)
{
	char ids[AT_ONCE][97];
	const struct dirent *entry;
	size_t n = 0;
	int r = 0;

	while (r == 0 && (entry = readdir(d)) != NULL) {
		n += take_name(ids[n], dirfd(d), entry->d_name);
		if (n == AT_ONCE) {
			r = upload_recordings_insert(from, ids, n, err);
			n = 0;
		}
	}
	return r == 0 ? upload_recordings_insert(from, ids, n, err) : r;
}

int
upload_recordings_scan(const struct upload_source *from, struct hw_err *err)
{
	DIR *d = opendir(from->recordings);

	if (d == NULL)
		return hw_err_sys(err, "cannot list the recordings");
	int r = scan(from, d, err);
	closedir(d);
	return r;
}
