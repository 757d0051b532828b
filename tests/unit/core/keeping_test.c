/* How long recordings are kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/ledger.h"
#include "audit/recording.h"
#include "proto/wire/codec.h"
#include "relay/core/config.h"
#include "relay/core/keeping.h"
#include "relay/store/holds.h"
#include "relay/store/recording_uploads.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"
#include "relay/store/uploads.h"
#include "tests/unit/ground.h"

#define NODE "mi-00000000000000001"
#define DAY  (86400 * USEC_PER_SEC)
#define NOON (INT64_C(1800000000) * USEC_PER_SEC)

struct place {
	char dir[64], journal[96], recordings[96], ledger_dir[96], db[96];
	struct fake_clock clock;
	struct journal_io io;
	bool full, given; /* the disk is; the journal's reserve was given back */
	struct secret_key master;
	struct relay_config config;
	struct store *store;
	struct journal *j;
	struct ledger *ledger;
	struct archiver *archiver;
	struct hw_err err;
	struct session_row row; /* of the write under way */
	struct hold_row hold;
	uint8_t hash[SHA256_LEN]; /* of the recording that was sealed last */
	uint64_t size;
};

static int
told_sealed(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	struct place *p = arg;

	(void)id;
	memcpy(p->hash, hash, SHA256_LEN);
	p->size = size;
	return 0;
}

static ssize_t
write_to(void *arg, int fd, const void *bytes, size_t n)
{
	const struct place *p = arg;

	if (!p->full || p->given)
		return write(fd, bytes, n);
	errno = ENOSPC;
	return -1;
}

static int
set_aside(void *arg, int fd, size_t size)
{
	struct place *p = arg;

	(void)fd;
	p->given = size == 0;
	return 0;
}

static struct place *
place_new(void)
{
	struct place *p = calloc(1, sizeof(*p));

	ground_new(p->dir, sizeof(p->dir), "keep");
	snprintf(p->db, sizeof(p->db), "%s/relay.db", p->dir);
	snprintf(p->journal, sizeof(p->journal), "%s/journal", p->dir);
	snprintf(p->recordings, sizeof(p->recordings), "%s/recordings", p->dir);
	snprintf(p->ledger_dir, sizeof(p->ledger_dir), "%s/ledger", p->dir);
	fake_clock_init(&p->clock, NOON);
	secret_key_random(&p->master);
	relay_config_default(&p->config);
	const struct store_config sc = {.path = p->db, .clock = &p->clock.clock, .readers = 1};
	cr_assert(eq(int, store_open(&p->store, &sc, &p->err), 0), "%s", p->err.text);
	p->io = (struct journal_io){.write = write_to, .reserve = set_aside, .arg = p};
	const struct journal_config jc = {.dir = p->journal,
		.clock = &p->clock.clock,
		.master = &p->master,
		.reserve = 4096,
		.io = &p->io};
	cr_assert(eq(int, journal_open(&p->j, &jc, NULL, &p->err), 0), "%s", p->err.text);
	p->ledger = ledger_new(p->j, "relay-1", &p->clock.clock);
	const struct archiver_config ac = {.journal_dir = p->journal,
		.recordings_dir = p->recordings,
		.ledger_dir = p->ledger_dir,
		.journal = p->j,
		.master = &p->master,
		.clock = &p->clock.clock,
		.on_sealed = told_sealed,
		.arg = p};
	cr_assert(eq(int, archiver_new(&p->archiver, &ac, &p->err), 0), "%s", p->err.text);
	return p;
}

static void
place_free(struct place *p)
{
	char command[128];

	archiver_free(p->archiver);
	ledger_free(p->ledger);
	journal_close(p->j);
	store_close(p->store);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	cr_assert(eq(int, system(command), 0));
	free(p);
}

static int
write_session(void *arg, struct db *db, struct hw_err *err)
{
	struct place *p = arg;

	return session_insert(db, &p->row, NULL, 0, err);
}

static void
record(struct place *p, enum journal_type type, const char *id, const void *bytes, size_t n)
{
	const struct journal_record r = {.type = type,
		.session = (uint64_t)id[strlen(id) - 1],
		.stream = STREAM_OUT,
		.time = p->row.start,
		.bytes = bytes,
		.len = n};

	cr_assert(eq(int, journal_append(p->j, &r, NULL), 0));
}

