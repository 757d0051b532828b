#include "relay/objects/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/trust/sigv4.h"
#include "relay/objects/private.h"
#include "relay/objects/said.h"

#define HASH_LEN    32
#define CHUNK	    65536
#define ADDRESS_MAX (4 * S3_KEY_MAX + 4096)
#define SLOW	    1024 /* bytes a second that are no progress */
#define GO_ON_MS    200L /* some servers never say that a large body may come */

struct s3 {
	CURL *curl;
	struct s3_place place;
	char region[64], key_id[129], secret[257], ca_file[1024];
	int64_t part_bytes;
	int timeout;
	const atomic_bool *stop;
};

/* One request on its way. */
struct exchange {
	struct s3 *s;
	const struct request *req;
	int64_t sent;	   /* of the request's bytes */
	struct buf chunk;  /* read, and not sent yet */
	struct buf *reply; /* cut to its room */
	int64_t got;	   /* of the answer, by the sink */
	char *etag;
	int failed; /* the source's or the sink's error, which is in `why` */
	struct hw_err why;
};

/* --- life --------------------------------------------------------------------------------------
 */

int
s3_new(struct s3 **ret, const struct s3_options *o, struct hw_err *err)
{
	struct s3 *s = calloc(1, sizeof(*s));

	if (s == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		(s->curl = curl_easy_init()) == NULL) {
		free(s);
		return hw_err_set(err, HW_ENOMEM, "no memory for a client of the storage");
	}
	s->place = o->place;
	snprintf(s->region, sizeof(s->region), "%s", o->region);
	snprintf(s->key_id, sizeof(s->key_id), "%s", o->key_id);
	snprintf(s->secret, sizeof(s->secret), "%s", o->secret);
	snprintf(s->ca_file, sizeof(s->ca_file), "%s", o->ca_file != NULL ? o->ca_file : "");
	s->part_bytes = o->part_bytes > S3_PART_MIN ? o->part_bytes : S3_PART_MIN;
	s->timeout = o->timeout_seconds;
	s->stop = o->stop;
	*ret = s;
	return 0;
}

void
s3_free(struct s3 *s)
{
	if (s == NULL)
		return;
	curl_easy_cleanup(s->curl);
	curl_global_cleanup();
	OPENSSL_cleanse(s->secret, sizeof(s->secret));
	free(s);
}

int64_t
s3_part_bytes(const struct s3 *s)
{
	return s->part_bytes;
}

/* --- sources -----------------------------------------------------------------------------------
 */

static int
read_memory(void *arg, int64_t offset, size_t n, struct buf *out, struct hw_err *err)
{
	const struct s3_memory *m = arg;
	size_t left = m->bytes->len - (size_t)offset;

	(void)err;
	return buf_append(out, buf_data(m->bytes) + offset, n < left ? n : left);
}

void
s3_memory_init(struct s3_memory *m, const struct buf *bytes)
{
	*m = (struct s3_memory){
		.source = {.size = (int64_t)bytes->len, .read = read_memory, .arg = m},
		.bytes = bytes,
	};
}

/* Exactly n bytes. */
static int
read_source(struct buf *out, const struct s3_source *from, int64_t offset, size_t n,
	struct hw_err *err)
{
	size_t before = out->len;
	int r = from->read(from->arg, offset, n, out, err);

	if (r == 0 && out->len - before != n)
		r = hw_err_set(err, HW_ECORRUPT, "it ends at byte %lld, before its end",
			(long long)offset + (long long)(out->len - before));
	return r;
}

static int
hash_source(char hex[2 * HASH_LEN + 1], const struct request *req, struct hw_err *err)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t hash[HASH_LEN];
	struct buf chunk;
	int r = 0;

	buf_init(&chunk, CHUNK);
	hw_assert(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) > 0);
	for (int64_t at = 0; r == 0 && at < req->n; at += (int64_t)chunk.len) {
		size_t n = req->n - at < CHUNK ? (size_t)(req->n - at) : CHUNK;
		buf_reset(&chunk);
		if ((r = read_source(&chunk, req->from, req->offset + at, n, err)) == 0)
			EVP_DigestUpdate(md, buf_data(&chunk), chunk.len);
	}
	hw_assert(EVP_DigestFinal_ex(md, hash, NULL) > 0);
	EVP_MD_CTX_free(md);
	hex_encode(hex, hash, sizeof(hash));
	buf_wipe(&chunk);
	buf_fini(&chunk);
	return r;
}

/* --- what libcurl calls ------------------------------------------------------------------------
 */

