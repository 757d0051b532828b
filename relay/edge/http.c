#include "relay/edge/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/base/enc.h"
#include "proto/wire/frame.h"

/* --- what is asked for --------------------------------------------------------------------- */

struct door_row {
	enum http_door door;
	const char *path;
	enum http_method method; /* HEAD goes where GET goes, but for links */
	enum http_action action;
	const char *op;
};

static const struct door_row doors[] = {
	{HTTP_DOOR_MAIN,	 "/healthz",  HTTP_GET,  HTTP_HEALTH,    NULL			},
	{HTTP_DOOR_MAIN,	 "/link",	  HTTP_GET,  HTTP_LINK,      NULL			   },
	{HTTP_DOOR_MAIN,	 "/register", HTTP_POST, HTTP_OPERATION, "RegisterManagedInstance"},
	{HTTP_DOOR_MAIN,	 "/login",	   HTTP_POST, HTTP_OPERATION, "Login"		     },
	{HTTP_DOOR_MAIN,	 "/",	      HTTP_POST, HTTP_SIGNED,    NULL			  },
	{HTTP_DOOR_METRICS, "/healthz",	HTTP_GET,  HTTP_HEALTH,    NULL			   },
	{HTTP_DOOR_METRICS, "/metrics",	HTTP_GET,  HTTP_METRICS,	NULL			    },
};

static struct http_plan
refuse(int status, const char *code, const char *message)
{
	return (struct http_plan){
		.action = HTTP_REFUSE, .status = status, .code = code, .message = message};
}

static const struct door_row *
find_door(const struct http_head *head)
{
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++)
		if (doors[i].door == head->door && strcmp(doors[i].path, head->path) == 0)
			return &doors[i];
	return NULL;
}

static struct http_plan
no_such_door(void)
{
	return refuse(404, "ResourceNotFoundException", "there is nothing at this path");
}

static struct http_plan
wrong_method(const struct door_row *row)
{
	struct http_plan plan =
		refuse(405, "ValidationException", "this path is not for this method; see Allow");

	if (row->method == HTTP_POST)
		plan.extra = "Allow: POST\r\n";
	else
		plan.extra = row->action == HTTP_LINK ? "Allow: GET\r\n" : "Allow: GET, HEAD\r\n";
	return plan;
}

/* --- bodies -------------------------------------------------------------------------------- */

/* Digits alone: a sign, a blank or a second value would mean different things to different readers.
 */
static bool
parse_length(size_t *length, const char *text)
{
	size_t n = strlen(text), value = 0;

	if (n == 0 || n > 18)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		value = value * 10 + (size_t)(text[i] - '0');
	}
	*length = value;
	return true;
}

