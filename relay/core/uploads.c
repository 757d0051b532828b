#include "relay/core/uploads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/schema/schema.h"
#include "audit/ledger.h"
#include "proto/trust/secret.h"
#include "relay/core/config.h"
#include "relay/core/fit.h"
#include "relay/core/upload.h"
#include "relay/core/upload_recording.h"
#include "relay/objects/s3.h"
#include "relay/store/recording_uploads.h"
#include "relay/store/store.h"
#include "relay/store/uploads.h"

#define SENDERS	   4
#define LOOK	   (5 * USEC_PER_SEC) /* without being told */
#define FIRST	   USEC_PER_SEC	      /* until the second attempt; then twice that, and so on */
#define LAST	   (900 * USEC_PER_SEC)
#define PAUSE_MAX  (60 * USEC_PER_SEC)	 /* while the storage is in trouble */
#define ALARM_AT   (60 * USEC_PER_SEC)	 /* that no recording was taken, and some were tried */
#define FRESH	   1024			 /* recordings that are not in the store yet */
#define SCAN_EVERY (3600 * USEC_PER_SEC) /* for those that nobody told of */

/* One thread, with a connection of its own. */
struct sender {
	struct uploads *of;
	struct s3 *s3;
	struct upload_row row; /* what it is at */
	bool busy;
	pthread_t thread;
	bool started;
};

struct uploads {
	struct log_ctx log;
	struct upload_source from;
	const struct relay_config *config;
	const struct hw_clock *clock;
	struct s3_place place;
	char recordings[2100]; /* the folder */
	int64_t started;       /* by the wall */
	atomic_bool stop;
	pthread_mutex_t taking; /* held while one is chosen; taken before `lock` */
	pthread_mutex_t lock;	/* of all that follows */
	pthread_cond_t more;
	char (*fresh)[97]; /* recordings that are not in the store yet: FRESH at most */
	size_t n_fresh;
	int64_t scan_at;  /* monotonic: when all that are complete are looked for */
	int64_t counted;  /* monotonic: when recordings were */
	int64_t refusing; /* since when none was taken, although some were tried; 0: they are */
	uint64_t kicks;
	int troubles;	/* attempts in a row that the storage was to blame for */
	int64_t paused; /* monotonic: nothing is tried before */
	struct uploads_stats stats;
	struct sender senders[SENDERS];
};

/* --- life --------------------------------------------------------------------------------------
 */

static bool
has_recordings(const struct relay_config *c)
{
	return c->recording_s3_bucket[0] != '\0';
}

static const char *
under(char *out, size_t room, const char *dir, const char *name)
{
	bool whole = name[0] == '/';

	snprintf(out, room, "%s%s%s", whole ? "" : dir, whole ? "" : "/", name);
	return out;
}

/* A file that cannot be read would otherwise be known with the first upload. */
static int
check_ca(const char *path, struct hw_err *err)
{
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return hw_err_sys(err, "cannot read %.200s", path);
	fclose(f);
	return 0;
}

static int
open_clients(struct uploads *u, const char *secret, const char *ca, struct hw_err *err)
{
	const struct relay_config *c = u->config;
	const struct s3_options o = {
		.place = u->place,
		.region = c->s3_region,
		.key_id = c->s3_access_key_id,
		.secret = secret,
		.ca_file = ca,
		.part_bytes = (int64_t)c->s3_part_mib << 20,
		.timeout_seconds = c->s3_timeout_seconds,
		.stop = &u->stop,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < SENDERS; i++) {
		u->senders[i].of = u;
		r = s3_new(&u->senders[i].s3, &o, err);
	}
	return r;
}

static int
check_bucket(const struct uploads *u, struct hw_err *err)
{
	const char *bucket = u->config->recording_s3_bucket;
	const char *prefix = u->config->recording_s3_prefix;

	if (s3_bucket_check(&u->place, bucket, NULL) < 0)
		return hw_err_set(err, HW_EVALIDATION,
			"recording_s3_bucket: \"%s\" is no bucket that can be reached there: 3 to "
			"63 small letters, digits, dots, dashes and underscores%s",
			bucket, u->place.path_style ? "" : ", and with s3_path_style = 0 no dots");
	if (s3_prefix_check(prefix, NULL) < 0)
		return hw_err_set(err, HW_EVALIDATION,
			"recording_s3_prefix: \"%.100s\" is none: parts with a / between them, none "
			"of them empty, . or ..",
			prefix);
	return 0;
}

