#include "tests/unit/audit/mutation.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/head_file.h"
#include "proto/trust/secret.h"

#define HEADS	    "ledger/heads"
#define TREE	    "ledger/tree"
#define EPOCHS	    "ledger/epochs"
#define HEADS_FROM  8
#define FILE_HEAD   128 /* of a ledger's file and of a segment */
#define CHAIN_AT    76	/* in the former */
#define FRAME_HEAD  8
#define META	    68
#define ERASED	    2
#define REC_HEAD    124
#define REC_KEY_AT  32
#define LOG_KEY_AT  16
#define WRAPPED_LEN 60
#define UNITS	    1024

static uint64_t
below(uint64_t *seed, uint64_t n)
{
	*seed += 0x9e3779b97f4a7c15;
	uint64_t z = *seed;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return n == 0 ? 0 : (z ^ (z >> 31)) % n;
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* --- what lies where -------------------------------------------------------------------------- */

void
ground_survey(struct ground *g)
{
	g->n_frames = 0;
	for (;;) {
		char name[64];
		uint64_t at = FILE_HEAD;

		snprintf(name, sizeof(name), "ledger/ledger-%016zx.log", g->n_frames);
		const struct image_file *f = image_find(&g->now, name);
		if (f == NULL || f->n <= FILE_HEAD)
			break;
		for (uint64_t end; at + FRAME_HEAD <= f->n; at = end) {
			end = at + FRAME_HEAD + get_le32(f->p + at);
			cr_assert(lt(sz, g->n_frames, GROUND_ENTRIES));
			g->frames[g->n_frames].file = f->path;
			g->frames[g->n_frames].from = at;
			g->frames[g->n_frames++].to = end;
		}
	}
	cr_assert(eq(u64, g->n_frames, g->head.size));
}

/* The entries whose hashes lie at these bytes of the tree. */
static void
place_in_tree(struct place *p, uint64_t size)
{
	uint64_t hash = 0, from = p->from < 32 ? 0 : p->from / 32 - 1,
		 to = p->to < 32 ? 0 : (p->to - 1) / 32 - 1;

	p->entry = VERIFY_NONE;
	for (uint64_t e = 0; e < size; e++)
		for (unsigned level = 0;; level++, hash++) {
			if (hash >= from && p->entry == VERIFY_NONE)
				p->entry = e + 1 - (UINT64_C(1) << level);
			if (hash <= to)
				p->entry_to = e + 1;
			if ((e >> level & 1) == 0) {
				hash++;
				break;
			}
		}
}

/* What is not said of the heads' bytes is said of the entries since the last good one. */
static void
place_in_heads(struct place *p, const struct image_file *was)
{
	uint64_t k = p->from < HEADS_FROM ? 0 : (p->from - HEADS_FROM) / HEAD_RECORD_LEN;

	p->entry = k == 0 ? 0 : get_le64(was->p + HEADS_FROM + (k - 1) * HEAD_RECORD_LEN + 8);
	p->entry_to = VERIFY_NONE;
}

static void
place_in_ledger(struct place *p, const struct ground *g)
{
	p->entry = VERIFY_NONE;
	for (size_t e = 0; e < g->n_frames; e++) {
		if (strcmp(g->frames[e].file, p->file) != 0 || g->frames[e].to <= p->from)
			continue;
		if (p->entry == VERIFY_NONE)
			p->entry = e;
		if (g->frames[e].from < p->to)
			p->entry_to = e + 1;
	}
	if (p->entry != VERIFY_NONE && p->entry_to <= p->entry)
		p->entry_to = p->entry + 1;
}

/* Of two files: false when they are alike. */
static bool
place_difference(struct place *p, const struct image_file *was, const struct image_file *is)
{
	size_t n = was->n < is->n ? was->n : is->n, i = 0, last = n;

	while (i < n && was->p[i] == is->p[i])
		i++;
	if (i == n && was->n == is->n)
		return false;
	while (was->n == is->n && last > i && was->p[last - 1] == is->p[last - 1])
		last--;
	snprintf(p->file, sizeof(p->file), "%s", was->path);
	p->from = i;
	p->to = was->n == is->n ? last : i + 1;
	p->entry = p->entry_to = VERIFY_NONE;
	return true;
}

static bool
is_wrapped_key(const struct place *p)
{
	uint64_t at = begins(p->file, "recordings/") ? REC_KEY_AT : LOG_KEY_AT;

	return begins(p->file, "recordings/") && p->from >= at && p->to <= at + WRAPPED_LEN;
}

/* Whether what is left are heads of the old ones in their order, and the last speaks of as many
 * entries, in the same epoch. */
static bool
is_thinned(const struct image_file *was, const struct image_file *is)
{
	size_t at = HEADS_FROM;

	if (is->n < HEADS_FROM + HEAD_RECORD_LEN || (is->n - HEADS_FROM) % HEAD_RECORD_LEN != 0 ||
		memcmp(was->p, is->p, HEADS_FROM) != 0)
		return false;
	for (size_t i = HEADS_FROM; i < is->n; i += HEAD_RECORD_LEN, at += HEAD_RECORD_LEN) {
		while (at < was->n && memcmp(was->p + at, is->p + i, HEAD_RECORD_LEN) != 0)
			at += HEAD_RECORD_LEN;
		if (at >= was->n)
			return false;
	}
	return memcmp(was->p + was->n - HEAD_RECORD_LEN + 4, is->p + is->n - HEAD_RECORD_LEN + 4,
		       12) == 0;
}

/* --- parts of files --------------------------------------------------------------------------- */

static size_t
unit_len(const struct image_file *f, size_t at)
{
	if (strcmp(f->path, HEADS) == 0)
		return HEAD_RECORD_LEN;
	if (strcmp(f->path, TREE) == 0)
		return 32;
	if (begins(f->path, "recordings/"))
		return at + 24 <= f->n ? 24 + get_le32(f->p + at + 4) : 0;
	return at + 8 <= f->n ? 8 + get_le32(f->p + at) : 0;
}

static size_t
units_begin(const struct image_file *f)
{
	if (strcmp(f->path, HEADS) == 0)
		return HEADS_FROM;
	if (strcmp(f->path, TREE) == 0)
		return 32;
	if (begins(f->path, "recordings/"))
		return REC_HEAD + get_le32(f->p + 8);
	return FILE_HEAD;
}

/* Where each record, hash, frame or block begins, and the end: how many there are. */
static size_t
units(size_t out[UNITS + 1], const struct image_file *f)
{
	size_t n = 0, at = units_begin(f), len;

	if (strcmp(f->path, EPOCHS) == 0)
		return 0;
	while (n < UNITS && at < f->n && (len = unit_len(f, at)) > 0 && len <= f->n - at) {
		out[n++] = at;
		at += len;
	}
	out[n] = at;
	return n;
}

/* --- changing --------------------------------------------------------------------------------- */

struct change {
	struct mutation *m;
	struct ground *g;
	uint64_t seed;
};

static size_t
number_of(const struct ground *g, const struct image_file *f)
{
	return (size_t)(f - g->now.files);
}

/* The file's bytes, n of them, to be changed. */
static struct image_file *
own(struct change *c, struct image_file *f, size_t n)
{
	uint8_t *fresh = malloc(n + 1);
	size_t keep = f->n < n ? f->n : n;

	cr_assert(fresh != NULL);
	memcpy(fresh, f->p, keep);
	memset(fresh + keep, 0, n - keep);
	if (c->m->changed[number_of(c->g, f)])
		free(f->p);
	c->m->changed[number_of(c->g, f)] = true;
	f->p = fresh;
	f->n = n;
	return f;
}

static void
give(struct change *c, struct image_file *f, const struct image_file *from)
{
	own(c, f, from->n);
	memcpy(f->p, from->p, from->n);
}

/* Puts n bytes in the place of `old` ones. */
static void
put(struct change *c, struct image_file *f, size_t at, size_t old, const uint8_t *p, size_t n)
{
	size_t after = f->n - at - old;
	uint8_t *rest = malloc(after + 1), *fresh = malloc(n + 1);

	cr_assert(rest != NULL && fresh != NULL);
	memcpy(rest, f->p + at + old, after);
	memcpy(fresh, p, n);
	own(c, f, at + n + after);
	memcpy(f->p + at, fresh, n);
	memcpy(f->p + at + n, rest, after);
	free(rest);
	free(fresh);
}

static struct image_file *
any_file(struct change *c)
{
	return &c->g->now.files[below(&c->seed, c->g->now.n)];
}

static struct image_file *
any_file_in(struct change *c, const char *folder)
{
	struct image_file *f = any_file(c);

	for (size_t i = 0; i < c->g->now.n && !begins(f->path, folder); i++)
		f = &c->g->now.files[(number_of(c->g, f) + 1) % c->g->now.n];
	return begins(f->path, folder) ? f : NULL;
}

static void
flip(struct change *c)
{
	struct image_file *f = any_file(c);

	if (f->n > 0)
		own(c, f, f->n)->p[below(&c->seed, f->n)] ^= (uint8_t)(1 << below(&c->seed, 8));
}

static void
delete_bytes(struct change *c)
{
	struct image_file *f = any_file(c);

	if (f->n == 0)
		return;
	size_t at = below(&c->seed, f->n), most = f->n - at < 300 ? f->n - at : 300;
	put(c, f, at, 1 + below(&c->seed, most), f->p, 0);
}

static void
insert(struct change *c)
{
	struct image_file *f = any_file(c);
	uint8_t bytes[200];
	size_t n = 1 + below(&c->seed, sizeof(bytes));

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)below(&c->seed, 256);
	put(c, f, below(&c->seed, f->n + 1), 0, bytes, n);
}

