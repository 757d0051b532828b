/* What is on the disk of a node's commands, and what is made of it when some of it is missing. */
#include "node/commands/orders.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/commands/graves.h"
#include "node/commands/slot.h"
#include "node/commands/spool.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"

#define ID    "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER "11234567-89ab-cdef-0123-456789abcdef"
#define LOG   "commands/" ID ".log"

struct shelf {
	char path[64];
	int dir;
	struct orders *journal;
	struct arena *arena;
	int seen; /* logs that orders_each() gave */
};

static struct shelf *
shelf_new(void)
{
	struct shelf *s = calloc(1, sizeof(*s));

	strcpy(s->path, "/tmp/hawser-journal-test-XXXXXX");
	cr_assert_not_null(mkdtemp(s->path));
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY);
	cr_assert_eq(orders_open(&s->journal, s->dir, NULL), 0);
	s->arena = arena_new(32 << 20);
	return s;
}

static void
empty(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	while ((e = readdir(d)) != NULL)
		unlinkat(fd, e->d_name, 0);
	closedir(d);
}

static void
shelf_free(struct shelf *s)
{
	orders_close(s->journal);
	arena_free(s->arena);
	empty(s->dir, "commands");
	unlinkat(s->dir, "commands", AT_REMOVEDIR);
	close(s->dir);
	cr_assert_eq(rmdir(s->path), 0);
	free(s);
}

static struct msg_invocation_order
order(const char *id)
{
	return (struct msg_invocation_order){
		.command_id = id,
		.document_name = "AWS-RunShellScript",
		.content = "{}",
		.deliver_before = 1000 * USEC_PER_SEC,
		.output_max = 4096,
	};
}

static void
begin(struct shelf *s, const char *id, bool start)
{
	struct msg_invocation_order o = order(id);
	struct hw_err err = HW_ERR_INIT;

	cr_assert_eq(orders_begin(s->journal, &o, start, &err), 0, "%s", hw_err_text(&err));
}

static void
note_step(struct shelf *s, size_t i, int status, const char *details)
{
	struct msg_invocation_step said = {.name = "step",
		.action = "aws:runShellScript",
		.status = status,
		.status_details = details,
		.response_code = 3,
		.stdout_bytes = 5};

	cr_assert_eq(orders_step(s->journal, ID, i, &said, i > 0, NULL), 0);
}

