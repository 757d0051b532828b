#include "proto/trust/https.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PORT 443
#define NAME_MAX_LEN 253
#define LABEL_MAX    63

static const char scheme[] = "https://";
static const char pin_type[] = "sha256:";

/* --- hosts ----------------------------------------------------------------------------------- */

static bool
is_label(const char *s, size_t n)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

	return n >= 1 && n <= LABEL_MAX && strspn(s, allowed) >= n && s[0] != '-' &&
		s[n - 1] != '-';
}

/* Labels, perhaps with a dot at the end. One whose last label is a number would be an address to
 * some and a name to others. */
static bool
is_name(const char *s)
{
	size_t n = strlen(s), label = 0;
	const char *last = s;

	if (n > 0 && s[n - 1] == '.')
		n--;
	if (n == 0 || n > NAME_MAX_LEN)
		return false;
	for (const char *at = s; at < s + n; at += label + 1) {
		last = at;
		label = strcspn(at, ".");
		if (!is_label(at, label))
			return false;
	}
	return strspn(last, "0123456789") < label;
}

static bool
is_host(const char *s, bool in_brackets)
{
	unsigned char address[16];

	if (in_brackets)
		return inet_pton(AF_INET6, s, address) == 1;
	return inet_pton(AF_INET, s, address) == 1 || is_name(s);
}

/* Takes the host off *at and leaves what follows it there. */
static int
parse_host(struct relay_url *url, const char **at, struct hw_err *err)
{
	bool in_brackets = **at == '[';
	const char *from = *at + (in_brackets ? 1 : 0);
	size_t n = strcspn(from, in_brackets ? "]" : ":/?#");
	const char *end = from + n;

	if (in_brackets && *end != ']')
		return hw_err_set(err, HW_EVALIDATION, "the relay's address has no closing ]");
	if (n == 0)
		return hw_err_set(err, HW_EVALIDATION, "the relay's URL names no host");
	if (n < sizeof(url->host)) {
		for (size_t i = 0; i < n; i++) {
			char c = from[i];
			url->host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		}
		url->host[n] = '\0';
	}
	if (n >= sizeof(url->host) || !is_host(url->host, in_brackets))
		return hw_err_set(err, HW_EVALIDATION,
			"%.*s in the relay's URL is no host name or address%s",
			(int)(n < 64 ? n : 64), from,
			strchr(from, ']') == NULL && *end == ':' && strchr(end + 1, ':') != NULL
				? "; IPv6 addresses stand in [brackets]"
				: "");
	*at = in_brackets ? end + 1 : end;
	return 0;
}

/* --- the other parts ----------------------------------------------------------------------------
 */

static int
parse_port(struct relay_url *url, const char **at, struct hw_err *err)
{
	url->port = DEFAULT_PORT;
	if (**at != ':')
		return 0;
	const char *from = *at + 1;
	size_t n = strspn(from, "0123456789");
	long port = n >= 1 && n <= 5 ? strtol(from, NULL, 10) : 0;
	if (port < 1 || port > 65535 || (from[n] != '\0' && strchr("/?#", from[n]) == NULL))
		return hw_err_set(err, HW_EVALIDATION,
			"the port in the relay's URL is not a number from 1 to 65535");
	url->port = (int)port;
	*at = from + n;
	return 0;
}

static int
parse_pin(struct relay_url *url, const char *at, struct hw_err *err)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	if (strncmp(at, pin_type, strlen(pin_type)) != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"after # in the relay's URL must come sha256: and the CA's fingerprint");
	at += strlen(pin_type);
	if (strlen(at) != PIN_LEN || strspn(at, hex) != PIN_LEN)
		return hw_err_set(err, HW_EVALIDATION,
			"the fingerprint in the relay's URL is not %d hex digits", PIN_LEN);
	for (size_t i = 0; i <= PIN_LEN; i++)
		url->pin[i] = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] - 'A' + 'a') : at[i];
	return 0;
}

int
relay_url_parse(struct relay_url *ret, const char *text, struct hw_err *err)
{
	struct relay_url url = {0};
	int r;

	if (strncasecmp(text, scheme, strlen(scheme)) != 0)
		return hw_err_set(err, HW_EVALIDATION, "the relay's URL must begin with %s",
			scheme);
	const char *at = text + strlen(scheme);
	size_t authority = strcspn(at, "/?#");
	if (memchr(at, '@', authority) != NULL)
		return hw_err_set(err, HW_EVALIDATION, "the relay's URL must not name a user");
	if ((r = parse_host(&url, &at, err)) < 0 || (r = parse_port(&url, &at, err)) < 0)
		return r;
	if (*at == '/')
		at++;
	if (*at == '#' && (r = parse_pin(&url, at + 1, err)) < 0)
		return r;
	if (*at != '#' && *at != '\0')
		return hw_err_set(err, HW_EVALIDATION,
			"the relay's URL must not have anything between its host and #");
	*ret = url;
	return 0;
}

int
relay_url_format(char *out, size_t room, const struct relay_url *url)
{
	bool v6 = strchr(url->host, ':') != NULL;
	char port[16] = "";

	if (url->port != DEFAULT_PORT)
		snprintf(port, sizeof(port), ":%d", url->port);
	int n = snprintf(out, room, "%s%s%s%s%s%s%s%s", scheme, v6 ? "[" : "", url->host,
		v6 ? "]" : "", port, url->pin[0] != '\0' ? "#" : "",
		url->pin[0] != '\0' ? pin_type : "", url->pin);
	return n < 0 || (size_t)n >= room ? HW_ELIMIT : 0;
}
