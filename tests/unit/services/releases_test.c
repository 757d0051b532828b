/* Releases that the relay keeps: what comes in pieces, what is none, and which one a node gets. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sys/file.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/enc.h"
#include "proto/trust/cert.h"
#include "proto/trust/release.h"
#include "relay/core/releases.h"
#include "tests/unit/services/desk.h"

struct sample {
	uint8_t bytes[4096];
	size_t n;
	char id[RELEASES_ID_LEN + 1];
};

static void
hash_of(uint8_t out[32], const void *p, size_t n)
{
	cr_assert(eq(int, EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL), 1));
}

static struct sample
sample_new(const char *version, const char *architecture)
{
	struct release r = {.follows = "0.0.0", .made = 1764194400000000, .n_files = 1};
	struct sample s = {.n = 0};
	EVP_PKEY *key;
	struct buf head;
	uint8_t digest[32];

	strcpy(r.version, version);
	strcpy(r.architecture, architecture);
	strcpy(r.files[0].name, "hawser-node");
	r.files[0].size = 1000;
	buf_init(&head, RELEASE_HEAD_MAX);
	cr_assert(eq(int, key_generate_signing(&key, NULL), 0));
	cr_assert(eq(int, release_sign(&head, &r, key, NULL), 0));
	memcpy(s.bytes, buf_data(&head), head.len);
	memset(s.bytes + head.len, 'x', 1000);
	s.n = head.len + 1000;
	hash_of(digest, s.bytes, s.n);
	hex_encode(s.id, digest, sizeof(digest));
	buf_fini(&head);
	key_free(key);
	return s;
}

static int
begin(struct desk *d, const struct sample *s, struct msg_put_agent_release_reply *rep)
{
	struct msg_put_agent_release_request req = {.release = s->id, .size = (int64_t)s->n};

	return CALL(d, put_agent_release, &req, rep);
}

static int
upload(struct desk *d, const struct sample *s, size_t from, size_t to,
	struct msg_put_agent_release_reply *rep)
{
	struct msg_upload_agent_release_request req = {
		.release = s->id,
		.size = (int64_t)s->n,
		.offset = (int64_t)from,
		.data = {s->bytes + from, to - from}
	    };

	return CALL(d, upload_agent_release, &req, rep);
}

static void
put(struct desk *d, const struct sample *s)
{
	struct msg_put_agent_release_reply rep;

	CHECK_OK(d, begin(d, s, &rep));
	CHECK_OK(d, upload(d, s, 0, s->n, &rep));
	cr_assert(rep.complete);
}

static size_t
count(struct desk *d)
{
	struct msg_empty none = {0};
	struct msg_list_agent_releases_reply all;

	CHECK_OK(d, CALL(d, list_agent_releases, &none, &all));
	return all.releases.n;
}

static int
fetch(struct desk *d, const char *id, const char *version, const char *architecture, int64_t offset,
	struct msg_get_agent_release_reply *rep)
{
	struct msg_get_agent_release_request req = {
		.release = id, .version = version, .architecture = architecture, .offset = offset};

	return CALL(d, get_agent_release, &req, rep);
}

Test(releases, come_in_pieces_and_go_on_where_they_were)
{
	struct desk *d = desk_new(false);
	struct sample s = sample_new("0.2.0", "x86_64");
	struct msg_put_agent_release_reply rep;

	CHECK_OK(d, begin(d, &s, &rep));
	cr_assert(eq(i64, rep.offset, 0));
	CHECK_OK(d, upload(d, &s, 0, 100, &rep));
	cr_assert(eq(i64, rep.offset, 100));
	/* One that came before, and one that leaves a hole: nothing changes. */
	CHECK_OK(d, upload(d, &s, 50, 150, &rep));
	cr_assert(eq(i64, rep.offset, 100));
	CHECK_OK(d, upload(d, &s, 200, 300, &rep));
	cr_assert(eq(i64, rep.offset, 100));
	CHECK_OK(d, begin(d, &s, &rep));
	cr_assert(eq(i64, rep.offset, 100));
	cr_assert(not(rep.complete));
	cr_assert(eq(sz, count(d), 0));
	CHECK_OK(d, upload(d, &s, 100, s.n, &rep));
	cr_assert(rep.complete);
	cr_assert(eq(sz, count(d), 1));
	CHECK_OK(d, begin(d, &s, &rep));
	cr_assert(rep.complete);
	desk_free(d);
}

