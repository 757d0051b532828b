/*
 * One run of the hawser command: its settings, and what commands need of them, each made when it is
 * first asked for. A command that never connects never loads a key.
 */
#ifndef HAWSER_CLIENT_CLIENT_H
#define HAWSER_CLIENT_CLIENT_H

#include "client/command.h"
#include "client/conn.h"
#include "client/home.h"
#include "client/output.h"

struct dialer;
struct lookout;
struct proxy;
struct renewal;

struct client {
	struct log_sink sink;
	struct log_ctx log;
	struct arena *arena; /* lives as long as the client */

	const char *home_dir; /* --home */
	const char *proxy;    /* --proxy; NULL: the environment says */
	int64_t timeout;
	bool color;
	enum output_format format;
	bool wary, quiet; /* of the ledger: see lookout.h */

	struct home home;
	struct loop *loop;
	struct dialer *dialer;
	struct conn *conn;
	struct renewal *renewal;
	struct lookout *lookout; /* NULL: not connected, or no place to keep a head */

	char hint[200];	 /* the next command to try, after an error */
	int exit_status; /* of a failure, where it is not the command's usual one */
};

#define CLIENT_ARENA_MAX (512u << 20)
#define CLIENT_TIMEOUT	 (30 * USEC_PER_SEC)

int client_init(struct client *c, struct hw_err *err);
/* Takes --home, --timeout, --proxy, --no-color and -o from the command line. */
int client_configure(struct client *c, const struct input *in, struct hw_err *err);
/* Renews the certificate if that is due, then ends the connection. */
void client_fini(struct client *c);

/* Each makes it at the first call. The home is that of somebody who is logged in: HW_EUNAUTH. */
int client_home(struct client *c, struct hw_err *err);
int client_loop(struct client *c, struct hw_err *err);
int client_connect(struct client *c, struct hw_err *err);
/* What time it is: by the relay's clock once it has told, else by this machine's. Ages, and spans
 * that people name, go by it. */
int64_t client_now(const struct client *c);
/* The same, of the relay: connects. */
int client_relay_now(int64_t *ret, struct client *c, struct hw_err *err);

/* The way to host:port: ret->host is "" when no proxy is on it. HW_EUSAGE. */
int client_proxy(struct proxy *ret, const struct client *c, const char *host, int port,
	struct hw_err *err);

/* conn_call() on the client's connection and arena. */
int client_call(void *ret, struct client *c, enum op_id op, const void *request,
	struct hw_err *err);

/* The same once for each name, which goes into *member, a text of the request. Stops at the first
 * failure and says how many were done before it. */
int client_call_each(struct client *c, enum op_id op, const void *request, const char **member,
	const char *const *names, size_t n, struct hw_err *err);

/* The hint for a call that failed with this code, unless there is one: client_call() gives it. */
void client_hint_call(struct client *c, int code);

/* Says on stderr what to try, if the command fails. */
void client_hint(struct client *c, const char *fmt, ...) HW_PRINTF(2, 3);

/* "hawser: text" on stderr, whatever bytes the text holds. */
void client_say(const struct client *c, const char *fmt, ...) HW_PRINTF(2, 3);

#endif
