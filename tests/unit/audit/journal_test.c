#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/journal_segment.h"
#include "tests/unit/audit/scratch.h"

static struct scratch s;

static void
setup(void)
{
	scratch_init(&s);
}

static void
teardown(void)
{
	scratch_fini(&s);
}

TestSuite(journal, .init = setup, .fini = teardown);

static struct journal *
open_journal(const struct journal_config *config, uint64_t *cut)
{
	struct journal *j = NULL;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, journal_open(&j, config, cut, &err), 0), "%s", err.text);
	return j;
}

static jpos
put(struct journal *j, uint64_t offset, const char *text)
{
	const struct journal_record r = {.type = JOURNAL_DATA,
		.stream = 1,
		.author = 3,
		.session = 42,
		.offset = offset,
		.time = 1000,
		.bytes = text,
		.len = strlen(text)};
	jpos end = 0;

	cr_assert(eq(int, journal_append(j, &r, &end), 0));
	return end;
}

static int
entry_of(void *arg, uint64_t sequence, struct buf *out)
{
	return buf_printf(out, "%s %" PRIu64, (const char *)arg, sequence);
}

/* How many records can be read, or a code. The offsets of DATA records must count from 0. */
static int
count_from(const char *dir, jpos pos, struct hw_err *err)
{
	struct journal_reader *r;
	struct journal_record rec;
	uint64_t due = 0;
	int n = 0, code;
	jpos end;

	if ((code = journal_reader_open(&r, dir, &s.master, pos, err)) < 0)
		return code;
	while ((code = journal_reader_next(r, &rec, &end, err)) == 1) {
		n++;
		if (rec.type == JOURNAL_DATA && pos == 0)
			cr_assert(eq(u64, rec.offset, due++));
	}
	journal_reader_close(r);
	return code < 0 ? code : n;
}

static int
count(void)
{
	struct hw_err err = HW_ERR_INIT;

	return count_from(s.journal, 0, &err);
}

static void
path_of(char out[160], const char *dir, jpos first)
{
	char name[SEGMENT_NAME_LEN + 1];

	segment_name(name, first);
	snprintf(out, 160, "%s/%s", dir, name);
}

/* --- appending and reading -------------------------------------------------------------------- */

Test(journal, a_record_comes_back_as_it_was)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL);
	struct journal_reader *r;
	struct journal_record rec;
	struct hw_err err = HW_ERR_INIT;
	jpos end, read_end;

	const struct journal_record in = {.type = JOURNAL_ECHO,
		.stream = 2,
		.flags = 1,
		.author = 0xfffffffe,
		.session = UINT64_MAX - 1,
		.offset = UINT64_MAX - 2,
		.time = -5,
		.bytes = "a\0b",
		.len = 3};
	cr_assert(eq(int, journal_append(j, &in, &end), 0));
	cr_assert(eq(int, journal_wait(j, end), 0));
	cr_assert(eq(int, journal_reader_open(&r, s.journal, &s.master, 0, &err), 0));
	cr_assert(eq(int, journal_reader_next(r, &rec, &read_end, &err), 1));
	cr_assert(eq(u64, read_end, end));
	cr_assert(rec.type == in.type && rec.stream == 2 && rec.flags == 1 &&
		rec.author == in.author && rec.session == in.session && rec.offset == in.offset &&
		rec.time == -5 && rec.len == 3 && memcmp(rec.bytes, "a\0b", 3) == 0);
	cr_assert(eq(int, journal_reader_next(r, &rec, &read_end, &err), 0));
	journal_reader_close(r);
	journal_close(j);
}

Test(journal, nothing_is_readable_on_disk)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL);
	char path[160], bytes[4096];

	put(j, 0, "hunter2-hunter2");
	journal_close(j);
	path_of(path, s.journal, 0);
	FILE *f = fopen(path, "rb");
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	cr_assert(gt(sz, n, 128));
	cr_assert(memmem(bytes, n, "hunter2", 7) == NULL);
}