static bool
is_json(const char *type)
{
	static const char json[] = HTTP_JSON;
	size_t n = sizeof(json) - 1;

	return type != NULL && strncasecmp(type, json, n) == 0 &&
		(type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

/* How long the body is, and whether it is to be asked for; or a refusal. */
static struct http_plan
plan_body(const struct http_head *head, const struct http_plan *what)
{
	struct http_plan plan = *what;

	if (head->transfer_encoding != NULL || head->content_length == NULL)
		return refuse(411, "ValidationException",
			"the request needs a Content-Length and no Transfer-Encoding");
	if (!parse_length(&plan.length, head->content_length))
		return refuse(400, "ValidationException", "Content-Length is not one number");
	plan.go_on = head->expect != NULL && strcasecmp(head->expect, "100-continue") == 0;
	if (head->expect != NULL && !plan.go_on)
		return refuse(417, "ValidationException", "Expect may only say 100-continue");
	return plan;
}

static struct http_plan
plan_operation(const struct http_head *head, const struct door_row *row)
{
	struct http_plan plan =
		plan_body(head, &(struct http_plan){.action = HTTP_OPERATION, .op = row->op});

	if (plan.action == HTTP_REFUSE)
		return plan;
	if (plan.length > HTTP_BODY_MAX)
		return refuse(413, "LimitExceededException",
			"the body may have at most 65536 bytes");
	if (!is_json(head->content_type))
		return refuse(415, "ValidationException", "Content-Type must be application/json");
	if (plan.length == 0)
		return refuse(400, "SerializationException",
			"the body is empty; send a JSON object");
	return plan;
}

/* Without a query: what is signed there is not served, and nothing else belongs there. The codes
 * are those that SSM's clients take for final: they try some others again. */
static struct http_plan
plan_signed(const struct http_head *head)
{
	struct http_plan plan = plan_body(head, &(struct http_plan){.action = HTTP_SIGNED});

	if (head->query)
		plan = refuse(400, "MissingAuthenticationTokenException",
			"a request is signed in its headers here, and has no query");
	else if (plan.action == HTTP_SIGNED && plan.length > HTTP_SIGNED_BODY_MAX)
		plan = refuse(413, "ValidationException", "the body may have at most 196608 bytes");
	plan.type = HTTP_JSON_SSM;
	return plan;
}

static bool
has_body(const struct http_head *head)
{
	return head->transfer_encoding != NULL ||
		(head->content_length != NULL && strcmp(head->content_length, "0") != 0);
}

/* --- the upgrade --------------------------------------------------------------------------- */

/* Whether a comma-separated list has the token. Case counts only where `exact` says so. */
static bool
list_has(const char *list, const char *token, bool exact)
{
	size_t n = strlen(token);

	while (list != NULL && *list != '\0') {
		list += strspn(list, " \t,");
		size_t len = strcspn(list, " \t,");
		if (len == n && (exact ? strncmp : strncasecmp)(list, token, n) == 0)
			return true;
		list += len;
	}
	return false;
}

static bool
key_is_good(const char *key)
{
	uint8_t nonce[24];
	size_t n;

	return key != NULL && strlen(key) == 24 && base64_decode(nonce, &n, key, 24) == 0 &&
		n == 16;
}

static struct http_plan
plan_link(const struct http_head *head)
{
	if (head->upgrade == NULL || strcasecmp(head->upgrade, "websocket") != 0) {
		struct http_plan plan = refuse(426, "UpgradeRequired",
			"this door is for WebSocket links of hawser programs");
		plan.extra = "Upgrade: websocket\r\n";
		return plan;
	}
	if (head->ws_version == NULL || strcmp(head->ws_version, "13") != 0) {
		struct http_plan plan =
			refuse(426, "VersionMismatch", "only WebSocket version 13 is spoken here");
		plan.extra = "Sec-WebSocket-Version: 13\r\n";
		return plan;
	}
	if (!list_has(head->connection, "upgrade", false) || !key_is_good(head->ws_key))
		return refuse(400, "ProtocolError", "the WebSocket upgrade is not well formed");
	if (!list_has(head->ws_protocols, PROTO_SUBPROTOCOL, true))
		return refuse(400, "VersionMismatch",
			"the sub-protocol " PROTO_SUBPROTOCOL " is the only one spoken here");
	/* A page in somebody's browser could make one with that person's certificate. */
	if (head->origin != NULL)
		return refuse(403, "AccessDeniedException", "links are not for web pages");
	return (struct http_plan){.action = HTTP_LINK};
}

struct http_plan
http_plan(const struct http_head *head)
{
	const struct door_row *row = find_door(head);

	if (row == NULL)
		return no_such_door();
	if (head->method != row->method &&
		!(head->method == HTTP_HEAD && row->method == HTTP_GET && row->action != HTTP_LINK))
		return wrong_method(row);
	if (row->action == HTTP_OPERATION)
		return plan_operation(head, row);
	if (row->action == HTTP_SIGNED)
		return plan_signed(head);
	if (has_body(head))
		return refuse(400, "ValidationException", "this request takes no body");
	if (row->action == HTTP_LINK)
		return plan_link(head);
	return (struct http_plan){.action = row->action};
}

/* --- answers ------------------------------------------------------------------------------- */

static const char *
reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 411:
		return "Length Required";
	case 413:
		return "Content Too Large";
	case 417:
		return "Expectation Failed";
	case 415:
		return "Unsupported Media Type";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 503:
		return "Service Unavailable";
	default:
		return status >= 500 ? "Internal Server Error" : "Error";
	}
}

int
http_answer(struct buf *out, const struct http_answer *a, const void *body, size_t n)
{
	buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", a->status,
		reason(a->status), a->type, n);
	buf_append_str(out, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
	if (a->request_id != NULL && *a->request_id != '\0')
		buf_printf(out, "x-amzn-RequestId: %s\r\n", a->request_id);
	if (a->extra != NULL)
		buf_append_str(out, a->extra);
	if (a->close)
		buf_append_str(out, "Connection: close\r\n");
	buf_append_str(out, "\r\n");
	if (!a->head)
		buf_append(out, body, n);
	return out->failed ? HW_ENOMEM : 0;
}

static void
append_json(struct buf *out, const char *text)
{
	buf_append_byte(out, '"');
	for (size_t left = strlen(text), step; left > 0; text += step, left -= step) {
		uint8_t c = (uint8_t)*text;
		int n = utf8_next((const uint8_t *)text, left);
		step = n > 0 ? (size_t)n : 1;
		if (n <= 0)
			buf_append_byte(out, '?');
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_append(out, text, step);
	}
	buf_append_byte(out, '"');
}

int
http_error_body(struct buf *out, const char *code, const char *message)
{
	buf_append_str(out, "{\"__type\":");
	append_json(out, code);
	buf_append_str(out, ",\"message\":");
	append_json(out, message);
	buf_append_str(out, "}\n");
	return out->failed ? HW_ENOMEM : 0;
}
