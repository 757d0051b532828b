#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <string.h>

#include "relay/edge/http.h"

#define JSON "application/json"
#define KEY  "dGhlIHNhbXBsZSBub25jZQ=="

#define plan_of(...) http_plan(&(struct http_head){__VA_ARGS__})

static void
expect_refusal(struct http_plan plan, int status)
{
	cr_assert(eq(int, plan.action, HTTP_REFUSE));
	cr_assert(eq(int, plan.status, status));
	cr_assert_not_null(plan.code);
	cr_assert_not_null(plan.message);
}

/* --- paths and methods --------------------------------------------------------------------- */

Test(http, health_is_at_both_doors)
{
	cr_assert(eq(int, plan_of(.method = HTTP_GET, .path = "/healthz").action, HTTP_HEALTH));
	cr_assert(eq(int, plan_of(.method = HTTP_HEAD, .path = "/healthz").action, HTTP_HEALTH));
	cr_assert(eq(int,
		plan_of(.door = HTTP_DOOR_METRICS, .method = HTTP_GET, .path = "/healthz").action,
		HTTP_HEALTH));
}

Test(http, metrics_are_at_their_own_door_only)
{
	cr_assert(eq(int,
		plan_of(.door = HTTP_DOOR_METRICS, .method = HTTP_GET, .path = "/metrics").action,
		HTTP_METRICS));
	expect_refusal(plan_of(.method = HTTP_GET, .path = "/metrics"), 404);
	expect_refusal(plan_of(.door = HTTP_DOOR_METRICS, .method = HTTP_POST, .path = "/login",
			       .content_length = "2", .content_type = JSON),
		404);
	expect_refusal(plan_of(.door = HTTP_DOOR_METRICS, .method = HTTP_GET, .path = "/link"),
		404);
}

