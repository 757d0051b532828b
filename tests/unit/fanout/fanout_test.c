/* The fan-out's rules, one by one. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/schema/schema.h"
#include "relay/fanout/fanout.h"
#include "relay/fanout/ready.h"

static void
on_changed(void *arg, uint32_t i)
{
	uint32_t *changes = arg;

	(void)i;
	if (changes != NULL)
		++*changes;
}

static struct fanout *
fan(uint32_t n, uint32_t concurrency, uint32_t errors)
{
	struct fanout *f = fanout_new(n, concurrency, errors, on_changed, NULL);

	cr_assert(f != NULL);
	for (uint32_t i = 0; i < n; i++)
		fanout_put(f, i, FANOUT_WAITING, false, true);
	fanout_start(f);
	return f;
}

static uint32_t
under_way(const struct fanout *f)
{
	struct fanout_counts c;

	fanout_count(&c, f);
	return c.under_way;
}

static uint32_t
of(const struct fanout *f, enum fanout_state s)
{
	struct fanout_counts c;

	fanout_count(&c, f);
	return c.of[s];
}

static void
take(struct fanout *f, uint32_t i)
{
	cr_assert(fanout_sent(f, i), "%u", i);
	fanout_acknowledged(f, i);
}

static void
finish(struct fanout *f, uint32_t i, enum fanout_state end)
{
	take(f, i);
	cr_assert(fanout_ended(f, i, end));
}

static void
check_words(const struct fanout *f, const char *expected)
{
	struct fanout_words w = fanout_words(f);
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", enum_text(&enum_INVOCATION_STATUS, w.status),
		w.details);
	cr_assert_str_eq(text, expected);
}

/* --- limits ------------------------------------------------------------------------------------
 */

Test(limits, counts_and_shares_are_rounded_down_and_concurrency_is_at_least_one)
{
	static const struct {
		const char *text;
		uint32_t targets, concurrency, errors;
	} rows[] = {
		{"1",	      10,	  1,	     1      },
		{"50",      10,	   50,      50	 },
		{"10%",	50,	    5,       5	},
		{"10%",	9,	   1,	      0      },
		{"1%",      99,	   1,	      0      },
		{"1%",      199,    1,       1	},
		{"99%",	3,	   2,	      2      },
		{"100%",	 7,	    7,       7	},
		{"9999999", 3,      9999999, 9999999},
		{"33%",	100000, 33000,   33000  },
	};
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t c = 0, e = 0;
		cr_assert(eq(int, fanout_concurrency(&c, rows[i].text, rows[i].targets, &err), 0));
		cr_assert(eq(int, fanout_errors(&e, rows[i].text, rows[i].targets, &err), 0));
		cr_assert(eq(u32, c, rows[i].concurrency), "%s", rows[i].text);
		cr_assert(eq(u32, e, rows[i].errors), "%s", rows[i].text);
	}
}

Test(limits, what_is_no_limit_is_refused_by_its_field)
{
	static const char *const bad[] = {"", "00", "010", "01", "101%", "-1", "+1", " 1", "1 ",
		"%", "1%%", "1.5", "1e3", "0x1", "99999999", "999%", "00%", "05%", "one"};
	struct hw_err err = HW_ERR_INIT;
	uint32_t n = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert(eq(int, fanout_concurrency(&n, bad[i], 10, &err), HW_EVALIDATION), "%s",
			bad[i]);
		cr_assert(strstr(err.text, "MaxConcurrency") != NULL);
		cr_assert(eq(int, fanout_errors(&n, bad[i], 10, &err), HW_EVALIDATION), "%s",
			bad[i]);
		cr_assert(strstr(err.text, "MaxErrors") != NULL);
	}
	cr_assert(eq(int, fanout_concurrency(&n, "0", 10, &err), HW_EVALIDATION));
	cr_assert(eq(int, fanout_concurrency(&n, "0%", 10, &err), HW_EVALIDATION));
	cr_assert(eq(u32, n, 7));
	cr_assert(eq(int, fanout_errors(&n, "0", 10, &err), 0));
	cr_assert(eq(u32, n, 0));
	cr_assert(eq(int, fanout_errors(&n, "0%", 10, &err), 0));
}

/* --- how many, and when ------------------------------------------------------------------------
 */

