#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/wire/codec.h"
#include "tests/unit/wire/sample.h"

#define ROOM (8u << 20)

/* Everything that a test takes; Criterion gives each test its own process. */
static struct arena *arena;
static struct buf out;
static struct hw_err err;

static void
set_up(void)
{
	arena = arena_new(64u << 20);
	buf_init(&out, ROOM);
}

static void
tear_down(void)
{
	buf_fini(&out);
	arena_free(arena);
}

TestSuite(codec, .init = set_up, .fini = tear_down);

/* The message's encoding; `out` starts over. */
static struct msg_bin
encoded(const struct msg_row *row, const void *msg)
{
	buf_reset(&out);
	cr_assert(eq(int, msg_encode(&out, row, msg, &err), 0), "%s: %s", row->name, err.text);
	return (struct msg_bin){.p = arena_dup(arena, buf_data(&out), out.len), .n = out.len};
}

static const char *
as_json(const struct msg_row *row, const void *msg, int flags)
{
	buf_reset(&out);
	cr_assert(eq(int, msg_to_json(&out, row, msg, flags), 0), "%s", row->name);
	return arena_strdup(arena, buf_str(&out));
}

static bool
is(const char *text, const char *wanted)
{
	if (strcmp(text, wanted) != 0)
		fprintf(stderr, "it is:  %s\nwanted: %s\n", text, wanted);
	return strcmp(text, wanted) == 0;
}

