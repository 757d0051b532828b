#include "client/lookout.h"

#include <openssl/x509.h>

#include <sys/stat.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/home.h"
#include "proto/trust/cert.h"
#include "proto/wire/codec.h"

#define LAST_WAIT      (200 * USEC_PER_MSEC) /* when the command is over */
#define FINDING_WAIT   (2 * USEC_PER_SEC)    /* and there is a finding, or may be one */
#define WARY_WAIT      (10 * USEC_PER_SEC)
#define LOCK_AGAIN     (20 * USEC_PER_MSEC)
#define LOCK_WITHIN    (2 * USEC_PER_SEC)
#define REPLY_MAX      (256 * 1024)
#define UNANSWERED_MAX 3 /* looks in a row, before that is a finding */

struct lookout {
	struct lookout_config config;
	struct loop_timer timer;
	char name[80], lock_name[88], evidence_name[96];
	struct lookout_view view;
	int64_t looked;	 /* monotonic: when the last look began; 0: never */
	bool told_write; /* that nothing can be kept */

	/* A look, while one is under way. */
	bool idle; /* none is */
	int dir, lock;
	bool proves; /* has the new head proven, and keeps it */
	bool asked;  /* something of the relay */
	bool was_lasting;
	int64_t lock_until, recovered;
	X509 *ca;
	struct witness *witness;
	struct witness_ask ask;
};

static int64_t
now_mono(const struct lookout *l)
{
	return clock_mono(loop_clock(conn_loop(l->config.conn)));
}

static int64_t
now_wall(const struct lookout *l)
{
	return clock_wall(loop_clock(conn_loop(l->config.conn)));
}

/* --- what is said ----------------------------------------------------------------------------- */

static void say(const struct lookout *l, const char *fmt, ...) HW_PRINTF(2, 3);

