/* hawser-relay restore: a relay from its backup, and what is to be done then. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "relay/cli/backup.h"
#include "relay/cli/cli.h"
#include "relay/core/pack.h"
#include "relay/core/restore.h"

#define PASSPHRASE_MAX 1024

/* The passphrase is the key's when there is a key, else the backup's own. */
static int
unlock(struct pack_in *pack, const struct cli_options *o, struct hw_err *err)
{
	char passphrase[PASSPHRASE_MAX] = "";
	struct auditor_key key;
	int r = 0;

	if (o->key == NULL && o->passphrase_file == NULL)
		return hw_err_set(err, HW_EUSAGE,
			"say --key FILE, with the private key that the backup is sealed to, or "
			"--passphrase-file FILE");
	if (o->passphrase_file != NULL)
		r = secret_text_load(passphrase, sizeof(passphrase), o->passphrase_file, err);
	if (r == 0 && o->key == NULL)
		r = pack_in_unlock_with(pack, passphrase, err);
	if (r == 0 && o->key != NULL && (r = auditor_key_load(&key, o->key, err)) == 0) {
		if (key.locked && o->passphrase_file == NULL)
			r = hw_err_set(err, HW_EUSAGE,
				"%s is locked: say --passphrase-file FILE as well", o->key);
		else if ((r = auditor_key_unlock(&key, passphrase, err)) == 0)
			r = pack_in_unlock(pack, &key, err);
		auditor_key_wipe(&key);
	}
	OPENSSL_cleanse(passphrase, sizeof(passphrase));
	return r;
}

static void
say_about(const struct restore *done, const char *what)
{
	char when[RFC3339_LEN + 1], size[32];

	rfc3339_format(when, done->about.time);
	progress_size(size, sizeof(size), done->bytes);
	fprintf(stderr,
		"hawser-relay: %s: %" PRIu64
		" files, %s, of relay %s (fleet %s), made %s by version "
		"%s, when its ledger had %" PRIu64 " entries\n",
		what, done->files, size, done->about.relay, done->about.fleet, when,
		done->about.version, done->about.entries);
}

/* It is a backup's word, which is shown for a shell to be given. */
static bool
is_plain(const char *path)
{
	return strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") ==
		strlen(path);
}

/* The nodes have seen more of the ledger than there is now: without a word of the recovery key each
 * of them calls it a rollback, and is right. */
static void
say_next(const struct cli_options *o, const struct restore *done)
{
	const char *key = done->recovery_key ? "recovery.key" : NULL;
	int step = 1;

	fprintf(stderr, "hawser-relay: what happened after that is lost. Now:\n");
	if (!is_plain(done->master_key))
		fprintf(stderr,
			"  %d. the master key, %s/master.key, belongs where relay.conf says\n",
			step++, o->dir);
	else if (done->master_key[0] != '\0')
		fprintf(stderr,
			"  %d. the master key belongs at %s, as relay.conf says:\n"
			"       mv %s/master.key %s\n",
			step++, done->master_key, o->dir, done->master_key);
	fprintf(stderr,
		"  %d. nodes have seen a longer ledger, and will say so. Tell them with the recovery "
		"key that\n     it was restored, before it starts:\n"
		"       hawser-relay recover --dir %s --recovery-key %s%s%s\n",
		step++, o->dir, key != NULL ? o->dir : "FILE", key != NULL ? "/" : "",
		key != NULL ? key : "");
	fprintf(stderr,
		"  %d. start the relay: nodes and users come back by themselves. Nodes and users that "
		"were\n     added later have to join or log in anew.\n"
		"  %d. see what is lost: hawser audit verify --dir %s\n",
		step, step + 1, o->dir);
}

static int
into_directory(const struct cli_options *o, struct restore *done, struct pack_in *pack,
	struct progress *p, struct hw_err *err)
{
	bool root;
	int dir, r;

	if ((r = dir_open(&dir, o->dir, true, err)) < 0)
		return r;
	r = restore_empty(dir, o->dir, err);
	fd_close(dir);
	if (r < 0 || (r = process_become_owner(o->dir, &root, err)) < 0)
		return r;
	return restore_run(done, pack, o->dir, progress_step, p, err);
}

static int
restore(const struct cli_options *o, struct restore *done, int from, struct hw_err *err)
{
	struct pack_in *pack = NULL;
	struct progress p;
	int r;

	if ((r = pack_in_open(&pack, from, err)) < 0)
		return r;
	if ((r = unlock(pack, o, err)) == 0) {
		progress_begin(&p, 0);
		r = o->verify ? restore_check(done, pack, progress_step, &p, err)
			      : into_directory(o, done, pack, &p, err);
		progress_end(&p);
	}
	pack_in_close(pack);
	return r;
}

int
cli_restore(const struct cli_options *o)
{
	struct hw_err err = HW_ERR_INIT;
	struct restore done;
	int from = STDIN_FILENO;

	if (o->n_operands != 1) {
		fprintf(stderr, "hawser-relay: say what to restore: FILE, or - for stdin\n");
		return EXIT_USAGE;
	}
	if (o->dir == NULL && !o->verify) {
		fprintf(stderr, "hawser-relay: --dir is missing; or say --verify\n");
		return EXIT_USAGE;
	}
	process_harden();
	const char *path = o->operands[0];
	if (strcmp(path, "-") != 0 && (from = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		hw_err_sys(&err, "cannot open %s", path);
		return cli_fail(&err);
	}
	int r = restore(o, &done, from, &err);
	if (from != STDIN_FILENO)
		fd_close(from);
	if (r < 0)
		return cli_fail(&err);
	say_about(&done, o->verify ? "it can be restored" : "restored");
	if (!o->verify)
		say_next(o, &done);
	return EXIT_OK;
}
