/* ListDocuments: what is built in, then what people wrote, by name. */
#include <stdio.h>
#include <string.h>

#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/documents/built_in.h"
#include "relay/services/documents/describe.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"

#define LIST_LIMIT  50
#define CONTENT_MAX (256 * 1024) /* of one document; it has 64 KiB at most */

/* --- filters ---------------------------------------------------------------------------------- */

/* What a filter looks at. */
struct candidate {
	const char *name, *target_type;
	int type;
	bool built_in;
	const char *account;
	const struct msg_tag *tags;
	size_t n_tags;
	int platform; /* 0: it cannot be read */
};

/* One of either form. */
struct filter {
	const char *key;
	const char *const *values;
	size_t n;
};

typedef bool test_fn(const struct candidate *c, const char *value);

static bool
test_name(const struct candidate *c, const char *value)
{
	return strncmp(c->name, value, strlen(value)) == 0;
}

static bool
test_keyword(const struct candidate *c, const char *value)
{
	return strcasestr(c->name, value) != NULL;
}

/* AWS's words, and ours: what comes with the system is what Amazon's and the public ones are there.
 */
static bool
test_owner(const struct candidate *c, const char *value)
{
	static const char *const system[] = {BUILT_IN_OWNER, "Amazon", "Public", "All", NULL};
	static const char *const own[] = {"Self", "Private", "All", NULL};
	const char *const *word = c->built_in ? system : own;

	while (*word != NULL && strcmp(*word, value) != 0)
		word++;
	return *word != NULL || (!c->built_in && strcmp(c->account, value) == 0);
}

static bool
test_platform(const struct candidate *c, const char *value)
{
	return strcmp(value, enum_text(&enum_PLATFORM_TYPE, c->platform)) == 0;
}

static bool
test_type(const struct candidate *c, const char *value)
{
	return strcmp(value, enum_text(&enum_DOCUMENT_TYPE, c->type)) == 0;
}

static bool
test_target(const struct candidate *c, const char *value)
{
	return strcmp(c->target_type, value) == 0;
}

static bool
test_tag_key(const struct candidate *c, const char *value)
{
	for (size_t i = 0; i < c->n_tags; i++) {
		if (strcmp(c->tags[i].key, value) == 0)
			return true;
	}
	return false;
}

static const struct {
	const char *key;
	test_fn *test;
	bool older; /* in the older form too */
} tests[] = {
	{"Name",		 test_name,	    true },
	{"Owner",	  test_owner,    true },
	{"PlatformTypes", test_platform, true },
	{"DocumentType",	 test_type,	    true },
	{"TargetType",    test_target,   false},
	{"SearchKeyword", test_keyword,	false},
	{"tag-key",	    test_tag_key,  false},
};

static bool
has_tag(const struct candidate *c, const char *key, const char *value)
{
	for (size_t i = 0; i < c->n_tags; i++) {
		if (strcmp(c->tags[i].key, key) == 0 && strcmp(c->tags[i].value, value) == 0)
			return true;
	}
	return false;
}

static bool
passes_one(const struct filter *f, const struct candidate *c)
{
	size_t t = 0;

	while (t < sizeof(tests) / sizeof(tests[0]) && strcmp(tests[t].key, f->key) != 0)
		t++;
	for (size_t i = 0; i < f->n; i++) {
		bool passes = t < sizeof(tests) / sizeof(tests[0])
			? tests[t].test(c, f->values[i])
			: has_tag(c, f->key + strlen("tag:"), f->values[i]);
		if (passes)
			return true;
	}
	return false;
}

static int
check_filter(struct op *op, const struct filter *f)
{
	if (f->n == 0)
		return op_fail(op, HW_EFILTERKEY, "%.100s: a filter needs values", f->key);
	if (strncmp(f->key, "tag:", 4) == 0 && f->key[4] != '\0')
		return 0;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(tests[i].key, f->key) == 0)
			return 0;
	}
	return op_fail(op, HW_EFILTERKEY, "no filter of documents is named \"%.100s\"", f->key);
}

/* --- the list --------------------------------------------------------------------------------- */

/* The key of a page: how many of the built-in ones were there already, and the last name of the
 * others. */
struct listing {
	struct op *op;
	struct msg_list_documents_reply *rep;
	struct filter *filters;
	size_t n_filters;
	struct page page;
	struct page_key from;
};

