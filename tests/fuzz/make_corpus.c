/*
 * Writes the seeds of corpus/frame, corpus/codec and corpus/json from the tables, and those of
 * corpus/link that resume:
 *
 *   make_corpus CORPUS-DIR
 *
 * Run it after messages were added. Files that a fuzzer found have other names and are left alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "tests/unit/wire/sample.h"

#define ROOM	  (1u << 20)
#define SEEDS_MAX 60 /* files of one corpus */

static void
save(const char *dir, const char *corpus, const char *name, struct buf *b)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s/%s", dir, corpus, name);
	FILE *out = fopen(path, "we");
	if (out == NULL || fwrite(buf_data(b), 1, b->len, out) != b->len || fclose(out) != 0) {
		perror(path);
		exit(1);
	}
	buf_reset(b);
}

/* --- messages
 * ------------------------------------------------------------------------------------- */

static void
save_messages(const char *dir, struct arena *a, struct buf *b)
{
	for (size_t i = 0; i < msg_row_count() && i < SEEDS_MAX; i++) {
		const struct msg_row *row = msg_row_at(i);
		const void *msg = sample_message(a, row, SAMPLE_SOME);

		buf_append_byte(b, (uint8_t)i);
		hw_assert(msg_encode(b, row, msg, NULL) == 0);
		save(dir, "codec", row->name, b);
		buf_append_byte(b, (uint8_t)i);
		hw_assert(msg_to_json(b, row, msg, JSON_SECRETS) == 0);
		save(dir, "json", row->name, b);
	}
}

/* --- frames
 * ----------------------------------------------------------------------------------------- */

/* The row whose wire name ends the layout "body: Name". */
static const struct msg_row *
body_of(const struct frame_row *kind)
{
	const char *name = strstr(kind->layout, ": ");

	for (size_t i = 0; name != NULL && i < msg_row_count(); i++)
		if (strcmp(msg_row_at(i)->wire, name + 2) == 0)
			return msg_row_at(i);
	return NULL;
}

static uint32_t
channel_of(int kind)
{
	return kind == FRAME_HELLO || kind == FRAME_REQUEST || kind == FRAME_RESPONSE ? 0 : 300;
}

static void
append_frame(struct arena *a, struct buf *b, const struct frame_row *kind)
{
	const struct msg_row *row = body_of(kind);
	struct frame f = {.kind = (enum frame_kind)kind->kind,
		.channel = channel_of(kind->kind),
		.id = 70000,
		.name = "StartSession",
		.name_len = 12,
		.stream = STREAM_OUT,
		.offset = 5000000000,
		.limit = 5000065536,
		.echo = ECHO_SHOWN};
	int r;

	if (kind->kind == FRAME_DATA) {
		f.body = (const uint8_t *)"some bytes";
		f.body_len = 10;
	}
	if (row != NULL)
		r = frame_encode_msg(b, f.kind, f.channel, row,
			sample_message(a, row, SAMPLE_SOME));
	else
		r = frame_encode(b, &f);
	hw_assert(r == 0);
}

static void
save_frames(const char *dir, struct arena *a, struct buf *b)
{
	for (int kind = 0; kind < FRAME_KINDS; kind++) {
		append_frame(a, b, frame_row(kind));
		save(dir, "frame", frame_row(kind)->name, b);
	}
	for (int kind = 0; kind < FRAME_KINDS; kind++)
		append_frame(a, b, frame_row(kind));
	save(dir, "frame", "all-in-one-message", b);
}

/* --- links that resume
 * ------------------------------------------------------------------------------- */

/* The first byte of fuzz_link's input. */
enum { OPENS = 1, UP = 2, KEEPS = 32, RELAYS = 64 };

/* A frame as a message of its own, behind its length. */
static void
append_message(struct buf *b, const struct buf *frame)
{
	buf_append_byte(b, (uint8_t)(frame->len >> 8));
	buf_append_byte(b, (uint8_t)frame->len);
	buf_append(b, buf_data(frame), frame->len);
}

static void
say(struct buf *b, const struct frame *f)
{
	struct buf frame;

	buf_init(&frame, ROOM);
	hw_assert(frame_encode(&frame, f) == 0);
	append_message(b, &frame);
	buf_fini(&frame);
}

static void
tell(struct buf *b, enum frame_kind kind, uint32_t channel, const struct msg_row *row,
	const void *msg)
{
	struct buf frame;

	buf_init(&frame, ROOM);
	hw_assert(frame_encode_msg(&frame, kind, channel, row, msg) == 0);
	append_message(b, &frame);
	buf_fini(&frame);
}

static void
break_line(struct buf *b)
{
	buf_append(b, "\0\0", 2);
}

static void
tell_resume(struct buf *b, uint32_t channel, int type, uint64_t received)
{
	struct msg_resume_stream streams[] = {
		{.stream = STREAM_IN,  .limit = 5000,		     .sent = 4    },
		{.stream = STREAM_OUT, .received = (int64_t)received, .limit = 5000},
	};
	struct msg_resume resume = {
		.type = type, .session_id = "s", .streams = {streams, 2}
	};

	tell(b, FRAME_RESUME, channel, MSG_ROW(resume), &resume);
}

