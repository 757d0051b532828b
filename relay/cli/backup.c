/* hawser-relay backup: all that a relay is, of one moment, in one sealed file; it need not stand
 * still. */
#include <sys/prctl.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"
#include "relay/cli/admin_call.h"
#include "relay/cli/backup.h"
#include "relay/cli/cli.h"
#include "relay/core/config.h"
#include "relay/core/new_ca.h"
#include "relay/core/pack.h"
#include "relay/core/snapshot.h"
#include "relay/store/store.h"

#define READERS_FILE   "backup.pub"
#define LIST_MAX       (256 << 20)
#define PATIENCE_S     3600 /* a large store takes its time */
#define PASSPHRASE_MAX 1024

/* A file that goes into the backup. */
struct item {
	int from; /* directory */
	uint64_t size;
	char *name;
};

struct backup {
	const struct cli_options *options;
	int dir, shot, lock, own; /* own: the lock that a running relay has; -1: it has it */
	struct relay_config config;
	struct box_readers readers;
	char passphrase[PASSPHRASE_MAX];
	bool has_passphrase;
	struct snapshot moment;
	struct item *items;
	size_t n, room;
	uint64_t total;
	struct progress progress;
};

/* --- whom it is sealed to ----------------------------------------------------------------------
 */

static int
read_readers(struct backup *b, int at, const char *path, struct hw_err *err)
{
	struct buf text;
	int r;

	buf_init(&text, 64 * 1024);
	if ((r = file_read(&text, at, path, err)) == 0) {
		const char *lines = buf_str(&text);
		r = lines != NULL ? auditor_list_parse(&b->readers, lines, err) : HW_ENOMEM;
		if (r < 0)
			hw_err_prefix(err, "%s", path);
		else if (b->readers.n == 0)
			r = hw_err_set(err, HW_EVALIDATION, "%s holds no key", path);
	}
	buf_fini(&text);
	return r;
}

/* What the caller names is read as the caller. */
static int
read_named(struct backup *b, struct hw_err *err)
{
	const struct cli_options *o = b->options;
	int r = 0;

	if (o->passphrase_file != NULL) {
		r = secret_text_load(b->passphrase, sizeof(b->passphrase), o->passphrase_file, err);
		b->has_passphrase = r == 0;
	}
	return r == 0 && o->to != NULL ? read_readers(b, AT_FDCWD, o->to, err) : r;
}

static int
find_readers(struct backup *b, struct hw_err *err)
{
	int r;

	if (b->readers.n > 0 || b->has_passphrase)
		return 0;
	r = read_readers(b, b->dir, READERS_FILE, err);
	return r != HW_ENOTFOUND
		? r
		: hw_err_set(err, HW_EUSAGE,
			  "a backup holds the fleet's keys, and is always sealed: say --to FILE with a "
			  "public key of hawser audit keygen, or --passphrase-file FILE, or put the "
			  "key into %s/" READERS_FILE,
			  b->options->dir);
}

/* --- what goes in ------------------------------------------------------------------------------
 */

/* What could not be restored is told of now, and not on the day when the machine is gone. */
static int
check_name(const struct backup *b, const char *name, struct hw_err *err)
{
	char shown[PACK_NAME_MAX + 1];
	size_t n = 0;

	if (pack_name_valid(name))
		return 0;
	for (; name[n] != '\0' && n < PACK_NAME_MAX; n++)
		shown[n] = name[n] >= ' ' && name[n] <= '~' ? name[n] : '?';
	shown[n] = '\0';
	return hw_err_set(err, HW_EVALIDATION,
		"%s holds \"%s\", and a backup takes no name with blanks or other than ASCII "
		"characters: rename it, or move it away",
		b->options->dir, shown);
}

