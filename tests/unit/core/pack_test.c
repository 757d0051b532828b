/* A backup's file: what comes out is what went in, or nothing does. */
#include "relay/core/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/file.h"
#include "proto/base/id.h"
#include "relay/core/restore.h"

#define BIG (3 * 64 * 1024 + 17) /* of several pieces */

struct bench {
	struct auditor_key key;
	int pack, from;
	struct hw_err err;
};

static int
memory(const char *name, const void *p, size_t n)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	return fd;
}

static void
bench_init(struct bench *b)
{
	static uint8_t big[BIG];
	struct box_readers to = {.n = 1};
	struct pack_out *out;

	*b = (struct bench){.err = HW_ERR_INIT};
	random_bytes(big, sizeof(big));
	cr_assert(eq(int, auditor_key_make(&b->key, &b->err), 0));
	memcpy(to.keys[0], b->key.pub, BOX_KEY_LEN);
	b->pack = memory("pack", "", 0);
	b->from = memory("from", big, sizeof(big));
	cr_assert(eq(int, pack_out_open(&out, b->pack, &to, "words", &b->err), 0));
	cr_assert(eq(int, pack_out_file(out, "empty", b->from, 0, NULL, NULL, &b->err), 0));
	cr_assert(eq(int, pack_out_file(out, "a/big", b->from, BIG, NULL, NULL, &b->err), 0));
	cr_assert(eq(int, pack_out_end(out, "format 1\n", &b->err), 0));
	pack_out_close(out);
}

static void
bench_fini(struct bench *b)
{
	fd_close(b->pack);
	fd_close(b->from);
}

/* 0 when all of it can be read, with its one big file in `to`; or the first error. */
static int
read_all(struct bench *b, int pack, int to)
{
	struct pack_in *in = NULL;
	const char *name;
	uint64_t size;
	int r;

	b->err = (struct hw_err)HW_ERR_INIT;
	lseek(pack, 0, SEEK_SET);
	if ((r = pack_in_open(&in, pack, &b->err)) < 0)
		return r;
	r = pack_in_unlock(in, &b->key, &b->err);
	while (r == 0 && (r = pack_in_next(in, &name, &size, &b->err)) > 0)
		r = pack_in_copy(in, size > 0 ? to : -1, NULL, NULL, &b->err);
	if (r == 0)
		cr_assert_str_eq(pack_in_about(in), "format 1\n");
	pack_in_close(in);
	return r;
}

static size_t
contents(uint8_t **ret, int fd)
{
	off_t n = lseek(fd, 0, SEEK_END);

	uint8_t *all = malloc((size_t)n + 1);
	cr_assert(all != NULL && pread(fd, all, (size_t)n, 0) == n);
	*ret = all;
	return (size_t)n;
}

Test(pack, what_went_in_comes_out)
{
	uint8_t *before, *after;
	struct bench b;

	bench_init(&b);
	int to = memory("to", "", 0);
	cr_assert(eq(int, read_all(&b, b.pack, to), 0), "%s", hw_err_text(&b.err));
	size_t n = contents(&before, b.from), m = contents(&after, to);
	cr_assert(n == BIG && m == BIG && memcmp(before, after, n) == 0);
	free(before);
	free(after);
	fd_close(to);
	bench_fini(&b);
}

