#include "relay/services/documents/describe.h"

#include <stdlib.h>
#include <string.h>

#include "proto/document/document.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/documents/built_in.h"
#include "relay/services/text.h"
#include "relay/store/tags.h"

#define DEFAULT_MAX    65536	    /* bytes of one, as it is shown */
#define PARAMETERS_MAX (128 * 1024) /* of what all of them show: a reply has twice that */

static int
no_memory(struct op *op)
{
	return op_fail(op, HW_ENOMEM, "no memory for a document");
}

static enum document_kind
kind_of(int type)
{
	static const enum document_kind kinds[] = {
		[DOCUMENT_TYPE_COMMAND] = DOCUMENT_COMMAND,
		[DOCUMENT_TYPE_SESSION] = DOCUMENT_SESSION,
		[DOCUMENT_TYPE_AUTOMATION] = DOCUMENT_AUTOMATION,
	};

	return kinds[type];
}

int
describe_parse(struct document **ret, struct op *op, const struct document_found *found)
{
	struct hw_err why = HW_ERR_INIT;

	if (enum_text(&enum_DOCUMENT_TYPE, found->document.type)[0] == '\0')
		return op_fail(op, HW_ECORRUPT, "%s has no type", found->document.name);
	int r = document_parse(ret, found->content, found->n, found->version.format,
		kind_of(found->document.type), &why);

	if (r == 0)
		return 0;
	return op_fail(op, r == HW_ENOMEM ? r : HW_ECORRUPT, "%s of version %lld: %s",
		found->document.name, (long long)found->version.number, why.text);
}

int
describe_number(const char **ret, struct op *op, int64_t number)
{
	*ret = arena_printf(op->arena, "%lld", (long long)number);
	return *ret != NULL ? 0 : no_memory(op);
}

const char *
describe_owner(const struct op *op, const struct document_found *found)
{
	return found->built_in != NULL ? BUILT_IN_OWNER : op->env->config->account;
}

/* There are no others to run on. */
static int
platform_of(const struct document *d)
{
	return document_is_for_linux(d) ? PLATFORM_TYPE_LINUX : PLATFORM_TYPE_WINDOWS;
}

int
describe_platform(struct op *op, const struct document_found *found)
{
	struct document *d;
	int r = describe_parse(&d, op, found);

	if (r < 0)
		return r;
	r = platform_of(d);
	document_free(d);
	return r;
}

static int
keep_platform(struct msg_strs *ret, struct op *op, int platform)
{
	ret->v = arena_array(op->arena, 1, sizeof(*ret->v));
	if (ret->v == NULL)
		return no_memory(op);
	ret->v[0] = enum_text(&enum_PLATFORM_TYPE, platform);
	ret->n = 1;
	return 0;
}

/* --- parameters ------------------------------------------------------------------------------- */

static size_t
size_of(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

/* Aliases are written out, and JSON has escapes: it may be larger than the document. */
static size_t
size_of_default(const json_t *value)
{
	if (value == NULL)
		return 0;
	return json_is_string(value) ? json_string_length(value)
				     : json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
}

int
describe_check(struct op *op, const struct document *d)
{
	size_t all = size_of(document_description(d));

	for (size_t i = 0; i < document_parameters(d); i++) {
		const struct document_parameter *p = document_parameter(d, i);
		size_t n = size_of_default(p->value);
		if (n > DEFAULT_MAX)
			return op_fail(op, HW_EDOCUMENTSIZE,
				"the default of the parameter %.128s has %zu bytes, and at most "
				"%d can be shown",
				p->name, n, DEFAULT_MAX);
		all += size_of(p->name) + size_of(p->type) + size_of(p->description) + n;
	}
	if (all <= PARAMETERS_MAX)
		return 0;
	return op_fail(op, HW_EDOCUMENTSIZE,
		"descriptions and defaults have %zu bytes, and at most %d can be shown", all,
		PARAMETERS_MAX);
}

static int
keep_default(const char **ret, struct op *op, const json_t *value)
{
	char *text = NULL;

	if (value == NULL)
		return 0;
	if (!json_is_string(value) &&
		(text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY)) == NULL)
		return no_memory(op);
	*ret = arena_strdup(op->arena, text != NULL ? text : json_string_value(value));
	free(text);
	return *ret != NULL ? 0 : no_memory(op);
}

