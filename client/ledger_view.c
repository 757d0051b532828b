#include "client/ledger_view.h"

#include <openssl/x509.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "client/client.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"
#include "proto/wire/codec.h"

#define PROOF_REPLY_MAX 8192
#define PROVEN_MAX	65536
#define NONE		SIZE_MAX

/* --- what was proven -------------------------------------------------------------------------- */

/* Ten thousand nodes hold a few heads: most of them the newest but one. */
struct proven_root {
	struct root_key {
		uint64_t size;
		uint8_t root[MERKLE_LEN];
	} key;
	UT_hash_handle hh;
};

static void
forget_proven(struct ledger_view *v)
{
	struct proven_root *p, *next;

	HASH_ITER(hh, v->proven, p, next) {
		HASH_DEL(v->proven, p);
		free(p);
	}
}

static struct root_key
key_of(const struct log_head *h)
{
	struct root_key key;

	memset(&key, 0, sizeof(key));
	key.size = h->size;
	memcpy(key.root, h->root, MERKLE_LEN);
	return key;
}

static bool
is_proven(const struct ledger_view *v, const struct log_head *h)
{
	const struct root_key key = key_of(h);
	const struct proven_root *p;

	HASH_FIND(hh, v->proven, &key, sizeof(key), p);
	return p != NULL;
}

/* What does not fit into memory is asked again. */
static void
note_proven(struct ledger_view *v, const struct log_head *h)
{
	struct proven_root *p = is_proven(v, h) || HASH_COUNT(v->proven) >= PROVEN_MAX
		? NULL
		: calloc(1, sizeof(*p));

	if (p == NULL)
		return;
	p->key = key_of(h);
	HASH_ADD(hh, v->proven, key, sizeof(p->key), p);
}

/* --- the view --------------------------------------------------------------------------------- */

static int64_t
count_statements(const char *text)
{
	int64_t n = 0;

	while ((text = strstr(text, "\n\n")) != NULL) {
		n++;
		text += 2;
	}
	return n;
}

/* As many pages as there are: each gives at least one statement more, or it is the last. */
static int
fetch_statements(struct buf *all, char head[LOG_HEAD_MAX], struct client *c, struct hw_err *err)
{
	struct msg_get_ledger_head_request req = {.since = 0};
	const struct msg_get_ledger_head_reply *rep;
	int64_t got;
	int r;

	do {
		if ((r = client_call(&rep, c, OP_get_ledger_head, &req, err)) < 0)
			return r;
		const char *epochs = rep->epochs != NULL ? rep->epochs : "";
		got = count_statements(epochs);
		snprintf(head, LOG_HEAD_MAX, "%s", rep->head);
		if (buf_append_str(all, epochs) < 0 || got == 0)
			return hw_err_set(err, HW_ECORRUPT,
				"the relay does not give the statements of its ledger's epochs");
		req.since += got;
	} while (req.since < rep->last_epoch && req.since < LOG_EPOCHS_MAX);
	return 0;
}

static int
load_authority(X509 **ca, struct client *c, struct hw_err *err)
{
	int dir = -1, r = home_open(&dir, &c->home, false, err);

	if (r == 0)
		r = cert_load(ca, dir, HOME_CA, err);
	fd_close(dir);
	return r;
}

static int
check_head(struct ledger_view *v, const char *text, struct hw_err *err)
{
	char origin[LOG_ORIGIN_MAX];

	if (log_head_parse(&v->head, origin, text, strlen(text), err) < 0 ||
		log_epochs_allow(&v->epochs, &v->head, err) < 0)
		return hw_err_set(err, HW_ECORRUPT,
			"the head that the relay shows is not signed as its epochs say");
	if (strcmp(origin, v->epochs.origin) != 0)
		return hw_err_set(err, HW_ECORRUPT,
			"the relay shows a head of %s with the epochs of %s", origin,
			v->epochs.origin);
	return 0;
}

int
ledger_view_open(struct ledger_view *v, struct client *c, struct hw_err *err)
{
	char head[LOG_HEAD_MAX];
	X509 *ca = NULL;
	struct buf all;
	int r;

	*v = (struct ledger_view){.client = c};
	buf_init(&all, LOG_EPOCHS_MAX * LOG_EPOCH_MAX);
	if ((r = client_connect(c, err)) == 0 && (r = load_authority(&ca, c, err)) == 0 &&
		(r = fetch_statements(&all, head, c, err)) == 0 &&
		(r = log_epochs_read(&v->epochs, buf_data(&all), all.len, ca, err)) == 0 &&
		(r = check_head(v, head, err)) < 0)
		ledger_view_close(v);
	X509_free(ca);
	buf_fini(&all);
	return r;
}