static int
take_filters(struct listing *w, const struct msg_list_documents_request *req)
{
	size_t n = req->filters.n + req->document_filter_list.n;
	int r = 0;

	if (req->filters.n > 0 && req->document_filter_list.n > 0)
		return op_fail(w->op, HW_EVALIDATION,
			"Filters and DocumentFilterList exclude each other");
	if ((w->filters = arena_array(w->op->arena, n + 1, sizeof(*w->filters))) == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for filters");
	for (size_t i = 0; i < req->filters.n; i++)
		w->filters[w->n_filters++] = (struct filter){req->filters.v[i].key,
			(const char *const *)req->filters.v[i].values.v,
			req->filters.v[i].values.n};
	for (size_t i = 0; i < req->document_filter_list.n; i++) {
		const struct msg_document_filter *f = &req->document_filter_list.v[i];
		w->filters[w->n_filters++] =
			(struct filter){enum_text(&enum_DOCUMENT_FILTER, f->key), &f->value, 1};
	}
	for (size_t i = 0; i < w->n_filters && r == 0; i++)
		r = check_filter(w->op, &w->filters[i]);
	return r;
}

/* All filters that look into the document, or all others. */
static bool
passes(const struct listing *w, const struct candidate *c, bool parsed)
{
	for (size_t i = 0; i < w->n_filters; i++) {
		bool looks_into = strcmp(w->filters[i].key, "PlatformTypes") == 0;
		if (looks_into == parsed && !passes_one(&w->filters[i], c))
			return false;
	}
	return true;
}

/* One that cannot be read keeps nobody from the others. */
static int
find_platform(struct op *op, const struct document_found *found)
{
	int r = describe_platform(op, found);

	if (r != HW_ECORRUPT)
		return r;
	log_event(op->env->log, LOG_LEVEL_WARN, "document.unreadable", "why=%s",
		log_value(hw_err_text(&op->err)));
	op->err = (struct hw_err)HW_ERR_INIT;
	return 0;
}

/* 1: it is on the page, or left out; 0: the page is full. */
static int
add_found(struct listing *w, const struct document_found *found, struct msg_tag *tags, size_t n)
{
	struct msg_document_identifier *item;
	struct candidate c = {.name = found->document.name,
		.target_type = found->document.target_type,
		.type = found->document.type,
		.built_in = found->built_in != NULL,
		.account = w->op->env->config->account,
		.tags = tags,
		.n_tags = n};

	if (!passes(w, &c, false))
		return 1;
	if ((c.platform = find_platform(w->op, found)) < 0)
		return c.platform;
	if (!passes(w, &c, true) || !op_may_see_document(w->op, c.name, tags, n))
		return 1;
	if (!page_has_room(&w->page))
		return 0;
	item = &w->rep->document_identifiers.v[w->page.items];
	int r = describe_identifier(item, w->op, found, c.platform);
	if (r < 0)
		return r;
	item->tags.v = tags;
	item->tags.n = n;
	w->page.items++;
	return 1;
}

static int
add_built_in(struct listing *w, struct db *db)
{
	struct document_found found;
	int r = 1;

	for (size_t i = (size_t)w->from.number; r > 0 && i < built_in_count; i++) {
		r = document_look(&found, w->op, db, built_ins[i].name, NULL, NULL, &w->op->err);
		if (r == 0 && (r = add_found(w, &found, NULL, 0)) > 0)
			w->from.number = (int64_t)i + 1;
	}
	return r;
}

/* One whose default version is not there, or is larger than any can be, reads as an empty one. */
static int
read_version(struct document_version_row *ret, struct op *op, struct db *db,
	const struct document_row *row, struct arena *content)
{
	int r = document_version_get(db, content, row->name, row->default_version, "", ret,
		&op->err);

	if (r != HW_EDOCUMENTVERSION && r != HW_ELIMIT)
		return r;
	*ret = (struct document_version_row){.number = row->default_version, .content = ""};
	op->err = (struct hw_err)HW_ERR_INIT;
	return 0;
}

/* What is left out, and what does not fit, costs the page nothing. */
static int
add_row(struct listing *w, struct db *db, const struct document_row *row, struct arena *content)
{
	struct arena_mark mark = arena_mark(w->op->arena);
	struct document_found found = {.document = *row};
	size_t items = w->page.items, n;
	struct msg_tag *tags;
	int r;

	if ((r = tag_list(db, w->op->arena, TAGS_DOCUMENT, row->name, &tags, &n, &w->op->err)) <
			0 ||
		(r = read_version(&found.version, w->op, db, row, content)) < 0)
		return r;
	found.content = found.version.content;
	found.n = strlen(found.content);
	r = add_found(w, &found, tags, n);
	if (w->page.items == items)
		arena_release(w->op->arena, &mark);
	return r;
}

static int
add_written(struct listing *w, struct db *db)
{
	struct document_row row;
	struct query q;
	int r = document_list(&q, db, w->from.text, &w->op->err);
	struct arena *content = arena_new(CONTENT_MAX);
	bool more = r == 0;

	if (content == NULL)
		r = op_fail(w->op, HW_ENOMEM, "no memory for a document");
	while (content != NULL && more && (r = document_next(&q, &row, &w->op->err)) > 0) {
		struct arena_mark mark = arena_mark(content);
		if ((r = add_row(w, db, &row, content)) > 0)
			snprintf(w->from.text, sizeof(w->from.text), "%s", row.name);
		arena_release(content, &mark);
		more = r > 0;
	}
	query_end(&q);
	arena_free(content);
	return r < 0 ? r : more;
}

static int
read_documents(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	int r;

	(void)err; /* the op's */
	if ((r = add_built_in(w, db)) > 0)
		r = add_written(w, db);
	w->rep->document_identifiers.n = w->page.items;
	if (r == 0)
		return page_token(&w->rep->next_token, w->op, &w->from);
	return r < 0 ? r : 0;
}

int
op_list_documents(struct op *op, const struct msg_list_documents_request *req,
	struct msg_list_documents_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r;

	if ((r = take_filters(&w, req)) < 0 || (r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->document_identifiers.v =
		arena_array(op->arena, LIST_LIMIT, sizeof(*rep->document_identifiers.v));
	if (rep->document_identifiers.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for documents");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_documents, &w, &op->err);
}