Test(fanout, it_begins_with_one_then_two_more_then_doubles_up_to_the_limit)
{
	struct fanout *f = fan(100, 10, 0);

	cr_assert(eq(u32, under_way(f), 1));
	take(f, 0);
	cr_assert(eq(u32, under_way(f), 3));
	take(f, 1);
	cr_assert(eq(u32, under_way(f), 3));
	take(f, 2);
	cr_assert(eq(u32, under_way(f), 7));
	for (uint32_t i = 3; i < 7; i++)
		take(f, i);
	cr_assert(eq(u32, under_way(f), 10));
	cr_assert(fanout_ended(f, 4, FANOUT_SUCCESS));
	cr_assert(eq(u32, under_way(f), 10));
	fanout_free(f);
}

Test(fanout, a_node_that_does_not_answer_keeps_its_place_and_does_not_hold_up_the_step)
{
	struct fanout *f = fan(10, 4, 0);

	cr_assert(fanout_sent(f, 0));
	cr_assert(eq(u32, under_way(f), 1));
	fanout_slow(f, 0);
	cr_assert(eq(u32, under_way(f), 3));
	cr_assert(fanout_sent(f, 1));
	cr_assert(fanout_sent(f, 2));
	fanout_node(f, 1, false); /* it may have it */
	fanout_node(f, 2, false);
	cr_assert(eq(u32, under_way(f), 4));
	cr_assert(eq(int, fanout_state(f, 1), FANOUT_SENT));
	fanout_free(f);
}

Test(fanout, a_node_without_a_link_is_passed_over_and_takes_its_place_when_it_is_back)
{
	struct fanout *f = fanout_new(4, 1, 3, on_changed, NULL);

	fanout_put(f, 0, FANOUT_WAITING, false, false);
	for (uint32_t i = 1; i < 4; i++)
		fanout_put(f, i, FANOUT_WAITING, false, true);
	fanout_start(f);
	cr_assert(eq(int, fanout_state(f, 0), FANOUT_WAITING));
	cr_assert(eq(int, fanout_state(f, 1), FANOUT_RELEASED));
	fanout_node(f, 1, false); /* its turn goes to another */
	cr_assert(eq(int, fanout_state(f, 1), FANOUT_WAITING));
	cr_assert(eq(int, fanout_target_words(f, 1).status, INVOCATION_STATUS_DELAYED));
	cr_assert(eq(int, fanout_state(f, 2), FANOUT_RELEASED));
	fanout_node(f, 0, true);
	fanout_node(f, 1, true);
	finish(f, 2, FANOUT_SUCCESS);
	cr_assert(eq(int, fanout_state(f, 0), FANOUT_RELEASED));
	finish(f, 0, FANOUT_SUCCESS);
	cr_assert(eq(int, fanout_state(f, 1), FANOUT_RELEASED));
	cr_assert(eq(int, fanout_state(f, 3), FANOUT_WAITING));
	fanout_free(f);
}

Test(fanout, fifty_targets_and_ten_percent_stop_at_the_sixth_error)
{
	struct hw_err err = HW_ERR_INIT;
	uint32_t errors;

	cr_assert(eq(int, fanout_errors(&errors, "10%", 50, &err), 0));
	struct fanout *f = fan(50, 1, errors);
	for (uint32_t i = 0; i < 5; i++)
		finish(f, i, i % 2 ? FANOUT_FAILED : FANOUT_TIMED_OUT);
	cr_assert(eq(int, fanout_state(f, 5), FANOUT_RELEASED));
	finish(f, 5, FANOUT_FAILED);
	cr_assert(eq(u32, of(f, FANOUT_TERMINATED), 44));
	check_words(f, "Failed/Failed");
	fanout_free(f);
}

Test(fanout, what_runs_when_it_stops_ends_by_itself_and_counts)
{
	struct fanout *f = fan(10, 3, 0);

	take(f, 0);
	take(f, 1);
	take(f, 2);
	cr_assert(fanout_ended(f, 1, FANOUT_FAILED));
	cr_assert(eq(u32, under_way(f), 2));
	cr_assert(eq(u32, of(f, FANOUT_TERMINATED), 7));
	check_words(f, "InProgress/InProgress");
	cr_assert(fanout_ended(f, 0, FANOUT_SUCCESS));
	cr_assert(fanout_ended(f, 2, FANOUT_FAILED));
	cr_assert(fanout_is_over(f));
	cr_assert(eq(u32, of(f, FANOUT_FAILED), 2));
	cr_assert_not(fanout_ended(f, 2, FANOUT_SUCCESS));
	fanout_free(f);
}