static size_t
on_want(char *to, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	int64_t left = x->req->n - x->sent;
	size_t room = size * count;

	if (x->chunk.len == 0 && left > 0) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		x->failed =
			read_source(&x->chunk, x->req->from, x->req->offset + x->sent, n, &x->why);
		if (x->failed < 0)
			return CURL_READFUNC_ABORT;
	}
	size_t n = x->chunk.len < room ? x->chunk.len : room;
	memcpy(to, buf_data(&x->chunk), n);
	buf_consume(&x->chunk, n);
	x->sent += (int64_t)n;
	return n;
}

/* A connection that was kept and is gone: libcurl takes another, and begins again. */
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
	struct exchange *x = arg;

	if (origin != SEEK_SET || offset < 0 || offset > x->req->n)
		return CURL_SEEKFUNC_FAIL;
	buf_reset(&x->chunk);
	x->sent = offset;
	return CURL_SEEKFUNC_OK;
}

static bool
is_good(long status)
{
	return status >= 200 && status <= 299;
}

static size_t
sink_in(struct exchange *x, const char *p, size_t n)
{
	const struct s3_sink *to = x->req->to;

	if ((int64_t)n > to->max - x->got)
		x->failed = hw_err_set(&x->why, HW_ELIMIT, "the object has more than %lld bytes",
			(long long)to->max);
	else
		x->failed = to->write(to->arg, p, n, &x->why);
	x->got += (int64_t)n;
	return x->failed < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static size_t
on_reply(char *p, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	size_t n = size * count, room = REPLY_MAX - x->reply->len;
	long status = 0;

	if (x->req->to != NULL)
		curl_easy_getinfo(x->s->curl, CURLINFO_RESPONSE_CODE, &status);
	if (is_good(status))
		return sink_in(x, p, n);
	buf_append(x->reply, p, n < room ? n : room);
	return n;
}

static size_t
on_header(char *p, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	size_t n = size * count, skip = strlen("etag:");

	if (x->etag == NULL || n <= skip || strncasecmp(p, "etag:", skip) != 0)
		return n;
	while (skip < n && p[skip] == ' ')
		skip++;
	size_t end = n;
	while (end > skip && (p[end - 1] == '\r' || p[end - 1] == '\n' || p[end - 1] == ' '))
		end--;
	snprintf(x->etag, ETAG_MAX, "%.*s", (int)(end - skip), p + skip);
	return n;
}

static int
on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct exchange *x = arg;

	(void)a, (void)b, (void)c, (void)d;
	return x->s->stop != NULL && atomic_load(x->s->stop);
}

/* --- one request -------------------------------------------------------------------------------
 */

/* The environment's proxies and authorities have no say: the endpoint is the configuration's. */
static void
set_transport(CURL *c, const struct s3 *s)
{
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* no waiting for a name that takes long */
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, s->place.tls ? "https" : "http");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)s->timeout);
	curl_easy_setopt(c, CURLOPT_EXPECT_100_TIMEOUT_MS, GO_ON_MS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)s->timeout);
	if (s->ca_file[0] != '\0') {
		curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file);
		curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	}
}

static void
set_callbacks(CURL *c, struct exchange *x)
{
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_want);
	curl_easy_setopt(c, CURLOPT_READDATA, x);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_reply);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
}

static void
set_request(CURL *c, struct exchange *x)
{
	set_transport(c, x->s);
	set_callbacks(c, x);
	if (x->req->to == NULL) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->req->method);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->req->n);
	}
}

static bool
add_header(struct curl_slist **headers, const char *name, const char *value)
{
	char line[SIGV4_AUTHORIZATION_MAX + 64];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	struct curl_slist *more = curl_slist_append(*headers, line);
	if (more != NULL)
		*headers = more;
	return more != NULL;
}

/* The headers that sign it, of which the storage makes the same signature. */
static int
sign(struct curl_slist **headers, const struct exchange *x, const char *host, const char *path,
	const char *hash, struct hw_err *err)
{
	char date[SIGV4_DATE_LEN + 1], authorization[SIGV4_AUTHORIZATION_MAX + 1];
	const struct request *req = x->req;
	const struct s3 *s = x->s;
	const struct sigv4_request q = {
		.method = req->method,
		.path = path,
		.query = req->query != NULL ? req->query : "",
		.host = host,
		.hash = hash,
		.region = req->object->region != NULL ? req->object->region : s->region,
		.service = "s3",
		.time = clock_wall(&hw_clock_system),
	};

	int r = sigv4_sign(date, authorization, &q, s->key_id, s->secret, err);
	if (r == 0 &&
		(!add_header(headers, "Host", host) || !add_header(headers, "x-amz-date", date) ||
			!add_header(headers, "x-amz-content-sha256", hash) ||
			!add_header(headers, "Authorization", authorization)))
		r = hw_err_set(err, HW_ENOMEM, "no memory for a request to the storage");
	return r;
}

