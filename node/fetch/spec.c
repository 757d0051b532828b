#include "node/fetch/spec.h"

#include <string.h>

#include "proto/base/err.h"

#define WEB (FETCH_HTTP | FETCH_S3)

static const struct {
	const char *name;
	enum fetch_source source;
} sources[] = {
	{"HTTP",	 FETCH_HTTP  },
	{"S3",     FETCH_S3    },
	{"Git",	FETCH_GIT	 },
	{"GitHub", FETCH_GITHUB},
	{"Local",  FETCH_LOCAL },
	{"Text",	 FETCH_TEXT  },
};

struct text_row {
	const char *key;
	size_t offset;
	unsigned of, needed_by; /* sources */
	size_t max;
};

#define AT(member) offsetof(struct fetch_spec, member)

/* Of sourceInfo; other keys say nothing. */
static const struct text_row texts[] = {
	{"url",		AT(url),	 FETCH_HTTP,		     FETCH_HTTP,	 FETCH_TEXT_MAX},
	{"path",		 AT(url),	  FETCH_S3,		    FETCH_S3,     FETCH_TEXT_MAX},
	{"repository",    AT(url),	FETCH_GIT,		   FETCH_GIT,    FETCH_TEXT_MAX},
	{"repository",    AT(repository), FETCH_GITHUB,	     FETCH_GITHUB, 100	      },
	{"owner",	  AT(owner),	     FETCH_GITHUB,		   FETCH_GITHUB, 100	    },
	{"path",		 AT(path),	   FETCH_GITHUB,		 0,	    FETCH_TEXT_MAX},
	{"path",		 AT(path),	   FETCH_LOCAL,		FETCH_LOCAL,  FETCH_TEXT_MAX},
	{"tokenInfo",     AT(token),	 FETCH_GITHUB,	       0,		  FETCH_TEXT_MAX},
	{"username",	     AT(username),   FETCH_HTTP | FETCH_GIT,   0,	      FETCH_TEXT_MAX},
	{"password",	     AT(password),   FETCH_HTTP | FETCH_GIT,   0,	      FETCH_TEXT_MAX},
	{"privateSSHKey", AT(ssh_key),    FETCH_GIT | FETCH_GITHUB, 0,	    FETCH_KEY_MAX },
};

static const struct {
	const char *key;
	size_t offset;
	unsigned of;
} flags[] = {
	{"allowInsecureDownload", AT(insecure),	WEB | FETCH_GIT	       },
	{"skipHostKeyChecking",	AT(any_host_key), FETCH_GIT | FETCH_GITHUB},
};

/* --- single values ---------------------------------------------------------------------------- */

/* A key of several lines alone may have line ends. */
static bool
is_clean(const char *s, bool lines)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 && !(lines && (*s == '\n' || *s == '\r'))) ||
			*s == 0x7f)
			return false;
	return true;
}

/* Absent, null and "" are nothing. */
static int
take_text(const char **ret, const json_t *object, const char *key, size_t max, struct hw_err *err)
{
	const json_t *v = json_object_get(object, key);
	const char *s = json_string_value(v);

	*ret = NULL;
	if (v == NULL || json_is_null(v))
		return 0;
	if (s == NULL || strlen(s) != json_string_length(v) || !is_clean(s, max == FETCH_KEY_MAX))
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: %s is not a text, or has control characters in it", key);
	if (strlen(s) > max)
		return hw_err_set(err, HW_EVALIDATION, "sourceInfo: %s is longer than %zu bytes",
			key, max);
	*ret = *s != '\0' ? s : NULL;
	return 0;
}

static int
take_flag(bool *ret, const json_t *object, const char *key, struct hw_err *err)
{
	const json_t *v = json_object_get(object, key);
	const char *s = json_string_value(v);

	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_boolean(v) &&
		(s == NULL || (strcasecmp(s, "true") != 0 && strcasecmp(s, "false") != 0)))
		return hw_err_set(err, HW_EVALIDATION, "sourceInfo: %s is true or false", key);
	*ret = json_is_true(v) || (s != NULL && strcasecmp(s, "true") == 0);
	return 0;
}

static int
take_auth(struct fetch_spec *s, const json_t *info, struct hw_err *err)
{
	static const char *const names[] = {
		[FETCH_AUTH_NONE] = "None",
		[FETCH_AUTH_BASIC] = "Basic",
		[FETCH_AUTH_DIGEST] = "Digest",
	};
	const char *method;
	int r = take_text(&method, info, "authMethod", 32, err);

	if (r < 0 || method == NULL)
		return r;
	for (int k = FETCH_AUTH_NONE; k <= FETCH_AUTH_DIGEST; k++)
		if (strcasecmp(names[k], method) == 0) {
			s->auth = (enum fetch_auth)k;
			return 0;
		}
	return hw_err_set(err, HW_EVALIDATION,
		"sourceInfo: authMethod is None, Basic or Digest, not %s", method);
}

/* --- what fits together ----------------------------------------------------------------------- */

static bool
is_of(const char *s, const char *set)
{
	return strspn(s, set) == strlen(s);
}

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