Test(journal, a_reader_follows_and_starts_anywhere)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL);
	struct hw_err err = HW_ERR_INIT;

	put(j, 0, "one");
	jpos middle = put(j, 1, "two");
	put(j, 2, "three");
	cr_assert(eq(int, count(), 0)); /* only in memory */
	cr_assert(eq(int, journal_write(j), 0));
	cr_assert(eq(int, count(), 3));
	cr_assert(eq(int, count_from(s.journal, middle, &err), 1));
	cr_assert(eq(int, count_from(s.journal, middle - 1, &err), 1));
	cr_assert(eq(u64, journal_synced(j), 0));
	journal_sync(j);
	cr_assert(eq(u64, journal_synced(j), journal_written(j)));
	journal_close(j);
	cr_assert(eq(int, count(), 3));
}

Test(journal, positions_and_sequences_go_on_after_a_restart)
{
	struct journal_config config = scratch_journal(&s);
	char text[] = "entry";
	jpos end = 0;

	for (int life = 0; life < 3; life++) {
		struct journal *j = open_journal(&config, NULL);
		cr_assert(eq(u64, journal_synced(j), end));
		cr_assert(eq(u64, journal_ledger_next(j), (uint64_t)(2 * life)));
		put(j, (uint64_t)life, "x");
		journal_append_ledger(j, 0, entry_of, text, NULL);
		journal_append_ledger(j, 0, entry_of, text, &end);
		journal_close(j);
	}
	cr_assert(eq(int, count(), 9));
}

static int
refuse(void *arg, uint64_t sequence, struct buf *out)
{
	(void)arg;
	(void)sequence;
	buf_append(out, "half", 4);
	return HW_EVALIDATION;
}

Test(journal, a_refused_entry_takes_no_number)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL);
	char text[] = "entry";

	cr_assert(eq(int, journal_append_ledger(j, 0, refuse, NULL, NULL), HW_EVALIDATION));
	cr_assert(eq(u64, journal_ledger_next(j), 0));
	cr_assert(eq(int, journal_append_ledger(j, 0, entry_of, text, NULL), 0));
	cr_assert(eq(u64, journal_ledger_next(j), 1));
	journal_close(j);
	cr_assert(eq(int, count(), 1));
}

Test(journal, empty_lives_leave_one_segment)
{
	struct journal_config config = scratch_journal(&s);
	char names[256];

	for (int i = 0; i < 3; i++)
		journal_close(open_journal(&config, NULL));
	dir_names(names, sizeof(names), s.journal);
	cr_assert(strcmp(names, "journal-0000000000000000.seg") == 0, "%s", names);
}

Test(journal, only_one_process_writes)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL), *other;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, journal_open(&other, &config, NULL, &err), HW_EEXISTS));
	journal_close(j);
}

Test(journal, another_key_reads_nothing)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL), *other;
	struct hw_err err = HW_ERR_INIT;

	put(j, 0, "x");
	journal_close(j);
	s.master.bytes[0] ^= 1;
	cr_assert(eq(int, journal_open(&other, &config, NULL, &err), HW_ECORRUPT));
	cr_assert(eq(int, count(), HW_ECORRUPT));
}

Test(journal, refuses_more_than_its_buffer)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL);
	static char big[JOURNAL_RECORD_MAX];
	const struct journal_record r = {.type = JOURNAL_DATA, .bytes = big, .len = sizeof(big)};
	struct journal_stats stats;
	int n = 0, code;

	while ((code = journal_append(j, &r, NULL)) == 0)
		n++;
	cr_assert(eq(int, code, HW_EFULL));
	cr_assert(n >= 127 && n < 129, "%d", n);
	journal_stats(j, &stats);
	cr_assert(le(sz, stats.buffered, 32 * 1024 * 1024));
	cr_assert(eq(int, journal_write(j), 0));
	cr_assert(eq(int, journal_append(j, &r, NULL), 0));
	journal_close(j);
}

/* --- segments --------------------------------------------------------------------------------- */

Test(journal, segments_change_by_size_and_are_dropped_whole)
{
	struct journal_config config = scratch_journal(&s);
	struct hw_err err = HW_ERR_INIT;
	char names[1024];
	jpos ends[10];

	config.segment_size = 200;
	struct journal *j = open_journal(&config, NULL);
	for (uint64_t i = 0; i < 10; i++) {
		ends[i] = put(j, i, "0123456789012345678901234567890123456789");
		journal_sync(j);
	}
	cr_assert(eq(int, count(), 10));
	dir_names(names, sizeof(names), s.journal);
	int segments = 1;
	for (const char *c = names; *c != '\0'; c++)
		segments += *c == ' ';
	cr_assert(eq(int, segments, 4), "%s", names);
	cr_assert(eq(int, journal_drop_below(j, ends[3] - 1, &err), 0));
	cr_assert(eq(int, count_from(s.journal, 1, &err), 7));
	cr_assert(eq(int, journal_drop_below(j, ends[9] + 1000, &err), 0));
	cr_assert(eq(int, count_from(s.journal, 1, &err), 1)); /* of the one that is written */
	journal_close(j);
	j = open_journal(&config, NULL);
	cr_assert(eq(u64, journal_synced(j), ends[9]));
	journal_close(j);
}

