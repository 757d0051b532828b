/* A relay's struct, for relay.c, http.c and metrics.c. */
#ifndef HAWSER_CORE_RELAY_PRIVATE_H
#define HAWSER_CORE_RELAY_PRIVATE_H

#include "proto/base/log.h"
#include "proto/trust/secret.h"
#include "relay/core/relay.h"

struct archiver;
struct http_call;
struct journal;
struct ledger;
struct registry;
struct store;
struct workers;

struct relay {
	struct log_ctx log;
	struct loop *loop;
	const struct hw_clock *clock;
	bool threaded;
	int dir, lock;
	char path[1024];
	struct relay_config config;
	struct secret_key master;
	struct ca *ca;
	struct registry *registry;
	struct journal *journal;
	struct ledger *ledger;
	struct archiver *archiver;
	struct store *store;
	struct workers *workers;
	struct broker *broker;
	struct op_env env;
	struct edge_stats edge;
	struct loop_timer tidy;
	bool tidying;
	struct http_call *http; /* under way */
};

#endif
