/* SendCommand: what is to run where, stored before it is answered. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "audit/ledger.h"
#include "proto/base/enc.h"
#include "proto/base/id.h"
#include "proto/document/document.h"
#include "proto/trust/secret.h"
#include "relay/core/authorise.h"
#include "relay/core/config.h"
#include "relay/core/document_load.h"
#include "relay/core/op.h"
#include "relay/core/tend.h"
#include "relay/core/uploads.h"
#include "relay/objects/place.h"
#include "relay/services/commands/describe.h"
#include "relay/services/commands/pack.h"
#include "relay/services/commands/targets.h"
#include "relay/services/text.h"
#include "relay/store/invocations.h"
#include "relay/store/store.h"

#define TIMEOUT_DEFAULT 3600
#define GIVEN_MAX	50 /* values of a target that are kept to be shown */
/* An order for a node, with the document, must fit into one frame. */
#define PARAMETERS_MAX 98304

struct sending {
	struct op *op;
	const struct msg_send_command_request *req;
	struct command_row row;
	struct command_body body;
	size_t content_len;
	bool fits; /* the document is for the nodes' platform */
	struct targets targets;
	struct dispatch *dispatch;
};

/* --- what is not done here ----------------------------------------------------------------------
 */

/* A prefix may end, and begin, as a folder's name does. */
static int
read_prefix(struct sending *w, const char *prefix)
{
	prefix += strspn(prefix, "/");
	size_t n = strlen(prefix);
	while (n > 0 && prefix[n - 1] == '/')
		n--;
	if (n >= sizeof(w->row.s3_prefix))
		return op_fail(w->op, HW_EOUTPUTFOLDER, "OutputS3KeyPrefix: at most %d bytes",
			S3_PREFIX_MAX);
	snprintf(w->row.s3_prefix, sizeof(w->row.s3_prefix), "%.*s", (int)n, prefix);
	return s3_prefix_check(w->row.s3_prefix, &w->op->err);
}

/* Where the output goes, beside the relay. */
static int
read_bucket(struct sending *w)
{
	const struct msg_send_command_request *req = w->req;
	const char *bucket = text_or_absent(req->output_s3_bucket_name);
	const char *region = text_or_absent(req->output_s3_region);
	int r;

	if (bucket == NULL && text_or_absent(req->output_s3_key_prefix) != NULL)
		return op_fail(w->op, HW_EOUTPUTFOLDER,
			"OutputS3KeyPrefix needs an OutputS3BucketName");
	if (bucket == NULL)
		return 0;
	if (w->op->env->uploads == NULL)
		return op_fail(w->op, HW_EOUTPUTFOLDER,
			"OutputS3BucketName: output is kept by the relay alone, which has no s3_endpoint "
			"in its relay.conf: leave it out");
	if ((r = s3_bucket_check(uploads_place(w->op->env->uploads), bucket, &w->op->err)) < 0 ||
		(region != NULL && (r = s3_region_check(region, &w->op->err)) < 0) ||
		(r = read_prefix(w, text_or_empty(req->output_s3_key_prefix))) < 0)
		return r;
	snprintf(w->row.s3_bucket, sizeof(w->row.s3_bucket), "%s", bucket);
	snprintf(w->row.s3_region, sizeof(w->row.s3_region), "%s", region != NULL ? region : "");
	return 0;
}

/* Whoever asks for it would wait for what never comes. */
static int
check_elsewhere(struct op *op, const struct msg_send_command_request *req)
{
	const struct msg_notification_config *n = req->notification_config;

	if (n != NULL && text_or_absent(n->notification_arn) != NULL)
		return op_fail(op, HW_EVALIDATION,
			"NotificationConfig: nobody is notified from here: leave it out");
	if (req->cloud_watch_output_config != NULL &&
		req->cloud_watch_output_config->cloud_watch_output_enabled)
		return op_fail(op, HW_EVALIDATION,
			"CloudWatchOutputConfig: output is kept by the relay alone: leave it out");
	if (req->alarm_configuration != NULL && req->alarm_configuration->alarms.n > 0)
		return op_fail(op, HW_EVALIDATION,
			"AlarmConfiguration: there are no alarms here: leave it out");
	return 0;
}

static int
check_texts(struct op *op, const struct msg_send_command_request *req)
{
	const struct text_field fields[] = {
		{"Comment",	    req->comment		},
		   {"OutputS3KeyPrefix", req->output_s3_key_prefix},
		{"DocumentVersion",   req->document_version	 },
		    {NULL,		   NULL		       }
	};
	size_t n = 0;

	for (size_t i = 0; i < req->parameters.n; i++) {
		n += strlen(req->parameters.v[i].key);
		for (size_t k = 0; k < req->parameters.v[i].values.n; k++)
			n += strlen(req->parameters.v[i].values.v[k]) + 8;
	}
	if (n > PARAMETERS_MAX)
		return op_fail(op, HW_EPARAMETERS, "Parameters: %zu bytes, at most %d", n,
			PARAMETERS_MAX);
	return text_check(op, fields);
}