Test(journal, segments_with_records_change_by_age)
{
	struct journal_config config = scratch_journal(&s);
	char names[256];

	struct journal *j = open_journal(&config, NULL);
	fake_clock_advance(&s.clock, 7200 * USEC_PER_SEC);
	journal_sync(j);
	put(j, 0, "x");
	journal_sync(j);
	cr_assert(eq(int, (int)strlen(dir_names(names, sizeof(names), s.journal)), 57));
	journal_close(j);
}

Test(journal, a_reader_crosses_segments_while_they_are_made)
{
	struct journal_config config = scratch_journal(&s);
	struct journal_reader *r;
	struct journal_record rec;
	struct hw_err err = HW_ERR_INIT;
	jpos end;

	config.segment_size = 300;
	struct journal *j = open_journal(&config, NULL);
	put(j, 0, "x");
	journal_sync(j);
	cr_assert(eq(int, journal_reader_open(&r, s.journal, &s.master, 0, &err), 0));
	for (uint64_t i = 0; i < 50; i++) {
		cr_assert(eq(int, journal_reader_next(r, &rec, &end, &err), 1), "%s", err.text);
		cr_assert(eq(u64, rec.offset, i));
		cr_assert(eq(int, journal_reader_next(r, &rec, &end, &err), 0), "%s", err.text);
		put(j, i + 1, "x");
		journal_sync(j);
	}
	journal_reader_close(r);
	journal_close(j);
}

/* --- repair ----------------------------------------------------------------------------------- */

/* Three records in one segment, closed; *last is where the third begins. */
static void
three_records(jpos *last, char path[160])
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j = open_journal(&config, NULL);

	put(j, 0, "the first");
	*last = put(j, 1, "the second");
	put(j, 2, "the third");
	journal_close(j);
	path_of(path, s.journal, 0);
}

Test(journal, every_torn_tail_is_cut_to_the_last_whole_record)
{
	struct journal_config config = scratch_journal(&s);
	char path[160], whole[100];
	jpos last;

	three_records(&last, path);
	snprintf(whole, sizeof(whole), "%s/whole", s.dir);
	dir_copy(whole, s.journal);
	long long tail = file_length(path) - (long long)(SEGMENT_HEAD_LEN + last);
	for (long long cut = 1; cut < tail; cut++) {
		uint64_t reported = 0;
		dir_remove(s.journal);
		dir_copy(s.journal, whole);
		file_cut(path, cut);
		cr_assert(eq(int, count(), 2)); /* unrepaired it can be read, too */
		struct journal *j = open_journal(&config, &reported);
		cr_assert(eq(u64, reported, (uint64_t)(tail - cut)));
		cr_assert(eq(u64, journal_synced(j), last));
		put(j, 2, "the third, again");
		journal_close(j);
		cr_assert(eq(int, count(), 3));
	}
}

Test(journal, every_flipped_bit_in_the_last_record_is_a_tear)
{
	struct journal_config config = scratch_journal(&s);
	char path[160], whole[100];
	jpos last;

	three_records(&last, path);
	snprintf(whole, sizeof(whole), "%s/whole", s.dir);
	dir_copy(whole, s.journal);
	for (long long at = (long long)(SEGMENT_HEAD_LEN + last); at < file_length(path); at++) {
		uint64_t cut = 0;
		dir_remove(s.journal);
		dir_copy(s.journal, whole);
		file_flip(path, at);
		struct journal *j = open_journal(&config, &cut);
		cr_assert(gt(u64, cut, 0));
		cr_assert(eq(u64, journal_synced(j), last));
		journal_close(j);
		cr_assert(eq(int, count(), 2));
	}
}

