#include "proto/wire/proxy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/enc.h"
#include "proto/wire/network.h"

#define REASON_MAX 80

/* --- reading one ----------------------------------------------------------------------------- */

/* %XX decoded; false when it does not fit, or has what no header may have. */
static bool
decode(char *out, size_t room, const char *from, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned c = (unsigned char)from[i];
		char hex[3] = "";
		if (c == '%') {
			if (i + 2 >= n || !isxdigit((unsigned char)from[i + 1]) ||
				!isxdigit((unsigned char)from[i + 2]))
				return false;
			memcpy(hex, from + i + 1, 2);
			c = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || at + 1 >= room)
			return false;
		out[at++] = (char)c;
	}
	out[at] = '\0';
	return true;
}

static int
parse_login(struct proxy *p, const char *text, size_t n, struct hw_err *err)
{
	const char *colon = memchr(text, ':', n);
	size_t user = colon != NULL ? (size_t)(colon - text) : n;

	p->login = true;
	if (!decode(p->user, sizeof(p->user), text, user) ||
		strchr(p->user, ':') != NULL || /* Basic could not tell */
		(colon != NULL &&
			!decode(p->password, sizeof(p->password), colon + 1, n - user - 1)))
		return hw_err_set(err, HW_EVALIDATION,
			"the proxy's user and password are USER:PASSWORD@ before its host, with %%XX for "
			"what else is special in a URL");
	return 0;
}

static bool
is_host(const char *s, bool brackets)
{
	unsigned char v6[16];

	if (brackets)
		return inet_pton(AF_INET6, s, v6) == 1;
	return s[0] != '\0' && s[0] != '-' &&
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		strlen(s);
}

static int
parse_address(struct proxy *p, const char *text, struct hw_err *err)
{
	bool brackets = text[0] == '[';
	const char *from = text + (brackets ? 1 : 0);
	size_t n = strcspn(from, brackets ? "]" : ":/");
	const char *port = from + n + (brackets && from[n] == ']' ? 1 : 0);
	size_t digits = port[0] == ':' ? strspn(port + 1, "0123456789") : 0;
	const char *end = port + 1 + digits;

	if (n >= sizeof(p->host))
		return hw_err_set(err, HW_EVALIDATION, "the proxy's name is too long");
	memcpy(p->host, from, n);
	p->host[n] = '\0';
	p->port = digits > 0 && digits <= 5 ? atoi(port + 1) : 0;
	if (!is_host(p->host, brackets) || p->port < 1 || p->port > 65535 ||
		(*end != '\0' && strcmp(end, "/") != 0))
		return hw_err_set(err, HW_EVALIDATION,
			"a proxy is http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT; IPv6 "
			"addresses stand in [brackets]");
	return 0;
}

int
proxy_parse(struct proxy *ret, const char *text, struct hw_err *err)
{
	struct proxy p = {.port = 0};
	const char *scheme = strstr(text, "://"), *at;
	int r;

	if (strlen(text) >= PROXY_TEXT_MAX)
		return hw_err_set(err, HW_EVALIDATION, "the proxy has at most %d bytes",
			PROXY_TEXT_MAX - 1);
	if (scheme != NULL && strncasecmp(text, "http://", 7) != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"only HTTP proxies that know CONNECT are supported: http://HOST:PORT");
	text = scheme != NULL ? text + 7 : text;
	if ((at = strrchr(text, '@')) != NULL) {
		if ((r = parse_login(&p, text, (size_t)(at - text), err)) < 0)
			return r;
		text = at + 1;
	}
	if ((r = parse_address(&p, text, err)) < 0)
		return r;
	*ret = p;
	return 0;
}

static void
append_coded(struct buf *out, const char *text)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; *text != '\0'; text++)
		if (strchr(plain, *text) != NULL)
			buf_append_byte(out, (uint8_t)*text);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
}

int
proxy_format(char out[PROXY_TEXT_MAX], const struct proxy *p)
{
	char address[PROXY_SHOWN_MAX];
	struct buf text;

	buf_init(&text, PROXY_TEXT_MAX - 1);
	buf_append_str(&text, "http://");
	if (p->login) {
		append_coded(&text, p->user);
		buf_append_byte(&text, ':');
		append_coded(&text, p->password);
		buf_append_byte(&text, '@');
	}
	proxy_write(address, p);
	buf_append_str(&text, address);
	bool whole = !text.failed && buf_str(&text) != NULL;
	if (whole)
		memcpy(out, buf_str(&text), text.len + 1);
	buf_wipe(&text);
	buf_fini(&text);
	return whole ? 0 : HW_ELIMIT;
}

