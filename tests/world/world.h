/*
 * A relay with nodes and users in one process, on a fake clock: real journal, store and ledger in a
 * temporary directory, everything inline, and pairs in memory instead of sockets. Nodes and users
 * here are bare links that the test scripts; what they join and log in with is real.
 */
#ifndef HAWSER_TESTS_WORLD_WORLD_H
#define HAWSER_TESTS_WORLD_WORLD_H

#include "audit/journal.h"
#include "proto/base/arena.h"
#include "proto/trust/secret.h"
#include "proto/wire/channel.h"
#include "relay/core/relay.h"
#include "tests/world/pair.h"

#define WORLD_STREAM_MAX   (64 * 1024 * 1024)
#define WORLD_CHANNELS_MAX 4200

struct world {
	char dir[64];
	struct fake_clock clock;
	struct loop *loop;
	struct log_sink sink;
	struct log_ctx log;
	struct relay *relay;
	struct recording_cursors *cursors;
	struct journal_io io; /* of the disk: fails when the test says so */
	bool disk_full;	      /* what is set aside for last words can still be written */
	bool reserve_given;
	int fail_writes; /* errno of journal writes from now on; 0: they work */
	int fail_syncs;
	char invite[RELAY_INVITE_LEN + 1];
	char url[512];
	struct arena *arena; /* of replies */
	const char *conf;    /* lines that were added to relay.conf */
};

/* What a bare peer saw on one channel. */
struct world_channel {
	struct channel *ch; /* NULL once it is over */
	struct world_peer *peer;
	bool accepted, rejected, closed;
	int code; /* of the reject or close */
	char message[512];
	char session[128];
	char notice[512]; /* the last one */
	bool exited;
	int exit_status;
	struct buf got[STREAMS];
	bool ended[STREAMS];
	struct msg_open open;	    /* a node's: what it was asked; texts in the world's arena */
	struct msg_control control; /* the last one that is no notice */
	bool hold;		    /* does not consume what comes in */
	int type;
	int64_t connection;	   /* its number in its forward */
	char token[TOKEN_LEN + 1]; /* that ACCEPT gave it */
	int64_t resume_seconds;
	bool parked, resumed; /* since it was asked to resume */
	int park_code;
	char park_why[512];
	bool exit_seen; /* by CONTROL */
	/* Where got begins: not at 0 for who claims that it stands elsewhere. Behind a jump it is
	 * moved by as much. */
	uint64_t from[STREAMS];
	uint64_t jumped;    /* output that RESUME passed by, in all */
	struct buf notices; /* all of them, a line each */
	/* A terminal's: what it was shown of the screen last, and how often. */
	struct buf screen;
	uint64_t screen_offset;
	int screens;
	bool odd;	     /* RESUME says where it stands, and it is not kept */
	bool screen_open;    /* more of it is to come */
	int cols, rows;	     /* that it was told last */
	int repaints;	     /* a node's: how often it was asked for its screen */
	int64_t nonce;	     /* in the last of these */
	uint64_t taken;	     /* of its input, where the test counts */
	struct buf controls; /* and all others that came, by name */
};

/* What a peer that lies says of its streams. */
struct world_claim {
	struct channel_stand stands[STREAMS];
	const char *session; /* NULL: the true one */
	const char *host;    /* that a connection goes to; NULL: the true one */
};

struct world_peer {
	struct world *world;
	struct cert_identity who;
	struct pair *pair;
	struct link *link; /* NULL when it is down */
	bool up;
	int down_code;
	char down_why[512];
	const char *source; /* the address that it dials from */
	/* A node's: what it does with an OPEN. */
	bool refuses;
	bool silent;			 /* never answers */
	bool echoes;			 /* sends input back as output, and credits it as shown */
	int echo;			 /* enum frame_echo of its credits */
	bool stopped;			 /* does not consume input */
	bool local;			 /* says that a connection reached the node itself */
	bool forgets;			 /* lists no session in HELLO, and knows none */
	const char *lists;		 /* one more, that it lists */
	const struct world_claim *claim; /* how it answers RESUME; NULL: truly */
	struct world_channel *opened;	 /* the last channel that was opened to it */
	char ends[64][128];		 /* sessions that CONTROL End named */
	size_t n_ends;
	int told;    /* a node's: how often it was told to ask for commands */
	bool paints; /* a node's: tells its screen when it is asked, "screen@OFFSET" */
	/* Its channels outlive its link. */
	bool keeps;
	struct pair *before; /* of a link that it gave up for a newer one */
	struct world_channel *channels[WORLD_CHANNELS_MAX];
	size_t n_channels;
};

