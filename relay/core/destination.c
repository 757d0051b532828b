#include "relay/core/destination.h"

#include <stdio.h>
#include <string.h>

#define PORT_MAX 65535

static const struct forward_document documents[] = {
	{DOCUMENT_NODE_LOCAL,			      false, false, 80},
	{"AWS-StartPortForwardingSessionToRemoteHost", true,  false, 80},
	{"AWS-StartSSHSession",			false, false, 22},
	{"Hawser-StartSocksSession",		     false, true,  0 },
};

const struct forward_document *
forward_document(const char *name)
{
	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
		if (strcmp(documents[i].name, name) == 0)
			return &documents[i];
	return NULL;
}

int
destination_set(struct destination *ret, const char *host, int64_t port, struct hw_err *err)
{
	struct destination d = {.port = (int)port};
	int r = host_parse(&d.host, host, err);

	if (r < 0)
		return r;
	if (d.host.kind == HOST_IS_SOCKET && port != 0)
		return hw_err_set(err, HW_EVALIDATION, "a Unix socket has no port");
	if (d.host.kind != HOST_IS_SOCKET && (port < 1 || port > PORT_MAX))
		return hw_err_set(err, HW_EVALIDATION, "a port is a number from 1 to %d", PORT_MAX);
	*ret = d;
	return 0;
}

/* --- parameters ------------------------------------------------------------------------------- */

struct values {
	const char *host, *port, *local_port;
};

/* Each is a list of one text. */
static int
take_value(struct values *v, const struct forward_document *doc, const struct msg_pair *p,
	struct hw_err *err)
{
	const char **to = strcmp(p->key, "host") == 0 && doc->takes_host ? &v->host
		: doc->open						 ? NULL
		: strcmp(p->key, "portNumber") == 0			 ? &v->port
		: strcmp(p->key, "localPortNumber") == 0		 ? &v->local_port
									 : NULL;

	if (to == NULL)
		return hw_err_set(err, HW_EPARAMETERS, "%s has no parameter \"%.100s\"", doc->name,
			p->key);
	if (p->values.n != 1 || *to != NULL)
		return hw_err_set(err, HW_EPARAMETERS, "%s: one value is wanted", p->key);
	*to = p->values.v[0];
	return 0;
}

int
destination_port(int64_t *ret, const char *name, const char *text, struct hw_err *err)
{
	size_t n = strlen(text);
	int64_t port = 0;

	for (size_t i = 0; i < n && i < 6; i++)
		port = 10 * port + (text[i] - '0');
	if (n == 0 || n > 5 || strspn(text, "0123456789") != n || port > PORT_MAX)
		return hw_err_set(err, HW_EPARAMETERS, "%s: \"%.20s\" is no port", name, text);
	*ret = port;
	return 0;
}

int
destination_read(struct destination *ret, const struct forward_document *doc,
	const struct msg_smap *parameters, struct hw_err *err)
{
	struct values v = {.host = NULL};
	struct hw_err why = HW_ERR_INIT;
	int64_t port = doc->port, unused;
	int r = 0;

	for (size_t i = 0; i < parameters->n && r == 0; i++)
		r = take_value(&v, doc, &parameters->v[i], err);
	if (r == 0 && v.local_port != NULL) /* the client's own business */
		r = destination_port(&unused, "localPortNumber", v.local_port, err);
	if (r == 0 && v.port != NULL)
		r = destination_port(&port, "portNumber", v.port, err);
	if (r < 0)
		return r;
	*ret = (struct destination){.port = 0};
	if (doc->open)
		return 0;
	if (doc->takes_host && v.host == NULL)
		return hw_err_set(err, HW_EPARAMETERS, "%s needs the parameter \"host\"",
			doc->name);
	if (v.port == NULL && v.host != NULL && strncmp(v.host, HOST_SOCKET, 5) == 0)
		port = 0;
	r = destination_set(ret, doc->takes_host ? v.host : "localhost", port, &why);
	return r < 0 ? hw_err_set(err, HW_EPARAMETERS, "%s", why.text) : 0;
}

/* --- words ------------------------------------------------------------------------------------ */

const char *
destination_judged(const struct destination *d)
{
	bool node = d->host.kind != HOST_IS_SOCKET && d->host.traits == HOST_LOCAL;

	return node ? "localhost" : d->host.judged;
}

void
destination_write(char out[DESTINATION_MAX], const struct destination *d)
{
	const char *host = d->host.text;

	if (d->port == 0)
		snprintf(out, DESTINATION_MAX, "%s", host);
	else
		snprintf(out, DESTINATION_MAX, strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d",
			host, d->port);
}
