/*
 * Recordings: each is held against what the ledger says of it, at its checkpoints and at its end.
 * What is between the last good one and the first bad one is named. Several hands take one each;
 * what they found is told in the recordings' order.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "audit/bytes.h"
#include "audit/verify_reader.h"

#define HEAD	   124 /* without the meta */
#define KEY_AT	   32  /* in it, a key that may be wrapped anew: the hash has zeros for it */
#define KEY_LEN	   60
#define SEAL_MORE  (SECRET_NONCE_LEN + SECRET_TAG_LEN)
#define META_MAX   (256 * 1024 + SEAL_MORE)
#define BLOCK_HEAD 24
#define RAW_MAX	   (512 * 1024)
#define SEALED_MAX (RAW_MAX + RAW_MAX / 128 + 1024 + SEAL_MORE)
#define LAST	   1
#define WINDOW	   (4 * 1024 * 1024)

/* One recording: what the ledger says of it, and what was found, which is one thing at most. */
struct tape_job {
	const struct verify_fact *facts;
	size_t n;
	bool may_be_anew; /* its file may be another than the one that the facts are of */
	char path[160];
	bool is_read; /* or there is nothing to read */
	bool is_doubt;
	struct verify_finding *told; /* NULL: nothing */
	uint64_t bytes;
};

/* What each hand has of its own. */
struct tape {
	struct verify *v;
	const struct secret_key *wrap;
	struct tape_job *job;
	struct hasher *hasher;
	ZSTD_DCtx *zstd;
	struct secret_stream *key;
	uint8_t *packed, *raw;
	struct verify_reader file;
	uint64_t good_to, blocks;
	uint8_t hash[MERKLE_LEN];
	int failed; /* what a job could not do, and which: no other is begun on this hand */
	size_t failed_job;
	struct hw_err err;
};

struct tapes {
	struct verify *v;
	struct hw_err *err;
	char (*names)[128]; /* of the files */
	size_t n, room;
	struct secret_key wrap;
	struct tape hands[VERIFY_HANDS_MAX];
	struct tape_job *jobs;
	size_t n_jobs, jobs_room;
};

