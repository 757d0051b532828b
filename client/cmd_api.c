/* hawser api: any operation of the control API. */
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/json_args.h"
#include "client/source.h"
#include "proto/wire/codec.h"

#define INPUT_MAX (4u << 20)

static bool
is_for_users(const struct op_row *op)
{
	return op->door == DOOR_USER || op->door == DOOR_SELF;
}

/* A line for people, or an object for the formats of programs. */
static int
list_operation(struct output_series *all, const struct op_row *op, struct hw_err *err)
{
	enum output_format format = all->client->format;
	struct buf out;
	int r;

	buf_init(&out, 1 << 16);
	if (format == OUTPUT_NAME) {
		buf_printf(&out, "%s\n", op->name);
	} else if (format <= OUTPUT_WIDE) {
		buf_printf(&out, "%-32s %s\n", op->name, op->doc);
	} else {
		buf_printf(&out, "{\"Name\":\"%s\",\"About\":", op->name);
		json_append_string(&out, op->doc, strlen(op->doc));
		buf_append_byte(&out, '}');
	}
	r = format <= OUTPUT_WIDE || format == OUTPUT_NAME
		? output_bytes(buf_data(&out), out.len, err)
		: output_series_add(all, &out, err);
	buf_fini(&out);
	return r;
}

static int
list_operations(struct client *c, struct hw_err *err)
{
	struct output_series all;
	int r = 0;

	output_series_init(&all, c, false);
	for (size_t i = 0; r == 0 && i < OP_COUNT; i++) {
		if (is_for_users(&op_rows[i]))
			r = list_operation(&all, &op_rows[i], err);
	}
	if (r == 0)
		r = output_series_end(&all, err);
	output_series_fini(&all);
	return r;
}

/* --- the input ------------------------------------------------------------------------------- */

/* JSON, @FILE or - */
static int
read_input(struct buf *out, const char *text, struct hw_err *err)
{
	if (strcmp(text, "-") == 0)
		return source_read(out, text, err);
	if (text[0] != '@')
		return buf_append_str(out, text) < 0
			? hw_err_set(err, HW_EUSAGE, "the input is larger than 4 MiB")
			: 0;
	return source_read(out, text + 1, err);
}

/* --- the call -------------------------------------------------------------------------------- */

static int
make_request(void **ret, struct client *c, const struct op_row *op, const struct input *in,
	struct hw_err *err)
{
	const char *given = input_text(in, "input");
	struct buf input, json;
	int r = 0;

	buf_init(&input, INPUT_MAX);
	buf_init(&json, 2 * INPUT_MAX);
	if (given != NULL)
		r = read_input(&input, given, err);
	if (r == 0)
		r = json_args(&json, op->request(),
			given != NULL ? (const char *)buf_data(&input) : NULL, input.len,
			in->operands + 1, in->n - 1, err);
	if (r == 0)
		r = msg_from_json(ret, c->arena, op->request(), (const char *)buf_data(&json),
			json.len, err);
	buf_wipe(&input);
	buf_fini(&input);
	buf_wipe(&json);
	buf_fini(&json);
	return r;
}

static int
run_api(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct op_row *op;
	void *request;
	const void *reply;
	int r;

	if (c->format == OUTPUT_NAME && !input_has(in, "list"))
		return hw_err_set(err, HW_EUSAGE, "a reply has no name: -o json, jsonl or yaml");
	if (input_has(in, "list"))
		return list_operations(c, err);
	if (in->n == 0)
		return hw_err_set(err, HW_EUSAGE, "api wants an operation's name");
	op = op_find(in->operands[0]);
	if (op == NULL || !is_for_users(op)) {
		client_hint(c, "hawser api --list");
		return hw_err_set(err, HW_EUSAGE,
			op == NULL ? "there is no operation %s" : "%s is not for users",
			in->operands[0]);
	}
	if ((r = make_request(&request, c, op, in, err)) < 0 ||
		(r = client_call(&reply, c, op->id, request, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		c->format = OUTPUT_JSON;
	return output_one(c, op->reply(), reply, NULL, err);
}

static const struct option_row options[] = {
	{"input", 'i', "JSON", "the request: JSON, @FILE, or - for standard input"},
	{"list", 0, NULL, "the operations there are"},
	{0	  },
};

const struct command cmd_api = {
	.name = "api",
	.operands = "OPERATION [KEY=VALUE...]",
	.summary = "Call an operation of the control API; the reply is JSON.",
	.about = "  Names and fields are those of the API reference. KEY=VALUE sets a field of\n"
		 "  the request: a text, number, true or false, a time, or JSON where it begins\n"
		 "  with [ or {. A key that is given again adds to its list of texts.",
	.examples = {"hawser api GetCallerIdentity",
		     "hawser api AddTagsToResource -i @tags.json ResourceId=mi-0123456789abcdef0"},
	.options = options,
	.max = -1,
	.shows = true,
	.run = run_api,
};
