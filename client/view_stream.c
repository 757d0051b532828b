/* --stream: each line as it comes, with its node before it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/follow.h"
#include "client/outlet.h"
#include "client/tidy.h"
#include "client/view.h"
#include "proto/base/display.h"

#define LINE_LONGEST 16384 /* a longer one is broken */
#define BATCH_MAX    (32u << 20)
#define ROOM	     (256 << 10) /* what may wait to be written while more is asked for */
#define NAME_SHOWN   40

struct line {
	struct buf text; /* its beginning */
	struct tidy tidy;
};

struct stream {
	struct view_config config;
	struct outlet *outlets[2];
	size_t waiting[2];
	int error; /* of writing, but for a reader who has gone */
	bool closed;
};

/* --- writing ---------------------------------------------------------------------------------- */

static void
on_written(void *arg, int stream, size_t n)
{
	struct stream *s = arg;

	s->waiting[stream] -= n < s->waiting[stream] ? n : s->waiting[stream];
	s->config.on_room(s->config.arg);
}

static void
on_failed(void *arg, int stream, int error)
{
	struct stream *s = arg;

	s->waiting[stream] = 0;
	s->closed = true;
	if (error != EPIPE)
		s->error = error;
	s->config.on_room(s->config.arg);
}

static const struct outlet_events outlet_events = {
	.on_written = on_written,
	.on_failed = on_failed,
};

static void
write_out(struct stream *s, int stream, const struct buf *text)
{
	if (text->len == 0)
		return;
	s->config.will_write(s->config.arg);
	s->waiting[stream] += text->len;
	outlet_write(s->outlets[stream], buf_data(text), text->len);
}

/* --- lines ------------------------------------------------------------------------------------ */

static struct line *
lines_of(struct stream *s, struct follow_node *node)
{
	struct line *lines = node->of_view;

	if (lines != NULL || (lines = calloc(2, sizeof(*lines))) == NULL)
		return lines;
	for (int i = 0; i < 2; i++) {
		buf_init(&lines[i].text, LINE_LONGEST + 1);
		lines[i].tidy.kind = s->config.safe ? TIDY_TERMINAL : TIDY_RAW;
	}
	node->of_view = lines;
	return lines;
}

/* Each line has it: a long one, before many empty lines, would be most of what there is. */
static void
append_name(struct buf *out, const struct follow_node *node)
{
	size_t n = strlen(node->name);

	display_append(out, node->name, n > NAME_SHOWN ? NAME_SHOWN : n);
	buf_append_str(out, n > NAME_SHOWN ? "...: " : ": ");
}

static void
append_line(struct buf *out, const struct follow_node *node, const struct buf *begun,
	const uint8_t *p, size_t n)
{
	append_name(out, node);
	buf_append(out, buf_data(begun), begun->len);
	buf_append(out, p, n);
	buf_append_byte(out, '\n');
}

/* Whole lines go, and what is left of the last one waits for its end. */
static void
split(struct buf *out, const struct follow_node *node, struct line *line, const uint8_t *p,
	size_t n)
{
	while (n > 0) {
		const uint8_t *end = memchr(p, '\n', n);
		size_t run = end != NULL ? (size_t)(end - p) : n;
		size_t room = LINE_LONGEST - line->text.len;

		if (end == NULL && run <= room) {
			buf_append(&line->text, p, run);
			return;
		}
		if (run > room) {
			run = room;
			end = NULL;
		}
		append_line(out, node, &line->text, p, run);
		buf_reset(&line->text);
		p += run + (end != NULL);
		n -= run + (end != NULL);
	}
}

