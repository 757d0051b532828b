/*
 * Writes docs/protocol.md and docs/api.md from the tables, or checks that they are what the tables
 * say.
 *
 *   hawser-docs write DIR    writes DIR/protocol.md (after DIR/protocol.intro.md) and DIR/api.md
 *   hawser-docs check DIR    says which of the two is out of date, and fails
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/schema/schema.h"

#define GENERATED                                                                                      \
	"<!-- Made by hawser-docs from proto/schema/: change it there, then build the target `docs`. " \
	"-->\n\n"

/* --- pieces
 * ---------------------------------------------------------------------------------------- */

static int
failed(const char *what, const char *path)
{
	fprintf(stderr, "hawser-docs: cannot %s %s\n", what, path);
	return -1;
}

/* Text inside a table's cell. */
static void
cell(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			fputc('\\', out);
		fputc(*text, out);
	}
}

/* A heading's anchor. */
static void
lower(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		fputc(*text >= 'A' && *text <= 'Z' ? *text + 'a' - 'A' : *text, out);
}

static void
link_to_message(FILE *out, const char *page, const struct msg_row *row)
{
	fprintf(out, "[%s](%s#", row->wire, page);
	lower(out, row->wire);
	fputc(')', out);
}

static int
copy_file(FILE *out, const char *dir, const char *name)
{
	char path[4096];
	int c;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return failed("read", path);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(in);
	return 0;
}

/* --- the protocol's tables
 * -------------------------------------------------------------------------- */

static void
print_frames(FILE *out)
{
	fprintf(out, "\n## Frame kinds\n\n| kind | frame | what it is for |\n|---|---|---|\n");
	for (int i = 0; i < FRAME_KINDS; i++) {
		const struct frame_row *f = frame_row(i);

		fprintf(out, "| %s | `[%d, channel, %s]` | ", f->name, f->kind, f->layout);
		cell(out, f->doc);
		fprintf(out, " |\n");
	}
}

static const char *
receiver(enum channel_receiver who)
{
	static const char *const names[] = {"the holder", "the recorder", "the peer program"};

	return names[who];
}

static void
print_channels(FILE *out)
{
	fprintf(out,
		"\n## Channel types\n\n"
		"| type | what it carries | class | input's receiver | output's receiver | recorded | ahead |\n"
		"|---|---|---|---|---|---|---|\n");
	for (int type = 1; type < CHANNEL_TYPE_COUNT; type++) {
		const struct channel_row *c = channel_row(type);

		if (c == NULL)
			continue;
		fprintf(out, "| `%s` | ", enum_text(&enum_CHANNEL_TYPE, type));
		cell(out, c->doc);
		fprintf(out, " | %s | %s | %s | %s | %u |\n",
			c->class == CLASS_INTERACTIVE ? "interactive" : "bulk", receiver(c->input),
			receiver(c->output), c->recorded ? "yes" : "no", c->ahead);
	}
	fprintf(out,
		"\nThe class is the channel's place in a link's writer; a stream's receiver is the one\n"
		"who sends its CREDIT. So many bytes of input may come ahead of ACCEPT, and the end of\n"
		"the stream with them. Streams are numbered %d (input), %d (output) and %d (errors).\n",
		STREAM_IN, STREAM_OUT, STREAM_ERR);
}

static void
print_enum(FILE *out, const struct enum_row *row)
{
	fprintf(out, "| %s | ", row->name);
	for (int i = 1; i < row->count; i++)
		fprintf(out, "%s`%s`", i > 1 ? ", " : "", row->wire[i]);
	fprintf(out, " | ");
	cell(out, row->doc);
	fprintf(out, " |\n");
}

static void
print_enums(FILE *out)
{
	fprintf(out,
		"\n## Enumerations\n\nA value that is not listed is an error that names its field.\n\n"
		"| name | values | what it says |\n|---|---|---|\n");
#define HW_ENUM_BEGIN(name, doc) print_enum(out, &enum_##name);
#define HW_ENUM_VALUE(name, sym, wire)
#define HW_ENUM_END(name)
#include "proto/schema/enums.def"
#undef HW_ENUM_BEGIN
#undef HW_ENUM_VALUE
#undef HW_ENUM_END
}

static void
print_error(FILE *out, const char *wire, int http, const char *doc)
{
	fprintf(out, "| `%s` | %d | ", wire, http);
	cell(out, doc);
	fprintf(out, " |\n");
}

static void
print_errors(FILE *out)
{
	fprintf(out, "\n## Errors\n\n| code | HTTP status | meaning |\n|---|---|---|\n");
#define HW_ERROR(sym, wire, http, doc) print_error(out, wire, http, doc);
#include "proto/schema/errors.def"
#undef HW_ERROR
}

/* --- messages
 * ------------------------------------------------------------------------------------------ */

