/*
 * The real cores of agent and client around a world's relay: a node has its certificate in a
 * directory of its own and programs that are scripts (fake_programs.h); a user has the connection
 * and the remote programs of the hawser command. What stands in for TLS here admits and refuses as
 * the relay's edge and ws_client do.
 */
#ifndef HAWSER_TESTS_WORLD_FLEET_H
#define HAWSER_TESTS_WORLD_FLEET_H

#include "client/conn.h"
#include "client/forward.h"
#include "client/remote.h"
#include "node/agent.h"
#include "node/commands/commands.h"
#include "node/credentials.h"
#include "node/roster.h"
#include "node/watch.h"
#include "tests/world/fake_programs.h"
#include "tests/world/world.h"

#define FLEET_LINES 8

/* Connections, the newest last. The latest old ones stay, so that an end that has not heard of the
 * other's death goes on. */
struct fleet_lines {
	struct pair *v[FLEET_LINES]; /* PAIR_A is the relay's end */
	size_t n;
};
struct pair *fleet_line(const struct fleet_lines *lines);

struct fleet_node {
	struct world *world;
	char dir[64];
	int fd;
	char id[24];
	struct fake_programs *programs;
	struct credentials *credentials;
	struct roster *roster;
	struct agent *agent; /* NULL while the machine is off */
	struct commands *commands;
	struct watch *watch;
	bool refuses;	   /* what is new, once its relay's ledger is not what it was */
	struct link *link; /* NULL while it is down */
	struct fleet_lines lines;
	bool expired;	  /* its newest link is for renewal alone */
	bool unreachable; /* dials fail */
	const char *kernel;
	int dials, ups, downs, renewals;
	char down_why[256]; /* of the last link that went */
	bool revoked;
};

struct fleet_user {
	struct world *world;
	struct world_peer *login; /* its certificate; the link is conn's */
	struct conn *conn;
	struct fleet_lines lines;
	bool unreachable; /* nobody listens where it dials */
	int programs;	  /* that are not freed yet */
};

/* Through the doors, with a real key. The node is off, the user connected. */
struct fleet_user *fleet_user_new(struct world *w, const char *invite);
void fleet_user_free(struct fleet_user *u);
struct fleet_node *fleet_node_new(struct fleet_user *admin, const char *name);
void fleet_node_free(struct fleet_node *n);

/* The machine starts, dials, and settles. */
void fleet_node_on(struct fleet_node *n);
/* It loses its power: nobody is told. */
void fleet_node_off(struct fleet_node *n);
/* Its agent is replaced by another, as for an upgrade; what it holds goes on. */
void fleet_node_restart(struct fleet_node *n);
enum agent_state fleet_node_state(const struct fleet_node *n);
const char *fleet_node_error(const struct fleet_node *n);

/* In the place of the connection that it has, whose programs are freed before. */
int fleet_user_connect(struct fleet_user *u, struct hw_err *err);
void fleet_user_off(struct fleet_user *u); /* until it connects again; it has no programs */
/* Gets a new certificate, and connects with it. */
void fleet_user_renew(struct fleet_user *u);
/* An operation that must succeed; the reply is in the world's arena. */
void fleet_call(struct fleet_user *u, enum op_id op, void *ret, const void *request);

/* What a user sees of one program. */
struct fleet_program {
	struct fleet_user *user;
	struct remote *remote;
	char session[128];
	struct buf out[STREAMS];
	bool held; /* by its connection: not ended */
	bool over;
	struct remote_exit exit;
	char why[512]; /* exit.message */
};
int fleet_start(struct fleet_program **ret, struct fleet_user *u, const struct fleet_node *n,
	int type, const char *command, struct hw_err *err);
struct fleet_program *fleet_shell(struct fleet_user *u, const struct fleet_node *n);
struct fleet_program *fleet_exec(struct fleet_user *u, const struct fleet_node *n,
	const char *command);
/* Lets go of it: it ends, if it still runs, and what it showed can be looked at. */
void fleet_program_end(struct fleet_program *p);
void fleet_program_free(struct fleet_program *p); /* ends it, if it still runs */
void fleet_type(struct fleet_program *p, const char *text);
const char *fleet_shown(struct fleet_program *p, int stream);

/* A session's recording, what was rewound left out. Bytes that the recording does not show are
 * zeros, and all that there ever were are counted. */
struct fleet_record {
	struct buf bytes[STREAMS];
	size_t hidden, rewinds;
	int cols, rows; /* the last size that it notes */
	bool complete;
};
struct fleet_record fleet_record_read(struct fleet_user *u, const char *session);
void fleet_record_fini(struct fleet_record *r);

/* A forward between two Unix sockets: of the machine of the user, and of the node's. */
struct fleet_forward {
	struct fleet_user *user;
	struct forwarder *forwarder;
	char dir[64], near[96];
	int far; /* listens */
	bool over;
	char why[512]; /* of the end that nobody asked for */
	int failed;    /* connections that came to nothing, or broke */
	char failure[512];
	int waiting; /* the code of on_waiting; 0 when it is not */
};
struct fleet_forward *fleet_forward_new(struct fleet_user *u, const struct fleet_node *n);
void fleet_forward_free(struct fleet_forward *f);
/* One connection through it; both ends are the caller's, non-blocking. */
void fleet_forward_connect(int *near, int *far, struct fleet_forward *f);

/* Waits up to `usec`, and says how long it took until *done; fails the test if it did not come. */
int64_t fleet_wait(struct world *w, bool (*done)(const void *of), const void *of, int64_t usec);

/* Nothing is left anywhere of sessions: neither channels nor programs, live or in the books. `n`
 * and `u` may be NULL. */
void fleet_check_idle(struct fleet_user *u, const struct fleet_node *n);

#endif