/* Where it goes, and the headers that sign it. *headers is the caller's also after an error. */
static int
address(CURL *c, struct curl_slist **headers, const struct exchange *x, const char *hash,
	struct hw_err *err)
{
	const struct s3_place *place = &x->s->place;
	const struct s3_object *o = x->req->object;
	struct buf host, path, url;
	int r;

	buf_init(&host, ADDRESS_MAX);
	buf_init(&path, ADDRESS_MAX);
	buf_init(&url, 2 * ADDRESS_MAX);
	s3_host(&host, place, o->bucket);
	s3_path(&path, place, o->bucket, o->key);
	s3_url(&url, place, o->bucket, o->key);
	if (x->req->query != NULL)
		buf_printf(&url, "?%s", x->req->query);
	const char *at = buf_str(&host), *what = buf_str(&path), *whole = buf_str(&url);
	if (at == NULL || what == NULL || whole == NULL || host.failed || path.failed ||
		url.failed || curl_easy_setopt(c, CURLOPT_URL, whole) != CURLE_OK)
		r = hw_err_set(err, HW_ENOMEM, "no memory for a request to the storage");
	else if ((r = sign(headers, x, at, what, hash, err)) == 0)
		curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers);
	buf_fini(&url);
	buf_fini(&path);
	buf_fini(&host);
	return r;
}

static int
tell_failure(const struct exchange *x, CURLcode code, const char *said, struct hw_err *err)
{
	const char *why = said[0] != '\0' ? said : curl_easy_strerror(code);

	if (x->failed < 0) {
		*err = x->why;
		return x->failed;
	}
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return hw_err_set(err, HW_ECLOSED, "the relay is stopping");
	case CURLE_OUT_OF_MEMORY:
		return hw_err_set(err, HW_ENOMEM, "no memory for a request to the storage");
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return hw_err_set(err, HW_ECERT, "%s is not known to be the storage: %.200s",
			x->s->place.host, why);
	default:
		return hw_err_set(err, HW_EUNREACHABLE, "%s cannot be reached: %.200s",
			x->s->place.host, why);
	}
}

static int
perform(struct exchange *x, const char *hash, struct hw_err *err)
{
	char said[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	CURL *c = x->s->curl;
	long status = 0;

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, said);
	set_request(c, x);
	int r = address(c, &headers, x, hash, err);
	CURLcode code = r == 0 ? curl_easy_perform(c) : CURLE_OK;
	if (r == 0 && code != CURLE_OK)
		r = tell_failure(x, code, said, err);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (r == 0 && !is_good(status))
		r = said_failure(status, x->reply, x->req->object->bucket, err);
	curl_easy_reset(c); /* what it points to is about to go */
	curl_slist_free_all(headers);
	return r;
}

int
s3_request(struct s3 *s, const struct request *req, struct buf *reply, char etag[ETAG_MAX],
	struct hw_err *err)
{
	struct exchange x = {.s = s, .req = req, .reply = reply, .etag = etag, .why = HW_ERR_INIT};
	char hash[2 * HASH_LEN + 1];

	int r = hash_source(hash, req, err);
	if (r < 0)
		return r;
	buf_init(&x.chunk, CHUNK);
	r = perform(&x, hash, err);
	buf_wipe(&x.chunk);
	buf_fini(&x.chunk);
	return r;
}

/* A request without a body. */
int
s3_ask(struct s3 *s, const struct request *req, struct buf *reply, struct hw_err *err)
{
	struct request bare = *req;
	struct s3_memory empty;
	struct buf nothing;

	buf_init(&nothing, 1);
	s3_memory_init(&empty, &nothing);
	bare.from = &empty.source;
	return s3_request(s, &bare, reply, NULL, err);
}

int
s3_get(struct s3 *s, const struct s3_object *o, const struct s3_sink *to, struct hw_err *err)
{
	const struct request req = {.method = "GET", .object = o, .to = to};
	struct buf reply;

	buf_init(&reply, REPLY_MAX);
	int r = s3_ask(s, &req, &reply, err);
	buf_fini(&reply);
	return r;
}

int
s3_put(struct s3 *s, const struct s3_object *o, const struct s3_source *from, struct hw_err *err)
{
	const struct request whole = {.method = "PUT", .object = o, .from = from, .n = from->size};
	struct buf reply;

	if (strlen(o->key) > S3_KEY_MAX)
		return hw_err_set(err, HW_EVALIDATION, "a key has at most %d bytes", S3_KEY_MAX);
	if (from->size > s->part_bytes)
		return s3_put_parts(s, o, from, err);
	buf_init(&reply, REPLY_MAX);
	int r = s3_request(s, &whole, &reply, NULL, err);
	buf_fini(&reply);
	return r;
}