/* Two runs of the same length change places. */
static void
reorder(struct change *c)
{
	struct image_file *f = any_file(c);
	size_t unit = 1 + below(&c->seed, 64), n = f->n / unit;
	uint8_t hold[64];

	if (n < 2)
		return;
	own(c, f, f->n);
	uint8_t *a = f->p + below(&c->seed, n) * unit, *b = f->p + below(&c->seed, n) * unit;
	memcpy(hold, a, unit);
	memmove(a, b, unit);
	memcpy(b, hold, unit);
}

static void
cut(struct change *c)
{
	struct image_file *f = any_file(c);

	if (f->n > 0)
		own(c, f, below(&c->seed, f->n));
}

static void
splice(struct change *c)
{
	struct image_file *f = any_file(c);
	const struct image_file *from = any_file(c);
	size_t n = 1 + below(&c->seed, f->n < 128 ? f->n : 128);

	if (from->n < n || f->n < n)
		return;
	put(c, f, below(&c->seed, f->n - n + 1), n, from->p + below(&c->seed, from->n - n + 1), n);
}

static void
replace(struct change *c)
{
	struct image_file *f = any_file(c);
	const struct image_file *was = image_find(&c->g->old, f->path);

	if (was == NULL)
		was = &c->g->old.files[below(&c->seed, c->g->old.n)];
	give(c, f, was);
	c->m->place.is_whole = image_find(&c->g->old, f->path) == NULL;
	c->m->to_end = true;
}

