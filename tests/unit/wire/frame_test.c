#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "proto/wire/msgpack_reader.h"

static struct hw_err err;

static bool
refuses(const void *p, size_t n, const char *sentence)
{
	struct frame f = {.channel = 77};
	size_t used = 77;
	int r = frame_parse(&f, p, n, &used, &err);

	if (strcmp(err.text, sentence) != 0)
		fprintf(stderr, "it is:  %s\nwanted: %s\n", err.text, sentence);
	return r == HW_EPROTO && f.channel == 77 && used == 77 && strcmp(err.text, sentence) == 0;
}
#define REFUSES(bytes, sentence) cr_assert(refuses(bytes, sizeof(bytes) - 1, sentence))

static struct frame
parsed(const void *p, size_t n)
{
	struct frame f;
	size_t used;

	cr_assert(eq(int, frame_parse(&f, p, n, &used, &err), 0), "%s", err.text);
	cr_assert(eq(sz, used, n));
	return f;
}

/* --- what a release put on the wire
 * ------------------------------------------------------------------ */

/* One frame of each kind, and the message that its body is. */
struct example {
	const char *name;
	struct frame frame;
	const struct msg_row *(*row)(void);
	const void *msg;
};

static struct msg_resume_stream stands[] = {
	{.stream = STREAM_OUT, .received = 4096, .consumed = 4000,  .limit = 69536},
	{.stream = STREAM_IN,		      .kept_from = 17,		       .sent = 42},
};

static const char *capabilities[] = {"exec"};

