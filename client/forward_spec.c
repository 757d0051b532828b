#include "client/forward_spec.h"

#include <stdio.h>
#include <string.h>

#define BIND_DEFAULT "127.0.0.1"
#define PORT_MAX     65535

static int
wrong(struct hw_err *err, const char *text, const char *why)
{
	return hw_err_set(err, HW_EUSAGE, "\"%.100s\": %s", text, why);
}

/* --- words ------------------------------------------------------------------------------------ */

/* Up to the next colon, which is passed; one in brackets is part of the word. False when it is too
 * long, or brackets do not close before a colon or the end. */
static bool
take_word(char out[HOST_MAX + 1], const char **p)
{
	const char *s = *p, *end = s[0] == '[' ? strchr(s, ']') : s + strcspn(s, ":");

	if (end != NULL && s[0] == '[')
		end++;
	if (end == NULL || (*end != ':' && *end != '\0') || (size_t)(end - s) > HOST_MAX)
		return false;
	memcpy(out, s, (size_t)(end - s));
	out[end - s] = '\0';
	*p = *end == ':' ? end + 1 : end;
	return true;
}

static bool
is_number(const char *s)
{
	return s[0] != '\0' && strspn(s, "0123456789") == strlen(s);
}

static bool
read_port(int *ret, const char *s, int least)
{
	int port = 0;

	if (!is_number(s) || strlen(s) > 5)
		return false;
	for (; *s != '\0'; s++)
		port = 10 * port + (*s - '0');
	*ret = port;
	return port >= least && port <= PORT_MAX;
}

/* --- the two ends ----------------------------------------------------------------------------- */

/* Where to listen is an address: which of a name's would be anybody's guess. */
static int
set_bind(struct forward_spec *s, const char *text, const char *bind, struct hw_err *err)
{
	struct host h;

	if (strcmp(bind, "*") == 0) {
		strcpy(s->bind, "::");
		return 0;
	}
	if (host_parse(&h, bind, NULL) < 0)
		return wrong(err, text, "what it would listen on is no address");
	if (h.kind == HOST_IS_NAME && strcmp(h.text, "localhost") == 0)
		strcpy(h.text, BIND_DEFAULT);
	else if (h.kind != HOST_IS_ADDRESS)
		return wrong(err, text,
			"what it would listen on is an address, localhost, or * for all");
	strcpy(s->bind, h.text);
	return 0;
}

/* unix:5432 is a port of a host that is called so. */
static bool
is_socket(const char *far)
{
	size_t n = strlen(HOST_SOCKET);

	return far[0] == '/' || (strncmp(far, HOST_SOCKET, n) == 0 && !is_number(far + n));
}

static int
set_far(struct forward_spec *s, const char *text, const char *far, struct hw_err *err)
{
	char word[HOST_MAX + 1], socket[HOST_MAX + 1];
	const char *p = far;
	struct hw_err why = HW_ERR_INIT;

	if (is_socket(far)) {
		if (strlen(far) > HOST_MAX - strlen(HOST_SOCKET))
			return wrong(err, text, "the path is too long");
		snprintf(socket, sizeof(socket), "%s%.240s", far[0] == '/' ? HOST_SOCKET : "", far);
		s->port = 0;
		if (host_parse(&s->host, socket, &why) < 0)
			return wrong(err, text, hw_err_text(&why));
		return 0;
	}
	if (!take_word(word, &p) || p[0] == '\0')
		return wrong(err, text, "HOST:PORT is wanted, or unix:/path");
	if (strchr(p, ':') != NULL)
		return wrong(err, text, "an IPv6 address stands in brackets: [2001:db8::1]:5432");
	if (!read_port(&s->port, p, 1))
		return wrong(err, text, "the port to reach is a number from 1 to 65535");
	if (host_parse(&s->host, word, &why) < 0)
		return wrong(err, text, hw_err_text(&why));
	return 0;
}

static bool
is_path(const char *word)
{
	return word[0] == '/' || word[0] == '.';
}

/* [BIND:]PORT, and what is left. */
static int
take_near(struct forward_spec *s, const char *text, const char **p, struct hw_err *err)
{
	char word[HOST_MAX + 1];
	int r;

	if (!take_word(word, p))
		return wrong(err, text, "it is not [BIND:]PORT:HOST:HOSTPORT");
	if (is_path(word)) {
		if (strlen(word) > HOST_PATH_MAX)
			return wrong(err, text, "the path of the socket is too long");
		strcpy(s->bind, word);
		s->bind_is_path = true;
		return 0;
	}
	if (!is_number(word)) {
		if ((r = set_bind(s, text, word, err)) < 0)
			return r;
		if (!take_word(word, p))
			return wrong(err, text, "a port is missing");
	} else {
		strcpy(s->bind, BIND_DEFAULT);
	}
	if (!read_port(&s->bind_port, word, 0))
		return wrong(err, text, "the port to listen on is a number from 0 to 65535");
	return 0;
}

/* --- the forms -------------------------------------------------------------------------------- */

int
forward_spec_local(struct forward_spec *ret, const char *text, struct hw_err *err)
{
	struct forward_spec s = {.kind = FORWARD_TO};
	const char *p = text;
	int r = take_near(&s, text, &p, err);

	if (r == 0)
		r = set_far(&s, text, p, err);
	if (r == 0)
		*ret = s;
	return r;
}

int
forward_spec_socks(struct forward_spec *ret, const char *text, struct hw_err *err)
{
	struct forward_spec s = {.kind = FORWARD_SOCKS};
	const char *p = text;
	int r = take_near(&s, text, &p, err);

	if (r == 0 && (*p != '\0' || s.bind_is_path))
		r = wrong(err, text, "-D wants [BIND:]PORT");
	if (r == 0)
		*ret = s;
	return r;
}

int
forward_spec_stdio(struct forward_spec *ret, const char *text, struct hw_err *err)
{
	struct forward_spec s = {.kind = FORWARD_STDIO};
	int r = set_far(&s, text, text, err);

	if (r == 0)
		*ret = s;
	return r;
}

int
forward_spec_port(struct forward_spec *ret, const char *text, struct hw_err *err)
{
	struct forward_spec s = {.kind = FORWARD_TO, .bind = BIND_DEFAULT};

	if (!read_port(&s.bind_port, text, 1))
		return wrong(err, text, "a port is a number from 1 to 65535; see -L for more");
	s.port = s.bind_port;
	host_parse(&s.host, "localhost", NULL);
	*ret = s;
	return 0;
}

/* --- words again ------------------------------------------------------------------------------ */

static void
write_end(char out[FORWARD_SHOWN_MAX], const char *host, int port)
{
	if (port < 0)
		snprintf(out, FORWARD_SHOWN_MAX, "%s", host);
	else
		snprintf(out, FORWARD_SHOWN_MAX, strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d",
			host, port);
}

void
forward_spec_near(char out[FORWARD_SHOWN_MAX], const struct forward_spec *s)
{
	if (s->kind == FORWARD_STDIO)
		snprintf(out, FORWARD_SHOWN_MAX, "stdio");
	else
		write_end(out, s->bind, s->bind_is_path ? -1 : s->bind_port);
}

void
forward_spec_far(char out[FORWARD_SHOWN_MAX], const struct forward_spec *s)
{
	if (s->kind == FORWARD_SOCKS)
		snprintf(out, FORWARD_SHOWN_MAX, "socks5");
	else
		write_end(out, s->host.text, s->port == 0 ? -1 : s->port);
}
