/* Output that has no room: on the node's disk, within what all commands may keep, at the relay. */
#include <sys/mount.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/node/desk.h"

TestSuite(commands_room, .timeout = 120);

/* The node has said so; whether that was taken is another matter. */
static bool
has_ended(struct desk *d, struct desk_record *r)
{
	(void)d;
	return r->heard && r->status != INVOCATION_STATUS_IN_PROGRESS;
}

Test(commands_room, all_commands_together_keep_so_much_and_count_the_rest)
{
	struct desk *d =
		desk_new_with((struct commands_config){.output_max = 1 << 20, .spool_max = 1000},
			(struct rig_options){.grace_seconds = 60});
	struct desk_record *first = desk_script(d, "\"head -c 900 /dev/zero\"", "");
	struct desk_record *second = desk_script(d, "\"head -c 900 /dev/zero; echo x >&2\"", "");

	d->deaf = true; /* what it has said stays on the node */
	desk_tell(d);
	desk_until(d, has_ended, first);
	desk_until(d, has_ended, second);
	d->deaf = false;
	desk_cut_link(d);
	desk_new_link(d);
	desk_until_taken(d, first);
	desk_until_taken(d, second);
	desk_expect(first, "Success", "Success", 0);
	desk_expect(second, "Success", "Success", 0);
	size_t kept = first->steps[0].out[0].len + second->steps[0].out[0].len +
		second->steps[0].out[1].len;
	cr_assert_eq(kept, 1000, "%zu", kept);
	cr_assert_eq(first->steps[0].dropped[0] + second->steps[0].dropped[0] +
			second->steps[0].dropped[1],
		1802 - 1000);

	/* What the relay has taken makes room again. */
	struct desk_record *third = desk_script(d, "\"head -c 1000 /dev/zero\"", "");
	desk_run(d, third);
	cr_assert_eq(third->steps[0].out[0].len, 1000);
	desk_free(d);
}

Test(commands_room, what_an_earlier_agent_kept_counts)
{
	struct desk *d =
		desk_new_with((struct commands_config){.output_max = 1 << 20, .spool_max = 1000},
			(struct rig_options){.grace_seconds = 60});
	struct desk_record *first = desk_script(d, "\"head -c 800 /dev/zero\"", "");

	d->deaf = true;
	desk_tell(d);
	desk_until(d, has_ended, first);
	desk_kill_agent(d);
	desk_new_agent(d);
	desk_new_link(d);
	struct desk_record *second = desk_script(d, "\"head -c 800 /dev/zero\"", "");
	desk_tell(d);
	desk_until(d, has_ended, second);
	d->deaf = false;
	desk_cut_link(d);
	desk_new_link(d);
	desk_until_taken(d, first);
	desk_until_taken(d, second);
	cr_assert_eq(first->steps[0].out[0].len, 800);
	cr_assert_eq(second->steps[0].out[0].len, 200);
	cr_assert_eq(second->steps[0].dropped[0], 600);
	desk_free(d);
}

static bool
was_refused(struct desk *d, struct desk_record *r)
{
	(void)d;
	return r->updates >= 3; /* the first may have been without output */
}

/* Said again and again it would never be over. */
Test(commands_room, what_the_relay_never_takes_is_dropped_and_counted)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"head -c 3000 /dev/zero\"", "");

	d->refuse_code = HW_ELIMIT;
	desk_tell(d);
	desk_until(d, was_refused, r);
	d->refuse_code = 0;
	desk_until_taken(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(r->steps[0].out[0].len + (size_t)r->steps[0].dropped[0], 3000);
	cr_assert_gt(r->steps[0].dropped[0], 0);
	desk_free(d);
}

/* --- a full disk
 * ----------------------------------------------------------------------------------- */

/* /tmp, where the node's directory is, becomes a small one for this process and its children. */
static bool
make_small_disk(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("tmpfs", "/tmp", "tmpfs", 0, "size=4m,mode=1777") == 0;
}

static void
fill_disk(int dir)
{
	static const char zeros[4096];
	int fd = openat(dir, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	cr_assert_eq(errno, ENOSPC);
	close(fd);
}

Test(commands_room, a_full_disk_drops_output_and_fails_no_command)
{
	if (!make_small_disk())
		cr_skip_test("needs a mount namespace of its own");
	struct desk *d = desk_new_with((struct commands_config){.output_max = 64 << 20},
		(struct rig_options){.grace_seconds = 60});
	/* The second step begins, and is written down, when the disk is full. */
	struct desk_record *r = desk_order(d,
		"{\"schemaVersion\":\"2.2\",\"mainSteps\":["
		"{\"name\":\"one\",\"action\":\"aws:runShellScript\",\"inputs\":{\"runCommand\":"
		"[\"echo begun\",\"until [ -e /dev/shm/hawser-room-go ]; do sleep 0.05; done\","
		"\"head -c 9000000 /dev/zero\"]}},"
		"{\"name\":\"two\",\"action\":\"aws:runShellScript\",\"inputs\":{\"runCommand\":"
		"[\"echo two; exit 3\"]}},"
		"{\"name\":\"three\",\"action\":\"aws:runShellScript\",\"inputs\":{\"runCommand\":"
		"[\"exit 0\"]}}]}");

	unlink("/dev/shm/hawser-room-go");
	desk_tell(d);
	desk_until_out(d, r, "begun");
	fill_disk(d->dir);
	close(open("/dev/shm/hawser-room-go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	desk_until_taken(d, r);
	unlink("/dev/shm/hawser-room-go");
	desk_expect(r, "Failed", "Failed", 3);
	desk_expect_step(r, 0, "Success", 0);
	desk_expect_step(r, 1, "Failed", 3);
	desk_expect_step(r, 2, "Success", 0);
	cr_assert_eq(r->steps[0].out[0].len + (size_t)r->steps[0].dropped[0], 9000006);
	cr_assert_gt(r->steps[0].dropped[0], 0);
	unlinkat(d->dir, "filler", 0);
	desk_free(d);
}