void
ledger_view_close(struct ledger_view *v)
{
	forget_proven(v);
	log_epochs_fini(&v->epochs);
}

/* --- what needs no asking --------------------------------------------------------------------- */

static void answer(struct ledger_question *q, enum ledger_fits fits, const char *fmt, ...)
	HW_PRINTF(3, 4);

static void
answer(struct ledger_question *q, enum ledger_fits fits, const char *fmt, ...)
{
	va_list ap;

	q->fits = fits;
	va_start(ap, fmt);
	verify_sentence(q->what, sizeof(q->what), fmt, ap);
	va_end(ap);
}

/* False: it takes a proof. */
static bool
answer_alone(const struct ledger_view *v, struct ledger_question *q)
{
	const struct log_head *h = q->head;
	struct hw_err why = HW_ERR_INIT;

	q->what[0] = '\0';
	if (strcmp(q->origin, v->epochs.origin) != 0)
		answer(q, LEDGER_BROKEN, "the head is of %s, and the relay's ledger is %s",
			q->origin, v->epochs.origin);
	else if (log_epochs_gave_up(&v->epochs, h))
		q->fits = LEDGER_GIVEN_UP;
	else if (log_epochs_allow(&v->epochs, h, &why) < 0)
		answer(q, LEDGER_BROKEN, "%s", hw_err_text(&why));
	else if (h->size > v->head.size && v->not_newer[0] != '\0')
		answer(q, LEDGER_UNCHECKED, "the relay does not show what it has by now: %s",
			v->not_newer);
	else if (h->size > v->head.size)
		answer(q, LEDGER_BROKEN,
			"%" PRIu64 " entries were signed, and the relay has %" PRIu64
			": the ledger was cut, or replaced by an older copy",
			h->size, v->head.size);
	else if (h->size == v->head.size && memcmp(h->root, v->head.root, MERKLE_LEN) != 0)
		answer(q, LEDGER_BROKEN, "the relay has signed two roots for %" PRIu64 " entries",
			h->size);
	else if (h->size == v->head.size || h->size == 0 || is_proven(v, h))
		q->fits = LEDGER_FITS;
	else
		return false;
	return true;
}

/* --- proofs ----------------------------------------------------------------------------------- */

struct round {
	struct ledger_view *view;
	size_t waiting;
	bool done;
};

struct asking {
	struct round *round;
	struct ledger_question *q;
};

static void
judge(const struct ledger_view *v, struct ledger_question *q, const struct msg_bin *proof)
{
	if (proof->n % MERKLE_LEN == 0 &&
		merkle_extends(q->head->size, q->head->root, v->head.size, v->head.root, proof->p,
			proof->n / MERKLE_LEN))
		q->fits = LEDGER_FITS;
	else
		answer(q, LEDGER_BROKEN,
			"the relay cannot prove that its ledger began with these %" PRIu64
			" entries: it was rewritten",
			q->head->size);
}

/* That there are not so many entries is an answer. */
static void
take_reply(const struct ledger_view *v, struct ledger_question *q, int code, const char *message,
	const void *body, size_t n)
{
	struct arena *a = arena_new(PROOF_REPLY_MAX);
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	if (code == HW_EVALIDATION)
		answer(q, LEDGER_BROKEN, "the relay says that it cannot prove it: %s",
			message != NULL ? message : "");
	else if (code != 0)
		answer(q, LEDGER_UNCHECKED, "the relay did not prove it: %s",
			message != NULL ? message : hw_code_meaning(code));
	else if (a == NULL ||
		msg_decode(&reply, a, MSG_ROW(get_consistency_proof_reply), body, n, &err) < 0)
		answer(q, LEDGER_UNCHECKED, "the relay did not prove it: %s", hw_err_text(&err));
	else
		judge(v, q, &((const struct msg_get_consistency_proof_reply *)reply)->hashes);
	arena_free(a);
}

