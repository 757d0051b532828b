#include "relay/objects/place.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* --- the endpoint ------------------------------------------------------------------------------
 */

/* A name, or an address in brackets, and perhaps a port. */
static bool
is_host(const char *text)
{
	size_t n = strlen(text);
	const char *port;

	if (n == 0 || n >= sizeof(((struct s3_place *)0)->host))
		return false;
	size_t name = text[0] == '['
		? strspn(text + 1, "0123456789abcdefABCDEF:.") + 1
		: strspn(text,
			  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  "0123456789.-_");
	if (name == 0 || (text[0] == '[' && text[name++] != ']'))
		return false;
	port = text + name;
	if (*port == '\0')
		return true;
	return *port == ':' && port[1] != '\0' && strlen(port) <= 6 &&
		port[1 + strspn(port + 1, "0123456789")] == '\0';
}

/* What goes there does not leave the machine. */
static bool
is_here(const char *host)
{
	static const char *const here[] = {"127.0.0.1", "localhost", "[::1]"};

	for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
		size_t n = strlen(here[i]);
		if (strncmp(host, here[i], n) == 0 && (host[n] == '\0' || host[n] == ':'))
			return true;
	}
	return false;
}

/* Nothing can stand before it: "logs.127.0.0.1" is no name, and "logs.[::1]" nothing at all. */
static bool
is_address(const char *host)
{
	size_t n = strspn(host, "0123456789.");

	return host[0] == '[' || host[n] == '\0' || host[n] == ':';
}

int
s3_place_parse(struct s3_place *ret, const char *endpoint, bool path_style, struct hw_err *err)
{
	struct s3_place p = {
		.tls = strncmp(endpoint, "https://", 8) == 0, .path_style = path_style};
	size_t skip = p.tls ? 8 : strncmp(endpoint, "http://", 7) == 0 ? 7 : 0;
	const char *host = endpoint + skip;
	size_t n = strlen(host);

	if (n > 0 && host[n - 1] == '/')
		n--;
	snprintf(p.host, sizeof(p.host), "%.*s", (int)(n < sizeof(p.host) ? n : 0), host);
	if (skip == 0 || !is_host(p.host))
		return hw_err_set(err, HW_EVALIDATION,
			"\"%.200s\" is no endpoint: https://HOST, or https://HOST:PORT", endpoint);
	if (!p.tls && !is_here(p.host))
		return hw_err_set(err, HW_EVALIDATION,
			"\"%.200s\" would be spoken to in clear: say https, or an address of this "
			"machine",
			endpoint);
	/* What a bucket makes of this machine's name may be another machine. */
	if (!path_style && (!p.tls || is_address(p.host)))
		return hw_err_set(err, HW_EVALIDATION,
			"\"%.200s\" cannot have the bucket before its host, which wants https and a "
			"name: set s3_path_style = 1",
			endpoint);
	*ret = p;
	return 0;
}

/* --- names -------------------------------------------------------------------------------------
 */

static bool
is_small(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c);
}

/* Storages and hosts may read capitals as small letters; policies do not. */
int
s3_bucket_check(const struct s3_place *place, const char *bucket, struct hw_err *err)
{
	size_t n = strlen(bucket);
	bool good = n >= 3 && n <= S3_BUCKET_MAX && is_small(bucket[0]) &&
		is_small(bucket[n - 1]) && strstr(bucket, "..") == NULL;

	for (size_t i = 0; i < n; i++)
		good &= is_small(bucket[i]) || strchr(".-_", bucket[i]) != NULL;
	/* The certificate of all buckets is for one word before the host. */
	if (good && place->tls && !place->path_style && strchr(bucket, '.') != NULL)
		return hw_err_set(err, HW_EOUTPUTFOLDER,
			"OutputS3BucketName: \"%.63s\" has a dot, and is no name for a host with a "
			"certificate: the relay needs s3_path_style = 1 for it",
			bucket);
	if (good)
		return 0;
	return hw_err_set(err, HW_EOUTPUTFOLDER,
		"OutputS3BucketName: \"%.63s\" is no bucket: 3 to 63 small letters, digits, dots and "
		"dashes",
		bucket);
}

static bool
is_part(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return false;
	return n > 0 && !(n == 1 && p[0] == '.') && !(n == 2 && memcmp(p, "..", 2) == 0);
}

int
s3_prefix_check(const char *prefix, struct hw_err *err)
{
	const char *at = prefix, *slash;

	if (*prefix == '\0')
		return 0;
	if (strlen(prefix) > S3_PREFIX_MAX)
		return hw_err_set(err, HW_EOUTPUTFOLDER, "OutputS3KeyPrefix: at most %d bytes",
			S3_PREFIX_MAX);
	for (; (slash = strchr(at, '/')) != NULL; at = slash + 1)
		if (!is_part(at, (size_t)(slash - at)))
			break;
	if (slash == NULL && is_part(at, strlen(at)))
		return 0;
	return hw_err_set(err, HW_EOUTPUTFOLDER,
		"OutputS3KeyPrefix: \"%.100s\" is none: parts with a / between them, none of them "
		"empty, . or ..",
		prefix);
}

int
s3_region_check(const char *region, struct hw_err *err)
{
	size_t n = strlen(region);
	bool good = n >= 2 && n <= 20;

	for (size_t i = 0; i < n; i++)
		good &= isalnum((unsigned char)region[i]) || region[i] == '-';
	if (good)
		return 0;
	return hw_err_set(err, HW_EOUTPUTFOLDER,
		"OutputS3Region: \"%.30s\" is no region, as us-east-1", region);
}

/* --- URLs --------------------------------------------------------------------------------------
 */

static void
encode(struct buf *out, const char *text, const char *also)
{
	for (; *text != '\0'; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~", *text) != NULL ||
			strchr(also, *text) != NULL)
			buf_append_byte(out, (uint8_t)*text);
		else
			buf_printf(out, "%%%02X", (unsigned char)*text);
	}
}

void
s3_encode(struct buf *out, const char *text)
{
	encode(out, text, "");
}

void
s3_host(struct buf *out, const struct s3_place *place, const char *bucket)
{
	if (!place->path_style)
		buf_printf(out, "%s.", bucket);
	buf_append_str(out, place->host);
}

void
s3_path(struct buf *out, const struct s3_place *place, const char *bucket, const char *key)
{
	if (place->path_style)
		buf_printf(out, "/%s", bucket);
	buf_append_byte(out, '/');
	encode(out, key, "/");
}

void
s3_url(struct buf *out, const struct s3_place *place, const char *bucket, const char *key)
{
	buf_printf(out, "%s://", place->tls ? "https" : "http");
	s3_host(out, place, bucket);
	s3_path(out, place, bucket, key);
}