Test(journal, every_flipped_bit_before_the_last_record_is_found_and_located)
{
	struct journal_config config = scratch_journal(&s);
	struct journal *j;
	char path[160], whole[100];
	jpos last;

	three_records(&last, path);
	snprintf(whole, sizeof(whole), "%s/whole", s.dir);
	dir_copy(whole, s.journal);
	for (long long at = SEGMENT_HEAD_LEN; at < (long long)(SEGMENT_HEAD_LEN + last); at++) {
		struct hw_err err = HW_ERR_INIT;
		dir_remove(s.journal);
		dir_copy(s.journal, whole);
		file_flip(path, at);
		cr_assert(eq(int, journal_open(&j, &config, NULL, &err), HW_ECORRUPT), "%lld", at);
		cr_assert(strstr(err.text, "journal-0000000000000000.seg") != NULL, "%s", err.text);
		cr_assert(strstr(err.text, "at byte ") != NULL, "%s", err.text);
		cr_assert(eq(int, count(), HW_ECORRUPT));
	}
}

Test(journal, a_zeroed_tail_is_a_tear)
{
	struct journal_config config = scratch_journal(&s);
	char path[160];
	uint64_t cut = 0;
	jpos last;

	three_records(&last, path);
	FILE *f = fopen(path, "ab");
	static const char zeros[9000];
	fwrite(zeros, 1, sizeof(zeros), f);
	fclose(f);
	journal_close(open_journal(&config, &cut));
	cr_assert(eq(u64, cut, sizeof(zeros)));
	cr_assert(eq(int, count(), 3));
}

Test(journal, a_damaged_earlier_segment_is_corrupt_even_at_its_end)
{
	struct journal_config config = scratch_journal(&s);
	struct hw_err err = HW_ERR_INIT;
	struct journal *j;
	char path[160];
	jpos last;

	three_records(&last, path);
	j = open_journal(&config, NULL);
	put(j, 3, "the fourth");
	journal_close(j);
	file_flip(path, -1);
	cr_assert(eq(int, journal_open(&j, &config, NULL, &err), HW_ECORRUPT));
	cr_assert(strstr(err.text, "journal-0000000000000000.seg") != NULL, "%s", err.text);
	cr_assert(eq(int, count(), HW_ECORRUPT));
	file_flip(path, -1);
	file_cut(path, 1);
	cr_assert(eq(int, journal_open(&j, &config, NULL, &err), HW_ECORRUPT));
	cr_assert(eq(int, count(), HW_ECORRUPT));
}

Test(journal, a_missing_or_renamed_segment_is_corrupt)
{
	struct journal_config config = scratch_journal(&s);
	struct hw_err err = HW_ERR_INIT;
	struct journal *j;
	char path[160], to[160];
	jpos ends[3];

	for (uint64_t i = 0; i < 3; i++) {
		j = open_journal(&config, NULL);
		ends[i] = put(j, i, "x");
		journal_close(j);
	}
	path_of(path, s.journal, ends[0]);
	path_of(to, s.journal, ends[0] + 1);
	cr_assert(eq(int, rename(path, to), 0));
	cr_assert(eq(int, journal_open(&j, &config, NULL, &err), HW_ECORRUPT));
	cr_assert(eq(int, count(), HW_ECORRUPT));
	remove(to);
	cr_assert(eq(int, journal_open(&j, &config, NULL, &err), HW_ECORRUPT));
	cr_assert(eq(int, count(), HW_ECORRUPT));
}

/* --- disks that fail -------------------------------------------------------------------------- */

struct bad_disk {
	int writes, syncs;	   /* so far */
	int fail_write, fail_sync; /* the call that fails; 0: none */
	bool half;		   /* a failing write writes half before */
	int error;
	int failures; /* calls of on_failed */
	jpos told;    /* by on_synced */
};

static ssize_t
bad_write(void *arg, int fd, const void *p, size_t n)
{
	struct bad_disk *d = arg;

	if (d->fail_write != 0 && ++d->writes >= d->fail_write) {
		if (d->half && d->writes == d->fail_write && n > 1)
			return write(fd, p, n / 2);
		errno = d->error;
		return -1;
	}
	return write(fd, p, n);
}

static int
bad_sync(void *arg, int fd)
{
	struct bad_disk *d = arg;

	(void)fd;
	/* A failed sync succeeds when it is tried again, as on Linux: trying again must not happen.
	 */
	if (d->fail_sync != 0 && ++d->syncs == d->fail_sync) {
		errno = d->error;
		return -1;
	}
	return 0;
}

