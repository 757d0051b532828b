/*
 * A program on a node, at the end of a session's channel: StartSession, the channel with its
 * ticket, and the streams; or a shell that runs already, which is attached, joined or watched. It
 * outlives the links that it goes over, for as long as the relay waits. No terminal and no
 * descriptor here; the shell, exec and tests stand on it.
 */
#ifndef HAWSER_CLIENT_REMOTE_H
#define HAWSER_CLIENT_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/schema/schema.h"

struct conn;
struct remote;

enum remote_way {
	REMOTE_START,
	/* Of a shell that runs, by the session's id. */
	REMOTE_ATTACH, /* one's own, from wherever its terminal is */
	REMOTE_JOIN,   /* typing into it beside its owner */
	REMOTE_WATCH,  /* read-only */
};

struct remote_request {
	enum remote_way way;
	const char *session; /* to attach, join or watch; of the rest size alone counts then */
	int type;	     /* CHANNEL_TYPE_* */
	const char *target;  /* a node's id */
	const char *run_as, *reason;
	const char *document; /* a session document by its name; NULL: what type and command mean */
	const char *command;  /* NULL: a login shell, on a pty only */
	const char *term, *lang, *colorterm;
	int cols, rows;
};

struct remote_exit {
	int status;  /* of the program, or 255 */
	bool exited; /* the status is the program's own */
	int code;    /* why it ended otherwise; 0 */
	const char *message;
};

struct remote_events {
	/* It runs; bytes may follow before remote_start() returns. */
	void (*on_started)(void *arg, const char *session_id);
	/* They are the caller's until remote_consumed(), which may come later. */
	void (*on_output)(void *arg, int stream, const uint8_t *p, size_t n);
	/* There is room for input again. */
	void (*on_room)(void *arg);
	void (*on_notice)(void *arg, const char *text);
	/* What draws the program's screen on any terminal, in one or more parts, `last` the last:
	 * to be written as it is, before output that comes later. It is no output, and is not
	 * consumed. NULL: it is thrown away. */
	void (*on_screen)(void *arg, const uint8_t *p, size_t n, bool last);
	/* Of the shell's terminal, to one who joins or watches. May be NULL. */
	void (*on_size)(void *arg, int cols, int rows);
	/* Last call. `message` is good during it. */
	void (*on_exit)(void *arg, const struct remote_exit *e);
	/* A link is lost, and waited for: the relay's (HW_EUNAVAILABLE), or the node's
	 * (HW_EINTERRUPTED). Again when that changes. There is no room meanwhile; signals are lost.
	 * One who joins or watches and was interrupted comes back when all is consumed, not before.
	 * May be NULL, as on_back. */
	void (*on_waiting)(void *arg, int code, const char *why);
	/* It goes on where it stood. */
	void (*on_back)(void *arg);
};

/* Starts it and waits until it runs; or until it is attached. */
int remote_start(struct remote **ret, struct conn *c, const struct remote_request *req,
	struct arena *a, const struct remote_events *events, void *arg, struct hw_err *err);
/* Ends it, if it still runs: its terminal or pipes are hung up; or stops watching or joining. No
 * event follows. NULL is fine. */
void remote_free(struct remote *r);

/* Lets go of it, and the shell goes on, also without anybody. What was sent reaches it before, and
 * nothing is sent any more; then on_exit comes, with status and code 0. A program that ends before
 * that is told of as ever. */
void remote_leave(struct remote *r);

/* Whether freeing it, for whatever reason, lets go of it instead of ending it. */
void remote_outlive(struct remote *r, bool outlives);

const char *remote_session(const struct remote *r); /* its id */
bool remote_is_waiting(const struct remote *r);

/* Each does nothing once it has ended. */
size_t remote_room(const struct remote *r);
size_t remote_send(struct remote *r, const void *p, size_t n); /* how many it took */
void remote_end_input(struct remote *r);
void remote_consumed(struct remote *r, int stream, size_t n);
/* Also while a link is waited for. */
void remote_resize(struct remote *r, int cols, int rows);
void remote_signal(struct remote *r, const char *name); /* without SIG */

#endif