#define BODY(kind_, channel_, row_, ...)                       \
#kind_,                                                \
		{.kind = FRAME_##kind_, .channel = channel_ }, \
		msg_row_##row_,                                \
		&(const struct msg_##row_)                     \
	{                                                      \
		__VA_ARGS__                                    \
	}

#define TIME_OF_0_1 INT64_C(1795454456789000)

static const struct example examples[] = {
	{BODY(HELLO,									 0,							 hello,										       .version_min = 1,																											     .version_max = 1, .role = ROLE_NODE,
		.id = "mi-0123456789abcdef0",																																																																														      .software = "hawser-node/0.1.0",
		.capabilities = {capabilities, 1}, .time = TIME_OF_0_1, .frame_max = 262144,
		.boot_id = "6a9b8c7d-0000-4000-8000-000000000001")},
	{"REQUEST",						  {.kind = FRAME_REQUEST, .id = 7, .name = "GetConnectionStatus", .name_len = 19},
		msg_row_get_connection_status_request,																				&(const struct msg_get_connection_status_request){
			.target = "mi-0123456789abcdef0"}																																																				      },
	{"RESPONSE",			  {.kind = FRAME_RESPONSE, .id = 7, .name = "", .name_len = 0},
		msg_row_get_connection_status_reply,																				     &(const struct msg_get_connection_status_reply){.target = "mi-0123456789abcdef0",
			.status = CONNECTION_STATUS_CONNECTED}},
	{"RESPONSE.error",
		{.kind = FRAME_RESPONSE, .id = 8, .name = "AccessDeniedException", .name_len = 21},
		msg_row_error,																				 &(const struct msg_error){.message = "no policy allows it"}																													    },
	{BODY(OPEN,					   1,															     open,																								.type = CHANNEL_TYPE_PTY,																																																				  .session_id = "alice-0123456789abcdef0",
		.token = "secret",																																																										  .term = "xterm-256color",																																																										  .cols = 80, .rows = 24,
		.window = 65536)},
	{BODY(ACCEPT,										 1,						    accept,									     .window = 65536,																								      .session_id = "alice-0123456789abcdef0",
		.run_as = "hawser",																																																					      .pid = 4711)																																																																																			},
	{BODY(REJECT,										 1,						     error,						  .message = "no such operating system user",
		.code = "InvalidRunAs")	       },
	{"DATA",
		{.kind = FRAME_DATA,
			.channel = 1,
			.stream = STREAM_OUT,
			.offset = 4096,
			.body = (const uint8_t *)"hello\r\n",
			.body_len = 7},
		NULL,																											   NULL																																																						      },
	{"CREDIT",
		{.kind = FRAME_CREDIT,
			.channel = 1,
			.stream = STREAM_IN,
			.offset = 17,
			.limit = 65553,
			.echo = ECHO_SHOWN},
		NULL,																												       NULL																																																										  },
	{"END",								{.kind = FRAME_END, .channel = 1, .stream = STREAM_OUT, .offset = 4103},													 NULL,
		NULL																																																				    },
	{BODY(CLOSE,								       1,																close,																									      .exited = true,																																										 .exit_status = 130,																																																					.signal = "INT")},
	{BODY(CONTROL,										 1,					 control, .type = CONTROL_RESIZE, .cols = 132,																																																											 .rows = 43)																																																															       },
	{"CONTROL.ping",										   {.kind = FRAME_CONTROL},																	     msg_row_control,
		&(const struct msg_control){.type = CONTROL_PING,
			.nonce = 99,
			.time = TIME_OF_0_1}																																																												 },
	{BODY(RESUME,											    1,													   resume,																								      .type = CHANNEL_TYPE_EXEC,																																																						   .session_id = "alice-0123456789abcdef0",
		.token = "secret",								   .streams = {stands, 2})},
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static void
encode_example(struct buf *out, const struct example *e)
{
	struct frame f = e->frame;
	struct buf body;

	buf_init(&body, FRAME_BODY_MAX);
	if (e->row != NULL) {
		cr_assert(eq(int, msg_encode(&body, e->row(), e->msg, &err), 0), "%s: %s", e->name,
			err.text);
		f.body = buf_data(&body);
		f.body_len = body.len;
	}
	cr_assert(eq(int, frame_encode(out, &f), 0));
	buf_fini(&body);
}

/* The line "NAME hex" of tests/golden/frames-v0.1.hex as bytes. */
static size_t
golden(uint8_t out[1024], const char *name)
{
	FILE *file = fopen("tests/golden/frames-v0.1.hex", "re");
	char line[4096], word[64], hex[2048];
	size_t n = 0;

	cr_assert(file != NULL, "tests run in the project's root");
	while (n == 0 && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%63s %2047s", word, hex) != 2 || strcmp(word, name) != 0)
			continue;
		n = strlen(hex) / 2;
		cr_assert(eq(int, hex_decode(out, n, hex), 0));
	}
	fclose(file);
	return n;
}

Test(frame, each_kind_is_the_bytes_that_0_1_sent)
{
	bool seen[FRAME_KINDS] = {false};

	for (size_t i = 0; i < EXAMPLES; i++) {
		char hex[2048];
		uint8_t bytes[1024];
		struct buf out;

		buf_init(&out, 1024);
		encode_example(&out, &examples[i]);
		hex_encode(hex, buf_data(&out), out.len);
		size_t n = golden(bytes, examples[i].name);
		cr_assert(n == out.len && memcmp(bytes, buf_data(&out), n) == 0, "%s is now\n%s %s",
			examples[i].name, examples[i].name, hex);
		seen[examples[i].frame.kind] = true;
		buf_fini(&out);
	}
	for (int kind = 0; kind < FRAME_KINDS; kind++)
		cr_assert(seen[kind], "%s", frame_row(kind)->name);
}

Test(frame, each_kind_is_read_as_0_1_wrote_it)
{
	struct arena *arena = arena_new(1 << 20);

	for (size_t i = 0; i < EXAMPLES; i++) {
		const struct example *e = &examples[i];
		uint8_t bytes[1024];
		size_t n = golden(bytes, e->name);
		struct frame f = parsed(bytes, n);
		void *msg;

		cr_assert(eq(int, (int)f.kind, (int)e->frame.kind));
		cr_assert(eq(u32, f.channel, e->frame.channel));
		cr_assert(eq(u8, f.stream, e->frame.stream));
		cr_assert(eq(u64, f.offset, e->frame.offset));
		cr_assert(eq(u64, f.limit, e->frame.limit));
		cr_assert(eq(u64, f.id, e->frame.id));
		cr_assert(eq(int, f.echo, e->frame.echo));
		cr_assert(eq(sz, f.name_len, e->frame.name_len));
		if (e->row != NULL)
			cr_assert(eq(int,
				msg_decode(&msg, arena, e->row(), f.body, f.body_len, &err), 0));
		for (size_t cut = 0; cut < n; cut++) {
			struct frame g;
			size_t used;

			cr_assert(eq(int, frame_parse(&g, bytes, cut, &used, &err), HW_EPROTO),
				"%s cut to %zu", e->name, cut);
		}
	}
	arena_free(arena);
}

/* --- parsing
 * --------------------------------------------------------------------------------------- */

Test(frame, several_in_a_message_are_read_one_after_the_other)
{
	struct buf out;
	size_t at = 0;

	buf_init(&out, FRAME_MESSAGE_MAX);
	for (size_t i = 0; i < EXAMPLES; i++)
		encode_example(&out, &examples[i]);
	for (size_t i = 0; i < EXAMPLES; i++) {
		struct frame f;
		size_t used;

		cr_assert(eq(int, frame_parse(&f, buf_data(&out) + at, out.len - at, &used, &err),
			0));
		cr_assert(eq(int, (int)f.kind, (int)examples[i].frame.kind));
		at += used;
	}
	cr_assert(eq(sz, at, out.len));
	buf_fini(&out);
}

Test(frame, later_elements_are_skipped)
{
	struct frame f = parsed("\x96\x08\x01\x00\x05\xc0\x81\xa1k\x92\x01\x02", 12);

	cr_assert(eq(u64, f.offset, 5));
	f = parsed("\x94\x09\x00\x80\xa1z", 6);
	cr_assert(eq(sz, f.body_len, 1));
	REFUSES("\x95\x08\x01\x00\x05\x92\x01", "frame END: cut off, or not well formed");
	REFUSES("\x95\x08\x01\x00\x05\xc1", "frame END: cut off, or not well formed");
}

Test(frame, what_is_no_frame_is_refused)
{
	REFUSES("", "frame: no bytes");
	REFUSES("\x80", "frame: no array, or cut off");
	REFUSES("\x91\x00", "frame: no array, or cut off");
	REFUSES("\x93\xa1x\x00\x80", "frame: the kind is no number");
	REFUSES("\x93\x0c\x00\x80", "frame: no kind 12");
	REFUSES("\x93\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00\x80",
		"frame: no kind 18446744073709551615");
	REFUSES("\x93\xff\x00\x80", "frame: the kind is no number");
	REFUSES("\x92\x00\x00", "frame HELLO: elements are missing");
	REFUSES("\x93\x09\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x80",
		"frame CLOSE: the channel is no number of 32 bits");
	REFUSES("\x93\x00\x01\x80", "frame HELLO: only on channel 0");
	REFUSES("\x93\x03\x00\x80", "frame OPEN: not on channel 0");
	REFUSES("\x93\x09\x01\x90", "frame CLOSE: the body is no map, or is cut off");
	REFUSES("\x93\x09\x01\x82\xa1x\x01", "frame CLOSE: the body is no map, or is cut off");
	REFUSES("\x93\x09\x01\x81\xa1x\x92\x01",
		"frame CLOSE: the body is cut off or not well formed");
	REFUSES("\x94\x08\x01\xcc\x80\x05", "frame END: the stream's number is too large");
	REFUSES("\x94\x08\x01\xa0\x05", "frame END: the stream is no number");
	REFUSES("\x95\x06\x01\x00\x05\xa1x", "frame DATA: the payload is not bytes, or is cut off");
	REFUSES("\x96\x07\x01\x00\x05\x06\x03", "frame CREDIT: echo is not 0, 1 or 2");
	REFUSES("\x95\x01\x00\xff\xa1x\x80", "frame REQUEST: the id is no number");
	REFUSES("\x95\x01\x00\x01\x01\x80", "frame REQUEST: the name is no text");
}

Test(frame, five_bytes_that_promise_gigabytes_are_refused)
{
	REFUSES("\xdd\xff\xff\xff\xff", "frame: no array, or cut off");
	REFUSES("\x93\x00\x00\xdf\xff\xff\xff\xff",
		"frame HELLO: the body is no map, or is cut off");
	REFUSES("\x95\x06\x01\x00\x00\xc6\xff\xff\xff\xff",
		"frame DATA: the payload is not bytes, or is cut off");
	REFUSES("\x95\x01\x00\x00\xdb\xff\xff\xff\xff\x80", "frame REQUEST: the name is no text");
}

Test(frame, offsets_end_at_2_to_the_62)
{
	static const char top[] = "\x94\x08\x01\x00\xcf\x40\x00\x00\x00\x00\x00\x00\x00";
	static const char data[] = "\x95\x06\x01\x00\xcf\x40\x00\x00\x00\x00\x00\x00\x00\xc4";

	cr_assert(eq(u64, parsed(top, sizeof(top) - 1).offset, OFFSET_MAX));
	REFUSES("\x94\x08\x01\x00\xcf\x40\x00\x00\x00\x00\x00\x00\x01",
		"frame END: the offset is not within 2^62");
	REFUSES("\x94\x08\x01\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
		"frame END: the offset is not within 2^62");
	REFUSES("\x94\x08\x01\x00\xff", "frame END: the offset is not within 2^62");
	REFUSES("\x96\x07\x01\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x00\x05\x00",
		"frame CREDIT: consumed is not within 2^62");
	REFUSES("\x96\x07\x01\x00\x05\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		"frame CREDIT: the limit is not within 2^62");
	char bytes[sizeof(data) + 2];
	memcpy(bytes, data, sizeof(data) - 1);
	memcpy(bytes + sizeof(data) - 1, "\x00", 1);
	cr_assert(eq(sz, parsed(bytes, sizeof(data)).body_len, 0));
	memcpy(bytes + sizeof(data) - 1, "\x01z", 2);
	cr_assert(refuses(bytes, sizeof(data) + 1, "frame DATA: the payload ends past 2^62"));
}

Test(frame, sizes_are_bounded)
{
	static uint8_t bytes[FRAME_BODY_MAX + 1024] = {0x95, FRAME_DATA, 1, 0, 0, 0xc6, 0, 1, 0, 0};

	cr_assert(eq(sz, parsed(bytes, 10 + FRAME_DATA_MAX).body_len, FRAME_DATA_MAX));
	bytes[9] = 1;
	cr_assert(refuses(bytes, 11 + FRAME_DATA_MAX,
		"frame DATA: the payload is over 65536 bytes"));

	/* a body of one long text: a map of one pair, 1 + 2 + 5 + the text */
	memcpy(bytes, "\x93\x09\x01\x81\xa1x\xc6\x00\x02\xff\xf8", 11);
	cr_assert(eq(sz, parsed(bytes, 11 + 0x2fff8).body_len, FRAME_BODY_MAX));
	bytes[10] = 0xf9;
	cr_assert(refuses(bytes, 11 + 0x2fff9, "frame CLOSE: the body is over 196608 bytes"));

	memset(bytes, 'x', 80);
	memcpy(bytes, "\x95\x01\x00\x01\xd9\x40", 6);
	bytes[6 + 64] = 0x80;
	cr_assert(eq(sz, parsed(bytes, 6 + 65).name_len, FRAME_NAME_MAX));
	memset(bytes + 6, 'x', 80);
	bytes[5] = 65;
	bytes[6 + 65] = 0x80;
	cr_assert(refuses(bytes, 6 + 66, "frame REQUEST: the name is over 64 bytes"));
}

/* --- writing
 * ------------------------------------------------------------------------------------------ */

Test(frame, a_data_head_has_one_size_whatever_it_says)
{
	static const struct {
		uint32_t channel;
		uint8_t stream;
		uint64_t offset;
		uint32_t len;
	} heads[] = {
		{1,	    0,   0,			   0		   },
		      {UINT32_MAX, 127, OFFSET_MAX - FRAME_DATA_MAX, FRAME_DATA_MAX}
	    };
	static uint8_t bytes[FRAME_DATA_HEAD + FRAME_DATA_MAX];

	for (size_t i = 0; i < 2; i++) {
		frame_data_head(bytes, heads[i].channel, heads[i].stream, heads[i].offset,
			heads[i].len);
		struct frame f = parsed(bytes, FRAME_DATA_HEAD + heads[i].len);

		cr_assert(eq(u32, f.channel, heads[i].channel));
		cr_assert(eq(u8, f.stream, heads[i].stream));
		cr_assert(eq(u64, f.offset, heads[i].offset));
		cr_assert(eq(sz, f.body_len, heads[i].len));
		cr_assert(eq(ptr, (void *)f.body, bytes + FRAME_DATA_HEAD));
	}
}

Test(frame, a_message_is_packed_as_a_body)
{
	struct msg_error error = {.message = "no", .code = "Closed"};
	struct buf a, b, body;

	buf_init(&a, 1024);
	buf_init(&b, 1024);
	buf_init(&body, 1024);
	cr_assert(eq(int, frame_encode_msg(&a, FRAME_REJECT, 9, MSG_ROW(error), &error), 0));
	cr_assert(eq(int, msg_encode(&body, MSG_ROW(error), &error, NULL), 0));
	struct frame f = {
		.kind = FRAME_REJECT, .channel = 9, .body = buf_data(&body), .body_len = body.len};
	cr_assert(eq(int, frame_encode(&b, &f), 0));
	cr_assert(eq(sz, a.len, b.len));
	cr_assert(eq(int, memcmp(buf_data(&a), buf_data(&b), a.len), 0));
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&body);
}

Test(frame, a_call_is_packed_with_its_message)
{
	struct msg_error error = {.message = "no", .code = "Closed"};
	struct frame f = {.kind = FRAME_REQUEST, .id = 70000, .name = "Ping", .name_len = 4};
	struct msg_tag tag = {.key = ""};
	struct buf a, b, body;

	buf_init(&a, 1024);
	buf_init(&b, 1024);
	buf_init(&body, 1024);
	cr_assert(eq(int, frame_encode_call(&a, &f, MSG_ROW(error), &error, NULL), 0));
	cr_assert(eq(int, msg_encode(&body, MSG_ROW(error), &error, NULL), 0));
	f.body = buf_data(&body);
	f.body_len = body.len;
	cr_assert(eq(int, frame_encode(&b, &f), 0));
	cr_assert(eq(sz, a.len, b.len));
	cr_assert(eq(int, memcmp(buf_data(&a), buf_data(&b), a.len), 0));
	cr_assert(eq(int, frame_encode_call(&a, &f, MSG_ROW(tag), &tag, NULL), HW_EVALIDATION));
	cr_assert(eq(sz, a.len, b.len));
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&body);
}

Test(frame, no_body_is_a_message_without_fields)
{
	struct frame f = {.kind = FRAME_RESPONSE, .id = 5, .name = ""};
	struct buf out;

	buf_init(&out, 64);
	cr_assert(eq(int, frame_encode(&out, &f), 0));
	f = parsed(buf_data(&out), out.len);
	cr_assert(eq(sz, f.body_len, 1));
	cr_assert(eq(u8, *f.body, 0x80));
	buf_fini(&out);
}

Test(frame, what_does_not_fit_leaves_nothing_behind)
{
	struct msg_error error = {.message = "a sentence"};
	struct msg_tag tag = {.key = ""};

	for (size_t i = 0; i < EXAMPLES; i++) {
		struct buf whole, cut;

		buf_init(&whole, 1024);
		encode_example(&whole, &examples[i]);
		struct frame f = parsed(buf_data(&whole), whole.len);
		for (size_t max = 2; max < whole.len + 2; max++) {
			buf_init(&cut, max);
			buf_append_str(&cut, "ab");
			cr_assert(eq(int, frame_encode(&cut, &f), HW_ELIMIT));
			cr_assert(eq(sz, cut.len, 2));
			buf_fini(&cut);
		}
		buf_init(&cut, 4);
		cr_assert(eq(int, frame_encode_msg(&cut, FRAME_REJECT, 1, MSG_ROW(error), &error),
			HW_ELIMIT));
		cr_assert(eq(int, frame_encode_msg(&cut, FRAME_REJECT, 1, MSG_ROW(tag), &tag),
			HW_EVALIDATION));
		cr_assert(eq(sz, cut.len, 0));
		buf_fini(&cut);
		buf_fini(&whole);
	}
}
