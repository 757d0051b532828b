/* `hawser-relay check`: looks at what a relay needs of its machine; a line for each. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/ledger_keys.h"
#include "proto/base/file.h"
#include "proto/trust/build_time.h"
#include "proto/trust/cert.h"
#include "proto/trust/succession.h"
#include "relay/cli/cli.h"
#include "relay/core/config.h"
#include "relay/core/own_key.h"
#include "relay/edge/listener.h"

#define DISK_LEAST   (256 * UINT64_C(1048576))
#define DISK_GOOD    (2048 * UINT64_C(1048576))
#define FSYNC_ROUNDS 20
#define FSYNC_SLOW   (50 * USEC_PER_MSEC)
#define FILES_SPARE  256 /* descriptors that are not links */
#define CERT_SOON    (30 * CERT_DAY)

enum verdict { GOOD, POOR, BAD };

struct check {
	const struct cli_options *options;
	int dir;
	struct relay_config config;
	bool failed;
};

static void HW_PRINTF(4, 5)
	report(struct check *c, enum verdict verdict, const char *what, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "FAIL"};
	va_list ap;

	printf("%-4s  %-12s  ", words[verdict], what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (verdict == BAD)
		c->failed = true;
}

/* --- the machine --------------------------------------------------------------------------- */

static void
check_port(struct check *c)
{
	const char *host = c->config.listen_host;
	struct hw_err err = HW_ERR_INIT;
	int lock = -1, fd = -1;

	if (file_lock(&lock, c->dir, "lock", &err) == HW_EEXISTS) {
		report(c, GOOD, "port", "%d: this relay is running", c->config.listen_port);
		return;
	}
	fd_close(lock);
	if (listener_bind(&fd, host, c->config.listen_port, &err) < 0)
		report(c, BAD, "port", "%s", hw_err_text(&err));
	else
		report(c, GOOD, "port", "%d of %s is free", c->config.listen_port,
			*host != '\0' ? host : "every address");
	fd_close(fd);
}

static void
check_clock(struct check *c)
{
	char text[RFC3339_LEN + 1];
	int64_t now = clock_wall(&hw_clock_system);

	rfc3339_format(text, now);
	if (now < build_time())
		report(c, BAD, "clock",
			"%s is before this program was built: certificates will not verify", text);
	else
		report(c, GOOD, "clock", "%s", text);
}

static void
check_disk(struct check *c)
{
	struct statvfs fs;

	if (fstatvfs(c->dir, &fs) < 0) {
		report(c, BAD, "disk", "cannot tell: %s", strerror(errno));
		return;
	}
	uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
	report(c,
		left < DISK_LEAST	   ? BAD
			: left < DISK_GOOD ? POOR
					   : GOOD,
		"disk", "%llu MiB are free; sessions end when the journal cannot be written",
		(unsigned long long)(left >> 20));
}

static void
check_descriptors(struct check *c)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	uint64_t needed = (uint64_t)c->config.max_links + (uint64_t)c->config.max_unauthenticated +
		FILES_SPARE;
	report(c, limit.rlim_max < needed ? POOR : GOOD, "descriptors",
		"%llu may be open; max_links and max_unauthenticated would need %llu",
		(unsigned long long)limit.rlim_max, (unsigned long long)needed);
}

/* The slowest of some small appends, each synced, as the journal does them. Negative: it failed. */
static int64_t
slowest_sync(int fd)
{
	static const char record[512];
	int64_t worst = 0;

	for (int i = 0; i < FSYNC_ROUNDS; i++) {
		int64_t start = clock_mono(&hw_clock_system);
		if (fd_write_all(fd, record, sizeof(record), NULL) < 0 || fdatasync(fd) < 0)
			return -1;
		int64_t took = clock_mono(&hw_clock_system) - start;
		worst = took > worst ? took : worst;
	}
	return worst;
}

static void
check_sync(struct check *c)
{
	static const char name[] = ".check";
	int fd = openat(c->dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0) {
		report(c, BAD, "fsync", "cannot write in the directory: %s", strerror(errno));
		return;
	}
	int64_t worst = slowest_sync(fd);
	fd_close(fd);
	unlinkat(c->dir, name, 0);
	if (worst < 0)
		report(c, BAD, "fsync", "fails: %s", strerror(errno));
	else
		report(c, worst > FSYNC_SLOW ? POOR : GOOD, "fsync", "%.1f ms, the slowest of %d",
			(double)worst / 1000, FSYNC_ROUNDS);
}