void
proxy_write(char out[PROXY_SHOWN_MAX], const struct proxy *p)
{
	bool v6 = strchr(p->host, ':') != NULL;

	snprintf(out, PROXY_SHOWN_MAX, v6 ? "[%s]:%d" : "%s:%d", p->host, p->port);
}

/* --- choosing one ---------------------------------------------------------------------------- */

static bool
address_of(struct sockaddr_storage *ret, const char *host)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		memcpy(ret, &v4, sizeof(v4));
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		memcpy(ret, &v6, sizeof(v6));
	else
		return false;
	return true;
}

/* The name itself, or one below it. */
static bool
is_below(const char *host, size_t n, const char *name, size_t m)
{
	if (n > 0 && host[n - 1] == '.')
		n--;
	if (m > 0 && name[m - 1] == '.')
		m--;
	if (m > 0 && name[0] == '.') {
		name++;
		m--;
	}
	return m > 0 && n >= m && strncasecmp(host + n - m, name, m) == 0 &&
		(n == m || host[n - m - 1] == '.');
}

/* Takes :PORT off an entry; an IPv6 address without brackets has none. */
static int
entry_port(const char *entry, size_t *n)
{
	const char *colon = memrchr(entry, ':', *n);
	size_t left = colon != NULL ? (size_t)(colon - entry) : 0;
	size_t digits = *n - left - (colon != NULL ? 1 : 0);

	if (colon == NULL || digits == 0 || digits > 5 ||
		strspn(colon + 1, "0123456789") < digits ||
		(entry[0] != '[' && memchr(entry, ':', left) != NULL) ||
		(entry[0] == '[' && left > 0 && entry[left - 1] != ']'))
		return 0;
	*n = left;
	return atoi(colon + 1);
}

static bool
entry_has(const char *entry, size_t n, const char *host, int port)
{
	struct sockaddr_storage address;
	struct network net;
	int only = entry_port(entry, &n);

	if (only != 0 && only != port)
		return false;
	if (n == 1 && entry[0] == '*')
		return true;
	if (address_of(&address, host))
		return network_parse(&net, entry, n) &&
			network_has(&net, (const struct sockaddr *)&address);
	return is_below(host, strlen(host), entry, n);
}

bool
proxy_is_bypassed(const char *list, const char *host, int port)
{
	for (const char *at = list; *at != '\0';) {
		size_t n = strcspn(at, ", \t");
		if (n > 0 && entry_has(at, n, host, port))
			return true;
		at += n;
		at += *at != '\0';
	}
	return false;
}

/* The first that is set, even to nothing, as lower case is the older way. */
static const char *
variable(const char **name, const char *lower, const char *upper)
{
	const char *value = getenv(lower);

	*name = value != NULL ? lower : upper;
	return value != NULL ? value : getenv(upper);
}

int
proxy_of_environment(struct proxy *ret, const char *host, int port, struct hw_err *err)
{
	const char *name, *all, *ignored;
	const char *text = variable(&name, "https_proxy", "HTTPS_PROXY");
	const char *none = variable(&ignored, "no_proxy", "NO_PROXY");
	int r;

	*ret = (struct proxy){.port = 0};
	if (none != NULL && proxy_is_bypassed(none, host, port))
		return 0;
	if (text == NULL) {
		all = variable(&name, "all_proxy", "ALL_PROXY");
		/* It may be for others: what is no HTTP proxy is not for us. */
		if (all != NULL &&
			(strstr(all, "://") == NULL || strncasecmp(all, "http://", 7) == 0))
			text = all;
	}
	if (text == NULL || text[0] == '\0')
		return 0;
	if ((r = proxy_parse(ret, text, err)) < 0)
		hw_err_prefix(err, "the environment's %s", name);
	return r;
}

/* --- asking it ------------------------------------------------------------------------------- */

static int
append_login(struct buf *out, const struct proxy *p)
{
	char plain[sizeof(p->user) + sizeof(p->password)], coded[BASE64_LEN(sizeof(plain)) + 1];
	int n = snprintf(plain, sizeof(plain), "%s:%s", p->user, p->password);

	base64_encode(coded, plain, (size_t)n);
	int r = buf_printf(out, "Proxy-Authorization: Basic %s\r\n", coded);
	explicit_bzero(plain, sizeof(plain));
	explicit_bzero(coded, sizeof(coded));
	return r;
}