static int
stream_output(void *state, struct follow_node *node, int stream, size_t step, uint64_t offset,
	const uint8_t *p, size_t n, struct hw_err *err)
{
	struct stream *s = state;
	struct line *line = lines_of(s, node);
	struct buf tidy, out;

	(void)step;
	(void)offset;
	if (line == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	line += stream;
	buf_init(&tidy, BATCH_MAX);
	buf_init(&out, BATCH_MAX);
	tidy_append(&line->tidy, &tidy, p, n);
	split(&out, node, line, buf_data(&tidy), tidy.len);
	write_out(s, stream, &out);
	bool failed = tidy.failed || out.failed || line->text.failed;
	buf_fini(&tidy);
	buf_fini(&out);
	return failed ? hw_err_set(err, HW_ENOMEM, "out of memory") : 0;
}

static void
end_line(struct stream *s, const struct follow_node *node, struct line *line, int stream)
{
	struct buf out;

	buf_init(&out, BATCH_MAX);
	tidy_end(&line->tidy, &line->text);
	if (line->text.len > 0)
		append_line(&out, node, &line->text, NULL, 0);
	buf_reset(&line->text);
	write_out(s, stream, &out);
	buf_fini(&out);
}

static void
free_lines(struct follow_node *node)
{
	struct line *lines = node->of_view;

	for (int i = 0; lines != NULL && i < 2; i++)
		buf_fini(&lines[i].text);
	free(lines);
	node->of_view = NULL;
}

/* How it ended, where that is not as everybody hopes. */
static void
say_end(struct stream *s, const struct follow_node *node)
{
	struct buf out;

	buf_init(&out, 8192);
	append_name(&out, node);
	buf_append_str(&out, "-- ");
	fate_append(&out, node->status, node->details, node->response_code);
	if (node->reason[0] != '\0') {
		buf_append_str(&out, ": ");
		display_append(&out, node->reason, strlen(node->reason));
	}
	if (node->dropped[0] + node->dropped[1] > 0)
		buf_printf(&out, " (%lld bytes were dropped at the relay's limit)",
			(long long)(node->dropped[0] + node->dropped[1]));
	buf_append_byte(&out, '\n');
	write_out(s, FOLLOW_ERR, &out);
	buf_fini(&out);
}

static int
stream_node_end(void *state, struct follow_node *node, struct hw_err *err)
{
	struct stream *s = state;
	struct line *lines = node->of_view;

	(void)err;
	for (int i = 0; lines != NULL && i < 2; i++)
		end_line(s, node, &lines[i], i);
	free_lines(node);
	if (node->fate != FATE_OK || node->dropped[0] + node->dropped[1] > 0)
		say_end(s, node);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool
stream_has_room(const void *state)
{
	const struct stream *s = state;

	return s->waiting[0] < ROOM && s->waiting[1] < ROOM;
}

static bool
stream_is_out(const void *state)
{
	const struct stream *s = state;

	return outlet_is_empty(s->outlets[0]) && outlet_is_empty(s->outlets[1]);
}

static int
stream_finish(void *state, const struct follow *f, struct hw_err *err)
{
	const struct stream *s = state;

	(void)f;
	if (s->error == 0)
		return 0;
	errno = s->error;
	return hw_err_sys(err, "cannot write what the nodes wrote");
}

static void
stream_close(void *state, const struct follow *f)
{
	struct stream *s = state;

	if (s == NULL)
		return;
	for (size_t i = 0; f != NULL && i < follow_count(f); i++)
		free_lines(follow_node(f, i));
	outlet_free(s->outlets[0]);
	outlet_free(s->outlets[1]);
	free(s);
}

static int
stream_open(void **state, const struct view_config *config, struct hw_err *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct loop *l = config->client->loop;
	int r;

	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	s->config = *config;
	if ((r = outlet_new(&s->outlets[0], l, STDOUT_FILENO, 0, &outlet_events, s, err)) < 0 ||
		(r = outlet_new(&s->outlets[1], l, STDERR_FILENO, 1, &outlet_events, s, err)) < 0) {
		stream_close(s, NULL);
		return r;
	}
	*state = s;
	return 0;
}

const struct view_row view_stream = {
	.name = "stream",
	.live = true,
	.gentle = true,
	.open = stream_open,
	.output = stream_output,
	.node_end = stream_node_end,
	.has_room = stream_has_room,
	.is_out = stream_is_out,
	.finish = stream_finish,
	.close = stream_close,
};