static bool
holds(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static bool
same(struct msg_bin a, struct msg_bin b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static void *
from_json(const struct msg_row *row, const char *json)
{
	void *msg = NULL;

	cr_assert(eq(int, msg_from_json(&msg, arena, row, json, strlen(json), &err), 0),
		"%s: %s: %s", row->name, json, err.text);
	return msg;
}

/* Both decoders must refuse with this sentence. */
static void
refuses_json(const struct msg_row *row, const char *json, int code, const char *sentence)
{
	void *msg = NULL;

	cr_assert(eq(int, msg_from_json(&msg, arena, row, json, strlen(json), &err), code), "%s",
		json);
	cr_assert(is(err.text, sentence));
	cr_assert(eq(ptr, msg, NULL));
}

static void
refuses_bytes(const struct msg_row *row, const char *bytes, size_t n, int code,
	const char *sentence)
{
	void *msg = NULL;

	cr_assert(eq(int, msg_decode(&msg, arena, row, bytes, n, &err), code), "%s", sentence);
	cr_assert(is(err.text, sentence));
	cr_assert(eq(ptr, msg, NULL));
}
#define REFUSES_BYTES(row, bytes, code, sentence) \
	refuses_bytes(row, bytes, sizeof(bytes) - 1, code, sentence)

static void
refuses_to_encode(const struct msg_row *row, const void *msg, const char *sentence)
{
	buf_reset(&out);
	buf_append_str(&out, "before");
	cr_assert(eq(int, msg_encode(&out, row, msg, &err), HW_EVALIDATION), "%s", sentence);
	cr_assert(is(err.text, sentence));
	cr_assert(eq(sz, out.len, 6), "nothing is left of it");
}

/* --- every message -------------------------------------------------------------------------------
 */

static void
round_trip(const struct msg_row *row, enum sample_size size)
{
	struct arena_mark mark = arena_mark(arena);
	const void *msg = sample_message(arena, row, size);
	struct msg_bin bytes = encoded(row, msg);
	void *again;

	cr_assert(eq(int, msg_decode(&again, arena, row, bytes.p, bytes.n, &err), 0), "%s: %s",
		row->name, err.text);
	cr_assert(same(encoded(row, again), bytes), "%s", row->name);
	for (int pretty = 0; pretty <= JSON_PRETTY; pretty++) {
		const char *json = as_json(row, msg, JSON_SECRETS | pretty);
		void *third = from_json(row, json);

		cr_assert(same(encoded(row, third), bytes), "%s: %s", row->name, json);
		cr_assert(is(as_json(row, third, JSON_SECRETS | pretty), json));
	}
	arena_release(arena, &mark);
}

Test(codec, every_message_survives_both_encodings)
{
	for (size_t i = 0; i < msg_row_count(); i++)
		for (int size = 0; size < SAMPLE_SIZES; size++)
			round_trip(msg_row_at(i), (enum sample_size)size);
}

Test(codec, every_fields_name_has_its_length)
{
	for (size_t i = 0; i < msg_row_count(); i++) {
		const struct msg_row *row = msg_row_at(i);

		for (size_t k = 0; k < row->count; k++)
			cr_assert(eq(sz, row->fields[k].wire_len, strlen(row->fields[k].wire)));
	}
}

/* Each takes the place that was looked at first from another. */
Test(codec, fields_are_found_in_any_order)
{
	static const char *const orders[] = {
		"{\"Type\":\"Resize\",\"Cols\":80,\"Rows\":200}",
		"{\"Type\":\"Resize\",\"Rows\":200,\"Cols\":80}",
		"{\"Cols\":80,\"Type\":\"Resize\",\"Rows\":200}",
		"{\"Cols\":80,\"Rows\":200,\"Type\":\"Resize\"}",
		"{\"Rows\":200,\"Type\":\"Resize\",\"Cols\":80}",
		"{\"Rows\":200,\"x\":0,\"Cols\":80,\"y\":1,\"Type\":\"Resize\"}",
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		const struct msg_control *read = from_json(MSG_ROW(control), orders[i]);

		cr_assert(eq(int, (int)read->type, CONTROL_RESIZE), "%s", orders[i]);
		cr_assert(eq(i64, read->cols, 80), "%s", orders[i]);
		cr_assert(eq(i64, read->rows, 200), "%s", orders[i]);
	}
}

Test(codec, every_message_cut_anywhere_is_refused)
{
	for (size_t i = 0; i < msg_row_count(); i++) {
		const struct msg_row *row = msg_row_at(i);
		struct msg_bin bytes = encoded(row, sample_message(arena, row, SAMPLE_SOME));
		void *msg = NULL;

		for (size_t n = 0; n < bytes.n; n++) {
			uint8_t *cut = arena_dup(arena, bytes.p, n);

			cr_assert(eq(int, msg_decode(&msg, arena, row, cut, n, &err), HW_ESERIAL),
				"%s cut to %zu", row->name, n);
		}
		cr_assert(eq(ptr, msg, NULL));
	}
}

Test(codec, every_message_refuses_bytes_after_its_end)
{
	for (size_t i = 0; i < msg_row_count(); i++) {
		const struct msg_row *row = msg_row_at(i);
		void *msg;

		encoded(row, sample_message(arena, row, SAMPLE_LEAST));
		buf_append_byte(&out, 0xc0);
		cr_assert(eq(int, msg_decode(&msg, arena, row, buf_data(&out), out.len, &err),
			HW_ESERIAL));
	}
}

Test(codec, every_required_field_is_missed_by_its_name)
{
	for (size_t i = 0; i < msg_row_count(); i++) {
		const struct msg_row *row = msg_row_at(i);
		const struct field_row *first = NULL;
		void *msg;

		for (size_t k = row->count; k > 0; k--)
			if (row->fields[k - 1].flags & FIELD_REQ)
				first = &row->fields[k - 1];
		if (first == NULL)
			continue;
		cr_assert(eq(int, msg_from_json(&msg, arena, row, "{}", 2, &err), HW_EVALIDATION));
		cr_assert(is(err.text, arena_printf(arena, "%s: required", first->wire)));
		cr_assert(eq(int, msg_decode(&msg, arena, row, "\x80", 1, &err), HW_EVALIDATION));
		cr_assert(is(err.text, arena_printf(arena, "%s: required", first->wire)));
	}
}

Test(codec, every_secret_is_hidden_unless_asked_for)
{
	int secrets = 0;

	for (size_t i = 0; i < msg_row_count(); i++) {
		const struct msg_row *row = msg_row_at(i);
		const char *json = as_json(row, sample_message(arena, row, SAMPLE_SOME), 0);

		for (size_t k = 0; k < row->count; k++) {
			if (!(row->fields[k].flags & FIELD_SECRET))
				continue;
			secrets++;
			cr_assert(holds(json,
				arena_printf(arena, "\"%s\":\"***\"", row->fields[k].wire)));
		}
	}
	cr_assert(ge(int, secrets, 4));
}

/* --- bytes
 * ----------------------------------------------------------------------------------------- */

Test(codec, bytes_are_canonical)
{
	struct msg_control control = {.type = CONTROL_RESIZE, .cols = 80, .rows = 200};
	static const char golden[] = "\x83\xa4Type\xa6Resize\xa4"
				     "Cols\x50\xa4Rows\xcc\xc8";
	struct msg_bin bytes = encoded(MSG_ROW(control), &control);

	cr_assert(eq(sz, bytes.n, sizeof(golden) - 1));
	cr_assert(eq(int, memcmp(bytes.p, golden, bytes.n), 0));
}

/* Where a text's head grows by a byte. */
Test(codec, a_texts_head_is_the_shortest)
{
	static const struct {
		size_t text, head;
	} sizes[] = {
		{0,   1},
		{31,  1},
		 {32,  2},
		  {255, 2},
		    {256, 3}
	    };
	char text[257];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct msg_error e = {.message = arena_strndup(arena, text, sizes[i].text)}, *back;
		struct msg_bin bytes = encoded(MSG_ROW(error), &e);

		cr_assert(eq(sz, bytes.n, 1 + 8 + sizes[i].head + sizes[i].text));
		cr_assert(eq(int,
			msg_decode((void **)&back, arena, MSG_ROW(error), bytes.p, bytes.n, &err),
			0));
		cr_assert(is(back->message, e.message));
	}
}

Test(codec, absent_and_empty_are_different_for_texts_only)
{
	struct msg_error absent = {0}, empty = {.message = ""};
	struct msg_hello hello = {.version_min = 1,
		.version_max = 1,
		.role = ROLE_NODE,
		.id = "mi",
		.software = "x",
		.frame_max = 65536};
	struct msg_error *read;

	cr_assert(eq(sz, encoded(MSG_ROW(error), &absent).n, 1));
	struct msg_bin bytes = encoded(MSG_ROW(error), &empty);
	cr_assert(eq(sz, bytes.n, 1 + 8 + 1));
	cr_assert(eq(int, msg_decode((void **)&read, arena, MSG_ROW(error), bytes.p, bytes.n, NULL),
		0));
	cr_assert(is(read->message, ""));
	cr_assert(eq(ptr, (void *)read->code, NULL));
	cr_assert(holds(as_json(MSG_ROW(hello), &hello, 0), "\"Time\":0.000"), "it is required");
	cr_assert(not(holds(as_json(MSG_ROW(hello), &hello, 0), "Capabilities")));
}

/* JSON lets them stand; a terminal would obey U+009B as it does ESC [. */
Test(codec, json_text_steers_no_terminal)
{
	struct msg_error e = {.code = "x",
		.message = "a\033\xc2\x9b"
			   "2J\x7f\xc3\xa9"};

	cr_assert(holds(as_json(MSG_ROW(error), &e, 0), "\"a\\u001b\\u009b2J\\u007f\xc3\xa9\""));
	struct msg_error *back = from_json(MSG_ROW(error), as_json(MSG_ROW(error), &e, 0));
	cr_assert(is(back->message, e.message));
}

Test(codec, nil_means_absent)
{
	struct msg_error *e;

	cr_assert(eq(int,
		msg_decode((void **)&e, arena, MSG_ROW(error), "\x81\xa7Message\xc0", 10, &err),
		0));
	cr_assert(eq(ptr, (void *)e->message, NULL));
	e = from_json(MSG_ROW(error), "{\"Message\": null, \"Code\": \"x\"}");
	cr_assert(eq(ptr, (void *)e->message, NULL));
	REFUSES_BYTES(MSG_ROW(get_connection_status_request), "\x81\xa6Target\xc0", HW_EVALIDATION,
		"Target: required");
}

Test(codec, unknown_fields_are_skipped_whatever_they_hold)
{
	static const char bytes[] =
		"\x84\xa1?\x93\x01\x81\x02\xc0\xc4\x01z\xa7Message\xa2hi\xa2!!\xcb\0\0\0\0\0\0\0\0\xa0\xd4\x01\x02";
	struct msg_error *e;

	cr_assert(eq(int,
			  msg_decode((void **)&e, arena, MSG_ROW(error), bytes, sizeof(bytes) - 1,
				  &err),
			  0),
		"%s", err.text);
	cr_assert(is(e->message, "hi"));
	e = from_json(MSG_ROW(error), "{\"a\":[{\"Message\":1}],\"Message\":\"hi\",\"\":{}}");
	cr_assert(is(e->message, "hi"));
}

Test(codec, what_is_decoded_does_not_lead_into_the_input)
{
	char bytes[] = "\x81\xa5Proof\xc4\x02hi";
	struct msg_open open = {.type = CHANNEL_TYPE_PTY, .session_id = "s", .proof = {.n = 2}};
	struct msg_open *read;

	open.proof.p = (const uint8_t *)"hi";
	struct msg_bin in = encoded(MSG_ROW(open), &open);
	uint8_t *copy = arena_dup(arena, in.p, in.n);
	cr_assert(eq(int, msg_decode((void **)&read, arena, MSG_ROW(open), copy, in.n, &err), 0));
	memset(copy, 0xff, in.n);
	cr_assert(eq(int, memcmp(read->proof.p, "hi", 2), 0));
	cr_assert(is(read->session_id, "s"));
	REFUSES_BYTES(MSG_ROW(open), bytes, HW_EVALIDATION, "Type: required");
}

/* --- what is refused
 * ---------------------------------------------------------------------------------- */

Test(codec, bounds_are_named_with_the_field)
{
	const struct msg_row *info = MSG_ROW(describe_instance_information_request);

	refuses_json(info, "{\"MaxResults\":3}", HW_EVALIDATION,
		"MaxResults: 3 is out of range 5..50");
	refuses_json(info, "{\"MaxResults\":51}", HW_EVALIDATION,
		"MaxResults: 51 is out of range 5..50");
	refuses_json(info,
		"{\"Filters\":[{\"Key\":\"a\",\"Values\":[\"b\"]},{\"Key\":\"a\",\"Values\":[]}]}",
		HW_EVALIDATION, "Filters[1].Values: 0 items, at least 1");
	refuses_json(info, "{\"Filters\":[{\"Values\":[\"b\"]}]}", HW_EVALIDATION,
		"Filters[0].Key: required");
	refuses_json(MSG_ROW(create_activation_request),
		"{\"Tags\":[{\"Key\":\"\",\"Value\":\"\"}]}", HW_EVALIDATION,
		"Tags[0].Key: 0 bytes, at least 1");
	refuses_json(MSG_ROW(delete_activation_request), "{\"ActivationId\":\"x\"}", HW_EVALIDATION,
		"ActivationId: 1 byte, at least 36");
	from_json(info, "{\"MaxResults\":5}");
	from_json(info, "{\"MaxResults\":50}");
}

Test(codec, wrong_types_are_named_with_the_field)
{
	const struct msg_row *start = MSG_ROW(start_session_request);

	refuses_json(start, "{\"Target\":3}", HW_EVALIDATION, "Target: must be a text");
	refuses_json(start, "{\"Target\":\"a\",\"Parameters\":[]}", HW_EVALIDATION,
		"Parameters: must be a map of lists of texts");
	refuses_json(start, "{\"Target\":\"a\",\"Parameters\":{\"p\":\"q\"}}", HW_EVALIDATION,
		"Parameters.\"p\": must be a list of texts");
	refuses_json(start, "{\"Target\":\"a\",\"Parameters\":{\"p\":[\"q\",null]}}",
		HW_EVALIDATION, "Parameters.\"p\"[1]: must be a text");
	refuses_json(MSG_ROW(list_users_request), "{\"MaxResults\":\"5\"}", HW_EVALIDATION,
		"MaxResults: must be an integer of 64 bits");
	refuses_json(MSG_ROW(create_user_request), "{\"UserName\":\"u\",\"Administrator\":1}",
		HW_EVALIDATION, "Administrator: must be true or false");
	refuses_json(MSG_ROW(create_activation_request), "{\"ExpirationDate\":\"yesterday\"}",
		HW_EVALIDATION, "ExpirationDate: must be a time");
	refuses_json(MSG_ROW(create_activation_request), "{\"Tags\":[null]}", HW_EVALIDATION,
		"Tags[0]: must be a map");
	refuses_json(MSG_ROW(renew_certificate_request), "{\"CertificateSigningRequest\":\"a\"}",
		HW_EVALIDATION, "CertificateSigningRequest: must be base64");
	REFUSES_BYTES(MSG_ROW(renew_certificate_request),
		"\x81\xb9"
		"CertificateSigningRequest\xa1z",
		HW_EVALIDATION, "CertificateSigningRequest: must be bytes");
	REFUSES_BYTES(MSG_ROW(error), "\x81\xa7Message\xc4\x01z", HW_EVALIDATION,
		"Message: must be a text");
	REFUSES_BYTES(MSG_ROW(error), "\x90", HW_ESERIAL, "the message is no map");
	REFUSES_BYTES(MSG_ROW(error), "\x81\x01\x01", HW_ESERIAL, "a field's name is no text");
	refuses_json(start, "[]", HW_ESERIAL, "the message is no map");
}

Test(codec, an_unknown_enum_value_is_shown_escaped_and_short)
{
	refuses_json(MSG_ROW(describe_sessions_request), "{\"State\":\"Foo\\u001b\\\"\"}",
		HW_EVALIDATION, "State: \"Foo\\x1b\\x22\" is none of Active, History");
	refuses_json(MSG_ROW(describe_sessions_request), "{\"State\":\"\"}", HW_EVALIDATION,
		"State: \"\" is none of Active, History");
	refuses_json(MSG_ROW(describe_sessions_request),
		"{\"State\":\"0123456789012345678901234567890123456789more\"}", HW_EVALIDATION,
		"State: \"0123456789012345678901234567890123456789\"... is none of Active, History");
	refuses_json(MSG_ROW(describe_sessions_request), "{\"State\":\"active\"}", HW_EVALIDATION,
		"State: \"active\" is none of Active, History");
}

Test(codec, texts_hold_no_nul_and_no_broken_utf8)
{
	REFUSES_BYTES(MSG_ROW(error), "\x81\xa7Message\xa2\xc0\x80", HW_EVALIDATION,
		"Message: is not valid UTF-8");
	REFUSES_BYTES(MSG_ROW(error),
		"\x81\xa7Message\xa3"
		"a\0b",
		HW_EVALIDATION, "Message: has a NUL in it");
	refuses_json(MSG_ROW(error), "{\"Message\":\"a\\u0000b\"}", HW_EVALIDATION,
		"Message: has a NUL in it");
	refuses_json(MSG_ROW(error), "{\"Message\":\"\xff\"}", HW_ESERIAL, "not valid UTF-8");
	refuses_to_encode(MSG_ROW(error), &(struct msg_error){.message = "\xff"},
		"Message: is not valid UTF-8");
}

Test(codec, nothing_is_given_twice)
{
	REFUSES_BYTES(MSG_ROW(error),
		"\x82\xa4"
		"Code\xa1"
		"a\xa4"
		"Code\xc0",
		HW_EVALIDATION, "Code: is there twice");
	refuses_json(MSG_ROW(error), "{\"Code\":\"a\",\"Code\":\"b\"}", HW_ESERIAL,
		"line 1 column 18: a name is there twice");
	REFUSES_BYTES(MSG_ROW(start_session_request),
		"\x82\xa6Target\xa1t\xaaParameters\x82\xa1k\x90\xa1k\x90", HW_EVALIDATION,
		"Parameters: the key \"k\" is there twice");
}

Test(codec, an_error_shows_nothing_of_a_secret)
{
	static const char *const inputs[] = {
		"{\"ActivationId\":\"a\",\"ActivationCode\":\"hunter2\",\"CertificateSigningRequest\":\"\"}",
		"{\"ActivationCode\":\"hunter2",
		"{\"ActivationCode\": hunter2}",
		"{\"ActivationCode\":\"\\ud800hunter2\"}",
	};
	void *msg;

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		cr_assert(lt(int,
			msg_from_json(&msg, arena, MSG_ROW(register_managed_instance_request),
				inputs[i], strlen(inputs[i]), &err),
			0));
		cr_assert(not(holds(err.text, "hunter2")), "%s", err.text);
	}
}