static int
add_item(struct backup *b, int from, const char *name, uint64_t size, struct hw_err *err)
{
	int r = check_name(b, name, err);

	if (r < 0)
		return r;
	if (b->n == b->room) {
		size_t room = b->room > 0 ? 2 * b->room : 256;
		struct item *items = realloc(b->items, room * sizeof(*items));
		if (items == NULL)
			return hw_err_set(err, HW_ENOMEM, "no memory for the list of files");
		b->items = items;
		b->room = room;
	}
	char *copy = strdup(name);
	if (copy == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the list of files");
	b->items[b->n++] = (struct item){.from = from, .size = size, .name = copy};
	b->total += size;
	return 0;
}

static bool
starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* What only means something to a process that runs, or stands in the snapshot already. */
static bool
is_transient(const char *name)
{
	static const char *const names[] = {
		"lock", "backup.lock", "relay.db", "relay.db-wal", "relay.db-shm", "restored"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return starts_with(name, ".tmp-");
}

/* The master key when it lies elsewhere; else NULL. */
static const char *
key_elsewhere(const struct backup *b)
{
	if (b->options->master_key != NULL)
		return b->options->master_key;
	return b->config.master_key[0] == '/' ? b->config.master_key : NULL;
}

/* Regular files of a folder under the relay's directory; `folder` is "" for itself. */
static int
add_folder(struct backup *b, const char *folder, int depth, struct hw_err *err)
{
	int fd = openat(b->dir, *folder != '\0' ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	char name[PACK_NAME_MAX + 1];
	const struct dirent *e;
	struct stat st;
	int r = 0;

	if (d == NULL) {
		r = errno == ENOENT ? 0
				    : hw_err_sys(err, "cannot list %s/%s", b->options->dir, folder);
		fd_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' && (e->d_name[1] == '\0' || e->d_name[1] == '.'))
			continue;
		if (snprintf(name, sizeof(name), "%s%s%s", folder, *folder != '\0' ? "/" : "",
			    e->d_name) >= (int)sizeof(name) ||
			fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* it has gone */
		if (S_ISDIR(st.st_mode) && depth > 0)
			r = add_folder(b, name, depth - 1, err);
		else if (S_ISREG(st.st_mode) && !is_transient(e->d_name) &&
			(key_elsewhere(b) == NULL || strcmp(name, "master.key") != 0))
			r = add_item(b, b->dir, name, (uint64_t)st.st_size, err);
	}
	closedir(d);
	return r;
}

static bool
is_left_out(const struct backup *b, const char *name)
{
	size_t n = strlen(name);

	return b->options->without_recordings && starts_with(name, "recordings/") && n > 4 &&
		strcmp(name + n - 4, ".rec") == 0;
}

static int
add_snapshot(struct backup *b, struct hw_err *err)
{
	struct buf list;
	int r;

	buf_init(&list, LIST_MAX);
	if ((r = file_read(&list, b->shot, SNAPSHOT_LIST, err)) == 0) {
		char *all = (char *)(uintptr_t)buf_str(&list), *line, *end;
		if (all == NULL)
			r = hw_err_set(err, HW_ENOMEM, "no memory for the list of files");
		while (r == 0 && (line = strsep(&all, "\n")) != NULL && *line != '\0') {
			uint64_t size = strtoull(line, &end, 10);
			if (*end != ' ')
				r = hw_err_set(err, HW_ECORRUPT, "the list of files is damaged");
			else if (!is_left_out(b, end + 1))
				r = add_item(b, b->shot, end + 1, size, err);
		}
	}
	buf_fini(&list);
	return r;
}

/* It belongs to the backup all the same, as it does in a folder of its own. */
static int
add_master_key(struct backup *b, struct hw_err *err)
{
	const char *path = key_elsewhere(b), *own = b->config.master_key;
	struct stat st;

	if (path == NULL && strchr(own, '/') == NULL)
		return 0;
	if (path == NULL)
		return fstatat(b->dir, own, &st, 0) < 0
			? hw_err_sys(err, "cannot look at the master key %s", own)
			: add_item(b, b->dir, own, (uint64_t)st.st_size, err);
	if (stat(path, &st) < 0)
		return hw_err_sys(err, "cannot look at the master key %s", path);
	return add_item(b, -1, "master.key", (uint64_t)st.st_size, err);
}

static int
gather(struct backup *b, struct hw_err *err)
{
	int r;

	if ((r = add_folder(b, "", 0, err)) < 0 || (r = add_master_key(b, err)) < 0 ||
		(r = add_folder(b, "commands", 1, err)) < 0)
		return r;
	return add_snapshot(b, err);
}

/* --- the moment --------------------------------------------------------------------------------
 */

static int
ask_relay(struct backup *b, struct hw_err *err)
{
	static const struct msg_empty nothing;
	struct msg_begin_backup_reply *rep;
	struct admin *admin = NULL;
	int r = admin_open(&admin, b->options->dir, err);

	if (r == 0) {
		admin_patience(admin, PATIENCE_S);
		r = admin_ask((void **)&rep, admin, OP_begin_backup, &nothing, err);
	}
	if (r == 0)
		b->moment = (struct snapshot){rep->time, (uint64_t)rep->entries};
	admin_close(admin);
	return r;
}

static int
take_stopped(struct backup *b, struct hw_err *err)
{
	struct snapshot_source source = {.dir = b->options->dir, .clock = &hw_clock_system};
	char path[2048];
	int r;

	snprintf(path, sizeof(path), "%s/relay.db", b->options->dir);
	const struct store_config sc = {.path = path, .clock = &hw_clock_system, .readers = 1};
	if ((r = store_open(&source.store, &sc, err)) == 0)
		r = snapshot_make(&b->moment, &source, err);
	store_close(source.store);
	return r;
}

/* A relay that runs has the lock; one that stands still must go on doing so. */
static int
take_moment(struct backup *b, struct hw_err *err)
{
	int r = file_lock(&b->own, b->dir, "lock", err);
	bool taken;

	if (r == HW_EEXISTS)
		r = ask_relay(b, err);
	else if (r == 0 && (r = new_ca_settle(&taken, b->dir, err)) == 0)
		r = take_stopped(b, err);
	if (r < 0)
		return r;
	b->shot = openat(b->dir, SNAPSHOT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->shot >= 0 ? 0 : hw_err_sys(err, "cannot open " SNAPSHOT_DIR);
}

/* --- writing -----------------------------------------------------------------------------------
 */

static int
write_item(struct backup *b, struct pack_out *pack, const struct item *item, struct hw_err *err)
{
	struct stat st;
	int fd = item->from >= 0 ? openat(item->from, item->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
				 : open(key_elsewhere(b), O_RDONLY | O_CLOEXEC);

	/* Output of commands goes when its time has come. */
	if (fd < 0 && errno == ENOENT && starts_with(item->name, "commands/"))
		return 0;
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", item->name);
	/* What does not stand still in the snapshot is taken as it is now. */
	uint64_t size = item->size;
	if (item->from != b->shot)
		size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	int r = pack_out_file(pack, item->name, fd, size, progress_step, &b->progress, err);
	fd_close(fd);
	if (r == 0 && progress_stopped(&b->progress))
		r = hw_err_set(err, HW_ECLOSED, "stopped; nothing was kept");
	return r;
}

static int
write_pack(struct backup *b, int fd, struct hw_err *err)
{
	struct pack_out *pack = NULL;
	char fleet[CERT_FLEET_LEN + 1] = "", about[512];
	X509 *ca = NULL;
	int r;

	if ((r = cert_load(&ca, b->dir, "ca.crt", err)) == 0)
		r = cert_fleet(fleet, ca, err);
	X509_free(ca);
	if (r < 0 ||
		(r = pack_out_open(&pack, fd, &b->readers, b->has_passphrase ? b->passphrase : NULL,
			 err)) < 0)
		return r;
	progress_begin(&b->progress, b->total);
	for (size_t i = 0; r == 0 && i < b->n; i++)
		r = write_item(b, pack, &b->items[i], err);
	progress_end(&b->progress);
	snprintf(about, sizeof(about),
		"format %d\nversion " HAWSER_VERSION "\nfleet %s\nrelay %s\ntime %" PRId64
		"\nentries %" PRIu64 "\n",
		PACK_FORMAT, fleet, b->config.name, b->moment.time, b->moment.entries);
	if (r == 0)
		r = pack_out_end(pack, about, err);
	pack_out_close(pack);
	return r;
}

/* --- the file it becomes -----------------------------------------------------------------------
 */

struct target {
	const char *path;
	int fd, folder;
	bool is_named; /* by its passing name */
	char passing[2100];
};

/* Without a name until it is whole, where the file system knows such files. */
static int
target_open(struct target *t, const char *path, struct hw_err *err)
{
	const char *slash = strrchr(path, '/');
	char folder[2048];
	int r;

	*t = (struct target){.path = path, .fd = STDOUT_FILENO, .folder = -1};
	if (strcmp(path, "-") == 0)
		return 0;
	t->fd = -1;
	snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
		slash == NULL ? "." : path);
	snprintf(t->passing, sizeof(t->passing), "%s.tmp-%d", path, (int)getpid());
	if ((r = dir_open(&t->folder, folder, false, err)) < 0)
		return r;
	t->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (t->fd < 0) {
		t->fd = open(t->passing, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		t->is_named = t->fd >= 0;
	}
	return t->fd >= 0 ? 0 : hw_err_sys(err, "cannot make %s", path);
}

static int
target_name(struct target *t, struct hw_err *err)
{
	char self[64];

	if (t->folder < 0)
		return 0;
	if (fsync(t->fd) < 0)
		return hw_err_sys(err, "cannot sync %s", t->path);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
	if (!t->is_named && linkat(AT_FDCWD, self, AT_FDCWD, t->passing, AT_SYMLINK_FOLLOW) < 0)
		return hw_err_sys(err, "cannot name %s", t->passing);
	t->is_named = true;
	if (rename(t->passing, t->path) < 0)
		return hw_err_sys(err, "cannot put %s in its place", t->path);
	t->is_named = false;
	return fsync(t->folder) < 0 ? hw_err_sys(err, "cannot sync the folder of %s", t->path) : 0;
}

static void
target_close(struct target *t)
{
	if (t->is_named)
		(void)unlink(t->passing);
	if (t->fd != STDOUT_FILENO)
		fd_close(t->fd);
	fd_close(t->folder);
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static void
say_done(const struct backup *b)
{
	char when[RFC3339_LEN + 1], size[32];

	rfc3339_format(when, b->moment.time);
	progress_size(size, sizeof(size), b->total);
	fprintf(stderr,
		"hawser-relay: %zu files, %s, of %s, when the ledger had %" PRIu64 " entries\n",
		b->n, size, when, b->moment.entries);
	if (b->options->without_recordings)
		fprintf(stderr,
			"hawser-relay: without complete recordings: copy %s/recordings/*.rec beside "
			"it, and put them back after restore\n",
			b->options->dir);
	if (faccessat(b->dir, "recovery.key", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		fprintf(stderr,
			"hawser-relay: recovery.key still lies in %s, and so in this backup: keep it "
			"off this machine\n",
			b->options->dir);
}

static int
make_backup(struct backup *b, int to, struct hw_err *err)
{
	int r;

	if ((r = dir_open(&b->dir, b->options->dir, false, err)) < 0 ||
		(r = relay_config_load(&b->config, b->dir, err)) < 0 ||
		(r = find_readers(b, err)) < 0)
		return r;
	if ((r = file_lock(&b->lock, b->dir, "backup.lock", err)) < 0)
		return r == HW_EEXISTS
			? hw_err_set(err, r, "another backup of %s is being made", b->options->dir)
			: r;
	if ((r = take_moment(b, err)) == 0 && (r = gather(b, err)) == 0)
		r = write_pack(b, to, err);
	snapshot_drop(b->options->dir);
	return r;
}

static void
backup_fini(struct backup *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->items[i].name);
	free(b->items);
	OPENSSL_cleanse(b->passphrase, sizeof(b->passphrase));
	fd_close(b->shot);
	fd_close(b->own);
	fd_close(b->lock);
	fd_close(b->dir);
}

/* Says how it went, and returns what to exit with. */
static int
make_and_say(struct backup *b, int to)
{
	struct hw_err err = HW_ERR_INIT;

	if (make_backup(b, to, &err) < 0)
		return cli_fail(&err);
	say_done(b);
	return EXIT_OK;
}

/* Never returns. When root's half is ended, so is this one, in order. */
static void
work_as_owner(struct backup *b, int to, pid_t parent)
{
	struct hw_err err = HW_ERR_INIT;
	bool root;
	int code =
		process_become_owner(b->options->dir, &root, &err) < 0 ? cli_fail(&err) : EXIT_OK;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (code == EXIT_OK && getppid() == parent)
		code = make_and_say(b, to);
	backup_fini(b);
	fflush(stderr);
	_exit(code);
}

/* The relay's directory is its user's, who can put a link in the place of each path in it: root
 * looks at none of them, but leaves that to a process that is that user. */
static int
make_as_owner(struct backup *b, int to)
{
	struct hw_err err = HW_ERR_INIT;
	pid_t self = getpid(), child;
	struct stat st;

	if (geteuid() != 0 || stat(b->options->dir, &st) < 0 || st.st_uid == 0)
		return make_and_say(b, to);
	if ((child = progress_fork()) == 0)
		work_as_owner(b, to, self);
	if (child < 0) {
		hw_err_sys(&err, "cannot start a process");
		return cli_fail(&err);
	}
	int code = progress_wait(child);
	return code >= 0 ? code : EXIT_FAILED;
}

int
cli_backup(const struct cli_options *o)
{
	struct backup b = {.options = o, .dir = -1, .shot = -1, .lock = -1, .own = -1};
	struct hw_err err = HW_ERR_INIT;
	struct target target = {.fd = -1, .folder = -1};

	if (o->n_operands != 1) {
		fprintf(stderr, "hawser-relay: say where to: FILE, or - for stdout\n");
		return EXIT_USAGE;
	}
	if (strcmp(o->operands[0], "-") == 0 && isatty(STDOUT_FILENO)) {
		fprintf(stderr,
			"hawser-relay: a backup is nothing for a terminal: "
			"say a FILE, or lead stdout elsewhere\n");
		return EXIT_USAGE;
	}
	process_harden();
	progress_catch_signals();
	int code = EXIT_OK;
	if (read_named(&b, &err) < 0 || target_open(&target, o->operands[0], &err) < 0)
		code = cli_fail(&err);
	if (code == EXIT_OK)
		code = make_as_owner(&b, target.fd);
	if (code == EXIT_OK && target_name(&target, &err) < 0)
		code = cli_fail(&err);
	target_close(&target);
	backup_fini(&b);
	return code;
}
