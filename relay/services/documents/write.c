/* Documents are made, given new versions, and removed. */
#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/document/document.h"
#include "proto/trust/secret.h"
#include "relay/core/op.h"
#include "relay/documents/built_in.h"
#include "relay/services/documents/describe.h"
#include "relay/services/taglist.h"
#include "relay/services/text.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"

#define NAME_CHARS                   \
	"abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789_.-"

/* --- checks ----------------------------------------------------------------------------------- */

static bool
is_made_of(const char *text, size_t min, size_t max)
{
	size_t n = strlen(text);

	return n >= min && n <= max && strspn(text, NAME_CHARS) == n;
}

static int
check_name(struct op *op, const char *name)
{
	if (!is_made_of(name, 3, 128))
		return op_fail(op, HW_EVALIDATION,
			"Name: 3 to 128 letters, digits and _ . - are allowed");
	if (built_in_reserves(name))
		return op_fail(op, HW_EVALIDATION,
			"Name: \"%s\" begins or reads as those of built-in documents do: choose another",
			name);
	return 0;
}

static int
check_own(struct op *op, const char *name)
{
	return built_in_find(name) == NULL
		? 0
		: op_fail(op, HW_EDOCUMENTOP,
			  "%s is built in: make one of your own with its content", name);
}

static int
check_texts(struct op *op, const char *display, const char *version_name, const char *target)
{
	const struct text_field fields[] = {
		{"DisplayName", display},
		{"TargetType",  target },
		{NULL,	       NULL   },
	};

	if (text_or_absent(version_name) != NULL && !is_made_of(version_name, 1, 128))
		return op_fail(op, HW_EVALIDATION,
			"VersionName: 1 to 128 letters, digits and _ . - are allowed");
	return text_check(op, fields);
}

/* What would be left out silently is refused. */
static int
check_alone(struct op *op, size_t attachments, size_t requires)
{
	if (attachments > 0)
		return op_fail(op, HW_EVALIDATION, "Attachments: documents have none here");
	if (requires > 0)
		return op_fail(op, HW_EVALIDATION, "Requires: documents need no others here");
	return 0;
}

static enum document_kind
kind_of(int type)
{
	return type == DOCUMENT_TYPE_SESSION	   ? DOCUMENT_SESSION
		: type == DOCUMENT_TYPE_AUTOMATION ? DOCUMENT_AUTOMATION
						   : DOCUMENT_COMMAND;
}

/* Fills in what the content says of itself. */
static int
read_content(struct document_version_row *ret, struct op *op, const char *content, int format,
	int type)
{
	uint8_t hash[SHA256_LEN];
	struct document *d;
	int r;

	if (format == DOCUMENT_FORMAT_TEXT)
		return op_fail(op, HW_EVALIDATION, "DocumentFormat: JSON or YAML");
	r = document_parse(&d, content, strlen(content), format, kind_of(type), &op->err);
	if (r < 0)
		return r;
	ret->format = document_format(d);
	snprintf(ret->schema, sizeof(ret->schema), "%s", document_schema_version(d));
	r = describe_check(op, d);
	document_free(d);
	if (r < 0)
		return r;
	sha256(hash, content, strlen(content));
	hex_encode(ret->hash, hash, sizeof(hash));
	ret->content = content;
	return 0;
}

static void
fill_version(struct document_version_row *ret, const struct op *op, const char *display,
	const char *version_name)
{
	ret->created = op->now;
	snprintf(ret->display_name, sizeof(ret->display_name), "%s", text_or_empty(display));
	snprintf(ret->version_name, sizeof(ret->version_name), "%s", text_or_empty(version_name));
	snprintf(ret->author, sizeof(ret->author), "%s", op->arn);
}

/* The version that was just written. */
static int
look_again(struct described *ret, struct op *op, struct db *db, const char *name, int64_t number)
{
	char version[24];

	snprintf(version, sizeof(version), "%lld", (long long)number);
	return describe_look(ret, op, db, name, version, NULL);
}

