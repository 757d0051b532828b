#include "relay/core/rekey.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "audit/rewrap.h"
#include "audit/search_index.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/trust/secret.h"
#include "relay/core/config.h"
#include "relay/core/held.h"
#include "relay/core/outputs.h"
#include "relay/store/sealed.h"
#include "relay/store/store.h"

#define PATH_ROOM  2048
#define SEALED_MAX (2 * 1024 * 1024) /* a text of the store */
#define AT_ONCE	   256		     /* texts in a transaction */

struct rekey {
	const struct rekey_options *options;
	struct relay_config config;
	struct secret_key old, fresh;
	int dir, lock, backup;
	char path[PATH_ROOM], next[PATH_ROOM + 8], before[PATH_ROOM + 8];
	bool has_next; /* the old key is still in its place */

	/* of the store's transaction */
	struct sealed_text last;
	char last_id[256], last_of[256];
	bool more;
};

static void
say(const struct rekey *k, const char *what)
{
	if (k->options->say != NULL)
		k->options->say(k->options->arg, what);
}

static bool
exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
rekey_check(const char *key_path, const char *dir, struct hw_err *err)
{
	static const char *const ends[] = {".next", ".old"};
	char path[PATH_ROOM + 8];

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s", key_path, ends[i]);
		if (exists(path))
			return hw_err_set(err, HW_EUNAVAILABLE,
				"a change of the master key was cut off (%s is there): finish it with "
				"hawser-relay rotate-key --dir %s",
				path, dir);
	}
	return 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

