#include "node/fetch/aws.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"

#define FILE_MAX_BYTES 65536

/* --- the file --------------------------------------------------------------------------------- */

static char *
trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	for (n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--)
		;
	s[n] = '\0';
	return s;
}

static bool
copy(char *to, size_t room, const char *from)
{
	return snprintf(to, room, "%s", from) < (int)room;
}

/* False when it does not fit. */
static bool
take(struct aws_keys *k, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
		size_t room;
	} rows[] = {
		{"aws_access_key_id",     k->id,	     sizeof(k->id)	  },
		{"aws_secret_access_key", k->secret,  sizeof(k->secret) },
		{"aws_session_token",     k->session, sizeof(k->session)},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcasecmp(rows[i].key, key) == 0)
			return copy(rows[i].to, rows[i].room, value);
	return true;
}

static bool
is_good(const struct aws_keys *k)
{
	return k->id[0] != '\0' && k->secret[0] != '\0';
}

bool
aws_keys_parse(struct aws_keys *ret, char *text)
{
	struct aws_keys k = {.id = ""};
	bool mine = false;

	while (text != NULL && *text != '\0') {
		char *line = trim(strsep(&text, "\n")), *equals = strchr(line, '=');
		if (line[0] == '[') {
			mine = strcmp(line, "[default]") == 0;
		} else if (mine && line[0] != '#' && line[0] != ';' && equals != NULL) {
			*equals = '\0';
			if (!take(&k, trim(line), trim(equals + 1)))
				return false;
		}
	}
	if (!is_good(&k))
		return false;
	*ret = k;
	return true;
}

static bool
of_file(struct aws_keys *ret)
{
	const char *home = getenv("HOME");
	char path[PATH_MAX];
	struct buf text;
	bool found = false;

	if (home == NULL || home[0] != '/' ||
		snprintf(path, sizeof(path), "%s/.aws/credentials", home) >= (int)sizeof(path))
		return false;
	buf_init(&text, FILE_MAX_BYTES);
	if (file_read(&text, AT_FDCWD, path, NULL) == 0 && buf_str(&text) != NULL)
		found = aws_keys_parse(ret, (char *)buf_str(&text));
	buf_wipe(&text);
	buf_fini(&text);
	return found;
}

/* --- the region ------------------------------------------------------------------------------- */

bool
aws_region_of(char out[64], const char *url)
{
	static const char end[] = ".amazonaws.com";
	const char *host = strstr(url, "://");
	char name[256], *at, *stop;

	if (host == NULL ||
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(host + 3, "/:?#"), host + 3) >=
			(int)sizeof(name) ||
		(stop = strstr(name, end)) == NULL)
		return false;
	*stop = '\0';
	/* The last that looks like the service: a bucket may be called s3. */
	for (at = stop; at > name; at--)
		if (strncmp(at - 1, "s3", 2) == 0 && (at - 1 == name || at[-2] == '.') &&
			(at[1] == '.' || at[1] == '-'))
			break;
	if (at == name || at[2] == '\0')
		return false;
	return copy(out, 64, at + 2);
}

/* --- for whom -------------------------------------------------------------------------------- */

static bool
is_below(const char *host, const char *domain)
{
	size_t n = strlen(host), d = strlen(domain);

	return n >= d && strcasecmp(host + n - d, domain) == 0 &&
		(n == d || host[n - d - 1] == '.');
}

bool
aws_may_sign(const char *url, const char *own)
{
	static const char scheme[] = "https://";
	char host[512];

	if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0 ||
		snprintf(host, sizeof(host), "%.*s",
			(int)strcspn(url + sizeof(scheme) - 1, "/?#\\"),
			url + sizeof(scheme) - 1) >= (int)sizeof(host))
		return false;
	return (own != NULL && own[0] != '\0' && is_below(host, own)) ||
		is_below(host, "amazonaws.com") || is_below(host, "amazonaws.com.cn");
}

/* --- both ------------------------------------------------------------------------------------- */

static const char *
env(const char *name)
{
	const char *v = getenv(name);

	return v != NULL ? v : "";
}

bool
aws_keys_find(struct aws_keys *ret, const char *url)
{
	struct aws_keys k = {.id = ""};
	const char *region = env("AWS_REGION");

	if (!copy(k.id, sizeof(k.id), env("AWS_ACCESS_KEY_ID")) ||
		!copy(k.secret, sizeof(k.secret), env("AWS_SECRET_ACCESS_KEY")) ||
		!copy(k.session, sizeof(k.session), env("AWS_SESSION_TOKEN")))
		return false;
	if (!is_good(&k) && !of_file(&k))
		return false;
	if (!aws_region_of(k.region, url) &&
		!copy(k.region, sizeof(k.region), region[0] != '\0' ? region : "us-east-1"))
		return false;
	*ret = k;
	return true;
}
