/*
 * The tree and the ledger's files, side by side: each entry's leaf is read from the tree, its
 * hashes from its file, and both are held against what heads and epochs have signed.
 *
 * What can be said of an entry by itself is found out ahead, for as many as the window has, by all
 * hands; what it means for those before and after it, one after the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/verify_reader.h"
#include "proto/wire/codec.h"

#define TREE	   "ledger/tree"
#define ERASING	   "ledger/erasing" /* the number of an entry, while it is overwritten */
#define WINDOW	   (1024 * 1024)
#define FILE_HEAD  128
#define KEY_LEN	   60
#define CHAIN_AT   76
#define PAD_AT	   108
#define CRC_AT	   124
#define FRAME_HEAD 8
#define META	   68 /* flags, leaf, hash of what is stored */
#define SEAL_MORE  (SECRET_NONCE_LEN + SECRET_TAG_LEN)
#define STORED_MAX (256 * 1024 + SEAL_MORE)
#define AHEAD_MAX  4096 /* entries */
#define ARENA_MAX  (4 * 1024 * 1024)
#define SHARE	   16 /* that a hand takes at a time */
#define SECTOR	   512

enum { OPEN = 1, ERASED = 2 };

/* An entry as its file has it. */
struct ahead {
	const uint8_t *frame; /* in the window, */
	uint64_t at;	      /* and in the file */
	uint32_t len;	      /* without the frame's head */
	uint64_t entry;
	bool is_whole;	   /* its checksum is right */
	bool is_lost;	   /* what is stored is another, and has a sector of zeros in it */
	const char *fault; /* what is wrong with what is stored; NULL: nothing */
	uint32_t fault_len;
	bool was_read; /* and then this is what it says */
	struct verify_said said;
};

/* What each hand has of its own. */
struct reader_hand {
	struct secret_stream *key; /* of the file at hand; NULL without the master key */
	uint8_t *plain;
	struct arena *arena;
};

struct walk {
	struct verify *v;
	struct hw_err *err;
	uint64_t entry; /* the next one */

	struct verify_reader tree;
	bool tree_bad; /* nothing more is believed of it */
	uint8_t peaks[64][MERKLE_LEN];
	uint8_t leaf[MERKLE_LEN];
	bool has_leaf;
	size_t mark;	     /* the next one */
	uint64_t good_to;    /* where the last good head stood, */
	uint32_t good_epoch; /* and by which epoch's key */

	uint64_t *firsts; /* of the files */
	size_t n_files, files_room, next_file;
	struct verify_reader file;
	char name[64];
	struct secret_key wrap;
	struct reader_hand hands[VERIFY_HANDS_MAX];
	uint64_t erasing; /* VERIFY_NONE: none */
	struct ahead *ahead;
	size_t n_ahead, next_ahead;
	bool files_bad, files_end, no_memory;
	uint8_t chain[MERKLE_LEN];
	size_t link;
	uint64_t linked_to;
};

/* --- the tree --------------------------------------------------------------------------------- */

/* Before the first head there is nothing that a tree could break. */
static void
tree_fault(struct walk *w, struct verify_finding at, const char *what)
{
	if (!w->tree_bad && w->v->result->head.size == 0)
		verify_doubt(w->v, at, TREE, "%s", what);
	else if (!w->tree_bad)
		verify_find(w->v, at, TREE, "%s", what);
	w->tree_bad = true;
}

/* A node's hash, as RFC 9162 has it. */
static void
hash_node(const struct walk *w, uint8_t out[MERKLE_LEN], const uint8_t left[MERKLE_LEN],
	const uint8_t right[MERKLE_LEN])
{
	uint8_t begin[1 + MERKLE_LEN] = {1};

	memcpy(begin + 1, left, MERKLE_LEN);
	hasher_joined(w->v->hashers[0], out, begin, sizeof(begin), right, MERKLE_LEN);
}