/* --- the document ------------------------------------------------------------------------------
 */

static int
check_hash(struct op *op, const struct msg_send_command_request *req, const char *content, size_t n)
{
	const char *type = req->document_hash_type;
	const char *wanted = text_or_absent(req->document_hash);
	char hex[2 * SHA256_LEN + 1];
	uint8_t hash[SHA256_LEN];

	/* Without a hash Sha1, which nobody should trust, does no harm. */
	if (type != NULL && strcmp(type, "Sha256") != 0 &&
		(wanted != NULL || strcmp(type, "Sha1") != 0))
		return op_fail(op, HW_EVALIDATION, "DocumentHashType: \"%.16s\" is not Sha256",
			type);
	if (wanted == NULL)
		return 0;
	sha256(hash, content, n);
	hex_encode(hex, hash, sizeof(hash));
	if (strcasecmp(hex, wanted) != 0)
		return op_fail(op, HW_EDOCUMENT,
			"DocumentHash: the document's is %s: look at what has changed", hex);
	return 0;
}

/* The sum of its steps' times, once its parameters fit. */
static int
check_parameters(int64_t *seconds, struct sending *w)
{
	struct document *d = NULL;
	struct document_values *v = NULL;

	int r = document_parse(&d, w->body.content, w->content_len, 0, DOCUMENT_COMMAND,
		&w->op->err);
	if (r == 0)
		r = document_bind(&v, d, &w->req->parameters, &w->op->err);
	if (r == 0)
		*seconds = document_timeout_seconds(d, v);
	w->fits = r == 0 && document_is_for_linux(d);
	document_values_free(v);
	document_free(d);
	return r;
}

static int
load(struct sending *w, int64_t *seconds)
{
	const struct msg_send_command_request *req = w->req;
	const char *name = document_name(w->op, req->document_name);
	const char *asked = text_or_empty(req->document_version), *version;
	int type, r;

	r = document_load(&w->body.content, &w->content_len, &version, &type, w->op, name, asked);
	if (r < 0)
		return r;
	if (type != DOCUMENT_TYPE_COMMAND)
		return op_fail(w->op, HW_EDOCUMENT, "%.128s is not a Command document", name);
	snprintf(w->row.document, sizeof(w->row.document), "%s", name);
	snprintf(w->row.version, sizeof(w->row.version), "%s", version);
	snprintf(w->row.version_asked, sizeof(w->row.version_asked), "%s", asked);
	r = check_hash(w->op, req, w->body.content, w->content_len);
	return r == 0 ? check_parameters(seconds, w) : r;
}

/* --- the row -----------------------------------------------------------------------------------
 */

static int
read_limits(struct sending *w)
{
	const struct msg_send_command_request *req = w->req;
	const char *concurrency = req->max_concurrency != NULL ? req->max_concurrency : "50";
	const char *errors = req->max_errors != NULL ? req->max_errors : "0";
	uint32_t n = (uint32_t)w->targets.n;
	int r;

	if ((r = fanout_concurrency(&w->row.concurrency, concurrency, n, &w->op->err)) < 0 ||
		(r = fanout_errors(&w->row.error_limit, errors, n, &w->op->err)) < 0)
		return r;
	snprintf(w->row.max_concurrency, sizeof(w->row.max_concurrency), "%s", concurrency);
	snprintf(w->row.max_errors, sizeof(w->row.max_errors), "%s", errors);
	return 0;
}

/* Nothing to be done has ended. */
static void
fill(struct sending *w, int64_t seconds)
{
	const struct op *op = w->op;
	struct command_row *row = &w->row;
	int64_t timeout = w->req->timeout_seconds;

	id_uuid(row->id);
	snprintf(row->principal, sizeof(row->principal), "%s", op->who.id);
	snprintf(row->owner_arn, sizeof(row->owner_arn), "%s", op->arn);
	snprintf(row->source, sizeof(row->source), "%s", op->source);
	row->by_key = op->asker != NULL && op->asker->by_key;
	snprintf(row->comment, sizeof(row->comment), "%s", text_or_empty(w->req->comment));
	row->targets = (uint32_t)w->targets.n;
	row->timeout_seconds = timeout != 0 ? timeout : TIMEOUT_DEFAULT;
	row->requested = op->now;
	row->deliver_before = op->now + row->timeout_seconds * USEC_PER_SEC;
	row->expires = row->deliver_before + seconds * USEC_PER_SEC;
	row->output_max = (int64_t)op->env->config->command_output_mib << 20;
	row->live = w->targets.n > 0;
	row->status = row->live ? INVOCATION_STATUS_PENDING : INVOCATION_STATUS_FAILED;
	row->ended = row->live ? 0 : op->now;
	snprintf(row->details, sizeof(row->details), "%s",
		row->live ? "Pending" : "NoInstancesInTag");
}