/* As git has them, and nothing that it would take for an option or an expression. */
static bool
is_branch(const char *s)
{
	return is_of(s, NAME_LETTERS "/+@#") && s[0] != '-' && s[0] != '/' &&
		strstr(s, "..") == NULL && strlen(s) <= 255;
}

static bool
is_commit(const char *s)
{
	return is_of(s, "0123456789abcdefABCDEF") && strlen(s) >= 7 && strlen(s) <= 64;
}

/* "branch:NAME" or "commitID:HEX". */
static int
take_options(struct fetch_spec *s, const json_t *info, struct hw_err *err)
{
	static const char branch[] = "branch:", commit[] = "commitID:";
	const char *o;
	int r = take_text(&o, info, "getOptions", 512, err);

	if (r < 0 || o == NULL)
		return r;
	if (strncmp(o, branch, sizeof(branch) - 1) == 0 && is_branch(o + sizeof(branch) - 1) &&
		o[sizeof(branch) - 1] != '\0')
		s->branch = o + sizeof(branch) - 1;
	else if (strncmp(o, commit, sizeof(commit) - 1) == 0 && is_commit(o + sizeof(commit) - 1))
		s->commit = o + sizeof(commit) - 1;
	else
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: getOptions is branch:NAME or commitID:HEX, not %.128s", o);
	return 0;
}

/* A path below something: relative, and never upwards. */
static bool
is_below(const char *p)
{
	for (const char *at = p; *at != '\0';) {
		size_t n = strcspn(at, "/");
		if (n == 2 && strncmp(at, "..", 2) == 0)
			return false;
		at += n;
		at += *at == '/';
	}
	return p[0] != '/';
}

static int
check_github(const struct fetch_spec *s, struct hw_err *err)
{
	if (!is_of(s->owner, NAME_LETTERS) || !is_of(s->repository, NAME_LETTERS) ||
		s->owner[0] == '.' || s->owner[0] == '-' || s->repository[0] == '-' ||
		strcmp(s->repository, ".") == 0 || strcmp(s->repository, "..") == 0)
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: %s/%s is no repository of GitHub", s->owner, s->repository);
	if (s->path != NULL && !is_below(s->path))
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: path %.128s is not below the repository", s->path);
	return 0;
}

static const char *
scheme_end(const char *url, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncasecmp(url, scheme, n) == 0 && strncmp(url + n, "://", 3) == 0 ? url + n + 3
										   : NULL;
}

/* What a URL itself says of who asks goes into lists of processes, and into sentences. */
static int
check_open(const char *url, bool query, struct hw_err *err)
{
	const char *host = strstr(url, "://");
	size_t n = host != NULL ? strcspn(host + 3, "/?#\\") : 0;
	bool ssh = scheme_end(url, "ssh") != NULL;
	const char *at = n > 0 ? memrchr(host + 3, '@', n) : NULL;

	if (at != NULL && (!ssh || memchr(host + 3, ':', (size_t)(at - host - 3)) != NULL))
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: a URL that has a user or a password in it shows them to others: "
			"use username and password, or privateSSHKey");
	if (!query && host != NULL && strpbrk(host, "?#") != NULL)
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: %.*s... is no repository's URL, for it has a query behind it",
			(int)(strcspn(url, "?#") < 128 ? strcspn(url, "?#") : 128), url);
	return 0;
}

/* A file of this machine may be named as a URL. */
static int
check_web(struct fetch_spec *s, struct hw_err *err)
{
	const char *file = scheme_end(s->url, "file");
	int shown = (int)strcspn(s->url, "?#"), r = check_open(s->url, true, err);

	if (r < 0)
		return r;
	shown = shown < 128 ? shown : 128;
	if (file != NULL && s->source == FETCH_HTTP) {
		if (file[0] != '/')
			return hw_err_set(err, HW_EVALIDATION,
				"sourceInfo: %.*s names another machine: file:///PATH is of this one",
				shown, s->url);
		s->source = FETCH_LOCAL;
		s->path = file;
		return 0;
	}
	if (scheme_end(s->url, "https") != NULL)
		return 0;
	if (scheme_end(s->url, "http") == NULL)
		return hw_err_set(err, HW_EVALIDATION, "sourceInfo: %.*s is not an https:// URL",
			shown, s->url);
	if (!s->insecure)
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: %.*s is not encrypted: use https, or set "
			"allowInsecureDownload to true",
			shown, s->url);
	return 0;
}

/* USER@HOST:PATH, as ssh has it, but never HELPER::ADDRESS. */
static bool
is_scp_like(const char *s)
{
	size_t host = strspn(s, NAME_LETTERS "@");

	return host > 0 && s[0] != '-' && s[host] == ':' && s[host + 1] != ':' &&
		s[host + 1] != '-' && s[host + 1] != '\0' && memchr(s, '@', host) != NULL;
}

