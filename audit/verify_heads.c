/* Epochs and heads: who signed the ledger, and what. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/verify_private.h"
#include "proto/trust/witness.h"

#define EPOCHS	   "ledger/epochs"
#define HEADS	   "ledger/heads"
#define EPOCHS_MAX (1024 * 1024)
#define HEADS_MAX  (64 * 1024 * 1024)
#define MAGIC_LEN  8
#define RECORD	   160
#define AT_EPOCH   4
#define AT_SIZE	   8
#define AT_TIME	   16
#define AT_FILED   24
#define AT_ROOT	   32
#define AT_CHAIN   64
#define AT_SIGNED  96

static int
add_mark(struct verify *v, struct verify_mark mark, struct hw_err *err)
{
	struct verify_mark *list = verify_grow(v->marks, v->n_marks, &v->marks_room, sizeof(*list));

	if (list == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's heads");
	v->marks = list;
	v->marks[v->n_marks++] = mark;
	return 0;
}

static int
add_link(struct verify *v, const struct log_head *head, struct hw_err *err)
{
	struct verify_link *list = verify_grow(v->links, v->n_links, &v->links_room, sizeof(*list));

	if (list == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's heads");
	v->links = list;
	v->links[v->n_links] = (struct verify_link){.filed = head->filed};
	memcpy(v->links[v->n_links++].chain, head->chain, MERKLE_LEN);
	return 0;
}

/* --- epochs ----------------------------------------------------------------------------------- */

/* Which statement is the first that does not hold: the first that cannot be read with those before
 * it. */
static void
locate_statement(struct verify *v, const char *text, size_t n, const char *why)
{
	size_t good = 0, end;

	for (;;) {
		struct log_epochs list;
		const char *stop = memmem(text + good, n - good, "\n\n", 2);
		end = stop != NULL ? (size_t)(stop - text) + 2 : n;
		if (stop == NULL || log_epochs_read(&list, text, end, v->options->ca, NULL) < 0)
			break;
		log_epochs_fini(&list);
		good = end;
	}
	verify_find(v, verify_at(good, end, VERIFY_NONE, VERIFY_NONE), EPOCHS, "%s", why);
}

static int
read_epochs(struct verify *v, struct hw_err *err)
{
	struct hw_err why = HW_ERR_INIT;
	struct buf text;

	int r = verify_slurp(v, &text, EPOCHS, EPOCHS_MAX, err);
	if (r == HW_ENOTFOUND)
		return hw_err_set(err, r,
			"there is no ledger/epochs, which says who signs the ledger");
	if (r < 0)
		return r;
	v->epochs_len = text.len;
	r = log_epochs_read(&v->epochs, buf_data(&text), text.len, v->options->ca, &why);
	if (r == HW_ECORRUPT)
		locate_statement(v, (const char *)buf_data(&text), text.len, hw_err_text(&why));
	buf_fini(&text);
	return r == HW_ECORRUPT || r == 0 ? 0 : r;
}

/* A recovery went on with less: what the statement is about is not there any more. */
static bool
is_given_up(const struct log_epochs *list, const struct log_epoch *e)
{
	for (size_t i = e->epoch; i < list->n; i++)
		if (list->all[i].size < e->size)
			return true;
	return false;
}

static int
mark_epochs(struct verify *v, struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < v->epochs.n && r == 0; i++) {
		if (is_given_up(&v->epochs, &v->epochs.all[i]))
			continue;
		struct verify_mark m = {.size = v->epochs.all[i].size,
			.epoch = v->epochs.all[i].epoch,
			.file = EPOCHS,
			.from = VERIFY_NONE,
			.to = VERIFY_NONE};
		memcpy(m.root, v->epochs.all[i].root, MERKLE_LEN);
		r = add_mark(v, m, err);
	}
	v->result->epochs = v->epochs.n;
	memcpy(v->result->origin, v->epochs.origin, LOG_ORIGIN_MAX);
	return r;
}

/* --- heads ------------------------------------------------------------------------------------ */

static bool
parse_record(struct log_head *h, const uint8_t *p)
{
	*h = (struct log_head){
		.epoch = get_le32(p + AT_EPOCH),
		.size = get_le64(p + AT_SIZE),
		.time = (int64_t)get_le64(p + AT_TIME),
		.filed = get_le64(p + AT_FILED),
	};
	memcpy(h->root, p + AT_ROOT, MERKLE_LEN);
	memcpy(h->chain, p + AT_CHAIN, MERKLE_LEN);
	memcpy(h->signature, p + AT_SIGNED, LOG_SIGNATURE_LEN);
	return get_le32(p) == crc32c(0, p + AT_EPOCH, RECORD - AT_EPOCH);
}

/* Why a head cannot come after the one before it; NULL when it can. */
static const char *
why_not_after(const struct log_head *last, const struct log_head *h)
{
	if (h->filed > h->size)
		return "says that more is filed than there is";
	if (h->epoch < last->epoch)
		return "is of an epoch before that of the head before it";
	if (h->size < last->size)
		return "has fewer entries than the head before it";
	if (h->time < last->time)
		return "is older than the head before it";
	if (h->filed < last->filed && h->epoch == last->epoch)
		return "says that less is filed than the head before it";
	if (h->size == last->size && h->time == last->time && h->filed == last->filed &&
		h->epoch == last->epoch)
		return "says what the head before it says";
	return NULL;
}