Test(releases, that_are_not_what_their_name_says_are_not_kept)
{
	struct desk *d = desk_new(false);
	struct sample s = sample_new("0.2.0", "x86_64");
	struct msg_put_agent_release_reply rep;
	uint8_t digest[32];

	CHECK_OK(d, begin(d, &s, &rep));
	s.bytes[s.n - 1] ^= 1;
	CHECK_FAILS(d, upload(d, &s, 0, s.n, &rep), HW_ECORRUPT, "send it again");
	cr_assert(eq(sz, count(d), 0));
	CHECK_OK(d, begin(d, &s, &rep));
	cr_assert(eq(i64, rep.offset, 0));
	/* A file that is what its name says, and no release. */
	s.bytes[0] = 'X';
	hash_of(digest, s.bytes, s.n);
	hex_encode(s.id, digest, sizeof(digest));
	CHECK_OK(d, begin(d, &s, &rep));
	CHECK_FAILS(d, upload(d, &s, 0, s.n, &rep), HW_EVALIDATION, "no release");
	cr_assert(eq(sz, count(d), 0));
	desk_free(d);
}

Test(releases, have_names_that_are_no_paths_and_sizes_that_are_bounded)
{
	struct desk *d = desk_new(false);
	struct sample s = sample_new("0.2.0", "x86_64");
	struct msg_put_agent_release_reply rep;
	struct msg_get_agent_release_reply got;

	memcpy(s.id, "../../../../../", 15);
	CHECK_FAILS(d, begin(d, &s, &rep), HW_EVALIDATION, "64 hex digits");
	CHECK_FAILS(d, fetch(d, s.id, NULL, "x86_64", 0, &got), HW_EVALIDATION, "64 hex digits");
	s = sample_new("0.2.0", "x86_64");
	s.n = (size_t)RELEASE_BYTES_MAX + 1;
	CHECK_FAILS(d, begin(d, &s, &rep), HW_EVALIDATION, "up to");
	s.n = 100;
	CHECK_FAILS(d, begin(d, &s, &rep), HW_EVALIDATION, "up to");
	desk_free(d);
}

/* That it begins is an entry of the ledger, and who sends bytes does not go round that. */
Test(releases, begin_before_bytes_of_them_come)
{
	struct desk *d = desk_new(false);
	struct sample s = sample_new("0.2.0", "x86_64");
	struct msg_put_agent_release_reply rep;

	CHECK_FAILS(d, upload(d, &s, 0, s.n, &rep), HW_ENOTFOUND, "PutAgentRelease");
	cr_assert(eq(sz, count(d), 0));
	CHECK_OK(d, begin(d, &s, &rep));
	CHECK_OK(d, upload(d, &s, 0, s.n, &rep));
	cr_assert(rep.complete);
	desk_free(d);
}

/* What is there may be more than who goes on says that it is to be. */
Test(releases, grow_no_further_than_was_said)
{
	struct desk *d = desk_new(false);
	struct sample s = sample_new("0.2.0", "x86_64");
	struct msg_put_agent_release_reply rep;

	CHECK_OK(d, begin(d, &s, &rep));
	CHECK_OK(d, upload(d, &s, 0, 1000, &rep));
	s.n = 200;
	CHECK_FAILS(d, upload(d, &s, 1000, 1100, &rep), HW_EVALIDATION, "go beyond");
	CHECK_OK(d, begin(d, &s, &rep));
	cr_assert(eq(i64, rep.offset, 1000));
	desk_free(d);
}

Test(releases, are_kept_up_to_a_number)
{
	struct desk *d = desk_new(false);
	struct msg_put_agent_release_reply rep;
	struct msg_delete_agent_release_request rm;
	struct msg_empty none;
	struct sample s;

	for (int i = 0; i < RELEASES_MAX; i++) {
		s = sample_new("0.2.0", "x86_64");
		put(d, &s);
	}
	s = sample_new("0.2.0", "x86_64");
	CHECK_FAILS(d, begin(d, &s, &rep), HW_ELIMIT, "release rm");
	cr_assert(eq(sz, count(d), RELEASES_MAX));
	struct msg_empty all = {0};
	struct msg_list_agent_releases_reply list;
	CHECK_OK(d, CALL(d, list_agent_releases, &all, &list));
	rm.release = list.releases.v[0].release;
	CHECK_OK(d, CALL(d, delete_agent_release, &rm, &none));
	CHECK_FAILS(d, CALL(d, delete_agent_release, &rm, &none), HW_ENOTFOUND, "has no release");
	CHECK_OK(d, begin(d, &s, &rep));
	desk_free(d);
}

