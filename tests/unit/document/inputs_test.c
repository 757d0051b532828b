#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/document/paper.h"

#define P                                                                                                              \
	"\"x\":{\"type\":\"String\",\"default\":\"v\"},\"list\":{\"type\":\"StringList\",\"default\":[\"a\",\"b\"]},"  \
	"\"map\":{\"type\":\"StringMap\",\"default\":{\"k\":\"v\"}},\"n\":{\"type\":\"Integer\",\"default\":7},"       \
	"\"yes\":{\"type\":\"Boolean\",\"default\":true},\"maps\":{\"type\":\"MapList\",\"default\":[{\"k\":\"v\"}]}," \
	"\"safe\":{\"type\":\"String\",\"default\":\"s\",\"interpolationType\":\"ENV_VAR\"}"

static void
becomes(const char *inputs, const char *const *given, const char *expected)
{
	char *text = NULL;

	cr_assert(gt(int, asprintf(&text, PAPER(P, "%s"), inputs), 0));
	char *shown = paper_inputs(text, given, NULL);
	cr_expect_str_eq(shown, expected);
	free(shown);
	free(text);
}

Test(document_inputs, a_whole_text_becomes_the_typed_value)
{
	becomes("\"a\":\"{{ x }}\"", NOTHING, "{\"a\":\"v\"}");
	becomes("\"a\":\"{{x}}\"", NOTHING, "{\"a\":\"v\"}");
	becomes("\"a\":\"{{\\n\\t x \\r\\f}}\"", NOTHING, "{\"a\":\"v\"}");
	becomes("\"a\":\"{{ list }}\"", NOTHING, "{\"a\":[\"a\",\"b\"]}");
	becomes("\"a\":\"{{ map }}\"", NOTHING, "{\"a\":{\"k\":\"v\"}}");
	becomes("\"a\":\"{{ n }}\"", NOTHING, "{\"a\":7}");
	becomes("\"a\":\"{{ yes }}\"", NOTHING, "{\"a\":true}");
	becomes("\"a\":\"{{ maps }}\"", NOTHING, "{\"a\":[{\"k\":\"v\"}]}");
	becomes("\"a\":[[\"{{ x }}\"],{\"b\":\"{{ x }}\"}]", NOTHING,
		"{\"a\":[[\"v\"],{\"b\":\"v\"}]}");
}

Test(document_inputs, between_other_text_it_is_text)
{
	becomes("\"a\":\"-{{ x }}-{{ x }}\"", NOTHING, "{\"a\":\"-v-v\"}");
	becomes("\"a\":\" {{ x }}\"", NOTHING, "{\"a\":\" v\"}");
	becomes("\"a\":\"{{ x }}\\n\"", NOTHING, "{\"a\":\"v\\n\"}");
	becomes("\"a\":\"{{{ x }}}\"", NOTHING, "{\"a\":\"{v}\"}");
	becomes("\"a\":\"-{{ list }}\"", NOTHING, "{\"a\":\"-[\\\"a\\\",\\\"b\\\"]\"}");
	becomes("\"a\":\"-{{ map }}\"", NOTHING, "{\"a\":\"-{\\\"k\\\":\\\"v\\\"}\"}");
	becomes("\"a\":\"-{{ n }}{{ yes }}\"", NOTHING, "{\"a\":\"-7true\"}");
}

Test(document_inputs, what_is_no_parameter_stays)
{
	becomes("\"a\":\"{{ X }} {{ y }} {{ x.y }} {{ x y }} {{ }} {{ x } {{\"", NOTHING,
		"{\"a\":\"{{ X }} {{ y }} {{ x.y }} {{ x y }} {{ }} {{ x } {{\"}");
	becomes("\"{{ x }}\":1,\"a\":{\"{{ x }}\":null}", NOTHING,
		"{\"{{ x }}\":1,\"a\":{\"{{ x }}\":null}}");
	becomes("\"a\":\"{{ ssm:/p }} {{ssm-secure:q}}\"", NOTHING,
		"{\"a\":\"{{ ssm:/p }} {{ssm-secure:q}}\"}");
}

