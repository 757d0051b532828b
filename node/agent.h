/*
 * The agent's core: keeps one link to the relay, for ever, and gives each OPEN of the relay a
 * session. It knows neither TLS nor processes: links come from a dialer, programs from struct
 * programs.
 *
 * Loop thread only.
 */
#ifndef HAWSER_NODE_AGENT_H
#define HAWSER_NODE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/log.h"

struct agent;
struct arena;
struct commands;
struct link;
struct link_limits;
struct link_transport;
struct loop;
struct msg_update_instance_information_request;
struct programs;
struct roster;
struct watch;

struct agent_config {
	struct loop *loop;
	const struct log_ctx *log;
	const char *node_id; /* texts outlive the agent */
	const char *boot_id; /* may be NULL */
	const char *dir;     /* the node's own, which no forward reaches into */
	struct programs *programs;
	struct roster *roster;	    /* NULL: no session outlives the agent */
	struct commands *commands;  /* outlives the agent; NULL: it runs none */
	struct watch *watch;	    /* likewise; NULL: it witnesses nothing */
	struct link_limits *limits; /* may be NULL */

	/* Starts to connect; agent_connected() or agent_dial_failed() follows, not from inside. */
	void (*dial)(void *arg);
	void (*cancel)(void *arg); /* gives that up */
	/* Fills in what the node says of itself, in the arena. NULL: it says nothing. */
	void (*facts)(void *arg, struct arena *a,
		struct msg_update_instance_information_request *f);

	/* Any of these may be NULL. */
	void (*on_up)(void *arg, struct link *l);
	void (*on_down)(void *arg);
	void (*on_peer_time)(void *arg, int64_t wall);
	void (*on_renew)(void *arg, struct link *l); /* the relay asks for a renewal */
	void (*on_revoked)(void
			*arg); /* this node is none any more; the agent does not dial again */
	void *arg;
};

struct agent *agent_new(const struct agent_config *config); /* NULL without memory */
void agent_free(struct agent *a); /* ends its link and sessions; NULL is fine */

/* Takes over what an earlier agent left, then dials, and again whenever there is no link. */
void agent_start(struct agent *a);
/* Ends link and sessions, which are told why, and dials no more. */
void agent_stop(struct agent *a, const char *why);
/* Ends the link, and what cannot be without an agent; the rest is left to the next one. */
void agent_leave(struct agent *a, const char *why);
/* Ends the link, to dial again as after any other end; sessions go on. */
void agent_redial(struct agent *a, const char *why);

/* From the dialer. */
struct link *agent_connected(struct agent *a, struct link_transport *t);
void agent_dial_failed(struct agent *a, int code, const char *why);

enum agent_state { AGENT_STOPPED, AGENT_DIALLING, AGENT_WAITING, AGENT_CONNECTED, AGENT_REVOKED };

struct agent_status {
	enum agent_state state;
	int64_t since;	   /* wall */
	int64_t next_dial; /* wall; while WAITING */
	int sessions;
	unsigned attempts; /* dials since the last link */
	const char *error; /* why there is no link, or was none; may be empty */
};
void agent_status(const struct agent *a, struct agent_status *ret);

#endif
