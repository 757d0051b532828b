/* A slot on a disk that loses its power, or refuses. Between two syncs each sector of the file may
 * have come to the disk as it was after any of the writes, whatever came of the others. */
#include "node/commands/slot.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/commands/orders.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"

#define FIRST	   "a1234567-89ab-cdef-0123-456789abcdef"
#define SECOND	   "b1234567-89ab-cdef-0123-456789abcdef"
#define SLOT_FILE  "commands/" SLOT
#define SECTOR	   512
#define SECTORS	   (SLOT_SIZE / SECTOR)
#define NAME_ROOM  24
#define IMAGES_MAX 16
#define CUTS	   40 /* at random, of each stretch between two syncs */

/* What may be found: nothing, or one log with so many steps. */
struct expected {
	bool nothing;
	char log; /* the first letter of its id; 0: none may be */
	size_t least, most;
};

struct disk {
	char path[64];
	int dir, spoilt; /* the folder that is written, and one for what a cut leaves */
	struct orders *journal;
	uint8_t (*images)[SLOT_SIZE]; /* the file since the last sync, that one's first */
	size_t n;
	struct expected expected;
	bool taping, refuses;
	int cuts, folders; /* synced */
	uint32_t dice;
};

static struct disk *the_disk; /* what is wrapped has no argument of ours */

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static size_t
roll(struct disk *d, size_t n)
{
	d->dice = d->dice * 1664525u + 1013904223u;
	return (d->dice >> 8) % n;
}

static void
take_image(struct disk *d)
{
	struct buf b;

	cr_assert_lt(d->n, IMAGES_MAX);
	buf_init(&b, SLOT_SIZE);
	cr_assert_eq(file_read(&b, d->dir, SLOT_FILE, NULL), 0);
	cr_assert_eq(b.len, SLOT_SIZE);
	memcpy(d->images[d->n++], buf_data(&b), SLOT_SIZE);
	buf_fini(&b);
}

/* --- what a cut leaves ------------------------------------------------------------------------ */

static struct msg_invocation_step
step(char name[NAME_ROOM], char log, size_t i)
{
	snprintf(name, NAME_ROOM, "%c%02zu", log, i);
	return (struct msg_invocation_step){.name = name,
		.action = "aws:runShellScript",
		.status = INVOCATION_STATUS_IN_PROGRESS,
		.status_details = "InProgress"};
}

static bool
find(struct orders_entry *e, struct arena *a, struct orders *j, char log)
{
	char name[NAME_ROOM];

	if (orders_read(e, a, j, log == 'a' ? FIRST : SECOND, NULL) < 0)
		return false;
	for (size_t i = 0; i < e->n_steps; i++) {
		cr_assert_not_null(e->steps[i].said, "step %zu of %c", i, log);
		struct msg_invocation_step s = step(name, log, i);
		cr_assert_str_eq(e->steps[i].said->name, s.name);
	}
	return true;
}

/* What is written after the cut is read, and nothing comes after it. */
static void
go_on(struct orders **j, int dir, char log, size_t n)
{
	const char *id = log == 'a' ? FIRST : SECOND;
	struct arena *a = arena_new(32 << 20);
	struct orders_entry e;
	char name[NAME_ROOM];

	struct msg_invocation_step s = step(name, log, n);
	cr_assert_eq(orders_step(*j, id, n, &s, true, NULL), 0);
	orders_close(*j);
	cr_assert_eq(orders_open(j, dir, NULL), 0);
	cr_assert(find(&e, a, *j, log));
	cr_assert_eq(e.n_steps, n + 1);
	arena_free(a);
}

