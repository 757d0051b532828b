#include "proto/document/yaml_write.h"

#include <string.h>

#include <yaml.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/document/plain.h"

#define WIDTH -1 /* lines are not folded */

static int
on_bytes(void *arg, unsigned char *p, size_t n)
{
	return buf_append(arg, p, n) == 0;
}

static bool
emit(yaml_emitter_t *y, yaml_event_t *e, int made)
{
	return made && yaml_emitter_emit(y, e);
}

/* What could be read as another type, or has lines, says by its style what it is. */
static yaml_scalar_style_t
style_of(const char *text, size_t n)
{
	if (plain_is_special(text) || strcmp(text, "<<") == 0)
		return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	return memchr(text, '\n', n) != NULL ? YAML_LITERAL_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE;
}

static bool
emit_scalar(yaml_emitter_t *y, const char *text, size_t n, yaml_scalar_style_t style)
{
	yaml_event_t e;

	return emit(y, &e,
		yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *)text, (int)n, 1,
			1, style));
}

static bool
emit_text(yaml_emitter_t *y, const char *text)
{
	size_t n = strlen(text);

	return emit_scalar(y, text, n, style_of(text, n));
}

static bool
emit_plain(yaml_emitter_t *y, const json_t *value)
{
	char text[64];
	size_t n = json_dumpb(value, text, sizeof(text), JSON_ENCODE_ANY);

	return n <= sizeof(text) && emit_scalar(y, text, n, YAML_PLAIN_SCALAR_STYLE);
}

static bool emit_value(yaml_emitter_t *y, const json_t *value);

static bool
emit_list(yaml_emitter_t *y, const json_t *list)
{
	yaml_event_t e;
	size_t i;
	json_t *value;

	if (!emit(y, &e,
		    yaml_sequence_start_event_initialize(&e, NULL, NULL, 1,
			    json_array_size(list) > 0 ? YAML_BLOCK_SEQUENCE_STYLE
						      : YAML_FLOW_SEQUENCE_STYLE)))
		return false;
	json_array_foreach(list, i, value) {
		if (!emit_value(y, value))
			return false;
	}
	return emit(y, &e, yaml_sequence_end_event_initialize(&e));
}

static bool
emit_map(yaml_emitter_t *y, const json_t *map)
{
	yaml_event_t e;
	const char *key;
	json_t *value;

	if (!emit(y, &e,
		    yaml_mapping_start_event_initialize(&e, NULL, NULL, 1,
			    json_object_size(map) > 0 ? YAML_BLOCK_MAPPING_STYLE
						      : YAML_FLOW_MAPPING_STYLE)))
		return false;
	json_object_foreach((json_t *)map, key, value) {
		if (!emit_text(y, key) || !emit_value(y, value))
			return false;
	}
	return emit(y, &e, yaml_mapping_end_event_initialize(&e));
}

static bool
emit_value(yaml_emitter_t *y, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return emit_map(y, value);
	case JSON_ARRAY:
		return emit_list(y, value);
	case JSON_STRING:
		return emit_text(y, json_string_value(value));
	default:
		return emit_plain(y, value);
	}
}

static bool
emit_document(yaml_emitter_t *y, const json_t *tree)
{
	yaml_event_t e;

	return emit(y, &e, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING)) &&
		emit(y, &e, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1)) &&
		emit_value(y, tree) && emit(y, &e, yaml_document_end_event_initialize(&e, 1)) &&
		emit(y, &e, yaml_stream_end_event_initialize(&e));
}

int
yaml_write(struct buf *out, const json_t *tree, struct hw_err *err)
{
	yaml_emitter_t y;

	if (!yaml_emitter_initialize(&y))
		return hw_err_set(err, HW_ENOMEM, "no memory for a document");
	yaml_emitter_set_output(&y, on_bytes, out);
	yaml_emitter_set_unicode(&y, 1);
	yaml_emitter_set_width(&y, WIDTH);
	bool written = emit_document(&y, tree);
	yaml_emitter_delete(&y);
	if (written)
		return 0;
	return out->failed ? hw_err_set(err, HW_EDOCUMENTSIZE,
				     "as YAML the document has more than %zu bytes", out->max)
			   : hw_err_set(err, HW_ENOMEM, "no memory for a document");
}