static int
by_place(const void *a, const void *b)
{
	const struct verify_fact *x = a, *y = b;
	int c = strcmp(x->id, y->id);

	if (c != 0)
		return c;
	return x->size != y->size ? (x->size > y->size) - (x->size < y->size)
				  : (x->entry > y->entry) - (x->entry < y->entry);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static int
each_tape(void *ctx, const char *name, struct hw_err *err)
{
	struct tapes *t = ctx;

	if (strlen(name) >= sizeof(t->names[0]) ||
		(!ends_with(name, ".rec") && !ends_with(name, ".part")))
		return 0;
	void *list = verify_grow(t->names, t->n, &t->room, sizeof(t->names[0]));
	if (list == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the recordings");
	t->names = list;
	strcpy(t->names[t->n++], name);
	return 0;
}

/* --- one recording ---------------------------------------------------------------------------- */

static bool
take_key(struct tape *t, const struct buf *bytes)
{
	struct secret_key key;

	secret_stream_free(t->key);
	memcpy(key.bytes, buf_data(bytes), SECRET_KEY_LEN);
	t->key = secret_stream_new(&key);
	secret_key_wipe(&key);
	if (t->key == NULL)
		t->failed = hw_err_set(&t->err, HW_ENOMEM, "no memory to open a recording");
	return t->key != NULL;
}

static bool
open_head(struct tape *t, const uint8_t *p, size_t sealed)
{
	char aad[96];
	struct buf b;

	if (t->v->options->master == NULL)
		return true;
	snprintf(aad, sizeof(aad), "hawser recording %016" PRIx64 " %016" PRIx64, get_le64(p + 16),
		get_le64(p + 24));
	buf_init(&b, SECRET_KEY_LEN);
	bool good =
		secret_open(&b, t->wrap, aad, p + KEY_AT, KEY_LEN) == 0 && b.len == SECRET_KEY_LEN;
	good = good && take_key(t, &b) &&
		secret_stream_open_alone(t->key, "hawser recording meta", t->packed, p + HEAD,
			sealed) == 0;
	buf_wipe(&b);
	buf_fini(&b);
	return good;
}

static int
hash_head(struct tape *t, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n);

	if (copy == NULL)
		return hw_err_set(&t->err, HW_ENOMEM, "no memory for the head of a recording");
	memcpy(copy, p, n);
	memset(copy + KEY_AT, 0, KEY_LEN);
	sha256(t->hash, copy, n);
	free(copy);
	return 0;
}

/* Why the head is none; NULL when it is one and was passed. */
static int
read_head(struct tape *t, const char **why)
{
	const uint8_t *p;

	*why = "does not begin as a recording";
	int r = verify_reader_look(&t->file, &p, HEAD, &t->err);
	if (r <= 0)
		return r;
	size_t sealed = get_le32(p + 8);
	if (memcmp(p, "hwrec-2\n", 8) != 0 || get_le32(p + 12) != 0 || sealed > META_MAX)
		return 0;
	if ((r = verify_reader_look(&t->file, &p, HEAD + sealed, &t->err)) <= 0)
		return r;
	*why = "the head does not open";
	if (!open_head(t, p, sealed))
		return t->failed;
	if ((r = hash_head(t, p, HEAD + sealed)) < 0)
		return r;
	verify_reader_pass(&t->file, HEAD + sealed);
	*why = NULL;
	return 0;
}

static const char *
why_not_open(struct tape *t, const uint8_t *p, size_t sealed)
{
	uint32_t raw_len = get_le32(p + 16);
	char aad[128];

	if (t->v->options->master == NULL)
		return NULL;
	snprintf(aad, sizeof(aad),
		"hawser recording block %" PRIu64 " to %016" PRIx64 " raw %u flags %u", t->blocks,
		get_le64(p + 8), raw_len, get_le32(p + 20));
	if (secret_stream_open_alone(t->key, aad, t->packed, p + BLOCK_HEAD, sealed) < 0)
		return "a block does not open";
	size_t n = ZSTD_decompressDCtx(t->zstd, t->raw, RAW_MAX, t->packed, sealed - SEAL_MORE);
	return ZSTD_isError(n) || n != raw_len ? "a block does not hold what it says" : NULL;
}

/* The next block: 1; 0 with *why where there is none that holds. */
static int
read_block(struct tape *t, const char **why)
{
	const uint8_t *p;

	*why = "a block is cut off";
	int r = verify_reader_look(&t->file, &p, BLOCK_HEAD, &t->err);
	if (r <= 0)
		return r;
	size_t sealed = get_le32(p + 4);
	*why = "a block has a bad head";
	if (memcmp(p, "HWBK", 4) != 0 || sealed < SEAL_MORE || sealed > SEALED_MAX ||
		get_le32(p + 16) > RAW_MAX || (get_le32(p + 20) & ~(uint32_t)LAST) != 0)
		return 0;
	*why = "a block is cut off";
	if ((r = verify_reader_look(&t->file, &p, BLOCK_HEAD + sealed, &t->err)) <= 0)
		return r;
	if ((*why = why_not_open(t, p, sealed)) != NULL)
		return 0;
	hasher_joined(t->hasher, t->hash, t->hash, MERKLE_LEN, p, BLOCK_HEAD + sealed);
	verify_reader_pass(&t->file, BLOCK_HEAD + sealed);
	t->blocks++;
	return 1;
}

/* Told later, in its turn. */
static int
tell(struct tape_job *job, bool is_doubt, struct verify_finding at, const char *what,
	struct hw_err *err)
{
	struct verify_finding *told = malloc(sizeof(*told));

	if (told == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what was found");
	*told = at;
	snprintf(told->what, sizeof(told->what), "%s", what);
	job->told = told;
	job->is_doubt = is_doubt;
	return 0;
}

/* A start that was cut off leaves a file that nothing of what is said of the recording fits. */
static int
tape_fault(struct tape *t, uint64_t from, uint64_t to, const struct verify_fact *f,
	const char *what)
{
	char why[128];

	snprintf(why, sizeof(why),
		t->job->may_be_anew && t->good_to == 0
			? "%s: it may be what a start makes again of one that was deleted"
			: "%s",
		what);
	return tell(t->job, t->job->may_be_anew && t->good_to == 0,
		verify_at(from, to, f->entry, f->entry + 1), why, &t->err);
}

/* It is shorter than the ledger says. What is missing may have been anywhere after the last good
 * place: with the master key, from the first block on that does not hold. */
static int
say_cut(struct tape *t, const struct verify_fact *f)
{
	const char *why;
	int r = 1;

	while (t->v->options->master != NULL && verify_reader_left(&t->file) > 0 &&
		(r = read_block(t, &why)) == 1)
		;
	if (r < 0)
		return r;
	return tape_fault(t, t->v->options->master != NULL ? t->file.at : t->good_to, f->size, f,
		"was cut: some of it is missing");
}

/* Up to where the ledger has its hash: false when it does not hold, which was said. */
static int
read_to(struct tape *t, const struct verify_fact *f)
{
	const char *why = NULL;
	int r = 1;

	if (f->size > t->file.file.size)
		return say_cut(t, f);
	while (t->file.at < f->size && (r = read_block(t, &why)) == 1)
		;
	if (r < 0)
		return r;
	if (r == 1 && t->file.at == f->size && memcmp(t->hash, f->hash, MERKLE_LEN) == 0) {
		t->good_to = f->size;
		return 1;
	}
	/* With the master key the block is known; without it, that it is one of these. */
	bool at_block = r == 0 && t->v->options->master != NULL;
	return tape_fault(t, at_block ? t->file.at : t->good_to, f->size, f,
		why != NULL && r == 0 ? why : "is not what was recorded");
}

/* What of a live one comes after its last checkpoint. */
static int
read_tail(struct tape *t)
{
	const char *why;
	int r = 1;

	uint64_t begin = t->file.at;
	while (verify_reader_left(&t->file) > 0 && (r = read_block(t, &why)) == 1)
		;
	if (r < 0 || t->file.file.size == begin || t->v->options->is_running)
		return r < 0 ? r : 0;
	return tell(t->job, true, verify_at(begin, t->file.file.size, VERIFY_NONE, VERIFY_NONE),
		"no entry of the ledger speaks of its end yet", &t->err);
}

static int
read_tape(struct tape *t, const struct verify_fact *facts, size_t n)
{
	const char *why = NULL;
	int r = read_head(t, &why);

	if (r < 0)
		return r;
	/* One that is young may not have its head yet, and no entry speaks of it. */
	if (why != NULL && n == 0 && t->v->options->is_running)
		return 0;
	if (why != NULL && n > 0)
		return tape_fault(t, 0, facts[0].size, &facts[0], why);
	if (why != NULL)
		return tell(t->job, true, verify_at(0, t->file.file.size, VERIFY_NONE, VERIFY_NONE),
			why, &t->err);
	for (size_t i = 0; i < n; i++)
		if ((r = read_to(t, &facts[i])) <= 0)
			return r;
	if (n == 0 || !facts[n - 1].is_final)
		return read_tail(t);
	if (verify_reader_left(&t->file) > 0)
		return tape_fault(t, t->file.at, t->file.file.size, &facts[n - 1],
			"has more than was recorded");
	return 0;
}

static int
open_tape(struct tape *t)
{
	struct tape_job *job = t->job;

	t->blocks = t->good_to = 0;
	int r = verify_reader_open(&t->file, t->v, job->path, WINDOW, &t->err);
	if (r == HW_ENOTFOUND && t->v->options->is_running)
		return 0; /* it has got its final name meanwhile */
	if (r < 0)
		return r;
	job->bytes = t->file.file.size;
	r = read_tape(t, job->facts, job->n);
	verify_reader_close(&t->file);
	return r;
}

/* A job of the crew. */
static void
run_job(void *arg, unsigned hand, size_t i)
{
	struct tapes *all = arg;
	struct tape *t = &all->hands[hand];

	t->job = &all->jobs[i];
	if (t->failed < 0 || !t->job->is_read)
		return;
	t->failed = open_tape(t);
	t->failed_job = i;
}

/* --- all of them ------------------------------------------------------------------------------ */

static struct tape_job *
add_job(struct tapes *t, const char *name)
{
	struct tape_job *list = verify_grow(t->jobs, t->n_jobs, &t->jobs_room, sizeof(*list));

	if (list == NULL) {
		hw_err_set(t->err, HW_ENOMEM, "no memory for the recordings");
		return NULL;
	}
	t->jobs = list;
	struct tape_job *job = &list[t->n_jobs++];
	*job = (struct tape_job){.n = 0};
	snprintf(job->path, sizeof(job->path), "recordings/%s", name);
	return job;
}

static int
add_file(struct tapes *t, const struct verify_fact *facts, size_t n, const char *name,
	bool may_be_anew)
{
	struct tape_job *job = add_job(t, name);

	if (job == NULL)
		return HW_ENOMEM;
	job->facts = facts;
	job->n = n;
	job->may_be_anew = may_be_anew;
	job->is_read = true;
	return 0;
}

/* One of which there is nothing to read, but something to tell. */
static int
add_word(struct tapes *t, bool is_doubt, struct verify_finding at, const char *name,
	const char *what)
{
	struct tape_job *job = add_job(t, name);

	return job == NULL ? HW_ENOMEM : tell(job, is_doubt, at, what, t->err);
}

static const char *
find_name(const struct tapes *t, const char *id, const char *end)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s", id, end);
	return t->n == 0 ? NULL : bsearch(name, t->names, t->n, sizeof(t->names[0]), by_name);
}

/* Puts what is said of deletions last, and returns how many others there are. */
static size_t
part_deletions(struct verify_fact *facts, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (facts[i].is_gone)
			continue;
		struct verify_fact f = facts[i];
		facts[i] = facts[kept];
		facts[kept++] = f;
	}
	return kept;
}

