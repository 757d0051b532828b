/* Epochs and heads: who signed the ledger, and what. */
#include <inttypes.h>
#include <string.h>

#include "audit/bytes.h"
#include "audit/crc32c.h"
#include "audit/verify_private.h"

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
	r = log_epochs_read(&v->epochs, buf_data(&text), text.len, v->options->ca, &why);
	if (r == HW_ECORRUPT)
		locate_statement(v, (const char *)buf_data(&text), text.len, hw_err_text(&why));
	buf_fini(&text);
	return r == HW_ECORRUPT || r == 0 ? 0 : r;
}

static int
mark_epochs(struct verify *v, struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < v->epochs.n && r == 0; i++) {
		struct verify_mark m = {.size = v->epochs.all[i].size,
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
	return NULL;
}

/* A relay that runs may be writing it. */
static void
doubt_last(struct verify *v, struct verify_finding where, const char *what)
{
	if (!v->options->is_running)
		verify_doubt(v, where, HEADS, "%s", what);
}

static bool
check_head(struct verify *v, struct log_head *h, const uint8_t *p, uint64_t at, bool last)
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
	if (log_epochs_allow(&v->epochs, h, &why) < 0) {
		verify_find(v, where, HEADS, "%s", hw_err_text(&why));
		return false;
	}
	const char *not_after = why_not_after(&v->result->head, h);
	if (not_after != NULL)
		verify_find(v, where, HEADS, "the head %s", not_after);
	return not_after == NULL;
}

static int
take_head(struct verify *v, const uint8_t *p, uint64_t at, bool last, struct hw_err *err)
{
	struct log_head h;
	int r;

	if (!check_head(v, &h, p, at, last))
		return 0;
	struct verify_mark m = {.size = h.size, .file = HEADS, .from = at, .to = at + RECORD};
	memcpy(m.root, h.root, MERKLE_LEN);
	if ((r = add_mark(v, m, err)) < 0 || (r = add_link(v, &h, err)) < 0)
		return r;
	v->result->head = h;
	v->result->heads++;
	return 0;
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
	size_t at = MAGIC_LEN;
	if (all.len < MAGIC_LEN || memcmp(p, "hwheads1", MAGIC_LEN) != 0)
		verify_find(v, verify_at(0, MAGIC_LEN, VERIFY_NONE, VERIFY_NONE), HEADS,
			"does not begin as a file of heads");
	for (; r == 0 && at + RECORD <= all.len; at += RECORD)
		r = take_head(v, p + at, at, all.len - at < 2 * RECORD, err);
	if (r == 0 && at < all.len)
		doubt_last(v, verify_at(at, all.len, VERIFY_NONE, VERIFY_NONE),
			"the last head was not wholly written");
	buf_fini(&all);
	return r;
}

/* A head that somebody kept elsewhere: this is what shows that all of the directory is an older
 * copy. */
static int
take_known(struct verify *v, struct hw_err *err)
{
	const struct log_head *h = v->options->known;
	struct hw_err why = HW_ERR_INIT;

	if (h == NULL)
		return 0;
	if (strcmp(v->options->known_origin, v->epochs.origin) != 0) {
		verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE),
			"ledger", "is that of %s, and the kept head is of %s", v->epochs.origin,
			v->options->known_origin);
		return 0;
	}
	if (log_epochs_allow(&v->epochs, h, &why) < 0) {
		verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, VERIFY_NONE, VERIFY_NONE),
			EPOCHS, "the head that was kept: %s", hw_err_text(&why));
		return 0;
	}
	struct verify_mark m = {.size = h->size,
		.file = "the head that was kept",
		.from = VERIFY_NONE,
		.to = VERIFY_NONE};
	memcpy(m.root, h->root, MERKLE_LEN);
	if (h->size <= v->result->head.size)
		return add_mark(v, m, err);
	verify_find(v, verify_at(VERIFY_NONE, VERIFY_NONE, v->result->head.size, h->size), HEADS,
		"the ledger was cut, or all of it replaced by an older copy: %" PRIu64
		" entries were signed",
		h->size);
	return 0;
}

int
verify_heads(struct verify *v, struct hw_err *err)
{
	int r;

	if ((r = read_epochs(v, err)) < 0 || v->epochs.n == 0)
		return r;
	if ((r = mark_epochs(v, err)) < 0 || (r = read_heads(v, err)) < 0)
		return r;
	return take_known(v, err);
}
