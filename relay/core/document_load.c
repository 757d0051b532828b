#include "relay/core/document_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/secret.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/documents/built_in.h"
#include "relay/store/store.h"

#define ARN_PART_MAX 256

/* --- names ------------------------------------------------------------------------------------ */

static const char *
after_prefix(const struct op *op, const char *text, const char *account)
{
	char prefix[ARN_PART_MAX];
	int n = snprintf(prefix, sizeof(prefix), "arn:aws:ssm:%s:%s:document/",
		op->env->config->region, account);

	return n > 0 && n < ARN_PART_MAX && strncmp(text, prefix, (size_t)n) == 0 ? text + n : NULL;
}

const char *
document_name(const struct op *op, const char *text)
{
	const char *name = after_prefix(op, text, op->env->config->account);

	if (name == NULL)
		name = after_prefix(op, text, "");
	return name != NULL ? name : text;
}

/* --- versions --------------------------------------------------------------------------------- */

static int
no_such_version(const char *name, const char *version, struct hw_err *err)
{
	return hw_err_set(err, HW_EDOCUMENTVERSION,
		"%s has no version \"%.40s\": $DEFAULT, $LATEST or a number is wanted", name,
		version);
}

/* 0 for one that only its name tells. */
static int
read_number(int64_t *ret, const struct document_row *d, const char *version,
	const char *version_name, struct hw_err *err)
{
	bool named = version_name != NULL && version_name[0] != '\0';

	if (version == NULL || version[0] == '\0') {
		*ret = named ? 0 : d->default_version;
		return 0;
	}
	if (strcmp(version, "$DEFAULT") == 0 || strcmp(version, "$LATEST") == 0) {
		*ret = version[1] == 'D' ? d->default_version : d->latest;
		return 0;
	}
	size_t n = strspn(version, "0123456789");
	if (n == 0 || n > 9 || version[n] != '\0' || version[0] == '0')
		return no_such_version(d->name, version, err);
	*ret = atoi(version);
	return 0;
}

static void
fill_built_in(struct document_found *ret, const struct built_in *b)
{
	uint8_t hash[SHA256_LEN];

	*ret = (struct document_found){.built_in = b, .content = b->content, .n = b->n};
	ret->document = (struct document_row){.type = b->type, .default_version = 1, .latest = 1};
	snprintf(ret->document.name, sizeof(ret->document.name), "%s", b->name);
	ret->version = (struct document_version_row){
		.number = 1, .format = DOCUMENT_FORMAT_YAML, .content = b->content};
	snprintf(ret->version.schema, sizeof(ret->version.schema), "%s",
		b->type == DOCUMENT_TYPE_SESSION ? "1.0" : "2.2");
	sha256(hash, b->content, b->n);
	hex_encode(ret->version.hash, hash, sizeof(hash));
}

static int
look_built_in(struct document_found *ret, const struct built_in *b, const char *version,
	const char *version_name, struct hw_err *err)
{
	int64_t number;
	int r;

	fill_built_in(ret, b);
	if ((r = read_number(&number, &ret->document, version, version_name, err)) < 0)
		return r;
	if (number != 1 || (version_name != NULL && version_name[0] != '\0'))
		return no_such_version(b->name,
			number != 1 && version != NULL ? version : version_name, err);
	return 0;
}

static int
look_written(struct document_found *ret, struct op *op, struct db *db, const char *name,
	const char *version, const char *version_name, struct hw_err *err)
{
	bool named = version_name != NULL && version_name[0] != '\0';
	int64_t number;
	int r;

	*ret = (struct document_found){.built_in = NULL};
	if ((r = document_get(db, name, &ret->document, err)) < 0 ||
		(r = read_number(&number, &ret->document, version, version_name, err)) < 0 ||
		(r = document_version_get(db, op->arena, name, number, version_name, &ret->version,
			 err)) < 0)
		return r;
	if (named && strcmp(ret->version.version_name, version_name) != 0)
		return hw_err_set(err, HW_EDOCUMENTVERSION, "version %lld of %s is not named %s",
			(long long)number, name, version_name);
	ret->content = ret->version.content;
	ret->n = strlen(ret->content);
	return 0;
}

int
document_look(struct document_found *ret, struct op *op, struct db *db, const char *name,
	const char *version_asked, const char *version_name, struct hw_err *err)
{
	const char *plain = document_name(op, name);
	const struct built_in *b = built_in_find(plain);

	return b != NULL ? look_built_in(ret, b, version_asked, version_name, err)
			 : look_written(ret, op, db, plain, version_asked, version_name, err);
}

/* --- for those who run one -------------------------------------------------------------------- */

struct loading {
	struct op *op;
	const char *name, *version;
	struct document_found found;
};

static int
load(void *arg, struct db *db, struct hw_err *err)
{
	struct loading *w = arg;

	return document_look(&w->found, w->op, db, w->name, w->version, NULL, err);
}

int
document_load(const char **content, size_t *n, const char **version, int *type, struct op *op,
	const char *name, const char *version_asked)
{
	struct loading w = {.op = op, .name = name, .version = version_asked};
	const struct built_in *b = built_in_find(document_name(op, name));
	int r = b != NULL ? look_built_in(&w.found, b, version_asked, NULL, &op->err)
			  : store_read(op->env->store, load, &w, &op->err);

	if (r < 0)
		return r;
	const char *number = arena_printf(op->arena, "%lld", (long long)w.found.version.number);
	if (number == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a document");
	*content = w.found.content;
	*n = w.found.n;
	*version = number;
	*type = w.found.document.type;
	return 0;
}