static void
start_from(struct disk *d, const uint8_t image[SLOT_SIZE])
{
	const struct expected *x = &d->expected;
	struct arena *a = arena_new(32 << 20);
	struct orders_entry e;
	struct orders *j;

	d->taping = false;
	d->cuts++;
	int fd = openat(d->spoilt, SLOT_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(fd_write_all(fd, image, SLOT_SIZE, NULL), 0);
	close(fd);
	cr_assert_eq(orders_open(&j, d->spoilt, NULL), 0);
	bool first = find(&e, a, j, 'a'), second = !first && find(&e, a, j, 'b');
	if (first || second) {
		cr_assert_eq(first ? 'a' : 'b', x->log);
		cr_assert(e.n_steps >= x->least && e.n_steps <= x->most, "%zu steps of %c",
			e.n_steps, x->log);
		cr_assert(e.started || x->most == 0, "it may have run");
		go_on(&j, d->spoilt, x->log, e.n_steps);
	} else {
		cr_assert(x->nothing, "nothing of %c", x->log);
	}
	orders_close(j);
	arena_free(a);
	d->taping = true;
}

static void
cut_at_random(struct disk *d)
{
	uint8_t image[SLOT_SIZE];

	for (size_t s = 0; s < SECTORS; s++)
		memcpy(image + s * SECTOR, d->images[roll(d, d->n)] + s * SECTOR, SECTOR);
	start_from(d, image);
}

/* One sector alone has come, or has not; or the write was cut in the midst of one. */
static void
cut_each_sector(struct disk *d)
{
	const uint8_t *before = d->images[0], *after = d->images[d->n - 1];
	uint8_t image[SLOT_SIZE];

	for (size_t at = 0; at < SLOT_SIZE; at += SECTOR) {
		if (memcmp(before + at, after + at, SECTOR) == 0)
			continue;
		size_t half = at + roll(d, SECTOR);
		memcpy(image, before, SLOT_SIZE);
		memcpy(image + at, after + at, SECTOR);
		start_from(d, image);
		memcpy(image, after, SLOT_SIZE);
		memcpy(image + at, before + at, SECTOR);
		start_from(d, image);
		memcpy(image, after, half);
		memcpy(image + half, before + half, SLOT_SIZE - half);
		start_from(d, image);
	}
}

static void
cut_all(struct disk *d)
{
	cut_each_sector(d);
	for (size_t i = 0; i < d->n; i++)
		start_from(d, d->images[i]);
	for (int i = 0; i < CUTS; i++)
		cut_at_random(d);
}

ssize_t
__wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t w = __real_pwrite(fd, p, n, at);

	if (the_disk != NULL && the_disk->taping)
		take_image(the_disk);
	return w;
}

int
__wrap_fdatasync(int fd)
{
	struct disk *d = the_disk;

	if (d != NULL && d->refuses) {
		errno = EIO;
		return -1;
	}
	if (d != NULL && d->taping) {
		cut_all(d);
		memcpy(d->images[0], d->images[d->n - 1], SLOT_SIZE);
		d->n = 1;
	}
	return d != NULL ? 0 : __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
	if (the_disk == NULL)
		return __real_fsync(fd);
	the_disk->folders++;
	return 0;
}

/* --- a node's disk ---------------------------------------------------------------------------- */

static void
begin(struct disk *d, char log, size_t n)
{
	char *content = calloc(1, n + 1);
	struct msg_invocation_order o = {
		.command_id = log == 'a' ? FIRST : SECOND,
		.document_name = "AWS-RunShellScript",
		.content = content,
		.deliver_before = 1000 * USEC_PER_SEC,
	};
	struct hw_err err = HW_ERR_INIT;

	memset(content, log, n);
	cr_assert_eq(orders_begin(d->journal, &o, true, &err), 0, "%s", hw_err_text(&err));
	free(content);
}

static int
note(struct disk *d, char log, size_t i, bool lasting)
{
	char name[NAME_ROOM];
	struct msg_invocation_step s = step(name, log, i);

	return orders_step(d->journal, log == 'a' ? FIRST : SECOND, i, &s, lasting, NULL);
}