/* Records, frames, hashes and blocks: one goes, or comes twice, or two change places, or all go
 * from one on. */
static void
shuffle(struct change *c)
{
	struct image_file *f = any_file(c);
	size_t at[UNITS + 1], n = units(at, f);

	if (n < 2)
		return;
	size_t i = below(&c->seed, n), j = below(&c->seed, n), len = at[i + 1] - at[i];
	switch (below(&c->seed, 4)) {
	case 0:
		put(c, f, at[i], len, f->p, 0);
		break;
	case 1:
		put(c, f, at[i], 0, f->p + at[i], len);
		break;
	case 2:
		own(c, f, at[i]);
		break;
	default:
		if (i >= j)
			break;
		size_t other = at[j + 1] - at[j], between = at[j] - at[i + 1];
		uint8_t *p = malloc(other + between + len + 1);
		memcpy(p, f->p + at[j], other);
		memcpy(p + other, f->p + at[i + 1], between);
		memcpy(p + other + between, f->p + at[i], len);
		put(c, f, at[i], other + between + len, p, other + between + len);
		free(p);
	}
}

static void
fix_crc(uint8_t *frame)
{
	uint8_t meta[META];

	memcpy(meta, frame + FRAME_HEAD, META);
	put_le32(meta, get_le32(meta) & ~(uint32_t)ERASED);
	put_le32(frame + 4, crc32c(crc32c(0, frame, 4), meta, META));
}

/* An entry's checksum is made to fit again; perhaps also the hash of what is stored. */
static void
forge_entry(struct change *c)
{
	size_t e = below(&c->seed, c->g->n_frames);
	struct image_file *f = image_find(&c->g->now, c->g->frames[e].file);

	own(c, f, f->n);
	uint8_t *frame = f->p + c->g->frames[e].from;
	uint32_t len = get_le32(frame);
	frame[FRAME_HEAD + below(&c->seed, len)] ^= (uint8_t)(1 << below(&c->seed, 8));
	if (below(&c->seed, 2) == 0)
		sha256(frame + FRAME_HEAD + 36, frame + FRAME_HEAD + META, len - META);
	fix_crc(frame);
}

