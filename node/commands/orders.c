#include "node/commands/orders.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/commands/graves.h"
#include "node/commands/slot.h"
#include "node/commands/spool.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

#define JOURNAL	   "commands"
#define LOG_SUFFIX ".log"
#define NAME_MAX_  64
#define BODY_MAX   (256 * 1024) /* of a record */

#define SPARE	  "spare"
#define SPARE_MAX (1024 * 1024)

enum record { ORDER = 1, START, STEP, CANCEL, REBOOT, END, ENTER, BEGIN, OVER, RECORDS };

struct head {
	uint32_t len; /* of the body */
	uint32_t kind;
	uint64_t sum; /* over the two above and the body */
};
_Static_assert(sizeof(struct head) == 16, "fixed layout");

/* The log that was written last, for most nodes have one command at a time. */
struct recent {
	char id[ID_UUID_LEN + 1]; /* empty: none is open */
	int fd;
	off_t size;	 /* when it was last looked at */
	struct buf text; /* all of it, until there is more of it; else empty */
};

struct orders {
	int dir;
	int spare; /* a file that takes room away, to give it back; -1: it was given */
	struct graves *graves;
	struct recent recent;
	struct slot slot;
	struct recent in_slot; /* what the slot has; its descriptor is the slot's own */
};

static void
log_name(char out[NAME_MAX_], const char *id)
{
	snprintf(out, NAME_MAX_, "%.36s" LOG_SUFFIX, id);
}

/* FNV-1a: tells a record that was cut or never written, which is all that is asked of it; with the
 * seed of a slot also one of another log. A file of its own has seed 0. */
static uint64_t
sum(const struct head *h, const uint8_t *body, uint64_t seed)
{
	uint64_t s = UINT64_C(0xcbf29ce484222325) ^ seed;
	const uint8_t *p = (const uint8_t *)h;

	for (size_t i = 0; i < offsetof(struct head, sum); i++)
		s = (s ^ p[i]) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < h->len; i++)
		s = (s ^ body[i]) * UINT64_C(0x100000001b3);
	return s;
}

/* --- room on a full disk ---------------------------------------------------------------------- */

/* Takes it, if it is to be had. */
static void
spare_take(struct orders *j)
{
	if (j->spare >= 0)
		return;
	int fd = openat(j->dir, SPARE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && fallocate(fd, 0, 0, SPARE_MAX) == 0) {
		j->spare = fd;
		return;
	}
	fd_close(fd);
	unlinkat(j->dir, SPARE, 0);
}

/* False when there is none. */
static bool
spare_give(struct orders *j)
{
	if (j->spare < 0)
		return false;
	unlinkat(j->dir, SPARE, 0);
	close(j->spare);
	j->spare = -1;
	return true;
}

/* --- the log that was written last ------------------------------------------------------------ */

static void
forget(struct recent *l)
{
	buf_fini(&l->text);
	*l = (struct recent){.fd = -1};
	buf_init(&l->text, ORDERS_LOG_MAX);
}

static void
recent_close(struct recent *l)
{
	fd_close(l->fd);
	forget(l);
}

static bool
is_recent(const struct orders *j, const char *id)
{
	return j->recent.id[0] != '\0' && strcmp(j->recent.id, id) == 0;
}

/* Takes the descriptor. */
static void
recent_set(struct orders *j, const char *id, int fd)
{
	recent_close(&j->recent);
	snprintf(j->recent.id, sizeof(j->recent.id), "%s", id);
	j->recent.fd = fd;
}

/* Whether it is still what lies under that name, as far as its own file can tell. */
static bool
recent_is_there(struct recent *l)
{
	struct stat st;

	if (fstat(l->fd, &st) < 0 || st.st_nlink == 0)
		return false;
	l->size = st.st_size;
	return true;
}

static bool
is_in_slot(const struct orders *j, const char *id)
{
	return j->in_slot.id[0] != '\0' && strcmp(j->in_slot.id, id) == 0;
}

