#include "client/json_args.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/clock.h"

static const struct field_row *
find_field(const struct msg_row *row, const char *name, size_t n)
{
	for (size_t i = 0; i < row->count; i++) {
		if (strncmp(row->fields[i].wire, name, n) == 0 && row->fields[i].wire[n] == '\0')
			return &row->fields[i];
	}
	return NULL;
}

static int
no_such_field(const struct msg_row *row, const char *word, size_t n, struct hw_err *err)
{
	char names[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < row->count && used + 70 < sizeof(names); i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
			i > 0 ? ", " : "", row->fields[i].wire);
	return hw_err_set(err, HW_EUSAGE, "there is no field %.*s; there are: %s", (int)n, word,
		names);
}

static json_t *
integer_of(const char *text)
{
	char *end;

	errno = 0;
	long long v = strtoll(text, &end, 10);
	return end == text || *end != '\0' || errno != 0 ? NULL : json_integer(v);
}

static json_t *
boolean_of(const char *text)
{
	if (strcmp(text, "true") == 0)
		return json_true();
	return strcmp(text, "false") == 0 ? json_false() : NULL;
}

/* The codec takes seconds. */
static json_t *
time_of(const char *text)
{
	int64_t usec;
	char *end;

	if (rfc3339_parse(&usec, text) == 0)
		return json_real((double)usec / 1e6);
	double v = strtod(text, &end);
	return end == text || *end != '\0' ? NULL : json_real(v);
}

/* The value as its field wants it, or NULL. */
static json_t *
value_of(const struct field_row *f, const char *text)
{
	bool is_text = f->kind == FIELD_STR || f->kind == FIELD_ENUM || f->kind == FIELD_BIN;

	if (!is_text && (text[0] == '[' || text[0] == '{'))
		return json_loads(text, 0, NULL);
	switch (f->kind) {
	case FIELD_STR:
	case FIELD_ENUM:
	case FIELD_BIN:
	case FIELD_STRS:
		return json_string(text);
	case FIELD_INT:
		return integer_of(text);
	case FIELD_BOOL:
		return boolean_of(text);
	case FIELD_TIME:
		return time_of(text);
	case FIELD_MSG:
	case FIELD_MSGS:
	case FIELD_SMAP:
		return NULL;
	}
	return NULL;
}

static int
set_field(json_t *object, const struct field_row *f, json_t *value)
{
	json_t *list = json_object_get(object, f->wire);

	if (f->kind != FIELD_STRS || json_is_array(value))
		return json_object_set(object, f->wire, value);
	if (json_is_array(list))
		return json_array_append(list, value);
	list = json_array();
	return json_array_append(list, value) < 0 ? -1 : json_object_set_new(object, f->wire, list);
}

static int
add_word(json_t *object, const struct msg_row *row, const char *word, struct hw_err *err)
{
	const char *equals = strchr(word, '=');
	const struct field_row *f;
	json_t *value;
	int r;

	if (equals == NULL || equals == word)
		return hw_err_set(err, HW_EUSAGE, "'%s' is not KEY=VALUE", word);
	if ((f = find_field(row, word, (size_t)(equals - word))) == NULL)
		return no_such_field(row, word, (size_t)(equals - word), err);
	if ((value = value_of(f, equals + 1)) == NULL)
		return hw_err_set(err, HW_EUSAGE, "%s cannot be '%s'", f->wire, equals + 1);
	r = set_field(object, f, value);
	json_decref(value);
	return r < 0 ? hw_err_set(err, HW_ENOMEM, "out of memory") : 0;
}

static int
load_input(json_t **ret, const char *input, size_t n, struct hw_err *err)
{
	json_error_t e;

	*ret = input != NULL ? json_loadb(input, n, JSON_REJECT_DUPLICATES, &e) : json_object();
	if (*ret == NULL)
		return hw_err_set(err, HW_EUSAGE, "the input is not JSON: line %d, column %d: %s",
			e.line, e.column, e.text);
	if (!json_is_object(*ret))
		return hw_err_set(err, HW_EUSAGE, "the input is not a JSON object");
	return 0;
}

int
json_args(struct buf *out, const struct msg_row *row, const char *input, size_t input_len,
	const char *const *words, size_t n, struct hw_err *err)
{
	json_t *object = NULL;
	char *text = NULL;
	int r = load_input(&object, input, input_len, err);

	for (size_t i = 0; i < n && r == 0; i++)
		r = add_word(object, row, words[i], err);
	if (r == 0) {
		text = json_dumps(object, JSON_COMPACT);
		if (text == NULL || buf_append_str(out, text) < 0)
			r = hw_err_set(err, HW_ELIMIT, "the request is too large");
	}
	free(text);
	json_decref(object);
	return r;
}