/* The same in the journal. */
static void
forge_record(struct change *c)
{
	struct image_file *f = any_file_in(c, "journal/journal-");
	size_t at[UNITS + 1], n = f == NULL ? 0 : units(at, f);

	if (n == 0)
		return;
	own(c, f, f->n);
	uint8_t *frame = f->p + at[below(&c->seed, n)];
	uint32_t len = get_le32(frame);
	frame[8 + below(&c->seed, len)] ^= (uint8_t)(1 << below(&c->seed, 8));
	put_le32(frame + 4, crc32c(crc32c(0, frame, 4), frame + 8, len));
}

/* A head that a retired key signs: of its own epoch or of the newest. */
static void
resign(struct change *c)
{
	struct image_file *f = image_find(&c->g->now, HEADS);
	size_t n = (f->n - HEADS_FROM) / HEAD_RECORD_LEN, k = below(&c->seed, n + 1);
	uint32_t newest = c->g->head.epoch;
	struct log_head h;

	own(c, f, f->n + (k == n ? HEAD_RECORD_LEN : 0));
	uint8_t *rec = f->p + HEADS_FROM + k * HEAD_RECORD_LEN;
	cr_assert(eq(int, head_record_get(&h, k == n ? rec - HEAD_RECORD_LEN : rec), 0));
	h.size += 1 + below(&c->seed, 5);
	h.root[below(&c->seed, 32)] ^= 1;
	h.epoch = newest - (uint32_t)below(&c->seed, 2);
	(void)log_head_sign(&h, VAULT_ORIGIN, c->g->v.retired, NULL);
	head_record_put(rec, &h);
}

/* --- a history that a retired key signs --------------------------------------------------------
 */

struct history {
	uint8_t leaves[GROUND_ENTRIES][MERKLE_LEN], chains[GROUND_ENTRIES + 1][MERKLE_LEN];
	uint64_t n;
};

static void
root_of(uint8_t out[MERKLE_LEN], const struct history *h, uint64_t from, uint64_t n)
{
	uint8_t left[MERKLE_LEN], right[MERKLE_LEN];

	if (n <= 1) {
		if (n == 0)
			merkle_empty(out);
		else
			memcpy(out, h->leaves[from], MERKLE_LEN);
		return;
	}
	uint64_t k = UINT64_C(1) << (63 - __builtin_clzll(n - 1));
	root_of(left, h, from, k);
	root_of(right, h, from + k, n - k);
	merkle_node(out, left, right);
}

static void
write_tree(struct change *c, const struct history *h)
{
	struct image_file *f = image_find(&c->g->now, TREE);
	uint8_t *to = own(c, f, f->n)->p + 32;

	for (uint64_t e = 0; e < h->n; e++)
		for (unsigned level = 0;; level++) {
			root_of(to, h, e + 1 - (UINT64_C(1) << level), UINT64_C(1) << level);
			to += MERKLE_LEN;
			if ((e >> level & 1) == 0)
				break;
		}
}

/* The chain over the files, which begins each of them. */
static void
write_chain(struct change *c, struct history *h)
{
	const char *file = "";

	for (uint64_t e = 0; e < h->n; e++) {
		struct image_file *f = image_find(&c->g->now, c->g->frames[e].file);
		uint8_t meta[META];
		if (strcmp(file, f->path) != 0) {
			file = f->path;
			own(c, f, f->n);
			memcpy(f->p + CHAIN_AT, h->chains[e], MERKLE_LEN);
			put_le32(f->p + FILE_HEAD - 4, crc32c(0, f->p, FILE_HEAD - 4));
		}
		memcpy(meta, f->p + c->g->frames[e].from + FRAME_HEAD, META);
		memcpy(h->leaves[e], meta + 4, MERKLE_LEN);
		put_le32(meta, get_le32(meta) & ~(uint32_t)ERASED);
		sha256_joined(h->chains[e + 1], h->chains[e], MERKLE_LEN, meta, META);
	}
}

