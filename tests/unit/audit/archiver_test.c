#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_file.h"
#include "audit/recording.h"
#include "audit/recording_file.h"
#include "audit/sealed.h"
#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "tests/unit/audit/scratch.h"

static struct scratch s;
static char masks_file[80], auditors_file[80];

/* A relay's recording side: journal, ledger, archiver. */
struct side {
	char journal_dir[200], recordings_dir[200], ledger_dir[200];
	struct journal *journal;
	struct ledger *ledger;
	struct archiver *archiver;
	int sealed;
	sem_t told; /* posted with each that is sealed */
	char last_sealed[128];
	uint8_t hash[SHA256_LEN];
	uint64_t size;
	int stalls, resumes, checkpoints;
	bool no_entry; /* on_sealed appends nothing to the ledger */
	int refused;   /* so often the ledger does not take what on_sealed says */
};

static void
setup(void)
{
	scratch_init(&s);
	snprintf(masks_file, sizeof(masks_file), "%s/masks", s.dir);
	snprintf(auditors_file, sizeof(auditors_file), "%s/auditors.pub", s.dir);
}

static void
teardown(void)
{
	scratch_fini(&s);
}

TestSuite(archiver, .init = setup, .fini = teardown, .timeout = 60);

static int
told_sealed(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	struct side *side = arg;
	struct msg_ledger_entry entry = {
		.session_id = id, .hash = {hash, SHA256_LEN},
		      .size = (int64_t)size
	   };

	side->sealed++;
	snprintf(side->last_sealed, sizeof(side->last_sealed), "%s", id);
	memcpy(side->hash, hash, SHA256_LEN);
	side->size = size;
	sem_post(&side->told);
	if (side->refused > 0) {
		side->refused--;
		return HW_ENOMEM;
	}
	if (!side->no_entry)
		cr_assert(eq(int, ledger_commit(side->ledger, ENTRY_RECORDING_SEALED, &entry), 0));
	return 0;
}

static void
told_stalled(void *arg, const char *why)
{
	struct side *side = arg;

	side->stalls += why != NULL;
	side->resumes += why == NULL;
}

static void
told_checkpoint(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	struct side *side = arg;

	(void)id, (void)hash, (void)size;
	side->checkpoints++;
}

/* Over the directories under `dir`. */
static int
side_open(struct side *side, const char *dir, const struct journal_io *io, size_t segment_size,
	bool threaded, struct hw_err *err)
{
	int r;

	memset(side, 0, sizeof(*side));
	sem_init(&side->told, 0, 0);
	snprintf(side->journal_dir, sizeof(side->journal_dir), "%s/journal", dir);
	snprintf(side->recordings_dir, sizeof(side->recordings_dir), "%s/recordings", dir);
	snprintf(side->ledger_dir, sizeof(side->ledger_dir), "%s/ledger", dir);
	const struct journal_config jc = {.dir = side->journal_dir,
		.clock = &s.clock.clock,
		.master = &s.master,
		.segment_size = segment_size,
		.threaded = threaded};
	if ((r = journal_open(&side->journal, &jc, NULL, err)) < 0)
		return r;
	side->ledger = ledger_new(side->journal, "relay-1", &s.clock.clock);
	const struct archiver_config ac = {
		.journal_dir = side->journal_dir,
		.recordings_dir = side->recordings_dir,
		.ledger_dir = side->ledger_dir,
		.journal = side->journal,
		.master = &s.master,
		.clock = &s.clock.clock,
		.auditors_file = auditors_file,
		.relay = "relay-1",
		.masks_file = masks_file,
		.on_sealed = told_sealed,
		.on_checkpoint = told_checkpoint,
		.on_stalled = told_stalled,
		.arg = side,
		.io = io,
		.threaded = threaded,
	};
	return archiver_new(&side->archiver, &ac, err);
}

static void
side_close(struct side *side)
{
	archiver_free(side->archiver);
	ledger_free(side->ledger);
	journal_close(side->journal);
}

static struct side *
open_side(size_t segment_size)
{
	static struct side side;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, side_open(&side, s.dir, NULL, segment_size, false, &err), 0), "%s",
		err.text);
	return &side;
}

/* --- making sessions -------------------------------------------------------------------------- */

static void
append(struct side *side, const struct journal_record *r)
{
	cr_assert(eq(int, journal_append(side->journal, r, NULL), 0));
}

static void
start_type(struct side *side, uint64_t session, const char *id, int type)
{
	struct msg_recording_meta meta = {.session_id = id,
		.type = type,
		.target = "mi-1",
		.start = clock_wall(&s.clock.clock),
		.cols = 80,
		.rows = 24};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(recording_meta), &meta, NULL), 0));
	append(side,
		&(struct journal_record){.type = JOURNAL_SESSION_START,
			.session = session,
			.time = clock_wall(&s.clock.clock),
			.bytes = buf_data(&b),
			.len = b.len});
	buf_fini(&b);
}

static void
start(struct side *side, uint64_t session, const char *id)
{
	start_type(side, session, id, CHANNEL_TYPE_PTY);
}

static void
data(struct side *side, uint64_t session, int stream, uint64_t offset, const char *text)
{
	fake_clock_advance(&s.clock, 1000);
	append(side,
		&(struct journal_record){.type = JOURNAL_DATA,
			.session = session,
			.stream = (uint8_t)stream,
			.offset = offset,
			.time = clock_wall(&s.clock.clock),
			.bytes = text,
			.len = strlen(text)});
}

static void
mark(struct side *side, uint64_t session, uint64_t offset, int echo)
{
	append(side,
		&(struct journal_record){.type = JOURNAL_ECHO,
			.session = session,
			.offset = offset,
			.flags = (uint8_t)echo,
			.time = clock_wall(&s.clock.clock)});
}

static void
simple(struct side *side, uint64_t session, enum journal_type type, uint64_t offset,
	const char *text)
{
	append(side,
		&(struct journal_record){.type = type,
			.session = session,
			.offset = offset,
			.time = clock_wall(&s.clock.clock),
			.bytes = text,
			.len = strlen(text)});
}

static void
run(struct side *side)
{
	struct hw_err err = HW_ERR_INIT;

	journal_sync(side->journal);
	cr_assert(eq(int, archiver_run(side->archiver, &err), 0), "%s", err.text);
}

/* --- looking at recordings -------------------------------------------------------------------- */