static int
check_git(const struct fetch_spec *s, struct hw_err *err)
{
	const char *u = s->url;
	const char *ssh = scheme_end(u, "ssh");
	int r = check_open(u, false, err);

	if (r < 0)
		return r;
	if (scheme_end(u, "https") != NULL || scheme_end(u, "file") != NULL || is_scp_like(u) ||
		(ssh != NULL && ssh[0] != '-') || (s->insecure && scheme_end(u, "http") != NULL))
		return 0;
	return hw_err_set(err, HW_EVALIDATION,
		"sourceInfo: the repository %.128s is neither https:// nor ssh:// nor "
		"USER@HOST:PATH",
		u);
}

static int
check(struct fetch_spec *s, struct hw_err *err)
{
	if (s->auth != FETCH_AUTH_NONE && (s->username == NULL || s->password == NULL))
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: authMethod needs username and password");
	if (s->source == FETCH_LOCAL && s->path[0] != '/')
		return hw_err_set(err, HW_EVALIDATION, "sourceInfo: path %.128s is not absolute",
			s->path);
	if (s->source == FETCH_GITHUB)
		return check_github(s, err);
	if (s->source == FETCH_GIT)
		return check_git(s, err);
	return (s->source & WEB) != 0 ? check_web(s, err) : 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int
take_info(struct fetch_spec *s, const json_t *info, struct hw_err *err)
{
	int r = 0;

	for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
		const char **to = (const char **)((char *)s + texts[k].offset);
		if ((texts[k].of & s->source) == 0)
			continue;
		if ((r = take_text(to, info, texts[k].key, texts[k].max, err)) < 0)
			return r;
		if (*to == NULL && (texts[k].needed_by & s->source) != 0)
			return hw_err_set(err, HW_EVALIDATION, "sourceInfo has no %s",
				texts[k].key);
	}
	for (size_t k = 0; r == 0 && k < sizeof(flags) / sizeof(flags[0]); k++)
		if ((flags[k].of & s->source) != 0)
			r = take_flag((bool *)((char *)s + flags[k].offset), info, flags[k].key,
				err);
	if (r == 0 && s->source == FETCH_HTTP)
		r = take_auth(s, info, err);
	if (r == 0 && (s->source & (FETCH_GIT | FETCH_GITHUB)) != 0)
		r = take_options(s, info, err);
	return r;
}

static int
take_source(struct fetch_spec *s, struct hw_err *err)
{
	const char *name = json_string_value(json_object_get(s->json, "source"));

	for (size_t k = 0; name != NULL && k < sizeof(sources) / sizeof(sources[0]); k++)
		if (strcmp(sources[k].name, name) == 0) {
			s->source = sources[k].source;
			return 0;
		}
	return hw_err_set(err, HW_EVALIDATION,
		"sourceType: HTTP, S3, Git, GitHub, SSMDocument or Local, not %.64s",
		name != NULL ? name : "nothing");
}

static int
take_frame(struct fetch_spec *s, struct hw_err *err)
{
	int r;

	if ((r = take_text(&s->destination, s->json, "destination", FETCH_TEXT_MAX, err)) < 0 ||
		(r = take_text(&s->work, s->json, "work", FETCH_TEXT_MAX, err)) < 0 ||
		(r = take_text(&s->ca, s->json, "ca", FETCH_TEXT_MAX, err)) < 0 ||
		(r = take_text(&s->proxy, s->json, "proxy", FETCH_TEXT_MAX, err)) < 0 ||
		(r = take_text(&s->s3_host, s->json, "s3_host", 255, err)) < 0 ||
		(r = take_text(&s->name, s->json, "name", 255, err)) < 0)
		return r;
	s->max = json_integer_value(json_object_get(s->json, "max"));
	if (s->destination == NULL)
		s->destination = "";
	if (s->work == NULL || s->work[0] != '/' || s->max <= 0)
		return hw_err_set(err, HW_EVALIDATION, "no directory of the command, or no bound");
	if (s->destination[0] != '/' && !is_below(s->destination))
		return hw_err_set(err, HW_EVALIDATION,
			"destinationPath %.128s leads out of what the command has downloaded",
			s->destination);
	return 0;
}

int
fetch_spec_parse(struct fetch_spec *ret, const char *text, size_t n, struct hw_err *err)
{
	json_error_t where;
	int r;

	*ret = (struct fetch_spec){.json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where)};
	if (!json_is_object(ret->json))
		return hw_err_set(err, HW_EVALIDATION, "what is to be fetched is no JSON object");
	const json_t *info = json_object_get(ret->json, "info");
	if ((r = take_source(ret, err)) < 0 || (r = take_frame(ret, err)) < 0)
		return r;
	if (ret->source == FETCH_TEXT)
		return ret->name != NULL ? 0
					 : hw_err_set(err, HW_EVALIDATION, "a text without a name");
	if (!json_is_object(info))
		return hw_err_set(err, HW_EVALIDATION, "sourceInfo is not a map");
	r = take_info(ret, info, err);
	return r == 0 ? check(ret, err) : r;
}

void
fetch_spec_free(struct fetch_spec *s)
{
	json_decref(s->json);
	*s = (struct fetch_spec){.json = NULL};
}