Test(codec, a_sender_keeps_its_own_bounds)
{
	struct msg_tag tags[2] = {
		{.key = "k", .value = "v"},
		    {.key = "k"	       }
	};
	struct msg_add_tags_to_resource_request add = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE, .resource_id = "mi"};

	refuses_to_encode(MSG_ROW(add_tags_to_resource_request), &add, "Tags: required");
	add.tags.v = tags;
	add.tags.n = 2;
	refuses_to_encode(MSG_ROW(add_tags_to_resource_request), &add, "Tags[1].Value: required");
	add.tags.n = 1;
	add.resource_type = 99;
	refuses_to_encode(MSG_ROW(add_tags_to_resource_request), &add,
		"ResourceType: 99 is no value of TAG_RESOURCE");
	refuses_to_encode(MSG_ROW(list_users_request),
		&(struct msg_list_users_request){.max_results = 1001},
		"MaxResults: 1001 is out of range 1..1000");
	refuses_to_encode(MSG_ROW(control),
		&(struct msg_control){.type = CONTROL_PING, .time = INT64_MAX},
		"Time: not within the years 1 to 9999");
}

/* --- bombs
 * -------------------------------------------------------------------------------------------- */

Test(codec, five_bytes_take_no_memory)
{
	static const char *const bombs[] = {"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff",
		"\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff"};

	for (size_t i = 0; i < msg_row_count(); i++) {
		for (size_t k = 0; k < sizeof(bombs) / sizeof(bombs[0]); k++) {
			size_t before = arena_used(arena);
			void *msg;

			cr_assert(eq(int, msg_decode(&msg, arena, msg_row_at(i), bombs[k], 5, &err),
				HW_ESERIAL));
			cr_assert(eq(sz, arena_used(arena), before));
		}
	}
}

