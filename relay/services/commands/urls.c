#include "relay/services/commands/urls.h"

#include <string.h>

#include "relay/core/op.h"
#include "relay/core/upload.h"
#include "relay/core/uploads.h"
#include "relay/services/text.h"
#include "relay/store/uploads.h"

#define URL_MAX 4096

int
url_of(const char **ret, struct op *op, const struct output_of *of, size_t step, int stream)
{
	char key[S3_KEY_MAX + 1];
	struct buf url;

	*ret = "";
	if (of->command.s3_bucket[0] == '\0' || op->env->uploads == NULL)
		return 0;
	buf_init(&url, URL_MAX);
	upload_key(key, &of->command, of->row.node_id, of->steps, step, stream);
	s3_url(&url, uploads_place(op->env->uploads), of->command.s3_bucket, key);
	*ret = url.failed ? NULL : arena_strndup(op->arena, (const char *)buf_data(&url), url.len);
	buf_fini(&url);
	return *ret != NULL ? 0 : op_fail(op, HW_ENOMEM, "no memory for a URL");
}

int
urls_describe(struct msg_command_plugin *ret, struct op *op, const struct output_of *of,
	size_t step, size_t *shown)
{
	const struct command_row *c = &of->command;
	char key[S3_KEY_MAX + 1];
	int r;

	if (c->s3_bucket[0] == '\0')
		return 0;
	upload_plugin_key(key, c, of->row.node_id, of->steps, step);
	if ((r = url_of(&ret->stdout_url, op, of, step, OUTPUT_STREAM_STDOUT)) < 0 ||
		(r = url_of(&ret->stderr_url, op, of, step, OUTPUT_STREAM_STDERR)) < 0 ||
		(r = text_keep(&ret->output_s3_region, op, c->s3_region)) < 0 ||
		(r = text_keep(&ret->output_s3_bucket_name, op, c->s3_bucket)) < 0 ||
		(r = text_keep(&ret->output_s3_key_prefix, op, key)) < 0)
		return r;
	*shown += strlen(ret->stdout_url) + strlen(ret->stderr_url) + strlen(key);
	return 0;
}

int
upload_describe(int *status, const char **details, struct op *op, struct db *db,
	const struct command_row *command, const struct invocation_row *row)
{
	struct upload_row upload;
	struct hw_err err = HW_ERR_INIT;
	int r;

	if (command->s3_bucket[0] == '\0')
		return 0;
	r = upload_get(db, row->command_id, row->node_id, &upload, &err);
	if (r == HW_EINVOCATION) /* it has not ended */
		return 0;
	if (r < 0)
		return op_fail(op, r, "%s", hw_err_text(&err));
	*status = upload.status;
	return upload.reason[0] != '\0' ? text_keep(details, op, upload.reason) : 0;
}