/* Entries that are signed were not read, and one of them may be that of a deletion. */
static bool
may_be_deleted(const struct verify *v)
{
	return v->options->master == NULL && v->filed_end < v->result->head.size;
}

/* Whether the entry of a deletion is signed, as it is before the file goes. */
static bool
is_signed_away(const struct verify *v, const struct verify_fact *deletions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (deletions[i].entry < v->result->head.size)
			return true;
	return false;
}

/* There is no file, and no entry that accounts for that. `last` is what is known of it. */
static int
say_missing(struct tapes *t, const struct verify_fact *last, bool final, bool is_doubt,
	const char *what)
{
	char missing[128];

	snprintf(missing, sizeof(missing), "%s.%s", last->id, final ? "rec" : "part");
	return add_word(t, is_doubt, verify_at(0, last->size, last->entry, last->entry + 1),
		missing, what);
}

/* The entry of a deletion is there before the file goes: what is there still must hold. Not so a
 * file that a start makes again of what the journal still has, until it comes to that entry. */
static int
check_known(struct tapes *t, struct verify_fact *facts, size_t all)
{
	size_t n = part_deletions(facts, all);
	bool final = n > 0 && facts[n - 1].is_final;
	const char *name = find_name(t, facts->id, ".rec");

	bool is_live = name == NULL;

	/* One that was reported gets its name a moment later. */
	if (is_live)
		name = find_name(t, facts->id, ".part");
	t->v->result->sessions++;
	if (name != NULL)
		return add_file(t, facts, n, name, is_live && (n < all || may_be_deleted(t->v)));
	if (is_signed_away(t->v, facts + n, all - n))
		return 0;
	if (n < all)
		return say_missing(t, &facts[all - 1], true, true,
			"is missing, and the entry that says why is not signed");
	bool is_doubt = verify_may_miss(t->v);
	return say_missing(t, &facts[n - 1], final, is_doubt,
		is_doubt ? "is missing, and an entry that was not read may say why" : "is missing");
}

