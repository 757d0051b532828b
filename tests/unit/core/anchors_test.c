/* Heads that are kept outside of the relay: at which pace, and what becomes of a way that fails. */
#include "relay/core/anchors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/file.h"
#include "relay/core/workers.h"

#define ORIGIN "hawser/0123456789ab/relay"
#define EVERY  (600 * USEC_PER_SEC)

TestSuite(anchors, .timeout = 30);

struct quay {
	char dir[64], file[96];
	struct fake_clock clock;
	struct loop *loop;
	struct workers *workers;
	struct log_ctx silent;
	struct anchors *anchors;
	int helper; /* our end */
	int relay;
	struct log_head head;
	bool has_head;
	char change[512];
	int changes;
};

static bool
latest(void *arg, struct log_head *ret)
{
	struct quay *q = arg;

	*ret = q->head;
	return q->has_head;
}

static int64_t
on_change(void *arg, const char *what)
{
	struct quay *q = arg;

	snprintf(q->change, sizeof(q->change), "%s", what);
	q->changes++;
	return -1;
}

static struct quay *
quay_new(bool file, bool command)
{
	struct quay *q = calloc(1, sizeof(*q));
	struct hw_err err = HW_ERR_INIT;
	int pair[2];

	strcpy(q->dir, "/tmp/hawser-anchors-XXXXXX");
	cr_assert(ne(ptr, mkdtemp(q->dir), NULL));
	snprintf(q->file, sizeof(q->file), "%s/heads", q->dir);
	fake_clock_init(&q->clock, INT64_C(1800000000) * USEC_PER_SEC);
	q->loop = loop_new_fake(&q->clock);
	cr_assert(eq(int, workers_new(&q->workers, q->loop, 0, &err), 0));
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
	q->relay = pair[0];
	q->helper = pair[1];
	const struct anchors_config c = {
		.loop = q->loop,
		.workers = q->workers,
		.log = &q->silent,
		.file = file ? q->file : "",
		.command = command ? q->relay : -1,
		.every = EVERY,
		.patience = 40 * USEC_PER_SEC,
		.origin = ORIGIN,
		.latest = latest,
		.on_change = on_change,
		.arg = q,
	};
	cr_assert(eq(int, anchors_new(&q->anchors, &c, &err), 0));
	anchors_start(q->anchors);
	return q;
}

static void
quay_free(struct quay *q)
{
	workers_free(q->workers);
	anchors_free(q->anchors);
	loop_free(q->loop);
	fd_close(q->helper);
	fd_close(q->relay);
	unlink(q->file);
	rmdir(q->file);
	rmdir(q->dir);
	free(q);
}

static void
grow(struct quay *q)
{
	q->has_head = true;
	q->head.epoch = 1;
	q->head.size++;
	q->head.time = clock_wall(loop_clock(q->loop));
}

static struct anchors_stats
stats(struct quay *q)
{
	struct anchors_stats st;

	cr_assert(anchors_stats(q->anchors, 0, &st));
	return st;
}

static void
read_all(struct quay *q, struct buf *out)
{
	struct hw_err err = HW_ERR_INIT;

	buf_init(out, 1 << 20);
	cr_assert(eq(int, file_read(out, AT_FDCWD, q->file, &err), 0), "%s", err.text);
}

/* --- the file --------------------------------------------------------------------------------- */

Test(anchors, the_file_has_each_head_that_was_due)
{
	struct quay *q = quay_new(true, false);
	char first[LOG_HEAD_MAX], second[LOG_HEAD_MAX], both[2 * LOG_HEAD_MAX];
	struct buf all;

	loop_advance(q->loop, 2 * USEC_PER_SEC);
	cr_assert(eq(u64, stats(q).done, 0)); /* there is none yet */
	grow(q);
	log_head_format(first, &q->head, ORIGIN);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	cr_assert(eq(u64, stats(q).done, 1));
	for (int i = 0; i < 100; i++)
		grow(q);
	loop_advance(q->loop, EVERY - 10 * USEC_PER_SEC);
	cr_assert(eq(u64, stats(q).done, 1));
	log_head_format(second, &q->head, ORIGIN);
	loop_advance(q->loop, 20 * USEC_PER_SEC);
	cr_assert(eq(u64, stats(q).done, 2));
	cr_assert(eq(u64, stats(q).size, 101));
	loop_advance(q->loop, 5 * EVERY); /* it stands still */
	cr_assert(eq(u64, stats(q).done, 2));

	read_all(q, &all);
	snprintf(both, sizeof(both), "%s%s", first, second);
	cr_assert(eq(str, (char *)(uintptr_t)buf_str(&all), both));
	buf_fini(&all);
	quay_free(q);
}

Test(anchors, a_new_epoch_of_the_same_size_is_another_head)
{
	struct quay *q = quay_new(true, false);

	grow(q);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	q->head.epoch++;
	loop_advance(q->loop, 2 * EVERY);
	cr_assert(eq(u64, stats(q).done, 2));
	quay_free(q);
}