static int
show(struct msg_document_description **ret, struct op *op, const struct described *what)
{
	struct msg_document_description *shown = arena_alloc(op->arena, sizeof(*shown));

	if (shown == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a document");
	*ret = shown;
	return describe_document(shown, op, what);
}

/* --- CreateDocument --------------------------------------------------------------------------- */

struct creation {
	struct op *op;
	const struct msg_create_document_request *req;
	struct document_row document;
	struct document_version_row first;
	struct described written;
};

static int
write_document(void *arg, struct db *db, struct hw_err *err)
{
	struct creation *w = arg;
	const char *name = w->document.name;
	int r;

	if ((r = document_insert(db, &w->document, &w->first, err)) < 0 ||
		(r = taglist_add(w->op, db, TAGS_DOCUMENT, name, w->req->tags.v, w->req->tags.n,
			 err)) < 0)
		return r;
	store_changed(db, STORE_DOCUMENT, name);
	return look_again(&w->written, w->op, db, name, 1);
}

int
op_create_document(struct op *op, const struct msg_create_document_request *req,
	struct msg_create_document_reply *rep)
{
	struct creation w = {.op = op, .req = req};
	int type = req->document_type != 0 ? req->document_type : DOCUMENT_TYPE_COMMAND;
	int r;

	if ((r = check_name(op, req->name)) < 0 ||
		(r = check_alone(op, req->attachments.n, req->requires.n)) < 0 ||
		(r = check_texts(op, req->display_name, req->version_name, req->target_type)) < 0 ||
		(r = taglist_check(op, req->tags.v, req->tags.n)) < 0 ||
		(r = read_content(&w.first, op, req->content, req->document_format, type)) < 0)
		return r;
	w.document = (struct document_row){.type = type, .created = op->now};
	snprintf(w.document.name, sizeof(w.document.name), "%s", req->name);
	snprintf(w.document.target_type, sizeof(w.document.target_type), "%s",
		text_or_empty(req->target_type));
	w.first.number = 1;
	fill_version(&w.first, op, req->display_name, req->version_name);
	r = store_write(op->env->store, write_document, &w, &op->err);
	return r < 0 ? r : show(&rep->document_description, op, &w.written);
}

/* --- UpdateDocument --------------------------------------------------------------------------- */

struct update {
	struct op *op;
	const struct msg_update_document_request *req;
	int type;
	struct document_version_row version;
	struct described written;
};

static int
read_type(void *arg, struct db *db, struct hw_err *err)
{
	struct update *w = arg;
	struct document_row document;
	int r = document_get(db, w->req->name, &document, err);

	if (r == 0)
		w->type = document.type;
	return r;
}

/* Whoever says what the new version builds on is told when there is a later one. */
static int
check_base(struct op *op, const struct document_row *d, const char *base)
{
	char latest[24];

	snprintf(latest, sizeof(latest), "%lld", (long long)d->latest);
	if (text_or_absent(base) == NULL || strcmp(base, "$LATEST") == 0 ||
		strcmp(base, latest) == 0)
		return 0;
	if (strcmp(base, "$DEFAULT") == 0 && d->default_version == d->latest)
		return 0;
	return op_fail(op, HW_EDOCUMENTVERSION,
		"DocumentVersion: \"%.20s\" is not the latest version of %s, which is %s", base,
		d->name, latest);
}

static int
write_version(void *arg, struct db *db, struct hw_err *err)
{
	struct update *w = arg;
	const struct msg_update_document_request *req = w->req;
	struct document_row document;
	int r;

	if ((r = document_get(db, req->name, &document, err)) < 0 ||
		(r = check_base(w->op, &document, req->document_version)) < 0)
		return r;
	if (document.type != w->type)
		return hw_err_set(err, HW_EDOCUMENTOP, "%s was made anew meanwhile", req->name);
	if ((r = document_version_add(db, req->name, &w->version, err)) < 0 ||
		(r = document_set_target_type(db, req->name, text_or_empty(req->target_type),
			 err)) < 0)
		return r;
	return look_again(&w->written, w->op, db, req->name, w->version.number);
}

int
op_update_document(struct op *op, const struct msg_update_document_request *req,
	struct msg_update_document_reply *rep)
{
	struct update w = {.op = op, .req = req};
	int r;

	if ((r = check_own(op, req->name)) < 0 ||
		(r = check_alone(op, req->attachments.n, 0)) < 0 ||
		(r = check_texts(op, req->display_name, req->version_name, req->target_type)) < 0 ||
		(r = store_read(op->env->store, read_type, &w, &op->err)) < 0 ||
		(r = read_content(&w.version, op, req->content, req->document_format, w.type)) < 0)
		return r;
	fill_version(&w.version, op, req->display_name, req->version_name);
	r = store_write(op->env->store, write_version, &w, &op->err);
	return r < 0 ? r : show(&rep->document_description, op, &w.written);
}

/* --- UpdateDocumentDefaultVersion ------------------------------------------------------------- */

struct defaulting {
	struct op *op;
	const struct msg_update_document_default_version_request *req;
	struct msg_document_default_version *shown;
};

static int
set_default(void *arg, struct db *db, struct hw_err *err)
{
	struct defaulting *w = arg;
	struct document_found found;
	int r;

	(void)err; /* the op's */
	if ((r = document_look(&found, w->op, db, w->req->name, w->req->document_version, NULL,
		     &w->op->err)) < 0 ||
		(r = document_set_default(db, w->req->name, found.version.number, &w->op->err)) <
			0 ||
		(r = text_keep(&w->shown->name, w->op, found.document.name)) < 0 ||
		(r = text_keep(&w->shown->default_version_name, w->op,
			 found.version.version_name)) < 0)
		return r;
	return describe_number(&w->shown->default_version, w->op, found.version.number);
}

int
op_update_document_default_version(struct op *op,
	const struct msg_update_document_default_version_request *req,
	struct msg_update_document_default_version_reply *rep)
{
	struct defaulting w = {
		.op = op, .req = req, .shown = arena_alloc(op->arena, sizeof(*w.shown))};
	int r;

	if (w.shown == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a document");
	if ((r = check_own(op, req->name)) < 0)
		return r;
	rep->description = w.shown;
	return store_write(op->env->store, set_default, &w, &op->err);
}

/* --- DeleteDocument --------------------------------------------------------------------------- */

struct removal {
	struct op *op;
	const struct msg_delete_document_request *req;
};

static int
remove_whole(struct db *db, const char *name, struct hw_err *err)
{
	int r = document_delete(db, name, err);

	if (r == 0)
		store_changed(db, STORE_DOCUMENT, name);
	return r;
}

static int
remove_document(void *arg, struct db *db, struct hw_err *err)
{
	const struct removal *w = arg;
	const struct msg_delete_document_request *req = w->req;
	struct document_found found;
	int r;

	if (text_or_absent(req->document_version) == NULL &&
		text_or_absent(req->version_name) == NULL)
		return remove_whole(db, req->name, err);
	r = document_look(&found, w->op, db, req->name, req->document_version, req->version_name,
		err);
	return r < 0 ? r : document_version_delete(db, req->name, found.version.number, err);
}

int
op_delete_document(struct op *op, const struct msg_delete_document_request *req,
	struct msg_empty *rep)
{
	struct removal w = {.op = op, .req = req};
	int r = check_own(op, req->name);

	(void)rep;
	return r < 0 ? r : store_write(op->env->store, remove_document, &w, &op->err);
}
