/*
 * A session's struct, and what its files share: session_open.c (ticket, node, both ends joined),
 * session_splice.c (bytes on their way), session_resume.c (a side that is lost, and comes back),
 * session_end.c, and session.c (states, recording, the
 * sweep). Other terminals of a shell than its own: session_attach.c (tickets, and who presents
 * one), session_viewers.c, session_typists.c (whose turn it is to type), session_screen.c (what
 * they are shown first). And the broker's lists.
 */
#ifndef HAWSER_CORE_SESSION_PRIVATE_H
#define HAWSER_CORE_SESSION_PRIVATE_H

#include "proto/base/arena.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/schema/schema.h"
#include "proto/trust/secret.h"
#include "relay/core/broker_loop.h"
#include "relay/core/broker_private.h"
#include "relay/core/destination.h"
#include "relay/core/forward.h"
#include "relay/core/lane.h"
#include "relay/core/session.h"
#include "relay/core/session_attach.h"
#include "relay/core/session_idle.h"
#include "relay/core/session_screen.h"
#include "relay/core/session_viewers.h"
#include "relay/core/session_typists.h"
#include "relay/store/sessions.h"

#define SESSION_WINDOW (1024 * 1024) /* what the relay lets a stream have under way */

static inline uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

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
	struct session_owner owner;
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
	struct peer *user, *node;	 /* NULL while its link is lost */
	/* NULL while a side is lost, but a terminal's to_user, which is parked then. */
	struct channel *to_user, *to_node;
	struct channel *offer; /* its user's RESUME, which waits for the node */
	bool node_asked;       /* the node was asked to resume, and has not answered */
	bool asked_again;      /* for its user, who has less of the output than this process */
	uint64_t asked_from[STREAMS]; /* where it was asked to begin */
	int64_t user_lost, node_lost; /* monotonic; 0: not lost */
	char resume_token[TOKEN_LEN + 1], resume_hash[2 * SHA256_LEN + 1];
	struct session_tickets tickets;
	struct session_viewers viewers;
	struct session_typists typists; /* of its input */
	struct session_screen screen;
	bool taken_over;	    /* the offer begins anew, whatever was shown before */
	struct lane lanes[STREAMS]; /* STREAM_IN towards the node, the others towards the user */
	int64_t since;		    /* the node was asked, to open or to resume */
	int64_t decided;	    /* that it may be; monotonic */
	struct destination to;	    /* of a forward; empty where each connection says */
	struct forward *forward;    /* while it is live, when it is one */
	char run_as[65];	    /* as its user asked; "" for nobody by name */
	uint64_t echoed;	    /* input below it has its echo mark */
	uint64_t reached[STREAMS];  /* recorded so far */
	uint64_t taken;		    /* input that the node has consumed, by its own word */
	struct msg_control size;    /* of the terminal that took it up again */
	int cols, rows;		    /* of the program's; 0: not known */
	uint64_t bytes_in, bytes_out;
	int words;	  /* CONTROLs of the user since the last sweep */
	uint64_t skipped; /* output that a stalled terminal was not shown */
	bool passed_by;	  /* its node has no more of what an earlier process had shown */
	int64_t restored; /* monotonic, when an earlier process had begun it; 0: it is ours */
	bool started;	  /* its session.start is in the ledger */
	int64_t entry;	  /* the number of that, or of what denied it */
	bool recorded;	  /* and its start in the journal */
	bool skipping, frozen;
	int64_t away;	    /* wall clock, since when its user is not there */
	bool let_go;	    /* that was not a lost link */
	bool listed, waits; /* by the broker; among those that wait for the disk */
	bool is_noted;	    /* by presence.h */
	bool due;	    /* among those that are to be decided anew */
	int64_t frozen_at;
	struct session_idle idle;
	int64_t took_at;	 /* since its program has ended: its user took output; monotonic */
	uint64_t passed;	 /* and so much had gone on to it then */
	int64_t exited_at;	 /* its node told how the program ended; 0: not yet */
	int64_t told_at;	 /* and its user was; 0: it was not there */
	struct msg_close ending; /* how the program ended; texts in the arena */
	int end_code;		 /* and the session; set while redeeming: it was ended meanwhile */
	char details[1025];
	struct loop_task reap;
	UT_hash_handle hh; /* the broker's sessions, by id */
	TAILQ_ENTRY(session) redeeming, waiting, deciding, noted;
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

