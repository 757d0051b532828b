#include "client/outlet.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/loop.h"

struct writer {
	struct loop *loop;
	struct outlet *outlet;
	size_t written;
	int error;
	size_t want;
};

static void
on_written(void *arg, int stream, size_t n)
{
	struct writer *w = arg;

	cr_assert(eq(int, stream, 1));
	w->written += n;
	if (w->written == w->want)
		loop_stop(w->loop);
}

static void
on_failed(void *arg, int stream, int error)
{
	struct writer *w = arg;

	(void)stream;
	w->error = error;
	loop_stop(w->loop);
}

static const struct outlet_events events = {on_written, on_failed};

static void
begin(struct writer *w, int fd)
{
	*w = (struct writer){0};
	cr_assert(eq(int, loop_new(&w->loop, NULL), 0));
	cr_assert(eq(int, outlet_new(&w->outlet, w->loop, fd, 1, &events, w, NULL), 0));
}

static void
end(struct writer *w)
{
	outlet_free(w->outlet);
	loop_free(w->loop);
}

Test(outlet, a_reader_that_sleeps_makes_nobody_wait)
{
	enum { SIZE = 1 << 20 };
	uint8_t *sent = malloc(SIZE), *got = malloc(SIZE);
	struct writer w;
	size_t n = 0;
	int ends[2];

	for (size_t i = 0; i < SIZE; i++)
		sent[i] = (uint8_t)(i * 31 >> 3);
	cr_assert(eq(int, pipe(ends), 0));
	begin(&w, ends[1]);
	outlet_write(w.outlet, sent, SIZE); /* returns, although nobody reads */
	cr_assert(gt(sz, w.written, 0));
	cr_assert(lt(sz, w.written, SIZE));
	cr_assert(not(outlet_is_empty(w.outlet)));
	cr_assert(zero(int, fcntl(ends[1], F_GETFL) & O_NONBLOCK)); /* the file is not ours alone */
	while (n < SIZE) {
		n += (size_t)read(ends[0], got + n, SIZE - n);
		w.want = w.written < SIZE ? w.written + 1 : 0;
		while (!outlet_is_empty(w.outlet) && w.written < n + 4096 && w.written < SIZE) {
			size_t before = w.written;
			struct loop_timer stop = {.fn = (void (*)(void *))loop_stop, .arg = w.loop};
			loop_timer_start(w.loop, &stop, 1000);
			loop_run(w.loop, NULL);
			loop_timer_stop(w.loop, &stop);
			if (w.written == before)
				break;
		}
	}
	cr_assert(eq(sz, w.written, SIZE));
	cr_assert(zero(int, memcmp(sent, got, SIZE)));
	end(&w);
	close(ends[0]);
	close(ends[1]);
	free(sent);
	free(got);
}

Test(outlet, a_reader_that_left_is_told)
{
	struct writer w;
	int ends[2];

	cr_assert(eq(int, pipe(ends), 0));
	begin(&w, ends[1]);
	close(ends[0]);
	outlet_write(w.outlet, "x", 1);
	cr_assert(eq(int, w.error, EPIPE));
	cr_assert(outlet_is_empty(w.outlet));
	w.error = 0;
	outlet_write(w.outlet, "y", 1); /* thrown away, without another word */
	cr_assert(eq(int, w.error, 0));
	end(&w);
	close(ends[1]);
}

Test(outlet, a_file_keeps_its_offset)
{
	char name[] = "/tmp/hawser-outlet-XXXXXX", text[16] = "";
	int fd = mkstemp(name);
	struct writer w;

	cr_assert(eq(int, (int)write(fd, "ab", 2), 2));
	begin(&w, fd);
	outlet_write(w.outlet, "cd", 2);
	cr_assert(eq(sz, w.written, 2));
	cr_assert(eq(int, (int)pread(fd, text, sizeof(text), 0), 4));
	cr_assert_str_eq(text, "abcd");
	end(&w);
	close(fd);
	unlink(name);
}

