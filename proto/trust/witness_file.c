/*
 * What a witness keeps, as text, in one spelling:
 *
 *   hawser witness v1
 *   agreed 1764000000000000
 *   recovered 0
 *   state Fork 1764000000000000 1     what was found for good, when, whether the heads prove it
 *   said the ledger forked: ...       or -
 *   kept 412                          bytes that follow
 *   <head>
 *   shown 412                         0: none
 *   <head>
 *   epochs 700
 *   <statements>
 *   sum <SHA-256 of all above, hex>
 *
 * The sum finds what a disk did; that it is this ledger's follows from the signatures. Evidence is
 * the same without the sum, with the statements that were kept and those that were shown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "proto/trust/witness_private.h"

#define TITLE	       "hawser witness v1\n"
#define EVIDENCE_TITLE "hawser witness evidence v1\n"

/* --- writing ---------------------------------------------------------------------------------- */

int
witness_put_epochs(struct buf *out, const struct log_epochs *e)
{
	int r = 0;

	for (size_t i = 0; i < e->n && r == 0; i++)
		r = log_epoch_format(out, &e->all[i], e->origin);
	return r;
}

static void
put_head(struct buf *out, const char *name, const struct log_head *h, const char *origin)
{
	char text[LOG_HEAD_MAX];
	size_t n = h != NULL ? log_head_format(text, h, origin) : 0;

	buf_printf(out, "%s %zu\n", name, n);
	buf_append(out, text, n);
}

static void
put_epochs(struct buf *out, const char *name, const struct log_epochs *e)
{
	struct buf text;

	buf_init(&text, LOG_EPOCHS_MAX * LOG_EPOCH_MAX);
	if (witness_put_epochs(&text, e) < 0)
		out->failed = true;
	buf_printf(out, "%s %zu\n", name, text.len);
	buf_append(out, buf_data(&text), text.len);
	buf_fini(&text);
}

static void
put_sum(struct buf *out)
{
	char hex[2 * SHA256_LEN + 1];
	uint8_t sum[SHA256_LEN];

	sha256(sum, buf_data(out), out->len);
	hex_encode(hex, sum, sizeof(sum));
	buf_printf(out, "sum %s\n", hex);
}

static const char *
state_name(const struct finding *f)
{
	return enum_text(&enum_WITNESS_STATE, f->state != 0 ? f->state : WITNESS_STATE_AGREES);
}

static void
put_finding(struct buf *out, const struct finding *f)
{
	buf_printf(out, "state %s %" PRId64 " %d\nsaid %s\n", state_name(f), f->since, f->proven,
		f->state != 0 ? f->text : "-");
}

static int
write_file(struct buf *out, const struct witness *w)
{
	const struct finding *f = &w->lasting;

	buf_append_str(out, TITLE);
	buf_printf(out, "agreed %" PRId64 "\nrecovered %" PRId64 "\n", w->agreed, w->recovered);
	put_finding(out, f);
	put_head(out, "kept", &w->kept, w->epochs.origin);
	put_head(out, "shown", f->state != 0 && f->has_shown ? &f->shown : NULL, w->epochs.origin);
	put_epochs(out, "epochs", &w->epochs);
	put_sum(out);
	return out->failed ? HW_ENOMEM : 0;
}