Test(codec, counts_over_the_bound_take_no_memory)
{
	/* 70 parameters, and 51 filters, that are all there */
	static const char head[] = "\x82\xa6Target\xa1t\xaaParameters\xde\0\x46";
	static const char filters[] = "\x81\xa7"
				      "Filters\xdc\0\x33";
	struct arena *small = arena_new(4096);
	void *msg;

	buf_append(&out, head, sizeof(head) - 1);
	for (int i = 0; i < 70; i++)
		buf_append(&out, "\xa1k\x90", 3);
	cr_assert(eq(int,
		msg_decode(&msg, small, MSG_ROW(start_session_request), buf_data(&out), out.len,
			&err),
		HW_EVALIDATION));
	cr_assert(is(err.text, "Parameters: 70 keys, at most 64"));
	buf_reset(&out);
	buf_append(&out, filters, sizeof(filters) - 1);
	for (int i = 0; i < 51; i++)
		buf_append_byte(&out, 0x80);
	cr_assert(eq(int,
		msg_decode(&msg, small, MSG_ROW(describe_instance_information_request),
			buf_data(&out), out.len, &err),
		HW_EVALIDATION));
	cr_assert(is(err.text, "Filters: 51 items, at most 50"));
	cr_assert(lt(sz, arena_used(small), 1024));
	arena_free(small);
}