static int
configure(struct uploads *u, const char *dir, struct hw_err *err)
{
	const struct relay_config *c = u->config;
	char path[2100], ca[2100], secret[257] = "";
	int r;

	snprintf(u->recordings, sizeof(u->recordings), "%s/recordings", dir);
	if ((r = s3_place_parse(&u->place, c->s3_endpoint, c->s3_path_style, err)) < 0)
		return hw_err_prefix(err, "s3_endpoint");
	if (c->s3_access_key_id[0] == '\0')
		return hw_err_set(err, HW_EVALIDATION,
			"s3_endpoint is set, and s3_access_key_id is not: say the relay's key there");
	if ((r = s3_region_check(c->s3_region, err)) < 0)
		return hw_err_prefix(err, "s3_region");
	if (c->recording_s3_bucket[0] != '\0' && (r = check_bucket(u, err)) < 0)
		return r;
	if ((r = secret_text_load(secret, sizeof(secret),
		     under(path, sizeof(path), dir, c->s3_secret_file), err)) < 0)
		return hw_err_prefix(err, "s3_secret_file");
	bool own_ca = c->s3_ca_file[0] != '\0';
	if (own_ca && (r = check_ca(under(ca, sizeof(ca), dir, c->s3_ca_file), err)) < 0)
		hw_err_prefix(err, "s3_ca_file");
	else
		r = open_clients(u, secret, own_ca ? ca : NULL, err);
	explicit_bzero(secret, sizeof(secret));
	return r;
}

static void *sender_main(void *arg);