/* --- the directory ------------------------------------------------------------------------- */

static void
check_private(struct check *c, int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, 0) < 0)
		report(c, BAD, "file", "%s: %s", name, strerror(errno));
	else if ((st.st_mode & 077) != 0)
		report(c, BAD, "file", "%s: others may use it (mode %03o); chmod go= it", name,
			(unsigned)st.st_mode & 0777);
	else if (st.st_uid != geteuid() && st.st_uid != 0)
		report(c, BAD, "file", "%s belongs to another user", name);
	else
		report(c, GOOD, "file", "%s is private", name);
}

static void
check_files(struct check *c)
{
	static const char *const names[] = {".", "relay.conf", "ca.key", "relay.key", "relay.db"};
	const char *master = c->options->master_key;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_private(c, c->dir, names[i]);
	/* One that the command line names lies where the shell says, not in the directory. */
	check_private(c, master != NULL ? AT_FDCWD : c->dir,
		master != NULL ? master : c->config.master_key);
}

/* Who takes the directory would have the ledger, and what a restored one is told from it by. */
static void
check_recovery(struct check *c)
{
	struct stat st;

	if (fstatat(c->dir, LEDGER_RECOVERY_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		report(c, POOR, "file",
			"%s lies beside the ledger that it is to recover: move it off this machine",
			LEDGER_RECOVERY_FILE);
}

static int64_t
not_after(X509 *cert)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * USEC_PER_SEC;
}

static void
check_cert(struct check *c, const char *name)
{
	struct hw_err err = HW_ERR_INIT;
	char text[RFC3339_LEN + 1];
	X509 *cert = NULL;

	if (cert_load(&cert, c->dir, name, &err) < 0) {
		report(c, BAD, "certificate", "%s", hw_err_text(&err));
		return;
	}
	int64_t end = not_after(cert), now = clock_wall(&hw_clock_system);
	X509_free(cert);
	rfc3339_format(text, end);
	text[10] = '\0'; /* the day will do */
	report(c,
		now >= end			 ? BAD
			: now + CERT_SOON >= end ? POOR
						 : GOOD,
		"certificate", "%s is good until %s", name, text);
}

/* Laid ready by rotate-keys; a relay that runs takes it at once. */
static void
check_key(struct check *c)
{
	if (own_key_waits(c->dir))
		report(c, POOR, "key",
			"another key of the relay lies in " OWN_KEY_NEXT
			": it is taken with the next hawser-relay reload, or start");
}

/* A second authority whose certificates count is one more that could be stolen. */
static void
check_authority(struct check *c)
{
	struct succession s;
	X509 *before = NULL;

	if (faccessat(c->dir, CA_BEFORE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (cert_load(&before, c->dir, CA_BEFORE, NULL) == 0 &&
		succession_read(&s, before, NULL) == 0)
		report(c, POOR, "authority",
			"certificates by authority %u still count beside those by the next: when all "
			"nodes have renewed theirs, retire it with rotate-keys --what ca --retire",
			s.number);
	else
		report(c, BAD, "authority", "%s is no authority's certificate", CA_BEFORE);
	X509_free(before);
}

int
cli_check(const struct cli_options *o)
{
	struct check c = {.options = o, .dir = -1};
	struct hw_err err = HW_ERR_INIT;
	bool root;
	int r;

	if ((r = process_become_owner(o->dir, &root, &err)) < 0 ||
		(r = dir_open(&c.dir, o->dir, false, &err)) < 0)
		return cli_fail(&err);
	if ((r = relay_config_load(&c.config, c.dir, &err)) < 0) {
		fd_close(c.dir);
		return cli_fail(&err);
	}
	check_port(&c);
	check_clock(&c);
	check_disk(&c);
	check_descriptors(&c);
	check_sync(&c);
	check_files(&c);
	check_recovery(&c);
	check_cert(&c, "relay.crt");
	check_key(&c);
	check_cert(&c, "ca.crt");
	check_authority(&c);
	fd_close(c.dir);
	return c.failed ? EXIT_FAILED : EXIT_OK;
}
