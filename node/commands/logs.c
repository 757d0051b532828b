#include "node/commands/logs.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/commands/slot.h"
#include "proto/base/file.h"
#include "proto/base/id.h"

#define NAME_LEN (ID_UUID_LEN + sizeof(LOGS_SUFFIX))

/* A log that was written last. */
struct recent {
	char id[ID_UUID_LEN + 1]; /* empty: none */
	struct buf text;	  /* all of it, until there is more of it; else empty */
};

enum { IN_SLOT, IN_FILE, PLACES };

struct logs {
	int dir;
	struct slot slot;
	int fd;	    /* of the file that was written last; -1: none is open */
	off_t size; /* of it, when it was last looked at */
	/* All that the slot has; of files one, for most nodes have one command at a time. */
	struct recent recent[PLACES];
};

static void
file_name(char out[NAME_LEN], const char *id)
{
	snprintf(out, NAME_LEN, "%.36s" LOGS_SUFFIX, id);
}

static void
recent_init(struct recent *r)
{
	*r = (struct recent){.id = ""};
	buf_init(&r->text, 0);
}

static void
recent_forget(struct recent *r)
{
	buf_fini(&r->text);
	recent_init(r);
}

static bool
is_recent(const struct recent *r, const char *id)
{
	return r->id[0] != '\0' && strcmp(r->id, id) == 0;
}

/* Takes the text. */
static void
recent_fill(struct recent *r, const char *id, struct buf *text)
{
	snprintf(r->id, sizeof(r->id), "%s", id);
	buf_fini(&r->text);
	r->text = *text;
	buf_init(text, 0);
}

/* --- in files of their own -------------------------------------------------------------------- */

static void
file_close(struct logs *l)
{
	fd_close(l->fd);
	l->fd = -1;
	l->size = 0;
	recent_forget(&l->recent[IN_FILE]);
}

/* Takes the descriptor. */
static void
file_set(struct logs *l, const char *id, int fd)
{
	file_close(l);
	snprintf(l->recent[IN_FILE].id, sizeof(l->recent[IN_FILE].id), "%s", id);
	l->fd = fd;
}

/* Whether it is still what lies under that name, as far as the file itself can tell. */
static bool
file_is_there(struct logs *l)
{
	struct stat st;

	if (fstat(l->fd, &st) < 0 || st.st_nlink == 0)
		return false;
	l->size = st.st_size;
	return true;
}

static int
file_ready(struct logs *l, const char *id, struct hw_err *err)
{
	char name[NAME_LEN];

	if (is_recent(&l->recent[IN_FILE], id) && file_is_there(l))
		return 0;
	file_name(name, id);
	int fd = openat(l->dir, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return hw_err_sys(err, "cannot open " LOGS_DIR "/%s", name);
	file_set(l, id, fd);
	return file_is_there(l) ? 0 : hw_err_sys(err, "cannot look at " LOGS_DIR "/%s", name);
}

static uint64_t
file_seed(const struct logs *l)
{
	(void)l;
	return 0;
}

static off_t
file_end(const struct logs *l)
{
	return l->size;
}

/* A record whose writing failed half way would hide all that follows. */
static int
file_append(struct logs *l, const struct buf *record, bool lasting, struct hw_err *err)
{
	int r;

	if ((r = fd_write_all(l->fd, buf_data(record), record->len, err)) == 0 && lasting &&
		fdatasync(l->fd) < 0)
		r = hw_err_sys(err, "cannot sync " LOGS_DIR "/%s" LOGS_SUFFIX,
			l->recent[IN_FILE].id);
	if (r < 0)
		(void)!ftruncate(l->fd, l->size);
	return r;
}

static int
file_sync(struct logs *l, const char *id, struct hw_err *err)
{
	int r = file_ready(l, id, err);

	if (r == 0 && fdatasync(l->fd) < 0)
		r = hw_err_sys(err, "cannot sync " LOGS_DIR "/%s" LOGS_SUFFIX, id);
	return r;
}

static int
file_take(struct buf *out, const struct logs *l, const char *id, struct hw_err *err)
{
	char name[NAME_LEN];

	file_name(name, id);
	return file_read(out, l->dir, name, err);
}

static void
file_remove(struct logs *l, const char *id)
{
	char name[NAME_LEN];

	if (is_recent(&l->recent[IN_FILE], id))
		file_close(l);
	file_name(name, id);
	unlinkat(l->dir, name, 0);
}

static int
file_begin(struct logs *l, const char *id, uint64_t seed, struct buf *records, struct hw_err *err)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char name[NAME_LEN];
	int r;

	(void)seed;
	file_name(name, id);
	int fd = openat(l->dir, name, flags, 0600);
	if (fd < 0)
		return errno == EEXIST ? hw_err_set(err, HW_EEXISTS, "there is a %s", name)
				       : hw_err_sys(err, "cannot make " LOGS_DIR "/%s", name);
	if ((r = fd_write_all(fd, buf_data(records), records->len, err)) == 0 &&
		(fdatasync(fd) < 0 || fsync(l->dir) < 0))
		r = hw_err_sys(err, "cannot sync " LOGS_DIR "/%s", name);
	if (r < 0) {
		unlinkat(l->dir, name, 0);
		close(fd);
		return r;
	}
	file_set(l, id, fd);
	recent_fill(&l->recent[IN_FILE], id, records);
	return 0;
}