static void
told_failed(void *arg, const char *why)
{
	struct bad_disk *d = arg;

	cr_assert(why[0] != '\0');
	d->failures++;
}

static void
told_synced(void *arg, jpos pos)
{
	struct bad_disk *d = arg;

	cr_assert(eq(int, d->failures, 0));
	d->told = pos;
}

/* Runs appends, writes, syncs and segment changes until the disk fails, and checks that nothing is
 * reported as synced that can't be read afterwards. Returns whether it failed at all. */
static bool
run_on(struct bad_disk *d)
{
	struct journal_io io = {.write = bad_write, .sync = bad_sync, .arg = d};
	struct journal_config config = scratch_journal(&s);
	struct hw_err err = HW_ERR_INIT;
	struct journal *j = NULL;
	jpos synced = 0, end;
	bool failed = false;
	int durable = 0;

	config.io = &io;
	config.segment_size = 150;
	config.on_failed = told_failed;
	config.on_synced = told_synced;
	config.arg = d;
	if (journal_open(&j, &config, NULL, &err) < 0) {
		cr_assert(err.text[0] != '\0');
		return true;
	}
	for (uint64_t i = 0; i < 6 && !failed; i++) {
		const struct journal_record r = {
			.type = JOURNAL_DATA, .offset = i, .bytes = "0123456789", .len = 10};
		failed = journal_append(j, &r, &end) < 0 || (i % 2 == 0 && journal_write(j) < 0) ||
			journal_wait(j, end) < 0;
		if (!failed) {
			cr_assert(ge(u64, journal_synced(j), end));
			synced = end;
			durable = (int)i + 1;
		}
	}
	failed = failed || journal_failed(j);
	if (failed) {
		const struct journal_record r = {.type = JOURNAL_DATA};
		cr_assert(journal_failed(j));
		cr_assert(eq(int, journal_append(j, &r, NULL), HW_ERECORD));
		cr_assert(eq(int, journal_write(j), HW_ERECORD));
		cr_assert(eq(int, journal_wait(j, journal_synced(j) + 1), HW_ERECORD));
		journal_sync(j);
		cr_assert(eq(int, d->failures, 1));
		cr_assert(le(u64, journal_synced(j), synced + 66));
	}
	cr_assert(le(u64, d->told, journal_synced(j)));
	journal_close(j);
	cr_assert(le(int, d->failures, 1));
	d->fail_write = d->fail_sync = 0;
	config.io = NULL;
	config.on_failed = NULL;
	config.on_synced = NULL;
	cr_assert(eq(int, journal_open(&j, &config, NULL, &err), 0), "%s", err.text);
	cr_assert(ge(u64, journal_synced(j), synced));
	journal_close(j);
	cr_assert(ge(int, count(), durable));
	return failed;
}

static void
fail_each(bool sync, bool half, int error)
{
	bool failed = true;
	int n = 1;

	for (; failed; n++) {
		struct bad_disk d = {.half = half, .error = error};
		if (sync)
			d.fail_sync = n;
		else
			d.fail_write = n;
		dir_remove(s.journal);
		failed = run_on(&d);
	}
	cr_assert(gt(int, n, 10)); /* it went through segment changes */
}

Test(journal, each_write_may_fail)
{
	fail_each(false, false, ENOSPC);
	fail_each(false, false, EROFS);
}

Test(journal, each_write_may_be_cut_short)
{
	fail_each(false, true, ENOSPC);
}

Test(journal, each_sync_may_fail)
{
	fail_each(true, false, EIO);
}

/* --- a disk that is full, with a reserve ---------------------------------------------------------
 */

struct small_disk {
	size_t room, held; /* bytes that are left; that the reserve has */
	int lows, failures;
	pthread_t loop;
	int on_loop;	     /* so often that thread set room aside */
	int made, refuse_at; /* files that were made or named; the one that finds no room */
};

static ssize_t
small_write(void *arg, int fd, const void *p, size_t n)
{
	struct small_disk *d = arg;

	if (d->room == 0) {
		errno = ENOSPC;
		return -1;
	}
	n = n < d->room ? n : d->room;
	d->room -= n;
	return write(fd, p, n);
}

