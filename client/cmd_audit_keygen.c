/* hawser audit keygen: the auditors' key, made where it is used. */
#include <openssl/crypto.h>

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/cmd_audit.h"
#include "client/commands.h"
#include "client/passphrase.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/trust/auditor_key.h"

const char *
audit_key_path(struct client *c, const struct input *in, size_t i, struct hw_err *err)
{
	const char *given = input_nth(in, "key", i);

	if (given != NULL || i > 0)
		return given;
	if (home_find(&c->home, c->home_dir, err) < 0)
		return NULL;
	return arena_printf(c->arena, "%s/auditor.key", c->home.path);
}

/* The line that belongs into the relay's auditors.pub. */
static int
show_public(struct client *c, const struct auditor_key *key, const char *path, struct hw_err *err)
{
	char hex[2 * BOX_KEY_LEN + 1], id[2 * BOX_ID_LEN + 1];

	hex_encode(hex, key->pub, BOX_KEY_LEN);
	box_key_id(id, key->pub);
	client_say(c, "the key %s is in %s: keep a copy, nothing else opens what is sealed to it",
		id, path);
	client_say(c,
		"put the line below into auditors.pub in the relay's directory, and start "
		"the relay again: sessions survive that");
	const char *line = arena_printf(c->arena, "%s auditor %s\n", hex, id);
	return line != NULL ? output_bytes(line, strlen(line), err)
			    : hw_err_set(err, HW_ENOMEM, "out of memory");
}

static int
make(struct client *c, const char *path, const char *passphrase, struct hw_err *err)
{
	struct auditor_key key;
	int r;

	if ((r = auditor_key_make(&key, err)) == 0 &&
		(r = auditor_key_save(&key, path, passphrase, err)) == 0)
		r = show_public(c, &key, path, err);
	auditor_key_wipe(&key);
	return r;
}

static int
run_keygen(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *path = audit_key_path(c, in, 0, err);
	char passphrase[PASSPHRASE_MAX] = "";
	int r = 0, dir = -1;

	if (path == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (access(path, F_OK) == 0)
		return hw_err_set(err, HW_EEXISTS,
			"%s exists already and is not replaced: --key names another file", path);
	if (!input_has(in, "key"))
		r = dir_open(&dir, c->home.path, true, err);
	fd_close(dir);
	if (r == 0 && isatty(STDIN_FILENO) && !input_has(in, "no-passphrase"))
		r = passphrase_choose(passphrase, err);
	if (r == 0)
		r = make(c, path, passphrase, err);
	OPENSSL_cleanse(passphrase, sizeof(passphrase));
	return r;
}

static const struct option_row options[] = {
	{"key",	'k', "FILE", "the private key's file (HOME/auditor.key)"},
	{"no-passphrase", 0, NULL, "don't ask for one; nor is it without a terminal"},
	{0	  },
};

const struct command cmd_audit_keygen = {
	.name = "audit keygen",
	.wary = true,
	.operands = "",
	.summary = "Make the auditors' key, to which hidden input is sealed.",
	.about = "  On an auditor's machine: the private half stays in FILE, 0600, and only the\n"
		 "  public one, a line on stdout, goes to the relay. Needs no relay.",
	.examples = {"hawser audit keygen > auditors.pub",
		     "hawser audit keygen --key 2027.key >> auditors.pub"},
	.options = options,
	.run = run_keygen,
};