Test(document_inputs, values_are_not_looked_at_again)
{
	becomes("\"a\":\"{{ x }}\",\"b\":\"-{{ x }}\"", GIVEN("x={{ list }}"),
		"{\"a\":\"{{ list }}\",\"b\":\"-{{ list }}\"}");
	becomes("\"a\":\"{{ x }}\",\"b\":\"-{{ x }}x }}\"", GIVEN("x={{ "),
		"{\"a\":\"{{ \",\"b\":\"-{{ x }}\"}");
}

Test(document_inputs, two_dollars_are_one_between_other_text)
{
	becomes("\"a\":\"{{ x }}\",\"b\":\"-{{ x }}\",\"c\":\"$$\"", GIVEN("x=a$$b$$$c$"),
		"{\"a\":\"a$$b$$$c$\",\"b\":\"-a$b$$c$\",\"c\":\"$$\"}");
}

Test(document_inputs, text_is_put_in_as_it_is)
{
	becomes("\"runCommand\":[\"echo {{ x }}\"]", GIVEN("x='; reboot #"),
		"{\"runCommand\":[\"echo '; reboot #\"]}");
}

Test(document_inputs, a_list_in_runCommand_is_flattened)
{
	becomes("\"runCommand\":[\"{{ list }}\",\"c\"],\"associationIds\":[\"{{ list }}\"],"
		"\"other\":[\"{{ list }}\"]",
		NOTHING,
		"{\"runCommand\":[\"a\",\"b\",\"c\"],\"associationIds\":[\"a\",\"b\"],"
		"\"other\":[[\"a\",\"b\"]]}");
	becomes("\"runCommand\":\"{{ list }}\"", NOTHING, "{\"runCommand\":[\"a\",\"b\"]}");
}

Test(document_inputs, an_ENV_VAR_parameter_is_a_reference_in_the_script_and_text_elsewhere)
{
	static const char text[] = PAPER(P,
		"\"runCommand\":[\"echo \\\"{{ safe }}\\\"\",\"{{ safe }}\"],\"workingDirectory\":\"{{ safe }}\"");
	char *env;
	char *shown = paper_inputs(text, GIVEN("safe=$(reboot)"), &env);

	cr_assert_str_eq(shown,
		"{\"runCommand\":[\"echo \\\"${SSM_safe}\\\"\",\"${SSM_safe}\"],\"workingDirectory\":\"$(reboot)\"}");
	cr_assert_str_eq(env, "{\"SSM_safe\":\"$(reboot)\"}");
	free(shown);
	free(env);
}

Test(document_inputs, what_parameters_make_of_inputs_is_bounded)
{
	struct hw_err err = HW_ERR_INIT;
	char *tokens = malloc(60001), *text = NULL, *big = malloc(10003);
	json_t *inputs = NULL;

	for (int i = 0; i < 60000; i += 6)
		memcpy(tokens + i, "{{x}}-", 6);
	tokens[60000] = '\0';
	memset(big, 'y', 10002);
	memcpy(big, "x=", 2);
	big[10002] = '\0';
	cr_assert(gt(int, asprintf(&text, PAPER(P, "\"a\":\"%s\""), tokens), 0));
	struct document *d = paper(text);
	struct document_values *v = paper_bind(d, GIVEN(big));
	cr_assert(eq(int, document_inputs(&inputs, NULL, d, v, 0, &err), HW_EPARAMETERS));
	cr_assert_str_eq(err.text,
		"with its parameters a step's inputs are larger than 4194304 bytes");
	document_values_free(v);
	document_free(d);
	free(tokens);
	free(text);
	free(big);
}

Test(document_inputs, lists_that_are_put_in_many_times_are_bounded)
{
	struct hw_err err = HW_ERR_INIT;
	char *text = strdup("schemaVersion: '2.2'\nparameters: {l: {type: StringList, default: ["),
	     *more;
	json_t *inputs = NULL;

	for (int i = 0; i < 3000; i++) {
		cr_assert(gt(int, asprintf(&more, "%sa,", text), 0));
		free(text);
		text = more;
	}
	cr_assert(gt(int,
		asprintf(&more, "%sa]}}\nmainSteps: [{action: a, name: run, inputs: {runCommand: [",
			text),
		0));
	free(text);
	text = more;
	for (int i = 0; i < 3000; i++) {
		cr_assert(gt(int, asprintf(&more, "%s'{{l}}',", text), 0));
		free(text);
		text = more;
	}
	cr_assert(gt(int, asprintf(&more, "%s]}}]\n", text), 0));
	free(text);
	struct document *d = paper(more);
	struct document_values *v = paper_bind(d, NOTHING);
	cr_assert(eq(int, document_inputs(&inputs, NULL, d, v, 0, &err), HW_EPARAMETERS));
	document_values_free(v);
	document_free(d);
	free(more);
}

