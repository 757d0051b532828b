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
#include "node/commands/logs.h"
#include "node/commands/slot.h"
#include "node/commands/spool.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

#define BODY_MAX (256 * 1024) /* of a record */

#define SPARE	  "spare"
#define SPARE_MAX (1024 * 1024)

enum record { ORDER = 1, START, STEP, CANCEL, REBOOT, END, ENTER, BEGIN, OVER, RECORDS };

struct head {
	uint32_t len; /* of the body */
	uint32_t kind;
	uint64_t sum; /* over the two above and the body */
};
_Static_assert(sizeof(struct head) == 16, "fixed layout");

struct orders {
	int dir;
	int spare; /* a file that takes room away, to give it back; -1: it was given */
	struct graves *graves;
	struct logs *logs;
};

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

/* --- writing ---------------------------------------------------------------------------------- */

static int
put_record(struct buf *out, enum record kind, const void *body, size_t n, uint64_t seed)
{
	struct head h = {.len = (uint32_t)n, .kind = kind};

	h.sum = sum(&h, body, seed);
	int r = buf_append(out, &h, sizeof(h));
	return r < 0 ? r : buf_append(out, body, n);
}

static int
append(struct orders *j, const char *id, enum record kind, const void *body, size_t n, bool lasting,
	struct hw_err *err)
{
	struct buf record;
	uint64_t seed;
	int r;

	if ((r = logs_ready(&seed, j->logs, id, err)) < 0)
		return r;
	buf_init(&record, BODY_MAX + sizeof(struct head));
	if ((r = put_record(&record, kind, body, n, seed)) < 0) {
		hw_err_set(err, r, "a record of " LOGS_DIR "/%s" LOGS_SUFFIX " is too large", id);
	} else {
		size_t most = kind == ENTER || kind == BEGIN ? ORDERS_LOG_MAX - ORDERS_ENDS_MAX
							     : ORDERS_LOG_MAX;
		errno = 0;
		r = logs_append(j->logs, id, &record, most, lasting, err);
		if (r < 0 && (errno == ENOSPC || errno == EDQUOT) && spare_give(j)) {
			if (err != NULL)
				*err = (struct hw_err)HW_ERR_INIT;
			r = logs_append(j->logs, id, &record, most, lasting, err);
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

static int
put_beginning(struct buf *records, const struct buf *order, bool start, uint64_t seed)
{
	int r = put_record(records, ORDER, buf_data(order), order->len, seed);

	return r == 0 && start ? put_record(records, START, NULL, 0, seed) : r;
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
	if (logs_in_slot(j->logs, order->command_id))
		return hw_err_set(err, HW_EEXISTS, "it is in " LOGS_DIR "/" SLOT);
	buf_init(&body, BODY_MAX);
	buf_init(&records, BODY_MAX + 2 * sizeof(struct head));
	r = msg_encode(&body, MSG_ROW(invocation_order), order, err);
	if (r == 0)
		seed = logs_new_seed(j->logs, order->command_id,
			body.len + 2 * sizeof(struct head));
	if (r == 0 && (r = put_beginning(&records, &body, start, seed)) == 0)
		r = logs_begin(j->logs, order->command_id, seed, &records, err);
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
	return logs_sync(j->logs, id, err);
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
	struct orders_entry e = {.order = NULL};
	const struct buf *text;
	struct buf read;
	uint64_t seed;
	int r;

	buf_init(&read, ORDERS_LOG_MAX);
	if ((r = logs_read(&text, &seed, &read, j->logs, id, err)) == 0) {
		*whole = take_records(&e, a, buf_data(text), text->len, seed);
		*size = text->len;
		if (e.order == NULL || strcmp(e.order->command_id, id) != 0)
			r = hw_err_set(err, HW_ECORRUPT,
				LOGS_DIR "/%.36s" LOGS_SUFFIX " has no order in it", id);
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
	if (strcmp(name + ID_UUID_LEN, LOGS_SUFFIX) == 0)
		visit_log(v, name, id);
}

static void
visit_slot(const struct visit *v, const char *id)
{
	struct arena *a = arena_new(4 * ORDERS_LOG_MAX);
	struct orders_entry e;
	size_t whole, size;

	if (a != NULL && read_log(&e, &whole, &size, a, v->journal, id, NULL) == 0)
		v->fn(v->arg, id, &e);
	arena_free(a);
}

static void
remove_orphan(const struct visit *v, const char *name, const char *id)
{
	if (logs_lack(v->journal->logs, id))
		unlinkat(v->journal->dir, name, 0);
}

void
orders_each(struct orders *j, void (*fn)(void *arg, const char *id, const struct orders_entry *e),
	void *arg)
{
	struct visit v = {.journal = j, .fn = fn, .arg = arg};

	each_name(j, visit_if_log, &v);
	if (logs_slot_id(j->logs)[0] != '\0')
		visit_slot(&v, logs_slot_id(j->logs));
	each_name(j, remove_orphan, &v);
}

void
orders_remove(struct orders *j, const char *id, size_t n_steps)
{
	char name[64];

	logs_remove(j->logs, id);
	for (size_t i = 0; i < n_steps; i++)
		for (int s = 0; s < 2; s++) {
			spool_name(name, id, i, s);
			unlinkat(j->dir, name, 0);
		}
	spare_take(j);
	logs_make_slot(j->logs);
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

static int
take_slot(struct orders *j, const struct buf *text, uint64_t seed, struct hw_err *err)
{
	struct orders_entry e = {.order = NULL};
	struct arena *a = arena_new(4 * ORDERS_LOG_MAX);

	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	size_t whole = take_records(&e, a, buf_data(text), text->len, seed);
	bool known = e.order != NULL && id_is_uuid(e.order->command_id);
	logs_settle_slot(j->logs, whole, known ? e.order->command_id : NULL);
	arena_free(a);
	return 0;
}

/* Whose log lies in the slot; one of which not even the order can be read never began. What cannot
 * be read may have. */
static int
look_into_slot(struct orders *j, struct hw_err *err)
{
	struct buf text;
	uint64_t seed;
	int r;

	buf_init(&text, ORDERS_LOG_MAX);
	if ((r = logs_read_slot(&text, &seed, j->logs, err)) == 0 && seed != 0)
		r = take_slot(j, &text, seed, err);
	buf_fini(&text);
	return r;
}

int
orders_open(struct orders **ret, int dir, struct hw_err *err)
{
	struct orders *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	j->dir = j->spare = -1;
	bool made = mkdirat(dir, LOGS_DIR, 0700) == 0;
	if (made || errno == EEXIST)
		j->dir = openat(dir, LOGS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (j->dir < 0 || (made && fsync(dir) < 0)) {
		int r = hw_err_sys(err, "cannot open the directory " LOGS_DIR);
		orders_close(j);
		return r;
	}
	if ((j->graves = graves_open(j->dir)) == NULL) {
		orders_close(j);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	int r = logs_open(&j->logs, j->dir, err);
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
	logs_close(j->logs);
	graves_close(j->graves);
	fd_close(j->dir);
	free(j);
}

int
orders_dir(const struct orders *j)
{
	return j->dir;
}