static void
say_bytes(struct buf *b, uint32_t channel, int stream, uint64_t offset)
{
	say(b,
		&(struct frame){.kind = FRAME_DATA,
			.channel = channel,
			.stream = (uint8_t)stream,
			.offset = offset,
			.body = (const uint8_t *)"some",
			.body_len = 4});
}

static void
say_credit(struct buf *b, uint32_t channel, int stream, uint64_t consumed, uint64_t limit)
{
	say(b,
		&(struct frame){.kind = FRAME_CREDIT,
			.channel = channel,
			.stream = (uint8_t)stream,
			.offset = consumed,
			.limit = limit});
}

/* A node's end: what is sent to it is echoed, lost, and sent again. */
static void
resume_at_node(struct buf *b, int type)
{
	struct msg_open open = {.type = type, .session_id = "s", .window = 5000};

	tell(b, FRAME_OPEN, 1, MSG_ROW(open), &open);
	tell(b, FRAME_OPEN, 2, MSG_ROW(open), &open);
	say_bytes(b, 2, STREAM_IN, 0);
	say_credit(b, 2, STREAM_OUT, 2, 6000);
	break_line(b);
	tell_resume(b, 1, type, 2);
	say_bytes(b, 1, STREAM_IN, 4);
	say_credit(b, 1, STREAM_OUT, 4, 7000);
	tell_resume(b, 2, type, 99);
	break_line(b);
	tell_resume(b, 1, type, 0);
}

/* An opener's: its channels are interrupted, and its link breaks. */
static void
resume_at_opener(struct buf *b)
{
	struct msg_close close = {.code = "Interrupted"};
	struct msg_accept accept = {.window = 5000};

	tell(b, FRAME_ACCEPT, 1, MSG_ROW(accept), &accept);
	tell(b, FRAME_ACCEPT, 2, MSG_ROW(accept), &accept);
	say_bytes(b, 1, STREAM_OUT, 0);
	tell(b, FRAME_CLOSE, 1, MSG_ROW(close), &close);
	tell_resume(b, 3, CHANNEL_TYPE_PTY, 4);
	break_line(b);
	tell_resume(b, 1, CHANNEL_TYPE_PTY, 4);
	say_credit(b, 1, STREAM_OUT, 4, 9000);
	tell_resume(b, 2, CHANNEL_TYPE_EXEC, 99);
	break_line(b);
	tell_resume(b, 1, CHANNEL_TYPE_PTY, 4);
}

static void
save_links(const char *dir, struct buf *b)
{
	static const struct {
		const char *name;
		int first;
	} seeds[] = {
		{"resume_node",		UP | KEEPS	  },
		{"resume_offsets",	   UP | RELAYS	      },
		{"resume_opener",	  OPENS | UP | KEEPS },
		{"resume_opener_offsets", OPENS | UP | RELAYS},
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		buf_append_byte(b, (uint8_t)seeds[i].first);
		if ((seeds[i].first & OPENS) != 0)
			resume_at_opener(b);
		else
			resume_at_node(b, CHANNEL_TYPE_PTY);
		save(dir, "link", seeds[i].name, b);
	}
}

/* --- the classics
 * ------------------------------------------------------------------------------------ */

static const struct {
	const char *corpus, *name, *bytes;
	size_t n;
} classics[] = {
#define CLASSIC(corpus, name, bytes)                   \
	{                                              \
		corpus, name, bytes, sizeof(bytes) - 1 \
	}
	CLASSIC("frame", "bomb-array", "\xdd\xff\xff\xff\xff"),
	CLASSIC("frame", "bomb-body", "\x93\x00\x00\xdf\xff\xff\xff\xff"),
	CLASSIC("frame", "bomb-payload", "\x95\x06\x01\x00\x00\xc6\xff\xff\xff\xff"),
	CLASSIC("frame", "offset-2-63", "\x94\x08\x01\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x00"),
	CLASSIC("frame", "longer-than-known", "\x96\x08\x01\x00\x05\xc0\x81\xa1k\x92\x01\x02"),
};

int
main(int argc, char **argv)
{
	struct arena *a = arena_new(64 * ROOM);
	struct buf b;

	if (argc != 2) {
		fprintf(stderr, "usage: make_corpus CORPUS-DIR\n");
		return 2;
	}
	buf_init(&b, ROOM);
	save_messages(argv[1], a, &b);
	save_frames(argv[1], a, &b);
	save_links(argv[1], &b);
	for (size_t i = 0; i < sizeof(classics) / sizeof(classics[0]); i++) {
		buf_append(&b, classics[i].bytes, classics[i].n);
		save(argv[1], classics[i].corpus, classics[i].name, &b);
	}
	buf_fini(&b);
	arena_free(a);
	return 0;
}