struct world *world_new(const char *conf);
void world_free(struct world *w);
void world_settle(struct world *w);
void world_advance(struct world *w, int64_t usec);
/* The whole machine slept: what fell due is done once, late, as it wakes each ten minutes. For time
 * in which nobody is connected. */
void world_sleep(struct world *w, int64_t usec);

/* Closes the relay and opens it again over the same directory; links are gone. HW code. */
int world_restart(struct world *w, struct hw_err *err);

/* The two halves of that. Meanwhile its directory may be changed by a command of the shell, to
 * which it is $d. */
void world_stop(struct world *w);
int world_start(struct world *w, struct hw_err *err);
void world_on_dir(const struct world *w, const char *command);

/* As if the relay was killed at this moment, and started again: its links (over these pairs) break,
 * and what it had not written to its directory by now never gets there. */
int world_kill(struct world *w, struct pair *const *lines, size_t n, struct hw_err *err);

/* HTTP doors. The body of the answer is in the arena. */
int world_http(struct world *w, const char *op, const char *body, const char **reply);
/* The same for a message, from an address. */
int world_http_as(struct world *w, const char *source, enum op_id op, const void *request,
	const char **reply);

/* Joins a node and logs a user in, through the doors, with real keys. */
struct world_peer *world_node(struct world *w, struct world_peer *admin, const char *name);
struct world_peer *world_user(struct world *w, const char *invite);
struct world_peer *world_admin(struct world *w);
void world_peer_free(struct world_peer *p);
struct msg_bin world_csr(struct world *w); /* of a new key */

/* Dials; the link is up when it returns 0. */
int world_connect(struct world_peer *p, struct hw_err *err);
void world_dial(struct world_peer *p); /* and is let in */
void world_drop(struct world_peer *p);
/* Dials while the old link is still there. */
int world_dial_anew(struct world_peer *p, struct hw_err *err);
/* Another program of the same user, on a link of its own. */
struct world_peer *world_twin(const struct world_peer *p);
/* RESUME of a parked channel on a peer's link. Settles. */
void world_resume(struct world_channel *c, struct world_peer *on);
/* RESUME with a ticket, on a channel of its own, of a terminal of this size. Settles. */
struct world_channel *world_attach(struct world_peer *user, const char *session, const char *ticket,
	int cols, int rows);
/* A node's screen, or a part of one, in answer to what it was asked last. No settling. */
void world_paint(struct world_channel *c, uint64_t offset, const void *p, size_t n, bool more);
/* And by somebody who says where he stands; the channel is new, and not kept. Settles. */
struct world_channel *world_resume_as(struct world_peer *user, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS]);
/* A node tells how its program ended, and its streams end. Settles. */
void world_exit(struct world_channel *c, int status, const char *signal);

/* One operation over the link: its code, and the reply in the arena. */
int world_call(struct world_peer *p, enum op_id op, const void *request, void *reply_ptr,
	char *message);

/* The same for one that is done, whose reply nobody looks at. */
void world_do(struct world_peer *p, enum op_id op, const void *request);
void world_put_policy(struct world_peer *admin, const char *name, const char *document);
/* A user who has come in, and has this policy. */
struct world_peer *world_new_user(struct world_peer *admin, const char *name, const char *policy);

/* StartSession and OPEN; the channel as the user sees it. Settles. */
struct world_channel *world_shell(struct world_peer *user, struct world_peer *node);
struct world_channel *world_exec(struct world_peer *user, struct world_peer *node,
	const char *command);
/* A forward to port 5432 of a host that its node knows as db, and a connection of it. */
struct world_channel *world_forward(struct world_peer *user, struct world_peer *node);
struct world_channel *world_connection(const struct world_channel *forward, int64_t number);
struct world_channel *world_open_raw(struct world_peer *user, const struct msg_open *open,
	struct hw_err *err); /* no settling */
struct world_channel *world_open(struct world_peer *user, int type, const char *session,
	const char *token);

/* Whether that is what came of the stream. */
bool world_got(const struct world_channel *c, int stream, const char *text);

/* Of one that is over, when there are many. */
void world_forget(struct world_channel *c);

/* A value of the relay's metrics. */
double world_metric(struct world *w, const char *name);

/* Whether the ledger has an entry of this kind with these texts in action and outcome (NULL: any),
 * and how many. */
size_t world_entries(struct world *w, const char *kind, const char *action, int outcome);
/* How many entries, of any kind, have the text anywhere in their bytes. */
size_t world_entries_with(struct world *w, const char *text);

#endif
