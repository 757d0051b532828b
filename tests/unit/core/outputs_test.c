/* Files of what commands wrote: appended, read, damaged and cut off. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/schema/schema.h"
#include "relay/core/outputs.h"

#define COMMAND "11111111-2222-4333-8444-555555555555"
#define NODE	"mi-00000000000000001"
#define BLOCK	16384
#define STORED	(BLOCK + 28)

struct place {
	char dir[64], file[256];
	struct secret_key master;
	struct outputs *outputs;
	struct output_name name;
	struct hw_err err;
};

static void
open_place(struct place *p)
{
	cr_assert(eq(int, outputs_new(&p->outputs, p->dir, &p->master, &p->err), 0), "%s",
		p->err.text);
}

static struct place *
place_new(void)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/hawser-outputs-XXXXXX");
	cr_assert(mkdtemp(p->dir) != NULL);
	snprintf(p->file, sizeof(p->file), "%s/commands/" COMMAND "/" NODE ".0.out", p->dir);
	secret_key_random(&p->master);
	p->name = (struct output_name){COMMAND, NODE, 0, OUTPUT_STREAM_STDOUT};
	open_place(p);
	return p;
}

static void
place_free(struct place *p)
{
	char command[128];

	outputs_free(p->outputs);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	cr_assert(eq(int, system(command), 0));
	free(p);
}

static int64_t
append(struct place *p, int64_t offset, const void *bytes, size_t n)
{
	int64_t size = -1;

	cr_assert(eq(int, outputs_append(p->outputs, &p->name, offset, bytes, n, &size, &p->err),
			  0),
		"%s", p->err.text);
	return size;
}

static int64_t
size_of(struct place *p)
{
	int64_t size = -1;

	cr_assert(eq(int, outputs_size(p->outputs, &p->name, &size, &p->err), 0));
	return size;
}

static void
check_read(struct place *p, int64_t offset, size_t n, const uint8_t *expected, size_t len)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	cr_assert(eq(int, outputs_read(p->outputs, &p->name, offset, n, &out, &p->err), 0), "%s",
		p->err.text);
	cr_assert(eq(sz, out.len, len));
	cr_assert(eq(int, memcmp(buf_data(&out), expected, len), 0));
	buf_fini(&out);
}

static uint8_t bytes[23 * BLOCK];

static void
fill(void)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + i / 257);
}

/* In pieces of every kind of length, over the ends of blocks. */
Test(outputs, what_was_appended_is_read_from_anywhere)
{
	static const size_t steps[] = {1, 7, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK,
		8 * BLOCK, 9 * BLOCK + 1, sizeof(bytes)};
	struct place *p;

	fill();
	for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
		size_t total = steps[k] < 100 ? 3000 : steps[k] < 2000 ? 50000 : sizeof(bytes) - 5;
		p = place_new();
		cr_assert(eq(i64, size_of(p), 0));
		check_read(p, 0, 100, bytes, 0);
		for (size_t at = 0; at < total; at += steps[k]) {
			size_t n = steps[k] < total - at ? steps[k] : total - at;
			cr_assert(eq(i64, append(p, (int64_t)at, bytes + at, n),
				(int64_t)(at + n)));
		}
		check_read(p, 0, 1 << 20, bytes, total);
		check_read(p, 1, 10, bytes + 1, 10);
		check_read(p, 3, total - 5, bytes + 3, total - 5);
		check_read(p, (int64_t)total - 3, 100, bytes + total - 3, 3);
		check_read(p, (int64_t)total, 100, bytes, 0);
		check_read(p, (int64_t)total + 5, 100, bytes, 0);
		cr_assert(eq(int, outputs_sync(p->outputs, &p->name, &p->err), 0));
		place_free(p);
	}
}

Test(outputs, a_file_that_stays_open_is_there_once_something_was_appended)
{
	struct place *p = place_new();
	struct output_file *f;
	uint8_t out[100];
	int64_t size = -1;
	size_t got = 9;

	fill();
	cr_assert(eq(int, output_file_open(&f, p->outputs, &p->name, &p->err), 0));
	cr_assert(eq(i64, output_file_size(f), 0));
	cr_assert(lt(int, access(p->file, F_OK), 0));
	cr_assert(eq(int, output_file_append(f, 0, bytes, 20000, &p->err), 0));
	cr_assert(eq(int, output_file_append(f, 19000, bytes + 19000, 3000, &p->err), 0));
	cr_assert(eq(int, output_file_append(f, 30000, bytes, 10, &p->err), 0)); /* a gap */
	cr_assert(eq(i64, output_file_size(f), 22000));
	cr_assert(eq(i64, outputs_total(p->outputs), 22000));
	output_file_close(f);
	output_file_close(NULL);
	cr_assert(eq(int,
		outputs_read_to(p->outputs, &p->name, 21950, out, sizeof(out), &got, &size,
			&p->err),
		0));
	cr_assert(eq(sz, got, 50));
	cr_assert(eq(i64, size, 22000));
	cr_assert(eq(int, memcmp(out, bytes + 21950, 50), 0));
	place_free(p);
}

