/* hawser audit verify: the ledger and the recordings of a relay's directory, from its files and
 * public keys alone. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "audit/verify.h"
#include "client/client.h"
#include "client/commands.h"
#include "client/output.h"
#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"

#define OUT_MAX (256 * 1024)

struct job {
	int dir;
	struct verify_options options;
	struct secret_key master;
	struct log_head known;
	char origin[LOG_ORIGIN_MAX];
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
load_authority(struct job *job, const char *path, struct hw_err *err)
{
	X509 *ca = NULL;
	int r = path != NULL ? cert_load(&ca, AT_FDCWD, path, err)
			     : cert_load(&ca, job->dir, "ca.crt", err);

	job->options.ca = ca;
	return r;
}

static int
load_known(struct job *job, const char *path, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, LOG_HEAD_MAX);
	int r = file_read(&text, AT_FDCWD, path, err);
	if (r == 0)
		r = log_head_parse(&job->known, job->origin, (const char *)buf_data(&text),
			text.len, err);
	buf_fini(&text);
	if (r < 0)
		return hw_err_prefix(err, "%s", path);
	job->options.known = &job->known;
	job->options.known_origin = job->origin;
	return 0;
}

static int
prepare(struct job *job, const struct input *in, struct hw_err *err)
{
	const char *master = input_text(in, "master-key"), *known = input_text(in, "head");
	int r;

	if (input_text(in, "dir") == NULL)
		return hw_err_set(err, HW_EUSAGE, "say which directory of a relay: --dir DIR");
	if ((r = dir_open(&job->dir, input_text(in, "dir"), false, err)) < 0 ||
		(r = load_authority(job, input_text(in, "ca"), err)) < 0)
		return r;
	if (master != NULL && (r = secret_key_load(&job->master, master, err)) < 0)
		return r;
	if (master != NULL)
		job->options.master = &job->master;
	if (known != NULL && (r = load_known(job, known, err)) < 0)
		return r;
	job->options.is_running = is_running(job->dir);
	return 0;
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
		buf_printf(out, "%s  %s", title, list[i].file);
		say_where(out, &list[i]);
		buf_printf(out, ": %s\n", list[i].what);
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

	if (r->heads == 0) {
		buf_append_str(out, ", no head is signed\n");
		return;
	}
	hex_encode(hex, r->head.root, MERKLE_LEN);
	localtime_r(&when, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	buf_printf(out, ", tree head %.4s...%s signed %s\n", hex, hex + 2 * MERKLE_LEN - 4, text);
}

static void
say_result(struct buf *out, const struct job *job, const struct verify_result *r)
{
	static const char *const verdicts[] = {
		[VERIFY_INTACT] = "INTACT",
		[VERIFY_BROKEN] = "BROKEN",
		[VERIFY_UNCHECKED] = "NOT ALL COULD BE CHECKED",
	};

	buf_printf(out, "%" PRIu64 " sessions, %" PRIu64 " entries", r->sessions, r->entries);
	if (r->erased > 0)
		buf_printf(out, " (%" PRIu64 " erased)", r->erased);
	say_head(out, r);
	buf_printf(out, "recordings %s   ledger %s   %s\n", r->recordings_broken ? "BROKEN" : "ok",
		r->ledger_broken ? "BROKEN" : "ok",
		job->options.master != NULL ? "contents opened"
					    : "contents sealed, keys unchecked (no master key)");
	say_findings(out, "broken", r->findings, r->n_findings);
	say_findings(out, "unchecked", r->doubts, r->n_doubts);
	buf_printf(out, "%s\n", verdicts[r->verdict]);
}

static int
verify(struct job *job, struct hw_err *err)
{
	struct verify_source source = verify_directory(&job->dir);
	struct verify_result *result = calloc(1, sizeof(*result));
	struct buf out;

	if (result == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_init(&out, OUT_MAX);
	int r = verify_run(result, &source, &job->options, err);
	if (r == 0 || result->n_findings > 0) {
		say_result(&out, job, result);
		int wrote = output_bytes(buf_data(&out), out.len, err);
		r = wrote < 0 ? wrote : (int)result->verdict;
	}
	buf_fini(&out);
	free(result);
	return r;
}

static int
run_verify(struct client *c, const struct input *in, struct hw_err *err)
{
	struct job job = {.dir = -1};

	(void)c;
	int r = prepare(&job, in, err);
	if (r == 0)
		r = verify(&job, err);
	X509_free(job.options.ca);
	secret_key_wipe(&job.master);
	fd_close(job.dir);
	return r;
}

static const struct option_row options[] = {
	{"dir",			0, "DIR", "the relay's directory, or a copy of it"},
	{"master-key",		       0, "FILE", "checks what is sealed too"},
	{"head",			    0, "FILE", "a signed head that was kept"},
	{"ca",     0, "FILE", "the fleet's certificate, in place of DIR/ca.crt"},
	{0},
};

const struct command cmd_audit_verify = {
	.name = "audit verify",
	.operands = "",
	.summary = "Verify a relay's ledger and recordings, offline.",
	.about = "  From files and public keys alone; names the first bad entry, byte or range.\n"
		 "  Exit status: 0 intact, 1 broken, 2 not all could be checked.",
	.examples = {"hawser audit verify --dir /var/lib/hawser-relay",
		     "hawser audit verify --dir copy --head head.txt"},
	.options = options,
	.max = 0,
	.failure = 2,
	.usage = 2,
	.run = run_verify,
};