Test(codec, nesting_in_unknown_fields_is_bounded)
{
	char bytes[4096];
	void *msg;

	memset(bytes, 0x91, sizeof(bytes));
	memcpy(bytes, "\x81\xa1?", 3);
	cr_assert(eq(int, msg_decode(&msg, arena, MSG_ROW(error), bytes, sizeof(bytes), &err),
		HW_ESERIAL));
	memset(bytes, '[', sizeof(bytes));
	memcpy(bytes, "{\"a\":", 5);
	cr_assert(eq(int, msg_from_json(&msg, arena, MSG_ROW(error), bytes, sizeof(bytes), &err),
		HW_ESERIAL));
}

Test(codec, a_full_arena_is_a_limit)
{
	for (size_t i = 0; i < msg_row_count(); i++) {
		const struct msg_row *row = msg_row_at(i);
		struct msg_bin bytes = encoded(row, sample_message(arena, row, SAMPLE_SOME));
		struct arena *small = arena_new(row->size - 1);
		struct arena *tight = arena_new(row->size + 8);
		void *msg = NULL;

		cr_assert(eq(int, msg_decode(&msg, small, row, bytes.p, bytes.n, &err), HW_ELIMIT));
		cr_assert(le(int, msg_decode(&msg, tight, row, bytes.p, bytes.n, &err), 0));
		arena_free(small);
		arena_free(tight);
	}
}