static bool
has_file(const struct logs *l, const char *id)
{
	char name[NAME_LEN];

	file_name(name, id);
	return faccessat(l->dir, name, F_OK, 0) == 0;
}

/* --- in the slot ------------------------------------------------------------------------------ */

/* It is open as long as there is something in it. */
static int
in_slot_ready(struct logs *l, const char *id, struct hw_err *err)
{
	(void)l, (void)id, (void)err;
	return 0;
}

static uint64_t
in_slot_seed(const struct logs *l)
{
	return l->slot.seed;
}

static off_t
in_slot_end(const struct logs *l)
{
	return l->slot.end;
}

static int
in_slot_append(struct logs *l, const struct buf *record, bool lasting, struct hw_err *err)
{
	return slot_append(&l->slot, record, lasting, err);
}

static int
in_slot_sync(struct logs *l, const char *id, struct hw_err *err)
{
	(void)id;
	return slot_sync(&l->slot, err);
}

static int
in_slot_take(struct buf *out, const struct logs *l, const char *id, struct hw_err *err)
{
	(void)id;
	return slot_read(out, &l->slot, err);
}

static void
in_slot_remove(struct logs *l, const char *id)
{
	(void)id;
	slot_clear(&l->slot);
	recent_forget(&l->recent[IN_SLOT]);
}

static int
in_slot_begin(struct logs *l, const char *id, uint64_t seed, struct buf *records,
	struct hw_err *err)
{
	int r = slot_begin(&l->slot, seed, records, err);

	if (r == 0)
		recent_fill(&l->recent[IN_SLOT], id, records);
	return r;
}

/* --- either -------------------------------------------------------------------------------------
 */

struct place {
	/* Writes the beginning, so that it lasts, and takes the records. */
	int (*begin)(struct logs *l, const char *id, uint64_t seed, struct buf *records,
		struct hw_err *err);
	/* Has it open for more; of that are what follows. */
	int (*ready)(struct logs *l, const char *id, struct hw_err *err);
	uint64_t (*seed)(const struct logs *l);
	off_t (*end)(const struct logs *l);
	int (*append)(struct logs *l, const struct buf *record, bool lasting, struct hw_err *err);
	/* These need no ready(). */
	int (*sync)(struct logs *l, const char *id, struct hw_err *err);
	int (*take)(struct buf *out, const struct logs *l, const char *id, struct hw_err *err);
	void (*remove)(struct logs *l, const char *id);
};

static const struct place the_slot = {
	.begin = in_slot_begin,
	.ready = in_slot_ready,
	.seed = in_slot_seed,
	.end = in_slot_end,
	.append = in_slot_append,
	.sync = in_slot_sync,
	.take = in_slot_take,
	.remove = in_slot_remove,
};

static const struct place its_file = {
	.begin = file_begin,
	.ready = file_ready,
	.seed = file_seed,
	.end = file_end,
	.append = file_append,
	.sync = file_sync,
	.take = file_take,
	.remove = file_remove,
};

