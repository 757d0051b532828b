#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "tests/unit/client/stage.h"

#define ENTRY(n, kind)                                                                \
	"{\"Relay\":\"r\",\"Sequence\":" #n ",\"Salt\":\"AAAAAAAAAAAAAAAAAAAAAA==\"," \
	"\"Time\":1700000000,\"Kind\":\"" kind "\",\"Reason\":\"why " #n "\"}"

static size_t
count(const char *all, const char *part)
{
	size_t n = 0;

	for (const char *p = all; (p = strstr(p, part)) != NULL; p++)
		n++;
	return n;
}

/* Between what the relay takes as the present and its walk some may come, and they may be the
 * newest of the last ones, too. */
Test(audit, tail_shows_each_entry_once_also_those_that_come_while_it_begins)
{
	static const struct rig_answer answers[] = {
		{"LookupEvents",						 0,
			"{\"Events\":[" ENTRY(7, "alarm") "," ENTRY(11,
			"alarm") "],"
					 "\"LookedAt\":12,\"NextToken\":\"t\"}"},
		{"LookupEvents",					0,
			"{\"Events\":[" ENTRY(11, "alarm") "," ENTRY(7, "alarm") "," ENTRY(4,
			"alarm") "],"
					 "\"LookedAt\":3}"},
		{"LookupEvents", 0,
			"{\"Events\":[" ENTRY(12,
			"alarm") "],\"LookedAt\":13,\"NextToken\":\"u\"}"},
		{"LookupEvents",						 HW_EDENIED, "enough"},
		{0				       },
	};
	struct stage *s = stage_new();

	stage_run(s, "audit tail -f -l 3 -k alarm", answers);
	cr_assert(eq(int, s->status, HW_EDENIED));
	for (int i = 0; i < 4; i++) {
		static const char *const each[] = {"why 4\n", "why 7\n", "why 11\n", "why 12\n"};
		cr_assert(eq(sz, count(s->out, each[i]), 1), "%s in %s", each[i], s->out);
	}
	cr_assert(lt(ptr, strstr(s->out, "why 4"), strstr(s->out, "why 7")));
	cr_assert(lt(ptr, strstr(s->out, "why 11"), strstr(s->out, "why 12")));
	stage_free(s);
}

Test(audit, a_damaged_entry_is_told_and_the_rest_is_shown)
{
	static const struct rig_answer answers[] = {
		{"LookupEvents",		 0,
			"{\"Events\":[" ENTRY(9, "alarm") "," ENTRY(8, "damaged") "," ENTRY(7,
			"alarm") "],"
					 "\"LookedAt\":0}"},
		{0},
	};
	static const char *const lines[] = {
		"audit ls", "audit ls -o jsonl", "audit tail", "audit export --entries"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct stage *s = stage_new();
		stage_run(s, lines[i], answers);
		cr_assert(eq(int, s->status, 2), "%s", lines[i]);
		stage_has(s->out, "9");
		stage_has(s->out, "damaged");
		stage_has(s->said, "entry 8 is damaged: why 8");
		stage_free(s);
	}
}

Test(audit, grep_names_what_was_not_searched)
{
	static const struct rig_answer answers[] = {
		{"SearchRecordings",			     0,
			"{\"Hits\":[{\"SessionId\":\"ann-1\",\"Source\":\"output\",\"Line\":\"x\"}],"
			"\"NotSearched\":[{\"SessionId\":\"bob-1\",\"Pending\":true,"
			"\"Reason\":\"its disk is full\"}]}"},
		{"SearchCommandOutputs", 0, "{\"Hits\":[]}"},
		{0		     },
	};
	struct stage *s = stage_new();

	stage_run(s, "audit grep x", answers);
	cr_assert(eq(int, s->status, 2));
	stage_has(s->out, "ann-1");
	stage_has(s->said, "session bob-1: not searched to its end yet: its disk is full");
	stage_free(s);
}
