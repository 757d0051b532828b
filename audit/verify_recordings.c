/*
 * Recordings: each is held against what the ledger says of it, at its checkpoints and at its end.
 * What is between the last good one and the first bad one is named.
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
#define META_MAX   (256 * 1024 + 28)
#define BLOCK_HEAD 24
#define RAW_MAX	   (512 * 1024)
#define SEALED_MAX (RAW_MAX + RAW_MAX / 128 + 1024 + 28)
#define LAST	   1
#define WINDOW	   (4 * 1024 * 1024)

struct tapes {
	struct verify *v;
	struct hw_err *err;
	char (*names)[128]; /* of the files */
	size_t n, room;
	struct secret_key wrap, key;
	struct buf packed;
	uint8_t *raw;

	/* of the one at hand */
	struct verify_reader file;
	char path[160];
	uint64_t good_to, blocks;
	uint8_t hash[MERKLE_LEN];
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
open_head(struct tapes *t, const uint8_t *p, size_t sealed)
{
	char aad[96];
	struct buf b;

	if (t->v->options->master == NULL)
		return true;
	snprintf(aad, sizeof(aad), "hawser recording %016" PRIx64 " %016" PRIx64, get_le64(p + 16),
		get_le64(p + 24));
	buf_init(&b, META_MAX);
	bool good =
		secret_open(&b, &t->wrap, aad, p + KEY_AT, KEY_LEN) == 0 && b.len == SECRET_KEY_LEN;
	if (good) {
		memcpy(t->key.bytes, b.mem, SECRET_KEY_LEN);
		buf_wipe(&b);
		good = secret_open(&b, &t->key, "hawser recording meta", p + HEAD, sealed) == 0;
	}
	buf_wipe(&b);
	buf_fini(&b);
	return good;
}

static int
hash_head(struct tapes *t, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n);

	if (copy == NULL)
		return hw_err_set(t->err, HW_ENOMEM, "no memory for the head of a recording");
	memcpy(copy, p, n);
	memset(copy + KEY_AT, 0, KEY_LEN);
	sha256(t->hash, copy, n);
	free(copy);
	return 0;
}

/* Why the head is none; NULL when it is one and was passed. */
static int
read_head(struct tapes *t, const char **why)
{
	const uint8_t *p;

	*why = "does not begin as a recording";
	int r = verify_reader_look(&t->file, &p, HEAD, t->err);
	if (r <= 0)
		return r;
	size_t sealed = get_le32(p + 8);
	if (memcmp(p, "hwrec-2\n", 8) != 0 || get_le32(p + 12) != 0 || sealed > META_MAX)
		return 0;
	if ((r = verify_reader_look(&t->file, &p, HEAD + sealed, t->err)) <= 0)
		return r;
	*why = "the head does not open";
	if (!open_head(t, p, sealed))
		return 0;
	if ((r = hash_head(t, p, HEAD + sealed)) < 0)
		return r;
	verify_reader_pass(&t->file, HEAD + sealed);
	*why = NULL;
	return 0;
}

static const char *
why_not_open(struct tapes *t, const uint8_t *p, size_t sealed)
{
	uint32_t raw_len = get_le32(p + 16);
	char aad[128];

	if (t->v->options->master == NULL)
		return NULL;
	snprintf(aad, sizeof(aad),
		"hawser recording block %" PRIu64 " to %016" PRIx64 " raw %u flags %u", t->blocks,
		get_le64(p + 8), raw_len, get_le32(p + 20));
	buf_reset(&t->packed);
	if (secret_open(&t->packed, &t->key, aad, p + BLOCK_HEAD, sealed) < 0)
		return "a block does not open";
	size_t n = ZSTD_decompress(t->raw, RAW_MAX, buf_data(&t->packed), t->packed.len);
	return ZSTD_isError(n) || n != raw_len ? "a block does not hold what it says" : NULL;
}

/* The next block: 1; 0 with *why where there is none that holds. */
static int
read_block(struct tapes *t, const char **why)
{
	const uint8_t *p;

	*why = "a block is cut off";
	int r = verify_reader_look(&t->file, &p, BLOCK_HEAD, t->err);
	if (r <= 0)
		return r;
	size_t sealed = get_le32(p + 4);
	*why = "a block has a bad head";
	if (memcmp(p, "HWBK", 4) != 0 || sealed < 28 || sealed > SEALED_MAX ||
		get_le32(p + 16) > RAW_MAX || (get_le32(p + 20) & ~(uint32_t)LAST) != 0)
		return 0;
	*why = "a block is cut off";
	if ((r = verify_reader_look(&t->file, &p, BLOCK_HEAD + sealed, t->err)) <= 0)
		return r;
	if ((*why = why_not_open(t, p, sealed)) != NULL)
		return 0;
	sha256_joined(t->hash, t->hash, MERKLE_LEN, p, BLOCK_HEAD + sealed);
	verify_reader_pass(&t->file, BLOCK_HEAD + sealed);
	t->blocks++;
	return 1;
}

static void
tape_fault(struct tapes *t, uint64_t from, uint64_t to, const struct verify_fact *f,
	const char *what)
{
	verify_find(t->v, verify_at(from, to, f->entry, f->entry + 1), t->path, "%s", what);
}