static void
print_type(FILE *out, const struct field_row *f)
{
	static const char *const names[] = {
		[FIELD_STR] = "text",
		[FIELD_BIN] = "bytes",
		[FIELD_INT] = "integer",
		[FIELD_BOOL] = "boolean",
		[FIELD_TIME] = "time",
		[FIELD_STRS] = "list of texts",
		[FIELD_SMAP] = "map of lists of texts",
	};

	if (f->kind == FIELD_ENUM)
		fprintf(out, "one of %s", f->values->name);
	else if (f->kind == FIELD_MSG || f->kind == FIELD_MSGS) {
		fputs(f->kind == FIELD_MSGS ? "list of " : "", out);
		link_to_message(out, "", f->msg());
	} else
		fputs(names[f->kind], out);
}

static void
print_range(FILE *out, const struct field_row *f, const char *unit)
{
	if (f->min == f->max)
		fprintf(out, "%" PRId64 "%s", f->min, unit);
	else if (f->max == INT64_MAX)
		fprintf(out, "from %" PRId64 "%s", f->min, unit);
	else
		fprintf(out, "%" PRId64 "..%" PRId64 "%s", f->min, f->max, unit);
}

static void
print_bounds(FILE *out, const struct field_row *f)
{
	switch (f->kind) {
	case FIELD_STR:
	case FIELD_BIN:
		print_range(out, f, " bytes");
		break;
	case FIELD_INT:
		print_range(out, f, "");
		break;
	case FIELD_STRS:
	case FIELD_MSGS:
		print_range(out, f, " items");
		break;
	case FIELD_SMAP:
		print_range(out, f, " keys");
		break;
	default:
		break;
	}
}

static void
print_field(FILE *out, const struct field_row *f)
{
	fprintf(out, "| `%s` | ", f->wire);
	print_type(out, f);
	fprintf(out, " | ");
	print_bounds(out, f);
	fprintf(out, " | %s%s%s | ", f->flags & FIELD_REQ ? "required" : "",
		(f->flags & FIELD_REQ) && (f->flags & FIELD_SECRET) ? ", " : "",
		f->flags & FIELD_SECRET ? "secret" : "");
	cell(out, f->doc);
	fprintf(out, " |\n");
}