static void
describe(struct buf *out, const struct event *ev, const char *id, const uint8_t *auditor)
{
	struct buf opened;

	switch (ev->type) {
	case EVENT_DATA:
		buf_printf(out, "%c%" PRIu64 ":%.*s ", "ioe"[ev->stream], ev -> offset,
			(int)ev -> len, (const char *)ev -> bytes);
		break;
	case EVENT_HIDDEN:
		buf_printf(out, "h%" PRIu64 ":%u", ev->offset, ev->hidden);
		buf_init(&opened, 100000);
		if (ev->len > 0 && auditor != NULL &&
			sealed_open(&opened, auditor, "relay-1", id, ev) == 0)
			buf_printf(out, "=%s", buf_str(&opened));
		else if (ev->len > 0)
			buf_append_str(out, "=?");
		buf_fini(&opened);
		buf_append_byte(out, ' ');
		break;
	case EVENT_RESIZE:
		buf_printf(out, "r%ux%u ", ev->cols, ev->rows);
		break;
	case EVENT_END_STREAM:
		buf_printf(out, "end%" PRIu64 " ", ev->offset);
		break;
	case EVENT_REWIND:
		buf_printf(out, "rewind%" PRIu64 " ", ev->offset);
		break;
	case EVENT_NOTE:
	case EVENT_CLOSE:
		buf_printf(out, "%s(%.*s) ", ev->type == EVENT_NOTE ? "note" : "close",
			(int)ev->len, (const char *)ev->bytes);
		break;
	case EVENT_AUTHOR:
		buf_printf(out, "author%u@%" PRIu64 " ", ev->author, ev->offset);
		break;
	case EVENT_SCREEN:
		buf_printf(out, "screen%" PRIu64 "-%u:%zu ", ev->offset, ev->hidden, ev->len);
		break;
	}
}

/* All events, as text; a code in its place on failure. */
static const char *
read_all(const char *dir, const char *id, const uint8_t *auditor, uint8_t hash[SHA256_LEN])
{
	static struct buf out;
	struct hw_err err = HW_ERR_INIT;
	struct recording *r;
	const uint8_t *p;
	size_t n, used;
	int code;

	buf_fini(&out);
	buf_init(&out, 64 * 1024 * 1024);
	if ((code = recording_open(&r, dir, id, &s.master, &err)) < 0) {
		buf_printf(&out, "%s", hw_code_name(code));
		return buf_str(&out);
	}
	while ((code = recording_next(r, &p, &n, &err)) == 1)
		for (; n > 0; p += used, n -= used) {
			struct event ev;
			cr_assert(eq(int, event_decode(&ev, p, n, &used), 0));
			describe(&out, &ev, id, auditor);
		}
	cr_assert(eq(int, code, 0), "%s", err.text);
	if (!recording_complete(r))
		buf_append_str(&out, "...");
	if (hash != NULL)
		recording_hash(r, hash);
	recording_close(r);
	return buf_str(&out);
}

static void
expect(const struct side *side, const char *id, const char *expected)
{
	const char *got = read_all(side->recordings_dir, id, NULL, NULL);

	cr_assert(strcmp(got, expected) == 0, "\n got: %s\nwant: %s", got, expected);
}

/* --- sessions --------------------------------------------------------------------------------- */

Test(archiver, a_session_becomes_a_recording)
{
	struct side *side = open_side(0);
	uint8_t hash[SHA256_LEN];
	char path[300];

	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "$ ");
	data(side, 1, STREAM_IN, 0, "ls\r");
	mark(side, 1, 3, ECHO_SHOWN);
	data(side, 1, STREAM_OUT, 2, "ls\r\n");
	simple(side, 1, JOURNAL_RESIZE, UINT64_C(100) << 32 | 30, "");
	data(side, 1, STREAM_ERR, 0, "oh");
	simple(side, 1, JOURNAL_NOTE, 0, "detached");
	append(side,
		&(struct journal_record){.type = JOURNAL_STREAM_END,
			.session = 1,
			.stream = STREAM_OUT,
			.offset = 6});
	simple(side, 1, JOURNAL_SESSION_END, 0, "bye");
	run(side);
	expect(side, "alice-1",
		"o0:$  i0:ls\r o2:ls\r\n r100x30 e0:oh note(detached) end6 close(bye) ");
	cr_assert(eq(int, side->sealed, 1));
	cr_assert(strcmp(side->last_sealed, "alice-1") == 0);
	read_all(side->recordings_dir, "alice-1", NULL, hash);
	cr_assert(bytes_equal(hash, side->hash, SHA256_LEN));
	snprintf(path, sizeof(path), "%s/alice-1.rec", side->recordings_dir);
	cr_assert(eq(i64, file_length(path), (long long)side->size));
	side_close(side);
}

Test(archiver, meta_and_times_are_kept)
{
	struct side *side = open_side(0);
	struct hw_err err = HW_ERR_INIT;
	struct recording *r;
	const uint8_t *p;
	struct event ev;
	size_t n, used;

	start(side, 1, "alice-1");
	fake_clock_advance(&s.clock, 5000000);
	data(side, 1, STREAM_OUT, 0, "x");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	cr_assert(eq(int, recording_open(&r, side->recordings_dir, "alice-1", &s.master, &err), 0));
	cr_assert(strcmp(recording_meta(r)->target, "mi-1") == 0);
	cr_assert(eq(int, recording_next(r, &p, &n, &err), 1));
	cr_assert(eq(int, event_decode(&ev, p, n, &used), 0));
	cr_assert(eq(i64, ev.time, 5001000));
	recording_close(r);
	side_close(side);
}

Test(archiver, input_waits_for_its_mark_and_keeps_its_place)
{
	struct side *side = open_side(0);

	start(side, 1, "alice-1");
	data(side, 1, STREAM_IN, 0, "abc");
	data(side, 1, STREAM_OUT, 0, "out");
	run(side);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	expect(side, "alice-1", "..."); /* the head alone */
	mark(side, 1, 2, ECHO_SHOWN);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	expect(side, "alice-1", "...");
	mark(side, 1, 3, ECHO_HIDDEN);
	journal_sync(side->journal);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	expect(side, "alice-1", "i0:ab h2:1 o0:out ...");
	side_close(side);
}

Test(archiver, unknown_input_is_hidden_at_the_end)
{
	struct side *side = open_side(0);

	start(side, 1, "alice-1");
	data(side, 1, STREAM_IN, 0, "se");
	data(side, 1, STREAM_IN, 2, "cret");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "h0:6 close() ");
	side_close(side);
}

Test(archiver, hidden_input_is_sealed_to_the_auditors)
{
	uint8_t pub[BOX_KEY_LEN], priv[BOX_KEY_LEN];
	char hex[2 * BOX_KEY_LEN + 1], path[300], bytes[4096];

	cr_assert(eq(int, box_keygen(pub, priv), 0));
	hex_encode(hex, pub, sizeof(pub));
	FILE *f = fopen(auditors_file, "w");
	fprintf(f, "%s\n", hex);
	fclose(f);
	struct side *side = open_side(0);
	start(side, 1, "alice-1");
	for (uint64_t i = 0; i < 7; i++) {
		char key[2] = {"hunter2"[i]};
		data(side, 1, STREAM_IN, i, key);
		mark(side, 1, i + 1, ECHO_HIDDEN);
	}
	data(side, 1, STREAM_IN, 7, "x");
	mark(side, 1, 8, ECHO_SHOWN);
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "h0:7=? i7:x close() ");
	const char *got = read_all(side->recordings_dir, "alice-1", priv, NULL);
	cr_assert(strcmp(got, "h0:7=hunter2 i7:x close() ") == 0, "%s", got);
	cr_assert(eq(sz, archiver_auditors(side->archiver)->n, 1));
	snprintf(path, sizeof(path), "%s/alice-1.rec", side->recordings_dir);
	f = fopen(path, "rb");
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	cr_assert(memmem(bytes, n, "hunter", 6) == NULL);
	side_close(side);
}

