/*
 * Terminals of a live shell beside its owner's: those of watchers, and of joiners, who type too.
 * They are fed behind the recorder, each from a queue of its own; none of them can hold up the
 * shell or its owner, and what happens to one happens to it alone. One whose link is lost, or whose
 * terminal took nothing for too long, comes back with its token and is shown the screen first.
 *
 * Loop thread only; the session's own.
 */
#ifndef HAWSER_CORE_SESSION_VIEWERS_H
#define HAWSER_CORE_SESSION_VIEWERS_H

#include <sys/queue.h>

#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "relay/core/lane.h"
#include "relay/core/session_attach.h"
#include "relay/core/session_typists.h"

struct session_shown;

#define VIEWERS_MAX	  16	       /* of a session */
#define VIEWER_QUEUED_MAX (256 * 1024) /* bytes of output that wait for one */
#define VIEWER_TYPED_MAX  (64 * 1024)  /* and of input that one may have under way */

enum viewer_state {
	VIEWER_ENTERS, /* a worker writes it into the ledger */
	VIEWER_WAITS,  /* for the screen */
	VIEWER_LIVE,
	VIEWER_LOST, /* its link is, or it was passed by */
	VIEWER_OVER,
};

/* Also the owner's next terminal, until it is the session's. */
struct viewer {
	struct session *session;
	TAILQ_ENTRY(viewer) entry;
	uint64_t serial; /* never used again in its session */
	enum session_access access;
	enum viewer_state state;
	bool was_live;
	struct session_owner who;
	struct channel *ch;				     /* NULL while it is lost */
	char token[TOKEN_LEN + 1], hash[2 * SHA256_LEN + 1]; /* what takes it up again */
	int64_t cols, rows;				     /* of the terminal, as it came */
	struct lane lane;				     /* output on its way to it */
	bool err_ended;
	struct typist in;
	int64_t lost; /* monotonic */
	int words;    /* RESUMEs of it since the last sweep */
	struct loop_task reap;
};

struct session_viewers {
	TAILQ_HEAD(, viewer) all;
	int count; /* without the owner's */
	uint64_t serial;
};

void session_viewers_init(struct session *s);

/* Takes over the channel. NULL without memory, when nothing has happened. */
struct viewer *viewer_new(struct session *s, enum session_access access,
	const struct session_owner *who, struct channel *ch);
struct viewer *session_viewer_by_serial(struct session *s, uint64_t serial);
/* That this token takes up again; NULL. */
struct viewer *session_viewer_by_hash(struct session *s, const char *hash);
/* It is in the ledger: it is shown the screen, when there is one. */
void viewer_enter(struct viewer *v);
/* Its RESUME, whose token is right. Takes over the channel, or rejects it. */
void viewer_resume(struct viewer *v, struct peer *user, struct channel *ch,
	const struct msg_resume *resume);
/* It is told this and is no more; the memory goes at the end of the turn. */
void viewer_end(struct viewer *v, int code, const char *why);
/* Its channel is another's now. */
void viewer_release(struct viewer *v);

/* Somebody waits to be shown the screen. */
bool session_viewers_wait(const struct session *s);
/* They are shown it, and go on behind it; NULL when nobody can tell it. */
void session_viewers_show(struct session *s, const struct session_shown *shown);
/* Output that is recorded. */
void session_viewers_feed(struct session *s, int stream, const uint8_t *p, size_t n);
/* The node ended a stream, as the lanes have it. */
void session_viewers_end_stream(struct session *s);
void session_viewers_exited(struct session *s);
void session_viewers_tell(struct session *s, const struct msg_control *c);
/* The node is lost: those who type send again what it has not got. */
void session_viewers_lose_node(struct session *s);
/* Each is decided anew, under its own action. */
void session_viewers_decide(struct session *s);
void session_viewers_sweep(struct session *s, int64_t now);
/* All of them end, the session does not. */
void session_viewers_drop(struct session *s, int code, const char *why);
/* With the session, which is over. `ended`: for good, so that who is away hears of it later. */
void session_viewers_close(struct session *s, const struct msg_close *ending, bool ended);
/* The owner's terminal is told who is there. */
void session_viewers_announce(struct session *s);

#endif
