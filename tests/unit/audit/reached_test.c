/* Where the streams of sessions stand that a relay left open: by their recordings, by the journal,
 * or by both. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/reached.h"
#include "audit/recording.h"
#include "proto/base/enc.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "tests/unit/audit/scratch.h"

#define SESSION 7
#define ID	"alice-0123456789abcdef0"

static struct scratch s;
static struct journal *journal;
static struct archiver *archiver;

static void
append(const struct journal_record *what)
{
	struct journal_record rec = *what;

	rec.session = rec.session != 0 ? rec.session : SESSION;
	rec.time = clock_wall(&s.clock.clock);
	cr_assert(eq(int, journal_append(journal, &rec, NULL), 0));
}

static void
start(uint64_t session, const char *id)
{
	struct msg_recording_meta meta = {.session_id = id,
		.type = CHANNEL_TYPE_PTY,
		.target = "mi-1",
		.cols = 90,
		.rows = 33,
		.start = clock_wall(&s.clock.clock)};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(recording_meta), &meta, NULL), 0));
	append(&(struct journal_record){.type = JOURNAL_SESSION_START,
		.session = session,
		.bytes = buf_data(&b),
		.len = b.len});
	buf_fini(&b);
}

static void
data(int stream, uint64_t offset, const char *text)
{
	append(&(struct journal_record){.type = JOURNAL_DATA,
		.stream = (uint8_t)stream,
		.offset = offset,
		.bytes = text,
		.len = strlen(text)});
}

static void
mark(enum journal_type type, int stream, uint64_t offset)
{
	append(&(struct journal_record){
		.type = type, .stream = (uint8_t)stream, .offset = offset, .flags = ECHO_SHOWN});
}

/* What the journal has goes into recordings. */
static void
archive(void)
{
	struct hw_err err = HW_ERR_INIT;

	journal_sync(journal);
	cr_assert(eq(int, archiver_run(archiver, &err), 0), "%s", err.text);
	cr_assert(eq(int, archiver_flush(archiver, ID, &err), 0), "%s", err.text);
}

/* And is there no more. */
static void
forget_journal(void)
{
	struct journal_config config = scratch_journal(&s);
	struct hw_err err = HW_ERR_INIT;

	archiver_free(archiver);
	archiver = NULL;
	journal_close(journal);
	dir_remove(s.journal);
	cr_assert(eq(int, journal_open(&journal, &config, NULL, &err), 0), "%s", err.text);
}

static int
on_sealed(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	(void)arg, (void)id, (void)hash, (void)size;
	return 0;
}

static void
setup(void)
{
	struct hw_err err = HW_ERR_INIT;

	scratch_init(&s);
	const struct journal_config jc = scratch_journal(&s);
	cr_assert(eq(int, journal_open(&journal, &jc, NULL, &err), 0), "%s", err.text);
	const struct archiver_config ac = {.journal_dir = s.journal,
		.recordings_dir = s.recordings,
		.ledger_dir = s.ledger,
		.journal = journal,
		.master = &s.master,
		.clock = &s.clock.clock,
		.on_sealed = on_sealed};
	cr_assert(eq(int, archiver_new(&archiver, &ac, &err), 0), "%s", err.text);
}

static void
teardown(void)
{
	archiver_free(archiver);
	journal_close(journal);
	scratch_fini(&s);
}

TestSuite(reached, .init = setup, .fini = teardown, .timeout = 60);

static struct reached_streams
find(uint64_t session, const char *id)
{
	struct reached_streams at;
	struct reached *r = NULL;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, journal_write(journal), 0));
	cr_assert(eq(int, reached_new(&r, s.journal, &s.master, &err), 0), "%s", err.text);
	cr_assert(eq(int, reached_find(&at, r, session, s.recordings, id, &s.master, &err), 0),
		"%s", err.text);
	reached_free(r);
	return at;
}

static void
expect(uint64_t in, uint64_t out, uint64_t err, uint64_t echoed)
{
	struct reached_streams at = find(SESSION, ID);

	cr_assert(at.known);
	cr_assert(eq(u64, at.offset[STREAM_IN], in));
	cr_assert(eq(u64, at.offset[STREAM_OUT], out));
	cr_assert(eq(u64, at.offset[STREAM_ERR], err));
	cr_assert(eq(u64, at.echoed, echoed));
}

Test(reached, what_only_the_journal_has)
{
	start(SESSION, ID);
	expect(0, 0, 0, 0);
	data(STREAM_IN, 0, "ls\r");
	mark(JOURNAL_ECHO, STREAM_IN, 2);
	data(STREAM_OUT, 0, "a\r\n");
	data(STREAM_OUT, 3, "b\r\n");
	data(STREAM_ERR, 0, "?");
	expect(3, 6, 1, 2);
}