Test(fanout, all_errors_allowed_never_stops)
{
	struct fanout *f = fan(5, 1, 5);

	for (uint32_t i = 0; i < 5; i++)
		finish(f, i, FANOUT_FAILED);
	check_words(f, "Failed/Incomplete");
	fanout_free(f);
}

Test(fanout, what_is_no_error_does_not_stop_it)
{
	static const enum fanout_state ends[] = {FANOUT_NOT_DELIVERED, FANOUT_UNDELIVERABLE,
		FANOUT_INVALID_PLATFORM, FANOUT_ACCESS_DENIED, FANOUT_CANCELLED, FANOUT_SUCCESS};
	struct fanout *f = fan(6, 1, 0);

	for (uint32_t i = 0; i < 6; i++)
		finish(f, i, ends[i]);
	cr_assert(fanout_is_over(f));
	cr_assert(eq(u32, of(f, FANOUT_TERMINATED), 0));
	check_words(f, "Failed/Incomplete");
	fanout_free(f);
}

/* --- cancelling, and time --------------------------------------------------------------------- */

Test(fanout, a_cancel_ends_what_was_not_sent_and_asks_for_the_rest)
{
	struct fanout *f = fan(6, 3, 0);

	take(f, 0);
	take(f, 1);
	fanout_cancel_all(f);
	cr_assert(eq(u32, of(f, FANOUT_CANCELLED), 4));
	cr_assert(eq(u32, of(f, FANOUT_CANCELLING), 2));
	check_words(f, "Cancelling/Cancelling");
	cr_assert(fanout_ended(f, 0, FANOUT_SUCCESS)); /* it was faster */
	cr_assert(fanout_ended(f, 1, FANOUT_CANCELLED));
	check_words(f, "Cancelled/Cancelled");
	fanout_cancel_all(f);
	check_words(f, "Cancelled/Cancelled");
	fanout_free(f);
}

Test(fanout, a_cancel_that_came_too_late_for_all_changes_nothing)
{
	struct fanout *f = fan(1, 1, 0);

	take(f, 0);
	fanout_cancel_all(f);
	cr_assert(fanout_ended(f, 0, FANOUT_SUCCESS));
	check_words(f, "Success/Success");
	fanout_free(f);
}

Test(fanout, a_cancel_of_some_leaves_the_others)
{
	struct fanout *f = fan(3, 1, 0);

	fanout_cancel(f, 1);
	finish(f, 0, FANOUT_SUCCESS);
	finish(f, 2, FANOUT_SUCCESS);
	check_words(f, "Failed/Incomplete");
	fanout_free(f);
}

Test(fanout, after_the_time_for_delivery_nothing_begins_and_what_was_sent_goes_on)
{
	struct fanout *f = fan(5, 3, 0);

	take(f, 0);
	cr_assert(fanout_sent(f, 1));
	cr_assert(eq(int, fanout_state(f, 2), FANOUT_RELEASED));
	fanout_delivery_over(f);
	cr_assert(eq(u32, of(f, FANOUT_NOT_DELIVERED), 3));
	cr_assert(eq(u32, under_way(f), 2));
	fanout_unreceived(f, 0); /* it has it: it cannot have missed it */
	cr_assert(eq(int, fanout_state(f, 0), FANOUT_RUNNING));
	fanout_unreceived(f, 1);
	cr_assert(eq(int, fanout_state(f, 1), FANOUT_NOT_DELIVERED));
	fanout_expire(f, 0);
	cr_assert(eq(int, fanout_state(f, 0), FANOUT_NOT_DELIVERED));
	check_words(f, "TimedOut/DeliveryTimedOut");
	fanout_free(f);
}

Test(fanout, what_expires_leaves_the_others_and_gives_nobody_a_turn)
{
	struct fanout *f = fan(3, 2, 2);

	take(f, 0);
	cr_assert(fanout_has_link(f, 1));
	fanout_expire(f, 0);
	cr_assert(eq(int, fanout_state(f, 0), FANOUT_NOT_DELIVERED));
	cr_assert(eq(u32, of(f, FANOUT_NOT_DELIVERED), 1));
	cr_assert(eq(u32, of(f, FANOUT_WAITING), 1));
	fanout_expire(f, 0); /* once is enough */
	fanout_expire(f, 1);
	fanout_expire(f, 2);
	check_words(f, "TimedOut/DeliveryTimedOut");
	fanout_free(f);
}

