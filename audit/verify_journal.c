/*
 * The journal: its segments and frames, and with the master key the entries that only it has. What
 * a segment holds besides is in recordings by the time it goes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/verify_reader.h"

#define HEAD	    128
#define KEY_LEN	    60
#define FRAME_HEAD  8
#define RECORD_HEAD 32
#define FRAME_MIN   (RECORD_HEAD + 16)
#define FRAME_MAX   (RECORD_HEAD + 256 * 1024 + 16)
#define WINDOW	    (2 * 1024 * 1024)
#define SECTOR	    512
#define LEDGER	    1 /* the type of a record */

struct segments {
	struct verify *v;
	struct hw_err *err;
	uint64_t *firsts;
	size_t n, room;
	struct verify_reader file;
	char name[64];
	struct secret_key wrap;
	struct secret_stream *key;
	uint8_t *plain;
	uint64_t next; /* the entry that is due, of those that the ledger's files don't have */
	bool any;
	uint64_t end;  /* of the file at hand */
	uint64_t seen; /* it has entries up to here, or had */
};

static int
each_segment(void *ctx, const char *name, struct hw_err *err)
{
	struct segments *s = ctx;
	char made[64];
	uint64_t first;

	if (sscanf(name, "journal-%16" SCNx64 ".seg", &first) != 1)
		return 0;
	snprintf(made, sizeof(made), "journal-%016" PRIx64 ".seg", first);
	if (strcmp(made, name) != 0)
		return 0;
	uint64_t *list = verify_grow(s->firsts, s->n, &s->room, sizeof(*list));
	if (list == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the journal");
	s->firsts = list;
	list[s->n++] = first;
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool
open_key(struct segments *s, const uint8_t *head)
{
	struct secret_key key;
	char aad[128];
	struct buf b;

	if (s->v->options->master == NULL)
		return true;
	snprintf(aad, sizeof(aad),
		"hawser journal segment %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
		get_le64(head + 8), get_le64(head + 16), get_le64(head + 24));
	buf_init(&b, SECRET_KEY_LEN);
	bool good =
		secret_open(&b, &s->wrap, aad, head + 32, KEY_LEN) == 0 && b.len == SECRET_KEY_LEN;
	secret_stream_free(s->key);
	s->key = NULL;
	if (good) {
		memcpy(key.bytes, b.mem, SECRET_KEY_LEN);
		s->key = secret_stream_new(&key);
		secret_key_wipe(&key);
	}
	buf_wipe(&b);
	buf_fini(&b);
	return good && s->key != NULL;
}

/* A relay that runs may have moved them to the ledger's files since those were read. */
static void
miss(struct segments *s, struct verify_finding at, const char *file, const char *what)
{
	if (s->v->options->is_running)
		verify_doubt(s->v, at, file, "%s: the relay may have filed them meanwhile", what);
	else
		verify_find(s->v, at, file, "%s", what);
}

/* An entry that the ledger's files don't have yet. */
static int
take_entry(struct segments *s, uint64_t number, const uint8_t *p, size_t n, uint64_t at)
{
	struct verify *v = s->v;
	uint8_t leaf[MERKLE_LEN];

	if (number >= s->seen)
		s->seen = number + 1;
	if (number < v->filed_end || (s->any && number < s->next))
		return 0;
	uint64_t due = s->any ? s->next : v->files_end;
	if (number > due)
		miss(s, verify_at(at, VERIFY_NONE, due, number), s->name, "entries are missing");
	s->any = true;
	s->next = number + 1;
	uint64_t i = number - v->filed_end;
	merkle_leaf(leaf, p, n);
	if (i < v->n_leaves && memcmp(v->leaves + i * MERKLE_LEN, leaf, MERKLE_LEN) != 0) {
		verify_find(v, verify_at(at, VERIFY_NONE, number, number + 1), s->name,
			"is not the entry that the tree has in its place");
		return 0;
	}
	if (number >= v->result->head.size) {
		v->unsigned_entries = true;
		return 0; /* nobody has signed it */
	}
	return verify_entry(v, number, p, n, s->name, at, s->err);
}

/* Opens a frame: with the master key alone. */
static int
take_frame(struct segments *s, const uint8_t *frame, uint32_t len, uint64_t pos)
{
	uint8_t aad[12];

	if (s->key == NULL) {
		s->v->sealed_records = true;
		return 0;
	}
	put_le64(aad, pos);
	put_le32(aad + 8, len);
	if (secret_stream_open(s->key, pos, aad, sizeof(aad), s->plain, frame + FRAME_HEAD, len) <
		0) {
		verify_find(s->v,
			verify_at(s->file.at, s->file.at + FRAME_HEAD + len, VERIFY_NONE,
				VERIFY_NONE),
			s->name, "a record does not open");
		return 0;
	}
	if (s->plain[0] != LEDGER)
		return 0;
	return take_entry(s, get_le64(s->plain + 16), s->plain + RECORD_HEAD,
		len - 16 - RECORD_HEAD, s->file.at);
}

static bool
is_frame(const uint8_t *p, size_t n)
{
	uint32_t len = n >= FRAME_HEAD ? get_le32(p) : 0;

	return len >= FRAME_MIN && len <= FRAME_MAX && len <= n - FRAME_HEAD &&
		get_le32(p + 4) == crc32c(crc32c(0, p, 4), p + FRAME_HEAD, len);
}

/* Whether a whole frame comes anywhere after what is none. */
static int
goes_on(struct segments *s)
{
	uint64_t left = verify_reader_left(&s->file);
	size_t n = left < WINDOW / 2 ? (size_t)left : WINDOW / 2;
	const uint8_t *p;

	int r = verify_reader_look(&s->file, &p, n, s->err);
	for (size_t i = 1; r == 1 && i + FRAME_HEAD < n; i++)
		if (is_frame(p + i, n - i))
			return 1;
	return r < 0 ? r : 0;
}

/* Whether a sector of what should be a frame is all zeros: it was never synced. */
static int
is_lost(struct segments *s)
{
	uint64_t left = verify_reader_left(&s->file), at = s->file.at;
	size_t n = left < WINDOW / 2 ? (size_t)left : WINDOW / 2, run = 0;
	const uint8_t *p;

	int r = verify_reader_look(&s->file, &p, n, s->err);
	uint32_t len = r == 1 && n >= FRAME_HEAD ? get_le32(p) : 0;
	size_t end = FRAME_HEAD + (len <= FRAME_MAX ? len : 0);
	for (size_t i = 0; r == 1 && i < n; i++) {
		uint64_t in_sector = (at + i) % SECTOR;
		run = p[i] == 0 ? run + 1 : 0;
		if (in_sector != SECTOR - 1 && i + 1 < n)
			continue;
		if (run > in_sector || run == i + 1)
			return 1;
		if (i + 1 >= end)
			break;
	}
	return r < 0 ? r : 0;
}

/* What is no frame was torn off by a power cut, if nothing comes after it, or nothing that was
 * synced. */
static int
judge(struct segments *s, bool last)
{
	uint64_t at = s->file.at;
	int r = last ? is_lost(s) : 0;

	r = r != 0 ? (r < 0 ? r : 0) : last ? goes_on(s) : 1;

	if (r == 1)
		verify_find(s->v, verify_at(at, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE), s->name,
			"a record is damaged");
	else if (r == 0 && !s->v->options->is_running)
		verify_doubt(s->v, verify_at(at, s->file.file.size, VERIFY_NONE, VERIFY_NONE),
			s->name, "the last record was not wholly written");
	return r < 0 ? r : 0;
}

static int
read_frames(struct segments *s, uint64_t first, bool last)
{
	const uint8_t *p;
	int r;

	while (verify_reader_left(&s->file) > 0) {
		if ((r = verify_reader_look(&s->file, &p, FRAME_HEAD, s->err)) < 0)
			return r;
		uint32_t len = r == 1 ? get_le32(p) : 0;
		if (len < FRAME_MIN || len > FRAME_MAX)
			return judge(s, last);
		if ((r = verify_reader_look(&s->file, &p, FRAME_HEAD + len, s->err)) < 0)
			return r;
		if (r == 0 || !is_frame(p, FRAME_HEAD + len))
			return judge(s, last);
		if ((r = take_frame(s, p, len, first + s->file.at - HEAD)) < 0)
			return r;
		verify_reader_pass(&s->file, FRAME_HEAD + len);
	}
	return 0;
}

static int
read_segment(struct segments *s, uint64_t first, bool last)
{
	static const uint8_t zeros[HEAD - 32 - KEY_LEN];
	const uint8_t *p;

	snprintf(s->name, sizeof(s->name), "journal/journal-%016" PRIx64 ".seg", first);
	int r = verify_reader_open(&s->file, s->v, s->name, WINDOW, s->err);
	if (r == HW_ENOTFOUND && s->v->options->is_running)
		return 0; /* it went meanwhile */
	if (r < 0 || (r = verify_reader_look(&s->file, &p, HEAD, s->err)) < 0)
		return r;
	if (r == 0 || memcmp(p, "hwjrnl1\n", 8) != 0 || get_le64(p + 8) != first ||
		memcmp(p + 32 + KEY_LEN, zeros, sizeof(zeros)) != 0 || !open_key(s, p)) {
		verify_find(s->v, verify_at(0, HEAD, VERIFY_NONE, VERIFY_NONE), s->name,
			"the head does not verify");
		return 0;
	}
	if (get_le64(p + 16) > s->seen)
		s->seen = get_le64(p + 16);
	verify_reader_pass(&s->file, HEAD);
	return read_frames(s, first, last);
}

static int
read_all(struct segments *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		bool last = i + 1 == s->n;
		r = read_segment(s, s->firsts[i], last);
		uint64_t end = s->firsts[i] + s->file.file.size - HEAD;
		if (r == 0 && s->file.is_open && !last && end != s->firsts[i + 1])
			verify_find(s->v,
				verify_at(s->file.file.size, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE),
				s->name, "ends before the next segment begins, or after");
		s->end = s->file.is_open ? s->file.file.size : 0;
		verify_reader_close(&s->file);
	}
	return r;
}

/* Entries go to the ledger's files too, but a segment goes only as a whole, and never the last one:
 * a journal that ends before the newest head was cut, and with it what else it had. */
static void
check_end(struct segments *s)
{
	const struct log_head *head = &s->v->result->head;
	uint64_t end = s->any ? s->next : s->v->filed_end;

	if (s->v->options->master == NULL || s->v->result->ledger_broken)
		return;
	if (end < head->size)
		miss(s, verify_at(VERIFY_NONE, VERIFY_NONE, end, head->size), "journal",
			"the last entries that were signed are missing");
	else if (s->seen > head->size && !s->v->options->is_running)
		verify_doubt(s->v, verify_at(VERIFY_NONE, VERIFY_NONE, head->size, s->seen),
			"journal", "the last entries are not signed yet");
	else if (s->n > 0 && s->seen < head->size)
		miss(s, verify_at(s->end, VERIFY_NONE, s->seen, head->size), s->name,
			"ends before the last entry that was signed");
}

int
verify_journal(struct verify *v, struct hw_err *err)
{
	struct segments s = {.v = v, .err = err};
	int r;

	if (v->options->master != NULL)
		secret_key_derive(&s.wrap, v->options->master, "hawser journal");
	s.plain = malloc(FRAME_MAX);
	r = s.plain == NULL ? hw_err_set(err, HW_ENOMEM, "no memory to verify the journal")
			    : v->source->list(v->source->arg, "journal", each_segment, &s, err);
	if (r == 0 && s.n > 1)
		qsort(s.firsts, s.n, sizeof(*s.firsts), by_number);
	if (r == 0)
		r = read_all(&s);
	if (r == 0)
		check_end(&s);
	if (s.plain != NULL)
		explicit_bzero(s.plain, FRAME_MAX);
	free(s.plain);
	free(s.firsts);
	secret_stream_free(s.key);
	secret_key_wipe(&s.wrap);
	return r;
}
