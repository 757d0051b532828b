/* An object in several requests: begun, its parts one after the other, completed; or taken back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relay/objects/private.h"
#include "relay/objects/said.h"

#define LIST_MAX (4 << 20) /* bytes of the list of all parts */
#define TRIES	 3	   /* of one part, while it may yet be taken */

struct parts {
	struct s3 *s;
	const struct s3_object *object;
	const struct s3_source *from;
	char id[S3_UPLOAD_MAX]; /* of the upload */
	struct buf query;	/* of the request at hand */
	struct buf list;	/* what was sent so far, for the end */
	struct hw_err *err;
};

static int
ask(struct parts *p, const char *method, const struct s3_source *from, int64_t offset, int64_t n,
	struct buf *reply, char etag[ETAG_MAX])
{
	const struct request req = {
		.method = method,
		.object = p->object,
		.query = buf_str(&p->query),
		.from = from,
		.offset = offset,
		.n = n,
	};

	if (req.query == NULL)
		return hw_err_set(p->err, HW_ENOMEM, "no memory for an upload");
	return s3_request(p->s, &req, reply, etag, p->err);
}

static void
name_upload(struct parts *p)
{
	buf_append_str(&p->query, "uploadId=");
	s3_encode(&p->query, p->id);
}

int
s3_take_back(struct s3 *s, const struct s3_object *o, const char *id, struct hw_err *err)
{
	struct buf query, reply;
	char code[65] = "";
	int r;

	buf_init(&reply, REPLY_MAX);
	buf_init(&query, 4 * S3_UPLOAD_MAX);
	buf_append_str(&query, "uploadId=");
	s3_encode(&query, id);
	const struct request req = {.method = "DELETE", .object = o, .query = buf_str(&query)};
	r = req.query != NULL ? s3_ask(s, &req, &reply, err)
			      : hw_err_set(err, HW_ENOMEM, "no memory for an upload");
	if (r < 0)
		said_element(code, sizeof(code), &reply, "Code");
	buf_fini(&query);
	buf_fini(&reply);
	return strcmp(code, "NoSuchUpload") == 0 || strcmp(code, "NoSuchBucket") == 0 ? 0 : r;
}

/* What was sent would be kept, and paid for. Should this fail too, who keeps the id tries again. */
static void
take_back(const struct parts *p)
{
	struct hw_err ignored = HW_ERR_INIT;
	int r = s3_take_back(p->s, p->object, p->id, &ignored);

	if (r == 0 && p->object->begun != NULL)
		p->object->begun(p->object->arg, NULL, &ignored);
}

static int
begin(struct parts *p)
{
	struct buf nothing, reply;
	struct s3_memory empty;

	buf_init(&nothing, 1);
	buf_init(&reply, REPLY_MAX);
	s3_memory_init(&empty, &nothing);
	buf_append_str(&p->query, "uploads=");
	int r = ask(p, "POST", &empty.source, 0, 0, &reply, NULL);
	if (r == 0 &&
		(!said_element(p->id, sizeof(p->id), &reply, "UploadId") || p->id[0] == '\0' ||
			strpbrk(p->id, "&?") != NULL))
		r = hw_err_set(p->err, HW_EUNAVAILABLE,
			"the storage began an upload in parts, and gave it no name");
	else if (r == 0 && p->object->begun != NULL &&
		(r = p->object->begun(p->object->arg, p->id, p->err)) < 0)
		take_back(p);
	buf_fini(&reply);
	return r;
}

/* Those that a list can hold as they are. */
static bool
is_etag(const char *etag)
{
	for (const char *at = etag; *at != '\0'; at++)
		if (*at <= 0x20 || *at >= 0x7f || strchr("<>&", *at) != NULL)
			return false;
	return *etag != '\0';
}

static int
send_once(struct parts *p, int number, int64_t offset, int64_t n)
{
	char etag[ETAG_MAX] = "";
	struct buf reply;

	buf_init(&reply, REPLY_MAX);
	buf_reset(&p->query);
	buf_printf(&p->query, "partNumber=%d&", number);
	name_upload(p);
	int r = ask(p, "PUT", p->from, offset, n, &reply, etag);
	if (r == 0 && !is_etag(etag))
		r = hw_err_set(p->err, HW_EUNAVAILABLE,
			"the storage took part %d, and gave it no tag", number);
	if (r == 0)
		r = buf_printf(&p->list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>",
			number, etag);
	buf_fini(&reply);
	return r;
}

static int
send_parts(struct parts *p)
{
	int64_t part = s3_part_bytes(p->s), done = 0;
	int r = 0, number = 1;

	for (; r == 0 && done < p->from->size; number++) {
		int64_t n = p->from->size - done < part ? p->from->size - done : part;
		for (int i = 0; i < TRIES; i++) {
			r = send_once(p, number, done, n);
			if (r != HW_EUNAVAILABLE && r != HW_EUNREACHABLE && r != HW_EREFUSED)
				break;
		}
		done += n;
	}
	return r;
}

/* An answer of 200 may still say that it failed: it began before the work did. */
static int
complete(struct parts *p)
{
	struct s3_memory list;
	struct buf reply;

	buf_init(&reply, REPLY_MAX);
	buf_append_str(&p->list, "</CompleteMultipartUpload>");
	s3_memory_init(&list, &p->list);
	buf_reset(&p->query);
	name_upload(p);
	int r = p->list.failed
		? hw_err_set(p->err, HW_ENOMEM, "no memory for the parts of an upload")
		: ask(p, "POST", &list.source, 0, (int64_t)p->list.len, &reply, NULL);
	if (r == 0 && memmem(buf_data(&reply), reply.len, "<Error", 6) != NULL)
		r = said_failure(500, &reply, p->object->bucket, p->err);
	buf_fini(&reply);
	return r;
}

int
s3_put_parts(struct s3 *s, const struct s3_object *o, const struct s3_source *from,
	struct hw_err *err)
{
	struct parts p = {.s = s, .object = o, .from = from, .err = err};

	if (from->size > S3_PARTS_MAX * s3_part_bytes(s))
		return hw_err_set(err, HW_ELIMIT,
			"an object of %" PRId64 " bytes has more than %d parts: raise s3_part_mib",
			from->size, S3_PARTS_MAX);
	buf_init(&p.query, 4 * S3_UPLOAD_MAX);
	buf_init(&p.list, LIST_MAX);
	buf_append_str(&p.list, "<CompleteMultipartUpload>");
	int r = begin(&p);
	if (r == 0 && ((r = send_parts(&p)) < 0 || (r = complete(&p)) < 0))
		take_back(&p);
	buf_fini(&p.query);
	buf_fini(&p.list);
	return r;
}