static void
on_proof(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct asking *a = arg;
	struct round *round = a->round;

	take_reply(round->view, a->q, code, message, body, n);
	if (--round->waiting > 0)
		return;
	round->done = true;
	conn_wake(round->view->client->conn);
}

static bool
send_question(struct asking *a, struct link *link)
{
	const struct msg_get_consistency_proof_request req = {
		.old_size = (int64_t)a->q->head->size, .size = (int64_t)a->round->view->head.size};
	struct hw_err err = HW_ERR_INIT;

	answer(a->q, LEDGER_UNCHECKED, "the relay did not prove it in time");
	if (link != NULL &&
		link_request(link, &op_rows[OP_get_consistency_proof], &req, on_proof, a, &err) ==
			0)
		return true;
	answer(a->q, LEDGER_UNCHECKED, "%s",
		link == NULL ? "the link was lost" : hw_err_text(&err));
	return false;
}

/* A newer view takes this one's place. What was answered with this one stays true only if the new
 * one grew out of it. */
static void
refresh(struct ledger_view *v)
{
	struct ledger_view next, old = *v;
	struct hw_err err = HW_ERR_INIT;

	int r = ledger_view_open(&next, v->client, &err);
	if (r < 0) {
		snprintf(v->not_newer, sizeof(v->not_newer), "%s", hw_err_text(&err));
		if (r == HW_ECORRUPT) {
			v->turned = LEDGER_BROKEN;
			snprintf(v->turned_what, sizeof(v->turned_what), "%s", v->not_newer);
		}
		return;
	}
	struct ledger_question q = {.head = &old.head, .origin = old.epochs.origin};
	old.proven = NULL;
	forget_proven(v); /* that was of the old one */
	*v = next;
	v->refreshing = true; /* once: a ledger that is shorter now is not waited for */
	ledger_view_ask(v, &q, 1);
	v->refreshing = false;
	v->turned = old.turned > q.fits ? old.turned : q.fits;
	snprintf(v->turned_what, sizeof(v->turned_what), "%s",
		old.turned > q.fits ? old.turned_what : q.what);
	log_epochs_fini(&old.epochs);
}

static bool
is_newer(const struct ledger_view *v, const struct ledger_question *q, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (q[i].head->size > v->head.size)
			return true;
	return false;
}

/* Which question before this one asks for the same, and was sent. */
static size_t
asked_before(const struct ledger_question *q, size_t i, const bool *asks)
{
	for (size_t k = 0; k < i; k++)
		if (asks[k] && q[k].head->size == q[i].head->size &&
			memcmp(q[k].head->root, q[i].head->root, MERKLE_LEN) == 0)
			return k;
	return NONE;
}

static void
settle(struct ledger_view *v, struct ledger_question *q, size_t i, size_t same, bool was_asked)
{
	if (same != NONE) {
		q[i].fits = q[same].fits;
		memcpy(q[i].what, q[same].what, sizeof(q[i].what));
	} else if (was_asked && q[i].fits == LEDGER_FITS) {
		note_proven(v, q[i].head);
	}
}

void
ledger_view_ask(struct ledger_view *v, struct ledger_question *q, size_t n)
{
	struct asking all[LEDGER_QUESTIONS_MAX];
	bool asks[LEDGER_QUESTIONS_MAX] = {false};
	size_t same[LEDGER_QUESTIONS_MAX];
	struct round round = {.view = v};

	hw_assert(n <= LEDGER_QUESTIONS_MAX);
	if (!v->refreshing && v->not_newer[0] == '\0' && is_newer(v, q, n))
		refresh(v); /* if one then still is, that is the answer; the connection may be
			       another */
	struct conn *conn = v->client->conn;
	struct link *link = conn != NULL ? conn_link(conn) : NULL;
	for (size_t i = 0; i < n; i++) {
		all[i] = (struct asking){&round, &q[i]};
		same[i] = NONE;
		if (answer_alone(v, &q[i]) || (same[i] = asked_before(q, i, asks)) != NONE)
			continue;
		asks[i] = send_question(&all[i], link);
		round.waiting += asks[i];
	}
	if (round.waiting > 0 && !conn_wait(conn, &round.done, conn_timeout(conn)) &&
		conn_link(conn) != NULL)
		for (size_t i = 0; i < n; i++)
			link_forget(conn_link(conn), &all[i]);
	for (size_t i = 0; i < n; i++)
		settle(v, q, i, same[i], asks[i]);
}
