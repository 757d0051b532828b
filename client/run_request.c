#include "client/run_request.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/selector.h"
#include "client/source.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"

#define IDS_MAX	       50 /* of InstanceIds; more go as a target */
#define PARAMETERS_MAX 200
#define VALUES_MAX     1000
#define COMMENT_MAX    100

struct reading {
	struct run_request *run;
	struct client *c;
	const struct input *in;
	struct hw_err *err;
};

/* --- parameters ------------------------------------------------------------------------------- */

static struct msg_pair *
find_parameter(struct msg_smap *all, const char *key)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->v[i].key, key) == 0)
			return &all->v[i];
	return NULL;
}

/* One more value of it. */
static int
add_value(struct reading *r, const char *key, const char *value)
{
	struct msg_smap *all = &r->run->req.parameters;
	struct msg_pair *p = find_parameter(all, key);

	if (p == NULL) {
		if (all->n == PARAMETERS_MAX)
			return hw_err_set(r->err, HW_EUSAGE, "at most %d parameters",
				PARAMETERS_MAX);
		p = &all->v[all->n++];
		p->key = key;
		p->values.v = arena_array(r->c->arena, VALUES_MAX, sizeof(*p->values.v));
		if (p->values.v == NULL)
			return hw_err_set(r->err, HW_ENOMEM, "out of memory");
	}
	if (p->values.n == VALUES_MAX)
		return hw_err_set(r->err, HW_EUSAGE, "at most %d values of %s", VALUES_MAX, key);
	p->values.v[p->values.n++] = value;
	return 0;
}

/* The array of texts that it is, as the AWS CLI takes a parameter's values; NULL where it is not
 * one: a script may begin with [ as well. */
