/* hawser audit verify: the ledger and the recordings of a relay's directory, from its files and
 * public keys alone; the ledger of a relay that runs, against what clients, nodes and files keep of
 * it. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "audit/verify.h"
#include "client/client.h"
#include "client/commands.h"
#include "client/kept.h"
#include "client/lookout.h"
#include "client/meter.h"
#include "client/verify_online.h"
#include "proto/base/clock.h"
#include "proto/base/display.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"

#define OUT_MAX (256 * 1024)

struct job {
	struct client *client;
	int dir;	  /* -1: no files */
	bool is_own;	  /* the files are of this login's fleet */
	bool asks, asked; /* the relay is to be asked; it was */
	struct verify_options options;
	struct secret_key master;
	struct kept kept;
	struct verify_result *found;
	struct online_result online;
	char not_asked[200]; /* why not, where the files speak for themselves */
};

/* --- what is verified, and against what ------------------------------------------------------- */

/* Whether a relay has it open: then what it has not signed yet is no wonder. */
static bool
is_running(int dir)
{
	int fd = openat(dir, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;

	fd_close(fd);
	return held;
}

static int
load_home_authority(X509 **ca, struct job *job, struct hw_err *err)
{
	int dir = -1, r = client_home(job->client, err);

	if (r == 0 && (r = home_open(&dir, &job->client->home, false, err)) == 0 &&
		(r = cert_load(ca, dir, HOME_CA, err)) < 0)
		hw_err_prefix(err, "%s", job->client->home.path);
	fd_close(dir);
	return r;
}

/* This login's authority, when the other says that it is of the same fleet; else NULL. */
static X509 *
own_authority(struct job *job, X509 *other)
{
	char own[CERT_FLEET_LEN + 1], theirs[CERT_FLEET_LEN + 1];
	X509 *ca = NULL;
	bool same = load_home_authority(&ca, job, NULL) == 0 && cert_fleet(own, ca, NULL) == 0 &&
		cert_fleet(theirs, other, NULL) == 0 && strcmp(own, theirs) == 0;

	job->client->hint[0] = '\0';
	if (same)
		return ca;
	X509_free(ca);
	return NULL;
}

/* The files' own certificate is as good as they are: of a fleet that this client knows it takes
 * what it knows, which every authority of the fleet's life does for. */
static int
load_files_authority(struct job *job, const char *path, const char *dir, struct hw_err *err)
{
	X509 *ca = NULL;
	int r = path != NULL ? cert_load(&ca, AT_FDCWD, path, err)
			     : cert_load(&ca, job->dir, "ca.crt", err);

	if (r < 0)
		return path != NULL ? r : hw_err_prefix(err, "%s", dir);
	X509 *own = own_authority(job, ca);
	job->is_own = own != NULL;
	if (path == NULL && own != NULL) {
		X509_free(ca);
		ca = own;
		own = NULL;
	}
	X509_free(own);
	job->options.ca = ca;
	return 0;
}

static int
load_authority(struct job *job, const struct input *in, struct hw_err *err)
{
	const char *path = input_text(in, "ca");

	if (job->dir >= 0)
		return load_files_authority(job, path, input_text(in, "dir"), err);
	return path != NULL ? cert_load(&job->options.ca, AT_FDCWD, path, err)
			    : load_home_authority(&job->options.ca, job, err);
}

static int
load_kept(struct job *job, const struct input *in, struct hw_err *err)
{
	const char *path;
	int r = 0;

	for (size_t i = 0; r == 0 && (path = input_nth(in, "head", i)) != NULL; i++)
		r = kept_read_notes(&job->kept, path, err);
	for (size_t i = 0; r == 0 && (path = input_nth(in, "witnesses", i)) != NULL; i++)
		r = kept_read_witnesses(&job->kept, path, job->options.ca, err);
	job->options.kept = job->kept.heads;
	job->options.n_kept = job->kept.n;
	return r;
}

static int
prepare_files(struct job *job, const struct input *in, struct hw_err *err)
{
	const char *dir = input_text(in, "dir"), *master = input_text(in, "master-key");
	int r;

	if (dir == NULL && (master != NULL || input_has(in, "offline")))
		return hw_err_set(err, HW_EUSAGE, "say which directory of a relay: --dir DIR");
	if (dir == NULL)
		return 0;
	if ((r = dir_open(&job->dir, dir, false, err)) < 0 ||
		(master != NULL && (r = secret_key_load(&job->master, master, err)) < 0))
		return r;
	if (master != NULL)
		job->options.master = &job->master;
	job->options.is_running = is_running(job->dir);
	job->options.now = clock_wall(&hw_clock_system);
	job->options.threads = (unsigned)get_nprocs();
	return 0;
}

static int
prepare(struct job *job, const struct input *in, struct hw_err *err)
{
	int r;

	if ((r = prepare_files(job, in, err)) < 0 || (r = load_authority(job, in, err)) < 0)
		return r;
	/* With files, the relay is asked too if it is the one of this login. */
	job->asks = job->dir < 0 || (!input_has(in, "offline") && job->is_own);
	return load_kept(job, in, err);
}

/* --- what is said ----------------------------------------------------------------------------- */

static void
say_where(struct buf *out, const struct verify_finding *f)
{
	if (f->from != VERIFY_NONE && f->to != VERIFY_NONE)
		buf_printf(out, ", bytes %" PRIu64 " to %" PRIu64, f->from, f->to);
	else if (f->from != VERIFY_NONE)
		buf_printf(out, ", byte %" PRIu64, f->from);
	if (f->entry == VERIFY_NONE)
		return;
	if (f->entry_to == VERIFY_NONE || f->entry_to == f->entry + 1)
		buf_printf(out, ", entry %" PRIu64, f->entry);
	else
		buf_printf(out, ", entries %" PRIu64 " to %" PRIu64, f->entry, f->entry_to - 1);
}

static void
say_findings(struct buf *out, const char *title, const struct verify_finding *list, size_t n)
{
	for (size_t i = 0; i < n && i < VERIFY_FINDINGS_MAX; i++) {
		buf_printf(out, "%s  ", title);
		display_append(out, list[i].file, strlen(list[i].file));
		say_where(out, &list[i]);
		buf_append_str(out, ": ");
		display_append(out, list[i].what, strlen(list[i].what));
		buf_append_byte(out, '\n');
	}
	if (n > VERIFY_FINDINGS_MAX)
		buf_printf(out, "%s  and %zu more\n", title, n - VERIFY_FINDINGS_MAX);
}

static void
say_head(struct buf *out, const struct verify_result *r)
{
	time_t when = (time_t)(r->head.time / USEC_PER_SEC);
	char hex[2 * MERKLE_LEN + 1], text[32];
	struct tm tm;

	if (r->head.time == 0) {
		buf_append_str(out, ", no head is signed\n");
		return;
	}
	hex_encode(hex, r->head.root, MERKLE_LEN);
	localtime_r(&when, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	buf_printf(out, ", tree head %.4s...%s signed %s\n", hex, hex + 2 * MERKLE_LEN - 4, text);
}

/* What nodes and files keep; what they object to is among the findings. */
static void
say_witnesses(struct buf *out, const struct job *job, const struct verify_result *r)
{
	const struct online_result *o = &job->online;
	uint64_t kept = job->dir >= 0 ? r->kept : o->kept;
	uint64_t given_up = job->dir >= 0 ? r->given_up : o->given_up;

	if (kept > 0)
		buf_printf(out, "   %" PRIu64 " kept head%s checked", kept, kept == 1 ? "" : "s");
	if (given_up > 0)
		buf_printf(out, " (%" PRIu64 " of what a recovery gave up)", given_up);
	if (!job->asked)
		return;
	if (o->may_not_list) {
		buf_append_str(out, "   witnesses not shown to you");
		return;
	}
	buf_printf(out, "   witnesses %" PRIu64 " of %" PRIu64 " agree", o->agree, o->nodes);
	if (o->silent > 0)
		buf_printf(out, ", %" PRIu64 " have said nothing", o->silent);
}

static void
say_first_line(struct buf *out, const struct job *job, const struct verify_result *r)
{
	if (job->dir >= 0)
		buf_printf(out, "%" PRIu64 " session%s, ", r->sessions,
			r->sessions == 1 ? "" : "s");
	buf_printf(out, "%" PRIu64 " entr%s", r->entries, r->entries == 1 ? "y" : "ies");
	if (r->erased > 0)
		buf_printf(out, " (%" PRIu64 " erased)", r->erased);
	say_head(out, r);
}

static void
say_result(struct buf *out, const struct job *job, const struct verify_result *r)
{
	static const char *const verdicts[] = {
		[VERIFY_INTACT] = "INTACT",
		[VERIFY_BROKEN] = "BROKEN",
		[VERIFY_UNCHECKED] = "NOT ALL COULD BE CHECKED",
	};

	say_first_line(out, job, r);
	if (job->dir >= 0)
		buf_printf(out, "recordings %s   ", r->recordings_broken ? "BROKEN" : "ok");
	buf_printf(out, "ledger %s", r->ledger_broken ? "BROKEN" : "ok");
	if (job->dir >= 0)
		buf_printf(out, "   %s",
			job->options.master != NULL
				? "contents opened"
				: "contents sealed, keys unchecked (--master-key)");
	say_witnesses(out, job, r);
	buf_append_byte(out, '\n');
	if (job->not_asked[0] != '\0') {
		buf_append_str(out, "the relay was not asked: ");
		display_append(out, job->not_asked, strlen(job->not_asked));
		buf_append_byte(out, '\n');
	}
	say_findings(out, "broken", r->findings, r->n_findings);
	say_findings(out, "unchecked", r->doubts, r->n_doubts);
	buf_printf(out, "%s\n", verdicts[r->verdict]);
}

/* --- the same for programs -------------------------------------------------------------------- */

static struct msg_ledger_view *
view_of(struct msg_ledger_view *ret, const struct job *job)
{
	const struct online_result *o = &job->online;

	if (!job->asked)
		return NULL;
	lookout_describe(ret, job->client->lookout);
	ret->witnesses = (int64_t)o->nodes;
	ret->agree = (int64_t)o->agree;
	ret->silent = (int64_t)o->silent;
	return ret;
}

static int
show_message(const struct job *job, const struct verify_result *r, struct hw_err *err)
{
	static const char *const verdicts[] = {
		[VERIFY_INTACT] = "Intact",
		[VERIFY_BROKEN] = "Broken",
		[VERIFY_UNCHECKED] = "Unchecked",
	};
	bool files = job->dir >= 0;
	struct msg_verify_place findings[VERIFY_FINDINGS_MAX], doubts[VERIFY_FINDINGS_MAX];
	struct msg_ledger_view view;
	char head[LOG_HEAD_MAX] = "";
	struct msg_verification m = {
		.verdict = verdicts[r->verdict],
		.entries = (int64_t)r->entries,
		.signed_at = r->head.time,
		.sessions = (int64_t)r->sessions,
		.erased = (int64_t)r->erased,
		.ledger = r->ledger_broken ? "broken" : "ok",
		.recordings = !files	       ? NULL
			: r->recordings_broken ? "broken"
					       : "ok",
		.contents = !files		      ? NULL
			: job->options.master != NULL ? "opened"
						      : "sealed",
		.kept = (int64_t)(files ? r->kept : job->online.kept),
		.given_up = (int64_t)(files ? r->given_up : job->online.given_up),
		.view = view_of(&view, job),
		.n_findings = (int64_t)r->n_findings,
		.n_doubts = (int64_t)r->n_doubts,
	};

	if (r->head.time != 0) {
		log_head_format(head, &r->head, r->origin);
		m.head = head;
	}
	m.findings.v = findings;
	m.findings.n = verify_list(findings, r->findings, r->n_findings);
	m.doubts.v = doubts;
	m.doubts.n = verify_list(doubts, r->doubts, r->n_doubts);
	return output_one(job->client, MSG_ROW(verification), &m, verdicts[r->verdict], err);
}

/* --- verifying -------------------------------------------------------------------------------- */

static void
conclude(struct verify_result *r, bool whole)
{
	if (r->n_findings > 0)
		r->verdict = VERIFY_BROKEN;
	else
		r->verdict = whole && r->n_doubts == 0 ? VERIFY_INTACT : VERIFY_UNCHECKED;
}

/* What files of witnesses say by themselves. */
static void
take_remarks(struct job *job)
{
	for (size_t i = 0; i < job->kept.n_remarks; i++) {
		const struct kept_remark *k = &job->kept.remarks[i];
		struct verify_result *r = job->found;
		size_t n = k->broken ? r->n_findings : r->n_doubts;

		r->ledger_broken = r->ledger_broken || k->broken;
		if (k->broken)
			verify_add_finding(r, k->file, "%.250s", k->what);
		else
			verify_add_doubt(r, k->file, "%.250s", k->what);
		if (n < VERIFY_FINDINGS_MAX) {
			struct verify_finding *f = k->broken ? &r->findings[n] : &r->doubts[n];
			f->from = k->from;
			f->to = k->to;
		}
	}
}

/* The files speak for themselves, also when nobody can be asked. */
static int
ask_relay(struct job *job, struct hw_err *err)
{
	struct verify_result *r = job->found;
	bool has_own = job->dir >= 0 && r->heads > 0;
	size_t before = r->n_findings;
	struct hw_err why = HW_ERR_INIT;
	int rc = verify_online(&job->online, r, job->client, &job->kept, has_own ? &r->head : NULL,
		r->origin, &why);

	if (rc < 0 && job->dir < 0)
		return hw_err_set(err, rc, "%s", hw_err_text(&why));
	job->client->hint[0] = '\0';
	if (rc < 0) {
		snprintf(job->not_asked, sizeof(job->not_asked), "%s", hw_err_text(&why));
		return 0;
	}
	job->asked = true;
	r->ledger_broken = r->ledger_broken || r->n_findings > before;
	if (job->dir < 0) {
		r->head = job->online.head;
		r->entries = r->head.size;
		memcpy(r->origin, job->online.origin, sizeof(r->origin));
	}
	return 0;
}

static int
show(const struct job *job, struct hw_err *err)
{
	struct buf out;

	if (job->client->format > OUTPUT_WIDE)
		return show_message(job, job->found, err);
	buf_init(&out, OUT_MAX);
	say_result(&out, job, job->found);
	int r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

/* A source that counts what is read of another; several threads read. */
struct counted {
	struct verify_source of;
	_Atomic uint64_t bytes;
	pthread_mutex_t drawing;
	struct meter meter;
};

static int
counted_open(void *arg, struct verify_file *ret, const char *path, struct hw_err *err)
{
	struct counted *c = arg;

	return c->of.open(c->of.arg, ret, path, err);
}

static int
counted_read(void *arg, const struct verify_file *f, uint64_t at, void *p, size_t n,
	struct hw_err *err)
{
	struct counted *c = arg;
	uint64_t bytes = atomic_fetch_add(&c->bytes, n) + n;

	/* Whoever finds it held lets the other draw. */
	if (c->meter.live && pthread_mutex_trylock(&c->drawing) == 0) {
		meter_show(&c->meter, bytes, "read");
		pthread_mutex_unlock(&c->drawing);
	}
	return c->of.read(c->of.arg, f, at, p, n, err);
}

static void
counted_close(void *arg, struct verify_file *f)
{
	struct counted *c = arg;

	c->of.close(c->of.arg, f);
}

static int
counted_list(void *arg, const char *folder,
	int (*each)(void *ctx, const char *name, struct hw_err *err), void *ctx, struct hw_err *err)
{
	struct counted *c = arg;

	return c->of.list(c->of.arg, folder, each, ctx, err);
}

static int
verify_files(struct job *job, struct hw_err *err)
{
	struct counted counted = {
		.of = verify_directory(&job->dir), .drawing = PTHREAD_MUTEX_INITIALIZER};
	const struct verify_source source = {.arg = &counted,
		.open = counted_open,
		.read = counted_read,
		.close = counted_close,
		.list = counted_list};

	meter_init(&counted.meter, false);
	int r = verify_run(job->found, &source, &job->options, err);
	meter_hide(&counted.meter);
	return r;
}

static int
verify(struct job *job, struct hw_err *err)
{
	int r = 0;

	if ((job->found = calloc(1, sizeof(*job->found))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (job->dir >= 0)
		r = verify_files(job, err);
	if (r < 0 && job->found->n_findings == 0)
		return r;
	bool whole = r == 0;
	take_remarks(job);
	if (job->asks && (r = ask_relay(job, err)) < 0)
		return r;
	conclude(job->found, whole);
	return (r = show(job, err)) < 0 ? r : (int)job->found->verdict;
}

static int
run_verify(struct client *c, const struct input *in, struct hw_err *err)
{
	struct job job = {.client = c, .dir = -1};

	kept_init(&job.kept, c->arena);
	int r = prepare(&job, in, err);
	if (r == 0)
		r = verify(&job, err);
	X509_free(job.options.ca);
	secret_key_wipe(&job.master);
	kept_fini(&job.kept);
	free(job.found);
	fd_close(job.dir);
	return r;
}

static const struct option_row options[] = {
	{"dir",				    0, "DIR", "a relay's directory, or a copy of it"},
	{"head",				   0, "FILE", "signed heads that were kept (anchors)"},
	{"witnesses",					0, "PATH", "a node's file `witness`, or a folder of them"},
	{"master-key",     0, "FILE", "checks what is sealed too"},
	{"ca", 0, "FILE", "the fleet's certificate, in place of DIR/ca.crt"},
	{"offline",			      0, NULL, "asks nobody"},
	{0				 },
};

const struct command cmd_audit_verify = {
	.name = "audit verify",
	.wary = true,
	.operands = "",
	.summary = "Verify that a relay's record of what was done was not changed.",
	.about = "  Asks the relay to prove that its ledger grew out of what this client,\n"
		 "  nodes and kept heads saw of it. With --dir, files and public keys do.\n"
		 "  Exit status: 0 intact, 1 broken, 2 not all could be checked.",
	.examples = {"hawser audit verify --head /mnt/elsewhere/heads",
		     "hawser audit verify --dir copy --witnesses collected --offline"},
	.options = options,
	.shows = true,
	.max = 0,
	.failure = 2,
	.usage = 2,
	.run = run_verify,
};
