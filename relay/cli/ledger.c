/* The commands that tend to the ledger of a relay that is stopped. */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay/cli/cli.h"
#include "relay/core/ledger_care.h"

static struct ledger_care
care_of(const struct cli_options *o)
{
	return (struct ledger_care){.dir = o->dir, .master_key = o->master_key};
}

static int
missing(const char *what)
{
	fprintf(stderr, "hawser-relay: %s is missing\n", what);
	return EXIT_USAGE;
}

int
cli_rotate(const struct cli_options *o)
{
	const struct ledger_care care = care_of(o);
	struct hw_err err = HW_ERR_INIT;
	uint32_t epoch = 0;
	bool root;

	if (process_become_owner(o->dir, &root, &err) < 0 ||
		ledger_care_rotate(&epoch, &care, o->recovery_key, &err) < 0)
		return cli_fail(&err);
	printf("the ledger is in epoch %" PRIu32 ", with a new key\n", epoch);
	return EXIT_OK;
}

int
cli_recover(const struct cli_options *o)
{
	const struct ledger_care care = care_of(o);
	struct hw_err err = HW_ERR_INIT;
	uint64_t size = 0;
	uint32_t epoch = 0;
	bool root;

	if (o->recovery_key == NULL)
		return missing("--recovery-key FILE");
	if (process_become_owner(o->dir, &root, &err) < 0 ||
		ledger_care_recover(&epoch, &size, &care, o->recovery_key, &err) < 0)
		return cli_fail(&err);
	printf("the ledger is in epoch %" PRIu32 ", from entry %" PRIu64 " on, with a new key\n",
		epoch, size);
	return EXIT_OK;
}

/* Before it becomes the owner of the directory. */
static void
caller_name(char out[128])
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw != NULL)
		snprintf(out, 128, "local/%s", pw->pw_name);
	else
		snprintf(out, 128, "local/%u", (unsigned)getuid());
}

int
cli_erase(const struct cli_options *o)
{
	const struct ledger_care care = care_of(o);
	struct hw_err err = HW_ERR_INIT;
	char who[128], *end = NULL;
	bool root;

	if (o->entry == NULL || o->reason == NULL)
		return missing(o->entry == NULL ? "--entry NUMBER" : "--reason TEXT");
	uint64_t entry = strtoull(o->entry, &end, 10);
	if (end == o->entry || *end != '\0' || o->entry[0] == '-') {
		fprintf(stderr, "hawser-relay: \"%s\" is no number of an entry\n", o->entry);
		return EXIT_USAGE;
	}
	caller_name(who);
	if (process_become_owner(o->dir, &root, &err) < 0 ||
		ledger_care_erase(&care, entry, who, o->reason, &err) < 0)
		return cli_fail(&err);
	printf("entry %" PRIu64 " is erased; its hash stays\n", entry);
	return EXIT_OK;
}
