#include <stdio.h>

#include "proto/base/service.h"
#include "relay/cli/cli.h"
#include "relay/core/relay.h"

int
cli_init(const struct cli_options *o)
{
	const struct relay_init_options options = {
		.dir = o->dir,
		.name = o->name,
		.listen = o->listen,
		.advertise = o->advertise,
		.master_key = o->master_key,
		.recovery_key = o->recovery_key,
	};
	char invite[RELAY_INVITE_LEN + 1], url[512];
	struct hw_err err = HW_ERR_INIT;
	bool root, service;

	if (process_become_owner(o->dir, &root, &err) < 0 ||
		relay_init(&options, invite, url, &err) < 0)
		return cli_fail(&err);
	service = service_runs("", "hawser-relay", o->dir);
	fprintf(stderr,
		"hawser-relay: made a fleet in %s; its settings are in relay.conf there\n"
		"hawser-relay: keep a copy of its master key apart: without it no recording can be read\n"
		"hawser-relay: take %s%s off this machine: it recovers the ledger after a restore\n"
		"hawser-relay: start it with %s%s\n"
		"hawser-relay: then hawser login with what follows, the fleet's URL and admin's invite\n",
		o->dir, o->recovery_key != NULL ? o->recovery_key : o->dir,
		o->recovery_key != NULL ? "" : "/recovery.key",
		service ? "systemctl start hawser-relay, as root" : "hawser-relay run --dir ",
		service ? "" : o->dir);
	printf("%s %s\n", url, invite);
	if (fflush(stdout) != 0) {
		hw_err_sys(&err, "cannot write the invite");
		return cli_fail(&err);
	}
	return EXIT_OK;
}