static void
write_auditors(const char *text)
{
	FILE *f = fopen(auditors_file, "w");

	fputs(text, f);
	fclose(f);
}

/* One after the other has the file, and both have it between. */
Test(archiver, auditors_keys_take_turns)
{
	uint8_t pub[2][BOX_KEY_LEN], priv[2][BOX_KEY_LEN];
	char hex[2][2 * BOX_KEY_LEN + 1], text[400];
	static const char *const opened[3][2] = {
		{"=one", "=?"  },
		{"=one", "=one"},
		  {"=?",	 "=one"}
	};

	for (int i = 0; i < 2; i++) {
		cr_assert(eq(int, box_keygen(pub[i], priv[i]), 0));
		hex_encode(hex[i], pub[i], BOX_KEY_LEN);
	}
	for (int turn = 0; turn < 3; turn++) {
		char id[32], want[64];

		snprintf(text, sizeof(text), "# ours\n\n%s%s%s%s", turn < 2 ? hex[0] : "",
			turn < 2 ? " ann's key\n" : "", turn > 0 ? hex[1] : "",
			turn > 0 ? "\n" : "");
		write_auditors(text);
		snprintf(id, sizeof(id), "alice-%d", turn);
		struct side *side = open_side(0);
		start(side, (uint64_t)turn + 1, id);
		data(side, (uint64_t)turn + 1, STREAM_IN, 0, "one");
		simple(side, (uint64_t)turn + 1, JOURNAL_SESSION_END, 0, "");
		run(side);
		for (int k = 0; k < 2; k++) {
			const char *got = read_all(side->recordings_dir, id, priv[k], NULL);
			snprintf(want, sizeof(want), "h0:3%s close() ", opened[turn][k]);
			cr_assert(strcmp(got, want) == 0, "turn %d, key %d: %s", turn, k, got);
		}
		side_close(side);
	}
}

Test(archiver, auditors_keys_that_are_none_stop_the_start)
{
	struct hw_err err = HW_ERR_INIT;
	struct side side;

	write_auditors("# ours\n0000\n");
	cr_assert(eq(int, side_open(&side, s.dir, 0, false, NULL, &err), HW_EVALIDATION));
	cr_assert(strstr(err.text, "auditors.pub: line 2: ") != NULL, "%s", err.text);
	side_close(&side);
}

Test(archiver, what_was_rewound_is_hidden_and_recorded_anew)
{
	struct side *side = open_side(0);

	start(side, 1, "alice-1");
	data(side, 1, STREAM_IN, 0, "abcd");
	mark(side, 1, 1, ECHO_SHOWN);
	simple(side, 1, JOURNAL_REWIND, 2, "");
	data(side, 1, STREAM_IN, 2, "xy");
	mark(side, 1, 4, ECHO_SHOWN);
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "i0:a i1:b h2:2 rewind2 i2:xy close() ");
	side_close(side);
}

Test(archiver, output_that_is_rewound_hides_no_input)
{
	struct side *side = open_side(0);

	start(side, 1, "alice-1");
	data(side, 1, STREAM_IN, 0, "abcd");
	data(side, 1, STREAM_OUT, 0, "xyz");
	append(side,
		&(struct journal_record){.type = JOURNAL_REWIND,
			.session = 1,
			.stream = STREAM_OUT,
			.offset = 1,
			.time = clock_wall(&s.clock.clock)});
	data(side, 1, STREAM_OUT, 1, "yz");
	mark(side, 1, 4, ECHO_SHOWN);
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "i0:abcd o0:xyz rewind1 o1:yz close() ");
	side_close(side);
}

Test(archiver, any_number_of_marks_in_one_record_is_harmless)
{
	struct side *side = open_side(0);
	static char text[60001];

	memset(text, 'x', sizeof(text) - 1);
	start(side, 1, "alice-1");
	data(side, 1, STREAM_IN, 0, text);
	for (uint64_t i = 1; i < sizeof(text); i++) {
		mark(side, 1, i, i % 2 ? ECHO_SHOWN : ECHO_HIDDEN);
		if (i % 10000 == 0)
			run(side);
	}
	data(side, 1, STREAM_IN, sizeof(text) - 1, "y");
	mark(side, 1, sizeof(text), ECHO_SHOWN);
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	const char *got = read_all(side->recordings_dir, "alice-1", NULL, NULL);
	cr_assert(strncmp(got, "i0:x h1:1 i2:x h3:1 ", 20) == 0, "%.100s", got);
	cr_assert(strstr(got, "i60000:y close() ") != NULL);
	side_close(side);
}

Test(archiver, masks_go_over_events_and_not_over_streams)
{
	FILE *f = fopen(masks_file, "w");
	fputs("token=\\K\\w+\n", f);
	fclose(f);
	struct side *side = open_side(0);
	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "tok");
	data(side, 1, STREAM_IN, 0, "token=");
	mark(side, 1, 6, ECHO_SHOWN);
	data(side, 1, STREAM_OUT, 3, "en=ab");
	data(side, 1, STREAM_IN, 6, "q\r");
	mark(side, 1, 8, ECHO_SHOWN);
	data(side, 1, STREAM_OUT, 8, "c\nx");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "o0:tok i0:token= o3:en=** i6:*\r o8:*\nx close() ");
	side_close(side);
}

/* Blocks end when a minute has passed, or somebody reads; a line that somebody types does not. */
Test(archiver, a_line_that_goes_on_is_not_cut_before_its_masks_have_seen_it)
{
	FILE *f = fopen(masks_file, "w");
	fputs("token=\\K\\w+\n", f);
	fclose(f);
	struct side *side = open_side(0);
	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "$ ");
	run(side);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0)); /* it has a file */
	data(side, 1, STREAM_OUT, 2, "token=ab");
	run(side);
	fake_clock_advance(&s.clock, 5 * USEC_PER_SEC);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	expect(side, "alice-1", "o0:$  ...");
	fake_clock_advance(&s.clock, 4 * USEC_PER_SEC);
	data(side, 1, STREAM_OUT, 10, "cd");
	fake_clock_advance(&s.clock, 9 * USEC_PER_SEC);
	run(side);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	data(side, 1, STREAM_OUT, 12, "ef\n");
	run(side);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	expect(side, "alice-1", "o0:$  o2:token=** o10:** o12:**\n ...");

	/* One that stands still is shown, and one without an end is shown some time. */
	data(side, 1, STREAM_OUT, 15, "$ ");
	run(side);
	fake_clock_advance(&s.clock, 11 * USEC_PER_SEC);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	expect(side, "alice-1", "o0:$  o2:token=** o10:** o12:**\n o15:$  ...");
	for (uint64_t i = 0; i < 30; i++) {
		data(side, 1, STREAM_OUT, 17 + i, ".");
		run(side);
		fake_clock_advance(&s.clock, 5 * USEC_PER_SEC);
		cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	}
	cr_assert_not_null(strstr(read_all(side->recordings_dir, "alice-1", NULL, NULL), "o40:. "));
	side_close(side);
}

