/* A relay's settings: DIR/relay.conf, "key = value" lines; every key is a row of one table
 * (config.c). */
#ifndef HAWSER_CORE_CONFIG_H
#define HAWSER_CORE_CONFIG_H

#include <stdbool.h>

#include "proto/base/err.h"

enum durability { DURABILITY_WRITE, DURABILITY_SYNC };

struct relay_config {
	char name[65];	       /* the relay's id in HELLO, ledger and its certificate */
	char listen_host[256]; /* address to bind; "" is any */
	int listen_port;
	char advertise[300]; /* host:port that nodes and users dial; in URLs */
	char metrics_host[256];
	int metrics_port; /* 0: off */
	char region[64], account[32];
	enum durability durability;
	char master_key[1024]; /* path; relative to DIR */
	int workers;
	int ticket_seconds;
	int user_certificate_hours;
	int grace_seconds;		      /* frozen sessions end after it */
	int resume_seconds, detached_seconds; /* a lost side is waited for: of a shell the latter */
	int idle_seconds, max_session_seconds; /* 0: no limit */
	int max_unauthenticated,
		max_handshakes; /* admission: connections, and TLS handshakes a turn */
	int header_timeout_seconds;
	int login_failures;		     /* of a source, until it must wait */
	int signature_seconds;		     /* how far the clock of who signs may be off */
	int max_signed, signed_idle_seconds; /* connections of signed requests that are kept */
	int max_links, max_links_per_user;
	int max_sessions, max_sessions_per_user, max_sessions_per_node;
	int max_commands; /* that have not ended */
	int command_output_mib; /* of each node's part of a command; the rest is counted */
	int command_days;	/* until a command that has ended is forgotten */
	int command_outputs_mib; /* of all commands; the oldest that has ended goes first */
};

void relay_config_default(struct relay_config *c);
int relay_config_load(struct relay_config *c, int dir, struct hw_err *err);
/* A commented file with every key. */
int relay_config_save(const struct relay_config *c, int dir, struct hw_err *err);

#endif