/* Has the file of its own open for more of it. */
static int
recent_open(struct orders *j, const char *id, struct hw_err *err)
{
	char name[NAME_MAX_];

	if (is_recent(j, id) && recent_is_there(&j->recent))
		return 0;
	log_name(name, id);
	int fd = openat(j->dir, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return hw_err_sys(err, "cannot open " JOURNAL "/%s", name);
	recent_set(j, id, fd);
	return recent_is_there(&j->recent) ? 0
					   : hw_err_sys(err, "cannot look at " JOURNAL "/%s", name);
}

/* --- writing ---------------------------------------------------------------------------------- */

static int
put_record(struct buf *out, enum record kind, const void *body, size_t n, uint64_t seed)
{
	struct head h = {.len = (uint32_t)n, .kind = kind};

	h.sum = sum(&h, body, seed);
	int r = buf_append(out, &h, sizeof(h));
	return r < 0 ? r : buf_append(out, body, n);
}

/* A record whose writing failed half way would hide all that follows. */
static int
write_to_file(struct recent *l, const struct buf *record, bool lasting, struct hw_err *err)
{
	int r;

	if ((r = fd_write_all(l->fd, buf_data(record), record->len, err)) == 0 && lasting &&
		fdatasync(l->fd) < 0)
		r = hw_err_sys(err, "cannot sync " JOURNAL "/%s" LOG_SUFFIX, l->id);
	if (r < 0)
		(void)!ftruncate(l->fd, l->size);
	return r;
}

/* To the log that is open, or in the slot. */
static int
write_record(struct orders *j, const char *id, const struct buf *record, size_t most, bool lasting,
	struct hw_err *err)
{
	bool in_slot = is_in_slot(j, id);
	struct recent *l = in_slot ? &j->in_slot : &j->recent;
	off_t size = in_slot ? j->slot.end : l->size;

	if ((uint64_t)size + record->len > most)
		return hw_err_set(err, HW_ELIMIT,
			"what was written down of the command is longer than %zu bytes", most);
	buf_reset(&l->text);
	return in_slot ? slot_append(&j->slot, record, lasting, err)
		       : write_to_file(l, record, lasting, err);
}

static int
append(struct orders *j, const char *id, enum record kind, const void *body, size_t n, bool lasting,
	struct hw_err *err)
{
	uint64_t seed = is_in_slot(j, id) ? j->slot.seed : 0;
	struct buf record;
	int r;

	if (seed == 0 && (r = recent_open(j, id, err)) < 0)
		return r;
	buf_init(&record, BODY_MAX + sizeof(struct head));
	if ((r = put_record(&record, kind, body, n, seed)) < 0) {
		hw_err_set(err, r, "a record of " JOURNAL "/%s" LOG_SUFFIX " is too large", id);
	} else {
		size_t most = kind == ENTER || kind == BEGIN ? ORDERS_LOG_MAX - ORDERS_ENDS_MAX
							     : ORDERS_LOG_MAX;
		errno = 0;
		r = write_record(j, id, &record, most, lasting, err);
		if (r < 0 && (errno == ENOSPC || errno == EDQUOT) && spare_give(j)) {
			if (err != NULL)
				*err = (struct hw_err)HW_ERR_INIT;
			r = write_record(j, id, &record, most, lasting, err);
		}
	}
	buf_fini(&record);
	return r;
}

static int
append_message(struct orders *j, const char *id, enum record kind, const void *prefix, size_t n,
	const struct msg_row *row, const void *msg, bool lasting, struct hw_err *err)
{
	struct buf body;
	int r;

	buf_init(&body, BODY_MAX);
	r = n > 0 ? buf_append(&body, prefix, n) : 0;
	if (r == 0 && (r = msg_encode(&body, row, msg, err)) == 0)
		r = append(j, id, kind, buf_data(&body), body.len, lasting, err);
	buf_fini(&body);
	return r;
}

/* Takes the records. */
static int
write_new(struct orders *j, const char *id, struct buf *records, struct hw_err *err)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char name[NAME_MAX_];
	int r;

	log_name(name, id);
	int fd = openat(j->dir, name, flags, 0600);
	if (fd < 0)
		return errno == EEXIST ? hw_err_set(err, HW_EEXISTS, "there is a %s", name)
				       : hw_err_sys(err, "cannot make " JOURNAL "/%s", name);
	if ((r = fd_write_all(fd, buf_data(records), records->len, err)) == 0 &&
		(fdatasync(fd) < 0 || fsync(j->dir) < 0))
		r = hw_err_sys(err, "cannot sync " JOURNAL "/%s", name);
	if (r < 0) {
		unlinkat(j->dir, name, 0);
		close(fd);
		return r;
	}
	recent_set(j, id, fd);
	j->recent.text = *records;
	buf_init(records, 0);
	return 0;
}