void
witness_note_evidence(struct witness *w)
{
	const struct log_epochs *shown = w->fresh.n > 0 ? &w->fresh : &w->epochs;
	struct buf *out = &w->evidence;

	buf_fini(out);
	buf_init(out, WITNESS_EVIDENCE_MAX);
	buf_append_str(out, EVIDENCE_TITLE);
	put_finding(out, &w->lasting);
	put_head(out, "kept", &w->kept, w->epochs.origin);
	put_epochs(out, "epochs", &w->epochs);
	put_head(out, "shown", &w->next, w->origin);
	put_epochs(out, "epochs", shown);
	if (out->failed)
		buf_fini(out);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct cursor {
	const char *at;
	size_t left;
};

/* The rest of the next line, which begins with the word and a blank, without its end. */
static bool
take_line(char *out, size_t room, struct cursor *c, const char *word)
{
	size_t n = strlen(word);
	const char *end = c->left > 0 ? memchr(c->at, '\n', c->left) : NULL;

	if (end == NULL || (size_t)(end - c->at) <= n || memcmp(c->at, word, n) != 0 ||
		c->at[n] != ' ' || (size_t)(end - c->at) - n > room)
		return false;
	size_t len = (size_t)(end - c->at) - n - 1;
	memcpy(out, c->at + n + 1, len);
	out[len] = '\0';
	c->left -= (size_t)(end - c->at) + 1;
	c->at = end + 1;
	return memchr(out, '\0', len) == NULL;
}

static bool
take_title(struct cursor *c, const char *title)
{
	size_t n = strlen(title);

	if (c->left < n || memcmp(c->at, title, n) != 0)
		return false;
	c->at += n;
	c->left -= n;
	return true;
}

/* Numbers are read loosely: the text is written anew and compared. */
static bool
take_number(int64_t *ret, struct cursor *c, const char *word)
{
	char line[32];

	if (!take_line(line, sizeof(line), c, word))
		return false;
	*ret = strtoll(line, NULL, 10);
	return true;
}

static bool
take_bytes(const char **text, size_t *n, struct cursor *c, const char *word)
{
	int64_t len;

	if (!take_number(&len, c, word) || len < 0 || (uint64_t)len > c->left)
		return false;
	*text = c->at;
	*n = (size_t)len;
	c->at += len;
	c->left -= (size_t)len;
	return true;
}

/* Sentences go to terminals. */
static bool
is_plain(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			return false;
	return true;
}

static bool
take_finding(struct finding *f, struct cursor *c)
{
	long long since;
	char line[96], name[24];
	int proven;

	*f = (struct finding){.state = 0};
	if (!take_line(line, sizeof(line), c, "state") ||
		sscanf(line, "%23s %lld %d", name, &since, &proven) != 3 ||
		!take_line(f->text, sizeof(f->text), c, "said") || !is_plain(f->text))
		return false;
	f->state = enum_value(&enum_WITNESS_STATE, name);
	f->since = since;
	f->proven = proven == 1;
	if (f->state == WITNESS_STATE_AGREES)
		f->state = 0;
	return f->state == 0 || (witness_lasts(f->state) && f->state != WITNESS_STATE_DAMAGED);
}

/* false: it is none; *has: there is one. */
static bool
take_head(bool *has, struct log_head *h, char origin[LOG_ORIGIN_MAX], struct cursor *c,
	const char *word)
{
	const char *text;
	size_t n;

	if (!take_bytes(&text, &n, c, word))
		return false;
	*has = n > 0;
	return n == 0 || log_head_parse(h, origin, text, n, NULL) == 0;
}

static bool
take_epochs(struct log_epochs *e, struct cursor *c, X509 *ca)
{
	const char *text;
	size_t n;

	return take_bytes(&text, &n, c, "epochs") && log_epochs_read(e, text, n, ca, NULL) == 0;
}

static bool
take_file(struct witness *w, const struct buf *text)
{
	struct cursor c = {(const char *)buf_data(text), text->len};
	char origin[LOG_ORIGIN_MAX];
	bool has;

	return take_title(&c, TITLE) && take_number(&w->agreed, &c, "agreed") &&
		take_number(&w->recovered, &c, "recovered") && take_finding(&w->lasting, &c) &&
		take_head(&has, &w->kept, w->origin, &c, "kept") && has &&
		take_head(&w->lasting.has_shown, &w->lasting.shown, origin, &c, "shown") &&
		take_epochs(&w->epochs, &c, w->ca) && strcmp(w->origin, w->epochs.origin) == 0 &&
		log_epochs_allow(&w->epochs, &w->kept, NULL) == 0;
}

/* What was read is written anew and compared, the sum with it. */
static bool
is_whole(const struct witness *w, const struct buf *text)
{
	struct buf again;

	buf_init(&again, WITNESS_FILE_MAX);
	bool same = write_file(&again, w) == 0 && again.len == text->len &&
		memcmp(buf_data(&again), buf_data(text), text->len) == 0;
	buf_fini(&again);
	return same;
}

bool
witness_take_text(struct witness *w, const struct buf *text)
{
	if (!take_file(w, text) || !is_whole(w, text)) {
		log_epochs_fini(&w->epochs);
		return false;
	}
	w->has = w->has_saved = true;
	w->saved = w->kept;
	return true;
}

static int
damaged(struct witness *w, const char *name, const char *what, struct hw_err *err)
{
	w->agreed = w->recovered = 0;
	w->damaged = true;
	witness_find(&w->lasting, WITNESS_STATE_DAMAGED, 0,
		"the file %.64s, which says what the ledger was, %s: nobody can say whether the "
		"relay has rewritten it since. Find out what happened to the file, then remove it",
		name, what);
	return hw_err_set(err, HW_ECORRUPT, "%s", w->lasting.text);
}

int
witness_load(struct witness *w, int dir, const char *name, struct hw_err *err)
{
	struct hw_err why = HW_ERR_INIT;
	struct buf text;

	buf_init(&text, WITNESS_FILE_MAX);
	int r = file_read(&text, dir, name, &why);
	if (r == HW_ENOTFOUND)
		hw_err_set(err, r, "%s", hw_err_text(&why));
	else if (r < 0)
		r = damaged(w, name, "cannot be read", err);
	else if (!witness_take_text(w, &text))
		r = damaged(w, name, "is damaged, or not of this fleet", err);
	buf_fini(&text);
	return r;
}

int
witness_save(struct witness *w, int dir, const char *name, struct hw_err *err)
{
	struct buf text;

	if (w->damaged)
		return hw_err_set(err, HW_ECORRUPT, "%s", w->lasting.text);
	if (!w->has)
		return 0;
	buf_init(&text, WITNESS_FILE_MAX);
	int r = write_file(&text, w);
	if (r < 0)
		hw_err_set(err, r, "no memory for the head of the ledger");
	else
		r = file_write(dir, name, buf_data(&text), text.len, 0600, err);
	buf_fini(&text);
	if (r < 0)
		return r;
	w->saved = w->kept;
	w->has_saved = true;
	w->unsaved = false;
	return 0;
}

/* --- evidence --------------------------------------------------------------------------------- */

int
witness_save_evidence(struct witness *w, int dir, const char *name, struct hw_err *err)
{
	if (w->evidence.len == 0)
		return 0;
	int r = file_write(dir, name, buf_data(&w->evidence), w->evidence.len, 0600, err);
	if (r == 0)
		buf_fini(&w->evidence);
	return r;
}

struct evidence {
	struct finding finding;
	struct log_head kept, shown;
	char kept_origin[LOG_ORIGIN_MAX], shown_origin[LOG_ORIGIN_MAX];
	struct log_epochs known, given; /* with the kept one, and with the other */
};

static bool
take_evidence(struct evidence *e, struct cursor *c, X509 *ca)
{
	bool has;

	return take_title(c, EVIDENCE_TITLE) && take_finding(&e->finding, c) &&
		take_head(&has, &e->kept, e->kept_origin, c, "kept") && has &&
		take_epochs(&e->known, c, ca) &&
		take_head(&has, &e->shown, e->shown_origin, c, "shown") && has &&
		take_epochs(&e->given, c, ca) && c->left == 0 &&
		strcmp(e->kept_origin, e->known.origin) == 0 &&
		strcmp(e->shown_origin, e->given.origin) == 0 &&
		log_epochs_allow(&e->known, &e->kept, NULL) == 0 &&
		log_epochs_allow(&e->given, &e->shown, NULL) == 0;
}

static int
say(char said[WITNESS_SENTENCE_MAX], int proven, const char *text)
{
	snprintf(said, WITNESS_SENTENCE_MAX, "%s", text);
	return proven;
}

/* Two lists of which neither goes on from the other are signed by keys that sign but one. */
static int
judge_evidence(char said[WITNESS_SENTENCE_MAX], const struct evidence *e)
{
	const struct log_head *a = &e->kept, *b = &e->shown;
	const struct log_epoch *one, *other;

	if (strcmp(e->kept_origin, e->shown_origin) != 0)
		return say(said, 0, "the two heads are of two ledgers of this fleet");
	bool onward = log_epochs_follow(&e->known, &e->given, &one);
	bool back = log_epochs_follow(&e->given, &e->known, &other);
	if (!onward && !back)
		return say(said, 1, "two lists of epochs are signed for one ledger");
	if ((onward && one != NULL) || (!onward && other != NULL))
		return say(said, 0,
			"a recovery lies between the two heads: compare each with the files");
	if (a->size == b->size && memcmp(a->root, b->root, MERKLE_LEN) != 0)
		return say(said, 1, "two roots are signed for one size: the ledger was forked");
	if ((a->size < b->size && a->time > b->time) || (a->size > b->size && a->time < b->time))
		return say(said, 1,
			"the head that was signed later has fewer entries: the ledger was cut");
	return say(said, 0,
		"the two heads alone do not contradict each other: compare each with the files");
}

int
witness_check_evidence(char said[WITNESS_SENTENCE_MAX], const void *text, size_t n, X509 *ca,
	struct hw_err *err)
{
	struct evidence e = {.known = {.n = 0}, .given = {.n = 0}};
	struct cursor c = {text, n};
	int r;

	if (take_evidence(&e, &c, ca))
		r = judge_evidence(said, &e);
	else
		r = hw_err_set(err, HW_ECORRUPT,
			"that is no evidence of a witness, or it is not signed for this fleet");
	log_epochs_fini(&e.known);
	log_epochs_fini(&e.given);
	return r;
}