/* One of these sizes ends all of it with a full piece, behind which an empty one is the last. */
Test(pack, what_ends_with_a_full_piece_comes_out, .timeout = 60)
{
	static const uint8_t empty[4] = {SECRET_TAG_LEN, 0, 0, 0x80};
	struct box_readers to = {.n = 1};
	bool found = false;
	struct bench b;

	bench_init(&b);
	memcpy(to.keys[0], b.key.pub, BOX_KEY_LEN);
	for (uint64_t size = 65536 - 160; size < 65536 - 120; size++) {
		struct pack_out *out;
		uint8_t *all;
		int fd = memory("full", "", 0);
		cr_assert(eq(int, pack_out_open(&out, fd, &to, NULL, &b.err), 0));
		cr_assert(eq(int, pack_out_file(out, "a", b.from, size, NULL, NULL, &b.err), 0));
		cr_assert(eq(int, pack_out_end(out, "format 1\n", &b.err), 0));
		pack_out_close(out);
		cr_assert(eq(int, read_all(&b, fd, -1), 0), "%s", hw_err_text(&b.err));
		size_t n = contents(&all, fd);
		found = found || memcmp(all + n - SECRET_TAG_LEN - 4, empty, 4) == 0;
		free(all);
		fd_close(fd);
	}
	cr_assert(found);
	bench_fini(&b);
}

/* Each length is tried near every border that there is, and any bit of the head and some of the
 * rest. */
Test(pack, whatever_is_cut_or_changed_is_found, .timeout = 60)
{
	uint8_t *all;
	struct bench b;

	bench_init(&b);
	size_t n = contents(&all, b.pack);
	for (size_t cut = 0; cut < n; cut += cut < 800 ? 1 : 977) {
		int part = memory("part", all, cut);
		cr_assert(eq(int, read_all(&b, part, -1), HW_ECORRUPT), "cut at %zu", cut);
		fd_close(part);
	}
	for (size_t at = 0; at < n; at += at < 800 ? 3 : 1009) {
		all[at] ^= 4;
		int other = memory("other", all, n);
		int r = read_all(&b, other, -1);
		cr_assert(lt(int, r, 0), "changed at %zu", at);
		fd_close(other);
		all[at] ^= 4;
	}
	free(all);
	bench_fini(&b);
}

Test(pack, bytes_behind_the_last_piece_are_nobodys)
{
	uint8_t *all;
	struct bench b;

	bench_init(&b);
	size_t n = contents(&all, b.pack);
	all[n] = 'x';
	int longer = memory("longer", all, n + 1);
	cr_assert(eq(int, read_all(&b, longer, -1), 0)); /* a stream may go on */
	fd_close(longer);
	free(all);
	bench_fini(&b);
}

Test(pack, only_its_readers_open_it)
{
	struct auditor_key other;
	struct pack_in *in;
	struct bench b;

	bench_init(&b);
	cr_assert(eq(int, auditor_key_make(&other, &b.err), 0));
	lseek(b.pack, 0, SEEK_SET);
	cr_assert(eq(int, pack_in_open(&in, b.pack, &b.err), 0));
	cr_assert(eq(int, pack_in_unlock(in, &other, &b.err), HW_EDENIED));
	cr_assert(eq(int, pack_in_unlock_with(in, "sword", &b.err), HW_EDENIED));
	cr_assert(eq(int, pack_in_unlock_with(in, "words", &b.err), 0));
	pack_in_close(in);
	bench_fini(&b);
}

/* Whoever can seal to the reader can put a file together, but not one that leaves the directory. */
Test(pack, names_that_lead_elsewhere_are_refused)
{
	static const char *const names[] = {
		"../x", "/etc/x", "a//b", "a/", "a/../../x", ".", "a\nb", "a\033[2J"};
	struct box_readers to = {.n = 1};
	struct bench b;

	bench_init(&b);
	memcpy(to.keys[0], b.key.pub, BOX_KEY_LEN);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct pack_out *out;
		int fd = memory("bad", "", 0);
		cr_assert(not(pack_name_valid(names[i])));
		cr_assert(eq(int, pack_out_open(&out, fd, &to, NULL, &b.err), 0));
		cr_assert(eq(int, pack_out_file(out, names[i], b.from, 5, NULL, NULL, &b.err), 0));
		cr_assert(eq(int, pack_out_end(out, "format 1\n", &b.err), 0));
		pack_out_close(out);
		cr_assert(eq(int, read_all(&b, fd, -1), HW_ECORRUPT), "%s", names[i]);
		fd_close(fd);
	}
	bench_fini(&b);
}