int
proxy_request(struct buf *out, const struct proxy *p, const char *host, int port)
{
	bool v6 = strchr(host, ':') != NULL;
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
	int r = buf_printf(out,
		"CONNECT %s%s%s:%d HTTP/1.1\r\nHost: %s%s%s:%d\r\n"
		"User-Agent: hawser/" HAWSER_VERSION "\r\n",
		open, host, close, port, open, host, close, port);

	if (r == 0 && p->login)
		r = append_login(out, p);
	return r == 0 ? buf_append_str(out, "\r\n") : r;
}

/* --- what it answers ------------------------------------------------------------------------- */

/* Where the head ends; 0 when it does not yet. */
static size_t
head_end(const char *in, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (in[i] == '\n' &&
			(in[i - 1] == '\n' || (i > 2 && in[i - 1] == '\r' && in[i - 2] == '\n')))
			return i + 1;
	return 0;
}

/* The status; 0 when it is no answer of HTTP/1. The reason is made fit for a terminal. */
static int
read_status(char reason[REASON_MAX], const char *in, size_t n)
{
	size_t at = 12, put = 0;

	if (n < 13 || (memcmp(in, "HTTP/1.1 ", 9) != 0 && memcmp(in, "HTTP/1.0 ", 9) != 0))
		return 0;
	for (size_t i = 9; i < 12; i++)
		if (in[i] < '0' || in[i] > '9')
			return 0;
	if (in[12] != ' ' && in[12] != '\r' && in[12] != '\n')
		return 0;
	while (at < n && in[at] == ' ')
		at++;
	for (; at < n && in[at] != '\r' && in[at] != '\n' && put < REASON_MAX - 1; at++)
		reason[put++] = in[at] >= ' ' && in[at] <= '~' ? in[at] : '?';
	reason[put] = '\0';
	return (in[9] - '0') * 100 + (in[10] - '0') * 10 + (in[11] - '0');
}

/* Whether a Proxy-Authenticate names Basic; true too when there is none of that header. */
static bool
takes_basic(const char *in, size_t n)
{
	static const char name[] = "proxy-authenticate:";
	const size_t m = sizeof(name) - 1;
	bool asked = false;

	for (size_t at = 0; at < n;) {
		const char *end = memchr(in + at, '\n', n - at);
		size_t line = end != NULL ? (size_t)(end - in) - at : n - at;
		if (line > m && strncasecmp(in + at, name, m) == 0) {
			asked = true;
			for (size_t i = at + m; i + 5 <= at + line; i++)
				if (strncasecmp(in + i, "basic", 5) == 0)
					return true;
		}
		at += line + 1;
	}
	return !asked;
}

static const char *
advice(const struct proxy *p, int status, bool basic)
{
	bool asks = status == 407 || status == 401; /* the latter by some that have no better */

	if (asks && !basic)
		return "it takes no user and password by Basic authentication, the only one that is "
		       "supported: have it let this machine through by its address";
	if (asks && p->login)
		return "it does not take the user and password that it was given";
	if (asks)
		return "it wants a user and a password: http://USER:PASSWORD@HOST:PORT";
	if (status == 403 || status == 405)
		return "its rules do not let CONNECT go there: have them allow it, with its port";
	if (status >= 500)
		return "the proxy cannot reach the relay: see whether it finds the name, and the "
		       "port is open for it";
	return "is it an HTTP proxy, and does it know CONNECT?";
}

int
proxy_answer(const struct proxy *p, const char *host, int port, const void *in, size_t n,
	struct hw_err *err)
{
	char shown[PROXY_SHOWN_MAX], reason[REASON_MAX] = "";
	bool v6 = strchr(host, ':') != NULL;
	size_t end = head_end(in, n);
	int status;

	proxy_write(shown, p);
	if (end == 0 && n < PROXY_ANSWER_MAX && (n < 5 || memcmp(in, "HTTP/", 5) == 0))
		return 0;
	status = end > 0 ? read_status(reason, in, end) : 0;
	if (status == 0)
		return hw_err_set(err, HW_EPROTO,
			"what answers at %s is no HTTP proxy: see whether its port is right",
			shown);
	if (status < 200 || status > 299)
		return hw_err_set(err, HW_EUNAVAILABLE,
			"the proxy %s refused a connection to %s%s%s:%d with %d%s%s: %s", shown,
			v6 ? "[" : "", host, v6 ? "]" : "", port, status, reason[0] ? " " : "",
			reason, advice(p, status, takes_basic(in, end)));
	if (end != n)
		return hw_err_set(err, HW_EPROTO,
			"the proxy %s said more than that it is connected, before the relay could",
			shown);
	return 1;
}
