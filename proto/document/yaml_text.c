#include "proto/document/yaml_text.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "proto/document/document_private.h"
#include "proto/document/plain.h"

#define ANCHORS_MAX 256

struct weight {
	size_t nodes, bytes, depth;
};

struct anchor {
	char *name;
	json_t *node;
	struct weight weight;
};

/* A list or map that is not at its end. */
struct open {
	json_t *node;
	char *anchor; /* or NULL */
	char *key;    /* of a map whose next value it names */
	bool text;    /* scalars in it are texts */
	bool named;   /* its keys are names of parameters, and stand for nothing else */
	struct weight before;
	size_t depth; /* of what is in it */
};

struct reader {
	yaml_parser_t parser;
	struct open open[TREE_DEPTH_MAX];
	size_t n_open;
	struct anchor anchors[ANCHORS_MAX];
	size_t n_anchors;
	struct weight total; /* depth unused */
	json_t *tree;
	struct hw_err *err;
};

/* --- errors ----------------------------------------------------------------------------------- */

static int
wrong_at(struct reader *y, const yaml_mark_t *mark, const char *what)
{
	return hw_err_set(y->err, HW_EDOCUMENTCONTENT, "line %zu, column %zu: %s", mark->line + 1,
		mark->column + 1, what);
}

static int
wrong(struct reader *y, const yaml_event_t *e, const char *what)
{
	return wrong_at(y, &e->start_mark, what);
}

static int
no_memory(struct reader *y)
{
	return hw_err_set(y->err, HW_ENOMEM, "no memory for a document");
}

static int
parser_failed(struct reader *y)
{
	const yaml_parser_t *p = &y->parser;
	yaml_mark_t mark = p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(y);
	if (p->error == YAML_READER_ERROR)
		return hw_err_set(y->err, HW_EDOCUMENTCONTENT,
			"byte %zu: a character that YAML does not take", p->problem_offset);
	return wrong_at(y, &mark, p->problem != NULL ? p->problem : "this is not well-formed YAML");
}

/* --- weights ---------------------------------------------------------------------------------- */

static int
add_weight(struct reader *y, const yaml_event_t *e, size_t nodes, size_t bytes)
{
	if (nodes > TREE_NODES_MAX - y->total.nodes)
		return wrong(y, e, "the document has too many values, or its aliases make them");
	if (bytes > TREE_BYTES_MAX - y->total.bytes)
		return wrong(y, e, "the document's texts are too long, or its aliases make them");
	y->total.nodes += nodes;
	y->total.bytes += bytes;
	return 0;
}

/* --- keys that stand for texts ---------------------------------------------------------------- */

static bool
is_text_key(const char *key)
{
	static const char *const keys[] = {"StringEquals", "action", "allowedPattern",
		"allowedValues", "commands", "default", "description", "displayType", "environment",
		"id", "interpolationType", "name", "runCommand", "schemaVersion", "sessionType",
		"type", "workingDirectory", NULL};
	const char *const *k = keys;

	while (*k != NULL && strcmp(*k, key) != 0)
		k++;
	return *k != NULL;
}

static bool
is_text_here(const struct reader *y)
{
	const struct open *o = y->n_open > 0 ? &y->open[y->n_open - 1] : NULL;

	return o != NULL && (o->text || (o->key != NULL && !o->named && is_text_key(o->key)));
}

static bool
is_parameters_here(const struct reader *y)
{
	const char *key = y->n_open == 1 ? y->open[0].key : NULL;

	return key != NULL && strcmp(key, "parameters") == 0;
}

/* --- putting values where they belong --------------------------------------------------------- */

/* Takes the value, also when it fails. */
static int
put(struct reader *y, json_t *value, size_t depth)
{
	struct open *o = y->n_open > 0 ? &y->open[y->n_open - 1] : NULL;
	int r;

	if (value == NULL)
		return no_memory(y);
	if (o == NULL) {
		y->tree = value;
		return 0;
	}
	if (o->depth < depth)
		o->depth = depth;
	if (json_is_array(o->node)) {
		r = json_array_append_new(o->node, value);
	} else {
		r = json_object_set_new(o->node, o->key, value);
		free(o->key);
		o->key = NULL;
	}
	return r < 0 ? no_memory(y) : 0;
}