static int
small_reserve(void *arg, int fd, size_t size)
{
	struct small_disk *d = arg;

	(void)fd;
	if (size > d->room + d->held)
		return ENOSPC;
	d->room += d->held;
	d->room -= size;
	d->held = size;
	return 0;
}

static int
small_make(void *arg, const char *name)
{
	struct small_disk *d = arg;

	(void)name;
	return ++d->made == d->refuse_at ? ENOSPC : 0;
}

static void
told_low(void *arg, const char *why)
{
	struct small_disk *d = arg;

	cr_assert(strstr(why, "disk is full") != NULL);
	d->lows++;
}

static void
told_small_failed(void *arg, const char *why)
{
	struct small_disk *d = arg;

	cr_assert(strstr(why, "No space left") != NULL, "%s", why);
	d->failures++;
}

static struct journal_config
small_journal(struct small_disk *d, const struct journal_io *io)
{
	struct journal_config config = scratch_journal(&s);

	config.io = io;
	config.reserve = 1000;
	config.on_low = told_low;
	config.on_failed = told_small_failed;
	config.arg = d;
	return config;
}

/* Wherever within a frame the disk becomes full, what follows is whole, and it goes on once there
 * is room. */
Test(journal, a_full_disk_leaves_room_for_last_words_and_it_recovers)
{
	for (size_t room = 1; room < 260; room += 7) {
		struct small_disk d = {.room = 1128 + room};
		struct journal_io io = {.write = small_write, .reserve = small_reserve, .arg = &d};
		struct journal_config config = small_journal(&d, &io);
		char why[JOURNAL_WHY_MAX];

		dir_remove(s.journal);
		struct journal *j = open_journal(&config, NULL);
		for (uint64_t i = 0; i < 4; i++)
			cr_assert(eq(int, journal_wait(j, put(j, i, "0123456789")), 0));
		cr_assert(eq(int, d.lows, 1), "room %zu", room);
		cr_assert(journal_low(j) && !journal_failed(j));
		journal_why(j, why);
		cr_assert(strstr(why, "full") != NULL);
		cr_assert(not(journal_recover(j)));
		d.room += 2000;
		cr_assert(journal_recover(j) && !journal_low(j));
		cr_assert(eq(int, journal_wait(j, put(j, 4, "after")), 0));
		journal_close(j);
		cr_assert(eq(int, count(), 5));
		cr_assert(eq(int, d.failures, 0));
	}
}

static int
own_reserve(void *arg, int fd, size_t size)
{
	struct small_disk *d = arg;

	if (size > 0 && pthread_equal(pthread_self(), d->loop))
		d->on_loop++;
	return small_reserve(arg, fd, size);
}

/* Setting blocks of the disk aside may take long. */
Test(journal, the_reserve_is_set_aside_again_by_the_writer_thread)
{
	struct small_disk d = {.room = 1150, .loop = pthread_self()};
	struct journal_io io = {.write = small_write, .reserve = own_reserve, .arg = &d};
	struct journal_config config = small_journal(&d, &io);

	config.threaded = true;
	struct journal *j = open_journal(&config, NULL);
	d.on_loop = 0; /* but for the start */
	cr_assert(eq(int, journal_wait(j, put(j, 0, "0123456789")), 0));
	cr_assert(journal_low(j));
	for (d.room += 2000; !journal_recover(j);)
		sched_yield();
	cr_assert(not(journal_low(j)));
	cr_assert(eq(int, d.on_loop, 0));
	cr_assert(eq(int, journal_wait(j, put(j, 1, "after")), 0));
	journal_close(j);
	cr_assert(eq(int, count(), 2));
}

/* The disk is full where a segment is made, gets its head or its name: the journal is low, and goes
 * on. */
Test(journal, a_full_disk_puts_another_segment_off)
{
	int lows = 0;

	for (size_t room = 1; room < 800; room += 7) {
		struct small_disk d = {.room = 1128 + room};
		struct journal_io io = {.write = small_write, .reserve = small_reserve, .arg = &d};
		struct journal_config config = small_journal(&d, &io);

		dir_remove(s.journal);
		config.segment_size = 100;
		struct journal *j = open_journal(&config, NULL);
		for (uint64_t i = 0; i < 8; i++)
			cr_assert(eq(int, journal_wait(j, put(j, i, "0123456789")), 0));
		cr_assert(not(journal_failed(j)), "room %zu", room);
		lows += d.lows;
		d.room += 2000;
		cr_assert(journal_recover(j));
		cr_assert(eq(int, journal_wait(j, put(j, 8, "after")), 0));
		journal_close(j);
		cr_assert(eq(int, count(), 9), "room %zu", room);
		cr_assert(eq(int, d.failures, 0));
	}
	cr_assert(gt(int, lows, 50));
}

