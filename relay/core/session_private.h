/*
 * A session's struct, and what its files share: session_open.c (ticket, node, both ends joined),
 * session_splice.c (bytes on their way), session_end.c, and session.c (states, recording, the
 * sweep). And the broker's lists.
 */
#ifndef HAWSER_CORE_SESSION_PRIVATE_H
#define HAWSER_CORE_SESSION_PRIVATE_H

#include "proto/base/arena.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/schema/schema.h"
#include "relay/core/broker_loop.h"
#include "relay/core/broker_private.h"
#include "relay/core/destination.h"
#include "relay/core/forward.h"
#include "relay/core/lane.h"
#include "relay/core/session.h"
#include "relay/store/sessions.h"

#define SESSION_WINDOW (1024 * 1024) /* what the relay lets a stream have under way */

enum session_state {
	SESSION_REDEEMING, /* its ticket is with a worker */
	SESSION_OPENING,   /* the node was asked */
	SESSION_LIVE,
	SESSION_DRAINING, /* the program ended; its user still gets what it wrote */
	SESSION_OVER,	  /* waits for the end of the turn */
};

struct session {
	struct log_ctx log;
	struct broker *broker;
	struct arena *arena; /* what lives as long as the session */
	enum session_state state;
	char id[ID_SESSION_MAX + 1]; /* as its user says, until the ticket is redeemed */
	uint64_t number;	     /* in the journal */
	const struct channel_row *kind;
	struct session_row *row;	 /* from the store; NULL while redeeming */
	const struct msg_open *asked;	 /* the user's OPEN */
	char ticket[2 * SHA256_LEN + 1]; /* hash */
	struct hw_err redeemed;		 /* the worker's result */
	char denied_on[512];		 /* and what was denied; "" when nothing was */
	struct peer *user, *node;
	struct channel *to_user, *to_node;
	struct lane lanes[STREAMS]; /* STREAM_IN towards the node, the others towards the user */
	int64_t since;		    /* the node was asked */
	int64_t decided;	    /* that it may be; monotonic */
	struct destination to;	    /* of a forward; empty where each connection says */
	struct forward *forward;    /* while it is live, when it is one */
	char run_as[65];	    /* as its user asked; "" for nobody by name */
	uint64_t echoed;	    /* input below it has its echo mark */
	uint64_t bytes_in, bytes_out;
	int words;	  /* CONTROLs of the user since the last sweep */
	uint64_t skipped; /* output that a stalled terminal was not shown */
	bool started;	  /* its session.start is in the ledger */
	bool recorded;	  /* and its start in the journal */
	bool skipping, frozen;
	bool listed, waits; /* by the broker; among those that wait for the disk */
	bool due;	    /* among those that are to be decided anew */
	int64_t frozen_at;
	struct msg_close ending; /* how the program ended; texts in the arena */
	int end_code;		 /* and the session; set while redeeming: it was ended meanwhile */
	char details[1025];
	struct loop_task reap;
	UT_hash_handle hh; /* the broker's sessions, by id */
	TAILQ_ENTRY(session) redeeming, waiting, deciding;
	LIST_ENTRY(session) of_user, of_node;
};

/* --- session.c -------------------------------------------------------------------------------- */

void session_to(struct session *s, enum session_state state); /* the one setter */
int64_t session_now(const struct session *s);		      /* monotonic */

/* Appends to the journal, for a kind that is recorded. When that fails the whole broker freezes,
 * this session with it: HW_ERECORD. */
int session_record(struct session *s, const struct journal_record *what, jpos *end);
int session_record_message(struct session *s, enum journal_type type, const struct msg_row *row,
	const void *msg, jpos *end);

/* A line for the person at the terminal, and for the recording. */
void session_notice(struct session *s, const char *text);

/* --- session_policy.c ------------------------------------------------------------------------- */

struct verdict;

/* Whether the user, at this address, may have the session that the row stands for. Any thread: the
 * session gives nothing but who it is of. HW_ENOMEM. */
int session_authorise(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_row *row, const char *run_as);
/* Where the row's session goes; empty for one that goes nowhere, or leaves it open. */
void session_destination(struct destination *ret, const struct session_row *row);

/* The same for a connection of a forward, which goes there. Loop thread. */
int session_authorise_to(struct verdict *ret, char resource[512], const struct session *s,
	const struct destination *to);

/* What the node may connect to for this destination, whose name may yet stand for the node itself.
 */
struct reach {
	bool local;  /* the node */
	bool beyond; /* others */
	bool named;  /* this very address, which nobody comes upon by chance */
};
/* HW_ENOMEM. */
int session_reach(struct reach *ret, const struct session *s, const struct destination *to);

/* Decides a live session anew: one that is denied now ends. */
void session_decide(struct session *s);

/* --- session_splice.c ------------------------------------------------------------------------- */

void session_on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset,
	const uint8_t *p, size_t n);
void session_on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset);
void session_on_user_control(void *arg, struct channel *ch, const struct msg_control *c);
void session_on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed,
	uint64_t limit, int echo);
void session_on_user_drained(void *arg, struct channel *ch, int stream);

void session_on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset,
	const uint8_t *p, size_t n);
void session_on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset);
void session_on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed,
	uint64_t limit, int echo);
void session_on_node_drained(void *arg, struct channel *ch, int stream);

/* All that the program wrote is on its way to the user. */
bool session_drained(const struct session *s);
/* A terminal that has taken nothing for some seconds is passed by. */
void session_pass_stalled(struct session *s, int64_t now);
/* Tells what it was not shown, if anything. */
void session_end_skipping(struct session *s);
/* Forgets what is queued in either direction. */
void session_discard(struct session *s);

/* --- session_end.c ---------------------------------------------------------------------------- */

/* For a session that no worker holds. Once it returns, the session is over. */
void session_conclude(struct session *s, int code, const char *why);
/* An OPEN that comes to nothing. */
void session_refuse(struct session *s, int code, const char *why);
/* The program is gone and its output delivered. */
void session_finish_drained(struct session *s);
void session_free(struct session *s);

void session_on_user_close(void *arg, struct channel *ch, int code, const struct msg_close *close);
void session_on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close);

#endif