Test(archiver, authors_and_screens_keep_their_place)
{
	static char large[150000];
	struct side *side = open_side(0);

	memset(large, 's', sizeof(large) - 1);
	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "$ ");
	append(side, &(struct journal_record){.type = JOURNAL_AUTHOR, .session = 1, .author = 2});
	append(side,
		&(struct journal_record){
			.type = JOURNAL_DATA, .session = 1, .author = 2, .bytes = "ls", .len = 2});
	simple(side, 1, JOURNAL_SCREEN, 2, large);
	mark(side, 1, 2, ECHO_SHOWN);
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1",
		"o0:$  author2@0 i0:ls screen2-84463:65536 screen2-18927:65536"
		" screen2-0:18927 close() ");
	side_close(side);
}

/* A screen shows again what was masked where it was written. */
Test(archiver, masks_go_over_screens)
{
	FILE *f = fopen(masks_file, "w");
	char path[300];
	struct recording *r;
	const uint8_t *p;
	size_t n;

	fputs("token=[a-z]+\n", f);
	fclose(f);
	struct side *side = open_side(0);
	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "token=secret\r\n");
	simple(side, 1, JOURNAL_SCREEN, 14, "\033[Htoken=secret\r\n$ ");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	snprintf(path, sizeof(path), "%s", side->recordings_dir);
	cr_assert(eq(int, recording_open(&r, path, "alice-1", &s.master, NULL), 0));
	cr_assert(eq(int, recording_next(r, &p, &n, NULL), 1));
	cr_assert(memmem(p, n, "secret", 6) == NULL);
	cr_assert(memmem(p, n, "\r\n$ ", 4) != NULL);
	recording_close(r);
	side_close(side);
}

Test(archiver, sessions_with_impossible_ids_are_refused_alone)
{
	struct side *side = open_side(0);
	char names[300];

	start(side, 1, "../evil");
	start(side, 2, ".hidden");
	start(side, 3, "a/b");
	start(side, 4, "good-1");
	start(side, 5, "good-1"); /* twice */
	for (uint64_t i = 1; i < 6; i++) {
		data(side, i, STREAM_OUT, 0, i == 4 ? "yes" : "no");
		simple(side, i, JOURNAL_SESSION_END, 0, "");
	}
	run(side);
	cr_assert(strcmp(dir_names(names, sizeof(names), side->recordings_dir), "good-1.rec") == 0,
		"%s", names);
	expect(side, "good-1", "o0:yes close() ");
	expect(side, "../evil", "ValidationException");
	expect(side, "nobody-1", "ResourceNotFoundException");
	side_close(side);
}

Test(archiver, big_output_becomes_many_blocks)
{
	struct side *side = open_side(1024 * 1024);
	static char chunk[65537];
	struct hw_err err = HW_ERR_INIT;
	struct recording *r;
	const uint8_t *p;
	size_t n, used, total = 0, blocks = 0;
	char names[1000];

	start(side, 1, "alice-1");
	for (uint64_t i = 0; i < 100; i++) {
		memset(chunk, 'a' + (int)(i % 26), sizeof(chunk) - 1);
		data(side, 1, STREAM_OUT, i * (sizeof(chunk) - 1), chunk);
		if (i % 10 == 0)
			run(side);
	}
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	cr_assert(eq(int, recording_open(&r, side->recordings_dir, "alice-1", &s.master, &err), 0));
	for (; recording_next(r, &p, &n, &err) == 1; blocks++) {
		cr_assert(le(sz, n, 262144));
		for (; n > 0; p += used, n -= used) {
			struct event ev;
			cr_assert(eq(int, event_decode(&ev, p, n, &used), 0));
			if (ev.type != EVENT_DATA)
				continue;
			cr_assert(eq(u64, ev.offset, total));
			for (size_t i = 0; i < ev.len; i++)
				cr_assert(ev.bytes[i] == 'a' + (total + i) / 65536 % 26);
			total += ev.len;
		}
	}
	cr_assert(recording_complete(r));
	cr_assert(eq(sz, total, 6553600));
	cr_assert(gt(sz, blocks, 25));
	recording_close(r);
	dir_names(names, sizeof(names), side->journal_dir);
	cr_assert(lt(sz, strlen(names), 100), "%s", names); /* old segments went */
	side_close(side);
}

Test(archiver, an_idle_session_does_not_keep_the_journal)
{
	struct side *side = open_side(4096);
	char names[1000];

	start(side, 1, "idle-1");
	data(side, 1, STREAM_OUT, 0, "idle");
	data(side, 1, STREAM_IN, 0, "never marked");
	start(side, 2, "busy-2");
	for (uint64_t i = 0; i < 1000; i++) {
		data(side, 2, STREAM_OUT, 2 * i, "xy");
		run(side);
	}
	dir_names(names, sizeof(names), side->journal_dir);
	cr_assert(lt(sz, strlen(names), 100), "%s", names);
	expect(side, "idle-1", "o0:idle h0:12 ...");
	data(side, 1, STREAM_OUT, 4, "!");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "idle-1", "o0:idle h0:12 o4:! close() ");
	side_close(side);
}

/* A full disk, or a power cut: the journal has no record of it that is older than the segment in
 * which it spoke again. */
Test(archiver, a_block_that_is_torn_after_a_long_silence_is_made_again)
{
	static const uint8_t torn[] = {'H', 'W', 'B', 'K', 200, 0, 0, 0, 9, 9};
	static const size_t lengths[] = {1, 10};
	char name[40], path[300];

	for (size_t i = 0; i < 2; i++) {
		struct side *side = open_side(4096);
		snprintf(name, sizeof(name), "idle-%zu", i);
		start(side, 10 + i, name);
		data(side, 10 + i, STREAM_OUT, 0, "before");
		start(side, 20 + i, i == 0 ? "busy-0" : "busy-1");
		for (uint64_t k = 0; k < 500; k++) {
			data(side, 20 + i, STREAM_OUT, 2 * k, "xy");
			run(side);
		}
		data(side, 10 + i, STREAM_OUT, 6, "after");
		side_close(side);
		snprintf(path, sizeof(path), "%s/%s.part", side->recordings_dir, name);
		FILE *f = fopen(path, "ab");
		cr_assert(eq(sz, fwrite(torn, 1, lengths[i], f), lengths[i]));
		fclose(f);
		side = open_side(4096);
		simple(side, 10 + i, JOURNAL_SESSION_END, 0, "");
		run(side);
		expect(side, name, "o0:before o6:after close() ");
		side_close(side);
	}
}

/* However often the relay starts before the node is heard of again. */
Test(archiver, input_stays_unknown_over_many_starts_until_it_is_marked)
{
	struct side *side = open_side(0);

	start(side, 1, "alice-1");
	data(side, 1, STREAM_IN, 0, "ls\rsecret\r");
	for (int i = 0; i < 5; i++) {
		run(side);
		side_close(side);
		side = open_side(0);
		data(side, 1, STREAM_OUT, (uint64_t)i, ".");
	}
	mark(side, 1, 3, ECHO_SHOWN);
	mark(side, 1, 10, ECHO_HIDDEN);
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "i0:ls\r h3:7 o0:. o1:. o2:. o3:. o4:. close() ");
	side_close(side);
}

