/* hawser-relay rotate-key: another master key. */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "relay/cli/cli.h"
#include "relay/core/rekey.h"

static void
say(void *arg, const char *what)
{
	(void)arg;
	fprintf(stderr, "hawser-relay: %s\n", what);
}

/* Who asked, before the process became the directory's owner. */
static void
find_user(char out[65])
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw != NULL)
		snprintf(out, 65, "%.64s", pw->pw_name);
	else
		snprintf(out, 65, "user %u", (unsigned)getuid());
}

int
cli_rotate_key(const struct cli_options *o)
{
	char user[65];
	const struct rekey_options options = {
		.dir = o->dir, .master_key = o->master_key, .user = user, .say = say};
	struct hw_err err = HW_ERR_INIT;
	bool root;

	find_user(user);
	process_harden();
	if (process_become_owner(o->dir, &root, &err) < 0 || rekey_run(&options, &err) < 0)
		return cli_fail(&err);
	fprintf(stderr,
		"hawser-relay: the master key is another one: keep a copy of it apart, and destroy the "
		"copies of the old one\n"
		"hawser-relay: backups from before need the old one; start the relay again\n");
	return EXIT_OK;
}
