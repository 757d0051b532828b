/*
 * The broker: which nodes and users have a link now, and the live sessions between them. It lives
 * on the loop; what is declared here is for services on worker threads, and safe there.
 */
#ifndef HAWSER_CORE_BROKER_H
#define HAWSER_CORE_BROKER_H

#include <stdbool.h>
#include <stdint.h>

struct broker;

/* Whether the node has a link, and when it was last heard (microseconds since 1970; 0: never since
 * this start). */
bool broker_node_online(struct broker *b, const char *node_id, int64_t *last_seen);
/* Live sessions on a node. */
int broker_node_sessions(struct broker *b, const char *node_id);
int broker_nodes_online(struct broker *b);
int broker_sessions(struct broker *b);

/* Ends a live session soon; `why` is what its user and its record are told. False when it is not
 * live; one whose ticket is just being redeemed is not yet, and is ended all the same. */
bool broker_end_session(struct broker *b, const char *session_id, int code, const char *why);

/* What somebody may do with a live shell: have it, see it, or see it and type into it. */
enum session_access { ACCESS_OWNER, ACCESS_WATCH, ACCESS_JOIN };

/* A ticket for it, that counts once within the time, for this user; what a RESUME presents is known
 * by its hash, in hex. False when the session is not live. */
bool broker_give_ticket(struct broker *b, const char *session_id, enum session_access access,
	const char *user, const char *hash, int64_t usec);

#endif