Test(codec, a_full_buffer_is_a_limit_and_keeps_what_it_had)
{
	const struct msg_row *row = MSG_ROW(ledger_entry);
	const void *msg = sample_message(arena, row, SAMPLE_SOME);
	size_t need = encoded(row, msg).n;

	for (size_t max = 3; max < need + 3; max++) {
		struct buf b;

		buf_init(&b, max);
		buf_append_str(&b, "abc");
		cr_assert(eq(int, msg_encode(&b, row, msg, &err), HW_ELIMIT), "%zu of %zu", max,
			need);
		cr_assert(eq(int, msg_to_json(&b, row, msg, 0), HW_ELIMIT));
		cr_assert(eq(sz, b.len, 3));
		buf_fini(&b);
	}
}

/* --- JSON
 * -----------------------------------------------------------------------------------------------
 */

static int64_t
time_of(const char *json)
{
	struct msg_create_activation_request *m = from_json(MSG_ROW(create_activation_request),
		arena_printf(arena, "{\"ExpirationDate\":%s}", json));

	return m->expiration_date;
}

Test(codec, json_times_are_seconds_or_rfc3339)
{
	cr_assert(eq(i64, time_of("1795454456"), INT64_C(1795454456000000)));
	cr_assert(eq(i64, time_of("1795454456.789"), INT64_C(1795454456789000)));
	cr_assert(eq(i64, time_of("1.795454456789E9"), INT64_C(1795454456789000)));
	cr_assert(eq(i64, time_of("\"2026-11-23T17:20:56.789Z\""), INT64_C(1795454456789000)));
	cr_assert(eq(i64, time_of("-1.5"), -1500000));
	refuses_json(MSG_ROW(create_activation_request), "{\"ExpirationDate\":9223372036854775807}",
		HW_EVALIDATION, "ExpirationDate: must be a time");
	refuses_json(MSG_ROW(create_activation_request), "{\"ExpirationDate\":1e300}",
		HW_EVALIDATION, "ExpirationDate: must be a time");
	refuses_json(MSG_ROW(create_activation_request), "{\"ExpirationDate\":253402300800}",
		HW_EVALIDATION, "ExpirationDate: not within the years 1 to 9999");
}

