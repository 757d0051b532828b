/* hawser-relay rotate-key: another master key. */
#include <stdio.h>

#include "relay/cli/cli.h"
#include "relay/core/rekey.h"

static void
say(void *arg, const char *what)
{
	(void)arg;
	fprintf(stderr, "hawser-relay: %s\n", what);
}

int
cli_rotate_key(const struct cli_options *o)
{
	char user[65];
	const struct rekey_options options = {
		.dir = o->dir, .master_key = o->master_key, .user = user, .say = say};
	struct hw_err err = HW_ERR_INIT;
	bool root;

	process_user(user);
	process_harden();
	if (process_become_owner(o->dir, &root, &err) < 0 || rekey_run(&options, &err) < 0)
		return cli_fail(&err);
	fprintf(stderr,
		"hawser-relay: the master key is another one: keep a copy of it apart, and destroy the "
		"copies of the old one\n"
		"hawser-relay: backups from before need the old one; start the relay again\n");
	return EXIT_OK;
}