Test(journal, a_full_directory_puts_another_segment_off)
{
	for (int at = 3; at <= 6; at++) { /* the first two are those of the start */
		struct small_disk d = {.room = 10000, .refuse_at = at};
		struct journal_io io = {.write = small_write,
			.reserve = small_reserve,
			.make = small_make,
			.arg = &d};
		struct journal_config config = small_journal(&d, &io);

		dir_remove(s.journal);
		config.segment_size = 100;
		struct journal *j = open_journal(&config, NULL);
		for (uint64_t i = 0; i < 8; i++)
			cr_assert(eq(int, journal_wait(j, put(j, i, "0123456789")), 0));
		cr_assert(eq(int, d.lows, 1), "at %d", at);
		cr_assert(not(journal_failed(j)), "at %d", at);
		cr_assert(journal_recover(j));
		for (uint64_t i = 8; i < 16; i++)
			cr_assert(eq(int, journal_wait(j, put(j, i, "0123456789")), 0));
		journal_close(j);
		cr_assert(eq(int, count(), 16), "at %d", at);
		cr_assert(eq(int, d.failures, 0));
	}
}

Test(journal, when_the_reserve_is_used_up_too_it_has_failed)
{
	struct small_disk d = {.room = 1300};
	struct journal_io io = {.write = small_write, .reserve = small_reserve, .arg = &d};
	struct journal_config config = small_journal(&d, &io);
	struct journal_record r = {.type = JOURNAL_DATA, .bytes = "0123456789", .len = 10};
	int done = 0;

	struct journal *j = open_journal(&config, NULL);
	for (jpos end; journal_append(j, &r, &end) == 0 && journal_wait(j, end) == 0;)
		r.offset = (uint64_t)++done;
	cr_assert(gt(int, done, 10));
	cr_assert(journal_failed(j));
	cr_assert(eq(int, d.lows, 1));
	cr_assert(eq(int, d.failures, 1));
	d.room += 10000;
	cr_assert(not(journal_recover(j))); /* what is on the disk must be looked at */
	journal_close(j);
	cr_assert(eq(int, count(), done));
}

Test(journal, without_room_for_its_reserve_it_does_not_open)
{
	struct small_disk d = {.room = 900};
	struct journal_io io = {.write = small_write, .reserve = small_reserve, .arg = &d};
	struct journal_config config = small_journal(&d, &io);
	struct hw_err err = HW_ERR_INIT;
	struct journal *j;

	cr_assert(eq(int, journal_open(&j, &config, NULL, &err), HW_EFULL));
	cr_assert(strstr(err.text, "set room aside") != NULL, "%s", err.text);
}

/* --- crashes ---------------------------------------------------------------------------------- */

struct snapshots {
	char dir[80];
	const char *from;
	int n;
	jpos synced[256], written[256];
	struct journal *j;
};

static void
snapshot(struct snapshots *snap)
{
	char to[100];

	hw_assert(snap->n < 256);
	snap->synced[snap->n] = snap->j != NULL ? journal_synced(snap->j) : 0;
	snap->written[snap->n] = snap->j != NULL ? journal_written(snap->j) : 0;
	snprintf(to, sizeof(to), "%s/%d", snap->dir, snap->n++);
	dir_copy(to, snap->from);
}

static ssize_t
snapshot_write(void *arg, int fd, const void *p, size_t n)
{
	snapshot(arg);
	size_t half = n / 2;
	hw_assert(write(fd, p, half) == (ssize_t)half);
	snapshot(arg);
	return (ssize_t)half + write(fd, (const char *)p + half, n - half);
}

static int
snapshot_sync(void *arg, int fd)
{
	(void)fd;
	snapshot(arg);
	return 0;
}