/* About that many bytes of it, which ended when the last row says. */
static void
record_all(struct place *p, const char *id, size_t bytes)
{
	struct msg_recording_meta meta = {
		.session_id = id, .type = CHANNEL_TYPE_PTY, .start = p->row.end};
	struct buf out;

	buf_init(&out, 1 << 20);
	cr_assert(eq(int, msg_encode(&out, MSG_ROW(recording_meta), &meta, NULL), 0));
	record(p, JOURNAL_SESSION_START, id, buf_data(&out), out.len);
	buf_fini(&out);
	uint8_t *noise = malloc(bytes);
	int fd = open("/dev/urandom", O_RDONLY);
	cr_assert(read(fd, noise, bytes) == (ssize_t)bytes);
	close(fd);
	for (size_t at = 0; at < bytes; at += 200000)
		record(p, JOURNAL_DATA, id, noise + at, bytes - at < 200000 ? bytes - at : 200000);
	free(noise);
	record(p, JOURNAL_SESSION_END, id, "", 0);
	journal_sync(p->j);
	cr_assert(eq(int, archiver_run(p->archiver, &p->err), 0), "%s", p->err.text);
}

/* One that ended so many days ago, with a recording of about that many bytes; none: a forward. */
static void
ended(struct place *p, const char *id, const char *user, int days, size_t bytes)
{
	p->row = (struct session_row){.type = CHANNEL_TYPE_PTY,
		.node_id = NODE,
		.status = SESSION_STATUS_TERMINATED,
		.start = NOON - days * DAY - 1000,
		.end = NOON - days * DAY};
	snprintf(p->row.id, sizeof(p->row.id), "%s", id);
	snprintf(p->row.principal, sizeof(p->row.principal), "%s", user);
	cr_assert(eq(int, store_write(p->store, write_session, p, &p->err), 0), "%s", p->err.text);
	if (bytes > 0)
		record_all(p, id, bytes);
}

static bool
is_there(const struct place *p, const char *id)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s.rec", p->recordings, id);
	return access(path, F_OK) == 0;
}

static int
keep(struct place *p)
{
	const struct keeping_env env = {.store = p->store,
		.ledger = p->ledger,
		.config = &p->config,
		.master = &p->master,
		.dir = p->dir,
		.now = NOON};
	int deleted;

	cr_assert(eq(int, keeping_run(&deleted, &env, &p->err), 0), "%s", p->err.text);
	return deleted;
}

static int
write_hold(void *arg, struct db *db, struct hw_err *err)
{
	struct place *p = arg;

	return hold_insert(db, &p->hold, err);
}

static int
lift_hold(void *arg, struct db *db, struct hw_err *err)
{
	struct place *p = arg;

	return hold_delete(db, p->hold.id, err);
}

/* Entries of deletions; the last one's hash and size must be these. */
static int
deletions(struct place *p, const uint8_t *hash, uint64_t size)
{
	struct ledger_reader *r;
	struct msg_ledger_entry *e;
	struct msg_bin bytes;
	struct arena *a = arena_new(1 << 20);
	int n = 0;

	cr_assert(eq(int, ledger_reader_open(&r, p->ledger_dir, p->journal, &p->master, &p->err),
		0));
	while (ledger_reader_next(r, a, &e, &bytes, &p->err) == 1) {
		if (strcmp(e->kind, "recording.deleted") != 0)
			continue;
		n++;
		if (hash != NULL) {
			cr_assert(eq(sz, e->hash.n, SHA256_LEN));
			cr_assert(eq(int, memcmp(e->hash.p, hash, SHA256_LEN), 0));
			cr_assert(eq(i64, e->size, (int64_t)size));
		}
	}
	ledger_reader_close(r);
	arena_free(a);
	return n;
}

Test(keeping, nothing_is_deleted_unless_a_setting_says_so)
{
	struct place *p = place_new();

	ended(p, "ann-1", "ann", 5000, 100);
	cr_assert(eq(int, keep(p), 0));
	cr_assert(is_there(p, "ann-1"));
	place_free(p);
}

Test(keeping, what_is_too_old_goes_and_its_hash_stays)
{
	struct place *p = place_new();

	p->config.recording_days = 90;
	ended(p, "ann-1", "ann", 91, 1000);
	uint64_t size = p->size;
	uint8_t hash[SHA256_LEN];
	memcpy(hash, p->hash, sizeof(hash));
	ended(p, "ann-2", "ann", 89, 1000);
	ended(p, "ann-3", "ann", 300, 0);
	cr_assert(eq(int, keep(p), 1));
	cr_assert(is_there(p, "ann-2") && !is_there(p, "ann-1"));
	cr_assert(eq(int, deletions(p, hash, size), 1));
	cr_assert(eq(int, keep(p), 0));
	cr_assert(eq(int, deletions(p, NULL, 0), 1));
	place_free(p);
}