Test(fanout, what_a_node_never_got_and_nobody_wants_is_cancelled)
{
	struct fanout *f = fan(1, 1, 0);

	cr_assert(fanout_sent(f, 0));
	fanout_cancel_all(f);
	fanout_unreceived(f, 0);
	check_words(f, "Cancelled/Cancelled");
	fanout_free(f);
}

/* A letter each, for the table. */
#define S FANOUT_SUCCESS
#define F FANOUT_FAILED
#define T FANOUT_TIMED_OUT
#define L FANOUT_NOT_DELIVERED
#define U FANOUT_UNDELIVERABLE
#define P FANOUT_INVALID_PLATFORM
#define D FANOUT_ACCESS_DENIED

/* --- how it ended ------------------------------------------------------------------------------
 */

Test(fanout, the_command_ended_as_its_targets_did_and_the_first_rule_counts)
{
	static const struct {
		enum fanout_state ends[3];
		uint32_t errors;
		const char *words;
	} rows[] = {
		{{S, S, S}, 0, "Success/Success"		},
		{{S, S, F}, 0, "Failed/Failed"	      },
		{{S, S, T}, 0, "Failed/ExecutionTimedOut" },
		{{S, T, F}, 1, "Failed/Failed"	      },
		{{S, S, F}, 1, "Failed/Incomplete"	  },
		{{L, L, L}, 0, "TimedOut/DeliveryTimedOut"},
		{{L, L, F}, 2, "TimedOut/DeliveryTimedOut"},
		{{L, F, F}, 2, "Failed/Incomplete"	  },
		{{L, L, S}, 0, "Failed/Incomplete"	  },
		{{S, U, P}, 0, "Success/Success"		},
		{{S, D, D}, 0, "Success/Success"		},
		{{U, P, D}, 0, "Failed/Failed"	      },
		{{D, D, D}, 0, "Failed/AccessDenied"	    },
		{{S, D, L}, 0, "Failed/Incomplete"	  },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fanout *f = fan(3, 1, rows[i].errors);
		for (uint32_t k = 0; k < 3 && !fanout_is_over(f); k++)
			finish(f, k, rows[i].ends[k]);
		check_words(f, rows[i].words);
		fanout_free(f);
	}
}

