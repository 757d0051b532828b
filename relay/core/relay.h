/*
 * A relay, without its sockets: what the edge hands connections and requests to, and what a test
 * drives on a fake clock. Loop thread only.
 */
#ifndef HAWSER_CORE_RELAY_H
#define HAWSER_CORE_RELAY_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/loop.h"
#include "proto/trust/cert.h"
#include "proto/wire/link.h"
#include "relay/core/config.h"
#include "relay/core/op.h"

struct relay;
struct journal_io;
struct sigv4;

struct recording_cursors;
struct relay_options {
	const char *dir;
	struct loop *loop;
	const struct log_ctx *log;
	bool threaded; /* false: workers, store, journal and archiver run inline: for tests */
	op_handler *const *handlers;	     /* OP_COUNT of them: services_handlers */
	struct recording_cursors *cursors;   /* the caller's, and outlives the relay; NULL: none */
	const struct journal_io *journal_io; /* NULL: the system's */
	const char *master_key;		     /* path; NULL: the configuration's */
	/* The socket of what runs anchor_command (core/anchors.h), the caller's; 0: none. */
	int anchor_command;
};

/* Makes a fleet in an empty (or missing) directory: CA, relay certificate, keys, configuration,
 * store, the user `admin`. `invite` is its invite. HW_EEXISTS when there is one already. */
#define RELAY_INVITE_LEN 64
struct relay_init_options {
	const char *dir;
	const char *name;	  /* NULL: relay */
	const char *listen;	  /* ADDR:PORT; NULL: the default */
	const char *advertise;	  /* HOST:PORT; NULL: the listening one */
	const char *master_key;	  /* NULL: DIR/master.key */
	const char *recovery_key; /* the file to make it in; NULL: DIR/recovery.key */
};
int relay_init(const struct relay_init_options *options, char invite[RELAY_INVITE_LEN + 1],
	char url[512], struct hw_err *err);

/* The hosts that the relay's own certificate is for: the advertised one, by which clients that know
 * no pin look for it, and the one that it listens on, unless that is each. How many; they point
 * into c and `room`. */
#define RELAY_HOSTS_MAX 2
size_t relay_hosts(const char *hosts[RELAY_HOSTS_MAX], char room[256],
	const struct relay_config *c);

/* Opens everything but sockets. */
int relay_open(struct relay **ret, const struct relay_options *options, struct hw_err *err);
/* Files that others may have moved away are opened anew (SIGHUP). */
void relay_reopen(struct relay *r);
/* Shows new connections the certificate that is on the disk now, or says why it goes on with the
 * old one. The edge's, which knows how. */
typedef int relay_certificate_fn(void *arg, bool *changed, int64_t *expires, struct hw_err *err);
void relay_on_reload(struct relay *r, relay_certificate_fn *take, void *arg);
void relay_close(struct relay *r); /* ends links and sessions in order, writes relay.stop */

const struct relay_config *relay_config(const struct relay *r);
const struct hw_clock *relay_clock(const struct relay *r);
struct ca *relay_ca(const struct relay *r);

/* --- links ------------------------------------------------------------------------------------ */

/* Whether the holder of a verified certificate may have a link now: it exists, is not revoked, its
 * certificate is not a clone's. `expired` is cert_verify's (a node within its grace). The refusal
 * is put into the ledger, unless there is only no room (HW_EFULL). Called before the WebSocket
 * upgrade is answered. */
int relay_admit(struct relay *r, const struct cert_identity *who, bool expired, const char *source,
	struct hw_err *err);

/* The admitted peer's connection is up: its link, to be fed by the transport. NULL without memory.
 */
struct link *relay_link(struct relay *r, const struct cert_identity *who, bool expired,
	const char *source, struct link_transport *transport);

/* To be called before the bytes of link_writable() are taken: makes sure that all that was recorded
 * for them is in the journal. False: it could not be, and nothing may be sent that carries a
 * session's bytes; link_writable() then has none. */
bool relay_before_write(struct relay *r);

/* --- HTTP ------------------------------------------------------------------------------------- */

/* An operation through a door of HTTPS, the ANON door (RegisterManagedInstance, Login). Calls done
 * once, from the loop, with the answer, which is gone when it returns; false when the queue is
 * full. The body is copied. The caller may forget it with relay_http_forget(arg). */
struct relay_answer {
	int status;	  /* HTTP's */
	const char *body; /* JSON; an error's is {"__type":...,"message":...} */
	size_t n;
	const char *request_id;
	int retry_after; /* seconds; 0: not said */
	bool known;	 /* of a signed request: it is a user's who may sign */
};
typedef void relay_http_fn(void *arg, const struct relay_answer *a);
bool relay_http(struct relay *r, const char *op, const char *source, const void *body, size_t n,
	relay_http_fn *done, void *arg);
/* The same for a signed request; the signature is taken over, also when this returns false. */
bool relay_signed(struct relay *r, const char *op, struct sigv4 *signature, const char *source,
	const void *body, size_t n, relay_http_fn *done, void *arg);
void relay_http_forget(struct relay *r, const void *arg);

/* --- the local door --------------------------------------------------------------------------- */

/* As relay_http(), for someone on this machine whom the edge has identified as root or as the
 * relay's own user, by that name. What is open to them is core/local.h's. */
bool relay_local(struct relay *r, const char *op, const char *name, const void *body, size_t n,
	relay_http_fn *done, void *arg);
/* The edge has turned away somebody else at the local door: an entry, unless there were too many.
 */
void relay_local_refused(struct relay *r, const char *name);
/* What the fleet's members dial: the advertised address and the authority's pin. */
int relay_url(const struct relay *r, char url[512], struct hw_err *err);

/* Prometheus text. */
void relay_metrics(struct relay *r, struct buf *out);
/* What the edge counts for the metrics. */
struct edge_stats {
	uint64_t accepted, refused_budget, refused_header, refused_certificate, handshakes_spared,
		handshake_timeouts, header_timeouts,
		http_requests, upgrades;
	uint64_t unauthenticated;    /* now */
	uint64_t seated;	     /* now: kept open for further signed requests */
	int64_t certificate_expires; /* of the one that is shown; 0: none is */
};
struct edge_stats *relay_edge_stats(struct relay *r);

/* What /healthz says: 200 "ok", or 503 and the reason (journal or archiver have failed). */
bool relay_healthy(const struct relay *r, const char **why);

#endif