static json_t *
texts_of(const char *value)
{
	json_t *all = *value == '[' ? json_loads(value, 0, NULL) : NULL, *item;
	size_t i;

	if (all == NULL)
		return NULL;
	json_array_foreach(all, i, item) {
		if (!json_is_string(item)) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static int
add_texts(struct reading *r, const char *key, const json_t *texts)
{
	const char *kept;
	json_t *item;
	size_t i;
	int rc;

	json_array_foreach(texts, i, item) {
		if ((kept = arena_strdup(r->c->arena, json_string_value(item))) == NULL)
			return hw_err_set(r->err, HW_ENOMEM, "out of memory");
		if ((rc = add_value(r, key, kept)) < 0)
			return rc;
	}
	return 0;
}

static int
add_values(struct reading *r, const char *key, const char *value)
{
	json_t *texts = texts_of(value);
	int rc;

	if (texts == NULL || json_array_size(texts) == 0)
		rc = add_value(r, key, value);
	else
		rc = add_texts(r, key, texts);
	json_decref(texts);
	return rc;
}

static int
read_parameters(struct reading *r)
{
	const char *text;
	int rc = 0;

	r->run->req.parameters.v =
		arena_array(r->c->arena, PARAMETERS_MAX, sizeof(*r->run->req.parameters.v));
	if (r->run->req.parameters.v == NULL)
		return hw_err_set(r->err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; (text = input_nth(r->in, "parameter", i)) != NULL && rc == 0; i++) {
		const char *equals = strchr(text, '=');
		const char *key;

		if (equals == NULL || equals == text)
			return hw_err_set(r->err, HW_EUSAGE, "'%s': a parameter is KEY=VALUE",
				text);
		if ((key = arena_strndup(r->c->arena, text, (size_t)(equals - text))) == NULL)
			return hw_err_set(r->err, HW_ENOMEM, "out of memory");
		rc = add_values(r, key, equals + 1);
	}
	return rc;
}

/* --- what is run ------------------------------------------------------------------------------ */

static int
set_commands(struct reading *r, const char *text)
{
	if (find_parameter(&r->run->req.parameters, "commands") != NULL)
		return hw_err_set(r->err, HW_EUSAGE,
			"-p commands=... and a command are two that want to be run");
	r->run->req.document_name = RUN_DOCUMENT;
	return add_value(r, "commands", text);
}

static int
read_words(struct reading *r)
{
	char *joined = input_join(r->in);
	const char *kept = joined != NULL ? arena_strdup(r->c->arena, joined) : NULL;

	free(joined);
	if (kept == NULL)
		return hw_err_set(r->err, HW_ENOMEM, "out of memory");
	if (kept[strspn(kept, " \t\n")] == '\0')
		return hw_err_set(r->err, HW_EUSAGE, "the command is empty");
	return set_commands(r, kept);
}

/* A text: the documents of nodes hold no other. Its own end of line is not part of it. */
static int
read_script(struct reading *r, const char *name)
{
	const char *text;
	struct buf script;
	size_t n;
	int rc;

	buf_init(&script, RUN_SCRIPT_MAX);
	if ((rc = source_read(&script, name, r->err)) < 0)
		goto out;
	n = script.len;
	if (memchr(buf_data(&script), '\0', n) != NULL) {
		rc = hw_err_set(r->err, HW_EUSAGE, "%s is no script: it holds a NUL byte",
			source_name(name));
		goto out;
	}
	while (n > 0 && buf_data(&script)[n - 1] == '\n')
		n--;
	if (n == 0)
		rc = hw_err_set(r->err, HW_EUSAGE, "%s is empty", source_name(name));
	else if ((text = arena_strndup(r->c->arena, (const char *)buf_data(&script), n)) == NULL)
		rc = hw_err_set(r->err, HW_ENOMEM, "out of memory");
	else
		rc = set_commands(r, text);
out:
	buf_fini(&script);
	return rc;
}

/* NAME[:VERSION]; of an ARN what follows its last slash. */
static int
read_document(struct reading *r, const char *text)
{
	struct msg_send_command_request *req = &r->run->req;
	const char *slash = strrchr(text, '/');
	const char *colon = strchr(slash != NULL ? slash : text, ':');

	if (colon == text || (colon != NULL && colon[1] == '\0') || text[0] == '\0')
		return hw_err_set(r->err, HW_EUSAGE, "'%s': a document is NAME or NAME:VERSION",
			text);
	req->document_name = text;
	if (colon == NULL)
		return 0;
	req->document_version = colon + 1;
	req->document_name = arena_strndup(r->c->arena, text, (size_t)(colon - text));
	return req->document_name != NULL ? 0 : hw_err_set(r->err, HW_ENOMEM, "out of memory");
}

static int
read_what(struct reading *r)
{
	const char *script = input_text(r->in, "script"), *document = input_text(r->in, "document");
	bool dash = r->in->n > 0 && strcmp(r->in->operands[0], "-") == 0,
	     words = r->in->n_words > 0;

	if (r->in->n > 0 && (!dash || r->in->n > 1))
		return hw_err_set(r->err, HW_EUSAGE,
			"run does not know what to do with '%s': nodes are --target SELECTOR, and the command follows --",
			r->in->operands[dash ? 1 : 0]);
	if (words + (script != NULL) + (document != NULL) + dash != 1)
		return hw_err_set(r->err, HW_EUSAGE,
			"run wants one of -- CMD, --script FILE, - (a script on standard input) and --document NAME");
	if (words)
		return read_words(r);
	return document != NULL ? read_document(r, document) : read_script(r, dash ? "-" : script);
}

/* --- how -------------------------------------------------------------------------------------- */

static int
read_limit(struct reading *r, struct limit *limit, const char **member, const char *option,
	int64_t min)
{
	const char *text = input_text(r->in, option);

	*member = text;
	return text == NULL ? 0 : limit_parse(limit, option, text, min, r->err);
}

static int
read_how(struct reading *r)
{
	struct msg_send_command_request *req = &r->run->req;
	const char *execution = input_text(r->in, "execution-timeout");
	int64_t seconds = 0;
	int rc;

	req->comment = input_text(r->in, "comment");
	if (req->comment != NULL && strlen(req->comment) > COMMENT_MAX)
		return hw_err_set(r->err, HW_EUSAGE, "a comment has at most %d bytes", COMMENT_MAX);
	if ((rc = read_limit(r, &r->run->concurrency, &req->max_concurrency, "max-concurrency",
		     1)) < 0 ||
		(rc = read_limit(r, &r->run->errors, &req->max_errors, "max-errors", 0)) < 0 ||
		(rc = input_int(&req->timeout_seconds, r->in, "timeout-seconds", 30, 2592000,
			 r->err)) < 0 ||
		(rc = input_int(&seconds, r->in, "execution-timeout", 5, 172800, r->err)) < 0)
		return rc;
	return execution == NULL ? 0 : add_value(r, "executionTimeout", execution);
}

int
run_request_read(struct run_request *ret, struct client *c, const struct input *in,
	struct hw_err *err)
{
	struct reading r = {.run = ret, .c = c, .in = in, .err = err};
	int rc;

	*ret = (struct run_request){
		.concurrency = {.n = RUN_CONCURRENCY},
		.errors = {.n = RUN_ERRORS},
	};
	if ((rc = read_parameters(&r)) < 0 || (rc = read_how(&r)) < 0)
		return rc;
	return read_what(&r);
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* Whether the message fits into one frame. */
static bool
fits(const struct msg_send_command_request *req)
{
	struct buf body;
	bool ret;

	buf_init(&body, FRAME_BODY_MAX);
	/* What is wrong with it otherwise is said when it is sent. */
	ret = msg_encode(&body, MSG_ROW(send_command_request), req, NULL) != HW_ELIMIT;
	buf_fini(&body);
	return ret;
}

static int
target_ids(struct run_request *r, struct client *c, const struct msg_instance_information *nodes,
	size_t n)
{
	const char **ids = arena_array(c->arena, n, sizeof(*ids));
	struct msg_command_target *target = arena_array(c->arena, 1, sizeof(*target));

	if (ids == NULL || target == NULL)
		return HW_ENOMEM;
	for (size_t i = 0; i < n; i++)
		ids[i] = nodes[i].instance_id;
	if (n <= IDS_MAX) {
		r->req.instance_ids = (struct msg_strs){.v = ids, .n = n};
		return 0;
	}
	*target = (struct msg_command_target){
		.key = "InstanceIds", .values = {.v = ids, .n = n}
	  };
	r->req.targets.v = target;
	r->req.targets.n = 1;
	return 0;
}

static int
target_selector(struct run_request *r, struct client *c, const char *text, struct hw_err *err)
{
	struct msg_command_target *targets =
		arena_array(c->arena, SELECTOR_TARGETS, sizeof(*targets));
	struct selector s;
	int rc;

	if (targets == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((rc = selector_parse(&s, c->arena, text, err)) < 0)
		return rc;
	if (!selector_targets(targets, &r->req.targets.n, c->arena, &s))
		return HW_ELIMIT;
	r->req.targets.v = targets;
	r->req.instance_ids.n = 0;
	return 0;
}

int
run_request_target(struct run_request *r, struct client *c,
	const struct msg_instance_information *nodes, size_t n, const char *const *selectors,
	size_t n_selectors, struct hw_err *err)
{
	int rc;

	hw_assert(n > 0); /* the relay would have to guess */
	if (target_ids(r, c, nodes, n) < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (fits(&r->req))
		return 0;
	rc = n_selectors == 1 ? target_selector(r, c, selectors[0], err) : HW_ELIMIT;
	if (rc == 0 && fits(&r->req))
		return 0;
	if (rc < 0 && rc != HW_ELIMIT)
		return rc;
	return hw_err_set(err, HW_ELIMIT,
		"the ids of %zu nodes and the script are too long for one message, which has room for about 8,000: select the nodes by tags alone, as tag:Env=prod, by one name as web-*, or by a saved selector as @web",
		n);
}