static void
print_message(FILE *out, const struct msg_row *row)
{
	fprintf(out, "\n### %s\n\n", row->wire);
	if (row->doc[0] != '\0')
		fprintf(out, "%c%s.\n\n",
			row->doc[0] >= 'a' && row->doc[0] <= 'z' ? row->doc[0] + 'A' - 'a'
								 : row->doc[0],
			row->doc + 1);
	fprintf(out, "| field | type | bounds | | |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < row->count; i++)
		print_field(out, &row->fields[i]);
}

static void
print_messages(FILE *out)
{
	fprintf(out,
		"\n## Messages\n\n"
		"A field that is not required may be absent, or nil. `secret` fields are never printed.\n");
	for (size_t i = 0; i < msg_row_count(); i++)
		print_message(out, msg_row_at(i));
}

static int
print_protocol(FILE *out, const char *dir)
{
	fputs(GENERATED, out);
	if (copy_file(out, dir, "protocol.intro.md") < 0)
		return -1;
	print_frames(out);
	print_channels(out);
	print_messages(out);
	print_enums(out);
	print_errors(out);
	return 0;
}

/* --- the API
 * --------------------------------------------------------------------------------------------- */

static const char api_intro[] =
	"# The control API\n\n"
	"Every operation is one row of `proto/schema/operations.def`. Names, fields, limits and errors are\n"
	"those of AWS Systems Manager wherever it has the operation. It is reached\n\n"
	"- as a REQUEST frame on a link, in msgpack ([the protocol](protocol.md));\n"
	"- as `POST /` with `X-Amz-Target: AmazonSSM.NAME`, JSON 1.1 and Signature V4, as the AWS CLI and\n"
	"  boto3 send it;\n"
	"- the few that come before there is a certificate: as an HTTPS POST of JSON.\n\n"
	"In JSON a time is a number of seconds since 1970 with three decimals (an RFC 3339 text is\n"
	"taken too), and bytes are base64. Unknown fields are ignored. An error's code is one of\n"
	"[these](protocol.md#errors).\n\n"
	"The *action* is what a policy allows or denies on the *resource*. Operations\n"
	"without an action are decided by the caller's certificate alone. *Audit* says what the ledger\n"
	"gets: `full` is an entry before the effect and one with the outcome, `read` one entry, `none`\n"
	"none; a denial is always an entry.\n";

static const char *
door_text(enum op_door door)
{
	static const char *const texts[] = {
		[DOOR_USER] = "users, over a link or signed",
		[DOOR_NODE] = "nodes",
		[DOOR_SELF] = "users and nodes, for themselves",
		[DOOR_ANON] = "anyone, over HTTPS",
		[DOOR_LOCAL] = "root and the relay's own user, on its machine",
	};

	return texts[door];
}

static const char *
resource_text(enum op_resource resource)
{
	static const char *const texts[] = {
		[RESOURCE_ANY] = "`*`",
		[RESOURCE_INSTANCE] = "the node",
		[RESOURCE_SESSION] = "the session",
		[RESOURCE_ACTIVATION] = "the activation",
		[RESOURCE_USER] = "the user",
		[RESOURCE_GROUP] = "the group",
		[RESOURCE_POLICY] = "the policy",
		[RESOURCE_DOCUMENT] = "the document",
		[RESOURCE_RESOURCE_GROUP] = "the resource group",
		[RESOURCE_TAGGED] = "the tagged resource",
		[RESOURCE_LISTED] = "each item",
	};

	return texts[resource];
}

static const char *
audit_text(enum op_audit audit)
{
	static const char *const texts[] = {
		[AUDIT_NONE] = "none",
		[AUDIT_READ] = "read",
		[AUDIT_FULL] = "full",
		[AUDIT_BEGUN] = "full",
	};

	return texts[audit];
}

/* The wire name of the request's member; a table that names no such member is a bug. */
static const char *
field_wire(const struct msg_row *row, const char *member)
{
	for (size_t i = 0; i < row->count; i++)
		if (strcmp(row->fields[i].member, member) == 0)
			return row->fields[i].wire;
	hw_assert(!"a member of the request");
}

static void
print_resource(FILE *out, const struct op_row *op)
{
	fputs(resource_text(op->resource), out);
	if (strcmp(op->field, "none") != 0)
		fprintf(out, " in `%s`", field_wire(op->request(), op->field));
}

static void
print_op(FILE *out, const struct op_row *op)
{
	fprintf(out, "\n### %s\n\n%s\n\n| | |\n|---|---|\n| for | %s |\n", op->name, op->doc,
		door_text(op->door));
	if (op->action[0] != '\0') {
		fprintf(out, "| action | `%s` |\n| resource | ", op->action);
		print_resource(out, op);
		fprintf(out, " |\n");
	}
	fprintf(out, "| audit | %s |\n| request | ", audit_text(op->audit));
	link_to_message(out, "protocol.md", op->request());
	fprintf(out, " |\n| reply | ");
	link_to_message(out, "protocol.md", op->reply());
	fprintf(out, " |\n");
}

static void
print_entries(FILE *out)
{
	fprintf(out,
		"\n## Ledger entries\n\nEach is a [LedgerEntry](protocol.md#ledgerentry).\n\n"
		"| kind | when it is written |\n|---|---|\n");
	for (int kind = 0; kind < ENTRY_KINDS; kind++) {
		fprintf(out, "| `%s` | ", entry_kind_name((enum entry_kind)kind));
		cell(out, entry_kind_doc((enum entry_kind)kind));
		fprintf(out, " |\n");
	}
}

static int
print_api(FILE *out, const char *dir)
{
	(void)dir;
	fputs(GENERATED, out);
	fputs(api_intro, out);
	fprintf(out, "\n## Operations\n");
	for (int i = 0; i < OP_COUNT; i++)
		print_op(out, &op_rows[i]);
	print_entries(out);
	return 0;
}

/* --- writing and checking
 * ----------------------------------------------------------------------------------- */

struct page {
	const char *name;
	int (*print)(FILE *out, const char *dir);
};

static const struct page pages[] = {
	{"protocol.md", print_protocol},
	{"api.md",	   print_api	    },
};

static int
write_page(const char *path, const char *text, size_t n)
{
	FILE *out = fopen(path, "we");

	if (out == NULL)
		return failed("write", path);
	size_t done = fwrite(text, 1, n, out);
	return fclose(out) == 0 && done == n ? 0 : failed("write", path);
}

static int
check_page(const char *path, const char *text, size_t n)
{
	FILE *in = fopen(path, "re");
	size_t same = 0;

	if (in == NULL)
		return failed("read", path);
	while (same < n && getc(in) == (unsigned char)text[same])
		same++;
	bool ended = same == n && getc(in) == EOF;
	fclose(in);
	if (ended)
		return 0;
	fprintf(stderr,
		"%s is not what proto/schema/ says: build the target `docs`, and commit it\n",
		path);
	return -1;
}

static int
do_page(const struct page *page, const char *dir, bool check)
{
	char path[4096], *text = NULL;
	size_t n = 0;

	FILE *out = open_memstream(&text, &n);
	if (out == NULL)
		return failed("make", page->name);
	snprintf(path, sizeof(path), "%s/%s", dir, page->name);
	int r = page->print(out, dir);
	if (fclose(out) != 0)
		r = failed("make", page->name);
	if (r == 0)
		r = check ? check_page(path, text, n) : write_page(path, text, n);
	free(text);
	return r;
}

int
main(int argc, char **argv)
{
	int r = 0;

	bool check = argc == 3 && strcmp(argv[1], "check") == 0;
	if (!check && (argc != 3 || strcmp(argv[1], "write") != 0)) {
		fprintf(stderr, "usage: hawser-docs write|check DIR\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		r |= do_page(&pages[i], argv[2], check);
	return r < 0;
}
