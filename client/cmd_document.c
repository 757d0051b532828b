/* hawser document put, get, ls, rm, versions. */
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/pages.h"
#include "client/source.h"
#include "proto/base/display.h"

#define DOCUMENT_MAX 65536

/* --- what options say ------------------------------------------------------------------------- */

/* In any case, as people write it: json, session. */
static int
read_enum(int *ret, const struct input *in, const char *option, const struct enum_row *row,
	struct hw_err *err)
{
	const char *text = input_text(in, option);

	if (text == NULL)
		return 0;
	for (int i = 1; i < row->count; i++) {
		if (strcasecmp(text, row->wire[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return hw_err_set(err, HW_EUSAGE, "--%s: \"%.40s\" is none of those that there are", option,
		text);
}

/* NAME or NAME:VERSION. */
static int
split_name(const char **name, const char **version, struct client *c, const char *text,
	struct hw_err *err)
{
	const char *colon = strncmp(text, "arn:", 4) != 0 ? strrchr(text, ':') : NULL;

	*version = colon != NULL ? colon + 1 : NULL;
	*name = colon != NULL ? arena_strndup(c->arena, text, (size_t)(colon - text)) : text;
	return *name != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

/* --- put -------------------------------------------------------------------------------------- */

struct put {
	struct client *c;
	const char *name, *content, *version_name;
	int type, format;
	const struct msg_document_description *done;
};

static int
create(struct put *p, struct hw_err *err)
{
	struct msg_create_document_request req = {.name = p->name,
		.content = p->content,
		.version_name = p->version_name,
		.document_type = p->type,
		.document_format = p->format};
	const struct msg_create_document_reply *reply;
	int r = client_call(&reply, p->c, OP_create_document, &req, err);

	if (r == 0)
		p->done = reply->document_description;
	return r;
}

static int
update(struct put *p, struct hw_err *err)
{
	struct msg_update_document_request req = {.name = p->name,
		.content = p->content,
		.version_name = p->version_name,
		.document_format = p->format};
	const struct msg_update_document_reply *reply;
	int r = client_call(&reply, p->c, OP_update_document, &req, err);

	if (r == 0)
		p->done = reply->document_description;
	return r;
}

static int
make_default(struct put *p, struct hw_err *err)
{
	struct msg_update_document_default_version_request req = {
		.name = p->name, .document_version = p->done->document_version};
	const struct msg_update_document_default_version_reply *reply;

	return client_call(&reply, p->c, OP_update_document_default_version, &req, err);
}

static void
say_put(const struct put *p, bool is_default)
{
	const struct msg_document_description *d = p->done;

	if (is_default || strcmp(d->document_version, d->default_version) == 0)
		client_say(p->c, "document %s, version %s, the default one", d->name,
			d->document_version);
	else
		client_say(p->c, "document %s, version %s; the default one is %s: --default",
			d->name, d->document_version, d->default_version);
}

/* A first version is made, where there is none that a next one could follow. */
static int
put(struct put *p, const struct input *in, struct hw_err *err)
{
	bool is_default = input_has(in, "default");
	int r = update(p, err);

	if (r == HW_EDOCUMENT)
		r = create(p, err);
	else if (r == 0 && is_default)
		r = make_default(p, err);
	if (r == HW_EDOCUMENTCONTENT || r == HW_EDOCUMENTSCHEMA) {
		hw_err_prefix(err, "%s", source_name(in->operands[1]));
		return r;
	}
	if (r < 0)
		return r;
	if (p->c->format > OUTPUT_WIDE)
		return output_one(p->c, MSG_ROW(document_description), p->done, p->done->name, err);
	say_put(p, is_default);
	return 0;
}

static int
run_put(struct client *c, const struct input *in, struct hw_err *err)
{
	struct put p = {
		.c = c, .name = in->operands[0], .version_name = input_text(in, "version-name")};
	struct buf text;
	int r;

	if ((r = read_enum(&p.type, in, "type", &enum_DOCUMENT_TYPE, err)) < 0 ||
		(r = read_enum(&p.format, in, "format", &enum_DOCUMENT_FORMAT, err)) < 0)
		return r;
	buf_init(&text, DOCUMENT_MAX);
	if ((r = source_read(&text, in->operands[1], err)) == 0) {
		p.content = buf_str(&text);
		if (p.content == NULL)
			r = hw_err_set(err, HW_ENOMEM, "out of memory");
		else if (text.len == 0 || strlen(p.content) != text.len)
			r = hw_err_set(err, HW_EUSAGE, "%s is %s; a document is JSON or YAML",
				source_name(in->operands[1]),
				text.len == 0 ? "empty" : "no text: it has a NUL byte");
		else
			r = put(&p, in, err);
	}
	buf_fini(&text);
	return r;
}

static const struct option_row put_options[] = {
	{"default",							0, NULL, "make a new version the default one at once"},
	{"type",							    't', "TYPE", "of a new document: session, automation, command"},
	{"format",								'f', "WHAT", "json or yaml; looked at when absent"},
	{"version-name",	 0, "NAME", "a name for the version"},
	{0},
};

const struct command cmd_document_put = {
	.name = "document put",
	.operands = "NAME FILE",
	.summary = "Make a document, or a new version of it. FILE may be -.",
	.about = "  A new version is not what others run until it is the default one. A document\n"
		 "  that is not well formed is refused, with the place of the mistake.",
	.examples = {"hawser document put restart-web restart.yaml --default",
		     "hawser document put tail-log tail.yaml --type session"},
	.options = put_options,
	.min = 2,
	.max = 2,
	.shows = true,
	.run = run_put,
};

/* --- get -------------------------------------------------------------------------------------- */

/* To a file it goes byte for byte; a terminal is kept from obeying it. */
static int
write_content(const char *text, bool terminal, struct hw_err *err)
{
	struct buf out;

	buf_init(&out, 16 * DOCUMENT_MAX);
	while (terminal && *text != '\0') {
		size_t run = strcspn(text, "\n\t");
		display_append(&out, text, run);
		text += run;
		if (*text != '\0')
			buf_append_byte(&out, (uint8_t)*text++);
	}
	buf_append_str(&out, text);
	if (out.len > 0 && buf_data(&out)[out.len - 1] != '\n')
		buf_append_byte(&out, '\n');
	int r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

static int
run_get(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_get_document_request req = {.name = NULL};
	const struct msg_get_document_reply *reply;
	int r;

	if ((r = split_name(&req.name, &req.document_version, c, in->operands[0], err)) < 0 ||
		(r = read_enum(&req.document_format, in, "format", &enum_DOCUMENT_FORMAT, err)) <
			0 ||
		(r = client_call(&reply, c, OP_get_document, &req, err)) < 0)
		return r;
	if (c->format > OUTPUT_WIDE)
		return output_one(c, MSG_ROW(get_document_reply), reply, reply->name, err);
	if (reply->content == NULL)
		return hw_err_set(err, HW_EPROTO, "the relay's document %s has no content",
			reply->name);
	return write_content(reply->content, isatty(STDOUT_FILENO), err);
}

static const struct option_row get_options[] = {
	{"format", 'f', "WHAT", "json or yaml; as it was written when absent"},
	{0 },
};

const struct command cmd_document_get = {
	.name = "document get",
	.operands = "NAME[:VERSION]",
	.summary = "Write a document's content to stdout.",
	.about = "  VERSION is a number, $LATEST or $DEFAULT, which is meant without one.",
	.examples = {"hawser document get AWS-RunShellScript",
		     "hawser document get 'restart-web:$LATEST' -f json > restart.json"},
	.options = get_options,
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_get,
};

/* --- ls --------------------------------------------------------------------------------------- */

typedef const struct msg_document_identifier identifier;

static const char *
name_of(const void *item)
{
	return ((identifier *)item)->name;
}

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

static const char *
cell_owner(struct client *c, const void *item)
{
	(void)c;
	return ((identifier *)item)->owner;
}

static const char *
cell_type(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_DOCUMENT_TYPE, ((identifier *)item)->document_type);
}

static const char *
cell_version(struct client *c, const void *item)
{
	(void)c;
	return ((identifier *)item)->document_version;
}

static const char *
cell_schema(struct client *c, const void *item)
{
	(void)c;
	return ((identifier *)item)->schema_version;
}

static const char *
cell_format(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_DOCUMENT_FORMAT, ((identifier *)item)->document_format);
}

static const char *
cell_tags(struct client *c, const void *item)
{
	return output_tags(c, ((identifier *)item)->tags.v, ((identifier *)item)->tags.n);
}

static const char *
cell_author(struct client *c, const void *item)
{
	(void)c;
	return ((identifier *)item)->author;
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"TYPE",	 false, cell_type, NULL},
	{"OWNER",		  false, cell_owner, NULL},
	{"VERSION",	    false, cell_version, NULL},
	{"TAGS",	 false, cell_tags, NULL},
	{"SCHEMA",	   true, cell_schema, NULL},
	{"FORMAT", true, cell_format, NULL},
	{"AUTHOR",	   true, cell_author, NULL},
	{0 },
};

static const struct listing listing = {
	.reply = msg_row_list_documents_reply,
	.item = msg_row_document_identifier,
	.columns = columns,
	.name = name_of,
};

static void
add_filter(struct msg_list_documents_request *req, struct msg_document_key_values_filter *filter,
	const char *key, const char **value)
{
	if (*value == NULL)
		return;
	filter[req->filters.n++] = (struct msg_document_key_values_filter){
		.key = key, .values = {value, 1}
	};
	req->filters.v = filter;
}

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_document_key_values_filter filters[3];
	const char *owner = input_has(in, "own") ? "Self" : NULL, *type_text = NULL;
	const char *prefix = in->n > 0 ? in->operands[0] : NULL;
	struct msg_list_documents_request req = {.max_results = 50};
	struct msg_list_documents_reply all = {.next_token = NULL};
	struct pages pages = {.n = 0};
	int type = 0;
	int r = read_enum(&type, in, "type", &enum_DOCUMENT_TYPE, err);

	if (r < 0)
		return r;
	type_text = type != 0 ? enum_text(&enum_DOCUMENT_TYPE, type) : NULL;
	add_filter(&req, filters, "Owner", &owner);
	add_filter(&req, filters, "DocumentType", &type_text);
	add_filter(&req, filters, "Name", &prefix);
	if ((r = pages_fetch(&pages, c, OP_list_documents, &req, &req.next_token,
		     offsetof(struct msg_list_documents_reply, next_token), 0, err)) < 0)
		return r;
	all.document_identifiers.v = pages.v;
	all.document_identifiers.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

static const struct option_row ls_options[] = {
	{"own", 0, NULL, "those that people wrote here alone"},
	{"type", 't', "TYPE", "command, session or automation"},
	{0	  },
};

const struct command cmd_document_ls = {
	.name = "document ls",
	.operands = "[PREFIX]",
	.summary = "List documents: the built-in ones and your own.",
	.examples = {"hawser document ls --own", "hawser document ls AWS- -o name"},
	.options = ls_options,
	.min = 0,
	.max = 1,
	.shows = true,
	.run = run_ls,
};

/* --- versions --------------------------------------------------------------------------------- */

typedef const struct msg_document_version_info version_info;

static const char *
version_of(const void *item)
{
	return ((version_info *)item)->document_version;
}

static const char *
cell_number(struct client *c, const void *item)
{
	(void)c;
	return version_of(item);
}

static const char *
cell_default(struct client *c, const void *item)
{
	(void)c;
	return ((version_info *)item)->is_default_version ? "default" : NULL;
}

static const char *
cell_version_name(struct client *c, const void *item)
{
	(void)c;
	return ((version_info *)item)->version_name;
}

static const char *
cell_created(struct client *c, const void *item)
{
	return output_time(c, ((version_info *)item)->created_date);
}

static const char *
cell_version_format(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_DOCUMENT_FORMAT, ((version_info *)item)->document_format);
}

static const struct column version_columns[] = {
	{"VERSION",    false, cell_number, NULL},
	{"NAME", false, cell_version_name, NULL},
	{"DEFAULT",	    false, cell_default, NULL},
	{"CREATED",	    false, cell_created, NULL},
	{"FORMAT",	   false, cell_version_format, NULL},
	{0	  },
};

static const struct listing version_listing = {
	.reply = msg_row_list_document_versions_reply,
	.item = msg_row_document_version_info,
	.columns = version_columns,
	.name = version_of,
};

static int
run_versions(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_document_versions_request req = {
		.name = in->operands[0], .max_results = 50};
	struct msg_list_document_versions_reply all = {.next_token = NULL};
	struct pages pages = {.n = 0};
	int r = pages_fetch(&pages, c, OP_list_document_versions, &req, &req.next_token,
		offsetof(struct msg_list_document_versions_reply, next_token), 0, err);

	if (r < 0)
		return r;
	all.document_versions.v = pages.v;
	all.document_versions.n = pages.n;
	return output_list(c, &version_listing, &all, pages.v, pages.n, err);
}

const struct command cmd_document_versions = {
	.name = "document versions",
	.operands = "NAME",
	.summary = "List a document's versions, the newest first.",
	.examples = {"hawser document versions restart-web",
		     "hawser document versions restart-web -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_versions,
};

/* --- rm --------------------------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_delete_document_request req = {.name = NULL};
	const struct msg_empty *reply;
	int r;

	for (size_t i = 0; i < in->n; i++) {
		if ((r = split_name(&req.name, &req.document_version, c, in->operands[i], err)) <
				0 ||
			(r = client_call(&reply, c, OP_delete_document, &req, err)) < 0)
			return r;
	}
	return 0;
}

const struct command cmd_document_rm = {
	.name = "document rm",
	.operands = "NAME[:VERSION]...",
	.summary = "Remove documents, or single versions of them.",
	.about = "  The default version goes with its document alone.",
	.examples = {"hawser document rm restart-web", "hawser document rm restart-web:3"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};
