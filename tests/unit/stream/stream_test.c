#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_file.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "relay/stream/stream.h"
#include "tests/unit/audit/scratch.h"

struct pipe_ {
	struct scratch scratch;
	struct journal *journal;
	struct ledger *ledger;
	struct stream *stream;
	struct stream_file *file;
	char path[100];
	int troubles;
	char why[256];
};

static int64_t
on_trouble(void *arg, const char *stream, const char *why)
{
	struct pipe_ *p = arg;

	p->troubles++;
	snprintf(p->why, sizeof(p->why), "%s: %s", stream, why);
	return -1;
}

static struct stream_config
config_of(struct pipe_ *p)
{
	return (struct stream_config){
		.dir = p->scratch.dir,
		.ledger_dir = p->scratch.ledger,
		.journal_dir = p->scratch.journal,
		.journal = p->journal,
		.master = &p->scratch.master,
		.clock = &p->scratch.clock.clock,
		.on_trouble = on_trouble,
		.arg = p,
	};
}

static void
open_stream(struct pipe_ *p)
{
	const struct stream_config c = config_of(p);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, stream_file_new(&p->file, p->path, &err), 0));
	cr_assert(stream_new(&p->stream, &c, &stream_file_sink, p->file, &err) == 0, "%s",
		err.text);
}

static void
pipe_open(struct pipe_ *p)
{
	struct hw_err err = HW_ERR_INIT;

	*p = (struct pipe_){.journal = NULL};
	scratch_init(&p->scratch);
	snprintf(p->path, sizeof(p->path), "%s/out.jsonl", p->scratch.dir);
	const struct journal_config jc = scratch_journal(&p->scratch);
	cr_assert(journal_open(&p->journal, &jc, NULL, &err) == 0, "%s", err.text);
	p->ledger = ledger_new(p->journal, "relay", &p->scratch.clock.clock);
	open_stream(p);
}

static void
pipe_close(struct pipe_ *p)
{
	stream_free(p->stream);
	ledger_free(p->ledger);
	journal_close(p->journal);
	scratch_fini(&p->scratch);
}

static void
add(struct pipe_ *p, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert(eq(int,
			ledger_append(p->ledger, ENTRY_ALARM,
				&(struct msg_ledger_entry){.reason = "because"}, NULL),
			0));
}

/* The sequence numbers in a file, in order; the count. */
static size_t
sequences(long *v, size_t most, const char *path)
{
	char line[4096];
	size_t n = 0;
	FILE *f = fopen(path, "r");

	cr_assert_not_null(f);
	while (n < most && fgets(line, sizeof(line), f) != NULL) {
		const char *at = strstr(line, "\"Sequence\"");
		if (at != NULL && line[strlen(line) - 2] == '}')
			v[n++] = strtol(at + strcspn(at, "0123456789"), NULL, 10);
	}
	fclose(f);
	return n;
}

static void
expect(const char *path, long from, long to)
{
	static long v[5000];
	size_t n = sequences(v, 5000, path);

	cr_assert(eq(sz, n, (size_t)(to - from)));
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(long, v[i], from + (long)i));
}

Test(stream, sends_every_entry_once_and_goes_on_after_a_restart)
{
	struct stream_stats st;
	struct pipe_ p;

	pipe_open(&p);
	add(&p, 1000);
	cr_assert(eq(int, stream_run(p.stream, NULL), 0));
	expect(p.path, 0, 1000);
	stream_free(p.stream);
	open_stream(&p);
	add(&p, 7);
	stream_stats(p.stream, &st);
	cr_assert(eq(u64, st.lag, 7));
	cr_assert(eq(int, stream_run(p.stream, NULL), 0));
	expect(p.path, 0, 1007);
	stream_stats(p.stream, &st);
	cr_assert(eq(u64, st.lag, 0));
	cr_assert(eq(u64, st.sent, 7));
	pipe_close(&p);
}