static void
say(const struct lookout *l, const char *fmt, ...)
{
	char line[PATH_MAX + WITNESS_SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	l->config.say(l->config.arg, line);
}

static void
say_lasting(const struct lookout *l)
{
	const struct lookout_view *v = &l->view;
	char when[RFC3339_LEN + 1];

	if (v->state == WITNESS_STATE_DAMAGED) {
		say(l, "WARNING: %s (it lies in %s)", v->text, l->config.home->path);
		return;
	}
	say(l,
		"WARNING: this relay's record of what was done is not what it showed this client "
		"before");
	say(l, "%s", v->text);
	rfc3339_format(when, v->kept.time);
	if (v->evidence[0] != '\0')
		say(l, "seen last: %" PRIu64 " entries, signed %s; the evidence is in %s",
			v->kept.size, when, v->evidence);
	say(l,
		"see `hawser audit verify`, and tell the fleet's auditors and whoever runs the "
		"relay; one that was restored from a copy is put right by `hawser-relay recover`");
}

/* What goes with the next good head is told at the pace of looks; what stays, when it is new, too.
 */
static void
tell(const struct lookout *l)
{
	const struct lookout_view *v = &l->view;
	char when[RFC3339_LEN + 1];

	if (v->lasts && (l->proves || !l->was_lasting))
		say_lasting(l);
	else if (!v->lasts && v->state != WITNESS_STATE_AGREES && l->proves && !l->config.quiet)
		say(l, "warning: %s", v->text);
	if (v->recovered == l->recovered || v->recovered == 0)
		return;
	rfc3339_format(when, v->kept.time);
	say(l,
		"the relay's ledger was recovered by its recovery key: what it had recorded since "
		"the copy that it was restored from is lost (it has %" PRIu64
		" entries, signed %s)",
		v->kept.size, when);
}

/* --- keeping ---------------------------------------------------------------------------------- */

static void
tell_write(struct lookout *l, const struct hw_err *err)
{
	if (l->told_write || l->config.quiet)
		return;
	l->told_write = true;
	say(l,
		"what the relay's ledger is now cannot be kept in %s, so that a change of it would "
		"not be seen the next time: %s",
		l->config.home->path, hw_err_text(err));
}

/* Where a second look may write, the first has locked. Something that was found is written all the
 * same, and so is a recovery, which would be told by each command: another program's head can only
 * be as good. */
static void
keep(struct lookout *l, const struct witness_status *st)
{
	const char *file = l->evidence_name;
	struct hw_err err = HW_ERR_INIT;
	int r = 0;

	if (l->lock < 0 && !st->lasts && st->recovered == l->recovered)
		return;
	if (st->has_evidence)
		r = witness_save_evidence(l->witness, l->dir, file, &err);
	if (r == 0 && st->unsaved)
		r = witness_save(l->witness, l->dir, l->name, &err);
	if (r < 0)
		tell_write(l, &err);
	if (l->lock >= 0 && (ftruncate(l->lock, 0) < 0 || futimens(l->lock, NULL) < 0))
		(void)0; /* the next look comes sooner */
}

/* How often in a row the relay did not answer, and since when, is what the lock's file holds. */
static void
count_unanswered(struct lookout *l)
{
	int64_t since = now_wall(l), now = since;
	char text[64] = "";
	struct stat st;
	int times = 0;

	if (l->lock < 0 || fstat(l->lock, &st) < 0)
		return;
	if (pread(l->lock, text, sizeof(text) - 1, 0) > 0 &&
		sscanf(text, "%d %" SCNd64, &times, &since) != 2)
		times = 0;
	if (times <= 0 || since > now)
		times = 0, since = now;
	if (times < UNANSWERED_MAX || now - since < WITNESS_UNPROVEN_AFTER) {
		int n = snprintf(text, sizeof(text), "%d %" PRId64 "\n", times + 1, since);
		if (ftruncate(l->lock, 0) == 0)
			(void)!pwrite(l->lock, text, (size_t)n, 0);
		return;
	}
	if (l->config.quiet || now - st.st_mtim.tv_sec * USEC_PER_SEC < LOOKOUT_EVERY)
		return; /* it is looked with each command, and not told */
	(void)!futimens(l->lock, NULL);
	say(l,
		"warning: for %" PRId64
		" minutes the relay has not proven how its ledger came from what this client saw "
		"of it before (%s); see `hawser audit verify`",
		(now - since) / (60 * USEC_PER_SEC), l->view.why_not);
}

/* --- the end of a look ------------------------------------------------------------------------ */

static void
take_view(struct lookout *l, const struct witness_status *st)
{
	struct lookout_view *v = &l->view;
	struct stat there;

	v->state = st->state;
	v->lasts = st->lasts;
	snprintf(v->text, sizeof(v->text), "%s", st->text);
	snprintf(v->origin, sizeof(v->origin), "%s", st->origin);
	v->has_kept = st->kept != NULL;
	if (st->kept != NULL)
		v->kept = *st->kept;
	v->agreed = st->agreed;
	v->recovered = st->recovered;
	v->evidence[0] = '\0';
	if (st->lasts && fstatat(l->dir, l->evidence_name, &there, AT_SYMLINK_NOFOLLOW) == 0)
		home_file(v->evidence, l->config.home, l->evidence_name);
}

static void
end_look(struct lookout *l)
{
	witness_free(l->witness);
	X509_free(l->ca);
	fd_close(l->lock);
	fd_close(l->dir);
	l->witness = NULL;
	l->ca = NULL;
	l->lock = l->dir = -1;
	l->idle = true;
	conn_wake(l->config.conn);
}

static void
judged(struct lookout *l)
{
	struct witness_status st;

	l->view.checked = l->proves;
	l->view.why_not[0] = '\0';
	witness_status(l->witness, &st);
	if (st.good) { /* also when it is an older one than what is kept */
		witness_look(l->witness, now_wall(l), 0);
		witness_status(l->witness, &st);
	}
	keep(l, &st);
	witness_status(l->witness, &st);
	take_view(l, &st);
	tell(l);
	end_look(l);
}

/* The relay did not say what it was asked for; the witness was told. */
static void
gave_up(struct lookout *l, const char *why)
{
	struct witness_status st;

	snprintf(l->view.why_not, sizeof(l->view.why_not), "%s", why);
	witness_status(l->witness, &st);
	if (st.lasts)
		keep(l, &st);
	take_view(l, &st);
	if (st.lasts)
		tell(l);
	else
		count_unanswered(l);
	end_look(l);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void on_answer(void *arg, int code, const char *message, const void *body, size_t n);
static void on_fresh(void *arg, int code, const char *message, const void *body, size_t n);

static void
request(struct lookout *l, enum op_id op, const void *req, link_reply_fn *fn)
{
	struct link *link = conn_link(l->config.conn);
	struct hw_err err = HW_ERR_INIT;

	l->asked = true;
	if (link == NULL)
		gave_up(l, "the link was lost");
	else if (link_request(link, &op_rows[op], req, fn, l, &err) < 0)
		gave_up(l, hw_err_text(&err));
}

/* The head that is shown is larger than the kept one, as most are. */
static bool
grows(const struct lookout *l)
{
	struct witness_status st;

	witness_status(l->witness, &st);
	return st.kept != NULL && l->ask.old_size == (int64_t)st.kept->size;
}

static void
go_on(struct lookout *l)
{
	const struct msg_get_ledger_head_request epochs = {.since = l->ask.since};
	const struct msg_get_consistency_proof_request proof = {
		.old_size = l->ask.old_size, .size = l->ask.size};

	if (l->ask.what == WITNESS_NOTHING)
		judged(l);
	else if (l->ask.what == WITNESS_EPOCHS)
		request(l, OP_get_ledger_head, &epochs, on_answer);
	else if (l->proves || !grows(l))
		request(l, OP_get_consistency_proof, &proof, on_answer);
	else
		end_look(l); /* it may well have grown; the next look has it proven */
}

static void
feed(struct lookout *l, const void *reply)
{
	const struct msg_get_consistency_proof_reply *proof = reply;
	const struct msg_get_ledger_head_reply *head = reply;
	int64_t now = now_wall(l);

	if (l->ask.what == WITNESS_PROOF)
		witness_proof(l->witness, proof->hashes.p, proof->hashes.n, now, &l->ask);
	else
		witness_epochs(l->witness, head->epochs != NULL ? head->epochs : "",
			head->epochs != NULL ? strlen(head->epochs) : 0, head->last_epoch, now,
			&l->ask);
}

static void
on_answer(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct lookout *l = arg;
	bool epochs = l->ask.what == WITNESS_EPOCHS;
	const struct msg_row *row =
		epochs ? MSG_ROW(get_ledger_head_reply) : MSG_ROW(get_consistency_proof_reply);
	struct arena *a = arena_new(REPLY_MAX);
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	if (code == 0 && a == NULL)
		code = hw_err_set(&err, HW_ENOMEM, "out of memory");
	else if (code == 0)
		code = msg_decode(&reply, a, row, body, n, &err);
	else
		hw_err_set(&err, code, "%s", message != NULL ? message : hw_code_meaning(code));
	if (code == 0) {
		feed(l, reply);
		go_on(l);
	} else {
		witness_unanswered(l->witness, code, hw_err_text(&err), now_wall(l), &l->ask);
		/* That it has no such proof is an answer. */
		if (l->ask.what != WITNESS_NOTHING)
			go_on(l);
		else
			gave_up(l, hw_err_text(&err));
	}
	arena_free(a);
}

static void
show(struct lookout *l, const char *text)
{
	witness_head(l->witness, text, strlen(text), now_wall(l), &l->ask);
	go_on(l);
}

static void
on_fresh(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct lookout *l = arg;
	struct arena *a = arena_new(REPLY_MAX);
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	if (code != 0)
		gave_up(l, message != NULL ? message : hw_code_meaning(code));
	else if (a == NULL ||
		msg_decode(&reply, a, MSG_ROW(get_ledger_head_reply), body, n, &err) < 0)
		gave_up(l, hw_err_text(&err));
	else
		show(l, ((const struct msg_get_ledger_head_reply *)reply)->head);
	arena_free(a);
}

/* --- a look ----------------------------------------------------------------------------------- */

/* A file from tomorrow says nothing. */
static bool
is_due(const struct lookout *l)
{
	struct stat st;

	if (l->config.wary || fstatat(l->dir, l->lock_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	int64_t age = now_wall(l) - st.st_mtim.tv_sec * USEC_PER_SEC;
	return age < -USEC_PER_SEC || age >= LOOKOUT_EVERY || st.st_size > 0;
}

/* The newest is asked for once the lock is there: another program may keep a newer one than this
 * connection was shown. */
static void
begin_asking(struct lookout *l)
{
	static const struct msg_get_ledger_head_request fresh = {.since = UINT32_MAX};
	const char *head = conn_head(l->config.conn);
	struct hw_err err = HW_ERR_INIT;
	struct witness_status st;

	if (cert_load(&l->ca, l->dir, HOME_CA, &err) < 0 ||
		(l->witness = witness_new(l->ca)) == NULL) {
		snprintf(l->view.why_not, sizeof(l->view.why_not), "%s", hw_err_text(&err));
		end_look(l);
		return;
	}
	int r = witness_load(l->witness, l->dir, l->name, NULL);
	witness_status(l->witness, &st);
	l->was_lasting = st.lasts;
	l->recovered = st.recovered;
	if (l->config.wary || (l->proves && head[0] == '\0'))
		request(l, OP_get_ledger_head, &fresh, on_fresh);
	else if (head[0] == '\0' || (!l->proves && r == HW_ENOTFOUND))
		end_look(l);
	else
		show(l, head);
}

/* Another program that has the lock looks at this moment: it is waited for by who must know. */
static void
take_lock(struct lookout *l)
{
	struct hw_err err = HW_ERR_INIT;
	int r = file_lock(&l->lock, l->dir, l->lock_name, &err);

	if (r == HW_EEXISTS && l->config.wary && now_mono(l) < l->lock_until) {
		loop_timer_start(conn_loop(l->config.conn), &l->timer, LOCK_AGAIN);
		return;
	}
	if (r == HW_EEXISTS)
		l->proves = l->config.wary;
	else if (r < 0)
		tell_write(l, &err);
	begin_asking(l);
}

static void
begin(struct lookout *l)
{
	struct hw_err err = HW_ERR_INIT;

	l->idle = false;
	l->asked = false;
	l->ask = (struct witness_ask){.what = WITNESS_NOTHING};
	l->looked = now_mono(l);
	l->lock_until = l->looked + LOCK_WITHIN;
	if (home_open(&l->dir, l->config.home, false, &err) < 0) {
		snprintf(l->view.why_not, sizeof(l->view.why_not), "%s", hw_err_text(&err));
		end_look(l);
		return;
	}
	l->proves = is_due(l);
	if (l->proves)
		take_lock(l);
	else
		begin_asking(l);
}

static void
on_timer(void *arg)
{
	struct lookout *l = arg;

	if (l->idle)
		begin(l);
	else
		take_lock(l);
}

/* A connection that stays is shown new heads with the relay's pings. */
static void
on_head(void *arg)
{
	struct lookout *l = arg;

	if (l->idle && l->looked != 0 && now_mono(l) - l->looked >= LOOKOUT_EVERY)
		loop_timer_start(conn_loop(l->config.conn), &l->timer, 0);
}

/* --- life ------------------------------------------------------------------------------------- */

/* It becomes a part of names of files. */
static bool
is_fleet(const char *fleet)
{
	size_t n = strlen(fleet);

	return n > 0 && n == strspn(fleet, "0123456789abcdefghijklmnopqrstuvwxyz") && n <= 64;
}

struct lookout *
lookout_new(const struct lookout_config *config)
{
	const char *fleet = config->home->fleet;
	struct lookout *l = is_fleet(fleet) ? calloc(1, sizeof(*l)) : NULL;

	if (l == NULL)
		return NULL;
	l->config = *config;
	l->idle = true;
	l->dir = l->lock = -1;
	l->view.state = WITNESS_STATE_AGREES;
	snprintf(l->name, sizeof(l->name), HOME_WITNESS "%s", fleet);
	snprintf(l->lock_name, sizeof(l->lock_name), "%s.lock", l->name);
	snprintf(l->evidence_name, sizeof(l->evidence_name), "%s.evidence", l->name);
	l->timer = (struct loop_timer){.fn = on_timer, .arg = l};
	conn_watch_head(config->conn, on_head, l);
	loop_timer_start(conn_loop(config->conn), &l->timer, 0);
	return l;
}

/* A relay that never answers is not to be forgotten with the command. */
static void
stop_waiting(struct lookout *l)
{
	if (conn_link(l->config.conn) != NULL)
		link_forget(conn_link(l->config.conn), l);
	loop_timer_stop(conn_loop(l->config.conn), &l->timer);
	if (l->witness != NULL && l->asked) {
		witness_unanswered(l->witness, HW_EUNAVAILABLE, "it did not answer", now_wall(l),
			&l->ask);
		gave_up(l, "it did not answer");
	} else {
		end_look(l);
	}
}

static void
wait_for(struct lookout *l, int64_t usec)
{
	if (l->looked == 0) {
		loop_timer_stop(conn_loop(l->config.conn), &l->timer);
		begin(l);
	}
	bool over = conn_wait(l->config.conn, &l->idle, usec);

	/* A relay that was recovered says so in that answer, also over a slow line. */
	bool matters = l->was_lasting || l->ask.what == WITNESS_EPOCHS;
	if (!over && matters && conn_link(l->config.conn) != NULL)
		over = conn_wait(l->config.conn, &l->idle, FINDING_WAIT);
	if (!over)
		stop_waiting(l);
}

const struct lookout_view *
lookout_wait(struct lookout *l)
{
	wait_for(l, WARY_WAIT);
	return &l->view;
}

void
lookout_finish(struct lookout *l)
{
	if (l == NULL)
		return;
	if (conn_link(l->config.conn) != NULL)
		wait_for(l, l->config.wary ? WARY_WAIT : LAST_WAIT);
	else if (!l->idle)
		stop_waiting(l);
	conn_watch_head(l->config.conn, NULL, NULL);
	loop_timer_stop(conn_loop(l->config.conn), &l->timer);
	free(l);
}

void
lookout_describe(struct msg_ledger_view *ret, const struct lookout *l)
{
	const struct lookout_view *v = l != NULL ? &l->view : NULL;

	*ret = (struct msg_ledger_view){.state = 0};
	if (v == NULL || (!v->has_kept && v->state == WITNESS_STATE_AGREES))
		return;
	ret->state = v->state;
	ret->agreed = v->agreed;
	if (v->has_kept) {
		ret->entries = (int64_t)v->kept.size;
		ret->signed_at = v->kept.time;
	}
	if (v->text[0] != '\0')
		ret->message = v->text;
	else if (!v->checked && v->why_not[0] != '\0')
		ret->message = v->why_not;
	if (v->evidence[0] != '\0')
		ret->evidence = v->evidence;
}
