/* A release on its way into a slot: whole and as it was signed, or not at all. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/upgrade/unpack.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"

#define FIRST  300
#define SECOND 200

struct parcel {
	uint8_t bytes[RELEASE_HEAD_MAX + FIRST + SECOND];
	size_t n;    /* what there is of it */
	size_t each; /* bytes that are given at a time */
	struct release release;
	char path[64];
	int dir;
};

static int
give(void *arg, uint64_t offset, void *p, size_t room, size_t *n, struct hw_err *err)
{
	const struct parcel *c = arg;
	size_t left = offset < c->n ? c->n - (size_t)offset : 0;

	(void)err;
	*n = left < room ? left : room;
	*n = *n < c->each ? *n : c->each;
	memcpy(p, c->bytes + offset, *n);
	return 0;
}

static struct parcel
parcel_new(void)
{
	struct parcel c = {.each = 64, .path = "/tmp/hawser-unpack-XXXXXX"};
	struct release r = {
		.version = "0.2.0",
		.follows = "0.0.0",
		.architecture = "x86_64",
		.made = 1764194400000000,
		.files = {{"hawser-node", FIRST, {0}}, {"hawser-node-monitor", SECOND, {0}}},
		.n_files = 2
	    };
	uint8_t body[FIRST + SECOND];
	EVP_PKEY *key;
	struct buf head;

	memset(body, 'a', FIRST);
	memset(body + FIRST, 'b', SECOND);
	cr_assert(eq(int, EVP_Digest(body, FIRST, r.files[0].hash, NULL, EVP_sha256(), NULL), 1));
	cr_assert(eq(int,
		EVP_Digest(body + FIRST, SECOND, r.files[1].hash, NULL, EVP_sha256(), NULL), 1));
	buf_init(&head, RELEASE_HEAD_MAX);
	cr_assert(eq(int, key_generate_signing(&key, NULL), 0));
	cr_assert(eq(int, release_sign(&head, &r, key, NULL), 0));
	memcpy(c.bytes, buf_data(&head), head.len);
	memcpy(c.bytes + head.len, body, sizeof(body));
	c.n = head.len + sizeof(body);
	c.release = r;
	buf_fini(&head);
	key_free(key);
	cr_assert_not_null(mkdtemp(c.path));
	c.dir = open(c.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return c;
}

static void
parcel_free(struct parcel *c)
{
	char command[96];

	fd_close(c->dir);
	snprintf(command, sizeof(command), "rm -rf %s", c->path);
	cr_assert(eq(int, system(command), 0));
}

static int
unpack(struct parcel *c, struct hw_err *err)
{
	const struct unpack_source from = {give, c};
	struct release r;
	int e = unpack_head(&r, &from, err);

	return e == 0 ? unpack_files(c->dir, 'a', &r, &from, err) : e;
}

static bool
is_there(const struct parcel *c, const char *name)
{
	struct stat st;

	return fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

Test(unpack, puts_all_files_into_the_slot_to_be_run)
{
	struct parcel c = parcel_new();
	struct stat st;

	cr_assert(eq(int, unpack(&c, NULL), 0));
	cr_assert(eq(int, fstatat(c.dir, "a/hawser-node", &st, 0), 0));
	cr_assert(eq(int, st.st_mode & 0777, 0755));
	cr_assert(eq(i64, st.st_size, FIRST));
	cr_assert(is_there(&c, "a/hawser-node-monitor"));
	cr_assert(not(is_there(&c, "a.new")));
	parcel_free(&c);
}

/* Also over what was there, and over what an unpacking that was killed has left. */
Test(unpack, leaves_nothing_of_what_was_in_the_slot)
{
	struct parcel c = parcel_new();

	mkdirat(c.dir, "a", 0755);
	mkdirat(c.dir, "a.new", 0700);
	fd_close(openat(c.dir, "a/old", O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	fd_close(openat(c.dir, "a.new/hawser-node", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_assert(eq(int, unpack(&c, NULL), 0));
	cr_assert(not(is_there(&c, "a/old")));
	cr_assert(is_there(&c, "a/hawser-node"));
	cr_assert(not(is_there(&c, "a.new")));
	parcel_free(&c);
}

Test(unpack, of_less_than_all_leaves_no_slot)
{
	struct parcel c = parcel_new();
	struct hw_err err = HW_ERR_INIT;
	size_t all = c.n;

	for (c.n = 0; c.n < all; c.n += 7) {
		cr_assert(eq(int, unpack(&c, &err), HW_EVALIDATION), "of %zu bytes", c.n);
		cr_assert(strstr(hw_err_text(&err), "cut off") != NULL, "%s", hw_err_text(&err));
		cr_assert(not(is_there(&c, "a")));
		cr_assert(not(is_there(&c, "a.new")));
	}
	parcel_free(&c);
}

Test(unpack, of_a_changed_byte_leaves_no_slot)
{
	struct parcel c = parcel_new();
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < c.n; i += 5) {
		c.bytes[i] ^= 4;
		cr_assert(eq(int, unpack(&c, &err), HW_EVALIDATION), "byte %zu", i);
		cr_assert(not(is_there(&c, "a")), "byte %zu", i);
		c.bytes[i] ^= 4;
	}
	parcel_free(&c);
}

/* The folder of a slot may not lead elsewhere. */
Test(unpack, follows_no_link)
{
	struct parcel c = parcel_new();

	cr_assert(eq(int, symlinkat("/tmp", c.dir, "a.new"), 0));
	cr_assert(ne(int, unpack(&c, NULL), 0));
	cr_assert(is_there(&c, "a.new"));
	parcel_free(&c);
}