static int
keep_parameter(struct msg_document_parameter *ret, struct op *op,
	const struct document_parameter *p)
{
	int r;

	if ((r = text_keep(&ret->name, op, p->name)) < 0 ||
		(r = text_keep(&ret->type, op, p->type)) < 0 ||
		(r = text_keep(&ret->description, op, text_or_empty(p->description))) < 0)
		return r;
	return keep_default(&ret->default_value, op, p->value);
}

static int
keep_parsed(struct msg_document_description *ret, struct op *op, const struct document *d)
{
	size_t n = document_parameters(d);
	int r;

	if ((r = text_keep(&ret->description, op, text_or_empty(document_description(d)))) < 0 ||
		(r = text_keep(&ret->schema_version, op, document_schema_version(d))) < 0)
		return r;
	ret->parameters.v = arena_array(op->arena, n + 1, sizeof(*ret->parameters.v));
	if (ret->parameters.v == NULL)
		return no_memory(op);
	for (size_t i = 0; i < n; i++) {
		r = keep_parameter(&ret->parameters.v[i], op, document_parameter(d, i));
		if (r < 0)
			return r;
	}
	ret->parameters.n = n;
	return 0;
}

/* --- documents -------------------------------------------------------------------------------- */

static int
keep_rows(struct msg_document_description *ret, struct op *op, const struct document_found *found)
{
	const struct document_version_row *v = &found->version;
	int r;

	ret->hash_type = DOCUMENT_HASH_TYPE_SHA256;
	ret->created_date = v->created;
	ret->status = DOCUMENT_STATUS_ACTIVE;
	ret->document_type = found->document.type;
	ret->document_format = v->format;
	if ((r = text_keep(&ret->hash, op, v->hash)) < 0 ||
		(r = text_keep(&ret->name, op, found->document.name)) < 0 ||
		(r = text_keep(&ret->display_name, op, v->display_name)) < 0 ||
		(r = text_keep(&ret->version_name, op, v->version_name)) < 0 ||
		(r = text_keep(&ret->owner, op, describe_owner(op, found))) < 0 ||
		(r = text_keep(&ret->target_type, op, found->document.target_type)) < 0 ||
		(r = text_keep(&ret->author, op, v->author)) < 0 ||
		(r = describe_number(&ret->document_version, op, v->number)) < 0 ||
		(r = describe_number(&ret->latest_version, op, found->document.latest)) < 0 ||
		(r = describe_number(&ret->default_version, op, found->document.default_version)) <
			0)
		return r;
	return 0;
}

int
describe_look(struct described *ret, struct op *op, struct db *db, const char *name,
	const char *version, const char *version_name)
{
	int r = document_look(&ret->found, op, db, name, version, version_name, &op->err);

	return r < 0 ? r
		     : tag_list(db, op->arena, TAGS_DOCUMENT, ret->found.document.name, &ret->tags,
			       &ret->n_tags, &op->err);
}

int
describe_document(struct msg_document_description *ret, struct op *op, const struct described *what)
{
	struct document *d;
	int r;

	*ret = (struct msg_document_description){
		.tags = {what->tags, what->n_tags}
	  };
	if ((r = keep_rows(ret, op, &what->found)) < 0 ||
		(r = describe_parse(&d, op, &what->found)) < 0)
		return r;
	if ((r = describe_check(op, d)) == 0 && (r = keep_parsed(ret, op, d)) == 0)
		r = keep_platform(&ret->platform_types, op, platform_of(d));
	document_free(d);
	return r;
}

int
describe_identifier(struct msg_document_identifier *ret, struct op *op,
	const struct document_found *found, int platform)
{
	const struct document_version_row *v = &found->version;
	int r;

	*ret = (struct msg_document_identifier){.created_date = found->document.created,
		.document_type = found->document.type,
		.document_format = v->format};
	if ((r = text_keep(&ret->name, op, found->document.name)) < 0 ||
		(r = text_keep(&ret->display_name, op, v->display_name)) < 0 ||
		(r = text_keep(&ret->owner, op, describe_owner(op, found))) < 0 ||
		(r = text_keep(&ret->version_name, op, v->version_name)) < 0 ||
		(r = text_keep(&ret->schema_version, op, v->schema)) < 0 ||
		(r = text_keep(&ret->target_type, op, found->document.target_type)) < 0 ||
		(r = text_keep(&ret->author, op, v->author)) < 0 ||
		(r = describe_number(&ret->document_version, op, v->number)) < 0)
		return r;
	return platform > 0 ? keep_platform(&ret->platform_types, op, platform) : 0;
}