Test(reached, what_only_the_recording_has)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "ls\r");
	mark(JOURNAL_ECHO, STREAM_IN, 3);
	data(STREAM_OUT, 0, "a\r\n");
	data(STREAM_ERR, 0, "?");
	archive();
	forget_journal();
	expect(3, 3, 1, 3);
}

/* Also input that it only counts. */
Test(reached, what_a_recording_hides_counts)
{
	start(SESSION, ID);
	data(STREAM_OUT, 0, "Password: ");
	data(STREAM_IN, 0, "secret\r");
	append(&(struct journal_record){.type = JOURNAL_ECHO, .offset = 7, .flags = ECHO_HIDDEN});
	archive();
	forget_journal();
	expect(7, 10, 0, 7);
}

Test(reached, the_journal_is_newer_than_the_recording)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "ls\r");
	mark(JOURNAL_ECHO, STREAM_IN, 3);
	data(STREAM_OUT, 0, "a\r\n");
	archive();
	data(STREAM_IN, 3, "id\r");
	data(STREAM_OUT, 3, "b");
	expect(6, 4, 0, 3);
}

/* Each stream by itself: the journal has dropped what it had of the others. */
Test(reached, a_stream_that_the_journal_does_not_have_is_the_recordings)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "ls\r");
	mark(JOURNAL_ECHO, STREAM_IN, 3);
	data(STREAM_OUT, 0, "a\r\n");
	archive();
	forget_journal();
	data(STREAM_OUT, 3, "later");
	expect(3, 8, 0, 3);
}

Test(reached, a_rewind_sets_back_in_the_journal)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "abcdef");
	mark(JOURNAL_REWIND, STREAM_IN, 2);
	data(STREAM_OUT, 0, "123456");
	mark(JOURNAL_REWIND, STREAM_OUT, 4);
	data(STREAM_OUT, 4, "5");
	expect(2, 5, 0, 0);
}

Test(reached, a_rewind_sets_back_in_a_recording)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "abcdef");
	mark(JOURNAL_ECHO, STREAM_IN, 6);
	mark(JOURNAL_REWIND, STREAM_IN, 2);
	data(STREAM_OUT, 0, "123456");
	mark(JOURNAL_REWIND, STREAM_OUT, 4);
	archive();
	forget_journal();
	expect(2, 4, 0, 2);
}

Test(reached, a_rewind_in_the_journal_sets_back_what_is_in_a_recording)
{
	start(SESSION, ID);
	data(STREAM_OUT, 0, "123456");
	archive();
	mark(JOURNAL_REWIND, STREAM_OUT, 4);
	expect(0, 4, 0, 0);
}

/* --- a long recording ------------------------------------------------------------------------- */

/* Bytes that do not compress, so that marks are left; after them some that no mark is for. */
static void
much(uint64_t bytes)
{
	static uint8_t piece[32 * 1024];
	uint64_t x = 88172645463325252u;

	start(SESSION, ID);
	for (uint64_t at = 0; at < bytes; at += sizeof(piece)) {
		for (size_t i = 0; i < sizeof(piece); i += 8) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			memcpy(piece + i, &x, 8);
		}
		append(&(struct journal_record){.type = JOURNAL_DATA,
			.stream = STREAM_OUT,
			.offset = at,
			.bytes = piece,
			.len = sizeof(piece)});
		if (at % (1 << 20) == 0)
			archive();
	}
	archive();
}

#define MUCH ((uint64_t)20 << 20)

static const char *
file_of(const char *suffix)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/" ID ".%s", s.recordings, suffix);
	return path;
}

static void
go_on_after_a_start(void)
{
	struct hw_err err = HW_ERR_INIT;

	archiver_free(archiver);
	archiver = NULL;
	const struct archiver_config ac = {.journal_dir = s.journal,
		.recordings_dir = s.recordings,
		.ledger_dir = s.ledger,
		.journal = journal,
		.master = &s.master,
		.clock = &s.clock.clock,
		.on_sealed = on_sealed};
	cr_assert(eq(int, archiver_new(&archiver, &ac, &err), 0), "%s", err.text);
}

/* Reads it as an auditor does: all of it, from its beginning. */
static int
read_whole(uint64_t *out)
{
	struct hw_err err = HW_ERR_INIT;
	struct reached_streams at = {.known = false};
	struct recording *r;
	const uint8_t *p;
	size_t n;

	cr_assert(eq(int, recording_open(&r, s.recordings, ID, &s.master, &err), 0), "%s",
		err.text);
	int rc;
	while ((rc = recording_next(r, &p, &n, &err)) > 0)
		cr_assert(eq(int, standing_take(&at, p, n, &err), 0));
	recording_close(r);
	*out = at.offset[STREAM_OUT];
	return rc;
}