Test(archiver, what_goes_into_a_pipe_needs_no_mark)
{
	struct side *side = open_side(0);

	start_type(side, 1, "alice-1", CHANNEL_TYPE_EXEC);
	data(side, 1, STREAM_IN, 0, "one");
	append(side,
		&(struct journal_record){
			.type = JOURNAL_REWIND, .session = 1, .stream = STREAM_IN, .offset = 1});
	run(side);
	side_close(side);
	side = open_side(0);
	data(side, 1, STREAM_IN, 1, "ther");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	expect(side, "alice-1", "i0:one rewind1 i1:ther close() ");
	side_close(side);
}

Test(archiver, damaged_recordings_are_found)
{
	struct side *side = open_side(0);
	char path[300], to[300];
	struct hw_err err = HW_ERR_INIT;
	struct recording *r;
	const uint8_t *p;
	size_t n;

	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "hello");
	simple(side, 1, JOURNAL_SESSION_END, 0, "");
	run(side);
	snprintf(path, sizeof(path), "%s/alice-1.rec", side->recordings_dir);
	for (long long at = 0; at < file_length(path); at++) {
		file_flip(path, at);
		int code = recording_open(&r, side->recordings_dir, "alice-1", &s.master, &err);
		if (code == 0) {
			code = recording_next(r, &p, &n, &err);
			/* A length that is too long looks like a block that is being written. */
			cr_assert(code == HW_ECORRUPT || (code == 0 && !recording_complete(r)));
			recording_close(r);
		} else {
			cr_assert(code == HW_ECORRUPT || code == HW_ENOTFOUND);
		}
		file_flip(path, at);
	}
	snprintf(to, sizeof(to), "%s/bob-1.rec", side->recordings_dir);
	rename(path, to);
	expect(side, "bob-1", "CorruptData");
	side_close(side);
}

Test(archiver, threads_work_together)
{
	struct side side;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, side_open(&side, s.dir, NULL, 65536, true, &err), 0), "%s", err.text);
	start(&side, 1, "alice-1");
	for (uint64_t i = 0; i < 2000; i++) {
		data(&side, 1, STREAM_OUT, 3 * i, "abc");
		journal_write(side.journal);
		if (i % 500 == 499) {
			cr_assert(eq(int, journal_wait(side.journal, journal_written(side.journal)),
				0));
			cr_assert(eq(int, archiver_flush(side.archiver, "alice-1", &err), 0));
			char last[30];
			snprintf(last, sizeof(last), "o%" PRIu64 ":abc ...", 3 * i);
			const char *got = read_all(side.recordings_dir, "alice-1", NULL, NULL);
			cr_assert(strstr(got, last) != NULL);
		}
	}
	simple(&side, 1, JOURNAL_SESSION_END, 0, "");
	journal_sync(side.journal);
	while (sem_wait(&side.told) < 0)
		; /* a signal; the suite has a time limit */
	side_close(&side);
	cr_assert(eq(int, side.sealed, 1));
}

/* --- the ledger ------------------------------------------------------------------------------- */

static int
count_entries(const char *ledger_dir, const char *journal_dir, int *sealed)
{
	struct hw_err err = HW_ERR_INIT;
	struct msg_ledger_entry *entry;
	struct ledger_reader *r;
	struct msg_bin bytes;
	int n = 0, code;

	cr_assert(eq(int, ledger_reader_open(&r, ledger_dir, journal_dir, &s.master, &err), 0));
	for (;; n++) {
		struct arena *a = arena_new(1 << 20);
		code = ledger_reader_next(r, a, &entry, &bytes, &err);
		if (code == 1) {
			cr_assert(eq(i64, entry->sequence, n));
			cr_assert(strcmp(entry->relay, "relay-1") == 0);
			cr_assert(eq(sz, entry->salt.n, 16));
			if (sealed != NULL && strcmp(entry->kind, "recording.sealed") == 0)
				++*sealed;
		}
		arena_free(a);
		if (code != 1)
			break;
	}
	ledger_reader_close(r);
	cr_assert(eq(int, code, 0), "%s", err.text);
	return n;
}

Test(archiver, the_ledger_is_whole_wherever_its_entries_are)
{
	struct msg_ledger_entry entry = {.principal = "arn:x", .detail = "{}"};
	const char *none = "/nonexistent";
	struct side *side = open_side(2000);
	int n = 0;

	for (int life = 0; life < 3; life++) {
		for (int i = 0; i < 40; i++, n++) {
			cr_assert(eq(int, ledger_commit(side->ledger, ENTRY_LINK_UP, &entry), 0));
			if (i % 7 == 0)
				run(side);
			cr_assert(eq(int, count_entries(side->ledger_dir, side->journal_dir, NULL),
				n + 1));
		}
		side_close(side);
		cr_assert(eq(int, count_entries(side->ledger_dir, side->journal_dir, NULL), n));
		cr_assert(lt(int, count_entries(side->ledger_dir, none, NULL), n));
		side = open_side(2000);
	}
	side_close(side);
}

/* Otherwise it would look like one that somebody had put there. */
Test(archiver, a_recording_whose_seal_is_not_in_the_ledger_is_not_done_with)
{
	struct side *side = open_side(0);
	struct hw_err err = HW_ERR_INIT;
	char path[300];
	int sealed = 0;

	snprintf(path, sizeof(path), "%s/alice-1.rec", side->recordings_dir);
	side->refused = 2;
	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "$ ");
	simple(side, 1, JOURNAL_SESSION_END, 0, "bye");
	journal_sync(side->journal);
	for (int i = 0; i < 2; i++) {
		cr_assert(eq(int, archiver_run(side->archiver, &err), HW_ERECORD));
		cr_assert(eq(int, side->sealed, i + 1));
		cr_assert(ne(int, access(path, F_OK), 0));
		fake_clock_advance(&s.clock, (3 + 2 * i) * USEC_PER_SEC);
	}
	run(side);
	cr_assert(eq(int, side->stalls, 1));
	cr_assert(eq(int, side->resumes, 1));
	cr_assert(eq(int, side->sealed, 3));
	cr_assert(eq(int, access(path, F_OK), 0));
	count_entries(side->ledger_dir, side->journal_dir, &sealed);
	cr_assert(eq(int, sealed, 1));
	expect(side, "alice-1", "o0:$  close(bye) ");
	side_close(side);
}

static size_t
count_files(const char *dir, const char *begins)
{
	const struct dirent *e;
	size_t n = 0;
	DIR *d = opendir(dir);

	cr_assert(ne(ptr, d, NULL));
	while ((e = readdir(d)) != NULL)
		n += strncmp(e->d_name, begins, strlen(begins)) == 0;
	closedir(d);
	return n;
}

/* As it is when complete recordings were copied after a backup was made, and put back beside it:
 * this relay's session was open, and goes on. */
