/*
 * Sessions: live ones, past ones, and the tickets that open them. All functions run inside
 * store_read() or store_write().
 *
 * A session is live from StartSession until it has ended: Connecting, Connected, Disconnected,
 * Terminating. The first end counts, and nothing brings an ended session back.
 */
#ifndef HAWSER_STORE_SESSIONS_H
#define HAWSER_STORE_SESSIONS_H

#include "proto/schema/schema.h"
#include "relay/store/db.h"

struct session_row {
	char id[96 + 1];
	int type;	     /* CHANNEL_TYPE_* */
	char principal[129]; /* the user's name */
	char owner_arn[257];
	char node_id[21];
	char node_name[257];
	char run_as[65]; /* "" is the node's default */
	char document[129];
	bool document_named;   /* by whoever started it: policies tell that from the default */
	char remote_host[256]; /* of a forward: where to, as host_parse() writes it; "" leaves it to
				  each connection */
	int remote_port;
	const char *command; /* of whoever filled the row in; what is read is in the arena. NULL: a
				login shell */
	char reason[257];
	int status; /* SESSION_STATUS_* */
	int64_t start, end;
	char details[1025]; /* how it ended */
	int64_t bytes_in, bytes_out;
	int64_t away; /* of a live one: since when its user is; 0: it is there */
	bool exited;  /* whether exit_status is known */
	int exit_status;
};

/* HW_EEXISTS for an id or a ticket that is there. token_hash NULL: nobody can open it by a ticket.
 */
int session_insert(struct db *db, const struct session_row *row, const char *token_hash,
	int64_t token_expires, struct hw_err *err);

/* Who opens a session, and what RESUME will present. */
struct session_opener {
	const char *name;
	const char *source; /* address */
	int64_t not_before; /* of the certificate */
	const char *resume_hash;
};

/* Takes the ticket, which nobody can take again, and keeps who did; the status stays Connecting.
 * HW_ETICKET with the reason, which is for the log: unknown, used, late, another principal's, or of
 * a session that has ended. Another's attempt does not use it up. */
int session_redeem(struct db *db, struct arena *arena, const char *token_hash,
	const struct session_opener *who, int64_t now, struct session_row **ret,
	struct hw_err *err);

/* Who has it from now on, and what RESUME will present. HW_ENOSESSION; HW_ETERMINATED when it has
 * ended. */
int session_set_opener(struct db *db, const char *id, const struct session_opener *who,
	struct hw_err *err);

/* HW_ENOSESSION; HW_ETERMINATED when it has ended. The status is a live one. */
int session_set_status(struct db *db, const char *id, int status, struct hw_err *err);

/* The user of a live session has been away since then: Disconnected; 0: it is there: Connected. One
 * that is neither stays as it is. */
int session_set_away(struct db *db, const char *id, int64_t since, struct hw_err *err);
/* The same of all that are Connected: nobody is there yet when a relay starts. */
int session_set_all_away(struct db *db, int64_t since, struct hw_err *err);

/* Ends it: status (Terminated or Failed), end, details, bytes, exit status, run_as of the row. One
 * that has ended stays as it is. HW_ENOSESSION. */
int session_finish(struct db *db, const struct session_row *row, struct hw_err *err);

/* By its id; HW_ENOSESSION. */
int session_get(struct db *db, struct arena *arena, const char *id, struct session_row **ret,
	struct hw_err *err);
/* By its id, a prefix of it, or its last 6 digits, which must be those of one session:
 * HW_ENOSESSION, or HW_EVALIDATION for several. Never before a decision that names the session:
 * decide on the id that comes out. */
int session_resolve(struct db *db, struct arena *arena, const char *text, struct session_row **ret,
	struct hw_err *err);

/* NULL, 0 and "" are no filter. */
struct session_filter {
	bool live;
	bool any;	       /* whether it lives or has ended */
	int64_t after, before; /* started then, both exclusive */
	const char *target;    /* node's id or name */
	const char *owner;     /* ARN or user name */
	int status;
	const char *id;	     /* or a prefix, or the last 6 digits */
	int64_t start_below; /* paging: the last one of the page before; 0 for the first page */
	const char *id_below;
};

/* Sessions that pass, the newest first; as node_list(). The rows come without their commands. */
int session_list(struct query *q, struct db *db, const struct session_filter *f,
	struct hw_err *err);
int session_next(struct query *q, struct session_row *ret, struct hw_err *err);

/* At start-up: sessions that were open when the relay stopped, and can go on; as node_list(). What
 * session_next_open() gives is in the arena. */
struct session_open {
	struct session_row *row;
	struct session_opener who;
};
int session_list_open(struct query *q, struct db *db, struct hw_err *err);
int session_next_open(struct query *q, struct arena *arena, struct session_open *ret,
	struct hw_err *err);

/* And those that were, and cannot, become Terminated with these details, and their ids are told.
 * Tickets that nobody has used yet stay good. */
int session_sweep_open(struct db *db, struct arena *arena, int64_t now, const char *details,
	struct msg_strs *ids, struct hw_err *err);

/* Sessions whose ticket went unused past its time become Failed. */
int session_sweep_late(struct db *db, int64_t now, struct hw_err *err);
/* Whether that would do anything. */
int session_any_late(struct db *db, int64_t now, bool *ret, struct hw_err *err);

#endif