/* What was read and checked when it was written is passed over: there may be days of it. */
Test(reached, a_start_reads_what_comes_after_the_mark)
{
	uint64_t all;

	much(MUCH);
	cr_assert(gt(i64, file_length(file_of("part")), (int64_t)MUCH / 2));
	file_flip(file_of("part"), 4 << 20);
	go_on_after_a_start();
	data(STREAM_OUT, MUCH, "more");
	archive();
	forget_journal();
	expect(0, MUCH + 4, 0, 0);
	cr_assert(eq(u32, (uint32_t)find(SESSION, ID).cols, 90));
	cr_assert(eq(int, read_whole(&all), HW_ECORRUPT), "who reads it all is told");
}

Test(reached, a_mark_that_is_damaged_is_as_none)
{
	uint64_t all;

	much(MUCH);
	file_flip(file_of("mark"), 40);
	go_on_after_a_start();
	data(STREAM_OUT, MUCH, "more");
	archive();
	forget_journal();
	expect(0, MUCH + 4, 0, 0);
	cr_assert(eq(int, read_whole(&all), 0));
	cr_assert(eq(u64, all, MUCH + 4));
}

/* The power failed, and the mark reached the disk where the recording did not. */
Test(reached, a_mark_beyond_the_file_is_as_none)
{
	uint64_t all;

	much(MUCH);
	file_cut(file_of("part"), 16 << 20);
	go_on_after_a_start();
	archive();
	cr_assert(eq(int, read_whole(&all), 0));
	cr_assert(eq(u64, all, MUCH), "the journal has the rest");
	expect(0, MUCH, 0, 0);
}

Test(reached, a_mark_goes_with_the_end)
{
	const struct msg_close close = {.exited = true};
	char names[256];
	struct buf b;

	much(MUCH);
	cr_assert(eq(str, (char *)dir_names(names, sizeof(names), s.recordings),
		(char *)ID ".mark " ID ".part"));
	go_on_after_a_start();
	buf_init(&b, 4096);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(close), &close, NULL), 0));
	append(&(struct journal_record){
		.type = JOURNAL_SESSION_END, .bytes = buf_data(&b), .len = b.len});
	buf_fini(&b);
	archive();
	cr_assert(eq(str, (char *)dir_names(names, sizeof(names), s.recordings),
		(char *)ID ".rec"));
}

/* --- who typed, and how large it is ----------------------------------------------------------- */

static void
turn(uint32_t author, uint64_t offset, int64_t base)
{
	const struct msg_recording_author who = {
		.principal = "arn:aws:iam::0:user/bob", .source = "192.0.2.1", .base = base};
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(recording_author), &who, NULL), 0));
	append(&(struct journal_record){.type = JOURNAL_AUTHOR,
		.author = author,
		.offset = offset,
		.bytes = buf_data(&b),
		.len = b.len});
	buf_fini(&b);
}

static void
expect_turn(uint32_t author, uint32_t authors, uint64_t from, uint64_t base)
{
	const struct reached_streams at = find(SESSION, ID);

	cr_assert(eq(u32, at.author, author));
	cr_assert(eq(u32, at.authors, authors));
	cr_assert(eq(u64, at.author_from, from));
	cr_assert(eq(u64, at.author_base, base));
}

static void
turns(void)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "ab");
	turn(1, 2, 2);
	data(STREAM_IN, 2, "XYZ");
	turn(0, 5, 2);
	data(STREAM_IN, 5, "cd");
}

Test(reached, nobody_but_its_owner_typed)
{
	start(SESSION, ID);
	data(STREAM_IN, 0, "ab");
	expect_turn(0, 0, 0, 0);
}

Test(reached, turns_are_in_the_journal)
{
	turns();
	expect_turn(0, 1, 5, 2);
	turn(2, 7, 4);
	expect_turn(2, 2, 7, 4);
}

Test(reached, turns_are_in_a_recording)
{
	turns();
	mark(JOURNAL_ECHO, STREAM_IN, 7);
	archive();
	forget_journal();
	expect_turn(0, 1, 5, 2);
}

Test(reached, turns_in_the_journal_are_newer)
{
	turns();
	mark(JOURNAL_ECHO, STREAM_IN, 7);
	archive();
	forget_journal();
	turn(1, 7, 4);
	expect_turn(1, 1, 7, 4);
}

/* What cannot be read is not taken for anybody's. */
Test(reached, a_turn_that_cannot_be_read_begins_at_its_offset)
{
	turns();
	append(&(struct journal_record){
		.type = JOURNAL_AUTHOR, .author = 3, .offset = 7, .bytes = "\xc1", .len = 1});
	expect_turn(3, 3, 7, 7);
}

static void
resize(uint64_t cols, uint64_t rows)
{
	append(&(struct journal_record){.type = JOURNAL_RESIZE, .offset = cols << 32 | rows});
}