static bool
is_known(const struct verify *v, const char *id, size_t len)
{
	size_t low = 0, high = v->n_facts;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strncmp(v->facts[mid].id, id, len);
		if (c == 0)
			c = v->facts[mid].id[len] != '\0';
		if (c == 0)
			return true;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* A whole one that no entry speaks of. */
static int
check_stranger(struct tapes *t, const char *name)
{
	struct verify *v = t->v;
	bool all_read = v->filed_end >= v->result->head.size;

	/* Of a relay that runs the entry may be a moment away. */
	if (v->options->is_running && !all_read)
		return 0;
	bool is_doubt =
		v->result->ledger_broken || !all_read || verify_may_miss(v) || v->sealed_records;
	return add_word(t, is_doubt, verify_at(0, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE), name,
		is_doubt ? "no entry that can be read speaks of it"
			 : "no entry of the ledger speaks of it");
}

/* Files that no entry speaks of: a session that is young, or something that was put there. */
static int
check_unknown(struct tapes *t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->n; i++) {
		const char *name = t->names[i];
		bool live = ends_with(name, ".part");
		if (is_known(t->v, name, strlen(name) - (live ? 5 : 4)))
			continue;
		t->v->result->sessions++;
		r = live ? add_file(t, NULL, 0, name, false) : check_stranger(t, name);
	}
	return r;
}

