#include "client/fate.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "client/limit.h"
#include "client/progress.h"
#include "proto/base/clock.h"
#include "proto/schema/schema.h"

/* --- what it comes to ---------------------------------------------------------------------------
 */

static void
is(int status, const char *details, int64_t code, enum fate fate, const char *words)
{
	struct buf text;

	buf_init(&text, 200);
	cr_expect(eq(int, (int)fate_of(status, details), (int)fate), "%s", words);
	fate_append(&text, status, details, code);
	cr_expect_str_eq(buf_str(&text), words);
	buf_fini(&text);
}

Test(fate, of_every_status_and_its_details)
{
	is(INVOCATION_STATUS_PENDING, "Pending", -1, FATE_WAITING, "waiting");
	is(INVOCATION_STATUS_DELAYED, "Delayed", -1, FATE_WAITING, "waiting for the node");
	is(INVOCATION_STATUS_IN_PROGRESS, "InProgress", -1, FATE_RUNNING, "running");
	is(INVOCATION_STATUS_CANCELLING, "Cancelling", -1, FATE_RUNNING, "being cancelled");
	is(INVOCATION_STATUS_SUCCESS, "Success", 0, FATE_OK, "exit 0");
	is(INVOCATION_STATUS_FAILED, "Failed", 127, FATE_FAILED, "exit 127");
	is(INVOCATION_STATUS_FAILED, NULL, -1, FATE_FAILED, "failed");
	is(INVOCATION_STATUS_FAILED, "AccessDenied", -1, FATE_UNDELIVERED, "access denied");
	is(INVOCATION_STATUS_FAILED, "Access Denied", -1, FATE_UNDELIVERED, "access denied");
	is(INVOCATION_STATUS_FAILED, "Undeliverable", -1, FATE_UNDELIVERED, "not deliverable");
	is(INVOCATION_STATUS_FAILED, "InvalidPlatform", -1, FATE_UNDELIVERED,
		"not for this platform");
	is(INVOCATION_STATUS_TIMED_OUT, "DeliveryTimedOut", -1, FATE_UNDELIVERED,
		"not delivered in time");
	is(INVOCATION_STATUS_TIMED_OUT, "ExecutionTimedOut", 137, FATE_TIMED_OUT, "timed out");
	is(INVOCATION_STATUS_CANCELLED, "Cancelled", 137, FATE_CANCELLED, "cancelled");
	is(INVOCATION_STATUS_CANCELLED, "Terminated", -1, FATE_STOPPED,
		"not started: too many failed");
	for (int status = 1; status < INVOCATION_STATUS_COUNT; status++)
		cr_expect(eq(int, fate_command_is_over(status),
			status != INVOCATION_STATUS_PENDING &&
				status != INVOCATION_STATUS_DELAYED &&
				status != INVOCATION_STATUS_IN_PROGRESS &&
				status != INVOCATION_STATUS_CANCELLING));
}