/* Up to where the ledger has its hash: false when it does not hold, which was said. */
static int
read_to(struct tapes *t, const struct verify_fact *f)
{
	const char *why = NULL;
	int r = 1;

	if (f->size > t->file.file.size) {
		tape_fault(t, t->file.file.size, f->size, f, "was cut: the rest is missing");
		return 0;
	}
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
	tape_fault(t, at_block ? t->file.at : t->good_to, f->size, f,
		why != NULL && r == 0 ? why : "is not what was recorded");
	return 0;
}

/* What of a live one comes after its last checkpoint. */
static int
read_tail(struct tapes *t)
{
	const char *why;
	int r = 1;

	uint64_t begin = t->file.at;
	while (verify_reader_left(&t->file) > 0 && (r = read_block(t, &why)) == 1)
		;
	if (r >= 0 && t->file.file.size > begin && !t->v->options->is_running)
		verify_doubt(t->v, verify_at(begin, t->file.file.size, VERIFY_NONE, VERIFY_NONE),
			t->path, "no entry of the ledger speaks of its end yet");
	return r < 0 ? r : 0;
}

static int
read_tape(struct tapes *t, const struct verify_fact *facts, size_t n)
{
	const char *why = NULL;
	int r = read_head(t, &why);

	if (r < 0)
		return r;
	if (why != NULL) {
		verify_find(t->v,
			verify_at(0, n > 0 ? facts[0].size : t->file.file.size, VERIFY_NONE,
				VERIFY_NONE),
			t->path, "%s", why);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if ((r = read_to(t, &facts[i])) <= 0)
			return r;
	if (n == 0 || !facts[n - 1].is_final)
		return read_tail(t);
	if (verify_reader_left(&t->file) > 0)
		tape_fault(t, t->file.at, t->file.file.size, &facts[n - 1],
			"has more than was recorded");
	return 0;
}

static int
open_tape(struct tapes *t, const struct verify_fact *facts, size_t n, const char *name)
{
	snprintf(t->path, sizeof(t->path), "recordings/%s", name);
	t->blocks = t->good_to = 0;
	int r = verify_reader_open(&t->file, t->v, t->path, WINDOW, t->err);
	if (r == HW_ENOTFOUND && t->v->options->is_running)
		return 0; /* it has got its final name meanwhile */
	if (r < 0)
		return r;
	t->v->result->bytes += t->file.file.size;
	r = read_tape(t, facts, n);
	verify_reader_close(&t->file);
	return r;
}

/* --- all of them ------------------------------------------------------------------------------ */

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

/* The entry of a deletion is there before the file goes: what is there still must hold. */
static int
check_known(struct tapes *t, struct verify_fact *facts, size_t all)
{
	size_t n = part_deletions(facts, all);
	bool final = n > 0 && facts[n - 1].is_final;
	const char *name = find_name(t, facts->id, ".rec");

	/* One that was reported gets its name a moment later. */
	if (name == NULL)
		name = find_name(t, facts->id, ".part");
	t->v->result->sessions++;
	if (name != NULL)
		return open_tape(t, facts, n, name);
	if (n < all)
		return 0;
	snprintf(t->path, sizeof(t->path), "recordings/%s.%s", facts->id, final ? "rec" : "part");
	if (verify_may_miss(t->v))
		verify_doubt(t->v,
			verify_at(0, facts[n - 1].size, facts[n - 1].entry, facts[n - 1].entry + 1),
			t->path, "is missing, and an entry that was not read may say why");
	else
		tape_fault(t, 0, facts[n - 1].size, &facts[n - 1], "is missing");
	return 0;
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
		if (live) {
			r = open_tape(t, NULL, 0, name);
			continue;
		}
		char path[160];
		snprintf(path, sizeof(path), "recordings/%s", name);
		bool all_read = t->v->filed_end >= t->v->result->head.size;
		/* Of a relay that runs the entry may be a moment away. */
		if (t->v->options->is_running && !all_read)
			continue;
		if (t->v->result->ledger_broken || !all_read || verify_may_miss(t->v) ||
			t->v->sealed_records)
			verify_doubt(t->v, verify_at(0, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE),
				path, "no entry that can be read speaks of it");
		else
			verify_find(t->v, verify_at(0, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE), path,
				"no entry of the ledger speaks of it");
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
	return r == 0 ? check_unknown(t) : r;
}

int
verify_recordings(struct verify *v, struct hw_err *err)
{
	struct tapes t = {.v = v, .err = err};
	int r;

	if (v->options->master != NULL)
		secret_key_derive(&t.wrap, v->options->master, "hawser recordings");
	buf_init(&t.packed, SEALED_MAX);
	t.raw = malloc(RAW_MAX);
	r = t.raw == NULL ? hw_err_set(err, HW_ENOMEM, "no memory to verify recordings")
			  : v->source->list(v->source->arg, "recordings", each_tape, &t, err);
	if (r == 0)
		r = check_all(&t);
	buf_fini(&t.packed);
	free(t.raw);
	free(t.names);
	secret_key_wipe(&t.wrap);
	secret_key_wipe(&t.key);
	return r;
}