/* What the hands found, as if one had read them all. */
static int
tell_all(struct tapes *t)
{
	size_t n = t->n_jobs;
	int r = 0;

	for (unsigned i = 0; i < VERIFY_HANDS_MAX; i++) {
		const struct tape *hand = &t->hands[i];
		if (hand->failed == 0 || hand->failed_job >= n)
			continue;
		n = hand->failed_job;
		r = hand->failed;
		*t->err = hand->err;
	}
	for (size_t i = 0; i < n; i++) {
		const struct tape_job *job = &t->jobs[i];
		t->v->result->bytes += job->bytes;
		if (job->told != NULL && job->is_doubt)
			verify_doubt(t->v, *job->told, job->path, "%s", job->told->what);
		else if (job->told != NULL)
			verify_find(t->v, *job->told, job->path, "%s", job->told->what);
	}
	return r;
}

static int
check_all(struct tapes *t)
{
	struct verify *v = t->v;
	int r = 0;

	if (v->n_facts > 1)
		qsort(v->facts, v->n_facts, sizeof(*v->facts), by_place);
	if (t->n > 1)
		qsort(t->names, t->n, sizeof(t->names[0]), by_name);
	for (size_t i = 0, n; r == 0 && i < v->n_facts; i += n) {
		for (n = 1; i + n < v->n_facts && strcmp(v->facts[i].id, v->facts[i + n].id) == 0;)
			n++;
		r = check_known(t, &v->facts[i], n);
	}
	if (r < 0 || (r = check_unknown(t)) < 0)
		return r;
	verify_crew_run(v->crew, t->n_jobs, 1, run_job, t);
	return tell_all(t);
}

static int
hand_init(struct tapes *t, unsigned i)
{
	struct tape *hand = &t->hands[i];

	hand->v = t->v;
	hand->wrap = &t->wrap;
	hand->hasher = t->v->hashers[i];
	hand->zstd = ZSTD_createDCtx();
	hand->packed = malloc(SEALED_MAX); /* a meta, too, which is shorter */
	hand->raw = malloc(RAW_MAX);
	return hand->zstd != NULL && hand->packed != NULL && hand->raw != NULL
		? 0
		: hw_err_set(t->err, HW_ENOMEM, "no memory to verify recordings");
}

static void
tapes_fini(struct tapes *t)
{
	for (unsigned i = 0; i < VERIFY_HANDS_MAX; i++) {
		struct tape *hand = &t->hands[i];
		ZSTD_freeDCtx(hand->zstd);
		secret_stream_free(hand->key);
		free(hand->packed);
		free(hand->raw);
	}
	for (size_t i = 0; i < t->n_jobs; i++)
		free(t->jobs[i].told);
	free(t->jobs);
	free(t->names);
	secret_key_wipe(&t->wrap);
	free(t);
}

int
verify_recordings(struct verify *v, struct hw_err *err)
{
	struct tapes *t = calloc(1, sizeof(*t));
	struct hw_err none;
	int r = 0;

	if (t == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to verify recordings");
	t->v = v;
	t->err = err != NULL ? err : &none;
	if (v->options->master != NULL)
		secret_key_derive(&t->wrap, v->options->master, "hawser recordings");
	for (unsigned i = 0; r == 0 && i < verify_crew_hands(v->crew); i++)
		r = hand_init(t, i);
	if (r == 0)
		r = v->source->list(v->source->arg, "recordings", each_tape, t, t->err);
	if (r == 0)
		r = check_all(t);
	tapes_fini(t);
	return r;
}