static int
start_senders(struct uploads *u, struct hw_err *err)
{
	sigset_t all, before;
	int e = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (size_t i = 0; e == 0 && i < SENDERS; i++) {
		e = pthread_create(&u->senders[i].thread, NULL, sender_main, &u->senders[i]);
		u->senders[i].started = e == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return e == 0 ? 0 : hw_err_set(err, HW_ESYS, "cannot start the threads of uploads");
}

int
uploads_new(struct uploads **ret, const struct uploads_options *o, struct hw_err *err)
{
	struct uploads *u = calloc(1, sizeof(*u));
	pthread_condattr_t attr;

	if (u == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for uploads");
	u->log = *o->log;
	u->from = (struct upload_source){
		.store = o->store,
		.outputs = o->outputs,
		.ledger = o->ledger,
		.master = o->master,
		.clock = o->clock,
		.recordings = u->recordings,
		.bucket = o->config->recording_s3_bucket,
		.prefix = o->config->recording_s3_prefix,
	};
	u->config = o->config;
	u->clock = o->clock;
	u->started = clock_wall(o->clock);
	pthread_mutex_init(&u->taking, NULL);
	pthread_mutex_init(&u->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&u->more, &attr);
	pthread_condattr_destroy(&attr);
	int r = configure(u, o->dir, err);
	if (r == 0 && o->threaded)
		r = start_senders(u, err);
	if (r < 0) {
		uploads_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

void
uploads_free(struct uploads *u)
{
	if (u == NULL)
		return;
	atomic_store(&u->stop, true);
	uploads_kick(u);
	for (size_t i = 0; i < SENDERS; i++) {
		if (u->senders[i].started)
			pthread_join(u->senders[i].thread, NULL);
		s3_free(u->senders[i].s3);
	}
	pthread_cond_destroy(&u->more);
	pthread_mutex_destroy(&u->lock);
	pthread_mutex_destroy(&u->taking);
	free(u->fresh);
	free(u);
}

const struct s3_place *
uploads_place(const struct uploads *u)
{
	return &u->place;
}

void
uploads_stats(struct uploads *u, struct uploads_stats *ret)
{
	pthread_mutex_lock(&u->lock);
	*ret = u->stats;
	ret->trouble = u->troubles > 0;
	pthread_mutex_unlock(&u->lock);
}

/* --- recordings --------------------------------------------------------------------------------
 */

/* What has no room is found by a look at all of them. */
void
uploads_add_recording(struct uploads *u, const char *session_id)
{
	if (u == NULL || !has_recordings(u->config))
		return;
	pthread_mutex_lock(&u->lock);
	if (u->fresh == NULL)
		u->fresh = calloc(FRESH, sizeof(*u->fresh));
	if (u->fresh == NULL || u->n_fresh == FRESH)
		u->scan_at = 0;
	else
		snprintf(u->fresh[u->n_fresh++], sizeof(*u->fresh), "%s", session_id);
	u->kicks++;
	pthread_cond_broadcast(&u->more);
	pthread_mutex_unlock(&u->lock);
}

static int
read_count(void *arg, struct db *db, struct hw_err *err)
{
	return recording_upload_count(db, arg, err);
}

static void
count_recordings(struct uploads *u)
{
	int64_t now = clock_mono(u->clock), n = 0;

	if (now - u->counted < LOOK && u->counted != 0)
		return;
	u->counted = now;
	if (store_read(u->from.store, read_count, &n, NULL) < 0)
		return;
	pthread_mutex_lock(&u->lock);
	u->stats.recordings_due = n;
	pthread_mutex_unlock(&u->lock);
}

static void
scan_again(struct uploads *u, int64_t when)
{
	pthread_mutex_lock(&u->lock);
	u->scan_at = when;
	pthread_mutex_unlock(&u->lock);
}

/* Into the store; under `taking`. What could not be written is looked for. */
static void
gather(struct uploads *u)
{
	struct hw_err err = HW_ERR_INIT;
	int64_t now = clock_mono(u->clock);

	if (!has_recordings(u->config))
		return;
	pthread_mutex_lock(&u->lock);
	bool scan = now >= u->scan_at;
	char(*ids)[97] = u->fresh;
	size_t n = u->n_fresh;
	if (scan)
		u->scan_at = now + SCAN_EVERY;
	u->fresh = NULL;
	u->n_fresh = 0;
	pthread_mutex_unlock(&u->lock);
	int r = ids != NULL ? upload_recordings_insert(&u->from, ids, n, &err) : 0;
	if (r == 0 && scan)
		r = upload_recordings_scan(&u->from, &err);
	free(ids);
	if (r < 0) {
		log_warn(u, "uploads.unsaved", "why=%s", log_value(hw_err_text(&err)));
		scan_again(u, now + LOOK);
	}
	count_recordings(u);
}

/* --- taking one --------------------------------------------------------------------------------
 */

struct choice {
	struct uploads *u;
	struct upload_row row;
	bool found;
};

static bool
is_busy(const struct uploads *u, const struct upload_row *row)
{
	for (size_t i = 0; i < SENDERS; i++) {
		const struct sender *s = &u->senders[i];
		if (s->busy && s->row.kind == row->kind &&
			strcmp(s->row.command_id, row->command_id) == 0 &&
			strcmp(s->row.node_id, row->node_id) == 0 &&
			strcmp(s->row.session_id, row->session_id) == 0)
			return true;
	}
	return false;
}

/* Of those that the others have there are fewer than there are rows. */
static int
choose(void *arg, struct db *db, struct hw_err *err)
{
	struct choice *c = arg;
	struct query q;
	int64_t now = clock_wall(c->u->clock);
	int r = upload_list_due(&q, db, now, now + LAST, SENDERS, err);

	while (r == 0 && !c->found && (r = upload_next(&q, &c->row, err)) > 0) {
		c->found = !is_busy(c->u, &c->row);
		r = 0;
	}
	query_end(&q);
	return r;
}

/* Who is busy changes only under `taking`, but for who has ended. */
static bool
take(struct sender *s)
{
	struct uploads *u = s->of;
	struct choice c = {.u = u};
	struct hw_err err = HW_ERR_INIT;

	pthread_mutex_lock(&u->taking);
	gather(u);
	pthread_mutex_lock(&u->lock);
	bool paused = clock_mono(u->clock) < u->paused;
	pthread_mutex_unlock(&u->lock);
	if (!paused && store_read(u->from.store, choose, &c, &err) < 0)
		log_warn(u, "uploads.unread", "why=%s", log_value(hw_err_text(&err)));
	if (c.found) {
		s->row = c.row;
		s->busy = true;
	}
	pthread_mutex_unlock(&u->taking);
	return c.found;
}

static void
let_go(struct sender *s)
{
	pthread_mutex_lock(&s->of->taking);
	s->busy = false;
	pthread_mutex_unlock(&s->of->taking);
}

/* --- what became of it -------------------------------------------------------------------------
 */

static int64_t
delay(int64_t attempts, int64_t most)
{
	int64_t d = attempts < 20 ? FIRST << (attempts > 0 ? attempts - 1 : 0) : most;

	return d < most ? d : most;
}

/* The storage's own trouble is everybody's: all wait for the next attempt. */
static void
note_trouble(struct uploads *u, bool trouble, const char *why)
{
	pthread_mutex_lock(&u->lock);
	bool first = trouble && u->troubles == 0, over = !trouble && u->troubles > 0;
	u->troubles = trouble ? u->troubles + 1 : 0;
	u->paused = trouble ? clock_mono(u->clock) + delay(u->troubles, PAUSE_MAX) : 0;
	pthread_mutex_unlock(&u->lock);
	if (first) {
		log_warn(u, "uploads.trouble", "why=%s", log_value(why));
	}
	if (over)
		log_info(u, "uploads.again", "%s", "the storage takes them");
}

/* What no later attempt would change. */
static bool
is_final(int r)
{
	return r == HW_EINVOCATION || r == HW_ENOSESSION || r == HW_ECORRUPT ||
		r == HW_EVALIDATION || r == HW_ELIMIT;
}

/* While the relay was stopped nothing was tried. A recording is never late: it may be deleted when
 * it is there. */
static bool
is_late(const struct uploads *u, const struct upload_row *row, int64_t now)
{
	if (row->kind == UPLOAD_RECORDING && !row->fetch)
		return false;
	int64_t since = row->since > u->started ? row->since : u->started;

	return now - since >= u->config->s3_retry_seconds * USEC_PER_SEC;
}

/* One that could not be fetched is in its bucket as before. */
static void
judge_fetch(struct uploads *u, struct upload_row *row, int r, const char *why)
{
	int64_t now = clock_wall(u->clock);

	row->attempts++;
	row->next = now + delay(row->attempts, LAST);
	row->fetch = r < 0 && r != HW_ENOTFOUND && !is_final(r) && !is_late(u, row, now);
	row->status = UPLOAD_STATUS_SUCCESS;
	snprintf(row->reason, sizeof(row->reason), "%s", r < 0 ? why : "");
}

static void
judge(struct uploads *u, struct upload_row *row, int r, const char *why)
{
	int64_t now = clock_wall(u->clock);
	bool late = is_late(u, row, now);

	row->attempts++;
	row->next = now + delay(row->attempts, LAST);
	snprintf(row->reason, sizeof(row->reason), "%s", r < 0 ? why : "");
	row->status = r == 0	      ? UPLOAD_STATUS_SUCCESS
		: is_final(r) || late ? UPLOAD_STATUS_FAILED
				      : UPLOAD_STATUS_PENDING;
}

static int
write_row(void *arg, struct db *db, struct hw_err *err)
{
	return upload_set(db, arg, err);
}

static void
count_output(struct uploads *u, const struct upload_row *row)
{
	u->stats.done += row->status == UPLOAD_STATUS_SUCCESS;
	u->stats.failed += row->status == UPLOAD_STATUS_FAILED;
}

static void
alarm_of(struct uploads *u, const char *what, const char *why)
{
	char reason[512], cut[385];
	const struct msg_ledger_entry e = {.reason = reason};

	fit_text(cut, sizeof(cut), why);
	snprintf(reason, sizeof(reason), "%s%s%s", what, cut[0] != '\0' ? ": " : "", cut);
	ledger_append(u->from.ledger, ENTRY_ALARM, &e, NULL);
}

/* What could not be uploaded is one alarm, however many wait; so is that they are taken again. */
static void
note_recording(struct uploads *u, const struct upload_row *row, int r)
{
	int64_t now = clock_mono(u->clock);

	pthread_mutex_lock(&u->lock);
	u->stats.recordings += r == 0;
	u->refusing = r == 0 ? 0 : u->refusing != 0 ? u->refusing : now;
	bool is_alarm = u->refusing != 0 && now - u->refusing >= ALARM_AT, was = u->stats.alarm;
	u->stats.alarm = is_alarm;
	pthread_mutex_unlock(&u->lock);
	if (is_alarm && !was)
		alarm_of(u, "recordings do not reach their bucket", row->reason);
	else if (was && !is_alarm)
		alarm_of(u, "recordings reach their bucket again", "");
}

/* One that never will. */
static void
note_lost(struct uploads *u, const struct upload_row *row)
{
	char what[160];

	snprintf(what, sizeof(what), "the recording of %s is not uploaded", row->session_id);
	alarm_of(u, what, row->reason);
}

static void
count(struct uploads *u, const struct upload_row *was, const struct upload_row *row, int r)
{
	bool failed = row->status == UPLOAD_STATUS_FAILED;

	pthread_mutex_lock(&u->lock);
	u->stats.attempts += r < 0;
	u->stats.recordings_fetched += was->fetch && r == 0;
	if (row->kind == UPLOAD_OUTPUT)
		count_output(u, row);
	pthread_mutex_unlock(&u->lock);
	if (failed)
		log_warn(u, "upload.failed", "command=%s node=%s session=%s attempts=%lld why=%s",
			row->command_id, row->node_id, row->session_id, (long long)row->attempts,
			log_value(row->reason));
	if (row->kind == UPLOAD_OUTPUT || was->fetch)
		return;
	if (failed)
		note_lost(u, row);
	else
		note_recording(u, row, r);
}

/* Where each bucket is a host of its own, whoever names one chooses what cannot be reached, or has
 * no certificate: that says nothing of the storage. */
static bool
is_trouble(const struct uploads *u, int r)
{
	return r == HW_EUNAVAILABLE ||
		(u->place.path_style && (r == HW_EUNREACHABLE || r == HW_ECERT));
}

/* The storage is there, whatever it said. */
static bool
has_answered(int r)
{
	return r == 0 || r == HW_EDENIED || r == HW_ENOTFOUND || r == HW_EVALIDATION ||
		r == HW_EREFUSED;
}

/* What is not said in the store is done again. */
static void
settle(struct sender *s, int r, const char *why)
{
	struct uploads *u = s->of;
	struct upload_row row = s->row;
	struct hw_err err = HW_ERR_INIT;
	bool trouble = is_trouble(u, r);

	if (trouble || has_answered(r))
		note_trouble(u, trouble, why);
	(row.fetch ? judge_fetch : judge)(u, &row, r, why);
	if (store_write(u->from.store, write_row, &row, &err) < 0) {
		log_warn(u, "uploads.unsaved", "why=%s", log_value(hw_err_text(&err)));
		note_trouble(u, true, hw_err_text(&err));
		return;
	}
	count(u, &s->row, &row, r);
}

/* --- the threads -------------------------------------------------------------------------------
 */

typedef int run_fn(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err);

static run_fn *const runs[UPLOAD_KINDS] = {
	[UPLOAD_OUTPUT] = upload_run,
	[UPLOAD_RECORDING] = upload_recording_run,
};

static bool
run_one(struct sender *s)
{
	struct hw_err err = HW_ERR_INIT;

	if (!take(s))
		return false;
	run_fn *run = s->row.fetch ? upload_recording_fetch : runs[s->row.kind];
	int r = run(s->s3, &s->of->from, &s->row, &err);
	if (r != HW_ECLOSED)
		settle(s, r, hw_err_text(&err));
	let_go(s);
	return true;
}

bool
uploads_run(struct uploads *u)
{
	return run_one(&u->senders[0]);
}

void
uploads_kick(struct uploads *u)
{
	if (u == NULL)
		return;
	pthread_mutex_lock(&u->lock);
	u->kicks++;
	pthread_cond_broadcast(&u->more);
	pthread_mutex_unlock(&u->lock);
}

static uint64_t
kicks(struct uploads *u)
{
	pthread_mutex_lock(&u->lock);
	uint64_t n = u->kicks;
	pthread_mutex_unlock(&u->lock);
	return n;
}

/* Until somebody says that there is more, or for a while. */
static void
wait_for_more(struct uploads *u, uint64_t seen)
{
	struct timespec until;

	pthread_mutex_lock(&u->lock);
	int64_t now = clock_mono(u->clock), wait = u->paused - now;
	if (wait <= 0 || wait > LOOK)
		wait = u->troubles > 0 ? FIRST : LOOK;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait / USEC_PER_SEC;
	until.tv_nsec += wait % USEC_PER_SEC * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (u->kicks == seen && !atomic_load(&u->stop))
		if (pthread_cond_timedwait(&u->more, &u->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&u->lock);
}

static void *
sender_main(void *arg)
{
	struct sender *s = arg;

	while (!atomic_load(&s->of->stop)) {
		uint64_t seen = kicks(s->of);
		if (!run_one(s))
			wait_for_more(s->of, seen);
	}
	return NULL;
}