static int
put_beginning(struct buf *records, const struct buf *order, bool start, uint64_t seed)
{
	int r = put_record(records, ORDER, buf_data(order), order->len, seed);

	return r == 0 && start ? put_record(records, START, NULL, 0, seed) : r;
}

static bool
has_file(const struct orders *j, const char *id)
{
	char name[NAME_MAX_];

	log_name(name, id);
	return faccessat(j->dir, name, F_OK, 0) == 0;
}

/* Takes the records. */
static int
write_to_slot(struct orders *j, const char *id, uint64_t seed, struct buf *records,
	struct hw_err *err)
{
	int r = slot_begin(&j->slot, seed, records, err);

	if (r < 0)
		return r;
	snprintf(j->in_slot.id, sizeof(j->in_slot.id), "%s", id);
	buf_fini(&j->in_slot.text);
	j->in_slot.text = *records;
	buf_init(records, 0);
	return 0;
}

int
orders_begin(struct orders *j, const struct msg_invocation_order *order, bool start,
	struct hw_err *err)
{
	struct buf body, records;
	uint64_t seed = 0;
	int r;

	if (!id_is_uuid(order->command_id))
		return hw_err_set(err, HW_EVALIDATION, "CommandId: it is no id of a command");
	if (is_in_slot(j, order->command_id))
		return hw_err_set(err, HW_EEXISTS, "it is in " JOURNAL "/" SLOT);
	buf_init(&body, BODY_MAX);
	buf_init(&records, BODY_MAX + 2 * sizeof(struct head));
	r = msg_encode(&body, MSG_ROW(invocation_order), order, err);
	if (r == 0 && slot_is_free(&j->slot, body.len + 2 * sizeof(struct head)) &&
		!has_file(j, order->command_id))
		seed = slot_new_seed();
	if (r == 0 && (r = put_beginning(&records, &body, start, seed)) == 0)
		r = seed != 0 ? write_to_slot(j, order->command_id, seed, &records, err)
			      : write_new(j, order->command_id, &records, err);
	buf_fini(&body);
	buf_fini(&records);
	return r;
}

int
orders_start(struct orders *j, const char *id, struct hw_err *err)
{
	return append(j, id, START, NULL, 0, true, err);
}

int
orders_step(struct orders *j, const char *id, size_t i, const struct msg_invocation_step *said,
	bool lasting, struct hw_err *err)
{
	uint32_t number = (uint32_t)i;

	return append_message(j, id, STEP, &number, sizeof(number), MSG_ROW(invocation_step), said,
		lasting, err);
}

int
orders_cancel(struct orders *j, const char *id, struct hw_err *err)
{
	return append(j, id, CANCEL, NULL, 0, false, err);
}

int
orders_reboot(struct orders *j, const char *id, const struct orders_reboot *reboot,
	struct hw_err *err)
{
	return append(j, id, REBOOT, reboot, sizeof(*reboot), true, err);
}

int
orders_enter(struct orders *j, const char *id, const struct msg_invocation_order *document,
	struct hw_err *err)
{
	return append_message(j, id, ENTER, NULL, 0, MSG_ROW(invocation_order), document, false,
		err);
}

int
orders_inner_begin(struct orders *j, const char *id, const struct orders_begin *begin,
	struct hw_err *err)
{
	return append(j, id, BEGIN, begin, sizeof(*begin), true, err);
}

int
orders_inner_over(struct orders *j, const char *id, const struct orders_over *over,
	struct hw_err *err)
{
	return append(j, id, OVER, over, sizeof(*over), false, err);
}

int
orders_end(struct orders *j, const char *id, const struct msg_update_invocation_request *end,
	struct hw_err *err)
{
	return append_message(j, id, END, NULL, 0, MSG_ROW(update_invocation_request), end, false,
		err);
}