static bool
wants_key(const struct reader *y)
{
	const struct open *o = y->n_open > 0 ? &y->open[y->n_open - 1] : NULL;

	return o != NULL && json_is_object(o->node) && o->key == NULL;
}

static int
take_key(struct reader *y, const yaml_event_t *e)
{
	struct open *o = &y->open[y->n_open - 1];
	const char *key = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	int r;

	if (memchr(key, '\0', n) != NULL)
		return wrong(y, e, "a key holds a NUL");
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(key, "<<") == 0)
		return wrong(y, e, "merge keys are not taken: write the members out");
	if (json_object_get(o->node, key) != NULL)
		return wrong(y, e, "this member is there twice");
	if ((r = add_weight(y, e, 1, n)) < 0)
		return r;
	o->key = strdup(key);
	return o->key != NULL ? 0 : no_memory(y);
}

/* --- anchors ---------------------------------------------------------------------------------- */

static struct anchor *
find_anchor(struct reader *y, const char *name)
{
	for (size_t i = 0; i < y->n_anchors; i++) {
		if (strcmp(y->anchors[i].name, name) == 0)
			return &y->anchors[i];
	}
	return NULL;
}

/* The later one of the same name is meant from then on. */
static int
add_anchor(struct reader *y, const yaml_event_t *e, const char *name, json_t *node,
	struct weight weight)
{
	struct anchor *a = find_anchor(y, name);

	if (a == NULL && y->n_anchors == ANCHORS_MAX)
		return wrong(y, e, "too many anchors");
	if (a == NULL) {
		a = &y->anchors[y->n_anchors];
		*a = (struct anchor){.name = strdup(name)};
		if (a->name == NULL)
			return no_memory(y);
		y->n_anchors++;
	}
	json_decref(a->node);
	a->node = json_incref(node);
	a->weight = weight;
	return 0;
}

/* A copy, so that the tree is one: what it weighs was bounded before. */
static int
on_alias(struct reader *y, const yaml_event_t *e)
{
	const struct anchor *a = find_anchor(y, (const char *)e->data.alias.anchor);
	int r;

	if (a == NULL)
		return wrong(y, e, "no anchor of that name stands before it");
	if (wants_key(y))
		return wrong(y, e, "a key must be a text, not an alias");
	if (a->weight.depth + y->n_open > TREE_DEPTH_MAX)
		return wrong(y, e, "too many lists and maps in each other");
	if ((r = add_weight(y, e, a->weight.nodes, a->weight.bytes)) < 0)
		return r;
	return put(y, json_deep_copy(a->node), a->weight.depth);
}

/* --- events ----------------------------------------------------------------------------------- */

static bool
is_tag(const yaml_char_t *tag, const char *allowed)
{
	return tag == NULL || strcmp((const char *)tag, "!") == 0 ||
		strcmp((const char *)tag, allowed) == 0;
}

static json_t *
scalar_value(const struct reader *y, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && e->data.scalar.tag == NULL;

	return plain && !is_text_here(y) ? plain_value(text)
					 : json_stringn(text, e->data.scalar.length);
}

static int
on_scalar(struct reader *y, const yaml_event_t *e)
{
	const char *anchor = (const char *)e->data.scalar.anchor;
	struct weight weight = {1, e->data.scalar.length, 0};
	int r;

	if (!is_tag(e->data.scalar.tag, YAML_STR_TAG))
		return wrong(y, e, "this tag is not taken");
	if (wants_key(y))
		return anchor == NULL ? take_key(y, e) : wrong(y, e, "a key cannot be an anchor");
	if (memchr(e->data.scalar.value, '\0', e->data.scalar.length) != NULL)
		return wrong(y, e, "a text holds a NUL");
	if ((r = add_weight(y, e, weight.nodes, weight.bytes)) < 0)
		return r;
	json_t *value = scalar_value(y, e);
	if (value != NULL && anchor != NULL && (r = add_anchor(y, e, anchor, value, weight)) < 0) {
		json_decref(value);
		return r;
	}
	return put(y, value, 0);
}

