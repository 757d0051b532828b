/* A relay's settings: DIR/relay.conf, "key = value" lines; every key is a row of one table
 * (config.c). */
#ifndef HAWSER_CORE_CONFIG_H
#define HAWSER_CORE_CONFIG_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/log.h"

#define PROXY_PROTOCOL_MAX 64 /* networks that proxy_protocol_from has */

enum durability { DURABILITY_WRITE, DURABILITY_SYNC };

/* What is atomic is looked up anew each time that it counts, and a reload changes it. Everything
 * else is in some place already by which the relay lives. */
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
	_Atomic int ticket_seconds;
	_Atomic int user_certificate_hours;
	int reserve_mib; /* of the disk, for the end of what is under way when it is full */
	_Atomic int grace_seconds; /* frozen sessions end after it */
	/* A lost side is waited for: of a shell the latter. */
	_Atomic int resume_seconds, detached_seconds;
	_Atomic int idle_seconds, max_session_seconds; /* 0: no limit */
	int max_unauthenticated,
		max_handshakes; /* admission: connections, and TLS handshakes a turn */
	int header_timeout_seconds;
	char proxy_protocol_from[1024];	     /* networks; "": nobody */
	int login_failures;		     /* of a source, until it must wait */
	_Atomic int signature_seconds;	     /* how far the clock of who signs may be off */
	int max_signed, signed_idle_seconds; /* connections of signed requests that are kept */
	int max_links;
	_Atomic int max_links_per_user;
	_Atomic int max_sessions, max_sessions_per_user, max_sessions_per_node;
	_Atomic int max_commands;	/* that have not ended */
	_Atomic int command_output_mib; /* of each node's part of a command; the rest is counted */
	_Atomic int command_days;	/* until a command that has ended is forgotten */
	_Atomic int recording_days, recording_mib; /* until recordings are deleted; 0: never */
	_Atomic int command_outputs_mib; /* of all commands; the oldest that has ended goes first */
	_Atomic int max_signed_per_key;	 /* requests under way that one key has signed */
	/* Where output goes that is to go elsewhere; an empty endpoint is nowhere. */
	char s3_endpoint[301], s3_region[21], s3_access_key_id[129];
	char s3_secret_file[1024], s3_ca_file[1024]; /* relative to DIR; no CA file: the system's */
	int s3_path_style, s3_part_mib, s3_timeout_seconds;
	int s3_retry_seconds; /* until an upload that does not work is given up */
	/* Where recordings go once they are complete; no bucket: nowhere. */
	char recording_s3_bucket[64], recording_s3_prefix[501];
	_Atomic int recording_s3_first; /* what is not there yet is never deleted */
	/* Where entries of the ledger go as they come; "": nowhere. */
	char stream_file[1024], stream_syslog[264];
	char stream_syslog_ca[1024], stream_syslog_cert[1024], stream_syslog_key[1024];
	/* Where heads of the ledger are kept outside; "": nowhere. */
	char anchor_file[1024], anchor_command[1024];
	int anchor_seconds, anchor_command_seconds;
	enum log_format log_format;
};

void relay_config_default(struct relay_config *c);
int relay_config_load(struct relay_config *c, int dir, struct hw_err *err);
/* Of settings that differ: those that the relay lives by from now on, and those that it takes at
 * its next start. Their names are constants. */
#define RELAY_CONFIG_KEYS 100
struct config_changes {
	const char *changed[RELAY_CONFIG_KEYS], *restart[RELAY_CONFIG_KEYS];
	size_t n_changed, n_restart;
};
void relay_config_apply(struct config_changes *ret, struct relay_config *to,
	const struct relay_config *from);
/* A commented file with every key. */
int relay_config_save(const struct relay_config *c, int dir, struct hw_err *err);

/* Appends the rows of a Markdown table: each setting, what it is, its bounds and default. */
void relay_config_document(struct buf *out);

#endif