int
orders_sync(struct orders *j, const char *id, struct hw_err *err)
{
	int r;

	if (is_in_slot(j, id))
		return slot_sync(&j->slot, err);
	r = recent_open(j, id, err);
	if (r == 0 && fdatasync(j->recent.fd) < 0)
		r = hw_err_sys(err, "cannot sync " JOURNAL "/%s" LOG_SUFFIX, id);
	return r;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool
take_message(void *ret, struct arena *a, const struct msg_row *row, const uint8_t *p, size_t n)
{
	void *msg;

	if (msg_decode(&msg, a, row, p, n, NULL) < 0)
		return false;
	*(void **)ret = msg;
	return true;
}

static bool
take_order(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	return e->order == NULL && take_message(&e->order, a, MSG_ROW(invocation_order), p, n);
}

static bool
take_start(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	(void)a;
	(void)p;
	e->started = true;
	return n == 0;
}

static bool
take_step(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	uint32_t i;

	if (n < sizeof(i))
		return false;
	memcpy(&i, p, sizeof(i));
	if (i >= ORDERS_STEPS_MAX)
		return false;
	if (e->steps == NULL &&
		(e->steps = arena_array(a, ORDERS_STEPS_MAX, sizeof(*e->steps))) == NULL)
		return false;
	if (!take_message(&e->steps[i].said, a, MSG_ROW(invocation_step), p + sizeof(i),
		    n - sizeof(i)))
		return false;
	if (i >= e->n_steps) {
		e->n_steps = i + 1;
		e->last_number = 0;
	}
	e->inner = e->last_inner = NULL;
	return true;
}

static bool
take_cancel(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	(void)a;
	(void)p;
	e->cancelled = true;
	return n == 0;
}

static bool
take_reboot(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	struct orders_reboot reboot;

	(void)a;
	if (n != sizeof(reboot))
		return false;
	memcpy(&reboot, p, n);
	if (reboot.step >= ORDERS_STEPS_MAX ||
		memchr(reboot.boot_id, '\0', sizeof(reboot.boot_id)) == NULL)
		return false;
	e->reboot = reboot;
	e->reboots++;
	return true;
}

static struct orders_inner *
add_inner(struct orders_entry *e, struct arena *a, enum orders_inner_kind kind)
{
	struct orders_inner *in = arena_alloc(a, sizeof(*in));

	if (in == NULL)
		return NULL;
	*in = (struct orders_inner){.kind = kind};
	if (e->last_inner != NULL)
		e->last_inner->next = in;
	else
		e->inner = in;
	e->last_inner = in;
	return in;
}

static bool
take_enter(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	const struct msg_invocation_order *document;
	struct orders_inner *in;

	if (!take_message(&document, a, MSG_ROW(invocation_order), p, n) ||
		(in = add_inner(e, a, ORDERS_ENTER)) == NULL)
		return false;
	in->document = document;
	e->entered += n;
	return true;
}

static bool
take_begin(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	struct orders_inner *in = n == sizeof(in->begin) ? add_inner(e, a, ORDERS_BEGIN) : NULL;

	if (in == NULL)
		return false;
	memcpy(&in->begin, p, n);
	e->last_number = in->begin.number;
	return true;
}

static bool
take_over(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	struct orders_inner *in = n == sizeof(in->over) ? add_inner(e, a, ORDERS_OVER) : NULL;

	if (in != NULL)
		memcpy(&in->over, p, n);
	return in != NULL;
}

static bool
take_end(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n)
{
	return take_message(&e->end, a, MSG_ROW(update_invocation_request), p, n);
}

static bool (*const takers[RECORDS])(struct orders_entry *, struct arena *, const uint8_t *,
	size_t) = {
	[ORDER] = take_order,
	[START] = take_start,
	[STEP] = take_step,
	[CANCEL] = take_cancel,
	[REBOOT] = take_reboot,
	[END] = take_end,
	[ENTER] = take_enter,
	[BEGIN] = take_begin,
	[OVER] = take_over,
};

/* Returns how many of the n bytes are whole records. */
static size_t
take_records(struct orders_entry *e, struct arena *a, const uint8_t *p, size_t n, uint64_t seed)
{
	struct head h;
	size_t at = 0;

	while (n - at >= sizeof(h)) {
		const uint8_t *body = p + at + sizeof(h);
		memcpy(&h, p + at, sizeof(h));
		if (h.len > n - at - sizeof(h) || h.kind == 0 || h.kind >= RECORDS ||
			h.sum != sum(&h, body, seed) || (h.kind == ORDER) != (at == 0) ||
			!takers[h.kind](e, a, body, h.len))
			break;
		if (h.kind == REBOOT || h.kind == STEP || h.kind == END)
			e->rebooting = h.kind == REBOOT;
		at += sizeof(h) + h.len;
	}
	return at;
}

static int
read_log(struct orders_entry *ret, size_t *whole, size_t *size, struct arena *a, struct orders *j,
	const char *id, struct hw_err *err)
{
	bool in_slot = is_in_slot(j, id);
	const struct buf *text = in_slot ? &j->in_slot.text : &j->recent.text;
	bool known = (in_slot || is_recent(j, id)) && text->len > 0;
	struct orders_entry e = {.order = NULL};
	char name[NAME_MAX_];
	struct buf read;
	int r = 0;

	log_name(name, id);
	buf_init(&read, ORDERS_LOG_MAX);
	if (!known)
		r = in_slot ? slot_read(&read, &j->slot, err) : file_read(&read, j->dir, name, err);
	if (r == 0) {
		text = known ? text : &read;
		*whole = take_records(&e, a, buf_data(text), text->len, in_slot ? j->slot.seed : 0);
		*size = text->len;
		if (e.order == NULL || strcmp(e.order->command_id, id) != 0)
			r = hw_err_set(err, HW_ECORRUPT, JOURNAL "/%s has no order in it", name);
		else
			*ret = e;
	}
	buf_fini(&read);
	return r;
}

int
orders_read(struct orders_entry *ret, struct arena *a, struct orders *j, const char *id,
	struct hw_err *err)
{
	size_t whole, size;

	return read_log(ret, &whole, &size, a, j, id, err);
}

/* --- all of them ------------------------------------------------------------------------------ */

struct visit {
	struct orders *journal;
	void (*fn)(void *arg, const char *id, const struct orders_entry *e);
	void *arg;
};

/* What it says cannot be gone on with, and is more than its beginning says: of that, the order
 * alone is kept, with an end. */
static void
cut_short(struct orders *j, const char *name, const char *id)
{
	struct msg_update_invocation_request end = {
		.command_id = id,
		.status = INVOCATION_STATUS_FAILED,
		.status_details = "Failed",
		.response_code = -1,
		.reason = "what the node wrote down of it is too long to be read",
	};
	int fd = openat(j->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	struct head h;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > ORDERS_LOG_MAX &&
		pread(fd, &h, sizeof(h), 0) == sizeof(h) && h.kind == ORDER && h.len <= BODY_MAX &&
		ftruncate(fd, (off_t)(sizeof(h) + h.len)) == 0) {
		end.ended = (int64_t)st.st_mtime * USEC_PER_SEC;
		orders_end(j, id, &end, NULL);
	}
	fd_close(fd);
}

static void
visit_log(const struct visit *v, const char *name, const char *id)
{
	struct arena *a = arena_new(4 * ORDERS_LOG_MAX);
	struct orders_entry e;
	size_t whole, size;

	int r = a != NULL ? read_log(&e, &whole, &size, a, v->journal, id, NULL) : HW_ENOMEM;
	if (r == HW_ELIMIT) {
		cut_short(v->journal, name, id);
		r = read_log(&e, &whole, &size, a, v->journal, id, NULL);
	}
	if (r == 0) {
		int fd = whole < size
			? openat(v->journal->dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)
			: -1;
		if (fd >= 0 && ftruncate(fd, (off_t)whole) < 0)
			errno = 0; /* then what is appended is not read, and the end is reported
				      anew */
		fd_close(fd);
		v->fn(v->arg, id, &e);
	} else if (r == HW_ECORRUPT) {
		unlinkat(v->journal->dir, name, 0);
	}
	arena_free(a);
}

/* The id that a file's name begins with. */
static bool
id_of(char id[ID_UUID_LEN + 1], const char *name)
{
	snprintf(id, ID_UUID_LEN + 1, "%.36s", name);
	return id_is_uuid(id);
}

static void
each_name(struct orders *j, void (*fn)(const struct visit *v, const char *name, const char *id),
	const struct visit *v)
{
	int again = openat(j->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	char id[ID_UUID_LEN + 1];
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (id_of(id, e->d_name))
			fn(v, e->d_name, id);
	if (d != NULL)
		closedir(d);
	else
		fd_close(again);
}

static void
visit_if_log(const struct visit *v, const char *name, const char *id)
{
	if (strcmp(name + ID_UUID_LEN, LOG_SUFFIX) == 0)
		visit_log(v, name, id);
}

static void
visit_slot(const struct visit *v)
{
	struct arena *a = arena_new(4 * ORDERS_LOG_MAX);
	struct orders_entry e;
	size_t whole, size;

	if (a != NULL &&
		read_log(&e, &whole, &size, a, v->journal, v->journal->in_slot.id, NULL) == 0)
		v->fn(v->arg, v->journal->in_slot.id, &e);
	arena_free(a);
}

static void
remove_orphan(const struct visit *v, const char *name, const char *id)
{
	char log[NAME_MAX_];
	struct stat st;

	log_name(log, id);
	if (!is_in_slot(v->journal, id) &&
		fstatat(v->journal->dir, log, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		unlinkat(v->journal->dir, name, 0);
}

void
orders_each(struct orders *j, void (*fn)(void *arg, const char *id, const struct orders_entry *e),
	void *arg)
{
	struct visit v = {.journal = j, .fn = fn, .arg = arg};

	each_name(j, visit_if_log, &v);
	if (j->in_slot.id[0] != '\0')
		visit_slot(&v);
	each_name(j, remove_orphan, &v);
}

void
orders_remove(struct orders *j, const char *id, size_t n_steps)
{
	char name[NAME_MAX_];

	if (is_in_slot(j, id)) {
		slot_clear(&j->slot);
		forget(&j->in_slot);
	} else {
		if (is_recent(j, id))
			recent_close(&j->recent);
		log_name(name, id);
		unlinkat(j->dir, name, 0);
	}
	for (size_t i = 0; i < n_steps; i++)
		for (int s = 0; s < 2; s++) {
			spool_name(name, id, i, s);
			unlinkat(j->dir, name, 0);
		}
	spare_take(j);
	slot_make(&j->slot);
}

/* --- ids that are over -------------------------------------------------------------------------
 */

void
orders_bury(struct orders *j, const char *id, int64_t until, int64_t now)
{
	graves_add(j->graves, id, until, now);
}

bool
orders_is_buried(const struct orders *j, const char *id, int64_t now)
{
	return graves_has(j->graves, id, now);
}

void
orders_forget(struct orders *j, int64_t now)
{
	graves_forget(j->graves, now);
}

/* --- life --------------------------------------------------------------------------------------
 */

static void
take_slot(struct orders *j, struct arena *a, const struct buf *text)
{
	struct orders_entry e = {.order = NULL};

	slot_cut(&j->slot, take_records(&e, a, buf_data(text), text->len, j->slot.seed));
	if (e.order != NULL && id_is_uuid(e.order->command_id) && !has_file(j, e.order->command_id))
		snprintf(j->in_slot.id, sizeof(j->in_slot.id), "%s", e.order->command_id);
	else
		slot_clear(&j->slot);
}

/* Whose log lies in the slot; one of which not even the order can be read never began. What cannot
 * be read may have. */
static int
look_into_slot(struct orders *j, struct hw_err *err)
{
	struct arena *a;
	struct buf text;

	if (j->slot.seed == 0)
		return 0;
	if ((a = arena_new(4 * ORDERS_LOG_MAX)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_init(&text, ORDERS_LOG_MAX);
	int r = slot_read(&text, &j->slot, err);
	if (r == 0)
		take_slot(j, a, &text);
	buf_fini(&text);
	arena_free(a);
	return r;
}

int
orders_open(struct orders **ret, int dir, struct hw_err *err)
{
	struct orders *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	j->dir = j->spare = j->recent.fd = j->in_slot.fd = j->slot.fd = -1;
	buf_init(&j->recent.text, ORDERS_LOG_MAX);
	buf_init(&j->in_slot.text, ORDERS_LOG_MAX);
	bool made = mkdirat(dir, JOURNAL, 0700) == 0;
	if (made || errno == EEXIST)
		j->dir = openat(dir, JOURNAL, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (j->dir < 0 || (made && fsync(dir) < 0)) {
		int r = hw_err_sys(err, "cannot open the directory " JOURNAL);
		orders_close(j);
		return r;
	}
	if ((j->graves = graves_open(j->dir)) == NULL) {
		orders_close(j);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	int r = slot_open(&j->slot, j->dir, err);
	if (r < 0 || (r = look_into_slot(j, err)) < 0) {
		orders_close(j);
		return r;
	}
	spare_take(j);
	*ret = j;
	return 0;
}

void
orders_close(struct orders *j)
{
	if (j == NULL)
		return;
	fd_close(j->spare);
	recent_close(&j->recent);
	forget(&j->in_slot);
	slot_close(&j->slot);
	graves_close(j->graves);
	fd_close(j->dir);
	free(j);
}

int
orders_dir(const struct orders *j)
{
	return j->dir;
}
