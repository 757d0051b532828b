/* Documents are read and shown. */
#include <stdlib.h>
#include <string.h>

#include "proto/document/document.h"
#include "relay/core/op.h"
#include "relay/services/documents/describe.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/store.h"

#define LIST_LIMIT 50

struct reading {
	struct op *op;
	const char *name, *version, *version_name;
	struct described what;
};

/* --- GetDocument ------------------------------------------------------------------------------ */

static int
look(void *arg, struct db *db, struct hw_err *err)
{
	struct reading *w = arg;

	(void)err; /* the op's */
	return describe_look(&w->what, w->op, db, w->name, w->version, w->version_name);
}

/* In the other format. */
static int
convert(const char **ret, struct op *op, const struct document_found *found, int format)
{
	struct document *d;
	char *text = NULL;
	size_t n;
	int r;

	if (format == DOCUMENT_FORMAT_TEXT)
		return op_fail(op, HW_EVALIDATION, "DocumentFormat: JSON or YAML");
	if ((r = describe_parse(&d, op, found)) < 0)
		return r;
	r = document_write(&text, &n, d, format, &op->err);
	document_free(d);
	if (r < 0)
		return r;
	*ret = arena_strdup(op->arena, text);
	free(text);
	return *ret != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for a document");
}

static int
keep_content(struct msg_get_document_reply *rep, struct op *op, const struct document_found *found,
	int format)
{
	rep->document_format = format != 0 ? format : found->version.format;
	if (rep->document_format != found->version.format)
		return convert(&rep->content, op, found, format);
	return text_keep(&rep->content, op, found->content);
}

int
op_get_document(struct op *op, const struct msg_get_document_request *req,
	struct msg_get_document_reply *rep)
{
	struct reading w = {.op = op,
		.name = req->name,
		.version = req->document_version,
		.version_name = req->version_name};
	const struct document_found *found = &w.what.found;
	int r = store_read(op->env->store, look, &w, &op->err);

	if (r < 0)
		return r;
	rep->created_date = found->version.created;
	rep->status = DOCUMENT_STATUS_ACTIVE;
	rep->document_type = found->document.type;
	if ((r = text_keep(&rep->name, op, found->document.name)) < 0 ||
		(r = text_keep(&rep->display_name, op, found->version.display_name)) < 0 ||
		(r = text_keep(&rep->version_name, op, found->version.version_name)) < 0 ||
		(r = describe_number(&rep->document_version, op, found->version.number)) < 0)
		return r;
	return keep_content(rep, op, found, req->document_format);
}

/* --- DescribeDocument ------------------------------------------------------------------------- */

int
op_describe_document(struct op *op, const struct msg_describe_document_request *req,
	struct msg_describe_document_reply *rep)
{
	struct reading w = {.op = op,
		.name = req->name,
		.version = req->document_version,
		.version_name = req->version_name};
	int r;

	if ((rep->document = arena_alloc(op->arena, sizeof(*rep->document))) == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a document");
	r = store_read(op->env->store, look, &w, &op->err);
	return r < 0 ? r : describe_document(rep->document, op, &w.what);
}

/* --- ListDocumentVersions --------------------------------------------------------------------- */

/* The key of a page is the last number on it. */
struct listing {
	struct op *op;
	const char *name;
	struct msg_list_document_versions_reply *rep;
	struct page page;
	struct page_key from;
};

static int
add_version(struct listing *w, const struct document_row *d, const struct document_version_row *v)
{
	struct msg_document_version_info *info =
		&w->rep->document_versions.v[w->rep->document_versions.n++];
	int r;

	*info = (struct msg_document_version_info){.created_date = v->created,
		.is_default_version = v->number == d->default_version,
		.document_format = v->format,
		.status = DOCUMENT_STATUS_ACTIVE};
	w->page.items++;
	w->from.number = v->number;
	if ((r = text_keep(&info->name, w->op, d->name)) < 0 ||
		(r = text_keep(&info->display_name, w->op, v->display_name)) < 0 ||
		(r = text_keep(&info->version_name, w->op, v->version_name)) < 0)
		return r;
	return describe_number(&info->document_version, w->op, v->number);
}

static int
add_versions(struct listing *w, struct db *db, const struct document_row *d)
{
	struct document_version_row version;
	struct query q;
	int r = document_version_list(&q, db, d->name, w->from.number, &w->op->err);

	while (r == 0 && (r = document_version_next(&q, &version, &w->op->err)) > 0) {
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		r = add_version(w, d, &version);
	}
	query_end(&q);
	return r;
}

static int
read_versions(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct document_found found;
	int r = document_look(&found, w->op, db, w->name, NULL, NULL, &w->op->err);

	(void)err;
	if (r < 0)
		return r;
	if (found.built_in != NULL)
		return add_version(w, &found.document, &found.version);
	return add_versions(w, db, &found.document);
}

int
op_list_document_versions(struct op *op, const struct msg_list_document_versions_request *req,
	struct msg_list_document_versions_reply *rep)
{
	struct listing w = {.op = op, .name = req->name, .rep = rep};
	int r;

	if ((r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->document_versions.v =
		arena_array(op->arena, LIST_LIMIT, sizeof(*rep->document_versions.v));
	if (rep->document_versions.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for versions");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_versions, &w, &op->err);
}