static int
on_start(struct reader *y, const yaml_event_t *e, json_t *node, const char *anchor)
{
	struct open *o = &y->open[y->n_open];
	int r = 0;

	if (node == NULL)
		return no_memory(y);
	if (wants_key(y))
		r = wrong(y, e, "a key must be a text");
	else if (y->n_open == TREE_DEPTH_MAX)
		r = wrong(y, e, "too many lists and maps in each other");
	else
		r = add_weight(y, e, 1, 0);
	if (r < 0) {
		json_decref(node);
		return r;
	}
	*o = (struct open){.node = node,
		.text = is_text_here(y),
		.named = is_parameters_here(y),
		.before = y->total};
	y->n_open++;
	o->anchor = anchor != NULL ? strdup(anchor) : NULL;
	return anchor == NULL || o->anchor != NULL ? 0 : no_memory(y);
}

static int
on_end(struct reader *y, const yaml_event_t *e)
{
	struct open o = y->open[--y->n_open];
	struct weight weight = {
		1 + y->total.nodes - o.before.nodes, y->total.bytes - o.before.bytes, o.depth + 1};
	int r = o.anchor != NULL ? add_anchor(y, e, o.anchor, o.node, weight) : 0;

	free(o.anchor);
	if (r < 0) {
		json_decref(o.node);
		return r;
	}
	return put(y, o.node, weight.depth);
}

static int
on_event(struct reader *y, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(y, e);
	case YAML_ALIAS_EVENT:
		return on_alias(y, e);
	case YAML_SEQUENCE_START_EVENT:
		if (!is_tag(e->data.sequence_start.tag, YAML_SEQ_TAG))
			return wrong(y, e, "this tag is not taken");
		return on_start(y, e, json_array(), (const char *)e->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		if (!is_tag(e->data.mapping_start.tag, YAML_MAP_TAG))
			return wrong(y, e, "this tag is not taken");
		return on_start(y, e, json_object(), (const char *)e->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(y, e);
	case YAML_DOCUMENT_START_EVENT:
		return y->tree == NULL ? 0 : wrong(y, e, "a second document begins here");
	default:
		return 0;
	}
}

static int
read_events(struct reader *y)
{
	yaml_event_t e;
	bool last = false;
	int r = 0;

	while (r == 0 && !last) {
		if (!yaml_parser_parse(&y->parser, &e))
			return parser_failed(y);
		last = e.type == YAML_STREAM_END_EVENT;
		r = on_event(y, &e);
		yaml_event_delete(&e);
	}
	return r;
}

static void
reader_fini(struct reader *y)
{
	for (size_t i = 0; i < y->n_open; i++) {
		json_decref(y->open[i].node);
		free(y->open[i].anchor);
		free(y->open[i].key);
	}
	for (size_t i = 0; i < y->n_anchors; i++) {
		free(y->anchors[i].name);
		json_decref(y->anchors[i].node);
	}
	json_decref(y->tree);
	yaml_parser_delete(&y->parser);
	free(y);
}

int
yaml_text_read(json_t **ret, const char *text, size_t n, struct hw_err *err)
{
	struct reader *y = calloc(1, sizeof(*y));

	if (y == NULL || !yaml_parser_initialize(&y->parser)) {
		free(y);
		return hw_err_set(err, HW_ENOMEM, "no memory for a document");
	}
	y->err = err;
	yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y->parser, (const unsigned char *)text, n);
	int r = read_events(y);
	if (r == 0 && y->tree == NULL)
		r = hw_err_set(err, HW_EDOCUMENTCONTENT, "the document is empty");
	if (r == 0)
		*ret = json_incref(y->tree);
	reader_fini(y);
	return r;
}