Test(archiver, a_recording_that_has_the_final_name_already_is_set_aside_and_kept)
{
	struct side *side = open_side(0);
	char path[300];
	struct buf was;
	int fd;

	start(side, 1, "alice-1");
	data(side, 1, STREAM_OUT, 0, "one");
	journal_sync(side->journal);
	run(side);
	cr_assert(eq(int, archiver_flush(side->archiver, "alice-1", NULL), 0));
	side_close(side);
	snprintf(path, sizeof(path), "%s/alice-1.rec", side->recordings_dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert(eq(int, fd_write_all(fd, "of another past", 15, NULL), 0));
	close(fd);

	side = open_side(0);
	cr_assert(ne(int, access(path, F_OK), 0)); /* who reads the session reads this one */
	data(side, 1, STREAM_OUT, 3, "two");
	simple(side, 1, JOURNAL_SESSION_END, 0, "bye");
	journal_sync(side->journal);
	fd = open(path, O_WRONLY | O_CREAT, 0600); /* and once more, late */
	close(fd);
	run(side);
	expect(side, "alice-1", "o0:one o3:two close(bye) ");
	cr_assert(eq(sz, count_files(side->recordings_dir, "alice-1.rec.aside-"), 2));
	cr_assert(eq(sz, count_files(side->recordings_dir, "alice-1"), 3));
	side_close(side);
	snprintf(path, sizeof(path), "cat %s/alice-1.rec.aside-* > %s/was", side->recordings_dir,
		s.dir);
	cr_assert(eq(int, system(path), 0));
	buf_init(&was, 100);
	snprintf(path, sizeof(path), "%s/was", s.dir);
	cr_assert(eq(int, file_read(&was, AT_FDCWD, path, NULL), 0));
	cr_assert_str_eq(buf_str(&was), "of another past");
	buf_fini(&was);
}

/* Bytes that nothing makes shorter. */
static void
noise(struct side *side, uint64_t session, size_t n)
{
	static uint8_t bytes[200000];
	uint64_t x = 88172645463325252u;

	for (uint64_t offset = 0; offset < n; offset += sizeof(bytes)) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bytes[i] = (uint8_t)x;
		}
		append(side,
			&(struct journal_record){.type = JOURNAL_DATA,
				.session = session,
				.stream = STREAM_OUT,
				.offset = offset,
				.time = clock_wall(&s.clock.clock),
				.bytes = bytes,
				.len = sizeof(bytes)});
	}
}

/* All at once would be a burst of syncs each minute, and twice the memory. */
Test(archiver, recordings_that_began_together_have_their_checkpoints_apart)
{
	enum { SESSIONS = 60, SECONDS = 61 };
	struct side *side = open_side(0);
	int most = 0, before;
	char id[32];

	for (int i = 0; i < SESSIONS; i++) {
		snprintf(id, sizeof(id), "alice-%d", i);
		start(side, 1 + (uint64_t)i * 0x9e3779b97f4a7c15, id);
		data(side, 1 + (uint64_t)i * 0x9e3779b97f4a7c15, STREAM_OUT, 0, "some");
	}
	for (int i = 0; i < SECONDS; i++) {
		before = side->checkpoints;
		fake_clock_advance(&s.clock, USEC_PER_SEC);
		run(side);
		cr_assert(i >= 29 || side->checkpoints == 0);
		if (side->checkpoints - before > most)
			most = side->checkpoints - before;
	}
	cr_assert(eq(int, side->checkpoints, SESSIONS));
	cr_assert(le(int, most, 6));
	side_close(side);
}

/* Read again from the journal it has another key: no entry may speak of that. */
Test(archiver, a_deleted_recording_that_the_journal_has_is_not_spoken_of)
{
	const struct msg_ledger_entry deleted = {.session_id = "alice-1", .reason = "a test"};
	struct side *side = open_side(0);
	char names[400];

	start(side, 1, "alice-1");
	noise(side, 1, 20000000);
	simple(side, 1, JOURNAL_SESSION_END, 0, "bye");
	run(side);
	cr_assert(gt(int, side->checkpoints, 0));
	cr_assert(eq(int, ledger_commit(side->ledger, ENTRY_RECORDING_DELETED, &deleted), 0));
	snprintf(names, sizeof(names), "%s/alice-1.rec", side->recordings_dir);
	cr_assert(eq(int, unlink(names), 0));
	side_close(side);
	side = open_side(0);
	run(side);
	cr_assert(eq(int, side->checkpoints, 0));
	cr_assert(eq(int, side->sealed, 0));
	dir_names(names, sizeof(names), side->recordings_dir);
	cr_assert_str_eq(names, "");
	side_close(side);
}

Test(archiver, a_missing_or_changed_ledger_entry_is_named)
{
	struct msg_ledger_entry entry = {.principal = "arn:x"}, *got;
	struct side *side = open_side(2000);
	struct hw_err err = HW_ERR_INIT;
	struct ledger_reader *r;
	struct msg_bin bytes;
	char path[300];
	int code;

	for (int i = 0; i < 100; i++)
		ledger_commit(side->ledger, ENTRY_LINK_UP, &entry);
	run(side);
	side_close(side);
	snprintf(path, sizeof(path), "%s/ledger-0000000000000000.log", side->ledger_dir);
	file_flip(path, 128 + 5 * 170);
	struct arena *a = arena_new(1 << 20);
	ledger_reader_open(&r, side->ledger_dir, side->journal_dir, &s.master, &err);
	while ((code = ledger_reader_next(r, a, &got, &bytes, &err)) == 1)
		;
	cr_assert(eq(int, code, HW_ECORRUPT));
	cr_assert(strstr(err.text, "ledger entry ") != NULL, "%s", err.text);
	ledger_reader_close(r);
	arena_free(a);
	cr_assert(eq(int, side_open(side, s.dir, NULL, 0, false, &err), HW_ECORRUPT));
	side_close(side);
}

/* How many entries the ledger's files have, or what was wrong. */
static int
count_filed(const char *ledger_dir, const struct secret_key *master)
{
	struct ledger_stored entry;
	struct ledger_files *f;
	int n = 0, r;

	if ((r = ledger_files_open(&f, ledger_dir, master, 0, NULL)) < 0)
		return r;
	while ((r = ledger_files_read(f, &entry, NULL)) == 1)
		n++;
	ledger_files_close(f);
	return r < 0 ? r : n;
}