Test(outputs, what_a_write_that_failed_left_is_counted_and_comes_again)
{
	struct place *p = place_new();
	const rlim_t room = 3 * BLOCK;
	int64_t size = -1;

	fill();
	signal(SIGXFSZ, SIG_IGN);
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &(struct rlimit){room, RLIM_INFINITY}), 0));
	cr_assert(lt(int, outputs_append(p->outputs, &p->name, 0, bytes, 8 * BLOCK, &size, &p->err),
		0));
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}),
		0));
	cr_assert(gt(i64, size_of(p), 2 * BLOCK));
	cr_assert(eq(i64, outputs_total(p->outputs), size_of(p)));
	size = append(p, 0, bytes, 8 * BLOCK);
	cr_assert(eq(i64, size, 2 * BLOCK)); /* the block that was torn */
	cr_assert(eq(i64, append(p, size, bytes + size, 8 * BLOCK - (size_t)size), 8 * BLOCK));
	cr_assert(eq(i64, outputs_total(p->outputs), 8 * BLOCK));
	check_read(p, 0, 1 << 20, bytes, 8 * BLOCK);
	place_free(p);
}

Test(outputs, overlaps_are_ignored_and_gaps_are_not_written)
{
	struct place *p = place_new();

	fill();
	cr_assert(eq(i64, append(p, 0, bytes, 20000), 20000));
	cr_assert(eq(i64, append(p, 0, bytes + 1, 20000), 20000)); /* other bytes: no matter */
	cr_assert(eq(i64, append(p, 15000, bytes + 15000, 10000), 25000));
	cr_assert(eq(i64, append(p, 25001, bytes, 10), 25000));
	cr_assert(eq(i64, append(p, 25000, bytes, 0), 25000));
	check_read(p, 0, 1 << 20, bytes, 25000);
	place_free(p);
}

static void
damage(struct place *p, long at)
{
	uint8_t c;
	int fd = open(p->file, O_RDWR);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(sz, (size_t)pread(fd, &c, 1, at), 1));
	c ^= 1;
	cr_assert(eq(sz, (size_t)pwrite(fd, &c, 1, at), 1));
	close(fd);
}

Test(outputs, damage_is_found_wherever_it_is_and_repaired_by_cutting_there)
{
	static const struct {
		long at;
		int64_t left;
	} rows[] = {
		{5,		    0	     },
		{STORED - 1,	     0	      },
		{STORED + 100,    BLOCK    },
		{2 * STORED + 13, 2 * BLOCK},
	};

	fill();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct place *p = place_new();
		struct buf out;
		int64_t size = -1;
		append(p, 0, bytes, 2 * BLOCK + 500);
		damage(p, rows[i].at);
		buf_init(&out, 1 << 20);
		cr_assert(eq(int, outputs_read(p->outputs, &p->name, 0, 1 << 20, &out, &p->err),
			HW_ECORRUPT));
		buf_fini(&out);
		cr_assert(eq(int, outputs_repair(p->outputs, &p->name, &size, &p->err), 0));
		cr_assert(eq(i64, size, rows[i].left));
		cr_assert(eq(i64, append(p, size, bytes + size, sizeof(bytes) - (size_t)size),
			(int64_t)sizeof(bytes)));
		check_read(p, 0, 1 << 20, bytes, sizeof(bytes));
		place_free(p);
	}
}

/* As a relay that was killed while it wrote leaves it. */
Test(outputs, a_torn_last_block_comes_again)
{
	struct place *p = place_new();
	struct stat st;

	fill();
	append(p, 0, bytes, BLOCK + 900);
	cr_assert(eq(int, stat(p->file, &st), 0));
	cr_assert(eq(int, truncate(p->file, st.st_size - 1), 0));
	cr_assert(eq(i64, append(p, BLOCK + 899, bytes + BLOCK + 899, 50), BLOCK));
	cr_assert(eq(i64, append(p, BLOCK, bytes + BLOCK, 2000), BLOCK + 2000));
	check_read(p, 0, 1 << 20, bytes, BLOCK + 2000);
	cr_assert(eq(int, truncate(p->file, STORED + 10), 0));
	cr_assert(eq(i64, size_of(p), BLOCK));
	place_free(p);
}

Test(outputs, a_file_is_read_under_its_own_name_alone)
{
	struct place *p = place_new();
	struct buf out;
	char other[256];

	append(p, 0, "secret", 6);
	snprintf(other, sizeof(other), "%s/commands/" COMMAND "/" NODE ".1.out", p->dir);
	cr_assert(eq(int, rename(p->file, other), 0));
	p->name.step = 1;
	buf_init(&out, 100);
	cr_assert(eq(int, outputs_read(p->outputs, &p->name, 0, 100, &out, &p->err), HW_ECORRUPT));
	buf_fini(&out);
	place_free(p);
}

Test(outputs, they_are_there_for_the_next_process_and_gone_when_they_are_dropped)
{
	struct place *p = place_new();
	struct stat st;

	fill();
	append(p, 0, bytes, 100);
	outputs_free(p->outputs);
	open_place(p);
	check_read(p, 0, 100, bytes, 100);
	p->name.stream = OUTPUT_STREAM_STDERR;
	append(p, 0, bytes, 10);
	cr_assert(eq(int, outputs_drop(p->outputs, COMMAND, &p->err), 0), "%s", p->err.text);
	cr_assert(eq(int, outputs_drop(p->outputs, COMMAND, &p->err), 0));
	cr_assert(eq(int, stat(p->file, &st), -1));
	cr_assert(eq(i64, size_of(p), 0));
	place_free(p);
}

Test(outputs, a_full_disk_is_told_and_what_was_there_stays)
{
	struct place *p = place_new();
	char full[256];
	int64_t size = -1;

	append(p, 0, "x", 1);
	snprintf(full, sizeof(full), "%s/commands/" COMMAND "/" NODE ".2.out", p->dir);
	cr_assert(eq(int, symlink("/dev/full", full), 0));
	p->name.step = 2; /* not followed */
	cr_assert(lt(int, outputs_append(p->outputs, &p->name, 0, "x", 1, &size, &p->err), 0));
	cr_assert(eq(i64, size, -1));
	place_free(p);
}