Test(stream, follows_a_file_that_is_rotated)
{
	char old[120];
	struct pipe_ p;

	pipe_open(&p);
	snprintf(old, sizeof(old), "%s.1", p.path);
	add(&p, 3);
	cr_assert(eq(int, stream_run(p.stream, NULL), 0));
	cr_assert(eq(int, rename(p.path, old), 0));
	add(&p, 4);
	cr_assert(eq(int, stream_run(p.stream, NULL), 0));
	expect(old, 0, 3);
	expect(p.path, 3, 7);
	stream_file_reopen(p.file);
	add(&p, 1);
	cr_assert(eq(int, stream_run(p.stream, NULL), 0));
	expect(p.path, 3, 8);
	pipe_close(&p);
}

Test(stream, what_could_not_be_sent_is_sent_later_and_an_alarm_says_so_once)
{
	struct hw_err err = HW_ERR_INIT;
	struct stream_stats st;
	struct pipe_ p;

	pipe_open(&p);
	cr_assert(eq(int, mkdir(p.path, 0700), 0)); /* where the file should be */
	add(&p, 5);
	for (int i = 0; i < 5; i++) {
		cr_assert(lt(int, stream_run(p.stream, &err), 0));
		fake_clock_advance(&p.scratch.clock, 25 * USEC_PER_SEC);
	}
	cr_assert(eq(int, p.troubles, 1));
	cr_assert_not_null(strstr(p.why, "file: cannot open"), "%s", p.why);
	stream_stats(p.stream, &st);
	cr_assert(st.failing);
	cr_assert(eq(u64, st.lag, 5));
	cr_assert(eq(int, rmdir(p.path), 0));
	cr_assert(eq(int, stream_run(p.stream, &err), 0));
	expect(p.path, 0, 5);
	stream_stats(p.stream, &st);
	cr_assert(not(st.failing));
	pipe_close(&p);
}