Test(archiver, another_master_key_opens_the_ledgers_files_and_they_go_on)
{
	struct msg_ledger_entry entry = {.principal = "arn:x"};
	struct side *side = open_side(2000);
	struct ledger_writer *w;
	struct secret_key other;
	char path[300];

	for (int i = 0; i < 100; i++)
		ledger_commit(side->ledger, ENTRY_LINK_UP, &entry);
	run(side);
	int n = count_filed(side->ledger_dir, &s.master);
	cr_assert(gt(int, n, 0));
	secret_key_random(&other);
	cr_assert(eq(int, ledger_files_rewrap(side->ledger_dir, &s.master, &other, NULL), 0));
	cr_assert(eq(int, count_filed(side->ledger_dir, &other), n));
	cr_assert(eq(int, count_filed(side->ledger_dir, &s.master), HW_ECORRUPT));

	/* the key alone was written: going on with the rotation puts its checksum in */
	snprintf(path, sizeof(path), "%s/ledger-0000000000000000.log", side->ledger_dir);
	file_flip(path, 124);
	cr_assert(eq(int, count_filed(side->ledger_dir, &other), HW_ECORRUPT));
	cr_assert(eq(int, ledger_files_rewrap(side->ledger_dir, &s.master, &other, NULL), 0));
	cr_assert(eq(int, count_filed(side->ledger_dir, &other), n));

	cr_assert(eq(int, ledger_writer_open(&w, side->ledger_dir, &other, (uint64_t)n, NULL, NULL),
		0));
	cr_assert(eq(u64, ledger_writer_next(w), (uint64_t)n));
	ledger_writer_close(w);

	/* neither key, or another file's head */
	file_flip(path, 20);
	cr_assert(eq(int, ledger_files_rewrap(side->ledger_dir, &other, &s.master, NULL),
		HW_ECORRUPT));
	file_flip(path, 20);
	file_flip(path, 8);
	cr_assert(eq(int, ledger_files_rewrap(side->ledger_dir, &other, &s.master, NULL),
		HW_ECORRUPT));
	file_flip(path, 8);
	cr_assert(eq(int, ledger_files_rewrap(side->ledger_dir, &other, &s.master, NULL), 0));
	side_close(side);
}

/* --- crashes ---------------------------------------------------------------------------------- */

struct snapshots {
	char dir[80];
	int n, max;
	bool on;
};

static void
snapshot(struct snapshots *snap)
{
	static const char *const parts[] = {"journal", "recordings", "ledger"};
	char to[120], from[120];

	if (!snap->on)
		return;
	hw_assert(snap->n < snap->max);
	snprintf(to, sizeof(to), "%s/%d", snap->dir, snap->n++);
	mkdir(to, 0700);
	for (int i = 0; i < 3; i++) {
		snprintf(to, sizeof(to), "%s/%d/%s", snap->dir, snap->n - 1, parts[i]);
		snprintf(from, sizeof(from), "%s/%s", s.dir, parts[i]);
		dir_copy(to, from);
	}
}

static ssize_t
snapshot_write(void *arg, int fd, const void *p, size_t n)
{
	snapshot(arg);
	size_t half = n / 2;
	hw_assert(write(fd, p, half) == (ssize_t)half);
	snapshot(arg);
	return (ssize_t)half + write(fd, (const char *)p + half, n - half);
}

static int
snapshot_sync(void *arg, int fd)
{
	(void)fd;
	snapshot(arg);
	return 0;
}

static void
story(struct side *side, int step)
{
	struct msg_ledger_entry entry = {.principal = "arn:x"};
	static char text[1501];

	memset(text, 'a' + step % 26, sizeof(text) - 1);
	if (step == 0) {
		start(side, 1, "alice-1");
		start(side, 2, "bob-2");
	}
	data(side, 1, STREAM_OUT, (uint64_t)step * 1500, text);
	data(side, 2, STREAM_IN, (uint64_t)step * 2, "ab");
	if (step % 3 == 1)
		mark(side, 2, (uint64_t)step * 2 + 1, step % 2 ? ECHO_SHOWN : ECHO_HIDDEN);
	ledger_append(side->ledger, ENTRY_LINK_UP, &entry, NULL);
	if (step == 6)
		simple(side, 2, JOURNAL_SESSION_END, 0, "bob");
	if (step == 7) {
		start(side, 3, "carol-3");
		simple(side, 3, JOURNAL_SESSION_END, 0, "carol");
	}
	if (step == 11)
		simple(side, 1, JOURNAL_SESSION_END, 0, "alice");
}

/* What each recording must hold in the end; a crash decides only which input was still unknown when
 * its segment had to go, so that input is compared by its count alone. */
static uint64_t
check_alice(const struct side *side)
{
	const char *got = read_all(side->recordings_dir, "alice-1", NULL, NULL);
	static char want[40000];
	size_t n = 0;

	for (int step = 0; step < 12; step++) {
		n += (size_t)sprintf(want + n, "o%d:", step * 1500);
		memset(want + n, 'a' + step, 1500);
		n += 1500;
		want[n++] = ' ';
	}
	strcpy(want + n, "close(alice) ");
	cr_assert(strcmp(got, want) == 0, "%.200s", got);
	return strlen(got);
}

static void
check_bob(const struct side *side)
{
	struct hw_err err = HW_ERR_INIT;
	struct recording *r;
	const uint8_t *p;
	uint64_t due = 0;
	size_t n, used;
	bool closed = false;

	cr_assert(eq(int, recording_open(&r, side->recordings_dir, "bob-2", &s.master, &err), 0));
	while (recording_next(r, &p, &n, &err) == 1)
		for (; n > 0; p += used, n -= used) {
			struct event ev;
			cr_assert(eq(int, event_decode(&ev, p, n, &used), 0));
			cr_assert(eq(int, closed, false));
			closed = ev.type == EVENT_CLOSE;
			if (closed)
				continue;
			cr_assert(eq(u64, ev.offset, due));
			due += ev.type == EVENT_DATA ? ev.len : ev.hidden;
		}
	cr_assert(closed && recording_complete(r));
	cr_assert(eq(u64, due, 14));
	recording_close(r);
}

/* Goes on from a snapshot to the story's end, and checks that nothing was lost or doubled. */
static void
go_on_from(const char *dir, int step)
{
	struct hw_err err = HW_ERR_INIT;
	struct side side;
	int sealed = 0;

	cr_assert(eq(int, side_open(&side, dir, NULL, 4096, false, &err), 0), "%s: %s", dir,
		err.text);
	run(&side);
	for (; step < 12; step++) {
		story(&side, step);
		run(&side);
	}
	run(&side);
	check_alice(&side);
	check_bob(&side);
	expect(&side, "carol-3", "close(carol) ");
	cr_assert(eq(int, count_entries(side.ledger_dir, side.journal_dir, &sealed), 12 + 3), "%s",
		dir);
	cr_assert(eq(int, sealed, 3), "%s: %d reports", dir, sealed);
	char names[300];
	dir_names(names, sizeof(names), side.recordings_dir);
	cr_assert(strcmp(names, "alice-1.rec bob-2.rec carol-3.rec") == 0, "%s: %s", dir, names);
	side_close(&side);
}

Test(archiver, a_crash_at_any_point_loses_and_doubles_nothing)
{
	struct snapshots snap = {.max = 1000};
	struct journal_io io = {.write = snapshot_write, .sync = snapshot_sync, .arg = &snap};
	struct hw_err err = HW_ERR_INIT;
	struct side side;
	int first[13];

	snprintf(snap.dir, sizeof(snap.dir), "%s/snapshots", s.dir);
	mkdir(snap.dir, 0700);
	cr_assert(eq(int, side_open(&side, s.dir, &io, 4096, false, &err), 0), "%s", err.text);
	for (int step = 0; step < 12; step++) {
		first[step] = snap.n;
		story(&side, step);
		journal_sync(side.journal);
		snap.on = true;
		run(&side);
		snapshot(&snap);
		snap.on = false;
	}
	first[12] = snap.n;
	side_close(&side);
	cr_assert(gt(int, snap.n, 50), "%d", snap.n);
	for (int step = 0; step < 12; step++)
		for (int i = first[step]; i < first[step + 1]; i++) {
			char dir[120];
			snprintf(dir, sizeof(dir), "%s/%d", snap.dir, i);
			go_on_from(dir, step + 1);
		}
}

