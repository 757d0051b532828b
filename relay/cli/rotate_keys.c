/* hawser-relay rotate-keys: another one of the relay's keys, whichever is named. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "relay/cli/admin_call.h"
#include "relay/cli/cli.h"
#include "relay/core/new_ca.h"
#include "relay/core/own_key.h"

/* --- tls -----------------------------------------------------------------------------------------
 */

static int
make_key(const char *path, struct hw_err *err)
{
	int dir, r = dir_open(&dir, path, false, err);

	if (r < 0)
		return r;
	r = own_key_make(dir, err);
	fd_close(dir);
	return r;
}

static bool
still_waits(const char *path)
{
	int dir;

	if (dir_open(&dir, path, false, NULL) < 0)
		return false;
	bool waits = own_key_waits(dir);
	fd_close(dir);
	return waits;
}

/* That its certificate is the same means that somebody else asks for a key, too: either the relay
 * had ours already, or it lies there until they ask. */
static int
has_taken(const struct cli_options *o, const struct msg_reload_relay_reply *rep)
{
	char when[RFC3339_LEN + 1];

	if (!rep->certificate && still_waits(o->dir)) {
		fprintf(stderr,
			"hawser-relay: the new key lies in %s/" OWN_KEY_NEXT
			", and is not taken yet: hawser-relay reload --dir %s\n",
			o->dir, o->dir);
		return EXIT_FAILED;
	}
	rfc3339_format(when, rep->expires);
	printf("the relay has another key, and shows a certificate for it, until %s\n", when);
	return EXIT_OK;
}

/* The key lies ready from here on; the relay takes it now, or when it starts. */
static int
rotate_tls(const struct cli_options *o)
{
	static const struct msg_empty nothing;
	struct hw_err err = HW_ERR_INIT;
	struct admin *admin = NULL;
	void *rep;
	bool root;

	process_harden();
	int r = process_become_owner(o->dir, &root, &err);
	if (r < 0 || (r = make_key(o->dir, &err)) < 0)
		return cli_fail(&err);
	if (admin_open(&admin, o->dir, &err) == HW_EUNAVAILABLE) {
		puts("the relay does not run: it takes its new key when it starts");
		return EXIT_OK;
	}
	if (admin == NULL || admin_ask(&rep, admin, OP_reload_relay, &nothing, &err) < 0) {
		admin_close(admin);
		hw_err_prefix(&err, "the new key is not taken before the next reload or start");
		return cli_fail(&err);
	}
	int status = has_taken(o, rep);
	admin_close(admin);
	return status;
}

/* --- ca ------------------------------------------------------------------------------------------
 */

static int
begin_ca(const struct cli_options *o, const char *who)
{
	struct hw_err err = HW_ERR_INIT;
	struct new_ca made;

	if (new_ca_make(&made, o->dir, who, &err) < 0)
		return cli_fail(&err);
	printf("authority %u issues all certificates from now on; those by authority %u still count\n"
	       "the relay's URL is %s\n",
		made.number, made.before, made.url);
	fflush(stdout);
	fprintf(stderr,
		"hawser-relay: start the relay again: nodes and users renew with their next connection; "
		"where a ca.crt was handed out, replace it\n"
		"hawser-relay: make a backup then, and keep none from before: a relay restored from one "
		"is strange to nodes that know authority %u\n"
		"hawser-relay: when all have renewed, stop it and say rotate-keys --what ca --retire\n",
		made.number);
	return EXIT_OK;
}

static void
name_nodes(const struct new_ca *ca)
{
	uint64_t named = ca->behind < NEW_CA_NAMES ? ca->behind : NEW_CA_NAMES;

	fprintf(stderr, "hawser-relay: they are ");
	for (uint64_t i = 0; i < named; i++)
		fprintf(stderr, "%s%s", i > 0 ? ", " : "", ca->names[i]);
	if (ca->behind > named)
		fprintf(stderr, " and %" PRIu64 " more", ca->behind - named);
	fprintf(stderr,
		"; a node renews when it connects, and is gone when it was removed: start the relay and "
		"wait for them, or say --force, after which they have to join again\n");
}

static int
retire_ca(const struct cli_options *o, const char *who)
{
	struct hw_err err = HW_ERR_INIT;
	struct new_ca done;
	int r = new_ca_retire(&done, o->dir, who, o->force, &err);

	if (r < 0) {
		cli_fail(&err);
		if (r == HW_ECONFLICT)
			name_nodes(&done);
		return EXIT_FAILED;
	}
	printf("authority %u is retired: only certificates by authority %u count\n", done.before,
		done.number);
	fflush(stdout);
	if (done.behind > 0)
		fprintf(stderr,
			"hawser-relay: %" PRIu64 " nodes have to join again, with the URL %s\n",
			done.behind, done.url);
	fprintf(stderr,
		"hawser-relay: start the relay again; who has not used hawser since authority %u began "
		"needs a new invite\n"
		"hawser-relay: make a backup then, and keep none from before: restored, it would let "
		"authority %u count again\n",
		done.number, done.before);
	return EXIT_OK;
}

static int
rotate_ca(const struct cli_options *o)
{
	struct hw_err err = HW_ERR_INIT;
	char who[65];
	bool root;

	process_user(who);
	process_harden();
	if (process_become_owner(o->dir, &root, &err) < 0)
		return cli_fail(&err);
	return o->retire ? retire_ca(o, who) : begin_ca(o, who);
}

/* --- whichever ---------------------------------------------------------------------------------
 */

static const struct kind {
	const char *what;
	int (*call)(const struct cli_options *o);
	bool master_key, recovery_key, retire; /* the options that it takes */
} kinds[] = {
	{"tls",	rotate_tls,	    false, false, false},
	{"master", cli_rotate_key, true,	 false, false},
	{"ledger", cli_rotate,     false, true,  false},
	{"ca",     rotate_ca,	  false, false, true },
};

static int
bad_usage(const char *what, const char *which)
{
	fprintf(stderr, "hawser-relay: %s%s; see hawser-relay rotate-keys --help\n", what, which);
	return EXIT_USAGE;
}

int
cli_rotate_keys(const struct cli_options *o)
{
	if (o->what == NULL)
		return bad_usage("--what is missing: tls, master, ledger or ca", "");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];
		if (strcmp(k->what, o->what) != 0)
			continue;
		if (o->master_key != NULL && !k->master_key)
			return bad_usage("--master-key does not go with --what ", k->what);
		if (o->recovery_key != NULL && !k->recovery_key)
			return bad_usage("--recovery-key does not go with --what ", k->what);
		if (o->retire && !k->retire)
			return bad_usage("--retire does not go with --what ", k->what);
		if (o->force && !o->retire)
			return bad_usage("--force goes with --retire alone", "");
		return k->call(o);
	}
	return bad_usage("--what is tls, master, ledger or ca, and not ", o->what);
}