/* All records, and which of them are signed by the key of their epoch: nine tenths of the work, so
 * that all hands take part in it. */
struct signatures {
	const struct verify *v;
	const uint8_t *records;
	bool *good;
};

static void
check_signature(void *arg, unsigned hand, size_t i)
{
	struct signatures *s = arg;
	struct log_head h;

	(void)hand;
	if (!parse_record(&h, s->records + i * RECORD))
		return;
	const struct log_epoch *of = log_epochs_find(&s->v->epochs, h.epoch);
	if (of == NULL)
		return;
	log_head_name_key(&h, s->v->epochs.origin, of->key);
	s->good[i] = log_epochs_allow(&s->v->epochs, &h, NULL) == 0;
}

/* A relay that runs may be writing it. */
static void
doubt_last(struct verify *v, struct verify_finding where, const char *what)
{
	if (!v->options->is_running)
		verify_doubt(v, where, HEADS, "%s", what);
}

/* The statement that a good head shows to be missing. */
static void
say_short(struct verify *v, uint32_t epoch)
{
	const struct log_epoch *last = log_epochs_last(&v->epochs);

	if (v->epochs_short || epoch <= last->epoch)
		return;
	v->epochs_short = true;
	verify_find(v, verify_at(v->epochs_len, VERIFY_NONE, last->size, VERIFY_NONE), EPOCHS,
		"ends with epoch %" PRIu32 ", and there are heads of epoch %" PRIu32, last->epoch,
		epoch);
}

static bool
check_head(struct verify *v, struct log_head *h, const uint8_t *p, uint64_t at, bool last,
	bool is_signed)
{
	const struct verify_finding where = verify_at(at, at + RECORD, VERIFY_NONE, VERIFY_NONE);
	struct hw_err why = HW_ERR_INIT;

	if (!parse_record(h, p)) {
		/* A power cut may leave the last one so; a relay that starts drops it. */
		if (!last)
			verify_find(v, where, HEADS, "the record fails its checksum");
		else
			doubt_last(v, where, "the last head fails its checksum");
		return false;
	}
	const struct log_epoch *of = log_epochs_find(&v->epochs, h->epoch);
	if (of != NULL)
		log_head_name_key(h, v->epochs.origin, of->key);
	/* Why it is not is found out here, in its place. */
	if (!is_signed && log_epochs_allow(&v->epochs, h, &why) < 0) {
		say_short(v, h->epoch);
		verify_find(v, where, HEADS, "%s", hw_err_text(&why));
		return false;
	}
	const char *not_after = why_not_after(&v->result->head, h);
	if (not_after != NULL)
		verify_find(v, where, HEADS, "the head %s", not_after);
	return not_after == NULL;
}

static int
take_head(struct verify *v, const uint8_t *p, uint64_t at, bool last, bool is_signed,
	struct hw_err *err)
{
	struct log_head h;
	int r;

	if (!check_head(v, &h, p, at, last, is_signed))
		return 0;
	struct verify_mark m = {.size = h.size,
		.file = HEADS,
		.from = at,
		.to = at + RECORD,
		.epoch = h.epoch,
		.is_head = true};
	memcpy(m.root, h.root, MERKLE_LEN);
	if ((r = add_mark(v, m, err)) < 0 || (r = add_link(v, &h, err)) < 0)
		return r;
	v->result->head = h;
	v->result->heads++;
	return 0;
}

/* The records that come one after another in n bytes. */
static int
take_heads(struct verify *v, const uint8_t *p, size_t n, struct hw_err *err)
{
	size_t count = n / RECORD;
	struct signatures s = {.v = v, .records = p, .good = calloc(count + 1, sizeof(bool))};
	int r = 0;

	if (s.good == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's heads");
	verify_crew_run(v->crew, count, 16, check_signature, &s);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = take_head(v, p + i * RECORD, MAGIC_LEN + i * RECORD,
			n - i * RECORD < 2 * RECORD, s.good[i], err);
	free(s.good);
	return r;
}

static int
read_heads(struct verify *v, struct hw_err *err)
{
	struct buf all;
	int r = verify_slurp(v, &all, HEADS, HEADS_MAX, err);

	if (r == HW_ENOTFOUND)
		return hw_err_set(err, r, "there is no ledger/heads: nothing was signed");
	if (r < 0)
		return r;
	const uint8_t *p = buf_data(&all);
	const size_t at = MAGIC_LEN;
	if (all.len < MAGIC_LEN || memcmp(p, "hwheads1", MAGIC_LEN) != 0)
		verify_find(v, verify_at(0, MAGIC_LEN, VERIFY_NONE, VERIFY_NONE), HEADS,
			"does not begin as a file of heads");
	if (all.len > at)
		r = take_heads(v, p + at, all.len - at, err);
	if (r == 0 && all.len > at && (all.len - at) % RECORD != 0)
		doubt_last(v,
			verify_at(all.len - (all.len - at) % RECORD, all.len, VERIFY_NONE,
				VERIFY_NONE),
			"the last head was not wholly written");
	buf_fini(&all);
	return r;
}

/* --- whether they are the newest -------------------------------------------------------------- */

/* A key signs over where its last head stands: a statement that speaks of more is of a ledger that
 * was longer. A recovery takes what there is, signed or not. */
static void
check_statements(struct verify *v)
{
	const struct log_head *head = &v->result->head;
	uint64_t most = head->size;

	for (size_t i = head->epoch; i < v->epochs.n; i++) {
		const struct log_epoch *e = &v->epochs.all[i];
		if (e->by == LOG_BY_RECOVERY) {
			verify_doubt(v, verify_at(VERIFY_NONE, VERIFY_NONE, e->size, VERIFY_NONE),
				HEADS,
				"there is no head of epoch %" PRIu32 ", which a recovery began",
				e->epoch);
			return;
		}
		most = e->size > most ? e->size : most;
	}
	if (most > head->size)
		verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, head->size, most), HEADS,
			"the ledger was cut, or replaced by an older copy: a statement in " EPOCHS
			" speaks of %" PRIu64 " entries",
			most);
}