Test(journal, a_crash_at_any_point_loses_nothing_that_was_written)
{
	struct snapshots snap = {.from = s.journal};
	struct journal_io io = {.write = snapshot_write, .sync = snapshot_sync, .arg = &snap};
	struct journal_config config = scratch_journal(&s);
	char text[] = "entry";

	snprintf(snap.dir, sizeof(snap.dir), "%s/snapshots", s.dir);
	mkdir(snap.dir, 0700);
	config.io = &io;
	config.segment_size = 200;
	struct journal *j = snap.j = open_journal(&config, NULL);
	for (uint64_t i = 0; i < 8; i++) {
		put(j, i, "0123456789");
		journal_append_ledger(j, 0, entry_of, text, NULL);
		journal_write(j);
		journal_sync(j);
	}
	for (int i = 0; i < snap.n; i++) {
		struct journal_config again = scratch_journal(&s);
		char dir[100];
		snprintf(dir, sizeof(dir), "%s/%d", snap.dir, i);
		again.dir = dir;
		struct journal *k = open_journal(&again, NULL);
		cr_assert(ge(u64, journal_synced(k), snap.written[i]), "snapshot %d", i);
		put(k, journal_ledger_next(k), "x");
		journal_close(k);
	}
	cr_assert(gt(int, snap.n, 40));
	journal_close(j);
}

/* A power cut during a change of segments: the old one lost what was not synced, the new one has
 * its records on disk already. */
Test(journal, a_new_segment_without_its_predecessors_end_is_cut)
{
	struct snapshots snap = {.from = s.journal};
	struct journal_io io = {.write = NULL, .sync = snapshot_sync, .arg = &snap};
	struct journal_config config = scratch_journal(&s);
	char old[200], dir[100];
	uint64_t cut = 0;

	snprintf(snap.dir, sizeof(snap.dir), "%s/snapshots", s.dir);
	mkdir(snap.dir, 0700);
	config.io = &io;
	config.segment_size = 100;
	struct journal *j = snap.j = open_journal(&config, NULL);
	put(j, 0, "0123456789");
	put(j, 1, "0123456789");
	journal_sync(j);
	journal_close(j);
	snprintf(dir, sizeof(dir), "%s/%d", snap.dir, snap.n - 2);
	snprintf(old, sizeof(old), "%s/journal.next", dir);
	cr_assert(eq(int, (int)file_length(old), SEGMENT_HEAD_LEN), "%s", dir);
	path_of(old, dir, 0);
	file_cut(old, 3);
	config = scratch_journal(&s);
	config.dir = dir;
	j = open_journal(&config, &cut);
	cr_assert(eq(u64, cut, FRAME_LEN(10) - 3));
	journal_close(j);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *
append_many(void *arg)
{
	struct journal *j = arg;
	char text[] = "entry";
	jpos end;

	for (int i = 0; i < 200; i++) {
		cr_assert(eq(int, journal_append_ledger(j, 0, entry_of, text, &end), 0));
		if (i % 20 == 0)
			cr_assert(eq(int, journal_wait(j, end), 0));
	}
	return NULL;
}

Test(journal, threads_append_while_segments_change)
{
	struct journal_config config = scratch_journal(&s);
	pthread_t threads[4];
	char names[4096];

	config.threaded = true;
	config.clock = &hw_clock_system;
	config.segment_size = 8192;
	struct journal *j = open_journal(&config, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, append_many, j);
	for (uint64_t i = 0; i < 500; i++) {
		put(j, i, "typed");
		cr_assert(eq(int, journal_write(j), 0));
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert(eq(u64, journal_ledger_next(j), 800));
	journal_close(j);
	cr_assert(eq(int, count(), 1300));
	cr_assert(strchr(dir_names(names, sizeof(names), s.journal), ' ') != NULL);
}

Test(journal, what_nobody_waits_for_is_synced_soon)
{
	struct journal_config config = scratch_journal(&s);

	config.threaded = true;
	config.clock = &hw_clock_system;
	struct journal *j = open_journal(&config, NULL);
	for (uint64_t i = 0; i < 3; i++) {
		jpos end = put(j, i, "output");
		int64_t limit = clock_mono(&hw_clock_system) + 5 * USEC_PER_SEC;
		while (journal_synced(j) < end && clock_mono(&hw_clock_system) < limit)
			usleep(1000);
		cr_assert(ge(u64, journal_synced(j), end));
	}
	journal_close(j);
}