Test(anchors, the_last_head_goes_out_at_the_end_whatever_the_pace)
{
	struct quay *q = quay_new(true, false);

	grow(q);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	anchors_stop(q->anchors);
	anchors_last(q->anchors);
	cr_assert(eq(u64, stats(q).done, 1)); /* it is there */
	grow(q);
	anchors_last(q->anchors);
	cr_assert(eq(u64, stats(q).done, 2));
	quay_free(q);
}

Test(anchors, a_text_that_a_crash_cut_does_not_touch_the_next)
{
	struct quay *q = quay_new(true, false);
	char text[LOG_HEAD_MAX], want[2 * LOG_HEAD_MAX];
	struct hw_err err = HW_ERR_INIT;
	struct buf all;

	int fd = open(q->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(eq(int, fd_write_all(fd, ORIGIN "\n47", sizeof(ORIGIN "\n47") - 1, &err), 0));
	fd_close(fd);
	grow(q);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	log_head_format(text, &q->head, ORIGIN);
	snprintf(want, sizeof(want), ORIGIN "\n47\n%s", text);
	read_all(q, &all);
	cr_assert(eq(str, (char *)(uintptr_t)buf_str(&all), want));
	buf_fini(&all);
	quay_free(q);
}

Test(anchors, a_file_that_cannot_be_written_is_told_once_and_tried_again)
{
	struct quay *q = quay_new(true, false);

	cr_assert(eq(int, mkdir(q->file, 0700), 0));
	grow(q);
	loop_advance(q->loop, 600 * USEC_PER_SEC);
	cr_assert(stats(q).failing);
	cr_assert(eq(int, q->changes, 1));
	cr_assert(ne(ptr, strstr(q->change, "not anchored by the file"), NULL), "%s", q->change);
	cr_assert(eq(int, rmdir(q->file), 0));
	loop_advance(q->loop, 61 * USEC_PER_SEC);
	cr_assert(not(stats(q).failing));
	cr_assert(eq(int, q->changes, 2));
	quay_free(q);
}

Test(anchors, what_is_no_regular_file_is_refused_without_waiting)
{
	struct quay *q = quay_new(true, false);

	cr_assert(eq(int, mkfifo(q->file, 0600), 0));
	grow(q);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	cr_assert(stats(q).failing);
	cr_assert(ne(ptr, strstr(q->change, "no regular file"), NULL), "%s", q->change);
	quay_free(q);
}

/* --- the command ------------------------------------------------------------------------------ */

static ssize_t
take(struct quay *q, char text[LOG_HEAD_MAX])
{
	ssize_t n = recv(q->helper, text, LOG_HEAD_MAX - 1, MSG_DONTWAIT);

	if (n > 0)
		text[n] = '\0';
	return n;
}

static void
answer(struct quay *q, int failed, const char *why)
{
	struct anchor_said said = {.failed = failed};

	memcpy(said.why, why,
		strnlen(why, sizeof(said.why))); /* maybe without its NUL, as a liar's */
	cr_assert(eq(sz, (size_t)send(q->helper, &said, sizeof(said), 0), sizeof(said)));
	loop_settle(q->loop);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
}

Test(anchors, the_command_has_one_head_at_a_time)
{
	struct quay *q = quay_new(false, true);
	char text[LOG_HEAD_MAX], want[LOG_HEAD_MAX];

	grow(q);
	log_head_format(want, &q->head, ORIGIN);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	cr_assert(gt(i64, take(q, text), 0));
	cr_assert(eq(str, text, want));
	grow(q);
	loop_advance(q->loop, 3 * EVERY);
	cr_assert(lt(i64, take(q, text), 0)); /* not before it answers */
	cr_assert(stats(q).failing);
	cr_assert(ne(ptr, strstr(q->change, "does not answer"), NULL), "%s", q->change);
	answer(q, 0, "");
	cr_assert(not(stats(q).failing));
	cr_assert(eq(u64, stats(q).done, 1));
	loop_advance(q->loop, EVERY);
	cr_assert(gt(i64, take(q, text), 0));
	quay_free(q);
}

Test(anchors, a_command_that_fails_is_told_with_its_words)
{
	struct quay *q = quay_new(false, true);
	char text[LOG_HEAD_MAX], endless[2 * ANCHOR_WHY_MAX];

	grow(q);
	loop_advance(q->loop, 2 * USEC_PER_SEC);
	cr_assert(gt(i64, take(q, text), 0));
	memset(endless, 'x', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	answer(q, 1, endless);
	cr_assert(stats(q).failing);
	cr_assert(eq(u64, stats(q).done, 0));
	cr_assert(ne(ptr, strstr(q->change, "xxx"), NULL), "%s", q->change);
	loop_advance(q->loop, 61 * USEC_PER_SEC);
	cr_assert(gt(i64, take(q, text), 0)); /* the same head again */
	quay_free(q);
}

Test(anchors, without_its_process_the_command_is_over)
{
	struct quay *q = quay_new(false, true);

	grow(q);
	fd_close(q->helper);
	q->helper = -1;
	loop_settle(q->loop);
	loop_advance(q->loop, 3 * EVERY);
	cr_assert(stats(q).failing);
	cr_assert(eq(int, q->changes, 1));
	cr_assert(ne(ptr, strstr(q->change, "has ended"), NULL), "%s", q->change);
	quay_free(q);
}