/* Heads of the retired key's epoch; those that came later stay, or go. */
static void
write_heads(struct change *c, const struct history *h, bool keep)
{
	struct image_file *f = image_find(&c->g->now, HEADS);
	size_t at = HEADS_FROM;
	struct log_head head;

	own(c, f, f->n);
	for (; at < f->n; at += HEAD_RECORD_LEN) {
		cr_assert(eq(int, head_record_get(&head, f->p + at), 0));
		if (head.epoch == c->g->head.epoch)
			break;
		if (head.epoch + 1 < c->g->head.epoch)
			continue;
		root_of(head.root, h, 0, head.size);
		memcpy(head.chain, h->chains[head.filed], MERKLE_LEN);
		(void)log_head_sign(&head, VAULT_ORIGIN, c->g->v.retired, NULL);
		head_record_put(f->p + at, &head);
	}
	if (!keep)
		own(c, f, at);
}

/* The sizes between which the retired key signed. */
static void
retired_range(const struct ground *g, uint64_t *from, uint64_t *to)
{
	const struct image_file *f = image_find((struct image *)&g->now, HEADS);
	struct log_head head;

	*from = *to = 0;
	for (size_t at = HEADS_FROM; at < f->n; at += HEAD_RECORD_LEN) {
		cr_assert(eq(int, head_record_get(&head, f->p + at), 0));
		if (head.epoch + 1 < g->head.epoch)
			*from = head.size;
		else if (head.epoch < g->head.epoch)
			*to = head.size;
	}
}

static void
rewrite(struct change *c)
{
	struct history *h = calloc(1, sizeof(*h));
	uint64_t from, to;

	retired_range(c->g, &from, &to);
	cr_assert(h != NULL && from < to);
	uint64_t e = from + below(&c->seed, to - from);
	struct image_file *f = image_find(&c->g->now, c->g->frames[e].file);
	own(c, f, f->n);
	uint8_t *frame = f->p + c->g->frames[e].from;
	uint8_t *stored = frame + FRAME_HEAD + META;
	size_t n = get_le32(frame) - META;
	stored[below(&c->seed, n)] ^= (uint8_t)(1 << below(&c->seed, 8));
	sha256(frame + FRAME_HEAD + 36, stored, n);
	merkle_leaf(frame + FRAME_HEAD + 4, stored, n);
	fix_crc(frame);
	h->n = c->g->n_frames;
	write_chain(c, h);
	write_tree(c, h);
	write_heads(c, h, below(&c->seed, 2) == 0);
	free(h);
	c->m->place = (struct place){
		.from = VERIFY_NONE, .to = VERIFY_NONE, .entry = e, .entry_to = e + 1};
	snprintf(c->m->place.file, sizeof(c->m->place.file), "%s", f->path);
}

/* --- whole files ------------------------------------------------------------------------------ */

static void
remove_file(struct change *c)
{
	struct image_file *f = any_file_in(c, below(&c->seed, 2) == 0 ? "ledger/" : "recordings/");

	if (f == NULL)
		return;
	struct place *p = &c->m->place;
	*p = (struct place){
		.to = f->n, .entry = VERIFY_NONE, .entry_to = VERIFY_NONE, .is_whole = true};
	snprintf(p->file, sizeof(p->file), "%s", f->path);
	if (begins(f->path, "ledger/ledger-"))
		place_in_ledger(p, c->g);
	f->path[0] = 'x';
	own(c, f, 0);
}

static void
swap_files(struct change *c)
{
	static const char *const folders[] = {"ledger/", "recordings/", "journal/journal-"};
	const char *folder = folders[below(&c->seed, 3)];
	struct image_file *a = any_file_in(c, folder), *b = any_file_in(c, folder);

	if (a == NULL || b == NULL || a == b)
		return;
	struct image_file was = *a;
	give(c, a, b);
	give(c, b, &was);
	c->m->is_wide = true;
}

static void
roll_back_folder(struct change *c, const char *folder)
{
	for (size_t i = 0; i < c->g->now.n; i++) {
		struct image_file *f = &c->g->now.files[i];
		if (!begins(f->path, folder))
			continue;
		const struct image_file *was = image_find(&c->g->old, f->path);
		if (was != NULL)
			give(c, f, was);
		else
			own(c, f, 0)->path[0] = 'x';
	}
	for (size_t i = 0; i < c->g->old.n; i++) {
		const struct image_file *was = &c->g->old.files[i];
		if (!begins(was->path, folder) || image_find(&c->g->now, was->path) != NULL)
			continue;
		cr_assert(lt(sz, c->g->now.n, 64));
		struct image_file *f = &c->g->now.files[c->g->now.n++];
		*f = (struct image_file){.p = malloc(1)};
		snprintf(f->path, sizeof(f->path), "%s", was->path);
		c->m->changed[number_of(c->g, f)] = true;
		give(c, f, was);
	}
}