/* The next hash of the file: false when there is none. */
static int
next_hash(struct walk *w, uint8_t out[MERKLE_LEN])
{
	const uint8_t *p;

	int r = verify_reader_look(&w->tree, &p, MERKLE_LEN, w->err);
	if (r == 1) {
		memcpy(out, p, MERKLE_LEN);
		verify_reader_pass(&w->tree, MERKLE_LEN);
	}
	return r;
}

static int
tree_open(struct walk *w)
{
	uint8_t head[MERKLE_LEN], want[MERKLE_LEN] = "hwtree1\n";

	int r = verify_reader_open(&w->tree, w->v, TREE, WINDOW, w->err);
	if (r == HW_ENOTFOUND) {
		tree_fault(w, verify_at(VERIFY_NONE, VERIFY_NONE, 0, w->v->result->head.size),
			"is missing");
		return 0;
	}
	if (r < 0 || (r = next_hash(w, head)) < 0)
		return r;
	if (r == 0 || memcmp(head, want, MERKLE_LEN) != 0)
		tree_fault(w, verify_at(0, MERKLE_LEN, VERIFY_NONE, VERIFY_NONE),
			"does not begin as a ledger's tree");
	return 0;
}

/* Bytes of all hashes of a whole subtree, which lie one after another. */
static uint64_t
subtree_len(unsigned level)
{
	return ((UINT64_C(2) << level) - 1) * MERKLE_LEN;
}

/* The hashes that the entry completed, each made anew. */
static int
climb(struct walk *w)
{
	uint8_t node[MERKLE_LEN], stored[MERKLE_LEN];
	unsigned level = 0;
	int r;

	memcpy(node, w->leaf, MERKLE_LEN);
	for (; (w->entry >> level & 1) != 0; level++) {
		uint64_t at = w->tree.at;
		hash_node(w, node, w->peaks[level], node);
		if ((r = next_hash(w, stored)) < 0)
			return r;
		if (r == 0 || memcmp(node, stored, MERKLE_LEN) != 0)
			tree_fault(w,
				verify_at(at + MERKLE_LEN - subtree_len(level + 1), at + MERKLE_LEN,
					w->entry + 1 - (UINT64_C(2) << level), w->entry + 1),
				r == 0 ? "ends before its time"
				       : "a hash is not that of the two below it");
	}
	memcpy(w->peaks[level], node, MERKLE_LEN);
	return 0;
}

static int
tree_step(struct walk *w)
{
	uint64_t at = w->tree.at;

	w->has_leaf = false;
	if (w->tree_bad)
		return 0;
	int r = next_hash(w, w->leaf);
	if (r == 0)
		tree_fault(w, verify_at(at, VERIFY_NONE, w->entry, w->v->result->head.size),
			"ends before the last entry that was signed");
	if (r <= 0)
		return r;
	w->has_leaf = true;
	return climb(w);
}

static void
fold(const struct walk *w, uint64_t size, uint8_t out[MERKLE_LEN])
{
	bool any = false;

	merkle_empty(out);
	for (unsigned l = 0; l < 64; l++) {
		if ((size >> l & 1) == 0)
			continue;
		if (any)
			hash_node(w, out, w->peaks[l], out);
		else
			memcpy(out, w->peaks[l], MERKLE_LEN);
		any = true;
	}
}

/* From where on the tree may be another than the mark says: the last head that the same key signed
 * for good. A key that was retired may be in other hands, and sign for any history. */
static uint64_t
suspect_from(const struct walk *w, const struct verify_mark *m)
{
	return m->is_head && m->epoch == w->good_epoch ? w->good_to : 0;
}

/* Roots that were signed over exactly the first `size` entries. */
static void
check_marks(struct walk *w, uint64_t size)
{
	struct verify *v = w->v;
	uint8_t root[MERKLE_LEN];
	bool made = false;

	for (; w->mark < v->n_marks && v->marks[w->mark].size == size; w->mark++) {
		const struct verify_mark *m = &v->marks[w->mark];
		if (w->tree_bad)
			continue;
		if (!made)
			fold(w, size, root);
		made = true;
		if (memcmp(root, m->root, MERKLE_LEN) != 0) {
			verify_find(v, verify_at(m->from, m->to, suspect_from(w, m), size), m->file,
				"the tree is not the one that was signed");
			w->tree_bad = true;
		} else if (m->is_head) {
			w->good_to = size;
			w->good_epoch = m->epoch;
		}
	}
}