/* It ended a moment ago, and the archiver has yet to write it. */
Test(keeping, a_recording_that_comes_after_a_look_for_it_is_not_forgotten)
{
	struct place *p = place_new();

	p->config.recording_mib = 1;
	p->hold = (struct hold_row){.id = "1", .user = "ann"};
	cr_assert(eq(int, store_write(p->store, write_hold, p, &p->err), 0), "%s", p->err.text);
	ended(p, "ann-1", "ann", 1, 2000 * 1024);
	ended(p, "bob-2", "bob", 0, 0);
	cr_assert(eq(int, keep(p), 0));
	record_all(p, "bob-2", 2000 * 1024);
	cr_assert(eq(int, keep(p), 1));
	cr_assert(is_there(p, "ann-1") && !is_there(p, "bob-2"));
	place_free(p);
}

/* Nothing else makes room again by itself. */
Test(keeping, recordings_are_deleted_on_a_full_disk_too)
{
	const struct msg_ledger_entry e = {.reason = "a test"};
	struct place *p = place_new();

	p->config.recording_days = 90;
	ended(p, "ann-1", "ann", 91, 1000);
	p->full = true;
	cr_assert(eq(int, ledger_commit(p->ledger, ENTRY_ALARM, &e), 0));
	cr_assert(journal_low(p->j));
	cr_assert(eq(int, keep(p), 1));
	cr_assert(not(is_there(p, "ann-1")));
	cr_assert(eq(int, deletions(p, p->hash, p->size), 1));
	place_free(p);
}

Test(keeping, the_oldest_goes_while_there_is_too_much)
{
	struct place *p = place_new();

	p->config.recording_mib = 1;
	for (int i = 0; i < 4; i++) {
		char id[16];
		snprintf(id, sizeof(id), "ann-%d", i);
		ended(p, id, "ann", 40 - i, 200 * 1024);
		snprintf(id, sizeof(id), "bob-%d", i + 4);
		ended(p, id, "bob", 30 - i, 200 * 1024);
	}
	cr_assert(eq(int, keep(p), 3)); /* 1600 KiB to 1000 */
	for (int i = 0; i < 4; i++) {
		char id[16];
		snprintf(id, sizeof(id), "ann-%d", i);
		cr_assert(is_there(p, id) == (i == 3), "%s", id);
		snprintf(id, sizeof(id), "bob-%d", i + 4);
		cr_assert(is_there(p, id), "%s", id);
	}
	cr_assert(eq(int, keep(p), 0));
	place_free(p);
}

struct held {
	const char *name;
	struct hold_row hold;
	bool ann, bob; /* is kept: ann's of 100 days ago, bob's of 200 */
};

