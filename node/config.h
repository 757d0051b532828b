/* A node's directory: the names of what lies there, and node.conf. */
#ifndef HAWSER_NODE_CONFIG_H
#define HAWSER_NODE_CONFIG_H

#include "proto/base/buf.h"
#include "proto/trust/https.h"
#include "proto/wire/proxy.h"

#define NODE_CONF	  "node.conf"
#define NODE_LOCK	  "lock"	 /* held by the one agent of the directory */
#define NODE_STATUS	  "status.sock"	 /* the running agent tells its status there */
#define NODE_RELAY_TIME	  "relay.time"	 /* what the relay's clock was when it last told */
#define NODE_PAM	  "hawser"	 /* the service that the package has */
#define NODE_DEREGISTERED "deregistered" /* since when the fleet does not know this node */

/* "key = value" lines; # starts a comment. */
struct node_config {
	struct relay_url relay; /* with the pin of its CA */
	char name[257];
	char run_as[65];	 /* whom sessions run as when a policy names nobody */
	char command_run_as[65]; /* and commands; "root" when node.conf says nothing */
	char agent_user[65];	 /* whom the uplink runs as */
	char pam[65];		 /* the service of PAM's that these go through first; empty: none */
	char reboot_command[257]; /* restarts the machine for a step that asks for it; may be empty
				   */
	/* Bounds for commands: how many run at once, how many are held, and bytes kept of the
	 * output of one. 0: what commands.h has. */
	int64_t commands_running, commands_held, command_output;
	int64_t commands_spool; /* and of all that the relay has not taken */
	/* What aws:downloadContent goes by: where commands have their own directories, a file of
	 * authorities, a proxy, a host of S3 that is none of Amazon's; each may be empty. And how
	 * large what it gets may be; 0: as commands.h has it. */
	char commands_work[257], download_ca[257], download_proxy[257];
	char download_s3_host[257];
	int64_t download_max;
	/* What it does when the relay's ledger is not what it was: "report", or "refuse" what is
	 * new as well. */
	char witness[8];
	char log_format[8]; /* of the network process's log: "text", "logfmt" or "json" */
	/* The HTTP proxy on the way to the relay, as proxy_parse() takes it; may be empty. A secret
	 * when it has a login. */
	char proxy[PROXY_TEXT_MAX];
	char id[24]; /* of the node; from its certificate, not from node.conf */
};

/* Of an open directory. HW_ENOTFOUND when the machine has not joined; HW_EVALIDATION names the
 * line. */
int node_config_load(struct node_config *ret, int dir, struct hw_err *err);

/* After HW_ENOTFOUND: what is missing in the directory of that path, and what to do. HW_EREVOKED
 * when the node was deregistered, else HW_ENOTFOUND. */
int node_config_explain(int dir, const char *path, struct hw_err *err);

/* Of the file's text: id is not set. */
int node_config_parse(struct node_config *ret, const char *text, struct hw_err *err);

/* What a machine has where nobody has said anything yet: NODE_PAM where that is installed. */
void node_config_pam(struct node_config *c);

/* Takes a proxy, or "none"; HW_EVALIDATION. */
int node_config_set_proxy(struct node_config *c, const char *value, struct hw_err *err);

int node_config_save(int dir, const struct node_config *c, struct hw_err *err);

/* Appends the rows of a Markdown table: each setting, what it is and its default. */
void node_config_document(struct buf *out);

#endif
