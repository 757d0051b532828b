/* hawser-relay reload and drain: words to the relay that runs on a directory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "relay/cli/admin_call.h"
#include "relay/cli/cli.h"

#define WEEK INT64_C(604800)

static int
ask(void **reply, struct admin **admin, const struct cli_options *o, enum op_id op,
	const void *request, struct hw_err *err)
{
	int r = admin_open(admin, o->dir, err);

	return r == 0 ? admin_ask(reply, *admin, op, request, err) : r;
}

/* --- reload --------------------------------------------------------------------------------------
 */

static void
say_names(const char *what, const struct msg_strs *names)
{
	if (names->n == 0)
		return;
	printf("%s", what);
	for (size_t i = 0; i < names->n; i++)
		printf("%s%s", i == 0 ? " " : ", ", names->v[i]);
	putchar('\n');
}

int
cli_reload(const struct cli_options *o)
{
	static const struct msg_empty nothing;
	struct msg_reload_relay_reply *rep;
	struct hw_err err = HW_ERR_INIT;
	struct admin *admin = NULL;
	char when[RFC3339_LEN + 1];

	if (ask((void **)&rep, &admin, o, OP_reload_relay, &nothing, &err) < 0) {
		admin_close(admin);
		return cli_fail(&err);
	}
	say_names("from now on:", &rep->changed);
	say_names("takes a restart:", &rep->restart);
	if (rep->expires != 0) {
		rfc3339_format(when, rep->expires);
		printf("certificate: %s, until %s\n", rep->certificate ? "another one" : "the same",
			when);
	}
	admin_close(admin);
	return EXIT_OK;
}

/* --- drain ---------------------------------------------------------------------------------------
 */

static int
parse_time(int64_t *ret, const char *text, struct hw_err *err)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {
		{'s', 1    },
		  {'m', 60	  },
		     {'h', 3600 },
		  {'d', 86400}
	      };
	char *end;
	int64_t n = strtoll(text, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end != text && end[0] == units[i].unit && end[1] == '\0' && n > 0 &&
			n <= WEEK / units[i].seconds) {
			*ret = n * units[i].seconds;
			return 0;
		}
	return hw_err_set(err, HW_EUSAGE,
		"--for: \"%.40s\" is not a time as 90s, 30m, 2h or 1d, a week at the most", text);
}

static void
say_left(const struct msg_drain_relay_reply *rep)
{
	char when[RFC3339_LEN + 1];

	if (!rep->draining)
		printf("serving");
	else if (rep->until == 0)
		printf("draining");
	else {
		rfc3339_format(when, rep->until);
		printf("draining until %s", when);
	}
	printf(": %" PRId64 " session%s, %" PRId64 " command%s (%" PRId64 " node%s) %s\n",
		rep->sessions, rep->sessions == 1 ? "" : "s", rep->commands,
		rep->commands == 1 ? "" : "s", rep->invocations, rep->invocations == 1 ? "" : "s",
		rep->draining ? "left" : "under way");
}

int
cli_drain(const struct cli_options *o)
{
	struct msg_drain_relay_request req = {.action = o->undo ? "end" : "begin"};
	struct msg_drain_relay_reply *rep;
	struct hw_err err = HW_ERR_INIT;
	struct admin *admin = NULL;

	if (o->undo && o->time != NULL) {
		fprintf(stderr, "hawser-relay: --for and --undo do not go together\n");
		return EXIT_USAGE;
	}
	if (o->time != NULL && parse_time(&req.seconds, o->time, &err) < 0) {
		cli_fail(&err);
		return EXIT_USAGE;
	}
	int r = ask((void **)&rep, &admin, o, OP_drain_relay, &req, &err);
	if (r == 0)
		say_left(rep);
	admin_close(admin);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}