static void
expect_size(int cols, int rows)
{
	const struct reached_streams at = find(SESSION, ID);

	cr_assert(eq(int, at.cols, cols));
	cr_assert(eq(int, at.rows, rows));
}

Test(reached, its_size_is_the_last_that_was_recorded)
{
	start(SESSION, ID);
	expect_size(90, 33);
	resize(100, 40);
	expect_size(100, 40);
	archive();
	expect_size(100, 40);
	forget_journal();
	expect_size(100, 40);
	resize(120, 50);
	expect_size(120, 50);
}

Test(reached, sessions_are_told_apart)
{
	start(SESSION, ID);
	start(SESSION + 1, "bob-0123456789abcdef0");
	data(STREAM_IN, 0, "mine");
	append(&(struct journal_record){.type = JOURNAL_DATA,
		.session = SESSION + 1,
		.stream = STREAM_IN,
		.bytes = "another's",
		.len = 9});
	expect(4, 0, 0, 0);
	cr_assert(eq(u64, find(SESSION + 1, "bob-0123456789abcdef0").offset[STREAM_IN], 9));
}

Test(reached, one_that_nothing_is_recorded_of_is_not_known)
{
	start(SESSION, ID);
	archive();
	struct reached_streams at = find(SESSION + 1, "bob-0123456789abcdef0");
	cr_assert(not(at.known));
	for (int i = 0; i < STREAMS; i++)
		cr_assert(eq(u64, at.offset[i], 0));
	cr_assert(eq(u64, at.echoed, 0));
}

static struct reached_end
find_end(const char *id, bool *ended)
{
	struct reached_end end;
	struct reached *r = NULL;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, journal_write(journal), 0));
	cr_assert(eq(int, reached_new(&r, s.journal, &s.master, &err), 0), "%s", err.text);
	*ended = reached_ended(&end, r, SESSION, id);
	reached_free(r);
	return end;
}

static void
append_message(enum journal_type type, uint64_t session, const struct msg_row *row, const void *msg)
{
	struct buf b;

	buf_init(&b, 65536);
	cr_assert(eq(int, msg_encode(&b, row, msg, NULL), 0));
	append(&(struct journal_record){
		.type = type, .session = session, .bytes = buf_data(&b), .len = b.len});
	buf_fini(&b);
}

/* What a relay that was killed before its store knew had written down. */
Test(reached, how_a_session_ended_is_known)
{
	struct msg_close close = {.exited = true, .exit_status = 7};
	bool ended;

	start(SESSION, ID);
	find_end(ID, &ended);
	cr_assert(not(ended));
	append_message(JOURNAL_SESSION_END, SESSION, MSG_ROW(close), &close);
	struct reached_end end = find_end(ID, &ended);
	cr_assert(ended && end.recorded && end.well && end.exited && !end.noted);
	cr_assert(eq(int, end.exit_status, 7));
	cr_assert(strcmp(end.why, "") == 0);
}

Test(reached, how_the_ledger_says_that_a_session_ended_is_known)
{
	struct msg_close close = {.code = "ServiceUnavailable"};
	bool ended;

	start(SESSION, ID);
	append_message(JOURNAL_SESSION_END, SESSION, MSG_ROW(close), &close);
	struct reached_end end = find_end(ID, &ended);
	cr_assert(ended && end.recorded && !end.well && !end.exited);
	struct ledger *ledger = ledger_new(journal, "relay-1", &s.clock.clock);
	struct msg_ledger_entry e = {.principal = "alice",
		.session_id = ID,
		.outcome = OUTCOME_FAILED,
		.reason = "its agent was started anew"};
	cr_assert(eq(int, ledger_commit(ledger, ENTRY_SESSION_END, &e), 0));
	e.session_id = "bob-0123456789abcdef0";
	e.reason = "another's";
	cr_assert(eq(int, ledger_commit(ledger, ENTRY_SESSION_END, &e), 0));
	end = find_end(ID, &ended);
	cr_assert(ended && end.noted && !end.well);
	cr_assert(strcmp(end.why, "its agent was started anew") == 0);
	ledger_free(ledger);
}

Test(reached, a_journal_that_is_damaged_is_said_to_be)
{
	struct reached *r = NULL;
	struct hw_err err = HW_ERR_INIT;
	char names[512], path[640];

	start(SESSION, ID);
	data(STREAM_IN, 0, "ls\r");
	data(STREAM_IN, 3, "id\r");
	archive();
	dir_names(names, sizeof(names), s.journal);
	names[strcspn(names, " ")] = '\0';
	snprintf(path, sizeof(path), "%s/%s", s.journal, names);
	file_flip(path, file_length(path) / 2);
	cr_assert(eq(int, reached_new(&r, s.journal, &s.master, &err), HW_ECORRUPT), "%s",
		err.text);
	cr_assert(eq(ptr, r, NULL));
}
