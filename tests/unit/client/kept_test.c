/* Heads from files that somebody else wrote. */
#include "client/kept.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"
#include "proto/trust/log_head.h"

#define ORIGIN "hawser/0123456789ab/relay"

static struct kept kept;
static struct arena *arena;
static struct buf text;

static void
setup(void)
{
	arena = arena_new(64u << 20);
	kept_init(&kept, arena);
	buf_init(&text, 64u << 20);
}

static void
teardown(void)
{
	kept_fini(&kept);
	buf_fini(&text);
	arena_free(arena);
}

TestSuite(kept, .init = setup, .fini = teardown, .timeout = 60);

static size_t
add(uint64_t size)
{
	struct log_head head = {.epoch = 1, .size = size, .time = 1764000000000000};
	char note[LOG_HEAD_MAX];
	size_t n = log_head_format(note, &head, ORIGIN);

	buf_append(&text, note, n);
	return n;
}

static int
take(struct hw_err *err)
{
	*err = (struct hw_err)HW_ERR_INIT;
	return kept_take_notes(&kept, "anchors", (const char *)buf_data(&text), text.len, err);
}

Test(kept, all_notes_of_a_file_are_read_with_their_places)
{
	struct hw_err err;
	size_t first = add(4711);

	buf_append_str(&text, "\n\n");
	add(4712);
	add(4713);
	cr_assert(eq(int, take(&err), 0), "%s", err.text);
	cr_assert(eq(sz, kept.n, 3));
	cr_assert(eq(sz, kept.n_remarks, 0));
	cr_assert(eq(u64, kept.heads[0].head.size, 4711));
	cr_assert(eq(u64, kept.heads[0].to, first));
	cr_assert(eq(u64, kept.heads[1].from, first + 2));
	cr_assert(eq(u64, kept.heads[2].head.size, 4713));
	cr_assert_str_eq(kept.heads[2].origin, ORIGIN);
}

Test(kept, a_note_that_a_crash_cut_is_told_and_hides_no_other)
{
	struct hw_err err;

	add(1);
	size_t from = text.len;
	buf_append_str(&text, ORIGIN "\n47\n");
	size_t to = text.len;
	add(2);
	cr_assert(eq(int, take(&err), 0));
	cr_assert(eq(sz, kept.n, 2));
	cr_assert(eq(sz, kept.n_remarks, 1));
	cr_assert(eq(u64, kept.remarks[0].from, from));
	cr_assert(eq(u64, kept.remarks[0].to, to));
	cr_assert(not(kept.remarks[0].broken));
}

/* Whatever bit is flipped in one of three notes, the two others are read, and it is told. */
Test(kept, a_changed_bit_costs_its_own_note_alone)
{
	struct hw_err err;
	size_t first = add(11), second = add(12);

	add(13);
	/* The end of its last line is where the next one begins. */
	for (size_t at = first; at < first + second - 1; at++) {
		uint8_t *p = (uint8_t *)(uintptr_t)buf_data(&text) + at;
		struct arena_mark mark = arena_mark(arena);
		*p ^= 4;
		cr_assert(eq(int, take(&err), 0));
		*p ^= 4;
		bool same = kept.n == 3; /* some bits leave it a head, of another size or root */
		cr_assert(same || (kept.n == 2 && kept.n_remarks == 1), "byte %zu: %zu heads", at,
			kept.n);
		cr_assert(eq(u64, kept.heads[0].head.size, 11));
		cr_assert(eq(u64, kept.heads[kept.n - 1].head.size, 13));
		kept_fini(&kept);
		kept_init(&kept, arena);
		arena_release(arena, &mark);
	}
}

Test(kept, what_holds_no_head_is_said)
{
	struct hw_err err;

	cr_assert(eq(int, take(&err), HW_EVALIDATION));
	buf_append_str(&text, "hawser/hawser/\nhawser/\n\xe2\x80\x94 x\n");
	cr_assert(eq(int, take(&err), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(err.text, "holds no head"), NULL));
	cr_assert(eq(int, kept_read_notes(&kept, "/nonexistent/anchors", &err), HW_ENOTFOUND));
	cr_assert(lt(int, kept_read_witnesses(&kept, "/nonexistent", NULL, &err), 0));
}

/* Many beginnings and no end cost time in proportion alone. */
Test(kept, a_file_of_beginnings_is_read_once)
{
	struct hw_err err;

	for (int i = 0; i < 200000; i++)
		buf_append_str(&text, "hawser/a\n");
	add(5);
	cr_assert(eq(int, take(&err), 0));
	cr_assert(eq(sz, kept.n, 1));
	cr_assert(eq(sz, kept.n_remarks, 1));
}

Test(kept, remarks_have_an_end)
{
	struct hw_err err;

	for (int i = 0; i < 3000; i++) {
		add(5);
		buf_append_str(&text, "x\n");
	}
	cr_assert(eq(int, take(&err), 0));
	cr_assert(eq(sz, kept.n, 3000));
	cr_assert(eq(sz, kept.n_remarks, KEPT_REMARKS_MAX));
}

Test(kept, a_folder_of_rubbish_is_doubted_file_by_file)
{
	char dir[] = "/tmp/hawser-kept-XXXXXX", path[64];
	struct hw_err err = HW_ERR_INIT;
	int fd = -1;

	cr_assert(ne(ptr, mkdtemp(dir), NULL));
	cr_assert(eq(int, kept_read_witnesses(&kept, dir, NULL, &err), HW_EVALIDATION)); /* empty */
	cr_assert(eq(int, dir_open(&fd, dir, false, &err), 0));
	cr_assert(eq(int, file_write(fd, "web-01", "no", 2, 0600, &err), 0));
	cr_assert(eq(int, file_write(fd, "web-01.evidence", "no", 2, 0600, &err), 0));
	cr_assert(eq(int, kept_read_witnesses(&kept, dir, NULL, &err), 0));
	cr_assert(eq(sz, kept.n, 0));
	cr_assert(eq(sz, kept.n_remarks, 1));
	cr_assert_str_eq(kept.remarks[0].file, "web-01");
	cr_assert(not(kept.remarks[0].broken));
	unlinkat(fd, "web-01", 0);
	unlinkat(fd, "web-01.evidence", 0);
	snprintf(path, sizeof(path), "%s", dir);
	rmdir(path);
	fd_close(fd);
}