static void
note_all(struct shelf *s)
{
	struct orders_reboot reboot = {
		.step = 1, .boot_id = "boot", .out = {7, 8}
	   };
	struct msg_update_invocation_request end = {
		.command_id = ID,
		.status = INVOCATION_STATUS_FAILED,
		.status_details = "Failed",
		.response_code = 3,
	};

	begin(s, ID, true);
	note_step(s, 0, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	note_step(s, 0, INVOCATION_STATUS_FAILED, "Failed");
	note_step(s, 1, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	cr_assert_eq(orders_reboot(s->journal, ID, &reboot, NULL), 0);
	cr_assert_eq(orders_cancel(s->journal, ID, NULL), 0);
	cr_assert_eq(orders_end(s->journal, ID, &end, NULL), 0);
}

Test(orders, says_what_was_written)
{
	struct shelf *s = shelf_new();
	struct orders_entry e;

	note_all(s);
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert_str_eq(e.order->document_name, "AWS-RunShellScript");
	cr_assert_eq(e.order->output_max, 4096);
	cr_assert(e.started && e.cancelled && !e.rebooting);
	cr_assert_eq(e.reboots, 1);
	cr_assert_eq(e.reboot.step, 1);
	cr_assert_str_eq(e.reboot.boot_id, "boot");
	cr_assert_eq(e.reboot.out[1], 8);
	cr_assert_eq(e.n_steps, 2);
	cr_assert_eq(e.steps[0].said->status, INVOCATION_STATUS_FAILED);
	cr_assert_eq(e.steps[1].said->status, INVOCATION_STATUS_IN_PROGRESS);
	cr_assert_eq(e.end->status, INVOCATION_STATUS_FAILED);
	shelf_free(s);
}

Test(orders, a_reboot_stands_until_its_step_begins_again)
{
	struct shelf *s = shelf_new();
	struct orders_reboot reboot = {.step = 0, .boot_id = "boot"};
	struct orders_entry e;

	begin(s, ID, true);
	note_step(s, 0, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	cr_assert_eq(orders_reboot(s->journal, ID, &reboot, NULL), 0);
	cr_assert_eq(orders_cancel(s->journal, ID, NULL), 0);
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert(e.rebooting && e.cancelled);
	note_step(s, 0, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert_not(e.rebooting);
	shelf_free(s);
}

/* What was begun within a step counts until the step is over. */
Test(orders, what_a_step_runs_is_said_in_order)
{
	struct shelf *s = shelf_new();
	struct msg_invocation_order inner = order(ID);
	struct orders_begin b = {
		.number = 7, .started = 5, .out = {1, 2}
	};
	const struct orders_over over = {.status = 2, .code = 3};
	struct orders_entry e;

	inner.content = "{\"inner\":1}";
	begin(s, ID, true);
	note_step(s, 0, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	cr_assert_eq(orders_enter(s->journal, ID, &inner, NULL), 0);
	cr_assert_eq(orders_inner_begin(s->journal, ID, &b, NULL), 0);
	cr_assert_eq(orders_inner_over(s->journal, ID, &over, NULL), 0);
	b.number = 8;
	cr_assert_eq(orders_inner_begin(s->journal, ID, &b, NULL), 0);
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	const struct orders_inner *in = e.inner;
	cr_assert_eq(in->kind, ORDERS_ENTER);
	cr_assert_str_eq(in->document->content, "{\"inner\":1}");
	in = in->next;
	cr_assert_eq(in->kind, ORDERS_BEGIN);
	cr_assert(in->begin.number == 7 && in->begin.out[1] == 2 && in->begin.started == 5);
	in = in->next;
	cr_assert_eq(in->kind, ORDERS_OVER);
	cr_assert(in->over.status == 2 && in->over.code == 3);
	in = in->next;
	cr_assert(in->kind == ORDERS_BEGIN && in->begin.number == 8 && in->next == NULL);
	cr_assert_eq(e.last_number, 8);

	note_step(s, 0, INVOCATION_STATUS_SUCCESS, "Success");
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert_null(e.inner);
	cr_assert_eq(e.last_number, 8, "its holder may not know yet");
	note_step(s, 1, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert_eq(e.last_number, 0);
	shelf_free(s);
}

Test(orders, an_id_is_written_once)
{
	struct shelf *s = shelf_new();
	struct msg_invocation_order o = order(ID);

	begin(s, ID, false);
	cr_assert_eq(orders_begin(s->journal, &o, false, NULL), HW_EEXISTS);
	o.command_id = "../../../../../../../../../../etc/xx";
	cr_assert_eq(orders_begin(s->journal, &o, false, NULL), HW_EVALIDATION);
	shelf_free(s);
}

/* Thousands of times: nothing of it need outlive a power cut. */
static void
write_log(const struct shelf *s, const uint8_t *p, size_t n)
{
	int fd = openat(s->dir, LOG, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_all(fd, p, n, NULL), 0);
	close(fd);
}

static void
count(void *arg, const char *id, const struct orders_entry *e)
{
	struct shelf *s = arg;

	cr_assert_str_eq(id, ID);
	cr_assert_not_null(e->order);
	s->seen++;
}

/* How much each cut must still know: started is never forgotten once it was said to be on disk. */
Test(orders, a_log_is_good_up_to_wherever_it_was_cut)
{
	struct shelf *s = shelf_new();
	struct buf whole;
	size_t ordered = 0, started = 0, ended = 0;

	note_all(s);
	buf_init(&whole, 1 << 20);
	cr_assert_eq(file_read(&whole, s->dir, LOG, NULL), 0);
	for (size_t n = 0; n <= whole.len; n++) {
		struct arena *a = arena_new(32 << 20);
		struct orders_entry e;
		write_log(s, buf_data(&whole), n);
		int r = orders_read(&e, a, s->journal, ID, NULL);
		cr_assert(r == 0 || r == HW_ECORRUPT);
		ordered += r == 0;
		started += r == 0 && e.started;
		ended += r == 0 && e.end != NULL;
		cr_assert(r != 0 || e.end == NULL || n == whole.len);
		s->seen = 0;
		orders_each(s->journal, count, s);
		cr_assert_eq(s->seen, r == 0);
		/* What was cut off is gone, so that what is appended next can be read. */
		if (r == 0 && n < whole.len) {
			cr_assert_eq(orders_cancel(s->journal, ID, NULL), 0);
			cr_assert_eq(orders_read(&e, a, s->journal, ID, NULL), 0);
			cr_assert(e.cancelled);
		}
		arena_free(a);
	}
	cr_assert(ordered > started && started > ended && ended == 1);
	buf_fini(&whole);
	shelf_free(s);
}

Test(orders, no_byte_can_be_spoilt_unseen)
{
	struct shelf *s = shelf_new();
	struct buf whole;
	struct orders_entry e;

	note_all(s);
	buf_init(&whole, 1 << 20);
	cr_assert_eq(file_read(&whole, s->dir, LOG, NULL), 0);
	for (size_t at = 0; at < whole.len; at++) {
		struct arena *a = arena_new(32 << 20);
		uint8_t *bytes = malloc(whole.len);
		memcpy(bytes, buf_data(&whole), whole.len);
		bytes[at] ^= 0x40;
		write_log(s, bytes, whole.len);
		int r = orders_read(&e, a, s->journal, ID, NULL);
		cr_assert(r == HW_ECORRUPT || (r == 0 && e.end == NULL), "byte %zu", at);
		free(bytes);
		arena_free(a);
	}
	buf_fini(&whole);
	shelf_free(s);
}

/* --- the slot ----------------------------------------------------------------------------------
 */

#define SLOT_FILE "commands/" SLOT

/* After its first command a node has one. */
static struct shelf *
shelf_with_slot(void)
{
	struct shelf *s = shelf_new();

	begin(s, OTHER, true);
	orders_remove(s->journal, OTHER, 0);
	return s;
}

static void
reopen(struct shelf *s)
{
	orders_close(s->journal);
	cr_assert_eq(orders_open(&s->journal, s->dir, NULL), 0);
}

static void
write_slot(const struct shelf *s, const uint8_t *p, size_t n)
{
	int fd = openat(s->dir, SLOT_FILE, O_WRONLY | O_TRUNC);

	cr_assert_eq(fd_write_all(fd, p, n, NULL), 0);
	close(fd);
}

static void
read_slot(struct buf *b, const struct shelf *s)
{
	buf_init(b, 1 << 20);
	cr_assert_eq(file_read(b, s->dir, SLOT_FILE, NULL), 0);
}

static int
seen(struct shelf *s)
{
	s->seen = 0;
	orders_each(s->journal, count, s);
	return s->seen;
}

static bool exists(const struct shelf *s, const char *name);

Test(orders, the_next_log_is_written_over_the_last)
{
	struct shelf *s = shelf_with_slot();
	struct msg_invocation_order o = order(ID);
	struct orders_entry e;

	note_all(s);
	cr_assert_not(exists(s, LOG), "it lies in the slot");
	cr_assert_eq(orders_begin(s->journal, &o, true, NULL), HW_EEXISTS);
	cr_assert_eq(orders_sync(s->journal, ID, NULL), 0);
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
		cr_assert(e.started && e.cancelled && e.n_steps == 2 && e.reboots == 1);
		cr_assert_eq(e.end->status, INVOCATION_STATUS_FAILED);
		cr_assert_eq(seen(s), 1);
		reopen(s);
	}
	/* Another beside it has a file of its own. */
	begin(s, OTHER, true);
	cr_assert(exists(s, "commands/" OTHER ".log"));
	orders_remove(s->journal, OTHER, 0);
	cr_assert_eq(file_write(s->dir, "commands/" ID ".000.out", "x", 1, 0600, NULL), 0);
	cr_assert_eq(seen(s), 1);
	cr_assert(exists(s, "commands/" ID ".000.out"), "its output is nobody's orphan");
	orders_remove(s->journal, ID, 1);
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), HW_ENOTFOUND);
	cr_assert_eq(seen(s), 0);
	reopen(s);
	cr_assert_eq(seen(s), 0);
	shelf_free(s);
}

/* Parameters may be nobody else's business. */
Test(orders, nothing_is_left_in_the_slot)
{
	struct shelf *s = shelf_with_slot();
	struct buf b;

	note_all(s);
	orders_remove(s->journal, ID, 0);
	read_slot(&b, s);
	cr_assert_eq(b.len, SLOT_SIZE);
	for (size_t i = 0; i < b.len; i++)
		cr_assert_eq(buf_data(&b)[i], 0, "byte %zu", i);
	buf_fini(&b);
	shelf_free(s);
}

/* As a power cut may leave it: the new beginning in front of what the last had written. */
Test(orders, no_record_of_an_earlier_log_counts)
{
	struct shelf *s = shelf_with_slot();
	struct buf before, now;
	struct orders_entry e;
	size_t taken = 0;

	note_all(s);
	read_slot(&before, s);
	orders_remove(s->journal, ID, 0);
	begin(s, ID, true);
	read_slot(&now, s);
	for (size_t n = 0; n <= 1024; n++) {
		uint8_t *mixed = malloc(SLOT_SIZE);
		memcpy(mixed, buf_data(&before), SLOT_SIZE);
		memcpy(mixed, buf_data(&now), n);
		write_slot(s, mixed, SLOT_SIZE);
		free(mixed);
		reopen(s);
		struct arena *a = arena_new(32 << 20);
		int r = orders_read(&e, a, s->journal, ID, NULL);
		cr_assert(r == 0 || r == HW_ENOTFOUND);
		/* All of it is the one log or the other: where nothing new was written yet, or at
		 * least a whole order of the new. */
		cr_assert(r != 0 || (e.end != NULL && n < 16) || e.n_steps == 0, "%zu", n);
		taken += r == 0 && e.end == NULL;
		arena_free(a);
	}
	cr_assert_gt(taken, 100);
	buf_fini(&before);
	buf_fini(&now);
	shelf_free(s);
}

Test(orders, no_byte_of_the_slot_can_be_spoilt_unseen)
{
	struct shelf *s = shelf_with_slot();
	struct buf whole;
	struct orders_entry e;
	size_t len = SLOT_SIZE;

	note_all(s);
	read_slot(&whole, s);
	while (buf_data(&whole)[len - 1] == 0)
		len--;
	for (size_t at = 0; at < len; at++) {
		struct arena *a = arena_new(32 << 20);
		uint8_t *bytes = malloc(whole.len);
		memcpy(bytes, buf_data(&whole), whole.len);
		bytes[at] ^= 0x40;
		write_slot(s, bytes, whole.len);
		reopen(s);
		int r = orders_read(&e, a, s->journal, ID, NULL);
		cr_assert(r == HW_ENOTFOUND || (r == 0 && e.end == NULL), "byte %zu", at);
		if (r == 0) {
			cr_assert_eq(orders_cancel(s->journal, ID, NULL), 0);
			cr_assert_eq(orders_read(&e, a, s->journal, ID, NULL), 0);
			cr_assert(e.cancelled, "what is written next can be read");
		}
		free(bytes);
		arena_free(a);
	}
	buf_fini(&whole);
	shelf_free(s);
}

Test(orders, a_log_may_outgrow_the_slot)
{
	struct shelf *s = shelf_with_slot();
	struct orders_entry e;
	struct buf b;

	begin(s, ID, true);
	for (size_t k = 0; k < 300; k++)
		note_step(s, k, INVOCATION_STATUS_FAILED, "Failed");
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
		cr_assert_eq(e.n_steps, 300);
		reopen(s);
	}
	orders_remove(s->journal, ID, 0);
	read_slot(&b, s);
	cr_assert_eq(b.len, SLOT_SIZE);
	buf_fini(&b);
	shelf_free(s);
}

/* An order that is too long for it has a file, and so has one when the slot was taken away. */
Test(orders, without_a_slot_there_is_a_file)
{
	struct shelf *s = shelf_with_slot();
	struct msg_invocation_order o = order(ID);
	struct orders_entry e;
	char *content = calloc(1, SLOT_SIZE + 1);

	memset(content, 'x', SLOT_SIZE);
	o.content = content;
	cr_assert_eq(orders_begin(s->journal, &o, true, NULL), 0);
	cr_assert(exists(s, LOG));
	orders_remove(s->journal, ID, 0);
	free(content);
	cr_assert_eq(unlinkat(s->dir, SLOT_FILE, 0), 0);
	begin(s, ID, true);
	cr_assert(exists(s, LOG));
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert(e.started);
	orders_remove(s->journal, ID, 0);

	reopen(s);
	cr_assert_eq(file_write(s->dir, SLOT_FILE, "short", 5, 0600, NULL), 0);
	reopen(s);
	cr_assert_not(exists(s, SLOT_FILE), "what is no slot is taken away");
	shelf_free(s);
}

Test(orders, a_slot_that_is_taken_away_with_its_log_takes_no_more)
{
	struct shelf *s = shelf_with_slot();
	struct hw_err err = HW_ERR_INIT;

	begin(s, ID, true);
	cr_assert_eq(unlinkat(s->dir, SLOT_FILE, 0), 0);
	cr_assert_eq(orders_start(s->journal, ID, &err), HW_EIO);
	cr_assert_not_null(strstr(err.text, "slot was removed"), "%s", err.text);
	orders_remove(s->journal, ID, 0);
	begin(s, ID, true);
	cr_assert(exists(s, LOG));
	shelf_free(s);
}

static bool
exists(const struct shelf *s, const char *name)
{
	struct stat st;

	return fstatat(s->dir, name, &st, 0) == 0;
}

Test(orders, output_without_a_log_is_removed)
{
	struct shelf *s = shelf_new();

	begin(s, ID, true);
	cr_assert_eq(file_write(s->dir, "commands/" ID ".000.out", "x", 1, 0600, NULL), 0);
	cr_assert_eq(file_write(s->dir, "commands/" OTHER ".000.out", "x", 1, 0600, NULL), 0);
	cr_assert_eq(file_write(s->dir, "commands/readme", "x", 1, 0600, NULL), 0);
	orders_each(s->journal, count, s);
	cr_assert_eq(s->seen, 1);
	cr_assert(exists(s, "commands/" ID ".000.out"));
	cr_assert(exists(s, "commands/readme"), "what is not ours is left alone");
	cr_assert_not(exists(s, "commands/" OTHER ".000.out"));
	orders_remove(s->journal, ID, 1);
	cr_assert_not(exists(s, LOG));
	cr_assert_not(exists(s, "commands/" ID ".000.out"));
	shelf_free(s);
}

/* --- ids that are over ------------------------------------------------------------------------ */

Test(orders, what_is_over_is_remembered_for_its_time)
{
	struct shelf *s = shelf_new();

	orders_bury(s->journal, ID, 100 * USEC_PER_SEC, 1);
	cr_assert(orders_is_buried(s->journal, ID, 99 * USEC_PER_SEC));
	cr_assert_not(orders_is_buried(s->journal, OTHER, 1));
	orders_close(s->journal);
	cr_assert_eq(orders_open(&s->journal, s->dir, NULL), 0);
	cr_assert(orders_is_buried(s->journal, ID, 99 * USEC_PER_SEC));
	orders_forget(s->journal, 101 * USEC_PER_SEC);
	cr_assert_not(orders_is_buried(s->journal, ID, 1));
	cr_assert_not(orders_is_buried(s->journal, "no id", 1));
	shelf_free(s);
}

Test(orders, lines_that_were_cut_hide_no_others)
{
	static const char text[] = "\n" ID " 100\n" OTHER;
	struct shelf *s = shelf_new();

	orders_close(s->journal);
	cr_assert_eq(file_write(s->dir, "commands/ended", text, strlen(text), 0600, NULL), 0);
	cr_assert_eq(orders_open(&s->journal, s->dir, NULL), 0);
	cr_assert(orders_is_buried(s->journal, ID, 1));
	cr_assert_not(orders_is_buried(s->journal, OTHER, 1));
	orders_bury(s->journal, OTHER, 200 * USEC_PER_SEC, 1);
	orders_close(s->journal);
	cr_assert_eq(orders_open(&s->journal, s->dir, NULL), 0);
	cr_assert(orders_is_buried(s->journal, OTHER, 1));
	shelf_free(s);
}

Test(orders, there_are_never_too_many_and_the_first_goes)
{
	struct shelf *s = shelf_new();
	struct graves *g = graves_open(orders_dir(s->journal));
	char id[ID_UUID_LEN + 1];
	struct stat st;

	for (int i = 0; i < GRAVES_MAX + 2; i++) {
		snprintf(id, sizeof(id), "%08x-89ab-cdef-0123-456789abcdef", i);
		graves_add(g, id, (1000 + i) * USEC_PER_SEC, 1);
	}
	cr_assert_not(graves_has(g, "00000000-89ab-cdef-0123-456789abcdef", 1));
	cr_assert_not(graves_has(g, "00000001-89ab-cdef-0123-456789abcdef", 1));
	cr_assert(graves_has(g, "00000002-89ab-cdef-0123-456789abcdef", 1));
	cr_assert(graves_has(g, id, 1));
	graves_forget(g, (1000 + GRAVES_MAX) * USEC_PER_SEC);
	cr_assert(graves_has(g, id, 1));
	graves_close(g);
	cr_assert_eq(fstatat(s->dir, "commands/ended", &st, 0), 0);
	cr_assert_lt(st.st_size, 200);
	shelf_free(s);
}

/* --- spools -------------------------------------------------------------------------------------
 */

static void
expect(const struct shelf *s, const char *name, const char *text)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	cr_assert_eq(file_read(&b, orders_dir(s->journal), name, NULL), 0);
	cr_assert_str_eq(buf_str(&b), text);
	buf_fini(&b);
}

Test(spool, keeps_the_beginning_and_counts_the_rest)
{
	struct shelf *s = shelf_new();
	struct spool out = SPOOL_INIT, err = SPOOL_INIT;
	int dir = orders_dir(s->journal);
	uint64_t left = 8;

	spool_take(&out, dir, "a", "hello", 5, &left);
	spool_take(&err, dir, "b", "world", 5, &left);
	spool_take(&out, dir, "a", "more", 4, &left);
	cr_assert_eq(left, 0);
	cr_assert_eq(spool_dropped(&out), 4);
	cr_assert_eq(spool_dropped(&err), 2);
	spool_mark(&out, dir, "a", "\nmark");
	cr_assert_eq(spool_dropped(&out), 4);
	cr_assert_eq(out.kept, 10);
	expect(s, "a", "hello\nmark");
	expect(s, "b", "wor");
	spool_close(&out);
	spool_close(&err);
	shelf_free(s);
}

/* Whatever the earlier agent had written when it was killed, each byte is there once. */
Test(spool, goes_on_from_wherever_it_was_left)
{
	struct shelf *s = shelf_new();
	int dir = orders_dir(s->journal);
	static const char text[] = "0123456789";

	for (size_t had = 0; had <= 10; had++)
		for (size_t start = 0; start <= had; start++) {
			struct spool sp = SPOOL_INIT;
			uint64_t left = 100;
			unlinkat(dir, "a", 0);
			spool_take(&sp, dir, "a", text, had, &left);
			spool_close(&sp);
			spool_find(&sp, dir, "a");
			cr_assert_eq(sp.kept, had);
			spool_resume(&sp, dir, "a", start, 10);
			spool_take(&sp, dir, "a", text + start, 5 < 10 - start ? 5 : 10 - start,
				&left);
			if (start + 5 < 10)
				spool_take(&sp, dir, "a", text + start + 5, 10 - start - 5, &left);
			cr_assert_eq(sp.total, 10);
			cr_assert_eq(spool_dropped(&sp), 0, "had %zu start %zu", had, start);
			expect(s, "a", text);
			spool_close(&sp);
		}
	shelf_free(s);
}

Test(spool, a_gap_is_counted_and_a_mark_of_an_unknown_end_goes)
{
	struct shelf *s = shelf_new();
	struct spool sp = SPOOL_INIT;
	int dir = orders_dir(s->journal);
	uint64_t left = 100;

	spool_take(&sp, dir, "a", "hello", 5, &left);
	spool_mark(&sp, dir, "a", "\nmark");
	spool_close(&sp);
	spool_find(&sp, dir, "a");
	spool_resume(&sp, dir, "a", 3, 5);
	spool_take(&sp, dir, "a", "lo", 2, &left);
	expect(s, "a", "hello");
	cr_assert_eq(spool_dropped(&sp), 0);
	spool_close(&sp);

	/* The holder was credited for more than the disk took. */
	spool_find(&sp, dir, "a");
	spool_resume(&sp, dir, "a", 8, 10);
	spool_take(&sp, dir, "a", "xy", 2, &left);
	cr_assert_eq(sp.total, 10);
	cr_assert_eq(spool_dropped(&sp), 5);
	expect(s, "a", "hello");
	spool_close(&sp);
	shelf_free(s);
}

/* --- bounds ----------------------------------------------------------------------------------- */

/* However much it runs, there is room to say how it ended, and all of it can be read. */
Test(orders, a_log_that_is_nearly_full_takes_ends_alone)
{
	struct shelf *s = shelf_new();
	struct msg_invocation_order inner = order(ID);
	const struct orders_begin b = {.number = 1};
	struct orders_entry e;
	struct hw_err err = HW_ERR_INIT;
	char *content = calloc(1, 60001);
	int r = 0, n = 0;

	memset(content, 'x', 60000);
	inner.content = content;
	begin(s, ID, true);
	note_step(s, 0, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	while (r == 0 && n < 1000) {
		r = orders_enter(s->journal, ID, &inner, &err);
		n += r == 0;
	}
	cr_assert_eq(r, HW_ELIMIT);
	cr_assert_not_null(strstr(err.text, "written down of the command"), "%s", err.text);
	cr_assert(n > 40 && n < 50, "%d", n);
	free(content);
	inner.content = "{}";
	while ((r = orders_enter(s->journal, ID, &inner, NULL)) == 0)
		;
	cr_assert_eq(r, HW_ELIMIT);
	while ((r = orders_inner_begin(s->journal, ID, &b, NULL)) == 0)
		;
	cr_assert_eq(r, HW_ELIMIT);
	for (size_t k = 0; k < ORDERS_STEPS_MAX; k++)
		note_step(s, k, INVOCATION_STATUS_FAILED, "Failed");
	const struct msg_update_invocation_request end = {
		.command_id = ID,
		.status = INVOCATION_STATUS_FAILED,
		.status_details = "Failed",
	};
	cr_assert_eq(orders_end(s->journal, ID, &end, NULL), 0);
	cr_assert_eq(orders_read(&e, s->arena, s->journal, ID, NULL), 0);
	cr_assert_eq(e.n_steps, ORDERS_STEPS_MAX);
	cr_assert_not_null(e.end);
	cr_assert(e.entered >= (size_t)n * 60000 && e.entered < ORDERS_LOG_MAX);
	shelf_free(s);
}

static void
see_failed(void *arg, const char *id, const struct orders_entry *e)
{
	struct shelf *s = arg;

	cr_assert_str_eq(id, ID);
	cr_assert_str_eq(e->order->command_id, ID);
	cr_assert_not_null(e->end);
	cr_assert_eq(e->end->status, INVOCATION_STATUS_FAILED);
	cr_assert_not_null(strstr(e->end->reason, "too long to be read"));
	cr_assert_eq(e->n_steps, 0);
	s->seen++;
}

Test(orders, a_log_that_is_too_long_is_that_of_a_command_which_has_failed)
{
	struct shelf *s = shelf_new();

	begin(s, ID, true);
	note_step(s, 0, INVOCATION_STATUS_IN_PROGRESS, "InProgress");
	int fd = openat(s->dir, LOG, O_WRONLY);
	cr_assert_eq(ftruncate(fd, ORDERS_LOG_MAX + 1), 0);
	close(fd);
	orders_each(s->journal, see_failed, s);
	orders_each(s->journal, see_failed, s);
	cr_assert_eq(s->seen, 2, "and stays so");
	shelf_free(s);
}