Test(codec, json_is_written_as_it_is_read_elsewhere)
{
	struct msg_tag tag = {.key = "a\"\\/\n\x01\x7f\xc3\xa9", .value = "x\xff\xe2\x82"};
	struct msg_user user = {.user_name = "u", .created = -1500000};
	static const struct msg_list_users_reply none;

	cr_assert(is(as_json(MSG_ROW(tag), &tag, 0),
		"{\"Key\":\"a\\\"\\\\/\\n\\u0001\\u007f\xc3\xa9\",\"Value\":\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}"));
	cr_assert(is(as_json(MSG_ROW(user), &user, JSON_PRETTY),
		"{\n  \"UserName\": \"u\",\n  \"CreateDate\": -1.500\n}"));
	cr_assert(is(as_json(MSG_ROW(list_users_reply), &none, 0), "{\"Users\":[]}"));
	cr_assert(is(as_json(MSG_ROW(empty), &(struct msg_empty){0}, JSON_PRETTY), "{}"));
}

Test(codec, json_strings_stand_alone_too)
{
	buf_reset(&out);
	cr_assert(eq(int, json_append_string(&out, "a\0b\t", 4), 0));
	cr_assert(is(buf_str(&out), "\"a\\u0000b\\t\""));
	buf_fini(&out);
	buf_init(&out, 3);
	cr_assert(eq(int, json_append_string(&out, "ab", 2), HW_ELIMIT));
	cr_assert(eq(sz, out.len, 0));
}
