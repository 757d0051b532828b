#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/document/paper.h"

#define STEP	    "{\"action\":\"aws:runShellScript\",\"name\":\"run\",\"inputs\":{}}"
#define V22(more)   "{\"schemaVersion\":\"2.2\"," more "}"
#define ONE(step)   V22("\"mainSteps\":[" step "]")
#define DECLARED(p) V22("\"mainSteps\":[" STEP "],\"parameters\":{" p "}")
#define V12(config) "{\"schemaVersion\":\"1.2\",\"runtimeConfig\":" config "}"

/* --- what is taken ---------------------------------------------------------------------------- */

Test(document_parse, json_of_each_schema)
{
	static const char *const schemas[] = {"2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"};
	char text[256];

	for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		snprintf(text, sizeof(text),
			"{\"schemaVersion\":\"%s\",\"description\":\"d\",\"mainSteps\":[" STEP "]}",
			schemas[i]);
		struct document *d = paper(text);
		cr_assert_str_eq(document_schema_version(d), schemas[i]);
		cr_assert_str_eq(document_description(d), "d");
		cr_assert(eq(int, document_format(d), DOCUMENT_FORMAT_JSON));
		cr_assert(eq(sz, document_steps(d), 1));
		cr_assert_str_eq(document_step(d, 0)->name, "run");
		cr_assert_str_eq(document_step(d, 0)->action, "aws:runShellScript");
		cr_assert_null(document_step(d, 0)->precondition);
		document_free(d);
	}
}

static const char yaml[] = "---\n"
			   "schemaVersion: 2.2\n"
			   "description: Say something\n"
			   "parameters:\n"
			   "  commands:\n"
			   "    type: StringList\n"
			   "    minItems: 1\n"
			   "    allowedValues: [True, no, 010, \"x\"]\n"
			   "  default: {type: String, default: 3600}\n"
			   "  flag: {type: Boolean, default: True}\n"
			   "  count: {type: Integer, default: 7}\n"
			   "mainSteps:\n"
			   "- action: aws:runShellScript\n"
			   "  name: run\n"
			   "  precondition:\n"
			   "    StringEquals: [platformType, Linux]\n"
			   "  inputs:\n"
			   "    timeoutSeconds: 60\n"
			   "    runCommand:\n"
			   "    - true\n"
			   "    - |\n"
			   "      for x in 1 2; do\n"
			   "        echo $x\n"
			   "      done\n";

Test(document_parse, yaml_keeps_what_was_written_where_texts_belong)
{
	struct document *d = paper(yaml);
	const json_t *inputs = document_step(d, 0)->inputs;
	char *allowed = json_dumps(json_object_get(json_object_get(json_object_get(document_tree(d),
									   "parameters"),
							   "commands"),
					   "allowedValues"),
		JSON_COMPACT);

	cr_assert_str_eq(document_schema_version(d), "2.2");
	cr_assert(eq(int, document_format(d), DOCUMENT_FORMAT_YAML));
	cr_assert_str_eq(allowed, "[\"True\",\"no\",\"010\",\"x\"]");
	cr_assert(eq(sz, document_parameters(d), 4));
	cr_assert_str_eq(json_string_value(document_parameter(d, 1)->value), "3600");
	cr_assert(eq(int, json_is_true(document_parameter(d, 2)->value), 1));
	cr_assert(eq(i64, json_integer_value(document_parameter(d, 3)->value), 7));
	cr_assert(eq(int, json_is_integer(json_object_get(inputs, "timeoutSeconds")), 1));
	cr_assert_str_eq(json_string_value(json_array_get(json_object_get(inputs, "runCommand"),
				 0)),
		"true");
	cr_assert_str_eq(json_string_value(json_array_get(json_object_get(inputs, "runCommand"),
				 1)),
		"for x in 1 2; do\n  echo $x\ndone\n");
	free(allowed);
	document_free(d);
}

Test(document_parse, yaml_may_begin_with_a_brace)
{
	struct document *d = paper("{schemaVersion: 2.2, mainSteps: [" STEP "]}");

	cr_assert(eq(int, document_format(d), DOCUMENT_FORMAT_YAML));
	document_free(d);
}

Test(document_parse, plugins_of_schema_1_2_are_steps_in_the_order_of_the_text)
{
	struct document *d = paper(V12("{\"aws:runShellScript\":{\"properties\":["
				       "{\"id\":\"0.aws:runShellScript\",\"runCommand\":\"a\"},"
				       "{\"runCommand\":\"b\"}]},"
				       "\"aws:downloadContent\":{\"properties\":{\"x\":1}}}"));

	cr_assert(eq(sz, document_steps(d), 3));
	cr_assert_str_eq(document_step(d, 0)->name, "0.aws:runShellScript");
	cr_assert_str_eq(document_step(d, 1)->name, "1.aws:runShellScript");
	cr_assert_str_eq(document_step(d, 1)->action, "aws:runShellScript");
	cr_assert_str_eq(document_step(d, 2)->name, "aws:downloadContent");
	document_free(d);
}