static int
sync_folder(const char *path, struct hw_err *err)
{
	char folder[PATH_ROOM];
	const char *slash = strrchr(path, '/');

	snprintf(folder, sizeof(folder), "%.*s",
		slash == NULL		? 1
			: slash == path ? 1
					: (int)(slash - path),
		slash == NULL ? "." : path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? hw_err_sys(err, "cannot sync %s", folder) : 0;
	fd_close(fd);
	return r;
}

/* A file of a new key that a kill left unfinished is no key yet, and nothing was done with it. */
static int
load_or_make_next(struct rekey *k, struct hw_err *err)
{
	int r = secret_key_load(&k->fresh, k->next, NULL);

	if (r == HW_ECORRUPT && unlink(k->next) < 0)
		return hw_err_sys(err, "cannot remove %s", k->next);
	if (r == 0) {
		say(k, "goes on with a change that was cut off");
		return 0;
	}
	return secret_key_create(&k->fresh, k->next, err);
}

/* Where .old is and .next is not, the new key has its place already. */
static int
open_keys(struct rekey *k, struct hw_err *err)
{
	int r;

	if (exists(k->before) && !exists(k->next))
		return secret_key_load(&k->fresh, k->path, err);
	k->has_next = true;
	if ((r = secret_key_load(&k->old, k->path, err)) < 0)
		return r;
	return load_or_make_next(k, err);
}

static int
change_places(struct rekey *k, struct hw_err *err)
{
	int r;

	if (link(k->path, k->before) < 0 && errno != EEXIST)
		return hw_err_sys(err, "cannot name %s", k->before);
	if ((r = sync_folder(k->path, err)) < 0)
		return r;
	if (rename(k->next, k->path) < 0)
		return hw_err_sys(err, "cannot name %s", k->path);
	return sync_folder(k->path, err);
}

/* What the disk does with the old place of the bytes is not ours to say. */
static int
overwrite(const char *path, struct hw_err *err)
{
	static const char nothing[2 * SECRET_KEY_LEN + 1];
	int r = 0;

	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", path);
	if (write(fd, nothing, sizeof(nothing)) != (ssize_t)sizeof(nothing) || fsync(fd) < 0)
		r = hw_err_sys(err, "cannot overwrite %s", path);
	fd_close(fd);
	return r;
}

static int
forget_old(struct rekey *k, struct hw_err *err)
{
	if (unlink(k->before) < 0)
		return hw_err_sys(err, "cannot remove %s", k->before);
	return sync_folder(k->path, err);
}

/* --- files ------------------------------------------------------------------------------------ */

static void
say_skipped(void *arg, const char *name)
{
	struct rekey *k = arg;
	char text[400];

	snprintf(text, sizeof(text),
		"the recording %.200s is damaged, and no key opens it: it is left as it is", name);
	say(k, text);
}

static int
wrap_files(struct rekey *k, struct hw_err *err)
{
	char journal[PATH_ROOM], recordings[PATH_ROOM], ledger[PATH_ROOM];
	const struct rewrap_dirs dirs = {journal, recordings, ledger, say_skipped, k};
	const char *dir = k->options->dir;
	int r;

	snprintf(journal, sizeof(journal), "%s/journal", dir);
	snprintf(recordings, sizeof(recordings), "%s/recordings", dir);
	snprintf(ledger, sizeof(ledger), "%s/ledger", dir);
	say(k, "journal, recordings and ledger");
	if ((r = rewrap_all(&dirs, &k->old, &k->fresh, err)) < 0)
		return r;
	if ((r = search_index_discard(k->dir, err)) < 0)
		return r;
	say(k, "the output of commands");
	return outputs_rekey(dir, &k->old, &k->fresh, err);
}

/* --- the store -------------------------------------------------------------------------------- */

struct text_kind {
	const char *label;   /* of the key */
	const char *purpose; /* what stands before the ids */
	bool url;
};

static const struct text_kind text_kinds[SEALED_KINDS] = {
	[SEALED_ACCESS_KEY] = {"access keys",	      "access-key ",	     true },
	[SEALED_PARAMETERS] = {"commands",	   "",		       false},
	[SEALED_OUTPUT] = {"commands",	       "output ",		  false},
	[SEALED_RECORDING] = {"hawser recordings", "hawser recording ", false},
};

static void
purpose_of(char out[640], const struct sealed_text *t)
{
	snprintf(out, 640, "%s%s%s%s", text_kinds[t->kind].purpose, t->id,
		t->of[0] != '\0' ? " " : "", t->of);
}

/* The text sealed with the new key; NULL in *ret when it is already. */
static int
reseal(const char **ret, const struct rekey *k, struct arena *a, const struct sealed_text *t,
	struct hw_err *err)
{
	const struct text_kind *kind = &text_kinds[t->kind];
	size_t len = strlen(t->text), n = 0;
	struct secret_key old, fresh;
	struct buf plain, sealed;
	char purpose[640];
	int r = HW_ENOMEM;

	buf_init(&plain, SEALED_MAX);
	buf_init(&sealed, SEALED_MAX);
	secret_key_derive(&old, &k->old, kind->label);
	secret_key_derive(&fresh, &k->fresh, kind->label);
	purpose_of(purpose, t);
	*ret = NULL;
	uint8_t *bytes = arena_alloc(a, len + 1);
	char *text = arena_alloc(a, BASE64_LEN(len) + 5);
	if (bytes != NULL && text != NULL)
		r = kind->url ? base64url_decode(bytes, &n, t->text, len)
			      : base64_decode(bytes, &n, t->text, len);
	if (r == 0 && secret_open(&plain, &fresh, purpose, bytes, n) < 0 &&
		(r = secret_open(&plain, &old, purpose, bytes, n)) == 0 &&
		(r = secret_seal(&sealed, &fresh, purpose, buf_data(&plain), plain.len)) == 0) {
		(kind->url ? base64url_encode : base64_encode)(text, buf_data(&sealed), sealed.len);
		*ret = text;
	}
	secret_key_wipe(&old);
	secret_key_wipe(&fresh);
	buf_wipe(&plain);
	buf_fini(&plain);
	buf_fini(&sealed);
	return r < 0
		? hw_err_set(err, r, "the store's %s of %s cannot be opened", kind->label, t->id)
		: 0;
}

static int
reseal_one(struct rekey *k, struct db *db, struct arena *a, struct hw_err *err)
{
	struct sealed_text t;
	const char *text;
	int r = sealed_next(&t, db, a, &k->last, err);

	k->more = r == 1;
	if (r <= 0)
		return r;
	snprintf(k->last_id, sizeof(k->last_id), "%s", t.id);
	snprintf(k->last_of, sizeof(k->last_of), "%s", t.of);
	if ((r = reseal(&text, k, a, &t, err)) == 0 && text != NULL)
		r = sealed_set(db, &t, text, err);
	return r;
}

static int
reseal_some(void *arg, struct db *db, struct hw_err *err)
{
	struct rekey *k = arg;
	int r = 0;

	for (int i = 0; r == 0 && i < AT_ONCE && k->more; i++) {
		struct arena *a = arena_new(4 * SEALED_MAX);
		r = a != NULL ? reseal_one(k, db, a, err)
			      : hw_err_set(err, HW_ENOMEM, "no memory for the store");
		arena_free(a);
	}
	return r;
}

static int
reseal_store(struct rekey *k, struct hw_err *err)
{
	struct log_ctx silent;
	struct store *store = NULL;
	char path[PATH_ROOM];

	log_ctx_init(&silent, NULL);
	snprintf(path, sizeof(path), "%s/relay.db", k->options->dir);
	const struct store_config sc = {
		.path = path, .log = &silent, .clock = &hw_clock_system, .readers = 1};
	say(k, "access keys, commands, and recordings in a bucket");
	int r = store_open(&store, &sc, err);
	for (int kind = 0; r == 0 && kind < SEALED_KINDS; kind++) {
		k->last = (struct sealed_text){
			.kind = (enum sealed_kind)kind, .id = k->last_id, .of = k->last_of};
		k->last_id[0] = k->last_of[0] = '\0';
		for (k->more = true; r == 0 && k->more;)
			r = store_write(store, reseal_some, k, err);
	}
	store_close(store);
	return r;
}

/* --- the ledger ------------------------------------------------------------------------------- */

/* As a start of the relay would: in a new segment, whose key the new master key wraps. */
static int
note(struct rekey *k, struct hw_err *err)
{
	char path[PATH_ROOM], detail[128];
	struct journal *journal = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/journal", k->options->dir);
	snprintf(detail, sizeof(detail), "on the relay's machine, by %.64s", k->options->user);
	const struct journal_config jc = {
		.dir = path, .clock = &hw_clock_system, .master = &k->fresh};
	if ((r = journal_open(&journal, &jc, NULL, err)) < 0)
		return r;
	struct ledger *ledger = ledger_new(journal, k->config.name, &hw_clock_system);
	const struct msg_ledger_entry e = {.detail = detail};
	r = ledger != NULL ? ledger_commit(ledger, ENTRY_MASTER_KEY, &e) : HW_ENOMEM;
	if (r < 0)
		hw_err_set(err, r, "the ledger cannot be written");
	ledger_free(ledger);
	journal_close(journal);
	return r;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int
begin(struct rekey *k, struct hw_err *err)
{
	const struct rekey_options *o = k->options;
	int r;

	if ((r = dir_open(&k->dir, o->dir, false, err)) < 0 ||
		(r = relay_config_load(&k->config, k->dir, err)) < 0 ||
		(r = file_lock(&k->lock, k->dir, "lock", err)) < 0) {
		if (r == HW_EEXISTS)
			hw_err_set(err, r,
				"a relay is running on %s: stop it first, and start it again "
				"afterwards; sessions outlive that",
				o->dir);
		return r;
	}
	if ((r = held_from_backups(&k->backup, k->dir, o->dir, err)) < 0)
		return r;
	const char *key = o->master_key != NULL ? o->master_key : k->config.master_key;
	if (o->master_key != NULL || key[0] == '/')
		snprintf(k->path, sizeof(k->path), "%s", key);
	else
		snprintf(k->path, sizeof(k->path), "%s/%s", o->dir, key);
	snprintf(k->next, sizeof(k->next), "%s.next", k->path);
	snprintf(k->before, sizeof(k->before), "%s.old", k->path);
	return open_keys(k, err);
}

static int
run(struct rekey *k, struct hw_err *err)
{
	int r;

	if ((r = begin(k, err)) < 0)
		return r;
	if (k->has_next &&
		((r = wrap_files(k, err)) < 0 || (r = reseal_store(k, err)) < 0 ||
			(r = change_places(k, err)) < 0))
		return r;
	say(k, "the old key is overwritten");
	if ((r = overwrite(k->before, err)) < 0 || (r = note(k, err)) < 0)
		return r;
	return forget_old(k, err);
}

int
rekey_run(const struct rekey_options *o, struct hw_err *err)
{
	struct rekey *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for another master key");
	k->options = o;
	k->dir = k->lock = k->backup = -1;
	int r = run(k, err);
	secret_key_wipe(&k->old);
	secret_key_wipe(&k->fresh);
	fd_close(k->backup);
	fd_close(k->lock);
	fd_close(k->dir);
	free(k);
	return r;
}
