/* HTTP and S3, by libcurl. */
#include <curl/curl.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "node/fetch/aws.h"
#include "node/fetch/fetch.h"
#include "node/fetch/place.h"
#include "node/fetch/spec.h"
#include "proto/base/err.h"

#define REDIRECTS_MAX	5L
#define CONNECT_SECONDS 30L
#define STALLED_SECONDS 60L
#define HEADERS_MAX	(256 * 1024) /* bytes, of all answers */

/* Of nothing, which is what a GET sends. */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct transfer {
	CURL *curl;
	struct curl_slist *headers;
	struct place *place;
	const struct fetch_spec *spec;
	struct aws_keys keys;
	char name[FETCH_NAME_MAX + 1]; /* that the server says */
	size_t header_bytes;
	struct hw_err *err;
	int failed; /* why a callback ended it; 0: none did */
	char why[CURL_ERROR_SIZE];
};

/* --- callbacks -------------------------------------------------------------------------------- */

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	long status = 0;

	/* What an error says is nobody's file, and may have no end. */
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 300)
		return 0;
	t->failed = place_write(t->place, p, size * n, t->err);
	return t->failed == 0 ? size * n : 0;
}

/* Each answer begins with a status line: what one before it said of names is past. */
static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	static const char disposition[] = "content-disposition:";
	struct transfer *t = arg;
	size_t len = size * n, key = sizeof(disposition) - 1;

	if ((t->header_bytes += len) > HEADERS_MAX) {
		t->failed = hw_err_set(t->err, HW_ELIMIT, "the server's headers never end");
		return 0;
	}
	if (len >= 5 && strncasecmp(p, "http/", 5) == 0)
		t->name[0] = '\0';
	if (len > key && strncasecmp(p, disposition, key) == 0 &&
		!fetch_name_from_disposition(t->name, p + key, len - key))
		t->name[0] = '\0';
	return len;
}

/* --- what is asked ---------------------------------------------------------------------------- */

static int
add_header(struct transfer *t, const char *line)
{
	struct curl_slist *more = curl_slist_append(t->headers, line);

	if (more == NULL)
		return HW_ENOMEM;
	t->headers = more;
	return 0;
}

/* Nothing that is not said here: no proxy of the environment, no .netrc, no other protocol. */
static bool
set_bounds(struct transfer *t)
{
	const struct fetch_spec *s = t->spec;
	const char *protocols = s->insecure ? "http,https" : "https";
	bool plain = strncasecmp(s->url, "http:", 5) == 0; /* what began with TLS goes on with it */
	CURL *c = t->curl;

	return curl_easy_setopt(c, CURLOPT_URL, s->url) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, plain ? protocols : "https") ==
		CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) ==
		CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_PROXY, s->proxy != NULL ? s->proxy : "") == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_NOPROXY, "") == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALLED_SECONDS) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)s->max) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_USERAGENT, "hawser/" HAWSER_VERSION) == CURLE_OK &&
		(s->ca == NULL || curl_easy_setopt(c, CURLOPT_CAINFO, s->ca) == CURLE_OK);
}

static bool
set_callbacks(struct transfer *t)
{
	CURL *c = t->curl;

	return curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->why) == CURLE_OK;
}

static bool
set_password(struct transfer *t)
{
	const struct fetch_spec *s = t->spec;
	long how = s->auth == FETCH_AUTH_DIGEST ? (long)CURLAUTH_DIGEST : (long)CURLAUTH_BASIC;

	if (s->auth == FETCH_AUTH_NONE)
		return true;
	return curl_easy_setopt(t->curl, CURLOPT_HTTPAUTH, how) == CURLE_OK &&
		curl_easy_setopt(t->curl, CURLOPT_USERNAME, s->username) == CURLE_OK &&
		curl_easy_setopt(t->curl, CURLOPT_PASSWORD, s->password) == CURLE_OK;
}

/* A signature is for one host, so nothing that is signed follows a redirect. */
static bool
sign(struct transfer *t)
{
	char text[AWS_TEXT_MAX + 64];

	snprintf(text, sizeof(text), "aws:amz:%s:s3", t->keys.region);
	if (curl_easy_setopt(t->curl, CURLOPT_AWS_SIGV4, text) != CURLE_OK ||
		curl_easy_setopt(t->curl, CURLOPT_USERNAME, t->keys.id) != CURLE_OK ||
		curl_easy_setopt(t->curl, CURLOPT_PASSWORD, t->keys.secret) != CURLE_OK ||
		add_header(t, "x-amz-content-sha256: " EMPTY_SHA256) < 0)
		return false;
	if (t->keys.session[0] == '\0')
		return true;
	snprintf(text, sizeof(text), "x-amz-security-token: %s", t->keys.session);
	return add_header(t, text) == 0;
}

/* A URL that is signed already says so in its query. */
static bool
is_presigned(const char *url)
{
	return strcasestr(url, "X-Amz-Signature=") != NULL ||
		strcasestr(url, "&Signature=") != NULL || strcasestr(url, "?Signature=") != NULL;
}

static bool
set_identity(struct transfer *t)
{
	bool signs = t->spec->source == FETCH_S3 && !is_presigned(t->spec->url) &&
		aws_may_sign(t->spec->url, t->spec->s3_host) &&
		aws_keys_find(&t->keys, t->spec->url);

	if (signs ? !sign(t) : !set_password(t))
		return false;
	return curl_easy_setopt(t->curl, CURLOPT_FOLLOWLOCATION, signs ? 0L : 1L) == CURLE_OK &&
		curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Without its query, which may hold what nobody is to read. */
static int
say_where(char out[256], const char *url)
{
	return snprintf(out, 256, "%.*s", (int)strcspn(url, "?#"), url);
}

static int
perform(struct transfer *t)
{
	const struct fetch_spec *s = t->spec;
	char where[256], name[FETCH_NAME_MAX + 1];
	long status = 0;
	CURLcode c = curl_easy_perform(t->curl);

	say_where(where, s->url);
	if (t->failed != 0)
		return t->failed;
	if (c == CURLE_FILESIZE_EXCEEDED)
		return hw_err_set(t->err, HW_ELIMIT,
			"%s is larger than this node downloads: see download_max in its node.conf",
			where);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (c != CURLE_OK && (c != CURLE_WRITE_ERROR || status < 300)) /* on_body() left it */
		return hw_err_set(t->err, HW_EUNAVAILABLE, "cannot get %s: %s", where,
			t->why[0] != '\0' ? t->why : curl_easy_strerror(c));
	if (status != 200)
		return hw_err_set(t->err, HW_EUNAVAILABLE, "cannot get %s: the server answered %ld",
			where, status);
	if (t->name[0] != '\0')
		return place_commit(t->place, t->name, t->err);
	return place_commit(t->place, fetch_name_from_url(name, s->url) ? name : NULL, t->err);
}

int
fetch_web(struct place *p, const struct fetch_spec *s, struct hw_err *err)
{
	struct transfer t = {.place = p, .spec = s, .err = err};
	int r = place_begin(p, err);

	if (r < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		(t.curl = curl_easy_init()) == NULL || !set_bounds(&t) || !set_callbacks(&t) ||
		!set_identity(&t))
		r = hw_err_set(err, HW_EINTERNAL,
			"libcurl does not take what it is told: is it older than 7.85?");
	else
		r = perform(&t);
	curl_easy_cleanup(t.curl);
	curl_slist_free_all(t.headers);
	explicit_bzero(&t.keys, sizeof(t.keys));
	return r;
}