Test(keeping, a_hold_keeps_what_is_all_that_it_says)
{
	static const struct held rows[] = {
		{"session",	    {.session_id = "ann-1"},				     true,  false},
		{"user",		 {.user = "bob"},					  false, true },
		{"node",		 {.node_id = NODE},					    true,  true },
		{"other node",      {.node_id = "mi-00000000000000002"},			    false, false},
		{"since",		  {.after = NOON - 150 * DAY},			       true,  false},
		{"until",		  {.before = NOON - 150 * DAY},				false, true },
		{"range",		  {.after = NOON - 300 * DAY, .before = NOON - 150 * DAY}, false, true },
		{"user in a range", {.user = "ann", .before = NOON - 150 * DAY},		 false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct place *p = place_new();
		p->config.recording_days = 90;
		ended(p, "ann-1", "ann", 100, 100);
		ended(p, "bob-2", "bob", 200, 100);
		p->hold = rows[i].hold;
		snprintf(p->hold.id, sizeof(p->hold.id), "0");
		snprintf(p->hold.reason, sizeof(p->hold.reason), "case");
		cr_assert(eq(int, store_write(p->store, write_hold, p, &p->err), 0));
		cr_assert(eq(int, keep(p), !rows[i].ann + !rows[i].bob), "%s", rows[i].name);
		cr_assert(is_there(p, "ann-1") == rows[i].ann, "%s", rows[i].name);
		cr_assert(is_there(p, "bob-2") == rows[i].bob, "%s", rows[i].name);
		cr_assert(eq(int, store_write(p->store, lift_hold, p, &p->err), 0));
		cr_assert(eq(int, keep(p), rows[i].ann + rows[i].bob), "%s", rows[i].name);
		cr_assert(eq(int, deletions(p, NULL, 0), 2));
		cr_assert(eq(int, store_write(p->store, lift_hold, p, &p->err), HW_ENOTFOUND));
		place_free(p);
	}
}

Test(keeping, a_damaged_one_goes_too_and_its_entry_says_so)
{
	struct place *p = place_new();
	char path[256];

	p->config.recording_days = 90;
	ended(p, "ann-1", "ann", 100, 1000);
	snprintf(path, sizeof(path), "%s/ann-1.rec", p->recordings);
	cr_assert(eq(int, truncate(path, 300), 0));
	cr_assert(eq(int, keep(p), 1));
	cr_assert(eq(int, deletions(p, NULL, 0), 1));
	place_free(p);
}

/* --- those that go to a bucket ---------------------------------------------------------------- */

struct queued {
	const char *id;
	int status; /* 0: it has just come */
	int64_t fetched;
};

static int
write_queued(void *arg, struct db *db, struct hw_err *err)
{
	const struct queued *q = arg;
	struct upload_row row = {.kind = UPLOAD_RECORDING, .status = q->status};
	int r = recording_upload_insert(db, q->id, NOON, err);

	snprintf(row.session_id, sizeof(row.session_id), "%s", q->id);
	if (r == 0 && q->status != 0)
		r = upload_set(db, &row, err);
	if (r == 0 && q->fetched != 0)
		r = recording_upload_fetched(db, q->id, q->fetched, err);
	return r;
}

static void
queue(struct place *p, const char *id, int status, int64_t fetched)
{
	struct queued q = {id, status, fetched};

	cr_assert(eq(int, store_write(p->store, write_queued, &q, &p->err), 0), "%s", p->err.text);
}

static struct place *
place_with_bucket(void)
{
	struct place *p = place_new();

	p->config.recording_days = 90;
	snprintf(p->config.s3_endpoint, sizeof(p->config.s3_endpoint), "https://storage");
	snprintf(p->config.recording_s3_bucket, sizeof(p->config.recording_s3_bucket), "tapes");
	ended(p, "ann-1", "ann", 100, 1000);
	return p;
}

Test(keeping, what_is_not_in_its_bucket_yet_stays)
{
	struct place *p = place_with_bucket();

	cr_assert(eq(int, keep(p), 0)); /* nobody has told the queue of it */
	queue(p, "ann-1", 0, 0);
	cr_assert(eq(int, keep(p), 0));
	queue(p, "ann-1", UPLOAD_STATUS_FAILED, 0);
	cr_assert(eq(int, keep(p), 0));
	cr_assert(is_there(p, "ann-1"));
	queue(p, "ann-1", UPLOAD_STATUS_SUCCESS, 0);
	cr_assert(eq(int, keep(p), 1));
	cr_assert_not(is_there(p, "ann-1"));
	cr_assert(eq(int, deletions(p, p->hash, p->size), 1));
	place_free(p);
}

Test(keeping, what_waits_for_its_bucket_is_not_in_the_way_of_others)
{
	struct place *p = place_with_bucket();

	queue(p, "ann-1", UPLOAD_STATUS_FAILED, 0);
	ended(p, "bob-2", "bob", 95, 1000);
	queue(p, "bob-2", UPLOAD_STATUS_SUCCESS, 0);
	ended(p, "bob-3", "bob", 120, 0); /* never had a recording */
	cr_assert(eq(int, keep(p), 1));
	cr_assert(is_there(p, "ann-1") && !is_there(p, "bob-2"));
	place_free(p);
}

Test(keeping, without_a_bucket_or_the_setting_nothing_is_waited_for)
{
	struct place *p = place_with_bucket();

	queue(p, "ann-1", UPLOAD_STATUS_PENDING, 0);
	p->config.recording_s3_first = 0;
	cr_assert(eq(int, keep(p), 1));
	p->config.recording_s3_first = 1;
	ended(p, "bob-2", "bob", 95, 1000);
	queue(p, "bob-2", UPLOAD_STATUS_PENDING, 0);
	p->config.recording_s3_bucket[0] = '\0';
	cr_assert(eq(int, keep(p), 1));
	place_free(p);
}

Test(keeping, what_was_fetched_back_stays_for_a_day)
{
	struct place *p = place_with_bucket();

	queue(p, "ann-1", UPLOAD_STATUS_SUCCESS, NOON - DAY + 1);
	cr_assert(eq(int, keep(p), 0));
	queue(p, "ann-1", UPLOAD_STATUS_SUCCESS, NOON - DAY - 1);
	cr_assert(eq(int, keep(p), 1));
	place_free(p);
}