/* That a relay runs is what a lock in the directory says, which is anybody's. */
static void
check_freshness(struct verify *v)
{
	const struct verify_options *o = v->options;
	const struct verify_finding where =
		verify_at(VERIFY_NONE, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE);
	int64_t age = o->now - v->result->head.time;

	if (v->result->heads == 0)
		verify_doubt(v, where, HEADS, "no head is signed yet");
	else if (o->is_running && o->now != 0 && age > WITNESS_STALE_AFTER)
		verify_doubt(v, where, HEADS,
			"a relay is said to run on this directory, and has signed nothing for %" PRId64
			" minutes",
			age / (60 * USEC_PER_SEC));
}

/* --- heads that were kept elsewhere ------------------------------------------------------------
 */

/* Why the head is not of this ledger, as a finding. */
static bool
is_of_ledger(struct verify *v, const struct verify_kept *k)
{
	const struct verify_finding where = verify_at(k->from, k->to, VERIFY_NONE, VERIFY_NONE);
	struct hw_err why = HW_ERR_INIT;

	if (strcmp(k->origin, v->epochs.origin) != 0)
		verify_find(v, where, k->file, "the head is of %s, and the ledger that of %s",
			k->origin, v->epochs.origin);
	else if (log_epochs_allow(&v->epochs, &k->head, &why) == 0)
		return true;
	else if (log_epochs_gave_up(&v->epochs, &k->head))
		v->result->given_up++;
	else
		verify_find(v, where, k->file, "the head that was kept: %s", hw_err_text(&why));
	return false;
}

/* Beyond what there is, the one with the most entries is told: the others say the same. */
static int
take_kept(struct verify *v, const struct verify_kept *k, const struct verify_kept **most,
	struct hw_err *err)
{
	struct verify_mark m = {
		.size = k->head.size,
		.file = k->file,
		.from = k->from,
		.to = k->to,
		.epoch = k->head.epoch,
		.is_head = true,
	};

	v->result->kept++;
	if (!is_of_ledger(v, k))
		return 0;
	memcpy(m.root, k->head.root, MERKLE_LEN);
	if (k->head.size <= v->result->head.size)
		return add_mark(v, m, err);
	if (*most == NULL || k->head.size > (*most)->head.size)
		*most = k;
	return 0;
}

static void
tell_cut(struct verify *v, const struct verify_kept *k)
{
	verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, v->result->head.size, k->head.size),
		HEADS,
		"the ledger was cut, or all of it replaced by an older copy: %" PRIu64
		" entries were signed (%.80s)",
		k->head.size, k->file);
}

/* This is what shows that all of the directory is an older copy. */
static int
take_all_kept(struct verify *v, struct hw_err *err)
{
	const struct verify_options *o = v->options;
	const struct verify_kept *most = NULL;
	int r = 0;

	if (o->known != NULL) {
		const struct verify_kept one = {.head = *o->known,
			.origin = o->known_origin,
			.file = "the head that was kept",
			.from = VERIFY_NONE,
			.to = VERIFY_NONE};
		const struct verify_kept *beyond = NULL;
		r = take_kept(v, &one, &beyond, err);
		if (beyond != NULL)
			tell_cut(v, beyond);
	}
	for (size_t i = 0; i < o->n_kept && r == 0; i++)
		r = take_kept(v, &o->kept[i], &most, err);
	if (r == 0 && most != NULL)
		tell_cut(v, most);
	return r;
}

int
verify_heads(struct verify *v, struct hw_err *err)
{
	int r;

	if ((r = read_epochs(v, err)) < 0 || v->epochs.n == 0)
		return r;
	if ((r = mark_epochs(v, err)) < 0 || (r = read_heads(v, err)) < 0)
		return r;
	check_statements(v);
	check_freshness(v);
	return take_all_kept(v, err);
}