Test(releases, newest_that_fits_is_given_when_none_is_named)
{
	struct desk *d = desk_new(false);
	struct sample old = sample_new("0.2.0", "x86_64"), young = sample_new("0.10.0", "x86_64");
	struct sample other = sample_new("0.11.0", "aarch64");
	struct msg_get_agent_release_reply got;

	put(d, &young);
	put(d, &old);
	put(d, &other);
	CHECK_OK(d, fetch(d, NULL, NULL, "x86_64", 0, &got));
	cr_assert_str_eq(got.release, young.id);
	cr_assert(eq(i64, got.size, (int64_t)young.n));
	cr_assert(eq(sz, got.data.n, young.n));
	cr_assert(eq(int, memcmp(got.data.p, young.bytes, young.n), 0));
	CHECK_OK(d, fetch(d, NULL, "0.2.0", "x86_64", 500, &got));
	cr_assert_str_eq(got.release, old.id);
	cr_assert(eq(sz, got.data.n, old.n - 500));
	CHECK_OK(d, fetch(d, old.id, NULL, "x86_64", (int64_t)old.n, &got));
	cr_assert(eq(sz, got.data.n, 0));
	CHECK_FAILS(d, fetch(d, NULL, "0.3.0", "x86_64", 0, &got), HW_ENOTFOUND,
		"no release 0.3.0");
	CHECK_FAILS(d, fetch(d, NULL, NULL, "riscv64", 0, &got), HW_ENOTFOUND, "for riscv64");
	desk_free(d);
}

/* --- two who send the same ------------------------------------------------------------------- */

struct second {
	int dir, result;
	const struct sample *sample;
	uint64_t have;
	bool whole;
	atomic_bool done;
};

/* It has looked at what is there, and its last bytes are not the right ones. */
static void *
send_wrong_end(void *arg)
{
	struct second *w = arg;
	const struct sample *s = w->sample;

	w->result = releases_append(w->dir, s->id, s->n, s->n - 10, "yyyyyyyyyy", 10, &w->have,
		&w->whole, NULL);
	atomic_store(&w->done, true);
	return NULL;
}