Test(pack, a_file_that_has_become_shorter_is_an_error)
{
	struct box_readers to = {.n = 1};
	struct pack_out *out;
	struct bench b;

	bench_init(&b);
	memcpy(to.keys[0], b.key.pub, BOX_KEY_LEN);
	int fd = memory("short", "", 0);
	cr_assert(eq(int, pack_out_open(&out, fd, &to, NULL, &b.err), 0));
	cr_assert(eq(int, pack_out_file(out, "x", b.from, BIG + 1, NULL, NULL, &b.err),
		HW_ECORRUPT));
	pack_out_close(out);
	fd_close(fd);
	bench_fini(&b);
}

static int
reader_of(const struct bench *b, struct pack_in **in, int fd)
{
	struct hw_err err = HW_ERR_INIT;

	lseek(fd, 0, SEEK_SET);
	return pack_in_open(in, fd, &err) < 0 ? -1 : pack_in_unlock(*in, &b->key, &err);
}

static int
make_pack(const struct bench *b, const char *const *names, size_t n, const char *about)
{
	struct box_readers to = {.n = 1};
	struct hw_err err = HW_ERR_INIT;
	struct pack_out *out;
	int fd = memory("made", "", 0);

	memcpy(to.keys[0], b->key.pub, BOX_KEY_LEN);
	cr_assert(eq(int, pack_out_open(&out, fd, &to, NULL, &err), 0));
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(int, pack_out_file(out, names[i], b->from, 5, NULL, NULL, &err), 0));
	cr_assert(eq(int, pack_out_end(out, about, &err), 0));
	pack_out_close(out);
	return fd;
}

Test(pack, one_without_files_is_of_no_relay)
{
	struct restore done;
	struct pack_in *in;
	struct bench b;

	bench_init(&b);
	int fd = make_pack(&b, NULL, 0, "format 1\n");
	cr_assert(eq(int, reader_of(&b, &in, fd), 0));
	cr_assert(eq(int, restore_check(&done, in, NULL, NULL, &b.err), HW_ECORRUPT));
	pack_in_close(in);
	fd_close(fd);
	bench_fini(&b);
}

Test(pack, what_it_says_of_itself_moves_no_cursor)
{
	static const char *const conf[] = {"relay.conf"};
	struct restore done;
	struct pack_in *in;
	struct bench b;

	bench_init(&b);
	int fd = make_pack(&b, conf, 1, "format 1\nrelay a\033[2Jb\n");
	cr_assert(eq(int, reader_of(&b, &in, fd), 0));
	cr_assert(eq(int, restore_check(&done, in, NULL, NULL, &b.err), HW_ECORRUPT));
	pack_in_close(in);
	fd_close(fd);
	bench_fini(&b);
}

/* Names that stand twice, or where another's folder is: an error, and the directory is as empty as
 * it was. */
Test(pack, files_that_get_in_each_others_way_leave_nothing)
{
	static const char *const bad[][2] = {
		{"relay.conf", "relay.conf"  },
		      {"relay.conf", "relay.conf/x"},
		      {"a/b",	      "a"		 }
	  };
	char path[] = "/tmp/hawser-pack-XXXXXX";
	struct restore done;
	struct pack_in *in;
	struct bench b;
	int dir;

	bench_init(&b);
	cr_assert(mkdtemp(path) != NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = make_pack(&b, bad[i], 2, "format 1\n");
		cr_assert(eq(int, reader_of(&b, &in, fd), 0));
		cr_assert(lt(int, restore_run(&done, in, path, NULL, NULL, &b.err), 0));
		pack_in_close(in);
		fd_close(fd);
	}
	cr_assert(eq(int, dir_open(&dir, path, false, &b.err), 0));
	cr_assert(eq(int, restore_empty(dir, path, &b.err), 0));
	fd_close(dir);
	cr_assert(eq(int, rmdir(path), 0), "restore.tmp is left");
	bench_fini(&b);
}
