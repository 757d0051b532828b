#include "client/dial.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "proto/base/file.h"
#include "proto/trust/build_time.h"
#include "proto/trust/cert.h"
#include "proto/trust/https.h"
#include "proto/wire/proxy.h"
#include "proto/wire/ws_client.h"

struct dialer {
	struct ws_client *ws;
	struct ws_dial *dial; /* under way */
	struct relay_url url;
	struct home *home;
	struct conn *conn;
	bool dialled; /* before */
};

static struct link *
on_connected(void *arg, struct link_transport *transport)
{
	struct dialer *d = arg;

	d->dial = NULL;
	return conn_connected(d->conn, transport);
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct dialer *d = arg;
	struct hw_err err = HW_ERR_INIT;

	d->dial = NULL;
	hw_err_set(&err, code, "%s", why);
	hw_err_prefix(&err, "no connection to the relay");
	conn_failed(d->conn, code, err.text);
}

static const struct ws_dial_events dial_events = {
	.on_connected = on_connected,
	.on_failed = on_failed,
};

/* A clock that is behind the program itself is wrong for sure. */
static int64_t
judging_time(void *arg)
{
	(void)arg;
	return build_time_or_later(&hw_clock_system);
}

/* Kept after the URL that names it, which stays right for a login when the old one is over. What
 * cannot be kept now comes again with the next command. */
static void
on_successor(void *arg, X509 *root)
{
	struct dialer *d = arg;
	int dir = -1;

	cert_pin(d->url.pin, root);
	if (relay_url_format(d->home->relay, sizeof(d->home->relay), &d->url) == 0 &&
		home_save(d->home, NULL) == 0 && home_open(&dir, d->home, false, NULL) == 0 &&
		cert_keep(dir, HOME_CA, root, NULL) == 0)
		ws_client_reload(d->ws, NULL);
	fd_close(dir);
}

int
dialer_new(struct dialer **ret, struct client *c, struct hw_err *err)
{
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	struct proxy proxy;
	struct ws_client_config config = {.loop = c->loop,
		.log = &c->log,
		.ca_file = ca,
		.cert_file = cert,
		.key_file = key,
		.proxy = &proxy,
		.now = judging_time,
		.on_successor = on_successor};
	struct dialer *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	config.arg = d;
	d->home = &c->home;
	home_file(ca, &c->home, HOME_CA);
	home_file(cert, &c->home, HOME_CERT);
	home_file(key, &c->home, HOME_KEY);
	if ((r = relay_url_parse(&d->url, c->home.relay, err)) < 0 ||
		(r = client_proxy(&proxy, c, d->url.host, d->url.port, err)) < 0 ||
		(r = ws_client_new(&d->ws, &config, err)) < 0) {
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void
dialer_free(struct dialer *d)
{
	if (d == NULL)
		return;
	if (d->dial != NULL)
		ws_dial_cancel(d->dial);
	ws_client_free(d->ws);
	free(d);
}

int
dialer_dial(void *arg, struct conn *c, struct hw_err *err)
{
	struct dialer *d = arg;

	/* It may have been renewed since, by us or by another hawser. Without a new one the old one
	 * may still do. */
	if (d->dialled)
		ws_client_reload(d->ws, NULL);
	d->dialled = true;
	d->conn = c;
	return ws_dial(&d->dial, d->ws, d->url.host, d->url.port, &dial_events, d, err);
}