Test(document_inputs, references_to_stored_parameters_are_found)
{
	static const struct {
		const char *json;
		bool refers;
	} rows[] = {
		{"[\"{{ssm:a}}\"]",			    true },
		{"{\"a\":{\"b\":\"x {{   ssm:/a/b:3 }}\"}}", true },
		{"[\"{{ssm-secure:a}}\"]",		   true },
		{"[\"{{ ssn:a }} ssm:a {{\"]",	       false},
		{"{\"{{ssm:a}}\":1}",			      false},
		{"[\"{{{{ssm:a}}\"]",			      true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *value = json_loads(rows[i].json, 0, NULL);
		cr_expect(eq(int, document_refers_to_stored(value), rows[i].refers), "%s",
			rows[i].json);
		json_decref(value);
	}
}

Test(document_inputs, what_a_session_gets)
{
	static const char text[] =
		"{\"schemaVersion\":\"1.0\",\"sessionType\":\"InteractiveCommands\",\"parameters\":{"
		"\"path\":{\"type\":\"String\",\"interpolationType\":\"ENV_VAR\"}},\"properties\":{"
		"\"linux\":{\"commands\":\"tail -f {{ path }}\"}}}";
	struct hw_err err = HW_ERR_INIT;
	struct document *d = paper_of(text, DOCUMENT_SESSION);
	struct document_values *v = paper_bind(d, GIVEN("path=/var/log/syslog"));
	json_t *properties = NULL;

	cr_assert_str_eq(document_session_type(d), "InteractiveCommands");
	cr_assert(eq(int, document_properties(&properties, d, v, &err), 0));
	char *shown = json_dumps(properties, JSON_COMPACT);
	cr_assert_str_eq(shown, "{\"linux\":{\"commands\":\"tail -f /var/log/syslog\"}}");
	free(shown);
	json_decref(properties);
	document_values_free(v);
	document_free(d);
}

/* --- time ------------------------------------------------------------------------------------- */

Test(document_inputs, seconds_that_do_not_count_are_an_hour)
{
	static const struct {
		const char *value;
		int64_t seconds;
	} rows[] = {
		{"\"60\"",		   60    },
		{"60",		       60	 },
		{"60.9",			 60	   },
		{"5",			5     },
		{"4",			3600  },
		{"172800",		   172800},
		{"172801",		   3600  },
		{"\"0\"",			  3600  },
		{"\"abc\"",		    3600	},
		{"\"\"",			 3600  },
		{"null",			 3600  },
		{"-7",		       3600  },
		{"\"60s\"",		    3600	},
		{"1e300",			  3600  },
		{"[60]",			 3600  },
		{"true",			 3600  },
		{"\"99999999999999999999\"", 3600	 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *inputs = json_object();
		json_object_set_new(inputs, "timeoutSeconds",
			json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
		cr_expect(eq(i64, document_step_seconds(inputs), rows[i].seconds), "%s",
			rows[i].value);
		json_decref(inputs);
	}
}

Test(document_inputs, a_document_takes_as_long_as_its_steps)
{
	struct document *d = paper("schemaVersion: '2.2'\n"
				   "parameters: {t: {type: String, default: '30'}}\n"
				   "mainSteps:\n"
				   "- {action: a, name: one, inputs: {timeoutSeconds: '{{ t }}'}}\n"
				   "- {action: a, name: two, inputs: {}}\n");
	struct document_values *v = paper_bind(d, NOTHING), *w = paper_bind(d, GIVEN("t=100"));

	cr_assert(eq(i64, document_timeout_seconds(d, v), 3630));
	cr_assert(eq(i64, document_timeout_seconds(d, w), 3700));
	document_values_free(v);
	document_values_free(w);
	document_free(d);
}