static struct disk *
disk_new(void)
{
	struct disk *d = calloc(1, sizeof(*d));

	strcpy(d->path, "/tmp/hawser-slot-test-XXXXXX");
	cr_assert_not_null(mkdtemp(d->path));
	d->dir = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(mkdirat(d->dir, "spoilt", 0700), 0);
	d->spoilt = openat(d->dir, "spoilt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(mkdirat(d->spoilt, "commands", 0700), 0);
	d->images = calloc(IMAGES_MAX, sizeof(*d->images));
	d->dice = 7;
	cr_assert_eq(orders_open(&d->journal, d->dir, NULL), 0);
	begin(d, 'a', 10);
	orders_remove(d->journal, FIRST, 0);
	the_disk = d;
	return d;
}

static void
disk_free(struct disk *d)
{
	the_disk = NULL;
	orders_close(d->journal);
	close(d->spoilt);
	folder_drop(d->dir, "spoilt");
	folder_drop(d->dir, "commands");
	close(d->dir);
	cr_assert_eq(rmdir(d->path), 0);
	free(d->images);
	free(d);
}

static bool
exists(const struct disk *d, const char *name)
{
	struct stat st;

	return fstatat(d->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
reopen(struct disk *d)
{
	orders_close(d->journal);
	cr_assert_eq(orders_open(&d->journal, d->dir, NULL), 0);
}

/* --- power ------------------------------------------------------------------------------------ */

/* Never a part of a log that was over, which would be gone on with; never less than what was said
 * to last; never two in one. */
static void
live(struct disk *d, char log, size_t content)
{
	d->expected = (struct expected){.nothing = true, .log = log};
	begin(d, log, content);
	d->expected = (struct expected){.log = log, .most = 3};
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(note(d, log, i, i == 2), 0);
	d->expected = (struct expected){.log = log, .least = 3, .most = 8};
	for (size_t i = 3; i < 8; i++)
		cr_assert_eq(note(d, log, i, i == 7), 0);
	d->expected = (struct expected){.nothing = true, .log = log, .least = 8, .most = 8};
	orders_remove(d->journal, log == 'a' ? FIRST : SECOND, 0);
}

Test(slot, wherever_the_power_goes_a_log_is_whole_up_to_its_end_or_over)
{
	static const size_t contents[] = {10, 2000, 300, 5000, 10};
	struct disk *d = disk_new();

	take_image(d);
	d->taping = true;
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
		live(d, i % 2 == 0 ? 'a' : 'b', contents[i]);
	d->taping = false;
	cr_assert_gt(d->cuts, 1000);
	disk_free(d);
}

/* Who made it, or its log, may have been killed before its name was on the disk. */
Test(slot, what_lasts_has_a_name_on_the_disk)
{
	struct disk *d = disk_new();

	begin(d, 'a', 10);
	reopen(d);
	int before = d->folders;
	cr_assert_eq(note(d, 'a', 0, true), 0);
	cr_assert_eq(d->folders, before + 1);
	cr_assert_eq(note(d, 'a', 1, true), 0);
	cr_assert_eq(d->folders, before + 1, "once is enough");
	disk_free(d);
}

/* --- a disk that refuses ---------------------------------------------------------------------- */

Test(slot, what_could_not_be_synced_is_not_there)
{
	struct disk *d = disk_new();
	struct arena *a = arena_new(32 << 20);
	struct orders_entry e;

	begin(d, 'a', 10);
	cr_assert_eq(note(d, 'a', 0, true), 0);
	d->refuses = true;
	cr_assert_eq(note(d, 'a', 1, true), HW_EIO);
	d->refuses = false;
	reopen(d);
	cr_assert(find(&e, a, d->journal, 'a'));
	cr_assert_eq(e.n_steps, 1);
	arena_free(a);
	disk_free(d);
}

Test(slot, one_that_cannot_be_synced_is_given_up)
{
	struct disk *d = disk_new();
	struct msg_invocation_order o = {
		.command_id = SECOND, .document_name = "d", .content = "{}"};

	d->refuses = true;
	cr_assert_eq(orders_begin(d->journal, &o, true, NULL), HW_EIO);
	d->refuses = false;
	cr_assert_not(exists(d, SLOT_FILE));
	begin(d, 'a', 10);
	cr_assert(exists(d, "commands/" FIRST ".log"));
	d->refuses = true;
	orders_remove(d->journal, FIRST, 0);
	d->refuses = false;
	cr_assert(exists(d, SLOT_FILE), "and made anew");

	begin(d, 'b', 10);
	d->refuses = true;
	orders_remove(d->journal, SECOND, 0);
	d->refuses = false;
	reopen(d);
	cr_assert_eq(orders_read(&(struct orders_entry){0}, NULL, d->journal, SECOND, NULL),
		HW_ENOTFOUND);
	disk_free(d);
}

/* What it says may have begun, and would be begun again. A link or a folder was made by others. */
Test(slot, one_that_cannot_be_opened_lets_nothing_begin)
{
	struct disk *d = disk_new();
	struct hw_err err = HW_ERR_INIT;
	struct slot s;

	begin(d, 'a', 10);
	cr_assert_eq(slot_open(&s, -1, &err), HW_ESYS);
	cr_assert_not_null(strstr(err.text, "cannot open commands/slot"), "%s", err.text);
	cr_assert(exists(d, SLOT_FILE));
	orders_remove(d->journal, FIRST, 0);
	cr_assert_eq(unlinkat(d->dir, SLOT_FILE, 0), 0);
	cr_assert_eq(symlinkat("ended", d->dir, SLOT_FILE), 0);
	reopen(d);
	begin(d, 'a', 10);
	cr_assert(exists(d, "commands/" FIRST ".log"));
	orders_remove(d->journal, FIRST, 0);
	cr_assert(exists(d, SLOT_FILE), "and is left alone");
	disk_free(d);
}