Test(outlet, a_corked_one_keeps_all_and_its_order)
{
	struct writer w;
	char got[16] = "";
	int ends[2];

	cr_assert(eq(int, pipe2(ends, O_NONBLOCK), 0));
	begin(&w, ends[1]);
	outlet_write(w.outlet, "one", 3);
	outlet_cork(w.outlet);
	outlet_write(w.outlet, "two", 3);
	outlet_write(w.outlet, "three", 5);
	cr_assert(not(outlet_is_empty(w.outlet)));
	cr_assert(eq(sz, (size_t)read(ends[0], got, sizeof(got) - 1), 3));
	outlet_uncork(w.outlet);
	w.want = 11;
	cr_assert(eq(int, loop_run(w.loop, NULL), 0));
	cr_assert(eq(sz, (size_t)read(ends[0], got, sizeof(got) - 1), 8));
	cr_assert_str_eq(got, "twothree");
	cr_assert(outlet_is_empty(w.outlet));
	end(&w);
	close(ends[0]);
	close(ends[1]);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void
fill(struct writer *w, int fd)
{
	static const uint8_t much[1 << 20];

	begin(w, fd);
	outlet_write(w->outlet, much, sizeof(much));
	cr_assert(not(outlet_is_empty(w->outlet)));
}

/* Whether zeros come, n bytes of 'y' after them, and then the end. */
static int
read_to_end(int fd, size_t n)
{
	uint8_t piece[4096];
	size_t got = 0;
	ssize_t some;

	while ((some = read(fd, piece, sizeof(piece))) > 0) {
		for (ssize_t i = 0; i < some; i++) {
			if (piece[i] != 'y' && (piece[i] != 0 || got > 0))
				return 1;
			got += piece[i] == 'y';
		}
	}
	return got == n ? 0 : 2;
}

Test(outlet, its_last_bytes_go_out_instead_of_what_is_kept)
{
	enum { LAST = 300000 };
	static uint8_t last[LAST];
	struct writer w;
	int ends[2], go[2], status;

	memset(last, 'y', LAST);
	cr_assert(eq(int, pipe(ends), 0));
	cr_assert(eq(int, pipe(go), 0));
	pid_t reader = fork();
	if (reader == 0) {
		char byte;
		close(ends[1]);
		_exit(read(go[0], &byte, 1) == 1 ? read_to_end(ends[0], LAST) : 3);
	}
	fill(&w, ends[1]);
	size_t before = w.written;
	cr_assert(eq(sz, (size_t)write(go[1], "", 1), 1));
	outlet_end(w.outlet, last, LAST, 60 * USEC_PER_SEC);
	cr_assert(outlet_is_empty(w.outlet));
	cr_assert(eq(sz, w.written, before));
	outlet_write(w.outlet, "more", 4); /* is thrown away */
	end(&w);
	close(ends[1]);
	cr_assert(eq(int, waitpid(reader, &status, 0), reader));
	cr_assert(eq(int, status, 0));
	close(ends[0]);
	close(go[0]);
	close(go[1]);
}

Test(outlet, its_last_bytes_do_not_wait_for_ever)
{
	struct writer w;
	int ends[2];

	cr_assert(eq(int, pipe(ends), 0));
	fill(&w, ends[1]);
	outlet_end(w.outlet, "y", 1, USEC_PER_MSEC);
	cr_assert(outlet_is_empty(w.outlet));
	cr_assert(eq(int, w.error, 0));
	end(&w);
	close(ends[0]);
	close(ends[1]);
}

Test(outlet, its_last_bytes_find_nobody)
{
	struct writer w;
	int ends[2];

	cr_assert(eq(int, pipe(ends), 0));
	fill(&w, ends[1]);
	close(ends[0]);
	outlet_end(w.outlet, "y", 1, 60 * USEC_PER_SEC);
	cr_assert(eq(int, w.error, 0));
	end(&w);
	close(ends[1]);
}