Test(stream, half_a_line_of_before_stands_alone)
{
	struct pipe_ p;

	pipe_open(&p);
	int fd = open(p.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(eq(int, fd_write_all(fd, "{\"Sequence\": 0, \"Rel", 20, NULL), 0));
	close(fd);
	add(&p, 2);
	cr_assert(eq(int, stream_run(p.stream, NULL), 0));
	expect(p.path, 0, 2);
	pipe_close(&p);
}

Test(stream, a_cursor_that_is_no_number_is_an_error)
{
	struct hw_err err = HW_ERR_INIT;
	struct stream *s = NULL;
	struct stream_file *f;
	struct pipe_ p;
	int dir;

	pipe_open(&p);
	const struct stream_config c = config_of(&p);
	cr_assert(eq(int, dir_open(&dir, p.scratch.dir, false, NULL), 0));
	cr_assert(eq(int, file_write(dir, "stream-file.cursor", "x\n", 2, 0600, NULL), 0));
	cr_assert(eq(int, stream_file_new(&f, p.path, NULL), 0));
	cr_assert(eq(int, stream_new(&s, &c, &stream_file_sink, f, &err), HW_ECORRUPT));
	cr_assert_not_null(strstr(err.text, "stream-file.cursor"), "%s", err.text);
	fd_close(dir);
	pipe_close(&p);
}

/* --- a receiver that takes less than it is given ---------------------------------------------- */

struct lossy {
	long got[10000];
	size_t n, taken; /* taken: those that it has for good */
	int fail_send, fail_settle;
	size_t pending;
	long batch[5000];
};

static int
lossy_open(void *arg, struct hw_err *err)
{
	(void)arg;
	(void)err;
	return 0;
}

static int
lossy_put(void *arg, const struct msg_ledger_entry *e, struct buf *out, struct hw_err *err)
{
	struct lossy *l = arg;

	(void)err;
	l->batch[l->pending++] = (long)e->sequence;
	return buf_append_byte(out, 'x');
}

static int
lossy_send(void *arg, const struct buf *out, struct hw_err *err)
{
	struct lossy *l = arg;
	size_t n = l->fail_send > 0 ? l->pending / 2 : l->pending;

	cr_assert(eq(sz, out->len, l->pending));
	memcpy(l->got + l->n, l->batch, n * sizeof(long));
	l->n += n;
	l->pending = 0;
	return l->fail_send-- > 0 ? hw_err_set(err, HW_ECLOSED, "gone") : 0;
}

static int
lossy_settle(void *arg, struct hw_err *err)
{
	struct lossy *l = arg;

	if (l->fail_settle-- > 0)
		return hw_err_set(err, HW_ECLOSED, "gone");
	l->taken = l->n;
	return 0;
}

/* What it has not for good is lost with it. */
static void
lossy_close(void *arg)
{
	struct lossy *l = arg;

	l->n = l->taken;
	l->pending = 0;
}

static void
lossy_free(void *arg)
{
	(void)arg;
}

static const struct stream_sink lossy_sink = {
	.name = "lossy",
	.open = lossy_open,
	.put = lossy_put,
	.send = lossy_send,
	.settle = lossy_settle,
	.close = lossy_close,
	.interrupt = lossy_free,
	.free = lossy_free,
	.settle_entries = 500,
	.settle_usec = 5 * USEC_PER_SEC,
};

Test(stream, a_receiver_that_dies_between_gets_all_of_it_in_order)
{
	static struct lossy l;
	struct stream *s;
	struct pipe_ p;
	int failures = 0;

	pipe_open(&p);
	const struct stream_config c = config_of(&p);
	cr_assert(eq(int, stream_new(&s, &c, &lossy_sink, &l, NULL), 0));
	for (int round = 0; round < 30; round++) {
		add(&p, 100);
		l.fail_send = round % 3 == 0 ? 1 : 0;
		l.fail_settle = round % 4 == 0 ? 2 : 0;
		while (stream_run(s, NULL) < 0)
			failures++;
	}
	cr_assert(gt(int, failures, 10));
	cr_assert(eq(sz, l.taken, 3000));
	for (size_t i = 0; i < l.taken; i++)
		cr_assert(eq(long, l.got[i], (long)i));
	stream_free(s);
	pipe_close(&p);
}

/* The ledger's files begin with what the journal has, one entry of it erased. */
static void
file_and_erase(struct pipe_ *p, uint64_t victim)
{
	struct arena *a = arena_new(16 << 20);
	struct ledger_reader *r = NULL;
	struct ledger_writer *w = NULL;
	struct msg_ledger_entry *e;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;
	const struct scratch *s = &p->scratch;

	cr_assert(eq(int, journal_write(p->journal), 0));
	cr_assert(eq(int, journal_wait(p->journal, journal_written(p->journal)), 0));
	cr_assert(eq(int, ledger_reader_open(&r, s->ledger, s->journal, &s->master, &err), 0));
	cr_assert(eq(int, ledger_writer_open(&w, s->ledger, &s->master, 0, NULL, &err), 0));
	while (ledger_reader_next(r, a, &e, &bytes, &err) == 1)
		cr_assert(eq(int, ledger_writer_append(w, bytes.p, bytes.n, 0, &err), 0));
	cr_assert(eq(int, ledger_writer_sync(w, &err), 0));
	ledger_writer_close(w);
	ledger_reader_close(r);
	arena_free(a);
	cr_assert(eq(int, ledger_files_erase(s->ledger, victim, &s->master, &err), 0));
}

Test(stream, an_erased_entry_is_sent_as_what_is_left_of_it)
{
	struct hw_err err = HW_ERR_INIT;
	struct pipe_ p;

	pipe_open(&p);
	add(&p, 20);
	file_and_erase(&p, 7);
	cr_assert(stream_run(p.stream, &err) == 0, "%s", err.text);
	expect(p.path, 0, 20);
	pipe_close(&p);
}