Test(http, paths_match_exactly)
{
	static const char *const paths[] = {"", "/healthz/", "/Healthz", "//healthz", "/healthz/x",
		"/healthzx", "/link/", "/register/..", "healthz"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		expect_refusal(plan_of(.method = HTTP_GET, .path = paths[i]), 404);
}

Test(http, wrong_methods_are_told_the_right_ones)
{
	struct http_plan plan = plan_of(.method = HTTP_POST, .path = "/healthz");

	expect_refusal(plan, 405);
	cr_assert_str_eq(plan.extra, "Allow: GET, HEAD\r\n");
	plan = plan_of(.method = HTTP_GET, .path = "/login");
	expect_refusal(plan, 405);
	cr_assert_str_eq(plan.extra, "Allow: POST\r\n");
	expect_refusal(plan_of(.method = HTTP_OTHER, .path = "/login"), 405);
	expect_refusal(plan_of(.method = HTTP_HEAD, .path = "/link", .upgrade = "websocket"), 405);
}

/* --- bodies -------------------------------------------------------------------------------- */

static struct http_plan
login(const char *length, const char *type)
{
	return plan_of(.method = HTTP_POST, .path = "/login", .content_length = length,
		.content_type = type);
}

Test(http, operations_have_their_names)
{
	struct http_plan plan = login("17", JSON);

	cr_assert(eq(int, plan.action, HTTP_OPERATION));
	cr_assert_str_eq(plan.op, "Login");
	cr_assert(eq(sz, plan.length, 17));
	plan = plan_of(.method = HTTP_POST, .path = "/register", .content_length = "65536",
		.content_type = "application/json; charset=utf-8");
	cr_assert(eq(int, plan.action, HTTP_OPERATION));
	cr_assert_str_eq(plan.op, "RegisterManagedInstance");
}

Test(http, lengths_are_plain_numbers)
{
	static const char *const bad[] = {"", "-5", "+5", " 5", "5 ", "0x10", "5,5", "5, 5", "1e3",
		"99999999999999999999999"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(login(bad[i], JSON), 400);
	expect_refusal(login("0", JSON), 400);
	expect_refusal(login("65537", JSON), 413);
	expect_refusal(login("999999999999999999", JSON), 413);
}

Test(http, a_length_is_required_and_chunks_are_not_taken)
{
	expect_refusal(login(NULL, JSON), 411);
	expect_refusal(plan_of(.method = HTTP_POST, .path = "/login", .content_length = "5",
			       .content_type = JSON, .transfer_encoding = "chunked"),
		411);
}

Test(http, bodies_are_json)
{
	expect_refusal(login("5", NULL), 415);
	expect_refusal(login("5", ""), 415);
	expect_refusal(login("5", "text/plain"), 415);
	expect_refusal(login("5", "application/jsonp"), 415);
	expect_refusal(login("5", "application/x-www-form-urlencoded"), 415);
}

Test(http, what_is_only_read_takes_no_body)
{
	expect_refusal(plan_of(.method = HTTP_GET, .path = "/healthz", .content_length = "1"), 400);
	expect_refusal(plan_of(.method = HTTP_GET, .path = "/healthz",
			       .transfer_encoding = "chunked"),
		400);
	cr_assert(eq(int,
		plan_of(.method = HTTP_GET, .path = "/healthz", .content_length = "0").action,
		HTTP_HEALTH));
}

/* --- signed requests ----------------------------------------------------------------------- */

#define GOOD_SIGNED .method = HTTP_POST, .path = "/", .content_length = "2"

static void
expect_ssm_refusal(struct http_plan plan, int status, const char *code)
{
	expect_refusal(plan, status);
	cr_assert_str_eq(plan.code, code);
	cr_assert_str_eq(plan.type, HTTP_JSON_SSM);
}

Test(http, signed_requests_are_posted_to_the_root)
{
	struct http_plan plan = plan_of(GOOD_SIGNED);

	cr_assert(eq(int, plan.action, HTTP_SIGNED));
	cr_assert(eq(sz, plan.length, 2));
	cr_assert_str_eq(plan.type, HTTP_JSON_SSM);
	cr_assert_not(plan.go_on);
	expect_refusal(plan_of(.method = HTTP_GET, .path = "/"), 405);
	expect_refusal(plan_of(.door = HTTP_DOOR_METRICS, GOOD_SIGNED), 404);
	plan = plan_of(.method = HTTP_POST, .path = "/", .content_length = "0");
	cr_assert(eq(int, plan.action, HTTP_SIGNED));
}

Test(http, signed_requests_have_a_bounded_body_with_a_length)
{
	struct http_plan plan =
		plan_of(.method = HTTP_POST, .path = "/", .content_length = "196608");

	cr_assert(eq(int, plan.action, HTTP_SIGNED));
	expect_ssm_refusal(plan_of(.method = HTTP_POST, .path = "/", .content_length = "196609"),
		413, "ValidationException");
	expect_ssm_refusal(plan_of(.method = HTTP_POST, .path = "/"), 411, "ValidationException");
	expect_ssm_refusal(plan_of(.method = HTTP_POST, .path = "/", .content_length = "2, 2"), 400,
		"ValidationException");
	expect_ssm_refusal(plan_of(GOOD_SIGNED, .transfer_encoding = "chunked"), 411,
		"ValidationException");
}

Test(http, what_is_signed_in_a_query_is_not_served)
{
	expect_ssm_refusal(plan_of(GOOD_SIGNED, .query = true), 400,
		"MissingAuthenticationTokenException");
}

Test(http, a_body_is_asked_for_where_the_client_waits_to_be)
{
	cr_assert(plan_of(GOOD_SIGNED, .expect = "100-Continue").go_on);
	cr_assert(plan_of(.method = HTTP_POST, .path = "/login", .content_length = "5",
		.content_type = JSON, .expect = "100-continue")
			  .go_on);
	expect_ssm_refusal(plan_of(GOOD_SIGNED, .expect = "200-ok"), 417, "ValidationException");
}

/* --- links --------------------------------------------------------------------------------- */

#define GOOD_LINK                                                                             \
	.method = HTTP_GET, .path = "/link", .upgrade = "websocket", .connection = "Upgrade", \
	.ws_version = "13", .ws_key = KEY, .ws_protocols = "hawser.1"

#define with(...)                                    \
	({                                           \
		struct http_head head = {GOOD_LINK}; \
		__VA_ARGS__;                         \
		http_plan(&head);                    \
	})

Test(http, links_upgrade)
{
	cr_assert(eq(int, plan_of(GOOD_LINK).action, HTTP_LINK));
	cr_assert(eq(int, with(head.upgrade = "WebSocket").action, HTTP_LINK));
	cr_assert(eq(int, with(head.connection = "keep-alive, Upgrade").action, HTTP_LINK));
	cr_assert(eq(int, with(head.ws_protocols = "hawser.2, hawser.1").action, HTTP_LINK));
}

Test(http, bad_upgrades_are_refused)
{
	expect_refusal(with(head.upgrade = NULL), 426);
	expect_refusal(with(head.upgrade = "h2c"), 426);
	expect_refusal(with(head.ws_version = NULL), 426);
	expect_refusal(with(head.ws_version = "8"), 426);
	expect_refusal(with(head.ws_key = NULL), 400);
	expect_refusal(with(head.ws_key = "c2hvcnQ="), 400);
	expect_refusal(with(head.ws_key = "not base64 at all 123456"), 400);
	expect_refusal(with(head.connection = NULL), 400);
	expect_refusal(with(head.connection = "close"), 400);
	expect_refusal(with(head.ws_protocols = NULL), 400);
	expect_refusal(with(head.ws_protocols = "hawser.10"), 400);
	expect_refusal(with(head.ws_protocols = "HAWSER.1"), 400);
	expect_refusal(with(head.content_length = "3"), 400);
}

Test(http, web_pages_get_no_link)
{
	expect_refusal(with(head.origin = "https://relay.example"), 403);
}

/* --- answers ------------------------------------------------------------------------------- */

static const char *
text_of(struct buf *b)
{
	const char *text = buf_str(b);

	cr_assert_not_null(text);
	return text;
}

Test(http, an_answer_is_whole)
{
	struct http_answer a = {.status = 403,
		.type = JSON,
		.extra = "Allow: GET\r\n",
		.request_id = "an-id",
		.close = true};
	struct buf out;

	buf_init(&out, 4096);
	cr_assert(eq(int, http_answer(&out, &a, "{}", 2), 0));
	cr_assert_str_eq(text_of(&out),
		"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
		"x-amzn-RequestId: an-id\r\nAllow: GET\r\nConnection: close\r\n\r\n{}");
	buf_fini(&out);
}

Test(http, a_head_s_answer_has_the_length_alone)
{
	struct http_answer a = {.status = 200, .type = "text/plain", .head = true};
	struct buf out;

	buf_init(&out, 4096);
	cr_assert(eq(int, http_answer(&out, &a, "ok\n", 3), 0));
	const char *text = text_of(&out);
	cr_assert_not_null(strstr(text, "Content-Length: 3\r\n"));
	cr_assert_str_eq(text + strlen(text) - 4, "\r\n\r\n");
	buf_fini(&out);
}

Test(http, errors_are_json_whatever_they_say)
{
	struct buf out;

	buf_init(&out, 4096);
	cr_assert(eq(int, http_error_body(&out, "Code", "a \"b\" \\ \n \xff \xc3\xa9"), 0));
	cr_assert_str_eq(text_of(&out),
		"{\"__type\":\"Code\",\"message\":\"a \\\"b\\\" \\\\ \\u000a ? \xc3\xa9\"}\n");
	buf_fini(&out);
}