/* What people are shown of it later: of many values the first. */
static int
pack_body(struct sending *w)
{
	const struct msg_send_command_request *req = w->req;
	struct msg_command sealed = {.parameters = req->parameters};
	struct msg_command given = {.instance_ids = req->instance_ids};
	int r;

	given.targets.n = req->targets.n;
	given.targets.v = arena_array(w->op->arena, req->targets.n, sizeof(*given.targets.v));
	if (given.targets.v == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for the targets");
	for (size_t i = 0; i < req->targets.n; i++) {
		given.targets.v[i] = req->targets.v[i];
		if (given.targets.v[i].values.n > GIVEN_MAX)
			given.targets.v[i].values.n = GIVEN_MAX;
	}
	r = pack(&w->body.parameters, w->op, MSG_ROW(command), &sealed, w->row.id);
	return r == 0 ? pack(&w->body.given, w->op, MSG_ROW(command), &given, NULL) : r;
}

/* --- the store ---------------------------------------------------------------------------------
 */

static int
write_invocation(const struct sending *w, struct db *db, size_t i, struct hw_err *err)
{
	const struct dispatch_target *t = &w->targets.v[i];
	struct fanout_words words = fanout_state_words(FANOUT_WAITING);
	struct invocation_row row = {
		.live = !t->denied && !t->unfit,
		.response_code = -1,
		.ended = t->denied || t->unfit ? w->row.requested : 0,
		.change = (int64_t)i + 1,
	};

	if (t->denied)
		words = fanout_state_words(FANOUT_ACCESS_DENIED);
	else if (t->unfit)
		words = fanout_state_words(FANOUT_INVALID_PLATFORM);
	else if (t->delayed)
		words = (struct fanout_words){INVOCATION_STATUS_DELAYED, "Delayed"};
	memcpy(row.command_id, w->row.id, sizeof(row.command_id));
	memcpy(row.node_id, t->node, sizeof(row.node_id));
	row.status = words.status;
	snprintf(row.details, sizeof(row.details), "%s", words.details);
	if (t->denied)
		snprintf(row.reason, sizeof(row.reason),
			"who sent it may not send commands to this node");
	if (t->unfit)
		snprintf(row.reason, sizeof(row.reason),
			"all steps of the document are for Windows");
	return invocation_insert(db, &row, err);
}

static int
write_command(void *arg, struct db *db, struct hw_err *err)
{
	const struct sending *w = arg;
	int r = command_insert(db, &w->row, &w->body, err);

	for (size_t i = 0; r == 0 && i < w->targets.n; i++)
		r = write_invocation(w, db, i, err);
	return r;
}

/* The entry of a command that was over when it began. */
static int
note_end(struct sending *w)
{
	const struct msg_ledger_entry e = {
		.principal = w->op->arn,
		.action = w->op->row->action,
		.resource = arn_document(w->op, w->row.document),
		.outcome = OUTCOME_FAILED,
		.reason = "NoInstancesInTag: no node fits the targets",
		.request_id = w->op->request_id,
		.command_id = w->row.id,
	};

	if (ledger_commit(w->op->env->ledger, ENTRY_COMMAND_END, &e) < 0)
		return op_fail(w->op, HW_ERECORD, "the ledger cannot be written");
	return 0;
}

/* Memory first, the ledger then, the store last: what was promised is kept. */
static int
commit(struct sending *w)
{
	struct op *op = w->op;
	int r = 0;

	op->about = arena_printf(op->arena, "command %s, %zu nodes, %zu of them denied, %zu hidden",
		w->row.id, w->targets.n, w->targets.denied, w->targets.hidden);
	if (w->targets.n > 0)
		r = dispatch_new(&w->dispatch, op->env->dispatcher, &w->row, w->targets.v,
			w->targets.n, &op->err);
	if (r < 0)
		return r;
	if ((r = op_begin(op)) == 0 &&
		(r = store_write(op->env->store, write_command, w, &op->err)) == 0 &&
		w->dispatch == NULL)
		r = note_end(w);
	if (w->dispatch != NULL && r == 0)
		dispatch_begin(w->dispatch);
	else if (w->dispatch != NULL)
		dispatch_drop(w->dispatch);
	return r;
}

static int
send(struct sending *w, struct msg_send_command_reply *rep)
{
	int64_t seconds = 0;
	int r;

	if ((r = check_elsewhere(w->op, w->req)) < 0 || (r = check_texts(w->op, w->req)) < 0 ||
		(r = read_bucket(w)) < 0 || (r = load(w, &seconds)) < 0 ||
		(r = targets_find(&w->targets, w->op, w->req, w->fits)) < 0 ||
		(r = read_limits(w)) < 0)
		return r;
	fill(w, seconds);
	rep->command = arena_alloc(w->op->arena, sizeof(*rep->command));
	if (rep->command == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for the reply");
	if ((r = pack_body(w)) < 0 ||
		(r = command_describe(rep->command, w->op, &w->row, &w->body)) < 0)
		return r;
	return commit(w);
}

int
op_send_command(struct op *op, const struct msg_send_command_request *req,
	struct msg_send_command_reply *rep)
{
	struct sending w = {.op = op, .req = req};
	int r = tend_may_begin(op);

	if (r == 0)
		r = send(&w, rep);

	targets_fini(&w.targets);
	return r;
}