Test(fate, exit_statuses)
{
	static const struct {
		struct fates all;
		int status;
	} rows[] = {
		{{.total = 0},							       4	},
		{{.of = {[FATE_OK] = 3}, .total = 3},					      0  },
		{{.of = {[FATE_OK] = 2, [FATE_FAILED] = 1}, .total = 3},			 1  },
		{{.of = {[FATE_OK] = 1, [FATE_FAILED] = 1, [FATE_STOPPED] = 1}, .total = 3}, 2  },
		{{.of = {[FATE_OK] = 2, [FATE_CANCELLED] = 1}, .total = 3},		    2  },
		{{.of = {[FATE_OK] = 2, [FATE_UNDELIVERED] = 1}, .total = 3},		      3  },
		{{.of = {[FATE_OK] = 2, [FATE_TIMED_OUT] = 1}, .total = 3},		    124},
		{{.of = {[FATE_FAILED] = 1, [FATE_TIMED_OUT] = 1, [FATE_UNDELIVERED] = 1},
			 .total = 3},
			1									      },
		{{.of = {[FATE_TIMED_OUT] = 1, [FATE_UNDELIVERED] = 1}, .total = 2},	     124},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect(eq(int, fates_exit(&rows[i].all), rows[i].status), "row %zu", i);
}

/* --- limits -------------------------------------------------------------------------------------
 */

static void
limits(const char *text, int64_t min, size_t nodes, size_t expected)
{
	struct hw_err err = HW_ERR_INIT;
	struct limit l;

	cr_assert(eq(int, limit_parse(&l, "max-errors", text, min, &err), 0), "%s", err.text);
	cr_expect(eq(sz, limit_of(&l, nodes, (size_t)min), expected), "%s of %zu", text, nodes);
}

static void
no_limit(const char *text, int64_t min)
{
	struct hw_err err = HW_ERR_INIT;
	struct limit l;

	cr_expect(eq(int, limit_parse(&l, "max-errors", text, min, &err), HW_EUSAGE), "%s", text);
	cr_expect(strstr(err.text, "--max-errors") != NULL);
}

Test(limit, shares_are_rounded_down)
{
	limits("8", 1, 40, 8);
	limits("20%", 1, 40, 8);
	limits("10%", 1, 9, 1);
	limits("10%", 0, 9, 0);
	limits("100%", 0, 9, 9);
	limits("33%", 1, 100000, 33000);
	limits("0", 0, 9, 0);
	limits("0%", 0, 9, 0);
	limits("9999999", 1, 9, 9999999);
}

Test(limit, nonsense_is_refused)
{
	static const char *const texts[] = {"", "%", "-1", "+1", "1.5", "101%", "1%%", "% 1", " 1",
		"12345678", "one", "1 %", "99999999999999999999%"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		no_limit(texts[i], 0);
	no_limit("0", 1);
	no_limit("0%", 1);
}

/* --- progress -----------------------------------------------------------------------------------
 */

static void
shows(const struct fates *all, int64_t elapsed, int cols, const char *expected)
{
	struct buf text;

	buf_init(&text, 1000);
	progress_append(&text, all, elapsed, cols);
	cr_expect_str_eq(buf_str(&text), expected);
	cr_expect(cols == 0 || text.len < (size_t)cols);
	buf_fini(&text);
}

Test(progress, the_line)
{
	static const struct fates all = {
		.of = {[FATE_OK] = 31, [FATE_FAILED] = 1, [FATE_RUNNING] = 8},
		       .total = 40
	  };
	static const struct fates others = {
		.of = {[FATE_TIMED_OUT] = 1,
			[FATE_UNDELIVERED] = 2,
			[FATE_CANCELLED] = 3,
			[FATE_STOPPED] = 4},
		.total = 10
	   };

	shows(&all, 42 * USEC_PER_SEC, 80,
		"[#################-----]  31/40 ok, 1 failed, 8 running  0:42");
	shows(&all, 3661 * USEC_PER_SEC, 0, "31/40 ok, 1 failed, 8 running  1:01:01");
	shows(&all, 42 * USEC_PER_SEC, 50, "31/40 ok, 1 failed, 8 running  0:42");
	shows(&all, 42 * USEC_PER_SEC, 20, "31/40 ok, 1 failed,");
	shows(&others, 0, 0,
		"0/10 ok, 1 timed out, 2 not delivered, 3 cancelled, 4 not started  0:00");
}

static void
plans(size_t nodes, size_t at_a_time, size_t failures, const char *expected)
{
	struct buf text;

	buf_init(&text, 1000);
	progress_append_plan(&text, nodes, at_a_time, failures);
	cr_expect_str_eq(buf_str(&text), expected);
	buf_fini(&text);
}

Test(progress, the_plan)
{
	plans(40, 8, 5, "40 nodes, 8 at a time, stops when more than 5 fail");
	plans(40, 50, 0, "40 nodes, stops when one fails");
	plans(40, 50, 40, "40 nodes");
	plans(1, 1, 0, "1 node");
}
