/* A document's text: what is read is bound, filled in and decided without a fault, the same when it
 * is written in either format; what is not says why in a printable sentence. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/document/document.h"
#include "proto/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_sentence(int r, const struct hw_err *err)
{
	hw_assert(r < 0 && err->code == r && err->text[0] != '\0');
	for (const char *c = err->text; *c != '\0'; c++)
		hw_assert(*c >= ' ' && *c <= '~');
}

/* Written and read again; NULL when it is too long for that, or has, where YAML has texts, what is
 * none: then it may not be read again. */
static struct document *
again(const struct document *d, int format, enum document_kind kind)
{
	struct hw_err err = HW_ERR_INIT;
	struct document *ret = NULL;
	char *text;
	size_t n;

	if (document_write(&text, &n, d, format, &err) < 0)
		return NULL;
	if (n <= DOCUMENT_SIZE_MAX) {
		int r = document_parse(&ret, text, n, format, kind, &err);
		hw_assert(r == 0 || format == DOCUMENT_FORMAT_YAML);
	}
	free(text);
	return ret;
}

static void
check_written(const struct document *d, enum document_kind kind)
{
	struct document *json = again(d, DOCUMENT_FORMAT_JSON, kind);
	struct document *yaml = again(d, DOCUMENT_FORMAT_YAML, kind);
	struct document *twice = yaml != NULL ? again(yaml, DOCUMENT_FORMAT_YAML, kind) : NULL;

	if (json != NULL)
		hw_assert(json_equal(document_tree(d), document_tree(json)));
	if (twice != NULL)
		hw_assert(json_equal(document_tree(yaml), document_tree(twice)));
	document_free(json);
	document_free(yaml);
	document_free(twice);
}

static void
check_steps(const struct document *d, const struct document_values *v)
{
	char why[256];

	for (size_t i = 0; i < document_steps(d); i++) {
		json_t *inputs = NULL, *env = NULL;
		if (document_inputs(&inputs, &env, d, v, i, NULL) == 0) {
			int64_t seconds = document_step_seconds(inputs);
			hw_assert(seconds >= 5 && seconds <= 172800);
			document_refers_to_stored(inputs);
			json_decref(inputs);
			json_decref(env);
		}
		enum document_verdict verdict =
			document_precondition(d, v, i, "linux", why, sizeof(why));
		hw_assert((verdict == DOCUMENT_RUN) == (why[0] == '\0'));
	}
	hw_assert(document_timeout_seconds(d, v) >= 5 * (int64_t)document_steps(d));
}

/* Every parameter without a default is given one text, another time none. */
static void
check_bound(const struct document *d, bool given)
{
	static const char *texts[] = {"{\"a\":\"$$ {{ b }}\"}", "x"};
	struct msg_pair pairs[DOCUMENT_PARAMETERS_MAX];
	struct msg_smap all = {.v = pairs};
	struct document_values *v;
	json_t *properties;

	for (size_t i = 0; given && i < document_parameters(d); i++) {
		const struct document_parameter *p = document_parameter(d, i);
		if (p->value == NULL)
			pairs[all.n++] = (struct msg_pair){
				p->name, {texts, 2}
			   };
	}
	if (document_bind(&v, d, &all, NULL) < 0)
		return;
	check_steps(d, v);
	if (document_session_type(d) != NULL && document_properties(&properties, d, v, NULL) == 0)
		json_decref(properties);
	document_values_free(v);
}

static void
check_kind(const char *text, size_t n, enum document_kind kind)
{
	struct hw_err err = HW_ERR_INIT;
	struct document *d;
	int r = document_parse(&d, text, n, 0, kind, &err);

	if (r < 0) {
		check_sentence(r, &err);
		return;
	}
	check_written(d, kind);
	check_bound(d, true);
	check_bound(d, false);
	document_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = size > 0 ? (const char *)data : "";

	check_kind(text, size, DOCUMENT_COMMAND);
	check_kind(text, size, DOCUMENT_SESSION);
	check_kind(text, size, DOCUMENT_OTHER);
	return 0;
}