/* --- files ------------------------------------------------------------------------------------ */

static int
each_file(void *ctx, const char *name, struct hw_err *err)
{
	struct walk *w = ctx;
	char made[64];
	uint64_t first;

	if (sscanf(name, "ledger-%16" SCNx64 ".log", &first) != 1)
		return 0;
	snprintf(made, sizeof(made), "ledger-%016" PRIx64 ".log", first);
	if (strcmp(made, name) != 0)
		return 0;
	uint64_t *list = verify_grow(w->firsts, w->n_files, &w->files_room, sizeof(*list));
	if (list == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's files");
	w->firsts = list;
	w->firsts[w->n_files++] = first;
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int
by_size(const void *a, const void *b)
{
	return by_number(&((const struct verify_mark *)a)->size,
		&((const struct verify_mark *)b)->size);
}

static void
file_fault(struct walk *w, uint64_t from, uint64_t to, const char *what)
{
	if (!w->files_bad)
		verify_find(w->v, verify_at(from, to, w->entry, w->entry + 1), w->name, "%s", what);
	w->files_bad = true;
}

/* The entry at hand is wrong, but what follows can be read all the same. */
static void
entry_fault(struct walk *w, uint64_t len, const char *what)
{
	verify_find(w->v,
		verify_at(w->file.at, w->file.at + FRAME_HEAD + len, w->entry, w->entry + 1),
		w->name, "%s", what);
}

/* Every hand needs a context of its own. */
static bool
take_key(struct walk *w, const struct secret_key *key)
{
	bool good = true;

	for (unsigned i = 0; i < verify_crew_hands(w->v->crew); i++) {
		secret_stream_free(w->hands[i].key);
		w->hands[i].key = secret_stream_new(key);
		good = good && w->hands[i].key != NULL;
	}
	w->no_memory = !good;
	return good;
}

static bool
unwrap(struct walk *w, const uint8_t *head)
{
	char aad[64];
	struct buf b;

	if (w->v->options->master == NULL)
		return true;
	snprintf(aad, sizeof(aad), "hawser ledger file %016" PRIx64, get_le64(head + 8));
	buf_init(&b, SECRET_KEY_LEN);
	bool good =
		secret_open(&b, &w->wrap, aad, head + 16, KEY_LEN) == 0 && b.len == SECRET_KEY_LEN;
	if (good) {
		struct secret_key key;
		memcpy(key.bytes, b.mem, SECRET_KEY_LEN);
		good = take_key(w, &key);
		secret_key_wipe(&key);
	}
	buf_wipe(&b);
	buf_fini(&b);
	return good;
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static const char *
why_no_head(struct walk *w, const uint8_t *p, uint64_t first)
{
	static const uint8_t zeros[CRC_AT - PAD_AT];

	if (memcmp(p, "hwledg2\n", 8) != 0 || get_le64(p + 8) != first)
		return "does not begin as the ledger's file of that name";
	if (get_le32(p + CRC_AT) != crc32c(0, p, CRC_AT) ||
		memcmp(p + PAD_AT, zeros, sizeof(zeros)) != 0)
		return "the head fails its checksum";
	return unwrap(w, p) ? NULL : "the master key does not open it";
}

/* Opens the file that is next: 1; 0 when there is none. */
static int
open_next(struct walk *w)
{
	const uint8_t *p;
	char path[96];
	int r;

	if (w->next_file == w->n_files)
		return 0;
	uint64_t first = w->firsts[w->next_file++];
	snprintf(w->name, sizeof(w->name), "ledger/ledger-%016" PRIx64 ".log", first);
	if (first != w->entry) {
		verify_find(w->v, verify_at(0, VERIFY_NONE, w->entry, first), w->name,
			first > w->entry ? "entries before it are missing"
					 : "begins with an entry that another file has");
		w->files_bad = true;
		return 0;
	}
	snprintf(path, sizeof(path), "%s", w->name);
	verify_reader_close(&w->file);
	if ((r = verify_reader_open(&w->file, w->v, path, FRAME_HEAD + META + STORED_MAX + WINDOW,
		     w->err)) < 0 ||
		(r = verify_reader_look(&w->file, &p, FILE_HEAD, w->err)) < 0)
		return r;
	/* A power cut may leave the last one so. */
	bool blank = r == 0 || (w->file.file.size == FILE_HEAD && is_zero(p, FILE_HEAD));
	const char *why = blank ? "is cut off in its head" : why_no_head(w, p, first);
	if (w->no_memory)
		return hw_err_set(w->err, HW_ENOMEM, "no memory to open the ledger's files");
	if (blank && w->next_file == w->n_files && first >= w->v->result->head.filed) {
		verify_doubt(w->v, verify_at(0, w->file.file.size, VERIFY_NONE, VERIFY_NONE),
			w->name, "%s", why);
		w->files_bad = true;
		return 0;
	}
	if (why != NULL) {
		file_fault(w, 0, FILE_HEAD, why);
		return 0;
	}
	if (memcmp(p + CHAIN_AT, w->chain, MERKLE_LEN) != 0) {
		verify_find(w->v, verify_at(CHAIN_AT, CHAIN_AT + MERKLE_LEN, w->linked_to, first),
			w->name, "does not go on from the entries before it");
		w->files_bad = true;
		return 0;
	}
	verify_reader_pass(&w->file, FILE_HEAD);
	return 1;
}

/* --- entries ---------------------------------------------------------------------------------- */

static int
add_number(uint64_t **list, size_t *n, size_t *room, uint64_t number, struct hw_err *err)
{
	uint64_t *grown = verify_grow(*list, *n, room, sizeof(*grown));

	if (grown == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what was erased");
	*list = grown;
	grown[(*n)++] = number;
	return 0;
}

static bool
is_kind(const struct msg_ledger_entry *e, enum entry_kind kind)
{
	return strcmp(e->kind, entry_kind_name(kind)) == 0;
}

static bool
speaks_of_recording(const struct msg_ledger_entry *e)
{
	return is_kind(e, ENTRY_RECORDING_SEALED) || is_kind(e, ENTRY_RECORDING_CHECKPOINT) ||
		is_kind(e, ENTRY_RECORDING_DELETED);
}

static void
read_fact(struct verify_said *ret, const struct msg_ledger_entry *e)
{
	struct verify_fact *f = &ret->fact;

	if (e->session_id == NULL ||
		(e->hash.n != MERKLE_LEN && !is_kind(e, ENTRY_RECORDING_DELETED))) {
		snprintf(ret->fault, sizeof(ret->fault), "speaks of a recording without its hash");
		return;
	}
	ret->has_fact = true;
	*f = (struct verify_fact){
		.is_final = is_kind(e, ENTRY_RECORDING_SEALED),
		.is_gone = is_kind(e, ENTRY_RECORDING_DELETED),
		.entry = (uint64_t)e->sequence,
		.size = (uint64_t)e->size,
	};
	snprintf(f->id, sizeof(f->id), "%s", e->session_id);
	if (e->hash.n == MERKLE_LEN)
		memcpy(f->hash, e->hash.p, MERKLE_LEN);
}

void
verify_read_entry(struct verify_said *ret, struct arena *arena, uint64_t sequence, const uint8_t *p,
	size_t n)
{
	struct arena_mark mark = arena_mark(arena);
	void *msg;

	ret->fault[0] = '\0';
	ret->has_fact = ret->names = false;
	if (msg_decode(&msg, arena, MSG_ROW(ledger_entry), p, n, NULL) < 0) {
		snprintf(ret->fault, sizeof(ret->fault), "is no entry of a ledger");
		arena_release(arena, &mark);
		return;
	}
	const struct msg_ledger_entry *e = msg;
	if (e->sequence != (int64_t)sequence) {
		snprintf(ret->fault, sizeof(ret->fault), "says that it is entry %" PRId64,
			e->sequence);
	} else if (speaks_of_recording(e)) {
		read_fact(ret, e);
	} else if (is_kind(e, ENTRY_ENTRY_ERASED) && (uint64_t)e->size < sequence) {
		ret->names = true;
		ret->named = (uint64_t)e->size;
	}
	arena_release(arena, &mark);
}

int
verify_take_said(struct verify *v, const struct verify_said *said, uint64_t sequence,
	const char *file, uint64_t at, struct hw_err *err)
{
	if (said->fault[0] != '\0')
		verify_find(v, verify_at(at, VERIFY_NONE, sequence, sequence + 1), file, "%s",
			said->fault);
	if (said->names && sequence >= v->result->head.size) {
		v->unsigned_names = true;
		return 0;
	}
	if (said->names)
		return add_number(&v->named, &v->n_named, &v->named_room, said->named, err);
	if (!said->has_fact)
		return 0;
	struct verify_fact *list = verify_grow(v->facts, v->n_facts, &v->facts_room, sizeof(*list));
	if (list == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what the ledger says");
	v->facts = list;
	list[v->n_facts++] = said->fact;
	return 0;
}

int
verify_entry(struct verify *v, uint64_t sequence, const uint8_t *p, size_t n, const char *file,
	uint64_t at, struct hw_err *err)
{
	struct verify_said said;

	verify_read_entry(&said, v->arena, sequence, p, n);
	return verify_take_said(v, &said, sequence, file, at, err);
}

/* Whether a sector of the entry is all zeros, from its beginning or the entry's to the end of
 * either: what a power cut leaves of a write. */
static bool
has_lost_sector(const struct ahead *a)
{
	size_t n = FRAME_HEAD + a->len, end;

	for (size_t i = 0; i < n; i = end) {
		end = i + SECTOR - (size_t)((a->at + i) % SECTOR);
		end = end < n ? end : n;
		if (is_zero(a->frame + i, end - i))
			return true;
	}
	return false;
}

/* What is stored of the entry, opened if it can be. */
static void
read_stored(struct walk *w, unsigned hand, struct ahead *a)
{
	const uint8_t *meta = a->frame + FRAME_HEAD, *p = meta + META;
	struct hasher *hasher = w->v->hashers[hand];
	struct reader_hand *own = &w->hands[hand];
	size_t n = a->len - META;
	uint8_t hash[MERKLE_LEN];
	char aad[64];

	a->fault_len = a->len;
	hasher_joined(hasher, hash, p, n, NULL, 0);
	if (memcmp(hash, meta + 4 + MERKLE_LEN, MERKLE_LEN) != 0) {
		a->fault = "the stored bytes are not those that were written";
		a->is_lost = has_lost_sector(a);
		return;
	}
	if ((get_le32(meta) & OPEN) == 0) {
		if (own->key == NULL)
			return;
		snprintf(aad, sizeof(aad), "hawser ledger entry %016" PRIx64, a->entry);
		if (secret_stream_open_alone(own->key, aad, own->plain, p, n) < 0) {
			a->fault = "does not open";
			return;
		}
		p = own->plain;
		n -= SEAL_MORE;
	}
	hasher_joined(hasher, hash, "", 1, p, n);
	if (memcmp(hash, meta + 4, MERKLE_LEN) != 0) {
		a->fault = "the leaf is not that of the entry";
		a->fault_len = META;
		return;
	}
	a->was_read = true;
	verify_read_entry(&a->said, own->arena, a->entry, p, n);
}

/* All that can be said of it without the others. A job of the crew. */
static void
look_at(void *arg, unsigned hand, size_t i)
{
	struct walk *w = arg;
	struct ahead *a = &w->ahead[i];
	const uint8_t *p = a->frame;
	uint8_t whole[META];

	memcpy(whole, p + FRAME_HEAD, META);
	put_le32(whole, get_le32(whole) & ~(uint32_t)ERASED);
	a->is_whole = get_le32(p + 4) == crc32c(crc32c(0, p, 4), whole, META);
	a->was_read = a->is_lost = false;
	a->fault = NULL;
	if (!a->is_whole)
		return;
	if ((get_le32(p + FRAME_HEAD) & ERASED) == 0) {
		read_stored(w, hand, a);
	} else if (a->entry != w->erasing && !is_zero(p + FRAME_HEAD + META, a->len - META)) {
		a->fault = "is erased, and yet there are bytes";
		a->fault_len = a->len;
	}
}

/* Keeps what was found out about the entry at hand. */
static int
take_stored(struct walk *w, const struct ahead *a)
{
	struct verify *v = w->v;

	if (a->fault != NULL)
		entry_fault(w, a->fault_len, a->fault);
	if (w->entry == w->erasing)
		verify_doubt(v,
			verify_at(w->file.at, w->file.at + FRAME_HEAD + a->len, w->entry,
				w->entry + 1),
			w->name, "is being erased: the relay finishes it when it starts");
	if ((get_le32(a->frame + FRAME_HEAD) & ERASED) != 0)
		return add_number(&v->erased, &v->n_erased, &v->erased_room, w->entry, w->err);
	return a->was_read ? verify_take_said(v, &a->said, w->entry, w->name, w->file.at, w->err)
			   : 0;
}

static void
chain_on(struct walk *w, const uint8_t *meta)
{
	struct verify *v = w->v;
	uint8_t whole[META];
	uint64_t filed = w->entry + 1;

	memcpy(whole, meta, META);
	put_le32(whole, get_le32(meta) & ~(uint32_t)ERASED);
	hasher_joined(v->hashers[0], w->chain, w->chain, MERKLE_LEN, whole, META);
	for (; w->link < v->n_links && v->links[w->link].filed <= filed; w->link++) {
		const struct verify_link *l = &v->links[w->link];
		if (l->filed < filed)
			continue;
		if (memcmp(l->chain, w->chain, MERKLE_LEN) != 0) {
			verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, w->linked_to, filed),
				w->name, "the entries are not those whose files were signed");
			w->files_bad = true;
			return;
		}
		w->linked_to = filed;
	}
}

/* What comes after what the last head says to be on disk, at the end of the last file. */
static bool
may_be_torn(const struct walk *w)
{
	return w->entry >= w->v->result->head.filed && w->next_file == w->n_files;
}

/* What is not whole was never synced, if it comes after what the last head says to be on disk. A
 * relay that runs may be about to write the rest of it, but it leaves no hole. */
static int
torn(struct walk *w, uint64_t at, const char *what, bool is_short)
{
	uint64_t size = w->file.file.size;

	if (!may_be_torn(w)) {
		file_fault(w, at, size, what);
		return 0;
	}
	if (!is_short || !w->v->options->is_running)
		verify_doubt(w->v, verify_at(at, size, w->entry, VERIFY_NONE), w->name,
			"%s, after what the last head says to be on disk", what);
	w->files_end = true;
	return 0;
}

/* Whether the frame at p, of which n bytes are there, has a length that it can have. */
static bool
has_good_length(const uint8_t *p, size_t n)
{
	uint32_t len = n >= FRAME_HEAD ? get_le32(p) : 0;

	return len >= META && len <= META + STORED_MAX;
}

/* Looks at the entries that come next, as many as the window has whole. */
static int
look_ahead(struct walk *w)
{
	uint64_t at = w->file.at;
	const uint8_t *p;
	size_t left;

	w->n_ahead = w->next_ahead = 0;
	int r = verify_reader_look_far(&w->file, &p, &left, w->err);
	if (r < 0)
		return r;
	while (w->n_ahead < AHEAD_MAX && has_good_length(p, left) &&
		left - FRAME_HEAD >= get_le32(p)) {
		struct ahead *a = &w->ahead[w->n_ahead];
		a->frame = p;
		a->at = at;
		a->len = get_le32(p);
		a->entry = w->entry + w->n_ahead++;
		p += FRAME_HEAD + a->len;
		at += FRAME_HEAD + a->len;
		left -= FRAME_HEAD + a->len;
	}
	verify_crew_run(w->v->crew, w->n_ahead, SHARE, look_at, w);
	return 0;
}

/* There is no whole entry where one is due. */
static int
no_entry(struct walk *w)
{
	const uint8_t *p;

	int r = verify_reader_look(&w->file, &p, FRAME_HEAD, w->err);
	if (r < 0)
		return r;
	if (r == 1 && !has_good_length(p, FRAME_HEAD))
		return torn(w, w->file.at, "an entry has a bad length", false);
	return torn(w, w->file.at, "an entry is cut off", true);
}

/* The next entry out of the files: 1; 0 when they have none. */
static int
file_step(struct walk *w)
{
	int r;

	if (w->files_bad || w->files_end)
		return 0;
	while (!w->file.is_open || verify_reader_left(&w->file) == 0)
		if ((r = open_next(w)) <= 0) {
			w->files_end = true;
			return r;
		}
	if (w->next_ahead == w->n_ahead && (r = look_ahead(w)) < 0)
		return r;
	if (w->n_ahead == 0)
		return no_entry(w);
	const struct ahead *a = &w->ahead[w->next_ahead++];
	const uint8_t *meta = a->frame + FRAME_HEAD;
	if (!a->is_whole)
		return torn(w, w->file.at, "an entry fails its checksum", false);
	/* Its checksum is not over what is stored. */
	if (a->is_lost && may_be_torn(w))
		return torn(w, w->file.at, a->fault, false);
	if ((get_le32(meta) & ~(uint32_t)(OPEN | ERASED)) != 0)
		entry_fault(w, a->len, "is of a kind that this program does not know");
	if (w->has_leaf && memcmp(w->leaf, meta + 4, MERKLE_LEN) != 0)
		entry_fault(w, a->len, "is not the entry that the tree has in its place");
	if ((r = take_stored(w, a)) < 0)
		return r;
	chain_on(w, meta);
	verify_reader_pass(&w->file, FRAME_HEAD + a->len);
	return 1;
}

/* --- the walk --------------------------------------------------------------------------------- */

static int
keep_leaf(struct walk *w, size_t *room)
{
	struct verify *v = w->v;
	uint8_t *list = verify_grow(v->leaves, v->n_leaves, room, MERKLE_LEN);

	if (list == NULL)
		return hw_err_set(w->err, HW_ENOMEM, "no memory for the ledger's tree");
	v->leaves = list;
	memcpy(list + v->n_leaves++ * MERKLE_LEN, w->leaf, MERKLE_LEN);
	return 0;
}

static int
walk_signed(struct walk *w)
{
	struct verify *v = w->v;
	size_t room = 0;
	int r = 0;

	v->filed_end = VERIFY_NONE;
	check_marks(w, 0);
	for (; w->entry < v->result->head.size; w->entry++) {
		if ((r = tree_step(w)) < 0 || (r = file_step(w)) < 0)
			return r;
		if (r == 0 && v->filed_end == VERIFY_NONE)
			v->filed_end = w->entry;
		if (r == 0 && w->has_leaf && (r = keep_leaf(w, &room)) < 0)
			return r;
		check_marks(w, w->entry + 1);
		/* Neither is worth going on with. */
		if (w->tree_bad && (w->files_bad || w->files_end))
			break;
	}
	if (v->filed_end == VERIFY_NONE)
		v->filed_end = w->entry;
	return 0;
}

/* What comes after the last head: nobody has signed it yet. */
static int
walk_rest(struct walk *w)
{
	struct verify *v = w->v;
	uint64_t begin = w->entry;
	int r = 1;

	w->has_leaf = false;
	if (v->filed_end == v->result->head.size)
		while ((r = file_step(w)) == 1)
			w->entry++;
	v->files_end = v->filed_end == v->result->head.size ? w->entry : v->filed_end;
	if (r < 0 || v->options->is_running)
		return r;
	if (w->entry > begin)
		verify_doubt(v, verify_at(VERIFY_NONE, VERIFY_NONE, begin, w->entry), w->name,
			"the last entries are not signed yet");
	if (!w->tree_bad && w->tree.is_open && verify_reader_left(&w->tree) > 0)
		verify_doubt(v, verify_at(w->tree.at, w->tree.file.size, VERIFY_NONE, VERIFY_NONE),
			TREE, "the last hashes are not signed yet");
	return 0;
}

static void
check_filed(struct walk *w)
{
	struct verify *v = w->v;
	const struct log_head *head = &v->result->head;

	if (v->filed_end < head->filed && !w->files_bad)
		verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, v->filed_end, head->filed),
			"ledger", "entries are missing at the end of the ledger's files");
	if (v->filed_end < head->size && v->options->master == NULL && !v->options->is_running &&
		!w->files_bad)
		verify_doubt(v, verify_at(VERIFY_NONE, VERIFY_NONE, v->filed_end, head->size),
			"ledger",
			"the last entries are in the journal alone, which only the master key opens");
}

static void
walk_free(struct walk *w)
{
	verify_reader_close(&w->tree);
	verify_reader_close(&w->file);
	secret_key_wipe(&w->wrap);
	for (unsigned i = 0; i < VERIFY_HANDS_MAX; i++) {
		secret_stream_free(w->hands[i].key);
		free(w->hands[i].plain);
		if (w->hands[i].arena != NULL)
			arena_free(w->hands[i].arena);
	}
	free(w->ahead);
	free(w->firsts);
	free(w);
}

static struct walk *
walk_new(struct verify *v, struct hw_err *err)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->v = v;
	w->err = err;
	if (v->options->master != NULL)
		secret_key_derive(&w->wrap, v->options->master, "hawser ledger");
	w->ahead = calloc(AHEAD_MAX, sizeof(*w->ahead));
	bool good = w->ahead != NULL;
	for (unsigned i = 0; i < verify_crew_hands(v->crew); i++) {
		good = (w->hands[i].plain = malloc(STORED_MAX)) != NULL && good;
		good = (w->hands[i].arena = arena_new(ARENA_MAX)) != NULL && good;
	}
	if (good)
		return w;
	walk_free(w);
	return NULL;
}

