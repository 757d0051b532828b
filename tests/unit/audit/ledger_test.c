/* The number of an entry, for whoever tells of it. */
#include "audit/ledger.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/log.h"
#include "tests/unit/audit/scratch.h"

TestSuite(ledger, .timeout = 30);

static void
keep_line(void *arg, enum log_level level, const char *line)
{
	(void)level;
	snprintf(arg, 1024, "%s", line);
}

Test(ledger, who_tells_of_an_entry_has_its_number)
{
	char line[1024];
	struct {
		struct log_ctx log;
		struct log_sink sink;
	} s = {
		.sink = {.level = LOG_LEVEL_INFO, .write = keep_line, .arg = line}
	  };
	static const char *const ends[] = {" x.y why=\"no room\" entry=1",
		"event=x.y why=\"no room\" entry=1", "\"why\":\"no room\",\"entry\":\"1\"}"};
	const struct msg_ledger_entry good = {.principal = "arn:x"};
	struct msg_ledger_entry bad = {.outcome = 12345};
	struct hw_err err = HW_ERR_INIT;
	struct journal *j = NULL;
	struct scratch scratch;

	scratch_init(&scratch);
	const struct journal_config jc = scratch_journal(&scratch);
	cr_assert(journal_open(&j, &jc, NULL, &err) == 0, "%s", err.text);
	struct ledger *l = ledger_new(j, "relay", &scratch.clock.clock);
	cr_assert(eq(long, ledger_append_numbered(l, ENTRY_LINK_UP, &good, NULL), 0));
	cr_assert(eq(long, ledger_append_numbered(l, ENTRY_LINK_UP, &bad, NULL), HW_EVALIDATION));
	int64_t number = ledger_commit_numbered(l, ENTRY_LINK_DOWN, &good);
	cr_assert(eq(long, number, 1), "what was refused took no number");
	cr_assert_str_eq(ledger_pair(number), " entry=1");
	cr_assert_str_eq(ledger_pair(HW_ERECORD), "");

	log_ctx_init(&s.log, &s.sink);
	s.sink.clock = &scratch.clock.clock;
	for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
		s.sink.format = (enum log_format)format;
		log_info(&s, "x.y", "why=%s%s", log_value("no room"), ledger_pair(number));
		cr_assert(strstr(line, ends[format]) != NULL &&
				strcmp(strstr(line, ends[format]), ends[format]) == 0,
			"%s", line);
	}
	ledger_free(l);
	journal_close(j);
	scratch_fini(&scratch);
}

/* A burst of output that waits to be written keeps no entry out. */
Test(ledger, an_entry_has_room_when_the_journals_buffer_is_full)
{
	static char big[JOURNAL_RECORD_MAX];
	const struct journal_record output = {
		.type = JOURNAL_DATA, .session = 1, .bytes = big, .len = sizeof(big)};
	const struct journal_record last = {
		.type = JOURNAL_DATA, .session = 1, .bytes = big, .len = 1};
	const struct msg_ledger_entry e = {.principal = "arn:x"};
	struct hw_err err = HW_ERR_INIT;
	struct journal *j = NULL;
	struct scratch scratch;

	scratch_init(&scratch);
	const struct journal_config jc = scratch_journal(&scratch);
	cr_assert(journal_open(&j, &jc, NULL, &err) == 0, "%s", err.text);
	struct ledger *l = ledger_new(j, "relay", &scratch.clock.clock);
	while (journal_append(j, &output, NULL) == 0)
		;
	while (journal_append(j, &last, NULL) == 0)
		;
	cr_assert(eq(long, ledger_append_numbered(l, ENTRY_SESSION_END, &e, NULL), 0));
	cr_assert(eq(long, ledger_append_numbered(l, ENTRY_SESSION_END, &e, NULL), 1));
	ledger_free(l);
	journal_close(j);
	scratch_fini(&scratch);
}