/* Whether its output goes to the recorder, and its user is shown it, or has to take it. */
bool session_has_recorder(const struct session *s);

/* --- session_resume.c ------------------------------------------------------------------------- */

extern const struct channel_events session_user_events, session_node_events;

/* A side that is lost is waited for. */
void session_lose_user(struct session *s, const char *why);
/* A shell's terminals are closed (HW_EDETACHED), those of viewers too, and it goes on without any.
 */
void session_detach(struct session *s, const char *why);
void session_lose_node(struct session *s);
/* Goes on, as far as both sides are there. */
void session_join(struct session *s);
void session_sweep_lost(struct session *s, int64_t now); /* may end it */
void session_on_user_park(void *arg, struct channel *ch, int code, const char *why);
void session_on_node_refusal(struct session *s, int code, const char *why);
void session_on_node_resume(void *arg, struct channel *ch, const struct msg_resume *answer);
/* Seconds that a lost side is waited for. */
int session_grace(const struct session *s);
/* Its user comes, at this link: with a RESUME that is looked into already. What is there of other
 * offers is told why it is none any more. */
void session_take_over(struct session *s, struct peer *user, struct channel *ch, int code,
	const char *why);
/* The size of the terminal that comes; 0 for none. */
void session_resize(struct session *s, int64_t cols, int64_t rows);
/* Its user waits, and has to be shown the screen before anything else. */
bool session_needs_screen(const struct session *s);
/* What the screen is, or NULL when nobody can tell, for the user who waits for that. */
void session_accept_shown(struct session *s, const struct session_shown *shown);
/* Somebody asked for what he may not have, which the ledger keeps; a link that goes on with that is
 * closed. The sentence is the same for all reasons. */
void session_refuse_resume(struct peer *user, struct channel *ch, const struct msg_resume *resume,
	const char *why);
/* One more was refused, which is an entry of the ledger. May close the link, and end sessions. */
void session_count_refusal(struct peer *user);

/* A terminal that was passed by has room again: it goes on with what comes now. */
void session_catch_up(struct session *s);
/* What is told of the program's end; and tells its user. */
struct msg_control session_exit(const struct session *s);
void session_tell_exit(struct session *s);

/* --- session_restore.c ------------------------------------------------------------------------ */

/* Lets go of it without ending it: an earlier or later process of the relay has it too. */
void session_abandon(struct session *s);

/* --- session_policy.c ------------------------------------------------------------------------- */

struct verdict;

/* Whether the user, at this address, may have the session that the row stands for. Any thread: the
 * session gives nothing but who it is of. HW_ENOMEM. */
int session_authorise(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_row *row, const char *run_as);
/* Where the row's session goes; empty for one that goes nowhere, or leaves it open. */
void session_destination(struct destination *ret, const struct session_row *row);

/* The same for its user, at another address or with another certificate. Loop thread. */
int session_authorise_from(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_owner *who);
/* Whether somebody may have a terminal of it. Loop thread. */
int session_authorise_terminal(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_owner *who, enum session_access access);

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

/* An entry of the ledger. */
void session_note_denied(struct session *s, const struct session_owner *who, const char *action,
	const char *resource, const char *why);

/* Decides a live session anew: one that is denied now ends, and so does each other terminal of it
 * under its own action. */
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
void session_on_node_control(void *arg, struct channel *ch, const struct msg_control *c);

/* The terminal's echo of input up to there, from the last mark on. */
int session_mark_echo(struct session *s, uint64_t consumed, int echo);

/* Its user says one more thing that no credit bounds. False when those were too many: the session
 * is over. */
bool session_allows_word(struct session *s);

/* Its node is there, and takes input and words. */
bool session_takes_input(const struct session *s);
/* A peer broke a bound, or there is no memory: it ends. */
void session_close_broken(struct session *s, int code, const char *what);

/* Offset up to which a terminal's output went on to it, or past it. */
uint64_t session_passed(const struct session *s, int stream);
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
/* Its program has ended, as `ending` says, and its user has all that it wrote. */
void session_finish_exited(struct session *s);
void session_free(struct session *s);

void session_on_user_close(void *arg, struct channel *ch, int code, const struct msg_close *close);
void session_on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close);

#endif