/* --- disks that fail -------------------------------------------------------------------------- */

struct bad_disk {
	int calls, fail_at;
	int failures;
};

static ssize_t
bad_write(void *arg, int fd, const void *p, size_t n)
{
	struct bad_disk *d = arg;

	if (d->fail_at != 0 && ++d->calls >= d->fail_at) {
		errno = ENOSPC;
		return -1;
	}
	return write(fd, p, n);
}

static int
bad_sync(void *arg, int fd)
{
	struct bad_disk *d = arg;

	(void)fd;
	if (d->fail_at != 0 && ++d->calls == d->fail_at) {
		errno = EIO;
		return -1;
	}
	return 0;
}

struct full_disk {
	int full_at, calls;
	bool full;
};

/* The call fails with half of its bytes written, and all after it until there is room. */
static ssize_t
full_write(void *arg, int fd, const void *p, size_t n)
{
	struct full_disk *d = arg;

	if (++d->calls == d->full_at) {
		d->full = true;
		if (n > 1)
			return write(fd, p, n / 2);
	}
	if (!d->full)
		return write(fd, p, n);
	errno = ENOSPC;
	return -1;
}

Test(archiver, on_a_full_disk_it_waits_and_goes_on_with_nothing_lost)
{
	for (int at = 1;; at++) {
		struct full_disk disk = {.full_at = at};
		struct journal_io io = {.write = full_write, .arg = &disk};
		struct hw_err err = HW_ERR_INIT;
		struct side side;
		char dir[100];
		int step;

		snprintf(dir, sizeof(dir), "%s/full-%d", s.dir, at);
		mkdir(dir, 0700);
		if (side_open(&side, dir, &io, 4096, false, &err) < 0) {
			side_close(&side);
			continue;
		}
		for (step = 0; step < 12; step++) {
			story(&side, step);
			journal_sync(side.journal);
			if (archiver_run(side.archiver, &err) < 0 && disk.full)
				cr_assert(eq(int, archiver_run(side.archiver, NULL), HW_ERECORD));
			if (step % 3 == 2) {
				disk.full = false;
				fake_clock_advance(&s.clock, 3 * USEC_PER_SEC);
			}
		}
		if (archiver_run(side.archiver, &err) < 0 && disk.full) { /* only now */
			disk.full = false;
			fake_clock_advance(&s.clock, 3 * USEC_PER_SEC);
		}
		cr_assert(eq(int, archiver_run(side.archiver, &err), 0), "at %d: %s", at, err.text);
		cr_assert(eq(int, side.stalls, side.resumes));
		int stalls = side.stalls;
		side_close(&side);
		go_on_from(dir, step);
		if (stalls == 0)
			break;
		cr_assert(lt(int, at, 500));
	}
}

/* Each is an alarm in the ledger, which is written on the full disk's reserve. */
Test(archiver, a_full_disk_is_told_once_however_often_it_is_tried)
{
	struct full_disk disk = {.full_at = INT_MAX};
	struct journal_io io = {.write = full_write, .arg = &disk};
	const struct msg_ledger_entry alarm = {.reason = "the disk is full"};
	struct hw_err err = HW_ERR_INIT;
	struct side side;
	int calls = 0, tries = 0;

	cr_assert(eq(int, side_open(&side, s.dir, &io, 4096, false, &err), 0), "%s", err.text);
	start(&side, 1, "alice-1");
	data(&side, 1, STREAM_OUT, 0, "$ ");
	disk.full = true;
	for (int second = 0; second < 120; second++) {
		cr_assert(eq(int, ledger_commit(side.ledger, ENTRY_ALARM, &alarm), 0));
		archiver_run(side.archiver, NULL);
		tries += disk.calls > calls;
		calls = disk.calls;
		fake_clock_advance(&s.clock, USEC_PER_SEC);
	}
	cr_assert(eq(int, side.stalls, 1));
	cr_assert(eq(int, side.resumes, 0));
	cr_assert(gt(int, tries, 4));
	cr_assert(lt(int, tries, 15)); /* ever later */
	disk.full = false;
	fake_clock_advance(&s.clock, 20 * USEC_PER_SEC);
	cr_assert(eq(int, archiver_run(side.archiver, &err), 0), "%s", err.text);
	cr_assert(eq(int, side.stalls, 1));
	cr_assert(eq(int, side.resumes, 1));
	disk.full = true;
	simple(&side, 1, JOURNAL_SESSION_END, 0, "bye");
	journal_sync(side.journal);
	cr_assert(eq(int, archiver_run(side.archiver, NULL), HW_ERECORD));
	cr_assert(eq(int, side.stalls, 2)); /* the next time is another one */
	side_close(&side);
}

Test(archiver, a_failing_disk_stops_it_and_the_journal_keeps_all)
{
	for (int at = 1;; at++) {
		struct bad_disk disk = {.fail_at = at};
		struct journal_io io = {.write = bad_write, .sync = bad_sync, .arg = &disk};
		struct hw_err err = HW_ERR_INIT;
		struct side side;
		char dir[100];
		int r = 0, step;

		snprintf(dir, sizeof(dir), "%s/%d", s.dir, at);
		mkdir(dir, 0700);
		if (side_open(&side, dir, &io, 4096, false, &err) < 0) {
			side_close(&side);
			go_on_from(dir, 0);
			continue;
		}
		for (step = 0; step < 12 && r == 0; step++) {
			story(&side, step);
			journal_sync(side.journal);
			r = archiver_run(side.archiver, &err);
		}
		if (r < 0) {
			cr_assert(eq(int, archiver_run(side.archiver, NULL), HW_ERECORD));
			cr_assert(eq(int, archiver_flush(side.archiver, "alice-1", NULL),
				HW_ERECORD));
		}
		side_close(&side);
		disk.fail_at = 0;
		go_on_from(dir, step);
		if (r == 0)
			break;
		cr_assert(lt(int, at, 500));
	}
}

Test(archiver, what_is_no_recording_is_said_to_be_damaged_from_its_beginning)
{
	struct recording_facts facts;
	struct hw_err err = HW_ERR_INIT;
	uint8_t bytes[200];
	char path[200];

	memset(bytes, 'x', sizeof(bytes));
	snprintf(path, sizeof(path), "%s/none", s.dir);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	cr_assert(fd >= 0);
	for (size_t n = 0; n <= sizeof(bytes); n += sizeof(bytes)) {
		cr_assert(eq(int, (int)pwrite(fd, bytes, n, 0), (int)n));
		cr_assert(eq(int, recording_file_check(&facts, fd, &s.master, &err), HW_ECORRUPT));
		cr_assert(strstr(hw_err_text(&err), "at byte 0,") != NULL, "%s", hw_err_text(&err));
	}
	close(fd);
}