static const struct place *const places[PLACES] = {
	[IN_SLOT] = &the_slot,
	[IN_FILE] = &its_file,
};

static int
where_is(const struct logs *l, const char *id)
{
	return is_recent(&l->recent[IN_SLOT], id) ? IN_SLOT : IN_FILE;
}

bool
logs_in_slot(const struct logs *l, const char *id)
{
	return where_is(l, id) == IN_SLOT;
}

const char *
logs_slot_id(const struct logs *l)
{
	return l->recent[IN_SLOT].id;
}

bool
logs_lack(const struct logs *l, const char *id)
{
	char name[NAME_LEN];
	struct stat st;

	file_name(name, id);
	return !logs_in_slot(l, id) && fstatat(l->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		errno == ENOENT;
}

uint64_t
logs_new_seed(const struct logs *l, const char *id, size_t n)
{
	return slot_is_free(&l->slot, n) && !has_file(l, id) ? slot_new_seed() : 0;
}

int
logs_begin(struct logs *l, const char *id, uint64_t seed, struct buf *records, struct hw_err *err)
{
	return places[seed != 0 ? IN_SLOT : IN_FILE]->begin(l, id, seed, records, err);
}

int
logs_ready(uint64_t *seed, struct logs *l, const char *id, struct hw_err *err)
{
	const struct place *p = places[where_is(l, id)];
	int r = p->ready(l, id, err);

	if (r == 0)
		*seed = p->seed(l);
	return r;
}

int
logs_append(struct logs *l, const char *id, const struct buf *record, size_t most, bool lasting,
	struct hw_err *err)
{
	int where = where_is(l, id);
	const struct place *p = places[where];

	if ((uint64_t)p->end(l) + record->len > most)
		return hw_err_set(err, HW_ELIMIT,
			"what was written down of the command is longer than %zu bytes", most);
	buf_reset(&l->recent[where].text);
	return p->append(l, record, lasting, err);
}

int
logs_sync(struct logs *l, const char *id, struct hw_err *err)
{
	return places[where_is(l, id)]->sync(l, id, err);
}

int
logs_read(const struct buf **ret, uint64_t *seed, struct buf *room, const struct logs *l,
	const char *id, struct hw_err *err)
{
	int where = where_is(l, id);
	const struct place *p = places[where];
	const struct recent *recent = &l->recent[where];
	bool known = is_recent(recent, id) && recent->text.len > 0;
	int r = known ? 0 : p->take(room, l, id, err);

	if (r == 0) {
		*ret = known ? &recent->text : room;
		*seed = p->seed(l);
	}
	return r;
}

void
logs_remove(struct logs *l, const char *id)
{
	places[where_is(l, id)]->remove(l, id);
}

/* --- life ---------------------------------------------------------------------------------------
 */

void
logs_make_slot(struct logs *l)
{
	slot_make(&l->slot);
}

int
logs_read_slot(struct buf *text, uint64_t *seed, const struct logs *l, struct hw_err *err)
{
	int r = l->slot.seed != 0 ? slot_read(text, &l->slot, err) : 0;

	if (r == 0)
		*seed = l->slot.seed;
	return r;
}

void
logs_settle_slot(struct logs *l, size_t whole, const char *id)
{
	slot_cut(&l->slot, whole);
	if (id != NULL && !has_file(l, id))
		snprintf(l->recent[IN_SLOT].id, sizeof(l->recent[IN_SLOT].id), "%s", id);
	else
		slot_clear(&l->slot);
}

int
logs_open(struct logs **ret, int dir, struct hw_err *err)
{
	struct logs *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	l->dir = dir;
	l->fd = l->slot.fd = -1;
	recent_init(&l->recent[IN_SLOT]);
	recent_init(&l->recent[IN_FILE]);
	if ((r = slot_open(&l->slot, dir, err)) < 0)
		logs_close(l);
	else
		*ret = l;
	return r;
}

void
logs_close(struct logs *l)
{
	if (l == NULL)
		return;
	file_close(l);
	recent_forget(&l->recent[IN_SLOT]);
	slot_close(&l->slot);
	free(l);
}
