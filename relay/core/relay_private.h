/* A relay's struct, for relay.c, admit.c, http.c, metrics.c and upkeep.c. */
#ifndef HAWSER_CORE_RELAY_PRIVATE_H
#define HAWSER_CORE_RELAY_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "proto/base/log.h"
#include "proto/trust/secret.h"
#include "relay/core/relay.h"
#include "relay/core/throttle.h"

struct anchors;
struct archiver;
struct dispatcher;
struct guard;
struct http_call;
struct journal;
struct ledger;
struct ledger_heads;
struct outputs;
struct reached;
struct readers;
struct registry;
struct search;
struct store;
struct uploads;
struct streams;
struct witnesses;
struct workers;

struct relay {
	struct log_ctx log;
	struct loop *loop;
	const struct hw_clock *clock;
	bool threaded, started;
	int dir, lock;
	char path[1024];
	struct relay_config config;
	struct secret_key master;
	struct ca *ca;
	struct registry *registry;
	struct authority *authority;
	bool principals_changed; /* since the last commit; the store's writer alone looks */
	struct journal *journal;
	struct ledger *ledger;
	struct ledger_heads *heads;
	struct anchors *anchors;
	struct archiver *archiver;
	struct reached *reached; /* how far the sessions that were left open are recorded */
	struct store *store;
	struct workers *workers;
	struct broker *broker;
	struct dispatcher *dispatcher;
	struct outputs *outputs;
	struct readers *readers;
	pthread_mutex_t uploads_lock;
	struct uploads *uploads; /* NULL: nothing goes elsewhere; under its lock for the archiver */
	struct search *search;
	struct streams *streams;
	struct op_env env;
	struct throttle strangers, refusals, alarms,
		guesses; /* what may go into the ledger of each */
	struct guard *guard;
	struct witnesses *witnesses;
	struct edge_stats edge;
	struct loop_timer tidy, sign;
	bool tidying, signing;
	bool tidy_on;	/* a worker's while it tidies: there is more to be done */
	int64_t tidied; /* monotonic, when that began last */
	/* A worker's while it tidies: how much the wall's clock was ahead of the other one, once it
	 * has looked, and since when it has not jumped. */
	bool clock_known;
	int64_t clock_ahead, clock_since;
	struct http_call *http;	  /* under way */
	_Atomic bool sync_posted; /* the loop will look what was synced */
	char archive_why[256];	  /* what stopped the archiver; "" while it runs */
	uint64_t shown_size;	  /* of the head that links are shown, and its time */
	int64_t shown_time;
	int64_t start_time;
	_Atomic int64_t drain_until;		/* by the wall clock; 0: it does not drain */
	relay_certificate_fn *take_certificate; /* NULL: nobody shows one */
	void *take_arg;
	char heads_why[256]; /* why heads cannot be signed; "" while they can */
};

/* init.c */
int relay_url_write(char url[512], const struct relay_config *c, const struct ca *ca,
	struct hw_err *err);

/* heads.c: after the journal and the ledger, before anything is appended; then, once there are
 * workers; and the last head, before the archiver goes. Heads are anchored with them. */
int heads_open(struct relay *r, const struct relay_options *o, struct hw_err *err);
int heads_anchor(struct relay *r, const struct relay_options *o, struct hw_err *err);
void heads_start(struct relay *r);
void heads_stop(struct relay *r);
void heads_last(struct relay *r);

/* upkeep.c */
int upkeep_take_up(struct relay *r, struct hw_err *err);
void upkeep_start(struct relay *r);
void upkeep_stop(struct relay *r);

#endif