Test(document_parse, aliases_stand_for_what_they_name)
{
	struct document *d =
		paper("schemaVersion: '2.2'\n"
		      "mainSteps:\n"
		      "- {action: aws:runShellScript, name: one, inputs: &i {runCommand: [a]}}\n"
		      "- {action: aws:runShellScript, name: two, inputs: *i}\n");

	cr_assert(eq(int, json_equal(document_step(d, 0)->inputs, document_step(d, 1)->inputs), 1));
	cr_assert(ne(ptr, (void *)document_step(d, 0)->inputs,
		(void *)document_step(d, 1)->inputs));
	document_free(d);
}

Test(document_parse, sessions)
{
	static const char *const good[] = {
		"{\"schemaVersion\":\"1.0\",\"sessionType\":\"Standard_Stream\"}",
		"{\"schemaVersion\":\"1.0\",\"sessionType\":\"Standard_Stream\",\"inputs\":"
		"{\"s3BucketName\":\"\",\"s3EncryptionEnabled\":true,\"runAsEnabled\":false}}",
		"{\"schemaVersion\":\"1.0\",\"sessionType\":\"InteractiveCommands\",\"parameters\":"
		"{\"path\":{\"type\":\"String\",\"allowedPattern\":\"^/var/log/[a-z.]+$\"}},\"properties\":"
		"{\"linux\":{\"commands\":\"tail -f {{ path }}\",\"runAsElevated\":false}}}",
		"schemaVersion: '1.0'\nsessionType: Port\nproperties: {portNumber: 5432, host: db}\n",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		document_free(paper_of(good[i], DOCUMENT_SESSION));
}

Test(document_parse, automations_and_others_are_looked_at_for_form_alone)
{
	document_free(paper_of("schemaVersion: '0.3'\nmainSteps:\n- {any: thing}\nassumeRole: x\n",
		DOCUMENT_AUTOMATION));
	document_free(paper_of("{\"what\":\"ever\"}", DOCUMENT_OTHER));
}

/* --- what is refused -------------------------------------------------------------------------- */

struct refused {
	const char *text;
	int code;
	const char *sentence;
};

static void
refuse(const struct refused *rows, size_t n, enum document_kind kind)
{
	struct hw_err err;

	for (size_t i = 0; i < n; i++) {
		int r = paper_refused(rows[i].text, kind, &err);
		cr_expect(eq(int, r, rows[i].code), "%s\n%s", rows[i].text, err.text);
		cr_expect(eq(str, err.text, (char *)rows[i].sentence), "%s", rows[i].text);
	}
}
#define REFUSE(rows, kind) refuse(rows, sizeof(rows) / sizeof(rows[0]), kind)

static const struct refused forms[] = {
	{"",			HW_EDOCUMENTCONTENT, "the document is empty"				 },
	{"{",		       HW_EDOCUMENTCONTENT, "line 1, column 1: the text ends before its value does"},
	{"{\"a\":1,\n \"a\":2}",	 HW_EDOCUMENTCONTENT,
		"line 2, column 4: this member is there twice"							      },
	{"{} {}",		   HW_EDOCUMENTCONTENT, "line 1, column 4: there is more after the value"	},
	{"{\"a\":\"\\u0000\"}",	HW_EDOCUMENTCONTENT, "line 1, column 13: a text holds a NUL"		    },
	{"{\"a\":\"\xff\"}",	     HW_EDOCUMENTCONTENT, "line 1, column 6: this is no UTF-8"		      },
	{"{\"a\" 1}",		      HW_EDOCUMENTCONTENT, "line 1, column 6: this is not well-formed JSON"	   },
	{"[]",		      HW_EDOCUMENTCONTENT, "the document must be a map"				},
	{"a: [\n",		   HW_EDOCUMENTCONTENT, "line 2, column 1: did not find expected node content" },
	{"a: 1\na: 2\n",		 HW_EDOCUMENTCONTENT, "line 2, column 1: this member is there twice"	    },
	{"a: *b\n",		    HW_EDOCUMENTCONTENT,
		"line 1, column 4: no anchor of that name stands before it"						   },
	{"a: &b [*b]\n",		 HW_EDOCUMENTCONTENT,
		"line 1, column 8: no anchor of that name stands before it"						   },
	{"x: &a {}\ny: {<<: *a}\n", HW_EDOCUMENTCONTENT,
		"line 2, column 5: merge keys are not taken: write the members out"					   },
	{"[a]: 1\n",		     HW_EDOCUMENTCONTENT, "line 1, column 1: a key must be a text"		  },
	{"? {a: 1}\n: 1\n",	    HW_EDOCUMENTCONTENT, "line 1, column 3: a key must be a text"		 },
	{"x: &a b\n*a : 1\n",	      HW_EDOCUMENTCONTENT,
		"line 2, column 1: a key must be a text, not an alias"						      },
	{"&k x: 1\n",		      HW_EDOCUMENTCONTENT, "line 1, column 1: a key cannot be an anchor"		},
	{"a: !!binary aGk=\n",      HW_EDOCUMENTCONTENT, "line 1, column 4: this tag is not taken"		     },
	{"a: !x {}\n",	       HW_EDOCUMENTCONTENT, "line 1, column 4: this tag is not taken"		     },
	{"a: !y []\n",	       HW_EDOCUMENTCONTENT, "line 1, column 4: this tag is not taken"		     },
	{"a: \"\\0\"\n",		 HW_EDOCUMENTCONTENT, "line 1, column 4: a text holds a NUL"		    },
	{"\"\\0\": 1\n",		 HW_EDOCUMENTCONTENT, "line 1, column 1: a key holds a NUL"		   },
	{"a: 1\n---\nb: 2\n",	      HW_EDOCUMENTCONTENT,
		"line 2, column 1: a second document begins here"							 },
	{"a: \x01\n",		      HW_EDOCUMENTCONTENT, "byte 3: a character that YAML does not take"		},
	{"- a\n",		   HW_EDOCUMENTCONTENT, "the document must be a map"			   },
	{"text",		    HW_EDOCUMENTCONTENT, "the document must be a map"				  },
};

Test(document_parse, what_is_not_well_formed_is_named_with_its_place)
{
	REFUSE(forms, DOCUMENT_COMMAND);
}

#define NO_SCHEMA "schemaVersion is not one of type Command: 1.2, 2.0 or 2.2"

static const struct refused tops[] = {
	{"{}",								HW_EDOCUMENTSCHEMA,
		"schemaVersion must be a text; one of type Command: 1.2, 2.0 or 2.2"								    },
	{"{\"schemaVersion\":2.2}",					   HW_EDOCUMENTSCHEMA,
		"schemaVersion must be a text; one of type Command: 1.2, 2.0 or 2.2"								    },
	{"{\"schemaVersion\":\"2.1\"}",					HW_EDOCUMENTSCHEMA,  NO_SCHEMA				     },
	{"{\"schemaVersion\":\"1.0\"}",					HW_EDOCUMENTSCHEMA,  NO_SCHEMA				     },
	{"{\"schemaVersion\":\"9999.0\"}",					   HW_EDOCUMENTSCHEMA,  NO_SCHEMA					},
	{"{\"schemaVersion\":\"2.3\"}",					HW_EDOCUMENTSCHEMA,  NO_SCHEMA				     },
	{V22("\"x\":1"),						      HW_EDOCUMENTCONTENT, "x: nothing of that name belongs here"    },
	{V22("\"a\\u0007b\":1"),					      HW_EDOCUMENTCONTENT, "a?b: nothing of that name belongs here"  },
	{V22("\"description\":1"),					    HW_EDOCUMENTCONTENT, "description: it must be a text"		},
	{V22("\"description\":\"\\u001b[2J\""),				HW_EDOCUMENTCONTENT,
		"description: it has a control character"											   },
	{V22("\"parameters\":{}"),					    HW_EDOCUMENTCONTENT,
		"a document of schema 2.2 needs mainSteps, with one step at least"								  },
	{V22("\"mainSteps\":[]"),					     HW_EDOCUMENTCONTENT,
		"a document of schema 2.2 needs mainSteps, with one step at least"								  },
	{V22("\"mainSteps\":{}"),					     HW_EDOCUMENTCONTENT, "mainSteps: it must be a list"	     },
	{V22("\"runtimeConfig\":{}"),					 HW_EDOCUMENTCONTENT, "runtimeConfig: schema 2.2 has none"      },
	{"{\"schemaVersion\":\"1.2\",\"mainSteps\":[]}",			 HW_EDOCUMENTCONTENT,
		"mainSteps: schema 1.2 has none"												    },
	{"{\"schemaVersion\":\"1.2\"}",					HW_EDOCUMENTCONTENT,
		"a document of schema 1.2 needs runtimeConfig, with one plugin at least"								},
	{V12("[]"),							   HW_EDOCUMENTCONTENT, "runtimeConfig: it must be a map"	  },
	{V12("{\"aws:x\":1}"),						HW_EDOCUMENTCONTENT, "runtimeConfig.aws:x: it must be a map"   },
	{V12("{\"aws:x\":{}}"),					       HW_EDOCUMENTCONTENT, "runtimeConfig.aws:x: it needs properties"},
	{V12("{\"aws:x\":{\"properties\":1}}"),				HW_EDOCUMENTCONTENT,
		"runtimeConfig.aws:x.properties: it must be a map"										  },
	{V12("{\"aws:x\":{\"properties\":[],\"y\":1}}"),			 HW_EDOCUMENTCONTENT,
		"runtimeConfig.aws:x.y: nothing of that name belongs here"									  },
	{V12("{\"aws:x\":{\"properties\":[{},7]}}"),			     HW_EDOCUMENTCONTENT,
		"runtimeConfig.aws:x.properties[1]: it must be a map"									       },
	{V12("{\"aws:x\":{\"properties\":[{\"id\":\"a\"},{\"id\":\"a\"}]}}"), HW_EDOCUMENTCONTENT,
		"runtimeConfig.aws:x.properties[1]: another step is named a"									    },
	{V12("{\"aws:x\":{\"properties\":{\"id\":\"..\"}}}"),		      HW_EDOCUMENTCONTENT,
		"runtimeConfig.aws:x.properties: an id has 1 to 128 letters, digits and : _ - ."							},
	{V12("{\"aws:x\":{\"properties\":{\"id\":\"a/b\"}}}"),		       HW_EDOCUMENTCONTENT,
		"runtimeConfig.aws:x.properties: an id has 1 to 128 letters, digits and : _ - ."							},
	{V12("{\"a b\":{\"properties\":{}}}"),				       HW_EDOCUMENTCONTENT,
		"runtimeConfig.a b: an action has 1 to 64 letters, digits and : _ - . as aws:runShellScript"					    },
};

Test(document_parse, what_a_document_cannot_be)
{
	REFUSE(tops, DOCUMENT_COMMAND);
}

static const struct refused steps[] = {
	{ONE("7"),											       HW_EDOCUMENTCONTENT, "mainSteps[0]: it must be a map"				},
	{ONE("{\"name\":\"run\",\"inputs\":{}}"),								HW_EDOCUMENTCONTENT,
		"mainSteps[0]: it needs an action"																			 },
	{ONE("{\"action\":\"a\",\"inputs\":{}}"),								HW_EDOCUMENTCONTENT,
		"mainSteps[0]: it needs a name"																			    },
	{ONE("{\"action\":\"a\",\"name\":\"run\"}"),							     HW_EDOCUMENTCONTENT,
		"mainSteps[0]: it needs inputs"																			    },
	{ONE("{\"action\":\"a\",\"name\":\"run\",\"inputs\":[]}"),						   HW_EDOCUMENTCONTENT,
		"mainSteps[0].inputs: it must be a map"																		    },
	{ONE("{\"action\":7,\"name\":\"run\",\"inputs\":{}}"),						       HW_EDOCUMENTCONTENT,
		"mainSteps[0].action: it must be a text"																		   },
	{ONE("{\"action\":\"a\",\"name\":\"ab\",\"inputs\":{}}"),						  HW_EDOCUMENTCONTENT,
		"mainSteps[0]: a step's name has 3 to 128 letters, digits and _ - ."														       },
	{ONE("{\"action\":\"a\",\"name\":\"a b c\",\"inputs\":{}}"),					     HW_EDOCUMENTCONTENT,
		"mainSteps[0]: a step's name has 3 to 128 letters, digits and _ - ."														       },
	{ONE(STEP "," STEP),										     HW_EDOCUMENTCONTENT, "mainSteps[1]: another step is named run"			   },
	{ONE("{\"action\":\"a\",\"name\":\"run\",\"inputs\":{},\"onfailure\":1}"),
		HW_EDOCUMENTCONTENT,													 "mainSteps[0].onfailure: nothing of that name belongs here"	},
	{ONE("{\"action\":\"a\",\"name\":\"run\",\"inputs\":{},\"precondition\":[]}"),
		HW_EDOCUMENTCONTENT,													 "mainSteps[0].precondition: it must be a map"		  },
	{ONE("{\"action\":\"a\",\"name\":\"run\",\"inputs\":{},\"precondition\":{\"StringEquals\":\"a\"}}"),
		HW_EDOCUMENTCONTENT,													 "mainSteps[0].precondition.StringEquals: it must be a list"	},
	{ONE("{\"action\":\"a\",\"name\":\"run\",\"inputs\":{},\"precondition\":{\"StringEquals\":[\"a\",1]}}"),
		HW_EDOCUMENTCONTENT,													 "mainSteps[0].precondition.StringEquals[1]: it must be a text"},
};

Test(document_parse, what_a_step_cannot_be)
{
	REFUSE(steps, DOCUMENT_COMMAND);
}

static const struct refused declarations[] = {
	{V22("\"parameters\":[]"),							    HW_EDOCUMENTCONTENT, "parameters: it must be a map"						      },
	{DECLARED("\"my_name\":{\"type\":\"String\"}"),					HW_EDOCUMENTCONTENT,
		"parameters.my_name: a parameter's name has letters and digits alone, as {{ name }} is replaced by no other"										    },
	{DECLARED("\"\":{\"type\":\"String\"}"),						 HW_EDOCUMENTCONTENT,
		"parameters.: a parameter's name has letters and digits alone, as {{ name }} is replaced by no other"											     },
	{DECLARED("\"a\":\"String\""),							HW_EDOCUMENTCONTENT, "parameters.a: it must be a map"						    },
	{DECLARED("\"a\":{}"),								HW_EDOCUMENTCONTENT,
		"parameters.a: type must be String, StringList, StringMap, Integer, Boolean or MapList"												       },
	{DECLARED("\"a\":{\"type\":\"string\"}"),						  HW_EDOCUMENTCONTENT,
		"parameters.a: type must be String, StringList, StringMap, Integer, Boolean or MapList"												       },
	{DECLARED("\"a\":{\"type\":\"String\",\"alowedPattern\":\"x\"}"),			  HW_EDOCUMENTCONTENT,
		"parameters.a.alowedPattern: nothing of that name belongs here"															    },
	{DECLARED("\"a\":{\"type\":\"String\",\"default\":7}"),				HW_EDOCUMENTCONTENT,
		"parameters.a.default: it is not of type String"																	   },
	{DECLARED("\"a\":{\"type\":\"StringList\",\"default\":\"x\"}"),			HW_EDOCUMENTCONTENT,
		"parameters.a.default: it is not of type StringList"																       },
	{DECLARED("\"a\":{\"type\":\"StringList\",\"default\":[1]}"),			      HW_EDOCUMENTCONTENT,
		"parameters.a.default: it is not of type StringList"																       },
	{DECLARED("\"a\":{\"type\":\"StringMap\",\"default\":[]}"),			    HW_EDOCUMENTCONTENT,
		"parameters.a.default: it is not of type StringMap"																	},
	{DECLARED("\"a\":{\"type\":\"MapList\",\"default\":[\"x\"]}"),			       HW_EDOCUMENTCONTENT,
		"parameters.a.default: it is not of type MapList"																	  },
	{DECLARED("\"a\":{\"type\":\"Boolean\",\"default\":\"true\"}"),			HW_EDOCUMENTCONTENT,
		"parameters.a.default: it is not of type Boolean"																	  },
	{DECLARED("\"a\":{\"type\":\"Integer\"}"),						   HW_EDOCUMENTCONTENT,
		"parameters.a: a parameter of type Integer needs a default"																},
	{DECLARED("\"a\":{\"type\":\"String\",\"allowedPattern\":\"(\"}"),			   HW_EDOCUMENTCONTENT,
		"parameters.a.allowedPattern: the pattern is not valid at byte 1: missing closing parenthesis"											      },
	{DECLARED("\"a\":{\"type\":\"String\",\"allowedPattern\":7}"),			       HW_EDOCUMENTCONTENT,
		"parameters.a.allowedPattern: it must be a text"																	   },
	{DECLARED("\"a\":{\"type\":\"String\",\"allowedPattern\":\"^b\",\"default\":\"a\"}"),
		HW_EDOCUMENTCONTENT,										      "parameters.a.default: its own rules refuse it: it does not match allowedPattern"},
	{DECLARED("\"a\":{\"type\":\"String\",\"allowedValues\":[\"b\"],\"default\":\"a\"}"),
		HW_EDOCUMENTCONTENT,										      "parameters.a.default: its own rules refuse it: it is not one of allowedValues"  },
	{DECLARED("\"a\":{\"type\":\"String\",\"allowedValues\":[]}"),			       HW_EDOCUMENTCONTENT,
		"parameters.a.allowedValues: nothing would be allowed"																     },
	{DECLARED("\"a\":{\"type\":\"String\",\"allowedValues\":[1]}"),			HW_EDOCUMENTCONTENT,
		"parameters.a.allowedValues[0]: it must be a text"																	 },
	{DECLARED("\"a\":{\"type\":\"String\",\"minChars\":2,\"default\":\"a\"}"),
		HW_EDOCUMENTCONTENT,										      "parameters.a.default: its own rules refuse it: it is shorter than minChars, 2"  },
	{DECLARED("\"a\":{\"type\":\"String\",\"minChars\":\"2\"}"),			     HW_EDOCUMENTCONTENT,
		"parameters.a.minChars: it must be a number"																	       },
	{DECLARED("\"a\":{\"type\":\"String\",\"minChars\":-1}"),				  HW_EDOCUMENTCONTENT,
		"parameters.a.minChars: it cannot be below zero"																	   },
	{DECLARED("\"a\":{\"type\":\"String\",\"minChars\":2,\"maxChars\":1}"),		HW_EDOCUMENTCONTENT,
		"parameters.a: minChars is above maxChars"																		 },
	{DECLARED("\"a\":{\"type\":\"StringList\",\"minItems\":2,\"maxItems\":1}"),
		HW_EDOCUMENTCONTENT,										      "parameters.a: minItems is above maxItems"				       },
	{DECLARED("\"a\":{\"type\":\"String\",\"displayType\":\"x\"}"),			HW_EDOCUMENTCONTENT,
		"parameters.a: displayType must be textfield or textarea"																  },
	{DECLARED("\"a\":{\"type\":\"String\",\"interpolationType\":\"ENV\"}"),		HW_EDOCUMENTCONTENT,
		"parameters.a: interpolationType must be ENV_VAR or RAW"																   },
	{DECLARED("\"a\":{\"type\":\"StringList\",\"interpolationType\":\"ENV_VAR\"}"),
		HW_EDOCUMENTCONTENT,										      "parameters.a: interpolationType ENV_VAR is for a String alone"		       },
};

Test(document_parse, what_a_parameter_cannot_be)
{
	REFUSE(declarations, DOCUMENT_COMMAND);
}

#define S10(more) "{\"schemaVersion\":\"1.0\"" more "}"
#define TYPE(t)	  ",\"sessionType\":\"" t "\""

static const struct refused sessions[] = {
	{"{\"schemaVersion\":\"2.2\"}",											 HW_EDOCUMENTSCHEMA,
		"schemaVersion is not one of type Session: 1.0"																						       },
	{S10(""),													       HW_EDOCUMENTCONTENT,
		"sessionType must be Standard_Stream, InteractiveCommands, NonInteractiveCommands or Port"																	    },
	{S10(TYPE("X")),													HW_EDOCUMENTCONTENT,
		"sessionType must be Standard_Stream, InteractiveCommands, NonInteractiveCommands or Port"																	    },
	{S10(",\"mainSteps\":[]"),											      HW_EDOCUMENTCONTENT,
		"mainSteps: nothing of that name belongs here"																							},
	{S10(TYPE("Port")),												     HW_EDOCUMENTCONTENT, "properties: Port needs it"								    },
	{S10(TYPE("Port") ",\"properties\":{}"),										HW_EDOCUMENTCONTENT,
		"properties: portNumber is needed"																								    },
	{S10(TYPE("Port") ",\"properties\":{\"portNumber\":[]}"),								  HW_EDOCUMENTCONTENT,
		"properties.portNumber: it must be a text"																							    },
	{S10(TYPE("Port") ",\"properties\":{\"x\":\"1\"}"),								     HW_EDOCUMENTCONTENT,
		"properties.x: nothing of that name belongs here"																						     },
	{S10(TYPE("Port") ",\"properties\":{\"portNumber\":\"1\",\"type\":\"x\"}"),
		HW_EDOCUMENTCONTENT,															"properties: type must be LocalPortForwarding or Socks"				    },
	{S10(TYPE("InteractiveCommands") ",\"properties\":{}"),								 HW_EDOCUMENTCONTENT,
		"properties.linux: it is needed, with commands"																						       },
	{S10(TYPE("InteractiveCommands") ",\"properties\":{\"linux\":{}}"),							    HW_EDOCUMENTCONTENT,
		"properties.linux: commands is needed"																								},
	{S10(TYPE("InteractiveCommands") ",\"properties\":{\"linux\":{\"commands\":[\"a\"]}}"),
		HW_EDOCUMENTCONTENT,															"properties.linux.commands: it must be a text"						   },
	{S10(TYPE(
		 "NonInteractiveCommands") ",\"properties\":{\"linux\":{\"commands\":\"a\",\"runAsElevated\":true}}"),
		HW_EDOCUMENTCONTENT,															"properties.linux: runAsElevated must be false: whoever starts the session names its user"},
	{S10(TYPE("Standard_Stream") ",\"inputs\":{\"runAsEnabled\":true}"),						     HW_EDOCUMENTCONTENT,
		"inputs.runAsEnabled: the relay decides this, a document cannot: leave it empty"																		      },
	{S10(TYPE("Standard_Stream") ",\"inputs\":{\"shellProfile\":{\"linux\":\"x\"}}"),
		HW_EDOCUMENTCONTENT,															"inputs.shellProfile: the relay decides this, a document cannot: leave it empty"		},
	{S10(TYPE("Standard_Stream") ",\"inputs\":{\"x\":\"\"}"),								  HW_EDOCUMENTCONTENT,
		"inputs.x: nothing of that name belongs here"																							 },
	{S10(TYPE("Standard_Stream") ",\"inputs\":[]"),									 HW_EDOCUMENTCONTENT,
		"inputs: it must be a map"																									    },
};

Test(document_parse, what_a_session_cannot_be)
{
	REFUSE(sessions, DOCUMENT_SESSION);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static char *
repeated(const char *head, const char *piece, size_t n, const char *tail)
{
	size_t room = strlen(head) + n * strlen(piece) + strlen(tail) + 1;
	char *text = malloc(room), *p = text;

	p = stpcpy(p, head);
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, piece);
	stpcpy(p, tail);
	return text;
}

static void
refuse_made(char *text, int code, const char *part)
{
	struct hw_err err;

	cr_expect(eq(int, paper_refused(text, DOCUMENT_OTHER, &err), code), "%s", err.text);
	cr_expect_not_null(strstr(err.text, part), "%s", err.text);
	free(text);
}

Test(document_parse, size_is_bounded)
{
	char *text = repeated("{\"a\":\"", "x", DOCUMENT_SIZE_MAX - 8, "\"}");

	cr_assert(eq(sz, strlen(text), DOCUMENT_SIZE_MAX));
	document_free(paper_of(text, DOCUMENT_OTHER));
	free(text);
	refuse_made(repeated("{\"a\":\"", "x", DOCUMENT_SIZE_MAX - 7, "\"}"), HW_EDOCUMENTSIZE,
		"at most 65536 bytes, and this one has 65537");
}

Test(document_parse, depth_is_bounded)
{
	char *text = repeated("{\"a\":", "[", 31, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}");

	document_free(paper_of(text, DOCUMENT_OTHER));
	free(text);
	refuse_made(repeated("{\"a\":", "[", 32, ""), HW_EDOCUMENTCONTENT,
		"line 1, column 37: more than 32 lists and maps in each other");
	refuse_made(repeated("{\"a\":", "[", 60000, ""), HW_EDOCUMENTCONTENT, "in each other");
	refuse_made(repeated("a: ", "[", 32, ""), HW_EDOCUMENTCONTENT, "in each other");
	refuse_made(repeated("a: ", "[", 60000, ""), HW_EDOCUMENTCONTENT, "in each other");
	refuse_made(repeated("a: ", "- ", 30000, ""), HW_EDOCUMENTCONTENT, "line 1");
}

Test(document_parse, values_are_bounded)
{
	refuse_made(repeated("{\"a\":[[]", ",[]", 20001, "]}"), HW_EDOCUMENTCONTENT,
		"more than 20000 values");
	refuse_made(repeated("a:\n", "-\n", 20001, ""), HW_EDOCUMENTCONTENT, "too many values");
}

Test(document_parse, aliases_are_counted_as_what_they_stand_for)
{
	refuse_made(strdup("a: &a [x,x,x,x,x,x,x,x,x,x]\n"
			   "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
			   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
			   "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
			   "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
			   "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"),
		HW_EDOCUMENTCONTENT, "line 5, column 8: the document has too many values");
	char *long_text = repeated("a: &a ", "x", 30000, "\n");
	refuse_made(repeated(long_text, "b: [*a,*a]\n", 1, "c: [*a,*a,*a]\n"), HW_EDOCUMENTCONTENT,
		"texts are too long, or its aliases make them");
	free(long_text);
	/* Each deeper by one than the one before. */
	char *deep = strdup("x0: &x0 []\n"), *more;
	for (int i = 1; i < 33; i++) {
		cr_assert(gt(int, asprintf(&more, "%sx%d: &x%d [*x%d]\n", deep, i, i, i - 1), 0));
		free(deep);
		deep = more;
	}
	refuse_made(deep, HW_EDOCUMENTCONTENT, "too many lists and maps in each other");
}

Test(document_parse, anchors_are_bounded)
{
	char *text = strdup("a:\n"), *more;

	for (int i = 0; i < 257; i++) {
		cr_assert(gt(int, asprintf(&more, "%s- &a%d x\n", text, i), 0));
		free(text);
		text = more;
	}
	refuse_made(text, HW_EDOCUMENTCONTENT, "line 258, column 3: too many anchors");
}

Test(document_parse, parameters_and_steps_are_bounded)
{
	struct hw_err err;
	char *text = strdup(""), *more, *whole;

	for (int i = 0; i < 201; i++) {
		cr_assert(gt(int,
			asprintf(&more, "%s%s\"p%d\":{\"type\":\"String\"}", text, i > 0 ? "," : "",
				i),
			0));
		free(text);
		text = more;
	}
	cr_assert(gt(int,
		asprintf(&whole, V22("\"mainSteps\":[" STEP "],\"parameters\":{%s}"), text), 0));
	cr_assert(eq(int, paper_refused(whole, DOCUMENT_COMMAND, &err), HW_EDOCUMENTCONTENT));
	cr_assert_str_eq(err.text, "parameters: there are more than 200");
	free(whole);
	free(text);

	text = strdup("schemaVersion: '2.2'\nmainSteps:\n");
	for (int i = 0; i < 1001; i++) {
		cr_assert(gt(int,
			asprintf(&more, "%s- {action: a, name: s%03d, inputs: {}}\n", text, i), 0));
		free(text);
		text = more;
	}
	cr_assert(eq(int, paper_refused(text, DOCUMENT_COMMAND, &err), HW_EDOCUMENTCONTENT));
	cr_assert_str_eq(err.text, "mainSteps[1000]: there are more than 1000 steps");
	free(text);
}

/* --- written anew ----------------------------------------------------------------------------- */

static void
round_trip(const char *text, int format)
{
	struct document *d = paper(text), *again = NULL;
	struct hw_err err = HW_ERR_INIT;
	char *written = NULL;
	size_t n;

	cr_assert(eq(int, document_write(&written, &n, d, format, &err), 0), "%s", err.text);
	cr_assert(eq(sz, strlen(written), n));
	cr_assert(eq(int, document_parse(&again, written, n, format, DOCUMENT_COMMAND, &err), 0),
		"%s\n%s", err.text, written);
	cr_expect(eq(int, json_equal(document_tree(d), document_tree(again)), 1), "%s", written);
	free(written);
	document_free(d);
	document_free(again);
}

Test(document_parse, a_document_written_in_the_other_format_is_the_same)
{
	static const char odd[] = ONE(
		"{\"action\":\"a\",\"name\":\"run\",\"inputs\":{\"a\":\"true\",\"b\":\"12\",\"c\":\"\","
		"\"d\":\"~\",\"e\":null,\"f\":1.5,\"g\":[],\"h\":{},\"i\":\" lead\\n\\ttab\\n\","
		"\"j\":\"trail \\n \",\"k\":\"- x: y # z\",\"l\":\"\\u00e9\\ud83d\\ude00\",\"m\":\"\\r\\n\","
		"\"<n\":\"<<\",\"multi\\nline\":\"a\\n\\n\\nb\",\"o\":false,\"p\":-3,\"q\":\"\\u2028\","
		"\"runCommand\":[\"true\",\"1\",\"\\n\",\"#!/bin/bash\\nset -e\\n  x\\n\"],\"123\":\"x\"}}");

	round_trip(yaml, DOCUMENT_FORMAT_JSON);
	round_trip(yaml, DOCUMENT_FORMAT_YAML);
	round_trip(odd, DOCUMENT_FORMAT_JSON);
	round_trip(odd, DOCUMENT_FORMAT_YAML);
}

static bool
for_linux(const char *list)
{
	struct document *d = NULL;
	struct hw_err err = HW_ERR_INIT;
	char text[512];

	snprintf(text, sizeof(text), "{\"schemaVersion\":\"2.2\",\"mainSteps\":[%s]}", list);
	cr_assert(eq(int, document_parse(&d, text, strlen(text), 0, DOCUMENT_COMMAND, &err), 0),
		"%s", err.text);
	bool ret = document_is_for_linux(d);
	document_free(d);
	return ret;
}

#define DOES(name, action) "{\"name\":\"" name "\",\"action\":\"" action "\",\"inputs\":{}}"

Test(document, is_for_linux_unless_all_its_plugins_are_of_windows)
{
	cr_assert(for_linux(DOES("one", "aws:runShellScript")));
	cr_assert(for_linux(DOES("one", "aws:runPowerShellScript")));
	cr_assert(for_linux(DOES("one", "aws:psModule") "," DOES("two", "aws:runShellScript")));
	cr_assert(not(for_linux(DOES("one", "aws:psModule"))));
	cr_assert(not(for_linux(DOES("one", "aws:psModule") "," DOES("two", "aws:applications"))));
	cr_assert(for_linux(DOES("one", "aws:unheardOf")));
}
