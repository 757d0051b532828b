/* Relays and nodes that would steer the terminal of who asks them. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/client/stage.h"

#define BAD "\\u001b]0;x\\u0007\\u009b2J\\r"

/* Lines end, columns are apart, and there is nothing else that a terminal obeys. */
static void
is_tame(const char *line, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		bool is_c1 = p[0] == 0xc2 && p[1] < 0xa0;
		bool is_plain = *p >= ' ' && *p != 0x7f && !is_c1;

		cr_assert(is_plain || *p == '\n', "%s: %#x in: %s", line, *p, text);
	}
}

static const struct scene {
	const char *line;
	struct rig_answer answers[4];
} scenes[] = {
	{"activation create",
		{{"CreateActivation", 0,
			"{\"ActivationId\":\"0123456789012345678901234" BAD "\",\"ActivationCode\":\"0123456789" BAD "\"}"}}		   },
	{"audit hold --reason court", {{"PutHold", 0, "{\"HoldId\":\"0123456789012345678901234" BAD "\"}"}}		       },
	{"group ls -o name",	     {{"ListGroups", 0, "{\"Groups\":[{\"GroupName\":\"g" BAD "\"}]}"}}},
	{"key ls",
		{{"ListAccessKeys", 0,
			"{\"AccessKeyMetadata\":[{\"UserName\":\"u" BAD "\",\"AccessKeyId\":\"k" BAD
			"\",\"Status\":\"Inactive\"}]}"}}						 },
};

Test(hostile, what_a_relay_answers_steers_no_terminal)
{
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct stage *s = stage_new();

		stage_run(s, scenes[i].line, scenes[i].answers);
		cr_assert(eq(int, s->status, 0), "%s: %s", scenes[i].line, s->err.text);
		cr_assert(gt(sz, strlen(s->out), 0), "%s", scenes[i].line);
		is_tame(scenes[i].line, s->out);
		is_tame(scenes[i].line, s->said);
		stage_free(s);
	}
}