static const char *const folders[] = {"ledger/", "recordings/", "journal/"};

static void
roll_back(struct change *c)
{
	size_t first = below(&c->seed, 3), other = below(&c->seed, 3);

	c->m->is_wide = c->m->needs_key = true;
	roll_back_folder(c, folders[first]);
	if (other != first)
		roll_back_folder(c, folders[other]);
	snprintf(c->m->place.file, sizeof(c->m->place.file), "%s", folders[first]);
}

static void
roll_all_back(struct change *c)
{
	for (size_t i = 0; i < 3; i++)
		roll_back_folder(c, folders[i]);
	c->m->needs_head = c->m->is_wide = true;
	snprintf(c->m->place.file, sizeof(c->m->place.file), "all");
}

/* --- one of them ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*fn)(struct change *c);
	unsigned weight;
} kinds[MUTATION_KINDS] = {
	{"flip",			flip,	       14},
	{"delete",		      delete_bytes,	 12},
	{"insert",		      insert,	   12},
	{"reorder",		     reorder,	     10},
	{"truncate",		     cut,		  10},
	{"splice",		      splice,	   10},
	{"older copy of a file",	 replace,	  6 },
	{"records shuffled",	     shuffle,	      10},
	{"entry with a good checksum",  forge_entry,   4 },
	{"record with a good checksum", forge_record,  3 },
	{"head by a retired key",	  resign,	  3 },
	{"history by a retired key",    rewrite,	      1 },
	{"file removed",		 remove_file,   2 },
	{"files swapped",		  swap_files,    1 },
	{"older copy of folders",	  roll_back,     1 },
	{"older copy of everything",    roll_all_back, 1 },
};

const char *
mutation_name(unsigned kind)
{
	return kinds[kind].name;
}

static unsigned
pick_kind(uint64_t *seed)
{
	uint64_t sum = 0, at;
	unsigned k = 0;

	for (unsigned i = 0; i < MUTATION_KINDS; i++)
		sum += kinds[i].weight;
	for (at = below(seed, sum); at >= kinds[k].weight; k++)
		at -= kinds[k].weight;
	return k;
}

/* Where it is, for kinds that don't say it themselves: in the first file that differs. */
static bool
set_place(struct mutation *m, const struct ground *g)
{
	bool whole = m->place.is_whole, said = m->place.file[0] != '\0';
	struct place p = {.from = 0};

	if (g->now.n != m->before.n)
		return true;
	for (size_t i = 0; i < m->before.n; i++) {
		const struct image_file *was = &m->before.files[i], *is = &g->now.files[i];
		if (!m->changed[i] || !place_difference(&p, was, is))
			continue;
		m->needs_key |= begins(was->path, "journal/");
		if (said)
			return true;
		p.is_whole = whole;
		if (m->to_end)
			p.to = was->n > is->n ? was->n : is->n;
		if (strcmp(was->path, TREE) == 0)
			place_in_tree(&p, g->head.size);
		else if (strcmp(was->path, HEADS) == 0)
			place_in_heads(&p, was);
		else if (begins(was->path, "ledger/ledger-"))
			place_in_ledger(&p, g);
		m->keeps_heads = strcmp(was->path, HEADS) == 0 && is_thinned(was, is);
		m->in_wrapped_key = is_wrapped_key(&p);
		m->place = p;
		return true;
	}
	return false;
}

bool
mutation_make(struct mutation *m, struct ground *g, uint64_t seed)
{
	struct change c = {.m = m, .g = g, .seed = seed * 0x9e3779b97f4a7c15};

	*m = (struct mutation){.kind = pick_kind(&c.seed), .before = g->now};
	kinds[m->kind].fn(&c);
	if (set_place(m, g))
		return true;
	mutation_undo(m, g);
	return false;
}

void
mutation_undo(struct mutation *m, struct ground *g)
{
	for (size_t i = 0; i < g->now.n; i++)
		if (m->changed[i])
			free(g->now.files[i].p);
	g->now = m->before;
}