static bool
somebody_waits_for_a_lock(void)
{
	char line[256];
	bool waits = false;
	FILE *f = fopen("/proc/locks", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		waits = waits || strstr(line, "->") != NULL;
	if (f != NULL)
		fclose(f);
	return waits;
}

Test(releases, sent_by_two_at_once_are_taken_in_turn)
{
	struct sample s = sample_new("0.2.0", "x86_64");
	char path[] = "/tmp/hawser-releases-XXXXXX", part[RELEASES_ID_LEN + 8];
	struct second w = {.sample = &s};
	uint8_t is[sizeof(s.bytes)];
	pthread_t thread;

	cr_assert(ne(ptr, mkdtemp(path), NULL));
	cr_assert(eq(int, releases_open(&w.dir, path, NULL), 0));
	cr_assert(eq(int, releases_begin(w.dir, s.id, s.n, &w.have, &w.whole, NULL), 0));
	cr_assert(eq(int,
		releases_append(w.dir, s.id, s.n, 0, s.bytes, s.n - 10, &w.have, &w.whole, NULL),
		0));
	snprintf(part, sizeof(part), "%s.part", s.id);
	int fd = openat(w.dir, part, O_RDWR | O_CLOEXEC);
	cr_assert(eq(int, flock(fd, LOCK_EX), 0));
	cr_assert(eq(int, pthread_create(&thread, NULL, send_wrong_end, &w), 0));
	while (!atomic_load(&w.done) && !somebody_waits_for_a_lock())
		sched_yield();
	cr_assert(eq(sz, (size_t)pwrite(fd, s.bytes + s.n - 10, 10, (off_t)s.n - 10), 10));
	cr_assert(eq(int, renameat(w.dir, part, w.dir, s.id), 0));
	close(fd);
	pthread_join(thread, NULL);
	cr_assert(eq(int, w.result, 0));
	cr_assert(w.whole);
	fd = openat(w.dir, s.id, O_RDONLY | O_CLOEXEC);
	cr_assert(eq(sz, (size_t)read(fd, is, sizeof(is)), s.n));
	cr_assert(eq(int, memcmp(is, s.bytes, s.n), 0));
	close(fd);
	cr_assert(eq(int, releases_remove(w.dir, s.id, NULL), 0));
	close(w.dir);
}

static void *
remove_it(void *arg)
{
	struct second *w = arg;

	w->result = releases_remove(w->dir, w->sample->id, NULL);
	atomic_store(&w->done, true);
	return NULL;
}

/* Else the name of what is about to be put in its place could be another's by then. */
Test(releases, are_not_removed_while_their_last_bytes_are_looked_at)
{
	struct sample s = sample_new("0.2.0", "x86_64");
	char path[] = "/tmp/hawser-releases-XXXXXX", part[RELEASES_ID_LEN + 8];
	struct second w = {.sample = &s};
	pthread_t thread;

	cr_assert(ne(ptr, mkdtemp(path), NULL));
	cr_assert(eq(int, releases_open(&w.dir, path, NULL), 0));
	cr_assert(eq(int, releases_begin(w.dir, s.id, s.n, &w.have, &w.whole, NULL), 0));
	snprintf(part, sizeof(part), "%s.part", s.id);
	int fd = openat(w.dir, part, O_RDWR | O_CLOEXEC);
	cr_assert(eq(int, flock(fd, LOCK_EX), 0));
	cr_assert(eq(int, pthread_create(&thread, NULL, remove_it, &w), 0));
	while (!atomic_load(&w.done) && !somebody_waits_for_a_lock())
		sched_yield();
	cr_assert(eq(int, renameat(w.dir, part, w.dir, s.id), 0));
	close(fd);
	pthread_join(thread, NULL);
	cr_assert(eq(int, w.result, 0));
	cr_assert(lt(int, faccessat(w.dir, part, F_OK, 0), 0));
	cr_assert(lt(int, faccessat(w.dir, s.id, F_OK, 0), 0));
	close(w.dir);
}

/* --- another who is faster, at each moment ---------------------------------------------------- */

int __real_fstatat(int dir, const char *name, struct stat *st, int flags);
int __wrap_fstatat(int dir, const char *name, struct stat *st, int flags);
int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

/* Sends all that is missing, before the call of that number. */
static struct {
	const struct sample *sample;
	int dir, moment; /* -1: it is over */
} faster = {.moment = -1};

static void
send_the_rest(void)
{
	const struct sample *s = faster.sample;
	char part[RELEASES_ID_LEN + 8];

	snprintf(part, sizeof(part), "%s.part", s->id);
	int fd = openat(faster.dir, part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(eq(sz, (size_t)pwrite(fd, s->bytes, s->n, 0), s->n));
	close(fd);
	cr_assert(eq(int, renameat(faster.dir, part, faster.dir, s->id), 0));
}

static void
pass_moment(void)
{
	if (faster.moment >= 0 && faster.moment-- == 0)
		send_the_rest();
}

int
__wrap_fstatat(int dir, const char *name, struct stat *st, int flags)
{
	pass_moment();
	return __real_fstatat(dir, name, st, flags);
}

int
__wrap_openat(int dir, const char *name, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	pass_moment();
	return __real_openat(dir, name, flags, mode);
}

/* This is the last moment: who has the lock cannot be overtaken. */
int
__wrap_flock(int fd, int how)
{
	if (faster.moment > 0)
		faster.moment = 0;
	pass_moment();
	return __real_flock(fd, how);
}

struct shelf {
	char path[64];
	int dir;
	uint64_t have;
	bool whole;
};

/* Empty, or with what there is of the sample before its last bytes. */
static struct shelf
shelf_with(const struct sample *s, size_t n)
{
	struct shelf f = {.path = "/tmp/hawser-releases-XXXXXX"};

	cr_assert(ne(ptr, mkdtemp(f.path), NULL));
	cr_assert(eq(int, releases_open(&f.dir, f.path, NULL), 0));
	if (n == 0)
		return f;
	cr_assert(eq(int, releases_begin(f.dir, s->id, s->n, &f.have, &f.whole, NULL), 0));
	cr_assert(eq(int,
		releases_append(f.dir, s->id, s->n, 0, s->bytes, n, &f.have, &f.whole, NULL), 0));
	return f;
}

static void
shelf_remove(struct shelf *f, const struct sample *s)
{
	char releases[80];

	cr_assert(eq(int, releases_remove(f->dir, s->id, NULL), 0));
	close(f->dir);
	snprintf(releases, sizeof(releases), "%s/releases", f->path);
	cr_assert(eq(int, rmdir(releases), 0), "something is left in it");
	cr_assert(eq(int, rmdir(f->path), 0));
}

/* The whole is there, as it was sent, and nothing else. */
static void
holds_only_the_whole(const struct shelf *f, const struct sample *s, int moment)
{
	char part[RELEASES_ID_LEN + 8];
	uint8_t is[sizeof(s->bytes)];

	snprintf(part, sizeof(part), "%s.part", s->id);
	cr_assert(lt(int, faccessat(f->dir, part, F_OK, 0), 0), "at moment %d", moment);
	int fd = openat(f->dir, s->id, O_RDONLY | O_CLOEXEC);
	cr_assert(eq(sz, (size_t)read(fd, is, sizeof(is)), s->n));
	cr_assert(eq(int, memcmp(is, s->bytes, s->n), 0), "at moment %d", moment);
	close(fd);
}

static void
let_another_be_faster(const struct shelf *f, const struct sample *s, int moment)
{
	faster.sample = s;
	faster.dir = f->dir;
	faster.moment = moment;
}

/* False: the call was over before the moment came. */
static bool
another_was_faster(void)
{
	bool was = faster.moment < 0;

	faster.moment = -1;
	return was;
}

static bool
begin_at(int moment, const struct sample *s, size_t n)
{
	struct shelf f = shelf_with(s, n);
	struct hw_err err = HW_ERR_INIT;

	let_another_be_faster(&f, s, moment);
	int r = releases_begin(f.dir, s->id, s->n, &f.have, &f.whole, &err);
	bool was = another_was_faster();
	cr_assert(eq(int, r, 0), "at moment %d: %s", moment, err.text);
	if (was)
		holds_only_the_whole(&f, s, moment);
	shelf_remove(&f, s);
	return was;
}

Test(releases, begun_while_another_sends_all_of_them_leave_no_part)
{
	struct sample s = sample_new("0.2.0", "x86_64");
	int moment = 0;

	while (begin_at(moment, &s, 0))
		moment++;
	cr_assert(ge(int, moment, 4)); /* two looks, counting, making the file */
	moment = 0;
	while (begin_at(moment, &s, s.n - 10))
		moment++;
	cr_assert(ge(int, moment, 2));
}

static bool
append_at(int moment, const struct sample *s)
{
	struct shelf f = shelf_with(s, s->n - 10);
	struct hw_err err = HW_ERR_INIT;

	let_another_be_faster(&f, s, moment);
	int r = releases_append(f.dir, s->id, s->n, s->n - 10, "yyyyyyyyyy", 10, &f.have, &f.whole,
		&err);
	bool was = another_was_faster();
	cr_assert(eq(int, r, 0), "at moment %d: %s", moment, err.text);
	cr_assert(f.whole, "at moment %d", moment);
	holds_only_the_whole(&f, s, moment);
	shelf_remove(&f, s);
	return was;
}

/* Nobody who has the lock is overtaken, so that the moments after that are none. */
Test(releases, are_whole_to_who_sends_the_last_bytes_too_late)
{
	struct sample s = sample_new("0.2.0", "x86_64");

	for (int moment = 0; moment < 8; moment++)
		cr_assert(append_at(moment, &s), "at moment %d", moment);
}

/* What a relay that was killed there leaves. */
Test(releases, that_are_whole_lose_a_part_beside_them_when_they_are_begun_again)
{
	struct sample s = sample_new("0.2.0", "x86_64");
	struct shelf f = shelf_with(&s, s.n);
	char part[RELEASES_ID_LEN + 8];

	cr_assert(f.whole);
	snprintf(part, sizeof(part), "%s.part", s.id);
	close(openat(f.dir, part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_assert(eq(int, releases_begin(f.dir, s.id, s.n, &f.have, &f.whole, NULL), 0));
	cr_assert(f.whole);
	cr_assert(eq(u64, f.have, s.n));
	holds_only_the_whole(&f, &s, 0);
	shelf_remove(&f, &s);
}