static int
read_erasing(struct walk *w)
{
	struct buf text;
	uint64_t number;

	w->erasing = VERIFY_NONE;
	int r = verify_slurp(w->v, &text, ERASING, 24, w->err);
	if (r < 0)
		return r == HW_ENOTFOUND ? 0 : r;
	const char *p = buf_str(&text);
	if (p != NULL && sscanf(p, "%" SCNu64, &number) == 1)
		w->erasing = number;
	buf_fini(&text);
	return p != NULL ? 0 : hw_err_set(w->err, HW_ENOMEM, "no memory to read %s", ERASING);
}

int
verify_ledger(struct verify *v, struct hw_err *err)
{
	int r;

	if (v->epochs.n == 0)
		return 0; /* nothing can be believed */
	struct walk *w = walk_new(v, err);
	if (w == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to verify the ledger");
	v->result->entries = v->result->head.size;
	if (v->n_marks > 1)
		qsort(v->marks, v->n_marks, sizeof(*v->marks), by_size);
	if ((r = read_erasing(w)) == 0 &&
		(r = v->source->list(v->source->arg, "ledger", each_file, w, err)) == 0) {
		if (w->n_files > 1)
			qsort(w->firsts, w->n_files, sizeof(*w->firsts), by_number);
		r = tree_open(w);
	}
	if (r == 0 && (r = walk_signed(w)) == 0) {
		check_filed(w);
		r = walk_rest(w);
	}
	walk_free(w);
	return r < 0 ? r : 0;
}