Test(fanout, a_nodes_words_are_read_by_the_table_and_it_terminates_nothing)
{
	static const struct {
		int status;
		const char *details;
		enum fanout_state end;
	} rows[] = {
		{INVOCATION_STATUS_SUCCESS,	    "Success",	       FANOUT_SUCCESS	     },
		{INVOCATION_STATUS_SUCCESS,	    "",			FANOUT_SUCCESS	      },
		{INVOCATION_STATUS_FAILED,	   "Failed",	     FANOUT_FAILED	  },
		{INVOCATION_STATUS_FAILED,	   "something else",   FANOUT_FAILED	  },
		{INVOCATION_STATUS_FAILED,	   "AccessDenied",	   FANOUT_ACCESS_DENIED   },
		{INVOCATION_STATUS_FAILED,	   "InvalidPlatform",  FANOUT_INVALID_PLATFORM},
		{INVOCATION_STATUS_FAILED,	   "Undeliverable",    FANOUT_UNDELIVERABLE	},
		{INVOCATION_STATUS_TIMED_OUT,   "",		  FANOUT_TIMED_OUT	  },
		{INVOCATION_STATUS_TIMED_OUT,   "DeliveryTimedOut", FANOUT_NOT_DELIVERED   },
		{INVOCATION_STATUS_CANCELLED,   "Terminated",	    FANOUT_CANCELLED	    },
		{INVOCATION_STATUS_IN_PROGRESS, "InProgress",	      FANOUT_STATES	   },
		{INVOCATION_STATUS_PENDING,	    "",			FANOUT_STATES	     },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert(eq(int, fanout_end_of(rows[i].status, rows[i].details), rows[i].end),
			"%zu", i);
}

/* --- a relay that starts again -----------------------------------------------------------------
 */

Test(fanout, it_goes_on_where_it_stood)
{
	struct fanout *f = fanout_new(10, 4, 1, on_changed, NULL);

	fanout_put(f, 0, FANOUT_SUCCESS, false, false);
	fanout_put(f, 1, FANOUT_FAILED, false, false);
	fanout_put(f, 2, FANOUT_RUNNING, false, true);
	fanout_put(f, 3, FANOUT_RELEASED, true, true);
	for (uint32_t i = 4; i < 10; i++)
		fanout_put(f, i, FANOUT_WAITING, false, true);
	fanout_start(f);
	cr_assert(eq(int, fanout_state(f, 3), FANOUT_SENT));
	cr_assert(eq(u32, under_way(f), 4));
	cr_assert(fanout_ended(f, 2, FANOUT_FAILED));
	cr_assert(eq(u32, of(f, FANOUT_TERMINATED), 6));
	fanout_free(f);
}

Test(fanout, a_cancel_that_was_not_carried_out_is)
{
	struct fanout *f = fanout_new(3, 1, 0, on_changed, NULL);

	fanout_put(f, 0, FANOUT_RUNNING, false, true);
	fanout_put_cancelled(f);
	fanout_start(f);
	cr_assert(eq(int, fanout_state(f, 0), FANOUT_CANCELLING));
	cr_assert(eq(u32, of(f, FANOUT_CANCELLED), 2));
	fanout_free(f);
}

/* Who was denied, or unfit, before it began has tried nothing for the others. */
Test(fanout, what_no_node_was_asked_about_takes_no_turn)
{
	struct fanout *f = fanout_new(100, 50, 0, on_changed, NULL);

	for (uint32_t i = 0; i < 100; i++)
		fanout_put(f, i,
			i < 20		 ? FANOUT_ACCESS_DENIED
				: i < 40 ? FANOUT_INVALID_PLATFORM
					 : FANOUT_WAITING,
			false, i >= 40);
	fanout_start(f);
	cr_assert(eq(u32, under_way(f), 1));
	finish(f, 40, FANOUT_FAILED);
	cr_assert(eq(u32, of(f, FANOUT_TERMINATED), 59));
	fanout_free(f);
}

/* Of those that were cancelled or removed the ones that a node had had count. */
Test(fanout, the_step_of_before_is_known_by_who_has_answered)
{
	static const enum fanout_state ends[] = {
		FANOUT_CANCELLED, FANOUT_UNDELIVERABLE, FANOUT_ACCESS_DENIED};

	for (int had = 0; had < 2; had++) {
		struct fanout *f = fanout_new(100, 50, 100, on_changed, NULL);
		for (uint32_t i = 0; i < 3; i++) {
			fanout_put(f, i, ends[i], false, true);
			if (had)
				fanout_put_acknowledged(f, i);
		}
		for (uint32_t i = 3; i < 100; i++)
			fanout_put(f, i, FANOUT_WAITING, false, true);
		fanout_start(f);
		cr_assert(eq(u32, under_way(f), had ? 4 : 1));
		fanout_free(f);
	}
}

/* --- size --------------------------------------------------------------------------------------
 */

Test(fanout, a_hundred_thousand_targets_go_through_one_event_each, .timeout = 30)
{
	const uint32_t n = FANOUT_TARGETS_MAX;
	uint32_t changes = 0;
	struct fanout *f = fanout_new(n, 500, 0, on_changed, &changes);

	for (uint32_t i = 0; i < n; i++)
		fanout_put(f, i, FANOUT_WAITING, false, true);
	fanout_start(f);
	for (uint32_t i = 0; i < n; i++) {
		cr_assert(fanout_sent(f, i));
		fanout_acknowledged(f, i);
		cr_assert(fanout_ended(f, i, FANOUT_SUCCESS));
	}
	cr_assert(fanout_is_over(f));
	cr_assert(eq(u32, changes, 4 * n));
	fanout_free(f);
}

Test(ready, its_smallest_member_is_found_at_every_size)
{
	static const uint32_t sizes[] = {1, 63, 64, 65, 4095, 4096, 4097, 100000, READY_MAX};
	struct ready r;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t last = sizes[i] - 1;
		cr_assert(ready_init(&r, sizes[i]));
		cr_assert(eq(u32, ready_first(&r), READY_NONE));
		ready_add(&r, last);
		cr_assert(eq(u32, ready_first(&r), last));
		ready_add(&r, last / 2);
		ready_add(&r, last / 3);
		cr_assert(eq(u32, ready_first(&r), last / 3));
		ready_remove(&r, last / 3);
		ready_remove(&r, last / 2);
		ready_remove(&r, last);
		cr_assert(eq(u32, ready_first(&r), READY_NONE));
		ready_fini(&r);
	}
}
