#include "client/yaml_pipe.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

/* The same, however the JSON is cut into pieces. */
static void
is(const char *json, const char *yaml)
{
	for (size_t piece = 1; piece < 20; piece++) {
		struct yaml_pipe pipe;
		struct buf out;

		buf_init(&out, 65536);
		yaml_pipe_init(&pipe, &out);
		for (size_t at = 0; at < strlen(json); at += piece) {
			size_t n = strlen(json) - at;
			yaml_pipe_append(&pipe, json + at, n < piece ? n : piece);
		}
		cr_assert(not(out.failed));
		cr_assert_str_eq(buf_str(&out), yaml);
		buf_fini(&out);
	}
}

Test(yaml_pipe, lists_in_objects_in_lists)
{
	is("{\"A\":[{\"B\":1,\"C\":[[\"x\",\"z\"],[]]},{}],\n  \"D\": {\"E\": {\"F\": true}}}\n",
		"A:\n"
		"- B: 1\n"
		"  C:\n"
		"  - - x\n"
		"    - z\n"
		"  - []\n"
		"- {}\n"
		"D:\n"
		"  E:\n"
		"    F: true\n");
}

Test(yaml_pipe, what_stands_alone)
{
	is("{}\n", "{}\n");
	is(" [ ] ", "[]\n");
	is("\"a b\"", "\"a b\"\n");
	is("{\"A\":{},\"B\":[],\"C\":null}", "A: {}\nB: []\nC: null\n");
}

Test(yaml_pipe, a_list_whose_end_does_not_come)
{
	is("[{\"A\":-1.5}\n,{\"A\":\"b\"}", "- A: -1.5\n- A: b\n");
}

Test(yaml_pipe, texts_that_could_be_read_otherwise_are_quoted)
{
	is("[\"no\",\"No\",\"12\",\"-x\",\"~\",\"@a\",\"\",\"a: b\",\"#\",\"*\",\"nothing\",\"a@b.c\"]",
		"- \"no\"\n- \"No\"\n- \"12\"\n- \"-x\"\n- \"~\"\n- \"@a\"\n- \"\"\n- \"a: b\"\n"
		"- \"#\"\n- \"*\"\n- nothing\n- a@b.c\n");
	is("{\"a b\":1,\"no\":2}", "\"a b\": 1\n\"no\": 2\n");
}

Test(yaml_pipe, escapes_and_what_yaml_takes_for_ends_of_lines)
{
	is("[\"\\\"\\\\\\n\\u001b\",\"\\\\\"]", "- \"\\\"\\\\\\n\\u001b\"\n- \"\\\\\"\n");
	is("[\"\x7f\",\"\xc2\x85\",\"\xc2\x9b\",\"\xe2\x80\xa8\",\"\xef\xbb\xbf\",\"\xef\xbf\xbf\"]",
		"- \"\\x7f\"\n- \"\\x85\"\n- \"\\x9b\"\n- \"\\u2028\"\n- \"\\ufeff\"\n- \"\\uffff\"\n");
	is("[\"\xc3\xa9\",\"\xe2\x82\xac\",\"\xf0\x9f\x98\x80\"]",
		"- \"\xc3\xa9\"\n- \"\xe2\x82\xac\"\n- \"\xf0\x9f\x98\x80\"\n");
}

Test(yaml_pipe, a_text_longer_than_what_is_held)
{
	char text[2 * YAML_PIPE_PLAIN], json[sizeof(text) + 8], yaml[sizeof(text) + 8];

	for (size_t n = YAML_PIPE_PLAIN - 1; n < YAML_PIPE_PLAIN + 2; n++) {
		const char *quote = n > YAML_PIPE_PLAIN ? "\"" : "";

		memset(text, 'a', n);
		text[n] = '\0';
		snprintf(json, sizeof(json), "[\"%s\"]", text);
		snprintf(yaml, sizeof(yaml), "- %s%s%s\n", quote, text, quote);
		is(json, yaml);
	}
}

Test(yaml_pipe, too_deep_a_nesting_fails)
{
	struct yaml_pipe pipe;
	struct buf out;

	buf_init(&out, 65536);
	yaml_pipe_init(&pipe, &out);
	for (int i = 0; i < YAML_PIPE_DEPTH; i++)
		yaml_pipe_append(&pipe, "[", 1);
	cr_assert(not(out.failed));
	yaml_pipe_append(&pipe, "[", 1);
	cr_assert(out.failed);
	buf_fini(&out);
}
